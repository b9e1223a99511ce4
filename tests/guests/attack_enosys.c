/*
 * What is not implemented: every hypercall number, and every sub-operation of those that have some.
 * The answer is one of the table, never success, and nothing changes. On Xen only numbers are tried
 * that it does not know either.
 */
#define __XEN_TOOLS__ 1 /* for sysctl.h */
#include "guest.h"

#include <xen/platform.h>
#include <xen/hypfs.h>
#include <xen/sysctl.h>

#define NR(name) __HYPERVISOR_##name
#define BIT(n) (1UL << (n))

/* All zeros before each call and after it, but for what the table puts there. */
static char argument[PAGE_SIZE] __attribute__((aligned(4096)));
static bool xen;

static const uint64_t implemented =
    BIT(NR(set_trap_table)) | BIT(NR(mmu_update)) | BIT(NR(set_gdt)) | BIT(NR(stack_switch)) |
    BIT(NR(set_callbacks)) | BIT(NR(fpu_taskswitch)) | BIT(NR(platform_op)) |
    BIT(NR(set_debugreg)) | BIT(NR(get_debugreg)) | BIT(NR(update_descriptor)) |
    BIT(NR(memory_op)) | BIT(NR(multicall)) | BIT(NR(update_va_mapping)) | BIT(NR(set_timer_op)) |
    BIT(NR(xen_version)) | BIT(NR(console_io)) | BIT(NR(vm_assist)) |
    BIT(NR(update_va_mapping_otherdomain)) | BIT(NR(iret)) | BIT(NR(vcpu_op)) |
    BIT(NR(set_segment_base)) | BIT(NR(mmuext_op)) | BIT(NR(nmi_op)) | BIT(NR(sched_op)) |
    BIT(NR(callback_op)) | BIT(NR(event_channel_op)) | BIT(NR(physdev_op)) | BIT(NR(xenpmu_op)) |
    BIT(NR(sysctl)) | BIT(NR(domctl)) | BIT(NR(hypfs_op)) | BIT(NR(grant_table_op));

static unsigned int wrong;
static void expect(const char *what, uint64_t cmd, long rc, long want)
{
    if (rc == want || not_permitted(rc))
        return;
    if (wrong++ < 4)
        print("%s 0x%lx: %ld, not %ld\n", what, cmd, rc, want);
}

static void numbers(void)
{
    const uint64_t p = (uint64_t)argument;

    for (uint64_t nr = xen ? 56 : 0; nr < 256; nr++)
        if (nr >= 64 || !(implemented >> nr & 1)) {
            expect("hypercall", nr, hypercall(nr, p, p, p, p, p), -ENOSYS);
            expect("hypercall", nr, hypercall(nr, 0, 0, 0, 0, 0), -ENOSYS);
            expect("hypercall", nr, hypercall(nr, ~0UL, ~0UL, ~0UL, ~0UL, ~0UL), -ENOSYS);
        }
    for (unsigned int bit = 8; bit < 64; bit++) /* with a small number in the lower half, too */
        for (uint64_t low = 0; low < 64; low++)
            if (!xen || bit > 31)
                expect("hypercall", BIT(bit) | low, hypercall(BIT(bit) | low, 0, 0, 0, 0, 0),
                       -ENOSYS);
    expect("hypercall", ~0UL, hypercall(~0UL, 0, 0, 0, 0, 0), -ENOSYS);
    expect("hypercall", 0UL - 1024, hypercall(0UL - 1024, 0, 0, 0, 0, 0), -ENOSYS);
    expect("hypercall", 0xffffffff, hypercall(0xffffffff, 0, 0, 0, 0, 0), -ENOSYS);
    attack("numbers.wrong", wrong, 0);
    wrong = 0;
}

/* ---- sub-operations ---- */

static long call_memory(uint64_t cmd) { return hc(memory_op, cmd & 63, argument); }
static long call_version(uint64_t cmd) { return hc(xen_version, cmd, argument); }
static long call_console(uint64_t cmd) { return hc(console_io, cmd, 16, argument); }
static long call_vm_assist(uint64_t cmd) { return hc(vm_assist, cmd, 2); }
static long call_vm_assist_type(uint64_t type) { return hc(vm_assist, VMASST_CMD_enable, type); }
static long call_vcpu(uint64_t cmd) { return hc(vcpu_op, cmd, 0, argument); }
static long call_sched(uint64_t cmd) { return hc(sched_op, cmd, argument); }
static long call_nmi(uint64_t cmd) { return hc(nmi_op, cmd, argument); }
static long call_callback(uint64_t cmd) { return hc(callback_op, cmd, argument); }
static long call_evtchn(uint64_t cmd) { return hc(event_channel_op, cmd, argument); }
static long call_grant(uint64_t cmd) { return hc(grant_table_op, cmd, argument, 1); }
static long call_physdev(uint64_t cmd) { return hc(physdev_op, cmd, argument); }
static long call_xenpmu(uint64_t cmd) { return hc(xenpmu_op, cmd, argument); }
static long call_segment(uint64_t which) { return hc(set_segment_base, which, 0x1000); }

static long call_callback_type(uint64_t type)
{
    struct callback_register r = { .type = (uint16_t)type, .address = (uint64_t)event_entry };

    return hc(callback_op, CALLBACKOP_register, &r);
}

static long call_mmuext(uint64_t cmd)
{
    struct mmuext_op op = { .cmd = (unsigned int)cmd };

    op.arg1.mfn = virt_to_mfn(argument);
    op.arg2.src_mfn = virt_to_mfn(argument);
    return hc(mmuext_op, &op, 1, 0, DOMID_SELF);
}

static long call_mmu_update(uint64_t cmd)
{
    return mmu_update(virt_to_maddr(argument) | (cmd & 7), ~0UL);
}

static long call_platform(uint64_t cmd)
{
    struct xen_platform_op op = { .cmd = (uint32_t)cmd,
                                  .interface_version = XENPF_INTERFACE_VERSION };

    return hc(platform_op, &op);
}

static long call_platform_version(uint64_t version)
{
    struct xen_platform_op op = { .cmd = XENPF_get_cpuinfo,
                                  .interface_version = (uint32_t)version };

    return hc(platform_op, &op);
}

static long call_firmware(uint64_t type)
{
    struct xen_platform_op op = { .cmd = XENPF_firmware_info,
                                  .interface_version = XENPF_INTERFACE_VERSION };

    op.u.firmware_info.type = (uint32_t)type;
    return hc(platform_op, &op);
}

static long call_sysctl(uint64_t cmd)
{
    struct xen_sysctl op = { .cmd = (uint32_t)cmd,
                             .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    return hc(sysctl, &op);
}

static long call_sysctl_version(uint64_t version)
{
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_debug_keys, .interface_version = (uint32_t)version };

    return hc(sysctl, &op);
}

static long call_hypfs(uint64_t cmd) { return hc(hypfs_op, cmd, "/", 2, argument, 64); }

/* ops: those that are implemented, which are not tried. wide: the command has 64 bits. */
static const struct sub {
    const char *name;
    long (*fn)(uint64_t cmd);
    long want;
    uint64_t ops, most;
    bool wide;
} subs[] = {
    { "memory_op", call_memory, -ENOSYS,
      BIT(XENMEM_decrease_reservation) | BIT(XENMEM_populate_physmap) | BIT(XENMEM_exchange) |
          BIT(XENMEM_maximum_ram_page) | BIT(XENMEM_current_reservation) |
          BIT(XENMEM_maximum_reservation) | BIT(XENMEM_machphys_mapping) |
          BIT(XENMEM_machine_memory_map) | BIT(XENMEM_machphys_mfn_list) | BIT(XENMEM_memory_map) |
          BIT(XENMEM_set_memory_map) | BIT(XENMEM_maximum_gpfn) |
          BIT(XENMEM_get_sharing_freed_pages) | BIT(XENMEM_get_sharing_shared_pages) |
          BIT(XENMEM_claim_pages) | BIT(XENMEM_get_vnumainfo) | BIT(XENMEM_acquire_resource),
      63, false },
    { "xen_version", call_version, -ENOSYS, 0x7ff, 255, true },
    { "console_io", call_console, -ENOSYS, BIT(CONSOLEIO_write) | BIT(CONSOLEIO_read), 255, true },
    { "vm_assist", call_vm_assist, -ENOSYS, BIT(VMASST_CMD_enable) | BIT(VMASST_CMD_disable), 255,
      true },
    { "vm_assist.type", call_vm_assist_type, -EINVAL,
      BIT(VMASST_TYPE_4gb_segments) | BIT(VMASST_TYPE_4gb_segments_notify) |
          BIT(VMASST_TYPE_writable_pagetables) | BIT(VMASST_TYPE_pae_extended_cr3) |
          BIT(VMASST_TYPE_architectural_iopl) | BIT(VMASST_TYPE_runstate_update_flag),
      255, true },
    { "vcpu_op", call_vcpu, -ENOSYS,
      BIT(VCPUOP_initialise) | BIT(VCPUOP_up) | BIT(VCPUOP_down) | BIT(VCPUOP_is_up) |
          BIT(VCPUOP_get_runstate_info) | BIT(VCPUOP_register_runstate_memory_area) |
          BIT(VCPUOP_register_vcpu_time_memory_area) | BIT(VCPUOP_stop_periodic_timer) |
          BIT(VCPUOP_set_singleshot_timer) | BIT(VCPUOP_stop_singleshot_timer) |
          BIT(VCPUOP_register_vcpu_info) | BIT(VCPUOP_send_nmi) | BIT(VCPUOP_get_physid),
      255, true },
    { "sched_op", call_sched, -ENOSYS,
      BIT(SCHEDOP_yield) | BIT(SCHEDOP_block) | BIT(SCHEDOP_shutdown) | BIT(SCHEDOP_poll) |
          BIT(SCHEDOP_watchdog),
      255, true },
    { "nmi_op", call_nmi, -ENOSYS, BIT(XENNMI_register_callback) | BIT(XENNMI_unregister_callback),
      255, true },
    { "callback_op", call_callback, -ENOSYS, BIT(CALLBACKOP_register) | BIT(CALLBACKOP_unregister),
      255, true },
    { "callback_op.type", call_callback_type, -ENOSYS,
      BIT(CALLBACKTYPE_event) | BIT(CALLBACKTYPE_failsafe) | BIT(CALLBACKTYPE_syscall) |
          BIT(CALLBACKTYPE_sysenter_deprecated) | BIT(CALLBACKTYPE_nmi) |
          BIT(CALLBACKTYPE_sysenter) | BIT(CALLBACKTYPE_syscall32),
      65535, false },
    { "event_channel_op", call_evtchn, -ENOSYS, 0x3fff, 255, true },
    { "grant_table_op", call_grant, -ENOSYS, 0x1fff, 255, true },
    { "physdev_op", call_physdev, -ENOSYS,
      BIT(PHYSDEVOP_irq_status_query) | BIT(PHYSDEVOP_eoi) | BIT(PHYSDEVOP_set_iopl) |
          BIT(PHYSDEVOP_set_iobitmap) | BIT(PHYSDEVOP_apic_read) | BIT(PHYSDEVOP_alloc_irq_vector) |
          BIT(PHYSDEVOP_map_pirq) | BIT(PHYSDEVOP_unmap_pirq) | BIT(PHYSDEVOP_setup_gsi) |
          BIT(PHYSDEVOP_pci_device_add) | BIT(PHYSDEVOP_pci_device_remove) |
          BIT(PHYSDEVOP_restore_msi_ext),
      255, true },
    { "xenpmu_op", call_xenpmu, -EOPNOTSUPP, 0, 255, true },
    { "set_segment_base", call_segment, -EINVAL, 15, 255, true },
    { "mmuext_op", call_mmuext, -ENOSYS,
      0x3ffff | BIT(MMUEXT_MARK_SUPER) | BIT(MMUEXT_UNMARK_SUPER) | BIT(MMUEXT_FLUSH_CACHE_GLOBAL),
      255, false },
    { "mmu_update", call_mmu_update, -ENOSYS, 15, 7, false },
    { "platform_op", call_platform, -ENOSYS,
      BIT(XENPF_settime64) | BIT(XENPF_firmware_info) | BIT(XENPF_enter_acpi_sleep) |
          BIT(XENPF_get_cpuinfo),
      255, false },
    { "platform_op.version", call_platform_version, -EACCES, 0, 255, false },
    { "platform_op.firmware", call_firmware, -EINVAL, 0x3e, 255, false },
    { "sysctl", call_sysctl, -ENOSYS,
      ~(BIT(0) | BIT(XEN_SYSCTL_tbuf_op) | BIT(XEN_SYSCTL_perfc_op) | BIT(13) |
        BIT(XEN_SYSCTL_getcpuinfo) | BIT(XEN_SYSCTL_availheap) | BIT(XEN_SYSCTL_lockprof_op) |
        BIT(24) | BIT(XEN_SYSCTL_get_cpu_levelling_caps) | BIT(XEN_SYSCTL_livepatch_op) | BIT(28) |
        BIT(XEN_SYSCTL_cpu_hotplug) | BIT(XEN_SYSCTL_page_offline_op) |
        BIT(XEN_SYSCTL_coverage_op)) &
          (BIT(30) - 1),
      255, false },
    { "hypfs_op", call_hypfs, -EOPNOTSUPP,
      BIT(XEN_HYPFS_OP_get_version) | BIT(XEN_HYPFS_OP_read) | BIT(XEN_HYPFS_OP_write_contents),
      255, false },
    { "sysctl.version", call_sysctl_version, -EACCES, BIT(XEN_SYSCTL_INTERFACE_VERSION), 255,
      false },
};

static void sub_try(const struct sub *s)
{
    static char answer[64];
    unsigned int n = 0;

    for (uint64_t cmd = xen ? 128 : 0; cmd <= s->most; cmd++)
        if (cmd > 63 || !(s->ops >> cmd & 1))
            expect(s->name, cmd, s->fn(cmd), s->want);
    for (unsigned int bit = 8; s->wide && bit < 64; bit++)
        for (uint64_t low = 0; low < 64; low++)
            if (!(s->ops >> low & 1) && !xen)
                expect(s->name, BIT(bit) | low, s->fn(BIT(bit) | low), s->want);
    if (s->wide) {
        expect(s->name, ~0UL, s->fn(~0UL), s->want);
        expect(s->name, 0xffffffff, s->fn(0xffffffff), s->want);
        expect(s->name, 0x7fffffff, s->fn(0x7fffffff), s->want);
    }
    for (unsigned int i = 0; i < PAGE_SIZE; i++)
        if (argument[i])
            failure("%s: the argument was written at %u", s->name, i);
    for (const char *c = s->name; *c; c++)
        answer[n++] = *c;
    memcpy(answer + n, ".wrong", 7);
    attack(answer, wrong, 0);
    wrong = 0;
}

/* ---- what is to be as before ---- */

struct state {
    long pages, ports, maximum, is_up;
    uint64_t features, machphys;
};

static struct state state(void)
{
    domid_t self = DOMID_SELF;
    struct xen_feature_info f = { 0 };
    struct xen_machphys_mapping m;
    struct state s = { .pages = hc(memory_op, XENMEM_current_reservation, &self),
                       .maximum = hc(memory_op, XENMEM_maximum_reservation, &self),
                       .is_up = hc(vcpu_op, VCPUOP_is_up, 0, 0) };

    for (unsigned int port = 1; port < 4096; port++) {
        struct evtchn_status st = { .dom = DOMID_SELF, .port = port };

        if (hc(event_channel_op, EVTCHNOP_status, &st) == 0)
            s.ports = s.ports * 7 + st.status;
    }
    CHECK_EQ(hc(xen_version, XENVER_get_features, &f), 0);
    CHECK_EQ(hc(memory_op, XENMEM_machphys_mapping, &m), 0);
    s.features = f.submap;
    s.machphys = m.v_start + m.v_end + m.max_mfn;
    return s;
}

void test_main(void)
{
    struct state before, after;

    xen = on_xen();
    attacks_begin();
    before = state();
    numbers();
    witness_check();
    for (unsigned int i = 0; i < ARRAY_SIZE(subs); i++) {
        sub_try(&subs[i]);
        witness_check();
    }
    after = state();
    CHECK_EQ(memcmp(&before, &after, sizeof(before)), 0);
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    TRY0("ud2");
    CHECK(trapped(TRAP_UD));
}
