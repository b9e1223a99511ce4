/*
 * paging/ on CPUs that really run at once, a thread each: a hostile guest whose vCPUs pin, link, load,
 * write to, unpin and give back the same few frames. Each CPU has a TLB that is filled by walks and
 * emptied by flushes only; what a CPU can do with what it has in there is looked at while nobody can
 * flush it, so no table may be written to, nor a frame be reached that is not the guest's any more.
 * Meanwhile another domain, which may, maps frames of the guest's, writes to its tables and pins them.
 */
#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "fake.h"
#include "calling.h"
#include "lib/errno.h"
#include "memory/heap.h"
#include "paging/paging.h"

#define NR_FRAMES 256u
#define NR_GUEST_CPUS 3u
#define CONTROL_CPU NR_GUEST_CPUS
#define NR_TEST_CPUS (NR_GUEST_CPUS + 1)
#define GUEST 1
#define NR_GUEST 24u
#define NR_THEIRS 4u
#define NR_STEPS 100000u
#define PATTERN 0x5c5c5c5c5c5c5c5cULL

static struct domain *d, *other;
static _Atomic uint64_t own[NR_GUEST]; /* frames, some of them gone by now */
static uint64_t control_l1;
static _Atomic unsigned int nr_wrong;
static unsigned int nr_steps;
static struct {
    pthread_mutex_t lock; /* while it is used or flushed */
    bool readable[NR_FRAMES], writable[NR_FRAMES];
    uint8_t table[NR_FRAMES];
} tlb[NR_TEST_CPUS];

static _Thread_local unsigned int rng;
static _Thread_local uint64_t continued[6];
static _Thread_local struct mmu_update req[8];
static _Thread_local struct mmuext_op op;

static unsigned int rnd(unsigned int n)
{
    rng = rng * 1664525u + 1013904223u;
    return (rng >> 8) % n;
}

static void expect(bool ok, const char *what, uint64_t m)
{
    if (!ok && atomic_fetch_add(&nr_wrong, 1) < 10)
        fprintf(stderr, "CPU %u: not so: %s: frame %lx, type %lx\n", this_pcpu()->id, what, m,
                frame_table[m].type_info);
}

/* ---- the machine ---- */

void arch_flush_tlb_mask(uint64_t mask)
{
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        if (mask >> i & 1) {
            pthread_mutex_lock(&tlb[i].lock);
            uint64_t t = atomic_fetch_add(&arch_tlb_clock, 1) + 1;
            memset(tlb[i].readable, 0, NR_FRAMES);
            memset(tlb[i].writable, 0, NR_FRAMES);
            memset(tlb[i].table, 0, NR_FRAMES);
            WRITE_ONCE(arch_pcpu(i)->tlb_flush_time, t);
            pthread_mutex_unlock(&tlb[i].lock);
        }
}
void arch_flush_tlb_local(void) { arch_flush_tlb_mask(1ULL << this_pcpu()->id); }
void arch_flush_tlb_page_local(uint64_t va) {}
void arch_flush_tlb_page_mask(uint64_t mask, uint64_t va) {}
void arch_vcpu_roots_changed(struct vcpu *v)
{
    if (v == current)
        arch_flush_tlb_local();
}
uint64_t arch_cpus_online(void) { return (1ULL << NR_TEST_CPUS) - 1; }
bool hypercall_preempt_check(void)
{
    if (rnd(16) == 0)
        sched_yield();
    return rnd(8) == 0;
}
long hypercall_continue(unsigned int nr_args, const uint64_t *args)
{
    memcpy(continued, args, nr_args * sizeof(*args));
    return -ERESTART;
}
size_t arch_copy_from_guest(void *dst, uint64_t va, size_t len)
{
    memcpy(dst, (void *)(uintptr_t)va, len);
    return 0;
}
size_t arch_copy_to_guest(uint64_t va, const void *src, size_t len)
{
    memcpy((void *)(uintptr_t)va, src, len);
    return 0;
}

static _Atomic pte_t *table(uint64_t mfn) { return mfn_to_virt(_mfn(mfn)); }

static bool is_table(uint64_t m)
{
    uint64_t x = atomic_load(&frame_table[m].type_info);

    return (x & PGT_VALID) && PGT_TYPE(x) != PGT_WRITABLE;
}

/* The present CPU's TLB is locked: nothing it has in there may have become something else. */
static void check_frame(uint64_t m, bool writable, unsigned int level)
{
    uint64_t x = atomic_load(&frame_table[m].type_info),
             c = atomic_load(&frame_table[m].count_info);

    expect(!writable || !is_table(m), "a CPU can write to a table", m);
    expect(!level || !(x & PGT_VALID) || PGT_TYPE(x) == level, "walked as another table", m);
    /* what the hypervisor has just allocated may not be flushed yet */
    expect(PGC_COUNT(c) == 0 || this_pcpu()->id == CONTROL_CPU || PGC_OWNER(c) != other->domain_id,
           "another domain's", m);
}

/* Walk as hardware does and keep what was seen. */
static void walk(uint64_t va)
{
    unsigned int cpu = this_pcpu()->id;
    uint64_t m = arch_vcpu_root(current) >> PAGE_SHIFT;
    bool rw = true;

    for (unsigned int level = 4; m && level > 0; level--) {
        _Atomic pte_t *p = &table(m)[pt_index(va, level)];
        pte_t e = atomic_load(p);

        tlb[cpu].table[m] = (uint8_t)level;
        check_frame(m, false, level);
        rw = rw && (e & PTE_RW);
        if (!(e & PTE_P) || !atomic_compare_exchange_strong(p, &e, e | PTE_A))
            return;
        m = pte_mfn(e);
    }
    if (m) {
        tlb[cpu].readable[m] = true;
        tlb[cpu].writable[m] |= rw;
    }
}

static pte_t rnd_entry(unsigned int level);
static unsigned int rnd_index(void) { return rnd(4) * 170; }
static uint64_t rnd_va(void)
{
    return (uint64_t)(rnd(2) * 170) << 39 | (uint64_t)rnd_index() << 30 |
           (uint64_t)rnd_index() << 21 | (uint64_t)rnd_index() << 12;
}

/* All that a CPU can do without us. */
static void run(void)
{
    unsigned int cpu = this_pcpu()->id;

    pthread_mutex_lock(&tlb[cpu].lock);
    for (unsigned int n = rnd(6); n--;)
        walk(rnd_va());
    for (uint64_t m = 1; m < NR_FRAMES; m++) {
        if (tlb[cpu].readable[m] || tlb[cpu].table[m])
            check_frame(m, tlb[cpu].writable[m], tlb[cpu].table[m]);
        if (tlb[cpu].writable[m] && rnd(2))
            atomic_store(&table(m)[rnd_index()], rnd_entry(rnd(4) + 1));
    }
    pthread_mutex_unlock(&tlb[cpu].lock);
}

/* ---- the guest ---- */

static uint64_t rnd_page(unsigned int level)
{
    static const uint8_t first[] = { 13, 7, 4, 2, 0 }, last[] = { 24, 13, 7, 4, 2 };

    if (rnd(12) == 0)
        return own[rnd(NR_GUEST)];
    return own[first[level] + rnd(last[level] - first[level])];
}

static pte_t rnd_entry(unsigned int level)
{
    return rnd(5) ? pte_make(rnd_page(level - 1), PTE_P | PTE_US | (rnd(3) ? PTE_RW : 0)) : 0;
}

static void finish(long rc)
{
    for (unsigned int n = 0; rc == -ERESTART && rnd(8) && n < 1000; n++) { /* or never */
        const uint64_t *a = continued;

        rc = fake_calling == __HYPERVISOR_mmu_update ? hc_mmu_update(a[0], a[1], a[2], a[3], 0)
                                                     : hc_mmuext_op(a[0], a[1], a[2], a[3], 0);
    }
}

static void ext(unsigned int cmd, uint64_t arg, unsigned int nr)
{
    op = (struct mmuext_op){ .cmd = cmd, .arg1.mfn = arg, .arg2.nr_ents = nr };
    finish(hc_mmuext_op((uintptr_t)&op, 1, 0, DOMID_SELF, 0));
}

static void balloon(void)
{
    unsigned int i = rnd(NR_GUEST);
    uint64_t was = own[i];
    mfn_t m = _mfn(was), new;

    if (rnd(2) && domain_steal_page(d, m)) {
        heap_free(m, 0);
    } else if (page_get(m, d)) { /* stays as long as something refers to it */
        page_put_allocated(mfn_to_page(m));
        page_put(mfn_to_page(m));
        return;
    }
    if (domain_alloc_pages(d, 0, 0, &new) == 0 &&
        !atomic_compare_exchange_strong(&own[i], &was, mfn_x(new)))
        page_put_allocated(mfn_to_page(new)); /* two had that idea */
}

/* Another domain gets frames that were the guest's: they stay as it left them. */
static void others_pages(void)
{
    static _Thread_local uint64_t page[NR_THEIRS];
    uint64_t *m = &page[rnd(NR_THEIRS)];
    mfn_t new;

    if (*m) {
        for (unsigned int i = 0; i < PTES_PER_TABLE; i++)
            expect(table(*m)[i] == PATTERN, "another domain's page was changed", *m);
        page_put_allocated(mfn_to_page(_mfn(*m)));
        *m = 0;
    } else if (domain_alloc_pages(other, 0, 0, &new) == 0) {
        *m = mfn_x(new);
        for (unsigned int i = 0; i < PTES_PER_TABLE; i++)
            table(*m)[i] = PATTERN;
    }
}

static void step(void)
{
    unsigned int level = 1 + rnd(4), n = 1 + rnd(8);
    uint64_t m = rnd_page(level), frames[] = { rnd_page(0), rnd_page(0) };
    pte_t seen = rnd_entry(level);

    switch (rnd(16)) {
    case 0:
    case 1:
    case 2:
        for (unsigned int i = 0; i < n; i++) {
            if (rnd(3) == 0)
                m = rnd_page(level = 1 + rnd(4));
            req[i] =
                (struct mmu_update){ .ptr = m << PAGE_SHIFT | rnd_index() * 8 | (rnd(4) ? 0 : 2),
                                     .val = rnd_entry(level) };
        }
        finish(hc_mmu_update((uintptr_t)req, n, 0, DOMID_SELF, 0));
        break;
    case 3:
    case 4:
    case 5: ext(MMUEXT_PIN_L1_TABLE + level - 1, m, 0); break;
    case 6: ext(MMUEXT_UNPIN_TABLE, m, 0); break;
    case 7:
    case 8: ext(MMUEXT_NEW_BASEPTR, rnd_page(4), 0); break;
    case 9: ext(MMUEXT_NEW_USER_BASEPTR, rnd(3) ? rnd_page(4) : 0, 0); break;
    case 10: hc_update_va_mapping(rnd_va(), rnd_entry(1), 0, 0, 0); break;
    case 11:
        m = rnd_page(1);
        paging_emulated_write(current, mfn_to_page(_mfn(m)), mfn_to_virt(_mfn(m)), rnd_entry(1),
                              rnd(2) ? &seen : NULL);
        break;
    case 12: ext(MMUEXT_SET_LDT, rnd_va(), rnd(1000)); break;
    case 13: vcpu_set_gdt(current, frames, rnd(1000)); break;
    case 14: balloon(); break;
    default: desc_update(d, rnd_page(0) << PAGE_SHIFT, 0); others_pages();
    }
}

static void control_update(uint64_t m, uint64_t val, uint32_t foreign)
{
    req[0] = (struct mmu_update){ .ptr = m << PAGE_SHIFT | rnd_index() * 8 | (rnd(4) ? 0 : 2),
                                  .val = val };
    finish(hc_mmu_update((uintptr_t)req, 1, 0, foreign, 0));
}

/* What the control domain does: its L1 maps frames of the guest's at the places that walks go to. */
static void control_step(void)
{
    unsigned int level = 1 + rnd(4);
    uint64_t m = rnd_page(level);

    switch (rnd(8)) {
    case 0:
    case 1: control_update(control_l1, rnd_entry(1), GUEST); break;
    case 2: control_update(control_l1, 0, DOMID_SELF); break;
    case 3: hc_update_va_mapping_otherdomain(rnd_index() << 12, rnd_entry(1), 0, GUEST, 0); break;
    case 4: control_update(m, rnd_entry(level), (GUEST + 1u) << 16 | GUEST); break;
    case 5: /* what was the guest's may be its own by now */
        control_update(control_l1, rnd_entry(1) & ~PTE_RW, DOMID_SELF);
        break;
    default:
        op = (struct mmuext_op){ .cmd =
                                     rnd(2) ? MMUEXT_PIN_L1_TABLE + level - 1 : MMUEXT_UNPIN_TABLE,
                                 .arg1.mfn = m };
        finish(hc_mmuext_op((uintptr_t)&op, 1, 0, GUEST, 0));
    }
}

static void control_setup(void)
{
    mfn_t m[5];

    other->roles = ROLES_ALL;
    other->vcpu[0]->processor = other->vcpu[0]->arch.last_cpu = CONTROL_CPU;
    other->dirty_cpus = 1ULL << CONTROL_CPU;
    for (unsigned int level = 1; level <= 4; level++) {
        CU_ASSERT_EQUAL_FATAL(domain_alloc_pages(other, 0, 0, &m[level]), 0);
        if (level > 1)
            table(mfn_x(m[level]))[0] = pte_make(mfn_x(m[level - 1]), PTE_P | PTE_RW);
    }
    control_l1 = mfn_x(m[1]);
    fake_cpu(CONTROL_CPU);
    fake_current(other->vcpu[0]);
    fake_irqs_on = true;
    while (vcpu_set_root(other->vcpu[0], m[4], false))
        ;
    fake_cpu(0);
}

static void *cpu_thread(void *arg)
{
    unsigned int id = (unsigned int)(uintptr_t)arg;

    fake_cpu(id);
    fake_current(id == CONTROL_CPU ? other->vcpu[0] : d->vcpu[id]);
    fake_irqs_on = true;
    rng = id * 7919 + nr_steps;
    for (unsigned int i = 0; i < nr_steps && !nr_wrong; i++) {
        if (id == CONTROL_CPU)
            control_step();
        else
            step();
        run();
    }
    expect(fake_locks_held() == 0, "no lock is held", 0);
    return NULL;
}

static void test_a_hostile_guest_on_several_cpus(void)
{
    const char *s = getenv("HOSTILE_STEPS");
    pthread_t threads[NR_TEST_CPUS];
    uint64_t all_free;

    nr_steps = s ? (unsigned int)atoi(s) : NR_STEPS;
    fake_reset(NR_TEST_CPUS);
    d = fake_domain(GUEST, NR_GUEST_CPUS);
    other = fake_domain(2, 1);
    d->next = other;
    domain_list = d;
    all_free = heap_free_pages();
    d->max_pages = 2 * NR_GUEST;
    d->dirty_cpus = (1ULL << NR_GUEST_CPUS) - 1;
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++) {
        pthread_mutex_init(&tlb[i].lock, NULL);
        if (i < NR_GUEST_CPUS)
            d->vcpu[i]->processor = d->vcpu[i]->arch.last_cpu = i;
    }
    arch_flush_tlb_mask(arch_cpus_online());
    for (unsigned int i = 0; i < NR_GUEST; i++) {
        mfn_t m = _mfn(0);

        CU_ASSERT_EQUAL_FATAL(domain_alloc_pages(d, 0, 0, &m), 0);
        own[i] = mfn_x(m);
    }
    control_setup();
    for (uintptr_t i = 0; i < NR_TEST_CPUS; i++)
        pthread_create(&threads[i], NULL, cpu_thread, (void *)i);
    for (unsigned int i = 0; i < NR_TEST_CPUS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(nr_wrong, 0);
    if (paging_audit() || heap_audit())
        CU_FAIL("the books are not in order");
    fprintf(stderr, "%s", fake_printed);
    fake_cpu(0);
    d->is_dying = other->is_dying = true;
    while (paging_relinquish(d) || paging_relinquish(other))
        ;
    while (domain_relinquish_pages(d) || domain_relinquish_pages(other))
        ;
    CU_ASSERT_EQUAL(d->nr_pages + other->nr_pages, 0);
    CU_ASSERT_EQUAL(paging_audit(), 0);
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(heap_free_pages(), all_free);
    domain_list = NULL;
    fake_domain_free(d);
    fake_domain_free(other);
}

int main(void)
{
    CU_pSuite s;

    fake_ram_create(NR_FRAMES);
    heap_add_ram(0, NR_FRAMES * PAGE_SIZE);
    heap_free_range(PAGE_SIZE, NR_FRAMES * PAGE_SIZE);
    arch_tlb_clock = 1;
    CU_initialize_registry();
    s = CU_add_suite("paging with threads", NULL, NULL);
    CU_ADD_TEST(s, test_a_hostile_guest_on_several_cpus);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0;
}
