/*
 * One CPU as the machine sees it: its entry area (in the top-level slot of the entry code), its
 * descriptor tables, and the features found at boot. Private to x86/.
 */
#pragma once
#include "lib/cmdline.h"
#include "memory/objects.h"

/*
 * Stacks of a CPU: the one that C runs on (the first CPU's is in the image) and those of NMI, #MC, #DB
 * and #DF, each with a hole below it.
 */
#define CPU_STACK_SIZE 16384
#define IST_STACK_SIZE 8192
#define NR_IST 4
#define CPU_STACKS(cpu) (MMIO_VIRT + GIB(2) + (cpu)*KIB(128))
#define CPU_STACK_END(cpu) (CPU_STACKS(cpu) + 2 * CPU_STACK_SIZE)
#define IST_STACK_END(cpu, n) (CPU_STACK_END(cpu) + (n)*2UL * IST_STACK_SIZE) /* n: 1..NR_IST */
/* At the end of C's stack is the guest's register frame, so placed that the CPU's part is aligned. */
#define STACK_TOP(end) ((end)-224)
#define STACK_FRAME(top) ((top) + 8)

/* Selectors of page 14 of every CPU's GDT; those of ring 3 are the ABI's (FLAT_RING3_*). */
enum { HV_CS = 0xe008, HV_DS = 0xe010, TSS_SELECTOR = 0xe040, LDT_SELECTOR = 0xe050 };
enum { GUEST_CS32 = 0xe023, GUEST_DS = 0xe02b, GUEST_CS64 = 0xe033 };

#define TRAP_SYSCALL 256 /* regs->entry_vector: came by SYSCALL, may leave by SYSRET */

#define RFLAGS_IF (1ULL << 9)
#define RFLAGS_NOT_IN_HANDLERS 0x74100ULL /* TF NT RF VM AC */
/** What a guest may have in the real flags; IF is always set. */
static inline uint64_t guest_rflags(uint64_t f) { return (f & 0x254dd5) | RFLAGS_IF | 2; }

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, iomap_base;
} __attribute__((packed));

/*
 * Where the CPU puts its part of a frame while a guest's root is loaded that does not show our stacks:
 * it fills words 13 (ss) to 9 (rip), and 8. The end of an IST stack is like the last two words.
 */
struct small_stack {
    uint64_t words[14];
    struct cpu_entry *entry; /* for entries that cannot trust GS */
    uint64_t stack;          /* the IST stack's `entry` */
} __attribute__((aligned(128)));

/*
 * First page of a CPU's entry area; GS base while ring 0 runs. A guest's root shows it also on CPUs
 * with Meltdown (rule 11), so nothing here is secret: of guests the place where they were interrupted.
 */
struct cpu_entry {
    struct pcpu *pcpu;          /* first: this_pcpu() */
    struct cpu_user_regs *regs; /* the guest's register frame */
    uint64_t stack_top;         /* C's stack */
    uint64_t scratch;
    /* for entry_guarded.S: */
    uint64_t own_root;   /* that ring 0 left for a guest's, and comes back to */
    uint64_t guest_root; /* that it leaves for; 0 since it came back */
    uint64_t small_rip;  /* small[0].words + 9 */
    uint32_t guards;     /* GUARD_ROOT, SPEC_* */
    uint16_t verw;       /* a data selector */
    struct tss tss __attribute__((aligned(64)));
    struct small_stack small[1 + NR_IST];
};

/* A CPU's entry area: 64 pages, most of them not mapped. Page numbers: */
#define CPU_AREA_BYTES (64 * PAGE_SIZE)
#define CPU_AREA_PAGE_ENTRY 0
#define CPU_AREA_PAGE_GDT 16 /* 16 pages: 14 of the guest, 14 is ours */
#define CPU_AREA_PAGE_LDT 32 /* 16 pages */
#define IDT_VIRT (ENTRY_VIRT + MIB(512))
#define CPU_AREAS_VIRT (ENTRY_VIRT - GIB(1))
#define CPU_AREA(cpu) (CPU_AREAS_VIRT + (uint64_t)(cpu)*CPU_AREA_BYTES)

enum ist { IST_NONE, IST_NMI, IST_DF, IST_MC, IST_DB };

/*
 * What entry_guarded.S does at each entry from a guest and each exit to one (README, "CPU flaws"): SPEC_*
 * of the options, and this. Without any of it entry.S is used.
 */
#define GUARD_ROOT 8 /* guests have roots of their own, without what is ours */

/* What was found at boot. */
struct cpu_features {
    bool smep, fsgsbase, xsave, page1gb, rdtscp;
    uint32_t guards;    /* GUARD_ROOT, SPEC_* */
    uint64_t cr4;       /* real CR4 while the hypervisor runs; guests add TSD, DE, FSGSBASE */
    uint32_t fpu_bytes; /* size of an FPU image */
};
extern struct cpu_features cpu_features;

/** First CPU, before memory: find features; panics in one line when something needed is missing. */
void cpu_detect(void);
/** Load CR4, EFER, PAT and the SYSCALL MSRs on this CPU; its areas are mapped. */
void cpu_setup_msrs(void);
/** Build descriptor tables for CPU id in its mapped entry area and load them; stack_end: of C's stack. */
void cpu_setup_descriptors(uint32_t id, uint64_t stack_end);
/** Point this CPU's LDTR at nr_ents entries in its LDT window; 0: none. */
void cpu_load_ldt(unsigned int nr_ents);

/** The hypervisor's own root: slots 256..271 as every L4 has them. */
extern pte_t *hv_root;
/** Where the image lies in memory. */
extern uint64_t image_phys;
/** The entry for va at this level of hv_root, tables made on the way (user: PTE_US or 0 for them). */
pte_t *hv_entry(uint64_t va, unsigned int level, uint64_t user);
/** Gives zeroed tables to hv_entry(). */
extern void *(*hv_table_alloc)(void);
/** Map [va, va + bytes) to maddr in hv_root, with the biggest pages that fit, where nothing is. */
void hv_map(uint64_t va, uint64_t maddr, uint64_t bytes, uint64_t flags);
/**
 * This CPU goes to the root cr3: all but global entries of its TLB are gone, and so is what v's views (NULL:
 * nobody's) showed that is so no more. With GUARD_ROOT interrupts are off.
 */
void load_root(uint64_t cr3, struct vcpu *v);

/** C begins here: head.S gives the addresses of the boot information and of the image. */
noreturn void boot_start(uint32_t mbi_maddr, uint32_t image_maddr, uint64_t entry_tsc);
/** And on the other CPUs. */
noreturn void ap_start(void);
/** The page of low memory where they begin. */
extern uint64_t ap_page;

/* ---- several CPUs (smp.c) ---- */

/** By id; 0 is the one that booted. */
extern struct pcpu pcpus[NR_CPUS];
/** Bit per CPU that runs; bits are only added, by start_cpus.c. */
extern _Atomic uint64_t cpus_online;
/** Do what other CPUs asked this one for, whatever it is doing. */
void smp_serve(void);
/** Have CPU cpu call vcpu_unload_here(), at its next smp_serve(); do not wait. */
void smp_unload(uint32_t cpu);
/** At each NMI: true if it is the watchdog's. */
bool watchdog_nmi(bool *is_stuck);
/** This CPU or another has stopped all others, for good. */
bool smp_stopped(void);
/** An NMI came: does not return when it was sent to stop this CPU. */
void smp_nmi(void);
/** Leave the root and save the FPU state of the vCPU that this CPU has loaded but does not run. */
void vcpu_unload_here(void);

/* ---- traps ---- */

/** C side of entry.S; regs is the guest's frame or, from ring 0, a frame on the stack. */
void trap_from_guest(struct cpu_user_regs *regs);
void trap_from_hv(struct cpu_user_regs *regs);
void trap_ist_from_hv(struct cpu_user_regs *regs);
void syscall_from_user(struct cpu_user_regs *regs);
void syscall32_from_guest(struct cpu_user_regs *regs);
void sysenter_from_guest(struct cpu_user_regs *regs);
void iret_fault(struct cpu_user_regs *regs);
void deliver_nmis(struct vcpu *v);
void deliver_event(struct vcpu *v);
/** The machine check that is about to be delivered, for people. */
void mce_print(void);

/* In the entry slot, too far from C for the linker: take addresses by ENTRY_ADDRESS(). */
#define ENTRY_STUB_BYTES 16 /* a stub per vector at entry_stubs */
#define ENTRY_ADDRESS(symbol)                               \
    ({                                                      \
        uint64_t address;                                   \
        __asm__("movabs $" #symbol ", %0" : "=r"(address)); \
        address;                                            \
    })

static inline struct cpu_entry *cpu_entry(uint32_t id)
{
    return (struct cpu_entry *)(CPU_AREA(id) + CPU_AREA_PAGE_ENTRY * PAGE_SIZE);
}
/** The way in by that name in entry.S or entry_guarded.S. */
#define ENTRY_POINT(symbol) \
    (cpu_features.guards ? ENTRY_ADDRESS(symbol##_guarded) : ENTRY_ADDRESS(symbol))

/** Guests have roots of their own: see hvmap.c. */
static inline bool guard_root(void) { return unlikely(cpu_features.guards & GUARD_ROOT); }
/** What the hardware gets as v's root in kernel or user mode while v runs; 0: it has none. */
static inline uint64_t vcpu_root(const struct vcpu *v, bool kernel)
{
    return kernel ? v->arch.cr3_kernel : v->arch.cr3_user;
}
/** With GUARD_ROOT, for the life of a vCPU: false: no memory, views_destroy() follows. */
bool views_create(struct vcpu *v);
void views_destroy(struct vcpu *v);
/** The root that ring 0 is on in v's kernel or user mode. */
uint64_t view_root(struct vcpu *v, bool kernel) __attribute__((no_caller_saved_registers));
/** Ring 0 missed va in the view it is on. True: it is there now. */
bool view_fault(struct vcpu *v, uint64_t va);
/** The root that ring 0 is on in v's kernel or user mode. */
static inline uint64_t own_root(struct vcpu *v, bool kernel)
{
    uint64_t root = vcpu_root(v, kernel);

    if (guard_root()) /* a call that the compiler knew of would cost other CPUs, too */
        __asm__ volatile("call view_root" : "=a"(root) : "D"(v), "S"(kernel) : "memory", "cc");
    return root;
}
/** Whose address space this CPU has loaded, or NULL. */
struct vcpu *vcpu_loaded_here(void);
/** Its segments could not be loaded, or IRETQ refused its frame: v->arch.regs has the selectors. */
void bounce_failsafe(struct vcpu *v);
/** Bring ds es fs gs of v, whose segments this CPU has, in v->arch.regs up to date. */
void save_selectors(struct vcpu *v);

/* ---- FPU ---- */
/** Once the features are known: what is switched, and how big an image is. */
void fpu_init(void);
/** Save from's state, and load to's; each unless NULL. */
void fpu_switch(struct vcpu *from, struct vcpu *to);

struct table_register { /* for LGDT and LIDT */
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

#define read_cr(n)                                         \
    ({                                                     \
        uint64_t cr;                                       \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(cr)); \
        cr;                                                \
    })
#define write_cr(n, value) __asm__ volatile("mov %0, %%cr" #n::"r"((uint64_t)(value)) : "memory")

static inline void invlpg(uint64_t va) { __asm__ volatile("invlpg (%0)" ::"r"(va) : "memory"); }
static inline uint64_t rdmsr(uint32_t msr)
{
    uint64_t lo, hi; /* the upper halves are cleared */

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return hi << 32 | lo;
}
static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

#define MSR_MC_STATUS(bank) (0x401 + 4 * (bank))
enum { MSR_SYSENTER_CS = 0x174, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP, MSR_MCG_CAP = 0x179 };
enum { MSR_MCG_STATUS = 0x17a, MSR_PAT = 0x277 };
enum { MSR_EFER = 0xc0000080, MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK };

enum { CR4_PAE = 1 << 5, CR4_MCE = 1 << 6, CR4_PGE = 1 << 7, CR4_OSFXSR = 1 << 9 };
enum { CR4_OSXMMEXCPT = 1 << 10, CR4_UMIP = 1 << 11, CR4_SMEP = 1 << 20, CR4_SMAP = 1 << 21 };
