/*
 * VCPUOP_initialise that takes so long that it has to be continued: on Xen the continuation itself was
 * wrong and stopped the machine (XSA-296). Its root is a tree that nobody validated before, and an
 * event is pending whenever it looks. By itself, and in a multicall. dom0_max_vcpus=4: the last is the
 * witness.
 */
#include "guest.h"

#define NR_L1 20
#define FREE_SLOT 3 /* of the L4 */
#define STOPS_MAX 500

static volatile unsigned int nr_stops;
static volatile unsigned int nr_started;

/* A hypercall with an upcall pending at its beginning, each time that it begins. */
extern char call_again[], call_syscall[];
static __attribute__((noinline)) long call_interrupted(uint64_t nr, uint64_t a, uint64_t b, void *c)
{
    long rc;

    __asm__ volatile(".globl call_again, call_syscall\n"
                     "call_again: movb $1, (%[pending])\n call_syscall: syscall"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c)
                     : "0"(nr), [pending] "b"(&vcpu_info(0)->evtchn_upcall_pending)
                     : "rcx", "r11", "memory");
    return rc;
}

static void on_upcall(struct cpu_user_regs *regs)
{
    vcpu_info(0)->evtchn_upcall_pending = 0;
    vcpu_info(0)->evtchn_pending_sel = 0;
    if (regs->rip == (uint64_t)call_syscall && nr_stops++ < STOPS_MAX) /* it is not done yet */
        regs->rip = (uint64_t)call_again;
}

static void on_secondary(void)
{
    __atomic_fetch_add(&nr_started, 1, __ATOMIC_SEQ_CST);
    for (;;)
        hc(sched_op, SCHEDOP_block, 0);
}

/* Our own root, and 20 pages of entries more that nobody has looked at. */
static uint64_t *big_root(void)
{
    uint64_t *root = page_alloc(), *page = page_alloc(), *l3 = page_alloc(), *l2 = page_alloc();

    memcpy(root, kernel_root, PAGE_SIZE);
    memset(root + 256, 0, 16 * sizeof(*root)); /* the hypervisor's */
    for (unsigned int i = 0; i < NR_L1; i++) {
        uint64_t *l1 = page_alloc();

        for (unsigned int j = 0; j < 512; j++)
            l1[j] = virt_to_maddr(page) | PTE_FLAGS;
        page_set_ro(l1);
        l2[i] = virt_to_maddr(l1) | PTE_FLAGS;
    }
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    page_set_ro(l2);
    page_set_ro(l3);
    root[FREE_SLOT] = virt_to_maddr(l3) | PTE_FLAGS;
    page_set_ro(root);
    return root;
}

static void started(unsigned int vcpu, unsigned int nr)
{
    uint64_t end = now_ns(0) + PATIENCE_NS;

    CHECK_EQ(hc(vcpu_op, VCPUOP_up, vcpu, 0), 0);
    while (nr_started < nr && now_ns(0) < end)
        yield();
    CHECK_EQ(nr_started, nr);
}

static long initialise(unsigned int vcpu, bool in_multicall)
{
    static struct vcpu_guest_context ctx;
    static struct multicall_entry e[2];
    long rc;

    secondary_context(&ctx, on_secondary, page_alloc());
    ctx.ctrlreg[3] = virt_to_maddr(big_root());
    nr_stops = 0;
    e[0] = (struct multicall_entry){ .op = __HYPERVISOR_vcpu_op,
                                     .args = { VCPUOP_initialise, vcpu, (uint64_t)&ctx } };
    e[1] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version };
    events_on();
    if (in_multicall)
        rc = call_interrupted(__HYPERVISOR_multicall, (uint64_t)e, 2, NULL) ? 1 : (long)e[0].result;
    else
        rc = call_interrupted(__HYPERVISOR_vcpu_op, VCPUOP_initialise, vcpu, &ctx);
    events_off();
    print("xsa_296: vCPU %u: %ld after %u stops\n", vcpu, rc, nr_stops);
    CHECK(nr_stops > 1);
    if (in_multicall)
        CHECK_EQ(e[1].result, 4 << 16 | 17);
    return rc;
}

void test_main(void)
{
    static struct vcpu_guest_context bad;

    attacks_begin();
    trap_hooks[ENTRY_EVENT] = on_upcall;
    attack("initialise.continued", initialise(1, false), 0);
    started(1, 1);
    attack("initialise.in-a-multicall", initialise(2, true), 0);
    started(2, 2);
    secondary_context(&bad, on_secondary, trap_stack_top);
    attack("initialise.again", hc(vcpu_op, VCPUOP_initialise, 1, &bad), -EEXIST);
    attack("initialise.of-itself", hc(vcpu_op, VCPUOP_initialise, 0, &bad), -EEXIST);
    attack("initialise.none", hc(vcpu_op, VCPUOP_initialise, 64, &bad), -ENOENT);
    attack("initialise.unmapped", hc(vcpu_op, VCPUOP_initialise, 1, 0x1000), -EFAULT);
    witness_check();
}
