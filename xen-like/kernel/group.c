/* Groups of threads: see rt/group.h. What is done to their threads is in thread.c, their heap in heap.c. */
#include <errno.h>
#include <stdlib.h>

#include <rt/kernel.h>
#include <rt/memory.h>

#include "internal.h"

/* ---- sections ---- */

#define compiler_barrier() __asm__ volatile("" ::: "memory")

void runtime_enter(void)
{
    this_cpu()->current->inside++;
    compiler_barrier();
}

/* A kill that comes when inside is 0 again finds it so, after its event; one that came before is seen here. */
void runtime_leave(void)
{
    compiler_barrier();
    this_cpu()->current->inside--;
    compiler_barrier();
    thread_end_if_killed();
}

/* ---- what a group owns ---- */

static void list_add(struct group *g, struct owned **list, struct owned *o)
{
    runtime_lock(&g->lock);
    o->next = *list;
    o->at = list;
    if (o->next)
        o->next->at = &o->next;
    *list = o;
    runtime_unlock(&g->lock);
}

void owned_add(struct owned *o, void (*release)(struct owned *o))
{
    *o = (struct owned){ .group = this_cpu()->current->group, .release = release };
    if (o->group)
        list_add(o->group, &o->group->owned, o);
}

void owned_add_first(struct owned *o, void (*release)(struct owned *o))
{
    *o = (struct owned){ .group = this_cpu()->current->group, .release = release };
    if (o->group)
        list_add(o->group, &o->group->owned_first, o);
}

void owned_remove(struct owned *o)
{
    struct group *g = o->group;

    if (g == NULL)
        return;
    runtime_lock(&g->lock);
    *o->at = o->next;
    if (o->next)
        o->next->at = o->at;
    o->group = NULL;
    runtime_unlock(&g->lock);
}

/* ---- life ---- */

struct group *group_start(const char *name, void (*fn)(void *arg), void *arg)
{
    struct group *g;

    if (this_cpu()->current->group) {
        errno = EPERM;
        return NULL;
    }
    g = calloc(1, sizeof(*g));
    if (g && thread_create_in(g, name, fn, arg))
        return g;
    free(g);
    errno = ENOMEM;
    return NULL;
}

void group_kill(struct group *g)
{
    threads_kill(g);
    thread_end_if_killed();
}

void group_wait(struct group *g) { threads_wait_ended(g); }

static void release_all(struct owned **list)
{
    struct owned *o;

    while ((o = *list) != NULL) {
        owned_remove(o);
        o->release(o);
    }
}

void group_free(struct group *g)
{
    if (this_cpu()->current->group || g->nr_alive)
        panic("a group is freed by a group, or lives");
    release_all(&g->owned_first);
    release_all(&g->owned);
    threads_free(g);
    heap_release(&g->heap);
    free(g);
}

size_t group_heap_bytes(const struct group *g) { return g->heap.nr_pages * PAGE_BYTES; }

bool group_in_own_code(void)
{
    const struct cpu *c = this_cpu();

    return c->current->group && c->current->inside == 0 && c->in_handler == 0 &&
           c->vcpu_info->evtchn_upcall_mask == 0;
}

void group_fail(void)
{
    struct group *g = this_cpu()->current->group;

    if (!group_in_own_code())
        return;
    group_kill(g);
}
