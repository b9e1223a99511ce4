/*
 * Grants of the domain to itself, call by call: what is mapped where, what is refused and how, copies,
 * the table. What rt_grants does with the runtime is not repeated. advisories/xsa-grants.md.
 */
#include "xsa.h"

#include <xen/grant_table.h>

#define AT(i) (SCRATCH + (uint64_t)(i)*PAGE_SIZE)
#define NOWHERE 0x20000000000UL /* no table there */
#define TABLE_PAGE 500u         /* in SCRATCH */
#define IN_USE (GTF_reading | GTF_writing)
#define NR_LIST 1000u

static struct scratch s;
static struct grant_entry_v1 *entries;
static domid_t self;          /* its number */
static grant_handle_t handle; /* of the last mapping */

/* ---- calls ---- */

static int map_of(domid_t dom, grant_ref_t ref, uint64_t at, uint32_t flags)
{
    struct gnttab_map_grant_ref op = {
        .host_addr = at, .flags = flags, .ref = ref, .dom = dom, .status = 77
    };

    CHECK_EQ(hc(grant_table_op, GNTTABOP_map_grant_ref, &op, 1), 0);
    handle = op.handle;
    if (op.status == GNTST_okay)
        CHECK_EQ(op.dev_bus_addr, (uint64_t)entries[ref].frame << 12);
    return op.status;
}

static int map(grant_ref_t ref, uint64_t at, uint32_t flags)
{
    return map_of(self, ref, at, flags);
}

static int unmap(grant_handle_t h, uint64_t at, uint64_t dev)
{
    struct gnttab_unmap_grant_ref op = { at, dev, h, 77 };

    CHECK_EQ(hc(grant_table_op, GNTTABOP_unmap_grant_ref, &op, 1), 0);
    return op.status;
}

static int replace(grant_handle_t h, uint64_t at, uint64_t new_addr)
{
    struct gnttab_unmap_and_replace op = { at, new_addr, h, 77 };

    CHECK_EQ(hc(grant_table_op, GNTTABOP_unmap_and_replace, &op, 1), 0);
    return op.status;
}

static int copy(struct gnttab_copy op)
{
    op.status = 77;
    CHECK_EQ(hc(grant_table_op, GNTTABOP_copy, &op, 1), 0);
    return op.status;
}

static void grant(grant_ref_t ref, const void *page, uint16_t flags)
{
    entries[ref].domid = self;
    entries[ref].frame = (uint32_t)virt_to_mfn(page);
    STORE(entries[ref].flags, GTF_permit_access | flags);
}

static uint16_t used(grant_ref_t ref) { return LOAD(entries[ref].flags) & IN_USE; }
static volatile uint64_t *word(uint64_t at) { return (volatile uint64_t *)at; }

static bool store_faults(uint64_t at)
{
    TRY("movq $1, (%0)", : : "r"(at) : "memory");
    return trapped(TRAP_PF);
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

/* ---- the table ---- */

static void the_table(void)
{
    static xen_pfn_t list[2];
    struct gnttab_query_size size = { .dom = DOMID_SELF };
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };
    struct gnttab_get_version version = { .dom = DOMID_SELF };

    CHECK_EQ(hc(grant_table_op, GNTTABOP_query_size, &size, 1), 0);
    CHECK_EQ(size.status, 0);
    CHECK_EQ(size.nr_frames, 1);
    CHECK_EQ(size.max_nr_frames, 64);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_get_version, &version, 1), 0);
    CHECK_EQ(version.version, 1);
    set_xen_guest_handle(setup.frame_list, list);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    CHECK_EQ(setup.status, 0);
    CHECK_EQ(pte_write(&s.l1[TABLE_PAGE], list[0] << 12 | PTE_FLAGS), 0);
    entries = (void *)AT(TABLE_PAGE);
    setup.nr_frames = 65;
    CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    CHECK_EQ(setup.status, GNTST_general_error);
    setup = (struct gnttab_setup_table){ .dom = 77, .nr_frames = 1 };
    CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    CHECK_EQ(setup.status, GNTST_bad_domain);
    version.dom = 77;
    CHECK_EQ(hc(grant_table_op, GNTTABOP_get_version, &version, 1), -ESRCH);
    size.dom = 77;
    CHECK_EQ(hc(grant_table_op, GNTTABOP_query_size, &size, 1), 0);
    CHECK_EQ(size.status, GNTST_bad_domain);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_query_size, &size, 2), -EINVAL);
    CHECK_EQ(hc(grant_table_op, 55, &size, 1), -ENOSYS);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_copy, &size, -1), -EINVAL);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_copy, &size, 0), 0);

    /* XSA-379, 382, 384, 387: its frames are not the domain's to give away, nor to make a table of */
    CHECK_EQ(reservation(XENMEM_decrease_reservation, list, 1), on_xen());
    CHECK(mmuext(MMUEXT_PIN_L1_TABLE, list[0], 0) < 0);
    STORE(entries[8].flags, 0); /* still there */
}

/* ---- mappings ---- */

static void mapped_by_address(void)
{
    uint64_t *p = page_alloc(), own = *pte_of(kernel_root, (uint64_t)p, 1);
    grant_handle_t rw;

    grant(8, p, 0);
    CHECK_EQ(used(8), 0);
    CHECK_EQ(map(8, AT(0), GNTMAP_host_map | 5u << _GNTMAP_guest_avail0), 0);
    rw = handle;
    CHECK_EQ(used(8), IN_USE);
    CHECK_EQ(PTE_MFN(s.l1[0]), virt_to_mfn(p));
    CHECK_EQ(s.l1[0] & 0xe00, 5 << 9);
    *word(AT(0)) = 0x1111;
    CHECK_EQ(*p, 0x1111);
    CHECK_EQ(map(8, AT(1), GNTMAP_host_map | GNTMAP_readonly), 0);
    CHECK_EQ(*word(AT(1)), 0x1111);
    CHECK(store_faults(AT(1)));
    CHECK(!is_free_of_use(p));
    CHECK_EQ(unmap(rw, AT(0), 0), 0);
    CHECK_EQ(used(8), GTF_reading);
    CHECK(load_faults((void *)AT(0)));
    CHECK_EQ(s.l1[0], 0);
    CHECK_EQ(unmap(handle, AT(1), 0), 0);
    CHECK(load_faults((void *)AT(1)));
    CHECK_EQ(used(8), 0);
    CHECK(is_free_of_use(p));
    CHECK_EQ(PTE_MFN(*pte_of(kernel_root, (uint64_t)p, 1)), PTE_MFN(own));
    CHECK_EQ(unmap(handle, AT(1), 0), GNTST_bad_handle);
    CHECK_EQ(unmap(~0u, AT(1), 0), GNTST_bad_handle);
}

static void mapped_by_entry(void)
{
    uint64_t *p = page_alloc(), *t = table_alloc(), pte = virt_to_maddr(&s.l1[2]);
    uint32_t flags = GNTMAP_host_map | GNTMAP_contains_pte;

    grant(8, p, 0);
    CHECK_EQ(map(8, pte, flags), 0);
    *word(AT(2)) = 0x2222;
    CHECK_EQ(*p, 0x2222);
    CHECK(unmap(handle, pte + 8, 0) < 0);
    CHECK_EQ(unmap(handle, pte, 0), 0);
    CHECK(load_faults((void *)AT(2)));
    /* XSA-227: an address that is not an entry's */
    for (unsigned int i = 1; i < 8; i++)
        CHECK(map(8, pte + i, flags) < 0);
    CHECK(map(8, virt_to_maddr(s.l2), flags) < 0);
    CHECK(map(8, virt_to_maddr(kernel_root), flags) < 0);
    CHECK(map(8, virt_to_maddr(t), flags) < 0); /* no table yet */
    CHECK(map(8, ~7UL, flags) < 0);
    CHECK(map(8, 1UL << 51, flags) < 0);
    CHECK_EQ(used(8), 0);
    /* in one that no root leads to; and what then becomes of it */
    CHECK_EQ(pin(1, t), 0);
    CHECK_EQ(map(8, virt_to_maddr(t + 7), flags), 0);
    CHECK_EQ(PTE_MFN(t[7]), virt_to_mfn(p));
    CHECK_EQ(unmap(handle, virt_to_maddr(t + 7), 0), 0);
    CHECK_EQ(t[7], 0);
    CHECK_EQ(unpin(t), 0);
    CHECK(is_free_of_use(p));
}

static void refused(void)
{
    uint64_t *p = page_alloc();
    const uint32_t host = GNTMAP_host_map, ro = GNTMAP_host_map | GNTMAP_readonly;

    grant(8, p, GTF_readonly);
    CHECK_EQ(map(8, AT(0), host), GNTST_general_error);
    CHECK_EQ(used(8), 0);
    entries[8].domid = 77;
    CHECK_EQ(map(8, AT(0), ro), GNTST_general_error);
    entries[8].domid = DOMID_SELF;
    CHECK_EQ(map(8, AT(0), ro), GNTST_general_error);
    entries[8].domid = self;
    STORE(entries[8].flags, GTF_invalid);
    CHECK_EQ(map(8, AT(0), ro), GNTST_general_error);
    STORE(entries[8].flags, GTF_accept_transfer);
    CHECK_EQ(map(8, AT(0), ro), GNTST_general_error);
    STORE(entries[8].flags, GTF_transitive);
    CHECK_EQ(map(8, AT(0), ro), GNTST_general_error);
    STORE(entries[8].flags, GTF_permit_access | GTF_sub_page);
    CHECK_EQ(map(8, AT(0), ro), GNTST_general_error);
    grant(8, p, 0);
    CHECK_EQ(map(8, AT(0), 0), GNTST_bad_gntref);
    CHECK_EQ(map(8, AT(0), GNTMAP_readonly | GNTMAP_contains_pte), GNTST_bad_gntref);
    CHECK_EQ(map_of(77, 8, AT(0), host), GNTST_bad_domain);
    CHECK_EQ(map_of(DOMID_SELF, 8, AT(0), host), GNTST_bad_domain);
    CHECK_EQ(map(1u << 30, AT(0), host), GNTST_bad_gntref);
    CHECK_EQ(map(~0u, AT(0), host), GNTST_bad_gntref);
    CHECK(map(8, NOWHERE, host) < 0);
    CHECK(map(8, NONCANONICAL, host) < 0);
    CHECK(map(8, HYPERVISOR_VIRT_START, host) < 0);
    CHECK_EQ(used(8), 0);
    entries[8].frame = (uint32_t)PTE_MFN(*pte_of(kernel_root, HYPERVISOR_VIRT_START, 4));
    CHECK(map(8, AT(0), ro) < 0); /* the hypervisor's */
    entries[8].frame = ~0u;
    CHECK(map(8, AT(0), ro) < 0);
    entries[8].frame = (uint32_t)virt_to_mfn(kernel_root);
    CHECK(map(8, AT(0), host) < 0); /* a table, for writing */
    CHECK_EQ(used(8), 0);
    CHECK_EQ(map(8, AT(0), ro), 0);
    CHECK_EQ(*word(AT(0) + 256 * 8), kernel_root[256]);
    CHECK_EQ(unmap(handle, AT(0), 0), 0);
    CHECK_EQ(s.l1[0], 0);
    CHECK(is_free_of_use(p));
}

/* XSA-234, 394: each use ends once, and by its own entry. */
static void ended_once(void)
{
    uint64_t *p = page_alloc(), *q = page_alloc();
    grant_handle_t rw, ro, dev;

    grant(8, p, 0);
    grant(9, p, GTF_readonly);
    grant(10, q, 0);
    CHECK_EQ(map(8, AT(0), GNTMAP_host_map), 0);
    rw = handle;
    CHECK_EQ(map(9, AT(1), GNTMAP_host_map | GNTMAP_readonly), 0);
    ro = handle;
    CHECK_EQ(map(10, AT(2), GNTMAP_host_map | GNTMAP_device_map), 0);
    dev = handle;
    CHECK(unmap(rw, AT(2), 0) < 0);
    CHECK(unmap(rw, AT(3), 0) < 0);
    CHECK(unmap(rw, NOWHERE, 0) < 0);
    if (!on_xen()) {
        CHECK(unmap(rw, AT(1), 0) < 0); /* it would go on writing at AT(0) */
        CHECK(unmap(ro, AT(0), 0) < 0);
    }
    CHECK_EQ(used(8), IN_USE);
    CHECK_EQ(used(9), GTF_reading);
    CHECK_EQ(unmap(dev, 0, virt_to_maddr(p)), GNTST_bad_dev_addr);
    CHECK_EQ(unmap(dev, 0, 0), 0); /* nothing */
    CHECK_EQ(unmap(dev, AT(2), 0), 0);
    CHECK_EQ(used(10), IN_USE);
    CHECK_EQ(unmap(dev, 0, virt_to_maddr(q)), 0);
    CHECK_EQ(used(10), 0);
    CHECK_EQ(unmap(dev, AT(2), virt_to_maddr(q)), GNTST_bad_handle);
    CHECK(is_free_of_use(q));
    CHECK_EQ(unmap(rw, AT(0), 0), 0);
    CHECK_EQ(unmap(ro, AT(1), 0), 0);
    CHECK(is_free_of_use(p));
    for (unsigned int i = 0; i < 8;
         i++) { /* XSA-224: both kinds at once, in each way to end them */
        CHECK_EQ(map(10, AT(2), GNTMAP_host_map | GNTMAP_device_map), 0);
        CHECK_EQ(unmap(handle, i & 1 ? AT(2) : 0, i & 2 ? virt_to_maddr(q) : 0), 0);
        if ((i & 3) != 3)
            CHECK_EQ(unmap(handle, AT(2), virt_to_maddr(q)), 0);
        CHECK_EQ(used(10), 0);
        CHECK(is_free_of_use(q));
    }
}

static void replaced(void)
{
    uint64_t *p = page_alloc(), *own = page_alloc();

    *own = 0x3333;
    grant(8, p, 0);
    CHECK_EQ(pte_write(&s.l1[1], PTE(own, PTE_FLAGS)), 0);
    CHECK_EQ(map(8, AT(0), GNTMAP_host_map), 0);
    CHECK(replace(handle, AT(0), NOWHERE) < 0);
    if (!on_xen()) /* which has cleared the entry for AT(1) then */
        CHECK(replace(handle, AT(2), AT(1)) < 0);
    CHECK_EQ(replace(handle + 1000, AT(0), AT(1)), GNTST_bad_handle);
    CHECK_EQ(replace(handle, AT(0), AT(1)), 0);
    CHECK_EQ(*word(AT(0)), 0x3333);
    CHECK(load_faults((void *)AT(1)));
    CHECK_EQ(used(8), 0);
    CHECK(is_free_of_use(p));
    CHECK(!is_free_of_use(own));
    CHECK_EQ(pte_write(&s.l1[0], 0), 0);
    CHECK(is_free_of_use(own));
}

/* On Xen the domain dies of it, or keeps a grant that it cannot end. */
static void entries_that_go_otherwise(void)
{
    uint64_t *p = page_alloc(), *t = page_alloc();
    grant_handle_t first;

    if (on_xen())
        return;
    grant(8, p, 0);
    CHECK_EQ(map(8, AT(0), GNTMAP_host_map), 0);
    first = handle;
    CHECK_EQ(pte_write(&s.l1[0], 0), 0);
    CHECK_EQ(used(8), IN_USE);
    CHECK_EQ(unmap(first, AT(0), 0), GNTST_general_error);
    CHECK_EQ(update_va((void *)AT(0), PTE(p, PTE_FLAGS), UVMF_INVLPG), 0); /* one like it will do */
    CHECK_EQ(unmap(first, AT(0), 0), 0);
    CHECK(is_free_of_use(p));
    page_set_ro(t);
    CHECK_EQ(pin(1, t), 0);
    CHECK_EQ(map(8, virt_to_maddr(t), GNTMAP_host_map | GNTMAP_contains_pte), 0);
    CHECK_EQ(unpin(t), 0);
    CHECK_EQ(used(8), IN_USE);
    CHECK_EQ(unmap(handle, virt_to_maddr(t), 0), GNTST_general_error);
    CHECK(!is_free_of_use(p));
    /* it stays, for the end of the domain to undo */
}

/* ---- copies; rt_grants has the good ones ---- */

static void copies(void)
{
    uint64_t *a = page_alloc(), *b = page_alloc();
    const uint16_t from = GNTCOPY_source_gref, to = GNTCOPY_dest_gref;

    grant(8, a, GTF_readonly);
    grant(9, b, 0);
#define SRC(r, o) .source = {.u.ref = r, .domid = self, .offset = o }
#define DST(r, o) .dest = { .u.ref = r, .domid = self, .offset = o }
#define SRC_OWN(p, o) .source = { .u.gmfn = virt_to_mfn(p), .domid = DOMID_SELF, .offset = o }
#define DST_OWN(p, o) .dest = { .u.gmfn = virt_to_mfn(p), .domid = DOMID_SELF, .offset = o }
    for (unsigned int n = 0; n < 40; n++) {
        uint8_t *x = (uint8_t *)a, *y = (uint8_t *)b;

        for (unsigned int i = 0; i < 64; i++)
            x[i] = (uint8_t)(i + 1), y[i] = 0;
        CHECK_EQ(copy((struct gnttab_copy){ SRC(8, n % 9), DST(9, n % 7), n, from | to, 0 }), 0);
        for (unsigned int i = 0; i < 64; i++) {
            bool in = i >= n % 7 && i < n % 7 + n;

            CHECK_EQ(y[i], in ? i - n % 7 + n % 9 + 1 : 0);
        }
    }
    CHECK_EQ(copy((struct gnttab_copy){ SRC_OWN(a, 0), DST_OWN(b, 0), 4096, 0, 0 }), 0);
    CHECK_EQ(memcmp(a, b, 4096), 0);
    CHECK_EQ(copy((struct gnttab_copy){ SRC(9, 0), DST(8, 0), 8, from | to, 0 }),
             GNTST_general_error);
    CHECK_EQ(copy((struct gnttab_copy){ SRC(8, 4095), DST(9, 0), 2, from | to, 0 }),
             GNTST_bad_copy_arg);
    CHECK_EQ(copy((struct gnttab_copy){ SRC(8, 0), DST(9, 65535), 65535, from | to, 0 }),
             GNTST_bad_copy_arg);
    CHECK_EQ(copy((struct gnttab_copy){ SRC(8, 0), DST_OWN(kernel_root, 0), 8, from, 0 }),
             GNTST_general_error);
    CHECK_EQ(copy((struct gnttab_copy){ SRC(8, 0), DST_OWN(b, 0), 8, 0, 0 }),
             GNTST_permission_denied);
    CHECK_EQ(copy((struct gnttab_copy){ SRC(1u << 30, 0), DST_OWN(b, 0), 8, from, 0 }),
             GNTST_bad_gntref);
    CHECK_EQ(used(8) | used(9), 0);
    CHECK(is_free_of_use(a));
    CHECK(is_free_of_use(b));
}

static void swapped(void)
{
    uint64_t *p = page_alloc(), *q = page_alloc();
    struct gnttab_swap_grant_ref op = { 8, 9, 77 }, bad = { 8, 1u << 30, 77 };

    grant(8, p, 0);
    grant(9, q, GTF_readonly);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_swap_grant_ref, &op, 1), 0);
    CHECK_EQ(op.status, 0);
    CHECK_EQ(entries[9].frame, virt_to_mfn(p));
    CHECK_EQ(entries[8].flags, GTF_permit_access | GTF_readonly);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_swap_grant_ref, &bad, 1), 0);
    CHECK_EQ(bad.status, GNTST_bad_gntref);
    CHECK_EQ(map(9, AT(0), GNTMAP_host_map), 0);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_swap_grant_ref, &op, 1), 0);
    CHECK_EQ(op.status, GNTST_eagain);
    CHECK_EQ(unmap(handle, AT(0), 0), 0);
}

/* ---- XSA-318, 380: long lists go on after an event, where they were ---- */

static void long_lists(void)
{
    static struct gnttab_map_grant_ref maps[NR_LIST];
    static struct gnttab_unmap_grant_ref unmaps[NR_LIST];
    static struct gnttab_copy all[NR_LIST];
    uint64_t *p = page_alloc(), *q = page_alloc();
    unsigned int bad = 0;

    for (grant_ref_t ref = 8; ref < 16; ref++) /* Xen counts the uses of one to 255 */
        grant(ref, p, 0);
    long_init();
    for (unsigned int round = 0; round < 50 && interruptions < 3; round++) {
        for (unsigned int n = 0; n < NR_LIST; n++) {
            maps[n] = (struct gnttab_map_grant_ref){ .host_addr = AT(n % 300),
                                                     .flags = n < 300 ? GNTMAP_host_map
                                                                      : GNTMAP_device_map,
                                                     .ref = n == 500 ? ~0u : 8 + n % 8,
                                                     .dom = self,
                                                     .status = 77 };
            all[n] =
                (struct gnttab_copy){ SRC(8, 0), DST_OWN(q, 0), 4000, GNTCOPY_source_gref, 77 };
        }
        all[700].len = 5000;
        CHECK_EQ(hc(grant_table_op, GNTTABOP_map_grant_ref, maps, NR_LIST), 0);
        for (unsigned int n = 0; n < NR_LIST; n++) {
            bad += maps[n].status != (n == 500 ? GNTST_bad_gntref : 0);
            unmaps[n] = (struct gnttab_unmap_grant_ref){ n < 300 ? maps[n].host_addr : 0,
                                                         n < 300 ? 0 : maps[n].dev_bus_addr,
                                                         n == 500 ? ~0u : maps[n].handle, 77 };
        }
        CHECK_EQ(hc(grant_table_op, GNTTABOP_copy, all, NR_LIST), 0);
        CHECK_EQ(hc(grant_table_op, GNTTABOP_unmap_grant_ref, unmaps, NR_LIST), 0);
        for (unsigned int n = 0; n < NR_LIST; n++)
            bad += (unmaps[n].status != (n == 500 ? GNTST_bad_handle : 0)) +
                   (all[n].status != (n == 700 ? GNTST_bad_copy_arg : 0));
        for (grant_ref_t ref = 8; ref < 16; ref++)
            CHECK_EQ(used(ref), 0);
    }
    CHECK_EQ(bad, 0);
    CHECK(is_free_of_use(p));
    events_off();
    print("%u ticks, %u in the middle of a list\n", ticks, interruptions);
    CHECK(interruptions > 0);
}

void test_main(void)
{
    s = scratch_tree();
    self = own_domid();
    the_table();
    mapped_by_address();
    mapped_by_entry();
    refused();
    ended_once();
    replaced();
    copies();
    swapped();
    long_lists();
    entries_that_go_otherwise();
}
