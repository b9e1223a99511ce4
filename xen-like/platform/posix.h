/* platform/posix.h: what platform.h on Linux has beside it, for the interface libraries and daemons there. */
#pragma once
#include <platform.h>

/**
 * A descriptor as a stream. It is made non-blocking; plat_close() leaves it open. NULL: ENOMEM.
 */
struct plat_stream *plat_of_fd(int fd);

/**
 * What evtchn_watch() and xenstore_watch() are on Linux: have fn(arg) called as long as a handle's descriptor is
 * readable; fn NULL: not any longer. 0; -1: EBUSY it is watched already, ENOMEM.
 */
int posix_watch_handle(struct plat_loop *l, const void *handle, int fd, void (*fn)(void *arg),
                       void *arg);

/**
 * Of standard input, output and error those that are closed become /dev/null: what is opened now would have their
 * numbers, and be closed with them by posix_ready(). False: errno.
 */
bool posix_fill_standard(void);

/**
 * Go on in the background, before anything is opened; who has started the program waits meanwhile. Returns
 * false, with errno, if that is not possible.
 */
bool posix_background(void);

/**
 * It serves now, in the background if posix_background() was called: write that process's id into a file,
 * and let who waits go on. 0 or -1 with errno.
 */
int posix_ready(const char *pid_file);

/** From now on standard error, and so the log, is added to that file. False: the log says why not. */
bool posix_log_to(const char *path);

/** What a daemon is told by its options; NULL: nothing. */
struct posix_service {
    const char *
        name; /* of the program; in the background its log is /var/log/xen/NAME.log if none is told */
    const char *pid_file; /* then it goes to the background */
    const char *log_file;
};

/**
 * The life of a daemon: its log, the background, a loop in which start(loop, arg) has it serve, and who has started
 * the program may go on.
 * @start  false: it does not serve, the log says why
 * Returns the program's exit status.
 */
int posix_serve(const struct posix_service *s, bool (*start)(struct plat_loop *loop, void *arg),
                void *arg);
