/*
 * xenforeignmemory.h on the runtime. A mapping outlives its handle, as on Linux, and ends by
 * xenforeignmemory_unmap() with its whole length, once; anything else is EINVAL. The errors of single
 * pages are negative, as Debian's library tells them, too. Where it is mapped is not the caller's to say:
 * an address without MAP_FIXED is a hint, with it EOPNOTSUPP.
 * Not provided: xenforeignmemory_restrict().
 */
#define __XEN_TOOLS__ 1 /* for acquire_resource */
#include <xenforeignmemory.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include <rt/group.h>
#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/thread.h>

#include <xen/memory.h>

#include "internal.h"

/* Nothing is kept in a handle. */
static struct xenforeignmemory_handle {
    char none;
} handle;

/* What is mapped; what others know as a resource's handle. */
struct xenforeignmemory_resource_handle {
    struct owned owner; /* the first member */
    struct xenforeignmemory_resource_handle *next;
    void *addr;
    size_t nr_pages;
};
typedef struct xenforeignmemory_resource_handle mapping_t;

static struct mutex lock; /* guards the list */
static mapping_t *mappings;

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    (void)logger;
    if (open_flags == 0)
        return &handle;
    errno = EINVAL;
    return NULL;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem)
{
    (void)fmem;
    return 0;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

/* ---- mappings ---- */

/* 0, or -1 with errno: what nobody can do, or means. */
static int check(uint32_t dom, int prot, int flags, size_t nr_pages)
{
    if (dom > UINT16_MAX)
        return failed(ESRCH);
    if (flags & MAP_FIXED)
        return failed(EOPNOTSUPP);
    return nr_pages && pte_prot(prot) ? 0 : failed(EINVAL);
}

static void release(struct owned *o);

static void add(mapping_t *m)
{
    owned_add(&m->owner, release);
    mutex_lock(&lock);
    m->next = mappings;
    mappings = m;
    mutex_unlock(&lock);
}

/* The one that is this one, or has this address and length: unmapped, and no more. */
static int end(const mapping_t *which, const void *addr, size_t nr_pages)
{
    RUNTIME_SECTION;
    mapping_t **at, *m;

    mutex_lock(&lock);
    for (at = &mappings; (m = *at) != NULL; at = &m->next)
        if (which ? m == which : m->addr == addr && m->nr_pages == nr_pages)
            break;
    if (m)
        *at = m->next;
    mutex_unlock(&lock);
    if (m == NULL)
        return failed(EINVAL);
    owned_remove(&m->owner);
    frames_unmap(m->addr, m->nr_pages);
    free(m);
    return 0;
}

static void release(struct owned *o) { end((mapping_t *)o, NULL, 0); }

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[/*pages*/], int err[/*pages*/])
{
    return xenforeignmemory_map2(fmem, dom, NULL, prot, 0, pages, arr, err);
}

/* Of all the pages' errors, Xen's, makes ours. Returns the first, above 0; 0: there is none. */
static int translate(int *err, size_t nr_pages)
{
    int first = 0;

    for (size_t i = 0; i < nr_pages; i++) {
        if (err[i])
            err[i] = -xen_errno(err[i]);
        if (first == 0)
            first = -err[i];
    }
    return first;
}

void *xenforeignmemory_map2(xenforeignmemory_handle *fmem, uint32_t dom, void *addr, int prot,
                            int flags, size_t pages, const xen_pfn_t arr[/*pages*/],
                            int err[/*pages*/])
{
    RUNTIME_SECTION;
    mapping_t *m;
    int *errs, first = 0;

    (void)fmem;
    (void)addr;
    if (check(dom, prot, flags, pages))
        return NULL;
    m = malloc(sizeof(*m));
    errs = err ? err : calloc(pages, sizeof(*errs));
    if (m == NULL || errs == NULL)
        first = ENOMEM;
    else if ((addr = frames_map_each((domid_t)dom, arr, pages, pte_prot(prot), errs)) == NULL)
        first = errno;
    if (first == 0) {
        first = translate(errs, pages);
        *m = (mapping_t){ .addr = addr, .nr_pages = pages };
        add(m);
        if (err) /* it is the caller's to look */
            return addr;
        m = NULL;
        if (first)
            end(NULL, addr, pages);
    }
    if (errs != err)
        free(errs);
    free(m);
    if (first == 0)
        return addr;
    errno = first;
    return NULL;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    (void)fmem;
    return end(NULL, addr, pages);
}

/* ---- resources ---- */

/* 0, or -1 with errno. */
static int acquire(struct xen_mem_acquire_resource *r)
{
    long rc = hc(memory_op, XENMEM_acquire_resource, r);

    return rc < 0 ? failed(xen_errno(rc)) : 0;
}

xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
                              unsigned int id, unsigned long frame, unsigned long nr_frames,
                              void **paddr, int prot, int flags)
{
    RUNTIME_SECTION;
    struct xen_mem_acquire_resource r = {
        .domid = domid, .type = (uint16_t)type, .id = id, .frame = frame
    };
    mapping_t *m = NULL;
    xen_pfn_t *list = NULL;

    (void)fmem;
    if (check(domid, prot, flags, nr_frames))
        return NULL;
    if (type > UINT16_MAX || nr_frames > UINT32_MAX) {
        errno = EINVAL;
        return NULL;
    }
    r.nr_frames = (uint32_t)nr_frames;
    m = malloc(sizeof(*m));
    list = calloc(nr_frames, sizeof(*list));
    set_xen_guest_handle(r.frame_list, list);
    if (m && list && acquire(&r) == 0) {
        *m = (mapping_t){ .nr_pages = nr_frames };
        m->addr = frames_map(domid, list, nr_frames, pte_prot(prot));
        if (m->addr) {
            *paddr = m->addr;
            free(list);
            add(m);
            return m;
        }
    }
    free(list);
    free(m);
    return NULL;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    (void)fmem;
    return fres ? end(fres, NULL, 0) : 0;
}

int xenforeignmemory_resource_size(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
                                   unsigned int id, size_t *size)
{
    struct xen_mem_acquire_resource r = { .domid = domid, .type = (uint16_t)type, .id = id };

    (void)fmem;
    if (type > UINT16_MAX)
        return failed(EINVAL);
    if (acquire(&r))
        return -1;
    *size = r.nr_frames * PAGE_BYTES;
    return 0;
}
