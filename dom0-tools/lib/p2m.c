/* See p2m.h. */
#include "p2m.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp.h"

#include "x86/pte.h" /* the hypervisor's */

enum { LIST_ENTRIES = HYP_PAGE / 8, MAP_BATCH = 256, LEVELS = 4, PFINFO_NONE = 15 };

#define MORE_PFNS 16 /* for a page: Linux makes room to grow to ten times its memory */
#define HOLES (GIB(4) >> PAGE_SHIFT)

uint64_t p2m_most(uint64_t nr_pages)
{
    const uint64_t most = UINT32_MAX - 1; /* a slot has 32 bits, as a stream's numbers have */

    return nr_pages < most / (2 * MORE_PFNS) ? MORE_PFNS * nr_pages + HOLES : most;
}

/* Looks into pages of a domain, one of each level at a time. */
struct reader {
    struct toolstack *t;
    domid_t id;
    uint64_t mfn[LEVELS + 1];
    const uint64_t *page[LEVELS + 1]; /* NULL: none */
};

static const uint64_t *look(struct reader *r, unsigned int level, uint64_t mfn)
{
    xenforeignmemory_handle *memory = hyp_memory(r->t->hyp);
    xen_pfn_t frame = mfn;

    if (r->page[level] && r->mfn[level] == mfn)
        return r->page[level];
    if (r->page[level])
        xenforeignmemory_unmap(memory, (void *)(uintptr_t)r->page[level], 1);
    r->page[level] = xenforeignmemory_map(memory, r->id, PROT_READ, 1, &frame, NULL);
    r->mfn[level] = mfn;
    if (r->page[level] == NULL)
        toolstack_fail(r->t, errno, "domain %u: its list of memory is at frame 0x%llx: %s", r->id,
                       (unsigned long long)mfn, strerror(errno));
    return r->page[level];
}

static void look_away(struct reader *r)
{
    int error = errno;

    for (unsigned int i = 0; i <= LEVELS; i++)
        if (r->page[i])
            xenforeignmemory_unmap(hyp_memory(r->t->hyp), (void *)(uintptr_t)r->page[i], 1);
    errno = error;
}

/* Each frame of the linear list, through the domain's own page tables. */
static int find_linear(struct reader *r, const struct arch_shared_info *arch, struct p2m *p)
{
    for (uint64_t i = 0; i < p->nr_list; i++) {
        uint64_t va = arch->p2m_vaddr + i * HYP_PAGE, mfn = arch->p2m_cr3 >> PAGE_SHIFT;

        for (unsigned int level = LEVELS; level; level--) {
            const uint64_t *table = look(r, level, mfn);
            uint64_t entry = table ? table[pt_index(va, level)] : 0;

            if (table == NULL)
                return -1;
            if (!(entry & PTE_P) || (level > 1 && entry & PTE_PS))
                return toolstack_fail(r->t, EINVAL, "domain %u: its list of memory is not mapped",
                                      r->id);
            mfn = pte_mfn(entry);
        }
        p->list[i] = mfn;
    }
    return 0;
}

/* The older form: a frame of frames of frames of the list. */
static int find_tree(struct reader *r, const struct arch_shared_info *arch, struct p2m *p)
{
    for (uint64_t i = 0; i < p->nr_list; i++) {
        const uint64_t *top = look(r, 2, arch->pfn_to_mfn_frame_list_list), *middle;

        middle = top ? look(r, 1, top[i / LIST_ENTRIES]) : NULL;
        if (middle == NULL)
            return -1;
        p->list[i] = middle[i % LIST_ENTRIES];
    }
    return 0;
}

/* Numbers that can be no frame's are marks of the domain's own. */
static int read_list(struct toolstack *t, domid_t id, struct p2m *p)
{
    xenforeignmemory_handle *memory = hyp_memory(t->hyp);

    for (uint64_t first = 0; first < p->nr_list; first += MAP_BATCH) {
        uint64_t n = p->nr_list - first < MAP_BATCH ? p->nr_list - first : MAP_BATCH;
        uint64_t entry = first * LIST_ENTRIES, nr = n * LIST_ENTRIES;
        void *at = xenforeignmemory_map(memory, id, PROT_READ, n, p->list + first, NULL);

        if (at == NULL)
            return toolstack_fail(t, errno, "domain %u: its list of memory: %s", id,
                                  strerror(errno));
        nr = nr < p->nr - entry ? nr : p->nr - entry;
        memcpy(p->mfn + entry, at, nr * sizeof(*p->mfn));
        xenforeignmemory_unmap(memory, at, n);
    }
    for (uint64_t pfn = 0; pfn < p->nr; pfn++)
        if (p->mfn[pfn] >> (PADDR_BITS_MAX - PAGE_SHIFT))
            p->mfn[pfn] = PFN_NONE;
    return 0;
}

/* ---- back from a frame to its pfn ---- */

static uint64_t hash(uint64_t mfn) { return mfn * 0x9e3779b97f4a7c15u >> 24; }

/* A slot holds a pfn + 1. Of two pfns with one frame the first counts. */
static int make_slots(struct p2m *p)
{
    uint64_t nr = 0, size = 2;

    for (uint64_t pfn = 0; pfn < p->nr; pfn++)
        nr += p->mfn[pfn] != PFN_NONE;
    while (size < 2 * nr)
        size *= 2;
    p->slots = calloc(size, sizeof(*p->slots));
    if (p->slots == NULL)
        return -1;
    p->mask = size - 1;
    for (uint64_t pfn = 0; pfn < p->nr; pfn++) {
        uint64_t i = hash(p->mfn[pfn]) & p->mask;

        if (p->mfn[pfn] == PFN_NONE || p2m_pfn(p, p->mfn[pfn]) != PFN_NONE)
            continue;
        while (p->slots[i])
            i = (i + 1) & p->mask;
        p->slots[i] = (uint32_t)(pfn + 1);
    }
    return 0;
}

uint64_t p2m_pfn(const struct p2m *p, uint64_t mfn)
{
    for (uint64_t i = hash(mfn) & p->mask; p->slots[i]; i = (i + 1) & p->mask)
        if (p->mfn[p->slots[i] - 1] == mfn)
            return p->slots[i] - 1;
    return PFN_NONE;
}

/* ---- page by page ---- */

int p2m_next(struct toolstack *t, domid_t id, const struct p2m *p, uint64_t *pfn,
             struct p2m_batch *b)
{
    size_t kept = 0;

    for (b->nr = 0; *pfn < p->nr && b->nr < P2M_BATCH; (*pfn)++)
        if (p->mfn[*pfn] != PFN_NONE && p2m_pfn(p, p->mfn[*pfn]) == *pfn) {
            b->pfns[b->nr] = *pfn;
            b->types[b->nr] = b->frames[b->nr] = p->mfn[*pfn];
            b->nr++;
        }
    if (hyp_page_types(t->hyp, id, b->types, b->nr))
        return toolstack_fail(t, errno, "domain %u: what its pages are: %s", id, strerror(errno));
    for (size_t i = 0; i < b->nr; i++) {
        uint64_t type = b->types[i] >> XEN_DOMCTL_PFINFO_LTAB_SHIFT & 15;

        if (type == PFINFO_NONE)
            continue;
        if (type > 8 + LEVELS || (type & 7) > LEVELS)
            return toolstack_fail(t, EIO, "domain %u: its page 0x%llx is of type %u", id,
                                  (unsigned long long)b->pfns[i], (unsigned int)type);
        b->types[kept] = b->types[i];
        b->frames[kept] = b->frames[i];
        b->pfns[kept++] = b->pfns[i];
    }
    b->nr = kept;
    return 0;
}

/* ---- all together ---- */

static int read_all(struct toolstack *t, const guest_info_t *info,
                    const struct arch_shared_info *arch, struct p2m *p)
{
    struct reader r = { .t = t, .id = info->domain };
    int rc;

    p->nr = arch->max_pfn;
    p->nr_list = (p->nr + LIST_ENTRIES - 1) / LIST_ENTRIES;
    p->mfn = malloc(p->nr * sizeof(*p->mfn));
    p->list = malloc(p->nr_list * sizeof(*p->list));
    if (p->mfn == NULL || p->list == NULL)
        return toolstack_fail(t, ENOMEM, "domain %u: no memory for its list of memory", r.id);
    rc = arch->p2m_cr3 ? find_linear(&r, arch, p) : find_tree(&r, arch, p);
    look_away(&r);
    if (rc || read_list(t, r.id, p))
        return -1;
    if (make_slots(p))
        return toolstack_fail(t, ENOMEM, "domain %u: no memory for its list of memory", r.id);
    return 0;
}

static int read_shared(struct toolstack *t, const guest_info_t *info, struct p2m_shared *shared)
{
    xen_pfn_t mfn = info->shared_info_frame;
    void *at = xenforeignmemory_map(hyp_memory(t->hyp), info->domain, PROT_READ, 1, &mfn, NULL);

    if (at == NULL)
        return toolstack_fail(t, errno, "domain %u: its shared_info: %s", info->domain,
                              strerror(errno));
    memcpy(shared, at, sizeof(*shared));
    xenforeignmemory_unmap(hyp_memory(t->hyp), at, 1);
    return 0;
}

int p2m_read(struct toolstack *t, const guest_info_t *info, struct p2m_shared *shared,
             struct p2m *p)
{
    const struct arch_shared_info *arch = &shared->info.arch;
    uint64_t pages = info->max_pages > info->tot_pages ? info->max_pages : info->tot_pages;
    bool tree;
    int error;

    *p = (struct p2m){ 0 };
    if (read_shared(t, info, shared))
        return -1;
    tree = arch->pfn_to_mfn_frame_list_list + 1 > 1; /* neither 0 nor ~0 */
    if (arch->max_pfn == 0 || (arch->p2m_cr3 == 0 && !tree))
        return toolstack_fail(t, EINVAL, "domain %u: its kernel keeps no list of its memory",
                              info->domain);
    if (arch->max_pfn > p2m_most(pages))
        return toolstack_fail(t, EINVAL, "domain %u: its list of memory says %llu pages",
                              info->domain, (unsigned long long)arch->max_pfn);
    if (read_all(t, info, arch, p) == 0)
        return 0;
    error = errno;
    p2m_free(p);
    errno = error;
    return -1;
}

void p2m_free(struct p2m *p)
{
    free(p->mfn);
    free(p->list);
    free(p->slots);
    *p = (struct p2m){ 0 };
}
