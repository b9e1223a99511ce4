/* gpt.h: what a GUID partition table says, checked: pure. All that is read from a disk may be somebody's forgery. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GPT_MAX_BYTES = 128 << 10, /* of a table's entries: 1,024 of the usual size */
    GPT_PARTITIONS = 128,      /* that are used at most */
    GPT_LABEL = 36 * 3 + 1,    /* a label in UTF-8 with its zero */
};

struct gpt_header {
    uint64_t entries_lba, first_usable, last_usable;
    uint32_t nr_entries, entry_bytes, entries_crc;
};

struct gpt_partition {
    unsigned int number; /* from 1 */
    uint64_t first, nr;  /* in the disk's blocks */
    uint8_t uuid[16];
    char label[GPT_LABEL];
};

/**
 * @block        the bytes at @lba: 1, or the last block (a copy that is used if the first is broken)
 * @block_bytes  512 or 4096
 * @nr_blocks    of the disk
 * Returns whether it is a table's header, all of whose numbers make sense on that disk.
 */
bool gpt_header_parse(const uint8_t *block, uint32_t block_bytes, uint64_t nr_blocks, uint64_t lba,
                      struct gpt_header *h);

/** How many bytes its entries are. */
static inline uint32_t gpt_entries_bytes(const struct gpt_header *h)
{
    return h->nr_entries * h->entry_bytes;
}

/**
 * @entries  gpt_entries_bytes() of them
 * @parts    receives up to GPT_PARTITIONS; one that is out of range or overlaps with one before is left out
 * Returns how many; -1: they are not those that the header speaks of.
 */
int gpt_entries_parse(const struct gpt_header *h, const uint8_t *entries,
                      struct gpt_partition *parts);

/** A UUID as it is written, in lower case. */
void gpt_uuid_print(const uint8_t uuid[16], char text[37]);
