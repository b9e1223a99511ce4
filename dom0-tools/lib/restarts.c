/* See restarts.h. */
#include "restarts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xenstore.h>

#include "../config.h"
#include "guest_internal.h"
#include "nodes.h"
#include "platform.h"
#include "toolstack.h"

#define FOLDER "/xen-like/restarts"

/* One node, so that it is written at once: a line of numbers, then the configuration. */
enum { PATH_BYTES = sizeof(FOLDER) + 37, LINE_BYTES = 80, MESSAGE_BYTES = 4096 };
_Static_assert(PATH_BYTES + LINE_BYTES + NODES_CONFIG_MAX <= MESSAGE_BYTES,
               "a message of the store");

static int fail(struct toolstack *t, const char *uuid)
{
    return toolstack_fail(t, errno, "that domain %s begins, in the store: %s", uuid,
                          strerror(errno));
}

static const char *path_of(const char *uuid, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, FOLDER "/%.36s", uuid);
    return path;
}

static bool write_node(struct toolstack *t, const char *path, const char *text, size_t len)
{
    struct xs_permissions ours = { .id = t->self, .perms = XS_PERM_NONE };

    return xs_write(t->store, XBT_NULL, path, text, (unsigned int)len) &&
           xs_set_permissions(t->store, XBT_NULL, path, &ours, 1);
}

int restarts_put(struct toolstack *t, const struct domain_config *c, const struct restart *r)
{
    char path[PATH_BYTES], uuid[37], *value, *text = guest_config_text(t, c);
    int len, rc = 0;

    value = text ? malloc(LINE_BYTES + NODES_CONFIG_MAX) : NULL;
    if (value == NULL) {
        free(text);
        return text ? toolstack_fail(t, ENOMEM, "no memory") : -1;
    }
    config_print_uuid(c->uuid, uuid);
    len = snprintf(value, LINE_BYTES + NODES_CONFIG_MAX, "%llu %u %u %u %d %llu\n%s",
                   (unsigned long long)r->configured_kib, r->old, r->nr_short_lives, r->nr_tries,
                   r->foreground, (unsigned long long)r->tried, text);
    if (!write_node(t, path_of(uuid, path), value, (size_t)len))
        rc = fail(t, uuid);
    free(value);
    free(text);
    return rc;
}

/* Returns where the configuration begins; NULL: it is not understood. */
static const char *parse_line(const char *text, struct restart *r)
{
    unsigned long long kib, tried;
    unsigned int old, foreground;
    int len = 0;

    if (sscanf(text, "%llu %u %u %u %u %llu%n", &kib, &old, &r->nr_short_lives, &r->nr_tries,
               &foreground, &tried, &len) != 6 ||
        old > DOMID_INVALID || text[len] != '\n')
        return NULL;
    r->configured_kib = kib;
    r->tried = tried;
    r->old = (domid_t)old;
    r->foreground = foreground;
    return text + len + 1;
}

int restarts_get(struct toolstack *t, const char *uuid, struct domain_config *c, struct restart *r)
{
    char path[PATH_BYTES], its[37] = "";
    char *text = xs_read(t->store, XBT_NULL, path_of(uuid, path), NULL);
    const char *config = text ? parse_line(text, r) : NULL;
    bool good = config && guest_parse_config(t, config, c) == 0 && c->has_uuid;

    if (good)
        config_print_uuid(c->uuid, its);
    if (text == NULL)
        return fail(t, uuid);
    free(text);
    if (good && strcmp(its, uuid) == 0)
        return 0;
    xs_rm(t->store, XBT_NULL, path);
    errno = EINVAL;
    return fail(t, uuid);
}

bool restarts_forget(struct toolstack *t, const uint8_t uuid[16])
{
    char path[PATH_BYTES], text[37];

    config_print_uuid(uuid, text);
    return xs_rm(t->store, XBT_NULL, path_of(text, path)) || errno == ENOENT;
}

char *restarts_take(struct toolstack *t, const uint8_t uuid[16])
{
    char path[PATH_BYTES], text[37], *kept;

    config_print_uuid(uuid, text);
    kept = xs_read(t->store, XBT_NULL, path_of(text, path), NULL);
    if (kept)
        xs_rm(t->store, XBT_NULL, path);
    return kept;
}

void restarts_give_back(struct toolstack *t, const uint8_t uuid[16], const char *kept)
{
    char path[PATH_BYTES], text[37];

    config_print_uuid(uuid, text);
    if (!write_node(t, path_of(text, path), kept, strlen(kept)))
        plat_log(PLAT_WARNING, "domain %s does not begin any more: %s", text, strerror(errno));
}

char **restarts_list(struct toolstack *t, unsigned int *nr)
{
    return xs_directory(t->store, XBT_NULL, FOLDER, nr);
}
