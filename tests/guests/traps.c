/* Each exception comes back to the kernel with the right frame, error code, cr2 and event mask. */
#include "guest.h"

extern char de_at[], bp_at[], of_at[], ud_at[], gp_at[], db_after[], pf_at[], int_at[], int_after[],
    user_ok[], user_int3[], user_int31[], user_int33[], user_ud[], user_hlt[];

__asm__(".pushsection .user, \"ax\"\n"
        ".globl user_int3, user_int31, user_int33, user_ud, user_hlt\n"
        "user_int3: int3\n ud2\n"
        "user_int31: int $0x31\n ud2\n"
        "user_int33: int $0x33\n ud2\n"
        "user_ud: ud2\n"
        "user_hlt: hlt\n ud2\n"
        ".popsection");

/* What every frame from the kernel itself has. */
static void check_frame(int line, int vector, const char *rip, unsigned int error)
{
    const struct cpu_user_regs *r = &last_trap.regs;

    if (last_trap.vector != vector)
        check_failed(line, "vector %d, not %d", last_trap.vector, vector);
    if (r->rip != (uint64_t)rip)
        check_failed(line, "vector %d: rip 0x%lx, not 0x%lx", vector, r->rip, (uint64_t)rip);
    if (r->error_code != error)
        check_failed(line, "vector %d: error code 0x%x, not 0x%x", vector, r->error_code, error);
    if ((r->cs & 3) != 0 || (r->cs & ~3u) != (FLAT_KERNEL_CS & ~3u))
        check_failed(line, "vector %d: cs 0x%x", vector, r->cs);
    if ((r->ss & ~3u) != (FLAT_KERNEL_SS & ~3u))
        check_failed(line, "vector %d: ss 0x%x", vector, r->ss);
    if (!!(r->rflags & EFLAGS_IF) == r->saved_upcall_mask)
        check_failed(line, "vector %d: IF and saved_upcall_mask 0x%x disagree", vector,
                     r->saved_upcall_mask);
    if (r->saved_upcall_mask != vcpu_info(0)->evtchn_upcall_mask)
        check_failed(line, "vector %d: saved mask 0x%x", vector, r->saved_upcall_mask);
}
#define CHECK_FRAME(vector, rip, error) check_frame(__LINE__, vector, rip, error)

static void exceptions(void)
{
    uint64_t sp;

    TRY("mov %%rsp, %0\n xor %%ecx, %%ecx\n xor %%edx, %%edx\n mov $1, %%eax\n de_at: divl %%ecx",
        : "=&r"(sp)
        :
        : "rax", "rcx", "rdx");
    CHECK_FRAME(TRAP_DE, de_at, 0);
    CHECK_EQ(last_trap.regs.rsp, sp);
    CHECK_EQ(last_trap.regs.rcx, 0);
    CHECK_EQ(last_trap.regs.rax, 1);
    TRY0("int3\n bp_at:");
    CHECK_FRAME(TRAP_BP, bp_at, 0);
    TRY0("int $4\n of_at:");
    CHECK_FRAME(TRAP_OF, of_at, 0);
    TRY("mov $0x1122334455667788, %%r11\n mov $0x55, %%ecx\n ud_at: ud2", : : : "rcx", "r11");
    CHECK_FRAME(TRAP_UD, ud_at, 0);
    CHECK_EQ(last_trap.regs.r11, 0x1122334455667788);
    CHECK_EQ(last_trap.regs.rcx, 0x55);
    TRY("mov %0, %%rax\n gp_at: mov (%%rax), %%rax", : : "r"(NONCANONICAL) : "rax");
    CHECK_FRAME(TRAP_GP, gp_at, 0);
    TRY0("pushf\n orl $0x100, (%%rsp)\n popf\n nop\n db_after: nop");
    CHECK_FRAME(TRAP_DB, db_after, 0);
    CHECK(last_trap.regs.rflags & EFLAGS_TF);
}

static void page_faults(void)
{
    char *p = page_alloc();
    uint64_t mfn = virt_to_mfn(p);

    TRY("mov $0x1234567, %%eax\n pf_at: mov (%%rax), %%eax", : : : "rax");
    CHECK_FRAME(TRAP_PF, pf_at, 0); /* the kernel's faults count as a supervisor's */
    CHECK_EQ(last_trap.cr2, 0x1234567);
    TRY("mov $0x1234567, %%eax\n movl $1, (%%rax)", : : : "rax");
    CHECK_EQ(last_trap.regs.error_code, 0x2);
    page_set_ro(p);
    TRY("movl $1, 16(%0)", : : "r"(p) : "memory");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(last_trap.regs.error_code, 0x3);
    CHECK_EQ(last_trap.cr2, (uint64_t)p + 16);
    CHECK_EQ(update_va(p, mfn << 12 | PTE_FLAGS | PTE_NX, UVMF_INVLPG), 0);
    TRY("call *%0", : : "r"(p) : "memory");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(last_trap.regs.error_code, 0x11);
    CHECK_EQ(last_trap.cr2, (uint64_t)p);
    __asm__ volatile("add $8, %%rsp" ::: "memory"); /* the return address of that call */
    CHECK_EQ(update_va(p, 0, UVMF_INVLPG), 0);
    TRY("movb (%0), %%al", : : "r"(p) : "rax");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(last_trap.regs.error_code, 0);
    page_set_rw(p);
    p[0] = 1;
    /* the hypervisor's range is not ours to read, write or jump to */
    TRY("mov %0, %%rax\n movb (%%rax), %%al", : : "r"(0xffff830000000000UL) : "rax");
    CHECK(trapped(TRAP_PF) || trapped(TRAP_GP));
    TRY("mov %0, %%rax\n movq $0, (%%rax)", : : "r"(MACH2PHYS_VIRT_START) : "rax", "memory");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(last_trap.regs.error_code, 0x3);
}

/*
 * QEMU's TCG gives the #GP of an INT n as n * 16 + 2, where the architecture has n * 8 + 2. A
 * hypervisor that goes by the error code then takes n for 2n; so what is set for n is set for 2n.
 */
static void set_int(uint8_t n, uint8_t flags)
{
    CHECK_EQ(set_trap(n, flags, (uint64_t)trap_stubs + n * 32), 0);
    CHECK_EQ(set_trap((uint8_t)(2 * n), flags, (uint64_t)trap_stubs + (uint8_t)(2 * n) * 32), 0);
}

static bool int_came(int vector, uint8_t n) { return vector == n || vector == (uint8_t)(2 * n); }

static bool int_denied(const struct cpu_user_regs *r, int vector, uint8_t n)
{
    return vector == TRAP_GP && (r->error_code == n * 8u + 2 || r->error_code == n * 16u + 2);
}

static void software_ints(void)
{
    set_int(0x31, 3);
    set_int(0x32, 0);
    set_int(0x33, 1 | 4);
    TRY0("int $0x31\n int_after:");
    CHECK(int_came(last_trap.vector, 0x31));
    CHECK_EQ(last_trap.regs.rip, (uint64_t)int_after);
    CHECK_EQ(last_trap.regs.error_code, 0);
    TRY0("int_at: int $0x32"); /* DPL 0: nobody may */
    CHECK(int_denied(&last_trap.regs, last_trap.vector, 0x32));
    CHECK_EQ(last_trap.regs.rip, (uint64_t)int_at);
    TRY0("int $0x34"); /* no handler */
    CHECK(int_denied(&last_trap.regs, last_trap.vector, 0x34));
    TRY0("int $0x33"); /* kernel may; event mask set on entry */
    CHECK(int_came(last_trap.vector, 0x33));
    CHECK(last_trap.mask_inside);
    TRY0("int $0x80");
    CHECK(int_denied(&last_trap.regs, last_trap.vector, 0x80));
    CHECK_EQ(set_trap(0x80, 3, (uint64_t)trap_stubs + 0x80 * 32), 0);
    TRY0("int $0x80");
    CHECK(trapped(0x80));
}

/* The gate's IF bit masks events on entry, and iret by the saved IF brings the old mask back. */
static void event_mask(void)
{
    events_off();
    TRY0("ud2");
    CHECK_EQ(last_trap.regs.saved_upcall_mask, 1);
    CHECK(!(last_trap.regs.rflags & EFLAGS_IF));
    events_on();
    TRY0("ud2");
    CHECK_EQ(last_trap.regs.saved_upcall_mask, 0);
    CHECK(last_trap.regs.rflags & EFLAGS_IF);
    CHECK(!last_trap.mask_inside);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0);
    TRY0("int $0x33");
    CHECK_EQ(last_trap.regs.saved_upcall_mask, 0);
    CHECK(last_trap.mask_inside);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0);
    events_off();
}

static void from_user(void)
{
    struct cpu_user_regs r;

    user_init();
    user_regs_init(&r, user_int3);
    CHECK_EQ(user_run(&r), TRAP_BP);
    CHECK_EQ(r.rip, USER_ADDR(user_int3) + 1);
    CHECK_EQ(r.cs, USER_CS);
    CHECK_EQ(r.ss, USER_SS);
    CHECK_EQ(r.rsp, USER_STACK_TOP);
    user_regs_init(&r, user_int31);
    CHECK(int_came(user_run(&r), 0x31));
    user_regs_init(&r, user_int33); /* DPL 1: the kernel only */
    CHECK(int_denied(&r, user_run(&r), 0x33));
    CHECK_EQ(r.rip, USER_ADDR(user_int33));
    user_regs_init(&r, user_ud);
    CHECK_EQ(user_run(&r), TRAP_UD);
    user_regs_init(&r, user_hlt);
    CHECK_EQ(user_run(&r), TRAP_GP);
    CHECK_EQ(r.error_code, 0);
}

/* Handlers outside the canonical range, and tables that cannot be read. */
static void bad_tables(void)
{
    struct trap_info bad[2] = { { 0x90, 0, FLAT_KERNEL_CS, NONCANONICAL }, { 0 } };

    attack("traps.handler-not-canonical", hc(set_trap_table, bad), -EINVAL);
    CHECK_EQ(hc(set_trap_table, 0x1000), -EFAULT);
    CHECK_EQ(hc(set_trap_table, HYPERVISOR_VIRT_START + 0x10000000000), -EFAULT);
    bad[0] = (struct trap_info){ 0x90, 0, 0xe030 & ~3, (uint64_t)trap_stubs + 0x90 * 32 };
    CHECK_EQ(hc(set_trap_table, bad), 0); /* RPL is fixed up */
    TRY0("int $0x90");
    CHECK(trapped(TRAP_GP)); /* DPL 0 */
}

void test_main(void)
{
    exceptions();
    page_faults();
    software_ints();
    event_mask();
    from_user();
    bad_tables();
}
