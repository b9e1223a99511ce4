/* The supervision of the control domain's daemons (dom0-tools/control/service.c), with groups that are threads and time that flies. */
#include <CUnit/Basic.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../dom0-tools/control/service.h"

/* ---- the platform ---- */

static uint64_t now;

uint64_t plat_now(void) { return __atomic_load_n(&now, __ATOMIC_SEQ_CST); }

/* There is one lock in service.c. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void plat_lock(struct plat_mutex *m)
{
    (void)m;
    pthread_mutex_lock(&lock);
}
void plat_unlock(struct plat_mutex *m)
{
    (void)m;
    pthread_mutex_unlock(&lock);
}

/* It is late at once. */
bool plat_cond_wait(struct plat_cond *c, struct plat_mutex *m, uint64_t until)
{
    (void)c;
    plat_unlock(m);
    if (plat_now() < until)
        __atomic_store_n(&now, until, __ATOMIC_SEQ_CST);
    sched_yield();
    plat_lock(m);
    return false;
}
void plat_cond_broadcast(struct plat_cond *c) { (void)c; }

void plat_log(enum plat_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

static struct plat_loop *some_loop = (struct plat_loop *)&now;
struct plat_loop *plat_loop_new(void) { return some_loop; }

/* For as long as the test runs. */
int plat_loop_run(struct plat_loop *l)
{
    (void)l;
    for (;;)
        pause();
}

struct call {
    void (*fn)(void *arg);
    void *arg;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct call *c = arg;

    c->fn(c->arg);
    return NULL;
}

static struct call *start(void (*fn)(void *arg), void *arg)
{
    struct call *c = malloc(sizeof(*c));

    *c = (struct call){ .fn = fn, .arg = arg };
    if (pthread_create(&c->thread, NULL, run, c))
        abort();
    return c;
}

struct plat_thread *plat_thread_start(const char *name, void (*fn)(void *arg), void *arg)
{
    (void)name;
    return (struct plat_thread *)start(fn, arg);
}
struct plat_group *plat_group_start(const char *name, void (*fn)(void *arg), void *arg)
{
    (void)name;
    return (struct plat_group *)start(fn, arg);
}
void plat_group_wait(struct plat_group *g) { pthread_join(((struct call *)g)->thread, NULL); }
void plat_group_free(struct plat_group *g) { free(g); }
void plat_group_kill(struct plat_group *g) { (void)g; }

/* ---- the tests ---- */

static int nr_failures; /* of the next starts */
static unsigned int nr_starts, nr_others, nr_wrong;

/* Supervisors run on when the tests have ended: CUnit is not for them. */
static void is_its_loop(const struct plat_loop *loop)
{
    if (loop != some_loop)
        __atomic_fetch_add(&nr_wrong, 1, __ATOMIC_SEQ_CST);
}

static bool start_after_failures(struct plat_loop *loop)
{
    is_its_loop(loop);
    __atomic_fetch_add(&nr_starts, 1, __ATOMIC_SEQ_CST);
    return __atomic_fetch_sub(&nr_failures, 1, __ATOMIC_SEQ_CST) <= 0;
}

static bool start_other(struct plat_loop *loop)
{
    is_its_loop(loop);
    __atomic_fetch_add(&nr_others, 1, __ATOMIC_SEQ_CST);
    return true;
}

static void test_one_dies_at_boot(void)
{
    static struct service all[] = { { .name = "some", .start = start_after_failures },
                                    { .name = "other", .start = start_other },
                                    { 0 } };

    nr_failures = 4;
    nr_starts = nr_others = 0;
    CU_ASSERT_TRUE(services_start(all));
    CU_ASSERT_EQUAL(nr_starts, 5);
    CU_ASSERT_EQUAL(all[0].starts, 5);
    CU_ASSERT_EQUAL(all[0].state, SERVICE_SERVES);
    CU_ASSERT_EQUAL(nr_others, 1);
    CU_ASSERT_EQUAL(nr_wrong, 0);
}

static void test_one_never_serves(void)
{
    static struct service all[] = { { .name = "some", .start = start_after_failures },
                                    { .name = "other", .start = start_other },
                                    { 0 } };

    nr_failures = 1000000;
    nr_starts = nr_others = 0;
    CU_ASSERT_FALSE(services_start(all));
    CU_ASSERT_TRUE(__atomic_load_n(&nr_starts, __ATOMIC_SEQ_CST) >= 5);
    CU_ASSERT_EQUAL(nr_others, 0);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("service", NULL, NULL);
    CU_add_test(s, "one dies at boot", test_one_dies_at_boot);
    CU_add_test(s, "one never serves", test_one_never_serves);
    CU_basic_run_tests();
    fflush(stdout);
    _exit(CU_get_number_of_failures() || CU_get_error()); /* supervisors run on */
}
