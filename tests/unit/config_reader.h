/* What the tests of configurations share: a text is parsed, and what was reported is kept as text. */
#pragma once
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../dom0-tools/config.h"

static struct domain_config config;
static unsigned int allocations_left = 1u << 31; /* of the parser: then there is no memory */

void *test_malloc(size_t size);
void *test_calloc(size_t nr, size_t size);

void *test_malloc(size_t size)
{
    return allocations_left ? allocations_left--, malloc(size) : NULL;
}

void *test_calloc(size_t nr, size_t size)
{
    return allocations_left ? allocations_left--, calloc(nr, size) : NULL;
}

static char reports[4096]; /* "error FILE:LINE: TEXT\n" each */

static void report(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text)
{
    size_t len = strlen(reports);

    snprintf(reports + len, sizeof(reports) - len, "%s %s:%u: %s\n",
             level == PLAT_ERROR ? "error" : "warning", file, line, text);
}

static int parse_with(const char *text, const struct config_host *host, unsigned int nr_overrides,
                      char *const overrides[])
{
    char *exact =
        malloc(strlen(text) ? strlen(text) : 1); /* without a zero: the sanitizer sees more */
    struct config_source source = { .file = "f",
                                    .text = exact,
                                    .len_bytes = strlen(text),
                                    .overrides = overrides,
                                    .nr_overrides = nr_overrides,
                                    .host = host,
                                    .served = CONFIG_SERVE_DISK | CONFIG_SERVE_VIF,
                                    .report = report };
    int rc;

    memcpy(exact, text, strlen(text));
    reports[0] = '\0';
    memset(&config, 0x55, sizeof(config));
    rc = config_parse(&config, &source);
    free(exact);
    return rc;
}

/* Behind "name" and "kernel", which stand in the first line. */
#define FIRST "name='a'; kernel='k'\n"

static int parse(const char *text)
{
    char *whole = malloc(sizeof(FIRST) + strlen(text));
    int rc;

    strcat(strcpy(whole, FIRST), text);
    rc = parse_with(whole, NULL, 0, NULL);
    free(whole);
    return rc;
}

/* Nothing is reported. */
#define GOOD(text)                           \
    do {                                     \
        CU_ASSERT_EQUAL(parse(text), 0);     \
        CU_ASSERT_STRING_EQUAL(reports, ""); \
        if (reports[0])                      \
            printf("%s: %s", text, reports); \
    } while (0)

/* That is refused with exactly these reports. */
#define BAD(text, wanted)                        \
    do {                                         \
        CU_ASSERT_EQUAL(parse(text), -EINVAL);   \
        CU_ASSERT_STRING_EQUAL(reports, wanted); \
        if (strcmp(reports, wanted) != 0)        \
            printf("%s: %s", text, reports);     \
    } while (0)

/* What was parsed last, printed and parsed again, is the same, and so is its text. */
__attribute__((unused)) static bool repeats(void)
{
    static char first[65536 * 2], second[sizeof(first)];
    struct domain_config *before = malloc(sizeof(*before));
    size_t len = config_print(&config, first, sizeof(first));
    bool same;

    *before = config;
    same = len == strlen(first) && parse_with(first, NULL, 0, NULL) == 0 && reports[0] == '\0' &&
           memcmp(before, &config, sizeof(config)) == 0 &&
           config_print(&config, second, sizeof(second)) == len && strcmp(first, second) == 0;
    if (!same)
        printf("%s%s", first, reports);
    free(before);
    return same;
}
