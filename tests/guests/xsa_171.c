/*
 * Who may reach I/O ports. The hardware's IOPL is 0 for every PV guest; what counts is a virtual one
 * that only the kernel sets, and a bitmap of ports. A process must not get them by its own flags, nor
 * from the process before it (XSA-171, XSA-329: there Linux relied on what Xen does not switch).
 */
#include "guest.h"

extern char u_in[], u_inw[], u_inl[], u_popf[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_in, u_inw, u_inl, u_popf\n"
        "u_in: in %dx, %al\n syscall\n ud2\n"
        "u_inw: in %dx, %ax\n syscall\n ud2\n"
        "u_inl: in %dx, %eax\n syscall\n ud2\n"
        "u_popf: pushfq\n orl $0x3000, (%rsp)\n popfq\n in %dx, %al\n syscall\n ud2\n"
        ".popsection");

#define IOPL(n) ((uint64_t)(n) << 12)
#define RTC 0x70 /* and 0x71: the initial domain may have them */

static struct cpu_user_regs came;

static void set_iopl(uint32_t level)
{
    struct physdev_set_iopl op = { .iopl = level };

    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &op), 0);
}

/* The user's IN went through. */
static bool reads(const void *label, uint16_t port, uint64_t flags)
{
    int v;

    user_regs_init(&came, label);
    came.rdx = port;
    came.rflags |= flags;
    v = user_run(&came);
    CHECK(v == TRAP_GP || v == ENTRY_SYSCALL);
    return v == ENTRY_SYSCALL;
}

static void by_flags(void)
{
    unsigned int got = 0;

    for (uint32_t level = 0; level < 3; level++) {
        set_iopl(level);
        for (unsigned int n = 0; n < 4; n++) {
            got += reads(u_in, RTC, IOPL(n));
            got += reads(u_popf, RTC, IOPL(n));
        }
    }
    attack("iopl.by-own-flags", got, 0);
    set_iopl(3);
    CHECK(reads(u_in, RTC, 0));
    CHECK(reads(u_in, RTC, IOPL(1)));
    set_iopl(0);
    CHECK(!reads(u_in, RTC, 0));
}

/* With the architecture's view each iret says what the next process has. */
static void architectural(void)
{
    unsigned int kept = 0, hidden = 0;

    CHECK_EQ(hc(vm_assist, VMASST_CMD_enable, VMASST_TYPE_architectural_iopl), 0);
    for (unsigned int i = 0; i < 100; i++) {
        CHECK(reads(u_in, RTC, IOPL(3)));
        hidden += (came.rflags & IOPL(3)) != IOPL(3);
        kept += reads(u_in, RTC, IOPL(i % 3));
        kept += reads(u_popf, RTC, IOPL(i % 3));
        hidden += (came.rflags & IOPL(3)) != IOPL(i % 3);
    }
    attack("iopl.of-the-process-before", kept, 0);
    CHECK_EQ(hidden, 0);
    CHECK_EQ(hc(vm_assist, VMASST_CMD_disable, VMASST_TYPE_architectural_iopl), 0);
    set_iopl(0);
    CHECK(!reads(u_in, RTC, IOPL(3)));
}

static long bitmap(const void *map, uint32_t nr_ports)
{
    struct physdev_set_iobitmap op = { .nr_ports = nr_ports };

    set_xen_guest_handle(op.bitmap, (uint8_t *)map);
    return hc(physdev_op, PHYSDEVOP_set_iobitmap, &op);
}

static void bitmaps(void)
{
    static uint8_t map[65536 / 8];
    static const uint64_t nowhere[] = {
        0x10000, NONCANONICAL, 0xffff830000000000UL, 0xffff7ffffffffff8UL, ~0UL - 14, USER_CODE
    };
    unsigned int got = 0;

    memset(map, 0xff, sizeof(map));
    map[RTC / 8] &= (uint8_t) ~(1u << RTC % 8);
    CHECK_EQ(bitmap(map, 65536), 0);
    CHECK(reads(u_in, RTC, 0));
    got += reads(u_in, RTC + 1, 0) + reads(u_inw, RTC, 0) + reads(u_inw, RTC - 1, 0);
    got += reads(u_inl, RTC, 0) + reads(u_inl, 0xffff, 0) + reads(u_inw, 0xffff, 0);
    CHECK_EQ(bitmap(map, RTC + 1), 0); /* its end is a limit */
    CHECK(reads(u_in, RTC, 0));
    map[RTC / 8] = 0;
    got += reads(u_inw, RTC, 0) + reads(u_in, RTC + 1, 0);
    CHECK_EQ(bitmap(map, RTC), 0);
    got += reads(u_in, RTC, 0);
    attack("bitmap.ports", got, 0);
    got = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(nowhere); i++) /* refused now, or permits nothing */
        if (bitmap((const void *)nowhere[i], 65536) == 0)
            got += reads(u_in, RTC, 0) + reads(u_inw, RTC, 0) + reads(u_inl, 0xfffc, 0);
    attack("bitmap.nowhere", got, 0);
    attack("bitmap.too-long", bitmap(map, 65537), -EINVAL);
    /* the next process's kernel takes it away */
    memset(map, 0, sizeof(map));
    CHECK_EQ(bitmap(map, 65536), 0);
    CHECK(reads(u_in, RTC, 0));
    CHECK_EQ(bitmap(NULL, 0), 0);
    attack("bitmap.gone", reads(u_in, RTC, 0), 0);
}

void test_main(void)
{
    attacks_begin();
    user_init();
    by_flags();
    architectural();
    bitmaps();
    witness_check();
}
