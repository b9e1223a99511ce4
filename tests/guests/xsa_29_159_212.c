/*
 * XSA-29, XSA-159, XSA-212: XENMEM_exchange with addresses that are not the guest's, and its errors.
 * The story: advisories/xsa-29-159-212.md.
 */
#include "xsa.h"

static xen_pfn_t in[64], out[64];
static unsigned int wrong, lost;

static struct xen_memory_exchange exchange(uint64_t nr_in, unsigned int io, uint64_t nr_out,
                                           unsigned int oo)
{
    struct xen_memory_exchange x = {
        .in = { .nr_extents = nr_in, .extent_order = io, .domid = DOMID_SELF },
        .out = { .nr_extents = nr_out, .extent_order = oo, .domid = DOMID_SELF },
    };

    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    for (unsigned int i = 0; i < ARRAY_SIZE(in); i++) {
        in[i] = p2m()[spare_pfn(i)];
        out[i] = spare_pfn(i);
    }
    return x;
}

/* After a call that failed: all frames are still ours, under their pfns, and none came in addition. */
static void check_nothing_lost(long pages)
{
    lost += current_pages() != pages;
    for (unsigned int i = 0; i < ARRAY_SIZE(in); i++) {
        uint64_t mfn = p2m()[spare_pfn(i)];

        lost += machine_to_phys_mapping[mfn] != spare_pfn(i) || !can_map(mfn, PTE_FLAGS);
    }
}

static void call(struct xen_memory_exchange *x, long want)
{
    long pages = current_pages(), rc = hc(memory_op, XENMEM_exchange, x);

    if (rc != want)
        print("exchange: %ld, not %ld\n", rc, want);
    wrong += rc != want;
    check_nothing_lost(pages);
}

static void bad_pointers(void)
{
    char *ro = page_alloc();
    const uint64_t bad[] = {
        0x1000,                /* not mapped */
        HYPERVISOR_VIRT_START, /* the M2P, which guests can read */
        HYPERVISOR_VIRT_START + (1UL << 39),
        HYPERVISOR_VIRT_START + (2UL << 39),
        HYPERVISOR_VIRT_START + (6UL << 39), /* where Xen and we have all memory, more or less */
        0xffff82d080000000UL,                /* Xen's image */
        HYPERVISOR_VIRT_END - 8,             /* the last word */
        0xffff7ffffffffff8UL,
        NONCANONICAL,
        0x800000000000UL - 8,
        ~7UL,
        ~0UL,
    };

    page_set_ro(ro);
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        struct xen_memory_exchange x = exchange(1, 0, 1, 0);
        uint64_t m2p_word = machine_to_phys_mapping[0];

        set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)bad[i]);
        call(&x, -EFAULT);
        CHECK_EQ(x.nr_exchanged, 0);
        CHECK_EQ(machine_to_phys_mapping[0], m2p_word);
        if (bad[i] == HYPERVISOR_VIRT_START)
            continue; /* may be read as a list; then it says frames that are not ours */
        x = exchange(1, 0, 1, 0);
        set_xen_guest_handle(x.in.extent_start, (xen_pfn_t *)bad[i]);
        call(&x, -EFAULT);
    }
    /* readable, not writable: found out when the new frame is there already */
    struct xen_memory_exchange x = exchange(1, 0, 1, 0);

    set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)ro);
    call(&x, -EFAULT);
    attack("exchange.pointers", wrong, 0);
}

/*
 * XSA-212: the list begins in the guest, the count of what is done already leads out of it. The exact
 * distance to each target does not fit into a count; so all counts that wrap or nearly do.
 */
static void bad_progress(void)
{
    const uint64_t targets[] = { HYPERVISOR_VIRT_START, HYPERVISOR_VIRT_START + (6UL << 39),
                                 0xffff82d080000000UL, HYPERVISOR_VIRT_END - 8 };

    wrong = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(targets); i++)
        for (unsigned int bits = 20; bits < 64; bits++) {
            struct xen_memory_exchange x = exchange(1, 0, 1, 0);
            long pages = current_pages(), rc;
            uint64_t n = 1UL << bits;

            x.nr_exchanged = n;
            x.in.nr_extents = x.out.nr_extents = n + 1;
            set_xen_guest_handle(x.in.extent_start, (xen_pfn_t *)((uint64_t)in - 8 * n));
            set_xen_guest_handle(x.out.extent_start, (xen_pfn_t *)(targets[i] - 8 * n));
            rc = hc(memory_op, XENMEM_exchange, &x);
            wrong += rc != -EFAULT && rc != -EINVAL;
            check_nothing_lost(pages);
        }
    /* ahead of the end, and beyond it */
    struct xen_memory_exchange x = exchange(4, 0, 1, 2);

    x.nr_exchanged = 5;
    call(&x, -EINVAL);
    x = exchange(4, 0, 1, 2);
    x.nr_exchanged = ~0UL;
    call(&x, -EINVAL);
    x = exchange(4, 0, 1, 2);
    x.nr_exchanged = 2; /* in the middle of a chunk */
    call(&x, -EINVAL);
    x = exchange(4, 0, 1, 2);
    x.nr_exchanged = 4; /* all done */
    call(&x, 0);
    attack("exchange.progress", wrong, 0);
}

/* XSA-159: it fails with some frames taken already, or with new ones allocated. */
static void errors_half_way(void)
{
    static char used[PAGE_SIZE] __attribute__((aligned(4096)));
    struct xen_memory_exchange x;

    wrong = 0;
    for (unsigned int bad = 0; bad < 16; bad++) {
        x = exchange(16, 0, 1, 4);
        in[bad] = virt_to_mfn(used); /* mapped, hence refused */
        call(&x, -EINVAL);
        x = exchange(16, 0, 1, 4);
        in[bad] = 0xfffffffffUL;
        call(&x, -EINVAL);
        x = exchange(16, 0, 1, 4);
        in[bad] = virt_to_mfn(kernel_root);
        call(&x, -EINVAL);
        x = exchange(16, 0, 1, 4);
        in[bad] = in[(bad + 1) % 16]; /* one twice */
        call(&x, -EINVAL);
        x = exchange(16, 0, 1, 4);
        x.out.mem_flags = XENMEMF_address_bits(16); /* there is no such memory */
        call(&x, -ENOMEM);
    }
    /* the third of four new frames cannot be told: the two before are taken back */
    for (unsigned int told = 0; told < 3; told++) {
        char *two = page_alloc(), *hole = page_alloc();
        xen_pfn_t *list = (xen_pfn_t *)hole - told;

        CHECK(hole == two + PAGE_SIZE);
        CHECK_EQ(update_va(hole, 0, UVMF_INVLPG), 0);
        x = exchange(4, 0, 4, 0);
        for (unsigned int i = 0; i < told; i++)
            list[i] = out[i];
        x.in.nr_extents = x.out.nr_extents = 4;
        x.nr_exchanged = 0;
        set_xen_guest_handle(x.out.extent_start, list);
        hc(memory_op, XENMEM_exchange, &x); /* in steps of one: what was told is exchanged */
        wrong += x.nr_exchanged != told;
        for (unsigned int i = 0; i < told; i++)
            p2m()[spare_pfn(i)] = list[i];
        check_nothing_lost(current_pages());
        page_set_rw(hole);
    }
    attack("exchange.half-way", wrong, 0);
    /* after all that no lock is held, and it works */
    x = exchange(16, 0, 1, 4);
    for (unsigned int i = 0; i < 16; i++)
        in[i] = p2m()[(spare_pfn(63) & ~15UL) + i];
    out[0] = spare_pfn(63) & ~15UL;
    CHECK_EQ(hc(memory_op, XENMEM_exchange, &x), 0);
    for (unsigned int i = 0; i < 16; i++)
        p2m()[(spare_pfn(63) & ~15UL) + i] = out[0] + i;
    check_nothing_lost(current_pages());
}

void test_main(void)
{
    attacks_begin();
    bad_pointers();
    bad_progress();
    errors_half_way();
    attack("exchange.frames-lost", lost, 0);
    witness_check();
}
