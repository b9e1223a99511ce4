/*
 * What the parts of the block backend know of each other.
 *
 * A device has queues, each a ring with an event channel and a slot's worth of memory for each of the ring's slots: so
 * what a guest can have running at once is what its rings hold, and bytes_max of data. Queues that have something to do
 * take turns, in each of which they take BUDGET requests at most. A turn's grants are copied together: first pages of
 * indirect segments, then data of writes, and of all there is to do with disks that are memory.
 */
#pragma once
#include "blk_request.h"
#include "blkback.h"
#include "copies.h"
#include "disks.h"
#include "pace.h"
#include "ports.h"
#include "ring.h"
#include "xenbus.h"

enum {
    BUDGET = 32,
    QUEUES_MAX = 4,
    ORDER_MAX = 3,
    RUNNING_MAX_BYTES = 4 << 20,    /* of a device's data between disk and grants */
    DISCARD_PART_SECTORS = 1 << 21, /* 1 GiB: given to the disk at once */
    STARVED_NS = 10000000,
    LINGER_NS = 50000000 /* more than a vCPU runs in one piece */
};

/* A slot of the ring that is being worked on. */
struct io {
    struct io *next;
    struct queue *queue;
    uint32_t slot;
    int status; /* BLKIF_RSP_*, so far */
    struct blk_request request;
    struct disk_request disk;
    struct disk_segment segment; /* the part of the data that the disk has */
    uint64_t sectors_begun;      /* that part, and all before it */
    void *memory;  /* of the data; NULL: there are none, or they are the disk's memory */
    bool reserved; /* it is the backend's reserve */
    uint8_t *data; /* in it, a multiple of a page */
};

struct queue {
    struct queue *next_turn; /* of those that have something to do */
    struct device *device;
    bool waits_turn, broken;
    bool stalled; /* until some of the device's data is done, or there is memory */
    struct port port;
    struct ring_back ring;
    struct pace pace;
    struct plat_timer late; /* what was asked for has not come */
    unsigned int asked;     /* it rests until there are so many requests; 0: it does not rest */
    void *pages;
    unsigned int nr_pages;
    struct io *ios;              /* one for each slot */
    struct io *done, **done_end; /* by the disk; answers are to be written */
    unsigned int nr_running;     /* at the disk, or done */
    uint32_t nr_last;            /* leaving: how many of the ring's are still to be taken */
};

struct statistics {
    uint64_t done[DISK_DISCARD + 1], sectors[DISK_DISCARD + 1]; /* by what it was */
    uint64_t refused, failed;
};

struct device {
    struct xenbus_device *bus;
    struct blkback *backend;
    struct disk *disk;
    struct queue queues[QUEUES_MAX];
    unsigned int nr_queues; /* that are connected */
    bool leaving;           /* disconnected when what was there is done, */
    bool lingers;           /* but not before it was looked at again, then: */
    struct plat_timer last_look;
    uint64_t running_bytes;
    struct statistics statistics;
};

struct blkback {
    struct xenbus_driver driver; /* of the class that it serves */
    struct plat_loop *loop;
    struct disks *disks;
    struct ports *ports;
    struct xenbus *bus;
    struct queue *turns, **turns_end;
    struct plat_wake wake;
    struct copies copies; /* has the handle of grants, too */
    void *reserve; /* memory for the data of one request, where there is no other; NULL: in use */
};

/* ---- queue.c ---- */

/** It has something to do: its turn comes. */
void queue_wake(struct queue *q);
/** Not any more. */
void queue_forget(struct queue *q);
/**
 * Its guest has left: what is in the ring now is done, and no more. Linux's blkfront has said Closed before it was answered,
 * and waits for each request when its disk goes.
 */
void queue_leave(struct queue *q);
/** A turn of each that waits for one. */
void queues_run(void *blkback);
/** The port's. */
void queue_event(void *queue);
/** Its timer's. */
void queue_late(void *queue);

/* ---- running.c ---- */

static inline bool has_data(const struct io *io) { return io->request.op <= DISK_WRITE; }

/** Whether data_provide() can have memory for a request, the largest; so it is asked before one is taken. */
bool data_ready(struct blkback *b);
/** For the data of as many segments as it has. */
void data_provide(struct io *io);
/** If it has any. */
void data_free(struct io *io);

/** It counts, until running_end(): then all queues of the device that had to wait for that have their turns. */
void running_begin(struct io *io);
void running_end(struct io *io);
/** To the disk, in parts that it takes. What is done is in the queue's list `done`. */
void submit(struct io *io);

/* ---- blkback.c ---- */

/** Something that ran has ended: perhaps it was the last of a device that is to be disconnected. */
void device_check_end(struct device *d);
