/*
 * What Linux does on ours, on Debian's Xen and on the bare machine for `make bench-linux`: the first
 * process of a ramdisk. Each row of workloads[] is a window of tests/bench/plugin, numbered as the
 * kernel log tells ("WORKLOAD number name units unit"); all that the machine executes between its
 * marks counts.
 *
 * With arguments it does one thing, for `make bench-guests`:
 *   -b NUMBER NAME UNITS UNIT COMMAND...  begin window NUMBER, become COMMAND; the window stays open
 *   -e                                    end it
 *   NUMBER NAME UNITS UNIT COMMAND...     the window is what COMMAND takes
 *   NUMBER NAME                           the window is that row of workloads[]
 * and for `make bench-sched`, without windows:
 *   -s                                    compute for ever
 *   -l                                    sleep 10 ms 100 times, say how much longer it took, and again:
 *                                         "SLEPT TIMES MEAN MOST" (microseconds)
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../plugin/mark.h"

#ifndef SELF
#define SELF "/init"
#endif
#define NOTHING "nothing" /* as argument: end at once */
#define PAGE 4096u
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static void must(bool good, const char *what)
{
    if (good)
        return;
    printf("WORKLOAD-FAILURE %s: %s\n", what, strerror(errno));
    reboot(RB_POWER_OFF);
    _exit(1);
}

/* ---- processes ---- */

static void child_ended(pid_t pid)
{
    int status;

    must(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0, "child");
}

static void run(char *const argv[])
{
    static char *const environment[] = { "PATH=/usr/bin", "HOME=/tmp", NULL };
    pid_t pid = fork();

    must(pid >= 0, "fork");
    if (pid == 0) {
        execve(argv[0], argv, environment);
        _exit(127);
    }
    child_ended(pid);
}

static void fork_exec(unsigned int nr)
{
    char *const argv[] = { SELF, NOTHING, NULL };

    while (nr--)
        run(argv);
}

static void pipe_ping_pong(unsigned int nr)
{
    int there[2], back[2];
    char byte = 0;
    pid_t pid;

    must(pipe(there) == 0 && pipe(back) == 0, "pipe");
    pid = fork();
    must(pid >= 0, "fork");
    if (pid == 0) {
        while (nr-- && read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
            ;
        _exit(0);
    }
    while (nr--)
        must(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping-pong");
    child_ended(pid);
    close(there[0]);
    close(there[1]);
    close(back[0]);
    close(back[1]);
}

static void futex_wait_for(uint32_t *word, uint32_t value)
{
    uint32_t seen;

    while ((seen = __atomic_load_n(word, __ATOMIC_ACQUIRE)) != value)
        syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void futex_set(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void futex_ping_pong(unsigned int nr)
{
    uint32_t *word = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pid;

    must(word != MAP_FAILED, "mmap");
    pid = fork();
    must(pid >= 0, "fork");
    for (uint32_t i = 0; i < nr; i++) {
        if (pid == 0) {
            futex_wait_for(word, 2 * i + 1);
            futex_set(word, 2 * i + 2);
        } else {
            futex_set(word, 2 * i + 1);
            futex_wait_for(word, 2 * i + 2);
        }
    }
    if (pid == 0)
        _exit(0);
    child_ended(pid);
    munmap(word, PAGE);
}

/* ---- memory and system calls ---- */

static void map_unmap(unsigned int nr)
{
    while (nr--) {
        char *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        must(p != MAP_FAILED, "mmap");
        p[0] = 1;
        must(munmap(p, 16 * PAGE) == 0, "munmap");
    }
}

static void page_faults(unsigned int nr)
{
    for (unsigned int done = 0; done < nr; done += 4096) {
        char *p =
            mmap(NULL, 4096 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        must(p != MAP_FAILED, "mmap");
        madvise(p, 4096 * PAGE, MADV_NOHUGEPAGE);
        for (unsigned int i = 0; i < 4096; i++)
            p[i * PAGE] = 1;
        must(munmap(p, 4096 * PAGE) == 0, "munmap");
    }
}

static void copy_on_write(unsigned int nr) /* pages, 512 a child */
{
    char *p = mmap(NULL, 512 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    must(p != MAP_FAILED, "mmap");
    memset(p, 1, 512 * PAGE);
    for (unsigned int done = 0; done < nr; done += 512) {
        pid_t pid = fork();

        must(pid >= 0, "fork");
        if (pid == 0) {
            for (unsigned int i = 0; i < 512; i++)
                p[i * PAGE] = 2;
            _exit(0);
        }
        child_ended(pid);
    }
    munmap(p, 512 * PAGE);
}

static void system_calls(unsigned int nr)
{
    while (nr--)
        syscall(SYS_getppid);
}

/* ---- programs ---- */

static void stress(const char *stressor, unsigned int nr)
{
    char one[32], ops[32], count[32];
    char *argv[] = { "/usr/bin/stress-ng",
                     "--quiet",
                     "--temp-path",
                     "/tmp",
                     "--seed",
                     "1",
                     "--oomable",
                     one,
                     "1",
                     ops,
                     count,
                     NULL,
                     NULL,
                     NULL };

    snprintf(one, sizeof(one), "--%s", stressor);
    snprintf(ops, sizeof(ops), "--%s-ops", stressor);
    snprintf(count, sizeof(count), "%u", nr);
    if (strcmp(stressor, "mmap") == 0) { /* 256 MiB otherwise */
        argv[ARRAY_SIZE(argv) - 3] = "--mmap-bytes";
        argv[ARRAY_SIZE(argv) - 2] = "1m";
    }
    run(argv);
}

static void build(unsigned int nr)
{
    static char *const sources[] = { SOURCES }; /* what the ramdisk has in /src */
    static char objects[ARRAY_SIZE(sources)][32];

    for (unsigned int n = 0; n < nr; n++) {
        for (unsigned int i = 0; i < ARRAY_SIZE(sources); i++) {
            snprintf(objects[i], sizeof(objects[i]), "/tmp/%u.o", i);
            run((char *[]){ "/usr/bin/tcc", "-c", "-o", objects[i], sources[i], NULL });
        }
        run((char *[]){ "/usr/bin/tcc", "-o", "/tmp/built", objects[0], NULL });
        run((char *[]){ "/tmp/built", "good", "/tmp/elf", NULL });
    }
}

struct workload {
    const char *name, *unit;
    unsigned int units;
    void (*run)(unsigned int units);
    const char *stressor;
};

static const struct workload workloads[] = {
    { "fork and exec", "process", 1000, fork_exec, NULL },
    { "pipe ping-pong", "round trip", 10000, pipe_ping_pong, NULL },
    { "futex ping-pong", "round trip", 10000, futex_ping_pong, NULL },
    { "mmap, touch, munmap", "time", 10000, map_unmap, NULL },
    { "page faults", "fault", 40960, page_faults, NULL },
    { "copy on write", "page", 20480, copy_on_write, NULL },
    { "system calls", "call", 200000, system_calls, NULL },
    { "stress-ng fork", "operation", 300, NULL, "fork" },
    { "stress-ng vfork", "operation", 1000, NULL, "vfork" },
    { "stress-ng mmap", "operation", 5, NULL, "mmap" },
    { "stress-ng mprotect", "operation", 2000, NULL, "mprotect" },
    { "stress-ng fault", "operation", 1000, NULL, "fault" },
    { "stress-ng pipe", "operation", 20000, NULL, "pipe" },
    { "stress-ng context", "operation", 200, NULL, "context" },
    { "stress-ng switch", "operation", 10000, NULL, "switch" },
    { "stress-ng futex", "operation", 10000, NULL, "futex" },
    { "stress-ng signal", "operation", 20000, NULL, "signal" },
    { "stress-ng sigsegv", "operation", 5000, NULL, "sigsegv" },
    { "stress-ng get", "operation", 500, NULL, "get" },
    { "build with tcc", "build", 5, build, NULL },
};

/* By its command line, too: NUMBER is what the plugin gives the window that is begun next. */
static void begin(const char *number, const char *name, const char *units, const char *unit)
{
    printf("WORKLOAD\t%s\t%s\t%s\t%s\n", number, name, units, unit);
    usleep(20000); /* what is left of the time before */
    mark_window(MARK_NEXT);
}

static void run_row(unsigned int number, const struct workload *w)
{
    char number_text[16], units[16];

    snprintf(number_text, sizeof(number_text), "%u", number);
    snprintf(units, sizeof(units), "%u", w->units);
    begin(number_text, w->name, units, w->unit);
    if (w->run)
        w->run(w->units);
    else
        stress(w->stressor, w->units);
    mark_window(0);
}

/* ---- for the scheduler ---- */

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void sleep_and_tell(void)
{
    for (;;) {
        uint64_t sum_us = 0, most_us = 0;

        for (unsigned int i = 0; i < 100; i++) {
            struct timespec ten_ms = { 0, 10000000 };
            uint64_t from_us = now_us(), late_us;

            must(nanosleep(&ten_ms, NULL) == 0, "nanosleep");
            late_us = now_us() - from_us - 10000;
            sum_us += late_us;
            most_us = late_us > most_us ? late_us : most_us;
        }
        printf("SLEPT 100 %llu %llu\n", (unsigned long long)(sum_us / 100),
               (unsigned long long)most_us);
    }
}

static int run_one(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], NOTHING) == 0)
        return 0;
    if (argc == 2 && strcmp(argv[1], "-e") == 0) {
        mark_window(0);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "-l") == 0)
        sleep_and_tell();
    if (argc == 2 && strcmp(argv[1], "-s") == 0)
        for (;;)
            __asm__ volatile("");
    if (argc > 6 && strcmp(argv[1], "-b") == 0) {
        begin(argv[2], argv[3], argv[4], argv[5]);
        execvp(argv[6], argv + 6);
        must(false, argv[6]);
    }
    if (argc > 5) {
        begin(argv[1], argv[2], argv[3], argv[4]);
        run(argv + 5);
        mark_window(0);
        return 0;
    }
    for (unsigned int i = 0; argc == 3 && i < ARRAY_SIZE(workloads); i++)
        if (strcmp(argv[2], workloads[i].name) == 0) {
            run_row((unsigned int)strtoul(argv[1], NULL, 10), &workloads[i]);
            return 0;
        }
    fprintf(stderr, "workloads: not understood: %s\n", argv[1]);
    return 2;
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && getpid() != 1) /* which gets what the kernel did not understand */
        return run_one(argc, argv);
    must(mount("dev", "/dev", "devtmpfs", 0, NULL) == 0 &&
             (mkdir("/dev/shm", 0755) == 0 || errno == EEXIST) &&
             mount("proc", "/proc", "proc", 0, NULL) == 0 &&
             mount("sys", "/sys", "sysfs", 0, NULL) == 0 &&
             mount("tmp", "/tmp", "tmpfs", 0, "mode=1777") == 0 &&
             mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777") == 0,
         "mount");
    for (unsigned int i = 0; i < ARRAY_SIZE(workloads); i++)
        run_row(i + 1, &workloads[i]);
    printf("WORKLOADS-DONE\n");
    reboot(RB_POWER_OFF);
    return 0;
}
