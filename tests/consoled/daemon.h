/* What the tests of the console daemon share: a daemon that begins and ends, and clients of it. */
#pragma once

#include "machine.h"

enum { HISTORY = 4096, LOG = 8192 };
#define SOCKET "/run/console"
#define MS 1000000ull

static struct plat_loop *loop;
static struct consoled *daemon_;

static void stop_loop(void *unused)
{
    (void)unused;
    plat_loop_stop(loop);
}

static void run_for(uint64_t ns)
{
    static struct plat_timer timer = { .fn = stop_loop };

    plat_timer_set(loop, &timer, plat_now() + ns);
    CU_ASSERT_EQUAL(plat_loop_run(loop), 0);
}

static struct plat_stream *tty_end;

static struct plat_stream *tty_open(char *path, size_t size)
{
    struct plat_stream *ends[2];

    if (plat_pair(ends))
        return NULL;
    tty_end = ends[1];
    snprintf(path, size, "/dev/pts/7");
    return ends[0];
}

static bool drop_logs;

static void begin(bool with_tty)
{
    struct consoled_options o = { .socket = SOCKET,
                                  .log_folder = "/log",
                                  .log_bytes = LOG,
                                  .drop_logs = drop_logs,
                                  .history_bytes = HISTORY };

    fake_reset();
    memset(machine, 0, sizeof(machine));
    store_reset(0);
    store_is_gone = false;
    if (with_tty) {
        o.tty_open = tty_open;
        o.tty_close = plat_close;
    }
    loop = plat_loop_new();
    daemon_ = consoled_start(loop, &o);
    CU_ASSERT_PTR_NOT_NULL_FATAL(daemon_);
}

static void end(void)
{
    consoled_stop(daemon_);
    plat_loop_free(loop);
    for (int d = 0; d < DOMAINS; d++)
        CU_ASSERT_TRUE(machine[d].mapped == 0 && machine[d].port == 0 &&
                       machine[d].channel[1].mapped == 0 && machine[d].channel[1].port == 0);
}

/* ---- clients ---- */

static inline struct plat_stream *attach(const char *who)
{
    struct plat_stream *s = plat_connect(SOCKET);
    char line[200];
    int len = snprintf(line, sizeof(line), "attach %s\n", who);

    CU_ASSERT_PTR_NOT_NULL_FATAL(s);
    CU_ASSERT_EQUAL(plat_write(s, line, (size_t)len), len);
    run_for(MS);
    return s;
}

static char got[100000];

/* All that there is, and at the end of the stream "<end>". */
static const char *all_of(struct plat_stream *s)
{
    size_t len = 0;
    ssize_t n;

    for (;;) {
        n = plat_read(s, got + len, sizeof(got) - len - 10);
        if (n <= 0) {
            size_t before = len;

            run_for(MS);
            n = n == 0 ? 0 : plat_read(s, got + len, sizeof(got) - len - 10);
            if (n < 0 && before == len)
                break;
        }
        if (n == 0) {
            strcpy(got + len, "<end>");
            return got;
        }
        len += (size_t)n;
    }
    got[len] = '\0';
    return got;
}

static inline const char *file(const char *path)
{
    size_t len = 0;
    char *data = plat_file_read(path, &len);

    snprintf(got, sizeof(got), "%s", data ? data : "<none>");
    free(data);
    return got;
}

#define TEST(name)  \
    {               \
#name, name \
    }

static void tell(void) { tells_which = true; }

/* @told  once more with a store whose events say which domain they are about. Returns as main(). */
static int run_tests(const char *name, CU_TestInfo *tests, bool told)
{
    CU_SuiteInfo suites[] = { { name, NULL, NULL, NULL, NULL, tests },
                              { told ? "the same, told of which domain events are" : NULL, NULL,
                                NULL, tell, NULL, tests },
                              CU_SUITE_INFO_NULL };
    unsigned int failures;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failures = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failures ? 1 : 0;
}
