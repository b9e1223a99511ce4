/*
 * Debug registers against the hypervisor: reserved bits whose MOV to DR7 would fault in ring 0
 * (XSA-12), breakpoints on memory that the hypervisor touches on the guest's behalf, stepped over as
 * well (XSA-265), and breakpoints or address masks that reach its own tables (XSA-444).
 */
#include "guest.h"

#define DR7_DEFAULT 0x400UL
#define DR7_WRITE_8 (DR7_DEFAULT | 1 | 1 << 16 | 2 << 18) /* DR0: writes to 8 bytes */
#define DR7_ANY_8 (DR7_DEFAULT | 1 | 3 << 16 | 2 << 18)
#define HV_BEGIN 0xffff800000000000UL
#define HV_END 0xffff880000000000UL

static long set_dr(unsigned int n, uint64_t v) { return hc(set_debugreg, n, v); }

static bool dr7_written(uint64_t v)
{
    TRY("mov %0, %%dr7", : : "r"(v) : "memory");
    return trapped(-1);
}

/* Every bit that is none, by hypercall and by instruction; DR7 stays what it was. */
static void reserved_bits(void)
{
    unsigned int taken = 0, numbers = 0, moved = 0;
    long before = hc(get_debugreg, 7);

    for (unsigned int bit = 32; bit < 64; bit++) {
        taken += set_dr(7, DR7_DEFAULT | 1UL << bit) == 0;
        taken += set_dr(6, 0xffff0ff0 | 1UL << bit) == 0;
        taken += dr7_written(DR7_DEFAULT | 1UL << bit);
        moved += hc(get_debugreg, 7) != before;
    }
    attack("dr7.upper-bits", taken, 0);
    CHECK_EQ(moved, 0);
    for (unsigned int n = 8; n < 64; n++)
        numbers += set_dr(n, 0) == 0;
    attack("dr.numbers-beyond-7", numbers, 0);
    attack("dr7.general-detect", set_dr(7, DR7_DEFAULT | 1 << 13), -EPERM);
    attack("dr7.io-breakpoint", set_dr(7, DR7_DEFAULT | 1 | 2 << 16), -EPERM);
    CHECK_EQ(hc(get_debugreg, 7), before);
}

/* ---- what the hypervisor touches for us ---- */

static volatile unsigned int nr_db, nr_foreign;
extern char kernel_begin[] __asm__("hypercall_page"), kernel_end[] __asm__("trap_stack_top");

static void on_db(struct cpu_user_regs *regs)
{
    nr_db++;
    nr_foreign += regs->rip < (uint64_t)kernel_begin || (regs->cs & 3);
    if (nr_db > 500)
        regs->rflags &= ~(uint64_t)EFLAGS_TF;
}

static long hypercall_stepped(uint64_t nr, uint64_t a, uint64_t b)
{
    long rc;

    __asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n syscall\n"
                     "pushfq\n andl $~0x100, (%%rsp)\n popfq\n"
                     : "=a"(rc)
                     : "0"(nr), "D"(a), "S"(b)
                     : "rcx", "r11", "memory");
    return rc;
}

/* Copies to and from watched memory; the frames of traps and of iret on a watched stack. */
static void watched_copies(void)
{
    static uint64_t buffer[128] __attribute__((aligned(64)));
    struct sched_poll poll = { .timeout = 1 };
    long rc;

    trap_hooks[TRAP_DB] = on_db;
    for (unsigned int i = 0; i < 16; i++) {
        CHECK_EQ(set_dr(0, (uint64_t)&buffer[i % 16]), 0);
        CHECK_EQ(set_dr(1, (uint64_t)&poll), 0);
        CHECK_EQ(set_dr(7, DR7_ANY_8 | 1 << 2 | 3 << 20 | 2 << 22), 0);
        rc = hc(xen_version, XENVER_capabilities, buffer);
        CHECK_EQ(rc, 0);
        rc = hypercall_stepped(__HYPERVISOR_xen_version, XENVER_capabilities, (uint64_t)buffer);
        CHECK_EQ(rc, 0);
        rc = hypercall_stepped(__HYPERVISOR_sched_op, SCHEDOP_poll, (uint64_t)&poll);
        CHECK_EQ(rc, 0);
    }
    CHECK(nr_db >= 3 * 16); /* the steps: so TF was really on */
    CHECK_EQ(nr_foreign, 0);
    nr_db = 0;
    /* where the frame of this very #DB will be written */
    for (unsigned int below = 8; below <= 128; below += 8) {
        uint64_t rsp;

        __asm__ volatile("mov %%rsp, %0" : "=r"(rsp));
        CHECK_EQ(set_dr(0, (rsp & ~15UL) - below), 0);
        CHECK_EQ(set_dr(7, DR7_WRITE_8), 0);
        TRY0("int3");
        CHECK_EQ(set_dr(7, 0), 0);
    }
    CHECK(nr_db < 500);
    CHECK_EQ(nr_foreign, 0);
    trap_hooks[TRAP_DB] = NULL;
    CHECK_EQ(set_dr(1, 0), 0);
}

/* Every 64 GiB of the hypervisor's slots, their ends, and the live tables of this CPU. */
static void on_the_hypervisor(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) gdtr = { 0 }, idtr = { 0 };
    unsigned int taken = 0;

    for (uint64_t va = HV_BEGIN; va < HV_END; va += 1UL << 36)
        for (unsigned int n = 0; n < 4; n++)
            taken += (set_dr(n, va) == 0) + (set_dr(n, va + 0xff8) == 0);
    taken += (set_dr(0, HV_END - 1) == 0) + (set_dr(0, HV_END - 8) == 0);
    taken += (set_dr(0, HV_BEGIN - 1) == 0) + (set_dr(0, HV_BEGIN - 8) == 0);
    attack("breakpoint.hypervisor", taken, 0);
    TRY("sgdt %0", : "=m"(gdtr) : : "memory"); /* UMIP may hide it */
    TRY("sidt %0", : "=m"(idtr) : : "memory");
    taken = 0;
    for (uint64_t off = 0; gdtr.base && off < 0x10000; off += 0x800)
        taken += set_dr(0, gdtr.base + off) == 0;
    for (uint64_t off = 0; idtr.base && off < 0x1000; off += 0x100)
        taken += set_dr(0, idtr.base + off) == 0;
    attack("breakpoint.gdt-idt", taken, 0);
    CHECK_EQ(hc(get_debugreg, 7) & 0xff, 0);
}

/* AMD's masks widen a breakpoint to 4 GiB: from a guest's address to anything. */
static void address_masks(void)
{
    static const uint32_t msrs[] = { 0xc0011027, 0xc0011019, 0xc001101a, 0xc001101b };
    unsigned int taken = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(msrs); i++) {
        TRY("wrmsr", : : "a"(~0u), "d"(0), "c"(msrs[i]) : "memory");
        taken += trapped(-1);
    }
    attack("address-mask.msrs", taken, 0);
}

void test_main(void)
{
    attacks_begin();
    reserved_bits();
    watched_copies();
    on_the_hypervisor();
    address_masks();
    witness_check();
}
