/*
 * An event of a domain makes its ring due, and so does output for it. Each ring that is due has one turn,
 * which store_ring_service() bounds, then sockets and events have theirs. A port stays masked until its
 * ring's turn has ended with nothing to do: a domain that sends events without an end has no more of it.
 */
#include "rings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xen/domctl.h>
#include <xen/sysctl.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>

#include "evtchn_loop.h"

enum {
    EVENTS_MAX = 64, /* taken at once, before others have their turn */
    RETRY_NS = 100000000,
    BIND_TRIES = 50, /* the end of a store that was killed is free some moments later */
    NR_INFOS = 512,  /* domains told at once: for each list all are passed that were before */
    UNBOUND = 0,     /* no port has that number */
};

/* What the hypervisor is asked, and what it says. */
struct buffer {
    union {
        struct xen_domctl domctl;
        struct xen_sysctl sysctl;
    };
    xen_domctl_getdomaininfo_t infos[NR_INFOS];
};

struct peer {
    struct peer *next; /* due after it */
    domid_t domain;
    bool due, masked;
    bool attached;                          /* the store knows its page */
    bool wants_memory;                      /* what failed by that is to be done again */
    bool shut_down, gone;                   /* which the store does not know yet */
    unsigned int tries;                     /* to bind its port, that are left */
    struct xenstore_domain_interface *page; /* NULL: none */
    evtchn_port_t remote, port;
};

/* All that there is of it: a program that is started again begins with a new one. */
static struct rings {
    struct plat_loop *loop;
    struct store *store;
    xenevtchn_handle *events;
    xenforeignmemory_handle *memory;
    xencall_handle *hypervisor;
    struct buffer *buffer;
    struct xenstore_domain_interface *own_page;
    evtchn_port_t own_remote, exceptions; /* VIRQ_DOM_EXC's */
    unsigned int tries;                   /* to bind that */

    struct peer *peers[DOMID_FIRST_RESERVED];
    unsigned int end; /* no peer ever had that number or a higher one */
    struct peer *due_first, **due_end;
    size_t nr_due;
    struct peer *serving;
    domid_t *domain_of; /* by port of ours; DOMID_FIRST_RESERVED: nobody's */
    size_t nr_ports;
    struct plat_timer turn, retrying;
} * r;

static void serve_due(void *unused);
static void retry(void *unused);

static void retry_later(void)
{
    if (r->retrying.loop == NULL)
        plat_timer_set(r->loop, &r->retrying, plat_now() + RETRY_NS);
}

/* ---- whose turn it is ---- */

static void make_due(struct peer *p)
{
    if (p->due || p->page == NULL)
        return;
    p->due = true;
    p->next = NULL;
    *r->due_end = p;
    r->due_end = &p->next;
    r->nr_due++;
    if (r->turn.loop == NULL)
        plat_timer_set(r->loop, &r->turn, 0);
}

static void not_due(struct peer *p)
{
    struct peer **at = &r->due_first;

    if (!p->due)
        return;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (r->due_end == &p->next)
        r->due_end = at;
    r->nr_due--;
    p->due = false;
}

static int attach(struct peer *p)
{
    int rc = p->attached ? 0 : store_ring_attach(r->store, p->domain, p->page);

    p->attached = rc == 0;
    return rc;
}

static void serve(struct peer *p)
{
    bool notify = !p->attached; /* a store was killed before it said what the page then says */
    int rc = attach(p);

    if (rc == 0)
        rc = store_ring_service(r->store, p->domain, p->page, &notify);
    if (notify && p->port != UNBOUND)
        xenevtchn_notify(r->events, p->port);
    if (rc == -EAGAIN) {
        make_due(p);
    } else if (rc == -ENOMEM) {
        p->wants_memory = true;
        retry_later();
    } else if (p->masked && p->port != UNBOUND) {
        p->masked = false;
        xenevtchn_unmask(r->events, p->port);
    }
}

static void serve_due(void *unused)
{
    (void)unused;
    for (size_t n = r->nr_due; n && r->due_first; n--) { /* who becomes due meanwhile waits */
        struct peer *p = r->due_first;

        not_due(p);
        r->serving = p;
        serve(p);
        r->serving = NULL;
    }
}

/* ---- pages and ports ---- */

static struct xenstore_domain_interface *map(domid_t domain, uint64_t gfn)
{
    xen_pfn_t pfn = gfn;

    return xenforeignmemory_map(r->memory, domain, PROT_READ | PROT_WRITE, 1, &pfn, NULL);
}

static void set_page(struct peer *p, struct xenstore_domain_interface *page)
{
    if (p->page && p->page != r->own_page)
        xenforeignmemory_unmap(r->memory, p->page, 1);
    p->page = page;
    p->attached = false;
    if (page == NULL)
        not_due(p);
}

static bool note_port(evtchn_port_t port, domid_t domain)
{
    if (port >= r->nr_ports) {
        size_t nr = 2 * (size_t)port;
        domid_t *more = realloc(r->domain_of, nr * sizeof(*more));

        if (more == NULL)
            return false;
        r->domain_of = more;
        while (r->nr_ports < nr)
            r->domain_of[r->nr_ports++] = DOMID_FIRST_RESERVED;
    }
    r->domain_of[port] = domain;
    return true;
}

static void unbind(struct peer *p)
{
    if (p->port == UNBOUND)
        return;
    r->domain_of[p->port] = DOMID_FIRST_RESERVED;
    xenevtchn_unbind(r->events, p->port);
    p->port = UNBOUND;
}

/* The first event comes at once: what the domain has sent before is heard. */
static int bind_port(struct peer *p)
{
    int port =
        r->events ? xenevtchn_bind_interdomain(r->events, p->domain, p->remote) : (errno = EIO, -1);

    if (port < 0)
        return -errno;
    if (!note_port((evtchn_port_t)port, p->domain)) {
        xenevtchn_unbind(r->events, (evtchn_port_t)port);
        return -ENOMEM;
    }
    p->port = (evtchn_port_t)port;
    p->masked = false;
    xenevtchn_notify(r->events, p->port); /* the domain may have waited for a store */
    return 0;
}

static struct peer *peer_new(domid_t domain)
{
    struct peer *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->domain = domain;
    p->port = UNBOUND;
    r->peers[domain] = p;
    if (domain >= r->end)
        r->end = domain + 1u;
    return p;
}

static void peer_free(struct peer *p)
{
    unbind(p);
    set_page(p, NULL);
    r->peers[p->domain] = NULL;
    free(p);
}

/* ---- hooks ---- */

/* A page is always mapped anew: under the same id there may be another domain. */
int rings_introduce(domid_t domain, uint64_t gfn, evtchn_port_t remote)
{
    struct xenstore_domain_interface *page = map(domain, gfn);
    struct peer *known = r->peers[domain], *p = known;
    evtchn_port_t before = known ? known->remote : 0;
    int rc;

    if (page == NULL)
        return -errno;
    if (p == NULL && (p = peer_new(domain)) == NULL) {
        xenforeignmemory_unmap(r->memory, page, 1);
        return -ENOMEM;
    }
    unbind(p); /* the port may be the same */
    p->remote = remote;
    rc = bind_port(p);
    if (rc == 0) {
        p->gone = p->shut_down = false;
        set_page(p, page);
        return 0;
    }
    xenforeignmemory_unmap(r->memory, page, 1);
    if (known) { /* it goes on as it was */
        p->remote = before;
        p->tries = BIND_TRIES;
        retry_later();
    } else {
        peer_free(p);
    }
    return rc;
}

void rings_release(domid_t domain)
{
    if (r->peers[domain])
        peer_free(r->peers[domain]);
}

void rings_output(domid_t domain)
{
    struct peer *p = r->peers[domain];

    if (p && p != r->serving) /* whom it serves gets it in that turn */
        make_due(p);
}

/* ---- what becomes of domains ---- */

/* What the hypervisor says of that domain; NULL: it says nothing of it. */
static void heard(struct peer *p, const xen_domctl_getdomaininfo_t *info)
{
    if (info == NULL || (info->flags & XEN_DOMINF_dying))
        p->gone = true;
    else if (info->flags & XEN_DOMINF_shutdown)
        p->shut_down = true;
}

static void look(struct peer *p)
{
    struct xen_domctl *domctl = &r->buffer->domctl;
    const xen_domctl_getdomaininfo_t *info = &domctl->u.getdomaininfo;

    memset(domctl, 0, sizeof(*domctl));
    domctl->cmd = XEN_DOMCTL_getdomaininfo;
    domctl->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    domctl->domain = p->domain;
    if (xencall1(r->hypervisor, __HYPERVISOR_domctl, (uint64_t)(uintptr_t)domctl) == 0)
        heard(p, info->domain == p->domain ? info : NULL); /* the next one that there is was told */
    else if (errno == ESRCH)
        heard(p, NULL);
    else
        plat_log(PLAT_ERROR, "what has become of domain %u? %s", p->domain, strerror(errno));
}

/* The store is told; p may be no more. */
static void tell(struct peer *p)
{
    if (p->gone) {
        unbind(p);
        set_page(p, NULL); /* it holds the domain's memory */
        if (store_domain_gone(r->store, p->domain) == 0)
            peer_free(p);
        else
            retry_later();
    } else if (p->shut_down) {
        if (store_domain_shutdown(r->store, p->domain) == 0)
            p->shut_down = false;
        else
            retry_later();
    }
}

/* Some of the domains from that number on, into the buffer. Returns how many, or -1. */
static int list(domid_t first)
{
    struct xen_sysctl *sysctl = &r->buffer->sysctl;

    memset(sysctl, 0, sizeof(*sysctl));
    sysctl->cmd = XEN_SYSCTL_getdomaininfolist;
    sysctl->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    sysctl->u.getdomaininfolist.first_domain = first;
    sysctl->u.getdomaininfolist.max_domains = NR_INFOS;
    set_xen_guest_handle(sysctl->u.getdomaininfolist.buffer, r->buffer->infos);
    if (xencall1(r->hypervisor, __HYPERVISOR_sysctl, (uint64_t)(uintptr_t)sysctl) < 0)
        return -1;
    return sysctl->u.getdomaininfolist.num_domains <= NR_INFOS
               ? (int)sysctl->u.getdomaininfolist.num_domains
               : -1;
}

static void hear_and_tell(domid_t domain, const xen_domctl_getdomaininfo_t *info)
{
    if (r->peers[domain] == NULL)
        return;
    heard(r->peers[domain], info);
    tell(r->peers[domain]);
}

/* One by one, where this domain may not have lists. */
static void look_at_each(unsigned int first)
{
    for (unsigned int d = first; d < r->end; d++) {
        if (r->peers[d])
            look(r->peers[d]);
        if (r->peers[d])
            tell(r->peers[d]);
    }
}

/* Mostly nothing has become of most: these are passed over fast. */
static void look_at_all(void)
{
    const xen_domctl_getdomaininfo_t *info, *end;
    unsigned int d = 1; /* all below have been looked at */
    int nr;

    do {
        nr = list((domid_t)d);
        if (nr < 0) {
            look_at_each(d);
            return;
        }
        end = r->buffer->infos + nr;
        for (info = r->buffer->infos; info < end; info++) {
            for (; d < info->domain; d++)
                hear_and_tell((domid_t)d, NULL);
            if (info->flags & (XEN_DOMINF_dying | XEN_DOMINF_shutdown))
                hear_and_tell(info->domain, info);
            d++;
        }
    } while (nr == NR_INFOS);
    for (; d < r->end; d++)
        hear_and_tell((domid_t)d, NULL);
}

/* ---- events ---- */

static void take_events(void *unused);

static void close_events(void)
{
    for (unsigned int d = 0; d < r->end; d++)
        if (r->peers[d] && r->peers[d]->port != UNBOUND) {
            r->domain_of[r->peers[d]->port] = DOMID_FIRST_RESERVED;
            r->peers[d]->port = UNBOUND;
            r->peers[d]->tries = BIND_TRIES;
        }
    r->exceptions = UNBOUND;
    evtchn_watch(r->loop, r->events, NULL, NULL);
    xenevtchn_close(r->events);
    r->events = NULL;
}

static int open_events(void)
{
    int error;

    r->events = xenevtchn_open(NULL, 0);
    if (r->events == NULL)
        return -errno;
    if (evtchn_watch(r->loop, r->events, take_events, NULL) == 0)
        return 0;
    error = errno;
    xenevtchn_close(r->events);
    r->events = NULL;
    return -error;
}

static void event(evtchn_port_t port)
{
    domid_t domain = port < r->nr_ports ? r->domain_of[port] : DOMID_FIRST_RESERVED;

    if (port == r->exceptions) {
        xenevtchn_unmask(r->events, port);
        look_at_all();
    } else if (domain < DOMID_FIRST_RESERVED) { /* else it was bound when the event came */
        r->peers[domain]->masked = true;
        make_due(r->peers[domain]);
    }
}

static void take_events(void *unused)
{
    (void)unused;
    for (int i = 0; i < EVENTS_MAX; i++) {
        int port = xenevtchn_pending(r->events);

        if (port < 0 && errno == EAGAIN)
            break;
        if (port < 0) {
            plat_log(PLAT_ERROR, "events are lost: %s. All ports are bound anew", strerror(errno));
            close_events();
            retry_later();
            return;
        }
        event((evtchn_port_t)port);
    }
    plat_timer_cancel(&r->turn);
    serve_due(NULL);
}

/* Again what has failed, for domains one by one: none waits for another. */
static void try_again(struct peer *p)
{
    int rc;

    if (p->wants_memory) {
        p->wants_memory = false;
        make_due(p);
    }
    if (p->tries && p->page && p->port == UNBOUND) {
        rc = bind_port(p);
        p->tries = rc ? p->tries - 1 : 0;
        if (rc && p->tries == 0)
            plat_log(PLAT_WARNING, "domain %u: its port %u for the store cannot be bound: %s",
                     p->domain, p->remote, strerror(-rc));
        else if (rc)
            retry_later();
    }
    tell(p);
}

static void hear_of_exceptions(void)
{
    int port = xenevtchn_bind_virq(r->events, VIRQ_DOM_EXC);

    if (port >= 0)
        r->exceptions = (evtchn_port_t)port;
    else if (++r->tries == BIND_TRIES)
        plat_log(PLAT_ERROR, "nobody says what becomes of domains: %s", strerror(errno));
    look_at_all(); /* what has happened before is not told */
}

static void retry(void *unused)
{
    (void)unused;
    if (r->events == NULL && open_events()) {
        retry_later();
        return;
    }
    if (r->exceptions == UNBOUND)
        hear_of_exceptions();
    if (r->exceptions == UNBOUND)
        retry_later();
    for (unsigned int d = 0; d < r->end; d++)
        if (r->peers[d])
            try_again(r->peers[d]);
}

/* ---- beginning ---- */

static int failed(const char *what)
{
    int error = errno;

    plat_log(PLAT_ERROR, "%s: %s", what, strerror(error));
    return -error;
}

int rings_open(struct plat_loop *l, struct xenstore_domain_interface *own, evtchn_port_t port)
{
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return failed("rings");
    r->turn.fn = serve_due;
    r->retrying.fn = retry;
    r->due_end = &r->due_first;
    r->loop = l;
    r->own_page = own;
    r->own_remote = port;
    r->memory = xenforeignmemory_open(NULL, 0);
    if (r->memory == NULL)
        return failed("xenforeignmemory");
    r->hypervisor = xencall_open(NULL, 0);
    if (r->hypervisor == NULL)
        return failed("xencall");
    r->buffer = xencall_alloc_buffer(r->hypervisor, sizeof(*r->buffer));
    if (r->buffer == NULL)
        return failed("xencall");
    if (open_events())
        return failed("xenevtchn");
    return 0;
}

static int begin_with(domid_t domain, const struct store_place *place)
{
    struct peer *p = peer_new(domain);

    if (p == NULL)
        return -ENOMEM;
    look(p);
    if (p->gone) { /* while there was no store */
        tell(p);
        return 0;
    }
    p->remote = (evtchn_port_t)place->port;
    p->page = map(domain, place->gfn);
    if (p->page == NULL)
        plat_log(PLAT_WARNING, "domain %u: its ring cannot be mapped: %s", domain, strerror(errno));
    p->tries = BIND_TRIES;
    return 0;
}

int rings_begin(struct store *s)
{
    struct peer *own = peer_new(0);
    struct store_place place;
    int domain = 0, rc = 0;

    if (own == NULL)
        return -ENOMEM;
    r->store = s;
    own->page = r->own_page;
    own->remote = r->own_remote;
    own->tries = BIND_TRIES;
    while (rc == 0 && (domain = store_introduced_above(s, domain, &place)) > 0)
        rc = begin_with((domid_t)domain, &place);
    if (rc == 0)
        retry(NULL);
    return rc;
}
