/* memory_op: the reservation up and down, exchange, and what the machine and the M2P tell. */
#include "guest.h"

static uint64_t *p2m(void) { return (uint64_t *)start_info->mfn_list; }

static long reservation(unsigned int cmd, xen_pfn_t *list, uint64_t nr, unsigned int order,
                        domid_t dom)
{
    struct xen_memory_reservation r = { .nr_extents = nr, .extent_order = order, .domid = dom };

    set_xen_guest_handle(r.extent_start, list);
    return hc(memory_op, cmd, &r);
}

static long current_pages(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

static bool can_map(uint64_t mfn)
{
    static char page[PAGE_SIZE] __attribute__((aligned(4096)));
    uint64_t own = virt_to_mfn(page);
    long rc = update_va(page, mfn << 12 | PTE_FLAGS, UVMF_INVLPG);

    if (rc == 0)
        memset(page, 0x5a, PAGE_SIZE);
    CHECK_EQ(update_va(page, own << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    return rc == 0;
}

static void facts(void)
{
    struct xen_machphys_mapping map;
    static uint8_t entries[20 * 64];
    struct xen_memory_map e820 = { .nr_entries = 64 };
    domid_t self = DOMID_SELF, none = 77;
    long max_page = hc(memory_op, XENMEM_maximum_ram_page, 0);

    CHECK(max_page > 1024);
    CHECK_EQ(hc(memory_op, XENMEM_machphys_mapping, &map), 0);
    CHECK_EQ(map.v_start, MACH2PHYS_VIRT_START);
    CHECK(map.v_end > map.v_start && map.v_end <= MACH2PHYS_VIRT_END);
    CHECK(map.max_mfn + 1 >= (uint64_t)max_page);
    CHECK_EQ(current_pages(), start_info->nr_pages);
    CHECK(hc(memory_op, XENMEM_maximum_reservation, &self) >= current_pages());
    CHECK_EQ(hc(memory_op, XENMEM_current_reservation, &none), -ESRCH);
    set_xen_guest_handle(e820.buffer, (void *)entries);
    CHECK_EQ(hc(memory_op, XENMEM_machine_memory_map, &e820), is_dom0() ? 0 : -EPERM);
    print("memory: %u entries in the machine's map, last frame 0x%lx, M2P 0x%lx..0x%lx\n",
          e820.nr_entries, max_page, (uint64_t)map.v_start, (uint64_t)map.v_end);
    CHECK(e820.nr_entries >= 2 || !is_dom0());
    CHECK_EQ(hc(memory_op, 63, 0), -ENOSYS);
    /* the M2P beyond memory: readable or a fault, never more */
    TRY("mov (%0), %%rax", : : "r"(map.v_start + 8UL * max_page) : "rax");
    CHECK(trapped(-1) || trapped(TRAP_PF));
    TRY("mov (%0), %%rax", : : "r"(MACH2PHYS_VIRT_END) : "rax");
    CHECK(trapped(TRAP_PF) || trapped(TRAP_GP));
}

static void down_and_up(void)
{
    uint64_t pfn = start_info->nr_pages - 1;
    xen_pfn_t mfn = p2m()[pfn], out = pfn;
    long pages = current_pages();

    CHECK(can_map(mfn));
    CHECK_EQ(reservation(XENMEM_decrease_reservation, &mfn, 1, 0, DOMID_SELF), 1);
    CHECK_EQ(current_pages(), pages - 1);
    CHECK(!can_map(mfn));
    CHECK_EQ(reservation(XENMEM_decrease_reservation, &mfn, 1, 0, DOMID_SELF),
             0); /* not ours now */
    CHECK_EQ(reservation(XENMEM_populate_physmap, &out, 1, 0, DOMID_SELF), 1);
    CHECK(out != pfn);
    CHECK_EQ(machine_to_phys_mapping[out], pfn);
    p2m()[pfn] = out;
    CHECK(can_map(out));
    CHECK_EQ(current_pages(), pages);
    /* up to the maximum and no further */
    out = pfn;
    CHECK_EQ(reservation(XENMEM_decrease_reservation, &(xen_pfn_t){ 0xfffffffff }, 1, 0,
                         DOMID_SELF),
             0);
    CHECK(reservation(XENMEM_decrease_reservation, (xen_pfn_t *)0x1000, 1, 0, DOMID_SELF) <= 0);
    CHECK(reservation(XENMEM_populate_physmap, &out, 1, 30, DOMID_SELF) <= 0);
    CHECK(reservation(XENMEM_populate_physmap, &out, 1, 64, DOMID_SELF) <= 0);
    CHECK(reservation(XENMEM_populate_physmap, &out, ~0UL, 0, DOMID_SELF) <= 0);
    CHECK(reservation(XENMEM_populate_physmap, &out, 1, 0, 77) <= 0);
    CHECK(reservation(XENMEM_decrease_reservation, &out, 1, 0, DOMID_XEN) <= 0);
    CHECK_EQ(current_pages(), pages);
}

/* A page that is mapped when it is given back stays ours until the mapping goes. */
static void mapped_page(void)
{
    uint64_t *p = page_alloc();
    xen_pfn_t mfn = virt_to_mfn(p), pfn = virt_to_pfn(p);
    long pages = current_pages(), rc;

    p[0] = 0x1234;
    rc = reservation(XENMEM_decrease_reservation, &mfn, 1, 0, DOMID_SELF);
    print("memory: giving back a mapped page: %ld\n", rc);
    CHECK_EQ(p[0], 0x1234);
    CHECK_EQ(update_va(p, 0, UVMF_INVLPG), 0);
    if (rc == 1) {
        CHECK_EQ(current_pages(), pages - 1);
        CHECK_EQ(reservation(XENMEM_populate_physmap, &pfn, 1, 0, DOMID_SELF), 1);
        mfn = pfn;
        p2m()[virt_to_pfn(p)] = mfn;
    }
    CHECK_EQ(update_va(p, mfn << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    /* a page table cannot be given away under its mappings */
    mfn = virt_to_mfn(kernel_root);
    CHECK(reservation(XENMEM_decrease_reservation, &mfn, 1, 0, DOMID_SELF) <= 1);
    CHECK_EQ(*pte_of(kernel_root, (uint64_t)p, 4) & PTE_P, PTE_P);
}

#define ORDER 4
static void exchange(void)
{
    static xen_pfn_t in[1 << ORDER], out[1];
    uint64_t first = (start_info->nr_pages - 64) & ~63UL;
    struct xen_memory_exchange x = {
        .in = { .nr_extents = 1 << ORDER, .domid = DOMID_SELF },
        .out = { .nr_extents = 1,
                 .extent_order = ORDER,
                 .mem_flags = XENMEMF_address_bits(32),
                 .domid = DOMID_SELF },
    };
    long pages = current_pages(), rc;

    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    for (unsigned int i = 0; i < 1 << ORDER; i++)
        in[i] = p2m()[first + i];
    out[0] = first;
    rc = hc(memory_op, XENMEM_exchange, &x);
    print("memory: exchange: %ld, 0x%lx -> 0x%lx\n", rc, (uint64_t)in[0], (uint64_t)out[0]);
    CHECK_EQ(rc, 0);
    CHECK_EQ(x.nr_exchanged, 1 << ORDER);
    CHECK_EQ(out[0] & ((1 << ORDER) - 1), 0);
    CHECK(out[0] < 0x100000);
    for (unsigned int i = 0; i < 1 << ORDER; i++) {
        p2m()[first + i] = out[0] + i;
        CHECK_EQ(machine_to_phys_mapping[out[0] + i], first + i);
        CHECK(can_map(out[0] + i));
    }
    CHECK_EQ(current_pages(), pages);
    CHECK(!can_map(in[0]) || (in[0] >= out[0] && in[0] < out[0] + (1 << ORDER)));
    /* sizes that do not match, progress out of range, pages in use or not ours */
    x.nr_exchanged = 0;
    x.out.extent_order = ORDER - 1;
    CHECK_EQ(hc(memory_op, XENMEM_exchange, &x), -EINVAL);
    x.out.extent_order = ORDER;
    x.nr_exchanged = 1000;
    CHECK_EQ(hc(memory_op, XENMEM_exchange, &x), -EINVAL);
    x.nr_exchanged = 0;
    x.in.nr_extents = 1;
    x.out.extent_order = 0;
    in[0] = 0xfffffffff;
    CHECK(hc(memory_op, XENMEM_exchange, &x) < 0);
    in[0] = virt_to_mfn(kernel_root);
    x.nr_exchanged = 0;
    CHECK(hc(memory_op, XENMEM_exchange, &x) < 0);
    CHECK_EQ(current_pages(), pages);
}

void test_main(void)
{
    facts();
    down_and_up();
    mapped_page();
    exchange();
}
