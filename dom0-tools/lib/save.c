/* guest_save(); see toolstack.h. What a domain has in its memory, and says of it, is checked here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <platform.h>

#include "hyp.h"
#include "p2m.h"
#include "stream.h"
#include "suspend.h"
#include "toolstack.h"

#include "x86/pte.h" /* the hypervisor's */

enum { ENTRIES = HYP_PAGE / 8, TYPE_BITS = XEN_DOMCTL_PFINFO_LTAB_SHIFT };

struct saver {
    struct toolstack *t;
    domid_t id;
    const char *path;
    struct plat_file *file;
    guest_info_t info;
    struct p2m p2m;
    struct p2m_batch batch;
    /* Copies. */
    struct p2m_shared shared;
    uint64_t table[ENTRIES];
    union {
        struct vcpu_guest_context basic;
        uint8_t bytes[HYP_STATE_MAX];
    } state;
    struct hyp_policy policy;
};

static int fail(struct saver *s, const char *what)
{
    return toolstack_fail(s->t, errno, "domain %u: %s: %s", s->id, what, strerror(errno));
}

static int cannot_write(struct saver *s)
{
    return toolstack_fail(s->t, errno, "%s: %s", s->path, strerror(errno));
}

static int put(struct saver *s, const void *data, size_t len)
{
    return plat_file_put(s->file, data, len) ? cannot_write(s) : 0;
}

static int record(struct saver *s, uint32_t type, const void *head, size_t head_bytes,
                  const void *body, size_t body_bytes)
{
    return stream_record(s->file, type, head, head_bytes, body, body_bytes) ? cannot_write(s) : 0;
}

/* The frame that the domain means somewhere becomes its pfn. */
static int to_pfn(struct saver *s, uint64_t mfn, const char *what, uint64_t *pfn)
{
    *pfn = p2m_pfn(&s->p2m, mfn);
    if (*pfn != PFN_NONE)
        return 0;
    return toolstack_fail(s->t, EINVAL, "domain %u: %s is frame 0x%llx, which is not of its memory",
                          s->id, what, (unsigned long long)mfn);
}

/* ---- before the memory ---- */

static int save_policy(struct saver *s)
{
    if (hyp_get_policy(s->t->hyp, s->id, &s->policy))
        return fail(s, "its CPUID");
    if (record(s, RECORD_CPUID_POLICY, NULL, 0, s->policy.leaves,
               s->policy.nr_leaves * sizeof(s->policy.leaves[0])))
        return -1;
    return record(s, RECORD_MSR_POLICY, NULL, 0, s->policy.msrs,
                  s->policy.nr_msrs * sizeof(s->policy.msrs[0]));
}

static int save_p2m_frames(struct saver *s)
{
    const struct record_p2m_frames head = { 0, (uint32_t)(s->p2m.nr - 1) };
    uint64_t *pfns = malloc(s->p2m.nr_list * sizeof(*pfns));
    int rc = pfns ? 0 : fail(s, "its list of memory");

    for (uint64_t i = 0; rc == 0 && i < s->p2m.nr_list; i++)
        rc = to_pfn(s, s->p2m.list[i], "a part of its list of memory", &pfns[i]);
    if (rc == 0)
        rc =
            record(s, RECORD_P2M_FRAMES, &head, sizeof(head), pfns, s->p2m.nr_list * sizeof(*pfns));
    free(pfns);
    return rc;
}

/* ---- memory ---- */

static unsigned int level_of(xen_pfn_t type)
{
    unsigned int level = (unsigned int)(type >> TYPE_BITS) & 7;

    return level <= 4 ? level : 0;
}

/* A copy of a page table, in which pfns stand for frames. The hypervisor's entries are not the domain's. */
static int make_table(struct saver *s, const uint64_t *from, unsigned int level)
{
    memcpy(s->table, from, sizeof(s->table));
    for (unsigned int i = 0; i < ENTRIES; i++) {
        uint64_t *e = &s->table[i], pfn;

        if (level == 4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT)
            *e = 0;
        if (!(*e & PTE_P))
            continue;
        if (level > 1 && *e & PTE_PS)
            return toolstack_fail(s->t, EINVAL, "domain %u: it uses large pages", s->id);
        if (to_pfn(s, pte_mfn(*e), "what a page table maps", &pfn))
            return -1;
        *e = (*e & ~PTE_ADDR_MASK) | pfn << PAGE_SHIFT;
    }
    return 0;
}

/* The pages themselves; at are those of the batch's frames. */
static int put_pages(struct saver *s, const uint8_t *at)
{
    size_t plain = 0, frame = 0; /* pages before frame that are not written yet */
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < s->batch.nr; i++) {
        unsigned int level = level_of(s->batch.types[i]);

        if (level) {
            rc = put(s, at + plain * HYP_PAGE, (frame - plain) * HYP_PAGE);
            rc = rc ? rc : make_table(s, (const uint64_t *)(at + frame * HYP_PAGE), level);
            rc = rc ? rc : put(s, s->table, HYP_PAGE);
            plain = frame + 1;
        }
        frame++;
    }
    return rc ? rc : put(s, at + plain * HYP_PAGE, (frame - plain) * HYP_PAGE);
}

static int put_batch(struct saver *s)
{
    xenforeignmemory_handle *memory = hyp_memory(s->t->hyp);
    struct p2m_batch *b = &s->batch;
    const struct record_pages head = { .count = (uint32_t)b->nr };
    const struct record r = { RECORD_PAGE_DATA,
                              (uint32_t)(sizeof(head) + b->nr * (sizeof(uint64_t) + HYP_PAGE)) };
    void *at;
    int rc;

    if (b->nr == 0)
        return 0;
    for (size_t i = 0; i < b->nr; i++)
        b->pfns[i] |= b->types[i] >> TYPE_BITS << PAGE_TYPE_SHIFT;
    at = xenforeignmemory_map(memory, s->id, PROT_READ, b->nr, b->frames, NULL);
    if (at == NULL)
        return fail(s, "its memory cannot be mapped");
    rc = put(s, &r, sizeof(r));
    rc = rc ? rc : put(s, &head, sizeof(head));
    rc = rc ? rc : put(s, b->pfns, b->nr * sizeof(b->pfns[0]));
    rc = rc ? rc : put_pages(s, at);
    xenforeignmemory_unmap(memory, at, b->nr);
    return rc;
}

static int save_memory(struct saver *s)
{
    for (uint64_t page = 0; page < s->p2m.nr_pages;)
        if (p2m_next(s->t, s->id, &s->p2m, &page, &s->batch) || put_batch(s))
            return -1;
    return 0;
}

/* ---- vCPUs ---- */

static int make_context(struct saver *s, struct vcpu_guest_context *c, uint32_t vcpu)
{
    uint64_t pfn;

    if (c->gdt_ents > FIRST_RESERVED_GDT_ENTRY)
        return toolstack_fail(s->t, EINVAL, "domain %u: its GDT has %lu entries", s->id,
                              (unsigned long)c->gdt_ents);
    for (unsigned int i = 0; i * (HYP_PAGE / 8) < c->gdt_ents; i++) {
        if (to_pfn(s, c->gdt_frames[i], "a part of its GDT", &pfn))
            return -1;
        c->gdt_frames[i] = pfn;
    }
    if (to_pfn(s, c->ctrlreg[3] >> PAGE_SHIFT, "its root of page tables", &pfn))
        return -1;
    c->ctrlreg[3] = pfn << PAGE_SHIFT;
    if (c->ctrlreg[1]) { /* that of its user space; the lowest bit says that there is one */
        if (to_pfn(s, c->ctrlreg[1] >> PAGE_SHIFT, "its second root of page tables", &pfn))
            return -1;
        c->ctrlreg[1] = pfn << PAGE_SHIFT | 1;
    }
    if (vcpu)
        return 0;
    if (to_pfn(s, c->user_regs.rdx, "its start_info", &pfn)) /* argument of its suspend */
        return -1;
    c->user_regs.rdx = pfn;
    return 0;
}

static int save_vcpu(struct saver *s, uint32_t vcpu)
{
    static const struct {
        enum hyp_state what;
        enum record_type type;
    } parts[] = { { HYP_BASIC, RECORD_VCPU_BASIC },
                  { HYP_EXTENDED, RECORD_VCPU_EXTENDED },
                  { HYP_XSAVE, RECORD_VCPU_XSAVE },
                  { HYP_MSR_VALUES, RECORD_VCPU_MSRS } };
    const struct record_vcpu head = { .vcpu = vcpu };

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        size_t len = sizeof(s->state);

        memset(&s->state, 0, sizeof(s->state));
        if (hyp_get_state(s->t->hyp, s->id, vcpu, parts[i].what, &s->state, &len))
            return fail(s, "what its vCPU has");
        if (parts[i].what == HYP_BASIC && make_context(s, &s->state.basic, vcpu))
            return -1;
        if (len && record(s, parts[i].type, &head, sizeof(head), &s->state, len))
            return -1;
    }
    return 0;
}

static int save_vcpus(struct saver *s)
{
    struct xen_domctl_getvcpuinfo info;
    uint64_t hard[4], soft[4];

    for (uint32_t v = 0; v <= s->info.max_vcpu_id; v++) {
        if (hyp_vcpu(s->t->hyp, s->id, v, &info, hard, soft))
            return fail(s, "its vCPUs");
        if (info.online && save_vcpu(s, v))
            return -1;
    }
    return 0;
}

/* ---- all together ---- */

static int save_tsc(struct saver *s)
{
    struct xen_domctl_tsc_info tsc;
    struct record_tsc r = { 0 };

    if (hyp_get_tsc(s->t->hyp, s->id, &tsc))
        return fail(s, "its clock");
    r.mode = tsc.tsc_mode;
    r.khz = tsc.gtsc_khz;
    r.nsec = tsc.elapsed_nsec;
    r.incarnation = tsc.incarnation;
    return record(s, RECORD_TSC_INFO, NULL, 0, &r, sizeof(r));
}

static int save_all(struct saver *s, const char *config)
{
    const struct record_pv_info pv = { .width = 8, .levels = 4 };

    if (guest_info(s->t, s->id, &s->info) ||
        p2m_read(s->t, &s->info, &s->shared, &s->p2m, &s->batch))
        return -1;
    if (stream_begin(s->file, config, strlen(config)))
        return cannot_write(s);
    if (record(s, RECORD_PV_INFO, NULL, 0, &pv, sizeof(pv)) || save_policy(s) ||
        record(s, RECORD_STATIC_DATA_END, NULL, 0, NULL, 0) || save_p2m_frames(s) ||
        save_memory(s) || save_tsc(s) ||
        record(s, RECORD_SHARED_INFO, NULL, 0, &s->shared, sizeof(s->shared)) || save_vcpus(s) ||
        record(s, RECORD_END, NULL, 0, NULL, 0) || record(s, LIBXL_END, NULL, 0, NULL, 0))
        return -1;
    return 0;
}

/* ---- from before it is suspended until it goes on ---- */

/* About: its pages, and for each batch what stands before them. */
static uint64_t expected_bytes(const guest_info_t *info, const char *config)
{
    const uint64_t rest = 256 * 1024;

    return info->tot_pages * (HYP_PAGE + sizeof(uint64_t)) + strlen(config) + rest +
           (info->max_vcpu_id + 1ull) * HYP_STATE_MAX;
}

static int save_suspended(struct saver *s, const char *config)
{
    int rc = save_all(s, config);

    rc = rc ? rc : suspend_check(s->t, s->id); /* it was all the time */
    if (rc)
        plat_file_close(s->file);
    else if ((rc = plat_file_commit(s->file)) != 0)
        cannot_write(s);
    return rc;
}

/* Room for the file first: what fails then has not touched the domain. */
static int save(struct saver *s, const char *config, enum guest_then then)
{
    bool was_running;

    if (guest_info(s->t, s->id, &s->info))
        return -1;
    s->file = plat_file_create(s->path, expected_bytes(&s->info, config));
    if (s->file == NULL)
        return cannot_write(s);
    if (suspend_domain(s->t, s->id, &was_running)) {
        plat_file_close(s->file);
        return -1;
    }
    if (save_suspended(s, config) == 0)
        return suspend_end(s->t, s->id, then);
    suspend_undo(s->t, s->id, was_running);
    return -1;
}

/* One at a time for each domain. A claim ends with the program that has it. */
static int save_claimed(struct saver *s, const char *config, enum guest_then then)
{
    char name[32];
    void *claim;
    int rc, error;

    snprintf(name, sizeof(name), "saving-%u", s->id);
    claim = plat_region_open(name, HYP_PAGE, NULL);
    if (claim == NULL)
        return fail(s, errno == EBUSY ? "it is being saved already" : "to save it alone");
    rc = save(s, config, then);
    error = errno;
    plat_region_close(claim, HYP_PAGE);
    plat_region_remove(name);
    errno = error;
    return rc;
}

int guest_save(struct toolstack *t, domid_t id, const char *path, const char *config,
               enum guest_then then)
{
    struct saver *s;
    int rc, error;

    if (id == t->self)
        return toolstack_fail(t, EINVAL, "domain %u: not this domain itself", id);
    if (t->store == NULL)
        return toolstack_fail(t, ENOTSUP, "there is no store");
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return toolstack_fail(t, ENOMEM, "no memory");
    s->t = t;
    s->id = id;
    s->path = path;
    rc = save_claimed(s, config, then);
    error = errno;
    p2m_free(&s->p2m);
    free(s);
    errno = error;
    return rc;
}
