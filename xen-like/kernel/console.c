/*
 * The console. The initial domain's is the hypervisor's own (console_io); another domain has a ring
 * in a page, and an event channel, to the domain that serves it. Both stand in start_info.
 */
#include <rt/clock.h>
#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>

#include "console_ring.h"
#include "internal.h"

enum { STALL_NS = NS_PER_S };

static struct console_ring ring; /* page NULL: the hypervisor's console */
static struct spinlock ring_lock;
static bool stalled; /* nobody took anything for STALL_NS: bytes are dropped until somebody does */
static struct semaphore input;
static void (*input_hook)(void *arg);
static void *input_hook_arg;

static uint32_t ring_port(void) { return start_info->console.domU.evtchn; }

/* Before anything is printed. The page is one of this domain's, whatever its pfn. */
void console_init(void)
{
    ring.page = NULL;
    if (!is_initial_domain() && start_info->console.domU.mfn)
        console_ring_init(&ring, mfn_to_virt(start_info->console.domU.mfn));
}

/* The part of buf that there is room for, and how much of it. */
static size_t ring_put(const char *buf, size_t len)
{
    bool were_off = spin_lock(&ring_lock);
    size_t n = console_ring_put(&ring, buf, len);

    spin_unlock(&ring_lock, were_off);
    if (n)
        event_send(ring_port());
    return n;
}

/* Who prints must not wait for ever for a backend that is dead, or hostile. */
static void ring_write(const char *buf, size_t len)
{
    uint64_t end = clock_now() + STALL_NS;

    while (len) {
        size_t n = ring_put(buf, len);

        buf += n;
        len -= n;
        if (n) {
            stalled = false;
            end = clock_now() + STALL_NS;
        } else if (stalled || clock_now() > end) {
            stalled = true;
            return;
        } else {
            cpu_relax();
        }
    }
}

/* What shows a ring is a terminal, for which the end of a line is two characters. */
static void ring_write_lines(const char *buf, size_t len)
{
    size_t start = 0;

    for (size_t i = 0; i < len; i++)
        if (buf[i] == '\n') {
            ring_write(buf + start, i - start);
            ring_write("\r\n", 2);
            start = i + 1;
        }
    ring_write(buf + start, len - start);
}

void console_write(const char *buf, size_t len)
{
    if (ring.page) {
        ring_write_lines(buf, len);
        return;
    }
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done < 1024 ? len - done : 1024;
        hc(console_io, CONSOLEIO_write, n, buf + done);
    }
}

static void on_input(unsigned int port, void *arg)
{
    (void)port;
    (void)arg;
    semaphore_up(&input);
    if (input_hook)
        input_hook(input_hook_arg);
}

/* Returns whether on_input() comes. */
static bool input_init(void)
{
    static struct mutex lock;
    static int port;

    runtime_lock(&lock);
    if (port == 0 && ring.page)
        port = event_attach(ring_port(), on_input, NULL);
    else if (port == 0)
        port = event_bind_virq(VIRQ_CONSOLE, 0, on_input, NULL);
    runtime_unlock(&lock);
    return port > 0;
}

void console_input_hook(void (*fn)(void *arg), void *arg)
{
    input_hook_arg = arg;
    input_hook = fn;
    input_init();
}

static long read_some(char *buf, size_t len)
{
    bool were_off;
    size_t n;

    if (ring.page == NULL)
        return hc(console_io, CONSOLEIO_read, len, buf);
    were_off = spin_lock(&ring_lock);
    n = console_ring_get(&ring, buf, len);
    spin_unlock(&ring_lock, were_off);
    if (n)
        event_send(ring_port()); /* there is room again */
    return (long)n;
}

long console_read(char *buf, size_t len, bool wait)
{
    bool comes = input_init();

    for (;;) {
        long n = read_some(buf, len);

        if (n != 0 || !wait || !comes)
            return n;
        semaphore_down(&input, NO_DEADLINE);
    }
}
