/*
 * Write kernels that a hypervisor must refuse, each wrong in one way, and one that is right ("good")
 * to prove that nothing else is wrong with them.
 *   usage: bad_elf KIND FILE
 * The kernel halts in a loop; its Xen notes are those that a 64-bit PV kernel needs.
 */
#include <elf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xen/elfnote.h>

#define VIRT_BASE 0xffffffff80000000u
#define LOAD_ADDRESS (VIRT_BASE + 0x1000000u)

enum { PAGE = 4096, NOTES_OFFSET = 512, TEXT_OFFSET = PAGE, FILE_BYTES = 2 * PAGE };

struct image {
    unsigned char bytes[FILE_BYTES];
    size_t len; /* of the file to be written */
    Elf64_Ehdr *header;
    Elf64_Phdr *text, *note;
};

static void add_note(struct image *im, uint32_t type, const void *desc, size_t len)
{
    Elf64_Nhdr *n = (Elf64_Nhdr *)(im->bytes + NOTES_OFFSET + im->note->p_filesz);
    unsigned char *name = (unsigned char *)(n + 1);

    *n = (Elf64_Nhdr){ .n_namesz = 4, .n_descsz = (Elf64_Word)len, .n_type = type };
    memcpy(name, "Xen", 4);
    memcpy(name + 4, desc, len);
    im->note->p_filesz += sizeof(*n) + 4 + ((len + 3) & ~(size_t)3);
}

static void add_number(struct image *im, uint32_t type, uint64_t value)
{
    add_note(im, type, &value, sizeof(value));
}

static void add_text(struct image *im, uint32_t type, const char *text)
{
    add_note(im, type, text, strlen(text) + 1);
}

/* What differs from a good kernel in its notes. */
struct notes {
    uint64_t entry, virt_base, init_p2m;
    const char *xen_version;
};

static void add_notes(struct image *im, const struct notes *notes)
{
    add_text(im, XEN_ELFNOTE_GUEST_OS, "bad_elf");
    add_text(im, XEN_ELFNOTE_XEN_VERSION, notes->xen_version);
    add_number(im, XEN_ELFNOTE_VIRT_BASE, notes->virt_base);
    add_number(im, XEN_ELFNOTE_PADDR_OFFSET, 0);
    add_number(im, XEN_ELFNOTE_ENTRY, notes->entry);
    add_number(im, XEN_ELFNOTE_INIT_P2M, notes->init_p2m);
    add_text(im, XEN_ELFNOTE_FEATURES, "!writable_page_tables|pae_pgdir_above_4gb");
    add_text(im, XEN_ELFNOTE_PAE_MODE, "yes");
    add_text(im, XEN_ELFNOTE_LOADER, "generic");
}

static void good(struct image *im, const struct notes *notes)
{
    static const unsigned char loop[] = { 0xf3, 0x90, 0xeb, 0xfc }; /* pause; jmp back */

    *im = (struct image){ .len = FILE_BYTES };
    im->header = (Elf64_Ehdr *)im->bytes;
    im->text = (Elf64_Phdr *)(im->header + 1);
    im->note = im->text + 1;
    *im->header = (Elf64_Ehdr){
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_entry = LOAD_ADDRESS,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = 2,
    };
    *im->text = (Elf64_Phdr){
        .p_type = PT_LOAD,
        .p_flags = PF_R | PF_W | PF_X,
        .p_offset = TEXT_OFFSET,
        .p_vaddr = LOAD_ADDRESS,
        .p_paddr = LOAD_ADDRESS - VIRT_BASE,
        .p_filesz = PAGE,
        .p_memsz = 4 * PAGE,
        .p_align = PAGE,
    };
    *im->note = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTES_OFFSET, .p_align = 4 };
    memcpy(im->bytes + TEXT_OFFSET, loop, sizeof(loop));
    add_notes(im, notes);
    im->note->p_memsz = im->note->p_filesz;
}

/* A 32-bit kernel, as far as the headers go. */
static void make_32_bit(struct image *im)
{
    Elf32_Ehdr *h = (Elf32_Ehdr *)im->bytes;

    memset(im->bytes, 0, NOTES_OFFSET);
    *h = (Elf32_Ehdr){
        .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS32, ELFDATA2LSB, EV_CURRENT },
        .e_type = ET_EXEC,
        .e_machine = EM_386,
        .e_version = EV_CURRENT,
        .e_entry = 0xc1000000,
        .e_phoff = sizeof(*h),
        .e_ehsize = sizeof(*h),
        .e_phentsize = sizeof(Elf32_Phdr),
        .e_phnum = 1,
    };
    *(Elf32_Phdr *)(h + 1) = (Elf32_Phdr){
        .p_type = PT_LOAD,
        .p_offset = TEXT_OFFSET,
        .p_vaddr = 0xc1000000,
        .p_paddr = 0x1000000,
        .p_filesz = PAGE,
        .p_memsz = PAGE,
        .p_flags = PF_R | PF_X,
    };
}

static bool make(struct image *im, const char *kind)
{
    struct notes notes = {
        .entry = LOAD_ADDRESS,
        .virt_base = VIRT_BASE,
        .init_p2m = 0x8000000000,
        .xen_version = "xen-3.0",
    };

    if (strcmp(kind, "entry-out-of-range") == 0)
        notes.entry = LOAD_ADDRESS + 0x40000000;
    else if (strcmp(kind, "base-out-of-range") == 0)
        notes.virt_base = 0xffff800000000000; /* the hypervisor's own area */
    else if (strcmp(kind, "p2m-out-of-range") == 0)
        notes.init_p2m = 0xffff880000000000 - PAGE;
    else if (strcmp(kind, "other-version") == 0)
        notes.xen_version = "xen-9.9";
    good(im, &notes);

    if (strcmp(kind, "good") == 0 || strstr(kind, "out-of-range") != NULL ||
        strcmp(kind, "other-version") == 0)
        return true;
    if (strcmp(kind, "no-notes") == 0)
        im->note->p_type = PT_NULL;
    else if (strcmp(kind, "note-too-long") == 0)
        ((Elf64_Nhdr *)(im->bytes + NOTES_OFFSET))->n_descsz = 0xfffffff0;
    else if (strcmp(kind, "notes-beyond-file") == 0)
        im->note->p_offset = 16 * PAGE;
    else if (strcmp(kind, "segment-beyond-file") == 0)
        im->text->p_filesz = 4 * PAGE;
    else if (strcmp(kind, "segment-wraps") == 0)
        im->text->p_offset = UINT64_MAX - PAGE + 1;
    else if (strcmp(kind, "headers-beyond-file") == 0)
        im->header->e_phoff = 16 * PAGE;
    else if (strcmp(kind, "too-large") == 0)
        im->text->p_memsz = (uint64_t)1 << 40;
    else if (strcmp(kind, "other-machine") == 0)
        im->header->e_machine = EM_AARCH64;
    else if (strcmp(kind, "32-bit") == 0)
        make_32_bit(im);
    else if (strcmp(kind, "short") == 0)
        im->len = 20;
    else
        return false;
    return true;
}

int main(int argc, char *argv[])
{
    static struct image im;
    FILE *f;

    if (argc != 3 || !make(&im, argv[1])) {
        fprintf(stderr, "usage: bad_elf KIND FILE\n");
        return 2;
    }
    f = fopen(argv[2], "wb");
    if (f == NULL || fwrite(im.bytes, 1, im.len, f) != im.len || fclose(f) != 0) {
        fprintf(stderr, "%s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    return 0;
}
