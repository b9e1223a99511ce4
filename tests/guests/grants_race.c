/*
 * vCPUs that race on grants: a granter that changes entries while they are used, TLBs that must not
 * keep what was unmapped, handles that several end at once. dom0_max_vcpus=3 or more.
 * advisories/xsa-grants.md.
 */
#include "xsa.h"

#include <xen/grant_table.h>

#define AT(i) (SCRATCH + (uint64_t)(i)*PAGE_SIZE)
#define TABLE_PAGE 500u
#define IN_USE (GTF_reading | GTF_writing)
#define NR_PAGES 4u
#define ROUNDS 30u

static struct scratch s;
static struct grant_entry_v1 *entries;
static domid_t self; /* its number */
static uint64_t *pages[NR_PAGES];
static uint64_t wrong;

static int map(grant_ref_t ref, uint64_t at, uint32_t flags, grant_handle_t *h)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = at, .flags = flags, .ref = ref, .dom = self, .status = 77
    };

    if (hc(grant_table_op, GNTTABOP_map_grant_ref, &op, 1))
        ADD(wrong, 1);
    *h = op.handle;
    return op.status;
}

static int unmap(grant_handle_t h, uint64_t at)
{
    struct gnttab_unmap_grant_ref op = { at, 0, h, 77 };

    if (hc(grant_table_op, GNTTABOP_unmap_grant_ref, &op, 1))
        ADD(wrong, 1);
    return op.status;
}

static void grant(grant_ref_t ref, const void *page, uint16_t flags)
{
    entries[ref].domid = self;
    entries[ref].frame = (uint32_t)virt_to_mfn(page);
    STORE(entries[ref].flags, GTF_permit_access | flags);
}

/* ---- rule: when an entry says that it is not in use, no TLB has the frame ---- */

static uint64_t tlb_rounds, nr_read, nr_written, nr_stale, tlb_end;

/* While it is mapped the page has even numbers, afterwards odd ones, and nobody else's. */
static void tlbs(unsigned int me)
{
    uint64_t *page = pages[0], v;
    grant_handle_t h;

    if (me) {
        while (!LOAD(tlb_end)) {
            if (me & 1) {
                if (try_read64((void *)(AT(0) + 8), &v)) {
                    ADD(nr_read, 1);
                    ADD(nr_stale, v & 1);
                }
            } else if (try_write64((void *)AT(0), 0xbad)) {
                ADD(nr_written, 1);
            }
            if (random() % 64 == 0)
                yield();
        }
        return;
    }
    while (phase_on() || tlb_rounds < ROUNDS) {
        bool ro = tlb_rounds % 4 == 3;
        uint64_t reads = LOAD(nr_read), writes = LOAD(nr_written), end = now() + PATIENCE_NS;

        STORE(page[1], 2 * tlb_rounds);
        if (map(8, AT(0), GNTMAP_host_map | (ro ? GNTMAP_readonly : 0), &h))
            ADD(wrong, 1);
        while ((LOAD(nr_read) == reads || (!ro && nr_vcpus > 2 && LOAD(nr_written) == writes)) &&
               now() < end)
            yield();
        if (unmap(h, AT(0)) || (LOAD(entries[8].flags) & IN_USE))
            ADD(wrong, 1);
        STORE(page[1], 2 * tlb_rounds + 1);
        STORE(page[0], 0x600d);
        for (unsigned int i = 0; i < 2000; i++)
            if (LOAD(page[0]) != 0x600d)
                ADD(nr_stale, 1);
        tlb_rounds++;
    }
    STORE(tlb_end, 1);
}

/* ---- a granter without manners: entries change as a whole, in parts, back and forth ---- */

static uint64_t nr_mapped, nr_refused, nr_copied;

static void change_entries(void)
{
    struct grant_entry_v1 *e = &entries[8 + random() % 4];
    uint32_t frame = (uint32_t)virt_to_mfn(pages[random() % NR_PAGES]);

    switch (random() % 6) {
    case 0: STORE(e->flags, random() % 2 ? GTF_permit_access : GTF_invalid); break;
    case 1: STORE(e->flags, (uint16_t)random()); break;
    case 2: STORE(e->frame, random() % 4 ? frame : random()); break;
    case 3: STORE(e->domid, random() % 4 ? self : 77); break;
    default: /* a good one */
        STORE(*(uint64_t *)e, GTF_permit_access | (random() % 2 ? GTF_readonly : 0) |
                                  (uint64_t)self << 16 | (uint64_t)frame << 32);
        break;
    }
}

/* One use; what is mapped is a page of ours, and what was mapped can be unmapped. */
static void use_entries(unsigned int me)
{
    uint64_t at = AT(8 + me), v;
    grant_ref_t ref = 8 + random() % 4;
    grant_handle_t h;

    if (random() % 3 == 0) {
        struct gnttab_copy op = {
            .source = { .u.ref = ref, .domid = self, .offset = 16 },
            .dest = { .u.ref = 8 + random() % 4, .domid = self, .offset = 2048 },
            .len = 8,
            .flags = GNTCOPY_source_gref | GNTCOPY_dest_gref
        };

        if (hc(grant_table_op, GNTTABOP_copy, &op, 1))
            ADD(wrong, 1);
        ADD(nr_copied, op.status == 0);
        return;
    }
    if (map(ref, at, GNTMAP_host_map | (random() % 2 ? GNTMAP_readonly : 0), &h)) {
        ADD(nr_refused, 1);
        return;
    }
    ADD(nr_mapped, 1);
    if (!try_read64((void *)(at + 16), &v) || v - 0xf00 >= NR_PAGES)
        ADD(wrong, 1);
    if (unmap(h, at) || try_read64((void *)at, &v))
        ADD(wrong, 1);
}

static void bad_manners(unsigned int me)
{
    while (phase_until(&nr_mapped, 200))
        if (me & 1)
            change_entries();
        else
            use_entries(me);
}

/* A frame with no references but ours can be a table. */
static bool is_free_of_use(const void *page)
{
    bool ok;

    memset((void *)page, 0, PAGE_SIZE);
    page_set_ro(page);
    ok = pin(1, page) == 0 && unpin(page) == 0;
    page_set_rw(page);
    return ok;
}

/* ---- XSA-228: a handle that all end at once ---- */

static uint64_t turn, answered, ended;
static grant_handle_t shared_handle;

static void end_it(void)
{
    ADD(ended, unmap(LOAD(shared_handle), AT(3)) == 0);
    ADD(answered, 1);
}

static void all_end_it(unsigned int me)
{
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        uint64_t end = now() + PATIENCE_NS;

        if (me) {
            while (LOAD(turn) < round)
                cpu_relax();
            end_it();
            continue;
        }
        if (map(8, AT(3), GNTMAP_host_map, &shared_handle))
            failure("round %lu: cannot be mapped", round);
        STORE(turn, round);
        end_it();
        while (LOAD(answered) < round * nr_vcpus)
            if (now() > end)
                failure("round %lu: nobody answers", round);
            else
                yield();
        if (LOAD(ended) != round || (LOAD(entries[8].flags) & IN_USE))
            failure("round %lu: ended %lu times", round, LOAD(ended));
    }
}

void test_main(void)
{
    static xen_pfn_t list[1];
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };

    s = scratch_tree();
    self = own_domid();
    set_xen_guest_handle(setup.frame_list, list);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    CHECK_EQ(pte_write(&s.l1[TABLE_PAGE], list[0] << 12 | PTE_FLAGS), 0);
    entries = (void *)AT(TABLE_PAGE);
    for (unsigned int i = 0; i < NR_PAGES; i++)
        pages[i] = page_alloc();
    smp_init();

    grant(8, pages[0], 0);
    phase("TLBs", 2000, tlbs);
    print("%lu rounds, %lu reads, %lu writes\n", tlb_rounds, nr_read, nr_written);
    CHECK_EQ(nr_stale, 0);
    CHECK(nr_read > 0);

    phase("one handle", 0, all_end_it);

    for (unsigned int i = 0; i < NR_PAGES; i++)
        pages[i][2] = 0xf00 + i;
    phase("bad manners", 2000, bad_manners);
    print("%lu mapped, %lu refused, %lu copied\n", nr_mapped, nr_refused, nr_copied);
    for (grant_ref_t ref = 8; ref < 12; ref++)
        STORE(*(uint64_t *)&entries[ref], 0);
    for (unsigned int i = 0; i < NR_PAGES; i++)
        CHECK(is_free_of_use(pages[i]));
    CHECK_EQ(wrong, 0);
}
