/* Event channels with the two-level ABI: per vCPU one word of selectors, each for 64 ports. */
#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>

#include <xen/physdev.h>
#include <xen/version.h>

#include "internal.h"

enum { NR_PORTS = 4096, WORD_BITS = 64 };

/* Written before the port is unmasked, read by the upcall. */
static struct port {
    event_fn fn; /* NULL: not ours */
    void *arg;
    unsigned int cpu;
    int pirq; /* to be acknowledged; -1: none */
} ports[NR_PORTS];

static bool bit_test_clear(xen_ulong_t *words, unsigned int port)
{
    xen_ulong_t bit = 1UL << port % WORD_BITS;

    return (__atomic_fetch_and(&words[port / WORD_BITS], ~bit, __ATOMIC_SEQ_CST) & bit) != 0;
}

static bool bit_test(const xen_ulong_t *words, unsigned int port)
{
    return (__atomic_load_n(&words[port / WORD_BITS], __ATOMIC_SEQ_CST) >> port % WORD_BITS) & 1;
}

static void deliver(unsigned int port)
{
    struct port *p = &ports[port];

    if (!bit_test_clear(shared_info->evtchn_pending, port))
        return;
    p->fn(port, p->arg);
    if (p->pirq >= 0) {
        struct physdev_eoi eoi = { .irq = (uint32_t)p->pirq };

        hc(physdev_op, PHYSDEVOP_eoi, &eoi);
    }
}

/*
 * The order matters: first evtchn_upcall_pending is cleared, then the selectors are taken, then the
 * ports. What comes in at any moment sets all three anew, so the loop or a next upcall sees it.
 * A word holds ports of other vCPUs, too: those are theirs.
 */
void event_upcall(void)
{
    struct cpu *c = this_cpu();
    struct vcpu_info *vi = c->vcpu_info;

    c->in_handler++;
    while (__atomic_exchange_n(&vi->evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST)) {
        xen_ulong_t words = __atomic_exchange_n(&vi->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);

        for (; words; words &= words - 1) {
            unsigned int w = (unsigned int)__builtin_ctzl(words);
            xen_ulong_t bits = __atomic_load_n(&shared_info->evtchn_pending[w], __ATOMIC_SEQ_CST) &
                               ~__atomic_load_n(&shared_info->evtchn_mask[w], __ATOMIC_SEQ_CST);

            for (; bits; bits &= bits - 1) {
                unsigned int port = w * WORD_BITS + (unsigned int)__builtin_ctzl(bits);

                if (ports[port].fn && ports[port].cpu == c->id)
                    deliver(port);
            }
        }
    }
    c->in_handler--;
}

/* Events on: whatever is pending wants an upcall, and any hypercall makes the hypervisor look. */
void events_restore(bool were_off)
{
    volatile struct vcpu_info *vi = this_cpu()->vcpu_info;

    if (were_off)
        return;
    __asm__ volatile("" ::: "memory");
    vi->evtchn_upcall_mask = 0;
    __asm__ volatile("" ::: "memory");
    if (vi->evtchn_upcall_pending)
        hc(xen_version, XENVER_version, 0);
}

void events_init(void)
{
    for (unsigned int w = 0; w < ARRAY_SIZE(shared_info->evtchn_mask); w++)
        __atomic_store_n(&shared_info->evtchn_mask[w], ~0UL, __ATOMIC_SEQ_CST);
}

/* rc: of the hypercall that made the port. */
static int opened(long rc, unsigned int port, unsigned int cpu, int pirq, event_fn fn, void *arg)
{
    if (rc)
        return (int)rc;
    ports[port] = (struct port){ fn, arg, cpu, pirq };
    event_unmask(port);
    return (int)port;
}

int event_bind_virq(unsigned int virq, unsigned int cpu, event_fn fn, void *arg)
{
    struct evtchn_bind_virq op = { .virq = virq, .vcpu = cpu };
    long rc = hc(event_channel_op, EVTCHNOP_bind_virq, &op);

    return opened(rc, op.port, cpu, -1, fn, arg);
}

int event_bind_ipi(unsigned int cpu, event_fn fn, void *arg)
{
    struct evtchn_bind_ipi op = { .vcpu = cpu };
    long rc = hc(event_channel_op, EVTCHNOP_bind_ipi, &op);

    return opened(rc, op.port, cpu, -1, fn, arg);
}

int event_bind_pirq(unsigned int pirq, bool share, event_fn fn, void *arg)
{
    struct evtchn_bind_pirq op = { .pirq = pirq, .flags = share ? BIND_PIRQ__WILL_SHARE : 0 };
    struct physdev_irq_status_query status = { .irq = pirq };
    bool needs_eoi = hc(physdev_op, PHYSDEVOP_irq_status_query, &status) != 0 ||
                     (status.flags & XENIRQSTAT_needs_eoi);
    long rc = hc(event_channel_op, EVTCHNOP_bind_pirq, &op);
    int port = opened(rc, op.port, 0, needs_eoi ? (int)pirq : -1, fn, arg);

    if (port > 0 &&
        needs_eoi) { /* an interrupt that came before anybody listened must not hold up the next */
        struct physdev_eoi eoi = { .irq = pirq };

        hc(physdev_op, PHYSDEVOP_eoi, &eoi);
    }
    return port;
}

int event_alloc_unbound(domid_t remote, event_fn fn, void *arg)
{
    struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = remote };
    long rc = hc(event_channel_op, EVTCHNOP_alloc_unbound, &op);

    return opened(rc, op.port, 0, -1, fn, arg);
}

int event_bind_interdomain(domid_t remote, unsigned int remote_port, event_fn fn, void *arg)
{
    struct evtchn_bind_interdomain op = { .remote_dom = remote, .remote_port = remote_port };
    long rc = hc(event_channel_op, EVTCHNOP_bind_interdomain, &op);

    return opened(rc, op.local_port, 0, -1, fn, arg);
}

int event_attach(unsigned int port, event_fn fn, void *arg)
{
    return opened(port && port < NR_PORTS ? 0 : -22, port, 0, -1, fn, arg);
}

long event_send(unsigned int port)
{
    struct evtchn_send op = { .port = port };

    return hc(event_channel_op, EVTCHNOP_send, &op);
}

void event_mask(unsigned int port)
{
    if (port < NR_PORTS)
        __atomic_fetch_or(&shared_info->evtchn_mask[port / WORD_BITS], 1UL << port % WORD_BITS,
                          __ATOMIC_SEQ_CST);
}

/* If something is pending, only the hypervisor can tell the right vCPU. */
void event_unmask(unsigned int port)
{
    struct evtchn_unmask op = { .port = port };

    if (port >= NR_PORTS)
        return;
    bit_test_clear(shared_info->evtchn_mask, port);
    if (bit_test(shared_info->evtchn_pending, port)) {
        event_mask(port);
        hc(event_channel_op, EVTCHNOP_unmask, &op);
    }
}

long event_close(unsigned int port)
{
    struct evtchn_close op = { .port = port };

    event_mask(port);
    return hc(event_channel_op, EVTCHNOP_close, &op);
}
