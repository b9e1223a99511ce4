/*
 * What tests of event/ have in common: three domains of two vCPUs each, the first privileged, calls of
 * theirs, and stand-ins for irq/, sched/ and paging/.
 */
#pragma once
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "event/internal.h"
#include "fake.h"
#include "irq/irq.h"
#include "lib/errno.h"
#include "sched/sched.h"
#include "sched/time.h"

#include <xen/sched.h>

#define NR_DOMS 3
#define NR_VCPUS 2

extern struct domain *domain_list;
static struct domain *dom[NR_DOMS];

/* ---- what the code under test calls in irq/, sched/ and paging/ ---- */

#define PAGES_PER_DOM 200u /* frames who * 200 + 1 .. who * 200 + 199 of RAM are dom[who]'s */
static unsigned int page_refs[NR_DOMS * PAGES_PER_DOM];
static mfn_t page_is_table = { ~0UL };

static inline mfn_t page_of(int who, unsigned int i)
{
    return _mfn((unsigned int)who * PAGES_PER_DOM + 1 + i);
}
bool page_get_writable(struct domain *d, mfn_t m)
{
    CU_ASSERT(fake_locks_held() == 0);
    if (mfn_x(m) == 0 || mfn_x(m) / PAGES_PER_DOM != d->domain_id ||
        mfn_x(m) == mfn_x(page_is_table))
        return false;
    page_refs[mfn_x(m)]++;
    return true;
}
void page_put_writable(mfn_t m)
{
    CU_ASSERT(fake_locks_held() == 0);
    CU_ASSERT_FATAL(mfn_x(m) < ARRAY_SIZE(page_refs) && page_refs[mfn_x(m)] > 0);
    page_refs[mfn_x(m)]--;
}
static inline unsigned int pages_held(void)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < ARRAY_SIZE(page_refs); i++)
        n += page_refs[i];
    return n;
}

static struct domain *pirq_owner[NR_PIRQS];
static evtchn_port_t pirq_port[NR_PIRQS];
static int pirq_rc;
static void (*pirq_hook)(void); /* runs with the lock held, before the second time it is asked */
static unsigned int pirq_asked;
static uint64_t poll_timer_ns;

int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    CU_ASSERT(!arch_irq_enabled());
    if (port == 0 && ++pirq_asked == 2 && pirq_hook)
        pirq_hook();
    if (pirq >= NR_PIRQS)
        return -EINVAL;
    if (pirq_rc)
        return pirq_rc;
    if (pirq_owner[pirq])
        return -EEXIST;
    if (port)
        pirq_owner[pirq] = d;
    pirq_port[pirq] = port;
    return 0;
}
void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    if (pirq_owner[pirq] == d && pirq_port[pirq] == port)
        pirq_owner[pirq] = NULL;
}
static uint32_t pirq_cpu[NR_PIRQS];
void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu)
{
    CU_ASSERT(spin_is_held(&d->event_lock) && !arch_irq_enabled());
    if (pirq_owner[pirq] == d && pirq_port[pirq] == port)
        pirq_cpu[pirq] = cpu;
}
static inline void pirq_arrives(uint32_t pirq)
{
    if (pirq_owner[pirq])
        evtchn_set_pending(pirq_owner[pirq], pirq_port[pirq]);
}
void vcpu_pause_set(struct vcpu *v, uint32_t flags) { atomic_fetch_or(&v->pause_flags, flags); }
void vcpu_set_poll_timer(struct vcpu *v, uint64_t t)
{
    (void)v;
    poll_timer_ns = t;
}

/* ---- set up ---- */

static inline void setup(void)
{
    fake_reset(2);
    if (fake_ram == NULL)
        fake_ram_create(NR_DOMS * PAGES_PER_DOM);
    memset(fake_ram, 0, NR_DOMS * PAGES_PER_DOM * PAGE_SIZE);
    domain_list = NULL;
    page_is_table = INVALID_MFN;
    pirq_rc = 0;
    pirq_hook = NULL;
    poll_timer_ns = 0;
    memset(pirq_owner, 0, sizeof(pirq_owner));
    for (int i = NR_DOMS - 1; i >= 0; i--) {
        dom[i] = fake_domain((domid_t)i, NR_VCPUS);
        dom[i]->is_privileged = dom[i]->is_hwdom = i == 0;
        dom[i]->max_evtchn_port = ~0u;
        CU_ASSERT_EQUAL_FATAL(evtchn_domain_create(dom[i]), 0);
        dom[i]->next = domain_list;
        domain_list = dom[i];
    }
    fake_current(dom[0]->vcpu[0]);
}

static inline void teardown(void)
{
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    for (int i = 0; i < NR_DOMS; i++) {
        dom[i]->is_dying = true;
        CU_ASSERT_EQUAL(evtchn_domain_relinquish(dom[i]), 0);
        CU_ASSERT_EQUAL(fake_refs(dom[i]), 1);
    }
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    for (int i = 0; i < NR_DOMS; i++) {
        evtchn_domain_destroy(dom[i]);
        fake_domain_free(dom[i]);
    }
    CU_ASSERT_EQUAL(pages_held(), 0);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    CU_ASSERT(arch_irq_enabled());
}

/* A hypercall of dom[who]; arg is mapped as given. */
static inline long call_rights(int who, unsigned int cmd, void *arg, size_t len, int rights)
{
    long rc;

    fake_current(dom[who]->vcpu[0]);
    fake_guest_unmap_all();
    if (rights)
        fake_guest_map(arg, len, rights);
    rc = hc_event_channel_op(cmd, (uint64_t)(uintptr_t)arg, 0, 0, 0);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
    return rc;
}
#define CALL(who, cmd, arg) call_rights(who, cmd, arg, sizeof(*(arg)), FAKE_READ_WRITE)

static inline long alloc_unbound(int who, domid_t d, domid_t remote, evtchn_port_t *port)
{
    struct evtchn_alloc_unbound op = { .dom = d, .remote_dom = remote, .port = 77 };
    long rc = CALL(who, EVTCHNOP_alloc_unbound, &op);

    *port = op.port;
    return rc;
}
static inline long bind_interdomain(int who, domid_t remote, evtchn_port_t rport,
                                    evtchn_port_t *port)
{
    struct evtchn_bind_interdomain op = { .remote_dom = remote,
                                          .remote_port = rport,
                                          .local_port = 77 };
    long rc = CALL(who, EVTCHNOP_bind_interdomain, &op);

    *port = op.local_port;
    return rc;
}
static inline long bind_virq(int who, uint32_t virq, uint32_t vcpu, evtchn_port_t *port)
{
    struct evtchn_bind_virq op = { .virq = virq, .vcpu = vcpu, .port = 77 };
    long rc = CALL(who, EVTCHNOP_bind_virq, &op);

    *port = op.port;
    return rc;
}
static inline long bind_pirq(int who, uint32_t pirq, evtchn_port_t *port)
{
    struct evtchn_bind_pirq op = { .pirq = pirq, .flags = BIND_PIRQ__WILL_SHARE, .port = 77 };
    long rc = CALL(who, EVTCHNOP_bind_pirq, &op);

    *port = op.port;
    return rc;
}
static inline long bind_ipi(int who, uint32_t vcpu, evtchn_port_t *port)
{
    struct evtchn_bind_ipi op = { .vcpu = vcpu, .port = 77 };
    long rc = CALL(who, EVTCHNOP_bind_ipi, &op);

    *port = op.port;
    return rc;
}
static inline long bind_vcpu(int who, evtchn_port_t port, uint32_t vcpu)
{
    struct evtchn_bind_vcpu op = { .port = port, .vcpu = vcpu };

    return CALL(who, EVTCHNOP_bind_vcpu, &op);
}
static inline long close_port(int who, evtchn_port_t port)
{
    return CALL(who, EVTCHNOP_close, &port);
}
static inline long send(int who, evtchn_port_t port) { return CALL(who, EVTCHNOP_send, &port); }
static inline long unmask(int who, evtchn_port_t port) { return CALL(who, EVTCHNOP_unmask, &port); }
static inline long reset(int who, domid_t d)
{
    struct evtchn_reset op = { .dom = d };

    return CALL(who, EVTCHNOP_reset, &op);
}
static inline long status(int who, domid_t d, evtchn_port_t port, struct evtchn_status *op)
{
    memset(op, 0, sizeof(*op));
    op->dom = d;
    op->port = port;
    return CALL(who, EVTCHNOP_status, op);
}
static inline uint32_t status_of(int who, evtchn_port_t port)
{
    struct evtchn_status op;

    CU_ASSERT_EQUAL(status(0, (domid_t)who, port, &op), 0);
    return op.status;
}
static inline bool pending(int who, evtchn_port_t port)
{
    return shared_test(dom[who]->shared_info->evtchn_pending, port);
}
static inline void mask_set(int who, evtchn_port_t port)
{
    dom[who]->shared_info->evtchn_mask[port / 64] |= 1ULL << (port % 64);
}
static inline bool upcall(int who, int vcpu)
{
    return dom[who]->vcpu[vcpu]->info->evtchn_upcall_pending;
}
static inline void guest_clear(int who)
{
    memset(dom[who]->shared_info->evtchn_pending, 0, sizeof(dom[who]->shared_info->evtchn_pending));
    for (int i = 0; i < NR_VCPUS; i++) {
        dom[who]->vcpu[i]->info->evtchn_upcall_pending = 0;
        dom[who]->vcpu[i]->info->evtchn_pending_sel = 0;
    }
}
static inline int ports_in_state(int who, enum evtchn_state s)
{
    int n = 0;

    for (evtchn_port_t p = 1; p < dom[who]->evtchn->fresh; p++) {
        struct evtchn *chn = evtchn_find(dom[who], p);

        n += chn && chn->state == s;
    }
    return n;
}
static inline int ports_in_use(int who)
{
    int n = 0;

    for (evtchn_port_t p = 1; p < dom[who]->evtchn->fresh; p++) {
        struct evtchn *chn = evtchn_find(dom[who], p);

        n += chn && chn->state != ECS_FREE;
    }
    return n;
}
