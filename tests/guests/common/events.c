/* Event channels, the upcall, and system time. */
#include "guest.h"

event_fn event_hooks[4096];
volatile unsigned int event_counts[4096];
static uint8_t owners[4096]; /* the vCPU that a port is bound to for good, plus 1 */

void port_mask(unsigned int p)
{
    __asm__ volatile("lock btsq %1, %0"
                     : "+m"(*(uint64_t(*)[64])shared_info->evtchn_mask)
                     : "r"((uint64_t)p)
                     : "memory");
}

void port_clear_mask(unsigned int p)
{
    __asm__ volatile("lock btrq %1, %0"
                     : "+m"(*(uint64_t(*)[64])shared_info->evtchn_mask)
                     : "r"((uint64_t)p)
                     : "memory");
}

void port_clear_pending(unsigned int p)
{
    __asm__ volatile("lock btrq %1, %0"
                     : "+m"(*(uint64_t(*)[64])shared_info->evtchn_pending)
                     : "r"((uint64_t)p)
                     : "memory");
}

void events_handle(unsigned int vcpu)
{
    struct vcpu_info *vi = vcpu_info(vcpu);

    do {
        uint64_t sel;

        vi->evtchn_upcall_pending = 0;
        sel = __atomic_exchange_n(&vi->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
        for (unsigned int w = 0; w < 64; w++) {
            if (!((sel >> w) & 1))
                continue;
            for (unsigned int b = 0; b < 64; b++) {
                unsigned int p = w * 64 + b;

                if (!port_pending(p) || port_masked(p) || (owners[p] && owners[p] != vcpu + 1))
                    continue;
                port_clear_pending(p);
                event_counts[p]++;
                if (event_hooks[p])
                    event_hooks[p](p);
            }
        }
    } while (vi->evtchn_upcall_pending);
}

static void upcall(struct cpu_user_regs *regs)
{
    (void)regs;
    events_handle(0);
}

void events_init(void) { trap_hooks[ENTRY_EVENT] = upcall; }

static int opened(long rc, unsigned int port, unsigned int owner, const char *what)
{
    if (rc)
        error("%s: %ld", what, rc);
    owners[port] = (uint8_t)owner;
    port_clear_mask(port);
    return (int)port;
}

int bind_virq(unsigned int virq, unsigned int vcpu)
{
    struct evtchn_bind_virq op = { .virq = virq, .vcpu = vcpu };
    long rc = hc(event_channel_op, EVTCHNOP_bind_virq, &op);

    return opened(rc, op.port, vcpu + 1, "bind_virq");
}

int bind_ipi(unsigned int vcpu)
{
    struct evtchn_bind_ipi op = { .vcpu = vcpu };
    long rc = hc(event_channel_op, EVTCHNOP_bind_ipi, &op);

    return opened(rc, op.port, vcpu + 1, "bind_ipi");
}

void port_pair(unsigned int *a, unsigned int *b)
{
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain i = { .remote_dom = DOMID_SELF };
    long rc = hc(event_channel_op, EVTCHNOP_alloc_unbound, &u);

    *a = (unsigned int)opened(rc, u.port, 0, "alloc_unbound");
    i.remote_port = *a;
    rc = hc(event_channel_op, EVTCHNOP_bind_interdomain, &i);
    *b = (unsigned int)opened(rc, i.local_port, 0, "bind_interdomain");
}

long port_send(unsigned int port)
{
    struct evtchn_send op = { .port = port };

    return hc(event_channel_op, EVTCHNOP_send, &op);
}

long port_close(unsigned int port)
{
    struct evtchn_close op = { .port = port };

    return hc(event_channel_op, EVTCHNOP_close, &op);
}

long port_unmask_hc(unsigned int port)
{
    struct evtchn_unmask op = { .port = port };

    return hc(event_channel_op, EVTCHNOP_unmask, &op);
}

uint64_t now_ns(unsigned int vcpu)
{
    volatile struct vcpu_time_info *t = &vcpu_info(vcpu)->time;
    uint32_t version;
    uint64_t ns;

    do {
        uint64_t delta;

        version = t->version;
        barrier();
        delta = rdtsc() - t->tsc_timestamp;
        delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
        ns = t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        barrier();
    } while ((version & 1) || version != t->version);
    return ns;
}

void spin_ns(uint64_t ns)
{
    uint64_t end = now_ns(0) + ns;

    while (now_ns(0) < end)
        cpu_relax();
}

/* A port that is to be bound by oneself says by whom. */
domid_t own_domid(void)
{
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_status s = { .dom = DOMID_SELF };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &u), 0);
    s.port = u.port;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_status, &s), 0);
    port_close(u.port);
    return s.u.unbound.dom;
}
