/*
 * xen-like-adopt: makes domains that the hypervisor started at boot known to Debian's toolstack, store and
 * console daemon. Their names and rings are in the hypervisor's hypfs; here they get the nodes of the
 * store that xl gives to a domain which it creates (xenstore-paths.7), and are introduced to the store. Linux
 * has waited for that.
 *
 * Exit status: 0 all of them are known now, 1 something failed (it is said on stderr).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <xen/io/xs_wire.h>
#include <xenctrl.h>
#include <xenforeignmemory.h>
#include <xenguest.h>
#include <xenhypfs.h>
#include <xenstore.h>

#define UUID_TEXT 37

static xc_interface *xc;
static xenforeignmemory_handle *memory;
static xenhypfs_handle *hypfs;
static struct xs_handle *store;

/* What is known of a domain. */
struct boot_domain {
    uint32_t id;
    char *name;
    unsigned long store_mfn, console_mfn;
    unsigned int store_port, console_port;
    xen_domain_handle_t handle;
    char uuid[UUID_TEXT];
    unsigned int nr_vcpus;
    uint64_t max_kib, now_kib;
};

/* One transaction, and whether all in it went well. */
struct writer {
    xs_transaction_t t;
    const struct boot_domain *d;
    bool ok;
};

static void complain(const char *format, ...)
{
    va_list ap;

    fputs("xen-like-adopt: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
}

#define FAIL(...) (complain(__VA_ARGS__), -1)

/* ---- what the hypervisor says ---- */

static char *hypfs_text(uint32_t id, const char *leaf)
{
    char path[64];

    snprintf(path, sizeof(path), "/domain/%" PRIu32 "/%s", id, leaf);
    return xenhypfs_read(hypfs, path);
}

/* 1: it was started at boot, and is described; 0: it was not; -1: it was, and something is missing. */
static int describe(struct boot_domain *d)
{
    char *rings = hypfs_text(d->id, "rings");
    xc_dominfo_t info;
    int n;

    if (rings == NULL)
        return errno == ENOENT ? 0
                               : FAIL("domain %" PRIu32 ": its rings cannot be read: %s", d->id,
                                      strerror(errno));
    n = sscanf(rings, "store_mfn=%lu store_port=%u console_mfn=%lu console_port=%u", &d->store_mfn,
               &d->store_port, &d->console_mfn, &d->console_port);
    free(rings);
    if (n != 4)
        return FAIL("domain %" PRIu32 ": its rings are not understood", d->id);
    d->name = hypfs_text(d->id, "name");
    if (d->name == NULL || d->name[0] == '\0')
        return FAIL("domain %" PRIu32 " has no name", d->id);
    if (xc_domain_getinfo(xc, d->id, 1, &info) != 1 || info.domid != d->id)
        return FAIL("domain %" PRIu32 " (%s) is not there any more", d->id, d->name);
    memcpy(d->handle, info.handle, sizeof(d->handle));
    d->nr_vcpus = info.max_vcpu_id + 1;
    d->max_kib = info.max_memkb;
    d->now_kib = (uint64_t)info.nr_pages * (XC_PAGE_SIZE / 1024);
    return 1;
}

/* At boot nobody gave it one. */
static int give_uuid(struct boot_domain *d)
{
    static const xen_domain_handle_t none;
    uint8_t *h = d->handle;

    if (memcmp(h, none, sizeof(none)) == 0) {
        if (getrandom(h, sizeof(d->handle), 0) != sizeof(d->handle))
            return FAIL("no random bytes: %s", strerror(errno));
        h[6] = (h[6] & 0x0f) | 0x40; /* RFC 4122: version 4 */
        h[8] = (h[8] & 0x3f) | 0x80;
        if (xc_domain_sethandle(xc, d->id, h))
            return FAIL("domain %" PRIu32 " (%s): its UUID cannot be set: %s", d->id, d->name,
                        strerror(errno));
    }
    for (unsigned int i = 0, at = 0; i < sizeof(d->handle); i++)
        at += (unsigned int)snprintf(d->uuid + at, sizeof(d->uuid) - at, "%s%02x",
                                     i >= 4 && i <= 10 && i % 2 == 0 ? "-" : "", h[i]);
    return 0;
}

/* ---- what the store is told ---- */

static bool give(struct writer *w, const char *path, bool guest_writes)
{
    /* The first is the owner, who may do all; what it says counts for everybody else. */
    struct xs_permissions guests[] = { { w->d->id, XS_PERM_NONE } };
    struct xs_permissions ours[] = { { 0, XS_PERM_NONE }, { w->d->id, XS_PERM_READ } };

    return guest_writes ? xs_set_permissions(store, w->t, path, guests, 1)
                        : xs_set_permissions(store, w->t, path, ours, 2);
}

/* A node that the domain reads, or, without a value, a directory. */
static void put(struct writer *w, const char *path, bool guest_writes, const char *format, ...)
{
    char value[256] = "";
    va_list ap;

    if (format) {
        va_start(ap, format);
        vsnprintf(value, sizeof(value), format, ap);
        va_end(ap);
    }
    if (w->ok && (!(format ? xs_write(store, w->t, path, value, (unsigned)strlen(value))
                           : xs_mkdir(store, w->t, path)) ||
                  !give(w, path, guest_writes))) {
        complain("domain %" PRIu32 " (%s): %s cannot be written: %s", w->d->id, w->d->name, path,
                 strerror(errno));
        w->ok = false;
    }
}

#define AT(...) (snprintf(path, sizeof(path), __VA_ARGS__), path)

static void put_domain(struct writer *w)
{
    static const char *const read_only[] = { "cpu", "memory", "device", "control" };
    static const char *const written[] = { "control/shutdown",
                                           "control/feature-poweroff",
                                           "control/feature-reboot",
                                           "control/feature-suspend",
                                           "control/sysrq",
                                           "device/suspend/event-channel",
                                           "data",
                                           "drivers",
                                           "feature",
                                           "attr",
                                           "error" };
    const struct boot_domain *d = w->d;
    char home[32], path[128];

    snprintf(home, sizeof(home), "/local/domain/%" PRIu32, d->id);
    put(w, home, false, NULL);
    put(w, AT("%s/vm", home), false, "/vm/%s", d->uuid);
    put(w, AT("%s/name", home), false, "%s", d->name);
    put(w, AT("%s/domid", home), false, "%" PRIu32, d->id);
    for (size_t i = 0; i < sizeof(read_only) / sizeof(*read_only); i++)
        put(w, AT("%s/%s", home, read_only[i]), false, NULL);
    for (size_t i = 0; i < sizeof(written) / sizeof(*written); i++)
        put(w, AT("%s/%s", home, written[i]), true, "");
    for (unsigned int v = 0; v < d->nr_vcpus; v++)
        put(w, AT("%s/cpu/%u/availability", home, v), false, "online");
    put(w, AT("%s/memory/static-max", home), false, "%" PRIu64, d->max_kib);
    put(w, AT("%s/memory/target", home), false, "%" PRIu64, d->now_kib);
    put(w, AT("%s/memory/videoram", home), false, "0");
    put(w, AT("%s/store/port", home), false, "%u", d->store_port);
    put(w, AT("%s/store/ring-ref", home), false, "%lu", d->store_mfn);
    put(w, AT("%s/console/backend", home), false, "/local/domain/0/backend/console/%" PRIu32 "/0",
        d->id);
    put(w, AT("%s/console/backend-id", home), false, "0");
    put(w, AT("%s/console/limit", home), false, "1048576");
    put(w, AT("%s/console/type", home), false, "xenconsoled");
    put(w, AT("%s/console/output", home), false, "pty");
    put(w, AT("%s/console/tty", home), false, "");
    put(w, AT("%s/console/port", home), false, "%u", d->console_port);
    put(w, AT("%s/console/ring-ref", home), false, "%lu", d->console_mfn);
}

/* What the toolstack keeps for itself: the domain reads that at most. */
static void put_toolstack(struct writer *w)
{
    const struct boot_domain *d = w->d;
    char home[64], path[128];

    snprintf(home, sizeof(home), "/local/domain/0/backend/console/%" PRIu32 "/0", d->id);
    put(w, AT("%s/frontend", home), false, "/local/domain/%" PRIu32 "/console", d->id);
    put(w, AT("%s/frontend-id", home), false, "%" PRIu32, d->id);
    put(w, AT("%s/online", home), false, "1");
    put(w, AT("%s/state", home), false, "1");
    put(w, AT("%s/protocol", home), false, "vt100");
    put(w, AT("/vm/%s/name", d->uuid), false, "%s", d->name);
    put(w, AT("/vm/%s/uuid", d->uuid), false, "%s", d->uuid);
    put(w, AT("/vm/%s/image/ostype", d->uuid), false, "linux");
    put(w, AT("/vm/%s/start_time", d->uuid), false, "%lld", (long long)time(NULL));
    put(w, AT("/libxl/%" PRIu32 "/type", d->id), false, "pv");
}

/* Names are the administrator's keys: a second domain of a name gets its number behind it. */
static int make_unique(struct boot_domain *d)
{
    unsigned int n = 0, len;
    char **ids = xs_directory(store, XBT_NULL, "/local/domain", &n), path[64], *name;
    bool taken = false;

    for (unsigned int i = 0; ids && i < n; i++) {
        name = strtoul(ids[i], NULL, 10) == d->id
                   ? NULL
                   : xs_read(store, XBT_NULL, AT("/local/domain/%.16s/name", ids[i]), &len);
        taken = taken || (name && strcmp(name, d->name) == 0);
        free(name);
    }
    free(ids);
    if (!taken)
        return 0;
    if (asprintf(&name, "%s-%" PRIu32, d->name, d->id) < 0)
        return FAIL("no memory");
    complain("domain %" PRIu32 ": there is already a %s; this one is %s", d->id, d->name, name);
    free(d->name);
    d->name = name;
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

/*
 * A domain that xl creates asks the store for nothing before it is introduced. This one has run since boot: its
 * first request may stand in the ring, and Linux asks but once. Debian's xenstored (not oxenstored) empties
 * the ring when it introduces a domain; the indices only. The domain is paused: they are what the request's
 * bytes in the ring belong to.
 */
static int introduce_paused(const struct boot_domain *d)
{
    xen_pfn_t frame = d->store_mfn;
    struct xenstore_domain_interface *ring =
        xenforeignmemory_map(memory, d->id, PROT_READ | PROT_WRITE, 1, &frame, NULL);
    volatile uint64_t *requests;
    union indices asked;
    int rc = 0;

    if (ring == NULL)
        return FAIL("domain %" PRIu32 " (%s): its ring for the store cannot be mapped: %s", d->id,
                    d->name, strerror(errno));
    requests = (volatile uint64_t *)&ring->req_cons;
    asked.both = *requests;
    if (!xs_introduce_domain(store, d->id, d->store_mfn, d->store_port))
        rc = FAIL("domain %" PRIu32 " (%s): the store does not take it: %s", d->id, d->name,
                  strerror(errno));
    /* a request that no store has read yet */
    else if (asked.cons == 0 && asked.prod != 0 && *requests == 0)
        *requests = asked.both;
    xenforeignmemory_unmap(memory, ring, 1);
    return rc;
}

static int introduce(const struct boot_domain *d)
{
    int rc;

    if (xc_domain_pause(xc, d->id))
        return FAIL("domain %" PRIu32 " (%s) cannot be paused: %s", d->id, d->name,
                    strerror(errno));
    rc = introduce_paused(d);
    if (xc_domain_unpause(xc, d->id))
        rc =
            FAIL("domain %" PRIu32 " (%s) cannot be unpaused: %s", d->id, d->name, strerror(errno));
    /* The store looks at its rings when it is asked for something: no event comes for what was put back. */
    if (rc == 0 && !xs_is_domain_introduced(store, d->id))
        rc = FAIL("domain %" PRIu32 " (%s): the store has not taken it", d->id, d->name);
    return rc;
}

static int adopt(struct boot_domain *d)
{
    struct writer w = { .d = d, .ok = true };

    if (make_unique(d) || give_uuid(d))
        return -1;
    do { /* again if somebody else has changed the same */
        w.t = xs_transaction_start(store);
        if (w.t == XBT_NULL)
            return FAIL("no transaction: %s", strerror(errno));
        put_domain(&w);
        put_toolstack(&w);
    } while (!xs_transaction_end(store, w.t, !w.ok) && w.ok && errno == EAGAIN);
    if (!w.ok)
        return -1;
    /* the daemons map the two rings by grants that a builder of domains makes */
    if (xc_dom_gnttab_seed(xc, (domid_t)d->id, false, d->console_mfn, d->store_mfn, 0, 0))
        return FAIL("domain %" PRIu32 " (%s): its rings cannot be granted: %s", d->id, d->name,
                    strerror(errno));
    if (introduce(d))
        return -1;
    printf("domain %" PRIu32 ": %s\n", d->id, d->name);
    return 0;
}

int main(int argc, char **argv)
{
    struct xenhypfs_dirent *entries;
    unsigned int n = 0;
    int status = 0;

    if (argc > 1) {
        fprintf(stderr, "usage: %s\n", argv[0]);
        return 2;
    }
    xc = xc_interface_open(NULL, NULL, 0);
    memory = xenforeignmemory_open(NULL, 0);
    hypfs = xenhypfs_open(NULL, 0);
    store = xs_open(0);
    if (xc == NULL || memory == NULL || hypfs == NULL || store == NULL) {
        complain("%s is not to be had: %s", xc && memory && hypfs ? "the store" : "the hypervisor",
                 strerror(errno));
        return 1;
    }
    entries = xenhypfs_readdir(hypfs, "/domain", &n);
    if (entries == NULL && errno != ENOENT) {
        complain("the domains in hypfs cannot be read: %s", strerror(errno));
        return 1;
    } /* Xen has no such folder, and starts no domains at boot */
    for (unsigned int i = 0; entries && i < n; i++) {
        struct boot_domain d = { .id = (uint32_t)strtoul(entries[i].name, NULL, 10) };
        int known = d.id == 0 || xs_is_domain_introduced(store, d.id) ? 0 : describe(&d);

        if (known < 0 || (known > 0 && adopt(&d)))
            status = 1;
        free(d.name);
    }
    return status;
}
