/*
 * xen-like-attend: the process of a Linux control domain that attends to guests. `xl create` starts it each time;
 * it ends at once if there is one. SIGTERM ends it; guests that end then wait for the next.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "attend.h"
#include "platform/posix.h"

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

/* 1: it is ours, to the process's end; 0: another process's; -1: errno. The file itself stays for good. */
static int lock(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return 1;
    if (errno == EWOULDBLOCK) {
        close(fd);
        return 0;
    }
    return -1;
}

static void stop(void *loop, unsigned int ready)
{
    (void)ready;
    plat_loop_stop(loop);
}

/* Not in the middle of a domain that it starts again. */
static bool end_by_sigterm(struct plat_loop *loop)
{
    struct plat_stream *s;
    sigset_t set;
    int fd;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd = signalfd(-1, &set, SFD_CLOEXEC);
    s = fd < 0 ? NULL : plat_of_fd(fd);
    if (s == NULL)
        return false;
    plat_watch(loop, s, PLAT_READABLE, stop, loop);
    return true;
}

int main(int argc, char **argv)
{
    struct files f = { .lock = "/run/xen-like-attend.lock" };
    struct plat_loop *loop;
    int locked;

    if (!parse(&f, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    closefrom(STDERR_FILENO + 1); /* what who called xl has open, perhaps locked, is not for ever */
    if (f.log == NULL && f.pid)
        f.log = "/var/log/xen/xen-like-attend.log";
    locked = lock(f.lock);
    if (locked < 0)
        plat_log(PLAT_ERROR, "attend: %s: %s", f.lock, strerror(errno));
    if (locked <= 0)
        return locked ? 1 : 0;
    if (f.log && !posix_log_to(f.log))
        return 1;
    if (f.pid && !posix_background()) {
        plat_log(PLAT_ERROR, "attend: no background: %s", strerror(errno));
        return 1;
    }
    loop = plat_loop_new();
    if (loop == NULL || !end_by_sigterm(loop)) {
        plat_log(PLAT_ERROR, "attend: %s", strerror(errno));
        return 1;
    }
    if (!attend_start(loop, false))
        return 1;
    if (posix_ready(f.pid)) {
        plat_log(PLAT_ERROR, "attend: %s: %s", f.pid, strerror(errno));
        return 1;
    }
    plat_log(PLAT_INFO, "attend: guests are attended to");
    return plat_loop_run(loop) ? 1 : 0;
}
