/*
 * Double fetches: one vCPU changes an argument in memory at full speed, between two values, while
 * another one issues the operation that reads it. Each time the answer is what one of the two values
 * gives, and what holds for both holds afterwards. The structures themselves, lists and pointers in
 * them, page tables, the stack that IRET pops, and the bytes of instructions that are emulated.
 */
#define __XEN_TOOLS__ 1 /* for sysctl.h */
#include "guest.h"

#include <xen/platform.h>
#include <xen/sysctl.h>

#define E2BIG 7
/* Each pair goes on until so many answers were others than the ones before, which shows that both
 * vCPUs ran at the same time; for at least so long, and at most. */
#define ENOUGH 10000
#define MS 20
#define MS_MORE 250

static char memory[8][PAGE_SIZE] __attribute__((aligned(4096)));

/* What is flipped now, and the answers that each value may have. */
static volatile void *where;
static unsigned int width;
static volatile uint64_t value_a, value_b;
static long want_a, want_b, also;
static long (*issue)(void);
static uint64_t nr_a, nr_b, nr_strange, nr_switches, latest;
static long strange;

static void put(uint64_t x)
{
    switch (width) {
    case 0: (void)update_va((const void *)where, x, UVMF_INVLPG | UVMF_ALL); break;
    case 1: *(volatile uint8_t *)where = (uint8_t)x; break;
    case 2: *(volatile uint16_t *)where = (uint16_t)x; break;
    case 4: *(volatile uint32_t *)where = (uint32_t)x; break;
    default: *(volatile uint64_t *)where = x;
    }
}

static bool goes_on(void)
{
    return phase_on() ||
           (__atomic_load_n(&nr_switches, __ATOMIC_RELAXED) < ENOUGH && now() < latest);
}

static void hold(uint32_t n)
{
    for (; n; n--)
        barrier();
}

static void flipping(unsigned int vcpu)
{
    long before = 0;

    if (vcpu > 1)
        return;
    if (vcpu == 1) {
        /* held for nanoseconds: a PAUSE, emulated, would be long beside what is to be hit */
        while (goes_on())
            for (unsigned int i = 0; i < 100; i++) {
                put(value_b);
                hold(i % 5);
                put(value_a);
                hold(i % 7);
            }
        return;
    }
    while (goes_on()) {
        long rc = issue();

        if (rc != before)
            __atomic_fetch_add(&nr_switches, 1, __ATOMIC_RELAXED);
        before = rc;
        if (rc == want_a) {
            nr_a++;
        } else if (rc == want_b || rc == also) {
            nr_b++;
        } else {
            nr_strange++;
            strange = rc;
        }
    }
}

/* Xen may answer otherwise, but to the same question always the same. */
static long answer_of_one(long want)
{
    long rc = issue();

    if (on_xen())
        return rc;
    if (not_permitted(rc))
        return rc;
    CHECK_EQ(rc, want);
    return want;
}

static unsigned int nr_one_sided;
static void flip_raw(const char *name)
{
    static char answer[64];
    unsigned int n = 0;

    nr_a = nr_b = nr_strange = nr_switches = 0;
    latest = now() + MS_MORE * 1000000UL;
    put(value_a);
    want_a = answer_of_one(want_a);
    put(value_b);
    want_b = answer_of_one(want_b);
    phase(name, MS, flipping);
    print("%s: %lu and %lu, %lu times another\n", name, nr_a, nr_b, nr_switches);
    nr_one_sided += nr_a == 0 || nr_b == 0;
    if (nr_strange)
        print("%s: %ld came, too\n", name, strange);
    if (on_xen() && memcmp(name, "insn.", 5) == 0)
        nr_strange = 0; /* it emulates mixtures of the old and the new now and then */
    for (const char *c = name; *c; c++)
        answer[n++] = *c;
    memcpy(answer + n, ".strange", 9);
    attack(answer, (long)nr_strange, 0);
    witness_check();
}

#define FLIP(name, field, a, b, fn, wa, wb) \
    do {                                    \
        where = &(field);                   \
        width = sizeof(field);              \
        value_a = (uint64_t)(a);            \
        value_b = (uint64_t)(b);            \
        issue = fn;                         \
        want_a = wa;                        \
        want_b = wb;                        \
        flip_raw(name);                     \
    } while (0)

/* b gives whatever it gave the first time. */
#define FLIP_TO(name, field, a, b, fn)         \
    do {                                       \
        (field) = (b);                         \
        FLIP(name, field, a, b, fn, -1, fn()); \
        (field) = (a);                         \
    } while (0)

/* ---- page tables ---- */

static struct mmu_update update;
static uint64_t *pte; /* maps memory[0] */
static uint64_t good_pte, evil_pte;

/* Whatever is in the list: never is the bad entry in the table. */
static long issue_update(void)
{
    long rc = hc(mmu_update, &update, 1, 0, DOMID_SELF);

    if (*(volatile uint64_t *)pte == evil_pte)
        failure("the table has an entry that was never to be there");
    return rc;
}

static struct mmuext_op op;
static long issue_ext(void) { return hc(mmuext_op, &op, 1, 0, DOMID_SELF); }

/* A pin that succeeded is undone, of whichever frame it was. */
static long issue_pin(void)
{
    long rc = hc(mmuext_op, &op, 1, 0, DOMID_SELF);

    if (rc == 0)
        CHECK_EQ(unpin(memory[1]), 0);
    return rc;
}

static uint8_t vcpu_bitmap[8];
static long issue_flush(void) { return update_va(memory[0], good_pte, (uint64_t)vcpu_bitmap | 1); }

static void page_tables(void)
{
    uint64_t table_maddr;

    pte = pte_of(kernel_root, (uint64_t)memory[0], 1);
    good_pte = virt_to_maddr(memory[0]) | PTE_FLAGS;
    evil_pte = virt_to_maddr(kernel_root) | PTE_FLAGS; /* a table, writable */
    update.ptr = virt_to_maddr(pte);
    FLIP("mmu_update.value", update.val, good_pte, evil_pte, issue_update, 0, -EBUSY);
    update.val = good_pte;
    FLIP("mmu_update.address", update.ptr, virt_to_maddr(pte), 0xffffffff000UL, issue_update, 0,
         -EINVAL);
    update.ptr = virt_to_maddr(pte);
    FLIP("mmu_update.command", *(uint8_t *)&update.ptr, (uint8_t)update.ptr,
         (uint8_t)update.ptr | 7, issue_update, 0, -ENOSYS);

    page_set_ro(memory[1]); /* zeros: good as a table */
    op = (struct mmuext_op){ .cmd = MMUEXT_PIN_L1_TABLE };
    FLIP("pin.frame", op.arg1.mfn, virt_to_mfn(memory[1]), virt_to_mfn(memory[2]), issue_pin, 0,
         -EINVAL);
    op.arg1.mfn = virt_to_mfn(memory[1]);
    FLIP("pin.command", op.cmd, MMUEXT_PIN_L1_TABLE, 77, issue_pin, 0, -ENOSYS);

    op = (struct mmuext_op){ .cmd = MMUEXT_NEW_BASEPTR };
    FLIP("new_baseptr.frame", op.arg1.mfn, virt_to_mfn(kernel_root), virt_to_mfn(memory[2]),
         issue_ext, 0, -EINVAL);
    op = (struct mmuext_op){ .cmd = MMUEXT_COPY_PAGE };
    op.arg2.src_mfn = virt_to_mfn(memory[3]);
    table_maddr = virt_to_mfn(kernel_root);
    FLIP("copy_page.to", op.arg1.mfn, virt_to_mfn(memory[2]), table_maddr, issue_ext, 0, -EINVAL);
    op.arg1.mfn = virt_to_mfn(memory[2]);
    FLIP("copy_page.from", op.arg2.src_mfn, virt_to_mfn(memory[3]), ~0UL, issue_ext, 0, -EINVAL);
    op = (struct mmuext_op){ .cmd = MMUEXT_SET_LDT };
    op.arg1.linear_addr = (uint64_t)memory[1];
    FLIP("set_ldt.entries", op.arg2.nr_ents, 512, 8193, issue_ext, 0, -EINVAL);
    op.arg2.nr_ents = 512;
    FLIP("set_ldt.address", op.arg1.linear_addr, memory[1], HYPERVISOR_VIRT_START, issue_ext, 0,
         -EINVAL);
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    op = (struct mmuext_op){ .cmd = MMUEXT_TLB_FLUSH_MULTI };
    FLIP("flush.mask", op.arg2.vcpumask.p, vcpu_bitmap, NONCANONICAL, issue_ext, 0, -EINVAL);
    FLIP("flush.vcpus", vcpu_bitmap[0], 1, 0xff, issue_flush, 0, 0);
    page_set_rw(memory[1]);
    CHECK_EQ(pte_write(pte, good_pte), 0);
}

/* ---- descriptors, traps, vCPUs ---- */

static uint64_t gdt_frame;
static long issue_gdt(void) { return hc(set_gdt, &gdt_frame, 512); }

static struct trap_info trap[2];
static long issue_traps(void) { return hc(set_trap_table, trap); }

static struct callback_register callback;
static long issue_callback(void) { return hc(callback_op, CALLBACKOP_register, &callback); }
static struct xennmi_callback nmi;
static long issue_nmi(void) { return hc(nmi_op, XENNMI_register_callback, &nmi); }

static struct vcpu_set_singleshot_timer timer;
static long issue_timer(void) { return hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &timer); }

static uint64_t area;
static long issue_runstate(void)
{
    return hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &area);
}
static long issue_time(void)
{
    return hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &area);
}

static struct vcpu_guest_context context;
static long issue_initialise(void) { return hc(vcpu_op, VCPUOP_initialise, 1, &context); }

static void vcpu_state(void)
{
    uint64_t none = 0;

    page_set_ro(memory[4]);
    FLIP("set_gdt.frame", gdt_frame, virt_to_mfn(memory[4]), virt_to_mfn(memory[2]), issue_gdt, 0,
         -EINVAL);
    CHECK_EQ(hc(set_gdt, &none, 0), 0);
    page_set_rw(memory[4]);
    trap[0] = (struct trap_info){ 0x90, 0, FLAT_KERNEL_CS, (uint64_t)trap_stubs };
    FLIP("set_trap_table.address", trap[0].address, trap_stubs, NONCANONICAL, issue_traps, 0,
         -EINVAL);
    trap[0].address = 0;
    callback = (struct callback_register){ .type = CALLBACKTYPE_syscall32 };
    FLIP("callback.address", callback.address, syscall_entry, NONCANONICAL, issue_callback, 0,
         -EINVAL);
    callback.address = (uint64_t)syscall_entry;
    FLIP("callback.type", callback.type, CALLBACKTYPE_syscall32, 0xffff, issue_callback, 0,
         -ENOSYS);
    FLIP("nmi.address", nmi.handler_address, nmi_entry, NONCANONICAL, issue_nmi, 0, -EINVAL);
    timer.timeout_abs_ns = 1;
    FLIP("singleshot.flags", timer.flags, 0, VCPU_SSHOTTMR_future, issue_timer, 0, -ETIME);
    FLIP("runstate.area", area, memory[5], HYPERVISOR_VIRT_START + 8, issue_runstate, 0, -EFAULT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &none), 0);
    FLIP("time.area", area, memory[5] + 2048, HYPERVISOR_VIRT_END - 8, issue_time, 0, -EFAULT);
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &none), 0);
    FLIP("initialise.gdt", context.gdt_ents, 0, ~0UL, issue_initialise, -EEXIST, -EEXIST);
}

/* ---- events ---- */

static struct evtchn_alloc_unbound unbound;
static struct evtchn_bind_virq virq;
static struct evtchn_bind_ipi ipi;
static struct evtchn_bind_vcpu bind;
static struct evtchn_status status;
static struct evtchn_send send;

/* The number is read from what others write: it is the lowest that was free. */
static unsigned int next_port;
static long closed(long rc)
{
    if (rc == 0 && port_close(next_port))
        failure("port %u was not the one", next_port);
    return rc;
}
static long issue_unbound(void)
{
    return closed(hc(event_channel_op, EVTCHNOP_alloc_unbound, &unbound));
}
static long issue_virq(void) { return closed(hc(event_channel_op, EVTCHNOP_bind_virq, &virq)); }
static long issue_ipi(void) { return closed(hc(event_channel_op, EVTCHNOP_bind_ipi, &ipi)); }
static long issue_bind(void)
{
    long rc = hc(event_channel_op, EVTCHNOP_bind_vcpu, &bind);
    struct evtchn_status s = { .dom = DOMID_SELF, .port = bind.port };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_status, &s), 0);
    if (s.vcpu != 0)
        failure("bound to vCPU %u", s.vcpu);
    return rc;
}
static long issue_status(void) { return hc(event_channel_op, EVTCHNOP_status, &status); }
static long issue_send(void) { return hc(event_channel_op, EVTCHNOP_send, &send); }

static struct sched_poll poll;
static evtchn_port_t poll_list[128];
static long issue_poll(void)
{
    poll.timeout = 1;
    return hc(sched_op, SCHEDOP_poll, &poll);
}

static void events(void)
{
    unsigned int a, b;

    port_pair(&a, &b);
    port_mask(a);
    port_mask(b);
    unbound = (struct evtchn_alloc_unbound){ .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &unbound), 0);
    next_port = unbound.port;
    CHECK_EQ(port_close(next_port), 0);
    FLIP("alloc_unbound.domain", unbound.dom, DOMID_SELF, 77, issue_unbound, 0, -ESRCH);
    unbound.dom = DOMID_SELF;
    FLIP("alloc_unbound.port", unbound.port, 0, ~0UL, issue_unbound, 0, 0);
    virq.virq = VIRQ_DEBUG;
    FLIP("bind_virq.vcpu", virq.vcpu, 0, 0xff, issue_virq, 0, -ENOENT);
    virq.vcpu = 0;
    FLIP("bind_virq.virq", virq.virq, VIRQ_DEBUG, 0x80000001, issue_virq, 0, -EINVAL);
    FLIP("bind_ipi.vcpu", ipi.vcpu, 0, 1U << 31, issue_ipi, 0, -ENOENT);
    bind.port = a;
    FLIP("bind_vcpu.vcpu", bind.vcpu, 0, 64, issue_bind, 0, -ENOENT);
    bind.vcpu = 0;
    status.dom = DOMID_SELF;
    FLIP("status.port", status.port, a, 0xffff, issue_status, 0, -EINVAL);
    FLIP("send.port", send.port, a, 1U << 30, issue_send, 0, -EINVAL);
    port_clear_pending(b);
    poll.nr_ports = 1;
    poll_list[0] = a;
    set_xen_guest_handle(poll.ports, poll_list);
    FLIP("poll.count", poll.nr_ports, 1, 129, issue_poll, 0, -EINVAL);
    poll.nr_ports = 128;
    for (unsigned int i = 0; i < 128; i++)
        poll_list[i] = a;
    FLIP("poll.port", poll_list[100], a, 1U << 20, issue_poll, 0, -EINVAL);
    poll_list[100] = a;
    FLIP("poll.list", poll.ports.p, poll_list, HYPERVISOR_VIRT_START, issue_poll, 0, -EFAULT);
}

/* ---- memory ---- */

static struct xen_memory_reservation reservation;
static xen_pfn_t frame, taken;
static uint64_t spare_pfn;

/* A page of the domain's, given back and taken again; the frame is another then. */
static long issue_decrease(void)
{
    xen_pfn_t again = spare_pfn;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    long rc = hc(memory_op, XENMEM_decrease_reservation, &reservation);

    if (rc == 1) {
        set_xen_guest_handle(r.extent_start, &again);
        if (hc(memory_op, XENMEM_populate_physmap, &r) != 1)
            failure("a page that was given back cannot be had again");
        value_a = again;
    }
    return rc;
}

/* With an order of 0 or one that is too big; the frame goes again. */
static long issue_populate(void)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    long rc;

    taken = spare_pfn;
    rc = hc(memory_op, XENMEM_populate_physmap, &reservation);
    if (rc == 1) {
        set_xen_guest_handle(r.extent_start, &taken);
        if (hc(memory_op, XENMEM_decrease_reservation, &r) != 1)
            failure("a page that was taken cannot be given back");
    }
    return rc;
}

static struct xen_memory_exchange exchange;
static xen_pfn_t exchange_out;
static long issue_exchange(void)
{
    long rc;

    exchange_out = spare_pfn;
    exchange.nr_exchanged = 0;
    rc = hc(memory_op, XENMEM_exchange, &exchange);
    if (rc == 0)
        value_a = exchange_out;
    return rc;
}

static long pages(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

static void memory_ops(void)
{
    long before = pages();

    spare_pfn = start_info->nr_pages - 9;
    reservation.nr_extents = 1;
    reservation.domid = DOMID_SELF;
    set_xen_guest_handle(reservation.extent_start, &frame);
    FLIP("decrease.frame", frame, pfn_to_mfn(spare_pfn), 3, issue_decrease, 1, 0);
    frame = value_a;
    set_xen_guest_handle(reservation.extent_start, &taken);
    FLIP("populate.order", reservation.extent_order, 0, 60, issue_populate, 1, 0);
    reservation.extent_order = 0;
    FLIP("populate.count", reservation.nr_extents, 1, 1UL << 60, issue_populate, 1, 0);
    exchange.in = reservation;
    exchange.in.nr_extents = 1;
    set_xen_guest_handle(exchange.in.extent_start, &frame);
    exchange.out = exchange.in;
    set_xen_guest_handle(exchange.out.extent_start, &exchange_out);
    FLIP("exchange.frame", frame, frame, 3, issue_exchange, 0, -EINVAL);
    frame = value_a;
    CHECK_EQ(machine_to_phys_mapping[frame], spare_pfn);
    CHECK_EQ(pages(), before);
}

/* ---- the machine ---- */

static struct physdev_irq_status_query query;
static long issue_query(void) { return hc(physdev_op, PHYSDEVOP_irq_status_query, &query); }
static struct physdev_set_iopl iopl;
static long issue_iopl(void) { return hc(physdev_op, PHYSDEVOP_set_iopl, &iopl); }
static struct physdev_set_iobitmap iobitmap;
static long issue_iobitmap(void) { return hc(physdev_op, PHYSDEVOP_set_iobitmap, &iobitmap); }
static struct physdev_map_pirq pirq;
static long issue_pirq(void)
{
    pirq.domid = DOMID_SELF;
    pirq.type = MAP_PIRQ_TYPE_GSI;
    pirq.pirq = -1;
    return hc(physdev_op, PHYSDEVOP_map_pirq, &pirq);
}
static struct physdev_setup_gsi gsi;
static long issue_gsi(void) { return hc(physdev_op, PHYSDEVOP_setup_gsi, &gsi); }

static struct xen_platform_op platform;
static long issue_platform(void) { return hc(platform_op, &platform); }
static struct xen_sysctl ctl;
static long issue_sysctl(void) { return hc(sysctl, &ctl); }
static struct xen_feature_info features;
static long issue_features(void) { return hc(xen_version, XENVER_get_features, &features); }

static void machine(void)
{
    FLIP("irq_status.irq", query.irq, 9, 1U << 31, issue_query, 0, -EINVAL);
    FLIP("set_iopl", iopl.iopl, 1, 4, issue_iopl, 0, -EINVAL);
    FLIP("set_iobitmap.ports", iobitmap.nr_ports, 0, 65537, issue_iobitmap, 0, -EINVAL);
    FLIP("map_pirq.index", pirq.index, 9, 5000, issue_pirq, 0, -EINVAL);
    gsi.gsi = 9;
    gsi.triggering = gsi.polarity = 1;
    FLIP("setup_gsi.gsi", gsi.gsi, 9, 0x80000009, issue_gsi, 0, -EINVAL);
    platform = (struct xen_platform_op){ .cmd = XENPF_get_cpuinfo };
    FLIP("platform.version", platform.interface_version, XENPF_INTERFACE_VERSION, 5, issue_platform,
         0, -EACCES);
    platform.interface_version = XENPF_INTERFACE_VERSION;
    FLIP("platform.cpu", platform.u.pcpu_info.xen_cpuid, 0, ~0UL, issue_platform, 0, 0);
    ctl = (struct xen_sysctl){ .cmd = XEN_SYSCTL_debug_keys,
                               .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    set_xen_guest_handle(ctl.u.debug_keys.keys, memory[6]);
    if (!on_xen()) /* it presses them: one reboots */
        FLIP("debug_keys.count", ctl.u.debug_keys.nr_keys, 0, 1U << 31, issue_sysctl, 0, -E2BIG);
    ctl.u.debug_keys.nr_keys = 0;
    FLIP("features.index", features.submap_idx, 0, 1U << 31, issue_features, 0, -EINVAL);
}

/* ---- the stack of IRET, and instructions ---- */

static struct iret_context frame_on_stack;
static uint64_t iret_target;

/* To the next instruction on the same stack; what does not work comes back by a trap. */
static __attribute__((noinline)) long issue_iret(void)
{
    TRY("lea 773f(%%rip), %%rax\n mov %%rax, (%2)\n"
        "mov %%rsp, %%rbx\n mov %%rsp, 56(%0)\n mov %0, %%rsp\n mov %1, %%eax\n syscall\n"
        "773: mov %%rbx, %%rsp",
        :
        : "r"(&frame_on_stack), "i"(__HYPERVISOR_iret), "r"(&iret_target)
        : "rax", "rbx", "rcx", "r11", "memory");
    return last_trap.vector;
}

/* What a frame had of no use is not to be had again on the way out of the handler. */
static void repair(struct cpu_user_regs *regs)
{
    if (!try_fixup || this_vcpu())
        failure("unexpected entry %u at %x:0x%lx", regs->entry_vector, regs->cs, regs->rip);
    last_trap.vector = (int)regs->entry_vector;
    regs->rip = try_fixup;
    regs->cs = 0xe030;
    regs->ss = FLAT_KERNEL_SS;
    regs->rflags = 0x1202;
}

static void iret_frames(void)
{
    for (unsigned int v = 0; v < NR_ENTRIES; v++)
        if (v != ENTRY_EVENT && v != TRAP_DF)
            trap_hooks[v] = repair;
    frame_on_stack = (struct iret_context){ .cs = 0xe030, .rflags = 0x1202, .ss = FLAT_KERNEL_SS };
    frame_on_stack.rip = NONCANONICAL; /* the first call tells what is right */
    attack("iret.rip.entry", issue_iret(), TRAP_GP);
    frame_on_stack.rip = iret_target;
    CHECK_EQ(issue_iret(), -1);
    FLIP_TO("iret.rip", frame_on_stack.rip, iret_target, NONCANONICAL, issue_iret);
    FLIP_TO("iret.cs", frame_on_stack.cs, 0xe030, 0x1230, issue_iret);
    FLIP_TO("iret.ss", frame_on_stack.ss, FLAT_KERNEL_SS, 0x1230, issue_iret);
    FLIP_TO("iret.rflags", frame_on_stack.rflags, 0x1202, 0x277202, issue_iret);
}

/*
 * An instruction in a page that is written while it runs, then JMP *R8. rdi: where it may write, a
 * page-table entry; rax: the value that is there already.
 */
static uint8_t *code;
static uint64_t target;
static __attribute__((noinline)) long run_code(void)
{
    uint64_t rax = good_pte;

    TRY("lea 774f(%%rip), %%r8\n jmp *%1\n 774:",
        : "+a"(rax)
        : "r"(code), "D"(target), "c"(0xc0000100UL), "d"(0UL)
        : "memory", "rbx", "r8");
    if (*(volatile uint64_t *)pte != good_pte) {
        if (!on_xen()) /* which emulates mixtures of the old and the new */
            failure("the entry is 0x%lx", *pte);
        CHECK_EQ(mmu_update(virt_to_maddr((void *)pte), good_pte), 0);
    }
    return last_trap.vector;
}

static void instruction(const char *name, const char *bytes, unsigned int len, unsigned int at,
                        uint8_t other)
{
    memcpy(code, bytes, len);
    memcpy(code + len, "\x41\xff\xe0", 3);
    FLIP_TO(name, code[at], bytes[at], other, run_code);
}

static void instructions(void)
{
    uint64_t alias = (uint64_t)memory[7] | ((uint64_t)pte & (PAGE_SIZE - 1));

    /* The CPU may fault on one and the hypervisor see the other: then the fault is the guest's. */
    also = TRAP_GP;
    code = (uint8_t *)memory[6];
    target = (uint64_t)pte;
    instruction("insn.mov-to-add", "\x48\x89\x07", 3, 1, 0x01);
    instruction("insn.mov-to-xchg", "\x48\x89\x07", 3, 1, 0x87);
    instruction("insn.rdmsr-to-ud2", "\x0f\x32", 2, 1, 0x0b);
    instruction("insn.rdmsr-to-wrmsr", "\x0f\x32", 2, 1, 0x30);
    instruction("insn.mov-from-cr3-to-cr3", "\x0f\x20\xd8", 3, 1, 0x22);
    instruction("insn.in-port", "\xe4\x80", 2, 1, 0xf8);
    /* the instruction stays, and what it writes to is now the table, now a plain page */
    target = alias;
    memcpy(code, "\x48\x89\x07", 3);
    memcpy(code + 3, "\x41\xff\xe0", 3);
    width = 0;
    where = memory[7];
    value_a = virt_to_maddr((void *)((uint64_t)pte & ~(PAGE_SIZE - 1))) | (PTE_FLAGS & ~PTE_RW);
    value_b = virt_to_maddr(memory[2]) | PTE_FLAGS;
    issue = run_code;
    want_a = want_b = -1;
    flip_raw("insn.operand-page");
    page_set_rw(memory[7]); /* as it was */
}

void test_main(void)
{
    attacks_begin();
    smp_init();
    page_tables();
    vcpu_state();
    events();
    memory_ops();
    machine();
    iret_frames();
    instructions();
    print("attack_flip: %u pairs of which only one value was seen\n", nr_one_sided);
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
}
