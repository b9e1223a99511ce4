/*
 * The machine's part of vCPUs: creation, contexts from guests, and the context switch. What a guest
 * set by hypercall takes effect here.
 */
#include "memory/heap.h"
#include "x86/cpu.h"

#define RFLAGS_IF (1ULL << 9)
#define RFLAGS_GUEST 0x254dd5ULL

/* Whose segments, bases, roots and debug registers this CPU holds; survives a spell of idleness. */
static struct vcpu *loaded[NR_CPUS];

int arch_vcpu_create(struct vcpu *v)
{
    if (v->is_idle)
        return 0;
    v->arch.traps = alloc_page();
    if (v->arch.traps == NULL)
        return -ENOMEM;
    _Static_assert(256 * sizeof(struct guest_trap) <= PAGE_SIZE, "traps in one page");
    if (fpu_create(v)) {
        free_page(v->arch.traps);
        v->arch.traps = NULL;
        return -ENOMEM;
    }
    v->arch.kernel_mode = true;
    v->arch.kernel_ss = GUEST_DS;
    v->arch.dr[6] = 0xffff0ff0;
    v->arch.dr[7] = 0x400;
    v->arch.xcr0 = 1;
    v->arch.cr0 = 0x80050033;
    v->arch.cr4 = cpu_features.cr4 & (CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT);
    for (unsigned int i = 0; i < ARRAY_SIZE(v->arch.gdt_frames); i++)
        v->arch.gdt_frames[i] = INVALID_MFN;
    for (unsigned int i = 0; i < NR_LDT_FRAMES; i++)
        v->arch.ldt_frames[i] = INVALID_MFN;
    return 0;
}

void arch_vcpu_unload(struct vcpu *v)
{
    struct pcpu *c = this_pcpu();

    if (loaded[c->id] != v)
        return;
    BUG_ON(c->running == v);
    loaded[c->id] = NULL;
    write_cr3(virt_to_maddr(hv_root));
}

void arch_vcpu_destroy(struct vcpu *v)
{
    arch_vcpu_unload(v);
    fpu_release(v);
    free_page(v->arch.traps);
    v->arch.traps = NULL;
}

struct cpu_user_regs *arch_guest_regs(void)
{
    struct cpu_user_regs *r;

    __asm__("mov %%gs:%c1, %0" : "=r"(r) : "i"(offsetof(struct cpu_entry, regs)));
    return r;
}

uint64_t arch_vcpu_root(const struct vcpu *v)
{
    return v->arch.kernel_mode ? v->arch.cr3_kernel : v->arch.cr3_user;
}

void arch_vcpu_roots_changed(struct vcpu *v)
{
    if (v != current)
        return;
    this_pcpu()->tlb_flush_time = atomic_fetch_add(&arch_tlb_clock, 1) + 1;
    write_cr3(arch_vcpu_root(v));
    this_pcpu()->nr_cr3_loads++;
}

/* Selectors a guest may have: null, ours for ring 3, or its own tables' with RPL 3. */
static uint16_t guest_selector(uint64_t sel)
{
    return (uint16_t)(sel & 0xfffc ? sel | 3 : sel & 3);
}

static bool bases_ok(const struct vcpu_guest_context *c)
{
    return va_is_canonical(c->fs_base) && va_is_canonical(c->gs_base_kernel) &&
           va_is_canonical(c->gs_base_user);
}

int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    struct arch_vcpu *a = &v->arch;

    if (!(c->flags & VGCF_in_kernel) && v->arch.cr3_user == 0)
        return -EINVAL;
    if (!bases_ok(c) || !va_is_canonical(c->event_callback_eip) ||
        !va_is_canonical(c->failsafe_callback_eip) || !va_is_canonical(c->syscall_callback_eip))
        return -EINVAL;
    for (unsigned int i = 0; i < 256; i++)
        if (!va_is_canonical(c->trap_ctxt[i].address))
            return -EINVAL;
    a->regs = c->user_regs;
    a->regs.cs = guest_selector(a->regs.cs);
    a->regs.ss = guest_selector(a->regs.ss);
    a->regs.ds = guest_selector(a->regs.ds);
    a->regs.es = guest_selector(a->regs.es);
    a->regs.fs = guest_selector(a->regs.fs);
    a->regs.gs = guest_selector(a->regs.gs);
    a->iopl = a->regs.rflags >> 12 & 3;
    a->regs.rflags = (a->regs.rflags & RFLAGS_GUEST) | RFLAGS_IF | 2;
    a->regs.entry_vector = 0;
    a->kernel_mode = c->flags & VGCF_in_kernel;
    for (unsigned int i = 0; i < 256; i++)
        a->traps[i] =
            (struct guest_trap){ c->trap_ctxt[i].address, guest_selector(c->trap_ctxt[i].cs),
                                 c->trap_ctxt[i].flags };
    a->kernel_sp = c->kernel_sp;
    a->kernel_ss = guest_selector(c->kernel_ss);
    a->fs_base = c->fs_base;
    a->gs_base_kernel = c->gs_base_kernel;
    a->gs_base_user = c->gs_base_user;
    a->event_cb.address = c->event_callback_eip;
    a->failsafe_cb = (struct guest_callback){ c->failsafe_callback_eip,
                                              c->flags & VGCF_failsafe_disables_events };
    a->syscall_cb =
        (struct guest_callback){ c->syscall_callback_eip, c->flags & VGCF_syscall_disables_events };
    a->cr0 = c->ctrlreg[0] & CR0_TS ? a->cr0 | CR0_TS : a->cr0 & ~CR0_TS;
    fpu_set_context(v, c);
    return 0;
}

/* Pages without a frame show `hole`. */
static void load_window(unsigned int first_page, const mfn_t *frames, unsigned int nr_frames,
                        unsigned int nr_ents, mfn_t hole)
{
    uint32_t cpu = this_pcpu()->id;

    for (unsigned int i = 0; i < nr_frames; i++)
        if (i * 512 < nr_ents && mfn_x(frames[i]) != mfn_x(INVALID_MFN))
            cpu_area_map(cpu, first_page + i, frames[i], PTE_P | PTE_RW | PTE_A | PTE_D | PTE_NX);
        else
            cpu_area_map(cpu, first_page + i, hole, PTE_P | PTE_A | PTE_NX);
}

static const uint8_t zero_page[PAGE_SIZE] __attribute__((aligned(4096)));

static mfn_t zero_page_mfn(void)
{
    return _mfn((image_phys + ((uint64_t)(uintptr_t)zero_page - IMAGE_VIRT)) >> PAGE_SHIFT);
}

void arch_vcpu_gdt_changed(struct vcpu *v)
{
    if (v == current)
        load_window(CPU_AREA_PAGE_GDT, v->arch.gdt_frames, ARRAY_SIZE(v->arch.gdt_frames),
                    v->arch.nr_gdt_ents, zero_page_mfn()); /* null descriptors: #GP */
}

void arch_vcpu_ldt_changed(struct vcpu *v)
{
    uint32_t cpu = this_pcpu()->id;
    unsigned int n = v->arch.nr_ldt_ents;

    if (v != current)
        return;
    load_window(CPU_AREA_PAGE_LDT, v->arch.ldt_frames, NR_LDT_FRAMES, n, INVALID_MFN);
    cpu_load_ldt(n ? CPU_AREA(cpu) + CPU_AREA_PAGE_LDT * PAGE_SIZE : 0, n);
}

void arch_vcpu_bases_changed(struct vcpu *v)
{
    if (v != current)
        return;
    wrmsr(MSR_FS_BASE, v->arch.fs_base);
    wrmsr(MSR_KERNEL_GS_BASE, v->arch.kernel_mode ? v->arch.gs_base_kernel : v->arch.gs_base_user);
}

void arch_vcpu_save_bases(struct vcpu *v)
{
    if (v != current)
        return;
    v->arch.fs_base = rdmsr(MSR_FS_BASE);
    if (v->arch.kernel_mode)
        v->arch.gs_base_kernel = rdmsr(MSR_KERNEL_GS_BASE);
    else
        v->arch.gs_base_user = rdmsr(MSR_KERNEL_GS_BASE);
}

void arch_vcpu_load_gs_user(struct vcpu *v, uint16_t sel)
{
    unsigned long flags = arch_irq_save();
    bool faulted;

    BUG_ON(v != current || !v->arch.kernel_mode);
    v->arch.gs_base_user = load_segment_gs(guest_selector(sel), &faulted);
    arch_irq_restore(flags);
}

void arch_vcpu_debugregs_changed(struct vcpu *v)
{
    const uint64_t *dr = v->arch.dr;

    if (v != current)
        return;
    __asm__ volatile("mov %0, %%dr0" ::"r"(dr[0]));
    __asm__ volatile("mov %0, %%dr1" ::"r"(dr[1]));
    __asm__ volatile("mov %0, %%dr2" ::"r"(dr[2]));
    __asm__ volatile("mov %0, %%dr3" ::"r"(dr[3]));
    __asm__ volatile("mov %0, %%dr7" ::"r"(dr[7]));
}

void arch_vcpu_crs_changed(struct vcpu *v)
{
    uint64_t cr0, cr4;

    if (v != current)
        return;
    cr0 = (read_cr0() & ~CR0_TS) | (v->arch.cr0 & CR0_TS);
    cr4 = cpu_features.cr4 | (v->arch.cr4 & (CR4_TSD | CR4_DE)) |
          (cpu_features.fsgsbase ? v->arch.cr4 & CR4_FSGSBASE : 0) |
          (v->domain->vtsc ? CR4_TSD : 0);
    if (cr0 != read_cr0())
        write_cr0(cr0);
    if (cr4 != read_cr4())
        write_cr4(cr4);
}

static void save(struct vcpu *v)
{
    struct cpu_user_regs *r = &v->arch.regs;

    memcpy(r, arch_guest_regs(), offsetof(struct cpu_user_regs, es));
    __asm__("mov %%ds, %0" : "=r"(r->ds));
    __asm__("mov %%es, %0" : "=r"(r->es));
    __asm__("mov %%fs, %0" : "=r"(r->fs));
    __asm__("mov %%gs, %0" : "=r"(r->gs));
    arch_vcpu_save_bases(v);
}

/* Selectors first (they load bases of their own), then the bases that the guest set. */
static bool load_segments(struct vcpu *v)
{
    const struct cpu_user_regs *r = &v->arch.regs;
    bool bad_gs, bad;

    bad = load_segment_ds(r->ds);
    bad |= load_segment_es(r->es);
    bad |= load_segment_fs(r->fs);
    load_segment_gs(r->gs, &bad_gs);
    arch_vcpu_bases_changed(v);
    return bad || bad_gs;
}

void arch_context_switch(struct vcpu *prev, struct vcpu *next)
{
    struct pcpu *c = this_pcpu();
    struct vcpu *old = loaded[c->id];
    bool bad_segment;

    BUG_ON(arch_irq_enabled() || c->running != prev);
    if (!prev->is_idle)
        save(prev);
    c->running = next;
    atomic_store(&prev->running, false);
    atomic_store(&next->running, true);
    if (next->is_idle)
        return;
    memcpy(arch_guest_regs(), &next->arch.regs, offsetof(struct cpu_user_regs, es));
    if (old == next && next->arch.last_cpu == c->id)
        return;
    loaded[c->id] = next;
    next->arch.last_cpu = c->id;
    atomic_fetch_or(&next->domain->dirty_cpus, 1ULL << c->id);
    arch_vcpu_roots_changed(next);
    arch_vcpu_gdt_changed(next);
    arch_vcpu_ldt_changed(next);
    bad_segment = load_segments(next);
    if ((old && (old->arch.dr[7] & 0xff)) || (next->arch.dr[7] & 0xff))
        arch_vcpu_debugregs_changed(next);
    fpu_switch_to(next);
    arch_vcpu_crs_changed(next);
    wrmsr_tsc_aux(next->arch.tsc_aux);
    if (bad_segment)
        bounce_failsafe(next);
}
