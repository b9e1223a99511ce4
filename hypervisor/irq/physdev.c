/* PHYSDEVOP_*: what the hardware domain tells and asks. */
#include "irq/internal.h"

#include <xen/physdev.h>

/* Serializes all operations; the interrupts themselves have locks of their own. */
static struct spinlock pirq_map_lock = SPINLOCK_INIT(L_PIRQ);

/* The guest's structure: a copy, which goes back after success when the table below says so. */
union physdev_arg {
    struct physdev_irq_status_query irq_status_query;
    struct physdev_eoi eoi;
    struct physdev_set_iopl set_iopl;
    struct physdev_set_iobitmap set_iobitmap;
    struct physdev_apic apic;
    struct physdev_irq irq;
    struct physdev_map_pirq map_pirq;
    struct physdev_unmap_pirq unmap_pirq;
    struct physdev_setup_gsi setup_gsi;
    struct physdev_pci_device_add pci_device_add;
    struct physdev_pci_device pci_device;
};

/** flags OUT: XENIRQSTAT_needs_eoi for level-triggered ones. -EINVAL: out of range. */
static long op_irq_status_query(struct domain *d, union physdev_arg *a)
{
    struct irq *irq = irq_lock(d, a->irq_status_query.irq);

    a->irq_status_query.flags = irq && irq->level ? XENIRQSTAT_needs_eoi : 0;
    irq_unlock(irq);
    return a->irq_status_query.irq < NR_PIRQS ? 0 : -EINVAL;
}

/** The guest has handled the interrupt. -EINVAL: not mapped. */
static long op_eoi(struct domain *d, union physdev_arg *a)
{
    struct irq *irq = irq_lock(d, a->eoi.irq);

    if (irq == NULL)
        return -EINVAL;
    if (irq->in_flight) {
        irq->in_flight = false;
        irq_set_mask_locked(irq, false);
    }
    irq_unlock(irq);
    return 0;
}

/** The current vCPU's virtual I/O privilege level. -EINVAL: above 3. */
static long op_set_iopl(struct domain *d, union physdev_arg *a)
{
    if (a->set_iopl.iopl > 3)
        return -EINVAL;
    current->arch.iopl = (uint8_t)a->set_iopl.iopl;
    return 0;
}

/** The current vCPU's bitmap of ports for its user mode, read when it is needed. -EINVAL. */
static long op_set_iobitmap(struct domain *d, union physdev_arg *a)
{
    if (a->set_iobitmap.nr_ports > NR_IOPORTS)
        return -EINVAL;
    current->iobitmap = GVA_OF(a->set_iobitmap.bitmap);
    current->iobitmap_ports = a->set_iobitmap.nr_ports;
    return 0;
}

/** -EINVAL: no such I/O APIC or register. */
static long op_apic_read(struct domain *d, union physdev_arg *a)
{
    return irq_ioapic_read(a->apic.apic_physbase, a->apic.reg, &a->apic.value) ? 0 : -EINVAL;
}

/** The vector is our own business; as Xen, the answer is the number of the interrupt. */
static long op_alloc_irq_vector(struct domain *d, union physdev_arg *a)
{
    a->irq.vector = a->irq.irq;
    return 0;
}

static uint16_t bdf_of(uint8_t bus, uint8_t devfn) { return (uint16_t)(bus << 8 | devfn); }

static bool is_self(const struct domain *d, domid_t id)
{
    return id == DOMID_SELF || id == d->domain_id;
}

/* A message of the function that a names; MSI-X if it gives the table's place. */
static long map_msi(struct domain *d, struct physdev_map_pirq *a)
{
    uint32_t segment = a->type == MAP_PIRQ_TYPE_MSI_SEG ? (uint32_t)a->bus >> 16 : 0;
    bool is_x = a->table_base != 0;
    struct msi m;
    long rc;

    if (segment || a->pirq >= 0)
        return -EOPNOTSUPP;
    rc = msi_find(d, &m, bdf_of((uint8_t)a->bus, (uint8_t)a->devfn), is_x,
                  is_x ? (uint32_t)a->entry_nr : 0);
    return rc ?: pirq_map_msi(d, &m, &a->pirq);
}

/**
 * Make GSI index (IN), or a message of a PCI function, a pirq (OUT) of the caller; IN pirq is -1 or
 * the GSI's number. -EOPNOTSUPP several messages of MSI, other PCI segments, numbers and domains; -EINVAL no
 * such GSI or entry; -ENODEV no such function or capability; -EEXIST the message has a pirq; -ENOSPC.
 */
static long op_map_pirq(struct domain *d, union physdev_arg *a)
{
    struct physdev_map_pirq *op = &a->map_pirq;
    struct irq *irq;

    if (!is_self(d, op->domid))
        return -EOPNOTSUPP;
    if (op->type == MAP_PIRQ_TYPE_MSI || op->type == MAP_PIRQ_TYPE_MSI_SEG)
        return map_msi(d, op);
    if (op->type != MAP_PIRQ_TYPE_GSI || (op->pirq >= 0 && op->pirq != op->index))
        return -EOPNOTSUPP;
    irq = (uint32_t)op->index < nr_gsis ? irq_lock(NULL, (uint32_t)op->index) : NULL;
    if (irq == NULL)
        return -EINVAL;
    irq->mapper = d;
    irq_unlock(irq);
    op->pirq = op->index;
    return 0;
}

/** -EINVAL not mapped; -EBUSY bound to a port. */
static long op_unmap_pirq(struct domain *d, union physdev_arg *a)
{
    if (!is_self(d, a->unmap_pirq.domid))
        return -EOPNOTSUPP;
    return pirq_unmap(d, (uint32_t)a->unmap_pirq.pirq);
}

/** -EINVAL no such GSI; -EEXIST in use: the caller goes on with it as it is. */
static long op_setup_gsi(struct domain *d, union physdev_arg *a)
{
    struct irq *irq;
    long rc = 0;

    irq = (uint32_t)a->setup_gsi.gsi < nr_gsis ? irq_lock(NULL, (uint32_t)a->setup_gsi.gsi) : NULL;
    if (irq == NULL)
        return -EINVAL;
    if (irq->port || irq->hv) {
        rc = -EEXIST;
    } else {
        irq->level = a->setup_gsi.triggering != 0;
        irq->active_low = a->setup_gsi.polarity != 0;
    }
    irq_unlock(irq);
    return rc;
}

/** A PCI function was found: of it only the MSI-X table matters to us. */
static long op_pci_device_add(struct domain *d, union physdev_arg *a)
{
    if (a->pci_device_add.seg == 0)
        msix_protect(d, bdf_of(a->pci_device_add.bus, a->pci_device_add.devfn));
    return 0;
}

/** And it went: what was protected stays so. */
static long op_pci_device_remove(struct domain *d, union physdev_arg *a) { return 0; }

static long op_restore_msi_ext(struct domain *d, union physdev_arg *a)
{
    if (a->pci_device.seg == 0)
        pirq_restore_msi(d, bdf_of(a->pci_device.bus, a->pci_device.devfn));
    return 0;
}

/* ANYBODY: else of the hardware domain only: -EPERM. OUT: the structure is copied back. */
enum { OP_ANYBODY = 1, OP_OUT = 2 };

#define OP(name, type, flags) [PHYSDEVOP_##name] = { op_##name, sizeof(struct type), flags }

/*
 * -ENOSYS, by absence, for what is not here, and where that is what Linux takes quietly:
 * pirq_eoi_gmfn_v1 and v2 (then it asks irq_status_query which interrupts need an EOI),
 * pci_mmcfg_reserved, prepare_msix and release_msix (pciback's), get_free_pirq (HVM's), dbgp_op.
 */
static const struct physdev_op_entry {
    long (*fn)(struct domain *d, union physdev_arg *a);
    uint8_t size, flags;
} ops[] = {
    OP(irq_status_query, physdev_irq_status_query, OP_ANYBODY | OP_OUT),
    OP(eoi, physdev_eoi, OP_ANYBODY),
    OP(set_iopl, physdev_set_iopl, OP_ANYBODY),
    OP(set_iobitmap, physdev_set_iobitmap, OP_ANYBODY),
    OP(apic_read, physdev_apic, OP_OUT),
    OP(alloc_irq_vector, physdev_irq, OP_OUT),
    OP(map_pirq, physdev_map_pirq, OP_OUT),
    OP(unmap_pirq, physdev_unmap_pirq, 0),
    OP(setup_gsi, physdev_setup_gsi, 0),
    OP(pci_device_add, physdev_pci_device_add, 0),
    OP(pci_device_remove, physdev_pci_device, 0),
    OP(restore_msi_ext, physdev_pci_device, 0),
};

long hc_physdev_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    const struct physdev_op_entry *e = &ops[array_index_nospec((uint32_t)cmd, ARRAY_SIZE(ops))];
    struct domain *d = current->domain;
    union physdev_arg a;
    long rc;

    if ((uint32_t)cmd >= ARRAY_SIZE(ops) || e->fn == NULL)
        return -ENOSYS;
    if (!(e->flags & OP_ANYBODY) && !d->is_hwdom)
        return -EPERM;
    if (copy_from_guest(&a, _gva(arg), e->size) ||
        ((e->flags & OP_OUT) && copy_to_guest(_gva(arg), &a, e->size)))
        return -EFAULT; /* before anything is done whose result could not be told */
    spin_lock(&pirq_map_lock);
    rc = e->fn(d, &a);
    spin_unlock(&pirq_map_lock);
    return rc == 0 && (e->flags & OP_OUT) ? copy_to_guest(_gva(arg), &a, e->size) : rc;
}
