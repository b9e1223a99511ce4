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
#include "../../dom0-tools/lib/shell.h"
#include "evtchn_loop.h"
#include "platform/fake.h"
#include "../unit/fake_store.h"
#include "xenstore_loop.h"

enum {
    DOMAINS = 32,
    PORTS = 64,
    WATCHES = 3,     /* of the daemon, that are nobody's */
    CHANNELS = 3,    /* of a guest; the first is its first console, not a channel */
    GUEST_PORT = 7,  /* of a guest's first console, those of channels follow; */
    CHANNEL_REF = 8, /* and so do grants */
    GFN = 1000
};

static struct machine_domain {
    bool exists, dying, has_grant, no_map;
    bool shell;               /* its handle says so */
    unsigned int busy;        /* so many times more its port cannot be bound */
    unsigned int incarnation; /* in its handle */
    unsigned int mapped, notified;
    unsigned int port;      /* the daemon's end; 0: none */
    uint64_t endless, sent; /* bytes that it still prints; has printed */
    struct xencons_interface page;
    struct {
        unsigned int port, mapped, notified;
        struct xencons_interface page;
    } channel[CHANNELS];
} machine[DOMAINS];

static bool tells_which;      /* the store's events say which domain they are about */
static unsigned int nr_lists; /* of domains, so far */

static int fails(int error)
{
    errno = error;
    return -1;
}

/* ---- events ---- */

static struct {
    unsigned int of; /* 0: nobody's */
    unsigned int channel;
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
        machine[d].port = machine[d].channel[1].port = machine[d].channel[2].port = 0;
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
    unsigned int channel = remote - GUEST_PORT, *port;

    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    if (!d->exists || channel >= CHANNELS || (d->busy && d->busy--))
        return fails(EINVAL);
    port = channel ? &d->channel[channel].port : &d->port;
    if (*port)
        return fails(EINVAL);
    do
        next_port = next_port % (PORTS - 1) + 1;
    while (ports[next_port].of);
    ports[next_port].of = domain;
    ports[next_port].channel = channel;
    ports[next_port].masked = ports[next_port].pending = false;
    *port = next_port;
    raise_event(*port); /* as the hypervisor does */
    return (int)*port;
}

int xenevtchn_unbind(xenevtchn_handle *xce, evtchn_port_t port)
{
    CU_ASSERT_PTR_EQUAL_FATAL(xce, handle);
    CU_ASSERT_NOT_EQUAL(ports[port].of, 0);
    if (ports[port].channel)
        machine[ports[port].of].channel[ports[port].channel].port = 0;
    else
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
    if (ports[port].channel) {
        machine[ports[port].of].channel[ports[port].channel].notified++;
        return 0;
    }
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
    for (int d = 0; d < DOMAINS; d++)
        for (int c = 1; c < CHANNELS; c++)
            if (page == &machine[d].channel[c].page)
                machine[d].channel[c].mapped--;
    return 0;
}

void *xengnttab_map_grant_ref(xengnttab_handle *xgt, uint32_t domain, uint32_t ref, int prot)
{
    (void)xgt;
    CU_ASSERT_EQUAL(prot, PROT_READ | PROT_WRITE);
    if (ref == GNTTAB_RESERVED_CONSOLE)
        return map_page(domain, machine[domain].has_grant);
    if (ref <= CHANNEL_REF || ref >= CHANNEL_REF + CHANNELS || !machine[domain].exists) {
        errno = EINVAL;
        return NULL;
    }
    machine[domain].channel[ref - CHANNEL_REF].mapped++;
    return &machine[domain].channel[ref - CHANNEL_REF].page;
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

static void tell_of(unsigned int d, xen_domctl_getdomaininfo_t *info)
{
    memset(info, 0, sizeof(*info));
    info->domain = (domid_t)d;
    info->flags = machine[d].dying ? XEN_DOMINF_dying : 0;
    info->handle[0] = (uint8_t)machine[d].incarnation;
    if (machine[d].shell)
        memcpy(info->handle, SHELL_MARK, SHELL_MARK_BYTES);
}

/* That domain, or the next one. */
static int tell_of_one(struct xen_domctl *op)
{
    unsigned int d = op->domain;

    CU_ASSERT_EQUAL(op->cmd, XEN_DOMCTL_getdomaininfo);
    while (d < DOMAINS && d && !machine[d].exists)
        d++;
    if (d >= DOMAINS)
        return fails(ESRCH);
    op->domain = (domid_t)d;
    tell_of(d, &op->u.getdomaininfo);
    return 0;
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg)
{
    struct xen_sysctl *s = (struct xen_sysctl *)(uintptr_t)arg;
    struct xen_sysctl_getdomaininfolist *l = &s->u.getdomaininfolist;

    (void)xcall;
    if (op == __HYPERVISOR_domctl)
        return tell_of_one((struct xen_domctl *)(uintptr_t)arg);
    nr_lists++;
    CU_ASSERT_TRUE(op == __HYPERVISOR_sysctl && s->cmd == XEN_SYSCTL_getdomaininfolist);
    l->num_domains = 0;
    for (unsigned int d = l->first_domain; d < DOMAINS && l->num_domains < l->max_domains; d++) {
        if (d && !machine[d].exists)
            continue;
        tell_of(d, &l->buffer.p[l->num_domains++]);
    }
    return 0;
}

/* ---- the store: fake_store.h's ---- */

static bool store_is_gone;

static inline void set_store_gone(bool gone)
{
    store_is_gone = gone;
    store_set_gone(gone);
}

/* As a node below a home that nobody reads: so it comes to who watches it. */
static void fire(const char *special)
{
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/0/%s", special);
    store_set(path, "x");
}

/* That it has begun, or ended. */
static void fire_of(const char *path, unsigned int domain)
{
    char with_id[40];

    snprintf(with_id, sizeof(with_id), "%s/%u", path, domain);
    fire(tells_which ? with_id : path);
}

/* Whether its events say of which domain they are, is tells_which. */
bool xenstore_watch_domains(struct xs_handle *h, const char *path, const char *token)
{
    return xs_watch(h, path, token);
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    (void)h;
    (void)domid;
    return store_is_gone ? NULL : strdup("/local/domain/0");
}

/* ---- guests ---- */

static void set_node(unsigned int domain, const char *name, const char *value)
{
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", domain, name);
    store_set(path, "%s", value);
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
    fire_of("@introduceDomain", domain);
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

static inline void guest_dies(unsigned int domain)
{
    machine[domain].dying = true;
    fire_of("@releaseDomain", domain);
}

/* What the hypervisor does when all is given back. */
static inline void guest_gone(unsigned int domain)
{
    char prefix[80];

    CU_ASSERT_TRUE(machine[domain].mapped == 0 && machine[domain].port == 0);
    machine[domain].exists = false;
    snprintf(prefix, sizeof(prefix), "/local/domain/%u", domain);
    store_remove(prefix);
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

static inline void guest_says(unsigned int domain, const char *text)
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
static inline size_t guest_gets(unsigned int domain, char *buf, size_t max)
{
    struct xencons_interface *p = &machine[domain].page;
    size_t n = 0;

    while (n < max && p->in_prod != p->in_cons)
        buf[n++] = p->in[p->in_cons++ % IN_BYTES];
    if (n)
        send_event(domain);
    return n;
}
