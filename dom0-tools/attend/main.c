/*
 * xen-like-attend: the process of a Linux control domain that attends to guests. `xl create` starts it each time;
 * it ends at once if there is one that serves. SIGTERM ends it; guests that end then wait for the next.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "attend.h"
#include "lock.h"
#include "platform/posix.h"

#define PATIENCE_NS 60000000000u /* for one that begins, or ends: it may be starting a guest */

static const char usage[] =
    "usage: xen-like-attend [OPTION]...\n"
    "  --lock-file PATH   locked as long as it serves (/run/xen-like-attend.lock)\n"
    "  --pid-file PATH    go to the background when it serves, with its process's id there\n"
    "  --log-file PATH    where its log is added (standard error; in the background\n"
    "                     /var/log/xen/xen-like-attend.log)\n";

struct files {
    const char *lock, *pid, *log;
};

static bool parse(struct files *f, int argc, char **argv)
{
    enum { LOCK_FILE = 1, PID_FILE, LOG_FILE };
    static const struct option options[] = {
        { "lock-file", required_argument, NULL, LOCK_FILE },
        { "pid-file", required_argument, NULL, PID_FILE },
        { "log-file", required_argument, NULL, LOG_FILE },
        { NULL, 0, NULL, 0 },
    };
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case LOCK_FILE: f->lock = optarg; break;
        case PID_FILE: f->pid = optarg; break;
        case LOG_FILE: f->log = optarg; break;
        default: ok = false;
        }
    }
    return ok && optind == argc;
}

/* ---- its end ---- */

static struct {
    struct plat_loop *loop;
    int lock;
    sigset_t sigterm;
} end;

/* At once nobody relies on us any more, whatever the loop does meanwhile; it ends with that, not in the middle of it. */
static void end_by_sigterm(void *arg)
{
    int signal;

    (void)arg;
    while (sigwait(&end.sigterm, &signal))
        ;
    attend_serves(end.lock, false);
    plat_loop_stop(end.loop);
}

/* Before there are other threads: none is to take the signal. */
static bool await_sigterm(struct plat_loop *loop, int lock)
{
    end.loop = loop;
    end.lock = lock;
    sigemptyset(&end.sigterm);
    sigaddset(&end.sigterm, SIGTERM);
    return sigprocmask(SIG_BLOCK, &end.sigterm, NULL) == 0 &&
           plat_thread_start("sigterm", end_by_sigterm, NULL);
}

/* ---- all together ---- */

/* Serve, who has the lock. Returns the exit status. */
static int serve(const struct files *f, int lock)
{
    struct plat_loop *loop;

    if (f->log && !posix_log_to(f->log))
        return 1;
    if (f->pid && !posix_background()) {
        plat_log(PLAT_ERROR, "attend: no background: %s", strerror(errno));
        return 1;
    }
    loop = plat_loop_new();
    if (loop == NULL || !await_sigterm(loop, lock)) {
        plat_log(PLAT_ERROR, "attend: %s", strerror(errno));
        return 1;
    }
    if (!attend_start(loop, false))
        return 1;
    if (attend_serves(lock, true) || posix_ready(f->pid)) {
        plat_log(PLAT_ERROR, "attend: %s, %s: %s", f->lock, f->pid ? f->pid : "no file of its id",
                 strerror(errno));
        return 1;
    }
    plat_log(PLAT_INFO, "attend: guests are attended to");
    return plat_loop_run(loop) ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct files f = { .lock = "/run/xen-like-attend.lock" };
    int lock;

    if (!parse(&f, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    closefrom(STDERR_FILENO + 1); /* what who called xl has open, perhaps locked, is not for ever */
    if (f.log == NULL && f.pid)
        f.log = "/var/log/xen/xen-like-attend.log";
    lock = posix_fill_standard() ? attend_lock(f.lock, PATIENCE_NS) : -2;
    if (lock == -1)
        return 0;
    if (lock < 0 && errno == ETIMEDOUT)
        plat_log(PLAT_ERROR, "attend: another one has locked %s, and neither serves nor ends",
                 f.lock);
    else if (lock < 0)
        plat_log(PLAT_ERROR, "attend: %s: %s", f.lock, strerror(errno));
    return lock < 0 ? 1 : serve(&f, lock);
}
