/*
 * xencall.h on the runtime: a hypercall is a hypercall, and all memory may be its argument.
 * Not provided: xencall_fd(), there is no descriptor.
 */
#include <xencall.h>

#include <errno.h>
#include <stdlib.h>

#include <rt/group.h>
#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/thread.h>

/* Nothing is kept in a handle. */
static struct xencall_handle {
    char none;
} handle;

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    (void)logger;
    if (open_flags & ~XENCALL_OPENFLAG_NON_REENTRANT) {
        errno = EINVAL;
        return NULL;
    }
    return &handle;
}

int xencall_close(xencall_handle *xcall)
{
    (void)xcall;
    return 0;
}

/* ---- calls ---- */

static long result(long rc)
{
    if (rc >= 0)
        return rc;
    errno = xen_errno(rc);
    return -1;
}

int xencall0(xencall_handle *xcall, unsigned int op) { return xencall5(xcall, op, 0, 0, 0, 0, 0); }

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    return xencall5(xcall, op, arg1, 0, 0, 0, 0);
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    return xencall5(xcall, op, arg1, arg2, 0, 0, 0);
}

int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    return xencall5(xcall, op, arg1, arg2, arg3, 0, 0);
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    return xencall5(xcall, op, arg1, arg2, arg3, arg4, 0);
}

int xencall5(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4, uint64_t arg5)
{
    (void)xcall;
    if (op >= PAGE_BYTES / 32) /* behind the hypercall page */
        return (int)result(-38);
    return (int)result(hypercall5(op, arg1, arg2, arg3, arg4, arg5));
}

long xencall2L(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    (void)xcall;
    if (op >= PAGE_BYTES / 32)
        return result(-38);
    return result(hypercall5(op, arg1, arg2, 0, 0, 0));
}

/* ---- buffers, zeroed as Debian's are ---- */

/* Pages, and whose they are. */
struct buffer {
    struct owned owner; /* the first member */
    struct buffer *next;
    void *va;
    size_t nr_pages;
};

static struct mutex lock; /* guards the list, and is held in a section only */
static struct buffer *buffers;

/* NULL: there is no such one. */
static struct buffer *buffer_take(const void *va)
{
    struct buffer **at = &buffers, *b;

    mutex_lock(&lock);
    while (*at && (*at)->va != va)
        at = &(*at)->next;
    b = *at;
    if (b)
        *at = b->next;
    mutex_unlock(&lock);
    return b;
}

static void buffer_release(struct owned *o)
{
    struct buffer *b = buffer_take(((struct buffer *)o)->va);

    page_free(b->va, b->nr_pages);
    free(b);
}

void *xencall_alloc_buffer_pages(xencall_handle *xcall, size_t nr_pages)
{
    RUNTIME_SECTION;
    struct buffer *b = calloc(1, sizeof(*b));
    void *va = b ? page_alloc(nr_pages) : NULL;

    (void)xcall;
    if (va == NULL) {
        free(b);
        errno = nr_pages ? ENOMEM : EINVAL;
        return NULL;
    }
    b->va = va;
    b->nr_pages = nr_pages;
    mutex_lock(&lock);
    b->next = buffers;
    buffers = b;
    mutex_unlock(&lock);
    owned_add(&b->owner, buffer_release);
    return va;
}

void xencall_free_buffer_pages(xencall_handle *xcall, void *p, size_t nr_pages)
{
    RUNTIME_SECTION;
    struct buffer *b = p ? buffer_take(p) : NULL;

    (void)xcall;
    (void)nr_pages;
    if (b == NULL)
        return;
    owned_remove(&b->owner);
    page_free(b->va, b->nr_pages);
    free(b);
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    (void)xcall;
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    (void)xcall;
    free(p);
}

int xencall_buffers_never_fault(xencall_handle *xcall)
{
    (void)xcall;
    return 1;
}
