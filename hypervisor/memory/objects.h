/*
 * struct domain and struct vcpu: what all folders from memory/ up share. Their lifecycle is
 * domain/'s; each group of fields belongs to the folder named above it.
 */
#pragma once

#include "sched/policy.h"
#include "sched/timer.h"

#include <xen/event_channel.h>
#include <xen/vcpu.h>

#include "x86/vcpu_state.h"

#define MAX_VCPUS 64 /* per domain */
#define DOMAIN_NAME_BYTES 64
#define NR_WATCHDOGS 2u /* per domain, as Xen has it */
#define NR_IOPORTS 65536
#define SHUTDOWN_NONE (~0u) /* beside the ABI's SHUTDOWN_* */

/* What a domain may use: [first, last] each, of machine frames (MMIO) or of I/O ports. */
#define NR_RANGES 32
struct ranges {
    struct range {
        uint64_t first, last;
    } of[NR_RANGES];
    uint32_t nr;
};
static inline bool ranges_meet(const struct ranges *s, uint64_t first, uint64_t last)
{
    for (const struct range *r = s->of, *end = r + READ_ONCE(s->nr); r < end; r++)
        if (first <= r->last && last >= r->first)
            return true;
    return false;
}
static inline bool ranges_have(const struct ranges *s, uint64_t n) { return ranges_meet(s, n, n); }

/* Why a vCPU does not run; it may run when the word is zero. */
#define VPF_BLOCKED (1u << 0)  /* SCHEDOP_block or poll: an event or a timer ends it */
#define VPF_DOWN (1u << 1)     /* not yet up, or VCPUOP_down */
#define VPF_PAUSED (1u << 2)   /* the domain is paused, or dies */
#define VPF_POLL (1u << 3)     /* beside VPF_BLOCKED: in SCHEDOP_poll */
#define VPF_SHUTDOWN (1u << 4) /* the domain is shut down or crashed */

struct vcpu {
    struct arch_vcpu arch; /* x86/: registers and all that the guest set; first for the asm */

    struct domain *domain; /* constant after creation */
    uint32_t vcpu_id;
    bool is_idle;
    bool is_initialised; /* has a context (VCPUOP_initialise or the builder) */

    /* sched/: guarded by the run queue's lock unless atomic */
    _Atomic uint32_t pause_flags; /* VPF_* */
    struct entity entity;
    struct timer virq_timer, poll_timer;
    _Atomic uint32_t processor;            /* pCPU whose run queue it is on */
    _Atomic bool running;                  /* registers are loaded on a CPU */
    uint64_t hard_affinity, soft_affinity; /* as domctl set them; policy may cut them */

    /* runstate: written by sched/ on the vCPU's own CPU */
    struct vcpu_runstate_info runstate;
    guest_va_t runstate_area; /* guest's area or 0; registered by VCPUOP */
    guest_va_t time_area;     /* VCPUOP_register_vcpu_time_memory_area, or 0 */

    /* event/ */
    vcpu_info_t *info; /* in shared_info or where VCPUOP_register_vcpu_info put it */
    mfn_t info_mfn;    /* frame behind info when registered, else INVALID_MFN */
    evtchn_port_t virq_port[NR_VIRQS]; /* 0: not bound. d->event_lock */
    evtchn_port_t poll_port;           /* SCHEDOP_poll: the only port waited for, 0: see VPF_POLL */

    /* irq/: PHYSDEVOP_set_iobitmap, for emulate/ to consult when user mode does port I/O */
    guest_va_t iobitmap;     /* a clear bit permits the port */
    uint32_t iobitmap_ports; /* length in bits; 0: none */

    /* delivery of NMI and machine checks, x86/ */
    _Atomic bool nmi_pending, mce_pending;
};

/** An NMI or machine check is to be delivered to v. */
static inline bool vcpu_has_nmi(const struct vcpu *v)
{
    return atomic_load(&v->mce_pending) || (atomic_load(&v->nmi_pending) && !v->arch.nmi_masked);
}

/* hypercall/hypfs_op.c: whose page tables map frames of a dying domain; one looks at a time. */
#define NR_HOLDERS 4
struct holders {
    _Atomic bool busy;
    uint64_t next_mfn; /* how far the search has come; 0: not begun */
    uint32_t nr;       /* of those below; NR_HOLDERS + 1: there are more */
    struct {
        domid_t id;
        uint32_t nr_mappings;
    } of[NR_HOLDERS];
};

struct domain {
    domid_t domain_id; /* constant after creation: no lock */
    bool is_hwdom;     /* the hardware domain: owns the devices, its end is the machine's */
    union {
        uint32_t roles;         /* ROLE_*, createdomain's ssidref; see policy_check() */
        bool is_privileged : 1; /* ROLE_CONTROL of them */
    };
    uint32_t max_vcpus;
    uint64_t page_key;            /* memory/frame.h: page_key() */
    struct vcpu *vcpu[MAX_VCPUS]; /* NULL until created; pointers never change afterwards */
    _Atomic uint32_t refs;        /* domain_get()/domain_put() */
    xen_domain_handle_t handle;   /* UUID */
    struct domain *next, *prev;   /* in the list of domains, by id; L_DOMLIST */

    /* lifecycle, d->lock (L_DOMAIN) */
    struct spinlock lock;
    bool is_dying;
    _Atomic uint32_t shutdown_code; /* SHUTDOWN_*; the first one counts */
    uint32_t pause_count;
    bool shutdown_told;                   /* it has stopped, and who must know has been told */
    _Atomic uint8_t death;                /* how far domain_kill() has come */
    struct timer watchdogs[NR_WATCHDOGS]; /* SCHEDOP_watchdog */
    bool watchdog_in_use[NR_WATCHDOGS];
    vcpu_info_t *extra_vcpu_info; /* of vCPUs for which shared_info has no room, until registered */

    /* memory: the list and the counts are guarded by page_lock (L_HEAP: a leaf) */
    struct spinlock page_lock;
    uint32_t page_list;  /* first frame owned, index into the frame table; 0: none */
    uint64_t nr_pages;   /* frames owned */
    uint64_t max_pages;  /* limit */
    uint32_t walk_at;    /* domain_walk_pages(): the next frame; 0: none */
    bool walking;        /* it has begun */
    uint64_t nr_claimed; /* XENMEM_claim_pages: free frames kept for it; guarded by heap.c's lock */
    _Atomic uint64_t nr_mapped_uncached; /* frames mapped other than write-back, rule 12 */
    shared_info_t *shared_info;
    mfn_t shared_info_mfn;
    uint64_t vm_assist; /* bit per VMASST_TYPE_* */

    /* paging/: page-table updates of one domain are serialized by it (L_PAGE) */
    struct spinlock mmu_lock;
    uint32_t dead_tables; /* tables whose contents must be let go (paging/types.c); 0: none */
    _Atomic uint64_t dirty_cpus; /* CPUs whose TLBs may hold entries of this domain */

    /* hypercall/memory_op.c */
    uint8_t *memory_map;    /* XENMEM_set_memory_map: a frame of e820 entries, or NULL; d->lock */
    uint32_t nr_memory_map; /* how many of them */

    /* grant/ */
    struct grant_table *grant;
    uint32_t max_grant_frames, max_maptrack_frames; /* constant after creation */

    /* event/ */
    struct spinlock event_lock; /* L_EVENT; guards ports and the vCPUs' virq_port */
    struct evtchn_domain *evtchn;
    uint32_t
        max_evtchn_port; /* as in createdomain: the highest number; set before the domain runs */
    const mfn_t *event_frames; /* of the guest's, event/ holds writable references to these */
    uint32_t nr_event_frames;

    /* sched/: domctl's scheduler_op */
    uint16_t weight, cap;

    /* irq/ */
    uint32_t pci_cf8; /* what the domain wrote to port cf8 last */

    /* domain/: what it was started with at boot; shown by hypfs_op. Constant after the builder */
    char name[DOMAIN_NAME_BYTES]; /* "": it has none */
    /* the rings for the store and the console, with ports that wait for domain 0; port 0: none */
    mfn_t store_mfn, console_mfn;
    evtchn_port_t store_port, console_port;
    struct holders holders; /* hypercall/ */

    /* console/ */
    char *console_line;   /* a page: what it wrote of a line; NULL: it may not write */
    uint32_t console_len; /* the console's lock */

    /* access policy: what the builder and domctl gave */
    struct ranges ioports;  /* changes while no vCPU of it runs */
    struct ranges iomem;    /* MMIO frames that may be mapped; mmu_lock */
    struct ranges iomem_ro; /* of those: not to be written; irq/ adds to it */

    /* time */
    int64_t time_offset_s; /* guest's wall clock against the machine's */
    uint32_t tsc_mode;     /* TSC_MODE_* of <xen/...>: 0 default, 1 always, 2 never */
    bool vtsc;             /* rdtsc is emulated for this domain */
    /* its TSC when emulated: counts at tsc_khz (0: the machine's) from system time tsc_start_ns on */
    uint32_t tsc_khz, tsc_mul; /* mul and shift: as in vcpu_time_info */
    int8_t tsc_shift;
    uint64_t tsc_start_ns;
    uint32_t tsc_incarnation; /* how often it was restored */

    /* emulate/: its own CPU policy, constant once the domain has run; NULL: all that we offer */
    struct cpu_policy *cpu_policy;
};

/* Roles of a domain, a set of these; in none it is a guest. domain/policy.c says what each may do. */
#define ROLE_CONTROL (1u << 0)  /* creates, watches and ends others */
#define ROLE_HARDWARE (1u << 1) /* drives devices: may have ports, MMIO and interrupts */
#define ROLE_STORE (1u << 2)    /* keeps the store: is told who came and went */
#define ROLES_ALL (ROLE_CONTROL | ROLE_HARDWARE | ROLE_STORE)
/* In ssidref, above where Flask numbers its labels: libxl gives each guest its 12 without being asked. */
#define SSIDREF_OF(roles) ((roles) << 16)
#define ROLES_OF(ssidref) ((ssidref) >> 16)

enum right {
    /* over a domain */
    RIGHT_INFO,    /* see what it has and how it is doing */
    RIGHT_CONTROL, /* its life: create, pause, destroy, vCPUs, limits, shares */
    RIGHT_MEMORY,  /* its frames: give, take, map, look at */
    RIGHT_EVENTS,  /* its event channels: create, look at, close */
    RIGHT_GRANTS,  /* its grant table: set up, look at */
    RIGHT_ASSIGN,  /* give it devices' ports, MMIO and interrupts, which the caller has */
    RIGHT_DEVICES, /* have such */
    /* over the machine, which no domain is the target of */
    RIGHT_MACHINE, /* ask about it and set what is for all: sysctl, platform_op */
    RIGHT_CONSOLE, /* its console */
    NR_RIGHTS
};
/**
 * May caller do what to target? NULL: to a plain guest, if there is one; or to the machine. Nobody acts
 * for a domain with a role that it does not have itself, it only sees it. Constant: needs no lock.
 * Returns 0 or -EPERM.
 */
int policy_check(const struct domain *caller, const struct domain *target, enum right what);
/** The domain with this id, or NULL; takes a reference. DOMID_SELF is the caller's. */
struct domain *domain_get_by_id(struct domain *caller, domid_t id);
/** The same in *out, if caller may do that to it. 0; -ESRCH there is none, -EPERM: NULL. */
int domain_get_for(struct domain *caller, domid_t id, enum right what, struct domain **out);
static inline void domain_get(struct domain *d) { atomic_fetch_add(&d->refs, 1); }
/** Drop a reference; the last one frees the domain's structures. */
void domain_put(struct domain *d);
/** d's vCPU of that number, or NULL. */
static inline struct vcpu *domain_vcpu(const struct domain *d, uint64_t id)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): domctl's rows with a vCPU have a target */
    return id < d->max_vcpus ? d->vcpu[array_index_nospec(id, MAX_VCPUS)] : NULL;
}

/**
 * A guest is beyond repair: print why (rate limited), stop all its vCPUs with SHUTDOWN_crash.
 * May be called with any lock but L_SCHED and to its right held; the caller returns afterwards.
 */
void domain_crash(struct domain *d, const char *fmt, ...) printf_like(2, 3);

extern struct domain *domain_list; /* L_DOMLIST */
/** Of those in the list; L_DOMLIST, but for who has a frame of the domain: with any it is there. */
extern struct domain *domain_by_id[DOMID_FIRST_RESERVED];
extern struct spinlock domain_list_lock;
extern struct domain *hardware_domain; /* set by the builder */

#define for_each_vcpu(d, v)                                   \
    for (uint32_t i_##v = 0; i_##v < (d)->max_vcpus; i_##v++) \
        if (((v) = (d)->vcpu[i_##v]) != NULL)
