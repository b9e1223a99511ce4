/* hypercall/hypfs_op.c: the tree, its sizes and errors, and what holds a dying domain. */
#include <CUnit/Basic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/types.h"

#include <xen/hypfs.h>

#include "hypercall_stubs.h"
#include "lib/cmdline.h"

#define RAM_FRAMES 1024u

static struct domain *dom0, *dom5, *dom12;
static struct {
    char path[2048], buf[8192];
} guest __attribute__((aligned(4096)));
static struct xen_hypfs_direntry *const entry = (void *)guest.buf;
static char *const contents = guest.buf + sizeof(struct xen_hypfs_direntry);

static uint64_t va(const void *p) { return (uint64_t)(uintptr_t)p; }

static void setup(void)
{
    fake_reset(1);
    if (fake_ram == NULL) {
        fake_ram_create(RAM_FRAMES);
        heap_add_ram(0, RAM_FRAMES * PAGE_SIZE);
        heap_free_range(PAGE_SIZE, RAM_FRAMES * PAGE_SIZE);
    }
    dom0 = fake_domain(0, 1);
    dom5 = fake_domain(5, 1);
    dom12 = fake_domain(12, 1);
    dom0->roles = ROLES_ALL;
    dom0->next = dom5;
    dom5->next = dom12;
    domain_list = dom0;
    strcpy(dom5->name, "store");
    fake_current(dom0->vcpu[0]);
    memset(&guest, 0, sizeof(guest));
    preempt_every = preempt_asked = 0;
    stub_ports = 0;
    fake_guest_map(&guest, sizeof(guest), FAKE_READ_WRITE);
}

static void teardown(void)
{
    struct domain *all[] = { dom0, dom5, dom12 };

    for (unsigned int i = 0; i < ARRAY_SIZE(all); i++) {
        CU_ASSERT_EQUAL(fake_refs(all[i]), 1);
        fake_domain_free(all[i]);
    }
    domain_list = NULL;
    CU_ASSERT_EQUAL(fake_locks_held(), 0);
}

static long read_sized(const char *path, size_t size)
{
    strcpy(guest.path, path);
    memset(guest.buf, 0xee, sizeof(guest.buf));
    return hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), strlen(path) + 1, va(guest.buf), size);
}
static long read_all(const char *path) { return read_sized(path, sizeof(guest.buf)); }

static long write_text(const char *path, const char *text)
{
    strcpy(guest.path, path);
    strcpy(guest.buf, text);
    return hc_hypfs_op(XEN_HYPFS_OP_write_contents, va(guest.path), strlen(path) + 1, va(guest.buf),
                       strlen(text) + 1);
}

/* The text of a string that is read-only. */
static const char *text_of(const char *path)
{
    CU_ASSERT_EQUAL_FATAL(read_all(path), 0);
    CU_ASSERT_EQUAL(entry->type, XEN_HYPFS_TYPE_STRING);
    CU_ASSERT_EQUAL(entry->encoding, XEN_HYPFS_ENC_PLAIN);
    CU_ASSERT_EQUAL(entry->pad, 0);
    CU_ASSERT_EQUAL(entry->content_len, strlen(contents) + 1);
    return contents;
}

static uint32_t number_of(const char *path)
{
    CU_ASSERT_EQUAL_FATAL(read_all(path), 0);
    CU_ASSERT_EQUAL(entry->type, XEN_HYPFS_TYPE_UINT);
    CU_ASSERT_EQUAL(entry->content_len, 4);
    CU_ASSERT_EQUAL(entry->max_write_len, 0);
    return *(uint32_t *)contents;
}

/* Walk a directory as libxenhypfs does; "name:type:len " of each entry. */
static const char *list_of(const char *path)
{
    static char text[1024];
    char *p = contents;

    text[0] = '\0';
    CU_ASSERT_EQUAL_FATAL(read_all(path), 0);
    CU_ASSERT_EQUAL(entry->type, XEN_HYPFS_TYPE_DIR);
    CU_ASSERT_EQUAL(entry->max_write_len, 0);
    for (;;) {
        struct xen_hypfs_dirlistentry *e = (void *)p;

        CU_ASSERT_EQUAL(va(e) % 4, va(contents) % 4);
        sprintf(text + strlen(text), "%s:%u:%u ", e->name, e->e.type, e->e.content_len);
        if (e->off_next == 0) {
            size_t len = (size_t)(p - contents) + ROUND_UP(14 + strlen(e->name) + 1, 4UL);

            CU_ASSERT_EQUAL(len, entry->content_len);
            CU_ASSERT_EQUAL((uint8_t)contents[len], 0xee);
            return text;
        }
        p += e->off_next;
        CU_ASSERT_FATAL(p < contents + entry->content_len);
    }
}

/* ---- reading ---- */

static void test_version(void)
{
    setup();
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_get_version, 0, 0, 0, 0), XEN_HYPFS_VERSION);
    for (unsigned int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_get_version, i == 0, i == 1, i == 2, i == 3),
                        -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(3, 0, 0, 0, 0), -EINVAL); /* the path comes first */
    strcpy(guest.path, "/");
    CU_ASSERT_EQUAL(hc_hypfs_op(3, va(guest.path), 2, 0, 0), -EOPNOTSUPP);
    CU_ASSERT_EQUAL(hc_hypfs_op(~0u, va(guest.path), 2, 0, 0), -EOPNOTSUPP);
    teardown();
}

static void test_only_a_privileged_domain_reads(void)
{
    setup();
    fake_current(dom5->vcpu[0]);
    dom5->roles = ROLE_HARDWARE | ROLE_STORE;
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_get_version, 0, 0, 0, 0), -EPERM);
    CU_ASSERT_EQUAL(read_all("/"), -EPERM);
    CU_ASSERT_EQUAL(write_text("/params/loglvl", "all"), -EPERM);
    teardown();
}

static void test_directories_are_walked(void)
{
    setup();
    CU_ASSERT_STRING_EQUAL(list_of("/buildinfo/version"), "extra:2:12 major:3:4 minor:3:4 ");
    CU_ASSERT_STRING_EQUAL(list_of("/buildinfo/version/"), "extra:2:12 major:3:4 minor:3:4 ");
    CU_ASSERT_STRING_EQUAL(list_of("/cpupool/0"), "sched-gran:2:4 ");
    CU_ASSERT_STRING_EQUAL(list_of("/cpupool"), "0:0:28 ");
    CU_ASSERT_STRING_EQUAL(list_of("/domain"), "0:0:40 5:0:40 12:0:40 ");
    CU_ASSERT_STRING_EQUAL(list_of("/domain/5"), "name:2:6 role:2:6 ");
    CU_ASSERT_PTR_NOT_NULL(strstr(list_of("/"), "buildinfo:0:"));
    CU_ASSERT_PTR_NOT_NULL(strstr(list_of("/"), "domain:0:52 "));
    CU_ASSERT_PTR_NOT_NULL(strstr(list_of("/"), "params:0:"));
    teardown();
}

static void test_values_are_read(void)
{
    setup();
    CU_ASSERT_EQUAL(number_of("/buildinfo/version/major"), 4);
    CU_ASSERT_EQUAL(number_of("/buildinfo/version/minor"), 17);
    CU_ASSERT_STRING_EQUAL(text_of("/buildinfo/version/extra"), ".0-xen-like");
    CU_ASSERT_STRING_EQUAL(text_of("/buildinfo/compileinfo/compiler"), "cc " __VERSION__);
    CU_ASSERT_STRING_EQUAL(text_of("/buildinfo/changeset"), "");
    CU_ASSERT_STRING_EQUAL(text_of("/cpupool/0/sched-gran"), "cpu");
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/name"), "store");
    CU_ASSERT_STRING_EQUAL(text_of("/domain/0/name"), "");
    CU_ASSERT_STRING_EQUAL(text_of("/domain/0/role"), "control hardware store");
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/role"), "guest");
    dom5->roles = ROLE_STORE;
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/role"), "store");
    dom5->roles = ROLE_CONTROL;
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/role"), "control");
    CU_ASSERT_EQUAL(read_all("/domain/5/rings"), -ENOENT);
    dom5->store_mfn = _mfn(0x123456789);
    dom5->console_mfn = _mfn(7);
    dom5->store_port = 1;
    dom5->console_port = 2;
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/rings"),
                           "store_mfn=4886718345 store_port=1 console_mfn=7 console_port=2");
    teardown();
}

static void test_what_is_not_there(void)
{
    static const char *const none[] = { "/x",
                                        "/buildinf",
                                        "/buildinfox",
                                        "//",
                                        "/domain/1",
                                        "/domain/05",
                                        "/domain/5x",
                                        "/domain/",
                                        "/domain//",
                                        "/domain/-5",
                                        "/domain/32752",
                                        "/domain/65541",
                                        "/domain/4294967301",
                                        "/domain/5/held",
                                        "/cpupool/1",
                                        "/domain/5/name/x",
                                        "/domain/5/name/x/y",
                                        "/domain/x/name" };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(none); i++)
        CU_ASSERT_EQUAL(read_all(none[i]), strcmp(none[i], "/domain/") ? -ENOENT : 0);
    teardown();
}

static void test_paths_are_checked(void)
{
    setup();
    strcpy(guest.path, "/params");
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 0, va(guest.buf), 100), -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 7, va(guest.buf), 100), -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path + 1), 7, va(guest.buf), 100),
                    -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 8, va(guest.buf), 100), 0);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 20, va(guest.buf), 100), 0);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 1024, va(guest.buf), 100),
                    -ENOENT);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 1025, va(guest.buf), 100),
                    -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), ~0ULL, va(guest.buf), 100),
                    -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, 16, 8, va(guest.buf), 100), -EFAULT);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_read, va(guest.path), 8, 16, 100), -EFAULT);
    teardown();
}

static void test_a_short_buffer_is_told_how_long_it_should_be(void)
{
    static const char *const paths[] = { "/", "/domain", "/domain/5/name",
                                         "/buildinfo/version/major" };
    uint32_t len;

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(paths); i++) {
        CU_ASSERT_EQUAL(read_all(paths[i]), 0);
        len = entry->content_len;
        CU_ASSERT_EQUAL(read_sized(paths[i], 0), -EINVAL);
        CU_ASSERT_EQUAL(read_sized(paths[i], sizeof(*entry) - 1), -EINVAL);
        CU_ASSERT_EQUAL(entry->content_len, 0xeeeeeeee);
        CU_ASSERT_EQUAL(read_sized(paths[i], sizeof(*entry)), -ENOBUFS);
        CU_ASSERT_EQUAL(entry->content_len, len);
        CU_ASSERT_EQUAL((uint8_t)contents[0], 0xee);
        CU_ASSERT_EQUAL(read_sized(paths[i], sizeof(*entry) + len - 1), -ENOBUFS);
        CU_ASSERT_EQUAL(entry->content_len, len);
        CU_ASSERT_EQUAL((uint8_t)contents[0], 0xee);
        CU_ASSERT_EQUAL(read_sized(paths[i], sizeof(*entry) + len), 0);
        CU_ASSERT_EQUAL((uint8_t)contents[len], 0xee);
    }
    teardown();
}

static void test_every_fault_drops_the_references(void)
{
    static const char *const paths[] = { "/", "/domain", "/domain/5", "/domain/5/name" };

    setup();
    for (unsigned int i = 0; i < ARRAY_SIZE(paths); i++)
        for (unsigned int n = 1;; n++) {
            long rc;

            fake_fail_copy(n);
            rc = read_all(paths[i]);
            fake_fail_copy(0);
            if (rc == 0) {
                CU_ASSERT(n >= 4);
                break;
            }
            CU_ASSERT_EQUAL(rc, -EFAULT);
            CU_ASSERT_EQUAL(fake_refs(dom0) + fake_refs(dom5) + fake_refs(dom12), 3);
        }
    teardown();
}

/* ---- writing ---- */

static void test_levels_are_set(void)
{
    setup();
    options.loglvl = 3;
    options.guest_loglvl = 2;
    CU_ASSERT_STRING_EQUAL(text_of("/params/loglvl"), "info");
    CU_ASSERT_EQUAL(entry->max_write_len, 24);
    CU_ASSERT_STRING_EQUAL(text_of("/params/guest_loglvl"), "warning");
    CU_ASSERT_EQUAL(write_text("/params/loglvl", "all"), 0);
    CU_ASSERT_EQUAL(options.loglvl, 5);
    CU_ASSERT_STRING_EQUAL(text_of("/params/loglvl"), "all");
    CU_ASSERT_EQUAL(write_text("/params/guest_loglvl", "none"), 0);
    CU_ASSERT_EQUAL(options.guest_loglvl, 0);
    CU_ASSERT_EQUAL(options.loglvl, 5);
    options.loglvl = 3;
    options.guest_loglvl = 2;
    teardown();
}

static void test_what_cannot_be_written(void)
{
    setup();
    options.loglvl = 3;
    CU_ASSERT_EQUAL(write_text("/", "x"), -EACCES);
    CU_ASSERT_EQUAL(write_text("/domain/5", "x"), -EACCES);
    CU_ASSERT_EQUAL(write_text("/domain/5/name", "x"), -EACCES);
    CU_ASSERT_EQUAL(write_text("/domain/6/name", "x"), -ENOENT);
    CU_ASSERT_EQUAL(write_text("/params/loglvl", "al"), -EINVAL);
    CU_ASSERT_EQUAL(write_text("/params/loglvl", "alll"), -EINVAL);
    CU_ASSERT_EQUAL(write_text("/params/loglvl", ""), -EINVAL);
    CU_ASSERT_EQUAL(write_text("/params/loglvl", "twenty-three characters"), -EINVAL);
    CU_ASSERT_EQUAL(write_text("/params/loglvl", "twenty-four characters.."), -ENOSPC);
    strcpy(guest.path, "/params/loglvl");
    memcpy(guest.buf, "all\0\0", 5);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_write_contents, va(guest.path), 15, va(guest.buf), 0),
                    -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_write_contents, va(guest.path), 15, va(guest.buf), 3),
                    -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_write_contents, va(guest.path), 15, va(guest.buf), 5),
                    -EINVAL);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_write_contents, va(guest.path), 15, va(guest.buf),
                                ~0ULL),
                    -ENOSPC);
    CU_ASSERT_EQUAL(hc_hypfs_op(XEN_HYPFS_OP_write_contents, va(guest.path), 15, 16, 4), -EFAULT);
    CU_ASSERT_EQUAL(options.loglvl, 3);
    CU_ASSERT_STRING_EQUAL(dom5->name, "store");
    teardown();
}

/* ---- what holds a dying domain ---- */

/* A frame of d's that is an L1 table, with these entries. */
static mfn_t table_of(struct domain *d, const pte_t *entries, unsigned int n)
{
    mfn_t m = heap_alloc(0, 0);
    pte_t *l1 = mfn_to_virt(m);

    memset(l1, 0, PAGE_SIZE);
    memcpy(l1 + PTES_PER_TABLE - n, entries, n * sizeof(*entries));
    page_share(m, d->domain_id);
    atomic_store(&mfn_to_page(m)->type_info, (uint64_t)PGT_L1 << PGT_TYPE_SHIFT | PGT_VALID | 1);
    return m;
}

static mfn_t frame_of(struct domain *d)
{
    mfn_t m = heap_alloc(0, 0);

    page_share(m, d->domain_id);
    return m;
}

static void forget(mfn_t m)
{
    atomic_store(&mfn_to_page(m)->type_info, 0);
    page_share(m, DOMID_INVALID);
    page_put(mfn_to_page(m));
}

static void test_a_dying_domain_shows_who_maps_its_frames(void)
{
    mfn_t frames[2], tables[4];
    pte_t e[4];

    setup();
    for (unsigned int i = 0; i < 2; i++)
        frames[i] = frame_of(dom5);
    e[0] = pte_make(mfn_x(frames[0]), PTE_P);
    e[1] = pte_make(mfn_x(frames[1]), PTE_P | PTE_RW | PTE_NX);
    e[2] = pte_make(mfn_x(frames[1]), 0);   /* not present */
    e[3] = pte_make(RAM_FRAMES + 7, PTE_P); /* no RAM */
    tables[0] = table_of(dom0, e, 4);
    tables[1] = table_of(dom0, e, 1);
    tables[2] = table_of(dom12, e, 1);
    tables[3] = table_of(dom5, e, 4); /* its own do not count */
    dom5->nr_pages = 2;
    dom5->refs = 3;
    stub_ports = 4;
    CU_ASSERT_EQUAL(read_all("/domain/5/held"), -ENOENT);
    dom5->is_dying = true;
    CU_ASSERT_EQUAL(number_of("/domain/5/held/frames"), 2);
    CU_ASSERT_EQUAL(number_of("/domain/5/held/ports"), 4);
    CU_ASSERT_EQUAL(number_of("/domain/5/held/references"), 3);
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/held/mapped-by"), "d0: 3, d12: 1");
    CU_ASSERT_STRING_EQUAL(list_of("/domain/5"), "name:2:6 role:2:6 held:0:96 ");
    CU_ASSERT_STRING_EQUAL(list_of("/domain/5/held"),
                           "frames:3:4 ports:3:4 references:3:4 mapped-by:2:14 ");
    forget(tables[0]);
    forget(tables[2]);
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/held/mapped-by"), "d0: 1");
    forget(tables[1]);
    CU_ASSERT_STRING_EQUAL(text_of("/domain/5/held/mapped-by"), "");
    forget(tables[3]);
    forget(frames[0]);
    forget(frames[1]);
    dom5->nr_pages = 0;
    dom5->refs = 1;
    CU_ASSERT_EQUAL(heap_audit(), 0);
    teardown();
}

static void test_the_search_goes_on_where_it_was_preempted(void)
{
    mfn_t frame, tables[5];
    unsigned int restarts = 0;
    pte_t e;
    long rc;

    setup();
    frame = frame_of(dom5);
    e = pte_make(mfn_x(frame), PTE_P);
    for (unsigned int i = 0; i < 5; i++)
        tables[i] = table_of(i % 2 ? dom12 : dom0, &e, 1);
    dom5->is_dying = true;
    preempt_every = 1;
    while ((rc = read_all("/domain/5/held/mapped-by")) == -ERESTART)
        restarts++;
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(restarts, 5); /* after each table */
    CU_ASSERT_PTR_NOT_NULL(strstr(contents, "d0: 3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(contents, "d12: 2"));
    while ((rc = read_all("/domain/5/held")) == -ERESTART) /* a listing does it, too */
        restarts++;
    CU_ASSERT_EQUAL(rc, 0);
    CU_ASSERT_EQUAL(restarts, 10);
    preempt_every = 0;
    atomic_store(&dom5->holders.busy, true); /* another CPU is at it */
    CU_ASSERT_EQUAL(read_all("/domain/5/held/mapped-by"), -ERESTART);
    atomic_store(&dom5->holders.busy, false);
    CU_ASSERT_EQUAL(read_all("/domain/5/held/mapped-by"), 0);
    for (unsigned int i = 0; i < 5; i++)
        forget(tables[i]);
    forget(frame);
    teardown();
}

static void test_many_holders_are_not_all_named(void)
{
    mfn_t frame, tables[6];
    pte_t e;

    setup();
    frame = frame_of(dom5);
    e = pte_make(mfn_x(frame), PTE_P);
    for (unsigned int i = 0; i < 6; i++) {
        tables[i] = table_of(dom0, &e, 1);
        page_share(tables[i], (domid_t)(20 + i));
    }
    dom5->is_dying = true;
    CU_ASSERT_PTR_NOT_NULL(strstr(text_of("/domain/5/held/mapped-by"), ", others"));
    CU_ASSERT_EQUAL(strlen(contents), strlen("d20: 1, d21: 1, d22: 1, d23: 1, others"));
    for (unsigned int i = 0; i < 6; i++)
        forget(tables[i]);
    forget(frame);
    teardown();
}

#define T(test) CU_ADD_TEST(s, test)

int main(void)
{
    unsigned int failed;

    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("hypfs", NULL, NULL);

    T(test_version);
    T(test_only_a_privileged_domain_reads);
    T(test_directories_are_walked);
    T(test_values_are_read);
    T(test_what_is_not_there);
    T(test_paths_are_checked);
    T(test_a_short_buffer_is_told_how_long_it_should_be);
    T(test_every_fault_drops_the_references);
    T(test_levels_are_set);
    T(test_what_cannot_be_written);
    T(test_a_dying_domain_shows_who_maps_its_frames);
    T(test_the_search_goes_on_where_it_was_preempted);
    T(test_many_holders_are_not_all_named);
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
