/*
 * copies.h: copies between grants of other domains and memory of ours, gathered and done many at a time.
 *
 * In the embedded control domain they are gathered in the form that the hypervisor takes: at one for each page of a disk
 * another form in between counts. On Linux, and in tests, they are libxengnttab's.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xengnttab.h>

#ifdef __linux__
typedef xengnttab_grant_copy_segment_t copies_op;
#else
#include <rt/grant.h>

#include "frame_of.h"
typedef struct gnttab_copy copies_op;
#endif

enum { COPIES = 256 };

/** Initially all zero but for grants. */
struct copies {
    xengnttab_handle *grants;
    unsigned int nr;
    void *of[COPIES]; /* whose each is */
    copies_op ops[COPIES];
#ifndef __linux__
    struct table table;
#endif
};

/** Then copies_do() is to be called before another one. */
static inline bool copies_full(const struct copies *c) { return c->nr > COPIES - 2; }

#ifdef __linux__

/**
 * One more.
 * @to_grant  or from there
 * @offset @bytes  within a page, where the grant is; anywhere, where ours are
 * @of  whose it is, for copies_do()
 */
static inline void copies_add(struct copies *c, bool to_grant, domid_t domain, grant_ref_t ref,
                              uint32_t offset, void *ours, uint32_t bytes, void *of)
{
    union xengnttab_copy_ptr memory = { .virt = ours }, grant = {
        .foreign = { .ref = ref, .offset = (uint16_t)offset, .domid = domain }
    };

    c->of[c->nr] = of;
    c->ops[c->nr++] = (copies_op){ .source = to_grant ? memory : grant,
                                   .dest = to_grant ? grant : memory,
                                   .len = (uint16_t)bytes,
                                   .flags = to_grant ? GNTCOPY_dest_gref : GNTCOPY_source_gref };
}

/** All of them. failed() is called for each that was not done; it is the guest's own loss, who has not granted it. */
static inline void copies_do(struct copies *c, void (*failed)(void *of))
{
    int rc = c->nr ? xengnttab_grant_copy(c->grants, c->nr, c->ops) : 0;

    for (unsigned int i = 0; i < c->nr; i++)
        if (rc || c->ops[i].status != GNTST_okay)
            failed(c->of[i]);
    c->nr = 0;
}

#else

/* What crosses no page of ours. Where nothing is there the hypervisor refuses. */
static inline __attribute__((always_inline)) void copies_add_piece(struct copies *c, bool to_grant,
                                                                   domid_t domain, grant_ref_t ref,
                                                                   uint32_t offset, char *ours,
                                                                   uint32_t bytes, void *of)
{
    copies_op *op = &c->ops[c->nr];
    struct gnttab_copy_ptr *grant = to_grant ? &op->dest : &op->source,
                           *memory = to_grant ? &op->source : &op->dest;

    grant->u.ref = ref;
    grant->domid = domain;
    grant->offset = (uint16_t)offset;
    memory->u.gmfn = frame_of(&c->table, ours);
    memory->domid = DOMID_SELF;
    memory->offset = (uintptr_t)ours % PAGE_BYTES;
    op->len = (uint16_t)bytes;
    op->flags = to_grant ? GNTCOPY_dest_gref : GNTCOPY_source_gref;
    op->status = GNTST_general_error; /* until it is done */
    c->of[c->nr++] = of;
}

static __attribute__((noinline, unused)) void copies_add_crossing(struct copies *c, bool to_grant,
                                                                  domid_t domain, grant_ref_t ref,
                                                                  uint32_t offset, char *ours,
                                                                  uint32_t bytes, void *of)
{
    uint32_t first = (uint32_t)(PAGE_BYTES - (uintptr_t)ours % PAGE_BYTES);

    copies_add_piece(c, to_grant, domain, ref, offset, ours, first, of);
    copies_add_piece(c, to_grant, domain, ref, offset + first, ours + first, bytes - first, of);
}

static inline void copies_add(struct copies *c, bool to_grant, domid_t domain, grant_ref_t ref,
                              uint32_t offset, void *ours, uint32_t bytes, void *of)
{
    if ((uintptr_t)ours % PAGE_BYTES + bytes > PAGE_BYTES)
        copies_add_crossing(c, to_grant, domain, ref, offset, ours, bytes, of);
    else
        copies_add_piece(c, to_grant, domain, ref, offset, ours, bytes, of);
}

static inline void copies_do(struct copies *c, void (*failed)(void *of))
{
    if (c->nr && grants_copy(c->ops, c->nr))
        for (unsigned int i = 0; i < c->nr; i++)
            if (c->ops[i].status != GNTST_okay)
                failed(c->of[i]);
    c->nr = 0;
    c->table = (struct table){ .entries = NULL };
}

#endif
