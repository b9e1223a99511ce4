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

#define MORE_PFNS 16    /* for a page: Linux makes room to grow to ten times its memory */
#define MORE_PAGES 1024 /* that are not in tot_pages: shared_info, grant table */
#define HOLES (GIB(4) >> PAGE_SHIFT)

uint64_t p2m_most(uint64_t nr_pages)
{
    const uint64_t most = UINT32_MAX - 1; /* a pfn has 32 bits, as a stream's numbers have */

    return nr_pages < most / (2 * MORE_PFNS) ? MORE_PFNS * nr_pages + HOLES : most;
}

/* Looks into pages of a domain, one of each level at a time. */
struct reader {
    struct toolstack *t;
    domid_t id;
    uint64_t mfn[LEVELS + 1];
    const volatile uint64_t *page[LEVELS + 1]; /* NULL: none; the domain's memory */
};

static const volatile uint64_t *look(struct reader *r, unsigned int level, uint64_t mfn)
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
            const volatile uint64_t *table = look(r, level, mfn);
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
    if (p->nr_list > LIST_ENTRIES * LIST_ENTRIES) /* more than one frame can lead to */
        return toolstack_fail(r->t, EINVAL, "domain %u: its tree of memory is too large", r->id);
    for (uint64_t i = 0; i < p->nr_list; i++) {
        const volatile uint64_t *top = look(r, 2, arch->pfn_to_mfn_frame_list_list), *middle;

        middle = top ? look(r, 1, top[i / LIST_ENTRIES]) : NULL;
        if (middle == NULL)
            return -1;
        p->list[i] = middle[i % LIST_ENTRIES];
    }
    return 0;
}

/* ---- back from a frame to its pfn ---- */

static uint64_t hash(uint64_t mfn) { return mfn * 0x9e3779b97f4a7c15u >> 24; }

/* Only of frames that the domain has: it does not choose their numbers, so few of them meet in a slot. */
static int make_room(struct p2m *p, uint64_t most)
{
    uint64_t size = 2;

    p->most = most < p->nr ? most : p->nr;
    while (size < 2 * p->most)
        size *= 2;
    p->mask = size - 1;
    p->mfn = malloc(p->most * sizeof(*p->mfn));
    p->pfn = malloc(p->most * sizeof(*p->pfn));
    p->slots = calloc(size, sizeof(*p->slots));
    return p->mfn && p->pfn && p->slots ? 0 : -1;
}

/* A slot holds a page + 1. Of two pfns with one frame the first counts. */
static int add(struct toolstack *t, domid_t id, struct p2m *p, uint64_t pfn, uint64_t mfn)
{
    uint64_t i = hash(mfn) & p->mask;

    for (; p->slots[i]; i = (i + 1) & p->mask)
        if (p->mfn[p->slots[i] - 1] == mfn)
            return 0;
    if (p->nr_pages == p->most)
        return toolstack_fail(t, EINVAL, "domain %u: it has more memory than it had", id);
    p->pfn[p->nr_pages] = (uint32_t)pfn;
    p->mfn[p->nr_pages++] = mfn;
    p->slots[i] = (uint32_t)p->nr_pages;
    return 0;
}

/* ---- reading ---- */

/* Numbers that can be no frame's are marks of the domain's own. What is not its memory is left out. */
static int read_part(struct toolstack *t, domid_t id, struct p2m *p, uint64_t pfn,
                     const volatile uint64_t *mfns, uint64_t nr, struct p2m_batch *b)
{
    if (toolstack_go_on(t))
        return -1;
    b->nr = 0;
    for (uint64_t i = 0; i < nr; i++) {
        uint64_t mfn = mfns[i]; /* one copy: what it is asked for is what is kept */

        if (mfn >> (PADDR_BITS_MAX - PAGE_SHIFT))
            continue;
        b->pfns[b->nr] = pfn + i;
        b->types[b->nr] = b->frames[b->nr] = mfn;
        b->nr++;
    }
    if (b->nr && hyp_page_types(t->hyp, id, b->types, b->nr))
        return toolstack_fail(t, errno, "domain %u: what its pages are: %s", id, strerror(errno));
    for (size_t i = 0; i < b->nr; i++)
        if ((b->types[i] >> XEN_DOMCTL_PFINFO_LTAB_SHIFT & 15) != PFINFO_NONE &&
            add(t, id, p, b->pfns[i], b->frames[i]))
            return -1;
    return 0;
}

static int read_list(struct toolstack *t, domid_t id, struct p2m *p, struct p2m_batch *b)
{
    xenforeignmemory_handle *memory = hyp_memory(t->hyp);
    int rc = 0;

    for (uint64_t first = 0; rc == 0 && first < p->nr_list; first += MAP_BATCH) {
        uint64_t n = p->nr_list - first < MAP_BATCH ? p->nr_list - first : MAP_BATCH;
        uint64_t pfn = first * LIST_ENTRIES, nr = n * LIST_ENTRIES;
        const volatile uint64_t *at =
            xenforeignmemory_map(memory, id, PROT_READ, n, p->list + first, NULL);

        if (at == NULL)
            return toolstack_fail(t, errno, "domain %u: its list of memory: %s", id,
                                  strerror(errno));
        nr = nr < p->nr - pfn ? nr : p->nr - pfn;
        for (uint64_t i = 0; rc == 0 && i < nr; i += P2M_BATCH)
            rc = read_part(t, id, p, pfn + i, at + i, nr - i < P2M_BATCH ? nr - i : P2M_BATCH, b);
        xenforeignmemory_unmap(memory, (void *)(uintptr_t)at, n);
    }
    return rc;
}

uint64_t p2m_pfn(const struct p2m *p, uint64_t mfn)
{
    for (uint64_t i = hash(mfn) & p->mask; p->slots[i]; i = (i + 1) & p->mask)
        if (p->mfn[p->slots[i] - 1] == mfn)
            return p->pfn[p->slots[i] - 1];
    return PFN_NONE;
}

/* ---- page by page ---- */

int p2m_next(struct toolstack *t, domid_t id, const struct p2m *p, uint64_t *page,
             struct p2m_batch *b)
{
    size_t kept = 0;

    if (toolstack_go_on(t))
        return -1;
    for (b->nr = 0; *page < p->nr_pages && b->nr < P2M_BATCH; (*page)++) {
        b->pfns[b->nr] = p->pfn[*page];
        b->types[b->nr] = b->frames[b->nr] = p->mfn[*page];
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
                    const struct arch_shared_info *arch, struct p2m *p, struct p2m_batch *batch)
{
    struct reader r = { .t = t, .id = info->domain };
    int rc;

    p->nr = arch->max_pfn;
    p->nr_list = (p->nr + LIST_ENTRIES - 1) / LIST_ENTRIES;
    p->list = malloc(p->nr_list * sizeof(*p->list));
    if (p->list == NULL || make_room(p, info->tot_pages + MORE_PAGES))
        return toolstack_fail(t, ENOMEM, "domain %u: no memory for its list of memory", r.id);
    rc = arch->p2m_cr3 ? find_linear(&r, arch, p) : find_tree(&r, arch, p);
    look_away(&r);
    return rc ? rc : read_list(t, r.id, p, batch);
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
             struct p2m *p, struct p2m_batch *batch)
{
    const struct arch_shared_info *arch = &shared->info.arch;
    uint64_t most = guest_most_kib(t, info) / (HYP_PAGE / 1024);
    uint64_t pages = most > info->tot_pages ? most : info->tot_pages;
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
    if (read_all(t, info, arch, p, batch) == 0)
        return 0;
    error = errno;
    p2m_free(p);
    errno = error;
    return -1;
}

void p2m_free(struct p2m *p)
{
    free(p->pfn);
    free(p->mfn);
    free(p->list);
    free(p->slots);
    *p = (struct p2m){ 0 };
}
