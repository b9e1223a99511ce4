#include "disks.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "partitions.h"

struct view {
    struct disk disk;
    struct view *next;
    struct disks *all;
    struct entry *entry;
    uint64_t first; /* sector of the whole disk */
    bool whole;     /* as large as that is, whatever that becomes */
};

struct entry {
    struct entry *next;
    char name[DISK_NAME];
    struct disk *disk;
    struct view *views;
    struct partitions partitions;
    bool transient; /* opened for its users: closed after the last of them */
    bool was_given; /* all of it, to be written: its labels and UUIDs are whatever a guest wants */
};

struct disks {
    struct plat_loop *loop;
    struct entry *entries;
    struct disk *(*open)(struct plat_loop *l, const char *name, bool read_only);
};

struct disks *disks_new(struct plat_loop *l)
{
    struct disks *all = calloc(1, sizeof(*all));

    if (all)
        all->loop = l;
    return all;
}

void disks_set_open(struct disks *all,
                    struct disk *(*open)(struct plat_loop *l, const char *name, bool read_only))
{
    all->open = open;
}

/* ---- views ---- */

static void view_submit(struct disk *d, struct disk_request *r)
{
    struct view *v = (struct view *)d;

    r->sector += v->first; /* checked by disk_submit() against the view's end */
    disk_submit(v->entry->disk, r);
}

static void entry_free(struct disks *all, struct entry *e)
{
    struct entry **at = &all->entries;

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    partitions_free(&e->partitions);
    e->disk->ops->close(e->disk);
    free(e);
}

void disks_free(struct disks *all)
{
    while (all->entries)
        entry_free(all, all->entries);
    free(all);
}

static void read_partitions(struct entry *e)
{
    if (!e->partitions.reading)
        partitions_read(&e->partitions, e->disk, NULL, NULL);
}

static void view_close(struct disk *d)
{
    struct view *v = (struct view *)d, **at = &v->entry->views;

    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    if (v->entry->views == NULL && v->entry->transient)
        entry_free(v->all, v->entry);
    else if (v->whole && !v->disk.read_only)
        read_partitions(v->entry); /* it may have made others */
    free(v);
}

static const struct disk_ops view_ops = { .submit = view_submit, .close = view_close };

/* The whole disk has another size. What lies behind its end now is refused by itself. */
static void entry_changed(void *arg)
{
    struct entry *e = arg;

    for (struct view *v = e->views, *next; v; v = next) {
        next = v->next;
        if (!v->whole)
            continue;
        v->disk.nr_sectors = e->disk->nr_sectors;
        if (v->disk.changed)
            v->disk.changed(v->disk.arg);
    }
}

/* Sectors from first to the end of which there are nr. */
static struct disk *view_new(struct disks *all, struct entry *e, uint64_t first, uint64_t nr,
                             bool whole, bool read_only)
{
    struct view *v;

    if (e->disk->read_only && !read_only) {
        errno = EROFS;
        return NULL;
    }
    for (v = e->views; v; v = v->next)
        if ((!read_only || !v->disk.read_only) && first < v->first + v->disk.nr_sectors &&
            v->first < first + nr) {
            errno = EBUSY;
            return NULL;
        }
    v = calloc(1, sizeof(*v));
    if (v == NULL)
        return NULL;
    v->all = all;
    v->entry = e;
    v->first = first;
    v->whole = whole;
    v->disk = *e->disk;
    v->disk.ops = &view_ops;
    v->disk.nr_sectors = nr;
    v->disk.read_only = read_only;
    v->disk.changed = NULL;
    v->disk.arg = NULL;
    if (v->disk.memory)
        v->disk.memory += first * DISK_SECTOR;
    v->next = e->views;
    e->views = v;
    e->was_given |= whole && !read_only;
    return &v->disk;
}

/* ---- names ---- */

static struct entry *find(const struct disks *all, const char *name)
{
    struct entry *e = all->entries;

    while (e && strcmp(e->name, name) != 0)
        e = e->next;
    return e;
}

static int add(struct disks *all, const char *name, struct disk *d, bool transient)
{
    struct entry *e, **end = &all->entries;

    if (strlen(name) >= DISK_NAME)
        return ENAMETOOLONG;
    if (find(all, name))
        return EEXIST;
    e = calloc(1, sizeof(*e));
    if (e == NULL)
        return ENOMEM;
    snprintf(e->name, sizeof(e->name), "%s", name);
    e->disk = d;
    e->transient = transient;
    d->changed = entry_changed;
    d->arg = e;
    while (*end)
        end = &(*end)->next;
    *end = e;
    return 0;
}

int disks_add(struct disks *all, const char *name, struct disk *d)
{
    int error = add(all, name, d, false);

    if (error == 0)
        read_partitions(find(all, name));
    return error;
}

/* ---- partitions ---- */

/* "/dev/vda1" of "/dev/vda", "/dev/ram0p1" of "/dev/ram0": the number; 0: it is none of this disk's. */
static unsigned int partition_number(const char *name, const char *disk)
{
    size_t len = strlen(disk);
    unsigned long n;
    char *end;

    if (strncmp(name, disk, len) != 0)
        return 0;
    name += len;
    if (isdigit((unsigned char)disk[len - 1]) && *name++ != 'p')
        return 0;
    if (*name < '1' || *name > '9')
        return 0;
    n = strtoul(name, &end, 10);
    return *end || n > UINT32_MAX ? 0 : (unsigned int)n;
}

static const char by_label[] = "/dev/disk/by-partlabel/", by_uuid[] = "/dev/disk/by-partuuid/";

static bool begins(const char *name, const char *with)
{
    return strncmp(name, with, strlen(with)) == 0;
}

/* Whether one of its partitions may have that name. Names by label or UUID are the machine's: no guest says which they are. */
static bool may_have(const struct entry *e, const char *name)
{
    if (begins(name, by_label) || begins(name, by_uuid))
        return !e->was_given;
    return partition_number(name, e->name) != 0;
}

static bool is_partition(const struct entry *e, const struct gpt_partition *p, const char *name)
{
    char uuid[37];

    if (begins(name, by_label))
        return p->label[0] && strcmp(name + strlen(by_label), p->label) == 0;
    gpt_uuid_print(p->uuid, uuid);
    if (begins(name, by_uuid))
        return strcasecmp(name + strlen(by_uuid), uuid) == 0;
    return partition_number(name, e->name) == p->number;
}

/* NULL: ENOENT there is none, EAGAIN it is not known yet, EMLINK several have that name: which one is meant? */
static const struct gpt_partition *find_partition(struct disks *all, const char *name,
                                                  struct entry **of)
{
    const struct gpt_partition *found = NULL;

    errno = ENOENT;
    for (struct entry *e = all->entries; e; e = e->next) {
        if (!may_have(e, name))
            continue;
        if (e->partitions.reading) {
            errno = EAGAIN;
            return NULL;
        }
        for (int i = 0; i < e->partitions.nr; i++) {
            if (!is_partition(e, &e->partitions.list[i], name))
                continue;
            if (found) {
                errno = EMLINK;
                return NULL;
            }
            found = &e->partitions.list[i];
            *of = e;
        }
    }
    return found;
}

static struct disk *open_partition(struct disks *all, const char *name, bool read_only)
{
    struct entry *e = NULL;
    const struct gpt_partition *p = find_partition(all, name, &e);
    uint64_t unit;

    if (p == NULL)
        return NULL;
    unit = e->disk->sector_bytes / DISK_SECTOR;
    return view_new(all, e, p->first * unit, p->nr * unit, false, read_only);
}

/* What the registry does not have is opened for as long as it has users. */
static struct disk *open_other(struct disks *all, const char *name, bool read_only)
{
    struct disk *d, *view;
    struct entry *e;
    int error;

    errno = ENOENT;
    d = all->open ? all->open(all->loop, name, read_only) : NULL;
    if (d == NULL)
        return NULL;
    error = add(all, name, d, true);
    if (error) {
        d->ops->close(d);
        errno = error;
        return NULL;
    }
    e = find(all, name);
    view = view_new(all, e, 0, d->nr_sectors, true, read_only);
    error = errno;
    if (view == NULL)
        entry_free(all, e);
    errno = error;
    return view;
}

struct disk *disks_open(struct disks *all, const char *name, bool read_only)
{
    struct entry *e = find(all, name);

    struct disk *d;

    if (e)
        return view_new(all, e, 0, e->disk->nr_sectors, true, read_only);
    d = open_partition(all, name, read_only);
    return d || errno != ENOENT ? d : open_other(all, name, read_only);
}

const char *disks_nth(const struct disks *all, unsigned int n, const struct disk **d)
{
    struct entry *e = all->entries;

    while (e && n--)
        e = e->next;
    if (e && d)
        *d = e->disk;
    return e ? e->name : NULL;
}
