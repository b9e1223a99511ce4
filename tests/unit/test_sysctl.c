/* hypercall/: sysctl, operation by operation; what a domain's information says is test_domctl's. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/types.h"

#include <xen/sysctl.h>

#include "hypercall/domctl.h"
#include "hypercall_stubs.h"

#define RAM_FRAMES 1024u

static struct domain *dom0, *guest7;
static struct vcpu idle[8];
static struct {
    struct xen_sysctl op;
    uint8_t bytes[1 << 14];
} guest __attribute__((aligned(4096)));
static struct xen_sysctl *const op = &guest.op;
static const uint64_t bad_va = 0x10;

static void setup(unsigned int nr_cpus)
{
    fake_reset(nr_cpus);
    if (fake_ram == NULL) {
        fake_ram_create(RAM_FRAMES);
        heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
    }
    dom0 = fake_domain(0, 2);
    guest7 = fake_domain(7, 3);
    dom0->is_privileged = dom0->is_hwdom = true;
    dom0->next = guest7;
    dom0->shutdown_code = guest7->shutdown_code = SHUTDOWN_NONE;
    domain_list = dom0;
    fake_current(dom0->vcpu[0]);
    memset(&guest, 0, sizeof(guest));
    memset(stub_cpuid, 0, sizeof(stub_cpuid));
    memset(idle, 0, sizeof(idle));
    for (unsigned int i = 0; i < nr_cpus; i++)
        arch_pcpu(i)->idle = &idle[i];
    stub_log = "";
    stub_log_first = stub_log_cleared = 0;
    fake_guest_map(&guest, sizeof(guest), FAKE_READ_WRITE);
}

static void teardown(void)
{
    CU_ASSERT_EQUAL(fake_refs(dom0), 1);
    CU_ASSERT_EQUAL(fake_refs(guest7), 1);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    domain_list = NULL;
    fake_domain_free(dom0);
    fake_domain_free(guest7);
}

static long call(uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    return hc_sysctl((uint64_t)(uintptr_t)op, 0, 0, 0, 0);
}

static void cpuid_set(unsigned int i, uint32_t leaf, uint32_t sub, uint32_t a, uint32_t b,
                      uint32_t c, uint32_t d)
{
    memcpy(stub_cpuid[i], (uint32_t[]){ leaf, sub, a, b, c, d }, sizeof(stub_cpuid[i]));
}

/* ---- the log ---- */

static long readconsole(bool incremental, uint32_t index, bool clear, uint32_t count)
{
    struct xen_sysctl_readconsole *r = &op->u.readconsole;

    *r = (struct xen_sysctl_readconsole){
        .clear = clear, .incremental = incremental, .index = index, .count = count
    };
    memset(guest.bytes, 0, sizeof(guest.bytes));
    set_xen_guest_handle_raw(r->buffer, (char *)guest.bytes);
    return call(XEN_SYSCTL_readconsole);
}

static void test_the_log_is_read_as_a_whole(void)
{
    setup(1);
    stub_log = "(XEN) one\n(XEN) two\n";
    stub_log_first = 100;
    CU_ASSERT_EQUAL(readconsole(false, 0, false, 1000), 0);
    CU_ASSERT_EQUAL(op->u.readconsole.count, 20);
    CU_ASSERT_EQUAL(op->u.readconsole.index, 120);
    CU_ASSERT_STRING_EQUAL(guest.bytes, stub_log);
    CU_ASSERT_EQUAL(stub_log_cleared, 0);
    CU_ASSERT_EQUAL(readconsole(false, 0, false, 0), 0);
    CU_ASSERT_EQUAL(op->u.readconsole.count, 0);
    teardown();
}

static void test_the_log_is_read_on_from_an_index(void)
{
    setup(1);
    stub_log = "0123456789";
    CU_ASSERT_EQUAL(readconsole(false, 0, false, 4), 0);
    CU_ASSERT_EQUAL(op->u.readconsole.index, 4);
    CU_ASSERT_EQUAL(readconsole(true, 4, false, 4), 0);
    CU_ASSERT_STRING_EQUAL(guest.bytes, "4567");
    CU_ASSERT_EQUAL(readconsole(true, 8, false, 4), 0);
    CU_ASSERT_STRING_EQUAL(guest.bytes, "89");
    CU_ASSERT_EQUAL(op->u.readconsole.count, 2);
    CU_ASSERT_EQUAL(op->u.readconsole.index, 10);
    CU_ASSERT_EQUAL(readconsole(true, 10, false, 4), 0);
    CU_ASSERT_EQUAL(op->u.readconsole.count, 0);
    teardown();
}

static void test_a_cleared_log_shows_what_came_later(void)
{
    setup(1);
    stub_log = "0123456789";
    CU_ASSERT_EQUAL(readconsole(false, 0, true, 6), 0);
    CU_ASSERT_EQUAL(stub_log_cleared, 6);
    CU_ASSERT_EQUAL(readconsole(false, 0, false, 100), 0);
    CU_ASSERT_STRING_EQUAL(guest.bytes, "6789");
    CU_ASSERT_EQUAL(readconsole(true, 2, false, 100), 0); /* before that: not any more */
    CU_ASSERT_STRING_EQUAL(guest.bytes, "6789");
    CU_ASSERT_EQUAL(readconsole(true, 8, false, 100), 0);
    CU_ASSERT_STRING_EQUAL(guest.bytes, "89");
    teardown();
}

static void test_a_long_log_goes_out_in_pieces_and_a_fault_clears_nothing(void)
{
    static char text[1001];

    setup(1);
    for (unsigned int i = 0; i < 1000; i++)
        text[i] = (char)('a' + i % 23);
    stub_log = text;
    CU_ASSERT_EQUAL(readconsole(false, 0, true, 2000), 0);
    CU_ASSERT_STRING_EQUAL(guest.bytes, text);
    stub_log_cleared = 0;
    fake_fail_copy(4); /* the structure, two pieces, the third */
    CU_ASSERT_EQUAL(readconsole(false, 0, true, 2000), -EFAULT);
    CU_ASSERT_EQUAL(stub_log_cleared, 0);
    CU_ASSERT_EQUAL(op->u.readconsole.count, 2000);
    teardown();
}

/* ---- the machine ---- */

static void test_physinfo_tells_what_is_there(void)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;
    mfn_t m;

    setup(4); /* APIC ids 1, 3, 5, 7 */
    memset(p, 0xff, sizeof(*p));
    cpuid_set(0, 0, 0, 0xd, 0, 0, 0);
    cpuid_set(1, 1, 0, 0, 0, 0x11, 0x22);
    cpuid_set(2, 0x80000000, 0, 0x80000007, 0, 0, 0);
    cpuid_set(3, 0x80000001, 0, 0, 0, 0x33, 0x44);
    cpuid_set(4, 7, 0, 0, 0x55, 0x66, 0);
    cpuid_set(5, 0xd, 1, 0x77, 0, 0, 0);
    cpuid_set(6, 0x80000007, 0, 0, 0, 0, 0x88);
    m = heap_alloc(3, 0);
    CU_ASSERT_EQUAL(domain_claim_pages(guest7, 5), 0);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_physinfo), 0);
    CU_ASSERT_EQUAL(p->nr_cpus, 4);
    CU_ASSERT_EQUAL(p->max_cpu_id, 3);
    CU_ASSERT_EQUAL(p->threads_per_core, 1);
    CU_ASSERT_EQUAL(p->cores_per_socket, 1);
    CU_ASSERT_EQUAL(p->nr_nodes, 1);
    CU_ASSERT_EQUAL(p->max_node_id, 0);
    CU_ASSERT_EQUAL(p->cpu_khz, 1000000);
    CU_ASSERT_EQUAL(p->capabilities, XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1);
    CU_ASSERT_EQUAL(p->arch_capabilities, 0);
    CU_ASSERT_EQUAL(p->total_pages, RAM_FRAMES);
    CU_ASSERT_EQUAL(p->free_pages, RAM_FRAMES - 1 - 8);
    CU_ASSERT_EQUAL(p->scrub_pages, 0);
    CU_ASSERT_EQUAL(p->outstanding_pages, 5);
    CU_ASSERT_EQUAL(p->max_mfn, RAM_FRAMES - 1);
    for (unsigned int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(p->hw_cap[i],
                        ((uint32_t[]){ 0x22, 0x11, 0x44, 0x33, 0x77, 0x55, 0x66, 0x88 })[i]);
    heap_free(m, 3);
    CU_ASSERT_EQUAL(domain_claim_pages(guest7, 0), 0);
    fake_fail_copy(2);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_physinfo), -EFAULT);
    teardown();
}

static void test_words_of_cpuid_that_the_cpu_does_not_have_are_zero(void)
{
    setup(1);
    cpuid_set(0, 0, 0, 1, 0, 0, 0);
    cpuid_set(1, 7, 0, 9, 9, 9, 9);
    cpuid_set(2, 0x80000001, 0, 9, 9, 9, 9);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_physinfo), 0);
    for (unsigned int i = 0; i < 8; i++)
        CU_ASSERT_EQUAL(op->u.physinfo.hw_cap[i], 0);
    teardown();
}

static struct xen_sysctl_cputopo *topo(void) { return (void *)guest.bytes; }

static long cputopoinfo(uint32_t n)
{
    memset(guest.bytes, 0xee, sizeof(guest.bytes));
    op->u.cputopoinfo.num_cpus = n;
    set_xen_guest_handle_raw(op->u.cputopoinfo.cputopo, topo());
    return call(XEN_SYSCTL_cputopoinfo);
}

static void test_topology_by_the_topology_leaf(void)
{
    setup(4); /* 1, 3, 5, 7: threads in bit 0, cores in bit 1, sockets from bit 2 on */
    cpuid_set(0, 0, 0, 0xd, 0, 0, 0);
    cpuid_set(1, 0xb, 0, 1, 2, 0x100, 0);
    cpuid_set(2, 0xb, 1, 2, 4, 0x201, 0);
    CU_ASSERT_EQUAL(cputopoinfo(10), 0);
    CU_ASSERT_EQUAL(op->u.cputopoinfo.num_cpus, 4);
    for (uint32_t i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(topo()[i].core, i % 2);
        CU_ASSERT_EQUAL(topo()[i].socket, i / 2);
        CU_ASSERT_EQUAL(topo()[i].node, 0);
    }
    CU_ASSERT_EQUAL(topo()[4].core, 0xeeeeeeee);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_physinfo), 0);
    CU_ASSERT_EQUAL(op->u.physinfo.threads_per_core, 1);
    CU_ASSERT_EQUAL(op->u.physinfo.cores_per_socket, 2);
    teardown();
}

static void test_threads_of_a_core_are_counted(void)
{
    setup(4); /* 1, 3, 5, 7: threads in bits 0 and 1 */
    cpuid_set(0, 0, 0, 0xb, 0, 0, 0);
    cpuid_set(1, 0xb, 0, 2, 2, 0x100, 0);
    cpuid_set(2, 0xb, 1, 4, 4, 0x201, 0);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_physinfo), 0);
    CU_ASSERT_EQUAL(op->u.physinfo.threads_per_core, 2);
    CU_ASSERT_EQUAL(op->u.physinfo.cores_per_socket, 2);
    teardown();
}

/* 4 logical CPUs a socket, as older CPUs say: all are cores. */
static void test_topology_without_the_topology_leaf(void)
{
    setup(4); /* 1, 3 | 5, 7 */
    cpuid_set(0, 0, 0, 4, 0, 0, 0);
    cpuid_set(1, 1, 0, 0, 4 << 16, 0, 1 << 28);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_physinfo), 0);
    CU_ASSERT_EQUAL(op->u.physinfo.threads_per_core, 1);
    CU_ASSERT_EQUAL(op->u.physinfo.cores_per_socket, 2);
    teardown();
}

static void test_cputopoinfo_sizes(void)
{
    setup(3);
    op->u.cputopoinfo.num_cpus = 0;
    set_xen_guest_handle_raw(op->u.cputopoinfo.cputopo, NULL);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_cputopoinfo), 0); /* how many? */
    CU_ASSERT_EQUAL(op->u.cputopoinfo.num_cpus, 3);
    CU_ASSERT_EQUAL(cputopoinfo(2), 0); /* as many as there is room for, and how many there are */
    CU_ASSERT_EQUAL(op->u.cputopoinfo.num_cpus, 3);
    CU_ASSERT_EQUAL(topo()[1].node, 0);
    CU_ASSERT_EQUAL(topo()[2].node, 0xeeeeeeee);
    CU_ASSERT_EQUAL(cputopoinfo(~0u), 0);
    CU_ASSERT_EQUAL(op->u.cputopoinfo.num_cpus, 3);
    op->u.cputopoinfo.num_cpus = 1;
    set_xen_guest_handle_raw(op->u.cputopoinfo.cputopo, (void *)bad_va);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_cputopoinfo), -EFAULT);
    CU_ASSERT_EQUAL(op->u.cputopoinfo.num_cpus, 1);
    teardown();
}

static void test_numainfo_has_one_node(void)
{
    struct xen_sysctl_numainfo *n = &op->u.numainfo;
    struct xen_sysctl_meminfo *mem = (void *)guest.bytes;
    uint32_t *distance = (uint32_t *)(guest.bytes + 256);

    setup(1);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_numainfo), 0);
    CU_ASSERT_EQUAL(n->num_nodes, 1);
    memset(guest.bytes, 0xee, sizeof(guest.bytes));
    n->num_nodes = 4;
    set_xen_guest_handle_raw(n->meminfo, mem);
    set_xen_guest_handle_raw(n->distance, distance);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_numainfo), 0);
    CU_ASSERT_EQUAL(n->num_nodes, 1);
    CU_ASSERT_EQUAL(mem->memsize, RAM_FRAMES * PAGE_SIZE);
    CU_ASSERT_EQUAL(mem->memfree, heap_free_pages() * PAGE_SIZE);
    CU_ASSERT_EQUAL(mem[1].memsize, 0xeeeeeeeeeeeeeeee);
    CU_ASSERT_EQUAL(distance[0], 10);
    CU_ASSERT_EQUAL(distance[1], 0xeeeeeeee);
    n->num_nodes = 0; /* no room: nothing is written */
    mem->memsize = 5;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_numainfo), 0);
    CU_ASSERT_EQUAL(mem->memsize, 5);
    CU_ASSERT_EQUAL(n->num_nodes, 1);
    for (unsigned int i = 2; i <= 4; i++) {
        n->num_nodes = 1;
        fake_fail_copy(i);
        CU_ASSERT_EQUAL(call(XEN_SYSCTL_numainfo), -EFAULT);
    }
    teardown();
}

static void test_pcitopoinfo_knows_functions_and_may_be_interrupted(void)
{
    struct xen_sysctl_pcitopoinfo *p = &op->u.pcitopoinfo;
    struct physdev_pci_device *dev = (void *)guest.bytes;
    uint32_t *nodes = (uint32_t *)(guest.bytes + 1024);

    setup(1);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), -EINVAL); /* no arrays */
    set_xen_guest_handle_raw(p->devs, dev);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), -EINVAL);
    set_xen_guest_handle_raw(p->nodes, nodes);
    stub_pci_bdf = 0x0108;
    dev[0] = (struct physdev_pci_device){ 0, 1, 8 };
    dev[1] = (struct physdev_pci_device){ 1, 1, 8 };
    dev[2] = (struct physdev_pci_device){ 0, 1, 9 };
    p->num_devs = 3;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), 0);
    CU_ASSERT_EQUAL(p->num_devs, 3);
    CU_ASSERT_EQUAL(nodes[0], 0);
    CU_ASSERT_EQUAL(nodes[1], XEN_INVALID_DEV);
    CU_ASSERT_EQUAL(nodes[2], XEN_INVALID_DEV);
    preempt_every = 2;
    preempt_asked = 0;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), 0);
    CU_ASSERT_EQUAL(p->num_devs, 2);
    preempt_every = 1; /* it gets on all the same */
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), 0);
    CU_ASSERT_EQUAL(p->num_devs, 1);
    preempt_every = 0;
    for (unsigned int i = 2; i <= 3; i++) {
        fake_fail_copy(i);
        CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), -EFAULT);
    }
    p->num_devs = 0;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_pcitopoinfo), 0);
    teardown();
}

/* ---- domains ---- */

static struct xen_domctl_getdomaininfo *infos(void) { return (void *)guest.bytes; }

static long list(domid_t first, uint32_t max)
{
    op->u.getdomaininfolist.first_domain = first;
    op->u.getdomaininfolist.max_domains = max;
    op->u.getdomaininfolist.num_domains = 99;
    set_xen_guest_handle_raw(op->u.getdomaininfolist.buffer, infos());
    memset(guest.bytes, 0xee, sizeof(guest.bytes));
    return call(XEN_SYSCTL_getdomaininfolist);
}

static void test_getdomaininfolist_lists_from_an_id_on(void)
{
    setup(1);
    CU_ASSERT_EQUAL(list(0, 10), 0);
    CU_ASSERT_EQUAL(op->u.getdomaininfolist.num_domains, 2);
    CU_ASSERT_EQUAL(infos()[0].domain, 0);
    CU_ASSERT_EQUAL(infos()[1].domain, 7);
    CU_ASSERT_EQUAL(infos()[2].domain, 0xeeee);
    CU_ASSERT_EQUAL(list(0, 1), 0);
    CU_ASSERT_EQUAL(op->u.getdomaininfolist.num_domains, 1);
    CU_ASSERT_EQUAL(infos()[1].domain, 0xeeee);
    CU_ASSERT_EQUAL(list(1, 10), 0);
    CU_ASSERT_EQUAL(op->u.getdomaininfolist.num_domains, 1);
    CU_ASSERT_EQUAL(infos()[0].domain, 7);
    CU_ASSERT_EQUAL(list(8, 10), 0);
    CU_ASSERT_EQUAL(op->u.getdomaininfolist.num_domains, 0);
    CU_ASSERT_EQUAL(list(0, 0), 0);
    CU_ASSERT_EQUAL(op->u.getdomaininfolist.num_domains, 0);
    teardown();
}

static void test_a_fault_in_getdomaininfolist_drops_its_references(void)
{
    setup(1);
    for (unsigned int i = 1; i <= 4; i++) {
        fake_fail_copy(i);
        CU_ASSERT_EQUAL(list(0, 10), -EFAULT);
        CU_ASSERT_EQUAL(op->u.getdomaininfolist.num_domains, 99);
    }
    teardown();
}

/* ---- the scheduler and its pool ---- */

static long cpupool(uint32_t what, uint32_t id, uint32_t nr_bits)
{
    op->u.cpupool_op = (struct xen_sysctl_cpupool_op){
        .op = what, .cpupool_id = id, .sched_id = 99, .n_dom = 99, .cpumap.nr_bits = nr_bits
    };
    set_xen_guest_handle_raw(op->u.cpupool_op.cpumap.bitmap, guest.bytes);
    memset(guest.bytes, 0xee, sizeof(guest.bytes));
    return call(XEN_SYSCTL_cpupool_op);
}

static void test_there_is_one_cpupool(void)
{
    setup(3);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 128), 0);
    CU_ASSERT_EQUAL(op->u.cpupool_op.cpupool_id, 0);
    CU_ASSERT_EQUAL(op->u.cpupool_op.sched_id, XEN_SCHEDULER_CREDIT2);
    CU_ASSERT_EQUAL(op->u.cpupool_op.n_dom, 2);
    CU_ASSERT_EQUAL(guest.bytes[0], 7);
    for (unsigned int i = 1; i < 16; i++)
        CU_ASSERT_EQUAL(guest.bytes[i], 0);
    CU_ASSERT_EQUAL(guest.bytes[16], 0xee);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 2),
                    0); /* bits beyond the map stay off */
    CU_ASSERT_EQUAL(guest.bytes[0], 3);
    CU_ASSERT_EQUAL(guest.bytes[1], 0xee);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 0), 0);
    CU_ASSERT_EQUAL(guest.bytes[0], 0xee);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 2048), 0);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 4097), -EINVAL);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, ~0u), -EINVAL);
    CU_ASSERT_EQUAL(guest.bytes[0], 0xee);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_FREEINFO, 0, 8), 0);
    CU_ASSERT_EQUAL(guest.bytes[0], 0);
    teardown();
}

static void test_other_cpupools_are_refused(void)
{
    setup(1);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 1, 8), -ENOENT);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_CREATE, 0, 8), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_DESTROY, 5, 8), -EOPNOTSUPP);
    for (uint32_t i = XEN_SYSCTL_CPUPOOL_OP_ADDCPU; i <= XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN; i++) {
        CU_ASSERT_EQUAL(cpupool(i, 1, 8), -EOPNOTSUPP);
        CU_ASSERT_EQUAL(cpupool(i, 0, 8), -EOPNOTSUPP);
    }
    CU_ASSERT_EQUAL(cpupool(0, 0, 8), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(cpupool(8, 0, 8), -EOPNOTSUPP);
    fake_fail_copy(2);
    CU_ASSERT_EQUAL(cpupool(XEN_SYSCTL_CPUPOOL_OP_INFO, 0, 8), -EFAULT);
    teardown();
}

static void test_the_scheduler_has_no_parameters_to_set(void)
{
    struct xen_sysctl_scheduler_op *sched = &op->u.scheduler_op;

    setup(1);
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_sched_id), 0);
    CU_ASSERT_EQUAL(op->u.sched_id.sched_id, XEN_SCHEDULER_CREDIT2);
    *sched = (struct xen_sysctl_scheduler_op){ .sched_id = XEN_SCHEDULER_CREDIT2,
                                               .cmd = XEN_SYSCTL_SCHEDOP_getinfo };
    sched->u.sched_credit2.ratelimit_us = 99;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_scheduler_op), 0);
    CU_ASSERT_EQUAL(sched->u.sched_credit2.ratelimit_us, 0);
    sched->cmd = XEN_SYSCTL_SCHEDOP_putinfo;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_scheduler_op), -EOPNOTSUPP);
    sched->cmd = XEN_SYSCTL_SCHEDOP_getinfo;
    sched->sched_id = XEN_SCHEDULER_CREDIT;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_scheduler_op), -EINVAL);
    sched->cpupool_id = 1;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_scheduler_op), -ESRCH);
    sched->cmd = 2;
    CU_ASSERT_EQUAL(call(XEN_SYSCTL_scheduler_op), -EOPNOTSUPP);
    teardown();
}

/* ---- what is refused ---- */

static void test_what_is_not_built_is_refused_as_xen_does_without_it(void)
{
    static const struct {
        uint32_t cmd;
        int rc;
    } cases[] = {
        { 0, -ENOSYS },
        { XEN_SYSCTL_tbuf_op, -ENOSYS },
        { XEN_SYSCTL_perfc_op, -ENOSYS },
        { XEN_SYSCTL_getcpuinfo, -ENOSYS },
        { XEN_SYSCTL_availheap, -ENOSYS },
        { XEN_SYSCTL_get_cpu_levelling_caps, -ENOSYS },
        { XEN_SYSCTL_get_pmstat, -ENODEV },
        { XEN_SYSCTL_cpu_hotplug, -ENOSYS },
        { XEN_SYSCTL_pm_op, -ENODEV },
        { 13, -ENOSYS },
        { XEN_SYSCTL_page_offline_op, -ENOSYS },
        { XEN_SYSCTL_lockprof_op, -ENOSYS },
        { XEN_SYSCTL_coverage_op, -ENOSYS },
        { XEN_SYSCTL_psr_cmt_op, -ENODEV },
        { XEN_SYSCTL_psr_alloc, -ENODEV },
        { 24, -ENOSYS },
        { XEN_SYSCTL_livepatch_op, -ENOSYS },
        { 28, -ENOSYS },
        { 30, -ENOSYS },
        { 1000, -ENOSYS },
        { ~0u, -ENOSYS },
    };

    setup(1);
    for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
        CU_ASSERT_EQUAL(call(cases[i].cmd), cases[i].rc);
    teardown();
}

static void test_only_a_privileged_domain_asks(void)
{
    setup(1);
    fake_current(guest7->vcpu[0]);
    for (uint32_t cmd = 0; cmd < 40; cmd++)
        CU_ASSERT_EQUAL(call(cmd), -EPERM);
    teardown();
}

#define T(test) CU_ADD_TEST(s, test)

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("sysctl", NULL, NULL);

    T(test_the_log_is_read_as_a_whole);
    T(test_the_log_is_read_on_from_an_index);
    T(test_a_cleared_log_shows_what_came_later);
    T(test_a_long_log_goes_out_in_pieces_and_a_fault_clears_nothing);
    T(test_physinfo_tells_what_is_there);
    T(test_words_of_cpuid_that_the_cpu_does_not_have_are_zero);
    T(test_topology_by_the_topology_leaf);
    T(test_threads_of_a_core_are_counted);
    T(test_topology_without_the_topology_leaf);
    T(test_cputopoinfo_sizes);
    T(test_numainfo_has_one_node);
    T(test_pcitopoinfo_knows_functions_and_may_be_interrupted);
    T(test_getdomaininfolist_lists_from_an_id_on);
    T(test_a_fault_in_getdomaininfolist_drops_its_references);
    T(test_there_is_one_cpupool);
    T(test_other_cpupools_are_refused);
    T(test_the_scheduler_has_no_parameters_to_set);
    T(test_what_is_not_built_is_refused_as_xen_does_without_it);
    T(test_only_a_privileged_domain_asks);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
