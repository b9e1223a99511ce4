/* backends/drivers: the queue of a disk whose hardware is reset: what is done, what begins again, what fails. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdlib.h>

#include "drivers/disk_queue.h"

enum { NR_COMMANDS = 6, NR_SECTORS = 8, OF_COMMAND = 2, NR = 16, LOG = 200 };

/* ---- hardware that does nothing by itself; a command has two sectors ---- */

static struct disk_queue q;
static struct disk_command *held[NR_COMMANDS];
static unsigned int nr_held, room, nr_started;
static uint64_t started[LOG]; /* the sectors */

static bool start(struct disk_queue *dq, struct disk_command *c, const struct piece *pieces,
                  unsigned int nr_pieces)
{
    if (nr_held == room)
        return false;
    CU_ASSERT_FATAL(nr_started < LOG);
    started[nr_started++] = c->sector;
    held[nr_held++] = c;
    return true;
}

static void kick(struct disk_queue *dq) {}

static const struct disk_hw hw = { start, kick };

static void finish(unsigned int i, int error)
{
    struct disk_command *c = held[i];

    held[i] = held[--nr_held];
    disk_queue_done(&q, c, error);
}

static void finish_all(void)
{
    while (nr_held) {
        finish(0, 0);
        disk_queue_go_on(&q);
    }
}

/* As the drivers do it. */
static void reset(void)
{
    nr_held = 0;
    disk_queue_hold(&q, true);
    disk_queue_lost(&q, EIO);
    disk_queue_hold(&q, false);
}

/* ---- its users ---- */

static _Alignas(4096) uint8_t data[NR_SECTORS * DISK_SECTOR];
static const struct disk_segment segment = { data, sizeof(data) };
static struct user {
    struct disk_request request; /* the first member */
    struct user *next;           /* begins when this one is done */
    unsigned int nr_done;
    int error;
} users[NR];

static void begin(struct user *u) { disk_queue_submit(&q.disk, &u->request); }

static void on_done(struct disk_request *r, int error)
{
    struct user *u = (struct user *)r;

    u->nr_done++;
    u->error = error;
    if (u->next)
        begin(u->next);
}

static void users_new(void)
{
    for (unsigned int i = 0; i < NR; i++)
        users[i] = (struct user){ .request = { .op = DISK_WRITE,
                                               .sector = i * NR_SECTORS,
                                               .segments = &segment,
                                               .nr_segments = 1,
                                               .done = on_done } };
    nr_started = 0;
}

static void set_up(void)
{
    q = (struct disk_queue){
        .hw = &hw,
        .limits = { 2, DISK_SECTOR, OF_COMMAND * DISK_SECTOR, false, 1024 },
        .disk = { .sector_bytes = DISK_SECTOR, .flush = true, .discard = true },
    };
    CU_ASSERT_EQUAL_FATAL(disk_queue_init(&q, NR_COMMANDS), 0);
    nr_held = 0;
    room = NR_COMMANDS;
    users_new();
}

static void begin_all(unsigned int nr)
{
    for (unsigned int i = 0; i < nr; i++)
        begin(&users[i]);
}

/* Each of the first so many is done, once, with that. */
static void ended(unsigned int nr, int error)
{
    for (unsigned int i = 0; i < NR; i++) {
        CU_ASSERT_EQUAL(users[i].nr_done, i < nr);
        CU_ASSERT_EQUAL(users[i].error, i < nr ? error : 0);
    }
}

/* How often a sector was what a command began with. */
static unsigned int nr_starts(uint64_t sector)
{
    unsigned int nr = 0;

    for (unsigned int i = 0; i < nr_started; i++)
        nr += started[i] == sector;
    return nr;
}

/* Nothing is in use or waits. */
static void tear_down(void)
{
    unsigned int nr = 0;

    CU_ASSERT(q.first == NULL && q.head == NULL);
    for (const struct disk_command *c = q.free; c; c = c->next)
        nr++;
    CU_ASSERT_EQUAL(nr, NR_COMMANDS);
    disk_queue_exit(&q);
}

/* ---- tests ---- */

/* One is all begun, one half, one not at all: what was done of the first two is done anew, nothing of the third twice. */
static void test_what_was_in_flight_begins_again(void)
{
    set_up();
    begin_all(3);
    CU_ASSERT_EQUAL(nr_started, 6);
    finish(1, 0); /* of the first */
    reset();
    ended(0, 0);
    finish_all();
    ended(3, 0);
    for (unsigned int at = 0; at < 2 * NR_SECTORS; at += OF_COMMAND)
        CU_ASSERT_EQUAL(nr_starts(at), at < NR_SECTORS + 4 ? 2 : 1);
    for (unsigned int at = 2 * NR_SECTORS; at < 3 * NR_SECTORS; at += OF_COMMAND)
        CU_ASSERT_EQUAL(nr_starts(at), 1);
    tear_down();
}

static void test_the_head_begins_again_alone(void)
{
    set_up();
    room = 1;
    begin_all(1);
    finish(0, 0);
    disk_queue_go_on(&q); /* the second of four */
    CU_ASSERT(q.head != NULL && nr_started == 2);
    reset();
    finish_all();
    ended(1, 0);
    CU_ASSERT_EQUAL(nr_started, 6);
    CU_ASSERT(nr_starts(0) == 2 && nr_starts(2) == 2 && nr_starts(4) == 1 && nr_starts(6) == 1);
    tear_down();
}

/* The hardware has nothing of it at the reset: it goes on where it is, and may be lost once yet. */
static void test_a_head_that_waits_goes_on(void)
{
    set_up();
    room = 1;
    begin_all(1);
    finish(0, 0);
    reset();
    CU_ASSERT(nr_started == 2 && started[1] == 2);
    reset();
    finish_all();
    ended(1, 0);
    tear_down();
}

static void test_once_and_no_more(void)
{
    set_up();
    begin_all(3);
    reset(); /* the third was not begun; it is the first to begin now */
    reset();
    CU_ASSERT(users[0].nr_done == 1 && users[0].error == EIO);
    CU_ASSERT_EQUAL(users[1].nr_done, 0); /* it waits to begin again, since the first reset */
    CU_ASSERT_EQUAL(users[2].nr_done, 0);
    finish_all();
    CU_ASSERT(users[1].nr_done == 1 && users[1].error == 0);
    CU_ASSERT(users[2].nr_done == 1 && users[2].error == 0);
    begin(&users[0]); /* submitted anew it may be lost anew */
    reset();
    CU_ASSERT_EQUAL(users[0].nr_done, 1);
    finish_all();
    CU_ASSERT(users[0].nr_done == 2 && users[0].error == 0);
    tear_down();
}

static void test_a_discard_fails(void)
{
    set_up();
    users[0].request.op = DISK_DISCARD;
    users[0].request.nr_sectors = 512;
    users[1].request.op = DISK_DISCARD;
    users[1].request.nr_sectors = 16 * 1024; /* the head */
    users[2].request.op = DISK_FLUSH;
    begin_all(3);
    CU_ASSERT(nr_held == NR_COMMANDS && q.head != NULL);
    reset();
    CU_ASSERT(users[0].nr_done == 1 && users[0].error == EIO);
    CU_ASSERT(users[1].nr_done == 1 && users[1].error == EIO);
    CU_ASSERT_EQUAL(nr_started, NR_COMMANDS + 1);
    finish_all();
    CU_ASSERT(users[2].nr_done == 1 && users[2].error == 0);
    tear_down();
}

static void test_reads_and_flushes_too(void)
{
    set_up();
    users[0].request.op = DISK_READ;
    users[1].request.op = DISK_FLUSH;
    begin_all(2);
    reset();
    ended(0, 0);
    CU_ASSERT_EQUAL(nr_started, 10);
    finish_all();
    ended(2, 0);
    tear_down();
}

/* What has failed already is not tried again: of one that is all begun, and of the head. */
static void test_an_error_stays(void)
{
    set_up();
    begin_all(2);
    finish(0, ENOSPC);
    finish(4, ENODATA); /* the second's */
    reset();
    CU_ASSERT(users[0].nr_done == 1 && users[0].error == ENOSPC);
    CU_ASSERT(users[1].nr_done == 1 && users[1].error == ENODATA);
    CU_ASSERT_EQUAL(nr_started, 6);
    tear_down();
}

static void test_a_dead_one_fails_all(void)
{
    for (unsigned int resets = 0; resets < 2; resets++) {
        set_up();
        begin_all(5);
        finish(1, 0);
        users[4].next = &users[5]; /* at once, too */
        disk_queue_hold(&q, true);
        if (resets)
            disk_queue_lost(&q, EIO); /* those wait then that would begin again */
        disk_queue_die(&q);
        ended(6, EIO);
        CU_ASSERT_EQUAL(nr_started, 6);
        nr_held = 0;
        tear_down();
    }
}

/* Who is told of an error begins with the next one, before those that begin again have. */
static void test_the_next_one_begins_in_the_middle(void)
{
    set_up();
    users[0].request.op = DISK_DISCARD;
    users[0].request.nr_sectors = 8;
    users[0].next = &users[3];
    begin_all(3);
    reset();
    finish_all();
    CU_ASSERT(users[0].nr_done == 1 && users[0].error == EIO);
    users[0].error = 0;
    ended(4, 0);
    CU_ASSERT_EQUAL(nr_starts(3 * NR_SECTORS), 1);
    tear_down();
}

/* Whatever was done of whatever there was: each is done once, well after one reset. Nothing of the queue leaks. */
static void test_by_chance(void)
{
    set_up();
    for (unsigned int n = 0; n < 3000; n++) {
        unsigned int nr = 1 + (unsigned int)rand() % (NR / 2), at_most = (unsigned int)rand() % 12;

        users_new();
        room = 1 + (unsigned int)rand() % NR_COMMANDS;
        for (unsigned int i = 0; i < nr; i++) {
            users[i].request.op = (enum disk_op)(rand() % 3);
            users[i].next = &users[nr + i];
        }
        begin_all(nr);
        for (; at_most && nr_held; at_most--) {
            finish((unsigned int)rand() % nr_held, 0);
            if (rand() % 2)
                disk_queue_go_on(&q);
        }
        reset();
        finish_all();
        ended(2 * nr, 0);
    }
    tear_down();
}

int main(void)
{
    CU_TestInfo tests[] = {
        { "what was in flight begins again", test_what_was_in_flight_begins_again },
        { "the head begins again", test_the_head_begins_again_alone },
        { "a head that waits goes on", test_a_head_that_waits_goes_on },
        { "once and no more", test_once_and_no_more },
        { "a discard fails", test_a_discard_fails },
        { "reads and flushes, too", test_reads_and_flushes_too },
        { "an error stays", test_an_error_stays },
        { "a dead one fails all", test_a_dead_one_fails_all },
        { "the next one begins in the middle", test_the_next_one_begins_in_the_middle },
        { "by chance", test_by_chance },
        CU_TEST_INFO_NULL,
    };
    CU_SuiteInfo suites[] = { { .pName = "disk queue", .pTests = tests }, CU_SUITE_INFO_NULL };
    unsigned int failed;

    if (CU_initialize_registry() != CUE_SUCCESS || CU_register_suites(suites) != CUE_SUCCESS)
        return 2;
    CU_basic_set_mode(CU_BRM_NORMAL);
    CU_basic_run_tests();
    failed = CU_get_number_of_failures();
    CU_cleanup_registry();
    return failed != 0;
}
