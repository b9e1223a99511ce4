/* Register state that is not ours must not be there: at the start, and on a second vCPU. */
#include "guest.h"

struct fxsave {
    uint16_t fcw, fsw;
    uint8_t ftw, pad;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16], xmm[16][16], rest[96];
} __attribute__((aligned(64)));

static struct fxsave first, second;
static uint8_t ymm_high[16];
static volatile bool second_done, have_avx;

static unsigned int dirty_bytes(const void *p, unsigned int len_bytes)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < len_bytes; i++)
        n += ((const uint8_t *)p)[i] != 0;
    return n;
}

static void check_clean(const char *who, const struct fxsave *f)
{
    unsigned int st = 0, xmm = dirty_bytes(f->xmm, sizeof(f->xmm));

    for (unsigned int i = 0; i < 8; i++)
        st += dirty_bytes(f->st[i], 10);
    print(
        "xsave_leak: %s: fcw 0x%x fsw 0x%x ftw 0x%x fop 0x%x fip 0x%lx fdp 0x%lx mxcsr 0x%x, %u + %u bytes\n",
        who, f->fcw, f->fsw, f->ftw, f->fop, f->fip, f->fdp, f->mxcsr, st, xmm);
    CHECK_EQ(st, 0);
    CHECK_EQ(xmm, 0);
    CHECK_EQ(f->mxcsr, 0x1f80);
    CHECK_EQ(f->fcw & 0x33f, 0x33f);
    CHECK_EQ(f->fop, 0);
    CHECK_EQ(f->fip, 0);
    CHECK_EQ(f->fdp, 0);
}

/* A pattern in every register, and an x87 instruction and operand for FIP and FDP to point at. */
static void pollute(void)
{
    static const double pattern = 3.14159;
    static const uint8_t bytes[32] = { 0x5a, 0xa5, 0x5a, 0xa5, 0x11, 0x22, 0x33, 0x44,
                                       0x55, 0x66, 0x77, 0x88, 1,    2,    3,    4,
                                       5,    6,    7,    8,    9,    10,   11,   12,
                                       13,   14,   15,   16,   17,   18,   19,   20 };

    for (unsigned int i = 0; i < 8; i++)
        __asm__ volatile("fldl %0" : : "m"(pattern));
    if (have_avx)
        __asm__ volatile("vmovdqu %0, %%ymm0\n vmovdqu %0, %%ymm7\n vmovdqu %0, %%ymm15"
                         :
                         : "m"(bytes));
    __asm__ volatile("movups %0, %%xmm1\n movups %0, %%xmm9\n movups %0, %%xmm14" : : "m"(bytes));
}

static void on_second(void)
{
    uint64_t cr4;

    __asm__ volatile("fxsave64 %0" : "=m"(second));
    if (have_avx) {
        __asm__ volatile("mov %%cr4, %0\n or $0x40000, %0\n mov %0, %%cr4" : "=&r"(cr4));
        __asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
        __asm__ volatile("vextractf128 $1, %%ymm7, %0" : "=m"(ymm_high));
    }
    second_done = true;
    for (;;)
        hc(sched_op, SCHEDOP_block, 0);
}

void test_main(void)
{
    uint64_t end;

    __asm__ volatile("fxsave64 %0" : "=m"(first));
    check_clean("at the start", &first);
    have_avx = xsave_on(7);
    pollute();
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    if (hc(vcpu_op, VCPUOP_is_up, 1, 0) == -ENOENT)
        error("one vCPU only");
    CHECK_EQ(vcpu_start(1, on_second), 0);
    end = now_ns(0) + 2000000000;
    while (!second_done && now_ns(0) < end) {
        hc(sched_op, SCHEDOP_yield, 0);
        pollute();
    }
    CHECK(second_done);
    check_clean("second vCPU", &second);
    CHECK_EQ(dirty_bytes(ymm_high, sizeof(ymm_high)), 0);
}
