/* Event channels: each sub-operation, faults at each step, delivery, poll, and a random walk. */
#include "evtchn_machine.h"

/* ---- sub-operations ---- */

static void test_the_builder_has_ports_for_domain_0(void)
{
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(evtchn_alloc_unbound(dom[1], 0), 1);
    CU_ASSERT_EQUAL(evtchn_alloc_unbound(dom[1], 0), 2);
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
    CU_ASSERT_EQUAL(p, 3);
    CU_ASSERT_EQUAL(fake_refs(dom[1]), 1);
    dom[1]->is_dying = true;
    CU_ASSERT_EQUAL(evtchn_alloc_unbound(dom[1], 0), -EINVAL);
    teardown();
}

static void test_alloc_unbound_gives_ports_in_order_and_checks_who_asks(void)
{
    struct evtchn_status st;
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
    CU_ASSERT_EQUAL(p, 1);
    CU_ASSERT_EQUAL(alloc_unbound(0, 1, 2, &p), 0);
    CU_ASSERT_EQUAL(p, 2);
    CU_ASSERT_EQUAL(status(0, 1, 2, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_unbound);
    CU_ASSERT_EQUAL(st.u.unbound.dom, 2);
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, DOMID_SELF, &p), 0);
    CU_ASSERT_EQUAL(status(1, DOMID_SELF, p, &st), 0);
    CU_ASSERT_EQUAL(st.u.unbound.dom, 1);
    CU_ASSERT_EQUAL(alloc_unbound(0, 1, DOMID_SELF, &p), 0);
    CU_ASSERT_EQUAL(status(0, 1, p, &st), 0);
    CU_ASSERT_EQUAL(st.u.unbound.dom, 0);
    CU_ASSERT_EQUAL(alloc_unbound(1, 2, 1, &p), -EPERM);
    CU_ASSERT_EQUAL(p, 77);
    CU_ASSERT_EQUAL(alloc_unbound(0, 9, 1, &p), -ESRCH);
    dom[1]->is_dying = true;
    CU_ASSERT_EQUAL(alloc_unbound(0, 1, 0, &p), -EINVAL);
    dom[1]->is_dying = false;
    CU_ASSERT_EQUAL(ports_in_use(1), 4);
    CU_ASSERT_EQUAL(ports_in_use(2), 0);
    teardown();
}

static void test_ports_run_out_at_the_limit(void)
{
    evtchn_port_t p;

    setup();
    for (unsigned int i = 1; i < EVTCHN_2L_NR_CHANNELS; i++) {
        CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
        CU_ASSERT_EQUAL(p, i);
    }
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(bind_ipi(1, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 0, &p), -ENOSPC);
    CU_ASSERT_EQUAL(dom[1]->vcpu[0]->virq_port[VIRQ_TIMER], 0);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    CU_ASSERT_EQUAL(close_port(1, 1000), 0);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(p, 1000);
    CU_ASSERT_EQUAL(reset(1, DOMID_SELF), 0);
    CU_ASSERT_EQUAL(ports_in_use(1), 0);
    teardown();
}

static void test_bind_interdomain_connects_and_marks_the_new_port_pending(void)
{
    struct evtchn_status st;
    evtchn_port_t a, b, c;

    setup();
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &a), 0);
    CU_ASSERT_EQUAL(bind_interdomain(2, 1, a, &b), -EINVAL); /* meant for 0 */
    CU_ASSERT_EQUAL(b, 77);
    CU_ASSERT_EQUAL(bind_interdomain(0, 9, a, &b), -ESRCH);
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, 0, &b), -EINVAL);
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, 99, &b), -EINVAL);
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, EVTCHN_2L_NR_CHANNELS, &b), -EINVAL);
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, ~0u, &b), -EINVAL);
    CU_ASSERT_EQUAL(ports_in_use(0), 0);
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, a, &b), 0);
    CU_ASSERT(pending(0, b));
    CU_ASSERT(upcall(0, 0));
    CU_ASSERT(!pending(1, a));
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, a, &c), -EINVAL); /* taken */
    CU_ASSERT_EQUAL(status(0, DOMID_SELF, b, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_interdomain);
    CU_ASSERT_EQUAL(st.u.interdomain.dom, 1);
    CU_ASSERT_EQUAL(st.u.interdomain.port, a);
    CU_ASSERT_EQUAL(fake_refs(dom[0]) + fake_refs(dom[1]), 2);
    teardown();
}

static void test_loopback_within_one_domain(void)
{
    evtchn_port_t a, b;

    setup();
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, DOMID_SELF, &a), 0);
    CU_ASSERT_EQUAL(bind_interdomain(1, DOMID_SELF, a, &b), 0);
    guest_clear(1);
    CU_ASSERT_EQUAL(send(1, a), 0);
    CU_ASSERT(pending(1, b) && !pending(1, a));
    CU_ASSERT_EQUAL(send(1, b), 0);
    CU_ASSERT(pending(1, a));
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    CU_ASSERT_EQUAL(close_port(1, a), 0);
    CU_ASSERT_EQUAL(status_of(1, b), EVTCHNSTAT_unbound);
    CU_ASSERT(pending(1, b));
    teardown();
}

static void test_a_closed_end_leaves_the_other_unbound_and_pending(void)
{
    struct evtchn_status st;
    evtchn_port_t a, b;

    setup();
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 2, &a), 0);
    CU_ASSERT_EQUAL(bind_interdomain(2, 1, a, &b), 0);
    CU_ASSERT_EQUAL(send(2, b), 0);
    CU_ASSERT_EQUAL(bind_vcpu(1, a, 1), 0);
    CU_ASSERT_EQUAL(close_port(2, b), 0);
    CU_ASSERT(pending(1, a));
    CU_ASSERT(!pending(2, b));
    CU_ASSERT_EQUAL(status(1, DOMID_SELF, a, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_unbound);
    CU_ASSERT_EQUAL(st.u.unbound.dom, 2);
    CU_ASSERT_EQUAL(st.vcpu, 1);
    CU_ASSERT_EQUAL(send(1, a), 0); /* nobody hears it */
    CU_ASSERT_EQUAL(bind_interdomain(2, 1, a, &b), 0);
    CU_ASSERT_EQUAL(close_port(1, a), 0);
    CU_ASSERT_EQUAL(close_port(1, a), -EINVAL);
    CU_ASSERT_EQUAL(close_port(1, 0), -EINVAL);
    CU_ASSERT_EQUAL(close_port(1, EVTCHN_2L_NR_CHANNELS), -EINVAL);
    CU_ASSERT_EQUAL(close_port(1, ~0u), -EINVAL);
    teardown();
}

static void test_virqs_are_per_vcpu_or_global(void)
{
    evtchn_port_t p, q, c;
    struct evtchn_status st;

    setup();
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 0, &p), 0);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 1, &q), 0);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 1, &c), -EEXIST);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 2, &c), -ENOENT);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, ~0u, &c), -ENOENT);
    CU_ASSERT_EQUAL(bind_virq(1, NR_VIRQS, 0, &c), -EINVAL);
    CU_ASSERT_EQUAL(bind_virq(0, VIRQ_CONSOLE, 1, &c), -EINVAL);
    CU_ASSERT_EQUAL(bind_virq(0, VIRQ_CONSOLE, 0, &c), 0);
    virq_send_vcpu(dom[1]->vcpu[1], VIRQ_TIMER);
    CU_ASSERT(pending(1, q) && !pending(1, p) && upcall(1, 1) && !upcall(1, 0));
    CU_ASSERT_EQUAL(bind_vcpu(1, q, 0), -EINVAL);
    CU_ASSERT_EQUAL(bind_vcpu(0, c, 1), 0);
    CU_ASSERT_EQUAL(bind_vcpu(0, c, 2), -ENOENT);
    virq_send_global(dom[0], VIRQ_CONSOLE);
    CU_ASSERT(pending(0, c) && upcall(0, 1) && !upcall(0, 0));
    CU_ASSERT_EQUAL(status(0, DOMID_SELF, c, &st), 0);
    CU_ASSERT(st.status == EVTCHNSTAT_virq && st.u.virq == VIRQ_CONSOLE && st.vcpu == 1);
    CU_ASSERT_EQUAL(send(0, c), -EINVAL);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    CU_ASSERT_EQUAL(close_port(0, c), 0);
    CU_ASSERT_EQUAL(dom[0]->vcpu[0]->virq_port[VIRQ_CONSOLE], 0);
    virq_send_global(dom[0], VIRQ_CONSOLE);
    CU_ASSERT(!pending(0, c));
    CU_ASSERT_EQUAL(close_port(1, q), 0);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 1, &q), 0);
    virq_send_global(NULL, VIRQ_CONSOLE);
    teardown();
}

static void test_pirqs_go_through_irq(void)
{
    struct evtchn_status st;
    evtchn_port_t p, q;

    setup();
    CU_ASSERT_EQUAL(bind_pirq(1, 5, &p), -EPERM);
    CU_ASSERT_EQUAL(bind_pirq(0, NR_PIRQS, &p), -EINVAL);
    pirq_rc = -EINVAL;
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &p), -EINVAL);
    CU_ASSERT_EQUAL(p, 77);
    CU_ASSERT_EQUAL(ports_in_use(0), 0);
    pirq_rc = 0;
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &p), 0);
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &q), -EEXIST);
    CU_ASSERT(pirq_owner[5] == dom[0]);
    CU_ASSERT_EQUAL(bind_vcpu(0, p, 1), 0);
    pirq_arrives(5);
    pirq_arrives(6);
    CU_ASSERT(pending(0, p) && upcall(0, 1));
    CU_ASSERT_EQUAL(status(0, DOMID_SELF, p, &st), 0);
    CU_ASSERT(st.status == EVTCHNSTAT_pirq && st.u.pirq == 5 && st.vcpu == 1);
    CU_ASSERT_EQUAL(send(0, p), -EINVAL);
    CU_ASSERT_EQUAL(close_port(0, p), 0);
    CU_ASSERT(pirq_owner[5] == NULL);
    pirq_arrives(5);
    CU_ASSERT(!pending(0, p));
    teardown();
}

static void test_a_pirq_moves_to_the_cpu_of_its_vcpu(void)
{
    evtchn_port_t p, q;

    setup();
    dom[0]->vcpu[1]->processor = 3;
    pirq_cpu[5] = pirq_cpu[6] = 7;
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &p), 0);
    CU_ASSERT_EQUAL(bind_pirq(0, 6, &q), 0);
    CU_ASSERT_EQUAL(bind_vcpu(0, p, NR_VCPUS), -ENOENT);
    CU_ASSERT_EQUAL(pirq_cpu[5], 7);
    CU_ASSERT_EQUAL(bind_vcpu(0, p, 1), 0);
    CU_ASSERT_EQUAL(pirq_cpu[5], 3);
    CU_ASSERT_EQUAL(pirq_cpu[6], 7);
    CU_ASSERT_EQUAL(bind_vcpu(0, p, 0), 0);
    CU_ASSERT_EQUAL(pirq_cpu[5], 0);
    teardown();
}

static void test_ipis_notify_their_vcpu_for_good(void)
{
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(bind_ipi(1, 2, &p), -ENOENT);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(bind_vcpu(1, p, 0), -EINVAL);
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT(pending(1, p) && upcall(1, 1) && !upcall(1, 0));
    CU_ASSERT_EQUAL(dom[1]->vcpu[1]->info->evtchn_pending_sel, 1);
    CU_ASSERT_EQUAL(send(1, 0), -EINVAL);
    CU_ASSERT_EQUAL(send(1, 9), -EINVAL);
    CU_ASSERT_EQUAL(send(1, EVTCHN_2L_NR_CHANNELS), -EINVAL);
    teardown();
}

static void test_status_needs_the_right_to_ask(void)
{
    struct evtchn_status st;
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(status(0, 1, p, &st), 0);
    CU_ASSERT(st.status == EVTCHNSTAT_ipi && st.vcpu == 1);
    CU_ASSERT_EQUAL(status(2, 1, p, &st), -EPERM);
    CU_ASSERT_EQUAL(status(2, 9, p, &st), -ESRCH);
    CU_ASSERT_EQUAL(status(1, 1, p + 1, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_closed);
    CU_ASSERT_EQUAL(status(1, 1, 0, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_closed);
    CU_ASSERT_EQUAL(status(1, 1, EVTCHN_2L_NR_CHANNELS, &st), -EINVAL);
    CU_ASSERT_EQUAL(status(2, 2, 0, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_closed);
    CU_ASSERT_EQUAL(status(2, 2, EVTCHN_2L_NR_CHANNELS - 1, &st), 0);
    CU_ASSERT_EQUAL(st.status, EVTCHNSTAT_closed);
    CU_ASSERT_EQUAL(fake_refs(dom[1]), 1);
    teardown();
}

static void test_masked_events_stay_pending_until_unmasked(void)
{
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    mask_set(1, p);
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT(pending(1, p) && !upcall(1, 1));
    CU_ASSERT_EQUAL(unmask(1, p), 0);
    CU_ASSERT(upcall(1, 1));
    CU_ASSERT_EQUAL(dom[1]->shared_info->evtchn_mask[0], 0);
    guest_clear(1);
    CU_ASSERT_EQUAL(unmask(1, p), 0); /* not masked: nothing happens */
    dom[1]->shared_info->evtchn_pending[0] = 1ULL << p;
    CU_ASSERT_EQUAL(unmask(1, p), 0);
    CU_ASSERT(!upcall(1, 1));
    CU_ASSERT_EQUAL(unmask(1, EVTCHN_2L_NR_CHANNELS), -EINVAL);
    CU_ASSERT_EQUAL(unmask(1, p + 1), 0); /* as Xen: not in use, not an error */
    teardown();
}

static void test_delivery_wakes_blocked_and_kicks_running_vcpus(void)
{
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    vcpu_pause_set(dom[1]->vcpu[1], VPF_BLOCKED);
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT_EQUAL(fake_unblocked, 1);
    CU_ASSERT_EQUAL(send(1, p), 0); /* pending already */
    CU_ASSERT_EQUAL(fake_unblocked, 1);
    guest_clear(1);
    dom[1]->vcpu[1]->running = true;
    dom[1]->vcpu[1]->processor = 1;
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT_EQUAL(fake_kicked, 2);
    guest_clear(1);
    dom[1]->vcpu[1]->info->evtchn_upcall_mask = 1;
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT(!vcpu_has_events(dom[1]->vcpu[1]));
    dom[1]->vcpu[1]->info->evtchn_upcall_mask = 0;
    CU_ASSERT(vcpu_has_events(dom[1]->vcpu[1]));
    /* the current vCPU on its way to sleep is woken as well, and never kicked */
    fake_kicked = fake_unblocked = 0;
    guest_clear(1);
    fake_current(dom[1]->vcpu[1]);
    vcpu_pause_set(dom[1]->vcpu[1], VPF_BLOCKED);
    fake_guest_unmap_all();
    fake_guest_map(&p, sizeof(p), FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(hc_event_channel_op(EVTCHNOP_send, (uintptr_t)&p, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(fake_unblocked, 1);
    CU_ASSERT_EQUAL(fake_kicked, 0);
    dom[1]->vcpu[1]->running = false;
    teardown();
}

static void test_events_for_a_vcpu_that_does_not_exist_yet_stay_pending(void)
{
    evtchn_port_t a, b;
    struct vcpu *v;

    setup();
    v = dom[1]->vcpu[0];
    CU_ASSERT_EQUAL(alloc_unbound(0, 1, 0, &a), 0);
    dom[1]->vcpu[0] = NULL;
    CU_ASSERT_EQUAL(bind_interdomain(0, 1, a, &b), 0);
    CU_ASSERT_EQUAL(send(0, b), 0);
    CU_ASSERT(pending(1, a));
    virq_send_global(dom[1], VIRQ_CONSOLE);
    dom[1]->vcpu[0] = v;
    teardown();
}

static void test_reset_closes_all_and_only_what_it_may(void)
{
    evtchn_port_t p;

    setup();
    for (int i = 0; i < 100; i++)
        CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
    CU_ASSERT_EQUAL(reset(2, 1), -EPERM);
    CU_ASSERT_EQUAL(reset(0, 9), -ESRCH);
    CU_ASSERT_EQUAL(reset(0, 1), -EINVAL); /* not paused */
    CU_ASSERT_EQUAL(ports_in_use(1), 100);
    dom[1]->pause_count = 1;
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(reset(0, 1), -ERESTART);
    CU_ASSERT(ports_in_use(1) > 0 && ports_in_use(1) < 100);
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    for (int n = 0; n < 100 && reset(0, 1) == -ERESTART; n++)
        ;
    CU_ASSERT_EQUAL(ports_in_use(1), 0);
    CU_ASSERT_EQUAL(fake_refs(dom[1]), 1);
    fake_preempt_every = 0;
    teardown();
}

static void test_unknown_operations_are_not_there(void)
{
    struct evtchn_init_control c = { 0 };

    setup();
    CU_ASSERT_EQUAL(CALL(1, 14, &c), -ENOSYS);
    CU_ASSERT_EQUAL(CALL(1, 99, &c), -ENOSYS);
    CU_ASSERT_EQUAL(CALL(1, ~0u, &c), -ENOSYS);
    teardown();
}

static void test_copy_faults_leave_nothing_behind(void)
{
    struct evtchn_alloc_unbound au = { .dom = DOMID_SELF, .remote_dom = 2, .port = 77 };
    struct evtchn_bind_virq bv = { .virq = VIRQ_DEBUG, .vcpu = 1, .port = 77 };
    struct evtchn_bind_pirq bp = { .pirq = 9, .port = 77 };
    struct evtchn_bind_ipi bi = { .vcpu = 0, .port = 77 };
    struct evtchn_bind_interdomain id = { .remote_dom = 1, .local_port = 77 };
    struct evtchn_status st = { .dom = DOMID_SELF, .status = 99 };
    evtchn_port_t p;

    setup();
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 0, &p), 0);
    id.remote_port = p;
#define FAULT(cmd, arg)                                                                 \
    CU_ASSERT_EQUAL(call_rights(0, cmd, &(arg), sizeof(arg), FAKE_READ_ONLY), -EFAULT); \
    CU_ASSERT_EQUAL(call_rights(0, cmd, &(arg), sizeof(arg), 0), -EFAULT);              \
    CU_ASSERT_EQUAL(ports_in_use(0), 0);                                                \
    CU_ASSERT_EQUAL(evtchn_audit(), 0)
    FAULT(EVTCHNOP_alloc_unbound, au);
    CU_ASSERT_EQUAL(au.port, 77);
    FAULT(EVTCHNOP_bind_virq, bv);
    CU_ASSERT_EQUAL(bv.port, 77);
    CU_ASSERT_EQUAL(dom[0]->vcpu[1]->virq_port[VIRQ_DEBUG], 0);
    FAULT(EVTCHNOP_bind_pirq, bp);
    CU_ASSERT_EQUAL(bp.port, 77);
    CU_ASSERT(pirq_owner[9] == NULL);
    FAULT(EVTCHNOP_bind_ipi, bi);
    FAULT(EVTCHNOP_bind_interdomain, id);
    CU_ASSERT_EQUAL(id.local_port, 77);
    CU_ASSERT_EQUAL(status_of(1, p), EVTCHNSTAT_unbound);
    CU_ASSERT_EQUAL(fake_refs(dom[1]), 1);
    FAULT(EVTCHNOP_status, st);
    CU_ASSERT_EQUAL(st.status, 99);
    for (unsigned int cmd = 0; cmd <= EVTCHNOP_reset; cmd++)
        CU_ASSERT_EQUAL(call_rights(0, cmd, &au, sizeof(au), 0), -EFAULT);
    teardown();
}

static void test_a_failed_allocation_leaves_nothing_behind(void)
{
    struct domain *d;

    setup();
    d = fake_domain(7, 1);
    fake_fail_alloc(1);
    CU_ASSERT_EQUAL(evtchn_domain_create(d), -ENOMEM);
    CU_ASSERT(d->evtchn == NULL);
    fake_fail_alloc(0);
    fake_domain_free(d);
    teardown();
}

/* ---- vcpu_info ---- */

static void test_vcpu_info_moves_and_nothing_is_lost(void)
{
    struct vcpu *v;
    vcpu_info_t *info;
    evtchn_port_t p;

    setup();
    v = dom[1]->vcpu[1];
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    v->info->evtchn_upcall_mask = 1;
    v->info->arch.cr2 = 0x1234;
    vcpu_pause_set(v, VPF_DOWN);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(3), PAGE_SIZE - sizeof(*info) + 8), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(3), 4), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(3), ~7u), -EINVAL);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(3), PAGE_SIZE - sizeof(*info)), 0);
    info = (vcpu_info_t *)(fake_ram + 4 * PAGE_SIZE) - 1;
    CU_ASSERT(v->info == info);
    CU_ASSERT(info->evtchn_upcall_pending == 1 && info->evtchn_upcall_mask == 1);
    CU_ASSERT(info->evtchn_pending_sel == ~0UL && info->arch.cr2 == 0x1234);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(4), 0), -EINVAL); /* twice */
    memset(info, 0, sizeof(*info));
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT_EQUAL(info->evtchn_upcall_pending, 1);
    CU_ASSERT_EQUAL(mfn_x(vcpu_info_release(v)), 3);
    CU_ASSERT_EQUAL(mfn_x(vcpu_info_release(v)), mfn_x(INVALID_MFN));
    CU_ASSERT(v->info != info);
    memset(info, 0, sizeof(*info));
    CU_ASSERT_EQUAL(close_port(1, p), 0);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p), 0);
    CU_ASSERT_EQUAL(send(1, p), 0);
    CU_ASSERT_EQUAL(info->evtchn_upcall_pending, 0); /* the frame is not written any more */
    atomic_store(&v->pause_flags, 0);
    fake_current(dom[0]->vcpu[0]);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(3), 0), -EINVAL); /* neither down nor current */
    fake_current(v);
    CU_ASSERT_EQUAL(vcpu_info_register(v, _mfn(3), 0), 0);
    CU_ASSERT_EQUAL(mfn_x(vcpu_info_release(v)), 3);
    teardown();
}

/* ---- poll ---- */

static long poll(int who, evtchn_port_t *ports, unsigned int nr, uint64_t timeout)
{
    struct sched_poll op = { .nr_ports = nr, .timeout = timeout };

    op.ports.p = ports;
    fake_current(dom[who]->vcpu[0]);
    fake_guest_unmap_all();
    fake_guest_map(&op, sizeof(op), FAKE_READ_ONLY);
    if (ports)
        fake_guest_map(ports, (nr < 200 ? nr : 200) * sizeof(*ports), FAKE_READ_ONLY);
    return evtchn_poll(fake_va(&op));
}

static void test_poll_returns_at_once_or_sleeps(void)
{
    evtchn_port_t p[200] = { 0 }, other;
    struct vcpu *v;

    setup();
    v = dom[1]->vcpu[0];
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &p[0]), 0);
    CU_ASSERT_EQUAL(bind_ipi(1, 1, &other), 0);
    mask_set(1, p[0]);
    mask_set(1, other);
    CU_ASSERT_EQUAL(poll(1, p, 129, 0), -EINVAL);
    CU_ASSERT_EQUAL(poll(1, NULL, 1, 0), -EFAULT);
    p[1] = EVTCHN_2L_NR_CHANNELS;
    CU_ASSERT_EQUAL(poll(1, p, 2, 0), -EINVAL);
    CU_ASSERT_EQUAL(v->pause_flags, 0);

    CU_ASSERT_EQUAL(poll(1, p, 1, 5000), 0);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_BLOCKED | VPF_POLL);
    CU_ASSERT_EQUAL(poll_timer_ns, 5000);
    fake_current(dom[1]->vcpu[1]);
    fake_guest_unmap_all();
    fake_guest_map(&other, sizeof(other), FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(hc_event_channel_op(EVTCHNOP_send, (uintptr_t)&other, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_BLOCKED | VPF_POLL); /* not what it waits for */
    fake_guest_map(p, sizeof(*p), FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(hc_event_channel_op(EVTCHNOP_send, (uintptr_t)p, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(v->pause_flags, 0); /* though masked, and bound to another vCPU */

    CU_ASSERT_EQUAL(poll(1, p, 1, 5000), 0); /* still pending */
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    CU_ASSERT_EQUAL(poll_timer_ns, 0);
    guest_clear(1);
    p[1] = other;
    CU_ASSERT_EQUAL(poll(1, p, 2, 0), 0);
    CU_ASSERT_EQUAL(v->pause_flags, VPF_BLOCKED | VPF_POLL);
    CU_ASSERT_EQUAL(poll_timer_ns, 0);
    fake_guest_map(&other, sizeof(other), FAKE_READ_ONLY);
    CU_ASSERT_EQUAL(hc_event_channel_op(EVTCHNOP_send, (uintptr_t)&other, 0, 0, 0), 0);
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    CU_ASSERT_EQUAL(atomic_load(&dom[1]->evtchn->pollers), 0);

    guest_clear(1); /* something else ended the poll: the next one starts afresh */
    CU_ASSERT_EQUAL(poll(1, p, 1, 0), 0);
    vcpu_unblock(v);
    CU_ASSERT_EQUAL(atomic_load(&dom[1]->evtchn->pollers), 1);
    CU_ASSERT_EQUAL(send(1, p[0]), 0);
    guest_clear(1);
    v->info->evtchn_upcall_pending = 1;
    CU_ASSERT_EQUAL(poll(1, p, 1, 0), 0);
    CU_ASSERT_EQUAL(v->pause_flags, 0);
    CU_ASSERT_EQUAL(atomic_load(&dom[1]->evtchn->pollers), 0);
    teardown();
}

/* ---- death ---- */

static void test_domains_die_in_any_order(void)
{
    static const int orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 },
                                      { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 } };

    for (int o = 0; o < 6; o++) {
        evtchn_port_t p, q;

        setup();
        for (int i = 0; i < 9; i++) {
            int a = i / 3, b = i % 3;

            CU_ASSERT_EQUAL(alloc_unbound(a, DOMID_SELF, (domid_t)b, &p), 0);
            CU_ASSERT_EQUAL(bind_interdomain(b, (domid_t)a, p, &q), 0);
            CU_ASSERT_EQUAL(send(b, q), 0);
        }
        for (int i = 0; i < 3; i++) {
            struct domain *d = dom[orders[o][i]];

            d->is_dying = true;
            fake_preempt_every = 2;
            while (evtchn_domain_relinquish(d) == -ERESTART)
                ;
            fake_preempt_every = 0;
            CU_ASSERT_EQUAL(ports_in_use(orders[o][i]), 0);
            CU_ASSERT_EQUAL(evtchn_audit(), 0);
            for (int j = i + 1; j < 3;
                 j++) /* what is left of the living: nothing points at the dead */
                CU_ASSERT_EQUAL(ports_in_state(orders[o][j], ECS_UNBOUND), 2 * (i + 1));
        }
        teardown();
    }
}

/* What other CPUs may do while the number of a new port is being written to the guest. */
static evtchn_port_t port_at_hook;
static void hook_take_port(void)
{
    struct evtchn_domain *ed = dom[0]->evtchn;

    port_at_hook = ed->closed_first ?: ed->fresh;
    if (ed->closed_first)
        ed->closed_first = evtchn_find(dom[0], port_at_hook)->num;
    else
        ed->fresh++;
    ed->nr_used++;
    *evtchn_find(dom[0], port_at_hook) = (struct evtchn){ .state = ECS_IPI };
}
static void hook_die(void) { dom[0]->is_dying = true; }

static void test_a_port_that_another_cpu_takes_meanwhile_is_not_given_twice(void)
{
    evtchn_port_t p;

    setup();
    pirq_asked = 0;
    pirq_hook = hook_take_port;
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &p), 0);
    CU_ASSERT_EQUAL(pirq_asked, 3);
    CU_ASSERT_EQUAL(port_at_hook, 1);
    CU_ASSERT_EQUAL(p, 2);
    CU_ASSERT_EQUAL(status_of(0, 1), EVTCHNSTAT_ipi);
    CU_ASSERT_EQUAL(status_of(0, 2), EVTCHNSTAT_pirq);
    CU_ASSERT_EQUAL(pirq_port[5], 2);
    /* when that happens again and again, others get to run */
    CU_ASSERT_EQUAL(close_port(0, 2), 0);
    pirq_asked = 0;
    fake_preempt_every = 1;
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &p), -ERESTART);
    CU_ASSERT(pirq_owner[5] == NULL);
    fake_preempt_every = 0;
    teardown();
}

static void test_a_domain_that_dies_meanwhile_gets_no_port(void)
{
    evtchn_port_t p;

    setup();
    pirq_asked = 0;
    pirq_hook = hook_die;
    CU_ASSERT_EQUAL(bind_pirq(0, 5, &p), -EINVAL);
    CU_ASSERT_EQUAL(ports_in_use(0), 0); /* relinquishing, which found none, may be over */
    CU_ASSERT(pirq_owner[5] == NULL);
    teardown();
}

static void test_the_audit_finds_what_is_broken(void)
{
    evtchn_port_t a, b, p;

    setup();
    CU_ASSERT_EQUAL(alloc_unbound(1, DOMID_SELF, 2, &a), 0);
    CU_ASSERT_EQUAL(bind_interdomain(2, 1, a, &b), 0);
    CU_ASSERT_EQUAL(bind_virq(1, VIRQ_TIMER, 0, &p), 0);
    evtchn_print();
    CU_ASSERT_EQUAL(evtchn_audit(), 0);
    evtchn_find(dom[2], b)->num = 9;
    CU_ASSERT_EQUAL(evtchn_audit(), 2);
    evtchn_find(dom[2], b)->num = a;
    dom[1]->vcpu[0]->virq_port[VIRQ_TIMER] = a;
    CU_ASSERT_EQUAL(evtchn_audit(), 2);
    dom[1]->vcpu[0]->virq_port[VIRQ_TIMER] = p;
    teardown();
}

/* ---- a random walk of three domains against a model ---- */

#define MODEL_PORTS 24 /* those above are kept in use, so that ports run out */
struct model_port {
    enum evtchn_state state;
    int dom;
    uint32_t num, vcpu;
    bool pending;
};
static struct model_port model[NR_DOMS][MODEL_PORTS];
static uint32_t rnd_state;

static uint32_t rnd(uint32_t n)
{
    rnd_state = rnd_state * 1664525u + 1013904223u;
    return (rnd_state >> 8) % n;
}

/* Free ones, that closed longest ago first. */
static int model_free[NR_DOMS][MODEL_PORTS];
static int model_nr_free[NR_DOMS];

static bool model_has_source(int d, enum evtchn_state s, uint32_t num, uint32_t vcpu)
{
    for (int p = 1; p < MODEL_PORTS; p++)
        if (model[d][p].state == s && model[d][p].num == num &&
            (s != ECS_VIRQ || virq_is_global(num) || model[d][p].vcpu == vcpu))
            return true;
    return false;
}

static void model_close(int d, uint32_t p)
{
    struct model_port *m = &model[d][p];

    if (m->state == ECS_INTERDOMAIN) {
        struct model_port *o = &model[m->dom][m->num];

        o->state = ECS_UNBOUND;
        o->dom = d;
        o->num = 0;
    }
    *m = (struct model_port){ 0 };
    model_free[d][model_nr_free[d]++] = (int)p;
}

static void take_ports_above_model(int d)
{
    evtchn_port_t p;

    while (bind_ipi(d, 0, &p) == 0)
        ;
    model_nr_free[d] = 0;
    for (p = 1; p < MODEL_PORTS; p++) {
        CU_ASSERT_EQUAL(close_port(d, p), 0);
        model_free[d][model_nr_free[d]++] = (int)p;
    }
}

static void model_check(void)
{
    CU_ASSERT_EQUAL_FATAL(evtchn_audit(), 0);
    for (int d = 0; d < NR_DOMS; d++)
        for (evtchn_port_t p = 1; p < MODEL_PORTS; p++) {
            const struct model_port *m = &model[d][p];
            struct evtchn *c = evtchn_find(dom[d], p);

            CU_ASSERT_EQUAL_FATAL(c ? c->state : ECS_FREE, m->state);
            CU_ASSERT_EQUAL_FATAL(pending(d, p), m->pending);
            if (m->state == ECS_FREE)
                continue;
            CU_ASSERT_EQUAL_FATAL(c->vcpu, m->vcpu);
            if (m->state == ECS_UNBOUND)
                CU_ASSERT_EQUAL_FATAL(c->num, m->dom);
            if (m->state == ECS_INTERDOMAIN)
                CU_ASSERT_FATAL(c->remote == dom[m->dom] && c->num == m->num);
        }
}

/* The new port that the model expects, or the error. fault: the copy that fails (0 none, 1 in, 2 out). */
static long model_new(int d, int fault, enum evtchn_state s, int other, uint32_t num, uint32_t vcpu)
{
    int p;

    if (model_nr_free[d] == 0)
        return -ENOSPC;
    if (fault == 2)
        return -EFAULT;
    p = model_free[d][0];
    memmove(model_free[d], model_free[d] + 1, (size_t)--model_nr_free[d] * sizeof(int));
    model[d][p] = (struct model_port){ s, other, num, vcpu, false };
    return p;
}

#define EXPECT(rc, port, want)                            \
    do {                                                  \
        long want_ = (want);                              \
        CU_ASSERT_EQUAL_FATAL(rc, want_ < 0 ? want_ : 0); \
        if (want_ >= 0)                                   \
            CU_ASSERT_EQUAL_FATAL((long)(port), want_);   \
    } while (0)

static void walk_create(int a, int b, int fault)
{
    evtchn_port_t p, rp = rnd(MODEL_PORTS);
    uint32_t vcpu = rnd(NR_VCPUS), virq = rnd(4);
    bool bindable;
    long rc;

    switch (rnd(5)) {
    case 0:
        rc = alloc_unbound(a, DOMID_SELF, (domid_t)b, &p);
        EXPECT(rc, p, fault == 1 ? -EFAULT : model_new(a, fault, ECS_UNBOUND, b, 0, 0));
        break;
    case 1:
        rc = bind_interdomain(a, (domid_t)b, rp, &p);
        bindable = model[b][rp].state == ECS_UNBOUND && model[b][rp].dom == a;
        EXPECT(rc, p,
               fault == 1  ? -EFAULT
               : !bindable ? -EINVAL
                           : model_new(a, fault, ECS_INTERDOMAIN, b, rp, 0));
        if (rc == 0) {
            model[a][p].pending = true;
            model[b][rp].state = ECS_INTERDOMAIN;
            model[b][rp].dom = a;
            model[b][rp].num = p;
        }
        break;
    case 2:
        if (virq_is_global(virq))
            vcpu = 0;
        rc = bind_virq(a, virq, vcpu, &p);
        EXPECT(rc, p,
               fault == 1 ? -EFAULT
               : model_has_source(a, ECS_VIRQ, virq, vcpu)
                   ? -EEXIST
                   : model_new(a, fault, ECS_VIRQ, 0, virq, vcpu));
        break;
    case 3:
        rc = bind_pirq(0, virq, &p);
        EXPECT(rc, p,
               fault == 1 ? -EFAULT
               : model_has_source(0, ECS_PIRQ, virq, 0)
                   ? -EEXIST
                   : model_new(0, fault, ECS_PIRQ, 0, virq, 0));
        break;
    default:
        rc = bind_ipi(a, vcpu, &p);
        EXPECT(rc, p, fault == 1 ? -EFAULT : model_new(a, fault, ECS_IPI, 0, 0, vcpu));
        break;
    }
}

static void walk_use(int a, int fault)
{
    uint32_t p = rnd(MODEL_PORTS), vcpu = rnd(NR_VCPUS);
    struct model_port *m = &model[a][p], *to = m;
    bool in_use = m->state != ECS_FREE;

    switch (rnd(4)) {
    case 0:
        CU_ASSERT_EQUAL_FATAL(close_port(a, p), fault == 1 ? -EFAULT : in_use ? 0 : -EINVAL);
        if (fault != 1 && in_use)
            model_close(a, p);
        break;
    case 1:
        if (m->state == ECS_INTERDOMAIN)
            to = &model[m->dom][m->num];
        CU_ASSERT_EQUAL_FATAL(send(a, p), fault == 1 ? -EFAULT
                                          : m->state == ECS_INTERDOMAIN || m->state == ECS_IPI ||
                                                  m->state == ECS_UNBOUND
                                              ? 0
                                              : -EINVAL);
        if (fault != 1 && (m->state == ECS_INTERDOMAIN || m->state == ECS_IPI))
            to->pending = true;
        break;
    case 2: {
        bool movable = m->state == ECS_UNBOUND || m->state == ECS_INTERDOMAIN ||
                       m->state == ECS_PIRQ || (m->state == ECS_VIRQ && virq_is_global(m->num));

        CU_ASSERT_EQUAL_FATAL(bind_vcpu(a, p, vcpu), fault == 1 ? -EFAULT : movable ? 0 : -EINVAL);
        if (fault != 1 && movable)
            m->vcpu = vcpu;
        break;
    }
    default:
        virq_send_global(dom[a], VIRQ_CONSOLE);
        for (uint32_t i = 1; i < MODEL_PORTS; i++)
            model[a][i].pending |= model[a][i].state == ECS_VIRQ && model[a][i].num == VIRQ_CONSOLE;
        pirq_arrives(1);
        for (uint32_t i = 1; i < MODEL_PORTS; i++)
            model[0][i].pending |= model[0][i].state == ECS_PIRQ && model[0][i].num == 1;
        break;
    }
}

static void walk_rare(int a)
{
    if (rnd(2)) { /* the guest handles its events */
        guest_clear(a);
        for (int p = 0; p < MODEL_PORTS; p++)
            model[a][p].pending = false;
    } else if (rnd(8) == 0) {
        CU_ASSERT_EQUAL_FATAL(reset(a, DOMID_SELF), 0);
        for (uint32_t p = 1; p < MODEL_PORTS; p++)
            if (model[a][p].state != ECS_FREE)
                model_close(a, p);
        take_ports_above_model(a);
    }
}

static void test_a_random_walk_agrees_with_the_model(void)
{
    for (uint32_t seed = 1; seed <= 20; seed++) {
        setup();
        rnd_state = seed;
        memset(model, 0, sizeof(model));
        for (int d = 0; d < NR_DOMS; d++) {
            take_ports_above_model(d);
        }
        for (int step = 0; step < 500; step++) {
            int a = (int)rnd(NR_DOMS), b = (int)rnd(NR_DOMS), fault = rnd(8) ? 0 : 1 + (int)rnd(2);

            fake_fail_copy((unsigned int)fault);
            if (rnd(2))
                walk_create(a, b, fault);
            else
                walk_use(a, fault);
            fake_fail_copy(0);
            if (rnd(20) == 0)
                walk_rare(a);
            model_check();
        }
        teardown();
    }
}

int main(void)
{
    static CU_TestInfo tests[] = {
#define T(name) { #name, name }
        T(test_the_builder_has_ports_for_domain_0),
        T(test_alloc_unbound_gives_ports_in_order_and_checks_who_asks),
        T(test_ports_run_out_at_the_limit),
        T(test_bind_interdomain_connects_and_marks_the_new_port_pending),
        T(test_loopback_within_one_domain),
        T(test_a_closed_end_leaves_the_other_unbound_and_pending),
        T(test_virqs_are_per_vcpu_or_global),
        T(test_pirqs_go_through_irq),
        T(test_a_pirq_moves_to_the_cpu_of_its_vcpu),
        T(test_ipis_notify_their_vcpu_for_good),
        T(test_status_needs_the_right_to_ask),
        T(test_masked_events_stay_pending_until_unmasked),
        T(test_delivery_wakes_blocked_and_kicks_running_vcpus),
        T(test_events_for_a_vcpu_that_does_not_exist_yet_stay_pending),
        T(test_reset_closes_all_and_only_what_it_may),
        T(test_unknown_operations_are_not_there),
        T(test_copy_faults_leave_nothing_behind),
        T(test_a_failed_allocation_leaves_nothing_behind),
        T(test_vcpu_info_moves_and_nothing_is_lost),
        T(test_poll_returns_at_once_or_sleeps),
        T(test_domains_die_in_any_order),
        T(test_a_port_that_another_cpu_takes_meanwhile_is_not_given_twice),
        T(test_a_domain_that_dies_meanwhile_gets_no_port),
        T(test_the_audit_finds_what_is_broken),
        T(test_a_random_walk_agrees_with_the_model),
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { "evtchn", NULL, NULL, NULL, NULL, tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    CU_initialize_registry();
    CU_register_suites(suites);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed ? 1 : 0;
}
