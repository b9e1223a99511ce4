/*
 * What tests of grant/ have in common: three domains, each with an address space and a grant table, on the
 * real domain/, paging/, event/ and memory/; their calls; and a model of the CPUs' TLBs, which watches for
 * entries that outlive the grant that they came from.
 */
#pragma once
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fake.h"

#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/sched.h>

#include "domain/domain.h"
#include "event/evtchn.h"
#include "grant/grant.h"
#include "hypercall/hypercall.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"

#define NR_FRAMES 4096u
#define NR_DOMS 3u /* 1 and 2 are ordinary, 0 is privileged */
#define VA 0x40000000000ULL
#define VA_OF(i) (VA + (uint64_t)(i)*PAGE_SIZE)
#define NO_VA 0x50000000000ULL /* no table there */
#define W (PTE_P | PTE_RW | PTE_US)
#define R (PTE_P | PTE_US)

/* ---- the TLB model: CPU i runs domain i ---- */

static bool tlb_read[NR_DOMS][NR_FRAMES], tlb_write[NR_DOMS][NR_FRAMES];
static void (*on_flush)(void);

void arch_flush_tlb_mask(uint64_t mask)
{
    uint64_t t = ++arch_tlb_clock;

    fake_tlb_flushes++;
    if (on_flush)
        on_flush();
    for (unsigned int i = 0; i < NR_DOMS; i++)
        if (mask >> i & 1) {
            memset(tlb_read[i], 0, NR_FRAMES);
            memset(tlb_write[i], 0, NR_FRAMES);
            arch_pcpu(i)->tlb_flush_time = t;
        }
}
void arch_flush_tlb_local(void) { arch_flush_tlb_mask(1ULL << fake_pcpu->id); }
void arch_vcpu_roots_changed(struct vcpu *v)
{
    if (v == current)
        arch_flush_tlb_local();
}

/* ---- folders that only count ---- */

void sched_vcpu_init(struct vcpu *v) {}
void sched_vcpu_destroy(struct vcpu *v) {}
void vcpu_timers_init(struct vcpu *v) {}
void vcpu_timers_kill(struct vcpu *v) {}
void timer_kill(struct timer *t) {}
int domain_set_tsc(struct domain *d, const struct xen_domctl_tsc_info *info) { return 0; }
void vcpu_pause_set(struct vcpu *v, uint32_t f) { atomic_fetch_or(&v->pause_flags, f); }
void vcpu_pause_sync(struct vcpu *v, uint32_t f) { vcpu_pause_set(v, f); }
void vcpu_pause_clear(struct vcpu *v, uint32_t f) { atomic_fetch_and(&v->pause_flags, ~f); }
void timer_set(struct timer *t, uint64_t when) {}
void vcpu_set_poll_timer(struct vcpu *v, uint64_t t) {}
int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port) { return -EINVAL; }
void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port) {}
void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu) {}
void console_drain(void) {}
void domain_audit(void) {}
void arch_print_regs(const struct cpu_user_regs *regs) {}
noreturn void arch_reboot(void) { abort(); }
noreturn void arch_halt_forever(void) { abort(); }

/* ---- fixture: three domains, each with an address space and a grant table ---- */

static struct dom {
    struct domain *d;
    uint64_t l1, l2, l3, l4;
    struct grant_entry_v1 *shared; /* its first frame */
} doms[NR_DOMS], *g = &doms[1], *m = &doms[2], *c = &doms[0];
static uint64_t all_free;
static struct vcpu *idle;

static union {
    struct gnttab_map_grant_ref map[64];
    struct gnttab_unmap_grant_ref unmap[64];
    struct gnttab_unmap_and_replace replace[64];
    struct gnttab_copy copy[64];
    struct gnttab_swap_grant_ref swap[64];
    struct gnttab_setup_table setup;
    struct gnttab_query_size size;
    struct gnttab_get_version get_version;
    struct gnttab_set_version set_version;
    struct evtchn_alloc_unbound alloc;
    struct evtchn_bind_interdomain bind;
    struct evtchn_send send;
} args __attribute__((aligned(4096)));
static xen_pfn_t frames[GRANT_FRAMES_MAX];
static struct mmu_update req;
static struct mmuext_op ext_op;

static void play(const struct dom *x)
{
    fake_cpu(x->d->domain_id);
    fake_current(x->d->vcpu[0]);
}

static mfn_t page_of(struct dom *x)
{
    mfn_t p = _mfn(0);

    CU_ASSERT_EQUAL_FATAL(domain_alloc_pages(x->d, 0, 0, &p), 0);
    return p;
}
static uint64_t page(struct dom *x) { return mfn_x(page_of(x)); }
static pte_t *table(uint64_t mfn) { return mfn_to_virt(_mfn(mfn)); }
static uint64_t refs(uint64_t mfn) { return PGC_COUNT(frame_table[mfn].count_info); }
static inline uint64_t writers(uint64_t mfn)
{
    uint64_t x = frame_table[mfn].type_info;

    return PGT_TYPE(x) == PGT_WRITABLE && (x & PGT_VALID) ? PGT_COUNT(x) : 0;
}

static long op(const struct dom *x, unsigned int cmd, unsigned int n)
{
    long rc;

    play(x);
    fake_continued_args[1] = 0; /* a list that goes on has an address */
    rc = hc_grant_table_op(cmd, (uintptr_t)&args, n, 0, 0);
    for (unsigned int i = 0; rc == -ERESTART && i < 1000; i++) {
        const uint64_t *a = fake_continued_args;

        rc = a[1] ? hc_grant_table_op(a[0], a[1], a[2], 0, 0)
                  : hc_grant_table_op(cmd, (uintptr_t)&args, n, 0, 0);
    }
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    return rc;
}

static long ext(const struct dom *x, unsigned int cmd, uint64_t mfn)
{
    play(x);
    ext_op = (struct mmuext_op){ .cmd = cmd, .arg1.mfn = mfn };
    return hc_mmuext_op((uintptr_t)&ext_op, 1, 0, DOMID_SELF, 0);
}
static long update(const struct dom *x, uint64_t mfn, unsigned int i, pte_t e)
{
    play(x);
    req = (struct mmu_update){ .ptr = (mfn << PAGE_SHIFT) + i * 8, .val = e };
    return hc_mmu_update((uintptr_t)&req, 1, 0, DOMID_SELF, 0);
}

static int32_t limits[2] = { -1, -1 }; /* of grants and mappings, in frames */
static int create(domid_t id, uint32_t roles, uint64_t pages, struct domain **out)
{
    const struct xen_domctl_createdomain config = { .ssidref = SSIDREF_OF(roles),
                                                    .max_vcpus = 1,
                                                    .max_evtchn_port = 1023,
                                                    .max_grant_frames = limits[0],
                                                    .max_maptrack_frames = limits[1] };
    int rc = domain_create(id, &config, out);

    if (rc == 0)
        (*out)->max_pages = pages;
    return rc;
}

static void dom_start(unsigned int i)
{
    struct dom *x = &doms[i];

    CU_ASSERT_EQUAL_FATAL(create((domid_t)i, i ? 0 : ROLE_CONTROL, 500, &x->d), 0);
    CU_ASSERT_EQUAL_FATAL(vcpu_create(x->d, 0), 0);
    x->d->vcpu[0]->arch.kernel_mode = true;
    atomic_store(&x->d->dirty_cpus, 1ULL << i);
    x->l1 = page(x), x->l2 = page(x), x->l3 = page(x), x->l4 = page(x);
    table(x->l4)[pt_index(VA, 4)] = pte_make(x->l3, W);
    table(x->l3)[pt_index(VA, 3)] = pte_make(x->l2, W);
    table(x->l2)[pt_index(VA, 2)] = pte_make(x->l1, W);
    CU_ASSERT_EQUAL(ext(x, MMUEXT_PIN_L4_TABLE, x->l4), 0);
    CU_ASSERT_EQUAL(ext(x, MMUEXT_NEW_BASEPTR, x->l4), 0);
    args.setup = (struct gnttab_setup_table){ .dom = DOMID_SELF, .nr_frames = 1 };
    set_xen_guest_handle(args.setup.frame_list, frames);
    CU_ASSERT_EQUAL(op(x, GNTTABOP_setup_table, 1), 0);
    CU_ASSERT_EQUAL_FATAL(args.setup.status, GNTST_okay);
    x->shared = mfn_to_virt(_mfn(frames[0]));
}

static void setup(void)
{
    fake_reset(NR_DOMS);
    if (fake_ram == NULL) {
        fake_ram_create(NR_FRAMES);
        heap_add_ram(0, NR_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, NR_FRAMES * PAGE_SIZE);
        idle_domain_create();
        idle = idle_vcpu_create(0);
        paging_audit_reserve(); /* an allocation later would flush TLBs */
    }
    on_flush = NULL;
    for (unsigned int i = 0; i < NR_DOMS; i++)
        arch_pcpu(i)->tlb_flush_time =
            arch_tlb_clock; /* 0 would be in the future: the clock wraps */
    arch_flush_tlb_mask(7);
    fake_guest_map(&args, sizeof(args), FAKE_READ_WRITE);
    fake_guest_map(frames, sizeof(frames), FAKE_READ_WRITE);
    fake_guest_map(&req, sizeof(req), FAKE_READ_WRITE);
    fake_guest_map(&ext_op, sizeof(ext_op), FAKE_READ_WRITE);
    all_free = heap_free_pages();
    for (unsigned int i = 0; i < NR_DOMS; i++)
        dom_start(i);
    fake_tlb_flushes = 0;
}

static unsigned int audit(void)
{
    return paging_audit() + grant_audit() + heap_audit() + evtchn_audit();
}

static int die_a_little(struct dom *x)
{
    fake_cpu(0);
    fake_current(idle);
    atomic_fetch_and(&x->d->dirty_cpus, 7);
    return domain_kill(x->d);
}

static void die(struct dom *x)
{
    int rc = -ERESTART;

    if (x->d == NULL)
        return;
    for (unsigned int i = 0; i < 10000 && rc == -ERESTART; i++)
        rc = die_a_little(x);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(audit(), 0);
    x->d = NULL;
}

static void teardown(void)
{
    CU_ASSERT_EQUAL(audit(), 0);
    for (unsigned int i = NR_DOMS; i--;)
        die(&doms[i]);
    fake_preempt_every = 0;
    fake_current(idle);
    CU_ASSERT_EQUAL(create(9, 0, 0, &doms[0].d), 0); /* reaps those that came free late */
    die(&doms[0]);
    CU_ASSERT_PTR_NULL(domain_list);
    CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
}

/* ---- what guests do ---- */

static void grant(struct dom *x, grant_ref_t ref, const struct dom *to, uint64_t mfn,
                  uint16_t flags)
{
    x->shared[ref] =
        (struct grant_entry_v1){ GTF_permit_access | flags, to->d->domain_id, (uint32_t)mfn };
}
static uint16_t in_use(const struct dom *x, grant_ref_t ref)
{
    return x->shared[ref].flags & (GTF_reading | GTF_writing);
}
#define RW_USE (GTF_reading | GTF_writing)

static void map_arg(unsigned int i, const struct dom *from, grant_ref_t ref, uint64_t host,
                    uint32_t flags)
{
    args.map[i] = (struct gnttab_map_grant_ref){
        .host_addr = host, .flags = flags, .ref = ref, .dom = from->d->domain_id, .status = 77
    };
}
/* The status; the handle is in args. */
static int map(const struct dom *x, const struct dom *from, grant_ref_t ref, uint64_t host,
               uint32_t flags)
{
    map_arg(0, from, ref, host, flags);
    CU_ASSERT_EQUAL(op(x, GNTTABOP_map_grant_ref, 1), 0);
    return args.map[0].status;
}
static int unmap(const struct dom *x, grant_handle_t h, uint64_t host, uint64_t dev)
{
    args.unmap[0] = (struct gnttab_unmap_grant_ref){ host, dev, h, 77 };
    CU_ASSERT_EQUAL(op(x, GNTTABOP_unmap_grant_ref, 1), 0);
    return args.unmap[0].status;
}
static int replace(const struct dom *x, grant_handle_t h, uint64_t host, uint64_t new_addr)
{
    args.replace[0] = (struct gnttab_unmap_and_replace){ host, new_addr, h, 77 };
    CU_ASSERT_EQUAL(op(x, GNTTABOP_unmap_and_replace, 1), 0);
    return args.replace[0].status;
}
static pte_t *pte(const struct dom *x, unsigned int i) { return &table(x->l1)[i]; }

/* The CPU of x uses all that x's L1 table maps. */
static void touch(const struct dom *x)
{
    for (unsigned int i = 0; i < PTES_PER_TABLE; i++)
        if (*pte(x, i) & PTE_P) {
            tlb_read[x - doms][pte_mfn(*pte(x, i))] = true;
            tlb_write[x - doms][pte_mfn(*pte(x, i))] |= (*pte(x, i) & PTE_RW) != 0;
        }
}

static int copy(const struct dom *x, struct gnttab_copy op_)
{
    args.copy[0] = op_;
    args.copy[0].status = 77;
    CU_ASSERT_EQUAL(op(x, GNTTABOP_copy, 1), 0);
    return args.copy[0].status;
}
#define FROM_REF(dom_, ref_, off) .source = { .u.ref = ref_, .domid = dom_, .offset = off }
#define TO_REF(dom_, ref_, off) .dest = { .u.ref = ref_, .domid = dom_, .offset = off }
#define FROM_OWN(mfn, off) .source = { .u.gmfn = mfn, .domid = DOMID_SELF, .offset = off }
#define TO_OWN(mfn, off) .dest = { .u.gmfn = mfn, .domid = DOMID_SELF, .offset = off }

#define TEST(fn) CU_add_test(s, #fn, test_##fn)
