/*
 * The embedded control domain: one image with the store, the console daemon, who attends to guests that have
 * ended, and a prompt, each a thread with a loop of its own. They meet as they would on Linux: by the store's
 * socket and the console daemon's, which are names in memory here.
 *
 * Not yet as designed: the daemons share the prompt's heap, so none can be killed and started again alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../xenstore/daemon.h"
#include "../attend/attend.h"
#include "../consoled/consoled.h"
#include "commands.h"

/* Lines for the prompt, of the ramdisk: "create FILE" for each guest that starts with the machine. */
#define AUTOSTART "/autostart"

enum { STORE_BYTES = 16 << 20 };

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
                                  .history_bytes = 32 << 10 };

    return consoled_start(loop, &o) != NULL;
}

static bool start_attendant(struct plat_loop *loop) { return attend_start(loop, true); }

static struct service {
    const char *name;
    bool (*start)(struct plat_loop *loop); /* false: the log says why not */
    enum { STARTING, SERVES, FAILED } state;
} services[] = {
    { .name = "store", .start = start_store },
    { .name = "consoled", .start = start_consoled },
    { .name = "attend", .start = start_attendant },
};
static struct plat_mutex lock; /* guards each service's state */
static struct plat_cond changed;

static void serve(void *arg)
{
    struct service *s = arg;
    struct plat_loop *loop = plat_loop_new();
    bool ok = loop && s->start(loop);

    plat_lock(&lock);
    s->state = ok ? SERVES : FAILED;
    plat_cond_broadcast(&changed);
    plat_unlock(&lock);
    if (ok && plat_loop_run(loop))
        plat_log(PLAT_ERROR, "%s: %s", s->name, strerror(errno));
}

/* One after the other: each uses those before it. */
static bool start_services(void)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        struct service *s = &services[i];

        if (plat_thread_start(s->name, serve, s) == NULL)
            return false;
        plat_lock(&lock);
        while (s->state == STARTING)
            plat_cond_wait(&changed, &lock, PLAT_NEVER);
        plat_unlock(&lock);
        if (s->state == FAILED) {
            plat_log(PLAT_ERROR, "%s does not start", s->name);
            return false;
        }
    }
    return true;
}

/* ---- this domain ---- */

/* As tools expect to find it. */
static bool name_domain(struct xs_handle *xs)
{
    return xs_write(xs, XBT_NULL, "/local/domain/0/name", "Domain-0", 8) &&
           xs_write(xs, XBT_NULL, "/local/domain/0/domid", "0", 1);
}

static bool open_all(struct prompt *p)
{
    p->loop = plat_loop_new();
    p->terminal = plat_console();
    p->xs = xs_open(0);
    if (p->loop == NULL || p->terminal == NULL || p->xs == NULL || !name_domain(p->xs)) {
        plat_log(PLAT_ERROR, "no prompt: %s", strerror(errno));
        return false;
    }
    if (toolstack_open(&p->xl.tools, p->xs, 0)) {
        plat_log(PLAT_ERROR, "no prompt: %s", p->xl.tools.error);
        return false;
    }
    p->xl.tools.sole = true;
    return true;
}

int main(void)
{
    static struct prompt prompt;

    if (!start_services() || !open_all(&prompt))
        return 1;
    printf("xen-like control domain, ready at %u ms. help shows what can be done.\n",
           (unsigned int)(plat_now() / 1000000));
    prompt_run_file(&prompt, AUTOSTART);
    return prompt_serve(&prompt) ? 0 : 1;
}
