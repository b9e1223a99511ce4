/* guest_dump_core(); see toolstack.h. */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <platform.h>
#include <xen/elfnote.h>
#include <xen/version.h>

#include "hyp.h"
#include "p2m.h"
#include "toolstack.h"

#define MAGIC_PV 0xf00febedu
#define FORMAT_VERSION 1 /* 0.1: the upper half is the first number */

/* Sections, in the order in which they stand in the file. */
enum { NONE, NAMES, NOTE, CONTEXTS, SHARED_INFO, P2M, PAGES, NR_SECTIONS };

static const char names[] =
    "\0.shstrtab\0.note.Xen\0.xen_prstatus\0.xen_shared_info\0.xen_p2m\0.xen_pages";

struct note {
    uint32_t name_bytes, bytes, type;
    char name[4];
};

/* The notes. Their structures are the format's. */
struct notes {
    struct note none;
    struct note header;
    struct {
        uint64_t magic, nr_vcpus, nr_pages, page_size;
    } of_header;
    struct note version;
    struct {
        uint64_t major, minor;
        xen_extraversion_t extra;
        struct xen_compile_info compile;
        xen_capabilities_info_t capabilities;
        xen_changeset_info_t changeset;
        struct xen_platform_parameters platform;
        uint64_t page_size;
    } of_version;
    struct note format;
    uint64_t of_format;
};

struct dumper {
    struct toolstack *t;
    domid_t id;
    const char *path;
    struct plat_file *file;
    guest_info_t info;
    struct p2m_shared shared;
    struct p2m p2m;
    struct p2m_batch batch;
    struct vcpu_guest_context *contexts;
    uint32_t nr_vcpus;
    uint64_t nr_pages;
    struct notes notes;
    Elf64_Shdr section[NR_SECTIONS];
};

static int fail(struct dumper *d, const char *what)
{
    return toolstack_fail(d->t, errno, "domain %u: %s: %s", d->id, what, strerror(errno));
}

static int put(struct dumper *d, const void *data, size_t len)
{
    if (plat_file_put(d->file, data, len))
        return toolstack_fail(d->t, errno, "%s: %s", d->path, strerror(errno));
    return 0;
}

/* ---- what there is ---- */

static int count_pages(struct dumper *d)
{
    for (uint64_t page = 0; page < d->p2m.nr_pages;) {
        if (p2m_next(d->t, d->id, &d->p2m, &page, &d->batch))
            return -1;
        d->nr_pages += d->batch.nr;
    }
    return 0;
}

static int get_contexts(struct dumper *d)
{
    struct xen_domctl_getvcpuinfo info;
    uint64_t hard[4], soft[4];

    d->contexts = calloc(d->info.max_vcpu_id + 1ull, sizeof(*d->contexts));
    if (d->contexts == NULL)
        return fail(d, "its vCPUs");
    for (uint32_t v = 0; v <= d->info.max_vcpu_id; v++) {
        size_t len = sizeof(*d->contexts);

        if (hyp_vcpu(d->t->hyp, d->id, v, &info, hard, soft))
            return fail(d, "its vCPUs");
        if (!info.online)
            continue;
        if (hyp_get_state(d->t->hyp, d->id, v, HYP_BASIC, &d->contexts[d->nr_vcpus], &len))
            return fail(d, "registers of a vCPU");
        d->nr_vcpus++;
    }
    return 0;
}

static struct note note(uint32_t type, size_t bytes)
{
    return (struct note){ .name_bytes = 4, .bytes = (uint32_t)bytes, .type = type, .name = "Xen" };
}

static int get_notes(struct dumper *d)
{
    struct hyp *h = d->t->hyp;
    struct notes *n = &d->notes;
    struct hyp_version *v = malloc(sizeof(*v));

    if (v == NULL || hyp_version(h, v)) {
        free(v);
        return fail(d, "the hypervisor's version");
    }
    n->none = note(XEN_ELFNOTE_DUMPCORE_NONE, 0);
    n->header = note(XEN_ELFNOTE_DUMPCORE_HEADER, sizeof(n->of_header));
    n->of_header.magic = MAGIC_PV;
    n->of_header.nr_vcpus = d->nr_vcpus;
    n->of_header.nr_pages = d->nr_pages;
    n->of_header.page_size = HYP_PAGE;
    n->version = note(XEN_ELFNOTE_DUMPCORE_XEN_VERSION, sizeof(n->of_version));
    n->of_version.major = v->major;
    n->of_version.minor = v->minor;
    n->of_version.page_size = v->page_bytes;
    memcpy(n->of_version.extra, v->extra, sizeof(n->of_version.extra));
    n->of_version.compile = v->compile;
    memcpy(n->of_version.capabilities, v->capabilities, sizeof(n->of_version.capabilities));
    memcpy(n->of_version.changeset, v->changeset, sizeof(n->of_version.changeset));
    n->of_version.platform.virt_start = v->virt_start;
    free(v);
    n->format = note(XEN_ELFNOTE_DUMPCORE_FORMAT_VERSION, sizeof(n->of_format));
    n->of_format = FORMAT_VERSION;
    return 0;
}

/* ---- the file ---- */

static uint64_t lay_out(struct dumper *d)
{
    const struct {
        uint64_t bytes, entry, align;
    } of[NR_SECTIONS] = {
        [NAMES] = { sizeof(names), 0, 1 },
        [NOTE] = { sizeof(d->notes), 0, 4 },
        [CONTEXTS] = { d->nr_vcpus * sizeof(*d->contexts), sizeof(*d->contexts), 8 },
        [SHARED_INFO] = { HYP_PAGE, HYP_PAGE, 8 },
        [P2M] = { d->nr_pages * 2 * sizeof(uint64_t), 2 * sizeof(uint64_t), 8 },
        [PAGES] = { d->nr_pages * HYP_PAGE, HYP_PAGE, HYP_PAGE },
    };
    uint64_t at = sizeof(Elf64_Ehdr) + sizeof(d->section), name = 0;

    for (unsigned int i = NAMES; i < NR_SECTIONS; i++) {
        name += strlen(names + name) + 1;
        at = (at + of[i].align - 1) & -of[i].align;
        d->section[i] = (Elf64_Shdr){ .sh_name = (Elf64_Word)name,
                                      .sh_type = i == NAMES  ? SHT_STRTAB
                                                 : i == NOTE ? SHT_NOTE
                                                             : SHT_PROGBITS,
                                      .sh_offset = at,
                                      .sh_size = of[i].bytes,
                                      .sh_addralign = of[i].align,
                                      .sh_entsize = of[i].entry };
        at += of[i].bytes;
    }
    return at;
}

/* Zeros up to where the section begins; at is where the one before has ended. */
static int put_section(struct dumper *d, unsigned int i, const void *data)
{
    static const char zeros[HYP_PAGE];
    uint64_t at = i == NAMES ? sizeof(Elf64_Ehdr) + sizeof(d->section)
                             : d->section[i - 1].sh_offset + d->section[i - 1].sh_size;

    if (put(d, zeros, d->section[i].sh_offset - at))
        return -1;
    return data ? put(d, data, d->section[i].sh_size) : 0;
}

/* As many as were counted: of a domain that is destroyed meanwhile they become fewer. */
static int check_number(struct dumper *d, uint64_t nr)
{
    if (nr == d->nr_pages)
        return 0;
    return toolstack_fail(d->t, ESRCH, "domain %u: its memory has gone meanwhile", d->id);
}

static int put_p2m(struct dumper *d)
{
    uint64_t nr = 0;

    if (put_section(d, P2M, NULL))
        return -1;
    for (uint64_t page = 0; page < d->p2m.nr_pages;) {
        if (p2m_next(d->t, d->id, &d->p2m, &page, &d->batch))
            return -1;
        for (size_t i = 0; i < d->batch.nr; i++) {
            const uint64_t both[] = { d->batch.pfns[i], d->batch.frames[i] };

            if (put(d, both, sizeof(both)))
                return -1;
        }
        nr += d->batch.nr;
    }
    return check_number(d, nr);
}

static int put_batch(struct dumper *d)
{
    xenforeignmemory_handle *memory = hyp_memory(d->t->hyp);
    size_t n = d->batch.nr;
    void *at;
    int rc;

    if (n == 0)
        return 0;
    at = xenforeignmemory_map(memory, d->id, PROT_READ, n, d->batch.frames, NULL);
    if (at == NULL)
        return fail(d, "its memory cannot be mapped");
    rc = put(d, at, n * HYP_PAGE);
    xenforeignmemory_unmap(memory, at, n);
    return rc;
}

static int put_pages(struct dumper *d)
{
    uint64_t nr = 0;

    if (put_section(d, PAGES, NULL))
        return -1;
    for (uint64_t page = 0; page < d->p2m.nr_pages;) {
        if (p2m_next(d->t, d->id, &d->p2m, &page, &d->batch) || put_batch(d))
            return -1;
        nr += d->batch.nr;
    }
    return check_number(d, nr);
}

static int put_all(struct dumper *d)
{
    const Elf64_Ehdr head = { .e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
                                           ELFDATA2LSB, EV_CURRENT, ELFOSABI_SYSV },
                              .e_type = ET_CORE,
                              .e_machine = EM_X86_64,
                              .e_version = EV_CURRENT,
                              .e_shoff = sizeof(Elf64_Ehdr),
                              .e_ehsize = sizeof(Elf64_Ehdr),
                              .e_shentsize = sizeof(Elf64_Shdr),
                              .e_shnum = NR_SECTIONS,
                              .e_shstrndx = NAMES };

    if (put(d, &head, sizeof(head)) || put(d, d->section, sizeof(d->section)) ||
        put_section(d, NAMES, names) || put_section(d, NOTE, &d->notes) ||
        put_section(d, CONTEXTS, d->contexts) || put_section(d, SHARED_INFO, &d->shared) ||
        put_p2m(d))
        return -1;
    return put_pages(d);
}

static int dump(struct dumper *d)
{
    int rc;

    if (guest_info(d->t, d->id, &d->info) ||
        p2m_read(d->t, &d->info, &d->shared, &d->p2m, &d->batch) || count_pages(d) ||
        get_contexts(d) || get_notes(d))
        return -1;
    d->file = plat_file_create(d->path, lay_out(d));
    if (d->file == NULL)
        return toolstack_fail(d->t, errno, "%s: %s", d->path, strerror(errno));
    rc = put_all(d);
    if (rc)
        plat_file_close(d->file);
    else if ((rc = plat_file_commit(d->file)) != 0)
        toolstack_fail(d->t, errno, "%s: %s", d->path, strerror(errno));
    return rc;
}

int guest_dump_core(struct toolstack *t, domid_t id, const char *path)
{
    struct dumper *d;
    int rc, error;

    if (id == t->self)
        return toolstack_fail(t, EINVAL, "domain %u: not this domain itself", id);
    d = calloc(1, sizeof(*d));
    if (d == NULL)
        return toolstack_fail(t, ENOMEM, "no memory");
    d->t = t;
    d->id = id;
    d->path = path;
    rc = guest_pause(t, id);
    if (rc == 0) {
        rc = dump(d);
        error = errno;
        hyp_unpause(t->hyp, id);
        errno = error;
    }
    error = errno;
    p2m_free(&d->p2m);
    free(d->contexts);
    free(d);
    errno = error;
    return rc;
}
