/* partitions.h: reading the partitions of a disk, and what their file systems are called, in the background of its loop. */
#pragma once
#include "disk.h"
#include "fs_names.h"
#include "gpt.h"

struct partitions {
    bool reading;
    int nr; /* of those that are known */
    struct gpt_partition *list;
    struct fs_names
        *names; /* of each; of a disk without any, there is one: its own. NULL: none is known */

    /* Private. */
    struct disk *disk;
    struct disk_request request;
    struct disk_segment segment;
    struct gpt_header header;
    uint64_t lba;       /* of the header that is tried */
    int at;             /* the file system that is looked at */
    bool asked, asking; /* it is not there yet; within the function that asks */
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
