/*
 * Ports and their storage; private to event/.
 *
 *   FREE -> UNBOUND | INTERDOMAIN | PIRQ | VIRQ | IPI   an operation that creates a port
 *   UNBOUND <-> INTERDOMAIN     bound by, or orphaned by, the domain at the other end (rule 15)
 *   any -> FREE                 close
 *
 * All of it is guarded by the event_lock of the port's domain, taken with interrupts off. A link
 * between two domains changes under both locks, so holding one end's lock pins the link and the
 * other domain: that is all EVTCHNOP_send needs. Beyond that, irq/ sends to a port under
 * L_IRQ alone: pirq_unbind_locked() takes it before the port goes.
 */
#pragma once
#include "event/evtchn.h"

/* As the ABI numbers them: EVTCHNSTAT_*. */
enum evtchn_state { ECS_FREE, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_PIRQ, ECS_VIRQ, ECS_IPI };
_Static_assert(ECS_FREE == EVTCHNSTAT_closed && ECS_IPI == EVTCHNSTAT_ipi, "ABI: status");

struct evtchn {
    uint8_t state;
    uint8_t vcpu;          /* whom an event of this port notifies */
    domid_t remote_domid;  /* UNBOUND: who may bind */
    uint32_t num;          /* INTERDOMAIN: the other port; PIRQ, VIRQ: which */
    struct domain *remote; /* INTERDOMAIN, else NULL */
};

_Static_assert(EVTCHN_2L_NR_CHANNELS == NR_EVTCHN_MAX, "ABI: two-level ports");
_Static_assert(MAX_VCPUS <= 64, "pollers is one word, evtchn.vcpu one byte");

struct evtchn_domain {
    struct evtchn port[NR_EVTCHN_MAX]; /* 64 KiB */
    _Atomic uint64_t pollers;          /* bit per vCPU that is, or was, in SCHEDOP_poll */
};

/** d's port; for a number out of range port 0, which is always FREE. Needs no lock. */
static inline struct evtchn *evtchn_find(const struct domain *d, evtchn_port_t port)
{
    return &d->evtchn->port[array_index_nospec(port, NR_EVTCHN_MAX)];
}

static inline bool virq_is_global(uint32_t virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

/* Bits in pages that the guest writes too: one locked instruction, never a retry loop. */
#define SHARED_BIT_OP(name, insn)                                                                  \
    static inline bool name(xen_ulong_t *map, uint64_t bit)                                        \
    {                                                                                              \
        bool was;                                                                                  \
                                                                                                   \
        __asm__ volatile("lock " insn " %2, %1" : "=@ccc"(was), "+m"(*map) : "r"(bit) : "memory"); \
        return was;                                                                                \
    }
SHARED_BIT_OP(shared_test_and_set, "btsq")
SHARED_BIT_OP(shared_test_and_clear, "btrq")
static inline bool shared_test(const xen_ulong_t *map, uint64_t bit)
{
    return READ_ONCE(map[bit / 64]) >> (bit % 64) & 1;
}

/*
 * Both with the event_lock of the caller's domain d, whatever the number.
 * send: an event to the other end; 0 also when nobody is bound there. -EINVAL: not such a port.
 * unmask: clear the mask and deliver what is pending. -EINVAL: out of range.
 */
long port_send_locked(struct domain *d, evtchn_port_t port);
long port_unmask_locked(struct domain *d, evtchn_port_t port);
