/* See toolstack_machine.h. */
#include "toolstack_machine_internal.h"
#include "toolstack_answers.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <platform.h>
#include <xen/event_channel.h>
#include <xen/hypfs.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/version.h>
#include <xencall.h>
#include <xenforeignmemory.h>
#include <xenstore.h>

#define PAGE 4096ul
#define P(type, address) ((type *)(uintptr_t)(address))

struct machine_domain machine[NR_DOMAINS];

static int ram = -1; /* a file, of which frames are mapped wherever they are wanted */
static uint8_t *all; /* all of it */
static struct {
    domid_t owner;
    uint64_t pfn;
    unsigned int mapped;
    bool is_table; /* pinned, or below one that is */
    uint32_t type; /* XEN_DOMCTL_PFINFO_*, of such a one */
} frames[NR_FRAMES];

static unsigned int nr_buffers, nr_mappings, calls, fails_at;
static bool has_failed;
int machine_error = EIO;
static unsigned int dies_at;
static jmp_buf *after_death;

static int no(int error)
{
    errno = error;
    return -1;
}

/* What a process that ends does not keep: mappings, memory, a transaction. */
static void die(void)
{
    dies_at = 0;
    machine_store_die();
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        frames[i].mapped = 0;
    nr_mappings = nr_buffers = 0;
    longjmp(*after_death, 1);
}

bool machine_call_fails(void)
{
    if (dies_at && calls + 1 == dies_at)
        die();
    if (++calls != fails_at)
        return false;
    has_failed = true;
    errno = machine_error;
    return true;
}

bool machine_fail_at(unsigned int n)
{
    bool had = has_failed;

    calls = 0;
    has_failed = false;
    fails_at = n;
    return had;
}

void machine_die_at(unsigned int n, jmp_buf *to)
{
    calls = 0;
    dies_at = n;
    after_death = to;
}

unsigned int machine_held(void) { return nr_buffers + nr_mappings + machine_in_transaction(); }

unsigned int machine_calls(void) { return calls; }

/* ---- frames ---- */

void *machine_frame(uint64_t mfn)
{
    CU_ASSERT_TRUE_FATAL(mfn >= FIRST_MFN && mfn < FIRST_MFN + NR_FRAMES);
    return all + (mfn - FIRST_MFN) * PAGE;
}

domid_t machine_owner(uint64_t mfn)
{
    return mfn >= FIRST_MFN && mfn < FIRST_MFN + NR_FRAMES ? frames[mfn - FIRST_MFN].owner : 0;
}

uint64_t machine_pfn(uint64_t mfn) { return frames[mfn - FIRST_MFN].pfn; }

uint64_t machine_free(void)
{
    uint64_t n = 0;

    for (unsigned int i = 0; i < NR_FRAMES; i++)
        n += frames[i].owner == 0;
    return n;
}

/* A free run of frames, from the top down so that neighbours are not in order. 0: there is none. */
static uint64_t take(domid_t owner, uint64_t pfn, unsigned int order)
{
    for (uint64_t i = NR_FRAMES >> order; i-- > 0;) {
        uint64_t first = i << order, n = 0;

        while (n < 1ul << order && frames[first + n].owner == 0)
            n++;
        if (n < 1ul << order)
            continue;
        for (n = 0; n < 1ul << order; n++) {
            frames[first + n].owner = owner;
            frames[first + n].pfn = pfn + n;
            memset(all + (first + n) * PAGE, 0, PAGE);
        }
        return FIRST_MFN + first;
    }
    return 0;
}

void machine_reset(void)
{
    if (ram < 0) {
        ram = memfd_create("machine", 0);
        CU_ASSERT_TRUE_FATAL(ram >= 0 && ftruncate(ram, NR_FRAMES * PAGE) == 0);
        all = mmap(NULL, NR_FRAMES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ram, 0);
        CU_ASSERT_TRUE_FATAL((void *)all != MAP_FAILED);
    }
    memset(machine, 0, sizeof(machine));
    machine_store_reset();
    memset(frames, 0, sizeof(frames));
    machine[0].there = true;
    nr_buffers = nr_mappings = 0;
    machine_fail_at(0);
}

/* ---- xencall.h ---- */

static char handle;

xencall_handle *xencall_open(struct xentoollog_logger *logger, unsigned open_flags)
{
    return machine_call_fails() ? NULL : (void *)&handle;
}

int xencall_close(xencall_handle *xcall) { return 0; }

void *xencall_alloc_buffer(xencall_handle *xcall, size_t size)
{
    if (machine_call_fails())
        return NULL;
    nr_buffers++;
    return calloc(1, size);
}

void xencall_free_buffer(xencall_handle *xcall, void *p)
{
    nr_buffers--;
    free(p);
}

static int create(struct xen_domctl *op)
{
    const struct xen_domctl_createdomain *c = &op->u.createdomain;
    static domid_t last;
    struct machine_domain *d;

    CU_ASSERT_EQUAL(op->domain, 0);
    CU_ASSERT_EQUAL(c->grant_opts, XEN_DOMCTL_GRANT_version(1));
    if (c->max_vcpus == 0 || c->max_vcpus > 64)
        return no(EINVAL);
    for (unsigned int n = 1; n < NR_DOMAINS; n++) {
        last = (domid_t)(last % (NR_DOMAINS - 1) + 1);
        d = &machine[last];
        if (d->there)
            continue;
        *d = (struct machine_domain){ .there = true, .max_vcpus = c->max_vcpus, .pauses = 1 };
        memcpy(d->handle, c->handle, sizeof(d->handle));
        d->shared_info_mfn = take(last, 0, 0);
        d->grants_mfn = take(last, 0, 0);
        op->domain = last;
        return 0;
    }
    return no(ENOMEM);
}

static int destroy(domid_t id)
{
    static bool again;

    again = !again; /* it takes two calls */
    if (again)
        return no(EAGAIN);
    for (unsigned int i = 0; i < NR_FRAMES; i++)
        if (frames[i].owner == id) {
            CU_ASSERT_EQUAL(frames[i].mapped, 0);
            memset(&frames[i], 0, sizeof(frames[i]));
        }
    memset(&machine[id], 0, sizeof(machine[id]));
    return 0;
}

static void info_of(domid_t id, xen_domctl_getdomaininfo_t *info)
{
    struct machine_domain *d = &machine[id];
    const struct machine_node *n;
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", id);
    n = machine_node(path);
    if (d->removes && n && strcmp(n->value, "suspend") == 0) {
        xs_rm(NULL, XBT_NULL, path);
        n = NULL;
    }
    if (d->suspends_ns && plat_now() >= d->suspends_ns && (n ? n->value[0] == '\0' : d->removes)) {
        d->flags = XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
        d->suspends_ns = 0;
    }
    *info = (xen_domctl_getdomaininfo_t){ .domain = id,
                                          .flags = d->flags,
                                          .tot_pages = d->nr_pages,
                                          .max_pages = d->max_pages,
                                          .cpu_time = d->cpu_time,
                                          .shared_info_frame = d->shared_info_mfn };
    info->max_vcpu_id = d->nr_vcpus ? d->nr_vcpus - 1 : XEN_INVALID_MAX_VCPU_ID;
    info->flags |= d->pauses ? XEN_DOMINF_paused : 0;
    memcpy(info->handle, d->handle, sizeof(info->handle));
}

static int get_info(struct xen_domctl *op)
{
    while (op->domain < NR_DOMAINS && !machine[op->domain].there)
        op->domain++;
    if (op->domain == NR_DOMAINS)
        return no(ESRCH);
    info_of(op->domain, &op->u.getdomaininfo);
    return 0;
}

/* Its root is a pinned table, and there are no others. */
static int set_context(struct machine_domain *d, const struct xen_domctl *op)
{
    const struct vcpu_guest_context *c = op->u.vcpucontext.ctxt.p;

    if (op->u.vcpucontext.vcpu || !d->pinned || d->nr_vcpus == 0 ||
        machine_owner(c->ctrlreg[3] >> 12) == 0 ||
        frames[(c->ctrlreg[3] >> 12) - FIRST_MFN].type >> 28 != 12)
        return no(EINVAL);
    d->context = *op->u.vcpucontext.ctxt.p;
    d->has_context = true;
    return 0;
}

static int get_context(const struct machine_domain *d, const struct xen_domctl *op)
{
    CU_ASSERT_EQUAL(op->u.vcpucontext.vcpu, 0);
    *op->u.vcpucontext.ctxt.p = d->context;
    return 0;
}

/* Of the kinds of state whose form is not ours to know. */
static int xsave(struct machine_domain *d, struct xen_domctl_vcpuextstate *e, bool set)
{
    if (set ? e->size != sizeof(d->xsave) : e->buffer.p && e->size != sizeof(d->xsave))
        return no(EINVAL);
    if (set)
        memcpy(d->xsave, e->buffer.p, sizeof(d->xsave));
    else if (e->buffer.p)
        memcpy(e->buffer.p, d->xsave, sizeof(d->xsave));
    e->size = sizeof(d->xsave);
    e->xfeature_mask = 3;
    return 0;
}

static int msrs(struct machine_domain *d, struct xen_domctl_vcpu_msrs *m, bool set)
{
    if (set && (m->msr_count != 1 || m->msrs.p[0].index != 0xc0000103))
        return no(EINVAL);
    if (set)
        d->tsc_aux = m->msrs.p[0].value;
    else
        m->msrs.p[0] = (xen_domctl_vcpu_msr_t){ .index = 0xc0000103, .value = d->tsc_aux };
    m->msr_count = 1;
    return 0;
}

static int policy(struct xen_domctl_cpu_policy *c, bool set)
{
    CU_ASSERT_TRUE_FATAL(set || (c->nr_leaves > 2 && c->nr_msrs > 1));
    for (uint32_t i = 0; set && i < c->nr_leaves; i++)
        if (c->leaves.p[i].leaf != i || c->leaves.p[i].d != 7) {
            c->err_leaf = c->leaves.p[i].leaf;
            return no(EINVAL);
        }
    if (set)
        return 0;
    for (uint32_t i = 0; i < 2; i++)
        c->leaves.p[i] = (xen_cpuid_leaf_t){ .leaf = i, .d = 7 };
    c->msrs.p[0] = (xen_msr_entry_t){ .idx = 0x10a };
    c->nr_leaves = 2;
    c->nr_msrs = 1;
    return 0;
}

static int page_types(domid_t id, struct xen_domctl_getpageframeinfo3 *info)
{
    struct machine_domain *d = &machine[id];
    bool gone = d->types_left == 1;

    if (d->types_left > 1)
        d->types_left--;
    d->flags |= gone ? XEN_DOMINF_dying : 0;
    for (uint64_t i = 0; i < info->num; i++)
        info->array.p[i] = gone || machine_owner(info->array.p[i]) != id
                               ? XEN_DOMCTL_PFINFO_XTAB
                               : frames[info->array.p[i] - FIRST_MFN].type;
    return 0;
}

static int get_vcpu(const struct machine_domain *d, struct xen_domctl_getvcpuinfo *info)
{
    if (info->vcpu >= d->nr_vcpus)
        return no(ESRCH);
    info->online = info->vcpu == 0;
    info->running = 0;
    info->blocked = (d->flags & XEN_DOMINF_blocked) != 0;
    info->cpu_time = 2500000000u;
    info->cpu = 1;
    return 0;
}

static int scheduler(struct machine_domain *d, struct xen_domctl_scheduler_op *op)
{
    struct xen_domctl_sched_credit2 *c = &op->u.credit2;

    CU_ASSERT_EQUAL(op->sched_id, XEN_SCHEDULER_CREDIT2);
    if (op->cmd == XEN_DOMCTL_SCHEDOP_getinfo) {
        c->weight = (uint16_t)d->weight;
        c->cap = (uint16_t)d->cap;
        return 0;
    }
    d->weight = c->weight ? c->weight : d->weight;
    d->cap = c->cap == UINT16_MAX ? d->cap : c->cap;
    return 0;
}

static int get_affinity(const struct xen_domctl_vcpuaffinity *a)
{
    memset(a->cpumap_hard.bitmap.p, 0xff, (a->cpumap_hard.nr_bits + 7) / 8);
    memset(a->cpumap_soft.bitmap.p, 0xff, (a->cpumap_soft.nr_bits + 7) / 8);
    return 0;
}

static int set_affinity(struct machine_domain *d, const struct xen_domctl_vcpuaffinity *a)
{
    const struct xenctl_bitmap *map =
        a->flags & XEN_VCPUAFFINITY_HARD ? &a->cpumap_hard : &a->cpumap_soft;
    uint64_t cpus;

    memcpy(&cpus, map->bitmap.p, sizeof(cpus));
    if (a->vcpu >= d->nr_vcpus || cpus == 0)
        return no(EINVAL);
    d->nr_hard += (a->flags & XEN_VCPUAFFINITY_HARD) != 0;
    d->nr_soft += (a->flags & XEN_VCPUAFFINITY_SOFT) != 0;
    return 0;
}

static int domctl(struct xen_domctl *op)
{
    struct machine_domain *d = &machine[op->domain];

    CU_ASSERT_EQUAL(op->interface_version, XEN_DOMCTL_INTERFACE_VERSION);
    if (op->cmd == XEN_DOMCTL_createdomain)
        return create(op);
    if (op->cmd == XEN_DOMCTL_getdomaininfo)
        return get_info(op);
    if (op->domain >= NR_DOMAINS || !d->there)
        return no(ESRCH);
    switch (op->cmd) {
    case XEN_DOMCTL_destroydomain: return destroy(op->domain);
    case XEN_DOMCTL_pausedomain: d->pauses++; return 0;
    case XEN_DOMCTL_unpausedomain: return d->pauses ? d->pauses--, 0 : no(EINVAL);
    case XEN_DOMCTL_setdomainhandle:
        memcpy(d->handle, op->u.setdomainhandle.handle, sizeof(d->handle));
        return 0;
    case XEN_DOMCTL_max_vcpus: d->nr_vcpus = op->u.max_vcpus.max; return 0;
    case XEN_DOMCTL_max_mem: d->max_pages = op->u.max_mem.max_memkb / 4; return 0;
    case XEN_DOMCTL_hypercall_init:
        d->hypercall_mfn = op->u.hypercall_init.gmfn;
        CU_ASSERT_EQUAL(machine_owner(d->hypercall_mfn), op->domain);
        return 0;
    case XEN_DOMCTL_setvcpucontext: return set_context(d, op);
    case XEN_DOMCTL_getvcpucontext: return get_context(d, op);
    case XEN_DOMCTL_resumedomain: d->flags = 0; return 0;
    case XEN_DOMCTL_set_ext_vcpucontext: d->extended = op->u.ext_vcpucontext; return 0;
    case XEN_DOMCTL_get_ext_vcpucontext: op->u.ext_vcpucontext = d->extended; return 0;
    case XEN_DOMCTL_setvcpuextstate: return xsave(d, &op->u.vcpuextstate, true);
    case XEN_DOMCTL_getvcpuextstate: return xsave(d, &op->u.vcpuextstate, false);
    case XEN_DOMCTL_set_vcpu_msrs: return msrs(d, &op->u.vcpu_msrs, true);
    case XEN_DOMCTL_get_vcpu_msrs: return msrs(d, &op->u.vcpu_msrs, false);
    case XEN_DOMCTL_settscinfo: d->tsc = op->u.tsc_info; return 0;
    case XEN_DOMCTL_gettscinfo: op->u.tsc_info = d->tsc; return 0;
    case XEN_DOMCTL_set_cpu_policy: return policy(&op->u.cpu_policy, true);
    case XEN_DOMCTL_get_cpu_policy: return policy(&op->u.cpu_policy, false);
    case XEN_DOMCTL_getpageframeinfo3: return page_types(op->domain, &op->u.getpageframeinfo3);
    case XEN_DOMCTL_scheduler_op: return scheduler(d, &op->u.scheduler_op);
    case XEN_DOMCTL_getvcpuinfo: return get_vcpu(d, &op->u.getvcpuinfo);
    case XEN_DOMCTL_getvcpuaffinity: return get_affinity(&op->u.vcpuaffinity);
    case XEN_DOMCTL_setvcpuaffinity: return set_affinity(d, &op->u.vcpuaffinity);
    default: CU_FAIL("a domctl that nobody has"); return no(ENOSYS);
    }
}

static void list(struct xen_sysctl_getdomaininfolist *l)
{
    l->num_domains = 0;
    for (unsigned int d = l->first_domain; d < NR_DOMAINS; d++)
        if (machine[d].there && l->num_domains < l->max_domains)
            info_of((domid_t)d, &l->buffer.p[l->num_domains++]);
}

static int sysctl(struct xen_sysctl *s)
{
    CU_ASSERT_EQUAL(s->interface_version, XEN_SYSCTL_INTERFACE_VERSION);
    switch (s->cmd) {
    case XEN_SYSCTL_getdomaininfolist: list(&s->u.getdomaininfolist); return 0;
    case XEN_SYSCTL_physinfo:
        s->u.physinfo = machine_physinfo;
        s->u.physinfo.free_pages = machine_free();
        s->u.physinfo.total_pages = NR_FRAMES;
        return 0;
    default: return machine_says(s);
    }
}

int xencall1(xencall_handle *xcall, unsigned int op, uint64_t arg1)
{
    if (machine_call_fails())
        return -1;
    if (op == __HYPERVISOR_domctl)
        return domctl(P(struct xen_domctl, arg1));
    CU_ASSERT_EQUAL_FATAL(op, __HYPERVISOR_sysctl);
    return sysctl(P(struct xen_sysctl, arg1));
}

/* What has room, of what it may have: how many extents. */
static int populate(const struct xen_memory_reservation *r)
{
    struct machine_domain *d = &machine[r->domid];
    uint64_t i, n = 1ul << r->extent_order, mfn;

    for (i = 0; i < r->nr_extents && d->nr_pages + n <= d->max_pages; i++) {
        mfn = take(r->domid, r->extent_start.p[i], r->extent_order);
        if (mfn == 0)
            break;
        r->extent_start.p[i] = mfn;
        d->nr_pages += n;
    }
    return (int)i;
}

int xencall2(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2)
{
    const struct xen_foreign_memory_map *map = P(struct xen_foreign_memory_map, arg2);
    struct evtchn_alloc_unbound *unbound = P(struct evtchn_alloc_unbound, arg2);
    struct machine_domain *d;

    if (machine_call_fails())
        return -1;
    if (op == __HYPERVISOR_event_channel_op && arg1 == EVTCHNOP_status)
        return machine_port(P(struct evtchn_status, arg2));
    if (op == __HYPERVISOR_event_channel_op) {
        CU_ASSERT_EQUAL_FATAL(arg1, EVTCHNOP_alloc_unbound);
        d = &machine[unbound->dom];
        d->port_of[++d->nr_ports] = unbound->remote_dom;
        unbound->port = d->nr_ports;
        return 0;
    }
    if (op == __HYPERVISOR_xen_version)
        return machine_version((unsigned int)arg1, P(void, arg2));
    CU_ASSERT_EQUAL_FATAL(op, __HYPERVISOR_memory_op);
    if (arg1 == XENMEM_populate_physmap)
        return populate(P(struct xen_memory_reservation, arg2));
    CU_ASSERT_EQUAL_FATAL(arg1, XENMEM_set_memory_map);
    memcpy(&machine[map->domid].map_bytes, (char *)map->map.buffer.p + 8, 8);
    return 0;
}

int xencall3(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3)
{
    if (machine_call_fails())
        return -1;
    CU_ASSERT_TRUE_FATAL(op == __HYPERVISOR_grant_table_op && arg3 == 1);
    return machine_grants((unsigned int)arg1, P(void, arg2));
}

int xencall5(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4, uint64_t arg5)
{
    if (machine_call_fails())
        return -1;
    CU_ASSERT_TRUE_FATAL(op == __HYPERVISOR_hypfs_op && arg1 == XEN_HYPFS_OP_read);
    CU_ASSERT_EQUAL(strlen(P(char, arg2)) + 1, arg3);
    return machine_hypfs(P(char, arg2), P(struct xen_hypfs_direntry, arg4), arg5);
}

/* ---- page tables ---- */

/* Of a domain, and nowhere writable; all below it likewise. */
static int pin(domid_t id, uint64_t mfn, unsigned int level)
{
    const uint64_t *table;

    if (machine_owner(mfn) != id || frames[mfn - FIRST_MFN].mapped)
        return no(EINVAL);
    if (frames[mfn - FIRST_MFN].is_table)
        return (frames[mfn - FIRST_MFN].type >> 28 & 7) == level ? 0 : no(EINVAL);
    table = machine_frame(mfn);
    frames[mfn - FIRST_MFN].is_table = true;
    frames[mfn - FIRST_MFN].type = level << XEN_DOMCTL_PFINFO_LTAB_SHIFT;
    for (unsigned int i = 0; i < 512; i++) {
        uint64_t to = (table[i] & 0xffffffffff000) >> 12;

        if (!(table[i] & 1))
            continue;
        if (machine_owner(to) != id || (level > 1 && pin(id, to, level - 1)))
            return no(EINVAL);
    }
    return 0;
}

/* No table is mapped writable by one of level 1. */
static int check_writable(uint64_t mfn, unsigned int level)
{
    const uint64_t *table = machine_frame(mfn);
    int rc = 0;

    for (unsigned int i = 0; i < 512; i++) {
        uint64_t to = (table[i] & 0xffffffffff000) >> 12;

        if (!(table[i] & 1))
            continue;
        if (level > 1)
            rc |= check_writable(to, level - 1);
        else if ((table[i] & 2) && frames[to - FIRST_MFN].is_table)
            rc = no(EINVAL);
    }
    return rc;
}

int xencall4(xencall_handle *xcall, unsigned int op, uint64_t arg1, uint64_t arg2, uint64_t arg3,
             uint64_t arg4)
{
    const struct mmuext_op *m = P(struct mmuext_op, arg1);
    domid_t id = (domid_t)arg4;
    unsigned int level;

    if (machine_call_fails())
        return -1;
    CU_ASSERT_EQUAL_FATAL(op, __HYPERVISOR_mmuext_op);
    level = m->cmd - MMUEXT_PIN_L1_TABLE + 1;
    CU_ASSERT_TRUE_FATAL(level >= 1 && level <= 4 && arg2 == 1);
    if (pin(id, m->arg1.mfn, level) || check_writable(m->arg1.mfn, level))
        return -1;
    frames[m->arg1.mfn - FIRST_MFN].type |= XEN_DOMCTL_PFINFO_LPINTAB;
    if (level == 4) {
        machine[id].pinned = true;
        machine[id].root_mfn = m->arg1.mfn;
    }
    return 0;
}

/* ---- xenforeignmemory.h ---- */

struct xenforeignmemory_resource_handle {
    void *at;
};

xenforeignmemory_handle *xenforeignmemory_open(struct xentoollog_logger *logger,
                                               unsigned open_flags)
{
    return machine_call_fails() ? NULL : (void *)&handle;
}

int xenforeignmemory_close(xenforeignmemory_handle *fmem) { return 0; }

enum { MAPPED = 1024, NR_MAPPINGS = 8 };

/* What is mapped where, to be found again. A frame of somebody else's is refused, a table is not writable. */
static struct {
    uint8_t *at;
    size_t pages;
    xen_pfn_t mfns[MAPPED];
} mappings[NR_MAPPINGS];

void *xenforeignmemory_map(xenforeignmemory_handle *fmem, uint32_t dom, int prot, size_t pages,
                           const xen_pfn_t arr[], int err[])
{
    unsigned int m = 0;
    uint8_t *at;

    if (machine_call_fails())
        return NULL;
    CU_ASSERT_TRUE_FATAL(pages > 0 && pages <= MAPPED && err == NULL);
    for (size_t i = 0; i < pages; i++)
        if (machine_owner(arr[i]) != dom) {
            errno = EINVAL;
            return NULL;
        }
    while (mappings[m].at)
        CU_ASSERT_TRUE_FATAL(++m < NR_MAPPINGS);
    at = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t i = 0; i < pages; i++) {
        CU_ASSERT_PTR_EQUAL_FATAL(mmap(at + i * PAGE, PAGE, prot, MAP_SHARED | MAP_FIXED, ram,
                                       (off_t)((arr[i] - FIRST_MFN) * PAGE)),
                                  at + i * PAGE);
        CU_ASSERT_FALSE((prot & PROT_WRITE) && frames[arr[i] - FIRST_MFN].is_table);
        frames[arr[i] - FIRST_MFN].mapped++;
        mappings[m].mfns[i] = arr[i];
    }
    mappings[m].at = at;
    mappings[m].pages = pages;
    nr_mappings++;
    return at;
}

int xenforeignmemory_unmap(xenforeignmemory_handle *fmem, void *addr, size_t pages)
{
    unsigned int m = 0;

    while (mappings[m].at != addr || mappings[m].pages != pages)
        CU_ASSERT_TRUE_FATAL(++m < NR_MAPPINGS);
    for (size_t i = 0; i < pages; i++)
        frames[mappings[m].mfns[i] - FIRST_MFN].mapped--;
    munmap(addr, pages * PAGE);
    mappings[m].at = NULL;
    nr_mappings--;
    return 0;
}

xenforeignmemory_resource_handle *
xenforeignmemory_map_resource(xenforeignmemory_handle *fmem, domid_t domid, unsigned int type,
                              unsigned int id, unsigned long frame, unsigned long nr_frames,
                              void **paddr, int prot, int flags)
{
    xenforeignmemory_resource_handle *h;

    CU_ASSERT_TRUE_FATAL(type == XENMEM_resource_grant_table && frame == 0 && nr_frames == 1);
    *paddr = xenforeignmemory_map(fmem, domid, prot, 1, &machine[domid].grants_mfn, NULL);
    if (*paddr == NULL)
        return NULL;
    h = malloc(sizeof(*h));
    h->at = *paddr;
    return h;
}

int xenforeignmemory_unmap_resource(xenforeignmemory_handle *fmem,
                                    xenforeignmemory_resource_handle *fres)
{
    xenforeignmemory_unmap(fmem, fres->at, 1);
    free(fres);
    return machine_call_fails() ? -1 : 0;
}
