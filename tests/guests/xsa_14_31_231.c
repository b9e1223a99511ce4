/*
 * XSA-14, XSA-31, XSA-231: memory_op with flags, orders and nodes that make no sense.
 * The story: advisories/xsa-14-31-231.md.
 */
#include "xsa.h"

static unsigned int wrong;
static long pages;

/* A list of one pfn that is in use, or a frame's number; nothing may be done with it. */
static void refused(unsigned int cmd, xen_pfn_t what, uint64_t nr, unsigned int order,
                    unsigned int flags)
{
    xen_pfn_t list[2] = { what, what };
    long rc = reservation_flags(cmd, list, nr, order, flags);

    if (rc != 0)
        print("op %u order %u flags 0x%x: %ld\n", cmd, order, flags, rc);
    wrong += rc != 0;
    wrong += list[0] != what || current_pages() != pages;
}

/* XSA-14: a populate-on-demand entry, for a guest that has no p2m of Xen's to put it into. */
static void on_demand(void)
{
    refused(XENMEM_populate_physmap, spare_pfn(0), 1, 0, XENMEMF_populate_on_demand);
    refused(XENMEM_populate_physmap, spare_pfn(0), 1, 9, XENMEMF_populate_on_demand);
    refused(XENMEM_populate_physmap, ~0UL, 1, 0, XENMEMF_populate_on_demand);
    refused(XENMEM_populate_physmap, spare_pfn(0), 1, 31, ~0u);
    attack("memory.on-demand", wrong, 0);
}

/* XSA-31: shifts by what the guest says, and numbers of extents that overflow with them. */
static void orders(void)
{
    uint64_t mfn = p2m()[spare_pfn(0)];

    wrong = 0;
    for (unsigned int bit = 0; bit < 32; bit++)
        for (unsigned int low = 0; low < 70; low += 23) {
            unsigned int order = (1u << bit) + low;

            if (order <= 20) /* may be granted to a domain with devices */
                continue;
            refused(XENMEM_populate_physmap, spare_pfn(0), 1, order, 0);
            refused(XENMEM_populate_physmap, spare_pfn(0), ~0UL >> 6, order, 0);
            refused(XENMEM_decrease_reservation, mfn, 1, order, 0);
            refused(XENMEM_decrease_reservation, mfn, ~0UL, order, 0);
        }
    refused(XENMEM_populate_physmap, spare_pfn(0), ~0UL, 0, 0);
    refused(XENMEM_decrease_reservation, mfn, (~0UL >> 6) + 1, 0, 0);
    attack("memory.orders", wrong, 0);
    CHECK(can_map(mfn, PTE_FLAGS));
}

static void orders_of_exchange(void)
{
    const unsigned int most = is_dom0() ? 12 : 9;

    wrong = 0;
    for (unsigned int io = 0; io < 256; io += io < 66 ? 1 : 19)
        for (unsigned int oo = 0; oo < 256; oo += oo < 66 ? 1 : 19) {
            xen_pfn_t in = virt_to_mfn(kernel_root), out = 0; /* never to be had */
            struct xen_memory_exchange x = {
                .in = { .nr_extents = 1, .extent_order = io, .domid = DOMID_SELF },
                .out = { .nr_extents = 1, .extent_order = oo, .domid = DOMID_SELF },
            };
            long rc;

            set_xen_guest_handle(x.in.extent_start, &in);
            set_xen_guest_handle(x.out.extent_start, &out);
            rc = hc(memory_op, XENMEM_exchange, &x);
            wrong += rc != (io > most || oo > most ? -EPERM : -EINVAL);
        }
    attack("memory.exchange-orders", wrong, 0);
    CHECK_EQ(current_pages(), pages);
}

/* XSA-231: a node's number went unchecked into arrays of nodes. */
static void nodes(void)
{
    xen_pfn_t list[1];
    long rc;

    wrong = 0;
    for (unsigned int node = 0; node < 256; node++)
        for (unsigned int exact = 0; exact < 2; exact++) {
            unsigned int flags =
                ((node + 1) & 0xff) << 8 | (exact ? XENMEMF_exact_node_request : 0);
            xen_pfn_t mfn = p2m()[spare_pfn(0)];

            CHECK_EQ(reservation(XENMEM_decrease_reservation, &mfn, 1), 1);
            list[0] = spare_pfn(0);
            rc = reservation_flags(XENMEM_populate_physmap, list, 1, 0, flags);
            wrong += rc != 1 && !exact; /* only an exact wish may be in vain */
            if (rc != 1) {
                list[0] = spare_pfn(0);
                CHECK_EQ(reservation(XENMEM_populate_physmap, list, 1), 1);
            }
            p2m()[spare_pfn(0)] = list[0];
            wrong += current_pages() != pages || !can_map(list[0], PTE_FLAGS);
        }
    attack("memory.nodes", wrong, 0);
}

/* All flags at once, random ones: what is granted is ordinary memory. */
static void flags(void)
{
    uint32_t x = 12345;

    wrong = 0;
    for (unsigned int i = 0; i < 300; i++) {
        xen_pfn_t mfn = p2m()[spare_pfn(1)], list[1] = { spare_pfn(1) };

        x = x * 1664525 + 1013904223;
        CHECK_EQ(reservation(XENMEM_decrease_reservation, &mfn, 1), 1);
        if (reservation_flags(XENMEM_populate_physmap, list, 1, 0, x) != 1) {
            wrong += list[0] != spare_pfn(1);
            list[0] = spare_pfn(1);
            CHECK_EQ(reservation(XENMEM_populate_physmap, list, 1), 1);
        }
        p2m()[spare_pfn(1)] = list[0];
        wrong += current_pages() != pages || !can_map(list[0], PTE_FLAGS) ||
                 machine_to_phys_mapping[list[0]] != spare_pfn(1);
    }
    attack("memory.flags", wrong, 0);
}

void test_main(void)
{
    attacks_begin();
    pages = current_pages();
    on_demand();
    orders();
    orders_of_exchange();
    nodes();
    flags();
    witness_check();
}
