/* Debug registers: kept per vCPU, bad values refused, breakpoints that hit. */
#include "guest.h"

extern char u_nop[];
__asm__(".pushsection .user, \"ax\"\n.globl u_nop\nu_nop: nop\n nop\n syscall\n ud2\n.popsection");

static volatile uint64_t watched;
extern char bp_here[];

static void values(void)
{
    for (unsigned int i = 0; i < 4; i++) {
        CHECK_EQ(hc(set_debugreg, i, 0x1000 * (i + 1)), 0);
        CHECK_EQ(hc(get_debugreg, i), 0x1000 * (i + 1));
    }
    CHECK_EQ(hc(set_debugreg, 0, NONCANONICAL), -EPERM);
    CHECK_EQ(hc(set_debugreg, 0, HYPERVISOR_VIRT_START + 0x1000), -EPERM);
    CHECK_EQ(hc(get_debugreg, 0), 0x1000);
    CHECK(hc(set_debugreg, 8, 0) < 0);
    CHECK(hc(get_debugreg, 8) < 0);
    CHECK_EQ(hc(set_debugreg, 6, 0xffff0ff0), 0);
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 1 << 13), -EPERM); /* GD would fault in the hypervisor */
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 1 | 2 << 16), -EPERM); /* I/O breakpoint without CR4.DE */
    CHECK(hc(set_debugreg, 7, 0x100000400) < 0);
    CHECK_EQ(hc(get_debugreg, 7) & 0xffff2bff, 0);
    CHECK_EQ(hc(set_debugreg, 7, 0), 0);
    print("debugregs: dr6 0x%lx, dr7 0x%lx\n", hc(get_debugreg, 6), hc(get_debugreg, 7));
}

static void breakpoints(void)
{
    struct cpu_user_regs r;

    hc(set_debugreg, 6, 0xffff0ff0);
    CHECK_EQ(hc(set_debugreg, 0, &watched), 0);
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 1 | 1 << 16 | 3 << 18), 0); /* 4-byte write */
    CHECK_EQ(watched, 0);
    TRY("movq $5, %0\n bp_here:", : "+m"(watched) : : "memory");
    CHECK(trapped(TRAP_DB));
    CHECK_EQ(last_trap.regs.rip, (uint64_t)bp_here);
    CHECK_EQ(hc(get_debugreg, 6) & 0xf, 1);
    CHECK_EQ(watched, 5);
    CHECK_EQ(hc(set_debugreg, 6, 0xffff0ff0), 0);
    /* the hypervisor's own access to that word is not ours to see */
    CHECK_EQ(hc(xen_version, XENVER_platform_parameters, &watched), 0);
    TRY("movq $6, %0", : "+m"(watched) : : "memory");
    CHECK(trapped(TRAP_DB));
    /* execution breakpoint in user mode */
    user_init();
    CHECK_EQ(hc(set_debugreg, 0, USER_ADDR(u_nop) + 1), 0);
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 1), 0);
    user_regs_init(&r, u_nop);
    CHECK_EQ(user_run(&r), TRAP_DB);
    CHECK_EQ(r.rip, USER_ADDR(u_nop) + 1);
    r.rflags |= 0x10000; /* RF: past it */
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(hc(set_debugreg, 7, 0), 0);
    user_regs_init(&r, u_nop);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
}

static void by_instruction(void)
{
    uint64_t v = 0x4321;

    TRY("mov %1, %%dr1\n mov %%dr1, %0", : "=r"(v) : "r"(0x8765UL) : "memory");
    CHECK(trapped(-1));
    CHECK_EQ(v, 0x8765);
    CHECK_EQ(hc(get_debugreg, 1), 0x8765);
    TRY("mov %0, %%dr1", : : "r"(NONCANONICAL) : "memory");
    CHECK(trapped(TRAP_GP));
}

void test_main(void)
{
    values();
    breakpoints();
    by_instruction();
}
