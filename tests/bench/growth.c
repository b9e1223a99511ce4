/*
 * How the cost of operations grows: the same operation over 1 to 1,000 event channels, over the timers
 * of 63 other vCPUs (all that the ABI gives a domain: a singleshot and a poll's timeout for each), beside
 * 1 to 200 domains, and with the number of entries it has to look at. One tick of the TSC is one instruction (-icount).
 *
 * The console has a line "GROWTH n figure operation" for each; growth.awk says what is linear.
 */
#include <stdio.h>
#include <string.h>

#include <rt/event.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/lock.h>
#include <rt/memory.h>
#include <rt/verdict.h>

#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>

#include "child.h"
#include "must.h"

#define SAMPLES 12
#define NR_ENTRIES 512u
#define NR_CHANNELS 1000u
#define NR_VCPUS 64u
#define NR_DOMAINS 200u
#define FAR_NS (1ULL << 50) /* thirteen days */

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}

static inline long bare4(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    register uint64_t r10 __asm__("r10") = d;
    long rc;

    __asm__ volatile("syscall"
                     : "=a"(rc), "+D"(a), "+S"(b), "+d"(c), "+r"(r10)
                     : "0"(nr)
                     : "rcx", "r11", "r8", "memory");
    return rc;
}
#define BARE_(nr, a, b, c, d, ...) \
    bare4(nr, (uint64_t)(a), (uint64_t)(b), (uint64_t)(c), (uint64_t)(d))
#define bare(name, ...) BARE_(__HYPERVISOR_##name, __VA_ARGS__, 0, 0, 0, 0, 0)

static uint64_t empty; /* what an empty measurement costs */

/* The smallest of SAMPLES figures for op, with prepare before each, unmeasured, and the TSC at its end. i
 * counts them. */
#define LEAST_TO(prepare, op, end)                   \
    ({                                               \
        uint64_t least_ = ~0UL;                      \
        for (unsigned int i = 0; i < SAMPLES; i++) { \
            uint64_t from_, took_;                   \
            prepare;                                 \
            from_ = rdtsc();                         \
            op;                                      \
            took_ = (end)-from_;                     \
            if (took_ < least_)                      \
                least_ = took_;                      \
        }                                            \
        least_;                                      \
    })
#define LEAST(prepare, op) LEAST_TO(prepare, op, rdtsc())
#define GROWTH(name, n, prepare, op) \
    kprint("GROWTH %u %lu %s\n", n, LEAST(prepare, op) - empty, name)
#define NOTHING (void)0

/* ---- event channels, from one end to the other in this domain ---- */

static long evtchn(int cmd, void *op) { return bare(event_channel_op, cmd, op); }

static evtchn_port_t alloc(void)
{
    struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };

    MUST(evtchn(EVTCHNOP_alloc_unbound, &op));
    return op.port;
}

static evtchn_port_t bind(evtchn_port_t to)
{
    struct evtchn_bind_interdomain op = { .remote_dom = DOMID_SELF, .remote_port = to };

    MUST(evtchn(EVTCHNOP_bind_interdomain, &op));
    return op.local_port;
}

static void shut(evtchn_port_t port)
{
    struct evtchn_close op = { .port = port };

    MUST(evtchn(EVTCHNOP_close, &op));
}

static void mask(evtchn_port_t port)
{
    __atomic_fetch_or(&shared_info->evtchn_mask[port / 64], 1UL << port % 64, __ATOMIC_SEQ_CST);
}

/* With n channels open, the last one of which joins ends a and b, one more. */
static void measure_channels(unsigned int n, evtchn_port_t a, evtchn_port_t b)
{
    struct evtchn_alloc_unbound unbound = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    struct evtchn_bind_interdomain join = { .remote_dom = DOMID_SELF };
    struct evtchn_send send = { .port = b };
    struct evtchn_status status = { .dom = DOMID_SELF, .port = a };
    struct evtchn_close close = { 0 };
    evtchn_port_t fresh;

    GROWTH("event channel: send", n, shared_info->evtchn_pending[a / 64] &= ~(1UL << a % 64),
           evtchn(EVTCHNOP_send, &send));
    GROWTH("event channel: status", n, NOTHING, evtchn(EVTCHNOP_status, &status));
    GROWTH("event channel: alloc_unbound", n, if (i) shut(unbound.port),
           evtchn(EVTCHNOP_alloc_unbound, &unbound));
    shut(unbound.port);
    fresh = alloc();
    join.remote_port = fresh;
    GROWTH("event channel: bind_interdomain", n, if (i) shut(join.local_port),
           evtchn(EVTCHNOP_bind_interdomain, &join));
    shut(join.local_port);
    GROWTH("event channel: close", n, close.port = bind(fresh), evtchn(EVTCHNOP_close, &close));
    shut(fresh);
}

static void channels(void)
{
    static const unsigned int steps[] = {
        1, 10, 50, 100, 200, 300, 400, 500, 600, 800, NR_CHANNELS
    };
    static evtchn_port_t ports[2 * NR_CHANNELS];
    evtchn_port_t a = 0, b = 0;
    unsigned int open = 0;

    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        for (; open < steps[s]; open++) {
            ports[2 * open] = a = alloc();
            ports[2 * open + 1] = b = bind(a);
            mask(a);
            mask(b);
        }
        measure_channels(open, a, b);
    }
    while (open--) {
        shut(ports[2 * open]);
        shut(ports[2 * open + 1]);
    }
}

/* ---- timers: each other vCPU sets one and polls with a timeout, for good ---- */

static uint8_t stacks[NR_VCPUS][PAGE_BYTES] __attribute__((aligned(4096)));
static volatile unsigned int nr_waiting;

static void wait_for_good(void)
{
    struct sched_poll poll = { .nr_ports = 0, .timeout = FAR_NS + 1 };

    MUST(bare(set_timer_op, FAR_NS));
    nr_waiting++;
    for (;;)
        bare(sched_op, SCHEDOP_poll, &poll);
}

/* 0, or -errno where the domain has no such vCPU. */
static long start_vcpu(unsigned int id)
{
    static struct vcpu_guest_context ctx;
    static struct vcpu_info infos[NR_VCPUS];
    struct vcpu_register_vcpu_info info = {
        .mfn = virt_to_mfn(&infos[id]),
        .offset = (uint32_t)((uint64_t)&infos[id] % PAGE_BYTES),
    };
    long rc = bare(vcpu_op, VCPUOP_register_vcpu_info, id, &info);

    if (rc)
        return rc;
    infos[id].evtchn_upcall_mask = 1;
    memset(&ctx, 0, sizeof(ctx));
    ctx.flags = VGCF_in_kernel;
    ctx.user_regs.rip = (uint64_t)wait_for_good;
    ctx.user_regs.rsp = (uint64_t)stacks[id] + PAGE_BYTES - 8;
    ctx.user_regs.cs = FLAT_KERNEL_CS;
    ctx.user_regs.ss = FLAT_KERNEL_SS;
    ctx.user_regs.rflags = 0x1000;
    ctx.kernel_ss = FLAT_KERNEL_SS;
    ctx.kernel_sp = ctx.user_regs.rsp;
    ctx.ctrlreg[0] = 0x80050033;
    ctx.ctrlreg[3] = virt_to_mfn(pte_of(NULL, 4)) << 12;
    rc = bare(vcpu_op, VCPUOP_initialise, id, &ctx);
    return rc ? rc : bare(vcpu_op, VCPUOP_up, id, 0);
}

static void timers(void)
{
    unsigned int id = 1;

    for (unsigned int n = 1; n < NR_VCPUS; n = n < 4 ? n + 1 : n + 4) {
        for (; id <= n; id++) {
            MUST(start_vcpu(id));
            while (nr_waiting < id)
                bare(sched_op, SCHEDOP_yield);
        }
        bare(sched_op, SCHEDOP_yield); /* and the last one waits */
        GROWTH("timer: set, before all others", 2 * n, NOTHING,
               bare(set_timer_op, FAR_NS - 1000000 - i));
        GROWTH("timer: set, behind all others", 2 * n, NOTHING,
               bare(set_timer_op, FAR_NS + 1000000 + i));
        GROWTH("timer: stop", 2 * n, bare(set_timer_op, FAR_NS + 1000000), bare(set_timer_op, 0));
    }
}

/* ---- what is looked at entry by entry ---- */

static uint64_t *table(void)
{
    uint64_t *t = page_alloc(1);

    if (t == NULL)
        verdict_error("no memory");
    return t;
}

static long pin(int cmd, const void *va)
{
    struct mmuext_op op = { .cmd = (unsigned int)cmd, .arg1.mfn = pfn_to_mfn(virt_to_pfn(va)) };

    return bare(mmuext_op, &op, 1, 0, DOMID_SELF);
}

static void pins(void)
{
    uint64_t *l1 = table(), *data = table();
    uint64_t pte = pfn_to_mfn(virt_to_pfn(data)) * PAGE_BYTES | PROT_KERNEL_RW;

    for (unsigned int n = 0; n <= NR_ENTRIES; n += NR_ENTRIES / 8) {
        for (unsigned int k = 0; k < NR_ENTRIES; k++)
            l1[k] = k < n ? pte : 0;
        MUST(page_protect(l1, PROT_KERNEL_RO));
        GROWTH("entries: pin of an L1", n, if (i) pin(MMUEXT_UNPIN_TABLE, l1),
               pin(MMUEXT_PIN_L1_TABLE, l1));
        GROWTH("entries: unpin of an L1", n, if (i) pin(MMUEXT_PIN_L1_TABLE, l1),
               pin(MMUEXT_UNPIN_TABLE, l1));
        MUST(page_unprotect(l1));
    }
}

static void updates(void)
{
    static struct mmu_update u[NR_ENTRIES];
    static struct multicall_entry calls[NR_ENTRIES];
    uint64_t *l1 = table(), *data = table();
    uint64_t pte = pfn_to_mfn(virt_to_pfn(data)) * PAGE_BYTES | PROT_KERNEL_RW;

    MUST(page_protect(l1, PROT_KERNEL_RO));
    MUST(pin(MMUEXT_PIN_L1_TABLE, l1));
    for (unsigned int n = 0; n <= NR_ENTRIES; n += NR_ENTRIES / 8) {
        GROWTH("entries: mmu_update", n,
               for (unsigned int k = 0; k < n; k++) u[k] = ((struct mmu_update){
                   pfn_to_mfn(virt_to_pfn(l1)) * PAGE_BYTES + k * 8, i % 2 ? pte : 0 }),
               MUST(bare(mmu_update, u, n, 0, DOMID_SELF)));
        for (unsigned int k = 0; k < n; k++)
            calls[k] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version };
        GROWTH("entries: multicall", n, NOTHING, bare(multicall, calls, n));
    }
    MUST(pin(MMUEXT_UNPIN_TABLE, l1));
    MUST(page_unprotect(l1));
}

static void frames(void)
{
    static xen_pfn_t list[NR_ENTRIES];
    struct xen_memory_reservation r = { .domid = DOMID_SELF };
    char *pages = page_alloc(NR_ENTRIES);
    uint64_t first = virt_to_pfn(pages);

    if (pages == NULL)
        verdict_error("no memory");
    for (unsigned int n = 0; n < NR_ENTRIES; n++) {
        list[n] = pfn_to_mfn(first + n);
        MUST(page_protect(pages + n * PAGE_BYTES, 0));
    }
    set_xen_guest_handle(r.extent_start, list);
    r.nr_extents = NR_ENTRIES;
    MUST(hc(memory_op, XENMEM_decrease_reservation, &r));
    for (unsigned int n = NR_ENTRIES / 8; n <= NR_ENTRIES; n += NR_ENTRIES / 8) {
        r.nr_extents = n;
        GROWTH("entries: populate", n, if (i) hc(memory_op, XENMEM_decrease_reservation, &r);
               for (unsigned int k = 0; k < n; k++) list[k] = first + k,
               bare(memory_op, XENMEM_populate_physmap, &r));
        GROWTH("entries: decrease", n,
               if (i) for (unsigned int k = 0; k < n; k++) list[k] = first + k;
               if (i) hc(memory_op, XENMEM_populate_physmap, &r),
               bare(memory_op, XENMEM_decrease_reservation, &r));
    }
}

/* ---- other domains, which wait for events ---- */

static xen_pfn_t *small(void)
{
    static xen_pfn_t list[CHILD_PAGES];

    for (unsigned int i = 0; i < CHILD_PAGES; i++)
        list[i] = i;
    return list;
}

/* With n domains, the last of which is c. How an event and a switch are measured: see bench.c. */
static void measure_domains(unsigned int n, struct child *c)
{
    struct evtchn_send send = { .port = c->port };
    volatile uint64_t *stamp = &c->data->stamp, *turns = &c->data->turns;
    uint64_t least, before;
    domid_t id = 0;

    GROWTH("domain: empty hypercall", n, NOTHING, bare(xen_version, 0));
    least = LEAST_TO(
        {
            for (unsigned int k = 0; k < 4; k++)
                bare(sched_op, SCHEDOP_yield);
            for (uint64_t end = rdtsc() + i % 2 * 2000000; rdtsc() < end;)
                ;
            *stamp = 0;
        },
        {
            bare(event_channel_op, EVTCHNOP_send, &send);
            bare(sched_op, SCHEDOP_yield);
        },
        *stamp ? *stamp : ~0UL);
    kprint("GROWTH %u %lu domain: event to another\n", n, least - empty);
    c->data->yields = 1;
    bare(event_channel_op, EVTCHNOP_send, &send);
    bare(sched_op, SCHEDOP_yield);
    least = LEAST_TO(before = *turns, bare(sched_op, SCHEDOP_yield),
                     *turns == before + 1 ? rdtsc() : ~0UL);
    kprint("GROWTH %u %lu domain: switch to another\n", n, (least - empty) / 2);
    c->data->yields = 0;
    bare(sched_op, SCHEDOP_yield);
    GROWTH("domain: creation", n, if (i) domain_end(id), id = domain_make(small(), CHILD_PAGES));
    domain_end(id);
    GROWTH("domain: destruction", n, id = domain_make(small(), CHILD_PAGES), domain_end(id));
}

static void domains(void)
{
    static struct child children[NR_DOMAINS];
    unsigned int nr = 0;

    for (unsigned int n = 1; n <= NR_DOMAINS; n = n == 1 ? 25 : n + 25) {
        for (; nr < n; nr++)
            child_start(&children[nr]);
        for (unsigned int k = 0; k < 2 * n; k++)
            bare(sched_op, SCHEDOP_yield);
        measure_domains(n, &children[n - 1]);
    }
    while (nr--)
        child_end(&children[nr]);
}

static const struct group {
    const char *name;
    void (*run)(void);
} groups[] = {
    { "channels", channels }, { "pins", pins },     { "updates", updates },
    { "frames", frames },     { "timers", timers }, { "domains", domains },
};

/* Without arguments all groups, else those named. */
int main(int argc, char **argv)
{
    bool were_off = events_off();

    empty = LEAST(NOTHING, NOTHING);
    for (size_t n = 0; n < sizeof(groups) / sizeof(groups[0]); n++)
        for (int k = argc > 1 ? 1 : 0; k < argc; k++)
            if (argc == 1 || strcmp(argv[k], groups[n].name) == 0)
                groups[n].run();
    events_restore(were_off);
    return verdict();
}
