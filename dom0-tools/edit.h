/*
 * A line typed at a terminal: shown, edited, completed and remembered. All in one loop's thread.
 *
 * Keys: cursor left and right, Home, End, Delete, Ctrl-A, -E, -B, -F; Ctrl-U, -K, -W remove what is before the
 * cursor, what is behind it, a word; cursor up and down, Ctrl-P, -N: earlier and later lines; Tab completes, twice
 * shows what is possible; Ctrl-L clears the screen, Ctrl-C gives the line up, Ctrl-D at an empty line ends the input.
 */
#pragma once
#include <platform.h>
#include <stdbool.h>

enum {
    EDIT_LINE = 1024,
    EDIT_HISTORY = 64
}; /* bytes of a line, with its zero; lines that are remembered */

struct edit;

/** None of these may free it but line(). */
struct edit_user {
    void *arg;
    /*
     * A line was entered, and nothing is read until edit_start(). It may be changed up to then.
     * NULL: there is no more, the input has ended.
     */
    void (*line)(void *arg, char *line);
    /*
     * Call edit_candidate() for each word that can stand there (those that do not begin with word, too).
     * before  what stands before the word, with the space
     */
    void (*complete)(void *arg, struct edit *e, const char *before, const char *word);
};

/**
 * @s     of plat_console() or the like: bytes as they are typed, without echo. Read byte by byte, so that what
 *        stands behind a line is somebody else's
 * @show  false: it is a script, show no prompt and no line
 * @user  copied
 * NULL: ENOMEM.
 */
struct edit *edit_new(struct plat_loop *l, struct plat_stream *s, bool show,
                      const struct edit_user *user);

/** Its stream stays open. */
void edit_free(struct edit *e);

/** Show the prompt (of up to 60 columns; kept, not copied) and take a line. */
void edit_start(struct edit *e, const char *prompt);

/** Within complete() only. */
void edit_candidate(struct edit *e, const char *word);
