/* Bits and indices of x86-64 page-table entries. */
#pragma once
#include "lib/types.h"

typedef uint64_t pte_t; /* an entry of any level */

#define PTE_P (1ULL << 0)
#define PTE_RW (1ULL << 1)
#define PTE_US (1ULL << 2)
#define PTE_PWT (1ULL << 3)
#define PTE_PCD (1ULL << 4)
#define PTE_A (1ULL << 5)
#define PTE_D (1ULL << 6)
#define PTE_PS (1ULL << 7)  /* L2, L3: superpage */
#define PTE_PAT (1ULL << 7) /* L1 */
#define PTE_G (1ULL << 8)
#define PTE_AVAIL (7ULL << 9)           /* software: the guest's */
#define PTE_AVAIL_HIGH (0x7ffULL << 52) /* software: the guest's */
#define PTE_NX (1ULL << 63)
#define PTE_CACHE (PTE_PWT | PTE_PCD | PTE_PAT)

#define PTE_ADDR_MASK 0x000ffffffffff000ULL
#define PADDR_BITS_MAX 52

#define PTES_PER_TABLE 512u

static inline uint64_t pte_mfn(pte_t e) { return (e & PTE_ADDR_MASK) >> PAGE_SHIFT; }
static inline pte_t pte_make(uint64_t mfn, uint64_t flags) { return (mfn << PAGE_SHIFT) | flags; }

static inline unsigned int pt_index(uint64_t va, unsigned int level) /* level 1..4 */
{
    return (unsigned int)(va >> (PAGE_SHIFT + 9 * (level - 1))) & (PTES_PER_TABLE - 1);
}

/* The address-space layout; design section 5. One L4 slot is 512 GiB. */
#define L4_SLOT(n) (0xffff000000000000ULL | ((uint64_t)(n) << 39))
#define HV_FIRST_SLOT 256u
#define HV_LAST_SLOT 271u
#define HV_VIRT_START L4_SLOT(256) /* 0xffff800000000000 */
#define HV_VIRT_END L4_SLOT(272)   /* 0xffff880000000000, the first address above */

#define M2P_RO_VIRT L4_SLOT(256) /* what guests read */
#define ENTRY_SLOT 257u
#define IMAGE_VIRT L4_SLOT(258)          /* the image but for the entry code */
#define ENTRY_VIRT (IMAGE_VIRT - GIB(1)) /* entry code, descriptor tables: in slot 257 */
#define FRAMETABLE_VIRT L4_SLOT(259)
#define M2P_RW_VIRT L4_SLOT(260)    /* where we write it */
#define MMIO_VIRT L4_SLOT(261)      /* devices that we drive ourselves, uncached */
#define DIRECTMAP_VIRT L4_SLOT(262) /* all RAM, slots 262..271: 5 TiB */
#define DIRECTMAP_BYTES (HV_VIRT_END - DIRECTMAP_VIRT)

static inline bool va_is_canonical(uint64_t va)
{
    return (uint64_t)((int64_t)(va << 16) >> 16) == va;
}
/** It is that, and not the hypervisor's. */
static inline bool guest_va_ok(uint64_t va) { return va < 1ULL << 47 || va >= HV_VIRT_END; }
