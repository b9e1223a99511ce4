/*
 * grant/: every order of death, also of domains that share ports as well; and domains that do whatever they
 * like while all references are recomputed after each step.
 */
#include "grant_machine.h"

/* ---- death ---- */

static void test_the_granter_dies_first(void)
{
    uint64_t p, id = 1;

    setup();
    p = page(g);
    grant(g, 8, m, p, 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    touch(m);
    table(p)[0] = 0x1234;
    die(g);
    CU_ASSERT_PTR_NOT_NULL(domain_list->next->next); /* it stays for that one frame */
    CU_ASSERT_EQUAL(refs(p), 2);
    CU_ASSERT_EQUAL(table(p)[0], 0x1234);
    map_arg(0, m, 8, VA_OF(1), GNTMAP_host_map);
    args.map[0].dom = (domid_t)id;
    CU_ASSERT_EQUAL(op(m, GNTTABOP_map_grant_ref, 1), 0);
    CU_ASSERT_EQUAL(args.map[0].status, GNTST_bad_domain); /* no new ones */
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0);
    CU_ASSERT_EQUAL(refs(p), 0);
    CU_ASSERT_EQUAL(audit(), 0);
    teardown();
}

static void test_both_die_the_granter_first_then_the_mapper_first(void)
{
    for (unsigned int i = 0; i < 4; i++) {
        uint64_t p;

        setup();
        fake_preempt_every = i < 2 ? 0 : 3;
        p = page(g);
        for (grant_ref_t ref = 8; ref < 100; ref++) {
            grant(g, ref, m, p, 0);
            CU_ASSERT_EQUAL(map(m, g, ref, VA_OF(ref), GNTMAP_host_map | GNTMAP_device_map), 0);
        }
        touch(m);
        die(i & 1 ? m : g);
        if (i & 1) {
            CU_ASSERT_EQUAL(in_use(g, 8), 0);
            CU_ASSERT_FALSE(tlb_write[2][p]);
            CU_ASSERT_EQUAL(refs(p), 1);
        }
        die(i & 1 ? g : m);
        teardown();
    }
}

static evtchn_port_t half_open(const struct dom *x, const struct dom *peer)
{
    args.alloc = (struct evtchn_alloc_unbound){ DOMID_SELF, peer->d->domain_id, 0 };
    play(x);
    CU_ASSERT_EQUAL(hc_event_channel_op(EVTCHNOP_alloc_unbound, (uintptr_t)&args, 0, 0, 0), 0);
    return args.alloc.port;
}
static evtchn_port_t join(const struct dom *x, const struct dom *peer, evtchn_port_t port)
{
    args.bind = (struct evtchn_bind_interdomain){ peer->d->domain_id, port, 0 };
    play(x);
    CU_ASSERT_EQUAL(hc_event_channel_op(EVTCHNOP_bind_interdomain, (uintptr_t)&args, 0, 0, 0), 0);
    return args.bind.local_port;
}
static long send(const struct dom *x, evtchn_port_t port)
{
    args.send = (struct evtchn_send){ port };
    play(x);
    return hc_event_channel_op(EVTCHNOP_send, (uintptr_t)&args, 0, 0, 0);
}

#define NR_SHARED 4u /* handles 0..3 of each, at VA_OF(0).. */

/* x's grants are mapped by `by` in every way, and by domain 0; ports between them are open and half open. */
static evtchn_port_t share_all(struct dom *x, struct dom *by)
{
    static const uint32_t how[NR_SHARED] = { GNTMAP_host_map, GNTMAP_host_map | GNTMAP_readonly,
                                             GNTMAP_device_map,
                                             GNTMAP_host_map | GNTMAP_device_map };
    evtchn_port_t theirs;

    for (unsigned int i = 0; i < NR_SHARED; i++) {
        uint64_t p = page(x);

        grant(x, 8 + i, by, p, 0);
        grant(x, 16 + i, c, p, 0);
        CU_ASSERT_EQUAL(map(by, x, 8 + i, VA_OF(i), how[i]), 0);
    }
    CU_ASSERT_EQUAL(map(c, x, 16, VA_OF(x == g), GNTMAP_host_map), 0);
    touch(by);
    half_open(x, by);
    theirs = join(by, x, half_open(x, by));
    CU_ASSERT_EQUAL(send(by, theirs), 0);
    return theirs;
}

/* So many steps of a death. Returns whether there is a rest of it. */
static bool die_steps(struct dom *x, unsigned int steps)
{
    int rc = -ERESTART;

    for (unsigned int i = 0; i < steps && rc == -ERESTART; i++) {
        rc = die_a_little(x);
        CU_ASSERT_EQUAL(audit(), 0);
    }
    if (rc == 0)
        x->d = NULL;
    return rc != 0;
}

/*
 * `first` dies `steps` steps, then `second` `more`, then both the rest, first and second. Returns whether
 * there was one: of first's, after 1, of second's, after 2.
 */
static unsigned int die_in_that_order(struct dom *first, struct dom *second, unsigned int steps,
                                      unsigned int more)
{
    evtchn_port_t port, back;
    unsigned int rest;

    setup();
    port = share_all(first, second); /* second's end */
    back = share_all(second, first);
    fake_preempt_every = 1;
    rest = die_steps(first, steps) ? 1 : 0;
    if (steps) { /* the living one: nothing new, and what it has it can give back */
        map_arg(0, second, 8, VA_OF(9), GNTMAP_host_map);
        args.map[0].dom = (domid_t)(first - doms); /* it may be dead already */
        CU_ASSERT_EQUAL(op(second, GNTTABOP_map_grant_ref, 1), 0);
        CU_ASSERT_EQUAL(args.map[0].status, GNTST_bad_domain);
        CU_ASSERT(send(second, port) <= 0); /* closed by then or not */
        CU_ASSERT_EQUAL(unmap(second, 0, VA, 0), 0);
        CU_ASSERT_EQUAL(audit(), 0);
    } else {
        CU_ASSERT_EQUAL(send(first, back), 0);
    }
    rest |= die_steps(second, more) ? 2 : 0;
    die(first);
    die(second);
    CU_ASSERT_PTR_NOT_NULL(domain_list->next); /* what domain 0 maps holds them */
    CU_ASSERT_EQUAL(unmap(c, 0, VA_OF(first == g), 0), 0);
    CU_ASSERT_EQUAL(unmap(c, 1, VA_OF(second == g), 0), 0);
    teardown();
    return rest;
}

static void test_two_that_share_grants_and_ports_die_in_every_order(void)
{
    unsigned int orders = 0;

    for (unsigned int i = 0; i < 2; i++)
        for (unsigned int steps = 0, more, rest = 1; rest & 1; steps++)
            for (more = 0, rest = 3; rest & 2; more++, orders++)
                rest = die_in_that_order(i ? g : m, i ? m : g, steps, more);
    CU_ASSERT(orders > 100); /* there were steps to go between */
    printf("%u orders of death\n", orders);
}

/* Frames of the hypervisor's that a domain may use are granted like others, and outlive it. */
static void test_the_granter_dies_with_its_shared_info_mapped(void)
{
    setup();
    grant(g, 8, m, mfn_x(g->d->shared_info_mfn), 0);
    CU_ASSERT_EQUAL(map(m, g, 8, VA, GNTMAP_host_map), 0);
    CU_ASSERT_EQUAL(audit(), 0);
    die(g);
    CU_ASSERT_PTR_NOT_NULL(domain_list->next->next);
    CU_ASSERT_EQUAL(unmap(m, 0, VA, 0), 0);
    teardown();
}

static void test_a_table_frame_stays_for_who_maps_it(void)
{
    uint64_t f;

    setup();
    f = mfn_x(virt_to_mfn(g->shared));
    CU_ASSERT_EQUAL(update(g, g->l1, 0, pte_make(f, W)), 0); /* its own to write */
    CU_ASSERT(ext(g, MMUEXT_PIN_L1_TABLE, f) < 0);           /* and no table */
    CU_ASSERT_FALSE(domain_steal_page(g->d, _mfn(f)));       /* XSA-379, 384: nor given back */
    CU_ASSERT_EQUAL(update(m, m->l1, 0, pte_make(f, W)), -EBUSY);
    teardown();
}

/* ---- domains that do whatever they like ---- */

static unsigned int rng;
static unsigned int rnd(unsigned int n)
{
    rng = rng * 1664525u + 1013904223u;
    return (rng >> 8) % n;
}

#define NR_P 6u /* pages of a domain that it grants, and uses as all sorts of things */
static uint64_t pages[NR_DOMS][NR_P];

/* What a CPU of domain i has in its TLB is the domain's, or in use by a grant. */
static void check_tlbs(void)
{
    for (unsigned int i = 0; i < NR_DOMS; i++)
        for (uint64_t f = 1; f < NR_FRAMES && doms[i].d; f++) {
            domid_t owner = PGC_OWNER(frame_table[f].count_info);
            bool ok = owner == i || !tlb_read[i][f], rw = !tlb_write[i][f] || owner == i;

            for (grant_ref_t ref = 8; ref < 24 && owner < NR_DOMS && owner != i; ref++) {
                const struct grant_entry_v1 *e = &doms[owner].shared[ref];

                if (doms[owner].d && e->frame == f && e->domid == i) {
                    ok |= (e->flags & GTF_reading) != 0;
                    rw |= (e->flags & GTF_writing) != 0;
                }
            }
            if (owner < NR_DOMS && doms[owner].d == NULL) /* nobody looks at its table any more */
                ok = rw = true;
            CU_ASSERT(ok && rw);
        }
}

static uint64_t some_address(const struct dom *x, uint32_t *flags)
{
    if (rnd(3))
        return VA_OF(rnd(8));
    *flags |= GNTMAP_contains_pte;
    return (pages[x - doms][rnd(NR_P)] << PAGE_SHIFT) + rnd(8) * 8;
}

static void random_step(struct dom *x)
{
    unsigned int i = (unsigned int)(x - doms), other = rnd(NR_DOMS), ref = 8 + rnd(16);
    uint64_t p = pages[i][rnd(NR_P)];
    uint32_t flags =
        GNTMAP_host_map | (rnd(2) ? GNTMAP_readonly : 0) | (rnd(4) ? 0 : GNTMAP_device_map);
    uint64_t at = some_address(x, &flags);

    if (doms[other].d == NULL)
        return;
    switch (rnd(12)) {
    case 0: /* as the protocol has it: an entry in use is left alone */
        if (!in_use(x, ref))
            grant(x, ref, &doms[other], p, rnd(3) ? 0 : GTF_readonly);
        break;
    case 1:
    case 2:
    case 3: (void)map(x, &doms[other], ref, at, flags); break;
    case 4:
    case 5: (void)unmap(x, rnd(24), rnd(5) ? at : 0, 0); break;
    case 6: (void)replace(x, rnd(24), at, VA_OF(rnd(8))); break;
    case 7:
        (void)update(x, rnd(2) ? x->l1 : p, rnd(8), rnd(2) ? 0 : pte_make(p, rnd(2) ? W : R));
        break;
    case 8: (void)ext(x, rnd(2) ? MMUEXT_PIN_L1_TABLE : MMUEXT_UNPIN_TABLE, p); break;
    case 9:
        if (ref & 1)
            (void)update(x, x->l2, pt_index(VA, 2), rnd(2) ? pte_make(p, W) : pte_make(x->l1, W));
        break;
    case 10:
        (void)copy(x, (struct gnttab_copy){ FROM_REF((domid_t)other, ref, rnd(4000)),
                                            TO_REF((domid_t)rnd(NR_DOMS), 8 + rnd(16), rnd(4000)),
                                            (uint16_t)rnd(200), (uint16_t)rnd(4), 0 });
        break;
    default: touch(x); break;
    }
}

/* Copies write into pages that become tables: only where they may. */
static void random_run(unsigned int seed, unsigned int steps)
{
    setup();
    rng = seed;
    fake_preempt_every = seed % 5;
    for (unsigned int i = 0; i < NR_DOMS; i++)
        for (unsigned int k = 0; k < NR_P; k++)
            pages[i][k] = page(&doms[i]);
    for (unsigned int n = 0; n < steps; n++) {
        struct dom *x = &doms[rnd(NR_DOMS)];

        if (x->d)
            random_step(x);
        if (n > steps / 2 && rnd(300) == 0)
            die(x);
        if (audit()) {
            CU_FAIL_FATAL("references do not add up");
        }
        check_tlbs();
    }
    teardown();
}

static void test_domains_that_do_whatever_they_like(void)
{
    const char *n = getenv("GRANT_RUNS");

    for (unsigned int seed = 1; seed <= (n ? (unsigned int)atoi(n) : 12); seed++)
        random_run(seed, 1500);
}

int main(void)
{
    CU_pSuite s;
    unsigned int failures;

    CU_initialize_registry();
    s = CU_add_suite("grant_death", NULL, NULL);
    TEST(the_granter_dies_first);
    TEST(both_die_the_granter_first_then_the_mapper_first);
    TEST(two_that_share_grants_and_ports_die_in_every_order);
    TEST(the_granter_dies_with_its_shared_info_mapped);
    TEST(a_table_frame_stays_for_who_maps_it);
    TEST(domains_that_do_whatever_they_like);
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures != 0;
}
