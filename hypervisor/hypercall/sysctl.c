/* sysctl: what the toolstack asks about the whole machine. */
#include "hypercall/hypercall.h"

#include <xen/sysctl.h>

#include "console/console.h"

_Static_assert(XEN_SYSCTL_INTERFACE_VERSION == 0x15, "ABI: another libxen-dev");

#define MAX_DEBUG_KEYS 16u

/* Each as if typed on the console; they have been carried out when this returns. */
static long op_debug_keys(const struct xen_sysctl_debug_keys *op)
{
    uint8_t keys[MAX_DEBUG_KEYS];

    if (op->nr_keys > MAX_DEBUG_KEYS)
        return -E2BIG;
    if (copy_from_guest(keys, GVA_OF(op->keys), op->nr_keys))
        return -EFAULT;
    for (uint32_t i = 0; i < op->nr_keys; i++)
        debug_key_run(keys[i]);
    return 0;
}

/**
 * HYPERVISOR_sysctl; privileged only.
 * Returns 0; -EFAULT; -EPERM; -EACCES another interface version; -E2BIG more than 16 debug keys;
 *   -ENOSYS all commands but debug_keys (issue 6).
 */
long hc_sysctl(uint64_t arg, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5)
{
    struct xen_sysctl op;

    if (policy_check(current->domain, NULL, RIGHT_MACHINE))
        return -EPERM;
    if (copy_from_guest(&op, _gva(arg), sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -EACCES;
    return op.cmd == XEN_SYSCTL_debug_keys ? op_debug_keys(&op.u.debug_keys) : -ENOSYS;
}
