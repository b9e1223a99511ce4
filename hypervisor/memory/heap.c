/*
 * The frame allocator. Free memory is kept in naturally aligned blocks of 2^order frames, one list
 * for each order and zone. Zone 0 is memory below 2^24, zone z that of addresses with 24 + z bits; a
 * block never lies in two zones. A block's first frame has FREE set and the order in its type_info;
 * each of its frames keeps the TLB clock of the time when it was freed.
 */
#include "memory/heap.h"

#define ZONE0_BITS 24u
#define NR_ZONES (PADDR_BITS_MAX - ZONE0_BITS + 1)
#define NR_ORDERS (HEAP_MAX_ORDER + 1)
#define RELAXED memory_order_relaxed
_Static_assert(NR_ZONES < 32 && NR_ORDERS < 32, "sets of them are 32 bits wide");

static struct spinlock heap_lock = SPINLOCK_INIT(L_HEAP); /* guards all below, and free frames */
static uint32_t free_head[NR_ZONES][NR_ORDERS];           /* 0: none (frame 0 is never free) */
static uint32_t free_orders[NR_ZONES];                    /* bit per list that is not empty */
static uint32_t free_zones;                               /* bit per zone that has such a list */
static uint64_t nr_free, nr_total;

static unsigned int zone_of(uint64_t mfn)
{
    unsigned int bits = fls64(mfn) + PAGE_SHIFT;

    return bits <= ZONE0_BITS ? 0 : bits - ZONE0_BITS;
}

static void block_link(uint64_t mfn, unsigned int order)
{
    struct page_info *pg = &frame_table[mfn];
    unsigned int z = zone_of(mfn);

    atomic_store_explicit(&pg->count_info, PGC_NOBODYS | PGC_FREE, RELAXED);
    atomic_fetch_and_explicit(&pg->type_info, ~PGT_DONE_MASK, RELAXED);
    atomic_fetch_or_explicit(&pg->type_info, order * (1ULL << PGT_DONE_SHIFT), RELAXED);
    page_list_insert(&free_head[z][order], pg, true);
    free_orders[z] |= 1u << order;
    free_zones |= 1u << z;
    nr_free += 1ULL << order;
}

static void block_unlink(uint64_t mfn, unsigned int order)
{
    unsigned int z = zone_of(mfn);

    page_list_remove(&free_head[z][order], &frame_table[mfn]);
    if (free_head[z][order] == 0)
        free_orders[z] &= ~(1u << order);
    if (free_orders[z] == 0)
        free_zones &= ~(1u << z);
    atomic_fetch_and_explicit(&frame_table[mfn].count_info, ~PGC_FREE, RELAXED);
    nr_free -= 1ULL << order;
}

/* The order of the free block that begins at mfn; NR_ORDERS if there is none. */
static unsigned int block_order(uint64_t mfn)
{
    if (!mfn_valid(_mfn(mfn)) || !(atomic_load(&frame_table[mfn].count_info) & PGC_FREE))
        return NR_ORDERS;
    return PGT_DONE(atomic_load(&frame_table[mfn].type_info));
}

static void block_free(uint64_t mfn, unsigned int order)
{
    for (; order < HEAP_MAX_ORDER; order++) {
        uint64_t buddy = mfn ^ 1ULL << order;

        if (zone_of(buddy) != zone_of(mfn) || block_order(buddy) != order)
            break;
        block_unlink(buddy, order);
        mfn &= ~(1ULL << order);
    }
    block_link(mfn, order);
}

/* Give [mfn, end) back in blocks as large as alignment allows. */
static void range_free(uint64_t mfn, uint64_t end)
{
    spin_lock(&heap_lock);
    while (mfn < end) {
        unsigned int bits = MIN(ffs64(mfn), fls64(end - mfn)),
                     order = MIN(bits - 1, HEAP_MAX_ORDER);

        block_free(mfn, order);
        mfn += 1ULL << order;
    }
    spin_unlock(&heap_lock);
}

void heap_add_ram(uint64_t start, uint64_t end)
{
    for (uint64_t m = DIV_ROUND_UP(start, PAGE_SIZE), g; m < end >> PAGE_SHIFT; m++) {
        g = m >> FRAME_GROUP_SHIFT;
        frame_group_valid[g / 64] |= 1ULL << (g % 64);
        atomic_store_explicit(&frame_table[m].count_info, PGC_NOBODYS, RELAXED);
        max_mfn = MAX(max_mfn, m + 1);
    }
}

void heap_free_range(uint64_t start, uint64_t end)
{
    uint64_t first = MAX(DIV_ROUND_UP(start, PAGE_SIZE), 1), last = MAX(end >> PAGE_SHIFT, first);

    nr_total += last - first;
    range_free(first, last);
}

/* 0: there is none. */
static uint64_t block_take(unsigned int order, unsigned int max_zone)
{
    for (uint32_t zones = order < NR_ORDERS ? free_zones & ((2u << max_zone) - 1) : 0; zones;) {
        unsigned int z = fls64(zones) - 1;
        uint32_t orders = free_orders[z] >> order << order;
        unsigned int have = ffs64(orders) - 1;
        uint64_t mfn;

        if (orders) {
            mfn = free_head[z][have];
            block_unlink(mfn, have);
            while (have-- > order)
                block_link(mfn + (1ULL << have), have);
            return mfn;
        }
        zones &= ~(1u << z);
    }
    return 0;
}

mfn_t heap_alloc(unsigned int order, unsigned int addr_bits)
{
    unsigned int bits = addr_bits ? MIN(addr_bits, PADDR_BITS_MAX) : PADDR_BITS_MAX;
    uint64_t latest = 0, mfn;

    if (bits < ZONE0_BITS)
        return INVALID_MFN;
    spin_lock(&heap_lock);
    mfn = block_take(order, bits - ZONE0_BITS);
    spin_unlock(&heap_lock);
    if (mfn == 0)
        return INVALID_MFN;
    for (struct page_info *pg = &frame_table[mfn]; pg < &frame_table[mfn + (1ULL << order)]; pg++) {
        uint64_t t = atomic_load_explicit(&pg->type_info, RELAXED);

        if (PGT_TYPE(t) != PGT_NONE && (!latest || tlb_stamp_after(t, latest)))
            latest = t;
        atomic_store_explicit(&pg->type_info, 0, RELAXED);
        atomic_store_explicit(&pg->count_info, PGC_NOBODYS | 1, RELAXED);
    }
    if (latest) /* whoever had it last may still have it in a TLB */
        tlb_flush_since(arch_cpus_online(), latest);
    return _mfn(mfn);
}

static void frames_free(mfn_t m, uint64_t n)
{
    for (uint64_t i = mfn_x(m); i < mfn_x(m) + n; i++) {
        uint64_t x = atomic_load(&frame_table[i].count_info);

        BUG_ON(!mfn_valid(_mfn(i)) || (x & PGC_FREE) || PGC_COUNT(x) > 1);
        if (PGC_OWNER(x) != DOMID_INVALID) /* else no guest has it in a TLB, or it is stamped */
            atomic_store(&frame_table[i].type_info,
                         PGT_STAMP(PGT_WRITABLE, atomic_load(&arch_tlb_clock)));
        atomic_store(&frame_table[i].count_info, PGC_NOBODYS);
    }
    range_free(mfn_x(m), mfn_x(m) + n);
}

void heap_free(mfn_t m, unsigned int order) { frames_free(m, 1ULL << order); }
uint64_t heap_free_pages(void) { return READ_ONCE(nr_free); }
uint64_t heap_total_pages(void) { return READ_ONCE(nr_total); }

void *xmalloc_pages(size_t bytes)
{
    uint64_t n = DIV_ROUND_UP(bytes, PAGE_SIZE);
    unsigned int order = n > 1 ? fls64(n - 1) : 0;
    mfn_t m = n ? heap_alloc(order, 0) : INVALID_MFN;

    if (mfn_x(m) == mfn_x(INVALID_MFN))
        return NULL;
    frames_free(_mfn(mfn_x(m) + n), (1ULL << order) - n);
    for (uint64_t i = 0; i < n; i++)
        arch_clear_page(mfn_to_virt(_mfn(mfn_x(m) + i)));
    return mfn_to_virt(m);
}

void xfree_pages(void *p, size_t bytes)
{
    if (p)
        frames_free(virt_to_mfn(p), DIV_ROUND_UP(bytes, PAGE_SIZE));
}

void *alloc_page(void) { return xmalloc_pages(PAGE_SIZE); }
void free_page(void *p) { xfree_pages(p, PAGE_SIZE); }
void *xmalloc(size_t bytes) { return bytes <= PAGE_SIZE ? alloc_page() : NULL; }
void xfree(void *p) { free_page(p); }

/* ---- self-checks ---- */

void heap_print(void) { print(LOG_INFO, "heap: %lu of %lu pages free", nr_free, nr_total); }

static unsigned int audit_free_list(unsigned int z, unsigned int o, uint64_t *pages)
{
    unsigned int bad = 0;

    for (uint32_t i = free_head[z][o]; i; i = page_list_next(free_head[z][o], i)) {
        if (frame_table[frame_table[i].next].prev != i || i & ((1u << o) - 1) || zone_of(i) != z ||
            block_order(i) != o)
            return bad + frame_complain("bad free block", _mfn(i));
        for (uint64_t k = i + 1; k < i + (1ULL << o); k++)
            if (PGC_COUNT(frame_table[k].count_info) || (frame_table[k].count_info & PGC_FREE))
                bad += frame_complain("in use, but in a free block", _mfn(k));
        *pages += 1ULL << o;
    }
    return bad;
}

static unsigned int audit_domain(struct domain *d)
{
    unsigned int bad = 0;
    uint64_t n = 0;

    spin_lock(&d->page_lock);
    for (uint32_t i = d->page_list; i && n <= d->nr_pages; i = page_list_next(d->page_list, i)) {
        uint64_t x = frame_table[i].count_info;

        if (PGC_OWNER(x) != d->domain_id || (x & (PGC_HV | PGC_FREE)) || !PGC_COUNT(x) ||
            frame_table[frame_table[i].next].prev != i)
            bad += frame_complain("bad frame on a domain's list", _mfn(i));
        n++;
    }
    bad += n != d->nr_pages;
    spin_unlock(&d->page_lock);
    return bad;
}

unsigned int heap_audit(void)
{
    unsigned int bad = 0;
    uint64_t pages = 0;

    spin_lock(&heap_lock);
    for (unsigned int z = 0; z < NR_ZONES; z++) {
        bad += (free_orders[z] != 0) != (free_zones >> z & 1);
        for (unsigned int o = 0; o < NR_ORDERS; o++) {
            bad += (free_head[z][o] != 0) != (free_orders[z] >> o & 1);
            bad += audit_free_list(z, o, &pages);
        }
    }
    bad += pages != nr_free;
    spin_unlock(&heap_lock);
    spin_lock(&domain_list_lock);
    for (struct domain *d = domain_list; d; d = d->next)
        bad += audit_domain(d);
    spin_unlock(&domain_list_lock);
    return bad;
}
