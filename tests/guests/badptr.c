/*
 * Every hypercall that takes a pointer, with pointers that lead nowhere good. The answer is an
 * error (-EFAULT unless the row says otherwise), nothing is written, and the hypervisor lives. What
 * ours does not implement answers -ENOSYS or -EOPNOTSUPP to good pointers as well, and is listed.
 */
#include "guest.h"

#include <xen/grant_table.h>
#include <xen/platform.h>

#define NR(name) __HYPERVISOR_##name
#define PTR 0xb000000000000000UL /* stands for the pointer in a row */
#define IN 1                     /* the hypervisor reads there */
#define OUT 2                    /* it writes there, and on success only */
#define ZERO 8                   /* 0 is the answer: so many extents were done */
#define ANY 4                    /* another error may come first */

static const struct row {
    const char *name;
    unsigned int nr;
    unsigned int how;
    uint64_t args[5];
} rows[] = {
    { "set_trap_table", NR(set_trap_table), IN, { PTR } },
    { "mmu_update", NR(mmu_update), IN, { PTR, 1, 0, DOMID_SELF } },
    { "set_gdt", NR(set_gdt), IN, { PTR, 512 } },
    { "platform_op", NR(platform_op), IN, { PTR } },
    { "memory_op decrease", NR(memory_op), IN | ZERO, { XENMEM_decrease_reservation, PTR } },
    { "memory_op populate", NR(memory_op), IN | ZERO, { XENMEM_populate_physmap, PTR } },
    { "memory_op exchange", NR(memory_op), IN, { XENMEM_exchange, PTR } },
    { "memory_op maximum_reservation", NR(memory_op), IN, { XENMEM_maximum_reservation, PTR } },
    { "memory_op current_reservation", NR(memory_op), IN, { XENMEM_current_reservation, PTR } },
    { "memory_op machphys_mfn_list", NR(memory_op), IN, { XENMEM_machphys_mfn_list, PTR } },
    { "memory_op machphys_mapping", NR(memory_op), OUT, { XENMEM_machphys_mapping, PTR } },
    { "memory_op machine_memory_map", NR(memory_op), IN, { XENMEM_machine_memory_map, PTR } },
    { "memory_op set_memory_map", NR(memory_op), IN, { XENMEM_set_memory_map, PTR } },
    { "memory_op claim_pages", NR(memory_op), IN, { 24, PTR } },
    { "memory_op maximum_gpfn", NR(memory_op), IN, { XENMEM_maximum_gpfn, PTR } },
    { "multicall", NR(multicall), IN | OUT, { PTR, 1 } },
    { "xen_version extraversion", NR(xen_version), OUT, { XENVER_extraversion, PTR } },
    { "xen_version compile_info", NR(xen_version), OUT, { XENVER_compile_info, PTR } },
    { "xen_version capabilities", NR(xen_version), OUT, { XENVER_capabilities, PTR } },
    { "xen_version changeset", NR(xen_version), OUT, { XENVER_changeset, PTR } },
    { "xen_version platform_parameters",
      NR(xen_version),
      OUT,
      { XENVER_platform_parameters, PTR } },
    { "xen_version get_features", NR(xen_version), IN | OUT, { XENVER_get_features, PTR } },
    { "xen_version guest_handle", NR(xen_version), OUT, { XENVER_guest_handle, PTR } },
    { "xen_version commandline", NR(xen_version), OUT, { XENVER_commandline, PTR } },
    { "xen_version build_id", NR(xen_version), IN | ANY, { XENVER_build_id, PTR } },
    { "console_io write", NR(console_io), IN, { CONSOLEIO_write, 16, PTR } },
    { "grant_table_op map", NR(grant_table_op), IN, { GNTTABOP_map_grant_ref, PTR, 1 } },
    { "grant_table_op unmap", NR(grant_table_op), IN, { GNTTABOP_unmap_grant_ref, PTR, 1 } },
    { "grant_table_op setup_table", NR(grant_table_op), IN, { GNTTABOP_setup_table, PTR, 1 } },
    { "grant_table_op copy", NR(grant_table_op), IN, { GNTTABOP_copy, PTR, 1 } },
    { "grant_table_op query_size", NR(grant_table_op), IN, { GNTTABOP_query_size, PTR, 1 } },
    { "grant_table_op set_version", NR(grant_table_op), IN, { GNTTABOP_set_version, PTR, 1 } },
    { "vcpu_op initialise", NR(vcpu_op), IN | ANY, { VCPUOP_initialise, 0, PTR } },
    { "vcpu_op get_runstate_info", NR(vcpu_op), OUT, { VCPUOP_get_runstate_info, 0, PTR } },
    { "vcpu_op register_runstate",
      NR(vcpu_op),
      IN,
      { VCPUOP_register_runstate_memory_area, 0, PTR } },
    { "vcpu_op register_time", NR(vcpu_op), IN, { VCPUOP_register_vcpu_time_memory_area, 0, PTR } },
    { "vcpu_op register_vcpu_info", NR(vcpu_op), IN, { VCPUOP_register_vcpu_info, 0, PTR } },
    { "vcpu_op set_singleshot_timer", NR(vcpu_op), IN, { VCPUOP_set_singleshot_timer, 0, PTR } },
    { "vcpu_op get_physid", NR(vcpu_op), OUT | ANY, { VCPUOP_get_physid, 0, PTR } },
    { "mmuext_op", NR(mmuext_op), IN, { PTR, 1, 0, DOMID_SELF } },
    { "xsm_op", NR(xsm_op), IN | ANY, { PTR } },
    { "nmi_op register", NR(nmi_op), IN, { XENNMI_register_callback, PTR } },
    { "sched_op shutdown", NR(sched_op), IN, { SCHEDOP_shutdown, PTR } },
    { "sched_op poll", NR(sched_op), IN, { SCHEDOP_poll, PTR } },
    { "sched_op remote_shutdown", NR(sched_op), IN, { SCHEDOP_remote_shutdown, PTR } },
    { "sched_op watchdog", NR(sched_op), IN, { SCHEDOP_watchdog, PTR } },
    { "callback_op register", NR(callback_op), IN, { CALLBACKOP_register, PTR } },
    { "callback_op unregister", NR(callback_op), IN, { CALLBACKOP_unregister, PTR } },
    { "event_channel_op bind_interdomain",
      NR(event_channel_op),
      IN,
      { EVTCHNOP_bind_interdomain, PTR } },
    { "event_channel_op bind_virq", NR(event_channel_op), IN, { EVTCHNOP_bind_virq, PTR } },
    { "event_channel_op bind_pirq", NR(event_channel_op), IN, { EVTCHNOP_bind_pirq, PTR } },
    { "event_channel_op close", NR(event_channel_op), IN, { EVTCHNOP_close, PTR } },
    { "event_channel_op send", NR(event_channel_op), IN, { EVTCHNOP_send, PTR } },
    { "event_channel_op status", NR(event_channel_op), IN | OUT, { EVTCHNOP_status, PTR } },
    { "event_channel_op alloc_unbound",
      NR(event_channel_op),
      IN | OUT,
      { EVTCHNOP_alloc_unbound, PTR } },
    { "event_channel_op bind_ipi", NR(event_channel_op), IN | OUT, { EVTCHNOP_bind_ipi, PTR } },
    { "event_channel_op bind_vcpu", NR(event_channel_op), IN, { EVTCHNOP_bind_vcpu, PTR } },
    { "event_channel_op unmask", NR(event_channel_op), IN, { EVTCHNOP_unmask, PTR } },
    { "event_channel_op init_control", NR(event_channel_op), IN, { EVTCHNOP_init_control, PTR } },
    { "event_channel_op expand_array", NR(event_channel_op), IN, { EVTCHNOP_expand_array, PTR } },
    { "event_channel_op set_priority", NR(event_channel_op), IN, { EVTCHNOP_set_priority, PTR } },
    { "physdev_op eoi", NR(physdev_op), IN, { PHYSDEVOP_eoi, PTR } },
    { "physdev_op set_iopl", NR(physdev_op), IN, { PHYSDEVOP_set_iopl, PTR } },
    { "physdev_op irq_status_query", NR(physdev_op), IN, { PHYSDEVOP_irq_status_query, PTR } },
    { "physdev_op apic_read", NR(physdev_op), IN, { PHYSDEVOP_apic_read, PTR } },
    { "physdev_op alloc_irq_vector", NR(physdev_op), IN, { PHYSDEVOP_alloc_irq_vector, PTR } },
    { "physdev_op map_pirq", NR(physdev_op), IN, { PHYSDEVOP_map_pirq, PTR } },
    { "physdev_op setup_gsi", NR(physdev_op), IN, { PHYSDEVOP_setup_gsi, PTR } },
    { "physdev_op pci_device_add", NR(physdev_op), IN, { PHYSDEVOP_pci_device_add, PTR } },
    { "physdev_op pirq_eoi_gmfn", NR(physdev_op), IN, { PHYSDEVOP_pirq_eoi_gmfn_v2, PTR } },
    { "sysctl", NR(sysctl), IN, { PTR } },
    { "domctl", NR(domctl), IN, { PTR } },
    { "xenpmu_op", NR(xenpmu_op), IN | ANY, { 4, PTR } },
    { "hypfs_op read", NR(hypfs_op), IN | ANY, { 1, PTR, 16, PTR, 16 } },
    { "mca", NR(arch_0), IN, { PTR } },
};

static long call(const struct row *r, uint64_t ptr)
{
    uint64_t a[5];

    for (unsigned int i = 0; i < 5; i++)
        a[i] = r->args[i] == PTR ? ptr : r->args[i];
    return hypercall(r->nr, a[0], a[1], a[2], a[3], a[4]);
}

static const char *missing;
static bool xen;

static void expect_error(const struct row *r, const char *kind, uint64_t ptr)
{
    long rc = call(r, ptr);

    if (rc == -EFAULT || (rc == 0 && (r->how & ZERO)) || (rc < 0 && (r->how & ANY)))
        return;
    if (!xen && (rc == -ENOSYS || rc == -EOPNOTSUPP)) {
        if (missing != r->name)
            print("badptr: %s: not implemented\n", r->name);
        missing = r->name;
        return;
    }
    check_failed(__LINE__, "%s, %s pointer: %ld", r->name, kind, rc);
}

void test_main(void)
{
    char *page = page_alloc(), *hole = page_alloc(), *ro = page_alloc();
    static uint8_t before[4096];

    xen = on_xen();
    CHECK_EQ(update_va(hole, 0, UVMF_INVLPG), 0);
    memset(ro, 0, PAGE_SIZE);
    page_set_ro(ro);
    for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct row *r = &rows[i];

        expect_error(r, "unmapped", 0x1000);
        expect_error(r, "hole", (uint64_t)hole);
        expect_error(r, "hypervisor's", HYPERVISOR_VIRT_START + 0x30000000000);
        expect_error(r, "hypervisor's last", HYPERVISOR_VIRT_END - 8);
        expect_error(r, "last word below the hypervisor", HYPERVISOR_VIRT_START - 2);
        expect_error(r, "not canonical", NONCANONICAL);
        expect_error(r, "just not canonical", 1UL << 47);
        expect_error(r, "across the edge", (1UL << 47) - 2);
        expect_error(r, "wrapping", ~0UL - 1);
        expect_error(r, "page table", (uint64_t)kernel_root + PAGE_SIZE * 4096 * 4096);
        memcpy(before, page, PAGE_SIZE);
        expect_error(r, "half mapped", (uint64_t)page + PAGE_SIZE - 1);
        CHECK_EQ(memcmp(before, page, PAGE_SIZE - 1), 0); /* up to the hole a copy may get */
        if (r->how & OUT) {
            expect_error(r, "read-only", (uint64_t)ro);
            expect_error(r, "M2P", MACH2PHYS_VIRT_START);
            expect_error(r, "read-only page table", (uint64_t)kernel_root);
        }
    }
    for (unsigned int i = 0; i < PAGE_SIZE; i++)
        if (ro[i])
            failure("a read-only page was written at %u", i);
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
}
