#include "fake_store.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xenstore_loop.h"

enum { NODES = 2000, PATH = 160, VALUE = 300 };

static struct {
    char path[PATH], value[VALUE];
    unsigned int len, hash; /* of its path */
} nodes[NODES];
static unsigned int nr_nodes, home_domain, fail_at;
static bool has_failed, is_gone;
void (*store_hook)(void);

struct event {
    struct event *next;
    char path[PATH], token[32];
};

struct watch {
    struct watch *next;
    char path[PATH], token[32];
};

struct xs_handle {
    struct xs_handle *next;
    struct watch *watches;
    struct event *events, **end;
    struct plat_wake wake;
    bool in_transaction, told;
};
static struct xs_handle *handles;

static void wake(struct xs_handle *h)
{
    if (h->wake.loop)
        plat_wake(&h->wake);
}

static bool is_below(const char *path, const char *above)
{
    size_t len = strlen(above);

    return strncmp(path, above, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static const char *absolute(const char *path, char buf[PATH])
{
    if (path[0] == '/')
        return path;
    snprintf(buf, PATH, "/local/domain/%u/%s", home_domain, path);
    return buf;
}

static void add_event(struct xs_handle *h, const struct watch *w, const char *path)
{
    struct event *e = calloc(1, sizeof(*e));
    char home[40];
    int len = snprintf(home, sizeof(home), "/local/domain/%u/", home_domain);

    strcpy(e->path, w->path[0] != '/' && strncmp(path, home, (size_t)len) == 0 ? path + len : path);
    strcpy(e->token, w->token);
    *h->end = e;
    h->end = &e->next;
    wake(h);
}

/* @removed: also those that watch what was below. */
static void fire(const char *path, bool removed)
{
    char buf[PATH];

    for (struct xs_handle *h = handles; h; h = h->next)
        for (struct watch *w = h->watches; w; w = w->next) {
            const char *watched = absolute(w->path, buf);

            if (is_below(path, watched))
                add_event(h, w, path);
            else if (removed && is_below(watched, path))
                add_event(h, w, watched);
        }
}

unsigned int store_nr_events(void)
{
    unsigned int n = 0;

    for (const struct xs_handle *h = handles; h; h = h->next)
        for (const struct event *e = h->events; e; e = e->next)
            n++;
    return n;
}

static unsigned int hash_of(const char *path)
{
    unsigned int hash = 0;

    while (*path)
        hash = hash * 33 + (unsigned char)*path++;
    return hash;
}

static int find(const char *path)
{
    unsigned int hash = hash_of(path);

    for (unsigned int i = 0; i < nr_nodes; i++)
        if (nodes[i].hash == hash && strcmp(nodes[i].path, path) == 0)
            return (int)i;
    return -1;
}

static int make(const char *path)
{
    char above[PATH];
    int i = find(path);

    if (i >= 0 || path[0] == '\0')
        return i;
    CU_ASSERT_TRUE_FATAL(strlen(path) < PATH && path[0] == '/');
    strcpy(above, path);
    *strrchr(above, '/') = '\0';
    make(above);
    CU_ASSERT_TRUE_FATAL(nr_nodes < NODES);
    strcpy(nodes[nr_nodes].path, path);
    nodes[nr_nodes].hash = hash_of(path);
    nodes[nr_nodes].value[0] = '\0';
    nodes[nr_nodes].len = 0;
    return (int)nr_nodes++;
}

static void write_node(const char *path, const void *data, unsigned int len)
{
    int i = make(path);

    CU_ASSERT_TRUE_FATAL(len < VALUE);
    memcpy(nodes[i].value, data, len);
    nodes[i].value[len] = '\0';
    nodes[i].len = len;
    fire(path, false);
}

static bool remove_nodes(const char *path)
{
    unsigned int kept = 0, nr = nr_nodes;

    for (unsigned int i = 0; i < nr; i++)
        if (!is_below(nodes[i].path, path))
            nodes[kept++] = nodes[i];
    nr_nodes = kept;
    if (kept < nr)
        fire(path, true);
    return kept < nr;
}

/* ---- the test's ---- */

void store_reset(unsigned int home)
{
    nr_nodes = fail_at = 0;
    has_failed = is_gone = false;
    store_hook = NULL;
    home_domain = home;
    CU_ASSERT_PTR_NULL(handles);
}

void store_set(const char *path, const char *fmt, ...)
{
    char value[VALUE];
    va_list args;

    va_start(args, fmt);
    vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    write_node(path, value, (unsigned int)strlen(value));
}

void store_remove(const char *path) { remove_nodes(path); }

const char *store_get(const char *path)
{
    int i = find(path);

    return i < 0 ? NULL : nodes[i].value;
}

unsigned int store_nr_nodes(void) { return nr_nodes; }

unsigned int store_nr_watches(void)
{
    unsigned int nr = 0;

    for (struct xs_handle *h = handles; h; h = h->next)
        for (struct watch *w = h->watches; w; w = w->next)
            nr++;
    return nr;
}

void store_fail_at(unsigned int n)
{
    fail_at = n;
    has_failed = false;
}

bool store_failed(void) { return has_failed; }

void store_set_gone(bool gone)
{
    is_gone = gone;
    for (struct xs_handle *h = handles; h; h = h->next) {
        h->told = !gone;
        wake(h);
    }
}

void run_loop(struct plat_loop *l)
{
    CU_ASSERT_EQUAL(plat_loop_run(l), -1);
    CU_ASSERT_EQUAL(errno, EDEADLK);
}

/* ---- xenstore.h ---- */

static bool fails(void)
{
    void (*hook)(void) = store_hook;

    if (is_gone || (fail_at && --fail_at == 0)) {
        has_failed = true;
        errno = EIO;
        return true;
    }
    store_hook = NULL; /* what it does is not interrupted itself */
    if (hook) {
        hook();
        if (store_hook == NULL)
            store_hook = hook;
    }
    return false;
}

struct xs_handle *xs_open(unsigned long flags)
{
    struct xs_handle *h;

    if (fails())
        return NULL;
    h = calloc(1, sizeof(*h));
    h->end = &h->events;
    h->next = handles;
    handles = h;
    return h;
}

void xs_close(struct xs_handle *h)
{
    struct xs_handle **at = &handles;

    if (h == NULL)
        return;
    CU_ASSERT_PTR_NULL(h->wake.loop);
    CU_ASSERT_FALSE(h->in_transaction);
    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    for (struct watch *w = h->watches, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    for (struct event *e = h->events, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    free(h);
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    char buf[PATH], *value;
    int i;

    CU_ASSERT_EQUAL(t != XBT_NULL, h->in_transaction);
    if (fails())
        return NULL;
    i = find(absolute(path, buf));
    errno = ENOENT;
    if (i < 0)
        return NULL;
    value = malloc(nodes[i].len + 1ul);
    memcpy(value, nodes[i].value, nodes[i].len + 1ul);
    if (len)
        *len = nodes[i].len;
    return value;
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    char buf[PATH];

    CU_ASSERT_EQUAL(t != XBT_NULL, h->in_transaction);
    if (fails())
        return false;
    write_node(absolute(path, buf), data, len);
    return true;
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    char buf[PATH];

    if (fails())
        return false;
    errno = ENOENT;
    return remove_nodes(absolute(path, buf));
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    char buf[PATH], **list, *names;
    size_t len;

    path = absolute(path, buf);
    len = strlen(path);
    if (fails())
        return NULL;
    errno = ENOENT;
    if (find(path) < 0)
        return NULL;
    list = calloc(1, NODES * (sizeof(*list) + 32));
    names = (char *)(list + NODES);
    *num = 0;
    for (unsigned int i = 0; i < nr_nodes; i++) {
        const char *its = nodes[i].path;

        if (is_below(its, path) && its[len] && strchr(its + len + 1, '/') == NULL) {
            list[(*num)++] = strcpy(names, its + len + 1);
            names += strlen(names) + 1;
        }
    }
    return list;
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    if (fails())
        return XBT_NULL;
    CU_ASSERT_FALSE(h->in_transaction);
    h->in_transaction = true;
    return 1;
}

/* What was written in it stays even if it is ended for nothing: nobody may rely on either. */
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abandon)
{
    CU_ASSERT_TRUE(h->in_transaction);
    h->in_transaction = false;
    return !fails();
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    struct watch *w;

    if (fails())
        return false;
    for (w = h->watches; w; w = w->next)
        if (strcmp(w->path, path) == 0 && strcmp(w->token, token) == 0) {
            errno = EEXIST;
            return false;
        }
    w = calloc(1, sizeof(*w));
    strcpy(w->path, path);
    strcpy(w->token, token);
    w->next = h->watches;
    h->watches = w;
    add_event(h, w, path);
    return true;
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    if (fails())
        return false;
    for (struct watch **at = &h->watches; *at; at = &(*at)->next) {
        struct watch *w = *at;

        if (strcmp(w->path, path) == 0 && strcmp(w->token, token) == 0) {
            *at = w->next;
            free(w);
            return true;
        }
    }
    errno = ENOENT;
    return false;
}

char **xs_check_watch(struct xs_handle *h)
{
    struct event *e = h->events;
    char **list;

    if (is_gone) {
        errno = EIO;
        return NULL;
    }
    errno = EAGAIN;
    if (e == NULL)
        return NULL;
    h->events = e->next;
    if (h->events == NULL)
        h->end = &h->events;
    else
        wake(h);
    list = calloc(1, 2 * sizeof(*list) + sizeof(e->path) + sizeof(e->token));
    list[XS_WATCH_PATH] = strcpy((char *)(list + 2), e->path);
    list[XS_WATCH_TOKEN] = strcpy((char *)(list + 2) + sizeof(e->path), e->token);
    free(e);
    return list;
}

int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg)
{
    if (fn == NULL) {
        plat_wake_remove(&h->wake);
        h->wake.loop = NULL;
        return 0;
    }
    h->wake = (struct plat_wake){ .fn = fn, .arg = arg };
    plat_wake_add(l, &h->wake);
    if (h->events)
        wake(h);
    return 0;
}
