/*
 * consoled.h: the console daemon. It takes what each guest prints out of the guest's console ring
 * (<xen/io/console.h>), keeps the last of it in memory and more of it in a file, and lets any number of
 * clients be the guest's terminal.
 *
 * A client connects to the daemon's socket and sends one line: "attach WHO" and a newline, WHO being a
 * domain's id or its name, or "channel N WHO" for a console beside the domain's first (N is 1 or more). The answer is a line: "ok ID NAME", or "error " and why not, and then the end. What
 * follows "ok" are bytes: to the guest what is typed, from it first what nobody has been shown yet, as far
 * as it is kept, then what it prints. Whoever is too slow to be shown all is told in the text how much is
 * missing. After the guest's end comes the stream's. A dead guest can still be attached to for what it said
 * last, until DEAD_MAX others have died.
 *
 * Consoles beside the first are devices of the class console by xenbus, of which the toolstack says type xenconsoled
 * in the backend's folder. One with connection socket has a socket of its own, at path: whoever connects there is at
 * it at once, one client at a time.
 */
#pragma once
#include <platform.h>

#define CONSOLED_SOCKET "/run/xen-like-console" /* where clients expect it */

struct consoled_options {
    const char *socket; /* where it listens */
    const char *
        log_folder; /* has guest-NAME.log, of other consoles channel-N-NAME.log, and with .1 behind it what was
                       before; NULL: no files */
    size_t log_bytes; /* of either file, about */
    bool
        drop_logs; /* of a guest that is dead, when DEAD_MAX others have died after it: files are in memory */
    size_t history_bytes; /* of what is kept in memory of each guest; 1 at least */

    /*
     * For clients that look for a terminal at console/tty in the store: make one.
     * @path  receives its name
     * Returns its other end, a stream; NULL with errno. tty_open NULL: there are none.
     */
    struct plat_stream *(*tty_open)(char *path, size_t size);
    void (*tty_close)(struct plat_stream *tty);
};

struct consoled;

/**
 * Serve all guests that there are and will be, by the loop.
 * @o  copied; its strings are kept by the caller
 * Returns NULL: the log says why not.
 */
struct consoled *consoled_start(struct plat_loop *loop, const struct consoled_options *o);

/** It serves no more; clients see the end. */
void consoled_stop(struct consoled *d);

/**
 * Be a client, until the guest or the daemon ends it, the terminal's input ends, or Ctrl-] is typed.
 * @loop      not running
 * @terminal  not watched; what comes from it is typed, and what is printed goes there
 * @who       a domain's id or name
 * @number    of its console, 0 being the first
 * @attached  called with @arg once nothing that the guest says can be missed any more; NULL: nobody wants to know
 * Returns 0; -1: the terminal says why not.
 */
int console_attach(struct plat_loop *loop, struct plat_stream *terminal, const char *socket,
                   const char *who, unsigned int number, void (*attached)(void *arg), void *arg);

/**
 * The same at any stream.
 * @peer  not watched; it stays open
 * Returns whether it has ended; else it was the user who did.
 */
bool console_talk(struct plat_loop *loop, struct plat_stream *terminal, struct plat_stream *peer);
