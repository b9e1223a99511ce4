/* A domain on the machine in memory that can be saved and dumped: its pages, tables and state. */
#pragma once

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
#include <xenstore.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/json.h"
#include "../../dom0-tools/lib/build.h"
#include "../../dom0-tools/lib/hyp.h"
#include "../../dom0-tools/lib/nodes.h"
#include "../../dom0-tools/lib/p2m.h"
#include "../../dom0-tools/lib/shell.h"
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

static inline unsigned int nr_domains(void)
{
    unsigned int n = 0;

    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        n += machine[d].there;
    return n;
}

static inline bool is_file(void)
{
    char *data = plat_file_read(FILE_PATH, NULL);

    free(data);
    return data != NULL;
}

static inline int save(domid_t id, enum guest_then then)
{
    return guest_save(&t, id, FILE_PATH, json.bytes, then);
}
