/*
 * sysctl: what the toolstack asks about the whole machine. One node, one cpupool with all CPUs, one
 * scheduler, whose weights and caps are set as credit2's.
 */
#include "hypercall/hypercall.h"

#include <xen/sysctl.h>

#include "console/console.h"
#include "domain/domain.h"
#include "hypercall/domctl.h"
#include "irq/irq.h"
#include "memory/heap.h"

_Static_assert(XEN_SYSCTL_INTERFACE_VERSION == 0x15, "ABI: another libxen-dev");

#define MAX_DEBUG_KEYS 16u
#define CHUNK_BYTES 256u
#define LOCAL_DISTANCE 10u /* ACPI's, of a node to itself */

static uint32_t nr_cpu_ids(void) { return fls64(arch_cpus_online()); }
static bool cpu_is_online(uint32_t cpu) { return arch_cpus_online() >> cpu & 1; }

struct domain *domain_next(struct domain *d)
{
    struct domain *next;

    if (d == NULL)
        return domain_get_from(0);
    spin_lock(&domain_list_lock);
    next = d->next;
    if (next)
        domain_get(next);
    spin_unlock(&domain_list_lock);
    domain_put(d);
    return next;
}

/* ---- console ---- */

static long op_readconsole(struct xen_sysctl *s)
{
    struct xen_sysctl_readconsole *op = &s->u.readconsole;
    uint32_t at = console_log_begin(), done = 0, n;
    char chunk[CHUNK_BYTES];

    if (op->incremental && (int32_t)(op->index - at) > 0)
        at = op->index;
    while ((n = console_log_read(&at, chunk, MIN(op->count - done, CHUNK_BYTES))) != 0) {
        if (copy_to_guest(gva_index(GVA_OF(op->buffer), done, 1), chunk, n))
            return -EFAULT;
        done += n;
    }
    if (op->clear)
        console_log_clear(at);
    op->count = done;
    op->index = at;
    return 0;
}

/* Each as if typed on the console; they have been carried out when this returns. */
static long op_debug_keys(struct xen_sysctl *s)
{
    const struct xen_sysctl_debug_keys *op = &s->u.debug_keys;
    uint8_t keys[MAX_DEBUG_KEYS];

    if (op->nr_keys > MAX_DEBUG_KEYS)
        return -E2BIG;
    if (copy_from_guest(keys, GVA_OF(op->keys), op->nr_keys))
        return -EFAULT;
    for (uint32_t i = 0; i < op->nr_keys; i++)
        debug_key_run(keys[i]);
    return 0;
}

/* ---- topology ---- */

/*
 * How many low bits of an APIC id tell the threads of a core apart, and how many the CPUs of a socket: by
 * the topology leaf. Of older CPUs, which have none, all of a socket count as cores.
 */
static void apic_id_bits(uint32_t *core_shift, uint32_t *socket_shift)
{
    enum { LEAF_TOPOLOGY = 0xb, TYPE_THREAD = 1, HAS_THREADS = 1 << 28 };
    uint32_t r[4], max, nr;

    arch_cpuid(0, 0, r);
    max = r[0];
    *core_shift = *socket_shift = 0;
    for (uint32_t i = 0; max >= LEAF_TOPOLOGY && i < 8; i++) {
        arch_cpuid(LEAF_TOPOLOGY, i, r);
        if ((r[2] >> 8 & 0xff) == 0)
            break;
        *socket_shift = r[0] & 31;
        if ((r[2] >> 8 & 0xff) == TYPE_THREAD)
            *core_shift = r[0] & 31;
    }
    arch_cpuid(1, 0, r);
    nr = r[1] >> 16 & 0xff;
    if (*socket_shift == 0 && (r[3] & HAS_THREADS) && nr > 1)
        *socket_shift = fls64(nr - 1);
}

/* How many CPUs have an APIC id that is CPU 0's but for this many low bits; 31: all. */
static uint32_t cpus_beside_first(uint32_t shift)
{
    uint32_t n = 0;

    for (uint64_t m = arch_cpus_online(); m; m &= m - 1)
        n += arch_cpu_apic_id(ffs64(m) - 1) >> shift == arch_cpu_apic_id(0) >> shift;
    return n;
}

/* CPUs 0..num_cpus - 1; num_cpus OUT: how many there are. */
static long op_cputopoinfo(struct xen_sysctl *s)
{
    struct xen_sysctl_cputopoinfo *op = &s->u.cputopoinfo;
    uint32_t n = gva_x(GVA_OF(op->cputopo)) ? MIN(op->num_cpus, nr_cpu_ids()) : 0, core, socket;
    struct xen_sysctl_cputopo t[NR_CPUS];

    apic_id_bits(&core, &socket);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = cpu_is_online(i) ? arch_cpu_apic_id(i) : 0;

        t[i] = (struct xen_sysctl_cputopo){ XEN_INVALID_CORE_ID, XEN_INVALID_SOCKET_ID,
                                            XEN_INVALID_NODE_ID };
        if (cpu_is_online(i))
            t[i] =
                (struct xen_sysctl_cputopo){ (id & ((1u << socket) - 1)) >> core, id >> socket, 0 };
    }
    op->num_cpus = nr_cpu_ids();
    return n ? copy_to_guest(GVA_OF(op->cputopo), t, n * sizeof(*t)) : 0;
}

static long op_numainfo(struct xen_sysctl *s)
{
    struct xen_sysctl_numainfo *op = &s->u.numainfo;
    const struct xen_sysctl_meminfo mem = { heap_total_pages() << PAGE_SHIFT, heap_free_pages()
                                                                                  << PAGE_SHIFT };
    const uint32_t distance = LOCAL_DISTANCE;
    long rc = 0;

    if (op->num_nodes && gva_x(GVA_OF(op->meminfo)))
        rc = copy_to_guest(GVA_OF(op->meminfo), &mem, sizeof(mem));
    if (rc == 0 && op->num_nodes && gva_x(GVA_OF(op->distance)))
        rc = copy_to_guest(GVA_OF(op->distance), &distance, sizeof(distance));
    op->num_nodes = 1;
    return rc;
}

/* As far as it goes until something else is to be done: the caller looks at num_devs. */
static long op_pcitopoinfo(struct xen_sysctl *s)
{
    struct xen_sysctl_pcitopoinfo *op = &s->u.pcitopoinfo;
    uint32_t i;

    if (gva_x(GVA_OF(op->devs)) == 0 || gva_x(GVA_OF(op->nodes)) == 0)
        return -EINVAL;
    for (i = 0; i < op->num_devs && (i == 0 || !hypercall_preempt_check()); i++) {
        struct physdev_pci_device dev;
        uint32_t node;

        if (copy_from_guest(&dev, gva_index(GVA_OF(op->devs), i, sizeof(dev)), sizeof(dev)))
            return -EFAULT;
        node = pci_is_present(dev.seg, dev.bus, dev.devfn) ? 0 : XEN_INVALID_DEV;
        if (copy_to_guest(gva_index(GVA_OF(op->nodes), i, sizeof(node)), &node, sizeof(node)))
            return -EFAULT;
    }
    op->num_devs = i;
    return 0;
}

/* ---- the machine ---- */

static long op_physinfo(struct xen_sysctl *s)
{
    struct xen_sysctl_physinfo *op = &s->u.physinfo;
    uint32_t core, socket, threads, words[NR_FEATURE_WORDS];

    apic_id_bits(&core, &socket);
    threads = cpus_beside_first(core) ?: 1;
    *op = (struct xen_sysctl_physinfo){
        .threads_per_core = threads,
        .cores_per_socket = cpus_beside_first(socket) / threads,
        .nr_cpus = cpus_beside_first(31),
        .max_cpu_id = nr_cpu_ids() - 1,
        .nr_nodes = 1,
        .cpu_khz = (uint32_t)arch_tsc_khz(),
        .capabilities = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1,
        .total_pages = heap_total_pages(),
        .free_pages = heap_free_pages(),
        .outstanding_pages = heap_claimed_pages(),
        .max_mfn = max_mfn - 1,
    };
    cpu_featureset(NULL, words);
    memcpy(op->hw_cap, words, sizeof(op->hw_cap)); /* the first ones, as tools print them */
    return 0;
}

/* ---- domains ---- */

/* Those from first_domain on, max_domains at most. */
static long op_getdomaininfolist(struct xen_sysctl *s)
{
    struct xen_sysctl_getdomaininfolist *op = &s->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    struct domain *d = domain_next(NULL);
    long rc = 0;

    op->num_domains = 0;
    for (; d && op->num_domains < op->max_domains; d = domain_next(d)) {
        if (d->domain_id < op->first_domain)
            continue;
        domain_info(d, &info);
        rc = copy_to_guest(gva_index(GVA_OF(op->buffer), op->num_domains, sizeof(info)), &info,
                           sizeof(info));
        if (rc)
            break;
        op->num_domains++;
    }
    if (d)
        domain_put(d);
    return rc;
}

/* ---- scheduler ---- */

static long op_sched_id(struct xen_sysctl *s)
{
    s->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
    return 0;
}

/* -ENOENT: there is pool 0 only. -EOPNOTSUPP: and it is not to be changed. */
static long op_cpupool(struct xen_sysctl *s)
{
    struct xen_sysctl_cpupool_op *op = &s->u.cpupool_op;

    if (op->op == XEN_SYSCTL_CPUPOOL_OP_FREEINFO)
        return bitmap_out(&op->cpumap, 0);
    if (op->op != XEN_SYSCTL_CPUPOOL_OP_INFO)
        return -EOPNOTSUPP;
    if (op->cpupool_id)
        return -ENOENT;
    op->sched_id = XEN_SCHEDULER_CREDIT2;
    op->n_dom = 0;
    for (struct domain *d = domain_next(NULL); d; d = domain_next(d))
        op->n_dom++;
    return bitmap_out(&op->cpumap, arch_cpus_online());
}

/* -ESRCH no such pool; -EINVAL another scheduler; -EOPNOTSUPP to change a parameter: we have none. */
static long op_scheduler(struct xen_sysctl *s)
{
    struct xen_sysctl_scheduler_op *op = &s->u.scheduler_op;

    if (op->cmd != XEN_SYSCTL_SCHEDOP_getinfo)
        return -EOPNOTSUPP;
    if (op->cpupool_id)
        return -ESRCH;
    if (op->sched_id != XEN_SCHEDULER_CREDIT2)
        return -EINVAL;
    op->u.sched_credit2.ratelimit_us = 0; /* off: who wakes may preempt at once */
    return 0;
}

/* ---- dispatch ---- */

/* No frequencies, C-states, cache allocation: the answer of a machine without, which xenpm knows. */
static long op_no_device(struct xen_sysctl *s) { return -ENODEV; }

static long (*const ops[])(struct xen_sysctl *s) = {
    [XEN_SYSCTL_readconsole] = op_readconsole,
    [XEN_SYSCTL_physinfo] = op_physinfo,
    [XEN_SYSCTL_sched_id] = op_sched_id,
    [XEN_SYSCTL_getdomaininfolist] = op_getdomaininfolist,
    [XEN_SYSCTL_debug_keys] = op_debug_keys,
    [XEN_SYSCTL_get_pmstat] = op_no_device,
    [XEN_SYSCTL_pm_op] = op_no_device,
    [XEN_SYSCTL_psr_cmt_op] = op_no_device,
    [XEN_SYSCTL_psr_alloc] = op_no_device,
    [XEN_SYSCTL_cputopoinfo] = op_cputopoinfo,
    [XEN_SYSCTL_numainfo] = op_numainfo,
    [XEN_SYSCTL_cpupool_op] = op_cpupool,
    [XEN_SYSCTL_scheduler_op] = op_scheduler,
    [XEN_SYSCTL_pcitopoinfo] = op_pcitopoinfo,
    [XEN_SYSCTL_get_cpu_featureset] = sysctl_get_cpu_featureset,
    [XEN_SYSCTL_get_cpu_policy] = sysctl_get_cpu_policy,
};

/**
 * HYPERVISOR_sysctl; privileged only.
 * @arg  guest address of a struct xen_sysctl; its OUT fields are written after success, those of CPU
 *       policies and featuresets always
 * Returns 0; -EFAULT; -EPERM; -EACCES another interface version; -E2BIG more than 16 debug keys;
 *   -EINVAL, -ENOENT, -ESRCH as above; -EOPNOTSUPP other cpupools, scheduler parameters; -ENODEV
 *   get_pmstat, pm_op, psr_*; -ENOSYS what has no row: profiling, livepatch, coverage (as a Xen that is
 *   built without them), CPU hotplug, offlining of pages; getcpuinfo, availheap, get_cpu_levelling_caps,
 *   which no tool of the census asks for; and what the ABI does not have.
 */
long hc_sysctl(uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_sysctl op;
    uint32_t cmd;
    long rc;

    if (policy_check(current->domain, NULL, RIGHT_MACHINE))
        return -EPERM;
    if (copy_from_guest(&op, _gva(arg), sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -EACCES;
    cmd = (uint32_t)array_index_nospec(op.cmd, ARRAY_SIZE(ops));
    if (cmd != op.cmd || ops[cmd] == NULL)
        return -ENOSYS;
    rc = ops[cmd](&op);
    if (rc == 0 || cmd == XEN_SYSCTL_get_cpu_featureset || cmd == XEN_SYSCTL_get_cpu_policy)
        if (copy_to_guest(_gva(arg), &op, sizeof(op))) /* these two tell what is wrong */
            rc = -EFAULT;
    return rc;
}
