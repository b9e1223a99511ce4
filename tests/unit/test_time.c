/* The time ABI: time info, wall clock, vCPU timers. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/upcalls.h"

static struct domain *d;
static struct vcpu *v;
static uint64_t tsc_khz = 1000000;
static unsigned int virqs;

uint64_t arch_tsc_khz(void) { return tsc_khz; }
static void virq(struct vcpu *to, uint32_t n)
{
    CU_ASSERT(to == v && n == VIRQ_TIMER);
    virqs++;
}

/* what a guest computes */
static uint64_t guest_time(const volatile struct vcpu_time_info *t, uint64_t tsc)
{
    uint64_t delta = tsc - t->tsc_timestamp;

    CU_ASSERT_EQUAL(t->version & 1, 0);
    delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
    return t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
}

static void setup(void)
{
    fake_reset(2);
    fake_now_ns = 1000;
    virqs = 0;
    tsc_khz = 1000000;
    arch_tsc_reliable = false;
    arch_tsc_scale = (struct tsc_scale){ 0, 0x80000000u, 1 };
    timers_init_cpu(0);
    timers_init_cpu(1);
    time_register_virq(virq);
    d = fake_domain(1, 1);
    v = d->vcpu[0];
    fake_current(v);
    vcpu_timers_init(v);
    vcpu_time_update(v);
}

static void teardown(void)
{
    vcpu_timers_kill(v);
    fake_domain_free(d);
}

static void pass(uint64_t ns)
{
    fake_now_ns += ns;
    if (fake_timer_deadline && fake_timer_deadline <= fake_now_ns)
        softirq_raise(SOFTIRQ_TIMER);
    softirq_run();
    fake_irqs_on = true;
}

static void test_a_native_guest_has_our_time_for_ever(void)
{
    static const uint64_t at[] = { 1, 999, 1000000007, 1ULL << 50, 1ULL << 62 };

    setup();
    arch_tsc_scale = (struct tsc_scale){ 12345, 3006477107u, -1 }; /* 2.857 GHz */
    vcpu_time_update(v);
    for (unsigned int i = 0; i < ARRAY_SIZE(at); i++)
        CU_ASSERT_EQUAL(guest_time(&v->info->time, 12345 + at[i]),
                        tsc_scale_ns(&arch_tsc_scale, 12345 + at[i]));
    CU_ASSERT_EQUAL(v->info->time.flags, 0);
    arch_tsc_reliable = true;
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(v->info->time.flags, XEN_PVCLOCK_TSC_STABLE_BIT);
    teardown();
}

static void test_an_emulated_tsc_never_goes_backwards_nor_drifts(void)
{
    uint64_t last_tsc = 0, last_time = 0;

    setup();
    tsc_khz = 2857137; /* and its scale, rounded down */
    arch_tsc_scale = (struct tsc_scale){ 0, (uint32_t)((1000000ULL << 33) / tsc_khz), -1 };
    d->vtsc = true;
    vcpu_time_update(v);
    for (unsigned int i = 0; i < 100000; i++) {
        uint64_t tsc, t;

        fake_now_ns += i * 7919 % 100003;
        if (i % 97 == 0)
            vcpu_time_update(v);
        tsc = guest_tsc(v);
        t = guest_time(&v->info->time, tsc);
        CU_ASSERT_FATAL(tsc >= last_tsc && t >= last_time);
        CU_ASSERT_FATAL(t <= fake_now_ns && fake_now_ns - t < 5);
        last_tsc = tsc;
        last_time = t;
    }
    CU_ASSERT_EQUAL(v->info->time.flags, 0);
    teardown();
}

static void test_versions_are_odd_while_writing_and_even_after(void)
{
    struct vcpu_time_info area = { .version = 7 };
    uint32_t version;

    setup();
    version = v->info->time.version;
    CU_ASSERT(version != 0 && version % 2 == 0);
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(v->info->time.version, version + 2);
    v->info->time.version = 0xffffffff; /* the guest's nonsense does not stick */
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(v->info->time.version, 0);
    fake_guest_map(&area, sizeof(area), FAKE_READ_WRITE);
    v->time_area = fake_va(&area);
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(memcmp(&area, &v->info->time, sizeof(area)), 0);
    fake_fail_copy(3); /* unmapped at the last step: left odd */
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(area.version % 2, 1);
    fake_current(NULL); /* not current: only vcpu_info can be written */
    area.version = 99;
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(area.version, 99);
    teardown();
}

static void test_overwritten_time_info_is_repaired(void)
{
    setup();
    memset(&v->info->time, 0x55, sizeof(v->info->time));
    vcpu_time_update(v);
    CU_ASSERT_EQUAL(v->info->time.tsc_to_system_mul, arch_tsc_scale.mul);
    CU_ASSERT_EQUAL(guest_time(&v->info->time, 77), tsc_scale_ns(&arch_tsc_scale, 77));
    teardown();
}

static int set_tsc_mode(struct domain *dom, uint32_t mode)
{
    return domain_set_tsc(dom, &(struct xen_domctl_tsc_info){ .tsc_mode = mode });
}

static void test_tsc_modes(void)
{
    setup();
    CU_ASSERT_EQUAL(set_tsc_mode(d, 3), -EINVAL);
    CU_ASSERT_EQUAL(d->tsc_mode, 0);
    for (unsigned int reliable = 0; reliable < 2; reliable++) {
        arch_tsc_reliable = reliable;
        d->is_hwdom = false;
        CU_ASSERT(set_tsc_mode(d, TSC_MODE_DEFAULT) == 0 && d->vtsc == !reliable);
        CU_ASSERT(set_tsc_mode(d, TSC_MODE_ALWAYS_EMULATE) == 0 && d->vtsc);
        CU_ASSERT(set_tsc_mode(d, TSC_MODE_NATIVE) == 0 && !d->vtsc);
        d->is_hwdom = true;
        CU_ASSERT(set_tsc_mode(d, TSC_MODE_DEFAULT) == 0 && !d->vtsc);
    }
    teardown();
}

static void test_tsc_of_a_restored_domain_goes_on(void)
{
    struct xen_domctl_tsc_info info = {
        .tsc_mode = 0, .gtsc_khz = 2500000, .incarnation = 3, .elapsed_nsec = SECONDS(1000)
    };

    setup();
    arch_tsc_reliable = true;
    fake_now_ns = SECONDS(5);
    CU_ASSERT_EQUAL(domain_set_tsc(d, &info), 0);
    CU_ASSERT_TRUE(d->vtsc); /* the machine has 1 GHz */
    fake_now_ns += SECONDS(2);
    CU_ASSERT_EQUAL(guest_tsc(v), 1002 * 2500000000ULL);
    domain_get_tsc(d, &info);
    CU_ASSERT_TRUE(info.elapsed_nsec == SECONDS(1002) && info.gtsc_khz == 2500000);
    CU_ASSERT_TRUE(info.tsc_mode == 0 && info.incarnation == 3);
    vcpu_time_update(v); /* what the guest computes with its TSC is system time */
    CU_ASSERT_EQUAL(v->info->time.system_time, SECONDS(7));
    fake_now_ns += SECONDS(3);
    CU_ASSERT_TRUE(guest_time(&v->info->time, guest_tsc(v)) - SECONDS(10) + 10 < 20);
    info.gtsc_khz = 1000000; /* the machine's: native, counting as the machine does */
    CU_ASSERT_EQUAL(domain_set_tsc(d, &info), 0);
    CU_ASSERT_FALSE(d->vtsc);
    domain_get_tsc(d, &info);
    CU_ASSERT_EQUAL(info.elapsed_nsec, fake_now_ns);
    info.tsc_mode = TSC_MODE_NATIVE;
    CU_ASSERT_EQUAL(domain_set_tsc(d, &info), 0);
    domain_get_tsc(d, &info);
    CU_ASSERT_TRUE(info.elapsed_nsec == 0 && info.gtsc_khz == 0 && info.tsc_mode == 2);
    teardown();
}

static void test_no_tsc_of_a_toolstack_hurts(void)
{
    static const uint32_t khz[] = { 1, 62500, 99999, 100000, 123457, 0xffffffff };
    static const uint64_t elapsed[] = { 0, 1, SECONDS(1), 1ULL << 63, ~0ULL };

    setup();
    fake_now_ns = SECONDS(77);
    for (unsigned int i = 0; i < ARRAY_SIZE(khz); i++)
        for (unsigned int j = 0; j < ARRAY_SIZE(elapsed); j++) {
            struct xen_domctl_tsc_info info = { 1, khz[i], 0, 0, elapsed[j] };

            CU_ASSERT_EQUAL(domain_set_tsc(d, &info), khz[i] < 100000 ? -EINVAL : 0);
            if (khz[i] < 100000)
                continue;
            CU_ASSERT_TRUE(d->tsc_mul >= 1u << 31);
            vcpu_time_update(v);
            CU_ASSERT_EQUAL(guest_tsc(v),
                            (uint64_t)((unsigned __int128)elapsed[j] / 1000000 * khz[i] +
                                       elapsed[j] % 1000000 * khz[i] / 1000000));
        }
    teardown();
}

static void test_the_wall_clock_is_that_of_system_time_zero(void)
{
    shared_info_t *s;

    setup();
    s = d->shared_info;
    d->next = NULL;
    domain_list = d;
    domain_wallclock_update(d);
    CU_ASSERT(s->wc_sec == 1700000000 && s->wc_sec_hi == 0 && s->wc_nsec == 0);
    CU_ASSERT_EQUAL(s->wc_version, 2);
    d->time_offset_s = -100;
    wallclock_set((5ULL << 32) + 50, 300, SECONDS(20) + 400);
    CU_ASSERT(s->wc_sec_hi == 4 && s->wc_sec == (uint32_t)(50 - 20 - 1 - 100));
    CU_ASSERT_EQUAL(s->wc_nsec, 999999900);
    CU_ASSERT_EQUAL(s->wc_version, 4);
    wallclock_set(1700000000, 0, 0);
    CU_ASSERT(s->wc_sec == 1699999900 && s->wc_nsec == 0);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    domain_list = NULL;
    teardown();
}

static void test_singleshot(void)
{
    setup();
    pass(100);
    CU_ASSERT_EQUAL(virqs, 0);
    vcpu_set_timer(v, 5000);
    pass(1000);
    CU_ASSERT_EQUAL(virqs, 0);
    pass(10000);
    CU_ASSERT_EQUAL(virqs, 1);
    vcpu_set_timer(v, 1); /* late: at once */
    pass(0);
    CU_ASSERT_EQUAL(virqs, 2);
    vcpu_set_timer(v, fake_now_ns + 10);
    vcpu_set_timer(v, 0);
    pass(1000);
    CU_ASSERT_EQUAL(virqs, 2);
    vcpu_set_timer(v, ~0ULL);
    pass(SECONDS(1000));
    CU_ASSERT_EQUAL(virqs, 2);
    teardown();
}

static void test_poll_timer_wakes_only_from_poll(void)
{
    setup();
    atomic_store(&v->pause_flags, VPF_BLOCKED);
    vcpu_set_poll_timer(v, 2000);
    pass(5000);
    CU_ASSERT_EQUAL(fake_unblocked, 0);
    atomic_store(&v->pause_flags, VPF_BLOCKED | VPF_POLL);
    vcpu_set_poll_timer(v, fake_now_ns);
    pass(1);
    CU_ASSERT_EQUAL(fake_unblocked, 1);
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    CU_ASSERT_EQUAL(virqs, 0);
    teardown();
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("time", NULL, NULL);
    CU_ADD_TEST(s, test_a_native_guest_has_our_time_for_ever);
    CU_ADD_TEST(s, test_an_emulated_tsc_never_goes_backwards_nor_drifts);
    CU_ADD_TEST(s, test_versions_are_odd_while_writing_and_even_after);
    CU_ADD_TEST(s, test_overwritten_time_info_is_repaired);
    CU_ADD_TEST(s, test_tsc_modes);
    CU_ADD_TEST(s, test_tsc_of_a_restored_domain_goes_on);
    CU_ADD_TEST(s, test_no_tsc_of_a_toolstack_hurts);
    CU_ADD_TEST(s, test_the_wall_clock_is_that_of_system_time_zero);
    CU_ADD_TEST(s, test_singleshot);
    CU_ADD_TEST(s, test_poll_timer_wakes_only_from_poll);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
