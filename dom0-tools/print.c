/* See print.h. The columns are xl's, to the space. */
#include "print.h"

#include <inttypes.h>
#include <string.h>
#include <xen/sched.h>

#define NS 1000000000u

static const char *const states[] = {
    "running", "blocked", "paused", "shutdown", "crashed", "dying"
};

/* Tenths of a second, rounded to the nearest as xl's %.1f has it. */
static void put_seconds(struct text *t, unsigned int width, uint64_t ns)
{
    uint64_t tenths = ns / (NS / 10) + (ns % (NS / 10) >= NS / 20);

    text_printf(t, "%*" PRIu64 ".%u", (int)width - 2, tenths / 10, (unsigned int)(tenths % 10));
}

static void put_name(struct text *t, int width, const struct xl_domain *d)
{
    text_printf(t, "%-*s", width, *d->name ? d->name : "(null)");
}

/* ---- xl list ---- */

void print_list_head(struct text *t, unsigned int options)
{
    text_puts(t, "Name                                        ID   Mem VCPUs\tState\tTime(s)");
    if (options & LIST_VERBOSE)
        text_puts(t, "   UUID                            Reason-Code\tSecurity Label");
    else if (options & LIST_CONTEXT)
        text_puts(t, "   Security Label");
    if (options & LIST_POOL)
        text_puts(t, "         Cpupool");
    if (options & LIST_NODES)
        text_puts(t, " NODE Affinity");
    text_puts(t, "\n");
}

void print_list(struct text *t, unsigned int options, const struct xl_domain *d)
{
    char letters[] = "rbpscd", uuid[37];

    for (unsigned int i = 0; letters[i]; i++)
        letters[i] = d->state >> i & 1 ? letters[i] : '-';
    put_name(t, 40, d);
    text_printf(t, " %5" PRIu32 " %5" PRIu64 " %5u     %s  ", d->id, d->memory_kib >> 10,
                d->nr_vcpus, letters);
    put_seconds(t, 8, d->cpu_time_ns);
    if (options & LIST_VERBOSE) {
        config_print_uuid(d->uuid, uuid);
        text_printf(t, " %s", uuid);
        if (d->state & XL_SHUTDOWN)
            text_printf(t, " %8x", d->shutdown_reason);
        else
            text_printf(t, " %8s", "-");
    }
    if (options & (LIST_VERBOSE | LIST_CONTEXT))
        text_printf(t, " %16s", "-");
    if (options & LIST_POOL)
        text_printf(t, "%16s", d->pool);
    if (options & LIST_NODES)
        text_puts(t, " all");
    text_puts(t, "\n");
}

static void json_reason(struct json *j, const struct xl_domain *d)
{
    static const char *const names[] = {
        [SHUTDOWN_poweroff] = "poweroff", [SHUTDOWN_reboot] = "reboot",
        [SHUTDOWN_suspend] = "suspend",   [SHUTDOWN_crash] = "crash",
        [SHUTDOWN_watchdog] = "watchdog", [SHUTDOWN_soft_reset] = "soft_reset",
    };

    if (!(d->state & XL_SHUTDOWN))
        json_null(j, "shutdown_reason");
    else if (d->shutdown_reason < sizeof(names) / sizeof(names[0]))
        json_string(j, "shutdown_reason", names[d->shutdown_reason]);
    else
        json_uint(j, "shutdown_reason", d->shutdown_reason);
}

void json_list(struct json *j, const struct xl_domain *d)
{
    char uuid[37];

    json_object(j, NULL);
    json_string(j, "name", d->name);
    json_uint(j, "id", d->id);
    config_print_uuid(d->uuid, uuid);
    json_string(j, "uuid", uuid);
    json_string(j, "pool", d->pool);
    json_uint(j, "memory_kib", d->memory_kib);
    json_uint(j, "max_memory_kib", d->max_memory_kib);
    json_uint(j, "vcpus", d->nr_vcpus);
    json_uint(j, "max_vcpus", d->max_vcpus);
    json_array(j, "state");
    for (unsigned int i = 0; i < 6; i++) {
        if (d->state >> i & 1)
            json_string(j, NULL, states[i]);
    }
    json_end(j);
    json_reason(j, d);
    json_decimal(j, "cpu_seconds", d->cpu_time_ns / 1000000);
    json_uint(j, "uptime_seconds", d->uptime_s);
    json_uint(j, "weight", d->weight);
    json_uint(j, "cap_percent", d->cap_percent);
    json_end(j);
}

void json_long(struct json *j, uint32_t id, const struct domain_config *c)
{
    json_object(j, NULL);
    json_uint(j, "domid", id);
    config_json(j, "config", c);
    json_end(j);
}

/* ---- xl vcpu-list ---- */

void print_vcpus_head(struct text *t)
{
    text_puts(
        t,
        "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n");
}

void print_vcpu(struct text *t, const struct xl_domain *d, const struct xl_vcpu *v,
                unsigned int nr_cpus)
{
    char hard[4 * CONFIG_CPUS], soft[4 * CONFIG_CPUS];

    put_name(t, 32, d);
    text_printf(t, " %5" PRIu32 " %5u", d->id, v->id);
    if (v->online)
        text_printf(t, "%5u %3c%c- ", v->cpu, v->running ? 'r' : '-', v->blocked ? 'b' : '-');
    else
        text_puts(t, "    -   --p ");
    put_seconds(t, 9, v->cpu_time_ns);
    config_print_cpus(&v->hard, nr_cpus, hard, sizeof(hard));
    config_print_cpus(&v->soft, nr_cpus, soft, sizeof(soft));
    text_printf(t, "  %s / %s\n", hard, soft);
}

void json_vcpu(struct json *j, const struct xl_domain *d, const struct xl_vcpu *v,
               unsigned int nr_cpus)
{
    char cpus[4 * CONFIG_CPUS];

    json_object(j, NULL);
    json_string(j, "name", d->name);
    json_uint(j, "id", d->id);
    json_uint(j, "vcpu", v->id);
    if (v->online)
        json_uint(j, "cpu", v->cpu);
    else
        json_null(j, "cpu");
    json_string(j, "state",
                !v->online   ? "offline"
                : v->running ? "running"
                : v->blocked ? "blocked"
                             : "runnable");
    json_decimal(j, "cpu_seconds", v->cpu_time_ns / 1000000);
    config_print_cpus(&v->hard, nr_cpus, cpus, sizeof(cpus));
    json_string(j, "hard", cpus);
    config_print_cpus(&v->soft, nr_cpus, cpus, sizeof(cpus));
    json_string(j, "soft", cpus);
    json_end(j);
}

/* ---- xl channel-list ---- */

void print_channels_head(struct text *t)
{
    text_printf(t, "%-3s %-2s %-5s %-6s %8s %-10s %-30s\n", "Idx", "BE", "state", "evt-ch",
                "ring-ref", "connection", "");
}

void print_channel(struct text *t, const struct xl_channel *c)
{
    text_printf(t, "%-3u %-2u %-5u %-6" PRId64 " %-8" PRId64 " %-10s ", c->index, c->backend_id,
                c->state, c->port, c->ring_ref, c->connection);
    if (strcmp(c->connection, "pty") == 0)
        text_printf(t, "%-30s ", c->path);
    text_puts(t, "\n");
}

static void number_or_null(struct json *j, const char *key, int64_t value)
{
    if (value < 0)
        json_null(j, key);
    else
        json_int(j, key, value);
}

void json_channel(struct json *j, uint32_t domain, const struct xl_channel *c)
{
    json_object(j, NULL);
    json_uint(j, "domain", domain);
    json_uint(j, "index", c->index);
    json_uint(j, "console", c->index + 1);
    json_string(j, "name", c->name);
    json_string(j, "connection", c->connection);
    if (c->path[0])
        json_string(j, "path", c->path);
    else
        json_null(j, "path");
    json_uint(j, "backend_domain", c->backend_id);
    json_uint(j, "state", c->state);
    number_or_null(j, "port", c->port);
    number_or_null(j, "ring_ref", c->ring_ref);
    json_end(j);
}

/* ---- xl sched-credit2, xl uptime ---- */

void print_credit2_pool(struct text *t, const char *pool, unsigned int ratelimit_us)
{
    text_printf(t, "Cpupool %s: ratelimit=%uus\n", pool, ratelimit_us);
}

void print_credit2_head(struct text *t)
{
    text_printf(t, "%-33s %4s %6s %4s\n", "Name", "ID", "Weight", "Cap");
}

void print_credit2(struct text *t, const struct xl_domain *d)
{
    put_name(t, 33, d);
    text_printf(t, " %4" PRIu32 " %6u %4u\n", d->id, d->weight, d->cap_percent);
}

void print_uptime_head(struct text *t) { text_printf(t, "%-33s %4s %s\n", "Name", "ID", "Uptime"); }

static void put_uptime(struct text *t, uint64_t s, bool seconds)
{
    uint64_t days = s / 86400;
    unsigned int rest = (unsigned int)(s % 86400);

    if (days)
        text_printf(t, "%" PRIu64 " day%s, ", days, days > 1 ? "s" : "");
    text_printf(t, "%2u:%02u", rest / 3600, rest / 60 % 60);
    if (seconds)
        text_printf(t, ":%02u", rest % 60);
}

void print_uptime(struct text *t, const struct xl_domain *d)
{
    put_name(t, 33, d);
    text_printf(t, " %4" PRIu32 " ", d->id);
    put_uptime(t, d->uptime_s, true);
    text_puts(t, "\n");
}

void print_uptime_short(struct text *t, const struct xl_domain *d, unsigned int now_s)
{
    text_printf(t, " %02u:%02u:%02u up ", now_s / 3600, now_s / 60 % 60, now_s % 60);
    put_uptime(t, d->uptime_s, false);
    text_puts(t, ", ");
    put_name(t, 0, d);
    text_printf(t, " (%" PRIu32 ")\n", d->id);
}
