/* x86/efi.c: tables of firmware and corrupt ones. Mappings are exact and as aligned as they are. */
#include <CUnit/Basic.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "x86/efi.h"

#define AT 0x7fe18000u /* where the memory below is */
#define TABLE (AT + 0x18)
#define RUNTIME (AT + 0x400)
#define CONFIG (AT + 0x600)

static uint8_t memory[0x1000];
static void *maps[16];
static unsigned int nr_maps;
static struct efi_info info;

static const void *map(uint64_t maddr, size_t len)
{
    if (maddr < AT || maddr >= AT + sizeof(memory) || len > AT + sizeof(memory) - maddr)
        return NULL;
    maps[nr_maps] = malloc(maddr % 8 + len);
    return memcpy((char *)maps[nr_maps++] + maddr % 8, memory + (maddr - AT), len);
}

static void put(uint64_t maddr, uint64_t value, size_t len)
{
    memcpy(memory + (maddr - AT), &value, len);
}

/* Offsets as in the UEFI specification, 4.3. */
enum { T_REVISION = 8, T_RUNTIME = 88, T_NR_CONFIG = 104, T_CONFIG = 112, T_BYTES = 120 };

static void usual(void)
{
    fake_reset(1);
    memset(memory, 0xee, sizeof(memory));
    memset(&info, 0, sizeof(info));
    memset(memory + (TABLE - AT), 0xee, T_BYTES);
    put(TABLE, 0x5453595320494249, 8);
    put(TABLE + T_REVISION, 2 << 16 | 70, 4);
    put(TABLE + T_RUNTIME, RUNTIME, 8);
    put(RUNTIME, 0x56524553544e5552, 8);
    put(RUNTIME + 8, 2 << 16 | 60, 4);
    put(TABLE + T_NR_CONFIG, 11, 8);
    put(TABLE + T_CONFIG, CONFIG, 8);
}

static void read_at(uint64_t maddr)
{
    efi_read(&info, maddr, map);
    while (nr_maps)
        free(maps[--nr_maps]);
}

static bool nothing_was_taken(void)
{
    static const struct efi_info none;

    return memcmp(&info, &none, sizeof(info)) == 0;
}

static void test_the_firmwares_table_is_taken(void)
{
    usual();
    read_at(TABLE);
    CU_ASSERT_TRUE(info.is_efi);
    CU_ASSERT_EQUAL(info.revision, 2 << 16 | 70);
    CU_ASSERT_EQUAL(info.runtime_revision, 2 << 16 | 60);
    CU_ASSERT_EQUAL(info.config_tables, CONFIG);
    CU_ASSERT_EQUAL(info.nr_config_tables, 11);
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
}

static void test_without_a_system_table_there_is_no_uefi_and_no_word_of_it(void)
{
    usual();
    read_at(0);
    CU_ASSERT_TRUE(nothing_was_taken());
    CU_ASSERT_STRING_EQUAL(fake_printed, "");
}

static void test_a_table_that_cannot_be_mapped_is_named_and_left_out(void)
{
    static const uint64_t at[] = { 0x8000000000ULL, ~7ULL, AT + 0x1000 - T_BYTES + 8, 8 };

    for (unsigned int i = 0; i < ARRAY_SIZE(at); i++) {
        usual();
        read_at(at[i]);
        CU_ASSERT_TRUE(nothing_was_taken());
        CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "no system table"));
    }
}

static void test_a_table_without_the_signature_is_named_and_left_out(void)
{
    usual();
    put(TABLE + 7, 0, 1);
    read_at(TABLE);
    CU_ASSERT_TRUE(nothing_was_taken());
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "0x7fe18018"));
}

static void test_as_many_as_256_configuration_tables_are_believed(void)
{
    static const uint64_t too_many[] = { 257, 1ULL << 32, 1ULL << 32 | 5, ~0ULL };

    usual();
    put(TABLE + T_NR_CONFIG, 256, 8);
    read_at(TABLE);
    CU_ASSERT_TRUE(info.is_efi && info.nr_config_tables == 256);
    for (unsigned int i = 0; i < ARRAY_SIZE(too_many); i++) {
        usual();
        put(TABLE + T_NR_CONFIG, too_many[i], 8);
        read_at(TABLE);
        CU_ASSERT_TRUE(nothing_was_taken());
        CU_ASSERT_PTR_NOT_NULL(strstr(fake_printed, "no system table"));
    }
}

static void test_a_table_that_ends_with_memory_is_taken(void)
{
    const uint64_t end = AT + sizeof(memory) - T_BYTES;

    usual();
    memmove(memory + (end - AT), memory + (TABLE - AT), T_BYTES);
    read_at(end);
    CU_ASSERT_TRUE(info.is_efi && info.nr_config_tables == 11);
}

static void test_runtime_services_that_cannot_be_mapped_have_no_revision(void)
{
    usual();
    put(TABLE + T_RUNTIME, AT + sizeof(memory) - 8, 8);
    read_at(TABLE);
    CU_ASSERT_TRUE(info.is_efi && info.runtime_revision == 0);
}

/* Any of its bytes may be wrong: no crash, and never more tables than that. */
static void test_a_table_of_random_bytes(void)
{
    srand(1);
    for (unsigned int n = 0; n < 20000; n++) {
        usual();
        for (unsigned int i = rand() % 8; i--;)
            put(TABLE + (uint64_t)rand() % T_BYTES / 8 * 8 + 8 * (n % 2), 0x10 * (uint64_t)rand(),
                8);
        read_at(TABLE);
        CU_ASSERT_FATAL(info.nr_config_tables <= 256);
        CU_ASSERT_FATAL(info.is_efi || nothing_was_taken());
    }
}

/* Found by fuzzing: nothing says that they are aligned. */
static void test_tables_at_odd_addresses_are_taken(void)
{
    usual();
    put(TABLE + T_RUNTIME, RUNTIME + 3, 8);
    memmove(memory + (RUNTIME + 3 - AT), memory + (RUNTIME - AT), 24);
    memmove(memory + (TABLE + 1 - AT), memory + (TABLE - AT), T_BYTES);
    read_at(TABLE + 1);
    CU_ASSERT_TRUE(info.is_efi);
    CU_ASSERT_EQUAL(info.runtime_revision, 2 << 16 | 60);
    CU_ASSERT_EQUAL(info.config_tables, CONFIG);
}

int main(void)
{
    CU_pSuite s;
    unsigned int failed;

    CU_initialize_registry();
    s = CU_add_suite("efi", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_the_firmwares_table_is_taken);
    T(test_without_a_system_table_there_is_no_uefi_and_no_word_of_it);
    T(test_a_table_that_cannot_be_mapped_is_named_and_left_out);
    T(test_a_table_without_the_signature_is_named_and_left_out);
    T(test_as_many_as_256_configuration_tables_are_believed);
    T(test_a_table_that_ends_with_memory_is_taken);
    T(test_runtime_services_that_cannot_be_mapped_have_no_revision);
    T(test_tables_at_odd_addresses_are_taken);
    T(test_a_table_of_random_bytes);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
