/*
 * Nothing that a guest does takes memory of the hypervisor for good: after storms of everything that
 * allocates or holds references, most of it failing half way, as many pages are to be had as before,
 * the domain has as many as before, and all ports are free again.
 */
#include "guest.h"

#define ROUNDS 300
#define MAX_ROOM 60000

static char memory[16][PAGE_SIZE] __attribute__((aligned(4096)));

static long reservation(unsigned int cmd, xen_pfn_t *list, uint64_t nr, unsigned int order)
{
    struct xen_memory_reservation r = { .nr_extents = nr,
                                        .extent_order = order,
                                        .domid = DOMID_SELF };

    set_xen_guest_handle(r.extent_start, list);
    return hc(memory_op, cmd, &r);
}

static long pages(void)
{
    domid_t self = DOMID_SELF;

    return hc(memory_op, XENMEM_current_reservation, &self);
}

/* How many pages there are to be had, until the hypervisor has none or the domain may not. */
static long room(void)
{
    static xen_pfn_t list[MAX_ROOM];
    long n;

    for (unsigned int i = 0; i < MAX_ROOM; i++)
        list[i] = start_info->nr_pages + i;
    n = reservation(XENMEM_populate_physmap, list, MAX_ROOM, 0);
    CHECK(on_xen() || (n > 0 && n < MAX_ROOM)); /* there may be much more there */
    CHECK_EQ(reservation(XENMEM_decrease_reservation, list, (uint64_t)n, 0), n);
    return n;
}

/* ---- ports ---- */

static long take_port(void)
{
    struct evtchn_alloc_unbound op = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    long rc = hc(event_channel_op, EVTCHNOP_alloc_unbound, &op);

    return rc ? rc : (long)op.port;
}

/* How many are in use. */
static long used_ports(void)
{
    struct evtchn_status st = { .dom = DOMID_SELF };
    long n = 0;

    for (st.port = 1; st.port < 4096; st.port++)
        n += hc(event_channel_op, EVTCHNOP_status, &st) == 0 && st.status != EVTCHNSTAT_closed;
    return n;
}

static void ports(void)
{
    static evtchn_port_t mine[4096];
    struct evtchn_bind_ipi ipi = { .vcpu = 0 };
    static bool again;
    unsigned int n, first = 0;
    long rc = 0;

    for (unsigned int round = 0; round < 3; round++) {
        for (n = 0; (rc = take_port()) > 0 && n < 4096; n++)
            mine[n] = (evtchn_port_t)rc;
        first = round ? first : n;
        CHECK_EQ(n, first);
        CHECK(n > (is_dom0() ? 4000 : 1000));
        CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_ipi, &ipi), -ENOSPC);
        while (n)
            CHECK_EQ(port_close(mine[--n]), 0);
    }
    attack(again ? "ports.again-no-more" : "ports.no-more", rc, -ENOSPC);
    again = true;
}

/* ---- vCPUs ---- */

static volatile bool runs;
static void started(void) { runs = true; }

/* vCPU 1, which is down, with contexts that are refused at each step. */
static void contexts(void)
{
    static struct vcpu_guest_context ctx;
    unsigned int wrong = 0;
    uint64_t root = virt_to_maddr(kernel_root), plain = virt_to_maddr(memory[0]);

    page_set_ro(memory[1]);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        secondary_context(&ctx, started, memory[2]);
        switch (i % 8) {
        case 0: ctx.ctrlreg[3] = plain; break;
        case 1: ctx.ctrlreg[1] = plain; break;
        case 2: /* all is good but for the last thing that is looked at */
            ctx.ctrlreg[1] = root;
            ctx.ctrlreg[3] = 0;
            break;
        case 3:
            ctx.gdt_ents = 7168;
            for (unsigned int k = 0; k < 14; k++)
                ctx.gdt_frames[k] = k == 13 ? 3 : virt_to_mfn(memory[1]);
            break;
        case 4:
            ctx.gdt_ents = 512;
            ctx.gdt_frames[0] = virt_to_mfn(memory[1]);
            ctx.ctrlreg[3] = plain;
            break;
        case 5:
            ctx.gdt_ents = 512;
            ctx.gdt_frames[0] = virt_to_mfn(memory[1]);
            ctx.ldt_ents = 8192;
            ctx.ldt_base = HYPERVISOR_VIRT_START;
            break;
        case 6: ctx.gdt_ents = 7169; break;
        case 7: ctx.ldt_ents = 8193; break;
        }
        wrong += hc(vcpu_op, VCPUOP_initialise, 1, &ctx) != -EINVAL;
    }
    attack("contexts.wrong", wrong, 0);
    attack("contexts.up", hc(vcpu_op, VCPUOP_up, 1, 0), -EINVAL);
    page_set_rw(memory[1]); /* nobody's descriptor table any more */
}

/* The same while vCPU 2 changes the context: the kernel's root is never good, all else at times. */
static struct vcpu_guest_context changing;
static volatile bool change, changer_ended;

static void changer(void)
{
    const uint64_t roots[] = { 0, virt_to_maddr(kernel_root), virt_to_maddr(memory[0]), ~0UL };
    const uint64_t frames[] = { virt_to_mfn(memory[1]), virt_to_mfn(memory[0]), 3, ~0UL };
    const uint64_t counts[] = { 0, 512, 7168, 7169, ~0UL };
    volatile struct vcpu_guest_context *c = &changing;

    for (unsigned int i = 0; change; i++) {
        c->gdt_ents = counts[i % 5];
        c->gdt_frames[i / 8 % 14] = frames[i % 4];
        c->ctrlreg[1] = roots[i / 4 % 4];
        c->ctrlreg[3] = roots[i & 2];
        c->ldt_ents = counts[i / 16 % 5];
        c->ldt_base = i & 64 ? (uint64_t)memory : NONCANONICAL;
    }
    changer_ended = true;
}

static void changing_contexts(void)
{
    unsigned int wrong = 0, n = 0;

    secondary_context(&changing, started, memory[2]);
    changing.ctrlreg[3] = 0;
    page_set_ro(memory[1]);
    change = true;
    CHECK_EQ(vcpu_start(2, changer), 0);
    for (uint64_t end = now_ns(0) + 500000000; now_ns(0) < end || n < ROUNDS; n++)
        wrong += hc(vcpu_op, VCPUOP_initialise, 1, &changing) != -EINVAL;
    change = false;
    for (uint64_t end = now_ns(0) + PATIENCE_NS; !changer_ended && now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK(changer_ended);
    print("attack_storms: %u contexts that changed\n", n);
    attack("changing_contexts.wrong", wrong, 0);
    page_set_rw(memory[1]);
    CHECK_EQ(mmuext(MMUEXT_UNPIN_TABLE, virt_to_mfn(memory[0]), 0), -EINVAL);
}

static void areas(void)
{
    uint64_t area, none = 0;
    unsigned int wrong = 0;

    for (unsigned int i = 0; i < ROUNDS * 8; i++) {
        area = i % 3 ? (uint64_t)memory[3] + i : HYPERVISOR_VIRT_START + i;
        wrong +=
            hc(vcpu_op,
               i % 2 ? VCPUOP_register_runstate_memory_area : VCPUOP_register_vcpu_time_memory_area,
               i / 4 % 2, &area) != (i % 3 ? 0 : -EFAULT);
    }
    for (unsigned int v = 0; v < 2; v++) {
        CHECK_EQ(hc(vcpu_op, VCPUOP_register_runstate_memory_area, v, &none), 0);
        CHECK_EQ(hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, v, &none), 0);
    }
    attack("areas.wrong", wrong, 0);
}

static void vcpu_infos(void)
{
    struct vcpu_register_vcpu_info op = { .mfn = virt_to_mfn(memory[4]), .offset = 4092 };
    unsigned int wrong = 0;

    for (unsigned int i = 0; i < ROUNDS; i++) {
        op.offset = i % 2 ? 4092 : 4;
        op.mfn = i % 3 ? virt_to_mfn(memory[4]) : virt_to_mfn(kernel_root);
        wrong += hc(vcpu_op, VCPUOP_register_vcpu_info, i % 2, &op) != -EINVAL;
    }
    attack("vcpu_infos.wrong", wrong, 0);
    page_set_ro(memory[4]); /* no writable reference is left: it can be a table */
    CHECK_EQ(pin(1, memory[4]), 0);
    CHECK_EQ(unpin(memory[4]), 0);
    page_set_rw(memory[4]);
}

/* ---- descriptor tables and page tables ---- */

static void descriptors(void)
{
    uint64_t frames[14];
    unsigned int wrong = 0;

    page_set_ro(memory[5]);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        for (unsigned int k = 0; k < 14; k++)
            frames[k] = k == i % 16 ? virt_to_mfn(memory[6]) : virt_to_mfn(memory[5]);
        wrong += hc(set_gdt, frames, 7168) != (i % 16 < 14 ? -EINVAL : 0);
        wrong += mmuext(MMUEXT_SET_LDT, (uint64_t)memory[i % 16], i % 2 ? 8192 : 8193) !=
                 (i % 2 ? 0 : -EINVAL);
    }
    CHECK_EQ(hc(set_gdt, frames, 0), 0);
    CHECK_EQ(mmuext(MMUEXT_SET_LDT, 0, 0), 0);
    attack("descriptors.wrong", wrong, 0);
    page_set_rw(memory[5]);
}

/* A tree of which the very last entry is bad: all that was done for it is undone. */
static void trees(void)
{
    uint64_t *l4 = (void *)memory[7], *l3 = (void *)memory[8], *l2 = (void *)memory[9],
             *l1 = (void *)memory[10];
    unsigned int wrong = 0;

    l4[0] = virt_to_maddr(l3) | PTE_FLAGS;
    l3[5] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[5] = virt_to_maddr(l1) | PTE_FLAGS;
    for (unsigned int i = 0; i < 512; i++)
        l1[i] = virt_to_maddr(memory[11]) | PTE_FLAGS;
    l1[511] = virt_to_maddr(kernel_root) | PTE_FLAGS; /* a table, writable */
    tree_set_ro(l4);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        wrong += pin(1 + i % 4, memory[10 - i % 4]) >= 0;
        wrong += pte_write(kernel_root + 3, virt_to_maddr(l3) | PTE_FLAGS) >= 0;
        wrong += mmuext(MMUEXT_NEW_BASEPTR, virt_to_mfn(l4), 0) >= 0;
        wrong += mmuext(MMUEXT_NEW_USER_BASEPTR, virt_to_mfn(l4), 0) >= 0;
    }
    attack("trees.wrong", wrong, 0);
    for (unsigned int i = 7; i <= 11; i++)
        page_set_rw(memory[i]);
    page_set_ro(memory[11]);
    page_set_rw(memory[11]);
}

/* ---- memory ---- */

/* Lists that end half way, and lists where the answer cannot be written. */
static void lists(void)
{
    xen_pfn_t *edge = (void *)memory[13], *list = edge - 4;
    uint64_t pfn = start_info->nr_pages - 16;
    unsigned int wrong = 0;
    xen_pfn_t got[4];

    CHECK_EQ(update_va(memory[13], 0, UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < ROUNDS; i++) {
        for (unsigned int k = 0; k < 4; k++)
            list[k] = start_info->nr_pages + k;
        wrong += reservation(XENMEM_populate_physmap, list, 8, i % 2) != 4;
        memcpy(got, list, sizeof(got));
        wrong += reservation(XENMEM_decrease_reservation, list, 8, i % 2) != 4;
        wrong += reservation(XENMEM_decrease_reservation, got, 4, i % 2) != 0; /* again */
    }
    page_set_rw(memory[13]);
    for (unsigned int k = 0; k < 4; k++)
        edge[k] = pfn + k;
    page_set_ro(memory[13]);
    for (unsigned int i = 0; i < ROUNDS; i++)
        wrong += reservation(XENMEM_populate_physmap, edge, 4, i % 10) != 0;
    page_set_rw(memory[13]);
    attack("lists.wrong", wrong, 0);
}

/*
 * Eight pages for one extent of eight, of which the sixth page is not ours or is in use, or the
 * list of what comes out cannot be read or written: those that were taken come back.
 */
static void exchanges(void)
{
    uint64_t pfn = start_info->nr_pages - 16, *p2m = (uint64_t *)start_info->mfn_list + pfn;
    xen_pfn_t in[8], *out = (void *)memory[14];
    struct xen_memory_exchange x = {
        .in = { .nr_extents = 8, .domid = DOMID_SELF },
        .out = { .nr_extents = 1, .extent_order = 3, .domid = DOMID_SELF },
    };
    unsigned int wrong = 0;

    set_xen_guest_handle(x.in.extent_start, in);
    set_xen_guest_handle(x.out.extent_start, out);
    for (unsigned int way = 0; way < 5; way++) {
        long want = way < 3 ? -EINVAL : -EFAULT;

        page_set_rw(out);
        out[0] = start_info->nr_pages;
        if (way == 3)
            page_set_ro(out);
        if (way == 4)
            CHECK_EQ(update_va(out, 0, UVMF_INVLPG), 0);
        for (unsigned int i = 0; i < ROUNDS; i++) {
            memcpy(in, p2m, sizeof(in));
            if (way < 3)
                in[5] = way == 0 ? 3 : way == 1 ? virt_to_mfn(memory[15]) : in[2];
            wrong += hc(memory_op, XENMEM_exchange, &x) != want;
            wrong += x.nr_exchanged != 0;
            for (unsigned int k = 0; k < 8; k++)
                wrong += machine_to_phys_mapping[p2m[k]] != pfn + k;
        }
    }
    page_set_rw(out);
    attack("exchanges.wrong", wrong, 0);
}

/* ---- interrupts, and what is registered ---- */

static void interrupts(void)
{
    struct physdev_map_pirq map = { .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI };
    struct physdev_unmap_pirq unmap = { .domid = DOMID_SELF };
    struct evtchn_bind_pirq bind = { .flags = 0 };
    unsigned int mapped = 0;

    for (unsigned int i = 0; i < ROUNDS; i++) {
        map.index = 9 + (int)(i % 4);
        map.pirq = -1;
        if (hc(physdev_op, PHYSDEVOP_map_pirq, &map))
            continue;
        mapped++;
        bind.pirq = (uint32_t)map.pirq;
        if (hc(event_channel_op, EVTCHNOP_bind_pirq, &bind) == 0)
            CHECK_EQ(port_close(bind.port), 0);
        unmap.pirq = map.pirq;
        CHECK_EQ(hc(physdev_op, PHYSDEVOP_unmap_pirq, &unmap), 0);
    }
    CHECK(mapped == (is_dom0() ? ROUNDS : 0) ||
          on_xen()); /* Xen has no pirqs to map a line to again and again */
}

static void registrations(void)
{
    struct trap_info t[2] = { { 0x90, 0, FLAT_KERNEL_CS, (uint64_t)trap_stubs } };

    for (unsigned int i = 0; i < ROUNDS * 8; i++) {
        t[0].vector = (uint8_t)(128 + i % 128);
        CHECK_EQ(hc(set_trap_table, t), 0);
        CHECK_EQ(hc(set_timer_op, i % 32 ? ~0UL - i : i),
                 0); /* few that have passed: emulated, slow */
        CHECK_EQ(register_callback(CALLBACKTYPE_syscall32, syscall_entry, (uint16_t)i), 0);
    }
    CHECK_EQ(hc(set_timer_op, 0), 0);
}

void test_main(void)
{
    static const struct storm {
        const char *name;
        void (*fn)(void);
    } storms[] = {
        { "ports", ports },
        { "contexts", contexts },
        { "changing_contexts", changing_contexts },
        { "areas", areas },
        { "vcpu_infos", vcpu_infos },
        { "descriptors", descriptors },
        { "trees", trees },
        { "lists", lists },
        { "exchanges", exchanges },
        { "interrupts", interrupts },
        { "registrations", registrations },
    };
    static struct vcpu_guest_context ctx;
    long had = pages(), free_pages = 0, port;

    attacks_begin();
    ports(); /* the room for so many is not given back */
    port = used_ports();
    free_pages = room();
    print("attack_storms: room for %ld pages more\n", free_pages);
    for (unsigned int i = 0; i < ARRAY_SIZE(storms); i++) {
        uint64_t t = now_ns(0);
        long now_free, now_port;

        storms[i].fn();
        now_free = room();
        now_port = used_ports();
        print("attack_storms: %s: %lu us\n", storms[i].name, (now_ns(0) - t) / 1000);
        /* Xen lets the domain keep what it could not be told of */
        if (!on_xen() && (now_free != free_pages || pages() != had || now_port != port))
            failure(
                "%s: room for %ld pages, not %ld; %ld pages, not %ld; %ld ports in use, not %ld",
                storms[i].name, now_free, free_pages, pages(), had, now_port, port);
        witness_check();
    }
    if (on_xen()) /* it has no memory for a context any more */
        return;
    /* vCPU 1 can still be had */
    secondary_context(&ctx, started, memory[2]);
    CHECK_EQ(hc(vcpu_op, VCPUOP_initialise, 1, &ctx), 0);
    CHECK_EQ(hc(vcpu_op, VCPUOP_up, 1, 0), 0);
    for (uint64_t end = now_ns(0) + PATIENCE_NS; !runs && now_ns(0) < end;)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK(runs);
}
