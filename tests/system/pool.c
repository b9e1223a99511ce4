#define _GNU_SOURCE
#include "pool.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct slot {
    pid_t pid; /* 0: not started, -1: done */
    double start_s;
};

struct pool {
    pool_job job;
    size_t nr_jobs, next;
    unsigned int nr_parallel, nr_running;
    struct slot *slots;
    struct result *results; /* shared with the children */
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run_job(struct pool *p, size_t index, pid_t parent)
{
    struct result result = { .outcome = OUTCOME_PASS };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    p->job(index, &result);
    result.seconds = p->results[index].seconds;
    p->results[index] = result;
    _exit(0);
}

static void start_jobs(struct pool *p)
{
    pid_t parent = getpid();

    fflush(NULL);
    while (p->next < p->nr_jobs && p->nr_running < p->nr_parallel) {
        struct slot *s = &p->slots[p->next];
        struct result *r = &p->results[p->next];

        r->outcome = OUTCOME_FAIL;
        snprintf(r->message, sizeof(r->message), "the test's process died");
        s->start_s = now_s();
        s->pid = fork();
        if (s->pid == 0)
            run_job(p, p->next, parent);
        if (s->pid < 0)
            snprintf(r->message, sizeof(r->message), "cannot start a process for the test");
        else
            p->nr_running++;
        p->next++;
    }
}

struct pool *pool_start(pool_job job, size_t nr_jobs, unsigned int nr_parallel)
{
    struct pool *p = calloc(1, sizeof(*p));

    if (p == NULL)
        abort();
    *p = (struct pool){ .job = job, .nr_jobs = nr_jobs, .nr_parallel = nr_parallel };
    p->slots = calloc(nr_jobs + 1, sizeof(*p->slots));
    p->results = mmap(NULL, (nr_jobs + 1) * sizeof(*p->results), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->slots == NULL || p->results == MAP_FAILED)
        abort();
    start_jobs(p);
    return p;
}

const struct result *pool_wait(struct pool *p, size_t index)
{
    while (p->slots[index].pid >= 0) {
        int status;
        pid_t pid = wait(&status);

        for (size_t i = 0; pid > 0 && i < p->next; i++) {
            if (p->slots[i].pid != pid)
                continue;
            p->slots[i].pid = -1;
            p->results[i].seconds = now_s() - p->slots[i].start_s;
            p->nr_running--;
        }
        start_jobs(p);
    }
    return &p->results[index];
}

void pool_destroy(struct pool *p)
{
    munmap(p->results, (p->nr_jobs + 1) * sizeof(*p->results));
    free(p->slots);
    free(p);
}
