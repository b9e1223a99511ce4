/*
 * A hypervisor with a few guests, and a store, for the console daemon's test: the interface libraries as far as it
 * uses them. Included once.
 */
#pragma once
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xentoollog.h>

#include "../../dom0-tools/consoled/internal.h"
#include "evtchn_loop.h"
#include "platform/fake.h"
#include "xenstore_loop.h"

enum {
    DOMAINS = 32,
    PORTS = 64,
    NODES = 200,
    WATCHES = 80,
    EVENTS = 600,
    GUEST_PORT = 7,
    GFN = 1000
};

static struct machine_domain {
    bool exists, dying, has_grant, no_map;
    unsigned int busy;        /* so many times more its port cannot be bound */
    unsigned int incarnation; /* in its handle */
    unsigned int mapped, notified;
    unsigned int port;      /* the daemon's end; 0: none */
    uint64_t endless, sent; /* bytes that it still prints; has printed */
    struct xencons_interface page;
} machine[DOMAINS];

static int fails(int error)
{
    errno = error;
    return -1;
}

/* ---- events ---- */

static struct {
    unsigned int of; /* 0: nobody's */
    bool masked, pending;
} ports[PORTS];
static unsigned int queue[PORTS], nr_queued, next_port, events_lost, nr_unmasked;
static struct plat_wake events_wake;
static bool events_watched;
static void *const handle = &machine;

static void raise_event(unsigned int port)
{
    ports[port].pending = ports[port].masked;
    if (ports[port].masked)
        return;
    ports[port].masked = true;
    queue[nr_queued++] = port;
    if (events_watched)
        plat_wake(&events_wake);
}

static void send_event(unsigned int domain)
{
    if (machine[domain].port)
        raise_event(machine[domain].port);
}

xenevtchn_handle *xenevtchn_open(xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    memset(ports, 0, sizeof(ports));
    nr_queued = 0;
    return handle;
}

int xenevtchn_close(xenevtchn_handle *xce)
{
    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    CU_ASSERT_FALSE(events_watched);
    for (int d = 0; d < DOMAINS; d++)
        machine[d].port = 0;
    return 0;
}

int evtchn_watch(struct plat_loop *l, xenevtchn_handle *xce, void (*fn)(void *arg), void *arg)
{
    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    if (events_watched)
        plat_wake_remove(&events_wake);
    events_watched = fn != NULL;
    events_wake = (struct plat_wake){ .fn = fn, .arg = arg };
    if (fn)
        plat_wake_add(l, &events_wake);
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *xce, uint32_t domain,
                                                     evtchn_port_t remote)
{
    struct machine_domain *d = &machine[domain];

    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    if (!d->exists || d->port || remote != GUEST_PORT || (d->busy && d->busy--))
        return fails(EINVAL);
    do
        next_port = next_port % (PORTS - 1) + 1;
    while (ports[next_port].of);
    ports[next_port].of = domain;
    ports[next_port].masked = ports[next_port].pending = false;
    d->port = next_port;
    raise_event(d->port); /* as the hypervisor does */
    return (int)d->port;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    CU_ASSERT_NOT_EQUAL(ports[port].of, 0);
    machine[ports[port].of].port = 0;
    ports[port].of = 0;
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *xce)
{
    unsigned int port = queue[0];

    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    if (events_lost && events_lost--)
        return fails(EFBIG);
    if (nr_queued == 0)
        return fails(EAGAIN);
    memmove(queue, queue + 1, --nr_queued * sizeof(queue[0]));
    if (nr_queued)
        plat_wake(&events_wake);
    return (int)port;
}

int xenevtchn_unmask(xenevtchn_handle *xce, evtchn_port_t port)
{
    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    nr_unmasked++;
    ports[port].masked = false;
    if (ports[port].pending)
        raise_event(port);
    return 0;
}

static void guest_runs(unsigned int domain);

int xenevtchn_notify(xenevtchn_handle *xce, evtchn_port_t port)
{
    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    CU_ASSERT_NOT_EQUAL_FATAL(ports[port].of, 0);
    machine[ports[port].of].notified++;
    guest_runs(ports[port].of);
    return 0;
}

/* ---- memory ---- */

#define OPEN_CLOSE(type, name)                                       \
    type *name##_open(xentoollog_logger *logger, unsigned int flags) \
    {                                                                \
        (void)logger;                                                \
        (void)flags;                                                 \
        return handle;                                               \
    }                                                                \
    int name##_close(type *h)                                        \
    {                                                                \
        (void)h;                                                     \
        return 0;                                                    \
    }
OPEN_CLOSE(xencall_handle, xencall)
OPEN_CLOSE(xengnttab_handle, xengnttab)
OPEN_CLOSE(xenforeignmemory_handle, xenforeignmemory)

static void *map_page(unsigned int domain, bool may)
{
    if (!may || !machine[domain].exists) {
        errno = EINVAL;
        return NULL;
    }
    machine[domain].mapped++;
    return &machine[domain].page;
}

static int unmap_page(const void *page)
{
    for (int d = 0; d < DOMAINS; d++)
        if (page == &machine[d].page)
            machine[d].mapped--;
    return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domain, uint32_t ref, int prot)
{
    (void)xgt;
    CU_ASSERT_TRUE(ref == GNTTAB_RESERVED_CONSOLE && prot == (PROT_READ | PROT_WRITE));
    return map_page(domain, machine[domain].has_grant);
}

int xengnttab_unmap(xengnttab_handle *xgt, void *page, uint32_t count)
{
    (void)xgt;
    CU_ASSERT_EQUAL(count, 1);
    return unmap_page(page);
}

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t domain, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    (void)fmem;
    (void)err;
    CU_ASSERT_TRUE(prot == (PROT_READ | PROT_WRITE) && pages == 1);
    return map_page(domain, !machine[domain].no_map && arr[0] == GFN + domain);
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *page, size_t pages)
{
    (void)fmem;
    CU_ASSERT_EQUAL(pages, 1);
    return unmap_page(page);
}

/* ---- which domains there are ---- */

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

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg)
{
    struct xen_sysctl *s = (struct xen_sysctl *)(uintptr_t)arg;
    struct xen_sysctl_getdomaininfolist *l = &s->u.getdomaininfolist;

    (void)xcall;
    CU_ASSERT_TRUE(op == __HYPERVISOR_sysctl && s->cmd == XEN_SYSCTL_getdomaininfolist);
    l->num_domains = 0;
    for (unsigned int d = l->first_domain; d < DOMAINS && l->num_domains < l->max_domains; d++) {
        xen_domctl_getdomaininfo_t *info = &l->buffer.p[l->num_domains];

        if (d && !machine[d].exists)
            continue;
        memset(info, 0, sizeof(*info));
        info->domain = (domid_t)d;
        info->flags = machine[d].dying ? XEN_DOMINF_dying : 0;
        info->handle[0] = (uint8_t)machine[d].incarnation;
        l->num_domains++;
    }
    return 0;
}

/* ---- the store ---- */

static struct {
    char path[80], value[80]; /* path "": nothing */
} nodes[NODES];
static char watches[WATCHES][80], events[EVENTS][80];
static unsigned int nr_watches, nr_events;
static unsigned int watches_fail; /* n: the n-th from now on fails */
static bool store_is_gone;
static struct plat_wake store_wake;
static bool store_watched;

static void store_event(const char *path)
{
    if (nr_events == EVENTS)
        return;
    strcpy(events[nr_events++], path);
    if (store_watched)
        plat_wake(&store_wake);
}

static void fire(const char *path)
{
    for (unsigned int i = 0; i < nr_watches; i++)
        if (strncmp(path, watches[i], strlen(watches[i])) == 0)
            store_event(path);
}

static char *node(const char *path)
{
    for (int i = 0; i < NODES; i++)
        if (strcmp(nodes[i].path, path) == 0)
            return nodes[i].value;
    return NULL;
}

static void write_node(const char *path, const char *value)
{
    char *there = node(path);

    for (int i = 0; i < NODES && there == NULL; i++)
        if (nodes[i].path[0] == '\0') {
            strcpy(nodes[i].path, path);
            there = nodes[i].value;
        }
    CU_ASSERT_PTR_NOT_NULL_FATAL(there);
    strcpy(there, value);
    fire(path);
}

struct xs_handle *xs_open(unsigned long flags)
{
    (void)flags;
    nr_watches = nr_events = 0;
    if (store_is_gone)
        errno = ECONNREFUSED;
    return store_is_gone ? NULL : handle;
}

void xs_close(struct xs_handle *h)
{
    (void)h;
    CU_ASSERT_FALSE(store_watched);
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    const char *value = store_is_gone ? NULL : node(path);

    (void)h;
    (void)t;
    if (value && len)
        *len = (unsigned int)strlen(value);
    errno = store_is_gone ? ECONNRESET : ENOENT;
    return value ? strdup(value) : NULL;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    char value[80];

    (void)h;
    (void)t;
    snprintf(value, sizeof(value), "%.*s", (int)len, (const char *)data);
    if (!store_is_gone)
        write_node(path, value);
    return !store_is_gone;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h;
    (void)token;
    errno = ECONNRESET;
    if (store_is_gone || nr_watches == WATCHES || (watches_fail && --watches_fail == 0))
        return false;
    for (unsigned int i = 0; i < nr_watches; i++)
        if (strcmp(watches[i], path) == 0)
            return fails(EEXIST) == 0;
    strcpy(watches[nr_watches++], path);
    store_event(path);
    return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    (void)h;
    (void)token;
    for (unsigned int i = 0; i < nr_watches; i++)
        if (strcmp(watches[i], path) == 0) {
            memmove(watches[i], watches[i + 1], (--nr_watches - i) * sizeof(watches[0]));
            return true;
        }
    return false;
}

char **xs_check_watch(struct xs_handle *h)
{
    char **event;

    (void)h;
    errno = store_is_gone ? ECONNRESET : EAGAIN;
    if (nr_events == 0 || store_is_gone)
        return NULL;
    event = malloc(2 * sizeof(*event) + sizeof(events[0]));
    event[0] = (char *)(event + 2);
    event[1] = event[0];
    strcpy(event[0], events[0]);
    memmove(events, events + 1, --nr_events * sizeof(events[0]));
    return event;
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    (void)domid;
    return store_is_gone ? NULL : strdup("/local/domain/0");
}

int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg)
{
    (void)h;
    if (store_watched)
        plat_wake_remove(&store_wake);
    store_watched = fn != NULL;
    store_wake = (struct plat_wake){ .fn = fn, .arg = arg };
    if (fn) {
        plat_wake_add(l, &store_wake);
        plat_wake(&store_wake);
    }
    return 0;
}

/* ---- guests ---- */

static void set_node(unsigned int domain, const char *name, const char *value)
{
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", domain, name);
    write_node(path, value);
}

static void set_number(unsigned int domain, const char *name, unsigned int value)
{
    char text[20];

    snprintf(text, sizeof(text), "%u", value);
    set_node(domain, name, text);
}

/* And the store does not tell of it yet. */
static void guest_exists_silently(unsigned int domain)
{
    unsigned int incarnation = machine[domain].incarnation + 1;

    machine[domain] = (struct machine_domain){ .exists = true, .incarnation = incarnation };
    machine[domain].has_grant = domain % 2;
}

static void guest_exists(unsigned int domain)
{
    guest_exists_silently(domain);
    fire("@introduceDomain");
}

static void guest_nodes(unsigned int domain, const char *name)
{
    set_node(domain, "name", name);
    set_node(domain, "console/type", "xenconsoled");
    set_number(domain, "console/ring-ref", GFN + domain);
    set_number(domain, "console/port", GUEST_PORT);
}

/* As a toolstack makes one: the hypervisor's domain, then its nodes, one by one. */
static void guest_new(unsigned int domain, const char *name)
{
    guest_exists(domain);
    guest_nodes(domain, name);
}

static void guest_dies(unsigned int domain)
{
    machine[domain].dying = true;
    fire("@releaseDomain");
}

/* What the hypervisor does when all is given back. */
static inline void guest_gone(unsigned int domain)
{
    char prefix[80];

    CU_ASSERT_TRUE(machine[domain].mapped == 0 && machine[domain].port == 0);
    machine[domain].exists = false;
    snprintf(prefix, sizeof(prefix), "/local/domain/%u/", domain);
    for (int i = 0; i < NODES; i++)
        if (strncmp(nodes[i].path, prefix, strlen(prefix)) == 0)
            nodes[i].path[0] = '\0';
}

/* How much of it there was room for. */
static size_t guest_puts(unsigned int domain, const char *text, size_t len)
{
    struct xencons_interface *p = &machine[domain].page;
    size_t n = 0;

    for (; n < len && p->out_prod - p->out_cons < OUT_BYTES; n++)
        p->out[p->out_prod++ % OUT_BYTES] = text[n];
    return n;
}

static void guest_says(unsigned int domain, const char *text)
{
    CU_ASSERT_EQUAL(guest_puts(domain, text, strlen(text)), strlen(text));
    send_event(domain);
}

/* When it is notified: who prints without an end goes on, an event for each line. */
static void guest_runs(unsigned int domain)
{
    struct machine_domain *d = &machine[domain];
    size_t n = d->endless ? guest_puts(domain, "0123456789abcde\n", 16) : 0;

    while (n) {
        d->endless -= n < d->endless ? n : d->endless;
        d->sent += n;
        n = d->endless ? guest_puts(domain, "0123456789abcde\n", 16) : 0;
    }
    if (d->sent)
        send_event(domain);
}

/* What was typed at it. */
static size_t guest_gets(unsigned int domain, char *buf, size_t max)
{
    struct xencons_interface *p = &machine[domain].page;
    size_t n = 0;

    while (n < max && p->in_prod != p->in_cons)
        buf[n++] = p->in[p->in_cons++ % IN_BYTES];
    if (n)
        send_event(domain);
    return n;
}
