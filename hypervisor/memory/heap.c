/*
 * The frame allocator. Free memory is kept in naturally aligned blocks of 2^order frames, one list
 * for each order and zone. Zone 0 is memory below 2^24, zone z that of addresses with 24 + z bits; a
 * block never lies in two zones. A block's first frame has FREE set and the order beside it; each of
 * its frames keeps the TLB clock of the time when it was freed.
 */
#include "memory/heap.h"

#define ZONE0_BITS 24u
#define NR_ZONES (PADDR_BITS_MAX - ZONE0_BITS + 1)
#define NR_ORDERS (HEAP_MAX_ORDER + 1)
#define ADD_AT_ONCE 512UL
#define RELAXED memory_order_relaxed
_Static_assert(NR_ZONES < 32 && NR_ORDERS < 32, "sets of them are 32 bits wide");

static struct spinlock heap_lock = SPINLOCK_INIT(L_HEAP); /* guards all below, and free frames */
static uint32_t free_head[NR_ZONES][NR_ORDERS];           /* 0: none (frame 0 is never free) */
static uint32_t free_orders[NR_ZONES];                    /* bit per list that is not empty */
static uint32_t free_zones;                               /* bit per zone that has such a list */
static uint64_t nr_free, nr_total;
static uint64_t nr_claimed; /* of nr_free, by all domains */

static unsigned int zone_of(uint64_t mfn)
{
    unsigned int bits = fls64(mfn) + PAGE_SHIFT;

    return bits <= ZONE0_BITS ? 0 : bits - ZONE0_BITS;
}

/* All of count_info of a free block's first frame. */
static uint64_t free_info(unsigned int order)
{
    return PGC_NOBODYS | PGC_FREE | order * (1ULL << PGC_ORDER_SHIFT);
}

static bool is_free_block(uint64_t mfn, unsigned int order)
{
    return atomic_load_explicit(&frame_table[mfn].count_info, RELAXED) == free_info(order);
}

static void block_link(unsigned int z, uint64_t mfn, unsigned int order)
{
    uint32_t *head = &free_head[z][order];

    atomic_store_explicit(&frame_table[mfn].count_info, free_info(order), RELAXED);
    if (*head == 0) {
        free_orders[z] |= 1u << order;
        free_zones |= 1u << z;
    }
    page_list_insert(head, (uint32_t)mfn, true);
}

static void block_unlink(unsigned int z, uint64_t mfn, unsigned int order)
{
    uint32_t *head = &free_head[z][order];

    page_list_remove(head, (uint32_t)mfn);
    if (*head == 0) {
        free_orders[z] &= ~(1u << order);
        if (free_orders[z] == 0)
            free_zones &= ~(1u << z);
    }
    atomic_store_explicit(&frame_table[mfn].count_info, PGC_NOBODYS, RELAXED);
}

/* A zone is as big as all below it, so a block of half its size has its buddy in there, too. */
static void block_free(uint64_t mfn, unsigned int order)
{
    unsigned int z = zone_of(mfn), top = MIN(z + ZONE0_BITS - PAGE_SHIFT - 1, HEAP_MAX_ORDER);

    nr_free += 1ULL << order;
    for (; order < top; order++) {
        uint64_t buddy = mfn ^ 1ULL << order;

        if (order >= FRAME_GROUP_SHIFT && !mfn_valid(_mfn(buddy)))
            break; /* else it is in the same group, which has a frame table */
        if (!is_free_block(buddy, order))
            break;
        block_unlink(z, buddy, order);
        mfn &= buddy;
    }
    block_link(z, mfn, order);
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
    uint64_t first = DIV_ROUND_UP(start, PAGE_SIZE), last = end >> PAGE_SHIFT, n;
    struct page_info *t = &frame_table[first];

    if (first >= last)
        return;
    for (uint64_t g = first >> FRAME_GROUP_SHIFT; g <= (last - 1) >> FRAME_GROUP_SHIFT; g++)
        frame_group_valid[g] = true;
    max_mfn = MAX(max_mfn, last);
    nr_total += last - first;
    *t = (struct page_info){ .count_info = PGC_NOBODYS };
    for (uint64_t done = 1; done < last - first; done += n) { /* from what the caches still have */
        n = MIN(done, ADD_AT_ONCE);
        n = MIN(n, last - first - done);
        memcpy(t + done, t, n * sizeof(*t));
    }
}

void heap_free_range(uint64_t start, uint64_t end)
{
    uint64_t first = MAX(DIV_ROUND_UP(start, PAGE_SIZE), 1), last = MAX(end >> PAGE_SHIFT, first);

    range_free(first, last);
}

/* The smallest free block of order least or more; of a bigger one than most, a part. 0: none. */
static uint64_t block_take(unsigned int least, unsigned int most, unsigned int max_zone,
                           unsigned int *order)
{
    for (uint32_t zones = least < NR_ORDERS ? free_zones & ((2u << max_zone) - 1) : 0; zones;) {
        unsigned int z = fls64(zones) - 1;
        uint32_t orders = free_orders[z] >> least << least;
        unsigned int have = ffs64(orders) - 1;
        uint64_t mfn;

        if (orders) {
            mfn = free_head[z][have];
            block_unlink(z, mfn, have);
            for (; have > most; have--)
                block_link(z, mfn + (1ULL << (have - 1)), have - 1);
            nr_free -= 1ULL << have;
            *order = have;
            return mfn;
        }
        zones &= ~(1u << z);
    }
    return 0;
}

/* May d have 2^order more frames? The hypervisor itself needs little. */
static bool claims_permit(const struct domain *d, unsigned int order)
{
    return d == NULL || nr_free + d->nr_claimed >= nr_claimed + (1ULL << order);
}

static void claim_shrink(struct domain *d, uint64_t n)
{
    n = MIN(n, d->nr_claimed);
    d->nr_claimed -= n;
    nr_claimed -= n;
}

mfn_t heap_alloc_some(struct domain *d, unsigned int least, unsigned int most,
                      unsigned int addr_bits, unsigned int *order)
{
    unsigned int bits = addr_bits ? MIN(addr_bits, PADDR_BITS_MAX) : PADDR_BITS_MAX;
    uint64_t latest = 0, mfn = 0;

    if (bits < ZONE0_BITS)
        return INVALID_MFN;
    spin_lock(&heap_lock);
    while (unlikely(nr_claimed) && most > least && !claims_permit(d, most))
        most--;
    if (likely(!nr_claimed) || claims_permit(d, most))
        mfn = block_take(least, most, bits - ZONE0_BITS, order);
    if (unlikely(nr_claimed) && mfn && d)
        claim_shrink(d, 1ULL << *order);
    spin_unlock(&heap_lock);
    if (mfn == 0)
        return INVALID_MFN;
    for (struct page_info *pg = &frame_table[mfn], *end = pg + (1ULL << *order); pg < end; pg++) {
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

mfn_t heap_alloc(unsigned int order, unsigned int addr_bits)
{
    return heap_alloc_some(NULL, order, order, addr_bits, &order);
}

int domain_claim_pages(struct domain *d, uint64_t pages)
{
    uint64_t have = READ_ONCE(d->nr_pages);
    int rc = 0;

    spin_lock(&heap_lock);
    if (pages == 0)
        claim_shrink(d, d->nr_claimed);
    else if (d->nr_claimed || READ_ONCE(d->is_dying) || pages <= have || pages > d->max_pages)
        rc = -EINVAL;
    else if (pages - have > nr_free - MIN(nr_claimed, nr_free))
        rc = -ENOMEM;
    else
        nr_claimed += d->nr_claimed = pages - have;
    spin_unlock(&heap_lock);
    return rc;
}
uint64_t heap_claimed_pages(void) { return READ_ONCE(nr_claimed); }

/* They are nobody's any more. The stamp: if no guest had it, it is in no TLB, or it has one. */
void heap_free_frames(mfn_t m, uint64_t n)
{
    for (struct page_info *pg = mfn_to_page(m), *end = pg + n; pg < end; pg++) {
        uint64_t x = atomic_load_explicit(&pg->count_info, RELAXED);

        BUG_ON((x & (PGC_RAM | PGC_FREE)) != PGC_RAM || PGC_COUNT(x) > 1);
        if (unlikely(PGC_OWNER(x) != DOMID_INVALID))
            page_stamp(pg);
        atomic_store_explicit(&pg->count_info, PGC_NOBODYS, RELAXED);
    }
    range_free(mfn_x(m), mfn_x(m) + n);
}

void heap_free(mfn_t m, unsigned int order) { heap_free_frames(m, 1ULL << order); }
uint64_t heap_free_pages(void) { return READ_ONCE(nr_free); }
uint64_t heap_total_pages(void) { return READ_ONCE(nr_total); }

void *xmalloc_pages(size_t bytes)
{
    uint64_t n = DIV_ROUND_UP(bytes, PAGE_SIZE);
    unsigned int order = n > 1 ? fls64(n - 1) : 0;
    mfn_t m = n ? heap_alloc(order, 0) : INVALID_MFN;

    if (mfn_x(m) == mfn_x(INVALID_MFN))
        return NULL;
    heap_free_frames(_mfn(mfn_x(m) + n), (1ULL << order) - n);
    for (uint64_t i = 0; i < n; i++)
        memset(mfn_to_virt(_mfn(mfn_x(m) + i)), 0, PAGE_SIZE);
    return mfn_to_virt(m);
}

void xfree_pages(void *p, size_t bytes)
{
    if (p)
        heap_free_frames(virt_to_mfn(p), DIV_ROUND_UP(bytes, PAGE_SIZE));
}

void *alloc_page(void) { return xmalloc_pages(PAGE_SIZE); }
void free_page(void *p) { xfree_pages(p, PAGE_SIZE); }
void *xmalloc(size_t bytes) { return bytes <= PAGE_SIZE ? alloc_page() : NULL; }
void xfree(void *p) { free_page(p); }

/* ---- self-checks ---- */

/* The words are Xen's: administrators' scripts read the figure behind them. */
void heap_print(void) { print(LOG_INFO, "Dom heap: %lukB free", nr_free << 2); }

static unsigned int audit_free_list(unsigned int z, unsigned int o, uint64_t *pages)
{
    unsigned int bad = 0;

    for (uint32_t i = free_head[z][o]; i; i = page_list_next(free_head[z][o], i)) {
        if (frame_table[frame_table[i].next].prev != i || i & ((1u << o) - 1) || zone_of(i) != z ||
            !is_free_block(i, o))
            return bad + frame_complain("bad free block", _mfn(i));
        for (uint64_t k = i + 1; k < i + (1ULL << o); k++)
            if (PGC_COUNT(frame_table[k].count_info) || (frame_table[k].count_info & PGC_FREE))
                bad += frame_complain("in use, but in a free block", _mfn(k));
        *pages += 1ULL << o;
    }
    return bad;
}

static unsigned int audit_domain(const struct domain *d)
{
    unsigned int bad = 0;
    uint64_t n = 0;

    for (uint32_t i = d->page_list; i && n <= d->nr_pages; i = page_list_next(d->page_list, i)) {
        uint64_t x = frame_table[i].count_info;

        if (PGC_OWNER(x) != d->domain_id || (x & (PGC_HV | PGC_FREE)) || !PGC_COUNT(x) ||
            frame_table[frame_table[i].next].prev != i)
            bad += frame_complain("bad frame on a domain's list", _mfn(i));
        n++;
    }
    return bad + (n != d->nr_pages);
}

unsigned int heap_audit(void)
{
    unsigned int bad = 0;
    uint64_t pages = 0;

    for (unsigned int z = 0; z < NR_ZONES; z++) {
        bad += (free_orders[z] != 0) != (free_zones >> z & 1);
        for (unsigned int o = 0; o < NR_ORDERS; o++) {
            bad += (free_head[z][o] != 0) != (free_orders[z] >> o & 1);
            bad += audit_free_list(z, o, &pages);
        }
    }
    for (const struct domain *d = domain_list; d; d = d->next)
        bad += audit_domain(d);
    return bad + (pages != nr_free);
}
