/*
 * The initial domain builds domains that run: two vCPUs each, page tables of their own, a loop that
 * counts and does what it is told. They are paused, suspended, resumed, crash, and are destroyed while
 * they run and while a frame of theirs is still mapped here.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h and sysctl.h */
#include "guest.h"

#include <xen/domctl.h>
#include <xen/sysctl.h>

#define NR_VCPUS 2
#define NR_PAGES 8

/* The child's pages, by its pfns, seen by it from VIRT_BASE on. */
enum { CODE, L1, L2, L3, L4, STACK, DATA };

/* What both see: how far each vCPU has counted, and what it is to do next. */
struct data {
    volatile uint64_t count[8], command[8], reason, result[8];
};
enum { COUNT, SHUTDOWN, CRASH };

extern char child_start[], child_end[];
__asm__(".pushsection .text\n"
        "child_start:\n"
        "    mov %rdi, %rbp\n" /* which vCPU it is */
        "    mov $0xffffffff80006000, %rbx\n"
        "1:  incq (%rbx,%rbp,8)\n"
        "    mov 64(%rbx,%rbp,8), %rax\n"
        "    test %rax, %rax\n"
        "    jz 1b\n"
        "    movq $0, 64(%rbx,%rbp,8)\n"
        "    cmp $2, %rax\n"
        "    je 2f\n"
        "    mov $2, %edi\n" /* SCHEDOP_shutdown */
        "    lea 128(%rbx), %rsi\n"
        "    mov $29, %eax\n"
        "    syscall\n"
        "    mov %rax, 136(%rbx,%rbp,8)\n"
        "    jmp 1b\n"
        "2:  ud2\n"
        "child_end:\n"
        ".popsection\n");

static struct xen_domctl op;
static struct vcpu_guest_context context;
static xen_pfn_t frames[NR_PAGES]; /* of the child */
static void *window;               /* a page of our own, in place of which a foreign one is seen */
static struct data *data;          /* another */

static long domctl(uint32_t cmd, domid_t id)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}
static void clear(void) { memset(&op, 0, sizeof(op)); }

static long map(void *at, domid_t whose, uint64_t mfn)
{
    struct mmu_update u = { .ptr = virt_to_maddr(pte_of(kernel_root, (uint64_t)at, 1)),
                            .val = mfn << 12 | PTE_FLAGS };

    return hc(mmu_update, &u, 1, 0, whose);
}

static void unmap(void *at) { CHECK_EQ(update_va(at, 0, UVMF_INVLPG), 0); }

/* A frame of the child, to be written. */
static void *see(domid_t id, unsigned int pfn)
{
    long rc = map(window, id, frames[pfn]);

    if (rc == -ENOSYS || rc == -EOPNOTSUPP || rc == -EPERM)
        skip("frames of other domains cannot be mapped: %ld", rc);
    CHECK_EQ(rc, 0);
    return window;
}

static void entry_write(domid_t id, unsigned int table, unsigned int index, unsigned int pfn,
                        uint64_t flags)
{
    ((uint64_t *)see(id, table))[index] = frames[pfn] << 12 | flags;
    unmap(window);
}

static void build_tables(domid_t id)
{
    for (unsigned int t = CODE; t < NR_PAGES; t++) {
        memset(see(id, t), 0, PAGE_SIZE);
        unmap(window);
    }
    memcpy(see(id, CODE), child_start, (size_t)(child_end - child_start));
    unmap(window);
    for (unsigned int p = CODE; p <= DATA; p++)
        entry_write(id, L1, p, p, p >= L1 && p <= L4 ? PTE_FLAGS & ~PTE_RW : PTE_FLAGS);
    entry_write(id, L2, (VIRT_BASE >> 21) & 511, L1, PTE_FLAGS);
    entry_write(id, L3, (VIRT_BASE >> 30) & 511, L2, PTE_FLAGS);
    entry_write(id, L4, (VIRT_BASE >> 39) & 511, L3, PTE_FLAGS);
}

static void pin_root(domid_t id)
{
    struct mmuext_op ext = { .cmd = MMUEXT_PIN_L4_TABLE, .arg1.mfn = frames[L4] };

    CHECK_EQ(hc(mmuext_op, &ext, 1, 0, id), 0);
}

static void start_vcpus(domid_t id)
{
    for (unsigned int v = 0; v < NR_VCPUS; v++) {
        long rc;

        memset(&context, 0, sizeof(context));
        context.flags = VGCF_in_kernel | VGCF_online;
        context.user_regs.rip = VIRT_BASE;
        context.user_regs.rsp = VIRT_BASE + (STACK + 1) * PAGE_SIZE;
        context.user_regs.cs = FLAT_KERNEL_CS;
        context.user_regs.ss = FLAT_KERNEL_SS;
        context.user_regs.rflags = EFLAGS_IF;
        context.user_regs.rdi = v;
        context.ctrlreg[3] = frames[L4] << 12;
        clear();
        op.u.vcpucontext.vcpu = v;
        set_xen_guest_handle_raw(op.u.vcpucontext.ctxt, (void *)&context);
        rc = domctl(XEN_DOMCTL_setvcpucontext, id);
        if (rc == -EOPNOTSUPP)
            skip("no setvcpucontext");
        CHECK_EQ(rc, 0);
    }
}

static domid_t create(void)
{
    struct xen_memory_reservation r = { .nr_extents = NR_PAGES };
    domid_t id;

    clear();
    op.u.createdomain.max_vcpus = NR_VCPUS;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = 8;
    op.u.createdomain.max_maptrack_frames = 8;
    op.u.createdomain.grant_opts = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain, 0), 0);
    id = op.domain;
    clear();
    op.u.max_vcpus.max = NR_VCPUS;
    CHECK_EQ(domctl(XEN_DOMCTL_max_vcpus, id), 0);
    clear();
    op.u.max_mem.max_memkb = NR_PAGES * 4;
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem, id), 0);
    for (unsigned int i = 0; i < NR_PAGES; i++)
        frames[i] = i;
    r.domid = id;
    set_xen_guest_handle(r.extent_start, frames);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), NR_PAGES);
    build_tables(id);
    pin_root(id);
    start_vcpus(id);
    CHECK_EQ(map(data, id, frames[DATA]), 0);
    return id;
}

static uint32_t flags(domid_t id)
{
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_getdomaininfo, id), 0);
    CHECK_EQ(op.domain, id);
    return op.u.getdomaininfo.flags;
}

static bool is_there(domid_t id)
{
    clear();
    return domctl(XEN_DOMCTL_getdomaininfo, id) == 0 && op.domain == id;
}

/* Both vCPUs count on, within the time that anything takes. */
static bool counts(void)
{
    uint64_t from[NR_VCPUS], end = now_ns(0) + PATIENCE_NS;
    bool on = false;

    for (unsigned int v = 0; v < NR_VCPUS; v++)
        from[v] = data->count[v];
    while (!on && now_ns(0) < end) {
        hc(sched_op, SCHEDOP_yield, 0);
        on = true;
        for (unsigned int v = 0; v < NR_VCPUS; v++)
            on &= data->count[v] != from[v];
    }
    return on;
}

static bool stands(void)
{
    uint64_t sum = data->count[0] + data->count[1];

    spin_ns(3000000);
    return sum == data->count[0] + data->count[1];
}

static bool shuts_down(domid_t id, unsigned int reason)
{
    for (uint64_t end = now_ns(0) + PATIENCE_NS; now_ns(0) < end;) {
        uint32_t f = flags(id);

        if (f & XEN_DOMINF_shutdown)
            return (f >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask) == reason;
        hc(sched_op, SCHEDOP_yield, 0);
    }
    return false;
}

/* Of what is still mapped here the domain is not gone. */
static void destroy(domid_t id)
{
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain, id), 0);
    CHECK(stands());
    CHECK(is_there(id) && (op.u.getdomaininfo.flags & XEN_DOMINF_dying));
    CHECK_EQ(op.u.getdomaininfo.tot_pages, 1);
    unmap(data);
    for (uint64_t end = now_ns(0) + PATIENCE_NS; is_there(id) && now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK(!is_there(id));
}

static void pauses(void)
{
    domid_t id = create();
    uint64_t used;

    CHECK(stands());
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
    CHECK(counts());
    for (unsigned int i = 0; i < 20; i++) {
        CHECK_EQ(domctl(XEN_DOMCTL_pausedomain, id), 0);
        CHECK(stands());
        CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
        CHECK(counts());
    }
    flags(id);
    CHECK_EQ(op.u.getdomaininfo.nr_online_vcpus, NR_VCPUS);
    used = op.u.getdomaininfo.cpu_time;
    CHECK(used > 0);
    CHECK(counts());
    flags(id);
    CHECK(op.u.getdomaininfo.cpu_time > used);
    destroy(id);
}

static void suspends(void)
{
    domid_t id = create();

    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
    for (unsigned int i = 0; i < 10; i++) {
        CHECK(counts());
        data->reason = SHUTDOWN_suspend;
        data->result[i % 2] = 77;
        data->command[i % 2] = SHUTDOWN;
        CHECK(shuts_down(id, SHUTDOWN_suspend));
        if (on_xen()) /* the other vCPU may run on for a moment */
            spin_ns(20000000);
        CHECK(stands());
        clear();
        CHECK_EQ(domctl(XEN_DOMCTL_resumedomain, id), 0);
        CHECK(counts());
        CHECK_EQ(data->result[i % 2], 0);
        CHECK(!(flags(id) & XEN_DOMINF_shutdown));
    }
    data->reason = SHUTDOWN_reboot;
    data->command[1] = SHUTDOWN;
    CHECK(shuts_down(id, SHUTDOWN_reboot));
    destroy(id);
}

static void crashes(void)
{
    domid_t id = create();

    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
    CHECK(counts());
    data->command[1] = CRASH;
    CHECK(shuts_down(id, SHUTDOWN_crash));
    if (on_xen())
        spin_ns(20000000);
    CHECK(stands());
    destroy(id);
}

static void cycles(void)
{
    for (unsigned int i = 0; i < 20; i++) {
        domid_t id = create();

        clear();
        CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, id), 0);
        if (i % 2)
            CHECK(counts());
        destroy(id);
    }
}

/* ---- on all vCPUs: it is paused here, watched there, and all CPUs stand still for an audit ---- */

static domid_t raced;
static uint64_t nr_pauses, nr_looks;

static long domctl_here(struct xen_domctl *mine, uint32_t cmd)
{
    *mine = (struct xen_domctl){ .cmd = cmd,
                                 .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                                 .domain = raced };
    return hc(domctl, mine);
}

static void audit(void)
{
    static uint8_t key = 'A';
    struct xen_sysctl s = { .cmd = XEN_SYSCTL_debug_keys,
                            .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    if (on_xen())
        return;
    set_xen_guest_handle(s.u.debug_keys.keys, (void *)&key);
    s.u.debug_keys.nr_keys = 1;
    CHECK_EQ(hc(sysctl, &s), 0);
}

static void race(unsigned int vcpu)
{
    struct xen_domctl mine;

    while (phase_until(&nr_looks, 20)) {
        if (vcpu == 0) {
            uint64_t sum;

            CHECK_EQ(domctl_here(&mine, XEN_DOMCTL_pausedomain), 0);
            sum = data->count[0] + data->count[1];
            yield();
            CHECK_EQ(data->count[0] + data->count[1], sum);
            CHECK_EQ(domctl_here(&mine, XEN_DOMCTL_unpausedomain), 0);
            yield();
            nr_pauses++;
        } else {
            CHECK_EQ(domctl_here(&mine, XEN_DOMCTL_getdomaininfo), 0);
            CHECK_EQ(mine.u.getdomaininfo.tot_pages, NR_PAGES);
            if (nr_looks++ % 8 == 0)
                audit();
        }
    }
}

static void races(void)
{
    if (hc(vcpu_op, VCPUOP_is_up, 1, 0) < 0)
        return; /* there is but one */
    smp_init();
    raced = create();
    clear();
    CHECK_EQ(domctl(XEN_DOMCTL_unpausedomain, raced), 0);
    phase("a domain is paused and looked at", 1000, race);
    print("%s: %lu pauses, %lu looks\n", guest_name, nr_pauses, nr_looks);
    CHECK(nr_pauses > 2 && nr_looks > 2);
    CHECK(counts());
    destroy(raced);
}

void test_main(void)
{
    window = page_alloc();
    data = page_alloc();
    unmap(window);
    unmap(data);
    pauses();
    suspends();
    crashes();
    cycles();
    races();
}
