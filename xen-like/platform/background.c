/* A daemon's life as a Linux process: in the background, with a file of its id and one for its log. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "posix.h"

static int starter = -1; /* who has started us reads the other end */

/* What the child says, or that it ends without, is the exit status. */
static void wait_for(pid_t child, int fd)
{
    char byte;
    ssize_t n;
    int status;

    do
        n = read(fd, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n == 1)
        _exit(0);
    waitpid(child, &status, 0);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

bool posix_fill_standard(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    return fd >= 0 && close(fd) == 0;
}

bool posix_background(void)
{
    int ends[2];
    pid_t child;

    if (!posix_fill_standard() || pipe(ends))
        return false;
    child = fork();
    if (child < 0)
        return false;
    if (child) {
        close(ends[1]);
        wait_for(child, ends[0]);
    }
    close(ends[0]);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    starter = ends[1];
    setsid();
    signal(SIGPIPE, SIG_IGN); /* who reads our log may go away */
    return true;
}

static void leave_terminal(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0)
        return;
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    close(null);
}

int posix_ready(const char *pid_file)
{
    char text[20];
    int len = snprintf(text, sizeof(text), "%d\n", getpid());

    if (pid_file && plat_file_write(pid_file, text, (size_t)len))
        return -1;
    if (starter < 0)
        return 0;
    leave_terminal();
    if (chdir("/") || write(starter, "", 1) != 1)
        return -1;
    close(starter);
    starter = -1;
    return 0;
}

bool posix_log_to(const char *path)
{
    FILE *f = fopen(path, "ae");

    if (f == NULL || dup2(fileno(f), STDERR_FILENO) < 0) {
        plat_log(PLAT_ERROR, "log file %s: %s", path, strerror(errno));
        return false;
    }
    fclose(f);
    return true;
}
