/*
 * vCPUs that race with their timers, and clocks that race with one another. System time is read by
 * the pvclock protocol alone: what Linux keeps beside it, the last value that any CPU has read, is
 * kept here as well, but only to find a time that is behind it. dom0_max_vcpus=2 or more.
 */
#include "guest.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)
#define MS 1000000ULL

/* As Linux reads it: no RDTSC before the version was read, none after it was read again. */
static uint64_t clock(unsigned int me)
{
    volatile struct vcpu_time_info *t = &vcpu_info(me)->time;
    uint32_t version, lo, hi;
    uint64_t ns;

    do {
        uint64_t delta;

        version = t->version;
        __asm__ volatile("lfence\n rdtsc\n lfence" : "=a"(lo), "=d"(hi)::"memory");
        delta = ((uint64_t)hi << 32 | lo) - t->tsc_timestamp;
        delta = t->tsc_shift >= 0 ? delta << t->tsc_shift : delta >> -t->tsc_shift;
        ns = t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        barrier();
    } while ((version & 1) || version != t->version);
    return ns;
}

/* ---- the clock ---- */

static uint64_t latest, nr_reads, nr_backwards, worst;

/* A time that began to be read after a sibling had read `latest` must not be behind it. */
static uint64_t read_clock(unsigned int me)
{
    uint64_t seen = LOAD(latest), ns = clock(me);

    if (ns < seen) {
        ADD(nr_backwards, 1);
        if (seen - ns > worst)
            worst = seen - ns;
    }
    while (seen < ns && !__atomic_compare_exchange_n(&latest, &seen, ns, false, __ATOMIC_SEQ_CST,
                                                     __ATOMIC_SEQ_CST))
        ;
    return ns;
}

static void clock_race(unsigned int me)
{
    uint64_t n = 0;

    while (phase_on()) {
        read_clock(me);
        if (++n % 1000 == 0)
            yield();
    }
    ADD(nr_reads, n);
}

/* ---- timers ---- */

/*
 * Of one vCPU, by itself and its upcall. Even ones wait for each timer that they set: one event for
 * each, and never before its time. Odd ones stop timers and set them anew: one that has fired just
 * then on another CPU may be told of at any time after, so for them an event counts only if the time
 * of the last timer has come.
 */
static struct state {
    unsigned int port;
    evtchn_port_t quiet_port;
    volatile bool armed;
    volatile uint64_t deadline; /* of the timer that was set last */
    volatile uint64_t events;
    uint64_t set, stopped, polls, latest_ns;
} states[MAX_VCPUS] __attribute__((aligned(64)));
static uint64_t nr_early, nr_settled, skew_ns;

static void on_timer(unsigned int port)
{
    unsigned int me = this_vcpu();
    struct state *s = &states[me];
    uint64_t ns = read_clock(me) + skew_ns;

    CHECK_EQ(port, s->port);
    s->events++;
    if (ns >= s->deadline) {
        if (s->armed && ns - s->deadline > s->latest_ns)
            s->latest_ns = ns - s->deadline;
        s->armed = false;
    } else if (me % 2 == 0 && ADD(nr_early, 1) < 5) {
        print("race_timer: vCPU %u: event %lu ns early\n", me, s->deadline - ns);
    }
}

static void upcalls(unsigned int me, bool on)
{
    vcpu_info(me)->evtchn_upcall_mask = !on;
    if (on)
        hc(xen_version, XENVER_version, 0); /* what became pending meanwhile comes now */
}

static void set(unsigned int me, uint64_t at)
{
    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = at };
    struct state *s = &states[me];

    upcalls(me, false);
    s->deadline = at;
    s->armed = true;
    s->set++;
    if (random() & 1)
        CHECK_EQ(hc(set_timer_op, at), 0);
    else
        CHECK_EQ(hc(vcpu_op, VCPUOP_set_singleshot_timer, me, &t), 0);
    upcalls(me, true);
}

static void stop(unsigned int me)
{
    states[me].stopped++;
    if (random() & 1)
        CHECK_EQ(hc(set_timer_op, 0), 0);
    else
        CHECK_EQ(hc(vcpu_op, VCPUOP_stop_singleshot_timer, me, 0), 0);
    states[me].armed = false;
}

/* Until the event has come. */
static void wait(unsigned int me)
{
    uint64_t deadline = states[me].deadline, end = clock(me) + PATIENCE_NS;
    struct sched_poll poll = { .nr_ports = 0 };
    unsigned int how = random() % 4;
    struct state *s = &states[me];

    while (s->armed) {
        switch (how) {
        case 0: /* asleep */
            upcalls(me, false);
            if (s->armed)
                hc(sched_op, SCHEDOP_block, 0);
            upcalls(me, true);
            break;
        case 1: /* asleep with a second timer, that of poll */
            poll.timeout = clock(me) + random() % (2 * MS);
            s->polls++;
            CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0);
            break;
        case 2: yield(); break;
        default: barrier();
        }
        if (clock(me) > end)
            failure("vCPU %u: timer at %lu, now %lu: lost; pending %d", me, deadline, clock(me),
                    port_pending(s->port));
    }
}

/*
 * The timeout alone: with upcalls masked and a port at which nothing ever arrives, nothing else ends
 * it. (With no port at all, or more than one, events of any port may.)
 */
static void poll_only(unsigned int me)
{
    uint64_t at = clock(me) + random() % MS, ns;
    struct sched_poll poll = { .nr_ports = 1, .timeout = at };

    set_xen_guest_handle(poll.ports, &states[me].quiet_port);
    upcalls(me, false);
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0);
    ns = read_clock(me);
    CHECK(ns + skew_ns >= at || vcpu_info(me)->evtchn_upcall_pending);
    CHECK(ns < at + PATIENCE_NS);
    states[me].polls++;
    upcalls(me, true);
}

static void timer_race(unsigned int me)
{
    upcalls(me, true);
    while (phase_until(&nr_settled, 200)) {
        set(me, clock(me) + random() % (2 * MS));
        switch (me & 1 ? random() % 4 : 2) {
        case 0: /* again, sooner or later */
            for (unsigned int i = random() % 1000; i > 0; i--)
                barrier();
            set(me, clock(me) + random() % (2 * MS));
            break;
        case 1: /* not at all, or after all */
            for (unsigned int i = random() % 1000; i > 0; i--)
                barrier();
            stop(me);
            if (random() & 1)
                poll_only(me);
            else
                set(me, clock(me) + random() % MS);
            break;
        }
        wait(me);
        ADD(nr_settled, 1);
    }
    upcalls(me, false);
}

/* Far away: it does not come while others fire, nor after it was stopped. */
static void far_timer(unsigned int me)
{
    uint64_t before = states[me].events;

    upcalls(me, true);
    if (me % 2 == 0)
        CHECK_EQ(before, states[me].set);
    set(me, clock(me) + 3600000 * MS);
    while (phase_on())
        if (me & 1)
            poll_only(me);
        else
            yield();
    stop(me);
    CHECK(me % 2 || states[me].events == before);
    upcalls(me, false);
}

void test_main(void)
{
    struct evtchn_alloc_unbound quiet = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    smp_init();
    skew_ns = clock_skew_ns();
    print("race_timer: flags of the clock: 0x%x\n", vcpu_info(0)->time.flags);
    for (unsigned int v = 0; v < nr_vcpus; v++) {
        states[v].port = (unsigned int)bind_virq(VIRQ_TIMER, v);
        event_hooks[states[v].port] = on_timer;
        CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &quiet), 0);
        states[v].quiet_port = quiet.port;
    }
    phase("clocks", 1500, clock_race);
    phase("timers", 3000, timer_race);
    phase("no timers", 500, far_timer);
    for (unsigned int v = 0; v < nr_vcpus; v++) {
        CHECK(states[v].latest_ns < PATIENCE_NS);
        print("race_timer: vCPU %u: set %lu, stopped %lu, events %lu, polls %lu, late %lu us\n", v,
              states[v].set, states[v].stopped, states[v].events, states[v].polls,
              states[v].latest_ns / 1000);
    }
    print("race_timer: %lu times read, %lu times backwards, by %lu ns at worst\n", nr_reads,
          nr_backwards, worst);
    CHECK_EQ(nr_early, 0);
    CHECK(worst <= skew_ns);
}
