/* Event channels: loopback ports, IPIs, the timer VIRQ, masks, nesting, block and poll. */
#include "guest.h"

static unsigned int nested, depth, max_depth;
static unsigned int port_a, port_b;

static uint32_t status_of(unsigned int port)
{
    struct evtchn_status s = { .dom = DOMID_SELF, .port = port };

    return hc(event_channel_op, EVTCHNOP_status, &s) ? 99 : s.status;
}

static void states(void)
{
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = 77 };
    struct evtchn_bind_interdomain bad = { .remote_dom = DOMID_SELF, .remote_port = 4000 };
    struct evtchn_bind_virq virq = { .virq = 99, .vcpu = 0 };
    struct evtchn_bind_ipi ipi = { .vcpu = 77 };
    struct evtchn_bind_vcpu rebind;
    unsigned int v, i;

    CHECK_EQ(status_of(0), EVTCHNSTAT_closed);
    port_pair(&port_a, &port_b);
    CHECK(port_a != 0 && port_b != 0 && port_a != port_b);
    CHECK_EQ(status_of(port_a), EVTCHNSTAT_interdomain);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_alloc_unbound, &u), 0);
    CHECK_EQ(status_of(u.port), EVTCHNSTAT_unbound);
    CHECK_EQ(port_send(u.port), 0); /* nobody there: no event, no error */
    bad.remote_port = u.port;       /* reserved for domain 77 */
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_interdomain, &bad), -EINVAL);
    CHECK_EQ(port_close(u.port), 0);
    CHECK_EQ(status_of(u.port), EVTCHNSTAT_closed);
    bad.remote_port = 4000;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_interdomain, &bad), -EINVAL);
    bad.remote_dom = 77;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_interdomain, &bad), -ESRCH);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_virq, &virq), -EINVAL);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_ipi, &ipi), -ENOENT);
    CHECK_EQ(port_close(0), -EINVAL);
    CHECK_EQ(port_close(4000), -EINVAL);
    CHECK_EQ(port_send(4000), -EINVAL);
    CHECK_EQ(port_send(~0u), -EINVAL);
    CHECK_EQ(port_unmask_hc(~0u), -EINVAL);
    CHECK_EQ(hc(event_channel_op, 99, &u), -ENOSYS);
    v = (unsigned int)bind_virq(VIRQ_TIMER, 0);
    i = (unsigned int)bind_ipi(0);
    CHECK_EQ(status_of(v), EVTCHNSTAT_virq);
    CHECK_EQ(status_of(i), EVTCHNSTAT_ipi);
    virq.virq = VIRQ_TIMER;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_virq, &virq), -EEXIST);
    rebind = (struct evtchn_bind_vcpu){ .port = i, .vcpu = 0 };
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_vcpu, &rebind), -EINVAL); /* an IPI stays */
    rebind = (struct evtchn_bind_vcpu){ .port = port_a, .vcpu = 0 };
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_vcpu, &rebind), 0);
    rebind.vcpu = 77;
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_vcpu, &rebind), -ENOENT);
    CHECK_EQ(port_close(v), 0);
    CHECK_EQ(port_close(i), 0);
}

static void delivery(void)
{
    unsigned int ipi = (unsigned int)bind_ipi(0), before;

    CHECK_EQ(port_send(port_a), 0); /* arrives at b, masked on the CPU */
    CHECK(port_pending(port_b) && !port_pending(port_a));
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_pending, 1);
    CHECK_EQ(event_counts[port_b], 0);
    events_on();
    hc(xen_version, XENVER_version, 0); /* the way out of a hypercall delivers it */
    CHECK_EQ(event_counts[port_b], 1);
    CHECK_EQ(port_send(port_a), 0); /* unmasked: before send returns */
    CHECK_EQ(event_counts[port_b], 2);
    CHECK_EQ(port_send(port_b), 0);
    CHECK_EQ(event_counts[port_a], 1);
    CHECK_EQ(port_send(ipi), 0);
    CHECK_EQ(event_counts[ipi], 1);
    /* masked port: pending, no upcall; unmask by hypercall raises it */
    port_mask(port_b);
    before = event_counts[port_b];
    CHECK_EQ(port_send(port_a), 0);
    CHECK_EQ(event_counts[port_b], before);
    CHECK(port_pending(port_b));
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_pending, 0);
    CHECK_EQ(port_unmask_hc(port_b), 0);
    CHECK_EQ(event_counts[port_b], before + 1);
    CHECK(!port_pending(port_b) && !port_masked(port_b));
    /* already pending: a second send is the same event */
    events_off();
    CHECK_EQ(port_send(port_a), 0);
    CHECK_EQ(port_send(port_a), 0);
    events_on();
    hc(xen_version, XENVER_version, 0);
    CHECK_EQ(event_counts[port_b], before + 2);
    /* a closed port's pending bit goes with it */
    port_mask(ipi);
    CHECK_EQ(port_send(ipi), 0);
    CHECK_EQ(port_close(ipi), 0);
    CHECK(!port_pending(ipi));
    port_clear_mask(ipi);
    events_off();
}

/* Inside the handler the mask is down again for a while: the upcall comes on top of itself. */
static void nesting_hook(unsigned int port)
{
    if (++depth > max_depth)
        max_depth = depth;
    if (nested++ < 4) {
        vcpu_info(0)->evtchn_upcall_mask = 0;
        port_send(port_a); /* to ourselves again */
        vcpu_info(0)->evtchn_upcall_mask = 1;
    }
    depth--;
}

static void nesting(void)
{
    trap_fn upcall = trap_hooks[ENTRY_EVENT];

    CHECK(upcall != NULL);
    event_hooks[port_b] = nesting_hook;
    events_on();
    port_send(port_a);
    CHECK_EQ(nested, 5);
    CHECK_EQ(max_depth, 5);
    CHECK_EQ(depth, 0);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0);
    event_hooks[port_b] = NULL;
    events_off();
}

static struct cpu_user_regs seen;
static bool mask_in_upcall;
static void look(struct cpu_user_regs *regs)
{
    memcpy(&seen, regs, offsetof(struct cpu_user_regs, es));
    mask_in_upcall = vcpu_info(0)->evtchn_upcall_mask;
    events_handle(0);
}

static void upcall_frame(void)
{
    trap_fn upcall = trap_hooks[ENTRY_EVENT];

    trap_hooks[ENTRY_EVENT] = look;
    events_on();
    port_send(port_a);
    CHECK_EQ(seen.saved_upcall_mask, 0);
    CHECK(seen.rflags & EFLAGS_IF);
    CHECK_EQ(seen.cs & 3, 0);
    CHECK(mask_in_upcall);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0); /* iret brought it back */
    events_off();
    trap_hooks[ENTRY_EVENT] = upcall;
}

static void block_and_poll(void)
{
    unsigned int timer = (unsigned int)bind_virq(VIRQ_TIMER, 0), before;
    evtchn_port_t ports[2] = { port_b, 0 };
    struct sched_poll poll = { .nr_ports = 1 };
    uint64_t t0 = now_ns(0);

    CHECK_EQ(hc(set_timer_op, t0 + 20000000), 0);
    before = event_counts[timer];
    CHECK_EQ(hc(sched_op, SCHEDOP_block, 0), 0); /* unmasks, sleeps, is woken by the VIRQ */
    CHECK(now_ns(0) - t0 >= 20000000);
    CHECK_EQ(event_counts[timer], before + 1);
    CHECK_EQ(vcpu_info(0)->evtchn_upcall_mask, 0);
    events_off();
    CHECK_EQ(port_send(port_a), 0);
    CHECK_EQ(hc(sched_op, SCHEDOP_block, 0), 0); /* something pending: no sleep */
    events_off();

    port_mask(port_b);
    set_xen_guest_handle(poll.ports, ports);
    poll.timeout = t0 = now_ns(0);
    poll.timeout += 10000000;
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0); /* the timeout ends it */
    CHECK(now_ns(0) - t0 >= 10000000);
    port_send(port_a);
    t0 = now_ns(0);
    poll.timeout = t0 + 5000000000;
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0); /* pending: at once */
    CHECK(now_ns(0) - t0 < 3000000000);
    port_clear_pending(port_b);
    poll.timeout = 1; /* long past */
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), 0);
    ports[0] = 0xfffff;
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), -EINVAL);
    poll.nr_ports = 129;
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), -EINVAL);
    poll.nr_ports = 1;
    set_xen_guest_handle(poll.ports, (evtchn_port_t *)0x1000);
    CHECK_EQ(hc(sched_op, SCHEDOP_poll, &poll), -EFAULT);
    port_clear_mask(port_b);
    CHECK_EQ(hc(sched_op, SCHEDOP_yield, 0), 0);
    CHECK_EQ(hc(sched_op, 99, 0), -ENOSYS);
    CHECK_EQ(port_close(timer), 0);
}

/* Send against mask, unmask and clear in every order: nothing is lost, nothing comes twice. */
static void races(void)
{
    unsigned int total, x = 12345, sent = 0, start = event_counts[port_b];

    events_on();
    for (unsigned int i = 0; i < 2000; i++) {
        x = x * 1103515245 + 12345;
        if (x & 0x10000) {
            port_mask(port_b);
            port_send(port_a);
            if (x & 0x20000)
                port_send(port_a);
            CHECK(port_pending(port_b));
            port_unmask_hc(port_b);
        } else {
            port_send(port_a);
        }
        sent++;
        total = event_counts[port_b] - start;
        if (total != sent)
            break;
    }
    CHECK_EQ(event_counts[port_b] - start, sent);
    events_off();
}

static void many_ports(void)
{
    struct evtchn_alloc_unbound u = { .dom = DOMID_SELF, .remote_dom = DOMID_SELF };
    unsigned int n = 0, last = 0;
    struct evtchn_reset reset = { .dom = DOMID_SELF };
    long rc;

    while ((rc = hc(event_channel_op, EVTCHNOP_alloc_unbound, &u)) == 0 && n < 5000) {
        n++;
        last = u.port;
    }
    CHECK_EQ(rc, -ENOSPC);
    CHECK(last < 4096);
    print("evtchn: %u further ports, last %u\n", n, last);
    CHECK_EQ(hc(event_channel_op, EVTCHNOP_reset, &reset), 0);
    CHECK_EQ(status_of(last), EVTCHNSTAT_closed);
    CHECK_EQ(status_of(port_a), EVTCHNSTAT_closed);
}

void test_main(void)
{
    events_init();
    states();
    delivery();
    nesting();
    upcall_frame();
    block_and_poll();
    races();
    many_ports();
}
