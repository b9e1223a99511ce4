#include "fake_grants.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xengnttab.h>

#include "evtchn_loop.h"

enum { PAGE = 4096, FIRST = 8, PORTS = 256 };

/* ---- grants ---- */

static struct {
    unsigned int domain;
    uint8_t *page;
    bool writable;
} grants[GRANTS];
static uint32_t nr_grants = FIRST;
static unsigned int nr_mapped, nr_open;
unsigned int grant_copies;

struct xengntdev_handle {
    int dummy;
};
struct mapping {
    struct mapping *next;
    void *at;
    uint32_t nr;
};
static struct mapping *mappings;

uint32_t grant_page(unsigned int domain, void *page, bool writable)
{
    CU_ASSERT_TRUE_FATAL(nr_grants < GRANTS);
    grants[nr_grants].domain = domain;
    grants[nr_grants].page = page;
    grants[nr_grants].writable = writable;
    return nr_grants++;
}

void grant_revoke(uint32_t ref) { grants[ref].page = NULL; }

void grants_revoke_all(unsigned int domain)
{
    for (uint32_t ref = 0; ref < nr_grants; ref++)
        if (grants[ref].domain == domain)
            grants[ref].page = NULL;
}

unsigned int grants_mapped(void) { return nr_mapped; }

xengnttab_handle *xengnttab_open(struct xentoollog_logger *logger, unsigned flags)
{
    nr_open++;
    return calloc(1, sizeof(xengnttab_handle));
}

int xengnttab_close(xengnttab_handle *h)
{
    CU_ASSERT_EQUAL(nr_mapped, 0);
    nr_open--;
    free(h);
    return 0;
}

/* The pages have to lie side by side already. */
void *xengnttab_map_domain_grant_refs(xengnttab_handle *h, uint32_t count, uint32_t domid,
                                      uint32_t *refs, int prot)
{
    struct mapping *m;

    for (uint32_t i = 0; i < count; i++)
        if (refs[i] >= nr_grants || grants[refs[i]].page == NULL ||
            grants[refs[i]].domain != domid || !grants[refs[i]].writable ||
            grants[refs[i]].page != grants[refs[0]].page + i * PAGE) {
            errno = EINVAL;
            return NULL;
        }
    m = calloc(1, sizeof(*m));
    m->at = grants[refs[0]].page;
    m->nr = count;
    m->next = mappings;
    mappings = m;
    nr_mapped += count;
    return m->at;
}

int xengnttab_unmap(xengnttab_handle *h, void *start, uint32_t count)
{
    for (struct mapping **at = &mappings; *at; at = &(*at)->next) {
        struct mapping *m = *at;

        if (m->at == start && m->nr == count) {
            *at = m->next;
            free(m);
            nr_mapped -= count;
            return 0;
        }
    }
    CU_FAIL("what is not mapped is unmapped");
    return -1;
}

static int16_t copy_one(const xengnttab_grant_copy_segment_t *s)
{
    bool out = s->flags == GNTCOPY_dest_gref;
    uint32_t ref = out ? s->dest.foreign.ref : s->source.foreign.ref;
    unsigned int offset = out ? s->dest.foreign.offset : s->source.foreign.offset;
    domid_t domain = out ? s->dest.foreign.domid : s->source.foreign.domid;

    CU_ASSERT_TRUE_FATAL(offset + s->len <= PAGE && s->len > 0);
    if (ref >= nr_grants || grants[ref].page == NULL || grants[ref].domain != domain)
        return GNTST_bad_gntref;
    if (out && !grants[ref].writable)
        return GNTST_permission_denied;
    if (out)
        memcpy(grants[ref].page + offset, s->source.virt, s->len);
    else
        memcpy(s->dest.virt, grants[ref].page + offset, s->len);
    return GNTST_okay;
}

int xengnttab_grant_copy(xengnttab_handle *h, uint32_t count, xengnttab_grant_copy_segment_t *segs)
{
    grant_copies++;
    for (uint32_t i = 0; i < count; i++)
        segs[i].status = copy_one(&segs[i]);
    return 0;
}

/* ---- what we share ---- */

bool grants_busy;
static unsigned int nr_shared;

struct xengntdev_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned flags)
{
    return calloc(1, sizeof(struct xengntdev_handle));
}

int xengntshr_close(struct xengntdev_handle *h)
{
    free(h);
    return 0;
}

uint8_t *grant_at(uint32_t ref) { return ref < nr_grants ? grants[ref].page : NULL; }
unsigned int grants_shared(void) { return nr_shared; }

void *xengntshr_share_pages(struct xengntdev_handle *h, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    uint8_t *pages = aligned_alloc(PAGE, (size_t)count * PAGE);

    for (int i = 0; i < count; i++)
        refs[i] = grant_page(domid, pages + i * PAGE, writable);
    nr_shared += (unsigned int)count;
    return pages;
}

int xengntshr_unshare(struct xengntdev_handle *h, void *start, uint32_t count)
{
    if (grants_busy) {
        errno = EBUSY;
        return -1;
    }
    for (uint32_t ref = 0; ref < nr_grants; ref++)
        if (grants[ref].page >= (uint8_t *)start &&
            grants[ref].page < (uint8_t *)start + count * PAGE)
            grants[ref].page = NULL;
    nr_shared -= count;
    free(start);
    return 0;
}

/* ---- event channels: a port's number is the same at both ends ---- */

static struct {
    bool offered, bound, pending, masked;
    unsigned int domain, events;
} ports[PORTS];
static uint32_t nr_ports = 1;
static unsigned int nr_bound;
static xenevtchn_handle *the_handle;

struct xenevtchn_handle {
    struct plat_wake wake;
};

unsigned int ports_bound(void) { return nr_bound; }

void grants_reset(void)
{
    CU_ASSERT_TRUE(nr_open == 0 && nr_mapped == 0 && nr_bound == 0 && the_handle == NULL);
    memset(grants, 0, sizeof(grants));
    memset(ports, 0, sizeof(ports));
    nr_grants = FIRST;
    nr_shared = 0;
    grants_busy = false;
    nr_ports = 1;
    grant_copies = 0;
}

uint32_t peer_port(unsigned int domain)
{
    CU_ASSERT_TRUE_FATAL(nr_ports < PORTS);
    ports[nr_ports].offered = true;
    ports[nr_ports].domain = domain;
    return nr_ports++;
}

static void deliver(uint32_t port)
{
    ports[port].pending = true;
    if (ports[port].bound && !ports[port].masked && the_handle && the_handle->wake.loop)
        plat_wake(&the_handle->wake);
}

void peer_notify(uint32_t port) { deliver(port); }

unsigned int peer_events(uint32_t port)
{
    unsigned int n = ports[port].events;

    ports[port].events = 0;
    return n;
}

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    CU_ASSERT_PTR_NULL(the_handle);
    the_handle = calloc(1, sizeof(*the_handle));
    return the_handle;
}

int xenevtchn_close(xenevtchn_handle *h)
{
    for (uint32_t i = 0; i < PORTS; i++)
        if (ports[i].bound)
            xenevtchn_unbind(h, i);
    free(h);
    the_handle = NULL;
    return 0;
}

int evtchn_watch(struct plat_loop *l, xenevtchn_handle *h, void (*fn)(void *arg), void *arg)
{
    if (fn == NULL) {
        plat_wake_remove(&h->wake);
        return 0;
    }
    h->wake = (struct plat_wake){ .fn = fn, .arg = arg };
    plat_wake_add(l, &h->wake);
    return 0;
}

xenevtchn_port_or_error_t xenevtchn_pending(xenevtchn_handle *h)
{
    for (uint32_t i = 0; i < PORTS; i++)
        if (ports[i].bound && ports[i].pending && !ports[i].masked) {
            ports[i].pending = false;
            ports[i].masked = true;
            return (int)i;
        }
    errno = EAGAIN;
    return -1;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t domid,
                                                     evtchn_port_t remote)
{
    if (remote >= PORTS || !ports[remote].offered || ports[remote].bound ||
        ports[remote].domain != domid) {
        errno = EINVAL;
        return -1;
    }
    ports[remote].bound = true;
    ports[remote].masked = false;
    nr_bound++;
    deliver(remote);
    return (int)remote;
}

xenevtchn_port_or_error_t xenevtchn_bind_unbound_port(xenevtchn_handle *h, uint32_t domid)
{
    uint32_t port = peer_port(domid);

    ports[port].bound = true;
    nr_bound++;
    return (int)port;
}

int xenevtchn_unbind(xenevtchn_handle *h, evtchn_port_t port)
{
    CU_ASSERT_TRUE(ports[port].bound);
    ports[port].bound = false;
    nr_bound--;
    return 0;
}

int xenevtchn_unmask(xenevtchn_handle *h, evtchn_port_t port)
{
    ports[port].masked = false;
    if (ports[port].pending)
        deliver(port);
    return 0;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
    ports[port].events++;
    return 0;
}
