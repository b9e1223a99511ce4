/*
 * backends/network/link.h: what a virtual switch is connected to, a guest's interface or a physical port, and the
 * frames that go through. All of it belongs to the thread of one loop (platform.h).
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"

enum {
    FRAME_MAX =
        65535 + 14 + 4, /* bytes of the largest: one that is still to be cut into segments */
    FRAME_MIN = 14,
};

/** What is still to be done with a frame, or was done. */
enum frame_csum {
    FRAME_CSUM_NONE, /* nothing is known: whoever receives it looks himself */
    FRAME_CSUM_PARTIAL, /* the sum of csum_start.. to the end is to be put at csum_start + csum_offset */
    FRAME_CSUM_GOOD, /* somebody has looked: it is right */
};
enum frame_gso { FRAME_GSO_NONE, FRAME_GSO_TCP4, FRAME_GSO_TCP6 };

/**
 * An Ethernet frame without its check sequence, in one piece of memory. It is counted: who keeps it takes a
 * reference, and while there are several nobody writes to it.
 */
struct frame {
    struct frame *next; /* of whoever has it in a list: a frame is in one at a time */
    unsigned int refs;
    uint32_t bytes, room; /* what data holds, and could */
    uint8_t *data;
    enum frame_csum csum;
    uint16_t csum_start, csum_offset; /* from the frame's first byte, from csum_start */
    enum frame_gso gso;               /* then csum is PARTIAL */
    uint16_t gso_bytes;               /* of TCP's data in each segment */
    bool
        parsed; /* packet is what its headers say: of these nobody changes more than checksums then */
    struct packet packet;
};

/** What its headers say. @own  for that, if it was not looked at yet */
static inline const struct packet *frame_packet(const struct frame *f, struct packet *own)
{
    if (f->parsed)
        return &f->packet;
    packet_parse(own, f->data, f->bytes);
    return own;
}

/** @bytes  room for so many, 1..FRAME_MAX. bytes is 0, refs 1. NULL: no memory. */
struct frame *frame_alloc(uint32_t bytes);
static inline struct frame *frame_get(struct frame *f)
{
    f->refs++;
    return f;
}
void frame_put(struct frame *f);

/** Of those that were freed some are kept. Who kept them before has ended, with its heap: they are no more. */
void frames_forget(void);
/** They are freed. */
void frames_free(void);

struct link;

struct link_ops {
    /** Send it out of there. The frame stays the caller's: the link takes a reference if it keeps it. It may be dropped. */
    void (*send)(struct link *l, struct frame *f);
    /** No more frames come for now: let the other side know of those that did. */
    void (*flush)(struct link *l);
    void (*close)(struct link *l);
};

struct link {
    const struct link_ops *ops;
    bool csum4, csum6, tso4,
        tso6; /* it takes frames that are PARTIAL, or with gso; the switch does it for others */
    uint8_t mac[6]; /* of a physical port */
    uint16_t mtu;   /* bytes behind Ethernet's header; 1500 */
    bool up;
    /* The switch's: a frame has come in there, which stays the link's; the end of those that came together. */
    void (*received)(void *arg, struct frame *f);
    void (*received_all)(void *arg);
    void *arg;
};
