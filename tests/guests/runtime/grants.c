/*
 * Grants, by a domain that grants to itself: mapped, copied, in use, taken back; the table at its
 * largest; references that are bad; several vCPUs. Where the hypervisor has no grants: all say so.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/clock.h>
#include <rt/cpu.h>
#include <rt/grant.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/thread.h>
#include <rt/trap.h>
#include <rt/verdict.h>

enum {
    SELF = 0,
    /* the initial domain */ OTHER = 77,
    /* none */ NR = 70 /* more than two batches */
};

static grant_handle_t handles[NR];
static grant_ref_t refs[NR];
static char *pages[NR];

/* What is mapped and what is free, to be the same afterwards. */
static size_t free_before;

static void *page(void)
{
    void *p = page_alloc(1);

    if (p == NULL)
        verdict_error("no memory");
    return p;
}

static grant_ref_t give(const void *p, bool read_only)
{
    int ref = grant_access(SELF, virt_to_mfn(p), read_only);

    CHECK(ref >= GNTTAB_NR_RESERVED_ENTRIES);
    return (grant_ref_t)ref;
}

static void no_grants(void)
{
    uint32_t nr, max;
    struct gnttab_copy copy = { .len = 1 };
    grant_ref_t ref = 8;
    grant_handle_t handle = 0;
    char *p = page();
    size_t before;
    bool ok = true;

    ok &= CHECK_EQ(grant_table_size(&nr, &max), -38);
    ok &= CHECK_EQ(grant_access(SELF, virt_to_mfn(p), false), -38);
    ok &= CHECK_EQ(grant_end(ref), -22);
    ok &= CHECK(!grant_in_use(ref));
    ok &= CHECK_EQ(grants_copy(&copy, 1), -38);
    ok &= CHECK_EQ(grant_copy_from(SELF, ref, 0, virt_to_mfn(p), 0, 1), -38);
    ok &= CHECK_EQ(grant_copy_to(SELF, ref, 0, virt_to_mfn(p), 0, 1), -38);
    ok &= CHECK(grants_map(SELF, &ref, 1, false, &handle) == NULL && errno == ENOSYS);
    before = page_nr_free(); /* the tables of the addresses are there */
    for (int i = 0; i < 3; i++)
        ok &= CHECK(grants_map(SELF, &ref, 1, false, &handle) == NULL && errno == ENOSYS);
    ok &= CHECK_EQ(page_nr_free(), before);
    ok &= CHECK_EQ(grants_unmap((void *)MAP_BASE, &handle, 1), -38);
    if (ok)
        verdict_skip("no grants: -ENOSYS");
}

/* One page for writing, one not. */
static void two_pages(void)
{
    char *a = page(), *b = page(), *m, *ro;
    grant_ref_t r[2] = { give(a, false), give(b, true) };
    grant_handle_t h[2];
    uint64_t v = 0;

    m = grants_map(SELF, r, 1, false, h);
    ro = grants_map(SELF, r + 1, 1, true, h + 1);
    if (!CHECK(m != NULL && ro != NULL))
        return;
    CHECK(grant_in_use(r[0]));
    CHECK(grant_in_use(r[1]));
    strcpy(m + 100, "through the grant");
    CHECK(strcmp(a + 100, "through the grant") == 0);
    strcpy(b + 4000, "the page itself");
    CHECK(strcmp(ro + 4000, "the page itself") == 0);
    CHECK_EQ(try_write64((uint64_t *)ro, 1), -14);
    CHECK_EQ(grant_end(r[0]), -16);
    CHECK_EQ(grant_end(r[1]), -16);
    CHECK_EQ(m[100], 't'); /* still there */
    CHECK_EQ(grants_unmap(m, h, 1), 0);
    CHECK_EQ(try_read64((uint64_t *)m, &v), -14);
    CHECK(!grant_in_use(r[0]));
    CHECK_EQ(grants_unmap(ro, h + 1, 1), 0);
    CHECK_EQ(try_read64((uint64_t *)ro, &v), -14);

    errno = 0;
    CHECK(grants_map(SELF, r + 1, 1, false, h) == NULL); /* read-only is read-only */
    CHECK_EQ(errno, EINVAL);
    CHECK(!grant_in_use(r[1]));

    CHECK_EQ(grant_end(r[0]), 0);
    CHECK_EQ(grant_end(r[0]), -22);
    CHECK_EQ(grant_end(r[1]), 0);
    errno = 0;
    CHECK(grants_map(SELF, r, 1, false, h) == NULL);
    CHECK_EQ(errno, EINVAL);
    CHECK_EQ(a[100], 't');
    page_free(a, 1);
    page_free(b, 1);
}

/* Many at once; then with one bad among them, at each end and in the middle of a batch. */
static void batches(void)
{
    static const size_t bad_at[] = { 0, 31, 32, 50, NR - 1 };
    char *m;

    for (size_t i = 0; i < NR; i++) {
        pages[i] = page();
        refs[i] = give(pages[i], false);
        pages[i][i] = (char)i;
    }
    for (int round = 0; round < 5; round++) {
        m = grants_map(SELF, refs, NR, round & 1, handles);
        if (!CHECK(m != NULL))
            return;
        for (size_t i = 0; i < NR; i++)
            CHECK_EQ(m[i * PAGE_BYTES + i], (char)i);
        CHECK_EQ(grants_unmap(m, handles, NR), 0);
    }
    for (size_t k = 0; k < sizeof(bad_at) / sizeof(bad_at[0]); k++) {
        grant_ref_t good = refs[bad_at[k]];

        refs[bad_at[k]] = 1u << 30;
        errno = 0;
        CHECK(grants_map(SELF, refs, NR, false, handles) == NULL);
        CHECK_EQ(errno, EINVAL);
        refs[bad_at[k]] = good;
        for (size_t i = 0; i < NR; i++)
            CHECK(!grant_in_use(refs[i]));
    }
    CHECK(grants_map(SELF, refs, 0, false, handles) == NULL);
    for (size_t i = 0; i < NR; i++) {
        CHECK_EQ(grant_end(refs[i]), 0);
        page_free(pages[i], 1);
    }
}

static void copies(void)
{
    char *a = page(), *b = page();
    uint64_t mfn = virt_to_mfn(b);
    grant_ref_t rw = give(a, false), ro = give(a, true);
    struct gnttab_copy ops[2];

    strcpy(a + 10, "from the grant");
    CHECK_EQ(grant_copy_from(SELF, ro, 10, mfn, 3000, 15), 0);
    CHECK(strcmp(b + 3000, "from the grant") == 0);
    CHECK_EQ(b[2999], 0);
    CHECK_EQ(b[3015], 0);
    strcpy(b + 1, "to the grant");
    CHECK_EQ(grant_copy_to(SELF, rw, 4083, mfn, 1, 13), 0);
    CHECK(strcmp(a + 4083, "to the grant") == 0);
    CHECK_EQ(a[4082], 0);
    CHECK(!grant_in_use(rw) && !grant_in_use(ro)); /* in use no longer than that */

    CHECK_EQ(grant_copy_to(SELF, ro, 0, mfn, 0, 8), -22);
    CHECK_EQ(grant_copy_to(SELF, rw, 4090, mfn, 0, 8), -22);
    CHECK_EQ(grant_copy_from(SELF, rw, 0, mfn, 4090, 8), -22);
    CHECK_EQ(grant_copy_from(SELF, 1u << 30, 0, mfn, 0, 8), -22);
    CHECK_EQ(grant_copy_from(OTHER, rw, 0, mfn, 0, 8), -3);
    CHECK_EQ(a[0], 0);

    /* One bad, the other done all the same. */
    for (int i = 0; i < 2; i++)
        ops[i] = (struct gnttab_copy){
            .source = { .u.ref = i ? rw : 1u << 30, .domid = SELF, .offset = 10 },
            .dest = { .u.gmfn = mfn, .domid = DOMID_SELF },
            .len = 15,
            .flags = GNTCOPY_source_gref
        };
    CHECK_EQ(grants_copy(ops, 2), -22);
    CHECK_EQ(ops[0].status, GNTST_bad_gntref);
    CHECK_EQ(ops[1].status, GNTST_okay);
    CHECK(strcmp(b, "from the grant") == 0);

    CHECK_EQ(grant_end(rw), 0);
    CHECK_EQ(grant_end(ro), 0);
    CHECK_EQ(grant_copy_from(SELF, rw, 0, mfn, 0, 8), -22);
    page_free(a, 1);
    page_free(b, 1);
}

static void bad_references(void)
{
    char *p = page();
    int ref = grant_access(OTHER, virt_to_mfn(p), false);
    grant_ref_t r = (grant_ref_t)ref;
    grant_handle_t h = 0;

    CHECK(ref > 0);                                    /* who it is for need not exist yet */
    CHECK(grants_map(SELF, &r, 1, false, &h) == NULL); /* it is not for us */
    CHECK_EQ(errno, EINVAL);
    errno = 0;
    CHECK(grants_map(OTHER, &r, 1, false, &h) == NULL); /* no such domain */
    CHECK_EQ(errno, ESRCH);
    CHECK_EQ(grant_end(r), 0);
    CHECK_EQ(grant_end(0), -22);
    CHECK_EQ(grant_end(GNTTAB_NR_RESERVED_ENTRIES - 1), -22);
    CHECK_EQ(grant_end(UINT32_MAX), -22);
    CHECK(!grant_in_use(UINT32_MAX));
    CHECK_EQ(grant_access(SELF, 1UL << 32, false), -22);
    /* A frame that there is not: it can be granted, but not mapped. */
    ref = grant_access(SELF, UINT32_MAX - 1, false);
    r = (grant_ref_t)ref;
    CHECK(ref > 0);
    CHECK(grants_map(SELF, &r, 1, false, &h) == NULL);
    CHECK_EQ(grant_end(r), 0);
    page_free(p, 1);
}

/* Every reference there can be, then all given back. */
static void whole_table(void)
{
    uint32_t nr, max;
    char *p = page(), *m;
    size_t want, got;
    grant_ref_t *all;
    grant_handle_t h;
    long ref = 0;

    CHECK_EQ(grant_table_size(&nr, &max), 0);
    CHECK(nr >= 1 && nr <= max);
    want = (max < MAX_GRANT_FRAMES ? max : MAX_GRANT_FRAMES) * 512UL - GNTTAB_NR_RESERVED_ENTRIES;
    all = malloc((want + 1) * sizeof(*all));
    if (all == NULL)
        verdict_error("no memory");
    for (got = 0; got <= want; got++) {
        ref = grant_access(SELF, virt_to_mfn(p), false);
        if (ref < 0)
            break;
        all[got] = (grant_ref_t)ref;
    }
    CHECK_EQ(ref, -28);
    CHECK_EQ(got, want);
    CHECK_EQ(grant_table_size(&nr, &max), 0);
    printf("grant table: %u frames of %u, %zu references\n", nr, max, got);
    if (got) {
        m = grants_map(SELF, &all[got - 1], 1, false, &h); /* in the last frame */
        if (CHECK(m != NULL)) {
            m[7] = 7;
            CHECK_EQ(p[7], 7);
            CHECK_EQ(grants_unmap(m, &h, 1), 0);
        }
    }
    while (got)
        CHECK_EQ(grant_end(all[--got]), 0);
    free(all);
    page_free(p, 1);
}

/* ---- several vCPUs ---- */

enum { NR_THREADS = 4, ROUNDS = 60 };

static void all_at_once(void *arg)
{
    grant_handle_t h[3];
    grant_ref_t r[3];
    char *own[3], *m;

    for (int i = 0; i < 3; i++)
        own[i] = page();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 3; i++)
            r[i] = give(own[i], false);
        m = grants_map(SELF, r, 3, false, h);
        if (!CHECK(m != NULL))
            return;
        for (int i = 0; i < 3; i++)
            m[(size_t)i * PAGE_BYTES + (size_t)round] = (char)(long)arg;
        thread_yield();
        for (int i = 0; i < 3; i++)
            CHECK_EQ(own[i][round], (char)(long)arg);
        CHECK_EQ(grants_unmap(m, h, 3), 0);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(grant_end(r[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        page_free(own[i], 1);
}

static grant_ref_t contested;
static unsigned int phase; /* the mapper has come that far */

/* One maps as long as it is possible; the other ends the grant in between. */
static void mapper(void *arg)
{
    grant_handle_t h;
    uint64_t v;
    char *m;

    (void)arg;
    while ((m = grants_map(SELF, &contested, 1, false, &h)) != NULL) {
        __atomic_fetch_add(&phase, 1, __ATOMIC_SEQ_CST);
        CHECK_EQ(try_read64((uint64_t *)m, &v), 0); /* as long as it is mapped it is ours */
        CHECK_EQ(v, 0x1234);
        CHECK_EQ(grants_unmap(m, &h, 1), 0);
        thread_yield();
    }
    CHECK_EQ(errno, EINVAL);
}

static void taken_back_under_way(void)
{
    uint64_t *p = page(), end;
    unsigned int busy = 0;

    *p = 0x1234;
    for (int round = 0; round < 20; round++) {
        struct thread *t;
        long rc;

        phase = 0;
        contested = give(p, false);
        t = thread_create("mapper", mapper, NULL);
        if (t == NULL)
            verdict_error("no memory for a thread");
        end = clock_now() + 10 * NS_PER_S;
        while (__atomic_load_n(&phase, __ATOMIC_SEQ_CST) < 2 && clock_now() < end)
            thread_yield();
        while ((rc = grant_end(contested)) == -16 && clock_now() < end) {
            busy++;
            thread_yield();
        }
        CHECK_EQ(rc, 0);
        thread_join(t);
    }
    printf("a grant that another vCPU maps: in use %u times\n", busy);
    page_free(p, 1);
}

static void several_vcpus(void)
{
    struct thread *threads[NR_THREADS];

    printf("%u vCPUs\n", cpus_start());
    for (long i = 0; i < NR_THREADS; i++)
        if ((threads[i] = thread_create("grants", all_at_once, (void *)(i + 1))) == NULL)
            verdict_error("no memory for a thread");
    for (int i = 0; i < NR_THREADS; i++)
        thread_join(threads[i]);
    taken_back_under_way();
}

int main(void)
{
    uint32_t nr, max;

    if (grant_table_size(&nr, &max) == -38) {
        no_grants();
        return verdict();
    }
    two_pages();
    batches();
    copies();
    bad_references();
    whole_table();
    free_before = page_nr_free(); /* all tables are there by now */
    two_pages();
    batches();
    CHECK_EQ(page_nr_free(), free_before);
    several_vcpus();
    return verdict();
}
