/*
 * Attacks: their answers, and the witness, a vCPU that has nothing to do with them and notices if
 * anything of its own changes. It runs with upcalls masked: what it waits for it polls.
 */
#include "guest.h"

#define WITNESS_STACK (2 * PAGE_SIZE)
#define WITNESS_PAGES 4u

static char witness_stack[WITNESS_STACK] __attribute__((aligned(4096)));
static uint64_t witness_memory[WITNESS_PAGES * PAGE_SIZE / 8] __attribute__((aligned(4096)));
static unsigned int witness_vcpu; /* 0: there is none */
static int ping_port;
static uint64_t rounds, pongs; /* what the witness has done */
static const char *volatile harm;

long attack(const char *what, long got, long want)
{
    print("ANSWER %s %ld\n", what, got);
    if (!on_xen() && got != want)
        check_failed(0, "attack %s: %ld, not %ld", what, got, want);
    return got;
}

bool in_witness(uint64_t rsp) { return rsp - (uint64_t)witness_stack < WITNESS_STACK; }

static uint64_t pattern(uint64_t round, uint64_t i) { return (round + i) * 0x9e3779b97f4a7c15UL; }

/* All SSE registers in one piece, for what the hypervisor does between the two to be seen. */
static bool registers_survive(uint64_t round, uint64_t skew)
{
    uint64_t in[32], out[32], fs = 0x1234000 + round, got_fs = 0;
    struct sched_poll poll = { .nr_ports = 1, .timeout = now_ns(witness_vcpu) + 200000 - skew };
    evtchn_port_t port = (evtchn_port_t)ping_port;
    long rc;

    set_xen_guest_handle(poll.ports, &port);
    for (unsigned int i = 0; i < 32; i++)
        in[i] = pattern(round, i);
    hc(set_segment_base, SEGBASE_FS, fs);
#define EACH(insn)                                                                           \
    insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7) insn(8) insn(9) insn(10) \
        insn(11) insn(12) insn(13) insn(14) insn(15)
#define LOAD(n) "movdqu " #n "*16(%[in]), %%xmm" #n "\n"
#define STORE(n) "movdqu %%xmm" #n ", " #n "*16(%[out])\n"
    __asm__ volatile(EACH(LOAD) "syscall\n" EACH(STORE)
                     : "=a"(rc)
                     : [in] "r"(in), [out] "r"(out), "a"((long)__HYPERVISOR_sched_op),
                       "D"((long)SCHEDOP_poll), "S"(&poll)
                     : "rcx", "r11", "memory");
    __asm__ volatile("mov $0xc0000100, %%ecx\n rdmsr\n shl $32, %%rdx\n or %%rdx, %%rax"
                     : "=a"(got_fs)
                     :
                     : "rcx", "rdx");
    return rc == 0 && memcmp(in, out, sizeof(in)) == 0 && got_fs == fs;
}

static void witness(void)
{
    const uint64_t words = ARRAY_SIZE(witness_memory), skew = clock_skew_ns();
    uint64_t last = 0;

    for (uint64_t round = 1; !harm; round++) {
        uint64_t t = now_ns(witness_vcpu);

        for (uint64_t i = 0; i < words; i++)
            witness_memory[i] = pattern(round, i);
        if (!registers_survive(round, skew))
            harm = "registers";
        for (uint64_t i = 0; i < words && !harm; i++)
            if (witness_memory[i] != pattern(round, i))
                harm = "memory";
        if (t + skew < last)
            harm = "time";
        last = t;
        if (port_pending((unsigned int)ping_port)) {
            port_clear_pending((unsigned int)ping_port);
            __atomic_fetch_add(&pongs, 1, __ATOMIC_SEQ_CST);
        }
        __atomic_fetch_add(&rounds, 1, __ATOMIC_SEQ_CST);
    }
    print("the witness found its %s changed in round %lu\n", harm, rounds);
    for (;;) /* not SCHEDOP_block: that unmasks upcalls, and one would hide what was found */
        hc(vcpu_op, VCPUOP_down, witness_vcpu, 0);
}

void attacks_begin(void)
{
    static struct vcpu_guest_context ctx;
    unsigned int v = 1;
    long rc;

    while (hc(vcpu_op, VCPUOP_is_up, v, 0) == 0)
        v++;
    if (v == 1)
        error("no second vCPU for the witness");
    witness_vcpu = v - 1;
    ping_port = bind_ipi(witness_vcpu);
    secondary_context(&ctx, witness, witness_stack + WITNESS_STACK - PAGE_SIZE);
    rc = hc(vcpu_op, VCPUOP_initialise, witness_vcpu, &ctx);
    rc = rc ? rc : hc(vcpu_op, VCPUOP_up, witness_vcpu, 0);
    if (rc)
        error("the witness, vCPU %u, does not start: %ld", witness_vcpu, rc);
    hc(vcpu_op, VCPUOP_stop_periodic_timer, witness_vcpu, 0);
    witness_check();
}

void witness_check(void)
{
    uint64_t from = __atomic_load_n(&rounds, __ATOMIC_SEQ_CST), pong = pongs;
    uint64_t end = now_ns(0) + PATIENCE_NS;

    if (witness_vcpu == 0)
        return;
    port_send((unsigned int)ping_port);
    while (!harm && (__atomic_load_n(&rounds, __ATOMIC_SEQ_CST) < from + 3 ||
                     __atomic_load_n(&pongs, __ATOMIC_SEQ_CST) == pong)) {
        if (now_ns(0) > end)
            failure("the witness stands still after %lu rounds", rounds);
        hc(sched_op, SCHEDOP_yield, 0);
    }
    if (harm)
        failure("the witness found its %s changed in round %lu", harm, rounds);
}
