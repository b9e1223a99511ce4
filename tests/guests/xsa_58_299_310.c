/*
 * XSA-58, XSA-299, XSA-310: a table whose validation was interrupted half way, and what its owner does
 * with it then. The story: advisories/xsa-58-299-310.md.
 */
#include "xsa.h"

#define NR_L1 240u

static uint64_t l4[512] __attribute__((aligned(4096))), l3[512] __attribute__((aligned(4096)));
static uint64_t l2[512] __attribute__((aligned(4096)));
static uint64_t l1[NR_L1][512] __attribute__((aligned(4096)));
static uint64_t data[512] __attribute__((aligned(4096)));

/* What is done to the half-validated table, in the interruption. */
enum {
    NOTHING,
    WRITE_L2,
    WRITE_L1,
    WRITE_BOTH,
    UNPIN,
    AS_OTHER,
    BY_UPDATE,
    GIVE_AWAY,
    LEAVE,
    NR_WAYS
};
static unsigned int way, left, poison_at, at_interruption[NR_WAYS], wrong;
static bool poisoned, busy; /* an entry that must not pass stands in the tree; in the handler */

#define POISON PTE(kernel_root, PTE_FLAGS)
#define LEFT 0x1ef7 /* no errno */

/* Make table writable; true if it was let go. All that may stand in the way is what is valid still. */
static bool take(uint64_t *table)
{
    long rc = update_va(table, PTE(table, PTE_FLAGS), UVMF_INVLPG);

    if (rc != 0 && rc != -EBUSY)
        wrong++;
    return rc == 0;
}

/* It is mapped, and it is a table: whatever else it may be, it is not free to go. */
static void give_away(void)
{
    xen_pfn_t in = virt_to_mfn(l2), out = virt_to_pfn(l2);
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };

    set_xen_guest_handle(x.in.extent_start, &in);
    set_xen_guest_handle(x.out.extent_start, &out);
    wrong += hc(memory_op, XENMEM_exchange, &x) != -EINVAL;
}

static void tamper(struct cpu_user_regs *regs)
{
    if (busy)
        return;
    busy = true;
    if (--left == 0) /* else it never comes to its end */
        interrupted = NULL;
    at_interruption[way]++;
    switch (way) {
    case WRITE_L1: /* checked already, and held by the half-done L2: not to be had */
        if (take(l1[0])) {
            l1[0][9] = POISON;
            poisoned = true;
            page_set_ro(l1[0]);
        }
        break;
    case WRITE_L2:
    case WRITE_BOTH:
        if (!take(l2))
            break;
        l2[poison_at] = POISON; /* behind or before the point reached */
        poisoned = true;
        if (way == WRITE_BOTH && take(l1[0])) {
            l1[0][9] = POISON;
            page_set_ro(l1[0]);
        }
        page_set_ro(l2);
        break;
    case UNPIN: wrong += unpin(l2) != -EINVAL || unpin(l4) != -EINVAL; break;
    case AS_OTHER: /* as an L1 it is good: it was given up, and what was below it is plain memory */
        if (pin(1, l2) == 0)
            wrong += unpin(l2) != 0;
        wrong += pin(3, l2) >= 0 || pin(4, l2) >= 0;
        break;
    case BY_UPDATE: /* a table that is none is plain memory */
        if (pte_write(&l2[poison_at], POISON) == 0)
            poisoned = true;
        break;
    case GIVE_AWAY: give_away(); break;
    case LEAVE: /* it is never gone on with: behind the instruction, with an answer of our own */
        regs->rip += 2;
        regs->rax = LEFT;
        poisoned = true;
        interrupted = NULL;
        break;
    default: break;
    }
    busy = false;
}

static void build(void)
{
    l4[0] = PTE(l3, PTE_FLAGS);
    l3[0] = PTE(l2, PTE_FLAGS);
    for (unsigned int t = 0; t < NR_L1; t++) {
        l2[t] = PTE(l1[t], PTE_FLAGS);
        for (unsigned int i = 0; i < 512; i++)
            l1[t][i] = PTE(data, i & 1 ? PTE_FLAGS : PTE_RO);
    }
}

static void all(void (*set)(const void *))
{
    set(l4);
    set(l3);
    set(l2);
    for (unsigned int t = 0; t < NR_L1; t++)
        set(l1[t]);
}

/* One operation that validates the tree, and its undoing. False: it was refused. */
static bool validate(unsigned int how)
{
    long rc = how == 0   ? pin(4, l4)
              : how == 1 ? pin(2, l2)
              : how == 2 ? mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(l4), 0)
                         : pte_write(&kernel_root[100], PTE(l3, PTE_FLAGS));

    interrupted = NULL;
    if (rc) /* -EBUSY if it is a leaf that is bad */
        return false;
    /* valid now: every table under it is read-only, in truth */
    wrong += take(l2) || take(l1[0]) || take(l1[NR_L1 - 1]);
    rc = how == 0   ? unpin(l4)
         : how == 1 ? unpin(l2)
         : how == 2 ? mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0)
                    : pte_write(&kernel_root[100], 0);
    wrong += rc != 0;
    return true;
}

void test_main(void)
{
    uint64_t begin = now_ns(0);
    /* on Xen the interrupted operation owns the table, and nobody else gets it */
    const unsigned int nr_ways = on_xen() ? LEAVE : NR_WAYS;
    unsigned int rounds = 0, refused = 0, missing;

    attacks_begin();
    long_init();
    build();
    all(page_set_ro);
    do {
        bool ok;

        way = rounds % nr_ways;
        poisoned = false;
        poison_at = 1 + rounds / nr_ways % 3 * 100;
        left = 1 + rounds / (4 * nr_ways) % 2;
        interrupted = tamper;
        ok = validate(rounds / nr_ways % 4);
        wrong += ok == poisoned; /* what was poisoned is refused, and nothing else is */
        refused += !ok;
        if (poisoned) { /* all references are gone with it */
            all(page_set_rw);
            build();
            all(page_set_ro);
        }
        rounds++;
        missing = 0;
        for (unsigned int w = 0; w < nr_ways; w++)
            missing += at_interruption[w] < 4;
    } while (now_ns(0) < begin + 1200000000UL || (missing && now_ns(0) < begin + 2 * PATIENCE_NS));
    print("xsa_58_299_310: %u rounds, %u refused; interrupted", rounds, refused);
    for (unsigned int w = 0; w < NR_WAYS; w++)
        print(" %u", at_interruption[w]);
    print("\n");
    attack("half-way.wrong", wrong, 0);
    CHECK(missing == 0);
    all(page_set_rw);
    witness_check();
}
