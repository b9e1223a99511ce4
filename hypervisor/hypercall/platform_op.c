/* platform_op: what only the domain that drives the machine may ask. */
#include "hypercall/ops.h"

#include <xen/platform.h>

#include "console/console.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "sched/time.h"
#include "x86/acpi.h"
#include "x86/arch.h"

/* No EDD, MBR signatures or EDID were collected: the lists are empty. GRUB left the BIOS behind. */
static long op_firmware_info(struct xenpf_firmware_info *f)
{
    switch (f->type) {
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
    case XEN_FW_VBEDDC_INFO:
        return -ESRCH;
    case XEN_FW_KBD_SHIFT_FLAGS:
        if (f->index != 0)
            return -ESRCH;
        f->u.kbd_shift_flags = 0;
        return 0;
    case XEN_FW_EFI_INFO:
        return -ENOSYS;
    default:
        return -EINVAL;
    }
}

static long op_settime(uint64_t secs, uint32_t nsecs, uint64_t system_time)
{
    if (nsecs >= SECONDS(1))
        return -EINVAL;
    wallclock_set(secs, nsecs, system_time);
    return 0;
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

static long op_get_cpuinfo(struct xenpf_pcpuinfo *p)
{
    uint32_t cpu = p->xen_cpuid;

    p->max_present = fls64(arch_cpus_online()) - 1;
    p->flags = XEN_PCPU_FLAGS_INVALID;
    p->apic_id = p->acpi_id = UINT32_MAX;
    if (cpu >= NR_CPUS || !(arch_cpus_online() >> cpu & 1))
        return 0;
    cpu = (uint32_t)array_index_nospec(cpu, NR_CPUS);
    p->flags = XEN_PCPU_FLAGS_ONLINE;
    p->apic_id = acpi_info.cpus[cpu].apic_id;
    p->acpi_id = acpi_info.cpus[cpu].acpi_id;
    return 0;
}

/**
 * HYPERVISOR_platform_op; privileged only.
 * Returns 0; -EFAULT; -EPERM; -EACCES another interface version; -EINVAL; -ESRCH no (more) such
 *   firmware information; -EOPNOTSUPP a sleep state but S5; -EIO the machine is still on;
 *   -ENOSYS EFI information and all other commands (memory types, microcode, frequencies, hotplug,
 *   core parking, symbols, resources).
 */
long hc_platform_op(uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_platform_op op;
    long rc;

    if (!current->domain->is_privileged)
        return -EPERM;
    if (copy_from_guest(&op, _gva(arg), sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION)
        return -EACCES;
    switch (op.cmd) {
    case XENPF_settime32:
        return op_settime(op.u.settime32.secs, op.u.settime32.nsecs, op.u.settime32.system_time);
    case XENPF_settime64:
        return op.u.settime64.mbz ? -EINVAL
                                  : op_settime(op.u.settime64.secs, op.u.settime64.nsecs,
                                               op.u.settime64.system_time);
    case XENPF_firmware_info:
        rc = op_firmware_info(&op.u.firmware_info);
        break;
    case XENPF_enter_acpi_sleep:
        return op_enter_sleep(&op.u.enter_acpi_sleep);
    case XENPF_get_cpuinfo:
        rc = op_get_cpuinfo(&op.u.pcpu_info);
        break;
    default:
        return -ENOSYS;
    }
    return rc ?: copy_to_guest(_gva(arg), &op, sizeof(op));
}
