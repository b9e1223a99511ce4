/*
 * rt/memory.h: page frames, page tables, and the memory behind malloc().
 *
 * A PV domain's memory has three names. An mfn is a frame of the machine: what page tables hold.
 * A pfn is the kernel's own number for it, counted from 0 without gaps. A virtual address: this
 * kernel maps pfn n at VIRT_BASE + n * 4096, for all of the first GiB ("linear"); what lies
 * elsewhere is the heap, and what frames_map() mapped.
 *
 * Page tables are the kernel's pages, but mapped read-only: the hypervisor checks each change,
 * which is why changes are hypercalls (mmu_update), and why it can let the hardware use them.
 *
 * Everything here is for threads, on any vCPU; the small conversions also for handlers.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

#define VIRT_BASE 0xffffffff80000000UL
#define PAGE_BYTES 4096UL
#define HEAP_BASE 0xffff890000000000UL
#define HEAP_MAX_BYTES (1UL << 36)
#define MAP_BASE 0xffff8a0000000000UL /* frames_map() */

/* The bits of a page table entry. */
#define PTE_PRESENT 0x001UL
#define PTE_WRITABLE 0x002UL
#define PTE_USER 0x004UL /* set by the hypervisor: a 64-bit PV kernel runs in ring 3 */
#define PTE_ACCESSED 0x020UL
#define PTE_DIRTY 0x040UL
#define PTE_UNCACHED 0x018UL
#define PTE_NX (1UL << 63)
#define PTE_FRAME 0x000ffffffffff000UL
#define PROT_KERNEL_RO (PTE_PRESENT | PTE_USER | PTE_ACCESSED)
#define PROT_KERNEL_RW (PROT_KERNEL_RO | PTE_WRITABLE | PTE_DIRTY)

#define P2M_NONE (~0UL) /* the mfn of a pfn whose frame the balloon gave away */

#define LINEAR_PAGES (1UL << 18)
#define P2M_PAGE 512UL
/** The p2m, a page's worth at a time: NULL where the domain never had a frame. */
extern uint64_t *p2m[LINEAR_PAGES / P2M_PAGE];

/** The mfn of a pfn that the domain has, or had: P2M_NONE. */
static inline uint64_t pfn_to_mfn(uint64_t pfn) { return p2m[pfn / P2M_PAGE][pfn % P2M_PAGE]; }

/** The pfn of an address of the linear mapping, and back. */
static inline uint64_t virt_to_pfn(const void *va)
{
    return ((uint64_t)va - VIRT_BASE) / PAGE_BYTES;
}
static inline void *pfn_to_virt(uint64_t pfn) { return (void *)(VIRT_BASE + pfn * PAGE_BYTES); }

/** The mfn behind any address that is mapped; 0 if it is not. */
uint64_t virt_to_mfn(const void *va);

/** The address in the linear mapping of a frame that is this domain's. */
void *mfn_to_virt(uint64_t mfn);

/**
 * Pages in one piece, zeroed, in the linear mapping. When the domain has none left it asks the
 * hypervisor for more (XENMEM_populate_physmap), up to what the domain may have and balloon() said.
 * @nr  number of pages, at least 1
 * Returns the address, or NULL: there are none.
 */
void *page_alloc(size_t nr);

/** @va  from page_alloc(@nr); each page is free again */
void page_free(void *va, size_t nr);

/** Number of pages that page_alloc() has left without asking for more. */
size_t page_nr_free(void);

/**
 * The domain shall have that many pages, no more, from now on, and no fewer if it can be.
 *
 * Down: free pages are cleared, unmapped, and given back to the hypervisor; where they were, in the
 * linear mapping and the P2M, is nothing, and page_alloc() does not hand them out. What is in use
 * (also by malloc() and as page tables) stays, and a few pages besides. Up: the hypervisor is asked
 * for frames, for those given back first. Where it has none to give, page_alloc() asks again when it
 * needs some.
 * @target_pages  SIZE_MAX: all that the hypervisor has for us, the first GiB
 * Returns how many the domain has then: more than the target, if too few were free; fewer, if the
 * hypervisor has none. Threads, all vCPUs; of two at once, the later one counts.
 */
size_t balloon(size_t target_pages);

/**
 * What the domain has grown by since its start, and does not need now, is the hypervisor's again, for others: as balloon()
 * does it, but page_alloc() may ask for it the next time. What balloon() was told to have stays. The runtime's files do so
 * when a large one has gone.
 */
void memory_shrink(void);

/**
 * Change how one page that is mapped is mapped. Seen by all vCPUs.
 * @va    of that page
 * @prot  PROT_KERNEL_RO, PROT_KERNEL_RW, perhaps with PTE_NX; 0: not at all (linear mapping only: see
 *        page_unprotect())
 * Returns 0 or Xen's -errno.
 */
long page_protect(void *va, uint64_t prot);

/** Map a page of the linear mapping as page_alloc() has it. Returns 0 or Xen's -errno. */
long page_unprotect(void *va);

/**
 * The entry that maps va at a level of the tables in use (1: the page's, 4: the root's), to be read.
 * Returns NULL if a table above it is missing.
 */
const uint64_t *pte_of(const void *va, unsigned int level);

/**
 * Map frames of any domain side by side, where nothing else is.
 * @domid  their owner: DOMID_SELF, DOMID_IO for device memory, or another domain if this one may
 * @mfns   an array of @nr
 * @prot   as page_protect()'s, not 0
 * Returns the address, or NULL with errno set: no room, no memory for tables, refused.
 */
void *frames_map(domid_t domid, const uint64_t *mfns, size_t nr, uint64_t prot);

/**
 * The same, but each frame counts for itself: where one cannot be mapped is a hole.
 * @errs  receives for each of the @nr 0 or Xen's -errno
 * Returns the address, even of nothing but holes, or NULL with errno set: no room, no memory for tables.
 */
void *frames_map_each(domid_t domid, const uint64_t *mfns, size_t nr, uint64_t prot, int *errs);

/** @va  from frames_map() or frames_map_each(), with the same @nr. The TLBs of all vCPUs are clean afterwards. */
void frames_unmap(void *va, size_t nr);

/**
 * More bytes at the end of the heap, or fewer: what malloc() grows by.
 * Returns the old end, or (void *)-1 with errno ENOMEM.
 */
void *sbrk(ptrdiff_t by_bytes);
