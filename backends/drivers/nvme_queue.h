/*
 * backends/drivers/nvme_queue.h: a pair of queues of an NVMe controller (NVM Express base specification 1.4, 4), and how
 * it is told of memory (PRPs, 4.3). What the controller writes is read once and checked.
 */
#pragma once
#include <rt/pci.h>

#include "drivers/piece.h"

enum {
    NVME_QUEUE_SIZE = 64, /* entries: those of 64 bytes are one page then, which is in one piece */
    NVME_SLOTS = NVME_QUEUE_SIZE - 1,
    NVME_LIST_BYTES = 1024, /* memory of each command that the controller reads: PRPs, ranges */
    NVME_PIECES_MAX = NVME_LIST_BYTES / 8 + 1,
};

/* A command; its number is the queue's business. */
struct nvme_command {
    uint8_t opcode, flags;
    uint16_t id;
    uint32_t nsid;
    uint64_t reserved, metadata, prp1, prp2;
    uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};

struct nvme_queue {
    struct pci_window doorbells; /* of this pair: the tail's, then the head's */
    uint32_t stride;             /* bytes from one to the other */
    unsigned int size;           /* entries, up to NVME_QUEUE_SIZE */
    volatile struct nvme_command *submission;
    volatile uint32_t *completion; /* four words each */
    uint8_t *lists[NVME_QUEUE_SIZE * NVME_LIST_BYTES / 4096];
    unsigned int tail, head;
    bool phase;  /* that new completions have */
    bool kick;   /* the tail has moved */
    bool broken; /* the controller broke the rules */
    uint16_t free, nr_free, next[NVME_QUEUE_SIZE];
    void *cookies[NVME_QUEUE_SIZE]; /* NULL: that number is free */
};

/**
 * @q     with doorbells and stride, else zero
 * @size  2..NVME_QUEUE_SIZE
 * Returns 0; -1: ENOMEM.
 */
int nvme_queue_init(struct nvme_queue *q, struct pci_device *d, unsigned int size);

/** As at first: the controller was reset. What was in it is lost. */
void nvme_queue_reset(struct nvme_queue *q);

/** The number that the next command gets, or -1: there is no room. */
int nvme_queue_next(const struct nvme_queue *q);

/** Memory of that number's command, which the controller can read: NVME_LIST_BYTES. */
void *nvme_queue_list(const struct nvme_queue *q, int id);

/** Hand over a command, which gets the number that nvme_queue_next() said. @cookie  not NULL */
void nvme_queue_add(struct nvme_queue *q, const struct nvme_command *c, void *cookie);

/** Tell the controller of those that were added since. */
void nvme_queue_kick(struct nvme_queue *q);

/**
 * The next that is done.
 * @status  receives its status, without the phase: 0 is success
 * @result  receives its double word 0
 * Returns its cookie, or NULL: there is none, or the queue is broken.
 */
void *nvme_queue_take(struct nvme_queue *q, uint16_t *status, uint32_t *result);

/** Tell the controller that those taken are. Returns whether there is another one. */
bool nvme_queue_taken(struct nvme_queue *q);

/**
 * Where a command's data are. All pieces but the first begin, and all but the last end with their page.
 * @nr    1..NVME_PIECES_MAX
 * @list  of nvme_queue_list()
 */
void nvme_prp(struct nvme_command *c, const struct piece *pieces, unsigned int nr, uint64_t *list);
