/* The store's rings: what a domain sees in its page, when it is fair, hostile, or the store is killed. */
#include <CUnit/Basic.h>

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store_machine.h"

static struct xenstore_domain_interface page;
static char stream[1 << 16]; /* all bytes that the domain has received */
static size_t stream_len;

/* ---- the domain's side ---- */

/* Returns how many bytes there was room for. */
static size_t put(const void *bytes, size_t len)
{
    size_t n = 0;

    for (; n < len && page.req_prod - page.req_cons < XENSTORE_RING_SIZE; n++)
        page.req[MASK_XENSTORE_IDX(page.req_prod++)] = ((const char *)bytes)[n];
    return n;
}

static void get(size_t max)
{
    while (page.rsp_cons != page.rsp_prod && max--)
        stream[stream_len++] = page.rsp[MASK_XENSTORE_IDX(page.rsp_cons++)];
}

static size_t message_of(char *to, uint32_t type, uint32_t tx, const char *text)
{
    struct xsd_sockmsg h = { type, 5, tx, (uint32_t)strlen(text) };

    memcpy(to, &h, sizeof(h));
    for (size_t i = 0; i < h.len; i++)
        to[sizeof(h) + i] = (char)(text[i] == '|' ? '\0' : text[i]);
    return sizeof(h) + h.len;
}

static int serve(void)
{
    bool notify = false;
    int rc = store_ring_service(store, 1, &page, &notify);

    CU_ASSERT_TRUE(notify || rc == 0 || rc == -EPROTO);
    return rc;
}

/* One request over the ring. Returns the answer's payload. */
static const char *over_ring(uint32_t type, const char *text)
{
    char bytes[6000];
    size_t len = message_of(bytes, type, 0, text), sent = 0;
    struct xsd_sockmsg h;

    stream_len = 0;
    while (sent < len) {
        sent += put(bytes + sent, len - sent);
        CU_ASSERT_EQUAL(serve(), 0);
        get(sizeof(stream));
    }
    do {
        CU_ASSERT_EQUAL(serve(), 0);
        get(sizeof(stream));
        memcpy(&h, stream, sizeof(h));
    } while (stream_len < sizeof(h) || stream_len < sizeof(h) + h.len);
    stream[stream_len] = '\0';
    return stream + sizeof(struct xsd_sockmsg);
}

static void start(void)
{
    machine_start();
    introduce(1);
    memset(&page, 0xa5, sizeof(page));
    page.req_cons = page.req_prod = 0xfffffff0; /* they need not be 0; and they wrap */
    page.rsp_cons = page.rsp_prod = 0xffffff00;
    page.connection = XENSTORE_CONNECTED;
    CU_ASSERT_EQUAL(store_ring_attach(store, 1, &page), 0);
    stream_len = 0;
}

static void stop(void)
{
    audit();
    machine_stop();
}

/* ---- tests ---- */

static void test_requests_and_answers_pass(void)
{
    char text[4200] = "data|", many[4200];

    start();
    CU_ASSERT_EQUAL(page.server_features,
                    XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR);
    CU_ASSERT_EQUAL(page.error, XENSTORE_ERROR_NONE);
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WRITE, "data/x|value"), "OK");
    CU_ASSERT_STRING_EQUAL(over_ring(XS_READ, "data/x|"), "value");
    ask(D0, XS_CONTROL, "quota|set|node-size|0|");
    memset(text + 5, 'v', 4091); /* several rings full, in both directions */
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WRITE, text), "OK");
    memset(many, 'v', 4091);
    many[4091] = '\0';
    CU_ASSERT_STRING_EQUAL(over_ring(XS_READ, "data|"), many);
    stop();
}

static void test_one_byte_at_a_time(void)
{
    char bytes[200];
    size_t len;

    start();
    len = message_of(bytes, XS_WRITE, 0, "data/x|value");
    for (size_t i = 0; i < len; i++) {
        CU_ASSERT_EQUAL(put(bytes + i, 1), 1);
        CU_ASSERT_EQUAL(serve(), 0);
        CU_ASSERT_EQUAL(page.req_cons, page.req_prod);
    }
    for (int i = 0; i < 19; i++) {
        CU_ASSERT_EQUAL(serve(), 0);
        get(1);
    }
    CU_ASSERT_STRING_EQUAL(stream + sizeof(struct xsd_sockmsg), "OK");
    CU_ASSERT_EQUAL(page.rsp_cons, page.rsp_prod);
    stop();
}

static void test_events_come_over_the_ring(void)
{
    start();
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WATCH, "data|t|"), "OK");
    stream_len = 0;
    ask(D0, XS_WRITE, "/local/domain/1/data|1");
    CU_ASSERT_EQUAL(serve(), 0);
    get(sizeof(stream));
    CU_ASSERT_EQUAL(stream_len, sizeof(struct xsd_sockmsg) + sizeof("data") + sizeof("t"));
    stop();
}

static void test_who_does_not_read_is_not_served(void)
{
    char bytes[100];
    size_t len;
    unsigned int asked = 0;

    start();
    len = message_of(bytes, XS_READ, 0, "none|");
    for (int i = 0; i < 1000; i++) {
        if (page.req_prod - page.req_cons + len <= XENSTORE_RING_SIZE)
            asked += put(bytes, len) == len;
        serve();
    }
    CU_ASSERT_TRUE(store_output_waiting(store, 1) <= 8192 + 23);
    CU_ASSERT_TRUE(asked > 300 && asked < 500);
    for (unsigned int i = 0; i < 1000; i++) { /* and when it reads, all are answered */
        get(sizeof(stream));
        serve();
    }
    CU_ASSERT_EQUAL(stream_len, asked * (sizeof(struct xsd_sockmsg) + sizeof("ENOENT")));
    stop();
}

/* After what it did, which ended its connection, it asks for another. */
static void recover(uint32_t error)
{
    uint32_t tx;

    CU_ASSERT_EQUAL(serve(), -EPROTO);
    CU_ASSERT_EQUAL(page.error, error);
    CU_ASSERT_EQUAL(serve(), -EPROTO);
    audit();
    page.connection = XENSTORE_RECONNECT;
    CU_ASSERT_EQUAL(serve(), 0);
    CU_ASSERT_EQUAL(page.connection, XENSTORE_CONNECTED);
    CU_ASSERT_EQUAL(page.error, XENSTORE_ERROR_NONE);
    CU_ASSERT_EQUAL(page.req_cons, page.req_prod);
    CU_ASSERT_EQUAL(page.rsp_cons, page.rsp_prod);
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WATCH, "data|w|"), "OK"); /* what it had is forgotten */
    tx = (uint32_t)strtoul(over_ring(XS_TRANSACTION_START, "|"), NULL, 10);
    CU_ASSERT_NOT_EQUAL(tx, 0);
    CU_ASSERT_EQUAL(map_sum(&store->a, ((struct state *)arena_at(&store->a, arena_root(&store->a)))
                                           ->root[ROOT_TX]),
                    1);
}

static void test_hostile_positions_end_the_connection(void)
{
    struct xsd_sockmsg h = { .type = XS_WRITE, .len = XENSTORE_PAYLOAD_MAX + 1 };

    start();
    over_ring(XS_WATCH, "data|w|");
    over_ring(XS_TRANSACTION_START, "|");
    page.req_prod = page.req_cons + XENSTORE_RING_SIZE + 1;
    recover(XENSTORE_ERROR_RINGIDX);
    page.req_prod--; /* backwards */
    recover(XENSTORE_ERROR_RINGIDX);
    page.rsp_cons = page.rsp_prod + 1;
    recover(XENSTORE_ERROR_RINGIDX);
    page.rsp_cons = page.rsp_prod - XENSTORE_RING_SIZE - 1;
    recover(XENSTORE_ERROR_RINGIDX);
    put(&h, sizeof(h));
    recover(XENSTORE_ERROR_PROTO);
    h.len = 0xffffffff;
    put(&h, sizeof(h));
    recover(XENSTORE_ERROR_PROTO);
    page.req_cons += 99; /* what it says of our positions is put right */
    page.rsp_prod -= 99;
    CU_ASSERT_EQUAL(serve(), 0);
    CU_ASSERT_EQUAL(page.req_cons, page.req_prod);
    CU_ASSERT_EQUAL(page.rsp_cons, page.rsp_prod);
    stop();
}

/* A domain that is dead over and over again does not fill the log. */
static void test_broken_rules_are_logged_less_and_less_often(void)
{
    unsigned int before;

    start();
    before = log_lines;
    for (int i = 0; i < 1000; i++) {
        page.req_prod = page.req_cons + XENSTORE_RING_SIZE + 1;
        CU_ASSERT_EQUAL(serve(), -EPROTO);
        page.connection = XENSTORE_RECONNECT;
        CU_ASSERT_EQUAL(serve(), 0);
    }
    CU_ASSERT_EQUAL(log_lines - before, 10);
    CU_ASSERT_PTR_NOT_NULL(strstr(log_last, "512 times"));
    stop();
}

/* A page that is still mapped after RELEASE is nobody's, whatever is in it. */
static void test_a_released_domain_has_no_ring(void)
{
    char bytes[100];
    bool notify = false;

    start();
    ask(D0, XS_RELEASE, "1|");
    CU_ASSERT_EQUAL(store_ring_service(store, 1, &page, &notify), -EPROTO);
    page.connection = XENSTORE_RECONNECT;
    CU_ASSERT_EQUAL(store_ring_service(store, 1, &page, &notify), -EPROTO);
    CU_ASSERT_EQUAL(store_ring_attach(store, 1, &page), -ENOENT);
    page.req_cons = page.req_prod;
    put(bytes, message_of(bytes, XS_WRITE, 0, "/taken|x"));
    CU_ASSERT_EQUAL(store_ring_service(store, 1, &page, &notify), -EPROTO);
    CU_ASSERT_STRING_EQUAL(ask(D0, XS_READ, "/taken|"), "ENOENT");
    /* Known again, but not attached yet. */
    ask(D0, XS_INTRODUCE, "1|5|6|");
    CU_ASSERT_EQUAL(store_ring_service(store, 1, &page, &notify), -EPROTO);
    page.connection = XENSTORE_CONNECTED;
    page.rsp_cons = page.rsp_prod;
    CU_ASSERT_EQUAL(store_ring_attach(store, 1, &page), 0);
    page.req_prod = page.req_cons;
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WRITE, "/taken|x"), "EACCES");
    stop();
}

static int forget_owner(struct op *op, void *arg)
{
    char key[4];

    map_put(op->a, &op->st->root[ROOT_CONNS], key, key32(key, 1), 1)->word[0] = 0;
    return 0;
}

/* Even if its record named nobody: by a ring nobody is domain 0. */
static void test_a_record_without_owner_has_no_privilege(void)
{
    start();
    step(store, 0, forget_owner, NULL);
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WRITE, "/taken|x"), "EACCES");
    CU_ASSERT_STRING_EQUAL(over_ring(XS_WRITE, "mine|x"), "OK");
    stop();
}

static void test_a_reconnection_forgets_half_a_request(void)
{
    char bytes[200];

    start();
    put(bytes, message_of(bytes, XS_WRITE, 0, "data|value") - 2);
    CU_ASSERT_EQUAL(serve(), 0);
    page.connection = XENSTORE_RECONNECT;
    CU_ASSERT_EQUAL(serve(), 0);
    CU_ASSERT_STRING_EQUAL(over_ring(XS_READ, "data|"), "ENOENT");
    stop();
}

static void test_random_pages_break_nothing(void)
{
    start();
    srand(1);
    for (int i = 0; i < 20000; i++) {
        uint32_t *words = &page.req_cons;

        if (i % 3 == 0)
            words[rand() % 7] += (uint32_t)(rand() % 2 ? rand() % 40 : rand());
        page.req[rand() % XENSTORE_RING_SIZE] = (char)(rand() % 3 ? 0 : rand());
        if (rand() % 4 == 0)
            page.connection = (uint32_t)rand() % 3;
        if (rand() % 3)
            page.rsp_cons = page.rsp_prod;
        serve();
        if (i % 1000 == 0)
            audit();
    }
    stop();
}

/* ---- killed ---- */

static const struct {
    uint32_t type, tx;
    const char *text;
} script[] = {
    { XS_WRITE, 0, "a/b|1" },         { XS_WATCH, 0, "a|t|" },
    { XS_TRANSACTION_START, 0, "|" }, { XS_WRITE, 1, "a/b|2" },
    { XS_WRITE, 1, "a/c/d|3" },       { XS_READ, 1, "a/none|" },
    { XS_TRANSACTION_END, 1, "T|" },  { XS_RM, 0, "a/c|" },
    { XS_DIRECTORY_PART, 0, "a|0|" }, { XS_SET_PERMS, 0, "a/b|n1|r2|" },
    { XS_TRANSACTION_START, 0, "|" }, { XS_RESET_WATCHES, 0, "|" },
    { XS_TRANSACTION_END, 2, "T|" },  { XS_WRITE, 0, "a/b|again" },
};

static jmp_buf killed;
static unsigned int kill_at, probed;

static void may_kill(void *arg)
{
    if (++probed == kill_at)
        longjmp(killed, 1);
}

/* All that lay in the dead program's own memory is gone; another is started. */
static void restart(void)
{
    store_close(store);
    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    CU_ASSERT_EQUAL(store_ring_attach(store, 1, &page), 0);
}

/* Returns whether the store was killed on the way, at the n-th change of its memory. */
static bool play(unsigned int n)
{
    static char all[2000];
    static size_t len, sent;
    static int idle;
    volatile bool was_killed = false;

    len = sent = 0;
    idle = 0;
    for (size_t i = 0; i < sizeof(script) / sizeof(script[0]); i++)
        len += message_of(all + len, script[i].type, script[i].tx, script[i].text);
    start();
    probed = 0;
    kill_at = n;
    if (setjmp(killed)) {
        was_killed = true;
        get(60); /* the domain does not wait for the next store */
        restart();
    } else {
        store->a.probe = may_kill;
    }
    while (idle < 3) {
        size_t before = sent + stream_len;

        sent += put(all + sent, len - sent < 50 ? len - sent : 50); /* pieces of requests, too */
        serve();
        get(60);
        idle = before == sent + stream_len ? idle + 1 : 0;
    }
    CU_ASSERT_EQUAL(sent, len);
    return was_killed;
}

/* What the domain has to do with. */
static uint64_t digest_of_its(void)
{
    const struct state *st = arena_at(&store->a, arena_root(&store->a));
    uint64_t d = digest_of(&store->a, st->root[ROOT_TREE], 0);

    d = digest_of(&store->a, st->root[ROOT_WATCHES], d);
    d = digest_of(&store->a, st->root[ROOT_TX], d);
    return digest_of(&store->a, st->root[ROOT_QUEUE], d);
}

static void test_killed_anywhere_the_domain_sees_the_same(void)
{
    static char want[sizeof(stream)];
    size_t want_len;
    uint64_t tree;
    unsigned int n = 0;

    CU_ASSERT_FALSE(play(0));
    want_len = stream_len;
    memcpy(want, stream, want_len);
    CU_ASSERT_TRUE(want_len > 300);
    tree = digest_of_its();
    stop();
    do {
        bool was_killed = play(++n);

        CU_ASSERT_EQUAL(stream_len, want_len);
        CU_ASSERT_EQUAL(memcmp(stream, want, want_len), 0);
        CU_ASSERT_EQUAL(digest_of_its(), tree);
        stop();
        if (!was_killed)
            break;
    } while (n < 100000);
    CU_ASSERT_TRUE(n > 500 && n < 100000);
}

/* ---- killed at any instruction, the domain does not stop ---- */

static struct xenstore_domain_interface *live; /* shared with the store's process */

static void serve_until_killed(void)
{
    bool notify;

    store = store_open(region, REGION_BYTES, &hooks);
    if (store == NULL || store_ring_attach(store, 1, live))
        _exit(1);
    for (;;)
        store_ring_service(store, 1, live, &notify);
}

/* The domain's requests: the n-th writes n, in turn into one of 20 nodes. */
static size_t request_of_live(char *to, uint32_t n)
{
    struct xsd_sockmsg h = { XS_WRITE, n, 0, 0 };

    h.len = (uint32_t)sprintf(to + sizeof(h), "n/%u", n % 20) + 1;
    h.len += (uint32_t)sprintf(to + sizeof(h) + h.len, "%u", n);
    memcpy(to, &h, sizeof(h));
    return sizeof(h) + h.len;
}

/* Send what there is room for, read what is there, for some time. *asked and *answered go on counting. */
static void live_on(uint64_t ns, uint32_t *asked, uint32_t *answered)
{
    static char out[100], in[100];
    static size_t out_len, out_at, in_len;
    struct timespec from, now;
    struct xsd_sockmsg h;

    clock_gettime(CLOCK_MONOTONIC, &from);
    do {
        uint32_t prod = live->req_prod, cons = __atomic_load_n(&live->req_cons, __ATOMIC_ACQUIRE);

        for (; prod - cons < XENSTORE_RING_SIZE; prod++) {
            if (out_at == out_len) {
                out_len = request_of_live(out, ++*asked);
                out_at = 0;
            }
            live->req[MASK_XENSTORE_IDX(prod)] = out[out_at++];
        }
        __atomic_store_n(&live->req_prod, prod, __ATOMIC_RELEASE);
        cons = live->rsp_cons;
        prod = __atomic_load_n(&live->rsp_prod, __ATOMIC_ACQUIRE);
        for (; cons != prod; cons++) {
            in[in_len++] = live->rsp[MASK_XENSTORE_IDX(cons)];
            memcpy(&h, in, sizeof(h));
            if (in_len < sizeof(h) || in_len < sizeof(h) + 3)
                continue;
            CU_ASSERT_EQUAL_FATAL(h.type, XS_WRITE);
            CU_ASSERT_EQUAL_FATAL(h.req_id, ++*answered); /* each once, in order */
            in_len = 0;
        }
        __atomic_store_n(&live->rsp_cons, cons, __ATOMIC_RELEASE);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((uint64_t)(now.tv_sec - from.tv_sec) * 1000000000 + (uint64_t)now.tv_nsec <
             (uint64_t)from.tv_nsec + ns);
}

static void test_killed_at_any_instruction_each_request_is_answered_once(void)
{
    unsigned int kills = getenv("STORE_KILLS") ? (unsigned int)atoi(getenv("STORE_KILLS")) : 50;
    uint32_t asked = 0, answered = 0;
    char text[40];
    int status;

    region = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    live = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    store = store_open(region, REGION_BYTES, &hooks);
    store_connect(store, D0, 0);
    introduce(1);
    store_close(store);
    srand((unsigned int)time(NULL));
    for (unsigned int i = 0; i < kills; i++) {
        pid_t pid = fork();

        if (pid == 0)
            serve_until_killed();
        live_on(1000000 + (uint64_t)rand() % 6000000, &asked, &answered);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        CU_ASSERT_TRUE(WIFSIGNALED(status));
    }
    CU_ASSERT_TRUE(answered > 0);
    store = store_open(region, REGION_BYTES, &hooks);
    CU_ASSERT_PTR_NOT_NULL_FATAL(store);
    store_connect(store, D0, 0);
    audit();
    for (uint32_t n = answered > 10 ? answered - 10 : 1; n <= answered; n++) {
        snprintf(text, sizeof(text), "/local/domain/1/n/%u|", n % 20);
        ask(D0, XS_READ, text); /* or what it has asked for since: 20, 40... more */
        CU_ASSERT_TRUE(strtoul(answer, NULL, 10) >= n && (strtoul(answer, NULL, 10) - n) % 20 == 0);
    }
    store_close(store);
    munmap(region, REGION_BYTES);
    munmap(live, 4096);
}

int main(void)
{
    CU_initialize_registry();
    CU_pSuite s = CU_add_suite("store_ring", NULL, NULL);
#define T(f) CU_add_test(s, #f, f)
    T(test_requests_and_answers_pass);
    T(test_one_byte_at_a_time);
    T(test_events_come_over_the_ring);
    T(test_who_does_not_read_is_not_served);
    T(test_hostile_positions_end_the_connection);
    T(test_broken_rules_are_logged_less_and_less_often);
    T(test_a_released_domain_has_no_ring);
    T(test_a_record_without_owner_has_no_privilege);
    T(test_a_reconnection_forgets_half_a_request);
    T(test_random_pages_break_nothing);
    T(test_killed_anywhere_the_domain_sees_the_same);
    T(test_killed_at_any_instruction_each_request_is_answered_once);
    CU_basic_run_tests();
    return CU_get_number_of_failures() || CU_get_error();
}
