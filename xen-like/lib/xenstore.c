/*
 * xenstore.h on platform.h, so on the runtime and on Linux: a client of the store's stream.
 *
 * A request is sent and its answer waited for, one at a time; other threads wait for their turn. Events of
 * watches come in between and are queued. There is no thread for reading: of all that wait for something,
 * one at a time is the reader, who moves bytes both ways and tells the others.
 *
 * Not provided: xs_fileno() is -1, ENOTSUP, see xenstore_loop.h; xs_restrict(), xs_suspend_evtchn_port(), the
 * deprecated names (xs_daemon_open() and the like, xs_debug_command()), and of xenstore_lib.h
 * xs_daemon_rundir(), xs_daemon_socket_ro(), xs_write_all(). A connection is by stream, never by ring.
 */
#include "xenstore_loop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NR(a) (sizeof(a) / sizeof((a)[0]))

/* One that has come. body has a zero byte behind. */
struct message {
    struct message *next;
    struct xsd_sockmsg head;
    char body[];
};

/* A piece of a request. */
struct piece {
    const void *data;
    size_t len;
};

struct xs_handle {
    struct plat_mutex lock; /* guards all below */
    struct plat_cond changed;
    struct plat_stream *stream;
    struct plat_loop *loop; /* the reader waits in it */
    struct plat_wake wake;  /* ends that */
    bool has_reader;
    bool filters; /* XS_UNWATCH_FILTER */
    int lost;     /* errno: the connection cannot be used any more */

    char out[sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX];
    size_t out_at, out_len;

    struct xsd_sockmsg head; /* what is coming in: first this, then the rest of message */
    size_t in_len;
    struct message *message;

    bool asked; /* there is a request whose answer has not been taken */
    uint32_t id;
    struct message *answer;
    struct message *events, **events_end;

    /* xenstore_watch() */
    struct plat_loop *program;
    struct plat_wake ready;
    void (*fn)(void *arg);
    void *arg;
};

static int failed(int error)
{
    errno = error;
    return -1;
}

/* ---- bytes; the lock is held ---- */

static void lose(struct xs_handle *h, int error)
{
    if (h->lost == 0)
        h->lost = error;
    if (h->program)
        plat_wake(&h->ready);
}

static void on_event(struct xs_handle *h, struct message *m)
{
    char *token = memchr(m->body, '\0', m->head.len);

    if (token == NULL ||
        memchr(token + 1, '\0', m->head.len - (size_t)(token + 1 - m->body)) == NULL) {
        free(m);
        lose(h, EIO);
        return;
    }
    m->next = NULL;
    *h->events_end = m;
    h->events_end = &m->next;
    if (h->program)
        plat_wake(&h->ready);
}

static void on_message(struct xs_handle *h, struct message *m)
{
    if (m->head.type == XS_WATCH_EVENT) {
        on_event(h, m);
    } else if (h->asked && h->answer == NULL && m->head.req_id == h->id) {
        h->answer = m;
    } else {
        free(m);
        lose(h, EIO);
    }
}

/* Where the next bytes go, and how many are wanted. */
static char *in_place(struct xs_handle *h, size_t *len)
{
    if (h->in_len < sizeof(h->head)) {
        *len = sizeof(h->head) - h->in_len;
        return (char *)&h->head + h->in_len;
    }
    *len = sizeof(h->head) + h->head.len - h->in_len;
    return h->message->body + (h->in_len - sizeof(h->head));
}

/* So far it is whole: the head, then the message. */
static void came_in(struct xs_handle *h)
{
    if (h->message == NULL) {
        if (h->head.len > XENSTORE_PAYLOAD_MAX) {
            lose(h, EIO);
            return;
        }
        h->message = malloc(sizeof(*h->message) + h->head.len + 1);
        if (h->message == NULL) {
            lose(h, ENOMEM);
            return;
        }
        h->message->head = h->head;
        h->message->body[h->head.len] = '\0';
    }
    if (h->in_len == sizeof(h->head) + h->head.len) {
        struct message *m = h->message;

        h->message = NULL;
        h->in_len = 0;
        on_message(h, m);
    }
}

/* Read what is there. Returns whether something was. */
static bool pull(struct xs_handle *h)
{
    bool any = false;

    while (h->lost == 0) {
        size_t len;
        char *to = in_place(h, &len);
        ssize_t n = plat_read(h->stream, to, len);

        if (n < 0 && errno == EAGAIN)
            break;
        any = true;
        if (n > 0) {
            h->in_len += (size_t)n;
            if ((size_t)n == len)
                came_in(h);
        } else {
            lose(h, n < 0 ? errno : ECONNRESET);
        }
    }
    return any;
}

/* Write what there is room for. Returns whether something was written. */
static bool push(struct xs_handle *h)
{
    bool any = false;

    while (h->lost == 0 && h->out_at < h->out_len) {
        ssize_t n = plat_write(h->stream, h->out + h->out_at, h->out_len - h->out_at);

        if (n < 0 && errno == EAGAIN)
            break;
        any = true;
        if (n < 0)
            lose(h, errno);
        else
            h->out_at += (size_t)n;
    }
    return any;
}

/* ---- waiting ---- */

static void on_ready(void *arg, unsigned int ready)
{
    struct xs_handle *h = arg;

    (void)ready;
    plat_loop_stop(h->loop);
}

static void on_wake(void *arg)
{
    struct xs_handle *h = arg;

    plat_loop_stop(h->loop);
}

static void in_program(void *arg, unsigned int ready);

/* The caller is the reader now, and waits unless something has moved. */
static void read_once(struct xs_handle *h)
{
    bool moved;
    int error;

    h->has_reader = true;
    moved = push(h);
    moved |= pull(h);
    if (!moved && h->lost == 0) {
        unsigned int wanted = PLAT_READABLE | (h->out_at < h->out_len ? PLAT_WRITABLE : 0u);

        if (h->program) /* the loop that it is called from does nothing meanwhile */
            plat_watch(h->program, h->stream, 0, NULL, NULL);
        plat_watch(h->loop, h->stream, wanted, on_ready, h);
        plat_unlock(&h->lock);
        error = plat_loop_run(h->loop) ? errno : 0;
        plat_lock(&h->lock);
        if (error)
            lose(h, error);
        plat_watch(h->loop, h->stream, 0, NULL, NULL);
        if (h->program)
            plat_watch(h->program, h->stream, PLAT_READABLE, in_program, h);
    }
    h->has_reader = false;
    plat_cond_broadcast(&h->changed);
}

/* Something has changed that others may wait for, the reader among them. */
static void tell(struct xs_handle *h)
{
    plat_cond_broadcast(&h->changed);
    if (h->has_reader)
        plat_wake(&h->wake);
}

/* Until something has changed: read, or leave it to whoever does. */
static void wait_for_change(struct xs_handle *h)
{
    if (h->has_reader)
        plat_cond_wait(&h->changed, &h->lock, PLAT_NEVER);
    else
        read_once(h);
}

/* ---- connections ---- */

const char *xs_daemon_socket(void)
{
    static char path[128];
    const char *from = getenv("XENSTORED_PATH"), *folder = getenv("XENSTORED_RUNDIR");

    if (from)
        return from;
    snprintf(path, sizeof(path), "%s/socket", folder ? folder : "/run/xenstored");
    return path;
}

struct xs_handle *xs_open(unsigned long flags)
{
    struct xs_handle *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return NULL;
    h->filters = flags & XS_UNWATCH_FILTER;
    h->events_end = &h->events;
    h->loop = plat_loop_new();
    h->stream = h->loop ? plat_connect(xs_daemon_socket()) : NULL;
    if (h->stream == NULL) {
        int error = errno;

        if (h->loop)
            plat_loop_free(h->loop);
        free(h);
        errno = error;
        return NULL;
    }
    h->wake = (struct plat_wake){ .fn = on_wake, .arg = h };
    plat_wake_add(h->loop, &h->wake);
    return h;
}

void xs_close(struct xs_handle *h)
{
    if (h == NULL)
        return;
    xenstore_watch(NULL, h, NULL, NULL);
    plat_close(h->stream);
    plat_wake_remove(&h->wake);
    plat_loop_free(h->loop);
    for (struct message *m = h->events, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    free(h->message);
    free(h->answer);
    free(h);
}

int xs_fileno(struct xs_handle *h)
{
    (void)h;
    return failed(ENOTSUP);
}

/* ---- in the program's loop ---- */

static void in_program(void *arg, unsigned int ready)
{
    struct xs_handle *h = arg;

    (void)ready;
    plat_lock(&h->lock);
    pull(h);
    if (h->lost) /* it would be ready for ever */
        plat_watch(h->program, h->stream, 0, NULL, NULL);
    plat_unlock(&h->lock);
}

static void program_ready(void *arg)
{
    struct xs_handle *h = arg;

    if (h->events || h->lost) /* a request may have taken the last */
        h->fn(h->arg);
}

int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg)
{
    if (fn == NULL && h->program) {
        plat_watch(h->program, h->stream, 0, NULL, NULL);
        h->program = NULL;
        plat_wake_remove(&h->ready);
    }
    if (fn == NULL)
        return 0;
    if (h->program)
        return failed(EBUSY);
    h->fn = fn;
    h->arg = arg;
    h->ready = (struct plat_wake){ .fn = program_ready, .arg = h };
    h->program = l;
    plat_wake_add(l, &h->ready);
    plat_watch(l, h->stream, PLAT_READABLE, in_program, h);
    plat_wake(&h->ready); /* what has come before */
    return 0;
}

/* ---- requests ---- */

/* What the store calls its errors. */
static int error_number(const char *name)
{
    for (size_t i = 0; i < NR(xsd_errors); i++)
        if (strcmp(xsd_errors[i].errstring, name) == 0)
            return xsd_errors[i].errnum;
    return EIO;
}

/* The answer, to be freed; or NULL with errno. */
static struct message *ask(struct xs_handle *h, uint32_t type, xs_transaction_t t,
                           const struct piece *pieces, size_t nr)
{
    struct xsd_sockmsg head = { .type = type, .tx_id = t };
    struct message *m;
    size_t len = 0, at = sizeof(head);
    int error;

    for (size_t i = 0; i < nr; i++) {
        if (pieces[i].len > XENSTORE_PAYLOAD_MAX - len) {
            errno = E2BIG;
            return NULL;
        }
        len += pieces[i].len;
    }
    plat_lock(&h->lock);
    while (h->asked)
        wait_for_change(h);
    h->asked = true;
    head.req_id = ++h->id;
    head.len = (uint32_t)len;
    memcpy(h->out, &head, sizeof(head));
    for (size_t i = 0; i < nr; i++) {
        memcpy(h->out + at, pieces[i].data, pieces[i].len);
        at += pieces[i].len;
    }
    h->out_at = 0;
    h->out_len = at;
    tell(h); /* whoever reads writes as well */
    while (h->answer == NULL && h->lost == 0)
        wait_for_change(h);
    m = h->answer;
    error = m ? 0 : h->lost;
    h->answer = NULL;
    h->asked = false;
    tell(h);
    plat_unlock(&h->lock);
    if (m && m->head.type == XS_ERROR)
        error = error_number(m->body);
    else if (m && m->head.type != type)
        error = EIO;
    if (error == 0)
        return m;
    free(m);
    errno = error;
    return NULL;
}

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
    return ask(h, type, t, pieces, nr);
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
    return ask(h, type, 0, pieces, nr);
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

    return done(ask(h, XS_WRITE, t, pieces, len ? 2 : 1));
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
    ok = done(ask(h, XS_SET_PERMS, t, pieces, 2));
    free(strings);
    return ok;
}

/* ---- watches ---- */

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    return done(ask_texts(h, XS_WATCH, 0, path, token, NULL));
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
    bool ok = done(ask_texts(h, XS_UNWATCH, 0, path, token, NULL));

    if (ok && h->filters)
        forget_events(h, path, token);
    return ok;
}

static char **next_event(struct xs_handle *h, bool waits)
{
    struct message *m;
    char **strings = NULL;
    unsigned int nr;
    int error;

    plat_lock(&h->lock);
    if (!h->has_reader)
        pull(h);
    while (waits && h->events == NULL && h->lost == 0)
        wait_for_change(h);
    m = h->events;
    error = m ? 0 : h->lost ? h->lost : EAGAIN;
    if (m)
        h->events = m->next;
    if (h->events == NULL)
        h->events_end = &h->events;
    else if (h->program) /* whoever takes one only is called again */
        plat_wake(&h->ready);
    plat_unlock(&h->lock);
    if (m)
        strings = split(m->body, m->head.len, &nr);
    free(m);
    if (error)
        errno = error;
    return strings;
}

char **xs_check_watch(struct xs_handle *h) { return next_event(h, false); }

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
    *num = 2;
    return next_event(h, true);
}

/* ---- transactions ---- */

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    struct message *m = ask_texts(h, XS_TRANSACTION_START, 0, "", NULL, NULL);
    xs_transaction_t t = m ? (xs_transaction_t)strtoul(m->body, NULL, 10) : XBT_NULL;

    free(m);
    return t;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort)
{
    return done(ask_texts(h, XS_TRANSACTION_END, t, abort ? "F" : "T", NULL, NULL));
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

    return body_of(ask(h, XS_CONTROL, 0, pieces, len ? 2 : 1), NULL);
}

bool xs_path_is_subpath(const char *parent, const char *child)
{
    size_t len = strlen(parent);

    while (len && parent[len - 1] == '/') /* "/" has all that begin so */
        len--;
    return strncmp(parent, child, len) == 0 && (child[len] == '/' || child[len] == '\0');
}
