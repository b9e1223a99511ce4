/*
 * EVTCHNOP_reset against everything else that is done with ports at the same time (XSA-343: it freed
 * what others held), against its own length with all ports open (XSA-344: it was not preempted), and
 * a port that is seen before it is complete (XSA-340). dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define NR_PORTS (is_dom0() ? 4096u : 1024u) /* those beside domain 0 may have as many */

static long op(unsigned int cmd, void *arg) { return hc(event_channel_op, cmd, arg); }

static long reset(void)
{
    struct evtchn_reset r = { .dom = DOMID_SELF };

    return op(EVTCHNOP_reset, &r);
}

static long alloc(evtchn_port_t *port)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    long rc = op(EVTCHNOP_alloc_unbound, &a);

    *port = a.port;
    return rc;
}

static uint64_t nr_resets, nr_ops, nr_odd, nr_hits;

/* Something with a low port, which another vCPU may just make, use, move or lose. */
static long anything(unsigned int me)
{
    evtchn_port_t port = 1 + random() % 12;
    struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF, .remote_port = port };
    struct evtchn_bind_virq virq = { .virq = VIRQ_DEBUG, .vcpu = random() % nr_vcpus };
    struct evtchn_bind_ipi ipi = { .vcpu = random() % nr_vcpus };
    struct evtchn_bind_vcpu move = { .port = port, .vcpu = random() % nr_vcpus };
    struct evtchn_status status = { .dom = DOMID_SELF, .port = port };
    struct sched_poll poll = { .nr_ports = 1, .timeout = 1 };
    long rc;

    switch (random() % 9) {
    case 0: return alloc(&port);
    case 1: return op(EVTCHNOP_bind_interdomain, &inter);
    case 2: return op(EVTCHNOP_bind_virq, &virq);
    case 3: return op(EVTCHNOP_bind_ipi, &ipi);
    case 4: return op(EVTCHNOP_bind_vcpu, &move);
    case 5:
        rc = op(EVTCHNOP_status, &status);
        /* half a port: a state that needs the rest, and the rest is missing */
        if (rc == 0 && status.status == EVTCHNSTAT_interdomain && status.u.interdomain.port == 0)
            __atomic_fetch_add(&nr_odd, 1, __ATOMIC_RELAXED);
        return rc;
    case 6: return port_close(port);
    case 7: set_xen_guest_handle(poll.ports, &port); return hc(sched_op, SCHEDOP_poll, &poll);
    default: return port_send(port);
    }
}

static void race(unsigned int me)
{
    vcpu_info(me)->evtchn_upcall_mask = 1;
    while (phase_until(&nr_resets, 5)) {
        long rc = me == 0 && random() % 8 == 0 ? 1 : anything(me);

        if (rc == 1) {
            rc = reset();
            __atomic_fetch_add(&nr_resets, 1, __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&nr_ops, 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&nr_hits, rc == 0, __ATOMIC_RELAXED);
        if (rc && rc != -EINVAL && rc != -EEXIST && rc != -ENOSPC)
            __atomic_fetch_add(&nr_odd, 1, __ATOMIC_RELAXED);
    }
}

static unsigned int nr_open(void)
{
    struct evtchn_status s = { .dom = DOMID_SELF };
    unsigned int n = 0;

    for (s.port = 1; s.port < NR_PORTS; s.port++) {
        long rc = op(EVTCHNOP_status, &s);

        if (rc && on_xen()) /* has no channel at all above those used so far */
            break;
        CHECK_EQ(rc, 0);
        n += s.status != EVTCHNSTAT_closed;
    }
    return n;
}

/* Nothing is left of them, and every VIRQ and vCPU can be bound as if for the first time. */
static void clean(void)
{
    CHECK_EQ(reset(), 0);
    attack("reset.open-ports", nr_open(), 0);
    for (unsigned int v = 0; v < nr_vcpus; v++) {
        struct evtchn_bind_virq virq = { .virq = VIRQ_DEBUG, .vcpu = v };
        int ipi = bind_ipi(v);

        CHECK_EQ(op(EVTCHNOP_bind_virq, &virq), 0);
        CHECK(!port_pending(virq.port));
        CHECK_EQ(port_send((unsigned int)ipi), 0);
        CHECK(port_pending((unsigned int)ipi));
        port_clear_pending((unsigned int)ipi);
    }
    CHECK_EQ(reset(), 0);
    CHECK_EQ(nr_open(), 0);
}

/* ---- how long is one reset? ---- */

static volatile unsigned int nr_stops;
static unsigned int max_stops = ~0u; /* on Xen it starts again with the same port, so for ever */

/* The hypercall with an upcall pending at its beginning, each time that it begins. */
extern char reset_again[], reset_syscall[];
static __attribute__((noinline)) long reset_interrupted(void)
{
    struct evtchn_reset r = { .dom = DOMID_SELF };
    long rc;

    __asm__ volatile(".globl reset_again, reset_syscall\n"
                     "reset_again: movb $1, (%[pending])\n reset_syscall: syscall"
                     : "=a"(rc)
                     : "0"((long)__HYPERVISOR_event_channel_op), "D"((long)EVTCHNOP_reset),
                       "S"(&r), [pending] "b"(&vcpu_info(0)->evtchn_upcall_pending)
                     : "rcx", "r11", "memory");
    return rc;
}

static void on_upcall(struct cpu_user_regs *regs)
{
    vcpu_info(0)->evtchn_upcall_pending = 0;
    vcpu_info(0)->evtchn_pending_sel = 0;
    if (regs->rip == (uint64_t)reset_syscall && nr_stops++ < max_stops) /* it is not done yet */
        regs->rip = (uint64_t)reset_again;
}

static void preemption(void)
{
    evtchn_port_t port;
    unsigned int n = 0;

    while (alloc(&port) == 0)
        n++;
    CHECK(n > NR_PORTS - 100);
    if (on_xen())
        max_stops = n / 16;
    trap_hooks[ENTRY_EVENT] = on_upcall;
    events_on();
    CHECK_EQ(reset_interrupted(), 0);
    events_off();
    print("xsa_343: %u ports closed with %u stops\n", n, nr_stops);
    CHECK(nr_stops >= n / 128); /* never more than 128 in one go */
    CHECK_EQ(nr_open(), 0);
}

void test_main(void)
{
    smp_init();
    phase("reset", 1500, race);
    print("xsa_343: %lu resets among %lu operations, %lu of them done\n", nr_resets, nr_ops,
          nr_hits);
    CHECK(nr_resets >= 5);
    print("xsa_343: %lu odd answers\n", nr_odd); /* Xen has more errnos, at random */
    CHECK(nr_odd == 0 || on_xen());
    clean();
    preemption();
}
