/* xl's commands at the prompt. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../consoled/consoled.h"
#include "../print.h"
#include "commands.h"

enum { CTRL_C = 3 };

static void put(struct text *t)
{
    if (t->len_bytes)
        fwrite(t->bytes, 1, t->len_bytes, stdout);
    text_free(t);
}

static void show(struct xl *x)
{
    put(&x->out);
    put(&x->err);
    fflush(stdout);
}

/* Also of a domain that is dead, as long as the console daemon knows it: its word counts. */
static int console(struct xl *x, const char *who, unsigned int number, void (*attached)(void *arg),
                   void *arg)
{
    struct prompt *p = x->place;

    show(x);
    return console_attach(p->loop, p->terminal, CONSOLED_SOCKET, who, number, attached, arg)
               ? EXIT_FAILED
               : EXIT_OK;
}

struct pause {
    struct prompt *p;
    bool enough;
};

static void on_time(void *arg)
{
    struct pause *pause = arg;

    plat_loop_stop(pause->p->loop);
}

static void on_key(void *arg, unsigned int ready)
{
    struct pause *pause = arg;
    char c = 0;
    ssize_t n = plat_read(pause->p->terminal, &c, 1);

    (void)ready;
    if (n == 1 ? c != 'q' && c != CTRL_C : n < 0 && errno == EAGAIN)
        return;
    pause->enough = true;
    plat_loop_stop(pause->p->loop);
}

/* There are no signals: Ctrl-C is a key. */
static bool wait(struct xl *x, unsigned int seconds, bool keys)
{
    struct prompt *p = x->place;
    struct pause pause = { .p = p };
    struct plat_timer timer = { .fn = on_time, .arg = &pause };

    plat_timer_set(p->loop, &timer, plat_now() + seconds * 1000000000ull);
    plat_watch(p->loop, p->terminal, keys ? PLAT_READABLE : 0u, on_key, &pause);
    plat_loop_run(p->loop);
    plat_watch(p->loop, p->terminal, 0, NULL, NULL);
    plat_timer_cancel(&timer);
    return !pause.enough;
}

/* What takes long asks again and again: once is enough. */
static bool is_interrupted;

static bool interrupted(void)
{
    is_interrupted = is_interrupted || plat_console_interrupted();
    return is_interrupted;
}

static void heed_interrupts(bool on)
{
    (void)on;
    is_interrupted = false;
}

/* This is no Linux: what `xl info` shows of one there has no names here. */
static void kernel(struct xl_info *info)
{
    info->host = "control";
    info->release = "xen-like";
    info->version = "embedded control domain";
    info->machine = "x86_64";
}

int run_xl(struct prompt *p, int argc, char **argv)
{
    static const struct xl_home home = { .show = show,
                                         .console = console,
                                         .wait = wait,
                                         .kernel = kernel,
                                         .heed_interrupts = heed_interrupts };
    int rc;

    p->xl.home = &home;
    p->xl.place = p;
    p->xl.tools.interrupted = interrupted;
    is_interrupted = false; /* of another command */
    rc = xl_run(&p->xl, argc, argv);
    show(&p->xl);
    return rc;
}

void add_domain_names(void *prompt, void (*add)(void *arg, const char *word), void *arg)
{
    struct prompt *p = prompt;
    guest_info_t *infos;
    size_t nr;

    if (guest_list(&p->xl.tools, &infos, &nr))
        return;
    for (size_t i = 0; i < nr; i++) {
        char *name = guest_name(&p->xl.tools, infos[i].domain);

        if (name)
            add(arg, name);
        free(name);
    }
    free(infos);
}
