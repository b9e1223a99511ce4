/* The guest's side of FIFO event channels, as <xen/event_channel.h> and the ABI's design have it. */
#pragma once
#include "guest.h"

#define WORDS_PER_PAGE 1024u
#define NR_QUEUES EVTCHN_FIFO_MAX_QUEUES
#define BIT32(n) (1u << (n))
#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_SEQ_CST)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_SEQ_CST)
#define ADD(x, n) __atomic_fetch_add(&(x), n, __ATOMIC_SEQ_CST)

static event_word_t *word_pages[128];
static unsigned int nr_word_pages;
static struct evtchn_fifo_control_block *blocks[MAX_VCPUS];
static uint32_t heads[MAX_VCPUS][NR_QUEUES];
static void (*fifo_event)(unsigned int vcpu, evtchn_port_t port); /* pending and not masked */

static inline event_word_t *word_of(evtchn_port_t port)
{
    return &word_pages[port / WORDS_PER_PAGE][port % WORDS_PER_PAGE];
}
static inline bool word_test(evtchn_port_t port, unsigned int bit)
{
    return LOAD(*word_of(port)) >> bit & 1;
}
static inline void word_set(evtchn_port_t port, unsigned int bit)
{
    __atomic_fetch_or(word_of(port), BIT32(bit), __ATOMIC_SEQ_CST);
}
static inline void word_clear(evtchn_port_t port, unsigned int bit)
{
    __atomic_fetch_and(word_of(port), ~BIT32(bit), __ATOMIC_SEQ_CST);
}

static inline long init_control(unsigned int vcpu, uint64_t mfn, uint32_t offset,
                                uint8_t *link_bits)
{
    struct evtchn_init_control op = { .control_gfn = mfn, .offset = offset, .vcpu = vcpu };
    long rc = hc(event_channel_op, EVTCHNOP_init_control, &op);

    *link_bits = op.link_bits;
    return rc;
}
static inline long expand_array(uint64_t mfn)
{
    struct evtchn_expand_array op = { .array_gfn = mfn };

    return hc(event_channel_op, EVTCHNOP_expand_array, &op);
}
static inline long set_priority(evtchn_port_t port, uint32_t priority)
{
    struct evtchn_set_priority op = { .port = port, .priority = priority };

    return hc(event_channel_op, EVTCHNOP_set_priority, &op);
}
static inline long fifo_reset(void)
{
    struct evtchn_reset op = { .dom = DOMID_SELF };

    return hc(event_channel_op, EVTCHNOP_reset, &op);
}

/* All words unmasked, unlike Linux's: sources are pending from the first event on. */
static inline void add_words(void)
{
    unsigned int i = nr_word_pages;

    word_pages[i] = word_pages[i] ? word_pages[i] : page_alloc();
    memset(word_pages[i], 0, PAGE_SIZE);
    CHECK_EQ(expand_array(virt_to_mfn(word_pages[i])), 0);
    nr_word_pages = i + 1;
}

/* Another FIFO: blocks of vCPUs 0..n - 1, and a page of words. */
static inline void fifo_on(unsigned int n)
{
    uint8_t bits;

    for (unsigned int v = 0; v < n; v++) {
        blocks[v] = blocks[v] ? blocks[v] : page_alloc();
        memset(blocks[v], 0, PAGE_SIZE);
        memset(heads[v], 0, sizeof(heads[v]));
        CHECK_EQ(init_control(v, virt_to_mfn(blocks[v]), 0, &bits), 0);
        CHECK_EQ(bits, EVTCHN_FIFO_LINK_BITS);
    }
    nr_word_pages = 0;
    add_words();
}

/* What an upcall of vcpu does. */
static inline void fifo_handle(unsigned int vcpu)
{
    struct evtchn_fifo_control_block *block = blocks[vcpu];
    uint32_t ready, q, w;
    evtchn_port_t port;

    vcpu_info(vcpu)->evtchn_upcall_pending = 0;
    ready = __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
    while (ready) {
        q = (uint32_t)__builtin_ctz(ready);
        port = heads[vcpu][q] ? heads[vcpu][q] : LOAD(block->head[q]);
        /* taking it off is one step: who appends sees it linked, or not */
        w = LOAD(*word_of(port));
        while (!__atomic_compare_exchange_n(word_of(port), &w,
                                            w & ~(BIT32(EVTCHN_FIFO_LINKED) |
                                                  EVTCHN_FIFO_LINK_MASK),
                                            false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            ;
        heads[vcpu][q] = w & EVTCHN_FIFO_LINK_MASK;
        if (heads[vcpu][q] == 0)
            ready &= ~BIT32(q);
        w = LOAD(*word_of(port));
        if ((w & BIT32(EVTCHN_FIFO_PENDING)) && !(w & BIT32(EVTCHN_FIFO_MASKED))) {
            word_clear(port, EVTCHN_FIFO_PENDING);
            fifo_event(vcpu, port);
        }
        ready |= __atomic_exchange_n(&block->ready, 0, __ATOMIC_SEQ_CST);
    }
}
