#include "consoled_pty.h"

#include <errno.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "platform/posix.h"

/* Its other side stays open, so that it does not end when somebody's `xl console` does. */
static struct pty {
    struct pty *next;
    struct plat_stream *stream;
    int master, slave;
} * ptys;

static void close_ends(struct pty *p)
{
    int error = errno;

    close(p->master);
    close(p->slave);
    free(p);
    errno = error;
}

static int name_of(const struct pty *p, char *path, size_t size)
{
    int rc = ttyname_r(p->slave, path, size);

    if (rc)
        errno = rc;
    return rc;
}

struct plat_stream *pty_open(char *path, size_t size)
{
    struct pty *p = calloc(1, sizeof(*p));
    struct termios raw;

    if (p == NULL || openpty(&p->master, &p->slave, NULL, NULL, NULL)) {
        free(p);
        return NULL;
    }
    if (name_of(p, path, size) == 0 && tcgetattr(p->slave, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(p->slave, TCSANOW, &raw);
        p->stream = plat_of_fd(p->master);
    }
    if (p->stream == NULL) {
        close_ends(p);
        return NULL;
    }
    p->next = ptys;
    ptys = p;
    return p->stream;
}

void pty_close(struct plat_stream *tty)
{
    struct pty **at = &ptys, *p;

    while ((*at)->stream != tty)
        at = &(*at)->next;
    p = *at;
    *at = p->next;
    plat_close(tty);
    close_ends(p);
}
