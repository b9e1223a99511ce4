/*
 * memory_op: a domain's frames. Extents that a guest lists are taken one after the other; what was
 * done stays done, its number is the result, and after a preemption it comes back in the upper bits
 * of the command.
 */
#include "hypercall/hypercall.h"

#include <xen/memory.h>

#include "domain/domain.h"
#include "memory/heap.h"
#include "x86/multiboot.h"

#define MEMOP_EXTENT_SHIFT 6
#define MEMOP_CMD_MASK ((1u << MEMOP_EXTENT_SHIFT) - 1)
#define MAX_ORDER_PRIVILEGED 12u /* 16 MiB: one step of a loop, so also a bound on its time */
#define MAX_ORDER 9u
#define E820_BYTES 20 /* address and length of 8 bytes, type of 4 */

static unsigned int max_order(void)
{
    return current->domain->is_privileged ? MAX_ORDER_PRIVILEGED : MAX_ORDER;
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

/* ---- decrease_reservation, populate_physmap ---- */

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

static bool add_extent(struct domain *d, const struct xen_memory_reservation *r, guest_va_t va)
{
    xen_pfn_t pfn;
    mfn_t m;

    if (copy_from_guest(&pfn, va, sizeof(pfn)) ||
        domain_alloc_pages(d, r->extent_order, XENMEMF_get_address_bits(r->mem_flags), &m))
        return false;
    for (uint64_t k = 0; k < 1UL << r->extent_order; k++)
        m2p_set_owned(d, _mfn(mfn_x(m) + k), pfn + k);
    if (copy_to_guest(va, &m.v, sizeof(m.v)) == 0)
        return true;
    for (uint64_t k = 0; k < 1UL << r->extent_order; k++)
        remove_page(d, _mfn(mfn_x(m) + k));
    return false;
}

static bool remove_extent(struct domain *d, const struct xen_memory_reservation *r, guest_va_t va)
{
    xen_pfn_t gfn;
    bool ok = !copy_from_guest(&gfn, va, sizeof(gfn));

    for (uint64_t k = 0; ok && k < 1UL << r->extent_order; k++)
        ok = remove_page(d, gfn_to_mfn(d, _gfn(gfn + k)));
    return ok;
}

static long op_reservation(unsigned int cmd, uint64_t start, guest_va_t arg)
{
    struct xen_memory_reservation r;
    bool (*one)(struct domain *, const struct xen_memory_reservation *, guest_va_t) =
        cmd == XENMEM_populate_physmap ? add_extent : remove_extent;
    uint64_t i = start;
    bool again = false;
    struct domain *d;
    long rc;

    if (copy_from_guest(&r, arg, sizeof(r)) || r.nr_extents > ~0UL >> MEMOP_EXTENT_SHIFT ||
        start >= r.nr_extents || r.extent_order > max_order() ||
        (r.mem_flags & XENMEMF_populate_on_demand))
        return (long)start;
    rc = target_get(r.domid, &d);
    if (rc)
        return start ? (long)start : rc;
    while (!again && one(d, &r, extent_va(&r, i)) && ++i < r.nr_extents)
        again = hypercall_preempt_check();
    domain_put(d);
    const uint64_t args[] = { i << MEMOP_EXTENT_SHIFT | cmd, gva_x(arg) };
    return again ? hypercall_continue(__HYPERVISOR_memory_op, 2, args) : (long)i;
}

/* ---- exchange ---- */

/* Hypervisor-owned extents, linked through their page_info (0: the end); the M2P has their pfns. */
static void stack_push(uint32_t *top, mfn_t m, uint64_t pfn)
{
    m2p_set(m, pfn);
    mfn_to_page(m)->next = *top;
    *top = (uint32_t)mfn_x(m);
}

static mfn_t stack_pop(uint32_t *top)
{
    mfn_t m = _mfn(*top);

    *top = mfn_to_page(m)->next;
    return m;
}

static void discard(mfn_t m, unsigned int order)
{
    m2p_set(m, INVALID_M2P_ENTRY);
    heap_free(m, order);
}

struct exchange {
    struct xen_memory_exchange x;
    struct domain *d;
    unsigned int bits;
    unsigned int in_per, out_per; /* extents of one step, the smallest that comes out even */
};

/* A frame for d under this pfn; if d died or took new frames up to its limit, back to the heap. */
static void give(struct domain *d, mfn_t m, uint64_t pfn)
{
    if (domain_assign_page(d, m) == 0)
        m2p_set_owned(d, m, pfn);
    else
        discard(m, 0);
}

/* New extents; their list must be readable and writable before anything is given up. */
static int alloc_out(const struct exchange *e, uint64_t first, uint32_t *out)
{
    for (uint64_t i = first; i < first + e->out_per; i++) {
        guest_va_t va = extent_va(&e->x.out, i);
        xen_pfn_t pfn;
        mfn_t m;

        if (copy_from_guest(&pfn, va, sizeof(pfn)) || copy_to_guest(va, &pfn, sizeof(pfn)))
            return -EFAULT;
        m = heap_alloc(e->x.out.extent_order, e->bits);
        if (mfn_x(m) == mfn_x(INVALID_MFN))
            return -ENOMEM;
        stack_push(out, m, pfn);
    }
    return 0;
}

static int steal_in(const struct exchange *e, uint64_t first, uint32_t *in)
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
            stack_push(in, m, pfn);
        }
    }
    return 0;
}

/* A guest that unmaps its list meanwhile loses sight of frames, which stay its own. */
static int commit_out(const struct exchange *e, uint64_t first, uint32_t *out)
{
    int rc = 0;

    for (uint64_t i = first + e->out_per; i-- > first;) {
        mfn_t m = stack_pop(out);
        uint64_t pfn = m2p_get(m);

        for (uint64_t k = 0; k < 1UL << e->x.out.extent_order; k++) {
            arch_clear_page(mfn_to_virt(_mfn(mfn_x(m) + k)));
            give(e->d, _mfn(mfn_x(m) + k), pfn + k);
        }
        rc = copy_to_guest(extent_va(&e->x.out, i), &m.v, sizeof(m.v)) ?: rc;
    }
    return rc;
}

/* Exchange the next in_per for out_per extents: all of them, or (unless -EFAULT late) nothing. */
static int exchange_step(const struct exchange *e)
{
    uint64_t first = e->x.nr_exchanged / e->in_per * e->out_per;
    uint32_t in = 0, out = 0;
    int rc = alloc_out(e, first, &out) ?: steal_in(e, e->x.nr_exchanged, &in);

    while (in) {
        mfn_t m = stack_pop(&in);

        if (rc)
            give(e->d, m, m2p_get(m));
        else
            discard(m, 0);
    }
    if (rc == 0)
        return commit_out(e, first, &out);
    while (out)
        discard(stack_pop(&out), e->x.out.extent_order);
    return rc;
}

static int exchange_check(struct exchange *e)
{
    const struct xen_memory_exchange *x = &e->x;
    unsigned int io = x->in.extent_order, oo = x->out.extent_order, order = MAX(io, oo);

    e->bits = XENMEMF_get_address_bits(x->out.mem_flags);
    if (order > max_order())
        return -EPERM;
    e->in_per = 1u << (order - io);
    e->out_per = 1u << (order - oo);
    if (x->in.domid != x->out.domid || x->in.nr_extents > ~0UL >> (io + MEMOP_EXTENT_SHIFT) ||
        x->out.nr_extents > ~0UL >> (oo + MEMOP_EXTENT_SHIFT) ||
        x->in.nr_extents << io != x->out.nr_extents << oo || x->nr_exchanged > x->in.nr_extents ||
        x->nr_exchanged % e->in_per || x->in.nr_extents % e->in_per ||
        (e->bits && e->bits < oo + PAGE_SHIFT))
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
    struct exchange e;
    long rc;

    if (copy_from_guest(&e.x, arg, sizeof(e.x)))
        return -EFAULT;
    rc = exchange_check(&e) ?: target_get(e.x.in.domid, &e.d);
    if (rc)
        return rc;
    while (rc == 0 && e.x.nr_exchanged < e.x.in.nr_extents) {
        rc = exchange_step(&e);
        if (rc == 0)
            e.x.nr_exchanged += e.in_per;
        if (rc == 0 && e.x.nr_exchanged < e.x.in.nr_extents && hypercall_preempt_check())
            rc = -ERESTART;
    }
    domain_put(e.d);
    arg = _gva(gva_x(arg) + offsetof(struct xen_memory_exchange, nr_exchanged));
    if (copy_to_guest(arg, &e.x.nr_exchanged, sizeof(e.x.nr_exchanged)))
        return -EFAULT;
    return rc == -ERESTART ? hypercall_continue(__HYPERVISOR_memory_op, 2, again) : rc;
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
        const uint64_t e[] = { r->start, r->end - r->start, r->type };

        if (copy_to_guest(gva_index(GVA_OF(map.buffer), i, E820_BYTES), e, E820_BYTES))
            return -EFAULT;
    }
    return copy_to_guest(arg, &map.nr_entries, sizeof(map.nr_entries));
}

/**
 * HYPERVISOR_memory_op. @cmd has the sub-operation in its lower 6 bits.
 *
 * decrease_reservation, populate_physmap: the number of extents done (also after a fault or when
 *   memory is out); -ESRCH, -EPERM.
 * exchange, machine_memory_map: see there. maximum_ram_page, machphys_mapping: 0 or -EFAULT.
 * current_reservation, maximum_reservation: pages; -EFAULT, -ESRCH, -EPERM.
 * All others -ENOSYS. increase_reservation: superseded by populate_physmap. add_to_physmap and its
 *   kin, *_pod_target, sharing, paging, access: for guests with translated memory. Later:
 *   machphys_mfn_list, (set_)memory_map, claim_pages, acquire_resource, get_vnumainfo, maximum_gpfn.
 */
long hc_memory_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    const struct xen_machphys_mapping machphys = { M2P_RO_VIRT, MACH2PHYS_VIRT_END, max_mfn - 1 };
    unsigned int sub = cmd & MEMOP_CMD_MASK;

    switch (sub) {
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap: return op_reservation(sub, cmd >> MEMOP_EXTENT_SHIFT, _gva(arg));
    case XENMEM_exchange: return op_exchange(_gva(arg));
    case XENMEM_maximum_ram_page: return (long)max_mfn - 1;
    case XENMEM_current_reservation:
    case XENMEM_maximum_reservation: return op_reservation_size(sub, _gva(arg));
    case XENMEM_machphys_mapping: return copy_to_guest(_gva(arg), &machphys, sizeof(machphys));
    case XENMEM_machine_memory_map: return op_machine_memory_map(_gva(arg));
    default: return -ENOSYS;
    }
}
