#include "enemy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/event.h>
#include <rt/grant.h>
#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/verdict.h>

enum {
    ENTRIES = ENEMY_PAGE / sizeof(struct grant_entry_v1),
    WAIT_STEP_US = 3000,

    PATH = 160
};

/* ---- numbers ---- */

uint64_t enemy_random(struct enemy *e, uint64_t below)
{
    e->random = e->random * 6364136223846793005ull + 1442695040888963407ull;
    return (e->random >> 33) % below;
}

bool enemy_once_in(struct enemy *e, uint64_t of) { return enemy_random(e, of) == 0; }

uint64_t enemy_edge(struct enemy *e, unsigned int bits)
{
    uint64_t all = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    uint64_t edges[] = { 0, 1, 2, 7, 8, 11, 12, 255, 256, all, all - 1, all / 2, all / 2 + 1 };
    uint64_t n = enemy_random(e, sizeof(edges) / sizeof(edges[0]) + 2);

    if (n < sizeof(edges) / sizeof(edges[0]))
        return edges[n] & all;
    return (enemy_random(e, 1u << 31) << 33 ^ enemy_random(e, 1u << 31)) & all;
}

/* ---- the store ---- */

static void write_node(struct enemy *e, const char *node, const char *value)
{
    char path[PATH];

    snprintf(path, sizeof(path), "%s/%s", e->ours, node);
    if (!xs_write(e->xs, XBT_NULL, path, value, (unsigned int)strlen(value)))
        printf("%s is not to be written\n", path); /* the device is no more, perhaps */
}

void enemy_put(struct enemy *e, const char *node, const char *fmt, ...)
{
    char value[128];
    va_list args;

    va_start(args, fmt);
    vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    write_node(e, node, value);
}

void enemy_put_junk(struct enemy *e, const char *node)
{
    static const char *const junk[] = {
        "",     "x",  "-1", "4294967295", "4294967296",           "02",          "4294967299",
        "0x10", " 3", "3 ", "3\n",        "99999999999999999999", "\x01\xff%s%n"
    };
    static const char long_one[] = "33333333333333333333333333333333333333333333333333333333333333";
    uint64_t n = enemy_random(e, sizeof(junk) / sizeof(junk[0]) + 3);

    if (n < sizeof(junk) / sizeof(junk[0]))
        write_node(e, node, junk[n]);
    else if (n == sizeof(junk) / sizeof(junk[0]))
        write_node(e, node, long_one);
    else
        enemy_put(e, node, "%u", enemy_spare_own((uint32_t)enemy_edge(e, 32)));
}

void enemy_remove(struct enemy *e, const char *node)
{
    char path[PATH];

    snprintf(path, sizeof(path), "%s/%s", e->ours, node);
    xs_rm(e->xs, XBT_NULL, path);
}

bool enemy_is_there(struct enemy *e, const char *node)
{
    char path[PATH], *value;

    snprintf(path, sizeof(path), "%s/%s", e->ours, node);
    value = xs_read(e->xs, XBT_NULL, path, NULL);
    free(value);
    return value != NULL;
}

long enemy_get(struct enemy *e, const char *node)
{
    char path[PATH], *value;
    unsigned int len;
    long n = -1;

    snprintf(path, sizeof(path), "%s/%s", e->theirs, node);
    value = xs_read(e->xs, XBT_NULL, path, &len);
    if (value)
        n = atol(value);
    free(value);
    return n;
}

int enemy_wait(struct enemy *e, unsigned int states, unsigned int ms)
{
    uint64_t end = clock_now() + ms * NS_PER_MS;

    do {
        long state = enemy_get(e, "state");

        if (state >= 0 && state < 32 && states & 1u << state)
            return (int)state;
        usleep(WAIT_STEP_US);
    } while (clock_now() < end);
    return -1;
}

void enemy_spoil(struct enemy *e, const char *const *nodes)
{
    unsigned int nr = 0;

    while (nodes[nr])
        nr++;
    for (uint64_t n = enemy_once_in(e, 3) ? 1 + enemy_random(e, 2) : 0; n; n--) {
        const char *node = nodes[enemy_random(e, nr)];

        if (enemy_once_in(e, 5))
            enemy_remove(e, node);
        else
            enemy_put_junk(e, node);
    }
}

/* ---- the beginning ---- */

void enemy_arguments(struct enemy *e, int argc, char **argv, struct enemy_arguments *a)
{
    e->random = clock_now();
    for (int i = 0; i < argc; i++) {
        unsigned long n;

        if (sscanf(argv[i], "seed=%lu", &n) == 1)
            e->random = n;
        if (sscanf(argv[i], "rounds=%lu", &n) == 1)
            a->rounds = (unsigned int)n;
        if (sscanf(argv[i], "device=%lu", &n) == 1)
            a->device = (unsigned int)n;
        if (sscanf(argv[i], "devices=%lu", &n) == 1)
            a->devices = (unsigned int)n;
        sscanf(argv[i], "enemy=%15s", a->type);
    }
    printf("enemy=%s seed=%lu rounds=%u\n", a->type, (unsigned long)e->random, a->rounds);
}

void enemy_find_other(struct enemy *e, const char *their_folder, const char *their_id)
{
    char path[PATH], *text;
    unsigned int len;

    snprintf(path, sizeof(path), "%s/%s", e->ours, their_folder);
    text = xs_read(e->xs, XBT_NULL, path, &len);
    if (text == NULL)
        verdict_error("%s: there is no such device", e->ours);
    snprintf(e->theirs, sizeof(e->theirs), "%s", text);
    free(text);
    snprintf(path, sizeof(path), "%s/%s", e->ours, their_id);
    text = xs_read(e->xs, XBT_NULL, path, &len);
    e->other = text ? (domid_t)atoi(text) : 0;
    free(text);
}

void enemy_stop(struct enemy *e, const char *what)
{
    verdict_failure("round %u: %s; the other end's state is %ld", e->round, what,
                    enemy_get(e, "state"));
}

/* ---- ports and rings ---- */

static unsigned int nr_ports, ports[ENEMY_PORTS];

unsigned int enemy_add_port(int port)
{
    if (port < 0 || nr_ports == ENEMY_PORTS)
        verdict_error("no port: %d", port);
    ports[nr_ports++] = (unsigned int)port;
    return (unsigned int)port;
}

void enemy_on_event(unsigned int port, void *arg) { (void)port, (void)arg; }

void enemy_notify(struct enemy *e)
{
    if (nr_ports)
        event_send(ports[enemy_random(e, nr_ports)]);
}

void enemy_storm(struct enemy *e)
{
    for (unsigned int i = 0; i < 2000; i++)
        enemy_notify(e);
}

void enemy_close_ports(void)
{
    while (nr_ports)
        event_close(ports[--nr_ports]);
}

void enemy_leave(struct enemy *e, enum xenbus_state begins, unsigned int ms)
{
    const int ways[][2] = { { 5, 6 }, { 6, 6 }, { 1, 6 }, { 0, 6 }, { 5, (int)begins }, { 4, 5 } };
    const int *way = ways[e->honest ? 0 : enemy_random(e, sizeof(ways) / sizeof(ways[0]))];

    enemy_put(e, "state", "%d", way[0]);
    if (enemy_once_in(e, 2))
        usleep((unsigned int)enemy_random(e, 30000));
    enemy_put(e, "state", "%d", way[1]);
    enemy_put(e, "state", "%d", XenbusStateClosed);
    if (enemy_wait(e, 1u << XenbusStateClosed, ms) < 0)
        enemy_stop(e, "it does not let go");
    enemy_close_ports();
}

void enemy_ring_put(volatile uint32_t *ring, unsigned int index, const struct enemy_entries *n,
                    const void *entry, size_t bytes)
{
    uint32_t prod = ring[index];

    memcpy((uint8_t *)(uintptr_t)ring + RING_HEAD + prod % n->nr * n->bytes, entry, bytes);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    ring[index] = prod + 1;
}

bool enemy_ring_take(const volatile uint32_t *ring, uint32_t *cons, const struct enemy_entries *n,
                     void *request)
{
    if (ring == NULL || ring[RING_REQ_PROD] == *cons)
        return false;
    memcpy(request, (const uint8_t *)(uintptr_t)ring + RING_HEAD + (*cons)++ % n->nr * n->bytes,
           n->bytes);
    return true;
}

void enemy_bad_index(struct enemy *e, volatile uint32_t *index, uint32_t other, uint32_t nr_entries)
{
    uint32_t now = *index;
    uint32_t bad[] = { now - 1,   now + nr_entries + 1,       now + 0x80000000u, now - nr_entries,
                       other - 1, (uint32_t)enemy_edge(e, 32) };

    *index = bad[enemy_random(e, sizeof(bad) / sizeof(bad[0]))];
}

void enemy_scribble(struct enemy *e, volatile uint8_t *page)
{
    unsigned int n = (unsigned int)enemy_random(e, 3000);

    for (unsigned int i = 0; i < n; i++) {
        page[RING_HEAD + enemy_random(e, ENEMY_PAGE - RING_HEAD)] =
            (uint8_t)enemy_spare_own((uint32_t)enemy_edge(e, 8)); /* it may become a reference */
        if (i % 64 == 0)
            enemy_notify(e);
    }
}

/* ---- pages ---- */

struct enemy_grant enemy_grant(domid_t to, uint8_t *page, bool read_only)
{
    struct enemy_grant g = { .page = page ? page : page_alloc(1) };
    int ref = g.page ? grant_access(to, virt_to_mfn(g.page), read_only) : -12;

    if (ref < 0)
        verdict_error("no grant: %d", ref);
    g.ref = (grant_ref_t)ref;
    return g;
}

struct grant_entry_v1 *enemy_entry(grant_ref_t ref)
{
    static struct grant_entry_v1 *table[MAX_GRANT_FRAMES];
    uint32_t nr = ref / ENTRIES, now, max;

    if (nr >= MAX_GRANT_FRAMES || grant_table_size(&now, &max) || nr >= now)
        verdict_error("no grant %u", ref);
    if (table[nr] == NULL) {
        xen_pfn_t mfns[MAX_GRANT_FRAMES];
        struct gnttab_setup_table s = { .dom = DOMID_SELF, .nr_frames = now };

        set_xen_guest_handle(s.frame_list, mfns);
        if (hc(grant_table_op, GNTTABOP_setup_table, &s, 1) == 0 && s.status == GNTST_okay)
            table[nr] = frames_map(DOMID_SELF, &mfns[nr], 1, PROT_KERNEL_RW | PTE_NX);
        if (table[nr] == NULL)
            verdict_error("the grant table is not to be had");
    }
    return &table[nr][ref % ENTRIES];
}
