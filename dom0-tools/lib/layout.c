/* See layout.h. */
#include "layout.h"

#include <assert.h>
#include <stddef.h>

#include "domain/elf.h"
#include "x86/pte.h"

#define SLACK_BYTES KIB(512) /* behind the boot stack, as the ABI has it */
#define REGION_ALIGN MIB(4)
#define P2M_PER_PAGE (PAGE_SIZE / 8)
#define TABLE_FLAGS (PTE_P | PTE_RW | PTE_US | PTE_A | PTE_D)

/* Tables of levels 1 to 3 that map [start, end). */
static uint64_t tables_for(uint64_t start, uint64_t end)
{
    uint64_t n = 0;

    for (unsigned int shift = PAGE_SHIFT + 9; shift <= PAGE_SHIFT + 27; shift += 9)
        n += ((end - 1) >> shift) - (start >> shift) + 1;
    return n;
}

/* The next n pfns. */
static uint64_t take(struct layout *l, uint64_t n)
{
    l->used_end += n;
    return l->used_end - n;
}

/* start_info, rings, tables and stack; the tables map themselves as well. */
static bool lay_out_tables(struct layout *l, struct elf_kernel *k)
{
    uint64_t need = 1, end;

    l->info_pfn = take(l, 1);
    l->store_pfn = take(l, 1);
    l->console_pfn = take(l, 1);
    l->tables_pfn = l->used_end;
    do {
        l->nr_tables = need;
        l->stack_pfn = l->tables_pfn + l->nr_tables;
        end = ROUND_UP(layout_va(l, l->stack_pfn + 1) + SLACK_BYTES, REGION_ALIGN);
        if (!va_range_usable(l->virt_base, end))
            return elf_bad(k, "kernel, ramdisk and tables do not fit behind 0x%lx", l->virt_base);
        need = 1 + tables_for(l->virt_base, end);
    } while (need > l->nr_tables);
    l->used_end = l->region_end = (end - l->virt_base) >> PAGE_SHIFT;
    return true;
}

/* The p2m list where the kernel wants it. */
static bool lay_out_p2m(struct layout *l, struct elf_kernel *k)
{
    uint64_t bytes = l->nr_p2m << PAGE_SHIFT, end = k->init_p2m + bytes;

    if (!va_range_usable(k->init_p2m, end) ||
        (k->init_p2m < layout_va(l, l->region_end) && end > l->virt_base))
        return elf_bad(k, "p2m list of %lu pages does not fit at 0x%lx", l->nr_p2m, k->init_p2m);
    l->p2m_va = k->init_p2m;
    l->nr_p2m_tables = tables_for(l->p2m_va, end);
    l->p2m_pfn = take(l, l->nr_p2m + l->nr_p2m_tables);
    return true;
}

bool layout_compute(struct layout *l, struct elf_kernel *k, uint64_t nr_pages, uint64_t nr_ramdisk)
{
    const uint64_t most = GIB(1) << 14 >> PAGE_SHIFT; /* 16 TiB: what follows does not wrap */

    *l = (struct layout){ .virt_base = k->virt_base,
                          .nr_pages = nr_pages,
                          .nr_ramdisk = nr_ramdisk };
    if (nr_pages == 0 || nr_pages > most || nr_ramdisk > nr_pages)
        return elf_bad(k, "%lu MiB for it, and its ramdisk has %lu MiB", nr_pages >> 8,
                       nr_ramdisk >> 8);
    l->nr_p2m = DIV_ROUND_UP(nr_pages, P2M_PER_PAGE);
    l->used_end = DIV_ROUND_UP(k->phys_end, PAGE_SIZE);
    if (!k->mod_start_pfn)
        l->ramdisk_pfn = take(l, nr_ramdisk);
    if (k->init_p2m == ELF_NONE) {
        l->p2m_pfn = take(l, l->nr_p2m);
        l->p2m_va = layout_va(l, l->p2m_pfn);
    }
    if (!lay_out_tables(l, k))
        return false;
    if (k->mod_start_pfn)
        l->ramdisk_pfn = take(l, nr_ramdisk);
    if (k->init_p2m != ELF_NONE && !lay_out_p2m(l, k))
        return false;
    if (l->used_end > nr_pages)
        return elf_bad(k, "%lu MiB for it, but kernel, ramdisk and tables need %lu MiB",
                       nr_pages >> 8, (l->used_end + 255) >> 8);
    return true;
}

/* ---- page tables ---- */

struct filler {
    const struct layout *l;
    const uint64_t *p2m;
    uint64_t (*tables)[512];
    uint64_t nr_used; /* tables: of the region's first, then of the list's */
};

/* The pfn of table n. */
static uint64_t table_pfn(const struct layout *l, uint64_t n)
{
    return n < l->nr_tables ? l->tables_pfn + n : l->p2m_pfn + l->nr_p2m + (n - l->nr_tables);
}

/* The table that an entry of the level above names; if it is empty, the next unused. */
static uint64_t *table_of(struct filler *f, uint64_t *entry)
{
    uint64_t n = 0;

    if (*entry == 0) {
        assert(f->nr_used < f->l->nr_tables + f->l->nr_p2m_tables);
        n = f->nr_used++;
        *entry = pte_make(f->p2m[table_pfn(f->l, n)], TABLE_FLAGS);
        return f->tables[n];
    }
    while (f->p2m[table_pfn(f->l, n)] != pte_mfn(*entry))
        n++;
    return f->tables[n];
}

/* Map the nr pfns from first on at va. */
static void map(struct filler *f, uint64_t va, uint64_t first, uint64_t nr)
{
    const struct layout *l = f->l;
    uint64_t *table = NULL;

    for (uint64_t pfn = first; pfn < first + nr; pfn++, va += PAGE_SIZE) {
        bool is_table = pfn >= l->tables_pfn && pfn - l->tables_pfn < l->nr_tables;

        if (table == NULL || pt_index(va, 1) == 0) {
            table = f->tables[0];
            for (unsigned int level = 4; level > 1; level--)
                table = table_of(f, &table[pt_index(va, level)]);
        }
        table[pt_index(va, 1)] =
            pte_make(f->p2m[pfn], is_table ? TABLE_FLAGS & ~PTE_RW : TABLE_FLAGS);
    }
}

void layout_fill_tables(const struct layout *l, const uint64_t *p2m, uint64_t (*tables)[512])
{
    struct filler f = { l, p2m, tables, 1 };

    map(&f, l->virt_base, 0, l->region_end);
    if (l->nr_p2m_tables) {
        f.nr_used = l->nr_tables;
        map(&f, l->p2m_va, l->p2m_pfn, l->nr_p2m);
    }
}
