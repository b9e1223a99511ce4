#include "table.h"

#include <string.h>

#include "switch_port.h"

static struct table_entry **bucket(struct table *t, const uint8_t *mac)
{
    uint64_t key = t->seed ^ ((uint64_t)get16(mac) << 32 | get32(mac + 2));

    key ^= key >> 29;
    key *= 0xbf58476d1ce4e5b9u;
    key ^= key >> 32;
    return &t->buckets[key % TABLE_BUCKETS];
}

void table_init(struct table *t, uint64_t seed)
{
    memset(t, 0, sizeof(*t));
    t->seed = seed;
    for (unsigned int i = 0; i < TABLE_ENTRIES; i++) {
        t->entries[i].next = t->free;
        t->free = &t->entries[i];
    }
}

/* Where it is linked from. */
static struct table_entry **place_of(struct table *t, const uint8_t *mac)
{
    struct table_entry **at = bucket(t, mac);

    while (*at && memcmp((*at)->mac, mac, ETH_ADDRESS) != 0)
        at = &(*at)->next;
    return at;
}

struct table_entry *table_find(struct table *t, const uint8_t *mac) { return *place_of(t, mac); }

static void forget(struct table *t, struct table_entry **at)
{
    struct table_entry *e = *at;

    *at = e->next;
    if (e->fixed)
        return;
    e->port->nr_learned--;
    e->next = t->free;
    t->free = e;
}

static void add(struct table *t, struct table_entry *e)
{
    struct table_entry **at = bucket(t, e->mac);

    e->next = *at;
    *at = e;
}

bool table_add_fixed(struct table *t, struct table_entry *e)
{
    struct table_entry **at = place_of(t, e->mac);

    if (*at && (*at)->fixed)
        return false;
    if (*at)
        forget(t, at);
    add(t, e);
    return true;
}

void table_forget(struct table *t, const struct switch_port *p)
{
    for (unsigned int i = 0; i < TABLE_BUCKETS; i++)
        for (struct table_entry **at = &t->buckets[i]; *at;)
            if ((*at)->port == p)
                forget(t, at);
            else
                at = &(*at)->next;
}

/* Ten times in the life of an entry. */
void table_sweep(struct table *t, uint64_t now_ns)
{
    if (now_ns - t->swept_ns < TABLE_AGE_NS / 10)
        return;
    t->swept_ns = now_ns;
    for (unsigned int i = 0; i < TABLE_BUCKETS; i++)
        for (struct table_entry **at = &t->buckets[i]; *at;)
            if (!(*at)->fixed && now_ns - (*at)->seen_ns > TABLE_AGE_NS)
                forget(t, at);
            else
                at = &(*at)->next;
}

void table_learn(struct table *t, struct table_entry *e, const uint8_t *mac, struct switch_port *p,
                 uint64_t now_ns)
{
    if (e && e->fixed)
        return;
    if (e == NULL || e->port != p) {
        if (p->nr_learned == TABLE_OF_PORT)
            return;
        if (e) {
            e->port->nr_learned--; /* it has moved */
        } else if ((e = t->free) != NULL) {
            t->free = e->next;
            memcpy(e->mac, mac, ETH_ADDRESS);
            add(t, e);
        } else {
            return;
        }
        e->port = p;
        p->nr_learned++;
    }
    e->seen_ns = now_ns;
}
