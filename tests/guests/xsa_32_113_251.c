/*
 * XSA-32, XSA-113, XSA-251: frame numbers beyond memory, references that MMU_MACHPHYS_UPDATE kept, and
 * a table of the hypervisor's that guests write. The story: advisories/xsa-32-113-251.md.
 */
#include "xsa.h"

static unsigned int wrong;
static struct scratch s;

static void want_error(const char *what, uint64_t mfn, long rc)
{
    if (rc >= 0)
        print("%s of frame 0x%lx: %ld\n", what, mfn, rc);
    wrong += rc >= 0;
}

static void everywhere(uint64_t mfn)
{
    struct multicall_entry gdt = { .op = __HYPERVISOR_set_gdt, .args = { (uint64_t)&mfn, 8 } };
    struct vcpu_register_vcpu_info info = { .mfn = mfn };
    xen_pfn_t list[1] = { mfn };
    long pages = current_pages();
    uint64_t *page = (uint64_t *)can_map; /* a source that may be read */
    uint64_t source = virt_to_mfn(page);

    if (mfn < 1UL << 52) { /* else the address has another one */
        want_error("mmu_update in", mfn, mmu_update(mfn << 12, 0));
        want_error("machphys", mfn, mmu_update(mfn << 12 | MMU_MACHPHYS_UPDATE, 0));
    }
    want_error("pin", mfn, mmuext(MMUEXT_PIN_L1_TABLE, mfn, 0));
    want_error("pin", mfn, mmuext(MMUEXT_PIN_L4_TABLE, mfn, 0));
    want_error("unpin", mfn, mmuext(MMUEXT_UNPIN_TABLE, mfn, 0));
    want_error("new_baseptr", mfn, mmuext(MMUEXT_NEW_BASEPTR, mfn, 0));
    want_error("new_user_baseptr", mfn, mmuext(MMUEXT_NEW_USER_BASEPTR, mfn, 0));
    want_error("clear_page", mfn, mmuext(MMUEXT_CLEAR_PAGE, mfn, 0));
    want_error("copy_page to", mfn, mmuext(MMUEXT_COPY_PAGE, mfn, source));
    want_error("copy_page from", mfn, mmuext(MMUEXT_COPY_PAGE, virt_to_mfn(&wrong), mfn));
    want_error("update_descriptor", mfn, hc(update_descriptor, mfn << 12, 0));
    want_error("vcpu_info", mfn, hc(vcpu_op, VCPUOP_register_vcpu_info, 0, &info));
    hc(multicall, &gdt, 1);
    want_error("set_gdt", mfn, (long)gdt.result);
    if (mfn < 1UL << 40) { /* else it is not this frame's number that the entry has */
        want_error("L1 entry", mfn, pte_write(&s.l1[1], mfn << 12 | PTE_FLAGS));
        want_error("L1 entry", mfn, pte_write(&s.l1[1], mfn << 12 | PTE_RO));
        want_error("L2 entry", mfn, pte_write(&s.l2[1], mfn << 12 | PTE_FLAGS));
        want_error("L4 entry", mfn, pte_write(&kernel_root[9], mfn << 12 | PTE_FLAGS));
    }
    wrong += reservation(XENMEM_decrease_reservation, list, 1) != 0;
    wrong += current_pages() != pages;
}

static void beyond_memory(void)
{
    uint64_t max = (uint64_t)hc(memory_op, XENMEM_maximum_ram_page, 0);

    for (unsigned int bits = 40; bits < 64; bits++) {
        everywhere((1UL << bits) - 1);
        everywhere(1UL << bits | virt_to_mfn(kernel_root)); /* ours, should it be cut off */
        everywhere(1UL << bits | max);
    }
    everywhere(~0UL);
    everywhere(0xffffffffffUL);
    attack("frames.beyond-memory", wrong, 0);
    /* frames below the end of the frame table, but not of RAM or not ours: no crash */
    for (uint64_t i = max - 40; i < max + 1000000; i += i < max + 300 ? 1 : 9973) {
        mmu_update(i << 12 | MMU_MACHPHYS_UPDATE, 0x1234);
        mmuext(MMUEXT_UNPIN_TABLE, i, 0);
        pte_write(&s.l2[1], i << 12 | PTE_FLAGS);
        CHECK_EQ(s.l2[1], 0);
    }
    for (uint64_t i = 0; i < max; i += 37) {               /* all of memory, the hypervisor's too */
        if (pte_write(&s.l2[1], i << 12 | PTE_FLAGS) == 0) /* an empty frame is a table */
            CHECK_EQ(pte_write(&s.l2[1], 0), 0);
        mmuext(MMUEXT_UNPIN_TABLE, i, 0);
    }
}

/* A frame that is exchanged has no reference but its owner's. */
static long give_away(uint64_t pfn)
{
    xen_pfn_t in = p2m()[pfn], out = pfn;
    struct xen_memory_exchange x = {
        .in = { .nr_extents = 1, .domid = DOMID_SELF },
        .out = { .nr_extents = 1, .domid = DOMID_SELF },
    };
    long rc;

    set_xen_guest_handle(x.in.extent_start, &in);
    set_xen_guest_handle(x.out.extent_start, &out);
    rc = hc(memory_op, XENMEM_exchange, &x);
    if (rc == 0)
        p2m()[pfn] = out;
    return rc;
}

/* XSA-113: one way out of the handler did not give its reference back. */
static void machphys_references(void)
{
    struct mmu_update u[8];
    unsigned int done;
    uint64_t mfn;

    wrong = 0;
    for (unsigned int round = 0; round < 50; round++) {
        mfn = p2m()[spare_pfn(round % 4)];
        for (unsigned int i = 0; i < 8; i++)
            u[i] = (struct mmu_update){ mfn << 12 | MMU_MACHPHYS_UPDATE, spare_pfn(round % 4) };
        CHECK_EQ(hc(mmu_update, u, 8, &done, DOMID_SELF), 0);
        for (unsigned int bad = 0; bad < 8; bad++) {
            struct mmu_update good = u[bad];

            u[bad].ptr = bad & 1 ? 0xfffffffff000 | MMU_MACHPHYS_UPDATE : mfn << 12 | 7;
            wrong += hc(mmu_update, u, 8, &done, DOMID_SELF) >= 0 || done != bad;
            u[bad] = good;
        }
        wrong += hc(mmu_update, u, 8, &done, 77) >= 0; /* somebody else's */
        wrong += hc(mmu_update, u, 8, &done, 78 << 16 | DOMID_SELF) >= 0;
        wrong += hc(mmu_update, u, 8, 0x1000, DOMID_SELF) != 0; /* done_out unwritable: no matter */
    }
    for (unsigned int i = 0; i < 4; i++)
        wrong += give_away(spare_pfn(i)) != 0;
    attack("machphys.references", wrong, 0);
}

/* XSA-251: what stands in the M2P is the guest's word, and no hypervisor may believe it. */
static void machphys_lies(void)
{
    const uint64_t lies[] = { 0,          1,
                              ~0UL,       ~1UL,
                              1UL << 63,  0x5555555555555555UL,
                              1UL << 40,  virt_to_mfn(kernel_root),
                              0xffffffff, start_info->nr_pages };
    static xen_pfn_t in[16], out[1];

    wrong = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(lies); i++) {
        struct xen_memory_exchange x = {
            .in = { .nr_extents = 16, .domid = DOMID_SELF },
            .out = { .nr_extents = 1, .extent_order = 4, .domid = DOMID_SELF },
        };
        long pages = current_pages();

        set_xen_guest_handle(x.in.extent_start, in);
        set_xen_guest_handle(x.out.extent_start, out);
        for (unsigned int k = 0; k < 16; k++) {
            in[k] = p2m()[spare_pfn(k)];
            CHECK_EQ(mmu_update(in[k] << 12 | MMU_MACHPHYS_UPDATE, lies[i]), 0);
            CHECK_EQ(machine_to_phys_mapping[in[k]], lies[i]);
        }
        out[0] = lies[i];
        in[15] = virt_to_mfn(&wrong); /* mapped: the others are taken and given back */
        wrong += hc(memory_op, XENMEM_exchange, &x) != -EINVAL;
        for (unsigned int k = 0; k < 15; k++)
            wrong += machine_to_phys_mapping[in[k]] != lies[i];
        wrong += !can_map(in[0], PTE_FLAGS); /* and its mappings may go */
        for (unsigned int k = 0; k < 15; k++) {
            xen_pfn_t pfn = lies[i];

            wrong += reservation(XENMEM_decrease_reservation, &in[k], 1) != 1;
            wrong += reservation(XENMEM_populate_physmap, &pfn, 1) != 1;
            wrong += machine_to_phys_mapping[pfn] != lies[i];
            CHECK_EQ(mmu_update(pfn << 12 | MMU_MACHPHYS_UPDATE, spare_pfn(k)), 0);
            p2m()[spare_pfn(k)] = pfn;
        }
        CHECK_EQ(mmu_update(p2m()[spare_pfn(15)] << 12 | MMU_MACHPHYS_UPDATE, spare_pfn(15)), 0);
        CHECK_EQ(current_pages(), pages);
    }
    attack("machphys.lies", wrong, 0);
    /* the table itself is not to be written */
    TRY("movq $0, (%0)", : : "r"(&machine_to_phys_mapping[virt_to_mfn(kernel_root)]) : "memory");
    CHECK(trapped(TRAP_PF));
}

void test_main(void)
{
    attacks_begin();
    s = scratch_tree();
    beyond_memory();
    machphys_references();
    machphys_lies();
    witness_check();
}
