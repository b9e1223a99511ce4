/* console/: log ring, levels, rate limit, transmit queue, the escape, debug keys and console_io. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "console/console.h"
#include "irq/irq.h"
#include "lib/cmdline.h"
#include "lib/print.h"
#include "x86/serial.h"
#include "x86/upcalls.h"

/* ---- a serial port and its interrupt ---- */
static char out[65536], in[4096];
static size_t out_len, in_pos, in_len;
static bool port_there, port_stuck, irq_refused;
static unsigned int irqs_on;
static unsigned int room, waits;
static void (*irq_handler)(void);

bool serial_open(uint32_t baud) { return port_there && baud == 115200; }
unsigned int serial_tx_room(bool wait)
{
    waits += wait;
    room = port_stuck ? 0 : wait ? 16 : room;
    return room;
}
void serial_tx(const char *p, unsigned int n, volatile uint32_t *sent)
{
    CU_ASSERT_TRUE_FATAL(n > 0 && n <= room);
    room -= n;
    *sent += n;
    for (; port_there && n > 0 && out_len < sizeof(out) - 1; n--)
        out[out_len++] = *p++;
    out[out_len] = 0;
}
void serial_tx_drain(void) {}
int serial_rx(void) { return in_pos < in_len ? (uint8_t)in[in_pos++] : -1; }
void serial_irq_enable(unsigned int irqs) { irqs_on = irqs; }
int irq_request_hv(uint32_t gsi, void (*handler)(void))
{
    CU_ASSERT_EQUAL(gsi, 4);
    if (irq_refused)
        return -EBUSY;
    irq_handler = handler;
    return 0;
}
static jmp_buf ended;
static uint64_t time_step;
static unsigned int stopped;
static unsigned int backtraces;
static struct spinlock some_lock = SPINLOCK_INIT(L_CONSOLE);
uint64_t arch_time_ns(void) { return fake_now_ns += time_step; }
noreturn void arch_reboot(void) { longjmp(ended, 1); }
noreturn void arch_halt_forever(void) { longjmp(ended, 2); }
void arch_stop_other_cpus(void) { stopped++; }
void arch_backtrace(const struct cpu_user_regs *regs)
{
    backtraces++;
    bug_at("in", backtraces, "the backtrace");
}

/* As at the end of an interrupt, on the way back to a guest. */
static void interrupt(void)
{
    irq_handler();
    CU_ASSERT_EQUAL(irqs_on, SERIAL_IRQ_NONE);
    CU_ASSERT_TRUE(fake_pcpu->softirqs & 1u << SOFTIRQ_SERIAL);
    fake_pcpu->softirqs = 0;
    console_softirq();
    CU_ASSERT_TRUE(irqs_on & SERIAL_IRQ_RX);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
}

static void type(const char *s)
{
    in_pos = in_len = 0;
    for (; *s; s++)
        in[in_len++] = *s;
    while (in_pos < in_len)
        interrupt();
}

/* What the port got since then, without carriage returns. */
static char log_text[sizeof(out)];
static const char *log_since(size_t from)
{
    size_t n = 0;

    console_drain();
    for (size_t i = from; i < out_len; i++)
        if (out[i] != '\r')
            log_text[n++] = out[i];
    log_text[n] = 0;
    return log_text;
}
static size_t log_now(void)
{
    console_drain();
    return out_len;
}
static void out_clear(void) { out[out_len = 0] = 0; }

static struct domain *dom0, *domu;
struct domain *hardware_domain;
static char guest_buf[1000];

static void setup(void)
{
    static uint64_t boot_ns; /* no time runs backwards, from test to test neither */

    fake_reset(1);
    fake_guest_unmap_all();
    fake_guest_map(guest_buf, sizeof(guest_buf), FAKE_READ_WRITE);
    fake_current(dom0->vcpu[0]);
    fake_now_ns = boot_ns += 1000000000ULL * 1000 * (unsigned int)(rand() % 1000 + 1);
    port_there = true;
    port_stuck = false;
    room = 16;
    options.loglvl = LOG_INFO + 1;
    options.guest_loglvl = LOG_WARN + 1;
    console_drain();
    room = 16;
    out_clear();
}

/* Runs first: nothing is open yet. */
static void test_early_messages_are_replayed_once_a_port_is_open(void)
{
    setup();
    port_there = false;
    print(LOG_INFO, "early %d", 1);
    options.com1_baud = 115200;
    console_options();
    console_irq_init(); /* no port: nothing to do */
    CU_ASSERT_PTR_NULL(irq_handler);
    port_there = true;
    console_options();
    CU_ASSERT_STRING_EQUAL(out, "(XEN) early 1\r\n(XEN) com1: no serial port at 0x3f8\r\n");
    print(LOG_INFO, "more");
    CU_ASSERT_STRING_EQUAL(log_since(0),
                           "(XEN) early 1\n(XEN) com1: no serial port at 0x3f8\n(XEN) more\n");
}

static void test_interrupts_begin_with_softirqs(void)
{
    setup();
    irq_refused = true;
    console_irq_init();
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "no input"));
    CU_ASSERT_EQUAL(fake_pcpu->softirqs, 0);
    irq_refused = false;
    console_irq_init();
    CU_ASSERT_PTR_NOT_NULL_FATAL(irq_handler);
    CU_ASSERT_TRUE(fake_pcpu->softirqs & 1u << SOFTIRQ_SERIAL);
    out_clear();
    print(LOG_ERR, "nobody serves softirqs yet: this does not wait for one");
    CU_ASSERT_STRING_EQUAL(out, "(XEN) nobody serves softirqs yet: this does not wait for one\r\n");
    CU_ASSERT_EQUAL(irqs_on, SERIAL_IRQ_NONE);
    console_softirq();
    CU_ASSERT_EQUAL(irqs_on, SERIAL_IRQ_RX);
}

static void test_lines_are_prefixed_and_levels_filter(void)
{
    size_t pos;

    setup();
    pos = log_now();
    print(LOG_INFO, "one\ntwo\n");
    print(LOG_DEBUG, "not this");
    gprint(LOG_INFO, "nor this");
    gprint(LOG_WARN, "d%d: three", 5);
    print(LOG_ERR, "%s", "");
    print(LOG_ERR, "\x1b[2J\r\t\x01");
    CU_ASSERT_STRING_EQUAL(log_since(pos),
                           "(XEN) one\n(XEN) two\n(XEN) d5: three\n(XEN) \n(XEN) ?[2J?\t?\n");
    options.loglvl = 0;
    pos = log_now();
    print(LOG_ERR, "silence");
    CU_ASSERT_EQUAL(log_now(), pos);
}

static void test_guest_messages_are_rate_limited_and_counted(void)
{
    unsigned int lines = 0;
    size_t pos;

    setup();
    pos = log_now();
    for (int i = 0; i < 1000; i++)
        gprint(LOG_ERR, "spam");
    for (const char *p = log_since(pos); (p = strstr(p, "spam")) != NULL; p++)
        lines++;
    CU_ASSERT_EQUAL(lines, 20);
    pos = log_now();
    fake_now_ns += 99999999;
    gprint(LOG_ERR, "early");
    CU_ASSERT_EQUAL(log_now(), pos);
    fake_now_ns += 1;
    gprint(LOG_ERR, "again");
    CU_ASSERT_STRING_EQUAL(log_since(pos), "(XEN) 981 guest messages suppressed\n(XEN) again\n");
    pos = log_now();
    gprint(LOG_ERR, "no");
    fake_now_ns -= 5000000000; /* time must not run backwards, and gives nothing if it does */
    gprint(LOG_ERR, "no");
    CU_ASSERT_EQUAL(log_now(), pos);
    print(LOG_ERR, "ours are not limited");
    CU_ASSERT_NOT_EQUAL(log_now(), pos);
}

/* Runs second: a machine without a port that gets one. */
static void test_ring_wraps_and_the_port_gets_the_newest(void)
{
    setup();
    port_there = false;
    console_options();
    for (int i = 0; i < 3000; i++)
        print(LOG_ERR, "line %d", i);
    CU_ASSERT_EQUAL(out_len, 0);
    port_there = true;
    console_options();
    CU_ASSERT_EQUAL(out_len, 16384);
    CU_ASSERT_STRING_EQUAL(out + 16384 - 17, "(XEN) line 2999\r\n");
}

static void test_output_goes_on_by_interrupt(void)
{
    setup();
    waits = 0;
    print(LOG_ERR, "0123456789012345678901234567890123456789");
    CU_ASSERT_EQUAL(out_len, 16); /* one FIFO, nobody waited */
    CU_ASSERT_EQUAL(irqs_on, SERIAL_IRQ_RX | SERIAL_IRQ_TX);
    CU_ASSERT_EQUAL(waits, 0);
    for (int i = 0; i < 3; i++) {
        room = 16;
        interrupt();
    }
    CU_ASSERT_STRING_EQUAL(out, "(XEN) 0123456789012345678901234567890123456789\r\n");
    CU_ASSERT_EQUAL(irqs_on, SERIAL_IRQ_RX);
    options.sync_console = true;
    out_clear();
    print(LOG_ERR, "all of it at once");
    CU_ASSERT_STRING_EQUAL(out, "(XEN) all of it at once\r\n");
    options.sync_console = false;
}

static void test_stuck_port_costs_one_wait_a_second(void)
{
    setup();
    console_drain();
    port_stuck = true;
    waits = 0;
    for (int i = 0; i < 2000; i++)
        print(LOG_ERR, "nobody reads this line, nor the one after it");
    CU_ASSERT_EQUAL(waits, 1);
    port_stuck = false;
    room = 16;
    fake_now_ns += 10000000001;
    console_drain();
    out_clear();
    options.sync_console = true;
    print(LOG_ERR, "back");
    options.sync_console = false;
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "(XEN) back\r\n"));
}

static unsigned int key_runs;
static void key(void) { key_runs++; }

static void test_escape_switches_between_dom0_and_debug_keys(void)
{
    static const struct debug_key k = { '~', "a test", key };
    char *g = guest_buf;
    size_t pos;

    setup();
    while (hc_console_io(CONSOLEIO_read, 100, (uint64_t)g, 0, 0) > 0)
        ;
    debug_key_register(&k);
    fake_virqs = 0;
    type("ab~");
    CU_ASSERT_EQUAL(fake_virqs, 1);
    CU_ASSERT_EQUAL(fake_last_virq, VIRQ_CONSOLE);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 100, (uint64_t)g, 0, 0), 3);
    CU_ASSERT_EQUAL(memcmp(g, "ab~", 3), 0);
    type("\1x\1\1y"); /* no three in a row */
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 100, (uint64_t)g, 0, 0), 5);
    CU_ASSERT_EQUAL(memcmp(g, "\1x\1\1y", 5), 0);
    pos = log_now();
    type("\1\1");
    type("\1~?\r~"); /* unknown keys are ignored */
    CU_ASSERT_EQUAL(key_runs, 2);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 100, (uint64_t)g, 0, 0), 2);
    CU_ASSERT_EQUAL(memcmp(g, "\1\1", 2), 0); /* all but the third, at once */
    CU_ASSERT_PTR_NOT_NULL(strstr(log_since(pos), "Serial input to the hypervisor"));
    pos = log_now();
    type("h");
    CU_ASSERT_PTR_NOT_NULL(strstr(log_since(pos), " ~  a test"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log_text, " R  reboot"));
    type("\1\1\1z");
    CU_ASSERT_PTR_NOT_NULL(strstr(
        log_since(pos), "*** Serial input to DOM0 (type 'CTRL-a' three times to switch input)"));
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 100, (uint64_t)g, 0, 0), 1);
    CU_ASSERT_EQUAL(key_runs, 2);
    debug_key_run(0xff);
    CU_ASSERT_EQUAL(key_runs, 2);
}

static void test_full_input_drops_the_newest(void)
{
    char many[601];

    setup();
    memset(many, 'm', 600);
    many[600] = 0;
    type(many);
    type("last");
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 1000, (uint64_t)guest_buf, 0, 0), 256);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 1000, (uint64_t)guest_buf, 0, 0), 0);
}

static void test_console_io_refuses_and_changes_nothing(void)
{
    setup();
    out_clear();
    fake_current(domu->vcpu[0]);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, 5, (uint64_t)guest_buf, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 5, (uint64_t)guest_buf, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(out_len, 0);
    fake_current(dom0->vcpu[0]);
    CU_ASSERT_EQUAL(hc_console_io(2, 5, (uint64_t)guest_buf, 0, 0), -ENOSYS);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, 5, 0, 0, 0), -EFAULT);
    CU_ASSERT_EQUAL(out_len, 0);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, 0, 0, 0, 0), 0);
    type("abc");
    fake_guest_unmap_all();
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 5, (uint64_t)guest_buf, 0, 0), -EFAULT);
    fake_guest_map(guest_buf, sizeof(guest_buf), FAKE_READ_WRITE);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 2, (uint64_t)guest_buf, 0, 0), 2);
    CU_ASSERT_EQUAL(memcmp(guest_buf, "ab", 2), 0);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 2, (uint64_t)guest_buf, 0, 0), 1);
    CU_ASSERT_EQUAL(guest_buf[0], 'c');
}

static void test_domain_0s_output_is_unprefixed_and_preempted(void)
{
    char want[2000];

    setup();
    options.sync_console = true;
    print(LOG_ERR, "x");
    out_clear();
    memset(guest_buf, 'o', 300);
    memcpy(guest_buf, "login:\n\r\n", 9);
    fake_preempt_every = 2;
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, (1ULL << 32) | 300, (uint64_t)guest_buf, 0, 0),
                    -85);
    CU_ASSERT_EQUAL(fake_continued_args[0], CONSOLEIO_write);
    CU_ASSERT_EQUAL(fake_continued_args[1], 300 - 128);
    CU_ASSERT_EQUAL(fake_continued_args[2], (uint64_t)guest_buf + 128);
    fake_preempt_every = 0;
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, fake_continued_args[1], fake_continued_args[2],
                                  0, 0),
                    0);
    print(LOG_ERR, "in between");
    memset(want, 'o', sizeof(want));
    memcpy(want, "login:\r\n\r\n", 10);
    strcpy(want + 301, "\r\n(XEN) in between\r\n");
    CU_ASSERT_STRING_EQUAL(out, want);
    options.sync_console = false;
}

/* d writes this; all of it is taken, however often that is preempted. */
static void guest_writes(struct domain *d, const char *text)
{
    uint64_t count = strlen(text);
    long rc;

    memcpy(guest_buf, text, count);
    fake_current(d->vcpu[0]);
    rc = hc_console_io(CONSOLEIO_write, count, (uint64_t)guest_buf, 0, 0);
    while (rc == -ERESTART)
        rc = hc_console_io(CONSOLEIO_write, fake_continued_args[1], fake_continued_args[2], 0, 0);
    CU_ASSERT_EQUAL(rc, 0);
    fake_current(dom0->vcpu[0]);
}

static void test_lines_of_a_domain_that_may_write_are_whole_and_prefixed(void)
{
    char line[512], longest[600];
    size_t from = log_now();

    domu->console_line = line;
    domu->console_len = 0;
    guest_writes(domu, "one\n");
    guest_writes(domu, "two");
    CU_ASSERT_STRING_EQUAL(log_since(from), "(d1) one\n");
    print(LOG_ERR, "in between");
    guest_writes(dom0, "domain 0's");
    guest_writes(domu, " and more\n\na\1b\x7f\x80\x9b\xa0\n");
    CU_ASSERT_STRING_EQUAL(
        log_since(from),
        "(d1) one\n(XEN) in between\ndomain 0's\n(d1) two and more\n(d1) \n(d1) a?b???\xa0\n");
    fake_preempt_every = 1;
    guest_writes(domu, "many\nlines\nof it");
    fake_preempt_every = 0;
    guest_writes(domu, "\n");
    CU_ASSERT_PTR_NOT_NULL(strstr(log_since(from), "(d1) many\n(d1) lines\n(d1) of it\n"));
    /* one that is too long for its page becomes two */
    from = log_now();
    memset(longest, 'x', sizeof(longest));
    strcpy(longest + 520, "y\n");
    guest_writes(domu, longest);
    CU_ASSERT_EQUAL(strlen(log_since(from)), 521 + 2 * strlen("(d1) \n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(log_since(from), "x\n(d1) xxxxxxxxxy\n"));
    /* that is all that it may */
    fake_current(domu->vcpu[0]);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_read, 5, (uint64_t)guest_buf, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(hc_console_io(2, 5, (uint64_t)guest_buf, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, 5, 0, 0, 0), -EFAULT);
    fake_current(dom0->vcpu[0]);
    domu->console_line = NULL;
}

static void test_a_domain_does_not_wait_for_the_port_with_interrupts_off(void)
{
    char line[512], text[101];
    unsigned int lines = 0;
    size_t from;
    long rc = 0;

    setup();
    from = log_now();
    domu->console_line = line;
    domu->console_len = 0;
    memset(text, 'x', sizeof(text));
    strcpy(text + 99, "\n");
    memcpy(guest_buf, text, 100);
    fake_current(domu->vcpu[0]);
    room = waits = 0;
    while (rc == 0 && lines < 1000) {
        rc = hc_console_io(CONSOLEIO_write, 100, (uint64_t)guest_buf, 0, 0);
        lines += rc == 0;
    }
    CU_ASSERT_EQUAL(rc, -ERESTART);
    CU_ASSERT_TRUE(lines > 100 && lines < 1000);
    CU_ASSERT_EQUAL(waits, 0);
    for (unsigned int i = 0; rc == -ERESTART && i < 1000; i++) {
        room = 16;
        interrupt();
        rc = hc_console_io(CONSOLEIO_write, fake_continued_args[1], fake_continued_args[2], 0, 0);
    }
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(waits, 0);
    CU_ASSERT_EQUAL(strlen(log_since(from)), (lines + 1) * strlen("(d1) \n") + (lines + 1) * 99);
    fake_current(dom0->vcpu[0]);
    domu->console_line = NULL;
}

static const char *log_read(uint32_t at)
{
    static char text[20000];

    text[console_log_read(&at, text, sizeof(text) - 1)] = '\0';
    return text;
}

static void test_the_log_has_messages_and_nothing_that_domains_write(void)
{
    uint32_t at = 0, before;

    setup();
    while (console_log_read(&at, log_text, sizeof(log_text)))
        ;
    before = at;
    print(LOG_ERR, "one\ntwo");
    memcpy(guest_buf, "a domain's\n", 11);
    CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, 11, (uint64_t)guest_buf, 0, 0), 0);
    print(LOG_DEBUG, "below the level");
    print(LOG_ERR, "three");
    CU_ASSERT_STRING_EQUAL(log_read(before), "(XEN) one\n(XEN) two\n(XEN) three\n");
    CU_ASSERT_STRING_EQUAL(log_read(before + 10), "(XEN) two\n(XEN) three\n");
    CU_ASSERT_EQUAL(console_log_read(&at, log_text, 4), 4); /* in pieces */
    CU_ASSERT_EQUAL(at, before + 4);
    CU_ASSERT_EQUAL(memcmp(log_text, "(XEN", 4), 0);
    CU_ASSERT_EQUAL(console_log_read(&at, log_text, 0), 0);
    at = before + 32; /* its end */
    CU_ASSERT_EQUAL(console_log_read(&at, log_text, 9), 0);
    CU_ASSERT_EQUAL(at, before + 32);
    console_log_clear(before + 10);
    CU_ASSERT_EQUAL(console_log_begin(), before + 10);
}

static void test_the_log_keeps_the_newest(void)
{
    uint32_t at = 0;

    setup();
    for (unsigned int i = 0; i < 3000; i++)
        print(LOG_ERR, "line %04u", i);
    CU_ASSERT_EQUAL(strlen(log_read(0)), 16384);
    CU_ASSERT_STRING_EQUAL(log_read(0) + 16384 - 16, "(XEN) line 2999\n");
    CU_ASSERT_EQUAL(console_log_read(&at, log_text, 16384), 16384);
    at++; /* beyond the end: as if it had been lost */
    CU_ASSERT_EQUAL(console_log_read(&at, log_text, 20000), 16384);
    log_now();
}

static void test_random_traffic_loses_nothing(void)
{
    setup();
    for (unsigned int n = 0, sent = 0; n < 3000; n++) {
        switch (rand() % 4) {
        case 0:
            print(LOG_ERR, "p%u", n);
            sent++;
            break;
        case 1:
            memcpy(guest_buf, "guest\n", 6);
            CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, 6, (uint64_t)guest_buf, 0, 0), 0);
            break;
        case 2:
            room = 16;
            interrupt();
            break;
        case 3: console_drain(); break;
        }
        CU_ASSERT_EQUAL(fake_locks_held(), 0);
        CU_ASSERT_TRUE(fake_irqs_on);
        if (out_len > sizeof(out) / 2) {
            console_drain();
            out_clear();
            sent = 0;
        }
        if (n % 100 == 99) {
            unsigned int seen = 0;

            console_drain();
            for (const char *p = out; (p = strstr(p, "(XEN) p")) != NULL; p++)
                seen++;
            CU_ASSERT_EQUAL(seen, sent);
        }
    }
}

/* Any bytes in pieces of any length, across the ring's end: what comes out has CR before each LF. */
static void test_random_output_comes_out_as_it_went_in(void)
{
    static char want[sizeof(out)];
    size_t n = 0;
    char last = 0;

    setup();
    print(LOG_ERR, "begin");
    console_drain();
    out_clear();
    for (unsigned int step = 0; step < 2000; step++) {
        size_t len = (size_t)rand() % 150;

        for (size_t i = 0; i < len; i++) {
            char c = "ab\r\n\0\xff"[rand() % 6];

            if (c == '\n' && last != '\r')
                want[n++] = '\r';
            want[n++] = last = guest_buf[i] = c;
        }
        CU_ASSERT_EQUAL(hc_console_io(CONSOLEIO_write, len, (uint64_t)guest_buf, 0, 0), 0);
        room = (unsigned int)rand() % 17;
        if (rand() % 2)
            interrupt();
        if (out_len > sizeof(out) / 2 || n > sizeof(want) / 2 || step == 1999) {
            console_drain();
            CU_ASSERT_EQUAL_FATAL(out_len, n);
            CU_ASSERT_EQUAL_FATAL(memcmp(out, want, n), 0);
            out_clear();
            n = 0;
        }
    }
    print(LOG_ERR, "end");
    CU_ASSERT_STRING_EQUAL(log_since(0), last == '\n' ? "(XEN) end\n" : "\n(XEN) end\n");
}

/* Last: nothing goes back from here. */
static void test_after_force_locks_and_levels_do_not_count(void)
{
    setup();
    options.loglvl = 0;
    console_drain();
    out_clear();
    fake_irqs_on = false;
    console_force();
    print(LOG_ERR, "Panic: it is over, and this is a longer line than a FIFO");
    CU_ASSERT_STRING_EQUAL(out,
                           "(XEN) Panic: it is over, and this is a longer line than a FIFO\r\n");
    fake_cpu(1);
    print(LOG_ERR, "another CPU");
    fake_cpu(0);
    CU_ASSERT_PTR_NULL(strstr(out, "another"));
}

static void test_panic_says_why_and_ends_the_machine(void)
{
    int how;

    setup();
    options.loglvl = 0;
    options.noreboot = false;
    time_step = 1000000;
    how = setjmp(ended);
    if (how == 0)
        panic("module %u: too long", 3);
    CU_ASSERT_EQUAL(how, 1);
    CU_ASSERT_EQUAL(stopped, 1);
    CU_ASSERT_STRING_EQUAL(out, "(XEN) Panic: module 3: too long\r\n"
                                "(XEN) rebooting machine in 5 seconds.\r\n");
    CU_ASSERT_FALSE(fake_irqs_on);
    CU_ASSERT_EQUAL(backtraces, 0);
    out_clear();
    options.noreboot = true;
    spin_lock(&some_lock);
    how = setjmp(ended);
    if (how == 0)
        BUG_ON(out_len == 0); /* each backtrace fails with a BUG: there is an end to it */
    CU_ASSERT_EQUAL(how, 2);
    CU_ASSERT_EQUAL(stopped, 1);
    CU_ASSERT_EQUAL(backtraces, 2);
    CU_ASSERT_EQUAL(strncmp(out, "(XEN) Panic: BUG at tests/unit/test_console.c:", 46), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(out, ": out_len == 0\r\n(XEN) Running: d0v0\r\n(XEN) Panic"));
    CU_ASSERT_PTR_NOT_NULL(strstr(out, "'noreboot' set - not rebooting"));
    out_clear();
    fake_cpu(1);
    how = setjmp(ended);
    if (how == 0)
        panic("another CPU: halts without a word");
    CU_ASSERT_EQUAL(how, 2);
    CU_ASSERT_EQUAL(out_len, 0);
    fake_cpu(0);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("console", NULL, NULL);
    fake_reset(2);
    dom0 = hardware_domain = fake_domain(0, 1);
    dom0->is_privileged = true;
    domu = fake_domain(1, 1);
#define T(f) CU_add_test(s, #f, f)
    T(test_early_messages_are_replayed_once_a_port_is_open);
    T(test_ring_wraps_and_the_port_gets_the_newest);
    T(test_interrupts_begin_with_softirqs);
    T(test_lines_are_prefixed_and_levels_filter);
    T(test_guest_messages_are_rate_limited_and_counted);
    T(test_output_goes_on_by_interrupt);
    T(test_stuck_port_costs_one_wait_a_second);
    T(test_escape_switches_between_dom0_and_debug_keys);
    T(test_full_input_drops_the_newest);
    T(test_console_io_refuses_and_changes_nothing);
    T(test_domain_0s_output_is_unprefixed_and_preempted);
    T(test_lines_of_a_domain_that_may_write_are_whole_and_prefixed);
    T(test_a_domain_does_not_wait_for_the_port_with_interrupts_off);
    T(test_the_log_has_messages_and_nothing_that_domains_write);
    T(test_the_log_keeps_the_newest);
    T(test_random_traffic_loses_nothing);
    T(test_random_output_comes_out_as_it_went_in);
    T(test_after_force_locks_and_levels_do_not_count);
    T(test_panic_says_why_and_ends_the_machine);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
