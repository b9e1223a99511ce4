/* The hypervisor's own address space after boot: its root, device mappings, per-CPU windows, TLB. */
#include "memory/heap.h"
#include "x86/cpu.h"

extern char init_start[], init_end[];

pte_t *hv_root;
uint64_t image_phys;
struct pcpu boot_pcpu;
pte_t *(*hv_table_alloc)(void);
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

void cpu_area_map(uint32_t cpu, unsigned int page, mfn_t m, uint64_t flags)
{
    uint64_t va = CPU_AREA(cpu) + page * PAGE_SIZE;
    pte_t *slot = hv_entry(va, 1, 0);
    pte_t e = mfn_x(m) == mfn_x(INVALID_MFN) ? 0 : pte_make(mfn_x(m), flags);

    if (*slot == e)
        return;
    *slot = e;
    invlpg(va);
}

void arch_l4_init_hv_slots(pte_t *l4)
{
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
    for (uint64_t b = 0; b < size; b += PAGE_SIZE)
        *hv_entry(va + b, 1, 0) = ((maddr & PAGE_MASK) + b) | PTE_P | PTE_RW | PTE_A | PTE_D |
                                  PTE_PCD | PTE_PWT | PTE_NX | (cpu_features.pge ? PTE_G : 0);
    return (volatile void *)(va + off);
}

void arch_free_init(void)
{
    uint64_t start = (uint64_t)(uintptr_t)init_start, end = (uint64_t)(uintptr_t)init_end;

    for (uint64_t va = start; va < end; va += PAGE_SIZE) {
        *hv_entry(va, 1, 0) = 0;
        invlpg(va);
    }
    heap_free_range(image_phys + (start - IMAGE_VIRT), image_phys + (end - IMAGE_VIRT));
}

/* ---- TLB: only this CPU so far; entries of guests are never global ---- */

void arch_flush_tlb_local(void)
{
    struct pcpu *c = this_pcpu();

    c->tlb_flush_time = atomic_fetch_add(&arch_tlb_clock, 1) + 1;
    write_cr3(read_cr3());
    c->nr_tlb_flushes++;
}

void arch_flush_tlb_page_local(uint64_t va)
{
    if (va_is_canonical(va))
        invlpg(va);
}

void arch_flush_tlb_mask(uint64_t mask)
{
    if (mask >> this_pcpu()->id & 1)
        arch_flush_tlb_local();
}

void arch_flush_tlb_page_mask(uint64_t mask, uint64_t va)
{
    if (mask >> this_pcpu()->id & 1)
        arch_flush_tlb_page_local(va);
}

/* ---- CPUs: one so far ---- */

uint64_t arch_cpus_online(void) { return 1; }
void arch_cpu_kick(uint32_t id) { BUG_ON(id != this_pcpu()->id); }
void arch_stop_other_cpus(void) {}

struct pcpu *arch_pcpu(uint32_t id)
{
    return ((struct cpu_entry *)(CPU_AREA(id) + CPU_AREA_PAGE_ENTRY * PAGE_SIZE))->pcpu;
}
