/* The runtime's exceptions: tried, handled; and registers that events must not change. */
#include <stdio.h>

#include <rt/clock.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/trap.h>
#include <rt/verdict.h>

enum { VECTOR_DIVIDE, VECTOR_BREAKPOINT = 3, VECTOR_UNDEFINED = 6, VECTOR_GP = 13, VECTOR_PF };

static void undefined(void *arg)
{
    (void)arg;
    __asm__ volatile("ud2");
}

static void breakpoint(void *arg)
{
    (void)arg;
    __asm__ volatile("int3");
}

static void divide(void *arg)
{
    uint32_t a = 1, d = 0;

    (void)arg;
    __asm__ volatile("divl %2" : "+a"(a), "+d"(d) : "r"(0) : "cc");
}

static void load(void *arg) { *(volatile char *)arg; }

static void nothing(void *arg) { ++*(int *)arg; }

/* Inside a try, another one; then one of its own. */
static void nested(void *arg)
{
    CHECK_EQ(trap_try(undefined, NULL, NULL), VECTOR_UNDEFINED);
    load(arg);
}

/* Below a thread's stack is a page that is not mapped. */
static void stack_end(void *arg)
{
    char *here = __builtin_frame_address(0);

    (void)arg;
    for (int i = 0; i < 2 * THREAD_STACK_BYTES; i += 4096)
        *(volatile char *)(here - i);
}

/* The vector is an answer; it is to be want. */
static void expect(const char *what, int vector, int want) { CHECK_EQ(answer(what, vector), want); }

static void tries(void)
{
    struct cpu_user_regs regs;
    int n = 0;

    CHECK_EQ(trap_try(nothing, &n, &regs), -1);
    CHECK_EQ(n, 1);
    expect("trap.ud2", trap_try(undefined, NULL, NULL), VECTOR_UNDEFINED);
    expect("trap.int3", trap_try(breakpoint, NULL, NULL), VECTOR_BREAKPOINT);
    expect("trap.divide", trap_try(divide, NULL, NULL), VECTOR_DIVIDE);
    expect("trap.load-unmapped", trap_try(load, (void *)0x123000, &regs), VECTOR_PF);
    answer("trap.load-unmapped.error-code", (long)regs.error_code);
    CHECK_EQ(trap_fault_address(), 0x123000);
    CHECK_EQ(regs.error_code & 1, 0);
    CHECK(regs.rip - (uint64_t)load < 64);
    expect("trap.load-not-canonical", trap_try(load, (void *)0x8000000000000000, &regs), VECTOR_GP);
    answer("trap.load-not-canonical.error-code", (long)regs.error_code);
    CHECK_EQ(trap_try(nested, (void *)0x456000, &regs), VECTOR_PF);
    CHECK_EQ(trap_fault_address(), 0x456000);
    expect("trap.stack-end", trap_try(stack_end, NULL, NULL), VECTOR_PF);
}

static unsigned int nr_handled;

static void skip_ud2(struct cpu_user_regs *regs)
{
    nr_handled++;
    regs->rip += 2;
}

static void handlers(void)
{
    trap_handler_set(VECTOR_UNDEFINED, skip_ud2);
    undefined(NULL);
    CHECK_EQ(trap_try(undefined, NULL, NULL), -1);
    trap_handler_set(VECTOR_UNDEFINED, NULL);
    CHECK_EQ(nr_handled, 2);
}

/* ---- SSE registers of a thread, while events use them, and another thread has them in between ---- */

static volatile double noise;
static unsigned int nr_ticks;
static struct timer ticker;

static void on_tick(void *arg)
{
    for (int i = 1; i < 9; i++)
        noise = noise / i + i;
    nr_ticks++;
    timer_set(arg, clock_now() + NS_PER_MS / 5);
}

/* All registers hold a pattern while the thread spins; the first that changed, or 16. */
static unsigned int spin_with_patterns(uint64_t spins)
{
    static uint64_t in[32], out[32];

    for (int i = 0; i < 32; i++)
        in[i] = 0x0123456789abcdef * (uint64_t)(i + 3);
#define EACH(x) \
    x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15)
#define LOAD(n) "movdqu " #n "*16(%[in]), %%xmm" #n "\n"
#define STORE(n) "movdqu %%xmm" #n ", " #n "*16(%[out])\n"
    __asm__ volatile(EACH(LOAD) "1: dec %[spins]\n jnz 1b\n" EACH(STORE)
                     : [spins] "+r"(spins)
                     : [in] "r"(in), [out] "r"(out)
                     : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
                       "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
                       "xmm15");
    for (unsigned int i = 0; i < 32; i++)
        if (in[i] != out[i])
            return i / 2;
    return 16;
}

static void sse_and_events(void)
{
    uint64_t end;

    timer_init(&ticker, on_tick, &ticker);
    timer_set(&ticker, clock_now());
    for (end = clock_now() + 10 * NS_PER_S; nr_ticks < 100 && clock_now() < end;)
        if (!CHECK_EQ(spin_with_patterns(200000), 16))
            break;
    timer_cancel(&ticker);
    printf("%u ticks while registers held patterns\n", nr_ticks);
    CHECK(nr_ticks >= 100);
}

int main(void)
{
    tries();
    handlers();
    sse_and_events();
    return verdict();
}
