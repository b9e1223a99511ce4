/*
 * child.h: second domains for the benchmark's kernels. They are created, given memory and destroyed by
 * hypercalls alone, the same ones on ours and on Xen.
 */
#pragma once
#include <stdint.h>

#include <xen/event_channel.h>
#include <xen/xen.h>

#define CHILD_PAGES 7u

/* A page that a child and its creator both see. */
struct child_data {
    volatile uint64_t yields;  /* not 0: its vCPU yields all the time; else it blocks */
    volatile uint64_t stamp;   /* the TSC at the first instruction of the last upcall */
    volatile uint64_t upcalls; /* how many there were */
    volatile uint64_t turns;   /* how often it has yielded */
    uint64_t port;
};

struct child {
    domid_t id;
    evtchn_port_t port; /* the creator's end; an event there is an upcall of the child's */
    struct child_data *data;
    uint64_t frames[CHILD_PAGES];
};

/**
 * A domain of one vCPU that has memory and never runs: createdomain, max_vcpus, max_mem, and one
 * populate_physmap of single pages.
 * @frames  pfns from 0 on: mfns afterwards, an array of @nr_pages
 */
domid_t domain_make(xen_pfn_t *frames, unsigned int nr_pages);

/** destroydomain, and getdomaininfo until there is none: it and all of its memory are gone. */
void domain_end(domid_t id);

/** A domain of CHILD_PAGES pages, whose vCPU runs, at once or when this one lets it. */
void child_start(struct child *c);
void child_end(struct child *c);

/** Pages that no domain has. */
uint64_t free_pages(void);
