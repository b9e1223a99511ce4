/* Timers, the pvclock page, the wall clock, run-state times. */
#include "guest.h"

static unsigned int timer;
#define MS 1000000ULL

static void wait_timer(unsigned int count)
{
    uint64_t end = now_ns(0) + 2000 * MS;

    while (event_counts[timer] < count && now_ns(0) < end)
        cpu_relax();
}

static void single_shot(void)
{
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = now_ns(0) + 5 * MS };
    unsigned int before = event_counts[timer];
    long rc;

    CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
    CHECK_EQ(event_counts[timer], before);
    wait_timer(before + 1);
    CHECK_EQ(event_counts[timer], before + 1);
    CHECK(now_ns(0) >= t.timeout_abs_ns);
    spin_ns(10 * MS);
    CHECK_EQ(event_counts[timer], before + 1); /* once only */

    t.timeout_abs_ns = now_ns(0) - MS; /* past: at once */
    CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
    wait_timer(before + 2);
    CHECK_EQ(event_counts[timer], before + 2);
    t.flags = VCPU_SSHOTTMR_future; /* past, and only the future is wanted */
    t.timeout_abs_ns = now_ns(0) - MS;
    rc = hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t);
    CHECK(rc == -ETIME || rc == 0); /* Xen since 4.17 ignores the flag */
    spin_ns(2 * MS);
    CHECK_EQ(event_counts[timer], before + (rc ? 2 : 3));
    before = event_counts[timer] - 2;
    t.flags = 0;
    t.timeout_abs_ns = now_ns(0) + 20 * MS;
    CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
    spin_ns(40 * MS);
    CHECK_EQ(event_counts[timer], before + 2);
    CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, 0x1000), -EFAULT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 77, &t), -ENOENT);
    t.timeout_abs_ns = ~0ULL; /* never */
    CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
}

static void timer_op(void)
{
    unsigned int before = event_counts[timer];
    uint64_t t0 = now_ns(0);

    CHECK_EQ(hc(set_timer_op, t0 + 5 * MS), 0);
    wait_timer(before + 1);
    CHECK_EQ(event_counts[timer], before + 1);
    CHECK(now_ns(0) - t0 >= 5 * MS);
    CHECK_EQ(hc(set_timer_op, t0 + 50 * MS), 0);
    CHECK_EQ(hc(set_timer_op, 0), 0); /* zero stops it */
    spin_ns(60 * MS);
    CHECK_EQ(event_counts[timer], before + 1);
}

/* Linux stops the periodic timer, nobody sets it. */
static void no_periodic(void)
{
    struct vcpu_set_periodic_timer p = { .period_ns = 10 * MS };

    attack("time.set-periodic-timer", hc(vcpu_op, VCPUOP_set_periodic_timer, 0, &p), -ENOSYS);
    CHECK_EQ(hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0), 0);
}

static void clocks(void)
{
    struct vcpu_time_info *t = &vcpu_info(0)->time;
    uint64_t last = now_ns(0), tsc = rdtsc(), n;
    unsigned int back = 0;

    CHECK(t->tsc_to_system_mul != 0);
    CHECK_EQ(t->version & 1, 0);
    for (unsigned int i = 0; i < 200000; i++) {
        n = now_ns(0);
        back += n < last;
        last = n;
    }
    CHECK_EQ(back, 0);
    CHECK(rdtsc() > tsc);
    print("time: system time %lu ns, wall clock %u s + %u ns\n", last, shared_info->wc_sec,
          shared_info->wc_nsec);
    CHECK_EQ(shared_info->wc_version & 1, 0);
    CHECK(shared_info->wc_nsec < 1000000000);
    /* system time at boot: between the day this was written and 2100 */
    CHECK(shared_info->wc_sec_hi == 0 && shared_info->wc_sec > 1577836800u &&
          shared_info->wc_sec < 4102444800u);
}

static void runstates(void)
{
    static struct vcpu_runstate_info area;
    struct vcpu_register_runstate_memory_area reg = { 0 };
    struct vcpu_runstate_info now;
    uint64_t t0 = now_ns(0), sum0, sum1, blocked;

    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 0, &now), 0);
    CHECK_EQ(now.state, RUNSTATE_running);
    sum0 = now.time[0] + now.time[1] + now.time[2] + now.time[3];
    t0 = now_ns(0);
    reg.addr.v = &area;
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &reg), 0);
    CHECK_EQ(area.state, RUNSTATE_running);
    blocked = area.time[RUNSTATE_blocked];
    hc(set_timer_op, now_ns(0) + 20 * MS);
    hc(sched_op, SCHEDOP_block, 0);
    CHECK(area.time[RUNSTATE_blocked] - blocked >= 15 * MS);
    CHECK(area.time[RUNSTATE_blocked] - blocked <= 1000 * MS);
    CHECK_EQ(area.state, RUNSTATE_running);
    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 0, &now), 0);
    sum1 = now.time[0] + now.time[1] + now.time[2] + now.time[3];
    t0 = now_ns(0) - t0;
    print("time: run states grew %lu ns, the clock %lu ns\n", sum1 - sum0, t0);
    CHECK(sum1 - sum0 <= t0 + 2 * MS && sum1 - sum0 + 20 * MS >= t0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 0, 0x1000), -EFAULT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 99, &now), -ENOENT);
}

/* A second home for vcpu_info's time, and for vcpu_info itself. */
static void time_area(void)
{
    static struct vcpu_time_info area;
    struct vcpu_register_time_memory_area reg = { 0 };

    reg.addr.v = &area;
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &reg), 0);
    CHECK(area.tsc_to_system_mul == vcpu_info(0)->time.tsc_to_system_mul);
    CHECK_EQ(area.version & 1, 0);
}

void test_main(void)
{
    events_init();
    timer = (unsigned int)bind_virq(VIRQ_TIMER, 0);
    events_on();
    clocks();
    single_shot();
    timer_op();
    no_periodic();
    runstates();
    time_area();
}
