/*
 * HYPERVISOR_iret to contexts that no CPU would take: the kernel gets its failsafe callback or a
 * fault at the target, never the hypervisor a fault of its own. What may not be granted is not.
 */
#include "guest.h"

extern char u_loop[], u_flags[];
extern struct cpu_user_regs *user_regs;

__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_loop, u_flags\n"
        "u_loop: syscall\n ud2\n"
        "u_flags: pushfq\n pop %rax\n syscall\n ud2\n"
        ".popsection");

static struct cpu_user_regs came;

/* Go there; what comes back to the kernel, and with which registers (came). */
static int try_iret(struct iret_context c)
{
    last_trap.vector = -1;
    user_regs = &came;
    iret_raw(&c);
    return last_trap.vector;
}

static struct iret_context to_user(const void *label)
{
    return (struct iret_context){ .rip = USER_ADDR(label),
                                  .cs = USER_CS,
                                  .rflags = 0x202,
                                  .rsp = USER_STACK_TOP,
                                  .ss = USER_SS };
}

static int expect(int line, const char *what, struct iret_context c, int want1, int want2)
{
    int v = try_iret(c);

    print("iret_bad: %s: entry %d, error 0x%x, cs 0x%x, rip 0x%lx, ss 0x%x\n", what, v,
          came.error_code, came.cs, came.rip, came.ss);
    if (v != want1 && v != want2)
        check_failed(line, "%s: entry %d, not %d or %d", what, v, want1, want2);
    return v;
}
#define EXPECT(what, change, want1, want2)       \
    do {                                         \
        struct iret_context c = to_user(u_loop); \
        change;                                  \
        expect(__LINE__, what, c, want1, want2); \
    } while (0)

static void still_alive(void)
{
    CHECK_EQ(try_iret(to_user(u_loop)), ENTRY_SYSCALL);
    CHECK_EQ(came.cs, USER_CS);
}

static void addresses(void)
{
    EXPECT("rip just not canonical", c.rip = 1UL << 47, ENTRY_FAILSAFE, TRAP_GP);
    still_alive();
    EXPECT("rip not canonical", c.rip = NONCANONICAL, ENTRY_FAILSAFE, TRAP_GP);
    still_alive();
    EXPECT("rip in the hypervisor", c.rip = HYPERVISOR_VIRT_START + 0x10000000000, TRAP_PF,
           TRAP_GP);
    EXPECT("rip in the hypervisor, sysret",
           (c.rip = HYPERVISOR_VIRT_START + 0x10000000000, c.flags = VGCF_in_syscall), TRAP_PF,
           TRAP_GP);
    EXPECT("rip not canonical, sysret", (c.rip = 1UL << 47, c.flags = VGCF_in_syscall),
           ENTRY_FAILSAFE, TRAP_GP);
    still_alive();
    EXPECT("rsp not canonical", c.rsp = NONCANONICAL, ENTRY_SYSCALL, ENTRY_FAILSAFE);
    EXPECT("rsp not canonical, sysret", (c.rsp = NONCANONICAL, c.flags = VGCF_in_syscall),
           ENTRY_SYSCALL, ENTRY_FAILSAFE);
    EXPECT("rsp in the hypervisor", c.rsp = HYPERVISOR_VIRT_START + 0x10000000100, ENTRY_SYSCALL,
           ENTRY_SYSCALL);
    still_alive();
}

static void selectors(void)
{
    EXPECT("cs beyond the table", c.cs = 0xfffb, ENTRY_FAILSAFE, TRAP_GP);
    still_alive();
    EXPECT("cs empty entry", c.cs = 0x1003, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("cs is data", c.cs = 0xe02b, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("cs of the hypervisor", c.cs = 0xe008 | 3, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("cs null with RPL 3", c.cs = 3, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("cs in no LDT", c.cs = 0x7f, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("cs is the TSS", c.cs = 0xe040 | 3, ENTRY_FAILSAFE, TRAP_GP);
    still_alive();
    EXPECT("ss beyond the table", c.ss = 0xfffb, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("ss empty entry", c.ss = 0x1003, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("ss is code", c.ss = 0xe033, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("ss null", c.ss = 0, ENTRY_FAILSAFE, TRAP_GP);
    EXPECT("ss RPL 0", c.ss = 0xe028, ENTRY_FAILSAFE, ENTRY_SYSCALL);
    still_alive();
}

static void flags(void)
{
    struct iret_context c = to_user(u_flags);

    c.rflags = 0x202 | EFLAGS_NT;
    CHECK_EQ(try_iret(c), ENTRY_SYSCALL);
    print("iret_bad: with NT: flags 0x%lx\n", came.rax);
    c.rflags = 0x202 | 3 << 12;
    CHECK_EQ(try_iret(c), ENTRY_SYSCALL);
    CHECK_EQ(came.rax & (3 << 12), 0); /* IOPL is not for the asking */
    c.rflags = 0x202 | 1 << 17;
    CHECK_EQ(try_iret(c), ENTRY_SYSCALL);
    CHECK_EQ(came.rax & (1 << 17), 0); /* nor VM */
    c.rflags = 0x202 | 1 << 18 | 1 << 19 | 1 << 20 | 1 << 16;
    CHECK_EQ(try_iret(c), ENTRY_SYSCALL);
    print("iret_bad: with RF AC VIF VIP: flags 0x%lx\n", came.rax);
    c.rflags = ~0UL & ~(uint64_t)EFLAGS_TF;
    CHECK_EQ(try_iret(c), ENTRY_SYSCALL);
    print("iret_bad: with all but TF: flags 0x%lx\n", came.rax);
    CHECK_EQ(came.rax & (3 << 12 | 1 << 17), 0);
    CHECK(came.rax & EFLAGS_IF);
    c.rflags = 0; /* IF off: the event mask, not the CPU */
    CHECK_EQ(try_iret(c), ENTRY_SYSCALL);
    CHECK(came.rax & EFLAGS_IF);
    still_alive();
}

/* RPL 0 in cs: back to the kernel itself, here with the handler's own stack. */
static char in_kernel_stack[4096] __attribute__((aligned(16)));
static void in_kernel(void)
{
    print("iret_bad: in the kernel by iret\n");
    __asm__ volatile("int3");
}

static void to_kernel(void)
{
    static const uint16_t all_cs[] = { 0xe030, 0xe031, 0xe032 };

    for (unsigned int i = 0; i < 3; i++) {
        struct iret_context c = { .rip = (uint64_t)in_kernel,
                                  .cs = all_cs[i],
                                  .rflags = 2,
                                  .rsp = (uint64_t)in_kernel_stack + sizeof(in_kernel_stack) - 8,
                                  .ss = 0xe028 };

        CHECK_EQ(try_iret(c), TRAP_BP);
        CHECK_EQ(came.cs & 3, 0);
        CHECK_EQ(came.saved_upcall_mask, 1);
    }
}

void test_main(void)
{
    user_init();
    register_callback(CALLBACKTYPE_failsafe, failsafe_entry, CALLBACKF_mask_events);
    still_alive();
    addresses();
    selectors();
    flags();
    to_kernel();
}
