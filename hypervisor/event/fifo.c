/*
 * Delivery of events, FIFO ABI. Each port has a word in pages that the guest named, each vCPU a
 * control block with a queue for each priority. An event that is neither masked nor in a queue is put
 * at the end of one: its word becomes LINKED, and either the word before it gets its number as link
 * or, when the guest has taken that one off already, the queue's head; then the queue is ready.
 *
 * All this lies in memory that the guest writes as well. The guest takes a word off by clearing
 * LINKED and link at once. So:
 *  - What is read there decides about "linked or not" and nothing else; no queue is walked here, the
 *    tails are ours. A guest that scribbles over it loses its own events.
 *  - Each step is one locked instruction. The link is added to the tail's word, where there is none;
 *    the same instruction says whether the guest has been faster. The ABI's BUSY, by which the guest
 *    is asked to stand back from a loop, is not needed.
 *  - A port stays in its queue until the guest takes it off, whatever vCPU and priority it has got
 *    meanwhile. When it has been put in another since, it is the tail of the old one no more.
 *
 * Pages and blocks come under both event_lock and fifo_lock; all go at once, under the event_lock, when
 * no port is in use, so that nobody can be delivering.
 */
#include "event/internal.h"

#include "memory/heap.h"
#include "paging/paging.h"

#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(event_word_t))
#define NR_ARRAY_PAGES (EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE)

struct fifo {
    event_word_t *array[NR_ARRAY_PAGES];
    uint32_t nr_pages, nr_frames;
    mfn_t
        frames[NR_ARRAY_PAGES + MAX_VCPUS]; /* behind the pages and blocks, each with a reference */
    struct fifo_vcpu {
        struct evtchn_fifo_control_block *block;    /* NULL: none yet */
        evtchn_port_t tail[EVTCHN_FIFO_MAX_QUEUES]; /* 0: never used */
    } vcpu[];
};

static size_t fifo_bytes(const struct domain *d)
{
    return sizeof(struct fifo) + d->max_vcpus * sizeof(struct fifo_vcpu);
}

static event_word_t *fifo_word(const struct fifo *f, uint64_t port)
{
    event_word_t *page;

    port = array_index_nospec(port, EVTCHN_FIFO_NR_CHANNELS);
    page = f->array[port / WORDS_PER_PAGE];
    return page ? page + port % WORDS_PER_PAGE : NULL;
}

/* ---- delivery ---- */

/* Let the tail's word name the one behind it. False: the guest has taken the tail off. */
static bool word_append(struct domain *d, event_word_t *tail, evtchn_port_t port)
{
    page_mark_dirty(d, virt_to_mfn(tail));
    if (__atomic_fetch_add(tail, port, __ATOMIC_SEQ_CST) & 1u << EVTCHN_FIFO_LINKED)
        return true;
    __atomic_fetch_and(tail, ~(event_word_t)EVTCHN_FIFO_LINK_MASK, __ATOMIC_SEQ_CST);
    return false;
}

/* The event is pending: queue it. The vCPU that is to be told, or NULL. With fifo_lock. */
static struct vcpu *link_locked(struct domain *d, evtchn_port_t port, event_word_t *word)
{
    struct evtchn *chn = evtchn_at(d, port), *before;
    uint32_t id = READ_ONCE(chn->vcpu), priority = chn->priority;
    struct fifo_vcpu *fv = &d->evtchn->fifo->vcpu[id];
    struct evtchn_fifo_control_block *block = fv->block;
    evtchn_port_t tail = fv->tail[priority];

    if (block == NULL || (READ_ONCE(*word) & 1u << EVTCHN_FIFO_MASKED) ||
        word_test_and_set(word, EVTCHN_FIFO_LINKED))
        return NULL;
    before = evtchn_at(d, tail);
    fv->tail[priority] = port;
    if (tail && tail != port && before->last_vcpu == id && before->last_priority == priority &&
        word_append(d, fifo_word(d->evtchn->fifo, tail), port))
        block = NULL;
    chn->last_vcpu = id;
    chn->last_priority = priority;
    if (block == NULL)
        return NULL;
    page_mark_dirty(d, virt_to_mfn(block));
    WRITE_ONCE(block->head[priority], port);
    return word_test_and_set(&block->ready, priority) ? NULL : d->vcpu[id];
}

void fifo_set_pending(struct domain *d, evtchn_port_t port)
{
    struct evtchn_domain *ed = d->evtchn;
    event_word_t *word;
    struct vcpu *v = NULL;
    bool was = true;

    spin_lock(&ed->fifo_lock);
    word = fifo_word(ed->fifo, port);
    if (word) {
        page_mark_dirty(d, virt_to_mfn(word));
        was = word_test_and_set(word, EVTCHN_FIFO_PENDING);
        v = link_locked(d, port, word);
    } else {
        evtchn_at(d, port)->missed = true;
    }
    spin_unlock(&ed->fifo_lock);
    if (!was && unlikely(atomic_load(&ed->pollers)))
        wake_pollers(d, port);
    if (v)
        vcpu_mark_events_pending(v);
}

bool fifo_test(const struct domain *d, evtchn_port_t port, unsigned int bit)
{
    const event_word_t *word = fifo_word(d->evtchn->fifo, port);

    return word ? READ_ONCE(*word) >> bit & 1 : bit == EVTCHN_FIFO_MASKED;
}

long fifo_unmask(struct domain *d, evtchn_port_t port)
{
    event_word_t *word = fifo_word(d->evtchn->fifo, port);
    struct vcpu *v;

    if (port >= EVTCHN_FIFO_NR_CHANNELS)
        return -EINVAL;
    if (word == NULL)
        return 0;
    page_mark_dirty(d, virt_to_mfn(word));
    word_test_and_clear(word, EVTCHN_FIFO_MASKED);
    if (!(READ_ONCE(*word) & 1u << EVTCHN_FIFO_PENDING) || evtchn_find(d, port)->state == ECS_FREE)
        return 0;
    spin_lock(&d->evtchn->fifo_lock);
    v = link_locked(d, port, word);
    spin_unlock(&d->evtchn->fifo_lock);
    if (v)
        vcpu_mark_events_pending(v);
    return 0;
}

void fifo_port_reset(struct domain *d, evtchn_port_t port)
{
    struct evtchn *chn = evtchn_find(d, port);
    event_word_t *word = d->evtchn->fifo ? fifo_word(d->evtchn->fifo, port) : NULL;

    spin_lock(&d->evtchn->fifo_lock);
    chn->priority = EVTCHN_FIFO_PRIORITY_DEFAULT;
    chn->missed = false;
    if (word)
        word_test_and_clear(word, EVTCHN_FIFO_PENDING);
    spin_unlock(&d->evtchn->fifo_lock);
}

bool fifo_ok(const struct domain *d)
{
    const struct fifo *f = d->evtchn->fifo;
    bool ok = f->nr_frames == d->nr_event_frames && d->event_frames == f->frames;

    for (uint32_t id = 0; id < d->max_vcpus; id++)
        for (unsigned int q = 0; q < EVTCHN_FIFO_MAX_QUEUES; q++)
            ok &= f->vcpu[id].tail[q] < d->evtchn->fresh &&
                  (f->vcpu[id].tail[q] == 0 || f->vcpu[id].block);
    return ok;
}

/* ---- setting up ---- */

static void hold_frame(struct domain *d, struct fifo *f, mfn_t m)
{
    f->frames[f->nr_frames++] = m;
    d->nr_event_frames = f->nr_frames;
}

/* From now on events come this way; what is pending the other way is kept till it has a word. */
static void fifo_begin_locked(struct domain *d, struct fifo *f)
{
    d->event_frames = f->frames;
    __atomic_store_n(&d->evtchn->fifo, f, __ATOMIC_SEQ_CST);
    for (evtchn_port_t port = 1; port < MIN(d->evtchn->fresh, EVTCHN_2L_NR_CHANNELS); port++)
        if (shared_test(d->shared_info->evtchn_pending, port) &&
            evtchn_find(d, port)->state != ECS_FREE)
            evtchn_find(d, port)->missed = true;
}

/* vCPU id's control block is in frame m from now on, *f used if it is the first. */
static int control_set(struct domain *d, uint32_t id, mfn_t m, uint32_t offset, struct fifo **f)
{
    unsigned long flags = spin_lock_irqsave(&d->event_lock);
    struct evtchn_domain *ed = d->evtchn;
    int rc = ed->fifo && ed->fifo->vcpu[id].block ? -EINVAL : 0;

    if (rc == 0) {
        spin_lock(&ed->fifo_lock);
        if (ed->fifo == NULL) {
            fifo_begin_locked(d, *f);
            *f = NULL;
        }
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): begun above, if it was not */
        ed->fifo->vcpu[id].block = (void *)((char *)mfn_to_virt(m) + offset);
        hold_frame(d, ed->fifo, m);
        spin_unlock(&ed->fifo_lock);
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    return rc;
}

long op_init_control(struct request *r)
{
    const struct evtchn_init_control *op = &r->u.init_control;
    struct domain *d = r->d;
    mfn_t m = gfn_to_mfn(d, _gfn(op->control_gfn));
    struct vcpu *v = domain_vcpu(d, op->vcpu);
    uint8_t link_bits = EVTCHN_FIFO_LINK_BITS;
    struct fifo *f;
    long rc;

    if (v == NULL)
        return -ENOENT;
    if (op->offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) ||
        op->offset % sizeof(uint64_t) || !page_get_writable(d, m))
        return -EINVAL;
    f = xmalloc_pages(fifo_bytes(d)); /* whether it is the first is only known under the lock */
    rc = f ? copy_to_guest(_gva(gva_x(r->arg) + offsetof(struct evtchn_init_control, link_bits)),
                           &link_bits, sizeof(link_bits))
           : -ENOMEM;
    rc = rc ?: control_set(d, v->vcpu_id, m, op->offset, &f);
    xfree_pages(f, fifo_bytes(d));
    if (rc)
        page_put_writable(m);
    return rc;
}

long op_expand_array(struct request *r)
{
    struct domain *d = r->d;
    mfn_t m = gfn_to_mfn(d, _gfn(r->u.expand_array.array_gfn));
    struct evtchn_domain *ed = d->evtchn;
    evtchn_port_t first = 0;
    unsigned long flags;
    int rc = 0;

    if (READ_ONCE(ed->fifo) == NULL)
        return -EOPNOTSUPP;
    if (!page_get_writable(d, m))
        return -EINVAL;
    flags = spin_lock_irqsave(&d->event_lock);
    if (ed->fifo == NULL) { /* reset meanwhile */
        rc = -EOPNOTSUPP;
    } else if (ed->fifo->nr_pages == NR_ARRAY_PAGES) {
        rc = -ENOSPC;
    } else {
        spin_lock(&ed->fifo_lock);
        first = ed->fifo->nr_pages * WORDS_PER_PAGE;
        ed->fifo->array[ed->fifo->nr_pages++] = mfn_to_virt(m);
        hold_frame(d, ed->fifo, m);
        spin_unlock(&ed->fifo_lock);
        for (evtchn_port_t port = first; port < first + WORDS_PER_PAGE; port++)
            if (evtchn_find(d, port)->missed)
                fifo_set_pending(d, port);
    }
    spin_unlock_irqrestore(&d->event_lock, flags);
    if (rc)
        page_put_writable(m);
    return rc;
}

long op_set_priority(struct request *r)
{
    const struct evtchn_set_priority *op = &r->u.set_priority;
    struct domain *d = r->d;
    struct evtchn *chn = evtchn_find(d, op->port);

    if (d->evtchn->fifo == NULL)
        return -ENOSYS;
    if (op->priority > EVTCHN_FIFO_PRIORITY_MIN || chn->state == ECS_FREE)
        return -EINVAL;
    spin_lock(&d->evtchn->fifo_lock);
    chn->priority = op->priority & EVTCHN_FIFO_PRIORITY_MIN;
    spin_unlock(&d->evtchn->fifo_lock);
    return 0;
}

struct fifo *fifo_detach(struct domain *d)
{
    struct fifo *f = d->evtchn->fifo;

    ASSERT(spin_is_held(&d->event_lock) && d->evtchn->nr_used == 0);
    d->evtchn->fifo = NULL;
    d->event_frames = NULL;
    d->nr_event_frames = 0;
    return f;
}

void fifo_free(struct domain *d, struct fifo *f)
{
    for (uint32_t i = 0; f && i < f->nr_frames; i++)
        page_put_writable(f->frames[i]);
    xfree_pages(f, fifo_bytes(d));
}
