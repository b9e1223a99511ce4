/* The toolstack on the machine in memory, with files of a guest: a kernel, like ours or like Linux, and a ramdisk. */
#pragma once

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

/* Nothing is kept of what is unpacked: test_image_cache.c has that. */
struct plat_file *plat_file_create(const char *path, uint64_t expected) { return NULL; }
int plat_file_put(struct plat_file *f, const void *data, size_t len) { return -1; }
int plat_file_commit(struct plat_file *f) { return -1; }
void plat_file_close(struct plat_file *f) {}

int guest_dump_core(struct toolstack *toolstack, domid_t id, const char *path) { return 0; }

uint64_t plat_now(void) { return 5; }
uint64_t plat_wall(void) { return 1700000000123456789; }
void plat_log(enum plat_level level, const char *fmt, ...) {}
void plat_lock(struct plat_mutex *m) {}
void plat_unlock(struct plat_mutex *m) {}
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    return false;
}

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
#define STORE ((struct xs_handle *)&t) /* nobody looks into it */

static void start(struct xs_handle *store)
{
    image_cache_folder = NULL;
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

static inline bool no_nodes_but_parents(void)
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
    CU_ASSERT_TRUE(d->nr_vcpus == 2 && d->nr_pages == 2048 && d->max_pages == 2048 + 256);
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
