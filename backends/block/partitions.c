#include "partitions.h"

#include <stdlib.h>

enum { PAGE = 4096 };

static void read_header(struct partitions *p, uint64_t lba);
static void read_names(struct partitions *p);

static void end(struct partitions *p)
{
    free(p->memory);
    p->memory = NULL;
    p->reading = false;
    if (p->read)
        p->read(p->arg);
}

/* The copy at the end of the disk, or that was it. */
static void next_header(struct partitions *p)
{
    uint64_t last = p->disk->nr_sectors / (p->disk->sector_bytes / DISK_SECTOR) - 1;

    if (p->lba == 1 && last > 1)
        read_header(p, last);
    else
        read_names(p);
}

static void read_blocks(struct partitions *p, uint64_t lba, uint32_t bytes,
                        void (*done)(struct disk_request *r, int error))
{
    uint32_t unit = p->disk->sector_bytes;

    p->segment =
        (struct disk_segment){ .data = p->bytes, .bytes = (bytes + unit - 1) / unit * unit };
    p->request = (struct disk_request){ .op = DISK_READ,
                                        .sector = lba * (unit / DISK_SECTOR),
                                        .segments = &p->segment,
                                        .nr_segments = 1,
                                        .done = done };
    disk_submit(p->disk, &p->request);
}

static struct partitions *of_request(struct disk_request *r)
{
    return (struct partitions *)((char *)r - offsetof(struct partitions, request));
}

static void on_entries(struct disk_request *r, int error)
{
    struct partitions *p = of_request(r);
    struct gpt_partition *list = error ? NULL : calloc(GPT_PARTITIONS, sizeof(*list));
    int nr = list ? gpt_entries_parse(&p->header, p->bytes, list) : -1;

    if (nr < 0) {
        free(list);
        next_header(p);
        return;
    }
    p->list = list;
    p->nr = nr;
    read_names(p);
}

/* ---- their file systems, or the disk's if it has no partitions ---- */

static uint64_t sectors_of(const struct partitions *p)
{
    return p->nr ? p->list[p->at].nr * (p->disk->sector_bytes / DISK_SECTOR) : p->disk->nr_sectors;
}

static void names_next(struct partitions *p);

static void on_name(struct disk_request *r, int error)
{
    struct partitions *p = of_request(r);

    if (!error)
        fs_names_parse(p->bytes, &p->names[p->at]);
    p->at++;
    p->asked = false;
    names_next(p);
}

/* A disk may answer at once: then this goes round here, not deeper and deeper. */
static void names_next(struct partitions *p)
{
    int nr = p->nr ? p->nr : 1;

    if (p->asking)
        return;
    p->asking = true;
    while (p->at < nr && !p->asked) {
        if (sectors_of(p) < FS_BYTES / DISK_SECTOR) {
            p->at++;
            continue;
        }
        p->asked = true;
        read_blocks(p, p->nr ? p->list[p->at].first : 0, FS_BYTES, on_name);
    }
    p->asking = false;
    if (!p->asked)
        end(p);
}

static void read_names(struct partitions *p)
{
    p->names = calloc(p->nr ? (size_t)p->nr : 1, sizeof(*p->names));
    p->at = 0;
    p->asked = false;
    if (p->names)
        names_next(p);
    else
        end(p);
}

static void on_header(struct disk_request *r, int error)
{
    struct partitions *p = of_request(r);
    uint32_t unit = p->disk->sector_bytes;

    if (!error && gpt_header_parse(p->bytes, unit, p->disk->nr_sectors / (unit / DISK_SECTOR),
                                   p->lba, &p->header))
        read_blocks(p, p->header.entries_lba, gpt_entries_bytes(&p->header), on_entries);
    else
        next_header(p);
}

static void read_header(struct partitions *p, uint64_t lba)
{
    p->lba = lba;
    read_blocks(p, lba, p->disk->sector_bytes, on_header);
}

void partitions_read(struct partitions *p, struct disk *d, void (*read)(void *arg), void *arg)
{
    partitions_free(p);
    p->reading = true;
    p->disk = d;
    p->read = read;
    p->arg = arg;
    p->memory = malloc(GPT_MAX_BYTES + 2 * PAGE);
    if (p->memory == NULL) {
        end(p);
        return;
    }
    p->bytes = (uint8_t *)(((uintptr_t)p->memory + PAGE - 1) & ~(uintptr_t)(PAGE - 1));
    read_header(p, 1);
}

void partitions_free(struct partitions *p)
{
    free(p->list);
    free(p->names);
    p->list = NULL;
    p->names = NULL;
    p->nr = 0;
}
