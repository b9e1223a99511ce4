/* platform_op: what only the domain that drives the machine may ask. */
#include "hypercall/hypercall.h"

#include <xen/platform.h>

#include "console/console.h"
#include "sched/time.h"
#include "x86/acpi.h"
#include "x86/efi.h"

/* As the firmware had it; its vendor, memory information, option ROMs and properties were not collected. */
static long op_efi_info(uint32_t index, union xenpf_efi_info *info)
{
    if (!efi_info.is_efi)
        return -ENOSYS;
    switch (index) {
    case XEN_FW_EFI_VERSION: info->version = efi_info.revision; return 0;
    case XEN_FW_EFI_RT_VERSION: info->version = efi_info.runtime_revision; return 0;
    case XEN_FW_EFI_CONFIG_TABLE:
        info->cfg.addr = efi_info.config_tables;
        info->cfg.nent = efi_info.nr_config_tables;
        return 0;
    default: return -EOPNOTSUPP;
    }
}

/* No EDD, MBR signatures or EDID were collected: the lists are empty. GRUB left the BIOS behind. */
static long op_firmware_info(struct xenpf_firmware_info *f)
{
    switch (f->type) {
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
    case XEN_FW_VBEDDC_INFO: return -ESRCH;
    case XEN_FW_KBD_SHIFT_FLAGS: f->u.kbd_shift_flags = 0; return f->index ? -ESRCH : 0;
    case XEN_FW_EFI_INFO: return op_efi_info(f->index, &f->u.efi_info);
    default: return -EINVAL;
    }
}

static long op_enter_sleep(const struct xenpf_enter_acpi_sleep *s)
{
    if (s->sleep_state > 5 || (s->flags & ~XENPF_ACPI_SLEEP_EXTENDED))
        return -EINVAL;
    if (s->sleep_state != 5 || s->flags)
        return -EOPNOTSUPP; /* only S5, and by the PM1 registers */
    print(LOG_INFO, "Entering ACPI S5: the machine is switched off");
    console_drain();
    return arch_acpi_power_off(s->val_a, s->val_b);
}

static void op_get_cpuinfo(struct xenpf_pcpuinfo *p)
{
    uint32_t cpu = (uint32_t)array_index_nospec(p->xen_cpuid, NR_CPUS);
    bool online = cpu == p->xen_cpuid && (arch_cpus_online() >> cpu & 1);

    p->max_present = fls64(arch_cpus_online()) - 1;
    p->flags = online ? XEN_PCPU_FLAGS_ONLINE : XEN_PCPU_FLAGS_INVALID;
    p->apic_id = online ? acpi_info.cpus[cpu].apic_id : UINT32_MAX;
    p->acpi_id = online ? acpi_info.cpus[cpu].acpi_id : UINT32_MAX;
}

/**
 * HYPERVISOR_platform_op; privileged only.
 * Returns 0; -EFAULT; -EPERM; -EACCES another interface version; -EINVAL; -ESRCH no (more) such
 *   firmware information; -EOPNOTSUPP a sleep state but S5; -EIO the machine is still on; -ENOSYS EFI
 *   information without EFI, and all other commands (settime32, memory types, microcode, frequencies
 *   and idle times, CPUs on- and offline, hotplug, core parking, symbols, resources).
 */
long hc_platform_op(uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_platform_op op;
    long rc = 0;

    if (policy_check(current->domain, NULL, RIGHT_MACHINE))
        return -EPERM;
    if (copy_from_guest(&op, _gva(arg), sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION)
        return -EACCES;
    switch (op.cmd) {
    case XENPF_settime64:
        if (op.u.settime64.mbz || op.u.settime64.nsecs >= SECONDS(1))
            return -EINVAL;
        wallclock_set(op.u.settime64.secs, op.u.settime64.nsecs, op.u.settime64.system_time);
        return 0;
    case XENPF_firmware_info: rc = op_firmware_info(&op.u.firmware_info); break;
    case XENPF_enter_acpi_sleep: return op_enter_sleep(&op.u.enter_acpi_sleep);
    case XENPF_get_cpuinfo: op_get_cpuinfo(&op.u.pcpu_info); break;
    default: return -ENOSYS;
    }
    return rc ?: copy_to_guest(_gva(arg), &op, sizeof(op));
}
