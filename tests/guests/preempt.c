/* Long batches: the hypervisor takes a breath, and timer events keep arriving meanwhile. */
#include "guest.h"

#define NR 30000
#define MS 1000000ULL
static struct mmu_update updates[NR];
static struct mmuext_op ops[4096];
static char tables[300][PAGE_SIZE] __attribute__((aligned(4096)));
static volatile unsigned int ticks;

static void tick(unsigned int port)
{
    ticks++;
    hc(set_timer_op, now_ns(0) + MS);
}

static uint64_t t0;
static unsigned int ticks0;
static void begin(void)
{
    t0 = now_ns(0);
    ticks0 = ticks;
}

static void end(const char *what)
{
    uint64_t us = (now_ns(0) - t0) / 1000;
    unsigned int n = ticks - ticks0;

    print("preempt: %s: %lu us, %u ticks\n", what, us, n);
    if (n < us / 20000) /* one a millisecond is due; the machine may be busy */
        check_failed(__LINE__, "%s: %u ticks in %lu us", what, n, us);
}

static void long_mmu_update(void)
{
    char *p = page_alloc();
    uint64_t maddr = virt_to_maddr(pte_of(kernel_root, (uint64_t)p, 1)), mfn = virt_to_mfn(p);
    unsigned int done = 0;

    for (unsigned int i = 0; i < NR; i++)
        updates[i] =
            (struct mmu_update){ maddr, mfn << 12 | (i & 1 ? PTE_FLAGS : PTE_FLAGS & ~PTE_RW) };
    begin();
    for (unsigned int round = 0; round < 2; round++) {
        CHECK_EQ(hc(mmu_update, updates, NR, &done, DOMID_SELF), 0);
        CHECK_EQ(done, NR);
    }
    end("mmu_update");
    p[0] = 1;
    updates[NR - 1].ptr = ~7UL; /* the last one fails, far into the batch */
    CHECK(hc(mmu_update, updates, NR, &done, DOMID_SELF) < 0);
    CHECK_EQ(done, NR - 1);
}

static void long_mmuext(void)
{
    char *p = page_alloc();
    unsigned int done = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        ops[i] = (struct mmuext_op){ .cmd = MMUEXT_CLEAR_PAGE };
        ops[i].arg1.mfn = virt_to_mfn(p);
    }
    begin();
    for (unsigned int round = 0; round < 4; round++) {
        CHECK_EQ(hc(mmuext_op, ops, ARRAY_SIZE(ops), &done, DOMID_SELF), 0);
        CHECK_EQ(done, ARRAY_SIZE(ops));
    }
    end("mmuext_op");
    ops[ARRAY_SIZE(ops) - 1].cmd = 99;
    CHECK_EQ(hc(mmuext_op, ops, ARRAY_SIZE(ops), &done, DOMID_SELF), -ENOSYS);
    CHECK_EQ(done, ARRAY_SIZE(ops) - 1);
}

/* A root whose validation takes long: 290 full L1 tables under it. */
static void big_tree(void)
{
    uint64_t *l4 = (uint64_t *)tables[0], *l3 = (uint64_t *)tables[1], *l2 = (uint64_t *)tables[2];
    char *p = page_alloc();
    uint64_t pte = virt_to_maddr(p) | PTE_FLAGS;

    l4[0] = virt_to_maddr(l3) | PTE_FLAGS;
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    for (unsigned int i = 0; i < 290; i++) {
        uint64_t *l1 = (uint64_t *)tables[3 + i];

        for (unsigned int j = 0; j < 512; j++)
            l1[j] = pte;
        l2[i] = virt_to_maddr(l1) | PTE_FLAGS;
    }
    for (unsigned int i = 0; i < 293; i++)
        page_set_ro(tables[i]);
    begin();
    for (unsigned int round = 0; round < 3; round++) {
        CHECK_EQ(pin(4, l4), 0);
        CHECK(update_va(tables[100], virt_to_maddr(tables[100]) | PTE_FLAGS, UVMF_INVLPG) < 0);
        CHECK_EQ(unpin(l4), 0);
    }
    end("pin and unpin");
    for (unsigned int i = 0; i < 293; i++)
        page_set_rw(tables[i]); /* all types gone */
    /* the same with a bad entry at the very end: refused, and all undone */
    ((uint64_t *)tables[292])[511] = 0xffffffffff000 | PTE_FLAGS;
    for (unsigned int i = 0; i < 293; i++)
        page_set_ro(tables[i]);
    begin();
    CHECK(pin(4, l4) < 0);
    end("pin refused");
    for (unsigned int i = 0; i < 293; i++)
        page_set_rw(tables[i]);
}

void test_main(void)
{
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    events_init();
    event_hooks[bind_virq(VIRQ_TIMER, 0)] = tick;
    events_on();
    hc(set_timer_op, now_ns(0) + MS);
    long_mmu_update();
    long_mmuext();
    big_tree();
}
