/*
 * xl_terminal.c with a real terminal: a child process has one end, as an xl that runs `console` has it, and the
 * test is the user at the other, and the console daemon. The store and the hypervisor are a few lines here.
 */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <CUnit/Basic.h>
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xenstore.h>

#include "../../dom0-tools/xl_terminal.h"

/* What the child sees of the world, which the test may change. */
static struct world {
    volatile bool gone, has_attached;
    char tty[64]; /* the node */
} * world;

static int changes; /* an eventfd: the store has an event */

static void store_changes(void) { CU_ASSERT_EQUAL(eventfd_write(changes, 1), 0); }

/* ---- the store, the toolstack ---- */

static char handle;

struct xs_handle *xs_open(unsigned long flags) { return (struct xs_handle *)&handle; }
void xs_close(struct xs_handle *h) {}
bool xs_watch(struct xs_handle *h, const char *path, const char *token) { return true; }
int xs_fileno(struct xs_handle *h) { return changes; }

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    return strcmp(path, "/local/domain/7/console/tty") == 0 ? strdup(world->tty) : NULL;
}

char **xs_check_watch(struct xs_handle *h)
{
    eventfd_t n;

    return poll(&(struct pollfd){ changes, POLLIN, 0 }, 1, 0) && eventfd_read(changes, &n) == 0
               ? calloc(1, sizeof(char *))
               : NULL;
}

int guest_info(struct toolstack *t, domid_t id, guest_info_t *info)
{
    *info = (guest_info_t){ .domain = id, .flags = world->gone ? XEN_DOMINF_dying : 0 };
    return 0;
}

bool xl_domain_of(struct xl *x, const char *name, domid_t *id)
{
    *id = 7;
    return strcmp(name, "web") == 0;
}

int xl_fail(struct xl *x, const char *fmt, ...)
{
    va_list args;
    char line[100];

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    text_printf(&x->err, "%s\n", line);
    return EXIT_FAILED;
}

/* ---- the user and the daemon ---- */

static int user, console; /* masters: of the user's terminal, and of the console */
static int user_slave, console_slave;
static pid_t child;
static struct termios at_first;

static void on_attached(void *arg) { world->has_attached = true; }

static void run_child(int in, int out)
{
    struct xl x = { .home = NULL };
    int rc;

    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    text_puts(&x.out, "said before\n");
    rc = terminal_console(&x, "web", 0, on_attached, NULL);
    terminal_show(&x);
    _exit(rc);
}

static void wait_for(volatile bool *flag)
{
    for (int i = 0; i < 5000 && !*flag; i++)
        usleep(1000);
    CU_ASSERT_TRUE(*flag);
}

static void make_console(void)
{
    struct termios raw;

    CU_ASSERT_EQUAL_FATAL(openpty(&console, &console_slave, world->tty, NULL, NULL), 0);
    tcgetattr(console_slave, &raw);
    cfmakeraw(&raw);
    tcsetattr(console_slave, TCSANOW, &raw);
}

static void close_console(void)
{
    close(console);
    close(console_slave);
}

/* @script  what is typed; NULL: a terminal is the input */
static void begin(const char *script)
{
    int in[2];

    *world = (struct world){ .gone = false };
    changes = eventfd(0, EFD_NONBLOCK);
    make_console();
    CU_ASSERT_EQUAL_FATAL(openpty(&user, &user_slave, NULL, NULL, NULL), 0);
    tcgetattr(user_slave, &at_first);
    CU_ASSERT_TRUE_FATAL(pipe(in) == 0);
    if (script)
        CU_ASSERT_EQUAL(write(in[1], script, strlen(script)), (ssize_t)strlen(script));
    close(in[1]);
    child = fork();
    if (child == 0) {
        close(console);
        close(user);
        run_child(script ? in[0] : user_slave, user_slave);
    }
    close(in[0]);
    wait_for(&world->has_attached);
}

/* What comes there, until it has that text. */
static bool reads(int fd, const char *text)
{
    char got[4096];
    size_t len = 0;
    ssize_t n;

    for (got[0] = '\0'; strstr(got, text) == NULL; got[len] = '\0') {
        if (poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 5000) <= 0 ||
            (n = read(fd, got + len, sizeof(got) - len - 1)) <= 0)
            return false;
        len += (size_t)n;
    }
    return true;
}

static void writes(int fd, const char *text)
{
    CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* The child ends, and the terminal is as it was. Returns its exit code, or minus the signal. */
static int ends(void)
{
    struct termios now;
    int status;

    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    tcgetattr(user_slave, &now);
    CU_ASSERT_TRUE(now.c_lflag == at_first.c_lflag && now.c_iflag == at_first.c_iflag &&
                   now.c_oflag == at_first.c_oflag);
    close(user);
    close(user_slave);
    close(changes);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- tests ---- */

static void test_a_user_types_and_leaves(void)
{
    struct termios now;

    begin(NULL);
    CU_ASSERT_TRUE(reads(user, "said before"));
    writes(console, "login: ");
    CU_ASSERT_TRUE(reads(user, "login: "));
    tcgetattr(user_slave, &now);
    CU_ASSERT_FALSE(now.c_lflag & (ICANON | ECHO | ISIG));
    writes(user, "root\x03");
    CU_ASSERT_TRUE(reads(console, "root\x03")); /* Ctrl-C is the domain's */
    writes(user, "\x1d");
    CU_ASSERT_EQUAL(ends(), 0);
    close_console();
}

static void test_signals_restore_the_terminal(void)
{
    static const int numbers[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        begin(NULL);
        writes(console, "x");
        CU_ASSERT_TRUE(reads(user, "x")); /* it is raw now */
        kill(child, numbers[i]);
        CU_ASSERT_EQUAL(ends(), -numbers[i]);
        close_console();
    }
}

static void test_a_script_is_typed_to_its_end(void)
{
    begin("one\ntwo\n");
    CU_ASSERT_EQUAL(ends(), 0);
    CU_ASSERT_TRUE(reads(console, "one\ntwo\n"));
    close_console();
}

/* The daemon closes the console, as it does when a domain is destroyed. */
static void test_the_domain_goes_away(void)
{
    begin(NULL);
    writes(console, "bye");
    world->gone = true;
    CU_ASSERT_TRUE(reads(user, "bye"));
    close_console();
    CU_ASSERT_EQUAL(ends(), 0);
}

static void test_the_daemon_is_started_anew(void)
{
    begin(NULL);
    world->tty[0] = '\0';
    close_console();
    usleep(20000);
    make_console();
    store_changes();
    writes(console, "again");
    CU_ASSERT_TRUE(reads(user, "again"));
    writes(user, "\x1d");
    CU_ASSERT_EQUAL(ends(), 0);
    close_console();
}

static int run_refused(const char *tty)
{
    int status, out[2];
    struct xl x = { .home = NULL };

    *world = (struct world){ .gone = true };
    strcpy(world->tty, tty);
    CU_ASSERT_TRUE_FATAL(pipe(out) == 0);
    changes = eventfd(0, EFD_NONBLOCK);
    child = fork();
    if (child == 0) {
        dup2(out[1], STDERR_FILENO);
        status = terminal_console(&x, "web", 0, NULL, NULL);
        terminal_show(&x);
        _exit(status);
    }
    CU_ASSERT_TRUE(reads(out[0], "Unable to attach console\n"));
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    close(out[0]);
    close(out[1]);
    close(changes);
    return WEXITSTATUS(status);
}

static void test_what_is_no_console(void)
{
    CU_ASSERT_EQUAL(run_refused(""), 1);
    CU_ASSERT_EQUAL(run_refused("/etc/passwd"), 1);
    CU_ASSERT_EQUAL(run_refused("/dev/null"), 1);
}

/* @keys  what the user types. Returns whether he has had enough. */
static bool enough(const char *keys, bool wanted)
{
    struct termios now;
    int status;

    CU_ASSERT_EQUAL_FATAL(openpty(&user, &user_slave, NULL, NULL, NULL), 0);
    tcgetattr(user_slave, &at_first);
    world->has_attached = false;
    child = fork();
    if (child == 0) {
        dup2(user_slave, STDIN_FILENO);
        world->has_attached = true;
        _exit(terminal_wait(NULL, 1, wanted));
    }
    wait_for(&world->has_attached);
    for (int i = 0; wanted && i < 5000 && tcgetattr(user_slave, &now) == 0 && now.c_lflag & ICANON;
         i++)
        usleep(1000);
    writes(user, keys);
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    tcgetattr(user_slave, &now);
    CU_ASSERT_EQUAL(now.c_lflag, at_first.c_lflag);
    close(user);
    close(user_slave);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_q_is_enough(void)
{
    CU_ASSERT_TRUE(enough("xq", true));
    CU_ASSERT_FALSE(enough("x", true));
    CU_ASSERT_FALSE(enough("q\n", false)); /* nobody reads it */
}

int main(void)
{
    world = mmap(NULL, sizeof(*world), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("xl at a terminal", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_user_types_and_leaves);
    T(test_signals_restore_the_terminal);
    T(test_a_script_is_typed_to_its_end);
    T(test_the_domain_goes_away);
    T(test_the_daemon_is_started_anew);
    T(test_what_is_no_console);
    T(test_q_is_enough);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
