/* See hyp.h. */
#include "hyp_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct xen_domctl *hyp_fresh(struct hyp *h)
{
    memset(&h->buffer->domctl, 0, sizeof(h->buffer->domctl));
    return &h->buffer->domctl;
}

int hyp_domctl(struct hyp *h, uint32_t cmd, domid_t id)
{
    h->buffer->domctl.cmd = cmd;
    h->buffer->domctl.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    h->buffer->domctl.domain = id;
    return xencall1(h->call, __HYPERVISOR_domctl, (uintptr_t)&h->buffer->domctl) < 0 ? -1 : 0;
}

int hyp_create(struct hyp *h, const struct xen_domctl_createdomain *config, domid_t *id)
{
    hyp_fresh(h)->u.createdomain = *config;
    if (hyp_domctl(h, XEN_DOMCTL_createdomain, 0))
        return -1;
    *id = h->buffer->domctl.domain;
    return 0;
}

int hyp_destroy(struct hyp *h, domid_t id)
{
    int rc;

    do {
        hyp_fresh(h);
        rc = hyp_domctl(h, XEN_DOMCTL_destroydomain, id);
    } while (rc && errno == EAGAIN);
    return rc;
}

int hyp_pause(struct hyp *h, domid_t id)
{
    hyp_fresh(h);
    return hyp_domctl(h, XEN_DOMCTL_pausedomain, id);
}

int hyp_unpause(struct hyp *h, domid_t id)
{
    hyp_fresh(h);
    return hyp_domctl(h, XEN_DOMCTL_unpausedomain, id);
}

int hyp_set_uuid(struct hyp *h, domid_t id, const uint8_t uuid[16])
{
    memcpy(hyp_fresh(h)->u.setdomainhandle.handle, uuid, sizeof(xen_domain_handle_t));
    return hyp_domctl(h, XEN_DOMCTL_setdomainhandle, id);
}

int hyp_max_vcpus(struct hyp *h, domid_t id, uint32_t nr)
{
    hyp_fresh(h)->u.max_vcpus.max = nr;
    return hyp_domctl(h, XEN_DOMCTL_max_vcpus, id);
}

int hyp_max_memory(struct hyp *h, domid_t id, uint64_t kib)
{
    hyp_fresh(h)->u.max_mem.max_memkb = kib;
    return hyp_domctl(h, XEN_DOMCTL_max_mem, id);
}

int hyp_info(struct hyp *h, domid_t id, xen_domctl_getdomaininfo_t *info)
{
    hyp_fresh(h);
    if (hyp_domctl(h, XEN_DOMCTL_getdomaininfo, id))
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
    hyp_fresh(h)->u.hypercall_init.gmfn = mfn;
    return hyp_domctl(h, XEN_DOMCTL_hypercall_init, id);
}

static int shares(struct hyp *h, domid_t id, uint32_t cmd, uint16_t weight, uint16_t cap)
{
    struct xen_domctl *op = hyp_fresh(h);

    op->u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op->u.scheduler_op.cmd = cmd;
    op->u.scheduler_op.u.credit2.weight = weight;
    op->u.scheduler_op.u.credit2.cap = cap;
    return hyp_domctl(h, XEN_DOMCTL_scheduler_op, id);
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
    struct xen_domctl_vcpuaffinity *a = &hyp_fresh(h)->u.vcpuaffinity;

    a->vcpu = vcpu;
    a->flags = flags;
    a->cpumap_hard.nr_bits = a->cpumap_soft.nr_bits = 64 * CPU_WORDS;
    set_xen_guest_handle(a->cpumap_hard.bitmap, (uint8_t *)h->buffer->cpus[0]);
    set_xen_guest_handle(a->cpumap_soft.bitmap, (uint8_t *)h->buffer->cpus[1]);
    return hyp_domctl(h, cmd, id);
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
    hyp_fresh(h)->u.getvcpuinfo.vcpu = vcpu;
    if (hyp_domctl(h, XEN_DOMCTL_getvcpuinfo, id))
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
    struct xen_domctl *op = hyp_fresh(h);

    op->u.sendtrigger.vcpu = vcpu;
    op->u.sendtrigger.trigger = trigger;
    return hyp_domctl(h, XEN_DOMCTL_sendtrigger, id);
}

/* ---- sysctl ---- */

int hyp_sysctl(struct hyp *h, uint32_t cmd)
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
    if (hyp_sysctl(h, XEN_SYSCTL_getdomaininfolist))
        return -1;
    nr = op->u.getdomaininfolist.num_domains;
    memcpy(infos, h->buffer->infos, nr * sizeof(*infos));
    return (int)nr;
}

int hyp_machine(struct hyp *h, struct xen_sysctl_physinfo *info)
{
    memset(&h->buffer->sysctl, 0, sizeof(h->buffer->sysctl));
    if (hyp_sysctl(h, XEN_SYSCTL_physinfo))
        return -1;
    *info = h->buffer->sysctl.u.physinfo;
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
    return hyp_sysctl(h, XEN_SYSCTL_debug_keys);
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
    if (hyp_sysctl(h, XEN_SYSCTL_readconsole))
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

int hyp_pin(struct hyp *h, domid_t id, unsigned int level, xen_pfn_t mfn)
{
    static const unsigned int pin[] = { MMUEXT_PIN_L1_TABLE, MMUEXT_PIN_L2_TABLE,
                                        MMUEXT_PIN_L3_TABLE, MMUEXT_PIN_L4_TABLE };

    h->buffer->mmuext = (struct mmuext_op){ .cmd = pin[level - 1], .arg1.mfn = mfn };
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
