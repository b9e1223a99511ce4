/*
 * Messages are formatted under console_lock into the log, which is kept for `xl dmesg`, and into the
 * port's ring, where what domain 0 writes goes, too. What of that the serial port has not had yet
 * goes there at once (early, sync_console, after console_force()) or by its interrupt.
 * The interrupt only turns itself off and raises SOFTIRQ_SERIAL; that serves the port, gives what
 * was received to domain 0 or to the debug keys, and turns the interrupt on again.
 */
#include "console/console.h"

#include "event/evtchn.h"
#include "irq/irq.h"
#include "x86/serial.h"
#include "x86/upcalls.h"

#define TX_BYTES 16384u /* the sizes of rings are powers of two */
#define LOG_BYTES 16384u
#define RX_BYTES 256u
#define GUEST_LINE_BYTES 512u
#define TX_DEAD_NS SECONDS(10) /* a stuck port is tried again after this */

#define GPRINT_BURST 20u
#define GPRINT_PERIOD_NS MILLISECS(100)

#define ESCAPE '\1' /* CTRL-a; three of them switch the input */

static struct spinlock console_lock = SPINLOCK_INIT(L_CONSOLE);

/* All below: console_lock. Positions are free-running. */
static char tx_ring[TX_BYTES], message[512];
static uint32_t tx_begin, tx_end; /* between them is what the port has not had */
static char tx_last = '\n';
static char log_ring[LOG_BYTES];
static uint32_t log_begin, log_end; /* where it was cleared last, and its end; the ring has */
static uint32_t log_kept;           /* as many before that */
static uint64_t tx_dead_until;
static uint64_t gprint_paid_ns; /* each guest message moves it on by a period */
static uint32_t gprint_suppressed;
static bool port_open, irq_driven;

static const struct pcpu *forced_by; /* the only one to say something, see console_force() */

/* The softirq alone moves the end, readers the beginning: no lock. */
static char dom0_rx[RX_BYTES];
static _Atomic uint32_t dom0_begin, dom0_end;

/* ---- output ---- */

/* Move up to one FIFO of the log to the port. A port that stays busy loses what it has not had. */
static bool tx_fill_fifo(bool wait)
{
    uint32_t room, n = tx_end - tx_begin, at = tx_begin % TX_BYTES;

    if (n == 0 || !port_open)
        return false;
    room = serial_tx_room(wait);
    if (room == 0 && wait) {
        tx_dead_until = arch_time_ns() + TX_DEAD_NS;
        tx_begin = tx_end;
    } else if (room) {
        n = MIN(n, TX_BYTES - at); /* what lies behind the ring's end goes next time */
        serial_tx(tx_ring + at, MIN(n, room), &tx_begin);
    }
    return tx_begin != tx_end;
}

static void tx_start(void)
{
    bool wait = !irq_driven || forced_by || options.sync_console;

    if (unlikely(tx_dead_until)) {
        if (arch_time_ns() < tx_dead_until)
            tx_begin = tx_end;
        else
            tx_dead_until = 0;
    }
    while (tx_fill_fifo(wait) && wait)
        ;
    if (irq_driven)
        serial_irq_enable(SERIAL_IRQ_RX | (tx_begin != tx_end ? SERIAL_IRQ_TX : 0));
}

/* n bytes from p on into a ring, where end is; n is at most its size. */
static void ring_put(char *ring, uint32_t size, uint32_t end, const char *p, uint32_t n)
{
    uint32_t at = end % size, n1 = MIN(n, size - at);

    memcpy(ring + at, p, n1);
    if (n1 < n)
        memcpy(ring, p + n1, n - n1);
}

/* Fewer than TX_BYTES, as they are. */
static void tx_append(const char *p, uint32_t n)
{
    while (tx_end - tx_begin > TX_BYTES - n)
        if (port_open)
            tx_fill_fifo(true);
        else
            tx_begin = tx_end + n - TX_BYTES; /* no port, or not yet: the oldest go */
    ring_put(tx_ring, TX_BYTES, tx_end, p, n);
    tx_end += n;
}

/* The terminal wants a carriage return with each line feed. */
static void tx_text(const char *p, size_t len)
{
    for (const char *end = p + len; p < end;) {
        const char *from = p;

        while (p < end && *p != '\n')
            p++;
        if (p > from) {
            tx_append(from, (uint32_t)(p - from));
            tx_last = p[-1];
        }
        if (p < end) {
            if (tx_last == '\r')
                tx_append("\n", 1);
            else
                tx_append("\r\n", 2);
            tx_last = *p++;
        }
    }
}

static const char ours[] = "(XEN) ";

static void log_append(const char *p, uint32_t n)
{
    ring_put(log_ring, LOG_BYTES, log_end, p, n);
    log_end += n;
    log_kept = MIN(log_kept + n, LOG_BYTES);
    tx_append(p, n);
}

/*
 * One message: whole lines, each with the prefix. It may quote a guest: no control characters. What is
 * not ours does not go into the log.
 */
static void emit_locked(const char *prefix, char *text)
{
    void (*append)(const char *p, uint32_t n) = prefix == ours ? log_append : tx_append;

    if (tx_last != '\n')
        tx_text("\n", 1); /* a domain's unfinished line */
    do {
        const char *from = text;

        for (; *text && *text != '\n'; text++)
            if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f ||
                (unsigned char)(*text - 0x80) < 0x20) /* C1: a terminal's escape, too */
                *text = '?';
        append(prefix, (uint32_t)strlen(prefix));
        append(from, (uint32_t)(text - from));
        tx_append("\r", 1);
        append("\n", 1);
    } while (*text && *++text);
    tx_start();
}

/* GPRINT_BURST messages at once, then one a period. */
static bool gprint_permitted_locked(void)
{
    uint64_t now = arch_time_ns();

    gprint_paid_ns = MAX(gprint_paid_ns, now);
    if (gprint_paid_ns - now > (GPRINT_BURST - 1) * GPRINT_PERIOD_NS) {
        gprint_suppressed++;
        return false;
    }
    gprint_paid_ns += GPRINT_PERIOD_NS;
    if (gprint_suppressed) {
        xl_snprintf(message, sizeof(message), "%u guest messages suppressed", gprint_suppressed);
        emit_locked(ours, message);
        gprint_suppressed = 0;
    }
    return true;
}

void print(enum log_level level, const char *fmt, ...)
{
    bool by_guest = level & LOG_GUEST;
    uint32_t threshold = by_guest ? options.guest_loglvl : options.loglvl;
    unsigned long flags;
    va_list ap;

    if (forced_by ? forced_by != this_pcpu() : (level & ~LOG_GUEST) >= threshold)
        return;
    flags = spin_lock_irqsave(&console_lock);
    if (!by_guest || gprint_permitted_locked()) {
        va_start(ap, fmt);
        xl_vsnprintf(message, sizeof(message), fmt, ap);
        va_end(ap);
        emit_locked(ours, message);
    }
    spin_unlock_irqrestore(&console_lock, flags);
}

void console_force(void)
{
    forced_by = this_pcpu();
    this_pcpu()->locks_held = 0;
    console_lock = SPINLOCK_INIT(L_CONSOLE); /* whoever held it does not go on */
}

void console_drain(void)
{
    unsigned long flags = spin_lock_irqsave(&console_lock);

    atomic_store(&this_pcpu()->stands_still, true); /* a slow line takes its time */
    while (tx_fill_fifo(true))
        ;
    if (port_open)
        serial_tx_drain();
    atomic_store(&this_pcpu()->stands_still, false);
    spin_unlock_irqrestore(&console_lock, flags);
}

/* ---- the log ---- */

uint32_t console_log_begin(void) { return READ_ONCE(log_begin); }

uint32_t console_log_read(uint32_t *at, char *buf, uint32_t size)
{
    unsigned long flags = spin_lock_irqsave(&console_lock);
    uint32_t n;

    if (log_end - *at > log_kept)
        *at = log_end - log_kept;
    n = MIN(log_end - *at, size);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = log_ring[(*at + i) % LOG_BYTES];
    *at += n;
    spin_unlock_irqrestore(&console_lock, flags);
    return n;
}

void console_log_clear(uint32_t at) { WRITE_ONCE(log_begin, at); }

/* ---- input ---- */

/* Escapes reach domain 0 as well, but for the third. What a full ring has no room for is lost. */
static void input(char c)
{
    static bool is_ours;
    static unsigned int nr_escapes;

    nr_escapes = c == ESCAPE ? nr_escapes + 1 : 0;
    if (nr_escapes == 3) {
        nr_escapes = 0;
        is_ours = !is_ours;
        print(LOG_ERR, "*** Serial input to %s (type 'CTRL-a' three times to switch input)",
              is_ours ? "the hypervisor: h lists the debug keys" : "DOM0");
    } else if (is_ours) {
        debug_key_run((uint8_t)c);
    } else if (dom0_end - dom0_begin < RX_BYTES) {
        dom0_rx[dom0_end % RX_BYTES] = c;
        dom0_end++;
    }
}

void console_softirq(void)
{
    uint32_t dom0_end_before = dom0_end;
    unsigned long flags;
    int c = 0;

    for (unsigned int i = 0; i < RX_BYTES && (c = serial_rx()) >= 0; i++)
        input((char)c);
    flags = spin_lock_irqsave(&console_lock);
    irq_driven = true;
    tx_start();
    spin_unlock_irqrestore(&console_lock, flags);
    if (dom0_end != dom0_end_before && hardware_domain)
        virq_send_global(hardware_domain, VIRQ_CONSOLE);
}

static void console_interrupt(void)
{
    serial_irq_enable(SERIAL_IRQ_NONE);
    softirq_raise(SOFTIRQ_SERIAL);
}

/* ---- setup ---- */

void console_options(void)
{
    if (!options.console_com1 || !options.com1_baud)
        return;
    port_open = serial_open(options.com1_baud);
    if (!port_open)
        print(LOG_ERR, "com1: no serial port at 0x%x", COM1_IO);
    console_drain();
}

void console_irq_init(void)
{
    if (port_open && irq_request_hv(COM1_IRQ, console_interrupt) != 0)
        print(LOG_ERR, "The serial port's interrupt is not to be had: no input");
    else if (port_open)
        softirq_raise(SOFTIRQ_SERIAL);
}

/* ---- HYPERVISOR_console_io ---- */

/*
 * Of a domain that boot gave the right to it (the word `console`), whole lines: another's do not break
 * them. Up to the first one's end; returns how much that is.
 */
static size_t guest_line_locked(struct domain *d, const char *p, size_t len)
{
    char prefix[16];
    size_t i;

    for (i = 0; i < len && p[i] != '\n' && d->console_len < GUEST_LINE_BYTES - 1; i++)
        d->console_line[d->console_len++] = p[i];
    if (i == len)
        return len;
    xl_snprintf(prefix, sizeof(prefix), "(d%u) ", d->domain_id);
    d->console_line[d->console_len] = '\0';
    d->console_len = 0;
    emit_locked(prefix, d->console_line);
    return i + (p[i] == '\n');
}

static long console_write(uint64_t count, uint64_t buffer)
{
    struct domain *d = current->domain;
    char chunk[64]; /* bounds the time with interrupts off */
    bool full;

    while (count) {
        size_t len = MIN(count, sizeof(chunk));
        unsigned long flags;

        if (copy_from_guest(chunk, _gva(buffer), len))
            return -EFAULT;
        flags = spin_lock_irqsave(&console_lock);
        /* what a line of a domain's takes, so that it does not wait for the port with interrupts off */
        full =
            d->console_line && irq_driven && TX_BYTES - (tx_end - tx_begin) < GUEST_LINE_BYTES + 32;
        if (full) {
            len = 0; /* it comes again, behind what the interrupt has brought */
        } else if (d->console_line) {
            len = guest_line_locked(d, chunk, len);
        } else {
            tx_text(chunk, len);
            tx_start();
        }
        spin_unlock_irqrestore(&console_lock, flags);
        count -= len;
        buffer += len;
        if (full || (count && hypercall_preempt_check()))
            return hypercall_continue(3, (uint64_t[]){ CONSOLEIO_write, count, buffer });
    }
    return 0;
}

/* Characters leave the ring only after the guest has them. */
static long console_read(uint64_t count, uint64_t buffer)
{
    char chunk[RX_BYTES];
    uint32_t most = (uint32_t)MIN(count, sizeof(chunk)), begin = dom0_begin;
    uint32_t n = MIN(dom0_end - begin, most);

    for (uint32_t i = 0; i < n; i++)
        chunk[i] = dom0_rx[(begin + i) % RX_BYTES];
    if (copy_to_guest(_gva(buffer), chunk, n))
        return -EFAULT;
    /* If another vCPU has read them as well, they are gone already. */
    atomic_compare_exchange_strong(&dom0_begin, &begin, begin + n);
    return (long)n;
}

long hc_console_io(uint64_t cmd, uint64_t count, uint64_t buffer, uint64_t a4, uint64_t a5)
{
    if (policy_check(current->domain, NULL, RIGHT_CONSOLE) &&
        (current->domain->console_line == NULL || (uint32_t)cmd != CONSOLEIO_write))
        return -EPERM;
    count = (uint32_t)count; /* the ABI's int */
    switch ((uint32_t)cmd) {
    case CONSOLEIO_write: return console_write(count, buffer);
    case CONSOLEIO_read: return console_read(count, buffer);
    default: return -ENOSYS;
    }
}
