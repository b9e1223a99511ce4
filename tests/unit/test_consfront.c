/* The frontend of consoles (frontends/console), on a store in memory, with an enemy at the other end. */
#include <CUnit/Basic.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/io/console.h>
#include <xen/io/xenbus.h>
#include <xengnttab.h>

#include "../../frontends/console/consfront.h"
#include "fake_store.h"
#include "ports.h"
#define fake_reset platform_reset
#include "../../xen-like/platform/fake.h"

#define BACK "/local/domain/0/backend/console/5/2"
#define FRONT "/local/domain/5/device/console/2"

enum { REF = 77, PORT = 9 };

/* ---- one page that is shared, and one port ---- */

static struct xencons_interface *page; /* NULL: there is none */
static struct port *bound;
static unsigned int notified;
static bool stays_mapped; /* the other end does not give it back */
static char some_handle;

xengntshr_handle *xengntshr_open(struct xentoollog_logger *logger, unsigned int flags)
{
    return (xengntshr_handle *)&some_handle;
}
int xengntshr_close(xengntshr_handle *xgs) { return 0; }

void *xengntshr_share_pages(xengntshr_handle *xgs, uint32_t domid, int count, uint32_t *refs,
                            int writable)
{
    CU_ASSERT_TRUE_FATAL(domid == 0 && count == 1 && writable && page == NULL);
    page = malloc(sizeof(*page));
    memset(page, 0x55, sizeof(*page)); /* of somebody before */
    *refs = REF;
    return page;
}

int xengntshr_unshare(xengntshr_handle *xgs, void *start, uint32_t count)
{
    CU_ASSERT_TRUE_FATAL(start == page && count == 1);
    if (!stays_mapped)
        free(page);
    page = NULL;
    errno = EBUSY;
    return stays_mapped ? -1 : 0;
}

struct ports *ports_open(struct plat_loop *l) { return (struct ports *)&some_handle; }
void ports_close(struct ports *p) { CU_ASSERT_PTR_NULL(bound); }

int port_offer(struct ports *p, struct port *port, uint32_t domain)
{
    CU_ASSERT_TRUE(bound == NULL && domain == 0);
    bound = port;
    port->ports = p;
    port->number = PORT;
    return 0;
}

void port_unbind(struct port *port)
{
    port->ports = NULL;
    bound = NULL;
}

void port_ready(struct port *port) { CU_ASSERT_PTR_EQUAL(port, bound); }
void port_notify(struct port *port)
{
    CU_ASSERT_PTR_EQUAL(port, bound);
    notified++;
}

/* ---- its user ---- */

static struct plat_loop *loop;
static struct consfront *all;
static struct consfront_channel *channel;
static unsigned int nr_ready, nr_changed, nr_gone;

static void on_ready(void *arg, struct consfront_channel *c)
{
    channel = c;
    nr_ready++;
}
static void on_changed(void *arg, struct consfront_channel *c) { nr_changed++; }
static void on_gone(void *arg, struct consfront_channel *c)
{
    CU_ASSERT_PTR_EQUAL(c, channel);
    CU_ASSERT_TRUE(consfront_write(c, "x", 1) == -1 && errno == EPIPE);
    nr_gone++;
}
static const struct consfront_user user = { .ready = on_ready,
                                            .changed = on_changed,
                                            .gone = on_gone };

static void begin(void)
{
    platform_reset();
    store_reset(5);
    nr_ready = nr_changed = nr_gone = notified = 0;
    stays_mapped = false;
    loop = plat_loop_new();
    all = consfront_start(loop, &user);
    CU_ASSERT_PTR_NOT_NULL_FATAL(all);
    run_loop(loop);
}

static void end(void)
{
    consfront_stop(all);
    CU_ASSERT_TRUE(page == NULL && bound == NULL && nr_ready == nr_gone);
    CU_ASSERT_EQUAL(store_nr_watches(), 0);
    plat_loop_free(loop);
}

static void back(int state)
{
    store_set(BACK "/state", "%d", state);
    run_loop(loop);
}

static int front_state(void)
{
    const char *text = store_get(FRONT "/state");

    return text ? atoi(text) : 0;
}

/* As the toolstack does, and the backend waits. */
static void make_device(void)
{
    store_set(BACK "/state", "%d", XenbusStateInitWait);
    store_set(FRONT "/backend", "%s", BACK);
    store_set(FRONT "/backend-id", "0");
    store_set(FRONT "/name", "org.two");
    store_set(FRONT "/state", "1");
    run_loop(loop);
}

static void connect_it(void)
{
    make_device();
    CU_ASSERT_EQUAL(front_state(), XenbusStateInitialised);
    CU_ASSERT_EQUAL(nr_ready, 0);
    back(XenbusStateConnected);
    CU_ASSERT_EQUAL(front_state(), XenbusStateConnected);
    CU_ASSERT_TRUE_FATAL(nr_ready == 1 && page);
}

static void event(void)
{
    bound->fn(bound->arg);
    run_loop(loop);
}

/* ---- tests ---- */

static void test_a_channel_from_its_beginning_to_its_end(void)
{
    char buf[8];

    begin();
    connect_it();
    CU_ASSERT_STRING_EQUAL(store_get(FRONT "/ring-ref"), "77");
    CU_ASSERT_STRING_EQUAL(store_get(FRONT "/port"), "9");
    CU_ASSERT_EQUAL(channel->number, 2);
    CU_ASSERT_STRING_EQUAL(channel->name, "org.two");
    CU_ASSERT_TRUE(consfront_read(channel, buf, 8) == -1 && errno == EAGAIN);
    CU_ASSERT_EQUAL(consfront_write(channel, "hello", 5), 5);
    CU_ASSERT_TRUE(page->out_prod == 5 && memcmp(page->out, "hello", 5) == 0 && notified == 1);
    memcpy(page->in, "typed", 5);
    page->in_prod = 5;
    event();
    CU_ASSERT_EQUAL(nr_changed, 1);
    CU_ASSERT_TRUE(consfront_read(channel, buf, 3) == 3 && memcmp(buf, "typ", 3) == 0);
    CU_ASSERT_TRUE(consfront_read(channel, buf, 8) == 2 && memcmp(buf, "ed", 2) == 0);
    CU_ASSERT_EQUAL(page->in_cons, 5);
    back(XenbusStateConnected); /* once more: that is nothing new */
    CU_ASSERT_EQUAL(nr_ready, 1);
    back(XenbusStateClosing);
    CU_ASSERT_TRUE(nr_gone == 1 && page == NULL && front_state() == XenbusStateClosed);
    end();
}

/* Much more than the ring has, in pieces of any size, while the indices wrap. */
static void test_all_bytes_come_in_order(void)
{
    uint32_t sent = 0, seen = 0, given = 0, got = 0;
    char buf[300];

    begin();
    connect_it();
    while (got < 100000) {
        size_t len = 1 + (size_t)rand() % sizeof(buf);
        ssize_t n;

        for (size_t i = 0; i < len; i++)
            buf[i] = (char)((sent + i) % 251);
        n = consfront_write(channel, buf, len);
        sent += n > 0 ? (uint32_t)n : 0;
        for (unsigned int i = rand() % 500; i && page->out_cons != page->out_prod; i--, seen++)
            CU_ASSERT_EQUAL_FATAL((uint8_t)page->out[page->out_cons++ % sizeof(page->out)],
                                  seen % 251);
        for (unsigned int i = rand() % 400; i && page->in_prod - page->in_cons < sizeof(page->in);
             i--)
            page->in[page->in_prod++ % sizeof(page->in)] = (char)(given++ % 253);
        n = consfront_read(channel, buf, len);
        for (ssize_t i = 0; i < n; i++, got++)
            CU_ASSERT_EQUAL_FATAL((uint8_t)buf[i], got % 253);
    }
    CU_ASSERT_TRUE(sent > 50000 && seen <= sent && got <= given);
    end();
}

static void test_a_full_ring(void)
{
    char buf[4096] = "";

    begin();
    connect_it();
    CU_ASSERT_EQUAL(consfront_write(channel, buf, sizeof(buf)), sizeof(page->out));
    CU_ASSERT_TRUE(consfront_write(channel, buf, 1) == -1 && errno == EAGAIN);
    page->out_cons = 10;
    CU_ASSERT_EQUAL(consfront_write(channel, buf, sizeof(buf)), 10);
    end();
}

static void test_impossible_indices_end_it(void)
{
    static const uint32_t wrong[] = { 0x80000000u, 0xffffffffu, 2049, 0x7fffffffu };
    char buf[8];

    for (unsigned int i = 0; i < 8; i++) {
        begin();
        connect_it();
        if (i % 2) {
            page->in_prod = page->in_cons + wrong[i / 2];
            CU_ASSERT_TRUE(consfront_read(channel, buf, 8) == -1 && errno == EPIPE);
        } else {
            page->out_cons = page->out_prod - wrong[i / 2];
            CU_ASSERT_TRUE(consfront_write(channel, "x", 1) == -1 && errno == EPIPE);
        }
        event(); /* of which the user hears nothing */
        CU_ASSERT_EQUAL(nr_changed, 0);
        CU_ASSERT_TRUE(nr_gone == 1 && page == NULL && bound == NULL);
        CU_ASSERT_EQUAL(front_state(), XenbusStateClosing);
        end();
    }
}

static void test_a_page_that_stays_mapped_is_said(void)
{
    struct xencons_interface *lost;
    unsigned int lines;

    begin();
    connect_it();
    lost = page;
    stays_mapped = true;
    lines = fake_log_lines();
    back(XenbusStateClosed);
    CU_ASSERT_EQUAL(fake_log_lines(), lines + 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(fake_log_last(), "still in use"));
    free(lost);
    stays_mapped = false;
    end();
}

/* The states of any backend, and its end at any moment. */
static void test_any_backend(void)
{
    for (unsigned int sequence = 0; sequence < 9 * 9 * 9 * 9; sequence++) {
        unsigned int rest = sequence;

        begin();
        make_device();
        for (unsigned int i = 0; i < 4; i++, rest /= 9) {
            back((int)(rest % 9));
            CU_ASSERT_TRUE(nr_ready - nr_gone <= 1);
        }
        store_remove(BACK);
        run_loop(loop);
        store_remove(FRONT);
        run_loop(loop);
        CU_ASSERT_TRUE(page == NULL && bound == NULL && nr_ready == nr_gone);
        end();
    }
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("consfront", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_a_channel_from_its_beginning_to_its_end);
    T(test_all_bytes_come_in_order);
    T(test_a_full_ring);
    T(test_impossible_indices_end_it);
    T(test_a_page_that_stays_mapped_is_said);
    T(test_any_backend);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
