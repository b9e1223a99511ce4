/*
 * The initial ramdisk: a module behind the kernel, a cpio archive. Its files are found, before those
 * linked into the kernel; whole, also after all memory was used; read-only where it lies.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>
#include <rt/verdict.h>

#include <xen/memory.h>

static void expect_line(const char *path, const char *want)
{
    FILE *f = fopen(path, "r");
    char line[80] = "";

    if (!CHECK(f != NULL)) {
        printf("%s: errno %d\n", path, errno);
        return;
    }
    CHECK(fgets(line, sizeof(line), f) != NULL);
    if (!CHECK(strcmp(line, want) == 0))
        printf("%s: %s, not %s", path, line, want);
    CHECK(fgets(line, sizeof(line), f) == NULL);
    fclose(f);
}

/* The numbers from 1 on, one in a line: over a megabyte of them. */
static void expect_numbers(void)
{
    FILE *f = fopen("/numbers", "r");
    unsigned long n, want = 0;

    if (!CHECK(f != NULL))
        return;
    while (fscanf(f, "%lu", &n) == 1)
        if (!CHECK_EQ(n, ++want))
            break;
    CHECK_EQ(want, 200000);
    fclose(f);
}

static void use_all_memory(void)
{
    void **last = NULL;

    balloon(start_info->nr_pages);
    for (void **p; (p = page_alloc(1)) != NULL; last = p) {
        memset(p, 0xee, PAGE_BYTES);
        p[0] = last;
    }
    while (last) {
        void **next = last[0];

        page_free(last, 1);
        last = next;
    }
}

/* It is looked at where it lies, and stays so when somebody writes to the file. */
static void expect_view(struct plat_view *v)
{
    CHECK(v->len == 17 && memcmp(v->bytes, "from the ramdisk\n", 17) == 0 && v->copy == NULL);
}

static size_t nr_pages_now(void)
{
    domid_t self = DOMID_SELF;

    return (size_t)hc(memory_op, XENMEM_current_reservation, &self);
}

/* What the domain has grown by for a large file is the hypervisor's again when it is removed, or cannot be made. */
static void large_files(void)
{
    enum { MIB = 1 << 20, LARGE_MIB = 100 }; /* more than the domain has at the start */
    size_t before = nr_pages_now(), len;
    uint32_t word[1024];
    struct plat_file *f = plat_file_create("/large", LARGE_MIB * (uint64_t)MIB);

    if (!CHECK(f != NULL))
        return;
    CHECK(nr_pages_now() > before);
    CHECK_EQ(plat_file_put(f, "x", 1), 0); /* so that no page is written at once */
    for (uint32_t i = 0; i < LARGE_MIB * (MIB / sizeof(word)); i++) {
        for (uint32_t k = 0; k < 1024; k++)
            word[k] = i + k;
        if (!CHECK_EQ(plat_file_put(f, word, sizeof(word)), 0))
            break;
    }
    CHECK_EQ(plat_file_commit(f), 0);
    CHECK(plat_file_size("/large", &len) == 0 && len == LARGE_MIB * (size_t)MIB + 1);
    f = plat_file_open("/large");
    CHECK(f && plat_file_get(f, word, 1) == 1);
    for (uint32_t i = 0; f && i < LARGE_MIB * (MIB / sizeof(word)); i++)
        if (!CHECK_EQ(plat_file_get(f, word, sizeof(word)), (ssize_t)sizeof(word)) ||
            !CHECK(word[0] == i && word[1023] == i + 1023))
            break;
    plat_file_close(f);
    CHECK(plat_file_create("/other", 1u << 31) == NULL);
    CHECK_EQ(errno, ENOSPC);
    CHECK_EQ(plat_file_remove("/large"), 0);
    CHECK_EQ(nr_pages_now(), before);
}

int main(void)
{
    struct plat_view view = { .copy = NULL }, later;
    FILE *f;

    printf("ramdisk: %lu bytes, %s 0x%lx of %lu pages\n", (unsigned long)start_info->mod_len,
           start_info->flags & SIF_MOD_START_PFN ? "pfn" : "address",
           (unsigned long)start_info->mod_start, (unsigned long)start_info->nr_pages);
    if (start_info->mod_len == 0)
        verdict_error("the kernel was given no ramdisk");
    expect_line("/etc/both", "from the ramdisk\n");
    expect_line("/etc/linked", "only in the kernel\n");
    expect_line("a/b/c/deep", "deep\n");
    expect_line("./a/b/c/deep", "deep\n");
    CHECK(fopen("/a/b/c", "r") == NULL);
    expect_numbers();
    large_files();
    use_all_memory();
    expect_numbers();
    CHECK_EQ(plat_file_view("/etc/both", &view), 0);
    expect_view(&view);
    f = fopen("/etc/both", "a"); /* gets a copy of its own */
    if (CHECK(f != NULL)) {
        fprintf(f, "more\n");
        CHECK_EQ(fclose(f), 0);
    }
    f = fopen("/etc/both", "r+");
    if (CHECK(f != NULL)) {
        char text[40] = "";

        CHECK_EQ(fread(text, 1, sizeof(text), f), 22);
        CHECK(strcmp(text, "from the ramdisk\nmore\n") == 0);
        fclose(f);
    }
    expect_view(&view);
    plat_file_view_end(&view);
    CHECK_EQ(plat_file_view("/etc/both", &later), 0);
    CHECK(later.len == 22 && later.copy != NULL);
    plat_file_view_end(&later);
    expect_line("/a/b/c/deep", "deep\n");
    return verdict();
}
