/*
 * PCI configuration space by the legacy ports, and the messages of PCI functions (PCI 3.0, chapters 3
 * and 6). A function's registers are what the hardware domain makes of them, so nothing in them is
 * trusted: what we write to lies in memory that it may map itself.
 */
#include "irq/internal.h"

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 0xcfc };

static struct spinlock conf_lock = SPINLOCK_INIT(L_IO);

static void conf_access(uint32_t address, uint16_t port, unsigned int bytes, bool write,
                        uint32_t *value)
{
    unsigned long flags = spin_lock_irqsave(&conf_lock);

    arch_port_out(PORT_ADDRESS, 4, address);
    if (write)
        arch_port_out(port, bytes, *value);
    else
        *value = arch_port_in(port, bytes);
    spin_unlock_irqrestore(&conf_lock, flags);
}

/*
 * A domain's write to cf8 is only noted; with each access to cfc..cff the address goes to the
 * machine, so domains do not disturb one another or us. Domains without devices see an empty bus.
 */
bool pci_conf_port(struct domain *d, uint16_t port, unsigned int bytes, bool write, uint32_t *value)
{
    uint32_t cf8 = READ_ONCE(d->pci_cf8);

    if (port == PORT_ADDRESS && bytes == 4) {
        if (write)
            WRITE_ONCE(d->pci_cf8, *value);
        else
            *value = cf8;
        return true;
    }
    if (port < PORT_DATA || port + bytes > PORT_DATA + 4)
        return false;
    if (!d->is_hwdom || !(cf8 >> 31)) {
        *value = ~0u >> (32 - 8 * bytes);
        return true;
    }
    conf_access(cf8 & ~3u, port, bytes, write, value);
    return true;
}

/* ---- capabilities ---- */

enum { CONF_ID = 0, CONF_STATUS = 6, CONF_BAR0 = 0x10, CONF_CAPS = 0x34 };
enum { STATUS_HAS_CAPS = 1 << 4, CAP_MSI = 5, CAP_MSIX = 0x11, MAX_CAPS = 48 };
/* the MSI capability; from its control word's bits the others' places follow */
enum { MSI_CONTROL = 2, MSI_ADDRESS = 4 };
enum { MSI_ENABLE = 1, MSI_MESSAGES = 0x70, MSI_64BIT = 1 << 7, MSI_MASKS = 1 << 8 };
enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_ENTRIES_MASK = 0x7ff };
enum { ENTRY_ADDRESS, ENTRY_ADDRESS_HIGH, ENTRY_DATA, ENTRY_MASK, ENTRY_WORDS }; /* 32 bits each */
#define MSI_ADDRESS_OF(apic_id) (0xfee00000u | (apic_id) << 12)

static uint32_t conf_read(uint16_t bdf, uint8_t reg, unsigned int bytes)
{
    uint32_t value;

    conf_access(1u << 31 | (uint32_t)bdf << 8 | (reg & 0xfcu), PORT_DATA + (reg & 3), bytes, false,
                &value);
    return value;
}

static void conf_write(uint16_t bdf, uint8_t reg, unsigned int bytes, uint32_t value)
{
    conf_access(1u << 31 | (uint32_t)bdf << 8 | (reg & 0xfcu), PORT_DATA + (reg & 3), bytes, true,
                &value);
}

bool pci_is_present(uint32_t segment, uint8_t bus, uint8_t devfn)
{
    return segment == 0 && conf_read((uint16_t)(bus << 8 | devfn), CONF_ID, 2) != 0xffff;
}

/* 0: the function has no such capability, or is not there. */
static uint8_t find_cap(uint16_t bdf, uint8_t id)
{
    uint8_t at;

    if (!pci_is_present(0, (uint8_t)(bdf >> 8), (uint8_t)bdf) ||
        !(conf_read(bdf, CONF_STATUS, 2) & STATUS_HAS_CAPS))
        return 0;
    at = conf_read(bdf, CONF_CAPS, 1) & 0xfc;
    for (unsigned int n = 0; n < MAX_CAPS && at >= 0x40; n++) {
        if (conf_read(bdf, at, 1) == id)
            return at;
        at = conf_read(bdf, at + 1, 1) & 0xfc;
    }
    return 0;
}

/* ---- MSI ---- */

static uint8_t msi_data_reg(const struct msi *m, uint32_t control)
{
    return m->cap + (control & MSI_64BIT ? 12 : 8);
}

void msi_program(const struct msi *m, uint8_t vector, uint32_t apic_id)
{
    uint32_t control;

    if (m->entry) { /* masked meanwhile, as it is not written at once */
        m->entry[ENTRY_MASK] = 1;
        m->entry[ENTRY_ADDRESS] = MSI_ADDRESS_OF(apic_id);
        m->entry[ENTRY_ADDRESS_HIGH] = 0;
        m->entry[ENTRY_DATA] = vector; /* edge, fixed */
        return;
    }
    control = conf_read(m->bdf, m->cap + MSI_CONTROL, 2);
    conf_write(m->bdf, m->cap + MSI_CONTROL, 2, control & ~(uint32_t)MSI_MESSAGES);
    conf_write(m->bdf, m->cap + MSI_ADDRESS, 4, MSI_ADDRESS_OF(apic_id));
    if (control & MSI_64BIT)
        conf_write(m->bdf, m->cap + MSI_ADDRESS + 4, 4, 0);
    conf_write(m->bdf, msi_data_reg(m, control), 2, vector);
}

void msi_set_mask(const struct msi *m, bool masked)
{
    uint32_t control;

    if (m->entry) {
        m->entry[ENTRY_MASK] = masked;
        return;
    }
    control = conf_read(m->bdf, m->cap + MSI_CONTROL, 2);
    if (control & MSI_MASKS)
        conf_write(m->bdf, msi_data_reg(m, control) + 4, 4, masked ? ~0u : ~1u);
}

void msi_disable(const struct msi *m)
{
    msi_set_mask(m, true);
    if (m->entry == NULL)
        conf_write(m->bdf, m->cap + MSI_CONTROL, 2,
                   conf_read(m->bdf, m->cap + MSI_CONTROL, 2) & ~(uint32_t)MSI_ENABLE);
}

/* ---- MSI-X ---- */

/* The table's address by BAR and offset, and how many entries it has. False: it is in no memory. */
static bool msix_table(uint16_t bdf, uint8_t cap, uint64_t *maddr, uint32_t *nr)
{
    uint32_t where = conf_read(bdf, cap + MSIX_TABLE, 4);
    uint8_t reg = (uint8_t)(CONF_BAR0 + (where & 7) * 4);
    uint32_t bar = conf_read(bdf, reg, 4);
    uint64_t base = bar & ~15u;

    *nr = (conf_read(bdf, cap + MSIX_CONTROL, 2) & MSIX_ENTRIES_MASK) + 1;
    if ((where & 7) > 5 || (bar & 1)) /* no such BAR; I/O space */
        return false;
    if ((bar & 6) == 4) /* 64 bits */
        base |= (uint64_t)conf_read(bdf, reg + 4, 4) << 32;
    *maddr = base + (where & ~7u);
    return base != 0;
}

/* Those that we know of. They are kept for good: a BAR that moves takes another one. */
static struct {
    uint64_t maddr;
    volatile uint32_t *va;
} tables[NR_RANGES];

/*
 * Where we see the table at maddr; d may map its frames otherwise, but from now on not write to them.
 * NULL: there are too many tables, or it does not lie in device memory of d's.
 */
static volatile uint32_t *table_map(struct domain *d, uint64_t maddr, uint64_t bytes)
{
    const struct range r = { maddr >> PAGE_SHIFT, (maddr + bytes - 1) >> PAGE_SHIFT };
    uint32_t n = d->iomem_ro.nr;
    volatile uint32_t *va;
    bool mine = true;

    if (r.last < r.first) /* beyond the last address */
        return NULL;
    for (uint32_t i = 0; i < n; i++)
        if (tables[i].maddr == maddr && d->iomem_ro.of[i].last >= r.last)
            return tables[i].va;
    spin_lock(&d->mmu_lock); /* see domain_ranges_change() */
    for (uint64_t m = r.first; m <= r.last; m++)
        mine &= ranges_have(&d->iomem, m);
    spin_unlock(&d->mmu_lock);
    va = mine && n < NR_RANGES ? arch_map_mmio(maddr, bytes) : NULL;
    if (va == NULL)
        return NULL;
    tables[n].maddr = maddr;
    tables[n].va = va;
    d->iomem_ro.of[n] = r; /* page-table updates look at them meanwhile */
    __atomic_store_n(&d->iomem_ro.nr, n + 1, __ATOMIC_RELEASE);
    return va;
}

int msi_find(struct domain *d, struct msi *m, uint16_t bdf, bool is_x, uint32_t entry_nr)
{
    uint64_t maddr;
    uint32_t nr;

    *m = (struct msi){ .bdf = bdf, .cap = find_cap(bdf, is_x ? CAP_MSIX : CAP_MSI) };
    if (m->cap == 0)
        return -ENODEV;
    if (!is_x)
        return 0;
    if (!msix_table(bdf, m->cap, &maddr, &nr) || entry_nr >= nr)
        return -EINVAL;
    m->entry = table_map(d, maddr, nr * ENTRY_WORDS * sizeof(*m->entry));
    if (m->entry == NULL)
        return -ENOSPC;
    m->entry_nr = (uint16_t)entry_nr;
    m->entry += entry_nr * ENTRY_WORDS;
    return 0;
}

void msix_protect(struct domain *d, uint16_t bdf)
{
    struct msi m;

    if (msi_find(d, &m, bdf, true, 0) == -ENOSPC)
        gprint(LOG_WARN, "PCI %04x: its MSI-X table cannot be protected", bdf);
}
