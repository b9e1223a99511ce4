/*
 * What is where in a new PV domain, in pseudo-physical frames (pfns) from 0: the kernel where its ELF headers
 * want it, [the ramdisk, if the kernel wants it mapped], [the p2m list, if the kernel names no address for
 * it], start_info, the rings of store and console, page tables, boot stack, room up to a multiple of 4 MiB. All
 * that, the region, is mapped from virt_base on. Behind it the ramdisk, and the p2m list with the tables that
 * map it elsewhere; then ordinary memory. The hypervisor's builder lays out its domains in the same way.
 *
 * Pure arithmetic: no hypercalls, no memory but the caller's.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct elf_kernel;

struct layout {
    uint64_t virt_base, nr_pages;
    uint64_t ramdisk_pfn, nr_ramdisk;
    uint64_t p2m_pfn, nr_p2m, p2m_va;
    uint64_t nr_p2m_tables; /* right behind the list; 0: the list is in the region */
    uint64_t info_pfn, store_pfn, console_pfn;
    uint64_t tables_pfn, nr_tables; /* the first is the root */
    uint64_t stack_pfn;
    uint64_t region_end; /* the first pfn behind the region */
    uint64_t used_end;   /* the first pfn of ordinary memory */
};

/** The address at which a pfn of the region is mapped. */
static inline uint64_t layout_va(const struct layout *l, uint64_t pfn)
{
    return l->virt_base + pfn * 4096;
}

/**
 * @nr_pages    the domain's memory
 * @nr_ramdisk  pages; 0: none
 * False: it does not fit, k->error says what.
 */
bool layout_compute(struct layout *l, struct elf_kernel *k, uint64_t nr_pages, uint64_t nr_ramdisk);

/**
 * The contents of all page tables: the region, its own tables read-only, and the p2m list.
 * @p2m     the frame of each pfn
 * @tables  l->nr_tables + l->nr_p2m_tables pages, zeroed
 */
void layout_fill_tables(const struct layout *l, const uint64_t *p2m, uint64_t (*tables)[512]);
