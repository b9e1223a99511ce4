#include "enemy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rt/clock.h>
#include <rt/grant.h>
#include <rt/hypercall.h>
#include <rt/memory.h>
#include <rt/verdict.h>

enum { ENTRIES = ENEMY_PAGE / sizeof(struct grant_entry_v1), WAIT_STEP_US = 3000, PATH = 160 };

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
        "",     "x",  "-1", "4294967295", "4294967296",           "01",          "4294967299",
        "0x10", " 3", "3 ", "3\n",        "99999999999999999999", "\x01\xff%s%n"
    };
    static const char long_one[] = "33333333333333333333333333333333333333333333333333333333333333";
    uint64_t n = enemy_random(e, sizeof(junk) / sizeof(junk[0]) + 3);

    if (n < sizeof(junk) / sizeof(junk[0]))
        write_node(e, node, junk[n]);
    else if (n == sizeof(junk) / sizeof(junk[0]))
        write_node(e, node, long_one);
    else
        enemy_put(e, node, "%lu", (unsigned long)enemy_edge(e, 32));
}

void enemy_remove(struct enemy *e, const char *node)
{
    char path[PATH];

    snprintf(path, sizeof(path), "%s/%s", e->ours, node);
    xs_rm(e->xs, XBT_NULL, path);
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
