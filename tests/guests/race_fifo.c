/*
 * FIFO event channels on several vCPUs: ports that are sent to, moved, masked and given another priority
 * at once lose nothing; a guest that scribbles over words and control blocks, and one that sets all up,
 * uses it and resets it at once (XSA-107, XSA-343, XSA-358, XSA-359), hurt but themselves.
 * dom0_max_vcpus=2 or more.
 */
#include "fifo.h"

#define NR_PAIRS 8u

static unsigned int near[NR_PAIRS], far[NR_PAIRS]; /* what is sent at near arrives at far */
static struct box {
    uint64_t told, seen;
} boxes[NR_PAIRS] __attribute__((aligned(64)));
static uint64_t nr_sent, nr_moves, nr_masks, nr_slow_ns;

static void on_event(unsigned int vcpu, evtchn_port_t port)
{
    for (unsigned int i = 0; i < NR_PAIRS; i++)
        if (far[i] == port) {
            uint64_t told = LOAD(boxes[i].told), seen = LOAD(boxes[i].seen);

            while (seen < told && !__atomic_compare_exchange_n(&boxes[i].seen, &seen, told, false,
                                                               __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                ;
        }
}
static void on_upcall(struct cpu_user_regs *regs) { fifo_handle(this_vcpu()); }
static void on_upcall_ignored(struct cpu_user_regs *regs)
{
    vcpu_info(this_vcpu())->evtchn_upcall_pending = 0;
}

static void pairs(void)
{
    for (unsigned int i = 0; i < NR_PAIRS; i++)
        port_pair(&near[i], &far[i]);
}

/* ---- nothing is lost ---- */

static void tell(unsigned int i)
{
    uint64_t n = ADD(boxes[i].told, 1) + 1, begin = now(), took;

    CHECK_EQ(port_send(near[i]), 0);
    ADD(nr_sent, 1);
    if (random() % 4 == 0)
        return;
    while (LOAD(boxes[i].seen) < n) {
        if ((int64_t)(now() - begin) > (int64_t)PATIENCE_NS)
            failure("port %u: event %lu was lost, seen %lu; its word 0x%x", far[i], n,
                    boxes[i].seen, *word_of(far[i]));
        yield();
    }
    took = now() - begin;
    if ((int64_t)took > (int64_t)nr_slow_ns)
        nr_slow_ns = took;
}

static void honest(unsigned int me)
{
    vcpu_info(me)->evtchn_upcall_mask = 0;
    while (phase_until(&nr_moves, 50)) {
        unsigned int i = random() % NR_PAIRS;
        struct evtchn_bind_vcpu move = { .port = far[i], .vcpu = random() % nr_vcpus };

        switch (random() % 6) {
        case 0:
            CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_vcpu, &move), 0);
            CHECK_EQ(set_priority(far[i], random() % NR_QUEUES), 0);
            ADD(nr_moves, 1);
            break;
        case 1:
            word_set(far[i], EVTCHN_FIFO_MASKED);
            CHECK_EQ(port_unmask_hc(far[i]), 0);
            ADD(nr_masks, 1);
            break;
        default: tell(i); break;
        }
    }
}

/* ---- scribbling ---- */

static uint64_t nr_scribbled, nr_resets;

/* The lists may have become circles, so nobody walks them. */
static void hostile(unsigned int me)
{
    while (phase_until(&nr_scribbled, 1000)) {
        unsigned int i = random() % NR_PAIRS, v = random() % nr_vcpus;
        struct evtchn_bind_vcpu move = { .port = far[i], .vcpu = v };

        switch (random() % 10) {
        case 0: STORE(*word_of(far[i]), random() * 2); break;
        case 1: STORE(*word_of(far[i]), 0); break;
        case 2: STORE(*word_of(far[i]), ~0u); break;
        case 3: STORE(blocks[v]->ready, random() % 2 ? 0 : random()); break;
        case 4: STORE(blocks[v]->head[random() % NR_QUEUES], random() * 2); break;
        case 5: hc(event_channel_op, EVTCHNOP_bind_vcpu, &move); break;
        case 6: set_priority(far[i], random() % 20); break;
        case 7: port_unmask_hc(random() % 3000); break;
        default: port_send(near[i]); break;
        }
        ADD(nr_scribbled, 1);
    }
}

/* ---- setting up, use and reset ---- */

static void anything(unsigned int me)
{
    while (phase_until(&nr_resets, 20)) {
        evtchn_port_t port = 1 + random() % 12;
        struct evtchn_bind_interdomain inter = { .remote_dom = DOMID_SELF, .remote_port = port };
        struct evtchn_alloc_unbound alloc = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
        struct evtchn_bind_ipi ipi = { .vcpu = random() % nr_vcpus };
        struct sched_poll poll = { .nr_ports = 1, .timeout = 1 };
        unsigned int v = random() % nr_vcpus;
        uint8_t bits;

        switch (random() % 12) {
        case 0: init_control(v, virt_to_mfn(blocks[v]), 8 * (random() % 8), &bits); break;
        case 1: expand_array(virt_to_mfn(word_pages[random() % 2])); break;
        case 2: set_priority(port, random() % NR_QUEUES); break;
        case 3: hc(event_channel_op, EVTCHNOP_alloc_unbound, &alloc); break;
        case 4: hc(event_channel_op, EVTCHNOP_bind_interdomain, &inter); break;
        case 5: hc(event_channel_op, EVTCHNOP_bind_ipi, &ipi); break;
        case 6: port_close(port); break;
        case 7: port_unmask_hc(random() % 2 ? port : port + 1024); break;
        case 8:
            set_xen_guest_handle(poll.ports, &port);
            hc(sched_op, SCHEDOP_poll, &poll);
            break;
        case 9:
            if (random() % 2 == 0) {
                CHECK(fifo_reset() == 0 || on_xen()); /* -EBUSY there: another vCPU is at it */
                ADD(nr_resets, 1);
            }
            break;
        default: port_send(port); break;
        }
    }
}

void test_main(void)
{
    smp_init();
    CHECK_EQ(fifo_reset(), 0);
    fifo_event = on_event;
    trap_hooks[ENTRY_EVENT] = on_upcall;
    fifo_on(nr_vcpus);
    pairs();
    phase("honest", 2000, honest);
    for (unsigned int i = 0; i < NR_PAIRS; i++)
        CHECK(wait_until(&boxes[i].seen, boxes[i].told));
    print("race_fifo: %lu sent, the slowest took %lu us; moved %lu times, masked %lu times\n",
          nr_sent, nr_slow_ns / 1000, nr_moves, nr_masks);
    for (unsigned int v = 0; v < nr_vcpus; v++)
        vcpu_info(v)->evtchn_upcall_mask = 1;
    trap_hooks[ENTRY_EVENT] = on_upcall_ignored;
    phase("hostile", 1500, hostile);
    CHECK_EQ(fifo_reset(), 0);
    fifo_on(nr_vcpus);
    add_words(); /* a second page, to be named again */
    phase("setting up", 1500, anything);
    print("race_fifo: %lu scribbled, %lu resets\n", nr_scribbled, nr_resets);
    CHECK_EQ(fifo_reset(), 0);
    /* all is as for the first time */
    trap_hooks[ENTRY_EVENT] = on_upcall;
    memset(boxes, 0, sizeof(boxes));
    fifo_on(nr_vcpus);
    pairs();
    vcpu_info(0)->evtchn_upcall_mask = 0;
    for (unsigned int i = 0; i < NR_PAIRS; i++) {
        boxes[i].told = 1;
        CHECK_EQ(port_send(near[i]), 0);
        CHECK_EQ(boxes[i].seen, 1);
    }
}
