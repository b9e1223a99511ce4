/* See restore.h. In what was saved pfns stand for frames: here they become the new frames. */
#include "restore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "p2m.h"

#include "x86/pte.h" /* the hypervisor's */

#define FOREIGN_OR_MARK (3ull << 62) /* in the list of memory: the kernel's own word */

void *restore_map(struct restorer *r, const xen_pfn_t *frames, size_t n)
{
    void *at = xenforeignmemory_map(hyp_memory(r->s.t->hyp), r->built.id, PROT_READ | PROT_WRITE, n,
                                    frames, NULL);

    if (at == NULL)
        restore_fail(r, "its memory cannot be mapped");
    return at;
}

void restore_unmap(struct restorer *r, void *at, size_t n)
{
    xenforeignmemory_unmap(hyp_memory(r->s.t->hyp), at, n);
}

uint64_t restore_mfn(const struct restorer *r, uint64_t pfn)
{
    return pfn < r->end && r->frame[pfn] ? r->frame[pfn] - 1 : PFN_NONE;
}

/* The frame of a pfn that something else in the file names. */
static int to_mfn(struct restorer *r, uint64_t pfn, const char *what, uint64_t *mfn)
{
    *mfn = restore_mfn(r, pfn);
    if (*mfn != PFN_NONE)
        return 0;
    return stream_bad(&r->s, "%s is page 0x%llx, which there is not", what,
                      (unsigned long long)pfn);
}

/* The same of a page that is no page table, and so may be written. */
static int to_plain(struct restorer *r, uint64_t pfn, const char *what, uint64_t *mfn)
{
    if (to_mfn(r, pfn, what, mfn))
        return -1;
    return r->type[pfn] == PAGE_PLAIN ? 0 : stream_bad(&r->s, "%s is a page table", what);
}

/* ---- page tables ---- */

static int finish_table(struct restorer *r, uint64_t *table, unsigned int level)
{
    for (unsigned int i = 0; i < LIST_ENTRIES; i++) {
        uint64_t mfn = 0;

        if (level == 4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT)
            table[i] = 0; /* the hypervisor's */
        if (!(table[i] & PTE_P))
            continue;
        if (to_mfn(r, pte_mfn(table[i]), "what a page table maps", &mfn))
            return -1;
        table[i] = (table[i] & ~PTE_ADDR_MASK) | mfn << PAGE_SHIFT;
    }
    return 0;
}

/* Of the n tables that pfns and frames name. */
static int finish_batch(struct restorer *r, size_t n)
{
    uint64_t(*at)[LIST_ENTRIES] = n ? restore_map(r, r->frames, n) : NULL;
    int rc = n == 0 || at ? 0 : -1;

    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = finish_table(r, at[i], r->type[r->pfns[i]] & 7);
    if (at)
        restore_unmap(r, at, n);
    return rc;
}

static int finish_tables(struct restorer *r)
{
    size_t n = 0;

    for (uint64_t pfn = 0; pfn < r->end; pfn++) {
        if (r->type[pfn] == PAGE_PLAIN)
            continue;
        r->pfns[n] = pfn;
        r->frames[n++] = restore_mfn(r, pfn);
        if (n == PAGES_MAX) {
            if (finish_batch(r, n))
                return -1;
            n = 0;
        }
    }
    return finish_batch(r, n);
}

/* From the roots on, so that what they have is checked once; then the others. */
static int pin_tables(struct restorer *r)
{
    for (unsigned int level = 4; level; level--)
        for (uint64_t pfn = 0; pfn < r->end; pfn++)
            if (r->type[pfn] == PAGE_PINNED + level &&
                hyp_pin(r->s.t->hyp, r->built.id, level, restore_mfn(r, pfn)))
                return restore_fail(r, "its page tables are refused");
    return 0;
}

/* ---- what its kernel and we share ---- */

/* What it had to say of pfns that are no memory stays. */
static int finish_p2m(struct restorer *r)
{
    for (uint64_t i = 0; i < r->nr_list; i++) {
        uint64_t first = i * LIST_ENTRIES, mfn, *at;

        if (to_plain(r, r->list[i], "a part of its list of memory", &mfn))
            return -1;
        at = restore_map(r, &mfn, 1);
        if (at == NULL)
            return -1;
        for (uint64_t k = 0; k < LIST_ENTRIES && first + k < r->nr; k++)
            if (restore_mfn(r, first + k) != PFN_NONE || !(at[k] & FOREIGN_OR_MARK))
                at[k] = restore_mfn(r, first + k);
        restore_unmap(r, at, 1);
    }
    return 0;
}

/* Its kernel has written its rings' pfns there. */
static int finish_start_info(struct restorer *r, uint64_t shared_info_mfn, uint64_t mfn)
{
    start_info_t *si = restore_map(r, &mfn, 1);
    uint64_t store_pfn, console_pfn;
    int rc;

    if (si == NULL)
        return -1;
    store_pfn = si->store_mfn;
    console_pfn = si->console.domU.mfn;
    rc = to_plain(r, store_pfn, "its ring for the store", &r->built.store_mfn);
    rc = rc ? rc : to_plain(r, console_pfn, "its ring for the console", &r->built.console_mfn);
    if (rc == 0) {
        si->nr_pages = r->nr;
        si->shared_info = shared_info_mfn * HYP_PAGE;
        si->flags = 0;
        si->store_mfn = r->built.store_mfn;
        si->store_evtchn = r->built.store_port;
        si->console.domU.mfn = r->built.console_mfn;
        si->console.domU.evtchn = r->built.console_port;
    }
    restore_unmap(r, si, 1);
    return rc;
}

/* No event is on its way, and all ports are masked; its time is the hypervisor's. */
static int finish_shared_info(struct restorer *r, uint64_t mfn)
{
    const struct shared_info *saved = &r->shared.info;
    struct shared_info *s = restore_map(r, &mfn, 1);

    if (s == NULL)
        return -1;
    s->arch = saved->arch;
    s->arch.pfn_to_mfn_frame_list_list = 0; /* were frames, and it sets them anew */
    s->arch.p2m_cr3 = 0;
    memset(s->evtchn_pending, 0, sizeof(s->evtchn_pending));
    memset(s->evtchn_mask, 0xff, sizeof(s->evtchn_mask));
    for (unsigned int v = 0; v < XEN_LEGACY_MAX_VCPUS; v++) {
        s->vcpu_info[v].evtchn_upcall_pending = 0;
        s->vcpu_info[v].evtchn_upcall_mask = saved->vcpu_info[v].evtchn_upcall_mask;
        s->vcpu_info[v].evtchn_pending_sel = 0;
        s->vcpu_info[v].arch = saved->vcpu_info[v].arch;
    }
    restore_unmap(r, s, 1);
    return 0;
}

/* ---- vCPUs ---- */

static int finish_context(struct restorer *r, struct vcpu_guest_context *c, uint32_t vcpu)
{
    uint64_t mfn = 0;

    if (c->gdt_ents > FIRST_RESERVED_GDT_ENTRY)
        return stream_bad(&r->s, "a GDT of %lu entries", (unsigned long)c->gdt_ents);
    for (unsigned int i = 0; i * LIST_ENTRIES < c->gdt_ents; i++) {
        if (to_mfn(r, c->gdt_frames[i], "a part of its GDT", &mfn))
            return -1;
        c->gdt_frames[i] = mfn;
    }
    if (to_mfn(r, c->ctrlreg[3] >> PAGE_SHIFT, "its root of page tables", &mfn))
        return -1;
    c->ctrlreg[3] = mfn << PAGE_SHIFT;
    if (c->ctrlreg[1]) {
        if (to_mfn(r, c->ctrlreg[1] >> PAGE_SHIFT, "its second root of page tables", &mfn))
            return -1;
        c->ctrlreg[1] = mfn << PAGE_SHIFT;
    }
    if (vcpu == 0)
        return to_plain(r, c->user_regs.rdx, "its start_info", &c->user_regs.rdx);
    return 0;
}

static int set_vcpu_failed(struct restorer *r, uint32_t vcpu, const char *name)
{
    char what[64];

    snprintf(what, sizeof(what), "vCPU %u: its %s are refused", vcpu, name);
    return restore_fail(r, what);
}

static int set_vcpu(struct restorer *r, uint32_t vcpu)
{
    static const char *const names[] = { "registers", "callbacks", "FPU", "MSRs" };

    for (unsigned int what = HYP_BASIC; what <= HYP_MSR_VALUES; what++) {
        const struct saved_state *state = &r->state[vcpu][what];

        if (state->len &&
            hyp_set_state(r->s.t->hyp, r->built.id, vcpu, what, state->bytes, state->len))
            return set_vcpu_failed(r, vcpu, names[what]);
    }
    return 0;
}

/* ---- all together ---- */

static int finish_contexts(struct restorer *r)
{
    for (uint32_t v = 0; v < r->plan.nr_vcpus; v++) {
        const struct saved_state *basic = &r->state[v][HYP_BASIC];

        if (basic->len && finish_context(r, basic->bytes, v))
            return -1;
    }
    return 0;
}

static int set_tsc(struct restorer *r)
{
    const struct xen_domctl_tsc_info tsc = { .tsc_mode = r->tsc.mode,
                                             .gtsc_khz = r->tsc.khz,
                                             .incarnation = r->tsc.incarnation,
                                             .elapsed_nsec = r->tsc.nsec };

    return hyp_set_tsc(r->s.t->hyp, r->built.id, &tsc) ? restore_fail(r, "its clock is refused")
                                                       : 0;
}

int restore_finish(struct restorer *r)
{
    const struct vcpu_guest_context *first;
    guest_info_t info;

    if (guest_info(r->s.t, r->built.id, &info) || build_ports(r->s.t, &r->built) ||
        finish_contexts(r))
        return -1;
    first = r->state[0][HYP_BASIC].bytes;
    if (finish_start_info(r, info.shared_info_frame, first->user_regs.rdx) || finish_p2m(r) ||
        finish_shared_info(r, info.shared_info_frame) || finish_tables(r) ||
        build_grant_rings(r->s.t, r->built.id, r->built.store_mfn, r->built.console_mfn) ||
        pin_tables(r) || set_tsc(r))
        return -1;
    for (uint32_t v = 0; v < r->plan.nr_vcpus; v++)
        if (set_vcpu(r, v))
            return -1;
    return 0;
}

void restore_free(struct restorer *r)
{
    for (unsigned int v = 0; v < RESTORE_VCPUS; v++)
        for (unsigned int what = HYP_BASIC; what <= HYP_MSR_VALUES; what++)
            free(r->state[v][what].bytes);
    free(r->frame);
    free(r->type);
    free(r->list);
    free(r);
}
