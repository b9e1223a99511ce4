/*
 * The machine's part of vCPUs: creation and the context switch. What a guest set by hypercall takes
 * effect here.
 */
#include "memory/heap.h"
#include "x86/cpu.h"

/* Whose segments, bases, roots, FPU state and debug registers this CPU holds; survives a spell of idleness. */
static _Atomic(struct vcpu *) loaded[NR_CPUS];

int arch_vcpu_create(struct vcpu *v)
{
    if (v->is_idle)
        return 0;
    v->arch.traps = alloc_page();
    v->arch.fpu = xmalloc(cpu_features.fpu_bytes);
    if (v->arch.traps == NULL || v->arch.fpu == NULL || /* arch_vcpu_destroy() follows */
        (guard_root() && !views_create(v)))
        return -ENOMEM;
    _Static_assert(256 * sizeof(struct guest_trap) <= PAGE_SIZE, "traps in one page");
    v->arch.kernel_mode = true;
    v->arch.dr[6] = 0xffff0ff0;
    v->arch.dr[7] = 0x400;
    v->arch.xcr0 = 1;
    v->arch.cr0 = 0x80050033;
    v->arch.cr4 = CR4_PGE | (cpu_features.cr4 & (CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT));
    memset(v->arch.gdt_frames, 0xff, sizeof(v->arch.gdt_frames)); /* INVALID_MFN */
    memset(v->arch.ldt_frames, 0xff, sizeof(v->arch.ldt_frames));
    return 0;
}

struct vcpu *vcpu_loaded_here(void) { return atomic_load(&loaded[this_pcpu()->id]); }

/* This CPU has old's address space no more: its TLB was flushed since. */
static void left(const struct vcpu *old)
{
    atomic_fetch_and(&old->domain->dirty_cpus, ~(1ULL << this_pcpu()->id));
}

/* What this CPU shows of descriptor tables: pages without a frame are holes. */
struct window {
    unsigned int first, pages; /* in the CPU's area */
    pte_t hole;
    uint8_t used[NR_CPUS]; /* so many pages may not be holes, and one more; 0: nobody knows */
};

static void load_window(struct window *w, const mfn_t *frames, unsigned int nr_ents)
{
    static pte_t *areas[NR_CPUS]; /* one page table has all of an area */
    uint32_t id = this_pcpu()->id;
    unsigned int nr = DIV_ROUND_UP(nr_ents, 512u), end = w->used[id] ? w->used[id] - 1u : w->pages;
    pte_t *slot;

    if (unlikely(areas[id] == NULL))
        areas[id] = hv_entry(CPU_AREA(id), 1, 0);
    w->used[id] = (uint8_t)(nr + 1);
    slot = areas[id] + w->first;
    for (unsigned int i = 0; i < MAX(nr, end); i++, slot++) {
        pte_t e = w->hole;

        if (i < nr && mfn_x(frames[i]) != mfn_x(INVALID_MFN))
            e = pte_make(mfn_x(frames[i]), PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX);
        if (*slot == e)
            continue;
        *slot = e;
        arch_flush_tlb_page_local(CPU_AREA(id) + (w->first + i) * PAGE_SIZE);
    }
}

static struct window gdt = { .first = CPU_AREA_PAGE_GDT, .pages = FIRST_RESERVED_GDT_PAGE };
static struct window ldt = { .first = CPU_AREA_PAGE_LDT, .pages = NR_LDT_FRAMES };

void vcpu_unload_here(void)
{
    unsigned long flags = arch_irq_save();
    struct pcpu *c = this_pcpu();
    struct vcpu *v = atomic_load(&loaded[c->id]);

    if (v && v != c->running) {
        fpu_switch(v, NULL);
        load_root(virt_to_maddr(hv_root), NULL);
        left(v);
        /* its frames may be another's soon, and guests' roots show the window (Meltdown) */
        load_window(&gdt, v->arch.gdt_frames, 0);
        load_window(&ldt, v->arch.ldt_frames, 0);
        cpu_load_ldt(0);
        atomic_store(&loaded[c->id], NULL);
    }
    arch_irq_restore(flags);
}

void arch_vcpu_unload(struct vcpu *v)
{
    uint32_t cpu = v->arch.last_cpu;

    if (atomic_load(&loaded[cpu]) == v)
        smp_unload(cpu);
    while (atomic_load(&loaded[cpu]) == v) { /* it may ask us for something itself */
        smp_serve();
        cpu_relax();
    }
}

void arch_vcpu_destroy(struct vcpu *v)
{
    arch_vcpu_unload(v);
    views_destroy(v);
    xfree(v->arch.fpu);
    free_page(v->arch.traps);
}

uint64_t arch_vcpu_root(const struct vcpu *v) { return vcpu_root(v, v->arch.kernel_mode); }

void arch_vcpu_roots_changed(struct vcpu *v)
{
    unsigned long flags = 0;

    if (v != current)
        return;
    if (guard_root())
        flags = arch_irq_save();
    load_root(own_root(v, v->arch.kernel_mode), v);
    if (guard_root())
        arch_irq_restore(flags);
}

void arch_vcpu_gdt_changed(struct vcpu *v)
{
    static const uint8_t null_descriptors[PAGE_SIZE] __attribute__((aligned(4096))); /* #GP */

    if (v != current)
        return;
    gdt.hole =
        (image_phys + (uint64_t)(uintptr_t)null_descriptors - IMAGE_VIRT) | PTE_P | PTE_A | PTE_NX;
    load_window(&gdt, v->arch.gdt_frames, v->arch.nr_gdt_ents);
}

void arch_vcpu_ldt_changed(struct vcpu *v)
{
    if (v != current)
        return;
    load_window(&ldt, v->arch.ldt_frames, v->arch.nr_ldt_ents);
    cpu_load_ldt(v->arch.nr_ldt_ents);
}

/* The GS base of v's present mode. While v is current the MSR has it: ring 0 runs on its own. */
static uint64_t *gs_base(struct vcpu *v)
{
    return v->arch.kernel_mode ? &v->arch.gs_base_kernel : &v->arch.gs_base_user;
}

void arch_vcpu_set_base(struct vcpu *v, uint64_t *base, uint64_t value)
{
    *base = value;
    if (base == &v->arch.fs_base)
        wrmsr(MSR_FS_BASE, value);
    else if (base == gs_base(v))
        wrmsr(MSR_KERNEL_GS_BASE, value);
}

void arch_vcpu_save_bases(struct vcpu *v)
{
    v->arch.fs_base = rdmsr(MSR_FS_BASE);
    *gs_base(v) = rdmsr(MSR_KERNEL_GS_BASE);
}

/* Load what a guest wants in a segment register. True if that faulted: then null is there. */
#define LOAD_SEGMENT(seg, wanted)                                                         \
    ({                                                                                    \
        uint16_t good = guest_selector(wanted), got = good;                               \
        __asm__ volatile("jmp 1f; 2: xor %0, %0; 1: mov %0, %%" #seg EX_TABLE("1b", "2b") \
                         : "+r"(got)::"cc");                                              \
        got != good;                                                                      \
    })

/*
 * The same for GS; *base: what came with it. Ours is back at return: an NMI in between finds its own
 * way (trap_ist), nothing else may use GS there, so this is a function of its own. Interrupts off.
 */
static noinline bool load_gs_and_base(uint16_t sel, uint64_t *base)
{
    uint64_t ours = rdmsr(MSR_GS_BASE);
    bool bad = LOAD_SEGMENT(gs, sel);

    *base = sel > 3 ? rdmsr(MSR_GS_BASE) : 0;
    wrmsr(MSR_GS_BASE, ours);
    if (*base == ours) /* AMD: null, for a bad selector, leaves the base alone */
        *base = 0;
    return bad;
}

void arch_vcpu_load_gs_user(struct vcpu *v, uint16_t sel)
{
    unsigned long flags = arch_irq_save();

    load_gs_and_base(sel, &v->arch.gs_base_user);
    arch_irq_restore(flags);
}

void arch_vcpu_debugregs_changed(struct vcpu *v)
{
    const uint64_t *dr = v->arch.dr;

    __asm__ volatile(
        "mov %0, %%dr0; mov %1, %%dr1; mov %2, %%dr2; mov %3, %%dr3; mov %4, %%dr7" ::"r"(dr[0]),
        "r"(dr[1]), "r"(dr[2]), "r"(dr[3]), "r"(dr[7]));
}

void arch_vcpu_crs_changed(struct vcpu *v)
{
    uint64_t cr0 = (read_cr(0) & ~CR0_TS) | (v->arch.cr0 & CR0_TS);
    uint64_t guests = CR4_TSD | CR4_DE | (cpu_features.fsgsbase ? CR4_FSGSBASE : 0);
    uint64_t cr4 = cpu_features.cr4 | (v->arch.cr4 & guests) | (v->domain->vtsc ? CR4_TSD : 0);

    if (cr0 != read_cr(0))
        write_cr(0, cr0);
    if (cr4 != read_cr(4))
        write_cr(4, cr4);
}

void save_selectors(struct vcpu *v)
{
    struct cpu_user_regs *r = &v->arch.regs;

    __asm__ volatile("mov %%ds, %0" : "=r"(r->ds));
    __asm__ volatile("mov %%es, %0" : "=r"(r->es));
    __asm__ volatile("mov %%fs, %0" : "=r"(r->fs));
    __asm__ volatile("mov %%gs, %0" : "=r"(r->gs));
}

/* Selectors first (they load bases of their own), then the bases that the guest set. */
static bool load_segments(struct vcpu *v)
{
    const struct cpu_user_regs *r = &v->arch.regs;
    uint64_t base;
    bool bad = LOAD_SEGMENT(ds, r->ds);

    bad |= LOAD_SEGMENT(es, r->es);
    bad |= LOAD_SEGMENT(fs, r->fs);
    bad |= load_gs_and_base(r->gs, &base);
    wrmsr(MSR_FS_BASE, v->arch.fs_base);
    wrmsr(MSR_KERNEL_GS_BASE, *gs_base(v));
    /* an interrupt made SS null, and AMD's SYSRET leaves its hidden part so: 32-bit code would fault */
    __asm__ volatile("mov %0, %%ss" ::"r"(HV_DS));
    return bad;
}

void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    struct pcpu *c = this_pcpu();
    struct vcpu *old;
    bool bad_segment;

    BUG_ON(arch_irq_enabled() || c->running != prev);
    if (!prev->is_idle) {
        memcpy(&prev->arch.regs, arch_guest_regs(), offsetof(struct cpu_user_regs, es));
        save_selectors(prev);
        arch_vcpu_save_bases(prev);
    }
    c->running = next;
    if (next->is_idle)
        return;
    if (next->arch.last_cpu != c->id)
        arch_vcpu_unload(next);
    memcpy(arch_guest_regs(), &next->arch.regs, offsetof(struct cpu_user_regs, es));
    old = atomic_load(&loaded[c->id]);
    if (old == next)
        return;
    next->arch.last_cpu = c->id;
    atomic_fetch_or(&next->domain->dirty_cpus, 1ULL << c->id); /* before its tables are walked */
    arch_vcpu_roots_changed(next);
    if (old && old->domain != next->domain)
        left(old);
    arch_vcpu_gdt_changed(next);
    arch_vcpu_ldt_changed(next);
    bad_segment = load_segments(next);
    if (old == NULL || ((old->arch.dr[7] | next->arch.dr[7]) & 0xff))
        arch_vcpu_debugregs_changed(next);
    fpu_switch(old, next);
    atomic_store(&loaded[c->id], next); /* from here on old may be loaded elsewhere */
    arch_vcpu_crs_changed(next);
    if (cpu_features.rdtscp)
        wrmsr(MSR_TSC_AUX, next->arch.tsc_aux);
    if (bad_segment)
        bounce_failsafe(next);
}
