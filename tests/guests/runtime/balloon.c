/* The balloon: down as far as it goes, up again, beyond, and both while other vCPUs allocate. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/trap.h>
#include <rt/verdict.h>

#include <xen/memory.h>

enum { FEW = 64 };

/* As the hypervisor counts. */
static long reservation(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

/* All that can be had, in a list, or all of them back. */
static void **take_all(size_t *n)
{
    void **last = NULL;

    for (void **p; (p = page_alloc(1)) != NULL; ++*n) {
        CHECK(p[0] == NULL && p[511] == NULL);
        CHECK_EQ(virt_to_mfn(p), pfn_to_mfn(virt_to_pfn(p)));
        CHECK(mfn_to_virt(virt_to_mfn(p)) == p);
        p[0] = last;
        p[511] = p;
        last = p;
    }
    return last;
}

static void free_all(void **last)
{
    while (last) {
        void **next = last[0];

        if (!CHECK(last[511] == last))
            return;
        page_free(last, 1);
        last = next;
    }
}

static void down_and_up(size_t start)
{
    long before = reservation();
    size_t free_before = page_nr_free(), now, n = 0;
    char *known = page_alloc(1);
    void **list;
    uint64_t v;

    memset(known, 0x77, PAGE_BYTES);
    page_free(known, 1);

    now = balloon(start - 1000);
    CHECK_EQ(now, start - 1000);
    CHECK_EQ(before - reservation(), 1000);
    CHECK_EQ(free_before - page_nr_free(), 1000);

    now = balloon(0); /* as far as it goes */
    CHECK(now > 0 && now < start - free_before + FEW);
    CHECK_EQ(before - reservation(), (long)(start - now));
    CHECK(page_nr_free() < FEW);
    CHECK_EQ(pfn_to_mfn(virt_to_pfn(known)), P2M_NONE);
    CHECK_EQ(virt_to_mfn(known), 0);
    CHECK_EQ(try_read64((uint64_t *)known, &v), -14);
    CHECK_EQ(try_write64((uint64_t *)known, 1), -14);

    /* The border: what is left is handed out, and no more is asked for. */
    list = take_all(&n);
    CHECK(n < FEW);
    CHECK_EQ(reservation(), before - (long)(start - now));
    CHECK_EQ(page_nr_free(), 0);
    CHECK(malloc(1 << 20) == NULL);
    free_all(list);

    CHECK_EQ(balloon(start - 500), start - 500);
    CHECK_EQ(before - reservation(), 500);
    CHECK_EQ(balloon(start), start);
    CHECK_EQ(reservation(), before);
    CHECK_EQ(page_nr_free(), free_before);
    CHECK_EQ(balloon(start), start);
    n = 0;
    list = take_all(&n); /* each is there once, mapped, and zero */
    CHECK_EQ(n, free_before);
    CHECK_EQ(reservation(), before);
    free_all(list);
}

/* More than the domain was born with, what the machine has, and back. */
static void beyond(size_t start)
{
    long before = reservation();
    size_t now, n = 0;
    void **list;

    CHECK_EQ(balloon(start + 700), start + 700);
    CHECK_EQ(reservation() - before, 700);
    list = take_all(&n);
    CHECK_EQ(reservation() - before, 700); /* the target is a border, too */
    free_all(list);
    now = balloon(SIZE_MAX);
    CHECK(now > start + 700);
    CHECK_EQ(reservation() - before, (long)(now - start));
    printf("%zu pages, %zu at the start\n", now, start);
    CHECK_EQ(balloon(start), start);
    CHECK_EQ(reservation(), before);
}

/* Nothing is free; a higher target makes room, also for pages in a row. */
static void nothing_free(size_t start)
{
    size_t low = balloon(0), n = 0;
    void **list;

    list = take_all(&n); /* the rest, too */
    CHECK_EQ(balloon(low), low);
    CHECK(page_alloc(1) == NULL);
    CHECK_EQ(balloon(low + 300), low + 300);
    for (int i = 0; i < 2; i++) {
        void *many = page_alloc(32); /* in a row */

        if (CHECK(many != NULL))
            page_free(many, 32);
    }
    free_all(list);
    CHECK_EQ(balloon(start), start);
}

/* ---- several vCPUs ---- */

static volatile bool stop;
static unsigned long rounds, failures;

static void use_pages(void *arg)
{
    uint64_t *mine[24], tag = (uint64_t)arg;

    while (!stop) {
        size_t n = 0;

        for (; n < 24 && (mine[n] = page_alloc(1 + n % 3)) != NULL; n++)
            for (size_t i = 0; i < (1 + n % 3) * 512; i += 73)
                mine[n][i] = tag << 32 | n << 16 | i;
        if (n < 24)
            __atomic_fetch_add(&failures, 1, __ATOMIC_RELAXED);
        thread_yield();
        while (n--) {
            for (size_t i = 0; i < (1 + n % 3) * 512; i += 73)
                if (!CHECK_EQ(mine[n][i], tag << 32 | n << 16 | i))
                    return;
            page_free(mine[n], 1 + n % 3);
        }
        __atomic_fetch_add(&rounds, 1, __ATOMIC_RELAXED);
        thread_yield();
    }
}

static void under_load(size_t start)
{
    struct thread *threads[3];
    uint64_t end;
    size_t nr_free;

    printf("%u vCPUs\n", cpus_start());
    nr_free = page_nr_free();
    for (size_t i = 0; i < 3; i++)
        if ((threads[i] = thread_create("user", use_pages, (void *)(i + 1))) == NULL)
            verdict_error("no memory for a thread");
    end = clock_now() + 20 * NS_PER_S;
    for (int i = 0; i < 6 || (rounds < 100 && clock_now() < end); i++) {
        size_t low = balloon(i == 3 ? 0 : start - 1500);

        CHECK(low <= start - 1500);
        thread_yield();
        CHECK_EQ(balloon(start), start);
        thread_yield();
    }
    stop = true;
    for (int i = 0; i < 3; i++)
        thread_join(threads[i]);
    printf("%lu rounds, in %lu there was not enough\n", rounds, failures);
    CHECK(rounds >= 100);
    CHECK_EQ(page_nr_free(), nr_free);
}

int main(void)
{
    size_t start;

    free(malloc(1)); /* the heap's first pages and tables */
    start = start_info->nr_pages;
    down_and_up(start);
    beyond(start);
    nothing_free(start);
    under_load(start);
    return verdict();
}
