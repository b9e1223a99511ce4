/*
 * What a domain beside domain 0 begins with: its start_info, the rings and ports that wait for the daemons
 * of domain 0 (the witness plays them: it binds the ports and sends), and no right to anything else.
 */
#include "guest.h"

#define TEXT "one two, three=4"

static bool is_zero(const uint64_t *page)
{
    for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
        if (page[i])
            return false;
    return true;
}

/* Page n behind start_info; it is a whole page of ours, and nothing is in it. */
static void check_ring(uint64_t mfn, uint64_t n)
{
    uint64_t *page = (uint64_t *)((char *)start_info + n * PAGE_SIZE);

    CHECK_EQ(mfn, virt_to_mfn(page));
    CHECK_EQ(mfn_to_virt(mfn), page);
    CHECK(is_zero(page));
    page[0] = 1;
    CHECK_EQ(page[0], 1);
}

static struct evtchn_status port_status(unsigned int port)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = port };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_status, &s), 0);
    return s;
}

/* Unbound, for domain 0; then it is bound and an event comes. */
static void check_port(unsigned int port, unsigned int number)
{
    uint64_t end = now_ns(0) + PATIENCE_NS;
    struct evtchn_status s = port_status(port);

    CHECK_EQ(port, number);
    CHECK(s.status == EVTCHNSTAT_unbound || s.status == EVTCHNSTAT_interdomain);
    CHECK_EQ(s.status == EVTCHNSTAT_unbound ? s.u.unbound.dom : s.u.interdomain.dom, 0);
    while (!port_pending(port) && now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK(port_pending(port));
    s = port_status(port);
    CHECK_EQ(s.status, EVTCHNSTAT_interdomain);
    CHECK_EQ(s.u.interdomain.dom, 0);
    CHECK_EQ(port_send(port), 0);
}

static void check_start_info(void)
{
    const char *magic = start_info->magic;

    CHECK_EQ(strcmp(magic, "xen-3.0-x86_64"), 0);
    CHECK_EQ(start_info->flags, 0);
    CHECK_EQ(start_info->nr_pages, 4096);
    CHECK_EQ(strcmp((const char *)start_info->cmd_line, TEXT), 0);
    CHECK_EQ(start_info->mod_len, 0);
    CHECK_EQ(start_info->pt_base, (uint64_t)start_info + 3 * PAGE_SIZE);
    check_ring(start_info->store_mfn, 1);
    check_ring(start_info->console.domU.mfn, 2);
}

/* Its memory is clear, whatever the machine's was; what the builder wrote and is not told of is not seen. */
static void check_memory(void)
{
    uint64_t first =
        virt_to_pfn((void *)(start_info->pt_base + start_info->nr_pt_frames * PAGE_SIZE)) + 1;
    static uint64_t window[PAGE_SIZE / 8] __attribute__((aligned(4096)));
    unsigned int used = 0;

    for (uint64_t pfn = first; pfn < start_info->nr_pages; pfn++) {
        CHECK_EQ(update_va(window, pfn_to_mfn(pfn) << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
        used += !is_zero(window);
    }
    CHECK_EQ(used, 0);
}

static void check_rights(void)
{
    xen_domain_handle_t handle = { 0 };
    struct xen_memory_map map = { .nr_entries = 0 };
    struct xen_feature_info feat = { .submap_idx = 0 };
    struct evtchn_alloc_unbound of_dom0 = { .dom = 0, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain to_dom0 = { .remote_dom = 0, .remote_port = 1 };
    struct physdev_apic apic = { .apic_physbase = 0xfec00000 };
    unsigned long extent = 0;
    struct xen_memory_reservation more = { .nr_extents = 1, .domid = DOMID_SELF };

    CHECK_EQ(hc(xen_version, XENVER_get_features, &feat), 0);
    CHECK(!(feat.submap & (1u << XENFEAT_dom0)));
    CHECK_EQ(hc(console_io, CONSOLEIO_read, sizeof(handle), handle), -EPERM);
    CHECK_EQ(hc(console_io, 77, 0, 0), -EPERM);
    CHECK_EQ(hc(memory_op, XENMEM_machine_memory_map, &map), -EPERM);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &of_dom0), -EPERM);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_interdomain, &to_dom0), -EINVAL);
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_apic_read, &apic), -EPERM);
    set_xen_guest_handle(more.extent_start, &extent);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &more), 0); /* it has all that it may have */
    TRY("in $0x60, %%al", : : : "rax", "memory");
    CHECK(trapped(TRAP_GP));
}

void test_main(void)
{
    check_start_info();
    check_rights();
    check_port(start_info->store_evtchn, 1);
    check_port(start_info->console.domU.evtchn, 2);
    check_memory();
}
