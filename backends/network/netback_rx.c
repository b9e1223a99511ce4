/* What a guest gets: frames wait for the pages that it offers, are copied there in batches, and fill its slots. */
#include <errno.h>
#include <string.h>

#include "netback_internal.h"
#include "packet.h"

enum { BATCH_FRAMES = 64 };

_Static_assert(sizeof(struct netif_rx_request) == 8 && sizeof(struct netif_rx_response) == 8,
               "ABI: rx");
_Static_assert((FRAME_MAX + RING_PAGE - 1) / RING_PAGE + 1 <= XEN_NETIF_NR_SLOTS_MIN,
               "a frame's slots are no more than a frontend has to take");

/* ---- which queue ---- */

/* What belongs together goes the same way: addresses and ports of both ends. */
static uint32_t flow_hash(const struct frame *f)
{
    struct packet own;
    const struct packet *p = frame_packet(f, &own);
    uint32_t hash = 0, from, to;

    if (p->version == 0)
        return get32(f->data + 2) ^ get32(f->data + 8);
    from = p->l3 + (p->version == 4 ? 12 : 8);
    to = p->l3 + (p->version == 4 ? 20 : 40);
    for (; from < to; from += 4)
        hash = (hash ^ get32(f->data + from)) * 0x9e3779b1u;
    if (p->payload)
        hash = (hash ^ get32(f->data + p->l4)) * 0x9e3779b1u;
    return hash ^ hash >> 16;
}

/* ---- waiting ---- */

static bool wanted(const struct vif *v, const struct frame *f)
{
    static const uint8_t everybody[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    return !v->filters || !(f->data[0] & 1) || memcmp(f->data, everybody, ETH_ADDRESS) == 0 ||
           vif_find_group(v, f->data) >= 0;
}

void vif_send(struct link *l, struct frame *f)
{
    struct vif *v = (struct vif *)l;
    struct vif_queue *q = &v->queues[v->nr_queues > 1 ? flow_hash(f) % v->nr_queues : 0];

    if (v->broken || !wanted(v, f))
        return;
    if (q->nr_waiting == WAITING_FRAMES || q->waiting_bytes + f->room > WAITING_BYTES ||
        (f->bytes > RING_PAGE && !v->sg)) {
        v->no_room++;
        return;
    }
    q->waiting[(q->first + q->nr_waiting++) % WAITING_FRAMES] = frame_get(f);
    q->waiting_bytes += f->room; /* what it holds: padding may have been cut off */
}

static void drop_first(struct vif_queue *q)
{
    struct frame *f = q->waiting[q->first];

    q->first = (q->first + 1) % WAITING_FRAMES;
    q->nr_waiting--;
    q->waiting_bytes -= f->room;
    frame_put(f);
}

void vif_drop(struct vif_queue *q)
{
    while (q->nr_waiting)
        drop_first(q);
}

/* ---- given ---- */

/* Frames on their way: those that wait first, in order, and the slots for them. */
struct round {
    unsigned int nr_frames, nr_slots, nr_segments;
    struct {
        uint32_t slot;
        uint16_t id;
    } slots[SEGMENTS];
    unsigned int first_slot[BATCH_FRAMES], first_segment[BATCH_FRAMES + 1];
};

static unsigned int nr_pieces(const struct frame *f)
{
    return (f->bytes + RING_PAGE - 1) / RING_PAGE;
}

static unsigned int nr_slots(const struct frame *f)
{
    return nr_pieces(f) + (f->gso != FRAME_GSO_NONE ? 1 : 0);
}

/* Whether there is room for so many slots; else an event comes when there is. */
static bool has_room(struct vif_queue *q, unsigned int slots)
{
    int n = ring_back_look(&q->rx);

    if (n >= 0 && (unsigned int)n < slots)
        n = ring_back_rest(&q->rx, slots);
    if (n < 0)
        vif_break(q->vif, "its ring of what it receives is impossible");
    return n >= 0 && (unsigned int)n >= slots;
}

static struct netif_rx_request take_slot(struct vif_queue *q, struct round *r)
{
    struct netif_rx_request request;

    r->slots[r->nr_slots].slot = ring_back_take(&q->rx, &request);
    r->slots[r->nr_slots++].id = request.id;
    return request;
}

/* Its slots, and what is to be copied into the pages of all but an extra info's. */
static void place(struct vif_queue *q, struct round *r, struct frame *f)
{
    struct netback *n = q->vif->owner;

    r->first_slot[r->nr_frames] = r->nr_slots;
    r->first_segment[r->nr_frames++] = r->nr_segments;
    for (uint32_t at = 0; at < f->bytes; at += RING_PAGE) {
        uint32_t left = f->bytes - at;
        struct netif_rx_request request = take_slot(q, r);

        n->segments[r->nr_segments++] = (xengnttab_grant_copy_segment_t){
            .source.virt = f->data + at,
            .dest.foreign = { .ref = request.gref, .domid = q->vif->device->other },
            .len = (uint16_t)(left < RING_PAGE ? left : RING_PAGE),
            .flags = GNTCOPY_dest_gref,
        };
        if (at == 0 && f->gso != FRAME_GSO_NONE)
            take_slot(q, r);
    }
    r->first_segment[r->nr_frames] = r->nr_segments;
}

static bool copied(const struct netback *n, const struct round *r, unsigned int i)
{
    for (unsigned int j = r->first_segment[i]; j < r->first_segment[i + 1]; j++)
        if (n->segments[j].status != GNTST_okay)
            return false;
    return true;
}

static uint16_t first_flags(const struct frame *f)
{
    uint16_t flags = 0;

    if (f->csum == FRAME_CSUM_PARTIAL)
        flags = NETRXF_csum_blank | NETRXF_data_validated;
    else if (f->csum == FRAME_CSUM_GOOD)
        flags = NETRXF_data_validated;
    return f->gso != FRAME_GSO_NONE ? flags | NETRXF_extra_info : flags;
}

/* more: the next slot belongs with it. They are shown together, as Linux's netfront drops a frame of which it does not see all. */
static void answer_slot(struct vif_queue *q, uint32_t slot, const void *answer, bool more)
{
    if (more)
        ring_back_answer_more(&q->rx, slot, answer);
    else
        ring_back_answer(&q->rx, slot, answer);
}

static void answer_gso(struct vif_queue *q, uint32_t slot, const struct frame *f, bool more)
{
    struct netif_extra_info e = {
        .type = XEN_NETIF_EXTRA_TYPE_GSO,
        .u.gso = { .size = f->gso_bytes,
                   .type = f->gso == FRAME_GSO_TCP4 ? XEN_NETIF_GSO_TYPE_TCPV4
                                                    : XEN_NETIF_GSO_TYPE_TCPV6 },
    };

    answer_slot(q, slot, &e, more);
}

static void answer(struct vif_queue *q, const struct round *r, unsigned int i,
                   const struct frame *f, bool good)
{
    unsigned int slot = r->first_slot[i], pieces = nr_pieces(f);
    bool gso = f->gso != FRAME_GSO_NONE;

    for (unsigned int j = 0; j < pieces; j++) {
        uint32_t left = f->bytes - j * RING_PAGE;
        struct netif_rx_response a = {
            .id = r->slots[slot].id,
            .flags = j == 0 ? first_flags(f) : 0,
            .status = good ? (int16_t)(left < RING_PAGE ? left : RING_PAGE) : NETIF_RSP_ERROR,
        };

        if (j + 1 < pieces)
            a.flags |= NETRXF_more_data;
        answer_slot(q, r->slots[slot++].slot, &a, j + 1 < pieces || (j == 0 && gso));
        if (j == 0 && gso)
            answer_gso(q, r->slots[slot++].slot, f, pieces > 1);
    }
}

/*
 * A backend was killed within a frame: errors end it, and the guest drops it. The first of them may be taken for an extra
 * info that was still to come, so they belong together, too.
 */
static void end_cut(struct vif_queue *q)
{
    struct round r = { .nr_slots = 0 };

    if (!has_room(q, 2))
        return;
    q->rx.cut = false;
    for (unsigned int i = 0; i < 2; i++) {
        struct netif_rx_response a = { .id = take_slot(q, &r).id, .status = NETIF_RSP_ERROR };

        answer_slot(q, r.slots[i].slot, &a, i == 0);
    }
}

/* False: there is no room for more, or nothing waits. */
static bool give_some(struct vif_queue *q)
{
    struct netback *n = q->vif->owner;
    struct round r;
    bool failed;

    r.nr_frames = r.nr_slots = r.nr_segments = 0;
    while (r.nr_frames < q->nr_waiting && r.nr_frames < BATCH_FRAMES) {
        struct frame *f = q->waiting[(q->first + r.nr_frames) % WAITING_FRAMES];

        if (r.nr_slots + nr_slots(f) > SEGMENTS || !has_room(q, nr_slots(f)))
            break;
        place(q, &r, f);
    }
    if (r.nr_frames == 0)
        return false;
    failed = xengnttab_grant_copy(n->grants, r.nr_segments, n->segments) != 0;
    for (unsigned int i = 0; i < r.nr_frames; i++) {
        bool good = !failed && copied(n, &r, i);

        q->vif->errors += !good;
        answer(q, &r, i, q->waiting[q->first], good);
        drop_first(q);
    }
    return true;
}

void vif_give(struct vif_queue *q)
{
    bool gave = q->rx.cut;

    if (q->rx.cut && !q->vif->broken)
        end_cut(q);
    while (!q->rx.cut && !q->vif->broken && q->nr_waiting && give_some(q))
        gave = true;
    if (gave && ring_back_push(&q->rx))
        port_notify(q->rx_port.ports ? &q->rx_port : &q->tx_port);
}

void vif_flush(struct link *l)
{
    struct vif *v = (struct vif *)l;

    for (unsigned int i = 0; i < v->nr_queues; i++)
        vif_give(&v->queues[i]);
}
