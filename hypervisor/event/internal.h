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
 * L_IRQ alone: pirq_unbind_locked() takes it before the port goes. So who delivers an event may hold
 * nothing of the domain that gets it; what delivery changes there has a lock of its own, fifo_lock.
 */
#pragma once
#include "event/evtchn.h"

/* As the ABI numbers them: EVTCHNSTAT_*. */
enum evtchn_state { ECS_FREE, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_PIRQ, ECS_VIRQ, ECS_IPI };
_Static_assert(ECS_FREE == EVTCHNSTAT_closed && ECS_IPI == EVTCHNSTAT_ipi, "ABI: status");

struct evtchn {
    uint8_t state;
    uint8_t vcpu; /* whom an event of this port notifies */
    /* FIFO, guarded by fifo_lock. last_*: the queue that the port was put in last, free or not. */
    uint16_t priority : 4, last_priority : 4, last_vcpu : 6;
    uint16_t missed : 1;   /* an event came while there was no word for it; till port_reset() */
    uint32_t num;          /* INTERDOMAIN: the other port; UNBOUND: domain that may bind;
                            * PIRQ, VIRQ: which; FREE: the one closed next, or 0 */
    struct domain *remote; /* INTERDOMAIN, else NULL */
};

#define PORTS_PER_BUCKET 512u
#define BUCKET_BYTES (PORTS_PER_BUCKET * sizeof(struct evtchn))
#define NR_BUCKETS (EVTCHN_FIFO_NR_CHANNELS / PORTS_PER_BUCKET)

_Static_assert(sizeof(struct evtchn) == 16, "2 MiB for all ports that a domain can have");
_Static_assert(EVTCHN_2L_NR_CHANNELS == 4096, "ABI: two-level ports");
_Static_assert(MAX_VCPUS <= 64, "pollers is one word, evtchn.last_vcpu six bits");

struct fifo;

struct evtchn_domain {
    struct evtchn *bucket[NR_BUCKETS]; /* of ports that were never used: no_ports */
    _Atomic uint64_t pollers;          /* bit per vCPU that is, or was, in SCHEDOP_poll */
    struct fifo *fifo;                 /* NULL: two-level ABI */
    struct spinlock fifo_lock;         /* L_FIFO */
    uint32_t nr_ports;                 /* that buckets were allocated for; grows only */
    uint32_t nr_used;                  /* not FREE */
    evtchn_port_t fresh;               /* the lowest number that was never used */
    evtchn_port_t closed_first,
        closed_last;      /* numbers below it to be used again, oldest first; 0 */
    evtchn_port_t cursor; /* what evtchn_domain_relinquish() closes next */
};
_Static_assert(sizeof(struct evtchn_domain) <= PAGE_SIZE, "xmalloc()");

extern struct evtchn no_ports[PORTS_PER_BUCKET]; /* all FREE, never written */

/** d's port, of a number that is known to be in range. What was never used is FREE. Needs no lock. */
static inline struct evtchn *evtchn_at(const struct domain *d, uint64_t port)
{
    return READ_ONCE(d->evtchn->bucket[port / PORTS_PER_BUCKET]) + port % PORTS_PER_BUCKET;
}
/** For any number: out of range it is port 0, FREE. */
static inline struct evtchn *evtchn_find(const struct domain *d, uint64_t port)
{
    return evtchn_at(d, array_index_nospec(port, EVTCHN_FIFO_NR_CHANNELS));
}

/** Port numbers of d are below this. */
static inline uint32_t port_limit(const struct domain *d)
{
    uint32_t abi = READ_ONCE(d->evtchn->fifo) ? EVTCHN_FIFO_NR_CHANNELS : EVTCHN_2L_NR_CHANNELS;

    return MIN(abi - 1, d->max_evtchn_port) + 1;
}

static inline bool virq_is_global(uint32_t virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

/* Bits in pages that the guest writes too: one locked instruction, never a retry loop. */
#define SHARED_BIT_OP(name, type, insn)                                                            \
    static inline bool name(type *map, type bit)                                                   \
    {                                                                                              \
        bool was;                                                                                  \
                                                                                                   \
        __asm__ volatile("lock " insn " %2, %1" : "=@ccc"(was), "+m"(*map) : "r"(bit) : "memory"); \
        return was;                                                                                \
    }
SHARED_BIT_OP(shared_test_and_set, xen_ulong_t, "btsq")
SHARED_BIT_OP(shared_test_and_clear, xen_ulong_t, "btrq")
SHARED_BIT_OP(word_test_and_set, event_word_t, "btsl")
SHARED_BIT_OP(word_test_and_clear, event_word_t, "btrl")
static inline bool shared_test(const xen_ulong_t *map, uint64_t bit)
{
    return READ_ONCE(map[bit / 64]) >> (bit % 64) & 1;
}

/* ---- delivery.c ---- */

/** v has events: mark it for an upcall and wake it. No lock from L_SCHED on held. */
void vcpu_mark_events_pending(struct vcpu *v);
/** Wake those in SCHEDOP_poll for this port. */
void wake_pollers(struct domain *d, evtchn_port_t port);
/** The guest's view of a port that it can have: EVTCHN_FIFO_PENDING or _MASKED, in either ABI; d's event_lock. */
bool port_test(const struct domain *d, evtchn_port_t port, unsigned int bit);
/** Nothing is pending and all is as for a new port; d's event_lock, and nobody delivers to it. */
void port_reset(struct domain *d, evtchn_port_t port);

/* ---- evtchn.c: all sub-ops but send and unmask ---- */
long evtchn_general_op(uint32_t cmd, uint64_t arg);

/* One sub-op on its way. */
struct request {
    struct domain *caller;
    struct domain *d;     /* the domain that the structure names; else the caller */
    struct domain *owner; /* of a new port: one of these */
    evtchn_port_t port;   /* the new one, as chosen; or 0 */
    guest_va_t arg;
    union {
        domid_t dom; /* first in all structures that name a domain */
        struct evtchn_alloc_unbound alloc_unbound;
        struct evtchn_bind_interdomain bind_interdomain;
        struct evtchn_bind_virq bind_virq;
        struct evtchn_bind_pirq bind_pirq;
        struct evtchn_bind_ipi bind_ipi;
        struct evtchn_bind_vcpu bind_vcpu;
        struct evtchn_status status;
        struct evtchn_init_control init_control;
        struct evtchn_expand_array expand_array;
        struct evtchn_set_priority set_priority;
        evtchn_port_t port; /* close */
    } u;
};

/* ---- fifo.c; d has d->evtchn->fifo where nothing else is said ---- */

/** evtchn_set_pending(). */
void fifo_set_pending(struct domain *d, evtchn_port_t port);
/** Bit EVTCHN_FIFO_* of the port's word; without a word it is masked and nothing else. event_lock. */
bool fifo_test(const struct domain *d, evtchn_port_t port, unsigned int bit);
/** EVTCHNOP_unmask with the event_lock: 0, or -EINVAL. */
long fifo_unmask(struct domain *d, evtchn_port_t port);
/** port_reset(), with or without fifo. */
void fifo_port_reset(struct domain *d, evtchn_port_t port);
/** The queues' tails are ports that were put there, and frames are known; event_lock. */
bool fifo_ok(const struct domain *d);

/**
 * EVTCHNOP_init_control: the control block of vcpu (IN) is at offset (IN) of control_gfn (IN);
 * link_bits OUT. The first one chooses the FIFO ABI, until EVTCHNOP_reset. -ENOENT no such vCPU;
 * -EINVAL it has one, or it cannot be there; -ENOMEM. No lock held.
 */
long op_init_control(struct request *r);
/**
 * EVTCHNOP_expand_array: array_gfn (IN) has the next 1024 words; events that came before are
 * delivered. -EOPNOTSUPP two-level ABI; -ENOSPC all 128 pages are there; -EINVAL not such a frame.
 * No lock held.
 */
long op_expand_array(struct request *r);
/**
 * EVTCHNOP_set_priority: which queue the port's (IN) next event is put in (IN, 0 highest, 15 lowest).
 * -EINVAL none of these, or no such port; -ENOSYS two-level ABI, as on Xen. With the event_lock.
 */
long op_set_priority(struct request *r);
/** Back to two-level, with or without fifo: take it away, with the event_lock and no port in use, ... */
struct fifo *fifo_detach(struct domain *d);
/** ... and let go of it, without. */
void fifo_free(struct domain *d, struct fifo *f);
