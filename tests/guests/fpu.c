/* The virtual TS bit and #NM; FPU, SSE and AVX registers across block, hypercalls and two vCPUs. */
#include "guest.h"

static bool have_avx;
static volatile unsigned int other_runs, other_bad;
static volatile bool other_stop;

static uint64_t xmm_get(void)
{
    uint64_t v;

    __asm__ volatile("movq %%xmm5, %0" : "=r"(v));
    return v;
}

static void xmm_set(uint64_t v) { __asm__ volatile("movq %0, %%xmm5" : : "r"(v)); }

static void ts_tests(void)
{
    CHECK_EQ(hc(fpu_taskswitch, 1), 0);
    TRY0("fninit");
    CHECK(trapped(TRAP_NM));
    TRY("movq %%xmm0, %%rax", : : : "rax");
    CHECK(trapped(-1)); /* the bounce itself has cleared TS */
    CHECK_EQ(hc(fpu_taskswitch, 0), 0);
    TRY0("fninit");
    CHECK(trapped(-1));
    CHECK_EQ(hc(fpu_taskswitch, 1), 0);
    TRY0("clts\n fninit"); /* emulated */
    CHECK(trapped(-1));
    __asm__ volatile("" ::: "memory");
}

static void sleep_ms(unsigned int ms)
{
    hc(set_timer_op, now_ns(0) + ms * 1000000ULL);
    hc(sched_op, SCHEDOP_block, 0);
    events_off();
}

static void across_block(void)
{
    static uint64_t in[4] = { 1, 2, 3, 4 }, out[4];
    uint16_t cw = 0x27f, cw2 = 0;
    uint32_t mxcsr = 0x1f80 | 3 << 13, mxcsr2 = 0;

    __asm__ volatile("fninit\n fldcw %0\n ldmxcsr %1\n fldpi" : : "m"(cw), "m"(mxcsr));
    if (have_avx)
        __asm__ volatile("vmovdqu %0, %%ymm6" : : "m"(in));
    xmm_set(0xfeedfacecafebeefULL);
    sleep_ms(5);
    CHECK_EQ(xmm_get(), 0xfeedfacecafebeef);
    __asm__ volatile("fnstcw %0\n stmxcsr %1" : "=m"(cw2), "=m"(mxcsr2));
    CHECK_EQ(cw2, cw);
    CHECK_EQ(mxcsr2, mxcsr);
    if (have_avx) {
        __asm__ volatile("vmovdqu %%ymm6, %0" : "=m"(out));
        CHECK_EQ(memcmp(in, out, sizeof(in)), 0);
    }
    __asm__ volatile("fstp %%st(0)\n ldmxcsr %0" : : "m"((uint32_t){ 0x1f80 }));
}

/* The second vCPU keeps a pattern of its own in the same registers. */
static void other(void)
{
    uint64_t n = 0x1000;

    while (!other_stop) {
        uint64_t v;

        n++;
        __asm__ volatile("movq %0, %%xmm5" : : "r"(n));
        hc(sched_op, SCHEDOP_yield, 0);
        for (unsigned int i = 0; i < 1000; i++)
            cpu_relax();
        __asm__ volatile("movq %%xmm5, %0" : "=r"(v));
        other_bad += v != n;
        other_runs++;
    }
    hc(vcpu_op, VCPUOP_down, 1, 0);
}

static void two_vcpus(void)
{
    uint64_t end = now_ns(0) + 200000000;
    unsigned int bad = 0;

    if (vcpu_start(1, other)) {
        print("fpu: one vCPU only\n");
        return;
    }
    for (uint64_t n = 1; now_ns(0) < end; n++) {
        xmm_set(n << 32);
        hc(sched_op, SCHEDOP_yield, 0);
        if ((n & 15) == 0)
            sleep_ms(1);
        bad += xmm_get() != n << 32;
    }
    other_stop = true;
    end = now_ns(0) + 1000000000;
    while (hc(vcpu_op, VCPUOP_is_up, 1, 0) == 1 && now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
    print("fpu: the other vCPU made %u rounds\n", other_runs);
    CHECK_EQ(bad, 0);
    CHECK_EQ(other_bad, 0);
    CHECK(other_runs > 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 1, 0), 0);
}

/* Unmasked exceptions come as #MF and #XM. */
static void exceptions(void)
{
    uint16_t cw = 0x37b; /* zero divide unmasked */
    uint32_t mxcsr = 0x1f80 & ~0x200u;

    TRY("fninit\n fldcw %0\n fldz\n fld1\n fdivp\n fwait", : : "m"(cw) : "memory");
    print("fpu: divide: entry %d\n", last_trap.vector);
    CHECK(trapped(TRAP_MF));
    __asm__ volatile("fninit");
    TRY("ldmxcsr %0\n xorps %%xmm1, %%xmm1\n cvtsi2ss %1, %%xmm2\n divss %%xmm1, %%xmm2",
        :
        : "m"(mxcsr), "r"(1)
        : "memory");
    CHECK(trapped(TRAP_XM) || trapped(-1)); /* QEMU's TCG knows no #XM */
    __asm__ volatile("ldmxcsr %0" : : "m"((uint32_t){ 0x1f80 }));
}

void test_main(void)
{
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    events_init();
    bind_virq(VIRQ_TIMER, 0);
    have_avx = xsave_on(7);
    print("fpu: AVX: %d, XSAVE features 0x%x\n", have_avx, xen_cpuid(13, 0).a);
    ts_tests();
    across_block();
    exceptions();
    two_vcpus();
}
