#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* A name is a guest's: what has a meaning in a path is replaced. */
static void clean(char *name)
{
    for (char *c = name; *c; c++)
        if (*c == '/' || (unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f)
            *c = '_';
}

void log_begin(struct guest_log *l, const struct consoled_options *o, const char *name)
{
    char part[NAME_BYTES], *old;
    int len;

    *l = (struct guest_log){ .max_bytes = o->log_bytes };
    if (o->log_folder == NULL)
        return;
    snprintf(part, sizeof(part), "%s", name);
    clean(part);
    len = snprintf(l->path, sizeof(l->path), "%s/guest-%s.log", o->log_folder, part);
    if (len >= (int)sizeof(l->path)) {
        plat_log(PLAT_ERROR, "%s has no log: its folder's name is too long", name);
        l->path[0] = '\0';
        return;
    }
    old = plat_file_read(l->path, &l->bytes); /* it goes on behind */
    free(old);
}

/* What there is becomes the older file, in place of that. */
static int rotate(struct guest_log *l)
{
    char older[sizeof(l->path) + 2];
    size_t len;
    char *data = plat_file_read(l->path, &len);
    int rc;

    if (data == NULL)
        return errno == ENOENT ? 0 : -1;
    snprintf(older, sizeof(older), "%s.1", l->path);
    rc = plat_file_write(older, data, len);
    free(data);
    return rc ? rc : plat_file_remove(l->path);
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
    int rc = l->path[0] ? add(l, bytes, len) : 0;

    if (rc && !l->failed)
        plat_log(PLAT_ERROR, "%s: %s. Some of what the guest says is missing there", l->path,
                 strerror(errno));
    l->failed = rc != 0;
}
