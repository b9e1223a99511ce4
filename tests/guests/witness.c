/*
 * Domain 0 beside a domain that does its worst (beside.tsv): while that lives, nothing of this one's changes,
 * and no vCPU of it waits for long. When it has ended, it is taken to pieces if the hypervisor does that.
 */
#include "guest.h"

#define TICK_NS 1000000UL

/* Nanoseconds that this vCPU has been able to run and did not, ever. */
static uint64_t waited_ns(void)
{
    struct vcpu_runstate_info r;

    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 0, &r), 0);
    return r.time[RUNSTATE_runnable];
}

void test_main(void)
{
    evtchn_port_t port = (evtchn_port_t)bind_virq(VIRQ_DOM_EXC, 0);
    struct sched_poll poll = { .nr_ports = 1 };
    uint64_t longest = 0, ticks = 0;

    set_xen_guest_handle(poll.ports, &port);
    attacks_begin();
    while (!port_pending(port)) {
        uint64_t before = waited_ns();

        poll.timeout = now_ns(0) + TICK_NS;
        hc(sched_op, SCHEDOP_poll, &poll);
        before = waited_ns() - before;
        longest = before > longest ? before : longest;
        if (++ticks % 64 == 0)
            witness_check();
    }
    print("witness: %lu ticks, the longest wait for a CPU was %lu us\n", ticks, longest / 1000);
}
