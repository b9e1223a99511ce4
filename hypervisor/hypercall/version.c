/* xen_version: who we are. Debian's wrappers choose their tools by the version. */
#include "hypercall/ops.h"

#include <xen/features.h>
#include <xen/version.h>

#include "lib/errno.h"
#include "lib/lib.h"
#include "x86/arch.h"
#include "x86/multiboot.h"

#define VERSION_MAJOR 4
#define VERSION_MINOR 17
#define EXTRAVERSION ".0-xen-like"
#define CAPABILITIES "xen-3.0-x86_64"
#ifdef __clang__
#define COMPILER __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

_Static_assert(sizeof(EXTRAVERSION) <= sizeof(xen_extraversion_t), "ABI: extraversion");
_Static_assert(sizeof(xen_commandline_t) == BOOT_CMDLINE_BYTES, "ABI: command line");

/* Fixed-size text of the ABI, the rest of it zero. */
static long put_text(guest_va_t arg, const char *text, char *buf, size_t size)
{
    memset(buf, 0, size);
    xl_strlcpy(buf, text, size);
    return copy_to_guest(arg, buf, size);
}

static long op_compile_info(guest_va_t arg)
{
    struct xen_compile_info info = { .compile_by = "", .compile_domain = "" };

    xl_strlcpy(info.compiler, COMPILER, sizeof(info.compiler));
    return copy_to_guest(arg, &info, sizeof(info));
}

/* What Xen offers: Linux panics without gnttab_map_avail_bits and preserve_ad, grants or not. */
static uint32_t features(const struct domain *d)
{
    return 1u << XENFEAT_pae_pgdir_above_4gb | 1u << XENFEAT_mmu_pt_update_preserve_ad |
           1u << XENFEAT_highmem_assist | 1u << XENFEAT_gnttab_map_avail_bits |
           1u << XENFEAT_memory_op_vnode_supported |
           (d->is_hwdom ? 1u << XENFEAT_dom0 | 1u << XENFEAT_direct_mapped : 0);
}

static long op_get_features(guest_va_t arg)
{
    struct xen_feature_info info;

    if (copy_from_guest(&info, arg, sizeof(info)))
        return -EFAULT;
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
        return -EINVAL;
    info.submap = features(current->domain);
    return copy_to_guest(arg, &info, sizeof(info));
}

static long op_platform_parameters(guest_va_t arg)
{
    const struct xen_platform_parameters p = { .virt_start = HV_VIRT_START };

    return copy_to_guest(arg, &p, sizeof(p));
}

/**
 * HYPERVISOR_xen_version.
 * Returns: version: 4.17 as major << 16 | minor; pagesize: its size (-EINVAL if arg is not NULL);
 *   others 0 with arg filled; -EFAULT; -EINVAL no such submap; -EPERM the command line is for
 *   privileged domains; -ENODATA build_id: the image has none; -ENOSYS.
 */
long hc_xen_version(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    char buf[sizeof(xen_capabilities_info_t)];
    guest_va_t va = _gva(arg);

    switch (cmd) {
    case XENVER_version:
        return VERSION_MAJOR << 16 | VERSION_MINOR;
    case XENVER_extraversion:
        return put_text(va, EXTRAVERSION, buf, sizeof(xen_extraversion_t));
    case XENVER_compile_info:
        return op_compile_info(va);
    case XENVER_capabilities:
        return put_text(va, CAPABILITIES, buf, sizeof(xen_capabilities_info_t));
    case XENVER_changeset:
        return put_text(va, "", buf, sizeof(xen_changeset_info_t));
    case XENVER_platform_parameters:
        return op_platform_parameters(va);
    case XENVER_get_features:
        return op_get_features(va);
    case XENVER_pagesize:
        return arg ? -EINVAL : (long)PAGE_SIZE;
    case XENVER_guest_handle:
        return copy_to_guest(va, current->domain->handle, sizeof(xen_domain_handle_t));
    case XENVER_commandline:
        if (!current->domain->is_privileged)
            return -EPERM;
        return copy_to_guest(va, boot_info.cmdline, sizeof(xen_commandline_t));
    case XENVER_build_id:
        return -ENODATA;
    default:
        return -ENOSYS;
    }
}
