/*
 * dom0-tools/lib/devices.h: both ends of block devices and network interfaces in the store of a machine in memory, with
 * backends that do what the test wants while the toolstack waits.
 */
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

static void write_node(const char *home, const char *leaf, const char *value)
{
    char path[200];

    snprintf(path, sizeof(path), "%s/%s", home, leaf);
    xs_write(t.store, XBT_NULL, path, value, (unsigned int)strlen(value));
}

static void fail_to(const char *home, char state)
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

static void make_kernel(void)
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

static struct config_disk disk(const char *vdev, const char *target)
{
    struct config_disk d = { .discard = true, .trusted = true };

    strcpy(d.vdev, vdev);
    strcpy(d.target, target);
    return d;
}

/* With a disk and an interface. */
static void start(void)
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

static void end(void)
{
    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        if (machine[d].there)
            CU_ASSERT_EQUAL(guest_destroy(&t, (domid_t)d), 0);
    CU_ASSERT_EQUAL(machine_free(), nr_free);
    toolstack_close(&t);
    CU_ASSERT_EQUAL(machine_held(), 0);
}

static void create(void) { CU_ASSERT_EQUAL_FATAL(guest_create(&t, &config, &id), 0); }

/* "%" in a path or text is its number. */
static const char *fill(const char *from)
{
    static char text[300];
    size_t len = 0;

    text[0] = '\0';
    for (; *from; from++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, *from == '%' ? "%u" : "%c",
                                *from == '%' ? id : *from);
    return text;
}

static const struct machine_node *node(const char *path) { return machine_node(fill(path)); }

/* Of any guest, nor of its backends. */
static void no_nodes(void)
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

static void failed(int rc, int error, const char *says)
{
    CU_ASSERT_EQUAL(rc, -1);
    CU_ASSERT_EQUAL(errno, error);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, says));
    if (strstr(t.error, says) == NULL)
        printf("it says: %s (%d)\n", t.error, errno);
}

static void refused(int error, const char *says)
{
    failed(guest_create(&t, &config, &id), error, says);
    no_nodes();
    CU_ASSERT_EQUAL(machine_free(), nr_free);
}

/* @value  NULL: there is no such node */
static void expect(const char *path, const char *value, domid_t owner, int reader)
{
    const struct machine_node *n = node(path);
    char want[100];

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
static void expect_config(unsigned int nr_disks, unsigned int nr_vifs)
{
    CU_ASSERT_EQUAL(guest_config(&t, id, &config), 0);
    CU_ASSERT_EQUAL(config.nr_disks, nr_disks);
    CU_ASSERT_EQUAL(config.nr_vifs, nr_vifs);
}

static struct device_at find(const char *kind, uint32_t devid)
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

/* ---- numbers ---- */

static void test_numbers_of_devices(void)
{
    static const struct {
        const char *name;
        uint32_t number;
    } known[] = { { "xvda", 51712 },       { "xvda1", 51713 },      { "xvda15", 51727 },
                  { "xvda16", 268435472 }, { "xvdb3", 51731 },      { "xvdp", 51952 },
                  { "xvdq", 268439552 },   { "xvdz", 268441856 },   { "xvdaa", 268442112 },
                  { "xvdzz7", 268614919 }, { "hda", 768 },          { "hdb1", 833 },
                  { "hdc", 5632 },         { "hdd", 5696 },         { "sda", 2048 },
                  { "sdb2", 2066 },        { "sdp15", 2048 + 255 }, { "4097", 4097 } };
    static const char *const none[] = { "",      "xvd",       "sdq",    "sda16",      "hde",
                                        "hda64", "xvda256",   "xvdA",   "xvda1x",     "d",
                                        "d1p",   "d1p256",    "d0p1p1", "4294967296", "-1",
                                        "0x10",  "xvdaaaaaaa" };
    static const struct {
        const char *name, *plain;
    } same[] = { { "xvdc", "d2" }, { "xvdc5", "d2p5" }, { "xvdq", "d16" }, { "xvda16", "d0p16" } };
    char name[VDEV_NAME];
    uint32_t n, other;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        CU_ASSERT_TRUE(vdev_number(known[i].name, &n));
        CU_ASSERT_EQUAL(n, known[i].number);
        vdev_name(n, name);
        CU_ASSERT_STRING_EQUAL(name, known[i].name);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        CU_ASSERT_FALSE(vdev_number(none[i], &n));
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        CU_ASSERT_TRUE(vdev_number(same[i].name, &n) && vdev_number(same[i].plain, &other));
        CU_ASSERT_EQUAL(n, other);
    }
    vdev_name(UINT32_MAX, name);
    CU_ASSERT_STRING_EQUAL(name, "4294967295");
    vdev_name(0x1fffffff, name);
    CU_ASSERT_TRUE(vdev_number(name, &n) && n == 0x1fffffff);
}

/* ---- creation ---- */

#define FRONT "/local/domain/%/device/"
#define BACK "/local/domain/0/backend/"

static void test_a_disk_is_laid_out_as_libxl_has_it(void)
{
    start();
    create();
    expect(FRONT "vbd/51712", "", id, 0);
    expect(FRONT "vbd/51712/backend", BACK "vbd/%/51712", id, 0);
    expect(FRONT "vbd/51712/backend-id", "0", id, 0);
    expect(FRONT "vbd/51712/state", "1", id, 0);
    expect(FRONT "vbd/51712/virtual-device", "51712", id, 0);
    expect(FRONT "vbd/51712/device-type", "disk", id, 0);
    expect(FRONT "vbd/51712/trusted", "1", id, 0);
    expect(BACK "vbd/%/51712", "", 0, id);
    expect(BACK "vbd/%/51712/frontend", FRONT "vbd/51712", 0, id);
    expect(BACK "vbd/%/51712/frontend-id", "1", 0, id);
    expect(BACK "vbd/%/51712/params", "/dev/vg/root", 0, id);
    expect(BACK "vbd/%/51712/online", "1", 0, id);
    expect(BACK "vbd/%/51712/removable", "0", 0, id);
    expect(BACK "vbd/%/51712/bootable", "1", 0, id);
    expect(BACK "vbd/%/51712/dev", "xvda", 0, id);
    expect(BACK "vbd/%/51712/type", "phy", 0, id);
    expect(BACK "vbd/%/51712/mode", "w", 0, id);
    expect(BACK "vbd/%/51712/device-type", "disk", 0, id);
    expect(BACK "vbd/%/51712/discard-enable", "1", 0, id);
    expect(BACK "vbd/%/51712/state", "2", 0, id);
    expect(BACK "vbd/%/51712/physical-device", NULL, 0, 0);
    expect("/libxl/%/device/vbd/51712", "", 0, -1);
    expect("/libxl/%/device/vbd/51712/backend", BACK "vbd/%/51712", 0, -1);
    expect("/libxl/%/device/vbd/51712/frontend", FRONT "vbd/51712", 0, -1);
    expect("/libxl/%/device/vbd/51712/params", "/dev/vg/root", 0, -1);
    end();
    CU_ASSERT_PTR_NULL(node(BACK "vbd/%"));
}

static void test_an_interface_is_laid_out_as_libxl_has_it(void)
{
    const struct machine_node *mac;
    struct config_vif *v;

    start();
    v = &config.vif[0];
    v->rate_bytes = 125000;
    v->rate_interval_us = 50000;
    strcpy(v->ip, "10.0.0.2");
    strcpy(v->vifname, "web0");
    v->mtu = 1400;
    wants_connection = true;
    create();
    mac = node(FRONT "vif/0/mac");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mac);
    CU_ASSERT_TRUE(strncmp(mac->value, "00:16:3e:", 9) == 0 && strlen(mac->value) == 17);
    CU_ASSERT_TRUE(v->has_mac);
    expect(FRONT "vif/0/handle", "0", id, 0);
    expect(FRONT "vif/0/mtu", "1400", id, 0);
    expect(BACK "vif/%/0/mac", mac->value, 0, id);
    expect(BACK "vif/%/0/rate", "6250,50000", 0, id);
    expect(BACK "vif/%/0/ip", "10.0.0.2", 0, id);
    expect(BACK "vif/%/0/vifname", "web0", 0, id);
    expect(BACK "vif/%/0/bridge", "xenbr0", 0, id);
    expect(BACK "vif/%/0/handle", "0", 0, id);
    expect(BACK "vif/%/0/type", "vif", 0, id);
    expect(BACK "vif/%/0/script", "/etc/xen/scripts/vif-bridge", 0, id);
    expect(BACK "vif/%/0/hotplug-status", "connected", 0, id);
    expect("/libxl/%/device/vif/0/hotplug-status", "", 0, -1);
    end();
}

static void test_an_address_that_was_made_up_is_kept(void)
{
    uint8_t mac[6];

    start();
    create();
    memcpy(mac, config.vif[0].mac, 6);
    expect_config(1, 1);
    CU_ASSERT_TRUE(config.vif[0].has_mac && memcmp(config.vif[0].mac, mac, 6) == 0);
    config.vif[0].has_mac = false; /* as in a file */
    memset(config.vif[0].mac, 0, 6);
    CU_ASSERT_EQUAL(guest_set_config(&t, id, &config), 0);
    expect_config(1, 1);
    CU_ASSERT_TRUE(memcmp(config.vif[0].mac, mac, 6) == 0);
    end();
}

static void test_a_file_has_a_loop_device_while_it_is_served(void)
{
    start();
    with_loop = true;
    create();
    expect(BACK "vbd/%/51712/node", "/dev/loop3", 0, id);
    expect(BACK "vbd/%/51712/physical-device", "7:3", 0, id);
    expect(BACK "vbd/%/51712/physical-device-path", "/dev/loop3", 0, id);
    expect(BACK "vbd/%/51712/hotplug-status", "connected", 0, id);
    CU_ASSERT_EQUAL(nr_loops_ended, 0);
    end();
    CU_ASSERT_EQUAL(nr_loops_ended, 1);
}

static void test_what_is_not_served_is_refused_by_name(void)
{
    start();
    config.disk[0].format = CONFIG_QCOW2;
    refused(ENOTSUP, "disk xvda: format qcow2 is not served yet");
    config.disk[0].format = CONFIG_RAW;
    config.disk[0] = disk("sdq", "/dev/sdb");
    refused(EINVAL, "disk sdq: there is no such device");
    config.disk[0] = disk("hdc", "");
    refused(ENOTSUP, "disk hdc: a drive without a disk is not served");
    config.disk[0] = disk("xvda", "/none");
    refused(ENOENT, "/none: not there");
    config.disk[0] = disk("xvda", "/dev/sdb");
    strcpy(config.disk[0].backend, "storage");
    refused(ESRCH, "storage");
    config.disk[0].backend[0] = '\0';
    strcpy(config.vif[0].gateway, "eth0");
    refused(ENOTSUP, "vif 0: gatewaydev is not served");
    end();
}

static void test_a_backend_that_does_not_begin_leaves_nothing(void)
{
    start();
    with_loop = true;
    backends = SLEEP;
    refused(ETIMEDOUT, "vbd 51712 (xvda): nobody in domain 0 serves it");
    CU_ASSERT_TRUE(now_ns >= DEVICES_WAIT_S * 1000000000ull);
    CU_ASSERT_EQUAL(nr_loops_ended, 1);
    end();
}

static bool yes(void) { return true; }

static void test_a_user_who_wants_an_end_leaves_nothing(void)
{
    start();
    t.interrupted = yes;
    refused(EINTR, "interrupted");
    end();
}

static void test_a_backend_says_why_it_does_not_begin(void)
{
    start();
    backends = FAIL;
    refused(EIO, "vbd 51712 (xvda): 2 reading script");
    end();
    start();
    backends = FAIL_BY_SCRIPT;
    refused(EIO, "vbd 51712 (xvda): no?luck");
    end();
    start();
    backends = VANISH;
    refused(ENODEV, "vbd 51712 (xvda): its backend's nodes have gone");
    end();
    start();
    strcpy(config.vif[0].bridge, "none");
    refused(ENODEV, "there is no bridge none");
    end();
}

static void test_a_disk_has_one_writer(void)
{
    domid_t other;

    start();
    create();
    strcpy(config.name, "other");
    config.nr_vifs = 0;
    failed(guest_create(&t, &config, &other), EBUSY,
           "disk xvda: /dev/vg/root is in use by domain ");
    config.disk[0].read_only = true;
    failed(guest_create(&t, &config, &other), EBUSY, "in use by domain");
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_EQUAL(guest_create(&t, &config, &id), 0);
    strcpy(config.name, "third");
    CU_ASSERT_EQUAL(guest_create(&t, &config, &other), 0); /* both only read it */
    end();
}

/* The class is the backend's alone: for the domain it is a disk as others. */
static void test_a_disk_of_a_program(void)
{
    domid_t other;

    start();
    config.disk[0].backend_type = CONFIG_BACKEND_QDISK;
    create();
    expect(FRONT "vbd/51712/backend", BACK "qdisk/%/51712", id, 0);
    expect(BACK "qdisk/%/51712/frontend", FRONT "vbd/51712", 0, id);
    expect(BACK "qdisk/%/51712/params", "aio:/dev/vg/root", 0, id);
    expect(BACK "qdisk/%/51712/type", "qdisk", 0, id);
    expect(BACK "vbd/%/51712", NULL, 0, id);
    CU_ASSERT_STRING_EQUAL(find("vbd", 51712).backend, fill(BACK "qdisk/%/51712"));
    strcpy(config.name, "other");
    config.nr_vifs = 0;
    config.disk[0].backend_type = CONFIG_BACKEND_ANY;
    failed(guest_create(&t, &config, &other), EBUSY, "/dev/vg/root is in use by domain ");
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    no_nodes();
    CU_ASSERT_EQUAL(guest_create(&t, &config, &id), 0);
    config.disk[0].backend_type = CONFIG_BACKEND_QDISK;
    strcpy(config.name, "third");
    failed(guest_create(&t, &config, &other), EBUSY, "/dev/vg/root is in use by domain ");
    end();
}

/* Each domain has a loop device of its own for it. */
static void test_a_file_has_one_writer(void)
{
    domid_t other;

    start();
    with_loop = true;
    create();
    strcpy(config.name, "other");
    config.nr_vifs = 0;
    failed(guest_create(&t, &config, &other), EBUSY,
           "disk xvda: /dev/vg/root is in use by domain ");
    CU_ASSERT_EQUAL(next_loop, 5);
    strcpy(config.disk[0].target, "/dev/vg/other");
    CU_ASSERT_EQUAL(guest_create(&t, &config, &other), 0);
    end();
}

/* Somebody has it between the look and the nodes. */
static void other_takes_the_disk(void)
{
    static const char home[] = "/local/domain/0/backend/vbd/399/51712";

    if (machine_nr_nodes() == 0)
        return; /* the domain's come first */
    write_node(home, "params", "/dev/vg/root");
    write_node(home, "mode", "w");
    write_node(home, "state", "1");
}

static void test_two_creations_at_once(void)
{
    start();
    with_loop = true;
    config.nr_vifs = 0;
    machine_at_transaction = other_takes_the_disk;
    failed(guest_create(&t, &config, &id), EBUSY, "/dev/vg/root is in use by domain 399");
    machine_at_transaction = NULL;
    CU_ASSERT_EQUAL(nr_loops_ended, 1);
    xs_rm(t.store, XBT_NULL, "/local/domain/0/backend/vbd/399");
    no_nodes();
    end();
}

/* ---- ends ---- */

static void test_backends_close_before_the_domain_goes(void)
{
    start();
    create();
    told_late = false;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_FALSE(told_late);
    end();
}

/* Linux's block backend, where another toolstack destroys a domain without asking. */
static void test_a_backend_has_left_without_a_word(void)
{
    start();
    create();
    backends = SLEEP;
    xs_rm(t.store, XBT_NULL, fill("/local/domain/%/device"));
    now_ns = 0;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_TRUE(now_ns < 2000000000);
    no_nodes();
    end();
}

static void test_a_backend_that_does_not_close_keeps_nothing(void)
{
    start();
    create();
    backends = SLEEP;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, ": vif 0 does not close; it is removed"));
    CU_ASSERT_PTR_NULL(node(BACK "vbd/%"));
    CU_ASSERT_PTR_NULL(node("/local/domain/%"));
    end();
}

static void test_devices_come_again_with_a_restart(void)
{
    char mac[NODE_VALUE];

    start();
    create();
    strcpy(mac, node(FRONT "vif/0/mac")->value);
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&t), 1);
    CU_ASSERT_FALSE(machine[id].there);
    expect(BACK "vbd/%/51712/state", NULL, 0, 0);
    id++;
    CU_ASSERT_TRUE(machine[id].there);
    expect(BACK "vbd/%/51712/params", "/dev/vg/root", 0, id);
    expect(FRONT "vif/0/mac", mac, id, 0);
    end();
}

static void test_who_is_renamed_gives_its_devices_up(void)
{
    start();
    config.on_reboot = CONFIG_RENAME_RESTART;
    create();
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    machine[id].cpu_time = 1;
    CU_ASSERT_EQUAL(guest_attend(&t), 1);
    CU_ASSERT_TRUE(machine[id].there && machine[id + 1].there);
    expect(BACK "vbd/%/51712/state", NULL, 0, 0);
    id++;
    expect(BACK "vbd/%/51712/params", "/dev/vg/root", 0, id);
    end();
}

/* ---- attach, detach ---- */

static void test_a_disk_comes_and_goes(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");
    struct device_at at;

    start();
    create();
    d.read_only = true;
    CU_ASSERT_EQUAL(devices_attach_disk(&t, id, &d), 0);
    expect(BACK "vbd/%/51728/mode", "r", 0, id);
    expect(BACK "vbd/%/51728/discard-enable", "0", 0, id);
    expect_config(2, 1);
    CU_ASSERT_STRING_EQUAL(config.disk[1].target, "/dev/vg/data");
    failed(devices_attach_disk(&t, id, &d), EEXIST, ": it has a vbd 51728 (xvdb)");
    at = find("vbd", 51728);
    backends = SLEEP; /* the guest holds it */
    failed(devices_detach(&t, id, &at, false), ETIMEDOUT, "vbd 51728 (xvdb) does not close");
    expect(BACK "vbd/%/51728/online", "0", 0, id);
    expect(BACK "vbd/%/51728/state", "5", 0, id);
    expect(FRONT "vbd/51728/state", "1", id, 0);
    expect_config(2, 1);
    backends = SERVE;
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, false), 0);
    expect(BACK "vbd/%/51728/state", NULL, 0, 0);
    expect(FRONT "vbd/51728/state", NULL, 0, 0);
    expect("/libxl/%/device/vbd/51728/frontend", NULL, 0, 0);
    expect(BACK "vbd/%/51712/state", "2", 0, id);
    expect_config(1, 1);
    end();
}

static void test_a_device_is_detached_by_force(void)
{
    struct device_at at;

    start();
    create();
    at = find("vbd", 51712);
    backends = SLEEP;
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, true), 0);
    expect(FRONT "vbd/51712/state", NULL, 0, 0);
    expect_config(0, 1);
    end();
}

static void test_an_interface_gets_the_next_number(void)
{
    struct config_vif v = { .devid = UINT32_MAX, .has_mac = true, .mac = { 2, 0, 0, 0, 0, 9 } };
    struct device_at at;
    uint8_t mac[6];

    start();
    create();
    CU_ASSERT_EQUAL(devices_attach_vif(&t, id, &v), 0);
    expect(FRONT "vif/1/mac", "02:00:00:00:00:09", id, 0);
    expect_config(1, 2);
    CU_ASSERT_EQUAL(config.vif[1].devid, 1);
    at = find("vif", 1);
    CU_ASSERT_TRUE(devices_read_mac(&t, at.frontend, mac) && memcmp(mac, v.mac, 6) == 0);
    write_node(at.frontend, "mac", "02:00:00:00:00:0g");
    CU_ASSERT_FALSE(devices_read_mac(&t, at.frontend, mac));
    CU_ASSERT_EQUAL(devices_attach_vif(&t, id, &v), 0);
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, false), 0);
    expect_config(1, 2);
    CU_ASSERT_EQUAL(config.vif[1].devid, 2);
    end();
}

static void test_an_attachment_that_fails_leaves_nothing(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");
    unsigned int nr;

    start();
    create();
    nr = machine_nr_nodes();
    backends = SLEEP;
    failed(devices_attach_disk(&t, id, &d), ETIMEDOUT, "nobody in domain 0 serves it");
    CU_ASSERT_EQUAL(machine_nr_nodes(), nr);
    expect_config(1, 1);
    end();
}

static void (*meanwhile)(void);
static unsigned int which_transaction;

/* At that one of an attachment. */
static void others_act(void)
{
    if (--which_transaction == 0) {
        machine_at_transaction = NULL;
        meanwhile();
    }
}

static void it_is_destroyed(void)
{
    struct toolstack other = t;

    CU_ASSERT_EQUAL(guest_destroy(&other, id), 0);
}

/* Somebody who has removed its devices, and is about to remove its nodes. */
static void it_is_dying(void) { machine[id].flags |= XEN_DOMINF_dying; }

/* The nodes of the device are the first transaction, its configuration is the second. */
static void test_a_domain_ends_while_one_is_attached(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");

    for (unsigned int n = 1; n <= 2; n++) {
        start();
        create();
        meanwhile = it_is_destroyed;
        which_transaction = n;
        machine_at_transaction = others_act;
        CU_ASSERT_EQUAL(devices_attach_disk(&t, id, &d), -1);
        CU_ASSERT_PTR_NULL(machine_at_transaction);
        no_nodes();
        end();
        start();
        create();
        meanwhile = it_is_dying;
        which_transaction = n;
        machine_at_transaction = others_act;
        failed(devices_attach_disk(&t, id, &d), ESRCH, "it is being destroyed");
        expect(BACK "vbd/%/51728", NULL, 0, 0);
        end();
    }
}

static void test_a_configuration_is_full(void)
{
    struct config_disk d = disk("xvdb", "/");
    unsigned int nr;
    int rc;

    start();
    memset(config.cmdline, 'c', sizeof(config.cmdline) - 1);
    create();
    memset(d.target + 1, 'x', 250);
    do {
        nr = machine_nr_nodes();
        d.target[1] = ++d.vdev[3];
        rc = devices_attach_disk(&t, id, &d);
    } while (rc == 0 && d.vdev[3] < 'p');
    failed(rc, E2BIG, "too long to be kept");
    CU_ASSERT_EQUAL(machine_nr_nodes(), nr);
    expect_config((unsigned int)(d.vdev[3] - 'b'), 1);
    end();
}

/* Of one that is just short enough there is room for what it is given later: it is started again. */
static void test_a_configuration_that_just_fits(void)
{
    char name[CONFIG_NAME];
    size_t len = sizeof(config.cmdline);
    domid_t found;
    int rc;

    start();
    config.nr_disks = config.nr_vifs = 0;
    config.nr_vcpus = 1;
    config.max_vcpus = config.cpus.nr_vcpus = config.cpus_soft.nr_vcpus = 3;
    for (unsigned int v = 0; v < 3; v++)
        for (unsigned int i = 0; i < 4; i++)
            config.cpus.vcpu[v].word[i] = config.cpus_soft.vcpu[v].word[i] = 0x5555555555555555u
                                                                             << (v & 1);
    memset(config.cmdline, 'c', sizeof(config.cmdline) - 1);
    do {
        config.cmdline[--len] = '\0';
        rc = guest_create(&t, &config, &id);
    } while (rc && errno == E2BIG && len);
    CU_ASSERT_EQUAL_FATAL(rc, 0);
    CU_ASSERT_TRUE(len > 100 && len < sizeof(config.cmdline) - 1);
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CU_ASSERT_EQUAL(guest_rename(&t, id, name), 0);
    machine[id].weight = 65535;
    machine[id].cap = 300;
    machine[id].flags = XEN_DOMINF_shutdown | SHUTDOWN_reboot << XEN_DOMINF_shutdownshift;
    CU_ASSERT_EQUAL(guest_attend(&t), 1);
    CU_ASSERT_TRUE(guest_find(&t, name, &found) == 0 && found != id && machine[found].flags == 0);
    end();
}

/* Of a domain that another toolstack made nothing is kept. */
static void test_a_domain_of_another_toolstack(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");
    struct device_at at;

    start();
    create();
    xs_rm(t.store, XBT_NULL, fill("/libxl/%/config"));
    CU_ASSERT_EQUAL(devices_attach_disk(&t, id, &d), 0);
    at = find("vbd", 51728);
    CU_ASSERT_EQUAL(devices_detach(&t, id, &at, false), 0);
    CU_ASSERT_PTR_NULL(node("/libxl/%/config"));
    end();
}

/* ---- each call fails ---- */

static void test_creation_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool had;

    do {
        int rc;

        start();
        with_loop = wants_connection = true;
        machine_fail_at(++n);
        rc = guest_create(&t, &config, &id);
        had = machine_fail_at(0);
        if (rc) {
            no_nodes();
            CU_ASSERT_EQUAL(machine_free(), nr_free);
        }
        end();
    } while (had);
    CU_ASSERT_TRUE(n > 100);
}

static void test_destruction_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool had;

    do {
        int rc;

        start();
        with_loop = true;
        create();
        machine_fail_at(++n);
        rc = guest_destroy(&t, id);
        had = machine_fail_at(0);
        if (rc)
            CU_ASSERT_EQUAL(guest_destroy(&t, id), 0); /* it can be done again */
        no_nodes();
        end();
    } while (had);
    CU_ASSERT_TRUE(n > 20);
}

static void test_transactions_are_repeated(void)
{
    start();
    machine_conflicts = 3;
    create();
    machine_conflicts = 2;
    end();
    CU_ASSERT_EQUAL(machine_conflicts, 0);
}

static void test_transactions_are_not_repeated_for_ever(void)
{
    struct config_disk d = disk("xvdb", "/dev/vg/data");

    start();
    create();
    machine_conflicts = 1001;
    failed(devices_attach_disk(&t, id, &d), EAGAIN, "its devices in the store");
    CU_ASSERT_EQUAL(machine_conflicts, 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(logged, "was changed 1000 times"));
    machine_conflicts = 0;
    expect_config(1, 1);
    expect(FRONT "vbd/51728", NULL, 0, 0);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("devices", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_numbers_of_devices);
    T(test_a_disk_is_laid_out_as_libxl_has_it);
    T(test_an_interface_is_laid_out_as_libxl_has_it);
    T(test_an_address_that_was_made_up_is_kept);
    T(test_a_file_has_a_loop_device_while_it_is_served);
    T(test_what_is_not_served_is_refused_by_name);
    T(test_a_disk_of_a_program);
    T(test_a_backend_that_does_not_begin_leaves_nothing);
    T(test_a_user_who_wants_an_end_leaves_nothing);
    T(test_a_backend_says_why_it_does_not_begin);
    T(test_a_disk_has_one_writer);
    T(test_a_file_has_one_writer);
    T(test_two_creations_at_once);
    T(test_backends_close_before_the_domain_goes);
    T(test_a_backend_has_left_without_a_word);
    T(test_a_backend_that_does_not_close_keeps_nothing);
    T(test_devices_come_again_with_a_restart);
    T(test_who_is_renamed_gives_its_devices_up);
    T(test_a_disk_comes_and_goes);
    T(test_a_device_is_detached_by_force);
    T(test_an_interface_gets_the_next_number);
    T(test_an_attachment_that_fails_leaves_nothing);
    T(test_a_domain_ends_while_one_is_attached);
    T(test_a_configuration_is_full);
    T(test_a_configuration_that_just_fits);
    T(test_a_domain_of_another_toolstack);
    T(test_creation_fails_at_each_call);
    T(test_destruction_fails_at_each_call);
    T(test_transactions_are_repeated);
    T(test_transactions_are_not_repeated_for_ever);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
