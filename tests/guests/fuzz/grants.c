/*
 * Grants, to itself and between two domains that both fuzz (beside.tsv: twice): the entries of the
 * kernel's own table change at any moment, and handles are remembered for those who end them.
 *
 * Only frames of the pool are granted, and nothing is mapped but at its windows and in its tables. A
 * mapping there that is replaced can only be ended by an entry like it: grants_refill().
 */
#include "fuzz.h"

#include <xen/grant_table.h>

#define NR_REFS 41u /* those drawn; the witness's of domain 0 are among them */
#define WITNESS_REF 8u
#define MAX_OPS 40u
#define NR_HELD 32u
#define IN_USE (GTF_reading | GTF_writing)
#define MAP_KINDS (GNTMAP_host_map | GNTMAP_device_map)

union op {
    struct gnttab_map_grant_ref map;
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_unmap_and_replace replace;
    struct gnttab_copy copy;
    struct gnttab_swap_grant_ref swap;
};

domid_t own_id;
static char table_page[PAGE_SIZE] __attribute__((aligned(4096)));
static char spare_page[PAGE_SIZE] __attribute__((aligned(4096)));
/* Where several vCPUs put their lists at once: all that is read there is a grant operation's. And a hole. */
static char raced_lists[2][PAGE_SIZE] __attribute__((aligned(4096)));
static uint32_t nr_handles; /* those below have been seen */
static uint64_t nr_mapped, nr_foreign, nr_copied, nr_lost;

/* What is mapped. Others may change it while it is read: then it is a wrong handle, or a wrong place. */
static struct held {
    uint32_t state; /* 0: free; 1: being filled; 2 */
    uint32_t handle, flags;
    domid_t dom;
    uint64_t host, dev;
} held[NR_HELD];

static volatile struct grant_entry_v1 *entry_of_ref(uint64_t ref)
{
    return (volatile struct grant_entry_v1 *)table_page + ref;
}

void grants_init(void)
{
    xen_pfn_t list[1];
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };

    own_id = own_domid();
    set_xen_guest_handle(setup.frame_list, list);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    CHECK_EQ(setup.status, GNTST_okay);
    CHECK_EQ(update_va(table_page, list[0] << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    CHECK_EQ(update_va(spare_page, 0, UVMF_INVLPG), 0);
    CHECK_EQ(update_va(raced_lists[1], 0, UVMF_INVLPG), 0);
}

/* ---- the kernel's own table ---- */

domid_t peer_id(struct fuzzer *f)
{
    return (domid_t)(!with_grants || chance(f, 16) ? domid(f)
                                                   : ONE_OF(f, own_id, own_id, 1, 2, 1, 2, 0));
}

static void write_entry(struct fuzzer *f)
{
    volatile struct grant_entry_v1 *e = entry_of_ref(below(f, NR_REFS));
    uint16_t flags =
        (uint16_t)(chance(f, 6) ? ONE_OF(f, 0, GTF_accept_transfer, GTF_transitive,
                                         GTF_permit_access | IN_USE,
                                         GTF_permit_access | GTF_sub_page, rnd(f))
                                : GTF_permit_access | (chance(f, 3) ? GTF_readonly : 0));
    uint32_t frame = (uint32_t)(chance(f, 4) ? mfn_to_update(f) : mfn_of_role(f, ROLE_DATA));
    domid_t dom = peer_id(f);

    switch (below(f, 8)) {
    case 0: e->flags = flags; break;
    case 1: e->frame = frame; break;
    case 2: e->domid = dom; break;
    case 3: e->flags = 0; break;
    default: *(volatile uint64_t *)e = flags | (uint64_t)dom << 16 | (uint64_t)frame << 32;
    }
}

/* The witness has granted few, and something of them shall always be mapped. */
static uint32_t ref_of(struct fuzzer *f, domid_t dom)
{
    if (dom == 0 && own_id && chance(f, 2))
        return (uint32_t)(WITNESS_REF + below(f, 4));
    return (uint32_t)(chance(f, 24) ? ONE_OF(f, 511, 512, 32767, 32768, ~0U, 1U << 31)
                                    : below(f, NR_REFS));
}

/* ---- what is mapped ---- */

static bool hold(const struct gnttab_map_grant_ref *op)
{
    for (struct held *h = held; h < held + NR_HELD; h++) {
        uint32_t none = 0;

        if (!__atomic_compare_exchange_n(&h->state, &none, 1, false, __ATOMIC_SEQ_CST,
                                         __ATOMIC_SEQ_CST))
            continue;
        h->handle = op->handle;
        h->flags = op->flags;
        h->dom = op->dom;
        h->host = op->host_addr;
        h->dev = op->dev_bus_addr;
        __atomic_store_n(&h->state, 2, __ATOMIC_SEQ_CST);
        return true;
    }
    return false;
}

/* Of these kinds it is mapped no more. */
static void let_go(uint32_t handle, uint32_t kinds)
{
    for (struct held *h = held; h < held + NR_HELD; h++) {
        uint32_t full = 2;

        if (h->state != 2 || h->handle != handle)
            continue;
        h->flags &= ~kinds;
        if (!(h->flags & MAP_KINDS))
            __atomic_compare_exchange_n(&h->state, &full, 0, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST);
    }
}

static int unmap(const struct held *h, uint64_t host)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = h->flags & GNTMAP_host_map ? host : 0,
                                         .dev_bus_addr = h->flags & GNTMAP_device_map ? h->dev : 0,
                                         .handle = h->handle,
                                         .status = 77 };

    hc(grant_table_op, GNTTABOP_unmap_grant_ref, &op, 1);
    return op.status;
}

/* Once more where an entry of ours looks like the grant's, which others have replaced. */
static bool unmap_replaced(const struct held *h)
{
    uint64_t flags = h->flags & GNTMAP_readonly ? PTE_FLAGS & ~PTE_RW : PTE_FLAGS;
    uint64_t at = h->flags & GNTMAP_contains_pte
                      ? virt_to_maddr(pte_of(kernel_root, (uint64_t)spare_page, 1))
                      : (uint64_t)spare_page;
    bool ok;

    if (update_va(spare_page, (h->dev & ~0xfffUL) | flags, UVMF_INVLPG))
        return false; /* another domain's, or given away */
    ok = unmap(h, at) == GNTST_okay;
    update_va(spare_page, 0, UVMF_INVLPG);
    return ok;
}

/* Some of what is mapped ends, or all, so that frames can be tables again. */
static void end_held(struct fuzzer *f, bool all)
{
    for (struct held *h = held; h < held + NR_HELD; h++) {
        struct held was = *h;
        int rc;

        if (was.state != 2 || (!all && chance(f, 2)))
            continue;
        rc = unmap(&was, was.host);
        if (rc != GNTST_okay && rc != GNTST_bad_handle && !unmap_replaced(&was))
            nr_lost++; /* until the domain's end */
        let_go(was.handle, MAP_KINDS);
    }
}

void grants_refill(struct fuzzer *f)
{
    static bool busy;

    if (__atomic_exchange_n(&busy, true, __ATOMIC_SEQ_CST))
        return; /* there is only one spare page */
    end_held(f, false);
    for (unsigned int ref = 0; ref < NR_REFS; ref++)
        if (entry_of_ref(ref)->flags & GTF_writing)
            slot_renew(entry_of_ref(ref)->frame);
    __atomic_store_n(&busy, false, __ATOMIC_SEQ_CST);
}

void grants_teardown(struct fuzzer *f)
{
    for (unsigned int ref = 0; ref < NR_REFS; ref++)
        entry_of_ref(ref)->flags = 0;
    end_held(f, true);
    if (with_grants) { /* else nothing has been tried */
        CHECK(nr_mapped > 0 && nr_copied > 0);
        CHECK(own_id == 0 || nr_foreign > 0); /* the witness's are there for that */
    }
    print("FUZZ grants: %lu mapped, %lu of others; %lu not to be ended; %lu copied\n", nr_mapped,
          nr_foreign, nr_lost, nr_copied);
}

/* ---- lists ---- */

/* As many as there are where it was read: all, those before a hole, or none. */
static unsigned int nr_answered(const struct fuzzer *f, const struct call *c, size_t size)
{
    uint64_t at = c->args[1], end = (uint64_t)f->arena + (ARENA_PAGES + 2) * PAGE_SIZE;

    if (at == (uint64_t)c->arg || at == (uint64_t)raced_lists)
        return c->n;
    if (at < (uint64_t)f->arena || at >= end)
        return 0;
    return (end - at) / size < c->n ? (unsigned int)((end - at) / size) : c->n;
}

static void after_map(struct fuzzer *f, struct call *c, long rc)
{
    unsigned int n = nr_answered(f, c, sizeof(struct gnttab_map_grant_ref));
    const struct gnttab_map_grant_ref *list = (const void *)c->args[1];

    for (unsigned int k = 0; k < n; k++) {
        struct gnttab_map_grant_ref op = list[k];

        if (op.status != GNTST_okay)
            continue;
        nr_mapped++;
        nr_foreign += op.dom != own_id;
        if (op.handle >= nr_handles)
            nr_handles = op.handle + 1;
        if (!hold(&op))
            unmap(&(struct held){ .handle = op.handle, .flags = op.flags, .dev = op.dev_bus_addr },
                  op.host_addr);
    }
}

static void after_unmap(struct fuzzer *f, struct call *c, long rc)
{
    unsigned int n = nr_answered(f, c, sizeof(struct gnttab_unmap_grant_ref));
    const struct gnttab_unmap_grant_ref *list = (const void *)c->args[1];
    bool replace = c->args[0] == GNTTABOP_unmap_and_replace;

    for (unsigned int k = 0; k < n; k++) {
        struct gnttab_unmap_grant_ref op = list[k];

        if (op.status == GNTST_bad_handle)
            let_go(op.handle, MAP_KINDS);
        else if (op.status == GNTST_okay)
            let_go(op.handle, (op.host_addr ? GNTMAP_host_map : 0) |
                                  (op.dev_bus_addr && !replace ? GNTMAP_device_map : 0));
    }
}

static void after_copy(struct fuzzer *f, struct call *c, long rc)
{
    unsigned int n = nr_answered(f, c, sizeof(struct gnttab_copy));
    const struct gnttab_copy *list = (const void *)c->args[1];

    for (unsigned int k = 0; k < n; k++)
        nr_copied += list[k].status == GNTST_okay;
}

/* Never one that the kernel itself lives by: what is there will be another's page. */
static uint64_t host_address(struct fuzzer *f, bool contains_pte)
{
    uint64_t w = (uint64_t)WINDOW(slot_of_role(f, chance(f, 3) ? ROLE_DATA : ROLE_FREE));

    if (contains_pte)
        switch (below(f, 8)) {
        case 0: return mfn_to_update(f) << 12 | below(f, PAGE_SIZE);
        case 1:
        case 2:
        case 3: return mfn_of_role(f, ROLE_L1) << 12 | table_index(f, 1) << 3;
        default: return virt_to_maddr(pte_of(kernel_root, w, 1));
        }
    if (chance(f, 16))
        return ONE_OF(f, 0, 0x400000, ~0UL, 1UL << 47, NONCANONICAL, HYPERVISOR_VIRT_START,
                      MACH2PHYS_VIRT_START, HYPERVISOR_VIRT_END - 1);
    return chance(f, 4) ? fuzz_va(f) : w + (chance(f, 8) ? below(f, PAGE_SIZE) : 0);
}

static void make_map_op(struct fuzzer *f, struct gnttab_map_grant_ref *op)
{
    op->flags = (chance(f, 8) ? 0 : GNTMAP_host_map) | (chance(f, 6) ? GNTMAP_device_map : 0) |
                (chance(f, 2) ? GNTMAP_readonly : 0) | (chance(f, 4) ? GNTMAP_contains_pte : 0) |
                (chance(f, 10) ? GNTMAP_application_map : 0) |
                (uint32_t)(chance(f, 10) ? below(f, 8) << _GNTMAP_guest_avail0 : 0);
    op->host_addr = host_address(f, op->flags & GNTMAP_contains_pte);
    op->dom = peer_id(f);
    op->ref = ref_of(f, op->dom);
    op->status = 77;
}

static void make_unmap_op(struct fuzzer *f, struct gnttab_unmap_grant_ref *op)
{
    const struct held *h = &held[below(f, NR_HELD)];

    for (unsigned int k = 0; k < 4 && h->state != 2; k++)
        h = &held[below(f, NR_HELD)];
    op->handle = chance(f, 12) ? (uint32_t)ONE_OF(f, ~0U, nr_handles + below(f, 64), 262144,
                                                  below(f, nr_handles + 1UL))
                               : h->handle;
    op->host_addr = chance(f, 12) ? host_address(f, h->flags & GNTMAP_contains_pte)
                    : chance(f, 10) || !(h->flags & GNTMAP_host_map) ? 0
                                                                     : h->host;
    op->dev_bus_addr = chance(f, 16)                                     ? mfn_to_write(f) << 12
                       : !(h->flags & GNTMAP_device_map) || chance(f, 4) ? 0
                                                                         : h->dev;
    op->status = 77;
}

/*
 * Of what is copied nothing but whole words lands where structures may be read (pool.c, pointer()): those
 * are at the beginning of a page.
 */
static void make_copy_op(struct fuzzer *f, struct gnttab_copy *op)
{
    bool from_ref = chance(f, 2), to_ref = chance(f, 2);

    op->source.domid = op->dest.domid = DOMID_SELF;
    op->source.u.gmfn = slots[below(f, NR_SLOTS)];
    op->dest.u.gmfn = chance(f, 3) ? slots[below(f, NR_SLOTS)] : mfn_of_role(f, ROLE_DATA);
    if (from_ref)
        op->source.u.gmfn = 0, op->source.domid = peer_id(f),
        op->source.u.ref = ref_of(f, op->source.domid);
    if (to_ref)
        op->dest.u.gmfn = 0, op->dest.domid = peer_id(f),
        op->dest.u.ref = ref_of(f, op->dest.domid);
    op->flags = (uint16_t)((from_ref ? GNTCOPY_source_gref : 0) | (to_ref ? GNTCOPY_dest_gref : 0));
    op->len = PAGE_SIZE;
    if (chance(f, 3)) {
        op->source.offset = (uint16_t)(below(f, 256) * 16);
        op->dest.offset = (uint16_t)(below(f, 256) * 16);
        op->len =
            (uint16_t)(below(f, 257 - (op->source.offset > op->dest.offset ? op->source.offset
                                                                           : op->dest.offset) /
                                          16) *
                       16);
    } else if (chance(f, 3)) {
        op->source.offset = (uint16_t)below(f, chance(f, 8) ? 65536 : 2048);
        op->dest.offset = (uint16_t)(0x800 | below(f, chance(f, 8) ? 65536 : 1024));
        op->len = (uint16_t)below(f, chance(f, 8) ? 65536 : 1024);
    }
    op->status = 77;
}

/* A list, where nobody can change it; or where several do, but none makes of it what it may not be. */
static void make_list(struct fuzzer *f, struct call *c, uint64_t sub, size_t size)
{
    unsigned int n = 1 + (unsigned int)below(f, chance(f, 4) ? MAX_OPS : 4);
    uint8_t *list = arena_end(f, n * size);
    /* in a multicall there are other arguments behind it */
    uint64_t count = f->nested ? n : count_of(f, n);

    for (unsigned int k = 0; k < n; k++) {
        union op op = { .map.host_addr = 0 };

        switch (sub) {
        case GNTTABOP_map_grant_ref: make_map_op(f, &op.map); break;
        case GNTTABOP_unmap_grant_ref: make_unmap_op(f, &op.unmap); break;
        case GNTTABOP_unmap_and_replace:
            make_unmap_op(f, &op.unmap);
            op.replace.new_addr = host_address(f, false);
            break;
        case GNTTABOP_copy: make_copy_op(f, &op.copy); break;
        default:
            op.swap = (struct gnttab_swap_grant_ref){ ref_of(f, own_id), ref_of(f, own_id), 77 };
        }
        memcpy(list + k * size, &op, size);
    }
    *c = (struct call){ .nr = __HYPERVISOR_grant_table_op,
                        .args = { sub, pointer_private(f, list, n * size), count },
                        .after = sub == GNTTABOP_map_grant_ref    ? after_map
                                 : sub == GNTTABOP_copy           ? after_copy
                                 : sub == GNTTABOP_swap_grant_ref ? NULL
                                                                  : after_unmap,
                        .n = n,
                        .arg = list };
    if (chance(f, 8) && !f->nested) {
        memcpy(raced_lists[0], list, n * size);
        c->args[1] = (uint64_t)raced_lists;
        c->args[2] = n; /* behind them is what the others had */
    }
}

/* ---- one structure ---- */

static void make_one(struct fuzzer *f, struct call *c, uint64_t sub)
{
    union {
        struct gnttab_setup_table setup;
        struct gnttab_query_size size;
        struct gnttab_set_version version;
        uint64_t word[8];
    } u = { .word = { 0 } };
    uint64_t *frames = arena(f, 64 * 8);

    switch (sub) {
    case GNTTABOP_setup_table: /* its answer goes where it says: see pointer_private() */
        u.setup.dom = (domid_t)domid(f);
        u.setup.nr_frames =
            (uint32_t)(chance(f, 4) ? ONE_OF(f, 0, 64, 65, ~0U, 1U << 31) : 1 + below(f, 4));
        set_xen_guest_handle(u.setup.frame_list, (void *)pointer(f, frames, 64 * 8));
        break;
    case GNTTABOP_query_size: u.size.dom = peer_id(f); break;
    default:
        for (unsigned int k = 0; k < 8; k++)
            u.word[k] = value(f);
        if (chance(f, 2))
            u.version.version = (uint32_t)below(f, 4);
        sub = ONE_OF(f, GNTTABOP_dump_table, GNTTABOP_transfer, GNTTABOP_set_version,
                     GNTTABOP_get_status_frames, GNTTABOP_get_version, GNTTABOP_cache_flush, 13, 99,
                     ~0U, 1UL << 31);
    }
    *c = (struct call){
        .nr = __HYPERVISOR_grant_table_op,
        .args = { sub, pointer_private(f, memcpy(arena(f, sizeof(u)), &u, sizeof(u)), sizeof(u)),
                  chance(f, 10) ? ONE_OF(f, 0, 2, ~0U, 1UL << 31, 1UL << 32) : 1 }
    };
}

void make_grants(struct fuzzer *f, struct call *c, uint64_t sub)
{
    for (unsigned int n = (unsigned int)below(f, 6); n; n--)
        write_entry(f);
    switch (sub) {
    case GNTTABOP_map_grant_ref: make_list(f, c, sub, sizeof(struct gnttab_map_grant_ref)); break;
    case GNTTABOP_unmap_grant_ref:
        make_list(f, c, sub, sizeof(struct gnttab_unmap_grant_ref));
        break;
    case GNTTABOP_unmap_and_replace:
        make_list(f, c, sub, sizeof(struct gnttab_unmap_and_replace));
        break;
    case GNTTABOP_copy: make_list(f, c, sub, sizeof(struct gnttab_copy)); break;
    case GNTTABOP_swap_grant_ref: make_list(f, c, sub, sizeof(struct gnttab_swap_grant_ref)); break;
    default: make_one(f, c, sub);
    }
}
