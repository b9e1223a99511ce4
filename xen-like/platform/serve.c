/* What the daemons have in common as Linux programs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "posix.h"

static bool to_background(const struct posix_service *s)
{
    char log[128];

    snprintf(log, sizeof(log), "/var/log/xen/%s.log", s->name);
    if ((s->log_file && !posix_log_to(s->log_file)) ||
        (s->log_file == NULL && s->pid_file && !posix_log_to(log)))
        return false;
    if (s->pid_file == NULL || posix_background())
        return true;
    plat_log(PLAT_ERROR, "no background: %s", strerror(errno));
    return false;
}

int posix_serve(const struct posix_service *s, bool (*start)(struct plat_loop *loop, void *arg),
                void *arg)
{
    struct plat_loop *loop;

    if (!to_background(s))
        return 1;
    loop = plat_loop_new();
    if (loop == NULL) {
        plat_log(PLAT_ERROR, "no event loop: %s", strerror(errno));
        return 1;
    }
    if (!start(loop, arg))
        return 1;
    if (posix_ready(s->pid_file)) {
        plat_log(PLAT_ERROR, "%s: %s", s->pid_file, strerror(errno));
        return 1;
    }
    return plat_loop_run(loop) ? 1 : 0;
}
