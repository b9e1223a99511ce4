/* domain/modules.c: whose each module is, and that a text with a fault in it has no effect but its message. */
#include <CUnit/Basic.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "domain/modules.h"
#include "lib/cmdline.h"
#include "memory/heap.h"

struct boot_info boot_info;

static struct boot_domain list[BOOT_MAX_MODULES + 1];
static unsigned int n;      /* domains in it */
static uint32_t freed;      /* bit per module */
static char messages[4096]; /* all of them, each a line */

void heap_free_range(uint64_t start, uint64_t end)
{
    CU_ASSERT(start % MIB(1) == 0 && end == start + KIB(512));
    freed |= 1u << (start / MIB(1) - 1);
}
void print(enum log_level level, const char *fmt, ...)
{
    size_t len = strlen(messages);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(messages + len, sizeof(messages) - len - 1, fmt, ap);
    va_end(ap);
    strcat(messages, "\n");
}

/* Modules with these texts, NULL-ended; each has a MiB of its own. */
static void parse(const char *first, ...)
{
    const char *text = first;
    va_list ap;

    va_start(ap, first);
    for (boot_info.nr_modules = 0; text; text = va_arg(ap, const char *)) {
        struct boot_module *m = &boot_info.modules[boot_info.nr_modules++];

        m->start = MIB(boot_info.nr_modules);
        m->end = m->start + KIB(512);
        snprintf(m->cmdline, sizeof(m->cmdline), "%s", text);
    }
    va_end(ap);
    freed = 0;
    messages[0] = 0;
    memset(list, 0x5a, sizeof(list));
    n = modules_parse(list);
}
static const struct boot_module *module(unsigned int i) { return &boot_info.modules[i]; }

/* One message, which says why; the module is freed and there is domain 0 only. */
static void refused(const char *text, const char *why)
{
    parse("root=/dev/sda", text, NULL);
    CU_ASSERT_EQUAL(n, 1);
    CU_ASSERT_EQUAL(freed, 2);
    CU_ASSERT_PTR_NULL(list[0].ramdisk);
    if (strstr(messages, why) == NULL ||
        strchr(messages, '\n') != messages + strlen(messages) - 1) {
        printf("\n\"%s\": %s", why, messages);
        CU_FAIL("message");
    }
}

static void test_texts_without_our_words_are_domain_0s(void)
{
    parse(NULL);
    CU_ASSERT(n == 1 && list[0].kernel == NULL);
    parse("root=/dev/sda domain ramdisk-of xdomain=1 -- domain=web", NULL);
    CU_ASSERT(n == 1 && list[0].kernel == module(0) && list[0].ramdisk == NULL);
    CU_ASSERT_PTR_EQUAL(list[0].cmdline, module(0)->cmdline);
    CU_ASSERT_EQUAL(list[0].roles, ROLES_ALL);
    CU_ASSERT_STRING_EQUAL(list[0].name, "Domain-0");
    parse("", "", NULL);
    CU_ASSERT(n == 1 && list[0].kernel == module(0) && list[0].ramdisk == module(1));
    CU_ASSERT(list[0].mem_bytes[0] == 0 && list[0].nr_vcpus == 0);
    options.dom0_mem_bytes[0] = MIB(100);
    options.dom0_mem_bytes[1] = MIB(200);
    options.dom0_max_vcpus = 5;
    parse("", "", NULL);
    CU_ASSERT(list[0].mem_bytes[0] == MIB(100) && list[0].mem_bytes[1] == MIB(200));
    CU_ASSERT_EQUAL(list[0].nr_vcpus, 5);
    CU_ASSERT_STRING_EQUAL(messages, "");
    CU_ASSERT_EQUAL(freed, 0);
    parse("", "", "microcode", NULL);
    CU_ASSERT(n == 1 && list[0].ramdisk == module(1));
    CU_ASSERT_EQUAL(freed, 1 << 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(messages, "module 2: domain 0 has a kernel and a ramdisk"));
}

static void test_all_words_of_a_domain(void)
{
    parse("console=hvc0",
          "domain=web memory=64M,max:96M vcpus=4 role=driver console -- root=/dev/xvda ro -- x",
          "\tplaceholder  memory=1g\tdomain=db-1_2.3+4 ", NULL);
    CU_ASSERT_STRING_EQUAL(messages, "");
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT_EQUAL(freed, 0);
    CU_ASSERT_STRING_EQUAL(list[0].cmdline, "console=hvc0");
    CU_ASSERT_STRING_EQUAL(list[1].name, "web");
    CU_ASSERT_STRING_EQUAL(list[1].cmdline, "root=/dev/xvda ro -- x");
    CU_ASSERT(list[1].kernel == module(1) && list[1].ramdisk == NULL);
    CU_ASSERT(list[1].mem_bytes[0] == MIB(64) && list[1].nr_vcpus == 4 && list[1].console);
    CU_ASSERT_EQUAL(list[1].roles, ROLE_HARDWARE);
    CU_ASSERT(list[1].mem_bytes[1] == MIB(96) && list[2].mem_bytes[1] == 0);
    CU_ASSERT_STRING_EQUAL(list[2].name, "db-1_2.3+4");
    CU_ASSERT_STRING_EQUAL(list[2].cmdline, "");
    CU_ASSERT(list[2].mem_bytes[0] == GIB(1) && list[2].nr_vcpus == 1 && !list[2].console);
    CU_ASSERT_EQUAL(list[2].roles, 0);
    for (unsigned int i = 0; i < 4; i++) {
        static const char *const roles[] = { "guest", "control", "hardware", "store" }; /* ROLE_* */
        char text[100];

        snprintf(text, sizeof(text), "domain=a memory=8M role=%s console=off --", roles[i]);
        parse("", text, NULL);
        CU_ASSERT(n == 2 && list[1].roles == (i ? 1u << (i - 1) : 0) && !list[1].console &&
                  list[1].cmdline[0] == 0);
    }
}

static void test_modules_may_come_in_any_order(void)
{
    parse("ramdisk-of=web", "ramdisk-of=Domain-0", "domain=web memory=8M", "first",
          "domain=x memory=8M", NULL);
    CU_ASSERT_STRING_EQUAL(messages, "");
    CU_ASSERT_EQUAL_FATAL(n, 3);
    CU_ASSERT(list[0].kernel == module(3) && list[0].ramdisk == module(1));
    CU_ASSERT(list[1].kernel == module(2) && list[1].ramdisk == module(0));
    CU_ASSERT(list[2].kernel == module(4) && list[2].ramdisk == NULL);
}

static void test_what_is_wrong_is_named(void)
{
    char text[200] = "memory=8M domain=";

    refused("domain=web memory=8M cpus=2", "module 1: unknown word \"cpus=2\"");
    refused("domain=web memory=8M ramdisk-of=web", "unknown word \"ramdisk-of=web\"");
    refused("domain=web memory=8M /boot/vmlinux", "unknown word \"/boot/vmlinux\"");
    refused("ramdisk-of=Domain-0 memory=8M", "unknown word \"memory=8M\"");
    refused("domain=web memory=8Q", "bad value in \"memory=8Q\"");
    refused("domain=web memory=0", "bad value in \"memory=0\"");
    refused("domain=web memory", "bad value in \"memory\"");
    refused("domain=web memory=-1M", "bad value in \"memory=-1M\"");
    refused("domain=web memory=99999999999T", "bad value in \"memory=99999999999T\"");
    refused("domain=web memory=8M,max:", "bad value in \"memory=8M,max:\"");
    refused("domain=web memory=max:8M", "no memory= for domain \"web\"");
    refused("domain=web memory=8M vcpus=0", "bad value in \"vcpus=0\"");
    refused("domain=web memory=8M vcpus=65", "bad value in \"vcpus=65\"");
    refused("domain=web memory=8M vcpus=2x", "bad value in \"vcpus=2x\"");
    refused("domain=web memory=8M role=root", "bad value in \"role=root\"");
    refused("domain=web memory=8M role=", "bad value in \"role=\"");
    refused("domain=web memory=8M console=maybe", "bad value in \"console=maybe\"");
    refused("domain= memory=8M", "bad value in \"domain=\"");
    refused("domain=a/b memory=8M", "bad value in \"domain=a/b\"");
    refused("domain=a\xc3\xa4 memory=8M", "bad value in \"domain=a");
    refused("domain=a domain=b memory=8M", "bad value in \"domain=b\"");
    refused("domain=web", "no memory= for domain \"web\"");
    refused("domain=web -- memory=8M", "no memory= for domain \"web\"");
    refused("domain=Domain-0 memory=8M", "there is already a domain \"Domain-0\"");
    refused("ramdisk-of=web", "no domain \"web\"");
    for (unsigned int i = 0; i < 63; i++)
        strcat(text, "n");
    parse("", text, text, NULL);
    CU_ASSERT(n == 2 && freed == 1 << 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(messages, "module 2: there is already a domain \"nnn"));
    refused(strcat(text, "n"), "bad value in \"domain=nnn");
    parse("", "", "ramdisk-of=Domain-0", NULL);
    CU_ASSERT(freed == 1 << 2 && list[0].ramdisk == module(1));
    CU_ASSERT_PTR_NOT_NULL(strstr(messages, "module 2: a second ramdisk of \"Domain-0\""));
}

static void test_as_many_as_the_boot_loader_can_give(void)
{
    static const char d[] = "memory=1M domain=";

    boot_info.nr_modules = BOOT_MAX_MODULES;
    for (unsigned int i = 0; i < BOOT_MAX_MODULES; i++)
        snprintf(boot_info.modules[i].cmdline, BOOT_CMDLINE_BYTES, "%sd%u", d, i);
    CU_ASSERT_EQUAL(modules_parse(list), BOOT_MAX_MODULES + 1);
    CU_ASSERT_PTR_NULL(list[0].kernel);
    for (unsigned int i = 0; i < BOOT_MAX_MODULES; i++)
        CU_ASSERT_PTR_EQUAL(list[i + 1].kernel, module(i));
}

/* Texts of pieces in any order: a domain is whole, or it is not there. */
static void test_any_text_is_taken_or_refused(void)
{
    static const char *const pieces[] = {
        "domain=", "memory=", "vcpus=", "role=", "ramdisk-of=", "console",
        "--",      " ",       "\t",     "a",     "1M",          "64",
        "guest",   "=",       ",",      "web",   "\x80",        "placeholder"
    };
    unsigned int taken = 0;

    for (unsigned int i = 0; i < 50000; i++) {
        char text[512] = "domain=w memory=1M";

        for (int k = rand() % 8; k > 0; k--)
            strcat(strcat(text, rand() % 2 ? " " : ""),
                   pieces[(size_t)rand() % ARRAY_SIZE(pieces)]);
        parse("", text + (rand() % 2 ? 0 : 9), NULL);
        CU_ASSERT(n == 1 ? list[0].ramdisk || messages[0] : n == 2 && !messages[0]);
        CU_ASSERT((freed == 2) == (messages[0] != 0) && (freed & 1) == 0);
        if (n == 2) {
            taken++;
            CU_ASSERT(list[1].name[0] && list[1].mem_bytes[0] && !(list[1].roles & ~ROLES_ALL));
            CU_ASSERT(list[1].nr_vcpus >= 1 && list[1].nr_vcpus <= MAX_VCPUS &&
                      list[1].console <= 1);
            CU_ASSERT(list[1].cmdline >= module(1)->cmdline &&
                      list[1].cmdline <= module(1)->cmdline + strlen(module(1)->cmdline));
        }
    }
    CU_ASSERT(taken > 1000);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("modules", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_texts_without_our_words_are_domain_0s);
    T(test_all_words_of_a_domain);
    T(test_modules_may_come_in_any_order);
    T(test_what_is_wrong_is_named);
    T(test_as_many_as_the_boot_loader_can_give);
    T(test_any_text_is_taken_or_refused);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
