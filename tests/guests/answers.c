/*
 * Questions to the ABI, each with one line ANSWER: successes that change nothing, and refusals. Here
 * all but memory (answers_mm.c) and what a kernel sets up for its CPU (answers_cpu.c).
 */
#include "answers.h"

#include <xen/platform.h>

enum { UP, DOWN, DOWN_TOO, NONE = 99, OTHER_DOMAIN = 7 };

static char *page; /* followed by a hole */

/* ---- who it is ---- */

static void versions(void)
{
    static const struct {
        unsigned int cmd;
        const char *name;
    } cmds[] = {
        { XENVER_extraversion, "extraversion" },    { XENVER_compile_info, "compile_info" },
        { XENVER_capabilities, "capabilities" },    { XENVER_changeset, "changeset" },
        { XENVER_platform_parameters, "platform" }, { XENVER_get_features, "features" },
        { XENVER_guest_handle, "guest_handle" },    { XENVER_commandline, "commandline" },
    };
    struct xen_feature_info feature;
    xen_capabilities_info_t caps = "";
    struct xen_platform_parameters platform = { 0 };
    xen_domain_handle_t handle;
    uint64_t sum = 0;

    ANSWER(hc(xen_version, XENVER_version, 0), "version");
    ANSWER(hc(xen_version, XENVER_version, NONCANONICAL), "version.argument-ignored");
    ANSWER(hc(xen_version, XENVER_pagesize, 0), "version.pagesize");
    ANSWER(hc(xen_version, XENVER_pagesize, page), "version.pagesize.with-argument");
    for (unsigned int i = 0; i < ARRAY_SIZE(cmds); i++) {
        memset(page, 0, PAGE_SIZE);
        ANSWER(hc(xen_version, cmds[i].cmd, page), "version.%s", cmds[i].name);
        for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
            ANSWER(hc(xen_version, cmds[i].cmd, places[p].va), "version.%s.%s", cmds[i].name,
                   places[p].name);
    }
    ANSWER(hc(xen_version, XENVER_build_id, 0), "version.build_id.null");
    hc(xen_version, XENVER_capabilities, caps);
    ANSWER_TEXT(caps, "version.capabilities.text");
    hc(xen_version, XENVER_platform_parameters, &platform);
    ANSWER(platform.virt_start, "version.platform.virt_start");
    memset(handle, 0x55, sizeof(handle));
    hc(xen_version, XENVER_guest_handle, handle);
    for (unsigned int i = 0; i < sizeof(handle); i++)
        sum += handle[i];
    ANSWER(sum, "version.guest_handle.sum");
    for (unsigned int i = 0; i < 4; i++) {
        feature = (struct xen_feature_info){ .submap_idx = i };
        ANSWER(hc(xen_version, XENVER_get_features, &feature), "version.features.%u", i);
        for (unsigned int bit = 0; i == 0 && bit < 32; bit++)
            ANSWER(feature.submap >> bit & 1, "version.features.bit-%u", bit);
    }
    for (unsigned int cmd = 11; cmd < 14; cmd++)
        ANSWER(hc(xen_version, cmd, page), "version.unknown-%u", cmd);
    ANSWER(hc(xen_version, ~0u, page), "version.unknown-max");
    ANSWER(hc(xen_version, 1UL << 32, 0), "version.upper-half-of-command");
}

/* Numbers that no hypercall has, or that want an argument that this is not. */
static void hypercall_numbers(void)
{
    static const unsigned int nrs[] = { 6,  11, 16, 19, 20, 27, 28,  31,  34,  35,  36,  37,  38,
                                        39, 40, 41, 42, 43, 44, 45,  46,  47,  48,  49,  50,  55,
                                        56, 57, 62, 63, 64, 65, 128, 255, 256, 511, 512, 1023 };

    for (unsigned int i = 0; i < ARRAY_SIZE(nrs); i++)
        ANSWER(hypercall(nrs[i], ~0UL, ~0UL, ~0UL), "hypercall.%u", nrs[i]);
    ANSWER(hypercall(1UL << 31, 0), "hypercall.bit-31");
    ANSWER(hypercall(1UL << 32, 0), "hypercall.bit-32");
    ANSWER(hypercall(1UL << 63, 0), "hypercall.bit-63");
    ANSWER(hypercall(~0UL, 0), "hypercall.max");
    ANSWER(hypercall(1UL << 32 | __HYPERVISOR_xen_version, 0), "hypercall.17-and-bit-32");
}

/* ---- event channels ---- */

static long evtchn(unsigned int cmd, const void *arg) { return hc(event_channel_op, cmd, arg); }

static long alloc_unbound(domid_t dom, domid_t remote, evtchn_port_t *port)
{
    struct evtchn_alloc_unbound op = { .dom = dom, .remote_dom = remote };
    long rc = evtchn(EVTCHNOP_alloc_unbound, &op);

    *port = op.port;
    return rc;
}

static long bind_interdomain(domid_t remote, evtchn_port_t remote_port, evtchn_port_t *port)
{
    struct evtchn_bind_interdomain op = { .remote_dom = remote, .remote_port = remote_port };
    long rc = evtchn(EVTCHNOP_bind_interdomain, &op);

    *port = op.local_port;
    return rc;
}

static long ask_virq(unsigned int virq, unsigned int vcpu, evtchn_port_t *port)
{
    struct evtchn_bind_virq op = { .virq = virq, .vcpu = vcpu };
    long rc = evtchn(EVTCHNOP_bind_virq, &op);

    *port = op.port;
    return rc;
}

static long ask_ipi(unsigned int vcpu, evtchn_port_t *port)
{
    struct evtchn_bind_ipi op = { .vcpu = vcpu };
    long rc = evtchn(EVTCHNOP_bind_ipi, &op);

    *port = op.port;
    return rc;
}

static long ask_pirq(unsigned int pirq, unsigned int flags, evtchn_port_t *port)
{
    struct evtchn_bind_pirq op = { .pirq = pirq, .flags = flags };
    long rc = evtchn(EVTCHNOP_bind_pirq, &op);

    *port = op.port;
    return rc;
}

static long bind_vcpu(evtchn_port_t port, unsigned int vcpu)
{
    struct evtchn_bind_vcpu op = { .port = port, .vcpu = vcpu };

    return evtchn(EVTCHNOP_bind_vcpu, &op);
}

static void status(const char *state, domid_t dom, evtchn_port_t port)
{
    struct evtchn_status op = { .dom = dom, .port = port };
    long rc = evtchn(EVTCHNOP_status, &op);

    ANSWER(rc, "evtchn.%s.status", state);
    if (rc)
        return;
    ANSWER(op.status, "evtchn.%s.status.status", state);
    ANSWER(op.vcpu, "evtchn.%s.status.vcpu", state);
    switch (op.status) {
    case EVTCHNSTAT_unbound: ANSWER(op.u.unbound.dom, "evtchn.%s.status.dom", state); break;
    case EVTCHNSTAT_interdomain:
        ANSWER(op.u.interdomain.dom, "evtchn.%s.status.dom", state);
        ANSWER(op.u.interdomain.port, "evtchn.%s.status.port", state);
        break;
    case EVTCHNSTAT_pirq: ANSWER(op.u.pirq, "evtchn.%s.status.pirq", state); break;
    case EVTCHNSTAT_virq: ANSWER(op.u.virq, "evtchn.%s.status.virq", state); break;
    default: break;
    }
}

/* All that can be asked of one port, and at last its end, twice. */
static void ask_port(const char *state, evtchn_port_t port)
{
    evtchn_port_t other = 0;
    bool pending;
    long rc;

    status(state, DOMID_SELF, port);
    ANSWER(bind_vcpu(port, UP), "evtchn.%s.bind_vcpu.0", state);
    ANSWER(bind_vcpu(port, DOWN), "evtchn.%s.bind_vcpu.down", state);
    ANSWER(bind_vcpu(port, NONE), "evtchn.%s.bind_vcpu.none", state);
    ANSWER(bind_vcpu(port, ~0u), "evtchn.%s.bind_vcpu.max", state);
    bind_vcpu(port, UP);
    pending = port < 4096 && port_pending(port);
    ANSWER(port_send(port), "evtchn.%s.send", state);
    ANSWER(port < 4096 && port_pending(port) && !pending, "evtchn.%s.send.pending", state);
    ANSWER(port_unmask_hc(port), "evtchn.%s.unmask", state);
    if (port < 4096)
        port_mask(port);
    rc = bind_interdomain(DOMID_SELF, port, &other);
    ANSWER(rc, "evtchn.%s.bind_interdomain", state);
    if (rc == 0)
        port_close(other);
    ANSWER(port_close(port), "evtchn.%s.close", state);
    ANSWER(port_close(port), "evtchn.%s.close-twice", state);
    ANSWER(port < 4096 && port_pending(port), "evtchn.%s.close.pending", state);
}

static void event_states(void)
{
    evtchn_port_t p, q;

    ANSWER(alloc_unbound(DOMID_SELF, DOMID_SELF, &p), "evtchn.alloc_unbound.self");
    ANSWER(p, "evtchn.first-port");
    ask_port("unbound-self", p);
    ANSWER(alloc_unbound(DOMID_SELF, OTHER_DOMAIN, &p), "evtchn.alloc_unbound.other");
    ask_port("unbound-other", p);
    ANSWER(alloc_unbound(DOMID_SELF, DOMID_SELF, &p), "evtchn.alloc_unbound.pair");
    ANSWER(bind_interdomain(DOMID_SELF, p, &q), "evtchn.bind_interdomain.pair");
    ANSWER(port_pending(q), "evtchn.bind_interdomain.pending-near");
    ANSWER(port_pending(p), "evtchn.bind_interdomain.pending-far");
    ask_port("pair-near", q);
    ask_port("pair-far", p); /* unbound by now */
    ANSWER(ask_virq(VIRQ_DEBUG, UP, &p), "evtchn.bind_virq.debug");
    ask_port("virq-of-vcpu", p);
    ANSWER(ask_virq(VIRQ_DOM_EXC, UP, &p), "evtchn.bind_virq.dom_exc");
    ask_port("virq-global", p);
    ANSWER(ask_ipi(UP, &p), "evtchn.bind_ipi.0");
    ask_port("ipi", p);
    ask_port("free", 1000);
    ask_port("zero", 0);
    ask_port("last", 4095);
    ask_port("out-of-range", 4096);
    ask_port("far-out-of-range", 131072);
    ask_port("max", ~0u);
    status("other-domain", OTHER_DOMAIN, 1);
    status("domid-io", DOMID_IO, 1);
    status("own-id", 0, 1000);
}

static void event_binding(void)
{
    evtchn_port_t p, q;
    long rc;

    for (unsigned int virq = 0; virq < NR_VIRQS + 2; virq++) {
        rc = ask_virq(virq, UP, &p);
        ANSWER(rc, "virq.%u", virq);
        ANSWER(rc ? 0 : ask_virq(virq, UP, &q), "virq.%u.again", virq);
        if (rc == 0)
            port_close(p);
        rc = ask_virq(virq, DOWN, &p);
        ANSWER(rc, "virq.%u.of-vcpu-1", virq);
        if (rc == 0)
            port_close(p);
        ANSWER(ask_virq(virq, NONE, &p), "virq.%u.of-none", virq);
    }
    ANSWER(ask_virq(~0u, UP, &p), "virq.max");
    rc = ask_ipi(DOWN, &p);
    ANSWER(rc, "evtchn.bind_ipi.down");
    if (rc == 0)
        port_close(p);
    ANSWER(ask_ipi(NONE, &p), "evtchn.bind_ipi.none");
    ANSWER(ask_ipi(~0u, &p), "evtchn.bind_ipi.max");
    ANSWER(alloc_unbound(OTHER_DOMAIN, DOMID_SELF, &p), "evtchn.alloc_unbound.of-other");
    ANSWER(alloc_unbound(DOMID_IO, DOMID_SELF, &p), "evtchn.alloc_unbound.of-io");
    ANSWER(alloc_unbound(DOMID_XEN, DOMID_SELF, &p), "evtchn.alloc_unbound.of-xen");
    ANSWER(alloc_unbound(DOMID_INVALID, DOMID_SELF, &p), "evtchn.alloc_unbound.of-invalid");
    rc = alloc_unbound(DOMID_SELF, DOMID_INVALID, &p);
    ANSWER(rc, "evtchn.alloc_unbound.for-invalid");
    if (rc == 0)
        port_close(p);
    rc = alloc_unbound(0, 0, &p);
    ANSWER(rc, "evtchn.alloc_unbound.own-id");
    if (rc == 0)
        port_close(p);
    ANSWER(bind_interdomain(OTHER_DOMAIN, 1, &p), "evtchn.bind_interdomain.other");
    ANSWER(bind_interdomain(DOMID_IO, 1, &p), "evtchn.bind_interdomain.io");
    ANSWER(bind_interdomain(DOMID_INVALID, 1, &p), "evtchn.bind_interdomain.invalid");
    for (unsigned int flags = 0; flags < 4; flags++)
        ANSWER(ask_pirq(1000, flags, &p), "evtchn.bind_pirq.1000.flags-%u", flags);
    ANSWER(ask_pirq(~0u, 0, &p), "evtchn.bind_pirq.max");
    ANSWER(ask_pirq(23, 2, &p), "evtchn.bind_pirq.flags-bad");
}

static void event_commands(void)
{
    struct evtchn_reset reset = { .dom = OTHER_DOMAIN };
    struct evtchn_init_control control = { .control_gfn = ~0UL };
    struct evtchn_expand_array array = { .array_gfn = ~0UL };
    struct evtchn_set_priority priority = { .port = 1 };

    for (unsigned int cmd = 0; cmd <= EVTCHNOP_set_priority; cmd++)
        for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
            ANSWER(evtchn(cmd, (void *)places[p].va), "evtchn.op-%u.%s", cmd, places[p].name);
    ANSWER(evtchn(EVTCHNOP_reset, &reset), "evtchn.reset.other");
    reset.dom = DOMID_INVALID;
    ANSWER(evtchn(EVTCHNOP_reset, &reset), "evtchn.reset.invalid");
    ANSWER(evtchn(EVTCHNOP_init_control, &control), "evtchn.init_control.bad-frame");
    control = (struct evtchn_init_control){ .vcpu = NONE };
    ANSWER(evtchn(EVTCHNOP_init_control, &control), "evtchn.init_control.no-vcpu");
    ANSWER(evtchn(EVTCHNOP_expand_array, &array), "evtchn.expand_array.bad-frame");
    ANSWER(evtchn(EVTCHNOP_set_priority, &priority), "evtchn.set_priority.two-level");
    for (unsigned int cmd = 15; cmd < 18; cmd++)
        ANSWER(evtchn(cmd, page), "evtchn.unknown-%u", cmd);
    ANSWER(evtchn(~0u, page), "evtchn.unknown-max");
    ANSWER(hc(event_channel_op, 1UL << 32 | EVTCHNOP_close, 0), "evtchn.upper-half-of-command");
}

/* ---- scheduling, vCPUs ---- */

static long poll(evtchn_port_t *ports, unsigned int nr, uint64_t timeout)
{
    struct sched_poll op = { .nr_ports = nr, .timeout = timeout };

    set_xen_guest_handle(op.ports, ports);
    return hc(sched_op, SCHEDOP_poll, &op);
}

static void scheduling(void)
{
    evtchn_port_t port, ports[2] = { 4095, 4096 };
    struct sched_remote_shutdown remote = { .domain_id = OTHER_DOMAIN, .reason = 0 };
    struct sched_watchdog dog = { .id = 5, .timeout = 0 };
    struct sched_pin_override pin_op = { .pcpu = 99 };

    ANSWER(hc(sched_op, SCHEDOP_yield, 0), "sched.yield");
    ANSWER(hc(sched_op, SCHEDOP_yield, NONCANONICAL), "sched.yield.argument-ignored");
    ANSWER(poll(0, 0, 1), "sched.poll.nothing-past");
    ANSWER(poll(ports, 1, 1), "sched.poll.port-past");
    ANSWER(poll(ports, 1, now_ns(0) + 1000000), "sched.poll.port-future");
    ANSWER(poll(ports, 2, 1), "sched.poll.out-of-range");
    ANSWER(poll(ports, 129, 1), "sched.poll.129-ports");
    ANSWER(poll(ports, ~0u, 1), "sched.poll.max-ports");
    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++) {
        ANSWER(poll((void *)places[p].va, 1, 1), "sched.poll.list-%s", places[p].name);
        for (unsigned int cmd = SCHEDOP_shutdown; cmd <= SCHEDOP_pin_override; cmd++)
            if (cmd != SCHEDOP_shutdown_code) /* its argument is a number */
                ANSWER(hc(sched_op, cmd, places[p].va), "sched.op-%u.%s", cmd, places[p].name);
    }
    if (ask_ipi(UP, &port) == 0) {
        port_send(port);
        ANSWER(poll(&port, 1, 0), "sched.poll.pending");
        port_close(port);
    }
    ANSWER(hc(sched_op, SCHEDOP_remote_shutdown, &remote), "sched.remote_shutdown.other");
    remote.domain_id = DOMID_INVALID;
    ANSWER(hc(sched_op, SCHEDOP_remote_shutdown, &remote), "sched.remote_shutdown.invalid");
    ANSWER(hc(sched_op, SCHEDOP_watchdog, &dog), "sched.watchdog.no-such");
    ANSWER(hc(sched_op, SCHEDOP_pin_override, &pin_op), "sched.pin_override.no-such");
    for (unsigned int cmd = 8; cmd < 11; cmd++)
        ANSWER(hc(sched_op, cmd, page), "sched.unknown-%u", cmd);
    ANSWER(hc(sched_op, ~0u, page), "sched.unknown-max");
}

static void vcpu_infos(void)
{
    struct vcpu_register_vcpu_info info = { .mfn = virt_to_mfn(page), .offset = 0 };
    static const uint32_t offsets[] = { 1, 7, 4, PAGE_SIZE - 8, PAGE_SIZE - 63, PAGE_SIZE, ~0u };

    for (unsigned int i = 0; i < ARRAY_SIZE(offsets); i++) {
        info.offset = offsets[i];
        ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_info, DOWN, &info), "vcpu.info.offset-%x",
               offsets[i]);
    }
    info = (struct vcpu_register_vcpu_info){ .mfn = ~0UL };
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_info, DOWN, &info), "vcpu.info.bad-frame");
    info.mfn = virt_to_mfn(kernel_root);
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_info, DOWN, &info), "vcpu.info.table");
    info.mfn = start_info->shared_info >> 12;
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_info, DOWN, &info), "vcpu.info.shared_info");
    info = (struct vcpu_register_vcpu_info){ .mfn = virt_to_mfn(page), .offset = 64 };
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_info, DOWN, &info), "vcpu.info");
    ANSWER(((struct vcpu_info *)(page + 64))->evtchn_upcall_pending, "vcpu.info.pending");
    ANSWER(((struct vcpu_info *)(page + 64))->evtchn_pending_sel == ~0UL, "vcpu.info.selectors");
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_info, DOWN, &info), "vcpu.info.twice");
    page_set_ro(page);
    ANSWER(update_va(page, virt_to_mfn(page) << 12 | PTE_FLAGS, UVMF_INVLPG),
           "vcpu.info.frame-still-writable");
}

static void vcpu_areas(unsigned int vcpu, const char *name)
{
    struct vcpu_register_runstate_memory_area area = { 0 };
    struct vcpu_register_time_memory_area time = { 0 };
    static struct vcpu_runstate_info runstate;
    static struct vcpu_time_info time_info;

    memset(&runstate, 0, sizeof(runstate));
    memset(&time_info, 0, sizeof(time_info));
    for (unsigned int p = 1; p < ARRAY_SIZE(places); p++) {
        area.addr.p = places[p].va;
        time.addr.p = places[p].va;
        ANSWER(hc(vcpu_op, VCPUOP_register_runstate_memory_area, vcpu, &area),
               "vcpu.runstate-area.%s.%s", name, places[p].name);
        ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, vcpu, &time),
               "vcpu.time-area.%s.%s", name, places[p].name);
    }
    area.addr.v = (void *)&runstate;
    time.addr.v = (void *)&time_info;
    ANSWER(hc(vcpu_op, VCPUOP_register_runstate_memory_area, vcpu, &area), "vcpu.runstate-area.%s",
           name);
    ANSWER(runstate.state, "vcpu.runstate-area.%s.state", name);
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, vcpu, &time), "vcpu.time-area.%s",
           name);
    ANSWER(time_info.tsc_to_system_mul != 0, "vcpu.time-area.%s.filled", name);
    area.addr.p = 0;
    time.addr.p = 0;
    ANSWER(hc(vcpu_op, VCPUOP_register_runstate_memory_area, vcpu, &area),
           "vcpu.runstate-area.%s.null", name);
    ANSWER(hc(vcpu_op, VCPUOP_register_vcpu_time_memory_area, vcpu, &time),
           "vcpu.time-area.%s.null", name);
}

static void vcpu_timers(unsigned int vcpu, const char *name)
{
    struct vcpu_set_singleshot_timer shot = { .timeout_abs_ns = 1, .flags = VCPU_SSHOTTMR_future };
    struct vcpu_set_periodic_timer periodic = { .period_ns = 0 };

    ANSWER(hc(vcpu_op, VCPUOP_stop_periodic_timer, vcpu, 0), "vcpu.stop_periodic.%s", name);
    ANSWER(hc(vcpu_op, VCPUOP_stop_singleshot_timer, vcpu, 0), "vcpu.stop_singleshot.%s", name);
    ANSWER(hc(vcpu_op, VCPUOP_set_singleshot_timer, vcpu, &shot), "vcpu.singleshot-past.%s", name);
    shot = (struct vcpu_set_singleshot_timer){ .timeout_abs_ns = ~0UL >> 1, .flags = 0x80 };
    ANSWER(hc(vcpu_op, VCPUOP_set_singleshot_timer, vcpu, &shot), "vcpu.singleshot-flags.%s", name);
    hc(vcpu_op, VCPUOP_stop_singleshot_timer, vcpu, 0);
    ANSWER(hc(vcpu_op, VCPUOP_set_periodic_timer, vcpu, &periodic), "vcpu.periodic-0.%s", name);
    periodic.period_ns = 999999;
    ANSWER(hc(vcpu_op, VCPUOP_set_periodic_timer, vcpu, &periodic), "vcpu.periodic-short.%s", name);
    periodic.period_ns = 1000000000;
    ANSWER(hc(vcpu_op, VCPUOP_set_periodic_timer, vcpu, &periodic), "vcpu.periodic-1s.%s", name);
    periodic.period_ns = ~0UL;
    ANSWER(hc(vcpu_op, VCPUOP_set_periodic_timer, vcpu, &periodic), "vcpu.periodic-max.%s", name);
    hc(vcpu_op, VCPUOP_stop_periodic_timer, vcpu, 0);
}

/* Each on a vCPU of its own: what one hypervisor refuses the other may take. None is ever up. */
static void vcpu_contexts(void)
{
    static struct vcpu_guest_context ctx;
    unsigned int vcpu = DOWN_TOO;

#define REFUSED(name, change)                                                          \
    do {                                                                               \
        secondary_context(&ctx, 0, page);                                              \
        change;                                                                        \
        ANSWER(hc(vcpu_op, VCPUOP_initialise, vcpu++, &ctx), "vcpu.initialise." name); \
    } while (0)
    REFUSED("no-root", ctx.ctrlreg[3] = 0);
    REFUSED("root-no-frame", ctx.ctrlreg[3] = 0xffffffffff000);
    REFUSED("root-no-table", ctx.ctrlreg[3] = virt_to_mfn(page) << 12);
    REFUSED("user-root-no-table", ctx.ctrlreg[1] = virt_to_mfn(page) << 12);
    REFUSED("gdt-too-long", ctx.gdt_ents = 14 * 512 + 1);
    REFUSED("gdt-no-frame", (ctx.gdt_ents = 512, ctx.gdt_frames[0] = ~0UL >> 12));
    REFUSED("gdt-a-table", (ctx.gdt_ents = 512, ctx.gdt_frames[0] = virt_to_mfn(kernel_root)));
    REFUSED("ldt-too-long", (ctx.ldt_ents = 8193, ctx.ldt_base = (uint64_t)page));
    REFUSED("ldt-misaligned", (ctx.ldt_ents = 1, ctx.ldt_base = 8));
    REFUSED("ldt-not-canonical", (ctx.ldt_ents = 1, ctx.ldt_base = NONCANONICAL));
    REFUSED("event-not-canonical", ctx.event_callback_eip = NONCANONICAL);
    REFUSED("failsafe-not-canonical", ctx.failsafe_callback_eip = NONCANONICAL);
    REFUSED("syscall-not-canonical", ctx.syscall_callback_eip = NONCANONICAL);
    REFUSED("trap-not-canonical", ctx.trap_ctxt[3].address = NONCANONICAL);
    REFUSED("fs-not-canonical", ctx.fs_base = NONCANONICAL);
    REFUSED("gs-not-canonical", ctx.gs_base_kernel = NONCANONICAL);
    REFUSED("user-selectors", ctx.user_regs.cs = ctx.user_regs.ss = 0);
    REFUSED("iopl-3", ctx.user_regs.rflags = 0x3000);
    REFUSED("nothing-wrong", (void)0);
    vcpu--;
    REFUSED("twice", (void)0);
}

static void vcpus(void)
{
    static const struct {
        unsigned int vcpu;
        const char *name;
    } of[] = { { UP, "up" }, { DOWN, "down" }, { NONE, "none" }, { 8192, "8192" }, { ~0u, "max" } };
    struct vcpu_runstate_info runstate;

    for (unsigned int i = 0; i < ARRAY_SIZE(of); i++) {
        unsigned int v = of[i].vcpu;

        memset(&runstate, 0, sizeof(runstate));
        ANSWER(hc(vcpu_op, VCPUOP_is_up, v, 0), "vcpu.is_up.%s", of[i].name);
        ANSWER(hc(vcpu_op, VCPUOP_get_runstate_info, v, &runstate), "vcpu.runstate.%s", of[i].name);
        ANSWER(runstate.state, "vcpu.runstate.%s.state", of[i].name);
        if (v != UP) {
            ANSWER(hc(vcpu_op, VCPUOP_up, v, 0), "vcpu.up.%s", of[i].name);
            ANSWER(hc(vcpu_op, VCPUOP_down, v, 0), "vcpu.down.%s", of[i].name);
            ANSWER(hc(vcpu_op, VCPUOP_send_nmi, v, 0), "vcpu.send_nmi.%s", of[i].name);
        }
        ANSWER(hc(vcpu_op, VCPUOP_get_physid, v, page), "vcpu.get_physid.%s", of[i].name);
        vcpu_areas(v, of[i].name);
        vcpu_timers(v, of[i].name);
        for (unsigned int p = 0; p < ARRAY_SIZE(places); p++) {
            static const unsigned int cmds[] = { 0, 4, 5, 6, 8, 10, 13 };

            for (unsigned int c = 0; c < ARRAY_SIZE(cmds); c++)
                ANSWER(hc(vcpu_op, cmds[c], v, places[p].va), "vcpu.op-%u.%s.%s", cmds[c],
                       of[i].name, places[p].name);
        }
        for (unsigned int cmd = 14; cmd < 17; cmd++)
            ANSWER(hc(vcpu_op, cmd, v, page), "vcpu.unknown-%u.%s", cmd, of[i].name);
    }
    vcpu_contexts();
    vcpu_infos();
}

/* ---- what the machine's owner may ask ---- */

static void physdev(void)
{
    static const uint32_t irqs[] = { 0, 1, 2, 9, 23, 24, 255, 300, 4096, ~0u };
    struct physdev_irq_status_query query;
    struct physdev_set_iopl iopl;
    struct physdev_set_iobitmap bitmap = { 0 };
    struct physdev_apic apic = { .apic_physbase = 0x1000 };
    struct physdev_setup_gsi gsi = { .gsi = 255 };
    struct physdev_map_pirq map = { .domid = OTHER_DOMAIN };
    struct physdev_unmap_pirq unmap = { .domid = DOMID_SELF, .pirq = 200 };
    struct physdev_irq irq = { .irq = 9 };

    for (unsigned int i = 0; i < ARRAY_SIZE(irqs); i++) {
        query = (struct physdev_irq_status_query){ .irq = irqs[i] };
        ANSWER(hc(physdev_op, PHYSDEVOP_irq_status_query, &query), "physdev.status.%u", irqs[i]);
        ANSWER(query.flags, "physdev.status.%u.flags", irqs[i]);
        ANSWER(hc(physdev_op, PHYSDEVOP_eoi, &(struct physdev_eoi){ .irq = irqs[i] }),
               "physdev.eoi.%u", irqs[i]);
    }
    for (uint32_t i = 0; i < 6; i++) {
        iopl.iopl = i;
        ANSWER(hc(physdev_op, PHYSDEVOP_set_iopl, &iopl), "physdev.iopl.%u", i);
    }
    iopl.iopl = 0;
    hc(physdev_op, PHYSDEVOP_set_iopl, &iopl);
    for (uint32_t nr = 65535; nr < 65538; nr++) {
        bitmap.nr_ports = nr;
        ANSWER(hc(physdev_op, PHYSDEVOP_set_iobitmap, &bitmap), "physdev.iobitmap.%u", nr);
    }
    bitmap.nr_ports = 8;
    for (unsigned int p = 1; p < ARRAY_SIZE(places); p++) {
        set_xen_guest_handle(bitmap.bitmap, (uint8_t *)places[p].va);
        ANSWER(hc(physdev_op, PHYSDEVOP_set_iobitmap, &bitmap), "physdev.iobitmap.%s",
               places[p].name);
    }
    bitmap = (struct physdev_set_iobitmap){ 0 };
    hc(physdev_op, PHYSDEVOP_set_iobitmap, &bitmap);
    ANSWER(hc(physdev_op, PHYSDEVOP_apic_read, &apic), "physdev.apic_read.no-apic");
    apic = (struct physdev_apic){ .apic_physbase = 0xfec00000, .reg = 0x100 };
    ANSWER(hc(physdev_op, PHYSDEVOP_apic_read, &apic), "physdev.apic_read.no-register");
    apic.reg = 1;
    ANSWER(hc(physdev_op, PHYSDEVOP_apic_read, &apic), "physdev.apic_read.version");
    ANSWER(apic.value, "physdev.apic_read.version.value");
    ANSWER(hc(physdev_op, PHYSDEVOP_alloc_irq_vector, &irq), "physdev.alloc_irq_vector.9");
    ANSWER(irq.vector, "physdev.alloc_irq_vector.9.vector");
    ANSWER(hc(physdev_op, PHYSDEVOP_setup_gsi, &gsi), "physdev.setup_gsi.255");
    gsi.gsi = -1;
    ANSWER(hc(physdev_op, PHYSDEVOP_setup_gsi, &gsi), "physdev.setup_gsi.negative");
    ANSWER(hc(physdev_op, PHYSDEVOP_map_pirq, &map), "physdev.map_pirq.other");
    map = (struct physdev_map_pirq){ .domid = DOMID_SELF, .type = 77, .index = 5, .pirq = -1 };
    ANSWER(hc(physdev_op, PHYSDEVOP_map_pirq, &map), "physdev.map_pirq.type-77");
    map = (struct physdev_map_pirq){
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_GSI, .index = 5000, .pirq = -1
    };
    ANSWER(hc(physdev_op, PHYSDEVOP_map_pirq, &map), "physdev.map_pirq.gsi-5000");
    map.index = -1;
    ANSWER(hc(physdev_op, PHYSDEVOP_map_pirq, &map), "physdev.map_pirq.gsi-negative");
    map = (struct physdev_map_pirq){
        .domid = DOMID_SELF, .type = MAP_PIRQ_TYPE_MSI_SEG, .index = -1, .pirq = -1, .bus = 200
    };
    ANSWER(hc(physdev_op, PHYSDEVOP_map_pirq, &map), "physdev.map_pirq.msi-no-function");
    ANSWER(hc(physdev_op, PHYSDEVOP_unmap_pirq, &unmap), "physdev.unmap_pirq.200");
    unmap.pirq = -1;
    ANSWER(hc(physdev_op, PHYSDEVOP_unmap_pirq, &unmap), "physdev.unmap_pirq.negative");
    unmap.domid = OTHER_DOMAIN;
    ANSWER(hc(physdev_op, PHYSDEVOP_unmap_pirq, &unmap), "physdev.unmap_pirq.other");
    for (unsigned int cmd = 0; cmd < 34; cmd++)
        for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
            ANSWER(hc(physdev_op, cmd, places[p].va), "physdev.op-%u.%s", cmd, places[p].name);
    ANSWER(hc(physdev_op, ~0u, 0), "physdev.unknown-max");
}

static long platform(uint32_t version, uint32_t cmd, struct xen_platform_op *op)
{
    op->interface_version = version;
    op->cmd = cmd;
    return hc(platform_op, op);
}

static void platform_ops(void)
{
    static struct xen_platform_op op;

    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
        ANSWER(hc(platform_op, places[p].va), "platform.%s", places[p].name);
    ANSWER(platform(XENPF_INTERFACE_VERSION + 1, XENPF_get_cpuinfo, &op), "platform.version+1");
    ANSWER(platform(0, XENPF_get_cpuinfo, &op), "platform.version-0");
    for (unsigned int type = 0; type < 8; type++) {
        for (unsigned int index = 0; index < 3; index++) {
            long rc;

            memset(&op, 0, sizeof(op));
            op.u.firmware_info.type = type;
            op.u.firmware_info.index = index;
            rc = platform(XENPF_INTERFACE_VERSION, XENPF_firmware_info, &op);
            ANSWER(rc, "platform.firmware.%u.%u", type, index);
        }
    }
    for (unsigned int cpu = 0; cpu < 4; cpu++) {
        memset(&op, 0, sizeof(op));
        op.u.pcpu_info.xen_cpuid = cpu;
        ANSWER(platform(XENPF_INTERFACE_VERSION, XENPF_get_cpuinfo, &op), "platform.cpu.%u", cpu);
        ANSWER(op.u.pcpu_info.flags, "platform.cpu.%u.flags", cpu);
        ANSWER(op.u.pcpu_info.max_present, "platform.cpu.%u.max_present", cpu);
        ANSWER(op.u.pcpu_info.apic_id, "platform.cpu.%u.apic_id", cpu);
    }
    memset(&op, 0, sizeof(op));
    op.u.settime64.mbz = 1;
    ANSWER(platform(XENPF_INTERFACE_VERSION, XENPF_settime64, &op), "platform.settime64.mbz");
    memset(&op, 0, sizeof(op));
    op.u.settime64.nsecs = 1000000000;
    ANSWER(platform(XENPF_INTERFACE_VERSION, XENPF_settime64, &op), "platform.settime64.nsecs");
    memset(&op, 0, sizeof(op));
    op.u.enter_acpi_sleep.sleep_state = 9;
    ANSWER(platform(XENPF_INTERFACE_VERSION, XENPF_enter_acpi_sleep, &op), "platform.sleep.9");
    memset(&op, 0, sizeof(op));
    ANSWER(platform(XENPF_INTERFACE_VERSION, 16, &op), "platform.unknown-16");
    ANSWER(platform(XENPF_INTERFACE_VERSION, 99, &op), "platform.unknown-99");
    ANSWER(platform(XENPF_INTERFACE_VERSION, ~0u, &op), "platform.unknown-max");
    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++) {
        ANSWER(hc(sysctl, places[p].va), "sysctl.%s", places[p].name);
        ANSWER(hc(domctl, places[p].va), "domctl.%s", places[p].name);
    }
    memset(page, 0, PAGE_SIZE);
    ANSWER(hc(sysctl, page), "sysctl.version-0");
    ANSWER(hc(domctl, page), "domctl.version-0");
}

/* ---- the rest ---- */

static void console(void)
{
    ANSWER(hc(console_io, CONSOLEIO_write, 0, 0), "console.write.nothing");
    ANSWER(hc(console_io, CONSOLEIO_read, 0, page), "console.read.nothing");
    ANSWER(hc(console_io, CONSOLEIO_read, 16, page), "console.read.none-there");
    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++) {
        ANSWER(hc(console_io, CONSOLEIO_write, 1, places[p].va), "console.write.%s",
               places[p].name);
        ANSWER(hc(console_io, CONSOLEIO_read, 1, places[p].va), "console.read.%s", places[p].name);
    }
    ANSWER(hc(console_io, CONSOLEIO_write, ~0u, NONCANONICAL), "console.write.max");
    ANSWER(hc(console_io, CONSOLEIO_read, ~0u, page), "console.read.max");
    ANSWER(hc(console_io, 2, 0, 0), "console.unknown-2");
    ANSWER(hc(console_io, ~0u, 0, 0), "console.unknown-max");
}

static void assists(void)
{
    for (unsigned int type = 0; type < 65; type++) {
        ANSWER(hc(vm_assist, VMASST_CMD_enable, type), "vm_assist.%u.enable", type);
        ANSWER(hc(vm_assist, VMASST_CMD_disable, type), "vm_assist.%u.disable", type);
    }
    hc(vm_assist, VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);
    ANSWER(hc(vm_assist, VMASST_CMD_enable, ~0u), "vm_assist.max.enable");
    ANSWER(hc(vm_assist, 2, 0), "vm_assist.unknown-2");
    ANSWER(hc(vm_assist, 2, 40), "vm_assist.unknown-2-type-40");
    ANSWER(hc(set_timer_op, 0), "set_timer_op.0");
    ANSWER(hc(set_timer_op, ~0UL), "set_timer_op.max");
    ANSWER(hc(set_timer_op, 1UL << 63), "set_timer_op.bit-63");
    hc(set_timer_op, 0);
    for (unsigned int cmd = 0; cmd < 9; cmd++)
        ANSWER(hc(xenpmu_op, cmd, page), "xenpmu.%u", cmd);
}

static struct multicall_entry entry(uint64_t op, uint64_t a, uint64_t b)
{
    struct multicall_entry e = { .op = op, .result = 0x7777 };

    e.args[0] = a;
    e.args[1] = b;
    return e;
}

static void multicalls(void)
{
    struct multicall_entry *e = (struct multicall_entry *)(page + PAGE_SIZE) - 3;

    ANSWER(hc(multicall, 0, 0), "multicall.0");
    for (unsigned int p = 0; p < ARRAY_SIZE(places); p++)
        ANSWER(hc(multicall, places[p].va, 1), "multicall.%s", places[p].name);
    e[0] = entry(__HYPERVISOR_xen_version, XENVER_version, 0);
    e[1] = entry(77, 0, 0);
    e[2] = entry(~0UL, 0, 0);
    ANSWER(hc(multicall, e, 3), "multicall.3");
    ANSWER(e[0].result, "multicall.3.version");
    ANSWER((long)e[1].result, "multicall.3.unknown");
    ANSWER((long)e[2].result, "multicall.3.unknown-max");
    e[0].result = 0;
    ANSWER(hc(multicall, e, 4), "multicall.into-a-hole"); /* what follows the page is not mapped */
    ANSWER(e[0].result, "multicall.into-a-hole.first-done");
    e[0] = entry(__HYPERVISOR_multicall, (uint64_t)&e[2], 1);
    e[2] = entry(__HYPERVISOR_xen_version, XENVER_version, 0);
    ANSWER(hc(multicall, e, 1), "multicall.nested");
    ANSWER((long)e[0].result, "multicall.nested.result");
    ANSWER(e[2].result == 0x7777, "multicall.nested.not-done");
    page_set_ro(page);
    ANSWER(hc(multicall, &e[2], 1), "multicall.read-only");
    page_set_rw(page);
    ANSWER(e[2].result == 0x7777, "multicall.read-only.not-written");
    ANSWER(hc(multicall, &e[2], 1UL << 32 | 1), "multicall.upper-half-of-count");
}

void test_main(void)
{
    page = page_alloc();
    CHECK_EQ(update_va(page_alloc(), 0, UVMF_INVLPG), 0); /* pages come one after the other */
    versions();
    hypercall_numbers();
    event_states();
    event_binding();
    event_commands();
    scheduling();
    physdev();
    platform_ops();
    console();
    assists();
    multicalls();
    vcpus(); /* the last: they take the page */
}
