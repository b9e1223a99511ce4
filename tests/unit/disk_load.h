/* Requests of all shapes to a disk, and what is to be there afterwards: for tests of drivers of disks. */
#pragma once
#include "block/disk.h"

#include <stddef.h>

enum { LOAD_SLOTS = 40, LOAD_SEGMENTS = 6, LOAD_SECTORS = 400 };

struct load;

struct load_slot {
    struct disk_request request; /* the first member */
    struct disk_segment segments[LOAD_SEGMENTS];
    struct load *load;
    uint8_t *memory, *data; /* what lies before and behind data stays as it is */
    bool busy;
};

struct load {
    struct disk *disk;
    const uint8_t *model; /* what the device holds: the test's */
    uint64_t nr_sectors;
    unsigned int seed;
    unsigned int nr_busy, nr_done, nr_errors, nr_wrong;
    int last_error;
    bool read_back; /* data that were read are compared with the model */
    struct load_slot slots[LOAD_SLOTS];
};

void load_init(struct load *l, struct disk *d, const uint8_t *model);
void load_exit(struct load *l);

/** Begin with a request of chance in a slot that is free; its sectors are in no other's. False: none is free. */
bool load_begin(struct load *l, enum disk_op op);

/** One of exactly that. */
bool load_begin_at(struct load *l, enum disk_op op, uint64_t sector, uint64_t nr);
