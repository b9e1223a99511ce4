/* xl as a program of a Linux control domain. */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include "xl_terminal.h"

/* xen-like-attend, which lies beside this program, returns when it serves, or when another one does. */
static int want_attendant(struct xl *x)
{
    char self[4000], path[4096], pid_file[] = "--pid-file", file[] = "/run/xen-like-attend.pid";
    char *argv[] = { path, pid_file, file, NULL };
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    int status, error;
    pid_t child;

    if (len < 0)
        return xl_fail(x, "xl: /proc/self/exe: %s", strerror(errno));
    self[len] = '\0';
    snprintf(path, sizeof(path), "%s/xen-like-attend", dirname(self));
    error = posix_spawn(&child, path, NULL, NULL, argv, environ);
    if (error)
        return xl_fail(x, "xl: nobody attends to guests: %s: %s", path, strerror(error));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return xl_fail(x, "xl: %s: %s", path, strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return EXIT_OK;
    return xl_fail(x, "xl: nobody attends to guests: %s does not start, see its log", path);
}

static int folder(char *path, size_t size) { return getcwd(path, size) ? 0 : -1; }

static volatile sig_atomic_t is_interrupted;

static void note(int signal)
{
    (void)signal;
    is_interrupted = 1;
}

static bool interrupted(void) { return is_interrupted; }

/* What was to be ignored (nohup) stays so. */
static void heed_interrupts(bool on)
{
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    static struct sigaction before[sizeof(signals) / sizeof(signals[0])];
    const struct sigaction ours = { .sa_handler = note, .sa_flags = SA_RESTART };

    is_interrupted = 0;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        if (on)
            sigaction(signals[i], NULL, &before[i]);
        if (before[i].sa_handler != SIG_IGN)
            sigaction(signals[i], on ? &ours : &before[i], NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct xl_home home = { .show = terminal_show,
                                         .console = terminal_console,
                                         .wait = terminal_wait,
                                         .kernel = terminal_kernel,
                                         .folder = folder,
                                         .want_attendant = want_attendant,
                                         .heed_interrupts = heed_interrupts };
    struct xl x = { .home = &home };
    struct options o;
    int rc = options_parse(&o, argc - 1, argv + 1, &x.out, &x.err);
    struct xs_handle *store;

    if (rc < 0) { /* no help or mistake, for which nobody needs a hypervisor */
        store = xs_open(0);
        if (toolstack_open(&x.tools, store, 0)) {
            rc = xl_fail(&x, "xl: %s", x.tools.error);
        } else if (store == NULL) {
            rc = xl_fail(&x, "xl: the store cannot be reached");
        } else {
            x.tools.interrupted = interrupted;
            rc = xl_run(&x, argc - 1, argv + 1);
        }
        toolstack_close(&x.tools);
        if (store)
            xs_close(store);
    }
    terminal_show(&x);
    return rc;
}
