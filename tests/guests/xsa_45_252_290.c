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

static long pin_and_unpin(void)
{
    long rc = pin(4, l4);

    return rc ? rc : unpin(l4);
}

/* The root of user mode: held by nothing but being that, so replacing it tears it down. */
static long user_root_and_away(void)
{
    long rc = mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(l4), 0);

    return rc ? rc : mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0);
}

/* XSA-290: an entry of a live table, and what hangs on it. */
static long entry_and_away(void)
{
    long rc = 0;

    for (unsigned int t = 0; t < NR_L3 && rc == 0; t++) {
        rc = pte_write(&kernel_root[100], PTE(l3[t], PTE_FLAGS));
        rc = rc ? rc : pte_write(&kernel_root[100], 0);
    }
    return rc;
}

/* The same inside a multicall, whose entry is then rewritten. */
static long multicalled(void)
{
    struct mmuext_op op[2] = { { .cmd = MMUEXT_PIN_L4_TABLE }, { .cmd = MMUEXT_UNPIN_TABLE } };
    struct multicall_entry e[2];

    for (unsigned int i = 0; i < 2; i++) {
        op[i].arg1.mfn = virt_to_mfn(l4);
        e[i] = (struct multicall_entry){ .op = __HYPERVISOR_mmuext_op };
        e[i].args[0] = (uint64_t)&op[i];
        e[i].args[1] = 1;
        e[i].args[3] = DOMID_SELF;
    }
    if (hc(multicall, e, 2) != 0)
        return -1;
    return (long)e[0].result ? (long)e[0].result : (long)e[1].result;
}

static void many(const char *what, long (*fn)(void), long want)
{
    uint64_t t0 = now_ns(0), us;
    unsigned int seen = interruptions, rounds = 0, wrong = 0;

    do {
        wrong += fn() != want;
        rounds++;
    } while ((interruptions - seen < 3 && now_ns(0) < t0 + PATIENCE_NS) || rounds < 3);
    us = (now_ns(0) - t0) / 1000;
    print("%s: %u rounds, %lu us, interrupted %u times\n", what, rounds, us, interruptions - seen);
    attack(what, wrong, 0);
    CHECK(interruptions - seen >= 3);
}

void test_main(void)
{
    attacks_begin();
    long_init();
    build(false);
    all(page_set_ro);
    many("long.pin", pin_and_unpin, 0);
    many("long.user-root", user_root_and_away, 0);
    many("long.entry", entry_and_away, 0);
    many("long.multicall", multicalled, 0);
    all(page_set_rw); /* nothing of all that is left */
    /* XSA-252: what was good so far is let go as patiently */
    build(true);
    all(page_set_ro);
    many("long.pin-refused", pin_and_unpin, -EINVAL);
    many("long.user-root-refused", user_root_and_away, -EINVAL);
    all(page_set_rw);
    witness_check();
}
