/* ELF-64 object file format, and <xen/elfnote.h>. */
#include "domain/elf.h"

#include <xen/elfnote.h>
#include <xen/features.h>

#include "lib/lib.h"
#include "x86/pte.h"

struct elf_header {
    uint8_t magic[4], class, data, version, padding[9];
    uint16_t type, machine;
    uint32_t version2;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr { uint32_t type, flags; uint64_t offset, vaddr, paddr, filesz, memsz, align; };
struct elf_note { uint32_t namesz, descsz, type; };
_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_phdr) == 56, "ELF-64");

#define PHYS_END_MAX (1ULL << 46)

enum { ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62, PT_LOAD = 1, PT_NOTE = 4 };

/* What a PV kernel may require: what we announce, and the writable tables that Linux "requires". */
#define BIT(n) (1ULL << (n))
#define FEATURES_MET                                                                               \
    (BIT(XENFEAT_writable_page_tables) | BIT(XENFEAT_writable_descriptor_tables) |                 \
     BIT(XENFEAT_pae_pgdir_above_4gb) | BIT(XENFEAT_mmu_pt_update_preserve_ad) |                   \
     BIT(XENFEAT_highmem_assist) | BIT(XENFEAT_gnttab_map_avail_bits) | BIT(XENFEAT_dom0) |        \
     BIT(XENFEAT_memory_op_vnode_supported) | BIT(XENFEAT_direct_mapped))

/* Say what is wrong, and be false. */
#define fail(to, ...) (xl_snprintf((to)->error, sizeof((to)->error), __VA_ARGS__), false)

static bool in_file(const struct elf_kernel *k, uint64_t offset, uint64_t len)
{
    return offset <= k->image_bytes && len <= k->image_bytes - offset;
}

/* What people give us instead of an unpacked kernel. */
static bool check_not_packed(struct elf_kernel *k)
{
    static const struct { size_t offset, len; const char *magic, *name; } packed[] = {
        { 0x202, 4, "HdrS", "a bzImage" },
        { 0, 2, "\x1f\x8b", "gzip data" },
        { 0, 6, "\xfd" "7zXZ", "xz data" },
        { 0, 4, "\x28\xb5\x2f\xfd", "zstd data" },
    };

    for (unsigned int i = 0; i < ARRAY_SIZE(packed); i++)
        if (in_file(k, packed[i].offset, packed[i].len) &&
            memcmp(k->image + packed[i].offset, packed[i].magic, packed[i].len) == 0)
            return fail(k, "kernel is %s; unpack it to ELF first (Linux: scripts/extract-vmlinux)",
                        packed[i].name);
    return true;
}

static bool check_header(struct elf_kernel *k, struct elf_header *h)
{
    if (!check_not_packed(k))
        return false;
    if (k->image_bytes < sizeof(*h))
        return fail(k, "kernel is truncated: %zu bytes are no ELF file", k->image_bytes);
    memcpy(h, k->image, sizeof(*h));
    if (memcmp(h->magic, "\x7f" "ELF", 4) != 0)
        return fail(k, "kernel is no ELF file: it begins with 0x%02x%02x%02x%02x", h->magic[0],
                    h->magic[1], h->magic[2], h->magic[3]);
    if (h->class == 1)
        return fail(k, "kernel is a 32-bit ELF file; only 64-bit PV kernels are supported");
    if (h->class != 2 || h->data != 1 || h->version != 1)
        return fail(k, "kernel's ELF class %u, data %u, version %u are not 2, 1, 1", h->class,
                    h->data, h->version);
    if (h->machine != EM_X86_64 || (h->type != ET_EXEC && h->type != ET_DYN))
        return fail(k, "kernel's ELF machine %u, type %u are not an x86-64 executable", h->machine,
                    h->type);
    if (h->phentsize != sizeof(struct elf_phdr) ||
        !in_file(k, h->phoff, (uint64_t)h->phnum * h->phentsize))
        return fail(k, "kernel is truncated: %u program headers of %u bytes at 0x%lx", h->phnum,
                    h->phentsize, h->phoff);
    return true;
}

/* ---- notes ---- */

/* The description as text: it ends at the first NUL or with the note. */
static void note_text(char *to, size_t size, const uint8_t *desc, uint32_t len)
{
    size_t n = MIN(strnlen((const char *)desc, len), size - 1);

    memcpy(to, desc, n);
    to[n] = '\0';
}

/* By their bits, XENFEAT_*. */
static const char feature_names[] =
    "writable_page_tables|writable_descriptor_tables|auto_translated_physmap|"
    "supervisor_mode_kernel|pae_pgdir_above_4gb|mmu_pt_update_preserve_ad|highmem_assist|"
    "gnttab_map_avail_bits|hvm_callback_vector|hvm_safe_pvclock|hvm_pirqs|dom0|grant_map_identity|"
    "memory_op_vnode_supported";

static bool parse_features(struct elf_kernel *k, const char *s)
{
    while (*s) {
        bool required = *s == '!';
        const char *name = s + required, *bar = strchr(name, '|');
        size_t len = bar ? (size_t)(bar - name) : strlen(name);
        int bit = xl_word_index(feature_names, name, len);

        if (bit < 0 && required)
            return fail(k, "kernel requires the feature \"%.*s\", which we do not know", (int)len,
                        name);
        k->features_supported |= bit < 0 ? 0 : BIT(bit);
        k->features_required |= required ? BIT(bit) : 0;
        s = name + len + (bar != NULL);
    }
    return true;
}

static bool parse_text_note(struct elf_kernel *k, uint32_t type, const uint8_t *desc, uint32_t len)
{
    char text[160];

    note_text(text, sizeof(text), desc, len);
    switch (type) {
    case XEN_ELFNOTE_XEN_VERSION:
        return strcmp(text, "xen-3.0") == 0 ||
               fail(k, "Xen ELF note XEN_VERSION: \"%.40s\", not \"xen-3.0\"", text);
    case XEN_ELFNOTE_LOADER:
        return strcmp(text, "generic") == 0 ||
               fail(k, "Xen ELF note LOADER: \"%.40s\", not \"generic\"", text);
    case XEN_ELFNOTE_GUEST_OS: xl_strlcpy(k->guest_os, text, sizeof(k->guest_os)); return true;
    case XEN_ELFNOTE_GUEST_VERSION:
        xl_strlcpy(k->guest_version, text, sizeof(k->guest_version));
        return true;
    case XEN_ELFNOTE_FEATURES: return parse_features(k, text);
    default: return true; /* PAE_MODE, PHYS32_ENTRY, L1_MFN_VALID (the tools'), BSD_SYMTAB... */
    }
}

/* The notes that are a number; the others are texts, or not for us. */
#define NUMERIC_NOTES                                                                              \
    (1u << XEN_ELFNOTE_ENTRY | 1u << XEN_ELFNOTE_HYPERCALL_PAGE | 1u << XEN_ELFNOTE_VIRT_BASE |    \
     1u << XEN_ELFNOTE_PADDR_OFFSET | 1u << XEN_ELFNOTE_INIT_P2M |                                 \
     1u << XEN_ELFNOTE_MOD_START_PFN | 1u << XEN_ELFNOTE_HV_START_LOW |                            \
     1u << XEN_ELFNOTE_SUSPEND_CANCEL | 1u << XEN_ELFNOTE_SUPPORTED_FEATURES)

/* Numbers go to the array numbers, by type. */
static bool parse_note(struct elf_kernel *k, uint32_t type, const uint8_t *desc, uint32_t len,
                       uint64_t *numbers)
{
    if (type > XEN_ELFNOTE_MAX || !(NUMERIC_NOTES >> type & 1))
        return parse_text_note(k, type, desc, len);
    if (len != 1 && len != 2 && len != 4 && len != 8)
        return fail(k, "Xen ELF note %u: a number of %u bytes", type, len);
    numbers[type] = 0;
    memcpy(&numbers[type], desc, len);
    return true;
}

static void take_numbers(struct elf_kernel *k, const uint64_t *n)
{
    k->virt_base = n[XEN_ELFNOTE_VIRT_BASE] != ELF_NONE ? n[XEN_ELFNOTE_VIRT_BASE] : 0;
    k->entry = n[XEN_ELFNOTE_ENTRY];
    k->hypercall_page = n[XEN_ELFNOTE_HYPERCALL_PAGE];
    k->init_p2m = n[XEN_ELFNOTE_INIT_P2M];
    k->hv_start_low = n[XEN_ELFNOTE_HV_START_LOW];
    k->mod_start_pfn = n[XEN_ELFNOTE_MOD_START_PFN] + 1 > 1; /* there, and not 0 */
    k->suspend_cancel = n[XEN_ELFNOTE_SUSPEND_CANCEL] + 1 > 1;
    if (n[XEN_ELFNOTE_SUPPORTED_FEATURES] != ELF_NONE)
        k->features_supported |= n[XEN_ELFNOTE_SUPPORTED_FEATURES];
}

/* All Xen notes of one PT_NOTE segment; *nr counts them. */
static bool parse_note_segment(struct elf_kernel *k, const struct elf_phdr *ph, uint64_t *numbers,
                               uint32_t *nr)
{
    const uint8_t *p;
    uint64_t left = ph->filesz;

    if (!in_file(k, ph->offset, left))
        return fail(k, "kernel is truncated: notes at 0x%lx, 0x%lx bytes, end outside the file",
                    ph->offset, left);
    for (p = k->image + ph->offset; left >= sizeof(struct elf_note);) {
        struct elf_note note;
        uint64_t name_bytes, all_bytes;

        memcpy(&note, p, sizeof(note));
        name_bytes = ROUND_UP((uint64_t)note.namesz, 4UL);
        all_bytes = sizeof(note) + name_bytes + note.descsz; /* 32-bit sizes: cannot wrap */
        if (all_bytes > left)
            return fail(k, "ELF note %u: name of %u, description of %u bytes do not fit into %lu",
                        note.type, note.namesz, note.descsz, left);
        if (note.namesz == 4 && memcmp(p + sizeof(note), "Xen", 4) == 0) {
            ++*nr;
            if (!parse_note(k, note.type, p + sizeof(note) + name_bytes, note.descsz, numbers))
                return false;
        }
        all_bytes = MIN(ROUND_UP(all_bytes, 4UL), left);
        p += all_bytes;
        left -= all_bytes;
    }
    return true;
}

/* ---- segments ---- */

static bool add_segment(struct elf_kernel *k, const struct elf_phdr *ph)
{
    if (ph->memsz == 0)
        return true;
    if (k->nr_segments == ELF_MAX_SEGMENTS)
        return fail(k, "kernel has more than %u segments", ELF_MAX_SEGMENTS);
    if (ph->filesz > ph->memsz || ph->memsz > UINT64_MAX - ph->paddr)
        return fail(k, "segment at 0x%lx: 0x%lx bytes in the file, 0x%lx in memory", ph->paddr,
                    ph->filesz, ph->memsz);
    if (!in_file(k, ph->offset, ph->filesz))
        return fail(k, "kernel is truncated: segment at offset 0x%lx, 0x%lx bytes, ends outside",
                    ph->offset, ph->filesz);
    k->segments[k->nr_segments++] =
        (struct elf_segment){ ph->paddr, ph->memsz, ph->filesz, ph->offset, ph->flags };
    return true;
}

/* Apply PADDR_OFFSET, refuse overlaps, find the range of all. */
static bool place_segments(struct elf_kernel *k, uint64_t offset)
{
    offset = offset == ELF_NONE ? 0 : offset;
    if (k->nr_segments == 0)
        return fail(k, "kernel has no segment to load");
    k->phys_start = UINT64_MAX;
    for (uint32_t i = 0; i < k->nr_segments; i++) {
        struct elf_segment *s = &k->segments[i];

        if (s->paddr < offset)
            return fail(k, "segment at 0x%lx: lies below PADDR_OFFSET 0x%lx", s->paddr, offset);
        s->paddr -= offset;
        for (uint32_t j = 0; j < i; j++) {
            const struct elf_segment *o = &k->segments[j];

            if (s->paddr < o->paddr + o->mem_bytes && o->paddr < s->paddr + s->mem_bytes)
                return fail(k, "segments at 0x%lx and 0x%lx overlap", o->paddr, s->paddr);
        }
        k->phys_start = MIN(k->phys_start, s->paddr);
        k->phys_end = MAX(k->phys_end, s->paddr + s->mem_bytes);
    }
    return true;
}

/* [va, va + len) and its end do not wrap, are canonical and outside the hypervisor's part. */
static bool va_range_usable(uint64_t va, uint64_t len)
{
    uint64_t last = va + (len - 1);

    if (last < va || last == UINT64_MAX || !va_is_canonical(va) || !va_is_canonical(last) ||
        (va >> 63) != (last >> 63))
        return false;
    return last < HV_VIRT_START || va >= HV_VIRT_END;
}

static bool check_addresses(struct elf_kernel *k)
{
    uint64_t len = k->phys_end - k->phys_start;

    k->virt_start = k->phys_start + k->virt_base;
    k->virt_end = k->virt_start + len;
    if (k->phys_end > PHYS_END_MAX)
        return fail(k, "kernel ends at pseudo-physical address 0x%lx", k->phys_end);
    if (k->virt_start < k->virt_base || !va_range_usable(k->virt_start, len))
        return fail(k, "kernel at 0x%lx, 0x%lx bytes: not in a guest's part of the address space",
                    k->virt_start, len);
    if (k->entry - k->virt_start >= len)
        return fail(k, "entry point 0x%lx lies outside the kernel, 0x%lx to 0x%lx", k->entry,
                    k->virt_start, k->virt_end);
    if (k->hypercall_page != ELF_NONE && (k->hypercall_page % PAGE_SIZE || len < PAGE_SIZE ||
                                          k->hypercall_page - k->virt_start > len - PAGE_SIZE))
        return fail(k, "Xen ELF note HYPERCALL_PAGE: 0x%lx is no page of the kernel",
                    k->hypercall_page);
    if (k->init_p2m != ELF_NONE &&
        (k->init_p2m % PAGE_SIZE || !va_range_usable(k->init_p2m, PAGE_SIZE) ||
         k->init_p2m - k->virt_start < len))
        return fail(k, "Xen ELF note INIT_P2M: 0x%lx is no usable address", k->init_p2m);
    if (k->hv_start_low != ELF_NONE && k->hv_start_low > HV_VIRT_START)
        return fail(k, "Xen ELF note HV_START_LOW: 0x%lx, but we begin at 0x%llx", k->hv_start_low,
                    HV_VIRT_START);
    if (k->features_required & ~FEATURES_MET)
        return fail(k, "kernel requires features 0x%llx, which a PV domain does not have",
                    k->features_required & ~FEATURES_MET);
    return true;
}

bool elf_parse(struct elf_kernel *k, const void *image, size_t image_bytes)
{
    uint64_t numbers[XEN_ELFNOTE_MAX + 1];
    struct elf_header h;
    uint32_t nr_notes = 0;

    *k = (struct elf_kernel){ .image = image, .image_bytes = image_bytes };
    for (uint32_t i = 0; i < ARRAY_SIZE(numbers); i++)
        numbers[i] = ELF_NONE;
    if (!check_header(k, &h))
        return false;
    for (uint32_t i = 0; i < h.phnum; i++) {
        struct elf_phdr ph;

        memcpy(&ph, k->image + h.phoff + i * sizeof(ph), sizeof(ph));
        if ((ph.type == PT_LOAD && !add_segment(k, &ph)) ||
            (ph.type == PT_NOTE && !parse_note_segment(k, &ph, numbers, &nr_notes)))
            return false;
    }
    if (nr_notes == 0)
        return fail(k, "kernel has no Xen ELF notes: it is not built for PV");
    take_numbers(k, numbers);
    if (k->entry == ELF_NONE)
        k->entry = h.entry;
    return place_segments(k, numbers[XEN_ELFNOTE_PADDR_OFFSET]) && check_addresses(k);
}

int elf_load(const struct elf_kernel *k, elf_put_fn *put, void *ctx)
{
    int rc = 0;

    for (uint32_t i = 0; i < k->nr_segments && rc == 0; i++) {
        const struct elf_segment *s = &k->segments[i];
        uint64_t at = s->paddr - k->phys_start;

        if (s->file_bytes)
            rc = put(ctx, at, k->image + s->file_offset, s->file_bytes);
        if (rc == 0 && s->mem_bytes > s->file_bytes)
            rc = put(ctx, at + s->file_bytes, NULL, s->mem_bytes - s->file_bytes);
    }
    return rc;
}
