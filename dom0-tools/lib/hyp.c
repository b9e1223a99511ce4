/* See hyp.h. */
#include "hyp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xencall.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hypfs.h>

_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15 && XEN_SYSCTL_INTERFACE_VERSION == 0x15,
               "ABI: another libxen-dev");

enum {
    NR_EXTENTS = 2048, /* of one call */
    NR_INFOS = 128,
    CPU_WORDS = 4, /* of a set of CPUs */
    HYPFS_BYTES = 4096,
    ORDER_LARGE = 9, /* 2 MiB: what fills memory fast, and is to be had */
    E820_RAM = 1,
};

struct e820 {
    uint64_t start, bytes;
    uint32_t type;
} __attribute__((packed));

/* An argument of a hypercall, and what that refers to. */
struct buffer {
    union {
        struct xen_domctl domctl;
        struct xen_sysctl sysctl;
        struct xen_memory_reservation reservation;
        struct xen_foreign_memory_map map;
        struct mmuext_op mmuext;
        struct evtchn_alloc_unbound unbound;
        struct evtchn_status status;
        struct gnttab_query_size grants;
        struct gnttab_get_version grant_version;
        struct {
            struct xen_hypfs_direntry entry;
            char contents[HYPFS_BYTES];
        } hypfs;
    };
    union {
        xen_pfn_t extents[NR_EXTENTS];
        xen_domctl_getdomaininfo_t infos[NR_INFOS];
        struct vcpu_guest_context context;
        struct e820 e820;
        uint64_t cpus[2][CPU_WORDS];
        xen_sysctl_cputopo_t topology[HYP_CPUS];
        struct {
            xen_sysctl_meminfo_t memory[HYP_NODES];
            uint32_t distances[HYP_NODES * HYP_NODES];
        } nodes;
        struct {
            physdev_pci_device_t devices[HYP_PCI];
            uint32_t nodes[HYP_PCI];
        } pci;
        char text[16384];
    };
};

struct hyp {
    xencall_handle *call;
    xenforeignmemory_handle *memory;
    struct buffer *buffer;
};

struct hyp *hyp_open(void)
{
    struct hyp *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return NULL;
    h->call = xencall_open(NULL, 0);
    h->memory = h->call ? xenforeignmemory_open(NULL, 0) : NULL;
    h->buffer = h->memory ? xencall_alloc_buffer(h->call, sizeof(*h->buffer)) : NULL;
    if (h->buffer)
        return h;
    hyp_close(h);
    return NULL;
}

void hyp_close(struct hyp *h)
{
    int error = errno;

    if (h == NULL)
        return;
    if (h->buffer)
        xencall_free_buffer(h->call, h->buffer);
    if (h->memory)
        xenforeignmemory_close(h->memory);
    if (h->call)
        xencall_close(h->call);
    free(h);
    errno = error;
}

xenforeignmemory_handle *hyp_memory(struct hyp *h) { return h->memory; }

/* ---- domctl: the caller has set what it says beside its name ---- */

/* A cleared one, to be filled. */
static struct xen_domctl *fresh(struct hyp *h)
{
    memset(&h->buffer->domctl, 0, sizeof(h->buffer->domctl));
    return &h->buffer->domctl;
}

static int domctl(struct hyp *h, uint32_t cmd, domid_t id)
{
    h->buffer->domctl.cmd = cmd;
    h->buffer->domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    h->buffer->domctl.domain = id;
    return xencall1(h->call, __HYPERVISOR_domctl, (uintptr_t)&h->buffer->domctl) < 0 ? -1 : 0;
}

int hyp_create(struct hyp *h, const struct xen_domctl_createdomain *config, domid_t *id)
{
    fresh(h)->u.createdomain = *config;
    if (domctl(h, XEN_DOMCTL_createdomain, 0))
        return -1;
    *id = h->buffer->domctl.domain;
    return 0;
}

int hyp_destroy(struct hyp *h, domid_t id)
{
    int rc;

    do {
        fresh(h);
        rc = domctl(h, XEN_DOMCTL_destroydomain, id);
    } while (rc && errno == EAGAIN);
    return rc;
}

int hyp_pause(struct hyp *h, domid_t id)
{
    fresh(h);
    return domctl(h, XEN_DOMCTL_pausedomain, id);
}

int hyp_unpause(struct hyp *h, domid_t id)
{
    fresh(h);
    return domctl(h, XEN_DOMCTL_unpausedomain, id);
}

int hyp_set_uuid(struct hyp *h, domid_t id, const uint8_t uuid[16])
{
    memcpy(fresh(h)->u.setdomainhandle.handle, uuid, sizeof(xen_domain_handle_t));
    return domctl(h, XEN_DOMCTL_setdomainhandle, id);
}

int hyp_max_vcpus(struct hyp *h, domid_t id, uint32_t nr)
{
    fresh(h)->u.max_vcpus.max = nr;
    return domctl(h, XEN_DOMCTL_max_vcpus, id);
}

int hyp_max_memory(struct hyp *h, domid_t id, uint64_t kib)
{
    fresh(h)->u.max_mem.max_memkb = kib;
    return domctl(h, XEN_DOMCTL_max_mem, id);
}

int hyp_info(struct hyp *h, domid_t id, xen_domctl_getdomaininfo_t *info)
{
    fresh(h);
    if (domctl(h, XEN_DOMCTL_getdomaininfo, id))
        return -1;
    if (h->buffer->domctl.domain != id) { /* the next one's */
        errno = ESRCH;
        return -1;
    }
    *info = h->buffer->domctl.u.getdomaininfo;
    return 0;
}

int hyp_hypercall_page(struct hyp *h, domid_t id, xen_pfn_t mfn)
{
    fresh(h)->u.hypercall_init.gmfn = mfn;
    return domctl(h, XEN_DOMCTL_hypercall_init, id);
}

int hyp_set_context(struct hyp *h, domid_t id, uint32_t vcpu, const struct vcpu_guest_context *c)
{
    struct xen_domctl *op = fresh(h);

    h->buffer->context = *c;
    op->u.vcpucontext.vcpu = vcpu;
    set_xen_guest_handle(op->u.vcpucontext.ctxt, (vcpu_guest_context_t *)&h->buffer->context);
    return domctl(h, XEN_DOMCTL_setvcpucontext, id);
}

static int shares(struct hyp *h, domid_t id, uint32_t cmd, uint16_t weight, uint16_t cap)
{
    struct xen_domctl *op = fresh(h);

    op->u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op->u.scheduler_op.cmd = cmd;
    op->u.scheduler_op.u.credit2.weight = weight;
    op->u.scheduler_op.u.credit2.cap = cap;
    return domctl(h, XEN_DOMCTL_scheduler_op, id);
}

int hyp_set_shares(struct hyp *h, domid_t id, uint16_t weight, uint16_t cap)
{
    return shares(h, id, XEN_DOMCTL_SCHEDOP_putinfo, weight, cap);
}

int hyp_get_shares(struct hyp *h, domid_t id, uint16_t *weight, uint16_t *cap)
{
    if (shares(h, id, XEN_DOMCTL_SCHEDOP_getinfo, 0, 0))
        return -1;
    *weight = h->buffer->domctl.u.scheduler_op.u.credit2.weight;
    *cap = h->buffer->domctl.u.scheduler_op.u.credit2.cap;
    return 0;
}

/* Both sets of CPUs, or those of flags, from and to the buffer. */
static int affinity(struct hyp *h, domid_t id, uint32_t cmd, uint32_t vcpu, uint32_t flags)
{
    struct xen_domctl_vcpuaffinity *a = &fresh(h)->u.vcpuaffinity;

    a->vcpu = vcpu;
    a->flags = flags;
    a->cpumap_hard.nr_bits = a->cpumap_soft.nr_bits = 64 * CPU_WORDS;
    set_xen_guest_handle(a->cpumap_hard.bitmap, (uint8_t *)h->buffer->cpus[0]);
    set_xen_guest_handle(a->cpumap_soft.bitmap, (uint8_t *)h->buffer->cpus[1]);
    return domctl(h, cmd, id);
}

int hyp_set_affinity(struct hyp *h, domid_t id, uint32_t vcpu, bool hard, const uint64_t cpus[4])
{
    memcpy(h->buffer->cpus[hard ? 0 : 1], cpus, sizeof(h->buffer->cpus[0]));
    return affinity(h, id, XEN_DOMCTL_setvcpuaffinity, vcpu,
                    hard ? XEN_VCPUAFFINITY_HARD : XEN_VCPUAFFINITY_SOFT);
}

int hyp_vcpu(struct hyp *h, domid_t id, uint32_t vcpu, struct xen_domctl_getvcpuinfo *info,
             uint64_t hard[4], uint64_t soft[4])
{
    fresh(h)->u.getvcpuinfo.vcpu = vcpu;
    if (domctl(h, XEN_DOMCTL_getvcpuinfo, id))
        return -1;
    *info = h->buffer->domctl.u.getvcpuinfo;
    memset(h->buffer->cpus, 0, sizeof(h->buffer->cpus));
    if (affinity(h, id, XEN_DOMCTL_getvcpuaffinity, vcpu,
                 XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT))
        return -1;
    memcpy(hard, h->buffer->cpus[0], sizeof(h->buffer->cpus[0]));
    memcpy(soft, h->buffer->cpus[1], sizeof(h->buffer->cpus[1]));
    return 0;
}

int hyp_trigger(struct hyp *h, domid_t id, uint32_t vcpu, uint32_t trigger)
{
    struct xen_domctl *op = fresh(h);

    op->u.sendtrigger.vcpu = vcpu;
    op->u.sendtrigger.trigger = trigger;
    return domctl(h, XEN_DOMCTL_sendtrigger, id);
}

/* ---- sysctl ---- */

static int sysctl(struct hyp *h, uint32_t cmd)
{
    h->buffer->sysctl.cmd = cmd;
    h->buffer->sysctl.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return xencall1(h->call, __HYPERVISOR_sysctl, (uintptr_t)&h->buffer->sysctl) < 0 ? -1 : 0;
}

int hyp_list(struct hyp *h, domid_t first, xen_domctl_getdomaininfo_t *infos, uint32_t max)
{
    struct xen_sysctl *op = &h->buffer->sysctl;
    uint32_t nr;

    memset(op, 0, sizeof(*op));
    op->u.getdomaininfolist.first_domain = first;
    op->u.getdomaininfolist.max_domains = max < NR_INFOS ? max : NR_INFOS;
    set_xen_guest_handle(op->u.getdomaininfolist.buffer, h->buffer->infos);
    if (sysctl(h, XEN_SYSCTL_getdomaininfolist))
        return -1;
    nr = op->u.getdomaininfolist.num_domains;
    memcpy(infos, h->buffer->infos, nr * sizeof(*infos));
    return (int)nr;
}

int hyp_machine(struct hyp *h, struct xen_sysctl_physinfo *info)
{
    memset(&h->buffer->sysctl, 0, sizeof(h->buffer->sysctl));
    if (sysctl(h, XEN_SYSCTL_physinfo))
        return -1;
    *info = h->buffer->sysctl.u.physinfo;
    return 0;
}

int hyp_topology(struct hyp *h, xen_sysctl_cputopo_t cpus[HYP_CPUS])
{
    struct xen_sysctl *op = &h->buffer->sysctl;
    uint32_t nr;

    memset(op, 0, sizeof(*op));
    op->u.cputopoinfo.num_cpus = HYP_CPUS;
    set_xen_guest_handle(op->u.cputopoinfo.cputopo, h->buffer->topology);
    if (sysctl(h, XEN_SYSCTL_cputopoinfo))
        return -1;
    nr = op->u.cputopoinfo.num_cpus < HYP_CPUS ? op->u.cputopoinfo.num_cpus : HYP_CPUS;
    memcpy(cpus, h->buffer->topology, nr * sizeof(*cpus));
    return (int)nr;
}

int hyp_nodes(struct hyp *h, xen_sysctl_meminfo_t nodes[HYP_NODES],
              uint32_t distances[HYP_NODES * HYP_NODES])
{
    struct xen_sysctl *op = &h->buffer->sysctl;
    uint32_t nr;

    memset(op, 0, sizeof(*op));
    op->u.numainfo.num_nodes = HYP_NODES;
    set_xen_guest_handle(op->u.numainfo.meminfo, h->buffer->nodes.memory);
    set_xen_guest_handle(op->u.numainfo.distance, h->buffer->nodes.distances);
    if (sysctl(h, XEN_SYSCTL_numainfo))
        return -1;
    nr = op->u.numainfo.num_nodes < HYP_NODES ? op->u.numainfo.num_nodes : HYP_NODES;
    memcpy(nodes, h->buffer->nodes.memory, nr * sizeof(*nodes));
    memcpy(distances, h->buffer->nodes.distances, nr * nr * sizeof(*distances));
    return (int)nr;
}

/* It may stop on its way. */
int hyp_pci_nodes(struct hyp *h, const struct physdev_pci_device *devices, uint32_t *nodes,
                  uint32_t nr)
{
    struct xen_sysctl *op = &h->buffer->sysctl;

    for (uint32_t done = 0, n; done < nr; done += n) {
        memset(op, 0, sizeof(*op));
        memcpy(h->buffer->pci.devices, devices + done, (nr - done) * sizeof(*devices));
        op->u.pcitopoinfo.num_devs = nr - done;
        set_xen_guest_handle(op->u.pcitopoinfo.devs, h->buffer->pci.devices);
        set_xen_guest_handle(op->u.pcitopoinfo.nodes, h->buffer->pci.nodes);
        if (sysctl(h, XEN_SYSCTL_pcitopoinfo))
            return -1;
        n = op->u.pcitopoinfo.num_devs;
        if (n == 0 || n > nr - done) {
            errno = EIO;
            return -1;
        }
        memcpy(nodes + done, h->buffer->pci.nodes, n * sizeof(*nodes));
    }
    return 0;
}

int hyp_scheduler(struct hyp *h, uint32_t *id)
{
    memset(&h->buffer->sysctl, 0, sizeof(h->buffer->sysctl));
    if (sysctl(h, XEN_SYSCTL_sched_id))
        return -1;
    *id = h->buffer->sysctl.u.sched_id.sched_id;
    return 0;
}

int hyp_debug_keys(struct hyp *h, const char *keys)
{
    struct xen_sysctl *op = &h->buffer->sysctl;
    size_t len = strlen(keys);

    if (len > sizeof(h->buffer->text)) {
        errno = E2BIG;
        return -1;
    }
    memset(op, 0, sizeof(*op));
    memcpy(h->buffer->text, keys, len);
    op->u.debug_keys.nr_keys = (uint32_t)len;
    set_xen_guest_handle(op->u.debug_keys.keys, h->buffer->text);
    return sysctl(h, XEN_SYSCTL_debug_keys);
}

int hyp_messages(struct hyp *h, char *buf, size_t len, uint32_t *index, bool clear)
{
    struct xen_sysctl *op = &h->buffer->sysctl;

    memset(op, 0, sizeof(*op));
    op->u.readconsole.clear = clear;
    op->u.readconsole.incremental = 1;
    op->u.readconsole.index = *index;
    op->u.readconsole.count =
        (uint32_t)(len < sizeof(h->buffer->text) ? len : sizeof(h->buffer->text));
    set_xen_guest_handle(op->u.readconsole.buffer, h->buffer->text);
    if (sysctl(h, XEN_SYSCTL_readconsole))
        return -1;
    *index = op->u.readconsole.index;
    memcpy(buf, h->buffer->text, op->u.readconsole.count);
    return (int)op->u.readconsole.count;
}

/* ---- memory ---- */

static int memory_op(struct hyp *h, unsigned int cmd)
{
    return xencall2(h->call, __HYPERVISOR_memory_op, cmd, (uintptr_t)h->buffer);
}

/* Whole extents of 2^order frames from first on. Returns how many frames there are then. */
static uint64_t populate(struct hyp *h, domid_t id, unsigned int order, uint64_t first, uint64_t nr,
                         uint64_t *mfns)
{
    uint64_t done = 0;

    while ((nr - done) >> order) {
        uint64_t n = (nr - done) >> order;
        int got;

        n = n < NR_EXTENTS ? n : NR_EXTENTS;
        for (uint64_t i = 0; i < n; i++)
            h->buffer->extents[i] = first + done + (i << order);
        h->buffer->reservation = (struct xen_memory_reservation){
            .nr_extents = n,
            .extent_order = order,
            .domid = id,
        };
        set_xen_guest_handle(h->buffer->reservation.extent_start, h->buffer->extents);
        got = memory_op(h, XENMEM_populate_physmap);
        for (int i = 0; i < got; i++)
            for (uint64_t k = 0; k < 1ul << order; k++)
                mfns[done++] = h->buffer->extents[i] + k;
        if (got < 0 || (uint64_t)got < n)
            break;
    }
    return done;
}

uint64_t hyp_populate(struct hyp *h, domid_t id, uint64_t first, uint64_t nr, uint64_t *mfns)
{
    uint64_t done = populate(h, id, ORDER_LARGE, first, nr, mfns);

    return done + populate(h, id, 0, first + done, nr - done, mfns + done);
}

int hyp_set_memory_map(struct hyp *h, domid_t id, uint64_t bytes)
{
    h->buffer->e820 = (struct e820){ 0, bytes, E820_RAM };
    h->buffer->map = (struct xen_foreign_memory_map){ .domid = id, .map.nr_entries = 1 };
    set_xen_guest_handle(h->buffer->map.map.buffer, (void *)&h->buffer->e820);
    return memory_op(h, XENMEM_set_memory_map) < 0 ? -1 : 0;
}

int hyp_pin_root(struct hyp *h, domid_t id, xen_pfn_t mfn)
{
    h->buffer->mmuext = (struct mmuext_op){ .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = mfn };
    return xencall4(h->call, __HYPERVISOR_mmuext_op, (uintptr_t)&h->buffer->mmuext, 1, 0, id) < 0
               ? -1
               : 0;
}

/* ---- event channels ---- */

int hyp_alloc_port(struct hyp *h, domid_t id, domid_t remote)
{
    h->buffer->unbound = (struct evtchn_alloc_unbound){ .dom = id, .remote_dom = remote };
    if (xencall2(h->call, __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound,
                 (uintptr_t)&h->buffer->unbound) < 0)
        return -1;
    return (int)h->buffer->unbound.port;
}

int hyp_port(struct hyp *h, domid_t id, uint32_t port, struct evtchn_status *status)
{
    h->buffer->status = (struct evtchn_status){ .dom = id, .port = port };
    if (xencall2(h->call, __HYPERVISOR_event_channel_op, EVTCHNOP_status,
                 (uintptr_t)&h->buffer->status) < 0)
        return -1;
    *status = h->buffer->status;
    return 0;
}

/* ---- grants ---- */

int hyp_grants(struct hyp *h, domid_t id, uint32_t *nr_frames, uint32_t *max_frames,
               uint32_t *version)
{
    h->buffer->grant_version = (struct gnttab_get_version){ .dom = id };
    if (xencall3(h->call, __HYPERVISOR_grant_table_op, GNTTABOP_get_version,
                 (uintptr_t)&h->buffer->grant_version, 1) < 0)
        return -1;
    *version = h->buffer->grant_version.version;
    h->buffer->grants = (struct gnttab_query_size){ .dom = id };
    if (xencall3(h->call, __HYPERVISOR_grant_table_op, GNTTABOP_query_size,
                 (uintptr_t)&h->buffer->grants, 1) < 0)
        return -1;
    *nr_frames = h->buffer->grants.nr_frames;
    *max_frames = h->buffer->grants.max_nr_frames;
    errno = EIO;
    return h->buffer->grants.status == GNTST_okay ? 0 : -1;
}

/* ---- the hypervisor itself ---- */

int hyp_hypfs(struct hyp *h, const char *path, char *text, size_t size)
{
    struct xen_hypfs_direntry *e = &h->buffer->hypfs.entry;
    size_t len = strlen(path) + 1;
    uint32_t number;

    if (len > sizeof(h->buffer->text)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(h->buffer->text, path, len);
    if (xencall5(h->call, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, (uintptr_t)h->buffer->text, len,
                 (uintptr_t)&h->buffer->hypfs, sizeof(h->buffer->hypfs) - 1) < 0)
        return -1;
    if (e->type == XEN_HYPFS_TYPE_DIR) {
        errno = EISDIR;
        return -1;
    }
    if (e->encoding != XEN_HYPFS_ENC_PLAIN || e->content_len >= HYPFS_BYTES) {
        errno = e->encoding != XEN_HYPFS_ENC_PLAIN ? EINVAL : EFBIG;
        return -1;
    }
    memcpy(&number, h->buffer->hypfs.contents, sizeof(number));
    h->buffer->hypfs.contents[e->content_len] = '\0';
    if (e->type == XEN_HYPFS_TYPE_UINT)
        snprintf(text, size, "%u", number);
    else
        snprintf(text, size, "%s", h->buffer->hypfs.contents);
    return 0;
}

/* What fills the buffer's text. */
static int version(struct hyp *h, unsigned int cmd)
{
    return xencall2(h->call, __HYPERVISOR_xen_version, cmd, (uintptr_t)h->buffer->text);
}

/* What is an answer by itself. */
static int version_number(struct hyp *h, unsigned int cmd)
{
    return xencall2(h->call, __HYPERVISOR_xen_version, cmd, 0);
}

/* A text of size bytes, which it may fill to the last. */
static int version_text(struct hyp *h, unsigned int cmd, char *text, size_t size)
{
    memset(h->buffer->text, 0, size);
    if (version(h, cmd) < 0)
        return -1;
    memcpy(text, h->buffer->text, size);
    text[size - 1] = '\0';
    return 0;
}

/* A hypervisor need not have one. */
static void read_build_id(struct hyp *h, char *digits, size_t size)
{
    xen_build_id_t *id = (xen_build_id_t *)h->buffer->text;
    int len;

    id->len = (uint32_t)(size / 2);
    len = version(h, XENVER_build_id);
    digits[0] = '\0';
    for (int i = 0; i < len && 2 * (size_t)i + 2 < size; i++)
        snprintf(digits + 2 * i, 3, "%02x", id->buf[i]);
}

int hyp_version(struct hyp *h, struct hyp_version *v)
{
    int number = version_number(h, XENVER_version);
    int page = number < 0 ? -1 : version_number(h, XENVER_pagesize);

    if (page < 0 || version_text(h, XENVER_extraversion, v->extra, sizeof(v->extra)) ||
        version_text(h, XENVER_capabilities, v->capabilities, sizeof(v->capabilities)) ||
        version_text(h, XENVER_changeset, v->changeset, sizeof(v->changeset)) ||
        version_text(h, XENVER_commandline, v->command_line, sizeof(v->command_line)) ||
        version_text(h, XENVER_compile_info, (char *)&v->compile, sizeof(v->compile)) ||
        version(h, XENVER_platform_parameters) < 0)
        return -1;
    v->virt_start = ((xen_platform_parameters_t *)h->buffer->text)->virt_start;
    v->major = (unsigned int)number >> 16;
    v->minor = number & 0xffff;
    v->page_bytes = (unsigned int)page;
    v->compile.compiler[sizeof(v->compile.compiler) - 1] = '\0';
    v->compile.compile_by[sizeof(v->compile.compile_by) - 1] = '\0';
    v->compile.compile_domain[sizeof(v->compile.compile_domain) - 1] = '\0';
    read_build_id(h, v->build_id, sizeof(v->build_id));
    return 0;
}
