/*
 * What a PV domain has said of its memory: which frame each of its pfns is, and back. It is read while the domain
 * does not run, and is the domain's word: each frame is to be asked for, or mapped, as that domain's.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

#include "toolstack.h"

#define PFN_NONE UINT64_MAX

/** How many pfns a domain that may have that many pages can have: with holes, and what it may grow to. */
uint64_t p2m_most(uint64_t nr_pages);

struct p2m {
    uint64_t nr;       /* pfns, with those that are no memory */
    uint64_t nr_list;  /* frames that hold the domain's list of them */
    uint64_t *list;    /* these frames' numbers, in order */
    uint64_t nr_pages; /* frames of the list that are the domain's memory, each once */
    uint64_t most;     /* pages that there is room for */
    uint64_t *mfn;     /* of each page, */
    uint32_t *pfn;     /* the first that names it; pages are in the order of these */
    uint32_t *slots;   /* pages by a hash of their frames */
    uint64_t mask;
};

enum { P2M_BATCH = 1024 };

/** Some of its pages. */
struct p2m_batch {
    size_t nr;
    uint64_t pfns[P2M_BATCH];
    xen_pfn_t frames[P2M_BATCH];
    xen_pfn_t types[P2M_BATCH]; /* XEN_DOMCTL_PFINFO_*, those of pages that have contents */
};

/** A domain's shared_info, with all of its page. */
struct p2m_shared {
    union {
        struct shared_info info;
        uint8_t bytes[4096];
    };
};

/**
 * Read it by what the domain keeps in its shared_info: the linear list (p2m_cr3), else the tree of lists.
 * @shared  receives a copy
 * @batch   what it works with
 * errno: EINVAL it has kept nothing, or that makes no sense; ENOMEM; of mapping. On failure p is empty.
 */
int p2m_read(struct toolstack *t, const guest_info_t *info, struct p2m_shared *shared,
             struct p2m *p, struct p2m_batch *batch);

/** The pfn of a frame of the domain's memory; PFN_NONE: it is none. */
uint64_t p2m_pfn(const struct p2m *p, uint64_t mfn);

/**
 * The next pages that are the domain's indeed, each once. After the last *page is p->nr_pages.
 * @page  where to begin, 0 at first; moves behind them
 * errno: as of hyp_page_types(); EIO a type that nobody knows.
 */
int p2m_next(struct toolstack *t, domid_t id, const struct p2m *p, uint64_t *page,
             struct p2m_batch *batch);

/** All zero is none. */
void p2m_free(struct p2m *p);
