/* See lock.h. */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <platform.h>

#define POLL_NS 20000000

enum { THE_ONE, SERVES }; /* bytes */

static int byte_lock(int fd, int cmd, short type, off_t byte, short *is)
{
    struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    int rc = fcntl(fd, cmd, &l);

    if (is)
        *is = l.l_type;
    return rc;
}

/* 1: another one serves; 0: it does not yet, or not any more; -1: errno. */
static int is_served(int fd)
{
    short is;

    if (byte_lock(fd, F_OFD_GETLK, F_WRLCK, SERVES, &is))
        return -1;
    return is != F_UNLCK;
}

static int try_lock(int fd) { return byte_lock(fd, F_OFD_SETLK, F_WRLCK, THE_ONE, NULL); }

/* As attend_lock(); 0: it is ours. */
static int wait_for(int fd, uint64_t deadline_ns)
{
    static const struct timespec pause = { .tv_nsec = POLL_NS };

    while (try_lock(fd)) {
        int served = errno == EAGAIN || errno == EACCES ? is_served(fd) : -1;

        if (served)
            return served > 0 ? -1 : -2;
        if (plat_now() >= deadline_ns) {
            errno = ETIMEDOUT;
            return -2;
        }
        nanosleep(&pause, NULL);
    }
    return 0;
}

int attend_lock(const char *path, uint64_t patience_ns)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), rc, error;

    if (fd < 0)
        return -2;
    rc = wait_for(fd, plat_now() + patience_ns);
    if (rc == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return rc;
}

int attend_serves(int fd, bool serves)
{
    return byte_lock(fd, F_OFD_SETLK, serves ? F_WRLCK : F_UNLCK, SERVES, NULL);
}
