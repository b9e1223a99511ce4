/*
 * What the machine offers to the rest of the hypervisor. On the host tests/unit/fake/ implements
 * the same; nothing outside x86/ touches a control register, an MSR, an APIC or a port by itself.
 */
#pragma once
#include "memory/objects.h"

/* ---- memory ---- */

/** Where frame m is seen by ring 0 (the direct map). Any RAM frame. */
static inline void *mfn_to_virt(mfn_t m)
{
    return __builtin_assume_aligned((void *)(DIRECTMAP_BASE + (mfn_x(m) << PAGE_SHIFT)), PAGE_SIZE);
}
static inline void *maddr_to_virt(uint64_t maddr) { return (void *)(DIRECTMAP_BASE + maddr); }
static inline uint64_t virt_to_maddr(const void *p)
{
    return (uint64_t)(uintptr_t)p - DIRECTMAP_BASE;
}
static inline mfn_t virt_to_mfn(const void *p) { return _mfn(virt_to_maddr(p) >> PAGE_SHIFT); }

/**
 * Copy len bytes between the hypervisor and the current vCPU's address space (kernel root).
 * Refuses any byte in the hypervisor's part and non-canonical addresses. Returns the number of
 * bytes NOT copied: 0 is success. May fault and recover: hold no spinlock.
 */
size_t arch_copy_from_guest(void *dst, uint64_t va, size_t len);
size_t arch_copy_to_guest(uint64_t va, const void *src, size_t len);

/** Write back and invalidate all lines of len bytes at p (rule 12). */
void arch_cache_flush(const void *p, size_t len);
/** All caches of the CPUs in this mask. */
void arch_cache_writeback(uint64_t cpus);

/** True if PTEs must keep unsafe addresses out of non-present entries (L1TF). */
extern bool arch_l1tf_affected;
/** A null selector in FS or GS makes the base zero: all Intel CPUs, AMD's since Zen 2. */
extern bool arch_null_clears_base;
/** Machine addresses have this many bits (36..52). */
extern unsigned int arch_paddr_bits;

/* ---- TLB ---- */

/** Flush this CPU's whole TLB but global entries, or one page of it. Counted. */
void arch_flush_tlb_local(void);
void arch_flush_tlb_page_local(uint64_t va);
/** The same on each CPU in mask (bit per pcpu->id), this one included; returns when all are done. */
void arch_flush_tlb_mask(uint64_t mask);
void arch_flush_tlb_page_mask(uint64_t mask, uint64_t va);
/** The TLB clock: advances with each full flush on any CPU; see tlb_flush_since(). */
extern _Atomic uint64_t arch_tlb_clock;
/** The data of CPU id, which is online. */
struct pcpu *arch_pcpu(uint32_t id);

/* ---- page tables as the hardware needs them ---- */

/** Put the hypervisor's slots 256..271 into a guest's new L4 table. */
void arch_l4_init_hv_slots(pte_t *l4);
/** The root the hardware uses for v in its present mode (rule 14). */
uint64_t arch_vcpu_root(const struct vcpu *v);
/** v's roots changed: load the right one if v is current. Flushes non-global entries. */
void arch_vcpu_roots_changed(struct vcpu *v);
/** Have the kernel's or the user's address space of v, the current one, loaded; nothing else changes. */
static inline void arch_vcpu_enter_space(struct vcpu *v, bool kernel)
{
    if (v->arch.kernel_mode != kernel) {
        v->arch.kernel_mode = kernel;
        arch_vcpu_roots_changed(v);
    }
}

/* ---- vCPU state ---- */

/** Registers of the current guest, valid on this CPU until it switches vCPUs. */
struct cpu_user_regs *arch_guest_regs(void);
/** Allocate and free the machine's part of v. 0 or -ENOMEM. */
int arch_vcpu_create(struct vcpu *v);
void arch_vcpu_destroy(struct vcpu *v);
/** v does not run: make every CPU leave its root and state, which one may still have loaded. */
void arch_vcpu_unload(struct vcpu *v);
/**
 * Fill v's state from a context, copied and hostile; it starts in user mode only if v has a root for
 * that. 0, or -EINVAL: nothing is changed.
 * This sanitizes selectors and flags. Not done here: what names frames (GDT, LDT, roots), debug
 * registers, CR4, vm_assist. In this and the next three v is unloaded and does not run.
 */
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c);
/** All of it the other way round, but VGCF_online, which is the caller's to say. */
void arch_vcpu_get_context(const struct vcpu *v, struct vcpu_guest_context *c);
/**
 * The FPU state, v->arch.fpu: 0 bytes: as at a reset; 512: as by FXSAVE; more: an XSAVE area in
 * standard form, of at most xstate_bytes(arch_xcr0_mask), its header checked. MXCSR is made legal.
 */
void arch_vcpu_set_fpu(struct vcpu *v, const void *from, size_t bytes);
/** Save prev's registers, load next's, and go on as next. Called with interrupts off. */
void arch_context_switch(struct vcpu *prev, struct vcpu *next);
/** Reload v's GDT or LDT window if it is current. */
void arch_vcpu_gdt_changed(struct vcpu *v);
void arch_vcpu_ldt_changed(struct vcpu *v);
/** v is the current vCPU in these. Set its fs_base or a GS base, canonical, by its address in v->arch. */
void arch_vcpu_set_base(struct vcpu *v, uint64_t *base, uint64_t value);
/** Bring v's fs_base and GS bases up to date (the guest changes them by loading selectors). */
void arch_vcpu_save_bases(struct vcpu *v);
/** SEGBASE_GS_USER_SEL: load sel into GS and take its base as the user's; a bad one loads null. */
void arch_vcpu_load_gs_user(struct vcpu *v, uint16_t sel);
/** Its debug registers but DR6 changed. */
void arch_vcpu_debugregs_changed(struct vcpu *v);
/** The guest's view of CR0.TS / CR4 changed. */
void arch_vcpu_crs_changed(struct vcpu *v);
/** The guest set XCR0 (checked against arch_xcr0_mask). */
void arch_vcpu_set_xcr0(struct vcpu *v, uint64_t xcr0);
extern uint64_t arch_xcr0_mask; /* features we context-switch; 0: no XSAVE */

/** Bounce an exception into the current guest: vector, error code, CR2 for 14. */
void arch_inject_exception(struct vcpu *v, unsigned int vector, uint32_t error_code);
void arch_inject_page_fault(struct vcpu *v, uint64_t cr2, uint32_t error_code);
/** `int n` of the current guest, its rip already past the instruction: no error code. */
void arch_inject_soft_interrupt(struct vcpu *v, unsigned int vector);

/** HYPERVISOR_iret. */
long hc_iret(uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);

/**
 * Make the current hypercall go on later with these as its first arguments: the guest's instruction is executed
 * again. In a multicall the entry is rewritten. Returns -ERESTART for the handler to return.
 */
long hypercall_continue(unsigned int nr_args, const uint64_t *args);
/** True when a hypercall should stop soon: softirq or an undelivered event for the guest. */
bool hypercall_preempt_check(void);

/* ---- the machine ---- */

/** Nanoseconds since boot, monotonic, the same on all CPUs; and the raw counter. */
uint64_t arch_time_ns(void);
uint64_t arch_tsc(void);
uint64_t arch_tsc_khz(void);
/** The TSC when the boot loader let us run, and how many of its ticks since then were timed waits. */
extern uint64_t arch_entry_tsc, arch_waited_ticks;
/** How arch_time_ns() follows from the TSC; guests are told the same. Constant after boot. */
struct tsc_scale {
    uint64_t base;
    uint32_t mul;
    int8_t shift;
};
extern struct tsc_scale arch_tsc_scale;
static inline uint64_t tsc_scale_ns(const struct tsc_scale *s, uint64_t tsc)
{
    uint64_t delta = tsc - s->base;

    delta = s->shift < 0 ? delta >> -s->shift : delta << s->shift;
    return (uint64_t)(((unsigned __int128)delta * s->mul) >> 32);
}
/** mul and shift for a TSC of khz, more than 62,500, rounded down; base is left alone. */
static inline void tsc_scale_init(struct tsc_scale *s, uint64_t khz)
{
    s->shift = 5;
    do {
        s->shift--;
        s->mul = (uint32_t)((1000000ULL << (32 - s->shift)) / khz);
    } while (s->mul < 1u << 31);
}
/** The TSC runs at one constant rate, alike on all CPUs. */
extern bool arch_tsc_reliable;
/** Seconds since 1970 from the RTC at boot, at system time 0. */
uint64_t arch_boot_wallclock_s(void);
/** Ask for SOFTIRQ_TIMER at system time deadline_ns (0: none). */
void arch_timer_program(uint64_t deadline_ns);
/** At boot: bring up the other CPUs; each is prepared by init, on this CPU, before it runs. */
void arch_start_cpus(void (*init)(struct pcpu *c));
/** With watchdog=: from now on a CPU that does not come to its softirqs stops the machine. */
void arch_watchdog_start(void);
/** Make CPU id notice its softirqs, unless it is this one. NMI context, too. */
void arch_cpu_kick(uint32_t id);
/** Enter the current vCPU, which is not idle; the stack is dropped. */
noreturn void exit_to_guest(void);
/** Halt until an interrupt, if no softirq is pending. Returns with interrupts on. */
void arch_idle(void);
/** What interrupts for CPU id are sent to. */
uint32_t arch_cpu_apic_id(uint32_t id);
uint64_t arch_cpus_online(void); /* mask; constant once the initial domain is built */

uint32_t arch_port_in(uint16_t port, unsigned int bytes);
void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value);
/** Read an MSR that may not exist: 0, or -EFAULT when the CPU answers #GP. */
int arch_rdmsr_safe(uint32_t msr, uint64_t *value);
/** What RDTSCP gives, 32 bits, beside the time; only on a CPU that has it. */
void arch_set_tsc_aux(uint64_t value);
void arch_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4]); /* eax ebx ecx edx */

/** Map a device's registers (bytes, any alignment) uncached; never unmapped. NULL: no room. */
volatile void *arch_map_mmio(uint64_t maddr, size_t bytes);

/** A panic follows: halt the other CPUs for good, whatever they are doing. */
void arch_stop_other_cpus(void);
/** Give the memory that only boot used to the allocator; nothing of it may be called any more. */
void arch_free_init(void);

/** The end of the machine. */
noreturn void arch_reboot(void);
noreturn void arch_halt_forever(void);
/** Enter ACPI sleep state by the values for PM1a/PM1b_CNT; only S5. Returns -EIO if still alive. */
int arch_acpi_power_off(uint16_t pm1a_value, uint16_t pm1b_value);

/** Print the frames of a backtrace, from here or of the given registers. */
void arch_backtrace(const struct cpu_user_regs *regs);
void arch_print_regs(const struct cpu_user_regs *regs);
