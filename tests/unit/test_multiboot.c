/* x86/multiboot.c: what GRUB hands over, and what no loader should. Buffers are exact, for ASan. */
#include <CUnit/Basic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "x86/multiboot.h"

static uint8_t mbi[65536];
static size_t used;
static struct boot_info bi;

static void begin(void)
{
    memset(mbi, 0xee, sizeof(mbi));
    used = 8;
}

static void tag(uint32_t type, const void *data, size_t len)
{
    uint32_t head[2] = { type, (uint32_t)len + 8 };

    memcpy(mbi + used, head, 8);
    if (len)
        memcpy(mbi + used + 8, data, len);
    used = ROUND_UP(used + 8 + len, 8UL);
}

static char why[256];
static jmp_buf refused;
noreturn void panic(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    longjmp(refused, 1);
}

/* False: it panicked, see why. */
static bool parse_bytes(size_t max)
{
    uint8_t *exact = malloc(max ? max : 1);

    memcpy(exact, mbi, max);
    why[0] = 0;
    if (setjmp(refused) == 0)
        multiboot_parse(&bi, exact, max);
    free(exact);
    return why[0] == 0;
}

static bool parse(void)
{
    uint32_t head[2];

    tag(0, NULL, 0);
    head[0] = (uint32_t)used;
    head[1] = 0;
    memcpy(mbi, head, 8);
    return parse_bytes(used);
}

struct entry {
    uint64_t base, len;
    uint32_t type, zero;
};

static void mmap_tag(const struct entry *e, unsigned int nr)
{
    static uint8_t data[8 + 300 * sizeof(*e)];
    uint32_t head[2] = { sizeof(*e), 0 };

    memcpy(data, head, 8);
    memcpy(data + 8, e, nr * sizeof(*e));
    tag(6, data, 8 + nr * sizeof(*e));
}

static void module_tag(uint32_t start, uint32_t end, const char *cmdline)
{
    uint8_t data[3000];

    memcpy(data, &start, 4);
    memcpy(data + 4, &end, 4);
    memcpy(data + 8, cmdline, strlen(cmdline) + 1);
    tag(3, data, 9 + strlen(cmdline));
}

static const struct entry pc[] = { { 0, 0x9fc00, 1, 0 },
                                   { 0x9fc00, 0x400, 2, 0 },
                                   { 0xf0000, 0x10000, 2, 0 },
                                   { 0x100000, 0x7fee0000, 1, 0 },
                                   { 0x7ffe0000, 0x20000, 3, 0 } };

static void usual(void)
{
    uint8_t rsdp[36] = "RSD PTR ", fb[32] = { 0 };
    uint64_t fb_addr = 0xfd000000, system_table = 0x7fe18018;

    begin();
    tag(1, "com1=115200,8n1", 16);
    tag(2, "GRUB 2.06", 10);
    module_tag(0x1000000, 0x5000000, "placeholder root=/dev/sda1");
    module_tag(0x6000000, 0x7000000, "");
    mmap_tag(pc, 5);
    memcpy(fb, &fb_addr, 8);
    fb[8 + 12] = 32;
    fb[8 + 13] = 1;
    memcpy(fb + 24, "\x10\x08\x08\x08\x00\x08", 6);
    tag(8, fb, 30);
    rsdp[15] = 2;
    tag(15, rsdp, 36);
    rsdp[15] = 0;
    tag(14, rsdp, 20);
    tag(12, &system_table, 8);
    tag(9, "unknown to us", 13);
}

static void test_grubs_information_is_taken(void)
{
    usual();
    CU_ASSERT_TRUE_FATAL(parse());
    CU_ASSERT_STRING_EQUAL(bi.cmdline, "com1=115200,8n1");
    CU_ASSERT_STRING_EQUAL(bi.loader, "GRUB 2.06");
    CU_ASSERT_EQUAL(bi.nr_modules, 2);
    CU_ASSERT_EQUAL(bi.modules[0].start, 0x1000000);
    CU_ASSERT_EQUAL(bi.modules[1].end, 0x7000000);
    CU_ASSERT_STRING_EQUAL(bi.modules[0].cmdline, "placeholder root=/dev/sda1");
    CU_ASSERT_STRING_EQUAL(bi.modules[1].cmdline, "");
    CU_ASSERT_EQUAL(bi.nr_ranges, 5);
    CU_ASSERT_EQUAL(bi.rsdp_bytes, 36);
    CU_ASSERT_EQUAL(bi.rsdp[15], 2);
    CU_ASSERT_EQUAL(bi.framebuffer.type, 1);
    CU_ASSERT_EQUAL(bi.framebuffer.maddr, 0xfd000000);
    CU_ASSERT_EQUAL(bi.framebuffer.bpp, 32);
    CU_ASSERT_EQUAL(bi.framebuffer.red_pos, 16);
    CU_ASSERT_EQUAL(bi.framebuffer.blue_size, 8);
    CU_ASSERT_EQUAL(bi.efi_system_table, 0x7fe18018);
}

static void test_every_truncation_is_refused(void)
{
    size_t all;

    usual();
    CU_ASSERT_TRUE(parse());
    all = used;
    for (size_t n = 0; n < all; n++) {
        CU_ASSERT_FALSE(parse_bytes(n)); /* the header tells of more than there is */
        memcpy(mbi, &(uint32_t){ (uint32_t)n }, 4);
        CU_ASSERT_FALSE(parse_bytes(n)); /* no end tag */
        memcpy(mbi, &(uint32_t){ (uint32_t)all }, 4);
    }
    parse_bytes(0);
    CU_ASSERT_STRING_EQUAL(why, "Multiboot2 information: 0 bytes long, at most 0 are possible");
}

static void check_map(void)
{
    CU_ASSERT_TRUE(bi.nr_ranges <= BOOT_MAX_RANGES);
    for (uint32_t i = 0; i < bi.nr_ranges; i++) {
        CU_ASSERT_TRUE(bi.ranges[i].start < bi.ranges[i].end);
        CU_ASSERT_TRUE(bi.ranges[i].type >= 1 && bi.ranges[i].type <= 5);
        if (i) {
            CU_ASSERT_TRUE(bi.ranges[i - 1].end <= bi.ranges[i].start);
            CU_ASSERT_TRUE(bi.ranges[i - 1].end < bi.ranges[i].start ||
                           bi.ranges[i - 1].type != bi.ranges[i].type);
        }
    }
}

static void test_mutations_never_reach_outside(void)
{
    static uint8_t good[sizeof(mbi)];
    size_t all;

    usual();
    CU_ASSERT_TRUE(parse());
    memcpy(good, mbi, all = used);
    for (unsigned int n = 0; n < 30000; n++) {
        memcpy(mbi, good, all);
        for (int i = rand() % 4; i >= 0; i--)
            mbi[(size_t)rand() % all] = (uint8_t)(rand() % 3 ? rand() : rand() % 2 ? 0 : 0xff);
        if (parse_bytes(all))
            check_map();
        CU_ASSERT_TRUE(bi.nr_modules <= BOOT_MAX_MODULES && bi.rsdp_bytes <= sizeof(bi.rsdp));
    }
}

static void test_one_line_names_the_thing_and_its_value(void)
{
    char text[2000];

    memset(text, 'x', sizeof(text));
    begin();
    tag(1, text, sizeof(text));
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_STRING_EQUAL(why, "Multiboot2 tag 1: text of 2000 bytes, at most 1023 are possible");
    begin();
    module_tag(0x2000, 0x1000, "");
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_STRING_EQUAL(why, "module 0: starts at 0x2000, but ends at 0x1000");
    begin();
    for (int i = 0; i < 17; i++)
        module_tag(0x1000, 0x2000, "");
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_STRING_EQUAL(why, "more than 16 modules");
    begin();
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_STRING_EQUAL(why, "the boot loader gave no memory map");
    begin();
    tag(6, "\x08\0\0\0\0\0\0\0", 8);
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_STRING_EQUAL(why, "memory map: entries of 8 bytes");
    begin();
    tag(3, "short", 5);
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_STRING_EQUAL(why, "Multiboot2 tag 3: only 13 bytes");
}

static uint32_t model_type(const struct entry *e, unsigned int nr, uint64_t at)
{
    uint32_t t = 0;

    for (unsigned int i = 0; i < nr; i++)
        if (e[i].base <= at && (e[i].len > UINT64_MAX - e[i].base || at < e[i].base + e[i].len))
            t = MAX(t, e[i].type >= 1 && e[i].type <= 5 ? e[i].type : 2);
    return t;
}

static void test_overlaps_go_to_the_more_reserved(void)
{
    for (unsigned int n = 0; n < 3000; n++) {
        struct entry e[40];
        unsigned int nr = 1 + (unsigned int)rand() % 40;

        for (unsigned int i = 0; i < nr; i++)
            e[i] = (struct entry){ (uint64_t)rand() % 64, 1 + (uint64_t)rand() % 16,
                                   (uint32_t)rand() % 7, 0 };
        begin();
        mmap_tag(e, nr);
        CU_ASSERT_TRUE_FATAL(parse());
        check_map();
        for (uint64_t at = 0; at < 90; at++) {
            uint32_t type = 0;

            for (uint32_t i = 0; i < bi.nr_ranges; i++)
                if (bi.ranges[i].start <= at && at < bi.ranges[i].end)
                    type = bi.ranges[i].type;
            CU_ASSERT_EQUAL_FATAL(type, model_type(e, nr, at));
        }
    }
}

static void test_extreme_ranges(void)
{
    static struct entry e[200];

    begin();
    mmap_tag((struct entry[]){ { 0, UINT64_MAX, 1, 0 },
                               { UINT64_MAX - 5, UINT64_MAX, 2, 0 },
                               { 5, 0, 3, 0 } },
             3);
    CU_ASSERT_TRUE(parse());
    CU_ASSERT_EQUAL(bi.nr_ranges, 2);
    CU_ASSERT_EQUAL(bi.ranges[1].end, UINT64_MAX);
    for (unsigned int i = 0; i < 129; i++)
        e[i] = (struct entry){ i * 2, 1, 1, 0 };
    begin();
    mmap_tag(e, 128);
    CU_ASSERT_TRUE(parse());
    CU_ASSERT_EQUAL(bi.nr_ranges, 128);
    begin();
    mmap_tag(e, 129);
    CU_ASSERT_FALSE(parse());
    e[0] = (struct entry){ 0, 1000, 1, 0 };
    for (unsigned int i = 1; i < 128; i++)
        e[i].type = 2;
    begin();
    mmap_tag(e, 128);
    CU_ASSERT_FALSE(parse());
    CU_ASSERT_PTR_NOT_NULL(strstr(why, "128 ranges"));
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("multiboot", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_grubs_information_is_taken);
    T(test_every_truncation_is_refused);
    T(test_mutations_never_reach_outside);
    T(test_one_line_names_the_thing_and_its_value);
    T(test_overlaps_go_to_the_more_reserved);
    T(test_extreme_ranges);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
