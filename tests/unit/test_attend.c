/* dom0-tools/attend/lock.c: who is the attendant, and whether it serves; and a daemon that begins with files closed. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../dom0-tools/attend/lock.h"
#include "../../xen-like/platform/posix.h"

#define SOON 50000000u
#define LONG 20000000000u

static char path[] = "/tmp/test_attend.XXXXXX";

uint64_t plat_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int plat_file_write(const char *file, const void *bytes, size_t len) { return -1; }
void plat_log(enum plat_level level, const char *fmt, ...) {}

static bool times_out(void) { return attend_lock(path, SOON) == -2 && errno == ETIMEDOUT; }

static void test_one_serves(void)
{
    int fd = attend_lock(path, 0), other;

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_TRUE(times_out()); /* it is locked, which does not say that it serves */
    CU_ASSERT_EQUAL(attend_serves(fd, true), 0);
    CU_ASSERT_EQUAL(attend_lock(path, 0), -1);
    CU_ASSERT_EQUAL(attend_serves(fd, false), 0);
    CU_ASSERT_TRUE(times_out());
    close(fd);
    other = attend_lock(path, 0);
    CU_ASSERT_TRUE(other >= 0);
    close(other);
    CU_ASSERT_TRUE(attend_lock("/none/lock", 0) == -2 && errno == ENOENT);
}

/* A process that has the lock, and then serves, or ends. Returns when it has it. */
static pid_t holder(bool serves_at_once, bool serves)
{
    int ends[2];
    char byte;
    pid_t child;

    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    child = fork();
    if (child == 0) {
        int fd = attend_lock(path, 0);

        if (serves_at_once)
            attend_serves(fd, true);
        if (write(ends[1], "", 1) != 1)
            _exit(1);
        nanosleep(&(struct timespec){ .tv_nsec = 2 * SOON }, NULL);
        if (!serves && !serves_at_once)
            _exit(0);
        attend_serves(fd, true);
        pause();
    }
    CU_ASSERT_EQUAL(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    close(ends[1]);
    return child;
}

static void end(pid_t child)
{
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

static void test_who_comes_waits(void)
{
    pid_t child = holder(false, true);
    int fd;

    CU_ASSERT_EQUAL(attend_lock(path, LONG), -1); /* when it serves */
    end(child);
    child = holder(false, false);
    fd = attend_lock(path, LONG); /* when it has ended without */
    CU_ASSERT_TRUE(fd >= 0);
    close(fd);
    end(child);
    child = holder(true, true);
    CU_ASSERT_EQUAL(attend_lock(path, 0), -1);
    end(child);
    fd = attend_lock(path, 0); /* of one that was killed nothing says that it serves */
    CU_ASSERT_TRUE(fd >= 0);
    close(fd);
}

/* Of "xl create <&-": the lock is not lost when the standard files are left. */
static void test_closed_files(void)
{
    int wait[2], status;
    pid_t child;

    CU_ASSERT_EQUAL_FATAL(pipe(wait), 0);
    child = fork();
    if (child == 0) {
        char byte;

        close(wait[1]);
        close(STDIN_FILENO);
        if (!posix_fill_standard() || attend_lock(path, 0) <= STDERR_FILENO ||
            !posix_background() || posix_ready(NULL))
            _exit(1);
        _exit(read(wait[0], &byte, 1) != 0);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CU_ASSERT_TRUE(times_out());
    close(wait[0]);
    close(wait[1]); /* it ends */
    status = attend_lock(path, LONG);
    CU_ASSERT_TRUE(status >= 0);
    close(status);
}

int main(void)
{
    int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("attend", NULL, NULL);
    CU_add_test(s, "test_one_serves", test_one_serves);
    CU_add_test(s, "test_who_comes_waits", test_who_comes_waits);
    CU_add_test(s, "test_closed_files", test_closed_files);
    CU_basic_run_tests();
    unlink(path);
    return CU_get_number_of_failures() || CU_get_error();
}
