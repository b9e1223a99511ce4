/* Multiboot2 specification, section 3.6 "Boot information format". */
#include "x86/multiboot.h"

#include "lib/lib.h"

enum { TAG_END = 0, TAG_CMDLINE = 1, TAG_LOADER = 2, TAG_MODULE = 3, TAG_MMAP = 6 };
enum { TAG_FRAMEBUFFER = 8, TAG_EFI64 = 12, TAG_RSDP_OLD = 14, TAG_RSDP_NEW = 15 };

struct tag {
    uint32_t type, bytes; /* all that some have */
    uint32_t start, end;  /* module */
};
struct tag_mmap {
    uint32_t type, bytes, entry_bytes, entry_version;
};
struct mmap_entry {
    uint64_t base, len;
    uint32_t type, reserved;
};
#define HEADER_BYTES 8u /* of each tag: type and length; of the whole: length and 0 */
#define RSDP_OLD_BYTES 20u

/* Say what is wrong, and be false. */
#define fail(to, ...) (xl_snprintf((to)->error, sizeof((to)->error), __VA_ARGS__), false)

/* The text of a tag, which need not have an end mark. */
static bool take_text(struct boot_info *bi, const struct tag *t, size_t offset, char *to,
                      size_t size)
{
    size_t len = strnlen((const char *)t + offset, t->bytes - offset);

    if (len >= size)
        return fail(bi, "Multiboot2 tag %u: text of %zu bytes, at most %zu are possible", t->type,
                    len, size - 1);
    memcpy(to, (const char *)t + offset, len);
    to[len] = '\0';
    return true;
}

/* A structure that is as we keep it; returns how many bytes of it there are. */
static uint32_t take_bytes(const struct tag *t, void *to, uint32_t size)
{
    uint32_t bytes = MIN(t->bytes - HEADER_BYTES, size);

    memcpy(to, &t->start, bytes);
    return bytes;
}

static bool take_module(struct boot_info *bi, const struct tag *t)
{
    struct boot_module *to = &bi->modules[bi->nr_modules];

    if (bi->nr_modules == BOOT_MAX_MODULES)
        return fail(bi, "more than %u modules", BOOT_MAX_MODULES);
    if (t->start > t->end)
        return fail(bi, "module %u: starts at 0x%x, but ends at 0x%x", bi->nr_modules, t->start,
                    t->end);
    to->start = t->start;
    to->end = t->end;
    bi->nr_modules++;
    return take_text(bi, t, sizeof(*t), to->cmdline, sizeof(to->cmdline));
}

/* Behind all others; continues the last one if it can. */
static bool add_range(struct boot_info *bi, uint64_t start, uint64_t end, uint32_t type)
{
    struct boot_range *last = bi->nr_ranges ? &bi->ranges[bi->nr_ranges - 1] : NULL;

    if (last && last->end == start && last->type == type) {
        last->end = end;
        return true;
    }
    if (bi->nr_ranges == BOOT_MAX_RANGES)
        return fail(bi, "memory map: more than %u ranges", BOOT_MAX_RANGES);
    bi->ranges[bi->nr_ranges++] = (struct boot_range){ start, end, type };
    return true;
}

static bool take_mmap(struct boot_info *bi, const struct tag *t)
{
    const struct tag_mmap *m = (const struct tag_mmap *)t;
    const char *p = (const char *)(m + 1);

    if (m->entry_bytes < sizeof(struct mmap_entry) || m->entry_bytes % 8)
        return fail(bi, "memory map: entries of %u bytes", m->entry_bytes);
    for (size_t left = t->bytes - sizeof(*m); left >= m->entry_bytes; left -= m->entry_bytes) {
        const struct mmap_entry *e = (const struct mmap_entry *)p;
        bool known = e->type >= BOOT_MEM_RAM && e->type <= BOOT_MEM_BAD;

        if (e->len && !add_range(bi, e->base, e->base + MIN(e->len, UINT64_MAX - e->base),
                                 known ? e->type : BOOT_MEM_RESERVED))
            return false;
        p += m->entry_bytes;
    }
    return true;
}

/* What a tag needs at least for us to look into it. */
static const uint8_t tag_min_bytes[] = {
    [TAG_MODULE] = sizeof(struct tag),
    [TAG_MMAP] = sizeof(struct tag_mmap),
    [TAG_FRAMEBUFFER] = HEADER_BYTES + offsetof(struct boot_framebuffer, reserved),
    [TAG_RSDP_OLD] = HEADER_BYTES + RSDP_OLD_BYTES,
    [TAG_RSDP_NEW] = HEADER_BYTES + sizeof(boot_info.rsdp)
};

static bool take_tag(struct boot_info *bi, const struct tag *t)
{
    if (t->type < sizeof(tag_min_bytes) && t->bytes < tag_min_bytes[t->type])
        return fail(bi, "Multiboot2 tag %u: only %u bytes", t->type, t->bytes);
    switch (t->type) {
    case TAG_CMDLINE: return take_text(bi, t, HEADER_BYTES, bi->cmdline, sizeof(bi->cmdline));
    case TAG_LOADER: return take_text(bi, t, HEADER_BYTES, bi->loader, sizeof(bi->loader));
    case TAG_MODULE: return take_module(bi, t);
    case TAG_MMAP: return take_mmap(bi, t);
    case TAG_FRAMEBUFFER:
        bi->has_framebuffer = take_bytes(t, &bi->framebuffer, sizeof(bi->framebuffer)) > 0;
        break;
    case TAG_EFI64: bi->is_efi = true; break;
    case TAG_RSDP_OLD:
    case TAG_RSDP_NEW: /* the new one has more */
        if (bi->rsdp_bytes <= RSDP_OLD_BYTES)
            bi->rsdp_bytes =
                take_bytes(t, bi->rsdp,
                           t->type == TAG_RSDP_OLD ? RSDP_OLD_BYTES : sizeof(bi->rsdp));
        break;
    }
    return true;
}

/* The type that holds at address at, and where that may change; 0: nothing is known of it. */
static uint32_t type_at(const struct boot_range *r, uint32_t nr, uint64_t at, uint64_t *until)
{
    uint32_t type = 0;

    *until = UINT64_MAX;
    for (uint32_t i = 0; i < nr; i++) {
        if (r[i].start <= at && at < r[i].end) {
            type = MAX(type, r[i].type);
            *until = MIN(*until, r[i].end);
        } else if (r[i].start > at) {
            *until = MIN(*until, r[i].start);
        }
    }
    return type;
}

/* Sort and merge: walk from one border to the next, the highest type that covers a place holds. */
static bool sanitize_ranges(struct boot_info *bi)
{
    static struct boot_range in[BOOT_MAX_RANGES];
    uint32_t nr = bi->nr_ranges;
    uint64_t until;

    memcpy(in, bi->ranges, sizeof(in));
    bi->nr_ranges = 0;
    for (uint64_t at = 0; at != UINT64_MAX; at = until) {
        uint32_t type = type_at(in, nr, at, &until);

        if (type && !add_range(bi, at, until, type))
            return false;
    }
    return true;
}

bool multiboot_parse(struct boot_info *bi, const void *mbi, size_t max_bytes)
{
    size_t left = max_bytes < HEADER_BYTES ? 0 : *(const uint32_t *)mbi;
    const struct tag *t = (const struct tag *)((const char *)mbi + HEADER_BYTES);

    memset(bi, 0, sizeof(*bi));
    if (left < HEADER_BYTES || left > max_bytes)
        return fail(bi, "Multiboot2 information: %zu bytes long, at most %zu are possible", left,
                    max_bytes);
    left -= HEADER_BYTES;
    while (left >= HEADER_BYTES && t->bytes >= HEADER_BYTES && t->bytes <= left &&
           t->type != TAG_END) {
        size_t step = MIN(ROUND_UP((size_t)t->bytes, 8UL), left);

        if (!take_tag(bi, t))
            return false;
        t = (const struct tag *)((const char *)t + step);
        left -= step;
    }
    if (left < HEADER_BYTES || t->type != TAG_END)
        return fail(bi, "Multiboot2 information: malformed %zu bytes before its end", left);
    if (bi->nr_ranges == 0)
        return fail(bi, "the boot loader gave no memory map");
    return sanitize_ranges(bi);
}
