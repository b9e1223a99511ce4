#include "xenstore_ring.h"

#include <errno.h>
#include <platform.h>
#include <string.h>
#include <xenstore_lib.h>

#include <rt/event.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <xen/io/xs_wire.h>

_Static_assert((XENSTORE_RING_SIZE & (XENSTORE_RING_SIZE - 1)) == 0, "a mask");

/* Our indices are here; of the store's each is read once, and checked. */
static struct {
    volatile struct xenstore_domain_interface *page;
    uint32_t req_prod, rsp_cons;
    struct plat_loop *loop;
    struct plat_stream *listener, *client; /* the latter NULL: nobody is connected */
    struct plat_wake wake;                 /* the store has sent an event */
    char answer[XENSTORE_RING_SIZE];       /* taken from the ring, and not yet by the client */
    uint32_t first, nr;
} ring;

static void close_client(const char *why)
{
    plat_log(PLAT_WARNING, "the store's ring: %s", why);
    plat_close(ring.client);
    ring.client = NULL;
}

/* How much there is room for, or XENSTORE_RING_SIZE + 1: that is impossible. */
static uint32_t room(void)
{
    uint32_t used = ring.req_prod - __atomic_load_n(&ring.page->req_cons, __ATOMIC_ACQUIRE);

    return used > XENSTORE_RING_SIZE ? XENSTORE_RING_SIZE + 1 : XENSTORE_RING_SIZE - used;
}

static void send_event(void) { event_send(start_info->store_evtchn); }

/* What the client asks. False: its connection has ended. */
static bool carry_requests(void)
{
    char some[256];
    uint32_t left;

    while ((left = room()) != 0) {
        ssize_t n;

        if (left > XENSTORE_RING_SIZE) {
            close_client("its indices are impossible");
            return false;
        }
        n = plat_read(ring.client, some, left < sizeof(some) ? left : sizeof(some));
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0) {
            close_client("the client has left");
            return false;
        }
        for (ssize_t i = 0; i < n; i++)
            ring.page->req[ring.req_prod++ & (XENSTORE_RING_SIZE - 1)] = some[i];
        __atomic_store_n(&ring.page->req_prod, ring.req_prod, __ATOMIC_RELEASE);
        send_event();
    }
    return true;
}

static bool take_answers(void)
{
    uint32_t n = __atomic_load_n(&ring.page->rsp_prod, __ATOMIC_ACQUIRE) - ring.rsp_cons;

    if (n > XENSTORE_RING_SIZE) {
        close_client("its indices are impossible");
        return false;
    }
    ring.first = 0;
    ring.nr = n;
    for (uint32_t i = 0; i < n; i++)
        ring.answer[i] = ring.page->rsp[ring.rsp_cons++ & (XENSTORE_RING_SIZE - 1)];
    if (n) {
        __atomic_store_n(&ring.page->rsp_cons, ring.rsp_cons, __ATOMIC_RELEASE);
        send_event();
    }
    return true;
}

/* What the store answers, as much as the client takes. */
static bool carry_answers(void)
{
    for (;;) {
        ssize_t n;

        if (ring.nr == 0 && !take_answers())
            return false;
        if (ring.nr == 0)
            return true;
        n = plat_write(ring.client, ring.answer + ring.first, ring.nr);
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n < 0) {
            close_client("the client has left");
            return false;
        }
        ring.first += (uint32_t)n;
        ring.nr -= (uint32_t)n;
    }
}

static void on_client(void *arg, unsigned int ready);

static void carry(void *arg)
{
    (void)arg;
    if (ring.client == NULL || !carry_requests() || !carry_answers())
        return;
    plat_watch(ring.loop, ring.client,
               (room() ? PLAT_READABLE : 0u) | (ring.nr ? PLAT_WRITABLE : 0u), on_client, NULL);
}

static void on_client(void *arg, unsigned int ready)
{
    (void)ready;
    carry(arg);
}

static void on_listener(void *arg, unsigned int ready)
{
    struct plat_stream *s = plat_accept(ring.listener);

    (void)ready;
    if (s == NULL)
        return;
    if (ring.client) {
        plat_close(s);
        return;
    }
    ring.client = s;
    carry(arg);
}

static void on_event(unsigned int port, void *arg)
{
    (void)port;
    (void)arg;
    plat_wake(&ring.wake);
}

static void run(void *arg)
{
    (void)arg;
    plat_loop_run(ring.loop);
}

bool xenstore_ring_start(void)
{
    if (start_info->store_mfn == 0 || start_info->store_evtchn == 0) {
        plat_log(PLAT_ERROR, "this domain has no ring for a store");
        return false;
    }
    ring.page = mfn_to_virt(start_info->store_mfn);
    ring.req_prod = ring.page->req_prod;
    ring.rsp_cons = ring.page->rsp_cons;
    ring.loop = plat_loop_new();
    ring.listener = plat_listen(xs_daemon_socket());
    if (ring.loop && ring.listener) {
        ring.wake = (struct plat_wake){ .fn = carry };
        plat_wake_add(ring.loop, &ring.wake);
        plat_watch(ring.loop, ring.listener, PLAT_READABLE, on_listener, NULL);
        if (event_attach(start_info->store_evtchn, on_event, NULL) >= 0 &&
            plat_thread_start("store-ring", run, NULL))
            return true;
    }
    plat_log(PLAT_ERROR, "no way to the store: %s", strerror(errno));
    return false;
}
