/* Multiboot2 specification, section 3.6 "Boot information format". */
#include "x86/multiboot.h"

#include "lib/lib.h"

enum { TAG_END = 0, TAG_CMDLINE = 1, TAG_LOADER = 2, TAG_MODULE = 3, TAG_MMAP = 6 };
enum { TAG_FRAMEBUFFER = 8, TAG_EFI64 = 12, TAG_RSDP_OLD = 14, TAG_RSDP_NEW = 15 };

struct tag {
    uint32_t type, bytes; /* all that some have */
    uint32_t start, end;  /* module; start is the size of an entry in the memory map */
};
struct mmap_entry {
    uint64_t base, len;
    uint32_t type, reserved;
};
#define HEADER_BYTES 8u /* of each tag: type and length; of the whole: length and 0 */
#define RSDP_OLD_BYTES 20u

/* The text of a tag, which need not have an end mark. */
static void take_text(const struct tag *t, size_t offset, char *to, size_t size)
{
    size_t len = strnlen((const char *)t + offset, t->bytes - offset);

    if (len >= size)
        panic("Multiboot2 tag %u: text of %zu bytes, at most %zu are possible", t->type, len,
              size - 1);
    memcpy(to, (const char *)t + offset, len);
    to[len] = '\0';
}

/* A structure that is as we keep it; returns how many bytes of it there are. */
static uint32_t take_bytes(const struct tag *t, void *to, uint32_t size)
{
    uint32_t bytes = MIN(t->bytes - HEADER_BYTES, size);

    memcpy(to, &t->start, bytes);
    return bytes;
}

static void take_module(struct boot_info *bi, const struct tag *t)
{
    struct boot_module *to = &bi->modules[bi->nr_modules];

    if (bi->nr_modules == BOOT_MAX_MODULES)
        panic("more than %u modules", BOOT_MAX_MODULES);
    if (t->start > t->end)
        panic("module %u: starts at 0x%x, but ends at 0x%x", bi->nr_modules, t->start, t->end);
    *to = (struct boot_module){ .start = t->start, .end = t->end };
    bi->nr_modules++;
    take_text(t, sizeof(*t), to->cmdline, sizeof(to->cmdline));
}

/* Behind all others; continues the last one if it can. */
static void add_range(struct boot_info *bi, uint64_t start, uint64_t end, uint32_t type)
{
    struct boot_range *last = bi->nr_ranges ? &bi->ranges[bi->nr_ranges - 1] : NULL;

    if (last && last->end == start && last->type == type) {
        last->end = end;
        return;
    }
    if (bi->nr_ranges == BOOT_MAX_RANGES)
        panic("memory map: more than %u ranges", BOOT_MAX_RANGES);
    bi->ranges[bi->nr_ranges++] = (struct boot_range){ start, end, type };
}

/* Sort and merge: walk from one border to the next, the highest type that covers a place holds. */
static void take_mmap(struct boot_info *bi, const struct tag *t)
{
    const char *entries = (const char *)(t + 1), *end = (const char *)t + t->bytes;
    uint32_t entry_bytes = t->start;

    if (entry_bytes < sizeof(struct mmap_entry) || entry_bytes % 8)
        panic("memory map: entries of %u bytes", entry_bytes);
    bi->nr_ranges = 0; /* of several maps the last holds */
    for (uint64_t at = 0, until; at != UINT64_MAX; at = until) {
        uint32_t type = 0; /* nothing is known of it */

        until = UINT64_MAX;
        for (const char *p = entries; end - p >= entry_bytes; p += entry_bytes) {
            const struct mmap_entry *e = (const struct mmap_entry *)p;
            uint64_t e_end = e->base + MIN(e->len, UINT64_MAX - e->base);
            bool known = e->type >= BOOT_MEM_RAM && e->type <= BOOT_MEM_BAD;

            if (e->base > at) {
                until = MIN(until, e->base);
            } else if (e_end > at) {
                until = MIN(until, e_end);
                type = MAX(type, known ? e->type : BOOT_MEM_RESERVED);
            }
        }
        if (type)
            add_range(bi, at, until, type);
    }
}

/*
 * A framebuffer too short to have a type has type 0, which nobody uses; acpi_parse() checks the RSDP's
 * length. Of the others take_*() reads no more than there is.
 */
static void take_tag(struct boot_info *bi, const struct tag *t)
{
    if ((t->type == TAG_MODULE || t->type == TAG_MMAP) && t->bytes < sizeof(*t))
        panic("Multiboot2 tag %u: only %u bytes", t->type, t->bytes);
    switch (t->type) {
    case TAG_CMDLINE: take_text(t, HEADER_BYTES, bi->cmdline, sizeof(bi->cmdline)); break;
    case TAG_LOADER: take_text(t, HEADER_BYTES, bi->loader, sizeof(bi->loader)); break;
    case TAG_MODULE: take_module(bi, t); break;
    case TAG_MMAP: take_mmap(bi, t); break;
    case TAG_FRAMEBUFFER: take_bytes(t, &bi->framebuffer, sizeof(bi->framebuffer)); break;
    case TAG_EFI64: take_bytes(t, &bi->efi_system_table, sizeof(bi->efi_system_table)); break;
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW: /* the new one has more */
        if (bi->rsdp_bytes <= RSDP_OLD_BYTES)
            bi->rsdp_bytes = take_bytes(t, bi->rsdp, sizeof(bi->rsdp));
    }
}

void multiboot_parse(struct boot_info *bi, const void *mbi, size_t max_bytes)
{
    size_t left = max_bytes < HEADER_BYTES ? 0 : *(const uint32_t *)mbi, step = HEADER_BYTES;
    const struct tag *t = mbi;

    memset(bi, 0, sizeof(*bi));
    if (left < HEADER_BYTES || left > max_bytes)
        panic("Multiboot2 information: %zu bytes long, at most %zu are possible", left, max_bytes);
    for (;; step = ROUND_UP((size_t)t->bytes, 8UL)) {
        t = (const struct tag *)((const char *)t + step);
        left -= MIN(left, step);
        if (left < HEADER_BYTES || t->bytes < HEADER_BYTES || t->bytes > left)
            panic("Multiboot2 information: malformed %zu bytes before its end", left);
        if (t->type == TAG_END)
            break;
        take_tag(bi, t);
    }
    if (bi->nr_ranges == 0)
        panic("the boot loader gave no memory map");
}
