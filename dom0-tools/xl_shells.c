/* xl shells. */
#include <stdio.h>
#include <stdlib.h>

#include <platform.h>

#include "json.h"
#include "lib/shell.h"
#include "xl.h"

#define LOOK_NS 100000000u
enum { PATIENCE = 600 }; /* looks without one more */

static int failed(struct xl *x) { return xl_fail(x, "xl: %s", x->tools.error); }

static bool parse_number(const char *text, unsigned long max, unsigned long *n)
{
    char *end;

    *n = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *n <= max;
}

/* What is not said stays: "shells 4" are more, or fewer, of the same. */
static int want(struct xl *x, const struct options *o)
{
    struct shells_wish wish;
    unsigned long long kib;
    unsigned long n;

    if (shells_wanted(&x->tools, &wish))
        return failed(x);
    if (!parse_number(o->args[0], SHELLS_MAX, &n))
        return xl_fail(x, "xl: shells: %s is not a number up to %d", o->args[0], SHELLS_MAX);
    wish.nr = (unsigned int)n;
    if (o->nr_args > 1) {
        if (parse_size(o->args[1], &kib))
            return xl_fail(x, "invalid memory size: %s", o->args[1]);
        wish.memory_kib = kib;
        wish.nr_vcpus = 1;
    }
    if (o->nr_args > 2) {
        if (!parse_number(o->args[2], UINT16_MAX, &n))
            return xl_fail(x, "xl: shells: %s is no number of vCPUs", o->args[2]);
        wish.nr_vcpus = (unsigned int)n;
    }
    if (wish.nr && x->home && x->home->want_attendant && x->home->want_attendant(x) != EXIT_OK)
        return EXIT_FAILED;
    return shells_want(&x->tools, &wish) ? failed(x) : EXIT_OK;
}

/* Why there is not one more; "": nobody knows. */
static const char *why_not(struct xl *x, const struct shells_wish *wish, char *text, size_t size)
{
    uint64_t nr_free;

    text[0] = '\0';
    if (shells_room(&x->tools, wish, &nr_free) == 0)
        snprintf(text, size, "too little memory for one more: %llu MiB are free",
                 (unsigned long long)nr_free >> 8);
    return text;
}

/* Who attends to guests makes them. */
static int wait(struct xl *x)
{
    struct plat_mutex lock = { { 0 } };
    struct plat_cond never = { { 0 } };
    struct shell shells[SHELLS_MAX];
    struct shells_wish wish;
    int nr, most = 0, rc = EXIT_OK;
    unsigned int looks = 0;
    char why[80];

    plat_lock(&lock);
    while (rc == EXIT_OK) {
        nr = shells_wanted(&x->tools, &wish) ? -1 : shells_ready(&x->tools, shells);
        if (nr >= (int)wish.nr)
            break;
        looks = nr > most ? 0 : looks + 1;
        most = nr > most ? nr : most;
        if (nr < 0)
            rc = failed(x);
        else if (looks == PATIENCE)
            rc = xl_fail(x, "xl: shells: there are %d, and do not become more%s%s", nr,
                         *why_not(x, &wish, why, sizeof(why)) ? ": " : "", why);
        else
            plat_cond_wait(&never, &lock, plat_now() + LOOK_NS);
    }
    plat_unlock(&lock);
    return rc;
}

static void print_row(struct json *j, struct xl *x, const struct shell *s)
{
    if (j == NULL) {
        text_printf(&x->out, "%5u %5llu %5u\n", s->id, (unsigned long long)s->nr_pages >> 8,
                    s->nr_vcpus);
        return;
    }
    json_object(j, NULL);
    json_uint(j, "id", s->id);
    json_uint(j, "memory_kib", s->nr_pages * 4);
    json_uint(j, "vcpus", s->nr_vcpus);
    json_end(j);
}

static void print_wish(struct json *j, struct xl *x, const struct shells_wish *wish)
{
    if (j) {
        json_uint(j, "wanted", wish->nr);
        json_uint(j, "memory_kib", wish->memory_kib);
        json_uint(j, "vcpus", wish->nr_vcpus);
    } else if (wish->nr) {
        text_printf(&x->out, "%u wanted of %llu MiB with %u vCPUs\n", wish->nr,
                    (unsigned long long)wish->memory_kib >> 10, wish->nr_vcpus);
    } else {
        text_printf(&x->out, "none wanted\n");
    }
}

static int show(struct xl *x, const struct options *o)
{
    struct json json = { .out = &x->out }, *j = option_value(o, "json") ? &json : NULL;
    struct shell shells[SHELLS_MAX];
    struct shells_wish wish;
    char why[80];
    int nr;

    if (shells_wanted(&x->tools, &wish) || (nr = shells_ready(&x->tools, shells)) < 0)
        return failed(x);
    if (j)
        json_object(j, NULL);
    print_wish(j, x, &wish);
    if (j)
        json_array(j, "shells");
    else
        text_printf(&x->out, "   ID   Mem VCPUs\n");
    for (int i = 0; i < nr; i++)
        print_row(j, x, &shells[i]);
    if (j) {
        json_end(j);
        json_end(j);
    } else if (nr < (int)wish.nr && *why_not(x, &wish, why, sizeof(why))) {
        text_printf(&x->out, "%s\n", why);
    }
    return EXIT_OK;
}

int xl_shells(struct xl *x, const struct options *o)
{
    bool waits = option_value(o, "w") != NULL;
    int rc = o->nr_args ? want(x, o) : EXIT_OK;

    if (rc == EXIT_OK && waits)
        rc = wait(x);
    if (rc == EXIT_OK && o->nr_args == 0 && !waits)
        rc = show(x, o);
    return rc;
}
