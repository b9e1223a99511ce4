/*
 * FPU state is switched eagerly, with the vCPU: no state of another is ever in the registers
 * (rule 11). The guest's TS is virtual and only decides whether #NM is raised for it.
 */
#include "x86/arch.h"
#include "x86/cpu.h"

#define FXSAVE_BYTES 512
#define FCW_DEFAULT 0x37f
#define MXCSR_DEFAULT 0x1f80
#define XCR0_SUPPORTED 0xe7ULL /* x87, SSE, AVX, AVX-512; no MPX, PKRU, AMX */

uint64_t arch_xcr0_mask;
static uint32_t mxcsr_mask; /* of this CPU: DAZ is not everywhere */

static void xsetbv(uint64_t xcr0)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)xcr0), "d"(0));
}

void fpu_init(void)
{
    static uint8_t image[FXSAVE_BYTES] __attribute__((aligned(16)));
    uint32_t r[4];

    __asm__ volatile("fxsave %0" : "=m"(image));
    mxcsr_mask = *(uint32_t *)(image + 28) ?: 0xffbf;
    cpu_features.fpu_bytes = FXSAVE_BYTES;
    if (!cpu_features.xsave)
        return;
    arch_cpuid(0xd, 0, r);
    arch_xcr0_mask = r[0] & XCR0_SUPPORTED;
    if ((arch_xcr0_mask & 0xe0) != 0xe0)
        arch_xcr0_mask &= 7;
    xsetbv(arch_xcr0_mask);
    arch_cpuid(0xd, 0, r);
    cpu_features.fpu_bytes = r[1];
}

/*
 * A legal image whatever was there and bytes of `from` are: x87 and XMM state (512 bytes) or, with a
 * header that the caller has checked, an XSAVE area in standard form.
 */
void arch_vcpu_set_fpu(struct vcpu *v, const void *from, size_t bytes)
{
    char *image = v->arch.fpu;
    uint32_t *mxcsr = (uint32_t *)(image + 24);

    memset(image, 0, cpu_features.fpu_bytes);
    *(uint16_t *)image = FCW_DEFAULT;
    *mxcsr = MXCSR_DEFAULT;
    if (bytes == 0)
        return;
    memcpy(image, from, 416); /* the rest of 512 is reserved */
    *mxcsr &= mxcsr_mask;     /* reserved bits would fault ring 0's restore */
    if (bytes > FXSAVE_BYTES)
        memcpy(image + FXSAVE_BYTES, (const char *)from + FXSAVE_BYTES, bytes - FXSAVE_BYTES);
    else if (cpu_features.xsave)
        *(uint64_t *)(image + FXSAVE_BYTES) = 3;
}

/*
 * All features we know are saved, whatever the guest's XCR0 enables: it may have disabled one in
 * use. AMD leaves FIP, FDP and FOP alone when no exception is pending: FNINIT overwrites them first.
 */
void fpu_switch(struct vcpu *from, struct vcpu *to)
{
    uint32_t all = (uint32_t)arch_xcr0_mask;

    __asm__ volatile("clts");
    if (!cpu_features.xsave) {
        if (from)
            __asm__ volatile("fxsaveq (%0)" ::"r"(from->arch.fpu) : "memory");
        if (to)
            __asm__ volatile("fninit; fxrstorq (%0)" ::"r"(to->arch.fpu) : "memory");
        return;
    }
    xsetbv(all);
    if (from)
        __asm__ volatile("xsave64 (%0)" ::"r"(from->arch.fpu), "a"(all), "d"(0) : "memory");
    if (to == NULL)
        return;
    __asm__ volatile("fninit; xrstor64 (%0)" ::"r"(to->arch.fpu), "a"(all), "d"(0) : "memory");
    xsetbv(to->arch.xcr0);
}

void arch_vcpu_set_xcr0(struct vcpu *v, uint64_t xcr0)
{
    v->arch.xcr0 = xcr0;
    xsetbv(xcr0);
}
