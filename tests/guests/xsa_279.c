/* XSA-279: flushes of addresses that no TLB can have. The story: advisories/xsa-279.md. */
#include "xsa.h"

static unsigned int wrong;
static struct scratch s;

static void flush_everywhere(uint64_t va)
{
    static uint64_t all = ~0UL, self = 1;

    wrong += mmuext(MMUEXT_INVLPG_LOCAL, va, 0) != 0;
    wrong += mmuext(MMUEXT_INVLPG_ALL, va, 0) != 0;
    wrong += mmuext(MMUEXT_INVLPG_MULTI, va, (uint64_t)&all) != 0;
    wrong += mmuext(MMUEXT_INVLPG_MULTI, va, (uint64_t)&self) != 0;
}

void test_main(void)
{
    const uint64_t vas[] = { 0,
                             0xfff,
                             0x7ffffffff000,
                             0x7fffffffffff,
                             0x800000000000,
                             NONCANONICAL,
                             0xffff7fffffffffff,
                             0x1000000000000,
                             0x00ff000000000000,
                             0x5555555555555555,
                             HYPERVISOR_VIRT_START,
                             HYPERVISOR_VIRT_START + (1UL << 39),
                             HYPERVISOR_VIRT_START + (2UL << 39),
                             HYPERVISOR_VIRT_END - 1,
                             HYPERVISOR_VIRT_END,
                             ~0xfffUL,
                             ~0UL,
                             ~0UL - 1,
                             ~0UL - 2 };
    volatile uint64_t *at = (void *)SCRATCH;
    uint64_t *a = page_alloc(), *b = page_alloc();

    attacks_begin();
    s = scratch_tree();
    *a = 0xa;
    *b = 0xb;
    for (unsigned int i = 0; i < ARRAY_SIZE(vas); i++) {
        flush_everywhere(vas[i]);
        for (unsigned int bit = 0; bit < 64; bit++)
            flush_everywhere(vas[i] ^ 1UL << bit);
    }
    attack("invlpg.any-address", wrong, 0);
    wrong = 0;
    for (unsigned int i = 0; i < ARRAY_SIZE(vas); i++) {
        uint64_t l3e = kernel_root[vas[i] >> 39 & 511];
        bool ours = vas[i] >= HYPERVISOR_VIRT_START && vas[i] < HYPERVISOR_VIRT_END;
        bool canonical = (uint64_t)((int64_t)(vas[i] << 16) >> 16) == vas[i];

        if (canonical && !ours && (l3e & PTE_P))
            continue; /* a mapping of ours, perhaps */
        for (uint64_t flags = UVMF_TLB_FLUSH; flags <= UVMF_INVLPG; flags++) {
            wrong += update_va((void *)vas[i], PTE(a, PTE_FLAGS), flags) != -EINVAL;
            wrong += update_va((void *)vas[i], PTE(a, PTE_FLAGS), flags | UVMF_ALL) != -EINVAL;
            wrong += update_va((void *)vas[i], 0, flags | UVMF_ALL) != -EINVAL;
        }
    }
    attack("update-va.any-address", wrong, 0);
    /* flushes of good addresses still do their work: odd bytes of a page name the page */
    wrong = 0;
    for (uint64_t off = 0; off < PAGE_SIZE; off += 511) {
        CHECK_EQ(pte_write(&s.l1[0], PTE(a, PTE_FLAGS)), 0);
        CHECK_EQ(mmuext(MMUEXT_INVLPG_ALL, SCRATCH + off, 0), 0);
        wrong += *at != 0xa;
        CHECK_EQ(pte_write(&s.l1[0], PTE(b, PTE_FLAGS)), 0);
        CHECK_EQ(mmuext(MMUEXT_INVLPG_LOCAL, SCRATCH + off, 0), 0);
        wrong += *at != 0xb;
    }
    attack("invlpg.works", wrong, 0);
    witness_check();
}
