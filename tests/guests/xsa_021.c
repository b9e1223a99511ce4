/*
 * Numbers of physical interrupts at and beyond every limit, negative ones too (XSA-21: not checked),
 * messages of functions and table entries that are not there (XSA-237), and that each error path
 * leaves its locks as it found them (XSA-458). What Xen once let anybody do is not here (XSA-13, 87).
 */
#include "guest.h"

static long physdev(int cmd, void *arg) { return hc(physdev_op, cmd, arg); }

static const int numbers[] = { -1,    -2,        -1024,      1023,   1024,
                               1025,  4095,      4096,       65535,  65536,
                               65544, 0x1000000, 0x7fffffff, -65536, -0x7fffffff - 1 };

static long bind(int pirq, unsigned int *port)
{
    struct evtchn_bind_pirq b = { .pirq = (uint32_t)pirq };
    long rc = hc(event_channel_op, EVTCHNOP_bind_pirq, &b);

    *port = b.port;
    return rc;
}

static long unmap(int pirq)
{
    struct physdev_unmap_pirq u = { .domid = DOMID_SELF, .pirq = pirq };

    return physdev(PHYSDEVOP_unmap_pirq, &u);
}

/* The serial port's interrupt is the hypervisor's, a free one is the domain's: as before it all? */
static void still_works(void)
{
    struct physdev_map_pirq m = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = 8, .pirq = 8
    };
    unsigned int port = 0;

    CHECK_EQ(physdev(PHYSDEVOP_map_pirq, &m), 0);
    CHECK_EQ(bind(8, &port), 0);
    if (!on_xen())
        CHECK_EQ(unmap(8), -EBUSY);
    CHECK_EQ(port_close(port), 0);
}

static void ranges(void)
{
    unsigned int mapped = 0, bound = 0, other = 0, port;

    for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
        int n = numbers[i];
        struct physdev_eoi eoi = { .irq = (uint32_t)n };
        struct physdev_irq_status_query query = { .irq = (uint32_t)n };
        struct physdev_setup_gsi gsi = { .gsi = n };

        for (int pirq = -1; pirq < 2; pirq++) {
            struct physdev_map_pirq m = { .domid = DOMID_SELF,
                                          .type = MAP_PIRQ_TYPE_GSI,
                                          .index = n,
                                          .pirq = pirq == 1 ? n : pirq };

            mapped += physdev(PHYSDEVOP_map_pirq, &m) == 0;
        }
        bound += bind(n, &port) == 0;
        other += physdev(PHYSDEVOP_eoi, &eoi) == 0;
        other += unmap(n) == 0;
        other += physdev(PHYSDEVOP_setup_gsi, &gsi) == 0;
        if (n != 1023) /* a number that may be, only unused */
            other += physdev(PHYSDEVOP_irq_status_query, &query) == 0;
    }
    attack("gsi.mapped", mapped, 0);
    attack("gsi.bound", bound, 0);
    attack("gsi.other", other, 0);
    still_works();
}

static long map_message(int type, int bus, int devfn, int entry, uint64_t table, int *pirq)
{
    struct physdev_map_pirq m = { .domid = DOMID_SELF,
                                  .type = type,
                                  .index = -1,
                                  .pirq = *pirq,
                                  .bus = bus,
                                  .devfn = devfn,
                                  .entry_nr = entry,
                                  .table_base = table };
    long rc = physdev(PHYSDEVOP_map_pirq, &m);

    *pirq = m.pirq;
    return rc;
}

/* Every function of the bus, entries in and out of the table; what is mapped is unmapped, once. */
static void messages(void)
{
    static const int entries[] = {
        -1, -2048, 2048, 2049, 65535, 65536, 0x7fffffff, -0x7fffffff - 1
    };
    unsigned int beyond = 0, twice = 0, found = 0, wrong = 0;

    for (int devfn = 0; devfn < 256; devfn++) {
        int pirq = -1, second = -1, none;

        if (map_message(MAP_PIRQ_TYPE_MSI_SEG, 0, devfn, 0, 0x1000, &pirq) != 0)
            continue;
        found++;
        twice += map_message(MAP_PIRQ_TYPE_MSI_SEG, 0, devfn, 0, 0x1000, &second) == 0;
        for (unsigned int i = 0; i < ARRAY_SIZE(entries); i++) {
            none = -1;
            beyond += map_message(MAP_PIRQ_TYPE_MSI_SEG, 0, devfn, entries[i], 0x1000, &none) == 0;
        }
        for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) { /* a pirq of the caller's choice */
            none = numbers[i];
            if (none >= 0) /* negative: any */
                wrong += map_message(MAP_PIRQ_TYPE_MSI_SEG, 0, devfn, 1, 0x1000, &none) == 0;
        }
        CHECK_EQ(unmap(pirq), 0);
        attack("message.unmapped-twice", unmap(pirq), -EINVAL);
    }
    print("xsa_021: %u functions with MSI-X\n", found);
    CHECK(found > 0 || on_xen());
    for (int bus = 1; bus < 0x10000; bus = bus * 2 + 1) { /* no such buses, or segments */
        int pirq = -1;

        wrong += map_message(MAP_PIRQ_TYPE_MSI_SEG, bus, 0xff, 0, 0, &pirq) == 0;
        pirq = -1;
        wrong += map_message(MAP_PIRQ_TYPE_MSI_SEG, bus << 16, 0, 0, 0x1000, &pirq) == 0;
        pirq = -1;
        wrong += map_message(MAP_PIRQ_TYPE_MULTI_MSI, bus << 16, 0, bus, 0, &pirq) == 0;
    }
    for (int type = 2; type < 64; type++)
        for (int pirq = -1; pirq < 2000; pirq += 667)
            if (type != MAP_PIRQ_TYPE_MSI_SEG && type != MAP_PIRQ_TYPE_MULTI_MSI)
                wrong += map_message(type, 0, 0, 0, 0x1000, &pirq) == 0;
    attack("message.beyond-the-table", beyond, 0);
    attack("message.twice", twice, 0);
    attack("message.wrong", wrong, 0);
    still_works();
}

static void not_here(void)
{
    static const struct {
        const char *what;
        int cmd;
    } ops[] = { { "get-free-pirq", PHYSDEVOP_get_free_pirq },
                { "prepare-msix", PHYSDEVOP_prepare_msix },
                { "release-msix", PHYSDEVOP_release_msix },
                { "free-irq-vector", PHYSDEVOP_free_irq_vector },
                { "apic-write", PHYSDEVOP_apic_write } };
    uint8_t arg[64] = { 0 };

    for (unsigned int i = 0; i < ARRAY_SIZE(ops); i++) {
        memset(arg, 0xff, sizeof(arg)); /* no such function, register or type */
        attack(ops[i].what, physdev(ops[i].cmd, arg), -ENOSYS);
    }
}

void test_main(void)
{
    attacks_begin();
    still_works();
    ranges();
    messages();
    not_here();
    still_works();
    witness_check();
}
