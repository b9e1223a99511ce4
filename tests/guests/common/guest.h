/*
 * What the test kernels share. A kernel is one file with test_main(); it checks with CHECK() and
 * CHECK_EQ() and returns: the verdict line follows from them. See report.c for the other endings.
 */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/callback.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/physdev.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

enum {
    EPERM = 1,
    ENOENT = 2,
    ESRCH = 3,
    EBADF = 9,
    EAGAIN = 11,
    ENOMEM = 12,
    EACCES = 13,
    EFAULT = 14,
    EBUSY = 16,
    EEXIST = 17,
    E2BIG = 7,
    ENODEV = 19,
    EINVAL = 22,
    ENOSPC = 28,
    ERANGE = 34,
    ENOSYS = 38,
    EOPNOTSUPP = 95,
    EISCONN = 106,
    ETIME = 62
};

#define VIRT_BASE 0xffffffff80000000UL
#define PAGE_SIZE 4096UL
#define NONCANONICAL 0x8000000000000000UL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define EFLAGS_TF 0x100u
#define EFLAGS_IF 0x200u
#define EFLAGS_NT 0x4000u
enum {
    PTE_P = 1,
    PTE_RW = 2,
    PTE_US = 4,
    PTE_PWT = 8,
    PTE_PCD = 16,
    PTE_A = 32,
    PTE_D = 64,
    PTE_PS = 128
};
#define PTE_NX (1UL << 63)
#define PTE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)
/* CPUID as the hypervisor tells it. */
struct cpuid_leaf {
    uint32_t a, b, c, d;
};
static inline struct cpuid_leaf xen_cpuid(uint32_t leaf, uint32_t sub)
{
    struct cpuid_leaf l = { .a = leaf, .c = sub };

    __asm__ volatile(XEN_CPUID : "+a"(l.a), "=b"(l.b), "+c"(l.c), "=d"(l.d));
    return l;
}
/* CR4.OSXSAVE, then XCR0 = features; false if the CPU has not those features (traps.c). */
bool xsave_on(uint32_t features);
#define barrier() __asm__ volatile("" ::: "memory")
#define PTE_MFN(pte) (((pte)&0x000ffffffffff000UL) >> 12)

/* ---- report.c ---- */
extern const char guest_name[];
#ifdef GUEST_NAME /* the kernel's own file, see guests.mk */
const char guest_name[] = GUEST_NAME;
#endif
void test_main(void);
int print(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* %s %c %d %u %x %p, l */
void console_write(const char *s, size_t len_bytes);
void check_failed(int line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The verdict, once; what a kernel says after its verdict does not count. */
void verdict(const char *what, const char *fmt, ...)
    __attribute__((noreturn, format(printf, 2, 3)));
#define skip(...) verdict("SKIP", __VA_ARGS__)
#define error(...) verdict("ERROR", __VA_ARGS__)
#define failure(...) verdict("FAILURE", __VA_ARGS__)
/* A kernel whose right ending is its own crash says so first; guests.tsv expects CRASH of it. */
void expect_crash(void);
/* True if the hypervisor is Xen itself: for the few places where ours is designed to differ. */
bool on_xen(void);

#define CHECK(cond)                              \
    do {                                         \
        if (!(cond))                             \
            check_failed(__LINE__, "%s", #cond); \
    } while (0)
#define CHECK_EQ(got, want)                                                          \
    do {                                                                             \
        long got_ = (long)(got), want_ = (long)(want);                               \
        if (got_ != want_)                                                           \
            check_failed(__LINE__, "%s is %ld (0x%lx), not %ld (0x%lx)", #got, got_, \
                         (unsigned long)got_, want_, (unsigned long)want_);          \
    } while (0)

void *memset(void *p, int c, size_t n);
void *memcpy(void *d, const void *s, size_t n);
int memcmp(const void *a, const void *b, size_t n);
int strcmp(const char *a, const char *b);

/* ---- hypercalls: by SYSCALL, or by the page that the hypervisor filled ---- */
static inline long hypercall5(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                              uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    long rc;

    /* a continuation may rewrite the argument registers */
    __asm__ volatile("syscall"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     : "0"(nr)
                     : "rcx", "r11", "memory");
    return rc;
}
#define HYPERCALL_(nr, a, b, c, d, e, ...) \
    hypercall5(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))
#define hypercall(...) HYPERCALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define hc(name, ...) hypercall(__HYPERVISOR_##name, __VA_ARGS__)
extern char hypercall_page[];

/* ---- start.c: what the hypervisor handed over ---- */
extern struct start_info *start_info;
static inline bool is_dom0(void) { return start_info->flags & SIF_INITDOMAIN; }
bool has_word(const char *line, const char *word); /* is the word, whole, in it? */
/* Has it memory that is no RAM? Domain 0, and driver domains (system_tests.c gives them the word): */
#define DRIVER_MFN 0xfd000UL /* where PCI devices have their memory; here none has */
static inline bool has_device(void)
{
    return is_dom0() || has_word((const char *)start_info->cmd_line, "driver");
}
/* An answer that is right, too: for a domain without privileges, to what wants some. */
static inline bool not_permitted(long rc) { return !is_dom0() && rc == -EPERM; }
extern struct shared_info *shared_info; /* mapped by start.c */
static inline struct vcpu_info *vcpu_info(unsigned int vcpu)
{
    return &shared_info->vcpu_info[vcpu];
}
extern char boot_stack_top[], trap_stack_top[];
void start_secondary(void); /* entry: rdi = function, rsp = stack */
/* Context that begins fn(arg-less) on vCPU; stack: one page. */
void secondary_context(struct vcpu_guest_context *ctx, void (*fn)(void), void *stack_page);
long vcpu_start(unsigned int vcpu, void (*fn)(void)); /* initialise + up */

/* ---- traps.c ---- */
enum {
    TRAP_DE,
    TRAP_DB,
    TRAP_NMI,
    TRAP_BP,
    TRAP_OF,
    TRAP_BR,
    TRAP_UD,
    TRAP_NM,
    TRAP_DF,
    TRAP_TS = 10,
    TRAP_NP,
    TRAP_SS,
    TRAP_GP,
    TRAP_PF,
    TRAP_MF = 16,
    TRAP_AC,
    TRAP_MC,
    TRAP_XM,
    ENTRY_EVENT = 256,
    ENTRY_SYSCALL,
    ENTRY_NMI,
    ENTRY_FAILSAFE,
    ENTRY_SYSENTER,
    NR_ENTRIES
};
typedef void (*trap_fn)(struct cpu_user_regs *regs);
extern trap_fn trap_hooks[NR_ENTRIES]; /* set: called in place of what traps.c does */
extern char trap_stubs[], event_entry[], syscall_entry[], nmi_entry[], failsafe_entry[],
    sysenter_entry[];
extern uint64_t failsafe_selectors[4]; /* ds es fs gs of the last failsafe frame */
/* The last trap out of TRY(), or out of user mode. */
extern struct trap_record {
    struct cpu_user_regs regs; /* up to ss */
    int vector;                /* entry_vector; -1: none came */
    uint64_t cr2;
    bool mask_inside; /* evtchn_upcall_mask while in the handler */
} last_trap;
extern volatile uint64_t try_fixup;
void traps_init(void);
long set_trap(uint8_t vector, uint8_t flags, uint64_t address);
/* Run asm that may trap; the trap, if any, is in last_trap and execution goes on behind it. */
#define TRY(insns, ...)                                                   \
    do {                                                                  \
        last_trap.vector = -1;                                            \
        barrier();                                                        \
        __asm__ volatile("movq $771f, try_fixup(%%rip)\n" insns           \
                         "\n771: movq $0, try_fixup(%%rip)" __VA_ARGS__); \
        barrier();                                                        \
    } while (0)
#define TRY0(insns) TRY(insns, : : : "memory")
static inline bool trapped(int vector) { return last_trap.vector == vector; }
long register_callback(uint16_t type, void *entry, uint16_t flags);

/* user mode: user_run() leaves for regs->rip and comes back at the next entry from user mode */
#define USER_CS 0xe033
#define USER_SS 0xe02b
void user_enter(struct cpu_user_regs *regs);
void user_leave(void) __attribute__((noreturn));
int user_run(struct cpu_user_regs *regs);      /* entry_vector; regs then hold the frame */
void iret_raw(const struct iret_context *ctx); /* comes back only by user_leave() */

/* ---- mm.c: page tables. All pages below are of the image, hence in the initial mapping ---- */
void *page_alloc(void); /* zeroed; never freed */
static inline uint64_t virt_to_pfn(const void *p) { return ((uint64_t)p - VIRT_BASE) >> 12; }
uint64_t pfn_to_mfn(uint64_t pfn);
uint64_t virt_to_mfn(const void *p);
uint64_t virt_to_maddr(const void *p);
void *mfn_to_virt(uint64_t mfn); /* by the M2P */
/* The entry for va at level (1..4) under root; NULL if a level above is absent or a superpage. */
uint64_t *pte_of(uint64_t *root, uint64_t va, unsigned int level);
extern uint64_t *kernel_root; /* the L4 we run on */
long mmu_update(uint64_t ptr,
                uint64_t val); /* one entry, own domain; the command is in ptr's low bits */
long pte_write(uint64_t *pte, uint64_t val); /* by mmu_update */
long update_va(const void *va, uint64_t pte, uint64_t flags);
void page_set_ro(const void *p);
void page_set_rw(const void *p);
long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2);
long pin(unsigned int level, const void *table);
long unpin(const void *table);
/* Map mfn at va in the (unpinned, writable) tree under root, adding tables from page_alloc(). */
void map_in(uint64_t *root, uint64_t va, uint64_t mfn, uint64_t flags);
void tree_set_ro(uint64_t *root); /* every table of such a tree read-only, ready to pin */
/* A user root with .user's code at USER_CODE and a stack below USER_STACK_TOP, pinned and set. */
#define USER_CODE 0x400000UL
#define USER_STACK_TOP 0x602000UL
extern char user_code_start[], user_code_end[]; /* around what a kernel puts in .user */
extern uint64_t *user_root;
extern char *user_stack; /* kernel's view of those pages */
void user_init(void);
void user_init_with(uint64_t va, uint64_t mfn); /* and one page more */
#define USER_ADDR(label) (USER_CODE + ((uint64_t)(label) - (uint64_t)user_code_start))
void user_regs_init(struct cpu_user_regs *regs, const void *label);

/* ---- events.c ---- */
typedef void (*event_fn)(unsigned int port);
extern event_fn event_hooks[4096];
extern volatile unsigned int event_counts[4096];
void events_init(void); /* upcall registered, still masked */
static inline void events_on(void)
{
    __asm__ volatile("" ::: "memory");
    vcpu_info(0)->evtchn_upcall_mask = 0;
    __asm__ volatile("" ::: "memory");
}
static inline void events_off(void)
{
    vcpu_info(0)->evtchn_upcall_mask = 1;
    __asm__ volatile("" ::: "memory");
}
void events_handle(unsigned int vcpu); /* what the upcall does */
int bind_virq(unsigned int virq, unsigned int vcpu);
int bind_ipi(unsigned int vcpu);
void port_pair(unsigned int *a, unsigned int *b); /* a loop of interdomain ports to ourselves */
domid_t own_domid(void);                          /* the number, not DOMID_SELF */
long port_send(unsigned int port);
long port_close(unsigned int port);
long port_unmask_hc(unsigned int port);
static inline bool port_pending(unsigned int p)
{
    return (shared_info->evtchn_pending[p / 64] >> (p % 64)) & 1;
}
static inline bool port_masked(unsigned int p)
{
    return (shared_info->evtchn_mask[p / 64] >> (p % 64)) & 1;
}
void port_mask(unsigned int p);
void port_clear_mask(unsigned int p); /* the bit only: no pending check */
void port_clear_pending(unsigned int p);

/* ---- attack.c: for kernels whose hypercalls are to be refused ---- */
/*
 * Start the witness on the domain's last vCPU (there must be two at least; call it before
 * smp_init(), which then leaves that vCPU alone): a healthy second context, which checks its own
 * registers, memory, time and events all the while. witness_check(): it went on, else the kernel
 * fails; this is done before the verdict, too.
 */
void attacks_begin(void);
void witness_check(void);
bool in_witness(uint64_t rsp);
/*
 * The answer to an attack, in a line that is compared with Xen's (ANSWER what got): on our
 * hypervisor it must be want, on Xen it may be what it is. what: words joined by dots or dashes,
 * unique in the kernel, and the same in each run. Returns got.
 */
long attack(const char *what, long got, long want);

/* ---- time ---- */
static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (uint64_t)hi << 32 | lo;
}
uint64_t now_ns(unsigned int vcpu); /* system time by the vCPU's pvclock page */
void spin_ns(uint64_t ns);
static inline void cpu_relax(void) { __asm__ volatile("pause" ::: "memory"); }

/* ---- smp.c ---- */
#define MAX_VCPUS 8u
#define PATIENCE_NS 5000000000ULL /* whoever is not woken by then has been forgotten */
typedef void (*phase_fn)(unsigned int vcpu);
extern unsigned int nr_vcpus;
void smp_init(void); /* all vCPUs there are, up to MAX_VCPUS, wait for a phase; upcalls, faults */
/* fn on all vCPUs at once. It comes back when phase_on() is false, ms after the start. */
void phase(const char *name, unsigned int ms, phase_fn fn);
bool phase_on(void);
/* The same, but on a machine with other things to do it goes on until so much has been done. */
bool phase_until(const uint64_t *count, uint64_t enough);
unsigned int this_vcpu(void);
uint64_t now(void);           /* system time, by this vCPU */
uint64_t clock_skew_ns(void); /* by so much may times of different vCPUs differ */
void yield(void);
uint32_t random(void);                                    /* 31 bits */
bool wait_until(volatile uint64_t *what, uint64_t value); /* it is at least that; yields */
/* False: it faulted. */
bool try_read64(const volatile void *from, uint64_t *to);
bool try_write64(volatile void *to, uint64_t value);
