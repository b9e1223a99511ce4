/* Private to restore.c, which reads the file, and restore_finish.c, which makes the domain out of what was read. */
#pragma once
#include <stdbool.h>

#include "build.h"
#include "hyp.h"
#include "stream.h"
#include "toolstack.h"

enum { LIST_ENTRIES = HYP_PAGE / 8, RESTORE_VCPUS = 64 /* CONFIG_VCPUS */ };

/* What has to come next. */
enum restore_stage { WANTS_PV_INFO, WANTS_STATIC_END, WANTS_P2M, WANTS_PAGES };

struct saved_state {
    void *bytes;
    size_t len; /* 0: none */
};

struct restorer {
    struct stream s;
    struct build_plan plan;
    struct built built;
    enum restore_stage stage;
    struct hyp_policy policy;
    uint64_t
        nr; /* pfns, as the file says: what no page came for is not written, and takes no memory */
    uint64_t end;     /* behind the last that a page came for */
    uint64_t *frame;  /* of each, + 1; 0: there is none */
    uint8_t *type;    /* of each that there is: 0..4, 9..12 of enum saved_type */
    uint64_t nr_list; /* frames of the domain's own list of memory */
    uint64_t *list;   /* their pfns */
    bool has_shared, has_tsc;
    struct record_tsc tsc;
    union {
        struct shared_info info;
        uint8_t bytes[HYP_PAGE];
    } shared;
    struct saved_state state[RESTORE_VCPUS][HYP_MSR_VALUES + 1];
    uint64_t pfns[PAGES_MAX]; /* of a batch */
    xen_pfn_t frames[PAGES_MAX];
};

/** What failed with errno: t's error. Returns -1. */
int restore_fail(struct restorer *r, const char *what);

/** The frame of a pfn, which may be any number; PFN_NONE. */
uint64_t restore_mfn(const struct restorer *r, uint64_t pfn);

/** Some of its memory, to be written. NULL: errno, and the error. */
void *restore_map(struct restorer *r, const xen_pfn_t *frames, size_t n);
void restore_unmap(struct restorer *r, void *at, size_t n);

/** All has been read: it becomes a domain that can run. */
int restore_finish(struct restorer *r);

void restore_free(struct restorer *r);
