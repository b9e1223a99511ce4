/*
 * memory_op: a domain's frames. Extents that a guest lists are taken one after the other; what was
 * done stays done, its number is the result, and after a preemption it comes back in the upper bits
 * of the command.
 */
#include "hypercall/hypercall.h"

#include <xen/memory.h>

#include "grant/grant.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "x86/multiboot.h"

#define MEMOP_EXTENT_SHIFT 6
#define MEMOP_CMD_MASK ((1u << MEMOP_EXTENT_SHIFT) - 1)
#define MAX_ORDER_PRIVILEGED 12u /* 16 MiB: one step of a loop, so also a bound on its time */
#define MAX_ORDER 9u
#define BATCH 16u /* extents of one frame that are done together */
#define PAGES_2M 512u
#define E820_BYTES 20 /* address and length of 8 bytes, type of 4 */

static unsigned int max_order(void)
{
    return current->domain->is_privileged ? MAX_ORDER_PRIVILEGED : MAX_ORDER;
}

/* ---- extents ---- */

static guest_va_t extent_va(const struct xen_memory_reservation *r, uint64_t i)
{
    return gva_index(GVA_OF(r->extent_start), i, sizeof(xen_pfn_t));
}

/* Frames in a row that were taken from a domain; they are freed together. */
struct run {
    mfn_t m;
    uint64_t n;
};

static void run_free(struct run *r)
{
    if (r->n) {
        m2p_forget(r->m, r->n);
        heap_free_frames(r->m, r->n);
    }
    r->n = 0;
}

static void run_add(struct run *r, mfn_t m)
{
    if (mfn_x(m) != mfn_x(r->m) + r->n) {
        run_free(r);
        r->m = m;
    }
    r->n++;
}

/*
 * Take 2^order frames from d, up to the first that is not its own: into run. What is mapped somewhere
 * is freed when the last mapping goes; if `stolen`, it is refused, and the others become the
 * hypervisor's, linked through their page_info from *stolen on (0: the end), the M2P keeping their
 * pfns.
 */
static int take_frames(struct domain *d, uint64_t gfn, unsigned int order, uint32_t *stolen,
                       struct run *run)
{
    for (uint64_t end = gfn + (1UL << order); gfn != end; gfn++) {
        mfn_t m = gfn_to_mfn(d, _gfn(gfn));
        bool had = domain_steal_page(d, m);

        if (had && stolen) {
            mfn_to_page(m)->next = *stolen;
            *stolen = (uint32_t)mfn_x(m);
        } else if (had) {
            run_add(run, m);
        } else if (!stolen && page_get(m, d)) {
            had = page_put_allocated(mfn_to_page(m));
            page_put(mfn_to_page(m));
        }
        if (!had)
            return -EINVAL;
    }
    return 0;
}

/* The end of such a list: to d again, or if that died or took new frames up to its limit, freed. */
static void stolen_put(struct domain *d, uint32_t stolen, bool give_back)
{
    while (stolen) {
        struct run r = { _mfn(stolen), 1 };

        stolen = mfn_to_page(r.m)->next;
        if (!give_back || domain_assign_page(d, r.m))
            run_free(&r);
    }
}

/*
 * How many extents from the i-th on are done together: not too much memory, and of what lies on one
 * page of the list, so that it can be accessed as a whole or not from its first entry on.
 */
static unsigned int batch_size(const struct xen_memory_reservation *r, uint64_t i)
{
    uint64_t room = -gva_x(extent_va(r, i)) % PAGE_SIZE / sizeof(xen_pfn_t),
             most = MIN(room ?: BATCH, BATCH >> r->extent_order);

    return (unsigned int)MIN(MAX(most, 1), r->nr_extents - i);
}

/* Both return how many of n extents from the i-th on were done; if none, the error. */
static long remove_extents(struct domain *d, const struct xen_memory_reservation *r, uint64_t i,
                           unsigned int n, uint32_t *stolen)
{
    xen_pfn_t list[BATCH];
    struct run run = { .n = 0 };
    unsigned int k = 0;

    if (copy_from_guest(list, extent_va(r, i), n * sizeof(list[0])))
        return -EFAULT;
    while (k < n && take_frames(d, list[k], r->extent_order, stolen, &run) == 0)
        k++;
    run_free(&run);
    return k ? (long)k : -EINVAL;
}

/* New frames for d under the pfns from the one in the list on, their numbers to the list. */
static long add_extents(struct domain *d, const struct xen_memory_reservation *r, uint64_t i,
                        unsigned int n)
{
    xen_pfn_t list[BATCH];
    struct run run = { .n = 0 };

    if (copy_from_guest(list, extent_va(r, i), n * sizeof(list[0])))
        return -EFAULT;
    n = domain_populate(d, r->extent_order, XENMEMF_get_address_bits(r->mem_flags), list, n);
    if (n == 0)
        return -ENOMEM;
    if (copy_to_guest(extent_va(r, i), list, n * sizeof(list[0])) == 0)
        return n;
    for (unsigned int k = 0; k < n; k++)
        (void)take_frames(d, list[k], r->extent_order, NULL, &run);
    run_free(&run);
    return -EFAULT;
}

/* ---- decrease_reservation, populate_physmap, exchange ---- */

static long op_reservation(unsigned int cmd, uint64_t i, guest_va_t arg)
{
    struct xen_memory_reservation r;
    struct domain *d;
    unsigned int n;
    long rc;

    if (copy_from_guest(&r, arg, sizeof(r)) || r.nr_extents > ~0UL >> MEMOP_EXTENT_SHIFT ||
        i >= r.nr_extents || r.extent_order > max_order() ||
        (r.mem_flags & XENMEMF_populate_on_demand))
        return (long)i;
    rc = domain_get_for(current->domain, r.domid, RIGHT_MEMORY, &d);
    if (rc)
        return i ? (long)i : rc;
    do {
        n = batch_size(&r, i);
        rc = cmd == XENMEM_decrease_reservation ? remove_extents(d, &r, i, n, NULL)
                                                : add_extents(d, &r, i, n);
        i += (uint64_t)MAX(rc, 0);
    } while (rc == n && i < r.nr_extents && !hypercall_preempt_check());
    domain_put(d);
    const uint64_t args[] = { i << MEMOP_EXTENT_SHIFT | cmd };
    return rc == n && i < r.nr_extents ? hypercall_continue(1, args) : (long)i;
}

/* Exchange in_per for out_per extents, the smallest numbers that come out even: all or nothing. */
static long exchange_step(struct domain *d, const struct xen_memory_exchange *x, uint64_t in_per,
                          uint64_t out_per)
{
    uint64_t i, pfn, first = x->nr_exchanged / in_per * out_per;
    uint32_t stolen = 0, undone = 0;
    long rc = 1;

    for (i = 0; rc > 0 && i < in_per; i++)
        rc = remove_extents(d, &x->in, x->nr_exchanged + i, 1, &stolen);
    for (i = 0; rc > 0 && i < out_per; i++) {
        rc = add_extents(d, &x->out, first + i, 1);
        if (rc <= 0)
            break; /* i are there */
    }
    while (rc < 0 && i-- > 0) /* what the guest uses already stays its own */
        if (remove_extents(d, &x->out, first + i, 1, &undone) > 0) {
            /* the extent's last frame comes first */
            pfn = m2p_get(_mfn(undone)) + 1 - (1UL << x->out.extent_order);
            (void)copy_to_guest(extent_va(&x->out, first + i), &pfn, sizeof(pfn));
        }
    stolen_put(d, undone, false);
    stolen_put(d, stolen, rc < 0);
    return MIN(rc, 0);
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
    struct xen_memory_exchange x;
    unsigned int io, oo, bits;
    uint64_t in_per, out_per;
    struct domain *d;
    long rc;

    if (copy_from_guest(&x, arg, sizeof(x)))
        return -EFAULT;
    io = x.in.extent_order;
    oo = x.out.extent_order;
    bits = XENMEMF_get_address_bits(x.out.mem_flags);
    if (MAX(io, oo) > max_order())
        return -EPERM;
    in_per = 1UL << (MAX(io, oo) - io);
    out_per = 1UL << (MAX(io, oo) - oo);
    if (x.in.domid != x.out.domid || x.in.nr_extents > ~0UL >> (io + MEMOP_EXTENT_SHIFT) ||
        x.out.nr_extents > ~0UL >> (oo + MEMOP_EXTENT_SHIFT) ||
        x.in.nr_extents << io != x.out.nr_extents << oo || x.nr_exchanged > x.in.nr_extents ||
        x.nr_exchanged % in_per || x.in.nr_extents % in_per || (bits && bits < oo + PAGE_SHIFT))
        return -EINVAL;
    rc = domain_get_for(current->domain, x.in.domid, RIGHT_MEMORY, &d);
    if (rc)
        return rc;
    while (rc == 0 && x.nr_exchanged < x.in.nr_extents) {
        rc = exchange_step(d, &x, in_per, out_per);
        x.nr_exchanged += rc ? 0 : in_per;
        if (rc == 0 && x.nr_exchanged < x.in.nr_extents && hypercall_preempt_check())
            rc = -ERESTART; /* it goes on from nr_exchanged */
    }
    domain_put(d);
    arg = _gva(gva_x(arg) + offsetof(struct xen_memory_exchange, nr_exchanged));
    return copy_to_guest(arg, &x.nr_exchanged, sizeof(x.nr_exchanged)) ?: rc;
}

/**
 * XENMEM_claim_pages: keep so many free frames for a domain that it can have r.nr_extents in all.
 * Returns 0; -EFAULT; -EPERM; -ESRCH; -EINVAL a field that must be zero is not, the domain has a claim,
 *   so many frames already, or may not have so many; -ENOMEM not so many are free and not claimed.
 */
static long op_claim_pages(guest_va_t arg)
{
    struct xen_memory_reservation r;
    struct domain *d;
    long rc = copy_from_guest(&r, arg, sizeof(r));

    if (rc == 0 && (gva_x(GVA_OF(r.extent_start)) || r.extent_order || r.mem_flags))
        rc = -EINVAL;
    rc = rc ?: domain_get_for(current->domain, r.domid, RIGHT_CONTROL, &d);
    if (rc)
        return rc;
    rc = domain_claim_pages(d, r.nr_extents);
    domain_put(d);
    return rc;
}

/* ---- questions ---- */

static long op_about_domain(unsigned int cmd, guest_va_t arg)
{
    struct domain *d;
    domid_t id;
    uint64_t n;
    long rc = copy_from_guest(&id, arg, sizeof(id))
                  ?: domain_get_for(current->domain, id, RIGHT_MEMORY, &d);

    if (rc)
        return rc;
    if (cmd == XENMEM_maximum_gpfn) { /* what the guest says; it counts its pfns there */
        n = READ_ONCE(d->shared_info->arch.max_pfn);
        n -= n > 0;
    } else {
        n = cmd == XENMEM_current_reservation ? READ_ONCE(d->nr_pages) : d->max_pages;
    }
    domain_put(d);
    return (long)MIN(n, INT64_MAX);
}

static long op_machphys_mfn_list(guest_va_t arg)
{
    struct xen_machphys_mfn_list list;
    guest_va_t to = _gva(gva_x(arg) + offsetof(struct xen_machphys_mfn_list, nr_extents));

    if (copy_from_guest(&list, arg, sizeof(list)))
        return -EFAULT;
    list.nr_extents = (unsigned int)MIN(list.max_extents, m2p_gfns() / PAGES_2M);
    for (uint32_t i = 0; i < list.nr_extents; i++) { /* one for each GiB of the machine's RAM */
        xen_pfn_t first = M2P_GFN + i * PAGES_2M;

        if (copy_to_guest(gva_index(GVA_OF(list.extent_start), i, sizeof(first)), &first,
                          sizeof(first)))
            return -EFAULT;
    }
    return copy_to_guest(to, &list.nr_extents, sizeof(list.nr_extents));
}

/**
 * XENMEM_acquire_resource: the frames of a domain's grant table, to be mapped as frames of that domain.
 * Without a list nr_frames (IN/OUT) becomes how many there can be.
 * Returns 0; -EFAULT; -ESRCH; -EPERM; -EOPNOTSUPP another type of resource; -EINVAL what must be zero is
 *   not, the table of version 2, frames but no list, more than there can be; -ENOMEM. Preemptible.
 */
static long op_acquire_resource(guest_va_t arg)
{
    guest_va_t nr = _gva(gva_x(arg) + offsetof(struct xen_mem_acquire_resource, nr_frames));
    struct xen_mem_acquire_resource r;
    struct domain *d;
    uint32_t most;
    long rc = copy_from_guest(&r, arg, sizeof(r));

    rc = rc ?: r.pad ? -EINVAL : domain_get_for(current->domain, r.domid, RIGHT_GRANTS, &d);
    if (rc)
        return rc;
    most = d->max_grant_frames;
    if (r.type != XENMEM_resource_grant_table)
        rc = -EOPNOTSUPP;
    else if (r.id != XENMEM_resource_grant_table_id_shared)
        rc = -EINVAL;
    else if (gva_x(GVA_OF(r.frame_list)) == 0)
        rc = r.nr_frames ? -EINVAL : copy_to_guest(nr, &most, sizeof(most));
    else if (r.nr_frames > most || r.frame > most - r.nr_frames)
        rc = r.nr_frames ? -EINVAL : 0;
    else
        rc = grant_list_frames(d, (uint32_t)r.frame, r.nr_frames, GVA_OF(r.frame_list));
    domain_put(d);
    return rc;
}

/* ---- memory maps ---- */

/**
 * XENMEM_set_memory_map: what a domain reads by XENMEM_memory_map.
 * Returns 0; -EFAULT; -EINVAL more entries than a frame holds; -ESRCH; -EPERM; -ENOMEM.
 */
static long op_set_memory_map(guest_va_t arg)
{
    struct xen_foreign_memory_map new;
    uint8_t *map, *old = NULL;
    struct domain *d;
    long rc = copy_from_guest(&new, arg, sizeof(new));

    if (rc == 0 && new.map.nr_entries > PAGE_SIZE / E820_BYTES)
        rc = -EINVAL;
    rc = rc ?: domain_get_for(current->domain, new.domid, RIGHT_MEMORY, &d);
    if (rc)
        return rc;
    map = alloc_page();
    rc = map ? copy_from_guest(map, GVA_OF(new.map.buffer), new.map.nr_entries *E820_BYTES)
             : -ENOMEM;
    if (rc == 0) {
        spin_lock(&d->lock);
        old = d->memory_map;
        d->memory_map = map;
        d->nr_memory_map = new.map.nr_entries;
        spin_unlock(&d->lock);
    }
    free_page(rc ? map : old);
    domain_put(d);
    return rc;
}

/** XENMEM_memory_map: 0; -EFAULT; -ENOSYS nobody has set one. */
static long op_memory_map(guest_va_t arg)
{
    struct domain *d = current->domain;
    struct xen_memory_map map;
    uint8_t entries[PAGE_SIZE];
    uint32_t nr;

    if (copy_from_guest(&map, arg, sizeof(map)))
        return -EFAULT;
    spin_lock(&d->lock);
    nr = d->nr_memory_map;
    map.nr_entries = MIN(map.nr_entries, nr);
    if (nr)
        memcpy(entries, d->memory_map, map.nr_entries * E820_BYTES);
    spin_unlock(&d->lock);
    if (nr == 0)
        return -ENOSYS;
    return copy_to_guest(GVA_OF(map.buffer), entries, map.nr_entries * E820_BYTES)
               ?: copy_to_guest(arg, &map.nr_entries, sizeof(map.nr_entries));
}

static long op_machine_memory_map(guest_va_t arg)
{
    struct xen_memory_map map;

    if (policy_check(current->domain, NULL, RIGHT_MACHINE))
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
 * decrease_reservation, populate_physmap: the number of extents done (also after a fault or when memory
 *   is out); -ESRCH, -EPERM.
 * exchange, claim_pages, (set_)memory_map, machine_memory_map, acquire_resource: see there.
 * maximum_ram_page, machphys_mapping, machphys_mfn_list (see M2P_GFN): 0 or -EFAULT.
 * current_reservation, maximum_reservation, maximum_gpfn: pages, a pfn; -EFAULT, -ESRCH, -EPERM.
 * get_sharing_*_pages: 0, none is shared. get_vnumainfo: -EOPNOTSUPP.
 * All others -ENOSYS: increase_reservation (populate_physmap does that, too), add_to_physmap and its kin, *_pod_target, sharing, paging, access are for guests with
 *   translated memory.
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
    case XENMEM_maximum_reservation:
    case XENMEM_maximum_gpfn: return op_about_domain(sub, _gva(arg));
    case XENMEM_claim_pages: return op_claim_pages(_gva(arg));
    case XENMEM_machphys_mfn_list: return op_machphys_mfn_list(_gva(arg));
    case XENMEM_memory_map: return op_memory_map(_gva(arg));
    case XENMEM_set_memory_map: return op_set_memory_map(_gva(arg));
    case XENMEM_acquire_resource: return op_acquire_resource(_gva(arg));
    case XENMEM_get_vnumainfo: return -EOPNOTSUPP; /* nobody has virtual NUMA nodes */
    case XENMEM_get_sharing_freed_pages:
    case XENMEM_get_sharing_shared_pages: return 0;
    case XENMEM_machphys_mapping: return copy_to_guest(_gva(arg), &machphys, sizeof(machphys));
    case XENMEM_machine_memory_map: return op_machine_memory_map(_gva(arg));
    default: return -ENOSYS;
    }
}
