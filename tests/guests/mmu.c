/* Page tables: types, pins, roots, every update command, emulated writes, flushes. */
#include "guest.h"

#define SCRATCH 0x10000000000UL /* a top-level slot of its own */
#define PTE(page, flags) (virt_to_mfn(page) << 12 | (flags))
#define PTE_RO (PTE_FLAGS & ~PTE_RW)
/* Entries compare without what the hypervisor may add: the global bit, software bits on top. */
#define PTE_CMP(v) ((v) & ~(0x100UL | 0x7ffUL << 52))
#define CHECK_PTE(got, want) CHECK_EQ(PTE_CMP(got), PTE_CMP(want))

static uint64_t *l1; /* of SCRATCH, once scratch_tree() ran */

static void p2m_and_m2p(void)
{
    uint64_t n = 0;

    CHECK_EQ(start_info->mfn_list, 0x8000000000);
    CHECK(start_info->nr_p2m_frames != 0);
    for (uint64_t pfn = 0; pfn < start_info->nr_pages; pfn += 7)
        n += machine_to_phys_mapping[pfn_to_mfn(pfn)] != pfn;
    CHECK_EQ(n, 0);
    CHECK_EQ(PTE_MFN(*pte_of(kernel_root, (uint64_t)&l1, 1)), virt_to_mfn(&l1));
}

/* Four levels of our own into the live root, at SCRATCH. */
static void scratch_tree(void)
{
    uint64_t *l2 = page_alloc(), *l3 = page_alloc();

    l1 = page_alloc();
    l3[0] = PTE(l2, PTE_FLAGS);
    l2[0] = PTE(l1, PTE_FLAGS);
    page_set_ro(l3);
    page_set_ro(l2);
    CHECK(pte_write(&kernel_root[SCRATCH >> 39], PTE(l3, PTE_FLAGS)) <
          0); /* l1 is still writable */
    CHECK_EQ(kernel_root[SCRATCH >> 39], 0);
    page_set_ro(l1);
    CHECK_EQ(pte_write(&kernel_root[SCRATCH >> 39], PTE(l3, PTE_FLAGS)), 0);
    CHECK(pte_of(kernel_root, SCRATCH, 1) == l1);
}

static void updates(void)
{
    uint64_t *a = page_alloc(), *b = page_alloc(), cpus = ~0UL;
    volatile uint64_t *at = (void *)SCRATCH;
    uint64_t l1_maddr = virt_to_maddr(l1);

    *a = 0xa;
    *b = 0xb;
    CHECK_EQ(mmu_update(l1_maddr | MMU_NORMAL_PT_UPDATE, PTE(a, PTE_FLAGS)), 0);
    CHECK_EQ(*at, 0xa);
    CHECK(l1[0] & PTE_A);
    CHECK_EQ(update_va((void *)SCRATCH, PTE(b, PTE_FLAGS & ~(PTE_A | PTE_D)), UVMF_INVLPG), 0);
    *at = 0xbb;
    CHECK_EQ(*b, 0xbb);
    CHECK_EQ(l1[0] & (PTE_A | PTE_D), PTE_A | PTE_D);
    CHECK_EQ(mmu_update(l1_maddr | MMU_PT_UPDATE_PRESERVE_AD, PTE(b, PTE_P | PTE_RW | PTE_US)), 0);
    CHECK_EQ(l1[0] & (PTE_A | PTE_D), PTE_A | PTE_D);
    CHECK_EQ(mmu_update(l1_maddr | MMU_NORMAL_PT_UPDATE, PTE(b, PTE_P | PTE_RW | PTE_US)), 0);
    CHECK_EQ(l1[0] & (PTE_A | PTE_D), 0);
    CHECK_EQ(mmu_update(l1_maddr | MMU_PT_UPDATE_NO_TRANSLATE, PTE(a, PTE_FLAGS)), 0);
    CHECK_EQ(update_va((void *)SCRATCH, PTE(a, PTE_FLAGS), UVMF_TLB_FLUSH | UVMF_LOCAL), 0);
    CHECK_EQ(*at, 0xa);
    CHECK_EQ(update_va((void *)SCRATCH, PTE(b, PTE_FLAGS), UVMF_INVLPG | UVMF_ALL), 0);
    CHECK_EQ(*at, 0xbb);
    CHECK_EQ(update_va((void *)SCRATCH, PTE(a, PTE_FLAGS), UVMF_TLB_FLUSH | UVMF_ALL), 0);
    CHECK_EQ(*at, 0xa);
    CHECK_EQ(update_va((void *)SCRATCH, PTE(b, PTE_FLAGS), UVMF_INVLPG | (uint64_t)&cpus), 0);
    CHECK_EQ(*at, 0xbb);
    CHECK_EQ(hc(update_va_mapping_otherdomain, SCRATCH, PTE(a, PTE_FLAGS), UVMF_INVLPG, DOMID_SELF),
             0);
    CHECK_EQ(*at, 0xa);
    CHECK_EQ(update_va((void *)SCRATCH, 0, UVMF_INVLPG), 0);
    TRY("mov (%0), %%rax", : : "r"(SCRATCH) : "rax");
    CHECK(trapped(TRAP_PF));
    /* the entry is only stored while not present */
    CHECK_EQ(update_va((void *)SCRATCH, 0x1234560000000000, UVMF_INVLPG), 0);
    CHECK_EQ(l1[0], 0x1234560000000000);
    CHECK_EQ(update_va((void *)SCRATCH, 0, 0), 0);
    /* plain memory: the command is just a store */
    CHECK_EQ(mmu_update(virt_to_maddr(a + 5), 0x5555), 0);
    CHECK_EQ(a[5], 0x5555);
}

static void updates_refused(void)
{
    uint64_t *a = page_alloc();
    uint64_t l1_maddr = virt_to_maddr(l1), before = *pte_of(kernel_root, (uint64_t)a, 1);
    struct mmu_update u[3] = { { l1_maddr, PTE(a, PTE_FLAGS) },
                               { l1_maddr + 8, 0xffffffffff000 | PTE_FLAGS },
                               { l1_maddr + 16, 0 } };
    unsigned int done = 99;

    CHECK(hc(mmu_update, u, 3, &done, DOMID_SELF) < 0);
    CHECK_EQ(done, 1); /* those before the bad one stay */
    CHECK_PTE(l1[0], PTE(a, PTE_FLAGS));
    CHECK_EQ(l1[1], 0);
    CHECK_EQ(hc(mmu_update, u, 1, &done, DOMID_SELF), 0);
    CHECK_EQ(done, 1);
    CHECK_EQ(mmu_update(l1_maddr | 4, PTE(a, PTE_FLAGS)), -ENOSYS); /* no such command */
    CHECK(mmu_update(~0xfffUL & 0xfffffffffffff, 0) < 0);
    CHECK(mmu_update(l1_maddr, PTE(l1, PTE_FLAGS)) < 0); /* a table, writable */
    CHECK_EQ(mmu_update(l1_maddr, PTE(l1, PTE_RO)), 0);
    CHECK(mmu_update(l1_maddr, PTE(kernel_root, PTE_FLAGS)) < 0);
    CHECK_EQ(mmu_update(l1_maddr, PTE(kernel_root, PTE_RO)), 0);
    CHECK_EQ(mmu_update(l1_maddr, 0), 0);
    CHECK(mmu_update(l1_maddr, PTE(a, PTE_FLAGS) | 1UL << 51) < 0); /* frame beyond memory */
    CHECK(mmu_update(l1_maddr,
                     PTE_MFN(*pte_of(kernel_root, HYPERVISOR_VIRT_START, 4)) << 12 | PTE_RO) < 0);
    CHECK(update_va((void *)HYPERVISOR_VIRT_START, PTE(a, PTE_FLAGS), 0) < 0);
    CHECK(update_va((void *)(HYPERVISOR_VIRT_END - PAGE_SIZE), PTE(a, PTE_FLAGS), 0) < 0);
    CHECK(update_va((void *)NONCANONICAL, PTE(a, PTE_FLAGS), 0) < 0);
    CHECK(update_va((void *)0x70000000, PTE(a, PTE_FLAGS), 0) < 0); /* no table there */
    CHECK_EQ(hc(update_va_mapping_otherdomain, SCRATCH, PTE(a, PTE_FLAGS), 0, 77), -ESRCH);
    /* the hypervisor's slots in a root */
    for (unsigned int i = 256; i < 272; i++)
        CHECK(pte_write(&kernel_root[i], kernel_root[SCRATCH >> 39]) < 0);
    CHECK(pte_write(&kernel_root[256], 0) < 0);
    /* a superpage is not for guests */
    CHECK(pte_write(pte_of(kernel_root, SCRATCH, 2) + 1, PTE_FLAGS | PTE_PS) < 0);
    CHECK(pte_write(pte_of(kernel_root, SCRATCH, 2) + 1, PTE(a, PTE_FLAGS)) <
          0); /* writable elsewhere */
    CHECK(pte_write(pte_of(kernel_root, SCRATCH, 3) + 1, PTE(l1, PTE_FLAGS)) < 0); /* L1 as L2 */
    CHECK_EQ(*pte_of(kernel_root, (uint64_t)a, 1), before);
    CHECK_EQ(mmu_update(l1_maddr, 0), 0);
}

static void machphys(void)
{
    char *p = page_alloc();
    uint64_t mfn = virt_to_mfn(p), pfn = virt_to_pfn(p);

    CHECK_EQ(mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, 0x12345), 0);
    CHECK_EQ(machine_to_phys_mapping[mfn], 0x12345);
    CHECK_EQ(mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, pfn), 0);
    CHECK_EQ(machine_to_phys_mapping[mfn], pfn);
    CHECK(mmu_update(0xfffffffff000 | MMU_MACHPHYS_UPDATE, 0) < 0);
}

static void pins(void)
{
    uint64_t *t[5], *data = page_alloc();

    for (unsigned int l = 1; l <= 4; l++)
        t[l] = page_alloc();
    for (unsigned int l = 2; l <= 4; l++)
        t[l][0] = PTE(t[l - 1], PTE_FLAGS);
    t[1][3] = PTE(data, PTE_FLAGS);
    for (unsigned int l = 1; l <= 4; l++)
        CHECK(pin(l, t[l]) < 0); /* writable mappings exist */
    for (unsigned int l = 1; l <= 4; l++)
        page_set_ro(t[l]);
    for (unsigned int l = 1; l <= 4; l++) {
        CHECK_EQ(pin(l, t[l]), 0);
        CHECK_EQ(pin(l, t[l]), -EINVAL);      /* twice */
        CHECK(pin(l == 1 ? 2 : 1, t[l]) < 0); /* as another type */
        CHECK(update_va(t[l], PTE(t[l], PTE_FLAGS), UVMF_INVLPG) < 0);
        CHECK(!(*pte_of(kernel_root, (uint64_t)t[l], 1) & PTE_RW));
    }
    for (unsigned int l = 1; l <= 4; l++)
        CHECK_EQ(unpin(t[l]), 0);
    CHECK_EQ(unpin(t[4]), -EINVAL);
    for (unsigned int l = 1; l <= 4; l++)
        page_set_rw(t[l]); /* plain memory again */
    t[4][0] = 0;
    /* the root alone holds the tree under it */
    t[4][0] = PTE(t[3], PTE_FLAGS);
    for (unsigned int l = 1; l <= 4; l++)
        page_set_ro(t[l]);
    CHECK_EQ(pin(4, t[4]), 0);
    CHECK(update_va(t[1], PTE(t[1], PTE_FLAGS), UVMF_INVLPG) < 0);
    CHECK_EQ(pte_write(&t[1][4], PTE(data, PTE_RO)), 0);
    CHECK_PTE(t[1][4], PTE(data, PTE_RO));
    CHECK_EQ(unpin(t[4]), 0);
    for (unsigned int l = 1; l <= 4; l++)
        page_set_rw(t[l]);
    /* a tree with one bad entry is refused whole, and leaves no reference behind */
    t[1][5] = 0xffffffffff000 | PTE_FLAGS;
    for (unsigned int l = 1; l <= 4; l++)
        page_set_ro(t[l]);
    CHECK(pin(4, t[4]) < 0);
    for (unsigned int l = 1; l <= 4; l++)
        page_set_rw(t[l]);
    CHECK(pin(1, (void *)VIRT_BASE + 0) < 0 || on_xen());
    CHECK_EQ(mmuext(MMUEXT_PIN_L1_TABLE, 0xfffffffffUL, 0), -EINVAL);
    CHECK_EQ(mmuext(MMUEXT_UNPIN_TABLE, 0xfffffffffUL, 0), -EINVAL);
    CHECK_EQ(mmuext(99, 0, 0), -ENOSYS);
}

/* A second kernel root with the same contents: run on it, and come back. */
static void new_root(void)
{
    uint64_t *root = page_alloc(), *user, *old = kernel_root, *spare = page_alloc();

    for (unsigned int i = 0; i < 512; i++)
        if (i < 256 || i >= 272)
            root[i] = kernel_root[i];
    CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(root), 0) < 0, 1); /* still writable */
    page_set_ro(root);
    CHECK_EQ(pin(4, root), 0);
    CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(root), 0), 0);
    kernel_root = root;
    CHECK_EQ(pte_write(&root[SCRATCH >> 39], 0), 0);
    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
    TRY("mov (%0), %%rax", : : "r"(SCRATCH) : "rax");
    CHECK(trapped(TRAP_PF));
    CHECK(unpin(root) == 0 && pin(4, root) == 0); /* in use as root: the type stays */
    CHECK(update_va(root, PTE(root, PTE_FLAGS), UVMF_INVLPG) < 0);
    CHECK_EQ(mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(spare), 0) < 0, 1);
    __asm__ volatile("mov %0, %%cr3"
                     :
                     : "r"(virt_to_maddr(old))
                     : "memory"); /* emulated: the same */
    kernel_root = old;
    __asm__ volatile("mov %%cr3, %0" : "=r"(user));
    CHECK_EQ(user, virt_to_maddr(old));
    CHECK_EQ(unpin(root), 0);
    page_set_rw(root);
    user_init();
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, 0, 0), 0); /* none */
    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(spare), 0) < 0, 1);
    CHECK_EQ(unpin(user_root), 0);
    page_set_rw(user_root); /* nobody holds it any more */
}

/* Stores to a live L1 through its read-only mapping: done for us by the hypervisor. */
static void emulated_writes(void)
{
    char *page = page_alloc();
    uint64_t good = PTE(page, PTE_FLAGS), old = 0, rax;

    l1 = pte_of(kernel_root, SCRATCH, 1);
    TRY("mov %1, (%0)", : : "r"(l1), "r"(good) : "memory");
    CHECK(trapped(-1));
    CHECK_PTE(l1[0], good);
    *(volatile uint64_t *)SCRATCH = 0x77;
    CHECK_EQ(*(uint64_t *)page, 0x77);
    TRY("xchg %0, (%1)", : "+r"(old) : "r"(l1) : "memory");
    CHECK(trapped(-1));
    CHECK_PTE(old & ~(uint64_t)(PTE_A | PTE_D), good & ~(uint64_t)(PTE_A | PTE_D));
    CHECK_PTE(l1[0], 0);
    rax = 0;
    TRY("lock cmpxchg %2, (%1)", : "+a"(rax) : "r"(l1), "r"(good) : "memory");
    CHECK(trapped(-1));
    CHECK_EQ(rax, 0);
    CHECK_PTE(l1[0], good);
    good = l1[0];
    rax = 0x123;
    TRY("lock cmpxchg %2, (%1)", : "+a"(rax) : "r"(l1), "r"(0UL) : "memory"); /* does not match */
    CHECK(trapped(-1));
    CHECK_PTE(rax, good);
    CHECK_PTE(l1[0], good);
    TRY("lock andq %1, (%0)", : : "r"(l1), "r"(~(uint64_t)PTE_RW) : "memory");
    CHECK(trapped(-1));
    CHECK_PTE(l1[0], good & ~(uint64_t)PTE_RW);
    TRY("lock orq %1, (%0)", : : "r"(l1), "r"((uint64_t)PTE_RW) : "memory");
    CHECK(trapped(-1));
    CHECK_PTE(l1[0], good);
    TRY("lock btrq $5, (%0)", : : "r"(l1) : "memory");
    CHECK(trapped(-1));
    CHECK_PTE(l1[0], good & ~(uint64_t)PTE_A);
    TRY("lock btsq $5, (%0)", : : "r"(l1) : "memory");
    CHECK(trapped(-1));
    CHECK_PTE(l1[0], good);
    TRY("movq $0, (%0)", : : "r"(l1) : "memory");
    CHECK_PTE(l1[0], 0);
    /* a value that may not stand there: the fault is ours */
    TRY("mov %1, (%0)", : : "r"(l1), "r"(PTE(l1, PTE_FLAGS)) : "memory");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(last_trap.cr2, (uint64_t)l1);
    CHECK_EQ(last_trap.regs.error_code, 3);
    CHECK_PTE(l1[0], 0);
    /* higher tables are not written this way */
    TRY("movq $0, (%0)", : : "r"(pte_of(kernel_root, SCRATCH, 2)) : "memory");
    CHECK(trapped(TRAP_PF));
    TRY("movq $0, (%0)", : : "r"(pte_of(kernel_root, SCRATCH, 4)) : "memory");
    CHECK(trapped(TRAP_PF));
    CHECK(*pte_of(kernel_root, SCRATCH, 4) != 0);
}

static void flushes_and_copies(void)
{
    uint64_t *a = page_alloc(), *b = page_alloc(), cpus = 1;

    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_LOCAL, 0, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_ALL, 0, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_INVLPG_LOCAL, SCRATCH, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_INVLPG_ALL, SCRATCH, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, (uint64_t)&cpus), 0);
    CHECK_EQ(mmuext(MMUEXT_INVLPG_MULTI, SCRATCH, (uint64_t)&cpus), 0);
    CHECK(mmuext(MMUEXT_TLB_FLUSH_MULTI, 0, 0x1000) < 0);
    CHECK(mmuext(MMUEXT_INVLPG_LOCAL, HYPERVISOR_VIRT_START, 0) == 0);
    CHECK(mmuext(MMUEXT_INVLPG_LOCAL, NONCANONICAL, 0) == 0);
    /* for those with devices */
    CHECK_EQ(mmuext(MMUEXT_FLUSH_CACHE, 0, 0), is_dom0() ? 0 : -EACCES);
    CHECK_EQ(mmuext(MMUEXT_FLUSH_CACHE_GLOBAL, 0, 0), is_dom0() ? 0 : -EACCES);
    TRY("invlpg (%0)", : : "r"(SCRATCH) : "memory"); /* Xen does not emulate it */
    CHECK(trapped(-1) || trapped(TRAP_GP));
    a[1] = 0x1111;
    CHECK_EQ(mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(b), virt_to_mfn(a)), 0);
    CHECK_EQ(b[1], 0x1111);
    CHECK_EQ(mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(a), 0), 0);
    CHECK_EQ(a[1], 0);
    CHECK(mmuext(MMUEXT_CLEAR_PAGE, virt_to_mfn(l1), 0) < 0);
    CHECK(mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(l1), virt_to_mfn(a)) < 0);
    CHECK(mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(a), 0xfffffffffUL) < 0);
    CHECK(mmuext(MMUEXT_MARK_SUPER, virt_to_mfn(a), 0) < 0);
}

void test_main(void)
{
    p2m_and_m2p();
    scratch_tree();
    updates();
    updates_refused();
    machphys();
    pins();
    new_root();
    emulated_writes();
    flushes_and_copies();
}
