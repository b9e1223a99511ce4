/* See build.h: the beginning of a domain without a kernel, and its frames as whoever goes on with it finds them. */
#include "build.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hyp.h"
#include "shell.h"
#include "toolstack.h"

/*
 * The domain's last pages list its frames by pfn; the page before these lists their frames, one entry for each
 * ENTRIES pages of the domain. Its own frame is what is known of the shell.
 */
enum { ENTRIES = HYP_PAGE / sizeof(uint64_t), MAP_BATCH = 256 };

_Static_assert(SHELL_MAX_KIB / (HYP_PAGE / 1024) <= ENTRIES * ENTRIES, "one page lists the pages");

static uint64_t nr_lists(uint64_t nr_pages) { return (nr_pages + ENTRIES - 1) / ENTRIES; }

static int failed(struct toolstack *t, const char *what)
{
    return toolstack_fail(t, errno, "%s: %s", what, strerror(errno));
}

/* Copy frames that are full of numbers, from or to nr of them. Read, they are cleared. */
static int copy(struct toolstack *t, domid_t id, const uint64_t *mfns, uint64_t *numbers,
                uint64_t nr, bool write)
{
    xenforeignmemory_handle *memory = hyp_memory(t->hyp);

    while (nr) {
        uint64_t pages = nr_lists(nr) < MAP_BATCH ? nr_lists(nr) : MAP_BATCH;
        uint64_t n = nr < pages * ENTRIES ? nr : pages * ENTRIES;
        xen_pfn_t frames[MAP_BATCH];
        uint64_t *at;

        memcpy(frames, mfns, pages * sizeof(frames[0]));
        at = xenforeignmemory_map(memory, id, PROT_READ | PROT_WRITE, pages, frames, NULL);
        if (at == NULL)
            return failed(t, "a shell's list of frames cannot be mapped");
        memcpy(write ? at : numbers, write ? numbers : at, n * sizeof(*at));
        if (!write)
            memset(at, 0, n * sizeof(*at));
        xenforeignmemory_unmap(memory, at, pages);
        mfns += pages;
        numbers += n;
        nr -= n;
    }
    return 0;
}

static int list_frames(struct toolstack *t, struct shell *s, uint64_t *p2m)
{
    uint64_t nr = s->nr_pages, lists = nr_lists(nr);

    if (lists + 1 > nr)
        return toolstack_fail(t, EINVAL, "too small for a shell");
    s->list_mfn = p2m[nr - lists - 1];
    if (copy(t, s->id, p2m + nr - lists, p2m, nr, true))
        return -1;
    return copy(t, s->id, p2m + nr - lists - 1, p2m + nr - lists, lists, true);
}

int build_shell_frames(struct toolstack *t, const struct shell *s, uint64_t *p2m)
{
    uint64_t lists[ENTRIES], list = s->list_mfn;

    if (nr_lists(s->nr_pages) > ENTRIES)
        return toolstack_fail(t, EINVAL, "too large for a shell");
    if (copy(t, s->id, &list, lists, nr_lists(s->nr_pages), false))
        return -1;
    return copy(t, s->id, lists, p2m, s->nr_pages, false);
}

static int fill(struct toolstack *t, struct shell *s, uint64_t *p2m)
{
    struct built built = { .id = s->id };
    guest_info_t info;

    if (hyp_populate(t->hyp, s->id, 0, s->nr_pages, p2m) != s->nr_pages)
        return toolstack_fail(t, ENOMEM, "no memory for a shell");
    if (build_ports(t, &built) || guest_info(t, s->id, &info) ||
        build_mask_upcalls(t, s->id, info.shared_info_frame))
        return -1;
    s->store_port = built.store_port;
    s->console_port = built.console_port;
    return list_frames(t, s, p2m);
}

int build_shell(struct toolstack *t, const struct build_plan *plan, struct shell *s)
{
    uint64_t *p2m = malloc(plan->nr_pages * sizeof(*p2m));
    int rc, error;

    if (p2m == NULL)
        return failed(t, "a shell's list of frames");
    s->nr_pages = plan->nr_pages;
    s->nr_vcpus = plan->nr_vcpus;
    rc = build_empty(t, plan, &s->id);
    if (rc == 0 && (rc = fill(t, s, p2m)) != 0) {
        error = errno;
        hyp_destroy(t->hyp, s->id);
        errno = error;
    }
    free(p2m);
    return rc;
}
