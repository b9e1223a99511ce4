/*
 * Interrupts of devices. An edge- or message-signalled one is acknowledged at once. A level-triggered
 * one is masked at its I/O APIC first, and unmasked when the guest says that it has quietened the
 * device, so a guest that never does so loses its own interrupt and delays nobody else's.
 *
 * There is no global lock: each interrupt has its own, and vectors, which are the same on all CPUs,
 * are taken by compare-and-exchange.
 */
#include "irq/internal.h"

#include "event/evtchn.h"
#include "lib/cmdline.h"
#include "memory/heap.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/upcalls.h"
#include "x86/vectors.h"

#define UNHANDLED_MAX 100u /* so often may an interrupt come that nobody wants */
#define NR_ISA_IRQS 16u
#define NR_MSIS (VECTOR_DEVICE_LAST - VECTOR_DEVICE_FIRST) /* there are no more vectors */

struct irq *irqs;
uint32_t nr_gsis, nr_irqs;
static _Atomic(struct irq *) irq_by_vector[256];
static struct spinlock ioapic_lock = SPINLOCK_INIT(L_IO);

static void no_handler(void) {}

void irq_init(void)
{
    nr_gsis = MIN(ioapic_init(), NR_PIRQS - NR_MSIS);
    nr_irqs = nr_gsis + NR_MSIS;
    irqs = xmalloc_pages(nr_irqs * sizeof(*irqs));
    if (irqs == NULL)
        panic("interrupts: out of memory");
    for (uint32_t i = 0; i < nr_irqs; i++) {
        irqs[i].lock = SPINLOCK_INIT(L_IRQ);
        if (i < nr_gsis)
            ioapic_gsi_defaults(i, &irqs[i].level, &irqs[i].active_low);
    }
    if (options.watchdog && ioapic_isa_gsi(WATCHDOG_IRQ) < nr_gsis)
        irqs[ioapic_isa_gsi(WATCHDOG_IRQ)].hv = no_handler; /* nobody else may have it */
}

struct irq *irq_lock(const struct domain *d, uint32_t pirq)
{
    struct irq *irq = &irqs[array_index_nospec(pirq, nr_irqs)];
    unsigned long flags;

    if (pirq >= nr_irqs || (pirq < nr_gsis && !ioapic_has(pirq)))
        return NULL;
    flags = spin_lock_irqsave(&irq->lock);
    irq->flags = (uint32_t)flags; /* RFLAGS */
    if (d == NULL || irq->mapper == d)
        return irq;
    irq_unlock(irq);
    return NULL;
}

void irq_unlock(struct irq *irq)
{
    if (irq)
        spin_unlock_irqrestore(&irq->lock, irq->flags);
}

void irq_set_mask_locked(struct irq *irq, bool masked)
{
    if (irq->msi.cap) {
        msi_set_mask(&irq->msi, masked);
        return;
    }
    spin_lock(&ioapic_lock);
    ioapic_set((uint32_t)(irq - irqs), irq->vector, irq->level, irq->active_low, masked,
               arch_cpu_apic_id(irq->cpu));
    spin_unlock(&ioapic_lock);
}

/* Where it goes, too. */
static void irq_program_locked(struct irq *irq, bool masked)
{
    if (irq->msi.cap)
        msi_program(&irq->msi, irq->vector, arch_cpu_apic_id(irq->cpu));
    irq_set_mask_locked(irq, masked);
}

bool irq_ioapic_read(uint64_t maddr, uint32_t reg, uint32_t *value)
{
    unsigned long flags = spin_lock_irqsave(&ioapic_lock);
    bool ok = ioapic_read_reg(maddr, reg, value);

    spin_unlock_irqrestore(&ioapic_lock, flags);
    return ok;
}

/* Highest first: the APIC's priority is the vector's, and interrupts of one class queue up. */
static bool take_vector(struct irq *irq)
{
    for (uint8_t v = VECTOR_DEVICE_LAST; irq->vector == 0 && v >= VECTOR_DEVICE_FIRST; v--) {
        struct irq *none = NULL;

        if (v != VECTOR_GUEST_INT80 &&
            atomic_compare_exchange_strong(&irq_by_vector[v], &none, irq))
            irq->vector = v;
    }
    return irq->vector;
}

/* Let it come, to the port of its mapper or to hv; with neither, only ask if that can be. */
static int irq_start_locked(struct irq *irq, evtchn_port_t port, void (*hv)(void))
{
    if (irq->port || irq->hv)
        return irq->hv ? -EBUSY : -EEXIST;
    if (!take_vector(irq))
        return -ENOSPC;
    if (port == 0 && hv == NULL)
        return 0;
    irq->port = port;
    irq->hv = hv;
    irq->nr_unhandled = 0;
    irq_program_locked(irq, false);
    return 0;
}

int irq_request_hv(uint32_t gsi, void (*handler)(void))
{
    struct irq *irq = irq_lock(NULL, gsi < NR_ISA_IRQS ? ioapic_isa_gsi(gsi) : gsi);
    int rc = irq ? irq_start_locked(irq, 0, handler) : -ENODEV;

    irq_unlock(irq);
    return rc;
}

void irq_print(void)
{
    for (const struct irq *i = irqs; i < irqs + nr_irqs; i++) /* may be torn, is only shown */
        if (i->vector)
            print(LOG_INFO, "IRQ %u: %s %x vector 0x%x CPU %u%s%s port %u%s, %u unhandled\n",
                  (uint32_t)(i - irqs),
                  i->msi.entry ? "MSI-X"
                  : i->msi.cap ? "MSI"
                  : i->level   ? "level"
                               : "edge",
                  i->msi.bdf, i->vector, i->cpu, i->active_low ? " low" : "",
                  i->in_flight ? " in flight" : "", i->port, i->hv ? " hypervisor's" : "",
                  i->nr_unhandled);
}

/* ---- arrival ---- */

static void arrived_locked(struct irq *irq)
{
    if (irq->port) {
        irq->in_flight = irq->level;
        if (irq->level)
            irq_set_mask_locked(irq, true);
        lapic_eoi();
        evtchn_set_pending(irq->mapper, irq->port);
        return;
    }
    /* may come once more after it was stopped; one that keeps coming is shut up for good */
    lapic_eoi();
    if (irq->vector && ++irq->nr_unhandled == UNHANDLED_MAX) { /* 0: unmapped meanwhile */
        irq_set_mask_locked(irq, true);
        print(LOG_WARN, "IRQ %u: %u interrupts that nobody handled, masked\n",
              (uint32_t)(irq - irqs), UNHANDLED_MAX);
    }
}

void irq_interrupt(unsigned int vector)
{
    struct irq *irq = atomic_load(&irq_by_vector[(uint8_t)vector]);
    void (*hv)(void);

    if (irq == NULL) { /* left over from the firmware, or a device writes its own messages */
        if (lapic_in_service(vector))
            lapic_eoi();
        gprint(LOG_WARN, "interrupt on vector 0x%x, which is nobody's\n", vector);
        return;
    }
    spin_lock(&irq->lock);
    hv = irq->hv;
    if (hv == NULL)
        arrived_locked(irq);
    spin_unlock(&irq->lock);
    if (hv) {
        hv(); /* quietens the device; only then the acknowledgement, in case it is level-triggered */
        lapic_eoi();
    }
}

/* ---- pirqs ---- */

int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    struct irq *irq = irq_lock(d, pirq);
    int rc = irq ? irq_start_locked(irq, port, NULL) : -EINVAL;

    irq_unlock(irq);
    return rc;
}

void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    struct irq *irq = irq_lock(d, pirq);

    if (irq && irq->port == port) {
        irq_set_mask_locked(irq, true);
        irq->port = 0;
        irq->in_flight = false;
    }
    irq_unlock(irq);
}

void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu)
{
    struct irq *irq = irq_lock(d, pirq);

    if (irq && irq->port == port && irq->cpu != cpu) {
        irq->cpu = (uint8_t)cpu;
        irq_program_locked(irq, irq->in_flight);
    }
    irq_unlock(irq);
}

/* ---- mapping ---- */

int pirq_map_msi(struct domain *d, const struct msi *m, int *pirq)
{
    uint32_t unused = 0;
    struct irq *irq;

    for (uint32_t i = nr_gsis; i < nr_irqs; i++) {
        irq = &irqs[i];
        if (irq->mapper == NULL)
            unused = unused ?: i;
        else if (irq->msi.bdf == m->bdf && irq->msi.cap == m->cap &&
                 irq->msi.entry_nr == m->entry_nr)
            return -EEXIST;
    }
    if (unused == 0)
        return -ENOSPC;
    msi_set_mask(m, true);
    irq = irq_lock(NULL, unused);
    irq->msi = *m;
    irq->mapper = d;
    irq_unlock(irq);
    *pirq = (int)unused;
    return 0;
}

int pirq_unmap(struct domain *d, uint32_t pirq)
{
    struct irq *irq = irq_lock(d, pirq);
    int rc = 0;

    if (irq == NULL)
        return -EINVAL;
    if (irq->port) {
        rc = -EBUSY;
    } else {
        irq->mapper = NULL;
        irq->cpu = 0;
        if (irq->msi.cap) {
            msi_disable(&irq->msi);
            atomic_store(&irq_by_vector[irq->vector], NULL);
            irq->vector = 0;
            irq->msi = (struct msi){ 0 };
        }
    }
    irq_unlock(irq);
    return rc;
}

void pirq_restore_msi(const struct domain *d, uint16_t bdf)
{
    for (uint32_t i = nr_gsis; i < nr_irqs; i++) {
        struct irq *irq = irq_lock(d, i);

        if (irq && irq->msi.bdf == bdf && irq->port)
            irq_program_locked(irq, false);
        irq_unlock(irq);
    }
}
