/* What a kernel has of the runtime and of the hypervisor, for tests that nothing of it is lost. */
#pragma once
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/verdict.h>

#include <xen/event_channel.h>

struct counters {
    size_t heap;  /* bytes in use */
    size_t pages; /* free, and those behind the heap */
    unsigned int ports;
    void *map; /* where the next foreign frame would be mapped */
};

static inline unsigned int ports_open(void)
{
    unsigned int n = 0;

    for (evtchn_port_t port = 1; port < EVTCHN_2L_NR_CHANNELS; port++) {
        struct evtchn_status s = { .dom = DOMID_SELF, .port = port };

        n += hc(event_channel_op, EVTCHNOP_status, &s) == 0 && s.status != EVTCHNSTAT_closed;
    }
    return n;
}

/* The library fills the structure with int where its header says size_t. */
static inline size_t heap_used(void)
{
    struct mallinfo info = _mallinfo_r(_REENT);
    int used;

    memcpy(&used, (char *)&info + 7 * sizeof(int), sizeof(used));
    return (size_t)used;
}

/* The heap grows by 64 pages, and never shrinks here. */
static inline size_t pages_left(void)
{
    size_t heap = ((uint64_t)sbrk(0) - HEAP_BASE + PAGE_BYTES - 1) / PAGE_BYTES;

    return page_nr_free() + (heap + 63) / 64 * 64;
}

static inline struct counters count(void)
{
    struct counters c = { .heap = heap_used(), .pages = pages_left(), .ports = ports_open() };
    uint64_t mfn = virt_to_mfn(start_info);

    c.map = frames_map(DOMID_SELF, &mfn, 1, PROT_KERNEL_RO | PTE_NX);
    if (c.map)
        frames_unmap(c.map, 1);
    return c;
}

static inline void check_counters(const struct counters *want)
{
    struct counters c = count();

    CHECK_EQ(c.heap, want->heap);
    CHECK_EQ(c.pages, want->pages);
    CHECK_EQ(c.ports, want->ports);
    CHECK_EQ(c.map, want->map);
}
