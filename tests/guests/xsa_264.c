/* XSA-264: lists of requests that went round the check for preemption. advisories/xsa-264.md. */
#include "xsa.h"

#define NR 100000u

static struct mmu_update updates[NR];
static struct mmuext_op ops[NR];
static struct multicall_entry calls[NR];
static struct scratch s;

static long do_updates(void)
{
    unsigned int done = 0;
    long rc = hc(mmu_update, updates, NR, &done, DOMID_SELF);

    CHECK_EQ(done, NR);
    return rc;
}

/* Counted by nobody; or where it cannot be, which is noticed when it goes on. */
static long do_uncounted(void) { return hc(mmu_update, updates, NR, 0, DOMID_SELF); }
static long do_counted_nowhere(void)
{
    long rc = hc(mmu_update, updates, NR, ~0xfffUL, DOMID_SELF);

    return rc == -EFAULT ? 0 : rc;
}

static long do_ops(void)
{
    unsigned int done = 0;
    long rc = hc(mmuext_op, ops, NR, &done, DOMID_SELF);

    CHECK_EQ(done, NR);
    return rc;
}

static long do_multicall(void) { return hc(multicall, calls, NR); }

static void many(const char *what, long (*fn)(void), long want)
{
    uint64_t t0 = now_ns(0);
    unsigned int seen = interruptions, wrong = 0, rounds = 0;

    do {
        wrong += fn() != want;
        rounds++;
    } while (interruptions - seen < 2 && now_ns(0) < t0 + PATIENCE_NS);
    print("%s: %u rounds, %lu us, interrupted %u times\n", what, rounds, (now_ns(0) - t0) / 1000,
          interruptions - seen);
    attack(what, wrong, 0);
    CHECK(interruptions - seen >= 2);
}

static void fill(uint64_t ptr, uint64_t even, uint64_t odd)
{
    for (unsigned int i = 0; i < NR; i++)
        updates[i] = (struct mmu_update){ ptr, i & 1 ? odd : even };
}

/* Each kind of request that is done, by itself, in no time. */
static void short_cuts(void)
{
    uint64_t *page = page_alloc(), val = PTE(s.l1, PTE_FLAGS);

    fill(virt_to_maddr(&s.l2[0]), val, val | 0x200); /* flags of an upper entry only */
    many("list.upper-flags", do_updates, 0);
    fill(virt_to_maddr(&s.l2[0]), val, val);
    many("list.upper-same", do_updates, 0);
    fill(virt_to_maddr(&s.l3[5]), 0, 0xffe); /* not present before and after */
    many("list.upper-absent", do_updates, 0);
    fill(virt_to_maddr(&s.l1[5]), 0, 0xffe);
    many("list.l1-absent", do_updates, 0);
    fill(virt_to_maddr(page), 1, 2); /* no table at all */
    many("list.plain", do_updates, 0);
    many("list.not-counted", do_uncounted, 0);
    many("list.counted-nowhere", do_counted_nowhere, 0);
    fill(virt_to_mfn(page) << 12 | MMU_MACHPHYS_UPDATE, virt_to_pfn(page), virt_to_pfn(page));
    many("list.machphys", do_updates, 0);
    CHECK_EQ(*page, 2);
}

static void operations(void)
{
    for (unsigned int i = 0; i < NR; i++) {
        ops[i] = (struct mmuext_op){ .cmd = MMUEXT_INVLPG_LOCAL };
        ops[i].arg1.linear_addr = i & 1 ? NONCANONICAL : HYPERVISOR_VIRT_START;
    }
    many("list.nothing-to-flush", do_ops, 0);
    for (unsigned int i = 0; i < NR; i++) {
        ops[i] = (struct mmuext_op){ .cmd = i & 1 ? MMUEXT_UNPIN_TABLE : MMUEXT_PIN_L2_TABLE };
        ops[i].arg1.mfn = virt_to_mfn(s.l2);
    }
    many("list.pin-unpin", do_ops, 0);
    for (unsigned int i = 0; i < NR; i++) {
        ops[i] = (struct mmuext_op){ .cmd = MMUEXT_NEW_BASEPTR };
        ops[i].arg1.mfn = virt_to_mfn(kernel_root);
    }
    many("list.same-root", do_ops, 0);
    for (unsigned int i = 0; i < NR; i++)
        calls[i] = (struct multicall_entry){ .op = i & 1 ? 63 : ~0UL };
    many("list.no-such-call", do_multicall, 0);
}

/* The mark of a continuation in the count, from the guest itself. */
static void forged_mark(void)
{
    unsigned int done = 7;

    fill(virt_to_maddr(&s.l1[6]), 0x40, 0x20);
    attack("list.forged", hc(mmu_update, updates, 0x80000000u | 4, &done, DOMID_SELF), 0);
    CHECK_EQ(s.l1[6], 0x20);
    attack("list.forged-nowhere", hc(mmu_update, updates, 0x80000000u | 4, 0x1000, DOMID_SELF),
           -EFAULT);
    attack("list.forged-none", hc(mmu_update, updates, 0x80000000u, 0, DOMID_SELF), 0);
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    long_init();
    short_cuts();
    operations();
    forged_mark();
    witness_check();
}
