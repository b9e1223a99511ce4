/*
 * PCI configuration space by ports cf8 and cfc. A domain's write to cf8 is only noted; with each
 * access to cfc..cff the address goes to the machine, so domains do not disturb one another or us.
 */
#include "irq/internal.h"

#define CF8_ENABLE (1u << 31)
#define CF8_ADDRESS_MASK 0xfffffffcu
#define PORT_ADDRESS 0xcf8
#define PORT_DATA 0xcfc

static struct spinlock pci_lock = SPINLOCK_INIT(L_IRQ); /* the pair of ports is one resource */

static uint32_t conf_access(uint32_t cf8, uint16_t port, unsigned int bytes, bool write,
                            uint32_t value)
{
    unsigned long flags = spin_lock_irqsave(&pci_lock);

    arch_port_out(PORT_ADDRESS, 4, cf8 & (CF8_ENABLE | CF8_ADDRESS_MASK));
    if (write)
        arch_port_out(port, bytes, value);
    else
        value = arch_port_in(port, bytes);
    spin_unlock_irqrestore(&pci_lock, flags);
    return value;
}

/* Domains without devices see an empty bus. */
bool pci_conf_port(struct domain *d, uint16_t port, unsigned int bytes, bool write, uint32_t *value)
{
    if (port == PORT_ADDRESS && bytes == 4) {
        if (write)
            WRITE_ONCE(d->irq->cf8, *value);
        else
            *value = READ_ONCE(d->irq->cf8);
        return true;
    }
    if (port < PORT_DATA || port + bytes > PORT_DATA + 4)
        return false;
    if (d->is_hwdom && (READ_ONCE(d->irq->cf8) & CF8_ENABLE))
        *value = conf_access(READ_ONCE(d->irq->cf8), port, bytes, write, *value);
    else if (!write)
        *value = ~0u >> (32 - 8 * bytes);
    return true;
}

bool pci_exists(uint8_t bus, uint8_t devfn)
{
    uint32_t cf8 = CF8_ENABLE | (uint32_t)bus << 16 | (uint32_t)devfn << 8;

    return (conf_access(cf8, PORT_DATA, 2, false, 0) & 0xffff) != 0xffff;
}
