/*
 * Multicalls that undermine themselves: entries that change the list while it is executed, take its
 * page away, or make the page something else; nesting and entries that leave the kernel's context;
 * lists that overlap what they write; entries that another vCPU rewrites.
 */
#include "guest.h"

#define CALL(name, ...)                                                      \
    {                                                                        \
        .op = __HYPERVISOR_##name, .result = 0x7777, .args = { __VA_ARGS__ } \
    }
#define PER_PAGE (PAGE_SIZE / sizeof(struct multicall_entry))
#define VERSION (4 << 16 | 17)

static struct multicall_entry *list; /* a page of its own, with one more behind it */
static uint64_t list_pte;

/* In a multicall Xen executes it, with whatever is on the stack: not there. */
static uint64_t iret_op(void) { return on_xen() ? 63 : __HYPERVISOR_iret; }

static const struct multicall_entry version = CALL(xen_version, XENVER_version);

static void fresh(void)
{
    for (unsigned int i = 0; i < 2 * PER_PAGE; i++)
        list[i] = version;
}

static unsigned int done(unsigned int nr)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < nr; i++)
        n += list[i].result == VERSION;
    return n;
}

static long run(uint64_t nr) { return hc(multicall, list, nr); }

static struct multicall_entry set_pte(const void *va, uint64_t pte, uint64_t flags)
{
    struct multicall_entry e = CALL(update_va_mapping, (uint64_t)va, pte, flags);

    return e;
}

/* ---- the list's page goes ---- */

static void page_goes(void)
{
    /* unmapped by an entry: its own result cannot be written */
    fresh();
    list[1] = set_pte(list, 0, UVMF_INVLPG);
    attack("list.unmapped", run(4), -EFAULT);
    CHECK_EQ(update_va(list, list_pte, UVMF_INVLPG), 0);
    CHECK_EQ(list[1].result, 0x7777);
    CHECK_EQ(done(4), 1);

    /* read-only */
    fresh();
    list[1] = set_pte(list, list_pte & ~(uint64_t)PTE_RW, UVMF_INVLPG);
    attack("list.read-only", run(4), -EFAULT);
    CHECK_EQ(update_va(list, list_pte, UVMF_INVLPG), 0);
    CHECK_EQ(list[1].result, 0x7777);
    CHECK_EQ(done(4), 1);

    /* the second page only: what comes before is done */
    fresh();
    list[PER_PAGE - 1] = set_pte(list + PER_PAGE, 0, UVMF_INVLPG);
    attack("list.second-page-unmapped", run(2 * PER_PAGE), -EFAULT);
    CHECK_EQ(update_va(list + PER_PAGE, virt_to_maddr(list + PER_PAGE) | PTE_FLAGS, UVMF_INVLPG),
             0);
    CHECK_EQ(list[PER_PAGE - 1].result, 0);
    CHECK_EQ(done(PER_PAGE), PER_PAGE - 1);
    CHECK_EQ(list[PER_PAGE].result, 0x7777);

    /* another page in its place: the list goes on there */
    fresh();
    list[PER_PAGE + 2].args[0] = XENVER_pagesize;
    list[1] = set_pte(list, virt_to_maddr(list + PER_PAGE) | PTE_FLAGS, UVMF_INVLPG);
    attack("list.replaced", run(4), 0);
    CHECK_EQ(list[2].result, PAGE_SIZE);
    CHECK_EQ(list[1].result, 0);
    CHECK_EQ(update_va(list, list_pte, UVMF_INVLPG), 0);
    CHECK_EQ(list[1].result, 0x7777);
    CHECK_EQ(list[2].result, 0x7777);
}

/* The page as a page table: a list that is read-only and still lies there. */
static void page_is_table(void)
{
    struct mmuext_op pin_op = { .cmd = MMUEXT_PIN_L1_TABLE };
    struct multicall_entry pin_call = CALL(mmuext_op, (uint64_t)&pin_op, 1, 0, DOMID_SELF);

    pin_op.arg1.mfn = virt_to_mfn(list);
    fresh();
    list[1] = pin_call; /* it is mapped writable */
    attack("list.made-table-while-writable", run(3), 0);
    CHECK_EQ(list[1].result, -EINVAL);
    CHECK_EQ(done(3), 2);

    memset(list, 0, PAGE_SIZE);
    list[0].op = 62;
    page_set_ro(list);
    CHECK_EQ(mmuext(MMUEXT_PIN_L1_TABLE, virt_to_mfn(list), 0), 0);
    attack("list.in-table", run(1), -EFAULT);
    CHECK_EQ(list[0].result, 0);
    CHECK_EQ(unpin(list), 0);
    page_set_rw(list);
}

/* Given back to the hypervisor, by decrease_reservation in its own list. */
static void page_given_back(void)
{
    static char page[PAGE_SIZE] __attribute__((aligned(4096)));
    struct multicall_entry *l = (void *)page;
    xen_pfn_t mfn = virt_to_mfn(page), pfn = virt_to_pfn(page);
    struct xen_memory_reservation r = { .nr_extents = 1, .domid = DOMID_SELF };
    uint64_t seen;

    set_xen_guest_handle(r.extent_start, &mfn);
    for (unsigned int i = 0; i < PER_PAGE; i++)
        l[i] = version;
    l[0] = (struct multicall_entry)CALL(memory_op, XENMEM_decrease_reservation, (uint64_t)&r);
    l[1] = set_pte(page, 0, UVMF_INVLPG);
    attack("list.given-back", hc(multicall, page, 3), -EFAULT);
    CHECK(!try_read64((void *)page, &seen));
    /* and it is nobody's: it cannot be mapped any more */
    attack("list.mapped-again", update_va(page, mfn << 12 | PTE_FLAGS, UVMF_INVLPG), -EBUSY);
    set_xen_guest_handle(r.extent_start, &pfn);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), 1);
    ((uint64_t *)start_info->mfn_list)[virt_to_pfn(page)] = pfn;
    CHECK_EQ(update_va(page, pfn << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < PAGE_SIZE / 8; i++) /* Xen does not clear it for the same domain */
        if (((uint64_t *)page)[i] && !on_xen())
            failure("a page came back with its contents");
}

/* Another root, in which the list is not mapped. */
static void root_switched(void)
{
    uint64_t *root = page_alloc(), *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();
    struct mmuext_op op = { .cmd = MMUEXT_NEW_BASEPTR }, back = { .cmd = MMUEXT_NEW_BASEPTR };
    static struct multicall_entry outside[2];
    uint64_t slot = 1UL << 39 | (uint64_t)list % PAGE_SIZE;

    memcpy(root, kernel_root, PAGE_SIZE);
    root[1] = 0;
    op.arg1.mfn = virt_to_mfn(root);
    back.arg1.mfn = virt_to_mfn(kernel_root);
    page_set_ro(root);
    CHECK_EQ(pin(4, root), 0);
    /* the list at an address that only the first root has */
    l1[0] = list_pte;
    l2[0] = virt_to_maddr(l1) | PTE_FLAGS;
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    page_set_ro(l1);
    page_set_ro(l2);
    page_set_ro(l3);
    CHECK_EQ(pte_write(kernel_root + 1, virt_to_maddr(l3) | PTE_FLAGS), 0);
    fresh();
    list[1] = (struct multicall_entry)CALL(mmuext_op, (uint64_t)&op, 1, 0, DOMID_SELF);
    attack("list.root-switched", hc(multicall, slot, 4), -EFAULT);
    outside[0] = (struct multicall_entry)CALL(mmuext_op, (uint64_t)&back, 1, 0, DOMID_SELF);
    outside[1] = version;
    CHECK_EQ(hc(multicall, outside, 2), 0);
    CHECK_EQ(outside[1].result, VERSION);
    CHECK_EQ(done(4), 1);
    CHECK_EQ(list[1].result, 0x7777);
    CHECK_EQ(pte_write(kernel_root + 1, 0), 0);
    CHECK_EQ(unpin(root), 0);
    page_set_rw(root);
    page_set_rw(l1);
}

/* ---- entries that write the list ---- */

/* extraversion is 16 bytes that are no hypercall's number: over the next entries, and over itself. */
static void overlapping(void)
{
    struct mmu_update u;
    uint32_t updates_done;

    fresh();
    list[0] = (struct multicall_entry)CALL(xen_version, XENVER_extraversion, (uint64_t)&list[1]);
    attack("overlap.next-entry", run(3), 0);
    CHECK_EQ(list[0].result, 0);
    CHECK_EQ(list[1].result, -ENOSYS);
    CHECK_EQ(list[2].result, VERSION);

    fresh();
    list[0] =
        (struct multicall_entry)CALL(xen_version, XENVER_extraversion, (uint64_t)&list[0].result);
    attack("overlap.own-result", run(2), 0);
    CHECK_EQ(list[0].result, 0); /* the result comes last */
    CHECK_EQ(list[1].result, VERSION);

    fresh();
    list[0] = (struct multicall_entry)CALL(xen_version, XENVER_extraversion, (uint64_t)&list[0]);
    attack("overlap.own-number", run(2), 0);
    CHECK_EQ(list[0].result, 0);
    CHECK_EQ(list[1].result, VERSION);

    /* the next entry becomes a multicall of this same list, and an iret: by plain mmu_update */
    for (unsigned int i = 0; i < 2; i++) {
        fresh();
        u = (struct mmu_update){ virt_to_maddr(&list[1].op),
                                 i ? iret_op() : __HYPERVISOR_multicall };
        list[0] = (struct multicall_entry)CALL(mmu_update, (uint64_t)&u, 1, (uint64_t)&updates_done,
                                               DOMID_SELF);
        attack(i ? "overlap.becomes-iret" : "overlap.becomes-multicall", run(3), 0);
        CHECK_EQ(list[0].result, 0);
        CHECK_EQ(updates_done, 1);
        CHECK_EQ(list[1].result, i && on_xen() ? -ENOSYS : -EINVAL);
        CHECK_EQ(list[2].result, VERSION);
    }

    /* a list that shifts by less than an entry: results of one in arguments of the next */
    fresh();
    attack("overlap.shifted",
           hc(multicall, (char *)list + sizeof(list[0]) - offsetof(struct multicall_entry, result),
              3) < 0,
           0);
}

/* ---- entries that do not belong in one ---- */

static void strangers(void)
{
    static struct sched_poll poll;
    uint64_t kernel_sp = (uint64_t)trap_stack_top;

    fresh();
    list[0] = (struct multicall_entry)CALL(multicall, (uint64_t)&list[1], 1);
    list[1] = (struct multicall_entry)CALL(multicall, (uint64_t)list, 2);
    list[2].op = iret_op();
    list[3] = (struct multicall_entry)CALL(multicall, (uint64_t)&list[3], 1);
    list[4] = (struct multicall_entry)CALL(multicall, 0, 0);
    attack("strangers", run(6), 0);
    for (unsigned int i = 0; i < 5; i++)
        CHECK_EQ(list[i].result, i == 2 && on_xen() ? -ENOSYS : -EINVAL);
    CHECK_EQ(list[5].result, VERSION);

    /* sleeping inside: an event is pending, or the timer comes */
    fresh();
    poll.timeout = now_ns(0) + 3000000;
    list[0] = (struct multicall_entry)CALL(sched_op, SCHEDOP_yield);
    list[1] = (struct multicall_entry)CALL(sched_op, SCHEDOP_poll, (uint64_t)&poll);
    list[2] = (struct multicall_entry)CALL(set_timer_op, now_ns(0) + 6000000);
    list[3] = (struct multicall_entry)CALL(stack_switch, FLAT_KERNEL_SS, kernel_sp);
    list[4] = (struct multicall_entry)CALL(sched_op, 77);
    attack("strangers.sleep", run(6), 0);
    CHECK_EQ(list[0].result, 0);
    CHECK_EQ(list[1].result, 0);
    CHECK_EQ(list[4].result, -ENOSYS);
    CHECK_EQ(list[5].result, VERSION);

    /* numbers beyond the table */
    fresh();
    for (unsigned int i = 0; i < 63; i++)
        list[i].op = 1UL << i | (i < 6 ? 64 : 0);
    attack("strangers.numbers", run(63), 0);
    for (unsigned int i = 0; i < 63; i++)
        CHECK_EQ(list[i].result, -ENOSYS);

    /* a value that looks like the hypervisor's own sign of preemption */
    CHECK_EQ(hc(set_debugreg, 0, -85L), 0);
    attack("value.get_debugreg", hc(get_debugreg, 0), -85);
    fresh();
    list[0] = (struct multicall_entry)CALL(get_debugreg, 0);
    attack("value.get_debugreg-inside", run(2), 0);
    CHECK_EQ(list[0].result, -85);
    CHECK_EQ(list[1].result, VERSION);
    CHECK_EQ(hc(set_debugreg, 0, 0), 0);
}

/* ---- counts ---- */

static void counts(void)
{
    static const uint64_t nothing[] = { 0, 1UL << 32, 1UL << 63, 0xffffffff00000000UL };
    static const uint64_t huge[] = { 0x7fffffff, 0x80000000, 0xffffffff, ~0UL, 1UL << 31 | 1 };
    char *hole = (char *)list + 2 * PAGE_SIZE;

    for (unsigned int i = 0; i < ARRAY_SIZE(nothing); i++) { /* the ABI's count has 32 bits */
        fresh();
        CHECK_EQ(run(nothing[i]), 0);
        CHECK_EQ(done(2), 0);
    }
    fresh();
    CHECK_EQ(run(1UL << 32 | 1), 0);
    CHECK_EQ(done(2), 1);
    CHECK_EQ(update_va(hole, 0, UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(huge); i++) { /* up to the end of what is there */
        fresh();
        CHECK_EQ(run(huge[i]), -EFAULT);
        CHECK(on_xen() || done(2 * PER_PAGE) == 2 * PER_PAGE);
    }
    /* an entry that ends where memory ends, and one that is cut off */
    for (unsigned int cut = 0; cut < sizeof(version); cut += 8) {
        struct multicall_entry *e = (void *)(hole - sizeof(version) + cut);

        fresh();
        memcpy(e, &version, sizeof(version) - cut);
        CHECK_EQ(hc(multicall, e, 1), cut ? -EFAULT : 0);
    }
}

/* ---- another vCPU rewrites them ---- */

static uint64_t executed, strange, preempted_ok;
static struct multicall_entry *shared_list;
static struct mmu_update shared_updates[64];

/* Two good entries, and the mixtures of their words: only what one of them answers comes out. */
static void rewriting(unsigned int vcpu)
{
    static const struct multicall_entry forms[] = {
        CALL(xen_version, XENVER_version),
        CALL(xen_version, XENVER_pagesize),
        CALL(multicall, 0, 1),
        { .op = 63 },
        { .op = ~0UL },
    };
    volatile struct multicall_entry *l = shared_list;
    unsigned int i;

    if (vcpu) {
        while (phase_on()) {
            i = random() % PER_PAGE;
            l[i].op = random() % 8 ? forms[random() % ARRAY_SIZE(forms)].op : iret_op();
            l[i].args[0] = random() & 1 ? XENVER_pagesize : XENVER_version;
            l[i].args[1] = 0;
        }
        return;
    }
    while (phase_on()) {
        for (i = 0; i < PER_PAGE; i++)
            l[i].result = 0x7777;
        if (hc(multicall, shared_list, PER_PAGE))
            strange++;
        for (i = 0; i < PER_PAGE; i++) {
            long r = (long)l[i].result;

            /* op 23 with arguments: multicall(0 or 10, ...) never runs */
            if (r != VERSION && r != 4096 && r != -EINVAL && r != -ENOSYS)
                strange++;
        }
        executed++;
    }
}

/* Entries that are preempted half way are in guest memory meanwhile: theirs to spoil, and no more. */
static void rewriting_preempted(unsigned int vcpu)
{
    static uint32_t count_out;
    volatile struct multicall_entry *l = shared_list;

    if (vcpu) {
        while (phase_on()) {
            l[0].args[random() % 3] = random() & 1 ? ~0UL : random();
            cpu_relax();
            l[0].args[0] = (uint64_t)shared_updates;
            l[0].args[1] = ARRAY_SIZE(shared_updates);
            l[0].args[2] = (uint64_t)&count_out;
        }
        return;
    }
    while (phase_on()) {
        hc(set_timer_op, now_ns(0) + 20000); /* it preempts */
        l[0] = (struct multicall_entry)CALL(mmu_update, (uint64_t)shared_updates,
                                            ARRAY_SIZE(shared_updates), (uint64_t)&count_out,
                                            DOMID_SELF);
        l[1] = version;
        if (hc(multicall, shared_list, 2) == 0 && l[1].result != VERSION)
            strange++;
        if (l[0].result == 0)
            preempted_ok++;
        executed++;
    }
}

void test_main(void)
{
    char *plain;

    attacks_begin();
    smp_init();
    list = page_alloc();
    page_alloc();
    page_alloc();
    list_pte = virt_to_maddr(list) | PTE_FLAGS;
    page_goes();
    page_is_table();
    page_given_back();
    root_switched();
    witness_check();
    overlapping();
    strangers();
    witness_check();
    counts();
    witness_check();

    shared_list = page_alloc();
    for (unsigned int i = 0; i < PER_PAGE; i++)
        shared_list[i] = version;
    phase("rewriting", 1500, rewriting);
    print("attack_multicall: %lu lists while they changed\n", executed);
    CHECK(executed > 0);
    attack("rewritten.strange", (long)strange, 0);
    plain = page_alloc();
    for (unsigned int i = 0; i < ARRAY_SIZE(shared_updates); i++)
        shared_updates[i] = (struct mmu_update){ virt_to_maddr(plain) + 8 * i, i };
    executed = 0;
    phase("rewriting what is preempted", 1500, rewriting_preempted);
    print("attack_multicall: %lu lists, %lu of them unspoilt\n", executed, preempted_ok);
    attack("rewritten-preempted.strange", (long)strange, 0);
    hc(set_timer_op, 0);
    witness_check();
    fresh();
    CHECK_EQ(run(PER_PAGE), 0);
    CHECK_EQ(done(PER_PAGE), PER_PAGE);
}
