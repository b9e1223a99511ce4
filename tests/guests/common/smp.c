/*
 * Several vCPUs. Each of them but the first runs on a stack that tells which it is, its upcalls and
 * page faults included; all that is asked of them is to run a function at once, see phase().
 */
#include "guest.h"

#define STACK_BYTES (4 * PAGE_SIZE)
#define HANG_NS 30000000000ULL /* longer than a loaded machine makes anybody wait */

static char stacks[MAX_VCPUS][STACK_BYTES] __attribute__((aligned(4096)));
static uint64_t seeds[MAX_VCPUS][8]; /* one to a cache line */

unsigned int nr_vcpus = 1;

/* The phase that goes on. */
static phase_fn phase_now;
static uint64_t phase_end;
static unsigned int phase_nr, phase_done; /* bit per vCPU */

unsigned int this_vcpu(void)
{
    uint64_t rsp;

    __asm__("mov %%rsp, %0" : "=r"(rsp));
    return rsp - (uint64_t)stacks < sizeof(stacks) ? (rsp - (uint64_t)stacks) / STACK_BYTES : 0;
}

uint64_t now(void) { return now_ns(this_vcpu()); }

/* Xen calibrates each CPU by itself, unless it found the TSCs to be the same; badly, in a loaded emulator. */
uint64_t clock_skew_ns(void)
{
    return on_xen() && !(vcpu_info(0)->time.flags & XEN_PVCLOCK_TSC_STABLE_BIT) ? 200000000 : 0;
}

void yield(void) { hc(sched_op, SCHEDOP_yield, 0); }

uint32_t random(void)
{
    uint64_t *s = seeds[this_vcpu()];

    *s = *s * 6364136223846793005UL + 1442695040888963407UL;
    return (uint32_t)(*s >> 33);
}

/* ---- accesses that may fault: the handler goes on at access_fault, which answers false ---- */

extern char access_begin[], access_fault[];
__asm__(".text\n"
        ".globl try_read64, try_write64\n"
        "access_begin:\n"
        "try_read64: mov (%rdi), %rax\n mov %rax, (%rsi)\n mov $1, %eax\n ret\n"
        "try_write64: mov %rsi, (%rdi)\n mov $1, %eax\n ret\n"
        "access_fault: xor %eax, %eax\n ret\n");

static void on_page_fault(struct cpu_user_regs *regs)
{
    uint64_t cr2 = vcpu_info(this_vcpu())->arch.cr2;

    if (regs->rip - (uint64_t)access_begin >= (uint64_t)access_fault - (uint64_t)access_begin)
        failure("vCPU %u: page fault at 0x%lx, error 0x%x, cr2 0x%lx", this_vcpu(), regs->rip,
                regs->error_code, cr2);
    regs->rip = (uint64_t)access_fault;
}

static void on_upcall(struct cpu_user_regs *regs) { events_handle(this_vcpu()); }

/* ---- phases ---- */

static void secondary(void)
{
    unsigned int seen = 0, me = this_vcpu();

    for (;;) {
        while (__atomic_load_n(&phase_nr, __ATOMIC_SEQ_CST) == seen)
            yield();
        seen++;
        phase_now(me);
        __atomic_fetch_or(&phase_done, 1u << me, __ATOMIC_SEQ_CST);
    }
}

void smp_init(void)
{
    static struct vcpu_guest_context ctx;
    long rc = 0;

    trap_hooks[ENTRY_EVENT] = on_upcall;
    trap_hooks[TRAP_PF] = on_page_fault;
    for (unsigned int v = 0; v < MAX_VCPUS; v++)
        seeds[v][0] = v * 77777 + rdtsc();
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    while (rc == 0 && nr_vcpus < MAX_VCPUS && hc(vcpu_op, VCPUOP_is_up, nr_vcpus, 0) == 0) {
        secondary_context(&ctx, secondary, stacks[nr_vcpus] + STACK_BYTES - PAGE_SIZE);
        rc = hc(vcpu_op, VCPUOP_initialise, nr_vcpus, &ctx);
        rc = rc ? rc : hc(vcpu_op, VCPUOP_up, nr_vcpus, 0);
        if (rc == 0)
            hc(vcpu_op, VCPUOP_stop_periodic_timer, nr_vcpus, 0);
        nr_vcpus++;
    }
    if (rc)
        error("vCPU %u does not start: %ld", nr_vcpus - 1, rc);
    if (nr_vcpus == 1)
        skip("one vCPU only");
    print("%s: %u vCPUs\n", guest_name, nr_vcpus);
}

bool phase_on(void) { return now() < __atomic_load_n(&phase_end, __ATOMIC_RELAXED); }

bool phase_until(const uint64_t *count, uint64_t enough)
{
    return phase_on() || (__atomic_load_n(count, __ATOMIC_RELAXED) < enough &&
                          now() < __atomic_load_n(&phase_end, __ATOMIC_RELAXED) + PATIENCE_NS);
}

void phase(const char *name, unsigned int ms, phase_fn fn)
{
    unsigned int all = (1u << nr_vcpus) - 1;
    uint64_t end;

    phase_now = fn;
    phase_end = now() + ms * 1000000ULL;
    phase_done = 1;
    __atomic_fetch_add(&phase_nr, 1, __ATOMIC_SEQ_CST);
    fn(0);
    for (end = now() + HANG_NS; __atomic_load_n(&phase_done, __ATOMIC_SEQ_CST) != all; yield())
        if (now() > end)
            failure("%s: only vCPUs 0x%x of 0x%x came to its end", name, phase_done, all);
    print("%s: %s: done\n", guest_name, name);
}

bool wait_until(volatile uint64_t *what, uint64_t value)
{
    uint64_t end = now() + PATIENCE_NS;

    while (*what < value)
        if (now() > end)
            return false;
        else
            yield();
    return true;
}
