/*
 * domctl: each sub-operation and its errors, who may do it, and domains that come and go. Domains, event
 * channels, scheduler, timers and heap are the real ones; paging/ only counts.
 */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hypercall/domctl.h"

#include <xen/sched.h>

#include "console/console.h"
#include "domain/domain.h"
#include "emulate/emulate.h"
#include "event/evtchn.h"
#include "alloc.h"
#include "fake.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"
#include "sched/sched.h"
#include "sched/time.h"
#include "sched/timer.h"
#include "x86/upcalls.h"

#define RAM_FRAMES 8192u
#define NR_TEST_CPUS 4u

/* ---- what is not linked ---- */

static unsigned int paging_left; /* -ERESTART so often */
int paging_relinquish(struct domain *d) { return paging_left && paging_left-- ? -ERESTART : 0; }
bool page_get_writable(struct domain *d, mfn_t m)
{
    return mfn_x(m) < RAM_FRAMES && page_get(m, d);
}
void page_put_writable(mfn_t m) { page_put(mfn_to_page(m)); }
int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port) { return -EINVAL; }
void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port) {}
void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu) {}
int hypercall_page_put(struct domain *d, gfn_t g)
{
    mfn_t m = gfn_to_mfn(d, g);

    if (!page_get_writable(d, m))
        return -EINVAL;
    memset(mfn_to_virt(m), 0xcc, PAGE_SIZE);
    page_put_writable(m);
    return 0;
}
void console_drain(void) {}
void arch_print_regs(const struct cpu_user_regs *regs) {}
void domain_audit(void) {}
noreturn void arch_reboot(void) { abort(); }
noreturn void arch_halt_forever(void) { abort(); }
int vcpu_set_gdt(struct vcpu *v, const uint64_t *f, unsigned int n) { return 0; }
int vcpu_set_ldt(struct vcpu *v, uint64_t va, unsigned int n) { return 0; }
int vcpu_set_root(struct vcpu *v, mfn_t m, bool user) { return 0; }
int arch_vcpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c) { return 0; }

/* ---- the guest that calls ---- */

static struct domain *dom0;
static uint64_t free_at_start;
static struct {
    struct xen_domctl op;
    struct sched_watchdog dog;
    struct evtchn_bind_virq bind;
    uint8_t map[2][64];
} g; /* its memory */

static long call_as(struct domain *who)
{
    long rc;

    fake_current(who->vcpu[0]);
    rc = hc_domctl((uint64_t)(uintptr_t)&g.op, 0, 0, 0, 0);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    CU_ASSERT(arch_irq_enabled());
    fake_current(dom0->vcpu[0]);
    return rc;
}

/* u: what g.op.u begins with. */
static long domctl_by(struct domain *who, uint32_t cmd, domid_t id)
{
    g.op.cmd = cmd;
    g.op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    g.op.domain = id;
    return call_as(who);
}
static long domctl(uint32_t cmd, domid_t id) { return domctl_by(dom0, cmd, id); }

static void clear(void) { memset(&g.op, 0, sizeof(g.op)); }

/* What libxl gives a PV guest. */
static struct xen_domctl_createdomain *config(uint32_t roles, uint32_t vcpus)
{
    clear();
    g.op.u.createdomain = (struct xen_domctl_createdomain){ .ssidref = SSIDREF_OF(roles),
                                                            .handle = { 1, 2, 3 },
                                                            .max_vcpus = vcpus,
                                                            .max_evtchn_port = 1023,
                                                            .max_grant_frames = 32,
                                                            .max_maptrack_frames = 64,
                                                            .grant_opts = 1 };
    return &g.op.u.createdomain;
}

static struct domain *find(domid_t id)
{
    struct domain *d = domain_get_by_id(dom0, id);

    if (d)
        domain_put(d);
    return d;
}

static struct domain *create(uint32_t roles, uint32_t vcpus)
{
    domid_t id;

    config(roles, vcpus);
    CU_ASSERT_EQUAL_FATAL(domctl(XEN_DOMCTL_createdomain, 0), 0);
    id = g.op.domain;
    clear();
    g.op.u.max_vcpus.max = vcpus;
    CU_ASSERT_EQUAL_FATAL(domctl(XEN_DOMCTL_max_vcpus, id), 0);
    return find(id);
}

static void destroy(struct domain *d)
{
    domid_t id = d->domain_id;
    long rc;

    do
        rc = domctl(XEN_DOMCTL_destroydomain, id);
    while (rc == -ERESTART);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_PTR_NULL(find(id));
}

static struct xen_domctl_getdomaininfo *info(domid_t id)
{
    memset(&g.op, 0xaa, sizeof(g.op));
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getdomaininfo, id), 0);
    return &g.op.u.getdomaininfo;
}

/* Timers that are due, as their CPU comes to serve its softirqs. */
static void pass(uint64_t ns)
{
    fake_now_ns += ns;
    for (unsigned int i = NR_TEST_CPUS; i-- > 0;) {
        fake_cpu(i);
        this_pcpu()->softirqs = 1u << SOFTIRQ_TIMER; /* nobody is scheduled here */
        softirq_run();
        this_pcpu()->softirqs = 0;
        fake_irqs_on = true;
    }
}

static void setup(void)
{
    fake_reset(NR_TEST_CPUS);
    fake_now_ns = SECONDS(100);
    if (fake_ram == NULL) {
        fake_ram_create(RAM_FRAMES);
        heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
        idle_domain_create();
    }
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++) {
        static struct vcpu *idle[NR_TEST_CPUS];

        fake_cpu(i);
        timers_init_cpu(i);
        sched_init_cpu(i);
        if (idle[i] == NULL)
            idle[i] = idle_vcpu_create(i);
        this_pcpu()->idle = this_pcpu()->running = idle[i];
    }
    softirq_register(SOFTIRQ_SCHEDULE, NULL);
    fake_cpu(0);
    fake_guest_map(&g, sizeof(g), FAKE_READ_WRITE);
    free_at_start = heap_free_pages();
    hardware_domain = NULL;
    config(ROLES_ALL, 2);
    CU_ASSERT_EQUAL_FATAL(domain_create(0, &g.op.u.createdomain, &dom0), 0);
    CU_ASSERT_PTR_EQUAL(hardware_domain, dom0);
    CU_ASSERT_EQUAL_FATAL(vcpu_create(dom0, 0), 0);
    dom0->max_pages = 1000;
    domain_unpause(dom0);
    atomic_store(&dom0->vcpu[0]->pause_flags, 0);
    fake_current(dom0->vcpu[0]);
}

static void teardown(void)
{
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    CU_ASSERT_EQUAL(fake_refs(dom0), 1);
    hardware_domain = NULL;
    atomic_store(&dom0->vcpu[0]->pause_flags, VPF_DOWN);
    fake_current(this_pcpu()->idle);
    CU_ASSERT_EQUAL(domain_kill(dom0), 0);
    CU_ASSERT_PTR_NULL(domain_list);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(heap_free_pages(), free_at_start);
}

/* ---- the call itself ---- */

static void test_what_is_asked_wrongly(void)
{
    setup();
    clear();
    CU_ASSERT_EQUAL(hc_domctl(0x10, 0, 0, 0, 0), -EFAULT);
    g.op.interface_version = XEN_DOMCTL_INTERFACE_VERSION - 1;
    g.op.cmd = XEN_DOMCTL_getdomaininfo;
    CU_ASSERT_EQUAL(call_as(dom0), -EACCES);
    CU_ASSERT_EQUAL(domctl(0, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(~0u, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(87, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_gdbsx_domstatus, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_assign_device, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_test_assign_device, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setdebugging, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_get_paging_mempool_size, 0), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setdebugging, 9), -ENOSYS);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_pausedomain, 9), -ESRCH);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_pausedomain, DOMID_SELF), -ESRCH);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_pausedomain, DOMID_IDLE), -ESRCH);
    fake_guest_unmap_all();
    fake_guest_map(&g, sizeof(g), FAKE_READ_ONLY);
    config(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 0), -EFAULT);
    CU_ASSERT_PTR_NULL(dom0->next); /* nothing was created */
    fake_guest_unmap_all();
    fake_guest_map(&g, sizeof(g), FAKE_READ_WRITE);
    teardown();
}

static void test_a_guest_may_do_nothing(void)
{
    struct domain *d, *store, *second;

    setup();
    d = create(0, 1);
    store = create(ROLE_STORE, 1);
    second = create(ROLE_CONTROL, 1);
    for (uint32_t cmd = 0; cmd < 100; cmd++) {
        memset(&g.op.u, 0, sizeof(g.op.u));
        CU_ASSERT_EQUAL(domctl_by(d, cmd, d->domain_id), -EPERM);
        CU_ASSERT_EQUAL(domctl_by(d, cmd, 77), -EPERM); /* and does not learn who exists */
        bool asks = cmd == XEN_DOMCTL_getdomaininfo || cmd == XEN_DOMCTL_getvcpuaffinity ||
                    cmd == XEN_DOMCTL_get_address_size || cmd == XEN_DOMCTL_getnodeaffinity ||
                    cmd == XEN_DOMCTL_getvcpuinfo;
        long rc = domctl_by(store, cmd, 0);

        CU_ASSERT(asks ? rc != -EPERM : rc == -EPERM || rc == -ENOSYS || rc == -EOPNOTSUPP);
    }
    clear();
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_pausedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_unpausedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_pausedomain, 0), -EPERM);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_destroydomain, store->domain_id), -EPERM);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_getdomaininfo, 0), 0);
    config(ROLE_CONTROL | ROLE_STORE, 1);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_createdomain, 0), -EPERM);
    config(0, 1)->flags = XEN_DOMCTL_CDF_xs_domain;
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_createdomain, 0), -EPERM);
    config(ROLE_CONTROL, 1);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_createdomain, 0), 0);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_destroydomain, g.op.domain), 0);
    CU_ASSERT_EQUAL(domctl_by(second, XEN_DOMCTL_destroydomain, d->domain_id), 0);
    destroy(second);
    destroy(store);
    teardown();
}

/* As when another CPU is at one: here one that comes back while it works. */
static long nested_rc;
static struct domain *nests;
uint64_t arch_cpus_online(void)
{
    if (nests) {
        nests = NULL;
        nested_rc = domctl(XEN_DOMCTL_getdomaininfo, 0);
    }
    return (1ULL << NR_TEST_CPUS) - 1;
}

static void test_one_at_a_time(void)
{
    struct domain *d;

    setup();
    d = create(0, 1);
    clear();
    g.op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD;
    set_xen_guest_handle_raw(g.op.u.vcpuaffinity.cpumap_hard.bitmap, g.map[0]);
    g.op.u.vcpuaffinity.cpumap_hard.nr_bits = 4;
    g.map[0][0] = 0xf;
    nested_rc = 1;
    nests = d;
    (void)domctl(XEN_DOMCTL_setvcpuaffinity, d->domain_id);
    CU_ASSERT_EQUAL(nested_rc, -ERESTART);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getdomaininfo, 0), 0);
    destroy(d);
    teardown();
}

/* ---- creation ---- */

static void test_createdomain(void)
{
    struct xen_domctl_createdomain *c;
    struct domain *d;

    setup();
    config(ROLE_STORE, 3);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 12), 0);
    CU_ASSERT_EQUAL(g.op.domain, 12);
    d = find(12);
    CU_ASSERT_PTR_NOT_NULL_FATAL(d);
    CU_ASSERT(d->roles == ROLE_STORE && d->max_vcpus == 3 && d->handle[2] == 3 &&
              d->max_evtchn_port == 1023 && d->max_grant_frames == 32 &&
              d->max_maptrack_frames == 64 && d->pause_count == 1 && d->max_pages == 0);
    CU_ASSERT(!d->is_hwdom && d->vcpu[0] == NULL && d->vtsc);
    config(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 12), -EEXIST);
    destroy(d);
    config(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, DOMID_INVALID), 0);
    CU_ASSERT(g.op.domain != 0 && g.op.domain < DOMID_FIRST_RESERVED);
    destroy(find(g.op.domain));
#define REFUSED(field, value, rc)                                \
    do {                                                         \
        c = config(0, 1);                                        \
        c->field = value;                                        \
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 0), rc); \
        CU_ASSERT_PTR_NULL(dom0->next);                          \
    } while (0)
    REFUSED(flags, XEN_DOMCTL_CDF_hvm, -EOPNOTSUPP);
    REFUSED(flags, XEN_DOMCTL_CDF_hap, -EOPNOTSUPP);
    REFUSED(flags, XEN_DOMCTL_CDF_iommu, -EOPNOTSUPP);
    REFUSED(flags, XEN_DOMCTL_CDF_nested_virt, -EOPNOTSUPP);
    REFUSED(flags, XEN_DOMCTL_CDF_vpmu, -EOPNOTSUPP);
    REFUSED(flags, XEN_DOMCTL_CDF_MAX << 1, -EINVAL);
    REFUSED(flags, 1u << 31, -EINVAL);
    REFUSED(iommu_opts, 1, -EINVAL);
    REFUSED(vmtrace_size, 4096, -EINVAL);
    REFUSED(arch.emulation_flags, XEN_X86_EMU_LAPIC, -EINVAL);
    REFUSED(arch.misc_flags, XEN_X86_MSR_RELAXED, -EOPNOTSUPP);
    REFUSED(arch.misc_flags, 2, -EINVAL);
    REFUSED(grant_opts, 0, -EINVAL);
    REFUSED(grant_opts, 2, -EINVAL);
    REFUSED(grant_opts, 0x11, -EINVAL);
    REFUSED(cpupool_id, 1, -ENOENT);
    REFUSED(ssidref, SSIDREF_OF(ROLES_ALL + 1), -EPERM);
    REFUSED(ssidref, ~0u, -EPERM);
    REFUSED(max_vcpus, 0, -EINVAL);
    REFUSED(max_vcpus, MAX_VCPUS + 1, -EINVAL);
    REFUSED(max_vcpus, ~0u, -EINVAL);
    c = config(0, 1);
    c->flags = XEN_DOMCTL_CDF_xs_domain | XEN_DOMCTL_CDF_oos_off;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 0), 0);
    d = find(g.op.domain);
    CU_ASSERT_EQUAL(d->roles, ROLE_STORE);
    CU_ASSERT(info(d->domain_id)->flags & XEN_DOMINF_xs_domain);
    destroy(d);
    teardown();
}

static void test_max_vcpus(void)
{
    struct domain *d;

    setup();
    config(0, 5);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 0), 0);
    d = find(g.op.domain);
    g.op.u.max_vcpus.max = 4;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_vcpus, d->domain_id), -EINVAL);
    CU_ASSERT_PTR_NULL(d->vcpu[0]);
    g.op.u.max_vcpus.max = 5;
    fake_preempt_every = 1;
    for (unsigned int i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_vcpus, d->domain_id), -ERESTART);
        CU_ASSERT(d->vcpu[i] != NULL && (i == 4 || d->vcpu[i + 1] == NULL));
    }
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_vcpus, d->domain_id), 0);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_vcpus, d->domain_id), 0);
    fake_preempt_every = 0;
    g.op.u.max_vcpus.max = 2;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_vcpus, 0), -EINVAL); /* itself */
    destroy(d);
    teardown();
}

/* ---- pauses, shutdown, death ---- */

static void test_pausedomain(void)
{
    struct domain *d;

    setup();
    d = create(0, 1);
    CU_ASSERT(info(d->domain_id)->flags & XEN_DOMINF_paused);
    memset(d->shared_info, 0, PAGE_SIZE); /* as the domain's builder does */
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_unpausedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(d->shared_info->wc_sec, 1700000000);
    CU_ASSERT(!(info(d->domain_id)->flags & XEN_DOMINF_paused));
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_unpausedomain, d->domain_id), -EINVAL);
    for (unsigned int i = 0; i < 255; i++)
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_pausedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_pausedomain, d->domain_id), -EOVERFLOW);
    CU_ASSERT(d->vcpu[0]->pause_flags & VPF_PAUSED);
    for (unsigned int i = 0; i < 255; i++)
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_unpausedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(d->vcpu[0]->pause_flags, VPF_DOWN);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_pausedomain, 0), -EINVAL);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_unpausedomain, 0), -EINVAL);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_resumedomain, 0), -EINVAL);
    destroy(d);
    teardown();
}

static void test_shutdown_and_resume(void)
{
    struct domain *d, *other;
    uint32_t flags;

    setup();
    d = create(0, 2);
    other = create(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_unpausedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(hc_sched_op(SCHEDOP_remote_shutdown, 0x10, 0, 0, 0), -ENOSYS);
    domain_shutdown(d, SHUTDOWN_suspend);
    flags = info(d->domain_id)->flags;
    CU_ASSERT_EQUAL(flags & XEN_DOMINF_shutdown, 0);
    pass(0);
    flags = info(d->domain_id)->flags;
    CU_ASSERT(flags & XEN_DOMINF_shutdown);
    CU_ASSERT_EQUAL(flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask, SHUTDOWN_suspend);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_resumedomain, d->domain_id), 0);
    CU_ASSERT_EQUAL(info(d->domain_id)->flags & (XEN_DOMINF_shutdown | XEN_DOMINF_paused), 0);
    CU_ASSERT_EQUAL(d->vcpu[1]->pause_flags, VPF_DOWN);
    g.dog = (struct sched_watchdog){ 0, 10 };
    fake_current(d->vcpu[0]);
    CU_ASSERT_EQUAL(hc_sched_op(SCHEDOP_watchdog, (uint64_t)(uintptr_t)&g.dog, 0, 0, 0), 1);
    CU_ASSERT_EQUAL(hc_sched_op(SCHEDOP_watchdog, 0x10, 0, 0, 0), -EFAULT);
    fake_current(dom0->vcpu[0]);
    pass(SECONDS(9));
    CU_ASSERT_EQUAL(info(d->domain_id)->flags & XEN_DOMINF_shutdown, 0);
    pass(SECONDS(2));
    pass(0);
    CU_ASSERT_EQUAL(info(d->domain_id)->flags >> XEN_DOMINF_shutdownshift, SHUTDOWN_watchdog);
    destroy(d);
    destroy(other);
    teardown();
}

static evtchn_port_t bind_dom_exc(struct domain *d)
{
    long rc;

    g.bind = (struct evtchn_bind_virq){ .virq = VIRQ_DOM_EXC };
    fake_current(d->vcpu[0]);
    rc = hc_event_channel_op(EVTCHNOP_bind_virq, (uint64_t)(uintptr_t)&g.bind, 0, 0, 0);
    fake_current(dom0->vcpu[0]);
    CU_ASSERT_EQUAL(rc, 0);
    return g.bind.port;
}

static bool take_event(struct domain *d, evtchn_port_t port)
{
    uint64_t *word = &d->shared_info->evtchn_pending[port / 64], bit = 1ULL << port % 64;
    bool was = *word & bit;

    *word &= ~bit;
    return was;
}

static void test_the_store_is_told(void)
{
    struct domain *store, *guest, *d;
    evtchn_port_t port[3];

    setup();
    store = create(ROLE_STORE, 1);
    guest = create(0, 1);
    d = create(0, 1);
    port[0] = bind_dom_exc(dom0);
    port[1] = bind_dom_exc(store);
    port[2] = bind_dom_exc(guest);
    clear();
    domain_shutdown(d, SHUTDOWN_poweroff);
    pass(0);
    CU_ASSERT(take_event(dom0, port[0]) && take_event(store, port[1]));
    pass(SECONDS(1));
    CU_ASSERT(!take_event(dom0, port[0]) && !take_event(store, port[1]));
    destroy(d);
    CU_ASSERT(take_event(dom0, port[0]) && take_event(store, port[1]));
    CU_ASSERT(!take_event(guest, port[2])); /* it is nobody's business of its */
    destroy(guest);
    destroy(store);
    CU_ASSERT(take_event(dom0, port[0]));
    teardown();
}

static void test_destroydomain(void)
{
    struct domain *d;
    unsigned int n = 0;
    mfn_t m, held;
    domid_t id;
    long rc;

    setup();
    d = create(0, 3);
    id = d->domain_id;
    d->max_pages = 200;
    for (unsigned int i = 0; i < 200; i++)
        CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
    held = m;
    CU_ASSERT(page_get(held, d) != NULL); /* dom0 maps it */
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_destroydomain, 0), -EINVAL);
    fake_preempt_every = 1;
    paging_left = 3;
    while ((rc = domctl(XEN_DOMCTL_destroydomain, id)) == -ERESTART && n < 1000) {
        n++;
        CU_ASSERT_EQUAL(info(id)->flags & XEN_DOMINF_dying, 0);
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_vcpus, id), -EINVAL);
        if (domctl(XEN_DOMCTL_unpausedomain, id) == 0)
            CU_ASSERT(d->vcpu[0]->pause_flags & VPF_PAUSED);
    }
    fake_preempt_every = 0;
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT(n >= 4 && n < 250);
    CU_ASSERT(info(id)->flags & XEN_DOMINF_dying);
    CU_ASSERT_EQUAL(info(id)->tot_pages, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_destroydomain, id), 0);
    config(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, id), -EEXIST);
    page_put(mfn_to_page(held));
    clear();
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getdomaininfo, id), -ESRCH); /* asking is enough */
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_destroydomain, id), -ESRCH);
    config(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, id), 0);
    destroy(find(id));
    teardown();
}

static void test_a_thousand_domains_come_and_go(void)
{
    uint64_t free_before;

    setup();
    free_before = heap_free_pages();
    for (unsigned int i = 0; i < 1000; i++) {
        struct domain *d = create(i % 5 ? 0 : ROLE_STORE, 1 + i % 4);
        mfn_t m;

        d->max_pages = 40;
        for (unsigned int n = 0; n < i % 40; n++)
            CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
        if (i % 3)
            CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_unpausedomain, d->domain_id), 0);
        if (i % 2)
            (void)bind_dom_exc(d);
        if (i % 7 == 0)
            CU_ASSERT_EQUAL(domain_watchdog(d, 0, 5), 1);
        if (i % 4 == 0)
            domain_shutdown(d, SHUTDOWN_crash);
        fake_preempt_every = i % 3;
        paging_left = i % 2;
        destroy(d);
        fake_preempt_every = 0;
        CU_ASSERT_EQUAL_FATAL(heap_free_pages(), free_before);
        if (i % 50 == 0)
            pass(SECONDS(1));
    }
    CU_ASSERT_EQUAL(heap_audit(), 0);
    teardown();
}

static void test_a_failing_allocation_leaves_nothing(void)
{
    struct domain *d;
    uint64_t free_before;
    unsigned int n = 0;

    setup();
    free_before = heap_free_pages();
    /* with ever less memory, from none to enough */
    for (unsigned int have = 0; n == 0 && have < 60; have++) {
        static mfn_t taken[RAM_FRAMES];
        unsigned int k = 0;

        while (heap_free_pages() > have)
            taken[k++] = heap_alloc(0, 0);
        config(0, 2);
        if (domctl(XEN_DOMCTL_createdomain, 0) == 0) {
            d = find(g.op.domain);
            g.op.u.max_vcpus.max = 2;
            n = domctl(XEN_DOMCTL_max_vcpus, d->domain_id) == 0;
            destroy(d);
        }
        while (k)
            heap_free(taken[--k], 0);
        CU_ASSERT_EQUAL(heap_free_pages(), free_before);
    }
    CU_ASSERT_EQUAL(n, 1);
    teardown();
}

/* ---- what a domain is and has ---- */

static void test_getdomaininfo(void)
{
    struct xen_domctl_getdomaininfo *i;
    struct domain *d;
    mfn_t m;

    setup();
    d = create(0, 3);
    d->max_pages = 7;
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 1, 0, &m), 0);
    d->vcpu[0]->runstate.time[RUNSTATE_running] = 1000;
    d->vcpu[2]->runstate.time[RUNSTATE_running] = 500;
    i = info(1); /* the first from there on */
    CU_ASSERT(g.op.domain == d->domain_id && i->domain == d->domain_id);
    CU_ASSERT_EQUAL(i->flags, XEN_DOMINF_paused | XEN_DOMINF_blocked); /* none is up */
    CU_ASSERT(i->tot_pages == 2 && i->max_pages == 7 && i->shr_pages == 0 &&
              i->outstanding_pages == 0 && i->paged_pages == 0);
    CU_ASSERT_EQUAL(i->shared_info_frame, mfn_x(d->shared_info_mfn));
    CU_ASSERT(i->cpu_time == 1500 && i->nr_online_vcpus == 0 && i->max_vcpu_id == 2);
    CU_ASSERT(i->ssidref == 0 && i->handle[0] == 1 && i->handle[2] == 3 && i->cpupool == 0);
    CU_ASSERT(i->pad1 == 0 && i->pad2[0] == 0 && i->pad2[6] == 0); /* nothing of our stack */
    atomic_store(&d->vcpu[0]->pause_flags, VPF_PAUSED | VPF_BLOCKED);
    i = info(d->domain_id);
    CU_ASSERT(i->nr_online_vcpus == 1 && (i->flags & XEN_DOMINF_blocked));
    atomic_store(&d->vcpu[1]->pause_flags, VPF_PAUSED);
    d->vcpu[1]->running = true;
    i = info(d->domain_id);
    CU_ASSERT(i->nr_online_vcpus == 2 && (i->flags & XEN_DOMINF_running) &&
              !(i->flags & XEN_DOMINF_blocked));
    d->vcpu[1]->running = false;
    i = info(0);
    CU_ASSERT(i->domain == 0 && i->ssidref == SSIDREF_OF(ROLES_ALL));
    clear();
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getdomaininfo, d->domain_id + 1), -ESRCH);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getdomaininfo, DOMID_SELF), -ESRCH);
    config(0, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_createdomain, 0), 0);
    CU_ASSERT_EQUAL(info(g.op.domain)->max_vcpu_id, XEN_INVALID_MAX_VCPU_ID);
    destroy(find(g.op.domain));
    destroy(d);
    teardown();
}

static void test_settings(void)
{
    struct domain *d;
    mfn_t m;

    setup();
    d = create(0, 2);
    clear();
    g.op.u.max_mem.max_memkb = 4 * 100 + 3;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_max_mem, d->domain_id), 0);
    CU_ASSERT_EQUAL(d->max_pages, 100);
    CU_ASSERT_EQUAL(domain_alloc_pages(d, 0, 0, &m), 0);
    memset(g.op.u.setdomainhandle.handle, 0x5a, 16);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setdomainhandle, d->domain_id), 0);
    CU_ASSERT_EQUAL(info(d->domain_id)->handle[15], 0x5a);
    clear();
    g.op.u.settimeoffset.time_offset_seconds = -100;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_settimeoffset, d->domain_id), 0);
    CU_ASSERT_EQUAL(d->shared_info->wc_sec, 1700000000 - 100);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_get_address_size, d->domain_id), 0);
    CU_ASSERT_EQUAL(g.op.u.address_size.size, 64);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_set_address_size, d->domain_id), 0);
    g.op.u.address_size.size = 32;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_set_address_size, d->domain_id), -EOPNOTSUPP);
    g.op.u.address_size.size = 16;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_set_address_size, d->domain_id), -EINVAL);
    g.op.u.hypercall_init.gmfn = mfn_x(m);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_hypercall_init, d->domain_id), 0);
    CU_ASSERT_EQUAL(*(uint8_t *)mfn_to_virt(m), 0xcc);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_hypercall_init, 0), -EINVAL); /* not its frame */
    g.op.u.hypercall_init.gmfn = ~0ULL;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_hypercall_init, d->domain_id), -EINVAL);
    g.op.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_NMI;
    g.op.u.sendtrigger.vcpu = 1;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_sendtrigger, d->domain_id), 0);
    CU_ASSERT(d->vcpu[1]->nmi_pending && !d->vcpu[0]->nmi_pending);
    g.op.u.sendtrigger.vcpu = 2;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_sendtrigger, d->domain_id), -ESRCH);
    g.op.u.sendtrigger.vcpu = 0;
    g.op.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_POWER;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_sendtrigger, d->domain_id), -EINVAL);
    g.op.u.sendtrigger.trigger = XEN_DOMCTL_SENDTRIGGER_RESET;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_sendtrigger, d->domain_id), -ENOSYS);
    destroy(d);
    teardown();
}

/* ---- scheduling ---- */

static struct xen_domctl_vcpuaffinity *affinity(uint32_t vcpu, uint32_t flags, uint32_t nr_bits,
                                                uint64_t hard, uint64_t soft)
{
    struct xen_domctl_vcpuaffinity *a = &g.op.u.vcpuaffinity;

    clear();
    *a = (struct xen_domctl_vcpuaffinity){ .vcpu = vcpu, .flags = flags };
    memset(g.map, 0xee, sizeof(g.map));
    memcpy(g.map[0], &hard, 8);
    memcpy(g.map[1], &soft, 8);
    set_xen_guest_handle_raw(a->cpumap_hard.bitmap, g.map[0]);
    set_xen_guest_handle_raw(a->cpumap_soft.bitmap, g.map[1]);
    a->cpumap_hard.nr_bits = a->cpumap_soft.nr_bits = nr_bits;
    return a;
}
static uint64_t map_is(unsigned int i)
{
    uint64_t bits;

    memcpy(&bits, g.map[i], 8);
    return bits;
}
#define BOTH (XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT)

static void test_affinity(void)
{
    struct xen_domctl_vcpuaffinity *a;
    struct domain *d;
    domid_t id;

    setup();
    d = create(0, 2);
    id = d->domain_id;
    affinity(1, BOTH, 4, 0xeeee, 0xeeee);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getvcpuaffinity, id), 0);
    CU_ASSERT(g.map[0][0] == 0xf && g.map[1][0] == 0xf); /* all there is room for */
    CU_ASSERT(g.map[0][1] == 0xee && g.map[1][1] == 0xee);
    affinity(1, BOTH, 64, 0x16, 0x62);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), 0);
    CU_ASSERT(map_is(0) == 6 && map_is(1) == 2); /* what is in effect: there are 4 CPUs */
    CU_ASSERT(d->vcpu[1]->processor == 1 || d->vcpu[1]->processor == 2 ||
              (d->vcpu[1]->pause_flags & VPF_DOWN));
    affinity(1, BOTH, 200, 0, 0);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getvcpuaffinity, id), 0);
    CU_ASSERT(map_is(0) == 0x16 && map_is(1) == 0x62); /* what was set */
    CU_ASSERT(g.map[0][8] == 0 && g.map[0][24] == 0 && g.map[0][25] == 0xee);
    affinity(1, XEN_VCPUAFFINITY_SOFT, 8, 0xff, 0xf0);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), 0);
    CU_ASSERT(g.map[0][0] == 0xff && g.map[1][0] == 0);
    CU_ASSERT_EQUAL(d->vcpu[1]->hard_affinity, 0x16);
    affinity(1, XEN_VCPUAFFINITY_HARD, 5, 0xff, 0); /* bits beyond the map are not looked at */
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), 0);
    CU_ASSERT_EQUAL(d->vcpu[1]->hard_affinity, 0x1f);
    affinity(1, BOTH, 64, 0xf0, 1); /* no CPU is left */
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EINVAL);
    CU_ASSERT(d->vcpu[1]->hard_affinity == 0x1f && d->vcpu[1]->soft_affinity == 0xf0);
    affinity(1, BOTH, 0, 1, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EINVAL);
    affinity(1, 0, 64, 1, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EINVAL);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getvcpuaffinity, id), -EINVAL);
    affinity(2, BOTH, 64, 1, 1);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EINVAL);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getvcpuaffinity, id), -ESRCH);
    for (unsigned int i = 0; i < 2; i++) { /* huge maps */
        affinity(1, BOTH, i ? ~0u : 4097, 1, 1);
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EINVAL);
        CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getvcpuaffinity, id), -EINVAL);
    }
    a = affinity(1, XEN_VCPUAFFINITY_HARD, 64, 1, 1);
    set_xen_guest_handle_raw(a->cpumap_hard.bitmap, (uint8_t *)0x10);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EFAULT);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getvcpuaffinity, id), -EFAULT);
    CU_ASSERT_EQUAL(d->vcpu[1]->hard_affinity, 0x1f);

    clear();
    set_xen_guest_handle_raw(g.op.u.nodeaffinity.nodemap.bitmap, g.map[0]);
    g.op.u.nodeaffinity.nodemap.nr_bits = 64;
    g.map[0][0] = 0xff;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setnodeaffinity, id), 0);
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_getnodeaffinity, id), 0);
    CU_ASSERT_EQUAL(map_is(0), 1);
    g.map[0][0] = 2;
    CU_ASSERT_EQUAL(domctl(XEN_DOMCTL_setnodeaffinity, id), -EINVAL);
    destroy(d);
    teardown();
}

static long scheduler(domid_t id, uint32_t sched, uint32_t cmd, uint16_t weight, uint16_t cap)
{
    clear();
    g.op.u.scheduler_op.sched_id = sched;
    g.op.u.scheduler_op.cmd = cmd;
    g.op.u.scheduler_op.u.credit2.weight = weight;
    g.op.u.scheduler_op.u.credit2.cap = cap;
    return domctl(XEN_DOMCTL_scheduler_op, id);
}

static void test_scheduler_op(void)
{
    const struct xen_domctl_sched_credit2 *c = &g.op.u.scheduler_op.u.credit2;
    enum {
        C2 = XEN_SCHEDULER_CREDIT2,
        PUT = XEN_DOMCTL_SCHEDOP_putinfo,
        GET = XEN_DOMCTL_SCHEDOP_getinfo
    };
    struct domain *d;
    domid_t id;

    setup();
    d = create(0, 4);
    id = d->domain_id;
    CU_ASSERT_EQUAL(scheduler(id, C2, GET, 9, 9), 0);
    CU_ASSERT(c->weight == 256 && c->cap == 0);
    CU_ASSERT_EQUAL(scheduler(id, C2, PUT, 1000, 150), 0);
    CU_ASSERT_EQUAL(scheduler(id, C2, GET, 0, 0), 0);
    CU_ASSERT(c->weight == 1000 && c->cap == 150);
    CU_ASSERT_EQUAL(scheduler(id, C2, PUT, 0, 0xffff), 0); /* as it is */
    CU_ASSERT_EQUAL(scheduler(id, C2, GET, 0, 0), 0);
    CU_ASSERT(c->weight == 1000 && c->cap == 150);
    CU_ASSERT_EQUAL(scheduler(id, C2, PUT, 65535, 0), 0);
    CU_ASSERT_EQUAL(scheduler(0, C2, GET, 0, 0), 0);
    CU_ASSERT_EQUAL(c->weight, 256);
    CU_ASSERT_EQUAL(scheduler(id, XEN_SCHEDULER_CREDIT, GET, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(scheduler(id, 0, GET, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(scheduler(id, C2, XEN_DOMCTL_SCHEDOP_putvcpuinfo, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(scheduler(id, C2, ~0u, 0, 0), -EINVAL);
    destroy(d);
    teardown();
}

/* ---- devices ---- */

static long ports(struct domain *who, struct domain *d, uint32_t first, uint32_t nr, bool allow)
{
    clear();
    g.op.u.ioport_permission.first_port = first;
    g.op.u.ioport_permission.nr_ports = nr;
    g.op.u.ioport_permission.allow_access = allow;
    return domctl_by(who, XEN_DOMCTL_ioport_permission, d->domain_id);
}

static bool has_port(struct domain *d, uint32_t p) { return ranges_have(&d->ioports, p); }

static void test_ioport_permission(void)
{
    struct domain *d, *guest;

    setup();
    dom0->ioports = (struct ranges){ { { 0, 0x3f7 }, { 0x400, 0xffff } }, 2 }; /* all but COM1's */
    guest = create(0, 1);
    d = create(ROLE_HARDWARE, 1);
    CU_ASSERT_EQUAL(ports(dom0, guest, 0x70, 2, true), -EPERM);
    CU_ASSERT_EQUAL(ports(dom0, guest, 0x70, 2, false), 0);
    CU_ASSERT_EQUAL(guest->ioports.nr, 0);
    CU_ASSERT_EQUAL(ports(dom0, d, 0x71, 10, true), 0);
    CU_ASSERT(!has_port(d, 0x70) && has_port(d, 0x71) && has_port(d, 0x7a) && !has_port(d, 0x7b));
    CU_ASSERT_EQUAL(ports(dom0, d, 0x72, 1, false), 0);
    CU_ASSERT(has_port(d, 0x71) && !has_port(d, 0x72) && has_port(d, 0x73));
    CU_ASSERT_EQUAL(ports(dom0, d, 0x3f0, 16, true), -EPERM); /* not one of them */
    CU_ASSERT(!has_port(d, 0x3f0));
    CU_ASSERT_EQUAL(ports(dom0, d, 0x3ff, 1, true), -EPERM);
    CU_ASSERT_EQUAL(ports(dom0, d, 0xffff, 1, true), 0);
    CU_ASSERT_EQUAL(ports(dom0, d, 0xffff, 2, true), -EINVAL);
    CU_ASSERT_EQUAL(ports(dom0, d, 0x10000, 0, true), -EINVAL);
    CU_ASSERT_EQUAL(ports(dom0, d, 0x10001, 0, true), -EINVAL);
    CU_ASSERT_EQUAL(ports(dom0, d, ~0u, 2, true), -EINVAL);
    CU_ASSERT_EQUAL(ports(dom0, d, 2, ~0u, true), -EINVAL);
    CU_ASSERT_EQUAL(ports(d, d, 0x71, 1, true), -EPERM);
    destroy(d);
    destroy(guest);
    teardown();
}

static long mmio(struct domain *who, struct domain *d, uint64_t first, uint64_t nr, bool allow)
{
    clear();
    g.op.u.iomem_permission.first_mfn = first;
    g.op.u.iomem_permission.nr_mfns = nr;
    g.op.u.iomem_permission.allow_access = allow;
    return domctl_by(who, XEN_DOMCTL_iomem_permission, d->domain_id);
}

/* Against a plain model: a bit per frame. */
static void test_iomem_permission(void)
{
    const uint64_t base = 0xf0000;
    bool model[64] = { false };
    struct domain *d, *guest;

    setup();
    dom0->iomem.of[0] = (struct range){ base, base + 31 };
    dom0->iomem.of[1] = (struct range){ 5, 4 }; /* one that is empty */
    dom0->iomem.of[2] = (struct range){ base + 32, base + 63 };
    dom0->iomem.nr = 3;
    guest = create(0, 1);
    d = create(ROLE_HARDWARE, 1);
    CU_ASSERT_EQUAL(mmio(dom0, guest, base, 1, true), -EPERM);
    CU_ASSERT_EQUAL(mmio(dom0, d, base, 0, true), -EINVAL);
    CU_ASSERT_EQUAL(mmio(dom0, d, ~0ULL, 2, true), -EINVAL);
    CU_ASSERT_EQUAL(mmio(dom0, d, 1, ~0ULL, true), -EINVAL);
    CU_ASSERT_EQUAL(mmio(dom0, d, (1ULL << (arch_paddr_bits - PAGE_SHIFT)) - 1, 2, true), -EINVAL);
    CU_ASSERT_EQUAL(mmio(dom0, d, base - 1, 2, true), -EPERM);
    CU_ASSERT_EQUAL(mmio(dom0, d, base + 63, 2, true), -EPERM);
    CU_ASSERT_EQUAL(mmio(dom0, d, 0, 1, true), -EPERM);
    dom0->iomem_ro.of[0] = (struct range){ base + 10, base + 10 };
    dom0->iomem_ro.nr = 1;
    CU_ASSERT_EQUAL(mmio(dom0, d, base + 8, 8, true), -EPERM);
    dom0->iomem_ro.nr = 0;
    CU_ASSERT_EQUAL(d->iomem.nr, 0);
    srand(7);
    for (unsigned int step = 0; step < 20000; step++) {
        unsigned int first = (unsigned int)rand() % 64, nr = 1 + (unsigned int)rand() % 9, used = 0;
        bool allow = rand() % 2;
        long rc;

        nr = nr > 64 - first ? 64 - first : nr;
        rc = mmio(dom0, d, base + first, nr, allow);
        CU_ASSERT_FATAL(rc == 0 || rc == -ENOMEM);
        for (unsigned int i = first; rc == 0 && i < first + nr; i++)
            model[i] = allow;
        for (unsigned int i = 0; i < 64; i++)
            CU_ASSERT_EQUAL_FATAL(ranges_have(&d->iomem, base + i), model[i]);
        for (unsigned int i = 0; i < d->iomem.nr; i++)
            used += d->iomem.of[i].first <= d->iomem.of[i].last;
        CU_ASSERT_FATAL(rc == 0 || used == NR_RANGES);
        CU_ASSERT_FATAL(!ranges_have(&d->iomem, base + 64) && !ranges_have(&d->iomem, base - 1));
    }
    /* all ranges in use: refused, and nothing changes */
    CU_ASSERT_EQUAL(mmio(dom0, d, base, 64, false), 0);
    for (unsigned int i = 0; i < NR_RANGES; i++)
        CU_ASSERT_EQUAL(mmio(dom0, d, base + 2 * i, 1, true), 0);
    CU_ASSERT_EQUAL(mmio(dom0, d, base + 63, 1, true), -ENOMEM);
    CU_ASSERT(!ranges_have(&d->iomem, base + 63));
    destroy(d);
    destroy(guest);
    teardown();
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("domctl", NULL, NULL);

    CU_ADD_TEST(s, test_what_is_asked_wrongly);
    CU_ADD_TEST(s, test_a_guest_may_do_nothing);
    CU_ADD_TEST(s, test_one_at_a_time);
    CU_ADD_TEST(s, test_createdomain);
    CU_ADD_TEST(s, test_max_vcpus);
    CU_ADD_TEST(s, test_pausedomain);
    CU_ADD_TEST(s, test_shutdown_and_resume);
    CU_ADD_TEST(s, test_the_store_is_told);
    CU_ADD_TEST(s, test_destroydomain);
    CU_ADD_TEST(s, test_a_thousand_domains_come_and_go);
    CU_ADD_TEST(s, test_a_failing_allocation_leaves_nothing);
    CU_ADD_TEST(s, test_getdomaininfo);
    CU_ADD_TEST(s, test_settings);
    CU_ADD_TEST(s, test_affinity);
    CU_ADD_TEST(s, test_scheduler_op);
    CU_ADD_TEST(s, test_ioport_permission);
    CU_ADD_TEST(s, test_iomem_permission);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
