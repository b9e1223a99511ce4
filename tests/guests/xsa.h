/* What the kernels for advisories on memory management (xsa_*.c, advisories/) share. */
#pragma once
#include "guest.h"

#define SCRATCH 0x10000000000UL /* a top-level slot of its own */
#define PTE(page, flags) (virt_to_mfn(page) << 12 | (flags))
#define PTE_RO (PTE_FLAGS & ~PTE_RW)
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

struct scratch {
    uint64_t *l1, *l2, *l3; /* of SCRATCH */
};

static inline uint64_t *table_alloc(void)
{
    uint64_t *t = page_alloc();

    page_set_ro(t);
    return t;
}

/* Three tables of our own in the live root. */
static inline struct scratch scratch_tree(void)
{
    struct scratch s = { page_alloc(), page_alloc(), page_alloc() };
    long rc;

    s.l3[0] = PTE(s.l2, PTE_FLAGS);
    s.l2[0] = PTE(s.l1, PTE_FLAGS);
    page_set_ro(s.l1);
    page_set_ro(s.l2);
    page_set_ro(s.l3);
    rc = pte_write(&kernel_root[SCRATCH >> 39], PTE(s.l3, PTE_FLAGS));
    if (rc)
        error("no scratch tables: %ld", rc);
    return s;
}

/*
 * The proof that a table which va maps cannot be written: an entry that would make the live root
 * writable does not get there, neither by the CPU nor by emulation. vCPU 0, without smp_init().
 */
static inline bool store_refused(uint64_t *va)
{
    uint64_t before = *va;

    TRY("mov %1, (%0)", : : "r"(va), "r"(PTE(kernel_root, PTE_FLAGS)) : "memory");
    return trapped(TRAP_PF) && *va == before;
}

static inline bool load_faults(const void *va)
{
    TRY("mov (%0), %%rax", : : "r"(va) : "rax", "memory");
    return trapped(TRAP_PF);
}

static inline uint64_t *p2m(void) { return (uint64_t *)start_info->mfn_list; }

static inline long reservation_flags(unsigned int cmd, const xen_pfn_t *list, uint64_t nr,
                                     unsigned int order, unsigned int mem_flags)
{
    struct xen_memory_reservation r = {
        .nr_extents = nr, .extent_order = order, .mem_flags = mem_flags, .domid = DOMID_SELF
    };

    set_xen_guest_handle(r.extent_start, (xen_pfn_t *)list);
    return hc(memory_op, cmd, &r);
}

static inline long reservation(unsigned int cmd, const xen_pfn_t *list, uint64_t nr)
{
    return reservation_flags(cmd, list, nr, 0, 0);
}

static inline long current_pages(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

/* n-th pfn from the end: memory beyond the image, mapped nowhere. */
static inline uint64_t spare_pfn(uint64_t n) { return start_info->nr_pages - 1 - n; }

/* Is mfn a frame of ours that may be written? Looked at through a window of our own. */
static inline bool can_map(uint64_t mfn, uint64_t flags)
{
    static char window[PAGE_SIZE] __attribute__((aligned(4096)));
    uint64_t own = virt_to_mfn(window);
    long rc = update_va(window, mfn << 12 | flags, UVMF_INVLPG);

    CHECK_EQ(update_va(window, own << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    return rc == 0;
}

/* ---- long operations: how often a timer event came in the middle of one ---- */

static volatile unsigned int ticks, interruptions;
static void (*interrupted)(struct cpu_user_regs *regs); /* called then, in the upcall */

static inline void long_tick(unsigned int port)
{
    ticks++;
    hc(set_timer_op, now_ns(0) + 300000);
}

/* An operation that gave way is about to go on: the kernel stands at its SYSCALL instruction again. */
static inline void long_upcall(struct cpu_user_regs *regs)
{
    events_handle(0);
    if (*(const uint16_t *)regs->rip == 0x050f) {
        interruptions++;
        if (interrupted)
            interrupted(regs);
    }
}

static inline void long_init(void)
{
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    events_init();
    trap_hooks[ENTRY_EVENT] = long_upcall;
    event_hooks[bind_virq(VIRQ_TIMER, 0)] = long_tick;
    events_on();
    hc(set_timer_op, now_ns(0) + 300000);
}
