/*
 * dom0-tools/lib: domains built, told to the store and destroyed on a machine in memory, of which each call may
 * fail: then nothing is left.
 */
#include "toolstack_guest.h"

#include "../../dom0-tools/lib/build.h"
#include "../../dom0-tools/lib/guest_internal.h"

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

/* Of two that are made at once each has looked before there was the other. */
static void test_one_uuid_twice_at_once(void)
{
    struct build_plan plan;
    struct built built = { 0 };
    char *name;
    domid_t a;

    start(STORE);
    config.has_uuid = true;
    config.uuid[0] = 1;
    a = create();
    strcpy(config.name, "other");
    guest_plan(&config, &plan);
    CU_ASSERT_EQUAL_FATAL(build_empty(&t, &plan, &built.id), 0);
    CU_ASSERT_TRUE(guest_register(&t, &config, &plan, &built) == -1 && errno == EEXIST);
    CU_ASSERT_PTR_NOT_NULL(strstr(t.error, "has the same uuid"));
    CU_ASSERT_FALSE(machine[built.id].there);
    name = guest_name(&t, a);
    CU_ASSERT_STRING_EQUAL(name, "guest");
    free(name);
    CU_ASSERT_EQUAL(guest_destroy(&t, a), 0);
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
    machine_conflicts = 1001; /* not for ever */
    CU_ASSERT_EQUAL(guest_rename(&t, id, "newer"), -1);
    CU_ASSERT_EQUAL(errno, EAGAIN);
    CU_ASSERT_EQUAL(machine_conflicts, 1);
    machine_conflicts = 0;
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

static void test_requests(void)
{
    char path[64];
    domid_t id;

    start(STORE);
    id = create();
    CU_ASSERT_EQUAL(guest_request(&t, id, "poweroff"), 0);
    expect_node("/local/domain/%u/control/shutdown", "poweroff", id, ~0u);
    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", id);
    CU_ASSERT_TRUE(xs_rm(t.store, XBT_NULL, path)); /* as its kernel may */
    CU_ASSERT_EQUAL(guest_request(&t, id, "reboot"), 0);
    expect_node("/local/domain/%u/control/shutdown", "reboot", id, ~0u);
    CU_ASSERT_EQUAL(machine_node(path)->owner, id);
    CU_ASSERT_TRUE(guest_request(&t, 0, "poweroff") == -1 && errno == ENOENT);
    CU_ASSERT_PTR_NULL(machine_node("/local/domain/0/control/shutdown"));
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
    CU_ASSERT_EQUAL(machine_nr_nodes(), 0);
    end();
}

static void test_shares_and_affinity(void)
{
    domid_t id;

    start(NULL);
    config.weight = 512;
    config.cap_percent = 50;
    config.tsc_mode = CONFIG_TSC_NATIVE;
    config.cpus.nr_vcpus = 3; /* one more than it has */
    config.cpus_soft.nr_vcpus = 1;
    for (int v = 0; v < 3; v++)
        config.cpus.vcpu[v].word[0] = config.cpus_soft.vcpu[v].word[0] = 3;
    id = create();
    CU_ASSERT_TRUE(machine[id].weight == 512 && machine[id].nr_hard == 2 &&
                   machine[id].nr_soft == 1);
    CU_ASSERT_EQUAL(machine[id].tsc.tsc_mode, CONFIG_TSC_NATIVE);
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

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("toolstack", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_what_the_store_says);
    T(test_channels_in_the_store);
    T(test_names);
    T(test_one_uuid_twice_at_once);
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
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
