/*
 * Bases of FS and GS: one that is not canonical would fault when ring 0 loads it (XSA-193), and with
 * FSGSBASE user mode sets its own, which the kernel's and the next vCPU's must not become (XSA-293).
 */
#include "guest.h"

#define CR4_FSGSBASE 0x10000UL

extern char u_bases[], u_loop_bases[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_bases\n"
        "u_bases: rdgsbase %rax\n rdfsbase %rbx\n wrgsbase %rdi\n wrfsbase %rsi\n syscall\n ud2\n"
        ".popsection");

static uint64_t bad_base(unsigned int i)
{
    static const uint64_t edges[] = { 0x800000000000, 0xffff7fffffffffff, 0x7fffffffffffffff,
                                      0xfffe800000000000, 0x0000800000000001 };

    return i < ARRAY_SIZE(edges) ? edges[i] : 1UL << (47 + i - ARRAY_SIZE(edges));
}
#define NR_BAD (5u + 17)

static bool wrmsr_ok(uint32_t msr, uint64_t v)
{
    TRY("wrmsr", : : "a"((uint32_t)v), "d"((uint32_t)(v >> 32)), "c"(msr) : "memory");
    return trapped(-1);
}

/* Every way that leads to a base; and what is in force afterwards is loaded at a switch. */
static void not_canonical(void)
{
    static struct vcpu_guest_context ctx;
    unsigned int msrs = 0, hypercalls = 0, contexts = 0;

    for (unsigned int i = 0; i < NR_BAD; i++) {
        uint64_t v = bad_base(i);

        for (uint32_t msr = 0xc0000100; msr <= 0xc0000102; msr++)
            msrs += wrmsr_ok(msr, v);
        for (unsigned int which = SEGBASE_FS; which <= SEGBASE_GS_KERNEL; which++)
            hypercalls += hc(set_segment_base, which, v) == 0;
        secondary_context(&ctx, test_main, trap_stack_top);
        for (unsigned int j = 0; j < 3; j++) {
            ctx.fs_base = j == 0 ? v : 0;
            ctx.gs_base_kernel = j == 1 ? v : 0;
            ctx.gs_base_user = j == 2 ? v : 0;
            contexts += hc(vcpu_op, VCPUOP_initialise, 1, &ctx) == 0;
        }
        yield();
    }
    attack("base.by-msr", msrs, 0);
    attack("base.by-hypercall", hypercalls, 0);
    attack("base.by-context", contexts, 0);
    attack("up.of-none-of-them", hc(vcpu_op, VCPUOP_up, 1, 0), -EINVAL);
}

/* Selectors of all kinds: loaded by the hypercall, or refused, never a fault of ring 0. */
static void selectors(void)
{
    for (uint64_t sel = 0; sel < 0x10000; sel += sel < 0x100 || sel >= 0xe000 ? 1 : 0x101)
        CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER_SEL, sel), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER_SEL, 0), 0);
}

/* Without CR4.FSGSBASE of the guest's there are no such instructions; with it, each has its own. */
static void of_the_user(void)
{
    static uint64_t kernel_gs = 0x4b4b;
    uint64_t user_gs = 0x1111, user_fs = 0x2222, cr4 = 0, v = 0;
    unsigned int kernels = 0, users = 0;
    struct cpu_user_regs r;

    user_regs_init(&r, u_bases);
    attack("fsgsbase.off", user_run(&r), TRAP_UD);
    if (!(xen_cpuid(7, 0).b & 1)) {
        print("xsa_193: no FSGSBASE\n");
        return;
    }
    TRY("mov %%cr4, %0\n or %1, %0\n mov %0, %%cr4", : "+r"(cr4) : "r"(CR4_FSGSBASE) : "memory");
    TRY("rdgsbase %0", : "=r"(v) : : "memory");
    if (!trapped(-1)) {
        print("xsa_193: FSGSBASE is not for guests\n");
        return;
    }
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_KERNEL, &kernel_gs), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_GS_USER, user_gs), 0);
    CHECK_EQ(hc(set_segment_base, SEGBASE_FS, user_fs), 0);
    for (unsigned int i = 0; i < 300; i++) {
        user_regs_init(&r, u_bases);
        r.rdi = 0x10000 + i * 8UL;
        r.rsi = 0x7fff00000000 + i;
        CHECK_EQ(user_run(&r), ENTRY_SYSCALL);
        users += r.rax != user_gs || r.rbx != user_fs;
        user_gs = r.rdi;
        user_fs = r.rsi;
        __asm__ volatile("mov %%gs:0, %0" : "=r"(v));
        kernels += v != 0x4b4b;
        if (i % 2)
            yield(); /* the witness runs on this CPU, with bases of its own */
        __asm__ volatile("rdgsbase %0" : "=r"(v));
        kernels += v != (uint64_t)&kernel_gs;
        if (i % 16 == 0) { /* the kernel's change is seen by nobody else */
            __asm__ volatile("wrgsbase %0" ::"r"((uint64_t)&kernel_gs));
            TRY0("int3");
            __asm__ volatile("rdgsbase %0" : "=r"(v));
            kernels += v != (uint64_t)&kernel_gs;
        }
    }
    attack("fsgsbase.kernels", kernels, 0);
    attack("fsgsbase.users", users, 0);
}

void test_main(void)
{
    attacks_begin();
    user_init();
    not_canonical();
    selectors();
    of_the_user();
    witness_check();
}
