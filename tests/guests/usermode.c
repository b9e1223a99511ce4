/* Ring-3 user mode: the second root, SYSCALL and faults from there, and what must stay apart. */
#include "guest.h"

extern char u_syscall[], u_after[], u_fault[], u_kernel[], u_m2p[], u_gs[], u_gs_end[], u_loop[],
    u_cli[], u_sti[], u_stack[];

__asm__(
    ".pushsection .user, \"ax\"\n"
    ".globl u_syscall, u_after, u_fault, u_kernel, u_m2p, u_gs, u_gs_end, u_loop, u_cli, u_sti, u_stack\n"
    "u_syscall: syscall\n u_after: mov $0x51, %ebx\n syscall\n ud2\n"
    "u_fault: movl $1, (%rdi)\n ud2\n"
    "u_kernel: mov (%rdi), %rax\n ud2\n"
    "u_m2p: mov (%rdi), %rax\n ud2\n"
    "u_gs: mov %gs:0, %rax\n mov %fs:0, %rbx\n syscall\n ud2\n"
    "u_loop: 1: incq %rax\n pause\n jmp 1b\n"
    "u_cli: cli\n ud2\n"
    "u_sti: sti\n ud2\n"
    "u_stack: push %rdi\n pop %rsi\n syscall\n ud2\n"
    ".popsection");

static void syscalls(void)
{
    struct cpu_user_regs r;

    user_regs_init(&r, u_syscall);
    r.rax = 0xabc;
    r.rdi = 0x1111;
    r.r12 = 0x2222;
    r.rflags = 0x246;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rip, USER_ADDR(u_after));
    CHECK_EQ(r.rcx, r.rip);
    CHECK_EQ(r.r11 & 0xffff, 0x246);
    CHECK_EQ(r.rflags & 0xffff, 0x246);
    CHECK_EQ(r.rax, 0xabc);
    CHECK_EQ(r.rdi, 0x1111);
    CHECK_EQ(r.r12, 0x2222);
    CHECK_EQ(r.cs & 3, 3);
    CHECK_EQ(r.ss & 3, 3);
    CHECK_EQ(r.rsp, USER_STACK_TOP);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL); /* and on from there */
    CHECK_EQ(r.rbx, 0x51);
    user_regs_init(&r, u_stack);
    r.rdi = 0xdeadbeef;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rsi, 0xdeadbeef);
    CHECK_EQ(*(uint64_t *)(user_stack + 2 * PAGE_SIZE - 8), 0xdeadbeef);
}

/* iret with VGCF_in_syscall: rcx, r11, cs and ss are not restored. */
static void sysret_return(void)
{
    struct iret_context c = { .rax = 7,
                              .r11 = 1,
                              .rcx = 2,
                              .flags = VGCF_in_syscall,
                              .rip = USER_ADDR(u_syscall),
                              .cs = USER_CS,
                              .rflags = 0x202,
                              .rsp = USER_STACK_TOP,
                              .ss = USER_SS };
    extern struct cpu_user_regs *user_regs;
    static struct cpu_user_regs r;

    user_regs = &r;
    iret_raw(&c);
    CHECK_EQ(last_trap.vector, ENTRY_SYSCALL);
    CHECK_EQ(r.rip, USER_ADDR(u_after));
    CHECK_EQ(r.rax, 7);
}

static void faults(void)
{
    struct cpu_user_regs r;

    user_regs_init(&r, u_fault);
    r.rdi = 0x700008;
    CHECK_EQ(user_run(&r), TRAP_PF);
    CHECK_EQ(last_trap.cr2, 0x700008);
    CHECK_EQ(r.error_code, 6);
    CHECK_EQ(r.rip, USER_ADDR(u_fault));
    CHECK_EQ(r.cs, USER_CS);
    user_regs_init(&r, u_fault); /* its own code is read-only */
    r.rdi = USER_CODE;
    CHECK_EQ(user_run(&r), TRAP_PF);
    CHECK_EQ(r.error_code, 7);
    user_regs_init(&r, u_kernel);
    r.rdi = (uint64_t)&start_info;
    CHECK_EQ(user_run(&r), TRAP_PF);
    CHECK_EQ(last_trap.cr2, (uint64_t)&start_info);
    CHECK_EQ(r.error_code & ~1u, 4);
    user_regs_init(&r, u_kernel); /* the hypervisor itself */
    r.rdi = 0xffff830000000000UL;
    CHECK_EQ(user_run(&r), TRAP_PF);
    user_regs_init(&r, u_kernel);
    r.rdi = NONCANONICAL;
    CHECK_EQ(user_run(&r), TRAP_GP);
    user_regs_init(&r, u_m2p); /* strict M2P or not, never writable */
    r.rip = USER_ADDR(u_fault);
    r.rdi = MACH2PHYS_VIRT_START;
    CHECK_EQ(user_run(&r), TRAP_PF);
    user_regs_init(&r, u_cli);
    CHECK_EQ(user_run(&r), TRAP_GP);
    CHECK_EQ(r.rip, USER_ADDR(u_cli));
    user_regs_init(&r, u_sti);
    CHECK_EQ(user_run(&r), TRAP_GP);
}

/* The user's gs base and the kernel's swap at each crossing; fs is one for both. */
static void bases(void)
{
    struct cpu_user_regs r;
    static uint64_t kernel_gs = 0x4b4b;
    uint64_t got;

    *(uint64_t *)user_stack = 0x5555;
    *(uint64_t *)(user_stack + 8) = 0x6666;
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_KERNEL, &kernel_gs), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER, USER_STACK_TOP - 2 * PAGE_SIZE), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, USER_STACK_TOP - 2 * PAGE_SIZE + 8), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, NONCANONICAL), -EINVAL);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER, NONCANONICAL), -EINVAL);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_KERNEL, NONCANONICAL), -EINVAL);
    CHECK_EQ(hc(set_segment_base, 9, 0), -EINVAL);
    for (unsigned int i = 0; i < 3; i++) {
        user_regs_init(&r, u_gs);
        CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
        CHECK_EQ(r.rax, 0x5555);
        CHECK_EQ(r.rbx, 0x6666);
        __asm__ volatile("mov %%gs:0, %0" : "=r"(got));
        CHECK_EQ(got, 0x4b4b);
    }
}

/* An event finds user code: upcall on the kernel's stack, frame of the user, and back by iret. */
static void interrupted(void)
{
    struct cpu_user_regs r;
    struct vcpu_set_singleshot_timer t = { 0 };
    unsigned int port;

    events_off(); /* a SYSCALL leaves the mask as the user had it */
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    port = (unsigned int)bind_virq(VIRQ_TIMER, 0);
    for (unsigned int i = 0; i < 20; i++) { /* again if it was due before we got there */
        t.timeout_abs_ns = now_ns(0) + 2000000;
        port_clear_pending(port);
        vcpu_info(0)->evtchn_pending_sel = 0;
        vcpu_info(0)->evtchn_upcall_pending = 0;
        CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t), 0);
        user_regs_init(&r, u_loop); /* IF set: the iret unmasks events */
        CHECK_EQ(user_run(&r), ENTRY_EVENT);
        if (r.rax > 0)
            break;
    }
    CHECK(r.rax > 0);
    CHECK(r.rip >= USER_ADDR(u_loop) && r.rip < USER_ADDR(u_cli));
    CHECK_EQ(r.saved_upcall_mask, 0);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 1);
    CHECK(port_pending(port));
    events_handle(0);
    CHECK_EQ(event_counts[port], 1);
    port_close(port);
}

/* SYSCALL while the kernel has taken its callback away: its own fault, not ours. */
static void no_callback(void)
{
    struct callback_register none = { .type = CALLBACKTYPE_syscall, .address = 0 };
    struct cpu_user_regs r;
    int v;

    CHECK_EQ(hc(callback_op, CALLBACKOP_register, &none), 0);
    user_regs_init(&r, u_syscall);
    v = user_run(&r);
    CHECK_EQ(v, TRAP_UD);
    CHECK_EQ(r.rip, USER_ADDR(u_syscall));
    CHECK_EQ(register_callback(CALLBACKTYPE_syscall, syscall_entry, 0), 0);
    user_regs_init(&r, u_syscall);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
}

/* A user root must not be reachable as the kernel's; without one, no user mode. */
static void roots(void)
{
    struct cpu_user_regs r;

    CHECK_EQ(mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(user_stack), 0), -EINVAL);
    user_regs_init(&r, u_syscall);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL); /* the refusal changed nothing */
}

void test_main(void)
{
    user_init();
    syscalls();
    sysret_return();
    faults();
    bases();
    interrupted();
    roots();
    no_callback();
}
