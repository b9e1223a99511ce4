/*
 * FIFO event channels: setting up, delivery to a guest that takes its events off the queues as the ABI
 * has it, one that scribbles over everything, threads that do all at once, and the limits of ports.
 */
#include <pthread.h>
#include <stdio.h>

#include "evtchn_machine.h"

#define BIT(n) (1u << (n))
#define WORDS 1024u

/* ---- the guest's side: words in the pages 0..127 of its RAM, control blocks in those behind ---- */

#define CONTROL_PAGE 128u
#define CONTROL_OFFSET 64u

static event_word_t *word_of(int who, evtchn_port_t port)
{
    return (event_word_t *)mfn_to_virt(page_of(who, port / WORDS)) + port % WORDS;
}
static struct evtchn_fifo_control_block *block_of(int who, unsigned int vcpu)
{
    return (void *)((char *)mfn_to_virt(page_of(who, CONTROL_PAGE + vcpu)) + CONTROL_OFFSET);
}
static uint32_t heads[NR_DOMS][NR_VCPUS][EVTCHN_FIFO_MAX_QUEUES];
static _Atomic unsigned int handled[NR_DOMS][4096];
static evtchn_port_t order[64]; /* the last ones handled */
static unsigned int nr_order;

static long init_control(int who, uint32_t vcpu)
{
    struct evtchn_init_control op = { .control_gfn = mfn_x(page_of(who, CONTROL_PAGE + vcpu)),
                                      .offset = CONTROL_OFFSET,
                                      .vcpu = vcpu };
    long rc = CALL(who, EVTCHNOP_init_control, &op);

    CU_ASSERT_EQUAL(op.link_bits, rc == 0 ? EVTCHN_FIFO_LINK_BITS : 0);
    return rc;
}
static long expand_array(int who, mfn_t m)
{
    struct evtchn_expand_array op = { .array_gfn = mfn_x(m) };

    return CALL(who, EVTCHNOP_expand_array, &op);
}
static long set_priority(int who, evtchn_port_t port, uint32_t priority)
{
    struct evtchn_set_priority op = { .port = port, .priority = priority };

    return CALL(who, EVTCHNOP_set_priority, &op);
}

/* With FIFO, all vCPUs, and one page of words; unmasked, unlike Linux's. */
static void fifo_on(int who)
{
    memset(heads[who], 0, sizeof(heads[who]));
    memset(handled[who], 0, sizeof(handled[who]));
    for (uint32_t v = 0; v < NR_VCPUS; v++)
        CU_ASSERT_EQUAL_FATAL(init_control(who, v), 0);
    CU_ASSERT_EQUAL_FATAL(expand_array(who, page_of(who, 0)), 0);
}

/* Take one off; 0: there is none. */
static evtchn_port_t take_off(int who, unsigned int vcpu, unsigned int q)
{
    evtchn_port_t port = heads[who][vcpu][q];
    event_word_t w;

    if (port == 0)
        port = __atomic_load_n(&block_of(who, vcpu)->head[q], __ATOMIC_SEQ_CST);
    if (port == 0)
        return 0;
    w = __atomic_load_n(word_of(who, port), __ATOMIC_SEQ_CST);
    while (!__atomic_compare_exchange_n(word_of(who, port), &w,
                                        w & ~(BIT(EVTCHN_FIFO_LINKED) | EVTCHN_FIFO_LINK_MASK),
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
    heads[who][vcpu][q] = w & EVTCHN_FIFO_LINK_MASK;
    return port;
}

static void handle(int who, evtchn_port_t port)
{
    event_word_t w = __atomic_load_n(word_of(who, port), __ATOMIC_SEQ_CST);

    if (!(w & BIT(EVTCHN_FIFO_PENDING)) || (w & BIT(EVTCHN_FIFO_MASKED)))
        return;
    __atomic_fetch_and(word_of(who, port), ~BIT(EVTCHN_FIFO_PENDING), __ATOMIC_SEQ_CST);
    atomic_fetch_add(&handled[who][port % 4096], 1);
}

/* What an upcall does; how many events that were. */
static unsigned int run_queues(int who, unsigned int vcpu)
{
    struct evtchn_fifo_control_block *block = block_of(who, vcpu);
    unsigned int n = 0;
    uint32_t ready;

    dom[who]->vcpu[vcpu]->info->evtchn_upcall_pending = 0;
    ready = __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
    while (ready) {
        unsigned int q = (unsigned int)__builtin_ctz(ready);
        evtchn_port_t port = take_off(who, vcpu, q);

        if (heads[who][vcpu][q] == 0)
            ready &= ~BIT(q);
        if (port) {
            order[nr_order++ % ARRAY_SIZE(order)] = port;
            handle(who, port);
            n++;
        }
        ready |= __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
    }
    return n;
}

static void expect_order(const evtchn_port_t *ports, unsigned int n)
{
    CU_ASSERT_EQUAL(nr_order, n);
    for (unsigned int i = 0; i < n; i++)
        CU_ASSERT_EQUAL(order[i], ports[i]);
    nr_order = 0;
}
#define EXPECT_ORDER(...) \
    expect_order((evtchn_port_t[]){ __VA_ARGS__ }, ARRAY_SIZE(((evtchn_port_t[]){ __VA_ARGS__ })))

/* Interdomain, dom[0] sends, dom[1] gets: n of them; from[i] arrives at to[i]. */
static evtchn_port_t from[64], to[64];
static void connect(unsigned int n)
{
    nr_order = 0;
    for (unsigned int i = 0; i < n; i++) {
        CU_ASSERT_EQUAL_FATAL(alloc_unbound(1, DOMID_SELF, 0, &to[i]), 0);
        CU_ASSERT_EQUAL_FATAL(bind_interdomain(0, 1, to[i], &from[i]), 0);
    }
}

/* ---- setting up ---- */

static void test_init_control_checks_all_and_keeps_nothing_it_refused(void)
{
    struct evtchn_init_control good = { .control_gfn = mfn_x(page_of(1, 5)), .vcpu = 1 }, op;

    setup();
#define REFUSED(rc, field, value)                                 \
    op = good;                                                    \
    op.field = value;                                             \
    CU_ASSERT_EQUAL(CALL(1, EVTCHNOP_init_control, &op), rc);     \
    CU_ASSERT_EQUAL(op.link_bits, 0);                             \
    CU_ASSERT(pages_held() == 0 && dom[1]->evtchn->fifo == NULL); \
    CU_ASSERT_EQUAL(evtchn_audit(), 0)
    REFUSED(-ENOENT, vcpu, NR_VCPUS);
    REFUSED(-ENOENT, vcpu, ~0u);
    REFUSED(-EINVAL, offset, 4);
    REFUSED(-EINVAL, offset, PAGE_SIZE);
    REFUSED(-EINVAL, offset, PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) + 8);
    REFUSED(-EINVAL, offset, ~7u);
    REFUSED(-EINVAL, control_gfn, ~0UL);
    REFUSED(-EINVAL, control_gfn, mfn_x(page_of(2, 5)));
    page_is_table = page_of(1, 5);
    REFUSED(-EINVAL, vcpu, 0);
    page_is_table = INVALID_MFN;
    fake_fail_alloc(1);
    REFUSED(-ENOMEM, vcpu, 0);
    op = good;
    CU_ASSERT_EQUAL(call_rights(1, EVTCHNOP_init_control, &op, sizeof(op), FAKE_READ_ONLY),
                    -EFAULT);
    CU_ASSERT(pages_held() == 0 && dom[1]->evtchn->fifo == NULL);
    op.offset = (PAGE_SIZE - sizeof(struct evtchn_fifo_control_block)) & ~7u;
    CU_ASSERT_EQUAL(CALL(1, EVTCHNOP_init_control, &op), 0);
    CU_ASSERT_EQUAL(op.link_bits, 17);
    CU_ASSERT_EQUAL(CALL(1, EVTCHNOP_init_control, &op), -EINVAL); /* it has one */
    CU_ASSERT_EQUAL(pages_held(), 1);
    op.vcpu = 0;
    CU_ASSERT_EQUAL(CALL(1, EVTCHNOP_init_control, &op), 0); /* even in the same place */
    CU_ASSERT_EQUAL(pages_held(), 2);
    CU_ASSERT_EQUAL(dom[1]->nr_event_frames, 2);
    teardown();
}

static void test_expand_array_takes_128_pages(void)
{
    setup();
    CU_ASSERT_EQUAL(expand_array(1, page_of(1, 0)), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(init_control(1, 0), 0);
    CU_ASSERT_EQUAL(expand_array(1, page_of(2, 0)), -EINVAL);
    CU_ASSERT_EQUAL(expand_array(1, INVALID_MFN), -EINVAL);
    CU_ASSERT_EQUAL(pages_held(), 1);
    for (unsigned int i = 0; i < 128; i++)
        CU_ASSERT_EQUAL(expand_array(1, page_of(1, i)), 0);
    CU_ASSERT_EQUAL(expand_array(1, page_of(1, 0)), -ENOSPC);
    CU_ASSERT_EQUAL(pages_held(), 129);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    for (unsigned int i = 0; i < dom[1]->nr_event_frames; i++)
        CU_ASSERT(mfn_x(dom[1]->event_frames[i]) / PAGES_PER_DOM == 1);
    CU_ASSERT_EQUAL(reset(1, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(pages_held(), 0);
    CU_ASSERT_EQUAL(expand_array(1, page_of(1, 0)), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(init_control(1, 0), 0); /* and once more */
    teardown();
}

static void test_set_priority_needs_a_port_a_queue_and_fifo(void)
{
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), 0);
    CU_ASSERT_EQUAL(set_priority(1, p, 0), -ENOSYS);
    fifo_on(1);
    CU_ASSERT_EQUAL(set_priority(1, p, EVTCHN_FIFO_PRIORITY_MIN), 0);
    CU_ASSERT_EQUAL(set_priority(1, p, EVTCHN_FIFO_PRIORITY_MIN + 1), -EINVAL);
    CU_ASSERT_EQUAL(set_priority(1, p, ~0u), -EINVAL);
    CU_ASSERT_EQUAL(set_priority(1, p + 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(set_priority(1, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(set_priority(1, ~0u, 0), -EINVAL);
    teardown();
}

/* ---- delivery ---- */

static void test_events_come_in_the_order_in_which_they_were_sent(void)
{
    setup();
    fifo_on(1);
    connect(4);
    for (unsigned int i = 4; i-- > 0;)
        CU_ASSERT_EQUAL(send(0, from[i]), 0);
    CU_ASSERT_EQUAL(send(0, from[2]), 0); /* is in the queue already */
    CU_ASSERT_EQUAL(block_of(1, 0)->ready, BIT(EVTCHN_FIFO_PRIORITY_DEFAULT));
    CU_ASSERT_EQUAL(block_of(1, 0)->head[7], to[3]);
    CU_ASSERT_EQUAL(*word_of(1, to[3]), BIT(31) | BIT(29) | to[2]);
    CU_ASSERT_EQUAL(*word_of(1, to[0]), BIT(31) | BIT(29));
    CU_ASSERT(upcall(1, 0) && !upcall(1, 1));
    CU_ASSERT(!pending(1, to[3])); /* two-level */
    CU_ASSERT_EQUAL(run_queues(1, 0), 4);
    EXPECT_ORDER(to[3], to[2], to[1], to[0]);
    for (unsigned int i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(handled[1][to[i]], 1);
        CU_ASSERT_EQUAL(*word_of(1, to[i]), 0);
    }
    /* half of a queue is taken off while more come */
    for (unsigned int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(send(0, from[i]), 0);
    CU_ASSERT_EQUAL(take_off(1, 0, 7), to[0]);
    CU_ASSERT_EQUAL(take_off(1, 0, 7), to[1]);
    CU_ASSERT_EQUAL(send(0, from[3]), 0);
    CU_ASSERT_EQUAL(take_off(1, 0, 7), to[2]);
    CU_ASSERT_EQUAL(send(0, from[0]), 0); /* pending all the while, and again in the queue */
    CU_ASSERT_EQUAL(take_off(1, 0, 7), to[3]);
    CU_ASSERT_EQUAL(take_off(1, 0, 7), to[0]);
    CU_ASSERT_EQUAL(heads[1][0][7], 0);
    block_of(1, 0)->ready = 0;
    CU_ASSERT_EQUAL(send(0, from[1]), 0); /* the tail is no tail any more */
    CU_ASSERT_EQUAL(block_of(1, 0)->head[7], to[1]);
    CU_ASSERT_EQUAL(*word_of(1, to[0]) & EVTCHN_FIFO_LINK_MASK, 0);
    CU_ASSERT_EQUAL(run_queues(1, 0), 1);
    teardown();
}

static void test_all_sources_deliver(void)
{
    evtchn_port_t ipi, virq, pirq, a, b;

    setup();
    fifo_on(0);
    nr_order = 0;
    CU_ASSERT_EQUAL(bind_ipi(0, 1, &ipi), 0);
    CU_ASSERT_EQUAL(bind_virq(0, VIRQ_TIMER, 1, &virq), 0);
    CU_ASSERT_EQUAL(bind_pirq(0, 9, &pirq), 0);
    CU_ASSERT_EQUAL(alloc_unbound(0, DOMID_SELF, DOMID_SELF, &a), 0);
    CU_ASSERT_EQUAL(bind_interdomain(0, DOMID_SELF, a, &b), 0); /* itself an event */
    CU_ASSERT_EQUAL(send(0, ipi), 0);
    virq_send_vcpu(dom[0]->vcpu[1], VIRQ_TIMER);
    arch_irq_disable();
    pirq_arrives(9);
    arch_irq_enable();
    CU_ASSERT_EQUAL(send(0, b), 0);
    CU_ASSERT_EQUAL(run_queues(0, 0), 3);
    EXPECT_ORDER(b, pirq, a);
    CU_ASSERT_EQUAL(run_queues(0, 1), 2);
    EXPECT_ORDER(ipi, virq);
    teardown();
}

static void test_priorities_have_queues_of_their_own(void)
{
    setup();
    fifo_on(1);
    connect(3);
    CU_ASSERT_EQUAL(set_priority(1, to[1], 0), 0);
    CU_ASSERT_EQUAL(set_priority(1, to[2], 15), 0);
    for (unsigned int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(send(0, from[i]), 0);
    CU_ASSERT_EQUAL(block_of(1, 0)->ready, BIT(0) | BIT(7) | BIT(15));
    CU_ASSERT_EQUAL(run_queues(1, 0), 3);
    EXPECT_ORDER(to[1], to[0], to[2]);
    /* a port that was closed has the default again */
    CU_ASSERT_EQUAL(close_port(1, to[1]), 0);
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, DOMID_SELF, &to[1]), 0);
    CU_ASSERT_EQUAL(evtchn_find(dom[1], to[1])->priority, EVTCHN_FIFO_PRIORITY_DEFAULT);
    teardown();
}

static void test_masked_events_wait_for_unmask(void)
{
    setup();
    fifo_on(1);
    connect(2);
    *word_of(1, to[0]) = BIT(EVTCHN_FIFO_MASKED);
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(*word_of(1, to[0]), BIT(EVTCHN_FIFO_MASKED) | BIT(EVTCHN_FIFO_PENDING));
    CU_ASSERT_EQUAL(block_of(1, 0)->ready, 0);
    CU_ASSERT_EQUAL(unmask(1, to[0]), 0);
    CU_ASSERT_EQUAL(unmask(1, to[0]), 0); /* once in the queue is enough */
    CU_ASSERT_EQUAL(unmask(1, to[1]), 0); /* nothing pending */
    CU_ASSERT(upcall(1, 0));
    CU_ASSERT_EQUAL(run_queues(1, 0), 1);
    EXPECT_ORDER(to[0]);
    CU_ASSERT_EQUAL(unmask(1, WORDS), 0); /* masked while it has no word */
    CU_ASSERT_EQUAL(unmask(1, EVTCHN_FIFO_NR_CHANNELS), -EINVAL);
    CU_ASSERT_EQUAL(unmask(1, ~0u), -EINVAL);
    /* nobody's port, said to be pending by the guest itself */
    *word_of(1, 500) = BIT(EVTCHN_FIFO_MASKED) | BIT(EVTCHN_FIFO_PENDING);
    CU_ASSERT_EQUAL(unmask(1, 500), 0);
    CU_ASSERT_EQUAL(block_of(1, 0)->ready, 0);
    teardown();
}

static void test_events_before_there_is_a_word_come_with_it(void)
{
    evtchn_port_t p, q;

    setup();
    connect(3); /* two-level yet */
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(init_control(1, 0), 0);
    CU_ASSERT_EQUAL(init_control(1, 1), 0);
    CU_ASSERT_EQUAL(send(0, from[2]), 0);
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT_EQUAL(close_port(1, p), 0); /* whoever has the number next has not had that event */
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &q), 0);
    CU_ASSERT_EQUAL(q, p);
    memset(heads[1], 0, sizeof(heads[1]));
    CU_ASSERT_EQUAL(expand_array(1, page_of(1, 0)), 0);
    CU_ASSERT_EQUAL(run_queues(1, 0), 2);
    EXPECT_ORDER(to[0], to[2]);
    CU_ASSERT_EQUAL(run_queues(1, 1), 0);
    /* with a word for Linux's masked page: pending, not linked */
    for (unsigned int i = 0; i < WORDS; i++)
        *word_of(1, WORDS + i) = BIT(EVTCHN_FIFO_MASKED);
    while (q < WORDS + 3)
        CU_ASSERT_EQUAL_FATAL(bind_ipi(1, 1, &q), 0);
    CU_ASSERT_EQUAL(send(1, q), 0);
    CU_ASSERT_EQUAL(expand_array(1, page_of(1, 1)), 0);
    CU_ASSERT_EQUAL(*word_of(1, q), BIT(EVTCHN_FIFO_MASKED) | BIT(EVTCHN_FIFO_PENDING));
    CU_ASSERT_EQUAL(unmask(1, q), 0);
    CU_ASSERT_EQUAL(run_queues(1, 1), 1);
    EXPECT_ORDER(q);
    teardown();
}

static void test_a_linked_event_stays_in_its_queue_and_the_next_goes_to_the_new_one(void)
{
    setup();
    fifo_on(1);
    connect(4);
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(send(0, from[1]), 0);
    CU_ASSERT_EQUAL(bind_vcpu(1, to[1], 1), 0); /* the tail moves, with its event where it was */
    CU_ASSERT_EQUAL(set_priority(1, to[1], 3), 0);
    CU_ASSERT_EQUAL(send(0, from[1]), 0);
    CU_ASSERT_EQUAL(send(0, from[2]), 0); /* goes behind it nevertheless */
    CU_ASSERT_EQUAL(block_of(1, 1)->ready, 0);
    CU_ASSERT_EQUAL(run_queues(1, 0), 3);
    EXPECT_ORDER(to[0], to[1], to[2]);
    CU_ASSERT_EQUAL(set_priority(1, to[2], 3), 0);
    CU_ASSERT_EQUAL(bind_vcpu(1, to[2], 1), 0);
    CU_ASSERT_EQUAL(send(0, from[1]), 0);
    CU_ASSERT_EQUAL(send(0, from[2]), 0); /* vCPU 0's tail is linked again, but not there */
    CU_ASSERT_EQUAL(send(0, from[3]), 0);
    CU_ASSERT_EQUAL(*word_of(1, to[2]), BIT(31) | BIT(29));
    CU_ASSERT_EQUAL(run_queues(1, 0), 1);
    EXPECT_ORDER(to[3]);
    CU_ASSERT_EQUAL(block_of(1, 1)->ready, BIT(3));
    CU_ASSERT_EQUAL(run_queues(1, 1), 2);
    EXPECT_ORDER(to[1], to[2]);
    /* and back, as the tail of both */
    CU_ASSERT_EQUAL(bind_vcpu(1, to[2], 0), 0);
    CU_ASSERT_EQUAL(set_priority(1, to[2], 7), 0);
    CU_ASSERT_EQUAL(send(0, from[2]), 0);
    CU_ASSERT_EQUAL(send(0, from[1]), 0);
    CU_ASSERT_EQUAL(run_queues(1, 0), 1);
    CU_ASSERT_EQUAL(run_queues(1, 1), 1);
    EXPECT_ORDER(to[2], to[1]);
    teardown();
}

/* XSA-107 */
static void test_a_vcpu_without_control_block_has_no_queues(void)
{
    setup();
    CU_ASSERT_EQUAL(init_control(1, 0), 0);
    CU_ASSERT_EQUAL(expand_array(1, page_of(1, 0)), 0);
    memset(heads[1], 0, sizeof(heads[1]));
    connect(1);
    CU_ASSERT_EQUAL(bind_vcpu(1, to[0], 1), 0);
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(*word_of(1, to[0]), BIT(EVTCHN_FIFO_PENDING));
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    CU_ASSERT_EQUAL(init_control(1, 1), 0);
    CU_ASSERT_EQUAL(unmask(1, to[0]), 0);
    CU_ASSERT_EQUAL(run_queues(1, 1), 1);
    EXPECT_ORDER(to[0]);
    teardown();
}

static void test_a_number_is_not_used_again_while_it_is_in_a_queue(void)
{
    evtchn_port_t p, q;

    setup();
    fifo_on(1);
    connect(2);
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(send(0, from[1]), 0);
    CU_ASSERT_EQUAL(close_port(1, to[0]), 0);
    CU_ASSERT_EQUAL(*word_of(1, to[0]) & BIT(EVTCHN_FIFO_PENDING), 0);
    CU_ASSERT(fifo_test(dom[1], to[0], EVTCHN_FIFO_LINKED));
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(p, 3);
    CU_ASSERT_EQUAL(run_queues(1, 0), 2);
    CU_ASSERT_EQUAL(handled[1][to[0]], 0);
    EXPECT_ORDER(to[0], to[1]);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(p, to[0]);
    /* a guest that never takes them off runs out of numbers, in bounded time */
    dom[1]->max_evtchn_port = 30;
    while (bind_ipi(1, 0, &p) == 0)
        *word_of(1, p) = BIT(EVTCHN_FIFO_LINKED);
    for (p = 4; p <= 30; p++)
        CU_ASSERT_EQUAL(close_port(1, p), 0);
    for (unsigned int i = 0; i < 10; i++)
        CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    *word_of(1, 17) = 0;
    for (unsigned int i = 0; i < 4; i++)
        if (bind_ipi(1, 0, &q) == 0)
            p = q;
    CU_ASSERT_EQUAL(p, 17);
    teardown();
}

static long poll(int who, evtchn_port_t port)
{
    struct sched_poll op = { .nr_ports = 1 };

    set_xen_guest_handle(op.ports, &port);
    fake_current(dom[who]->vcpu[0]);
    fake_guest_unmap_all();
    fake_guest_map(&op, sizeof(op), FAKE_READ_ONLY);
    fake_guest_map(&port, sizeof(port), FAKE_READ_ONLY);
    return evtchn_poll(fake_va(&op));
}

static void test_poll_sees_words(void)
{
    struct vcpu *v;

    setup();
    v = dom[1]->vcpu[0];
    connect(2);
    CU_ASSERT_EQUAL(poll(1, EVTCHN_2L_NR_CHANNELS), -EINVAL);
    fifo_on(1);
    memset(dom[1]->shared_info->evtchn_pending, 0xff, sizeof(dom[1]->shared_info->evtchn_pending));
    *word_of(1, to[0]) = *word_of(1, to[1]) = BIT(EVTCHN_FIFO_MASKED);
    CU_ASSERT_EQUAL(poll(1, to[0]), 0);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_BLOCKED | VPF_POLL);
    fake_current(dom[0]->vcpu[0]);
    CU_ASSERT_EQUAL(send(0, from[1]), 0);
    CU_ASSERT(v->pause_flags & VPF_POLL); /* not what it waits for */
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    CU_ASSERT_EQUAL(poll(1, to[0]), 0); /* at once */
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    CU_ASSERT_EQUAL(poll(1, EVTCHN_FIFO_NR_CHANNELS - 1), 0); /* has no word yet */
    CU_ASSERT_EQUAL(v->pause_flags, VPF_BLOCKED | VPF_POLL);
    vcpu_unblock(v);
    CU_ASSERT_EQUAL(poll(1, EVTCHN_FIFO_NR_CHANNELS), -EINVAL);
    CU_ASSERT_EQUAL(poll(1, ~0u), -EINVAL);
    dom[1]->max_evtchn_port = 99;
    CU_ASSERT_EQUAL(poll(1, 100), -EINVAL);
    teardown();
}

/* ---- numbers ---- */

static void test_ports_up_to_the_abis_limit_and_closing_them_is_preempted(void)
{
    struct evtchn_status st;
    unsigned int stops = 0;
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(dom[1]->evtchn->nr_ports, PORTS_PER_BUCKET);
    CU_ASSERT_EQUAL(init_control(1, 0), 0);
    for (evtchn_port_t i = 1; i < EVTCHN_FIFO_NR_CHANNELS; i++) {
        CU_ASSERT_EQUAL_FATAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
        CU_ASSERT_EQUAL_FATAL(p, i);
        if (i < PORTS_PER_BUCKET)
            CU_ASSERT_EQUAL(dom[1]->evtchn->nr_ports, PORTS_PER_BUCKET);
    }
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    CU_ASSERT_EQUAL(status(1, 1, 131071, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_unbound);
    CU_ASSERT_EQUAL(status(1, 1, 131072, &st), -EINVAL);
    CU_ASSERT_EQUAL(close_port(1, 99999), 0);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(p, 99999);
    CU_ASSERT_EQUAL(send(1, p), 0);
    fake_preempt_every = 1;
    while (reset(1, DOMID_SELF) == -ERESTART)
        stops++;
    CU_ASSERT(stops >= 131071 / 128);
    CU_ASSERT(stops <= 131071 / 16 + 1); /* each goes on where the last one stopped */
    fake_preempt_every = 0;
    /* XSA-317, XSA-338: by the two-level ABI these are no ports, whatever they were */
    CU_ASSERT_EQUAL(status(1, 1, 4096, &st), -EINVAL);
    CU_ASSERT_EQUAL(send(1, 99999), -EINVAL);
    CU_ASSERT_EQUAL(unmask(1, 4096), -EINVAL);
    CU_ASSERT_EQUAL(close_port(1, 99999), -EINVAL);
    CU_ASSERT_EQUAL(bind_vcpu(1, 99999, 0), -EINVAL);
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
    CU_ASSERT_EQUAL(p, 1);
    teardown();
}

static void test_the_domains_own_limit_counts(void)
{
    struct evtchn_status st;
    evtchn_port_t p;

    setup();
    dom[1]->max_evtchn_port = 1023;
    for (unsigned int i = 1; i <= 1023; i++)
        CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), 0);
    CU_ASSERT_EQUAL(p, 1023);
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(alloc_unbound(0, 1, 0, &p), -ENOSPC); /* also for others */
    fifo_on(1);
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(status(1, 1, 1023, &st), 0);
    CU_ASSERT_EQUAL(status(1, 1, 1024, &st), -EINVAL);
    CU_ASSERT_EQUAL(dom[1]->evtchn->nr_ports, 1024);
    teardown();
}

static void test_storage_that_cannot_be_had(void)
{
    evtchn_port_t p, last = 0;

    setup();
    while (last < PORTS_PER_BUCKET - 1)
        CU_ASSERT_EQUAL_FATAL(bind_ipi(1, 0, &last), 0);
    fake_fail_alloc(1);
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), -ENOMEM);
    CU_ASSERT_EQUAL(p, 77);
    fake_fail_alloc(1);
    CU_ASSERT_EQUAL(alloc_unbound(0, 1, 0, &p), -ENOMEM);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    fake_fail_alloc(0);
    CU_ASSERT_EQUAL(close_port(1, 7), 0);
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), 0);
    CU_ASSERT_EQUAL(p, 7);
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), 0);
    CU_ASSERT_EQUAL(p, PORTS_PER_BUCKET);
    teardown();
}

/* ---- death, of two that share ports ---- */

/*
 * Both have either ABI; half of the ports were made by either; some were closed at either end before.
 * They die one after the other, or in turns; or one only, and is born again under its id.
 */
static void share_and_die(bool fifo_a, bool fifo_b, int first, int how)
{
    enum { NR_SHARED = 40 };
    evtchn_port_t p[2][NR_SHARED]; /* ends in dom[1] and dom[2] */
    struct domain *a, *b;
    int second = 3 - first, rc[2];

    setup();
    if (fifo_a)
        fifo_on(1);
    if (fifo_b)
        fifo_on(2);
    for (unsigned int i = 0; i < NR_SHARED; i++) {
        int maker = i & 1 ? 1 : 2, other = 3 - maker;

        CU_ASSERT_EQUAL(alloc_unbound(i & 2 ? 0 : maker, (domid_t)maker, (domid_t)other,
                                      &p[maker - 1][i]),
                        0);
        CU_ASSERT_EQUAL(bind_interdomain(other, (domid_t)maker, p[maker - 1][i], &p[other - 1][i]),
                        0);
        CU_ASSERT_EQUAL(send(1, p[0][i]), 0);
        CU_ASSERT_EQUAL(send(2, p[1][i]), 0);
    }
    CU_ASSERT_EQUAL(close_port(first, p[first - 1][3]), 0);
    CU_ASSERT_EQUAL(close_port(second, p[second - 1][4]), 0);
    a = dom[first];
    b = dom[second];
    a->is_dying = true;
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(evtchn_domain_relinquish(a), -ERESTART);
    /* one half of the ends is gone, the other half is as ever */
    CU_ASSERT_EQUAL(ports_in_state(second, ECS_UNBOUND), 1 + 14);
    CU_ASSERT_EQUAL(send(second, p[second - 1][0]), 0);
    CU_ASSERT_EQUAL(send(second, p[second - 1][NR_SHARED - 1]), 0);
    CU_ASSERT_EQUAL(bind_interdomain(second, (domid_t)first, p[first - 1][4],
                                     &(evtchn_port_t){ 0 }),
                    -EINVAL); /* gone */
    CU_ASSERT_EQUAL(alloc_unbound(0, (domid_t)first, 0, &(evtchn_port_t){ 0 }), -EINVAL);
    CU_ASSERT_EQUAL(close_port(second, p[second - 1][NR_SHARED - 1]), 0);
    CU_ASSERT_EQUAL(close_port(second, p[second - 1][1]), 0);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    if (how == 1)
        b->is_dying = true;
    do {
        rc[0] = evtchn_domain_relinquish(a);
        rc[1] = b->is_dying ? evtchn_domain_relinquish(b) : 0;
        CU_ASSERT_EQUAL(evtchn_audit(), 0);
    } while (rc[0] || rc[1]);
    fake_preempt_every = 0;
    CU_ASSERT(ports_in_use(first) == 0 && a->evtchn->fifo == NULL && a->nr_event_frames == 0);
    CU_ASSERT_EQUAL(ports_in_state(second, ECS_INTERDOMAIN), 0);
    CU_ASSERT_EQUAL(ports_in_state(second, ECS_UNBOUND), b->is_dying ? 0 : NR_SHARED - 3);
    if (how == 2) { /* the same id, another domain */
        struct evtchn_status st;

        evtchn_domain_destroy(a);
        fake_domain_free(a);
        a = dom[first] = fake_domain((domid_t)first, NR_VCPUS);
        a->max_evtchn_port = ~0u;
        CU_ASSERT_EQUAL(evtchn_domain_create(a), 0);
        domain_list = NULL;
        for (int i = NR_DOMS; i-- > 0; domain_list = dom[i])
            dom[i]->next = domain_list;
        for (unsigned int i = 5; i < NR_SHARED - 1; i++) {
            evtchn_port_t end = p[second - 1][i], new;

            CU_ASSERT(port_test(b, end, EVTCHN_FIFO_PENDING)); /* what it was told before it died */
            CU_ASSERT_EQUAL(status(0, (domid_t)second, end, &st), 0);
            CU_ASSERT(st.status == EVTCHNSTAT_unbound && st.u.unbound.dom == first);
            CU_ASSERT_EQUAL(bind_interdomain(0, (domid_t)second, end, &new), -EINVAL);
            CU_ASSERT_EQUAL(bind_interdomain(first, (domid_t)second, end, &new), 0);
            CU_ASSERT_EQUAL(send(second, end), 0);
            CU_ASSERT(pending(first, new));
        }
    } else if (how == 3) { /* nobody binds again */
        for (unsigned int i = 5; i < NR_SHARED - 1; i++)
            CU_ASSERT_EQUAL(close_port(second, p[second - 1][i]), 0);
    }
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    b->is_dying = true;
    CU_ASSERT_EQUAL(evtchn_domain_relinquish(b), 0);
    CU_ASSERT_EQUAL(pages_held(), 0);
    CU_ASSERT_EQUAL(ports_in_use(second), 0);
    teardown();
}

static void test_two_domains_that_share_ports_die_in_any_order(void)
{
    for (int i = 0; i < 32; i++)
        share_and_die(i & 1, i & 2, i & 4 ? 1 : 2, i >> 3);
}

/* ---- the audit ---- */

static void test_the_audit_finds_what_is_broken(void)
{
    struct evtchn_domain *ed;

    setup();
    fifo_on(1);
    connect(3);
    ed = dom[1]->evtchn;
    CU_ASSERT_EQUAL(send(0, from[0]), 0);
    CU_ASSERT_EQUAL(close_port(1, to[1]), 0);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    evtchn_print();
    ed->nr_used++;
    CU_ASSERT_EQUAL(evtchn_audit(), 1);
    ed->nr_used--;
    ed->closed_first = 0;
    CU_ASSERT_EQUAL(evtchn_audit(), 1);
    ed->closed_first = to[0];
    CU_ASSERT_EQUAL(evtchn_audit(), 1);
    ed->closed_first = to[1];
    dom[1]->nr_event_frames--;
    CU_ASSERT_EQUAL(evtchn_audit(), 1);
    dom[1]->nr_event_frames++;
    dom[0]->nr_event_frames++;
    CU_ASSERT_EQUAL(evtchn_audit(), 1);
    dom[0]->nr_event_frames--;
    teardown();
}

/* ---- a guest that scribbles ---- */

static uint32_t rnd_state = 1;
static uint32_t rnd(uint32_t n)
{
    rnd_state = rnd_state * 1664525u + 1013904223u;
    return (rnd_state >> 8) % n;
}

static void test_scribbling_guests_hurt_only_themselves(void)
{
    static const uint32_t bits[] = { BIT(31), BIT(30), BIT(29), BIT(28), 0x1ffff, 1, 0x0ffe0000 };
    evtchn_port_t p;

    for (unsigned int round = 0; round < 50; round++) {
        setup();
        fifo_on(1);
        connect(20);
        fake_fail_alloc(0);
        for (unsigned int i = 0; i < 2000; i++) {
            p = to[rnd(20)];
            switch (rnd(10)) {
            case 0: *word_of(1, p) ^= bits[rnd(ARRAY_SIZE(bits))]; break;
            case 1: *word_of(1, p) = rnd(1u << 24) << 8; break;
            case 2: block_of(1, rnd(2))->head[rnd(16)] = rnd(1u << 24); break;
            case 3: block_of(1, rnd(2))->ready = rnd(1u << 16); break;
            case 4: bind_vcpu(1, p, rnd(2)); break;
            case 5: set_priority(1, p, rnd(16)); break;
            case 6: unmask(1, rnd(2000)); break;
            case 7:
                if (rnd(4) == 0 && close_port(1, p) == 0)
                    bind_ipi(1, rnd(2), &p);
                break;
            default: send(0, from[rnd(20)]); break;
            }
        }
        CU_ASSERT_EQUAL(evtchn_audit(), 0);
        CU_ASSERT_EQUAL(reset(1, DOMID_SELF), 0);
        CU_ASSERT_EQUAL(pages_held(), 0);
        teardown();
    }
}

/* ---- all at once ---- */

#define NR_TOLD 24u
static _Atomic unsigned int told[NR_TOLD], seen[NR_TOLD];
static _Atomic bool over;
static struct {
    evtchn_port_t port;
    struct evtchn_bind_vcpu move;
    struct evtchn_set_priority priority;
} args[4]; /* of each thread, as guest memory */

static long thread_call(unsigned int cmd, const void *arg)
{
    return hc_event_channel_op(cmd, (uintptr_t)arg, 0, 0, 0);
}

/* dom[0]'s vCPUs tell dom[1]. */
static void *sender(void *arg)
{
    unsigned int me = (unsigned int)(uintptr_t)arg, seed = me + 1;

    fake_cpu(me);
    fake_current(dom[0]->vcpu[me]);
    fake_irqs_on = true;
    for (unsigned int i = 0; i < 150000; i++) {
        unsigned int n = (unsigned int)rand_r(&seed) % NR_TOLD;

        atomic_fetch_add(&told[n], 1);
        args[me].port = from[n];
        CU_ASSERT_EQUAL_FATAL(thread_call(EVTCHNOP_send, &args[me].port), 0);
    }
    return NULL;
}

static void see(unsigned int vcpu)
{
    struct evtchn_fifo_control_block *block = block_of(1, vcpu);
    uint32_t ready = __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);

    while (ready) {
        unsigned int q = (unsigned int)__builtin_ctz(ready), now;
        evtchn_port_t port = take_off(1, vcpu, q);
        event_word_t w;

        if (heads[1][vcpu][q] == 0)
            ready &= ~BIT(q);
        w = port ? __atomic_load_n(word_of(1, port), __ATOMIC_SEQ_CST) : 0;
        if ((w & BIT(EVTCHN_FIFO_PENDING)) && !(w & BIT(EVTCHN_FIFO_MASKED))) {
            __atomic_fetch_and(word_of(1, port), ~BIT(EVTCHN_FIFO_PENDING), __ATOMIC_SEQ_CST);
            now = atomic_load(&told[port - to[0]]);
            while (atomic_load(&seen[port - to[0]]) < now)
                atomic_store(&seen[port - to[0]], now);
        }
        ready |= __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
    }
}

/* dom[1]'s vCPUs see what they were told, and move, mask and unmask ports meanwhile. */
static void *receiver(void *arg)
{
    unsigned int vcpu = (unsigned int)(uintptr_t)arg, me = 2 + vcpu, seed = me + 1;

    fake_cpu(me);
    fake_current(dom[1]->vcpu[vcpu]);
    fake_irqs_on = true;
    while (!atomic_load(&over)) {
        evtchn_port_t port = to[(unsigned int)rand_r(&seed) % NR_TOLD];

        switch (rand_r(&seed) % 8) {
        case 0:
            args[me].move = (struct evtchn_bind_vcpu){ port, (uint32_t)rand_r(&seed) % 2 };
            CU_ASSERT_EQUAL_FATAL(thread_call(EVTCHNOP_bind_vcpu, &args[me].move), 0);
            break;
        case 1:
            args[me].priority = (struct evtchn_set_priority){ port, (uint32_t)rand_r(&seed) % 3 };
            CU_ASSERT_EQUAL_FATAL(thread_call(EVTCHNOP_set_priority, &args[me].priority), 0);
            break;
        case 2:
            __atomic_fetch_or(word_of(1, port), BIT(EVTCHN_FIFO_MASKED), __ATOMIC_SEQ_CST);
            see(vcpu);
            args[me].port = port;
            CU_ASSERT_EQUAL_FATAL(thread_call(EVTCHNOP_unmask, &args[me].port), 0);
            break;
        default: see(vcpu); break;
        }
    }
    return NULL;
}

static void test_nothing_is_lost_when_all_happens_at_once(void)
{
    pthread_t t[4];

    setup();
    fake_reset(4);
    fifo_on(1);
    connect(NR_TOLD);
    CU_ASSERT_EQUAL_FATAL(to[NR_TOLD - 1] - to[0], NR_TOLD - 1);
    for (unsigned int i = 0; i < NR_TOLD; i++)
        told[i] = seen[i] = 0;
    fake_guest_unmap_all();
    fake_guest_map(args, sizeof(args), FAKE_READ_WRITE);
    over = false;
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, i < 2 ? sender : receiver, (void *)(i % 2));
    for (unsigned int i = 0; i < 4; i++) {
        if (i == 2)
            over = true;
        pthread_join(t[i], NULL);
    }
    for (unsigned int i = 0; i < NR_TOLD; i++) /* whoever masked a port has unmasked it */
        CU_ASSERT_EQUAL(*word_of(1, to[i]) & BIT(EVTCHN_FIFO_MASKED), 0);
    see(0);
    see(1);
    for (unsigned int i = 0; i < NR_TOLD; i++)
        CU_ASSERT_EQUAL(seen[i], told[i]);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    teardown();
}

int main(void)
{
    static CU_TestInfo tests[] = {
#define T(name) { #name, name }
        T(test_init_control_checks_all_and_keeps_nothing_it_refused),
        T(test_expand_array_takes_128_pages),
        T(test_set_priority_needs_a_port_a_queue_and_fifo),
        T(test_events_come_in_the_order_in_which_they_were_sent),
        T(test_all_sources_deliver),
        T(test_priorities_have_queues_of_their_own),
        T(test_masked_events_wait_for_unmask),
        T(test_events_before_there_is_a_word_come_with_it),
        T(test_a_linked_event_stays_in_its_queue_and_the_next_goes_to_the_new_one),
        T(test_a_vcpu_without_control_block_has_no_queues),
        T(test_a_number_is_not_used_again_while_it_is_in_a_queue),
        T(test_poll_sees_words),
        T(test_ports_up_to_the_abis_limit_and_closing_them_is_preempted),
        T(test_the_domains_own_limit_counts),
        T(test_storage_that_cannot_be_had),
        T(test_two_domains_that_share_ports_die_in_any_order),
        T(test_the_audit_finds_what_is_broken),
        T(test_scribbling_guests_hurt_only_themselves),
        T(test_nothing_is_lost_when_all_happens_at_once),
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { "evtchn_fifo", NULL, NULL, NULL, NULL, tests },
                              CU_SUITE_INFO_NULL };
    unsigned int failed;

    CU_initialize_registry();
    CU_register_suites(suites);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
