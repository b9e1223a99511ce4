/*
 * Fast system calls that the kernel has no entry for must raise one exception, at the user's
 * instruction, and no second one later (XSA-8, XSA-339); and NT, which SYSENTER leaves set, must
 * reach neither the hypervisor's way back nor the kernel's handler (XSA-44). dom0_max_vcpus=3.
 */
#include "guest.h"

#define USER_CS32 0xe023
#define EFLAGS_AC 0x40000u
#define EFLAGS_DF 0x400u
#define NASTY (EFLAGS_NT | EFLAGS_TF | EFLAGS_AC | EFLAGS_DF)

extern char u_syscall32[], u_sysenter[], u_code_end[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_syscall32, u_sysenter, u_code_end\n"
        "u_syscall32: .byte 0x0f, 0x05\n nop\n ud2\n"
        "u_sysenter: .byte 0x0f, 0x34\n nop\n ud2\n"
        "u_code_end: ud2\n .popsection");
void trap_entry(struct cpu_user_regs *regs);

static struct cpu_user_regs came;
static uint64_t handler_flags;

static int run(const void *label, uint16_t cs, uint64_t flags)
{
    user_regs_init(&came, label);
    came.cs = cs;
    came.rflags = 0x202 | flags;
    return user_run(&came);
}

/* To it the hypervisor returns by IRET, whoever was interrupted in favour of it, and where. */
static volatile bool stop_spinning;
static volatile unsigned long nr_spins;
static void spin(void)
{
    while (!stop_spinning)
        nr_spins++;
    for (;;)
        hc(sched_op, SCHEDOP_block, 0);
}

/* What hangs about: whatever would still be delivered comes at one of these exits. */
static void nothing_follows(void)
{
    for (unsigned int i = 0; i < 8; i++)
        CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    yield();
}

/* Each set of flags: one entry, of the user's. */
static void no_entry(const char *what, const void *label, uint16_t cs, int v1, int v2)
{
    unsigned int wrong = 0, second = 0;

    for (unsigned int i = 0; i < 16; i++) {
        int v = run(label, cs,
                    (i & 1 ? EFLAGS_NT : 0) | (i & 2 ? EFLAGS_TF : 0) | (i & 4 ? EFLAGS_AC : 0) |
                        (i & 8 ? EFLAGS_DF : 0));

        wrong += v != v1 && v != v2;
        second += (came.cs & 3) != 3; /* one inside the handler of the first */
        nothing_follows();
    }
    CHECK_EQ(second, 0);
    attack(what, wrong, 0);
}

/* Flags of the kernel's handler, then on as without a hook. */
static void on_sysenter(struct cpu_user_regs *regs)
{
    __asm__ volatile("pushfq\n pop %0" : "=r"(handler_flags));
    trap_hooks[ENTRY_SYSENTER] = NULL;
    trap_entry(regs);
}

static void with_nt(uint16_t cs)
{
    unsigned int stale = 0;
    int v;

    /* long enough for the other vCPUs, on the same CPU, to be switched to in the middle of an entry */
    for (uint64_t i = 0, end = now_ns(0) + 1000000000; i < 200 || now_ns(0) < end; i++) {
        trap_hooks[ENTRY_SYSENTER] = on_sysenter;
        handler_flags = 0;
        v = run(u_sysenter, cs, i % 2 ? NASTY & ~EFLAGS_TF : NASTY);
        /* AMD in long mode; QEMU knows it in 32-bit code there, for which Xen has no entry then */
        if (v == TRAP_UD || (v == TRAP_GP && on_xen())) {
            print("xsa_008: no SYSENTER with cs 0x%x\n", cs);
            break;
        }
        CHECK(v == ENTRY_SYSENTER || v == TRAP_DB);
        CHECK_EQ(came.cs & 3, 3);
        stale += (handler_flags & (EFLAGS_NT | EFLAGS_TF | EFLAGS_AC)) != 0;
        CHECK(v != ENTRY_SYSENTER || (handler_flags & EFLAGS_IF));
        if (i % 64 == 0)
            nothing_follows();
    }
    CHECK_EQ(stale, 0);
}

/* The kernel itself sets NT, then enters by all ways there are and comes back. */
static void kernel_with_nt(void)
{
    uint64_t flags = 0;
    long rc;

    __asm__ volatile("pushfq\n orl $0x4000, (%%rsp)\n popfq\n"
                     "syscall\n"
                     "pushfq\n mov (%%rsp), %1\n andl $~0x4000, (%%rsp)\n popfq\n"
                     : "=a"(rc), "=&r"(flags)
                     : "0"((long)__HYPERVISOR_xen_version), "D"(0L), "S"(0L)
                     : "rcx", "r11", "memory");
    CHECK_EQ(rc, 4 << 16 | 17);
    CHECK(flags & EFLAGS_NT); /* its own, and kept for it */
    TRY0("pushfq\n orl $0x4000, (%%rsp)\n popfq\n int3");
    CHECK(trapped(TRAP_BP) && (last_trap.regs.rflags & EFLAGS_NT));
    TRY0("pushfq\n orl $0x4000, (%%rsp)\n popfq\n ud2");
    CHECK(trapped(TRAP_UD));
    TRY0("pushfq\n orl $0x4000, (%%rsp)\n popfq\n movb $0, 0x1234");
    CHECK(trapped(TRAP_PF));
    TRY0("pushfq\n andl $~0x4000, (%%rsp)\n popfq");
}

void test_main(void)
{
    static const struct {
        const char *what;
        uint16_t cs;
    } modes[] = { { "sysenter.no-entry.code64", USER_CS },
                  { "sysenter.no-entry.code32", USER_CS32 } };

    attacks_begin();
    user_init();
    CHECK_EQ(vcpu_start(1, spin), 0);
    no_entry("syscall32.no-entry", u_syscall32, USER_CS32, TRAP_UD, TRAP_DB);
    for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
        no_entry(modes[i].what, u_sysenter, modes[i].cs, TRAP_GP, TRAP_UD);
    CHECK_EQ(register_callback(CALLBACKTYPE_sysenter, sysenter_entry, CALLBACKF_mask_events), 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(modes); i++)
        with_nt(modes[i].cs);
    kernel_with_nt();
    CHECK(nr_spins > 0);
    stop_spinning = true;
    witness_check();
}
