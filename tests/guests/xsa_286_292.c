/*
 * XSA-286, XSA-292: translations that outlive a change further up, or a switch of roots.
 * The story: advisories/xsa-286-292.md.
 */
#include "xsa.h"

extern char u_read[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_read\n"
        "u_read: mov (%rdi), %rax\n syscall\n ud2\n"
        ".popsection");

#define USER_DATA 0x700000UL

static struct scratch s;
static uint64_t *l1[2], *l2[2], *l3[2]; /* two of each: [0] is what s has */
static uint64_t *pages[2];
static unsigned int wrong;

/*
 * Swap the table at one level, flush by one INVLPG, and let the hypervisor look the address up:
 * what it changes must be the new tree's leaf. nr picks the address.
 */
static void swap(uint64_t *entry, uint64_t *const tables[2], uint64_t *const leaves[2],
                 unsigned int nr, unsigned int round, unsigned int cmd)
{
    const void *va = (void *)(SCRATCH + nr * PAGE_SIZE);
    unsigned int now = round & 1;
    uint64_t *page = pages[round / 2 % 2], *other = leaves[!now], before = other[nr];

    wrong += pte_write(entry, PTE(tables[now], PTE_FLAGS)) != 0;
    wrong += mmuext(cmd, SCRATCH + (round % 7) * PAGE_SIZE, 0) != 0;
    wrong += update_va(va, PTE(page, PTE_FLAGS), UVMF_INVLPG) != 0;
    wrong += PTE_MFN(leaves[now][nr]) != virt_to_mfn(page) || other[nr] != before;
    wrong += *(volatile uint64_t *)va != *page;
    /* by emulation, too */
    TRY("movq $0, (%0)", : : "r"(&leaves[now][nr]) : "memory");
    wrong += !trapped(-1) || leaves[now][nr] != 0 || other[nr] != before;
}

static void upper_changes(void)
{
    const unsigned int cmds[] = { MMUEXT_INVLPG_LOCAL, MMUEXT_INVLPG_ALL };
    uint64_t *leaves2[2], *leaves3[2];

    l1[0] = s.l1;
    l2[0] = s.l2;
    l3[0] = s.l3;
    for (unsigned int i = 0; i < 2; i++) {
        pages[i] = page_alloc();
        *pages[i] = 0x100 + i;
    }
    l1[1] = table_alloc();
    leaves2[0] = leaves3[0] = l1[0];
    leaves2[1] = table_alloc();
    leaves3[1] = table_alloc();
    l2[1] = page_alloc();
    l2[1][0] = PTE(leaves2[1], PTE_FLAGS);
    page_set_ro(l2[1]);
    l3[1] = page_alloc();
    {
        uint64_t *mid = page_alloc();

        mid[0] = PTE(leaves3[1], PTE_FLAGS);
        page_set_ro(mid);
        l3[1][0] = PTE(mid, PTE_FLAGS);
        page_set_ro(l3[1]);
    }
    for (unsigned int i = 0; i < 2; i++) { /* all stay tables, whichever hangs in the root */
        CHECK_EQ(pin(1, l1[i]), 0);
        CHECK_EQ(pin(2, l2[i]), 0);
        CHECK_EQ(pin(3, l3[i]), 0);
    }
    for (unsigned int round = 0; round < 400; round++)
        swap(&s.l2[0], l1, l1, round % 11, round, cmds[round / 4 % 2]);
    wrong += pte_write(&s.l2[0], PTE(l1[0], PTE_FLAGS)) != 0;
    for (unsigned int round = 0; round < 400; round++)
        swap(&s.l3[0], l2, leaves2, round % 11, round, cmds[round / 4 % 2]);
    wrong += pte_write(&s.l3[0], PTE(l2[0], PTE_FLAGS)) != 0;
    for (unsigned int round = 0; round < 400; round++)
        swap(&kernel_root[SCRATCH >> 39], l3, leaves3, round % 11, round, cmds[round / 4 % 2]);
    wrong += pte_write(&kernel_root[SCRATCH >> 39], PTE(l3[0], PTE_FLAGS)) != 0;
    attack("invlpg.upper-change", wrong, 0);
    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
}

/* XSA-292: no entry survives a switch of roots, not even one that its owner called global. */
static void switch_of_roots(void)
{
    uint64_t *root = page_alloc(), *page = page_alloc();

    wrong = 0;
    for (unsigned int i = 0; i < 512; i++)
        if ((i < 256 || i >= 272) && i != SCRATCH >> 39)
            root[i] = kernel_root[i];
    page_set_ro(root);
    CHECK_EQ(pin(4, root), 0);
    for (unsigned int round = 0; round < 100; round++) {
        uint64_t global = round & 1 ? 0x100 : 0;

        CHECK_EQ(pte_write(&s.l1[0], PTE(page, PTE_FLAGS) | global), 0);
        *(volatile uint64_t *)SCRATCH = round;
        /* the emulator's TLB knows no global entries: so look at the bit, too */
        wrong += !on_xen() && (s.l1[0] & 0x100);
        if (round & 2) /* the whole slot is away in the other root, and nobody flushed */
            CHECK_EQ(pte_write(&s.l1[0], 0), 0);
        CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(root), 0), 0);
        wrong += !load_faults((void *)SCRATCH);
        CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(kernel_root), 0), 0);
        if (round & 2)
            wrong += !load_faults((void *)SCRATCH);
        else
            wrong += *(volatile uint64_t *)SCRATCH != round;
    }
    CHECK_EQ(unpin(root), 0);
    attack("roots.switch", wrong, 0);
}

/* The same between a guest's kernel and its user mode, whose switch is no hypercall of its own. */
static void user_and_kernel(void)
{
    static uint64_t data[512] __attribute__((aligned(4096)));
    struct cpu_user_regs regs;
    uint64_t *entry;

    wrong = 0;
    user_init_with(USER_DATA, virt_to_mfn(data));
    entry = pte_of(user_root, USER_DATA, 1);
    for (unsigned int round = 0; round < 100; round++) {
        uint64_t global = round & 1 ? 0x100 : 0;

        data[0] = 0x5000 + round;
        CHECK_EQ(pte_write(entry, PTE(data, PTE_FLAGS) | global), 0);
        wrong += !on_xen() && (*entry & 0x100);
        user_regs_init(&regs, u_read);
        regs.rdi = USER_DATA;
        wrong += user_run(&regs) != ENTRY_SYSCALL || regs.rax != data[0];
        wrong += !load_faults((void *)USER_DATA); /* the kernel's root has nothing there */
        CHECK_EQ(pte_write(entry, 0), 0);         /* no flush */
        user_regs_init(&regs, u_read);
        regs.rdi = USER_DATA;
        wrong += user_run(&regs) != TRAP_PF;
    }
    attack("roots.user", wrong, 0);
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    upper_changes();
    switch_of_roots();
    user_and_kernel();
    witness_check();
}
