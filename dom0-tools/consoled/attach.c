/* The client's side. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "consoled.h"

enum { DETACH = 0x1d }; /* Ctrl-] */

/* Bytes on their way from one stream to another. */
struct pipe {
    struct plat_stream *from, *to;
    char buf[512];
    size_t at, len;
};

struct session {
    struct plat_loop *loop;
    struct pipe typed, shown;
    void (*attached)(void *arg);
    void *arg;
    bool answered;   /* the daemon's first line has come: what is typed before is not for a guest */
    bool refused;    /* by that line */
    bool detached;   /* Ctrl-] */
    bool no_more;    /* is typed: that was all */
    bool peer_ended; /* what it has said is still shown */
};

static void on_ready(void *arg, unsigned int ready);

static void watch(struct session *s)
{
    bool types = s->typed.len == 0 && s->answered && !s->no_more;
    bool shows = s->answered && s->shown.len;
    unsigned int terminal = (types ? PLAT_READABLE : 0u) | (shows ? PLAT_WRITABLE : 0u);
    unsigned int peer = (shows || s->peer_ended ? 0u : PLAT_READABLE) |
                        (s->typed.len && !s->peer_ended ? PLAT_WRITABLE : 0u);

    plat_watch(s->loop, s->typed.from, terminal, on_ready, s);
    plat_watch(s->loop, s->typed.to, peer, on_ready, s);
}

/* Behind what there is. Returns false at the end of either. */
static bool fill(struct pipe *p)
{
    ssize_t n = plat_read(p->from, p->buf + p->len, sizeof(p->buf) - p->len);

    if (n < 0)
        return errno == EAGAIN;
    p->at = 0;
    p->len += (size_t)n;
    return n > 0;
}

static bool empty(struct pipe *p)
{
    ssize_t n = p->len ? plat_write(p->to, p->buf + p->at, p->len) : 0;

    if (n < 0)
        return errno == EAGAIN;
    p->at += (size_t)n;
    p->len -= (size_t)n;
    return true;
}

/* The daemon's line, as soon as it is whole, is not the guest's: "ok ..." is not shown, of "error ..." why not. */
static void take_answer(struct session *s)
{
    struct pipe *p = &s->shown;
    char *end = memchr(p->buf, '\n', p->len);

    if (s->answered || (end == NULL && p->len < sizeof(p->buf)))
        return;
    s->answered = true;
    s->refused = end == NULL || memcmp(p->buf, "ok ", 3) != 0;
    if (s->refused && memcmp(p->buf, "error ", 6) == 0) {
        p->at = 2;
        p->len -= 2;
        memcpy(p->buf + p->at, "xl: ", 4);
    }
    if (s->refused)
        return;
    p->at = (size_t)(end + 1 - p->buf);
    p->len -= p->at;
    if (s->attached)
        s->attached(s->arg);
}

/* Byte by byte: what is typed behind Ctrl-] is for whoever has the terminal then. */
static void fill_typed(struct session *s)
{
    struct pipe *p = &s->typed;
    ssize_t n = 1;
    char c;

    if (p->len || !s->answered)
        return;
    p->at = 0;
    while (p->len < sizeof(p->buf) && !s->detached && (n = plat_read(p->from, &c, 1)) == 1) {
        s->detached = c == DETACH;
        if (!s->detached)
            p->buf[p->len++] = c;
    }
    s->no_more |= n == 0 || (n < 0 && errno != EAGAIN);
}

/* What was typed before the end of a script is still for the guest; Ctrl-] waits for nobody. */
static void on_ready(void *arg, unsigned int ready)
{
    struct session *s = arg;
    bool is_shown;

    (void)ready;
    if (!s->answered || s->shown.len == 0)
        s->peer_ended |= !fill(&s->shown);
    take_answer(s);
    is_shown = !s->answered || empty(&s->shown);
    if (!s->refused)
        fill_typed(s);
    s->peer_ended |= !empty(&s->typed);
    if (!is_shown || s->detached || (s->peer_ended && (s->shown.len == 0 || !s->answered)) ||
        (s->refused && s->shown.len == 0) || (s->no_more && s->typed.len == 0))
        plat_loop_stop(s->loop);
    else
        watch(s);
}

static void talk(struct session *s)
{
    watch(s);
    plat_loop_run(s->loop);
    plat_watch(s->loop, s->typed.from, 0, NULL, NULL);
    plat_watch(s->loop, s->typed.to, 0, NULL, NULL);
}

bool console_talk(struct plat_loop *loop, struct plat_stream *terminal, struct plat_stream *peer)
{
    struct session s = { .loop = loop,
                         .typed = { .from = terminal, .to = peer },
                         .shown = { .from = peer, .to = terminal },
                         .answered = true };

    talk(&s);
    return s.peer_ended;
}

int console_attach(struct plat_loop *loop, struct plat_stream *terminal, const char *socket,
                   const char *who, unsigned int number, void (*attached)(void *arg), void *arg)
{
    struct plat_stream *daemon = plat_connect(socket);
    struct session s = { .loop = loop,
                         .typed = { .from = terminal, .to = daemon },
                         .shown = { .from = daemon, .to = terminal },
                         .attached = attached,
                         .arg = arg };
    char text[160];
    int len;

    if (daemon == NULL) {
        len = snprintf(text, sizeof(text), "%s: %s\r\n", socket, strerror(errno));
        plat_write(terminal, text, (size_t)len);
        return -1;
    }
    if (number)
        len = snprintf(s.typed.buf, sizeof(s.typed.buf), "channel %u %s\n", number, who);
    else
        len = snprintf(s.typed.buf, sizeof(s.typed.buf), "attach %s\n", who);
    if (len >= (int)sizeof(s.typed.buf))
        len = sizeof(s.typed.buf) - 1;
    s.typed.len = (size_t)len;
    talk(&s);
    plat_close(daemon);
    return s.refused || !s.answered ? -1 : 0;
}
