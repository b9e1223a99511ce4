/*
 * Rule 1 from the side of the store: whatever writes through a read-only mapping of a table, a table
 * does not change but by a checked entry. Stores of all kinds (also those that the hypervisor does
 * not emulate, that lie across two pages, or come from user mode), and the hypervisor itself, which
 * writes where a hypercall's arguments point to and into areas that were registered while they were
 * plain memory. dom0_max_vcpus=2: the witness is vCPU 1.
 */
#include "roads.h"

extern char u_store[];
__asm__(".pushsection .user, \"ax\"\n"
        ".globl u_store\n"
        "u_store: mov %rax, (%rdi)\n syscall\n ud2\n"
        ".popsection");

#define NR_TABLES 9u
static struct victim {
    const char *stores, *hypercalls;
    uint64_t *table;
} victims[NR_TABLES] = {
    { "stores.l1", "hypercalls.l1", NULL },
    { "stores.l2", "hypercalls.l2", NULL },
    { "stores.l3", "hypercalls.l3", NULL },
    { "stores.root", "hypercalls.root", NULL },
    { "stores.pinned-l1", "hypercalls.pinned-l1", NULL },
    { "stores.pinned-l4", "hypercalls.pinned-l4", NULL },
    { "stores.gdt", "hypercalls.gdt", NULL },
    { "stores.ldt", "hypercalls.ldt", NULL },
    { "stores.user-root", "hypercalls.user-root", NULL },
};
static uint64_t before[512];

/* Bits that the CPU sets in tables and descriptors by itself do not count. */
static bool changed(const uint64_t *t)
{
    for (unsigned int i = 0; i < 512; i++)
        if ((*(volatile const uint64_t *)&t[i] ^ before[i]) & ~(uint64_t)(PTE_A | PTE_D))
            return true;
    return false;
}

/* ---- instructions ---- */

/* %0 an aligned word in the table, %1 what would make its entry (read-only now) writable. */
/* clang-format off */
#define STORES(DO)                                                                                        \
    DO("mov %1, (%0)") DO("movl %k1, (%0)") DO("movw %w1, (%0)") DO("movb %b1, (%0)")                     \
    DO("movb $0x67, (%0)") DO("movl $0x67, (%0)") DO("movq $0x67, (%0)")                                  \
    DO("movnti %1, (%0)") DO("movnti %k1, (%0)") DO("xchg %1, (%0)") DO("xchg %b1, (%0)")                 \
    DO("mov (%0), %%rax\n lock cmpxchg %1, (%0)") DO("mov (%0), %%rax\n cmpxchg %1, (%0)")                \
    DO("mov (%0), %%al\n lock cmpxchg %b1, (%0)")                                                         \
                                                                                                          \
    DO("mov -8(%0), %%rax\n mov (%0), %%rdx\n mov %1, %%rcx\n mov %%rax, %%rbx\n lock cmpxchg16b -8(%0)") \
    DO("mov $2, %%eax\n lock xadd %%rax, (%0)") DO("lock orq $2, (%0)") DO("lock orb $2, (%0)")           \
    DO("orq $2, (%0)") DO("addq $2, (%0)") DO("lock addb $2, (%0)")                                       \
    DO("lock xorq $2, (%0)") DO("subq $-2, (%0)") DO("stc\n adcq $1, (%0)") DO("lock incq (%0)")          \
    DO("decq (%0)") DO("notq (%0)") DO("negq (%0)") DO("shlq $1, (%0)") DO("rorq $1, (%0)")               \
    DO("lock btsq $1, (%0)") DO("lock btcq $1, (%0)") DO("btsl $1, (%0)")                                 \
    DO("mov $65, %%eax\n lock btsq %%rax, -8(%0)") DO("mov $-63, %%rax\n btsq %%rax, 8(%0)")              \
    DO("stc\n setc 7(%0)") DO("mov %0, %%rdi\n mov %1, %%rax\n stosq")                                    \
    DO("mov %0, %%rdi\n mov %1, %%rax\n mov $4, %%ecx\n rep stosq")                                       \
    DO("mov %0, %%rdi\n lea 64(%0), %%rsi\n mov $64, %%ecx\n rep movsb")                                  \
    DO("movq %1, %%xmm0\n movq %%xmm0, (%0)")                                                             \
    DO("movq %1, %%xmm0\n punpcklqdq %%xmm0, %%xmm0\n movups %%xmm0, (%0)")                               \
    DO("movq %1, %%xmm0\n movups %%xmm0, 4(%0)") DO("movntps %%xmm0, -8(%0)")                             \
    DO("fnstcw (%0)") DO("fnstenv (%0)") DO("fninit\n fld1\n fistpll (%0)") DO("fxsave -40(%0)")          \
    DO("stmxcsr (%0)") DO("sgdt (%0)") DO("sidt (%0)") DO("sldt (%0)") DO("str (%0)")                     \
    DO("smsw (%0)")                                                                                       \
    DO("mov %1, 1(%0)") DO("mov %1, -4(%0)") DO("movw %w1, 1(%0)") DO("lock orq $-1, 4(%0)")              \
    DO("xchg %1, 4(%0)") DO("movw %w1, 7(%0)")
/* clang-format on */

/* Xen 4.17.7 dies of x87 stores into a table: it calls address 0 when it emulates FNSTCW. */
#define ONE(insns)                                                       \
    if (plain || !xen || (insns)[0] != 'f')                              \
        TRY(insns,                                                       \
            :                                                            \
            : "r"(at), "r"(val)                                          \
            : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "memory", "cc"); \
    n++;                                                                 \
    if (changed(t)) {                                                    \
        memcpy(before, t, PAGE_SIZE);                                    \
        if (++nr_changes && !plain)                                      \
            print("%s: changed by: %s\n", guest_name, insns);            \
    }

static unsigned int nr_changes;

static __attribute__((noinline)) unsigned int stores(const uint64_t *t, bool plain, uint64_t *at_,
                                                     uint64_t val_)
{
    const bool xen = on_xen();
    unsigned int n = 0;
    register uint64_t *at __asm__("r14") = at_;
    register uint64_t val __asm__("r15") = val_;

    nr_changes = 0;
    memcpy(before, t, PAGE_SIZE);
    STORES(ONE)
    return n;
}

static void all_stores(void)
{
    uint64_t *page = page_alloc(), val = PTE(kernel_root, PTE_FLAGS);
    unsigned int n;

    for (unsigned int v = 0; v < NR_TABLES; v++) {
        uint64_t *t = victims[v].table;

        stores(t, false, &t[ROADS_INDEX], val);
        attack(victims[v].stores, nr_changes, 0);
    }
    page[ROADS_INDEX] = PTE(kernel_root, PTE_RO);
    n = stores(page, true, &page[ROADS_INDEX], val);
    print("%s: %u of %u stores change plain memory\n", guest_name, nr_changes, n);
    CHECK(nr_changes > 30); /* some store what is there already */
    witness_check();
}

/* Across the border between a table and a page that may be written to, on either side. */
static void across(void)
{
    char *two = (char *)ROADS_VA + 32 * PAGE_SIZE;
    uint64_t *page = page_alloc();
    unsigned int n = 0;

    for (unsigned int v = 0; v < NR_TABLES; v++) {
        uint64_t *t = victims[v].table;

        for (unsigned int second = 0; second < 2; second++) {
            uint64_t a = second ? PTE(page, PTE_FLAGS) : PTE(t, PTE_RO);
            uint64_t b = second ? PTE(t, PTE_RO) : PTE(page, PTE_FLAGS);

            CHECK_EQ(update_va(two, a, UVMF_INVLPG), 0);
            CHECK_EQ(update_va(two + PAGE_SIZE, b, UVMF_INVLPG), 0);
            memcpy(before, t, PAGE_SIZE);
            for (unsigned int back = 1; back < 8; back++) {
                uint64_t *at = (uint64_t *)(two + PAGE_SIZE - back);

                TRY("mov %1, (%0)", : : "r"(at), "r"(0x6767676767676767UL) : "memory");
                n += trapped(-1);
                TRY("lock orq %1, (%0)", : : "r"(at), "r"(0x6767676767676767UL) : "memory");
                n += trapped(-1);
                TRY("xchg %1, (%0)", : : "r"(at), "r"(0x6767676767676767UL) : "memory");
                n += trapped(-1) || changed(t);
            }
        }
    }
    CHECK_EQ(update_va(two, 0, UVMF_INVLPG), 0);
    CHECK_EQ(update_va(two + PAGE_SIZE, 0, UVMF_INVLPG), 0);
    attack("across.done", n, 0);
    witness_check();
}

/* User mode sees a table in its own root. Nothing is emulated for it, be it ever so good an entry. */
static void from_user_mode(uint64_t va)
{
    struct cpu_user_regs regs;
    unsigned int n = 0;

    memcpy(before, live[1], PAGE_SIZE);
    for (unsigned int i = 0; i < 3; i++) {
        user_regs_init(&regs, u_store);
        regs.rdi = va + (ROADS_INDEX + i) * 8;
        regs.rax = i == 0 ? 0 : i == 1 ? PTE(kernel_root, PTE_RO) : PTE(before, PTE_FLAGS);
        n += user_run(&regs) != TRAP_PF;
    }
    attack("user.no-fault", n, 0);
    attack("user.changed", changed(live[1]), 0);
    user_regs_init(&regs, u_store);
    regs.rdi = USER_STACK_TOP - 8;
    CHECK_EQ(user_run(&regs), ENTRY_SYSCALL);
    witness_check();
}

/* ---- the hypervisor writes ---- */

/* Hypercall nr with its output at `at`, and what it wants beside it. */
static long hypercall_to(unsigned int nr, void *at)
{
    static struct mmu_update u;
    static struct mmuext_op flush;
    static xen_pfn_t list[1];
    struct xen_memory_map map = { .nr_entries = 4 };
    struct vcpu_register_runstate_memory_area area = { .addr.p = (uint64_t)at };
    struct vcpu_register_time_memory_area time = { .addr.p = (uint64_t)at };
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };

    u = (struct mmu_update){ virt_to_maddr(before), before[0] };
    flush.cmd = MMUEXT_TLB_FLUSH_LOCAL;
    switch (nr) {
    case 0: return hc(mmu_update, &u, 1, at, DOMID_SELF);
    case 1: return hc(mmuext_op, &flush, 1, at, DOMID_SELF);
    case 2: return hc(xen_version, XENVER_extraversion, at);
    case 3: return hc(xen_version, XENVER_capabilities, at);
    case 4: return hc(xen_version, XENVER_changeset, at);
    case 5: return hc(xen_version, XENVER_platform_parameters, at);
    case 6: return hc(xen_version, XENVER_get_features, at);
    case 7: return hc(xen_version, XENVER_commandline, at);
    case 8: return hc(memory_op, XENMEM_machphys_mapping, at);
    case 9:
        set_xen_guest_handle(map.buffer, at);
        return hc(memory_op, XENMEM_machine_memory_map, &map);
    case 10: return hc(vcpu_op, VCPUOP_get_runstate_info, 0, at);
    case 11: return hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &area);
    case 12: return hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &time);
    case 13: return hc(event_channel_op, EVTCHNOP_alloc_unbound, at);
    case 14: return hc(event_channel_op, EVTCHNOP_bind_ipi, at);
    case 15: return hc(event_channel_op, EVTCHNOP_status, at);
    case 16: return hc(console_io, CONSOLEIO_read, 64, at);
    case 17: return hc(multicall, at, 4);
    case 18: return hc(memory_op, XENMEM_exchange, at);
    case 19: return hc(physdev_op, PHYSDEVOP_irq_status_query, at);
    case 20: return hc(physdev_op, PHYSDEVOP_map_pirq, at);
    case 21: return hc(physdev_op, PHYSDEVOP_get_free_pirq, at);
    case 22: return hc(physdev_op, PHYSDEVOP_apic_read, at);
    case 23:
        list[0] = 0xfffffffff;
        set_xen_guest_handle(x.in.extent_start, list);
        set_xen_guest_handle(x.out.extent_start, at);
        return hc(memory_op, XENMEM_exchange, &x);
    case 24: return hc(set_trap_table, at);
    case 25: return hc(callback_op, CALLBACKOP_register, at);
    case 26: return hc(platform_op, at);
    case 27: return hc(sysctl, at);
    case 28: return hc(domctl, at);
    case 29: return hc(grant_table_op, 6, at, 1);
    default: return -1;
    }
}
enum { NR_OUTPUTS = 30 };

static uint8_t area_page[PAGE_SIZE] __attribute__((aligned(4096)));

static void let_areas_go(void)
{
    CHECK_EQ(hypercall_to(11, area_page), 0);
    CHECK_EQ(hypercall_to(12, area_page + 64), 0);
}

static void hypercall_outputs(void)
{
    for (unsigned int v = 0; v < NR_TABLES; v++) {
        uint64_t *t = victims[v].table;
        unsigned int n = 0;

        memcpy(before, t, PAGE_SIZE);
        for (unsigned int nr = 0; nr < NR_OUTPUTS; nr++)
            for (unsigned int at = 0; at < 4; at++) {
                (void)hypercall_to(nr, at == 3 ? (char *)t + 4090 : (char *)&t[at * 50 + 5]);
                hc(sched_op, SCHEDOP_yield, 0);
                if (changed(t) && ++n)
                    print("%s: hypercall %u wrote to %s\n", guest_name, nr, victims[v].hypercalls);
                memcpy(before, t, PAGE_SIZE);
            }
        attack(victims[v].hypercalls, n, 0);
        traps_init(); /* what lies in the table as arguments may have changed that */
    }
    let_areas_go();
    for (unsigned int nr = 2; nr < 9; nr++) /* to plain memory they do */
        CHECK(hypercall_to(nr, page_alloc()) >= 0 || (nr == 7 && !is_dom0()));
    witness_check();
}

static void wait_a_bit(void)
{
    for (uint64_t end = now_ns(0) + 20000000; now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
    hc(set_timer_op, now_ns(0) + 1000000);
    spin_ns(3000000);
}

/* Areas that are registered by their address, in a page that becomes a table. */
static void registered_areas(void)
{
    static const char *const what[] = { "", "areas.l1", "areas.l2", "areas.l3", "areas.l4" };
    uint64_t *page = page_alloc();

    for (unsigned int l = 1; l <= 4; l++) {
        page_set_rw(page);
        CHECK_EQ(hypercall_to(11, page), 0);
        CHECK_EQ(hypercall_to(12, page + 32), 0);
        wait_a_bit();
        CHECK(page[0] || page[1] || page[2]); /* it is written to */
        memset(page, 0, PAGE_SIZE);
        page_set_ro(page);
        for (unsigned int i = 0; i < 512; i++) /* the time may have come just before */
            CHECK_EQ(mmu_update(virt_to_maddr(page + i), 0), 0);
        CHECK_EQ(pin(l, page), 0);
        memcpy(before, page, PAGE_SIZE);
        wait_a_bit();
        attack(what[l], changed(page), 0);
        CHECK_EQ(unpin(page), 0);
    }
    let_areas_go();
    witness_check();
}

void test_main(void)
{
    uint64_t *l1 = page_alloc(), *l4 = page_alloc(), *gdt = page_alloc(), *ldt = page_alloc();
    xen_pfn_t frames[14] = { virt_to_mfn(gdt) };

    attacks_begin();
    roads_init();
    CHECK_EQ(pte_write(&live[1][ROADS_INDEX], PTE(kernel_root, PTE_RO)), 0);
    l1[ROADS_INDEX] = PTE(kernel_root, PTE_RO);
    page_set_ro(l1);
    page_set_ro(l4);
    page_set_ro(gdt);
    page_set_ro(ldt);
    CHECK_EQ(pin(1, l1), 0);
    CHECK_EQ(pin(4, l4), 0);
    CHECK_EQ(hc(set_gdt, frames, 512), 0);
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, (uint64_t)ldt, 512), 0);
    TRY("lar %0, %%rax", : : "r"(7UL) : "rax", "cc"); /* so that it is looked at */
    user_init();
    CHECK_EQ(pte_write(pte_of(user_root, USER_STACK_TOP - PAGE_SIZE, 1) + 3, PTE(live[1], PTE_RO)),
             0);
    for (unsigned int i = 0; i < 3; i++)
        victims[i].table = live[i + 1];
    victims[3].table = kernel_root;
    victims[4].table = l1;
    victims[5].table = l4;
    victims[6].table = gdt;
    victims[7].table = ldt;
    victims[8].table = user_root;
    all_stores();
    across();
    from_user_mode((USER_STACK_TOP - PAGE_SIZE) + 3 * PAGE_SIZE);
    hypercall_outputs();
    registered_areas();
}
