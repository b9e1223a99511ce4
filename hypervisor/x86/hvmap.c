/* The hypervisor's own address space after boot: its root, device mappings, per-CPU windows, TLB. */
#include "memory/heap.h"
#include "x86/cpu.h"

extern char init_start[], init_end[];

pte_t *hv_root;
uint64_t image_phys;
void *(*hv_table_alloc)(void);
_Atomic uint64_t arch_tlb_clock = 1;

pte_t *hv_entry(uint64_t va, unsigned int level, uint64_t user)
{
    pte_t *t = hv_root;

    for (unsigned int l = 4; l > level; l--) {
        pte_t *e = &t[pt_index(va, l)];

        if (!(*e & PTE_P)) {
            pte_t *new = hv_table_alloc();

            if (new == NULL)
                panic("no memory for a page table of the hypervisor");
            *e = virt_to_maddr(new) | PTE_P | PTE_RW | PTE_A | user;
        }
        BUG_ON(*e & PTE_PS);
        t = maddr_to_virt(*e & PTE_ADDR_MASK);
    }
    return &t[pt_index(va, level)];
}

void hv_map(uint64_t va, uint64_t maddr, uint64_t bytes, uint64_t flags)
{
    flags |= PTE_P | PTE_A | PTE_D;
    if ((flags & (PTE_RW | PTE_NX)) != PTE_RW) /* what boot alone uses is both, and goes again */
        flags |= PTE_G;
    while (bytes) {
        unsigned int level = 1;
        uint64_t size = PAGE_SIZE;

        if (cpu_features.page1gb && !((va | maddr) & (GIB(1) - 1)) && bytes >= GIB(1))
            level = 3, size = GIB(1);
        else if (!((va | maddr) & (MIB(2) - 1)) && bytes >= MIB(2))
            level = 2, size = MIB(2);
        *hv_entry(va, level, flags & PTE_US) = maddr | flags | (level > 1 ? PTE_PS : 0);
        va += size;
        maddr += size;
        bytes -= size;
    }
}

void arch_l4_init_hv_slots(pte_t *l4)
{
    if (guard_root()) {
        memset(&l4[HV_FIRST_SLOT], 0, (HV_LAST_SLOT - HV_FIRST_SLOT + 1) * sizeof(pte_t));
        l4[HV_FIRST_SLOT] = hv_root[HV_FIRST_SLOT]; /* the M2P that guests read */
        l4[ENTRY_SLOT] = hv_root[ENTRY_SLOT];
        return;
    }
    memcpy(&l4[HV_FIRST_SLOT], &hv_root[HV_FIRST_SLOT],
           (HV_LAST_SLOT - HV_FIRST_SLOT + 1) * sizeof(pte_t));
}

volatile void *arch_map_mmio(uint64_t maddr, size_t bytes)
{
    static uint64_t next = MMIO_VIRT;
    uint64_t off = maddr & ~PAGE_MASK, size = ROUND_UP(off + bytes, PAGE_SIZE), va = next;

    if (size > MMIO_VIRT + GIB(1) - next)
        return NULL;
    next += size;
    hv_map(va, maddr & PAGE_MASK, size, PTE_RW | PTE_PCD | PTE_PWT | PTE_NX);
    return (volatile void *)(va + off);
}

void arch_free_init(void)
{
    uint64_t start = (uint64_t)(uintptr_t)init_start, end = (uint64_t)(uintptr_t)init_end;

    for (uint64_t va = start; va < end; va += PAGE_SIZE)
        *hv_entry(va, 1, 0) = 0;
    arch_flush_tlb_mask(arch_cpus_online());
    heap_free_range(image_phys + (start - IMAGE_VIRT), image_phys + (end - IMAGE_VIRT));
}

/* ---- views (GUARD_ROOT) ---- */

/*
 * Of ours a guest's L4 shows only the entry code and the M2P. Ring 0 is on one of two views of the vCPU, of its
 * kernel's or its user mode's L4: a root with all of ours and those entries of that L4 that ring 0 has
 * needed so far (view_fault()), never to execute. They are to the L4 as a TLB is: read again at each
 * flush and each time that the root is loaded.
 */
bool views_create(struct vcpu *v)
{
    for (unsigned int i = 0; i < 2; i++) {
        pte_t *root = v->arch.views[i].root = alloc_page();

        if (root == NULL)
            return false;
        memcpy(&root[HV_FIRST_SLOT], &hv_root[HV_FIRST_SLOT],
               (HV_LAST_SLOT - HV_FIRST_SLOT + 1) * sizeof(pte_t));
    }
    return true;
}

void views_destroy(struct vcpu *v)
{
    free_page(v->arch.views[false].root);
    free_page(v->arch.views[true].root);
}

static bool is_ours(unsigned int slot) { return slot >= HV_FIRST_SLOT && slot <= HV_LAST_SLOT; }

/* What a view shows of slot n. */
static pte_t view_entry(const struct view *w, unsigned int n)
{
    pte_t e = w->cr3 ? READ_ONCE(((pte_t *)maddr_to_virt(w->cr3))[n]) : 0;

    return e & PTE_P ? e | PTE_NX : 0;
}

static void view_show(struct view *w, uint64_t cr3)
{
    w->cr3 = cr3;
    for (unsigned int i = 0; i < VIEW_SLOTS; i++)
        w->root[w->slots[i]] = view_entry(w, w->slots[i]);
}

/* The entry for va of who is loaded here is shown as it is now. */
static void view_refresh_page(uint64_t va)
{
    unsigned long flags = arch_irq_save(); /* a flush in between would be undone */
    struct vcpu *v = vcpu_loaded_here();
    unsigned int n = pt_index(va, 4);

    for (unsigned int i = 0; v && i < 2; i++) {
        struct view *w = &v->arch.views[i];

        if ((w->root[n] & PTE_US) && !is_ours(n))
            w->root[n] = view_entry(w, n);
    }
    arch_irq_restore(flags);
}

uint64_t view_root(struct vcpu *v, bool kernel)
{
    struct view *w = &v->arch.views[kernel];
    unsigned long flags = arch_irq_save(); /* as above */

    if (w->cr3 != vcpu_root(v, kernel))
        view_show(w, vcpu_root(v, kernel));
    arch_irq_restore(flags);
    return virt_to_maddr(w->root);
}

bool view_fault(struct vcpu *v, uint64_t va)
{
    struct view *w = v->is_idle ? NULL : &v->arch.views[v->arch.kernel_mode];
    unsigned int n = pt_index(va, 4);
    uint32_t *slot;

    if (w == NULL || is_ours(n) || (w->root[n] & PTE_P) || view_entry(w, n) == 0)
        return false;
    slot = &w->slots[w->next++ % VIEW_SLOTS];
    w->root[*slot] = 0;
    *slot = n;
    w->root[n] = view_entry(w, n);
    return true;
}

/* ---- the TLB of this CPU; entries of guests are never global ---- */

void load_root(uint64_t cr3, struct vcpu *v)
{
    struct pcpu *c = this_pcpu();
    uint64_t time = atomic_fetch_add(&arch_tlb_clock, 1) + 1;

    /* the views after that: what they read may be let go of, and stamped, until the clock ticks */
    for (unsigned int i = 0; i < 2 && guard_root() && v; i++)
        view_show(&v->arch.views[i], vcpu_root(v, i));
    write_cr(3, cr3);
    c->tlb_flush_time = time; /* others rely on it: not before it is true */
    c->nr_cr3_loads++;
}

void arch_flush_tlb_local(void)
{
    unsigned long flags = arch_irq_save(); /* vcpu_unload_here() would be undone */

    load_root(read_cr(3), vcpu_loaded_here());
    this_pcpu()->nr_tlb_flushes++;
    arch_irq_restore(flags);
}

/* Of an address that is not canonical INVLPG does nothing. */
void arch_flush_tlb_page_local(uint64_t va)
{
    this_pcpu()->nr_tlb_page_flushes++;
    if (guard_root())
        view_refresh_page(va);
    invlpg(va);
}
