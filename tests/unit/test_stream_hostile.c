/* Files of domains that are cut off, damaged or made by an enemy: they are restored, or nothing is left of them. */
#include "stream_domain.h"

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

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("hostile streams", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_cut_anywhere);
    T(test_any_byte_is_another);
    T(test_what_a_file_says_is_checked);
    T(test_more_pages_than_there_can_be);
    T(test_other_records);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
