/*
 * See xl_terminal.h. A domain's console is a pseudo terminal: the console daemon has the master, and writes the
 * slave's name into the store. When the daemon is started anew it is another one.
 */
#include "xl_terminal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

#include <platform.h>
#include <xenstore.h>

#include "consoled/consoled.h"
#include "lib/hyp.h"
#include "print.h"
#include "platform/posix.h"
#include "xenstore_loop.h"

#define WAIT_NS 5000000000u /* for the daemon to say where the console is, as xl's client does */

/* ---- what commands have said ---- */

static void show(struct text *t, FILE *where)
{
    if (t->len_bytes)
        fwrite(t->bytes, 1, t->len_bytes, where);
    text_free(t);
    fflush(where);
}

void terminal_show(struct xl *x)
{
    show(&x->out, stdout);
    show(&x->err, stderr);
}

/* "0000:00:01.0" */
static unsigned int list_devices(struct xl_pci devices[HYP_PCI])
{
    DIR *folder = opendir("/sys/bus/pci/devices");
    unsigned int nr = 0;
    struct dirent *e;

    while (folder && nr < HYP_PCI && (e = readdir(folder)) != NULL) {
        struct xl_pci *d = &devices[nr];

        if (sscanf(e->d_name, "%x:%x:%x.%x", &d->segment, &d->bus, &d->device, &d->function) == 4)
            nr++;
    }
    if (folder)
        closedir(folder);
    return nr;
}

void terminal_kernel(struct xl_info *info)
{
    static struct xl_pci devices[HYP_PCI];
    static struct utsname name;

    info->devices = devices;
    info->nr_devices = list_devices(devices);

    if (uname(&name))
        return;
    info->host = name.nodename;
    info->release = name.release;
    info->version = name.version;
    info->machine = name.machine;
}

/* ---- raw mode, which must not outlive the program ---- */

static struct termios cooked;
static volatile sig_atomic_t is_raw;

static void restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &cooked);
    is_raw = 0;
}

static void on_signal(int number)
{
    restore();
    signal(number, SIG_DFL);
    raise(number); /* when the handler returns */
}

/* Of a script there is nothing to change. @all  Ctrl-C, too, is for whoever reads; else only keys come as they are */
static void make_raw(bool all)
{
    static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
    static bool is_prepared;
    struct termios raw;

    if (tcgetattr(STDIN_FILENO, &cooked))
        return;
    if (!is_prepared)
        atexit(restore);
    is_prepared = true;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        signal(ends[i], on_signal);
    raw = cooked;
    if (all)
        cfmakeraw(&raw);
    else
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    is_raw = 1;
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
}

bool terminal_wait(struct xl *x, unsigned int seconds, bool keys)
{
    uint64_t end = plat_now() + seconds * 1000000000ull, now;
    struct pollfd in = { .fd = keys && isatty(STDIN_FILENO) ? STDIN_FILENO : -1, .events = POLLIN };
    bool enough = false;
    char c;

    (void)x;
    if (in.fd >= 0)
        make_raw(false);
    while (!enough && (now = plat_now()) < end)
        if (poll(&in, 1, (int)((end - now + 999999) / 1000000)) > 0)
            enough = read(in.fd, &c, 1) != 1 || c == 'q';
    if (in.fd >= 0)
        restore();
    return !enough;
}

/* ---- where the console is ---- */

struct client {
    struct xl *x;
    domid_t id;
    unsigned int number;
    char node[64];
    struct xs_handle *store; /* another connection than the toolstack's: it has a watch */
    struct plat_loop *loop;
    struct plat_stream *terminal;
    bool late; /* it has been waited long enough */
};

static bool is_there(struct client *c)
{
    guest_info_t info;

    return guest_info(&c->x->tools, c->id, &info) == 0 && !(info.flags & XEN_DOMINF_dying);
}

/* The terminal of that name, if it is one and has another end. */
static int open_tty(const char *path)
{
    int fd = strncmp(path, "/dev/", 5) == 0 ? open(path, O_RDWR | O_NOCTTY | O_CLOEXEC) : -1;

    if (fd >= 0 && isatty(fd))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int open_named(struct client *c)
{
    char *path = xs_read(c->store, XBT_NULL, c->node, NULL);
    int fd = path ? open_tty(path) : -1;

    free(path);
    return fd;
}

static void on_store(void *arg)
{
    struct client *c = arg;
    char **event;

    while ((event = xs_check_watch(c->store)) != NULL)
        free(event);
    plat_loop_stop(c->loop);
}

static void on_time(void *arg)
{
    struct client *c = arg;

    c->late = true;
    plat_loop_stop(c->loop);
}

/* Wait for it, while there is a domain that may have one. Returns a descriptor; -1. */
static int find_tty(struct client *c)
{
    struct plat_timer timer = { .fn = on_time, .arg = c };
    int fd;

    c->late = false;
    plat_timer_set(c->loop, &timer, plat_now() + WAIT_NS);
    if (xenstore_watch(c->loop, c->store, on_store, c))
        c->late = true;
    while ((fd = open_named(c)) < 0 && is_there(c) && !c->late)
        plat_loop_run(c->loop);
    xenstore_watch(c->loop, c->store, NULL, NULL);
    plat_timer_cancel(&timer);
    return fd;
}

/* ---- at it ---- */

/* False: it was not the user who ended it. */
static bool talk(struct client *c, int fd)
{
    struct plat_stream *tty = plat_of_fd(fd);
    bool ended = tty && console_talk(c->loop, c->terminal, tty);

    if (tty)
        plat_close(tty);
    close(fd);
    return !ended;
}

static bool open_client(struct client *c)
{
    if (c->number)
        snprintf(c->node, sizeof(c->node), "/local/domain/%u/device/console/%u/tty", c->id,
                 c->number);
    else
        snprintf(c->node, sizeof(c->node), "/local/domain/%u/console/tty", c->id);
    c->store = xs_open(0);
    c->loop = c->store ? plat_loop_new() : NULL;
    c->terminal = c->loop ? plat_console() : NULL;
    if (c->terminal && xs_watch(c->store, c->node, "") && xs_watch(c->store, "@releaseDomain", ""))
        return true;
    xl_fail(c->x, "xl: console: %s", strerror(errno));
    return false;
}

static void close_client(struct client *c)
{
    if (c->terminal)
        plat_close(c->terminal);
    if (c->loop)
        plat_loop_free(c->loop);
    if (c->store)
        xs_close(c->store);
}

int terminal_console(struct xl *x, const char *who, unsigned int number,
                     void (*attached)(void *arg), void *arg)
{
    struct client c = { .x = x, .number = number };
    int rc = EXIT_FAILED, fd;

    if (!xl_domain_of(x, who, &c.id))
        return EXIT_FAILED;
    if (open_client(&c) && (fd = find_tty(&c)) >= 0) {
        terminal_show(x);
        make_raw(true);
        if (attached)
            attached(arg);
        while (fd >= 0 && !talk(&c, fd) && is_there(&c)) /* else the daemon is started anew */
            fd = find_tty(&c);
        restore();
        rc = EXIT_OK;
    }
    close_client(&c);
    return rc == EXIT_OK ? rc : xl_fail(x, "Unable to attach console");
}
