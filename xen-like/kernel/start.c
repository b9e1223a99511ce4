/* From the first instruction in C to main(), and the ends of a kernel. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rt/hypercall.h>
#include <rt/kernel.h>
#include <rt/memory.h>

#include "internal.h"

struct start_info *start_info;
static char shared_info_page[PAGE_BYTES] __attribute__((aligned(4096)));
struct shared_info *shared_info = (struct shared_info *)shared_info_page;

int main(int argc, char **argv);
void __libc_init_array(void);

/* The words of the command line; quotes are nothing special. */
static int split(char *line, char **argv, int max)
{
    int n = 0;

    argv[n++] = (char *)"kernel";
    for (char *save, *word = strtok_r(line, " ", &save); word && n < max - 1;
         word = strtok_r(NULL, " ", &save))
        argv[n++] = word;
    argv[n] = NULL;
    return n;
}

static void main_thread(void *arg)
{
    static char line[sizeof(start_info->cmd_line)];
    static char *argv[128];

    (void)arg;
    memcpy(line, start_info->cmd_line, sizeof(line) - 1);
    files_init();
    __libc_init_array();
    exit(main(split(line, argv, ARRAY_SIZE(argv)), argv));
}

/*
 * The page whose place shared_info takes is lost: its frame is not mapped any more.
 */
void kernel_start(struct start_info *si)
{
    start_info = si;
    if (hc(update_va_mapping, shared_info_page, si->shared_info | PROT_KERNEL_RW, UVMF_INVLPG))
        domain_shutdown(SHUTDOWN_crash);
    cpu_init(&cpus[0], 0);
    hc(set_segment_base, SEGBASE_GS_KERNEL, &cpus[0]);
    console_init();
    threads_cpu_init(&cpus[0]);
    traps_init();
    memory_init();
    events_init();
    cpu_events_init(&cpus[0]);
    cpus[0].online = true;
    if (thread_create("main", main_thread, NULL) == NULL)
        panic("no memory for the first thread");
    cpu_idle();
}

void kprint(const char *fmt, ...)
{
    char buf[400];
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);
    if (n >= (int)sizeof(buf))
        n = sizeof(buf) - 1;
    console_write(buf, (size_t)n);
}

void panic(const char *fmt, ...)
{
    char buf[300];
    va_list args;

    events_off();
    va_start(args, fmt);
    vsnprintf(buf, sizeof(buf), fmt, args);
    va_end(args);
    kprint("\nkernel panic on vCPU %u, thread %s: %s\n", this_cpu()->id, thread_name(thread_self()),
           buf);
    backtrace(0, (uint64_t)__builtin_frame_address(0));
    domain_shutdown(SHUTDOWN_crash);
}

void domain_shutdown(unsigned int reason)
{
    struct sched_shutdown s = { .reason = reason };

    hc(sched_op, SCHEDOP_shutdown, &s);
    for (;;)
        hc(sched_op, SCHEDOP_yield, 0);
}
