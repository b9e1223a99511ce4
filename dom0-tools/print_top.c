/* xl top. See print.h. The columns are xentop's. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "print.h"

void print_top_head(struct text *t, unsigned int name_width)
{
    text_printf(
        t, "%*s  STATE   CPU(sec) CPU(%%)     MEM(k) MEM(%%)  MAXMEM(k) MAXMEM(%%) VCPUS NETS ",
        (int)name_width, "NAME");
    text_puts(t, "NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID\n");
}

static void put_state(struct text *t, unsigned int state)
{
    static const struct {
        unsigned int state;
        char letter;
    } shown[] = { { XL_DYING, 'd' },   { XL_SHUTDOWN, 's' }, { XL_BLOCKED, 'b' },
                  { XL_CRASHED, 'c' }, { XL_PAUSED, 'p' },   { XL_RUNNING, 'r' } };

    text_puts(t, " ");
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        text_printf(t, "%c", state & shown[i].state ? shown[i].letter : '-');
}

static void put_share(struct text *t, int width, uint64_t part, uint64_t whole)
{
    uint64_t tenths = whole ? (part * 1000 + whole / 2) / whole : 0;

    text_printf(t, " %*" PRIu64 ".%u", width - 2, tenths / 10, (unsigned int)(tenths % 10));
}

/* So many counters of nr devices, of these widths. */
static void put_counters(struct text *t, unsigned int nr, const int *widths, size_t nr_widths)
{
    for (size_t i = 0; i < nr_widths; i++)
        text_printf(t, " %*s", widths[i], nr ? "n/a" : "0");
}

void print_top(struct text *t, unsigned int name_width, const struct xl_usage *u,
               uint64_t machine_kib)
{
    static const int net[] = { 8, 8 }, vbd[] = { 8, 8, 8, 10, 10 };
    const struct xl_domain *d = &u->domain;

    text_printf(t, "%*.*s", (int)name_width, (int)name_width, d->name);
    put_state(t, d->state);
    text_printf(t, " %10" PRIu64 " %4u.%u %10" PRIu64, d->cpu_time_ns / 1000000000u,
                u->cpu_tenths / 10, u->cpu_tenths % 10, d->memory_kib);
    put_share(t, 6, d->memory_kib, machine_kib);
    if (u->unlimited) {
        text_printf(t, " %10s %9s", "no limit", "n/a");
    } else {
        text_printf(t, " %10" PRIu64, d->max_memory_kib);
        put_share(t, 9, d->max_memory_kib, machine_kib);
    }
    text_printf(t, " %5u %4u", d->max_vcpus, u->nr_vifs);
    put_counters(t, u->nr_vifs, net, sizeof(net) / sizeof(net[0]));
    text_printf(t, " %4u", u->nr_vbds);
    put_counters(t, u->nr_vbds, vbd, sizeof(vbd) / sizeof(vbd[0]));
    text_printf(t, " %4" PRIu32 "\n", u->label);
}

static unsigned int in_state(const struct xl_summary *s, unsigned int state)
{
    unsigned int i = 0;

    while (state >> i != 1)
        i++;
    return s->nr_in[i];
}

void print_top_summary(struct text *t, const struct xl_summary *s)
{
    text_printf(t, "xl top - %02u:%02u:%02u   Xen %s\n", s->now_s / 3600, s->now_s / 60 % 60,
                s->now_s % 60, s->version);
    text_printf(
        t, "%u domains: %u running, %u blocked, %u paused, %u crashed, %u dying, %u shutdown \n",
        s->nr, in_state(s, XL_RUNNING), in_state(s, XL_BLOCKED), in_state(s, XL_PAUSED),
        in_state(s, XL_CRASHED), in_state(s, XL_DYING), in_state(s, XL_SHUTDOWN));
    text_printf(t,
                "Mem: %" PRIu64 "k total, %" PRIu64 "k used, %" PRIu64
                "k free    CPUs: %u @ %" PRIu64 "MHz\n",
                s->total_kib, s->total_kib - s->free_kib, s->free_kib, s->nr_cpus,
                s->cpu_khz / 1000);
}
