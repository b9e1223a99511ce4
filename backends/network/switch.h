/*
 * switch.h: a virtual switch, which learns what is where. All of it is one loop's thread's (platform.h).
 *
 * A frame goes out at the port where its destination was seen last, or whose own address that is; to groups, and
 * where nobody knows, at all ports but those of which all addresses are known. Frames to 01:80:c2:00:00:0X stay
 * where they are, as on any bridge.
 */
#pragma once
#include "guard.h"
#include "link.h"
#include "rate.h"

enum { SWITCH_PORTS = 1024, SWITCH_NAME = 32 };

struct vswitch;
struct switch_port;

struct switch_options {
    char name[SWITCH_NAME]; /* for the log */
    bool isolated;          /* sends to, and gets from, ports only that are not */
    struct guard guard;     /* with mac_set that is its only address */
    struct rate rate;       /* of what comes in there */
};

struct switch_stats {
    uint64_t in_frames, in_bytes, out_frames, out_bytes;
    uint64_t refused;   /* by the guard */
    uint64_t invalid;   /* what they say of themselves is impossible */
    uint64_t over_rate; /* the link did not wait for switch_ready_ns() */
    uint64_t nowhere;   /* there is no port for them */
    uint64_t too_long;  /* for the link to which they go */
    uint64_t no_memory;
};

/** NULL: no memory. */
struct vswitch *switch_new(void);

/** It has no ports any more. */
void switch_free(struct vswitch *s);

/**
 * From now on the link's frames come in, and others go out there.
 * @l  stays its owner's, who removes the port before he closes it; received, received_all and arg become the switch's
 * NULL: EEXIST the guard's MAC address is another port's, ENOSPC SWITCH_PORTS are there, ENOMEM.
 */
struct switch_port *switch_add(struct vswitch *s, struct link *l, const struct switch_options *o);

/** Not called from within a link's operations. A capture ends. */
void switch_remove(struct switch_port *p);

const struct switch_stats *switch_stats(const struct switch_port *p);

/** When the link may give the next frame by the port's rate (plat_now()), after @bytes, 1 MiB at most, that it is about to give; 0: now. What comes earlier is dropped. */
uint64_t switch_ready_ns(const struct switch_port *p, uint32_t bytes);

/** The rate from now on; all zero: none. If it is the same as before nothing changes. */
void switch_set_rate(struct switch_port *p, const struct rate *rate);

/** Whether it is isolated from now on. */
void switch_set_isolated(struct switch_port *p, bool isolated);

/**
 * Write all that goes in and out there to a pcap file, CAPTURE_BYTES at most, which is there when that is full or
 * the capture ended: @path NULL. 0; -1: as plat_file_create(), plat_file_commit(), EBUSY there is one already.
 */
int switch_capture(struct switch_port *p, const char *path);
