/* xen_version: who we are. Debian's wrappers choose their tools by the version. */
#include "hypercall/hypercall.h"

#include <xen/version.h>

#include "x86/multiboot.h"

_Static_assert(sizeof(xen_commandline_t) == BOOT_CMDLINE_BYTES, "ABI: command line");

#define ANSWER(type, ...) \
    (struct answer) { &(const type){ __VA_ARGS__ }, sizeof(type) }
static const struct answer {
    const void *data;
    size_t bytes;
} answers[] = {
    [XENVER_extraversion] = ANSWER(xen_extraversion_t, XEN_EXTRA),
    [XENVER_compile_info] = ANSWER(struct xen_compile_info, .compiler = XEN_COMPILER),
    [XENVER_capabilities] = ANSWER(xen_capabilities_info_t, "xen-3.0-x86_64"),
    [XENVER_changeset] = ANSWER(xen_changeset_info_t, ""),
    [XENVER_platform_parameters] = ANSWER(struct xen_platform_parameters, HV_VIRT_START),
    [XENVER_commandline] = { boot_info.cmdline, sizeof(boot_info.cmdline) },
};

/* What Xen offers: Linux panics without gnttab_map_avail_bits and preserve_ad, grants or not. */
#define FEATURES                                                                   \
    (1u << XENFEAT_pae_pgdir_above_4gb | 1u << XENFEAT_mmu_pt_update_preserve_ad | \
     1u << XENFEAT_highmem_assist | 1u << XENFEAT_gnttab_map_avail_bits |          \
     1u << XENFEAT_memory_op_vnode_supported)
#define FEATURES_HWDOM (1u << XENFEAT_dom0 | 1u << XENFEAT_direct_mapped)

static long op_get_features(guest_va_t arg)
{
    struct xen_feature_info info;

    if (copy_from_guest(&info, arg, sizeof(info)))
        return -EFAULT;
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
        return -EINVAL;
    info.submap = FEATURES | (current->domain->is_hwdom ? FEATURES_HWDOM : 0);
    return copy_to_guest(arg, &info, sizeof(info));
}

static noinline long op_others(uint64_t cmd, uint64_t arg)
{
    const struct domain *d = current->domain;

    switch (cmd) {
    case XENVER_get_features: return op_get_features(_gva(arg));
    case XENVER_pagesize: return arg ? -EINVAL : (long)PAGE_SIZE;
    case XENVER_guest_handle: return copy_to_guest(_gva(arg), d->handle, sizeof(d->handle));
    case XENVER_build_id: return -ENODATA;
    }
    if (cmd >= ARRAY_SIZE(answers))
        return -ENOSYS;
    if (cmd == XENVER_commandline && !d->is_privileged)
        return -EPERM;
    cmd = array_index_nospec(cmd, ARRAY_SIZE(answers));
    return copy_to_guest(_gva(arg), answers[cmd].data, answers[cmd].bytes);
}

/**
 * HYPERVISOR_xen_version.
 * Returns: version: 4.17 as major << 16 | minor; pagesize: its size (-EINVAL if arg is not NULL);
 *   others 0 with arg filled; -EFAULT; -EINVAL no such submap; -EPERM the command line is for
 *   privileged domains; -ENODATA build_id: the image has none; -ENOSYS.
 */
long hc_xen_version(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    /* Linux calls this to have its events delivered, all the time */
    return cmd == XENVER_version ? XEN_MAJOR << 16 | XEN_MINOR : op_others(cmd, arg);
}
