/* Private to xen-like/lib. */
#pragma once
#include <stdint.h>
#include <sys/mman.h>

#include <rt/memory.h>

/* PTE bits for what mmap() calls PROT_*; 0: neither to be read nor to be written, which nobody means. */
static inline uint64_t pte_prot(int prot)
{
    if (!(prot & (PROT_READ | PROT_WRITE)))
        return 0;
    return (prot & PROT_WRITE ? PROT_KERNEL_RW : PROT_KERNEL_RO) | (prot & PROT_EXEC ? 0 : PTE_NX);
}
