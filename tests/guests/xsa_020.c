/*
 * Deadlines at every edge of 64 bits, for each way to set a timer: on Xen some of them overflowed in
 * the hypervisor's own arithmetic, and it computed the next one for ever (XSA-20). After each the
 * timer has to work, and the machine to go on.
 */
#include "guest.h"

static unsigned int timer_port;
static const uint64_t edges[] = { 1,
                                  999,
                                  1000000,
                                  0x7fffffff,
                                  0x80000000,
                                  0xffffffff,
                                  0x100000000,
                                  1UL << 50,
                                  (1UL << 50) + 1,
                                  0x7ffffffffffffffe,
                                  0x7fffffffffffffff,
                                  0x8000000000000000,
                                  0x8000000000000001,
                                  0xffffffff00000000,
                                  0xfffffffffffffffe,
                                  0xffffffffffffffff };

static long singleshot(uint64_t at, uint32_t flags)
{
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = at, .flags = flags };

    return hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t);
}

static bool fires(void)
{
    uint64_t end = now_ns(0) + PATIENCE_NS;

    while (!port_pending(timer_port) && now_ns(0) < end)
        yield();
    return port_pending(timer_port);
}

/* A deadline in 100 us replaces whatever there was, and comes; set in either way. */
static bool works(void)
{
    long rc;

    port_clear_pending(timer_port);
    rc = singleshot(now_ns(0) + 100000, 0);
    if (rc || !fires())
        return false;
    port_clear_pending(timer_port);
    rc = hc(set_timer_op, now_ns(0) + 100000);
    return rc == 0 && fires();
}

static void one_shot(void)
{
    unsigned int dead = 0, odd = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(edges); i++) {
        long rc = singleshot(edges[i], 0);

        odd += rc != 0;
        dead += !works();
        rc = singleshot(edges[i], VCPU_SSHOTTMR_future);
        odd += rc != (edges[i] < now_ns(0) ? -ETIME : 0);
        dead += !works();
        CHECK_EQ(hc(set_timer_op, edges[i]), 0);
        dead += !works();
    }
    attack("singleshot.dead-timers", dead, 0);
    attack("singleshot.answers", odd, 0);
    /* what lies in the past comes at once, however far */
    for (unsigned int i = 0; i < 3; i++) {
        port_clear_pending(timer_port);
        CHECK_EQ(singleshot(edges[i], 0), 0);
        CHECK(fires());
    }
}

/* The period is what is added until the deadline lies ahead. */
static void periodic(void)
{
    static const uint64_t periods[] = {
        0, 1, 999999, 0x7fffffffffffffff, 0x8000000000000000, ~0UL
    };
    unsigned int taken = 0, dead = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(periods); i++) {
        struct vcpu_set_periodic_timer t = { .period_ns = periods[i] };

        taken += hc(vcpu_op, VCPUOP_set_periodic_timer, 0, &t) == 0;
        dead += !works();
    }
    attack("periodic.taken", taken, 0);
    attack("periodic.dead-timers", dead, 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
}

/* A poll ends by its timeout, or by the timer's port, whatever the timeout is. */
static void polls(void)
{
    struct sched_poll poll = { .nr_ports = 1 };
    evtchn_port_t port = timer_port;
    unsigned int late = 0;

    set_xen_guest_handle(poll.ports, &port);
    for (unsigned int i = 0; i < ARRAY_SIZE(edges); i++) {
        uint64_t begin = now_ns(0);

        port_clear_pending(timer_port);
        poll.timeout = edges[i];
        CHECK_EQ(singleshot(begin + 300000, 0), 0);
        CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0);
        late += now_ns(0) - begin > PATIENCE_NS;
    }
    attack("poll.late", late, 0);
}

/* Deadlines that have passed, as fast as they can be set: the other vCPU still gets its turn. */
static void storm(void)
{
    for (unsigned int i = 0; i < 4000; i++)
        hc(set_timer_op, i % 2 ? 1 : now_ns(0));
    hc(set_timer_op, 0);
    witness_check();
    CHECK(works());
}

void test_main(void)
{
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = 1 };

    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    timer_port = (unsigned int)bind_virq(VIRQ_TIMER, 0);
    attacks_begin();
    CHECK(works());
    one_shot();
    periodic();
    polls();
    attack("singleshot.of-another", hc(vcpu_op, VCPUOP_set_singleshot_timer, 1, &t), -EINVAL);
    storm();
}
