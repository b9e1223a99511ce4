/*
 * MSI and MSI-X against a fake PCI bus: what is written to whom and when, and what functions with
 * malformed registers, and a domain that makes them so, get done to them: nothing.
 */
#include <pthread.h>

#include "irq_machine.h"

/* ---- the bus ---- */

/* bus, device, function */
enum {
    MSI_32 = 0x0010,
    MSI_64 = 0x0018,
    MSI_32_MASKS = 0x0019, /* function 1 of a device */
    MSI_64_MASKS = 0x0120, /* on another bus */
    MSIX_32 = 0x0028,      /* its table: behind a 32-bit BAR */
    MSIX_64 = 0x0030,
    NO_CAPS = 0x0038,
    ABSENT = 0x0040,
    SPARE = 0x0048 /* a test's own */
};
#define CAP 0x60 /* where all have their capability */

static struct function {
    uint16_t bdf;
    uint8_t conf[256], writable[256]; /* a mask of bits for each byte */
} functions[16];
static unsigned int nr_functions, conf_reads, conf_writes, bad_accesses;
static uint32_t port_cf8;

static struct function *function_of(uint16_t bdf)
{
    for (struct function *f = functions; f < functions + nr_functions; f++)
        if (f->bdf == bdf)
            return f;
    return NULL;
}

/* cf8 must be sane and the access naturally within its four bytes; which function, which register. */
static struct function *decode(uint16_t port, unsigned int bytes, unsigned int *reg)
{
    *reg = (port_cf8 & 0xfc) + (port & 3);
    if (port < 0xcfc || (port & 3) + bytes > 4 || (port_cf8 & 0x7f000003) || !(port_cf8 >> 31))
        bad_accesses++;
    return function_of((uint16_t)(port_cf8 >> 8));
}

uint32_t arch_port_in(uint16_t port, unsigned int bytes)
{
    unsigned int reg;
    const struct function *f = decode(port, bytes, &reg);
    uint32_t value = ~0u >> (32 - 8 * bytes);

    conf_reads++;
    if (f) {
        value = 0;
        memcpy(&value, f->conf + reg, bytes);
    }
    return value;
}

void arch_port_out(uint16_t port, unsigned int bytes, uint32_t value)
{
    unsigned int reg;
    struct function *f;

    if (port == 0xcf8) {
        port_cf8 = value;
        return;
    }
    conf_writes++;
    f = decode(port, bytes, &reg);
    for (unsigned int i = 0; i < bytes; i++, value >>= 8) {
        if (f == NULL || f->writable[reg + i] == 0) {
            bad_accesses++;
            continue;
        }
        f->conf[reg + i] &= ~f->writable[reg + i];
        f->conf[reg + i] |= (uint8_t)value & f->writable[reg + i];
    }
}

static uint32_t conf(uint16_t bdf, unsigned int reg, unsigned int bytes)
{
    uint32_t value = 0;

    memcpy(&value, function_of(bdf)->conf + reg, bytes);
    return value;
}
static void conf_set(uint16_t bdf, unsigned int reg, unsigned int bytes, uint32_t value)
{
    memcpy(function_of(bdf)->conf + reg, &value, bytes);
}

static void add(uint16_t bdf)
{
    struct function *f = &functions[nr_functions++];

    memset(f, 0, sizeof(*f));
    f->bdf = bdf;
    conf_set(bdf, 0, 4, 0x10001af4);
    conf_set(bdf, 6, 2, 0x10);    /* has capabilities */
    conf_set(bdf, 0x34, 1, 0x40); /* the first: power management, and then the one that matters */
    conf_set(bdf, 0x40, 2, CAP << 8 | 1);
}

enum { ENABLE = 1, MESSAGES = 0x70, IS_64 = 0x80, MASKS = 0x100 };
static void add_msi(uint16_t bdf, uint16_t control)
{
    struct function *f = &functions[nr_functions];
    unsigned int data = CAP + (control & IS_64 ? 12 : 8);

    add(bdf);
    conf_set(bdf, CAP, 2, 5);
    conf_set(bdf, CAP + 2, 2, control | 5 << 1); /* can have 32 messages */
    f->writable[CAP + 2] = ENABLE | MESSAGES;
    f->writable[CAP + 3] = 0x80; /* none: reserved bits, but a word is written at once */
    memset(f->writable + CAP + 4, 0xff, data + 2 - CAP - 4);
    if (control & MASKS)
        memset(f->writable + data + 4, 0xff, 4);
}

/* The table is at BAR bir and offset; the BAR is the test's to set. */
static void add_msix(uint16_t bdf, unsigned int nr, unsigned int bir, uint32_t offset)
{
    add(bdf);
    conf_set(bdf, CAP, 2, 0x11);
    conf_set(bdf, CAP + 2, 2, 0x8000 | (nr - 1)); /* enabled */
    conf_set(bdf, CAP + 4, 4, offset | bir);
}
static void set_bar(uint16_t bdf, unsigned int bir, uint32_t value)
{
    conf_set(bdf, 0x10 + 4 * bir, 4, value);
}

/* ---- memory ---- */

#define LOW_AT 0xfe000000u
#define HIGH_AT 0x8000000000ULL
#define RAM_AT 0x200000u
#define MEM_BYTES 0x10000u
#define UNTOUCHED 0xa5a5a5a5u
#define TABLE_32_OFFSET 0x800u
#define TABLE_64_OFFSET 0x2000u
#define NR_32 5u
#define NR_64 300u

static uint32_t low_mem[MEM_BYTES / 4], high_mem[MEM_BYTES / 4], ram[MEM_BYTES / 4];
static unsigned int maps;
static bool map_fails;

static uint32_t *mem(uint64_t maddr)
{
    return maddr - LOW_AT < MEM_BYTES    ? low_mem + (maddr - LOW_AT) / 4
           : maddr - HIGH_AT < MEM_BYTES ? high_mem + (maddr - HIGH_AT) / 4
           : maddr - RAM_AT < MEM_BYTES  ? ram + (maddr - RAM_AT) / 4
                                         : NULL;
}

volatile void *arch_map_mmio(uint64_t maddr, size_t bytes)
{
    maps++;
    if (map_fails)
        return NULL;
    if (mem(maddr) && mem(maddr + bytes - 1) == mem(maddr) + (bytes - 1) / 4)
        return mem(maddr);
    CU_FAIL("that is no memory of devices");
    return NULL;
}

#define TABLE_32 (LOW_AT + TABLE_32_OFFSET)
#define TABLE_64 (HIGH_AT + TABLE_64_OFFSET)
static uint32_t *entry(uint64_t table, unsigned int n) { return mem(table) + 4 * n; }
static bool is_untouched(const uint32_t *e)
{
    return e[0] == UNTOUCHED && e[1] == UNTOUCHED && e[2] == UNTOUCHED && e[3] == UNTOUCHED;
}
static bool all_untouched(void)
{
    for (unsigned int i = 0; i < MEM_BYTES / 4; i++)
        if (low_mem[i] != UNTOUCHED || high_mem[i] != UNTOUCHED || ram[i] != UNTOUCHED)
            return false;
    return true;
}

/* ---- helpers ---- */

static void setup(void)
{
    machine_setup();
    nr_functions = conf_reads = conf_writes = bad_accesses = maps = 0;
    port_cf8 = 0;
    map_fails = false;
    memset(low_mem, UNTOUCHED & 0xff, MEM_BYTES);
    memset(high_mem, UNTOUCHED & 0xff, MEM_BYTES);
    memset(ram, UNTOUCHED & 0xff, MEM_BYTES);
    add_msi(MSI_32, 0);
    add_msi(MSI_64, IS_64);
    add_msi(MSI_32_MASKS, MASKS);
    add_msi(MSI_64_MASKS, IS_64 | MASKS);
    add_msix(MSIX_32, NR_32, 1, TABLE_32_OFFSET);
    set_bar(MSIX_32, 1, LOW_AT);
    add_msix(MSIX_64, NR_64, 2, TABLE_64_OFFSET);
    set_bar(MSIX_64, 2, (uint32_t)HIGH_AT | 12); /* 64 bits, prefetchable */
    set_bar(MSIX_64, 3, HIGH_AT >> 32);
    add(NO_CAPS);
    conf_set(NO_CAPS, 6, 2, 0);
    dom0->iomem.nr = 2;
    dom0->iomem.of[0] = (struct range){ LOW_AT >> 12, (LOW_AT + MEM_BYTES - 1) >> 12 };
    dom0->iomem.of[1] = (struct range){ HIGH_AT >> 12, (HIGH_AT + MEM_BYTES - 1) >> 12 };
}

static void teardown(void)
{
    machine_teardown();
    CU_ASSERT_EQUAL(bad_accesses, 0);
    for (const struct irq *irq = irqs + nr_gsis; irq < irqs + nr_irqs; irq++)
        CU_ASSERT_FATAL(irq->vector == 0 && irq->mapper == NULL && irq->msi.cap == 0);
}

/* As Linux asks. >= 0: the pirq. */
static long map_of(uint16_t bdf, uint64_t table_base, int entry_nr)
{
    struct physdev_map_pirq op = { .domid = DOMID_SELF,
                                   .type = MAP_PIRQ_TYPE_MSI_SEG,
                                   .index = -1,
                                   .pirq = -1,
                                   .bus = bdf >> 8,
                                   .devfn = bdf & 0xff,
                                   .entry_nr = entry_nr,
                                   .table_base = table_base };
    long rc = CALL(dom0, PHYSDEVOP_map_pirq, &op);

    CU_ASSERT_EQUAL(op.pirq < 0, rc < 0);
    return rc ?: op.pirq;
}
static long map_msi(uint16_t bdf) { return map_of(bdf, 0, 0); }
static long map_msix(uint16_t bdf, int entry_nr) { return map_of(bdf, LOW_AT, entry_nr); }
static uint32_t mapped(long pirq)
{
    CU_ASSERT_TRUE_FATAL(pirq >= (long)nr_gsis && pirq < (long)nr_irqs);
    return (uint32_t)pirq;
}
static uint32_t mapped_and_bound(long pirq)
{
    CU_ASSERT_EQUAL_FATAL(bind(dom0, mapped(pirq)), 0);
    return (uint32_t)pirq;
}
static long unmap(uint32_t pirq)
{
    struct physdev_unmap_pirq op = { .domid = DOMID_SELF, .pirq = (int)pirq };

    return CALL(dom0, PHYSDEVOP_unmap_pirq, &op);
}
static long device_add(uint16_t seg, uint16_t bdf)
{
    struct physdev_pci_device_add op = { .seg = seg, .bus = bdf >> 8, .devfn = bdf & 0xff };

    return CALL(dom0, PHYSDEVOP_pci_device_add, &op);
}
static long restore(uint16_t seg, uint16_t bdf)
{
    struct physdev_pci_device op = { .seg = seg, .bus = bdf >> 8, .devfn = bdf & 0xff };

    return CALL(dom0, PHYSDEVOP_restore_msi_ext, &op);
}
static bool is_read_only(uint64_t maddr)
{
    return ranges_have(&dom0->iomem_ro, maddr >> PAGE_SHIFT);
}

static unsigned int data_reg(uint16_t bdf)
{
    return CAP + (conf(bdf, CAP + 2, 2) & IS_64 ? 12 : 8);
}
static unsigned int mask_reg(uint16_t bdf) { return data_reg(bdf) + 4; }
static uint32_t address_for(unsigned int cpu) { return 0xfee00000u | FAKE_APIC_ID(cpu) << 12; }
static bool is_device_vector(unsigned int v)
{
    return v >= VECTOR_DEVICE_FIRST && v <= VECTOR_DEVICE_LAST && v != VECTOR_GUEST_INT80;
}

static const uint16_t msis[] = { MSI_32, MSI_64, MSI_32_MASKS, MSI_64_MASKS };
static const uint16_t masked_msis[] = { MSI_32_MASKS, MSI_64_MASKS };
#define FOR_EACH(bdf, array)                                                                    \
    for (const uint16_t *p_ = (array); p_ < (array) + ARRAY_SIZE(array) && ((bdf) = *p_, true); \
         p_++)

/* ---- MSI ---- */

static void test_an_msi_is_programmed_when_it_is_bound(void)
{
    uint16_t bdf;

    setup();
    FOR_EACH(bdf, msis)
    {
        uint32_t pirq = mapped_and_bound(map_msi(bdf));

        CU_ASSERT_EQUAL(conf(bdf, CAP + 4, 4), address_for(0));
        CU_ASSERT(is_device_vector(irqs[pirq].vector));
        CU_ASSERT_EQUAL(conf(bdf, data_reg(bdf), 2), irqs[pirq].vector);
    }
    teardown();
}

static void test_mapping_an_msi_only_masks_it(void)
{
    setup();
    mapped(map_msi(MSI_32));
    CU_ASSERT_EQUAL(conf_writes, 0);
    mapped(map_msi(MSI_64_MASKS));
    CU_ASSERT_EQUAL(conf_writes, 1);
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, mask_reg(MSI_64_MASKS), 4), ~0u);
    teardown();
}

static void test_an_msi_that_arrives_is_sent_and_acknowledged_without_masking(void)
{
    uint32_t pirq;

    setup();
    pirq = mapped_and_bound(map_msi(MSI_64_MASKS));
    for (unsigned int i = 1; i <= 3; i++) {
        interrupt(irqs[pirq].vector);
        CU_ASSERT_EQUAL(sent, i);
        CU_ASSERT_EQUAL(sent_pirq, pirq);
        CU_ASSERT_EQUAL(conf(MSI_64_MASKS, mask_reg(MSI_64_MASKS), 4), ~1u);
    }
    teardown();
}

static void test_mask_bits_are_clear_while_bound_only(void)
{
    uint16_t bdf;

    setup();
    FOR_EACH(bdf, masked_msis)
    {
        uint32_t pirq = mapped_and_bound(map_msi(bdf));

        CU_ASSERT_EQUAL(conf(bdf, mask_reg(bdf), 4), ~1u); /* the others stay masked */
        unbind(dom0, pirq);
        CU_ASSERT_EQUAL(conf(bdf, mask_reg(bdf), 4), ~0u);
    }
    teardown();
}

static void test_the_upper_half_of_the_address_is_zero_where_there_is_one(void)
{
    setup();
    conf_set(MSI_64, CAP + 8, 4, 0xdead);
    mapped_and_bound(map_msi(MSI_64));
    CU_ASSERT_EQUAL(conf(MSI_64, CAP + 8, 4), 0);
    mapped_and_bound(map_msi(MSI_32));
    CU_ASSERT_NOT_EQUAL(conf(MSI_32, CAP + 8, 2), 0); /* there it is the vector */
    teardown();
}

static void test_a_bound_msi_has_one_message_and_stays_enabled_as_it_was(void)
{
    setup();
    conf_set(MSI_64, CAP + 2, 2, IS_64 | MESSAGES | ENABLE);
    mapped_and_bound(map_msi(MSI_64));
    CU_ASSERT_EQUAL(conf(MSI_64, CAP + 2, 2), IS_64 | ENABLE);
    mapped_and_bound(map_msi(MSI_32));
    CU_ASSERT_EQUAL(conf(MSI_32, CAP + 2, 2) & ENABLE, 0);
    teardown();
}

static void test_an_msi_needs_no_eoi_of_the_guests(void)
{
    struct physdev_irq_status_query q = { .flags = 7 };
    uint32_t pirq;

    setup();
    pirq = mapped_and_bound(map_msi(MSI_32_MASKS));
    q.irq = pirq;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_irq_status_query, &q), 0);
    CU_ASSERT_EQUAL(q.flags, 0);
    interrupt(irqs[pirq].vector);
    conf_writes = 0;
    CU_ASSERT_EQUAL(eoi(dom0, pirq), 0); /* and one does nothing */
    CU_ASSERT_EQUAL(conf_writes, 0);
    teardown();
}

/* ---- MSI-X ---- */

static void test_an_msix_entry_is_programmed_when_it_is_bound(void)
{
    uint32_t pirq;
    const uint32_t *e;

    setup();
    e = entry(TABLE_32, 3);
    pirq = mapped_and_bound(map_msix(MSIX_32, 3));
    CU_ASSERT_EQUAL(e[0], address_for(0));
    CU_ASSERT_EQUAL(e[1], 0);
    CU_ASSERT_EQUAL(e[2], irqs[pirq].vector);
    CU_ASSERT_EQUAL(e[3], 0);
    CU_ASSERT(is_device_vector(e[2]));
    CU_ASSERT(is_untouched(e - 4) && is_untouched(e + 4));
    CU_ASSERT_EQUAL(conf_writes, 0); /* whether MSI-X is on is the domain's */
    teardown();
}

static void test_an_msix_entry_is_masked_when_it_is_mapped_and_after_it_was_bound(void)
{
    uint32_t pirq;
    const uint32_t *e;

    setup();
    e = entry(TABLE_32, NR_32 - 1);
    pirq = mapped(map_msix(MSIX_32, NR_32 - 1));
    CU_ASSERT_EQUAL(e[3], 1);
    CU_ASSERT(e[0] == UNTOUCHED && e[1] == UNTOUCHED && e[2] == UNTOUCHED);
    CU_ASSERT_EQUAL(bind(dom0, pirq), 0);
    CU_ASSERT_EQUAL(e[3], 0);
    unbind(dom0, pirq);
    CU_ASSERT_EQUAL(e[3], 1);
    teardown();
}

static void test_a_table_behind_a_64_bit_bar_is_found(void)
{
    uint32_t pirq;

    setup();
    pirq = mapped_and_bound(map_msix(MSIX_64, NR_64 - 1));
    CU_ASSERT_EQUAL(entry(TABLE_64, NR_64 - 1)[2], irqs[pirq].vector);
    CU_ASSERT(is_read_only(TABLE_64) && is_read_only(TABLE_64 + 16 * NR_64 - 1));
    CU_ASSERT(!is_read_only(TABLE_64 - 1) && !is_read_only(TABLE_64 + 0x2000));
    teardown();
}

static void test_entries_of_one_table_have_pirqs_and_vectors_of_their_own(void)
{
    uint32_t a, b;

    setup();
    a = mapped_and_bound(map_msix(MSIX_32, 0));
    b = mapped_and_bound(map_msix(MSIX_32, 1));
    CU_ASSERT(a != b && irqs[a].vector != irqs[b].vector);
    CU_ASSERT_EQUAL(maps, 1);
    CU_ASSERT_EQUAL(dom0->iomem_ro.nr, 1);
    interrupt(entry(TABLE_32, 1)[2]);
    CU_ASSERT_EQUAL(sent_pirq, b);
    unbind(dom0, a);
    CU_ASSERT_EQUAL(entry(TABLE_32, 1)[3], 0);
    teardown();
}

static void test_entry_numbers_out_of_range_are_refused(void)
{
    static const int bad[] = { NR_32, 2047, 2048, 65536, -1, -65536, 0x7fffffff };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++)
        CU_ASSERT_EQUAL(map_msix(MSIX_32, bad[i]), -EINVAL);
    CU_ASSERT(all_untouched());
    mapped(map_msix(MSIX_32, NR_32 - 1));
    teardown();
}

static void test_a_table_in_memory_that_is_not_the_domains_is_refused(void)
{
    setup();
    set_bar(MSIX_32, 1, RAM_AT);
    CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -ENOSPC);
    set_bar(MSIX_32, 1, 0xfee00000); /* the interrupt controllers */
    CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -ENOSPC);
    CU_ASSERT(all_untouched());
    CU_ASSERT_EQUAL(maps, 0);
    CU_ASSERT_EQUAL(dom0->iomem_ro.nr, 0);
    set_bar(MSIX_32, 1, LOW_AT);
    mapped(map_msix(MSIX_32, 0));
    teardown();
}

static void test_a_table_that_leaves_the_domains_memory_is_refused(void)
{
    setup();
    add_msix(SPARE, 0x101, 0, 0xf000); /* its last entry is in the frame behind */
    set_bar(SPARE, 0, LOW_AT);
    CU_ASSERT_EQUAL(map_msix(SPARE, 0), -ENOSPC);
    CU_ASSERT(all_untouched());
    conf_set(SPARE, CAP + 2, 2, 0xff);
    mapped(map_msix(SPARE, 0));
    teardown();
}

static void test_a_table_at_the_end_of_all_addresses_is_refused(void)
{
    setup();
    add_msix(SPARE, 2048, 0, 0);
    set_bar(SPARE, 0, 0xfffff000 | 4);
    set_bar(SPARE, 1, ~0u);
    CU_ASSERT_EQUAL(map_msix(SPARE, 0), -ENOSPC);
    conf_set(SPARE, CAP + 4, 4, 0x2000); /* base and offset together wrap */
    CU_ASSERT_EQUAL(map_msix(SPARE, 0), -ENOSPC);
    CU_ASSERT_EQUAL(maps, 0);
    teardown();
}

static void test_a_table_without_an_address_is_refused(void)
{
    setup();
    set_bar(MSIX_32, 1, 0); /* not assigned */
    CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -EINVAL);
    set_bar(MSIX_32, 1, LOW_AT | 1); /* I/O space */
    CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -EINVAL);
    set_bar(MSIX_32, 1, LOW_AT);
    for (unsigned int bir = 6; bir < 8; bir++) { /* no such BAR */
        set_bar(MSIX_32, bir, LOW_AT);
        conf_set(MSIX_32, CAP + 4, 4, TABLE_32_OFFSET | bir);
        CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -EINVAL);
    }
    CU_ASSERT(all_untouched());
    teardown();
}

static void test_a_table_for_which_there_is_no_room_is_refused_for_now(void)
{
    setup();
    map_fails = true;
    CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -ENOSPC);
    CU_ASSERT_EQUAL(dom0->iomem_ro.nr, 0);
    map_fails = false;
    mapped(map_msix(MSIX_32, 0));
    teardown();
}

static void test_a_bar_that_moved_has_another_table_and_both_stay_read_only(void)
{
    uint32_t pirq;

    setup();
    mapped(map_msix(MSIX_32, 0));
    set_bar(MSIX_32, 1, LOW_AT + 0x4000);
    pirq = mapped_and_bound(map_msix(MSIX_32, 1));
    CU_ASSERT_EQUAL(entry(TABLE_32 + 0x4000, 1)[2], irqs[pirq].vector);
    CU_ASSERT(is_untouched(entry(TABLE_32, 1)));
    CU_ASSERT(is_read_only(TABLE_32) && is_read_only(TABLE_32 + 0x4000));
    teardown();
}

static void test_a_table_that_grew_is_protected_as_a_whole(void)
{
    setup();
    mapped(map_msix(MSIX_32, 0));
    CU_ASSERT(!is_read_only(TABLE_32 + 0x1000));
    conf_set(MSIX_32, CAP + 2, 2, 0x1ff);
    mapped(map_msix(MSIX_32, 0x1ff));
    CU_ASSERT(is_read_only(TABLE_32) && is_read_only(TABLE_32 + 16 * 0x200 - 1));
    teardown();
}

static void test_the_tables_known_before_go_on_when_there_are_too_many(void)
{
    setup();
    for (unsigned int i = 0; i < NR_RANGES; i++) {
        set_bar(MSIX_32, 1, LOW_AT + 0x100 * i);
        mapped(map_msix(MSIX_32, (int)i % (int)NR_32));
        CU_ASSERT_EQUAL(unmap(nr_gsis), 0);
    }
    CU_ASSERT_EQUAL(map_msix(MSIX_64, 0), -ENOSPC);
    CU_ASSERT_EQUAL(maps, NR_RANGES);
    CU_ASSERT_EQUAL(dom0->iomem_ro.nr, NR_RANGES);
    for (unsigned int i = 0; i < NR_RANGES; i++) {
        set_bar(MSIX_32, 1, LOW_AT + 0x100 * i);
        mapped(map_msix(MSIX_32, 0));
        CU_ASSERT_EQUAL(unmap(nr_gsis), 0);
    }
    teardown();
}

/* ---- capabilities ---- */

static void test_functions_without_what_is_asked_for_have_no_messages(void)
{
    setup();
    CU_ASSERT_EQUAL(map_msi(ABSENT), -ENODEV);
    CU_ASSERT_EQUAL(map_msix(ABSENT, 0), -ENODEV);
    CU_ASSERT_EQUAL(map_msi(MSIX_32), -ENODEV);
    CU_ASSERT_EQUAL(map_msix(MSI_64, 0), -ENODEV);
    CU_ASSERT_EQUAL(map_msi(NO_CAPS), -ENODEV);
    CU_ASSERT_EQUAL(conf_writes, 0);
    CU_ASSERT(all_untouched());
    teardown();
}

static void test_a_function_that_is_not_there_is_asked_once(void)
{
    setup();
    CU_ASSERT_EQUAL(map_msi(ABSENT), -ENODEV);
    CU_ASSERT_EQUAL(conf_reads, 1);
    teardown();
}

static void test_capabilities_count_only_if_the_status_says_so(void)
{
    setup();
    conf_set(MSI_32, 6, 2, 0xffef);
    CU_ASSERT_EQUAL(map_msi(MSI_32), -ENODEV);
    conf_set(MSI_32, 6, 2, 0x10);
    mapped(map_msi(MSI_32));
    teardown();
}

static void test_a_chain_of_capabilities_that_loops_comes_to_an_end(void)
{
    setup();
    conf_set(MSI_32, 0x41, 1, 0x40);
    CU_ASSERT_EQUAL(map_msi(MSI_32), -ENODEV);
    conf_set(MSI_32, 0x41, 1, 0x48);
    conf_set(MSI_32, 0x48, 2, 0x40 << 8 | 9);
    CU_ASSERT_EQUAL(map_msi(MSI_32), -ENODEV);
    CU_ASSERT(conf_reads < 500);
    teardown();
}

static void test_capabilities_below_0x40_are_none(void)
{
    setup();
    conf_set(MSI_32, 0x38, 2, CAP << 8 | 5);
    conf_set(MSI_32, 0x41, 1, 0x38);
    CU_ASSERT_EQUAL(map_msi(MSI_32), -ENODEV);
    conf_set(MSI_32, 0x34, 1, 0x38);
    CU_ASSERT_EQUAL(map_msi(MSI_32), -ENODEV);
    conf_set(MSI_32, 0x34, 1, 0);
    CU_ASSERT_EQUAL(map_msi(MSI_32), -ENODEV);
    teardown();
}

static void test_the_low_bits_of_pointers_to_capabilities_do_not_count(void)
{
    setup();
    conf_set(MSI_32, 0x34, 1, 0x42);
    conf_set(MSI_32, 0x41, 1, CAP | 3);
    mapped_and_bound(map_msi(MSI_32));
    CU_ASSERT_EQUAL(conf(MSI_32, CAP + 4, 4), address_for(0));
    teardown();
}

static void test_a_full_chain_of_capabilities_is_followed_to_its_end(void)
{
    setup();
    add_msi(SPARE, 0);
    for (unsigned int at = 0x40; at < 0xf8; at += 4)
        conf_set(SPARE, at, 2, (at + 4) << 8 | 9);
    conf_set(SPARE, 0xf8, 2, 0x11);
    conf_set(SPARE, 0xfc, 4, TABLE_32_OFFSET);
    set_bar(SPARE, 0, LOW_AT);
    mapped(map_msix(SPARE, 0));
    teardown();
}

/* ---- mapping ---- */

static void test_one_message_has_one_pirq(void)
{
    setup();
    mapped(map_msi(MSI_32));
    mapped(map_msix(MSIX_32, 0));
    CU_ASSERT_EQUAL(map_msi(MSI_32), -EEXIST);
    CU_ASSERT_EQUAL(map_msix(MSIX_32, 0), -EEXIST);
    mapped(map_msix(MSIX_32, 1));
    mapped(map_msix(MSIX_64, 0));
    teardown();
}

static void test_the_messages_of_two_capabilities_differ(void)
{
    setup();
    add_msi(SPARE, 0);
    conf_set(SPARE, 0x41, 1, 0x48);
    conf_set(SPARE, 0x48, 4, 0x11 | CAP << 8);
    conf_set(SPARE, 0x4c, 4, TABLE_32_OFFSET);
    set_bar(SPARE, 0, LOW_AT);
    mapped(map_msix(SPARE, 0));
    mapped(map_msi(SPARE));
    CU_ASSERT_EQUAL(map_msi(SPARE), -EEXIST);
    CU_ASSERT_EQUAL(map_msix(SPARE, 0), -EEXIST);
    teardown();
}

static void test_an_msi_has_no_entry_number(void)
{
    setup();
    mapped(map_of(MSI_32, 0, 3));
    CU_ASSERT_EQUAL(map_of(MSI_32, 0, 0), -EEXIST);
    CU_ASSERT_EQUAL(map_of(MSI_32, 0, -1), -EEXIST);
    teardown();
}

static void test_what_is_not_offered_is_refused(void)
{
    static const struct physdev_map_pirq bad[] = {
        { .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MULTI_MSI, .pirq = -1, .devfn = MSI_32 },
        { .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_UNKNOWN, .pirq = -1, .devfn = MSI_32 },
        { .domid = DOMID_SELF, .type = 5, .pirq = -1, .devfn = MSI_32 },
        { .domid = DOMID_SELF, .type = -1, .pirq = -1, .devfn = MSI_32 },
        { DOMID_SELF, MAP_PIRQ_TYPE_MSI_SEG, .pirq = -1, .bus = 1 << 16, .devfn = MSI_32 },
        { DOMID_SELF, MAP_PIRQ_TYPE_MSI_SEG, .pirq = -1, .bus = (int)0xffff0000, .devfn = MSI_32 },
        { DOMID_SELF, MAP_PIRQ_TYPE_MSI_SEG, .pirq = 200, .devfn = MSI_32 },
        { DOMID_SELF, MAP_PIRQ_TYPE_MSI_SEG, .pirq = 0, .devfn = MSI_32 },
        { .domid = 1, .type = MAP_PIRQ_TYPE_MSI_SEG, .pirq = -1, .devfn = MSI_32 },
    };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        struct physdev_map_pirq op = bad[i];

        CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_map_pirq, &op), -EOPNOTSUPP);
        CU_ASSERT_EQUAL(op.pirq, bad[i].pirq);
    }
    CU_ASSERT_EQUAL(conf_reads, 0);
    mapped(map_msi(MSI_32));
    teardown();
}

static void test_the_old_type_of_msi_names_no_segment(void)
{
    struct physdev_map_pirq op = { .domid = 0, .type = MAP_PIRQ_TYPE_MSI, .pirq = -1, .bus = 1 };

    setup();
    op.devfn = MSI_64_MASKS & 0xff;
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_map_pirq, &op), 0);
    mapped_and_bound(op.pirq);
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, CAP + 4, 4), address_for(0));
    teardown();
}

static void test_domains_without_devices_map_nothing(void)
{
    struct physdev_map_pirq op = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI_SEG, .pirq = -1, .devfn = MSI_32
    };
    uint32_t pirq;

    setup();
    CU_ASSERT_EQUAL(CALL(domu, PHYSDEVOP_map_pirq, &op), -EPERM);
    CU_ASSERT_EQUAL(conf_reads + conf_writes, 0);
    pirq = mapped(map_msi(MSI_32));
    CU_ASSERT_EQUAL(bind(domu, pirq), -EINVAL);
    CU_ASSERT_EQUAL(eoi(domu, pirq), -EINVAL);
    teardown();
}

static void test_an_unreadable_argument_maps_nothing(void)
{
    struct physdev_map_pirq op = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI_SEG, .pirq = -1, .devfn = MSI_32
    };

    setup();
    CU_ASSERT_EQUAL(call_rights(dom0, PHYSDEVOP_map_pirq, &op, sizeof(op) - 1, FAKE_READ_WRITE),
                    -EFAULT);
    mapped(map_msi(MSI_32));
    teardown();
}

static void test_a_message_is_not_mapped_when_the_answer_cannot_be_written(void)
{
    struct physdev_map_pirq op = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI_SEG, .pirq = -1, .devfn = MSI_32
    };

    setup();
    CU_ASSERT_EQUAL(call_rights(dom0, PHYSDEVOP_map_pirq, &op, sizeof(op), FAKE_READ_ONLY),
                    -EFAULT);
    CU_ASSERT_EQUAL(op.pirq, -1);
    mapped(map_msi(MSI_32));
    teardown();
}

static void test_there_are_as_many_pirqs_as_vectors(void)
{
    long rc;

    setup();
    for (uint32_t i = nr_gsis; i < nr_irqs; i++)
        CU_ASSERT_EQUAL_FATAL(map_msix(MSIX_64, (int)(i - nr_gsis)), (long)i);
    rc = map_msix(MSIX_64, (int)(nr_irqs - nr_gsis));
    CU_ASSERT_EQUAL(rc, -ENOSPC);
    CU_ASSERT(is_untouched(entry(TABLE_64, nr_irqs - nr_gsis)));
    CU_ASSERT_EQUAL(map_msix(MSIX_64, 0), -EEXIST);
    CU_ASSERT_EQUAL(unmap(nr_gsis + 7), 0);
    CU_ASSERT_EQUAL(map_msix(MSIX_64, (int)(nr_irqs - nr_gsis)), (long)nr_gsis + 7);
    teardown();
}

static void test_without_a_vector_nothing_is_bound(void)
{
    bool used[256] = { 0 };
    unsigned int nr = 0;
    uint32_t last, pirq;

    setup();
    map_same(1); /* at least one vector is a GSI's for good */
    CU_ASSERT_EQUAL(bind(dom0, 1), 0);
    for (pirq = nr_gsis; pirq < nr_irqs; pirq++) {
        mapped(map_msix(MSIX_64, (int)(pirq - nr_gsis)));
        if (bind(dom0, pirq))
            break;
        CU_ASSERT(is_device_vector(irqs[pirq].vector) && !used[irqs[pirq].vector]);
        used[irqs[pirq].vector] = true;
        nr++;
    }
    last = pirq;
    CU_ASSERT(last < nr_irqs && nr >= 100);
    CU_ASSERT(!used[irqs[1].vector]);
    CU_ASSERT_EQUAL(bind(dom0, last), -ENOSPC);
    CU_ASSERT_EQUAL(entry(TABLE_64, last - nr_gsis)[3], 1);
    CU_ASSERT_EQUAL(entry(TABLE_64, last - nr_gsis)[2], UNTOUCHED);
    unbind(dom0, nr_gsis); /* it keeps its vector until it is unmapped */
    CU_ASSERT_EQUAL(bind(dom0, last), -ENOSPC);
    CU_ASSERT_EQUAL(unmap(nr_gsis), 0);
    CU_ASSERT_EQUAL(bind(dom0, last), 0);
    teardown();
}

static void test_a_message_is_unmapped_unless_it_is_bound(void)
{
    uint32_t pirq;

    setup();
    pirq = mapped_and_bound(map_msi(MSI_64_MASKS));
    CU_ASSERT_EQUAL(unmap(pirq), -EBUSY);
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, mask_reg(MSI_64_MASKS), 4), ~1u);
    interrupt(irqs[pirq].vector);
    CU_ASSERT_EQUAL(sent, 1);
    unbind(dom0, pirq);
    CU_ASSERT_EQUAL(unmap(pirq), 0);
    CU_ASSERT_EQUAL(unmap(pirq), -EINVAL);
    CU_ASSERT_EQUAL(bind(dom0, pirq), -EINVAL);
    CU_ASSERT_EQUAL(map_msi(MSI_64_MASKS), (long)pirq);
    teardown();
}

/* ---- arrival at the wrong time ---- */

static void test_an_interrupt_on_a_freed_vector_is_acknowledged_and_nobodys(void)
{
    unsigned int vector;
    uint32_t pirq;

    setup();
    pirq = mapped_and_bound(map_msi(MSI_32));
    vector = irqs[pirq].vector;
    unbind(dom0, pirq);
    CU_ASSERT_EQUAL(unmap(pirq), 0);
    interrupt(vector); /* looks that it is acknowledged */
    CU_ASSERT_EQUAL(sent, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "nobody's"));
    CU_ASSERT_EQUAL(irqs[pirq].nr_unhandled, 0);
    teardown();
}

static void test_binding_begins_a_new_count_of_unhandled_interrupts(void)
{
    unsigned int vector;
    uint32_t pirq;
    uint32_t *e;

    setup();
    e = entry(TABLE_32, 0);
    pirq = mapped_and_bound(map_msix(MSIX_32, 0));
    vector = irqs[pirq].vector;
    for (unsigned int round = 0; round < 3; round++) {
        unbind(dom0, pirq);
        e[3] = 0;
        for (unsigned int i = 0; i < 60; i++)
            interrupt(vector);
        CU_ASSERT_EQUAL(e[3], 0);
        CU_ASSERT_EQUAL(bind(dom0, pirq), 0);
    }
    teardown();
}

static void test_a_message_that_keeps_coming_unbound_is_masked_with_one_line(void)
{
    unsigned int vector;
    uint32_t pirq;
    uint32_t *e;

    setup();
    e = entry(TABLE_32, 0);
    pirq = mapped_and_bound(map_msix(MSIX_32, 0));
    vector = irqs[pirq].vector;
    unbind(dom0, pirq);
    e[3] = 0; /* a device that does not obey */
    for (unsigned int i = 0; i < 99; i++)
        interrupt(vector);
    CU_ASSERT_EQUAL(e[3], 0);
    for (unsigned int i = 0; i < 300; i++)
        interrupt(vector);
    CU_ASSERT_EQUAL(e[3], 1);
    CU_ASSERT_EQUAL(sent, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(fake_printed, "nobody handled"));
    CU_ASSERT_PTR_NULL(strstr(strstr(fake_printed, "nobody handled") + 1, "nobody handled"));
    CU_ASSERT_EQUAL(bind(dom0, pirq), 0); /* and from then on it is wanted again */
    interrupt(vector);
    CU_ASSERT_EQUAL(sent, 1);
    teardown();
}

/* ---- movement ---- */

static void test_a_moved_msi_is_sent_to_the_new_cpu_with_its_vector(void)
{
    uint16_t bdf;

    setup();
    FOR_EACH(bdf, msis)
    {
        uint32_t pirq = mapped_and_bound(map_msi(bdf)), vector = irqs[pirq].vector;

        move(dom0, pirq, 1);
        CU_ASSERT_EQUAL(conf(bdf, CAP + 4, 4), address_for(1));
        CU_ASSERT_EQUAL(conf(bdf, data_reg(bdf), 2), vector);
        CU_ASSERT_EQUAL(irqs[pirq].vector, vector);
    }
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, mask_reg(MSI_64_MASKS), 4), ~1u);
    teardown();
}

static void test_a_moved_msix_entry_is_sent_to_the_new_cpu_and_open(void)
{
    uint32_t pirq, vector;
    const uint32_t *e;

    setup();
    e = entry(TABLE_32, 2);
    pirq = mapped_and_bound(map_msix(MSIX_32, 2));
    vector = e[2];
    move(dom0, pirq, 1);
    CU_ASSERT(e[0] == address_for(1) && e[1] == 0 && e[2] == vector && e[3] == 0);
    move(dom0, pirq, 0);
    CU_ASSERT(e[0] == address_for(0) && e[1] == 0 && e[2] == vector && e[3] == 0);
    teardown();
}

static void test_what_is_not_bound_is_not_moved(void)
{
    const uint32_t *e;

    setup();
    e = entry(TABLE_32, 2);
    move(dom0, mapped(map_msix(MSIX_32, 2)), 1);
    CU_ASSERT(e[0] == UNTOUCHED && e[3] == 1);
    teardown();
}

/* ---- reset functions, new functions ---- */

static void test_a_bound_message_is_restored_after_a_reset(void)
{
    uint32_t msi, msix;
    uint32_t *e;

    setup();
    msi = mapped_and_bound(map_msi(MSI_64_MASKS));
    msix = mapped_and_bound(map_msix(MSIX_32, 1));
    move(dom0, msix, 1);
    e = entry(TABLE_32, 1);
    memset(function_of(MSI_64_MASKS)->conf + CAP + 4, 0, 16);
    memset(e, 0, 16);
    e[3] = 1;
    CU_ASSERT_EQUAL(restore(0, MSI_64_MASKS), 0);
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, CAP + 4, 4), address_for(0));
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, data_reg(MSI_64_MASKS), 2), irqs[msi].vector);
    CU_ASSERT_EQUAL(conf(MSI_64_MASKS, mask_reg(MSI_64_MASKS), 4), ~1u);
    CU_ASSERT_EQUAL(e[0], 0); /* another function's */
    CU_ASSERT_EQUAL(restore(0, MSIX_32), 0);
    CU_ASSERT(e[0] == address_for(1) && e[1] == 0 && e[2] == irqs[msix].vector && e[3] == 0);
    teardown();
}

static void test_a_message_not_bound_is_not_restored(void)
{
    const uint32_t *e;

    setup();
    e = entry(TABLE_32, 1);
    mapped(map_msix(MSIX_32, 1));
    CU_ASSERT_EQUAL(restore(0, MSIX_32), 0);
    CU_ASSERT(e[0] == UNTOUCHED && e[2] == UNTOUCHED && e[3] == 1);
    teardown();
}

static void test_other_segments_are_not_restored_or_protected(void)
{
    uint32_t *e;

    setup();
    CU_ASSERT_EQUAL(device_add(1, MSIX_32), 0);
    CU_ASSERT(!is_read_only(TABLE_32));
    e = entry(TABLE_32, 1);
    mapped_and_bound(map_msix(MSIX_32, 1));
    e[0] = 0;
    CU_ASSERT_EQUAL(restore(1, MSIX_32), 0);
    CU_ASSERT_EQUAL(e[0], 0);
    teardown();
}

static void test_the_table_of_a_reported_function_becomes_read_only_and_stays_so(void)
{
    struct physdev_pci_device gone = { .devfn = MSIX_32 };

    setup();
    CU_ASSERT_EQUAL(device_add(0, MSIX_32), 0);
    CU_ASSERT(is_read_only(TABLE_32));
    CU_ASSERT(!is_read_only(TABLE_32 - 0x1000) && !is_read_only(TABLE_32 + 0x1000));
    CU_ASSERT(all_untouched());
    CU_ASSERT_EQUAL(device_add(0, MSIX_32), 0);
    CU_ASSERT_EQUAL(dom0->iomem_ro.nr, 1);
    CU_ASSERT_EQUAL(CALL(dom0, PHYSDEVOP_pci_device_remove, &gone), 0);
    CU_ASSERT(is_read_only(TABLE_32));
    teardown();
}

static void test_a_table_that_cannot_be_protected_is_named(void)
{
    setup();
    CU_ASSERT_EQUAL(device_add(0, MSI_32), 0);
    CU_ASSERT_EQUAL(device_add(0, ABSENT), 0);
    set_bar(MSIX_32, 1, 0); /* no address yet: map_pirq will see to it */
    CU_ASSERT_EQUAL(device_add(0, MSIX_32), 0);
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
    set_bar(MSIX_32, 1, RAM_AT);
    CU_ASSERT_EQUAL(device_add(0, MSIX_32), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "0028"));
    CU_ASSERT_EQUAL(dom0->iomem_ro.nr, 0);
    teardown();
}

/* ---- together with the domain's own accesses ---- */

static void test_our_accesses_do_not_disturb_the_domains(void)
{
    uint32_t v = 0x80000000 | MSIX_32 << 8;

    setup();
    CU_ASSERT(pci_conf_port(dom0, 0xcf8, 4, true, &v));
    mapped_and_bound(map_msi(MSI_32));
    CU_ASSERT(pci_conf_port(dom0, 0xcf8, 4, false, &v));
    CU_ASSERT_EQUAL(v, 0x80000000 | MSIX_32 << 8);
    CU_ASSERT(pci_conf_port(dom0, 0xcfe, 2, false, &v));
    CU_ASSERT_EQUAL(v, 0x1000); /* its identity, at the address written before */
    teardown();
}

static void test_domains_do_not_disturb_one_anothers_address(void)
{
    uint32_t a = 0x80000000 | MSIX_32 << 8 | 0x60, b = 0x80000000 | MSI_32 << 8;

    setup();
    CU_ASSERT(pci_conf_port(dom0, 0xcf8, 4, true, &a));
    CU_ASSERT(pci_conf_port(domu, 0xcf8, 4, true, &b));
    CU_ASSERT(pci_conf_port(domu, 0xcfc, 4, false, &b));
    CU_ASSERT_EQUAL(b, ~0u);
    CU_ASSERT(pci_conf_port(dom0, 0xcfc, 1, false, &a));
    CU_ASSERT_EQUAL(a, 0x11);
    teardown();
}

/* ---- two CPUs ---- */

static struct irq *raced;
static unsigned int raced_vector;
static void *cpu_1_interrupted(void *arg)
{
    (void)arg;
    fake_cpu(1);
    fake_irqs_on = false;
    irq_interrupt(raced_vector);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    return NULL;
}
static void *cpu_0_unmaps(void *arg)
{
    fake_cpu(0);
    fake_irqs_on = true;
    *(int *)arg = pirq_unmap(dom0, (uint32_t)(raced - irqs));
    return NULL;
}
static void wait_for_ticket(const struct spinlock *l, unsigned int n)
{
    while (atomic_load(&l->next) != n)
        cpu_relax();
}

/* CPU 1 has found the message by its vector when CPU 0 unmaps it: the lock goes to CPU 0 first. */
static void test_an_interrupt_that_arrives_while_its_message_is_unmapped_is_nobodys(void)
{
    unsigned long flags;
    pthread_t t[2];
    unsigned int ticket;
    int rc = -1;

    setup();
    raced = &irqs[mapped_and_bound(map_msix(MSIX_32, 0))];
    raced_vector = raced->vector;
    unbind(dom0, (uint32_t)(raced - irqs));
    for (unsigned int i = 0; i < 99; i++) /* one more, and it is masked */
        interrupt(raced_vector);
    fake_cpu(2); /* the lock's holder */
    flags = spin_lock_irqsave(&raced->lock);
    ticket = atomic_load(&raced->lock.next);
    pthread_create(&t[0], NULL, cpu_0_unmaps, &rc);
    wait_for_ticket(&raced->lock, ticket + 1);
    pthread_create(&t[1], NULL, cpu_1_interrupted, NULL);
    wait_for_ticket(&raced->lock, ticket + 2);
    spin_unlock_irqrestore(&raced->lock, flags);
    fake_cpu(0);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(sent, 0);
    teardown();
}

/* Random maps, binds, moves and arrivals: an entry is open exactly when it is bound. */
static void test_a_random_walk_keeps_entries_and_bindings_in_step(void)
{
    enum { NR = 12 };
    struct {
        long pirq; /* -1: not mapped */
        bool bound;
        uint32_t cpu;
    } m[NR];

    setup();
    for (unsigned int i = 0; i < NR; i++)
        m[i].pirq = -1, m[i].bound = false;
    srand(1);
    for (int step = 0; step < 20000; step++) {
        unsigned int i = (unsigned int)rand() % NR, before = sent;
        const uint32_t *e = entry(TABLE_64, i);
        uint32_t pirq = (uint32_t)m[i].pirq;
        bool is_mapped = m[i].pirq >= 0;
        long rc;

        switch (rand() % 6) {
        case 0:
            rc = map_msix(MSIX_64, (int)i);
            if (is_mapped)
                CU_ASSERT_EQUAL_FATAL(rc, -EEXIST);
            m[i].pirq = is_mapped ? m[i].pirq : (long)mapped(rc);
            break;
        case 1:
            rc = is_mapped ? unmap(pirq) : -EINVAL;
            CU_ASSERT_EQUAL_FATAL(rc, !is_mapped ? -EINVAL : m[i].bound ? -EBUSY : 0);
            m[i].pirq = rc ? m[i].pirq : -1;
            break;
        case 2:
            if (is_mapped)
                CU_ASSERT_EQUAL_FATAL(bind(dom0, pirq), m[i].bound ? -EEXIST : 0);
            if (is_mapped && !m[i].bound)
                m[i].cpu = (e[0] - address_for(0)) >> 13; /* where it was before */
            m[i].bound = is_mapped;
            break;
        case 3:
            if (is_mapped)
                unbind(dom0, pirq);
            m[i].bound = false;
            break;
        case 4:
            if (!m[i].bound)
                break;
            m[i].cpu = (uint32_t)rand() % 2;
            move(dom0, pirq, m[i].cpu);
            break;
        default:
            if (!m[i].bound)
                break;
            interrupt(e[2]);
            CU_ASSERT_EQUAL_FATAL(sent, before + 1);
            CU_ASSERT_EQUAL_FATAL(sent_pirq, pirq);
        }
        for (unsigned int k = 0; k < NR; k++) {
            e = entry(TABLE_64, k);
            CU_ASSERT_FATAL(m[k].bound       ? e[3] == 0 && e[0] == address_for(m[k].cpu)
                            : m[k].pirq >= 0 ? e[3] == 1
                                             : e[3] != 0);
        }
    }
    teardown();
}

int main(void)
{
    static CU_TestInfo tests[] = {
#define T(name) { #name, name }
        T(test_an_msi_is_programmed_when_it_is_bound),
        T(test_mapping_an_msi_only_masks_it),
        T(test_an_msi_that_arrives_is_sent_and_acknowledged_without_masking),
        T(test_mask_bits_are_clear_while_bound_only),
        T(test_the_upper_half_of_the_address_is_zero_where_there_is_one),
        T(test_a_bound_msi_has_one_message_and_stays_enabled_as_it_was),
        T(test_an_msi_needs_no_eoi_of_the_guests),
        T(test_an_msix_entry_is_programmed_when_it_is_bound),
        T(test_an_msix_entry_is_masked_when_it_is_mapped_and_after_it_was_bound),
        T(test_a_table_behind_a_64_bit_bar_is_found),
        T(test_entries_of_one_table_have_pirqs_and_vectors_of_their_own),
        T(test_entry_numbers_out_of_range_are_refused),
        T(test_a_table_in_memory_that_is_not_the_domains_is_refused),
        T(test_a_table_that_leaves_the_domains_memory_is_refused),
        T(test_a_table_at_the_end_of_all_addresses_is_refused),
        T(test_a_table_without_an_address_is_refused),
        T(test_a_table_for_which_there_is_no_room_is_refused_for_now),
        T(test_a_bar_that_moved_has_another_table_and_both_stay_read_only),
        T(test_a_table_that_grew_is_protected_as_a_whole),
        T(test_the_tables_known_before_go_on_when_there_are_too_many),
        T(test_functions_without_what_is_asked_for_have_no_messages),
        T(test_a_function_that_is_not_there_is_asked_once),
        T(test_capabilities_count_only_if_the_status_says_so),
        T(test_a_chain_of_capabilities_that_loops_comes_to_an_end),
        T(test_capabilities_below_0x40_are_none),
        T(test_the_low_bits_of_pointers_to_capabilities_do_not_count),
        T(test_a_full_chain_of_capabilities_is_followed_to_its_end),
        T(test_one_message_has_one_pirq),
        T(test_the_messages_of_two_capabilities_differ),
        T(test_an_msi_has_no_entry_number),
        T(test_what_is_not_offered_is_refused),
        T(test_the_old_type_of_msi_names_no_segment),
        T(test_domains_without_devices_map_nothing),
        T(test_an_unreadable_argument_maps_nothing),
        T(test_a_message_is_not_mapped_when_the_answer_cannot_be_written),
        T(test_there_are_as_many_pirqs_as_vectors),
        T(test_without_a_vector_nothing_is_bound),
        T(test_a_message_is_unmapped_unless_it_is_bound),
        T(test_an_interrupt_on_a_freed_vector_is_acknowledged_and_nobodys),
        T(test_binding_begins_a_new_count_of_unhandled_interrupts),
        T(test_a_message_that_keeps_coming_unbound_is_masked_with_one_line),
        T(test_a_moved_msi_is_sent_to_the_new_cpu_with_its_vector),
        T(test_a_moved_msix_entry_is_sent_to_the_new_cpu_and_open),
        T(test_what_is_not_bound_is_not_moved),
        T(test_a_bound_message_is_restored_after_a_reset),
        T(test_a_message_not_bound_is_not_restored),
        T(test_other_segments_are_not_restored_or_protected),
        T(test_the_table_of_a_reported_function_becomes_read_only_and_stays_so),
        T(test_a_table_that_cannot_be_protected_is_named),
        T(test_our_accesses_do_not_disturb_the_domains),
        T(test_domains_do_not_disturb_one_anothers_address),
        T(test_an_interrupt_that_arrives_while_its_message_is_unmapped_is_nobodys),
        T(test_a_random_walk_keeps_entries_and_bindings_in_step),
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { "pci", NULL, NULL, NULL, NULL, tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    CU_initialize_registry();
    CU_register_suites(suites);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
