/*
 * memory_op: a domain's frames. Extents that a guest lists are taken one after the other; what was
 * done stays done, its number is the result, and after a preemption it comes back in the upper bits
 * of the command.
 */
#include "hypercall/ops.h"

#include <xen/memory.h>

#include "domain/domain.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "x86/multiboot.h"

#define MEMOP_EXTENT_SHIFT 6
#define MEMOP_CMD_MASK ((1u << MEMOP_EXTENT_SHIFT) - 1)
#define MAX_ORDER_PRIVILEGED 12u /* 16 MiB: one step of a loop, so also a bound on its time */
#define MAX_ORDER 9u

static unsigned int max_order(const struct domain *caller)
{
    return caller->is_privileged || caller->is_hwdom ? MAX_ORDER_PRIVILEGED : MAX_ORDER;
}

/* The domain that op.domid names, referenced, if the caller may act for it. */
static long target_get(domid_t id, struct domain **out)
{
    struct domain *d = domain_get_by_id(current->domain, id);
    long rc;

    if (d == NULL)
        return -ESRCH;
    rc = policy_target(current->domain, d);
    if (rc)
        domain_put(d);
    else
        *out = d;
    return rc;
}

/* ---- increase_reservation, decrease_reservation, populate_physmap ---- */

struct reservation {
    struct xen_memory_reservation r;
    struct domain *d;
    unsigned int cmd, bits;
};

static guest_va_t extent_va(const struct xen_memory_reservation *r, uint64_t i)
{
    return gva_index(GVA_OF(r->extent_start), i, sizeof(xen_pfn_t));
}

/* With a reference: another vCPU may already have given the frame away again. */
static void m2p_set_owned(struct domain *d, mfn_t m, uint64_t pfn)
{
    if (page_get(m, d)) {
        m2p_set(m, pfn);
        page_put(mfn_to_page(m));
    }
}

/* Give a frame of d back; if it is still mapped somewhere, it is freed when the last mapping goes. */
static bool remove_page(struct domain *d, mfn_t m)
{
    bool ok;

    if (!page_get(m, d))
        return false;
    ok = page_put_allocated(mfn_to_page(m));
    page_put(mfn_to_page(m));
    return ok;
}

/* One extent of populate_physmap (its pfn is in the list) or increase_reservation. */
static bool add_extent(struct reservation *a, uint64_t i)
{
    bool populate = a->cmd == XENMEM_populate_physmap;
    xen_pfn_t pfn = INVALID_M2P_ENTRY;
    mfn_t m;

    if (populate && copy_from_guest(&pfn, extent_va(&a->r, i), sizeof(pfn)))
        return false;
    if (domain_alloc_pages(a->d, a->r.extent_order, a->bits, &m))
        return false;
    for (uint64_t k = 0; pfn != INVALID_M2P_ENTRY && k < 1UL << a->r.extent_order; k++)
        m2p_set_owned(a->d, _mfn(mfn_x(m) + k), pfn + k);
    if ((populate || a->r.extent_start.p) &&
        copy_to_guest(extent_va(&a->r, i), &m.v, sizeof(m.v))) {
        for (uint64_t k = 0; k < 1UL << a->r.extent_order; k++)
            remove_page(a->d, _mfn(mfn_x(m) + k));
        return false;
    }
    return true;
}

static bool remove_extent(struct reservation *a, uint64_t i)
{
    xen_pfn_t gfn;

    if (copy_from_guest(&gfn, extent_va(&a->r, i), sizeof(gfn)))
        return false;
    for (uint64_t k = 0; k < 1UL << a->r.extent_order; k++)
        if (!remove_page(a->d, gfn_to_mfn(a->d, _gfn(gfn + k))))
            return false;
    return true;
}

static long reservation_run(struct reservation *a, uint64_t start, guest_va_t arg)
{
    for (uint64_t i = start; i < a->r.nr_extents; i++) {
        if (i != start && hypercall_preempt_check()) {
            const uint64_t args[] = { i << MEMOP_EXTENT_SHIFT | a->cmd, gva_x(arg) };

            return hypercall_continue(__HYPERVISOR_memory_op, 2, args);
        }
        if (!(a->cmd == XENMEM_decrease_reservation ? remove_extent(a, i) : add_extent(a, i)))
            return (long)i;
    }
    return (long)a->r.nr_extents;
}

static long op_reservation(unsigned int cmd, uint64_t start, guest_va_t arg)
{
    struct reservation a = { .cmd = cmd };
    long rc;

    if (copy_from_guest(&a.r, arg, sizeof(a.r)))
        return (long)start;
    a.bits = XENMEMF_get_address_bits(a.r.mem_flags);
    if (a.r.nr_extents > ~0UL >> MEMOP_EXTENT_SHIFT || start >= a.r.nr_extents ||
        a.r.extent_order > max_order(current->domain) ||
        (a.r.mem_flags & XENMEMF_populate_on_demand) ||
        (a.bits && a.bits < a.r.extent_order + PAGE_SHIFT))
        return (long)start;
    rc = target_get(a.r.domid, &a.d);
    if (rc)
        return start ? (long)start : rc;
    rc = reservation_run(&a, start, arg);
    domain_put(a.d);
    return rc;
}

/* ---- exchange ---- */

/* A stack of hypervisor-owned frames, linked through their page_info. */
struct frame_stack { uint32_t top; unsigned int nr; };

static void stack_push(struct frame_stack *s, mfn_t m)
{
    mfn_to_page(m)->next = s->top;
    s->top = (uint32_t)mfn_x(m);
    s->nr++;
}

static mfn_t stack_pop(struct frame_stack *s)
{
    mfn_t m = _mfn(s->top);

    s->top = mfn_to_page(m)->next;
    s->nr--;
    return m;
}

struct exchange {
    struct xen_memory_exchange x;
    struct domain *d;
    guest_va_t arg;
    unsigned int bits;
    unsigned int in_per, out_per; /* extents of one step, the smallest that comes out even */
};

static void free_stack(struct frame_stack *s, unsigned int order)
{
    while (s->nr)
        heap_free(stack_pop(s), order);
}

static int alloc_out(const struct exchange *e, struct frame_stack *out)
{
    while (out->nr < e->out_per) {
        mfn_t m = heap_alloc(e->x.out.extent_order, e->bits);

        if (mfn_x(m) == mfn_x(INVALID_MFN)) {
            free_stack(out, e->x.out.extent_order);
            return -ENOMEM;
        }
        stack_push(out, m);
    }
    return 0;
}

/* A stolen frame keeps its M2P entry until it is clear that it will not be given back. */
static void free_stolen(mfn_t m)
{
    m2p_set(m, INVALID_M2P_ENTRY);
    heap_free(m, 0);
}

static void give_back(struct domain *d, struct frame_stack *in)
{
    while (in->nr) {
        mfn_t m = stack_pop(in);
        uint64_t pfn = m2p_get(m);

        if (domain_assign_page(d, m)) /* it died, or took new frames up to its limit */
            free_stolen(m);
        else
            m2p_set_owned(d, m, pfn);
    }
}

static int steal_in(const struct exchange *e, uint64_t first, struct frame_stack *in)
{
    for (uint64_t i = first; i < first + e->in_per; i++) {
        xen_pfn_t gfn;

        if (copy_from_guest(&gfn, extent_va(&e->x.in, i), sizeof(gfn)))
            return -EFAULT;
        for (uint64_t k = 0; k < 1UL << e->x.in.extent_order; k++) {
            mfn_t m = gfn_to_mfn(e->d, _gfn(gfn + k));
            uint64_t pfn;

            if (!page_get(m, e->d))
                return -EINVAL;
            pfn = m2p_get(m);
            if (!domain_steal_page(e->d, m)) {
                page_put(mfn_to_page(m));
                return -EINVAL;
            }
            m2p_set(m, pfn);
            stack_push(in, m);
        }
    }
    return 0;
}

/* The list of new frames must be readable and writable before anything is given up. */
static int probe_out(const struct exchange *e, uint64_t first)
{
    for (uint64_t i = first; i < first + e->out_per; i++) {
        guest_va_t va = extent_va(&e->x.out, i);
        xen_pfn_t pfn;

        if (copy_from_guest(&pfn, va, sizeof(pfn)) || copy_to_guest(va, &pfn, sizeof(pfn)))
            return -EFAULT;
    }
    return 0;
}

/* A guest that unmaps its list meanwhile loses sight of frames, which stay its own. */
static int commit_out(const struct exchange *e, uint64_t first, struct frame_stack *out)
{
    unsigned int order = e->x.out.extent_order;
    int rc = 0;

    for (uint64_t i = first; i < first + e->out_per; i++) {
        mfn_t m = stack_pop(out);
        xen_pfn_t pfn = INVALID_M2P_ENTRY;

        rc = copy_from_guest(&pfn, extent_va(&e->x.out, i), sizeof(pfn)) ?: rc;
        for (uint64_t k = 0; k < 1UL << order; k++) {
            mfn_t frame = _mfn(mfn_x(m) + k);

            arch_clear_page(mfn_to_virt(frame));
            if (domain_assign_page(e->d, frame))
                heap_free(frame, 0);
            else if (pfn != INVALID_M2P_ENTRY)
                m2p_set_owned(e->d, frame, pfn + k);
        }
        rc = copy_to_guest(extent_va(&e->x.out, i), &m.v, sizeof(m.v)) ?: rc;
    }
    return rc;
}

/* Exchange the next in_per for out_per extents: all of them, or (unless -EFAULT late) nothing. */
static int exchange_step(const struct exchange *e)
{
    struct frame_stack in = { 0 }, out = { 0 };
    uint64_t first_in = e->x.nr_exchanged, first_out = first_in / e->in_per * e->out_per;
    int rc = probe_out(e, first_out) ?: alloc_out(e, &out);

    if (rc)
        return rc;
    rc = steal_in(e, first_in, &in);
    if (rc) {
        give_back(e->d, &in);
        free_stack(&out, e->x.out.extent_order);
        return rc;
    }
    while (in.nr)
        free_stolen(stack_pop(&in));
    return commit_out(e, first_out, &out);
}

static int exchange_check(struct exchange *e)
{
    const struct xen_memory_exchange *x = &e->x;
    unsigned int io = x->in.extent_order, oo = x->out.extent_order, limit = max_order(current->domain);
    unsigned int order = MAX(io, oo);

    e->bits = XENMEMF_get_address_bits(x->out.mem_flags);
    if (io > limit || oo > limit)
        return -EPERM;
    e->in_per = 1u << (order - io);
    e->out_per = 1u << (order - oo);
    if (x->in.domid != x->out.domid || x->in.nr_extents > ~0UL >> (io + MEMOP_EXTENT_SHIFT) ||
        x->out.nr_extents > ~0UL >> (oo + MEMOP_EXTENT_SHIFT) ||
        x->in.nr_extents << io != x->out.nr_extents << oo ||
        x->nr_exchanged > x->in.nr_extents || x->nr_exchanged % e->in_per ||
        x->in.nr_extents % e->in_per || (e->bits && e->bits < oo + PAGE_SHIFT))
        return -EINVAL;
    return 0;
}

/**
 * XENMEM_exchange: frames of in for as many new ones of other order or address, made known under
 * the pfns in out's list, which then has the frame numbers.
 * Returns 0; -EFAULT; -EPERM order too big, or not the caller's domain; -EINVAL lists that do not
 *   match, a frame that is not the domain's or is in use; -ESRCH; -ENOMEM. nr_exchanged tells how
 *   many extents of in were exchanged, all others are as they were. Preemptible.
 */
static long op_exchange(guest_va_t arg)
{
    const uint64_t again[] = { XENMEM_exchange, gva_x(arg) };
    struct exchange e = { .arg = arg };
    bool preempted = false;
    long rc;

    if (copy_from_guest(&e.x, arg, sizeof(e.x)))
        return -EFAULT;
    rc = exchange_check(&e) ?: target_get(e.x.in.domid, &e.d);
    if (rc)
        return rc;
    for (bool first = true; rc == 0 && e.x.nr_exchanged < e.x.in.nr_extents; first = false) {
        preempted = !first && hypercall_preempt_check();
        if (preempted)
            break;
        rc = exchange_step(&e);
        if (rc == 0)
            e.x.nr_exchanged += e.in_per;
    }
    domain_put(e.d);
    if (copy_to_guest(_gva(gva_x(arg) + offsetof(struct xen_memory_exchange, nr_exchanged)),
                      &e.x.nr_exchanged, sizeof(e.x.nr_exchanged)))
        return -EFAULT;
    return preempted ? hypercall_continue(__HYPERVISOR_memory_op, 2, again) : rc;
}

/* ---- questions ---- */

static long op_reservation_size(unsigned int cmd, guest_va_t arg)
{
    struct domain *d;
    domid_t id;
    long rc;

    if (copy_from_guest(&id, arg, sizeof(id)))
        return -EFAULT;
    rc = target_get(id, &d);
    if (rc)
        return rc;
    rc = (long)(cmd == XENMEM_current_reservation ? READ_ONCE(d->nr_pages) : d->max_pages);
    domain_put(d);
    return rc;
}

static long op_machphys_mapping(guest_va_t arg)
{
    const struct xen_machphys_mapping map = { M2P_RO_VIRT, MACH2PHYS_VIRT_END, max_mfn - 1 };

    return copy_to_guest(arg, &map, sizeof(map));
}

struct e820_entry { uint64_t addr, size; uint32_t type; } __attribute__((packed));

static long op_machine_memory_map(guest_va_t arg)
{
    struct xen_memory_map map;

    if (!current->domain->is_privileged)
        return -EPERM;
    if (copy_from_guest(&map, arg, sizeof(map)))
        return -EFAULT;
    map.nr_entries = MIN(map.nr_entries, boot_info.nr_ranges);
    for (uint32_t i = 0; i < map.nr_entries; i++) {
        const struct boot_range *r = &boot_info.ranges[i];
        const struct e820_entry e = { r->start, r->end - r->start, r->type };

        if (copy_to_guest(gva_index(GVA_OF(map.buffer), i, sizeof(e)), &e, sizeof(e)))
            return -EFAULT;
    }
    return copy_to_guest(arg, &map.nr_entries, sizeof(map.nr_entries));
}

/**
 * HYPERVISOR_memory_op. @cmd has the sub-operation in its lower 6 bits.
 *
 * increase_reservation, decrease_reservation, populate_physmap: the number of extents done (also
 *   after a fault or when memory is out); -ESRCH, -EPERM.
 * exchange, machine_memory_map: see there. maximum_ram_page, machphys_mapping: 0 or -EFAULT.
 * current_reservation, maximum_reservation: pages; -EFAULT, -ESRCH, -EPERM.
 * add_to_physmap and its kin, *_pod_target, sharing, paging, access: for guests with translated
 *   memory, which there are none of: -ENOSYS. machphys_mfn_list, memory_map, set_memory_map,
 *   claim_pages, acquire_resource, get_vnumainfo, maximum_gpfn: later, -ENOSYS.
 */
long hc_memory_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    unsigned int sub = cmd & MEMOP_CMD_MASK;

    switch (sub) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap:
        return op_reservation(sub, cmd >> MEMOP_EXTENT_SHIFT, _gva(arg));
    case XENMEM_exchange:
        return op_exchange(_gva(arg));
    case XENMEM_maximum_ram_page:
        return (long)max_mfn - 1;
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation:
        return op_reservation_size(sub, _gva(arg));
    case XENMEM_machphys_mapping:
        return op_machphys_mapping(_gva(arg));
    case XENMEM_machine_memory_map:
        return op_machine_memory_map(_gva(arg));
    default:
        return -ENOSYS;
    }
}
