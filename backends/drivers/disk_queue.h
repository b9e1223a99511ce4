/*
 * backends/drivers/disk_queue.h: what the drivers of disks have in common: requests that wait for room, are cut into
 * commands such as the hardware takes, and are done when all their commands are.
 *
 * A driver has a struct disk_queue and the hardware's part of it, struct disk_hw.
 */
#pragma once
#include "block/disk.h"
#include "drivers/piece.h"

enum { DISK_PIECES_MAX = 128, DISK_PAGE = 4096 };

/*
 * What the hardware has not done within the first of these makes its driver reset it, which looks every DISK_WATCH_S;
 * after DISK_RESETS_MAX resets, each within DISK_RESETS_S of the one before, it is given up instead.
 */
enum { DISK_TIMEOUT_S = 30, DISK_WATCH_S = 5, DISK_RESETS_MAX = 5, DISK_RESETS_S = 600 };
#define DISK_NS_PER_S 1000000000UL

struct disk_queue;
struct disk_job;

/** A request or a part of it, as the hardware has it. */
struct disk_command {
    struct disk_command *next; /* of those that are free */
    struct disk_queue *owner;
    struct disk_job *job; /* NULL: it is free */
    enum disk_op op;
    uint64_t sector;      /* but for FLUSH; in 512 bytes */
    uint32_t nr_sectors;  /* the same */
    unsigned int nr;      /* its number: below nr_commands */
    uint64_t deadline_ns; /* by then it should be done: of plat_now() */
};

struct disk_hw {
    /**
     * Begin with a command. @pieces  the data of a READ or WRITE, each within a page
     * Returns false: there is no room for it before another one is done.
     */
    bool (*start)(struct disk_queue *q, struct disk_command *c, const struct piece *pieces,
                  unsigned int nr_pieces);
    /** Let the hardware know of those that have begun. */
    void (*kick)(struct disk_queue *q);
};

/** What one command may be. */
struct disk_limits {
    unsigned int pieces;  /* 1..DISK_PIECES_MAX */
    uint32_t piece_bytes; /* a multiple of 512, up to DISK_PAGE */
    uint32_t bytes;       /* of all, a multiple of the disk's sectors, not 0 */
    bool pages;           /* all pieces but the first begin, all but the last end with their page */
    uint32_t discard_sectors; /* a multiple of the disk's sectors, not 0 if it has DISCARD */
};

struct disk_queue {
    struct disk disk; /* the first member; its submit is disk_queue_submit() */
    const struct disk_hw *hw;
    struct disk_limits limits;
    unsigned int nr_commands;
    struct disk_command *commands, *free;
    struct disk_job *jobs, *free_jobs;
    struct disk_request *first, *last; /* that wait, or of which a part does */
    struct disk_job *head;             /* the first's, or NULL */
    unsigned int segment;              /* how far that is cut: in its segments, */
    uint32_t offset;                   /* bytes of that one; */
    uint64_t sector;                   /* where it goes on */
    bool held;                         /* begin with nothing: disk_queue_hold() */
    bool dead;
};

/**
 * @q  with disk, hw and limits, else zero
 * @nr_commands  that the hardware may have at once, all together
 * Returns 0; -1: EINVAL such limits make no progress, ENOMEM.
 */
int disk_queue_init(struct disk_queue *q, unsigned int nr_commands);
void disk_queue_exit(struct disk_queue *q);

/** struct disk_ops's. */
void disk_queue_submit(struct disk *d, struct disk_request *r);

/** The hardware has done it. @error  0 or an errno */
void disk_queue_done(struct disk_queue *q, struct disk_command *c, int error);

/** There may be room again: begin with those that wait. The driver calls it behind all disk_queue_done() of one time. */
void disk_queue_go_on(struct disk_queue *q);

/**
 * All that the hardware has is lost, and it must not touch their memory any more. Requests wait to begin again, each as a
 * whole, once; those that have failed in part already, DISCARDs, and what began again before are done with that error.
 */
void disk_queue_lost(struct disk_queue *q, int error);

/** Begin with nothing, or go on. */
void disk_queue_hold(struct disk_queue *q, bool held);

/** Whether a command is overdue. @any  set if the hardware has one at all, else left as it is */
bool disk_queue_overdue(const struct disk_queue *q, bool *any);

/** Of the hardware, all zero at first. */
struct disk_resets {
    unsigned int nr;
    uint64_t last_ns;
};

/** It is to be reset. Returns false: it was too often, give it up. */
bool disk_reset_again(struct disk_resets *r);

/** The disk is gone: all requests, those to come, too, are done with EIO. It must not touch their memory any more. */
void disk_queue_die(struct disk_queue *q);
