/*
 * guest_restore(); see toolstack.h. Nothing in the file is trusted: each number is checked before it is used, and what
 * cannot be checked here, page tables and registers, the hypervisor checks as the domain's own.
 */
#include "restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "devices.h"
#include "guest_internal.h"
#include "p2m.h"
#include "restarts.h"

int restore_fail(struct restorer *r, const char *what)
{
    const char *why = errno == ENOMEM ? "no memory" : strerror(errno);

    return toolstack_fail(r->s.t, errno, "%s: %s: %s", r->s.path, what, why);
}

/* What the hypervisor keeps for a domain, about. */
enum { PAGES_KEPT = 16, PAGES_KEPT_VCPU = 8 };

/* ---- records, in the order in which they have to come ---- */

static int get_pv_info(struct restorer *r, uint32_t len)
{
    struct record_pv_info pv;

    if (len != sizeof(pv) || r->stage != WANTS_PV_INFO)
        return stream_bad(&r->s, "a record of what it is, of %u bytes", len);
    if (stream_get(&r->s, &pv, sizeof(pv)))
        return -1;
    if (pv.width != 8 || pv.levels != 4)
        return toolstack_fail(r->s.t, ENOTSUP, "%s: that is no 64-bit domain", r->s.path);
    r->stage = WANTS_STATIC_END;
    return 0;
}

/* @most entries of @size bytes, to @to. */
static int get_policy(struct restorer *r, uint32_t len, size_t size, size_t most, void *to,
                      uint32_t *nr)
{
    if (len % size || len / size > most || r->stage != WANTS_STATIC_END)
        return stream_bad(&r->s, "a record of its CPUID or MSRs, of %u bytes", len);
    *nr = (uint32_t)(len / size);
    return stream_get(&r->s, to, len);
}

static int end_static_data(struct restorer *r, uint32_t len)
{
    uint32_t leaf = ~0u;

    if (len || r->stage != WANTS_STATIC_END)
        return stream_bad(&r->s, "a second end of static data");
    r->stage = WANTS_P2M;
    if (r->policy.nr_leaves + r->policy.nr_msrs == 0 ||
        hyp_set_policy(r->s.t->hyp, r->built.id, &r->policy, &leaf) == 0)
        return 0;
    if (leaf == ~0u)
        return restore_fail(r, "its CPUID and MSRs are refused");
    return toolstack_fail(r->s.t, errno, "%s: this machine has not all of CPUID's leaf 0x%x: %s",
                          r->s.path, leaf, strerror(errno));
}

/* More pfns than that no domain of its size has, and not all of them memory: p2m.h. */
static int check_nr(struct restorer *r)
{
    struct xen_sysctl_physinfo machine;
    uint64_t pages = r->plan.max_pages;

    if (hyp_machine(r->s.t->hyp, &machine))
        return restore_fail(r, "the machine's memory");
    if (pages > machine.total_pages)
        pages = machine.total_pages;
    return r->nr <= p2m_most(pages)
               ? 0
               : stream_bad(&r->s, "a list of memory for %llu pages", (unsigned long long)r->nr);
}

static int get_p2m_frames(struct restorer *r, uint32_t len)
{
    struct record_p2m_frames head;

    if (len < sizeof(head) || r->stage != WANTS_P2M)
        return stream_bad(&r->s, "a list of memory out of order");
    if (stream_get(&r->s, &head, sizeof(head)))
        return -1;
    r->nr = head.last + 1ull;
    r->nr_list = (r->nr + LIST_ENTRIES - 1) / LIST_ENTRIES;
    if (head.first || len != sizeof(head) + r->nr_list * sizeof(uint64_t))
        return stream_bad(&r->s, "a list of memory of %u bytes for %llu pages", len,
                          (unsigned long long)r->nr);
    if (check_nr(r))
        return -1;
    r->frame = calloc(r->nr, sizeof(*r->frame));
    r->type = calloc(r->nr, sizeof(*r->type));
    r->list = malloc(r->nr_list * sizeof(*r->list));
    if (r->frame == NULL || r->type == NULL || r->list == NULL)
        return restore_fail(r, "its list of memory");
    r->stage = WANTS_PAGES;
    return stream_get(&r->s, r->list, r->nr_list * sizeof(*r->list));
}

/* ---- pages ---- */

static int populate_run(struct restorer *r, uint64_t first, uint64_t nr)
{
    if (hyp_populate(r->s.t->hyp, r->built.id, first, nr, r->frame + first) < nr)
        return toolstack_fail(r->s.t, ENOMEM, "no memory for it, or more than it may have");
    for (uint64_t i = 0; i < nr; i++)
        r->frame[first + i]++;
    r->end = r->end > first + nr ? r->end : first + nr;
    return 0;
}

/* Pages that are not there yet, run by run. */
static int populate(struct restorer *r, size_t count)
{
    for (size_t i = 0; i < count;) {
        uint64_t first = r->pfns[i] & PAGE_PFN_MASK, nr = 0;

        while (i < count && (r->pfns[i] & PAGE_PFN_MASK) == first + nr &&
               r->pfns[i] >> PAGE_TYPE_SHIFT != PAGE_NONE && r->frame[first + nr] == 0) {
            nr++;
            i++;
        }
        if (nr == 0)
            i++;
        else if (populate_run(r, first, nr))
            return -1;
    }
    return 0;
}

/* Their types are known, and how many of them have contents. */
static int check_pages(struct restorer *r, size_t count, size_t *with_contents)
{
    *with_contents = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t pfn = r->pfns[i] & PAGE_PFN_MASK;
        unsigned int type = (unsigned int)(r->pfns[i] >> PAGE_TYPE_SHIFT);
        bool has_contents = type < PAGE_BROKEN;

        if (pfn >= r->nr || r->pfns[i] & ~PAGE_PFN_MASK & ((1ull << PAGE_TYPE_SHIFT) - 1))
            return stream_bad(&r->s, "page 0x%llx of 0x%llx", (unsigned long long)r->pfns[i],
                              (unsigned long long)r->nr);
        if (has_contents ? (type & 7) > 4 || type == PAGE_PINNED : type == PAGE_BROKEN)
            return stream_bad(&r->s, "a page of type %u", type);
        *with_contents += has_contents;
    }
    return 0;
}

static int get_contents(struct restorer *r, size_t count)
{
    size_t n = 0;
    void *at;
    int rc;

    for (size_t i = 0; i < count; i++) {
        uint64_t pfn = r->pfns[i] & PAGE_PFN_MASK;
        unsigned int type = (unsigned int)(r->pfns[i] >> PAGE_TYPE_SHIFT);

        if (type < PAGE_BROKEN)
            r->frames[n++] = restore_mfn(r, pfn);
        if (restore_mfn(r, pfn) != PFN_NONE)
            r->type[pfn] = (uint8_t)(type < PAGE_BROKEN ? type : PAGE_PLAIN);
    }
    if (n == 0)
        return 0;
    at = restore_map(r, r->frames, n);
    if (at == NULL)
        return -1;
    rc = stream_get(&r->s, at, n * HYP_PAGE);
    restore_unmap(r, at, n);
    return rc;
}

static int get_pages(struct restorer *r, uint32_t len)
{
    struct record_pages head;
    size_t n;

    if (len < sizeof(head) || r->stage != WANTS_PAGES)
        return stream_bad(&r->s, "pages out of order");
    if (stream_get(&r->s, &head, sizeof(head)))
        return -1;
    if (head.count == 0 || head.count > PAGES_MAX ||
        len < sizeof(head) + head.count * sizeof(r->pfns[0]))
        return stream_bad(&r->s, "%u pages in %u bytes", head.count, len);
    if (stream_get(&r->s, r->pfns, head.count * sizeof(r->pfns[0])) ||
        check_pages(r, head.count, &n))
        return -1;
    if (len != sizeof(head) + head.count * sizeof(r->pfns[0]) + n * HYP_PAGE)
        return stream_bad(&r->s, "%u pages in %u bytes", head.count, len);
    return populate(r, head.count) ? -1 : get_contents(r, head.count);
}

/* ---- the rest, kept until all of memory is there ---- */

static int get_tsc(struct restorer *r, uint32_t len)
{
    if (len != sizeof(r->tsc))
        return stream_bad(&r->s, "a clock of %u bytes", len);
    r->has_tsc = true;
    return stream_get(&r->s, &r->tsc, sizeof(r->tsc));
}

static int get_shared_info(struct restorer *r, uint32_t len)
{
    if (len != sizeof(r->shared))
        return stream_bad(&r->s, "a shared_info of %u bytes", len);
    r->has_shared = true;
    return stream_get(&r->s, &r->shared, sizeof(r->shared));
}

static int get_vcpu(struct restorer *r, uint32_t len, enum hyp_state what)
{
    struct record_vcpu head;
    struct saved_state *state;
    void *bytes;

    if (len <= sizeof(head) || len - sizeof(head) > HYP_STATE_MAX)
        return stream_bad(&r->s, "a vCPU of %u bytes", len);
    if (stream_get(&r->s, &head, sizeof(head)))
        return -1;
    len -= (uint32_t)sizeof(head);
    if (head.vcpu >= r->plan.nr_vcpus)
        return stream_bad(&r->s, "vCPU %u, of %u", head.vcpu, r->plan.nr_vcpus);
    if (what == HYP_BASIC && len != sizeof(struct vcpu_guest_context))
        return stream_bad(&r->s, "registers of %u bytes", len);
    state = &r->state[head.vcpu][what];
    bytes = realloc(state->bytes, len);
    if (bytes == NULL)
        return restore_fail(r, "its vCPUs");
    state->bytes = bytes;
    state->len = len;
    return stream_get(&r->s, bytes, len);
}

/* ---- all of them ---- */

static int get_body(struct restorer *r, const struct record *rec)
{
    struct hyp_policy *p = &r->policy;

    switch (rec->type) {
    case RECORD_PV_INFO: return get_pv_info(r, rec->length);
    case RECORD_CPUID_POLICY:
        return get_policy(r, rec->length, sizeof(p->leaves[0]), HYP_LEAVES, p->leaves,
                          &p->nr_leaves);
    case RECORD_MSR_POLICY:
        return get_policy(r, rec->length, sizeof(p->msrs[0]), HYP_MSRS, p->msrs, &p->nr_msrs);
    case RECORD_STATIC_DATA_END: return end_static_data(r, rec->length);
    case RECORD_P2M_FRAMES: return get_p2m_frames(r, rec->length);
    case RECORD_PAGE_DATA: return get_pages(r, rec->length);
    case RECORD_TSC_INFO: return get_tsc(r, rec->length);
    case RECORD_SHARED_INFO: return get_shared_info(r, rec->length);
    case RECORD_VCPU_BASIC: return get_vcpu(r, rec->length, HYP_BASIC);
    case RECORD_VCPU_EXTENDED: return get_vcpu(r, rec->length, HYP_EXTENDED);
    case RECORD_VCPU_XSAVE: return get_vcpu(r, rec->length, HYP_XSAVE);
    case RECORD_VCPU_MSRS: return get_vcpu(r, rec->length, HYP_MSR_VALUES);
    case RECORD_VERIFY:
        return stream_skip(&r->s, rec->length); /* pages that come again are the same */
    default: break;
    }
    if (rec->type & RECORD_OPTIONAL)
        return stream_skip(&r->s, rec->length);
    return toolstack_fail(r->s.t, ENOTSUP, "%s: a record of type 0x%x", r->s.path, rec->type);
}

static int get_image(struct restorer *r)
{
    struct record rec;

    for (;;) {
        if (stream_next(&r->s, &rec))
            return -1;
        if (rec.type == RECORD_END)
            break;
        if (get_body(r, &rec) || stream_skip(&r->s, stream_padding(rec.length)))
            return -1;
    }
    if (rec.length)
        return stream_bad(&r->s, "an end of %u bytes", rec.length);
    if (r->stage != WANTS_PAGES || !r->has_shared || !r->has_tsc || r->state[0][HYP_BASIC].len == 0)
        return stream_bad(&r->s, "its memory, its clock, shared_info or first vCPU is missing");
    return 0;
}

/* Behind the image libxl's stream ends, too. */
static int get_end(struct restorer *r)
{
    struct record rec;

    if (stream_next(&r->s, &rec))
        return -1;
    return rec.type == LIBXL_END && rec.length == 0
               ? 0
               : stream_bad(&r->s, "more than a PV domain has");
}

/*
 * Before anything is done: it has as many pages as the file has, which may be fewer than it is to have. That and what the
 * hypervisor keeps for it has to be free.
 */
static int check_room(struct restorer *r)
{
    uint64_t nr_free, need = 0;
    size_t bytes;

    if (build_make_room(r->s.t, r->plan.nr_pages, 0, &nr_free))
        return -1;
    if (plat_file_size(r->s.path, &bytes) == 0) { /* of a pipe nobody knows */
        need = bytes / (HYP_PAGE + sizeof(r->pfns[0]));
        need = need < r->plan.max_pages ? need : r->plan.max_pages;
        need += PAGES_KEPT + (uint64_t)PAGES_KEPT_VCPU * r->plan.nr_vcpus;
    }
    return nr_free >= need
               ? 0
               : toolstack_fail(r->s.t, ENOMEM, "%s: no memory for it: of %llu MiB %llu are free",
                                r->s.path, (unsigned long long)(need + 255) >> 8,
                                (unsigned long long)nr_free >> 8);
}

static int build(struct restorer *r, const struct domain_config *c)
{
    int rc, error;

    guest_plan(c, &r->plan);
    rc = check_room(r);
    if (rc)
        return rc;
    rc = build_empty(r->s.t, &r->plan, &r->built.id);
    if (rc)
        return rc;
    rc = get_image(r);
    rc = rc ? rc : get_end(r);
    rc = rc ? rc : restore_finish(r);
    if (rc) {
        error = errno;
        hyp_destroy(r->s.t->hyp, r->built.id);
        errno = error;
        return rc;
    }
    return guest_register(r->s.t, c, &r->plan, &r->built); /* destroys it, too */
}

/* @c  receives what the file says, unless it is given */
static int read_config(struct restorer *r, const struct domain_config *given, const char *text,
                       size_t len, struct domain_config *c)
{
    char wrong[80];

    if (given)
        *c = *given;
    else if (text == NULL)
        return toolstack_fail(r->s.t, ENOENT, "%s: it has no configuration, and none was given",
                              r->s.path);
    else if (config_from_json(c, text, len, wrong, sizeof(wrong)))
        return stream_bad(&r->s, "its configuration: %s", wrong);
    devices_make_macs(c);
    if (guest_check(r->s.t, c))
        return -1;
    return 0;
}

/* What is to begin in the place of one that has ended, by its UUID, is this one; if that fails, it is still to begin. */
static int build_in_its_place(struct restorer *r, const struct domain_config *c)
{
    char *kept = c->has_uuid && r->s.t->store ? restarts_take(r->s.t, c->uuid) : NULL;
    int rc = build(r, c), error = errno;

    if (rc && kept)
        restarts_give_back(r->s.t, c->uuid, kept);
    free(kept);
    errno = error;
    return rc;
}

static int restore(struct restorer *r, const struct domain_config *given)
{
    struct domain_config *c;
    char *text;
    size_t len;
    int rc, error;

    if (stream_open(&r->s, &text, &len))
        return -1;
    c = malloc(sizeof(*c));
    rc = c ? read_config(r, given, text, len, c) : restore_fail(r, "its configuration");
    rc = rc ? rc : build_in_its_place(r, c);
    error = errno;
    free(c);
    free(text);
    errno = error;
    return rc;
}

int guest_restore(struct toolstack *t, const char *path, const struct domain_config *c, domid_t *id)
{
    struct restorer *r = calloc(1, sizeof(*r));
    int rc, error;

    if (r == NULL)
        return toolstack_fail(t, ENOMEM, "no memory");
    r->s = (struct stream){ .t = t, .path = path, .file = plat_file_open(path) };
    rc = r->s.file ? restore(r, c) : toolstack_fail(t, errno, "%s: %s", path, strerror(errno));
    error = errno;
    *id = r->built.id;
    plat_file_close(r->s.file);
    restore_free(r);
    errno = error;
    return rc;
}
