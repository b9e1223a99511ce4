/* xen-like-netd: netback and the virtual switch as a Linux program, in the place of Linux's own and its bridges' ports. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "link_tap.h"
#include "netback.h"
#include "platform/posix.h"

static const char usage[] =
    "usage: xen-like-netd [OPTION]... [BRIDGE]...\n"
    "  --pid-file PATH    go to the background when it serves, with its process's id there\n"
    "  --log-file PATH    where its log is added (standard error; in the background\n"
    "                     /var/log/xen/xen-like-netd.log)\n"
    "Interfaces of guests are ports of our switch, one for each name of a bridge. Of each BRIDGE that is named here, one of\n"
    "Linux's, the switch of that name is a part, by the interface xl-BRIDGE. The module xen-netback must not be loaded.\n";

enum { QUEUES = 4 };

static bool parse(struct posix_service *s, int argc, char **argv)
{
    enum { PID_FILE = 1, LOG_FILE };
    static const struct option options[] = {
        { "pid-file", required_argument, NULL, PID_FILE },
        { "log-file", required_argument, NULL, LOG_FILE },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case PID_FILE: s->pid_file = optarg; break;
        case LOG_FILE: s->log_file = optarg; break;
        default: return false;
        }
    }
    return true;
}

static bool start(struct plat_loop *loop, void *arg)
{
    struct netback *n = netback_start(loop, &(struct netback_options){ .queues = QUEUES });

    if (n == NULL)
        return false;
    for (char **bridge = arg; *bridge; bridge++) {
        struct link *l = link_tap(loop, *bridge);

        if (l == NULL || netback_uplink(n, *bridge, l)) {
            plat_log(PLAT_ERROR, "%s has no part of that name: %s", *bridge, strerror(errno));
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    struct posix_service s = { .name = "xen-like-netd" };

    if (!parse(&s, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    return posix_serve(&s, start, argv + optind);
}
