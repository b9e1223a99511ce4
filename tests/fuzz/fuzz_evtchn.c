/*
 * event/: the input is a program of two domains, the control domain and another one, each with two
 * vCPUs: EVTCHNOP_*, polls, interrupts, writes to shared memory, and deaths. 8 bytes a step:
 * what, by whom and how it is disturbed, then its operands.
 */
#include "fuzz.h"

#include "event/internal.h"
#include "irq/irq.h"
#include "sched/sched.h"
#include "sched/time.h"

#include <xen/sched.h>

#define NR_DOMS 2u
#define NR_VCPUS 2u
#define STEPS_PER_AUDIT 16u

static struct domain *dom[NR_DOMS];
static mfn_t info_mfn[NR_DOMS][NR_VCPUS];

/* ---- irq/, sched/ and paging/ ---- */

#define NR_FRAMES 16u /* odd ones are the control domain's */
static unsigned int frame_refs[NR_FRAMES];

bool page_get_writable(struct domain *d, mfn_t m)
{
    BUG_ON(fake_locks_held());
    if (mfn_x(m) == 0 || mfn_x(m) >= NR_FRAMES || mfn_x(m) % 2 == d->domain_id)
        return false;
    frame_refs[mfn_x(m)]++;
    return true;
}
void page_put_writable(mfn_t m)
{
    BUG_ON(fake_locks_held() || mfn_x(m) >= NR_FRAMES || frame_refs[mfn_x(m)] == 0);
    frame_refs[mfn_x(m)]--;
}

#define NR_FUZZED_PIRQS 8u
static struct {
    struct domain *d;
    evtchn_port_t port;
} pirq_of[NR_FUZZED_PIRQS];
static uint8_t pirq_refused; /* bits of those that irq/ would not bind */
static bool pirq_late;       /* it has second thoughts when it is to be bound in earnest */

int pirq_bind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    BUG_ON(!spin_is_held(&d->event_lock) || arch_irq_enabled());
    if (pirq >= NR_FUZZED_PIRQS || (pirq_refused >> pirq & 1) || (port && pirq_late))
        return -EINVAL;
    if (pirq_of[pirq].d)
        return -EEXIST;
    if (port) {
        pirq_of[pirq].d = d;
        pirq_of[pirq].port = port;
    }
    return 0;
}
void pirq_unbind_locked(struct domain *d, uint32_t pirq, evtchn_port_t port)
{
    BUG_ON(!spin_is_held(&d->event_lock) || pirq >= NR_FUZZED_PIRQS);
    if (pirq_of[pirq].d == d && pirq_of[pirq].port == port)
        pirq_of[pirq].d = NULL;
}
void pirq_move_locked(struct domain *d, uint32_t pirq, evtchn_port_t port, uint32_t cpu)
{
    BUG_ON(!spin_is_held(&d->event_lock) || pirq >= NR_FUZZED_PIRQS || port >= port_limit(d));
    BUG_ON(cpu >= 2);
}
void vcpu_set_poll_timer(struct vcpu *v, uint64_t t)
{
    (void)v;
    (void)t;
}

/* ---- the beginning and the end ---- */

static void info_end(unsigned int who, unsigned int vcpu)
{
    mfn_t m = vcpu_info_release(dom[who]->vcpu[vcpu]);

    BUG_ON(mfn_x(m) != mfn_x(info_mfn[who][vcpu]));
    info_mfn[who][vcpu] = INVALID_MFN;
}

static void domain_new(unsigned int who)
{
    struct domain *d = dom[who] = fake_domain((domid_t)who, NR_VCPUS);

    d->is_privileged = d->is_hwdom = who == 0;
    for (unsigned int i = 0; i < NR_VCPUS; i++) {
        info_mfn[who][i] = INVALID_MFN;
        d->vcpu[i]->processor = i;
    }
    d->max_evtchn_port = ~0u;
    BUG_ON(evtchn_domain_create(d));
}

/* What the audit cannot see: who has a port for a pirq has the pirq. */
static void audit(void)
{
    BUG_ON(evtchn_audit());
    for (unsigned int i = 0; i < NR_DOMS; i++)
        for (evtchn_port_t port = 1; port < dom[i]->evtchn->fresh; port++) {
            const struct evtchn *chn = evtchn_find(dom[i], port);

            BUG_ON(chn->state == ECS_PIRQ &&
                   (pirq_of[chn->num].d != dom[i] || pirq_of[chn->num].port != port));
        }
}

static void link_domains(void)
{
    dom[0]->next = dom[1];
    dom[1]->next = NULL;
    domain_list = dom[0];
}

static void domain_die(unsigned int who, unsigned int preempt_every)
{
    struct domain *d = dom[who];

    d->is_dying = true;
    fake_preempt_every = preempt_every;
    for (unsigned int n = 0; evtchn_domain_relinquish(d); n++)
        BUG_ON(n > EVTCHN_FIFO_NR_CHANNELS);
    fake_preempt_every = 0;
    for (unsigned int i = 0; i < NR_VCPUS; i++) {
        info_end(who, i);
        for (unsigned int virq = 0; virq < NR_VIRQS; virq++)
            BUG_ON(d->vcpu[i]->virq_port[virq]);
    }
    for (evtchn_port_t port = 0; port < d->evtchn->nr_ports; port++)
        BUG_ON(evtchn_find(d, port)->state != ECS_FREE || evtchn_find(d, port)->remote);
    BUG_ON(d->evtchn->fifo || d->nr_event_frames);
    for (unsigned int m = 1; m < NR_FRAMES; m++)
        BUG_ON(frame_refs[m] && m % 2 != who);
    for (unsigned int i = 0; i < NR_FUZZED_PIRQS; i++)
        BUG_ON(pirq_of[i].d == d);
    BUG_ON(fake_refs(d) != 1);
}

static void domain_free(unsigned int who)
{
    evtchn_domain_destroy(dom[who]);
    fake_domain_free(dom[who]);
}

/* ---- operands ---- */

static domid_t domid_of(uint8_t b)
{
    static const domid_t some[] = { 0, 1, DOMID_SELF, 2, DOMID_IO, DOMID_XEN, DOMID_INVALID, 99 };

    return some[b % 16 < ARRAY_SIZE(some) ? b % 16 : b % 2];
}
static uint32_t port_of(const uint8_t *s)
{
    return s[1] & 0x80 ? (uint32_t)s[0] << (s[1] & 31) : s[0] | (uint32_t)(s[1] & 0x1f) << 8;
}

/* ---- steps ---- */

static void hypercall(unsigned int who, const uint8_t *s)
{
    static const uint8_t cmds[] = {
        EVTCHNOP_alloc_unbound, EVTCHNOP_bind_interdomain,
        EVTCHNOP_bind_virq,     EVTCHNOP_bind_pirq,
        EVTCHNOP_bind_ipi,      EVTCHNOP_bind_vcpu,
        EVTCHNOP_close,         EVTCHNOP_send,
        EVTCHNOP_status,        EVTCHNOP_unmask,
        EVTCHNOP_reset,         EVTCHNOP_init_control,
        EVTCHNOP_expand_array,  EVTCHNOP_set_priority,
    };
    union {
        struct evtchn_alloc_unbound alloc_unbound;
        struct evtchn_bind_interdomain bind_interdomain;
        struct evtchn_bind_virq bind_virq;
        struct evtchn_bind_pirq bind_pirq;
        struct evtchn_bind_ipi bind_ipi;
        struct evtchn_bind_vcpu bind_vcpu;
        struct evtchn_close close;
        struct evtchn_status status;
        struct evtchn_reset reset;
        struct evtchn_init_control init_control;
        struct evtchn_expand_array expand_array;
        struct evtchn_set_priority set_priority;
        uint8_t bytes[32];
    } u;
    unsigned int cmd = cmds[s[0] % ARRAY_SIZE(cmds)];
    const uint8_t *port = s + 2;
    bool was_used = false;
    long rc;

    memset(&u, s[6], sizeof(u));
    switch (cmd) {
    case EVTCHNOP_alloc_unbound:
        u.alloc_unbound.dom = domid_of(s[1]);
        u.alloc_unbound.remote_dom = domid_of(s[2]);
        break;
    case EVTCHNOP_bind_interdomain:
        u.bind_interdomain.remote_dom = domid_of(s[1]);
        u.bind_interdomain.remote_port = port_of(port);
        break;
    case EVTCHNOP_bind_virq:
        u.bind_virq.virq = s[1];
        u.bind_virq.vcpu = s[2];
        break;
    case EVTCHNOP_bind_pirq: u.bind_pirq.pirq = s[1]; break;
    case EVTCHNOP_bind_ipi: u.bind_ipi.vcpu = s[1]; break;
    case EVTCHNOP_bind_vcpu:
        u.bind_vcpu.vcpu = s[1];
        u.bind_vcpu.port = port_of(port);
        break;
    case EVTCHNOP_status:
        u.status.dom = domid_of(s[1]);
        u.status.port = port_of(port);
        break;
    case EVTCHNOP_reset: u.reset.dom = domid_of(s[1]); break;
    case EVTCHNOP_init_control:
        u.init_control.vcpu = s[1] & 3;
        u.init_control.control_gfn = s[2] & 31;
        u.init_control.offset = s[3] & 1 ? s[4] * 16u : s[4] * 8u;
        break;
    case EVTCHNOP_expand_array: u.expand_array.array_gfn = s[1] & 31; break;
    case EVTCHNOP_set_priority:
        u.set_priority.priority = s[1] & 31;
        u.set_priority.port = port_of(port);
        break;
    default: /* the port is all that they have */
        u.close.port = port_of(port);
        was_used = evtchn_find(dom[who], u.close.port)->state != ECS_FREE;
    }
    fake_guest_unmap_all();
    fake_guest_map(&u, sizeof(u), s[5] & 1 ? FAKE_READ_ONLY : FAKE_READ_WRITE);
    rc = hc_event_channel_op(s[5] & 2 ? s[0] : cmd, (uintptr_t)&u, 0, 0, 0);
    if (rc == 0 && cmd == EVTCHNOP_close && !(s[5] & 2)) {
        BUG_ON(!was_used || evtchn_find(dom[who], u.close.port)->state != ECS_FREE);
        BUG_ON(port_test(dom[who], u.close.port, EVTCHN_FIFO_PENDING));
    }
    BUG_ON(rc > 0 || (rc < 0 && rc != -EFAULT && rc != -EINVAL && rc != -ENOSYS && rc != -EPERM &&
                      rc != -ESRCH && rc != -ENOENT && rc != -EEXIST && rc != -ENOSPC &&
                      rc != -ERESTART && rc != -EOPNOTSUPP));
}

static void poll(const uint8_t *s)
{
    evtchn_port_t ports[3] = { s[1], s[2], port_of(s + 3) };
    struct sched_poll op = { .nr_ports = s[0] & 0x80 ? s[0] : s[0] % 4, .timeout = s[5] };

    set_xen_guest_handle(op.ports, ports);
    fake_guest_unmap_all();
    fake_guest_map(&op, sizeof(op), FAKE_READ_ONLY);
    fake_guest_map(ports, sizeof(ports), FAKE_READ_ONLY);
    (void)evtchn_poll(_gva((uintptr_t)&op));
}

/* The guest writes to its shared_info, or to what it named as vcpu_info. */
static void scribble(unsigned int who, unsigned int vcpu, const uint8_t *s)
{
    unsigned int port = port_of(s + 1) % EVTCHN_2L_NR_CHANNELS, m = (s[1] & 14) + !who;
    shared_info_t *shared = dom[who]->shared_info;
    vcpu_info_t *info = dom[who]->vcpu[vcpu]->info;

    switch (s[0] % 8) {
    case 0: shared->evtchn_pending[port / 64] ^= 1UL << port % 64; break;
    case 1: shared->evtchn_mask[port / 64] ^= 1UL << port % 64; break;
    case 2: info->evtchn_pending_sel = s[3]; break;
    case 3: info->evtchn_upcall_pending = s[3]; break;
    case 4: info->evtchn_upcall_mask = s[3]; break;
    case 5: memset(shared, s[3], PAGE_SIZE); break;
    case 6: ((uint32_t *)mfn_to_virt(_mfn(m)))[s[2] * 4u] ^= 1u << (s[3] & 31); break;
    case 7: memset(mfn_to_virt(_mfn(m)), s[3], PAGE_SIZE); break;
    }
}

static void info_register(unsigned int who, unsigned int vcpu, const uint8_t *s)
{
    mfn_t m = _mfn(1 + s[0] % 8);

    /* as paging/ keeps it: no domain has a frame of another's */
    if (s[0] % 2 == who &&
        vcpu_info_register(dom[who]->vcpu[vcpu], m, s[1] * 8u + (s[2] & 1 ? s[2] : 0)) == 0)
        info_mfn[who][vcpu] = m;
}

static void step(const uint8_t *s)
{
    unsigned int who = s[0] & 1, vcpu = s[0] >> 1 & 1;
    struct vcpu *v = dom[who]->vcpu[vcpu];

    fake_cpu(vcpu);
    fake_current(v);
    fake_preempt_every = s[0] & 4 ? 1 + (s[7] & 3) : 0;
    fake_fail_copy(s[0] & 8 ? 1 + s[7] % 3 : 0);
    switch (s[0] >> 4) {
    case 0: pirq_late = s[1] & 1, pirq_refused = s[2]; break;
    case 1:
        if (pirq_of[s[1] % NR_FUZZED_PIRQS].d) {
            arch_irq_disable();
            evtchn_set_pending(pirq_of[s[1] % NR_FUZZED_PIRQS].d,
                               pirq_of[s[1] % NR_FUZZED_PIRQS].port);
            arch_irq_enable();
        }
        break;
    case 2: poll(s + 1); break;
    case 3: info_register(who, vcpu, s + 1); break;
    case 4: virq_send_vcpu(v, s[1] % NR_VIRQS); break;
    case 5: virq_send_global(dom[who], s[1] % NR_VIRQS); break;
    case 6: scribble(who, vcpu, s + 1); break;
    case 7:
        if (s[1] % 4)
            break;
        domain_die(who, s[2] % 4);
        BUG_ON(evtchn_audit());
        domain_free(who);
        domain_new(who); /* with the same id */
        link_domains();
        break;
    case 8: dom[who]->pause_count = s[1] & 1; break;
    case 9: (void)vcpu_has_events(v); break;
    default: hypercall(who, s + 1); break;
    }
    fake_fail_copy(0);
    BUG_ON(fake_locks_held() || !arch_irq_enabled());
    BUG_ON(fake_refs(dom[0]) != 1 || fake_refs(dom[1]) != 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fake_reset(2);
    if (fake_ram == NULL)
        fake_ram_create(NR_FRAMES);
    memset(fake_ram, 0, NR_FRAMES * PAGE_SIZE);
    memset(frame_refs, 0, sizeof(frame_refs));
    memset(pirq_of, 0, sizeof(pirq_of));
    pirq_late = false;
    pirq_refused = 0;
    for (unsigned int i = 0; i < NR_DOMS; i++)
        domain_new(i);
    link_domains();
    for (size_t at = 0; at < size && size - at >= 8; at += 8) {
        step(data + at);
        if (at / 8 % STEPS_PER_AUDIT == STEPS_PER_AUDIT - 1)
            audit();
    }
    fake_fail_copy(0);
    audit();
    for (unsigned int i = 0; i < NR_DOMS; i++)
        domain_die(i, i);
    BUG_ON(evtchn_audit());
    for (unsigned int i = 0; i < NR_DOMS; i++)
        domain_free(i);
    domain_list = NULL;
    return 0;
}
