/*
 * The initial domain as xl save, restore and dump-core: it gives another domain's vCPU a CPU policy, a
 * TSC and all of a context, lets it run (it has no memory to run in, and crashes) and finds all of it
 * again.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h */
#include "guest.h"

#include <xen/domctl.h>
#include <xen/sysctl.h>

#define ENODATA 61
#define RIP 0xffffffff81000000UL
#define XMM(n) (160 + 16 * (n))
#define MAX_LEAVES 256
#define CX16 (1u << 13)

static struct xen_domctl op;
static struct vcpu_guest_context ctx, got;
static struct {
    uint64_t xcr0, accum;
    uint8_t area[8192 - 16];
} x __attribute__((aligned(64)));
static xen_cpuid_leaf_t leaves[MAX_LEAVES];
static xen_msr_entry_t msrs[16];
static uint64_t mfn; /* of 2 MiB */
static domid_t id;

static void clear(void) { memset(&op, 0, sizeof(op)); }
static long domctl(uint32_t cmd)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}

static void create(void)
{
    xen_pfn_t frame = 0;
    struct xen_memory_reservation r = { .nr_extents = 1, .extent_order = 9 };

    id = 0;
    clear();
    op.u.createdomain.max_vcpus = 2;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = 8;
    op.u.createdomain.max_maptrack_frames = 8;
    op.u.createdomain.grant_opts = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain), 0);
    id = op.domain;
    clear();
    op.u.max_vcpus.max = 2;
    CHECK_EQ(domctl(XEN_DOMCTL_max_vcpus), 0);
    op.u.max_mem.max_memkb = 4096;
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem), 0);
    r.domid = id;
    set_xen_guest_handle(r.extent_start, &frame);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), 1);
    mfn = frame;
}

static long get_context(void)
{
    clear();
    set_xen_guest_handle_raw(op.u.vcpucontext.ctxt, &got);
    return domctl(XEN_DOMCTL_getvcpucontext);
}
static long set_context(void)
{
    clear();
    set_xen_guest_handle_raw(op.u.vcpucontext.ctxt, &ctx);
    return domctl(XEN_DOMCTL_setvcpucontext);
}

/* ---- policies ---- */

static void policy_args(uint32_t nr_leaves, uint32_t nr_msrs)
{
    clear();
    op.u.cpu_policy.nr_leaves = nr_leaves;
    op.u.cpu_policy.nr_msrs = nr_msrs;
    set_xen_guest_handle_raw(op.u.cpu_policy.leaves, leaves);
    set_xen_guest_handle_raw(op.u.cpu_policy.msrs, msrs);
}
static xen_cpuid_leaf_t *find_leaf(uint32_t leaf)
{
    policy_args(MAX_LEAVES, ARRAY_SIZE(msrs));
    CHECK_EQ(domctl(XEN_DOMCTL_get_cpu_policy), 0);
    for (uint32_t i = 0; i < op.u.cpu_policy.nr_leaves; i++)
        if (leaves[i].leaf == leaf)
            return &leaves[i];
    failure("no leaf %x", leaf);
}

static void policies(void)
{
    xen_cpuid_leaf_t *one = find_leaf(1);
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_get_cpu_policy,
                            .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    uint32_t c = one->c;

    CHECK(c & 1);                               /* SSE3 */
    CHECK((one->d & 0x07000000) == 0x07000000); /* FXSR, SSE, SSE2 */
    one->c &= ~CX16;                            /* on which nothing depends */
    policy_args(op.u.cpu_policy.nr_leaves, op.u.cpu_policy.nr_msrs);
    CHECK_EQ(domctl(XEN_DOMCTL_set_cpu_policy), 0);
    CHECK(op.u.cpu_policy.err_leaf == ~0u || on_xen()); /* which says nothing then */
    CHECK_EQ(find_leaf(1)->c, c & ~CX16);
    leaves[0] = (xen_cpuid_leaf_t){ .leaf = 0xffff, .subleaf = XEN_CPUID_NO_SUBLEAF };
    policy_args(1, 0);
    CHECK_EQ(domctl(XEN_DOMCTL_set_cpu_policy), -ERANGE);
    CHECK_EQ(op.u.cpu_policy.err_leaf, 0xffff);
    leaves[0] = *find_leaf(1);
    leaves[0].c = ~0u; /* Xen takes what it can */
    policy_args(1, 0);
    CHECK_EQ(domctl(XEN_DOMCTL_set_cpu_policy), on_xen() ? 0 : -EINVAL);
    if (!on_xen())
        CHECK_EQ(op.u.cpu_policy.err_leaf, 1);
    leaves[0].c = c & ~CX16;
    policy_args(1, 0);
    CHECK_EQ(domctl(XEN_DOMCTL_set_cpu_policy), 0);
    CHECK(xen_cpuid(1, 0).c & CX16); /* ours is our own */
    if (hc(sysctl, &s) == -ENOSYS)
        print("vcpuctl: sysctl has no policies yet\n");
    else
        CHECK(s.u.cpu_policy.nr_leaves >= 30 && s.u.cpu_policy.nr_msrs >= 1);
}

static void tsc(void)
{
    struct xen_domctl_tsc_info *t = &op.u.tsc_info;

    clear();
    t->tsc_mode = 1;
    t->gtsc_khz = 3000000;
    t->elapsed_nsec = 1000000000000;
    t->incarnation = 7;
    CHECK_EQ(domctl(XEN_DOMCTL_settscinfo), 0);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_gettscinfo), 0);
    CHECK_EQ(t->tsc_mode, 1);
    CHECK_EQ(t->gtsc_khz, 3000000);
    CHECK_EQ(t->incarnation, 8);
    CHECK(t->elapsed_nsec >= 1000000000000 && t->elapsed_nsec < 1010000000000);
    t->tsc_mode = 9;
    CHECK_EQ(domctl(XEN_DOMCTL_settscinfo), -EINVAL);
}

/* ---- contexts ---- */

static void make_context(void)
{
    memset(&ctx, 0, sizeof(ctx));
    ctx.flags = VGCF_in_kernel | VGCF_online | VGCF_I387_VALID;
    *(uint16_t *)&ctx.fpu_ctxt.x[0] = 0x27f;
    *(uint32_t *)&ctx.fpu_ctxt.x[24] = 0x1f80;
    *(uint64_t *)&ctx.fpu_ctxt.x[XMM(5)] = 0x1122334455667788;
    ctx.user_regs.rip = RIP;
    ctx.user_regs.rsp = RIP + 0x8000;
    ctx.user_regs.rax = 0x1111;
    ctx.user_regs.r15 = 0x1515;
    ctx.user_regs.rflags = 0x1202;
    ctx.user_regs.cs = FLAT_KERNEL_CS;
    ctx.user_regs.ss = ctx.kernel_ss = FLAT_KERNEL_SS;
    ctx.kernel_sp = RIP + 0x9000;
    ctx.gdt_frames[0] = mfn + 2;
    ctx.gdt_ents = 512;
    ctx.ctrlreg[0] = 0x80050033;
    ctx.ctrlreg[1] = xen_pfn_to_cr3(mfn + 1);
    ctx.ctrlreg[3] = xen_pfn_to_cr3(mfn); /* all zero: valid, and nothing is mapped */
    ctx.debugreg[0] = 0x401000;
    ctx.debugreg[7] = 0x401;
    ctx.fs_base = 0x7f0012345000;
    ctx.gs_base_kernel = 0xffff888000000000;
    ctx.gs_base_user = 0x7f0000000000;
}

static void compare(void)
{
    CHECK_EQ(get_context(), 0);
    CHECK_EQ(got.user_regs.rip, ctx.user_regs.rip);
    CHECK_EQ(got.user_regs.rsp, ctx.user_regs.rsp);
    CHECK_EQ(got.user_regs.rax, ctx.user_regs.rax);
    CHECK_EQ(got.user_regs.r15, ctx.user_regs.r15);
    CHECK_EQ(got.user_regs.rflags & 0x3200, 0x1200);
    CHECK_EQ(got.user_regs.cs | 3, FLAT_KERNEL_CS);
    CHECK_EQ(got.flags & (VGCF_in_kernel | VGCF_online | VGCF_I387_VALID),
             VGCF_in_kernel | VGCF_online | VGCF_I387_VALID);
    CHECK_EQ(*(uint16_t *)&got.fpu_ctxt.x[0], 0x27f);
    CHECK_EQ(*(uint64_t *)&got.fpu_ctxt.x[XMM(5)], 0x1122334455667788);
    CHECK_EQ(got.gdt_ents, 512);
    CHECK_EQ(got.gdt_frames[0], mfn + 2);
    CHECK_EQ(got.ctrlreg[1], ctx.ctrlreg[1]);
    CHECK_EQ(got.ctrlreg[3], ctx.ctrlreg[3]);
    CHECK_EQ(got.kernel_sp, ctx.kernel_sp);
    CHECK_EQ(got.debugreg[0], 0x401000);
    CHECK_EQ(got.debugreg[7] & 0xff, 1);
    CHECK_EQ(got.fs_base, ctx.fs_base);
    CHECK_EQ(got.gs_base_kernel, ctx.gs_base_kernel);
    CHECK_EQ(got.gs_base_user, ctx.gs_base_user);
}

static void contexts(void)
{
    struct xen_domctl_ext_vcpucontext *e = &op.u.ext_vcpucontext;

    CHECK_EQ(get_context(), -ENODATA);
    make_context();
    ctx.ctrlreg[3] = xen_pfn_to_cr3(mfn + 2); /* which the GDT has */
    CHECK(set_context() < 0);
    CHECK_EQ(get_context(), -ENODATA);
    make_context();
    CHECK_EQ(set_context(), 0);
    compare();
    ctx = got;
    CHECK_EQ(set_context(), 0); /* what it got, it takes */
    compare();
    ctx.ctrlreg[1] = 0;
    CHECK_EQ(set_context(), -EOPNOTSUPP);
    ctx.ctrlreg[1] = got.ctrlreg[1];
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_getvcpuinfo), 0);
    CHECK(op.u.getvcpuinfo.online && !op.u.getvcpuinfo.running && !op.u.getvcpuinfo.cpu_time);
    clear();
    op.u.getvcpuinfo.vcpu = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_getvcpuinfo), 0);
    CHECK(!op.u.getvcpuinfo.online);
    op.u.getvcpuinfo.vcpu = 2;
    CHECK(domctl(XEN_DOMCTL_getvcpuinfo) < 0);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_get_ext_vcpucontext), 0);
    CHECK(e->size >= offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) && e->size <= 128);
    e->sysenter_callback_eip = RIP + 0x100;
    e->sysenter_disables_events = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_set_ext_vcpucontext), 0);
    e->sysenter_callback_eip = NONCANONICAL;
    CHECK_EQ(domctl(XEN_DOMCTL_set_ext_vcpucontext), -EINVAL);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_get_ext_vcpucontext), 0);
    CHECK_EQ(e->sysenter_callback_eip, RIP + 0x100);
    CHECK_EQ(e->sysenter_disables_events, 1);
}

/* ---- what is not in it ---- */

static uint64_t mask;

static uint64_t get_xstate(void)
{
    struct xen_domctl_vcpuextstate *e = &op.u.vcpuextstate;

    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_getvcpuextstate), 0);
    mask = e->xfeature_mask;
    if (mask == 0)
        return 0;
    CHECK(e->size <= sizeof(x));
    set_xen_guest_handle_raw(e->buffer, (void *)&x);
    CHECK_EQ(domctl(XEN_DOMCTL_getvcpuextstate), 0);
    return e->size;
}
static long set_xstate(uint64_t size)
{
    clear();
    op.u.vcpuextstate.size = size;
    set_xen_guest_handle_raw(op.u.vcpuextstate.buffer, (void *)&x);
    return domctl(XEN_DOMCTL_setvcpuextstate);
}
static uint64_t *xstate_bv(void) { return (uint64_t *)(x.area + 512); }

static void xstate(void)
{
    (void)get_xstate();
    if (mask == 0) /* no XSAVE */
        return;
    memset(&x, 0, sizeof(x)); /* AVX too */
    x.xcr0 = x.accum = *xstate_bv() = 7;
    *(uint16_t *)x.area = 0x27f;
    *(uint32_t *)(x.area + 24) = 0x1f80;
    *(uint64_t *)(x.area + XMM(5)) = 0x1122334455667788;
    *(uint64_t *)(x.area + 576 + 5 * 16) = 0x99aabbccddeeff00;
    *xstate_bv() = 1ULL << 62 | 7;
    CHECK_EQ(set_xstate(16 + 832), -EINVAL);
    *xstate_bv() = 7;
    x.xcr0 = 5;
    CHECK_EQ(set_xstate(16 + 832), -EINVAL);
    x.xcr0 = 7;
    CHECK_EQ(set_xstate(16 + 832), 0);
}
static void xstate_is_there(void)
{
    uint64_t size;

    memset(&x, 0, sizeof(x));
    size = get_xstate();
    if (mask == 0)
        return;
    CHECK_EQ(size, 16 + 832);
    CHECK_EQ(x.xcr0, 7);
    CHECK_EQ(*xstate_bv() & 6, 6);
    CHECK_EQ(*(uint64_t *)(x.area + XMM(5)), 0x1122334455667788);
    CHECK_EQ(*(uint64_t *)(x.area + 576 + 5 * 16), 0x99aabbccddeeff00);
}

static long msr_op(uint32_t cmd, struct xen_domctl_vcpu_msr *m, uint32_t nr)
{
    clear();
    op.u.vcpu_msrs.msr_count = nr;
    set_xen_guest_handle_raw(op.u.vcpu_msrs.msrs, m);
    return domctl(cmd);
}

static void vcpu_msrs(void)
{
    static struct xen_domctl_vcpu_msr m[16];

    CHECK_EQ(msr_op(XEN_DOMCTL_get_vcpu_msrs, NULL, 0), 0);
    CHECK(op.u.vcpu_msrs.msr_count >= 1 && op.u.vcpu_msrs.msr_count <= 16);
    CHECK_EQ(msr_op(XEN_DOMCTL_get_vcpu_msrs, m, 16), 0);
    CHECK_EQ(op.u.vcpu_msrs.msr_count, 0);
    m[0] = (struct xen_domctl_vcpu_msr){ 0x1234, 0, 0 };
    CHECK_EQ(msr_op(XEN_DOMCTL_set_vcpu_msrs, m, 1), -EINVAL);
    CHECK_EQ(op.u.vcpu_msrs.msr_count, 0);
    if (!(xen_cpuid(0x80000001, 0).d >> 27 & 1)) /* RDTSCP */
        return;
    m[0] = (struct xen_domctl_vcpu_msr){ 0xc0000103, 0, 0x4711 };
    CHECK_EQ(msr_op(XEN_DOMCTL_set_vcpu_msrs, m, 1), 0);
    m[0] = (struct xen_domctl_vcpu_msr){ 0 };
    CHECK_EQ(msr_op(XEN_DOMCTL_get_vcpu_msrs, m, 16), 0);
    CHECK_EQ(op.u.vcpu_msrs.msr_count, 1);
    CHECK(m[0].index == 0xc0000103 && m[0].value == 0x4711);
}

/* ---- */

static bool crashed(void)
{
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo), 0);
    return op.u.getdomaininfo.flags & XEN_DOMINF_shutdown;
}

/* Its first instruction is not mapped, and it has no handler. */
static void run(void)
{
    uint64_t end = now_ns(0) + PATIENCE_NS;

    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain), 0);
    while (!crashed() && now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK_EQ(op.u.getdomaininfo.flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask,
             SHUTDOWN_crash);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_getvcpuinfo), 0);
    CHECK(op.u.getvcpuinfo.cpu_time > 0);
    compare();
    xstate_is_there();
    policy_args(0, 0);
    CHECK_EQ(domctl(XEN_DOMCTL_set_cpu_policy), -EEXIST);
}

void test_main(void)
{
    create();
    policies();
    tsc();
    contexts();
    xstate();
    vcpu_msrs();
    xstate_is_there();
    run();
    clear(); /* no context: a reset */
    CHECK_EQ(domctl(XEN_DOMCTL_setvcpucontext), 0);
    CHECK_EQ(get_context(), -ENODATA);
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain), 0);
}
