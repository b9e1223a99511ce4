/*
 * XSA-45, XSA-252, XSA-290: page-table operations that take long and could not be interrupted.
 * The story: advisories/xsa-45-252-290.md.
 */
#include "xsa.h"

#define NR_L3 24u

/* A root over NR_L3 full tables of full tables: about 24 * 512 entries above one full L2. */
static uint64_t l4[512] __attribute__((aligned(4096)));
static uint64_t l3[NR_L3][512] __attribute__((aligned(4096)));
static uint64_t l2[NR_L3][512] __attribute__((aligned(4096)));
static uint64_t l1[4][512] __attribute__((aligned(4096)));
static unsigned int nr_rw;

static void build(bool bad_end)
{
    for (unsigned int t = 0; t < NR_L3; t++) {
        for (unsigned int i = 0; i < 512; i++) {
            l3[t][i] = PTE(l2[t], PTE_FLAGS);
            l2[t][i] = PTE(l1[i % 4], PTE_FLAGS);
        }
        l4[t] = PTE(l3[t], PTE_FLAGS);
    }
    for (unsigned int t = 0; t < 4; t++)
        for (unsigned int i = 0; i < 512; i++)
            l1[t][i] = PTE(&nr_rw, PTE_RO);
    if (bad_end)
        l3[NR_L3 - 1][511] = 0xffffffffff000 | PTE_FLAGS;
}

static void all(void (*set)(const void *))
{
    set(l4);
    for (unsigned int t = 0; t < NR_L3; t++) {
        set(l3[t]);
        set(l2[t]);
    }
    for (unsigned int t = 0; t < 4; t++)
        set(l1[t]);
}

static long do_pin(void) { return pin(4, l4); }
static long do_unpin(void) { return unpin(l4); }

/* The root of user mode: held by nothing but being that, so replacing it tears it down. */
static long as_user_root(void) { return mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(l4), 0); }
static long as_user_root_away(void) { return mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0); }

/* XSA-290: entries of a live table, and what hangs on them. */
static struct mmu_update entries[NR_L3];

static long update_all(bool on)
{
    for (unsigned int t = 0; t < NR_L3; t++)
        entries[t] = (struct mmu_update){ virt_to_maddr(&kernel_root[100 + t]),
                                          on ? PTE(l3[t], PTE_FLAGS) : 0 };
    return hc(mmu_update, entries, NR_L3, 0, DOMID_SELF);
}

static long entries_on(void) { return update_all(true); }
static long entries_away(void) { return update_all(false); }

/* The same inside a multicall, whose entry is then rewritten. */
static long multicalled(unsigned int cmd)
{
    struct mmuext_op op = { .cmd = cmd };
    struct multicall_entry e = { .op = __HYPERVISOR_mmuext_op };

    op.arg1.mfn = virt_to_mfn(l4);
    e.args[0] = (uint64_t)&op;
    e.args[1] = 1;
    e.args[3] = DOMID_SELF;
    return hc(multicall, &e, 1) ? -1 : (long)e.result;
}

static long multicall_pin(void) { return multicalled(MMUEXT_PIN_L4_TABLE); }
static long multicall_unpin(void) { return multicalled(MMUEXT_UNPIN_TABLE); }

/* Both directions, until each has been interrupted three times. */
static void many(const char *what, long (*fn)(void), long want, long (*undo)(void))
{
    uint64_t t0 = now_ns(0), us;
    unsigned int there = 0, back = 0, rounds = 0, wrong = 0, seen;

    do {
        seen = interruptions;
        wrong += fn() != want;
        there += interruptions - seen;
        seen = interruptions;
        wrong += undo && undo() != 0;
        back += interruptions - seen;
        rounds++;
    } while ((there < 3 || (undo && back < 3)) && now_ns(0) < t0 + PATIENCE_NS);
    us = (now_ns(0) - t0) / 1000;
    print("%s: %u rounds, %lu us, interrupted %u and %u times\n", what, rounds, us, there, back);
    attack(what, wrong, 0);
    CHECK(there >= 3 && (!undo || back >= 3));
}

void test_main(void)
{
    attacks_begin();
    long_init();
    build(false);
    all(page_set_ro);
    many("long.pin", do_pin, 0, do_unpin);
    many("long.user-root", as_user_root, 0, as_user_root_away);
    many("long.entries", entries_on, 0, entries_away);
    many("long.multicall", multicall_pin, 0, multicall_unpin);
    all(page_set_rw); /* nothing of all that is left */
    /* XSA-252: what was good so far is let go as patiently */
    build(true);
    all(page_set_ro);
    many("long.pin-refused", do_pin, -EINVAL, NULL);
    many("long.user-root-refused", as_user_root, -EINVAL, NULL);
    all(page_set_rw);
    witness_check();
}
