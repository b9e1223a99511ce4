/*
 * The store's rings with interface libraries in memory: a hypervisor with a few domains, of which some
 * mean harm, and a daemon that is killed and started again.
 */
#include "../../xenstore/store.h"

/* What the store is asked, counted; the next so many times it lacks memory. */
static unsigned int services, lacks_memory;
#define TRY(call) (lacks_memory ? lacks_memory--, -ENOMEM : (call))
#define store_ring_attach(s, d, p) TRY(store_ring_attach(s, d, p))
#define store_ring_service(s, d, p, n) (services++, TRY(store_ring_service(s, d, p, n)))
#define store_domain_shutdown(s, d) TRY(store_domain_shutdown(s, d))
#define store_domain_gone(s, d) TRY(store_domain_gone(s, d))

#include "../../xen-like/platform/evtchn.c"
#include "../../xen-like/platform/handles.c"
#include "../../xenstore/rings.c"

#include <CUnit/Basic.h>
#include <stdio.h>
#include <xentoollog.h>

#include "../../xenstore/internal.h"
#include "platform/fake.h"

enum { REGION_BYTES = 2 << 20, D0 = STORE_CONN_OTHER, DOMAINS = 6, PORTS = 64, QUEUE = 256 };
enum { OWN_PORT = 3, GUEST_PORT = 7 };
enum { GFN = 1000, GFN_ALIAS = 2000 }; /* plus its id: a guest's frame, in the test by two names */
enum { OF_NOBODY = 0xffff, OF_VIRQ = 0xfffe };

/* ---- the hypervisor ---- */

static struct machine_domain {
    bool dead, dying, shut_down;
    bool no_map;           /* its frame cannot be mapped */
    unsigned int busy;     /* so many times more its port cannot be bound */
    unsigned int mapped;   /* how often its page is */
    unsigned int notified; /* events that it has received */
    uint32_t seen;         /* what its page said at the last: rsp_prod */
    unsigned int port;     /* the store's end; 0: none */
    unsigned int endless;  /* requests that it still sends, one after the other */
    struct xenstore_domain_interface page;
} machine[DOMAINS];

static struct {
    unsigned int of;
    bool masked, pending;
} ports[PORTS];
static unsigned int queue[QUEUE], nr_queued, pending_error, next_port;
static struct plat_stream *near_end, *far_end;               /* of the descriptor */
static uint8_t buffer[64 << 10] __attribute__((aligned(8))); /* for hypercalls */
static bool no_lists;                                        /* of domains: not for this one */
static void *const handle = &machine;

static void raise_event(unsigned int port)
{
    CU_ASSERT_NOT_EQUAL(ports[port].of, OF_NOBODY);
    ports[port].pending = ports[port].masked;
    if (ports[port].masked)
        return;
    ports[port].masked = true;
    queue[nr_queued++] = port;
    CU_ASSERT_TRUE_FATAL(nr_queued < QUEUE && plat_write(far_end, "", 1) == 1);
}

static void send_event(domid_t domain)
{
    if (machine[domain].port)
        raise_event(machine[domain].port);
}

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    for (int i = 0; i < PORTS; i++)
        ports[i].of = OF_NOBODY;
    nr_queued = 0;
    return handle;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    (void)xce;
    for (int d = 0; d < DOMAINS; d++)
        machine[d].port = 0;
    plat_close(far_end);
    return 0;
}

int xenevtchn_fd(xenevtchn_handle *xce)
{
    (void)xce;
    return 5;
}

struct plat_stream *plat_of_fd(int fd)
{
    struct plat_stream *ends[2];

    CU_ASSERT_EQUAL(fd, 5);
    CU_ASSERT_EQUAL_FATAL(plat_pair(ends), 0);
    far_end = ends[1];
    return near_end = ends[0];
}

static int fails(int error)
{
    errno = error;
    return -1;
}

static unsigned int bind_for(unsigned int of)
{
    unsigned int port = next_port = next_port % (PORTS - 1) + 1;

    ports[port].of = of;
    ports[port].masked = ports[port].pending = false;
    return port;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domain,
                                                     evtchn_port_t remote)
{
    struct machine_domain *d = &machine[domain];

    (void)xce;
    if (d->dead || d->port || remote != (domain ? GUEST_PORT : OWN_PORT))
        return fails(EINVAL);
    if (d->busy) {
        d->busy--;
        return fails(EINVAL);
    }
    d->port = bind_for(domain);
    raise_event(d->port); /* as the hypervisor does */
    return (int)d->port;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *xce, unsigned int virq)
{
    (void)xce;
    CU_ASSERT_EQUAL(virq, VIRQ_DOM_EXC);
    return (int)bind_for(OF_VIRQ);
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    machine[ports[port].of].port = 0;
    ports[port].of = OF_NOBODY;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    unsigned int port = queue[0];
    char byte;

    (void)xce;
    if (pending_error)
        return fails((int)pending_error);
    if (nr_queued == 0)
        return fails(EAGAIN);
    memmove(queue, queue + 1, --nr_queued * sizeof(queue[0]));
    CU_ASSERT_EQUAL(plat_read(near_end, &byte, 1), 1);
    return (int)port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    ports[port].masked = false;
    if (ports[port].pending)
        raise_event(port);
    return 0;
}

static void domain_runs(domid_t domain);

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    (void)xce;
    CU_ASSERT_TRUE_FATAL(ports[port].of < DOMAINS);
    machine[ports[port].of].notified++;
    machine[ports[port].of].seen = machine[ports[port].of].page.rsp_prod;
    domain_runs((domid_t)ports[port].of);
    return 0;
}

xenforeignmemory_handle *xenforeignmemory_open(xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return handle;
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t domain, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    (void)fmem;
    (void)err;
    CU_ASSERT_TRUE(prot == (PROT_READ | PROT_WRITE) && pages == 1);
    if (machine[domain].no_map || machine[domain].dead ||
        (arr[0] != GFN + domain && arr[0] != GFN_ALIAS + domain)) {
        errno = EINVAL;
        return NULL;
    }
    machine[domain].mapped++;
    return &machine[domain].page;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    (void)fmem;
    CU_ASSERT_EQUAL(pages, 1);
    for (int d = 0; d < DOMAINS; d++)
        if (addr == &machine[d].page)
            machine[d].mapped--;
    return 0;
}

xencall_handle *xencall_open(xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    return handle;
}

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    (void)xcall;
    CU_ASSERT_TRUE_FATAL(size <= sizeof(buffer));
    return buffer;
}

static void describe(domid_t id, xen_domctl_getdomaininfo_t *info)
{
    info->domain = id;
    info->flags = (machine[id].dying ? XEN_DOMINF_dying : 0) |
                  (machine[id].shut_down ? XEN_DOMINF_shutdown : 0);
}

/* Of the first domain from that id on. */
static int getdomaininfo(struct xen_domctl *op)
{
    domid_t id = op->domain;

    CU_ASSERT_EQUAL(op->cmd, XEN_DOMCTL_getdomaininfo);
    CU_ASSERT_EQUAL(op->interface_version, XEN_DOMCTL_INTERFACE_VERSION);
    while (id < DOMAINS && machine[id].dead)
        id++;
    if (id >= DOMAINS)
        return fails(ESRCH);
    describe(id, &op->u.getdomaininfo);
    return 0;
}

static int getdomaininfolist(struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *list = &op->u.getdomaininfolist;

    if (no_lists)
        return fails(EPERM);
    CU_ASSERT_EQUAL(op->cmd, XEN_SYSCTL_getdomaininfolist);
    CU_ASSERT_EQUAL(op->interface_version, XEN_SYSCTL_INTERFACE_VERSION);
    list->num_domains = 0;
    for (domid_t id = list->first_domain; id < DOMAINS && list->num_domains < list->max_domains;
         id++)
        if (!machine[id].dead)
            describe(id, &list->buffer.p[list->num_domains++]);
    return 0;
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg)
{
    (void)xcall;
    CU_ASSERT_EQUAL(arg, (uintptr_t)buffer);
    CU_ASSERT_TRUE_FATAL(op == __HYPERVISOR_domctl || op == __HYPERVISOR_sysctl);
    return op == __HYPERVISOR_domctl ? getdomaininfo((struct xen_domctl *)buffer)
                                     : getdomaininfolist((struct xen_sysctl *)buffer);
}

/* ---- the domains ---- */

static bool has_room(const struct xenstore_domain_interface *p, size_t len)
{
    return XENSTORE_RING_SIZE - (p->req_prod - p->req_cons) >= len;
}

static void put(domid_t domain, uint32_t type, const char *text)
{
    struct xenstore_domain_interface *p = &machine[domain].page;
    struct xsd_sockmsg h = { type, 5, 0, (uint32_t)strlen(text) };
    char bytes[300];

    memcpy(bytes, &h, sizeof(h));
    for (size_t i = 0; i < h.len; i++)
        bytes[sizeof(h) + i] = (char)(text[i] == '|' ? '\0' : text[i]);
    for (size_t i = 0; i < sizeof(h) + h.len; i++)
        p->req[MASK_XENSTORE_IDX(p->req_prod++)] = bytes[i];
}

/* The payloads of all that was received, each with a ';'. */
static const char *get(domid_t domain)
{
    static char text[4096];
    struct xenstore_domain_interface *p = &machine[domain].page;
    struct xsd_sockmsg h;
    size_t n = 0;

    while (p->rsp_prod - p->rsp_cons >= sizeof(h)) {
        for (size_t i = 0; i < sizeof(h); i++)
            ((char *)&h)[i] = p->rsp[MASK_XENSTORE_IDX(p->rsp_cons++)];
        for (size_t i = 0; i < h.len; i++, p->rsp_cons++) {
            char c = p->rsp[MASK_XENSTORE_IDX(p->rsp_cons)];

            text[n++] = c ? c : '|';
        }
        text[n++] = ';';
    }
    text[n] = '\0';
    return text;
}

static unsigned int served; /* of who asks without an end */

/* When it is notified: who asks without an end does at once, with an event for each. */
static void domain_runs(domid_t domain)
{
    struct machine_domain *d = &machine[domain];

    if (d->endless == 0)
        return;
    get(domain);
    while (d->endless && has_room(&d->page, 40)) {
        put(domain, XS_READ, "/nothing|");
        d->endless--;
        served++;
    }
    send_event(domain);
}

/* ---- the daemon ---- */

static uint8_t *region;
static char events_of_d0[1000];

static void on_log(void *arg, const char *line)
{
    (void)arg;
    plat_log(PLAT_INFO, "%s", line);
}
static void on_output(void *arg, uint32_t conn)
{
    (void)arg;
    if (conn < STORE_CONN_OTHER)
        rings_output((domid_t)conn);
}
static int on_introduce(void *arg, domid_t domain, uint64_t gfn, evtchn_port_t port)
{
    (void)arg;
    return rings_introduce(domain, gfn, port);
}
static void on_release(void *arg, domid_t domain)
{
    (void)arg;
    rings_release(domain);
}

static struct store *s;

static void daemon_start(void)
{
    static const struct store_hooks hooks = {
        .log = on_log, .output = on_output, .introduce = on_introduce, .release = on_release
    };

    CU_ASSERT_EQUAL(rings_open(plat_loop_new(), &machine[0].page, OWN_PORT), 0);
    s = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(rings_begin(s), 0);
    CU_ASSERT_EQUAL(store_connect(s, D0, 0), 0);
}

/* What the hypervisor and the kernel do when it is killed, and what is in its memory. */
static void daemon_killed(void)
{
    for (int d = 0; d < DOMAINS; d++) {
        machine[d].mapped = 0;
        free(r->peers[d]);
    }
    plat_timer_cancel(&r->turn);
    plat_timer_cancel(&r->retrying);
    evtchn_watch(r->loop, r->events, NULL, NULL);
    xenevtchn_close(r->events);
    plat_loop_free(r->loop);
    free(r->domain_of);
    free(r);
    store_close(s);
}

/* Until nothing is left to be done. */
static void run(void) { CU_ASSERT_TRUE(plat_loop_run(r->loop) == -1 && errno == EDEADLK); }

static void stop_loop(void *unused)
{
    (void)unused;
    plat_loop_stop(r->loop);
}

static void turns(unsigned int nr)
{
    struct plat_timer stopper = { .fn = stop_loop };

    while (nr--) {
        plat_timer_set(r->loop, &stopper, 0);
        CU_ASSERT_EQUAL(plat_loop_run(r->loop), 0);
    }
}

/* A client of domain 0 on a socket: the answer's payload. */
static const char *ask(uint32_t type, const char *text)
{
    static char answer[1000];
    struct xsd_sockmsg h = { type, 1, 0, (uint32_t)strlen(text) };
    char payload[300];
    const void *bytes;
    size_t len;

    for (size_t i = 0; i < h.len; i++)
        payload[i] = (char)(text[i] == '|' ? '\0' : text[i]);
    CU_ASSERT_EQUAL(store_request(s, D0, &h, payload), 0);
    answer[0] = '\0';
    run();
    while ((len = store_output(s, D0, &bytes)) != 0) {
        memcpy(&h, bytes, sizeof(h));
        snprintf(h.type == XS_WATCH_EVENT ? events_of_d0 + strlen(events_of_d0) : answer, 300,
                 "%.*s;", (int)h.len, (const char *)bytes + sizeof(h));
        store_output_done(s, D0, len);
    }
    answer[strcspn(answer, ";")] = '\0';
    return answer;
}

/* A domain's request by its ring, and what it has received then. */
static const char *over_ring(domid_t domain, uint32_t type, const char *text)
{
    put(domain, type, text);
    send_event(domain);
    run();
    return get(domain);
}

static const char *introduce(domid_t domain)
{
    char text[40];

    snprintf(text, sizeof(text), "%u|%u|%u|", domain, GFN + domain, GUEST_PORT);
    return ask(XS_INTRODUCE, text);
}

static void start(void)
{
    memset(machine, 0, sizeof(machine));
    pending_error = 0;
    events_of_d0[0] = '\0';
    fake_reset();
    region = aligned_alloc(4096, REGION_BYTES);
    memset(region, 0, REGION_BYTES);
    daemon_start();
    run();
    ask(XS_WATCH, "@releaseDomain|r|");
    events_of_d0[0] = '\0';
}

static void stop(void)
{
    CU_ASSERT_TRUE(store_check(s));
    daemon_killed();
    free(region);
}

/* Whom the store serves, by what it holds of the hypervisor. */
static bool holds(domid_t domain) { return machine[domain].mapped == 1 && machine[domain].port; }
static bool holds_nothing(domid_t domain)
{
    return !machine[domain].mapped && !machine[domain].port;
}

/* ---- tests ---- */

static void test_domain_0s_kernel_is_served(void)
{
    start();
    CU_ASSERT_TRUE(machine[0].notified > 0); /* it has waited for that */
    CU_ASSERT_STRING_EQUAL(over_ring(0, XS_WRITE, "/a|1"), "OK|;");
    CU_ASSERT_STRING_EQUAL(ask(XS_READ, "/a|"), "1");
    services = 0;
    CU_ASSERT_STRING_EQUAL(over_ring(0, XS_READ, "/a|"), "1;");
    CU_ASSERT_EQUAL(services, 1);
    CU_ASSERT_STRING_EQUAL(over_ring(0, XS_INTRODUCE, "1|1001|7|"), "OK|;"); /* as domain 0 */
    CU_ASSERT_TRUE(holds(1));
    stop();
}

static void test_an_introduced_domain_is_served_until_its_release(void)
{
    start();
    CU_ASSERT_STRING_EQUAL(introduce(1), "OK");
    CU_ASSERT_TRUE(holds(1));
    CU_ASSERT_TRUE(machine[1].notified > 0);
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), "EACCES|;");
    CU_ASSERT_STRING_EQUAL(ask(XS_MKDIR, "/d|"), "OK");
    CU_ASSERT_STRING_EQUAL(ask(XS_SET_PERMS, "/d|n1|"), "OK");
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_WATCH, "/d|t|"), "OK|;/d|t|;");
    ask(XS_WRITE, "/d/x|1");
    CU_ASSERT_STRING_EQUAL(get(1), "/d/x|t|;"); /* what others cause comes by itself */
    send_event(1); /* which the store finds when the port is nobody's */
    CU_ASSERT_STRING_EQUAL(ask(XS_RELEASE, "1|"), "OK");
    CU_ASSERT_TRUE(holds_nothing(1));
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), ""); /* nobody hears it */
    stop();
}

static void test_what_cannot_be_introduced_leaves_nothing(void)
{
    start();
    machine[1].no_map = true;
    CU_ASSERT_STRING_EQUAL(introduce(1), "EINVAL");
    machine[1].no_map = false;
    machine[1].busy = 1;
    CU_ASSERT_STRING_EQUAL(introduce(1), "EINVAL");
    CU_ASSERT_TRUE(holds_nothing(1));
    CU_ASSERT_STRING_EQUAL(ask(XS_IS_DOMAIN_INTRODUCED, "1|"), "F");
    CU_ASSERT_STRING_EQUAL(introduce(1), "OK");
    stop();
}

static void test_introduced_again_it_is_bound_again(void)
{
    unsigned int before;

    start();
    introduce(1);
    over_ring(1, XS_WATCH, "@releaseDomain|t|");
    before = machine[1].port;
    CU_ASSERT_STRING_EQUAL(introduce(1), "OK");
    CU_ASSERT_TRUE(holds(1));
    CU_ASSERT_NOT_EQUAL(machine[1].port, before);
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_UNWATCH, "@releaseDomain|t|"), "OK|;");
    before = machine[1].port;
    CU_ASSERT_STRING_EQUAL(ask(XS_INTRODUCE, "1|1001|8|"), "EINVAL"); /* no such port */
    CU_ASSERT_STRING_EQUAL(ask(XS_INTRODUCE, "1|9|7|"), "EINVAL");    /* no such frame */
    CU_ASSERT_TRUE(holds(1));
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), "EACCES|;");
    CU_ASSERT_STRING_EQUAL(ask(XS_INTRODUCE, "1|2001|7|"), "OK"); /* its ring is elsewhere now */
    CU_ASSERT_TRUE(holds(1));
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), "EACCES|;");
    stop();
}

static void hears_of_ends(void)
{
    start();
    for (domid_t d = 1; d < DOMAINS; d++)
        introduce(d);
    ask(XS_MKDIR, "/d|");
    ask(XS_SET_PERMS, "/d|n2|");
    machine[1].shut_down = machine[2].dying = machine[3].dead = true;
    raise_event(r->exceptions);
    run();
    CU_ASSERT_STRING_EQUAL(ask(XS_READ, "/d|"), "ENOENT");
    CU_ASSERT_STRING_EQUAL(events_of_d0, "@releaseDomain;@releaseDomain;@releaseDomain;");
    CU_ASSERT_TRUE(holds(1) && holds_nothing(2) && holds_nothing(3) && holds(4));
    raise_event(r->exceptions); /* of somebody else */
    run();
    ask(XS_READ, "/d|");
    CU_ASSERT_STRING_EQUAL(events_of_d0, "@releaseDomain;@releaseDomain;@releaseDomain;");
    CU_ASSERT_STRING_EQUAL(ask(XS_IS_DOMAIN_INTRODUCED, "3|"), "F");
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), "EACCES|;");
    machine[4].dead = true;
    raise_event(r->exceptions);
    run();
    CU_ASSERT_TRUE(holds_nothing(4) && holds(5));
    stop();
}

static void test_it_hears_who_shuts_down_and_who_is_gone(void) { hears_of_ends(); }

static void test_it_hears_so_without_lists_of_domains(void)
{
    no_lists = true;
    hears_of_ends();
    no_lists = false;
}

static void test_killed_it_goes_on_with_every_ring(void)
{
    start();
    for (domid_t d = 1; d < DOMAINS; d++)
        introduce(d);
    ask(XS_MKDIR, "/d|");
    ask(XS_SET_PERMS, "/d|n1|");
    over_ring(1, XS_WATCH, "/d|t|");
    over_ring(0, XS_WATCH, "/d|k|");
    put(1, XS_WRITE, "/d/x|1"); /* which the one that is killed does not see */
    daemon_killed();
    machine[0].busy = machine[1].busy = 3; /* the old one's ends are not free at once */
    machine[2].dying = machine[3].shut_down = machine[5].dead = true;
    machine[4].no_map = true;
    daemon_start();
    run();
    CU_ASSERT_STRING_EQUAL(fake_log_last(),
                           "domain 4: its ring cannot be mapped: Invalid argument");
    CU_ASSERT_TRUE(holds(1) && holds_nothing(2) && holds(3) && holds_nothing(5));
    CU_ASSERT_STRING_EQUAL(get(1), "/d/x|t|;OK|;");
    CU_ASSERT_STRING_EQUAL(get(0), "/d/x|k|;");
    CU_ASSERT_STRING_EQUAL(ask(XS_IS_DOMAIN_INTRODUCED, "2|"), "F");
    CU_ASSERT_STRING_EQUAL(ask(XS_IS_DOMAIN_INTRODUCED, "5|"), "F");
    CU_ASSERT_STRING_EQUAL(introduce(4), "EINVAL");
    CU_ASSERT_STRING_EQUAL(ask(XS_INTRODUCE, "4|1004|8|"), "EINVAL");
    machine[4].no_map = false; /* who could not be mapped is served when introduced again */
    CU_ASSERT_STRING_EQUAL(introduce(4), "OK");
    CU_ASSERT_STRING_EQUAL(over_ring(4, XS_READ, "/|"), "EACCES|;");
    stop();
}

/* The one that was killed had sent it, and the page did not say so yet. */
static void test_killed_before_it_has_told_it_tells(void)
{
    uint32_t before;

    start();
    introduce(1);
    before = machine[1].page.rsp_prod;
    put(1, XS_READ, "/|");
    send_event(1);
    run();
    daemon_killed();
    machine[1].page.rsp_prod = before;
    daemon_start();
    run();
    CU_ASSERT_NOT_EQUAL(machine[1].page.rsp_prod, before);
    CU_ASSERT_EQUAL(machine[1].seen, machine[1].page.rsp_prod);
    CU_ASSERT_STRING_EQUAL(get(1), "EACCES|;");
    stop();
}

static void test_who_has_no_ring_is_heard_of_when_gone(void)
{
    start();
    introduce(1);
    daemon_killed();
    machine[1].no_map = true;
    daemon_start();
    run();
    machine[1].no_map = false;
    CU_ASSERT_STRING_EQUAL(ask(XS_INTRODUCE, "1|1001|8|"), "EINVAL");
    machine[1].dead = true;
    raise_event(r->exceptions);
    run();
    CU_ASSERT_STRING_EQUAL(ask(XS_IS_DOMAIN_INTRODUCED, "1|"), "F");
    stop();
}

static void test_a_port_that_never_gets_free_is_given_up(void)
{
    start();
    introduce(1);
    introduce(2);
    daemon_killed();
    machine[1].busy = 1000000;
    daemon_start();
    run();
    CU_ASSERT_EQUAL(1000000 - machine[1].busy, BIND_TRIES);
    CU_ASSERT_STRING_EQUAL(fake_log_last(), "domain 1: its port 7 for the store cannot be bound: "
                                            "Invalid argument");
    CU_ASSERT_STRING_EQUAL(over_ring(2, XS_READ, "/|"), "EACCES|;");
    stop();
}

static void test_who_asks_without_an_end_keeps_nobody_waiting(void)
{
    start();
    introduce(1);
    introduce(2);
    served = 0;
    machine[1].endless = 10000;
    domain_runs(1);
    turns(2);
    put(2, XS_READ, "/|");
    send_event(2);
    turns(2);
    CU_ASSERT_STRING_EQUAL(get(2), "EACCES|;");
    CU_ASSERT_TRUE(served > 0 && served < 500);
    run();
    CU_ASSERT_EQUAL(machine[1].endless, 0); /* it has had its share */
    stop();
}

static void test_a_broken_ring_is_its_domains_alone(void)
{
    start();
    introduce(1);
    introduce(2);
    machine[1].page.req_prod += 5000;
    for (int i = 0; i < 10; i++) {
        send_event(1);
        run();
    }
    CU_ASSERT_EQUAL(machine[1].page.error, XENSTORE_ERROR_RINGIDX);
    CU_ASSERT_STRING_EQUAL(over_ring(2, XS_READ, "/|"), "EACCES|;");
    machine[1].page.connection = XENSTORE_RECONNECT;
    send_event(1);
    run();
    CU_ASSERT_EQUAL(machine[1].page.connection, XENSTORE_CONNECTED);
    machine[1].page.req_prod = machine[1].page.req_cons;
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), "EACCES|;");
    stop();
}

static void test_if_events_are_lost_all_is_bound_anew(void)
{
    start();
    introduce(1);
    introduce(2);
    put(1, XS_READ, "/|");
    pending_error = EFBIG;
    send_event(0);
    turns(1);
    CU_ASSERT_PTR_NULL(r->events);
    pending_error = 0;
    machine[2].dead = true; /* which nobody says */
    run();
    CU_ASSERT_TRUE(holds(1) && machine[0].port && holds_nothing(2));
    CU_ASSERT_STRING_EQUAL(get(1), "EACCES|;");
    machine[1].dead = true;
    raise_event(r->exceptions);
    run();
    CU_ASSERT_TRUE(holds_nothing(1));
    stop();
}

static void test_what_lacks_memory_is_done_later(void)
{
    start();
    lacks_memory = 3;
    introduce(1);
    introduce(2);
    lacks_memory = 3;
    CU_ASSERT_STRING_EQUAL(over_ring(1, XS_READ, "/|"), "EACCES|;");
    machine[1].dead = machine[2].shut_down = true;
    raise_event(r->exceptions);
    lacks_memory = 5;
    turns(1);
    CU_ASSERT_TRUE(lacks_memory == 3 && holds_nothing(1)); /* its memory is given back at once */
    run();
    ask(XS_READ, "/|");
    CU_ASSERT_STRING_EQUAL(events_of_d0, "@releaseDomain;@releaseDomain;");
    CU_ASSERT_STRING_EQUAL(ask(XS_IS_DOMAIN_INTRODUCED, "1|"), "F");
    stop();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite suite = CU_add_suite("rings", NULL, NULL);
#define T(f) CU_add_test(suite, #f, f)
    T(test_domain_0s_kernel_is_served);
    T(test_an_introduced_domain_is_served_until_its_release);
    T(test_what_cannot_be_introduced_leaves_nothing);
    T(test_introduced_again_it_is_bound_again);
    T(test_it_hears_who_shuts_down_and_who_is_gone);
    T(test_it_hears_so_without_lists_of_domains);
    T(test_killed_it_goes_on_with_every_ring);
    T(test_killed_before_it_has_told_it_tells);
    T(test_who_has_no_ring_is_heard_of_when_gone);
    T(test_a_port_that_never_gets_free_is_given_up);
    T(test_who_asks_without_an_end_keeps_nobody_waiting);
    T(test_a_broken_ring_is_its_domains_alone);
    T(test_if_events_are_lost_all_is_bound_anew);
    T(test_what_lacks_memory_is_done_later);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error() != 0;
}
