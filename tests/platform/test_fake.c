/* platform.h in memory: what all homes do, and how a test steers it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "platform/fake.h"

static void stop(void *arg) { plat_loop_stop(arg); }

static void test_time_is_ours(void)
{
    struct plat_loop *l = plat_loop_new();
    struct plat_timer t = { .fn = stop, .arg = l };
    uint64_t year = 365UL * 24 * 3600 * 1000000000, start = plat_now();

    plat_timer_set(l, &t, start + year);
    EXPECT(plat_loop_run(l) == 0);
    EXPECT(plat_now() == start + year);
    fake_advance(5);
    EXPECT(plat_now() == start + year + 5);
    EXPECT(plat_loop_run(l) == -1 && errno == EDEADLK); /* nothing can ever happen */
    plat_loop_free(l);
}

static void on_console(void *arg, unsigned int ready)
{
    struct plat_stream **s = arg;
    char buf[10] = "";

    EXPECT(ready == PLAT_READABLE);
    EXPECT(plat_read(s[0], buf, sizeof(buf)) == 3 && strcmp(buf, "ls\n") == 0);
    EXPECT(plat_write(s[0], "file\n", 5) == 5);
    plat_loop_stop(s[0] ? (void *)s[1] : NULL);
}

static void test_console(void)
{
    struct plat_loop *l = plat_loop_new();
    struct plat_stream *s[2] = { plat_console(), (struct plat_stream *)l };
    char buf[10] = "";

    EXPECT(plat_console() == NULL && errno == EBUSY);
    EXPECT(plat_write(fake_terminal(), "ls\n", 3) == 3);
    plat_watch(l, s[0], PLAT_READABLE, on_console, s);
    EXPECT(plat_loop_run(l) == 0);
    EXPECT(plat_read(fake_terminal(), buf, sizeof(buf)) == 5 && strcmp(buf, "file\n") == 0);
    plat_watch(l, s[0], 0, NULL, NULL);
    plat_loop_free(l);
    fake_reset();
}

static void test_restart(void)
{
    char *r = plat_region_open("kept", 100, NULL), *again, *file;
    bool fresh = true;

    strcpy(r, "kept");
    EXPECT(plat_file_write("/file", "kept", 4) == 0);
    fake_restart();
    again = plat_region_open("kept", 100, &fresh);
    EXPECT(again != NULL && !fresh && strcmp(again, "kept") == 0);
    file = plat_file_read("/file", NULL);
    EXPECT(file != NULL && strcmp(file, "kept") == 0);
    free(file);
    fake_reset();
    EXPECT(plat_file_read("/file", NULL) == NULL && errno == ENOENT);
}

static void test_log(void)
{
    unsigned int before = fake_log_lines();

    plat_log(PLAT_WARNING, "%s %d", "number", 7);
    plat_log(PLAT_DEBUG, "not shown");
    EXPECT(strcmp(fake_log_last(), "number 7") == 0);
    EXPECT(fake_log_lines() == before + 1);
    plat_log_limit(PLAT_DEBUG);
    plat_log(PLAT_DEBUG, "shown");
    plat_log_limit(PLAT_INFO);
    EXPECT(strcmp(fake_log_last(), "shown") == 0);
}

static bool ok(bool did)
{
    EXPECT(did || errno == ENOMEM);
    return did;
}

/* A bit of everything; each step may fail, and what was done before is undone. */
static bool everything(void)
{
    struct plat_stream *ends[2], *listener = NULL, *client = NULL;
    struct plat_loop *l = plat_loop_new();
    bool done = false, had_old;
    char *region = NULL, *data;

    if (!ok(l != NULL))
        return false;
    if (!ok(plat_pair(ends) == 0))
        goto out_loop;
    listener = plat_listen("/name");
    if (!ok(listener != NULL))
        goto out_pair;
    client = plat_connect("/name");
    if (!ok(client != NULL))
        goto out_listener;
    data = plat_file_read("/file", NULL);
    had_old = data != NULL;
    free(data);
    if (!ok(plat_file_write("/file", "new", 3) == 0)) {
        fake_fail_at(0);
        data = plat_file_read("/file", NULL); /* as it was */
        EXPECT((data != NULL) == had_old);
        free(data);
        goto out_client;
    }
    region = plat_region_open("region", 5000, NULL);
    done = ok(region != NULL);
    if (region)
        plat_region_close(region, 5000);
out_client:
    plat_close(client);
out_listener:
    plat_close(listener);
out_pair:
    plat_close(ends[0]);
    plat_close(ends[1]);
out_loop:
    plat_loop_free(l);
    return done;
}

/* The n-th allocation fails, for each n; the sanitizer sees what is not given back. */
static void test_failures(void)
{
    unsigned int n = 0;
    bool done;

    do {
        fake_fail_at(++n);
        done = everything();
        EXPECT(done || n < 50);
    } while (!done && n < 50);
    EXPECT(n > 6);
    fake_reset();
}

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0); /* the leak checker ends the program without a flush */
    test_time_is_ours();
    test_console();
    test_restart();
    test_log();
    test_failures();
    conformance("/somewhere");
    fake_reset();
    printf("platform, fake: %s\n", nr_unexpected ? "FAILED" : "ok");
    return nr_unexpected != 0;
}
