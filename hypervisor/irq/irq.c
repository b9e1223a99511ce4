/*
 * Interrupts of devices. An edge-triggered one is acknowledged at once. A level-triggered one is
 * masked at its I/O APIC first, and unmasked when the guest says that it has quietened the device,
 * so a guest that never does so loses its own interrupt and delays nobody else's.
 */
#include "irq/internal.h"

#include "event/evtchn.h"
#include "lib/errno.h"
#include "lib/lib.h"
#include "lib/print.h"
#include "memory/heap.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/upcalls.h"
#include "x86/vectors.h"

#define UNHANDLED_MAX 100u /* so often may an interrupt come that nobody wants */
#define NR_ISA_IRQS 16u

struct gsi {
    struct domain *owner;  /* bound there, or NULL */
    void (*hv)(void);      /* or bound here */
    uint32_t pirq;         /* the owner's number */
    uint8_t vector;        /* 0: none yet; kept from the first binding on */
    bool level, active_low;
    bool in_flight;        /* level, delivered and masked, the guest's EOI is awaited */
    uint32_t nr_unhandled;
    uint64_t nr_seen;
};

static struct gsi *gsis;
static uint32_t nr_gsis;
static uint16_t vector_gsi[VECTOR_DEVICE_LAST + 1]; /* GSI + 1, 0: not given out */
static uint32_t boot_apic_id;
static uint64_t nr_strays;
static struct spinlock irq_lock = SPINLOCK_INIT(L_IRQ);

/* ---- GSIs ---- */

void irq_init(void)
{
    uint32_t end = ioapic_init();

    end = MIN(end, NR_PIRQS);
    boot_apic_id = lapic_id();
    if (end == 0)
        return;
    gsis = xmalloc_pages(end * sizeof(*gsis));
    if (gsis == NULL)
        panic("interrupts: out of memory");
    nr_gsis = end;
    for (uint32_t i = 0; i < nr_gsis; i++)
        ioapic_gsi_defaults(i, &gsis[i].level, &gsis[i].active_low);
}

static struct gsi *gsi_find(uint32_t gsi)
{
    if (gsi >= nr_gsis || !ioapic_has(gsi))
        return NULL;
    return &gsis[array_index_nospec(gsi, nr_gsis)];
}

/* Highest first: the APIC's priority is the vector's, and interrupts of one class queue up. */
static int vector_assign(struct gsi *g)
{
    for (unsigned int v = VECTOR_DEVICE_LAST; g->vector == 0 && v >= VECTOR_DEVICE_FIRST; v--)
        if (vector_gsi[v] == 0 && v != VECTOR_GUEST_INT80) {
            vector_gsi[v] = (uint16_t)(g - gsis + 1);
            g->vector = (uint8_t)v;
        }
    return g->vector ? 0 : -ENOSPC;
}

static int gsi_start_locked(struct gsi *g)
{
    uint32_t gsi = (uint32_t)(g - gsis);
    int rc = vector_assign(g);

    if (rc)
        return rc;
    g->in_flight = false;
    g->nr_unhandled = 0;
    ioapic_route(gsi, g->vector, boot_apic_id, g->level, g->active_low);
    ioapic_set_mask(gsi, false);
    return 0;
}

static void gsi_stop_locked(struct gsi *g)
{
    ioapic_set_mask((uint32_t)(g - gsis), true);
    g->owner = NULL;
    g->in_flight = false;
}

int irq_request_hv(uint32_t gsi, void (*handler)(void))
{
    struct gsi *g = gsi_find(gsi < NR_ISA_IRQS ? ioapic_isa_gsi(gsi) : gsi);
    unsigned long flags;
    int rc = -EBUSY;

    if (g == NULL)
        return -ENODEV;
    flags = spin_lock_irqsave(&irq_lock);
    if (g->owner == NULL && g->hv == NULL) {
        g->hv = handler;
        rc = gsi_start_locked(g);
        if (rc)
            g->hv = NULL;
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    return rc;
}

int gsi_setup(uint32_t gsi, bool level, bool active_low)
{
    struct gsi *g = gsi_find(gsi);
    unsigned long flags;
    int rc = 0;

    if (g == NULL)
        return -EINVAL;
    flags = spin_lock_irqsave(&irq_lock);
    if (g->owner || g->hv) {
        rc = -EEXIST;
    } else {
        g->level = level;
        g->active_low = active_low;
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    return rc;
}

bool gsi_read_reg(uint64_t ioapic_maddr, uint32_t reg, uint32_t *value)
{
    unsigned long flags = spin_lock_irqsave(&irq_lock);
    bool ok = ioapic_read_reg(ioapic_maddr, reg, value);

    spin_unlock_irqrestore(&irq_lock, flags);
    return ok;
}

/* ---- arrival ---- */

/* A vector that is nobody's: left over from the firmware, or a device writes its own messages. */
static void stray(unsigned int vector)
{
    if (lapic_in_service(vector))
        lapic_eoi();
    nr_strays++;
    gprint(LOG_WARN, "interrupt on vector %#x, which is nobody's\n", vector);
}

/* It may come once more after it was stopped; one that keeps coming is shut up for good. */
static void gsi_unhandled_locked(struct gsi *g)
{
    uint32_t gsi = (uint32_t)(g - gsis);

    lapic_eoi();
    if (++g->nr_unhandled != UNHANDLED_MAX)
        return;
    ioapic_set_mask(gsi, true);
    print(LOG_WARN, "GSI %u: %u interrupts that nobody handled, masked\n", gsi, UNHANDLED_MAX);
}

static void gsi_deliver_locked(struct gsi *g)
{
    if (g->level) {
        g->in_flight = true;
        ioapic_set_mask((uint32_t)(g - gsis), true);
    }
    lapic_eoi();
    evtchn_send_pirq(g->owner, g->pirq);
}

void irq_interrupt(unsigned int vector)
{
    void (*hv)(void) = NULL;
    struct gsi *g = NULL;

    spin_lock(&irq_lock);
    if (vector <= VECTOR_DEVICE_LAST && vector_gsi[vector])
        g = &gsis[vector_gsi[vector] - 1];
    if (g == NULL) {
        stray(vector);
    } else {
        g->nr_seen++;
        hv = g->hv;
        if (g->owner)
            gsi_deliver_locked(g);
        else if (hv == NULL)
            gsi_unhandled_locked(g);
    }
    spin_unlock(&irq_lock);
    if (hv) {
        hv(); /* quietens the device; only then the acknowledgement, in case it is level-triggered */
        lapic_eoi();
    }
}

/* ---- pirqs ---- */

int irq_domain_create(struct domain *d)
{
    d->irq = xmalloc(sizeof(*d->irq));
    if (d->irq == NULL)
        return -ENOMEM;
    if (!d->is_hwdom)
        return 0;
    d->irq->gsi_of = xmalloc(NR_PIRQS * sizeof(*d->irq->gsi_of));
    return d->irq->gsi_of ? 0 : -ENOMEM; /* the caller destroys what there is */
}

void irq_domain_destroy(struct domain *d)
{
    xfree(d->irq->gsi_of);
    xfree(d->irq);
    d->irq = NULL;
}

/* The GSI behind a pirq, or NULL. Needs no lock. */
static struct gsi *pirq_gsi(const struct domain *d, uint32_t pirq)
{
    const uint16_t *map = d->irq->gsi_of;
    uint16_t n = map && pirq < NR_PIRQS ? READ_ONCE(map[array_index_nospec(pirq, NR_PIRQS)]) : 0;

    return n ? &gsis[n - 1] : NULL;
}

bool pirq_is_mapped(const struct domain *d, uint32_t pirq) { return pirq_gsi(d, pirq) != NULL; }

bool pirq_needs_eoi(const struct domain *d, uint32_t pirq)
{
    const struct gsi *g = pirq_gsi(d, pirq);

    return g && READ_ONCE(g->level);
}

static int find_free_locked(const struct domain *d)
{
    for (uint32_t pirq = NR_ISA_IRQS; pirq < nr_gsis; pirq++)
        if (d->irq->gsi_of[pirq] == 0)
            return (int)pirq;
    return -ENOSPC;
}

int pirq_find_free(struct domain *d)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);
    int rc = find_free_locked(d);

    spin_unlock_irqrestore(&d->event_lock, flags);
    return rc;
}

/* The pirq that d knows gsi by, or -1. */
static int pirq_of_gsi(const struct domain *d, uint32_t gsi)
{
    for (uint32_t pirq = 0; pirq < NR_PIRQS; pirq++)
        if (d->irq->gsi_of[pirq] == gsi + 1)
            return (int)pirq;
    return -1;
}

static int pirq_map_locked(struct domain *d, uint32_t gsi, int pirq)
{
    int has = pirq_of_gsi(d, gsi);

    if (has >= 0)
        return pirq < 0 || pirq == has ? has : -EEXIST;
    if (pirq < 0)
        pirq = d->irq->gsi_of[gsi] == 0 ? (int)gsi : find_free_locked(d);
    if (pirq < 0)
        return pirq;
    if (d->irq->gsi_of[pirq])
        return -EEXIST;
    WRITE_ONCE(d->irq->gsi_of[pirq], (uint16_t)(gsi + 1));
    return pirq;
}

int pirq_map(struct domain *d, uint32_t gsi, int pirq)
{
    unsigned long flags;
    int rc;

    if (gsi_find(gsi) == NULL || pirq >= (int)NR_PIRQS)
        return -EINVAL;
    flags = spin_lock_irqsave(&d->event_lock);
    rc = pirq_map_locked(d, gsi, pirq);
    spin_unlock_irqrestore(&d->event_lock, flags);
    return rc;
}

int pirq_unmap(struct domain *d, uint32_t pirq)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);
    int rc = -EINVAL;

    if (pirq_is_mapped(d, pirq)) {
        pirq_unbind_locked(d, pirq);
        WRITE_ONCE(d->irq->gsi_of[pirq], 0);
        rc = 0;
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    return rc;
}

int pirq_bind_locked(struct domain *d, uint32_t pirq, bool will_share)
{
    struct gsi *g = pirq_gsi(d, pirq);
    int rc = -EBUSY; /* sharing between domains, which will_share would allow, comes later */

    ASSERT(spin_is_held(&d->event_lock) && !arch_irq_enabled());
    if (g == NULL)
        return -EINVAL;
    spin_lock(&irq_lock);
    if (g->owner == NULL && g->hv == NULL) {
        g->owner = d;
        g->pirq = pirq;
        rc = gsi_start_locked(g);
        if (rc)
            g->owner = NULL;
    }
    spin_unlock(&irq_lock);
    return rc;
}

void pirq_unbind_locked(struct domain *d, uint32_t pirq)
{
    struct gsi *g = pirq_gsi(d, pirq);

    ASSERT(spin_is_held(&d->event_lock) && !arch_irq_enabled());
    if (g == NULL)
        return; /* unmapped while bound: stopped then */
    spin_lock(&irq_lock);
    if (g->owner == d && g->pirq == pirq)
        gsi_stop_locked(g);
    spin_unlock(&irq_lock);
}

void pirq_eoi(struct domain *d, uint32_t pirq)
{
    struct gsi *g = pirq_gsi(d, pirq);
    unsigned long flags;

    if (g == NULL)
        return;
    flags = spin_lock_irqsave(&irq_lock);
    if (g->owner == d && g->pirq == pirq && g->in_flight) {
        g->in_flight = false;
        ioapic_set_mask((uint32_t)(g - gsis), false);
    }
    spin_unlock_irqrestore(&irq_lock, flags);
}

void irq_print(void)
{
    print(LOG_INFO, "GSI vector trigger owner/pirq seen unhandled (strays: %llu)\n",
          (unsigned long long)nr_strays);
    for (uint32_t i = 0; i < nr_gsis; i++) {
        unsigned long flags = spin_lock_irqsave(&irq_lock);
        struct gsi g = gsis[i];
        int owner = g.owner ? g.owner->domain_id : -1;

        spin_unlock_irqrestore(&irq_lock, flags);
        if (g.vector)
            print(LOG_INFO, "%3u %#x %s-%s%s %s d%d/%u %llu %u\n", i, g.vector,
                  g.level ? "level" : "edge", g.active_low ? "low" : "high",
                  g.in_flight ? " in flight" : "", g.hv ? "hypervisor" : "guest", owner, g.pirq,
                  (unsigned long long)g.nr_seen, g.nr_unhandled);
    }
}
