#include "disks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    bool transient; /* opened for its users: closed after the last of them */
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
    e->disk->ops->close(e->disk);
    free(e);
}

static void view_close(struct disk *d)
{
    struct view *v = (struct view *)d, **at = &v->entry->views;

    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    if (v->entry->views == NULL && v->entry->transient)
        entry_free(v->all, v->entry);
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
    return add(all, name, d, false);
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

    if (e)
        return view_new(all, e, 0, e->disk->nr_sectors, true, read_only);
    return open_other(all, name, read_only);
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
