/*
 * The embedded control domain: one image with the store, the console daemon and a prompt, each a thread
 * with a loop of its own. They meet as they would on Linux: by the store's socket and the console
 * daemon's, which are names in memory here.
 *
 * Not yet as designed: the daemons share the prompt's heap, so none can be killed and started again alone.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../xenstore/daemon.h"
#include "../consoled/consoled.h"
#include "commands.h"
#include "power.h"

enum { STORE_BYTES = 16 << 20, LINE_BYTES = 1024, WORDS = 64 };

/* ---- the daemons ---- */

static bool start_store(struct plat_loop *loop)
{
    struct stored_options o = {
        .socket = xs_daemon_socket(), .region = "store", .size_bytes = STORE_BYTES, .rings = true
    };

    return stored_start(loop, &o) == 0;
}

static bool start_consoled(struct plat_loop *loop)
{
    struct consoled_options o = { .socket = CONSOLED_SOCKET,
                                  .log_folder = "/var/log/xen/console",
                                  .log_bytes = 64 << 10,
                                  .history_bytes = 32 << 10 };

    return consoled_start(loop, &o) != NULL;
}

static struct service {
    const char *name;
    bool (*start)(struct plat_loop *loop); /* false: the log says why not */
    enum { STARTING, SERVES, FAILED } state;
} services[] = {
    { .name = "store", .start = start_store },
    { .name = "consoled", .start = start_consoled },
};
static struct plat_mutex lock; /* guards each service's state */
static struct plat_cond changed;

static void serve(void *arg)
{
    struct service *s = arg;
    struct plat_loop *loop = plat_loop_new();
    bool ok = loop && s->start(loop);

    plat_lock(&lock);
    s->state = ok ? SERVES : FAILED;
    plat_cond_broadcast(&changed);
    plat_unlock(&lock);
    if (ok && plat_loop_run(loop))
        plat_log(PLAT_ERROR, "%s: %s", s->name, strerror(errno));
}

/* One after the other: each uses those before it. */
static bool start_services(void)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        struct service *s = &services[i];

        if (plat_thread_start(s->name, serve, s) == NULL)
            return false;
        plat_lock(&lock);
        while (s->state == STARTING)
            plat_cond_wait(&changed, &lock, PLAT_NEVER);
        plat_unlock(&lock);
        if (s->state == FAILED) {
            plat_log(PLAT_ERROR, "%s does not start", s->name);
            return false;
        }
    }
    return true;
}

/* ---- the prompt ---- */

static int run_help(struct prompt *p, int argc, char **argv)
{
    (void)p;
    (void)argc;
    (void)argv;
    for (const struct command *const *t = command_tables; *t; t++)
        for (const struct command *c = *t; c->name; c++) {
            int n = printf("%s %s", c->name, c->arguments);

            printf("%*s %s\n", n < 30 ? 30 - n : 0, "", c->what);
        }
    return 0;
}

static int run_poweroff(struct prompt *p, int argc, char **argv)
{
    const char *what;

    (void)p;
    (void)argc;
    (void)argv;
    machine_off(&what);
    printf("poweroff: %s: %s\n", what, strerror(errno));
    return 1;
}

static int run_console(struct prompt *p, int argc, char **argv)
{
    if (argc != 2) {
        printf("usage: console DOMAIN\n");
        return 2;
    }
    fflush(stdout);
    return console_attach(p->loop, p->terminal, CONSOLED_SOCKET, argv[1]) ? 1 : 0;
}

static const struct command own_commands[] = {
    { "console", "DOMAIN", "be a domain's terminal; Ctrl-] ends that", run_console },
    { "help", "", "show this", run_help },
    { "poweroff", "", "switch the machine off", run_poweroff },
    { 0 },
};

const struct command *const command_tables[] = { store_commands, adopt_commands, own_commands,
                                                 NULL };

static int run(struct prompt *p, int argc, char **argv)
{
    for (const struct command *const *t = command_tables; *t; t++)
        for (const struct command *c = *t; c->name; c++)
            if (strcmp(c->name, argv[0]) == 0)
                return c->run(p, argc, argv);
    printf("%s: there is no such command; help shows those there are\n", argv[0]);
    return 127;
}

/* Words are what blanks part; what lies between quotation marks is of one word. */
static int split(char *line, char **words)
{
    char *to = line;
    int n = 0;

    for (;;) {
        bool quoted = false;

        while (*line == ' ' || *line == '\t')
            line++;
        if (*line == '\0' || n == WORDS - 1)
            break;
        words[n++] = to;
        for (; *line && (quoted || (*line != ' ' && *line != '\t')); line++)
            if (*line == '"')
                quoted = !quoted;
            else
                *to++ = *line;
        if (*line)
            line++;
        *to++ = '\0';
    }
    words[n] = NULL;
    return n;
}

static void run_line(struct prompt *p, char *line)
{
    char *words[WORDS];
    int n = split(line, words), rc = n ? run(p, n, words) : 0;

    if (rc)
        printf("(%d)\n", rc);
}

struct input {
    struct prompt prompt;
    char line[LINE_BYTES];
    size_t len;
    bool complete;
};

/* A key: what it shows is written at once. */
static void key(struct input *in, char c)
{
    if (c == '\r' || c == '\n') {
        in->complete = true;
        putchar('\n');
    } else if ((c == '\b' || c == 0x7f) && in->len) {
        in->len--;
        printf("\b \b");
    } else if (c == 0x15) { /* Ctrl-U */
        for (; in->len; in->len--)
            printf("\b \b");
    } else if ((unsigned char)c >= ' ' && c != 0x7f && in->len < LINE_BYTES - 1) {
        in->line[in->len++] = c;
        putchar(c);
    }
    fflush(stdout);
}

/* Only up to the end of a line: what is behind it may be for the command. */
static void on_input(void *arg, unsigned int ready)
{
    struct input *in = arg;
    ssize_t n = 0;
    char c;

    (void)ready;
    while (!in->complete && (n = plat_read(in->prompt.terminal, &c, 1)) == 1)
        key(in, c);
    if (in->complete || n == 0 || (n < 0 && errno != EAGAIN))
        plat_loop_stop(in->prompt.loop);
}

/* Until there is no more input. */
static void serve_prompt(struct input *in)
{
    do {
        printf("control> ");
        fflush(stdout);
        in->len = 0;
        in->complete = false;
        plat_watch(in->prompt.loop, in->prompt.terminal, PLAT_READABLE, on_input, in);
        if (plat_loop_run(in->prompt.loop))
            break;
        plat_watch(in->prompt.loop, in->prompt.terminal, 0, NULL, NULL);
        in->line[in->len] = '\0';
        if (in->complete)
            run_line(&in->prompt, in->line);
    } while (in->complete);
}

int main(void)
{
    static struct input in;

    if (!start_services())
        return 1;
    in.prompt.loop = plat_loop_new();
    in.prompt.terminal = plat_console();
    in.prompt.xs = xs_open(0);
    if (in.prompt.loop == NULL || in.prompt.terminal == NULL || in.prompt.xs == NULL) {
        plat_log(PLAT_ERROR, "no prompt: %s", strerror(errno));
        return 1;
    }
    printf("xen-like control domain, ready at %u ms. help shows what can be done.\n",
           (unsigned int)(plat_now() / 1000000));
    serve_prompt(&in);
    return 0;
}
