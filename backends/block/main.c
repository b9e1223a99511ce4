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
    "A disk is a file or a block device, or /dev/ramN, memory of that size. The module xen-blkback must not be loaded.\n";

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
    for (int i = optind; i < argc; i++)
        if (!ram_disks_word(argv[i]))
            return false;
    return true;
}

static bool start(struct plat_loop *loop, void *arg)
{
    char **words = arg;
    struct disks *disks = disks_new(loop);

    if (disks == NULL)
        return false;
    disks_set_open(disks, disk_file_open);
    for (; *words; words++)
        if (ram_disks_add(disks, *words))
            return false;
    return blkback_start(loop, disks) != NULL;
}

int main(int argc, char **argv)
{
    struct posix_service s = { .name = "xen-like-blockd" };

    if (!parse(&s, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    return posix_serve(&s, start, argv + optind);
}
