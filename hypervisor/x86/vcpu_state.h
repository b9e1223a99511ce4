/*
 * The machine's part of a vCPU: its registers while it does not run, and all that the guest kernel
 * set by hypercall. While it runs, the general registers are in the CPU's entry frame (guest_regs()).
 */
#pragma once
#include "lib/types.h"

#include <xen/xen.h>

#define MAX_GDT_ENTRIES (FIRST_RESERVED_GDT_PAGE * 512u)
#define NR_LDT_FRAMES 16u

/* Of what guests change themselves; the rest is x86/'s alone. */
#define CR0_TS (1ULL << 3)
#define RFLAGS_TF (1ULL << 8)
enum { CR4_TSD = 1 << 2, CR4_DE = 1 << 3, CR4_FSGSBASE = 1 << 16, CR4_OSXSAVE = 1 << 18 };
enum { MSR_FS_BASE = 0xc0000100, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX };

/** Selectors a guest may have: null, ours for ring 3, or its own tables' with RPL 3. */
static inline uint16_t guest_selector(uint64_t sel)
{
    return (uint16_t)(sel & 0xfffc ? sel | 3 : sel & 3);
}

struct guest_trap { /* a guest's handler; address == 0: none */
    uint64_t address;
    uint16_t cs;
    uint8_t flags; /* TI_GET_DPL and TI_GET_IF of struct trap_info */
};

/* Bounce flags of a callback: mask events on entry (CALLBACKF_mask_events). */
struct guest_callback {
    uint64_t address; /* 0: none */
    bool mask_events;
};

/* On CPUs with Meltdown, see hvmap.c: what ring 0 has of a guest's L4. */
#define VIEW_SLOTS 8
struct view {
    uint64_t *root;
    uint64_t cr3;               /* the L4 that it shows */
    uint32_t slots[VIEW_SLOTS]; /* those of the guest's that it has */
    uint32_t next;              /* of them to go */
};

struct arch_vcpu {
    struct cpu_user_regs regs; /* valid while the vCPU is not current on a CPU */

    /* roots; each holds a type reference (L4) and is INVALID_MFN / 0 when not set */
    uint64_t cr3_kernel;  /* what the hardware gets in kernel mode: root maddr */
    uint64_t cr3_user;    /* same for user mode, 0: none set */
    bool kernel_mode;     /* the guest is in kernel mode (TF_kernel_mode) */
    struct view views[2]; /* of user's and kernel's root */

    uint64_t kernel_sp; /* stack_switch */
    uint16_t kernel_ss;
    uint8_t iopl;    /* virtual IOPL, 0..3, PHYSDEVOP_set_iopl */
    bool nmi_masked; /* between NMI delivery and the next iret */

    uint64_t fs_base, gs_base_kernel, gs_base_user; /* canonical; live in MSRs while running */

    struct guest_callback event_cb, failsafe_cb, syscall_cb, syscall32_cb, sysenter_cb, nmi_cb;
    struct guest_trap *traps; /* 256 entries */

    uint64_t cr0, cr4; /* what the guest sees; bits outside its policy are ours */
    uint64_t cr2;      /* only for mov from cr2: also in vcpu_info */
    uint64_t dr[8];    /* 0-3, 6, 7 */

    mfn_t gdt_frames[14]; /* type references (descriptor); INVALID_MFN: empty */
    uint32_t nr_gdt_ents;
    uint64_t ldt_base; /* guest VA, for those who ask */
    uint32_t nr_ldt_ents;
    mfn_t ldt_frames[NR_LDT_FRAMES];

    void *fpu;     /* XSAVE or FXSAVE image, 64-byte aligned */
    uint64_t xcr0; /* the guest's XCR0 */
    uint64_t tsc_aux;
    uint32_t last_cpu; /* where its state was loaded last */
};
