#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

#define RETRY_NS 5000000000u /* after a failure: a full disk is not asked at each line */

/* A name is a guest's: what has a meaning in a path is replaced. */
static void clean(char *name)
{
    for (char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            *c = '_';
}

void log_begin(struct guest_log *l, const struct consoled_options *o, const char *name,
               unsigned int number)
{
    char part[NAME_BYTES], kind[32] = "guest";
    int len;

    *l = (struct guest_log){ .max_bytes = o->log_bytes };
    if (o->log_folder == NULL)
        return;
    snprintf(part, sizeof(part), "%s", name);
    clean(part);
    if (number)
        snprintf(kind, sizeof(kind), "channel-%u", number);
    len = snprintf(l->path, sizeof(l->path), "%s/%s-%s.log", o->log_folder, kind, part);
    if (len >= (int)sizeof(l->path)) {
        plat_log(PLAT_ERROR, "%s has no log: its folder's name is too long", name);
        l->path[0] = '\0';
        return;
    }
    plat_file_size(l->path, &l->bytes); /* it goes on behind; 0 if there is none */
}

struct older {
    char path[sizeof(((struct guest_log *)NULL)->path) + 2];
};

static struct older older_of(const struct guest_log *l)
{
    struct older o;

    snprintf(o.path, sizeof(o.path), "%s.1", l->path);
    return o;
}

/* What there is becomes the older file, in place of that. */
static int rotate(struct guest_log *l)
{
    struct older older = older_of(l);

    return plat_file_rename(l->path, older.path) == 0 || errno == ENOENT ? 0 : -1;
}

static int add(struct guest_log *l, const char *bytes, size_t len)
{
    if (l->bytes + len > l->max_bytes) {
        if (rotate(l))
            return -1;
        l->bytes = 0;
    }
    if (plat_file_append(l->path, bytes, len))
        return -1;
    l->bytes += len;
    return 0;
}

void log_add(struct guest_log *l, const char *bytes, size_t len)
{
    int rc;

    if (l->path[0] == '\0' || (l->failed && plat_now() < l->retry_ns))
        return;
    rc = add(l, bytes, len);
    if (rc)
        l->retry_ns = plat_now() + RETRY_NS;
    if (rc && !l->failed)
        plat_log(PLAT_ERROR, "%s: %s. Some of what the guest says is missing there", l->path,
                 strerror(errno));
    l->failed = rc != 0;
}

void log_drop(struct guest_log *l)
{
    struct older older = older_of(l);

    if (l->path[0] == '\0')
        return;
    plat_file_remove(l->path);
    plat_file_remove(older.path);
}
