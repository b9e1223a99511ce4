/*
 * The MSRs that PV guests see. What is not listed is not there: #GP. Linux probes with accesses
 * that survive that, but for the few it reads unprotected, which answer as on Xen 4.17.
 */
#include "emulate/decode.h"
#include "emulate/emulate.h"
#include "paging/paging.h"
#include "sched/time.h"

enum { MSR_TSC = 0x10, MSR_APIC_BASE = 0x1b, MSR_XEN_HYPERCALL_PAGE = 0x40000000 };

/* HWDOM: only the domain that sets up PCI has it. What becomes of a write: ignored; refused; else
 * refused unless it changes nothing. */
enum { HWDOM = 0x10, WIGN = 0x20, NOWR = 0x40 };

/* Reading first..last gives (hardware's & keep) | set; keep 0: the hardware is not asked. */
static const struct simple_msr {
    uint32_t first, last, flags; /* VENDOR_*, the above */
    uint64_t keep, set;
} simple_msrs[] = {
    { 0x3a, 0x3a, VENDOR_INTEL | NOWR, 0, 1 },     /* FEATURE_CONTROL: locked */
    { 0x8b, 0x8b, VENDOR_INTEL | WIGN, ~0ULL, 0 }, /* microcode: written before a read */
    { 0x8b, 0x8b, VENDOR_AMD | NOWR, ~0ULL, 0 },
    { 0xce, 0xce, VENDOR_INTEL | NOWR, 0, 0 },             /* PLATFORM_INFO: no CPUID faulting */
    { 0x140, 0x140, VENDOR_INTEL, 0, 0 },                  /* MISC_FEATURES_ENABLES */
    { 0x179, 0x179, VENDOR_ANY | NOWR, 0, 0 },             /* MCG_CAP: no banks, */
    { 0x17a, 0x17a, VENDOR_ANY | WIGN, 0, 0 },             /* machine checks: the host's */
    { 0x1a0, 0x1a0, VENDOR_INTEL, ~0x40080ULL, 0x801800 }, /* MISC_ENABLE: no MONITOR, PMU */
    { 0x277, 0x277, VENDOR_ANY, 0, 0x050100070406ULL },    /* PAT, fixed by the ABI */
    { 0x400, 0x47f, VENDOR_ANY | WIGN, 0, 0 },             /* machine check banks */
    { 0xc0000080, 0xc0000080, VENDOR_ANY, 0, 0xd01 },      /* EFER: SCE LME LMA NXE */
    { MSR_TSC_AUX, MSR_TSC_AUX, VENDOR_ANY, ~0ULL, 0 },    /* the current vCPU's */
    { 0xc0010000, 0xc0010007, VENDOR_AMD | WIGN, 0, 0 },   /* dead performance counters */
    { 0xc0010010, 0xc0010010, VENDOR_AMD | HWDOM | NOWR, ~0ULL, 0 }, /* SYSCFG */
    { 0xc0010015, 0xc0010015, VENDOR_AMD | WIGN, 0, 1u << 24 },      /* HWCR: constant TSC */
    { 0xc0010016, 0xc001001d, VENDOR_AMD | HWDOM | NOWR, ~0ULL, 0 }, /* IORRs, top of memory */
    { 0xc0010055, 0xc0010055, VENDOR_AMD | NOWR, 0, 0 },             /* interrupt pending message */
    { 0xc0010058, 0xc0010058, VENDOR_AMD | HWDOM | NOWR, ~0ULL, 0 }, /* MMIO configuration base */
    { 0xc0011029, 0xc0011029, VENDOR_AMD | WIGN, 2, 0 },             /* DE_CFG: LFENCE serialises */
};

static const struct simple_msr *find_simple(const struct vcpu *v, uint32_t msr)
{
    for (const struct simple_msr *s = simple_msrs; s < simple_msrs + ARRAY_SIZE(simple_msrs); s++)
        if (msr >= s->first && msr <= s->last && (s->flags & cpu_vendor) &&
            (!(s->flags & HWDOM) || v->domain->is_hwdom))
            return s;
    return NULL;
}

/* In kernel mode, which alone reads and writes MSRs. */
static uint64_t *base_of(struct vcpu *v, uint32_t msr)
{
    uint64_t *gs = msr == MSR_GS_BASE ? &v->arch.gs_base_kernel : &v->arch.gs_base_user;

    return msr == MSR_FS_BASE ? &v->arch.fs_base : gs;
}

int guest_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    const struct simple_msr *s;

    *value = 0;
    switch (msr) {
    case MSR_FS_BASE ... MSR_KERNEL_GS_BASE:
        arch_vcpu_save_bases(v);
        *value = *base_of(v, msr);
        return 0;
    case MSR_TSC: *value = guest_tsc(v); return 0;
    case MSR_ARCH_CAPS: return guest_arch_caps(v->domain, value);
    /* enabled, and whether it is the boot CPU */
    case MSR_APIC_BASE: *value = 0xfee00800 | (v->vcpu_id == 0 ? 0x100 : 0); return 0;
    default:
        s = find_simple(v, msr);
        if (s == NULL || (s->keep && arch_rdmsr_safe(msr, value)))
            return -EPERM;
        *value = (*value & s->keep) | s->set;
        return 0;
    }
}

/* Each slot: save what SYSCALL destroys, call, restore. iret does not return: its frame goes on. */
void hypercall_page_fill(void *page)
{
    static const uint8_t call[] = { 0x51, 0x41, 0x53, 0xb8, 0,    0,    0,
                                    0,    0x0f, 0x05, 0x41, 0x5b, 0x59, 0xc3 };
    static const uint8_t iret[] = { 0x51, 0x41, 0x53, 0x50, 0xb8, __HYPERVISOR_iret, 0, 0, 0,
                                    0x0f, 0x05, 0xcc, 0xcc, 0xcc };

    memset(page, 0xcc, PAGE_SIZE);
    for (unsigned int i = 0; i < PAGE_SIZE / 32; i++) {
        memcpy((uint8_t *)page + i * 32, call, sizeof(call));
        ((uint8_t *)page)[i * 32 + 4] = (uint8_t)i;
    }
    memcpy((uint8_t *)page + __HYPERVISOR_iret * 32, iret, sizeof(iret));
}

int hypercall_page_put(struct domain *d, gfn_t g)
{
    mfn_t m = gfn_to_mfn(d, g);

    if (!page_get_writable(d, m))
        return -EINVAL;
    hypercall_page_fill(mfn_to_virt(m));
    page_mark_dirty(d, m);
    page_put_writable(m);
    return 0;
}

int guest_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    const struct simple_msr *s;
    uint32_t r[4];
    uint64_t now;

    switch (msr) {
    case MSR_FS_BASE ... MSR_KERNEL_GS_BASE:
        if (!va_is_canonical(value))
            return -EPERM;
        arch_vcpu_set_base(v, base_of(v, msr), value);
        return 0;
    case MSR_TSC_AUX: /* switched with the vCPU on CPUs that say that they have it */
        guest_cpuid(v, 0x80000001, 0, r);
        if (value >> 32 || !(r[3] >> 27 & 1))
            return -EPERM;
        v->arch.tsc_aux = value;
        arch_set_tsc_aux(value);
        return 0;
    case MSR_XEN_HYPERCALL_PAGE: /* bits 11:0 number the page, and there is only page 0 */
        return value & ~PAGE_MASK || hypercall_page_put(v->domain, _gfn(value >> PAGE_SHIFT))
                   ? -EPERM
                   : 0;
    default:
        s = find_simple(v, msr);
        if (s == NULL || (s->flags & NOWR))
            return -EPERM;
        return (s->flags & WIGN) || (guest_rdmsr(v, msr, &now) == 0 && now == value) ? 0 : -EPERM;
    }
}
