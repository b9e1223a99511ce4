/* Linux's part of what goes out and comes in at its interface. Sums and segments are done by the switch, before and behind it. */
#include "link_tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet.h"
#include "platform/posix.h"

enum {
    MTU = 1500,
    TAGS_BYTES = 8,
    TURN = 64, /* frames that are taken before others have a turn */
};

struct link_fd {
    struct link link;
    struct plat_loop *loop;
    int fd;
};

/* ---- frames ---- */

/* What finds no room is dropped, as by any card. */
static void send_frame(struct link *l, struct frame *f)
{
    ssize_t n = write(((struct link_fd *)l)->fd, f->data, f->bytes);

    (void)n;
}

static void flush(struct link *l) { (void)l; }

static void close_link(struct link *l)
{
    struct link_fd *t = (struct link_fd *)l;

    posix_watch_handle(t->loop, t, t->fd, NULL, NULL);
    close(t->fd);
    free(t);
}

/* False: there is none, or no memory for it. */
static bool receive(struct link_fd *t)
{
    struct frame *f = frame_alloc(ETH_HEADER + TAGS_BYTES + MTU);
    ssize_t n = f ? read(t->fd, f->data, f->room) : -1;

    if (n >= FRAME_MIN && t->link.received) {
        f->bytes = (uint32_t)n;
        t->link.received(t->link.arg, f);
    }
    if (f)
        frame_put(f);
    return n > 0;
}

static void readable(void *arg)
{
    struct link_fd *t = arg;

    for (unsigned int i = 0; i < TURN && receive(t); i++)
        ;
    if (t->link.received_all)
        t->link.received_all(t->link.arg);
}

struct link *link_of_fd(struct plat_loop *l, int fd)
{
    static const struct link_ops ops = { .send = send_frame, .flush = flush, .close = close_link };
    struct link_fd *t = calloc(1, sizeof(*t));

    if (t && posix_watch_handle(l, t, fd, readable, t) == 0) {
        t->link = (struct link){ .ops = &ops, .mtu = MTU, .up = true };
        t->loop = l;
        t->fd = fd;
        return &t->link;
    }
    free(t);
    close(fd);
    return NULL;
}

/* ---- the interface ---- */

static int make_tap(const char *bridge, struct ifreq *r)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -1;
    *r = (struct ifreq){ .ifr_flags = IFF_TAP | IFF_NO_PI };
    snprintf(r->ifr_name, sizeof(r->ifr_name), "xl-%.*s", IFNAMSIZ - 4, bridge);
    if (ioctl(fd, TUNSETIFF, r) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Into the bridge, and up. */
static int connect_tap(const char *bridge, struct ifreq *tap)
{
    struct ifreq r = { .ifr_flags = 0 };
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = -1, error;

    if (s < 0)
        return -1;
    strncpy(r.ifr_name, bridge, sizeof(r.ifr_name) - 1);
    if (ioctl(s, SIOCGIFINDEX, tap) == 0) {
        r.ifr_ifindex = tap->ifr_ifindex;
        rc = ioctl(s, SIOCBRADDIF, &r);
        tap->ifr_flags = IFF_UP;
        rc = rc ? rc : ioctl(s, SIOCSIFFLAGS, tap);
    }
    error = errno;
    close(s);
    errno = error;
    return rc;
}

struct link *link_tap(struct plat_loop *l, const char *bridge)
{
    struct ifreq tap;
    int fd, error;

    if (strlen(bridge) >= IFNAMSIZ) {
        errno = ENODEV;
        return NULL;
    }
    fd = make_tap(bridge, &tap);
    if (fd < 0)
        return NULL;
    if (connect_tap(bridge, &tap) == 0)
        return link_of_fd(l, fd);
    error = errno;
    close(fd);
    errno = error;
    return NULL;
}
