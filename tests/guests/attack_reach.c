/*
 * The rule: of the machine's ports, MSRs, control registers and device memory a kernel reaches what
 * the policy gives it, whatever the width, the edge or the way; the interrupt controllers, the PIT,
 * the console's UART, the ports of the PCI configuration and the MSRs of ring 0 it does not. What it
 * reads tells nothing of the hypervisor's, and a refused write changes nothing. Tried: all ports, by
 * three widths at the edges; hostile levels and bitmaps; strings; all MSRs of the used ranges read
 * and written; each bit of CR0, CR4 and XCR0; all leaves of CPUID; the APICs' pages.
 */
#include "guest.h"

#define HV_ADDRESS (HYPERVISOR_VIRT_START + 0x30000001000)

static bool is_hv_pointer(uint64_t v)
{
    return v >= HYPERVISOR_VIRT_START && v < HYPERVISOR_VIRT_END;
}

/* ---- ports ---- */

static uint32_t port_in(unsigned int port, unsigned int bytes)
{
    uint32_t v = 0x5a5a5a5a;

    if (bytes == 1)
        TRY("in %w1, %b0", : "+a"(v) : "d"(port) : "memory");
    else if (bytes == 2)
        TRY("in %w1, %w0", : "+a"(v) : "d"(port) : "memory");
    else
        TRY("in %w1, %0", : "+a"(v) : "d"(port) : "memory");
    return bytes == 4 ? v : v & ((1u << 8 * bytes) - 1);
}

static int port_out(unsigned int port, unsigned int bytes, uint32_t v)
{
    if (bytes == 1)
        TRY("out %b0, %w1", : : "a"(v), "d"(port) : "memory");
    else if (bytes == 2)
        TRY("out %w0, %w1", : : "a"(v), "d"(port) : "memory");
    else
        TRY("out %0, %w1", : : "a"(v), "d"(port) : "memory");
    return last_trap.vector;
}

static const uint16_t forbidden[][2] = { { 0x20, 2 }, { 0xa0, 2 },  { 0x40, 4 },
                                         { 0x61, 1 }, { 0xcf8, 8 }, { 0x3f8, 8 } };

static bool is_forbidden(unsigned int port, unsigned int bytes)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(forbidden); i++)
        if (port < forbidden[i][0] + forbidden[i][1] && port + bytes > forbidden[i][0])
            return true;
    return false;
}

/* Those of the PCI configuration that are emulated. */
static bool is_emulated(unsigned int port, unsigned int bytes)
{
    return (port == 0xcf8 && bytes == 4) || (port >= 0xcfc && port + bytes <= 0xd00) ||
           port == 0x42; /* reads as 0 */
}

static void forbidden_ports(void)
{
    static const uint32_t values[] = { 0, ~0u, 0x06060606, 0x80808080, 0x36363636, 0x0e0e0e0e };
    unsigned int trapped_out = 0, trapped_in = 0, told = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(forbidden); i++)
        for (unsigned int bytes = 1; bytes <= 4; bytes *= 2)
            for (unsigned int p = forbidden[i][0] - bytes + 1u;
                 p < (unsigned int)forbidden[i][0] + forbidden[i][1]; p++) {
                if (!is_forbidden(p, bytes) || is_emulated(p, bytes))
                    continue;
                for (unsigned int v = 0; v < ARRAY_SIZE(values); v++)
                    trapped_out += port_out(p, bytes, values[v]) != -1;
                if (port_in(p, bytes) != ~0u >> (32 - 8 * bytes))
                    told++;
                trapped_in += !trapped(-1);
            }
    attack("ports.forbidden-out-trapped", trapped_out, 0);
    attack("ports.forbidden-in-trapped", trapped_in, 0);
    attack("ports.forbidden-in-told", told, 0);
    /* beyond the last port: what there is wraps or is not there, but does not kill */
    port_in(0xffff, 2);
    port_in(0xffff, 4);
    port_in(0xfffd, 4);
    attack("ports.last", port_in(0xffff, 4), ~0u);
    witness_check();
}

static void all_ports(void)
{
    unsigned int traps = 0;

    for (unsigned int p = 0; p < 0x10000; p++) {
        port_in(p, 1);
        traps += !trapped(-1);
    }
    attack("ports.all-in", traps, 0);
    witness_check();
}

static uint32_t pci_read(uint32_t address, unsigned int port, unsigned int bytes)
{
    port_out(0xcf8, 4, address);
    return port_in(port, bytes);
}

static void pci(void)
{
    uint32_t id = pci_read(0x80000000, 0xcfc, 4), wrong = 0;

    CHECK((id != ~0u && id != 0) == is_dom0());
    CHECK_EQ(pci_read(0x80000000, 0xcfc, 2), id & 0xffff);
    CHECK_EQ(pci_read(0x80000000, 0xcfe, 2), id >> 16);
    CHECK_EQ(pci_read(0x80000000, 0xcff, 1), id >> 24);
    CHECK_EQ(pci_read(0x80000003, 0xcfc, 4), id); /* the low bits do not count */
    CHECK_EQ(pci_read(0x00000000, 0xcfc, 4), ~0u);
    for (unsigned int bytes = 2; bytes <= 4; bytes *= 2)
        for (unsigned int p = 0xd00 - bytes + 1; p < 0xd00; p++)
            wrong += port_in(p, bytes) != ~0u >> (32 - 8 * bytes);
    attack("pci.beyond-data", wrong, 0);
    /* parts of the address are none of its business; cf9 resets the machine */
    port_out(0xcf8, 4, 0x80000000);
    for (unsigned int bytes = 1; bytes <= 4; bytes *= 2)
        for (unsigned int p = 0xcf8 - bytes + 1; p < 0xcfc; p++)
            if (p != 0xcf8 || bytes != 4) {
                port_out(p, bytes, 0x06060606);
                port_out(p, bytes, 0x0e0e0e0e);
            }
    CHECK_EQ(port_in(0xcf8, 4), 0x80000000);
    CHECK_EQ(port_in(0xcfc, 4), id);
    /* all addresses' corners read as something */
    for (unsigned int b = 0; b < 32; b++) {
        pci_read(1u << b, 0xcfc, 4);
        CHECK(trapped(-1));
        pci_read(0x80000000 | 1u << b, 0xcfd, 1);
        CHECK(trapped(-1));
    }
    CHECK_EQ(pci_read(0x80000000, 0xcfc, 4), id);
    witness_check();
}

/* Bytes as no assembler makes them. */
static void odd_instructions(void)
{
    uint64_t v = 0x1111111111111111;
    char page[16];

    TRY(".byte 0x48, 0xed", : "+a"(v) : "d"(0x20) : "memory"); /* REX.W: 32 bits, and zeroes */
    CHECK(trapped(-1));
    CHECK_EQ(v, 0xffffffff);
    TRY(".byte 0xf3, 0x66, 0xed", : "+a"(v) : "d"(0x20) : "memory");
    CHECK(trapped(-1));
    TRY(".byte 0xf0, 0xec", : "+a"(v) : "d"(0x20) : "memory"); /* LOCK */
    CHECK(trapped(TRAP_UD) || trapped(TRAP_GP));
    TRY(".byte 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, "
        "0xec",
        : "+a"(v)
        : "d"(0x20)
        : "memory"); /* 15 bytes */
    CHECK(trapped(-1));
    TRY(".byte 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x2e, "
        "0x2e, 0xec",
        : "+a"(v)
        : "d"(0x20)
        : "memory"); /* 16: none */
    CHECK(trapped(TRAP_GP) || trapped(TRAP_UD));
    /* strings, wherever they lead */
    for (unsigned int i = 0; i < 4; i++) {
        static const uint64_t to[] = { HV_ADDRESS, NONCANONICAL, 0x1000, MACH2PHYS_VIRT_START };
        uint64_t di = i ? to[i] : (uint64_t)page, n = 5;
        int refused = to[i] == 0x1000 ? TRAP_PF : TRAP_GP;

        TRY("rep insb", : "+D"(di), "+c"(n) : "d"(0x80) : "memory");
        CHECK(trapped(i ? refused : -1));
        if (i == 0) {
            CHECK_EQ(di, (uint64_t)page + 5);
            CHECK_EQ(n, 0);
        }
        di = to[i];
        n = 5;
        TRY("rep outsb", : "+S"(di), "+c"(n) : "d"(0x80) : "memory");
        CHECK(trapped(refused));
        n = ~0UL;
        TRY("rep insl", : "+D"(di), "+c"(n) : "d"(0xcfc) : "memory");
        CHECK(trapped(refused));
        n = ~0UL;
        TRY("rep outsl", : "+S"(di), "+c"(n) : "d"(0xcf8) : "memory");
        CHECK(trapped(refused));
    }
    witness_check();
}

extern char u_in[], u_in4[];
__asm__(".pushsection .user, \"ax\"\n.globl u_in, u_in4\n"
        "u_in: in %dx, %al\n syscall\n ud2\n"
        "u_in4: in %dx, %eax\n syscall\n ud2\n.popsection");

static int user_in(const void *label, unsigned int port)
{
    static struct cpu_user_regs r;

    user_regs_init(&r, label);
    r.rdx = port;
    return user_run(&r);
}

static long set_iobitmap(uint64_t at, uint32_t nr)
{
    struct physdev_set_iobitmap map = { .nr_ports = nr };

    set_xen_guest_handle(map.bitmap, (uint8_t *)at);
    return hc(physdev_op, PHYSDEVOP_set_iobitmap, &map);
}

static void levels_and_bitmaps(void)
{
    static const uint64_t bad[] = { HV_ADDRESS,     NONCANONICAL, ~0UL,
                                    ~0UL - 8,       0x1000,       HYPERVISOR_VIRT_START - 1,
                                    (1UL << 47) - 8 };
    uint8_t *bitmap = page_alloc(), *hole = page_alloc();
    struct physdev_set_iopl iopl = { .iopl = 4 };
    unsigned int wrong = 0;

    attack("iopl.4", hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), -EINVAL);
    iopl.iopl = ~0u;
    attack("iopl.max", hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), -EINVAL);
    attack("iobitmap.65537", set_iobitmap((uint64_t)bitmap, 65537), -EINVAL);
    attack("iobitmap.max", set_iobitmap((uint64_t)bitmap, ~0u), -EINVAL);
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        CHECK_EQ(set_iobitmap(bad[i], 65536), 0);
        for (unsigned int p = 0; p < 0x10000; p += 0x1555)
            wrong += user_in(u_in, p) != TRAP_GP || user_in(u_in4, p) != TRAP_GP;
    }
    CHECK_EQ(wrong, 0);
    /* a bitmap whose second byte is not there */
    CHECK_EQ(update_va(hole, 0, UVMF_INVLPG), 0);
    CHECK_EQ(set_iobitmap((uint64_t)hole - 17, 65536), 0);
    CHECK_EQ(user_in(u_in, 16 * 8 + 7), ENTRY_SYSCALL);
    CHECK_EQ(user_in(u_in4, 16 * 8 + 4), ENTRY_SYSCALL);
    CHECK_EQ(user_in(u_in4, 16 * 8 + 5), TRAP_GP);
    /* the bitmap's edge; and a bitmap does not permit what the policy forbids */
    CHECK_EQ(set_iobitmap((uint64_t)bitmap, 0x90), 0);
    CHECK_EQ(user_in(u_in, 0x8f), ENTRY_SYSCALL);
    CHECK_EQ(user_in(u_in4, 0x8c), ENTRY_SYSCALL);
    CHECK_EQ(user_in(u_in4, 0x8d), TRAP_GP);
    CHECK_EQ(user_in(u_in, 0x90), TRAP_GP);
    CHECK_EQ(user_in(u_in, 0x20), ENTRY_SYSCALL);
    CHECK_EQ(last_trap.regs.rax & 0xff, 0xff);
    CHECK_EQ(set_iobitmap(0, 0), 0);
    CHECK_EQ(user_in(u_in, 0x80), TRAP_GP);
    witness_check();
}

/* ---- MSRs ---- */

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

static const uint32_t ranges[][2] = { { 0, 0x1fff },
                                      { 0x40000000, 0x400001ff },
                                      { 0x80000000, 0x8000001f },
                                      { 0xc0000000, 0xc0001fff },
                                      { 0xc0010000, 0xc0011fff },
                                      { 0xffffff00, 0xffffffff } };
/* What may be there, on some CPU. */
static const uint32_t readable[][2] = {
    { 0x10, 0x10 },
    { 0x1b, 0x1b },
    { 0x3a, 0x3a },
    { 0x8b, 0x8b },
    { 0xce, 0xce },
    { 0x10a, 0x10a },
    { 0x140, 0x140 },
    { 0x179, 0x17a },
    { 0x1a0, 0x1a0 },
    { 0x277, 0x277 },
    { 0x400, 0x47f },
    { 0xc0000080, 0xc0000080 },
    { 0xc0000100, 0xc0000103 },
    { 0xc0010000, 0xc0010007 },
    { 0xc0010010, 0xc0010010 },
    { 0xc0010015, 0xc001001d },
    { 0xc0010055, 0xc0010055 },
    { 0xc0010058, 0xc0010058 },
    { 0xc0011029, 0xc0011029 },
};

static bool may_read(uint32_t msr)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(readable); i++)
        if (msr >= readable[i][0] && msr <= readable[i][1])
            return true;
    return false;
}

static bool changes(uint32_t msr) { return msr == 0x10 || msr - 0xc0000100u < 4; }

static uint64_t first[256];

static void msrs_read(bool again)
{
    unsigned int there = 0, secrets = 0, unexpected = 0, changed = 0;

    for (unsigned int r = 0; r < ARRAY_SIZE(ranges); r++)
        for (uint32_t msr = ranges[r][0];; msr++) {
            uint64_t v;
            int entry = rdmsr_try(msr, &v);

            CHECK(entry == -1 || entry == TRAP_GP);
            if (entry == -1) {
                if (!may_read(msr)) {
                    print("attack_reach: MSR 0x%x is there: 0x%lx\n", msr, v);
                    unexpected++;
                }
                secrets += is_hv_pointer(v);
                if (again && !changes(msr) && there < ARRAY_SIZE(first))
                    changed += first[there] != v;
                else if (there < ARRAY_SIZE(first))
                    first[there] = v;
                there++;
            }
            if (msr == ranges[r][1])
                break;
        }
    CHECK(there > 5 && there < ARRAY_SIZE(first));
    if (again) {
        attack("msrs.changed", changed, 0);
        CHECK_EQ(secrets, 0);
        return;
    }
    print("attack_reach: %u MSRs\n", there);
    attack("msrs.unexpected", unexpected, 0);
    attack("msrs.hypervisor-pointers", secrets, 0);
}

static void msrs_write(void)
{
    static const uint64_t values[] = { ~0UL, 0xdeadbeef00000001, 0x1000001, 1, 0 };
    unsigned int wrong = 0;

    for (unsigned int r = 0; r < ARRAY_SIZE(ranges); r++)
        for (uint32_t msr = ranges[r][0];; msr++) {
            for (unsigned int i = 0; i < ARRAY_SIZE(values); i++) {
                int entry = wrmsr_try(msr, values[i]);

                if (entry != TRAP_GP && (entry != -1 || !may_read(msr))) {
                    print("attack_reach: MSR 0x%x = 0x%lx: entry %d\n", msr, values[i], entry);
                    wrong++;
                }
            }
            if (msr == ranges[r][1])
                break;
        }
    attack("msrs.written", wrong, 0);
    for (uint32_t m = 0x12345; m < 0xf0000000; m = m * 3 + 7) {
        uint64_t v;

        if (may_read(m) || m >> 24 == 0x40)
            continue;
        CHECK_EQ(rdmsr_try(m, &v), TRAP_GP);
        CHECK_EQ(wrmsr_try(m, m), TRAP_GP);
    }
    /* the hypercall page: of frames that are not to be had */
    CHECK_EQ(wrmsr_try(0x40000000, virt_to_maddr(kernel_root)), TRAP_GP);
    CHECK_EQ(wrmsr_try(0x40000000, 0xfee00000), TRAP_GP);
    CHECK_EQ(wrmsr_try(0x40000000, 0), TRAP_GP);
    CHECK_EQ(wrmsr_try(0x40000000, ~0xfffUL), TRAP_GP);
    CHECK_EQ(wrmsr_try(0x40000000, 1UL << 52), TRAP_GP);
    CHECK_EQ(wrmsr_try(0x40000000, virt_to_maddr(hypercall_page) | 1), TRAP_GP);
    CHECK_EQ(wrmsr_try(0x40000000, virt_to_maddr(page_alloc())), -1);
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    witness_check();
}

/* ---- control registers ---- */

static uint64_t cr_get(unsigned int n)
{
    uint64_t v = 0;

    if (n == 0)
        TRY("mov %%cr0, %0", : "=r"(v) : : "memory");
    else if (n == 3)
        TRY("mov %%cr3, %0", : "=r"(v) : : "memory");
    else
        TRY("mov %%cr4, %0", : "=r"(v) : : "memory");
    return v;
}

static void control_registers(void)
{
    uint64_t cr0 = cr_get(0), cr3 = cr_get(3), cr4 = cr_get(4), own = 0x8 | 0x4 | 0x40000 | 0x10000;
    unsigned int wrong = 0;

    for (unsigned int b = 0; b < 64; b++) {
        TRY("mov %0, %%cr0", : : "r"(cr0 ^ 1UL << b) : "memory");
        wrong += b == 3 ? !trapped(-1) : !trapped(TRAP_GP);
        TRY("clts", : : : "memory");
        CHECK_EQ(cr_get(0), cr0);
    }
    attack("cr0.bits", wrong, 0);
    for (unsigned int b = wrong = 0; b < 64; b++) {
        TRY("mov %0, %%cr4", : : "r"(cr4 ^ 1UL << b) : "memory");
        CHECK_EQ((cr_get(4) ^ cr4) & ~own, 0);
        wrong += !trapped(-1);
        CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
        TRY("mov %0, %%cr4", : : "r"(cr4) : "memory");
        CHECK_EQ(cr_get(4), cr4);
    }
    CHECK_EQ(wrong, 0);
    for (unsigned int b = wrong = 0; b < 64; b++) {
        if (b >= 12 && 1UL << b < start_info->nr_pages * PAGE_SIZE * 2)
            continue; /* a frame of our own may be a table, an empty one: the end of us */
        TRY("mov %0, %%cr3", : : "r"(cr3 ^ 1UL << b) : "memory");
        wrong += !trapped(TRAP_GP);
        CHECK_EQ(cr_get(3), cr3);
    }
    attack("cr3.bits", wrong, 0);
    TRY("mov %0, %%cr8", : : "r"(15L) : "memory");
    CHECK(!trapped(-1));
    TRY(".byte 0x0f, 0x20, 0xc8", : : : "rax", "memory"); /* CR1 */
    CHECK(!trapped(-1));
    TRY(".byte 0x0f, 0x22, 0xe8", : : : "memory"); /* CR5 */
    CHECK(!trapped(-1));
    TRY(".byte 0x44, 0x0f, 0x22, 0xf8", : : : "memory"); /* CR15 */
    CHECK(!trapped(-1));
    witness_check();
}

static bool xcr0_legal(uint64_t x, uint64_t all)
{
    uint64_t avx512 = x & 0xe0;

    return (x & 1) && !(x & ~all) && (x & 6) != 4 && (!avx512 || (avx512 == 0xe0 && (x & 4)));
}

static void xcr0_bits(void)
{
    uint64_t all = xen_cpuid(13, 0).a;
    unsigned int wrong = 0;

    if (!xsave_on(3))
        return;
    for (unsigned int b = 0; b < 64; b++)
        for (unsigned int with = 0; with < 16; with++) {
            uint64_t x = 1UL << b | with;

            TRY("xsetbv", : : "a"((uint32_t)x), "d"((uint32_t)(x >> 32)), "c"(0) : "memory");
            wrong += xcr0_legal(x, all) ? !trapped(-1) : !trapped(TRAP_GP);
        }
    for (unsigned int index = 1; index; index <<= 1) {
        TRY("xsetbv", : : "a"(3), "d"(0), "c"(index) : "memory");
        wrong += !trapped(TRAP_GP);
    }
    CHECK_EQ(wrong, 0);
    CHECK(xsave_on(3));
    witness_check();
}

/* ---- CPUID ---- */

static void cpuids(void)
{
    uint32_t basic = xen_cpuid(0, 0).a, extended = xen_cpuid(0x80000000, 0).a;
    unsigned int beyond = 0, odd = 0;

    CHECK(basic <= 0x20 && extended <= 0x80000040);
    for (unsigned int r = 0; r < 4; r++)
        for (uint32_t l = 0; l < 0x110; l++)
            for (uint32_t sub = 0; sub < 4; sub++) {
                uint32_t leaf = r << 30 | l;
                struct cpuid_leaf c = xen_cpuid(leaf, sub ? sub * 0x1fu : 0);
                uint32_t any = c.a | c.b | c.c | c.d;

                if (r == 1 ? l > 5 : r == 3 || leaf > (r ? extended : basic))
                    beyond += any != 0;
                odd += is_hv_pointer((uint64_t)c.b << 32 | c.a) ||
                       is_hv_pointer((uint64_t)c.d << 32 | c.c);
            }
    attack("cpuid.beyond", beyond, 0);
    CHECK_EQ(odd, 0);
}

/* ---- device memory ---- */

static void device_memory(void)
{
    static const uint32_t never[] = { 0xfee00, 0xfee01, 0xfee7f, 0xfeeff, 0xfec00 };
    const uint64_t flags = PTE_FLAGS | PTE_PCD;
    volatile uint32_t *page = page_alloc();
    unsigned int taken = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(never); i++) {
        taken += update_va((void *)page, (uint64_t)never[i] << 12 | flags, UVMF_INVLPG) == 0;
        taken +=
            update_va((void *)page, (uint64_t)never[i] << 12 | (flags & ~PTE_RW), UVMF_INVLPG) == 0;
        taken += pte_write(pte_of(kernel_root, (uint64_t)page, 1),
                           (uint64_t)never[i] << 12 | flags) == 0;
    }
    attack("mmio.apics", taken, 0);
    attack("mmio.beyond", update_va((void *)page, 0xfffffffffUL << 12 | flags, UVMF_INVLPG),
           -EPERM);
    if (update_va((void *)page, 0xfed00UL << 12 | flags, UVMF_INVLPG) == 0) { /* HPET */
        uint32_t before = page[4];

        TRY("movl %1, %0", : "=m"(page[4]) : "r"(before ^ 3) : "memory");
        CHECK(trapped(-1) || trapped(TRAP_PF)); /* dropped, or it faults */
        attack("mmio.hpet-written", page[4] != before, 0);
    }
    /* VGA's is domain 0's */
    CHECK_EQ(update_va((void *)page, 0xb8UL << 12 | flags, UVMF_INVLPG), is_dom0() ? 0 : -EPERM);
    page_set_rw((void *)page);
    witness_check();
}

void test_main(void)
{
    struct physdev_set_iopl iopl = { .iopl = 1 };

    attacks_begin();
    user_init();
    CHECK_EQ(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), 0);
    forbidden_ports();
    pci();
    odd_instructions();
    levels_and_bitmaps();
    msrs_read(false);
    msrs_write();
    msrs_read(true);
    control_registers();
    xcr0_bits();
    cpuids();
    device_memory();
    all_ports();
}
