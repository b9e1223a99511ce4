/* platform.h on Linux: what all homes do, and what outlives a program that is killed. */
#include <errno.h>
#include <platform.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"
#include "platform/posix.h"

static char folder[] = "/tmp/platform.XXXXXX", socket_path[64];

/* Counts in a region as fast as it can, until it is killed; listens where the next one wants to. */
static void victim(int ready)
{
    volatile uint64_t *r = plat_region_open("killed", 8192, NULL);

    if (r == NULL || plat_listen(socket_path) == NULL)
        _exit(1);
    for (uint64_t n = r[0] + 1;; n++) {
        r[1] = n;
        r[0] = n;
        if (n % 1000 == 0 && write(ready, "x", 1) < 0)
            _exit(1);
    }
}

/* Killed at any moment and started again: the count went on, in the order of the writes. */
static void test_killed(void)
{
    uint64_t last = 0;

    for (int round = 0; round < 20; round++) {
        bool fresh;
        uint64_t *r;
        int fd[2];
        char c;
        pid_t pid;

        if (!EXPECT(pipe(fd) == 0))
            return;
        pid = fork();
        if (pid == 0)
            victim(fd[1]);
        close(fd[1]);
        EXPECT(read(fd[0], &c, 1) == 1);
        EXPECT(plat_region_open("killed", 8192, NULL) == NULL && errno == EBUSY);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        close(fd[0]);
        r = plat_region_open("killed", 8192, &fresh);
        if (!EXPECT(r != NULL))
            return;
        EXPECT(!fresh);
        EXPECT(r[0] > last);
        EXPECT(r[1] == r[0] || r[1] == r[0] + 1);
        last = r[0];
        plat_region_close(r, 8192);
    }
    EXPECT(plat_region_remove("killed") == 0);
    EXPECT(unlink(socket_path) == 0); /* left by the last one */
}

/* ---- the console: standard input and output of a child ---- */

static struct plat_loop *loop;
static struct plat_stream *console;

static void echo(void *arg, unsigned int ready)
{
    char buf[100];
    ssize_t n = plat_read(console, buf, sizeof(buf));

    (void)arg;
    (void)ready;
    if (n == 0)
        plat_loop_stop(loop);
    for (ssize_t i = 0; i < n; i++)
        buf[i] ^= 0x20;
    if (n > 0 && plat_write(console, buf, (size_t)n) != n)
        _exit(1);
}

static void child(int in, int out)
{
    dup2(in, 0);
    dup2(out, 1);
    console = plat_console();
    loop = plat_loop_new();
    if (plat_console() != NULL || errno != EBUSY)
        _exit(1);
    plat_watch(loop, console, PLAT_READABLE, echo, NULL);
    _exit(plat_loop_run(loop) == 0 ? 42 : 1);
}

static void test_console(void)
{
    int to[2], from[2], status = 0;
    char buf[16] = "";
    pid_t pid;

    if (!EXPECT(pipe(to) == 0 && pipe(from) == 0))
        return;
    pid = fork();
    if (pid == 0) {
        close(to[1]);
        child(to[0], from[1]);
    }
    EXPECT(write(to[1], "Hello", 5) == 5);
    for (size_t n = 0; n < 5;) {
        ssize_t rc = read(from[0], buf + n, sizeof(buf) - 1 - n);

        if (!EXPECT(rc > 0))
            break;
        n += (size_t)rc;
    }
    EXPECT(strcmp(buf, "hELLO") == 0);
    close(to[1]);
    waitpid(pid, &status, 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    close(to[0]);
    close(from[0]);
    close(from[1]);
}

/* ---- somebody's descriptor ---- */

static int counter;
static unsigned int counted;

static void count(void *arg, unsigned int ready)
{
    eventfd_t n;

    EXPECT(arg == &counter && ready == PLAT_READABLE);
    EXPECT(eventfd_read(counter, &n) == 0);
    EXPECT(eventfd_read(counter, &n) == -1 && errno == EAGAIN); /* it does not wait */
    counted += (unsigned int)n;
    plat_loop_stop(loop);
}

static void test_a_descriptor_is_watched(void)
{
    struct plat_stream *s;

    counter = eventfd(3, EFD_CLOEXEC);
    s = plat_of_fd(counter);
    loop = plat_loop_new();
    if (!EXPECT(s != NULL && loop != NULL))
        return;
    plat_watch(loop, s, PLAT_READABLE, count, &counter);
    EXPECT(plat_loop_run(loop) == 0 && counted == 3);
    EXPECT(eventfd_write(counter, 4) == 0);
    EXPECT(plat_loop_run(loop) == 0 && counted == 7);
    plat_close(s);
    EXPECT(eventfd_write(counter, 1) == 0); /* it is still its owner's */
    close(counter);
    plat_loop_free(loop);
}

/* Who may connect is not left to the umask of who starts the program. */
static void test_a_socket_is_its_users(void)
{
    char path[80];
    struct stat st;
    mode_t before = umask(0);
    struct plat_stream *listener;

    snprintf(path, sizeof(path), "%s/mine", folder);
    listener = plat_listen(path);
    EXPECT(listener != NULL && stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
    EXPECT(umask(before) == 0);
    plat_close(listener);
}

/* What cannot be written leaves what was there, and nothing besides. */
static void test_write_fails(void)
{
    char path[80], command[100];
    size_t len;

    snprintf(path, sizeof(path), "%s/no/such/folder", folder);
    EXPECT(plat_file_write(path, "x", 1) == -1 && errno == ENOENT);
    EXPECT(plat_listen(path) == NULL && errno == ENOENT);
    EXPECT(plat_file_read(folder, NULL) == NULL && errno == EISDIR);
    EXPECT(plat_file_read("/dev/zero", NULL) == NULL && errno == EINVAL);
    snprintf(path, sizeof(path), "%s/pipe", folder);
    EXPECT(mkfifo(path, 0600) == 0);
    EXPECT(plat_file_read(path, NULL) == NULL && errno == EINVAL);
    EXPECT(plat_file_size(path, &len) == -1 && errno == EINVAL);
    EXPECT(plat_file_remove(path) == 0);
    EXPECT(plat_file_size(folder, &len) == -1 && errno == EISDIR);
    EXPECT(plat_file_write(folder, "x", 1) == -1);
    snprintf(command, sizeof(command), "! ls -d %s.* 2>/dev/null", folder);
    EXPECT(system(command) == 0);
    EXPECT(rmdir(folder) == 0); /* nothing was left behind by any of the tests */
}

/* What is made is its owner's to read, and not what somebody has laid out where it is made. */
static void test_a_file_is_its_owners(void)
{
    char path[64], victim_path[64], name[100];
    unsigned int serial = 0;
    struct plat_file *f;
    struct stat st;

    snprintf(path, sizeof(path), "%s/secret", folder);
    snprintf(victim_path, sizeof(victim_path), "%s/victim", folder);
    EXPECT(plat_file_write(victim_path, "old", 3) == 0);
    f = plat_file_create(path, 0);
    if (!EXPECT(f != NULL))
        return;
    do /* which name it has */
        snprintf(name, sizeof(name), "%s.new-%d-%u", path, getpid(), serial++);
    while (access(name, F_OK) && serial < 10000);
    EXPECT(stat(name, &st) == 0 && (st.st_mode & 0777) == 0600);
    plat_file_close(f);
    snprintf(name, sizeof(name), "%s.new-%d-%u", path, getpid(), serial);
    EXPECT(symlink(victim_path, name) == 0);
    f = plat_file_create(path, 0); /* by the name after it */
    if (!EXPECT(f != NULL))
        return;
    EXPECT(plat_file_put(f, "new", 3) == 0 && plat_file_commit(f) == 0);
    EXPECT(stat(victim_path, &st) == 0 && st.st_size == 3);
    EXPECT(lstat(path, &st) == 0 && st.st_mode == (S_IFREG | 0600));
    EXPECT(lstat(name, &st) == 0 && S_ISLNK(st.st_mode)); /* it is not ours to remove */
    EXPECT(unlink(name) == 0 && unlink(path) == 0 && unlink(victim_path) == 0);
}

int main(void)
{
    if (mkdtemp(folder) == NULL || setenv("XEN_LIKE_STATE", folder, 1))
        return 2;
    snprintf(socket_path, sizeof(socket_path), "%s/left-over", folder);
    setvbuf(stdout, NULL, _IONBF, 0); /* the leak checker ends the program without a flush */
    conformance(folder);
    test_killed();
    test_console();
    test_a_descriptor_is_watched();
    test_a_socket_is_its_users();
    test_a_file_is_its_owners();
    test_write_fails();
    printf("platform, Linux: %s\n", nr_unexpected ? "FAILED" : "ok");
    return nr_unexpected != 0;
}
