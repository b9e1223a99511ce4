/* Interrupts, pirqs and physdev_op against fake I/O APICs: what arrives, is masked, and to whom. */
#include "irq_machine.h"

/* ---- the configuration ports ---- */

static uint32_t port_cf8, port_data, last_cf8;
static uint16_t data_port;

uint32_t arch_port_in(uint16_t port, unsigned int bytes)
{
    data_port = port;
    last_cf8 = port_cf8;
    return port_data & (~0u >> (32 - 8 * bytes));
}
void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value)
{
    (void)bytes;
    ports_written++;
    if (port == 0xcf8) {
        port_cf8 = value;
    } else {
        data_port = port;
        last_cf8 = port_cf8;
        port_data = value;
    }
}

static void setup(void) { machine_setup(); }
static void teardown(void) { machine_teardown(); }

static long setup_gsi(struct domain *d, int gsi, int trig, int pol)
{
    struct physdev_setup_gsi op = { .gsi = gsi,
                                    .triggering = (uint8_t)trig,
                                    .polarity = (uint8_t)pol };

    return CALL(d, PHYSDEVOP_setup_gsi, &op);
}

/* ---- tests ---- */

static void test_an_edge_interrupt_is_acknowledged_and_sent(void)
{
    setup();
    map_same(4);
    CU_ASSERT_EQUAL(bind(dom0, 4), 0);
    CU_ASSERT(!pins[4].masked && !pins[4].level);
    CU_ASSERT(pins[4].vector >= VECTOR_DEVICE_FIRST && pins[4].vector <= VECTOR_DEVICE_LAST);
    interrupt(pins[4].vector);
    interrupt(pins[4].vector);
    CU_ASSERT_EQUAL(sent, 2);
    CU_ASSERT_EQUAL(sent_pirq, 4);
    CU_ASSERT(!pins[4].masked);
    CU_ASSERT_EQUAL(eoi(dom0, 4), 0);
    unbind(dom0, 4);
    CU_ASSERT(pins[4].masked);
    teardown();
}

static void test_a_level_interrupt_is_masked_until_the_guests_eoi(void)
{
    struct physdev_irq_status_query q = { .irq = 20 };

    setup();
    map_same(20);
    CU_ASSERT_EQUAL(setup_gsi(dom0, 20, 1, 1), 0);
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_irq_status_query, &q), 0);
    CU_ASSERT_EQUAL(q.flags, XENIRQSTAT_needs_eoi);
    CU_ASSERT_EQUAL(bind(dom0, 20), 0);
    CU_ASSERT(pins[20].level && pins[20].low);
    CU_ASSERT_EQUAL(setup_gsi(dom0, 20, 0, 0), -EEXIST);
    interrupt(pins[20].vector);
    CU_ASSERT(pins[20].masked);
    CU_ASSERT_EQUAL(sent, 1);
    CU_ASSERT_EQUAL(eoi(domu, 20), -EINVAL); /* not its own */
    CU_ASSERT(pins[20].masked);
    CU_ASSERT_EQUAL(eoi(dom0, 20), 0);
    CU_ASSERT(!pins[20].masked);
    interrupt(pins[20].vector);
    unbind(dom0, 20); /* while in flight */
    CU_ASSERT(pins[20].masked);
    CU_ASSERT_EQUAL(eoi(dom0, 20), 0); /* late: nothing is unmasked */
    CU_ASSERT(pins[20].masked);
    CU_ASSERT_EQUAL(bind(dom0, 20), 0);
    CU_ASSERT(!pins[20].masked);
    unbind(dom0, 20);
    q.irq = 5;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_irq_status_query, &q), 0);
    CU_ASSERT_EQUAL(q.flags, 0);
    q.irq = NR_PIRQS;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_irq_status_query, &q), -EINVAL);
    teardown();
}

static void test_an_interrupt_that_nobody_wants_is_masked_with_one_message(void)
{
    unsigned int vector;

    setup();
    map_same(5);
    CU_ASSERT_EQUAL(bind(dom0, 5), 0);
    vector = pins[5].vector;
    unbind(dom0, 5);
    pins[5].masked = false; /* hardware that does not obey */
    for (int i = 0; i < 99; i++)
        interrupt(vector);
    CU_ASSERT(!pins[5].masked);
    for (int i = 0; i < 1000; i++)
        interrupt(vector);
    CU_ASSERT(pins[5].masked);
    CU_ASSERT_EQUAL(sent, 0);
    CU_ASSERT(strstr(fake_printed, "IRQ 5") != NULL);
    CU_ASSERT(strstr(strstr(fake_printed, "IRQ 5") + 1, "IRQ 5") == NULL);
    interrupt(VECTOR_DEVICE_FIRST); /* on nobody's vector */
    interrupt(0xe5);
    lapic_page[LAPIC_REG_EOI / 4] = 7;
    arch_irq_disable();
    irq_interrupt(0x27); /* a PIC's spurious one is not the APIC's */
    arch_irq_enable();
    CU_ASSERT_EQUAL(lapic_page[LAPIC_REG_EOI / 4], 7);
    teardown();
}

static unsigned int handled;
static void handler(void) { handled++; }

static void test_the_hypervisor_takes_a_line_for_itself(void)
{
    int pirq = 3;

    setup();
    CU_ASSERT_EQUAL(irq_request_hv(0, handler), 0); /* ISA 0 is GSI 2 */
    CU_ASSERT(!pins[2].masked);
    CU_ASSERT_EQUAL(irq_request_hv(HOLE, handler), -ENODEV);
    CU_ASSERT_EQUAL(irq_request_hv(2, handler), -EBUSY);
    interrupt(pins[2].vector);
    CU_ASSERT_EQUAL(handled, 1);
    CU_ASSERT_EQUAL(sent, 0);
    CU_ASSERT_EQUAL(irq_request_hv(3, handler), 0);
    CU_ASSERT_EQUAL(map(dom0, 3, &pirq), 0);
    CU_ASSERT_EQUAL(bind(dom0, 3), -EBUSY);
    CU_ASSERT(!pins[3].masked);
    unbind(dom0, 3);
    CU_ASSERT(!pins[3].masked);
    CU_ASSERT_EQUAL(setup_gsi(dom0, 3, 1, 1), -EEXIST);
    irq_print();
    teardown();
}

static void test_map_pirq_gives_each_gsi_its_own_number(void)
{
    struct physdev_map_pirq op = { .domid = DOMID_SELF, .pirq = -1 };
    int pirq = -1;

    setup();
    CU_ASSERT_EQUAL(bind(dom0, 21), -EINVAL);
    CU_ASSERT_EQUAL(map(dom0, 21, &pirq), 0);
    CU_ASSERT_EQUAL(pirq, 21);
    pirq = -1;
    CU_ASSERT_EQUAL(map(dom0, 21, &pirq), 0);
    CU_ASSERT_EQUAL(pirq, 21);
    CU_ASSERT_EQUAL(map(dom0, 21, &pirq), 0);
    pirq = 40;
    CU_ASSERT_EQUAL(map(dom0, 22, &pirq), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(pirq, 40);
    CU_ASSERT_EQUAL(bind(dom0, 22), -EINVAL);
    CU_ASSERT_EQUAL(bind(dom0, 40), -EINVAL);
    pirq = NR_PIRQS;
    CU_ASSERT_EQUAL(map(dom0, 23, &pirq), -EOPNOTSUPP);
    pirq = -1;
    CU_ASSERT_EQUAL(map(dom0, HOLE, &pirq), -EINVAL);
    CU_ASSERT_EQUAL(map(dom0, NR_PINS, &pirq), -EINVAL);
    CU_ASSERT_EQUAL(map(dom0, -1, &pirq), -EINVAL);
    CU_ASSERT_EQUAL(map(dom0, 0x7fffffff, &pirq), -EINVAL);
    pirq = NR_PIRQS;
    CU_ASSERT_EQUAL(map(dom0, NR_PIRQS, &pirq), -EINVAL);
    op.type = MAP_PIRQ_TYPE_UNKNOWN;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_map_pirq, &op), -EOPNOTSUPP);
    op.type = MAP_PIRQ_TYPE_GSI;
    op.domid = 1;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_map_pirq, &op), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(bind(domu, 21), -EINVAL);
    CU_ASSERT_EQUAL(bind(dom0, 21), 0);
    CU_ASSERT_EQUAL(bind(dom0, 21), -EEXIST);
    unbind(domu, 21);
    CU_ASSERT(!pins[21].masked);
    unbind(dom0, 21);
    CU_ASSERT(pins[21].masked);
    teardown();
}

static void test_physdev_arguments_and_rights(void)
{
    struct physdev_set_iopl iopl = { .iopl = 4 };
    struct physdev_set_iobitmap bm = { .nr_ports = 65537 };
    struct physdev_apic apic = { .apic_physbase = 0xfec00000, .reg = 1 };
    struct physdev_irq irq = { .irq = 9 };
    struct physdev_pci_device_add add = { .bus = 1 };
    static const unsigned int hw[] = {
        PHYSDEVOP_apic_read,         PHYSDEVOP_alloc_irq_vector, PHYSDEVOP_map_pirq,
        PHYSDEVOP_setup_gsi,         PHYSDEVOP_pci_device_add,   PHYSDEVOP_unmap_pirq,
        PHYSDEVOP_pci_device_remove, PHYSDEVOP_restore_msi_ext,
    };
    static const unsigned int none[] = {
        0,
        PHYSDEVOP_pirq_eoi_gmfn_v1,
        PHYSDEVOP_pirq_eoi_gmfn_v2,
        PHYSDEVOP_pci_mmcfg_reserved,
        PHYSDEVOP_dbgp_op,
        PHYSDEVOP_free_irq_vector,
        PHYSDEVOP_apic_write,
        PHYSDEVOP_get_free_pirq,
        PHYSDEVOP_manage_pci_add,
        PHYSDEVOP_manage_pci_remove,
        PHYSDEVOP_restore_msi,
        PHYSDEVOP_prepare_msix,
        32,
        1000,
        ~0u,
    };
    uint8_t buf[64] = { 0 };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(hw); i++) {
        CU_ASSERT_EQUAL(call_rights(domu, hw[i], buf, sizeof(buf), FAKE_READ_WRITE), -EPERM);
        CU_ASSERT_EQUAL(call_rights(dom0, hw[i], buf, sizeof(buf), 0), -EFAULT);
    }
    for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
        CU_ASSERT_EQUAL(call_rights(domu, none[i], buf, sizeof(buf), FAKE_READ_WRITE), -ENOSYS);
    CU_ASSERT_EQUAL(CALL(domu, PHYSDEVOP_set_iopl, &iopl), -EINVAL);
    iopl.iopl = 1;
    CU_ASSERT_EQUAL(CALL(domu, PHYSDEVOP_set_iopl, &iopl), 0);
    CU_ASSERT_EQUAL(domu->vcpu[0]->arch.iopl, 1);
    CU_ASSERT_EQUAL(CALL(domu, PHYSDEVOP_set_iobitmap, &bm), -EINVAL);
    bm.nr_ports = 65536;
    bm.bitmap.p = buf;
    CU_ASSERT_EQUAL(CALL(domu, PHYSDEVOP_set_iobitmap, &bm), 0);
    CU_ASSERT_EQUAL(domu->vcpu[0]->iobitmap_ports, 65536);
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_apic_read, &apic), 0);
    CU_ASSERT_EQUAL(apic.value, 0x170020);
    apic.apic_physbase = 0xfee00000;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_apic_read, &apic), -EINVAL);
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_alloc_irq_vector, &irq), 0);
    CU_ASSERT_EQUAL(irq.vector, 9);
    CU_ASSERT_EQUAL(call_rights(dom0, PHYSDEVOP_alloc_irq_vector, &irq, sizeof(irq),
                                FAKE_READ_ONLY),
                    -EFAULT);
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_pci_device_add, &add), 0);
    CU_ASSERT_EQUAL(setup_gsi(dom0, -1, 1, 1), -EINVAL);
    CU_ASSERT_EQUAL(setup_gsi(dom0, HOLE, 1, 1), -EINVAL);
    teardown();
}

static void test_pci_configuration_ports(void)
{
    uint32_t v = 0x80001234 + 3;

    setup();
    CU_ASSERT(!pci_conf_port(dom0, 0xcf9, 1, true, &v)); /* reset control is another register */
    CU_ASSERT(!pci_conf_port(dom0, 0xcf8, 1, true, &v));
    CU_ASSERT(!pci_conf_port(dom0, 0xcf8, 2, true, &v));
    CU_ASSERT(!pci_conf_port(dom0, 0xcfe, 4, false, &v));
    CU_ASSERT(!pci_conf_port(dom0, 0xd00, 1, false, &v));
    v = 0x12345678; /* not enabled */
    CU_ASSERT(pci_conf_port(dom0, 0xcf8, 4, true, &v));
    CU_ASSERT(pci_conf_port(dom0, 0xcfc, 2, false, &v));
    CU_ASSERT_EQUAL(v, 0xffff);
    CU_ASSERT_EQUAL(ports_written, 0);
    v = 0x80001237;
    CU_ASSERT(pci_conf_port(dom0, 0xcf8, 4, true, &v));
    CU_ASSERT_EQUAL(ports_written, 0);
    v = 0;
    CU_ASSERT(pci_conf_port(dom0, 0xcf8, 4, false, &v));
    CU_ASSERT_EQUAL(v, 0x80001237);
    port_data = 0xabcd;
    CU_ASSERT(pci_conf_port(dom0, 0xcfe, 2, false, &v));
    CU_ASSERT_EQUAL(v, 0xabcd);
    CU_ASSERT_EQUAL(last_cf8, 0x80001234);
    CU_ASSERT_EQUAL(data_port, 0xcfe);
    v = 0x55;
    CU_ASSERT(pci_conf_port(dom0, 0xcff, 1, true, &v));
    CU_ASSERT_EQUAL(port_data, 0x55);
    ports_written = 0; /* a domain without devices */
    v = 0x80000000;
    CU_ASSERT(pci_conf_port(domu, 0xcf8, 4, true, &v));
    CU_ASSERT(pci_conf_port(domu, 0xcfc, 4, false, &v));
    CU_ASSERT_EQUAL(v, 0xffffffff);
    CU_ASSERT(pci_conf_port(domu, 0xcfc, 4, true, &v));
    CU_ASSERT_EQUAL(ports_written, 0);
    teardown();
}

static void test_a_moved_interrupt_goes_to_the_new_cpu(void)
{
    setup();
    map_same(6);
    CU_ASSERT_EQUAL(bind(dom0, 6), 0);
    CU_ASSERT_EQUAL(pins[6].apic_id, FAKE_APIC_ID(0));
    move(dom0, 6, 1);
    CU_ASSERT_EQUAL(pins[6].apic_id, FAKE_APIC_ID(1));
    CU_ASSERT(!pins[6].masked);
    interrupt(pins[6].vector);
    CU_ASSERT_EQUAL(sent_pirq, 6);
    unbind(dom0, 6);
    CU_ASSERT(pins[6].masked);
    teardown();
}

static void test_a_level_interrupt_moved_in_flight_stays_masked(void)
{
    setup();
    map_same(24);
    CU_ASSERT_EQUAL(bind(dom0, 24), 0);
    interrupt(pins[24].vector);
    move(dom0, 24, 1);
    CU_ASSERT(pins[24].masked);
    CU_ASSERT_EQUAL(eoi(dom0, 24), 0);
    CU_ASSERT(!pins[24].masked);
    CU_ASSERT_EQUAL(pins[24].apic_id, FAKE_APIC_ID(1));
    unbind(dom0, 24);
    teardown();
}

static void test_only_its_port_moves_an_interrupt(void)
{
    unsigned long flags;

    setup();
    map_same(7);
    move(dom0, 7, 1); /* not bound */
    CU_ASSERT_EQUAL(bind(dom0, 7), 0);
    flags = spin_lock_irqsave(&dom0->event_lock);
    pirq_move_locked(dom0, 7, PORT_OF(8), 1);
    pirq_move_locked(dom0, NR_PIRQS, PORT_OF(NR_PIRQS), 1);
    spin_unlock_irqrestore(&dom0->event_lock, flags);
    move(domu, 7, 1);
    CU_ASSERT_EQUAL(pins[7].apic_id, FAKE_APIC_ID(0));
    CU_ASSERT(!pins[7].masked);
    unbind(dom0, 7);
    teardown();
}

static long unmap(struct domain *d, domid_t id, int pirq)
{
    struct physdev_unmap_pirq op = { .domid = id, .pirq = pirq };

    return CALL(d, PHYSDEVOP_unmap_pirq, &op);
}

static void test_a_gsi_is_unmapped_unless_it_is_bound(void)
{
    int pirq = 25;

    setup();
    CU_ASSERT_EQUAL(unmap(dom0, DOMID_SELF, 25), -EINVAL);
    map_same(25);
    CU_ASSERT_EQUAL(bind(dom0, 25), 0);
    CU_ASSERT_EQUAL(unmap(dom0, DOMID_SELF, 25), -EBUSY);
    CU_ASSERT(!pins[25].masked);
    unbind(dom0, 25);
    CU_ASSERT_EQUAL(unmap(dom0, 1, 25), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(unmap(dom0, 0, 25), 0);
    CU_ASSERT_EQUAL(bind(dom0, 25), -EINVAL);
    CU_ASSERT_EQUAL(map(dom0, 25, &pirq), 0);
    CU_ASSERT_EQUAL(bind(dom0, 25), 0);
    unbind(dom0, 25);
    teardown();
}

static void test_numbers_of_no_interrupt_are_not_unmapped(void)
{
    static const int none[] = { -1, HOLE, NR_PIRQS, 0x7fffffff, -0x7fffffff };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
        CU_ASSERT_EQUAL(unmap(dom0, DOMID_SELF, none[i]), -EINVAL);
    teardown();
}

/* Random maps, binds, arrivals and EOIs: a pin is open exactly when it is bound and not in flight. */
static void test_a_random_walk_keeps_pins_and_bindings_in_step(void)
{
    enum { FIRST = 32 };
    struct {
        bool mapped, bound, in_flight;
    } m[NR_PINS] = { 0 };

    setup();
    srand(1);
    for (int step = 0; step < 20000; step++) {
        int g = FIRST + rand() % (NR_PINS - FIRST), pirq = g;
        unsigned int before = sent;

        switch (rand() % 6) {
        case 0:
            CU_ASSERT_EQUAL_FATAL(map(dom0, g, &pirq), 0);
            m[g].mapped = true;
            break;
        case 1:
            CU_ASSERT_EQUAL_FATAL(bind(dom0, (uint32_t)g), !m[g].mapped ? -EINVAL
                                                           : m[g].bound ? -EEXIST
                                                                        : 0);
            m[g].bound = m[g].mapped;
            break;
        case 2:
            unbind(dom0, (uint32_t)g);
            m[g].bound = m[g].in_flight = false;
            break;
        case 3:
        case 4:
            if (pins[g].masked)
                break;
            interrupt(pins[g].vector);
            CU_ASSERT_EQUAL_FATAL(sent, before + 1);
            CU_ASSERT_EQUAL_FATAL(sent_pirq, g);
            m[g].in_flight = true;
            break;
        default:
            CU_ASSERT_EQUAL_FATAL(eoi(dom0, (uint32_t)g), m[g].mapped ? 0 : -EINVAL);
            m[g].in_flight = false;
            break;
        }
        for (int i = FIRST; i < NR_PINS; i++)
            CU_ASSERT_EQUAL_FATAL(pins[i].masked, !m[i].bound || m[i].in_flight);
    }
    for (int i = FIRST; i < NR_PINS; i++)
        unbind(dom0, (uint32_t)i);
    teardown();
}

int main(void)
{
    static CU_TestInfo tests[] = {
#define T(name) { #name, name }
        T(test_an_edge_interrupt_is_acknowledged_and_sent),
        T(test_a_level_interrupt_is_masked_until_the_guests_eoi),
        T(test_an_interrupt_that_nobody_wants_is_masked_with_one_message),
        T(test_the_hypervisor_takes_a_line_for_itself),
        T(test_map_pirq_gives_each_gsi_its_own_number),
        T(test_physdev_arguments_and_rights),
        T(test_a_moved_interrupt_goes_to_the_new_cpu),
        T(test_a_level_interrupt_moved_in_flight_stays_masked),
        T(test_only_its_port_moves_an_interrupt),
        T(test_a_gsi_is_unmapped_unless_it_is_bound),
        T(test_numbers_of_no_interrupt_are_not_unmapped),
        T(test_pci_configuration_ports),
        T(test_a_random_walk_keeps_pins_and_bindings_in_step),
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { "irq", NULL, NULL, NULL, NULL, tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    CU_initialize_registry();
    CU_register_suites(suites);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
