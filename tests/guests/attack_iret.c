/*
 * The rule: HYPERVISOR_iret takes the guest anywhere where ring 3 can be, with the flags that ring 3
 * may have, and tells the kernel of what no CPU would take; nothing of it stays behind in the
 * hypervisor or with the next context. A breakpoint is for the guest's own accesses: one of the
 * hypervisor's to the same place hits nothing, and none can be set on what is the hypervisor's.
 * Tried: all selectors for cs and ss; all flags one by one; addresses of all kinds by both ways of
 * return; frames at edges; all bits of DR7; watchpoints on all that the hypervisor reads and writes
 * for the guest; MOV SS and then an entry.
 */
#include "guest.h"

#define HV_ADDRESS (HYPERVISOR_VIRT_START + 0x30000001000)
#define CODE64 0x00affb000000ffffUL
#define CODE32 0x00cffb000000ffffUL
#define CONFORMING 0x00afff000000ffffUL
#define DATA32 0x00cff3000000ffffUL
#define DATA_RO 0x00cff1000000ffffUL
#define DATA_DOWN 0x00cff7000000ffffUL
#define FLAGS_NEVER (3UL << 12 | 1UL << 17 | 1UL << 19 | 1UL << 20 | 0xffffffffffc00000UL | 0x8028)

extern char u_loop[], u_flags[], u_iret[], u_ss_syscall[], u_ss_int3[], u_ss_sysenter[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_loop, u_flags, u_iret, u_ss_syscall, u_ss_int3, u_ss_sysenter\n"
        "u_ss_syscall: mov -64(%rsp), %ss\n syscall\n ud2\n"
        "u_ss_int3: mov -64(%rsp), %ss\n int3\n ud2\n"
        "u_ss_sysenter: mov -64(%rsp), %ss\n sysenter\n ud2\n"
        "u_loop: syscall\n ud2\n"
        "u_flags: pushfq\n pop %rax\n syscall\n ud2\n"
        "u_iret: mov $23, %eax\n syscall\n ud2\n"
        ".popsection");

static uint64_t *gdt;
static volatile uint64_t go_rsp __attribute__((used));
static volatile unsigned int dbs; /* #DBs that were passed over */
static volatile bool want_db;
static uint64_t handler_flags;

#define GO(insns, ...) TRY("mov %%rsp, go_rsp(%%rip)\n" insns, __VA_ARGS__)

/* Whatever came: on behind GO(). */
static void escape(struct cpu_user_regs *regs)
{
    uint64_t f;

    __asm__ volatile("pushfq\n pop %0" : "=r"(f));
    if (regs->entry_vector == TRAP_DB && !want_db) {
        dbs = dbs + 1;
        regs->rflags |= 0x10000; /* RF */
        return;
    }
    if (!try_fixup)
        failure("entry %u, error 0x%x, at %x:0x%lx, cr2 0x%lx", regs->entry_vector,
                regs->error_code, regs->cs, regs->rip, vcpu_info(0)->arch.cr2);
    handler_flags = f;
    memcpy(&last_trap.regs, regs, offsetof(struct cpu_user_regs, es));
    last_trap.vector = (int)regs->entry_vector;
    last_trap.cr2 = vcpu_info(0)->arch.cr2;
    regs->rip = try_fixup;
    regs->rsp = go_rsp;
    regs->cs = FLAT_KERNEL_CS & ~3;
    regs->ss = FLAT_KERNEL_SS;
    regs->rflags = 0x2;
}

/* The hypercall with its frame just there. User code changes rax, rcx and r11 only. */
static int iret_at(const void *frame)
{
    long rax = __HYPERVISOR_iret;

    GO("mov %1, %%rsp\n syscall", : "+a"(rax) : "r"(frame) : "rcx", "r11", "memory");
    return last_trap.vector;
}

static int iret(struct iret_context c)
{
    static struct iret_context frame;

    frame = c;
    return iret_at(&frame);
}

/* Xen tells the kernel of a bad selector as the CPU would. */
static bool not_taken(int v)
{
    static int xen = -1;

    if (xen < 0)
        xen = on_xen();
    return v == ENTRY_FAILSAFE ||
           (xen && (v == TRAP_GP || v == TRAP_NP || v == TRAP_SS || v == TRAP_TS));
}

static struct iret_context to_user(const void *label)
{
    return (struct iret_context){ .rip = USER_ADDR(label),
                                  .cs = USER_CS,
                                  .rflags = 0x202,
                                  .rsp = USER_STACK_TOP,
                                  .ss = USER_SS };
}

static void still_alive(void)
{
    CHECK_EQ(iret(to_user(u_flags)), ENTRY_SYSCALL);
    CHECK_EQ(last_trap.regs.rax & ~0xffUL & ~2UL, 0x200); /* no flag is left of others */
    CHECK_EQ(handler_flags & (3UL << 12 | EFLAGS_NT | 1UL << 18 | EFLAGS_TF), 0);
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    witness_check();
}

/* ---- selectors ---- */

static void code_selectors(void)
{
    unsigned int entered = 0, wrong = 0;

    for (unsigned int sel = 3; sel < 0x10000; sel += 4) {
        struct iret_context c = to_user(u_loop);
        int v;

        c.cs = sel;
        v = iret(c);
        if (not_taken(v))
            continue;
        entered++; /* 32-bit code: SYSCALL is for none there */
        /* SYSCALL tells no selectors */
        wrong += v != (v == TRAP_UD ? TRAP_UD : ENTRY_SYSCALL);
        wrong += v == TRAP_UD && last_trap.regs.cs != sel && last_trap.regs.cs != 0xe023;
    }
    print("attack_iret: %u code selectors\n", entered);
    attack("iret.cs-entered", entered, 5); /* e023, e033 and the three of our GDT */
    CHECK_EQ(wrong, 0);
    still_alive();
    /* upper bits are not the selector's */
    for (unsigned int b = 16; b < 64; b++) {
        struct iret_context c = to_user(u_loop);

        c.cs |= 1UL << b;
        CHECK_EQ(iret(c), ENTRY_SYSCALL);
        c = to_user(u_loop);
        c.ss |= 1UL << b;
        CHECK_EQ(iret(c), ENTRY_SYSCALL);
    }
}

static void stack_selectors(void)
{
    unsigned int entered = 0, wrong = 0, sysret = 0;

    for (unsigned int sel = 0; sel < 0x10000; sel++) {
        struct iret_context c = to_user(u_loop);
        int v;

        c.ss = sel;
        v = iret(c);
        if (not_taken(v))
            continue;
        entered++;
        wrong += v != ENTRY_SYSCALL || last_trap.regs.ss != USER_SS;
    }
    print("attack_iret: %u stack selectors\n", entered);
    attack("iret.ss-entered", entered, 12); /* e02b and two of ours, of each RPL */
    for (unsigned int sel = 0; sel < 0x10000; sel += 0x35) {
        struct iret_context c = to_user(u_loop);

        c.ss = sel;
        c.flags = VGCF_in_syscall;
        sysret += iret(c) != ENTRY_SYSCALL || last_trap.regs.ss != USER_SS;
    }
    CHECK_EQ(wrong, 0);
    attack("iret.ss-by-sysret", sysret, 0);
    still_alive();
}

static void in_kernel(void) { __asm__ volatile("int3"); }
static char kernel_stack[4096] __attribute__((aligned(16)));

/* Any RPL but 3 is the kernel itself; its selectors are as those of user mode. */
static void kernel_selectors(void)
{
    unsigned int entered = 0, wrong = 0;

    for (unsigned int sel = 0; sel < 0x10000; sel += sel % 4 == 2 ? 2 : 1) {
        struct iret_context c = { .rip = (uint64_t)in_kernel,
                                  .cs = sel,
                                  .rflags = 2,
                                  .rsp = (uint64_t)kernel_stack + sizeof(kernel_stack) - 8,
                                  .ss = 0xe028 };
        uint64_t d = sel >> 3 < 512 && !(sel & 4) ? gdt[sel >> 3] : 0;
        int v;

        if (sel >> 2 == 0xe020 >> 2 || (d && !(d >> 53 & 1)))
            continue; /* 32-bit code cannot be where we are */
        v = iret(c);
        if (not_taken(v))
            continue;
        entered++;
        wrong += v != TRAP_BP || (last_trap.regs.cs | 3) != (sel | 3);
    }
    print("attack_iret: %u code selectors of the kernel's\n", entered);
    attack("iret.kernel-cs-entered", entered, 9);
    CHECK_EQ(wrong, 0);
    still_alive();
}

/* ---- flags and addresses ---- */

static void flags(void)
{
    unsigned int wrong = 0, never = 0, left = 0;

    for (unsigned int way = 0; way < 2; way++)
        for (unsigned int b = 0; b < 65; b++) {
            struct iret_context c = to_user(u_flags);
            int v;

            want_db = b == 8;
            c.rflags = b == 64 ? ~0UL & ~(uint64_t)EFLAGS_TF : 0x202 | 1UL << b;
            c.flags = way ? VGCF_in_syscall : 0;
            v = iret(c);
            if (v != (b == 8 ? TRAP_DB : ENTRY_SYSCALL)) {
                print("attack_iret: way %u, bit %u: entry %d\n", way, b, v);
                wrong++;
            }
            never +=
                b != 8 && ((last_trap.regs.rax & FLAGS_NEVER) || !(last_trap.regs.rax & 0x200));
            left += (handler_flags & (3UL << 12 | EFLAGS_NT | 1UL << 18 | EFLAGS_TF)) != 0;
            want_db = false;
            CHECK_EQ(iret(to_user(u_flags)), ENTRY_SYSCALL);
            left += (last_trap.regs.rax & ~0xffUL & ~2UL) != 0x200;
            /* and to the kernel */
            c.rip = (uint64_t)in_kernel;
            c.cs = 0xe030;
            c.rsp = (uint64_t)kernel_stack + sizeof(kernel_stack) - 8;
            want_db = b == 8;
            v = iret(c);
            if (v != TRAP_BP && (b != 8 || v != TRAP_DB)) { /* INT3 hides TF */
                print("attack_iret: way %u, bit %u, kernel: entry %d\n", way, b, v);
                wrong++;
            }
            left += (handler_flags & (3UL << 12 | EFLAGS_NT | 1UL << 18 | EFLAGS_TF)) != 0;
            never += (last_trap.regs.rflags & FLAGS_NEVER & ~(3UL << 12)) != 0;
            want_db = false;
        }
    attack("iret.flags", wrong, 0);
    attack("iret.flags-never", never, 0);
    CHECK_EQ(left, 0);
    still_alive();
}

static void addresses(void)
{
    static const uint64_t rips[] = { 1UL << 47,
                                     NONCANONICAL,
                                     HYPERVISOR_VIRT_START - 1,
                                     HYPERVISOR_VIRT_START,
                                     HV_ADDRESS,
                                     HYPERVISOR_VIRT_END - 1,
                                     0,
                                     0x10000,
                                     (1UL << 47) - 1,
                                     ~0UL,
                                     VIRT_BASE,
                                     0x0001000000000000UL };
    unsigned int wrong = 0, stacks = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(rips); i++)
        for (unsigned int way = 0; way < 2; way++) {
            struct iret_context c = to_user(u_loop);
            int v;

            c.flags = way ? VGCF_in_syscall : 0;
            c.rip = rips[i];
            for (unsigned int k = 0; k < ARRAY_SIZE(rips); k++) {
                c.rsp = rips[k];
                v = iret(c);
                wrong += v != ENTRY_FAILSAFE && v != TRAP_GP &&
                         (v != TRAP_PF || last_trap.cr2 != rips[i]);
            }
            c = to_user(u_loop);
            c.flags = way ? VGCF_in_syscall : 0;
            c.rsp = rips[i];
            v = iret(c);
            stacks += v != ENTRY_SYSCALL && v != ENTRY_FAILSAFE;
        }
    attack("iret.rips", wrong, 0);
    attack("iret.rsps", stacks, 0);
    still_alive();
}

static void frames(void)
{
    char *first = page_alloc(), *second = page_alloc();
    struct iret_context c = to_user(u_loop);

    if (second != first + PAGE_SIZE)
        error("the pages are apart");
    for (unsigned int before = 0; before <= sizeof(c); before++) { /* misaligned, too */
        memcpy(second - before, &c, sizeof(c));
        CHECK_EQ(iret_at(second - before), ENTRY_SYSCALL);
    }
    memcpy(second - sizeof(c), &c, sizeof(c));
    CHECK_EQ(update_va(second, 0, UVMF_INVLPG), 0);
    CHECK_EQ(iret_at(second - sizeof(c)), ENTRY_SYSCALL); /* all of it is there */
    page_set_rw(second);
    page_set_ro(first);
    CHECK_EQ(iret_at(second - sizeof(c)), ENTRY_SYSCALL);
    page_set_rw(first);
    c.rax = 0x1234;
    CHECK_EQ(iret(to_user(u_iret)), ENTRY_SYSCALL); /* user mode has no hypercalls */
    CHECK_EQ(last_trap.regs.rax, __HYPERVISOR_iret);
    still_alive();
}

/* ---- debug registers ---- */

static void dr_values(void)
{
    static const uint64_t in_hv[] = { HYPERVISOR_VIRT_START,     HV_ADDRESS,
                                      HYPERVISOR_VIRT_END - 1,   1UL << 47,
                                      HYPERVISOR_VIRT_START - 1, NONCANONICAL };
    static const uint64_t no_register[] = { 4, 5, 8, 9, 1UL << 32, 1UL << 63, ~0UL };
    unsigned int wrong = 0, x = 12345;
    uint64_t cr4 = 0;

    for (unsigned int n = 0; n < 4; n++)
        for (unsigned int i = 0; i < ARRAY_SIZE(in_hv); i++)
            wrong += hc(set_debugreg, n, in_hv[i]) != -EPERM;
    attack("dr.addresses", wrong, 0);
    for (unsigned int i = wrong = 0; i < ARRAY_SIZE(no_register); i++) {
        wrong += hc(set_debugreg, no_register[i], 0) != -EINVAL;
        wrong += hc(get_debugreg, no_register[i]) != -EINVAL;
    }
    attack("dr.numbers", wrong, 0);
    want_db = false;
    for (unsigned int i = wrong = 0; i < 4096 + 64; i++) {
        uint64_t v, got;
        bool io = false;
        long rc;

        x = x * 1103515245 + 12345;
        v = i < 64 ? 1UL << i : (x >> 4 & 0xffff) * 0x10001UL ^ (x & 0xff) << 16;
        for (unsigned int n = 0; n < 4; n++)
            io |= (v >> (16 + 4 * n) & 3) == 2;
        rc = hc(set_debugreg, 7, v);
        wrong += rc != (v >> 32 ? -EINVAL : (v & 1 << 13) || io ? -EPERM : 0);
        got = (uint64_t)hc(get_debugreg, 7);
        wrong += (got >> 32) || (got & 1 << 13) || (rc == 0 && got != ((v & 0xffff27ff) | 0x400));
        CHECK_EQ(hc(set_debugreg, 7, 0), 0);
    }
    attack("dr7.bits", wrong, 0);
    TRY("mov %%cr4, %0\n or $8, %0\n mov %0, %%cr4", : "=&r"(cr4) : : "memory");
    CHECK(trapped(-1)); /* DE: I/O breakpoints would be possible, and there is no DR4 */
    attack("dr7.io-with-de", hc(set_debugreg, 7, 0x402 | 2 << 16), -EPERM);
    TRY("mov %0, %%dr4", : : "r"(0L) : "memory");
    CHECK(trapped(TRAP_GP) || trapped(TRAP_UD));
    TRY("mov %0, %%cr4", : : "r"(cr4 & ~8UL) : "memory");
    TRY("mov %0, %%dr7", : : "r"(0x2400L) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY("mov %0, %%dr0", : : "r"(HV_ADDRESS) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY("mov %0, %%dr6", : : "r"(~0UL) : "memory");
    CHECK(trapped(TRAP_GP));
    still_alive();
}

static void watch(unsigned int n, const volatile void *at, unsigned int how)
{
    CHECK_EQ(hc(set_debugreg, n, at), 0);
    CHECK_EQ(hc(set_debugreg, 6, 0xffff0ff0), 0);
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 3u << 2 * n | how << (16 + 4 * n)), 0);
}

static void unwatch(void) { CHECK_EQ(hc(set_debugreg, 7, 0), 0); }

enum { EXECUTED = 0, WRITTEN4 = 0xd, USED8 = 0xb, USED4 = 0xf };

/* What the hypervisor reads and writes for us, watched. */
static void watched_by_hypervisor(void)
{
    static struct xen_feature_info info;
    static struct multicall_entry calls[2];
    static uint64_t area[2];
    static struct vcpu_runstate_info runstate __attribute__((aligned(64)));
    static struct iret_context frame;
    char *stack = page_alloc();

    dbs = 0;
    watch(0, &info, USED8);
    CHECK_EQ(hc(xen_version, XENVER_get_features, &info), 0);
    for (unsigned int i = 0; i < 2; i++)
        calls[i].op = __HYPERVISOR_xen_version;
    watch(1, calls, USED8);
    CHECK_EQ(hc(multicall, calls, 2), 0);
    area[0] = (uint64_t)&runstate;
    watch(2, area, USED8);
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, area), 0);
    watch(3, &runstate.state_entry_time, USED8);
    for (unsigned int i = 0; i < 5; i++) {
        struct sched_poll poll = { .timeout = now_ns(0) + 100000 };

        hc(sched_op, SCHEDOP_poll, &poll);
    }
    watch(3, &vcpu_info(0)->evtchn_upcall_pending, USED8);
    hc(sched_op, SCHEDOP_yield, 0);
    unwatch();
    CHECK_EQ(hc(get_debugreg, 6) & 15, 0); /* nobody heard of it */
    CHECK_EQ(dbs, 0);
    area[0] = 0;
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, area), 0);
    /* the frames of traps and irets: the kernel's own accesses hit, and none is lost */
    watch(0, stack + PAGE_SIZE - 8, USED8);
    GO("mov %0, %%rsp\n ud2", : : "r"(stack + PAGE_SIZE) : "memory");
    CHECK(trapped(TRAP_UD));
    frame = to_user(u_loop);
    watch(0, &frame.rip, USED8);
    CHECK_EQ(iret_at(&frame), ENTRY_SYSCALL);
    watch(0, &frame, USED8);
    CHECK_EQ(iret_at(&frame), ENTRY_SYSCALL);
    watch(0, &gdt[1], USED8); /* a descriptor, by the CPU */
    GO("mov %0, %%es\n xor %%eax, %%eax\n mov %%eax, %%es", : : "r"(0x23) : "rax", "memory");
    CHECK(trapped(-1));
    unwatch();
    witness_check();
    /* entry points: of the handler, of user code, and of what the witness runs, too */
    want_db = true;
    watch(0, trap_stubs + 32 * TRAP_UD, EXECUTED);
    GO("ud2", : : : "memory");
    CHECK(trapped(TRAP_DB));
    CHECK_EQ(last_trap.regs.rip, (uint64_t)trap_stubs + 32 * TRAP_UD);
    watch(1, hypercall_page + 32 * __HYPERVISOR_xen_version, EXECUTED);
    GO("call *%0", : : "r"(hypercall_page + 32 * __HYPERVISOR_xen_version) : "rax", "memory");
    CHECK(trapped(TRAP_DB));
    unwatch();
    want_db = false;
    watch(2, now_ns, EXECUTED);
    dbs = 0;
    for (unsigned int i = 0; i < 5; i++)
        witness_check();
    unwatch();
    CHECK(dbs >= 5);
    still_alive();
}

/* MOV SS holds a watchpoint's #DB back till after the next instruction: the way into ring 0. */
static void mov_ss(void)
{
    static const volatile uint32_t sel = 0xe02b;

    *(uint64_t *)(user_stack + 2 * PAGE_SIZE - 64) = sel;
    for (unsigned int i = 0; i < 3; i++) {
        long rax = __HYPERVISOR_xen_version;

        watch(0, &sel, USED4);
        want_db = false;
        dbs = 0;
        GO("mov %1, %%ss\n syscall",
           : "+a"(rax)
           : "m"(sel), "D"((long)XENVER_version)
           : "rcx", "r11", "memory");
        CHECK(trapped(-1));
        GO("mov %0, %%ss\n int3", : : "m"(sel) : "memory");
        CHECK(trapped(TRAP_BP));
        GO("mov %0, %%ss\n ud2", : : "m"(sel) : "memory");
        CHECK(trapped(TRAP_UD));
        GO("mov %0, %%ss\n int $0x80", : : "m"(sel) : "memory");
        CHECK(trapped(TRAP_GP) || trapped(128));
        GO("mov %0, %%ss\n mov %%cr0, %%rax", : : "m"(sel) : "rax", "memory");
        CHECK(trapped(-1));
        /* the same from user mode; SYSENTER from the kernel has no stack and is its end */
        watch(0, (void *)(USER_STACK_TOP - 64), USED4);
        CHECK_EQ(iret(to_user(u_ss_syscall)), ENTRY_SYSCALL);
        CHECK_EQ(iret(to_user(u_ss_int3)), TRAP_BP);
        iret(to_user(u_ss_sysenter));
        CHECK(trapped(TRAP_GP) || trapped(TRAP_UD));
        unwatch();
        still_alive();
    }
}

void test_main(void)
{
    attacks_begin();
    for (unsigned int v = 0; v < NR_ENTRIES; v++)
        trap_hooks[v] = v == ENTRY_EVENT ? NULL : escape;
    user_init();
    gdt = page_alloc();
    gdt[1] = CODE64;
    gdt[2] = CODE32;
    gdt[3] = CONFORMING;
    gdt[4] = DATA32;
    gdt[5] = DATA_RO;
    gdt[6] = DATA_DOWN;
    page_set_ro(gdt);
    {
        xen_pfn_t list[14] = { virt_to_mfn(gdt) };

        CHECK_EQ(hc(set_gdt, list, 512), 0);
    }
    still_alive();
    code_selectors();
    stack_selectors();
    kernel_selectors();
    flags();
    addresses();
    frames();
    dr_values();
    watched_by_hypervisor();
    mov_ss();
}
