/* xen-like-blockd: the block backend as a Linux program, for files and block devices, in the place of Linux's own. */
#include <getopt.h>
#include <stdio.h>

#include "blkback.h"
#include "disk_file.h"
#include "disks.h"
#include "platform/posix.h"
#include "ram_disks.h"

static const char usage[] =
    "usage: xen-like-blockd [OPTION]... [ramN=SIZE]...\n"
    "  --pid-file PATH    go to the background when it serves, with its process's id there\n"
    "  --log-file PATH    where its log is added (standard error; in the background\n"
    "                     /var/log/xen/xen-like-blockd.log)\n"
    "  --qdisk            serve the disks with backendtype=qdisk, QEMU's, and leave others to Linux's backend; else\n"
    "                     all others, and the module xen-blkback must not be loaded\n"
    "A disk is a file or a block device, or /dev/ramN, memory of that size.\n";

struct options {
    struct posix_service service;
    char **words; /* of RAM disks */
    bool qdisk;
};

static bool parse(struct options *o, int argc, char **argv)
{
    enum { PID_FILE = 1, LOG_FILE, QDISK };
    static const struct option known[] = {
        { "pid-file", required_argument, NULL, PID_FILE },
        { "log-file", required_argument, NULL, LOG_FILE },
        { "qdisk", no_argument, NULL, QDISK },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (c) {
        case PID_FILE: o->service.pid_file = optarg; break;
        case LOG_FILE: o->service.log_file = optarg; break;
        case QDISK: o->qdisk = true; break;
        default: return false;
        }
    }
    for (int i = optind; i < argc; i++)
        if (!ram_disks_word(argv[i]))
            return false;
    o->words = argv + optind;
    return true;
}

static bool start(struct plat_loop *loop, void *arg)
{
    struct options *o = arg;
    struct disks *disks = disks_new(loop);

    if (disks == NULL)
        return false;
    disks_set_open(disks, disk_file_open);
    for (char **word = o->words; *word; word++)
        if (ram_disks_add(disks, *word))
            return false;
    return blkback_start(loop, disks, o->qdisk ? "qdisk" : "vbd") != NULL;
}

int main(int argc, char **argv)
{
    struct options o = { .service = { .name = "xen-like-blockd" } };

    if (!parse(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    return posix_serve(&o.service, start, &o);
}
