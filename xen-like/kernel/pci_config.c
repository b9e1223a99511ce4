/*
 * PCI configuration space, by the ports that every PC has. The hypervisor executes the accesses for us, with an address
 * register of this domain's own; that one is shared by our vCPUs.
 */
#include <string.h>

#include <rt/clock.h>
#include <rt/hypercall.h>
#include <rt/lock.h>
#include <rt/thread.h>

#include <xen/physdev.h>

#include "pci.h"

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 0xcfc };
enum { COMMAND_DECODE = 3, STATUS_HAS_CAPS = 1 << 4, HEADER_MULTI = 0x80, HEADER_TYPE = 0x7f };
enum { HEADER_BRIDGE = 1, BRIDGE_SECONDARY = 0x19, CAPABILITIES = 0x34, MAX_CAPS = 48 };

static struct spinlock lock;

/* Ports are for kernels of I/O privilege level 1, which each vCPU has of its own. */
static void allow_ports(void)
{
    static bool allowed[MAX_CPUS];
    struct physdev_set_iopl op = { .iopl = 1 };

    if (!allowed[this_cpu()->id])
        allowed[this_cpu()->id] = hc(physdev_op, PHYSDEVOP_set_iopl, &op) == 0;
}

static void address_set(uint16_t bdf, unsigned int reg)
{
    allow_ports();
    __asm__ volatile("outl %0, %w1" ::"a"(1u << 31 | (uint32_t)bdf << 8 | (reg & 0xfc)),
                     "d"(PORT_ADDRESS));
}

uint32_t pci_config_read(uint16_t bdf, unsigned int reg, unsigned int bytes)
{
    bool were_off = spin_lock(&lock);
    uint16_t port = (uint16_t)(PORT_DATA + (reg & 3));
    uint32_t value = 0;

    address_set(bdf, reg);
    switch (bytes) {
    case 1: __asm__ volatile("inb %w1, %b0" : "+a"(value) : "d"(port)); break;
    case 2: __asm__ volatile("inw %w1, %w0" : "+a"(value) : "d"(port)); break;
    default: __asm__ volatile("inl %w1, %0" : "+a"(value) : "d"(port)); break;
    }
    spin_unlock(&lock, were_off);
    return value;
}

void pci_config_write(uint16_t bdf, unsigned int reg, unsigned int bytes, uint32_t value)
{
    bool were_off = spin_lock(&lock);
    uint16_t port = (uint16_t)(PORT_DATA + (reg & 3));

    address_set(bdf, reg);
    switch (bytes) {
    case 1: __asm__ volatile("outb %b0, %w1" ::"a"(value), "d"(port)); break;
    case 2: __asm__ volatile("outw %w0, %w1" ::"a"(value), "d"(port)); break;
    default: __asm__ volatile("outl %0, %w1" ::"a"(value), "d"(port)); break;
    }
    spin_unlock(&lock, were_off);
}

uint32_t pci_read(const struct pci_device *d, unsigned int reg, unsigned int bytes)
{
    return pci_config_read(d->bdf, reg, bytes);
}

void pci_write(const struct pci_device *d, unsigned int reg, unsigned int bytes, uint32_t value)
{
    pci_config_write(d->bdf, reg, bytes, value);
}

/* ---- what there is ---- */

struct scan {
    struct pci_function *found;
    unsigned int max, nr;
    uint8_t is_bus[256]; /* behind a bridge that was seen */
};

static void scan_function(struct scan *s, uint16_t bdf)
{
    uint32_t id = pci_config_read(bdf, PCI_ID, 4);
    uint8_t header = pci_config_read(bdf, PCI_HEADER, 1) & HEADER_TYPE;

    if ((id & 0xffff) == 0xffff)
        return;
    if (header == HEADER_BRIDGE)
        s->is_bus[pci_config_read(bdf, BRIDGE_SECONDARY, 1) & 0xff] = 1;
    if (s->nr < s->max)
        s->found[s->nr] = (struct pci_function){
            .bdf = bdf,
            .vendor = (uint16_t)id,
            .device = (uint16_t)(id >> 16),
            .class = pci_config_read(bdf, PCI_CLASS, 4) >> 8,
        };
    s->nr++;
}

/* Those behind a bridge have higher numbers than its own bus. */
unsigned int pci_scan(struct pci_function *found, unsigned int max)
{
    struct scan s = { .found = found, .max = max, .is_bus = { 1 } };

    for (unsigned int bus = 0; bus < 256; bus++)
        for (unsigned int device = 0; s.is_bus[bus] && device < 32; device++) {
            uint16_t bdf = (uint16_t)(bus << 8 | device << 3);
            bool multi = pci_config_read(bdf, PCI_HEADER, 1) & HEADER_MULTI;

            if (pci_config_read(bdf, PCI_ID, 2) == 0xffff)
                continue;
            for (unsigned int function = 0; function < (multi ? 8 : 1); function++)
                scan_function(&s, (uint16_t)(bdf | function));
        }
    return s.nr;
}

/* A list that goes round in a circle ends, too. */
uint8_t pci_capability(const struct pci_device *d, uint8_t id, uint8_t after)
{
    uint8_t at;

    if (!(pci_read(d, PCI_STATUS, 2) & STATUS_HAS_CAPS))
        return 0;
    at = (uint8_t)pci_read(d, after ? after + 1u : CAPABILITIES, 1) & 0xfc;
    for (unsigned int n = 0; n < MAX_CAPS && at >= 0x40; n++) {
        if (pci_read(d, at, 1) == id)
            return at;
        at = (uint8_t)pci_read(d, at + 1u, 1) & 0xfc;
    }
    return 0;
}

/* ---- BARs ---- */

/* How much of a BAR's register can be written: the rest is its size. */
static uint32_t bar_mask(const struct pci_device *d, unsigned int reg)
{
    uint32_t was = pci_read(d, reg, 4), mask;

    pci_write(d, reg, 4, ~0u);
    mask = pci_read(d, reg, 4);
    pci_write(d, reg, 4, was);
    return mask;
}

static bool is_upper_half(const struct pci_device *d, unsigned int bar)
{
    unsigned int b = 0;

    while (b < bar) {
        uint32_t low = pci_read(d, PCI_BAR0 + 4 * b, 4);

        b += !(low & 1) && (low & 6) == 4 ? 2 : 1;
    }
    return b > bar;
}

bool pci_bar(const struct pci_device *d, unsigned int bar, uint64_t *base, uint64_t *bytes)
{
    unsigned int reg = PCI_BAR0 + 4 * bar;
    uint32_t low = pci_read(d, reg, 4), command = pci_read(d, PCI_COMMAND, 2);
    bool is_64 = (low & 6) == 4;
    uint64_t mask;

    if ((low & 1) || is_upper_half(d, bar) || (is_64 && bar + 1 == PCI_NR_BARS))
        return false;
    pci_write(d, PCI_COMMAND, 2, command & ~(uint32_t)COMMAND_DECODE);
    mask = bar_mask(d, reg) & ~15u;
    *base = low & ~15u;
    if (is_64) {
        mask |= (uint64_t)bar_mask(d, reg + 4) << 32;
        *base |= (uint64_t)pci_read(d, reg + 4, 4) << 32;
    } else if (mask) {
        mask |= 0xffffffff00000000;
    }
    pci_write(d, PCI_COMMAND, 2, command);
    *bytes = mask & -mask;
    return *base != 0 && *bytes != 0 && *base <= UINT64_MAX - *bytes;
}

/* ---- reset ---- */

enum { EXPRESS_CAPS = 4, EXPRESS_CONTROL = 8, EXPRESS_HAS_FLR = 1 << 28, EXPRESS_FLR = 1 << 15 };
enum { AF_CAPS = 3, AF_CONTROL = 4, AF_HAS_FLR = 2, AF_FLR = 1 };
enum { NR_HEADER_WORDS = 16, FLR_US = 100000 };

/* What a reset of the function forgets is the header: where its memory is. It stays without mastering the bus. */
void pci_reset(const struct pci_device *d)
{
    uint8_t express = pci_capability(d, PCI_CAP_EXPRESS, 0), af = pci_capability(d, PCI_CAP_AF, 0);
    uint32_t header[NR_HEADER_WORDS];

    for (unsigned int i = 0; i < NR_HEADER_WORDS; i++)
        header[i] = pci_read(d, 4 * i, 4);
    if (express && (pci_read(d, express + EXPRESS_CAPS, 4) & EXPRESS_HAS_FLR))
        pci_write(d, express + EXPRESS_CONTROL, 2,
                  pci_read(d, express + EXPRESS_CONTROL, 2) | EXPRESS_FLR);
    else if (af && (pci_read(d, af + AF_CAPS, 1) & AF_HAS_FLR))
        pci_write(d, af + AF_CONTROL, 1, AF_FLR);
    else
        return;
    pci_sleep_us(FLR_US);
    for (unsigned int i = PCI_BAR0 / 4; i < NR_HEADER_WORDS; i++)
        pci_write(d, 4 * i, 4, header[i]);
    pci_write(d, PCI_COMMAND, 2, header[PCI_COMMAND / 4] & 0xffff);
}

void pci_sleep_us(uint32_t us) { thread_sleep_until(clock_now() + us * 1000UL); }
