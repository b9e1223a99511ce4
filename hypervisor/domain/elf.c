/* ELF-64 object file format, and <xen/elfnote.h>. */
#include "domain/elf.h"

#include <xen/elfnote.h>

#include "lib/lib.h"
#include "x86/pte.h"

struct elf_header {
    uint32_t magic;
    uint8_t class, data, version, padding[9];
    uint16_t type, machine;
    uint32_t version2;
    uint64_t entry, phoff, shoff;
    uint32_t flags;
    uint16_t ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
struct elf_phdr {
    uint32_t type, flags;
    uint64_t offset, vaddr, paddr, filesz, memsz, align;
};
struct elf_note {
    uint32_t namesz, descsz, type;
};
_Static_assert(sizeof(struct elf_header) == 64 && sizeof(struct elf_phdr) == 56, "ELF-64");

#define ELF_MAGIC 0x464c457fu
#define PHYS_END_MAX (1ULL << 46)

enum { ET_EXEC = 2, ET_DYN = 3, EM_X86_64 = 62, PT_LOAD = 1, PT_NOTE = 4 };

bool elf_bad(struct elf_kernel *k, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    xl_vsnprintf(k->error, sizeof(k->error), fmt, ap);
    va_end(ap);
    return false;
}

static bool in_file(const struct elf_kernel *k, uint64_t offset, uint64_t len)
{
    return offset <= k->image_bytes && len <= k->image_bytes - offset;
}

static bool check_header(struct elf_kernel *k, struct elf_header *h)
{
    if (in_file(k, 0x202, 4) && memcmp(k->image + 0x202, "HdrS", 4) == 0)
        return elf_bad(k, "kernel is a bzImage; unpack it to ELF first (scripts/extract-vmlinux)");
    if (k->image_bytes < sizeof(*h))
        return elf_bad(k, "kernel is truncated: %zu bytes are no ELF file", k->image_bytes);
    memcpy(h, k->image, sizeof(*h));
    if (h->magic != ELF_MAGIC)
        return elf_bad(k, "kernel is no ELF file: it begins with 0x%08x",
                       __builtin_bswap32(h->magic));
    if (h->class != 2 || h->data != 1 || h->version != 1 || h->machine != EM_X86_64 ||
        (h->type != ET_EXEC && h->type != ET_DYN))
        return elf_bad(
            k, "kernel is no 64-bit x86-64 executable: class %u, data %u, machine %u, type %u",
            h->class, h->data, h->machine, h->type);
    if (h->phentsize != sizeof(struct elf_phdr) ||
        !in_file(k, h->phoff, (uint64_t)h->phnum * h->phentsize))
        return elf_bad(k, "kernel is truncated: %u program headers of %u bytes at 0x%lx", h->phnum,
                       h->phentsize, h->phoff);
    return true;
}

/* ---- notes ---- */

/* What a PV kernel may require: what we announce, and the writable tables that Linux "requires". */
static const char features_met[] =
    "writable_page_tables|writable_descriptor_tables|pae_pgdir_above_4gb|mmu_pt_update_preserve_ad|"
    "highmem_assist|gnttab_map_avail_bits|dom0|memory_op_vnode_supported";

/* A list with bars between the names; "!": without it the kernel does not run. */
static bool check_features(struct elf_kernel *k, const char *list)
{
    while (list) {
        bool required = *list == '!';
        const char *name = list += required;

        if (xl_next_word(features_met, &list, '|') < 0 && required)
            return elf_bad(k, "kernel requires what a PV domain does not have: \"%s\"", name);
    }
    return true;
}

/* Those that are not here are for the tools, or for other kinds of guests. */
static bool parse_note(struct elf_kernel *k, uint32_t type, const char *desc, uint32_t len)
{
    uint64_t *const numbers[XEN_ELFNOTE_MAX + 1] = {
        [XEN_ELFNOTE_ENTRY] = &k->entry,         [XEN_ELFNOTE_HYPERCALL_PAGE] = &k->hypercall_page,
        [XEN_ELFNOTE_VIRT_BASE] = &k->virt_base, [XEN_ELFNOTE_PADDR_OFFSET] = &k->paddr_offset,
        [XEN_ELFNOTE_INIT_P2M] = &k->init_p2m,   [XEN_ELFNOTE_MOD_START_PFN] = &k->mod_start_pfn
    };
    char text[160]; /* ends at the first NUL or with the note */
    size_t n = MIN(strnlen(desc, len), sizeof(text) - 1);

    if (type <= XEN_ELFNOTE_MAX && numbers[type]) {
        if (len != 1 && len != 2 && len != 4 && len != 8)
            return elf_bad(k, "Xen ELF note %u: a number of %u bytes", type, len);
        *numbers[type] = 0;
        memcpy(numbers[type], desc, len);
        return true;
    }
    memcpy(text, desc, n);
    text[n] = '\0';
    if (type == XEN_ELFNOTE_FEATURES && !check_features(k, text))
        return false;
    if (type == XEN_ELFNOTE_XEN_VERSION && strncmp(text, "xen-3.0", sizeof(text)) != 0)
        return elf_bad(k, "Xen ELF note XEN_VERSION: \"%s\", not \"xen-3.0\"", text);
    if (type == XEN_ELFNOTE_LOADER && strncmp(text, "generic", sizeof(text)) != 0)
        return elf_bad(k, "Xen ELF note LOADER: \"%s\", not \"generic\"", text);
    return true;
}

/* All Xen notes of one PT_NOTE segment. */
static bool parse_notes(struct elf_kernel *k, const struct elf_phdr *ph)
{
    const char *p = (const char *)k->image + ph->offset, *desc;
    uint64_t left = ph->filesz, bytes;
    struct elf_note note;

    for (; left >= sizeof(note); p += bytes, left -= bytes) {
        memcpy(&note, p, sizeof(note));
        desc = p + sizeof(note) + ROUND_UP((uint64_t)note.namesz, 4UL);
        bytes = (uint64_t)(desc - p) + note.descsz; /* 32-bit sizes: cannot wrap */
        if (bytes > left)
            return elf_bad(k,
                           "ELF note %u: name of %u, description of %u bytes do not fit into %lu",
                           note.type, note.namesz, note.descsz, left);
        if (note.namesz == 4 && memcmp(p + sizeof(note), "Xen", 4) == 0) {
            k->nr_notes++;
            if (!parse_note(k, note.type, desc, note.descsz))
                return false;
        }
        bytes = MIN(ROUND_UP(bytes, 4UL), left);
    }
    return true;
}

/* ---- segments ---- */

static bool add_segment(struct elf_kernel *k, const struct elf_phdr *ph)
{
    uint64_t start = ph->paddr - k->paddr_offset, end = start + ph->memsz;

    if (ph->memsz == 0)
        return true;
    if (k->nr_segments == ELF_MAX_SEGMENTS)
        return elf_bad(k, "kernel has more than %u segments", ELF_MAX_SEGMENTS);
    if (ph->filesz > ph->memsz || start > PHYS_END_MAX || ph->memsz > PHYS_END_MAX - start)
        return elf_bad(
            k, "segment at 0x%lx, PADDR_OFFSET 0x%lx: 0x%lx bytes in the file, 0x%lx in memory",
            ph->paddr, k->paddr_offset, ph->filesz, ph->memsz);
    for (const struct elf_segment *o = k->segments; o < k->segments + k->nr_segments; o++)
        if (start < o->paddr + o->mem_bytes && o->paddr < end)
            return elf_bad(k, "segments at 0x%lx and 0x%lx overlap", o->paddr, start);
    k->segments[k->nr_segments++] =
        (struct elf_segment){ start, ph->memsz, ph->filesz, ph->offset };
    k->phys_start = MIN(k->phys_start, start);
    k->phys_end = MAX(k->phys_end, end);
    return true;
}

/* Parse all program headers of a type with fn; what they name lies in the file. */
static bool parse_all(struct elf_kernel *k, const struct elf_header *h, uint32_t type,
                      bool (*fn)(struct elf_kernel *k, const struct elf_phdr *ph))
{
    for (uint32_t i = 0; i < h->phnum; i++) {
        struct elf_phdr ph;

        memcpy(&ph, k->image + h->phoff + i * sizeof(ph), sizeof(ph));
        if (ph.type != type)
            continue;
        if (!in_file(k, ph.offset, ph.filesz))
            return elf_bad(k, "kernel is truncated: %s at offset 0x%lx, 0x%lx bytes, ends outside",
                           type == PT_LOAD ? "segment" : "note", ph.offset, ph.filesz);
        if (!fn(k, &ph))
            return false;
    }
    return true;
}

bool va_range_usable(uint64_t start, uint64_t end)
{
    return start % PAGE_SIZE == 0 && start < end && va_is_canonical(start) &&
           va_is_canonical(end - 1) && start >> 47 == (end - 1) >> 47 &&
           (end <= HV_VIRT_START || start >= HV_VIRT_END);
}

bool elf_parse(struct elf_kernel *k, const void *image, size_t image_bytes)
{
    struct elf_header h = { .phnum = 0 };
    uint64_t start, len;

    *k = (struct elf_kernel){ .image = image, .image_bytes = image_bytes };
    k->init_p2m = k->hypercall_page = ELF_NONE;
    k->phys_start = UINT64_MAX;
    if (!check_header(k, &h))
        return false;
    k->entry = h.entry;
    if (!parse_all(k, &h, PT_NOTE, parse_notes))
        return false;
    if (k->nr_notes == 0)
        return elf_bad(k, "kernel has no Xen ELF notes: it is not built for PV");
    if (!parse_all(k, &h, PT_LOAD, add_segment)) /* PADDR_OFFSET, a note, moves them */
        return false;
    if (k->nr_segments == 0)
        return elf_bad(k, "kernel has no segment to load");
    start = k->virt_base + k->phys_start;
    len = k->phys_end - k->phys_start;
    if (!va_range_usable(k->virt_base, start + len))
        return elf_bad(k,
                       "kernel at 0x%lx, 0x%lx bytes: not in a guest's part of the address space",
                       start, len);
    if (k->entry - start >= len)
        return elf_bad(k, "entry point 0x%lx lies outside the kernel, 0x%lx to 0x%lx", k->entry,
                       start, start + len);
    if (k->hypercall_page != ELF_NONE && (k->hypercall_page % PAGE_SIZE || len < PAGE_SIZE ||
                                          k->hypercall_page - start > len - PAGE_SIZE))
        return elf_bad(k, "Xen ELF note HYPERCALL_PAGE: 0x%lx is no page of the kernel",
                       k->hypercall_page);
    return true;
}
