/*
 * The frame allocator: a buddy system over all RAM with zones by address, and the hypervisor's own
 * objects. Free frames are linked through the frame table.
 */
#pragma once
#include "memory/frame.h"

#define HEAP_MAX_ORDER 22 /* 16 GiB: what a p2m list of all that the direct map shows needs */

/* ---- boot time ---- */

/** Tell the frame table that [start, end) bytes is RAM (whole frames inside it). Once per range. */
void heap_add_ram(uint64_t start, uint64_t end);
/** Give [start, end) bytes of such RAM to the allocator. Not yet scrubbed. */
void heap_free_range(uint64_t start, uint64_t end);

/* ---- frames ---- */

/**
 * What was free may still be in a TLB: an allocation may flush other CPUs and wait for them, so hold
 * no lock that is ever taken with interrupts off.
 *
 * Allocate 2^order frames, naturally aligned, all below 2^addr_bits bytes (0: anywhere; high
 * addresses first). Contents undefined; count_info is HV, count 1. INVALID_MFN if there are none.
 */
mfn_t heap_alloc(unsigned int order, unsigned int addr_bits);
/**
 * The same for d, so not out of what others have claimed, with the smallest free block of least..most,
 * or half of a bigger one; *order: which. Its claim becomes smaller. NULL: for the hypervisor.
 */
mfn_t heap_alloc_some(struct domain *d, unsigned int least, unsigned int most,
                      unsigned int addr_bits, unsigned int *order);
/** Free what heap_alloc() gave; or any n frames one behind the other that it gave. */
void heap_free(mfn_t m, unsigned int order);
void heap_free_frames(mfn_t m, uint64_t n);
uint64_t heap_free_pages(void);
/** All RAM, that of the hypervisor and of domains, too. */
uint64_t heap_total_pages(void);

/** One zeroed frame for the hypervisor, as a pointer; NULL if there is none. */
void *alloc_page(void);
void free_page(void *p);

/**
 * n times 2^order scrubbed frames that d owns from now on: on its list, ALLOCATED, count 1 each, as far as
 * d->max_pages, d->is_dying and memory permit, with M2P entries from list[i] on for the i-th (or none, if
 * that is INVALID_M2P_ENTRY); list[i] becomes the first one's number. Returns how many times it went.
 */
unsigned int domain_populate(struct domain *d, unsigned int order, unsigned int addr_bits,
                             uint64_t *list, unsigned int n);
/**
 * Give one HV frame (say, of a boot module) to d as one of its pages. Contents and M2P entry are
 * kept.
 */
int domain_assign_page(struct domain *d, mfn_t m);
/** The same for n HV frames in one piece that no guest has had since boot. */
int domain_assign_pages(struct domain *d, mfn_t m, uint64_t n);
/**
 * Undo d's ownership of one page, whose only reference is ALLOCATED, and keep it for
 * the hypervisor as HV, count 1; false if m is in use, or not d's. m is any number; the page keeps its
 * M2P entry, to be reset before anybody else gets it.
 */
bool domain_steal_page(struct domain *d, mfn_t m);

/**
 * Keep so many free frames for d that it can have `pages` in all, instead of its earlier claim; 0: none.
 * 0, or -EINVAL: it has a claim, has as many already, may not have so many, or is dying; -ENOMEM.
 */
int domain_claim_pages(struct domain *d, uint64_t pages);
/** All that is claimed. */
uint64_t heap_claimed_pages(void);

/** Of a dying domain, which gets no new ones: a frame that it owns, each once; INVALID_MFN: no more. */
mfn_t domain_walk_pages(struct domain *d);

/**
 * A dying domain's last step: drop its claim and the owner's reference on all its frames. 0, or -ERESTART to call
 * again. What others still map stays on d's list (d->nr_pages) until they let go.
 */
int domain_relinquish_pages(struct domain *d);

/* ---- objects ---- */

/**
 * Zeroed memory for the hypervisor, at most PAGE_SIZE; NULL if there is none. A frame each: there are
 * but a few such objects for each domain and vCPU.
 */
void *xmalloc(size_t bytes);
void xfree(void *p);
/** Zeroed, any size, whole frames; needs the size back. */
void *xmalloc_pages(size_t bytes);
void xfree_pages(void *p, size_t bytes);

/** One line, for the debug key. */
void heap_print(void);
/** Check lists against the frame table; prints what is wrong and returns how many. All CPUs parked. */
unsigned int heap_audit(void);
