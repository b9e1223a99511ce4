/*
 * The initial domain as a toolstack: domains are created, given vCPUs and memory, paused, resumed and
 * destroyed, time and again, and all of their memory comes back.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h */
#include "guest.h"

#include <xen/domctl.h>

#define NR_VCPUS 3
#define ORDER 9 /* 2 MiB */
#define CYCLES 30
#define EXTENTS 20 /* 40 MiB, of 160: four such domains do not fit */

static struct xen_domctl op;
static unsigned int dom_exc; /* port */

/* The arguments are in op.u. */
static long domctl(uint32_t cmd, domid_t id)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}

static void clear(void) { memset(&op, 0, sizeof(op)); }

static void fill_config(void)
{
    clear();
    for (unsigned int i = 0; i < sizeof(op.u.createdomain.handle); i++)
        op.u.createdomain.handle[i] = (uint8_t)(i + 1);
    op.u.createdomain.max_vcpus = NR_VCPUS;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = 8;
    op.u.createdomain.max_maptrack_frames = 8;
    op.u.createdomain.grant_opts = 1;
}

static domid_t create(void)
{
    domid_t id;

    fill_config();
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), 0);
    id = op.domain;
    CHECK(id != 0 && id < DOMID_FIRST_RESERVED);
    clear();
    op.u.max_vcpus.max = NR_VCPUS;
    CHECK_EQ(domctl(XEN_DOMCTL_max_vcpus, id), 0);
    return id;
}

static uint32_t flags(domid_t id)
{
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo, id), 0);
    CHECK_EQ(op.domain, id);
    return op.u.getdomaininfo.flags;
}

/* True when it comes to that, in the time that anything takes. */
static bool comes(bool (*what)(domid_t id), domid_t id)
{
    for (uint64_t end = now_ns(0) + PATIENCE_NS; now_ns(0) < end;) {
        if (what(id))
            return true;
        hc(sched_op, SCHEDOP_yield, 0);
    }
    return false;
}

static bool is_gone(domid_t id)
{
    clear();
    return domctl(XEN_DOMCTL_getdomaininfo, id) == -ESRCH || op.domain != id;
}
static bool is_told(domid_t id) { return port_pending(dom_exc); }

static void destroy(domid_t id)
{
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain, id), 0);
    CHECK(comes(is_gone, id));
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain, id), -ESRCH);
}

static long populate(domid_t id, unsigned int nr)
{
    static xen_pfn_t list[EXTENTS + 1];
    struct xen_memory_reservation r = { .nr_extents = nr, .extent_order = ORDER, .domid = id };

    for (unsigned int i = 0; i < nr; i++)
        list[i] = i << ORDER;
    set_xen_guest_handle(r.extent_start, list);
    return hc(memory_op, XENMEM_populate_physmap, &r);
}

static void wrong_calls(void)
{
    clear();
    op.cmd = XEN_DOMCTL_getdomaininfo;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION - 1;
    CHECK_EQ(hc(domctl, &op), -EACCES);
    CHECK_EQ(hc(domctl, NONCANONICAL), -EFAULT);
    CHECK_EQ(domctl(XEN_DOMCTL_pausedomain, 0), -EINVAL); /* itself */
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain, 0), -EINVAL);
    CHECK_EQ(domctl(XEN_DOMCTL_resumedomain, 0), -EINVAL);
    CHECK_EQ(domctl(XEN_DOMCTL_pausedomain, 77), -ESRCH);
    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo, 1), -ESRCH); /* no other is there */
    CHECK_EQ(domctl(999, 0), -ENOSYS);
    fill_config();
    op.u.createdomain.flags = 1u << 31;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), -EINVAL);
    fill_config();
    op.u.createdomain.max_vcpus = 0;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), -EINVAL);
    fill_config();
    op.u.createdomain.grant_opts = 0;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), -EINVAL);
    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo, 1), -ESRCH);
    CHECK(!(flags(0) & (XEN_DOMINF_dying | XEN_DOMINF_shutdown | XEN_DOMINF_paused)));
    CHECK(op.u.getdomaininfo.flags & XEN_DOMINF_running);
    CHECK_EQ(op.u.getdomaininfo.tot_pages, start_info->nr_pages);
}

/* What is told of a new domain is what it was created with. */
static void one_domain(void)
{
    struct xen_domctl_getdomaininfo *info = &op.u.getdomaininfo;
    static uint8_t hard[8], soft[8];
    domid_t id = create();

    CHECK_EQ(flags(id) & (XEN_DOMINF_paused | XEN_DOMINF_dying | XEN_DOMINF_shutdown |
                          XEN_DOMINF_running | XEN_DOMINF_hvm_guest),
             XEN_DOMINF_paused);
    CHECK_EQ(info->max_vcpu_id, NR_VCPUS - 1);
    CHECK_EQ(info->nr_online_vcpus, 0);
    CHECK_EQ(info->tot_pages, 0);
    CHECK_EQ(info->cpu_time, 0);
    CHECK_EQ(info->handle[15], 16);
    CHECK_EQ(info->domain, id);
    fill_config();
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, id), -EEXIST);

    clear();
    op.u.max_mem.max_memkb = 8 << 10;
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem, id), 0);
    CHECK_EQ(hc(memory_op, XENMEM_maximum_reservation, &id), 2048);
    CHECK_EQ(populate(id, 5), 4); /* as far as it goes */
    CHECK_EQ(hc(memory_op, XENMEM_current_reservation, &id), 2048);
    flags(id);
    CHECK_EQ(info->tot_pages, 2048);
    CHECK_EQ(info->max_pages, 2048);

    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_get_address_size, id), 0);
    CHECK_EQ(op.u.address_size.size, 64);
    CHECK_EQ(domctl(XEN_DOMCTL_set_address_size, id), 0);

    clear();
    op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    op.u.vcpuaffinity.vcpu = NR_VCPUS - 1;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = op.u.vcpuaffinity.cpumap_soft.nr_bits = 64;
    set_xen_guest_handle_raw(op.u.vcpuaffinity.cpumap_hard.bitmap, hard);
    set_xen_guest_handle_raw(op.u.vcpuaffinity.cpumap_soft.bitmap, soft);
    CHECK_EQ(domctl(XEN_DOMCTL_getvcpuaffinity, id), 0);
    CHECK((hard[0] & 1) && (soft[0] & 1));
    hard[0] = 0;
    CHECK(domctl(XEN_DOMCTL_setvcpuaffinity, id) == -EINVAL || hard[1]);
    memset(hard, 0, sizeof(hard));
    CHECK_EQ(domctl(XEN_DOMCTL_setvcpuaffinity, id), -EINVAL);
    hard[0] = soft[0] = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_setvcpuaffinity, id), 0);
    CHECK(hard[0] == 1 && soft[0] == 1);

    clear();
    op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    op.u.scheduler_op.u.credit2.weight = 512;
    CHECK_EQ(domctl(XEN_DOMCTL_scheduler_op, id), 0);
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    op.u.scheduler_op.u.credit2.weight = 0;
    CHECK_EQ(domctl(XEN_DOMCTL_scheduler_op, id), 0);
    CHECK_EQ(op.u.scheduler_op.u.credit2.weight, 512);
    op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT;
    CHECK_EQ(domctl(XEN_DOMCTL_scheduler_op, id), -EINVAL);

    clear();
    op.u.sendtrigger.vcpu = NR_VCPUS;
    CHECK(domctl(XEN_DOMCTL_sendtrigger, id) < 0);
    destroy(id);
}

/* It is paused and resumed without ever having run; who watches is told of its end. */
static void lives(void)
{
    domid_t id = create();

    port_clear_pending(dom_exc);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_pausedomain, id), 0);
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
    CHECK(flags(id) & XEN_DOMINF_paused);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
    CHECK(!(flags(id) & XEN_DOMINF_paused));
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_resumedomain, id), 0);
    CHECK(!(flags(id) & XEN_DOMINF_shutdown));
    destroy(id);
    CHECK(comes(is_told, id));
    port_clear_pending(dom_exc);
}

static void watchdogs(void)
{
    struct sched_watchdog dog = { .id = 0, .timeout = 0 };

    if (!on_xen()) /* there it fires at once, and that is the end of the machine */
        CHECK_EQ(hc(sched_op, SCHEDOP_watchdog, &dog), -EINVAL);
    dog.timeout = 100;
    CHECK_EQ(hc(sched_op, SCHEDOP_watchdog, &dog), 1);
    CHECK_EQ(hc(sched_op, SCHEDOP_watchdog, &dog), 2);
    CHECK_EQ((int)hc(sched_op, SCHEDOP_watchdog, &dog), -ENOSPC); /* there it has 32 bits */
    dog = (struct sched_watchdog){ .id = 1, .timeout = 1 };
    CHECK_EQ(hc(sched_op, SCHEDOP_watchdog, &dog), 0);
    for (dog.id = 1; dog.id <= 2; dog.id++) {
        dog.timeout = 0;
        CHECK_EQ(hc(sched_op, SCHEDOP_watchdog, &dog), 0);
        CHECK_EQ(hc(sched_op, SCHEDOP_watchdog, &dog), -EINVAL);
    }
    spin_ns(1200000000); /* and it does not end us */
}

/* More memory than there is, were it not given back. */
static void cycles(void)
{
    domid_t last = 0;

    for (unsigned int i = 0; i < CYCLES; i++) {
        domid_t id = create();

        CHECK(id != last);
        last = id;
        op.u.max_mem.max_memkb = EXTENTS << (ORDER + 2);
        CHECK_EQ(domctl(XEN_DOMCTL_max_mem, id), 0);
        CHECK_EQ(populate(id, EXTENTS), EXTENTS);
        CHECK_EQ(hc(memory_op, XENMEM_current_reservation, &id), EXTENTS << ORDER);
        if (i % 2) {
            clear();
            CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
        }
        destroy(id);
        CHECK_EQ(hc(memory_op, XENMEM_current_reservation, &id), -ESRCH);
    }
    flags(0);
    CHECK_EQ(op.u.getdomaininfo.tot_pages, start_info->nr_pages);
}

/* Roles are ours; Xen has none without a security module. */
static void roles(void)
{
    if (on_xen())
        return;
    fill_config();
    op.u.createdomain.ssidref = ~0u;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), -EPERM);
    fill_config();
    op.u.createdomain.flags = XEN_DOMCTL_CDF_xs_domain;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), 0);
    CHECK(flags(op.domain) & XEN_DOMINF_xs_domain);
    destroy(op.domain);
}

void test_main(void)
{
    int port = bind_virq(VIRQ_DOM_EXC, 0);

    CHECK(port > 0);
    dom_exc = (unsigned int)port;
    wrong_calls();
    one_domain();
    lives();
    watchdogs();
    cycles();
    roles();
}
