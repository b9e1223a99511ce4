/* See suspend.h. */
#include "suspend.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xen/sched.h>
#include <xenstore.h>

#include "hyp.h"
#include "nodes.h"

#define SUSPEND_NS 60000000000u /* as libxl has it */
#define LOOK_NS 10000000u

static void sleep_a_moment(void)
{
    struct plat_mutex lock = { { 0 } };
    struct plat_cond never = { { 0 } };

    plat_lock(&lock);
    plat_cond_wait(&never, &lock, plat_now() + LOOK_NS);
    plat_unlock(&lock);
}

/* 1: it is; 0: it runs; -1: it never will be. */
static int is_suspended(struct toolstack *t, domid_t id)
{
    guest_info_t info;
    int code;

    if (guest_info(t, id, &info))
        return -1;
    code = guest_shutdown_code(&info);
    if (info.flags & XEN_DOMINF_dying || (code >= 0 && code != SHUTDOWN_suspend))
        return toolstack_fail(t, ESRCH, "domain %u: it has ended", id);
    return code == SHUTDOWN_suspend;
}

int suspend_check(struct toolstack *t, domid_t id)
{
    int is = is_suspended(t, id);

    return is == 0  ? toolstack_fail(t, ESRCH, "domain %u: it is not suspended any more", id)
           : is < 0 ? -1
                    : 0;
}

/* Whether it has suspended itself by then. @at_any_rate  whatever the user wants */
static int wait_for_suspend(struct toolstack *t, domid_t id, uint64_t deadline_ns, bool at_any_rate)
{
    for (;;) {
        int is = is_suspended(t, id);

        if (is)
            return is < 0 ? -1 : 0;
        if (plat_now() >= deadline_ns)
            return toolstack_fail(t, ETIMEDOUT, "domain %u: it does not suspend itself", id);
        if (!at_any_rate && toolstack_go_on(t))
            return -1;
        sleep_a_moment();
    }
}

/* To its kernel the call returns 1: it is where it was, with all it had. */
static int resume(struct toolstack *t, domid_t id)
{
    struct vcpu_guest_context *c = malloc(sizeof(*c));
    size_t len = sizeof(*c);
    int rc = c ? hyp_get_state(t->hyp, id, 0, HYP_BASIC, c, &len) : -1;

    if (rc == 0) {
        c->user_regs.rax = 1;
        rc = hyp_set_state(t->hyp, id, 0, HYP_BASIC, c, len);
    }
    free(c);
    if (rc || hyp_resume(t->hyp, id))
        return toolstack_fail(t, errno, "domain %u: it does not go on: %s", id, strerror(errno));
    if (!xs_resume_domain(t->store, id)) /* its next end is told again */
        return toolstack_fail(t, errno, "domain %u: in the store: %s", id, strerror(errno));
    return 0;
}

/* ---- what follows a failure keeps its error ---- */

struct kept {
    int error;
    char why[sizeof(((struct toolstack *)0)->error)];
};

static void keep(const struct toolstack *t, struct kept *k)
{
    k->error = errno;
    memcpy(k->why, t->error, sizeof(k->why));
}

static void give_back(struct toolstack *t, const struct kept *k)
{
    memcpy(t->error, k->why, sizeof(t->error));
    errno = k->error;
}

static void resume_after_failure(struct toolstack *t, domid_t id)
{
    struct kept k;

    keep(t, &k);
    if (resume(t, id))
        plat_log(PLAT_ERROR, "%s", t->error);
    give_back(t, &k);
}

void suspend_undo(struct toolstack *t, domid_t id, bool was_running)
{
    struct kept k;

    if (was_running)
        resume_after_failure(t, id);
    keep(t, &k);
    if (guest_unpause(t, id))
        plat_log(PLAT_ERROR, "%s", t->error);
    give_back(t, &k);
}

/* ---- asking it ---- */

/*
 * It is not to suspend itself any more, after a failure that is in errno. A kernel that has taken the request out of the
 * node is on its way, and then that is waited for. Returns 0: it was, in vain, too late for that, and is suspended.
 */
static int take_back(struct toolstack *t, domid_t id)
{
    bool late;
    struct kept k;

    keep(t, &k);
    late = nodes_unrequest(t, id, "suspend") && errno == EALREADY;
    late = wait_for_suspend(t, id, plat_now() + (late ? SUSPEND_NS : 0), true) == 0;
    give_back(t, &k);
    return late ? 0 : -1;
}

static int ask(struct toolstack *t, domid_t id)
{
    if (guest_request(t, id, "suspend") == 0 &&
        wait_for_suspend(t, id, plat_now() + SUSPEND_NS, false) == 0)
        return 0;
    if (errno == ESRCH || take_back(t, id))
        return -1;
    if (errno == ETIMEDOUT)
        return 0;
    resume_after_failure(t, id);
    return -1;
}

int suspend_domain(struct toolstack *t, domid_t id, bool *was_running)
{
    guest_info_t info;

    if (guest_info(t, id, &info))
        return -1;
    if (info.flags & XEN_DOMINF_paused)
        return toolstack_fail(t, EBUSY, "domain %u: it is paused, so it cannot suspend itself", id);
    *was_running = guest_shutdown_code(&info) != SHUTDOWN_suspend;
    if (*was_running && ask(t, id))
        return -1;
    if (guest_pause(t, id)) {
        if (*was_running)
            resume_after_failure(t, id);
        return -1;
    }
    if (suspend_check(t, id) == 0)
        return 0;
    suspend_undo(t, id, *was_running && errno != ESRCH);
    return -1;
}

int suspend_end(struct toolstack *t, domid_t id, enum guest_then then)
{
    int rc = then == GUEST_DESTROYED ? guest_destroy(t, id) : resume(t, id);

    if (rc) { /* it can be done again */
        suspend_undo(t, id, false);
        return -1;
    }
    return then == GUEST_GOES_ON ? guest_unpause(t, id) : 0;
}
