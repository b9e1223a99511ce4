/* GDT and LDT: frames typed and read-only, descriptors checked, selectors and bases that work. */
#include "guest.h"

#define CODE64 0x00affb000000ffffULL /* flat, DPL 3 */
#define DATA32 0x00cff3000000ffffULL
#define DATA_SMALL 0x0040f30000000fffULL /* 4 KiB from 0 */
#define DPL(d, n) (((d) & ~(3ULL << 45)) | (uint64_t)(n) << 45)
#define TYPE(d, t) (((d) & ~(31ULL << 40)) | (uint64_t)(t) << 40)

extern char u_sel[], u_gs[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_sel, u_gs\n"
        "u_sel: syscall\n ud2\n"
        "u_gs: mov %gs:8, %rax\n syscall\n ud2\n"
        ".popsection");

static uint64_t *gdt, *ldt;

static long set_gdt(uint64_t mfn, unsigned int entries)
{
    xen_pfn_t frames[14] = { mfn };

    return hc(set_gdt, frames, entries);
}

static long update(uint64_t *desc, uint64_t value)
{
    return hc(update_descriptor, virt_to_maddr(desc), value);
}

static void gdt_tests(void)
{
    gdt = page_alloc();
    gdt[1] = CODE64;
    gdt[2] = DATA32;
    CHECK(set_gdt(virt_to_mfn(gdt), 512) < 0); /* writable somewhere */
    page_set_ro(gdt);
    CHECK_EQ(set_gdt(virt_to_mfn(gdt), 512), 0);
    CHECK(update_va(gdt, virt_to_mfn(gdt) << 12 | PTE_FLAGS, UVMF_INVLPG) < 0);
    CHECK_EQ(set_gdt(virt_to_mfn(gdt), 14 * 512 + 1), -EINVAL);
    CHECK(set_gdt(0xfffffffff, 512) < 0);
    CHECK(set_gdt(virt_to_mfn(kernel_root), 512) < 0); /* a page table */
    CHECK_EQ(hc(set_gdt, 0x1000, 512), -EFAULT);
    TRY("mov $0x13, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(-1)); /* the refusals kept the old table */
    TRY("mov $0x0b, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(-1));
    TRY("mov $0x33, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(TRAP_GP) || trapped(TRAP_NP)); /* empty */
    TRY0("xor %%eax, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es");
    CHECK(trapped(-1));
    /* run on our own code selector */
    TRY("pushq $0x0b\n lea 1f(%%rip), %%rax\n push %%rax\n lretq\n 1: mov %%cs, %0\n"
        "pushq $0xe033\n lea 2f(%%rip), %%rax\n push %%rax\n lretq\n 2:",
        : "=r"(ldt)
        :
        : "rax", "memory");
    CHECK_EQ((uint64_t)ldt & 0xffff, 0x0b);
}

static void updates(void)
{
    uint64_t *plain = page_alloc();

    CHECK_EQ(update(&gdt[6], DATA32), 0);
    CHECK_EQ(gdt[6] & ~(1ULL << 40), DATA32 & ~(1ULL << 40));
    TRY("mov $0x33, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(-1));
    TRY0(
        "xor %%eax, %%eax\n mov %%eax, %%es"); /* it would be loaded again when we are back on a CPU */
    CHECK_EQ(update(&gdt[6], 0), 0);
    CHECK_EQ(gdt[6], 0);
    TRY("mov $0x33, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(!trapped(-1));
    /* system descriptors: never. Xen takes a call gate (to emulate it) and its empty upper half. */
    for (unsigned int t = 0; t < 16; t++) {
        long rc = update(&gdt[7], TYPE(CODE64, t));

        CHECK(rc == -EINVAL || ((t == 0 || t == 12) && rc == 0));
        if (rc == 0 && t == 12) {
            CHECK_EQ(gdt[7] >> 45 & 3, 0); /* out of the guest's direct reach */
            TRY("lcall *%0",
                :
                : "m"((struct {
                    uint32_t a;
                    uint16_t s;
                }){ 0, 0x3b })
                : "memory");
            CHECK(trapped(TRAP_GP) || trapped(TRAP_NP) || trapped(TRAP_PF));
        }
    }
    CHECK_EQ(update(&gdt[7], 0), 0);
    CHECK_EQ(gdt[7], 0);
    /* conforming code: DPL 0 would do harm; DPL 0..2 are raised or refused, never kept at 0 */
    for (unsigned int dpl = 0; dpl < 3; dpl++) {
        long rc = update(&gdt[7], DPL(DATA32, dpl));

        print("descriptors: DPL %u data: %ld, 0x%lx\n", dpl, rc, gdt[7]);
        CHECK(rc == -EINVAL || (gdt[7] >> 45 & 3) != 0 || !(gdt[7] >> 47 & 1));
        update(&gdt[7], 0);
    }
    CHECK_EQ(update(&gdt[7], TYPE(CODE64, 0x1f) & ~(1ULL << 47)), 0); /* absent: anything */
    CHECK_EQ(update(&gdt[7], 0), 0);
    CHECK_EQ(hc(update_descriptor, virt_to_maddr(gdt) + 4, 0), -EINVAL);
    CHECK(hc(update_descriptor, 0xfffffffff000UL, 0) < 0);
    CHECK(hc(update_descriptor, virt_to_maddr(kernel_root), 0) < 0);
    CHECK_EQ(update(plain, DATA32), 0); /* plain memory: a store */
    CHECK_EQ(plain[0] & ~(1ULL << 40), DATA32 & ~(1ULL << 40));
    /* a table with a bad descriptor in it is refused whole */
    plain[1] = TYPE(CODE64, 9); /* a TSS */
    page_set_ro(plain);
    CHECK(set_gdt(virt_to_mfn(plain), 512) < 0);
    page_set_rw(plain);
}

static void ldt_tests(void)
{
    struct cpu_user_regs r;
    struct mmuext_op op = { .cmd = MMUEXT_SET_LDT };

    ldt = page_alloc();
    ldt[1] = DATA32;
    ldt[2] = CODE64;
    page_set_ro(ldt);
    op.arg1.linear_addr = (uint64_t)ldt;
    op.arg2.nr_ents = 512;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
    TRY("mov $0x0f, %%eax\n mov %%eax, %%es", : : : "rax"); /* faults the page in */
    CHECK(trapped(-1));
    CHECK(update_va(ldt, virt_to_mfn(ldt) << 12 | PTE_FLAGS, UVMF_INVLPG) < 0);
    CHECK_EQ(update(&ldt[3], DATA32), 0);
    TRY("mov $0x1f, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(-1));
    TRY("mov $0x27, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(!trapped(-1));
    user_init();
    user_regs_init(&r, u_sel);
    r.cs = 0x17;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    TRY0("xor %%eax, %%eax\n mov %%eax, %%es");
    op.arg2.nr_ents = 0;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
    TRY("mov $0x0f, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(TRAP_GP));
    page_set_rw(ldt);
    op.arg2.nr_ents = 8193;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), -EINVAL);
    op.arg2.nr_ents = 16;
    op.arg1.linear_addr = (uint64_t)ldt + 1;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), -EINVAL);
    op.arg1.linear_addr = HYPERVISOR_VIRT_START + 0x10000000000;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), -EINVAL);
    /* an LDT where nothing is mapped: the fault is the guest's, at the LDT's address */
    op.arg1.linear_addr = 0x60000000;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
    TRY("mov $0x0f, %%eax\n mov %%eax, %%es", : : : "rax");
    print("descriptors: unmapped LDT: entry %d, error 0x%x, cr2 0x%lx\n", last_trap.vector,
          last_trap.regs.error_code, last_trap.cr2);
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(last_trap.cr2, 0x60000008);
    op.arg2.nr_ents = 0;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
}

static void segment_bases(void)
{
    static uint64_t block[2] = { 0x1111, 0x2222 };
    struct cpu_user_regs r;
    uint64_t got;

    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, block), 0);
    __asm__ volatile("mov %%fs:8, %0" : "=r"(got));
    CHECK_EQ(got, 0x2222);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_KERNEL, block), 0);
    __asm__ volatile("mov %%gs:0, %0" : "=r"(got));
    CHECK_EQ(got, 0x1111);
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, HYPERVISOR_VIRT_START + 0x10000000000), 0);
    TRY("mov %%fs:0, %%rax", : : : "rax");
    CHECK(trapped(TRAP_PF));
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, 0), 0);
    /* the user's gs by selector: base from the descriptor, the kernel's gs as it was */
    CHECK_EQ(update(&gdt[8], DATA32 | (USER_STACK_TOP - 2 * PAGE_SIZE) << 16), 0);
    *(uint64_t *)(user_stack + 8) = 0x7777;
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER_SEL, 8 << 3 | 3), 0);
    user_regs_init(&r, u_gs);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rax, 0x7777);
    __asm__ volatile("mov %%gs:0, %0" : "=r"(got));
    CHECK_EQ(got, 0x1111);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER_SEL, 0xfff3) <= 0,
             1); /* bad: null, not our death */
    user_regs_init(&r, u_sel);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    /* null where null is already: the base that was set goes, too */
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER, USER_STACK_TOP - 2 * PAGE_SIZE), 0);
    user_regs_init(&r, u_gs);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(r.rax, 0x7777);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER_SEL, 0), 0);
    user_regs_init(&r, u_gs);
    CHECK_EQ(user_run(&r), TRAP_PF);
    CHECK_EQ(last_trap.cr2, 8);
}

/* Selectors that die under a loaded segment register. */
static void stale_selector(void)
{
    struct cpu_user_regs r;

    CHECK_EQ(update(&gdt[9], DATA32), 0);
    TRY("mov $0x4b, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n mov %%eax, %%fs", : : : "rax");
    CHECK(trapped(-1));
    CHECK_EQ(update(&gdt[9], 0), 0);
    hc(sched_op, SCHEDOP_yield, 0);
    user_regs_init(&r, u_sel);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    CHECK_EQ(set_gdt(0, 0), 0); /* no table at all */
    TRY("mov $0x13, %%eax\n mov %%eax, %%es", : : : "rax");
    CHECK(trapped(TRAP_GP) || trapped(TRAP_NP));
    user_regs_init(&r, u_sel);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    page_set_rw(gdt);
    TRY0("xor %%eax, %%eax\n mov %%eax, %%ds\n mov %%eax, %%es\n mov %%eax, %%fs");
    CHECK(trapped(-1));
}

void test_main(void)
{
    gdt_tests();
    updates();
    ldt_tests();
    segment_bases();
    stale_selector();
}
