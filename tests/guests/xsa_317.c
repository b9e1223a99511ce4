/*
 * All event ports taken: each operation that would make one more has to leave everything as it was
 * (XSA-317: a failure that went unnoticed), and numbers beyond the ports are never ports, however the
 * shared page looks (XSA-338, XSA-342: ports that were valid, or too many, by another ABI's count).
 */
#include "guest.h"

#define NR_PORTS 4096u

static long op(unsigned int cmd, void *arg) { return hc(event_channel_op, cmd, arg); }

static long status_of(evtchn_port_t port)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = port };
    long rc = op(EVTCHNOP_status, &s);

    return rc ? rc : (long)s.status;
}

static long alloc(evtchn_port_t *port)
{
    struct evtchn_alloc_unbound a = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    long rc = op(EVTCHNOP_alloc_unbound, &a);

    *port = a.port;
    return rc;
}

static evtchn_port_t ports[NR_PORTS];

static unsigned int take_all(long *rc)
{
    unsigned int n = 0;

    while (n < NR_PORTS && (*rc = alloc(&ports[n])) == 0)
        n++;
    return n;
}

/* One after the other, twice: the second time must not find the first one's traces. */
static void nothing_left(void)
{
    struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF, .remote_port = ports[0] };
    struct evtchn_bind_virq virq = { .virq = VIRQ_DEBUG };
    struct evtchn_bind_ipi ipi = { 0 };
    struct evtchn_bind_pirq pirq = { .pirq = 9 };
    evtchn_port_t port;
    unsigned int made = 0;

    for (unsigned int i = 0; i < 2; i++) {
        made += alloc(&port) != -ENOSPC;
        made += op(EVTCHNOP_bind_interdomain, &inter) != -ENOSPC;
        made += op(EVTCHNOP_bind_virq, &virq) != -ENOSPC;
        made += op(EVTCHNOP_bind_ipi, &ipi) != -ENOSPC;
        made += op(EVTCHNOP_bind_pirq, &pirq) == 0;
    }
    attack("full.made", made, 0);
    attack("full.remote-still-unbound", status_of(ports[0]), EVTCHNSTAT_unbound);
    /* with one number free again exactly that one is given, and the VIRQ was not bound before */
    CHECK_EQ(port_close(ports[7]), 0);
    CHECK_EQ(op(EVTCHNOP_bind_virq, &virq), 0);
    CHECK_EQ(virq.port, ports[7]);
    attack("full.virq-twice", op(EVTCHNOP_bind_virq, &virq), -EEXIST);
    CHECK_EQ(port_close(ports[7]), 0);
    CHECK_EQ(op(EVTCHNOP_bind_interdomain, &inter), 0);
    CHECK_EQ(inter.local_port, ports[7]);
    CHECK_EQ(port_send(ports[7]), 0);
    CHECK(port_pending(ports[0]));
    CHECK_EQ(port_close(ports[7]), 0);
    CHECK_EQ(status_of(ports[0]), EVTCHNSTAT_unbound);
    CHECK_EQ(alloc(&port), 0);
    CHECK_EQ(port, ports[7]);
}

/*
 * A VIRQ that is bound stays so, and none of the others becomes bound, by attempts that fail: for want
 * of a port, because it is bound, or to a vCPU where it cannot be (XSA-496: what VIRQ_DOM_EXC had set
 * up was torn down by whoever failed to bind it).
 */
static void virqs(evtchn_port_t dom_exc)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = dom_exc };
    unsigned int made = 0, lost = 0;

    for (unsigned int round = 0; round < 2; round++) /* without a free port, with one */
        for (unsigned int n = 0; n < 64; n++) {
            struct evtchn_bind_virq b = { .virq = n };
            long rc = op(EVTCHNOP_bind_virq, &b), want;

            want = n == VIRQ_DOM_EXC ? -EEXIST : n >= NR_VIRQS ? -EINVAL : round ? 0 : -ENOSPC;
            made += rc != want;
            b.vcpu = n == VIRQ_DOM_EXC; /* a global one is vCPU 0's */
            made += n == VIRQ_DOM_EXC && op(EVTCHNOP_bind_virq, &b) != -EINVAL;
            if (rc == 0)
                CHECK_EQ(port_close(b.port), 0);
            CHECK_EQ(op(EVTCHNOP_status, &s), 0);
            lost += s.status != EVTCHNSTAT_virq || s.u.virq != VIRQ_DOM_EXC;
            if (n == 63 && round == 0)
                CHECK_EQ(port_close(ports[9]), 0);
        }
    CHECK_EQ(alloc(&ports[9]), 0);
    attack("virq.odd-answers", made, 0);
    attack("virq.lost", lost, 0);
}

/* Port 0, those behind the two-level ABI's last, those of FIFO's, and what wraps. */
static void no_ports(void)
{
    static const evtchn_port_t numbers[] = { 0,          4096,       4097,       0x10000,
                                             131071,     131072,     0x7fffffff, 0x80000000,
                                             0x80000001, 0xfffff000, 0xffffffff };
    unsigned int valid = 0;

    memset(shared_info->evtchn_mask, 0xff, sizeof(shared_info->evtchn_mask));
    for (unsigned int i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct evtchn_bind_vcpu move = { .port = numbers[i] };
        struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF,
                                                 .remote_port = numbers[i] };
        struct sched_poll poll = { .nr_ports = 1, .timeout = 1 };
        evtchn_port_t port = numbers[i];

        set_xen_guest_handle(poll.ports, &port);
        valid += port_send(port) == 0;
        valid += port_close(port) == 0;
        valid += op(EVTCHNOP_bind_vcpu, &move) == 0;
        valid += op(EVTCHNOP_bind_interdomain, &inter) == 0;
        valid += port && (port_unmask_hc(port) == 0 || status_of(port) >= 0 ||
                          hc(sched_op, SCHEDOP_poll, &poll) == 0);
    }
    attack("numbers.valid", valid, 0);
}

void test_main(void)
{
    struct evtchn_bind_virq dom_exc = { .virq = VIRQ_DOM_EXC };
    unsigned int first, again = 0, open = 0;
    long rc = 0;

    attacks_begin();
    CHECK_EQ(op(EVTCHNOP_bind_virq, &dom_exc), 0);
    first = take_all(&rc);
    print("xsa_317: %u ports\n", first);
    attack("full.answer", rc, -ENOSPC);
    CHECK(first > (is_dom0() ? 4000 : 1000) && first < (is_dom0() ? NR_PORTS : 1024));
    nothing_left();
    virqs(dom_exc.port);
    no_ports();
    witness_check();                                   /* by a port of its own */
    for (unsigned int round = 0; round < 2; round++) { /* none got lost */
        for (unsigned int i = first; i-- > 0;)
            open += port_close(ports[i]) != 0 || status_of(ports[i]) != EVTCHNSTAT_closed;
        again += take_all(&rc);
    }
    CHECK_EQ(open, 0);
    CHECK_EQ(again, 2 * first);
    for (unsigned int i = 0; i < first; i++)
        port_close(ports[i]);
}
