/*
 * See edit.h. The line is shown on one line of the terminal; of a long one the part around the cursor.
 * Bytes from 0x80 on are UTF-8, each character as wide as another.
 */
#include "edit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum {
    COLUMNS = 80,
    OUTPUT_MAX = 4096, /* while more waits for the terminal, no keys are taken */
};

#define CTRL(letter) ((letter)&0x1f)

enum key_state { KEY_PLAIN, KEY_ESCAPE, KEY_SEQUENCE }; /* behind ESC; behind ESC [ or ESC O */

struct edit {
    struct plat_loop *loop;
    struct plat_stream *stream;
    struct edit_user user;
    bool show;
    const char *prompt;
    struct text output; /* what the terminal has not taken yet */
    size_t written;

    char line[EDIT_LINE];
    size_t len, cursor;
    bool watched;
    bool complete; /* entered: the user is told once the output is written */
    bool ended;
    bool was_return; /* a line feed behind it is none */
    bool was_tab;
    bool stale; /* the line is not shown as it is by now */
    enum key_state state;
    unsigned int number; /* in a sequence: ESC [ 3 ~ */

    char *history[EDIT_HISTORY];    /* the latest is the first */
    unsigned int nr_history, shown; /* 0: the line itself, n: history[n - 1] */
    char own[EDIT_LINE];            /* the line itself while another is shown */

    char prefix[EDIT_LINE]; /* of the word that is completed */
    char common[EDIT_LINE]; /* what all candidates begin with */
    unsigned int nr_candidates;
    bool listing;
};

/* ---- output ---- */

static void put(struct edit *e, const char *bytes, size_t len)
{
    if (e->show)
        text_put(&e->output, bytes, len);
}

static void puts_(struct edit *e, const char *string) { put(e, string, strlen(string)); }

static bool is_inside(char c) { return ((unsigned char)c & 0xc0) == 0x80; } /* of a character */

static size_t columns(const char *from, const char *to)
{
    size_t nr = 0;

    for (; from < to; from++)
        nr += !is_inside(*from);
    return nr;
}

/* The prompt, as much as has room of the line, and the cursor in its place. */
static void draw(struct edit *e)
{
    size_t room = COLUMNS - 1 - columns(e->prompt, e->prompt + strlen(e->prompt));
    const char *from = e->line, *to = e->line + e->len, *cursor = e->line + e->cursor;

    while (columns(from, cursor) > room || (from > e->line && is_inside(*from)))
        from++;
    while (columns(from, to) > room)
        to--;
    puts_(e, "\r");
    puts_(e, e->prompt);
    put(e, from, (size_t)(to - from));
    puts_(e, "\x1b[K");
    for (size_t back = columns(cursor, to); back; back--)
        puts_(e, "\b");
}

/* Once for all keys that are there: who pastes a long line would have all of it drawn for each byte. */
static void redraw(struct edit *e) { e->stale = true; }

/* Before anything else is written. */
static void settle(struct edit *e)
{
    if (e->stale)
        draw(e);
    e->stale = false;
}

static void bell(struct edit *e) { puts_(e, "\a"); }

/* ---- changes of the line ---- */

static void insert(struct edit *e, const char *bytes, size_t len)
{
    bool at_end = e->cursor == e->len;

    if (len >= sizeof(e->line) - e->len) {
        bell(e);
        return;
    }
    memmove(e->line + e->cursor + len, e->line + e->cursor, e->len - e->cursor + 1);
    memcpy(e->line + e->cursor, bytes, len);
    e->cursor += len;
    e->len += len;
    if (at_end && !e->stale && columns(e->prompt, e->prompt + strlen(e->prompt)) + e->len < COLUMNS)
        put(e, bytes, len); /* the usual case */
    else
        redraw(e);
}

static void remove_range(struct edit *e, size_t from, size_t to)
{
    memmove(e->line + from, e->line + to, e->len - to + 1);
    e->len -= to - from;
    e->cursor = from;
    redraw(e);
}

static size_t before_cursor(const struct edit *e)
{
    size_t at = e->cursor;

    while (at && is_inside(e->line[--at]))
        ;
    return at;
}

static size_t behind_cursor(const struct edit *e)
{
    size_t at = e->cursor;

    if (at < e->len)
        at++;
    while (at < e->len && is_inside(e->line[at]))
        at++;
    return at;
}

static size_t word_before(const struct edit *e)
{
    size_t at = e->cursor;

    while (at && e->line[at - 1] == ' ')
        at--;
    while (at && e->line[at - 1] != ' ')
        at--;
    return at;
}

static void move_to(struct edit *e, size_t at)
{
    e->cursor = at;
    redraw(e);
}

/* ---- history ---- */

static void remember(struct edit *e)
{
    char *line;

    if (e->len == 0 || (e->nr_history && strcmp(e->history[0], e->line) == 0))
        return;
    line = strdup(e->line);
    if (line == NULL)
        return;
    if (e->nr_history == EDIT_HISTORY)
        free(e->history[--e->nr_history]);
    memmove(e->history + 1, e->history, e->nr_history * sizeof(e->history[0]));
    e->history[0] = line;
    e->nr_history++;
}

static void show_history(struct edit *e, unsigned int n)
{
    const char *line;

    if (n > e->nr_history) { /* also below 0 */
        bell(e);
        return;
    }
    if (e->shown == 0)
        memcpy(e->own, e->line, sizeof(e->own));
    e->shown = n;
    line = n ? e->history[n - 1] : e->own;
    e->len = strlen(line);
    memcpy(e->line, line, e->len + 1);
    move_to(e, e->len);
}

/* ---- completion ---- */

void edit_candidate(struct edit *e, const char *word)
{
    size_t same = 0;

    if (strncmp(word, e->prefix, strlen(e->prefix)) != 0 || strlen(word) >= sizeof(e->common))
        return;
    if (e->listing) {
        puts_(e, word);
        puts_(e, "  ");
        return;
    }
    if (e->nr_candidates++ == 0) {
        memcpy(e->common, word, strlen(word) + 1);
        return;
    }
    while (word[same] && word[same] == e->common[same])
        same++;
    e->common[same] = '\0';
}

static void ask(struct edit *e, bool listing)
{
    char before[EDIT_LINE];
    size_t start = e->cursor;

    while (start && e->line[start - 1] != ' ')
        start--;
    memcpy(before, e->line, start);
    before[start] = '\0';
    memcpy(e->prefix, e->line + start, e->cursor - start);
    e->prefix[e->cursor - start] = '\0';
    e->listing = listing;
    e->nr_candidates = 0;
    e->common[0] = '\0';
    e->user.complete(e->user.arg, e, before, e->prefix);
}

static void complete(struct edit *e, bool again)
{
    const char *rest;

    if (e->user.complete == NULL)
        return;
    ask(e, false);
    rest = e->common + strlen(e->prefix);
    if (e->nr_candidates == 0) {
        bell(e);
    } else if (e->nr_candidates == 1) {
        insert(e, rest, strlen(rest));
        insert(e, " ", 1);
    } else if (*rest) {
        insert(e, rest, strlen(rest));
    } else if (again) {
        settle(e);
        puts_(e, "\r\n");
        ask(e, true);
        puts_(e, "\r\n");
        redraw(e);
    } else {
        bell(e);
    }
}

/* ---- keys ---- */

static void entered(struct edit *e)
{
    remember(e);
    settle(e);
    puts_(e, "\r\n");
    e->complete = true;
}

static void control_d(struct edit *e)
{
    if (e->len) {
        remove_range(e, e->cursor, behind_cursor(e));
        return;
    }
    settle(e);
    puts_(e, "\r\n");
    e->ended = true;
}

/* The line is given up: an empty one takes its place. */
static void control_c(struct edit *e)
{
    settle(e);
    puts_(e, "^C\r\n");
    e->len = e->cursor = 0;
    e->line[0] = '\0';
    e->shown = 0;
    redraw(e);
}

static void control_key(struct edit *e, char key)
{
    switch (key) {
    case CTRL('A'): move_to(e, 0); break;
    case CTRL('E'): move_to(e, e->len); break;
    case CTRL('B'): move_to(e, before_cursor(e)); break;
    case CTRL('F'): move_to(e, behind_cursor(e)); break;
    case CTRL('P'): show_history(e, e->shown + 1); break;
    case CTRL('N'): show_history(e, e->shown - 1); break;
    case CTRL('U'): remove_range(e, 0, e->cursor); break;
    case CTRL('K'):
        e->line[e->len = e->cursor] = '\0';
        redraw(e);
        break;
    case CTRL('W'): remove_range(e, word_before(e), e->cursor); break;
    case CTRL('L'):
        puts_(e, "\x1b[H\x1b[2J");
        redraw(e);
        break;
    case '\b':
    case 0x7f: remove_range(e, before_cursor(e), e->cursor); break;
    case CTRL('C'): control_c(e); break;
    case CTRL('D'): control_d(e); break;
    default: bell(e); break;
    }
}

/* ESC [ A, ESC O A, ESC [ 3 ~ */
static void sequence_key(struct edit *e, char key)
{
    static const char keys[] = { [1] = 'H', [3] = '3', [4] = 'F', [7] = 'H', [8] = 'F' };

    if (key >= '0' && key <= '9') {
        e->number = e->number < 100 ? e->number * 10 + (unsigned int)(key - '0') : 100;
        return;
    }
    if (key == ';') { /* modifiers do not matter */
        e->number = 0;
        return;
    }
    e->state = KEY_PLAIN;
    if (key == '~')
        key = e->number < sizeof(keys) ? keys[e->number] : 0;
    switch (key) {
    case 'A': control_key(e, CTRL('P')); break;
    case 'B': control_key(e, CTRL('N')); break;
    case 'C': control_key(e, CTRL('F')); break;
    case 'D': control_key(e, CTRL('B')); break;
    case 'H': control_key(e, CTRL('A')); break;
    case 'F': control_key(e, CTRL('E')); break;
    case '3': remove_range(e, e->cursor, behind_cursor(e)); break;
    default: break; /* some other key */
    }
}

static void plain_key(struct edit *e, char key)
{
    bool was_return = e->was_return, was_tab = e->was_tab;

    e->was_return = key == '\r';
    e->was_tab = key == '\t';
    if (key == '\r' || (key == '\n' && !was_return))
        entered(e);
    else if (key == '\t')
        complete(e, was_tab);
    else if (key == 0x1b)
        e->state = KEY_ESCAPE;
    else if ((unsigned char)key >= ' ' && key != 0x7f)
        insert(e, &key, 1);
    else if (key != '\n')
        control_key(e, key);
}

static void take_key(struct edit *e, char key)
{
    if (e->state == KEY_PLAIN) {
        plain_key(e, key);
    } else if (e->state == KEY_SEQUENCE) {
        sequence_key(e, key);
    } else {
        e->state = key == '[' || key == 'O' ? KEY_SEQUENCE : KEY_PLAIN;
        e->number = 0;
    }
}

/* ---- the stream ---- */

static bool is_over(const struct edit *e) { return e->complete || e->ended; }

/* False: the terminal is gone. */
static bool flush(struct edit *e)
{
    while (e->written < e->output.len_bytes) {
        ssize_t n =
            plat_write(e->stream, e->output.bytes + e->written, e->output.len_bytes - e->written);

        if (n < 0)
            return errno == EAGAIN;
        e->written += (size_t)n;
    }
    text_free(&e->output);
    e->written = 0;
    return true;
}

static bool must_wait(const struct edit *e)
{
    return e->output.len_bytes - e->written > OUTPUT_MAX;
}

static void read_keys(struct edit *e)
{
    while (!is_over(e) && !must_wait(e)) {
        char key;
        ssize_t n = plat_read(e->stream, &key, 1);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n > 0)
            take_key(e, key);
        else if (e->len) /* the last line of a script that does not end with one */
            entered(e);
        else
            e->ended = true;
    }
}

static void ready(void *arg, unsigned int events);

static void watch(struct edit *e)
{
    unsigned int events = is_over(e) || must_wait(e) ? 0 : PLAT_READABLE;

    if (e->output.len_bytes)
        events |= PLAT_WRITABLE;
    if (events || e->watched)
        plat_watch(e->loop, e->stream, events, ready, e);
    e->watched = events != 0;
}

static void ready(void *arg, unsigned int events)
{
    struct edit *e = arg;

    if (events & PLAT_READABLE)
        read_keys(e);
    settle(e);
    if (!flush(e)) {
        text_free(&e->output);
        e->written = 0;
        e->complete = false;
        e->ended = true;
    }
    watch(e);
    if (is_over(e) && e->output.len_bytes == 0)
        e->user.line(e->user.arg, e->ended ? NULL : e->line);
}

struct edit *edit_new(struct plat_loop *l, struct plat_stream *s, bool show,
                      const struct edit_user *user)
{
    struct edit *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return NULL;
    e->loop = l;
    e->stream = s;
    e->show = show;
    e->user = *user;
    return e;
}

void edit_free(struct edit *e)
{
    if (e->watched)
        plat_watch(e->loop, e->stream, 0, NULL, NULL);
    for (unsigned int i = 0; i < e->nr_history; i++)
        free(e->history[i]);
    text_free(&e->output);
    free(e);
}

void edit_start(struct edit *e, const char *prompt)
{
    e->prompt = prompt;
    e->line[0] = '\0';
    e->len = e->cursor = 0;
    e->complete = e->ended = e->was_tab = e->stale = false;
    e->state = KEY_PLAIN;
    e->shown = 0;
    puts_(e, prompt);
    watch(e);
}
