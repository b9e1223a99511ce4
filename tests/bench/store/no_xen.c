/*
 * In place of Xen's libraries and Linux' /proc/xen, so that Debian's two stores run on a machine without Xen, for
 * clients of their sockets: to be preloaded. Domain 0 has a ring, and no event ever comes.
 * Their sockets and files are in the folder $XENSTORED_RUNDIR, wherever they want them.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#define __XEN_TOOLS__ 1
#include <xenctrl.h>
#include <xenevtchn.h>
#include <xengnttab.h>

static int event = -1;

xenevtchn_handle *xenevtchn_open(struct xentoollog_logger *logger, unsigned int flags)
{
    (void)logger;
    (void)flags;
    event = eventfd(0, 0);
    return event < 0 ? NULL : (xenevtchn_handle *)&event;
}

int xenevtchn_fd(xenevtchn_handle *h)
{
    (void)h;
    return event;
}

xenevtchn_port_or_error_t xenevtchn_bind_virq(xenevtchn_handle *h, unsigned int virq)
{
    (void)h;
    return (xenevtchn_port_or_error_t)virq + 1;
}

xenevtchn_port_or_error_t xenevtchn_bind_interdomain(xenevtchn_handle *h, uint32_t domid,
                                                     evtchn_port_t remote)
{
    (void)h;
    (void)domid;
    return (xenevtchn_port_or_error_t)remote + 100;
}

int xenevtchn_notify(xenevtchn_handle *h, evtchn_port_t port)
{
    (void)h;
    (void)port;
    return 0;
}

xengnttab_handle *xengnttab_open(xentoollog_logger *logger, unsigned int flags)
{
    static int nothing;

    (void)logger;
    (void)flags;
    return (xengnttab_handle *)&nothing;
}

int xengnttab_set_max_grants(xengnttab_handle *h, uint32_t nr)
{
    (void)h;
    (void)nr;
    return 0;
}

int xengnttab_close(xengnttab_handle *h)
{
    (void)h;
    return 0;
}

xc_interface *xc_interface_open(xentoollog_logger *logger, xentoollog_logger *dom_logger,
                                unsigned int flags)
{
    static int nothing;

    (void)logger;
    (void)dom_logger;
    (void)flags;
    return (xc_interface *)&nothing;
}

int xc_interface_close(xc_interface *h)
{
    (void)h;
    return 0;
}

/* oxenstored wants more descriptors than it may here have. */
int setrlimit(__rlimit_resource_t resource, const struct rlimit *limits)
{
    (void)resource;
    (void)limits;
    return 0;
}

/* ---- files ---- */

/* A descriptor of what /proc/xen would have there; -1: it is another file. */
static int proc_xen(const char *path)
{
    bool page = strcmp(path, "/proc/xen/xsd_kva") == 0 || strcmp(path, "/dev/xen/xenbus") == 0;
    int fd;

    if (!page && strcmp(path, "/proc/xen/xsd_port") != 0)
        return -1;
    fd = memfd_create("xsd", 0);
    if (page ? ftruncate(fd, 4096) != 0 : dprintf(fd, "1") != 1)
        abort();
    lseek(fd, 0, SEEK_SET);
    return fd;
}

int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int fd = proc_xen(path), mode;
    va_list args;

    va_start(args, flags);
    mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, int) : 0;
    va_end(args);
    return fd >= 0 ? fd : next(path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

int bind(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
    int (*next)(int, const struct sockaddr *, socklen_t) =
        (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
    const struct sockaddr *from = address.__sockaddr__;
    struct sockaddr_un to = { .sun_family = AF_UNIX };

    if (from->sa_family != AF_UNIX)
        return next(fd, from, len);
    snprintf(to.sun_path, sizeof(to.sun_path), "%s/socket", getenv("XENSTORED_RUNDIR"));
    return next(fd, (const struct sockaddr *)&to, sizeof(to));
}
