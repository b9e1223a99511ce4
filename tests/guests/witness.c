/*
 * Domain 0 beside a domain that does its worst (beside.tsv): while that lives, nothing of this one's changes,
 * and no vCPU of it waits for long. When it has ended, it is taken to pieces if the hypervisor does that.
 */
#include "guest.h"

#define TICK_NS 1000000UL

/* Domain 1's ports for the store and the console wait for us, as for their daemons. */
static unsigned int bind(unsigned int port)
{
    struct evtchn_bind_interdomain op = { .remote_dom = 1, .remote_port = port };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_interdomain, &op), 0);
    port_clear_pending(op.local_port); /* it is, at first */
    return op.local_port;
}

/* An event over each port, and it answers. */
static void greet(unsigned int store, unsigned int console)
{
    for (unsigned int i = 0; i < 2; i++) {
        unsigned int port = i ? console : store;
        uint64_t end;

        CHECK_EQ(port_send(port), 0);
        for (end = now_ns(0) + PATIENCE_NS; !port_pending(port) && now_ns(0) < end;)
            hc(sched_op, SCHEDOP_yield, 0);
        CHECK(port_pending(port));
    }
}

static bool is_for(const char *name)
{
    const char *s = (const char *)start_info->cmd_line;

    for (; *s; s++)
        if (strcmp(s, name) == 0)
            return true;
    return false;
}

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
    unsigned int store;

    set_xen_guest_handle(poll.ports, &port);
    attacks_begin();
    store = bind(1); /* it begins */
    if (is_for("beside=domu"))
        greet(store, bind(2));
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
