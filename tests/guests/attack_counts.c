/*
 * Counts, indices and numbers at every edge: 0, 1, the largest that is good, one more, each single
 * bit, all bits, and the same in the upper halves of registers. The answer is the documented one,
 * and nothing has happened.
 */
#define __XEN_TOOLS__ 1 /* for sysctl.h */
#include "guest.h"

#include <xen/platform.h>
#include <xen/sysctl.h>

#define E2BIG 7
#define VCPUS 2u /* of the row in guests.tsv */
#define GSIS 24u
#define MANY 65536u    /* above all ports, interrupts and the like */
#define FIRST_FREE 16u /* ports from here on are not in use */

static char memory[16][PAGE_SIZE] __attribute__((aligned(4096)));

/* The single bits follow. */
static const uint64_t edges[] = {
    0,
    3,
    5,
    6,
    7,
    9,
    10,
    12,
    13,
    15,
    17,
    23,
    24,
    25,
    31,
    33,
    63,
    65,
    127,
    129,
    255,
    257,
    511,
    513,
    1023,
    4095,
    4097,
    7167,
    7168,
    7169,
    8191,
    8193,
    32751,
    32752,
    32753,
    65535,
    65537,
    999999999,
    1000000000,
    0x7fffffff,
    0x80000001,
    0xffffffff,
    0x100000001,
    0x1000000ff,
    1UL << 58,
    (1UL << 58) - 1,
    0x7fffffffffffffff,
    NONCANONICAL + 1,
    ~0UL - 1,
    ~0UL,
    0x00007fffffffffff,
    0xffff800000000000,
};
#define NR_EDGES (ARRAY_SIZE(edges) + 64)
static uint64_t edge(unsigned int i)
{
    return i < ARRAY_SIZE(edges) ? edges[i] : 1UL << (i - ARRAY_SIZE(edges));
}

static unsigned int wrong, tried;
static void expect(const char *what, uint64_t x, long rc, long want)
{
    tried++;
    if (rc != want && !not_permitted(rc) && wrong++ < 4)
        print("%s 0x%lx: %ld, not %ld\n", what, x, rc, want);
}

/* For each edge x that `which` is true of. */
#define EDGES(name, which, call, want)                   \
    do {                                                 \
        wrong = tried = 0;                               \
        for (unsigned int i_ = 0; i_ < NR_EDGES; i_++) { \
            uint64_t x = edge(i_);                       \
            if (which)                                   \
                expect(name, x, (call), (want));         \
        }                                                \
        CHECK(on_xen() || tried >= 8);                   \
        attack(name, wrong, 0);                          \
    } while (0)

static bool canonical(uint64_t va) { return va + (1UL << 47) < 1UL << 48; }
static bool is_self(uint64_t dom)
{
    return (domid_t)dom == (is_dom0() ? 0 : 1) || (domid_t)dom == DOMID_SELF;
}
static long of_other(uint64_t dom) { return !is_dom0() && (domid_t)dom == 0 ? -EINVAL : -ESRCH; }

/* ---- events ---- */

static long port_op(unsigned int cmd, uint64_t port)
{
    uint32_t p = (uint32_t)port;

    return hc(event_channel_op, cmd, &p);
}

/* A port that one of these gave is closed again. */
static long and_close(unsigned int cmd, void *op, const evtchn_port_t *port)
{
    long rc = hc(event_channel_op, cmd, op);

    if (rc == 0)
        CHECK_EQ(port_close(*port), 0);
    return rc;
}
static long unbound(uint64_t dom, uint64_t remote)
{
    struct evtchn_alloc_unbound op = { .dom = (domid_t)dom, .remote_dom = (domid_t)remote };

    return and_close(EVTCHNOP_alloc_unbound, &op, &op.port);
}
static long virq(uint64_t nr, uint64_t vcpu)
{
    struct evtchn_bind_virq op = { .virq = (uint32_t)nr, .vcpu = (uint32_t)vcpu };

    return and_close(EVTCHNOP_bind_virq, &op, &op.port);
}
static long ipi(uint64_t vcpu)
{
    struct evtchn_bind_ipi op = { .vcpu = (uint32_t)vcpu };

    return and_close(EVTCHNOP_bind_ipi, &op, &op.port);
}
static long pirq(uint64_t nr)
{
    struct evtchn_bind_pirq op = { .pirq = (uint32_t)nr };

    return and_close(EVTCHNOP_bind_pirq, &op, &op.port);
}
static long interdomain(uint64_t dom, uint64_t port)
{
    struct evtchn_bind_interdomain op = { .remote_dom = (domid_t)dom,
                                          .remote_port = (uint32_t)port };

    return and_close(EVTCHNOP_bind_interdomain, &op, &op.local_port);
}
static long bind_vcpu(uint64_t port, uint64_t vcpu)
{
    struct evtchn_bind_vcpu op = { .port = (uint32_t)port, .vcpu = (uint32_t)vcpu };

    return hc(event_channel_op, EVTCHNOP_bind_vcpu, &op);
}
static long status(uint64_t dom, uint64_t port)
{
    struct evtchn_status op = { .dom = (domid_t)dom, .port = (uint32_t)port };
    long rc = hc(event_channel_op, EVTCHNOP_status, &op);

    CHECK(rc || op.status == EVTCHNSTAT_closed || op.port < FIRST_FREE);
    return rc;
}
static long poll(uint64_t nr, uint64_t port, uint64_t timeout)
{
    static evtchn_port_t ports[128];
    struct sched_poll op = { .nr_ports = (unsigned int)nr, .timeout = timeout };

    for (unsigned int i = 0; i < ARRAY_SIZE(ports); i++)
        ports[i] = (evtchn_port_t)port;
    set_xen_guest_handle(op.ports, ports);
    return hc(sched_op, SCHEDOP_poll, &op);
}

static void events(void)
{
    bool free_port;
    unsigned int a, b;

#define FREE_PORT (free_port = (uint32_t)x >= FIRST_FREE || (uint32_t)x == 0)
    EDGES("send.port", FREE_PORT, port_op(EVTCHNOP_send, x), -EINVAL);
    EDGES("close.port", FREE_PORT, port_op(EVTCHNOP_close, x), -EINVAL);
    EDGES("unmask.port", (uint32_t)x >= 4096, port_op(EVTCHNOP_unmask, x), -EINVAL);
    EDGES("bind_vcpu.port", FREE_PORT, bind_vcpu(x, 0), -EINVAL);
    EDGES("status.port", FREE_PORT, status(DOMID_SELF, x),
          (uint32_t)x < (is_dom0() ? 4096 : 1024) ? 0 : -EINVAL);
    EDGES("bind_interdomain.port", FREE_PORT, interdomain(DOMID_SELF, x), -EINVAL);
    CHECK(free_port);
    EDGES("bind_interdomain.domain", true, interdomain(x, 0), is_self(x) ? -EINVAL : of_other(x));
    EDGES("status.domain", true, status(x, FIRST_FREE), is_self(x) ? 0 : -ESRCH);
    EDGES("alloc_unbound.domain", true, unbound(x, DOMID_SELF), is_self(x) ? 0 : -ESRCH);
    EDGES("alloc_unbound.remote", true, unbound(DOMID_SELF, x), 0);
    EDGES("bind_virq.virq", true, virq(x, 0), (uint32_t)x < NR_VIRQS ? 0 : -EINVAL);
    EDGES("bind_virq.vcpu", true, virq(VIRQ_DEBUG, x), (uint32_t)x < VCPUS ? 0 : -ENOENT);
    EDGES("bind_virq.global", true, virq(VIRQ_CONSOLE, x), (uint32_t)x ? -EINVAL : 0);
    EDGES("bind_ipi.vcpu", true, ipi(x), (uint32_t)x < VCPUS ? 0 : -ENOENT);
    EDGES("bind_pirq.pirq", (uint32_t)x >= GSIS, pirq(x), -EINVAL);
    port_pair(&a, &b);
    port_mask(b);
    EDGES("bind_vcpu.vcpu", true, bind_vcpu(a, x), (uint32_t)x < VCPUS ? 0 : -ENOENT);
    CHECK_EQ(port_send(a), 0); /* b is pending: nobody sleeps here */
    EDGES("poll.count", true, poll(x, b, 1), (uint32_t)x <= 128 ? 0 : -EINVAL);
    EDGES("poll.port", (uint32_t)x >= 4096, poll(128, x, 1), -EINVAL);
    EDGES("poll.timeout", true, poll(1, b, x), 0);
    port_close(a);
    port_close(b);
}

/* ---- vCPUs and what they have ---- */

static long gdt(uint64_t nr)
{
    uint64_t frames[14];

    for (unsigned int i = 0; i < ARRAY_SIZE(frames); i++)
        frames[i] = virt_to_mfn(memory[15]);
    return hc(set_gdt, frames, nr);
}
static long ldt(uint64_t va, uint64_t nr) { return mmuext(MMUEXT_SET_LDT, va, nr); }
static long callback(uint64_t address, uint64_t flags)
{
    struct callback_register r = { .type = CALLBACKTYPE_syscall32,
                                   .flags = (uint16_t)flags,
                                   .address = address };

    return hc(callback_op, CALLBACKOP_register, &r);
}
static long trap_address(uint64_t address)
{
    struct trap_info t[2] = { { 0x91, 3, FLAT_KERNEL_CS, address } };

    return hc(set_trap_table, t);
}
static long singleshot(uint64_t ns, uint64_t flags)
{
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = ns, .flags = (uint32_t)flags };

    return hc(vcpu_op, VCPUOP_set_singleshot_timer, 0, &t);
}
static long info(uint64_t mfn, uint64_t offset)
{
    struct vcpu_register_vcpu_info op = { .mfn = mfn, .offset = (uint32_t)offset };

    return hc(vcpu_op, VCPUOP_register_vcpu_info, 0, &op);
}

/* Xen looks at 32 bits. */
static bool no_vcpu(uint64_t x) { return (on_xen() ? (uint32_t)x : x) >= VCPUS; }

static bool dr_exists(uint64_t n) { return n < 8 && n != 4 && n != 5; }

static void vcpus(void)
{
    EDGES("vcpu_op.vcpu", true, hc(vcpu_op, VCPUOP_is_up, x, 0), x < VCPUS ? 1 : -ENOENT);
    EDGES("send_nmi.vcpu", no_vcpu(x), hc(vcpu_op, VCPUOP_send_nmi, x, 0), -ENOENT);
    EDGES("down.vcpu", no_vcpu(x), hc(vcpu_op, VCPUOP_down, x, 0), -ENOENT);
    EDGES("up.vcpu", no_vcpu(x), hc(vcpu_op, VCPUOP_up, x, 0), -ENOENT);
    EDGES("vcpu_info.offset", (uint32_t)x > PAGE_SIZE - 64 || x % 8,
          info(virt_to_mfn(memory[0]), x), -EINVAL);
    EDGES("vcpu_info.frame", x < 16 || x > 1UL << 20, info(x, 0), -EINVAL);
    page_set_ro(memory[15]);
    EDGES("set_gdt.count", true, gdt(x), (uint32_t)x <= 7168 ? 0 : -EINVAL);
    CHECK_EQ(gdt(0), 0);
    page_set_rw(memory[15]);
    EDGES("set_ldt.count", true, ldt((uint64_t)memory, x), (uint32_t)x <= 8192 ? 0 : -EINVAL);
    EDGES("set_ldt.address", true, ldt(x, 8192),
          x % PAGE_SIZE == 0 && canonical(x) &&
                  !(x >= HYPERVISOR_VIRT_START && x < HYPERVISOR_VIRT_END)
              ? 0
              : -EINVAL);
    CHECK_EQ(ldt(0, 0), 0);
    EDGES("set_debugreg.number", true, hc(set_debugreg, x, 0), dr_exists(x) ? 0 : -EINVAL);
    EDGES("get_debugreg.number", !dr_exists(x), hc(get_debugreg, x), -EINVAL);
    EDGES("set_debugreg.dr7", x >> 32, hc(set_debugreg, 7, x), -EINVAL);
    EDGES("set_debugreg.dr6", x >> 32, hc(set_debugreg, 6, x), -EINVAL);
    EDGES("stack_switch", true, hc(stack_switch, x, x), 0);
    CHECK_EQ(hc(stack_switch, FLAT_KERNEL_SS, trap_stack_top), 0);
    EDGES("set_callbacks", true, hc(set_callbacks, event_entry, failsafe_entry, x),
          canonical(x) ? 0 : -EINVAL);
    EDGES("set_callbacks.event", !canonical(x), hc(set_callbacks, x, failsafe_entry, syscall_entry),
          -EINVAL);
    CHECK_EQ(hc(set_callbacks, event_entry, failsafe_entry, syscall_entry), 0);
    EDGES("callback.address", true, callback(x, 0), canonical(x) ? 0 : -EINVAL);
    EDGES("callback.flags", true, callback((uint64_t)syscall_entry, x), 0);
    EDGES("set_trap_table.address", true, trap_address(x), canonical(x) ? 0 : -EINVAL);
    EDGES("segment.fs", true, hc(set_segment_base, SEGBASE_FS, x), canonical(x) ? 0 : -EINVAL);
    EDGES("segment.gs", true, hc(set_segment_base, SEGBASE_GS_USER, x), canonical(x) ? 0 : -EINVAL);
    EDGES("segment.gs-kernel", true, hc(set_segment_base, SEGBASE_GS_KERNEL, x),
          canonical(x) ? 0 : -EINVAL);
    EDGES("segment.gs-selector", true, hc(set_segment_base, SEGBASE_GS_USER_SEL, x), 0);
    for (unsigned int which = SEGBASE_FS; which <= SEGBASE_GS_KERNEL; which++)
        CHECK_EQ(hc(set_segment_base, which, 0), 0);
    EDGES("fpu_taskswitch", true, hc(fpu_taskswitch, x), 0);
    CHECK_EQ(hc(fpu_taskswitch, 0), 0);
    EDGES("set_timer_op", true, hc(set_timer_op, x), 0);
    EDGES("singleshot.time", true, singleshot(x, 0), 0);
    EDGES("singleshot.flags", true, singleshot(1, x), x & VCPU_SSHOTTMR_future ? -ETIME : 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
}

/* The timer works after all that. */
static void timer_works(void)
{
    int port = bind_virq(VIRQ_TIMER, 0);
    uint64_t t = now_ns(0);

    port_mask((unsigned int)port);
    CHECK_EQ(hc(set_timer_op, t + 2000000), 0);
    CHECK_EQ(poll(1, (unsigned int)port, t + 3000000000), 0);
    CHECK(port_pending((unsigned int)port));
    CHECK(now_ns(0) >= t + 2000000);
    CHECK_EQ(port_close((unsigned int)port), 0);
}

/* ---- page tables and lists ---- */

/* A page full of good requests, then nothing; counts is what one request answers. */
static uint32_t done;
static long list_call(unsigned int nr, uint64_t count, uint64_t foreign)
{
    static bool ready;
    struct mmu_update *u = (void *)memory[2];
    struct mmuext_op *op = (void *)memory[4];

    if (!ready) {
        CHECK_EQ(update_va(memory[3], 0, UVMF_INVLPG), 0);
        CHECK_EQ(update_va(memory[5], 0, UVMF_INVLPG), 0);
    }
    ready = true;
    for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*u); i++)
        u[i] = (struct mmu_update){ virt_to_maddr(memory[6]) + 8 * i, i };
    for (unsigned int i = 0; i < PAGE_SIZE / sizeof(*op); i++)
        op[i] = (struct mmuext_op){ .cmd = MMUEXT_INVLPG_LOCAL };
    done = 0;
    return hypercall(nr, nr == __HYPERVISOR_mmu_update ? (uint64_t)u : (uint64_t)op, count,
                     (uint64_t)&done, foreign, 0);
}
static long updates(uint64_t count)
{
    long rc = list_call(__HYPERVISOR_mmu_update, count, DOMID_SELF);
    uint32_t n = (uint32_t)count & 0x7fffffff;

    if (done != (n < 256 ? n : 256))
        print("0x%lx: %u were done\n", count, done);
    return done == (n < 256 ? n : 256) ? rc : 1;
}
static long ext_ops(uint64_t count)
{
    long rc = list_call(__HYPERVISOR_mmuext_op, count, DOMID_SELF);
    uint32_t n = (uint32_t)count & 0x7fffffff;

    return done == (n < 170 ? n : 170) ? rc : 1;
}
static long foreign_want(uint64_t foreign)
{
    uint32_t tables = (uint32_t)foreign >> 16;
    domid_t frames = (domid_t)foreign;

    if (tables && tables != 1 && tables != DOMID_SELF + 1)
        return -ESRCH;
    return frames == DOMID_SELF ? 0 : frames == DOMID_XEN ? -EPERM : -ESRCH;
}
static long invlpg(uint64_t va) { return mmuext(MMUEXT_INVLPG_ALL, va, 0); }

/* Frames of nobody, or of the hypervisor: what is ours is left alone. */
static bool not_ours(uint64_t mfn)
{
    return mfn < 16 || mfn > (uint64_t)hc(memory_op, XENMEM_maximum_ram_page, 0) ||
           machine_to_phys_mapping[mfn] >= start_info->nr_pages;
}

static void tables(void)
{
    uint64_t pte = virt_to_maddr(memory[0]) | PTE_FLAGS;

    EDGES("mmu_update.count", true, updates(x), ((uint32_t)x & 0x7fffffff) <= 256 ? 0 : -EFAULT);
    EDGES("mmuext_op.count", true, ext_ops(x), ((uint32_t)x & 0x7fffffff) <= 170 ? 0 : -EFAULT);
    EDGES("mmu_update.foreign", (domid_t)x != DOMID_IO, list_call(__HYPERVISOR_mmu_update, 1, x),
          foreign_want(x));
    EDGES("mmuext_op.foreign", (domid_t)x != DOMID_IO, list_call(__HYPERVISOR_mmuext_op, 1, x),
          (domid_t)x == DOMID_SELF  ? 0
          : (domid_t)x == DOMID_XEN ? -EPERM
                                    : -ESRCH);
    EDGES("update_va_otherdomain.domain", (domid_t)x != DOMID_IO,
          hc(update_va_mapping_otherdomain, memory[0], pte, 0, x),
          (domid_t)x == DOMID_SELF  ? 0
          : (domid_t)x == DOMID_XEN ? -EPERM
                                    : -ESRCH);
    EDGES("invlpg.address", true, invlpg(x), 0);
    EDGES("update_va.address",
          !canonical(x) || (x >= HYPERVISOR_VIRT_START && x < HYPERVISOR_VIRT_END),
          update_va((void *)x, pte, 0), -EINVAL);
    EDGES("mmu_update.address", not_ours(x >> 12), mmu_update(x & ~7UL, 0), -EINVAL);
    EDGES("m2p.address", not_ours(x >> 12), mmu_update((x & ~7UL) | MMU_MACHPHYS_UPDATE, 5),
          -EINVAL);
    EDGES("pin.frame", not_ours(x), mmuext(MMUEXT_PIN_L1_TABLE, x, 0), -EINVAL);
    EDGES("unpin.frame", not_ours(x), mmuext(MMUEXT_UNPIN_TABLE, x, 0), -EINVAL);
    EDGES("new_baseptr.frame", not_ours(x), mmuext(MMUEXT_NEW_BASEPTR, x, 0), -EINVAL);
    EDGES("clear_page.frame", not_ours(x), mmuext(MMUEXT_CLEAR_PAGE, x, 0), -EINVAL);
    EDGES("copy_page.from", not_ours(x), mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(memory[0]), x),
          -EINVAL);
    EDGES("update_descriptor.address", not_ours(x >> 12), hc(update_descriptor, x, 0), -EINVAL);
    page_set_rw(memory[3]);
    page_set_rw(memory[5]);
}

/* ---- memory ---- */

static long reservation(uint64_t cmd, uint64_t nr, uint64_t order, uint64_t dom, uint64_t flags,
                        xen_pfn_t first)
{
    static xen_pfn_t list[8];
    struct xen_memory_reservation r = { .nr_extents = nr,
                                        .extent_order = (unsigned int)order,
                                        .mem_flags = (unsigned int)flags,
                                        .domid = (domid_t)dom };
    long rc;

    for (unsigned int i = 0; i < ARRAY_SIZE(list); i++)
        list[i] = first;
    set_xen_guest_handle(r.extent_start, list);
    rc = hc(memory_op, cmd, &r);
    if (rc == 1 && cmd == XENMEM_populate_physmap) { /* given back at once */
        r.mem_flags = 0;
        CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &r), 1);
    }
    return rc;
}
static long decrease(uint64_t nr, uint64_t order, uint64_t dom, uint64_t start)
{
    return reservation(XENMEM_decrease_reservation | start << 6, nr, order, dom, 0, 3);
}
static long populate(uint64_t nr, uint64_t order, uint64_t dom, uint64_t flags, uint64_t start)
{
    return reservation(XENMEM_populate_physmap | start << 6, nr, order, dom, flags,
                       start_info->nr_pages - 5);
}
static long size(unsigned int cmd, uint64_t dom)
{
    domid_t id = (domid_t)dom;

    return hc(memory_op, cmd, &id);
}
static long exchange(uint64_t nr_in, uint64_t nr_out, uint64_t order_in, uint64_t order_out,
                     uint64_t nr_done, uint64_t dom)
{
    static xen_pfn_t list[8];
    struct xen_memory_exchange e = { .in = { .nr_extents = nr_in,
                                             .extent_order = (unsigned int)order_in,
                                             .domid = (domid_t)dom },
                                     .out = { .nr_extents = nr_out,
                                              .extent_order = (unsigned int)order_out,
                                              .domid = (domid_t)dom },
                                     .nr_exchanged = nr_done };
    long rc;

    list[0] = 3; /* not ours */
    set_xen_guest_handle(e.in.extent_start, list);
    set_xen_guest_handle(e.out.extent_start, list);
    rc = hc(memory_op, XENMEM_exchange, &e);
    CHECK_EQ(list[0], 3);
    CHECK_EQ(e.nr_exchanged, nr_done);
    return rc;
}
static long memory_map(uint64_t nr)
{
    static char entries[64][20];
    struct xen_memory_map m = { .nr_entries = (unsigned int)nr };
    long rc;

    set_xen_guest_handle(m.buffer, (void *)entries);
    rc = hc(memory_op, XENMEM_machine_memory_map, &m);
    return rc || (m.nr_entries <= 64 && m.nr_entries <= (uint32_t)nr) ? rc : 1;
}

static void memory_ops(void)
{
    uint64_t pfn = start_info->nr_pages - 5;
    long pages;

    /* one page less, so that there is one to be had */
    CHECK_EQ(reservation(XENMEM_decrease_reservation, 1, 0, DOMID_SELF, 0, pfn_to_mfn(pfn)), 1);
    pages = size(XENMEM_current_reservation, DOMID_SELF);
    EDGES("decrease.count", true, decrease(x, 0, DOMID_SELF, 0), 0);
    EDGES("decrease.order", true, decrease(1, x, DOMID_SELF, 0), 0);
    EDGES("decrease.domain", true, decrease(1, 0, x, 0), is_self(x) ? 0 : -ESRCH);
    EDGES("decrease.start", true, decrease(5, 0, DOMID_SELF, x), (long)(x << 6 >> 6));
    EDGES("populate.start", x << 6, populate(1, 0, DOMID_SELF, 0, x), (long)(x << 6 >> 6));
    EDGES("populate.domain", !is_self(x), populate(1, 0, x, 0, 0), -ESRCH);
    EDGES("populate.order", (uint32_t)x > 12, populate(1, x, DOMID_SELF, 0, 0), 0);
    EDGES("populate.count", x == 0 || x > ~0UL >> 6, populate(x, 0, DOMID_SELF, 0, 0), 0);
    EDGES("populate.flags", (x & 0xff) == 0, populate(1, 0, DOMID_SELF, x, 0),
          (uint32_t)x & XENMEMF_populate_on_demand ? 0 : 1);
    EDGES("populate.address-bits", true, populate(1, 0, DOMID_SELF, x & 0x8f, 0) >> 1, 0);
    EDGES("current.domain", !is_self(x), size(XENMEM_current_reservation, x), -ESRCH);
    EDGES("maximum.domain", !is_self(x), size(XENMEM_maximum_reservation, x), -ESRCH);
    EDGES("exchange.count", true, exchange(x, x, 0, 0, 0, DOMID_SELF), x ? -EINVAL : 0);
    EDGES("exchange.unequal", x != 1, exchange(x, 1, 0, 0, 0, DOMID_SELF), -EINVAL);
    EDGES("exchange.wrap", x > 1UL << 52, exchange(x, x << 12, 12, 0, 0, DOMID_SELF), -EINVAL);
    EDGES("exchange.done", x > 1, exchange(1, 1, 0, 0, x, DOMID_SELF), -EINVAL);
    EDGES("exchange.order", (uint32_t)x, exchange(1, 1, x, 0, 0, DOMID_SELF),
          (uint32_t)x > 12 ? -EPERM : -EINVAL);
    EDGES("exchange.orders", true, exchange(1, 1, x, x, 0, DOMID_SELF),
          (uint32_t)x > 12 ? -EPERM : -EINVAL);
    EDGES("exchange.domain", !is_self(x), exchange(1, 1, 0, 0, 0, x), -ESRCH);
    EDGES("machine_memory_map.count", true, memory_map(x), 0);
    EDGES("unused-argument", true, hc(memory_op, XENMEM_maximum_ram_page, x, x, x),
          hc(memory_op, XENMEM_maximum_ram_page, 0));
    CHECK_EQ(size(XENMEM_current_reservation, DOMID_SELF), pages);
}

/* ---- the machine ---- */

static long console(unsigned int cmd, uint64_t count, const void *p)
{
    return hc(console_io, cmd, count, p);
}
static long platform(uint64_t secs, uint64_t nsecs, uint64_t mbz, uint64_t time)
{
    struct xen_platform_op op = { .cmd = XENPF_settime64,
                                  .interface_version = XENPF_INTERFACE_VERSION };

    op.u.settime64.secs = secs;
    op.u.settime64.nsecs = (uint32_t)nsecs;
    op.u.settime64.mbz = (uint32_t)mbz;
    op.u.settime64.system_time = time;
    return hc(platform_op, &op);
}
static long cpuinfo(uint64_t cpu)
{
    struct xen_platform_op op = { .cmd = XENPF_get_cpuinfo,
                                  .interface_version = XENPF_INTERFACE_VERSION };
    long rc;

    op.u.pcpu_info.xen_cpuid = (uint32_t)cpu;
    rc = hc(platform_op, &op);
    return rc ? rc : (long)op.u.pcpu_info.flags;
}
static long sleep_state(uint64_t state, uint64_t flags)
{
    struct xen_platform_op op = { .cmd = XENPF_enter_acpi_sleep,
                                  .interface_version = XENPF_INTERFACE_VERSION };

    op.u.enter_acpi_sleep.sleep_state = (uint32_t)state;
    op.u.enter_acpi_sleep.flags = (uint32_t)flags;
    return hc(platform_op, &op);
}
static long keys(uint64_t nr)
{
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_debug_keys,
                             .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    set_xen_guest_handle(op.u.debug_keys.keys, memory[0]);
    op.u.debug_keys.nr_keys = (uint32_t)nr;
    return hc(sysctl, &op);
}
static long map_pirq(uint64_t dom, uint64_t type, uint64_t index, uint64_t nr)
{
    struct physdev_map_pirq op = {
        .domid = (domid_t)dom, .type = (int)type, .index = (int)index, .pirq = (int)nr
    };

    return hc(physdev_op, PHYSDEVOP_map_pirq, &op);
}
static long unmap_pirq(uint64_t dom, uint64_t nr)
{
    struct physdev_unmap_pirq op = { .domid = (domid_t)dom, .pirq = (int)nr };

    return hc(physdev_op, PHYSDEVOP_unmap_pirq, &op);
}
/* The operations whose structure begins with a number of 32 bits. */
static long physdev(unsigned int cmd, uint64_t x)
{
    uint32_t op[8] = { (uint32_t)x };

    return hc(physdev_op, cmd, op);
}
static long ports(uint64_t nr)
{
    struct physdev_set_iobitmap op = { .nr_ports = (uint32_t)nr };

    set_xen_guest_handle(op.bitmap, (uint8_t *)0x1000);
    return hc(physdev_op, PHYSDEVOP_set_iobitmap, &op);
}
static long pci_add(uint64_t segment, uint64_t bus, uint64_t devfn)
{
    struct physdev_pci_device_add op = { .seg = (uint16_t)segment,
                                         .bus = (uint8_t)bus,
                                         .devfn = (uint8_t)devfn };

    return hc(physdev_op, PHYSDEVOP_pci_device_add, &op);
}

static void machine(void)
{
    uint64_t secs = (uint64_t)shared_info->wc_sec_hi << 32 | shared_info->wc_sec;
    uint32_t nsecs = shared_info->wc_nsec;

    CHECK_EQ(update_va(memory[7], 0, UVMF_INVLPG), 0);
    EDGES("console_write.count", true, console(CONSOLEIO_write, x, memory[7]),
          (uint32_t)x ? -EFAULT : 0);
    EDGES("console_read.count", true, console(CONSOLEIO_read, x, memory[8]), 0);
    page_set_rw(memory[7]);
    EDGES("settime.seconds", true, platform(x, 0, 0, 0), 0);
    EDGES("settime.time", true, platform(secs, 0, 0, x), 0);
    EDGES("settime.nanoseconds", true, platform(secs, x, 0, 0),
          (uint32_t)x < 1000000000 ? 0 : -EINVAL);
    EDGES("settime.mbz", (uint32_t)x, platform(secs, 0, x, 0), -EINVAL);
    CHECK_EQ(platform(secs, nsecs, 0, 0), is_dom0() ? 0 : -EPERM);
    EDGES("cpuinfo.cpu", true, cpuinfo(x),
          (uint32_t)x < 2 ? XEN_PCPU_FLAGS_ONLINE : XEN_PCPU_FLAGS_INVALID);
    EDGES("sleep.state", (uint32_t)x != 5 && !on_xen(), sleep_state(x, 0),
          (uint32_t)x < 5 ? -EOPNOTSUPP : -EINVAL);
    EDGES("sleep.flags", (uint32_t)x && !on_xen(), sleep_state(5, x),
          (uint32_t)x == XENPF_ACPI_SLEEP_EXTENDED ? -EOPNOTSUPP : -EINVAL);
    EDGES("debug_keys.count", !on_xen() && ((uint32_t)x == 0 || (uint32_t)x > 16), keys(x),
          (uint32_t)x ? -E2BIG : 0);
    EDGES("map_pirq.domain", !is_self(x), map_pirq(x, MAP_PIRQ_TYPE_GSI, 9, -1L), -EOPNOTSUPP);
    EDGES("map_pirq.type",
          (uint32_t)x != MAP_PIRQ_TYPE_MSI && (uint32_t)x != MAP_PIRQ_TYPE_GSI &&
              (uint32_t)x != MAP_PIRQ_TYPE_MSI_SEG,
          map_pirq(DOMID_SELF, x, 9, -1L), -EOPNOTSUPP);
    EDGES("map_pirq.index", (uint32_t)x >= GSIS, map_pirq(DOMID_SELF, MAP_PIRQ_TYPE_GSI, x, -1L),
          -EINVAL);
    EDGES("map_pirq.pirq", (int)x >= 0 && (uint32_t)x != 9,
          map_pirq(DOMID_SELF, MAP_PIRQ_TYPE_GSI, 9, x), -EOPNOTSUPP);
    EDGES("unmap_pirq.domain", !is_self(x), unmap_pirq(x, 9), -EOPNOTSUPP);
    EDGES("unmap_pirq.pirq", (uint32_t)x >= MANY, unmap_pirq(DOMID_SELF, x), -EINVAL);
    EDGES("irq_status.irq", (uint32_t)x >= MANY, physdev(PHYSDEVOP_irq_status_query, x), -EINVAL);
    EDGES("eoi.irq", (uint32_t)x >= MANY, physdev(PHYSDEVOP_eoi, x), -EINVAL);
    EDGES("setup_gsi.gsi", (uint32_t)x >= GSIS, physdev(PHYSDEVOP_setup_gsi, x), -EINVAL);
    EDGES("set_iopl", true, physdev(PHYSDEVOP_set_iopl, x), (uint32_t)x <= 3 ? 0 : -EINVAL);
    CHECK_EQ(physdev(PHYSDEVOP_set_iopl, 0), 0);
    EDGES("set_iobitmap.ports", true, ports(x), (uint32_t)x <= 65536 ? 0 : -EINVAL);
    CHECK_EQ(ports(0), 0);
    EDGES("pci_device_add.segment", (uint16_t)x, pci_add(x, 0, 0), 0);
    EDGES("pci_device_add.bus", true, pci_add(0, x, x), 0);
    EDGES("apic_read.register", (uint32_t)x, physdev(PHYSDEVOP_apic_read, x), -EINVAL);
}

void test_main(void)
{
    attacks_begin();
    events();
    witness_check();
    vcpus();
    witness_check();
    timer_works();
    tables();
    witness_check();
    memory_ops();
    witness_check();
    machine();
    witness_check();
    timer_works();
    TRY0("ud2");
    CHECK(trapped(TRAP_UD));
}
