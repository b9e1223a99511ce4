/*
 * Grants. The table's frames belong to the hypervisor and are mapped one by one as it grows. Only the
 * flags of an entry are written by both sides, so they are changed by compare-and-exchange; what else
 * is in an entry is ours while it is free, and there is the list of the free ones.
 */
#include <errno.h>

#include <rt/grant.h>
#include <rt/hypercall.h>
#include <rt/memory.h>

#include "internal.h"

enum { ENTRIES = PAGE_BYTES / sizeof(struct grant_entry_v1), BATCH = 32, NOT_DONE = 1 };

/* Frames are added under both locks, and never go: a number below nr_frames is safe to look up. */
static struct grant_entry_v1 *table[MAX_GRANT_FRAMES];
static uint32_t nr_frames;
static struct mutex grow_lock;    /* held while the table grows; taken before free_lock */
static struct spinlock free_lock; /* guards first_free and the list */
static grant_ref_t first_free;    /* a free entry's frame is the next one; 0: the end */

static long errno_of(int status)
{
    switch (status) {
    case GNTST_okay: return 0;
    case GNTST_permission_denied: return -1;
    case GNTST_bad_domain: return -3;
    case GNTST_eagain: return -11;
    case GNTST_bad_virt_addr:
    case GNTST_bad_dev_addr: return -14;
    case GNTST_no_device_space:
    case GNTST_no_space: return -28;
    default: return -22;
    }
}

/* ---- our table ---- */

/* NULL: no such entry, or one of the toolstack's. */
static struct grant_entry_v1 *entry_of(grant_ref_t ref)
{
    if (ref < GNTTAB_NR_RESERVED_ENTRIES ||
        ref / ENTRIES >= __atomic_load_n(&nr_frames, __ATOMIC_ACQUIRE))
        return NULL;
    return &table[ref / ENTRIES][ref % ENTRIES];
}

static void entry_free(grant_ref_t ref)
{
    bool were_off = spin_lock(&free_lock);

    entry_of(ref)->frame = first_free;
    first_free = ref;
    spin_unlock(&free_lock, were_off);
}

static grant_ref_t entry_take(void)
{
    bool were_off = spin_lock(&free_lock);
    grant_ref_t ref = first_free;

    if (ref)
        first_free = entry_of(ref)->frame;
    spin_unlock(&free_lock, were_off);
    return ref;
}

long grant_table_size(uint32_t *nr, uint32_t *max)
{
    struct gnttab_query_size q = { .dom = DOMID_SELF };
    long rc = hc(grant_table_op, GNTTABOP_query_size, &q, 1);

    if (rc == 0)
        rc = errno_of(q.status);
    if (rc == 0) {
        *nr = q.nr_frames;
        *max = q.max_nr_frames;
    }
    return rc < 0 ? rc : 0;
}

/* One frame more. The hypervisor tells the frames from the first one on. */
static long table_grow(void)
{
    struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = nr_frames + 1 };
    xen_pfn_t mfns[MAX_GRANT_FRAMES];
    uint32_t now, max;
    long rc = grant_table_size(&now, &max);

    if (rc)
        return rc;
    if (nr_frames >= max || nr_frames == MAX_GRANT_FRAMES)
        return -28; /* Xen's ENOSPC */
    set_xen_guest_handle(s.frame_list, mfns);
    rc = hc(grant_table_op, GNTTABOP_setup_table, &s, 1);
    if (rc == 0)
        rc = errno_of(s.status);
    if (rc)
        return rc < 0 ? rc : -22;
    table[nr_frames] = frames_map(DOMID_SELF, &mfns[nr_frames], 1, PROT_KERNEL_RW | PTE_NX);
    if (table[nr_frames] == NULL)
        return -12; /* Xen's ENOMEM */
    __atomic_store_n(&nr_frames, nr_frames + 1, __ATOMIC_RELEASE);
    for (grant_ref_t ref = nr_frames * ENTRIES; ref-- > (nr_frames - 1) * ENTRIES;)
        if (ref >= GNTTAB_NR_RESERVED_ENTRIES)
            entry_free(ref);
    return 0;
}

static long ref_take(grant_ref_t *ref)
{
    long rc = 0;

    *ref = entry_take();
    if (*ref)
        return 0;
    runtime_lock(&grow_lock);
    while (rc == 0 && (*ref = entry_take()) == 0) /* another thread may have made it grow */
        rc = table_grow();
    runtime_unlock(&grow_lock);
    return rc;
}

int grant_access(domid_t to, uint64_t mfn, bool read_only)
{
    uint16_t flags = GTF_permit_access | (read_only ? GTF_readonly : 0);
    struct grant_entry_v1 *e;
    grant_ref_t ref;
    long rc;

    if (mfn > UINT32_MAX)
        return -22;
    rc = ref_take(&ref);
    if (rc)
        return (int)rc;
    e = entry_of(ref);
    e->domid = to;
    e->frame = (uint32_t)mfn;
    __atomic_store_n(&e->flags, flags, __ATOMIC_RELEASE); /* from here on it counts */
    return (int)ref;
}

long grant_end(grant_ref_t ref)
{
    struct grant_entry_v1 *e = entry_of(ref);
    uint16_t flags = e ? __atomic_load_n(&e->flags, __ATOMIC_SEQ_CST) : GTF_invalid;

    do {
        if ((flags & GTF_type_mask) != GTF_permit_access)
            return -22;
        if (flags & (GTF_reading | GTF_writing))
            return -16; /* Xen's EBUSY */
        /* should it come into use at this moment, the flags have changed, and we look again */
    } while (!__atomic_compare_exchange_n(&e->flags, &flags, GTF_invalid, false, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    entry_free(ref);
    return 0;
}

bool grant_in_use(grant_ref_t ref)
{
    struct grant_entry_v1 *e = entry_of(ref);
    uint16_t flags = e ? __atomic_load_n(&e->flags, __ATOMIC_SEQ_CST) : GTF_invalid;

    return (flags & GTF_type_mask) == GTF_permit_access &&
           (flags & (GTF_reading | GTF_writing)) != 0;
}

/* ---- others' grants ---- */

/* Up to BATCH of them. Returns 0 or -errno of the first that failed; mapped[] says which did not. */
static long map_batch(const domid_t *doms, const grant_ref_t *refs, size_t nr, uint32_t flags,
                      uint64_t va, grant_handle_t *handles, bool *mapped)
{
    struct gnttab_map_grant_ref ops[BATCH];
    long rc;

    for (size_t i = 0; i < nr; i++)
        ops[i] = (struct gnttab_map_grant_ref){ .host_addr = va + i * PAGE_BYTES,
                                                .flags = flags,
                                                .ref = refs[i],
                                                .dom = doms[i],
                                                .status = NOT_DONE };
    rc = hc(grant_table_op, GNTTABOP_map_grant_ref, ops, nr);
    for (size_t i = 0; i < nr; i++) {
        mapped[i] = ops[i].status == GNTST_okay;
        handles[i] = ops[i].handle;
        if (rc == 0 && !mapped[i])
            rc = errno_of(ops[i].status);
    }
    return rc;
}

/* Up to BATCH; those with mapped[] (NULL: all). */
static long unmap_batch(uint64_t va, const grant_handle_t *handles, size_t nr, const bool *mapped)
{
    struct gnttab_unmap_grant_ref ops[BATCH];
    size_t n = 0;
    long rc;

    for (size_t i = 0; i < nr; i++)
        if (mapped == NULL || mapped[i])
            ops[n++] = (struct gnttab_unmap_grant_ref){ .host_addr = va + i * PAGE_BYTES,
                                                        .handle = handles[i],
                                                        .status = NOT_DONE };
    rc = n ? hc(grant_table_op, GNTTABOP_unmap_grant_ref, ops, n) : 0;
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = errno_of(ops[i].status);
    return rc;
}

static size_t batch(size_t left) { return left < BATCH ? left : BATCH; }

/* each NULL: dom grants all. */
static void *map(domid_t dom, const domid_t *each, const grant_ref_t *refs, size_t nr,
                 bool read_only, grant_handle_t *handles)
{
    uint32_t flags = GNTMAP_host_map | (read_only ? GNTMAP_readonly : 0);
    char *va = maps_reserve(nr);
    domid_t doms[BATCH];
    bool mapped[BATCH];
    size_t done = 0;
    long rc = 0, undone = 0;

    if (va == NULL)
        return NULL;
    while (done < nr && rc == 0) {
        size_t n = batch(nr - done);
        uint64_t at = (uint64_t)va + done * PAGE_BYTES;

        for (size_t i = 0; i < n; i++)
            doms[i] = each ? each[done + i] : dom;
        rc = map_batch(doms, refs + done, n, flags, at, handles + done, mapped);
        if (rc == 0)
            done += n;
        else
            undone = unmap_batch(at, handles + done, n, mapped);
    }
    if (rc == 0)
        return va;
    for (size_t i = 0, n; i < done && undone == 0; i += n) {
        n = batch(done - i);
        undone = unmap_batch((uint64_t)va + i * PAGE_BYTES, handles + i, n, NULL);
    }
    if (undone == 0)
        maps_release(va, nr);
    errno = xen_errno(rc);
    return NULL;
}

void *grants_map(domid_t dom, const grant_ref_t *refs, size_t nr, bool read_only,
                 grant_handle_t *handles)
{
    return map(dom, NULL, refs, nr, read_only, handles);
}

void *grants_map_each(const domid_t *doms, const grant_ref_t *refs, size_t nr, bool read_only,
                      grant_handle_t *handles)
{
    return map(0, doms, refs, nr, read_only, handles);
}

long grants_unmap(void *va, const grant_handle_t *handles, size_t nr)
{
    long rc = 0;

    for (size_t i = 0, n; i < nr; i += n) {
        long one;

        n = batch(nr - i);
        one = unmap_batch((uint64_t)va + i * PAGE_BYTES, handles + i, n, NULL);
        if (rc == 0)
            rc = one;
    }
    if (rc == 0)
        maps_release(va, nr);
    return rc;
}

long grants_copy(struct gnttab_copy *ops, size_t nr)
{
    const struct gnttab_copy *end = ops + nr;
    long rc = hc(grant_table_op, GNTTABOP_copy, ops, nr);

    if (rc)
        return rc;
    while (ops < end && ops->status == GNTST_okay)
        ops++;
    return ops < end ? errno_of(ops->status) : 0;
}

long grant_copy_from(domid_t dom, grant_ref_t ref, uint16_t ref_offset, uint64_t mfn,
                     uint16_t offset, uint16_t len)
{
    struct gnttab_copy op = { .source = { .u.ref = ref, .domid = dom, .offset = ref_offset },
                              .dest = { .u.gmfn = mfn, .domid = DOMID_SELF, .offset = offset },
                              .len = len,
                              .flags = GNTCOPY_source_gref };

    return grants_copy(&op, 1);
}

long grant_copy_to(domid_t dom, grant_ref_t ref, uint16_t ref_offset, uint64_t mfn, uint16_t offset,
                   uint16_t len)
{
    struct gnttab_copy op = { .source = { .u.gmfn = mfn, .domid = DOMID_SELF, .offset = offset },
                              .dest = { .u.ref = ref, .domid = dom, .offset = ref_offset },
                              .len = len,
                              .flags = GNTCOPY_dest_gref };

    return grants_copy(&op, 1);
}
