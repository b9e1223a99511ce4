/*
 * A hostile frontend: a guest whose device's backend is asked for what makes no sense, by rings, grants and the store.
 * The backend may refuse it or disconnect it; what it may not do is to die, to keep a page of ours, or not to be there
 * for the next connection. Who else is served by it is another guest's test.
 *
 * Kernel command line: enemy=vbd|vif|console, seed=N (printed; else by the clock), rounds=N connections, device=N. devices=N: so many from that one
 * on, in turn, and the last one only at the end, when it is honest: a channel that has broken the rules is not served again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rt/event.h>
#include <rt/grant.h>
#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/verdict.h>
#include <xen/memory.h>

#include "enemy/front.h"
#include "store_ring.h"

enum { PAGES = 64, GRANTS = 128, ACTS = 12, WAIT_MS = 20000, MOST_LOST = 64 };
#define IN(state) (1u << XenbusState##state)
#define USED (GTF_reading | GTF_writing) /* the hypervisor's notes */

static const struct enemy_class *const classes[] = { &enemy_block, &enemy_network, &enemy_console };
static const struct enemy_class *class;
static struct enemy enemy;
static uint8_t *pages[PAGES];
static struct given {
    grant_ref_t ref;
    struct grant_entry_v1 was;
} given[GRANTS];
static unsigned int nr_given, nr_lost;
static unsigned int nr_refused, nr_connected, nr_thrown_out;

/* ---- grants ---- */

uint8_t *front_page(unsigned int n)
{
    if (pages[n] == NULL)
        pages[n] = page_alloc(1);
    if (pages[n] == NULL)
        verdict_error("no memory");
    return pages[n];
}

grant_ref_t front_grant(struct enemy *e, domid_t to, unsigned int page, bool read_only)
{
    struct enemy_grant g = enemy_grant(to, front_page(page), read_only);

    (void)e;
    if (nr_given == GRANTS)
        verdict_error("too many grants");
    given[nr_given++] = (struct given){ g.ref, *enemy_entry(g.ref) };
    return g.ref;
}

grant_ref_t front_any_ref(struct enemy *e)
{
    if (nr_given && !enemy_once_in(e, 5))
        return given[enemy_random(e, nr_given)].ref;
    return enemy_spare_own((grant_ref_t)enemy_edge(e, enemy_once_in(e, 2) ? 10 : 32));
}

/* A page that the other end has mapped goes back to the hypervisor, and is not ours any more. */
static void give_back(unsigned int n)
{
    xen_pfn_t mfn;
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };

    if (pages[n] == NULL || nr_lost == MOST_LOST)
        return;
    mfn = virt_to_mfn(pages[n]);
    set_xen_guest_handle(r.extent_start, &mfn);
    if (page_protect(pages[n], 0) == 0 && hc(memory_op, XENMEM_decrease_reservation, &r) == 1)
        nr_lost++;
    pages[n] = NULL;
}

void front_revoke(struct enemy *e)
{
    struct given *g = &given[enemy_random(e, nr_given)];
    struct grant_entry_v1 *entry = enemy_entry(g->ref);

    switch (enemy_random(e, 5)) {
    case 0: entry->flags = 0; break; /* its notes of the hypervisor go, too */
    case 1: entry->domid = (domid_t)enemy_edge(e, 16); break;
    case 2: entry->frame = (uint32_t)enemy_edge(e, 32); break;
    case 3: entry->flags = (uint16_t)(enemy_edge(e, 16) & ~USED); break;
    default: /* not with a note that the hypervisor takes back meanwhile */
        __atomic_fetch_xor(&entry->flags, GTF_readonly, __ATOMIC_SEQ_CST);
    }
}

/* The connection has ended: nothing of ours may be in use any more. */
static void take_back(void)
{
    while (nr_given) {
        struct given *g = &given[--nr_given];
        struct grant_entry_v1 *entry = enemy_entry(g->ref);
        bool same = entry->frame == g->was.frame && entry->domid == g->was.domid &&
                    (entry->flags & GTF_type_mask) == GTF_permit_access;

        if (same && grant_in_use(g->ref))
            verdict_failure("round %u: grant %u is still in use, 0x%x", enemy.round, g->ref,
                            entry->flags);
        entry->frame = g->was.frame;
        entry->domid = g->was.domid;
        entry->flags = g->was.flags;
        CHECK_EQ(grant_end(g->ref), 0);
    }
}

unsigned int front_port(struct enemy *e)
{
    return enemy_add_port(event_alloc_unbound(e->other, enemy_on_event, NULL));
}

/* ---- a connection ---- */

static void act(struct enemy *e)
{
    switch (enemy_random(e, 24)) {
    case 0: enemy_put(e, "state", "%u", (unsigned int)enemy_random(e, 10)); break;
    case 1: enemy_put_junk(e, "state"); break;
    case 2: enemy_remove(e, "state"); break;
    case 3: enemy_put_junk(e, class->nodes[0]); break;
    case 4: enemy_storm(e); break;
    case 5: front_revoke(e); break;
    case 6: enemy_close_ports(); break;
    case 7:
        if (enemy_once_in(e, 6))
            give_back((unsigned int)enemy_random(e, 4));
        break;
    case 8: usleep((unsigned int)enemy_random(e, 20000)); break;
    default: class->act(e);
    }
}

static void leave(struct enemy *e)
{
    enemy_leave(e, XenbusStateInitialising, WAIT_MS);
    take_back();
    for (unsigned int i = 0; class->nodes[i]; i++)
        enemy_remove(e, class->nodes[i]);
}

static void begin(struct enemy *e)
{
    enemy_put(e, "state", "%d", XenbusStateInitialising);
    if (enemy_wait(e, IN(InitWait), WAIT_MS) < 0)
        enemy_stop(e, "it cannot begin anew");
}

static void round_of(struct enemy *e)
{
    int state;

    begin(e);
    class->offer(e);
    enemy_spoil(e, class->nodes);
    enemy_put(e, "state", "%d", class->ready);
    if (enemy_once_in(e, 4)) /* it is not waited for */
        for (uint64_t n = enemy_random(e, ACTS); n; n--)
            act(e);
    state = enemy_wait(e, IN(Connected) | IN(Closing) | IN(Closed), 500);
    nr_refused += state != XenbusStateConnected;
    nr_connected += state == XenbusStateConnected;
    if (state == XenbusStateConnected && enemy_once_in(e, 2))
        enemy_put(e, "state", "%d", XenbusStateConnected);
    for (uint64_t n = enemy_random(e, ACTS); n; n--)
        act(e);
    if (state == XenbusStateConnected && enemy_get(e, "state") != XenbusStateConnected)
        nr_thrown_out++;
    leave(e);
}

static void honestly(struct enemy *e)
{
    e->honest = true;
    begin(e);
    class->offer(e);
    enemy_put(e, "state", "%d", class->ready);
    if (enemy_wait(e, IN(Connected), WAIT_MS) < 0)
        enemy_stop(e, "it is not served any more");
    enemy_put(e, "state", "%d", XenbusStateConnected);
    CHECK(class->honest(e));
    leave(e);
}

/* ---- the kernel ---- */

static void find_class(const char *type)
{
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (strcmp(classes[i]->type, type) == 0)
            class = classes[i];
    if (class == NULL)
        verdict_error("enemy=%s: no such class", type);
}

static void find_backend(struct enemy *e, unsigned int device)
{
    snprintf(e->ours, sizeof(e->ours), "device/%s/%u", class->type, device);
    enemy_find_other(e, "backend", "backend-id");
}

int main(int argc, char **argv)
{
    struct enemy_arguments a = { .rounds = 50, .devices = 1 };
    unsigned int others;

    enemy_arguments(&enemy, argc, argv, &a);
    find_class(a.type);
    others = a.devices > 1 ? a.devices - 1 : 1;
    enemy.xs = store_ring_start() == 0 ? xs_open(0) : NULL;
    if (enemy.xs == NULL)
        verdict_error("no store: %s", strerror(errno));
    for (enemy.round = 1; enemy.round <= a.rounds; enemy.round++) {
        find_backend(&enemy, a.device + enemy.round % others);
        round_of(&enemy);
    }
    find_backend(&enemy, a.device + a.devices - 1);
    honestly(&enemy);
    printf("connected %u times, refused %u, thrown out %u, %u pages given back\n", nr_connected,
           nr_refused, nr_thrown_out, nr_lost);
    CHECK(nr_connected && nr_refused && nr_thrown_out);
    return verdict();
}
