/*
 * xenstore.h on platform.h, so on the runtime and on Linux: a client of the store's stream.
 *
 * A request is sent and its answer waited for, one at a time; other threads wait for their turn. Events of
 * watches come in between and are queued. There is no thread for reading: of all that wait for something,
 * one at a time is the reader, who moves bytes both ways and tells the others (xenstore_conn.c). When the store
 * dies the connection is made anew: xenstore_loop.h.
 *
 * Not provided: xs_fileno() is -1, ENOTSUP, see xenstore_loop.h; xs_restrict(), xs_suspend_evtchn_port(), the
 * deprecated names (xs_daemon_open() and the like, xs_debug_command()), and of xenstore_lib.h
 * xs_daemon_rundir(), xs_daemon_socket_ro(), xs_write_all(). A connection is by stream, never by ring.
 */
#include "xenstore_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct piece text(const char *s) { return (struct piece){ s, strlen(s) + 1 }; }

/* With up to three strings, the first of which that is NULL ends them. */
static struct message *ask_texts(struct xs_handle *h, uint32_t type, xs_transaction_t t,
                                 const char *a, const char *b, const char *c)
{
    const char *texts[] = { a, b, c };
    struct piece pieces[NR(texts)];
    size_t nr = 0;

    while (nr < NR(texts) && texts[nr]) {
        pieces[nr] = text(texts[nr]);
        nr++;
    }
    return xs_ask(h, type, t, pieces, nr);
}

/* One whose answer says no more than that it is done. */
static bool done(struct message *m)
{
    free(m);
    return m != NULL;
}

static struct message *ask_numbers(struct xs_handle *h, uint32_t type, const unsigned long *numbers,
                                   size_t nr)
{
    char texts[3][24];
    struct piece pieces[3];

    for (size_t i = 0; i < nr; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%lu", numbers[i]);
        pieces[i] = text(texts[i]);
    }
    return xs_ask(h, type, 0, pieces, nr);
}

/* Its bytes, with a zero behind, as memory of its own. */
static void *body_of(struct message *m, unsigned int *len)
{
    uint32_t n;

    if (m == NULL)
        return NULL;
    n = m->head.len;
    if (len)
        *len = n;
    return memmove(m, m->body, n + 1ul); /* to where it can be freed */
}

/* ---- nodes ---- */

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    return body_of(ask_texts(h, XS_READ, t, path, NULL, NULL), len);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data,
              unsigned int len)
{
    struct piece pieces[] = { text(path), { data, len } };

    return done(xs_ask(h, XS_WRITE, t, pieces, len ? 2 : 1));
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return done(ask_texts(h, XS_MKDIR, t, path, NULL, NULL));
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    return done(ask_texts(h, XS_RM, t, path, NULL, NULL));
}

/* len bytes of strings, each with its zero, as an array of them, in one piece of memory. */
static char **split(const char *strings, size_t len, unsigned int *num)
{
    unsigned int nr = 0;
    char **list, *copy;

    for (size_t i = 0; i < len; i++)
        nr += strings[i] == '\0';
    list = malloc((nr + 1) * sizeof(*list) + len);
    if (list == NULL)
        return NULL;
    copy = memcpy(list + nr + 1, strings, len);
    for (unsigned int i = 0; i < nr; i++) {
        list[i] = copy;
        copy += strlen(copy) + 1;
    }
    *num = nr;
    return list;
}

/*
 * The names of a node that has too many for one answer, from *len on: added to *names. Each answer begins
 * with the node's generation; an empty name is the end. Returns 1 at the end, 0 there is more, -EAGAIN they
 * have changed meanwhile, -errno.
 */
static int directory_part(struct xs_handle *h, xs_transaction_t t, const char *path, char **names,
                          size_t *len, char generation[24])
{
    char offset[24], *larger;
    struct message *m;
    size_t skip, n;
    bool last;

    snprintf(offset, sizeof(offset), "%zu", *len);
    m = ask_texts(h, XS_DIRECTORY_PART, t, path, offset, NULL);
    if (m == NULL)
        return -errno;
    skip = strlen(m->body) + 1;
    if (skip > 24 || skip >= m->head.len || m->body[m->head.len - 1] != '\0') {
        free(m);
        return -EIO;
    }
    if (*len == 0)
        memcpy(generation, m->body, skip);
    if (strcmp(generation, m->body) != 0) {
        free(m);
        return -EAGAIN;
    }
    n = m->head.len - skip;
    last = n == 1 || m->body[m->head.len - 2] == '\0';
    n -= last;
    larger = realloc(*names, *len + n + 1);
    if (larger) {
        memcpy(larger + *len, m->body + skip, n);
        *names = larger;
        *len += n;
    }
    free(m);
    return larger ? last : -ENOMEM;
}

static char **directory_in_parts(struct xs_handle *h, xs_transaction_t t, const char *path,
                                 unsigned int *num)
{
    char *names = NULL, generation[24], **list = NULL;
    size_t len = 0;
    int rc;

    do {
        rc = directory_part(h, t, path, &names, &len, generation);
        if (rc == -EAGAIN)
            len = 0;
    } while (rc == 0 || rc == -EAGAIN);
    if (rc > 0)
        list = split(names, len, num);
    free(names);
    if (rc < 0)
        errno = -rc;
    return list;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    struct message *m = ask_texts(h, XS_DIRECTORY, t, path, NULL, NULL);
    char **list;

    if (m == NULL)
        return errno == E2BIG ? directory_in_parts(h, t, path, num) : NULL;
    list = split(m->body, m->head.len, num);
    free(m);
    return list;
}

/* ---- permissions: a letter for what, a number for who ---- */

static const char letters[] = "nrwb"; /* XS_PERM_READ is 1, XS_PERM_WRITE 2 */

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings)
{
    for (unsigned int i = 0; i < num; i++, strings += strlen(strings) + 1) {
        const char *letter = *strings ? strchr(letters, *strings) : NULL;
        char *end = NULL;

        if (letter)
            perms[i] = (struct xs_permissions){ .id = (unsigned int)strtoul(strings + 1, &end, 10),
                                                .perms = (unsigned int)(letter - letters) };
        if (end == NULL || end == strings + 1 || *end) {
            errno = EINVAL;
            return false;
        }
    }
    return true;
}

struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                                          unsigned int *num)
{
    struct message *m = ask_texts(h, XS_GET_PERMS, t, path, NULL, NULL);
    struct xs_permissions *perms = NULL;
    unsigned int nr = 0;

    for (size_t i = 0; m && i < m->head.len; i++)
        nr += m->body[i] == '\0';
    if (m)
        perms = malloc((nr + 1) * sizeof(*perms));
    if (perms && !xs_strings_to_perms(perms, nr, m->body)) {
        free(perms);
        perms = NULL;
    }
    free(m);
    if (perms)
        *num = nr;
    return perms;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms)
{
    struct piece pieces[2] = { text(path) };
    size_t len = 0, size = num_perms * 16ul + 1;
    char *strings = malloc(size);
    bool ok;

    if (strings == NULL)
        return false;
    for (unsigned int i = 0; i < num_perms; i++)
        len += 1u + (size_t)snprintf(strings + len, size - len, "%c%u",
                                     letters[perms[i].perms & (XS_PERM_READ | XS_PERM_WRITE)],
                                     perms[i].id);
    pieces[1] = (struct piece){ strings, len };
    ok = done(xs_ask(h, XS_SET_PERMS, t, pieces, 2));
    free(strings);
    return ok;
}

/* ---- watches ---- */

static uint32_t watch_hash(const char *path, const char *token)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (const char *i = path; *i; i++)
        hash = (hash ^ (uint8_t)*i) * 16777619u;
    for (const char *i = token; *i; i++)
        hash = (hash ^ (uint8_t)*i) * 16777619u;
    return hash;
}

/* @depth  as the store has it; NULL: none */
static struct watch *watch_new(const char *path, const char *token, const char *depth)
{
    size_t path_len = strlen(path) + 1, token_len = strlen(token) + 1;
    size_t depth_len = depth ? strlen(depth) + 1 : 0;
    struct watch *w = calloc(1, sizeof(*w) + path_len + token_len + depth_len);

    if (w == NULL)
        return NULL;
    w->head = (struct xsd_sockmsg){ .type = XS_WATCH,
                                    .len = (uint32_t)(path_len + token_len + depth_len) };
    memcpy(w->body, path, path_len);
    memcpy(w->body + path_len, token, token_len);
    if (depth)
        memcpy(w->body + path_len + token_len, depth, depth_len);
    w->hash = watch_hash(path, token);
    return w;
}

/* One of those; NULL: there is none. */
static struct watch *watch_find(const struct xs_handle *h, const char *path, const char *token)
{
    uint32_t hash = watch_hash(path, token);
    struct watch *w = h->bucket[hash % WATCH_BUCKETS];

    while (w && (w->hash != hash || strcmp(w->body, path) != 0 ||
                 strcmp(w->body + strlen(path) + 1, token) != 0))
        w = w->beside;
    return w;
}

/* Behind all others: where they are registered again, it will be, too. */
static void watch_add(struct xs_handle *h, struct watch *w)
{
    struct watch **bucket = &h->bucket[w->hash % WATCH_BUCKETS];

    w->before = h->last_watch;
    *(w->before ? &w->before->next : &h->watches) = w;
    h->last_watch = w;
    w->beside = *bucket;
    *bucket = w;
}

static void watch_remove(struct xs_handle *h, struct watch *w)
{
    struct watch **at = &h->bucket[w->hash % WATCH_BUCKETS];

    plat_lock(&h->lock);
    while (*at != w)
        at = &(*at)->beside;
    *at = w->beside;
    *(w->before ? &w->before->next : &h->watches) = w->next;
    *(w->next ? &w->next->before : &h->last_watch) = w->before;
    if (h->registering == w)
        h->registering = w->next;
    plat_unlock(&h->lock);
    free(w);
}

/*
 * It is in the list before it is asked for: whenever the connection is made anew, it is registered. If that is
 * before the request is sent again, the request is one too many.
 */
static bool watch(struct xs_handle *h, const char *path, const char *token, const char *depth)
{
    struct watch *w = watch_new(path, token, depth);
    bool only;

    if (w == NULL)
        return false;
    plat_lock(&h->lock);
    only = watch_find(h, path, token) == NULL;
    watch_add(h, w);
    plat_unlock(&h->lock);
    if (done(ask_texts(h, XS_WATCH, 0, path, token, depth)) || (only && errno == EEXIST))
        return true;
    watch_remove(h, w);
    return false;
}

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    return watch(h, path, token, NULL);
}

bool xenstore_watch_domains(struct xs_handle *h, const char *path, const char *token)
{
    return watch(h, path, token, "1");
}

/* Events of the watch that is no more: what lies at or below its path, with its token. */
static void forget_events(struct xs_handle *h, const char *path, const char *token)
{
    struct message **at = &h->events, *m;

    plat_lock(&h->lock);
    while ((m = *at) != NULL) {
        if (xs_path_is_subpath(path, m->body) &&
            strcmp(m->body + strlen(m->body) + 1, token) == 0) {
            *at = m->next;
            free(m);
        } else {
            at = &m->next;
        }
    }
    h->events_end = at;
    plat_unlock(&h->lock);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    struct watch *w;
    bool ok;

    plat_lock(&h->lock);
    w = watch_find(h, path, token);
    if (w)
        w->leaving = true;
    plat_unlock(&h->lock);
    ok = done(ask_texts(h, XS_UNWATCH, 0, path, token, NULL)) || (w && errno == ENOENT);
    if (w && ok)
        watch_remove(h, w);
    else if (w)
        w->leaving = false;
    if (ok && h->filters)
        forget_events(h, path, token);
    return ok;
}

static char **next_event(struct xs_handle *h, bool waits)
{
    struct message *m = xs_next_event(h, waits);
    char **strings = NULL;
    unsigned int nr;

    if (m)
        strings = split(m->body, m->head.len, &nr);
    free(m);
    return strings;
}

char **xs_check_watch(struct xs_handle *h) { return next_event(h, false); }

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
    *num = 2;
    return next_event(h, true);
}

/* ---- transactions ---- */

/* The place of what is known of it: NULL, it is not open here. */
static struct transaction **transaction_find(struct xs_handle *h, xs_transaction_t t)
{
    struct transaction **at = &h->transactions;

    while (*at && (*at)->id != t)
        at = &(*at)->next;
    return at;
}

/* False: there is one of that number, which was the store's before. The store may have died since it answered. */
static bool transaction_add(struct xs_handle *h, struct transaction *t, const struct message *m)
{
    struct transaction **at;
    bool is_new;

    t->id = (xs_transaction_t)strtoul(m->body, NULL, 10);
    plat_lock(&h->lock);
    t->dead = m->nr_breaks != h->nr_breaks;
    at = transaction_find(h, t->id);
    is_new = *at == NULL;
    if (is_new)
        *at = t;
    plat_unlock(&h->lock);
    return is_new;
}

/* One whose number nobody here has, which a store that is new might give once more: it is for nothing then. */
xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    struct transaction *t = calloc(1, sizeof(*t));
    struct message *m;

    while (t && (m = ask_texts(h, XS_TRANSACTION_START, 0, "", NULL, NULL)) != NULL) {
        bool added = transaction_add(h, t, m);

        free(m);
        if (added)
            return t->id;
    }
    free(t);
    return XBT_NULL;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    bool ok = done(ask_texts(h, XS_TRANSACTION_END, t, abort ? "F" : "T", NULL, NULL));
    struct transaction **at, *gone;
    int error = errno;

    plat_lock(&h->lock);
    at = transaction_find(h, t);
    gone = *at;
    if (gone)
        *at = gone->next;
    plat_unlock(&h->lock);
    free(gone);
    errno = error;
    return ok;
}

/* ---- domains ---- */

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn,
                         unsigned int eventchn)
{
    const unsigned long numbers[] = { domid, mfn, eventchn };

    return done(ask_numbers(h, XS_INTRODUCE, numbers, 3));
}

bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target)
{
    const unsigned long numbers[] = { domid, target };

    return done(ask_numbers(h, XS_SET_TARGET, numbers, 2));
}

static struct message *ask_domain(struct xs_handle *h, uint32_t type, unsigned int domid)
{
    const unsigned long number = domid;

    return ask_numbers(h, type, &number, 1);
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    return done(ask_domain(h, XS_RESUME, domid));
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    return done(ask_domain(h, XS_RELEASE, domid));
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    return body_of(ask_domain(h, XS_GET_DOMAIN_PATH, domid), NULL);
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    struct message *m = ask_domain(h, XS_IS_DOMAIN_INTRODUCED, domid);
    bool is = m && strcmp(m->body, "T") == 0;

    free(m);
    return is;
}

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    struct piece pieces[] = { text(cmd), { data, len } };

    return body_of(xs_ask(h, XS_CONTROL, 0, pieces, len ? 2 : 1), NULL);
}

bool xs_path_is_subpath(const char *parent, const char *child)
{
    size_t len = strlen(parent);

    while (len && parent[len - 1] == '/') /* "/" has all that begin so */
        len--;
    return strncmp(parent, child, len) == 0 && (child[len] == '/' || child[len] == '\0');
}
