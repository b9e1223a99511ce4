/*
 * A domain's kernel image: a 64-bit ELF file with Xen ELF notes. Parsing looks at the file only
 * and trusts nothing in it; the builder loads the segments.
 */
#pragma once
#include "lib/types.h"

#define ELF_MAX_SEGMENTS 16u
#define ELF_NONE UINT64_MAX /* a note that is not there */

struct elf_segment {
    uint64_t paddr; /* pseudo-physical, PADDR_OFFSET applied */
    uint64_t mem_bytes, file_bytes;
    uint64_t file_offset;
};

struct elf_kernel {
    const uint8_t *image;
    size_t image_bytes;
    struct elf_segment segments[ELF_MAX_SEGMENTS]; /* not empty, disjoint, in the file's order */
    uint32_t nr_segments, nr_notes;
    uint64_t phys_start, phys_end; /* pseudo-physical range of all segments, [start, end) */
    uint64_t virt_base;            /* VIRT_BASE: of pseudo-physical 0 */
    uint64_t entry;                /* ENTRY, or the file's */
    uint64_t init_p2m; /* INIT_P2M, not checked, or ELF_NONE: the p2m list follows the kernel */
    uint64_t hypercall_page; /* HYPERCALL_PAGE or ELF_NONE; a whole page of the kernel */
    uint64_t paddr_offset;   /* PADDR_OFFSET */
    uint64_t mod_start_pfn;  /* not 0: the ramdisk is passed as a PFN and not mapped */
    char error[256];         /* why it cannot be a domain */
};

/** Always false; that goes into k->error. The builder's reasons, too. */
bool printf_like(2, 3) elf_bad(struct elf_kernel *k, const char *fmt, ...);

/**
 * Parse the file of image_bytes at image, in which the segments' offsets then lie. False: k->error
 * names what is wrong and its value, in one line.
 */
bool elf_parse(struct elf_kernel *k, const void *image, size_t image_bytes);

/** Are [start, end) whole pages (the last may be cut) in one half of the guest's part of the address space? */
bool va_range_usable(uint64_t start, uint64_t end);
