/* See service.h. */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands.h"

/* One that has lived for less is not started again at once. */
#define SHORT_NS 5000000000u
#define PAUSE_NS 1000000000u
#define NR_TRIES 5u      /* at boot, before the machine is said not to work */
#define LOOK_NS 1000000u /* for a change that nobody could tell of, as it was killed */

static struct service *services;
static struct plat_mutex
    lock; /* guards each service's group and asked. A group does not take it: it may be killed */
static struct plat_cond changed;

/* ---- in its group ---- */

static void set_state(struct service *s, int state)
{
    __atomic_store_n(&s->state, state, __ATOMIC_SEQ_CST);
    plat_cond_broadcast(&changed);
}

static int state_of(const struct service *s)
{
    return (int)__atomic_load_n(&s->state, __ATOMIC_SEQ_CST);
}

static void serve(void *arg)
{
    struct service *s = arg;
    struct plat_loop *loop = plat_loop_new();

    if (loop == NULL || !s->start(loop))
        return;
    set_state(s, SERVICE_SERVES);
    if (plat_loop_run(loop))
        plat_log(PLAT_ERROR, "%s: %s", s->name, strerror(errno));
}

/* ---- its supervisor ---- */

static void pause_until(uint64_t when)
{
    plat_lock(&lock);
    while (plat_now() < when)
        plat_cond_wait(&changed, &lock, when);
    plat_unlock(&lock);
}

/* From its start to its end. */
static void one_life(struct service *s)
{
    struct plat_group *g;
    bool served, asked;

    plat_lock(&lock);
    s->starts++;
    s->asked = false;
    s->group = g = plat_group_start(s->name, serve, s);
    plat_unlock(&lock);
    if (g)
        plat_group_wait(g);
    plat_lock(&lock);
    s->group = NULL;
    asked = s->asked;
    served = state_of(s) == SERVICE_SERVES;
    plat_unlock(&lock);
    if (g)
        plat_group_free(g);
    plat_log(asked ? PLAT_INFO : PLAT_ERROR, "%s %s", s->name,
             served ? "has ended; it is started again" : "does not start");
    set_state(s, SERVICE_ENDED);
}

static void supervise(void *arg)
{
    struct service *s = arg;

    for (;;) {
        uint64_t begin = plat_now();

        one_life(s);
        if (!s->asked && plat_now() - begin < SHORT_NS)
            pause_until(plat_now() + PAUSE_NS);
        set_state(s, SERVICE_STARTING);
    }
}

/* It has been started as often as one is at boot, and has served not once. The lock is held. */
static bool is_hopeless(const struct service *s)
{
    return s->starts > NR_TRIES || (s->starts == NR_TRIES && state_of(s) == SERVICE_ENDED);
}

/* However long that takes, as machines are slow. False: it is hopeless. */
static bool wait_until_it_serves(struct service *s)
{
    bool serves;

    plat_lock(&lock);
    while (!(serves = state_of(s) == SERVICE_SERVES) && !is_hopeless(s))
        plat_cond_wait(&changed, &lock, plat_now() + LOOK_NS);
    plat_unlock(&lock);
    if (!serves)
        plat_log(PLAT_ERROR, "%s has been started %u times in vain", s->name, NR_TRIES);
    return serves;
}

bool services_start(struct service *all)
{
    services = all;
    for (struct service *s = all; s->name; s++) {
        if (plat_thread_start(s->name, supervise, s) == NULL || !wait_until_it_serves(s))
            return false;
    }
    return true;
}

/* ---- at the prompt ---- */

static int list(void)
{
    static const char *const states[] = { "starts", "serves", "ended" };

    for (struct service *s = services; s->name; s++)
        printf("%-12s %-8s started %u times\n", s->name, states[state_of(s)], s->starts);
    return 0;
}

/* Killed where it is; its supervisor does the rest. */
static int restart(const char *name)
{
    struct service *s = services;
    bool killed;

    while (s->name && strcmp(s->name, name) != 0)
        s++;
    if (s->name == NULL) {
        printf("service: there is no %s\n", name);
        return 1;
    }
    plat_lock(&lock);
    killed = s->group != NULL;
    if (killed) {
        s->asked = true;
        plat_group_kill(s->group);
    }
    plat_unlock(&lock);
    if (!killed)
        printf("service: %s is being started already\n", name);
    return killed ? 0 : 1;
}

static int run_service(struct prompt *p, int argc, char **argv)
{
    (void)p;
    if (argc == 1)
        return list();
    if (argc == 3 && strcmp(argv[1], "restart") == 0)
        return restart(argv[2]);
    printf("usage: service [restart NAME]\n");
    return 2;
}

const struct prompt_command service_commands[] = {
    { "service", "[restart NAME]", "show the daemons; kill one, and start it again", run_service },
    { 0 },
};
