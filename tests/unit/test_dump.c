/* Cores of domains: what is in them, and that none lacks something. */
#include "stream_domain.h"

/* ---- cores ---- */

/* A section of the core, by its name. */
static const char *section(const char *core, size_t len, const char *name, size_t bytes)
{
    const Elf64_Ehdr *eh = (const Elf64_Ehdr *)core;
    const Elf64_Shdr *sh = (const Elf64_Shdr *)(core + eh->e_shoff);
    const char *names = core + sh[eh->e_shstrndx].sh_offset;

    for (unsigned int i = 1; i < eh->e_shnum; i++)
        if (strcmp(names + sh[i].sh_name, name) == 0) {
            CU_ASSERT_EQUAL(sh[i].sh_size, bytes);
            CU_ASSERT_TRUE_FATAL(sh[i].sh_offset + sh[i].sh_size <= len);
            return core + sh[i].sh_offset;
        }
    CU_FAIL_FATAL("no such section");
    return NULL;
}

static void test_a_core(void)
{
    const struct vcpu_guest_context *context;
    const uint64_t *pairs, *header;
    const char *pages, *note;
    size_t len;
    char *core;
    domid_t id;

    start();
    id = make_domain();
    CU_ASSERT_EQUAL_FATAL(guest_dump_core(&t, id, FILE_PATH), 0);
    CU_ASSERT_EQUAL(machine[id].pauses, 0);
    core = plat_file_read(FILE_PATH, &len);
    CU_ASSERT_EQUAL(memcmp(core, "\177ELF\2\1\1", 7), 0);
    CU_ASSERT_EQUAL(((const Elf64_Ehdr *)core)->e_type, ET_CORE);
    context = (const void *)section(core, len, ".xen_prstatus", sizeof(*context));
    CU_ASSERT_EQUAL(context->user_regs.rip, 0x1234);
    section(core, len, ".xen_shared_info", 4096);
    pairs = (const void *)section(core, len, ".xen_p2m", 15 * 16);
    pages = section(core, len, ".xen_pages", 15 * 4096);
    for (unsigned int i = 0; i < 15; i++) {
        CU_ASSERT_EQUAL(pairs[2 * i], i < HOLE ? i : i + 1);
        CU_ASSERT_EQUAL(pairs[2 * i + 1], mfn[pairs[2 * i]]);
        CU_ASSERT_EQUAL(memcmp(pages + i * 4096, machine_frame(mfn[pairs[2 * i]]), 4096), 0);
    }
    note = section(core, len, ".note.Xen", 16 + 16 + 32 + 16 + 1280 + 16 + 8);
    CU_ASSERT_STRING_EQUAL(note + 12, "Xen");
    header = (const uint64_t *)(note + 32);
    CU_ASSERT_TRUE(header[0] == 0xf00febed && header[1] == 1 && header[2] == 15);
    CU_ASSERT_EQUAL(header[3], 4096);
    CU_ASSERT_EQUAL(((const uint64_t *)(note + 80))[1], 17); /* of version 4.17 */
    free(core);
    end();
}

static void test_a_core_fails_at_each_call(void)
{
    unsigned int n = 0, nr_failed = 0;
    bool failed, reached;
    domid_t id;

    start();
    id = make_domain();
    do {
        machine_fail_at(++n);
        failed = guest_dump_core(&t, id, FILE_PATH) != 0;
        CU_ASSERT_EQUAL(is_file(), !failed);
        plat_file_remove(FILE_PATH);
        machine[id].pauses = 0; /* unpausing is a call, too */
        reached = machine_fail_at(0);
        CU_ASSERT_TRUE(reached || !failed);
        nr_failed += failed;
    } while (reached);
    /* Some it does without, as what the store says of how much the domain may have. */
    CU_ASSERT_TRUE(nr_failed > 20 && n - nr_failed < 6);
    CU_ASSERT_EQUAL(guest_dump_core(&t, 0, FILE_PATH), -1);
    end();
}

/* Whenever its memory goes, there is no file that lacks some of it. */
static void test_a_core_of_one_that_goes(void)
{
    domid_t id;

    start();
    id = make_domain();
    for (unsigned int n = 3; n < 5; n++) { /* after it has been read, and counted */
        machine[id].types_left = n;
        CU_ASSERT_EQUAL(guest_dump_core(&t, id, FILE_PATH), -1);
        CU_ASSERT_EQUAL(errno, ESRCH);
        CU_ASSERT_FALSE(is_file());
    }
    machine[id].types_left = 5;
    CU_ASSERT_EQUAL(guest_dump_core(&t, id, FILE_PATH), 0);
    end();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("dump", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_core);
    T(test_a_core_fails_at_each_call);
    T(test_a_core_of_one_that_goes);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
