/* Page tables by hypercall. The image, with every page handed out here, is mapped at the start. */
#include "guest.h"

#define NR_POOL 192
static char pool[NR_POOL][PAGE_SIZE] __attribute__((aligned(4096)));
static unsigned int pool_used;

uint64_t *kernel_root, *user_root;
char *user_stack;

void mm_init(void);
void mm_init(void) { kernel_root = (uint64_t *)start_info->pt_base; }

void *page_alloc(void)
{
    if (pool_used == NR_POOL)
        error("out of pages");
    return pool[pool_used++];
}

uint64_t pfn_to_mfn(uint64_t pfn) { return ((uint64_t *)start_info->mfn_list)[pfn]; }

uint64_t virt_to_mfn(const void *p) { return pfn_to_mfn(virt_to_pfn(p)); }

uint64_t virt_to_maddr(const void *p) { return virt_to_mfn(p) << 12 | ((uint64_t)p & 4095); }

void *mfn_to_virt(uint64_t mfn)
{
    return (void *)(VIRT_BASE + (machine_to_phys_mapping[mfn] << 12));
}

uint64_t *pte_of(uint64_t *root, uint64_t va, unsigned int level)
{
    uint64_t *table = root;

    for (unsigned int l = 4;; l--) {
        uint64_t *pte = &table[(va >> (12 + 9 * (l - 1))) & 511];

        if (l == level)
            return pte;
        if (!(*pte & PTE_P) || (l < 4 && (*pte & PTE_PS)))
            return NULL;
        table = mfn_to_virt(PTE_MFN(*pte));
    }
}

long mmu_update(uint64_t ptr, uint64_t val)
{
    struct mmu_update u = { .ptr = ptr, .val = val };

    return hc(mmu_update, &u, 1, 0, DOMID_SELF);
}

long pte_write(uint64_t *pte, uint64_t val)
{
    return mmu_update(virt_to_maddr(pte) | MMU_NORMAL_PT_UPDATE, val);
}

long update_va(const void *va, uint64_t pte, uint64_t flags)
{
    return hc(update_va_mapping, va, pte, flags);
}

static void page_set(const void *p, uint64_t flags)
{
    long rc = update_va(p, virt_to_mfn(p) << 12 | flags, UVMF_INVLPG);

    if (rc)
        error("cannot remap %p: %ld", p, rc);
}

void page_set_ro(const void *p) { page_set(p, PTE_FLAGS & ~PTE_RW); }

void page_set_rw(const void *p) { page_set(p, PTE_FLAGS); }

long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2)
{
    struct mmuext_op op = { .cmd = cmd };

    op.arg1.mfn = arg1;
    op.arg2.src_mfn = arg2;
    return hc(mmuext_op, &op, 1, 0, DOMID_SELF);
}

long pin(unsigned int level, const void *table)
{
    return mmuext(MMUEXT_PIN_L1_TABLE + level - 1, virt_to_mfn(table), 0);
}

long unpin(const void *table) { return mmuext(MMUEXT_UNPIN_TABLE, virt_to_mfn(table), 0); }

void map_in(uint64_t *root, uint64_t va, uint64_t mfn, uint64_t flags)
{
    for (unsigned int l = 4; l > 1; l--) {
        uint64_t *pte = pte_of(root, va, l);

        if (!(*pte & PTE_P))
            *pte = virt_to_maddr(page_alloc()) | PTE_FLAGS;
    }
    *pte_of(root, va, 1) = mfn << 12 | flags;
}

static void table_set_ro(uint64_t *table, unsigned int level)
{
    for (unsigned int i = 0; level > 1 && i < 512; i++)
        if (table[i] & PTE_P)
            table_set_ro(mfn_to_virt(PTE_MFN(table[i])), level - 1);
    page_set_ro(table);
}

void tree_set_ro(uint64_t *root) { table_set_ro(root, 4); }

void user_init(void) { user_init_with(0, 0); }

void user_init_with(uint64_t va, uint64_t mfn)
{
    long rc;

    user_root = page_alloc();
    user_stack = page_alloc();
    page_alloc();
    for (uint64_t off = 0; user_code_start + off < user_code_end; off += PAGE_SIZE)
        map_in(user_root, USER_CODE + off, virt_to_mfn(user_code_start + off), PTE_FLAGS & ~PTE_RW);
    for (uint64_t off = 0; off < 2 * PAGE_SIZE; off += PAGE_SIZE)
        map_in(user_root, USER_STACK_TOP - 2 * PAGE_SIZE + off, virt_to_mfn(user_stack + off),
               PTE_FLAGS);
    if (mfn)
        map_in(user_root, va, mfn, PTE_FLAGS);
    tree_set_ro(user_root);
    rc = pin(4, user_root);
    if (rc == 0)
        rc = mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(user_root), 0);
    if (rc)
        error("no user root: %ld", rc);
}

void user_regs_init(struct cpu_user_regs *regs, const void *label)
{
    memset(regs, 0, sizeof(*regs));
    regs->rip = USER_ADDR(label);
    regs->cs = USER_CS;
    regs->rflags = 0x202;
    regs->rsp = USER_STACK_TOP;
    regs->ss = USER_SS;
}
