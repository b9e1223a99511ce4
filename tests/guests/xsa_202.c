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

static volatile uint64_t *code; /* one word is the instruction, the next one leaves */
static volatile uint64_t *table;
static const uint64_t *variants;
static unsigned int nr_variants;
static uint64_t nr_rewritten, nr_done, nr_other, nr_rounds, nr_wrong_flags, nr_wrong_entries;

/* Eight bytes that begin with an instruction, one only: whatever is executed is one of them as a whole. */
#define INSN(bytes, n) ((bytes) | 0x9090909090909090UL << (8 * (n)))
static const uint64_t in_kernel[] = {
    INSN(0x078948, 3), /* mov %rax, (%rdi): to the page table */
    INSN(0xfa, 1),     /* cli */
    INSN(0x300f, 2),   /* wrmsr */
    INSN(0xd8220f, 3), /* mov %rax, %cr3 */
    INSN(0xd1010f, 3), /* xsetbv */
    INSN(0xf4, 1),     /* hlt */
    INSN(0x078748, 3), /* xchg %rax, (%rdi) */
    INSN(0x0fc70f, 3), /* cmpxchg8b (%rdi) */
};
static const uint64_t in_user[] = {
    INSN(0x71e4, 2),   /* in $0x71, %al */
    INSN(0xc0200f, 3), /* mov %cr0, %rax */
    INSN(0xfa, 1),     /* cli */
    INSN(0x320f, 2),   /* rdmsr */
    INSN(0xd8220f, 3), /* mov %rax, %cr3 */
    INSN(0x060f, 2),   /* clts */
    INSN(0xf8230f, 3), /* mov %rax, %dr7 */
    INSN(0xec, 1),     /* in %dx, %al */
};

static void rewrite(void)
{
    while (phase_on()) {
        for (unsigned int i = random() % 3000; i > 0; i--)
            barrier();
        code[0] = variants[random() % 2 ? 0 : random() % nr_variants];
        __atomic_fetch_add(&nr_rewritten, 1, __ATOMIC_RELAXED);
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
        rewrite();
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
        rewrite();
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

static void use(const uint64_t *list, unsigned int nr, uint64_t exit_insn)
{
    variants = list;
    nr_variants = nr;
    code[0] = list[0];
    code[1] = exit_insn;
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
    use(in_kernel, ARRAY_SIZE(in_kernel), 0xe3ff); /* jmp *%rbx */
    phase("page-table writes", 1500, kernel_race);
    print("xsa_202: %lu rounds, %lu rewritten, %lu done, %lu were something else when looked at\n",
          nr_rounds, nr_rewritten, nr_done, nr_other);
    CHECK(nr_done > 0);
    attack("kernel.flags", (long)nr_wrong_flags, 0);
    attack("kernel.entries", (long)nr_wrong_entries, 0);
    use(in_user, ARRAY_SIZE(in_user), 0x0b0f050f); /* syscall; ud2 */
    phase("user's faults", 1500, user_race);
    print("xsa_202: %lu faults of the user\n", nr_users);
    CHECK(nr_users > 0);
    attack("user.granted", (long)nr_granted, 0);
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0_after));
    CHECK_EQ(cr0_after, cr0);
    CHECK_EQ(unpin((void *)table), 0);
}
