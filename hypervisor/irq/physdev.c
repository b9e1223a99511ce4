/* HYPERVISOR_physdev_op: what the hardware domain tells and asks about interrupts and PCI. */
#include "irq/internal.h"

#include "lib/errno.h"
#include "lib/lib.h"

#include <xen/physdev.h>

_Static_assert(sizeof(struct physdev_map_pirq) == 40, "ABI: map_pirq");
_Static_assert(sizeof(struct physdev_apic) == 16, "ABI: apic");
_Static_assert(sizeof(struct physdev_setup_gsi) == 8, "ABI: setup_gsi");

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
    struct physdev_get_free_pirq get_free_pirq;
    struct physdev_manage_pci manage_pci;
    struct physdev_pci_device_add pci_device_add;
};

/** flags OUT: XENIRQSTAT_needs_eoi for level-triggered ones. -EINVAL: out of range. */
static long op_irq_status_query(struct domain *d, union physdev_arg *a)
{
    if (a->irq_status_query.irq >= NR_PIRQS)
        return -EINVAL;
    a->irq_status_query.flags = pirq_needs_eoi(d, a->irq_status_query.irq) ? XENIRQSTAT_needs_eoi : 0;
    return 0;
}

/** -EINVAL: not mapped. */
static long op_eoi(struct domain *d, union physdev_arg *a)
{
    if (!pirq_is_mapped(d, a->eoi.irq))
        return -EINVAL;
    pirq_eoi(d, a->eoi.irq);
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
    return gsi_read_reg(a->apic.apic_physbase, a->apic.reg, &a->apic.value) ? 0 : -EINVAL;
}

/** The vector is our own business; as Xen, the answer is the number of the interrupt. */
static long op_alloc_irq_vector(struct domain *d, union physdev_arg *a)
{
    a->irq.vector = a->irq.irq;
    return 0;
}

/**
 * Give a GSI (index) the number pirq (-1: any, OUT) among the caller's interrupts.
 * -EOPNOTSUPP for message-signalled ones; -EINVAL no such GSI or number; -EEXIST mapped otherwise;
 * -ENOSPC. A mapping does nothing by itself, so it stays when the copy-out faults.
 */
static long op_map_pirq(struct domain *d, union physdev_arg *a)
{
    struct physdev_map_pirq *op = &a->map_pirq;
    int rc;

    if (op->type == MAP_PIRQ_TYPE_MSI || op->type == MAP_PIRQ_TYPE_MSI_SEG ||
        op->type == MAP_PIRQ_TYPE_MULTI_MSI)
        return -EOPNOTSUPP;
    if (op->type != MAP_PIRQ_TYPE_GSI || op->index < 0)
        return -EINVAL;
    rc = pirq_map(d, (uint32_t)op->index, op->pirq);
    if (rc < 0)
        return rc;
    op->pirq = rc;
    return 0;
}

/** -EINVAL: not mapped. */
static long op_unmap_pirq(struct domain *d, union physdev_arg *a)
{
    return pirq_unmap(d, (uint32_t)a->unmap_pirq.pirq);
}

/** -EINVAL no such GSI; -EEXIST in use: the caller goes on with it as it is. */
static long op_setup_gsi(struct domain *d, union physdev_arg *a)
{
    return gsi_setup((uint32_t)a->setup_gsi.gsi, a->setup_gsi.triggering != 0,
                     a->setup_gsi.polarity != 0);
}

/** A number for an interrupt that is to be mapped. -EOPNOTSUPP: not a GSI; -ENOSPC. */
static long op_get_free_pirq(struct domain *d, union physdev_arg *a)
{
    int pirq = a->get_free_pirq.type == MAP_PIRQ_TYPE_GSI ? pirq_find_free(d) : -EOPNOTSUPP;

    if (pirq < 0)
        return pirq;
    a->get_free_pirq.pirq = (uint32_t)pirq;
    return 0;
}

/*
 * A PCI function was found. Nothing is kept of it until there is an IOMMU or MSI. -ENODEV: there is
 * none (a virtual function does not show itself by its vendor id).
 */
static long op_pci_device_add(struct domain *d, union physdev_arg *a)
{
    const struct physdev_pci_device_add *op = &a->pci_device_add;

    return op->seg || (op->flags & XEN_PCI_DEV_VIRTFN) || pci_exists(op->bus, op->devfn) ? 0 : -ENODEV;
}

static long op_manage_pci_add(struct domain *d, union physdev_arg *a)
{
    return pci_exists(a->manage_pci.bus, a->manage_pci.devfn) ? 0 : -ENODEV;
}

static long op_nothing_kept(struct domain *d, union physdev_arg *a) { return 0; }
static long op_later(struct domain *d, union physdev_arg *a) { return -EOPNOTSUPP; }

#define OP_ANYBODY 1  /* else of the hardware domain only: -EPERM */
#define OP_OUT 2      /* the structure is copied back */
#define OP_OTHER 4    /* it begins with a domain id: -ESRCH, and -EOPNOTSUPP if not the caller's */

/*
 * -ENOSYS, by absence, for what is not here, and where that is what Linux takes quietly:
 * pirq_eoi_gmfn_v1 and v2 (then it asks irq_status_query which interrupts need an EOI),
 * pci_mmcfg_reserved, dbgp_op.
 */
static const struct physdev_op_entry {
    long (*fn)(struct domain *d, union physdev_arg *a);
    uint8_t size, flags;
} ops[] = {
#define OP(name, fn, type, flags) [PHYSDEVOP_##name] = { fn, sizeof(struct type), flags }
    OP(irq_status_query, op_irq_status_query, physdev_irq_status_query, OP_ANYBODY | OP_OUT),
    OP(eoi, op_eoi, physdev_eoi, OP_ANYBODY),
    OP(set_iopl, op_set_iopl, physdev_set_iopl, OP_ANYBODY),
    OP(set_iobitmap, op_set_iobitmap, physdev_set_iobitmap, OP_ANYBODY),
    OP(apic_read, op_apic_read, physdev_apic, OP_OUT),
    OP(apic_write, op_later, physdev_apic, 0),
    OP(alloc_irq_vector, op_alloc_irq_vector, physdev_irq, OP_OUT),
    OP(map_pirq, op_map_pirq, physdev_map_pirq, OP_OUT | OP_OTHER),
    OP(unmap_pirq, op_unmap_pirq, physdev_unmap_pirq, OP_OTHER),
    OP(setup_gsi, op_setup_gsi, physdev_setup_gsi, 0),
    OP(get_free_pirq, op_get_free_pirq, physdev_get_free_pirq, OP_OUT),
    OP(manage_pci_add, op_manage_pci_add, physdev_manage_pci, 0),
    OP(manage_pci_add_ext, op_later, physdev_manage_pci_ext, 0),
    OP(manage_pci_remove, op_nothing_kept, physdev_manage_pci, 0),
    [PHYSDEVOP_pci_device_add] = { op_pci_device_add, offsetof(struct physdev_pci_device_add, optarr), 0 },
    OP(pci_device_remove, op_nothing_kept, physdev_pci_device, 0),
    OP(restore_msi, op_later, physdev_restore_msi, 0),
    OP(restore_msi_ext, op_later, physdev_pci_device, 0),
    OP(prepare_msix, op_later, physdev_pci_device, 0),
    OP(release_msix, op_later, physdev_pci_device, 0),
};

static long physdev_call(const struct physdev_op_entry *e, struct domain *caller, union physdev_arg *a)
{
    struct domain *d;

    if (e->flags & OP_OTHER) {
        d = domain_get_by_id(caller, a->map_pirq.domid);
        if (d == NULL)
            return -ESRCH;
        domain_put(d);
        if (d != caller)
            return -EOPNOTSUPP;
    }
    return e->fn(caller, a);
}

long hc_physdev_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    uint32_t nr = (uint32_t)cmd;
    const struct physdev_op_entry *e;
    union physdev_arg a;
    long rc;

    if (nr >= ARRAY_SIZE(ops))
        return -ENOSYS;
    e = &ops[array_index_nospec(nr, ARRAY_SIZE(ops))];
    if (e->fn == NULL)
        return -ENOSYS;
    if (!(e->flags & OP_ANYBODY) && !current->domain->is_hwdom)
        return -EPERM;
    if (copy_from_guest(&a, _gva(arg), e->size))
        return -EFAULT;
    rc = physdev_call(e, current->domain, &a);
    return rc == 0 && (e->flags & OP_OUT) ? copy_to_guest(_gva(arg), &a, e->size) : rc;
}
