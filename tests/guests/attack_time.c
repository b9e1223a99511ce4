/*
 * Operations that last as long as the guest likes: on one physical CPU vCPU 0 issues the longest
 * there are, while vCPU 1 sleeps for half a millisecond at a time and sees how late it wakes. What is
 * not preempted makes it as late as the operation is long, each time. A host that is busy elsewhere
 * makes it late as well, but not each time: an operation is tried again before it fails.
 */
#include "guest.h"

#define US 1000UL
#define LATE_NS 60000000UL /* README: 0.25 ms * 3 + 5 ms; the host may be busy */
#define TRIES 8
#define SHORT_NS 8000000UL /* nobody can tell whether something so short was preempted */
#define SLOW_NS 20000000UL /* otherwise the sleeper wakes at least once in this time */
#define NR_UPDATES 200000
#define NR_PAGES 20000
#define NR_TRAPS 262144
#define BIG_ORDER 12
#define NR_TABLES 1027

static struct mmu_update updates[NR_UPDATES];
static struct mmuext_op ops[16384];
static struct multicall_entry calls[4096];
static struct trap_info traps[NR_TRAPS];
static xen_pfn_t pages[NR_PAGES];
static char tables[NR_TABLES][PAGE_SIZE] __attribute__((aligned(4096)));
static char text[20000];
static char *plain;

/* ---- the one that is late ---- */

static volatile uint64_t latest, wakes;
static volatile bool stop;

static void sleeper(unsigned int vcpu)
{
    while (vcpu == 1 && !stop) {
        struct sched_poll poll = { .timeout = now() + 500 * US };
        uint64_t late;

        hc(sched_op, SCHEDOP_poll, &poll);
        late = now() - poll.timeout;
        if (late < 1UL << 62 && late > latest)
            latest = late;
        wakes = wakes + 1;
    }
}

static void measure_to(const char *name, void (*fn)(void), uint64_t limit)
{
    uint64_t took = 0, best = ~0UL, longest = 0, woken = 0, t, seen;
    bool good = false;

    for (unsigned int i = 0; i < TRIES && !good; i++) {
        seen = wakes;
        while (wakes < seen + 2)
            yield();
        latest = 0;
        seen = wakes;
        t = now();
        fn();
        took = now() - t;
        woken = wakes - seen;
        seen = wakes;
        while (wakes < seen + 2) /* one that was late because of it has said so */
            yield();
        best = latest < best ? latest : best;
        longest = took > longest ? took : longest;
        good = best <= limit && (took < SHORT_NS || woken >= 2 + took / SLOW_NS);
    }
    print("%s: %lu us, %lu wakes, at most %lu us late\n", name, longest / US, woken, best / US);
    attack(name, good, true);
    witness_check();
}
static void measure(const char *name, void (*fn)(void)) { measure_to(name, fn, LATE_NS); }

/* ---- the long ones ---- */

static void op_nothing(void)
{
    for (uint64_t end = now() + 100000000; now() < end;)
        cpu_relax();
}

static void op_mmu_update(void)
{
    unsigned int done;

    CHECK_EQ(hc(mmu_update, updates, NR_UPDATES, &done, DOMID_SELF), 0);
    CHECK_EQ(done, NR_UPDATES);
}

static void op_list(unsigned int cmd)
{
    unsigned int done;

    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        ops[i] = (struct mmuext_op){ .cmd = cmd };
        ops[i].arg1.mfn = virt_to_mfn(plain);
        ops[i].arg2.src_mfn = virt_to_mfn(tables[0]);
        if (cmd == MMUEXT_SET_LDT) {
            ops[i].arg1.linear_addr = (uint64_t)tables & ~(PAGE_SIZE - 1);
            ops[i].arg2.nr_ents = i & 1 ? 8192 : 0;
        }
    }
    if (cmd == MMUEXT_FLUSH_CACHE_GLOBAL && !has_device()) { /* for those with devices */
        CHECK_EQ(hc(mmuext_op, ops, ARRAY_SIZE(ops), &done, DOMID_SELF), -EACCES);
        return;
    }
    CHECK_EQ(hc(mmuext_op, ops, ARRAY_SIZE(ops), &done, DOMID_SELF), 0);
    CHECK_EQ(done, ARRAY_SIZE(ops));
}
static void op_copy(void) { op_list(MMUEXT_COPY_PAGE); }
static void op_flush(void) { op_list(MMUEXT_TLB_FLUSH_ALL); }
static void op_cache(void) { op_list(MMUEXT_FLUSH_CACHE_GLOBAL); }
static void op_ldt(void)
{
    op_list(MMUEXT_SET_LDT);
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
}

static void op_multicall(void)
{
    for (unsigned int i = 0; i < ARRAY_SIZE(calls); i++)
        calls[i] = (struct multicall_entry){ .op = __HYPERVISOR_mmu_update,
                                             .args = { (uint64_t)updates, 64, 0, DOMID_SELF } };
    CHECK_EQ(hc(multicall, calls, ARRAY_SIZE(calls)), 0);
}

/* The same vectors again and again. */
static void op_traps(void) { CHECK_EQ(hc(set_trap_table, traps), 0); }

static long reservation(unsigned int cmd, uint64_t nr, unsigned int order)
{
    struct xen_memory_reservation r = { .nr_extents = nr,
                                        .extent_order = order,
                                        .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, pages);
    return hc(memory_op, cmd, &r);
}

static uint64_t first_pfn(void) { return start_info->nr_pages - NR_PAGES; }
static uint64_t *p2m(void) { return (uint64_t *)start_info->mfn_list + first_pfn(); }

static void give(void)
{
    memcpy(pages, p2m(), sizeof(pages));
    CHECK_EQ(reservation(XENMEM_decrease_reservation, NR_PAGES, 0), NR_PAGES);
}
static void take(void)
{
    for (unsigned int i = 0; i < NR_PAGES; i++)
        pages[i] = first_pfn() + i;
    CHECK_EQ(reservation(XENMEM_populate_physmap, NR_PAGES, 0), NR_PAGES);
    memcpy(p2m(), pages, sizeof(pages));
}
static void op_memory(void)
{
    give();
    take();
}

/* The largest extents: each is one step. As many as there are in one piece. */
static void op_extents(void)
{
    long n;

    for (unsigned int i = 0; i < 4; i++)
        pages[i] = first_pfn() + ((uint64_t)i << BIG_ORDER);
    n = reservation(XENMEM_populate_physmap, 4, BIG_ORDER);
    CHECK(n >= 0);
    CHECK_EQ(reservation(XENMEM_decrease_reservation, (uint64_t)n, BIG_ORDER), n);
}

static void op_exchange(void)
{
    static xen_pfn_t out[NR_PAGES];
    struct xen_memory_exchange x = { .in = { .nr_extents = NR_PAGES, .domid = DOMID_SELF },
                                     .out = { .nr_extents = NR_PAGES, .domid = DOMID_SELF } };

    memcpy(pages, p2m(), sizeof(pages));
    for (unsigned int i = 0; i < NR_PAGES; i++)
        out[i] = first_pfn() + i;
    set_xen_guest_handle(x.in.extent_start, pages);
    set_xen_guest_handle(x.out.extent_start, out);
    CHECK_EQ(hc(memory_op, XENMEM_exchange, &x), 0);
    CHECK_EQ(x.nr_exchanged, NR_PAGES);
    memcpy(p2m(), out, sizeof(out));
}

/* A thousand full L1 tables, valid in one go, and undone in one. */
static void op_pin(void)
{
    CHECK_EQ(pin(4, tables[0]), 0);
    CHECK_EQ(unpin(tables[0]), 0);
}

/* The tree goes with the last reference to its root: by an entry that is written. */
static void op_link(void)
{
    uint64_t *slot = kernel_root + 2;

    CHECK_EQ(pte_write(slot, virt_to_maddr(tables[1]) | PTE_FLAGS), 0);
    CHECK_EQ(pte_write(slot, 0), 0);
}

static void tree(void)
{
    uint64_t *l4 = (uint64_t *)tables[0], *l3 = (uint64_t *)tables[1];

    l4[0] = virt_to_maddr(l3) | PTE_FLAGS;
    for (unsigned int k = 0; k < NR_TABLES; k++) {
        uint64_t *table = (uint64_t *)tables[k];

        if (k == 2 || k == 3)
            l3[k] = virt_to_maddr(table) | PTE_FLAGS;
        if (k < 4)
            continue;
        for (unsigned int j = 0; j < 512; j++)
            table[j] = virt_to_maddr(plain) | PTE_FLAGS;
        ((uint64_t *)tables[2 + k / 512 % 2])[k % 512] = virt_to_maddr(table) | PTE_FLAGS;
    }
    for (unsigned int k = 0; k < NR_TABLES; k++)
        page_set_ro(tables[k]);
}

static void op_console(void) { CHECK_EQ(hc(console_io, CONSOLEIO_write, sizeof(text), text), 0); }

/* ---- storms of short ones ---- */

#define STORM(body)                                     \
    for (uint64_t end = now() + 60000000; now() < end;) \
        for (unsigned int i = 0; i < 64; i++)           \
    body

static void op_poll(void)
{
    static evtchn_port_t ports[128];
    struct sched_poll poll = { .nr_ports = 128, .timeout = 1 };

    set_xen_guest_handle(poll.ports, ports);
    STORM(hc(sched_op, SCHEDOP_poll, &poll));
}

static void op_vcpu(void)
{
    static struct vcpu_guest_context ctx;
    static struct vcpu_runstate_info info;
    uint64_t area = (uint64_t)plain;

    STORM({
        CHECK_EQ(hc(vcpu_op, VCPUOP_initialise, 1, &ctx), -EEXIST);
        CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), 0);
        CHECK_EQ(hc(vcpu_op, VCPUOP_get_runstate_info, 1, &info), 0);
        CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &area), 0);
        CHECK_EQ(hc(set_timer_op, 1), 0);
    });
    area = 0;
    CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &area), 0);
}

static void op_physdev(void)
{
    struct physdev_pci_device_add dev = { 0 };
    struct physdev_unmap_pirq unmap = { .domid = DOMID_SELF };
    struct physdev_map_pirq map = { .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI, .pirq = -1 };

    for (unsigned int bdf = 0; bdf < 0x10000; bdf += 3) {
        dev.bus = (uint8_t)(bdf >> 8);
        dev.devfn = (uint8_t)bdf;
        map.bus = dev.bus;
        map.devfn = dev.devfn;
        CHECK_EQ(hc(physdev_op, PHYSDEVOP_pci_device_add, &dev), is_dom0() ? 0 : -EPERM);
        map.table_base = 0;
        if (hc(physdev_op, PHYSDEVOP_map_pirq, &map) == 0) {
            unmap.pirq = map.pirq;
            CHECK_EQ(hc(physdev_op, PHYSDEVOP_unmap_pirq, &unmap), 0);
        }
        map.pirq = -1;
    }
}

static void op_events(void)
{
    unsigned int a, b;

    port_pair(&a, &b);
    STORM({
        CHECK_EQ(port_send(a), 0);
        CHECK_EQ(port_send(b), 0);
        port_clear_pending(a);
        port_clear_pending(b);
    });
    port_close(a);
    port_close(b);
}

static void all(unsigned int vcpu)
{
    sleeper(vcpu);
    if (vcpu)
        return;
    measure("nothing", op_nothing);
    measure("mmu_update", op_mmu_update);
    measure("multicall", op_multicall);
    measure("copy_page", op_copy);
    measure("tlb_flush", op_flush);
    measure("flush_cache", op_cache);
    measure("set_ldt", op_ldt);
    measure("set_trap_table", op_traps);
    measure("memory.lists", op_memory);
    measure("memory.exchange", op_exchange);
    give();
    measure("memory.extents", op_extents);
    take();
    tree();
    measure("pin", op_pin);
    measure("link", op_link);
    measure_to("console_io", op_console, ~0UL); /* a line that is stuck holds up the CPU */
    measure("poll", op_poll);
    measure("vcpu_op", op_vcpu);
    measure("physdev_op", op_physdev);
    measure("events", op_events);
    stop = true;
}

void test_main(void)
{
    uint64_t entry;

    attacks_begin();
    smp_init();
    plain = page_alloc();
    entry = virt_to_maddr(pte_of(kernel_root, (uint64_t)plain, 1));
    for (unsigned int i = 0; i < NR_UPDATES; i++)
        updates[i] = (struct mmu_update){ entry, virt_to_maddr(plain) |
                                                     (i & 1 ? PTE_FLAGS : PTE_FLAGS & ~PTE_RW) };
    for (unsigned int i = 0; i < NR_TRAPS; i++)
        traps[i] =
            (struct trap_info){ (uint8_t)(0x80 | i), 0, FLAT_KERNEL_CS, (uint64_t)trap_stubs };
    traps[NR_TRAPS - 1].address = 0;
    for (unsigned int i = 0; i < sizeof(text); i++)
        text[i] = i % 100 == 99 ? '\n' : '.';
    phase("long operations", 0, all);
}
