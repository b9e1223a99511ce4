/*
 * The rule: the hypervisor writes a vCPU's runstate and time by the address that the kernel named,
 * as the kernel itself could write there at that moment; and its vcpu_info into a frame that it
 * holds as a writable one. Tried: addresses that are nobody's, the hypervisor's, read-only or page
 * tables; pages that after the registration become read-only, absent, tables or are given back;
 * pages across an edge; an address that means another page to user mode; another vCPU that changes
 * the mapping all the while. No page that is not writable for the kernel may change.
 */
#include "guest.h"

#define BOTH 0x700000UL /* an address that kernel and user mode have, of different pages */
#define POISON 0x5aa55aa55aa55aa5UL
enum { RUNSTATE, TIME, NR_KINDS };
static const char *const kinds[] = { "runstate", "time" };
static const size_t sizes[] = { sizeof(struct vcpu_runstate_info), sizeof(struct vcpu_time_info) };

static long reg(unsigned int kind, unsigned int vcpu, const void *at)
{
    uint64_t area[2] = { (uint64_t)at };

    return hc(vcpu_op,
              kind == TIME ? VCPUOP_register_vcpu_time_memory_area
                           : VCPUOP_register_runstate_memory_area,
              vcpu, area);
}

/* Away from the CPU and back, which is when the areas are written. */
static void away(void)
{
    for (unsigned int i = 0; i < 3; i++) {
        struct sched_poll poll = { .timeout = now_ns(0) + 100000 };

        hc(sched_op, SCHEDOP_poll, &poll);
    }
}

static void poison(void *page)
{
    for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
        ((volatile uint64_t *)page)[i] = POISON;
}

/* How many words differ from what is expected. */
static unsigned int differ(const void *page, uint64_t want)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < PAGE_SIZE / 8; i++)
        n += ((const volatile uint64_t *)page)[i] != want;
    return n;
}

/* True if the page is written to while this vCPU is away. */
static bool changes(const void *page)
{
    static uint64_t before[PAGE_SIZE / 8];

    memcpy(before, page, PAGE_SIZE);
    away();
    return memcmp(before, page, PAGE_SIZE) != 0;
}

static long answer(unsigned int kind, const char *what, long got, long want)
{
    char name[64];
    unsigned int n = 0;

    for (const char *s = kinds[kind]; *s; s++)
        name[n++] = *s;
    name[n++] = '.';
    for (; *what && n < sizeof(name) - 1; what++)
        name[n++] = *what;
    name[n] = 0;
    return attack(name, got, want);
}

static void refused(unsigned int kind)
{
    char *page = page_alloc(), *hole = page_alloc(), *ro = page_alloc();
    const struct {
        const char *what;
        uint64_t at;
    } bad[] = {
        { "unmapped", 0x1000 },
        { "hole", (uint64_t)hole },
        { "half", (uint64_t)hole - 8 },
        { "hypervisor", HYPERVISOR_VIRT_START + 0x30000001000 },
        { "hypervisor-first", HYPERVISOR_VIRT_START },
        { "hypervisor-last", HYPERVISOR_VIRT_END - 8 },
        { "before-hypervisor", HYPERVISOR_VIRT_START - 8 },
        { "noncanonical", NONCANONICAL },
        { "edge", (1UL << 47) - 8 },
        { "wraps", ~0UL - 7 },
        { "read-only", (uint64_t)ro },
        { "root", (uint64_t)kernel_root + 3072 },
        { "M2P", MACH2PHYS_VIRT_START + 4096 },
    };

    CHECK_EQ(update_va(hole, 0, UVMF_INVLPG), 0);
    poison(ro);
    page_set_ro(ro);
    for (unsigned int i = 0; i < ARRAY_SIZE(bad); i++) {
        answer(kind, bad[i].what, reg(kind, 0, (void *)bad[i].at), -EFAULT);
        away();
    }
    CHECK_EQ(differ(ro, POISON), 0);
    CHECK_EQ(hc(vcpu_op,
                kind == TIME ? VCPUOP_register_vcpu_time_memory_area
                             : VCPUOP_register_runstate_memory_area,
                0, hole),
             -EFAULT);
    CHECK_EQ(reg(kind, 99, page), -ENOENT);
    CHECK_EQ(reg(kind, 0, 0), 0);
    witness_check();
}

/* Registered in a page that is then no longer what it was. */
static void changed(unsigned int kind)
{
    char *page = page_alloc(), *other = page_alloc();
    xen_pfn_t mfn = virt_to_mfn(page);
    xen_pfn_t frames[14] = { mfn };
    struct xen_memory_reservation give = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(give.extent_start, &mfn);
    poison(page);
    CHECK_EQ(reg(kind, 0, page + 64), 0);
    away();
    CHECK(differ(page, POISON) > 0 && differ(page, POISON) <= sizes[kind] / 8);
    /* read-only */
    poison(page);
    page_set_ro(page);
    answer(kind, "then-read-only", changes(page), 0);
    /* a page table, with an entry where the area is; and a table of descriptors */
    page_set_rw(page);
    CHECK_EQ(reg(kind, 0, 0), 0);
    memset(page, 0, PAGE_SIZE);
    CHECK_EQ(reg(kind, 0, page + 64), 0);
    CHECK_EQ(update_va(page, mfn << 12 | (PTE_FLAGS & ~PTE_RW), UVMF_INVLPG), 0);
    memset(other, 0, PAGE_SIZE);
    /* what was written there is no table; clear it by another mapping */
    CHECK_EQ(update_va(other, mfn << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    memset(other, 0, PAGE_SIZE);
    page_set_rw(other);
    CHECK_EQ(pin(1, page), 0);
    away();
    answer(kind, "then-table", differ(page, 0), 0);
    CHECK_EQ(unpin(page), 0);
    CHECK_EQ(hc(set_gdt, frames, 512), 0);
    away();
    answer(kind, "then-descriptors", differ(page, 0), 0);
    CHECK_EQ(hc(set_gdt, frames, 0), 0);
    /* its address leads elsewhere: to a table; to nothing; to a page that is given back */
    CHECK_EQ(update_va(page, virt_to_mfn(kernel_root) << 12 | (PTE_FLAGS & ~PTE_RW), UVMF_INVLPG),
             0);
    memcpy(other, page, PAGE_SIZE);
    away();
    answer(kind, "then-root",
           memcmp(other, page, 256 * 8) | memcmp(other + 2176, page + 2176, 1920), 0);
    CHECK_EQ(update_va(page, 0, UVMF_INVLPG), 0);
    away();
    CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &give), 1);
    away();
    answer(kind, "then-given-back", update_va(page, mfn << 12 | PTE_FLAGS, UVMF_INVLPG), -EBUSY);
    /* and to the page next door: which is as good as any */
    poison(other);
    CHECK_EQ(update_va(page, virt_to_mfn(other) << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    away();
    CHECK(differ(other, POISON) > 0);
    CHECK_EQ(reg(kind, 0, 0), 0);
    poison(other);
    away();
    CHECK_EQ(differ(other, POISON), 0); /* no more, when it is taken back */
    witness_check();
}

/* Across an edge, misaligned; and then half of it cannot be written. */
static void across(unsigned int kind)
{
    char *first = page_alloc(), *second = page_alloc();

    if (second != first + PAGE_SIZE)
        error("the pages are apart");
    for (unsigned int i = 1; i < sizes[kind]; i++) {
        CHECK_EQ(reg(kind, 0, 0), 0); /* the one before is not written behind the poison */
        poison(first);
        poison(second);
        CHECK_EQ(reg(kind, 0, second - i), 0);
        if (i % 8 == 1)
            away();
        CHECK(differ(first, POISON) <= (i + 7) / 8);
        CHECK(differ(second, POISON) <= (sizes[kind] - i + 7) / 8);
        if (i % 8)
            continue;
        poison(second);
        page_set_ro(second);
        CHECK(!changes(second));
        page_set_rw(second);
        poison(first);
        poison(second);
        page_set_ro(first);
        CHECK(!changes(first));
        page_set_rw(first);
    }
    CHECK_EQ(reg(kind, 0, 0), 0);
    witness_check();
}

extern char u_spin[];
__asm__(".pushsection .user, \"ax\"\n.globl u_spin\nu_spin: 1: pause\n jmp 1b\n.popsection");

/* The address is the kernel's, whatever user mode has there. */
static void user_mode(unsigned int kind, char *users, char *kernels)
{
    static struct cpu_user_regs r;
    unsigned int port = (unsigned int)bind_virq(VIRQ_TIMER, 0);

    poison(users);
    CHECK_EQ(reg(kind, 0, (void *)(BOTH + 8)), 0);
    for (unsigned int i = 0; i < 5; i++) {
        poison(kernels);
        port_clear_pending(port);
        vcpu_info(0)->evtchn_pending_sel = 0;
        vcpu_info(0)->evtchn_upcall_pending = 0;
        hc(set_timer_op, now_ns(0) + 1000000);
        user_regs_init(&r, u_spin);
        CHECK_EQ(user_run(&r), ENTRY_EVENT);
        hc(sched_op, SCHEDOP_yield, 0);
        CHECK_EQ(differ(users, POISON), 0);
        away();
        CHECK(differ(kernels, POISON) > 0);
    }
    /* absent for the kernel, writable for the user */
    CHECK_EQ(reg(kind, 0, 0), 0);
    CHECK_EQ(update_va((void *)BOTH, 0, UVMF_INVLPG), 0);
    answer(kind, "user-only", reg(kind, 0, (void *)(BOTH + 8)), -EFAULT);
    CHECK_EQ(differ(users, POISON), 0);
    CHECK_EQ(update_va((void *)BOTH, virt_to_mfn(kernels) << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    port_close(port);
    witness_check();
}

/* ---- another vCPU changes the mapping ---- */

static char *volatile moving;
static uint64_t moving_to[3];
static volatile uint64_t moves;
static volatile bool stop, stopped;

static void mover(void)
{
    while (!stop) {
        if (moving) {
            update_va(moving, moving_to[moves % 3], UVMF_INVLPG | UVMF_ALL);
            moves = moves + 1;
        }
        cpu_relax();
    }
    stopped = true;
    for (;;)
        hc(vcpu_op, VCPUOP_down, 1, 0);
}

static void race(unsigned int kind)
{
    char *page = page_alloc(), *table = page_alloc(), *ro = page_alloc();
    uint64_t end = now_ns(0) + 300000000, from = moves;

    poison(ro);
    page_set_ro(ro);
    page_set_ro(table);
    CHECK_EQ(pin(1, table), 0);
    CHECK_EQ(reg(kind, 0, page + 128), 0);
    moving_to[0] = virt_to_mfn(table) << 12 | (PTE_FLAGS & ~PTE_RW);
    moving_to[1] = virt_to_mfn(page) << 12 | PTE_FLAGS;
    moving_to[2] = virt_to_mfn(ro) << 12 | (PTE_FLAGS & ~PTE_RW);
    moving = page;
    while (now_ns(0) < end || (moves < from + 300 && now_ns(0) < end + PATIENCE_NS)) {
        away();
        reg(kind, 0, page + 128);
    }
    moving = NULL;
    CHECK(moves >= from + 300);
    answer(kind, "race-table", differ(table, 0), 0);
    answer(kind, "race-read-only", differ(ro, POISON), 0);
    from = moves;
    away();
    CHECK_EQ(reg(kind, 0, 0), 0);
    page_set_rw(page);
    CHECK_EQ(unpin(table), 0);
    witness_check();
}

/* ---- vcpu_info ---- */

static volatile unsigned int ran;

static void on_two(void)
{
    for (unsigned int i = 0; i < 10; i++) {
        hc(sched_op, SCHEDOP_yield, 0);
        ran = ran + 1;
    }
    for (;;)
        hc(vcpu_op, VCPUOP_down, 2, 0);
}

static long info_at(unsigned int vcpu, uint64_t mfn, uint32_t offset)
{
    struct vcpu_register_vcpu_info info = { .mfn = mfn, .offset = offset };

    return hc(vcpu_op, VCPUOP_register_vcpu_info, vcpu, &info);
}

static void infos(void)
{
    char *page = page_alloc(), *table = page_alloc(), *gdt = page_alloc();
    uint64_t mfn = virt_to_mfn(page), end, foreign = 0;
    xen_pfn_t frames[14] = { virt_to_mfn(gdt) }, given = mfn;
    struct xen_memory_reservation give = { .nr_extents = 1, .domid = DOMID_SELF };

    set_xen_guest_handle(give.extent_start, &given);
    page_set_ro(table);
    CHECK_EQ(pin(1, table), 0);
    page_set_ro(gdt);
    CHECK_EQ(hc(set_gdt, frames, 512), 0);
    attack("info.root", info_at(2, virt_to_mfn(kernel_root), 0), -EINVAL);
    attack("info.table", info_at(2, virt_to_mfn(table), 64), -EINVAL);
    attack("info.descriptors", info_at(2, virt_to_mfn(gdt), 64), -EINVAL);
    attack("info.APIC", info_at(2, 0xfee00, 0x80), -EINVAL);
    attack("info.none", info_at(2, ~0UL, 0), -EINVAL);
    attack("info.beyond", info_at(2, 1UL << 40, 0), -EINVAL);
    attack("info.offset", info_at(2, mfn, PAGE_SIZE - 56), -EINVAL);
    attack("info.offset-page", info_at(2, mfn, PAGE_SIZE), -EINVAL);
    attack("info.offset-max", info_at(2, mfn, ~0u), -EINVAL);
    attack("info.offset-wraps", info_at(2, mfn, -64u), -EINVAL);
    attack("info.misaligned", info_at(2, mfn, 1), -EINVAL);
    attack("info.misaligned-4", info_at(2, mfn, 4), -EINVAL);
    attack("info.running", info_at(1, mfn, 0), -EINVAL);
    attack("info.no-vcpu", info_at(4, mfn, 0), -ENOENT);
    for (uint64_t m = 0; m < start_info->nr_pages; m += 37) {
        uint64_t pfn = machine_to_phys_mapping[m];

        if (pfn < start_info->nr_pages && pfn_to_mfn(pfn) == m)
            continue;
        foreign += info_at(2, m, 0) != -EINVAL;
    }
    attack("info.foreign", (long)foreign, 0);
    CHECK_EQ(differ(table, 0) + differ(gdt, 0) + differ(page, 0), 0);
    /* where it may be, and there it stays */
    CHECK_EQ(info_at(2, mfn, PAGE_SIZE - 64), 0);
    attack("info.twice", info_at(2, mfn, 0), -EINVAL);
    page_set_ro(page);
    CHECK(pin(1, page) < 0); /* it is written all the while */
    frames[0] = mfn;
    CHECK(hc(set_gdt, frames, 512) < 0);
    CHECK_EQ(update_va(page, 0, UVMF_INVLPG), 0);
    CHECK_EQ(hc(memory_op, XENMEM_decrease_reservation, &give), 1);
    /* a vCPU whose vcpu_info is in a page that we gave back; it runs, and gets events */
    CHECK_EQ(vcpu_start(2, on_two), 0);
    for (end = now_ns(0) + PATIENCE_NS; ran < 10 && now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK_EQ(ran, 10);
    port_send((unsigned int)bind_ipi(2));
    witness_check();
}

void test_main(void)
{
    char *users = page_alloc(), *kernels = page_alloc();
    uint64_t end;

    attacks_begin();
    events_off();
    hc(vcpu_op, VCPUOP_stop_periodic_timer, 0, 0);
    user_init_with(BOTH, virt_to_mfn(users));
    {
        uint64_t *l3 = page_alloc(), *l2 = page_alloc(), *l1 = page_alloc();

        l1[BOTH >> 12 & 511] = virt_to_maddr(kernels) | PTE_FLAGS;
        l2[BOTH >> 21 & 511] = virt_to_maddr(l1) | PTE_FLAGS;
        l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
        page_set_ro(l1);
        page_set_ro(l2);
        page_set_ro(l3);
        CHECK_EQ(pte_write(&kernel_root[0], virt_to_maddr(l3) | PTE_FLAGS), 0);
    }
    CHECK_EQ(vcpu_start(1, mover), 0);
    for (unsigned int kind = 0; kind < NR_KINDS; kind++) {
        refused(kind);
        changed(kind);
        across(kind);
        user_mode(kind, users, kernels);
        race(kind);
    }
    /* with a mark that the runstate is being written, which is one more word to write */
    CHECK_EQ(hc(vm_assist, VMASST_CMD_enable, VMASST_TYPE_runstate_update_flag), 0);
    across(RUNSTATE);
    infos();
    stop = true;
    for (end = now_ns(0) + PATIENCE_NS; !stopped && now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK(stopped);
}
