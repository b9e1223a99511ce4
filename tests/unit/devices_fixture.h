/* A machine in memory whose guests have devices, and backends that do what the test wants: one program's, in one file each. */
#pragma once
#include <CUnit/Basic.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/elfnote.h>
#include <xen/io/xenbus.h>
#include <xen/sched.h>
#include <xenstore.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/lib/device_host.h"
#include "../../dom0-tools/lib/devices.h"
#include "../../dom0-tools/lib/toolstack.h"
#include "../../dom0-tools/lib/vdev.h"
#include "toolstack_machine.h"

#define BASE 0xffffffff80000000ul
#define FRONT "/local/domain/%/device/"
#define BACK "/local/domain/0/backend/"

static struct toolstack t;
static struct domain_config config;
static uint64_t nr_free;
static char some_store;

/* ---- the home ---- */

static uint8_t kernel[0x1100];

char *plat_file_read(const char *path, size_t *len)
{
    char *copy;

    errno = ENOENT;
    if (strcmp(path, "/kernel") != 0)
        return NULL;
    copy = malloc(sizeof(kernel) + 1);
    memcpy(copy, kernel, sizeof(kernel));
    *len = sizeof(kernel);
    return copy;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

int guest_dump_core(struct toolstack *toolstack, domid_t id, const char *path) { return 0; }

static uint64_t now_ns;
static char logged[300];
uint64_t plat_now(void) { return now_ns; }
uint64_t plat_wall(void) { return 1700000000000000000; }
void plat_lock(struct plat_mutex *m) {}
void plat_unlock(struct plat_mutex *m) {}
void plat_log(enum plat_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(logged, sizeof(logged), fmt, args);
    va_end(args);
}
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

static const char *loops_ended[4];
static unsigned int nr_loops_ended, next_loop;
static bool with_loop, wants_connection;

int device_host_disk(struct toolstack *ts, const struct config_disk *d, struct device_host *h)
{
    *h = (struct device_host){ .script = "/etc/xen/scripts/block" };
    if (strcmp(d->target, "/none") == 0)
        return toolstack_fail(ts, ENOENT, "/none: not there");
    if (with_loop) {
        snprintf(h->node, sizeof(h->node), "/dev/loop%u", next_loop);
        strcpy(h->path, h->node);
        snprintf(h->physical, sizeof(h->physical), "7:%u", next_loop++);
    }
    return 0;
}

int device_host_vif(struct toolstack *ts, const struct config_vif *v, struct device_host *h)
{
    *h = (struct device_host){ .script = "/etc/xen/scripts/vif-bridge" };
    return 0;
}

int device_host_connect(struct toolstack *ts, domid_t id, const struct config_vif *v)
{
    if (strcmp(v->bridge, "none") == 0)
        return toolstack_fail(ts, ENODEV, "there is no bridge none");
    return wants_connection;
}

void device_host_end(const char *node)
{
    if (*node)
        loops_ended[nr_loops_ended++ % 4] = node;
}

static domid_t id; /* the domain that a test is about */

/* ---- backends: what they do with each node state when the toolstack waits for them ---- */

static enum { SERVE, SLEEP, FAIL, FAIL_BY_SCRIPT, VANISH } backends;

static inline void write_node(const char *home, const char *leaf, const char *value)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/%s", home, leaf);
    xs_write(t.store, XBT_NULL, path, value, (unsigned int)strlen(value));
}

static inline void fail_to(const char *home, char state)
{
    char error[120];

    if (backends == VANISH) {
        xs_rm(t.store, XBT_NULL, home);
    } else if (backends == FAIL_BY_SCRIPT) {
        write_node(home, "hotplug-error", "no\x01luck");
    } else if (state == '1') {
        snprintf(error, sizeof(error), "/local/domain/0/error%s", home + 15);
        write_node(error, "error", "2 reading script");
        write_node(home, "state", "6");
    }
}

/* Whether backends are told to close while the domain is there: then they can see that it is wanted. */
static bool told_late;

bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    now_ns = deadline_ns;
    told_late |= !machine[id].there;
    if (backends != SLEEP)
        machine_backends(backends == SERVE ? NULL : fail_to);
    return false;
}

/* ---- fixtures ---- */

static inline void make_kernel(void)
{
    Elf64_Ehdr *eh = (Elf64_Ehdr *)kernel;
    Elf64_Phdr *ph = (Elf64_Phdr *)(eh + 1);
    Elf64_Nhdr *n = (Elf64_Nhdr *)(kernel + 0x400);

    *eh = (Elf64_Ehdr){ .e_ident = "\177ELF\2\1\1",
                        .e_type = ET_EXEC,
                        .e_machine = EM_X86_64,
                        .e_phoff = sizeof(*eh),
                        .e_phentsize = sizeof(*ph),
                        .e_phnum = 2,
                        .e_entry = BASE + 0x100000 };
    ph[0] = (Elf64_Phdr){
        .p_type = PT_LOAD, .p_offset = 0x1000, .p_paddr = 0x100000, .p_filesz = 256, .p_memsz = 256
    };
    ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x400, .p_filesz = 24, .p_memsz = 24 };
    *n = (Elf64_Nhdr){ 4, 8, XEN_ELFNOTE_VIRT_BASE };
    memcpy(n + 1, "Xen", 4);
    memcpy((char *)(n + 1) + 4, &(uint64_t){ BASE }, 8);
}

static inline struct config_disk disk(const char *vdev, const char *target)
{
    struct config_disk d = { .discard = true, .trusted = true };

    strcpy(d.vdev, vdev);
    strcpy(d.target, target);
    return d;
}

/* With a disk and an interface. */
static inline void start(void)
{
    machine_reset();
    make_kernel();
    nr_free = machine_free();
    now_ns = 5;
    nr_loops_ended = 0;
    next_loop = 3;
    with_loop = wants_connection = false;
    backends = SERVE;
    logged[0] = '\0';
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&t, (struct xs_handle *)&some_store, 0), 0);
    memset(&config, 0, sizeof(config));
    strcpy(config.name, "guest");
    strcpy(config.kernel, "/kernel");
    config.memory_kib = config.max_memory_kib = 8192;
    config.nr_vcpus = config.max_vcpus = 1;
    config.on_reboot = CONFIG_RESTART;
    config.disk[config.nr_disks++] = disk("xvda", "/dev/vg/root");
    config.vif[config.nr_vifs++] = (struct config_vif){ .trusted = true };
}

static inline void end(void)
{
    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there)
            CU_ASSERT_EQUAL(guest_destroy(&t, (domid_t)d), 0);
    CU_ASSERT_EQUAL(machine_free(), nr_free);
    toolstack_close(&t);
    CU_ASSERT_EQUAL(machine_held(), 0);
}

static inline void create(void) { CU_ASSERT_EQUAL_FATAL(guest_create(&t, &config, &id), 0); }

/* "%" in a path or text is its number. */
static inline const char *fill(const char *from)
{
    static char text[300];
    size_t len = 0;

    text[0] = '\0';
    for (; *from; from++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, *from == '%' ? "%u" : "%c",
                                *from == '%' ? id : *from);
    return text;
}

static inline const struct machine_node *node(const char *path) { return machine_node(fill(path)); }

/* Of any guest, nor of its backends. */
static inline void no_nodes(void)
{
    for (unsigned int i = 0; i < machine_nr_nodes(); i++) {
        const char *path = machine_node_at(i)->path;
        unsigned int n;
        char c;

        CU_ASSERT_FALSE(sscanf(path, "/libxl/%u", &n) == 1);
        CU_ASSERT_FALSE(sscanf(path, "/local/domain/%u", &n) == 1 && n);
        CU_ASSERT_FALSE(sscanf(path, "/local/domain/0/backend/%*[^/]/%c", &c) == 1);
    }
}

static inline void failed(int rc, int error, const char *says)
{
    CU_ASSERT_EQUAL(rc, -1);
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, says));
    if (strstr(t.error, says) == NULL)
        printf("it says: %s (%d)\n", t.error, errno);
}

static inline void refused(int error, const char *says)
{
    failed(guest_create(&t, &config, &id), error, says);
    no_nodes();
    CU_ASSERT_EQUAL(machine_free(), nr_free);
}

/* @value  NULL: there is no such node */
static inline void expect(const char *path, const char *value, domid_t owner, int reader)
{
    const struct machine_node *n = node(path);
    char want[300];

    snprintf(want, sizeof(want), "%s", value ? fill(value) : "");
    CU_ASSERT_EQUAL(n != NULL, value != NULL);
    if (n == NULL || value == NULL) {
        if ((n != NULL) != (value != NULL))
            printf("%s: %s\n", path, n ? n->value : "not there");
        return;
    }
    CU_ASSERT_STRING_EQUAL(n->value, want);
    if (strcmp(n->value, want) != 0)
        printf("%s: %s\n", path, n->value);
    CU_ASSERT_TRUE(n->owner == owner && (int)n->reader == reader);
}

/* What the configuration in the store says of devices. */
static inline void expect_config(unsigned int nr_disks, unsigned int nr_vifs)
{
    CU_ASSERT_EQUAL(guest_config(&t, id, &config), 0);
    CU_ASSERT_EQUAL(config.nr_disks, nr_disks);
    CU_ASSERT_EQUAL(config.nr_vifs, nr_vifs);
}

static inline struct device_at find(const char *kind, uint32_t devid)
{
    struct device_at *list, found = { .kind = "" };
    size_t nr;

    CU_ASSERT_EQUAL_FATAL(devices_list(&t, id, &list, &nr), 0);
    for (size_t i = 0; i < nr; i++)
        if (strcmp(list[i].kind, kind) == 0 && list[i].devid == devid)
            found = list[i];
    free(list);
    CU_ASSERT_TRUE_FATAL(found.kind[0]);
    return found;
}
