/*
 * Questions about what a kernel sets up for its CPU, and about what it may do with it: entry points,
 * segments, debug registers, descriptors, privileged instructions, MSRs, ports, CPUID.
 */
#include "answers.h"

static char *page, *read_only;

/* ---- entry points, segments, debug registers, descriptors ---- */

static const struct place entries[] = {
    { "not-canonical", NONCANONICAL },
    { "edge", 1UL << 47 },
    { "below-edge", (1UL << 47) - 1 },
    { "hypervisor", HYPERVISOR_VIRT_START },
    { "max", ~0UL },
};

static void callbacks(void)
{
    struct callback_register r;
    struct callback_unregister u;
    struct xennmi_callback nmi;
    struct trap_info traps[2];

    for (uint16_t type = 0; type < 10; type++) {
        for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++) {
            r = (struct callback_register){ .type = type, .address = entries[i].va };
            ANSWER(hc(callback_op, CALLBACKOP_register, &r), "callback.%u.%s", type,
                   entries[i].name);
        }
        u = (struct callback_unregister){ .type = type };
        ANSWER(hc(callback_op, CALLBACKOP_unregister, &u), "callback.%u.unregister", type);
    }
    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++) {
        ANSWER(hc(callback_op, CALLBACKOP_register, places[p].va), "callback.register.%s",
               places[p].name);
        ANSWER(hc(callback_op, CALLBACKOP_unregister, places[p].va), "callback.unregister.%s",
               places[p].name);
        ANSWER(hc(nmi_op, XENNMI_register_callback, places[p].va), "nmi.%s", places[p].name);
        if (places[p].va)
            ANSWER(hc(set_trap_table, places[p].va), "trap-table.%s", places[p].name);
    }
    ANSWER(hc(callback_op, 2, page), "callback.unknown-2");
    ANSWER(hc(callback_op, ~0u, page), "callback.unknown-max");
    for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++) {
        uint64_t bad = entries[i].va, good = (uint64_t)event_entry;

        ANSWER(hc(set_callbacks, bad, good, good), "callbacks.event.%s", entries[i].name);
        ANSWER(hc(set_callbacks, good, bad, good), "callbacks.failsafe.%s", entries[i].name);
        ANSWER(hc(set_callbacks, good, good, bad), "callbacks.syscall.%s", entries[i].name);
        nmi = (struct xennmi_callback){ .handler_address = bad };
        ANSWER(hc(nmi_op, XENNMI_register_callback, &nmi), "nmi.%s-handler", entries[i].name);
        memset(traps, 0, sizeof(traps));
        traps[0] = (struct trap_info){ .vector = 200, .cs = FLAT_KERNEL_CS, .address = bad };
        ANSWER(hc(set_trap_table, traps), "trap-table.%s-handler", entries[i].name);
    }
    ANSWER(hc(nmi_op, XENNMI_unregister_callback, 0), "nmi.unregister");
    ANSWER(hc(nmi_op, 2, page), "nmi.unknown-2");
    memset(traps, 0, sizeof(traps));
    ANSWER(hc(set_trap_table, traps), "trap-table.empty");
    for (unsigned int flags = 0; flags < 256; flags = flags * 2 + 1) {
        traps[0] = (struct trap_info){ 201, (uint8_t)flags, FLAT_KERNEL_CS, (uint64_t)trap_stubs };
        ANSWER(hc(set_trap_table, traps), "trap-table.flags-%u", flags);
    }
    for (unsigned int cs = 0; cs < 4; cs++) {
        static const uint16_t selectors[] = { 0, 0xe008, 0xe033, 0xffff };

        traps[0] = (struct trap_info){ 202, 0, selectors[cs], (uint64_t)trap_stubs };
        ANSWER(hc(set_trap_table, traps), "trap-table.cs-%x", selectors[cs]);
    }
    traps_init();
    events_init();
}

static void segments(void)
{
    static const struct place bases[] = {
        { "zero", 0 },
        { "not-canonical", NONCANONICAL },
        { "edge", 1UL << 47 },
        { "below-edge", (1UL << 47) - 1 },
        { "hypervisor", HYPERVISOR_VIRT_START },
    };

    for (unsigned int which = 0; which < 6; which++)
        for (unsigned int i = 0; i < ARRAY_SIZE(bases); i++)
            ANSWER(hc(set_segment_base, which, bases[i].va), "segment.%u.%s", which, bases[i].name);
    for (unsigned int which = 0; which < 3; which++)
        hc(set_segment_base, which, 0);
    ANSWER(hc(stack_switch, 0, 0), "stack_switch.null");
    ANSWER(hc(stack_switch, 0xffff, NONCANONICAL), "stack_switch.not-canonical");
    ANSWER(hc(stack_switch, FLAT_KERNEL_SS, trap_stack_top), "stack_switch");
    ANSWER(hc(fpu_taskswitch, 1), "fpu_taskswitch.1");
    ANSWER(hc(fpu_taskswitch, 77), "fpu_taskswitch.77");
    ANSWER(hc(fpu_taskswitch, 0), "fpu_taskswitch.0");
}

static void debug_registers(void)
{
    static const uint64_t dr7s[] = { 0,       0x400,   1,       2,         0x100,    0x2000,
                                     0x10000, 0x20001, 0x30001, 0x40001,   0xf0001,  0x80001,
                                     0xff,    0xffff,  0xd00,   1UL << 32, 1UL << 63 };
    static const uint64_t dr6s[] = { 0, 0xffff0ff0, 1, 0xf, 0x1000, 0xe00f, 1UL << 32, ~0UL };

    for (unsigned int n = 0; n < 10; n++)
        ANSWER(hc(get_debugreg, n), "get_debugreg.%u", n);
    ANSWER(hc(get_debugreg, ~0u), "get_debugreg.max");
    for (unsigned int n = 0; n < 10; n++) {
        for (unsigned int i = 0; n < 4 && i < ARRAY_SIZE(entries); i++)
            ANSWER(hc(set_debugreg, n, entries[i].va), "set_debugreg.%u.%s", n, entries[i].name);
        if (n != 6 && n != 7) {
            ANSWER(hc(set_debugreg, n, 0x1234), "set_debugreg.%u", n);
            ANSWER(hc(get_debugreg, n), "set_debugreg.%u.get", n);
        }
        hc(set_debugreg, n, 0);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(dr6s); i++) {
        ANSWER(hc(set_debugreg, 6, dr6s[i]), "set_debugreg.6.%lx", dr6s[i]);
        ANSWER(hc(get_debugreg, 6), "set_debugreg.6.%lx.get", dr6s[i]);
    }
    hc(set_debugreg, 6, 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(dr7s); i++) {
        ANSWER(hc(set_debugreg, 7, dr7s[i]), "set_debugreg.7.%lx", dr7s[i]);
        ANSWER(hc(get_debugreg, 7), "set_debugreg.7.%lx.get", dr7s[i]);
        hc(set_debugreg, 7, 0);
    }
}

static void descriptors(void)
{
    const uint64_t code64 = 0x00affb000000ffffUL; /* flat, DPL 3 */
    uint64_t *table = (uint64_t *)read_only, got;
    xen_pfn_t frames[14] = { virt_to_mfn(table) };

    ANSWER(hc(set_gdt, frames, 512), "gdt.512");
    ANSWER(hc(set_gdt, frames, 0), "gdt.0");
    ANSWER(hc(set_gdt, frames, 14 * 512), "gdt.14-frames"); /* 13 of them are frame 0 */
    ANSWER(hc(set_gdt, frames, 14 * 512 + 1), "gdt.too-long");
    ANSWER(hc(set_gdt, frames, ~0u), "gdt.max");
    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
        ANSWER(hc(set_gdt, places[p].va, 512), "gdt.%s", places[p].name);
    hc(set_gdt, frames, 512);
    /* each type at each privilege: what is refused, and what becomes of it */
    for (uint64_t type = 0; type < 32; type++) {
        for (uint64_t dpl = 0; dpl < 4; dpl++) {
            uint64_t d = (code64 & ~(0x7fUL << 40)) | type << 40 | dpl << 45;

            table = (uint64_t *)read_only;
            ANSWER(hc(update_descriptor, virt_to_maddr(&table[5]), d), "descriptor.%x.dpl-%x",
                   (unsigned int)type, (unsigned int)dpl);
            got = table[5];
            ANSWER(got >> 40 & 0xff, "descriptor.%x.dpl-%x.access", (unsigned int)type,
                   (unsigned int)dpl);
            hc(update_descriptor, virt_to_maddr(&table[5]), 0);
        }
    }
    for (unsigned int bit = 0; bit < 64; bit++) { /* one bit other than in a good one */
        ANSWER(hc(update_descriptor, virt_to_maddr(&table[5]), code64 ^ 1UL << bit),
               "descriptor.bit-%u", bit);
        got = table[5] ^ code64 ^ 1UL << bit;
        ANSWER(got & ~(1UL << 40), "descriptor.bit-%u.changed", bit);
        hc(update_descriptor, virt_to_maddr(&table[5]), 0);
    }
    ANSWER(hc(update_descriptor, virt_to_maddr(table) + 4, code64), "descriptor.misaligned");
    ANSWER(hc(update_descriptor, ~7UL, code64), "descriptor.no-frame");
    ANSWER(hc(update_descriptor, 0, code64), "descriptor.frame-0");
    ANSWER(hc(update_descriptor, virt_to_maddr(kernel_root), code64), "descriptor.table");
    ANSWER(hc(update_descriptor, virt_to_maddr(page), code64), "descriptor.plain");
    ANSWER(hc(set_gdt, frames, 0), "gdt.none");
}

/* ---- instructions that a kernel in ring 3 would not have by itself ---- */

static void instructions(void)
{
    static struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) table = { 7, 0 };
    uint64_t v = 0;

#define INSTRUCTION(name, insns, ...)                                 \
    do {                                                              \
        TRY(insns, __VA_ARGS__);                                      \
        ANSWER(last_trap.vector, "insn." name);                       \
        if (last_trap.vector >= 0)                                    \
            ANSWER(last_trap.regs.error_code, "insn." name ".error"); \
    } while (0)
#define PLAIN(name, insns) INSTRUCTION(name, insns, : : "a"(0), "c"(0), "d"(0) : "rbx", "memory")
    PLAIN("cli", "cli");
    PLAIN("sti", "sti");
    PLAIN("hlt", "hlt");
    PLAIN("clts", "clts");
    PLAIN("wbinvd", "wbinvd");
    PLAIN("invd", "invd");
    PLAIN("invlpg", "invlpg (%0)");
    PLAIN("rdtsc", "rdtsc");
    PLAIN("rdpmc", "rdpmc");
    PLAIN("swapgs", "swapgs");
    PLAIN("sysret", "sysretq");
    PLAIN("sysexit", "sysexitq");
    PLAIN("vmcall", "vmcall");
    PLAIN("vmmcall", "vmmcall");
    PLAIN("monitor", "monitor");
    PLAIN("mwait", "mwait");
    PLAIN("xgetbv", "xgetbv");
    PLAIN("xsetbv", "xsetbv");
    PLAIN("ud2", "ud2");
    PLAIN("int3", "int3");
    PLAIN("int-80", "int $0x80");
    PLAIN("int-e", "int $0xe");
    PLAIN("int-20", "int $0x20");
    PLAIN("mov-ss-0", "mov %%eax, %%ss");
    PLAIN("ltr", "ltr %%ax");
    PLAIN("lldt", "lldt %%ax");
    INSTRUCTION("lgdt", "lgdt %0", : : "m"(table) : "memory");
    INSTRUCTION("lidt", "lidt %0", : : "m"(table) : "memory");
    INSTRUCTION("smsw", "smsw %0", : "=r"(v) : : "memory");
    INSTRUCTION("lmsw", "lmsw %%ax", : : "a"(0) : "memory");
#define MOVE(name)                                                                      \
    do {                                                                                \
        INSTRUCTION("read-" name, "mov %%" name ", %0", : "=r"(v) : "0"(v) : "memory"); \
        INSTRUCTION("write-back-" name, "mov %0, %%" name, : : "r"(v) : "memory");      \
    } while (0)
    MOVE("cr0");
    MOVE("cr2");
    MOVE("cr3");
    MOVE("cr4");
    MOVE("cr8");
    MOVE("dr0");
    MOVE("dr4");
    MOVE("dr6");
    MOVE("dr7");
    __asm__ volatile("mov %%cr0, %0" : "=r"(v));
    ANSWER(v, "cr0.value");
    __asm__ volatile("mov %%cr4, %0" : "=r"(v));
    ANSWER(v, "cr4.value");
    for (unsigned int bit = 0; bit < 32; bit++) {
        TRY("mov %0, %%cr4", : : "r"(v ^ 1UL << bit) : "memory");
        ANSWER(last_trap.vector, "cr4.write-bit-%u", bit);
        TRY("mov %0, %%cr4", : : "r"(v) : "memory");
    }
    events_init();
}

static void msrs(void)
{
    static const uint32_t nrs[] = {
        0x10,       0x11,       0x17,       0x1b,       0x3a,       0x48,       0x49,
        0x79,       0x8b,       0xce,       0xcf,       0xfe,       0x10a,      0x10b,
        0x122,      0x174,      0x175,      0x176,      0x179,      0x17a,      0x17b,
        0x186,      0x198,      0x199,      0x19c,      0x1a0,      0x1ad,      0x1d9,
        0x200,      0x250,      0x277,      0x2ff,      0x345,      0x400,      0x480,
        0x606,      0x6e0,      0x800,      0xd90,      0xda0,      0xdeadbeef, 0x40000000,
        0x40000001, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, 0xc0000100,
        0xc0000101, 0xc0000102, 0xc0000103, 0xc0010010, 0xc0010015, 0xc001001a, 0xc001001f,
        0xc0010061, 0xc0010114, 0xc0011002, 0xc0011004, 0xc0011020, 0xc0011029, 0xc001103a,
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(nrs); i++) {
        uint32_t lo = 0, hi = 0;
        int vector;

        TRY("rdmsr", : "+a"(lo), "+d"(hi) : "c"(nrs[i]) : "memory");
        vector = last_trap.vector;
        ANSWER(vector, "msr.%x.read", nrs[i]);
        if (vector >= 0)
            continue;
        if (nrs[i] != 0x10) /* the time */
            ANSWER((uint64_t)hi << 32 | lo, "msr.%x.value", nrs[i]);
        if (nrs[i] == 0x40000000 || nrs[i] == 0x10)
            continue;
        TRY("wrmsr", : : "a"(lo), "d"(hi), "c"(nrs[i]) : "memory");
        ANSWER(last_trap.vector, "msr.%x.write-back", nrs[i]);
    }
}

/* Which ports the first domain may read; what is there is not asked. */
static void ports(void)
{
    static const uint16_t nrs[] = { 0x0,   0x20,  0x21,  0x40,  0x42,  0x43,  0x60,
                                    0x61,  0x64,  0x71,  0x80,  0xa0,  0xa1,  0x1f0,
                                    0x2f8, 0x3c0, 0x3f8, 0x3fd, 0x3ff, 0xb2,  0xb3,
                                    0xcf8, 0xcf9, 0xcfc, 0x510, 0x600, 0x604, 0x608 };

    for (unsigned int i = 0; i < ARRAY_SIZE(nrs); i++) {
        TRY("in %%dx, %%al", : : "d"(nrs[i]) : "rax", "memory");
        ANSWER(last_trap.vector, "port.%x", nrs[i]);
    }
    TRY("mov $0xcf8, %%edx\n in %%dx, %%eax", : : : "rax", "rdx", "memory");
    ANSWER(last_trap.vector, "port.cf8.dword");
    TRY("mov $0xffff, %%edx\n in %%dx, %%eax", : : : "rax", "rdx", "memory");
    ANSWER(last_trap.vector, "port.beyond-the-last");
}

static void cpuids(void)
{
    static const uint32_t leaves[][2] = {
        { 1, 0 },          { 4, 0 },          { 5, 0 },          { 6, 0 },
        { 7, 0 },          { 7, 1 },          { 0xa, 0 },        { 0xd, 0 },
        { 0xd, 1 },        { 0x40000000, 0 }, { 0x40000001, 0 }, { 0x40000002, 0 },
        { 0x40000003, 0 }, { 0x40000003, 1 }, { 0x40000004, 0 }, { 0x40000005, 0 },
        { 0x40000100, 0 }, { 0x80000000, 0 }, { 0x80000001, 0 }, { 0x80000007, 0 },
        { 0x80000008, 0 }, { 0x8000000a, 0 },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(leaves); i++) {
        struct cpuid_leaf l = xen_cpuid(leaves[i][0], leaves[i][1]);

        ANSWER(l.a, "cpuid.%x.%u.a", leaves[i][0], leaves[i][1]);
        ANSWER(leaves[i][0] == 1 ? l.b & 0xffffff : l.b, "cpuid.%x.%u.b", leaves[i][0],
               leaves[i][1]);
        if (leaves[i][0] == 0x40000003 && leaves[i][1] == 0)
            l.c = l.c != 0; /* kHz, as measured */
        ANSWER(l.c, "cpuid.%x.%u.c", leaves[i][0], leaves[i][1]);
        ANSWER(l.d, "cpuid.%x.%u.d", leaves[i][0], leaves[i][1]);
    }
}

void test_main(void)
{
    page = page_alloc();
    read_only = page_alloc();
    page_set_ro(read_only);
    callbacks();
    segments();
    debug_registers();
    descriptors();
    instructions();
    msrs();
    ports();
    cpuids();
}
