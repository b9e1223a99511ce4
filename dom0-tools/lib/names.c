/* See names.h. */
#include "names.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "toolstack.h"

#define INDEX "/xen-like/names/"

enum { PATH_BYTES = 48, INDEX_BYTES = sizeof(INDEX) + 3 * CONFIG_NAME };

/* What a store allows in a path, of each byte: "mail.example" is mail@2eexample. */
static const char *index_path(const char *name, char path[INDEX_BYTES])
{
    char *to = path + sprintf(path, INDEX);

    for (unsigned int i = 0; i < CONFIG_NAME && name[i]; i++) {
        unsigned char c = (unsigned char)name[i];

        to += sprintf(to, c < 0x80 && (isalnum(c) || c == '-' || c == '_') ? "%c" : "@%02x", c);
    }
    *to = '\0';
    return path;
}

static bool is_name_of(struct toolstack *t, xs_transaction_t tx, const char *name, domid_t id)
{
    char path[PATH_BYTES], *its;
    bool same;

    snprintf(path, sizeof(path), "/local/domain/%u/name", id);
    its = xs_read(t->store, tx, path, NULL);
    same = its && strcmp(its, name) == 0;
    free(its);
    return same;
}

/* A number of a domain, to the text's end. */
static bool parse_id(const char *text, domid_t *id)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    *id = (domid_t)n;
    return *text >= '0' && *text <= '9' && *end == '\0' && n < DOMID_FIRST_RESERVED;
}

/* What the index says; false: nothing. */
static bool indexed(struct toolstack *t, xs_transaction_t tx, const char *name, domid_t *id)
{
    char path[INDEX_BYTES], *text = xs_read(t->store, tx, index_path(name, path), NULL);
    bool ok = text && parse_id(text, id);

    free(text);
    return ok;
}

int names_find(struct toolstack *t, xs_transaction_t tx, const char *name, bool all, domid_t *id)
{
    unsigned int nr = 0;
    char **ids = NULL;
    bool found = indexed(t, tx, name, id) && is_name_of(t, tx, name, *id);

    if (!found && all) {
        ids = xs_directory(t->store, tx, "/local/domain", &nr);
        if (ids == NULL && errno != ENOENT)
            return -1;
    }
    for (unsigned int i = 0; !found && i < nr; i++)
        found = parse_id(ids[i], id) && is_name_of(t, tx, name, *id);
    free(ids);
    errno = ESRCH;
    return found ? 0 : -1;
}

bool names_put(struct toolstack *t, xs_transaction_t tx, const char *name, domid_t id)
{
    struct xs_permissions ours = { .id = t->self, .perms = XS_PERM_NONE };
    char path[INDEX_BYTES], text[8];
    int len = snprintf(text, sizeof(text), "%u", id);

    return xs_write(t->store, tx, index_path(name, path), text, (unsigned int)len) &&
           xs_set_permissions(t->store, tx, path, &ours, 1);
}

bool names_forget(struct toolstack *t, xs_transaction_t tx, const char *name, domid_t id)
{
    char path[INDEX_BYTES];
    domid_t now;

    if (!indexed(t, tx, name, &now))
        return errno == ENOENT;
    return now != id || xs_rm(t->store, tx, index_path(name, path)) || errno == ENOENT;
}
