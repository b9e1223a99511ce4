/*
 * Every hypercall that takes a pointer, with pointers that lead nowhere good: the argument itself,
 * and pointers inside structures. The answer is an error (-EFAULT unless the row says otherwise),
 * nothing is written, nothing has happened, and the hypervisor lives. What ours does not implement
 * answers as it does to good pointers.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h and sysctl.h */
#include "guest.h"

#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/hypfs.h>
#include <xen/platform.h>
#include <xen/sysctl.h>

#define NR(name) __HYPERVISOR_##name
#define PTR 0xb000000000000000UL /* stands for the pointer in a row */
#define MAX_BYTES 5168           /* of the largest structure, struct vcpu_guest_context */

/*
 * All structures begin as zeros, unless fill() has them otherwise. out: the hypervisor writes there,
 * and nowhere does the call succeed with a structure that is read-only.
 */
struct row {
    const char *name;
    unsigned int nr;
    int want;           /* the answer to any bad pointer */
    unsigned int bytes; /* of the structure */
    bool out;
    uint64_t args[5];
    void (*fill)(void *p);
};

/* ---- bad addresses ---- */

static char *good;    /* two pages: the second is not there */
static char *rw_ro;   /* two pages: the second is read-only */
static char *lowest;  /* the last page below what is not canonical */
static char *highest; /* the last page of all */
static char *above;   /* the first page above the hypervisor */

/* Addresses where nothing can be read. */
static const uint64_t nowhere[] = {
    8,
    0x1000,
    1UL << 47,
    0xffff7fffffffffff,
    0xffff7ffffffffff8,
    HYPERVISOR_VIRT_START - 2,
    HYPERVISOR_VIRT_START - PAGE_SIZE,
    NONCANONICAL,
    NONCANONICAL + 8,
    0x00ffffffffffff00,
    0x7fffffffffffffff,
    ~0UL,                       /* wraps; what ends at 2^64 is the guest's */
    USER_STACK_TOP - PAGE_SIZE, /* mapped in user mode only */
};

/* Zeros in an L1, L2 and L3 table, the L4 we run on and a GDT: for the guest read-only, for all. */
static uint64_t readable[5];

static void fill(const struct row *r, void *p)
{
    memset(p, 0, r->bytes);
    if (r->fill)
        r->fill(p);
}

static long call(const struct row *r, uint64_t ptr)
{
    uint64_t a[5];
    long rc;

    for (unsigned int i = 0; i < 5; i++)
        a[i] = r->args[i] == PTR ? ptr : r->args[i];
    rc = hypercall(r->nr, a[0], a[1], a[2], a[3], a[4]);
    return not_permitted(rc) ? r->want : rc;
}

static unsigned int wrong;
static void expect(const struct row *r, const char *kind, uint64_t ptr)
{
    long rc = call(r, ptr);

    if (rc == r->want)
        return;
    if (wrong++ < 3)
        print("%s: %s pointer 0x%lx: %ld\n", r->name, kind, ptr, rc);
}

/* A structure that begins on a good page and goes on where it must not, at each of its bytes. */
static void crossing(const struct row *r, const char *kind, char *edge, bool begins_there)
{
    static uint8_t before[PAGE_SIZE], content[MAX_BYTES];
    char *page = begins_there ? edge - PAGE_SIZE : edge;

    fill(r, content);
    for (unsigned int k = 1; k<r->bytes; k += r->bytes> 200 && k > 16 ? 131 : 1) {
        unsigned int skip_bytes = 0, n = begins_there ? k : r->bytes - k;

        if (begins_there) {
            skip_bytes = n > PAGE_SIZE ? n - PAGE_SIZE : 0; /* the rest of it is not there */
            if (skip_bytes)
                continue;
            memset(page, 0x5a, PAGE_SIZE);
            memcpy(edge - k, content, k);
        } else {
            memset(page, 0x5a, PAGE_SIZE);
            memcpy(page, content + k, n < PAGE_SIZE ? n : PAGE_SIZE);
        }
        memcpy(before, page, PAGE_SIZE);
        expect(r, kind, (uint64_t)edge - k);
        if (begins_there && memcmp(before, page, PAGE_SIZE - k))
            failure("%s: %s pointer: bytes before the structure were written", r->name, kind);
        if (!begins_there && memcmp(before, page, PAGE_SIZE))
            failure("%s: %s pointer: bytes behind the edge were written", r->name, kind);
    }
}

static bool all_zero(const char *p)
{
    for (unsigned int i = 0; i < PAGE_SIZE; i++)
        if (p[i])
            return false;
    return true;
}

static void row_try(const struct row *r)
{
    char *ro = rw_ro + PAGE_SIZE;
    static char answer[64];
    unsigned int n = 0;

    wrong = 0;
    for (const char *c = r->name; *c && n < sizeof(answer) - 8; c++)
        answer[n++] = *c == ' ' ? '.' : *c;
    memcpy(answer + n, ".errno", 7);
    attack(answer, call(r, (uint64_t)good + PAGE_SIZE), r->want);
    if (on_xen() && (r->want == -ENOSYS || r->want == -EOPNOTSUPP))
        return; /* there it might do something */
    for (unsigned int i = 0; i < ARRAY_SIZE(nowhere); i++)
        if (!on_xen() || nowhere[i] < (uint64_t)highest) /* there the very last bytes are good */
            expect(r, "bad", nowhere[i]);
    /* the hypervisor's: the M2P, the image, stacks, descriptors, tables and the direct map */
    for (uint64_t slot = HYPERVISOR_VIRT_START; slot < HYPERVISOR_VIRT_END; slot += 1UL << 39)
        for (unsigned int bit = 12; bit < 39; bit += 3) {
            expect(r, "hypervisor's", slot);
            expect(r, "hypervisor's", slot + (1UL << bit));
            expect(r, "hypervisor's", slot + (1UL << 39) - (1UL << bit));
            expect(r, "hypervisor's", slot + (1UL << 39) - 8);
        }
    crossing(r, "half mapped", good + PAGE_SIZE, true);
    crossing(r, "half canonical", lowest + PAGE_SIZE, true);
    crossing(r, "wrapping", highest + PAGE_SIZE, true);
    crossing(r, "half the hypervisor's", above, false);
    if (r->out) {
        static char saved[PAGE_SIZE];

        page_set_rw(ro);
        memset(ro, 0, PAGE_SIZE);
        fill(r, ro + 8);
        memcpy(saved, ro, PAGE_SIZE);
        page_set_ro(ro);
        expect(r, "read-only", (uint64_t)ro + 8);
        if (memcmp(saved, ro, PAGE_SIZE))
            failure("%s: a read-only page was written", r->name);
        page_set_rw(ro);
        memset(ro, 0, PAGE_SIZE);
        page_set_ro(ro);
        if (r->fill == NULL) { /* else the structure is another in the second half */
            crossing(r, "half read-only", ro, true);
            if (!all_zero(ro))
                failure("%s: a read-only page was written", r->name);
            for (unsigned int i = 0; i < ARRAY_SIZE(readable); i++)
                expect(r, "table", readable[i]);
        }
    }
    memcpy(answer + n, ".wrong", 7);
    attack(answer, wrong, 0);
}

/* ---- pointers inside structures ---- */

/* Each takes the bad pointer, and answers what the hypercall answers. */
static char list[PAGE_SIZE] __attribute__((aligned(4096)));

static long reservation(unsigned int cmd, uint64_t ptr)
{
    struct xen_memory_reservation r = { .nr_extents = 3, .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, (xen_pfn_t *)ptr);
    return hc(memory_op, cmd, &r);
}
static long decrease_list(uint64_t ptr) { return reservation(XENMEM_decrease_reservation, ptr); }
static long populate_list(uint64_t ptr) { return reservation(XENMEM_populate_physmap, ptr); }

static long exchange(xen_pfn_t *in, xen_pfn_t *out, uint64_t *done)
{
    struct xen_memory_exchange x = { .in = { .nr_extents = 1, .domid = DOMID_SELF },
                                     .out = { .nr_extents = 1, .domid = DOMID_SELF } };
    long rc;

    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    rc = hc(memory_op, XENMEM_exchange, &x);
    *done = x.nr_exchanged;
    return rc;
}

static long exchange_in(uint64_t ptr)
{
    xen_pfn_t out = 5;
    uint64_t done;
    long rc = exchange((xen_pfn_t *)ptr, &out, &done);

    CHECK_EQ(out, 5);
    CHECK_EQ(done, 0);
    return rc;
}

/* The frame that was to go is still there. */
static long exchange_out(uint64_t ptr)
{
    static char page[PAGE_SIZE] __attribute__((aligned(4096)));
    uint64_t pfn = start_info->nr_pages - 7, done;
    xen_pfn_t in = pfn_to_mfn(pfn);
    long rc = exchange(&in, (xen_pfn_t *)ptr, &done);

    if (on_xen()) /* a frame may be lost */
        return rc;
    CHECK_EQ(done, 0);
    CHECK_EQ(in, pfn_to_mfn(pfn));
    CHECK_EQ(machine_to_phys_mapping[in], pfn);
    CHECK_EQ(update_va(page, in << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    CHECK_EQ(update_va(page, virt_to_mfn(page) << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    return rc;
}

static long memory_map_buffer(uint64_t ptr)
{
    struct xen_memory_map map = { .nr_entries = 64 };

    set_xen_guest_handle(map.buffer, (void *)ptr);
    return hc(memory_op, XENMEM_machine_memory_map, &map);
}

static long poll_ports(uint64_t ptr)
{
    struct sched_poll poll = { .nr_ports = 1, .timeout = now_ns(0) };

    set_xen_guest_handle(poll.ports, (evtchn_port_t *)ptr);
    return hc(sched_op, SCHEDOP_poll, &poll);
}

static long runstate_area(uint64_t ptr)
{
    return hc(vcpu_op, VCPUOP_register_runstate_memory_area, 0, &ptr);
}
static long time_area(uint64_t ptr)
{
    return hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, &ptr);
}

/* As debug keys the hypervisor's memory would be printed, or obeyed. */
static long debug_keys(uint64_t ptr)
{
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_debug_keys,
                             .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    set_xen_guest_handle(op.u.debug_keys.keys, (char *)ptr);
    op.u.debug_keys.nr_keys = 4;
    return hc(sysctl, &op);
}

/* A sysctl whose handle, in op, is ptr. */
static long sysctl_buffer(struct xen_sysctl *op, uint32_t cmd, void *handle, uint64_t ptr)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    memcpy(handle, &ptr, sizeof(ptr));
    return hc(sysctl, op);
}
static long console_buffer(uint64_t ptr)
{
    struct xen_sysctl op = { .u.readconsole.count = 64 };

    return sysctl_buffer(&op, XEN_SYSCTL_readconsole, &op.u.readconsole.buffer, ptr);
}
static long domain_buffer(uint64_t ptr)
{
    struct xen_sysctl op = { .u.getdomaininfolist.max_domains = 1 };

    return sysctl_buffer(&op, XEN_SYSCTL_getdomaininfolist, &op.u.getdomaininfolist.buffer, ptr);
}
static long topology_buffer(uint64_t ptr)
{
    struct xen_sysctl op = { .u.cputopoinfo.num_cpus = 1 };

    return sysctl_buffer(&op, XEN_SYSCTL_cputopoinfo, &op.u.cputopoinfo.cputopo, ptr);
}
static long memory_buffer(uint64_t ptr)
{
    struct xen_sysctl op = { .u.numainfo.num_nodes = 1 };

    return sysctl_buffer(&op, XEN_SYSCTL_numainfo, &op.u.numainfo.meminfo, ptr);
}
static long distance_buffer(uint64_t ptr)
{
    struct xen_sysctl op = { .u.numainfo.num_nodes = 1 };

    return sysctl_buffer(&op, XEN_SYSCTL_numainfo, &op.u.numainfo.distance, ptr);
}
static long pool_bitmap(uint64_t ptr)
{
    struct xen_sysctl op = { .u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO,
                             .u.cpupool_op.cpumap.nr_bits = 128 };

    return sysctl_buffer(&op, XEN_SYSCTL_cpupool_op, &op.u.cpupool_op.cpumap.bitmap, ptr);
}

static const char hypfs_path[] = "/params/loglvl";
static long hypfs_contents(uint64_t ptr)
{
    return hc(hypfs_op, XEN_HYPFS_OP_write_contents, hypfs_path, sizeof(hypfs_path), ptr, 16);
}

static long multicall_argument(uint64_t ptr)
{
    struct multicall_entry e = { .op = NR(xen_version), .args = { XENVER_extraversion, ptr } };

    CHECK_EQ(hc(multicall, &e, 1), 0);
    return (long)e.result;
}

/* The request is carried out before its count can be written: then it is too late to fail. */
static long done_out(unsigned int nr, uint64_t ptr)
{
    struct mmu_update u = { .ptr = virt_to_maddr(list) };
    struct mmuext_op op = { .cmd = MMUEXT_TLB_FLUSH_LOCAL };

    return hypercall(nr, nr == NR(mmu_update) ? (uint64_t)&u : (uint64_t)&op, 1, ptr, DOMID_SELF,
                     0);
}
static long mmu_done(uint64_t ptr) { return done_out(NR(mmu_update), ptr); }
static long mmuext_done(uint64_t ptr) { return done_out(NR(mmuext_op), ptr); }

static long mask_of(unsigned int cmd, uint64_t ptr)
{
    struct mmuext_op op = { .cmd = cmd };

    op.arg1.linear_addr = (uint64_t)list;
    set_xen_guest_handle(op.arg2.vcpumask, (void *)ptr);
    return hc(mmuext_op, &op, 1, 0, DOMID_SELF);
}
static long flush_mask(uint64_t ptr) { return mask_of(MMUEXT_TLB_FLUSH_MULTI, ptr); }
static long invlpg_mask(uint64_t ptr) { return mask_of(MMUEXT_INVLPG_MULTI, ptr); }

/* Addresses of bitmaps have the kind of flush in their lowest bits; 0 and 4 mean something else. */
static long va_mask(uint64_t ptr)
{
    return update_va(list, virt_to_mfn(list) << 12 | PTE_FLAGS, (ptr & ~7UL) | UVMF_INVLPG);
}

static long kernel_console(uint64_t ptr) { return hc(console_io, CONSOLEIO_write, 200, ptr); }

/* Taken at once, and looked at when user mode or a kernel at level 0 uses a port: not permitted. */
static long iobitmap(uint64_t ptr)
{
    struct physdev_set_iobitmap map = { .nr_ports = 65536 };

    set_xen_guest_handle(map.bitmap, (uint8_t *)ptr);
    if (hc(physdev_op, PHYSDEVOP_set_iobitmap, &map) == 0)
        TRY("inb $0x80, %%al", : : : "rax");
    map.nr_ports = 0;
    CHECK(hc(physdev_op, PHYSDEVOP_set_iobitmap, &map) == 0 || on_xen());
    return last_trap.vector;
}

/* low: the address is below what can be told from a number. */
static const struct inner {
    const char *name;
    long (*fn)(uint64_t ptr);
    long want;
    bool out;
    uint64_t least;
} inners[] = {
    { "decrease.list", decrease_list, 0, false, 0 },
    { "populate.list", populate_list, 0, true, 0 },
    { "exchange.in", exchange_in, -EFAULT, false, 0 },
    { "exchange.out", exchange_out, -EFAULT, true, 0 },
    { "machine_memory_map.buffer", memory_map_buffer, -EFAULT, true, 0 },
    { "poll.ports", poll_ports, -EFAULT, false, 0 },
    { "runstate.area", runstate_area, -EFAULT, true, 0 },
    { "time.area", time_area, -EFAULT, true, 0 },
    { "debug_keys.keys", debug_keys, -EFAULT, false, 0 },
    { "readconsole.buffer", console_buffer, -EFAULT, true, 0 },
    { "getdomaininfolist.buffer", domain_buffer, -EFAULT, true, 0 },
    { "cputopoinfo.cputopo", topology_buffer, -EFAULT, true, 0 },
    { "numainfo.meminfo", memory_buffer, -EFAULT, true, 0 },
    { "numainfo.distance", distance_buffer, -EFAULT, true, 0 },
    { "cpupool_op.cpumap", pool_bitmap, -EFAULT, true, 0 },
    { "hypfs_op.write_contents", hypfs_contents, -EFAULT, false, 0 },
    { "multicall.argument", multicall_argument, -EFAULT, true, 0 },
    { "mmu_update.done", mmu_done, 0, true, 0 },
    { "mmuext_op.done", mmuext_done, 0, true, 0 },
    { "tlb_flush.mask", flush_mask, -EINVAL, false, 0 },
    { "invlpg.mask", invlpg_mask, -EINVAL, false, 0 },
    { "update_va_mapping.mask", va_mask, -EFAULT, false, 16 },
    { "console_io.write-200", kernel_console, -EFAULT, false, 0 },
    { "iobitmap", iobitmap, TRAP_GP, false, 0 },
};

static void inner_try(const struct inner *in)
{
    static char answer[64];
    unsigned int bad = 0, n = 0;
    char *ro = rw_ro + PAGE_SIZE;

#define INNER(ptr)                                                       \
    do {                                                                 \
        uint64_t p_ = (uint64_t)(ptr);                                   \
        long rc_ = p_ < in->least ? in->want : in->fn(p_);               \
        if (rc_ != in->want && !not_permitted(rc_) && bad++ < 3)         \
            print("%s: pointer 0x%lx inside: %ld\n", in->name, p_, rc_); \
    } while (0)
    for (unsigned int i = 0; i < ARRAY_SIZE(nowhere); i++)
        INNER(nowhere[i]);
    for (uint64_t slot = HYPERVISOR_VIRT_START; slot < HYPERVISOR_VIRT_END; slot += 1UL << 39) {
        INNER(slot);
        INNER(slot + (1UL << 20));
        INNER(slot + (1UL << 39) - 8);
    }
    INNER(good + PAGE_SIZE);
    if (in->out) {
        INNER(ro);
        INNER(ro + 8);
        for (unsigned int i = 0; i < ARRAY_SIZE(readable); i++)
            INNER(readable[i]);
        if (!all_zero(ro))
            failure("%s: a read-only page was written", in->name);
    }
    for (const char *c = in->name; *c; c++)
        answer[n++] = *c;
    memcpy(answer + n, ".inside", 8);
    attack(answer, bad, 0);
}

/* ---- the rows ---- */

static unsigned int spare_port;

static void fill_multicall(void *p) { ((struct multicall_entry *)p)->op = 63; }
static void fill_domid(void *p) { *(domid_t *)p = DOMID_SELF; }
static void fill_interdomain(void *p)
{
    *(struct evtchn_bind_interdomain *)p =
        (struct evtchn_bind_interdomain){ .remote_dom = DOMID_SELF, .remote_port = spare_port };
}
static void fill_status(void *p)
{
    *(struct evtchn_status *)p = (struct evtchn_status){ .dom = DOMID_SELF, .port = spare_port };
}
static void fill_firmware(void *p)
{
    struct xen_platform_op *op = p;

    op->cmd = XENPF_get_cpuinfo;
    op->interface_version = XENPF_INTERFACE_VERSION;
}
static void fill_map_pirq(void *p)
{
    struct physdev_map_pirq *m = p;

    m->domid = DOMID_SELF;
    m->type = MAP_PIRQ_TYPE_GSI;
    m->index = 9;
    m->pirq = -1;
}
static void fill_map(void *p)
{
    struct xen_memory_map *m = p;

    set_xen_guest_handle(m->buffer, (void *)list);
    m->nr_entries = 1;
}

static void fill_mfn_list(void *p)
{
    struct xen_machphys_mfn_list *l = p;

    set_xen_guest_handle(l->extent_start, (xen_pfn_t *)list);
    l->max_extents = 1;
}

#define IN(what, nr, type, ...)                                       \
    {                                                                 \
        what, NR(nr), -EFAULT, sizeof(type), false, __VA_ARGS__, NULL \
    }
#define OUT(what, nr, type, ...)                                     \
    {                                                                \
        what, NR(nr), -EFAULT, sizeof(type), true, __VA_ARGS__, NULL \
    }
#define INOUT(what, nr, type, fill, ...)                             \
    {                                                                \
        what, NR(nr), -EFAULT, sizeof(type), true, __VA_ARGS__, fill \
    }
#define NONE(what, nr, errno, ...)                           \
    {                                                        \
        what, NR(nr), -(errno), 16, false, __VA_ARGS__, NULL \
    }
#define MEM(op)          \
    {                    \
        XENMEM_##op, PTR \
    }
#define MEMORY(op, type) IN("memory_op " #op, memory_op, type, MEM(op))
#define EVTCHN(op, fill)                                                       \
    INOUT("event_channel_op " #op, event_channel_op, struct evtchn_##op, fill, \
          { EVTCHNOP_##op, PTR })
#define EVTCHN_IN(op) \
    IN("event_channel_op " #op, event_channel_op, struct evtchn_##op, { EVTCHNOP_##op, PTR })
#define PHYSDEV(op, type, fill) \
    INOUT("physdev_op " #op, physdev_op, struct physdev_##type, fill, { PHYSDEVOP_##op, PTR })
#define PHYSDEV_IN(op, type) \
    IN("physdev_op " #op, physdev_op, struct physdev_##type, { PHYSDEVOP_##op, PTR })
#define GRANT(what, op) \
    INOUT(what, grant_table_op, struct gnttab_##op, NULL, { GNTTABOP_##op, PTR, 1 })
#define VERSION(op, type) OUT("xen_version " #op, xen_version, type, { XENVER_##op, PTR })
#define VCPU_IN(op, type) IN("vcpu_op " #op, vcpu_op, type, { VCPUOP_##op, 0, PTR })

static const struct row rows[] = {
    IN("set_trap_table", set_trap_table, struct trap_info, { PTR }),
    IN("mmu_update", mmu_update, struct mmu_update, { PTR, 1, 0, DOMID_SELF }),
    IN("mmuext_op", mmuext_op, struct mmuext_op, { PTR, 1, 0, DOMID_SELF }),
    /* in a call that goes on the count is read, and must be readable */
    IN("mmu_update done", mmu_update, uint32_t, { 0, 1UL << 31, PTR, DOMID_SELF }),
    IN("mmuext_op done", mmuext_op, uint32_t, { 0, 1UL << 31, PTR, DOMID_SELF }),
    IN("set_gdt", set_gdt, uint64_t, { PTR, 512 }),
    IN("set_gdt full", set_gdt, uint64_t[14], { PTR, 14 * 512 }),
    INOUT("platform_op", platform_op, struct xen_platform_op, fill_firmware, { PTR }),
    { "memory_op decrease", NR(memory_op), 0, sizeof(struct xen_memory_reservation), false,
      MEM(decrease_reservation), NULL },
    { "memory_op populate", NR(memory_op), 0, sizeof(struct xen_memory_reservation), false,
      MEM(populate_physmap), NULL },
    INOUT("memory_op exchange", memory_op, struct xen_memory_exchange, NULL, MEM(exchange)),
    MEMORY(maximum_reservation, domid_t),
    MEMORY(current_reservation, domid_t),
    OUT("memory_op machphys_mapping", memory_op, struct xen_machphys_mapping,
        MEM(machphys_mapping)),
    INOUT("memory_op machine_memory_map", memory_op, struct xen_memory_map, fill_map,
          MEM(machine_memory_map)),
    INOUT("memory_op machphys_mfn_list", memory_op, struct xen_machphys_mfn_list, fill_mfn_list,
          MEM(machphys_mfn_list)),
    MEMORY(memory_map, struct xen_memory_map),
    MEMORY(set_memory_map, struct xen_foreign_memory_map),
    IN("memory_op claim_pages", memory_op, struct xen_memory_reservation, { 24, PTR }),
    MEMORY(maximum_gpfn, domid_t),
    IN("memory_op acquire_resource", memory_op, struct xen_mem_acquire_resource, { 28, PTR }),
    INOUT("multicall", multicall, struct multicall_entry, fill_multicall, { PTR, 1 }),
    VERSION(extraversion, xen_extraversion_t),
    VERSION(compile_info, struct xen_compile_info),
    VERSION(capabilities, xen_capabilities_info_t),
    VERSION(changeset, xen_changeset_info_t),
    VERSION(platform_parameters, struct xen_platform_parameters),
    VERSION(get_features, struct xen_feature_info),
    VERSION(guest_handle, xen_domain_handle_t),
    VERSION(commandline, xen_commandline_t),
    IN("console_io write", console_io, char[16], { CONSOLEIO_write, 16, PTR }),
    VCPU_IN(initialise, struct vcpu_guest_context),
    OUT("vcpu_op get_runstate_info", vcpu_op, struct vcpu_runstate_info,
        { VCPUOP_get_runstate_info, 0, PTR }),
    VCPU_IN(register_runstate_memory_area, uint64_t),
    VCPU_IN(register_vcpu_time_memory_area, uint64_t),
    VCPU_IN(register_vcpu_info, struct vcpu_register_vcpu_info),
    VCPU_IN(set_singleshot_timer, struct vcpu_set_singleshot_timer),
    IN("nmi_op register", nmi_op, struct xennmi_callback, { XENNMI_register_callback, PTR }),
    IN("sched_op shutdown", sched_op, struct sched_shutdown, { SCHEDOP_shutdown, PTR }),
    IN("sched_op poll", sched_op, struct sched_poll, { SCHEDOP_poll, PTR }),
    IN("sched_op watchdog", sched_op, struct sched_watchdog, { SCHEDOP_watchdog, PTR }),
    IN("callback_op register", callback_op, struct callback_register, { CALLBACKOP_register, PTR }),
    IN("callback_op unregister", callback_op, struct callback_unregister,
       { CALLBACKOP_unregister, PTR }),
    EVTCHN(bind_interdomain, fill_interdomain),
    EVTCHN(bind_virq, NULL),
    EVTCHN_IN(bind_pirq),
    EVTCHN_IN(close),
    EVTCHN_IN(send),
    EVTCHN(status, fill_status),
    EVTCHN(alloc_unbound, fill_domid),
    EVTCHN(bind_ipi, NULL),
    EVTCHN_IN(bind_vcpu),
    EVTCHN_IN(unmask),
    EVTCHN_IN(reset),
    EVTCHN_IN(init_control),
    EVTCHN_IN(expand_array),
    EVTCHN_IN(set_priority),
    PHYSDEV(irq_status_query, irq_status_query, NULL),
    PHYSDEV_IN(eoi, eoi),
    PHYSDEV_IN(set_iopl, set_iopl),
    PHYSDEV_IN(set_iobitmap, set_iobitmap),
    PHYSDEV_IN(apic_read, apic),
    PHYSDEV(alloc_irq_vector, irq, NULL),
    PHYSDEV(map_pirq, map_pirq, fill_map_pirq),
    PHYSDEV_IN(unmap_pirq, unmap_pirq),
    PHYSDEV_IN(setup_gsi, setup_gsi),
    PHYSDEV_IN(pci_device_add, pci_device_add),
    PHYSDEV_IN(pci_device_remove, pci_device),
    PHYSDEV_IN(restore_msi_ext, pci_device),
    NONE("physdev_op pirq_eoi_gmfn_v2", physdev_op, ENOSYS, { PHYSDEVOP_pirq_eoi_gmfn_v2, PTR }),
    IN("sysctl", sysctl, struct xen_sysctl, { PTR }),
    GRANT("grant_table_op map", map_grant_ref),
    GRANT("grant_table_op setup_table", setup_table),
    GRANT("grant_table_op copy", copy),
    GRANT("grant_table_op unmap", unmap_grant_ref),
    GRANT("grant_table_op query_size", query_size),
    IN("domctl", domctl, struct xen_domctl, { PTR }),
    NONE("xsm_op", xsm_op, ENOSYS, { PTR }),
    NONE("xenpmu_op", xenpmu_op, EOPNOTSUPP, { 4, PTR }),
    IN("hypfs_op path", hypfs_op, char[16], { XEN_HYPFS_OP_read, PTR, 16, (uint64_t)list, 4096 }),
    OUT("hypfs_op read", hypfs_op, struct xen_hypfs_direntry,
        { XEN_HYPFS_OP_read, (uint64_t)hypfs_path, sizeof(hypfs_path), PTR,
          sizeof(struct xen_hypfs_direntry) }),
    NONE("mca", arch_0, ENOSYS, { PTR }),
};

/* ---- preparations, and what is to be as before ---- */

/* Map p at va in the tables we run on; their new parts are ours. */
static void *map_live(uint64_t va, void *p)
{
    for (unsigned int l = 4; l > 1; l--) {
        uint64_t *pte = pte_of(kernel_root, va, l);

        if (!(*pte & PTE_P)) {
            void *table = page_alloc();

            page_set_ro(table);
            CHECK_EQ(pte_write(pte, virt_to_maddr(table) | PTE_FLAGS), 0);
        }
    }
    CHECK_EQ(pte_write(pte_of(kernel_root, va, 1), virt_to_maddr(p) | PTE_FLAGS), 0);
    *(volatile char *)va = 1;
    return (void *)va;
}

static void tables(void)
{
    uint64_t gdt;

    for (unsigned int i = 0; i < ARRAY_SIZE(readable); i++) {
        void *p = i == 3 ? kernel_root + 1 : page_alloc();

        readable[i] = (uint64_t)p;
        if (i == 3)
            continue;
        page_set_ro(p);
        gdt = virt_to_mfn(p);
        CHECK_EQ(i == 4 ? hc(set_gdt, &gdt, 512) : pin(i + 1, p), 0);
    }
}

static unsigned int free_port(void)
{
    struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &op), 0);
    return op.port;
}

static long pages(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

/* Any alignment is good if all of it is there: the last byte of one page, the others of the next. */
static void misaligned(void)
{
    struct xen_feature_info *f = (void *)(good + PAGE_SIZE - sizeof(*f));
    char *two = page_alloc();
    uint64_t want, got;

    page_alloc();
    f->submap_idx = 0;
    CHECK_EQ(hc(xen_version, XENVER_get_features, f), 0); /* up to the very end */
    want = f->submap;
    for (unsigned int k = 1; k < sizeof(*f); k++) {
        memset(two, 0, 2 * PAGE_SIZE);
        CHECK_EQ(hc(xen_version, XENVER_get_features, two + PAGE_SIZE - k), 0);
        memcpy(&got, two + PAGE_SIZE - k, 8);
        CHECK_EQ(got, want << 32);
        memset(two + PAGE_SIZE - k, 0, sizeof(*f));
        CHECK(all_zero(two) && all_zero(two + PAGE_SIZE));
    }
}

/* Breakpoints of the guest's on what the hypervisor reads and writes: it drops those that it hits. */
static void breakpoints(void)
{
    static struct multicall_entry e __attribute__((aligned(64)));
    static struct xen_feature_info f __attribute__((aligned(8)));
    const uint64_t enable = 0x400 | 5 | 0xbbUL << 16; /* DR0 and DR1: any access to 8 bytes */

    e.op = NR(xen_version);
    e.args[0] = XENVER_get_features;
    e.args[1] = (uint64_t)&f;
    CHECK_EQ(hc(set_debugreg, 0, &f), 0);
    CHECK_EQ(hc(set_debugreg, 1, &e.args[1]), 0);
    CHECK_EQ(hc(set_debugreg, 7, enable), 0);
    for (unsigned int i = 0; i < 100; i++) {
        CHECK_EQ(hc(multicall, &e, 1), 0);
        CHECK_EQ(hc(xen_version, XENVER_get_features, &f), 0);
    }
    TRY("mov (%0), %%rax", : : "r"(&f) : "rax");
    CHECK(trapped(TRAP_DB));
    CHECK_EQ(hc(set_debugreg, 7, 0), 0);
    CHECK(f.submap != 0);
    CHECK_EQ(e.result, 0);
}

void test_main(void)
{
    unsigned int port;
    long nr_pages;

    attacks_begin();
    good = page_alloc();
    CHECK_EQ(update_va(page_alloc(), 0, UVMF_INVLPG), 0);
    rw_ro = page_alloc();
    page_set_ro(page_alloc());
    lowest = map_live((1UL << 47) - PAGE_SIZE, page_alloc());
    highest = map_live(0UL - PAGE_SIZE, page_alloc());
    above = map_live(HYPERVISOR_VIRT_END, page_alloc());
    user_init();
    tables();
    spare_port = free_port();
    port = free_port();
    port_close(port);
    nr_pages = pages();

    for (unsigned int i = 0; i < ARRAY_SIZE(rows); i++) {
        row_try(&rows[i]);
        witness_check();
    }
    CHECK_EQ(update_va(above, 0, UVMF_INVLPG), 0); /* else pointers inside find it */
    CHECK_EQ(update_va(highest, 0, UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < ARRAY_SIZE(inners); i++) {
        inner_try(&inners[i]);
        witness_check();
    }
    misaligned();
    breakpoints();
    for (unsigned int i = 0; i < ARRAY_SIZE(readable); i++)
        for (unsigned int k = 0; k < 200; k++)
            if (((uint64_t *)readable[i])[k])
                failure("table %u was written at %u", i, k);

    if (!on_xen()) { /* which keeps what it could not tell the domain of */
        CHECK_EQ(free_port(), port);
        CHECK_EQ(pages(), nr_pages);
    }
    CHECK_EQ(hc(xen_version, XENVER_version, 0), 4 << 16 | 17);
    TRY0("ud2");
    CHECK(trapped(TRAP_UD)); /* the trap table is as it was */
}
