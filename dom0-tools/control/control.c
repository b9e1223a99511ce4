/*
 * The embedded control domain: one image with the store, the console daemon, who attends to guests that have
 * ended, and a prompt, each with a loop of its own. They meet as they would on Linux: by the store's
 * socket and the console daemon's, which are names in memory here.
 * The daemons are groups of threads, each with a heap of its own, and are started again when they end (service.c):
 * the store goes on with what it has in its region, its clients here connect anew (xen-like/lib/xenstore.c).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../backends/block/blkback.h"
#include "../../backends/block/disks.h"
#include "../../backends/block/ram_disks.h"
#include "../../backends/drivers/drivers.h"
#include "../../backends/network/netback.h"
#include "../../xenstore/daemon.h"
#include "../attend/attend.h"
#include "../consoled/consoled.h"
#include "../lib/names.h"
#include "commands.h"
#include "service.h"

/* Lines for the prompt, of the ramdisk: "create FILE" for each guest that starts with the machine. */
#define AUTOSTART "/autostart"

enum { STORE_BYTES = 16 << 20, RETRY_US = 10000 };
#define STORE_NS 10000000000u /* how long it may be away at boot */

/* ---- the daemons ---- */

static bool start_store(struct plat_loop *loop)
{
    struct stored_options o = {
        .socket = xs_daemon_socket(), .region = "store", .size_bytes = STORE_BYTES, .rings = true
    };

    return stored_start(loop, &o) == 0;
}

static bool start_consoled(struct plat_loop *loop)
{
    struct consoled_options o = { .socket = CONSOLED_SOCKET,
                                  .log_folder = "/var/log/xen/console",
                                  .log_bytes = 64 << 10,
                                  .drop_logs = true,
                                  .history_bytes = 32 << 10 };

    return consoled_start(loop, &o) != NULL;
}

static bool start_attendant(struct plat_loop *loop) { return attend_start(loop, true); }

/* The machine's card eth0 leads out of the switch xenbr0, eth1 out of xenbr1. */
static void found_card(void *arg, const char *name, struct link *link)
{
    char bridge[32];

    snprintf(bridge, sizeof(bridge), "xenbr%s", name + strcspn(name, "0123456789"));
    if (netback_uplink(arg, bridge, link))
        plat_log(PLAT_ERROR, "%s: no uplink of %s: %s", name, bridge, strerror(errno));
    else
        plat_log(PLAT_INFO, "%s is the uplink of %s", name, bridge);
}

static bool start_network(struct plat_loop *loop)
{
    struct netback_options o = { .queues = 4 };
    struct netback *n = netback_start(loop, &o);

    if (n)
        drivers_links(loop, found_card, n);
    return n != NULL;
}

/* The words of the command line that name disks. */
static char *const *words;

static void add_disk(void *disks, const char *name, struct disk *d)
{
    char path[DISK_NAME];
    int error;

    snprintf(path, sizeof(path), "/dev/%s", name);
    error = disks_add(disks, path, d);
    if (error) {
        plat_log(PLAT_ERROR, "%s: %s", path, strerror(error));
        d->ops->close(d);
    }
}

static bool start_blockd(struct plat_loop *loop)
{
    struct disks *disks = disks_new(loop);

    if (disks == NULL)
        return false;
    for (char *const *w = words; *w; w++)
        if (ram_disks_word(*w))
            ram_disks_add(disks, *w); /* the log says why not; the others are there */
    drivers_disks(loop, add_disk, disks);
    return blkback_start(loop, disks, "vbd") != NULL;
}

static struct service services[] = {
    { .name = "store", .start = start_store },     { .name = "consoled", .start = start_consoled },
    { .name = "network", .start = start_network }, { .name = "attend", .start = start_attendant },
    { .name = "blockd", .start = start_blockd },   { 0 },
};

/* ---- this domain ---- */

/* As tools expect to find it. */
static bool name_domain(struct xs_handle *xs)
{
    return xs_write(xs, XBT_NULL, "/local/domain/0/name", "Domain-0", 8) &&
           xs_write(xs, XBT_NULL, "/local/domain/0/domid", "0", 1);
}

/* The store may end just now, and is started again then. */
static struct xs_handle *open_store(void)
{
    uint64_t until = plat_now() + STORE_NS;
    struct xs_handle *xs;
    int error;

    do {
        xs = xs_open(0);
        if (xs && name_domain(xs))
            return xs;
        error = errno;
        xs_close(xs);
        usleep(RETRY_US);
    } while (plat_now() < until);
    errno = error;
    return NULL;
}

static bool open_all(struct prompt *p)
{
    p->loop = plat_loop_new();
    p->terminal = plat_console();
    if (p->loop == NULL || p->terminal == NULL || (p->xs = open_store()) == NULL) {
        plat_log(PLAT_ERROR, "no prompt: %s", strerror(errno));
        return false;
    }
    if (toolstack_open(&p->xl.tools, p->xs, 0)) {
        plat_log(PLAT_ERROR, "no prompt: %s", p->xl.tools.error);
        return false;
    }
    p->xl.tools.sole = true;
    if (!names_put(&p->xl.tools, XBT_NULL, "Domain-0", 0)) { /* no guest can have it */
        plat_log(PLAT_ERROR, "no prompt: the store: %s", strerror(errno));
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct prompt prompt;

    (void)argc;
    words = argv + 1;
    if (!services_start(services) || !open_all(&prompt))
        return 1;
    printf("xen-like control domain, ready at %u ms. help shows what can be done.\n",
           (unsigned int)(plat_now() / 1000000));
    prompt_run_file(&prompt, AUTOSTART);
    return prompt_serve(&prompt) ? 0 : 1;
}
