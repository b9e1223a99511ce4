/* Privileged instructions in ring 3, done for the kernel and refused to its user. */
#include "guest.h"

extern char u_cpuid[], u_in[], u_out[], u_rdtsc[], u_rdmsr[], u_cr[], u_str[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_cpuid, u_in, u_out, u_rdtsc, u_rdmsr, u_cr, u_str\n"
        "u_cpuid: cpuid\n syscall\n ud2\n"
        "u_in: in %dx, %al\n syscall\n ud2\n"
        "u_out: out %al, %dx\n syscall\n ud2\n"
        "u_rdtsc: rdtsc\n syscall\n ud2\n"
        "u_rdmsr: rdmsr\n syscall\n ud2\n"
        "u_cr: mov %cr0, %rax\n syscall\n ud2\n"
        "u_str: outsb\n syscall\n ud2\n"
        ".popsection");

static void cpuids(void)
{
    struct cpuid_leaf l = xen_cpuid(0x40000000, 0);
    uint32_t sig[3] = { l.b, l.c, l.d };

    CHECK_EQ(memcmp(sig, "XenVMMXenVMM", 12), 0);
    CHECK(l.a >= 0x40000002);
    l = xen_cpuid(0x40000001, 0);
    CHECK_EQ(l.a, 4 << 16 | 17);
    l = xen_cpuid(0x40000002, 0);
    print("privops: hypercall pages %u, MSR 0x%x\n", l.a, l.b);
    CHECK_EQ(l.a, 1);
    CHECK_EQ(l.b, 0x40000000);
    l = xen_cpuid(1, 0);
    print("privops: leaf 1: %x %x %x %x\n", l.a, l.b, l.c, l.d);
    CHECK(l.d & 1 << 25);                /* SSE */
    CHECK(l.d & 1 << 9);                 /* APIC: as Linux expects of Xen */
    CHECK(!(l.d & 1 << 3));              /* PSE: no superpages for us */
    CHECK(!(l.d & 1 << 12) || on_xen()); /* MTRR: dom0 only, see the policy */
    CHECK(!(l.c & 1 << 5));              /* no VMX */
    l = xen_cpuid(7, 0);
    CHECK(!(l.b & 1 << 7) && !(l.b & 1 << 20)); /* SMEP and SMAP are the hypervisor's */
    CHECK(!(l.b & 1 << 10));                    /* no INVPCID */
    l = xen_cpuid(0x80000001, 0);
    CHECK(l.d & 1u << 29);    /* long mode */
    CHECK(l.d & 1u << 11);    /* SYSCALL */
    CHECK(!(l.d & 1u << 26)); /* no 1 GiB pages */
    CHECK(!(l.c & 1u << 2));  /* no SVM */
    l = xen_cpuid(0x80000008, 0);
    CHECK((l.a & 0xff) >= 36 && (l.a & 0xff) <= 52);
}

static int rdmsr_try(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0;

    TRY("rdmsr", : "+a"(lo), "+d"(hi) : "c"(msr) : "memory");
    *v = (uint64_t)hi << 32 | lo;
    return last_trap.vector;
}

static int wrmsr_try(uint32_t msr, uint64_t v)
{
    TRY("wrmsr", : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr) : "memory");
    return last_trap.vector;
}

static void msrs(void)
{
    static uint64_t here = 0x9090;
    uint64_t v, got;

    CHECK_EQ(rdmsr_try(0xc0000080, &v), -1); /* EFER */
    CHECK((v & 0xd00) == 0xd00 || (v & 0x500) == 0x500);
    CHECK_EQ(wrmsr_try(0xc0000100, (uint64_t)&here), -1); /* FS base */
    __asm__ volatile("mov %%fs:0, %0" : "=r"(got));
    CHECK_EQ(got, 0x9090);
    CHECK_EQ(rdmsr_try(0xc0000100, &v), -1);
    CHECK_EQ(v, (uint64_t)&here);
    CHECK_EQ(wrmsr_try(0xc0000100, NONCANONICAL), TRAP_GP);
    CHECK_EQ(wrmsr_try(0xc0000101, (uint64_t)&here), -1);
    __asm__ volatile("mov %%gs:0, %0" : "=r"(got));
    CHECK_EQ(got, 0x9090);
    CHECK_EQ(wrmsr_try(0xc0000102, 0x1234), -1);
    CHECK_EQ(rdmsr_try(0xc0000102, &v), -1);
    CHECK_EQ(v, 0x1234);
    CHECK_EQ(wrmsr_try(0xc0000102, NONCANONICAL), TRAP_GP);
    /* nothing a guest writes into LSTAR or SYSENTER may arrive there */
    print("privops: LSTAR write: %d, read: %d", wrmsr_try(0xc0000082, 0x1000),
          rdmsr_try(0xc0000082, &v));
    print(" 0x%lx\n", v);
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    print("privops: EFER write: %d\n", wrmsr_try(0xc0000080, 0));
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    CHECK_EQ(rdmsr_try(0x277, &v), -1); /* PAT */
    CHECK_EQ(v, 0x050100070406);
    print("privops: APIC base: %d", rdmsr_try(0x1b, &v));
    print(" 0x%lx; no such MSR: %d\n", v, rdmsr_try(0xdeadbeef, &v));
    CHECK_EQ(rdmsr_try(0xdeadbeef, &v), TRAP_GP);
}

static void control_registers(void)
{
    uint64_t v, cr0;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    CHECK((cr0 & 0x80000001) == 0x80000001);
    CHECK(!(cr0 & 8));
    __asm__ volatile("mov %0, %%cr0" : : "r"(cr0 | 8));
    __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    CHECK_EQ(v, cr0 | 8);
    TRY0("fninit");
    CHECK(trapped(TRAP_NM));
    __asm__ volatile("clts\n mov %%cr0, %0" : "=r"(v));
    CHECK_EQ(v, cr0);
    TRY("mov %0, %%cr0", : : "r"(cr0 & ~(1UL << 31)) : "memory"); /* paging stays */
    __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    CHECK_EQ(v, cr0);
    __asm__ volatile("mov %%cr3, %0" : "=r"(v));
    CHECK_EQ(v, virt_to_maddr(kernel_root));
    TRY("mov %%cr4, %0", : "=r"(v) : : "memory");
    CHECK(trapped(-1));
    print("privops: cr0 0x%lx, cr4 0x%lx\n", cr0, v);
    CHECK(v & 0x20); /* PAE */
    TRY("mov %0, %%cr4", : : "r"(v) : "memory");
    CHECK(trapped(-1));
    TRY("mov (%0), %%eax\n mov %%cr2, %%rax\n", : : "r"(0x123450UL) : "rax");
    __asm__ volatile("mov %%cr2, %0" : "=r"(v));
    CHECK_EQ(v, 0x123450);
    TRY("mov %0, %%cr3", : : "r"(0xfffffffff000UL) : "memory");
    CHECK(!trapped(-1));
    __asm__ volatile("mov %%cr3, %0" : "=r"(v));
    CHECK_EQ(v, virt_to_maddr(kernel_root));
    TRY("mov %%cr8, %0", : "=r"(v) : : "memory");
    CHECK(!trapped(-1));
    TRY("lgdt (%0)", : : "r"(&v) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY("lidt (%0)", : : "r"(&v) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY("ltr %%ax", : : "a"(0xe040) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY0("hlt");
    CHECK(trapped(TRAP_GP));
    TRY0("wbinvd");
    CHECK(trapped(-1));
    TRY0("swapgs");
    CHECK(trapped(TRAP_GP));
    TRY0("sysretq");
    CHECK(trapped(TRAP_GP) || trapped(TRAP_UD));
    TRY0("cli");
    CHECK(trapped(-1) || trapped(TRAP_GP)); /* by the virtual IOPL */
}

static void ports(void)
{
    struct cpu_user_regs r;
    struct physdev_set_iopl iopl = { .iopl = 1 };
    uint8_t v = 0;

    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
    TRY("in $0x71, %%al", : "=a"(v) : : "memory"); /* the clock: the initial domain's */
    CHECK(trapped(-1));
    TRY("out %%al, $0x80", : : "a"(0) : "memory");
    CHECK(trapped(-1));
    TRY("in %%dx, %%al",
        : "=a"(v)
        : "d"(0x20)
        : "memory"); /* the interrupt controller: the hypervisor's */
    print("privops: in 0x20: entry %d, 0x%x\n", last_trap.vector, v);
    CHECK(trapped(TRAP_GP) || v == 0xff);
    TRY("out %%al, %%dx", : : "a"(0), "d"(0x43) : "memory");
    TRY("out %%al, %%dx", : : "a"(0), "d"(0x21) : "memory");
    TRY("mov $0xcf8, %%edx\n mov $0x80000000, %%eax\n out %%eax, %%dx\n mov $0xcfc, %%edx\n in %%dx, %%eax",
        : "=a"(v)
        :
        : "rdx", "memory");
    CHECK(trapped(-1));
    user_init();
    user_regs_init(&r, u_in);
    r.rdx = 0x71;
    CHECK_EQ(user_run(&r), TRAP_GP); /* virtual IOPL 1: not the user */
    user_regs_init(&r, u_out);
    r.rdx = 0x80;
    CHECK_EQ(user_run(&r), TRAP_GP);
    user_regs_init(&r, u_str);
    r.rsi = USER_STACK_TOP - 8;
    r.rdx = 0x80;
    CHECK_EQ(user_run(&r), TRAP_GP);
    iopl.iopl = 3;
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
    user_regs_init(&r, u_in);
    r.rdx = 0x71;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    iopl.iopl = 4;
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), -EINVAL);
    iopl.iopl = 1;
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
}

static void from_user(void)
{
    struct cpu_user_regs r;

    user_regs_init(&r, u_cpuid);
    r.rax = 0;
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    user_regs_init(&r, u_rdtsc);
    CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
    user_regs_init(&r, u_rdmsr);
    r.rcx = 0xc0000080;
    CHECK_EQ(user_run(&r), TRAP_GP);
    user_regs_init(&r, u_cr);
    CHECK_EQ(user_run(&r), TRAP_GP);
}

static void xsetbvs(void)
{
    uint32_t a, d;

    if (!xsave_on(3)) {
        print("privops: no XSAVE\n");
        return;
    }
    TRY("xsetbv", : : "a"(3), "d"(0), "c"(0) : "memory");
    CHECK(trapped(-1));
    TRY("xsetbv", : : "a"(0), "d"(0), "c"(0) : "memory"); /* the x87 part must be set */
    CHECK(trapped(TRAP_GP));
    TRY("xsetbv", : : "a"(5), "d"(0), "c"(0) : "memory"); /* AVX without SSE */
    CHECK(trapped(TRAP_GP));
    TRY("xsetbv", : : "a"(3), "d"(0x80000000), "c"(0) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY("xsetbv", : : "a"(3), "d"(0), "c"(1) : "memory");
    CHECK(trapped(TRAP_GP));
    TRY("xgetbv", : "=a"(a), "=d"(d) : "c"(0) : "memory");
    CHECK_EQ(a, 3);
}

void test_main(void)
{
    cpuids();
    msrs();
    control_registers();
    ports();
    from_user();
    xsetbvs();
}
