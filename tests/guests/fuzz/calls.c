/*
 * The hypercalls: how the arguments of each are made, and what is to be remembered of its answer.
 *
 * What is not called, because it would be the domain's legitimate end, or the machine's:
 *   sched_op shutdown, remote_shutdown      the end
 *   sched_op block, poll without an end     only where a timer wakes the vCPU
 *   vcpu_op down of a vCPU that fuzzes      nobody would bring it up
 *   vcpu_op of the witness but questions    it is to be left alone
 *   event_channel_op reset; close of a port of the witness or of a timer that wakes
 *   platform_op enter_acpi_sleep 5          power off
 *   debug keys R, W                         reboot, hang
 *   mmuext_op NEW_BASEPTR of a table that does not map the kernel
 *   iret (traps.c has it), stack_switch and the like without being put right again
 *   mmu_update, CLEAR_PAGE, decrease_reservation and their like on frames of the kernel's image
 */
#define __XEN_TOOLS__ 1 /* domctl's and sysctl's structures */
#include "fuzz.h"

#include <xen/arch-x86/xen-mca.h>
#include <xen/platform.h>
#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/sysctl.h>

#define NR(name) __HYPERVISOR_##name
#define SET(c, number, ...) \
    (*(c) = (struct call){ .nr = NR(number), .args = { __VA_ARGS__ }, .after = (c)->after })

/* The structure x, somewhere, mostly as it is. */
#define ARG(f, x)                       \
    ({                                  \
        void *p_ = arena(f, sizeof(x)); \
        memcpy(p_, &(x), sizeof(x));    \
        pointer(f, p_, sizeof(x));      \
    })

/* ---- memory ---- */

static void after_decrease(struct fuzzer *f, struct call *c, long rc)
{
    for (long k = 0; k < rc && k < (long)c->n; k++)
        slot_give(c->list[k], 1UL << c->order);
}

/*
 * The frames are ours only if we find their numbers in the list: where another call's structure was read
 * in place of ours, ours still has the pfns that we wrote, which as frames may be of the kernel's image.
 */
static void after_populate(struct fuzzer *f, struct call *c, long rc)
{
    const uint64_t *list = c->arg;

    for (long k = 0; k < rc && k < (long)c->n; k++)
        for (uint64_t j = 0; list[k] != c->list[k] && j < 1UL << c->order; j++)
            slot_take(list[k] + j);
}

static bool contiguous(uint64_t mfn, unsigned int order)
{
    unsigned int found = 0;

    for (unsigned int s = 0; s < NR_SLOTS; s++)
        found += slots[s] && slots[s] - mfn < 1UL << order;
    return found == 1u << order;
}

static void frames_to_give(struct fuzzer *f, struct call *c, uint64_t *list, unsigned int n)
{
    c->n = n;
    c->order = chance(f, 8) ? (unsigned int)below(f, 3) : 0;
    for (unsigned int k = 0; k < n; k++) {
        list[k] = chance(f, 16) ? mfn_to_write(f) : mfn_of_role(f, ROLE_FREE);
        if (c->order && !contiguous(list[k], c->order))
            c->order = 0;
        c->list[k] = list[k];
    }
    for (unsigned int k = 0; c->order && k < n; k++) /* the order was settled by the last */
        if (!contiguous(list[k], c->order))
            c->order = 0;
}

static void make_decrease(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = 1 + (unsigned int)below(f, 4);
    struct xen_memory_reservation r = { .domid = (domid_t)domid(f),
                                        .mem_flags = (unsigned)below(f, 64) };
    uint64_t *list = arena_end(f, n * 8);

    *c = (struct call){ .nr = NR(memory_op), .args = { sub }, .after = after_decrease };
    frames_to_give(f, c, list, n);
    set_xen_guest_handle(r.extent_start, list);
    r.nr_extents = count_of(f, n);
    r.extent_order = chance(f, 32) ? (unsigned)ONE_OF(f, 13, 31, 32, 63, 64, ~0U) : c->order;
    c->args[1] = ARG(f, r);
}

static void make_populate(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = 1 + (unsigned int)below(f, 4);
    struct xen_memory_reservation r = { .domid = (domid_t)domid(f) };
    uint64_t *list = arena_end(f, n * 8);

    *c = (struct call){ .nr = NR(memory_op), .args = { sub }, .after = after_populate, .n = n };
    for (unsigned int k = 0; k < n; k++)
        list[k] = c->list[k] = slot_pfn((unsigned int)below(f, NR_SLOTS));
    c->arg = list;
    c->order = chance(f, 8) ? (unsigned int)below(f, 3) : 0;
    set_xen_guest_handle(r.extent_start, list);
    r.nr_extents = n; /* a list that ends too early would give frames that nobody hears of */
    r.extent_order = chance(f, 32) ? (unsigned)ONE_OF(f, 13, 31, 32, 63, 64, ~0U) : c->order;
    r.mem_flags = chance(f, 8) ? (unsigned)rnd(f) : 0;
    c->args[1] = ARG(f, r);
}

static void after_exchange(struct fuzzer *f, struct call *c, long rc)
{
    const struct xen_memory_exchange *x = c->arg;
    uint64_t from = c->more[0], done = x->nr_exchanged;

    if (done > c->n) /* refused */
        return;
    for (uint64_t k = from; k < done; k++)
        slot_give(c->list[k], 1UL << c->order);
    /* before `from` are still our pfns: as after_populate() */
    for (uint64_t k = from << c->order >> c->order_out; k < done << c->order >> c->order_out; k++)
        for (uint64_t j = 0; j < 1UL << c->order_out; j++)
            slot_take(x->out.extent_start.p[k] + j);
}

static void make_exchange(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = 1u << below(f, 3);
    struct xen_memory_exchange *x = arena(f, sizeof(*x));
    uint64_t *in = arena(f, n * 8), *out = arena_end(f, 4 * n * 8);

    *c = (struct call){ .nr = NR(memory_op), .args = { sub }, .after = after_exchange, .arg = x };
    frames_to_give(f, c, in, n);
    c->order_out = chance(f, 3) ? (unsigned int)below(f, 3) : c->order;
    set_xen_guest_handle(x->in.extent_start, in);
    set_xen_guest_handle(x->out.extent_start, out);
    x->in.domid = (domid_t)domid(f);
    x->out.domid = chance(f, 32) ? (domid_t)domid(f) : x->in.domid;
    x->in.nr_extents = count_of(f, n);
    x->in.extent_order = c->order;
    x->out.nr_extents = ((uint64_t)n << c->order) >> c->order_out;
    x->out.extent_order = chance(f, 32) ? (unsigned)ONE_OF(f, 13, 31, 63, ~0U) : c->order_out;
    x->out.mem_flags = chance(f, 8)
                           ? (unsigned)ONE_OF(f, XENMEMF_address_bits(32), XENMEMF_address_bits(13),
                                              XENMEMF_address_bits(12), 0xff, ~0U)
                           : 0;
    x->nr_exchanged = chance(f, 16) ? ONE_OF(f, 1, n, n + 1, ~0UL) : 0;
    for (unsigned int k = 0; k < 4 * n; k++)
        out[k] = slot_pfn((unsigned int)below(f, NR_SLOTS));
    c->args[1] = pointer(f, x, sizeof(*x));
    if (c->args[1] != (uint64_t)x) /* it is read there, and answered */
        x->nr_exchanged = 0;
    c->more[0] = x->nr_exchanged;
}

static void make_memory_question(struct fuzzer *f, struct call *c, uint64_t sub)
{
    domid_t *id = arena(f, 64);
    struct xen_memory_map map = { .nr_entries = (unsigned)count_of(f, 32) };

    *id = (domid_t)domid(f);
    SET(c, memory_op, sub);
    if (sub == XENMEM_machine_memory_map) {
        set_xen_guest_handle(map.buffer, (void *)pointer(f, arena(f, 20 * 32), 20 * 32));
        map.nr_entries = map.nr_entries > 32 ? 32 : map.nr_entries;
        c->args[1] = ARG(f, map);
    } else {
        c->args[1] = pointer(f, id, 64);
    }
}

static void make_memory_unknown(struct fuzzer *f, struct call *c, uint64_t sub)
{
    static const uint8_t known[] = { 1, 2, 4, 6, 11 }; /* 2: later, perhaps */
    uint64_t cmd;
    bool bad;

    do {
        cmd = below(f, 64);
        bad = false;
        for (unsigned int k = 0; k < ARRAY_SIZE(known); k++)
            bad |= known[k] == cmd;
    } while (bad);
    SET(c, memory_op, cmd | (chance(f, 4) ? rnd(f) << 6 : 0), pointer(f, arena(f, 64), 64));
}

/* ---- page tables ---- */

static void one_update(struct fuzzer *f, struct mmu_update *u)
{
    unsigned int level = 1 + (unsigned int)below(f, 4);
    uint64_t cmd = chance(f, 8) ? below(f, 4) : MMU_NORMAL_PT_UPDATE, w = below(f, NR_SLOTS);

    bool own = false;

    u->val = entry(f, level);
    switch (below(f, 10)) {
    case 0: /* an entry of a table that the kernel runs on */
        own = true;
        u->ptr = virt_to_maddr(pte_of(kernel_root, (uint64_t)WINDOW(w), 1));
        u->val = entry(f, 1);
        break;
    case 1:
        own = true;
        w = chance(f, 2) ? MAX_FUZZERS : below(f, MAX_FUZZERS);
        u->ptr =
            virt_to_maddr(&(w < MAX_FUZZERS ? alt_roots[w] : kernel_root)[FUZZ_SLOT + below(f, 4)]);
        u->val = entry(f, 4);
        break;
    case 2: /* anything; M2P */
        u->ptr = mfn_to_update(f) << 12 | below(f, 512) << 3;
        if (chance(f, 2)) {
            cmd = MMU_MACHPHYS_UPDATE;
            u->val = chance(f, 4) ? value(f) : slot_pfn((unsigned int)w);
        }
        break;
    default: u->ptr = mfn_of_role(f, ROLE_L1 + level - 1) << 12 | table_index(f, level) << 3;
    }
    if (chance(f, 40))
        cmd = below(f, 8);
    /* the M2P of the kernel's own tables is how it finds them */
    u->ptr |= cmd == MMU_MACHPHYS_UPDATE && own ? MMU_PT_UPDATE_PRESERVE_AD : cmd;
}

static void make_mmu_update(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = 1 + (unsigned int)below(f, 4);
    struct mmu_update *u = arena_end(f, n * sizeof(*u));
    uint32_t *done = arena(f, 8);

    for (unsigned int k = 0; k < n; k++)
        one_update(f, &u[k]);
    SET(c, mmu_update, pointer(f, u, n * sizeof(*u)), count_of(f, n),
        chance(f, 3) ? pointer(f, done, 8) : 0,
        domid(f) | (chance(f, 16) ? (domid(f) + 1) << 16 : 0));
}

static void make_mmuext(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = chance(f, 4) ? 1 + (unsigned int)below(f, 4) : 1;
    struct mmuext_op *op = arena_end(f, n * sizeof(*op));

    for (unsigned int k = 0; k < n; k++) {
        uint64_t *mask = arena(f, 8);
        unsigned int cmd = k || sub == ~0UL
                               ? (unsigned)ONE_OF(f, 0, 1, 2, 3, 4, 4, 4, 6, 7, 8, 9, 10, 11, 14,
                                                  16, 17, 18, 19, 20, 21, 99, ~0U)
                               : (unsigned)sub;

        op[k].cmd = cmd;
        op[k].arg1.mfn = mfn_to_write(f);
        op[k].arg2.src_mfn = mfn_to_read(f);
        switch (cmd) {
        case MMUEXT_PIN_L1_TABLE ... MMUEXT_PIN_L4_TABLE:
            op[k].arg1.mfn = mfn_of_role(f, ROLE_L1 + cmd - MMUEXT_PIN_L1_TABLE);
            break;
        case MMUEXT_UNPIN_TABLE:
            op[k].arg1.mfn = mfn_of_role(f, ROLE_L1 + below(f, 4));
            if (chance(f, 16))
                op[k].arg1.mfn = virt_to_mfn(alt_roots[below(f, MAX_FUZZERS)]);
            break;
        case MMUEXT_NEW_BASEPTR:
            op[k].arg1.mfn = chance(f, 8)
                                 ? ONE_OF(f, 0, ~0UL, 1UL << 40, virt_to_mfn(hypercall_page))
                             : chance(f, 2) ? virt_to_mfn(kernel_root)
                                            : virt_to_mfn(alt_roots[below(f, MAX_FUZZERS)]);
            break;
        case MMUEXT_NEW_USER_BASEPTR:
            op[k].arg1.mfn = chance(f, 3)   ? virt_to_mfn(user_root)
                             : chance(f, 8) ? 0
                                            : mfn_of_role(f, ROLE_L4);
            break;
        case MMUEXT_TLB_FLUSH_MULTI:
        case MMUEXT_INVLPG_MULTI:
            *mask = chance(f, 2) ? rnd(f) : (1UL << nr_all_vcpus) - 1;
            set_xen_guest_handle(op[k].arg2.vcpumask, (void *)pointer(f, mask, 8));
            /* fall through */
        case MMUEXT_INVLPG_LOCAL:
        case MMUEXT_INVLPG_ALL: op[k].arg1.linear_addr = any_va(f); break;
        case MMUEXT_SET_LDT:
            op[k].arg1.linear_addr =
                chance(f, 6) ? any_va(f) : (uint64_t)WINDOW(slot_of_role(f, ROLE_DESC));
            op[k].arg2.nr_ents =
                (unsigned)(chance(f, 6) ? ONE_OF(f, 0, 1, 8192, 8193, ~0U, 1U << 31)
                                        : 512 * below(f, 4));
            break;
        }
    }
    SET(c, mmuext_op, pointer_private(f, op, n * sizeof(*op)), count_of(f, n),
        chance(f, 3) ? pointer(f, arena(f, 8), 8) : 0, domid(f));
}

static uint64_t flush_flags(struct fuzzer *f)
{
    uint64_t *mask = arena(f, 8);

    *mask = rnd(f);
    return ONE_OF(f, UVMF_INVLPG, UVMF_INVLPG | UVMF_ALL, UVMF_TLB_FLUSH, UVMF_TLB_FLUSH | UVMF_ALL,
                  UVMF_NONE, UVMF_INVLPG | UVMF_LOCAL, (uint64_t)mask | UVMF_INVLPG,
                  (uint64_t)mask | UVMF_TLB_FLUSH, 3, any_va(f));
}

/* Roles are kept up: what is to be a table is not mapped writable, mostly. */
static void make_update_va(struct fuzzer *f, struct call *c, uint64_t sub)
{
    uint64_t w = below(f, NR_SLOTS), va = (uint64_t)WINDOW(w), e = entry(f, 1);

    if (chance(f, 3)) /* the page that belongs there */
        e = slots[w] << 12 | (w < 20 ? PTE_FLAGS : PTE_FLAGS & ~(uint64_t)PTE_RW);
    else if (w >= 47 && !chance(f, 4))
        e = 0;
    if (chance(f, 12)) {
        va = ONE_OF(f, fuzz_va(f), fuzz_va(f), 0, 0x400000, ~0UL, 1UL << 47, NONCANONICAL,
                    HYPERVISOR_VIRT_START, MACH2PHYS_VIRT_START, HYPERVISOR_VIRT_END - 1);
    }
    if (sub)
        SET(c, update_va_mapping_otherdomain, va, e, flush_flags(f), domid(f));
    else
        SET(c, update_va_mapping, va, e, flush_flags(f));
}

static void make_update_descriptor(struct fuzzer *f, struct call *c, uint64_t sub)
{
    uint64_t maddr = (chance(f, 8) ? mfn_to_write(f) : mfn_of_role(f, ROLE_DESC)) << 12;
    uint64_t desc = ONE_OF(f, 0, 0x00cff3000000ffff, 0x00affb000000ffff, 0x00cffb000000ffff,
                           0x0000ec0000000000, 0x00008b0000000067, 0x000082000000ffff, rnd(f));

    maddr |= chance(f, 10) ? below(f, PAGE_SIZE) : below(f, 8) << 3;
    SET(c, update_descriptor, maddr, desc ^ (chance(f, 4) ? 1UL << below(f, 64) : 0));
}

static void make_set_gdt(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = (unsigned int)below(f, 4);
    uint64_t *frames = arena(f, 16 * 8);

    for (unsigned int k = 0; k < 16; k++)
        frames[k] = mfn_of_role(f, ROLE_DESC);
    SET(c, set_gdt, pointer(f, frames, 8 * n),
        chance(f, 8) ? ONE_OF(f, 1, 511, 513, 7168, 7169, ~0U, 1UL << 32) : 512 * n);
}

/* ---- events ---- */

static void make_evtchn(struct fuzzer *f, struct call *c, uint64_t sub)
{
    union {
        struct evtchn_alloc_unbound alloc_unbound;
        struct evtchn_bind_interdomain bind_interdomain;
        struct evtchn_bind_virq bind_virq;
        struct evtchn_bind_vcpu bind_vcpu;
        struct evtchn_status status;
        struct evtchn_init_control init_control;
        struct evtchn_set_priority set_priority;
        uint32_t word[8];
    } u = { .word = { 0 } };

    switch (sub) {
    case EVTCHNOP_alloc_unbound:
        u.alloc_unbound.dom = (domid_t)domid(f);
        u.alloc_unbound.remote_dom = peer_id(f);
        break;
    case EVTCHNOP_bind_interdomain:
        u.bind_interdomain.remote_dom = peer_id(f);
        u.bind_interdomain.remote_port =
            (evtchn_port_t)(u.bind_interdomain.remote_dom == own_id ||
                                    u.bind_interdomain.remote_dom == DOMID_SELF
                                ? port(f)
                                : 1 + below(f, 50));
        break;
    case EVTCHNOP_bind_virq:
        u.bind_virq.virq = (uint32_t)(chance(f, 10) ? ONE_OF(f, 24, 25, 255, ~0U) : below(f, 24));
        u.bind_virq.vcpu = chance(f, 2) ? 0 : (uint32_t)vcpu_id(f);
        break;
    case EVTCHNOP_bind_pirq:
    case EVTCHNOP_bind_ipi:
        u.word[0] = (uint32_t)(sub == EVTCHNOP_bind_ipi ? vcpu_id(f)
                               : chance(f, 10)          ? ONE_OF(f, 255, 256, 1023, 1024, ~0U)
                                                        : below(f, 24));
        u.word[1] = (uint32_t)below(f, 2);
        break;
    case EVTCHNOP_bind_vcpu:
        u.bind_vcpu.port = (evtchn_port_t)port(f);
        u.bind_vcpu.vcpu = (uint32_t)vcpu_id(f);
        break;
    case EVTCHNOP_status:
        u.status.dom = (domid_t)domid(f);
        u.status.port = (evtchn_port_t)port(f);
        break;
    case EVTCHNOP_close:
    case EVTCHNOP_send:
    case EVTCHNOP_unmask: u.word[0] = (uint32_t)port(f); break;
    case EVTCHNOP_set_priority:
        u.set_priority.port = (evtchn_port_t)port(f);
        u.set_priority.priority = (uint32_t)below(f, 17);
        break;
    default: /* FIFO's, reset_cont and what is none; not reset */
        for (unsigned int k = 0; k < 8; k++)
            u.word[k] = (uint32_t)value(f);
        if (chance(f, 2))
            u.init_control.control_gfn = mfn_of_role(f, ROLE_DATA);
        u.init_control.offset |= 1; /* refused: this kernel's own events are two-level ones */
        sub = ONE_OF(f, 11, 12, 14, 15, 31, 1000, ~0U, 1UL << 31);
    }
    SET(c, event_channel_op, sub | (chance(f, 100) ? 1UL << 32 : 0));
    /* read anywhere, the port to be closed may be one that wakes us */
    c->args[1] = sub == EVTCHNOP_close
                     ? pointer_private(f, memcpy(arena(f, sizeof(u)), &u, sizeof(u)), sizeof(u))
                     : ARG(f, u);
}

/* ---- vCPUs and time ---- */

static uint64_t soon(struct fuzzer *f)
{
    return chance(f, 6) ? ONE_OF(f, 0, 1, ~0UL, 1UL << 63, 1UL << 62)
                        : fuzz_now(f) + below(f, 300000);
}

static void make_initialise(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct vcpu_guest_context *ctx = arena(f, sizeof(*ctx));
    uint64_t v =
        chance(f, 2) ? first_target + below(f, nr_all_vcpus - 1 - first_target + 1) : vcpu_id(f);

    if (v >= nr_all_vcpus - 1)
        v = nr_all_vcpus + below(f, 3); /* not the witness: it exists already */
    secondary_context(ctx, target_entry, (char *)target_stack((unsigned)v) - PAGE_SIZE);
    ctx->flags = chance(f, 4) ? (unsigned long)rnd(f) : VGCF_in_kernel;
    if (chance(f, 2))
        ctx->ctrlreg[1] = mfn_of_role(f, ROLE_L4) << 12;
    if (chance(f, 3)) {
        ctx->gdt_ents = chance(f, 3) ? value(f) : 512;
        for (unsigned int k = 0; k < 16; k++)
            ctx->gdt_frames[k] = mfn_of_role(f, ROLE_DESC);
    }
    if (chance(f, 3)) {
        ctx->ldt_base = (uint64_t)WINDOW(slot_of_role(f, ROLE_DESC));
        ctx->ldt_ents = chance(f, 3) ? value(f) : 512;
    }
    if (chance(f, 3))
        for (unsigned int k = 0; k < sizeof(ctx->fpu_ctxt) / 8; k++)
            ((uint64_t *)&ctx->fpu_ctxt)[k] = rnd(f);
    if (chance(f, 3))
        for (unsigned int k = 0; k < 8; k++)
            ctx->debugreg[k] = value(f);
    if (chance(f, 3))
        ctx->fs_base = value(f);
    if (chance(f, 3))
        ctx->gs_base_user = value(f);
    if (chance(f, 6))
        ctx->ctrlreg[3] = ONE_OF(f, 0, ~0UL, virt_to_maddr(hypercall_page), 1UL << 50);
    if (chance(f, 6))
        ctx->trap_ctxt[32 + below(f, 224)].address = value(f);
    if (chance(f, 6))
        ctx->user_regs.ds = (uint16_t)rnd(f);
    SET(c, vcpu_op, VCPUOP_initialise, v, pointer_private(f, ctx, sizeof(*ctx)));
}

static void after_register_info(struct fuzzer *f, struct call *c, long rc)
{
    if (rc == 0 && c->args[1] == f->id)
        f->info = (struct vcpu_info *)c->arg;
}

static void make_vcpu(struct fuzzer *f, struct call *c, uint64_t sub)
{
    static char info_pages[MAX_FUZZERS][PAGE_SIZE] __attribute__((aligned(4096)));
    struct vcpu_register_vcpu_info info = { .mfn = mfn_of_role(f, ROLE_DATA),
                                            .offset = (uint32_t)(below(f, 64) * 64) };
    struct vcpu_set_singleshot_timer timer = { .timeout_abs_ns = soon(f),
                                               .flags = (uint32_t)below(f, 3) };
    uint64_t v = chance(f, 2) ? f->id : vcpu_id(f), area[2] = { any_va(f), 0 };

    SET(c, vcpu_op, sub, v);
    switch (sub) {
    case VCPUOP_down:
    case VCPUOP_up:
        if (v < first_target || v == nr_all_vcpus - 1)
            v = chance(f, 8) || first_target == nr_all_vcpus - 1
                    ? nr_all_vcpus
                    : first_target + below(f, nr_all_vcpus - 1 - first_target);
        break;
    case VCPUOP_register_runstate_memory_area:
    case VCPUOP_register_vcpu_time_memory_area: c->args[2] = ARG(f, area); break;
    case VCPUOP_set_singleshot_timer: c->args[2] = ARG(f, timer); break;
    case VCPUOP_set_periodic_timer:
    case VCPUOP_get_runstate_info:
    case VCPUOP_get_physid: c->args[2] = pointer(f, arena(f, 64), 64); break;
    case VCPUOP_register_vcpu_info:
        if (v == 0 || v == nr_all_vcpus - 1)
            v = nr_all_vcpus; /* time is read there by everybody */
        if (v == f->id) {     /* the kernel must find it again, before the next upcall */
            f->info->evtchn_upcall_mask = 1;
            info.mfn = virt_to_mfn(info_pages[v]);
            info.offset = chance(f, 3) ? (uint32_t)value(f) : (info.offset & 4095);
            c->arg = info_pages[v] + (info.offset & 4095);
            c->after = after_register_info;
            c->args[2] = (uint64_t)memcpy(arena(f, sizeof(info)), &info, sizeof(info));
        } else {
            info.offset = chance(f, 3) ? (uint32_t)value(f) : info.offset;
            c->args[2] = ARG(f, info);
        }
        break;
    case VCPUOP_send_nmi:
        if (v == nr_all_vcpus - 1)
            v = nr_all_vcpus;
        break;
    case ~0UL: c->args[0] = ONE_OF(f, 14, 15, 16, 17, 100, ~0UL, 1UL << 32, 1UL << 31); break;
    }
    if ((sub == VCPUOP_register_runstate_memory_area ||
         sub == VCPUOP_register_vcpu_time_memory_area) &&
        v == nr_all_vcpus - 1)
        v = f->id;
    c->args[1] = v;
}

static void make_set_timer(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, set_timer_op, soon(f));
}

static void make_sched(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct sched_poll poll = { .nr_ports = (unsigned)(chance(f, 10) ? ONE_OF(f, 128, 129, ~0U)
                                                                    : below(f, 4)) };
    evtchn_port_t *ports = arena_end(f, 16);

    for (unsigned int k = 0; k < 4; k++)
        ports[k] = (evtchn_port_t)port(f);
    poll.timeout = fuzz_now(f) + below(f, 50000) - 10000;
    set_xen_guest_handle(poll.ports, (void *)pointer(f, ports, 16));
    if (sub == SCHEDOP_poll) {
        void *p = memcpy(arena(f, sizeof(poll)), &poll, sizeof(poll));

        /* a race in its timeout would put us to sleep */
        SET(c, sched_op, sub,
            chance(f, 16) ? HYPERVISOR_VIRT_START + (rnd(f) & 0x7fffffffff8UL) : (uint64_t)p);
    } else if (sub == SCHEDOP_block) {
        f->info->evtchn_upcall_mask = 1; /* else the event may have come and gone before */
        hc(set_timer_op, fuzz_now(f) + 20000);
        SET(c, sched_op, sub);
    } else {
        SET(c, sched_op, sub == ~0UL ? ONE_OF(f, 5, 7, 8, 100, ~0UL, ~0U, 1UL << 32) : sub,
            any_va(f));
    }
}

/* ---- the kernel's own vCPU; see repair() ---- */

static void make_trap_table(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = 1 + (unsigned int)below(f, 6);
    struct trap_info *t = arena(f, sizeof(*t) * (n + 1));

    for (unsigned int k = 0; k < n; k++)
        t[k] = (struct trap_info){ (uint8_t)rnd(f), (uint8_t)rnd(f), (uint16_t)rnd(f), value(f) };
    SET(c, set_trap_table, chance(f, 8) ? 0 : pointer(f, t, sizeof(*t) * (n + 1)));
}

/* Of NMIs, which others may send meanwhile: nothing there that could be executed. */
static uint64_t nmi_address(struct fuzzer *f)
{
    return ONE_OF(f, 0, 1, 0x1000, (1UL << 47) - 8, HYPERVISOR_VIRT_END - 8, ~7UL, ~0UL,
                  NONCANONICAL, 1UL << 47);
}

static void make_callback(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct callback_register *reg = arena(f, sizeof(*reg));

    reg->type = (uint16_t)(chance(f, 10) ? rnd(f) : below(f, 9));
    reg->flags = (uint16_t)below(f, 4);
    reg->address = reg->type == CALLBACKTYPE_nmi ? nmi_address(f) : value(f);
    SET(c, callback_op, sub == ~0UL ? ONE_OF(f, 2, 3, ~0UL, 1UL << 32) : sub,
        pointer_private(f, reg, sizeof(*reg)));
}

static void make_set_callbacks(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, set_callbacks, value(f), value(f), value(f));
}

static void make_nmi_op(struct fuzzer *f, struct call *c, uint64_t sub)
{
    uint64_t *op = arena(f, 16);

    op[0] = nmi_address(f);
    SET(c, nmi_op, chance(f, 6) ? value(f) : below(f, 2), pointer_private(f, op, 16));
}

static void make_stack_switch(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, stack_switch, value(f), value(f));
}

static void make_debugreg(struct fuzzer *f, struct call *c, uint64_t sub)
{
    uint64_t reg = chance(f, 16) ? value(f) : below(f, 8);

    SET(c, set_debugreg, reg,
        reg < 4        ? any_va(f)
        : chance(f, 2) ? value(f)
                       : below(f, 1 << 10) | below(f, 16) << 16);
}

static void make_get_debugreg(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, get_debugreg, chance(f, 4) ? value(f) : below(f, 8));
}

static void make_segment_base(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, set_segment_base, chance(f, 16) ? value(f) : below(f, 4), value(f));
}

static void make_taskswitch(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, fpu_taskswitch, chance(f, 4) ? value(f) : below(f, 2));
}

static void make_vm_assist(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, vm_assist, chance(f, 10) ? value(f) : below(f, 2),
        chance(f, 10) ? value(f) : ONE_OF(f, 0, 1, 2, 3, 4, 5, 6, 32));
}

/* ---- the machine ---- */

static void make_physdev(struct fuzzer *f, struct call *c, uint64_t sub)
{
    union {
        struct physdev_map_pirq map_pirq;
        struct physdev_unmap_pirq unmap_pirq;
        struct physdev_set_iobitmap set_iobitmap;
        struct physdev_apic apic;
        struct physdev_setup_gsi setup_gsi;
        struct physdev_pci_device_add add;
        uint32_t word[16];
        uint64_t quad[8];
    } u = { .quad = { 0 } };
    uint32_t gsi =
        (uint32_t)(chance(f, 10) ? ONE_OF(f, 24, 255, 256, 1023, 1024, ~0U) : below(f, 24));

    switch (sub) {
    case PHYSDEVOP_map_pirq:
        u.map_pirq.domid = (domid_t)domid(f);
        u.map_pirq.type = (int)(chance(f, 8) ? below(f, 6) : MAP_PIRQ_TYPE_GSI);
        u.map_pirq.index = (int)gsi;
        u.map_pirq.pirq = chance(f, 2) ? -1 : (int)gsi;
        u.map_pirq.bus = chance(f, 8) ? (int)value(f) : 0;
        u.map_pirq.devfn = (int)(below(f, 8) << 3);
        u.map_pirq.entry_nr = chance(f, 8) ? (int)value(f) : 0;
        break;
    case PHYSDEVOP_unmap_pirq:
        u.unmap_pirq.domid = (domid_t)domid(f);
        u.unmap_pirq.pirq = (int)gsi;
        break;
    case PHYSDEVOP_set_iopl: u.word[0] = (uint32_t)below(f, 5); break;
    case PHYSDEVOP_set_iobitmap:
        set_xen_guest_handle(u.set_iobitmap.bitmap, (void *)any_va(f));
        u.set_iobitmap.nr_ports = (uint32_t)(chance(f, 4) ? value(f) : 65536);
        break;
    case PHYSDEVOP_apic_read:
    case PHYSDEVOP_apic_write:
        u.apic.apic_physbase = chance(f, 4) ? value(f) : 0xfec00000;
        u.apic.reg = (uint32_t)(chance(f, 6) ? value(f) : below(f, 0x40));
        u.apic.value = (uint32_t)rnd(f);
        break;
    case PHYSDEVOP_setup_gsi:
        u.setup_gsi.gsi = (int)gsi;
        u.setup_gsi.triggering = (uint8_t)below(f, 3);
        u.setup_gsi.polarity = (uint8_t)below(f, 3);
        break;
    case PHYSDEVOP_eoi:
    case PHYSDEVOP_irq_status_query:
    case PHYSDEVOP_alloc_irq_vector: u.word[0] = gsi; break;
    case PHYSDEVOP_pci_device_add:
    case PHYSDEVOP_pci_device_remove:
        u.add.bus = (uint8_t)below(f, 2);
        u.add.devfn = (uint8_t)(below(f, 8) << 3 | below(f, 3));
        break;
    default:
        for (unsigned int k = 0; k < 8; k++)
            u.quad[k] = value(f);
        sub = below(f, 48);
        if (sub == PHYSDEVOP_set_iopl || sub == PHYSDEVOP_set_iobitmap)
            sub = 3;
    }
    SET(c, physdev_op, sub, ARG(f, u));
}

static void make_platform(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct xen_platform_op op = { .cmd = (uint32_t)sub,
                                  .interface_version = XENPF_INTERFACE_VERSION };

    if (chance(f, 20))
        op.interface_version = (uint32_t)value(f);
    for (unsigned int k = 0; k < sizeof(op.u.pad) / 8; k++)
        ((uint64_t *)op.u.pad)[k] = chance(f, 2) ? 0 : value(f);
    switch (sub) {
    case XENPF_settime64:
        op.u.settime64.mbz = chance(f, 8);
        op.u.settime64.nsecs = (uint32_t)(chance(f, 6) ? value(f) : below(f, 1000000000));
        break;
    case XENPF_firmware_info:
        op.u.firmware_info.type = (uint32_t)below(f, 8);
        op.u.firmware_info.index = (uint32_t)(chance(f, 4) ? value(f) : below(f, 6));
        break;
    case XENPF_enter_acpi_sleep:
        op.u.enter_acpi_sleep.sleep_state = (uint32_t)ONE_OF(f, 0, 1, 3, 4, 6, ~0U);
        break;
    case XENPF_get_cpuinfo:
        op.u.pcpu_info.xen_cpuid = (uint32_t)(chance(f, 4) ? value(f) : below(f, 5));
        break;
    default:
        op.cmd = (uint32_t)below(f, 80);
        if (op.cmd == XENPF_enter_acpi_sleep)
            op.cmd = 0;
    }
    SET(c, platform_op,
        pointer_private(f, memcpy(arena(f, sizeof(op)), &op, sizeof(op)), sizeof(op)));
}

static void make_sysctl(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct xen_sysctl op = { .cmd = (uint32_t)sub,
                             .interface_version = XEN_SYSCTL_INTERFACE_VERSION };
    uint8_t *keys = arena_end(f, 16);

    if (chance(f, 20))
        op.interface_version = (uint32_t)value(f);
    for (unsigned int k = 0; k < 16; k++)
        keys[k] = (uint8_t)ONE_OF(f, 0, 1, 127, 255, '0', 'z', 'Z', '%');
    if (chance(f, 60))
        keys[15] = (uint8_t)ONE_OF(f, 'q', 'd', 'm', 'r', 'e', 'i', 'h', 'A'); /* prints much */
    if (sub == XEN_SYSCTL_debug_keys) {
        set_xen_guest_handle(op.u.debug_keys.keys,
                             (void *)(chance(f, 6) ? any_va(f) & ~0xfffUL : (uint64_t)keys));
        op.u.debug_keys.nr_keys = (uint32_t)(chance(f, 6) ? ONE_OF(f, 0, 17, ~0U) : 16);
        if (op.u.debug_keys.keys.p != (void *)keys) /* whatever there is: it may be 'R' */
            op.u.debug_keys.nr_keys = 17;
        SET(c, sysctl, (uint64_t)memcpy(arena(f, sizeof(op)), &op, sizeof(op)));
        return;
    }
    op.cmd = (uint32_t)(chance(f, 4) ? value(f) : below(f, 32));
    if (op.cmd == XEN_SYSCTL_debug_keys)
        op.cmd = 0;
    for (unsigned int k = 0; k < sizeof(op.u.pad) / 8; k++) {
        uint64_t word = value(f);

        /* some of them answer into a buffer: not into this kernel itself, which the log once ended */
        ((uint64_t *)op.u.pad)[k] = word >= HYPERVISOR_VIRT_END ? word & 0xffff : word;
    }
    SET(c, sysctl, pointer_private(f, memcpy(arena(f, sizeof(op)), &op, sizeof(op)), sizeof(op)));
}

static void make_console(struct fuzzer *f, struct call *c, uint64_t sub)
{
    static const char text[] = "fuzz";
    char *p = arena_end(f, 8);

    memcpy(p, text, 4);
    if (sub == CONSOLEIO_write)
        SET(c, console_io, sub, chance(f, 4) ? ONE_OF(f, 0, 9, 4097, ~0U, 1UL << 31, 1UL << 32) : 4,
            chance(f, 4) ? HYPERVISOR_VIRT_START : (uint64_t)p);
    else
        SET(c, console_io, sub == ~0UL ? ONE_OF(f, 2, 3, ~0UL, 1UL << 32) : sub, count_of(f, 64),
            pointer(f, arena(f, 64), 64));
}

static void make_version(struct fuzzer *f, struct call *c, uint64_t sub)
{
    uint64_t *p = arena(f, 1100);

    *p = chance(f, 2) ? below(f, 3) : value(f);
    SET(c, xen_version, chance(f, 10) ? value(f) : below(f, 12), pointer(f, p, 1100));
}

static void make_pmu(struct fuzzer *f, struct call *c, uint64_t sub)
{
    SET(c, xenpmu_op, below(f, 8), pointer(f, arena(f, 64), 64));
}

/* Numbers that the census has, but nobody answers; and numbers that are none. */
/* ---- other domains: a few that come and go, 1 to 4 ---- */

static void make_domctl(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct xen_domctl op = { .cmd = (uint32_t)sub,
                             .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                             .domain = (domid_t)(1 + below(f, 4)) };
    uint8_t *map = arena_end(f, 8);

    for (unsigned int k = 0; k < sizeof(op.u.pad) / 8; k++)
        ((uint64_t *)op.u.pad)[k] = value(f);
    switch (sub) {
    case XEN_DOMCTL_createdomain:
        op.u.createdomain.ssidref = (uint32_t)below(f, 10) << 16 | (uint32_t)below(f, 20);
        op.u.createdomain.flags = chance(f, 8) ? (uint32_t)value(f) : 0;
        op.u.createdomain.iommu_opts = op.u.createdomain.vmtrace_size = 0;
        op.u.createdomain.cpupool_id = 0;
        op.u.createdomain.grant_opts = (uint32_t)count_of(f, 1);
        memset(&op.u.createdomain.arch, 0, sizeof(op.u.createdomain.arch));
        /* fallthrough */
    case XEN_DOMCTL_max_vcpus:
        *(sub == XEN_DOMCTL_max_vcpus ? &op.u.max_vcpus.max : &op.u.createdomain.max_vcpus) =
            (uint32_t)(chance(f, 10) ? value(f) : 1 + below(f, 2));
        break;
    case XEN_DOMCTL_max_mem: op.u.max_mem.max_memkb = below(f, 8192); break;
    case XEN_DOMCTL_setvcpuaffinity:
    case XEN_DOMCTL_getvcpuaffinity:
        op.u.vcpuaffinity.vcpu = (uint32_t)count_of(f, below(f, 2));
        op.u.vcpuaffinity.flags = (uint32_t)count_of(f, 3);
        *map = (uint8_t)value(f);
        op.u.vcpuaffinity.cpumap_hard.nr_bits = (uint32_t)count_of(f, 8);
        op.u.vcpuaffinity.cpumap_soft.nr_bits = (uint32_t)count_of(f, 8);
        set_xen_guest_handle_raw(op.u.vcpuaffinity.cpumap_hard.bitmap, map);
        set_xen_guest_handle_raw(op.u.vcpuaffinity.cpumap_soft.bitmap, map);
        break;
    case XEN_DOMCTL_scheduler_op:
        op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
        op.u.scheduler_op.cmd = (uint32_t)count_of(f, below(f, 2));
        break;
    case XEN_DOMCTL_ioport_permission:
        op.u.ioport_permission.first_port = (uint32_t)count_of(f, below(f, 65536));
        op.u.ioport_permission.nr_ports = (uint32_t)count_of(f, below(f, 100));
        break;
    case XEN_DOMCTL_iomem_permission:
        op.u.iomem_permission.first_mfn = count_of(f, 0xfd000 + below(f, 64));
        op.u.iomem_permission.nr_mfns = count_of(f, below(f, 16));
        break;
    case ~0UL: /* not those that could hurt the domain itself, whatever else is there */
        op.cmd = (uint32_t)(chance(f, 2) ? value(f) : below(f, 90));
        op.domain = (domid_t)ONE_OF(f, 1, 2, 9, DOMID_SELF, DOMID_IO, DOMID_XEN, DOMID_INVALID);
        break;
    default: break;
    }
    if (chance(f, 20))
        op.interface_version = (uint32_t)value(f);
    SET(c, domctl, pointer_private(f, memcpy(arena(f, sizeof(op)), &op, sizeof(op)), sizeof(op)));
}

static void make_remote_shutdown(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct sched_remote_shutdown op = { (domid_t)(1 + below(f, 4)), (unsigned int)value(f) };

    SET(c, sched_op, sub,
        pointer_private(f, memcpy(arena(f, sizeof(op)), &op, sizeof(op)), sizeof(op)));
}

static void make_watchdog(struct fuzzer *f, struct call *c, uint64_t sub)
{
    struct sched_watchdog op = { (uint32_t)count_of(f, below(f, 4)), (uint32_t)below(f, 2) * 9999 };

    SET(c, sched_op, sub, (uint64_t)memcpy(arena(f, sizeof(op)), &op, sizeof(op)));
}

static void make_absent(struct fuzzer *f, struct call *c, uint64_t sub)
{
    uint64_t *p = arena(f, 128);

    for (unsigned int k = 0; k < 16; k++)
        p[k] = value(f);
    SET(c, iret, below(f, 40), pointer(f, p, 128), value(f), value(f), value(f));
    if (sub == 0)
        c->nr = ONE_OF(f, NR(xsm_op), NR(hvm_op), NR(kexec_op), NR(tmem_op), NR(argo_op),
                       NR(xenoprof_op), NR(dm_op), NR(hypfs_op), NR(sched_op_compat),
                       NR(event_channel_op_compat), NR(physdev_op_compat), NR(arch_0));
    else
        c->nr = ONE_OF(f, 11, 22, 43, 44, 45, 46, 47, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59,
                       60, 61, 62, 63, 64, 65, 127, 255, 256, ~0UL, ~0U, 1UL << 31,
                       (1UL << 32) | NR(sched_op), 1UL << 63, -85UL);
}

/* ---- multicall ---- */

static struct call inner[MAX_FUZZERS][8];
static const struct row *inner_rows[MAX_FUZZERS][8];

static void after_multicall(struct fuzzer *f, struct call *c, long rc)
{
    const struct multicall_entry *e = c->arg;

    for (unsigned int k = 0; k < c->n; k++) {
        long result = (long)e[k].result;

        if (result == 0x7a7a7a7a)
            continue; /* not reached */
        tally_call(inner_rows[f->id][k], result);
        if (inner[f->id][k].after)
            inner[f->id][k].after(f, &inner[f->id][k], result);
    }
}

static void make_multicall(struct fuzzer *f, struct call *c, uint64_t sub)
{
    unsigned int n = 1 + (unsigned int)below(f, 4);
    struct multicall_entry *e = arena(f, n * sizeof(*e));

    for (unsigned int k = 0; k < n; k++) {
        struct call *i = &inner[f->id][k];
        const struct row *r;

        do
            r = draw_row(f, call_rows, nr_call_rows);
        while (r->flags & (ALONE | REPAIR));
        i->after = NULL;
        f->nested = true;
        r->make(f, i, r->sub);
        f->nested = false;
        inner_rows[f->id][k] = r;
        e[k].op = i->nr;
        if (chance(f, 32))
            e[k].op = ONE_OF(f, NR(iret), NR(multicall));
        for (unsigned int a = 0; a < 5; a++)
            e[k].args[a] = i->args[a];
        e[k].result = 0x7a7a7a7a;
    }
    *c = (struct call){
        .nr = NR(multicall), .args = { (uint64_t)e, n }, .n = n, .arg = e, .after = after_multicall
    };
}

/* ---- the table ---- */

#define ROW(w, name, sub, make)             \
    {                                       \
#name, w, 0, make_##make, sub, NULL \
    }
#define EV(w, op)                                                       \
    {                                                                   \
        "event_channel_op." #op, w, 0, make_evtchn, EVTCHNOP_##op, NULL \
    }
#define EXT(w, op)                                             \
    {                                                          \
        "mmuext_op." #op, w, 0, make_mmuext, MMUEXT_##op, NULL \
    }
#define VC(w, op, make)                                      \
    {                                                        \
        "vcpu_op." #op, w, 0, make_##make, VCPUOP_##op, NULL \
    }
#define PD(w, op)                                                   \
    {                                                               \
        "physdev_op." #op, w, 0, make_physdev, PHYSDEVOP_##op, NULL \
    }
#define PF(w, op)                                                 \
    {                                                             \
        "platform_op." #op, w, 0, make_platform, XENPF_##op, NULL \
    }
#define DC(w, op)                                               \
    {                                                           \
        "domctl." #op, w, 0, make_domctl, XEN_DOMCTL_##op, NULL \
    }
#define GT(w, op)                                                     \
    {                                                                 \
        "grant_table_op." #op, w, 0, make_grants, GNTTABOP_##op, NULL \
    }
#define SELF(w, name, sub, make)                         \
    {                                                    \
#name, w, ALONE | REPAIR, make_##make, sub, NULL \
    }

const struct row call_rows[] = {
    ROW(160, mmu_update, 0, mmu_update),
    ROW(80, update_va_mapping, 0, update_va),
    ROW(20, update_va_mapping_otherdomain, 1, update_va),
    EXT(16, PIN_L1_TABLE),
    EXT(16, PIN_L2_TABLE),
    EXT(16, PIN_L3_TABLE),
    EXT(16, PIN_L4_TABLE),
    EXT(60, UNPIN_TABLE),
    EXT(12, NEW_BASEPTR),
    EXT(20, NEW_USER_BASEPTR),
    EXT(2, TLB_FLUSH_LOCAL),
    EXT(4, INVLPG_LOCAL),
    EXT(4, TLB_FLUSH_MULTI),
    EXT(4, INVLPG_MULTI),
    EXT(2, TLB_FLUSH_ALL),
    EXT(4, INVLPG_ALL),
    EXT(1, FLUSH_CACHE),
    EXT(1, FLUSH_CACHE_GLOBAL),
    EXT(16, SET_LDT),
    EXT(16, CLEAR_PAGE),
    EXT(12, COPY_PAGE),
    EXT(2, MARK_SUPER),
    EXT(2, UNMARK_SUPER),
    ROW(8, mmuext_op.unknown, ~0UL, mmuext),
    ROW(24, update_descriptor, 0, update_descriptor),
    ROW(16, set_gdt, 0, set_gdt),
    ROW(24, memory_op.decrease_reservation, XENMEM_decrease_reservation, decrease),
    ROW(32, memory_op.populate_physmap, XENMEM_populate_physmap, populate),
    ROW(24, memory_op.exchange, XENMEM_exchange, exchange),
    ROW(2, memory_op.maximum_ram_page, XENMEM_maximum_ram_page, memory_question),
    ROW(2, memory_op.current_reservation, XENMEM_current_reservation, memory_question),
    ROW(2, memory_op.maximum_reservation, XENMEM_maximum_reservation, memory_question),
    ROW(2, memory_op.machphys_mapping, XENMEM_machphys_mapping, memory_question),
    ROW(4, memory_op.machine_memory_map, XENMEM_machine_memory_map, memory_question),
    ROW(6, memory_op.unknown, 0, memory_unknown),
    EV(16, alloc_unbound),
    EV(16, bind_interdomain),
    EV(8, bind_virq),
    EV(8, bind_pirq),
    EV(8, bind_ipi),
    EV(8, bind_vcpu),
    EV(40, close),
    EV(16, send),
    EV(8, status),
    EV(12, unmask),
    EV(4, set_priority),
    ROW(6, event_channel_op.unknown, ~0UL, evtchn),
    GT(40, map_grant_ref),
    GT(40, unmap_grant_ref),
    GT(12, unmap_and_replace),
    GT(24, copy),
    GT(6, swap_grant_ref),
    GT(4, setup_table),
    GT(2, query_size),
    ROW(3, grant_table_op.unknown, ~0UL, grants),
    VC(6, initialise, initialise),
    VC(4, up, vcpu),
    VC(4, down, vcpu),
    VC(4, is_up, vcpu),
    VC(4, get_runstate_info, vcpu),
    VC(6, register_runstate_memory_area, vcpu),
    VC(6, register_vcpu_time_memory_area, vcpu),
    VC(2, set_periodic_timer, vcpu),
    VC(2, stop_periodic_timer, vcpu),
    VC(8, set_singleshot_timer, vcpu),
    VC(4, stop_singleshot_timer, vcpu),
    VC(4, register_vcpu_info, vcpu),
    VC(8, send_nmi, vcpu),
    VC(2, get_physid, vcpu),
    { "vcpu_op.unknown", 2, 0, make_vcpu, ~0UL, NULL },
    ROW(6, set_timer_op, 0, set_timer),
    ROW(6, sched_op.yield, SCHEDOP_yield, sched),
    { "sched_op.block", 3, ALONE, make_sched, SCHEDOP_block, NULL },
    { "sched_op.poll", 6, ALONE, make_sched, SCHEDOP_poll, NULL },
    ROW(2, sched_op.unknown, ~0UL, sched),
    ROW(4, sched_op.remote_shutdown, SCHEDOP_remote_shutdown, remote_shutdown),
    ROW(2, sched_op.watchdog, SCHEDOP_watchdog, watchdog),
    SELF(8, set_trap_table, 0, trap_table),
    SELF(8, callback_op.register, CALLBACKOP_register, callback),
    SELF(4, callback_op.unregister, CALLBACKOP_unregister, callback),
    SELF(2, callback_op.unknown, ~0UL, callback),
    SELF(4, set_callbacks, 0, set_callbacks),
    SELF(4, nmi_op, 0, nmi_op),
    SELF(4, stack_switch, 0, stack_switch),
    ROW(12, set_debugreg, 0, debugreg),
    ROW(6, get_debugreg, 0, get_debugreg),
    ROW(10, set_segment_base, 0, segment_base),
    ROW(6, fpu_taskswitch, 0, taskswitch),
    ROW(6, vm_assist, 0, vm_assist),
    PD(4, eoi),
    PD(3, irq_status_query),
    PD(4, set_iopl),
    PD(4, set_iobitmap),
    PD(3, apic_read),
    PD(2, apic_write),
    PD(2, alloc_irq_vector),
    PD(8, map_pirq),
    PD(4, unmap_pirq),
    PD(6, setup_gsi),
    PD(2, pci_device_add),
    PD(2, pci_device_remove),
    ROW(6, physdev_op.unknown, ~0UL, physdev),
    PF(3, settime64),
    PF(4, firmware_info),
    PF(3, enter_acpi_sleep),
    PF(3, get_cpuinfo),
    ROW(3, platform_op.unknown, ~0UL, platform),
    ROW(3, sysctl.debug_keys, XEN_SYSCTL_debug_keys, sysctl),
    ROW(3, sysctl.unknown, 0, sysctl),
    DC(6, createdomain),
    DC(6, destroydomain),
    DC(4, max_vcpus),
    DC(2, max_mem),
    DC(3, pausedomain),
    DC(4, unpausedomain),
    DC(3, resumedomain),
    DC(3, getdomaininfo),
    DC(3, setvcpuaffinity),
    DC(2, getvcpuaffinity),
    DC(2, scheduler_op),
    DC(2, ioport_permission),
    DC(3, iomem_permission),
    ROW(4, domctl.unknown, ~0UL, domctl),
    ROW(1, console_io.write, CONSOLEIO_write, console),
    ROW(2, console_io.read, CONSOLEIO_read, console),
    ROW(1, console_io.unknown, ~0UL, console),
    ROW(8, xen_version, 0, version),
    ROW(2, xenpmu_op, 0, pmu),
    ROW(10, absent.census, 0, absent),
    ROW(10, absent.number, 1, absent),
    { "multicall", 60, ALONE, make_multicall, 0, NULL },
};
const unsigned int nr_call_rows = ARRAY_SIZE(call_rows);
