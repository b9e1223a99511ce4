/*
 * xengnttab.h on the runtime. A mapping is unmapped as it was mapped, whole; anything else is EINVAL.
 * xengntshr_unshare() of pages that the other domain has still mapped is EBUSY, they stay what they were,
 * and it may be called again (Linux says yes and waits); xengntshr_close() leaves such pages shared for good.
 * If xengnttab_grant_copy() fails, segments before the one that is wrong may have been copied, as on Linux.
 * Not provided: xengnttab_fd(), xengntshr_fd(), xengnttab_set_max_grants(), both functions with
 * notification (..._notify()), and those of dma-bufs.
 */
#include <xengnttab.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <rt/grant.h>
#include <rt/group.h>
#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/thread.h>

#include "frame_of.h"
#include "internal.h"

/* What is mapped, or shared. */
struct pages {
    struct pages *next;
    char *va;
    uint32_t nr;
    uint32_t numbers
        []; /* the mappings' handles; or the references, 0: that page is not shared any more */
};

struct xengntdev_handle {
    struct owned owner; /* the first member */
    struct mutex lock;  /* guards the list */
    struct pages *list;
};

static int failed(int error)
{
    errno = error;
    return -1;
}

static struct xengntdev_handle *open_handle(unsigned open_flags, void (*release)(struct owned *o))
{
    RUNTIME_SECTION;
    struct xengntdev_handle *h = NULL;

    if (open_flags == 0)
        h = calloc(1, sizeof(*h));
    else
        errno = EINVAL;
    if (h)
        owned_add(&h->owner, release);
    return h;
}

static struct pages *pages_new(uint64_t nr)
{
    struct pages *p = calloc(1, sizeof(*p) + nr * sizeof(p->numbers[0]));

    if (p)
        p->nr = (uint32_t)nr;
    return p;
}

static void list_add(struct xengntdev_handle *h, struct pages *p)
{
    mutex_lock(&h->lock);
    p->next = h->list;
    h->list = p;
    mutex_unlock(&h->lock);
}

/* Taken out. NULL with errno: nothing begins there that has this length. */
static struct pages *list_take(struct xengntdev_handle *h, const void *va, uint32_t nr)
{
    struct pages **at, *p;

    mutex_lock(&h->lock);
    for (at = &h->list; (p = *at) != NULL; at = &p->next)
        if (p->va == va && p->nr == nr)
            break;
    if (p)
        *at = p->next;
    mutex_unlock(&h->lock);
    if (p == NULL)
        errno = EINVAL;
    return p;
}

/* Whatever is left in it ends. */
static int close_handle(struct xengntdev_handle *h, int (*end)(struct pages *p))
{
    RUNTIME_SECTION;
    int rc = 0;

    if (h == NULL)
        return 0;
    owned_remove(&h->owner);
    for (struct pages *p = h->list, *next; p; p = next) {
        next = p->next;
        rc |= end(p);
    }
    free(h);
    return rc;
}

/* ---- what others grant ---- */

static int unmap(struct pages *p)
{
    long rc = grants_unmap(p->va, p->numbers, p->nr);

    free(p);
    return rc ? failed(xen_errno(rc)) : 0;
}

int xengnttab_close(xengnttab_handle *xgt) { return close_handle(xgt, unmap); }

static void release_mapped(struct owned *o) { close_handle((struct xengntdev_handle *)o, unmap); }

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    return open_handle(open_flags, release_mapped);
}

/* domids NULL: all of domid. */
static void *map(xengnttab_handle *xgt, uint32_t count, uint32_t domid, const uint32_t *domids,
                 const uint32_t *refs, int prot)
{
    RUNTIME_SECTION;
    struct pages *p;
    domid_t *doms;
    bool ok;

    if (count == 0 || pte_prot(prot) == 0) {
        errno = EINVAL;
        return NULL;
    }
    p = pages_new(count);
    doms = calloc(count, sizeof(*doms));
    ok = p && doms;
    for (uint32_t i = 0; ok && i < count; i++) {
        uint32_t id = domids ? domids[i] : domid;

        doms[i] = (domid_t)id;
        if (id > UINT16_MAX) {
            errno = ESRCH;
            ok = false;
        }
    }
    if (ok)
        p->va = grants_map_each(doms, refs, count, !(prot & PROT_WRITE), p->numbers);
    free(doms);
    if (ok && p->va) {
        list_add(xgt, p);
        return p->va;
    }
    free(p);
    return NULL;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domid, uint32_t ref, int prot)
{
    return map(xgt, 1, domid, NULL, &ref, prot);
}

void *xengnttab_map_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t *domids,
                               uint32_t *refs, int prot)
{
    return map(xgt, count, 0, domids, refs, prot);
}

void *xengnttab_map_domain_grant_refs(xengnttab_handle *xgt, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    return map(xgt, count, domid, NULL, refs, prot);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *start_address, uint32_t count)
{
    RUNTIME_SECTION;
    struct pages *p = list_take(xgt, start_address, count);

    return p ? unmap(p) : -1;
}

/* ---- copies ---- */

enum { COPIES = 64, TABLE_BYTES = 2 << 20 };

uint64_t frame_elsewhere(struct table *t, const char *virt)
{
    uintptr_t va = (uintptr_t)virt & ~(uintptr_t)(TABLE_BYTES - 1);
    uint64_t pte;

    if (t->entries == NULL || t->va != va) {
        t->entries = pte_of((void *)va, 1);
        t->va = va;
        if (t->entries == NULL)
            return P2M_NONE;
    }
    pte = t->entries[(uintptr_t)virt % TABLE_BYTES / PAGE_BYTES];
    return pte & PTE_PRESENT ? (pte & PTE_FRAME) / PAGE_BYTES : P2M_NONE;
}

/* One side of a piece: a grant, or memory of ours, of which nothing crosses a page. False: nothing is there. */
static inline __attribute__((always_inline)) bool copy_side(struct table *t,
                                                            struct gnttab_copy_ptr *to,
                                                            const union xengnttab_copy_ptr *from,
                                                            bool foreign, uint32_t done)
{
    const char *virt = (const char *)from->virt + done;

    if (foreign) {
        to->u.ref = from->foreign.ref;
        to->domid = from->foreign.domid;
        to->offset = (uint16_t)(from->foreign.offset + done);
        return true;
    }
    to->u.gmfn = frame_of(t, virt);
    to->domid = DOMID_SELF;
    to->offset = (uintptr_t)virt % PAGE_BYTES;
    return to->u.gmfn != P2M_NONE;
}

static inline __attribute__((always_inline)) bool
copy_piece(struct table *t, struct gnttab_copy *op, const xengnttab_grant_copy_segment_t *s,
           bool from, bool to, uint32_t done, uint32_t len)
{
    op->len = (uint16_t)len;
    op->flags = (from ? GNTCOPY_source_gref : 0) | (to ? GNTCOPY_dest_gref : 0);
    op->status = GNTST_general_error; /* until it is done */
    return copy_side(t, &op->source, &s->source, from, done) &&
           copy_side(t, &op->dest, &s->dest, to, done);
}

static inline bool in_page(const union xengnttab_copy_ptr *grant, uint32_t len)
{
    return grant->foreign.offset + len <= PAGE_BYTES;
}

/* How much of it is in the page where its first byte is. */
static inline uint32_t page_piece(const char *virt, uint32_t len)
{
    uint32_t most = (uint32_t)(PAGE_BYTES - (uintptr_t)virt % PAGE_BYTES);

    return len < most ? len : most;
}

/* In as many pieces as it has pages of our memory: two, at most. from, to: that side is a grant. How many, or -1 with errno. */
static inline __attribute__((always_inline)) int
copy_pieces(struct table *t, struct gnttab_copy *ops, const xengnttab_grant_copy_segment_t *s,
            bool from, bool to)
{
    uint32_t len = s->len, first = len;

    if ((from && !in_page(&s->source, len)) || (to && !in_page(&s->dest, len)))
        return failed(EINVAL);
    if (len == 0)
        return 0;
    if (!from)
        first = page_piece(s->source.virt, len);
    if (!to)
        first = page_piece(s->dest.virt, len);
    if (!copy_piece(t, ops, s, from, to, 0, first))
        return failed(EFAULT);
    if (first == len)
        return 1;
    return copy_piece(t, ops + 1, s, from, to, first, len - first) ? 2 : failed(EFAULT);
}

/* A segment's status is that of its first piece that failed. 0, or -1 with errno. */
static int copies_go(struct gnttab_copy *ops, xengnttab_grant_copy_segment_t **of, unsigned int nr)
{
    long rc = nr ? grants_copy(ops, nr) : 0;

    if (rc == -38)
        return failed(ENOSYS);
    for (unsigned int i = 0; rc && i < nr; i++)
        if (of[i]->status == GNTST_okay)
            of[i]->status = ops[i].status;
    return 0;
}

int xengnttab_grant_copy(xengnttab_handle *xgt, uint32_t count,
                         xengnttab_grant_copy_segment_t *segs)
{
    struct gnttab_copy ops[COPIES];
    xengnttab_grant_copy_segment_t *of[COPIES], *end = segs + count; /* whose each piece is */
    struct table table = { .entries = NULL };
    unsigned int nr = 0;

    (void)xgt;
    for (; segs < end; segs++) {
        int n;

        if (nr > COPIES - 2) {
            if (copies_go(ops, of, nr))
                return -1;
            nr = 0;
        }
        segs->status = GNTST_okay;
        switch (segs->flags) { /* what is constant in each call is decided when this is compiled */
        case GNTCOPY_source_gref: n = copy_pieces(&table, ops + nr, segs, true, false); break;
        case GNTCOPY_dest_gref: n = copy_pieces(&table, ops + nr, segs, false, true); break;
        case GNTCOPY_source_gref | GNTCOPY_dest_gref:
            n = copy_pieces(&table, ops + nr, segs, true, true);
            break;
        default: n = failed(EINVAL);
        }
        if (n < 0)
            return -1;
        of[nr] = of[nr + 1] = segs;
        nr += (unsigned int)n;
    }
    return copies_go(ops, of, nr);
}

/* ---- what we grant ---- */

/* Freed if nobody has any of it mapped; else -1 with EBUSY. */
static int unshare(struct pages *p)
{
    bool busy = false;

    for (uint32_t i = 0; i < p->nr; i++)
        if (p->numbers[i] && grant_end(p->numbers[i]) == 0)
            p->numbers[i] = 0;
        else
            busy |= p->numbers[i] != 0;
    if (busy)
        return failed(EBUSY);
    page_free(p->va, p->nr);
    free(p);
    return 0;
}

int xengntshr_close(xengntshr_handle *xgs) { return close_handle(xgs, unshare); }

static void release_shared(struct owned *o) { close_handle((struct xengntdev_handle *)o, unshare); }

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    return open_handle(open_flags, release_shared);
}

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    RUNTIME_SECTION;
    struct pages *p;
    int rc = 0;

    if (count <= 0 || domid > UINT16_MAX) {
        errno = EINVAL;
        return NULL;
    }
    p = pages_new((uint64_t)count);
    if (p)
        p->va = page_alloc(p->nr);
    if (p == NULL || p->va == NULL) {
        free(p);
        errno = ENOMEM;
        return NULL;
    }
    for (uint32_t i = 0; i < p->nr && rc >= 0; i++) {
        rc = grant_access((domid_t)domid, virt_to_mfn(p->va + i * PAGE_BYTES), !writable);
        if (rc >= 0)
            refs[i] = p->numbers[i] = (grant_ref_t)rc;
    }
    if (rc >= 0) {
        list_add(xgs, p);
        return p->va;
    }
    if (unshare(p)) /* the other domain was faster; what it has is not anybody else's */
        list_add(xgs, p);
    errno = xen_errno(rc);
    return NULL;
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start_address, uint32_t count)
{
    RUNTIME_SECTION;
    struct pages *p = list_take(xgs, start_address, count);

    if (p == NULL)
        return -1;
    if (unshare(p) == 0)
        return 0;
    list_add(xgs, p);
    return -1;
}
