/*
 * FPU state is switched eagerly, with the vCPU: no state of another is ever in the registers
 * (rule 11). The guest's TS is virtual and only decides whether #NM is raised for it.
 */
#include "memory/heap.h"
#include "x86/cpu.h"

#define FXSAVE_BYTES 512
#define XSTATE_HEADER_BYTES 64
#define FCW_DEFAULT 0x37f
#define MXCSR_DEFAULT 0x1f80
#define XCR0_SUPPORTED 0xe7ULL /* x87, SSE, AVX, AVX-512; no MPX, PKRU, AMX */

uint64_t arch_xcr0_mask;

static void xsetbv(uint64_t xcr0)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"((uint32_t)xcr0), "d"((uint32_t)(xcr0 >> 32)));
}

void fpu_init(void)
{
    uint32_t r[4];

    cpu_features.fpu_bytes = FXSAVE_BYTES;
    if (!cpu_features.xsave)
        return;
    arch_cpuid(0xd, 0, r);
    arch_xcr0_mask = (r[0] | (uint64_t)r[3] << 32) & XCR0_SUPPORTED;
    if ((arch_xcr0_mask & 0xe0) != 0xe0)
        arch_xcr0_mask &= 7;
    xsetbv(arch_xcr0_mask);
    arch_cpuid(0xd, 0, r);
    cpu_features.fpu_bytes = r[1];
    arch_cpuid(0xd, 1, r);
    cpu_features.xsaveopt = r[0] & 1;
}

/* A legal image whatever was there: the header names no state but x87 and SSE, in standard form. */
static void image_reset(void *fpu)
{
    memset(fpu, 0, cpu_features.fpu_bytes);
    *(uint16_t *)fpu = FCW_DEFAULT;
    *(uint32_t *)((char *)fpu + 24) = MXCSR_DEFAULT;
}

int fpu_create(struct vcpu *v)
{
    v->arch.fpu = xmalloc(cpu_features.fpu_bytes);
    if (v->arch.fpu == NULL)
        return -ENOMEM;
    image_reset(v->arch.fpu);
    return 0;
}

void fpu_set_context(struct vcpu *v, const struct vcpu_guest_context *c)
{
    uint32_t *mxcsr = (uint32_t *)((char *)v->arch.fpu + 24);

    image_reset(v->arch.fpu);
    if (!(c->flags & VGCF_I387_VALID))
        return;
    memcpy(v->arch.fpu, &c->fpu_ctxt, 416); /* x87 and XMM; the rest is reserved */
    *mxcsr &= 0xffbf;                       /* reserved bits would fault ring 0's restore */
    if (cpu_features.xsave)
        *(uint64_t *)((char *)v->arch.fpu + FXSAVE_BYTES) = 3;
}

/* All features we know are saved, whatever the guest's XCR0 enables: it may have disabled one in use. */
static void fpu_save(struct vcpu *v)
{
    uint32_t lo = (uint32_t)arch_xcr0_mask, hi = (uint32_t)(arch_xcr0_mask >> 32);

    if (!cpu_features.xsave)
        __asm__ volatile("fxsaveq (%0)" ::"r"(v->arch.fpu) : "memory");
    else if (cpu_features.xsaveopt)
        __asm__ volatile("xsaveopt64 (%0)" ::"r"(v->arch.fpu), "a"(lo), "d"(hi) : "memory");
    else
        __asm__ volatile("xsave64 (%0)" ::"r"(v->arch.fpu), "a"(lo), "d"(hi) : "memory");
}

static void fpu_restore(struct vcpu *v)
{
    uint32_t lo = (uint32_t)arch_xcr0_mask, hi = (uint32_t)(arch_xcr0_mask >> 32);

    /* AMD leaves FIP, FDP and FOP alone when no exception is pending: overwrite them first */
    __asm__ volatile("fninit");
    if (cpu_features.xsave)
        __asm__ volatile("xrstor64 (%0)" ::"r"(v->arch.fpu), "a"(lo), "d"(hi) : "memory");
    else
        __asm__ volatile("fxrstorq (%0)" ::"r"(v->arch.fpu) : "memory");
}

void fpu_switch(struct vcpu *from, struct vcpu *to)
{
    if (read_cr0() & CR0_TS)
        write_cr0(read_cr0() & ~CR0_TS);
    if (cpu_features.xsave)
        xsetbv(arch_xcr0_mask);
    if (from)
        fpu_save(from);
    fpu_restore(to);
    if (cpu_features.xsave)
        xsetbv(to->arch.xcr0);
}

void arch_vcpu_set_xcr0(struct vcpu *v, uint64_t xcr0)
{
    v->arch.xcr0 = xcr0;
    if (v == current)
        xsetbv(xcr0);
}
