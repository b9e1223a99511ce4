/*
 * Clients. Each has a position in what the guest has said, so that a slow one keeps nobody waiting; what they type
 * is read when the guest's ring has room for it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

struct client {
    struct client *next;
    struct consoled *daemon;
    struct console *console; /* NULL: it has not said which */
    struct plat_stream *stream;
    bool is_peer;      /* at a channel's own socket */
    bool is_tty;       /* always there, so what it takes is not shown to anybody yet */
    bool blocked;      /* nothing more that it has typed is read until the guest takes some */
    char held;         /* if it is blocked: what has been read, and comes first then */
    uint64_t at;       /* the position of what it gets next */
    char line[128];    /* its request; then what is sent before all else */
    size_t len, taken; /* of line */
};

static void on_ready(void *arg, unsigned int ready);

static struct client **list_of(struct client *c)
{
    return c->console ? &c->console->clients : &c->daemon->strangers;
}

static void link_to(struct client *c, struct console *console)
{
    c->console = console;
    c->next = *list_of(c);
    *list_of(c) = c;
}

static void unlink_from(struct client *c)
{
    struct client **at = list_of(c);

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
}

static void on_client(void *arg, unsigned int ready);

static void hear(struct consoled *d)
{
    if (d->deaf)
        plat_watch(d->loop, d->listener, PLAT_READABLE, on_client, d);
    d->deaf = false;
}

static void on_peer(void *arg, unsigned int ready);

static void hear_peers(struct console *c)
{
    if (c->listener)
        plat_watch(c->daemon->loop, c->listener, c->peer ? 0u : PLAT_READABLE, on_peer, c);
}

static void drop(struct client *c)
{
    struct consoled *d = c->daemon;

    unlink_from(c);
    if (c->is_peer) {
        plat_close(c->stream);
        c->console->peer = NULL;
        hear_peers(c->console);
    } else if (c->is_tty) {
        plat_watch(d->loop, c->stream, 0, NULL, NULL);
        d->options.tty_close(c->stream);
        c->console->tty = NULL;
    } else {
        plat_close(c->stream);
        d->nr_clients--;
    }
    hear(d);
    free(c);
}

static void drop_all(struct client *first)
{
    for (struct client *c = first, *next; c; c = next) {
        next = c->next;
        drop(c);
    }
}

/* ---- what it gets ---- */

static void say(struct client *c, const char *text)
{
    c->len = (size_t)snprintf(c->line, sizeof(c->line), "%s", text);
    if (c->len >= sizeof(c->line))
        c->len = sizeof(c->line) - 1;
    c->taken = 0;
}

/* What comes next for it. Returns how many bytes; 0: nothing at present. */
static size_t next_bytes(struct client *c, const char **bytes)
{
    const struct history *h = &c->console->history;
    uint64_t begin = history_begin(h);
    char text[100];

    if (c->taken == c->len && c->at < begin) {
        snprintf(text, sizeof(text), "\r\n[%llu bytes of this console are not kept any more]\r\n",
                 (unsigned long long)(begin - c->at));
        c->at = begin;
        say(c, text);
    }
    *bytes = c->line + c->taken;
    return c->taken < c->len ? c->len - c->taken : history_at(h, c->at, bytes);
}

/* As much as it takes. False: it is gone. */
static bool flush(struct client *c)
{
    const char *bytes;
    size_t len;
    ssize_t n;

    while ((len = next_bytes(c, &bytes)) != 0) {
        n = plat_write(c->stream, bytes, len);
        if (n < 0)
            return errno == EAGAIN;
        if (c->taken < c->len) {
            c->taken += (size_t)n;
            continue;
        }
        c->at += (uint64_t)n;
        if (!c->is_tty && c->at > c->console->shown)
            c->console->shown = c->at;
    }
    return !c->console->gone; /* that was all there will ever be */
}

/* ---- what it types ---- */

/* Returns the room, in which what is held has its place already. */
static int room_for(struct client *c)
{
    int room = console_room(c->console);

    if (!c->blocked || room == 0)
        return room;
    c->blocked = false;
    if (room < 0)
        return room;
    console_give(c->console, &c->held, 1);
    return room - 1;
}

/*
 * False: it is gone. Where there is no room one byte is read all the same: who types nothing more and leaves
 * is seen to leave, however long the guest does not read.
 */
static bool receive(struct client *c)
{
    char buf[IN_BYTES];
    int room = room_for(c);
    ssize_t n;

    if (c->blocked)
        return true;
    n = plat_read(c->stream, buf, room > 0 ? (size_t)room : room == 0 ? 1 : sizeof(buf));
    if (n > 0 && room > 0)
        console_give(c->console, buf, (size_t)n);
    c->blocked = n > 0 && room == 0;
    if (c->blocked)
        c->held = buf[0];
    return n > 0 || (n < 0 && errno == EAGAIN);
}

/* Of those at some guest who wait for it to read, who came first; it may have left. NULL: nobody. */
static struct client *longest_blocked(struct consoled *d)
{
    struct console *lists[] = { d->consoles, d->channels };
    struct client *found = NULL;

    for (int n = 0; n < 2 && found == NULL; n++)
        for (struct console *c = lists[n]; c && found == NULL; c = c->next)
            for (struct client *i = c->clients; i; i = i->next)
                if (i->blocked && !i->is_tty && !i->is_peer)
                    found = i;
    return found;
}

static void watch(struct client *c)
{
    const char *bytes;

    plat_watch(c->daemon->loop, c->stream,
               (c->blocked ? 0u : PLAT_READABLE) |
                   (c->console->gone || next_bytes(c, &bytes) ? PLAT_WRITABLE : 0u),
               on_ready, c);
}

/* ---- what it wants ---- */

static void attach(struct client *c, struct console *console)
{
    char text[sizeof(c->line)];

    unlink_from(c);
    link_to(c, console);
    c->at = console->shown;
    snprintf(text, sizeof(text), "ok %u %s\n", console->domain, console->name);
    say(c, text);
    watch(c);
}

static void refuse(struct client *c, const char *why)
{
    char text[sizeof(c->line)];

    snprintf(text, sizeof(text), "error %s\n", why);
    plat_write(c->stream, text, strlen(text)); /* the first that is written: there is room */
    drop(c);
}

/* "attach WHO", or "channel NUMBER WHO". Returns who, NULL: it is neither. */
static const char *parse_request(const char *line, unsigned int *number)
{
    static const char attach_verb[] = "attach ", channel_verb[] = "channel ";
    unsigned long n;
    char *end;

    *number = 0;
    if (strncmp(line, attach_verb, strlen(attach_verb)) == 0)
        return line + strlen(attach_verb);
    if (strncmp(line, channel_verb, strlen(channel_verb)) != 0)
        return NULL;
    line += strlen(channel_verb);
    n = strtoul(line, &end, 10);
    if (*line < '0' || *line > '9' || *end != ' ' || n > UINT32_MAX)
        return NULL;
    *number = (unsigned int)n;
    return end + 1;
}

static void on_request(struct client *c)
{
    struct console *console;
    unsigned int number;
    const char *who;

    c->line[c->len] = '\0';
    c->taken = c->len;
    who = parse_request(c->line, &number);
    if (who == NULL) {
        refuse(c, "what is understood is: attach WHO, channel NUMBER WHO");
        return;
    }
    console = consoled_find(c->daemon, who, number);
    if (console == NULL) { /* the store may not have told of it yet */
        domains_look(c->daemon);
        console = consoled_find(c->daemon, who, number);
    }
    if (console)
        attach(c, console);
    else
        refuse(c, "there is no such domain with a console");
}

/* Byte by byte: what is behind the line is for the guest. */
static void read_request(struct client *c)
{
    char byte;
    ssize_t n;

    while ((n = plat_read(c->stream, &byte, 1)) == 1) {
        if (byte == '\n') {
            on_request(c);
            return;
        }
        if (c->len == sizeof(c->line) - 1) {
            refuse(c, "that line is too long");
            return;
        }
        c->line[c->len++] = byte;
    }
    if (n == 0 || errno != EAGAIN)
        drop(c);
}

static void on_ready(void *arg, unsigned int ready)
{
    struct client *c = arg;

    if (c->console == NULL)
        read_request(c);
    else if (((ready & PLAT_READABLE) && !receive(c)) || !flush(c))
        drop(c);
    else
        watch(c);
}

/* ---- beginning and end ---- */

static struct client *client_new(struct consoled *d, struct plat_stream *stream)
{
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->daemon = d;
    c->stream = stream;
    return c;
}

static void on_client(void *arg, unsigned int ready)
{
    struct consoled *d = arg;
    struct client *c = d->nr_clients < CLIENTS_MAX ? NULL : longest_blocked(d);
    struct plat_stream *stream;

    (void)ready;
    if (c)
        drop(c);
    stream = d->nr_clients < CLIENTS_MAX ? plat_accept(d->listener) : (errno = EMFILE, NULL);
    c = stream ? client_new(d, stream) : NULL;
    if (c) {
        d->nr_clients++;
        link_to(c, NULL);
        plat_watch(d->loop, stream, PLAT_READABLE, on_ready, c);
    } else if (stream) {
        plat_close(stream);
    } else if (errno != EAGAIN) { /* whoever waits goes on waiting until a client leaves */
        plat_log(PLAT_WARNING, "no client accepted for now: %s", strerror(errno));
        plat_watch(d->loop, d->listener, 0, NULL, NULL);
        d->deaf = true;
    }
}

void clients_hear(struct consoled *d)
{
    if (d->nr_clients < CLIENTS_MAX || longest_blocked(d))
        hear(d);
}

int clients_listen(struct consoled *d)
{
    d->listener = plat_listen(d->options.socket);
    if (d->listener == NULL) {
        plat_log(PLAT_ERROR, "cannot listen at %s: %s", d->options.socket, strerror(errno));
        return -1;
    }
    plat_watch(d->loop, d->listener, PLAT_READABLE, on_client, d);
    return 0;
}

void clients_stop(struct consoled *d)
{
    drop_all(d->strangers);
    if (d->listener)
        plat_close(d->listener);
    d->listener = NULL;
    d->deaf = false;
}

/* The next one waits until this one leaves. */
static void on_peer(void *arg, unsigned int ready)
{
    struct console *c = arg;
    struct plat_stream *stream = plat_accept(c->listener);
    struct client *client = stream ? client_new(c->daemon, stream) : NULL;

    (void)ready;
    if (client) {
        client->is_peer = true;
        client->at = c->shown;
        link_to(client, c);
        c->peer = client;
        hear_peers(c);
        watch(client);
    } else if (stream) {
        plat_close(stream);
    }
}

int clients_listen_for(struct console *c, const char *path)
{
    c->listener = plat_listen(path);
    hear_peers(c);
    return c->listener ? 0 : -1;
}

void clients_unlisten(struct console *c)
{
    if (c->listener)
        plat_close(c->listener);
    c->listener = NULL;
}

void client_tty(struct console *c, struct plat_stream *tty)
{
    struct client *client = client_new(c->daemon, tty);

    if (client == NULL) {
        c->daemon->options.tty_close(tty);
        return;
    }
    client->is_tty = true;
    link_to(client, c);
    c->tty = client;
    watch(client);
}

void clients_output(struct console *c)
{
    for (struct client *i = c->clients; i; i = i->next)
        watch(i);
}

void clients_end(struct console *c)
{
    clients_unlisten(c);
    if (c->tty) {
        flush(c->tty);
        drop(c->tty);
    }
    clients_output(c);
}

void clients_input(struct console *c)
{
    for (struct client *i = c->clients; i; i = i->next) {
        if (i->blocked)
            room_for(i);
        watch(i);
    }
}

void clients_drop(struct console *c) { drop_all(c->clients); }
