/*
 * Domains saved and restored on the machine in memory: what comes back is what was there, in other frames; nothing is
 * left of what fails, at whatever call, and of files that are cut off, damaged or made by an enemy.
 */
#include <CUnit/Basic.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/grant_table.h>
#include <xen/sched.h>
#include <xenforeignmemory.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/json.h"
#include "../../dom0-tools/lib/build.h"
#include "../../dom0-tools/lib/hyp.h"
#include "../../dom0-tools/lib/nodes.h"
#include "../../dom0-tools/lib/p2m.h"
#include "../../dom0-tools/lib/stream.h"
#include "../../dom0-tools/lib/toolstack.h"
#define fake_reset platform_reset /* platform_fake.c */
#include "../../xen-like/platform/fake.h"
#include "toolstack_machine.h"

#define LIST_VA 0x8000000000ul /* in slot 1 of the root */
#define NOT_PRESENT 0x1234567890aull
#define MARK (1ull << 62)
#define FILE_PATH "/saved"

/* The domain's pages. */
enum {
    ROOT,
    L3,
    L2,
    L1,
    USER_ROOT,
    LIST,
    INFO,
    STORE,
    CONSOLE,
    GDT,
    DATA,
    HOLE = 13,
    NR_PFNS = 16
};

/* test_config.mk has config_text.c take its memory by these. */
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

static struct toolstack t;
static struct domain_config config;
static uint64_t nr_free;
static char some_store;
static struct text json;
static uint64_t mfn[NR_PFNS]; /* of the domain that is saved */

/* ---- a domain ---- */

static void entry(unsigned int table, unsigned int index, unsigned int to, uint64_t flags)
{
    ((uint64_t *)machine_frame(mfn[table]))[index] = mfn[to] << 12 | flags;
}

static void fill_tables(void)
{
    entry(ROOT, 1, L3, 7);
    entry(USER_ROOT, 1, L3, 7);
    entry(L3, 0, L2, 7);
    entry(L2, 0, L1, 7);
    entry(L1, 0, LIST, 3);
    entry(L1, 1, DATA, 0x8000000000000067);
    entry(L1, 2, L1, 5); /* itself, read-only */
    ((uint64_t *)machine_frame(mfn[L1]))[3] = NOT_PRESENT;
}

static void fill(domid_t id)
{
    struct machine_domain *d = &machine[id];
    struct shared_info *s = machine_frame(d->shared_info_mfn);
    start_info_t *si = machine_frame(mfn[INFO]);
    uint64_t *list = machine_frame(mfn[LIST]);

    fill_tables();
    for (unsigned int i = 0; i < NR_PFNS; i++)
        list[i] = i == HOLE ? MARK | HOLE : mfn[i];
    for (unsigned int i = DATA; i < NR_PFNS; i++)
        if (i != HOLE)
            memset(machine_frame(mfn[i]), 'a' + (int)i, 4096);
    si->store_mfn = STORE; /* as a kernel has it that suspends itself */
    si->console.domU.mfn = CONSOLE;
    s->arch.max_pfn = NR_PFNS;
    s->arch.p2m_cr3 = mfn[ROOT] << 12;
    s->arch.p2m_vaddr = LIST_VA;
    s->evtchn_pending[0] = 6;
    s->vcpu_info[0].evtchn_upcall_mask = 1;
    s->vcpu_info[0].arch.cr2 = 0xabc;
    d->context = (struct vcpu_guest_context){ .gdt_ents = 20, .user_regs.rip = 0x1234 };
    d->context.gdt_frames[0] = mfn[GDT];
    d->context.ctrlreg[3] = mfn[ROOT] << 12;
    d->context.ctrlreg[1] = mfn[USER_ROOT] << 12;
    d->context.user_regs.rdx = mfn[INFO];
    d->extended = (struct xen_domctl_ext_vcpucontext){ .size = 40, .sysenter_callback_eip = 77 };
    d->tsc = (struct xen_domctl_tsc_info){ .tsc_mode = 1, .gtsc_khz = 1000, .elapsed_nsec = 99 };
    d->tsc_aux = 5;
    memset(d->xsave, 'x', sizeof(d->xsave));
}

static domid_t make_domain(void)
{
    struct build_plan plan = { .nr_pages = NR_PFNS, .max_pages = 256, .nr_vcpus = 2 };
    struct nodes n = { .name = "guest", .nr_vcpus = 1, .max_vcpus = 2, .config = "name=\"guest\"" };

    memcpy(plan.uuid, config.uuid, sizeof(plan.uuid));
    memcpy(n.uuid, config.uuid, sizeof(n.uuid));
    CU_ASSERT_EQUAL_FATAL(build_empty(&t, &plan, &n.id), 0);
    CU_ASSERT_EQUAL_FATAL(hyp_populate(t.hyp, n.id, 0, HOLE, mfn), HOLE);
    CU_ASSERT_EQUAL_FATAL(hyp_populate(t.hyp, n.id, HOLE + 1, 2, mfn + HOLE + 1), 2);
    fill(n.id);
    n.store_mfn = mfn[STORE];
    n.console_mfn = mfn[CONSOLE];
    n.store_port = 1;
    CU_ASSERT_EQUAL_FATAL(hyp_pin(t.hyp, n.id, 4, mfn[ROOT]), 0);
    CU_ASSERT_EQUAL_FATAL(hyp_pin(t.hyp, n.id, 4, mfn[USER_ROOT]), 0);
    CU_ASSERT_EQUAL_FATAL(hyp_pin(t.hyp, n.id, 1, mfn[L1]), 0);
    CU_ASSERT_EQUAL_FATAL(nodes_create(&t, &n), 0);
    CU_ASSERT_EQUAL(guest_unpause(&t, n.id), 0);
    machine[n.id].suspends = true;
    return n.id;
}

static void start(void)
{
    struct json j = { .out = &json };

    fake_reset();
    machine_reset();
    nr_free = machine_free();
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&t, (struct xs_handle *)&some_store, 0), 0);
    memset(&config, 0, sizeof(config));
    strcpy(config.name, "guest");
    strcpy(config.kernel, "/kernel");
    config.has_uuid = true;
    memset(config.uuid, 0x42, sizeof(config.uuid));
    config.memory_kib = config.max_memory_kib = 1024;
    config.nr_vcpus = 1;
    config.max_vcpus = 2;
    config_json(&j, NULL, &config);
}

static void end(void)
{
    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there)
            CU_ASSERT_EQUAL(guest_destroy(&t, (domid_t)d), 0);
    CU_ASSERT_EQUAL(machine_free(), nr_free);
    toolstack_close(&t);
    CU_ASSERT_EQUAL(machine_held(), 0);
    text_free(&json);
}

static unsigned int nr_domains(void)
{
    unsigned int n = 0;

    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        n += machine[d].there;
    return n;
}

static bool is_file(void)
{
    char *data = plat_file_read(FILE_PATH, NULL);

    free(data);
    return data != NULL;
}

static int save(domid_t id, enum guest_then then)
{
    return guest_save(&t, id, FILE_PATH, json.bytes, then);
}

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

/* ---- hostile files ---- */

static char *file;
static size_t file_len;

static void begin_with_a_file(void)
{
    start();
    CU_ASSERT_EQUAL_FATAL(save(make_domain(), GUEST_DESTROYED), 0);
    file = plat_file_read(FILE_PATH, &file_len);
}

/* It is restored, or nothing is left. */
static int try(const char *data, size_t len)
{
    domid_t id;
    int rc;

    CU_ASSERT_EQUAL(plat_file_write(FILE_PATH, data, len), 0);
    rc = guest_restore(&t, FILE_PATH, NULL, &id);
    CU_ASSERT_EQUAL(nr_domains(), rc == 0);
    if (rc == 0)
        CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_EQUAL(machine_free(), nr_free);
    CU_ASSERT_EQUAL(machine_held(), 1); /* the toolstack's buffer */
    return rc;
}

static void end_with_a_file(void)
{
    CU_ASSERT_EQUAL(try(file, file_len), 0);
    free(file);
    end();
}

/* Where the records begin: libxc's first. */
static size_t first_record(void)
{
    const struct xl_header *h = (const struct xl_header *)file;

    return sizeof(*h) + h->bytes + sizeof(struct libxl_header) + sizeof(struct record) +
           sizeof(struct image_header) + sizeof(struct domain_header);
}

static size_t find_record(uint32_t type)
{
    size_t at = first_record();
    struct record r;

    for (;; at += sizeof(r) + r.length + stream_padding(r.length)) {
        CU_ASSERT_TRUE_FATAL(at + sizeof(r) <= file_len);
        memcpy(&r, file + at, sizeof(r));
        if (r.type == type)
            return at;
    }
}

static void test_cut_anywhere(void)
{
    size_t pages;

    begin_with_a_file();
    pages = find_record(RECORD_PAGE_DATA) + 512;
    for (size_t len = 0; len<file_len; len += len> pages && len < pages + 50000 ? 1999 : 7)
        CU_ASSERT_EQUAL(try(file, len), -1);
    end_with_a_file();
}

static void test_any_byte_is_another(void)
{
    size_t pages;

    begin_with_a_file();
    pages = find_record(RECORD_PAGE_DATA) + 300;
    for (size_t i = 0; i<file_len; i += i> pages && i < pages + 15 * 4096 ? 403 : 3) {
        char flip = (char)(i % 2 ? 0xff : 1 << i % 8);

        file[i] ^= flip;
        try(file, file_len);
        file[i] ^= flip;
    }
    end_with_a_file();
}

static void refused(const char *why)
{
    CU_ASSERT_EQUAL(try(file, file_len), -1);
    if (strstr(t.error, why) == NULL) {
        printf("\n\"%s\" is not in \"%s\"\n", why, t.error);
        CU_FAIL("another reason");
    }
}

/* The value at that place of the file. */
#define FILE_WITH(type, at, value, why)                 \
    do {                                                \
        type before_, now_ = (type)(value);             \
        memcpy(&before_, file + (at), sizeof(before_)); \
        memcpy(file + (at), &now_, sizeof(now_));       \
        refused(why);                                   \
        memcpy(file + (at), &before_, sizeof(before_)); \
    } while (0)

static void test_what_a_file_says_is_checked(void)
{
    size_t first, p2m, pages, vcpu;

    begin_with_a_file();
    first = first_record();
    p2m = find_record(RECORD_P2M_FRAMES);
    pages = find_record(RECORD_PAGE_DATA);
    vcpu = find_record(RECORD_VCPU_BASIC);
    FILE_WITH(char, 0, 'Y', "no domain is saved there");
    FILE_WITH(uint32_t, 36, 7, "an old version");
    FILE_WITH(uint32_t, 44, 0, "");
    FILE_WITH(uint32_t, 48, UINT32_MAX, "its configuration has");
    FILE_WITH(uint32_t, first - 16, 2, "no PV domain");
    FILE_WITH(uint16_t, first - 12, 21, "2^21");
    FILE_WITH(uint8_t, first + 8, 4, "no 64-bit domain");
    FILE_WITH(uint32_t, first, 0x77, "record of type 0x77");
    FILE_WITH(uint32_t, first, RECORD_PAGE_DATA, "out of order");
    FILE_WITH(uint32_t, first + 4, RECORD_MAX + 1, "a record of");
    FILE_WITH(uint32_t, p2m + 8, 1, "a list of memory of");
    FILE_WITH(uint32_t, p2m + 12, UINT32_MAX, "a list of memory of");
    FILE_WITH(uint64_t, p2m + 16, 16, "a part of its list");
    FILE_WITH(uint64_t, p2m + 16, L1, "a part of its list");
    FILE_WITH(uint64_t, p2m + 16, HOLE, "a part of its list");
    FILE_WITH(uint32_t, pages + 8, 0, "0 pages");
    FILE_WITH(uint32_t, pages + 8, PAGES_MAX + 1, "1025 pages");
    FILE_WITH(uint32_t, pages + 8, 14, "14 pages");
    FILE_WITH(uint64_t, pages + 16, NR_PFNS, "page 0x10");
    FILE_WITH(uint64_t, pages + 16, 1ull << 55, "page 0x80000000000000");
    FILE_WITH(uint64_t, pages + 16, 5ull << 60, "type 5");
    FILE_WITH(uint64_t, pages + 16, 8ull << 60, "type 8");
    FILE_WITH(uint64_t, pages + 16, 13ull << 60, "type 13");
    FILE_WITH(uint64_t, pages + 16, 15ull << 60, "15 pages");
    FILE_WITH(uint32_t, vcpu + 8, 2, "vCPU 2");
    FILE_WITH(uint32_t, vcpu + 8, 1, "first vCPU is missing");
    FILE_WITH(uint64_t, vcpu + 16 + offsetof(struct vcpu_guest_context, gdt_ents), 8192,
              "a GDT of");
    FILE_WITH(uint64_t, vcpu + 16 + offsetof(struct vcpu_guest_context, ctrlreg[3]), 0x10000,
              "its root");
    FILE_WITH(uint64_t, vcpu + 16 + offsetof(struct vcpu_guest_context, ctrlreg[3]), DATA << 12,
              "registers are refused");
    FILE_WITH(uint64_t, vcpu + 16 + offsetof(struct vcpu_guest_context, user_regs.rdx), L1,
              "its start_info is a page table");
    FILE_WITH(uint32_t, find_record(RECORD_CPUID_POLICY) + 8 + 20, 6,
              "not all of CPUID's leaf 0x0");
    FILE_WITH(uint32_t, file_len - 8, 3, "more than a PV domain has");
    end_with_a_file();
}

/* As many pages as 32 bits can count, with a list that is long enough. */
static void test_more_pages_than_there_can_be(void)
{
    const size_t nr_list = 8u << 20, extra = (nr_list - 1) * 8;
    const uint32_t length = (uint32_t)(8 + nr_list * 8);
    char *longer;
    size_t at;

    begin_with_a_file();
    at = find_record(RECORD_P2M_FRAMES);
    longer = calloc(1, file_len + extra);
    memcpy(longer, file, at + 24);
    memcpy(longer + at + 24 + extra, file + at + 24, file_len - at - 24);
    memcpy(longer + at + 4, &length, sizeof(length));
    memset(longer + at + 12, 0xff, 4); /* the last pfn */
    CU_ASSERT_EQUAL(try(longer, file_len + extra), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, "a list of memory for 4294967296 pages"));
    free(longer);
    end_with_a_file();
}

/* Optional records, those of debugging, and an unknown one. */
static void test_other_records(void)
{
    const struct record optional = { RECORD_OPTIONAL | 5, 3 }, verify = { RECORD_VERIFY, 0 };
    char *longer;
    size_t at;

    begin_with_a_file();
    at = find_record(RECORD_PAGE_DATA);
    longer = calloc(1, file_len + 24);
    memcpy(longer, file, at);
    memcpy(longer + at, &optional, sizeof(optional));
    memcpy(longer + at + 16, &verify, sizeof(verify));
    memcpy(longer + at + 24, file + at, file_len - at);
    CU_ASSERT_EQUAL(try(longer, file_len + 24), 0);
    free(longer);
    end_with_a_file();
}

/* ---- cores ---- */

/* A section of the core, by its name. */
static const char *section(const char *core, size_t len, const char *name, size_t bytes)
{
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)core;
    const Elf64_Shdr *sh = (const Elf64_Shdr *)(core + eh->e_shoff);
    const char *names = core + sh[eh->e_shstrndx].sh_offset;

    for (unsigned int i = 1; i < eh->e_shnum; i++)
        if (strcmp(names + sh[i].sh_name, name) == 0) {
            CU_ASSERT_EQUAL(sh[i].sh_size, bytes);
            CU_ASSERT_TRUE_FATAL(sh[i].sh_offset + sh[i].sh_size <= len);
            return core + sh[i].sh_offset;
        }
    CU_FAIL_FATAL("no such section");
    return NULL;
}

static void test_a_core(void)
{
    const struct vcpu_guest_context *context;
    const uint64_t *pairs, *header;
    const char *pages, *note;
    size_t len;
    char *core;
    domid_t id;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(guest_dump_core(&t, id, FILE_PATH), 0);
    CU_ASSERT_EQUAL(machine[id].pauses, 0);
    core = plat_file_read(FILE_PATH, &len);
    CU_ASSERT_EQUAL(memcmp(core, "\177ELF\2\1\1", 7), 0);
    CU_ASSERT_EQUAL(((const Elf64_Ehdr *)core)->e_type, ET_CORE);
    context = (const void *)section(core, len, ".xen_prstatus", sizeof(*context));
    CU_ASSERT_EQUAL(context->user_regs.rip, 0x1234);
    section(core, len, ".xen_shared_info", 4096);
    pairs = (const void *)section(core, len, ".xen_p2m", 15 * 16);
    pages = section(core, len, ".xen_pages", 15 * 4096);
    for (unsigned int i = 0; i < 15; i++) {
        CU_ASSERT_EQUAL(pairs[2 * i], i < HOLE ? i : i + 1);
        CU_ASSERT_EQUAL(pairs[2 * i + 1], mfn[pairs[2 * i]]);
        CU_ASSERT_EQUAL(memcmp(pages + i * 4096, machine_frame(mfn[pairs[2 * i]]), 4096), 0);
    }
    note = section(core, len, ".note.Xen", 16 + 16 + 32 + 16 + 1280 + 16 + 8);
    CU_ASSERT_STRING_EQUAL(note + 12, "Xen");
    header = (const uint64_t *)(note + 32);
    CU_ASSERT_TRUE(header[0] == 0xf00febed && header[1] == 1 && header[2] == 15);
    CU_ASSERT_EQUAL(header[3], 4096);
    CU_ASSERT_EQUAL(((const uint64_t *)(note + 80))[1], 17); /* of version 4.17 */
    free(core);
    end();
}

static void test_a_core_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool failed;
    domid_t id;

    start();
    id = make_domain();
    do {
        machine_fail_at(++n);
        failed = guest_dump_core(&t, id, FILE_PATH) != 0;
        CU_ASSERT_TRUE(!failed || machine_fail_at(0));
        CU_ASSERT_EQUAL(is_file(), !failed);
        machine[id].pauses = 0; /* unpausing is a call, too */
        machine_fail_at(0);
    } while (failed);
    CU_ASSERT_TRUE(n > 10);
    CU_ASSERT_EQUAL(guest_dump_core(&t, 0, FILE_PATH), -1);
    end();
}

/* Whenever its memory goes, there is no file that lacks some of it. */
static void test_a_core_of_one_that_goes(void)
{
    domid_t id;

    start();
    id = make_domain();
    for (unsigned int n = 3; n < 5; n++) { /* after it has been read, and counted */
        machine[id].types_left = n;
        CU_ASSERT_EQUAL(guest_dump_core(&t, id, FILE_PATH), -1);
        CU_ASSERT_EQUAL(errno, ESRCH);
        CU_ASSERT_FALSE(is_file());
    }
    machine[id].types_left = 5;
    CU_ASSERT_EQUAL(guest_dump_core(&t, id, FILE_PATH), 0);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("stream", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_saved_and_restored);
    T(test_a_checkpoint);
    T(test_one_that_does_not_suspend);
    T(test_one_that_suspends_late);
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
    T(test_cut_anywhere);
    T(test_any_byte_is_another);
    T(test_what_a_file_says_is_checked);
    T(test_more_pages_than_there_can_be);
    T(test_other_records);
    T(test_a_core);
    T(test_a_core_fails_at_each_call);
    T(test_a_core_of_one_that_goes);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
