/* Multicalls: results written back, errors inside, refusals, batches that are preempted. */
#include "guest.h"

#define NR 20000
static struct multicall_entry calls[NR];

static struct multicall_entry call(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    struct multicall_entry e = { .op = op, .result = 0x7777 };

    e.args[0] = a;
    e.args[1] = b;
    e.args[2] = c;
    return e;
}

static void results(void)
{
    struct xen_feature_info feat = { .submap_idx = 0 };
    char *page = page_alloc();

    calls[0] = call(__HYPERVISOR_xen_version, XENVER_version, 0, 0);
    calls[1] = call(__HYPERVISOR_xen_version, XENVER_get_features, (uint64_t)&feat, 0);
    calls[2] = call(__HYPERVISOR_update_va_mapping, (uint64_t)page,
                    virt_to_mfn(page) << 12 | (PTE_FLAGS & ~PTE_RW), UVMF_INVLPG);
    calls[3] = call(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, (uint64_t)trap_stack_top, 0);
    calls[4] = call(63, 0, 0, 0);
    calls[5] = call(__HYPERVISOR_update_va_mapping, NONCANONICAL, 0, 0);
    calls[6] = call(__HYPERVISOR_xen_version, XENVER_pagesize, 0, 0);
    calls[7] = call(~0UL, 0, 0, 0);
    CHECK_EQ(hc(multicall, calls, 8), 0);
    CHECK_EQ(calls[0].result, 4 << 16 | 17);
    CHECK_EQ(calls[1].result, 0);
    CHECK(feat.submap != 0);
    CHECK_EQ(calls[2].result, 0);
    TRY("movb $1, (%0)", : : "r"(page) : "memory");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(calls[3].result, 0);
    CHECK_EQ(calls[4].result, -ENOSYS);
    CHECK((long)calls[5].result < 0); /* and the batch goes on */
    CHECK_EQ(calls[6].result, 4096);
    CHECK_EQ(calls[7].result, -ENOSYS);
    page_set_rw(page);
}

static void refused(void)
{
    uint64_t *last =
        (uint64_t *)((char *)page_alloc() + PAGE_SIZE - sizeof(struct multicall_entry));

    CHECK_EQ(hc(multicall, calls, 0), 0);
    CHECK_EQ(hc(multicall, 0x1000, 1), -EFAULT);
    CHECK_EQ(hc(multicall, NONCANONICAL, 1), -EFAULT);
    CHECK_EQ(hc(multicall, HYPERVISOR_VIRT_START + 0x10000000000, 1), -EFAULT);
    CHECK(hc(multicall, calls, 0xffffffff) < 0);
    /* within a multicall, another one */
    calls[0] = call(__HYPERVISOR_multicall, (uint64_t)&calls[2], 1, 0);
    calls[1] = call(__HYPERVISOR_xen_version, XENVER_version, 0, 0);
    calls[2] = call(__HYPERVISOR_xen_version, XENVER_version, 0, 0);
    CHECK_EQ(hc(multicall, calls, 2), 0);
    CHECK_EQ(calls[0].result, -EINVAL);
    CHECK_EQ(calls[1].result, 4 << 16 | 17);
    CHECK_EQ(calls[2].result, 0x7777);
    /* the results cannot be written: read-only entries */
    *(struct multicall_entry *)last = call(__HYPERVISOR_xen_version, XENVER_version, 0, 0);
    page_set_ro((char *)last - (PAGE_SIZE - sizeof(struct multicall_entry)));
    CHECK_EQ(hc(multicall, last, 1), -EFAULT);
    page_set_rw((char *)last - (PAGE_SIZE - sizeof(struct multicall_entry)));
    /* iret is no part of one */
    calls[0] = call(__HYPERVISOR_xen_version, 99, 0, 0);
    CHECK_EQ(hc(multicall, calls, 1), 0);
    CHECK_EQ(calls[0].result, -ENOSYS);
}

#define NOT_YET 0x55
static volatile unsigned int
    ticks; /* that came when the last call of a batch was still to be made */
static void tick(unsigned int port)
{
    ticks += *(volatile uint64_t *)&calls[NR - 1].result == NOT_YET;
    hc(set_timer_op, now_ns(0) + 1000000);
}

static void long_batch(void)
{
    unsigned int rounds;
    uint64_t t0, bad = 0;

    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    events_init();
    event_hooks[bind_virq(VIRQ_TIMER, 0)] = tick;
    events_on();
    for (unsigned int i = 0; i < NR; i++)
        calls[i] = call(__HYPERVISOR_xen_version, i & 1 ? XENVER_pagesize : 99, 0, 0);
    t0 = now_ns(0);
    hc(set_timer_op, t0 + 1000000);
    ticks = 0;
    for (rounds = 0; rounds < 4 || (ticks < 2 && now_ns(0) - t0 < 5000000000UL); rounds++) {
        calls[NR - 1].result = NOT_YET;
        CHECK_EQ(hc(multicall, calls, NR), 0);
    }
    print("multicall: %u batches of %u in %lu us, %u ticks inside\n", rounds, NR,
          (now_ns(0) - t0) / 1000, ticks);
    CHECK(ticks >= 2);
    for (unsigned int i = 0; i < NR; i++)
        bad += (long)calls[i].result != (i & 1 ? 4096 : -ENOSYS);
    CHECK_EQ(bad, 0);
    events_off();
}

void test_main(void)
{
    results();
    refused();
    long_batch();
}
