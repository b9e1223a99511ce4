/*
 * dom0-tools/lib/shell.h: shells made, taken, given up and found again on a machine in memory (toolstack_machine.h), of which
 * each call may fail: then nothing is left, and whoever comes next goes on.
 */
#include <CUnit/Basic.h>
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xenstore.h>
#include <xen/elfnote.h>

#include "../../dom0-tools/config.h"
#include "../../dom0-tools/lib/build.h"
#include "../../dom0-tools/lib/hyp.h"
#include "../../dom0-tools/lib/shell_internal.h"
#include "../../dom0-tools/lib/toolstack.h"
#include "toolstack_machine.h"

#define BASE 0xffffffff80000000ul

/* ---- files, clock ---- */

enum { KERNEL_BYTES = 0x3000 };

static uint8_t kernel[KERNEL_BYTES];

char *plat_file_read(const char *path, size_t *len)
{
    char *copy;

    errno = ENOENT;
    if (strcmp(path, "/kernel") != 0)
        return NULL;
    copy = malloc(KERNEL_BYTES);
    memcpy(copy, kernel, KERNEL_BYTES);
    *len = KERNEL_BYTES;
    return copy;
}

int plat_file_view(const char *path, struct plat_view *v)
{
    v->bytes = v->copy = plat_file_read(path, &v->len);
    return v->copy ? 0 : -1;
}

int guest_dump_core(struct toolstack *toolstack, domid_t id, const char *path) { return 0; }

static uint64_t now = 1;

uint64_t plat_now(void) { return now; }
uint64_t plat_wall(void) { return 1700000000123456789; }
void plat_log(enum plat_level level, const char *fmt, ...) {}
void plat_lock(struct plat_mutex *m) {}
void plat_unlock(struct plat_mutex *m) {}
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t deadline_ns)
{
    return false;
}
struct plat_file *plat_file_create(const char *path, uint64_t expected) { return NULL; }
int plat_file_put(struct plat_file *f, const void *data, size_t len) { return -1; }
int plat_file_commit(struct plat_file *f) { return -1; }
void plat_file_close(struct plat_file *f) {}

/* test_config.mk has config_text.c take its memory by these. */
void *test_malloc(size_t bytes);
void *test_calloc(size_t n, size_t bytes);
void *test_malloc(size_t bytes) { return malloc(bytes); }
void *test_calloc(size_t n, size_t bytes) { return calloc(n, bytes); }

static void make_kernel(void)
{
    static const Elf64_Nhdr note = { 4, 8, XEN_ELFNOTE_VIRT_BASE };
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
                        .e_entry = BASE + 0x100000 };
    ph[0] = (Elf64_Phdr){ .p_type = PT_LOAD,
                          .p_offset = 0x1000,
                          .p_paddr = 0x100000,
                          .p_filesz = 0x2000,
                          .p_memsz = 0x2000 };
    memcpy(kernel + 0x400, &note, sizeof(note));
    memcpy(kernel + 0x400 + sizeof(note), "Xen", 4);
    memcpy(kernel + 0x404 + sizeof(note), &(uint64_t){ BASE }, 8);
    ph[1] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = 0x400, .p_filesz = 24, .p_memsz = 24 };
}

/* ---- the toolstack, on a fresh machine ---- */

static struct toolstack t;
static struct shells_tender tender;
static struct domain_config config;
static uint64_t nr_free;
static char some_store;

static void start(void)
{
    machine_reset();
    make_kernel();
    nr_free = machine_free();
    now = 1;
    memset(&tender, 0, sizeof(tender));
    CU_ASSERT_EQUAL_FATAL(toolstack_open(&t, (struct xs_handle *)&some_store, 0), 0);
    memset(&config, 0, sizeof(config));
    strcpy(config.name, "guest");
    strcpy(config.kernel, "/kernel");
    config.memory_kib = config.max_memory_kib = 8192;
    config.nr_vcpus = config.max_vcpus = 1;
}

static unsigned int nr_domains(void)
{
    unsigned int nr = 0;

    for (unsigned int d = 1; d < NR_DOMAINS; d++)
        nr += machine[d].there;
    return nr;
}

static void end(void)
{
    CU_ASSERT_EQUAL(machine_free(), nr_free);
    CU_ASSERT_EQUAL(nr_domains(), 0);
    CU_ASSERT_EQUAL(machine_held(), 1); /* the toolstack's buffer */
    toolstack_close(&t);
}

static void want(unsigned int nr, uint64_t kib)
{
    const struct shells_wish wish = { nr, kib, 1 };

    CU_ASSERT_EQUAL(shells_want(&t, &wish), 0);
    tender.fast = true;
}

/* As who attends does it. */
static void tend(void)
{
    int rc, n = 0;

    while ((rc = shells_tend(&t, &tender)) > 0 && n++ < 100)
        ;
    CU_ASSERT_EQUAL(rc, 0);
}

static unsigned int nr_ready(void)
{
    struct shell shells[SHELLS_MAX];
    int nr = shells_ready(&t, shells);

    CU_ASSERT_TRUE(nr >= 0);
    return (unsigned int)nr;
}

/* The one that there is. */
static domid_t ready_one(void)
{
    struct shell shells[SHELLS_MAX];

    CU_ASSERT_EQUAL_FATAL(shells_ready(&t, shells), 1);
    return shells[0].id;
}

static domid_t create(void)
{
    domid_t id = 0;

    CU_ASSERT_EQUAL_FATAL(guest_create(&t, &config, &id), 0);
    return id;
}

static size_t nr_listed(void)
{
    guest_info_t *infos;
    size_t nr = 0;

    CU_ASSERT_EQUAL_FATAL(guest_list(&t, &infos, &nr), 0);
    free(infos);
    return nr - 1; /* domain 0 */
}

/* ---- what there is ---- */

static void test_as_many_as_are_wanted(void)
{
    start();
    tend();
    CU_ASSERT_TRUE(tender.idle);
    want(3, 8192);
    tend();
    CU_ASSERT_EQUAL(nr_ready(), 3);
    CU_ASSERT_EQUAL(nr_domains(), 3);
    CU_ASSERT_EQUAL(nr_listed(), 0); /* no guest is one */
    want(1, 8192);
    tend();
    CU_ASSERT_EQUAL(nr_domains(), 1);
    CU_ASSERT_TRUE(shell_is(machine[ready_one()].handle));
    CU_ASSERT_FALSE(machine[ready_one()].introduced);
    CU_ASSERT_FALSE(machine[ready_one()].has_context);
    want(2, 4096); /* of another kind */
    tend();
    CU_ASSERT_EQUAL(nr_ready(), 2);
    CU_ASSERT_EQUAL(nr_free - machine_free(), 2 * 1024 + 2 * 2); /* and shared_info, grants */
    want(0, 4096);
    tend();
    CU_ASSERT_TRUE(tender.idle);
    end();
}

static void test_wishes_that_cannot_be(void)
{
    static const struct shells_wish wrong[] = { { SHELLS_MAX + 1, 8192, 1 },
                                                { 1, 512, 1 },
                                                { 1, SHELL_MAX_KIB + 1024, 1 },
                                                { 1, 8192, 0 },
                                                { 1, 8192, 65 } };

    start();
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CU_ASSERT_EQUAL(shells_want(&t, &wrong[i]), -1);
        CU_ASSERT_EQUAL(errno, EINVAL);
    }
    tend();
    end();
}

/* ---- taking one ---- */

static void is_node(domid_t id, const char *leaf, const char *value)
{
    const struct machine_node *n;
    char path[80];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", id, leaf);
    n = machine_node(path);
    CU_ASSERT_PTR_NOT_NULL_FATAL(n);
    CU_ASSERT_STRING_EQUAL(n->value, value);
}

static void test_a_guest_takes_one_that_fits(void)
{
    uint32_t ports;
    domid_t shell, id;

    start();
    want(1, 8192);
    tend();
    shell = ready_one();
    is_node(shell, "memory/static-max", "8192");
    ports = machine[shell].nr_ports;
    config.max_memory_kib = 4 * 8192;
    config.tsc_mode = CONFIG_TSC_NATIVE;
    id = create();
    CU_ASSERT_EQUAL(machine[id].tsc.tsc_mode, CONFIG_TSC_NATIVE);
    CU_ASSERT_EQUAL(id, shell);
    CU_ASSERT_EQUAL(nr_ready(), 0);
    CU_ASSERT_EQUAL(nr_listed(), 1);
    CU_ASSERT_FALSE(shell_is(machine[id].handle));
    CU_ASSERT_TRUE(machine[id].introduced && machine[id].has_context && machine[id].pauses == 1);
    CU_ASSERT_EQUAL(machine[id].nr_ports, ports);
    CU_ASSERT_EQUAL(machine[id].max_pages, 9 * 256); /* what it has, and a MiB, of 32 */
    is_node(id, "name", "guest");
    is_node(id, "memory/static-max", "32768");
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    end();
}

/* No byte of what was done before is in a domain's memory, and its nodes are those of one that was made at once. */
static void compare(bool has_uuid)
{
    static uint8_t direct[2048][4096];
    unsigned int nr_nodes = 0;
    domid_t id, ready = 0;

    for (int shell = 0; shell < 2; shell++) {
        start();
        config.has_uuid = has_uuid;
        memset(config.uuid, 0x5a, sizeof(config.uuid));
        CU_ASSERT_TRUE(xs_write(t.store, XBT_NULL, SHELLS_WANTED, "0 0 0", 5));
        if (shell) {
            want(1, 8192);
            tend();
            ready = ready_one();
        } else { /* the list of them is a node, too */
            want(1, 4096);
            tend();
            want(0, 4096);
            tend();
        }
        id = create();
        CU_ASSERT_EQUAL(id == ready, shell);
        if (shell)
            CU_ASSERT_EQUAL(machine_nr_nodes(), nr_nodes);
        nr_nodes = machine_nr_nodes();
        for (uint64_t mfn = FIRST_MFN, n = 0; mfn < FIRST_MFN + NR_FRAMES; mfn++) {
            if (machine_owner(mfn) != id || mfn == machine[id].shared_info_mfn ||
                mfn == machine[id].grants_mfn || machine_pfn(mfn) >= 2048)
                continue;
            n++;
            /* What lists frames is other in each: all else is alike, and the last pages are clear. */
            if (!shell)
                memcpy(direct[machine_pfn(mfn)], machine_frame(mfn), 4096);
            else if (machine_pfn(mfn) > 2048 - 8)
                CU_ASSERT_EQUAL(memcmp(direct[machine_pfn(mfn)], machine_frame(mfn), 4096), 0);
        }
        CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
        end();
    }
}

static void test_it_is_as_one_that_was_made_at_once(void)
{
    compare(false);
    compare(true);
}

/* The list is written by others all the time: the domain begins without. */
static void test_transactions_are_not_repeated_for_ever(void)
{
    struct build_plan plan = { .nr_pages = 2048, .nr_vcpus = 1 };
    struct shell shell;

    start();
    want(1, 8192);
    tend();
    machine_conflicts = 1001;
    CU_ASSERT_FALSE(shell_take(&t, &plan, false, &shell));
    CU_ASSERT_EQUAL(errno, EAGAIN);
    CU_ASSERT_EQUAL(machine_conflicts, 1);
    machine_conflicts = 0;
    CU_ASSERT_EQUAL(nr_ready(), 1);
    want(0, 0);
    tend();
    end();
}

static void test_one_that_does_not_fit_stays(void)
{
    domid_t id;

    start();
    want(1, 4096);
    tend();
    id = create();
    CU_ASSERT_EQUAL(nr_ready(), 1);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    want(0, 0);
    tend();
    end();
}

/* Somebody has let it run, or there is another domain of its number. */
static void test_one_that_is_not_as_it_was_made_is_not_taken(void)
{
    enum { RAN, UNPAUSED, ANOTHER };

    for (int what = RAN; what <= ANOTHER; what++) {
        domid_t shell, id;

        start();
        want(1, 8192);
        tend();
        shell = ready_one();
        if (what == RAN)
            machine[shell].cpu_time = 5;
        else if (what == UNPAUSED)
            machine[shell].pauses = 0;
        else
            machine[shell].handle[0] = 1;
        id = create();
        CU_ASSERT_NOT_EQUAL(id, shell);
        CU_ASSERT_EQUAL(machine[shell].there, what == ANOTHER);
        CU_ASSERT_EQUAL(nr_ready(), 0);
        CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
        if (what == ANOTHER)
            CU_ASSERT_EQUAL(guest_destroy(&t, shell), 0);
        end();
    }
}

/* Who creates domains is not disturbed; when nobody does, there is another. */
static void test_it_is_made_again_when_nobody_takes_any(void)
{
    domid_t id;

    start();
    want(2, 8192);
    tend();
    id = create();
    tend();
    CU_ASSERT_EQUAL(nr_ready(), 1);
    tend();
    CU_ASSERT_EQUAL(nr_ready(), 2);
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    want(0, 0);
    tend();
    end();
}

/* ---- what fails ---- */

static void test_memory_is_given_up_for_a_guest(void)
{
    domid_t id;

    start();
    want(4, 8192);
    tend();
    CU_ASSERT_EQUAL(nr_ready(), 4);
    config.memory_kib = config.max_memory_kib = (uint32_t)(machine_free() + 100) * 4 / 1024 * 1024;
    config.memory_kib += 4096;
    config.max_memory_kib = config.memory_kib;
    id = create();
    CU_ASSERT_EQUAL(nr_ready(), 3);
    tend();
    tend();
    CU_ASSERT_EQUAL(nr_ready(), 3); /* there is no memory for it now */
    CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
    want(0, 0);
    tend();
    end();
}

/* What is not in the list, as who made it was killed, is ended by the next; not at once, as one may be being taken. */
static void test_what_was_left_is_ended(void)
{
    start();
    want(2, 8192);
    tend();
    CU_ASSERT_TRUE(xs_write(t.store, XBT_NULL, "/xen-like/shells/ready", "", 0));
    memset(&tender, 0, sizeof(tender));
    want(1, 8192);
    tend();
    CU_ASSERT_EQUAL(tender.nr_strays, 2);
    CU_ASSERT_EQUAL(nr_domains(), 3);
    now += SHELL_STRAY_NS - 1;
    tend();
    CU_ASSERT_EQUAL(nr_domains(), 3);
    now++;
    tend();
    CU_ASSERT_EQUAL(tender.nr_strays, 0);
    CU_ASSERT_EQUAL(nr_domains(), 1);
    CU_ASSERT_EQUAL(nr_ready(), 1);
    want(0, 0);
    tend();
    end();
}

/* The next time all is well, or ended. */
/* By an xl that was killed when it had just taken one. */
static void test_what_is_left_while_one_attends_is_ended(void)
{
    struct shell shells[SHELLS_MAX];
    domid_t taken;

    start();
    want(1, 4096);
    tend();
    want(2, 4096);
    CU_ASSERT_EQUAL(shells_tend(&t, &tender), 1); /* it is taken before that has looked again */
    CU_ASSERT_EQUAL_FATAL(shells_ready(&t, shells), 2);
    taken = shells[0].id;
    CU_ASSERT_EQUAL(shells_forget(&t, taken), 1);
    tend();
    now += SHELL_STRAY_NS - 1;
    tend();
    CU_ASSERT_TRUE(machine[taken].there); /* its xl may live */
    now++;
    tend();
    CU_ASSERT_FALSE(machine[taken].there);
    want(0, 0);
    tend();
    CU_ASSERT_TRUE(tender.idle);
    end();
}

static void test_making_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool failed;

    do {
        start();
        want(1, 8192);
        machine_fail_at(++n);
        (void)shells_tend(&t, &tender);
        failed = machine_fail_at(0);
        memset(&tender, 0, sizeof(tender));
        want(1, 8192);
        tend();
        CU_ASSERT_EQUAL(nr_ready(), 1);
        now += SHELL_STRAY_NS; /* of one that could neither be made nor be ended */
        tend();
        CU_ASSERT_EQUAL(nr_domains(), 1);
        want(0, 0);
        tend();
        end();
    } while (failed);
    CU_ASSERT_TRUE(n > 30);
}

static void test_creation_fails_at_each_call(void)
{
    unsigned int n = 0;
    bool failed;
    domid_t id;
    int rc;

    do {
        start();
        want(1, 8192);
        tend();
        machine_fail_at(++n);
        rc = guest_create(&t, &config, &id);
        failed = machine_fail_at(0);
        if (rc == 0)
            CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
        want(0, 0);
        tend();
        now += SHELL_STRAY_NS; /* of one that could be neither destroyed nor used */
        tend();
        if (rc)
            for (unsigned int d = 1; d < NR_DOMAINS; d++)
                if (machine[d].there) /* destroying failed: by hand */
                    CU_ASSERT_EQUAL(guest_destroy(&t, (domid_t)d), 0);
        CU_ASSERT_EQUAL(machine_free(), nr_free);
        CU_ASSERT_EQUAL(machine_held(), 1);
        toolstack_close(&t);
    } while (failed);
    CU_ASSERT_TRUE(n > 30);
}

static void test_lists_that_make_no_sense(void)
{
    static const char *const wrong[] = {
        "x", "1", "0 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a 1 1 1 1 1\n", "5 nonsense 2048 1 1 2 4096\n",
        "\n\n\n7 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a 2048 1 1 2 4096"
    };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        domid_t id;

        start();
        CU_ASSERT_TRUE(xs_write(t.store, XBT_NULL, "/xen-like/shells/ready", wrong[i],
                                (unsigned int)strlen(wrong[i])));
        id = create();
        CU_ASSERT_EQUAL(guest_destroy(&t, id), 0);
        want(1, 8192);
        tend();
        CU_ASSERT_EQUAL(nr_ready(), 1);
        want(0, 0);
        tend();
        end();
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("shells", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_as_many_as_are_wanted);
    T(test_wishes_that_cannot_be);
    T(test_a_guest_takes_one_that_fits);
    T(test_it_is_as_one_that_was_made_at_once);
    T(test_transactions_are_not_repeated_for_ever);
    T(test_one_that_does_not_fit_stays);
    T(test_one_that_is_not_as_it_was_made_is_not_taken);
    T(test_it_is_made_again_when_nobody_takes_any);
    T(test_memory_is_given_up_for_a_guest);
    T(test_what_was_left_is_ended);
    T(test_what_is_left_while_one_attends_is_ended);
    T(test_making_fails_at_each_call);
    T(test_creation_fails_at_each_call);
    T(test_lists_that_make_no_sense);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
