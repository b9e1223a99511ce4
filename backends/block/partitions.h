/* partitions.h: reading the partitions of a disk, in the background of its loop. */
#pragma once
#include "disk.h"
#include "gpt.h"

struct partitions {
    bool reading;
    int nr; /* of those that are known */
    struct gpt_partition *list;

    /* Private. */
    struct disk *disk;
    struct disk_request request;
    struct disk_segment segment;
    struct gpt_header header;
    uint64_t lba; /* of the header that is tried */
    void *memory;
    uint8_t *bytes;
    void (*read)(void *arg); /* when it has ended */
    void *arg;
};

/**
 * Read them; until it has ended p and the disk must stay.
 * @read  called once, perhaps before this returns; NULL: nobody waits for it
 */
void partitions_read(struct partitions *p, struct disk *d, void (*read)(void *arg), void *arg);

/** It does not read. */
void partitions_free(struct partitions *p);
