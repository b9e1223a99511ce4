/*
 * FPU state that no CPU takes: the image of a vCPU's first context with every reserved bit set, which
 * ring 0 has to restore (XSA-53), and values of XCR0 that XSETBV refuses, for the hypervisor too
 * (XSA-54). dom0_max_vcpus=3: the second vCPU is the bad one, the third the witness.
 */
#include "guest.h"

static struct {
    uint8_t low[24];
    uint32_t mxcsr, mxcsr_mask;
    uint8_t rest[480];
} __attribute__((aligned(64))) image;
static volatile unsigned int bad_runs;
static volatile bool bad_stop;

/* It comes here only if its state could be restored, and is switched out and in again. */
static void bad_vcpu(void)
{
    __asm__ volatile("fxsave64 %0" : "=m"(image));
    while (!bad_stop) {
        bad_runs++;
        yield();
    }
    hc(vcpu_op, VCPUOP_down, 1, 0);
}

static void bad_image(void)
{
    static struct vcpu_guest_context ctx;
    uint64_t end;

    secondary_context(&ctx, bad_vcpu, page_alloc());
    ctx.flags |= VGCF_I387_VALID;
    memset(&ctx.fpu_ctxt, 0xff, sizeof(ctx.fpu_ctxt));
    attack("initialise.fpu-all-ones", hc(vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
    attack("up.fpu-all-ones", hc(vcpu_op, VCPUOP_up, 1, 0), 0);
    for (end = now_ns(0) + PATIENCE_NS; bad_runs < 100 && now_ns(0) < end; yield())
        ;
    CHECK(bad_runs >= 100);
    print("xsa_053: mxcsr 0x%x\n", image.mxcsr);
    attack("fpu.reserved-bits", image.mxcsr >> 16, 0);
    bad_stop = true;
}

static bool xsetbv_ok(uint32_t index, uint64_t v)
{
    TRY("xsetbv", : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(index) : "memory");
    return trapped(-1);
}

static uint64_t xgetbv(void)
{
    uint32_t lo, hi;

    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

/* By the architecture: x87 always, SSE before AVX, the two of MPX and the three of AVX-512 together. */
static bool legal(uint64_t v, uint64_t features)
{
    if (!(v & 1) || (v & ~features) || (v & 6) == 4)
        return false;
    if ((v >> 3 & 1) != (v >> 4 & 1))
        return false;
    return !(v & 0xe0) || ((v & 0xe4) == 0xe4);
}

static void xcr0(void)
{
    uint64_t features;
    unsigned int wrong = 0, changed = 0, indices = 0;

    if (!xsave_on(3)) {
        print("xsa_053: no XSAVE\n");
        TRY("xsetbv", : : "a"(3), "d"(0), "c"(0) : "memory");
        CHECK(!trapped(-1));
        return;
    }
    features = xen_cpuid(13, 0).a;
    for (uint64_t v = 0; v < 1024 + 54; v++) {
        uint64_t want = v < 1024 ? v : 3 | 1UL << (v - 1024 + 10), before = xgetbv();
        bool ok = xsetbv_ok(0, want);

        wrong += ok != legal(want, features);
        changed += xgetbv() != (ok ? want : before);
        if (v % 64 == 0)
            yield(); /* the hypervisor loads it for us */
    }
    for (uint32_t index = 1; index < 63; index++)
        indices += xsetbv_ok(index < 32 ? index : 1u << (index - 31), 3);
    attack("xsetbv.values", wrong, 0);
    attack("xsetbv.registers", indices, 0);
    CHECK_EQ(changed, 0);
    CHECK(xsetbv_ok(0, features));
}

void test_main(void)
{
    attacks_begin();
    bad_image();
    witness_check();
    xcr0();
}
