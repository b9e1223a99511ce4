/*
 * Events at the short ways out of SYSCALL: of a hypercall, and of a system call to the kernel. All
 * registers are as they were, but for those that SYSCALL itself changes and the result; nothing of the
 * hypervisor's is in them; the upcall finds the frame of the place where it came. dom0_max_vcpus=2.
 */
#include "guest.h"

enum { RAX, RBX, RCX, RDX, RSI, RDI, RBP, R8, R9, R10, R11, R12, R13, R14, R15, NR_REGS };
#define NAMES                                                                                \
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", \
        "r14", "r15"
static const char *const names[] = { NAMES };

uint64_t probe_in[NR_REGS], probe_out[NR_REGS], probe_saved;
uint8_t *probe_mask; /* where the upcall mask is */
extern char probe_back[], u_delay[];
void probe(void);
__asm__(".text\n"
        "probe: push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp, probe_saved\n"
        " mov probe_mask, %rax\n movb $0, (%rax)\n" /* from here on */
        " mov $probe_in, %rax\n"
        " mov 8(%rax), %rbx\n mov 24(%rax), %rdx\n mov 32(%rax), %rsi\n mov 40(%rax), %rdi\n"
        " mov 48(%rax), %rbp\n mov 56(%rax), %r8\n mov 64(%rax), %r9\n mov 72(%rax), %r10\n"
        " mov 88(%rax), %r12\n mov 96(%rax), %r13\n mov 104(%rax), %r14\n mov 112(%rax), %r15\n"
        " mov (%rax), %rax\n"
        " syscall\n"
        "probe_back:\n"
        " mov %rax, probe_out\n mov %rbx, probe_out + 8\n mov %rcx, probe_out + 16\n"
        " mov %rdx, probe_out + 24\n mov %rsi, probe_out + 32\n mov %rdi, probe_out + 40\n"
        " mov %rbp, probe_out + 48\n mov %r8, probe_out + 56\n mov %r9, probe_out + 64\n"
        " mov %r10, probe_out + 72\n mov %r11, probe_out + 80\n mov %r12, probe_out + 88\n"
        " mov %r13, probe_out + 96\n mov %r14, probe_out + 104\n mov %r15, probe_out + 112\n"
        " mov probe_saved, %rsp\n"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
        ".pushsection .user, \"ax\"\n"
        "u_delay: 1: dec %ecx\n jnz 1b\n syscall\n ud2\n"
        ".popsection");

static struct cpu_user_regs at_event;
static unsigned int nr_at_probe, nr_elsewhere;
static uint64_t nr_at_syscall;
static struct cpu_user_regs user;

static void get(uint64_t v[NR_REGS], const struct cpu_user_regs *r)
{
    const uint64_t all[] = { r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->r8,
                             r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15 };

    memcpy(v, all, sizeof(all));
}

static void compare(const char *where, const uint64_t got[NR_REGS], const uint64_t want[NR_REGS])
{
    for (unsigned int i = 0; i < NR_REGS; i++)
        if (i != R11 && got[i] != want[i])
            check_failed(__LINE__, "%s: %s is %lx, not %lx", where, names[i], got[i], want[i]);
    if ((got[R11] ^ 0x202) & ~0x8d5UL) /* but for what arithmetic leaves */
        check_failed(__LINE__, "%s: r11 is %lx", where, got[R11]);
}

static void on_event(struct cpu_user_regs *regs)
{
    uint64_t got[NR_REGS], want[NR_REGS];

    if (this_vcpu() != 0)
        return;
    CHECK(vcpu_info(0)->evtchn_upcall_mask);
    vcpu_info(0)->evtchn_upcall_pending = 0;
    get(got, regs);
    if (regs->rip == (uint64_t)probe_back) {
        nr_at_probe++;
        memcpy(&at_event, regs, offsetof(struct cpu_user_regs, es));
    } else if (regs->rip == (uint64_t)syscall_entry) {
        nr_at_syscall++;
        get(want, &user);
        want[RCX] = USER_ADDR(u_delay) + 6;
        if (got[RCX] == (uint64_t)syscall_entry) /* SYSRET was there, then an interrupt came */
            want[RCX] = got[RCX];
        compare("event at a system call", got, want);
        CHECK_EQ(regs->cs & 3, 0);
        CHECK_EQ(regs->rflags & ~0x8d7UL, 0x200); /* Xen leaves bit 1 out */
    } else {
        nr_elsewhere++;
    }
}

static long call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, bool event, bool own_event)
{
    uint64_t want[NR_REGS], got[NR_REGS];
    unsigned int before = nr_at_probe;

    for (unsigned int i = 0; i < NR_REGS; i++)
        probe_in[i] = 0x1111111111111111UL * (i + 1) ^ (uint64_t)random() << 20;
    probe_in[RAX] = nr;
    probe_in[RDI] = a;
    probe_in[RSI] = b;
    probe_in[RDX] = c;
    probe_mask = &vcpu_info(0)->evtchn_upcall_mask;
    *probe_mask = 1;
    vcpu_info(0)->evtchn_upcall_pending = event;
    barrier();
    probe();
    memcpy(want, probe_in, sizeof(want));
    want[RAX] = probe_out[RAX];
    want[RCX] = (uint64_t)probe_back;
    compare("a hypercall's end", probe_out, want);
    if (nr_at_probe != before) {
        get(got, &at_event);
        compare("event at a hypercall", got, want);
        CHECK_EQ(at_event.cs & 3, 0);
        CHECK_EQ(at_event.rsp, probe_saved);
    } else if (own_event) {
        check_failed(__LINE__, "hypercall %lu brought no event", nr);
    }
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0);
    return (long)probe_out[RAX];
}

static void hypercalls(void)
{
    int port = bind_ipi(0);
    struct evtchn_send send = { .port = (unsigned int)port };
    struct multicall_entry m;

    for (unsigned int round = 0; round < 200; round++) {
        bool ev = round & 1;

        CHECK_EQ(call(63, 1, 2, 3, ev, false), -ENOSYS);
        CHECK_EQ(call(~0UL, 1, 2, 3, ev, false), -ENOSYS);
        CHECK_EQ(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0, ev, false), 4 << 16 | 17);
        CHECK_EQ(call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0, ev, false), 0);
        port_clear_pending(send.port);
        port_clear_mask(send.port);
        vcpu_info(0)->evtchn_pending_sel = 0;
        CHECK_EQ(call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&send, 0, false,
                      true),
                 0);
        m = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } };
        CHECK_EQ(call(__HYPERVISOR_multicall, (uint64_t)&m, 1, 0, ev, false), 0);
        CHECK_EQ((long)m.result, 4 << 16 | 17);
        /* the ports behind the last one, and all that a register takes */
        send.port = round & 2 ? ~0U : EVTCHN_2L_NR_CHANNELS;
        CHECK_EQ(call(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uint64_t)&send, 0, ev, false),
                 -EINVAL);
        send.port = (unsigned int)port;
    }
    print("entry_events: %u events at the end of a hypercall, %u elsewhere\n", nr_at_probe,
          nr_elsewhere);
    CHECK(nr_at_probe > 200);
}

static void system_calls(unsigned int me)
{
    static uint64_t rounds;

    while (me && phase_until(&nr_at_syscall, 20)) { /* by memory alone: nobody is kicked */
        vcpu_info(0)->evtchn_upcall_pending = 1;
        for (unsigned int i = random() % 3000; i; i--)
            cpu_relax();
    }
    while (me == 0 && phase_until(&nr_at_syscall, 20)) {
        struct cpu_user_regs r;
        uint64_t got[NR_REGS], want[NR_REGS];

        user_regs_init(&user, u_delay);
        user.rax = random();
        user.rbx = 0xb00000000000000bUL ^ random();
        user.rdx = 0xd00000000000000dUL ^ random();
        user.rsi = 0x5100000000000000UL ^ random();
        user.rdi = 0xd100000000000000UL ^ random();
        user.rbp = 0xb900000000000000UL ^ random();
        user.r8 = 8 ^ (uint64_t)random() << 32;
        user.r9 = 9 ^ (uint64_t)random() << 32;
        user.r10 = 10 ^ (uint64_t)random() << 32;
        user.r12 = 12 ^ (uint64_t)random() << 32;
        user.r13 = 13 ^ (uint64_t)random() << 32;
        user.r14 = 14 ^ (uint64_t)random() << 32;
        user.r15 = 15 ^ (uint64_t)random() << 32;
        user.rcx = 1 + random() % 3000;
        r = user;
        CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
        get(got, &r);
        get(want, &user);
        want[RCX] = USER_ADDR(u_delay) + 6;
        compare("a system call", got, want);
        CHECK_EQ(r.rip, USER_ADDR(u_delay) + 6);
        CHECK_EQ(r.rsp, USER_STACK_TOP);
        rounds++;
    }
    if (me == 0)
        print("entry_events: %lu system calls, %lu with an event\n", rounds, nr_at_syscall);
}

void test_main(void)
{
    smp_init();
    user_init();
    trap_hooks[ENTRY_EVENT] = on_event;
    hypercalls();
    phase("system calls", 3000, system_calls);
    CHECK(nr_at_syscall >= 20);
}
