/* See why.h. What a guest can write, in the store and in its memory, is copied once, checked and cut. */
#include "why.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/io/console.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>

#include "hyp.h"
#include "nodes.h"
#include "toolstack.h"

enum { PATH_BYTES = 200 };

/* ---- the hypervisor ---- */

static void ask_vcpus(struct toolstack *t, struct why *w)
{
    uint64_t hard[4], soft[4];
    struct xen_domctl_getvcpuinfo v;

    if (w->info.max_vcpu_id == XEN_INVALID_MAX_VCPU_ID)
        return;
    for (uint32_t i = 0; i <= w->info.max_vcpu_id && i < WHY_VCPUS; i++) {
        w->nr_vcpus = i + 1;
        if (hyp_vcpu(t->hyp, w->info.domain, i, &v, hard, soft) == 0)
            w->vcpus[i] = (struct why_vcpu){ .online = v.online,
                                             .running = v.running,
                                             .blocked = v.blocked,
                                             .cpu = v.cpu,
                                             .cpu_time_ns = v.cpu_time };
    }
}

static void ask_ports(struct toolstack *t, struct why *w)
{
    struct evtchn_status s;

    for (uint32_t port = 1; port < WHY_PORTS; port++) {
        struct why_port p = { .port = port };

        if (hyp_port(t->hyp, w->info.domain, port, &s))
            return; /* there are no more */
        p.status = s.status;
        p.vcpu = s.vcpu;
        if (s.status == EVTCHNSTAT_unbound)
            p.domain = s.u.unbound.dom;
        else if (s.status == EVTCHNSTAT_interdomain)
            p.domain = s.u.interdomain.dom;
        if (s.status == EVTCHNSTAT_interdomain)
            p.number = s.u.interdomain.port;
        else if (s.status == EVTCHNSTAT_pirq || s.status == EVTCHNSTAT_virq)
            p.number = s.u.virq; /* the same place */
        if (s.status != EVTCHNSTAT_closed)
            w->ports[w->nr_ports++] = p;
    }
}

/* Those that somebody has mapped or copies. The table is the domain's: each entry is read once. */
static void count_peers(struct why *w, const volatile grant_entry_v1_t *table, size_t nr)
{
    for (size_t i = 0; i < nr; i++) {
        uint16_t flags = table[i].flags;
        domid_t domain = table[i].domid;
        uint32_t k = 0;

        if (!(flags & (GTF_reading | GTF_writing)))
            continue;
        while (k < w->nr_peers && w->peers[k].domain != domain)
            k++;
        if (k == WHY_PEERS)
            continue;
        if (k == w->nr_peers)
            w->peers[w->nr_peers++] = (struct why_peer){ .domain = domain };
        w->peers[k].nr_grants++;
    }
}

static void ask_grants(struct toolstack *t, struct why *w)
{
    xenforeignmemory_resource_handle *r;
    uint32_t version;
    void *table = NULL;

    if (hyp_grants(t->hyp, w->info.domain, &w->grant_frames, &w->max_grant_frames, &version) ||
        version != 1 || w->grant_frames == 0)
        return;
    r = xenforeignmemory_map_resource(hyp_memory(t->hyp), w->info.domain,
                                      XENMEM_resource_grant_table,
                                      XENMEM_resource_grant_table_id_shared, 0, w->grant_frames,
                                      &table, PROT_READ, 0);
    if (r == NULL)
        return;
    count_peers(w, table, w->grant_frames * (HYP_PAGE / sizeof(grant_entry_v1_t)));
    xenforeignmemory_unmap_resource(hyp_memory(t->hyp), r);
    w->grants_known = true;
}

static bool held(struct toolstack *t, const struct why *w, const char *leaf, char *text,
                 size_t size)
{
    char path[64];

    snprintf(path, sizeof(path), "/domain/%u/held/%s", w->info.domain, leaf);
    return hyp_hypfs(t->hyp, path, text, size) == 0;
}

static bool held_number(struct toolstack *t, const struct why *w, const char *leaf,
                        unsigned long *number)
{
    char text[24];

    if (!held(t, w, leaf, text, sizeof(text)))
        return false;
    *number = strtoul(text, NULL, 10);
    return true;
}

static void ask_held(struct toolstack *t, struct why *w)
{
    w->held_known = held_number(t, w, "frames", &w->held_frames) &&
                    held_number(t, w, "ports", &w->held_ports) &&
                    held_number(t, w, "references", &w->held_references) &&
                    held(t, w, "mapped-by", w->mapped_by, sizeof(w->mapped_by));
}

/* ---- the store ---- */

/* What can be shown on a line, cut. */
static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from);
    for (; *to; to++)
        if ((unsigned char)*to < ' ' || (unsigned char)*to >= 0x7f)
            *to = '?';
}

static void read_text(struct toolstack *t, const struct why *w, const char *leaf, char *to,
                      size_t size)
{
    char *text = nodes_read(t, w->info.domain, leaf);

    if (text)
        copy_text(to, size, text);
    free(text);
}

/* Of digits only; 0: there is none. */
static uint64_t read_number(struct toolstack *t, const struct why *w, const char *leaf)
{
    char *text = nodes_read(t, w->info.domain, leaf), *end;
    unsigned long long n = text ? strtoull(text, &end, 10) : 0;

    if (text && (*text < '0' || *text > '9' || *end))
        n = 0;
    free(text);
    return n;
}

/* A state of <xen/io/xenbus.h>; -1: it is none. */
static int read_state(struct toolstack *t, const char *path)
{
    char *text = xs_read(t->store, XBT_NULL, path, NULL);
    int state = text && text[0] >= '0' && text[0] <= '8' && text[1] == '\0' ? text[0] - '0' : -1;

    free(text);
    return state;
}

static void ask_device(struct toolstack *t, struct why *w, const char *type, const char *number)
{
    struct why_device *d = &w->devices[w->nr_devices];
    char path[PATH_BYTES], *backend;
    unsigned int domain;

    if (w->nr_devices == WHY_DEVICES || strlen(type) + strlen(number) + 2 > sizeof(d->name))
        return;
    *d = (struct why_device){ .backend_state = -1, .backend_domain = -1 };
    snprintf(d->name, sizeof(d->name), "%s/%s", type, number);
    snprintf(path, sizeof(path), "/local/domain/%u/device/%s/state", w->info.domain, d->name);
    d->state = read_state(t, path);
    snprintf(path, sizeof(path), "/local/domain/%u/device/%s/backend", w->info.domain, d->name);
    backend = xs_read(t->store, XBT_NULL, path, NULL);
    if (backend && strlen(backend) < sizeof(path) - 10) {
        if (sscanf(backend, "/local/domain/%u/", &domain) == 1 && domain < DOMID_FIRST_RESERVED)
            d->backend_domain = (int)domain;
        snprintf(path, sizeof(path), "%s/state", backend);
        d->backend_state = read_state(t, path);
    }
    free(backend);
    if (d->state >= 0 || d->backend_domain >= 0) /* else it is none: device/suspend */
        w->nr_devices++;
}

static void ask_devices(struct toolstack *t, struct why *w)
{
    char path[PATH_BYTES], **types, **numbers;
    unsigned int nr_types = 0, nr;

    snprintf(path, sizeof(path), "/local/domain/%u/device", w->info.domain);
    types = xs_directory(t->store, XBT_NULL, path, &nr_types);
    for (unsigned int i = 0; types && i < nr_types; i++) {
        if (strlen(types[i]) > 32)
            continue;
        snprintf(path, sizeof(path), "/local/domain/%u/device/%s", w->info.domain, types[i]);
        numbers = xs_directory(t->store, XBT_NULL, path, &nr);
        for (unsigned int k = 0; numbers && k < nr; k++)
            ask_device(t, w, types[i], numbers[k]);
        free(numbers);
    }
    free(types);
}

/* Our store's lines, "nodes: 5 of 1000, hit 0 times"; others' are another form. */
static void ask_quotas(struct toolstack *t, struct why *w)
{
    char id[8], *text, *line, *rest = NULL;

    snprintf(id, sizeof(id), "%u", w->info.domain);
    text = xs_control_command(t->store, "quota", id, (unsigned int)strlen(id) + 1);
    for (line = text ? strtok_r(text, "\n", &rest) : NULL; line && w->nr_quotas < WHY_QUOTAS;
         line = strtok_r(NULL, "\n", &rest)) {
        struct why_quota *q = &w->quotas[w->nr_quotas];

        if (sscanf(line, "%23[^:]: %llu of %llu, hit %llu", q->name, &q->used, &q->limit,
                   &q->hits) == 4)
            w->nr_quotas++;
    }
    free(text);
}

/* ---- rings ---- */

/* A pair of free-running indices of a ring of that size. */
static uint32_t waiting(struct why_ring *r, uint32_t prod, uint32_t cons, uint32_t size)
{
    uint32_t n = prod - cons;

    r->broken = r->broken || n > size;
    return n;
}

static void *map_ring(struct toolstack *t, const struct why *w, const char *leaf)
{
    xen_pfn_t frame = read_number(t, w, leaf);

    return frame ? xenforeignmemory_map(hyp_memory(t->hyp), w->info.domain, PROT_READ, 1, &frame,
                                        NULL)
                 : NULL;
}

static void ask_rings(struct toolstack *t, struct why *w)
{
    volatile struct xenstore_domain_interface *s = map_ring(t, w, "store/ring-ref");
    volatile struct xencons_interface *c;

    if (s) {
        w->store.known = true;
        w->store.from_domain = waiting(&w->store, s->req_prod, s->req_cons, XENSTORE_RING_SIZE);
        w->store.to_domain = waiting(&w->store, s->rsp_prod, s->rsp_cons, XENSTORE_RING_SIZE);
        xenforeignmemory_unmap(hyp_memory(t->hyp), (void *)(uintptr_t)s, 1);
    }
    c = map_ring(t, w, "console/ring-ref");
    if (c) {
        w->console.known = true;
        w->console.from_domain = waiting(&w->console, c->out_prod, c->out_cons, sizeof(c->out));
        w->console.to_domain = waiting(&w->console, c->in_prod, c->in_cons, sizeof(c->in));
        xenforeignmemory_unmap(hyp_memory(t->hyp), (void *)(uintptr_t)c, 1);
    }
}

static void ask_store(struct toolstack *t, struct why *w)
{
    read_text(t, w, "name", w->name, sizeof(w->name));
    read_text(t, w, "console/tty", w->tty, sizeof(w->tty));
    read_text(t, w, "control/shutdown", w->request, sizeof(w->request));
    w->introduced = xs_is_domain_introduced(t->store, w->info.domain);
    w->store_port = (uint32_t)read_number(t, w, "store/port");
    w->console_port = (uint32_t)read_number(t, w, "console/port");
    w->target_kib = read_number(t, w, "memory/target");
    ask_devices(t, w);
    ask_quotas(t, w);
    ask_rings(t, w);
}

int why_ask(struct toolstack *t, domid_t id, struct why *w)
{
    memset(w, 0, sizeof(*w));
    if (guest_info(t, id, &w->info))
        return -1;
    if (t->store)
        ask_store(t, w);
    if (w->name[0] == '\0' && id == t->self)
        snprintf(w->name, sizeof(w->name), "Domain-0");
    ask_vcpus(t, w);
    if (w->info.flags & XEN_DOMINF_dying) {
        ask_held(t, w);
        return 0;
    }
    ask_ports(t, w);
    ask_grants(t, w);
    return 0;
}
