/* A second vCPU: made, up, down, up again; events and IPIs between the two. dom0_max_vcpus=2. */
#include "guest.h"

static volatile unsigned int started, pinged;
static unsigned int ipi0, ipi1;
static volatile bool quit;
static char spare_stack[PAGE_SIZE] __attribute__((aligned(4096)));

static void on_event(struct cpu_user_regs *regs) { events_handle(0); }

static void second(void)
{
    struct sched_poll poll = { .nr_ports = 1 };
    evtchn_port_t port = ipi1;

    started++;
    set_xen_guest_handle(poll.ports, &port);
    while (!quit) {
        poll.timeout = now_ns(1) + 500000000;
        hc(sched_op, SCHEDOP_poll, &poll); /* its own upcall stays masked */
        if (port_pending(ipi1)) {
            port_clear_pending(ipi1);
            pinged++;
            port_send(ipi0);
        }
    }
    hc(vcpu_op, VCPUOP_down, 1, 0);
    started += 100; /* up again goes on behind the call */
    for (;;)
        hc(sched_op, SCHEDOP_block, 0);
}

static bool wait_for(volatile unsigned int *what, unsigned int value)
{
    uint64_t end = now_ns(0) + 2000000000;

    while (*what < value && now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
    return *what >= value;
}

static volatile unsigned int nr_failsafe;

static void on_failsafe(struct cpu_user_regs *regs) { nr_failsafe++; }

/* A selector whose table is gone when the vCPU is loaded again: null, and failsafe names it. */
static void stale_selector(void)
{
    struct mmuext_op op = { .cmd = MMUEXT_SET_LDT };
    unsigned int es;
    uint64_t *ldt = page_alloc();

    trap_hooks[ENTRY_FAILSAFE] = on_failsafe;
    register_callback(CALLBACKTYPE_failsafe, failsafe_entry, CALLBACKF_mask_events);
    ldt[1] = 0x00cff3000000ffff;
    page_set_ro(ldt);
    op.arg1.linear_addr = (uint64_t)ldt;
    op.arg2.nr_ents = 512;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
    __asm__ volatile("mov %0, %%es" ::"r"(0x0f));
    op.arg2.nr_ents = 0;
    CHECK_EQ(hc(mmuext_op, &op, 1, 0, DOMID_SELF), 0);
    CHECK_EQ(port_send(ipi1), 0);
    CHECK(wait_for(&event_counts[ipi0], 1)); /* vCPU 1 has run in between */
    CHECK_EQ(nr_failsafe, 1);
    CHECK_EQ(failsafe_selectors[1], 0x0f);
    __asm__ volatile("mov %%es, %0" : "=r"(es));
    CHECK_EQ(es, 0);
    pinged = 0;
    event_counts[ipi0] = 0;
}

static void refusals(void)
{
    static struct vcpu_guest_context ctx;

    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 0, 0), 1);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 1, 0), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 2, 0), -ENOENT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 8191, 0), -ENOENT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, ~0u, 0), -ENOENT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), -EINVAL); /* not initialised */
    CHECK_EQ(hc(vcpu_op, VCPUOP_initialise, 1, 0x1000), -EFAULT);
    CHECK_EQ(hc(vcpu_op, 99, 0, 0), -ENOSYS);
    secondary_context(&ctx, second, spare_stack);
    ctx.ctrlreg[3] = virt_to_maddr(&ctx) & ~4095UL; /* no table at all */
    CHECK(hc(vcpu_op, VCPUOP_initialise, 1, &ctx) < 0);
    ctx.ctrlreg[3] = 0xfffffffff000;
    CHECK(hc(vcpu_op, VCPUOP_initialise, 1, &ctx) < 0);
    secondary_context(&ctx, second, spare_stack);
    ctx.gdt_ents = 512; /* a descriptor table that is none */
    ctx.gdt_frames[0] = PTE_MFN(ctx.ctrlreg[3]);
    CHECK(hc(vcpu_op, VCPUOP_initialise, 1, &ctx) < 0);
    secondary_context(&ctx, second, spare_stack);
    ctx.fs_base = NONCANONICAL;
    CHECK(hc(vcpu_op, VCPUOP_initialise, 1, &ctx) < 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), -EINVAL); /* still not initialised */
}

void test_main(void)
{
    static struct vcpu_guest_context ctx;
    struct vcpu_register_vcpu_info info = { 0 };
    struct vcpu_runstate_info run;
    uint64_t end;

    if (hc(vcpu_op, VCPUOP_is_up, 1, 0) == -ENOENT)
        skip("one vCPU only");
    trap_hooks[ENTRY_EVENT] = on_event;
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    refusals();
    ipi0 = (unsigned int)bind_ipi(0);
    ipi1 = (unsigned int)bind_ipi(1);
    CHECK_EQ(vcpu_start(1, second), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 1, 0), 1);
    CHECK(wait_for(&started, 1));
    secondary_context(&ctx, second, spare_stack);
    CHECK_EQ(hc(vcpu_op, VCPUOP_initialise, 1, &ctx), -EEXIST);
    events_on();
    stale_selector();
    for (unsigned int i = 1; i <= 50; i++) {
        CHECK_EQ(port_send(ipi1), 0);
        if (!wait_for(&pinged, i) || !wait_for(&event_counts[ipi0], i))
            break;
    }
    CHECK_EQ(pinged, 50);
    CHECK_EQ(event_counts[ipi0], 50);
    /* vCPU 0 asleep while the other works: the IPI wakes it */
    events_off();
    CHECK_EQ(port_send(ipi1), 0);
    CHECK_EQ(hc(sched_op, SCHEDOP_block, 0), 0);
    CHECK(wait_for(&event_counts[ipi0], 51));
    events_off();
    CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 1, &run), 0);
    CHECK(run.state <= RUNSTATE_blocked);
    CHECK(vcpu_info(1)->time.tsc_to_system_mul != 0);
    /* down and up again */
    quit = true;
    port_send(ipi1);
    end = now_ns(0) + 2000000000;
    while (hc(vcpu_op, VCPUOP_is_up, 1, 0) != 0 && now_ns(0) < end)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 1, 0), 0);
    do { /* it may still be on its way out of the other CPU */
        CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 1, &run), 0);
    } while (run.state != RUNSTATE_offline && now_ns(0) < end);
    CHECK_EQ(run.state, RUNSTATE_offline);
    CHECK_EQ(started, 1);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), 0);
    CHECK(wait_for(&started, 101));
    CHECK_EQ(hc(vcpu_op, VCPUOP_down, 1, 0), 0); /* by another vCPU */
    CHECK_EQ(hc(vcpu_op, VCPUOP_is_up, 1, 0), 0);
    /* vcpu_info elsewhere: once, inside one page, writable */
    info.mfn = virt_to_mfn(kernel_root);
    CHECK(hc(vcpu_op, VCPUOP_register_vcpu_info, 1, &info) < 0);
    info.mfn = virt_to_mfn(page_alloc());
    info.offset = 4096 - 8;
    CHECK(hc(vcpu_op, VCPUOP_register_vcpu_info, 1, &info) < 0); /* Xen 4.17: -ENXIO */
    info.offset = 64;
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_vcpu_info, 1, &info), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_vcpu_info, 1, &info), -EINVAL);
}
