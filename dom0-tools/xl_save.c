/* xl save, restore and dump-core. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>

#include "json.h"
#include "lib/devices.h"
#include "xl.h"

static int failed(struct xl *x) { return xl_fail(x, "xl: %s", x->tools.error); }

/* ---- what a saved domain is created with ---- */

/*
 * Of a domain that Debian's xl has created: what that keeps of it in a file. Who has devices is refused: its backends
 * would not be saved, and stay. -1: the error is set; errno ENOENT, there is no such file.
 */
static int others_config(struct toolstack *t, const guest_info_t *info, struct domain_config *c)
{
    char path[120], uuid[37], wrong[80], *text;
    size_t len;
    int rc;

    config_print_uuid(info->handle, uuid);
    snprintf(path, sizeof(path), "/var/lib/xen/userdata-d.%u.%s.libxl-json", info->domain, uuid);
    text = plat_file_read(path, &len);
    if (text == NULL)
        return toolstack_fail(t, errno, "domain %u: its configuration: %s", info->domain,
                              strerror(errno));
    if (len && text[len - 1] == '\0') /* libxl writes its string with the end */
        len--;
    rc = config_from_json(c, text, len, wrong, sizeof(wrong));
    free(text);
    return rc ? toolstack_fail(t, ENOTSUP, "%s: %s", path, wrong) : 0;
}

static int find_config(struct xl *x, const struct options *o, const guest_info_t *info,
                       struct domain_config *c, struct text *json)
{
    struct toolstack *t = &x->tools;
    struct json j = { .out = json };
    int rc = guest_config(t, info->domain, c);

    if (rc && errno == ENOENT)
        rc = others_config(t, info, c);
    if (rc && (errno != ENOENT || o->nr_args < 3))
        return failed(x);
    if (o->nr_args > 2) {
        rc = xl_read_config(x, o->args[2], c);
        if (rc)
            return rc;
        devices_keep_macs(t, info->domain, c);
    }
    guest_config_now(t, info, c);
    config_json(&j, NULL, c);
    return EXIT_OK;
}

/* ---- save ---- */

static int save(struct xl *x, const struct options *o, domid_t id, struct text *json)
{
    struct domain_config *c = malloc(sizeof(*c));
    enum guest_then then = GUEST_DESTROYED;
    guest_info_t info;
    int rc;

    if (option_value(o, "c"))
        then = GUEST_GOES_ON;
    if (option_value(o, "p"))
        then = GUEST_STAYS_PAUSED;
    if (c == NULL)
        return xl_fail(x, "xl: no memory");
    rc = guest_info(&x->tools, id, &info) ? failed(x) : find_config(x, o, &info, c, json);
    free(c);
    if (rc == EXIT_OK && json->failed)
        rc = xl_fail(x, "xl: no memory");
    xl_heed_interrupts(x, true);
    if (rc == EXIT_OK && guest_save(&x->tools, id, o->args[1], json->bytes, then))
        rc = failed(x);
    xl_heed_interrupts(x, false);
    return rc;
}

int xl_save(struct xl *x, const struct options *o)
{
    struct text json = { 0 };
    domid_t id;
    int rc;

    if (option_value(o, "D"))
        return xl_fail(x, "xl: save: -D is not served");
    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    if (x->tools.store == NULL)
        return xl_fail(x, "xl: there is no store");
    rc = save(x, o, id, &json);
    text_free(&json);
    return rc;
}

/* ---- restore: [<ConfigFile>] <CheckpointFile> ---- */

struct saved {
    const char *file;
    struct domain_config *c; /* NULL: what the file says */
};

static int make(struct toolstack *t, void *arg, domid_t *id)
{
    struct saved *s = arg;

    return guest_restore(t, s->file, s->c, id);
}

int xl_restore(struct xl *x, const struct options *o)
{
    struct saved s = { .file = o->args[o->nr_args - 1] };
    int rc = EXIT_OK;

    if (o->nr_args > 1) {
        s.c = malloc(sizeof(*s.c));
        rc = s.c ? xl_read_config(x, o->args[0], s.c) : xl_fail(x, "xl: no memory");
    }
    if (rc == EXIT_OK && xl_start(x, o, make, &s) != EXIT_OK)
        rc = EXIT_FAILED; /* 3 is create's alone */
    free(s.c);
    return rc;
}

int xl_dump_core(struct xl *x, const struct options *o)
{
    domid_t id;
    int rc;

    if (!xl_domain_of(x, o->args[0], &id))
        return EXIT_FAILED;
    xl_heed_interrupts(x, true);
    rc = guest_dump_core(&x->tools, id, o->args[1]) ? failed(x) : EXIT_OK;
    xl_heed_interrupts(x, false);
    return rc;
}
