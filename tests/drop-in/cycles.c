/*
 * Domains created and destroyed by hypercalls, without libxl, and what they leave behind.
 *   usage: cycles figures      what the machine has now: a line "figure NAME VALUE" each
 *          cycles run COUNT    COUNT domains, one after the other; then their ids, each once more
 * Each domain has a vCPU, 16 MiB, a port that is bound here, and a frame that is mapped here by a grant,
 * whose content must be zero. Every other one is destroyed while port and grant are still held: it must
 * not be gone before they are given back. Exit status: 0 if all went as it must.
 * It is a program of Debian's libraries, and of ours as the kernel rt_cycles (tests/guests/runtime/cycles.c).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/sysctl.h>
#include <xencall.h>
#include <xenevtchn.h>
#include <xenforeignmemory.h>
#include <xengnttab.h>

#define PAGE 4096u
#define NR_PAGES (16u << 8) /* 16 MiB */
#define MAX_DOMAINS 64u
#define MAX_PORTS \
    4096u             /* a port that is bound is the lowest that is free, so leaked ones are low */
#define GRANT_REF 8u  /* the first that is nobody's by convention */
#define PATIENCE 100u /* tenths of a second for what is freed behind the call */

static xencall_handle *call;
static xenevtchn_handle *events;
static xengnttab_handle *grants;
static xenforeignmemory_handle *memory;
/* What the hypervisor reads and writes has to be locked: all of it lies here. */
static struct locked {
    union {
        struct xen_domctl domctl;
        struct xen_sysctl sysctl;
        struct xen_memory_reservation reservation;
        struct evtchn_alloc_unbound unbound;
        struct evtchn_status status;
    };
    xen_domctl_getdomaininfo_t domains[MAX_DOMAINS];
    xen_pfn_t frames[NR_PAGES];
} * locked;

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("cycles: ");
    vprintf(format, args);
    printf(": %s\n", strerror(errno));
    va_end(args);
    exit(1);
}

/* ---- hypercalls: 0, or -1 with errno ---- */

static int domctl(uint32_t cmd, domid_t id)
{
    locked->domctl.cmd = cmd;
    locked->domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    locked->domctl.domain = id;
    return xencall1(call, __HYPERVISOR_domctl, (uintptr_t)locked);
}

static int sysctl(uint32_t cmd)
{
    locked->sysctl.cmd = cmd;
    locked->sysctl.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return xencall1(call, __HYPERVISOR_sysctl, (uintptr_t)locked);
}

/* Creates a domain with this id, or with any if it is 0: its id in locked->domctl.domain. */
static int create(domid_t id)
{
    memset(&locked->domctl, 0, sizeof(locked->domctl));
    locked->domctl.u.createdomain = (struct xen_domctl_createdomain){
        .max_vcpus = 1,
        .max_evtchn_port = 1023,
        .max_grant_frames = 64,
        .max_maptrack_frames = 1024,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    return domctl(XEN_DOMCTL_createdomain, id);
}

static bool is_there(domid_t id)
{
    return domctl(XEN_DOMCTL_getdomaininfo, id) == 0 && locked->domctl.domain == id;
}

static void destroy(domid_t id)
{
    int rc;

    do
        rc = domctl(XEN_DOMCTL_destroydomain, id);
    while (rc && errno == EAGAIN);
    if (rc)
        die("destroydomain of %u", id);
}

static void wait_until_gone(domid_t id)
{
    for (unsigned int n = 0; is_there(id); n++) {
        if (n == PATIENCE)
            die("domain %u is still there", id);
        usleep(100000);
    }
}

/* ---- figures ---- */

static uint64_t nr_ports(void)
{
    uint64_t n = 0;

    for (evtchn_port_t port = 1; port < MAX_PORTS; port++) {
        locked->status = (struct evtchn_status){ .dom = DOMID_SELF, .port = port };
        if (xencall2(call, __HYPERVISOR_event_channel_op, EVTCHNOP_status, (uintptr_t)locked)) {
            if (errno == EINVAL) /* Xen knows no ports above those that have ever been used */
                break;
            die("status of port %u", port);
        }
        n += locked->status.status != EVTCHNSTAT_closed;
    }
    return n;
}

/*
 * frames are those that are free or a domain's: the initial domain's balloon moves them to and fro, what
 * the hypervisor itself holds is missing in them.
 */
struct figures {
    uint64_t nr_free, nr_frames, nr_domains, nr_ports;
};

static struct figures take_figures(void)
{
    struct figures f;

    memset(&locked->sysctl, 0, sizeof(locked->sysctl));
    if (sysctl(XEN_SYSCTL_physinfo))
        die("physinfo");
    f.nr_free = locked->sysctl.u.physinfo.free_pages;
    f.nr_frames = f.nr_free + locked->sysctl.u.physinfo.scrub_pages;
    memset(&locked->sysctl, 0, sizeof(locked->sysctl));
    locked->sysctl.u.getdomaininfolist.max_domains = MAX_DOMAINS;
    set_xen_guest_handle(locked->sysctl.u.getdomaininfolist.buffer, locked->domains);
    if (sysctl(XEN_SYSCTL_getdomaininfolist))
        die("getdomaininfolist");
    f.nr_domains = locked->sysctl.u.getdomaininfolist.num_domains;
    for (uint64_t i = 0; i < f.nr_domains; i++)
        f.nr_frames += locked->domains[i].tot_pages;
    f.nr_ports = nr_ports();
    return f;
}

static void show_figures(const struct figures *f)
{
    printf("figure free %lu\nfigure frames %lu\n", f->nr_free, f->nr_frames);
    printf("figure domains %lu\nfigure ports %lu\n", f->nr_domains, f->nr_ports);
}

/* ---- one domain's life ---- */

static domid_t build(void)
{
    domid_t id;

    if (create(0))
        die("createdomain");
    id = locked->domctl.domain;
    locked->domctl.u.max_vcpus.max = 1;
    if (domctl(XEN_DOMCTL_max_vcpus, id))
        die("max_vcpus of %u", id);
    locked->domctl.u.max_mem.max_memkb = NR_PAGES * (PAGE >> 10);
    if (domctl(XEN_DOMCTL_max_mem, id))
        die("max_mem of %u", id);
    for (uint32_t i = 0; i < NR_PAGES; i++)
        locked->frames[i] = i;
    locked->reservation = (struct xen_memory_reservation){ .nr_extents = NR_PAGES, .domid = id };
    set_xen_guest_handle(locked->reservation.extent_start, locked->frames);
    if (xencall2(call, __HYPERVISOR_memory_op, XENMEM_populate_physmap, (uintptr_t)locked) !=
        (int)NR_PAGES)
        die("populate_physmap of %u", id);
    return id;
}

static evtchn_port_t bind_port(domid_t id)
{
    int port;

    locked->unbound = (struct evtchn_alloc_unbound){ .dom = id, .remote_dom = DOMID_SELF };
    if (xencall2(call, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)locked))
        die("alloc_unbound in %u", id);
    port = xenevtchn_bind_interdomain(events, id, locked->unbound.port);
    if (port < 0)
        die("bind_interdomain to %u", id);
    return (evtchn_port_t)port;
}

/* The domain's last frame, as its grant shows it here. */
static uint64_t *map_grant(domid_t id)
{
    xenforeignmemory_resource_handle *h;
    volatile grant_entry_v1_t *entry;
    void *table = NULL;
    uint64_t *page;

    h = xenforeignmemory_map_resource(memory, id, XENMEM_resource_grant_table,
                                      XENMEM_resource_grant_table_id_shared, 0, 1, &table,
                                      PROT_READ | PROT_WRITE, 0);
    if (h == NULL)
        die("grant table of %u", id);
    entry = (volatile grant_entry_v1_t *)table + GRANT_REF;
    entry->domid = 0;
    entry->frame = (uint32_t)locked->frames[NR_PAGES - 1];
    __atomic_thread_fence(__ATOMIC_RELEASE);
    entry->flags = GTF_permit_access;
    xenforeignmemory_unmap_resource(memory, h);
    page = xengnttab_map_grant_ref(grants, id, GRANT_REF, PROT_READ | PROT_WRITE);
    if (page == NULL)
        die("grant of %u", id);
    return page;
}

static void give_back(evtchn_port_t port, void *page)
{
    if (xengnttab_unmap(grants, page, 1))
        die("unmap");
    if (xenevtchn_unbind(events, port))
        die("unbind");
}

/* Its id, which is free again. */
static domid_t cycle(bool held)
{
    domid_t id = build();
    evtchn_port_t port = bind_port(id);
    uint64_t *page = map_grant(id);

    for (unsigned int i = 0; i < PAGE / sizeof(*page); i++) {
        if (page[i] != 0)
            die("domain %u was given a frame with 0x%lx in it", id, page[i]);
        page[i] = id;
    }
    if (!held)
        give_back(port, page);
    destroy(id);
    if (held) {
        if (!is_there(id))
            die("domain %u is gone with a mapped frame", id);
        give_back(port, page);
    }
    wait_until_gone(id);
    return id;
}

static void run(unsigned int count)
{
    domid_t *ids = calloc(count, sizeof(*ids));

    if (ids == NULL)
        die("memory");
    for (unsigned int i = 0; i < count; i++) {
        ids[i] = cycle(i % 2);
        if ((i + 1) % 100 == 0)
            printf("cycles: %u, domain %u\n", i + 1, ids[i]);
    }
    for (unsigned int i = 0; i < count; i++) {
        if (create(ids[i]) || locked->domctl.domain != ids[i])
            die("id %u cannot be had again", ids[i]);
        destroy(ids[i]);
        wait_until_gone(ids[i]);
    }
    printf("cycles: %u done\n", count);
    free(ids);
}

static void open_all(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    call = xencall_open(NULL, 0);
    events = xenevtchn_open(NULL, 0);
    grants = xengnttab_open(NULL, 0);
    memory = xenforeignmemory_open(NULL, 0);
    if (call == NULL || events == NULL || grants == NULL || memory == NULL)
        die("open");
    locked = xencall_alloc_buffer_pages(call, (sizeof(*locked) + PAGE - 1) / PAGE);
    if (locked == NULL)
        die("buffer");
}

int main(int argc, char **argv)
{
    long count = argc == 3 && strcmp(argv[1], "run") == 0 ? strtol(argv[2], NULL, 10) : 0;
    struct figures f;

    if (count <= 0 && !(argc == 2 && strcmp(argv[1], "figures") == 0)) {
        fprintf(stderr, "usage: cycles figures|run COUNT\n");
        return 2;
    }
    open_all();
    if (count > 0) {
        run((unsigned int)count);
    } else {
        f = take_figures();
        show_figures(&f);
    }
    return 0;
}
