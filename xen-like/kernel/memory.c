/*
 * Memory: which pfns are free, page tables by hypercall, the heap.
 *
 * At the start the kernel's image, its page tables, a boot stack and at least 512 KiB behind them
 * are mapped from VIRT_BASE on (see <xen/xen.h>, "start of day"). Of what lies behind, each further
 * 2 MiB are mapped by a table from the pages that are free by then.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>

#include <xen/memory.h>

#include "internal.h"

#define NR_MAPS (1UL << 16) /* pages at MAP_BASE: 256 MiB */
#define NR_ENTRIES 512UL    /* of a page table */
#define GROW_PAGES 256UL    /* asked of the hypervisor at once */
#define HEAP_STEP 64UL      /* pages */
#define SPARE_PAGES 8       /* growing is made of these */
#define BALLOON_STEP 64UL   /* pages given back, or got again, at once */
#define WORD_BITS 64UL
_Static_assert(P2M_PAGE == NR_ENTRIES, "a table is made of a page of the p2m");

/* Guards all below, and the page tables; held by threads only. */
static struct mutex memory_lock;

/* ---- sets of numbers, for pages that are free ---- */

struct set {
    uint64_t *words;
    size_t nr;      /* numbers are below that */
    size_t members; /* how many */
    size_t lowest;  /* none is below that */
};

static uint64_t linear_words[LINEAR_PAGES / WORD_BITS], balloon_words[LINEAR_PAGES / WORD_BITS],
    map_words[NR_MAPS / WORD_BITS];
static struct set free_pfns = { .words = linear_words, .nr = LINEAR_PAGES };
static struct set ballooned = { .words = balloon_words, .nr = LINEAR_PAGES }; /* without a frame */
static struct set free_maps = { .words = map_words, .nr = NR_MAPS };

static bool set_has(const struct set *s, size_t i)
{
    return (s->words[i / WORD_BITS] >> i % WORD_BITS) & 1;
}

static void set_add(struct set *s, size_t first, size_t nr)
{
    for (size_t i = first; i < first + nr; i++)
        s->words[i / WORD_BITS] |= 1UL << i % WORD_BITS;
    s->members += nr;
    if (first < s->lowest)
        s->lowest = first;
}

/* nr members in a row, which then are none. Returns the first, or s->nr: there are not so many. */
static size_t set_take(struct set *s, size_t nr)
{
    size_t run = 0, first = s->nr;

    for (size_t i = s->lowest; i < s->nr && run < nr; i++) {
        if (s->words[i / WORD_BITS] == 0) {
            run = 0;
            i |= WORD_BITS - 1;
            continue;
        }
        run = set_has(s, i) ? run + 1 : 0;
        if (run && first == s->nr)
            first = i;
        if (run == nr) {
            for (size_t n = i + 1 - nr; n <= i; n++)
                s->words[n / WORD_BITS] &= ~(1UL << n % WORD_BITS);
            s->members -= nr;
            s->lowest = first < i + 1 - nr ? first : i + 1;
            return i + 1 - nr;
        }
    }
    return s->nr;
}

/* ---- the three names of memory ---- */

uint64_t kernel_root_mfn;
static size_t linear_end; /* pfns below that are mapped */

uint64_t *p2m[LINEAR_PAGES / P2M_PAGE]; /* the builder's list, and behind it pages of our own */

static void p2m_set(uint64_t pfn, uint64_t mfn) { p2m[pfn / NR_ENTRIES][pfn % NR_ENTRIES] = mfn; }

/* The hypervisor shows everyone the other direction, for all frames there are. */
void *mfn_to_virt(uint64_t mfn) { return pfn_to_virt(machine_to_phys_mapping[mfn]); }

uint64_t virt_to_mfn(const void *va)
{
    const uint64_t *pte = pte_of(va, 1);

    return pte && *pte & PTE_PRESENT ? (*pte & PTE_FRAME) / PAGE_BYTES : 0;
}

/* ---- page tables ---- */

static size_t index_at(uint64_t va, unsigned int level)
{
    return (va >> (12 + 9 * (level - 1))) % NR_ENTRIES;
}

/* The machine address of that entry; 0: a table above it is missing. */
static uint64_t entry_maddr(uint64_t va, unsigned int level)
{
    uint64_t mfn = kernel_root_mfn;

    for (unsigned int l = 4;; l--) {
        uint64_t e;

        if (l == level)
            return mfn * PAGE_BYTES + index_at(va, l) * 8;
        e = ((uint64_t *)mfn_to_virt(mfn))[index_at(va, l)];
        if (!(e & PTE_PRESENT))
            return 0;
        mfn = (e & PTE_FRAME) / PAGE_BYTES;
    }
}

const uint64_t *pte_of(const void *va, unsigned int level)
{
    uint64_t maddr = entry_maddr((uint64_t)va, level);

    return maddr ? (uint64_t *)((char *)mfn_to_virt(maddr / PAGE_BYTES) + maddr % PAGE_BYTES)
                 : NULL;
}

long page_protect(void *va, uint64_t prot)
{
    uint64_t pte = prot ? virt_to_mfn(va) * PAGE_BYTES | prot : 0;

    return hc(update_va_mapping, va, pte, UVMF_INVLPG | UVMF_ALL);
}

long page_unprotect(void *va)
{
    return hc(update_va_mapping, va, pfn_to_mfn(virt_to_pfn(va)) * PAGE_BYTES | PROT_KERNEL_RW,
              UVMF_INVLPG | UVMF_ALL);
}

/* Make page a table: the entry of va at level refers to it from now on. It is not ours to write. */
static long table_add(uint64_t va, unsigned int level, void *page)
{
    struct mmu_update u = { .ptr = entry_maddr(va, level) | MMU_NORMAL_PT_UPDATE };
    long rc;

    u.val = virt_to_mfn(page) * PAGE_BYTES | PROT_KERNEL_RW;
    rc = page_protect(page, PROT_KERNEL_RO);
    if (rc == 0)
        rc = hc(mmu_update, &u, 1, NULL, DOMID_SELF);
    return rc;
}

/* Tables for va down to the given level's entry. */
static long tables_ensure(uint64_t va, unsigned int level)
{
    for (unsigned int l = 4; l > level; l--) {
        long rc;
        void *page;

        if (*pte_of((void *)va, l) & PTE_PRESENT)
            continue;
        page = page_alloc(1);
        rc = page ? table_add(va, l, page) : -12; /* Xen's ENOMEM */
        if (rc)
            return rc;
    }
    return 0;
}

/* A number that no machine has must not reach into single other bits: all are set, which is refused. */
static uint64_t entry_of(uint64_t mfn, uint64_t prot)
{
    return (mfn <= PTE_FRAME / PAGE_BYTES ? mfn * PAGE_BYTES : -PAGE_BYTES) | prot;
}

/* The entries of nr pages from va on, their L1 tables being there. mfns NULL: cleared. */
static long entries_write(domid_t domid, uint64_t va, const uint64_t *mfns, size_t nr,
                          uint64_t prot)
{
    struct mmu_update u[64];
    long rc = 0;

    while (nr && rc == 0) {
        unsigned int n = 0;

        for (; n < ARRAY_SIZE(u) && nr; n++, nr--, va += PAGE_BYTES) {
            u[n].ptr = entry_maddr(va, 1) | MMU_NORMAL_PT_UPDATE;
            u[n].val = mfns ? entry_of(*mfns++, prot) : 0;
        }
        rc = hc(mmu_update, u, n, NULL, domid);
    }
    return rc;
}

/* Tables for nr pages from va on, down to their entries. */
static long tables_ensure_range(uint64_t va, size_t nr)
{
    for (uint64_t at = va & -(NR_ENTRIES * PAGE_BYTES); at < va + nr * PAGE_BYTES;
         at += NR_ENTRIES * PAGE_BYTES) {
        long rc = tables_ensure(at, 1);

        if (rc)
            return rc;
    }
    return 0;
}

/* ---- the linear mapping ---- */

/*
 * The next pages behind linear_end, up to a table's worth. A whole table is written as long as it
 * is an ordinary page, then the hypervisor checks it once.
 */
static long linear_extend(size_t end)
{
    uint64_t va = (uint64_t)pfn_to_virt(linear_end);
    size_t left = NR_ENTRIES - linear_end % NR_ENTRIES;
    size_t nr = end - linear_end < left ? end - linear_end : left;
    uint64_t *mfns = &p2m[linear_end / NR_ENTRIES][linear_end % NR_ENTRIES], *table;
    long rc;

    if (entry_maddr(va, 1)) {
        rc = entries_write(DOMID_SELF, va, mfns, nr, PROT_KERNEL_RW);
    } else {
        rc = tables_ensure(va, 2);
        table = rc ? NULL : page_alloc(1);
        if (table == NULL)
            return -12;
        for (size_t i = 0; i < nr; i++)
            table[index_at(va, 1) + i] = mfns[i] * PAGE_BYTES | PROT_KERNEL_RW;
        rc = table_add(va, 2, table);
    }
    if (rc == 0)
        linear_end += nr;
    return rc;
}

static size_t nr_pages;                /* that the domain has */
static size_t target_pages = SIZE_MAX; /* it shall not have more */

/* One of XENMEM_populate_physmap and XENMEM_decrease_reservation. Returns how many were done. */
static size_t reservation_change(unsigned int op, uint64_t *frames, size_t nr)
{
    struct xen_memory_reservation r = { .nr_extents = nr, .domid = DOMID_SELF };
    long rc;

    set_xen_guest_handle(r.extent_start, frames);
    rc = hc(memory_op, op, &r);
    return rc > 0 ? (size_t)rc : 0;
}

/* More frames than the domain ever had, behind the others. */
static void memory_extend(size_t nr)
{
    static uint64_t frames[GROW_PAGES];
    size_t first = linear_end, got = 0, done;

    if (first + nr > LINEAR_PAGES)
        return;
    for (size_t i = 0; i < nr; i++)
        frames[i] = first + i;
    done = reservation_change(XENMEM_populate_physmap, frames, nr);
    nr_pages += done;
    for (; got < done; got++) {
        uint64_t **leaf = &p2m[(first + got) / NR_ENTRIES];

        if (*leaf == NULL)
            *leaf = page_alloc(1);
        if (*leaf == NULL)
            break;
        p2m_set(first + got, frames[got]);
    }
    while (linear_end < first + got && linear_extend(first + got) == 0)
        ;
    set_add(&free_pfns, first, linear_end - first);
}

/* ---- the balloon: pfns whose frames the hypervisor has ---- */

/* The linear mapping's entries of up to BALLOON_STEP pages: as the p2m has it, or none. */
static void linear_write(const uint64_t *pfns, size_t nr, bool mapped)
{
    struct mmu_update u[BALLOON_STEP];

    for (size_t i = 0; i < nr; i++) {
        u[i].ptr = entry_maddr((uint64_t)pfn_to_virt(pfns[i]), 1) | MMU_NORMAL_PT_UPDATE;
        u[i].val = mapped ? pfn_to_mfn(pfns[i]) * PAGE_BYTES | PROT_KERNEL_RW : 0;
    }
    if (nr && hc(mmu_update, u, nr, NULL, DOMID_SELF))
        panic("a page of the balloon is not %s", mapped ? "mapped" : "unmapped");
}

/*
 * Give back up to BALLOON_STEP free pages. The hypervisor does not clear them for us, and a TLB
 * must not have them any more when they are another domain's. Returns how many.
 */
static size_t balloon_inflate(size_t nr)
{
    struct mmuext_op flush = { .cmd = MMUEXT_TLB_FLUSH_ALL };
    uint64_t pfns[BALLOON_STEP], mfns[BALLOON_STEP];
    size_t n = 0, done;

    for (; n < nr && n < BALLOON_STEP && free_pfns.members > SPARE_PAGES; n++) {
        pfns[n] = set_take(&free_pfns, 1);
        mfns[n] = pfn_to_mfn(pfns[n]);
        memset(pfn_to_virt(pfns[n]), 0, PAGE_BYTES);
    }
    if (n == 0)
        return 0;
    linear_write(pfns, n, false);
    hc(mmuext_op, &flush, 1, NULL, DOMID_SELF);
    done = reservation_change(XENMEM_decrease_reservation, mfns, n);
    nr_pages -= done;
    for (size_t i = 0; i < done; i++) {
        p2m_set(pfns[i], P2M_NONE);
        set_add(&ballooned, pfns[i], 1);
    }
    linear_write(pfns + done, n - done, true); /* what was not taken is as before */
    for (size_t i = done; i < n; i++)
        set_add(&free_pfns, pfns[i], 1);
    return done;
}

/* The other way. */
static size_t balloon_deflate(size_t nr)
{
    uint64_t pfns[BALLOON_STEP], frames[BALLOON_STEP];
    size_t n = 0, done;

    for (; n < nr && n < BALLOON_STEP && ballooned.members; n++)
        pfns[n] = frames[n] = set_take(&ballooned, 1);
    if (n == 0)
        return 0;
    done = reservation_change(XENMEM_populate_physmap, frames, n);
    nr_pages += done;
    for (size_t i = 0; i < done; i++)
        p2m_set(pfns[i], frames[i]);
    linear_write(pfns, done, true);
    for (size_t i = 0; i < n; i++)
        set_add(i < done ? &free_pfns : &ballooned, pfns[i], 1);
    return done;
}

/* More frames: the balloon's first. Returns how many more the domain has. */
static size_t memory_grow(size_t nr)
{
    static bool growing; /* it needs pages itself, for tables */
    size_t before = nr_pages;

    if (growing || nr_pages >= target_pages)
        return 0;
    growing = true;
    if (nr > target_pages - nr_pages)
        nr = target_pages - nr_pages;
    if (ballooned.members)
        balloon_deflate(nr);
    else
        memory_extend(nr < GROW_PAGES ? nr : GROW_PAGES);
    growing = false;
    return nr_pages - before;
}

size_t balloon(size_t target)
{
    size_t now;
    bool again = true;

    runtime_lock(&memory_lock);
    target_pages = target;
    runtime_unlock(&memory_lock);
    while (again) { /* others may allocate in between */
        runtime_lock(&memory_lock);
        if (nr_pages > target)
            again = balloon_inflate(nr_pages - target) > 0;
        else
            again = nr_pages < target && memory_grow(target - nr_pages) > 0;
        now = nr_pages;
        runtime_unlock(&memory_lock);
    }
    return now;
}

void memory_shrink(void)
{
    size_t least = start_info->nr_pages;
    bool again = true;

    while (again) { /* others may allocate in between */
        runtime_lock(&memory_lock);
        if (target_pages != SIZE_MAX && least < target_pages)
            least = target_pages;
        again = nr_pages > least && balloon_inflate(nr_pages - least) > 0;
        runtime_unlock(&memory_lock);
    }
}

void *page_alloc(size_t nr)
{
    size_t pfn;
    void *va = NULL;

    if (nr == 0)
        return NULL;
    runtime_lock(&memory_lock);
    pfn = set_take(&free_pfns, nr);
    if (pfn < LINEAR_PAGES && free_pfns.members < SPARE_PAGES)
        memory_grow(GROW_PAGES);
    while (pfn == LINEAR_PAGES && nr <= GROW_PAGES && memory_grow(GROW_PAGES))
        pfn = set_take(&free_pfns, nr);
    runtime_unlock(&memory_lock);
    if (pfn < LINEAR_PAGES) {
        va = pfn_to_virt(pfn);
        memset(va, 0, nr * PAGE_BYTES);
    }
    return va;
}

void page_free(void *va, size_t nr)
{
    runtime_lock(&memory_lock);
    for (size_t i = 0; i < nr; i++)
        if (virt_to_pfn(va) + i >= linear_end || set_has(&free_pfns, virt_to_pfn(va) + i) ||
            set_has(&ballooned, virt_to_pfn(va) + i))
            panic("page_free(%p): not allocated", va);
    set_add(&free_pfns, virt_to_pfn(va), nr);
    runtime_unlock(&memory_lock);
}

size_t page_nr_free(void) { return free_pfns.members; }

/* ---- start of day ---- */

/* One of the pages that the domain's builder gave for the console and the store; not the initial's. */
static bool is_shared_ring(size_t pfn)
{
    uint64_t mfn = pfn_to_mfn(pfn);

    return !is_initial_domain() &&
           (mfn == start_info->console.domU.mfn || mfn == start_info->store_mfn);
}

/* Free are the pages of [first, end), but not the ramdisk's. */
static void add_free(size_t first, size_t end)
{
    size_t disk = start_info->flags & SIF_MOD_START_PFN
                      ? start_info->mod_start
                      : virt_to_pfn((void *)start_info->mod_start);
    size_t disk_end = disk + (start_info->mod_len + PAGE_BYTES - 1) / PAGE_BYTES;

    for (size_t pfn = first; pfn < end; pfn++)
        if ((start_info->mod_len == 0 || pfn < disk || pfn >= disk_end) && !is_shared_ring(pfn))
            set_add(&free_pfns, pfn, 1);
}

void memory_init(void)
{
    uint64_t *list = (uint64_t *)start_info->mfn_list;
    size_t end = start_info->nr_pages < LINEAR_PAGES ? start_info->nr_pages : LINEAR_PAGES;
    size_t first = virt_to_pfn((void *)start_info->pt_base) + start_info->nr_pt_frames + 1;
    const uint64_t *pte;

    for (size_t pfn = 0; pfn < end; pfn += NR_ENTRIES)
        p2m[pfn / NR_ENTRIES] = &list[pfn];
    kernel_root_mfn = pfn_to_mfn(virt_to_pfn((void *)start_info->pt_base));
    for (linear_end = first; linear_end < end; linear_end++) {
        pte = pte_of(pfn_to_virt(linear_end), 1);
        if (pte == NULL || !(*pte & PTE_PRESENT))
            break;
    }
    nr_pages = start_info->nr_pages;
    free_pfns.lowest = ballooned.lowest = LINEAR_PAGES;
    add_free(first, linear_end);
    while (linear_end < end) {
        size_t before = linear_end;
        long rc = linear_extend(end);

        if (rc)
            panic("the memory from page %lu on cannot be mapped: %ld", (unsigned long)before, rc);
        add_free(before, linear_end);
    }
    set_add(&free_maps, 0, NR_MAPS);
}

/* ---- frames of others ---- */

void *maps_reserve(size_t nr)
{
    size_t at;
    uint64_t va = 0;
    long rc = -12; /* Xen's ENOMEM */

    runtime_lock(&memory_lock);
    at = nr ? set_take(&free_maps, nr) : NR_MAPS;
    if (at < NR_MAPS) {
        va = MAP_BASE + at * PAGE_BYTES;
        rc = tables_ensure_range(va, nr);
        if (rc)
            set_add(&free_maps, at, nr);
    }
    runtime_unlock(&memory_lock);
    if (rc == 0)
        return (void *)va;
    errno = xen_errno(rc);
    return NULL;
}

void maps_release(void *va, size_t nr)
{
    runtime_lock(&memory_lock);
    set_add(&free_maps, ((uint64_t)va - MAP_BASE) / PAGE_BYTES, nr);
    runtime_unlock(&memory_lock);
}

void *frames_map(domid_t domid, const uint64_t *mfns, size_t nr, uint64_t prot)
{
    void *va = maps_reserve(nr);
    long rc;

    if (va == NULL)
        return NULL;
    runtime_lock(&memory_lock);
    rc = entries_write(domid, (uint64_t)va, mfns, nr, prot);
    runtime_unlock(&memory_lock);
    if (rc == 0)
        return va;
    frames_unmap(va, nr);
    errno = xen_errno(rc);
    return NULL;
}

void *frames_map_each(domid_t domid, const uint64_t *mfns, size_t nr, uint64_t prot, int *errs)
{
    char *va = maps_reserve(nr);
    struct mmu_update u[64];

    if (va == NULL)
        return NULL;
    runtime_lock(&memory_lock);
    for (size_t i = 0; i < nr;) {
        unsigned int n = 0, done = 0;
        long rc;

        for (; n < ARRAY_SIZE(u) && i + n < nr; n++) {
            u[n].ptr = entry_maddr((uint64_t)va + (i + n) * PAGE_BYTES, 1) | MMU_NORMAL_PT_UPDATE;
            u[n].val = entry_of(mfns[i + n], prot);
            errs[i + n] = 0;
        }
        rc = hc(mmu_update, u, n, &done, domid);
        if (rc) /* it came as far as that one */
            errs[i + done++] = (int)rc;
        i += rc ? done : n;
    }
    runtime_unlock(&memory_lock);
    return va;
}

void frames_unmap(void *va, size_t nr)
{
    struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_ALL };

    runtime_lock(&memory_lock);
    if (entries_write(DOMID_SELF, (uint64_t)va, NULL, nr, 0))
        panic("frames_unmap(%p) is refused", va);
    hc(mmuext_op, &op, 1, NULL, DOMID_SELF);
    runtime_unlock(&memory_lock);
    maps_release(va, nr);
}

/* ---- the heap ---- */

static uint64_t heap_mapped = HEAP_BASE; /* up to there */

static bool heap_extend(void)
{
    uint64_t mfns[HEAP_STEP];
    void *pages[HEAP_STEP];
    size_t n;

    for (n = 0; n < HEAP_STEP; n++) {
        pages[n] = page_alloc(1);
        if (pages[n] == NULL)
            break;
        mfns[n] = pfn_to_mfn(virt_to_pfn(pages[n]));
    }
    if (n == HEAP_STEP && tables_ensure_range(heap_mapped, HEAP_STEP) == 0 &&
        entries_write(DOMID_SELF, heap_mapped, mfns, HEAP_STEP, PROT_KERNEL_RW) == 0) {
        heap_mapped += HEAP_STEP * PAGE_BYTES;
        return true;
    }
    while (n)
        page_free(pages[--n], 1);
    return false;
}

/* Too much was wanted: the pages from there on are free again. */
static void heap_retreat(uint64_t to)
{
    struct mmuext_op flush = { .cmd = MMUEXT_TLB_FLUSH_ALL };

    for (; heap_mapped > to; heap_mapped -= HEAP_STEP * PAGE_BYTES) {
        uint64_t va = heap_mapped - HEAP_STEP * PAGE_BYTES;
        void *pages[HEAP_STEP];

        for (size_t i = 0; i < HEAP_STEP; i++)
            pages[i] = mfn_to_virt(virt_to_mfn((char *)va + i * PAGE_BYTES));
        if (entries_write(DOMID_SELF, va, NULL, HEAP_STEP, 0))
            panic("the heap's end is not unmapped");
        hc(mmuext_op, &flush, 1, NULL, DOMID_SELF);
        for (size_t i = 0; i < HEAP_STEP; i++)
            page_free(pages[i], 1);
    }
}

/* What is given back is cleared at once, as malloc() takes new heap to be zero. */
void *sbrk(ptrdiff_t by_bytes)
{
    static uint64_t heap_end = HEAP_BASE;
    uint64_t before, wanted, mapped;
    bool ok;

    runtime_lock(&memory_lock);
    mapped = heap_mapped;
    before = heap_end;
    wanted = before + (uint64_t)by_bytes;
    ok = by_bytes < 0 ? wanted >= HEAP_BASE && wanted < before
                      : (uint64_t)by_bytes <= HEAP_BASE + HEAP_MAX_BYTES - before;
    while (ok && wanted > heap_mapped)
        ok = heap_extend();
    if (!ok)
        heap_retreat(mapped);
    if (ok && wanted < before)
        memset((void *)wanted, 0, before - wanted);
    if (ok)
        heap_end = wanted;
    runtime_unlock(&memory_lock);
    if (ok)
        return (void *)before;
    errno = ENOMEM;
    return (void *)-1;
}
