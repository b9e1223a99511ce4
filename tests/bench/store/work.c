/*
 * What operations on a store cost, over the number of domains whose nodes are in it: a client of its socket
 * (XENSTORED_PATH), while tests/bench/plugin/count.c counts what the store's process executes.
 *   usage: work COUNT DOMAINS
 * COUNT     the plugin's file
 * DOMAINS   how many; also so many watches
 * Prints for each: DOMAINS, operation, instructions; tab-separated.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xenstore.h>

enum { REPEATS = 200, NR_CHANGED = 5, SETTLED_US = 3000 };

static struct xs_handle *xs, *watcher; /* the second has a watch in each domain's directory */
static volatile const uint64_t *executed;
static unsigned int nr_domains;

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "work: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- a domain's nodes ---- */

static const char *const nodes[][2] = {
    { "name", "guest" },
    { "domid", "1" },
    { "vm", "/vm/4c6cbd10-5e2e-4ab1-9f2b-0e1f2ad1b0c7" },
    { "store/port", "1" },
    { "store/ring-ref", "1044476" },
    { "console/port", "2" },
    { "console/ring-ref", "1044475" },
    { "console/type", "xenconsoled" },
    { "memory/target", "131072" },
    { "memory/static-max", "131072" },
    { "cpu/0/availability", "online" },
    { "control/shutdown", "" },
    { "device/vbd/51712/state", "4" },
    { "device/vif/0/state", "4" },
};
enum { NR_NODES = sizeof(nodes) / sizeof(nodes[0]) };

static const char *path_of(unsigned int domain, const char *leaf)
{
    static char path[128];

    snprintf(path, sizeof(path), "/local/domain/%u/%s", domain, leaf);
    return path;
}

static void must_write(xs_transaction_t tx, unsigned int domain, const char *leaf,
                       const char *value)
{
    if (!xs_write(xs, tx, path_of(domain, leaf), value, (unsigned int)strlen(value)))
        die("write");
}

static xs_transaction_t must_start(void)
{
    xs_transaction_t tx = xs_transaction_start(xs);

    if (tx == XBT_NULL)
        die("transaction");
    return tx;
}

static void must_end(xs_transaction_t tx)
{
    if (!xs_transaction_end(xs, tx, false))
        die("end of a transaction");
}

static void make_domain(unsigned int domain)
{
    xs_transaction_t tx = must_start();

    for (unsigned int i = 0; i < NR_NODES; i++)
        must_write(tx, domain, nodes[i][0], nodes[i][1]);
    must_end(tx);
}

/* ---- watches ---- */

static void take_event(void)
{
    unsigned int nr;
    char **event = xs_read_watch(watcher, &nr);

    if (event == NULL)
        die("event");
    free(event);
}

/* All watches behind all nodes: what a write costs with them is measured, not waited for. */
static void add_domains(void)
{
    for (unsigned int d = 1; d <= nr_domains; d++)
        make_domain(d);
    for (unsigned int d = 1; d <= nr_domains; d++) {
        if (!xs_watch(watcher, path_of(d, "control"), "token"))
            die("watch");
        take_event();
    }
}

/* ---- what is measured ---- */

static void op_read(unsigned int domain)
{
    char *value = xs_read(xs, XBT_NULL, path_of(domain, "console/ring-ref"), NULL);

    if (value == NULL)
        die("read");
    free(value);
}

static void op_write(unsigned int domain)
{
    must_write(XBT_NULL, domain, "memory/target", "65536");
}

static void op_directory(unsigned int domain)
{
    unsigned int nr;
    char **names = xs_directory(xs, XBT_NULL, path_of(domain, "console"), &nr);

    if (names == NULL || nr != 3)
        die("directory");
    free(names);
}

static void op_transaction(unsigned int domain)
{
    xs_transaction_t tx = must_start();

    for (unsigned int i = 0; i < NR_CHANGED; i++) {
        char *value = xs_read(xs, tx, path_of(domain, nodes[3 + i][0]), NULL);

        if (value == NULL)
            die("read in a transaction");
        must_write(tx, domain, nodes[3 + i][0], value);
        free(value);
    }
    must_end(tx);
}

static void op_watch(unsigned int domain)
{
    must_write(XBT_NULL, domain, "control/shutdown", "poweroff");
    take_event();
}

/* One more, and away with it. */
static void op_domain(unsigned int domain)
{
    char path[64];

    (void)domain;
    make_domain(nr_domains + 1);
    snprintf(path, sizeof(path), "/local/domain/%u", nr_domains + 1);
    if (!xs_rm(xs, XBT_NULL, path))
        die("remove");
}

static const struct operation {
    const char *name;
    void (*fn)(unsigned int domain);
} operations[] = {
    { "read", op_read },
    { "write", op_write },
    { "directory of 3", op_directory },
    { "transaction: 5 nodes read and written", op_transaction },
    { "write that a watch waits for", op_watch },
    { "a domain's 14 nodes made in a transaction, and removed", op_domain },
};

/* When it does nothing any more. */
static uint64_t settled(void)
{
    uint64_t before, now = *executed;

    do {
        before = now;
        usleep(SETTLED_US);
        now = *executed;
    } while (now != before);
    return now;
}

static void measure(const struct operation *o)
{
    unsigned int random = 1;
    uint64_t before;

    o->fn(1);
    before = settled();
    for (unsigned int i = 0; i < REPEATS; i++) {
        random = random * 1103515245u + 12345u;
        o->fn(random / 65536 % nr_domains + 1);
    }
    printf("%u\t%s\t%" PRIu64 "\n", nr_domains, o->name, (settled() - before) / REPEATS);
    fflush(stdout);
}

static void open_all(const char *count)
{
    int fd = open(count, O_RDONLY);
    void *at = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*executed), PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        die(count);
    close(fd);
    executed = at;
    xs = xs_open(0);
    watcher = xs_open(0);
    if (xs == NULL || watcher == NULL)
        die("no store");
}

int main(int argc, char **argv)
{
    if (argc != 3 || (nr_domains = (unsigned int)strtoul(argv[2], NULL, 10)) == 0) {
        fprintf(stderr, "usage: work COUNT DOMAINS\n");
        return 2;
    }
    open_all(argv[1]);
    add_domains();
    for (size_t o = 0; o < sizeof(operations) / sizeof(operations[0]); o++)
        measure(&operations[o]);
    return 0;
}
