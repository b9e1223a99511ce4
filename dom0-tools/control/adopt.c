/* Domains that the hypervisor started at boot get what their rings wait for: nodes of the store, and the store. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/hypfs.h>
#include <xencall.h>

#include "commands.h"

enum { VALUE_BYTES = 256 };

struct hypervisor {
    xencall_handle *call;
    struct xen_domctl *domctl;
    char *path;                      /* VALUE_BYTES */
    struct xen_hypfs_direntry *file; /* and VALUE_BYTES behind */
};

struct boot_domain {
    domid_t id;
    char name[VALUE_BYTES];
    unsigned long store_mfn, console_mfn;
    unsigned int store_port, console_port;
};

static bool hypervisor_open(struct hypervisor *h)
{
    *h = (struct hypervisor){ .call = xencall_open(NULL, 0) };
    if (h->call == NULL)
        return false;
    h->domctl = xencall_alloc_buffer(h->call, sizeof(*h->domctl));
    h->path = xencall_alloc_buffer(h->call, VALUE_BYTES);
    h->file = xencall_alloc_buffer(h->call, sizeof(*h->file) + VALUE_BYTES);
    return h->domctl && h->path && h->file;
}

static void hypervisor_close(struct hypervisor *h)
{
    void *const buffers[] = { h->domctl, h->path, h->file };

    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++)
        if (buffers[i])
            xencall_free_buffer(h->call, buffers[i]);
    if (h->call)
        xencall_close(h->call);
}

/* The next domain from that id on; -1: there is none. */
static int next_domain(struct hypervisor *h, int from)
{
    memset(h->domctl, 0, sizeof(*h->domctl));
    h->domctl->cmd = XEN_DOMCTL_getdomaininfo;
    h->domctl->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    h->domctl->domain = (domid_t)from;
    if (xencall1(h->call, __HYPERVISOR_domctl, (uint64_t)(uintptr_t)h->domctl) < 0)
        return -1;
    return h->domctl->u.getdomaininfo.domain;
}

/* What the hypervisor says of a domain, as a string. */
static bool read_leaf(struct hypervisor *h, domid_t id, const char *leaf, char text[VALUE_BYTES])
{
    int len = snprintf(h->path, VALUE_BYTES, "/domain/%u/%s", id, leaf) + 1;

    if (xencall5(h->call, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, (uint64_t)(uintptr_t)h->path,
                 (uint64_t)len, (uint64_t)(uintptr_t)h->file, sizeof(*h->file) + VALUE_BYTES) < 0)
        return false;
    snprintf(text, VALUE_BYTES, "%.*s", (int)h->file->content_len, (const char *)(h->file + 1));
    return true;
}

/* False: it was not started at boot. */
static bool describe(struct hypervisor *h, struct boot_domain *d)
{
    char rings[VALUE_BYTES];

    return read_leaf(h, d->id, "rings", rings) && read_leaf(h, d->id, "name", d->name) &&
           sscanf(rings, "store_mfn=%lu store_port=%u console_mfn=%lu console_port=%u",
                  &d->store_mfn, &d->store_port, &d->console_mfn, &d->console_port) == 4;
}

static bool write_node(struct xs_handle *xs, xs_transaction_t t, const struct boot_domain *d,
                       const char *node, const char *value)
{
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", d->id, node);
    return xs_write(xs, t, path, value, (unsigned int)strlen(value));
}

static bool write_number(struct xs_handle *xs, xs_transaction_t t, const struct boot_domain *d,
                         const char *node, unsigned long value)
{
    char text[24];

    snprintf(text, sizeof(text), "%lu", value);
    return write_node(xs, t, d, node, text);
}

/* It may read all that is below, which has its home's permissions. */
static bool write_all(struct xs_handle *xs, xs_transaction_t t, const struct boot_domain *d)
{
    struct xs_permissions perms[] = { { 0, XS_PERM_NONE }, { d->id, XS_PERM_READ } };
    char home[40];

    snprintf(home, sizeof(home), "/local/domain/%u", d->id);
    return xs_mkdir(xs, t, home) && xs_set_permissions(xs, t, home, perms, 2) &&
           write_node(xs, t, d, "name", d->name) && write_number(xs, t, d, "domid", d->id) &&
           write_number(xs, t, d, "store/ring-ref", d->store_mfn) &&
           write_number(xs, t, d, "store/port", d->store_port) &&
           write_node(xs, t, d, "console/type", "xenconsoled") &&
           write_number(xs, t, d, "console/ring-ref", d->console_mfn) &&
           write_number(xs, t, d, "console/port", d->console_port);
}

static bool adopt(struct xs_handle *xs, const struct boot_domain *d)
{
    xs_transaction_t t;
    bool ok;

    do { /* again if somebody else has changed the same */
        t = xs_transaction_start(xs);
        if (t == XBT_NULL)
            return false;
        ok = write_all(xs, t, d);
    } while (!xs_transaction_end(xs, t, !ok) && ok && errno == EAGAIN);
    return ok && xs_introduce_domain(xs, d->id, d->store_mfn, d->store_port);
}

static int run_adopt(struct prompt *p, int argc, char **argv)
{
    struct hypervisor h;
    struct boot_domain d;
    int id = 0, rc = 0;

    (void)argc;
    (void)argv;
    if (!hypervisor_open(&h)) {
        printf("adopt: %s\n", strerror(errno));
        rc = 1;
    }
    while (rc == 0 && (id = next_domain(&h, id + 1)) > 0) {
        d.id = (domid_t)id;
        if (xs_is_domain_introduced(p->xs, d.id) || !describe(&h, &d))
            continue;
        if (adopt(p->xs, &d)) {
            printf("domain %u: %s\n", d.id, d.name);
        } else {
            printf("adopt: domain %u (%s): %s\n", d.id, d.name, strerror(errno));
            rc = 1;
        }
    }
    hypervisor_close(&h);
    return rc;
}

const struct prompt_command adopt_commands[] = {
    { "adopt", "", "let domains started at boot have the store and a console", run_adopt },
    { 0 },
};
