/*
 * dom0-tools/lib: domains built, told to the store and destroyed on a machine in memory, of which each call may
 * fail: then nothing is left.
 */
#include <CUnit/Basic.h>
#include <elf.h>
#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <platform.h>
#include <xenstore.h>
#include <xen/elfnote.h>
#include <xen/grant_table.h>
#include <xen/sched.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/lib/channels.h"
#include "../../dom0-tools/lib/image.h"
#include "../../dom0-tools/lib/layout.h"
#include "../../dom0-tools/lib/nodes.h"
#include "../../dom0-tools/lib/toolstack.h"
#include "toolstack_machine.h"

#define BASE 0xffffffff80000000ul
#define LIST 0x8000000000ul

enum { KERNEL_BYTES = 0x3800, TEXT_AT = 0x1000, TEXT_PADDR = 0x100800, RAMDISK_BYTES = 5000 };

/* ---- files ---- */

static uint8_t kernel[KERNEL_BYTES];
static struct {
    const void *bytes;
    size_t len;
} kernel_file = { kernel, KERNEL_BYTES };

char *plat_file_read(const char *path, size_t *len)
{
    char *copy;

    errno = ENOENT;
    if (strcmp(path, "/kernel") == 0) {
        copy = malloc(kernel_file.len + 1);
        memcpy(copy, kernel_file.bytes, kernel_file.len);
        *len = kernel_file.len;
        return copy;
    }
    if (strcmp(path, "/ramdisk") != 0)
        return NULL;
    copy = malloc(RAMDISK_BYTES);
    memset(copy, 'r', RAMDISK_BYTES);
    *len = RAMDISK_BYTES;
    return copy;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

int guest_dump_core(struct toolstack *toolstack, domid_t id, const char *path) { return 0; }

uint64_t plat_now(void) { return 5; }
uint64_t plat_wall(void) { return 1700000000123456789; }
void plat_log(enum plat_level level, const char *fmt, ...) {}

/* test_config.mk has config_text.c take its memory by these. */
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

static size_t notes_len;

static void note(uint32_t type, const void *desc, uint32_t len)
{
    const Elf64_Nhdr n = { 4, len, type };
    uint8_t *at = kernel + 0x400 + notes_len;

    memcpy(at, &n, sizeof(n));
    memcpy(at + sizeof(n), "Xen", 4);
    memcpy(at + sizeof(n) + 4, desc, len);
    notes_len += sizeof(n) + 4 + (len + 3) / 4 * 4;
}

/* Its text is at a pseudo-physical address that is no page's; behind it there is zero memory. */
static void make_kernel(bool like_linux)
{
    Elf64_Ehdr *eh = (Elf64_Ehdr *)kernel;
    Elf64_Phdr *ph = (Elf64_Phdr *)(eh + 1);

    for (unsigned int i = 0; i < KERNEL_BYTES; i++)
        kernel[i] = (uint8_t)(i * 7 + (i >> 8));
    *eh = (Elf64_Ehdr){ .e_ident = "\177ELF\2\1\1",
                        .e_type = ET_EXEC,
                        .e_machine = EM_X86_64,
                        .e_phoff = sizeof(*eh),
                        .e_phentsize = sizeof(*ph),
                        .e_phnum = 2,
                        .e_entry = BASE + TEXT_PADDR };
    ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
                          .p_offset = TEXT_AT,
                          .p_paddr = TEXT_PADDR,
                          .p_filesz = 0x2800,
                          .p_memsz = 0x5000 };
    notes_len = 0;
    note(XEN_ELFNOTE_VIRT_BASE, &(uint64_t){ BASE }, 8);
    note(XEN_ELFNOTE_HYPERCALL_PAGE, &(uint64_t){ BASE + 0x102000 }, 8);
    if (like_linux) {
        note(XEN_ELFNOTE_INIT_P2M, &(uint64_t){ LIST }, 8);
        note(XEN_ELFNOTE_MOD_START_PFN, "\1", 1);
    }
    ph[1] = (Elf64_Phdr){
        .p_type = PT_NOTE, .p_offset = 0x400, .p_filesz = notes_len, .p_memsz = notes_len
    };
    kernel_file.bytes = kernel;
    kernel_file.len = KERNEL_BYTES;
}

/* ---- the toolstack, on a fresh machine ---- */

static struct toolstack t;
static struct domain_config config;
static uint64_t nr_free;
static char some_store;
#define STORE ((struct xs_handle *)&some_store)

static void start(struct xs_handle *store)
{
    machine_reset();
    make_kernel(false);
    nr_free = machine_free();
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&t, store, 0), 0);
    memset(&config, 0, sizeof(config));
    strcpy(config.name, "guest");
    strcpy(config.kernel, "/kernel");
    strcpy(config.ramdisk, "/ramdisk");
    strcpy(config.cmdline, "one two");
    config.memory_kib = 8192;
    config.max_memory_kib = 16384;
    config.nr_vcpus = 1;
    config.max_vcpus = 2;
}

static void nothing_is_left(void)
{
    CU_ASSERT_EQUAL(machine_free(), nr_free);
    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        CU_ASSERT_FALSE(machine[d].there);
    CU_ASSERT_EQUAL(machine_held(), 1); /* the toolstack's buffer */
}

static bool no_nodes_but_parents(void)
{
    return machine_node("/libxl/1") == NULL && machine_nr_nodes() <= 10;
}

static void end(void)
{
    nothing_is_left();
    toolstack_close(&t);
    CU_ASSERT_EQUAL(machine_held(), 0);
}

static domid_t create(void)
{
    domid_t id = 0;

    CU_ASSERT_EQUAL_FATAL(guest_create(&t, &config, &id), 0);
    CU_ASSERT_TRUE_FATAL(id > 0 && id < NR_DOMAINS && machine[id].there);
    return id;
}

static void refused(int error, const char *says)
{
    domid_t id;

    t.error[0] = '\0';
    CU_ASSERT_EQUAL(guest_create(&t, &config, &id), -1);
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, says));
    if (strstr(t.error, says) == NULL)
        printf("it says: %s\n", t.error);
}

/* ---- what a domain begins with ---- */

/* The memory at a virtual address of the domain, by its page tables. */
static void *at(domid_t id, uint64_t va)
{
    uint64_t mfn = machine[id].root_mfn;

    for (int shift = 39; shift >= 12; shift -= 9) {
        uint64_t entry = ((uint64_t *)machine_frame(mfn))[va >> shift & 511];

        CU_ASSERT_TRUE_FATAL(entry & 1);
        mfn = (entry & 0xffffffffff000) >> 12;
    }
    return (char *)machine_frame(mfn) + va % 4096;
}

static void check_kernel(domid_t id)
{
    for (unsigned int i = 0; i < 0x5000; i++) {
        uint64_t va = BASE + TEXT_PADDR + i;

        CU_ASSERT_EQUAL_FATAL(*(uint8_t *)at(id, va), i < 0x2800 ? kernel[TEXT_AT + i] : 0);
    }
}

static void check_list(domid_t id, const start_info_t *si)
{
    for (uint64_t pfn = 0; pfn < si->nr_pages; pfn++) {
        uint64_t mfn = *(uint64_t *)at(id, si->mfn_list + 8 * pfn);

        CU_ASSERT_EQUAL_FATAL(machine_owner(mfn), id);
        CU_ASSERT_EQUAL_FATAL(machine_pfn(mfn), pfn);
    }
}

static void check_rings(domid_t id, const start_info_t *si)
{
    const grant_entry_v1_t *table = machine_frame(machine[id].grants_mfn);

    CU_ASSERT_EQUAL(si->store_evtchn, 1);
    CU_ASSERT_EQUAL(si->console.domU.evtchn, 2);
    CU_ASSERT_EQUAL(machine[id].nr_ports, 2);
    CU_ASSERT_EQUAL(machine[id].port_of[1] | machine[id].port_of[2], 0);
    for (int i = 0; i < 3; i++) {
        bool is_console = i == GNTTAB_RESERVED_CONSOLE, is_store = i == GNTTAB_RESERVED_XENSTORE;

        CU_ASSERT_EQUAL(table[i].flags, is_console || is_store ? GTF_permit_access : 0);
        CU_ASSERT_EQUAL(table[i].domid, 0);
        CU_ASSERT_EQUAL(table[i].frame, is_console ? si->console.domU.mfn
                                        : is_store ? si->store_mfn
                                                   : 0);
    }
    CU_ASSERT_PTR_EQUAL(at(id, machine[id].context.user_regs.rsi + 4096),
                        machine_frame(si->store_mfn));
    CU_ASSERT_PTR_EQUAL(at(id, machine[id].context.user_regs.rsi + 8192),
                        machine_frame(si->console.domU.mfn));
}

static const start_info_t *check_domain(domid_t id)
{
    const struct machine_domain *d = &machine[id];
    const struct vcpu_guest_context *c = &d->context;
    const start_info_t *si = at(id, c->user_regs.rsi);
    const struct shared_info *shared = machine_frame(d->shared_info_mfn);

    CU_ASSERT_TRUE(d->pinned && d->has_context && d->pauses == 1);
    CU_ASSERT_TRUE(d->nr_vcpus == 2 && d->nr_pages == 2048 && d->max_pages == 4096);
    CU_ASSERT_EQUAL(d->map_bytes, 16 << 20);
    CU_ASSERT_EQUAL(c->ctrlreg[3], d->root_mfn << 12);
    CU_ASSERT_EQUAL(c->flags, VGCF_in_kernel | VGCF_online);
    CU_ASSERT_EQUAL(c->user_regs.rip, BASE + TEXT_PADDR);
    CU_ASSERT_EQUAL(c->user_regs.cs, FLAT_KERNEL_CS);
    CU_ASSERT_EQUAL(c->user_regs.ss, FLAT_KERNEL_SS);
    CU_ASSERT_EQUAL(c->user_regs.rsp, si->pt_base + (si->nr_pt_frames + 1) * 4096);
    CU_ASSERT_PTR_EQUAL(at(id, BASE + 0x102000), machine_frame(d->hypercall_mfn));
    CU_ASSERT_STRING_EQUAL(si->magic, "xen-3.0-x86_64");
    CU_ASSERT_EQUAL(si->nr_pages, 2048);
    CU_ASSERT_EQUAL(si->shared_info, d->shared_info_mfn << 12);
    CU_ASSERT_STRING_EQUAL(si->cmd_line, "one two");
    CU_ASSERT_EQUAL(si->mod_len, RAMDISK_BYTES);
    for (int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        CU_ASSERT_EQUAL(shared->vcpu_info[i].evtchn_upcall_mask, 1);
    check_kernel(id);
    check_list(id, si);
    check_rings(id, si);
    return si;
}

static void test_a_kernel_like_ours(void)
{
    const start_info_t *si;
    domid_t id;

    start(NULL);
    id = create();
    si = check_domain(id);
    CU_ASSERT_EQUAL(si->flags, 0);
    CU_ASSERT_EQUAL(si->first_p2m_pfn | si->nr_p2m_frames, 0);
    for (unsigned int i = 0; i < 8192; i++)
        CU_ASSERT_EQUAL_FATAL(*(char *)at(id, si->mod_start + i), i < RAMDISK_BYTES ? 'r' : 0);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

static void test_a_kernel_like_linux(void)
{
    const start_info_t *si;
    uint64_t mfn;
    domid_t id;

    start(NULL);
    make_kernel(true);
    id = create();
    si = check_domain(id);
    CU_ASSERT_EQUAL(si->flags, SIF_MOD_START_PFN);
    CU_ASSERT_EQUAL(si->mfn_list, LIST);
    CU_ASSERT_EQUAL(si->nr_p2m_frames, 4 + 3);
    mfn = ((uint64_t *)at(id, LIST))[si->mod_start + 1];
    CU_ASSERT_EQUAL(((char *)machine_frame(mfn))[RAMDISK_BYTES - 4096 - 1], 'r');
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

/* ---- the store ---- */

static void expect_node(const char *path, const char *value, unsigned int owner,
                        unsigned int reader)
{
    char full[96];
    const struct machine_node *n;
    unsigned int id = 1;

    while (!machine[id].there)
        id++;
    snprintf(full, sizeof(full), path, id);
    n = machine_node(full);
    if (n == NULL)
        printf("%s is not there\n", full);
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    if (strcmp(n->value, value) != 0)
        printf("%s is %s, not %s\n", full, n->value, value);
    CU_ASSERT_STRING_EQUAL(n->value, value);
    CU_ASSERT_EQUAL(n->owner, owner);
    CU_ASSERT_EQUAL(n->reader, reader);
}

static void test_what_the_store_says(void)
{
    const start_info_t *si;
    char text[64];
    domid_t id;

    start(STORE);
    config.has_uuid = true;
    memcpy(config.uuid, "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef", 16);
    id = create();
    si = check_domain(id);
    CU_ASSERT_TRUE(machine[id].introduced);
    CU_ASSERT_EQUAL(memcmp(machine[id].handle, config.uuid, 16), 0);
    expect_node("/local/domain/%u", "", 0, id);
    expect_node("/local/domain/%u/name", "guest", 0, id);
    expect_node("/local/domain/%u/vm", "/vm/01234567-89ab-cdef-0123-456789abcdef", 0, id);
    expect_node("/local/domain/%u/memory/target", "8192", 0, id);
    expect_node("/local/domain/%u/memory/static-max", "16384", 0, id);
    expect_node("/local/domain/%u/cpu/0/availability", "online", 0, id);
    expect_node("/local/domain/%u/cpu/1/availability", "offline", 0, id);
    expect_node("/local/domain/%u/store/port", "1", 0, id);
    expect_node("/local/domain/%u/console/port", "2", 0, id);
    expect_node("/local/domain/%u/console/limit", "1048576", 0, id);
    expect_node("/local/domain/%u/console/type", "xenconsoled", 0, id);
    expect_node("/local/domain/%u/control", "", 0, id);
    expect_node("/local/domain/%u/control/shutdown", "", id, ~0u);
    expect_node("/local/domain/%u/data", "", id, ~0u);
    expect_node("/local/domain/0/backend/console/%u/0/state", "1", 0, id);
    expect_node("/vm/01234567-89ab-cdef-0123-456789abcdef/name", "guest", 0, id);
    expect_node("/vm/01234567-89ab-cdef-0123-456789abcdef/start_time", "1700000000", 0, id);
    expect_node("/libxl/%u/type", "pv", 0, ~0u);
    snprintf(text, sizeof(text), "%lu", si->console.domU.mfn);
    expect_node("/local/domain/%u/console/ring-ref", text, 0, id);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_TRUE(no_nodes_but_parents());
    end();
}

static void two_channels(void)
{
    config.nr_channels = 2;
    strcpy(config.channel[0].name, "org.my.one");
    config.channel[1].connection = CONFIG_SOCKET;
    strcpy(config.channel[1].name, "two");
    strcpy(config.channel[1].path, "/run/two");
}

static void test_channels_in_the_store(void)
{
    struct channel_info *list;
    size_t nr;
    domid_t id;
    char path[80];

    start(STORE);
    two_channels();
    strcpy(config.channel[1].backend, "driver");
    refused(ENOTSUP, "channel: no backend in driver");
    strcpy(config.channel[1].backend, "0");
    id = create();
    expect_node("/local/domain/%u/device/console/1", "", id, 0);
    expect_node("/local/domain/%u/device/console/1/state", "1", id, 0);
    expect_node("/local/domain/%u/device/console/1/backend-id", "0", id, 0);
    expect_node("/local/domain/%u/device/console/1/protocol", "vt100", id, 0);
    expect_node("/local/domain/%u/device/console/1/name", "org.my.one", 0, id);
    expect_node("/local/domain/%u/device/console/1/type", "xenconsoled", 0, id);
    expect_node("/local/domain/%u/device/console/1/limit", "1048576", 0, id);
    expect_node("/local/domain/%u/device/console/1/output", "pty", 0, id);
    expect_node("/local/domain/%u/device/console/1/tty", "", 0, id);
    expect_node("/local/domain/%u/device/console/2/output", "chardev:libxl-channel1", 0, id);
    expect_node("/local/domain/0/backend/console/%u/1", "", 0, id);
    snprintf(path, sizeof(path), "%u", id);
    expect_node("/local/domain/0/backend/console/%u/1/frontend-id", path, 0, id);
    snprintf(path, sizeof(path), "/local/domain/%u/device/console/1", id);
    expect_node("/local/domain/0/backend/console/%u/1/frontend", path, 0, id);
    expect_node("/local/domain/0/backend/console/%u/1/online", "1", 0, id);
    expect_node("/local/domain/0/backend/console/%u/1/state", "1", 0, id);
    expect_node("/local/domain/0/backend/console/%u/1/connection", "pty", 0, id);
    expect_node("/local/domain/0/backend/console/%u/2/connection", "socket", 0, id);
    expect_node("/local/domain/0/backend/console/%u/2/path", "/run/two", 0, id);
    expect_node("/libxl/%u/device/console/2/path", "/run/two", 0, ~0u);
    CU_ASSERT_TRUE(channels_list(&t, id, &list, &nr) == 0 && nr == 2);
    CU_ASSERT_TRUE(list[0].number == 1 && list[1].number == 2 && list[0].state == 1);
    CU_ASSERT_TRUE(list[0].port == -1 && list[0].ring_ref == -1 && list[0].path[0] == '\0');
    CU_ASSERT_STRING_EQUAL(list[1].path, "/run/two");
    CU_ASSERT_STRING_EQUAL(list[1].name, "two");
    free(list);
    for (unsigned int i = 0; i < 5; i++) { /* what the guest may say */
        static const char *const values[] = { "12", "", "-1", "4294967296", "1x" };

        snprintf(path, sizeof(path), "/local/domain/%u/device/console/1/port", id);
        xs_write(STORE, XBT_NULL, path, values[i], (unsigned int)strlen(values[i]));
        CU_ASSERT_TRUE(channels_list(&t, id, &list, &nr) == 0 && nr == 2);
        CU_ASSERT_EQUAL(list[0].port, i ? -1 : 12);
        free(list);
    }
    CU_ASSERT_TRUE(channels_list(&t, 0, &list, &nr) == 0 && nr == 0);
    free(list);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_TRUE(no_nodes_but_parents());
    end();
}

static void test_names(void)
{
    domid_t a, b, found = 0;
    char number[8], *name;

    start(STORE);
    config.has_uuid = true;
    config.uuid[0] = 1; /* domain 0 has the one that is all zero */
    a = create();
    refused(EEXIST, "already a domain of the name guest");
    strcpy(config.name, "other");
    refused(EEXIST, "has the same uuid");
    config.has_uuid = false;
    b = create();
    CU_ASSERT_TRUE(guest_find(&t, "other", &found) == 0 && found == b);
    snprintf(number, sizeof(number), "%u", a);
    CU_ASSERT_TRUE(guest_find(&t, number, &found) == 0 && found == a);
    CU_ASSERT_TRUE(guest_find(&t, "none", &found) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_find(&t, "65535", &found) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_find(&t, "", &found) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_rename(&t, a, "other") == -1 && errno == EEXIST);
    CU_ASSERT_TRUE(guest_rename(&t, a, "") == -1 && errno == EINVAL);
    CU_ASSERT_TRUE(guest_rename(&t, a, "a/b") == -1 && errno == EINVAL);
    CU_ASSERT_TRUE(guest_rename(&t, 300, "x") == -1 && errno == ESRCH);
    CU_ASSERT_EQUAL(guest_rename(&t, a, "third"), 0);
    CU_ASSERT_EQUAL(guest_rename(&t, b, "other"), 0); /* its own */
    name = guest_name(&t, a);
    CU_ASSERT_STRING_EQUAL(name, "third");
    free(name);
    CU_ASSERT_TRUE(guest_find(&t, "guest", &found) == -1 && errno == ESRCH);
    CU_ASSERT_EQUAL(guest_destroy(&t, a), 0);
    CU_ASSERT_EQUAL(guest_destroy(&t, b), 0);
    t.store = NULL;
    a = create();
    t.store = STORE;
    CU_ASSERT_TRUE(guest_rename(&t, a, "new") == -1 && errno == ENOENT); /* no half of it is made */
    CU_ASSERT_TRUE(no_nodes_but_parents());
    CU_ASSERT_EQUAL(guest_destroy(&t, a), 0);
    end();
}

/* Another toolstack names a domain. */
static void name_it(domid_t id, const char *name)
{
    char path[40];

    snprintf(path, sizeof(path), "/local/domain/%u/name", id);
    CU_ASSERT_TRUE_FATAL(xs_write(STORE, XBT_NULL, path, name, (unsigned int)strlen(name)));
}

static void test_names_by_others(void)
{
    domid_t a, b, found;

    start(STORE);
    strcpy(config.name, "mail.example");
    a = create();
    CU_ASSERT_STRING_EQUAL(machine_node("/xen-like/names/mail@2eexample") ? "there" : "", "there");
    CU_ASSERT_TRUE(guest_find(&t, "mail.example", &found) == 0 && found == a);
    name_it(a, "other");
    name_it(300, "foreign");
    CU_ASSERT_TRUE(guest_find(&t, "mail.example", &found) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_find(&t, "other", &found) == 0 && found == a);
    strcpy(config.name, "other");
    refused(EEXIST, "already a domain of the name other");
    strcpy(config.name, "foreign");
    refused(EEXIST, "already a domain of the name foreign");
    strcpy(config.name, "mail.example");
    b = create();
    CU_ASSERT_TRUE(guest_find(&t, "mail.example", &found) == 0 && found == b);
    name_it(a, "mail.example"); /* two of a name: both can be had by number, and destroyed */
    CU_ASSERT_EQUAL(guest_destroy(&t, a), 0);
    CU_ASSERT_TRUE(guest_find(&t, "mail.example", &found) == 0 && found == b);
    CU_ASSERT_EQUAL(guest_rename(&t, b, "b"), 0);
    CU_ASSERT_PTR_NULL(machine_node("/xen-like/names/mail@2eexample"));
    CU_ASSERT_EQUAL(guest_destroy(&t, b), 0);
    CU_ASSERT_PTR_NULL(machine_node("/xen-like/names/b"));
    CU_ASSERT_TRUE(xs_rm(STORE, XBT_NULL, "/local/domain/300"));
    CU_ASSERT_TRUE(no_nodes_but_parents());
    end();
}

static unsigned int calls_of_creation(void)
{
    unsigned int calls;
    domid_t id;

    machine_fail_at(0);
    id = create();
    calls = machine_calls();
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    return calls;
}

/* A name is looked up in the index: the others may be as many as they like. */
static void test_many_names(void)
{
    enum { OTHERS = 100 };
    unsigned int alone, among;
    char name[16];

    start(STORE);
    create();
    strcpy(config.name, "second");
    t.sole = true;
    alone = calls_of_creation();
    for (unsigned int i = 0; i < OTHERS; i++) {
        snprintf(name, sizeof(name), "other%u", i);
        name_it((domid_t)(100 + i), name);
    }
    CU_ASSERT_EQUAL(calls_of_creation(), alone);
    t.sole = false;
    among = calls_of_creation();
    CU_ASSERT_TRUE(among > alone + OTHERS &&
                   among <= alone + OTHERS + 3); /* a look at each, once */
    t.sole = true;
    strcpy(config.name, "guest");
    refused(EEXIST, "already a domain of the name guest");
    toolstack_close(&t);
}

static void test_conflicts_are_tried_again(void)
{
    domid_t id;

    start(STORE);
    machine_conflicts = 3;
    id = create();
    CU_ASSERT_EQUAL(machine_conflicts, 0);
    expect_node("/local/domain/%u/name", "guest", 0, id);
    machine_conflicts = 2;
    CU_ASSERT_EQUAL(guest_rename(&t, id, "new"), 0);
    expect_node("/local/domain/%u/name", "new", 0, id);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

static void test_requests(void)
{
    domid_t id;

    start(STORE);
    id = create();
    CU_ASSERT_EQUAL(guest_request(&t, id, "poweroff"), 0);
    expect_node("/local/domain/%u/control/shutdown", "poweroff", id, ~0u);
    CU_ASSERT_TRUE(guest_request(&t, 300, "poweroff") == -1 && errno == ESRCH);
    CU_ASSERT_PTR_NULL(machine_node("/local/domain/300/control/shutdown"));
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    t.store = NULL;
    CU_ASSERT_TRUE(guest_request(&t, 0, "poweroff") == -1 && errno == ENOTSUP);
    CU_ASSERT_TRUE(guest_rename(&t, 0, "x") == -1 && errno == ENOTSUP);
    end();
}

/* ---- life ---- */

static void test_pauses(void)
{
    guest_info_t info;
    domid_t id;

    start(NULL);
    id = create();
    CU_ASSERT_EQUAL(guest_unpause(&t, id), 0);
    CU_ASSERT_TRUE(guest_unpause(&t, id) == -1 && errno == EINVAL);
    CU_ASSERT_TRUE(guest_info(&t, id, &info) == 0 && !(info.flags & XEN_DOMINF_paused));
    CU_ASSERT_EQUAL(guest_shutdown_code(&info), -1);
    CU_ASSERT_EQUAL(guest_pause(&t, id), 0);
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_crash << XEN_DOMINF_shutdownshift;
    CU_ASSERT_TRUE(guest_info(&t, id, &info) == 0 && info.flags & XEN_DOMINF_paused);
    CU_ASSERT_EQUAL(guest_shutdown_code(&info), SHUTDOWN_crash);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_TRUE(guest_pause(&t, id) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_info(&t, id, &info) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_destroy(&t, id) == -1 && errno == ESRCH);
    CU_ASSERT_TRUE(guest_destroy(&t, 0) == -1 && errno == EINVAL);
    end();
}

static void test_lists_of_any_length(void)
{
    static const unsigned int numbers[] = { 1, 2, 127, 128, 129, 256, 257, 399 };
    guest_info_t *infos;
    size_t nr;

    for (size_t k = 0; k < sizeof(numbers) / sizeof(numbers[0]); k++) {
        start(NULL);
        for (unsigned int d = 1; d < numbers[k]; d++)
            machine[NR_DOMAINS - d].there = true;
        CU_ASSERT_EQUAL_FATAL(guest_list(&t, &infos, &nr), 0);
        CU_ASSERT_EQUAL_FATAL(nr, numbers[k]);
        for (size_t i = 1; i < nr; i++)
            CU_ASSERT_EQUAL(infos[i].domain, NR_DOMAINS - nr + i);
        free(infos);
        toolstack_close(&t);
    }
}

/* Of a domain that has died without the toolstack the nodes are left. */
static void test_leftovers_are_removed(void)
{
    domid_t id;

    start(STORE);
    id = create();
    t.store = NULL;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    t.store = STORE;
    CU_ASSERT_TRUE(machine_nr_nodes() > 20);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_TRUE(no_nodes_but_parents());
    CU_ASSERT_TRUE(guest_destroy(&t, id) == -1 && errno == ESRCH);
    end();
}

/* ---- domains that were started at boot ---- */

static char rings[2][96];

static domid_t start_at_boot(unsigned int i, const char *name)
{
    const start_info_t *si;
    domid_t id;

    t.store = NULL;
    id = create();
    t.store = STORE;
    si = at(id, machine[id].context.user_regs.rsi);
    snprintf(rings[i], sizeof(rings[i]),
             "store_mfn=%lu store_port=1 console_mfn=%lu console_port=2", si->store_mfn,
             si->console.domU.mfn);
    memset(machine[id].handle, 0, sizeof(machine[id].handle));
    machine[id].boot_name = name;
    machine[id].boot_rings = rings[i];
    return id;
}

static unsigned int nr_said, nr_bad;
static char said[400];
static void report(void *arg, bool ok, const char *line)
{
    nr_said++;
    nr_bad += !ok;
    snprintf(said, sizeof(said), "%s", line);
}

static int adopt(void)
{
    nr_said = nr_bad = 0;
    return guest_adopt(&t, report, NULL);
}

static void test_adoption(void)
{
    static const uint8_t none[16];
    grant_entry_v1_t *table;
    domid_t a, b, found;
    char want[64];

    start(STORE);
    a = start_at_boot(0, "boot");
    table = machine_frame(machine[a].grants_mfn);
    table[GNTTAB_RESERVED_CONSOLE].flags = 0;
    CU_ASSERT_TRUE(adopt() == 0 && nr_said == 1 && nr_bad == 0);
    snprintf(want, sizeof(want), "domain %u: boot", a);
    CU_ASSERT_STRING_EQUAL(said, want);
    CU_ASSERT_TRUE(machine[a].introduced && machine[a].pauses == 1);
    CU_ASSERT_NOT_EQUAL(memcmp(machine[a].handle, none, 16), 0);
    CU_ASSERT_EQUAL(table[GNTTAB_RESERVED_CONSOLE].flags, GTF_permit_access);
    expect_node("/local/domain/%u/name", "boot", 0, a);
    expect_node("/local/domain/%u/memory/target", "8192", 0, a);
    expect_node("/local/domain/%u/cpu/1/availability", "online", 0, a);
    expect_node("/local/domain/%u/console/port", "2", 0, a);
    CU_ASSERT_TRUE(adopt() == 0 && nr_said == 0);
    b = start_at_boot(1, "boot");
    CU_ASSERT_TRUE(adopt() == 0 && nr_said == 2 && nr_bad == 0);
    snprintf(want, sizeof(want), "boot-%u", b);
    CU_ASSERT_TRUE(guest_find(&t, want, &found) == 0 && found == b);
    CU_ASSERT_EQUAL(guest_attend(&t), 0);
    CU_ASSERT_EQUAL(guest_destroy(&t, a), 0);
    CU_ASSERT_EQUAL(guest_destroy(&t, b), 0);
    CU_ASSERT_TRUE(no_nodes_but_parents());
    a = start_at_boot(0, "boot");
    machine[a].boot_rings = "store_mfn=1";
    CU_ASSERT_TRUE(adopt() == -1 && nr_bad == 1 && strstr(said, "not understood"));
    machine[a].boot_rings = rings[0];
    machine[a].boot_name = "";
    CU_ASSERT_TRUE(adopt() == -1 && nr_bad == 1 && strstr(said, "no name"));
    CU_ASSERT_EQUAL(guest_destroy(&t, a), 0);
    end();
}

/* The domain runs on, known or not, and is adopted when it is tried again. */
static void test_adoption_fails_at_each_call(void)
{
    bool failed = true;
    unsigned int n;

    start(STORE);
    for (n = 1; failed; n++) {
        domid_t id = start_at_boot(0, "boot");
        int rc;

        machine_fail_at(n);
        rc = adopt();
        failed = machine_fail_at(0);
        CU_ASSERT_TRUE(rc == 0 || (failed && nr_bad == 1));
        CU_ASSERT_TRUE(machine[id].pauses <=
                       2); /* of an unpause that fails there is nothing to be done */
        CU_ASSERT_EQUAL(machine_held(), 1);
        if (rc && !machine[id].introduced)
            CU_ASSERT_TRUE(no_nodes_but_parents());
        CU_ASSERT_EQUAL(adopt(), 0);
        CU_ASSERT_TRUE(machine[id].introduced);
        CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    }
    CU_ASSERT_TRUE(n > 20);
    end();
}

/* ---- what cannot be ---- */

static void test_what_is_refused(void)
{
    start(STORE);
    config.memory_kib = config.max_memory_kib = 1024;
    refused(EINVAL, "1 MiB for it, but kernel, ramdisk and tables need 4 MiB");
    config.memory_kib = config.max_memory_kib = 128 << 10;
    refused(ENOMEM, "no memory for it: of 128 MiB 64 are free");
    config.memory_kib = 8192;
    config.max_memory_kib = 4096;
    refused(EINVAL, "more memory than it may have");
    config.max_memory_kib = 8192;
    config.max_vcpus = 65;
    refused(EINVAL, "cannot be created");
    config.max_vcpus = 1;
    strcpy(config.ramdisk, "/none");
    refused(ENOENT, "/none");
    config.ramdisk[0] = '\0';
    config.cpus.nr_vcpus = 1;
    refused(EINVAL, "cpus");
    config.cpus.nr_vcpus = 0;
    config.nr_disks = 1;
    refused(ENOTSUP, "disk");
    config.nr_disks = 0;
    config.nr_vifs = 1;
    refused(ENOTSUP, "vif");
    CU_ASSERT_EQUAL(machine_nr_nodes(), 0);
    end();
}

static void test_shares_and_affinity(void)
{
    domid_t id;

    start(NULL);
    config.weight = 512;
    config.cap_percent = 50;
    config.cpus.nr_vcpus = 3; /* one more than it has */
    config.cpus_soft.nr_vcpus = 1;
    for (int v = 0; v < 3; v++)
        config.cpus.vcpu[v].word[0] = config.cpus_soft.vcpu[v].word[0] = 3;
    id = create();
    CU_ASSERT_TRUE(machine[id].weight == 512 && machine[id].nr_hard == 2 &&
                   machine[id].nr_soft == 1);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

/* Each call of a library in turn fails: the domain is not, or it is whole. */
static void creation_fails_at_each_call(struct xs_handle *store, bool like_linux)
{
    unsigned int n = 1;
    domid_t id;

    start(store);
    make_kernel(like_linux);
    config.weight = 512;
    if (store)
        two_channels();
    for (bool failed = true; failed; n++) {
        int rc;

        machine_fail_at(n);
        t.error[0] = '\0';
        rc = guest_create(&t, &config, &id);
        failed = machine_fail_at(0);
        if (rc == 0) {
            CU_ASSERT_EQUAL_FATAL(guest_destroy(&t, id), 0);
        } else {
            CU_ASSERT_TRUE(failed && t.error[0] != '\0');
            CU_ASSERT_TRUE(errno == EIO || errno == ENOMEM); /* of memory some may be missing */
        }
        nothing_is_left();
        CU_ASSERT_TRUE(no_nodes_but_parents());
        for (unsigned int d = 1; d < NR_DOMAINS; d++)
            CU_ASSERT_FALSE(machine[d].introduced);
    }
    CU_ASSERT_TRUE(n > 20);
    end();
}

static void test_creation_fails_at_each_call(void)
{
    creation_fails_at_each_call(NULL, false);
    creation_fails_at_each_call(NULL, true);
    creation_fails_at_each_call(STORE, false);
}

/* Destruction that has failed is asked for once more. */
static void test_destruction_fails_at_each_call(void)
{
    bool failed = true;
    unsigned int n;

    start(STORE);
    for (n = 1; failed; n++) {
        domid_t id = create();

        machine_fail_at(n);
        if (guest_destroy(&t, id)) {
            CU_ASSERT_TRUE(machine_fail_at(0));
            failed = true;
            CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
        } else {
            failed = machine_fail_at(0);
        }
        nothing_is_left();
        CU_ASSERT_TRUE(no_nodes_but_parents());
    }
    end();
}

static void test_opening_fails_at_each_call(void)
{
    for (unsigned int n = 1; n <= 3; n++) {
        machine_reset();
        machine_fail_at(n);
        CU_ASSERT_TRUE(toolstack_open(&t, NULL, 0) == -1 && errno == EIO);
        CU_ASSERT_PTR_NOT_NULL(strstr(t.error, "the hypervisor cannot be used"));
        CU_ASSERT_EQUAL(machine_held(), 0);
        machine_fail_at(0);
    }
}

/* ---- kernels that are packed ---- */

enum { PAYLOAD_AT = 3 * 512 + 100 };
static uint8_t packed[2 * KERNEL_BYTES];

static size_t gzip(uint8_t *to)
{
    z_stream z = { .next_in = kernel, .avail_in = KERNEL_BYTES };

    CU_ASSERT_EQUAL_FATAL(deflateInit2(&z, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    z.next_out = to;
    z.avail_out = KERNEL_BYTES;
    CU_ASSERT_EQUAL_FATAL(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static size_t xz(uint8_t *to)
{
    size_t len = 0;

    CU_ASSERT_EQUAL_FATAL(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, kernel, KERNEL_BYTES,
                                                  to, &len, KERNEL_BYTES),
                          LZMA_OK);
    return len;
}

static size_t zstd(uint8_t *to)
{
    ZSTD_CCtx *z = ZSTD_createCCtx();
    size_t len;

    CU_ASSERT_PTR_NOT_NULL_FATAL(z);
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag,
                           1); /* as the zstd program, which Linux packs with */
    len = ZSTD_compress2(z, to, KERNEL_BYTES, kernel, KERNEL_BYTES);
    CU_ASSERT_FALSE_FATAL(ZSTD_isError(len));
    ZSTD_freeCCtx(z);
    return len;
}

/* A bzImage in packed: the payload behind 3 sectors and 100 bytes of code. Returns its length. */
static size_t bzimage(size_t (*pack)(uint8_t *to))
{
    uint32_t payload[2] = { 100 };

    memset(packed, 0x90, PAYLOAD_AT);
    packed[0x1f1] = 2;
    memcpy(packed + 0x202, "HdrS\x0f\x02", 6);
    payload[1] = (uint32_t)pack(packed + PAYLOAD_AT);
    memcpy(packed + 0x248, payload, sizeof(payload));
    return PAYLOAD_AT + payload[1];
}

static void is_a_domain(size_t len)
{
    domid_t id;

    kernel_file.bytes = packed;
    kernel_file.len = len;
    id = create();
    check_domain(id);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
}

static void test_packed_kernels(void)
{
    size_t len;

    start(NULL);
    is_a_domain(gzip(packed));
    is_a_domain(xz(packed));
    is_a_domain(zstd(packed));
    is_a_domain(bzimage(gzip));
    is_a_domain(bzimage(zstd));
    len = bzimage(xz);
    is_a_domain(len);
    memset(packed + len, 0xff, 100); /* what follows the payload is not looked at */
    is_a_domain(len + 100);
    end();
}

static void test_damaged_kernels(void)
{
    size_t len;

    start(NULL);
    kernel_file.bytes = packed;
    for (int i = 0; i < 4; i++) {
        len = i == 0 ? gzip(packed) : i == 1 ? xz(packed) : i == 2 ? bzimage(xz) : zstd(packed);
        for (size_t cut = i == 2 ? 0x251 : 6; cut < len; cut += 1 + len / 50) {
            kernel_file.len = cut;
            refused(ENOEXEC, "/kernel: ");
        }
        memset(packed + (len + PAYLOAD_AT * (i == 2)) / 2, 0x55, 40);
        kernel_file.len = len;
        refused(ENOEXEC, "damaged");
    }
    len = bzimage(xz);
    kernel_file.len = len;
    packed[0x24b] = 0xff; /* the payload far outside */
    refused(ENOEXEC, "bzImage");
    memcpy(packed, "BZh9", 4);
    packed[0x202] = 0;
    refused(ENOTSUP, "packed with bzip2");
    memcpy(packed, "\x02\x21\x4c\x18", 4);
    refused(ENOTSUP, "packed with lz4");
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("toolstack", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_kernel_like_ours);
    T(test_a_kernel_like_linux);
    T(test_what_the_store_says);
    T(test_channels_in_the_store);
    T(test_names);
    T(test_names_by_others);
    T(test_many_names);
    T(test_conflicts_are_tried_again);
    T(test_requests);
    T(test_pauses);
    T(test_lists_of_any_length);
    T(test_leftovers_are_removed);
    T(test_adoption);
    T(test_adoption_fails_at_each_call);
    T(test_what_is_refused);
    T(test_shares_and_affinity);
    T(test_creation_fails_at_each_call);
    T(test_destruction_fails_at_each_call);
    T(test_opening_fails_at_each_call);
    T(test_packed_kernels);
    T(test_damaged_kernels);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
