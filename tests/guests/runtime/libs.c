/*
 * The hypervisor's interface libraries on the runtime, as the initial domain: what they do, and what they
 * say to what is wrong. All is done several times over, and nothing stays behind.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/trap.h>
#include <rt/verdict.h>

#include <xen/domctl.h>
#include <xen/memory.h>
#include <xencall.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#include <evtchn_loop.h>

enum {
    NR_FRAMES = 16,         /* of the child */
    NOBODY = 77,            /* a domain that there is not */
    TOO_LARGE = 0x10000,    /* as a domain's number; its low half is the initial domain's */
    REF = 8,                /* the child's first reference */
    VIRQ_ONE = VIRQ_DOM_EXC /* a global one */
};
#define RW (PROT_READ | PROT_WRITE)

/* It fails as it says. */
#define CHECK_FAILS(call_, error) \
    ({                            \
        errno = 0;                \
        CHECK_EQ(call_, -1);      \
        CHECK_EQ(errno, error);   \
    })
#define CHECK_NULL(call_, error)        \
    ({                                  \
        errno = 0;                      \
        CHECK((void *)(call_) == NULL); \
        CHECK_EQ(errno, error);         \
    })

static xencall_handle *call;
static struct xen_domctl *op;

/* answer(), but once. */
static unsigned int nr_rounds;

static long told(const char *what, long got) { return nr_rounds ? got : answer(what, got); }

/* A domain that never runs. */
static domid_t child;
static xen_pfn_t frames[NR_FRAMES];

static bool is_mapped(const void *va)
{
    uint64_t v;

    return try_read64(va, &v) == 0;
}

/* ---- xencall.h ---- */

static int domctl(uint32_t cmd, domid_t id)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = id;
    return xencall1(call, __HYPERVISOR_domctl, (uintptr_t)op);
}

static void calls(void)
{
    char *pages;

    CHECK_NULL(xencall_open(NULL, 0xf0), EINVAL);
    call = xencall_open(NULL, 0);
    op = xencall_alloc_buffer(call, sizeof(*op));
    pages = xencall_alloc_buffer_pages(call, 2);
    if (call == NULL || op == NULL || pages == NULL)
        verdict_error("no memory");
    CHECK_EQ((uintptr_t)pages % 4096, 0);
    CHECK_EQ(pages[0] | pages[8191], 0);
    xencall_free_buffer_pages(call, pages, 2);
    xencall_free_buffer_pages(call, NULL, 1);
    CHECK_NULL(xencall_alloc_buffer_pages(call, 0), EINVAL);
    CHECK_EQ(xencall_buffers_never_fault(call), 1);

    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    CHECK_EQ(op->domain, 0);
    CHECK(op->u.getdomaininfo.tot_pages > 0);
    CHECK_FAILS(domctl(XEN_DOMCTL_pausedomain, NOBODY), ESRCH);
    CHECK_FAILS(xencall0(call, 63), ENOSYS);
    CHECK_FAILS(xencall5(call, 1u << 20, 0, 0, 0, 0, 0),
                ENOSYS); /* far behind the hypercall page */
    CHECK_FAILS(xencall2L(call, UINT32_MAX, 0, 0), ENOSYS);
    CHECK_FAILS(xencall2(call, __HYPERVISOR_memory_op, XENMEM_current_reservation, 0), EFAULT);
    CHECK(xencall2L(call, __HYPERVISOR_memory_op, XENMEM_maximum_ram_page, 0) > 0);
}

static void create_child(void)
{
    struct xen_memory_reservation r = { .nr_extents = NR_FRAMES };

    memset(op, 0, sizeof(*op));
    op->u.createdomain = (struct xen_domctl_createdomain){
        .max_vcpus = 1,
        .max_evtchn_port = 1023,
        .max_grant_frames = 4,
        .max_maptrack_frames = 4,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    if (domctl(XEN_DOMCTL_createdomain, 0))
        verdict_error("createdomain: %d", errno);
    r.domid = child = op->domain;
    op->u.max_vcpus.max = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_max_vcpus, child), 0);
    op->u.max_mem.max_memkb = NR_FRAMES * 4;
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem, child), 0);
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        frames[i] = i;
    set_xen_guest_handle(r.extent_start, frames);
    if (xencall2(call, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)&r) != NR_FRAMES)
        verdict_error("the child has no memory");
}

static bool child_is_there(void)
{
    return domctl(XEN_DOMCTL_getdomaininfo, child) == 0 && op->domain == child;
}

static void destroy_child(void)
{
    int rc;

    do
        rc = domctl(XEN_DOMCTL_destroydomain, child);
    while (rc && errno == EAGAIN);
    CHECK_EQ(rc, 0);
}

/* ---- xenevtchn.h ---- */

static unsigned int port_status(evtchn_port_t port)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = port };

    CHECK_EQ(xencall2(call, __HYPERVISOR_event_channel_op, EVTCHNOP_status, (uintptr_t)&s), 0);
    return s.status;
}

/* Two ports of ours that are each other's ends. */
static void bind_pair(xenevtchn_handle *a, xenevtchn_handle *b, evtchn_port_t ports[2])
{
    int one = xenevtchn_bind_unbound_port(a, 0), other;

    CHECK(one > 0);
    other = xenevtchn_bind_interdomain(b, 0, (evtchn_port_t)one);
    CHECK(other > 0);
    ports[0] = (evtchn_port_t)one;
    ports[1] = (evtchn_port_t)other;
}

/* What was pending when it was bound, and is not asked for. */
static void drain(xenevtchn_handle *h)
{
    for (int port; (port = xenevtchn_pending(h)) >= 0;)
        xenevtchn_unmask(h, (evtchn_port_t)port);
}

static void no_event(void *arg) { (void)arg; }

/* A handle in which xenevtchn_pending() does not wait, for checks that there is nothing. */
static xenevtchn_handle *open_events(struct plat_loop *l)
{
    xenevtchn_handle *h = xenevtchn_open(NULL, XENEVTCHN_NO_CLOEXEC);

    if (h == NULL)
        verdict_error("no memory");
    CHECK_EQ(evtchn_watch(l, h, no_event, NULL), 0);
    CHECK_FAILS(evtchn_watch(l, h, no_event, NULL), EBUSY);
    CHECK_EQ(evtchn_watch(l, h, NULL, NULL), 0);
    CHECK_EQ(evtchn_watch(l, h, NULL, NULL), 0);
    return h;
}

/* On one vCPU, where an event that is sent has come; with more, only what was waited for has. */
static void delivery(struct plat_loop *l)
{
    xenevtchn_handle *h = open_events(l);
    evtchn_port_t p[2], q[2], r[2];

    bind_pair(h, h, p);
    bind_pair(h, h, q);
    bind_pair(h, h, r);
    drain(h);
    CHECK_FAILS(xenevtchn_pending(h), EAGAIN);
    /* In the order in which they came, once. */
    CHECK_EQ(xenevtchn_notify(h, q[0]), 0);
    CHECK_EQ(xenevtchn_notify(h, p[1]), 0);
    CHECK_EQ(xenevtchn_notify(h, q[0]), 0);
    CHECK_EQ(xenevtchn_pending(h), q[1]);
    CHECK_EQ(xenevtchn_pending(h), p[0]);
    CHECK_FAILS(xenevtchn_pending(h), EAGAIN);
    /* The second of q[0] has waited for this, and others do not. */
    CHECK_EQ(xenevtchn_unmask(h, q[1]), 0);
    CHECK_EQ(xenevtchn_pending(h), q[1]);
    CHECK_EQ(xenevtchn_notify(h, p[1]), 0);
    CHECK_FAILS(xenevtchn_pending(h), EAGAIN);
    CHECK_EQ(xenevtchn_unmask(h, p[0]), 0);
    CHECK_EQ(xenevtchn_pending(h), p[0]);
    CHECK_EQ(xenevtchn_unmask(h, p[0]), 0);
    CHECK_EQ(xenevtchn_unmask(h, p[0]), 0);
    CHECK_EQ(xenevtchn_unmask(h, q[1]), 0);
    CHECK_FAILS(xenevtchn_pending(h), EAGAIN);
    /* Unmasked before it is taken, it is in the queue once all the same, where it was. */
    CHECK_EQ(xenevtchn_notify(h, p[1]), 0);
    CHECK_EQ(xenevtchn_notify(h, q[0]), 0);
    CHECK_EQ(xenevtchn_unmask(h, p[0]), 0);
    CHECK_EQ(xenevtchn_notify(h, p[1]), 0);
    CHECK_EQ(xenevtchn_pending(h), p[0]);
    CHECK_EQ(xenevtchn_pending(h), q[1]);
    CHECK_FAILS(xenevtchn_pending(h), EAGAIN);
    /* One that is gone is not delivered: the first, the last, behind which others come. */
    CHECK_EQ(xenevtchn_unmask(h, p[0]), 0);
    CHECK_EQ(xenevtchn_unmask(h, q[1]), 0);
    CHECK_EQ(xenevtchn_notify(h, q[0]), 0);
    CHECK_EQ(xenevtchn_notify(h, p[1]), 0);
    CHECK_EQ(xenevtchn_notify(h, p[0]), 0);
    CHECK_EQ(xenevtchn_unbind(h, q[1]), 0);
    CHECK_EQ(xenevtchn_unbind(h, p[1]), 0);
    CHECK_EQ(xenevtchn_notify(h, r[0]), 0);
    CHECK_EQ(xenevtchn_pending(h), p[0]);
    CHECK_EQ(xenevtchn_pending(h), r[1]);
    CHECK_FAILS(xenevtchn_pending(h), EAGAIN);
    CHECK_EQ(port_status(p[1]), EVTCHNSTAT_closed);
    CHECK_EQ(port_status(q[0]), EVTCHNSTAT_unbound);
    CHECK_EQ(told("libs.notify-unbound", xenevtchn_notify(h, q[0])), 0);
    CHECK_EQ(xenevtchn_close(h), 0);
    CHECK_EQ(port_status(p[0]), EVTCHNSTAT_closed);
    CHECK_EQ(port_status(q[0]), EVTCHNSTAT_closed);
}

static void events_refused(struct plat_loop *l)
{
    xenevtchn_handle *h = open_events(l), *other = open_events(l);
    evtchn_port_t p[2];
    int virq;

    CHECK_NULL(xenevtchn_open(NULL, 0xf0), EINVAL);
    CHECK_FAILS(xenevtchn_fd(h), ENOTSUP);
    bind_pair(h, h, p);
    CHECK_FAILS(xenevtchn_bind_interdomain(h, 0, p[0]), EINVAL); /* it has its end */
    CHECK_FAILS(xenevtchn_bind_interdomain(h, 0, UINT32_MAX), EINVAL);
    CHECK_FAILS(xenevtchn_bind_interdomain(h, NOBODY, 1), ESRCH);
    CHECK_FAILS(xenevtchn_bind_interdomain(h, TOO_LARGE, p[0]), ESRCH);
    CHECK_FAILS(xenevtchn_bind_unbound_port(h, TOO_LARGE), ESRCH);
    for (int i = 0; i < 3; i++) { /* another's, none, and none by far */
        evtchn_port_t port = i == 0 ? p[0] : i == 1 ? 1000 : UINT32_MAX;
        xenevtchn_handle *from = i == 0 ? other : h;

        CHECK_FAILS(xenevtchn_notify(from, port), ENOTCONN);
        CHECK_FAILS(xenevtchn_unmask(from, port), ENOTCONN);
        CHECK_FAILS(xenevtchn_unbind(from, port), ENOTCONN);
    }
    virq = xenevtchn_bind_virq(h, VIRQ_ONE);
    CHECK(virq > 0);
    CHECK_FAILS(xenevtchn_bind_virq(h, VIRQ_ONE), EEXIST);
    CHECK_FAILS(xenevtchn_bind_virq(other, VIRQ_ONE), EEXIST);
    CHECK_FAILS(xenevtchn_bind_virq(h, 1000), EINVAL);
    CHECK_FAILS(xenevtchn_notify(h, (evtchn_port_t)virq), EINVAL);
    CHECK_EQ(xenevtchn_unbind(h, (evtchn_port_t)virq), 0);
    CHECK_FAILS(xenevtchn_unbind(h, (evtchn_port_t)virq), ENOTCONN);
    CHECK_EQ(xenevtchn_close(h), 0);
    CHECK_EQ(xenevtchn_close(other), 0);
    CHECK_EQ(xenevtchn_close(NULL), 0);
}

/* Takes one event each time, as a program does that watches a descriptor. */
static struct watcher {
    struct plat_loop *loop;
    xenevtchn_handle *h;
    int taken[2];
    unsigned int nr;
} watcher;

static void on_ready(void *arg)
{
    struct watcher *w = arg;

    w->taken[w->nr] = xenevtchn_pending(w->h);
    if (w->taken[w->nr] > 0 && ++w->nr == 2)
        plat_loop_stop(w->loop);
}

static void too_late(void *arg)
{
    (void)arg;
    verdict_failure("the loop is not woken");
}

static void in_a_loop(struct plat_loop *l)
{
    struct plat_timer timer = { .fn = too_late };
    xenevtchn_handle *h = open_events(l);
    evtchn_port_t p[2];

    bind_pair(h, h, p);
    drain(h);
    plat_timer_set(l, &timer, plat_now() + 20 * NS_PER_S);
    for (int round = 0; round < 2; round++) { /* pending before it is watched, and after that */
        watcher = (struct watcher){ .loop = l, .h = h };
        if (round == 0) {
            xenevtchn_notify(h, p[0]);
            xenevtchn_notify(h, p[1]);
        }
        CHECK_EQ(evtchn_watch(l, h, on_ready, &watcher), 0);
        if (round == 1) {
            xenevtchn_notify(h, p[0]);
            xenevtchn_notify(h, p[1]);
        }
        CHECK_EQ(plat_loop_run(l), 0);
        CHECK((watcher.taken[0] == (int)p[1] && watcher.taken[1] == (int)p[0]) ||
              (watcher.taken[0] == (int)p[0] && watcher.taken[1] == (int)p[1]));
        xenevtchn_unmask(h, p[0]);
        xenevtchn_unmask(h, p[1]);
        if (round == 0)
            CHECK_EQ(evtchn_watch(l, h, NULL, NULL), 0);
    }
    plat_timer_cancel(&timer);
    CHECK_EQ(xenevtchn_close(h), 0); /* watched as it is */
}

/* Two threads send each other events, each waiting for the next, while a third binds and unbinds. */
enum { PINGS = 300 };

struct player {
    xenevtchn_handle *h;
    evtchn_port_t port;
};
static unsigned int nr_playing;

static void play(void *arg)
{
    struct player *p = arg;

    for (int i = 0; i < PINGS; i++) {
        CHECK_EQ(xenevtchn_pending(p->h), p->port);
        CHECK_EQ(xenevtchn_unmask(p->h, p->port), 0);
        CHECK_EQ(xenevtchn_notify(p->h, p->port), 0);
    }
    __atomic_fetch_sub(&nr_playing, 1, __ATOMIC_SEQ_CST);
}

static void several_threads(void)
{
    struct player players[2];
    struct thread *threads[2];
    evtchn_port_t p[2];
    unsigned int n = 0;

    for (int i = 0; i < 2; i++)
        if ((players[i].h = xenevtchn_open(NULL, 0)) == NULL)
            verdict_error("no memory");
    bind_pair(players[0].h, players[1].h,
              p); /* of which the second is pending, as the ABI has it */
    nr_playing = 2;
    for (int i = 0; i < 2; i++) {
        players[i].port = p[i];
        threads[i] = thread_create("player", play, &players[i]);
        if (threads[i] == NULL)
            verdict_error("no memory for a thread");
    }
    for (; __atomic_load_n(&nr_playing, __ATOMIC_SEQ_CST); n++) {
        xenevtchn_handle *h = xenevtchn_open(NULL, 0);

        if (h == NULL)
            verdict_error("no memory");
        bind_pair(h, h, p);
        xenevtchn_notify(h, p[0]);
        CHECK_EQ(xenevtchn_pending(h), p[1]);
        CHECK_EQ(xenevtchn_close(h), 0);
        thread_yield();
    }
    for (int i = 0; i < 2; i++) {
        thread_join(threads[i]);
        xenevtchn_close(players[i].h);
    }
    printf("%d events each way, %u pairs of ports meanwhile\n", PINGS, n);
}

static void events(void)
{
    struct plat_loop *l = plat_loop_new();

    if (l == NULL)
        verdict_error("no memory");
    if (nr_rounds == 0)
        delivery(l);
    events_refused(l);
    in_a_loop(l);
    plat_loop_free(l);
    several_threads();
}

/* ---- xenforeignmemory.h ---- */

static void map_and_unmap(xenforeignmemory_handle *fmem)
{
    xen_pfn_t own = virt_to_mfn(op);
    int err[NR_FRAMES];
    char *rw, *ro, *again;

    rw = xenforeignmemory_map(fmem, child, RW, NR_FRAMES, frames, err);
    ro = xenforeignmemory_map2(fmem, child, rw, PROT_READ, MAP_SHARED, 2, frames + 3, NULL);
    if (!CHECK(rw != NULL && ro != NULL))
        return;
    for (int i = 0; i < NR_FRAMES; i++) {
        CHECK_EQ(err[i], 0);
        rw[i * 4096 + i] = (char)(i + 1);
    }
    CHECK_EQ(ro[3], 4);
    CHECK_EQ(ro[4096 + 4], 5);
    CHECK_EQ(try_write64((uint64_t *)ro, 1), -14);

    CHECK_FAILS(xenforeignmemory_unmap(fmem, rw, NR_FRAMES - 1), EINVAL);
    CHECK_FAILS(xenforeignmemory_unmap(fmem, rw + 4096, NR_FRAMES - 1), EINVAL);
    CHECK_FAILS(xenforeignmemory_unmap(fmem, NULL, 0), EINVAL);
    CHECK(is_mapped(rw) && is_mapped(rw + (NR_FRAMES - 1) * 4096));
    CHECK_EQ(xenforeignmemory_unmap(fmem, rw, NR_FRAMES), 0);
    CHECK(!is_mapped(rw) && !is_mapped(rw + (NR_FRAMES - 1) * 4096));
    CHECK_FAILS(xenforeignmemory_unmap(fmem, rw, NR_FRAMES), EINVAL);
    CHECK_EQ(ro[3], 4);
    CHECK_EQ(xenforeignmemory_unmap(fmem, ro, 2), 0);

    again = xenforeignmemory_map(fmem, DOMID_SELF, PROT_READ, 1, &own, NULL);
    if (CHECK(again != NULL)) {
        CHECK_EQ(memcmp(again, (char *)((uintptr_t)op & -4096UL), 4096), 0);
        CHECK_EQ(xenforeignmemory_unmap(fmem, again, 1), 0);
    }
}

/* Holes in what is mapped, at each end and in the middle of what is done in one call. */
static void bad_frames(xenforeignmemory_handle *fmem)
{
    enum { NR = 130 };
    static const int bad_at[] = { 0, 1, 63, 64, 65, NR - 1 };
    static const uint64_t bad[] = { ~0UL, 1UL << 39, 1UL << 40, 1UL << 51, 1UL << 52 };
    xen_pfn_t arr[NR];
    int err[NR];
    char *m, *before;

    for (int i = 0; i < NR; i++)
        arr[i] = frames[i % NR_FRAMES];
    before = xenforeignmemory_map(fmem, child, RW, NR, arr, NULL);
    CHECK(before != NULL);
    CHECK_EQ(xenforeignmemory_unmap(fmem, before, NR), 0);
    for (unsigned int k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
        for (unsigned int i = 0; i < sizeof(bad_at) / sizeof(bad_at[0]); i++)
            arr[bad_at[i]] = bad[k] | frames[0];
        memset(err, 0x55, sizeof(err));
        m = xenforeignmemory_map(fmem, child, RW, NR, arr, err);
        if (!CHECK(m != NULL))
            return;
        for (int i = 0, at = 0; i < NR; i++) {
            bool is_bad = i == bad_at[at];

            at += is_bad;
            CHECK(is_bad ? err[i] < 0 : err[i] == 0);
            CHECK_EQ(is_mapped(m + i * 4096), !is_bad);
        }
        if (k == 0)
            told("libs.map-no-frame.error", err[0]);
        CHECK_EQ(xenforeignmemory_unmap(fmem, m, NR), 0);
        errno = 0;
        CHECK(xenforeignmemory_map(fmem, child, RW, NR, arr, NULL) == NULL);
        CHECK_EQ(errno, -err[0]);
    }
    CHECK(!is_mapped(before + 2 * 4096));
    CHECK_NULL(xenforeignmemory_map(fmem, NOBODY, RW, 2, frames, NULL), ESRCH);
    CHECK_NULL(xenforeignmemory_map(fmem, TOO_LARGE + child, RW, 2, frames, NULL), ESRCH);
    CHECK_NULL(xenforeignmemory_map(fmem, child, RW, 0, frames, NULL), EINVAL);
    CHECK_NULL(xenforeignmemory_map(fmem, child, PROT_NONE, 1, frames, NULL), EINVAL);
    CHECK_NULL(xenforeignmemory_map(fmem, child, RW, 1UL << 20, frames, err), ENOMEM);
    CHECK_NULL(xenforeignmemory_map2(fmem, child, m, RW, MAP_FIXED, 1, frames, NULL), EOPNOTSUPP);
    m = xenforeignmemory_map(fmem, NOBODY, RW, 2, frames, err);
    if (CHECK(m != NULL)) { /* all of it holes */
        CHECK_EQ(err[0], -ESRCH);
        CHECK_EQ(err[1], -ESRCH);
        CHECK(!is_mapped(m) && !is_mapped(m + 4096));
        CHECK_EQ(xenforeignmemory_unmap(fmem, m, 2), 0);
    }
    /* Not the child's; by our own number the ABI does not have it. */
    arr[0] = virt_to_mfn(op);
    errno = 0;
    CHECK(xenforeignmemory_map(fmem, child, PROT_READ, 1, arr, NULL) == NULL);
    told("libs.map-of-another.errno", errno);
    errno = 0;
    told("libs.map-own-number", xenforeignmemory_map(fmem, 0, PROT_READ, 1, arr, NULL) != NULL);
    told("libs.map-own-number.errno", errno);
}

static xenforeignmemory_resource_handle *table(xenforeignmemory_handle *fmem, domid_t domid,
                                               unsigned long frame, unsigned long nr, void **at)
{
    return xenforeignmemory_map_resource(fmem, domid, XENMEM_resource_grant_table,
                                         XENMEM_resource_grant_table_id_shared, frame, nr, at, RW,
                                         0);
}

static void resources(xenforeignmemory_handle *fmem)
{
    xenforeignmemory_resource_handle *h;
    void *at = NULL;
    size_t size = 0;

    CHECK_EQ(xenforeignmemory_resource_size(fmem, child, XENMEM_resource_grant_table,
                                            XENMEM_resource_grant_table_id_shared, &size),
             0);
    CHECK_EQ(size, 4 * 4096);
    CHECK_FAILS(xenforeignmemory_resource_size(fmem, NOBODY, XENMEM_resource_grant_table, 0, &size),
                ESRCH);
    CHECK_FAILS(xenforeignmemory_resource_size(fmem, child, 0x10001, 0, &size), EINVAL);
    told("libs.size-of-no-resource", xenforeignmemory_resource_size(fmem, child, 99, 0, &size));

    h = table(fmem, child, 0, 4, &at);
    if (!CHECK(h != NULL))
        return;
    CHECK(is_mapped((char *)at + 3 * 4096));
    CHECK_EQ(xenforeignmemory_unmap_resource(fmem, h), 0);
    CHECK(!is_mapped(at));
    CHECK_FAILS(xenforeignmemory_unmap_resource(fmem, h), EINVAL);
    CHECK_EQ(xenforeignmemory_unmap_resource(fmem, NULL), 0);
    CHECK_NULL(table(fmem, child, 0, 0, &at), EINVAL);
    CHECK_NULL(table(fmem, child, 0, 5, &at), EINVAL);
    CHECK_NULL(table(fmem, child, 3, 2, &at), EINVAL);
    CHECK_NULL(table(fmem, NOBODY, 0, 1, &at), ESRCH);
    CHECK_NULL(xenforeignmemory_map_resource(fmem, child, 99, 0, 0, 1, &at, RW, 0), EOPNOTSUPP);
    CHECK_NULL(xenforeignmemory_map_resource(fmem, child, 0x10001, 0, 0, 1, &at, RW, 0), EINVAL);
}

/* A frame that is mapped keeps its domain, beyond the handle, until it is unmapped. */
static void outlives(void)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    char *m = xenforeignmemory_map(fmem, child, RW, 1, frames, NULL);

    CHECK(m != NULL);
    CHECK_EQ(xenforeignmemory_close(fmem), 0);
    destroy_child();
    CHECK(child_is_there());
    m[0] = 1;
    CHECK_EQ(xenforeignmemory_unmap(fmem, m, 1), 0);
    for (int n = 0; child_is_there() && n < 100; n++)
        usleep(100000);
    CHECK(!child_is_there());
}

/* ---- xengnttab.h ---- */

static volatile grant_entry_v1_t *entries; /* the child's table */

static void grant(unsigned int ref, domid_t to, unsigned int frame, uint16_t flags)
{
    entries[ref].flags = 0;
    entries[ref].domid = to;
    entries[ref].frame = (uint32_t)frames[frame];
    __atomic_thread_fence(__ATOMIC_RELEASE);
    entries[ref].flags = flags;
}

static bool in_use(unsigned int ref)
{
    return (entries[ref].flags & (GTF_reading | GTF_writing)) != 0;
}

static void map_grants(xengnttab_handle *h)
{
    uint32_t refs[4] = { REF, REF + 1, REF + 2, REF + 3 }, doms[4] = { child, child, child, child };
    char *m, *ro;

    for (unsigned int i = 0; i < 3; i++)
        grant(REF + i, 0, i, GTF_permit_access);
    grant(REF + 3, 0, 3, GTF_permit_access | GTF_readonly);
    m = xengnttab_map_domain_grant_refs(h, 3, child, refs, RW);
    ro = xengnttab_map_grant_ref(h, child, REF + 3, PROT_READ);
    if (!CHECK(m != NULL && ro != NULL))
        return;
    m[2 * 4096 + 9] = 9;
    CHECK(in_use(REF + 2) && in_use(REF + 3));
    CHECK(is_mapped(ro));
    CHECK_EQ(try_write64((uint64_t *)ro, 1), -14);
    CHECK_FAILS(xengnttab_unmap(h, m, 2), EINVAL);
    CHECK_FAILS(xengnttab_unmap(h, m + 4096, 2), EINVAL);
    CHECK_FAILS(xengnttab_unmap(h, NULL, 1), EINVAL);
    CHECK_EQ(m[2 * 4096 + 9], 9);
    CHECK_EQ(xengnttab_unmap(h, m, 3), 0);
    CHECK(!is_mapped(m) && !in_use(REF) && !in_use(REF + 2));
    CHECK_FAILS(xengnttab_unmap(h, m, 3), EINVAL);

    CHECK_NULL(xengnttab_map_grant_refs(h, 4, doms, refs, RW), EINVAL); /* one is read-only */
    CHECK_NULL(xengnttab_map_grant_ref(h, child, 400, RW), EINVAL);     /* none */
    refs[1] = 1u << 30;
    CHECK_NULL(xengnttab_map_domain_grant_refs(h, 3, child, refs, RW), EINVAL);
    refs[1] = REF + 1;
    doms[1] = TOO_LARGE + child;
    CHECK_NULL(xengnttab_map_grant_refs(h, 3, doms, refs, RW), ESRCH);
    doms[1] = NOBODY;
    CHECK_NULL(xengnttab_map_grant_refs(h, 3, doms, refs, RW), ESRCH);
    CHECK_NULL(xengnttab_map_grant_refs(h, 0, doms, refs, RW), EINVAL);
    CHECK_NULL(xengnttab_map_grant_ref(h, child, REF, PROT_NONE), EINVAL);
    CHECK(!in_use(REF) && !in_use(REF + 1) && !in_use(REF + 2));
    CHECK(in_use(REF + 3)); /* the handle's end ends it */
}

static void copy_grants(xengnttab_handle *h)
{
    char *two = page_alloc(2);
    xengnttab_grant_copy_segment_t s[2] = { 0 };

    if (two == NULL)
        verdict_error("no memory");
    strcpy(two + 4096 - 8, "across the page's end");
    s[0].source.virt = two + 4096 - 8;
    s[0].dest.foreign.ref = REF;
    s[0].dest.foreign.domid = child;
    s[0].dest.foreign.offset = 4096 - 22;
    s[0].len = 22;
    s[0].flags = GNTCOPY_dest_gref;
    s[1].source.foreign = s[0].dest.foreign;
    s[1].dest.virt = two + 100;
    s[1].len = 22;
    s[1].flags = GNTCOPY_source_gref;
    CHECK_EQ(xengnttab_grant_copy(h, 2, s), 0);
    CHECK_EQ(s[0].status, GNTST_okay);
    CHECK_EQ(s[1].status, GNTST_okay);
    CHECK(strcmp(two + 100, "across the page's end") == 0);
    two[100] = 0;

    s[0].dest.foreign.ref = 400; /* one that is refused does not keep others from being done */
    CHECK_EQ(xengnttab_grant_copy(h, 2, s), 0);
    CHECK(s[0].status < 0);
    CHECK_EQ(s[1].status, GNTST_okay);
    CHECK_EQ(two[100], 'a');
    s[0].dest.foreign.ref = REF;
    s[0].len = 23;
    CHECK_FAILS(xengnttab_grant_copy(h, 2, s), EINVAL);
    s[0].len = 22;
    s[0].flags = 0;
    CHECK_FAILS(xengnttab_grant_copy(h, 1, s), EINVAL);
    s[0].flags = GNTCOPY_dest_gref;
    s[0].source.virt = (void *)(MAP_BASE + (1UL << 40));
    CHECK_FAILS(xengnttab_grant_copy(h, 1, s), EFAULT);
    CHECK_EQ(xengnttab_grant_copy(h, 0, s), 0);
    page_free(two, 2);
}

static void share(xengnttab_handle *h)
{
    xengntshr_handle *shr = xengntshr_open(NULL, 0);
    uint32_t refs[3], doms[3] = { 0, child, 0 };
    char *own, *m;

    CHECK_NULL(xengntshr_open(NULL, 1), EINVAL);
    if (shr == NULL)
        verdict_error("no memory");
    CHECK_NULL(xengntshr_share_pages(shr, 0, 0, refs, 1), EINVAL);
    CHECK_NULL(xengntshr_share_pages(shr, 0, -1, refs, 1), EINVAL);
    CHECK_NULL(xengntshr_share_pages(shr, TOO_LARGE, 1, refs, 1), EINVAL);
    own = xengntshr_share_pages(shr, 0, 2, refs, 1);
    if (!CHECK(own != NULL))
        return;
    refs[2] = refs[1];
    refs[1] = REF + 1;
    m = xengnttab_map_grant_refs(h, 3, doms, refs, RW); /* ours, the child's, ours */
    if (!CHECK(m != NULL))
        return;
    strcpy(m, "one");
    strcpy(m + 2 * 4096, "two");
    CHECK(strcmp(own, "one") == 0 && strcmp(own + 4096, "two") == 0);
    CHECK(in_use(REF + 1));
    CHECK_FAILS(xengntshr_unshare(shr, own, 1), EINVAL);
    CHECK_FAILS(xengntshr_unshare(shr, own, 2), EBUSY);
    CHECK(strcmp(own, "one") == 0);
    CHECK_EQ(xengnttab_unmap(h, m, 3), 0);
    CHECK_EQ(xengntshr_unshare(shr, own, 2), 0);
    CHECK_FAILS(xengntshr_unshare(shr, own, 2), EINVAL);
    CHECK_NULL(xengnttab_map_grant_ref(h, 0, refs[0], RW), EINVAL);

    own = xengntshr_share_pages(shr, 0, 1, refs, 0);
    CHECK(own != NULL);
    CHECK_NULL(xengnttab_map_grant_ref(h, 0, refs[0], RW), EINVAL);
    CHECK_EQ(xengntshr_close(shr), 0);
    CHECK_NULL(xengnttab_map_grant_ref(h, 0, refs[0], PROT_READ), EINVAL);
    CHECK_EQ(xengntshr_close(NULL), 0);
}

static void grants(xenforeignmemory_handle *fmem)
{
    xengnttab_handle *h = xengnttab_open(NULL, 0);
    xenforeignmemory_resource_handle *resource;
    void *at = NULL;

    CHECK_NULL(xengnttab_open(NULL, 1), EINVAL);
    resource = table(fmem, child, 0, 1, &at);
    if (h == NULL || resource == NULL)
        verdict_error("no table of grants");
    entries = at;
    map_grants(h);
    copy_grants(h);
    share(h);
    CHECK(in_use(REF + 3));
    CHECK_EQ(xengnttab_close(h), 0);
    CHECK(!in_use(REF + 3));
    CHECK_EQ(xengnttab_close(NULL), 0);
    CHECK_EQ(xenforeignmemory_unmap_resource(fmem, resource), 0);
}

int main(void)
{
    xenforeignmemory_handle *fmem = xenforeignmemory_open(NULL, 0);
    size_t free_before = 0;

    CHECK_NULL(xenforeignmemory_open(NULL, 1), EINVAL);
    for (; nr_rounds < 4; nr_rounds++) {
        if (nr_rounds == 1)
            printf("%u vCPUs\n", cpus_start());
        calls();
        create_child();
        events();
        map_and_unmap(fmem);
        bad_frames(fmem);
        resources(fmem);
        grants(fmem);
        outlives();
        xencall_free_buffer(call, op);
        if (nr_rounds == 1) /* the tables and the heap are as large as they become */
            free_before = page_nr_free();
    }
    CHECK_EQ(page_nr_free(), free_before);
    return verdict();
}
