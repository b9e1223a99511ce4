/* Fake I/O APICs and local APICs, two domains and what they call: for the tests of irq/. */
#pragma once
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "event/evtchn.h"
#include "fake.h"
#include "irq/internal.h"
#include "lib/errno.h"
#include "x86/ioapic.h"
#include "x86/lapic.h"
#include "x86/upcalls.h"
#include "x86/vectors.h"

#include <xen/physdev.h>

#define NR_PINS 48
#define HOLE 30 /* a GSI that no I/O APIC has */

/* ---- the machine ---- */

static struct pin {
    bool masked, level, low;
    unsigned int vector;
    uint32_t apic_id;
} pins[NR_PINS];
static uint32_t lapic_page[256];
volatile uint32_t *lapic_regs = lapic_page;
static unsigned int in_service; /* vector, 0: none */
static unsigned int sent, sent_pirq, ports_written;

uint32_t ioapic_init(void)
{
    for (unsigned int i = 0; i < NR_PINS; i++)
        pins[i] = (struct pin){ .masked = true };
    return NR_PINS;
}
bool ioapic_has(uint32_t gsi) { return gsi < NR_PINS && gsi != HOLE; }
void ioapic_gsi_defaults(uint32_t gsi, bool *level, bool *low)
{
    *level = *low = gsi >= 16 || gsi == 9;
}
uint32_t ioapic_isa_gsi(uint32_t irq) { return irq == 0 ? 2 : irq; }
void ioapic_set(uint32_t gsi, unsigned int vector, bool level, bool low, bool masked,
                uint32_t apic_id)
{
    CU_ASSERT(masked || vector);
    CU_ASSERT(ioapic_has(gsi));
    if (ioapic_has(gsi))
        pins[gsi] = (struct pin){ masked, level, low, vector, apic_id };
}
bool ioapic_read_reg(uint64_t maddr, uint32_t reg, uint32_t *value)
{
    *value = 0x170020;
    return maddr == 0xfec00000 && reg < 0x40;
}
bool lapic_in_service(unsigned int vector) { return vector == in_service; }

#define PORT_OF(pirq) ((pirq) + 1000) /* the port that a test binds */
void evtchn_set_pending(struct domain *d, evtchn_port_t port)
{
    CU_ASSERT(d == hardware_domain);
    sent++;
    sent_pirq = port - PORT_OF(0);
}

/* ---- helpers ---- */

static struct domain *dom0, *domu;
static bool initialised;

static void machine_setup(void)
{
    fake_reset(2);
    if (!initialised)
        irq_init(); /* a GSI keeps its vector, trigger and handler: each test uses its own */
    initialised = true;
    dom0 = fake_domain(0, 1);
    domu = fake_domain(1, 1);
    dom0->next = domu;
    domain_list = hardware_domain = dom0;
    dom0->is_hwdom = dom0->is_privileged = true;
    fake_current(dom0->vcpu[0]);
    sent = ports_written = in_service = 0;
}

static void machine_teardown(void)
{
    for (struct irq *irq = irqs; irq < irqs + nr_irqs; irq++)
        if (irq->mapper) {
            irq->port = 0;
            CU_ASSERT_EQUAL(pirq_unmap(irq->mapper, (uint32_t)(irq - irqs)), 0);
        }
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    CU_ASSERT(arch_irq_enabled());
    CU_ASSERT_EQUAL(fake_refs(dom0) + fake_refs(domu), 2);
    fake_domain_free(dom0);
    fake_domain_free(domu);
    domain_list = NULL;
}

static long call_rights(struct domain *d, unsigned int cmd, void *arg, size_t len, int rights)
{
    fake_current(d->vcpu[0]);
    fake_guest_unmap_all();
    if (rights)
        fake_guest_map(arg, len, rights);
    return hc_physdev_op(cmd, (uintptr_t)arg, 0, 0, 0);
}
#define CALL(d, cmd, arg) call_rights(d, cmd, arg, sizeof(*(arg)), FAKE_READ_WRITE)

static long map(struct domain *d, int gsi, int *pirq)
{
    struct physdev_map_pirq op = {
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = gsi, .pirq = *pirq
    };
    long rc = CALL(d, PHYSDEVOP_map_pirq, &op);

    *pirq = op.pirq;
    return rc;
}
static void map_same(int gsi)
{
    int pirq = gsi;

    CU_ASSERT_EQUAL(map(dom0, gsi, &pirq), 0);
    CU_ASSERT_EQUAL(pirq, gsi);
}
static int bind(struct domain *d, uint32_t pirq)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);
    int ask = pirq_bind_locked(d, pirq, 0), rc = pirq_bind_locked(d, pirq, PORT_OF(pirq));

    CU_ASSERT_EQUAL(ask, rc);
    pirq_unbind_locked(d, pirq, 1); /* not that port's */
    spin_unlock_irqrestore(&d->event_lock, flags);
    return rc;
}
static void unbind(struct domain *d, uint32_t pirq)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);

    pirq_unbind_locked(d, pirq, PORT_OF(pirq));
    spin_unlock_irqrestore(&d->event_lock, flags);
}
static void interrupt(unsigned int vector)
{
    unsigned long flags = arch_irq_save();

    lapic_page[LAPIC_REG_EOI / 4] = 0xdead;
    in_service = vector;
    irq_interrupt(vector);
    CU_ASSERT_EQUAL(lapic_page[LAPIC_REG_EOI / 4], 0); /* acknowledged in any case */
    in_service = 0;
    arch_irq_restore(flags);
}
static void move(struct domain *d, uint32_t pirq, uint32_t cpu)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);

    pirq_move_locked(d, pirq, PORT_OF(pirq), cpu);
    spin_unlock_irqrestore(&d->event_lock, flags);
}
static long eoi(struct domain *d, uint32_t pirq)
{
    struct physdev_eoi op = { .irq = pirq };

    return CALL(d, PHYSDEVOP_eoi, &op);
}
