/*
 * Debug exceptions at the entries: single-stepping over SYSCALL, INT3, INT n and ICEBP, and a data
 * breakpoint held back by MOV SS until the instruction that enters the hypervisor (XSA-260).
 */
#include "guest.h"

extern char u_step[], u_stepped[], u_int3[], u_icebp[], u_movss_syscall[], u_movss_int3[],
    u_movss_int80[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_step, u_stepped, u_int3, u_icebp, u_movss_syscall, u_movss_int3, u_movss_int80\n"
        "u_step: nop\n syscall\n u_stepped: nop\n ud2\n"
        "u_int3: int3\n ud2\n"
        "u_icebp: .byte 0xf1\n nop\n ud2\n"
        "u_movss_syscall: mov (%rdi), %ss\n syscall\n ud2\n"
        "u_movss_int3: mov (%rdi), %ss\n int3\n ud2\n"
        "u_movss_int80: mov (%rdi), %ss\n int $0x80\n ud2\n"
        ".popsection");

static volatile unsigned int nr_db, nr_bp;
static volatile uint64_t last_db;

static void on_db(struct cpu_user_regs *regs)
{
    nr_db++;
    last_db = regs->rip;
    if (nr_db > 200)
        regs->rflags &= ~(uint64_t)EFLAGS_TF;
}

static void on_bp(struct cpu_user_regs *regs) { nr_bp++; }

/* The kernel steps over hypercalls of its own. */
static void kernel_steps(void)
{
    long rc = 0;

    trap_hooks[TRAP_DB] = on_db;
    trap_hooks[TRAP_BP] = on_bp;
    __asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n"
                     "mov %1, %%eax\n xor %%edi, %%edi\n syscall\n nop\n nop\n"
                     "pushfq\n andl $~0x100, (%%rsp)\n popfq\n"
                     : "=&a"(rc)
                     : "i"(__HYPERVISOR_xen_version)
                     : "rcx", "r11", "rdi", "memory");
    print("step: kernel, hypercall: %u traps\n", nr_db);
    CHECK_EQ(rc, 4 << 16 | 17);
    CHECK(nr_db >= 3 && nr_db < 20);
    nr_db = 0;
    __asm__ volatile("pushfq\n orl $0x100, (%%rsp)\n popfq\n"
                     "int3\n nop\n"
                     "pushfq\n andl $~0x100, (%%rsp)\n popfq\n" ::
                         : "memory");
    print("step: kernel, int3: %u debug traps, %u breakpoints\n", nr_db, nr_bp);
    CHECK_EQ(nr_bp, 1);
    CHECK(nr_db >= 1 && nr_db < 20);
    nr_db = 0;
    trap_hooks[TRAP_DB] = NULL;
    trap_hooks[TRAP_BP] = NULL;
    TRY0(".byte 0xf1\n nop");
    CHECK(trapped(TRAP_DB) || trapped(TRAP_UD)); /* QEMU's TCG has no ICEBP */
}

static void user_steps(void)
{
    struct cpu_user_regs r;

    user_regs_init(&r, u_step);
    r.rflags |= EFLAGS_TF;
    CHECK_EQ(user_run(&r), TRAP_DB);
    CHECK_EQ(r.rip, USER_ADDR(u_step) + 1);
    CHECK(r.rflags & EFLAGS_TF);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rip, USER_ADDR(u_stepped));
    CHECK(r.r11 & EFLAGS_TF); /* the user's own flags */
    CHECK_EQ(r.cs, USER_CS);
    CHECK_EQ(user_run(&r), TRAP_DB); /* and it goes on stepping behind it */
    CHECK_EQ(r.rip, USER_ADDR(u_stepped) + 1);
    user_regs_init(&r, u_int3);
    r.rflags |= EFLAGS_TF;
    CHECK_EQ(user_run(&r), TRAP_BP);
    for (unsigned int i = 0; i < 2; i++) {
        user_regs_init(&r, u_icebp);
        r.rflags |= i ? EFLAGS_TF : 0;
        CHECK(user_run(&r) == TRAP_DB || trapped(TRAP_UD));
        CHECK_EQ(r.rip, USER_ADDR(u_icebp) + trapped(TRAP_DB));
    }
}

/* The kernel must not see the user's TF as its own: no #DB of the kernel after such an entry. */
static void held_back(void)
{
    static const struct {
        const char *name, *label;
        int entry;
    } cases[] = {
        { "syscall", u_movss_syscall, ENTRY_SYSCALL },
        { "int3", u_movss_int3, TRAP_BP },
        { "int 0x80", u_movss_int80, 0x80 },
    };
    struct cpu_user_regs r;

    *(uint16_t *)user_stack = USER_SS;
    CHECK_EQ(set_trap(0x80, 3, (uint64_t)trap_stubs + 0x80 * 32), 0);
    CHECK_EQ(hc(set_debugreg, 0, USER_STACK_TOP - 2 * PAGE_SIZE), 0);
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 1 | 3 << 16 | 1 << 18), 0); /* 2 bytes, read or write */
    for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
        int v;

        user_regs_init(&r, cases[i].label);
        r.rdi = USER_STACK_TOP - 2 * PAGE_SIZE;
        v = user_run(&r);
        print("step: mov ss, %s: entry %d at %x:0x%lx\n", cases[i].name, v, r.cs, r.rip);
        CHECK(v == cases[i].entry || v == TRAP_DB);
        CHECK_EQ(r.cs, USER_CS);
        user_regs_init(&r, cases[i].label); /* the same, single-stepped */
        r.rdi = USER_STACK_TOP - 2 * PAGE_SIZE;
        r.rflags |= EFLAGS_TF;
        v = user_run(&r);
        CHECK(v == cases[i].entry || v == TRAP_DB);
        CHECK_EQ(r.cs, USER_CS);
    }
    CHECK_EQ(hc(set_debugreg, 7, 0), 0);
}

void test_main(void)
{
    user_init();
    kernel_steps();
    user_steps();
    held_back();
}
