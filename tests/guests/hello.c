/* Console, both ways into the hypervisor, xen_version, start_info. */
#include "guest.h"

static long by_page(unsigned int nr, uint64_t a, uint64_t b)
{
    long rc;

    __asm__ volatile("call *%5"
                     : "=a"(rc), "+D"(a), "+S"(b)
                     : "0"(0), "d"(0), "r"(hypercall_page + nr * 32)
                     : "rcx", "r11", "r10", "r8", "memory");
    return rc;
}

void test_main(void)
{
    xen_extraversion_t extra;
    xen_capabilities_info_t caps;
    struct xen_platform_parameters params = { 0 };
    struct xen_feature_info feat = { .submap_idx = 0 };
    static const char line[] = "hello: through the hypercall page\n";
    long v = hc(xen_version, XENVER_version, 0);

    CHECK_EQ(v, 4 << 16 | 17);
    CHECK_EQ(by_page(__HYPERVISOR_xen_version, XENVER_version, 0), v);
    CHECK_EQ(hc(xen_version, XENVER_extraversion, extra), 0);
    CHECK_EQ(hc(xen_version, XENVER_capabilities, caps), 0);
    print("hello: version %lx%s, capabilities %s\n", v, extra, caps);
    CHECK_EQ(memcmp(caps, "xen-3.0-x86_64", 14), 0);
    CHECK_EQ(hc(xen_version, XENVER_platform_parameters, &params), 0);
    CHECK_EQ(params.virt_start, HYPERVISOR_VIRT_START);
    CHECK_EQ(hc(xen_version, XENVER_get_features, &feat), 0);
    print("hello: features 0x%x\n", feat.submap);
    CHECK_EQ(feat.submap >> XENFEAT_dom0 & 1, is_dom0());
    CHECK(!(feat.submap & (1u << XENFEAT_writable_page_tables)));
    CHECK(feat.submap & (1u << XENFEAT_mmu_pt_update_preserve_ad));
    feat.submap_idx = 77;
    CHECK_EQ(hc(xen_version, XENVER_get_features, &feat), -EINVAL);
    CHECK_EQ(hc(xen_version, XENVER_pagesize, 0), PAGE_SIZE);
    CHECK_EQ(hc(xen_version, 99, 0), -ENOSYS);
    CHECK_EQ(hypercall(63, 0), -ENOSYS);
    CHECK_EQ(hypercall(0x1000, 0), -ENOSYS);
    CHECK_EQ(hypercall(-1UL, 0), -ENOSYS);

    CHECK_EQ(hc(console_io, CONSOLEIO_write, sizeof(line) - 1, line), 0);
    CHECK_EQ(hc(console_io, 77, 0, 0), is_dom0() ? -ENOSYS : -EPERM);

    CHECK_EQ(strcmp(start_info->magic, is_dom0() ? "xen-3.0-x86_64p" : "xen-3.0-x86_64"), 0);
    CHECK_EQ(start_info->flags & 3, is_dom0() ? SIF_PRIVILEGED | SIF_INITDOMAIN : 0);
    CHECK_EQ(start_info->shared_info & 4095, 0);
    CHECK(start_info->nr_pages > 1024);
    CHECK_EQ(start_info->mod_len, 0);
    print(
        "hello: %lu pages, pt_base 0x%lx (%lu frames), mfn_list 0x%lx, flags 0x%x, command line '%s'\n",
        start_info->nr_pages, start_info->pt_base, start_info->nr_pt_frames, start_info->mfn_list,
        start_info->flags, (const char *)start_info->cmd_line);
    CHECK_EQ(shared_info->vcpu_info[0].evtchn_upcall_mask, 1);
    CHECK_EQ(virt_to_pfn(mfn_to_virt(virt_to_mfn(hypercall_page))), virt_to_pfn(hypercall_page));
}
