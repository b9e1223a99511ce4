/* Multiboot2 specification, section 3.6 "Boot information format". */
#include "x86/multiboot.h"

#include "lib/lib.h"

enum { TAG_END = 0, TAG_CMDLINE = 1, TAG_LOADER = 2, TAG_MODULE = 3, TAG_MMAP = 6,
       TAG_FRAMEBUFFER = 8, TAG_EFI32 = 11, TAG_EFI64 = 12, TAG_RSDP_OLD = 14, TAG_RSDP_NEW = 15,
       TAG_EFI_BS = 18, TAG_LOAD_BASE = 21 };

struct header { uint32_t total_bytes, reserved; };
struct tag { uint32_t type, bytes; };
struct tag_module { struct tag tag; uint32_t start, end; };
struct tag_mmap { struct tag tag; uint32_t entry_bytes, entry_version; };
struct mmap_entry { uint64_t base, len; uint32_t type, reserved; };
struct tag_framebuffer {
    struct tag tag;
    uint64_t maddr;
    uint32_t pitch, width, height;
    uint8_t bpp, type;
    uint16_t reserved;
    uint8_t colour[6];
};

/* Say what is wrong, and be false. */
#define fail(to, ...) (xl_snprintf((to)->error, sizeof((to)->error), __VA_ARGS__), false)

/* The text of a tag behind its fixed part; it need not have an end mark. */
static bool take_text(struct boot_info *bi, const struct tag *t, size_t offset, char *to,
                      size_t size)
{
    const char *text = (const char *)t + offset;
    size_t len = strnlen(text, t->bytes - offset);

    if (len >= size)
        return fail(bi, "Multiboot2 tag %u: text of %zu bytes, at most %zu are possible", t->type,
                    len, size - 1);
    memcpy(to, text, len);
    to[len] = '\0';
    return true;
}

static bool take_module(struct boot_info *bi, const struct tag *t)
{
    const struct tag_module *m = (const struct tag_module *)t;
    struct boot_module *to = &bi->modules[bi->nr_modules];

    if (bi->nr_modules == BOOT_MAX_MODULES)
        return fail(bi, "more than %u modules", BOOT_MAX_MODULES);
    if (m->start > m->end)
        return fail(bi, "module %u: starts at 0x%x, but ends at 0x%x", bi->nr_modules, m->start,
                    m->end);
    to->start = m->start;
    to->end = m->end;
    bi->nr_modules++;
    return take_text(bi, t, sizeof(*m), to->cmdline, sizeof(to->cmdline));
}

static uint32_t known_type(uint32_t type)
{
    return type >= BOOT_MEM_RAM && type <= BOOT_MEM_BAD ? type : BOOT_MEM_RESERVED;
}

static bool take_mmap(struct boot_info *bi, const struct tag *t)
{
    const struct tag_mmap *m = (const struct tag_mmap *)t;
    size_t left = t->bytes - sizeof(*m);
    const char *p = (const char *)(m + 1);

    if (m->entry_bytes < sizeof(struct mmap_entry) || m->entry_bytes % 8)
        return fail(bi, "memory map: entries of %u bytes", m->entry_bytes);
    for (; left >= m->entry_bytes; left -= m->entry_bytes, p += m->entry_bytes) {
        const struct mmap_entry *e = (const struct mmap_entry *)p;

        if (e->len == 0)
            continue;
        if (bi->nr_ranges == BOOT_MAX_RANGES)
            return fail(bi, "memory map: more than %u entries", BOOT_MAX_RANGES);
        bi->ranges[bi->nr_ranges++] = (struct boot_range){
            e->base, e->base + MIN(e->len, UINT64_MAX - e->base), known_type(e->type)
        };
    }
    return true;
}

static void take_framebuffer(struct boot_info *bi, const struct tag *t)
{
    const struct tag_framebuffer *f = (const struct tag_framebuffer *)t;
    struct boot_framebuffer *to = &bi->framebuffer;

    bi->has_framebuffer = true;
    *to = (struct boot_framebuffer){ .maddr = f->maddr, .pitch_bytes = f->pitch, .width = f->width,
                                     .height = f->height, .bpp = f->bpp, .type = f->type };
    if (f->type == 1 && t->bytes >= offsetof(struct tag_framebuffer, colour) + sizeof(f->colour))
        memcpy(&to->red_pos, f->colour, sizeof(f->colour));
}

static void take_rsdp(struct boot_info *bi, const struct tag *t)
{
    if (t->type == TAG_RSDP_OLD && bi->rsdp_bytes > 20)
        return; /* the new one has more */
    bi->rsdp_bytes =
        (uint32_t)MIN(t->bytes - sizeof(*t), t->type == TAG_RSDP_OLD ? 20 : sizeof(bi->rsdp));
    memcpy(bi->rsdp, t + 1, bi->rsdp_bytes);
}

/* What a tag needs at least for us to look into it. */
static const uint8_t tag_min_bytes[] = {
    [TAG_MODULE] = sizeof(struct tag_module), [TAG_MMAP] = sizeof(struct tag_mmap),
    [TAG_FRAMEBUFFER] = offsetof(struct tag_framebuffer, reserved), [TAG_EFI64] = 16,
    [TAG_RSDP_OLD] = 8 + 20, [TAG_RSDP_NEW] = 8 + 36, [TAG_LOAD_BASE] = 12,
};

static bool take_tag(struct boot_info *bi, const struct tag *t)
{
    if (t->type < sizeof(tag_min_bytes) && t->bytes < tag_min_bytes[t->type])
        return fail(bi, "Multiboot2 tag %u: only %u bytes", t->type, t->bytes);
    switch (t->type) {
    case TAG_CMDLINE: return take_text(bi, t, sizeof(*t), bi->cmdline, sizeof(bi->cmdline));
    case TAG_LOADER: return take_text(bi, t, sizeof(*t), bi->loader, sizeof(bi->loader));
    case TAG_MODULE: return take_module(bi, t);
    case TAG_MMAP: return take_mmap(bi, t);
    case TAG_FRAMEBUFFER: take_framebuffer(bi, t); break;
    case TAG_RSDP_OLD: case TAG_RSDP_NEW: take_rsdp(bi, t); break;
    case TAG_EFI32: bi->is_efi = true; break;
    case TAG_EFI64:
        bi->is_efi = true;
        memcpy(&bi->efi_system_table, t + 1, sizeof(bi->efi_system_table));
        break;
    case TAG_EFI_BS: return fail(bi, "the boot loader has not exited UEFI's boot services");
    case TAG_LOAD_BASE: memcpy(&bi->load_base, t + 1, sizeof(bi->load_base)); break;
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
        struct boot_range *last = bi->nr_ranges ? &bi->ranges[bi->nr_ranges - 1] : NULL;
        uint32_t type = type_at(in, nr, at, &until);

        if (type == 0)
            continue;
        if (last && last->end == at && last->type == type) {
            last->end = until;
            continue;
        }
        if (bi->nr_ranges == BOOT_MAX_RANGES)
            return fail(bi, "memory map: more than %u ranges after resolving overlaps",
                        BOOT_MAX_RANGES);
        bi->ranges[bi->nr_ranges++] = (struct boot_range){ at, until, type };
    }
    return true;
}

bool multiboot_parse(struct boot_info *bi, const void *mbi, size_t max_bytes)
{
    const struct header *h = mbi;
    size_t left;

    memset(bi, 0, sizeof(*bi));
    if (max_bytes < sizeof(*h) || h->total_bytes < sizeof(*h) || h->total_bytes > max_bytes)
        return fail(bi, "Multiboot2 information: %u bytes long, at most %zu are possible",
                    max_bytes < sizeof(*h) ? 0 : h->total_bytes, max_bytes);
    left = h->total_bytes - sizeof(*h);
    for (const char *p = (const char *)(h + 1);;) {
        const struct tag *t = (const struct tag *)p;
        size_t step;

        if (left < sizeof(*t))
            return fail(bi, "Multiboot2 information: no end tag in %u bytes", h->total_bytes);
        if (t->bytes < sizeof(*t) || t->bytes > left)
            return fail(bi, "Multiboot2 tag %u: %u bytes, but %zu are left", t->type, t->bytes,
                        left);
        if (t->type == TAG_END)
            break;
        if (!take_tag(bi, t))
            return false;
        step = ROUND_UP((size_t)t->bytes, (size_t)8);
        p += MIN(step, left);
        left -= MIN(step, left);
    }
    if (bi->nr_ranges == 0)
        return fail(bi, "the boot loader gave no memory map");
    return sanitize_ranges(bi);
}
