/*
 * hypercall/: dispatch, continuations, multicalls, memory_op, and what each handler answers to bad
 * input. Hypercalls go through hypercall_dispatch(), as from a guest; the heap is the real one.
 */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/types.h"

#include <xen/callback.h>
#include <xen/memory.h>
#include <xen/nmi.h>
#include <xen/platform.h>
#include <xen/sysctl.h>
#include <xen/version.h>

#include "hypercall_stubs.h"

#define RAM_FRAMES 8192u
#define GUEST_RIP 0x100000ULL

static struct domain *dom, *other;
static struct vcpu *v0;
static struct cpu_user_regs *regs;
static unsigned int restarts;
static uint64_t free_at_start;
static unsigned int list_at; /* in_list() */

static struct {
    uint8_t bytes[1 << 16];
} guest __attribute__((aligned(4096))); /* the guest's memory: everything it passes lies here */
static const uint64_t bad_va = 0x10;

static uint64_t va(void *p) { return (uint64_t)(uintptr_t)p; }

static void setup(void)
{
    fake_reset(2);
    if (fake_ram == NULL) {
        fake_ram_create(RAM_FRAMES);
        heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
    }
    free_at_start = heap_free_pages();
    dom = fake_domain(0, 2);
    other = fake_domain(7, 1);
    dom->is_privileged = dom->is_hwdom = true;
    other->max_pages = 64;
    dom->next = other;
    domain_list = dom;
    for (unsigned int i = 0; i < 2; i++)
        dom->vcpu[i]->arch.traps = calloc(256, sizeof(struct guest_trap));
    v0 = dom->vcpu[0];
    fake_current(v0);
    regs = arch_guest_regs();
    memset(&guest, 0, sizeof(guest));
    memset(&efi_info, 0, sizeof(efi_info));
    fake_guest_map(&guest, sizeof(guest), FAKE_READ_WRITE);
    preempt_every = preempt_asked = restarts = list_at = 0;
    frames_rc = 0;
    nr_blocked = nr_yielded = nr_shutdowns = 0;
    gdt_of = ldt_of = root_of = user_root_of = NULL;
}

static void drop_domain(struct domain *d)
{
    d->is_dying = true;
    free_page(d->memory_map);
    while (domain_relinquish_pages(d) == -ERESTART)
        ;
    CU_ASSERT_EQUAL(d->nr_pages, 0);
    CU_ASSERT_EQUAL(fake_refs(d), 1);
    fake_domain_free(d);
}

static void teardown(void)
{
    preempt_every = 0;
    for (unsigned int i = 0; i < 2; i++)
        free(dom->vcpu[i]->arch.traps);
    drop_domain(dom);
    drop_domain(other);
    domain_list = NULL;
    CU_ASSERT_EQUAL(heap_audit(), 0);
    CU_ASSERT_EQUAL(heap_free_pages(), free_at_start);
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
}

/* One SYSCALL, executed again as long as the hypervisor wants it. */
static long call(uint64_t nr, uint64_t a, uint64_t b, uint64_t c)
{
    regs->rax = nr;
    regs->rdi = a;
    regs->rsi = b;
    regs->rdx = c;
    for (;;) {
        regs->rip = GUEST_RIP;
        hypercall_dispatch(regs);
        if (regs->rip == GUEST_RIP)
            return (long)regs->rax;
        CU_ASSERT_EQUAL_FATAL(regs->rip, GUEST_RIP - 2);
        CU_ASSERT_EQUAL_FATAL(regs->rax, nr);
        restarts++;
    }
}

/* ---- dispatch ---- */

static void test_numbers_without_handler_answer_enosys(void)
{
    static const uint64_t none[] = { 11, 31, 41, 43, 47, 48, 63, 64, 65, 1000, 1ULL << 32, ~0ULL };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
        CU_ASSERT_EQUAL(call(none[i], 0, 0, 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_mmuext_op, 0, 0, 0), 26);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xenpmu_op, 0, 0, 0), -EOPNOTSUPP);
    teardown();
}

/* ---- multicall ---- */

static struct multicall_entry *mc(void) { return (struct multicall_entry *)guest.bytes; }

static void mc_set(unsigned int i, uint64_t op, uint64_t a0, uint64_t a1)
{
    mc()[i] = (struct multicall_entry){ .op = op, .result = 0x55, .args = { a0, a1, 0xaa } };
}

static void test_multicall_runs_each_entry_and_writes_results_only(void)
{
    setup();
    mc_set(0, __HYPERVISOR_xen_version, XENVER_version, 0);
    mc_set(1, 999, 1, 2);
    mc_set(2, __HYPERVISOR_stack_switch, 0x10, 0x1234);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, va(mc()), 3, 0), 0);
    CU_ASSERT_EQUAL(mc()[0].result, (4 << 16 | 17));
    CU_ASSERT_EQUAL((long)mc()[1].result, -ENOSYS);
    CU_ASSERT_EQUAL(mc()[2].result, 0);
    CU_ASSERT_EQUAL(v0->arch.kernel_sp, 0x1234);
    CU_ASSERT_EQUAL(v0->arch.kernel_ss, 0x13);
    CU_ASSERT_EQUAL(mc()[1].op, 999);
    CU_ASSERT_EQUAL(mc()[1].args[2], 0xaa);
    teardown();
}

static void test_multicall_refuses_itself_and_iret_inside(void)
{
    setup();
    mc_set(0, __HYPERVISOR_multicall, va(mc()), 1);
    mc_set(1, __HYPERVISOR_iret, 0, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, va(mc()), 2, 0), 0);
    CU_ASSERT_EQUAL((long)mc()[0].result, -EINVAL);
    CU_ASSERT_EQUAL((long)mc()[1].result, -EINVAL);
    teardown();
}

static void test_multicall_that_overwrites_its_own_list(void)
{
    setup();
    /* entry 0 writes 16 bytes over itself, entry 1 over entry 2's op */
    mc_set(0, __HYPERVISOR_xen_version, XENVER_extraversion, va(&mc()[0]));
    mc_set(1, __HYPERVISOR_xen_version, XENVER_extraversion, va(&mc()[2]));
    mc_set(2, __HYPERVISOR_stack_switch, 0, 0x4444);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, va(mc()), 3, 0), 0);
    CU_ASSERT_EQUAL(mc()[0].result, 0);
    CU_ASSERT_EQUAL((long)mc()[2].result, -ENOSYS);
    CU_ASSERT_EQUAL(v0->arch.kernel_sp, 0);
    teardown();
}

static void test_multicall_faults(void)
{
    setup();
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, bad_va, 1, 0), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, bad_va, 0, 0), 0);
    mc_set(0, __HYPERVISOR_stack_switch, 0, 1);
    fake_fail_copy(2); /* the result */
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, va(mc()), 1, 0), -EFAULT);
    CU_ASSERT_EQUAL(mc()[0].result, 0x55);
    CU_ASSERT_EQUAL(v0->arch.kernel_sp, 1);
    /* a list that runs out of the guest's memory: those before are done */
    mc_set(0, __HYPERVISOR_stack_switch, 0, 2);
    struct multicall_entry *last = (struct multicall_entry *)(guest.bytes + sizeof(guest)) - 1;
    *last = mc()[0];
    CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, va(last), 2, 0), -EFAULT);
    CU_ASSERT_EQUAL(v0->arch.kernel_sp, 2);
    CU_ASSERT_EQUAL(last->result, 0);
    teardown();
}

/* The same list with and without preemption at each question. */
static void test_multicall_continues_between_and_inside_entries(void)
{
    struct xen_memory_reservation *r = (void *)(guest.bytes + 0x1000);
    xen_pfn_t *list = (void *)(guest.bytes + 0x2000);

    for (unsigned int every = 0; every <= 3; every++) {
        setup();
        preempt_every = every;
        *r = (struct xen_memory_reservation){ .nr_extents = 20, .domid = DOMID_SELF };
        set_xen_guest_handle(r->extent_start, list);
        for (unsigned int i = 0; i < 20; i++)
            list[i] = 100 + i;
        mc_set(0, __HYPERVISOR_stack_switch, 0, 77);
        mc_set(1, __HYPERVISOR_memory_op, XENMEM_populate_physmap, va(r));
        for (unsigned int i = 2; i < 20; i++)
            mc_set(i, __HYPERVISOR_xen_version, XENVER_version, 0);
        CU_ASSERT_EQUAL(call(__HYPERVISOR_multicall, va(mc()), 20, 0), 0);
        CU_ASSERT_EQUAL(mc()[0].result, 0);
        CU_ASSERT_EQUAL(mc()[1].result, 20);
        for (unsigned int i = 2; i < 20; i++)
            CU_ASSERT_EQUAL(mc()[i].result, (4 << 16 | 17));
        CU_ASSERT_EQUAL(dom->nr_pages, 20);
        for (unsigned int i = 0; i < 20; i++)
            CU_ASSERT_EQUAL(m2p_get(_mfn(list[i])), 100 + i);
        CU_ASSERT((every != 0) == (restarts != 0));
        if (every == 1)
            CU_ASSERT_EQUAL(restarts, 3); /* after 16 extents, and before every eighth entry */
        teardown();
    }
}

/* ---- memory_op ---- */

static struct xen_memory_reservation *res(void) { return (void *)(guest.bytes + 0x1000); }
static xen_pfn_t *in_list(void) { return (void *)(guest.bytes + 0x2000 + list_at); }
static xen_pfn_t *out_list(void) { return (void *)(guest.bytes + 0x8000); }
static struct xen_memory_exchange *exch(void) { return (void *)(guest.bytes + 0x1800); }

static long reservation(unsigned int cmd, uint64_t n, unsigned int order, domid_t id)
{
    *res() = (struct xen_memory_reservation){ .nr_extents = n, .extent_order = order, .domid = id };
    set_xen_guest_handle(res()->extent_start, in_list());
    return call(__HYPERVISOR_memory_op, cmd, va(res()), 0);
}

static long exchange(uint64_t in_nr, unsigned int in_order, unsigned int out_order,
                     unsigned int bits)
{
    *exch() = (struct xen_memory_exchange){
        .in = { .nr_extents = in_nr, .extent_order = in_order, .domid = DOMID_SELF },
        .out = { .nr_extents = in_nr << in_order >> out_order,
                 .extent_order = out_order,
                 .mem_flags = bits,
                 .domid = DOMID_SELF },
    };
    set_xen_guest_handle(exch()->in.extent_start, in_list());
    set_xen_guest_handle(exch()->out.extent_start, out_list());
    return call(__HYPERVISOR_memory_op, XENMEM_exchange, va(exch()), 0);
}

static void test_populate_gives_scrubbed_frames_under_their_pfns(void)
{
    setup();
    in_list()[0] = 0x500;
    in_list()[1] = 0x600;
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 2, 3, DOMID_SELF), 2);
    CU_ASSERT_EQUAL(dom->nr_pages, 16);
    for (unsigned int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(in_list()[i] % 8, 0);
        for (unsigned int k = 0; k < 8; k++) {
            mfn_t m = _mfn(in_list()[i] + k);

            CU_ASSERT_EQUAL(m2p_get(m), (i ? 0x600 : 0x500) + k);
            CU_ASSERT_EQUAL(((uint64_t *)mfn_to_virt(m))[17], 0);
            ((uint64_t *)mfn_to_virt(m))[17] = 0x5ec7e7; /* the next owner must not see it */
        }
    }
    CU_ASSERT_EQUAL(reservation(XENMEM_decrease_reservation, 2, 3, DOMID_SELF), 2);
    CU_ASSERT_EQUAL(dom->nr_pages, 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 2, 3, 7), 2);
    CU_ASSERT_EQUAL(other->nr_pages, 16);
    CU_ASSERT_EQUAL(((uint64_t *)mfn_to_virt(_mfn(in_list()[0])))[17], 0);
    teardown();
}

static void test_reservation_refusals(void)
{
    setup();
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, bad_va, 0), 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 0, 99), -ESRCH);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 13, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 64, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, ~0ULL, 0, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 65, 0, 7), 64); /* max_pages */
    CU_ASSERT_EQUAL(other->nr_pages, 64);
    CU_ASSERT_EQUAL(reservation(XENMEM_decrease_reservation, 1, 0, DOMID_SELF),
                    0); /* not its own */
    in_list()[0] = ~0ULL;
    CU_ASSERT_EQUAL(reservation(XENMEM_decrease_reservation, 1, 12, DOMID_SELF), 0);
    in_list()[0] = RAM_FRAMES - 1;
    CU_ASSERT_EQUAL(reservation(XENMEM_decrease_reservation, 1, 1, DOMID_SELF), 0);
    fake_current(other->vcpu[0]);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 10, DOMID_SELF), 0); /* its order: 9 */
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_machine_memory_map, va(res()), 0), -EPERM);
    fake_current(v0);
    CU_ASSERT_EQUAL(dom->nr_pages, 0);
    /* the n-th copy fails: in, list entry, list entry back */
    for (unsigned int n = 1; n <= 3; n++) {
        in_list()[0] = 5;
        fake_fail_copy(n);
        CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 2, DOMID_SELF), 0);
        CU_ASSERT_EQUAL(dom->nr_pages, 0);
        fake_fail_copy(0);
    }
    teardown();
}

/* A list of which the second page is not there, or not to be written: what is on the first is done. */
static void test_reservations_stop_at_the_page_that_is_not_there(void)
{
    for (unsigned int misalign = 0; misalign < 8; misalign++) {
        const unsigned int n = misalign ? 20 : 21; /* before the end of the page */
        xen_pfn_t frames[40];
        uint8_t *list;

        setup();
        list_at = 0x1000 - 21 * 8 + misalign;
        list = guest.bytes + 0x2000 + list_at;
        fake_guest_unmap_all();
        fake_guest_map(&guest, 0x3000, FAKE_READ_WRITE);
        for (uint64_t pfn = 0; pfn < 40; pfn++)
            memcpy(list + 8 * pfn, &pfn, 8);
        *res() = (struct xen_memory_reservation){ .nr_extents = 40, .domid = DOMID_SELF };
        res()->extent_start.p = (void *)list;
        CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, va(res()), 0), n);
        CU_ASSERT_EQUAL(dom->nr_pages, n);
        memcpy(frames, list, sizeof(frames));
        for (unsigned int i = 0; i < 40; i++)
            CU_ASSERT_EQUAL(i < n ? m2p_get(_mfn(frames[i])) : frames[i], i);
        CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, va(res()), 0), n);
        CU_ASSERT_EQUAL(dom->nr_pages, 0);
        fake_guest_unmap_all();
        fake_guest_map(&guest, 0x2000, FAKE_READ_WRITE);
        fake_guest_map(guest.bytes + 0x2000, 0x2000, FAKE_READ_ONLY);
        CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_populate_physmap, va(res()), 0), 0);
        CU_ASSERT_EQUAL(dom->nr_pages, 0);
        for (unsigned int i = 0; i < n; i++)
            CU_ASSERT_EQUAL(m2p_get(_mfn(frames[i])), INVALID_M2P_ENTRY);
        teardown();
    }
}

static void test_exchange_refusals_change_nothing(void)
{
    uint64_t pfn0;

    setup();
    for (unsigned int i = 0; i < 64; i++)
        in_list()[i] = i;
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 64, 0, DOMID_SELF), 64);
    for (unsigned int i = 0; i < 64; i++)
        out_list()[i] = 0x1000 + 8 * i;
    pfn0 = m2p_get(_mfn(in_list()[0]));
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_exchange, bad_va, 0), -EFAULT);
    CU_ASSERT_EQUAL(exchange(8, 13, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(exchange(8, 0, 13, 0), -EPERM);
    CU_ASSERT_EQUAL(exchange(7, 0, 3, 0), -EINVAL); /* 7 frames for none */
    CU_ASSERT_EQUAL(exchange(12, 0, 3, 0), -EINVAL);
    CU_ASSERT_EQUAL(exchange(8, 0, 3, 13), -EINVAL); /* 8 pages below 8 KiB */
    CU_ASSERT_EQUAL(exchange(8, 0, 3, 20), -ENOMEM);
    CU_ASSERT_EQUAL(exch()->nr_exchanged, 0);
    *exch() = (struct xen_memory_exchange){ .in = { .nr_extents = 8, .domid = 99 },
                                            .out = { .nr_extents = 8, .domid = 99 } };
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_exchange, va(exch()), 0), -ESRCH);
    exch()->in.domid = DOMID_SELF;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_exchange, va(exch()), 0), -EINVAL);
    exch()->out.domid = DOMID_SELF;
    exch()->nr_exchanged = 9;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_exchange, va(exch()), 0), -EINVAL);
    exch()->in.nr_extents = exch()->out.nr_extents = 1ULL << 63;
    exch()->in.extent_order = exch()->out.extent_order = 1; /* both overflow to 0 */
    exch()->nr_exchanged = 0;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_exchange, va(exch()), 0), -EINVAL);
    /* the fourth frame is in use, and then the same one twice */
    CU_ASSERT(page_get(_mfn(in_list()[3]), dom) != NULL);
    CU_ASSERT_EQUAL(exchange(8, 0, 3, 0), -EINVAL);
    page_put(mfn_to_page(_mfn(in_list()[3])));
    xen_pfn_t keep = in_list()[3];
    in_list()[3] = in_list()[2];
    CU_ASSERT_EQUAL(exchange(8, 0, 3, 0), -EINVAL);
    in_list()[3] = keep;
    CU_ASSERT_EQUAL(dom->nr_pages, 64);
    CU_ASSERT_EQUAL(out_list()[0], 0x1000);
    CU_ASSERT_EQUAL(m2p_get(_mfn(in_list()[0])), pfn0);
    CU_ASSERT_EQUAL(exchange(8, 0, 3, 0), 0);
    CU_ASSERT_EQUAL(exch()->nr_exchanged, 8);
    CU_ASSERT_EQUAL(m2p_get(_mfn(out_list()[0] + 7)), 0x1007);
    teardown();
}

static void test_exchange_stops_at_the_first_bad_step_and_tells_how_far_it_came(void)
{
    setup();
    for (unsigned int i = 0; i < 32; i++)
        in_list()[i] = i;
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 32, 0, DOMID_SELF), 32);
    for (unsigned int i = 0; i < 8; i++)
        out_list()[i] = 0x1000 + 4 * i;
    in_list()[9] = RAM_FRAMES + 5;
    CU_ASSERT_EQUAL(exchange(32, 0, 2, 0), -EINVAL);
    CU_ASSERT_EQUAL(exch()->nr_exchanged, 8);
    CU_ASSERT_EQUAL(m2p_get(_mfn(out_list()[1])), 0x1004);
    CU_ASSERT_EQUAL(out_list()[2], 0x1008);
    CU_ASSERT_EQUAL(dom->nr_pages, 32);
    teardown();
}

static void test_exchange_with_each_copy_failing_loses_no_frame(void)
{
    setup();
    for (unsigned int n = 1; n < 40; n++) {
        for (unsigned int i = 0; i < 8; i++)
            in_list()[i] = i;
        CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 8, 0, DOMID_SELF), 8);
        for (unsigned int i = 0; i < 8; i++)
            out_list()[i] = 0x1000 + i;
        fake_fail_copy(n);
        exchange(8, 0, 2, 0);
        fake_fail_copy(0);
        CU_ASSERT_EQUAL(dom->nr_pages, 8 * n);
        CU_ASSERT_EQUAL(heap_audit(), 0);
    }
    teardown();
}

/* One extent for four others in one step; the n-th of its copies fails: the argument, in, four of out. */
static void test_exchange_that_fails_half_way_leaves_lists_and_frames_as_they_were(void)
{
    setup();
    for (unsigned int n = 1; n <= 1 + 1 + 4 * 2; n++) {
        uint64_t mfn;

        in_list()[0] = 0x800;
        CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 2, DOMID_SELF), 1);
        mfn = in_list()[0];
        ((uint64_t *)mfn_to_virt(_mfn(mfn + 1)))[5] = 0x1234;
        for (unsigned int i = 0; i < 4; i++)
            out_list()[i] = 0x4000 + i;
        fake_fail_copy(n);
        CU_ASSERT_EQUAL(exchange(1, 2, 0, 0), -EFAULT);
        fake_fail_copy(0);
        CU_ASSERT_EQUAL(exch()->nr_exchanged, 0);
        for (unsigned int i = 0; i < 4; i++) {
            CU_ASSERT_EQUAL(out_list()[i], 0x4000 + i);
            CU_ASSERT_EQUAL(m2p_get(_mfn(mfn + i)), 0x800 + i);
        }
        CU_ASSERT_EQUAL(((uint64_t *)mfn_to_virt(_mfn(mfn + 1)))[5], 0x1234);
        CU_ASSERT_EQUAL(dom->nr_pages, 4 * n);
        CU_ASSERT_EQUAL(heap_audit(), 0);
    }
    teardown();
}

/*
 * Random reservations and exchanges against a model: which pfn has which frame. After each step the
 * heap is audited and every frame of the model belongs to the domain and knows its pfn.
 */
#define MODEL_MAX 1024u
static struct {
    uint64_t mfn, pfn;
    bool held;
} model[MODEL_MAX];
static unsigned int nr_model;
static uint64_t next_pfn;

static void model_add(uint64_t mfn, unsigned int order, uint64_t pfn)
{
    for (unsigned int k = 0; k < 1u << order; k++) {
        CU_ASSERT_FATAL(nr_model < MODEL_MAX);
        model[nr_model].mfn = mfn + k;
        model[nr_model].held = false;
        model[nr_model++].pfn = pfn + k;
    }
}

static void model_remove(uint64_t mfn)
{
    for (unsigned int i = 0; i < nr_model; i++)
        if (model[i].mfn == mfn) {
            model[i] = model[--nr_model];
            return;
        }
    CU_FAIL_FATAL("frame not in the model");
}

static void model_check(void)
{
    CU_ASSERT_EQUAL_FATAL(dom->nr_pages, nr_model);
    for (unsigned int i = 0; i < nr_model; i++) {
        uint64_t x = mfn_to_page(_mfn(model[i].mfn))->count_info;

        CU_ASSERT_EQUAL_FATAL(x, (PGC_ALLOCATED | PGC_RAM) + 1 + model[i].held);
        CU_ASSERT_EQUAL_FATAL(m2p_get(_mfn(model[i].mfn)), model[i].pfn);
    }
    CU_ASSERT_EQUAL_FATAL(heap_audit(), 0);
    CU_ASSERT_EQUAL_FATAL(heap_free_pages() + nr_model, free_at_start);
}

static void random_populate(void)
{
    unsigned int order = (unsigned int)rand() % 4, n = 1 + (unsigned int)rand() % (64u >> order);
    uint64_t pfn[64];

    if (nr_model + (n << order) > MODEL_MAX)
        return;
    for (unsigned int i = 0; i < n; i++, next_pfn += 8)
        pfn[i] = in_list()[i] = next_pfn;
    CU_ASSERT_EQUAL_FATAL(reservation(XENMEM_populate_physmap, n, order, DOMID_SELF), (long)n);
    for (unsigned int i = 0; i < n; i++)
        model_add(in_list()[i], order, pfn[i]);
}

static void random_decrease(void)
{
    unsigned int n = MIN(nr_model, 1 + (unsigned int)rand() % 40);
    long done;

    for (unsigned int i = 0; i < n; i++)
        in_list()[i] = model[(unsigned int)rand() % nr_model].mfn; /* maybe one twice */
    for (unsigned int i = 0; i < nr_model; i++)
        for (unsigned int k = 0; k < n; k++)
            if (model[i].held && in_list()[k] == model[i].mfn)
                return; /* would go later, when it is put */
    done = reservation(XENMEM_decrease_reservation, n, 0, DOMID_SELF);
    CU_ASSERT_FATAL(done >= 0 && done <= n);
    for (long i = 0; i < done; i++)
        model_remove(in_list()[i]);
}

static void random_exchange(void)
{
    unsigned int io = 0, oo = (unsigned int)rand() % 4, n = 1 + (unsigned int)rand() % 4;
    unsigned int total = n << oo, used = 0;
    uint64_t pfn[64];
    bool bad = false;
    long rc;

    if (total > nr_model)
        return;
    for (unsigned int i = 0; i < total; i++) {
        unsigned int k = (used + (unsigned int)rand() % 3) % nr_model;

        in_list()[i] = model[k].mfn;
        bad |= model[k].held;
        for (unsigned int j = 0; j < i; j++)
            bad |= in_list()[j] == in_list()[i];
        used = k + 1;
    }
    for (unsigned int i = 0; i < n; i++, next_pfn += 8)
        pfn[i] = out_list()[i] = next_pfn;
    rc = exchange(total, io, oo, rand() % 2 ? 24 : 0);
    CU_ASSERT_FATAL(rc == 0 || (bad && rc == -EINVAL)); /* a frame given twice may have come back */
    for (uint64_t i = 0; i < exch()->nr_exchanged; i++) {
        model_remove(in_list()[i]);
        if ((i + 1) % (1u << oo) == 0)
            model_add(out_list()[i >> oo], oo, pfn[i >> oo]);
    }
}

static void random_hold(void)
{
    unsigned int i = nr_model ? (unsigned int)rand() % nr_model : 0;

    if (nr_model == 0)
        return;
    if (model[i].held)
        page_put(mfn_to_page(_mfn(model[i].mfn)));
    else
        CU_ASSERT_FATAL(page_get(_mfn(model[i].mfn), dom) != NULL);
    model[i].held = !model[i].held;
}

static void test_random_reservations_and_exchanges_keep_the_model(void)
{
    setup();
    srand(1);
    nr_model = 0;
    for (unsigned int step = 0; step < 2000; step++) {
        preempt_every = (unsigned int)rand() % 4;
        list_at = 0xf00 + (unsigned int)rand() % 64 * 8; /* on one page or two */
        switch (rand() % 5) {
        case 0: random_populate(); break;
        case 1:
            if (nr_model)
                random_decrease();
            break;
        case 2: random_hold(); break;
        default: random_exchange(); break;
        }
        model_check();
    }
    CU_ASSERT(restarts > 100);
    for (unsigned int i = 0; i < nr_model; i++)
        if (model[i].held)
            page_put(mfn_to_page(_mfn(model[i].mfn)));
    teardown();
}

static void test_exchange_of_big_extents_for_small_ones(void)
{
    setup();
    in_list()[0] = 0x800;
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 9, DOMID_SELF), 1);
    for (unsigned int i = 0; i < 512; i++)
        out_list()[i] = 0x4000 + i;
    CU_ASSERT_EQUAL(exchange(1, 9, 0, 0), 0);
    CU_ASSERT_EQUAL(exch()->nr_exchanged, 1);
    CU_ASSERT_EQUAL(dom->nr_pages, 512);
    for (unsigned int i = 0; i < 512; i++)
        CU_ASSERT_EQUAL(m2p_get(_mfn(out_list()[i])), 0x4000 + i);
    teardown();
}

static void test_memory_questions(void)
{
    struct xen_machphys_mapping *map = (void *)guest.bytes;
    struct xen_memory_map *e820 = (void *)guest.bytes;
    uint8_t *buf = guest.bytes + 0x3000;
    domid_t *id = (void *)guest.bytes;

    setup();
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_ram_page, 0, 0), RAM_FRAMES - 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_machphys_mapping, va(map), 0), 0);
    CU_ASSERT_EQUAL(map->v_start, 0xffff800000000000ULL);
    CU_ASSERT_EQUAL(map->max_mfn, RAM_FRAMES - 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_machphys_mapping, bad_va, 0), -EFAULT);
    *id = 7;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_reservation, va(id), 0), 64);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_current_reservation, va(id), 0), 0);
    *id = 8;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_reservation, va(id), 0), -ESRCH);
    boot_info.nr_ranges = 2;
    boot_info.ranges[0] = (struct boot_range){ 0, 0x9fc00, BOOT_MEM_RAM };
    boot_info.ranges[1] = (struct boot_range){ 0xf0000, 0x100000, BOOT_MEM_RESERVED };
    e820->nr_entries = 128;
    set_xen_guest_handle(e820->buffer, (void *)buf);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_machine_memory_map, va(e820), 0), 0);
    CU_ASSERT_EQUAL(e820->nr_entries, 2);
    CU_ASSERT_EQUAL(*(uint64_t *)(buf + 8), 0x9fc00);
    CU_ASSERT_EQUAL(buf[20 + 16], 2);
    e820->nr_entries = 1;
    buf[20] = 0x77;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_machine_memory_map, va(e820), 0), 0);
    CU_ASSERT_EQUAL(e820->nr_entries, 1);
    CU_ASSERT_EQUAL(buf[20], 0x77);
    for (unsigned int cmd = 0; cmd < 64; cmd++) /* none of the others has an effect */
        if (cmd == 8 || (cmd >= 15 && cmd <= 17) || (cmd >= 20 && cmd <= 23) || cmd == 25 ||
            cmd == 27 || cmd > 28)
            CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, cmd, va(guest.bytes), 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_get_sharing_freed_pages, bad_va, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_get_sharing_shared_pages, bad_va, 0), 0);
    teardown();
}

static long memop(unsigned int cmd, const void *arg, size_t bytes)
{
    memcpy(guest.bytes, arg, bytes);
    return call(__HYPERVISOR_memory_op, cmd, va(guest.bytes), 0);
}

static long claim(uint64_t pages, domid_t id)
{
    const struct xen_memory_reservation r = { .nr_extents = pages, .domid = id };

    return memop(XENMEM_claim_pages, &r, sizeof(r));
}

static void test_what_is_claimed_others_do_not_get(void)
{
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = 7 };
    uint64_t avail = heap_free_pages();

    setup();
    dom->max_pages = ~0ULL;
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 10, 0, 7), 10);
    CU_ASSERT_EQUAL(claim(10, 7), -EINVAL); /* it has them */
    CU_ASSERT_EQUAL(claim(65, 7), -EINVAL); /* may not have them */
    CU_ASSERT_EQUAL(claim(avail + 1, 0), -ENOMEM);
    CU_ASSERT_EQUAL(claim(~0ULL, 0), -ENOMEM);
    CU_ASSERT_EQUAL(claim(40, 99), -ESRCH);
    CU_ASSERT_EQUAL(claim(0, 7), 0);
    CU_ASSERT_EQUAL(claim(40, 7), 0);
    CU_ASSERT_EQUAL(other->nr_claimed, 30);
    CU_ASSERT_EQUAL(heap_claimed_pages(), 30);
    CU_ASSERT_EQUAL(claim(41, 7), -EINVAL); /* one at a time */
    avail = heap_free_pages() - 30;
    CU_ASSERT_EQUAL(claim(avail + 1, 0), -ENOMEM);
    for (uint64_t done = 0; done < avail; done += 64) { /* domain 0 takes all that there is */
        uint64_t n = MIN(64, avail - done);

        CU_ASSERT_EQUAL_FATAL(reservation(XENMEM_populate_physmap, n, 0, DOMID_SELF), (long)n);
    }
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 0, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_increase_reservation, 1, 0, DOMID_SELF), -ENOSYS);
    CU_ASSERT_EQUAL(heap_free_pages(), 30);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 20, 0, 7), 20); /* for whom they are */
    CU_ASSERT_EQUAL(other->nr_claimed, 10);
    CU_ASSERT_EQUAL(claim(0, 7), 0);
    CU_ASSERT_EQUAL(heap_claimed_pages(), 0);
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 0, DOMID_SELF), 1);
    CU_ASSERT_EQUAL(claim(32, 7), 0);
    other->is_dying = true;
    CU_ASSERT_EQUAL(claim(0, 7), 0);
    CU_ASSERT_EQUAL(claim(32, 7), -EINVAL);
    other->is_dying = false;
    CU_ASSERT_EQUAL(claim(32, 7), 0); /* given up in its end: teardown() */
    r.extent_order = 1;
    CU_ASSERT_EQUAL(memop(XENMEM_claim_pages, &r, sizeof(r)), -EINVAL);
    r = (struct xen_memory_reservation){ .nr_extents = 1, .domid = 7, .mem_flags = 1 };
    CU_ASSERT_EQUAL(memop(XENMEM_claim_pages, &r, sizeof(r)), -EINVAL);
    r.mem_flags = 0;
    set_xen_guest_handle(r.extent_start, in_list());
    CU_ASSERT_EQUAL(memop(XENMEM_claim_pages, &r, sizeof(r)), -EINVAL);
    fake_current(other->vcpu[0]);
    CU_ASSERT_EQUAL(claim(33, DOMID_SELF), -EPERM);
    fake_current(v0);
    teardown();
    CU_ASSERT_EQUAL(heap_claimed_pages(), 0);
}

static void test_a_memory_map_is_set_and_read(void)
{
    struct xen_foreign_memory_map set = { .domid = 7, .map.nr_entries = 3 };
    struct xen_memory_map get = { .nr_entries = 128 };
    uint8_t *in = guest.bytes + 0x3000, *out = guest.bytes + 0x4000;

    setup();
    for (unsigned int i = 0; i < 60; i++)
        in[i] = (uint8_t)(i + 1);
    set_xen_guest_handle(set.map.buffer, (void *)in);
    set_xen_guest_handle(get.buffer, (void *)out);
    fake_current(other->vcpu[0]);
    CU_ASSERT_EQUAL(memop(XENMEM_memory_map, &get, sizeof(get)), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_memory_map, bad_va, 0), -EFAULT);
    fake_current(v0);
    CU_ASSERT_EQUAL(memop(XENMEM_set_memory_map, &set, sizeof(set)), 0);
    CU_ASSERT_EQUAL(memop(XENMEM_memory_map, &get, sizeof(get)), -ENOSYS); /* another's */
    fake_current(other->vcpu[0]);
    CU_ASSERT_EQUAL(memop(XENMEM_memory_map, &get, sizeof(get)), 0);
    CU_ASSERT_EQUAL(((struct xen_memory_map *)guest.bytes)->nr_entries, 3);
    CU_ASSERT_EQUAL(memcmp(in, out, 60), 0);
    CU_ASSERT_EQUAL(out[60], 0);
    get.nr_entries = 1;
    memset(out, 0, 60);
    CU_ASSERT_EQUAL(memop(XENMEM_memory_map, &get, sizeof(get)), 0);
    CU_ASSERT_EQUAL(((struct xen_memory_map *)guest.bytes)->nr_entries, 1);
    CU_ASSERT_EQUAL(out[19], 20);
    CU_ASSERT_EQUAL(out[20], 0);
    set_xen_guest_handle(get.buffer, (void *)bad_va);
    CU_ASSERT_EQUAL(memop(XENMEM_memory_map, &get, sizeof(get)), -EFAULT);
    set.domid = 0;
    CU_ASSERT_EQUAL(memop(XENMEM_set_memory_map, &set, sizeof(set)), -EPERM);
    fake_current(v0);
    set.domid = 99;
    CU_ASSERT_EQUAL(memop(XENMEM_set_memory_map, &set, sizeof(set)), -ESRCH);
    set.domid = 7;
    set.map.nr_entries = PAGE_SIZE / 20 + 1;
    CU_ASSERT_EQUAL(memop(XENMEM_set_memory_map, &set, sizeof(set)), -EINVAL);
    set.map.nr_entries--;
    CU_ASSERT_EQUAL(memop(XENMEM_set_memory_map, &set, sizeof(set)), 0); /* instead of the first */
    CU_ASSERT_EQUAL(other->nr_memory_map, PAGE_SIZE / 20);
    set_xen_guest_handle(set.map.buffer, (void *)bad_va);
    set.map.nr_entries = 1;
    CU_ASSERT_EQUAL(memop(XENMEM_set_memory_map, &set, sizeof(set)), -EFAULT);
    CU_ASSERT_EQUAL(other->nr_memory_map, PAGE_SIZE / 20);
    teardown();
}

static void test_where_the_m2p_is_for_who_maps_it(void)
{
    struct xen_machphys_mfn_list list = { .max_extents = 5 };

    setup();
    set_xen_guest_handle(list.extent_start, in_list());
    CU_ASSERT_EQUAL(memop(XENMEM_machphys_mfn_list, &list, sizeof(list)), 0);
    CU_ASSERT_EQUAL(((struct xen_machphys_mfn_list *)guest.bytes)->nr_extents, 1); /* of 64 KiB */
    CU_ASSERT_EQUAL(in_list()[0], M2P_GFN);
    CU_ASSERT_EQUAL(in_list()[1], 0);
    max_mfn = GIB(5) >> PAGE_SHIFT;
    CU_ASSERT_EQUAL(memop(XENMEM_machphys_mfn_list, &list, sizeof(list)), 0);
    CU_ASSERT_EQUAL(((struct xen_machphys_mfn_list *)guest.bytes)->nr_extents, 5);
    for (unsigned int i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(in_list()[i], M2P_GFN + 512 * i);
    max_mfn++;
    CU_ASSERT_EQUAL(memop(XENMEM_machphys_mfn_list, &list, sizeof(list)), 0);
    CU_ASSERT_EQUAL(((struct xen_machphys_mfn_list *)guest.bytes)->nr_extents, 5); /* of 6 */
    max_mfn = RAM_FRAMES;
    set_xen_guest_handle(list.extent_start, (xen_pfn_t *)bad_va);
    CU_ASSERT_EQUAL(memop(XENMEM_machphys_mfn_list, &list, sizeof(list)), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_machphys_mfn_list, bad_va, 0), -EFAULT);
    teardown();
}

static void test_questions_about_another_domain(void)
{
    domid_t *id = (void *)guest.bytes;
    struct xen_vnuma_topology_info vnuma = { .domid = 7 };

    setup();
    *id = 7;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, va(id), 0), 0);
    other->shared_info->arch.max_pfn = 0x8000;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, va(id), 0), 0x7fff);
    other->shared_info->arch.max_pfn = (unsigned long)-EFAULT + 1; /* no error */
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, va(id), 0), INT64_MAX);
    *id = 99;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, va(id), 0), -ESRCH);
    CU_ASSERT_EQUAL(memop(XENMEM_get_vnumainfo, &vnuma, sizeof(vnuma)), -EOPNOTSUPP);
    fake_current(other->vcpu[0]);
    *id = 0;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_memory_op, XENMEM_maximum_gpfn, va(id), 0), -EPERM);
    fake_current(v0);
    teardown();
}

static void test_the_frames_of_a_grant_table(void)
{
    struct xen_mem_acquire_resource r = { .domid = 7, .type = XENMEM_resource_grant_table }, bad;
    struct xen_mem_acquire_resource *out = (void *)guest.bytes;

    setup();
    other->max_grant_frames = 40;
    CU_ASSERT_EQUAL(memop(XENMEM_acquire_resource, &r, sizeof(r)), 0);
    CU_ASSERT_EQUAL(out->nr_frames, 40);
    set_xen_guest_handle(r.frame_list, in_list());
    r.frame = 1;
    r.nr_frames = 39;
    grant_restarts = 3;
    CU_ASSERT_EQUAL(memop(XENMEM_acquire_resource, &r, sizeof(r)), 0);
    CU_ASSERT_EQUAL(restarts, 3);
    for (unsigned int i = 0; i < 39; i++)
        CU_ASSERT_EQUAL(in_list()[i], 0x501 + i);
    CU_ASSERT_EQUAL(in_list()[39], 0);
#define BAD(change, rc)                                                         \
    do {                                                                        \
        bad = r;                                                                \
        change;                                                                 \
        CU_ASSERT_EQUAL(memop(XENMEM_acquire_resource, &bad, sizeof(bad)), rc); \
    } while (0)
    BAD(bad.nr_frames = 40, -EINVAL);
    BAD(bad.frame = 2, -EINVAL);
    BAD(bad.frame = ~0ULL, -EINVAL);
    BAD(bad.frame = 1ULL << 32, -EINVAL);
    BAD(bad.nr_frames = ~0u, -EINVAL);
    BAD((bad.nr_frames = 0, bad.frame = 99), 0);
    BAD(bad.pad = 1, -EINVAL);
    BAD(bad.id = 1, -EINVAL);
    BAD(bad.type = XENMEM_resource_ioreq_server, -EOPNOTSUPP);
    BAD(bad.type = 3, -EOPNOTSUPP);
    BAD(bad.domid = 99, -ESRCH);
    BAD(bad.frame_list.p = NULL, -EINVAL);
    BAD(bad.frame_list.p = (xen_pfn_t *)bad_va, -EFAULT);
    fake_current(other->vcpu[0]);
    BAD(bad.domid = 0, -EPERM);
    fake_current(v0);
    teardown();
}

/* ---- vCPU state ---- */

static void test_trap_table_is_set_in_pieces_and_sanitised(void)
{
    struct trap_info *t = (void *)guest.bytes;

    setup();
    for (unsigned int i = 0; i < 256; i++)
        t[i] = (struct trap_info){
            .vector = (uint8_t)i, .flags = 0xff, .cs = 0xe008, .address = i + 1
        };
    preempt_every = 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_trap_table, va(t), 0, 0), 0);
    CU_ASSERT_EQUAL(restarts, 16);
    for (unsigned int i = 0; i < 256; i++) {
        CU_ASSERT_EQUAL(v0->arch.traps[i].address, i + 1);
        CU_ASSERT_EQUAL(v0->arch.traps[i].cs, 0xe00b); /* ring 3, whatever was asked for */
        CU_ASSERT_EQUAL(v0->arch.traps[i].flags, 7);
    }
    t[0].address = 1ULL << 47;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_trap_table, va(t), 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(v0->arch.traps[0].address, 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_trap_table, bad_va, 0, 0), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_trap_table, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(v0->arch.traps[9].address, 0);
    teardown();
}

static void test_callbacks(void)
{
    struct callback_register *r = (void *)guest.bytes;
    struct xennmi_callback *n = (void *)guest.bytes;

    setup();
    *r = (struct callback_register){ CALLBACKTYPE_syscall, CALLBACKF_mask_events, 0x1000 };
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_register, va(r), 0), 0);
    CU_ASSERT_EQUAL(v0->arch.syscall_cb.address, 0x1000);
    CU_ASSERT(v0->arch.syscall_cb.mask_events);
    r->address = 0x8000000000000000;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_register, va(r), 0), -EINVAL);
    CU_ASSERT_EQUAL(v0->arch.syscall_cb.address, 0x1000);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_unregister, va(r), 0), -EINVAL);
    r->type = 6;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_register, va(r), 0), -ENOSYS);
    *r = (struct callback_register){ CALLBACKTYPE_sysenter_deprecated, 0, 0x1000 };
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_register, va(r), 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_unregister, va(r), 0), -ENOSYS);
    CU_ASSERT_EQUAL(v0->arch.sysenter_cb.address, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, 2, va(r), 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_callback_op, CALLBACKOP_register, bad_va, 0), -EFAULT);
    n->handler_address = 0x2000;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_nmi_op, XENNMI_register_callback, va(n), 0), 0);
    CU_ASSERT_EQUAL(v0->arch.nmi_cb.address, 0x2000);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_nmi_op, XENNMI_register_callback, bad_va, 0), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_nmi_op, XENNMI_unregister_callback, 0, 0), 0);
    CU_ASSERT_EQUAL(v0->arch.nmi_cb.address, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_nmi_op, 5, 0, 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_callbacks, 1, 2, 1ULL << 63), -EINVAL);
    CU_ASSERT_EQUAL(v0->arch.event_cb.address, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_callbacks, 1, 2, 3), 0);
    CU_ASSERT_EQUAL(v0->arch.failsafe_cb.address, 2);
    teardown();
}

static void test_segments_descriptors_and_debug_registers(void)
{
    setup();
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_segment_base, SEGBASE_FS, 0x1234, 0), 0);
    CU_ASSERT_EQUAL(v0->arch.fs_base, 0x1234);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_segment_base, SEGBASE_FS, 1ULL << 50, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER, 5, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_segment_base, SEGBASE_GS_KERNEL, 6, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_segment_base, SEGBASE_GS_USER_SEL, 0x2b, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_segment_base, 4, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(v0->arch.fs_base, 0x1234);
    CU_ASSERT_EQUAL(v0->arch.gs_base_user, 5);
    CU_ASSERT_EQUAL(v0->arch.gs_base_kernel, 6);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_update_descriptor, 0x1004, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_update_descriptor, 0x1008, 0, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_gdt, va(guest.bytes), MAX_GDT_ENTRIES + 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_gdt, va(guest.bytes), ~0u, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_gdt, bad_va, 16, 0), -EFAULT);
    CU_ASSERT_PTR_NULL(gdt_of);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_gdt, va(guest.bytes), MAX_GDT_ENTRIES, 0), 0);
    CU_ASSERT_PTR_EQUAL(gdt_of, v0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_debugreg, 8, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_debugreg, 3, 0x77, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_get_debugreg, 3, 0, 0), 0x77);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_get_debugreg, 4, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_get_debugreg, ~0ULL, 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_fpu_taskswitch, 1, 0, 0), 0);
    CU_ASSERT_EQUAL(v0->arch.cr0 & 8, 8);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_fpu_taskswitch, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(v0->arch.cr0 & 8, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 2, 0), 0);
    CU_ASSERT_EQUAL(dom->vm_assist, 4);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 6, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 32, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vm_assist, VMASST_CMD_enable, 66, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vm_assist, 2, 2, 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vm_assist, VMASST_CMD_disable, 2, 0), 0);
    CU_ASSERT_EQUAL(dom->vm_assist, 0);
    teardown();
}

/* ---- sched_op, vcpu_op ---- */

static void test_sched_op(void)
{
    struct sched_shutdown *s = (void *)guest.bytes;

    setup();
    v0->info->evtchn_upcall_mask = 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0), 0);
    CU_ASSERT_EQUAL(v0->info->evtchn_upcall_mask, 0);
    CU_ASSERT_EQUAL(nr_blocked, 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0), 0);
    CU_ASSERT_EQUAL(nr_yielded, 1);
    s->reason = SHUTDOWN_crash;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, bad_va, 0), -EFAULT);
    CU_ASSERT_EQUAL(nr_shutdowns, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sched_op, SCHEDOP_shutdown, va(s), 0), 0);
    CU_ASSERT_EQUAL(last_code, SHUTDOWN_crash);
    CU_ASSERT_EQUAL(nr_shutdowns, 1);
    for (unsigned int cmd = 5; cmd < 9; cmd += 1 + (cmd == 5)) /* but watchdog */
        CU_ASSERT_EQUAL(call(__HYPERVISOR_sched_op, cmd, va(guest.bytes), 0), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sched_op_compat, SCHEDOP_shutdown, SHUTDOWN_reboot, 0),
                    -ENOSYS);
    CU_ASSERT_EQUAL(nr_shutdowns, 1);
    teardown();
}

static void test_vcpu_op_initialise_up_down(void)
{
    struct vcpu_guest_context *c = (void *)(guest.bytes + 0x4000);
    struct vcpu *v1;

    setup();
    v1 = dom->vcpu[1];
    v1->pause_flags = VPF_DOWN;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0), 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 0);
    for (unsigned int i = 2; i < 8192; i++)
        CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, i, 0), -ENOENT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, ~0ULL, 0), -ENOENT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, bad_va), -EFAULT);
    c->user_regs.rip = 1ULL << 60;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, va(c)), -EINVAL);
    c->user_regs.rip = 0;
    c->gdt_ents = MAX_GDT_ENTRIES + 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, va(c)), -EINVAL);
    c->gdt_ents = 16;
    frames_rc = -EINVAL;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, va(c)), -EINVAL);
    CU_ASSERT_PTR_NULL(gdt_of);
    CU_ASSERT(!v1->is_initialised);
    frames_rc = 0;
    c->ctrlreg[1] = 0x5000;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, va(c)), 0);
    CU_ASSERT_PTR_EQUAL(root_of, v1);
    CU_ASSERT_PTR_EQUAL(user_root_of, v1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_initialise, 1, va(c)), -EEXIST);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_up, 1, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_down, 1, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0), 0);
    CU_ASSERT_EQUAL(nr_shutdowns, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_down, 0, 0), 0); /* the last one */
    CU_ASSERT_EQUAL(nr_shutdowns, 1);
    CU_ASSERT_EQUAL(last_code, SHUTDOWN_poweroff);
    fake_fail_alloc(0);
    teardown();
}

static void test_vcpu_op_areas_and_timers(void)
{
    uint64_t *arg = (void *)guest.bytes;
    struct vcpu_register_vcpu_info *vi = (void *)guest.bytes;
    struct vcpu_runstate_info *area = (void *)(guest.bytes + 0x800);

    setup();
    v0->runstate.state = RUNSTATE_offline;
    v0->runstate.time[1] = 99;
    *arg = va(area);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, va(arg)),
                    0);
    CU_ASSERT_EQUAL(area->time[1], 99);
    CU_ASSERT_EQUAL(gva_x(v0->runstate_area), va(area));
    *arg = bad_va;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, va(arg)),
                    -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, bad_va),
                    -EFAULT);
    CU_ASSERT_EQUAL(gva_x(v0->runstate_area), va(area));
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, va(arg)),
                    -EFAULT);
    CU_ASSERT_EQUAL(gva_x(v0->time_area), 0);
    *arg = va(area);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, va(arg)),
                    0);
    CU_ASSERT_EQUAL(gva_x(v0->time_area), va(area));
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 1, va(area)), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_get_runstate_info, 1, bad_va), -EFAULT);
    *vi = (struct vcpu_register_vcpu_info){ .mfn = RAM_FRAMES + 1 };
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, va(vi)), -EINVAL);
    in_list()[0] = 0;
    CU_ASSERT_EQUAL(reservation(XENMEM_populate_physmap, 1, 0, DOMID_SELF), 1);
    *vi = (struct vcpu_register_vcpu_info){ .mfn = in_list()[0], .offset = 4 };
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, va(vi)), -EINVAL);
    CU_ASSERT_EQUAL(PGC_COUNT(mfn_to_page(_mfn(in_list()[0]))->count_info), 1);
    arg[0] = 12345, arg[1] = 0;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, va(arg)), 0);
    CU_ASSERT_EQUAL(last_timer, 12345);
    arg[0] = fake_now_ns, arg[1] = VCPU_SSHOTTMR_future;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, va(arg)), -ETIME);
    CU_ASSERT_EQUAL(last_timer, 12345);
    arg[0] = fake_now_ns + 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, va(arg)), 0);
    CU_ASSERT_EQUAL(last_timer, fake_now_ns + 1);
    arg[0] = arg[1] = 0; /* late, but not stopped */
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, va(arg)), 0);
    CU_ASSERT_EQUAL(last_timer, 1);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 1, va(arg)), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, bad_va), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 1, 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0), 0);
    CU_ASSERT_EQUAL(last_timer, 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_set_periodic_timer, 1, va(arg)), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 1, 0), 0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_send_nmi, 1, 0), 0);
    CU_ASSERT(dom->vcpu[1]->nmi_pending);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, VCPUOP_get_physid, 0, va(arg)), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_vcpu_op, 14, 0, va(arg)), -ENOSYS);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_set_timer_op, 777, 0, 0), 0);
    CU_ASSERT_EQUAL(last_timer, 777);
    teardown();
}

/* ---- sysctl, platform_op, xen_version ---- */

static void test_sysctl(void)
{
    struct xen_sysctl *op = (void *)guest.bytes;
    char *keys = (char *)guest.bytes + sizeof(*op);

    setup();
    memset(keys_run, 0, sizeof(keys_run));
    dom->is_privileged = false;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, bad_va, 0, 0), -EPERM);
    dom->is_privileged = true;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, bad_va, 0, 0), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), -EACCES);
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), -ENOSYS);
    op->cmd = XEN_SYSCTL_debug_keys;
    memcpy(keys, "0123456789abcdefg", 18);
    set_xen_guest_handle_raw(op->u.debug_keys.keys, keys);
    op->u.debug_keys.nr_keys = 17;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), -E2BIG);
    op->u.debug_keys.nr_keys = ~0u;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), -E2BIG);
    CU_ASSERT_STRING_EQUAL(keys_run, "");
    op->u.debug_keys.nr_keys = 0;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), 0);
    op->u.debug_keys.nr_keys = 16;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), 0);
    CU_ASSERT_STRING_EQUAL(keys_run, "0123456789abcdef");
    set_xen_guest_handle_raw(op->u.debug_keys.keys, (char *)bad_va);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_sysctl, va(op), 0, 0), -EFAULT);
    CU_ASSERT_STRING_EQUAL(keys_run, "0123456789abcdef");
    teardown();
}

static void test_platform_op(void)
{
    struct xen_platform_op *op = (void *)guest.bytes;

    setup();
    fake_current(other->vcpu[0]);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, bad_va, 0, 0), -EPERM);
    fake_current(v0);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, bad_va, 0, 0), -EFAULT);
    op->cmd = XENPF_settime64;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -EACCES);
    op->interface_version = XENPF_INTERFACE_VERSION;
    op->u.settime64.secs = 42;
    op->u.settime64.mbz = 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -EINVAL);
    op->u.settime64.mbz = 0;
    op->u.settime64.nsecs = 1000000000;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -EINVAL);
    CU_ASSERT_EQUAL(last_wallclock, 0);
    op->u.settime64.nsecs = 5;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), 0);
    CU_ASSERT_EQUAL(last_wallclock, 42);
    op->cmd = XENPF_firmware_info;
    for (unsigned int type = 0; type < 8; type++) {
        op->u.firmware_info.type = type;
        op->u.firmware_info.index = 0;
        op->u.firmware_info.u.kbd_shift_flags = 9;
        CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), type == 5   ? 0
                                                                      : type == 4 ? -ENOSYS
                                                                      : type == 0 || type > 5
                                                                          ? -EINVAL
                                                                          : -ESRCH);
        CU_ASSERT_EQUAL(op->u.firmware_info.u.kbd_shift_flags, type == 5 ? 0 : 9);
    }
    op->cmd = XENPF_get_cpuinfo;
    acpi_info.cpus[1] = (struct acpi_cpu){ .apic_id = 4, .acpi_id = 2 };
    op->u.pcpu_info.xen_cpuid = 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), 0);
    CU_ASSERT_EQUAL(op->u.pcpu_info.apic_id, 4);
    CU_ASSERT_EQUAL(op->u.pcpu_info.max_present, 1);
    op->u.pcpu_info.xen_cpuid = 64;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), 0);
    CU_ASSERT_EQUAL(op->u.pcpu_info.flags, XEN_PCPU_FLAGS_INVALID);
    op->cmd = XENPF_enter_acpi_sleep;
    op->u.enter_acpi_sleep = (struct xenpf_enter_acpi_sleep){ .sleep_state = 3 };
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -EOPNOTSUPP);
    op->u.enter_acpi_sleep.sleep_state = 6;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -EINVAL);
    op->u.enter_acpi_sleep.sleep_state = 5;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -EIO);
    for (unsigned int cmd = 0; cmd < 80; cmd++) {
        if (cmd == XENPF_settime64 || cmd == XENPF_firmware_info || cmd == XENPF_get_cpuinfo ||
            cmd == XENPF_enter_acpi_sleep)
            continue;
        op->cmd = cmd;
        CU_ASSERT_EQUAL(call(__HYPERVISOR_platform_op, va(op), 0, 0), -ENOSYS);
    }
    teardown();
}

/* What firmware left, as XENPF_firmware_info tells it. */
static const struct efi_info some_efi = {
    .is_efi = true,
    .revision = 2 << 16 | 70,
    .runtime_revision = 2 << 16 | 60,
    .config_tables = 0x7fe00018,
    .nr_config_tables = 11,
};
static struct xen_platform_op *efi_op(uint32_t index)
{
    struct xen_platform_op *op = (void *)guest.bytes;

    memset(guest.bytes, 0x5a, sizeof(*op));
    op->cmd = XENPF_firmware_info;
    op->interface_version = XENPF_INTERFACE_VERSION;
    op->u.firmware_info.type = XEN_FW_EFI_INFO;
    op->u.firmware_info.index = index;
    return op;
}
static long efi_call(struct xen_platform_op *op)
{
    return call(__HYPERVISOR_platform_op, va(op), 0, 0);
}

static void test_a_bios_machine_has_no_efi_information(void)
{
    setup();
    efi_info = some_efi;
    efi_info.is_efi = false;
    for (uint32_t index = 0; index < 8; index++) {
        struct xen_platform_op *op = efi_op(index);

        CU_ASSERT_EQUAL(efi_call(op), -ENOSYS);
        CU_ASSERT_EQUAL(op->u.firmware_info.u.efi_info.version, 0x5a5a5a5a);
    }
    teardown();
}

static void test_efi_versions_and_tables_are_told(void)
{
    struct xen_platform_op *op;

    setup();
    efi_info = some_efi;
    op = efi_op(XEN_FW_EFI_VERSION);
    CU_ASSERT_EQUAL(efi_call(op), 0);
    CU_ASSERT_EQUAL(op->u.firmware_info.u.efi_info.version, 2 << 16 | 70);
    op = efi_op(XEN_FW_EFI_RT_VERSION);
    CU_ASSERT_EQUAL(efi_call(op), 0);
    CU_ASSERT_EQUAL(op->u.firmware_info.u.efi_info.version, 2 << 16 | 60);
    op = efi_op(XEN_FW_EFI_CONFIG_TABLE);
    CU_ASSERT_EQUAL(efi_call(op), 0);
    CU_ASSERT_EQUAL(op->u.firmware_info.u.efi_info.cfg.addr, 0x7fe00018);
    CU_ASSERT_EQUAL(op->u.firmware_info.u.efi_info.cfg.nent, 11);
    teardown();
}

static void test_efi_information_that_was_not_collected_is_refused(void)
{
    static const uint32_t index[] = { XEN_FW_EFI_VENDOR,
                                      XEN_FW_EFI_MEM_INFO,
                                      XEN_FW_EFI_PCI_ROM,
                                      XEN_FW_EFI_APPLE_PROPERTIES,
                                      7,
                                      ~0u };

    setup();
    efi_info = some_efi;
    for (unsigned int i = 0; i < ARRAY_SIZE(index); i++)
        CU_ASSERT_EQUAL(efi_call(efi_op(index[i])), -EOPNOTSUPP);
    teardown();
}

static void test_domains_without_privilege_learn_nothing_of_efi(void)
{
    struct xen_platform_op *op;

    setup();
    efi_info = some_efi;
    fake_current(other->vcpu[0]);
    op = efi_op(XEN_FW_EFI_CONFIG_TABLE);
    CU_ASSERT_EQUAL(efi_call(op), -EPERM);
    CU_ASSERT_EQUAL(op->u.firmware_info.u.efi_info.cfg.nent, 0x5a5a5a5a);
    fake_current(v0);
    teardown();
}

static void test_xen_version(void)
{
    struct xen_feature_info *f = (void *)guest.bytes;

    setup();
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0), (4 << 16 | 17));
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_capabilities, va(guest.bytes), 0), 0);
    CU_ASSERT_STRING_EQUAL(guest.bytes, "xen-3.0-x86_64");
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_extraversion, va(guest.bytes), 0), 0);
    CU_ASSERT_EQUAL(guest.bytes[15], 0);
    f->submap_idx = 0;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_get_features, va(f), 0), 0);
    CU_ASSERT_EQUAL(f->submap & ~0x228f0u, 0);
    CU_ASSERT(f->submap & 1u << XENFEAT_dom0);
    f->submap_idx = 1;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_get_features, va(f), 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_pagesize, 0, 0), 4096);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_pagesize, va(f), 0), -EINVAL);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_build_id, 0, 0), -ENODATA);
    for (unsigned int cmd = 1; cmd < 10; cmd++)
        if (cmd != XENVER_pagesize)
            CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, cmd, bad_va, 0), -EFAULT);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, 11, va(f), 0), -ENOSYS);
    fake_current(other->vcpu[0]);
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_commandline, va(f), 0), -EPERM);
    f->submap_idx = 0;
    CU_ASSERT_EQUAL(call(__HYPERVISOR_xen_version, XENVER_get_features, va(f), 0), 0);
    CU_ASSERT(!(f->submap & 1u << XENFEAT_dom0));
    fake_current(v0);
    teardown();
}

/* Any number with any arguments: no crash, no lock left, no reference lost (teardown looks). */
static void test_random_arguments(void)
{
    setup();
    srand(2);
    for (unsigned int i = 0; i < 20000; i++) {
        uint64_t a[3];

        for (unsigned int k = 0; k < 3; k++)
            switch (rand() % 4) {
            case 0: a[k] = (uint64_t)rand() % 32; break;
            case 1: a[k] = va(guest.bytes) + (uint64_t)rand() % sizeof(guest); break;
            case 2: a[k] = ~0ULL << rand() % 64; break;
            default: a[k] = (uint64_t)rand() << 33 | (uint64_t)rand() << 2; break;
            }
        ((uint64_t *)guest.bytes)[rand() % 2048] = a[rand() % 3];
        preempt_every = 1 + (unsigned int)rand() % 3;
        regs->rax = (uint64_t)rand() % 66;
        regs->rdi = a[0];
        regs->rsi = a[1];
        regs->rdx = a[2];
        regs->rip = GUEST_RIP;
        hypercall_dispatch(regs);
        CU_ASSERT_FATAL(regs->rip == GUEST_RIP || regs->rip == GUEST_RIP - 2);
        CU_ASSERT_EQUAL_FATAL(fake_locks_held(), 0);
        CU_ASSERT_FATAL(fake_refs(dom) == 1 && fake_refs(other) == 1);
    }
    CU_ASSERT_EQUAL(heap_audit(), 0);
    teardown();
}

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("hypercalls", NULL, NULL);

    CU_ADD_TEST(s, test_numbers_without_handler_answer_enosys);
    CU_ADD_TEST(s, test_multicall_runs_each_entry_and_writes_results_only);
    CU_ADD_TEST(s, test_multicall_refuses_itself_and_iret_inside);
    CU_ADD_TEST(s, test_multicall_that_overwrites_its_own_list);
    CU_ADD_TEST(s, test_multicall_faults);
    CU_ADD_TEST(s, test_multicall_continues_between_and_inside_entries);
    CU_ADD_TEST(s, test_populate_gives_scrubbed_frames_under_their_pfns);
    CU_ADD_TEST(s, test_reservation_refusals);
    CU_ADD_TEST(s, test_reservations_stop_at_the_page_that_is_not_there);
    CU_ADD_TEST(s, test_exchange_refusals_change_nothing);
    CU_ADD_TEST(s, test_exchange_stops_at_the_first_bad_step_and_tells_how_far_it_came);
    CU_ADD_TEST(s, test_exchange_with_each_copy_failing_loses_no_frame);
    CU_ADD_TEST(s, test_exchange_that_fails_half_way_leaves_lists_and_frames_as_they_were);
    CU_ADD_TEST(s, test_exchange_of_big_extents_for_small_ones);
    CU_ADD_TEST(s, test_random_reservations_and_exchanges_keep_the_model);
    CU_ADD_TEST(s, test_memory_questions);
    CU_ADD_TEST(s, test_what_is_claimed_others_do_not_get);
    CU_ADD_TEST(s, test_a_memory_map_is_set_and_read);
    CU_ADD_TEST(s, test_where_the_m2p_is_for_who_maps_it);
    CU_ADD_TEST(s, test_questions_about_another_domain);
    CU_ADD_TEST(s, test_the_frames_of_a_grant_table);
    CU_ADD_TEST(s, test_trap_table_is_set_in_pieces_and_sanitised);
    CU_ADD_TEST(s, test_callbacks);
    CU_ADD_TEST(s, test_segments_descriptors_and_debug_registers);
    CU_ADD_TEST(s, test_sched_op);
    CU_ADD_TEST(s, test_vcpu_op_initialise_up_down);
    CU_ADD_TEST(s, test_vcpu_op_areas_and_timers);
    CU_ADD_TEST(s, test_sysctl);
    CU_ADD_TEST(s, test_platform_op);
    CU_ADD_TEST(s, test_a_bios_machine_has_no_efi_information);
    CU_ADD_TEST(s, test_efi_versions_and_tables_are_told);
    CU_ADD_TEST(s, test_efi_information_that_was_not_collected_is_refused);
    CU_ADD_TEST(s, test_domains_without_privilege_learn_nothing_of_efi);
    CU_ADD_TEST(s, test_xen_version);
    CU_ADD_TEST(s, test_random_arguments);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
