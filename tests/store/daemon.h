/* Shared by the programs that test the store's daemon: its process. */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *daemon_path;
static pid_t daemon_pid;

/**
 * Before the first start: the program, its sockets and its state in a new folder, and where clients connect.
 * @folder  mkdtemp()'s template
 */
static inline void daemon_setup(const char *path, char *folder, char *socket, size_t socket_bytes)
{
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    daemon_path = path;
    signal(SIGPIPE, SIG_IGN);
    snprintf(socket, socket_bytes, "%s/socket", folder);
    setenv("XENSTORED_PATH", socket, 1);
    setenv("XEN_LIKE_STATE", folder, 1);
}

/** End it. False: something else has ended it before, a sanitizer for one. */
static inline bool daemon_end(void)
{
    int status;

    kill(daemon_pid, SIGTERM);
    waitpid(daemon_pid, &status, 0);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
}
