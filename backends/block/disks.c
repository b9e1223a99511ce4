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
    uint64_t first;         /* sector of the whole disk */
    bool whole;             /* as large as that is, whatever that becomes */
    unsigned int partition; /* else its number */
};

struct entry {
    struct entry *next;
    char name[DISK_NAME];
    struct disk *disk;
    struct view *views;
    struct partitions partitions;
    struct fs_names fs; /* of the whole, if it has no partitions, before it was given to anybody */
    bool transient;     /* opened for its users: closed after the last of them */
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

static void partitions_known(void *arg)
{
    struct entry *e = arg;

    if (!e->was_given && e->partitions.nr == 0 && e->partitions.names)
        e->fs = e->partitions.names[0];
}

static void read_partitions(struct entry *e)
{
    if (!e->partitions.reading)
        partitions_read(&e->partitions, e->disk, partitions_known, e);
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

/* Sectors from first, of which there are nr: a partition's, or all (partition: 0). */
static struct disk *view_new(struct disks *all, struct entry *e, uint64_t first, uint64_t nr,
                             unsigned int partition, bool read_only)
{
    bool whole = partition == 0;
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
    v->partition = partition;
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

/* Ways to say which one is meant. */
enum by { BY_NUMBER, BY_PARTLABEL, BY_PARTUUID, BY_LABEL, BY_UUID, NR_BY };
static const char *const folders[NR_BY] = { [BY_PARTLABEL] = "/dev/disk/by-partlabel/",
                                            [BY_PARTUUID] = "/dev/disk/by-partuuid/",
                                            [BY_LABEL] = "/dev/disk/by-label/",
                                            [BY_UUID] = "/dev/disk/by-uuid/" };

/* @name  receives what is behind the folder; by number, all of it */
static enum by by_what(const char **name)
{
    for (enum by by = BY_PARTLABEL; by < NR_BY; by++)
        if (strncmp(*name, folders[by], strlen(folders[by])) == 0) {
            *name += strlen(folders[by]);
            return by;
        }
    return BY_NUMBER;
}

/* Whether one of its partitions may have that name. Names but numbers are the machine's: no guest says which they are. */
static bool may_have(const struct entry *e, enum by by, const char *name)
{
    return by == BY_NUMBER ? partition_number(name, e->name) != 0 : !e->was_given;
}

static bool is_fs(const struct fs_names *fs, enum by by, const char *name)
{
    if (fs == NULL || name[0] == '\0')
        return false;
    return by == BY_LABEL ? strcmp(name, fs->label) == 0
                          : by == BY_UUID && strcasecmp(name, fs->uuid) == 0;
}

static bool is_partition(const struct entry *e, int i, enum by by, const char *name)
{
    const struct gpt_partition *p = &e->partitions.list[i];
    char uuid[37];

    switch (by) {
    case BY_NUMBER: return partition_number(name, e->name) == p->number;
    case BY_PARTLABEL: return p->label[0] && strcmp(name, p->label) == 0;
    case BY_PARTUUID: gpt_uuid_print(p->uuid, uuid); return strcasecmp(name, uuid) == 0;
    default: return is_fs(e->partitions.names ? &e->partitions.names[i] : NULL, by, name);
    }
}

/* What a name stands for. */
struct found {
    struct entry *entry;
    const struct gpt_partition *partition; /* NULL: the whole */
    unsigned int nr;                       /* that have that name */
};

static void found_add(struct found *f, struct entry *e, const struct gpt_partition *p)
{
    f->entry = e;
    f->partition = p;
    f->nr++;
}

/* 0: there is one; ENOENT, EAGAIN it is not known yet, EMLINK several have that name: which one is meant? */
static int find_by_name(struct disks *all, const char *name, struct found *f)
{
    enum by by = by_what(&name);

    for (struct entry *e = all->entries; e; e = e->next) {
        if (is_fs(&e->fs, by, name))
            found_add(f, e, NULL);
        if (!may_have(e, by, name))
            continue;
        if (e->partitions.reading)
            return EAGAIN;
        for (int i = 0; i < e->partitions.nr; i++)
            if (is_partition(e, i, by, name))
                found_add(f, e, &e->partitions.list[i]);
    }
    return f->nr == 0 ? ENOENT : f->nr == 1 ? 0 : EMLINK;
}

static struct disk *open_by_name(struct disks *all, const char *name, bool read_only)
{
    struct found f = { .nr = 0 };
    uint64_t unit;

    errno = find_by_name(all, name, &f);
    if (errno)
        return NULL;
    if (f.partition == NULL)
        return view_new(all, f.entry, 0, f.entry->disk->nr_sectors, 0, read_only);
    unit = f.entry->disk->sector_bytes / DISK_SECTOR;
    return view_new(all, f.entry, f.partition->first * unit, f.partition->nr * unit,
                    f.partition->number, read_only);
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
    view = view_new(all, e, 0, d->nr_sectors, 0, read_only);
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
        return view_new(all, e, 0, e->disk->nr_sectors, 0, read_only);
    d = open_by_name(all, name, read_only);
    return d || errno != ENOENT ? d : open_other(all, name, read_only);
}

void disks_name(const struct disk *view, char name[DISK_NAME])
{
    const struct view *v = (const struct view *)view;
    const char *of = v->entry->name;
    const char *p = isdigit((unsigned char)of[strlen(of) - 1]) ? "p" : "";
    int len = v->whole ? snprintf(name, DISK_NAME, "%s", of)
                       : snprintf(name, DISK_NAME, "%s%s%u", of, p, v->partition);

    if (len >= DISK_NAME)
        name[0] = '\0';
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
