/* xen-like-blockd: the block backend as a Linux program, for files and block devices, in the place of Linux's own. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

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
    const char *pid, *log;
    bool qdisk;
};

static bool parse(struct options *f, int argc, char **argv)
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
        case PID_FILE: f->pid = optarg; break;
        case LOG_FILE: f->log = optarg; break;
        case QDISK: f->qdisk = true; break;
        default: return false;
        }
    }
    for (int i = optind; i < argc; i++)
        if (!ram_disks_word(argv[i]))
            return false;
    return true;
}

static bool start(struct plat_loop *loop, const char *type, char **words)
{
    struct disks *disks = disks_new(loop);

    if (disks == NULL)
        return false;
    disks_set_open(disks, disk_file_open);
    for (; *words; words++)
        if (ram_disks_add(disks, *words))
            return false;
    return blkback_start(loop, disks, type) != NULL;
}

int main(int argc, char **argv)
{
    struct options f = { 0 };
    struct plat_loop *loop;

    if (!parse(&f, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (f.log == NULL && f.pid)
        f.log = "/var/log/xen/xen-like-blockd.log";
    if (f.log && !posix_log_to(f.log))
        return 1;
    if (f.pid && !posix_background()) {
        plat_log(PLAT_ERROR, "no background: %s", strerror(errno));
        return 1;
    }
    loop = plat_loop_new();
    if (loop == NULL || !start(loop, f.qdisk ? "qdisk" : "vbd", argv + optind))
        return 1;
    if (posix_ready(f.pid)) {
        plat_log(PLAT_ERROR, "%s: %s", f.pid, strerror(errno));
        return 1;
    }
    return plat_loop_run(loop) ? 1 : 0;
}
