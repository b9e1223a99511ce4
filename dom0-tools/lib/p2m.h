/*
 * What a PV domain has said of its memory: which frame each of its pfns is, and back. It is read while the domain
 * does not run, and is the domain's word: each frame is to be asked for, or mapped, as that domain's.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>

#include "toolstack.h"

#define PFN_NONE UINT64_MAX

struct p2m {
    uint64_t nr;      /* pfns */
    uint64_t *mfn;    /* of each; PFN_NONE: there is none */
    uint64_t nr_list; /* frames that hold the domain's list of them */
    uint64_t *list;   /* these frames' numbers, in order */
    uint32_t *slots;  /* pfns by a hash of their frames */
    uint64_t mask;
};

/**
 * Read it by what the domain keeps in its shared_info: the linear list (p2m_cr3), else the tree of lists.
 * @shared  a copy
 * errno: EINVAL it has kept nothing, or that makes no sense; ENOMEM; of mapping. On failure p is empty.
 */
int p2m_read(struct toolstack *t, const guest_info_t *info, const struct shared_info *shared,
             struct p2m *p);

/** The pfn of a frame; PFN_NONE. */
uint64_t p2m_pfn(const struct p2m *p, uint64_t mfn);

/** All zero is none. */
void p2m_free(struct p2m *p);
