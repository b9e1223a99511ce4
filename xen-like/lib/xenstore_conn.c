/* See xenstore_conn.h. */
#include "xenstore_conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_NS 10000000u
#define GIVE_UP_NS 5000000000u

static int failed(int error)
{
    errno = error;
    return -1;
}

static bool is_usable(const struct xs_handle *h) { return h->lost == 0 && !h->gave_up; }

/* It has been given up since, or is lost: whoever has waited from then on hears of it, even if others try again. */
static bool is_over(const struct xs_handle *h, unsigned int nr_gave_up)
{
    return h->lost || h->nr_gave_up != nr_gave_up;
}

static int why_over(const struct xs_handle *h) { return h->lost ? h->lost : h->gave_up_error; }

/* What the store calls its errors. */
static int error_number(const char *name)
{
    for (size_t i = 0; i < NR(xsd_errors); i++)
        if (strcmp(xsd_errors[i].errstring, name) == 0)
            return xsd_errors[i].errnum;
    return EIO;
}

/* ---- beginnings and ends of the stream; the lock is held ---- */

static void in_program(void *arg, unsigned int ready);

static void lose(struct xs_handle *h, int error)
{
    if (h->lost == 0)
        h->lost = error;
    if (h->program)
        plat_wake(&h->ready);
}

/* Whoever has asked is told why: an answer would be nobody's. */
static void forget_request(struct xs_handle *h) { h->out_at = h->out_len = 0; }

/* Without it there are none of its transactions, and who knows whether the last request was done. */
static void break_off(struct xs_handle *h)
{
    plat_close(h->stream);
    h->stream = NULL;
    h->nr_breaks++;
    free(h->message);
    h->message = NULL;
    h->in_len = 0;
    for (struct transaction *t = h->transactions; t; t = t->next)
        t->dead = true;
    h->interrupted |= h->asked && h->in_transaction;
    if (h->interrupted)
        forget_request(h);
    if (h->give_up_ns == 0)
        h->give_up_ns = plat_now() + GIVE_UP_NS;
    if (h->program)
        plat_timer_set(h->program, &h->retry, h->next_try_ns);
}

/* There is nothing to be given up. */
static void in_order(struct xs_handle *h)
{
    h->give_up_ns = 0;
    h->refused = 0;
}

static void give_up(struct xs_handle *h, int error)
{
    if (h->stream)
        break_off(h);
    forget_request(h);
    h->gave_up = true;
    h->gave_up_error = h->refused ? h->refused : error;
    h->nr_gave_up++;
    in_order(h);
    if (h->program)
        plat_wake(&h->ready);
}

static struct watch *to_register(struct watch *w)
{
    while (w && w->leaving)
        w = w->next;
    return w;
}

/* Its watches, then its request, are to be sent. Not at once if it has just been tried. */
static void connect_anew(struct xs_handle *h)
{
    if (plat_now() < h->next_try_ns)
        return;
    h->next_try_ns = plat_now() + RETRY_NS;
    h->stream = plat_connect(xs_daemon_socket());
    if (h->stream == NULL) {
        int error = errno;

        h->refused = 0;
        if (plat_now() >= h->give_up_ns)
            give_up(h, error);
        return;
    }
    h->registering = to_register(h->watches);
    h->registering_at = 0;
    h->nr_registering = 0;
    h->out_at = 0;
    if (h->registering == NULL && h->out_len == 0) /* nothing will be answered */
        in_order(h);
    if (h->program)
        plat_watch(h->program, h->stream, PLAT_READABLE | PLAT_WRITABLE, in_program, h);
}

/* ---- bytes; the lock is held ---- */

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

/* The store lacks room, or the like: as if it had not come back, until that has lasted for too long. */
static void on_refused(struct xs_handle *h, int error)
{
    h->refused = error;
    break_off(h);
    if (plat_now() >= h->give_up_ns)
        give_up(h, error);
}

/* Of a watch that is registered again. */
static void on_registered(struct xs_handle *h, struct message *m)
{
    h->nr_registering--;
    if (m->head.type == XS_ERROR && strcmp(m->body, "EEXIST") != 0)
        on_refused(h, error_number(m->body));
    else if (m->head.type != XS_ERROR && m->head.type != XS_WATCH)
        lose(h, EIO);
    else if (h->registering == NULL && h->nr_registering == 0 && h->out_len == 0)
        in_order(h);
    free(m);
}

static void on_message(struct xs_handle *h, struct message *m)
{
    if (m->head.type == XS_WATCH_EVENT) {
        on_event(h, m);
    } else if (h->asked && h->answer == NULL && m->head.req_id == h->id) {
        h->answer = m;
        in_order(h); /* not before: this may be what the store dies of each time */
    } else if (h->nr_registering && m->head.req_id == 0) {
        on_registered(h, m);
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
        h->message->nr_breaks = h->nr_breaks;
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

    while (h->lost == 0 && h->stream) {
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
            break_off(h);
        }
    }
    return any;
}

/* What is to be sent next. Returns how many bytes; 0: nothing. */
static size_t to_send(const struct xs_handle *h, const char **bytes)
{
    const struct watch *w = h->registering;

    if (w) {
        *bytes = (const char *)&w->head + h->registering_at;
        return sizeof(w->head) + w->head.len - h->registering_at;
    }
    *bytes = h->out + h->out_at;
    return h->out_len - h->out_at;
}

static void sent(struct xs_handle *h, size_t n)
{
    const struct watch *w = h->registering;

    if (w == NULL) {
        h->out_at += n;
        return;
    }
    h->registering_at += n;
    if (h->registering_at == sizeof(w->head) + w->head.len) {
        h->nr_registering++;
        h->registering = to_register(w->next);
        h->registering_at = 0;
    }
}

/* Write what there is room for. Returns whether something was written. */
static bool push(struct xs_handle *h)
{
    const char *bytes;
    bool any = false;
    size_t len;

    while (h->lost == 0 && h->stream && (len = to_send(h, &bytes)) != 0) {
        ssize_t n = plat_write(h->stream, bytes, len);

        if (n < 0 && errno == EAGAIN)
            break;
        any = true;
        if (n < 0)
            break_off(h);
        else
            sent(h, (size_t)n);
    }
    return any;
}

static unsigned int wanted(const struct xs_handle *h)
{
    const char *bytes;

    return PLAT_READABLE | (to_send(h, &bytes) ? PLAT_WRITABLE : 0u);
}

/* ---- waiting ---- */

static void stop_waiting(void *arg)
{
    struct xs_handle *h = arg;

    plat_loop_stop(h->loop);
}

static void on_ready(void *arg, unsigned int ready)
{
    (void)ready;
    stop_waiting(arg);
}

/* Until something is there, or it is time to try again, or to give up. Nobody else changes the stream meanwhile. */
static void wait_ready(struct xs_handle *h)
{
    uint64_t until = h->stream ? h->give_up_ns : h->next_try_ns;
    int error;

    if (h->stream && h->program) /* the loop that it is called from does nothing meanwhile */
        plat_watch(h->program, h->stream, 0, NULL, NULL);
    if (h->stream)
        plat_watch(h->loop, h->stream, wanted(h), on_ready, h);
    if (until)
        plat_timer_set(h->loop, &h->timer, until);
    plat_unlock(&h->lock);
    error = plat_loop_run(h->loop) ? errno : 0;
    plat_lock(&h->lock);
    if (error)
        lose(h, error);
    plat_timer_cancel(&h->timer);
    if (h->stream)
        plat_watch(h->loop, h->stream, 0, NULL, NULL);
    if (h->stream && h->program)
        plat_watch(h->program, h->stream, wanted(h), in_program, h);
}

/* The caller is the reader now, and waits unless something has moved. */
static void read_once(struct xs_handle *h)
{
    bool moved;

    h->has_reader = true;
    if (h->stream == NULL)
        connect_anew(h);
    else if (h->give_up_ns && plat_now() >= h->give_up_ns)
        give_up(h, ETIMEDOUT); /* it is there, and says nothing */
    moved = push(h);
    moved |= pull(h);
    if (!moved && is_usable(h))
        wait_ready(h);
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

/* Until something has changed: read, or leave it to whoever does. It is not over for the caller. */
static void wait_for_change(struct xs_handle *h)
{
    if (h->has_reader)
        plat_cond_wait(&h->changed, &h->lock, PLAT_NEVER);
    else
        read_once(h);
}

/*
 * The caller begins to wait: if it has been given up, that is tried once more. A time that nobody has waited
 * through does not count. Returns what is_over() wants.
 */
static unsigned int want(struct xs_handle *h)
{
    bool waited_for = h->asked || h->has_reader;

    h->gave_up = false;
    if (h->give_up_ns ? !waited_for : h->stream == NULL)
        h->give_up_ns = plat_now() + GIVE_UP_NS;
    return h->nr_gave_up;
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
    h->wake = (struct plat_wake){ .fn = stop_waiting, .arg = h };
    h->timer = (struct plat_timer){ .fn = stop_waiting, .arg = h };
    plat_wake_add(h->loop, &h->wake);
    return h;
}

void xs_close(struct xs_handle *h)
{
    if (h == NULL)
        return;
    xenstore_watch(NULL, h, NULL, NULL);
    if (h->stream)
        plat_close(h->stream);
    plat_wake_remove(&h->wake);
    plat_loop_free(h->loop);
    for (struct message *m = h->events, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    for (struct watch *w = h->watches, *next; w; w = next) {
        next = w->next;
        free(w);
    }
    for (struct transaction *t = h->transactions, *next; t; t = next) {
        next = t->next;
        free(t);
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
    push(h);
    pull(h);
    if (h->stream) /* if it is lost, it would be ready for ever */
        plat_watch(h->program, h->stream, h->lost ? 0 : wanted(h), in_program, h);
    plat_unlock(&h->lock);
}

/* The stream is broken, or the new one is to have said something by now. */
static void retry(void *arg)
{
    struct xs_handle *h = arg;

    plat_lock(&h->lock);
    if (h->stream == NULL && is_usable(h))
        connect_anew(h);
    else if (h->stream && h->give_up_ns && plat_now() >= h->give_up_ns)
        give_up(h, ETIMEDOUT);
    if (h->give_up_ns)
        plat_timer_set(h->program, &h->retry, h->stream ? h->give_up_ns : h->next_try_ns);
    plat_unlock(&h->lock);
}

static void program_ready(void *arg)
{
    struct xs_handle *h = arg;

    if (h->events || !is_usable(h)) /* a request may have taken the last */
        h->fn(h->arg);
}

static void unwatch(struct xs_handle *h)
{
    if (h->stream)
        plat_watch(h->program, h->stream, 0, NULL, NULL);
    plat_timer_cancel(&h->retry);
    plat_wake_remove(&h->ready);
    h->program = NULL;
}

int xenstore_watch(struct plat_loop *l, struct xs_handle *h, void (*fn)(void *arg), void *arg)
{
    if (fn == NULL && h->program)
        unwatch(h);
    if (fn == NULL)
        return 0;
    if (h->program)
        return failed(EBUSY);
    h->fn = fn;
    h->arg = arg;
    h->ready = (struct plat_wake){ .fn = program_ready, .arg = h };
    h->retry = (struct plat_timer){ .fn = retry, .arg = h };
    h->program = l;
    plat_wake_add(l, &h->ready);
    if (h->stream)
        plat_watch(l, h->stream, wanted(h), in_program, h);
    else
        plat_timer_set(l, &h->retry, plat_now());
    plat_wake(&h->ready); /* what has come before */
    return 0;
}

/* ---- requests and events ---- */

static void compose(struct xs_handle *h, struct xsd_sockmsg head, const struct piece *pieces,
                    size_t nr)
{
    size_t at = sizeof(head);

    for (size_t i = 0; i < nr; i++) {
        memcpy(h->out + at, pieces[i].data, pieces[i].len);
        at += pieces[i].len;
    }
    if (++h->id == 0)
        ++h->id;
    head.req_id = h->id;
    head.len = (uint32_t)(at - sizeof(head));
    memcpy(h->out, &head, sizeof(head));
    h->out_at = 0;
    h->out_len = at;
}

/* The lock is held. */
static bool is_dead_locked(const struct xs_handle *h, xs_transaction_t t)
{
    const struct transaction *i = h->transactions;

    while (i && i->id != t)
        i = i->next;
    return i && i->dead;
}

/* It is the caller's turn, who has the lock. */
static struct message *exchange_in_turn(struct xs_handle *h, struct xsd_sockmsg head,
                                        const struct piece *pieces, size_t nr,
                                        unsigned int nr_gave_up, int *error)
{
    struct message *m;

    h->asked = true;
    h->in_transaction = head.tx_id != XBT_NULL;
    h->interrupted = false;
    compose(h, head, pieces, nr);
    tell(h); /* whoever reads writes as well */
    while (h->answer == NULL && !h->interrupted && !is_over(h, nr_gave_up))
        wait_for_change(h);
    m = h->answer;
    *error = m ? 0 : h->interrupted && !h->lost ? EAGAIN : why_over(h);
    h->answer = NULL;
    h->asked = false;
    forget_request(h);
    tell(h);
    return m;
}

/* The answer, whatever it is; NULL with *error: there is none. EAGAIN may be that the transaction is dead. */
static struct message *exchange(struct xs_handle *h, uint32_t type, xs_transaction_t t,
                                const struct piece *pieces, size_t nr, int *error)
{
    const struct xsd_sockmsg head = { .type = type, .tx_id = t };
    struct message *m = NULL;
    unsigned int nr_gave_up;

    plat_lock(&h->lock);
    nr_gave_up = want(h);
    while (h->asked && !is_over(h, nr_gave_up) && !is_dead_locked(h, t))
        wait_for_change(h);
    if (is_dead_locked(h, t)) /* it may have died just now: a new store does not know it */
        *error = EAGAIN;
    else if (is_over(h, nr_gave_up))
        *error = why_over(h);
    else
        m = exchange_in_turn(h, head, pieces, nr, nr_gave_up, error);
    plat_unlock(&h->lock);
    return m;
}

static struct message *ask_once(struct xs_handle *h, uint32_t type, xs_transaction_t t,
                                const struct piece *pieces, size_t nr)
{
    struct message *m;
    size_t len = 0;
    int error;

    for (size_t i = 0; i < nr; i++) {
        if (pieces[i].len > XENSTORE_PAYLOAD_MAX - len) {
            errno = E2BIG;
            return NULL;
        }
        len += pieces[i].len;
    }
    m = exchange(h, type, t, pieces, nr, &error);
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

static bool is_dead(struct xs_handle *h, xs_transaction_t t)
{
    bool dead;

    plat_lock(&h->lock);
    dead = is_dead_locked(h, t);
    plat_unlock(&h->lock);
    return dead;
}

/* As the store does with one that it has given up: what it reads is how things are, what it does counts for nothing. */
static struct message *ask_in_dead(struct xs_handle *h, uint32_t type, const struct piece *pieces,
                                   size_t nr)
{
    bool commits = type == XS_TRANSACTION_END && nr && *(const char *)pieces[0].data == 'T';

    if (type == XS_READ || type == XS_DIRECTORY || type == XS_DIRECTORY_PART ||
        type == XS_GET_PERMS)
        return ask_once(h, type, XBT_NULL, pieces, nr);
    if (!commits)
        return calloc(1, sizeof(struct message) + 1);
    errno = EAGAIN;
    return NULL;
}

struct message *xs_ask(struct xs_handle *h, uint32_t type, xs_transaction_t t,
                       const struct piece *pieces, size_t nr)
{
    struct message *m = ask_once(h, type, t, pieces, nr);

    if (m == NULL && errno == EAGAIN && t != XBT_NULL) {
        if (is_dead(h, t))
            return ask_in_dead(h, type, pieces, nr);
        errno = EAGAIN;
    }
    return m;
}

struct message *xs_next_event(struct xs_handle *h, bool waits)
{
    unsigned int nr_gave_up;
    struct message *m;
    int error;

    plat_lock(&h->lock);
    nr_gave_up = waits ? want(h) : h->nr_gave_up;
    if (!h->has_reader && h->stream == NULL && is_usable(h))
        connect_anew(h);
    if (!h->has_reader) {
        push(h);
        pull(h);
    }
    while (waits && h->events == NULL && !is_over(h, nr_gave_up))
        wait_for_change(h);
    m = h->events;
    error = m ? 0 : is_usable(h) && !is_over(h, nr_gave_up) ? EAGAIN : why_over(h);
    if (m)
        h->events = m->next;
    if (h->events == NULL)
        h->events_end = &h->events;
    else if (h->program) /* whoever takes one only is called again */
        plat_wake(&h->ready);
    plat_unlock(&h->lock);
    if (error)
        errno = error;
    return m;
}
