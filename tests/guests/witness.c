/*
 * Domain 0 beside a domain that does its worst (beside.tsv): while that lives, nothing of this one's changes,
 * and no vCPU of it waits for long. When it has ended, it is taken to pieces if the hypervisor does that.
 * A driver domain is given what it drives: ports and frames of the PC's that nobody misses here.
 */
#define __XEN_TOOLS__ 1 /* the structures of domctl and sysctl */
#include "guest.h"

#include <xen/domctl.h>
#include <xen/grant_table.h>
#include <xen/sysctl.h>

#define TICK_NS 1000000UL
#define LATE_NS 10000000UL          /* more is too much, whatever another domain does */
#define SECOND_END_NS 20000000000UL /* of two that end at once we may be told once */

/* A domain's ports for the store and the console wait for us, as for their daemons. */
static unsigned int bind_to(domid_t dom, unsigned int port)
{
    struct evtchn_bind_interdomain op = { .remote_dom = dom, .remote_port = port };

    CHECK_EQ(hc(event_channel_op, EVTCHNOP_bind_interdomain, &op), 0);
    port_clear_pending(op.local_port); /* it is, at first */
    return op.local_port;
}

/* An event over each port, and it answers. */
static void greet(unsigned int store, unsigned int console)
{
    for (unsigned int i = 0; i < 2; i++) {
        unsigned int port = i ? console : store;
        uint64_t end;

        CHECK_EQ(port_send(port), 0);
        for (end = now_ns(0) + PATIENCE_NS; !port_pending(port) && now_ns(0) < end;)
            hc(sched_op, SCHEDOP_yield, 0);
        CHECK(port_pending(port));
    }
}

static bool is_for(const char *word) { return has_word((const char *)start_info->cmd_line, word); }

#define VGA_PORT 0x3c0
#define NR_VGA_PORTS 0x20
#define NR_DRIVER_MFNS 0x10

/* All of what it may have, before it begins. */
static void assign_device(domid_t dom)
{
    struct xen_domctl ports = { .cmd = XEN_DOMCTL_ioport_permission,
                                .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                                .domain = dom,
                                .u.ioport_permission = { VGA_PORT, NR_VGA_PORTS, 1 } };
    struct xen_domctl mfns = { .cmd = XEN_DOMCTL_iomem_permission,
                               .interface_version = XEN_DOMCTL_INTERFACE_VERSION,
                               .domain = dom,
                               .u.iomem_permission = { DRIVER_MFN, NR_DRIVER_MFNS, 1 } };

    CHECK_EQ(hc(domctl, &ports), 0);
    CHECK_EQ(hc(domctl, &mfns), 0);
}

/* ---- two pages for each of the others: one to read, and one that they may write ---- */

#define FIRST_REF 8u /* fuzz/grants.c knows it; those before are the store's and the console's */
#define PATTERN 0x7769746e65737321UL
#define IN_USE (GTF_reading | GTF_writing)

static volatile struct grant_entry_v1 *entries;
static uint64_t *read_only[2];
static unsigned int nr_seen_in_use;

static void grant_page(unsigned int ref, domid_t dom, const void *page, uint16_t flags)
{
    entries[ref].domid = dom;
    entries[ref].frame = (uint32_t)virt_to_mfn(page);
    barrier();
    entries[ref].flags = GTF_permit_access | flags;
}

static void grant_pages(void)
{
    xen_pfn_t list[1];
    struct gnttab_setup_table setup = { .dom = DOMID_SELF, .nr_frames = 1 };

    set_xen_guest_handle(setup.frame_list, list);
    CHECK_EQ(hc(grant_table_op, GNTTABOP_setup_table, &setup, 1), 0);
    CHECK_EQ(setup.status, GNTST_okay);
    entries = page_alloc();
    CHECK_EQ(update_va((void *)entries, list[0] << 12 | PTE_FLAGS, UVMF_INVLPG), 0);
    for (unsigned int i = 0; i < 2; i++) {
        read_only[i] = page_alloc();
        for (unsigned int k = 0; k < 512; k++)
            read_only[i][k] = PATTERN * (k + 1);
        grant_page(FIRST_REF + 2 * i, (domid_t)(i + 1), read_only[i], GTF_readonly);
        grant_page(FIRST_REF + 2 * i + 1, (domid_t)(i + 1), page_alloc(), 0);
    }
}

static void check_pages(void)
{
    for (unsigned int i = 0; i < 4; i++)
        nr_seen_in_use += (entries[FIRST_REF + i].flags & IN_USE) != 0;
    for (unsigned int i = 0; i < 2; i++) {
        unsigned int bad = 0;

        CHECK(!(entries[FIRST_REF + 2 * i].flags & GTF_writing));
        for (unsigned int k = 0; k < 512; k++)
            bad += ((volatile uint64_t *)read_only[i])[k] != PATTERN * (k + 1);
        CHECK_EQ(bad, 0);
    }
}

static void audit(void)
{
    static char key = 'A';
    struct xen_sysctl op = { .cmd = XEN_SYSCTL_debug_keys,
                             .interface_version = XEN_SYSCTL_INTERFACE_VERSION };

    set_xen_guest_handle(op.u.debug_keys.keys, &key);
    op.u.debug_keys.nr_keys = 1;
    CHECK_EQ(hc(sysctl, &op), 0);
}

void test_main(void)
{
    evtchn_port_t port = (evtchn_port_t)bind_virq(VIRQ_DOM_EXC, 0);
    struct sched_poll poll = { .nr_ports = 1 };
    uint64_t longest = 0, ticks = 0;
    unsigned int store, nr_ends = is_for("twice") ? 2 : 1;
    uint64_t until = ~0UL;

    set_xen_guest_handle(poll.ports, &port);
    attacks_begin();
    grant_pages();
    if (is_for("driver"))
        assign_device(1);
    store = bind_to(1, 1); /* it begins */
    if (is_for("beside=domu"))
        greet(store, bind_to(1, 2));
    if (is_for("twice"))
        bind_to(2, 1);
    while (nr_ends > 0 && now_ns(0) < until) {
        uint64_t late;

        poll.timeout = now_ns(0) + TICK_NS;
        hc(sched_op, SCHEDOP_poll, &poll);
        late = now_ns(0);
        late = late > poll.timeout ? late - poll.timeout : 0; /* less: an event came */
        longest = late > longest ? late : longest;
        if (++ticks % 64 == 0)
            witness_check();
        check_pages();
        if (port_pending(port)) {
            port_clear_pending(port);
            nr_ends--;
            until = now_ns(0) + SECOND_END_NS;
        }
        if (ticks % 512 == 0 && is_for("beside=fuzz")) /* meanwhile the others stand still */
            audit();
    }
    check_pages();
    if (is_for("granted")) /* else they were never in danger */
        CHECK(nr_seen_in_use > 0);
    print("witness: %lu ticks, woken at most %lu us late; %u times a grant in use\n", ticks,
          longest / 1000, nr_seen_in_use);
    if (is_for("icount")) /* else other programs on the real machine make us late as well */
        CHECK(longest < LATE_NS);
}
