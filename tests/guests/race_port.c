/*
 * vCPUs that race on event ports: sent to from all sides, moved, masked, unmasked and closed at once.
 * Events of one port merge, so what is told is a number beside the port, and the handler has to see
 * the last one told before the event. dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

/* What is told by a port. */
struct box {
    uint64_t told; /* senders add, then send */
    uint64_t seen; /* the handler: what it found in `told` */
} __attribute__((aligned(64)));

static struct box boxes[4096];
static uint64_t nr_sent, nr_slow_ns;

/* On whatever vCPU; several at once if the port was moved. */
static void on_event(unsigned int port)
{
    uint64_t told = LOAD(boxes[port].told), seen = LOAD(boxes[port].seen);

    while (seen < told && !__atomic_compare_exchange_n(&boxes[port].seen, &seen, told, false,
                                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

static void upcalls(unsigned int vcpu, bool on) { vcpu_info(vcpu)->evtchn_upcall_mask = !on; }

/* On its way out comes what became pending while upcalls were masked. */
static void pause_for_events(void) { hc(xen_version, XENVER_version, 0); }

/* Tell by sending on `port`, which arrives at `at`; now and then wait until it was seen. */
static void tell(unsigned int port, unsigned int at)
{
    uint64_t n = ADD(boxes[at].told, 1) + 1, begin = now(), took;

    CHECK_EQ(port_send(port), 0);
    ADD(nr_sent, 1);
    if (random() % 4 == 0)
        return;
    while (LOAD(boxes[at].seen) < n) {
        if ((int64_t)(now() - begin) > (int64_t)PATIENCE_NS) /* clocks differ by vCPU on Xen */
            failure("port %u: event %lu was lost, seen %lu; pending %d, masked %d", at, n,
                    boxes[at].seen, port_pending(at), port_masked(at));
        yield();
    }
    took = now() - begin;
    if (took > nr_slow_ns)
        nr_slow_ns = took;
}

/* ---- IPIs: to a vCPU that computes, sleeps or polls ---- */

static unsigned int ipis[MAX_VCPUS];
static uint64_t nr_wakeups[3];

static unsigned int nr_tellers;

/* Ended by an IPI: in block, or in poll with the port unmasked (0, 2) or masked (1). */
static void sleep_a_while(unsigned int me)
{
    unsigned int port = ipis[me], how = random() % 3;
    struct sched_poll poll = { .nr_ports = 1 };

    ADD(nr_wakeups[how], 1);
    upcalls(me, false); /* first of all: what comes from here on ends the sleep */
    if (LOAD(nr_tellers) == 0) {
        upcalls(me, true);
    } else if (how == 0) {
        hc(sched_op, SCHEDOP_block, 0);
    } else {
        if (how == 1)
            port_mask(port);
        set_xen_guest_handle(poll.ports, &port);
        poll.timeout = random() % 2 ? 0 : now() + 1000000;
        CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0);
        if (how == 1)
            CHECK_EQ(port_unmask_hc(port), 0);
        upcalls(me, true);
        pause_for_events();
    }
}

/* Even ones sleep until they are told something, odd ones tell everybody. */
static void ipi_race(unsigned int me)
{
    upcalls(me, true);
    if (me & 1) {
        while (phase_until(&nr_wakeups[2], 10)) {
            unsigned int to = random() % nr_vcpus;

            tell(ipis[to], ipis[to]);
        }
        ADD(nr_tellers, -1);
    }
    while (LOAD(nr_tellers))
        if (me & 1)
            yield();
        else
            sleep_a_while(me);
    for (unsigned int to = 0; (me & 1) && to < nr_vcpus; to++)
        CHECK_EQ(port_send(ipis[to]), 0); /* whoever sleeps learns that it is over */
}

static void ipi_test(void)
{
    for (unsigned int v = 0; v < nr_vcpus; v++) {
        ipis[v] = (unsigned int)bind_ipi(v);
        event_hooks[ipis[v]] = on_event;
        nr_tellers += v & 1;
    }
    phase("IPIs", 2000, ipi_race);
    for (unsigned int v = 0; v < nr_vcpus; v++)
        CHECK(wait_until(&boxes[ipis[v]].seen, boxes[ipis[v]].told));
    print("race_port: %lu IPIs, the slowest took %lu us; %lu sleeps, %lu and %lu polls\n", nr_sent,
          nr_slow_ns / 1000, nr_wakeups[0], nr_wakeups[1], nr_wakeups[2]);
}

/* ---- an interdomain port: sent to, moved, masked and unmasked at once ---- */

static unsigned int port_a, port_b; /* what is sent at a arrives at b */
static uint64_t nr_moves, nr_masks;

static void port_move(unsigned int port, unsigned int vcpu, bool *closed)
{
    struct evtchn_bind_vcpu op = { .port = port, .vcpu = vcpu };
    long rc = hc(event_channel_op, EVTCHNOP_bind_vcpu, &op);

    if (rc != -EINVAL || closed == NULL)
        CHECK_EQ(rc, 0);
    else
        *closed = true;
}

static void port_race(unsigned int me)
{
    upcalls(me, true);
    while (phase_until(&nr_moves, 50)) {
        switch ((me + random() % 2) % 3) {
        case 0: tell(port_a, port_b); break;
        case 1:
            port_move(port_b, random() % nr_vcpus, NULL);
            ADD(nr_moves, 1);
            break;
        case 2:
            port_mask(port_b);
            CHECK_EQ(port_unmask_hc(port_b), 0);
            ADD(nr_masks, 1);
            break;
        }
    }
}

static void port_test(void)
{
    port_pair(&port_a, &port_b);
    event_hooks[port_b] = on_event;
    nr_sent = nr_slow_ns = 0;
    phase("one port", 1500, port_race);
    CHECK(wait_until(&boxes[port_b].seen, boxes[port_b].told));
    print("race_port: %lu sent, the slowest took %lu us; moved %lu times, masked %lu times\n",
          nr_sent, nr_slow_ns / 1000, nr_moves, nr_masks);
}

/* ---- ports that are closed meanwhile ---- */

/* What vCPU 0 binds and closes again, all others use. A number may be another port's by then. */
static unsigned int victims[2];
static uint64_t nr_closed, nr_used, nr_gone, nr_double;

static void close_both(void)
{
    for (unsigned int i = 0; i < 2; i++) {
        unsigned int port = __atomic_exchange_n(&victims[i], 0, __ATOMIC_SEQ_CST);

        if (port)
            CHECK_EQ(port_close(port), 0); /* whoever takes the number closes it */
    }
}

static void use(unsigned int port)
{
    bool gone = false;
    long rc;

    switch (random() % 4) {
    case 0: port_move(port, random() % nr_vcpus, &gone); break;
    case 1: CHECK_EQ(port_unmask_hc(port), 0); break; /* no matter what it is bound to */
    case 2: /* of several that try, at most one has closed it */
        if (__atomic_compare_exchange_n(&victims[0], &port, 0, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            CHECK_EQ(port_close(port), 0);
        else
            ADD(nr_double, 1);
        break;
    default:
        rc = port_send(port);
        gone = rc == -EINVAL;
        if (!gone)
            CHECK_EQ(rc, 0);
    }
    ADD(nr_used, 1);
    ADD(nr_gone, gone);
}

static void close_race(unsigned int me)
{
    upcalls(me, true);
    while (phase_until(&nr_closed, 50)) {
        unsigned int a, b;

        if (me) {
            a = LOAD(victims[random() % 2]);
            if (a)
                use(a);
            continue;
        }
        if (random() & 1) {
            port_pair(&a, &b);
        } else {
            a = (unsigned int)bind_ipi(random() % nr_vcpus);
            b = (unsigned int)bind_ipi(random() % nr_vcpus);
        }
        STORE(victims[0], a);
        STORE(victims[1], b);
        for (unsigned int i = random() % 20000; i > 0; i--)
            barrier();
        close_both();
        ADD(nr_closed, 1);
    }
}

static void close_test(void)
{
    struct evtchn_status s = { .dom = DOMID_SELF };

    phase("closing", 1500, close_race);
    close_both();
    print("race_port: closed %lu times, used %lu times, gone %lu times\n", nr_closed, nr_used,
          nr_gone);
    /* what was there before is all that is left; domain 0 begins without ports, others with two */
    for (s.port = is_dom0() ? 1 : 3; s.port < 64; s.port++) {
        bool known = s.port == port_a || s.port == port_b;

        for (unsigned int v = 0; v < nr_vcpus; v++)
            known |= s.port == ipis[v];
        CHECK_EQ(hc(event_channel_op, EVTCHNOP_status, &s), 0);
        CHECK_EQ(s.status == EVTCHNSTAT_closed, !known);
    }
    /* and those still work */
    tell(port_a, port_b);
    for (unsigned int v = 0; v < nr_vcpus; v++)
        CHECK_EQ(port_close(ipis[v]), 0);
    CHECK_EQ(port_close(port_a), 0);
    CHECK_EQ(port_close(port_b), 0);
    CHECK_EQ(port_send(port_b), -EINVAL);
}

void test_main(void)
{
    smp_init();
    upcalls(0, true);
    ipi_test();
    port_test();
    close_test();
}
