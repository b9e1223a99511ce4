/*
 * The store's daemon with Debian's clients (xenstore-*), with libxenstore, with clients that speak the
 * protocol badly, and killed while it works.
 *   usage: store_tests DAEMON, in the top folder
 */
#include <CUnit/Basic.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>
#include <xenstore.h>

enum { FILES_MAX = 120 }; /* that the daemon may have open */

#include "daemon.h"

static char folder[] = "/tmp/xen-like-store.XXXXXX";
static char as_5[200], main_socket[200];

/* ---- the daemon ---- */

static int dial(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
        close(fd);
        return -1;
    }
    return fd;
}

static void daemon_start(void)
{
    char argument[220], log[220];
    int fd = -1;

    snprintf(argument, sizeof(argument), "5:%s", as_5);
    snprintf(log, sizeof(log), "%s/log", folder);
    daemon_pid = fork();
    if (daemon_pid == 0) {
        int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);

        dup2(out, 2);
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){ FILES_MAX, FILES_MAX });
        execl(daemon_path, daemon_path, "--socket", main_socket, "--domain-socket", argument,
              "--size", "64", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 500 && (fd = dial(main_socket)) < 0; i++)
        usleep(10000);
    if (fd < 0) {
        fprintf(stderr, "the daemon does not listen; see %s\n", log);
        exit(1);
    }
    close(fd);
}

static void daemon_kill(void)
{
    int status;

    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, &status, 0);
    CU_ASSERT_TRUE(WIFSIGNALED(status) &&
                   WTERMSIG(status) == SIGKILL); /* it had not ended itself */
}

/* ---- Debian's clients ---- */

/* What a command writes and, in the last line, its exit status. */
static const char *run(const char *command)
{
    static char out[65536];
    char whole[2000];
    size_t n;
    FILE *f;

    snprintf(whole, sizeof(whole), "{ %s; } 2>&1; echo \"[$?]\"", command);
    f = popen(whole, "r");
    n = fread(out, 1, sizeof(out) - 1, f);
    out[n] = '\0';
    pclose(f);
    return out;
}

#define RUN(command, want) CU_ASSERT_STRING_EQUAL(run(command), want)

static void test_debians_clients(void)
{
    RUN("xenstore-write /t/a hello /t/b 'a value'", "[0]\n");
    RUN("xenstore-read /t/a", "hello\n[0]\n");
    RUN("xenstore-read -p /t/a /t/b", "/t/a: hello\n/t/b: a value\n[0]\n");
    RUN("xenstore-list /t", "a\nb\n[0]\n");
    RUN("xenstore-list -p /t", "/t/a\n/t/b\n[0]\n");
    RUN("xenstore-exists /t/a", "[0]\n");
    RUN("xenstore-exists /t/none", "[1]\n");
    RUN("xenstore-ls /t", "a = \"hello\"\nb = \"a value\"\n[0]\n");
    RUN("xenstore-chmod /t/a n3 r4 b5", "[0]\n");
    RUN("xenstore-ls -f -p /t", "/t/a = \"hello\"   (n3,r4,b5)\n/t/b = \"a value\"   (n0)\n[0]\n");
    RUN("xenstore-chmod -r /t r0", "[0]\n");
    RUN("xenstore-ls -f -p /t", "/t/a = \"hello\"   (r0)\n/t/b = \"a value\"   (r0)\n[0]\n");
    RUN("xenstore-rm /t/a", "[0]\n");
    RUN("xenstore-read /t/a", "xenstore-read: couldn't read path /t/a\n[1]\n");
    RUN("xenstore-write -R /t/bin \"$(printf 'a\\002b')\"", "[0]\n");
    RUN("xenstore-read /t/bin", "a\\002b\n[0]\n");
    RUN("xenstore-write domid 0 && xenstore-read domid /local/domain/0/domid", "0\n0\n[0]\n");
    RUN("xenstore-rm /t", "[0]\n");
    RUN("xenstore-exists /t", "[1]\n");
}

static void test_debians_watch(void)
{
    RUN("(timeout 20 xenstore-watch -n 4 /w & p=$!; for i in $(seq 200); do sleep 0.05; "
        "kill -0 $p 2>/dev/null || break; xenstore-write /w/x $i; done; wait $p)",
        "/w\n/w/x\n/w/x\n/w/x\n[0]\n");
}

static void test_a_domains_client_has_its_rights(void)
{
    char command[1000];

    run("xenstore-write /local/domain/5/name five; xenstore-chmod /local/domain/5 n5; "
        "xenstore-write /secret x");
    snprintf(command, sizeof(command),
             "export XENSTORED_PATH=%s; xenstore-write data/a 1 && xenstore-ls -f -p "
             "/local/domain/5/data; xenstore-read /secret; xenstore-write /secret 2; "
             "xenstore-chmod data/a n5 r6; xenstore-rm data; xenstore-exists data",
             as_5);
    RUN(command, "/local/domain/5/data/a = \"1\"   (n5)\n"
                 "xenstore-read: couldn't read path /secret\n"
                 "xenstore-write: could not write path /secret\n[1]\n");
    run("xenstore-rm /local/domain/5; xenstore-rm /secret");
}

static void test_a_client_in_python(void)
{
    RUN("/usr/bin/python3 tests/store/pyxs_client.py",
        "b'/py'\nTrue\nb'/py/b'\nb'2' [b'a', b'b'] False b'/local/domain/3'\n[b'r0', b'b3']\n"
        "[(b'/py', b'', [b'a', b'b']), (b'/py/a', b'1', []), (b'/py/b', b'2', [])]\n"
        "(2, 'No such file or directory')\n[0]\n");
}

/* ---- libxenstore ---- */

static struct xs_handle *open_at(const char *path)
{
    struct xs_handle *h;

    setenv("XENSTORED_PATH", path, 1);
    h = xs_open(0);
    setenv("XENSTORED_PATH", main_socket, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(h);
    return h;
}

static bool reads(struct xs_handle *h, xs_transaction_t t, const char *path, const char *want)
{
    char *got = xs_read(h, t, path, NULL);
    bool same = want ? got && strcmp(got, want) == 0 : got == NULL;

    free(got);
    return same;
}

static void test_transactions_of_libxenstore(void)
{
    struct xs_handle *a = open_at(main_socket), *b = open_at(main_socket);
    xs_transaction_t t = xs_transaction_start(a);

    CU_ASSERT_TRUE(xs_write(a, t, "/x/a", "1", 1));
    CU_ASSERT_TRUE(reads(b, 0, "/x/a", NULL));
    CU_ASSERT_TRUE(xs_write(b, 0, "/y", "1", 1)); /* elsewhere */
    CU_ASSERT_TRUE(xs_transaction_end(a, t, false));
    CU_ASSERT_TRUE(reads(b, 0, "/x/a", "1"));
    t = xs_transaction_start(a);
    CU_ASSERT_TRUE(reads(a, t, "/y", "1"));
    CU_ASSERT_TRUE(xs_write(b, 0, "/y", "2", 1));
    CU_ASSERT_TRUE(reads(a, t, "/y", "1")); /* as it was when it began */
    CU_ASSERT_FALSE(xs_transaction_end(a, t, false));
    CU_ASSERT_EQUAL(errno, EAGAIN);
    CU_ASSERT_FALSE(xs_transaction_end(a, t, false));
    CU_ASSERT_EQUAL(errno, ENOENT);
    t = xs_transaction_start(a);
    CU_ASSERT_TRUE(xs_rm(a, t, "/x"));
    CU_ASSERT_TRUE(xs_transaction_end(a, t, true));
    CU_ASSERT_TRUE(reads(b, 0, "/x/a", "1"));
    xs_rm(a, 0, "/x");
    xs_rm(a, 0, "/y");
    xs_close(a);
    xs_close(b);
}

/* Add one to /count, so many times, each in a transaction that is repeated until it succeeds. */
static void count_up(int times)
{
    struct xs_handle *h = xs_open(0);
    char text[20];

    while (times) {
        xs_transaction_t t = xs_transaction_start(h);
        char *value = xs_read(h, t, "/count", NULL);
        int n = snprintf(text, sizeof(text), "%d", value ? atoi(value) + 1 : 1);

        free(value);
        if (t == 0 || !xs_write(h, t, "/count", text, (unsigned int)n))
            _exit(1);
        if (xs_transaction_end(h, t, false))
            times--;
        else if (errno != EAGAIN)
            _exit(1);
    }
    _exit(0);
}

static void test_two_count_together(void)
{
    struct xs_handle *h = open_at(main_socket);
    int status;

    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            count_up(150);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_TRUE(wait(&status) > 0);
        CU_ASSERT_EQUAL(status, 0);
    }
    CU_ASSERT_TRUE(reads(h, 0, "/count", "450"));
    xs_close(h);
}

static void test_a_directory_of_5000(void)
{
    struct xs_handle *h = open_at(main_socket);
    unsigned int nr = 0;
    xs_transaction_t t = xs_transaction_start(h);
    char path[64], **names;

    for (int i = 0; i < 5000; i++) {
        snprintf(path, sizeof(path), "/big/%d", i);
        if (!xs_write(h, t, path, "", 0))
            CU_FAIL("write");
    }
    CU_ASSERT_TRUE(xs_transaction_end(h, t, false));
    names = xs_directory(h, 0, "/big", &nr);
    CU_ASSERT_PTR_NOT_NULL_FATAL(names);
    CU_ASSERT_EQUAL(nr, 5000);
    CU_ASSERT_STRING_EQUAL(names[0], "0");
    CU_ASSERT_STRING_EQUAL(names[4999], "999");
    free(names);
    names = xs_directory(h, 0, "/", &nr);
    CU_ASSERT_TRUE(names && nr >= 2);
    free(names);
    CU_ASSERT_TRUE(xs_rm(h, 0, "/big"));
    xs_close(h);
}

static bool next_event(struct xs_handle *h, const char *path, const char *token)
{
    struct pollfd p = { xs_fileno(h), POLLIN, 0 };
    bool same;
    char **got;

    if (poll(&p, 1, 3000) != 1 || (got = xs_check_watch(h)) == NULL)
        return false;
    same = strcmp(got[XS_WATCH_PATH], path) == 0 && strcmp(got[XS_WATCH_TOKEN], token) == 0;
    free(got);
    return same;
}

static void test_watches_of_libxenstore(void)
{
    struct xs_handle *a = open_at(main_socket), *b = open_at(main_socket);
    xs_transaction_t t;

    CU_ASSERT_TRUE(xs_watch(a, "/watched", "tok"));
    CU_ASSERT_TRUE(xs_watch(a, "@introduceDomain", "in"));
    CU_ASSERT_TRUE(xs_watch(a, "@releaseDomain", "out"));
    CU_ASSERT_TRUE(next_event(a, "/watched", "tok"));
    CU_ASSERT_TRUE(next_event(a, "@introduceDomain", "in"));
    CU_ASSERT_TRUE(next_event(a, "@releaseDomain", "out"));
    CU_ASSERT_TRUE(xs_write(b, 0, "/watched/1", "x", 1));
    t = xs_transaction_start(b);
    CU_ASSERT_TRUE(xs_write(b, t, "/watched/3", "x", 1));
    CU_ASSERT_TRUE(xs_write(b, t, "/watched/2", "x", 1));
    CU_ASSERT_TRUE(xs_transaction_end(b, t, false));
    CU_ASSERT_TRUE(xs_rm(b, 0, "/watched"));
    CU_ASSERT_TRUE(next_event(a, "/watched/1", "tok"));
    CU_ASSERT_TRUE(next_event(a, "/watched/3", "tok"));
    CU_ASSERT_TRUE(next_event(a, "/watched/2", "tok"));
    CU_ASSERT_TRUE(next_event(a, "/watched", "tok"));
    CU_ASSERT_TRUE(xs_unwatch(a, "/watched", "tok"));
    CU_ASSERT_FALSE(xs_unwatch(a, "/watched", "tok"));
    CU_ASSERT_EQUAL(errno, ENOENT);
    CU_ASSERT_TRUE(xs_introduce_domain(b, 77, 1234, 5));
    CU_ASSERT_TRUE(next_event(a, "@introduceDomain", "in"));
    CU_ASSERT_TRUE(xs_is_domain_introduced(b, 77));
    CU_ASSERT_TRUE(xs_write(b, 0, "/own77", "x", 1));
    CU_ASSERT_TRUE(xs_set_permissions(b, 0, "/own77", &(struct xs_permissions){ .id = 77 }, 1));
    CU_ASSERT_TRUE(xs_release_domain(b, 77));
    CU_ASSERT_TRUE(next_event(a, "@releaseDomain", "out"));
    CU_ASSERT_FALSE(xs_is_domain_introduced(b, 77));
    CU_ASSERT_TRUE(reads(b, 0, "/own77", NULL));
    xs_close(a);
    xs_close(b);
}

static void test_quotas_of_a_domain(void)
{
    struct xs_handle *d0 = open_at(main_socket), *d5 = open_at(as_5);
    char *text = xs_control_command(d0, "check", NULL, 0), path[32];
    unsigned int made = 0;

    CU_ASSERT_TRUE(text && strcmp(text, "OK") == 0);
    free(text);
    xs_write(d0, 0, "/local/domain/5", "", 0);
    xs_set_permissions(d0, 0, "/local/domain/5", &(struct xs_permissions){ .id = 5 }, 1);
    do
        snprintf(path, sizeof(path), "n/%u", made++);
    while (xs_write(d5, 0, path, "x", 1) && made < 2000);
    CU_ASSERT_EQUAL(errno, ENOSPC);
    CU_ASSERT_EQUAL(made, 999); /* home and n are two more of the 1,000 */
    text = xs_control_command(d0, "quota", (char[]){ "5" }, 2);
    CU_ASSERT_TRUE(text && strstr(text, "nodes: 1000 of 1000, hit 1 times"));
    free(text);
    CU_ASSERT_FALSE(xs_introduce_domain(d5, 9, 1, 1));
    CU_ASSERT_EQUAL(errno, EACCES);
    CU_ASSERT_TRUE(xs_rm(d0, 0, "/local/domain/5"));
    xs_close(d0);
    xs_close(d5);
}

/* ---- who speaks the protocol badly ---- */

static bool alive(void)
{
    struct xs_handle *h = open_at(main_socket);
    char *text = xs_control_command(h, "check", NULL, 0);
    bool ok = text && strcmp(text, "OK") == 0;

    free(text);
    xs_close(h);
    return ok;
}

/* Is the connection cut? */
static bool cut(int fd)
{
    struct pollfd p = { fd, POLLIN, 0 };
    char c[4096];
    ssize_t n;

    do
        n = poll(&p, 1, 3000) == 1 ? recv(fd, c, sizeof(c), 0) : 1;
    while (n > 1);
    return n <= 0 && (n == 0 || errno == ECONNRESET);
}

static void test_a_message_too_long_cuts_the_connection(void)
{
    struct xsd_sockmsg h = { .type = XS_READ, .len = XENSTORE_PAYLOAD_MAX + 1 };
    int fd = dial(main_socket);

    CU_ASSERT_EQUAL(write(fd, &h, sizeof(h)), sizeof(h));
    CU_ASSERT_TRUE(cut(fd));
    close(fd);
    fd = dial(main_socket);
    h.len = 0xffffffff;
    CU_ASSERT_EQUAL(write(fd, &h, sizeof(h)), sizeof(h));
    CU_ASSERT_TRUE(cut(fd));
    close(fd);
    CU_ASSERT_TRUE(alive());
}

static void test_clients_that_hang_up_in_the_middle(void)
{
    struct xsd_sockmsg h = { .type = XS_WRITE, .len = 100 };

    for (size_t n = 0; n < sizeof(h) + 100; n += 7) {
        char bytes[sizeof(h) + 100] = "";
        int fd = dial(main_socket);

        memcpy(bytes, &h, sizeof(h));
        CU_ASSERT_EQUAL(write(fd, bytes, n), (ssize_t)n);
        close(fd);
    }
    CU_ASSERT_TRUE(alive());
}

static void test_one_byte_at_a_time(void)
{
    struct xsd_sockmsg h = { .type = XS_WRITE, .req_id = 9, .len = 6 }, got;
    char bytes[sizeof(h) + 6], ok[3];
    int fd = dial(main_socket);

    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + sizeof(h), "/one\0x", 6);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        CU_ASSERT_EQUAL(write(fd, bytes + i, 1), 1);
        usleep(500);
    }
    CU_ASSERT_EQUAL(recv(fd, &got, sizeof(got), MSG_WAITALL), sizeof(got));
    CU_ASSERT_EQUAL(got.req_id, 9);
    CU_ASSERT_EQUAL(got.type, XS_WRITE);
    CU_ASSERT_EQUAL(recv(fd, ok, sizeof(ok), MSG_WAITALL), 3);
    CU_ASSERT_STRING_EQUAL(ok, "OK");
    close(fd);
}

static void test_random_messages(void)
{
    srand((unsigned int)time(NULL));
    for (int i = 0; i < 60; i++) {
        int fd = dial(i % 2 ? as_5 : main_socket);

        for (int k = 0; k < 30; k++) {
            struct xsd_sockmsg h = { (uint32_t)rand() % 24, (uint32_t)rand(), 0,
                                     (uint32_t)rand() % 64 };
            char bytes[sizeof(h) + 64];

            if (h.type == XS_CONTROL || h.type == XS_RM)
                continue;
            memcpy(bytes, &h, sizeof(h));
            for (size_t b = 0; b < 64; b++)
                bytes[sizeof(h) + b] = "/a0\0T|-@\xff"[rand() % 9];
            if (send(fd, bytes, sizeof(h) + h.len, MSG_NOSIGNAL) < 0)
                break;
        }
        close(fd);
    }
    CU_ASSERT_TRUE(alive());
}

/* Requests whose answers are not read: they wait, and others do not. */
static void test_a_client_that_never_reads_harms_itself_only(void)
{
    struct xsd_sockmsg h = { .type = XS_DIRECTORY, .len = 2 };
    char bytes[sizeof(h) + 2];
    int fd = dial(main_socket);
    struct timespec from, to;
    unsigned int sent = 0;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    memcpy(bytes, &h, sizeof(h));
    memcpy(bytes + sizeof(h), "/", 2);
    for (int i = 0; i < 200000; i++)
        if (write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
            sent++;
        else
            break;
    CU_ASSERT_TRUE(sent > 100 && sent < 200000); /* it is made to wait */
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < 20; i++)
        CU_ASSERT_TRUE(alive());
    clock_gettime(CLOCK_MONOTONIC, &to);
    CU_ASSERT_TRUE(to.tv_sec - from.tv_sec < 5);
    close(fd);
}

/* How much processor time the daemon has used, in clock ticks. */
static unsigned long ticks_used(void)
{
    unsigned long user = 0, system = 0;
    char path[40];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", daemon_pid);
    f = fopen(path, "r");
    if (fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) !=
        2)
        CU_FAIL("stat");
    fclose(f);
    return user + system;
}

static void test_more_clients_than_files_wait(void)
{
    enum { CLIENTS = FILES_MAX + 5 };
    int fds[CLIENTS];
    unsigned long before;

    for (int i = 0; i < FILES_MAX / 2; i++)
        CU_ASSERT_TRUE((fds[i] = dial(main_socket)) >= 0);
    CU_ASSERT_TRUE(alive());
    for (int i = FILES_MAX / 2; i < CLIENTS; i++) /* the last ones are not accepted */
        CU_ASSERT_TRUE((fds[i] = dial(main_socket)) >= 0);
    before = ticks_used();
    usleep(300000);
    CU_ASSERT_TRUE(ticks_used() - before < 10); /* it does not try all the time */
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    CU_ASSERT_TRUE(alive());
}

/* ---- killed ---- */

/* Write 1, 2, 3... to /k/a and /k/b in transactions; what was answered is said through the pipe. */
static void write_until_killed(int out)
{
    struct xs_handle *h = xs_open(0);
    char *now = h ? xs_read(h, 0, "/k/a", NULL) : NULL, text[20];

    for (int n = now ? atoi(now) + 1 : 1;; n++) {
        int len = snprintf(text, sizeof(text), "%d", n);
        xs_transaction_t t = h ? xs_transaction_start(h) : 0;

        if (t == 0 || !xs_write(h, t, "/k/a", text, (unsigned int)len) ||
            !xs_write(h, t, "/k/b", text, (unsigned int)len) || !xs_transaction_end(h, t, false))
            _exit(0);
        if (write(out, &n, sizeof(n)) != sizeof(n))
            _exit(1);
    }
}

static void test_killed_it_goes_on_with_all_that_was_answered(void)
{
    unsigned int kills = getenv("STORE_KILLS") ? (unsigned int)atoi(getenv("STORE_KILLS")) : 20;
    int answered = 0, n, status;

    for (unsigned int i = 0; i < kills; i++) {
        struct xs_handle *h;
        int ends[2];
        char *a, *b;
        pid_t pid;

        CU_ASSERT_EQUAL(pipe(ends), 0);
        pid = fork();
        if (pid == 0)
            write_until_killed(ends[1]);
        close(ends[1]);
        usleep(20000 + (useconds_t)rand() % 30000);
        daemon_kill();
        while (read(ends[0], &n, sizeof(n)) == sizeof(n))
            answered = n;
        close(ends[0]);
        waitpid(pid, &status, 0);
        CU_ASSERT_EQUAL(status, 0);
        daemon_start();
        h = open_at(main_socket);
        a = xs_read(h, 0, "/k/a", NULL);
        b = xs_read(h, 0, "/k/b", NULL);
        n = a ? atoi(a) : 0;
        CU_ASSERT_TRUE(n == answered || n == answered + 1);
        CU_ASSERT_TRUE((a == NULL && b == NULL) || (a && b && strcmp(a, b) == 0));
        free(a);
        free(b);
        xs_close(h);
    }
    CU_ASSERT_TRUE(answered > 0);
    CU_ASSERT_TRUE(alive());
}

/* ---- as Debian's init script starts it ---- */

/* Who has started it goes on when it serves, and nothing of what it has started is held. */
static void test_in_the_background_it_serves_when_it_says_so(void)
{
    char command[1000], path[250], *text = NULL;
    size_t len = 0;
    pid_t pid = 0;
    FILE *f;

    snprintf(command, sizeof(command),
             "%s --socket %s/behind --region behind --size 2 --log-file %s/behind.log --pid-file "
             "%s/behind.pid && XENSTORED_PATH=%s/behind xenstore-write /a 1",
             daemon_path, folder, folder, folder, folder);
    RUN(command, "[0]\n"); /* popen() has seen the end of the output */
    snprintf(path, sizeof(path), "%s/behind.pid", folder);
    f = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_EQUAL(fscanf(f, "%d", &pid), 1);
    fclose(f);
    CU_ASSERT_EQUAL_FATAL(kill(pid, 0), 0);

    /* One that cannot start says so at once, and by its exit status. */
    RUN(command, "[1]\n");
    snprintf(path, sizeof(path), "%s/behind.log", folder);
    f = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_TRUE(getdelim(&text, &len, EOF, f) > 0);
    fclose(f);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "there are no rings, only sockets\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "the store listens at "));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "error: region behind of 2 MiB: "));
    free(text);
    kill(pid, SIGTERM);
}

int main(int argc, char **argv)
{
    char command[300];
    int failed;

    if (argc != 2) {
        fprintf(stderr, "usage: store_tests DAEMON\n");
        return 2;
    }
    daemon_setup(argv[1], folder, main_socket, sizeof(main_socket));
    snprintf(as_5, sizeof(as_5), "%s/as-5", folder);
    daemon_start();
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_debians_clients);
    T(test_debians_watch);
    T(test_a_domains_client_has_its_rights);
    T(test_a_client_in_python);
    T(test_transactions_of_libxenstore);
    T(test_two_count_together);
    T(test_a_directory_of_5000);
    T(test_watches_of_libxenstore);
    T(test_quotas_of_a_domain);
    T(test_a_message_too_long_cuts_the_connection);
    T(test_clients_that_hang_up_in_the_middle);
    T(test_one_byte_at_a_time);
    T(test_random_messages);
    T(test_a_client_that_never_reads_harms_itself_only);
    T(test_more_clients_than_files_wait);
    T(test_killed_it_goes_on_with_all_that_was_answered);
    T(test_in_the_background_it_serves_when_it_says_so);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures() || CU_get_error() || !daemon_end();
    if (failed)
        fprintf(stderr, "the daemon's log is %s/log\n", folder);
    else {
        snprintf(command, sizeof(command), "rm -r %s", folder);
        failed = system(command);
    }
    return failed != 0;
}
