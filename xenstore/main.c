/* xen-like-stored: the store's daemon as a Linux program. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"
#include "linux.h"
#include "platform/posix.h"

enum { NR_DOMAIN_SOCKETS = 16 }; /* more are not understood */

/* Where libxenstore looks for it. */
static const char *default_socket(void)
{
    static char path[128];
    const char *from = getenv("XENSTORED_PATH"), *folder = getenv("XENSTORED_RUNDIR");

    if (from && strncmp(from, "/dev/", 5) != 0) /* the kernel's device is for clients */
        return from;
    snprintf(path, sizeof(path), "%s/socket", folder ? folder : "/run/xenstored");
    return path;
}

static const char usage[] =
    "usage: xen-like-stored [OPTION]...\n"
    "  --socket PATH               where clients of domain 0 connect (XENSTORED_PATH,\n"
    "                              XENSTORED_RUNDIR/socket, /run/xenstored/socket)\n"
    "  --domain-socket DOMID:PATH  where clients connect that act as that domain\n"
    "  --region NAME               of the memory that outlives the program (store)\n"
    "  --size MIB                  of that memory (256)\n"
    "  --fresh                     forget what is there\n"
    "  --pid-file PATH             go to the background when it serves, with its process's id there\n"
    "  --log-file PATH             where its log is added (standard error; in the background\n"
    "                              /var/log/xen/xen-like-stored.log)\n";

struct options {
    struct posix_service service;
    const char *socket, *region;
    const char *domain_sockets[NR_DOMAIN_SOCKETS + 1]; /* up to NULL */
    unsigned int nr_domain_sockets;
    unsigned long size;
    bool fresh;
};

static bool parse(struct options *o, int argc, char **argv)
{
    enum { SOCKET = 1, DOMAIN_SOCKET, REGION, SIZE, FRESH, PID_FILE, LOG_FILE };
    static const struct option options[] = {
        { "socket", required_argument, NULL, SOCKET },
        { "domain-socket", required_argument, NULL, DOMAIN_SOCKET },
        { "region", required_argument, NULL, REGION },
        { "size", required_argument, NULL, SIZE },
        { "fresh", no_argument, NULL, FRESH },
        { "pid-file", required_argument, NULL, PID_FILE },
        { "log-file", required_argument, NULL, LOG_FILE },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == SOCKET)
            o->socket = optarg;
        else if (c == DOMAIN_SOCKET && o->nr_domain_sockets < NR_DOMAIN_SOCKETS)
            o->domain_sockets[o->nr_domain_sockets++] = optarg;
        else if (c == REGION)
            o->region = optarg;
        else if (c == SIZE)
            o->size = strtoul(optarg, NULL, 10);
        else if (c == FRESH)
            o->fresh = true;
        else if (c == PID_FILE)
            o->service.pid_file = optarg;
        else if (c == LOG_FILE)
            o->service.log_file = optarg;
        else
            return false;
    }
    return optind == argc && o->size > 0 && o->size <= 65536;
}

/* The ring of domain 0, if this is that. Returns -1: it is, and that fails. */
static int find_own_ring(struct stored_options *o)
{
    o->own = linux_own_ring(&o->own_port);
    o->rings = o->own != NULL;
    if (o->own)
        return 0;
    if (errno == ENOENT) {
        plat_log(PLAT_INFO, "no hypervisor's domain 0: there are no rings, only sockets");
        return 0;
    }
    plat_log(PLAT_ERROR, "domain 0's ring: %s", strerror(errno));
    return -1;
}

static bool start(struct plat_loop *loop, void *arg)
{
    const struct options *o = arg;
    struct stored_options to = { .socket = o->socket,
                                 .domain_sockets = o->domain_sockets,
                                 .region = o->region,
                                 .size_bytes = o->size << 20 };

    if (o->fresh && plat_region_remove(o->region) && errno != ENOENT) {
        plat_log(PLAT_ERROR, "region %s: %s", o->region, strerror(errno));
        return false;
    }
    return find_own_ring(&to) == 0 && stored_start(loop, &to) == 0;
}

int main(int argc, char **argv)
{
    struct options o = { .service.name = "xen-like-stored",
                         .socket = default_socket(),
                         .region = "store",
                         .size = 256 };

    if (!parse(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    return posix_serve(&o.service, start, &o);
}
