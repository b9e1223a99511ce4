/*
 * Domains saved and restored on the machine in memory: what comes back is what was there, in other frames; nothing is
 * left of what fails, at whatever call, and of files that are cut off, damaged or made by an enemy.
 */
#include "stream_domain.h"

/* ---- what comes back ---- */

static void check_memory(domid_t id, uint64_t new[NR_PFNS])
{
    for (unsigned int i = 0; i < NR_PFNS; i++)
        new[i] = 0;
    for (uint64_t m = FIRST_MFN; m < FIRST_MFN + NR_FRAMES; m++)
        if (machine_owner(m) == id && m != machine[id].shared_info_mfn &&
            m != machine[id].grants_mfn)
            new[machine_pfn(m)] = m;
    CU_ASSERT_EQUAL(new[HOLE], 0);
    for (unsigned int i = DATA; i < NR_PFNS; i++)
        for (unsigned int k = 0; i != HOLE && k < 4096; k++)
            if (((char *)machine_frame(new[i]))[k] != 'a' + (int)i) {
                CU_FAIL("a page has changed");
                break;
            }
}

static void check_tables(const uint64_t new[NR_PFNS])
{
    const uint64_t *root = machine_frame(new[ROOT]), *l1 = machine_frame(new[L1]);
    const uint64_t *list = machine_frame(new[LIST]);

    CU_ASSERT_EQUAL(root[1], new[L3] << 12 | 7);
    CU_ASSERT_EQUAL(((uint64_t *)machine_frame(new[USER_ROOT]))[1], new[L3] << 12 | 7);
    CU_ASSERT_EQUAL(l1[0], new[LIST] << 12 | 3);
    CU_ASSERT_EQUAL(l1[1], new[DATA] << 12 | 0x8000000000000067);
    CU_ASSERT_EQUAL(l1[2], new[L1] << 12 | 5);
    CU_ASSERT_EQUAL(l1[3], NOT_PRESENT);
    for (unsigned int i = 0; i < NR_PFNS; i++)
        CU_ASSERT_EQUAL(list[i], i == HOLE ? (MARK | HOLE) : new[i]);
}

static void check_state(const struct machine_domain *d, const uint64_t new[NR_PFNS])
{
    const struct shared_info *s = machine_frame(d->shared_info_mfn);
    const start_info_t *si = machine_frame(new[INFO]);
    const grant_entry_v1_t *grants = machine_frame(d->grants_mfn);

    CU_ASSERT_EQUAL(si->store_mfn, new[STORE]);
    CU_ASSERT_EQUAL(si->console.domU.mfn, new[CONSOLE]);
    CU_ASSERT_TRUE(si->store_evtchn == 1 && si->console.domU.evtchn == 2);
    CU_ASSERT_EQUAL(si->shared_info, d->shared_info_mfn << 12);
    CU_ASSERT_EQUAL(grants[GNTTAB_RESERVED_XENSTORE].frame, new[STORE]);
    CU_ASSERT_TRUE(s->arch.max_pfn == NR_PFNS && s->arch.p2m_cr3 == 0);
    CU_ASSERT_TRUE(s->evtchn_pending[0] == 0 && s->evtchn_mask[0] == ~0ul);
    CU_ASSERT_TRUE(s->vcpu_info[0].evtchn_upcall_mask && s->vcpu_info[0].arch.cr2 == 0xabc);
    CU_ASSERT_EQUAL(d->context.user_regs.rip, 0x1234);
    CU_ASSERT_EQUAL(d->context.user_regs.rdx, new[INFO]);
    CU_ASSERT_EQUAL(d->context.gdt_frames[0], new[GDT]);
    CU_ASSERT_EQUAL(d->context.ctrlreg[3], new[ROOT] << 12);
    CU_ASSERT_EQUAL(d->context.ctrlreg[1], new[USER_ROOT] << 12);
    CU_ASSERT_EQUAL(d->extended.sysenter_callback_eip, 77);
    CU_ASSERT_TRUE(d->tsc.gtsc_khz == 1000 && d->tsc.elapsed_nsec == 99 && d->tsc_aux == 5);
    CU_ASSERT_TRUE(d->xsave[0] == 'x' && d->xsave[599] == 'x');
    CU_ASSERT_TRUE(d->introduced && d->pauses == 1 && d->nr_vcpus == 2);
}

static void test_saved_and_restored(void)
{
    struct build_plan other = { .max_pages = 64, .nr_vcpus = 1 };
    uint64_t new[NR_PFNS], taken[30];
    domid_t id, stranger;
    char path[64];

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(save(id, GUEST_DESTROYED), 0);
    CU_ASSERT_EQUAL(nr_domains(), 0);
    CU_ASSERT_EQUAL_FATAL(build_empty(&t, &other, &stranger), 0); /* has its frames now */
    CU_ASSERT_EQUAL(hyp_populate(t.hyp, stranger, 0, 30, taken), 30);
    CU_ASSERT_EQUAL_FATAL(guest_restore(&t, FILE_PATH, NULL, &id), 0);
    check_memory(id, new);
    check_tables(new);
    check_state(&machine[id], new);
    snprintf(path, sizeof(path), "/local/domain/%u/name", id);
    CU_ASSERT_STRING_EQUAL(machine_node(path)->value, "guest");
    CU_ASSERT_EQUAL(memcmp(machine[id].handle, config.uuid, 16), 0);
    end();
}

/* A mode that is set would have it begin anew. */
static void test_its_clock_goes_on(void)
{
    domid_t id;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(save(id, GUEST_DESTROYED), 0);
    config.tsc_mode = CONFIG_TSC_NATIVE;
    CU_ASSERT_EQUAL_FATAL(guest_restore(&t, FILE_PATH, &config, &id), 0);
    CU_ASSERT_TRUE(machine[id].tsc.gtsc_khz == 1000 && machine[id].tsc.elapsed_nsec == 99);
    end();
}

static void test_a_checkpoint(void)
{
    domid_t id, other;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), 0);
    CU_ASSERT_TRUE(machine[id].flags == 0 && machine[id].nr_resumed == 1);
    CU_ASSERT_EQUAL(machine[id].context.user_regs.rax, 1); /* it was not restored */
    CU_ASSERT_EQUAL(save(id, GUEST_STAYS_PAUSED), 0);
    CU_ASSERT_EQUAL(machine[id].pauses, 1);
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), -1); /* paused */
    CU_ASSERT_EQUAL(errno, EBUSY);
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, NULL, &other), -1); /* its name is taken */
    CU_ASSERT_EQUAL(errno, EEXIST);
    strcpy(config.name, "second"); /* and then its UUID */
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, &config, &other), -1);
    CU_ASSERT_EQUAL(errno, EEXIST);
    config.has_uuid = false;
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, &config, &other), 0);
    CU_ASSERT_EQUAL(nr_domains(), 2);
    end();
}

static void test_shells_are_given_up_for_it(void)
{
    const struct shells_wish wish = { 7, 8192, 1 };
    struct shells_tender tender = { .fast = true };
    struct shell shells[SHELLS_MAX];
    domid_t id;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(save(id, GUEST_DESTROYED), 0);
    CU_ASSERT_EQUAL(shells_want(&t, &wish), 0);
    while (shells_tend(&t, &tender) > 0)
        ;
    CU_ASSERT_EQUAL(shells_ready(&t, shells), 7);
    CU_ASSERT_EQUAL_FATAL(guest_restore(&t, FILE_PATH, &config, &id), 0);
    CU_ASSERT_EQUAL(shells_ready(&t, shells), 7);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    config.memory_kib = config.max_memory_kib = 16384;
    CU_ASSERT_EQUAL_FATAL(guest_restore(&t, FILE_PATH, &config, &id), 0);
    CU_ASSERT_EQUAL(shells_ready(&t, shells), 5);
    CU_ASSERT_TRUE(machine_free() >= 4096 - NR_PFNS - 2);
    end();
}

/* What the hypervisor keeps for it has to be free, too; it is said before anything is done. */
static void test_too_little_memory_for_it(void)
{
    struct build_plan other = { .max_pages = NR_FRAMES, .nr_vcpus = 1 };
    uint64_t *taken = calloc(NR_FRAMES, sizeof(*taken)), nr;
    domid_t id, stranger;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(save(id, GUEST_DESTROYED), 0);
    CU_ASSERT_EQUAL_FATAL(build_empty(&t, &other, &stranger), 0);
    nr = machine_free() - NR_PFNS - 8;
    CU_ASSERT_EQUAL(hyp_populate(t.hyp, stranger, 0, nr, taken), nr);
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, NULL, &id), -1);
    CU_ASSERT_EQUAL(errno, ENOMEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, "no memory for it: of 1 MiB 0 are free"));
    CU_ASSERT_EQUAL(nr_domains(), 1);
    CU_ASSERT_EQUAL(guest_destroy(&t, stranger), 0);
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, NULL, &id), 0);
    free(taken);
    end();
}

/* Where it is lacking later it is said as well. */
static void test_memory_is_lacking_later(void)
{
    unsigned int n = 0, nr_registers = 0;
    bool failed;
    domid_t id;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(save(id, GUEST_DESTROYED), 0);
    machine_error = ENOMEM;
    do {
        machine_fail_at(++n);
        if (guest_restore(&t, FILE_PATH, NULL, &id) == 0)
            guest_destroy(&t, id);
        else if (strstr(t.error, "vCPU 0: its registers are refused: no memory"))
            nr_registers++;
        failed = machine_fail_at(0);
    } while (failed);
    machine_error = EIO;
    CU_ASSERT_TRUE(nr_registers > 0);
    end();
}

/* What is to begin by its UUID is this one, if it can be made; else it still is to begin. */
static void test_what_is_to_begin_waits_for_it(void)
{
    char path[80] = "/xen-like/restarts/";
    domid_t id;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(save(id, GUEST_DESTROYED), 0);
    config_print_uuid(config.uuid, path + strlen(path));
    CU_ASSERT_TRUE(xs_write(t.store, XBT_NULL, path, "it", 2));
    config.max_memory_kib = 16;
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, &config, &id), -1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(machine_node(path));
    CU_ASSERT_STRING_EQUAL(machine_node(path)->value, "it");
    CU_ASSERT_EQUAL(guest_restore(&t, FILE_PATH, NULL, &id), 0);
    CU_ASSERT_PTR_NULL(machine_node(path));
    end();
}

static void test_one_that_does_not_suspend(void)
{
    char path[64];
    domid_t id;

    start();
    id = make_domain();
    machine[id].suspends = false;
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_EQUAL(errno, ETIMEDOUT);
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", id);
    CU_ASSERT_STRING_EQUAL(machine_node(path)->value, ""); /* taken back */
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, "it has ended"));
    CU_ASSERT_FALSE(is_file());
    CU_ASSERT_EQUAL(save(0, GUEST_DESTROYED), -1);
    t.store = NULL;
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_EQUAL(errno, ENOTSUP);
    t.store = (struct xs_handle *)&some_store;
    end();
}

/* What it has taken it does, also after the minute: it is waited for, and saved. */
static void test_one_that_suspends_late(void)
{
    domid_t id;

    start();
    id = make_domain();
    machine[id].suspends_ns = plat_now() + 70000000000u;
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), 0);
    CU_ASSERT_TRUE(machine[id].flags == 0 && machine[id].pauses == 0);
    machine[id].suspends_ns = plat_now() + 500000000000u;
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), -1); /* there is an end to that */
    CU_ASSERT_EQUAL(errno, ETIMEDOUT);
    machine[id].suspends_ns = 0;
    end();
}

/* The same of one that takes it by removing the node; and then it can be asked again. */
static void test_one_that_removes_the_request(void)
{
    char path[64];
    domid_t id;

    start();
    id = make_domain();
    machine[id].suspends = false;
    machine[id].removes = true;
    machine[id].suspends_ns = plat_now() + 70000000000u;
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), 0);
    CU_ASSERT_TRUE(machine[id].flags == 0 && machine[id].nr_resumed == 1);
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", id);
    CU_ASSERT_PTR_NULL(machine_node(path));
    machine[id].suspends_ns = plat_now() + 1000000000u;
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), 0);
    end();
}

/* Two at once: the second one leaves the domain alone. */
static void test_one_that_is_being_saved(void)
{
    char name[32];
    void *claim;
    domid_t id;

    start();
    id = make_domain();
    snprintf(name, sizeof(name), "saving-%u", id);
    claim = plat_region_open(name, 4096, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(claim);
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_EQUAL(errno, EBUSY);
    CU_ASSERT_TRUE(machine[id].flags == 0 && machine[id].nr_resumed == 0 && !is_file());
    plat_region_close(claim, 4096);
    CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), 0);
    CU_ASSERT_TRUE(plat_region_remove(name) == -1 && errno == ENOENT); /* nothing stays */
    end();
}

/* Who was suspended before stays so when it fails; what is destroyed meanwhile gives no file. */
static void test_suspended_by_others(void)
{
    domid_t id;

    start();
    id = make_domain();
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_suspend << XEN_DOMINF_shutdownshift;
    machine[id].context.gdt_ents = 8192;
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_TRUE(machine[id].flags && machine[id].nr_resumed == 0 && machine[id].pauses == 0);
    machine[id].context.gdt_ents = 20;
    machine[id].types_left = 2;
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_EQUAL(errno, ESRCH);
    CU_ASSERT_FALSE(is_file());
    end();
}

/* ---- domains that lie about themselves ---- */

static void refuses(domid_t id, const char *why)
{
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    if (strstr(t.error, why) == NULL) {
        printf("\n\"%s\" is not in \"%s\"\n", why, t.error);
        CU_FAIL("another reason");
    }
    CU_ASSERT_FALSE(is_file());
    CU_ASSERT_TRUE(machine[id].there && machine[id].flags == 0); /* it goes on */
}

#define WITH(lvalue, value, why)              \
    do {                                      \
        __typeof__(lvalue) before_ = lvalue;  \
        lvalue = (__typeof__(lvalue))(value); \
        refuses(id, why);                     \
        lvalue = before_;                     \
    } while (0)

static void test_what_a_domain_says_is_checked(void)
{
    struct arch_shared_info *arch;
    uint64_t *l1, *l2, *list;
    struct vcpu_guest_context *c;
    domid_t id;

    start();
    id = make_domain();
    arch = &((struct shared_info *)machine_frame(machine[id].shared_info_mfn))->arch;
    l1 = machine_frame(mfn[L1]);
    l2 = machine_frame(mfn[L2]);
    list = machine_frame(mfn[LIST]);
    c = &machine[id].context;
    WITH(arch->max_pfn, 0, "keeps no list");
    WITH(arch->max_pfn, 1ul << 40, "says 1099511627776 pages");
    WITH(arch->max_pfn, 5000, "is not mapped");
    WITH(arch->p2m_cr3, 0, "keeps no list");
    WITH(arch->p2m_cr3, 1ul << 50, "is at frame 0x4000000000");
    WITH(arch->p2m_vaddr, LIST_VA + (1ul << 39), "is not mapped");
    WITH(arch->p2m_vaddr, 0x8000000000000000, "is not mapped");
    WITH(l1[0], 0, "is not mapped");
    WITH(l1[0], 0xffffffffff001, "its list of memory");
    WITH(l2[0], l2[0] | 0x80, "is not mapped");
    WITH(l1[1], machine[id].grants_mfn << 12 | 1, "what a page table maps");
    WITH(l1[511], 1, "what a page table maps");
    WITH(list[GDT], PFN_NONE, "a part of its GDT");
    WITH(list[LIST], PFN_NONE, "a part of its list of memory");
    WITH(list[INFO], mfn[DATA], "its start_info");
    WITH(c->gdt_ents, 8192, "its GDT has 8192");
    WITH(c->gdt_ents, 1024, "a part of its GDT");
    WITH(list[ROOT], PFN_NONE, "its root");
    WITH(list[USER_ROOT], PFN_NONE, "its second root");
    WITH(c->user_regs.rdx, 5, "its start_info");
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), 0);
    end();
}

/* What its list names and is not its memory takes no room, and is not to be found by its number. */
static void test_frames_of_others_are_left_out(void)
{
    static struct p2m_batch batch;
    static struct p2m_shared shared;
    guest_info_t info;
    struct p2m p;
    domid_t id;

    start();
    id = make_domain();
    ((uint64_t *)machine_frame(mfn[LIST]))[HOLE] = 0x123456;
    ((uint64_t *)machine_frame(mfn[LIST]))[HOLE + 1] = mfn[DATA];
    CU_ASSERT_EQUAL_FATAL(guest_info(&t, id, &info), 0);
    CU_ASSERT_EQUAL_FATAL(p2m_read(&t, &info, &shared, &p, &batch), 0);
    CU_ASSERT_TRUE(p.nr == NR_PFNS && p.nr_pages == NR_PFNS - 2);
    CU_ASSERT_EQUAL(p2m_pfn(&p, 0x123456), PFN_NONE);
    CU_ASSERT_EQUAL(p2m_pfn(&p, mfn[DATA]), DATA);
    CU_ASSERT_EQUAL(p2m_pfn(&p, mfn[NR_PFNS - 1]), NR_PFNS - 1);
    p2m_free(&p);
    end();
}

/* Its tree of lists has one frame at the top, which cannot lead to as much as such a domain may have. */
static void test_more_than_a_tree_can_hold(void)
{
    struct arch_shared_info *arch;
    domid_t id;

    start();
    id = make_domain();
    arch = &((struct shared_info *)machine_frame(machine[id].shared_info_mfn))->arch;
    machine[id].max_pages = 9u << 20;
    arch->p2m_cr3 = 0;
    arch->pfn_to_mfn_frame_list_list = mfn[DATA];
    for (unsigned int i = 0; i < 512; i++)
        ((uint64_t *)machine_frame(mfn[DATA]))[i] = mfn[DATA + 1];
    WITH(arch->max_pfn, (1ul << 27) + 1, "its tree of memory is too large");
    end();
}

/* ---- each call fails ---- */

static void test_saving_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool failed;
    domid_t id;
    int rc;

    do {
        start();
        id = make_domain();
        machine_fail_at(++n);
        rc = save(id, GUEST_GOES_ON);
        failed = machine_fail_at(0);
        CU_ASSERT_TRUE(rc == 0 || failed);
        if (rc && machine[id].flags) { /* going on has failed as well: it can be done again */
            CU_ASSERT_EQUAL(save(id, GUEST_GOES_ON), 0);
        } else {
            CU_ASSERT_TRUE(rc == 0 ? is_file()
                                   : !is_file() || machine[id].nr_resumed == 0 ||
                                         machine[id].pauses /* the last step */);
        }
        CU_ASSERT_EQUAL(machine[id].flags, 0);
        end();
    } while (failed);
    CU_ASSERT_TRUE(n > 25);
}

static void test_files_fail_at_each_call(void)
{
    unsigned int n = 0, nr_failed = 0;
    bool failed;
    domid_t id;

    do {
        start();
        id = make_domain();
        fake_fail_at(++n);
        if (save(id, GUEST_GOES_ON) == 0) {
            failed = fake_failed();
        } else {
            failed = true;
            fake_fail_at(0);
            CU_ASSERT_FALSE(is_file());
            CU_ASSERT_TRUE(machine[id].flags == 0);
        }
        nr_failed += failed;
        end();
    } while (failed);
    CU_ASSERT_TRUE(nr_failed > 30);
    start();
    id = make_domain();
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), 0);
    for (n = 1, failed = true; failed; n++) {
        fake_fail_at(n);
        failed = guest_restore(&t, FILE_PATH, NULL, &id) != 0;
        fake_fail_at(0);
        CU_ASSERT_EQUAL(nr_domains(), !failed);
    }
    CU_ASSERT_TRUE(n > 30);
    end();
}

static void test_restoring_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool failed;
    domid_t id;
    int rc;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), 0);
    do {
        machine_fail_at(++n);
        rc = guest_restore(&t, FILE_PATH, NULL, &id);
        failed = machine_fail_at(0);
        CU_ASSERT_EQUAL(rc != 0, failed && nr_domains() == 0);
        if (rc == 0)
            CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
        CU_ASSERT_EQUAL(machine_free(), nr_free);
    } while (failed);
    CU_ASSERT_TRUE(n > 25);
    end();
}

/* Whenever the user wants an end, nothing half-done stays. */
static unsigned int polls_left;
static bool user_wants_an_end(void) { return polls_left == 0 || --polls_left == 0; }

static void test_saving_and_dumping_are_interrupted(void)
{
    unsigned int n = 0;
    domid_t id;
    int rc;

    start();
    id = make_domain();
    t.interrupted = user_wants_an_end;
    machine[id].suspends_ns = plat_now() + 20000000;
    for (rc = -1; rc;) {
        polls_left = ++n;
        rc = save(id, GUEST_GOES_ON);
        CU_ASSERT_TRUE(rc == 0 || errno == EINTR);
        CU_ASSERT_EQUAL(is_file(), rc == 0);
        CU_ASSERT_TRUE(machine[id].flags == 0 && machine[id].pauses == 0);
    }
    CU_ASSERT_TRUE(n > 2);
    CU_ASSERT_EQUAL(plat_file_remove(FILE_PATH), 0);
    for (rc = -1, n = 0; rc;) {
        polls_left = ++n;
        rc = guest_dump_core(&t, id, FILE_PATH);
        CU_ASSERT_TRUE(rc == 0 || errno == EINTR);
        CU_ASSERT_EQUAL(is_file(), rc == 0);
        CU_ASSERT_EQUAL(machine[id].pauses, 0);
    }
    CU_ASSERT_TRUE(n > 3);
    end();
}

/* One that the signal finds asked, but not heard, is not asked any more. */
static void test_asking_is_interrupted(void)
{
    char path[64];
    domid_t id;

    start();
    id = make_domain();
    t.interrupted = user_wants_an_end;
    polls_left = 3;
    machine[id].suspends = false;
    CU_ASSERT_EQUAL(save(id, GUEST_DESTROYED), -1);
    CU_ASSERT_EQUAL(errno, EINTR);
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", id);
    CU_ASSERT_STRING_EQUAL(machine_node(path)->value, "");
    CU_ASSERT_FALSE(is_file());
    end();
}

static void test_restoring_is_interrupted(void)
{
    unsigned int n = 0;
    domid_t id;
    int rc;

    start();
    CU_ASSERT_EQUAL(save(make_domain(), GUEST_DESTROYED), 0);
    t.interrupted = user_wants_an_end;
    for (rc = -1; rc;) {
        polls_left = ++n;
        rc = guest_restore(&t, FILE_PATH, NULL, &id);
        CU_ASSERT_TRUE(rc == 0 || errno == EINTR);
        CU_ASSERT_EQUAL(nr_domains(), rc == 0);
    }
    CU_ASSERT_TRUE(n > 8);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("stream", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_saved_and_restored);
    T(test_its_clock_goes_on);
    T(test_a_checkpoint);
    T(test_shells_are_given_up_for_it);
    T(test_too_little_memory_for_it);
    T(test_memory_is_lacking_later);
    T(test_what_is_to_begin_waits_for_it);
    T(test_one_that_does_not_suspend);
    T(test_one_that_suspends_late);
    T(test_one_that_removes_the_request);
    T(test_one_that_is_being_saved);
    T(test_suspended_by_others);
    T(test_what_a_domain_says_is_checked);
    T(test_frames_of_others_are_left_out);
    T(test_more_than_a_tree_can_hold);
    T(test_saving_fails_at_each_call);
    T(test_files_fail_at_each_call);
    T(test_restoring_fails_at_each_call);
    T(test_saving_and_dumping_are_interrupted);
    T(test_asking_is_interrupted);
    T(test_restoring_is_interrupted);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
