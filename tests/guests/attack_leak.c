/*
 * The rule: a vCPU sees its own registers and nobody else's, and no answer holds what is the
 * hypervisor's. Tried: several vCPUs that share CPUs and move between them, each with a pattern of
 * its own in all that a CPU holds of a context (x87, SSE and AVX registers, their control words, the
 * selectors, bases, debug registers, TS, XCR0, TSC_AUX, CR2), looked at after whatever may switch;
 * and all hypercalls that answer in memory or registers, for padding, for bytes behind the structure
 * and for addresses of the hypervisor's.
 */
#include "guest.h"

#include <xen/platform.h>

#define DATA32 0x00cff3000000ffffUL
#define SEL(v) ((unsigned int)((8 + (v)) << 3 | 3))

static bool have_xsave, have_avx, have_aux;

struct fxsave {
    uint16_t fcw, fsw;
    uint8_t ftw, pad;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16];
    uint64_t xmm[16][2];
    uint8_t rest[96];
};

/* A vCPU's own; aligned for FXSAVE. */
static struct own {
    struct fxsave image;
    uint64_t ymm[4], got_ymm[4];
    double operand;
    volatile uint64_t watched;
    volatile uint64_t rounds, hits;
} __attribute__((aligned(64))) own[MAX_VCPUS];

static uint64_t *gdt;
static uint64_t all_rounds;

static uint64_t rd(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return (uint64_t)hi << 32 | lo;
}

static void on_db(struct cpu_user_regs *regs)
{
    own[this_vcpu()].hits++;
    hc(set_debugreg, 6, 0xffff0ff0);
}

/* Away, or into the hypervisor and back, in one of the ways there are. */
static void something(unsigned int me, uint64_t round)
{
    struct sched_poll poll = { .timeout = now() + 50000 };
    uint64_t v;

    switch (round % 7) {
    case 0: yield(); break;
    case 1: hc(sched_op, SCHEDOP_poll, &poll); break;
    case 2: xen_cpuid(1, 0); break;
    case 3: CHECK(!try_read64((void *)(0x10000UL + me * 0x1000), &v)); break;
    case 4: __asm__ volatile("mov %%cr4, %0" : "=r"(v)); break;
    case 5:
        for (unsigned int i = 0; i < 3000; i++)
            cpu_relax();
        break;
    default: hc(set_timer_op, now() + 20000); hc(sched_op, SCHEDOP_poll, &poll);
    }
}

static void set_up(unsigned int me)
{
    xen_pfn_t frames[14] = { virt_to_mfn(gdt) };
    struct own *o = &own[me];
    uint64_t cr4;

    CHECK_EQ(hc(set_gdt, frames, 512), 0);
    o->operand = 0;
    ((uint32_t *)&o->operand)[1] = 0x3ff00000 + me; /* 1 and a bit */
    if (have_xsave) {
        __asm__ volatile("mov %%cr4, %0\n or $0x40000, %0\n mov %0, %%cr4" : "=&r"(cr4));
        __asm__ volatile("xsetbv" : : "a"(have_avx && me % 2 == 0 ? 7 : 3), "d"(0), "c"(0));
    }
    CHECK_EQ(hc(set_debugreg, 0, &o->watched), 0);
    CHECK_EQ(hc(set_debugreg, 1, 0x111000 + me), 0);
    CHECK_EQ(hc(set_debugreg, 2, 0x222000 + me), 0);
    CHECK_EQ(hc(set_debugreg, 3, 0x333000 + me), 0);
    CHECK_EQ(hc(set_debugreg, 7, 0x400 | 3 | 0xd << 16), 0);
}

static void contexts(unsigned int me)
{
    struct own *o = &own[me];
    struct fxsave in, *out = &o->image;
    bool avx = have_avx && me % 2 == 0;

    set_up(me);
    for (uint64_t round = 1; phase_until(&all_rounds, 2000); round++) {
        uint64_t p = ((uint64_t)me + 1) << 40 | round << 8, got, before;
        uint16_t cw = 0x27f | (uint16_t)(me & 3) << 10, ds, es, fs, gs;
        uint32_t mxcsr = 0x1f80 | (me & 3) << 13, aux = 0, a, d;

        hc(fpu_taskswitch, 0);
        for (unsigned int i = 0; i < 16; i++)
            in.xmm[i][0] = in.xmm[i][1] = p + i;
        for (unsigned int i = 0; i < 4; i++)
            o->ymm[i] = p * (i + 3);
        __asm__ volatile("fninit\n fldcw %0\n ldmxcsr %1\n fldl %2\n fldl %2"
                         :
                         : "m"(cw), "m"(mxcsr), "m"(o->operand));
#define EACH(insn)                                                                           \
    insn(0) insn(1) insn(2) insn(3) insn(4) insn(5) insn(6) insn(7) insn(8) insn(9) insn(10) \
        insn(11) insn(12) insn(13) insn(14) insn(15)
#define LOAD(n) "movdqu " #n "*16(%0), %%xmm" #n "\n"
        __asm__ volatile(EACH(LOAD) : : "r"(in.xmm) : "memory");
        if (avx)
            __asm__ volatile("vmovdqu %0, %%ymm13" : : "m"(o->ymm));
        __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs"
                         :
                         : "r"(SEL(me)));
        hc(set_segment_base, SEGBASE_FS, p | 1);
        hc(set_segment_base, SEGBASE_GS_KERNEL, p | 2);
        hc(set_segment_base, SEGBASE_GS_USER, p | 3);
        if (have_aux)
            __asm__ volatile("wrmsr" : : "a"((uint32_t)p), "d"(0), "c"(0xc0000103));
        __asm__ volatile("mov %0, %%cr2" : : "r"(p));
        if (round % 5 == 0)
            hc(fpu_taskswitch, 1);

        something(me, round);

        __asm__ volatile("mov %%cr0, %0" : "=r"(got));
        CHECK_EQ(got >> 3 & 1, round % 5 == 0);
        hc(fpu_taskswitch, 0);
        if (round % 7 != 3) {
            __asm__ volatile("mov %%cr2, %0" : "=r"(got));
            CHECK_EQ(got, p);
        }
        __asm__ volatile("fxsave64 %0" : "=m"(*out));
        if (avx)
            __asm__ volatile("vmovdqu %%ymm13, %0" : "=m"(o->got_ymm));
        CHECK_EQ(out->fcw, cw);
        CHECK_EQ(out->mxcsr, mxcsr);
        CHECK_EQ(out->ftw, 0xc0);
        CHECK_EQ(*(uint64_t *)out->st[0], 1UL << 63 | (uint64_t)me << 43);
        CHECK(out->fdp == 0 || out->fdp == (uint64_t)&o->operand);
        CHECK(out->fip == 0 || out->fip >> 24 == VIRT_BASE >> 24);
        for (unsigned int i = 0; i < 16; i++)
            if (!avx || i != 13) {
                CHECK_EQ(out->xmm[i][0], p + i);
                CHECK_EQ(out->xmm[i][1], p + i);
            }
        if (avx)
            CHECK_EQ(memcmp(o->ymm, o->got_ymm, sizeof(o->ymm)), 0);
        __asm__ volatile("mov %%ds, %w0\n mov %%es, %w1\n mov %%fs, %w2\n mov %%gs, %w3"
                         : "=r"(ds), "=r"(es), "=r"(fs), "=r"(gs));
        CHECK(ds == SEL(me) && es == SEL(me) && fs == SEL(me) && gs == SEL(me));
        CHECK_EQ(rd(0xc0000100), p | 1);
        CHECK_EQ(rd(0xc0000101), p | 2);
        CHECK_EQ(rd(0xc0000102), p | 3);
        if (have_aux) {
            __asm__ volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
            CHECK_EQ(aux, (uint32_t)p);
        }
        if (have_xsave) {
            __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
            CHECK_EQ(a, avx ? 7 : 3);
        }
        CHECK_EQ(hc(get_debugreg, 1), 0x111000 + me);
        CHECK_EQ(hc(get_debugreg, 3), 0x333000 + me);
        /* our own word hits, a neighbour's does not */
        before = o->hits;
        o->watched = round;
        CHECK_EQ(o->hits, before + 1);
        before = o->hits;
        own[(me + 1) % nr_vcpus].watched = round;
        o->rounds = round;
        CHECK_EQ(o->hits, before);
        __atomic_fetch_add(&all_rounds, 1, __ATOMIC_RELAXED);
    }
    hc(set_debugreg, 7, 0);
    __asm__ volatile("mov %0, %%ds\n mov %0, %%es\n mov %0, %%fs\n mov %0, %%gs" : : "r"(0));
    __asm__ volatile("fninit\n ldmxcsr %0" : : "m"((uint32_t){ 0x1f80 }));
}

/* ---- answers ---- */

static bool is_hv_pointer(uint64_t v)
{
    return v >= HYPERVISOR_VIRT_START && v < HYPERVISOR_VIRT_END;
}

static uint8_t answer_buffer[2 * PAGE_SIZE] __attribute__((aligned(4096)));

/* The call answered in so many bytes of answer_buffer, which began as in (in_bytes) and poison. */
static void look(const char *what, unsigned int nr, uint64_t a1, uint64_t a2, uint64_t a3,
                 unsigned int buffer_arg, const void *in, size_t in_bytes, size_t bytes)
{
    uint64_t a[3] = { a1, a2, a3 };
    unsigned int beyond = 0, secrets = 0;
    long rc;

    memset(answer_buffer, 0xa5, sizeof(answer_buffer));
    memcpy(answer_buffer, in, in_bytes);
    a[buffer_arg] = (uint64_t)answer_buffer;
    rc = hypercall(nr, a[0], a[1], a[2]);
    for (size_t i = bytes; i < sizeof(answer_buffer); i++)
        beyond += answer_buffer[i] != 0xa5;
    for (size_t i = 0; i + 8 <= bytes; i++) {
        uint64_t v;

        memcpy(&v, answer_buffer + i, 8);
        secrets += is_hv_pointer(v) && v > MACH2PHYS_VIRT_END; /* where the M2P is they may know */
    }
    if (on_xen() && secrets) /* XENPF_* there answers with a word of its stack */
        print("attack_leak: %s: %u secrets of Xen's\n", what, secrets);
    else if (beyond || secrets)
        check_failed(0, "%s: %ld, %u bytes beyond, %u secrets", what, rc, beyond, secrets);
}

static void answers(void)
{
    struct xen_platform_op pop = { .interface_version = XENPF_INTERFACE_VERSION };
    struct physdev_irq_status_query query = { .irq = 9 };
    struct physdev_apic apic = { .apic_physbase = 0xfec00000 };
    struct physdev_irq irq = { .irq = 9 };
    struct evtchn_status status = { .dom = DOMID_SELF, .port = 1 };
    struct xen_feature_info info = { 0 };
    static const size_t versions[] = { [XENVER_extraversion] = sizeof(xen_extraversion_t),
                                       [XENVER_compile_info] = sizeof(struct xen_compile_info),
                                       [XENVER_capabilities] = sizeof(xen_capabilities_info_t),
                                       [XENVER_changeset] = sizeof(xen_changeset_info_t),
                                       [XENVER_platform_parameters] =
                                           sizeof(struct xen_platform_parameters),
                                       [XENVER_guest_handle] = sizeof(xen_domain_handle_t),
                                       [XENVER_commandline] = sizeof(xen_commandline_t) };
    const unsigned int version = __HYPERVISOR_xen_version, physdev = __HYPERVISOR_physdev_op;

    for (unsigned int i = 0; i < ARRAY_SIZE(versions); i++)
        if (versions[i])
            look("version", version, i, 0, 0, 1, "", 0, versions[i]);
    look("features", version, XENVER_get_features, 0, 0, 1, &info, sizeof(info), sizeof(info));
    look("build_id", version, XENVER_build_id, 0, 0, 1, "\0\0\0", 4, 64);
    look("runstate", __HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 0, 0, 2, "", 0,
         sizeof(struct vcpu_runstate_info));
    CHECK_EQ(*(uint32_t *)(answer_buffer + 4) & ~0xa5a5a5a5u, 0); /* the padding behind state */
    look("physid", __HYPERVISOR_vcpu_op, VCPUOP_get_physid, 0, 0, 2, "", 0,
         sizeof(struct vcpu_get_physid));
    for (unsigned int cmd = 0; cmd < 70; cmd++) {
        if (cmd == XENPF_enter_acpi_sleep || cmd == XENPF_settime32 || cmd == XENPF_settime64)
            continue;
        memset(&pop.u, 0, sizeof(pop.u));
        pop.cmd = cmd;
        look("platform_op", __HYPERVISOR_platform_op, 0, 0, 0, 0, &pop, sizeof(pop), sizeof(pop));
    }
    look("irq_status", physdev, PHYSDEVOP_irq_status_query, 0, 0, 1, &query, sizeof(query),
         sizeof(query));
    for (apic.reg = 0; apic.reg < 64; apic.reg++)
        look("apic_read", physdev, PHYSDEVOP_apic_read, 0, 0, 1, &apic, sizeof(apic), sizeof(apic));
    look("irq_vector", physdev, PHYSDEVOP_alloc_irq_vector, 0, 0, 1, &irq, sizeof(irq),
         sizeof(irq));
    for (status.port = 0; status.port < 16; status.port++)
        look("evtchn_status", __HYPERVISOR_event_channel_op, EVTCHNOP_status, 0, 0, 1, &status,
             sizeof(status), sizeof(status));
    {
        struct xen_machphys_mapping mapping = { 0 };
        struct xen_memory_map map = { .nr_entries = 64 };

        look("machphys_mapping", __HYPERVISOR_memory_op, XENMEM_machphys_mapping, 0, 0, 1, "", 0,
             sizeof(mapping));
        set_xen_guest_handle(map.buffer, (void *)(answer_buffer + PAGE_SIZE));
        memset(answer_buffer, 0xa5, sizeof(answer_buffer));
        if (hc(memory_op, XENMEM_machine_memory_map, &map) == 0)
            for (unsigned int i = map.nr_entries * 20; i < PAGE_SIZE; i++)
                CHECK_EQ(answer_buffer[PAGE_SIZE + i], 0xa5);
    }
}

static volatile uint64_t registers_out[12] __attribute__((used));

/* Registers that a hypercall comes back with: the caller's, but for rax, rcx and r11. */
static void registers(void)
{
    static const uint8_t calls[][2] = {
        { __HYPERVISOR_xen_version, XENVER_version },
        { __HYPERVISOR_xen_version, 99 },
        { __HYPERVISOR_sched_op, SCHEDOP_yield },
        { __HYPERVISOR_vcpu_op, 99 },
        { __HYPERVISOR_set_timer_op, 0 },
        { __HYPERVISOR_fpu_taskswitch, 0 },
        { __HYPERVISOR_get_debugreg, 6 },
        { __HYPERVISOR_update_descriptor, 1 },
        { __HYPERVISOR_memory_op, 200 },
        { 63, 1 },
        { 250, 1 },
    };
    volatile uint64_t *const out = registers_out;
    unsigned int changed = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++) {
        uint64_t rax = calls[i][0], rdi = calls[i][1], rsi = 0, rdx = 0;

        __asm__ volatile("mov $0x111, %%ebx\n mov $0x222, %%r12d\n mov $0x333, %%r13d\n"
                         "mov $0x444, %%r14d\n mov $0x555, %%r15d\n mov $0x666, %%r8d\n"
                         "mov $0x777, %%r9d\n mov $0x888, %%r10d\n syscall\n"
                         "mov %%rbx, registers_out\n mov %%r12, registers_out + 8\n"
                         "mov %%r13, registers_out + 16\n mov %%r14, registers_out + 24\n"
                         "mov %%r15, registers_out + 32\n mov %%r8, registers_out + 40\n"
                         "mov %%r9, registers_out + 48\n mov %%r10, registers_out + 56\n"
                         "mov %%rsi, registers_out + 64\n mov %%rdx, registers_out + 72\n"
                         "mov %%rcx, registers_out + 80\n mov %%r11, registers_out + 88\n"
                         : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(rdx)
                         :
                         : "rbx", "rcx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
                           "memory");
        for (unsigned int k = 0; k < 8; k++)
            changed += out[k] != 0x111 * (k + 1);
        changed += out[8] != 0 || out[9] != 0 || rdi != calls[i][1];
        changed += is_hv_pointer(rax) || is_hv_pointer(out[10]) || out[11] >> 22 != 0;
    }
    attack("registers.changed", changed, 0);
}

void test_main(void)
{
    attacks_begin();
    have_xsave = xsave_on(3);
    have_avx = have_xsave && xsave_on(7);
    have_aux = xen_cpuid(0x80000001, 0).d >> 27 & 1;
    print("attack_leak: AVX %u, TSC_AUX %u\n", have_avx, have_aux);
    registers();
    answers();
    gdt = page_alloc();
    for (unsigned int v = 0; v < MAX_VCPUS; v++)
        gdt[8 + v] = DATA32;
    page_set_ro(gdt);
    smp_init();
    trap_hooks[TRAP_DB] = on_db;
    phase("contexts", 1500, contexts);
    for (unsigned int v = 0; v < nr_vcpus; v++)
        CHECK(own[v].rounds > 20);
    print("attack_leak: %lu rounds\n", all_rounds);
}
