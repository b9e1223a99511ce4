/*
 * Interrupts of a device that every machine has: the RTC's (ISA IRQ 8), periodic, as a pirq. Bound,
 * bound twice, moved between vCPUs, fought for by all of them, and storming because the handler does
 * not quieten the device. Messages of PCI functions that are not there. dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)
#define RTC_IRQ 8
enum { REG_A = 10, REG_B, REG_C };
enum { RATE_8192 = 3, RATE_1024 = 6, B_PERIODIC = 0x40, C_PERIODIC = 0x40 };

static unsigned int port; /* of the pirq, 0: not bound */
static uint64_t arrived[MAX_VCPUS], nr_arrived, nr_eois;
static bool quieten = true; /* the handler reads register C, without which no further one comes */
static bool needs_eoi;
static bool may_unmap; /* Xen closes the port by force, and never lets us map the interrupt again */
static uint8_t first_a, first_b;

/* ---- the RTC: an index and a data port, so one at a time ---- */

static uint8_t rtc_access(uint8_t reg, bool write, uint8_t value)
{
    static bool busy;
    uint8_t mask = vcpu_info(this_vcpu())->evtchn_upcall_mask;

    vcpu_info(this_vcpu())->evtchn_upcall_mask = 1;
    while (__atomic_exchange_n(&busy, true, __ATOMIC_SEQ_CST))
        yield();
    __asm__ volatile("outb %0, $0x70" ::"a"(reg));
    if (write)
        __asm__ volatile("outb %0, $0x71" ::"a"(value));
    else
        __asm__ volatile("inb $0x71, %0" : "=a"(value));
    __atomic_store_n(&busy, false, __ATOMIC_SEQ_CST);
    vcpu_info(this_vcpu())->evtchn_upcall_mask = mask;
    if (!mask)
        hc(xen_version, XENVER_version, 0);
    return value;
}

static uint8_t rtc_read(uint8_t reg) { return rtc_access(reg, false, 0); }

static void rtc_periodic(uint8_t rate)
{
    rtc_access(REG_A, true, (uint8_t)((first_a & 0xf0) | rate));
    rtc_access(REG_B, true, first_b | B_PERIODIC);
    rtc_read(REG_C);
}

static void rtc_off(void)
{
    rtc_access(REG_B, true, first_b);
    rtc_access(REG_A, true, first_a);
    rtc_read(REG_C);
}

/* ---- the pirq ---- */

static long physdev(int cmd, void *arg) { return hc(physdev_op, cmd, arg); }

static long setup_gsi(bool level)
{
    struct physdev_setup_gsi op = { .gsi = RTC_IRQ, .triggering = level, .polarity = 0 };

    return physdev(PHYSDEVOP_setup_gsi, &op);
}

static long map(void)
{
    struct physdev_map_pirq op = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = RTC_IRQ, .pirq = RTC_IRQ
    };
    long rc = physdev(PHYSDEVOP_map_pirq, &op);

    CHECK(rc || op.pirq == RTC_IRQ);
    return rc;
}

static long unmap(int pirq)
{
    struct physdev_unmap_pirq op = { .domid = DOMID_SELF, .pirq = pirq };

    return physdev(PHYSDEVOP_unmap_pirq, &op);
}

static long eoi(uint32_t irq)
{
    struct physdev_eoi op = { .irq = irq };

    return physdev(PHYSDEVOP_eoi, &op);
}

static long bind(unsigned int *to)
{
    struct evtchn_bind_pirq op = { .pirq = RTC_IRQ };
    long rc = hc(event_channel_op, EVTCHNOP_bind_pirq, &op);

    if (rc == 0)
        *to = op.port;
    return rc;
}

static long move(unsigned int vcpu)
{
    struct evtchn_bind_vcpu op = { .port = port, .vcpu = vcpu };

    return hc(event_channel_op, EVTCHNOP_bind_vcpu, &op);
}

/* As Linux: it asks once whether there has to be an EOI. */
static void ask_for_eoi(void)
{
    struct physdev_irq_status_query op = { .irq = RTC_IRQ };

    CHECK_EQ(physdev(PHYSDEVOP_irq_status_query, &op), 0);
    needs_eoi = op.flags & XENIRQSTAT_needs_eoi;
}

static void on_irq(unsigned int p)
{
    ADD(arrived[this_vcpu()], 1);
    ADD(nr_arrived, 1);
    if (LOAD(quieten))
        rtc_read(REG_C);
    if (needs_eoi && (LOAD(quieten) || phase_on())) { /* a storm might never let us out of here */
        CHECK_EQ(eoi(RTC_IRQ), 0);
        ADD(nr_eois, 1);
    }
}

static void open(void)
{
    CHECK_EQ(bind(&port), 0);
    event_hooks[port] = on_irq;
    port_clear_mask(port);
    ask_for_eoi();
}

static void upcalls(bool on) { vcpu_info(this_vcpu())->evtchn_upcall_mask = !on; }

/* ---- one after the other ---- */

static void refusals(void)
{
    struct physdev_map_pirq msi = { .domid = DOMID_SELF,
                                    .type = MAP_PIRQ_TYPE_MSI,
                                    .index = -1,
                                    .pirq = -1,
                                    .bus = 0xfe,
                                    .devfn = 31 << 3 | 7 };
    struct evtchn_bind_pirq op = { .pirq = 200 };
    unsigned int second;

    CHECK_EQ(physdev(PHYSDEVOP_map_pirq, &msi), -ENODEV);
    msi.table_base = 0xfebf0000; /* MSI-X */
    CHECK_EQ(physdev(PHYSDEVOP_map_pirq, &msi), -ENODEV);
    CHECK(hc(event_channel_op, EVTCHNOP_bind_pirq, &op) < 0); /* not mapped */
    op.pirq = ~0u;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_pirq, &op), -EINVAL);
    CHECK_EQ(unmap(200), -EINVAL);
    CHECK_EQ(unmap(-1), -EINVAL);
    CHECK_EQ(eoi(~0u), -EINVAL);

    CHECK_EQ(map(), 0);
    CHECK_EQ(map(), 0); /* again is no error */
    open();
    CHECK_EQ(bind(&second), -EEXIST);
    if (!may_unmap)
        return;
    CHECK_EQ(unmap(RTC_IRQ), -EBUSY);
    CHECK_EQ(port_close(port), 0);
    CHECK_EQ(unmap(RTC_IRQ), 0);
    CHECK(bind(&second) < 0);
    CHECK_EQ(unmap(RTC_IRQ), -EINVAL);
    CHECK_EQ(map(), 0);
    open();
}

/* ---- to all vCPUs in turn ---- */

static void wander(unsigned int me)
{
    upcalls(true);
    while (me && phase_until(&nr_arrived, 100))
        yield();
    while (me == 0 && phase_until(&nr_arrived, 100)) {
        unsigned int to = random() % nr_vcpus;
        uint64_t before = LOAD(arrived[to]);

        CHECK_EQ(move(to), 0);
        if (!wait_until(&arrived[to], before + 2)) /* one may have been on its way */
            failure("no interrupt at vCPU %u in seconds, %lu before; pending %d, masked %d", to,
                    before, port_pending(port), port_masked(port));
    }
}

/* ---- all vCPUs bind, close, move and acknowledge it at once ---- */

static int owners;
static uint64_t nr_bound, nr_not;

static void one_of_(long rc, long a, long b, long c, unsigned int line)
{
    if (rc != a && rc != b && rc != c)
        check_failed((int)line, "answer %ld", rc);
}
#define ONE_OF(rc, a, b, c) one_of_(rc, a, b, c, __LINE__)

static void fight(unsigned int me)
{
    unsigned int mine;
    long rc;

    upcalls(true);
    while (phase_until(&nr_bound, 20)) {
        rc = bind(&mine);
        ONE_OF(rc, 0, -EEXIST, -EINVAL);
        ADD(*(rc ? &nr_not : &nr_bound), 1);
        if (rc == 0) {
            CHECK_EQ(ADD(owners, 1), 0);
            event_hooks[mine] = on_irq;
            port = mine;
            port_clear_mask(mine);
            rtc_read(REG_C);
            for (unsigned int i = random() % 20000; i > 0; i--)
                barrier();
            CHECK_EQ(ADD(owners, -1), 1);
            CHECK_EQ(port_close(mine), 0);
        }
        ONE_OF(eoi(RTC_IRQ), 0, -EINVAL, 0);
        ONE_OF(move(random() % nr_vcpus), 0, -EINVAL, 0);
        if (may_unmap)
            ONE_OF(unmap(RTC_IRQ), 0, -EBUSY, -EINVAL);
        CHECK_EQ(map(), 0);
    }
}

/* ---- a device that is never quietened ---- */

static uint64_t nr_rounds[MAX_VCPUS];

static void storm(unsigned int me)
{
    upcalls(true);
    while (phase_on()) {
        yield();
        ADD(nr_rounds[me], 1);
    }
}

static void storm_test(const char *name)
{
    uint64_t before = nr_arrived;

    memset(nr_rounds, 0, sizeof(nr_rounds));
    __atomic_store_n(&quieten, false, __ATOMIC_SEQ_CST);
    phase(name, 1000, storm);
    __atomic_store_n(&quieten, true, __ATOMIC_SEQ_CST);
    print("irqs: %s: %lu arrived, vCPU 0 and 1 made %lu and %lu rounds\n", name,
          nr_arrived - before, nr_rounds[0], nr_rounds[1]);
    for (unsigned int v = 1; v < nr_vcpus; v++) /* vCPU 0 has the interrupts */
        CHECK(nr_rounds[v] > 0);
    before = nr_arrived;
    rtc_read(REG_C); /* and all is well again */
    if (needs_eoi)
        CHECK_EQ(eoi(RTC_IRQ), 0);
    CHECK(wait_until(&nr_arrived, before + 10));
}

static void set_iopl(unsigned int me)
{
    struct physdev_set_iopl op = { .iopl = 1 };

    CHECK_EQ(physdev(PHYSDEVOP_set_iopl, &op), 0);
}

void test_main(void)
{
    smp_init();
    may_unmap = !on_xen();
    phase("setup", 0, set_iopl);
    first_a = rtc_read(REG_A) & 0x7f;
    first_b = rtc_read(REG_B) & 0x8f;
    print("irqs: RTC registers A 0x%x, B 0x%x\n", first_a, first_b);
    setup_gsi(false); /* on Xen it has been set up for good */
    upcalls(true);
    refusals();
    rtc_periodic(RATE_1024);
    CHECK(wait_until(&nr_arrived, 5));
    phase("wandering", 1500, wander);
    CHECK_EQ(port_close(port), 0);
    phase("fighting", 1500, fight);
    CHECK_EQ(map(), 0);
    open();
    rtc_periodic(RATE_8192);
    CHECK(wait_until(&nr_arrived, nr_arrived + 10));
    storm_test("edge");
    CHECK_EQ(setup_gsi(true), -EEXIST); /* in use */
    CHECK_EQ(port_close(port), 0);
    if (setup_gsi(true) == 0) { /* level-triggered, it comes again after each EOI */
        open();
        CHECK(needs_eoi);
        rtc_read(REG_C);
        storm_test("level");
        CHECK_EQ(port_close(port), 0);
        CHECK_EQ(setup_gsi(false), 0);
    }
    rtc_off();
    for (unsigned int v = 0; v < nr_vcpus; v++)
        print("irqs: vCPU %u: %lu arrived\n", v, arrived[v]);
    print("irqs: %lu EOIs; bound %lu times, refused %lu times\n", nr_eois, nr_bound, nr_not);
}
