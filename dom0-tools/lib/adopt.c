/*
 * guest_adopt(); see toolstack.h. The hypervisor says in its hypfs how domains that it started at boot are called and
 * where their rings are. They have run as far as they come, and wait for the store.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/io/xs_wire.h>
#include <xenstore.h>

#include "../config.h"
#include "build.h"
#include "hyp.h"
#include "nodes.h"
#include "toolstack.h"

/* Who is told what is done. */
struct adoption {
    struct toolstack *t;
    void (*report)(void *arg, bool ok, const char *line);
    void *arg;
};

static void __attribute__((format(printf, 3, 4)))
say(const struct adoption *a, bool ok, const char *fmt, ...)
{
    char line[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    a->report(a->arg, ok, line);
}

/* ---- what the hypervisor says ---- */

/* 1: it was started at boot, and is described; 0: it was not; -1: it was, and something is missing. */
static int describe(struct toolstack *t, const guest_info_t *info, struct nodes *n,
                    char name[CONFIG_NAME])
{
    unsigned long long store_mfn, console_mfn;
    char path[64], rings[128];

    snprintf(path, sizeof(path), "/domain/%u/rings", info->domain);
    if (hyp_hypfs(t->hyp, path, rings, sizeof(rings))) {
        if (errno == ENOENT || errno == ENOSYS) /* Xen starts no domains at boot */
            return 0;
        return toolstack_fail(t, errno, "its rings cannot be read: %s", strerror(errno));
    }
    if (sscanf(rings, "store_mfn=%llu store_port=%u console_mfn=%llu console_port=%u", &store_mfn,
               &n->store_port, &console_mfn, &n->console_port) != 4)
        return toolstack_fail(t, EINVAL, "its rings are not understood");
    snprintf(path, sizeof(path), "/domain/%u/name", info->domain);
    if (hyp_hypfs(t->hyp, path, name, CONFIG_NAME) || name[0] == '\0')
        return toolstack_fail(t, EINVAL, "it has no name");
    n->id = info->domain;
    n->name = name;
    n->store_mfn = store_mfn;
    n->console_mfn = console_mfn;
    n->nr_vcpus = n->max_vcpus = info->max_vcpu_id + 1;
    n->memory_kib = info->tot_pages * (HYP_PAGE / 1024);
    n->max_memory_kib = info->max_pages * (HYP_PAGE / 1024);
    memcpy(n->uuid, info->handle, sizeof(n->uuid));
    return 1;
}

/* At boot nobody gave it one. */
static int give_uuid(struct toolstack *t, struct nodes *n)
{
    static const uint8_t none[16];

    if (memcmp(n->uuid, none, sizeof(none)) != 0)
        return 0;
    guest_make_uuid(n->uuid);
    if (hyp_set_uuid(t->hyp, n->id, n->uuid))
        return toolstack_fail(t, errno, "its UUID cannot be set: %s", strerror(errno));
    return 0;
}

/* ---- the introduction ---- */

/* The two indices of one direction, which are one aligned word: nobody sees the one without the other. */
union indices {
    struct {
        XENSTORE_RING_IDX cons, prod;
    };
    uint64_t both;
};

_Static_assert(offsetof(struct xenstore_domain_interface, req_cons) % sizeof(uint64_t) == 0 &&
                   offsetof(struct xenstore_domain_interface, req_prod) ==
                       offsetof(struct xenstore_domain_interface, req_cons) +
                           sizeof(XENSTORE_RING_IDX),
               "ABI: the indices of the requests");

/* Its nodes, and its introduction. A second one of a name gets its number behind it. */
static int write_nodes(const struct adoption *a, struct nodes *n, char name[CONFIG_NAME])
{
    char number[8], old[CONFIG_NAME];

    if (nodes_create(a->t, n) == 0)
        return 0;
    if (errno != EEXIST)
        return -1;
    snprintf(old, sizeof(old), "%s", name);
    snprintf(number, sizeof(number), "-%u", n->id);
    snprintf(name, CONFIG_NAME, "%.*s%s", (int)(CONFIG_NAME - 1 - strlen(number)), old, number);
    if (nodes_create(a->t, n))
        return -1;
    say(a, true, "domain %u: there is already a %s; this one is %s", n->id, old, name);
    return 0;
}

/*
 * A domain that is created asks the store for nothing before it is introduced. This one has run since boot: its first
 * request may stand in the ring, and Linux asks but once. Debian's xenstored (not oxenstored, nor ours) empties
 * the ring when it introduces a domain; the indices only. The domain is paused: they are what the request's
 * bytes in the ring belong to.
 */
static int introduce_paused(const struct adoption *a, struct nodes *n, char name[CONFIG_NAME])
{
    xenforeignmemory_handle *memory = hyp_memory(a->t->hyp);
    struct xenstore_domain_interface *ring =
        xenforeignmemory_map(memory, n->id, PROT_READ | PROT_WRITE, 1, &n->store_mfn, NULL);
    volatile uint64_t *requests;
    union indices asked;
    int rc, error;

    if (ring == NULL)
        return toolstack_fail(a->t, errno, "its ring for the store cannot be mapped: %s",
                              strerror(errno));
    requests = (volatile uint64_t *)&ring->req_cons;
    asked.both = *requests;
    rc = write_nodes(a, n, name);
    error = errno;
    /* a request that no store has read yet */
    if (rc == 0 && asked.cons == 0 && asked.prod != 0 && *requests == 0)
        *requests = asked.both;
    xenforeignmemory_unmap(memory, ring, 1);
    errno = error;
    return rc;
}

static int introduce(const struct adoption *a, struct nodes *n, char name[CONFIG_NAME])
{
    struct toolstack *t = a->t;
    int rc, error;

    if (guest_pause(t, n->id))
        return -1;
    rc = introduce_paused(a, n, name);
    error = errno;
    if (guest_unpause(t, n->id))
        return -1;
    errno = error;
    /* The store looks at its rings when it is asked for something: no event comes for what was put back. */
    if (rc == 0 && !xs_is_domain_introduced(t->store, n->id))
        rc = toolstack_fail(t, EIO, "the store has not taken it");
    return rc;
}

/* ---- all of them ---- */

static int adopt(const struct adoption *a, const guest_info_t *info)
{
    char name[CONFIG_NAME] = "?";
    struct nodes n = { .config = NULL };
    int rc = describe(a->t, info, &n, name);

    if (rc == 0)
        return 0;
    if (rc < 0 || give_uuid(a->t, &n) ||
        build_grant_rings(a->t, n.id, n.store_mfn, n.console_mfn) || introduce(a, &n, name)) {
        say(a, false, "domain %u (%s): %s", info->domain, name, a->t->error);
        return -1;
    }
    say(a, true, "domain %u: %s", n.id, name);
    return 0;
}

int guest_adopt(struct toolstack *t, void (*report)(void *arg, bool ok, const char *line),
                void *arg)
{
    const struct adoption a = { .t = t, .report = report, .arg = arg };
    guest_info_t *infos;
    int rc = 0;
    size_t nr;

    if (t->store == NULL || guest_list(t, &infos, &nr)) {
        say(&a, false, "%s", t->store ? t->error : "there is no store");
        return -1;
    }
    for (size_t i = 0; i < nr; i++)
        if (infos[i].domain != t->self && !(infos[i].flags & XEN_DOMINF_dying) &&
            !xs_is_domain_introduced(t->store, infos[i].domain) && adopt(&a, &infos[i]))
            rc = -1;
    free(infos);
    return rc;
}
