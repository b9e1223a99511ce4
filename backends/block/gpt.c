/* By the UEFI specification, chapter 5.3. */
#include "gpt.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_MIN = 92, ENTRY_MIN = 128, ENTRY_MAX = 4096, NAME_UNITS = 36 };

static uint32_t le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t le64(const uint8_t *p) { return le32(p) | (uint64_t)le32(p + 4) << 32; }

static uint32_t crc_add(uint32_t crc, const uint8_t *p, size_t len)
{
    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return crc;
}

static uint32_t crc32(const uint8_t *p, size_t len) { return ~crc_add(~0u, p, len); }

/* Of a header, whose own field counts as zero. */
static uint32_t header_crc(const uint8_t *block, uint32_t len)
{
    static const uint8_t zero[4];
    uint32_t crc = crc_add(~0u, block, 16);

    crc = crc_add(crc, zero, 4);
    return ~crc_add(crc, block + 20, len - 20);
}

bool gpt_header_parse(const uint8_t *block, uint32_t block_bytes, uint64_t nr_blocks, uint64_t lba,
                      struct gpt_header *h)
{
    uint32_t len = le32(block + 12);
    uint64_t entries_blocks;

    if (memcmp(block, "EFI PART", 8) != 0 || le32(block + 8) != 0x10000 || len < HEADER_MIN ||
        len > block_bytes || header_crc(block, len) != le32(block + 16) || le64(block + 24) != lba)
        return false;
    h->first_usable = le64(block + 40);
    h->last_usable = le64(block + 48);
    h->entries_lba = le64(block + 72);
    h->nr_entries = le32(block + 80);
    h->entry_bytes = le32(block + 84);
    h->entries_crc = le32(block + 88);
    if (h->entry_bytes < ENTRY_MIN || h->entry_bytes > ENTRY_MAX || h->entry_bytes % 8 ||
        h->nr_entries == 0 || h->nr_entries > GPT_MAX_BYTES / h->entry_bytes)
        return false;
    entries_blocks = (gpt_entries_bytes(h) + block_bytes - 1) / block_bytes;
    return h->first_usable >= 2 && h->first_usable <= h->last_usable &&
           h->last_usable < nr_blocks && h->entries_lba >= 2 && h->entries_lba < nr_blocks &&
           entries_blocks <= nr_blocks - h->entries_lba &&
           (h->entries_lba > h->last_usable || h->entries_lba + entries_blocks <= h->first_usable);
}

/* UTF-16 to UTF-8; what is half of a pair, and what would not be fit for a name, is '?'. */
static void read_label(const uint8_t *units, char *label)
{
    size_t n = 0;

    for (int i = 0; i < NAME_UNITS; i++) {
        unsigned int c = units[2 * i] | (unsigned int)units[2 * i + 1] << 8;

        if (c == 0)
            break;
        if (c < ' ' || c == 0x7f || c == '/' || (c >= 0xd800 && c < 0xe000))
            c = '?';
        if (c < 0x80) {
            label[n++] = (char)c;
        } else if (c < 0x800) {
            label[n++] = (char)(0xc0 | c >> 6);
            label[n++] = (char)(0x80 | (c & 0x3f));
        } else {
            label[n++] = (char)(0xe0 | c >> 12);
            label[n++] = (char)(0x80 | (c >> 6 & 0x3f));
            label[n++] = (char)(0x80 | (c & 0x3f));
        }
    }
    label[n] = '\0';
}

static bool overlaps(const struct gpt_partition *parts, int nr, uint64_t first, uint64_t last)
{
    for (int i = 0; i < nr; i++)
        if (first < parts[i].first + parts[i].nr && parts[i].first <= last)
            return true;
    return false;
}

int gpt_entries_parse(const struct gpt_header *h, const uint8_t *entries,
                      struct gpt_partition *parts)
{
    static const uint8_t unused[16];
    int nr = 0;

    if (crc32(entries, gpt_entries_bytes(h)) != h->entries_crc)
        return -1;
    for (uint32_t i = 0; i < h->nr_entries && nr < GPT_PARTITIONS; i++) {
        const uint8_t *e = entries + (size_t)i * h->entry_bytes;
        uint64_t first = le64(e + 32), last = le64(e + 40);
        struct gpt_partition *p = &parts[nr];

        if (memcmp(e, unused, 16) == 0 || first < h->first_usable || last > h->last_usable ||
            first > last || overlaps(parts, nr, first, last))
            continue;
        p->number = i + 1;
        p->first = first;
        p->nr = last - first + 1;
        memcpy(p->uuid, e + 16, 16);
        read_label(e + 56, p->label);
        nr++;
    }
    return nr;
}

void gpt_uuid_print(const uint8_t u[16], char text[37])
{
    snprintf(text, 37, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", le32(u),
             u[4] | u[5] << 8, u[6] | u[7] << 8, u[8], u[9], u[10], u[11], u[12], u[13], u[14],
             u[15]);
}
