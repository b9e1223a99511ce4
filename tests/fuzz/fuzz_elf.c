/* domain/elf.c: the input is a kernel's file. */
#include "fuzz.h"

#include "domain/elf.h"

static struct elf_kernel k;
static size_t image_bytes;

static bool guests(uint64_t va) { return va < 1ULL << 47 || va >= HV_VIRT_END; }

/* What the builder relies on. */
static void check_segments(void)
{
    BUG_ON(k.nr_segments == 0 || k.nr_segments > ELF_MAX_SEGMENTS);
    for (const struct elf_segment *s = k.segments; s < k.segments + k.nr_segments; s++) {
        BUG_ON(s->mem_bytes == 0 || s->file_bytes > s->mem_bytes);
        BUG_ON(s->file_offset > image_bytes || s->file_bytes > image_bytes - s->file_offset);
        BUG_ON(s->paddr < k.phys_start || s->paddr >= k.phys_end);
        BUG_ON(s->mem_bytes > k.phys_end - s->paddr);
        for (const struct elf_segment *o = k.segments; o < s; o++)
            BUG_ON(s->paddr < o->paddr + o->mem_bytes && o->paddr < s->paddr + s->mem_bytes);
    }
}

static void check_addresses(void)
{
    uint64_t start = k.virt_base + k.phys_start, last = k.virt_base + k.phys_end - 1;

    BUG_ON(k.virt_base % PAGE_SIZE || k.virt_base > start || start > last);
    BUG_ON(!guests(k.virt_base) || !guests(last) || k.virt_base >> 47 != last >> 47);
    BUG_ON(k.entry < start || k.entry > last);
    if (k.hypercall_page != ELF_NONE)
        BUG_ON(k.hypercall_page % PAGE_SIZE || k.hypercall_page < start ||
               k.hypercall_page + PAGE_SIZE - 1 > last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    memcpy(copy, data, size);
    image_bytes = size;
    if (elf_parse(&k, copy, size)) {
        BUG_ON(k.nr_notes == 0);
        check_segments();
        check_addresses();
    }
    free(copy);
    return 0;
}
