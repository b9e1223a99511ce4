/*
 * `int n` for all n, from user mode and from the kernel, without a handler, with one that is not for
 * the caller, and with one that is. int 0x80 has a way of its own into the hypervisor, and on Xen went
 * on without looking whether there was a handler (XSA-259).
 */
#include "guest.h"

#define CODE_VA 0x700000UL

static uint8_t *code;
static struct cpu_user_regs came;

static int run(uint8_t n)
{
    code[0] = 0xcd;
    code[1] = n;
    code[2] = 0x0f; /* ud2 */
    code[3] = 0x0b;
    user_regs_init(&came, user_code_start);
    came.rip = CODE_VA;
    return user_run(&came);
}

/* As the CPU answers to a gate that is not there, or not for the caller. */
static bool refused(unsigned int n, int v)
{
    return v == TRAP_GP && came.rip == CODE_VA && (came.cs & 3) == 3 &&
           came.error_code == n * 8 + 2;
}

static uint64_t stub_of(unsigned int n) { return (uint64_t)trap_stubs + n * 32; }

static void from_user(void)
{
    unsigned int bare = 0, not_ours = 0, ours = 0;

    for (unsigned int n = 32; n < 256; n++)
        bare += !refused(n, run((uint8_t)n));
    attack("int.no-handler", bare, 0);
    for (unsigned int n = 0; n < 256; n++) {
        if (n == TRAP_BP || n == TRAP_OF || n == TRAP_NMI)
            continue;
        if (n >= 32)
            CHECK_EQ(set_trap((uint8_t)n, 0, stub_of(n)), 0);
        not_ours += !refused(n, run((uint8_t)n));
    }
    attack("int.handler-of-the-kernel", not_ours, 0);
    for (unsigned int n = 32; n < 256; n++) {
        CHECK_EQ(set_trap((uint8_t)n, 3, stub_of(n)), 0);
        ours += run((uint8_t)n) != (int)n || came.rip != CODE_VA + 2 || (came.cs & 3) != 3;
    }
    attack("int.handler-for-the-user", ours, 0);
}

/* int 0x80 in the kernel, and in 32-bit code, and of a handler that lies nowhere. */
static void int80(void)
{
    CHECK_EQ(set_trap(0x80, 0, stub_of(0x80)), 0);
    TRY0("int $0x80"); /* DPL 0 is not for a kernel in ring 3 either: it has to say 1 */
    attack("int80.kernel.dpl-0", last_trap.vector, TRAP_GP);
    CHECK_EQ(set_trap(0x80, 1, stub_of(0x80)), 0);
    TRY0("int $0x80");
    CHECK(trapped(0x80));
    CHECK_EQ(set_trap(0x80, 3, stub_of(0x80)), 0);
    run(0x80);
    user_regs_init(&came, user_code_start);
    came.rip = CODE_VA;
    came.cs = 0xe023;
    CHECK_EQ(user_run(&came), 0x80);
    CHECK_EQ(came.cs, 0xe023);
    attack("set-trap.not-canonical", set_trap(0x80, 3, NONCANONICAL), -EINVAL);
    CHECK_EQ(run(0x80), 0x80); /* the one before is still there */
    /* all handlers forgotten but that of #GP */
    CHECK_EQ(hc(set_trap_table, 0), 0);
    CHECK_EQ(set_trap(TRAP_GP, 0, stub_of(TRAP_GP)), 0);
    CHECK(refused(0x80, run(0x80)));
}

void test_main(void)
{
    attacks_begin();
    code = page_alloc();
    user_init_with(CODE_VA, virt_to_mfn(code));
    from_user();
    int80();
    witness_check();
}
