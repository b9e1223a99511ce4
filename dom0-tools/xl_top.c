/* xl top: what xentop -b prints; at a terminal again and again in the same place. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <platform.h>
#include <xenstore.h>

#include "lib/hyp.h"
#include "print.h"
#include "xl.h"

struct top {
    struct xl *x;
    bool batch, full_names;
    unsigned int delay_s, iterations; /* 0: no end */
    struct xen_sysctl_physinfo machine;
    char version[24];

    /* The last look. */
    guest_info_t *before;
    size_t nr_before;
    uint64_t then_ns;
};

/* A number from 1 on. */
static bool number(struct xl *x, const char *text, unsigned int *value)
{
    char *end;
    unsigned long n;

    if (text == NULL)
        return true;
    n = strtoul(text, &end, 10);
    *value = (unsigned int)n;
    if (*text >= '0' && *text <= '9' && *end == '\0' && n > 0 && n <= 1000000)
        return true;
    xl_fail(x, "xl: top: %s is no number from 1 on", text);
    return false;
}

/* Of one CPU, in tenths of a per cent. A domain that was not there before: since nobody knows when. */
static unsigned int cpu_tenths(const struct top *t, const guest_info_t *info, uint64_t now_ns)
{
    for (size_t i = 0; i < t->nr_before; i++) {
        const guest_info_t *b = &t->before[i];

        if (b->domain == info->domain && memcmp(b->handle, info->handle, sizeof(b->handle)) == 0 &&
            info->cpu_time > b->cpu_time && now_ns > t->then_ns)
            return (unsigned int)((info->cpu_time - b->cpu_time) * 1000 / (now_ns - t->then_ns));
    }
    return 0;
}

static unsigned int nr_devices(struct xl *x, domid_t id, const char *type)
{
    unsigned int nr = 0;
    char path[64], **names;

    snprintf(path, sizeof(path), "/local/domain/%u/device/%s", id, type);
    names = x->tools.store ? xs_directory(x->tools.store, XBT_NULL, path, &nr) : NULL;
    free(names);
    return names ? nr : 0;
}

static void count_state(struct xl_summary *s, const struct xl_domain *d)
{
    s->nr++;
    for (unsigned int i = 0; i < 6; i++)
        s->nr_in[i] += d->state >> i & 1;
}

/* The rows of all domains; the widest name. */
static unsigned int print_rows(struct top *t, struct text *rows, const guest_info_t *infos,
                               size_t nr, unsigned int name_width, struct xl_summary *s)
{
    uint64_t now_ns = plat_now();
    unsigned int widest = TOP_NAME;

    for (size_t i = 0; i < nr; i++) {
        const guest_info_t *info = &infos[i];
        struct xl_usage u = { .cpu_tenths = cpu_tenths(t, info, now_ns),
                              .unlimited = (uint32_t)info->max_pages == UINT32_MAX,
                              .nr_vifs = nr_devices(t->x, info->domain, "vif"),
                              .nr_vbds = nr_devices(t->x, info->domain, "vbd"),
                              .label = info->ssidref };
        char *name;

        xl_describe(t->x, info, &u.domain, &name);
        u.domain.memory_kib = (uint64_t)info->tot_pages * 4; /* without what is claimed */
        widest = strlen(u.domain.name) > widest ? (unsigned int)strlen(u.domain.name) : widest;
        print_top(rows, name_width, &u, t->machine.total_pages * 4);
        count_state(s, &u.domain);
        free(name);
    }
    t->then_ns = now_ns;
    return widest;
}

static void print_table(struct top *t, const guest_info_t *infos, size_t nr)
{
    struct xl_summary s = { .version = t->version,
                            .now_s = (unsigned int)(plat_wall() / 1000000000u % 86400u),
                            .total_kib = t->machine.total_pages * 4,
                            .free_kib = t->machine.free_pages * 4,
                            .nr_cpus = t->machine.nr_cpus,
                            .cpu_khz = t->machine.cpu_khz };
    uint64_t then_ns = t->then_ns;
    struct text rows = { 0 };
    unsigned int width = print_rows(t, &rows, infos, nr, TOP_NAME, &s);

    if (t->full_names && width > TOP_NAME) { /* again, as wide as that */
        text_free(&rows);
        t->then_ns = then_ns;
        print_rows(t, &rows, infos, nr, width, &(struct xl_summary){ .nr = 0 });
    }
    if (!t->batch) {
        text_puts(&t->x->out, "\033[H\033[2J");
        print_top_summary(&t->x->out, &s);
    }
    print_top_head(&t->x->out, t->full_names ? width : TOP_NAME);
    text_put(&t->x->out, rows.bytes ? rows.bytes : "", rows.len_bytes);
    text_free(&rows);
}

static int look(struct top *t)
{
    guest_info_t *infos;
    size_t nr;

    if (hyp_machine(t->x->tools.hyp, &t->machine))
        return xl_fail(t->x, "xl: the machine: %s", strerror(errno));
    if (guest_list(&t->x->tools, &infos, &nr))
        return xl_fail(t->x, "xl: %s", t->x->tools.error);
    print_table(t, infos, nr);
    free(t->before);
    t->before = infos;
    t->nr_before = nr;
    return EXIT_OK;
}

static void read_version(struct top *t)
{
    struct hyp_version *v = malloc(sizeof(*v));

    if (v && hyp_version(t->x->tools.hyp, v) == 0)
        snprintf(t->version, sizeof(t->version), "%u.%u%.12s", v->major, v->minor, v->extra);
    free(v);
}

int xl_top(struct xl *x, const struct options *o)
{
    const struct xl_home *home = x->home;
    struct top t = { .x = x,
                     .batch = option_value(o, "b") != NULL,
                     .full_names = option_value(o, "f") != NULL,
                     .delay_s = 3 };
    int rc;

    if (!number(x, option_value(o, "d"), &t.delay_s) ||
        !number(x, option_value(o, "i"), &t.iterations))
        return EXIT_FAILED;
    if (home == NULL || home->wait == NULL || home->show == NULL)
        return xl_fail(x, "xl: there is no terminal here");
    read_version(&t);
    for (unsigned int n = 1; (rc = look(&t)) == EXIT_OK && n != t.iterations; n++) {
        home->show(x);
        /* A batch that ends by itself leaves what is typed to what comes behind it. */
        if (!home->wait(x, t.delay_s, !t.batch || t.iterations == 0))
            break;
    }
    free(t.before);
    return rc;
}
