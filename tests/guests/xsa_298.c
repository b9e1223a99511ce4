/*
 * The hypervisor looks a code selector up itself, to know what kind of code it emulates. On Xen it
 * did not stop at the table's limit, so that user mode chose descriptors of its own (XSA-298). Here
 * the LDT has descriptors behind its limit, and none at all; and code of 32 bits is never taken for
 * code of 64 bits, where the same bytes are other instructions.
 */
#include "guest.h"

#define CODE64 0x00affb000000ffffUL
#define CODE32 0x00cffb000000ffffUL
#define LDT_SEL(n) ((n) << 3 | 7)

extern char u_in[], u_rex_in[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_in, u_rex_in\n"
        "u_in: mov $0x51, %ebx\n in %dx, %al\n syscall\n ud2\n"
        "u_rex_in: .byte 0x41, 0xed\n syscall\n ud2\n" /* 32-bit: inc %ecx; in %dx, %eax */
        ".popsection");

static uint64_t *ldt;
static struct cpu_user_regs came;

static long set_ldt(unsigned int nr_ents) { return mmuext(MMUEXT_SET_LDT, (uint64_t)ldt, nr_ents); }

static int run(const void *label, uint16_t cs)
{
    user_regs_init(&came, label);
    came.cs = cs;
    came.rdx = 0x71;
    came.rcx = 5;
    return user_run(&came);
}

/* Not one instruction was executed there. */
static bool refused(int v) { return (v == ENTRY_FAILSAFE || v == TRAP_GP) && came.rbx == 0; }

/* In and out of the limit, as the limit moves. */
static void limits(void)
{
    static const unsigned int sizes[] = { 0, 1, 5, 6, 7, 300, 301, 512 };
    unsigned int reached = 0, in_reach = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
        CHECK_EQ(set_ldt(sizes[i]), 0);
        for (unsigned int n = 5; n <= 300; n += 295) {
            int v = run(u_in, (uint16_t)LDT_SEL(n));

            if (n < sizes[i]) /* emulated: the IOPL is 3 */
                in_reach += v != ENTRY_SYSCALL || came.rbx != 0x51;
            else
                reached += !refused(v);
        }
        for (unsigned int n = 512; n < 8192; n += 700)
            reached += !refused(run(u_in, (uint16_t)LDT_SEL(n)));
    }
    CHECK_EQ(in_reach, 0);
    attack("ldt.beyond-the-limit", reached, 0);
    attack("ldt.too-long", set_ldt(8193), -EINVAL);
    CHECK_EQ(set_ldt(512), 0);
}

/* GDT: only the hypervisor's own flat selectors are there, none of ours. */
static void gdt(void)
{
    unsigned int reached = 0;

    for (uint32_t sel = 3; sel < 0xe000; sel += 8 * 37)
        reached += !refused(run(u_in, (uint16_t)sel));
    for (uint32_t sel = 0xe003; sel < 0x10000; sel += 8)
        if (sel != 0xe023 && sel != 0xe033)
            reached += !refused(run(u_in, (uint16_t)sel));
    attack("gdt.beyond-the-limit", reached, 0);
}

static void code32(void)
{
    int v = run(u_rex_in, (uint16_t)LDT_SEL(6));

    /* inc %ecx went, then the IN was done or refused, but not a REX prefix eaten with it */
    CHECK_EQ(came.rcx & 0xff, v == TRAP_GP ? 6 : came.rcx & 0xff);
    attack("ldt.32-bit-code", v, TRAP_GP);
    if (v == TRAP_GP) {
        CHECK_EQ(came.cs, LDT_SEL(6));
        CHECK_EQ(came.rip, USER_ADDR(u_rex_in) + 1);
    }
}

void test_main(void)
{
    struct physdev_set_iopl iopl = { .iopl = 3 };

    attacks_begin();
    user_init();
    register_callback(CALLBACKTYPE_failsafe, failsafe_entry, CALLBACKF_mask_events);
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
    ldt = page_alloc();
    ldt[5] = CODE64;
    ldt[6] = CODE32;
    ldt[300] = CODE64;
    page_set_ro(ldt);
    limits();
    gdt();
    code32();
    CHECK_EQ(set_ldt(0), 0);
    witness_check();
}
