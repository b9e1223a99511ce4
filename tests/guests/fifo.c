/* FIFO event channels: what is refused, delivery, priorities, block and poll, frames, many ports, the way back. */
#include "fifo.h"

#define NR_PORTS (on_xen() ? 2500u : 5000u) /* looks at all of them for each new one */

static evtchn_port_t order[64];
static unsigned int nr_order, port_a, port_b; /* what is sent at a arrives at b */

static void on_event(unsigned int vcpu, evtchn_port_t port)
{
    order[nr_order++ % ARRAY_SIZE(order)] = port;
}
static void on_upcall(struct cpu_user_regs *regs) { fifo_handle(0); }

static long alloc(evtchn_port_t *port)
{
    struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    long rc = hc(event_channel_op, EVTCHNOP_alloc_unbound, &op);

    *port = op.port;
    return rc;
}

static evtchn_port_t ipi(void)
{
    struct evtchn_bind_ipi op = { .vcpu = 0 };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_ipi, &op), 0);
    return op.port;
}

static long refused(uint64_t mfn, uint32_t offset, unsigned int vcpu)
{
    uint8_t bits;
    long rc = init_control(vcpu, mfn, offset, &bits);

    CHECK_EQ(bits, 0);
    return rc;
}

static void refusals(void)
{
    uint64_t good = virt_to_mfn(page_alloc());
    uint8_t bits;

    CHECK_EQ(expand_array(good), -EOPNOTSUPP);
    CHECK_EQ(set_priority(port_b, 0), -ENOSYS);
    CHECK_EQ(refused(good, 0, 77), -ENOENT);
    CHECK_EQ(refused(good, 0, ~0u), -ENOENT);
    CHECK_EQ(refused(good, 4, 0), -EINVAL);
    CHECK_EQ(refused(good, PAGE_SIZE, 0), -EINVAL);
    CHECK_EQ(refused(good, PAGE_SIZE - 64, 0), -EINVAL);
    CHECK_EQ(refused(good, 0xfffffff8, 0), -EINVAL);
    CHECK_EQ(refused(virt_to_mfn(kernel_root), 0, 0), -EINVAL); /* a page table */
    CHECK_EQ(refused(~0UL, 0, 0), -EINVAL);
    CHECK_EQ(refused(1UL << 40, 0, 0), -EINVAL);
    CHECK_EQ(expand_array(good), -EOPNOTSUPP); /* XSA-188: nothing was left by those */
    CHECK_EQ(port_send(port_a), 0);            /* still two-level */
    CHECK(port_pending(port_b));
    port_clear_pending(port_b);
    fifo_on(1);
    CHECK_EQ(init_control(0, good, 0, &bits), -EINVAL); /* it has one */
    CHECK_EQ(expand_array(virt_to_mfn(kernel_root)), -EINVAL);
    CHECK_EQ(expand_array(~0UL), -EINVAL);
    CHECK_EQ(set_priority(port_b, 16), -EINVAL);
    CHECK_EQ(set_priority(~0u, 0), -EINVAL);
}

static void delivery(void)
{
    evtchn_port_t p[3] = { ipi(), ipi(), ipi() };

    events_off();
    for (unsigned int i = 0; i < 3; i++)
        CHECK_EQ(port_send(p[i]), 0);
    CHECK_EQ(port_send(p[1]), 0);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_pending, 1);
    CHECK_EQ(LOAD(blocks[0]->ready), BIT32(EVTCHN_FIFO_PRIORITY_DEFAULT));
    CHECK_EQ(LOAD(blocks[0]->head[EVTCHN_FIFO_PRIORITY_DEFAULT]), p[0]);
    CHECK_EQ(LOAD(*word_of(p[0])) & EVTCHN_FIFO_LINK_MASK, p[1]);
    events_on();
    hc(xen_version, XENVER_version, 0);
    CHECK_EQ(nr_order, 3);
    CHECK(order[0] == p[0] && order[1] == p[1] && order[2] == p[2]);
    CHECK_EQ(port_send(port_a), 0); /* before it returns */
    CHECK_EQ(nr_order, 4);
    CHECK_EQ(order[3], port_b);
    /* by priority */
    events_off();
    CHECK_EQ(set_priority(p[2], EVTCHN_FIFO_PRIORITY_MAX), 0);
    CHECK_EQ(set_priority(p[0], EVTCHN_FIFO_PRIORITY_MIN), 0);
    for (unsigned int i = 0; i < 3; i++)
        CHECK_EQ(port_send(p[i]), 0);
    nr_order = 0;
    events_on();
    hc(xen_version, XENVER_version, 0);
    CHECK_EQ(nr_order, 3);
    CHECK(order[0] == p[2] && order[1] == p[1] && order[2] == p[0]);
    /* masked */
    word_set(p[1], EVTCHN_FIFO_MASKED);
    CHECK_EQ(port_send(p[1]), 0);
    CHECK_EQ(nr_order, 3);
    CHECK(word_test(p[1], EVTCHN_FIFO_PENDING) && !word_test(p[1], EVTCHN_FIFO_LINKED));
    CHECK_EQ(port_unmask_hc(p[1]), 0);
    CHECK_EQ(nr_order, 4);
    CHECK_EQ(LOAD(*word_of(p[1])), 0);
    /* what is pending goes with the port */
    events_off();
    CHECK_EQ(port_send(p[1]), 0);
    CHECK_EQ(port_close(p[1]), 0);
    CHECK(!word_test(p[1], EVTCHN_FIFO_PENDING) && word_test(p[1], EVTCHN_FIFO_LINKED));
    CHECK(ipi() != p[1]); /* is not given out while it is in the queue */
    events_on();
    hc(xen_version, XENVER_version, 0);
    CHECK_EQ(nr_order, 4);
    CHECK_EQ(port_close(p[0]) | port_close(p[2]), 0);
    events_off();
}

static void block_and_poll(void)
{
    struct evtchn_bind_virq timer = { .virq = VIRQ_TIMER };
    struct sched_poll poll = { .nr_ports = 1 };
    uint64_t t0;

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_virq, &timer), 0);
    nr_order = 0;
    t0 = now_ns(0);
    CHECK_EQ(hc(set_timer_op, t0 + 20000000), 0);
    CHECK_EQ(hc(sched_op, SCHEDOP_block, 0), 0);
    CHECK(now_ns(0) - t0 >= 20000000);
    CHECK_EQ(nr_order, 1);
    CHECK_EQ(order[0], timer.port);
    events_off();
    word_set(timer.port, EVTCHN_FIFO_MASKED);
    set_xen_guest_handle(poll.ports, &timer.port);
    poll.timeout = now_ns(0) + 10000000000;
    t0 = now_ns(0);
    CHECK_EQ(hc(set_timer_op, t0 + 20000000), 0);
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0); /* though masked */
    CHECK(now_ns(0) - t0 >= 20000000 && now_ns(0) - t0 < 5000000000);
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0); /* at once */
    CHECK(now_ns(0) - t0 < 5000000000);
    CHECK_EQ(port_close(timer.port), 0);
}

/* Frames of words are held: they become no page table, and may be given back. */
static void frames(void)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    event_word_t *page = page_alloc();
    uint64_t mfn = virt_to_mfn(page);
    evtchn_port_t p = 0;

    CHECK_EQ(expand_array(mfn), 0); /* the second one */
    CHECK_EQ(update_va(page, mfn << 12 | (PTE_FLAGS & ~PTE_RW), UVMF_INVLPG), 0);
    CHECK(pin(1, page) != 0);
    CHECK(pin(4, page) != 0);
    CHECK_EQ(update_va(page, 0, UVMF_INVLPG), 0);
    set_xen_guest_handle(r.extent_start, &mfn);
    CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &r), 1);
    while (p <= WORDS_PER_PAGE)
        p = ipi();
    CHECK_EQ(port_send(p), 0); /* into a frame that we do not have any more */
    CHECK_EQ(port_unmask_hc(p), 0);
    CHECK_EQ(port_close(p), 0);
}

static void many_ports(void)
{
    struct evtchn_status s = { .dom = DOMID_SELF };
    unsigned int n = 0;
    evtchn_port_t p = 0;

    CHECK_EQ(fifo_reset(), 0);
    CHECK_EQ(expand_array(virt_to_mfn(word_pages[0])), -EOPNOTSUPP); /* two-level again */
    fifo_on(1);
    while (p < NR_PORTS && alloc(&p) == 0)
        n++;
    CHECK_EQ(p, NR_PORTS);
    CHECK_EQ(n, NR_PORTS);
    p = ipi();
    CHECK(p > NR_PORTS);
    nr_order = 0;
    CHECK_EQ(port_send(p), 0); /* has no word yet */
    CHECK_EQ(port_unmask_hc(p), 0);
    events_on();
    while (nr_word_pages * WORDS_PER_PAGE <= p) {
        CHECK_EQ(nr_order, 0);
        add_words();
    }
    CHECK_EQ(nr_order, 1); /* it came with it */
    CHECK_EQ(order[0], p);
    CHECK_EQ(port_send(p), 0);
    CHECK_EQ(nr_order, 2);
    events_off();
    CHECK_EQ(fifo_reset(), 0);
    if (on_xen())
        return;
    /* by the two-level ABI there are 4096 */
    CHECK_EQ(port_send(p), -EINVAL);
    CHECK_EQ(port_close(NR_PORTS), -EINVAL);
    s.port = p;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_status, &s), -EINVAL);
    for (n = 0; alloc(&p) == 0 && n < 5000;)
        n++;
    CHECK_EQ(n, 4095);
    CHECK_EQ(fifo_reset(), 0);
}

void test_main(void)
{
    CHECK_EQ(fifo_reset(), 0);
    port_pair(&port_a, &port_b);
    fifo_event = on_event;
    trap_hooks[ENTRY_EVENT] = on_upcall;
    refusals();
    nr_order = 0;
    delivery();
    block_and_poll();
    frames();
    many_ports();
    fifo_on(1); /* and so it ends: the hypervisor knows what it holds of us */
    add_words();
}
