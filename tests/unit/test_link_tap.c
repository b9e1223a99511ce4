/* The link through a descriptor (link_tap.c): each message of a socket pair is a frame, as with a TAP interface. */
#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>
#include <errno.h>
#include <platform.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../backends/network/link_tap.h"

enum { FRAMES = 200 };

static struct plat_loop *loop;
static int outside; /* the other end */
static unsigned int nr_received, nr_all;
static uint32_t last_bytes;
static uint8_t last_first;

static void received(void *arg, struct frame *f)
{
    CU_ASSERT_EQUAL(f->refs, 1);
    CU_ASSERT_EQUAL(f->csum, FRAME_CSUM_NONE);
    CU_ASSERT_EQUAL(f->gso, FRAME_GSO_NONE);
    nr_received++;
    last_bytes = f->bytes;
    last_first = f->data[0];
}

static void received_all(void *arg)
{
    nr_all++;
    plat_loop_stop(loop);
}

static struct link *open_link(void)
{
    struct link *l;
    int fds[2];

    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds), 0);
    loop = plat_loop_new();
    outside = fds[1];
    l = link_of_fd(loop, fds[0]);
    CU_ASSERT_PTR_NOT_NULL_FATAL(l);
    l->received = received;
    l->received_all = received_all;
    nr_received = nr_all = 0;
    return l;
}

static void close_all(struct link *l)
{
    char byte;

    l->ops->close(l);
    CU_ASSERT_EQUAL(read(outside, &byte, 1), 0); /* nobody has the other end any more */
    close(outside);
    frames_free();
    plat_loop_free(loop);
}

static void give(uint32_t bytes, uint8_t first)
{
    static uint8_t data[4096];

    memset(data, first, sizeof(data));
    CU_ASSERT_EQUAL(write(outside, data, bytes), bytes);
}

static void test_frames_come_in(void)
{
    struct link *l = open_link();

    CU_ASSERT(l->up && l->mtu == 1500 && !l->csum4 && !l->csum6 && !l->tso4 && !l->tso6);
    give(60, 2);
    give(1514, 4);
    plat_loop_run(loop);
    CU_ASSERT_EQUAL(nr_received, 2);
    CU_ASSERT_EQUAL(nr_all, 1);
    CU_ASSERT_EQUAL(last_bytes, 1514);
    CU_ASSERT_EQUAL(last_first, 4);
    close_all(l);
}

static void test_what_is_no_frame_is_passed_over(void)
{
    struct link *l = open_link();

    give(FRAME_MIN - 1, 2);
    give(FRAME_MIN, 6);
    plat_loop_run(loop);
    CU_ASSERT_EQUAL(nr_received, 1);
    CU_ASSERT_EQUAL(last_bytes, FRAME_MIN);
    close_all(l);
}

static void test_others_have_a_turn_between_many_frames(void)
{
    struct link *l = open_link();
    int most = 1 << 20;

    setsockopt(outside, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
    for (unsigned int i = 0; i < FRAMES; i++)
        give(60, 2);
    plat_loop_run(loop);
    CU_ASSERT(nr_received > 0 && nr_received < FRAMES);
    while (nr_received < FRAMES && nr_all < FRAMES)
        plat_loop_run(loop);
    CU_ASSERT_EQUAL(nr_received, FRAMES);
    close_all(l);
}

static void test_frames_go_out_whole_and_without_room_are_dropped(void)
{
    struct link *l = open_link();
    struct frame *f = frame_alloc(1514);
    uint8_t data[4096];
    unsigned int nr = 0;

    f->bytes = 1000;
    memset(f->data, 8, 1514);
    for (unsigned int i = 0; i < 10000; i++)
        l->ops->send(l, f);
    l->ops->flush(l);
    CU_ASSERT_EQUAL(f->refs, 1);
    frame_put(f);
    while (read(outside, data, sizeof(data)) == 1000)
        nr += data[0] == 8 && data[999] == 8;
    CU_ASSERT(nr > 0 && nr < 10000);
    close_all(l);
}

static void test_a_bridge_that_is_not_there_is_refused(void)
{
    loop = plat_loop_new();
    errno = 0;
    CU_ASSERT_PTR_NULL(link_tap(loop, "a-name-that-is-too-long-for-linux"));
    CU_ASSERT_EQUAL(errno, ENODEV);
    errno = 0;
    CU_ASSERT_PTR_NULL(link_tap(loop, "none-of-ours")); /* or nobody may make interfaces here */
    CU_ASSERT_NOT_EQUAL(errno, 0);
    plat_loop_free(loop);
}

static const CU_TestInfo tests[] = {
    { "frames come in", test_frames_come_in },
    { "what is no frame is passed over", test_what_is_no_frame_is_passed_over },
    { "others have a turn between many frames", test_others_have_a_turn_between_many_frames },
    { "frames go out whole, and without room are dropped",
      test_frames_go_out_whole_and_without_room_are_dropped },
    { "a bridge that is not there is refused", test_a_bridge_that_is_not_there_is_refused },
    CU_TEST_INFO_NULL,
};

int main(void)
{
    CU_pSuite suite;

    CU_initialize_registry();
    suite = CU_add_suite("link_tap", NULL, NULL);
    for (const CU_TestInfo *t = tests; t->pName; t++)
        CU_add_test(suite, t->pName, t->pTestFunc);
    CU_basic_run_tests();
    return CU_get_number_of_failures() != 0 || CU_get_error();
}
