/* xen-like-consoled: the console daemon as a Linux program, in xenconsoled's place. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "consoled.h"
#include "consoled_pty.h"
#include "platform/posix.h"

static const char usage[] =
    "usage: xen-like-consoled [OPTION]...\n"
    "  --socket PATH      where clients connect (" CONSOLED_SOCKET ")\n"
    "  --log-dir PATH     where guests' logs are (/var/log/xen/console)\n"
    "  --log-bytes N      of a guest's log, and as many of the one before (4194304)\n"
    "  --history-bytes N  of a guest's output that are kept in memory (65536)\n"
    "  --pid-file PATH    go to the background when it serves, with its process's id there\n"
    "  --log-file PATH    where its own log is added (standard error; in the background\n"
    "                     /var/log/xen/xen-like-consoled.log)\n";

static bool parse_size(const char *text, size_t *size)
{
    char *end;

    *size = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && *size >= 4096 && *size <= 1 << 30;
}

static bool parse(struct consoled_options *o, struct posix_service *s, int argc, char **argv)
{
    enum { SOCKET = 1, LOG_DIR, LOG_BYTES, HISTORY_BYTES, PID_FILE, LOG_FILE };
    static const struct option options[] = {
        { "socket", required_argument, NULL, SOCKET },
        { "log-dir", required_argument, NULL, LOG_DIR },
        { "log-bytes", required_argument, NULL, LOG_BYTES },
        { "history-bytes", required_argument, NULL, HISTORY_BYTES },
        { "pid-file", required_argument, NULL, PID_FILE },
        { "log-file", required_argument, NULL, LOG_FILE },
        { NULL, 0, NULL, 0 },
    };
    bool ok = true;
    int c;

    while (ok && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case SOCKET: o->socket = optarg; break;
        case LOG_DIR: o->log_folder = optarg; break;
        case LOG_BYTES: ok = parse_size(optarg, &o->log_bytes); break;
        case HISTORY_BYTES: ok = parse_size(optarg, &o->history_bytes); break;
        case PID_FILE: s->pid_file = optarg; break;
        case LOG_FILE: s->log_file = optarg; break;
        default: ok = false;
        }
    }
    return ok && optind == argc;
}

static bool start(struct plat_loop *loop, void *arg) { return consoled_start(loop, arg) != NULL; }

int main(int argc, char **argv)
{
    struct consoled_options o = { .socket = CONSOLED_SOCKET,
                                  .log_folder = "/var/log/xen/console",
                                  .log_bytes = 4 << 20,
                                  .history_bytes = 64 << 10,
                                  .tty_open = pty_open,
                                  .tty_close = pty_close };
    struct posix_service s = { .name = "xen-like-consoled" };

    if (!parse(&o, &s, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    return posix_serve(&s, start, &o);
}
