/*
 * VCPUOP_initialise takes all that a context has: debug registers, FPU state, bases, CR4, traps, a vCPU
 * that begins in user mode; and what it refuses leaves no reference behind. dom0_max_vcpus=3.
 */
#include "guest.h"

extern char u_begin[];
__asm__(".pushsection .user, \"ax\"\n.globl u_begin\nu_begin: mov $4711, %eax\n syscall\n ud2\n"
        ".popsection");

static struct vcpu_guest_context ctx;
static volatile unsigned int hits, done, from_user;
static volatile uint64_t seen[8];
static char stack1[PAGE_SIZE], stack2[PAGE_SIZE] __attribute__((aligned(4096)));

static bool wait_for(volatile unsigned int *what)
{
    uint64_t end = now_ns(0) + 2000000000;

    while (*what == 0 && now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
    return *what != 0;
}

__attribute__((noinline)) static void breakpoint_here(void) { __asm__ volatile("nop"); }

/* Of vCPU 1: DR0 stands on the function. */
static void on_debug(struct cpu_user_regs *regs)
{
    hits += regs->rip == (uint64_t)breakpoint_here;
    hc(set_debugreg, 7, 0x400);
}

static void second(void)
{
    uint64_t cr4;

    __asm__ volatile("movq %%xmm3, %0" : "=r"(seen[0]));
    __asm__ volatile("stmxcsr %0" : "=m"(seen[1]));
    __asm__ volatile("fnstcw %0" : "=m"(seen[2]));
    __asm__ volatile("mov %%fs:0, %0" : "=r"(seen[3]));
    __asm__ volatile("mov %%gs:0, %0" : "=r"(seen[4]));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    seen[5] = cr4;
    seen[6] = (uint64_t)hc(get_debugreg, 1);
    breakpoint_here();
    done = 1;
    for (;;)
        hc(vcpu_op, VCPUOP_down, 1, 0);
}

/* System calls of vCPU 2, which never was in its kernel before. */
static void on_syscall(struct cpu_user_regs *regs)
{
    from_user = (unsigned int)regs->rax;
    for (;;)
        hc(vcpu_op, VCPUOP_down, 2, 0);
}
static void never(void) { failure("a vCPU that begins in user mode is in its kernel"); }

/* Refused, and the frames that it names can be written to again. */
static void refused(const char *what, const void *gdt, const void *root)
{
    long rc = hc(vcpu_op, VCPUOP_initialise, 1, &ctx);

    if (rc >= 0)
        check_failed(__LINE__, "%s: %ld", what, rc);
    CHECK_EQ(update_va(gdt, virt_to_mfn(gdt) << 12 | PTE_FLAGS, 0), 0);
    if (root)
        CHECK_EQ(update_va(root, virt_to_mfn(root) << 12 | PTE_FLAGS, 0), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), -EINVAL);
    CHECK_EQ(update_va(gdt, virt_to_mfn(gdt) << 12 | (PTE_FLAGS & ~PTE_RW), 0), 0);
    if (root)
        CHECK_EQ(update_va(root, virt_to_mfn(root) << 12 | (PTE_FLAGS & ~PTE_RW), 0), 0);
}

static void with_frames(void *gdt, void *root)
{
    secondary_context(&ctx, second, stack1);
    ctx.gdt_frames[0] = virt_to_mfn(gdt);
    ctx.gdt_ents = 16;
    ctx.ctrlreg[1] = virt_to_mfn(root) << 12;
}

static void refusals(void)
{
    void *gdt = page_alloc(), *root = page_alloc();

    page_set_ro(gdt);
    page_set_ro(root);
    with_frames(gdt, root);
    ctx.ctrlreg[3] = virt_to_mfn(gdt) << 12; /* found out last */
    refused("root", gdt, root);
    with_frames(gdt, root);
    ctx.gs_base_kernel = NONCANONICAL;
    refused("base", gdt, root);
    with_frames(gdt, root);
    ctx.ldt_ents = 8193;
    refused("ldt", gdt, root);
    if (on_xen()) /* there such debug registers are left out, and user mode goes to the kernel's root */
        return;
    with_frames(gdt, root);
    ctx.debugreg[0] = HYPERVISOR_VIRT_START;
    refused("debug register on the hypervisor", gdt, root);
    with_frames(gdt, root);
    ctx.debugreg[7] = 0x400 | 1 << 13;
    refused("DR7.GD", gdt, root);
    with_frames(gdt, root);
    ctx.flags &= ~(unsigned long)VGCF_in_kernel;
    ctx.ctrlreg[1] = 0;
    refused("user mode without a root", gdt, root);
}

void test_main(void)
{
    static uint64_t fs = 0xf5f5f5f5, gs = 0x6565656565;
    uint32_t *mxcsr = (uint32_t *)&ctx.fpu_ctxt.x[24];
    uint64_t cr4;

    if (hc(vcpu_op, VCPUOP_is_up, 2, 0) == -ENOENT)
        skip("fewer than three vCPUs");
    refusals();
    trap_hooks[TRAP_DB] = on_debug;
    secondary_context(&ctx, second, stack1);
    ctx.flags |= VGCF_I387_VALID;
    *(uint16_t *)&ctx.fpu_ctxt.x[0] = 0x27f;
    *mxcsr =
        0x9f80; /* flush to zero; and reserved bits, which CPUs refuse to load, but not QEMU's */
    *mxcsr |= on_xen() ? 0 : 0xffff0000;
    *(uint64_t *)&ctx.fpu_ctxt.x[160 + 3 * 16] = 0xfeedface;
    ctx.fs_base = (uint64_t)&fs;
    ctx.gs_base_kernel = (uint64_t)&gs;
    ctx.debugreg[0] = (uint64_t)breakpoint_here;
    ctx.debugreg[1] = 0x1234;
    ctx.debugreg[7] = 0x401;
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    ctx.ctrlreg[4] = cr4 | 1 << 3; /* DE */
    CHECK_EQ(hc(vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), 0);
    CHECK(wait_for(&done));
    CHECK_EQ(seen[0], 0xfeedface);
    CHECK_EQ((uint32_t)seen[1] & 0xffff1f80, 0x1f80);
    CHECK_EQ((uint16_t)seen[2], 0x27f);
    CHECK_EQ(seen[3], fs);
    CHECK_EQ(seen[4], gs);
    CHECK_EQ(seen[5], cr4 | 1 << 3);
    CHECK_EQ(seen[6], 0x1234);
    CHECK_EQ(hits, 1);
    CHECK_EQ(hc(get_debugreg, 1), 0); /* ours is our own */

    user_init();
    trap_hooks[ENTRY_SYSCALL] = on_syscall;
    secondary_context(&ctx, never, stack2);
    ctx.flags &= ~(unsigned long)VGCF_in_kernel;
    ctx.ctrlreg[1] = virt_to_mfn(user_root) << 12;
    ctx.user_regs.rip = USER_ADDR(u_begin);
    ctx.user_regs.rsp = USER_STACK_TOP;
    ctx.user_regs.cs = USER_CS;
    ctx.user_regs.ss = USER_SS;
    ctx.kernel_sp = (uint64_t)stack2 + PAGE_SIZE;
    CHECK_EQ(hc(vcpu_op, VCPUOP_initialise, 2, &ctx), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 2, 0), 0);
    CHECK(wait_for(&from_user));
    CHECK_EQ(from_user, 4711);
}
