/* What a guest sends: chains of requests, copied in batches, become frames. */
#include <errno.h>
#include <string.h>

#include "netback_internal.h"
#include "offload.h"

enum {
    CHAIN_MAX =
        20, /* pieces of a frame: the least that is to be served is XEN_NETIF_NR_SLOTS_MIN */
    EXTRAS_MAX = XEN_NETIF_EXTRA_TYPE_MAX - 1, /* each kind once */
    BATCH_FRAMES = 64,                         /* of a turn; */
    BATCH_SLOTS = 128,
    BATCH_BYTES = 256 << 10, /* what is begun below that is still taken */
};
_Static_assert((int)CHAIN_MAX >= XEN_NETIF_NR_SLOTS_MIN, "ABI: slots of a frame");
_Static_assert(BATCH_SLOTS + CHAIN_MAX + EXTRAS_MAX <= (int)SEGMENTS, "segments");
_Static_assert(sizeof(struct netif_tx_request) == 12 && sizeof(struct netif_extra_info) == 8 &&
                   sizeof(struct netif_tx_response) == 4,
               "ABI: tx");

/* A slot that was taken, to be answered. */
struct taken {
    uint32_t slot;
    uint16_t id;
    bool extra;
};

/* A frame, or what is answered in place of one. */
struct chain {
    struct frame *f; /* NULL: there is none, the answer is known */
    unsigned int first_taken, nr_taken, first_segment, nr_segments;
    uint16_t flags; /* of its first request */
    enum frame_gso gso;
    uint16_t gso_bytes;
    int16_t status;
};

struct batch {
    struct vif_queue *q;
    unsigned int left; /* requests in the ring, as they were counted */
    unsigned int nr_taken, nr_chains, nr_segments;
    uint32_t bytes;
    struct taken taken[BATCH_SLOTS + CHAIN_MAX + EXTRAS_MAX];
    struct chain chains[BATCH_FRAMES];
};

union slot {
    struct netif_tx_request request;
    struct netif_extra_info extra;
};

/* The next slot of a chain. False: the chain goes on beyond what the guest has put there. */
static bool take(struct batch *b, union slot *s, bool extra)
{
    struct taken *t = &b->taken[b->nr_taken];

    if (b->left == 0)
        return false;
    b->left--;
    b->nr_taken++;
    t->slot = ring_back_take(&b->q->tx, s);
    t->id = extra ? 0 : s->request.id;
    t->extra = extra;
    return true;
}

/* ---- extra infos ---- */

/* To listen to a group, or no longer. The answer. */
static int16_t set_group(struct vif *v, const uint8_t *mac, bool listen)
{
    int i = vif_find_group(v, mac);

    if (!(mac[0] & 1))
        return NETIF_RSP_ERROR;
    if (listen && i < 0) {
        if (v->nr_groups == GROUPS)
            return NETIF_RSP_ERROR;
        memcpy(v->groups[v->nr_groups++], mac, ETH_ADDRESS);
    } else if (!listen && i >= 0) {
        memcpy(v->groups[i], v->groups[--v->nr_groups], ETH_ADDRESS);
    }
    return NETIF_RSP_OKAY;
}

static bool take_gso(struct chain *c, const struct netif_extra_info *e)
{
    if (c->gso != FRAME_GSO_NONE || e->u.gso.size == 0)
        return false;
    switch (e->u.gso.type) {
    case XEN_NETIF_GSO_TYPE_TCPV4: c->gso = FRAME_GSO_TCP4; break;
    case XEN_NETIF_GSO_TYPE_TCPV6: c->gso = FRAME_GSO_TCP6; break;
    default: return false;
    }
    c->gso_bytes = e->u.gso.size;
    return true;
}

/* @no_frame  becomes true if the chain tells something only, whose answer is in its status */
static bool take_extras(struct batch *b, struct chain *c, bool *no_frame)
{
    union slot s;

    for (int i = 0; i < EXTRAS_MAX; i++) {
        if (!take(b, &s, true))
            return false;
        switch (s.extra.type) {
        case XEN_NETIF_EXTRA_TYPE_GSO:
            if (!take_gso(c, &s.extra))
                return false;
            break;
        case XEN_NETIF_EXTRA_TYPE_MCAST_ADD:
        case XEN_NETIF_EXTRA_TYPE_MCAST_DEL:
            c->status = set_group(b->q->vif, s.extra.u.mcast.addr,
                                  s.extra.type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD);
            *no_frame = true;
            break;
        case XEN_NETIF_EXTRA_TYPE_HASH: break; /* it is not used here */
        default: return false;
        }
        if (!(s.extra.flags & XEN_NETIF_EXTRA_FLAG_MORE))
            return true;
    }
    return false;
}

/* ---- pieces ---- */

/* All of them. The first one's size is that of all; what is left of it is its own. */
static bool take_pieces(struct batch *b, struct chain *c, struct netif_tx_request *pieces,
                        unsigned int *nr)
{
    bool more;
    union slot s;

    for (*nr = 1, more = c->flags & NETTXF_more_data; more; (*nr)++) {
        if (*nr == CHAIN_MAX || !take(b, &s, false))
            return false;
        pieces[*nr] = s.request;
        more = s.request.flags & NETTXF_more_data;
    }
    return true;
}

static bool pieces_fit(struct netif_tx_request *pieces, unsigned int nr)
{
    uint16_t own = pieces[0].size;

    for (unsigned int i = 1; i < nr; i++) {
        if (pieces[i].size > own)
            return false;
        own -= pieces[i].size;
    }
    pieces[0].size = own;
    for (unsigned int i = 0; i < nr; i++)
        if (pieces[i].offset > RING_PAGE || pieces[i].size > RING_PAGE - pieces[i].offset)
            return false;
    return true;
}

static void add_segments(struct batch *b, struct chain *c, const struct netif_tx_request *pieces,
                         unsigned int nr)
{
    struct netback *n = b->q->vif->owner;
    uint8_t *to = c->f->data;

    c->first_segment = b->nr_segments;
    for (unsigned int i = 0; i < nr; i++) {
        if (pieces[i].size == 0)
            continue;
        n->segments[b->nr_segments++] = (xengnttab_grant_copy_segment_t){
            .source.foreign = { .ref = pieces[i].gref,
                                .offset = pieces[i].offset,
                                .domid = b->q->vif->device->other },
            .dest.virt = to,
            .len = pieces[i].size,
            .flags = GNTCOPY_source_gref,
        };
        to += pieces[i].size;
    }
    c->nr_segments = b->nr_segments - c->first_segment;
}

/* The frame for a chain, and what is to be copied into it. Without one the chain is answered with an error. */
static void begin_frame(struct batch *b, struct chain *c, struct netif_tx_request *pieces,
                        unsigned int nr)
{
    uint16_t bytes = pieces[0].size;

    c->status = NETIF_RSP_ERROR;
    if (bytes < FRAME_MIN || !pieces_fit(pieces, nr) || (c->f = frame_alloc(bytes)) == NULL)
        return;
    c->f->bytes = bytes;
    b->bytes += bytes;
    add_segments(b, c, pieces, nr);
}

/* False: the guest has broken the rules, and where its next frame begins nobody knows. */
static bool take_chain(struct batch *b)
{
    struct chain *c = &b->chains[b->nr_chains];
    struct netif_tx_request pieces[CHAIN_MAX];
    bool no_frame = false;
    unsigned int nr;
    union slot s;

    *c = (struct chain){ .first_taken = b->nr_taken };
    if (!take(b, &s, false))
        return false;
    pieces[0] = s.request;
    c->flags = s.request.flags;
    if ((c->flags & NETTXF_extra_info) && !take_extras(b, c, &no_frame))
        return false;
    if (!take_pieces(b, c, pieces, &nr))
        return false;
    if (!no_frame)
        begin_frame(b, c, pieces, nr);
    c->nr_taken = b->nr_taken - c->first_taken;
    b->nr_chains++;
    return true;
}

/* ---- done ---- */

static void copy(struct batch *b)
{
    struct netback *n = b->q->vif->owner;
    bool failed =
        b->nr_segments && xengnttab_grant_copy(n->grants, b->nr_segments, n->segments) != 0;

    for (unsigned int i = 0; i < b->nr_chains; i++) {
        struct chain *c = &b->chains[i];
        bool good = c->f && !failed;

        for (unsigned int j = 0; j < c->nr_segments; j++)
            good = good && n->segments[c->first_segment + j].status == GNTST_okay;
        if (c->f)
            c->status = good ? NETIF_RSP_OKAY : NETIF_RSP_ERROR;
    }
}

/* What the guest says of its checksum. False: that cannot be. */
static bool note_csum(struct chain *c)
{
    if ((c->flags & NETTXF_csum_blank) || c->gso != FRAME_GSO_NONE)
        return offload_ask(c->f, c->gso, c->gso_bytes);
    c->f->csum = c->flags & NETTXF_data_validated ? FRAME_CSUM_GOOD : FRAME_CSUM_NONE;
    return true;
}

static void answer(struct batch *b, const struct chain *c)
{
    for (unsigned int i = 0; i < c->nr_taken; i++) {
        const struct taken *t = &b->taken[c->first_taken + i];
        struct netif_tx_response r = { .id = t->id,
                                       .status = t->extra ? NETIF_RSP_NULL : c->status };

        ring_back_answer(&b->q->tx, t->slot, &r);
    }
}

static void answer_all(struct batch *b)
{
    struct vif_queue *q = b->q;

    for (unsigned int i = 0; i < b->nr_chains; i++) {
        struct chain *c = &b->chains[i];

        if (c->f && c->status == NETIF_RSP_OKAY && !note_csum(c))
            c->status = NETIF_RSP_ERROR;
        q->vif->errors += c->status != NETIF_RSP_OKAY;
        answer(b, c);
    }
    if (ring_back_push(&q->tx))
        port_notify(&q->tx_port);
}

static void deliver_all(struct batch *b)
{
    struct link *l = &b->q->vif->link;

    for (unsigned int i = 0; i < b->nr_chains; i++) {
        struct chain *c = &b->chains[i];

        if (c->f && c->status == NETIF_RSP_OKAY)
            l->received(l->arg, c->f);
        if (c->f)
            frame_put(c->f);
    }
    l->received_all(l->arg);
}

/*
 * The guest's rate says that it has to wait, after so many bytes that were taken already: it has its turn again when
 * that is over.
 */
static bool must_wait(struct vif *v, uint32_t bytes)
{
    uint64_t when = switch_ready_ns(v->port, bytes);

    if (when)
        plat_timer_set(v->owner->loop, &v->rate, when);
    return when != 0;
}

/* Chains, until that is enough for a turn. False: as take_chain(). */
static bool gather(struct batch *b)
{
    while (b->left && b->nr_chains < BATCH_FRAMES && b->nr_taken < BATCH_SLOTS &&
           b->bytes < BATCH_BYTES && !must_wait(b->q->vif, b->bytes))
        if (!take_chain(b))
            return false;
    return true;
}

bool vif_take(struct vif_queue *q)
{
    struct vif *v = q->vif;
    struct batch b;
    bool good;
    int n;

    if (v->broken || must_wait(v, 0))
        return false;
    n = ring_back_look(&q->tx);
    b.q = q;
    b.left = n > 0 ? (unsigned int)n : 0;
    b.nr_taken = b.nr_chains = b.nr_segments = b.bytes = 0;
    good = n >= 0 && gather(&b);
    port_found(&q->tx_port, b.nr_chains);
    copy(&b);
    answer_all(&b);
    deliver_all(&b);
    n = good ? ring_back_rest(&q->tx, 1) : -EPROTO;
    if (n < 0)
        vif_break(v, "it sends what is no chain of requests");
    return n > 0;
}
