/* domain/elf.c: a kernel like Debian's, and what a hostile one tries. Images are exact, for ASan. */
#include <CUnit/Basic.h>
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"
#include "domain/elf.h"
#include <xen/elfnote.h>

#define TEXT_OFF 0x1000
#define IMAGE_BYTES 0x3000
#define BASE 0xffffffff80000000ULL

static uint8_t image[IMAGE_BYTES];
static struct elf_kernel k;
static size_t notes_at, notes_len;

static Elf64_Ehdr *eh(void) { return (Elf64_Ehdr *)image; }
static Elf64_Phdr *ph(unsigned int i) { return (Elf64_Phdr *)(image + sizeof(Elf64_Ehdr)) + i; }

static void note(uint32_t type, const void *desc, uint32_t len)
{
    Elf64_Nhdr n = { 4, len, type };

    memcpy(image + notes_at + notes_len, &n, sizeof(n));
    memcpy(image + notes_at + notes_len + 12, "Xen", 4);
    memcpy(image + notes_at + notes_len + 16, desc, len);
    notes_len += 16 + ROUND_UP(len, 4u);
    ph(3)->p_filesz = ph(3)->p_memsz = notes_len;
}
static void note_text(uint32_t type, const char *s) { note(type, s, (uint32_t)strlen(s) + 1); }
static void note_num(uint32_t type, uint64_t v) { note(type, &v, 8); }

static void bare(void)
{
    memset(image, 0, sizeof(image));
    memcpy(eh()->e_ident, "\177ELF\2\1\1", 7);
    eh()->e_type = ET_EXEC;
    eh()->e_machine = EM_X86_64;
    eh()->e_phoff = sizeof(Elf64_Ehdr);
    eh()->e_phentsize = sizeof(Elf64_Phdr);
    eh()->e_phnum = 4;
    eh()->e_entry = BASE + 0x1000040;
    *ph(0) = (Elf64_Phdr){ PT_LOAD,   PF_R | PF_X, TEXT_OFF, BASE + 0x1000000,
                           0x1000000, 0x1000,      0x1000,   0x1000 };
    *ph(1) = (Elf64_Phdr){ PT_LOAD, PF_R | PF_W, 0x2000, 0, 0x1004000, 0x800, 0x5000, 0x1000 };
    *ph(2) = (Elf64_Phdr){ PT_LOAD, PF_R, 0x2800, 0, 0x1003000, 0, 0, 0x1000 };
    *ph(3) = (Elf64_Phdr){ PT_NOTE, PF_R, notes_at = 0x400, 0, 0, 0, 0, 4 };
    notes_len = 0;
}

static void linux_like(void)
{
    static const uint64_t valid[2] = { 1, 1 };

    bare();
    note_text(XEN_ELFNOTE_GUEST_OS, "linux");
    note_text(XEN_ELFNOTE_GUEST_VERSION, "2.6");
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    note_num(XEN_ELFNOTE_VIRT_BASE, BASE);
    note_num(XEN_ELFNOTE_PADDR_OFFSET, 0);
    note_num(XEN_ELFNOTE_INIT_P2M, 0x8000000000);
    note_num(XEN_ELFNOTE_ENTRY, BASE + 0x10001c0);
    note_text(XEN_ELFNOTE_FEATURES, "!writable_page_tables|pae_pgdir_above_4gb");
    note(XEN_ELFNOTE_SUPPORTED_FEATURES, &(uint32_t){ 0x8801 }, 4);
    note_text(XEN_ELFNOTE_PAE_MODE, "yes");
    note_text(XEN_ELFNOTE_LOADER, "generic");
    note(XEN_ELFNOTE_L1_MFN_VALID, valid, 16);
    note(XEN_ELFNOTE_SUSPEND_CANCEL, &(uint32_t){ 1 }, 4);
    note(XEN_ELFNOTE_MOD_START_PFN, "\1", 1);
    note_num(XEN_ELFNOTE_HV_START_LOW, 0xffff800000000000);
    note(XEN_ELFNOTE_PHYS32_ENTRY, &(uint32_t){ 0x1000850 }, 4);
}

/* False: it is refused, see k.error. */
static bool parse_bytes(size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    bool ok;

    memcpy(exact, image, len);
    ok = elf_parse(&k, exact, len);
    CU_ASSERT_EQUAL(ok, k.error[0] == 0);
    free(exact);
    return ok;
}
static bool parse(void) { return parse_bytes(sizeof(image)); }

static void refused(const char *why)
{
    CU_ASSERT_FALSE(parse());
    if (!strstr(k.error, why)) {
        printf("\n\"%s\" does not say \"%s\"\n", k.error, why);
        CU_FAIL("error text");
    }
}

static void test_debians_notes_are_understood(void)
{
    linux_like();
    CU_ASSERT_TRUE_FATAL(parse());
    CU_ASSERT_EQUAL(k.nr_segments, 2); /* the empty one is no segment */
    CU_ASSERT_EQUAL(k.phys_start, 0x1000000);
    CU_ASSERT_EQUAL(k.phys_end, 0x1009000);
    CU_ASSERT_EQUAL(k.virt_base, BASE);
    CU_ASSERT_EQUAL(k.entry, BASE + 0x10001c0);
    CU_ASSERT_EQUAL(k.init_p2m, 0x8000000000);
    CU_ASSERT_EQUAL(k.hypercall_page, ELF_NONE);
    CU_ASSERT_TRUE(k.mod_start_pfn);
}

static void test_few_notes_have_the_abis_defaults(void)
{
    bare();
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-3.0");
    note_num(XEN_ELFNOTE_VIRT_BASE, BASE);
    note_num(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x1002000);
    CU_ASSERT_TRUE(parse());
    CU_ASSERT_EQUAL(k.entry, eh()->e_entry);
    CU_ASSERT_EQUAL(k.init_p2m, ELF_NONE);
    CU_ASSERT_EQUAL(k.hypercall_page, BASE + 0x1002000);
    CU_ASSERT_FALSE(k.mod_start_pfn);
    note_num(XEN_ELFNOTE_PADDR_OFFSET, 0x1000000); /* the kernel begins at pseudo-physical 0 */
    note_num(XEN_ELFNOTE_HYPERCALL_PAGE, BASE);
    note_num(XEN_ELFNOTE_ENTRY, BASE);
    CU_ASSERT_TRUE(parse());
    CU_ASSERT_EQUAL(k.phys_start, 0);
    CU_ASSERT_EQUAL(k.phys_end, 0x9000);
}

static void test_other_files_are_named(void)
{
    linux_like();
    memcpy(image + 0x202, "HdrS", 4);
    refused("is a bzImage; unpack it to ELF first");
    linux_like();
    memcpy(image, "\x1f\x8b\x08", 3);
    refused("no ELF file: it begins with 0x1f8b08");
    linux_like();
    memcpy(image,
           "\xfd"
           "7zXZ",
           6);
    refused("no ELF file: it begins with 0xfd377a58");
    linux_like();
    memcpy(image, "\x28\xb5\x2f\xfd", 4);
    refused("no ELF file: it begins with 0x28b52ffd");
    memcpy(image, "#!/b", 4);
    refused("no ELF file: it begins with 0x23212f62");
    linux_like();
    image[4] = 1;
    refused("64-bit x86-64 executable: class 1");
    linux_like();
    image[5] = 2;
    refused("data 2");
    linux_like();
    eh()->e_machine = EM_AARCH64;
    refused("machine 183");
    linux_like();
    eh()->e_type = ET_REL;
    refused("type 1");
    linux_like();
    ph(3)->p_type = PT_NULL;
    refused("no Xen ELF notes");
}

static void test_headers_outside_the_file_are_refused(void)
{
    linux_like();
    eh()->e_phoff = UINT64_MAX - 8;
    refused("truncated");
    linux_like();
    eh()->e_phoff = IMAGE_BYTES - 10;
    refused("truncated");
    linux_like();
    eh()->e_phnum = 0xffff;
    refused("truncated: 65535 program headers");
    linux_like();
    eh()->e_phentsize = 8;
    refused("program headers");
    linux_like();
    eh()->e_phnum = 0;
    refused("no Xen ELF notes");
}

static void test_bad_segments_are_refused(void)
{
    linux_like();
    ph(0)->p_offset = IMAGE_BYTES - 0xfff;
    refused("ends outside");
    linux_like();
    ph(0)->p_offset = UINT64_MAX;
    refused("ends outside");
    linux_like();
    ph(0)->p_filesz = 0x1001;
    refused("0x1001 bytes in the file");
    linux_like();
    ph(1)->p_memsz = UINT64_MAX;
    refused("segment at 0x1004000");
    linux_like();
    ph(1)->p_paddr = 0x1000fff;
    refused("overlap");
    linux_like();
    note_num(XEN_ELFNOTE_PADDR_OFFSET, 0x1000001);
    refused("segment at 0x1000000, PADDR_OFFSET 0x1000001");
    linux_like();
    ph(0)->p_type = ph(1)->p_type = PT_NULL;
    refused("no segment");
    linux_like();
    eh()->e_phnum = 20;
    memcpy(image + 0x800, image + notes_at, notes_len); /* there will be program headers */
    ph(3)->p_offset = 0x800;
    for (unsigned int i = 4; i < 20; i++)
        *ph(i) = (Elf64_Phdr){ PT_LOAD, 0, 0, 0, 0x2000000 + i * 0x1000, 0, 0x1000, 0 };
    refused("more than 16 segments");
}

static void test_bad_addresses_are_refused(void)
{
    static const uint64_t bad_starts[] = { 0xffff800000000000, 0xffff87ffffff8000,
                                           0x00007fffffff8000, 0x0000800000000000,
                                           0xffff7fffffff8000, 0xffffffffffff7000,
                                           0xffffffffffff8000 };

    for (unsigned int i = 0; i < ARRAY_SIZE(bad_starts); i++) {
        linux_like();
        note_num(XEN_ELFNOTE_VIRT_BASE, bad_starts[i] - 0x1000000);
        note_num(XEN_ELFNOTE_ENTRY, bad_starts[i]);
        refused("address space");
    }
    linux_like();
    note_num(XEN_ELFNOTE_VIRT_BASE, 0xffffffffff000000); /* pfn 0 would not be below the kernel */
    refused("address space");
    linux_like();
    ph(1)->p_paddr = UINT64_MAX - 0x5000; /* rounding its end up would wrap */
    refused("segment at 0xffffffffffffafff");
    linux_like();
    ph(1)->p_paddr = (1ULL << 46) - 0x4fff;
    refused("segment at 0x3fffffffb001");
    linux_like();
    note_num(XEN_ELFNOTE_ENTRY, BASE + 0x1009000);
    refused("entry point 0xffffffff81009000");
    linux_like();
    note_num(XEN_ELFNOTE_ENTRY, BASE + 0xffffff);
    refused("entry point");
    linux_like();
    note_num(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x1009000);
    refused("HYPERCALL_PAGE");
    linux_like();
    note_num(XEN_ELFNOTE_HYPERCALL_PAGE, BASE + 0x1000800);
    refused("HYPERCALL_PAGE");
    linux_like();
    note_num(XEN_ELFNOTE_HYPERCALL_PAGE, 0xffff820000000000);
    refused("HYPERCALL_PAGE");
}

static void test_bad_notes_are_refused(void)
{
    linux_like();
    note(XEN_ELFNOTE_VIRT_BASE, "abc", 3);
    refused("Xen ELF note 3: a number of 3 bytes");
    linux_like();
    note_text(XEN_ELFNOTE_XEN_VERSION, "xen-4.0");
    refused("\"xen-4.0\"");
    linux_like();
    note_text(XEN_ELFNOTE_LOADER, "special");
    refused("LOADER");
    linux_like();
    note_text(XEN_ELFNOTE_FEATURES, "dom0|!warp_drive");
    refused("does not have: \"warp_drive\"");
    linux_like();
    note_text(XEN_ELFNOTE_FEATURES, "warp_drive||!|dom0");
    refused("does not have: \"|dom0\"");
    linux_like();
    note_text(XEN_ELFNOTE_FEATURES, "!supervisor_mode_kernel");
    refused("does not have: \"supervisor_mode_kernel\"");
    linux_like();
    note_text(XEN_ELFNOTE_FEATURES, "!auto_translated_physmap");
    refused("does not have: \"auto_translated_physmap\"");
    linux_like();
    note(XEN_ELFNOTE_FEATURES, "!dom0", 5); /* no NUL */
    CU_ASSERT_TRUE(parse());
    linux_like();
    ph(3)->p_filesz = IMAGE_BYTES;
    refused("note at offset 0x400");
    linux_like();
    memcpy(image + notes_at + 4, &(uint32_t){ UINT32_MAX }, 4);
    refused("description of 4294967295 bytes");
    linux_like();
    memcpy(image + notes_at, &(uint32_t){ UINT32_MAX }, 4);
    refused("name of 4294967295");
    linux_like();
    ph(3)->p_filesz -= 1; /* cuts the padding or the last byte, never reads past it */
    parse();
}

static void test_truncations_never_reach_outside(void)
{
    linux_like();
    for (size_t n = 0; n < IMAGE_BYTES - 0x800; n++) /* the last 0x800 bytes belong to nothing */
        CU_ASSERT_FALSE(parse_bytes(n));
    for (uint64_t n = 0; n < notes_len; n++) {
        linux_like();
        ph(3)->p_filesz = n;
        ph(3)->p_offset = IMAGE_BYTES - n; /* notes end with the file */
        memmove(image + IMAGE_BYTES - n, image + notes_at, n);
        parse();
    }
}

static void check_segments(void)
{
    for (uint32_t i = 0; i < k.nr_segments; i++) {
        const struct elf_segment *g = &k.segments[i];

        CU_ASSERT_TRUE(g->mem_bytes > 0 && g->file_bytes <= g->mem_bytes);
        CU_ASSERT_TRUE(g->paddr >= k.phys_start && g->paddr + g->mem_bytes <= k.phys_end);
        CU_ASSERT_TRUE(g->file_offset <= k.image_bytes &&
                       g->file_bytes <= k.image_bytes - g->file_offset);
    }
}

static void test_mutations_parse_or_fail_but_stay_inside(void)
{
    static uint8_t good[IMAGE_BYTES];
    unsigned int ok = 0;

    linux_like();
    memcpy(good, image, sizeof(image));
    for (unsigned int n = 0; n < 40000; n++) {
        memcpy(image, good, sizeof(image));
        for (int i = rand() % 4; i >= 0; i--) {
            size_t at = rand() % 2 ? (size_t)rand() % 0x120 : 0x400 + (size_t)rand() % notes_len;

            image[at] = (uint8_t)(rand() % 3 ? rand() : rand() % 2 ? 0 : 0xff);
        }
        if (parse()) {
            ok++;
            CU_ASSERT_TRUE(k.phys_start < k.phys_end && k.phys_end <= 1ULL << 46);
            CU_ASSERT_TRUE(k.entry - k.virt_base - k.phys_start < k.phys_end - k.phys_start);
            check_segments();
        }
    }
    CU_ASSERT_TRUE(ok > 100);
}

static void test_segments_are_where_the_headers_say(void)
{
    linux_like();
    note_num(XEN_ELFNOTE_PADDR_OFFSET, 0x1000000);
    note_num(XEN_ELFNOTE_ENTRY, BASE);
    CU_ASSERT_TRUE(parse());
    CU_ASSERT_TRUE(k.segments[0].paddr == 0 && k.segments[0].mem_bytes == 0x1000 &&
                   k.segments[0].file_bytes == 0x1000 && k.segments[0].file_offset == 0x1000);
    CU_ASSERT_TRUE(k.segments[1].paddr == 0x4000 && k.segments[1].mem_bytes == 0x5000 &&
                   k.segments[1].file_bytes == 0x800 && k.segments[1].file_offset == 0x2000);
    check_segments();
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("elf", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_debians_notes_are_understood);
    T(test_few_notes_have_the_abis_defaults);
    T(test_other_files_are_named);
    T(test_headers_outside_the_file_are_refused);
    T(test_bad_segments_are_refused);
    T(test_bad_addresses_are_refused);
    T(test_bad_notes_are_refused);
    T(test_truncations_never_reach_outside);
    T(test_mutations_parse_or_fail_but_stay_inside);
    T(test_segments_are_where_the_headers_say);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
