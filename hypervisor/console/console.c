/*
 * Messages are formatted under console_lock into the log ring and the transmit queue. The queue
 * goes to the serial port at once (early, sync_console, after console_force()) or by its interrupt.
 * What is received waits in raw_rx until SOFTIRQ_SERIAL, which gives it to domain 0 or to the
 * debug keys.
 */
#include "console/console.h"

#include <stdarg.h>

#include "console/debug_key.h"
#include "event/evtchn.h"
#include "irq/irq.h"
#include "lib/cmdline.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "sched/timer.h"
#include "x86/serial.h"
#include "x86/upcalls.h"

#define LOG_BYTES 16384u       /* the ring sizes are powers of two */
#define TX_BYTES 8192u
#define RX_BYTES 256u
#define MESSAGE_BYTES 512u
#define WRITE_CHUNK 64u        /* of a console_io write: bounds the time with interrupts off */
#define TX_DEAD_NS SECONDS(1)  /* a stuck port is tried again after this */
#define RX_POLL_NS MILLISECS(10)

#define GPRINT_BURST 20u
#define GPRINT_PERIOD_NS MILLISECS(100)

static struct spinlock console_lock = SPINLOCK_INIT(L_CONSOLE);

/* All below: console_lock. Positions are free-running. */
static char log_ring[LOG_BYTES], tx_ring[TX_BYTES], raw_rx[RX_BYTES], dom0_rx[RX_BYTES];
static uint64_t log_begin, log_end;
static uint32_t tx_begin, tx_end, raw_begin, raw_end, dom0_begin, dom0_end;
static char tx_last = '\n';
static uint64_t tx_dead_until;
static char message[MESSAGE_BYTES];
static uint64_t gprint_credit_ns = GPRINT_BURST * GPRINT_PERIOD_NS, gprint_last_ns;
static uint32_t gprint_suppressed;
static bool irq_driven;

static bool forced;            /* locks do not count any more, see console_force() */
static uint32_t forced_cpu;

/* console_softirq() only, which one CPU at a time runs */
static atomic_flag rx_busy = ATOMIC_FLAG_INIT;
static bool input_is_ours;
static unsigned int escapes_held;

static struct timer poll_timer;

static unsigned long lock_console(void) { return forced ? 0 : spin_lock_irqsave(&console_lock); }

static void unlock_console(unsigned long flags)
{
    if (!forced)
        spin_unlock_irqrestore(&console_lock, flags);
}

/* ---- output ---- */

/* Move up to one FIFO of the queue to the port. A port that stays busy loses the queue. */
static bool tx_fill_fifo(bool wait)
{
    unsigned int room = wait ? serial_tx_wait() : serial_tx_room();

    if (room == 0 && wait) {
        tx_dead_until = arch_time_ns() + TX_DEAD_NS;
        tx_begin = tx_end;
    }
    for (; room && tx_begin != tx_end; room--)
        serial_tx(tx_ring[tx_begin++ % TX_BYTES]);
    return tx_begin != tx_end;
}

static void tx_byte(char c)
{
    if (tx_end - tx_begin == TX_BYTES)
        tx_fill_fifo(true);
    tx_ring[tx_end++ % TX_BYTES] = c;
    tx_last = c;
}

static void tx_char(char c)
{
    if (c == '\n' && tx_last != '\r')
        tx_byte('\r');
    tx_byte(c);
}

static void tx_start(void)
{
    if (tx_dead_until && arch_time_ns() < tx_dead_until) {
        tx_begin = tx_end;
        return;
    }
    tx_dead_until = 0;
    if (irq_driven && !forced && !options.sync_console) {
        serial_irq_enable(tx_fill_fifo(false));
        return;
    }
    while (tx_fill_fifo(true))
        ;
}

static void log_char(char c)
{
    log_ring[log_end++ % LOG_BYTES] = c;
    log_begin = MAX(log_begin, log_end < LOG_BYTES ? 0 : log_end - LOG_BYTES);
    tx_char(c);
}

/* One message: whole lines, each with the prefix. It may quote a guest: no control characters. */
static void emit_locked(const char *text)
{
    if (tx_last != '\n')
        tx_char('\n'); /* a domain's unfinished line */
    do {
        for (const char *p = "(XEN) "; *p; p++)
            log_char(*p);
        for (; *text && *text != '\n'; text++)
            log_char((unsigned char)*text < ' ' && *text != '\t' ? '?' : *text);
        log_char('\n');
    } while (*text && *++text);
    tx_start();
}

static void vprint_locked(const char *fmt, va_list ap)
{
    xl_vsnprintf(message, sizeof(message), fmt, ap);
    emit_locked(message);
}

/* After console_force() only the CPU that called it has something to say. */
static bool silent(enum log_level level, uint32_t threshold)
{
    return forced ? this_pcpu()->id != forced_cpu : (uint32_t)level >= threshold;
}

void print(enum log_level level, const char *fmt, ...)
{
    unsigned long flags;
    va_list ap;

    if (silent(level, options.loglvl))
        return;
    va_start(ap, fmt);
    flags = lock_console();
    vprint_locked(fmt, ap);
    unlock_console(flags);
    va_end(ap);
}

/* A bucket of GPRINT_BURST messages, refilled by one per period. */
static bool gprint_permitted_locked(void)
{
    uint64_t now = arch_time_ns(), passed = now > gprint_last_ns ? now - gprint_last_ns : 0;
    uint64_t limit = GPRINT_BURST * GPRINT_PERIOD_NS;

    gprint_last_ns = MAX(now, gprint_last_ns);
    gprint_credit_ns = passed < limit ? MIN(gprint_credit_ns + passed, limit) : limit;
    if (gprint_credit_ns < GPRINT_PERIOD_NS) {
        gprint_suppressed++;
        return false;
    }
    gprint_credit_ns -= GPRINT_PERIOD_NS;
    return true;
}

void gprint(enum log_level level, const char *fmt, ...)
{
    unsigned long flags;
    va_list ap;

    if (silent(level, options.guest_loglvl))
        return;
    va_start(ap, fmt);
    flags = lock_console();
    if (gprint_permitted_locked()) {
        if (gprint_suppressed) {
            xl_snprintf(message, sizeof(message), "%u guest messages suppressed",
                        gprint_suppressed);
            gprint_suppressed = 0;
            emit_locked(message);
        }
        vprint_locked(fmt, ap);
    }
    unlock_console(flags);
    va_end(ap);
}

size_t console_ring_read(uint64_t *pos, char *buf, size_t len)
{
    unsigned long flags = lock_console();
    size_t n = 0;

    if (*pos < log_begin || *pos > log_end)
        *pos = *pos > log_end ? log_end : log_begin;
    while (n < len && *pos != log_end)
        buf[n++] = log_ring[(*pos)++ % LOG_BYTES];
    unlock_console(flags);
    return n;
}

void console_ring_clear(void)
{
    unsigned long flags = lock_console();

    log_begin = log_end;
    unlock_console(flags);
}

void console_force(void)
{
    forced_cpu = this_pcpu()->id;
    forced = true;
}

void console_drain(void)
{
    unsigned long flags = lock_console();

    while (tx_fill_fifo(true))
        ;
    serial_tx_drain();
    unlock_console(flags);
}

/* ---- input ---- */

static char escape_char(void) { return options.conswitch & 0x1f; }

static void dom0_input(char c)
{
    unsigned long flags = lock_console();

    if (dom0_end - dom0_begin < RX_BYTES)
        dom0_rx[dom0_end++ % RX_BYTES] = c;
    unlock_console(flags);
}

/* Returns true if domain 0 has something to read. */
static bool input_deliver(char c)
{
    if (input_is_ours)
        debug_key_run(c);
    else
        dom0_input(c);
    return !input_is_ours;
}

/* Escape characters wait until it is clear that they are not the three of the switch. */
static bool input_char(char c)
{
    bool sent = false;

    if (c == escape_char() && ++escapes_held == 3) {
        escapes_held = 0;
        input_is_ours = !input_is_ours;
        print(LOG_ERR, "*** Serial input to %s (type 'CTRL-%c' three times to switch input)",
              input_is_ours ? "the hypervisor: h lists the debug keys" : "DOM0", options.conswitch);
    } else if (c != escape_char()) {
        for (; escapes_held; escapes_held--)
            sent |= input_deliver(escape_char());
        sent |= input_deliver(c);
    }
    return sent;
}

static bool raw_next(char *c)
{
    unsigned long flags = lock_console();
    bool have = raw_begin != raw_end;

    if (have)
        *c = raw_rx[raw_begin++ % RX_BYTES];
    unlock_console(flags);
    return have;
}

void console_softirq(void)
{
    bool sent = false;
    char c;

    if (atomic_flag_test_and_set(&rx_busy))
        return; /* the CPU that is at it looks once more when it is done */
    for (unsigned int i = 0; i < RX_BYTES && raw_next(&c); i++)
        sent |= input_char(c);
    atomic_flag_clear(&rx_busy);
    if (READ_ONCE(raw_begin) != READ_ONCE(raw_end))
        softirq_raise(SOFTIRQ_SERIAL);
    if (sent && hardware_domain)
        virq_send_global(hardware_domain, VIRQ_CONSOLE);
}

/* Serve the port until it is content: an edge-triggered interrupt comes again only then. */
void console_interrupt(void)
{
    unsigned long flags = lock_console();
    bool more = true, received = false;

    for (unsigned int i = 0; i < 16 && more; i++) {
        for (int c, n = 0; n < 64 && (c = serial_rx()) >= 0; n++) {
            received = true;
            if (raw_end - raw_begin < RX_BYTES)
                raw_rx[raw_end++ % RX_BYTES] = (char)c;
        }
        if (irq_driven)
            serial_irq_enable(tx_fill_fifo(false));
        more = serial_irq_pending();
    }
    unlock_console(flags);
    if (received)
        softirq_raise(SOFTIRQ_SERIAL);
}

static void poll(void *unused)
{
    console_interrupt();
    timer_set(&poll_timer, arch_time_ns() + RX_POLL_NS);
}

/* ---- setup ---- */

void console_early_init(void)
{
    debug_keys_init();
}

void console_options(void)
{
    int com = options.console_com;
    const struct uart_option *u = &options.com[MAX(com, 0)];
    unsigned long flags;
    bool ok;

    input_is_ours = options.conswitch_stays;
    if (com < 0 || !u->given)
        return;
    flags = lock_console();
    tx_begin = tx_end = 0;
    ok = serial_open(u);
    for (uint64_t pos = log_begin; ok && pos != log_end; pos++)
        tx_char(log_ring[pos % LOG_BYTES]);
    tx_start();
    unlock_console(flags);
    if (!ok)
        print(LOG_ERR, "com%d: no serial port at 0x%x", com + 1, u->io_base);
}

void console_irq_init(void)
{
    unsigned long flags;
    bool irq;

    if (serial_io_base() == 0)
        return;
    irq = irq_request_hv(options.com[options.console_com].irq, console_interrupt) == 0;
    if (!irq) {
        timer_init(&poll_timer, poll, NULL, this_pcpu()->id);
        poll(NULL);
        return;
    }
    flags = lock_console();
    irq_driven = true;
    serial_irq_enable(tx_begin != tx_end);
    unlock_console(flags);
}

/* ---- HYPERVISOR_console_io ---- */

static long console_write(uint64_t count, uint64_t buffer)
{
    char chunk[WRITE_CHUNK];

    while (count) {
        size_t len = MIN(count, sizeof(chunk));
        unsigned long flags;

        if (copy_from_guest(chunk, _gva(buffer), len))
            return -EFAULT;
        flags = lock_console();
        for (size_t i = 0; i < len; i++)
            tx_char(chunk[i]);
        tx_start();
        unlock_console(flags);
        count -= len;
        buffer += len;
        if (count && hypercall_preempt_check())
            return hypercall_continue(__HYPERVISOR_console_io, 3,
                                      (uint64_t[]){ CONSOLEIO_write, count, buffer });
    }
    return 0;
}

/* Characters leave the ring only after the guest has them. */
static long console_read(uint64_t count, uint64_t buffer)
{
    unsigned long flags = lock_console();
    uint32_t begin = dom0_begin, n = (uint32_t)MIN(count, dom0_end - begin);
    char chunk[RX_BYTES];

    for (uint32_t i = 0; i < n; i++)
        chunk[i] = dom0_rx[(begin + i) % RX_BYTES];
    unlock_console(flags);
    if (copy_to_guest(_gva(buffer), chunk, n))
        return -EFAULT;
    flags = lock_console();
    if (dom0_begin == begin) /* else another vCPU has read them as well: its problem */
        dom0_begin += n;
    unlock_console(flags);
    return (long)n;
}

long hc_console_io(uint64_t cmd, uint64_t count, uint64_t buffer, uint64_t a4, uint64_t a5)
{
    if (!current->domain->is_privileged)
        return -EPERM;
    count = (uint32_t)count; /* the ABI's int */
    switch ((uint32_t)cmd) {
    case CONSOLEIO_write: return console_write(count, buffer);
    case CONSOLEIO_read: return console_read(count, buffer);
    default: return -ENOSYS;
    }
}
