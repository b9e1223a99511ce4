/*
 * What operations cost, in instructions: under QEMU's -icount one tick of the TSC is one instruction.
 * Each figure is the smallest of many samples, less what an empty measurement costs. The guest's part
 * of an operation is the same on every hypervisor: bare SYSCALLs, and entries of a few instructions
 * (stubs.S) in place of the runtime's.
 *
 * The console has a line "BENCH name figure" for each; targets.tsv says what they are called and what
 * they may cost. With "counts" as the first argument each operation stands between two debug keys 'p',
 * which tell what our hypervisor counts of each CPU, and a line "COUNT name operations" follows.
 */
#define __XEN_TOOLS__ 1 /* for sysctl.h */
#include <stdio.h>
#include <string.h>

#include <rt/event.h>
#include <rt/grant.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/lock.h>
#include <rt/memory.h>
#include <rt/verdict.h>

#include <xen/callback.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/sysctl.h>
#include <xen/version.h>

#include "child.h"
#include "must.h"

#define SAMPLES 60
#define NR_ENTRIES 512u

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

static inline long bare5(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
{
    register uint64_t r10 __asm__("r10") = d;
    register uint64_t r8 __asm__("r8") = e;
    long rc;

    __asm__ volatile("syscall"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
                     : "0"(nr)
                     : "rcx", "r11", "memory");
    return rc;
}
#define BARE_(nr, a, b, c, d, e, ...) \
    bare5(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d), (uint64_t)(e))
#define bare(name, ...) BARE_(__HYPERVISOR_##name, __VA_ARGS__, 0, 0, 0, 0, 0, 0)

static uint64_t empty; /* what an empty measurement costs */
static bool counting;

static void debug_key(char key)
{
    static struct xen_sysctl op = { .cmd = XEN_SYSCTL_debug_keys,
                                    .interface_version = XEN_SYSCTL_INTERFACE_VERSION,
                                    .u.debug_keys.nr_keys = 1 };

    set_xen_guest_handle(op.u.debug_keys.keys, &key);
    if (bare(sysctl, &op))
        verdict_error("no debug keys");
}

static void tell(const char *name, uint64_t least, unsigned int per)
{
    uint64_t hundredths = (least - empty) * 100 / per;

    if (counting)
        kprint("COUNT %s %u\n", name, per);
    else if (per == 1)
        kprint("BENCH %s %lu\n", name, hundredths / 100);
    else
        kprint("BENCH %s %lu.%02lu\n", name, hundredths / 100, hundredths % 100);
}

/* The smallest of nr figures for op, with prepare before each, unmeasured, and the TSC at its end. i
 * counts them. What is counted has a loop of its own, for not one instruction of it is to be in what is
 * measured. */
#define LEAST_TO(nr, prepare, op, end)                     \
    ({                                                     \
        uint64_t least_ = ~0UL;                            \
        for (unsigned int i = 0; counting && i < 4; i++) { \
            prepare;                                       \
            debug_key('p');                                \
            op;                                            \
            debug_key('p');                                \
        }                                                  \
        for (unsigned int i = 0; i < (nr); i++) {          \
            uint64_t from_, took_;                         \
            if (counting)                                  \
                break;                                     \
            prepare;                                       \
            from_ = rdtsc();                               \
            op;                                            \
            took_ = (end)-from_;                           \
            if (took_ < least_)                            \
                least_ = took_;                            \
        }                                                  \
        least_;                                            \
    })
#define LEAST(prepare, op) LEAST_TO(SAMPLES, prepare, op, rdtsc())
#define BENCH(name, per, prepare, op) tell(name, LEAST(prepare, op), per)
#define NOTHING (void)0
/* ---- hypercalls ---- */

static struct multicall_entry calls[32] __attribute__((aligned(4096)));

static void hypercalls(void)
{
    BENCH("empty hypercall", 1, NOTHING, bare(xen_version, XENVER_version));
    BENCH("unknown hypercall", 1, NOTHING, bare5(50, 0, 0, 0, 0, 0));
    for (unsigned int i = 0; i < 32; i++)
        calls[i] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version };
    BENCH("multicall entry, of 32", 32, NOTHING, bare(multicall, calls, 32));
    BENCH("stack_switch", 1, NOTHING, bare(stack_switch, FLAT_KERNEL_SS, 0xffffffff80200000));
    BENCH("timer set", 1, NOTHING, bare(set_timer_op, (1UL << 50) + i * 1000));
    bare(set_timer_op, 0);
}

/* ---- events and traps ---- */

extern char bench_upcall[], bench_fault[], bench_syscall[];
extern volatile uint64_t bench_syscall_tsc[SAMPLES + 1];
extern uint64_t bench_port;
extern char trap_stubs[], event_stub[];
void bench_user(uint64_t rip, uint64_t rsp);

static void no_event(unsigned int port, void *arg)
{
    (void)port;
    (void)arg;
}

static void events(void)
{
    struct callback_register reg = { .type = CALLBACKTYPE_event,
                                     .address = (uint64_t)bench_upcall };
    int port = event_bind_ipi(0, no_event, NULL);
    struct evtchn_send send = { .port = (evtchn_port_t)port };
    bool were_off = events_off();

    MUST(port);
    bench_port = (uint64_t)port;
    MUST(hc(callback_op, CALLBACKOP_register, &reg));
    this_cpu()->vcpu_info->evtchn_pending_sel = 0;
    this_cpu()->vcpu_info->evtchn_upcall_pending = 0;
    this_cpu()->vcpu_info->evtchn_upcall_mask = 0;
    BENCH("event to self, upcall, iret", 1, NOTHING, bare(event_channel_op, EVTCHNOP_send, &send));
    if (shared_info->evtchn_pending[port / 64] >> port % 64 & 1)
        verdict_failure("no upcall came");
    this_cpu()->vcpu_info->evtchn_upcall_mask = 1;
    reg.address = (uint64_t)event_stub;
    MUST(hc(callback_op, CALLBACKOP_register, &reg));
    events_restore(were_off);
    event_close((unsigned int)port);
}

static void set_trap(uint8_t vector, const void *entry)
{
    struct trap_info t[2] = { { vector, 0, FLAT_KERNEL_CS, (unsigned long)entry }, { 0 } };

    MUST(hc(set_trap_table, t));
}

/* At a page's beginning, as the next one: how an instruction lies in its page may make a difference. */
static __attribute__((noinline, aligned(4096))) void faults(void)
{
    bool were_off = events_off();

    set_trap(14, bench_fault);
    BENCH("page fault, bounce, iret", 1, NOTHING,
          __asm__ volatile("mov (%%rdi), %%al"
                           :
                           : "D"(0x1000UL)
                           : "rax", "memory"));
    set_trap(14, trap_stubs + 14 * 32);
    events_restore(were_off);
}

static __attribute__((noinline, aligned(4096))) void privileged(void)
{
    struct physdev_set_iopl iopl = { .iopl = 1 };
    uint64_t x;

    MUST(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl));
    BENCH("CPUID", 1, NOTHING,
          __asm__ volatile(XEN_CPUID
                           : "=a"(x)
                           : "a"(1), "c"(0)
                           : "ebx", "edx"));
    BENCH("MSR read", 1, NOTHING,
          __asm__ volatile("rdmsr"
                           :
                           : "c"(0xc0000100)
                           : "eax", "edx", "memory"));
    BENCH("control register read", 1, NOTHING, __asm__ volatile("mov %%cr0, %0" : "=r"(x)));
    BENCH("port write", 1, NOTHING,
          __asm__ volatile("outb %%al, %%dx"
                           :
                           : "a"(0), "d"(0x80)
                           : "memory"));
}

/* ---- page tables ---- */

static uint64_t pte_for(const void *va, uint64_t prot)
{
    return pfn_to_mfn(virt_to_pfn(va)) * PAGE_BYTES | prot;
}

static uint64_t *table(void)
{
    uint64_t *t = page_alloc(1);

    if (t == NULL)
        verdict_error("no memory");
    return t;
}

static long mmuext(unsigned int cmd, const void *va)
{
    struct mmuext_op op = { .cmd = cmd, .arg1.mfn = pfn_to_mfn(virt_to_pfn(va)) };

    return bare(mmuext_op, &op, 1, 0, DOMID_SELF);
}

static void pins(void)
{
    uint64_t *l1 = table(), *l2 = table(), *l3 = table(), *l4 = table(), *data = table();

    MUST(page_protect(l1, PROT_KERNEL_RO));
    BENCH("pin of an empty L1", 1, i ? mmuext(MMUEXT_UNPIN_TABLE, l1) : 0,
          mmuext(MMUEXT_PIN_L1_TABLE, l1));
    MUST(mmuext(MMUEXT_UNPIN_TABLE, l1));
    MUST(page_unprotect(l1));
    for (unsigned int n = 0; n < NR_ENTRIES; n++)
        l1[n] = pte_for(data, PROT_KERNEL_RW);
    MUST(page_protect(l1, PROT_KERNEL_RO));
    BENCH("pin of an L1 with 512 entries", 1, i ? mmuext(MMUEXT_UNPIN_TABLE, l1) : 0,
          mmuext(MMUEXT_PIN_L1_TABLE, l1));
    BENCH("unpin of an L1 with 512 entries", 1, i ? mmuext(MMUEXT_PIN_L1_TABLE, l1) : 0,
          mmuext(MMUEXT_UNPIN_TABLE, l1));
    MUST(page_unprotect(l1));
    memset(l1 + 16, 0, PAGE_BYTES - 16 * 8);
    l2[0] = pte_for(l1, PROT_KERNEL_RW);
    l3[0] = pte_for(l2, PROT_KERNEL_RW);
    l4[0] = pte_for(l3, PROT_KERNEL_RW);
    MUST(page_protect(l1, PROT_KERNEL_RO));
    MUST(page_protect(l2, PROT_KERNEL_RO));
    MUST(page_protect(l3, PROT_KERNEL_RO));
    MUST(page_protect(l4, PROT_KERNEL_RO));
    BENCH("pin of a tree of four tables", 1, i ? mmuext(MMUEXT_UNPIN_TABLE, l4) : 0,
          mmuext(MMUEXT_PIN_L4_TABLE, l4));
    MUST(mmuext(MMUEXT_UNPIN_TABLE, l4));
}

static struct mmu_update u[NR_ENTRIES];
#define UPDATE_LIST(nr) bare(mmu_update, u, nr, 0, DOMID_SELF)

/* Requests for all entries of l1, in u. */
static void list_for(const uint64_t *l1, uint64_t pte, bool update_now)
{
    for (unsigned int n = 0; n < NR_ENTRIES; n++)
        u[n] = (struct mmu_update){ virt_to_mfn(l1) * PAGE_BYTES + n * 8, pte };
    if (update_now)
        MUST(UPDATE_LIST(NR_ENTRIES));
}

/*
 * A frame mapped where nothing was, as most of a guest's updates do; and, without targets, in place
 * of another frame, which lets go of that too. The flush of one page is part of the latter.
 */
static void page_tables(void)
{
    uint64_t *a = table(), *b = table(), *at = table(), *l1 = table(), *root = table();
    uint64_t pte[2] = { pte_for(a, PROT_KERNEL_RW), pte_for(b, PROT_KERNEL_RW) };
    const uint64_t *entry = pte_of(at, 1);
    const uint64_t *live = pte_of(NULL, 4);

#define UPDATE_VA(pte, flags) bare(update_va_mapping, at, pte, flags)
#define STORE(pte) __asm__ volatile("mov %0, (%1)" : : "a"(pte), "d"(entry) : "memory")
    BENCH("update_va_mapping", 1, UPDATE_VA(0, UVMF_NONE), UPDATE_VA(pte[0], UVMF_NONE));
    BENCH("update_va_mapping, other frame", 1, NOTHING,
          UPDATE_VA(pte[~i % 2], UVMF_INVLPG | UVMF_LOCAL));
    u[0].ptr = virt_to_mfn((void *)entry) * PAGE_BYTES + (uint64_t)entry % PAGE_BYTES;
    u[0].val = pte[0];
    BENCH("mmu_update, single", 1, UPDATE_VA(0, UVMF_NONE), UPDATE_LIST(1));
    BENCH("mmu_update, single, other frame", 1, u[0].val = pte[~i % 2], UPDATE_LIST(1));
    BENCH("emulated PTE write", 1, UPDATE_VA(0, UVMF_NONE), STORE(pte[0]));
    BENCH("emulated PTE write, other frame", 1, NOTHING, STORE(pte[~i % 2]));
    MUST(page_unprotect(at));
    memset(l1, 0, PAGE_BYTES);
    MUST(page_protect(l1, PROT_KERNEL_RO));
    MUST(mmuext(MMUEXT_PIN_L1_TABLE, l1));
    BENCH("mmu_update, of 512", NR_ENTRIES,
          for (int k = 0; k < 2; k++) list_for(l1, k ? pte[0] : 0, k == 0),
          UPDATE_LIST(NR_ENTRIES));
    BENCH("mmu_update, of 512, other frame", NR_ENTRIES, list_for(l1, pte[~i % 2], false),
          UPDATE_LIST(NR_ENTRIES));
    MUST(mmuext(MMUEXT_UNPIN_TABLE, l1));
    for (unsigned int n = 0; n < NR_ENTRIES; n++)
        if (n < 256 || n >= 272) /* the others are the hypervisor's */
            root[n] = live[n];
    MUST(page_protect(root, PROT_KERNEL_RO));
    MUST(mmuext(MMUEXT_PIN_L4_TABLE, root));
    BENCH("switch of the base pointer", 1, NOTHING,
          mmuext(MMUEXT_NEW_BASEPTR, i % 2 ? (const void *)live : root));
    MUST(mmuext(MMUEXT_NEW_BASEPTR, live));
    MUST(mmuext(MMUEXT_UNPIN_TABLE, root));
}

/* ---- user mode ---- */

static void user_syscalls(void)
{
    static char stack[PAGE_BYTES] __attribute__((aligned(4096)));
    uint64_t *l1 = table(), *l2 = table(), *l3 = table(), *l4 = table();
    uint8_t *code = page_alloc(1);
    struct callback_register reg = { .type = CALLBACKTYPE_syscall,
                                     .flags = CALLBACKF_mask_events,
                                     .address = (uint64_t)bench_syscall };
    bool were_off = events_off();
    uint64_t least = ~0UL;

    memcpy(code, "\x0f\x05\xeb\xfc", 4); /* syscall, and again */
    l1[0] = pte_for(code, PROT_KERNEL_RO);
    l2[0] = pte_for(l1, PROT_KERNEL_RW);
    l3[0] = pte_for(l2, PROT_KERNEL_RW);
    l4[0] = pte_for(l3, PROT_KERNEL_RW);
    MUST(page_protect(l1, PROT_KERNEL_RO));
    MUST(page_protect(l2, PROT_KERNEL_RO));
    MUST(page_protect(l3, PROT_KERNEL_RO));
    MUST(page_protect(l4, PROT_KERNEL_RO));
    MUST(mmuext(MMUEXT_PIN_L4_TABLE, l4));
    MUST(mmuext(MMUEXT_NEW_USER_BASEPTR, l4));
    MUST(hc(callback_op, CALLBACKOP_register, &reg));
    MUST(hc(stack_switch, FLAT_KERNEL_SS, stack + sizeof(stack)));
    if (counting)
        debug_key('p');
    bench_user(0, 0);
    if (counting)
        debug_key('p');
    for (unsigned int n = 1; n <= SAMPLES; n++)
        if (bench_syscall_tsc[n] - bench_syscall_tsc[n - 1] < least)
            least = bench_syscall_tsc[n] - bench_syscall_tsc[n - 1];
    tell("user system call and back", least + empty, counting ? SAMPLES + 1 : 1);
    events_restore(were_off);
}

/* ---- memory and console ---- */

static void memory(void)
{
    static xen_pfn_t frames[NR_ENTRIES] __attribute__((aligned(4096)));
    struct xen_memory_reservation r = { .nr_extents = NR_ENTRIES, .domid = DOMID_SELF };
    char *pages = page_alloc(NR_ENTRIES);
    uint64_t first = virt_to_pfn(pages);

    if (pages == NULL)
        verdict_error("no memory");
    for (unsigned int n = 0; n < NR_ENTRIES; n++) {
        frames[n] = pfn_to_mfn(first + n);
        MUST(page_protect(pages + n * PAGE_BYTES, 0));
    }
    set_xen_guest_handle(r.extent_start, frames);
    MUST(hc(memory_op, XENMEM_decrease_reservation, &r));
    BENCH("populate, a frame of 512", NR_ENTRIES,
          if (i) hc(memory_op, XENMEM_decrease_reservation, &r);
          for (unsigned int n = 0; n < NR_ENTRIES; n++) frames[n] = first + n,
          bare(memory_op, XENMEM_populate_physmap, &r));
    BENCH("decrease, a frame of 512", NR_ENTRIES,
          if (i) for (unsigned int n = 0; n < NR_ENTRIES; n++) frames[n] = first + n;
          if (i) hc(memory_op, XENMEM_populate_physmap, &r),
          bare(memory_op, XENMEM_decrease_reservation, &r));
}

/* ---- grants: of the domain to itself ---- */

#define NR_GRANTS 32u

static struct gnttab_map_grant_ref maps[NR_GRANTS] __attribute__((aligned(4096)));
static struct gnttab_unmap_grant_ref unmaps[NR_GRANTS] __attribute__((aligned(4096)));
static struct gnttab_copy copies[NR_GRANTS] __attribute__((aligned(4096)));
static char *grants_at;
static grant_ref_t grant_refs[NR_GRANTS];

static void map_grants(unsigned int nr, bool now)
{
    for (unsigned int n = 0; n < nr; n++)
        maps[n] = (struct gnttab_map_grant_ref){ .host_addr = (uint64_t)grants_at + n * PAGE_BYTES,
                                                 .flags = GNTMAP_host_map,
                                                 .ref = grant_refs[n] };
    if (now)
        MUST(hc(grant_table_op, GNTTABOP_map_grant_ref, maps, nr));
}

static void unmap_grants(unsigned int nr, bool now)
{
    for (unsigned int n = 0; n < nr; n++) {
        if (maps[n].status)
            verdict_failure("grant %u: %d", n, maps[n].status);
        unmaps[n] = (struct gnttab_unmap_grant_ref){ .host_addr = maps[n].host_addr,
                                                     .handle = maps[n].handle };
    }
    if (now)
        MUST(hc(grant_table_op, GNTTABOP_unmap_grant_ref, unmaps, nr));
}

static void grants(void)
{
    char *data = page_alloc(NR_GRANTS), *own = page_alloc(NR_GRANTS);

    grants_at = page_alloc(NR_GRANTS);
    if (data == NULL || own == NULL || grants_at == NULL)
        verdict_error("no memory");
    for (unsigned int n = 0; n < NR_GRANTS; n++) {
        uint64_t mfn = pfn_to_mfn(virt_to_pfn(data + n * PAGE_BYTES));
        int ref = grant_access(0, mfn, false);

        MUST(ref);
        MUST(page_protect(grants_at + n * PAGE_BYTES, 0));
        grant_refs[n] = (grant_ref_t)ref;
        copies[n] =
            (struct gnttab_copy){ .source.u.ref = (grant_ref_t)ref,
                                  .dest.u.gmfn = pfn_to_mfn(virt_to_pfn(own + n * PAGE_BYTES)),
                                  .dest.domid = DOMID_SELF,
                                  .len = PAGE_BYTES,
                                  .flags = GNTCOPY_source_gref };
    }
#define OF_LIST(op, list, nr) bare(grant_table_op, GNTTABOP_##op, list, nr)
    for (unsigned int nr = 1; nr <= NR_GRANTS; nr += NR_GRANTS - 1) {
        BENCH(nr == 1 ? "grant map" : "grant map, of 32", nr, if (i) unmap_grants(nr, true);
              map_grants(nr, false), OF_LIST(map_grant_ref, maps, nr));
        if (counting)
            unmap_grants(nr, true);
        BENCH(nr == 1 ? "grant unmap" : "grant unmap, of 32", nr,
              if (i || counting) map_grants(nr, true);
              unmap_grants(nr, false), OF_LIST(unmap_grant_ref, unmaps, nr));
        BENCH(nr == 1 ? "grant copy of 4 KiB" : "grant copy of 4 KiB, of 32", nr, NOTHING,
              OF_LIST(copy, copies, nr));
        for (unsigned int n = 1; n < nr; n++) /* pieces of a page, as backends have them */
            copies[n] = copies[0];
        if (nr > 1)
            BENCH("grant copy of 4 KiB, of 32 between two pages", nr, NOTHING,
                  OF_LIST(copy, copies, nr));
        for (unsigned int n = 0; n < nr; n++)
            if (unmaps[n].status || copies[n].status)
                verdict_failure("grant %u: %d, %d", n, unmaps[n].status, copies[n].status);
    }
}

/* ---- other domains ---- */

#define NR_FRAMES 4096u /* 16 MiB */
#define NR_HUGE 32u     /* such domains fill the machine */
#define NR_IDLE 16u

static xen_pfn_t pfns[NR_FRAMES];

static domid_t make(void)
{
    for (unsigned int n = 0; n < NR_FRAMES; n++)
        pfns[n] = n;
    return domain_make(pfns, NR_FRAMES);
}

/*
 * From nothing to nothing, again and again. What a hypervisor puts off when a domain goes, as to clear
 * its memory, it does for the next one, for this vCPU never blocks. That no memory is left that was
 * cleared while the machine idled, the first ones take all.
 */
static void creation(void)
{
    static domid_t huge[NR_HUGE];
    unsigned int nr = 0;

    while (nr < NR_HUGE && free_pages() > NR_FRAMES + 1024)
        huge[nr++] = make();
    while (nr--)
        domain_end(huge[nr]);
    tell("domain of 16 MiB", LEAST_TO(10, NOTHING, domain_end(make()), rdtsc()), 1);
}

/*
 * An event: this domain sends, and yields in case that it is not preempted. Xen's scheduler lets who runs go
 * on for 1 ms, which it has done every second time. The least counts. The child has been waiting in
 * SCHEDOP_block. A switch: both yield; half of the way there and back.
 */
static void switches(void)
{
    static struct child c;
    struct evtchn_send send;
    uint64_t least, turns;

    child_start(&c);
    send.port = c.port;
    least = LEAST_TO(
        SAMPLES,
        {
            turns = c.data->upcalls;
            for (unsigned int k = 0; k < 4; k++)
                bare(sched_op, SCHEDOP_yield);
            for (uint64_t end = rdtsc() + i % 2 * 2000000; rdtsc() < end;)
                ;
        },
        {
            bare(event_channel_op, EVTCHNOP_send, &send);
            bare(sched_op, SCHEDOP_yield);
        },
        c.data->upcalls == turns + 1 ? c.data->stamp : ~0UL);
    tell("event to another domain", least, 1);
    c.data->yields = 1;
    bare(event_channel_op, EVTCHNOP_send, &send);
    bare(sched_op, SCHEDOP_yield);
    least = LEAST_TO(SAMPLES, turns = c.data->turns, bare(sched_op, SCHEDOP_yield),
                     c.data->turns == turns + 1 ? rdtsc() : ~0UL);
    tell("switch to another domain", least, 2);
    c.data->yields = 0;
    child_end(&c);
}

/* What is not free any more and not theirs either, of domains that wait for events. */
static void idle_domains(void)
{
    static struct child c[NR_IDLE];
    uint64_t before, after;

    if (counting)
        return;
    child_start(&c[0]);
    child_end(&c[0]);
    before = free_pages();
    for (unsigned int n = 0; n < NR_IDLE; n++)
        child_start(&c[n]);
    for (unsigned int n = 0; n < NR_IDLE; n++)
        bare(sched_op, SCHEDOP_yield);
    after = free_pages();
    for (unsigned int n = 0; n < NR_IDLE; n++)
        child_end(&c[n]);
    kprint("BENCH kept idle domain %lu\n",
           (before - after - (uint64_t)NR_IDLE * CHILD_PAGES) * (PAGE_BYTES / 1024) / NR_IDLE);
}

static void console(void)
{
    static const char text[] __attribute__((aligned(64))) =
        "BENCH-TEXT: sixty-three characters on the console, a line of it\n";

    BENCH("console write of 64 bytes", 1, NOTHING, bare(console_io, CONSOLEIO_write, 64, text));
}

/* What there is to know about the machine's memory, where the hypervisor's log does not tell it. */
static void machine(void)
{
    static struct xen_sysctl op = { .cmd = XEN_SYSCTL_physinfo,
                                    .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    static domid_t self = DOMID_SELF;
    long own = hc(memory_op, XENMEM_current_reservation, &self);

    if (hc(sysctl, &op) == 0)
        kprint("MEMORY %lu free pages, %ld of domain 0\n", op.u.physinfo.free_pages, own);
}

static const struct group {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "machine", machine },
    { "hypercalls", hypercalls },
    { "events", events },
    { "faults", faults },
    { "privileged", privileged },
    { "page_tables", page_tables },
    { "pins", pins },
    { "user_syscalls", user_syscalls },
    { "memory", memory },
    { "console", console },
    { "grants", grants },
    { "creation", creation },
    { "switches", switches },
    { "idle_domains", idle_domains },
};

/* Without arguments all groups, else those named. */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "counts") == 0) {
        counting = true;
        argc--;
        argv++;
    }
    empty = LEAST(NOTHING, NOTHING);
    if (counting)
        tell("nothing", empty, 1);
    for (size_t n = 0; n < sizeof(groups) / sizeof(groups[0]); n++)
        for (int k = argc > 1 ? 1 : 0; k < argc; k++)
            if (argc == 1 || strcmp(argv[k], groups[n].name) == 0)
                groups[n].run();
    return verdict();
}
