/* backends/block: the input is a slot of a guest's ring and a page of its segments, or a disk's partition table, or a file system. */
#include "fuzz.h"

#include "../../backends/block/blk_request.h"
#include "../../backends/block/fs_names.h"
#include "../../backends/block/gpt.h"

/* What queue.c relies on. */
static void request(const uint8_t *data, size_t size)
{
    struct disk d = { .nr_sectors = 1 << 12, .sector_bytes = size & 1 ? 512 : 4096, .flush = true };
    struct blkif_request from = { 0 };
    struct blk_request *r = malloc(sizeof(*r));
    size_t n = size < sizeof(from) ? size : sizeof(from);
    uint64_t sectors = 0;

    d.read_only = size & 2;
    d.discard = size & 4;
    memcpy(&from, data, n);
    memset(r, 0xa5, sizeof(*r));
    if (blk_request_parse(&from, r) == BLKIF_RSP_OKAY) {
        BUG_ON(r->nr_segments > BLK_SEGMENTS);
        if (blk_has_segments(&from))
            memcpy(r->segments, from.seg, r->nr_segments * sizeof(r->segments[0]));
        if (r->indirect) {
            size_t table = r->nr_segments * sizeof(r->segments[0]);

            memset(r->segments, 0, table);
            memcpy(r->segments, data + n, size - n < table ? size - n : table);
        }
        if (blk_request_check(r, &d) == BLKIF_RSP_OKAY && r->op != DISK_FLUSH) {
            for (unsigned int i = 0; r->op != DISK_DISCARD && i < r->nr_segments; i++) {
                BUG_ON(blk_segment_offset(&r->segments[i]) + blk_segment_bytes(&r->segments[i]) >
                       BLK_PAGE);
                sectors += blk_segment_bytes(&r->segments[i]) / 512;
            }
            BUG_ON(r->op != DISK_DISCARD && sectors != r->nr_sectors);
            BUG_ON(r->nr_sectors == 0 || r->sector > d.nr_sectors ||
                   r->nr_sectors > d.nr_sectors - r->sector);
            BUG_ON(r->op != DISK_READ && d.read_only);
        }
    }
    free(r);
}

static uint32_t crc32(const uint8_t *p, size_t len)
{
    uint32_t crc = ~0u;

    while (len--) {
        crc ^= *p++;
        for (int i = 0; i < 8; i++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

/* Its sums are made right: what has wrong ones gets nowhere. */
static void table(const uint8_t *data, size_t size)
{
    static struct gpt_partition parts[GPT_PARTITIONS];
    uint8_t block[512] = { 0 }, *entries;
    size_t n = size < sizeof(block) ? size : sizeof(block), bytes;
    struct gpt_header h;
    uint32_t len, sum;
    int nr;

    memcpy(block, data, n);
    memcpy(block, "EFI PART\0\0\1", 12);
    memcpy(&len, block + 12, 4);
    len = 92 + len % 421;
    memcpy(block + 12, &len, 4);
    memset(block + 16, 0, 4);
    sum = crc32(block, len);
    memcpy(block + 16, &sum, 4);
    if (!gpt_header_parse(block, 512, 1 << 14, 1, &h))
        return;
    bytes = gpt_entries_bytes(&h);
    BUG_ON(bytes == 0 || bytes > GPT_MAX_BYTES || h.last_usable >= 1 << 14);
    entries = calloc(1, bytes);
    memcpy(entries, data + n, size - n < bytes ? size - n : bytes);
    h.entries_crc = crc32(entries, bytes);
    nr = gpt_entries_parse(&h, entries, parts);
    BUG_ON(nr < 0 || nr > GPT_PARTITIONS);
    for (int i = 0; i < nr; i++) {
        BUG_ON(parts[i].nr == 0 || parts[i].first < h.first_usable ||
               parts[i].first + parts[i].nr - 1 > h.last_usable);
        BUG_ON(memchr(parts[i].label, 0, GPT_LABEL) == NULL || strchr(parts[i].label, '/'));
        for (int k = 0; k < i; k++)
            BUG_ON(parts[i].first < parts[k].first + parts[k].nr &&
                   parts[k].first < parts[i].first + parts[i].nr);
    }
    free(entries);
}

/* With a magic: what has none is not looked at. */
static void names(const uint8_t *data, size_t size)
{
    static const struct {
        uint16_t at;
        const char *magic;
    } all[] = { { 1080, "\x53\xef" }, { 0, "XFSB" },      { FS_BYTES - 10, "SWAPSPACE2" },
                { 82, "FAT32   " },   { 54, "FAT16   " }, { 54, "FAT12   " } };
    uint8_t *bytes = calloc(1, FS_BYTES);
    struct fs_names n;
    unsigned int kind = size ? data[0] % 8 : 0;

    memcpy(bytes, data, size < FS_BYTES ? size : FS_BYTES);
    if (kind < sizeof(all) / sizeof(all[0]))
        memcpy(bytes + all[kind].at, all[kind].magic, strlen(all[kind].magic));
    memset(&n, 0xa5, sizeof(n));
    fs_names_parse(bytes, &n);
    BUG_ON(memchr(n.label, 0, sizeof(n.label)) == NULL || strchr(n.label, '/'));
    BUG_ON(strlen(n.uuid) != 0 && strlen(n.uuid) != 9 && strlen(n.uuid) != 36);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        request(data + 1, size - 1);
    else if (data[0] & 2)
        names(data + 1, size - 1);
    else
        table(data + 1, size - 1);
    return 0;
}
