/*
 * Interrupts of devices. An edge-triggered one is acknowledged at once. A level-triggered one is
 * masked at its I/O APIC first, and unmasked when the guest says that it has quietened the device,
 * so a guest that never does so loses its own interrupt and delays nobody else's.
 *
 * GSIs are the machine's interrupt inputs, pirqs a domain's numbers for them. The pirq of a GSI is
 * the GSI's number, and only the hardware domain has pirqs.
 */
#include "irq/irq.h"

#include "event/evtchn.h"
#include "memory/heap.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/upcalls.h"
#include "x86/vectors.h"

#include <xen/physdev.h>

#define UNHANDLED_MAX 100u /* so often may an interrupt come that nobody wants */
#define NR_ISA_IRQS 16u

struct gsi {
    struct domain *mapper; /* who has made a pirq of it, for good, or NULL */
    evtchn_port_t port;    /* bound to this port of the mapper, or 0 */
    void (*hv)(void);      /* or the hypervisor handles it */
    uint8_t vector;        /* 0: none yet; kept from the first binding on */
    bool level, active_low;
    bool in_flight; /* level, delivered and masked, the guest's EOI is awaited */
    uint32_t nr_unhandled;
};

/* L_IRQ, interrupts off; also the I/O APICs' and the PCI configuration ports' lock. */
static struct spinlock irq_lock = SPINLOCK_INIT(L_IRQ);
static struct gsi *gsis;
static uint32_t nr_gsis;
static struct gsi *gsi_by_vector[256];

/* ---- GSIs ---- */

void irq_init(void)
{
    nr_gsis = MIN(ioapic_init(), NR_PIRQS);
    gsis = xmalloc_pages(nr_gsis * sizeof(*gsis));
    if (gsis == NULL && nr_gsis)
        panic("interrupts: out of memory");
    for (uint32_t i = 0; i < nr_gsis; i++)
        ioapic_gsi_defaults(i, &gsis[i].level, &gsis[i].active_low);
}

static struct gsi *gsi_find(uint32_t gsi)
{
    if (gsi >= nr_gsis || !ioapic_has(gsi))
        return NULL;
    return &gsis[array_index_nospec(gsi, nr_gsis)];
}

static void gsi_set_mask(const struct gsi *g, bool masked)
{
    ioapic_set((uint32_t)(g - gsis), g->vector, g->level, g->active_low, masked);
}

/*
 * Let a GSI come, to the port of its mapper d or, if d is NULL, to hv. With neither port nor hv, only
 * ask if that can be.
 */
static int gsi_start(const struct domain *d, uint32_t gsi, evtchn_port_t port, void (*hv)(void))
{
    unsigned long flags = spin_lock_irqsave(&irq_lock);
    struct gsi *g = gsi_find(gsi);
    int rc = 0;

    if (g && d && g->mapper != d)
        g = NULL;
    /* Highest first: the APIC's priority is the vector's, and interrupts of one class queue up. */
    for (uint8_t v = VECTOR_DEVICE_LAST; v >= VECTOR_DEVICE_FIRST; v--)
        if (g && g->vector == 0 && gsi_by_vector[v] == NULL && v != VECTOR_GUEST_INT80) {
            gsi_by_vector[v] = g;
            g->vector = v;
        }
    if (g == NULL)
        rc = d ? -EINVAL : -ENODEV;
    else if (g->port || g->hv)
        rc = g->hv ? -EBUSY : -EEXIST;
    else if (g->vector == 0)
        rc = -ENOSPC;
    if (rc == 0 && (port || hv)) {
        g->port = port;
        g->hv = hv;
        g->nr_unhandled = 0;
        gsi_set_mask(g, false);
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    return rc;
}

int irq_request_hv(uint32_t gsi, void (*handler)(void))
{
    return gsi_start(NULL, gsi < NR_ISA_IRQS ? ioapic_isa_gsi(gsi) : gsi, 0, handler);
}

int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    return gsi_start(d, pirq, port, NULL);
}

void irq_print(void)
{
    for (const struct gsi *g = gsis; g < gsis + nr_gsis; g++) /* may be torn, is only shown */
        if (g->vector)
            print(LOG_INFO, "GSI %u: vector 0x%x%s%s%s port %u%s, %u unhandled\n",
                  (uint32_t)(g - gsis), g->vector, g->level ? " level" : " edge",
                  g->active_low ? " low" : " high", g->in_flight ? " in flight" : "", g->port,
                  g->hv ? " hypervisor's" : "", g->nr_unhandled);
}

/* ---- arrival ---- */

void irq_interrupt(unsigned int vector)
{
    void (*hv)(void) = NULL;
    struct gsi *g;

    spin_lock(&irq_lock);
    g = gsi_by_vector[(uint8_t)vector];
    if (g == NULL) { /* left over from the firmware, or a device writes its own messages */
        if (lapic_in_service(vector))
            lapic_eoi();
        gprint(LOG_WARN, "interrupt on vector 0x%x, which is nobody's\n", vector);
    } else if (g->hv) {
        hv = g->hv;
    } else if (g->port) {
        g->in_flight = g->level;
        if (g->level)
            gsi_set_mask(g, true);
        lapic_eoi();
        evtchn_set_pending(g->mapper, g->port);
    } else { /* may come once more after it was stopped; one that keeps coming is shut up for good */
        lapic_eoi();
        if (++g->nr_unhandled == UNHANDLED_MAX) {
            gsi_set_mask(g, true);
            print(LOG_WARN, "GSI %u: %u interrupts that nobody handled, masked\n",
                  (uint32_t)(g - gsis), UNHANDLED_MAX);
        }
    }
    spin_unlock(&irq_lock);
    if (hv) {
        hv(); /* quietens the device; only then the acknowledgement, in case it is level-triggered */
        lapic_eoi();
    }
}

/* ---- pirqs ---- */

/* The GSI that d has mapped as pirq, or NULL. */
static struct gsi *pirq_find_locked(const struct domain *d, uint32_t pirq)
{
    struct gsi *g = gsi_find(pirq);

    ASSERT(spin_is_held(&irq_lock) && !arch_irq_enabled());
    return g && g->mapper == d ? g : NULL;
}

void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    unsigned long flags = spin_lock_irqsave(&irq_lock);
    struct gsi *g = pirq_find_locked(d, pirq);

    if (g && g->port == port) {
        gsi_set_mask(g, true);
        g->port = 0;
        g->in_flight = false;
    }
    spin_unlock_irqrestore(&irq_lock, flags);
}

/* ---- PHYSDEVOP_*: what the hardware domain tells and asks; op_*() hold irq_lock ---- */

/* The guest's structure: a copy, which goes back after success when the table below says so. */
union physdev_arg {
    struct physdev_irq_status_query irq_status_query;
    struct physdev_eoi eoi;
    struct physdev_set_iopl set_iopl;
    struct physdev_set_iobitmap set_iobitmap;
    struct physdev_apic apic;
    struct physdev_irq irq;
    struct physdev_map_pirq map_pirq;
    struct physdev_setup_gsi setup_gsi;
};

/** flags OUT: XENIRQSTAT_needs_eoi for level-triggered ones. -EINVAL: out of range. */
static long op_irq_status_query(struct domain *d, union physdev_arg *a)
{
    const struct gsi *g = pirq_find_locked(d, a->irq_status_query.irq);

    a->irq_status_query.flags = g && g->level ? XENIRQSTAT_needs_eoi : 0;
    return a->irq_status_query.irq < NR_PIRQS ? 0 : -EINVAL;
}

/** The guest has handled the interrupt. -EINVAL: not mapped. */
static long op_eoi(struct domain *d, union physdev_arg *a)
{
    struct gsi *g = pirq_find_locked(d, a->eoi.irq);

    if (g && g->in_flight) {
        g->in_flight = false;
        gsi_set_mask(g, false);
    }
    return g ? 0 : -EINVAL;
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
    return ioapic_read_reg(a->apic.apic_physbase, a->apic.reg, &a->apic.value) ? 0 : -EINVAL;
}

/** The vector is our own business; as Xen, the answer is the number of the interrupt. */
static long op_alloc_irq_vector(struct domain *d, union physdev_arg *a)
{
    a->irq.vector = a->irq.irq;
    return 0;
}

/**
 * Make GSI index (IN) a pirq (OUT) of the caller; IN pirq is -1 or the same. Repeatable, and does
 * nothing by itself, so it stays when the copy-out faults. -EOPNOTSUPP for message-signalled ones,
 * other numbers and other domains; -EINVAL no such GSI.
 */
static long op_map_pirq(struct domain *d, union physdev_arg *a)
{
    struct physdev_map_pirq *op = &a->map_pirq;
    struct gsi *g = gsi_find((uint32_t)op->index);

    if (op->type != MAP_PIRQ_TYPE_GSI || (op->pirq >= 0 && op->pirq != op->index) ||
        (op->domid != DOMID_SELF && op->domid != d->domain_id))
        return -EOPNOTSUPP;
    if (g == NULL)
        return -EINVAL;
    g->mapper = d;
    op->pirq = op->index;
    return 0;
}

/** -EINVAL no such GSI; -EEXIST in use: the caller goes on with it as it is. */
static long op_setup_gsi(struct domain *d, union physdev_arg *a)
{
    struct gsi *g = gsi_find((uint32_t)a->setup_gsi.gsi);

    if (g == NULL)
        return -EINVAL;
    if (g->port || g->hv)
        return -EEXIST;
    g->level = a->setup_gsi.triggering != 0;
    g->active_low = a->setup_gsi.polarity != 0;
    return 0;
}

/** A PCI function was found. Nothing is kept of it until there is an IOMMU or MSI. */
static long op_pci_device_add(struct domain *d, union physdev_arg *a) { return 0; }

/* ANYBODY: else of the hardware domain only: -EPERM. OUT: the structure is copied back. */
enum { OP_ANYBODY = 1, OP_OUT = 2 };

#define OP(name, type, flags) [PHYSDEVOP_##name] = { op_##name, sizeof(struct type), flags }

/*
 * -ENOSYS, by absence, for what is not here, and where that is what Linux takes quietly:
 * pirq_eoi_gmfn_v1 and v2 (then it asks irq_status_query which interrupts need an EOI),
 * pci_mmcfg_reserved, dbgp_op.
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
    OP(setup_gsi, physdev_setup_gsi, 0),
    OP(pci_device_add, physdev_pci_device_add, 0),
};

long hc_physdev_op(uint64_t cmd, uint64_t arg, uint64_t a3, uint64_t a4, uint64_t a5)
{
    const struct physdev_op_entry *e = &ops[array_index_nospec((uint32_t)cmd, ARRAY_SIZE(ops))];
    struct domain *d = current->domain;
    union physdev_arg a;
    unsigned long flags;
    long rc;

    if ((uint32_t)cmd >= ARRAY_SIZE(ops) || e->fn == NULL)
        return -ENOSYS;
    if (!(e->flags & OP_ANYBODY) && !d->is_hwdom)
        return -EPERM;
    if (copy_from_guest(&a, _gva(arg), e->size))
        return -EFAULT;
    flags = spin_lock_irqsave(&irq_lock);
    rc = e->fn(d, &a);
    spin_unlock_irqrestore(&irq_lock, flags);
    return rc == 0 && (e->flags & OP_OUT) ? copy_to_guest(_gva(arg), &a, e->size) : rc;
}

/* ---- PCI configuration space ---- */

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 0xcfc };

/*
 * A domain's write to cf8 is only noted; with each access to cfc..cff the address goes to the
 * machine, so domains do not disturb one another or us. Domains without devices see an empty bus.
 */
bool pci_conf_port(struct domain *d, uint16_t port, unsigned int bytes, bool write, uint32_t *value)
{
    uint32_t cf8 = READ_ONCE(d->pci_cf8);
    unsigned long flags;

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
    flags = spin_lock_irqsave(&irq_lock);
    arch_port_out(PORT_ADDRESS, 4, cf8 & ~3u);
    if (write)
        arch_port_out(port, bytes, *value);
    else
        *value = arch_port_in(port, bytes);
    spin_unlock_irqrestore(&irq_lock, flags);
    return true;
}
