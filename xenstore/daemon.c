/*
 * xen-like-stored: the store as a program, for clients on Unix sockets and, in domain 0, for the rings of
 * domains (rings.c). Each client is read when it has few answers waiting, and written when it takes
 * bytes: a slow or hostile one keeps nobody waiting.
 */
#include <errno.h>
#include <getopt.h>
#include <platform.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "linux.h"
#include "rings.h"
#include "store.h"

enum {
    NR_CLIENTS = 4096,
    NR_DOMAIN_SOCKETS = 16, /* more are not understood */
    WAITING_MAX = 8192, /* bytes that wait for it, above which a client's next request waits, too */
    REQUESTS_MAX = 32,  /* of one client, before others have their turn */
    RETRY_NS = 100000000,
};

struct client {
    uint32_t conn;
    struct plat_stream *stream;
    bool drop; /* when the store has returned */
    size_t have;
    union {
        struct xsd_sockmsg h;
        char in[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    };
};

struct listener {
    struct plat_stream *stream;
    domid_t domain;
    struct listener *next;
};

static struct store *store;
static struct plat_loop *loop;
static struct client *clients[NR_CLIENTS];
static struct listener *listeners;
static bool deaf; /* new clients are not accepted */

static void ready(void *arg, unsigned int events);
static void listen_all(unsigned int events);
static void drop_marked(void *unused);
static struct plat_timer dropping = { .fn = drop_marked };

static struct client *client_of(uint32_t conn)
{
    return conn - STORE_CONN_OTHER < NR_CLIENTS ? clients[conn - STORE_CONN_OTHER] : NULL;
}

static void mark(struct client *c, uint64_t when_ns)
{
    c->drop = true;
    plat_timer_set(loop, &dropping, when_ns);
}

static void drop(struct client *c)
{
    if (c->stream)
        plat_close(c->stream);
    c->stream = NULL;
    if (deaf)
        listen_all(PLAT_READABLE);
    deaf = false;
    if (store_disconnect(store, c->conn)) { /* its number must not be another's before */
        mark(c, plat_now() + RETRY_NS);
        return;
    }
    clients[c->conn - STORE_CONN_OTHER] = NULL;
    free(c);
}

static void drop_marked(void *unused)
{
    (void)unused;
    for (unsigned int i = 0; i < NR_CLIENTS; i++)
        if (clients[i] && clients[i]->drop)
            drop(clients[i]);
}

/* ---- what the store calls ---- */

static void hook_log(void *arg, const char *line)
{
    (void)arg;
    plat_log(PLAT_INFO, "%s", line);
}

static void hook_output(void *arg, uint32_t conn)
{
    struct client *c = client_of(conn);

    (void)arg;
    if (conn < STORE_CONN_OTHER)
        rings_output((domid_t)conn);
    else if (c && c->stream)
        plat_watch(loop, c->stream, PLAT_READABLE | PLAT_WRITABLE, ready, c);
}

static void hook_close(void *arg, uint32_t conn)
{
    struct client *c = client_of(conn);

    (void)arg;
    if (c && !c->drop) {
        plat_log(PLAT_WARNING, "client %u does not read its events: disconnected",
                 conn - STORE_CONN_OTHER);
        mark(c, plat_now());
    }
}

static int hook_introduce(void *arg, domid_t domain, uint64_t gfn, evtchn_port_t port)
{
    (void)arg;
    return rings_introduce(domain, gfn, port);
}

static void hook_release(void *arg, domid_t domain)
{
    (void)arg;
    rings_release(domain);
}

/* ---- clients ---- */

/* Send what there is room for. False: the client is gone. */
static bool flush(struct client *c)
{
    const void *bytes;
    size_t len;
    ssize_t n;

    while ((len = store_output(store, c->conn, &bytes)) != 0) {
        n = plat_write(c->stream, bytes, len);
        if (n < 0)
            return errno == EAGAIN;
        if (store_output_done(store, c->conn, (size_t)n))
            return false; /* it would get the bytes twice */
    }
    return true;
}

/* Read once, up to the end of the message that has begun. False: the client is gone. */
static bool receive(struct client *c, bool *idle)
{
    size_t whole = sizeof(c->h) + (c->have >= sizeof(c->h) ? c->h.len : 0);
    ssize_t n = plat_read(c->stream, c->in + c->have, whole - c->have);

    if (n <= 0) {
        *idle = true;
        return n < 0 && errno == EAGAIN;
    }
    c->have += (size_t)n;
    if (c->have < sizeof(c->h))
        return true;
    if (c->h.len > XENSTORE_PAYLOAD_MAX) {
        plat_log(PLAT_WARNING, "client %u sent %u bytes in one message: disconnected",
                 c->conn - STORE_CONN_OTHER, c->h.len);
        return false;
    }
    if (c->have < sizeof(c->h) + c->h.len)
        return true;
    c->have = 0;
    return store_request(store, c->conn, &c->h, c->in + sizeof(c->h)) == 0;
}

static void ready(void *arg, unsigned int events)
{
    struct client *c = arg;
    bool idle = false, full = store_output_waiting(store, c->conn) > WAITING_MAX;

    if (c->drop)
        return;
    for (int i = 0; (events & PLAT_READABLE) && i < REQUESTS_MAX && !idle && !full; i++) {
        if (!receive(c, &idle)) {
            drop(c);
            return;
        }
        full = store_output_waiting(store, c->conn) > WAITING_MAX;
    }
    if (c->drop)
        return;
    if (!flush(c)) {
        drop(c);
        return;
    }
    full = store_output_waiting(store, c->conn) > WAITING_MAX;
    plat_watch(loop, c->stream,
               (full ? 0 : PLAT_READABLE) |
                   (store_output_waiting(store, c->conn) ? PLAT_WRITABLE : 0),
               ready, c);
}

static void accept_client(void *arg, unsigned int events);

static void listen_all(unsigned int events)
{
    for (struct listener *l = listeners; l; l = l->next)
        plat_watch(loop, l->stream, events, accept_client, l);
}

static void accept_client(void *arg, unsigned int events)
{
    struct listener *l = arg;
    struct plat_stream *stream = plat_accept(l->stream);
    struct client *c;
    unsigned int slot = 0;

    (void)events;
    if (stream == NULL) {
        if (errno !=
            EAGAIN) { /* no more files: whoever waits goes on waiting until a client leaves */
            plat_log(PLAT_WARNING, "no client accepted for now: %s", strerror(errno));
            listen_all(0);
            deaf = true;
        }
        return;
    }
    while (slot < NR_CLIENTS && clients[slot])
        slot++;
    c = slot < NR_CLIENTS ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL || store_connect(store, STORE_CONN_OTHER + slot, l->domain)) {
        plat_log(PLAT_WARNING, "no room for one more client");
        plat_close(stream);
        free(c);
        return;
    }
    c->conn = STORE_CONN_OTHER + slot;
    c->stream = stream;
    clients[slot] = c;
    plat_watch(loop, stream, PLAT_READABLE, ready, c);
}

/* ---- beginning ---- */

static int listen_at(const char *path, domid_t domain)
{
    struct listener *l = calloc(1, sizeof(*l));

    if (l == NULL || (l->stream = plat_listen(path)) == NULL) {
        plat_log(PLAT_ERROR, "cannot listen at %s: %s", path, strerror(errno));
        free(l);
        return -1;
    }
    l->domain = domain;
    l->next = listeners;
    listeners = l;
    plat_watch(loop, l->stream, PLAT_READABLE, accept_client, l);
    return 0;
}

/* DOMID:PATH */
static int listen_as(const char *argument)
{
    char *end;
    unsigned long domain = strtoul(argument, &end, 10);

    if (end == argument || *end != ':' || domain >= DOMID_FIRST_RESERVED) {
        plat_log(PLAT_ERROR, "--domain-socket: %s is not DOMID:PATH", argument);
        return -1;
    }
    return listen_at(end + 1, (domid_t)domain);
}

/* Where libxenstore looks for it. */
static const char *default_socket(void)
{
    static char path[128];
    const char *from = getenv("XENSTORED_PATH"), *folder = getenv("XENSTORED_RUNDIR");

    if (from && strncmp(from, "/dev/", 5) != 0) /* the kernel's device is for clients */
        return from;
    snprintf(path, sizeof(path), "%s/socket", folder ? folder : "/run/xenstored");
    return path;
}

/* The hypervisor, if this is its domain 0. Returns -1 if that is, and fails. */
static int open_rings(bool *there)
{
    evtchn_port_t port = 0;
    struct xenstore_domain_interface *own = linux_own_ring(&port);

    *there = own != NULL;
    if (own)
        return rings_open(loop, own, port) ? -1 : 0;
    if (errno == ENOENT) {
        plat_log(PLAT_INFO, "no hypervisor's domain 0: there are no rings, only sockets");
        return 0;
    }
    plat_log(PLAT_ERROR, "domain 0's ring: %s", strerror(errno));
    return -1;
}

static int open_store(const char *region_name, size_t len, bool rings)
{
    struct store_hooks hooks = { .log = hook_log, .output = hook_output, .close = hook_close };
    void *region = plat_region_open(region_name, len, NULL);

    if (region == NULL) {
        plat_log(PLAT_ERROR, "region %s of %zu MiB: %s", region_name, len >> 20, strerror(errno));
        return -1;
    }
    if (rings) {
        hooks.introduce = hook_introduce;
        hooks.release = hook_release;
    }
    store = store_open(region, len, &hooks);
    if (store == NULL) {
        plat_log(PLAT_ERROR, "what is in region %s cannot be used: %s. --fresh forgets it",
                 region_name, strerror(errno));
        return -1;
    }
    if (rings && rings_begin(store)) {
        plat_log(PLAT_ERROR, "no memory for rings");
        return -1;
    }
    return 0;
}

static const char usage[] =
    "usage: xen-like-stored [OPTION]...\n"
    "  --socket PATH               where clients of domain 0 connect (XENSTORED_PATH,\n"
    "                              XENSTORED_RUNDIR/socket, /run/xenstored/socket)\n"
    "  --domain-socket DOMID:PATH  where clients connect that act as that domain\n"
    "  --region NAME               of the memory that outlives the program (store)\n"
    "  --size MIB                  of that memory (256)\n"
    "  --fresh                     forget what is there\n"
    "  --pid-file PATH             go to the background when it serves, with its process's id there\n"
    "  --log-file PATH             where its log is added (standard error; in the background\n"
    "                              /var/log/xen/xen-like-stored.log)\n";

struct options {
    const char *socket, *region, *pid_file, *log_file;
    const char *domain_sockets[NR_DOMAIN_SOCKETS + 1]; /* up to NULL */
    unsigned int nr_domain_sockets;
    unsigned long size;
    bool fresh;
};

static bool parse(struct options *o, int argc, char **argv)
{
    enum { SOCKET = 1, DOMAIN_SOCKET, REGION, SIZE, FRESH, PID_FILE, LOG_FILE };
    static const struct option options[] = {
        { "socket", required_argument, NULL, SOCKET },
        { "domain-socket", required_argument, NULL, DOMAIN_SOCKET },
        { "region", required_argument, NULL, REGION },
        { "size", required_argument, NULL, SIZE },
        { "fresh", no_argument, NULL, FRESH },
        { "pid-file", required_argument, NULL, PID_FILE },
        { "log-file", required_argument, NULL, LOG_FILE },
        { NULL, 0, NULL, 0 },
    };
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == SOCKET)
            o->socket = optarg;
        else if (c == DOMAIN_SOCKET && o->nr_domain_sockets < NR_DOMAIN_SOCKETS)
            o->domain_sockets[o->nr_domain_sockets++] = optarg;
        else if (c == REGION)
            o->region = optarg;
        else if (c == SIZE)
            o->size = strtoul(optarg, NULL, 10);
        else if (c == FRESH)
            o->fresh = true;
        else if (c == PID_FILE)
            o->pid_file = optarg;
        else if (c == LOG_FILE)
            o->log_file = optarg;
        else
            return false;
    }
    return optind == argc && o->size > 0 && o->size <= 65536;
}

/* Returns -1: it is said why not. */
static int start(const struct options *o)
{
    bool rings;

    loop = plat_loop_new();
    if (loop == NULL) {
        plat_log(PLAT_ERROR, "no event loop: %s", strerror(errno));
        return -1;
    }
    if (o->fresh && plat_region_remove(o->region) && errno != ENOENT) {
        plat_log(PLAT_ERROR, "region %s: %s", o->region, strerror(errno));
        return -1;
    }
    if (open_rings(&rings) || open_store(o->region, o->size << 20, rings) ||
        listen_at(o->socket, 0))
        return -1;
    for (const char *const *d = o->domain_sockets; *d; d++)
        if (listen_as(*d))
            return -1;
    plat_log(PLAT_INFO, "the store listens at %s", o->socket);
    return 0;
}

static bool log_to(const char *path)
{
    FILE *f = fopen(path, "ae");

    if (f == NULL || dup2(fileno(f), STDERR_FILENO) < 0) {
        plat_log(PLAT_ERROR, "log file %s: %s", path, strerror(errno));
        return false;
    }
    fclose(f);
    return true;
}

int main(int argc, char **argv)
{
    struct options o = { .socket = default_socket(), .region = "store", .size = 256 };

    if (!parse(&o, argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    if (o.log_file == NULL && o.pid_file)
        o.log_file = "/var/log/xen/xen-like-stored.log";
    if (o.log_file && !log_to(o.log_file))
        return 1;
    if (o.pid_file && !linux_background()) {
        plat_log(PLAT_ERROR, "no background: %s", strerror(errno));
        return 1;
    }
    if (start(&o))
        return 1;
    if (linux_ready(o.pid_file)) {
        plat_log(PLAT_ERROR, "%s: %s", o.pid_file, strerror(errno));
        return 1;
    }
    return plat_loop_run(loop) ? 1 : 0;
}
