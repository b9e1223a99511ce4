/* The runtime's memory: all of it, more of it, what is read-only, what is not there. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/trap.h>
#include <rt/verdict.h>

#include <xen/memory.h>

static char *first_page(void)
{
    static char *page;

    if (page == NULL)
        page = page_alloc(1);
    return page;
}

static void names(void)
{
    char *p = first_page(), *heap = malloc(100000);

    CHECK_EQ(pfn_to_mfn(virt_to_pfn(p)), virt_to_mfn(p));
    CHECK(mfn_to_virt(virt_to_mfn(p)) == p);
    CHECK(virt_to_mfn(heap) != 0);
    CHECK(virt_to_mfn((char *)HEAP_BASE + HEAP_MAX_BYTES) == 0);
    free(heap);
}

static void protection(void)
{
    uint64_t *p = (uint64_t *)first_page(), v = 1;
    const uint64_t *pte;

    *p = 77;
    CHECK_EQ(answer("memory.protect-read-only", page_protect(p, PROT_KERNEL_RO)), 0);
    CHECK_EQ(try_read64(p, &v), 0);
    CHECK_EQ(v, 77);
    CHECK_EQ(try_write64(p, 78), -14);
    CHECK_EQ(trap_fault_address(), (long)p);
    CHECK_EQ(answer("memory.protect-nothing", page_protect(p, 0)), 0);
    CHECK_EQ(try_read64(p, &v), -14);
    CHECK_EQ(page_unprotect(p), 0);
    CHECK_EQ(try_write64(p, 78), 0);
    CHECK_EQ(*p, 78);
    CHECK_EQ(try_read64((void *)0x8000000000000000, &v), -14);
    /* A write to a page table is done by the hypervisor, if it is one that mmu_update would do. */
    pte = pte_of(p, 1);
    CHECK_EQ(try_write64((void *)pte, *pte & ~PTE_DIRTY), 0);
    CHECK_EQ(try_write64((void *)pte, virt_to_mfn(pte) * PAGE_BYTES | PROT_KERNEL_RW), -14);
    answer("memory.protect-own-table-writable", page_protect((void *)pte, PROT_KERNEL_RW));
    answer("memory.protect-not-canonical",
           page_protect((void *)0x8000000000000000, PROT_KERNEL_RO));
    answer("memory.protect-hypervisor", page_protect((void *)HYPERVISOR_VIRT_START, 0));
    CHECK_EQ(virt_to_mfn(p), pfn_to_mfn(virt_to_pfn(p)));
}

static void second_mapping(void)
{
    char *a = page_alloc(1), *b = page_alloc(1), *map;
    uint64_t mfns[2] = { virt_to_mfn(a), virt_to_mfn(b) }, v;
    size_t before;

    for (int round = 0; round < 600;
         round++) { /* more than a table's worth, were it not given back */
        map = frames_map(DOMID_SELF, mfns, 2, PROT_KERNEL_RW);
        if (!CHECK(map != NULL))
            return;
        map[PAGE_BYTES + 5] = (char)round;
        CHECK_EQ(b[5], (char)round);
        frames_unmap(map, 2);
        CHECK_EQ(try_read64(map, &v), -14);
    }
    before = page_nr_free();
    mfns[1] = ~0UL >> 12;
    errno = 0;
    CHECK(frames_map(DOMID_SELF, mfns, 2, PROT_KERNEL_RW) == NULL);
    CHECK(errno != 0);
    answer("memory.map-no-frame.errno", errno);
    CHECK_EQ(page_nr_free(), before);
    for (int i = 0; i < 3; i++) {
        static const domid_t ids[] = { 7, DOMID_IO, DOMID_XEN };
        static const char *const what[] = { "memory.map-other-domain.errno", "memory.map-io.errno",
                                            "memory.map-xen.errno" };

        mfns[1] = mfns[0];
        errno = 0;
        map = frames_map(ids[i], mfns, 2, PROT_KERNEL_RW);
        answer(what[i], map ? 0 : errno);
    }
    page_free(a, 1);
    page_free(b, 1);
}

/* Take all that there is, one page in another, then give it back. Growing is part of it. */
static void everything(void)
{
    size_t initial = start_info->nr_pages, n = 0, limit = initial + 2000;
    void **last = NULL;

    for (void **p; n < limit && (p = page_alloc(1)) != NULL; n++) {
        if (!CHECK(p[0] == NULL && p[511] == NULL))
            break;
        p[0] = last;
        p[511] = p;
        last = p;
    }
    printf("%zu pages, of %zu that the domain had at the start\n", n, initial);
    CHECK(n > initial); /* if the machine has them: see guests.tsv */
    for (size_t i = 0; i < n && last; i++) {
        void **next = last[0];

        CHECK(last[511] == last);
        page_free(last, 1);
        last = next;
    }
    CHECK(last == NULL);
}

/* The reservation, as the hypervisor tells it. */
static void reservation(void)
{
    domid_t self = DOMID_SELF, other = 7;
    long now = hc(memory_op, XENMEM_current_reservation, &self);
    long max = hc(memory_op, XENMEM_maximum_reservation, &self);

    answer("memory.current-is-start-info", now == (long)start_info->nr_pages);
    answer("memory.current-below-maximum", now <= max);
    CHECK(answer("memory.current-of-other", hc(memory_op, XENMEM_current_reservation, &other)) < 0);
    CHECK_EQ(answer("memory.current-null", hc(memory_op, XENMEM_current_reservation, 0)), -14);
    CHECK_EQ(answer("memory.unknown", hc(memory_op, 63, 0)), -38);
}

static void heap(void)
{
    size_t bytes = start_info->nr_pages * PAGE_BYTES / 4, before;
    char *big, *again;

    /* More than the machine has: the attempt costs a table at most, once the heap's are there. */
    free(malloc(1));
    errno = 0;
    before = page_nr_free();
    CHECK(malloc(1UL << 30) == NULL);
    CHECK_EQ(errno, ENOMEM);
    CHECK(page_nr_free() + 512 >= before);
    big = calloc(1, bytes);

    if (!CHECK(big != NULL))
        return;
    memset(big, 7, bytes);
    free(big);
    again = calloc(1, bytes);
    if (CHECK(again != NULL)) {
        CHECK_EQ(again[0], 0);
        CHECK_EQ(again[bytes / 2], 0);
        CHECK_EQ(again[bytes - 1], 0);
    }
    free(again);
}

int main(void)
{
    names();
    reservation();
    protection();
    second_mapping();
    heap();
    everything();
    return verdict();
}
