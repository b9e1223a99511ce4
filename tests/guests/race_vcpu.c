/*
 * More vCPUs than CPUs: each keeps a pattern of its own in every register that a context switch has
 * to carry, and checks it all the time, while vCPU 0 takes the others down and brings them up again.
 * vCPU 2 goes down by itself as well; vCPU 1, too, takes vCPU 3 down and up. dom0_max_vcpus=4 on two
 * CPUs; with fewer vCPUs less is tested.
 */
#include "guest.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103
#define DR7_WRITE4 (0x400u | 1 | 1 << 16 | 3 << 18) /* DR0: writes of four bytes */
#define LDT_SELECTOR 0x0fu

static bool have_avx, have_tsc_aux;
static uint64_t rounds[MAX_VCPUS], moves[MAX_VCPUS], nr_bad[MAX_VCPUS];

/* ---- what a vCPU keeps ---- */

struct vectors {
    uint64_t v[16][4];
} __attribute__((aligned(32)));

/* What FS and GS point at; the third is the GS base of user mode. */
static struct area {
    struct area *self;
    uint64_t vcpu;
} areas[MAX_VCPUS][3];
static volatile uint32_t watched[MAX_VCPUS];
static volatile unsigned int hits[MAX_VCPUS];
static struct vectors want[MAX_VCPUS], got[MAX_VCPUS];

static void on_debug(struct cpu_user_regs *regs)
{
    hits[this_vcpu()]++;
    hc(set_debugreg, 6, 0xffff0ff0);
}

#define EACH_VECTOR(op)                                                                            \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) \
        op(15)
#define LOAD_YMM(n) "vmovdqa " #n "*32(%0), %%ymm" #n "\n"
#define SAVE_YMM(n) "vmovdqa %%ymm" #n ", " #n "*32(%0)\n"
#define LOAD_XMM(n) "movdqa " #n "*32(%0), %%xmm" #n "\n"
#define SAVE_XMM(n) "movdqa %%xmm" #n ", " #n "*32(%0)\n"

static void vectors_load(const struct vectors *v)
{
    if (have_avx)
        __asm__ volatile(EACH_VECTOR(LOAD_YMM)::"r"(v) : "memory");
    else
        __asm__ volatile(EACH_VECTOR(LOAD_XMM)::"r"(v) : "memory");
}

static void vectors_save(struct vectors *v)
{
    if (have_avx)
        __asm__ volatile(EACH_VECTOR(SAVE_YMM)::"r"(v) : "memory");
    else
        __asm__ volatile(EACH_VECTOR(SAVE_XMM)::"r"(v) : "memory");
}

/* The compiler uses none of these registers: what is loaded stays there. */
static void fpu_set(unsigned int me, uint64_t n)
{
    uint32_t mxcsr = 0x1f80 | (me & 3) << 13;
    uint16_t fcw = (uint16_t)(0x37f | (me & 3) << 10);

    for (unsigned int i = 0; i < 16; i++)
        for (unsigned int k = 0; k < (have_avx ? 4 : 2); k++)
            want[me].v[i][k] = n << 16 | me << 12 | i << 4 | k;
    __asm__ volatile("fninit\n fldcw %0\n ldmxcsr %1\n fildll %2" ::"m"(fcw), "m"(mxcsr), "m"(n));
    vectors_load(&want[me]);
}

static bool fpu_kept(unsigned int me, uint64_t n)
{
    uint32_t mxcsr = 0;
    uint16_t fcw = 0;
    uint64_t st = 0;

    vectors_save(&got[me]);
    __asm__ volatile("fnstcw %0\n stmxcsr %1\n fistpll %2" : "=m"(fcw), "=m"(mxcsr), "=m"(st));
    return memcmp(&got[me], &want[me], sizeof(got[me])) == 0 && st == n &&
           (fcw >> 10 & 3) == (me & 3) && (mxcsr >> 13 & 3) == (me & 3);
}

static uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

/* Odd ones have a descriptor in DS and ES, the others null; CPUs without TSC_AUX have none. */
static uint16_t data_selector(unsigned int me) { return me & 1 ? FLAT_RING3_SS64 : 0; }

static uint64_t *ldts[MAX_VCPUS];

static void state_set(unsigned int me)
{
    struct mmuext_op op = { .cmd = MMUEXT_SET_LDT };

    for (unsigned int i = 0; i < 3; i++)
        areas[me][i] = (struct area){ &areas[me][i], me };
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, &areas[me][0]), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_KERNEL, &areas[me][1]), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER, &areas[me][2]), 0);
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es" ::"r"(data_selector(me)));
    op.arg1.linear_addr = (uint64_t)ldts[me];
    op.arg2.nr_ents = 512;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
    CHECK_EQ(hc(set_debugreg, 6, 0xffff0ff0), 0);
    CHECK_EQ(hc(set_debugreg, 0, &watched[me]), 0);
    CHECK_EQ(hc(set_debugreg, 7, DR7_WRITE4), 0);
    if (have_tsc_aux)
        wrmsr(MSR_TSC_AUX, 1000 + me);
    if (have_avx && me) { /* vCPU 0 has done so */
        uint64_t cr4;

        __asm__ volatile("mov %%cr4, %0\n or $0x40000, %0\n mov %0, %%cr4" : "=&r"(cr4));
        __asm__ volatile("xsetbv" ::"a"(7), "d"(0), "c"(0));
    }
}

static bool segments_kept(unsigned int me)
{
    struct area *fs, *gs;
    uint16_t ds, es;
    uint32_t limit = 0;

    __asm__ volatile("mov %%fs:0, %0\n mov %%gs:0, %1" : "=r"(fs), "=r"(gs));
    __asm__ volatile("mov %%ds, %0\n mov %%es, %1" : "=r"(ds), "=r"(es));
    __asm__ volatile("lsl %1, %0" : "+r"(limit) : "r"(LDT_SELECTOR) : "cc");
    return fs == &areas[me][0] && gs == &areas[me][1] && ds == data_selector(me) && ds == es &&
           limit == 0x100 + me;
}

static bool others_kept(unsigned int me)
{
    unsigned int before = hits[me];
    uint32_t lo, hi, aux = 1000 + me;
    bool hit;

    watched[(me + 1) % MAX_VCPUS] = me;
    watched[(me + nr_vcpus - 1) % nr_vcpus] = me; /* with two vCPUs the same one */
    hit = hits[me] != before;
    watched[me] = me;
    if (have_tsc_aux)
        __asm__ volatile("rdtscp" : "=a"(lo), "=d"(hi), "=c"(aux));
    return !hit && hits[me] == before + 1 && aux == 1000 + me &&
           rdmsr(MSR_KERNEL_GS_BASE) == (uint64_t)&areas[me][2];
}

/* The APIC's id as the CPU tells it: only to know that there was something to test. */
static void count_moves(unsigned int me)
{
    static uint32_t last[MAX_VCPUS];
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    moves[me] += rounds[me] && b >> 24 != last[me];
    last[me] = b >> 24;
}

static void rest(void)
{
    struct sched_poll poll = { .nr_ports = 0 };

    switch (random() % 4) {
    case 0: yield(); break;
    case 1:
        poll.timeout = now() + random() % 1000000;
        hc(sched_op, SCHEDOP_poll, &poll);
        break;
    default:
        for (unsigned int i = random() % 20000; i > 0; i--)
            barrier();
    }
}

static void round(unsigned int me)
{
    uint64_t n = rounds[me] + 1;
    bool fpu, segments, others = true;

    fpu_set(me, n);
    rest();
    fpu = fpu_kept(me, n);
    segments = segments_kept(me);
    if (n % 8 == 0)
        others = others_kept(me);
    if (!(fpu && segments && others) && nr_bad[me]++ < 3)
        print("race_vcpu: vCPU %u, round %lu, move %lu: lost:%s%s%s\n", me, n, moves[me],
              fpu ? "" : " FPU", segments ? "" : " segments",
              others ? "" : " debug registers, TSC_AUX or GS base");
    count_moves(me);
    ADD(rounds[me], 1);
}

/* ---- up and down ---- */

static uint64_t nr_downs[MAX_VCPUS], nr_self_downs;
static unsigned int over; /* bit per vCPU */

static uint64_t sum(const struct vcpu_runstate_info *r)
{
    return r->time[0] + r->time[1] + r->time[2] + r->time[3];
}

static bool is_offline(unsigned int v, struct vcpu_runstate_info *r)
{
    static uint64_t last_sum[MAX_VCPUS];
    uint64_t after;

    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, v, r), 0);
    after = now() + clock_skew_ns();
    CHECK(r->state <= RUNSTATE_offline);
    CHECK(r->state_entry_time <= after);
    CHECK(sum(r) + clock_skew_ns() >= last_sum[v] && sum(r) <= after);
    last_sum[v] = sum(r);
    return r->state == RUNSTATE_offline;
}

/* By vCPU 0. Whom nobody else takes down or up does exactly what it is told. */
static void down_and_up(unsigned int v)
{
    bool mine = v < 3, wakes = v != 2;
    uint64_t end = now() + PATIENCE_NS, at = 0;
    struct vcpu_runstate_info r, later;

    CHECK_EQ(hc(vcpu_op, VCPUOP_down, v, 0), 0);
    if (mine) {
        CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, v, 0), 0);
        while (!is_offline(v, &r))
            if (now() > end)
                failure("vCPU %u: down, but its state stays %d", v, r.state);
        at = LOAD(rounds[v]);
        round(0);
        CHECK_EQ(LOAD(rounds[v]), at);
        CHECK(is_offline(v, &later));
        CHECK_EQ(later.time[RUNSTATE_running], r.time[RUNSTATE_running]);
    }
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, v, 0), 0);
    nr_downs[v]++;
    if (mine && wakes)
        CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, v, 0), 1);
    if (mine) {
        for (end = now() + PATIENCE_NS; LOAD(rounds[v]) == at; round(0)) {
            if (!wakes)
                hc(vcpu_op, VCPUOP_up, v, 0);
            if (now() > end) {
                is_offline(v, &later);
                failure("vCPU %u: up (%ld), but it does not run: state %d since %lu, now %lu", v,
                        hc(vcpu_op, VCPUOP_is_up, v, 0), later.state, later.state_entry_time,
                        now());
            }
        }
    }
}

static void up_and_down(unsigned int me)
{
    unsigned int all = (1u << nr_vcpus) - 1;

    while (me ? !LOAD(over) : phase_until(&nr_downs[1], 4)) { /* vCPU 0 says when it is over */
        round(me);
        if (me == 0 && nr_vcpus > 1)
            down_and_up(1 + random() % (nr_vcpus - 1));
        if (me == 1 && nr_vcpus > 3) {
            CHECK_EQ(hc(vcpu_op, VCPUOP_down, 3, 0), 0);
            round(me);
            CHECK_EQ(hc(vcpu_op, VCPUOP_up, 3, 0), 0);
        }
        if (me == 2 && random() % 16 == 0) {
            ADD(nr_self_downs, 1);
            CHECK_EQ(hc(vcpu_op, VCPUOP_down, 2, 0), 0); /* comes back when it is up again */
        }
    }
    __atomic_fetch_or(&over, 1u << me, __ATOMIC_SEQ_CST);
    for (uint64_t end = now() + PATIENCE_NS; me == 0 && LOAD(over) != all; yield()) {
        for (unsigned int v = 1; v < nr_vcpus; v++)
            hc(vcpu_op, VCPUOP_up, v, 0);
        if (now() > end)
            failure("only vCPUs 0x%x of 0x%x came back", over, all);
    }
}

static void setup(unsigned int me) { state_set(me); }

static void only_rounds(unsigned int me)
{
    while (phase_on())
        round(me);
}

static void last(unsigned int me)
{
    hc(set_debugreg, 7, 0x400);
    CHECK_EQ(nr_bad[me], 0);
}

void test_main(void)
{
    if (xen_cpuid(0x80000001, 0).d >> 27 & 1) { /* RDTSCP */
        TRY("wrmsr", ::"c"(MSR_TSC_AUX), "a"(0), "d"(0) : "memory");
        have_tsc_aux = trapped(-1);
    }
    have_avx = xsave_on(7);
    for (unsigned int v = 0; v < MAX_VCPUS; v++) {
        ldts[v] = page_alloc();
        ldts[v][LDT_SELECTOR >> 3] = 0x0040f30000000000 | (0x100 + v); /* data, limit in bytes */
        page_set_ro(ldts[v]);
    }
    trap_hooks[TRAP_DB] = on_debug;
    smp_init();
    print("race_vcpu: AVX: %d, TSC_AUX: %d\n", have_avx, have_tsc_aux);
    phase("setup", 0, setup);
    phase("registers", 2000, only_rounds);
    phase("up and down", 3000, up_and_down);
    phase("the end", 0, last);
    for (unsigned int v = 0; v < nr_vcpus; v++)
        print("race_vcpu: vCPU %u: %lu rounds, %lu moves between CPUs, %lu times down\n", v,
              rounds[v], moves[v], nr_downs[v]);
    print("race_vcpu: %lu times vCPU 2 went down by itself\n", nr_self_downs);
    CHECK(nr_downs[1]);
}
