/* xl info. See print.h. Both forms come from one list, so that neither lacks what the other has. */
#include <inttypes.h>
#include <stdio.h>

#include "print.h"

/* Where it goes to: one of the two. */
struct sink {
    struct text *text;
    struct json *json;
};

static void put_text(const struct sink *s, const char *name, const char *value)
{
    if (s->json)
        json_string(s->json, name, value);
    else
        text_printf(s->text, "%-23s: %s\n", name, value);
}

static void put_number(const struct sink *s, const char *name, uint64_t value)
{
    if (s->json)
        json_uint(s->json, name, value);
    else
        text_printf(s->text, "%-23s: %" PRIu64 "\n", name, value);
}

static void put_mhz(const struct sink *s, uint64_t khz)
{
    if (s->json)
        json_decimal(s->json, "cpu_mhz", khz);
    else
        text_printf(s->text, "%-23s: %" PRIu64 ".%03u\n", "cpu_mhz", khz / 1000,
                    (unsigned int)(khz % 1000));
}

static void put_machine(const struct sink *s, const struct xl_info *i)
{
    char caps[80];
    const uint32_t *c = i->hw_caps;

    put_text(s, "host", i->host);
    put_text(s, "release", i->release);
    put_text(s, "version", i->version);
    put_text(s, "machine", i->machine);
    put_number(s, "nr_cpus", i->nr_cpus);
    put_number(s, "max_cpu_id", i->max_cpu_id);
    put_number(s, "nr_nodes", i->nr_nodes);
    put_number(s, "cores_per_socket", i->cores_per_socket);
    put_number(s, "threads_per_core", i->threads_per_core);
    put_mhz(s, i->cpu_khz);
    snprintf(caps, sizeof(caps),
             "%08" PRIx32 ":%08" PRIx32 ":%08" PRIx32 ":%08" PRIx32 ":%08" PRIx32 ":%08" PRIx32
             ":%08" PRIx32 ":%08" PRIx32,
             c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]);
    put_text(s, "hw_caps", caps);
    put_text(s, "virt_caps", i->virt_caps);
    put_number(s, "total_memory", i->total_mib);
    put_number(s, "free_memory", i->free_mib);
    put_number(s, "sharing_freed_memory", 0); /* there is no sharing of PV domains' memory */
    put_number(s, "sharing_used_memory", 0);
    put_number(s, "outstanding_claims", i->outstanding_claims_mib);
    put_number(s, "free_cpus", i->free_cpus);
}

/* ---- -n ---- */

static void print_devices(struct text *t, const struct xl_info *i)
{
    unsigned int nr = 0;

    text_puts(t, "device topology        :\ndevice           node\n");
    for (unsigned int n = 0; n < i->nr_devices; n++) {
        const struct xl_pci *d = &i->devices[n];

        if (d->known)
            text_printf(t, "%04x:%02x:%02x.%01x      %u\n", d->segment, d->bus, d->device,
                        d->function, d->node);
        nr += d->known;
    }
    if (nr == 0)
        text_puts(t, "No device topology data available\n");
}

static void print_topology(struct text *t, const struct xl_info *i)
{
    text_puts(t, "cpu_topology           :\ncpu:    core    socket     node\n");
    for (unsigned int n = 0; n < i->nr_listed_cpus; n++) {
        const struct xl_cpu *c = &i->cpus[n];

        if (c->there)
            text_printf(t, "%3u:    %4u     %4u     %4u\n", n, c->core, c->socket, c->node);
    }
    print_devices(t, i);
    text_puts(t, "numa_info              :\nnode:    memsize    memfree    distances\n");
    for (unsigned int n = 0; n < i->nr_listed_nodes; n++) {
        const struct xl_node *node = &i->nodes[n];

        text_printf(t, "%4u:    %6" PRIu64 "     %6" PRIu64 "      ", n, node->bytes >> 20,
                    node->free_bytes >> 20);
        for (unsigned int k = 0; k < i->nr_listed_nodes; k++)
            text_printf(t, "%s%" PRIu32, k ? "," : "", node->distances[k]);
        text_puts(t, "\n");
    }
}

static void json_cpus(struct json *j, const struct xl_info *i)
{
    json_array(j, "cpu_topology");
    for (unsigned int n = 0; n < i->nr_listed_cpus; n++) {
        const struct xl_cpu *c = &i->cpus[n];

        if (!c->there)
            continue;
        json_object(j, NULL);
        json_uint(j, "cpu", n);
        json_uint(j, "core", c->core);
        json_uint(j, "socket", c->socket);
        json_uint(j, "node", c->node);
        json_end(j);
    }
    json_end(j);
}

static void json_devices(struct json *j, const struct xl_info *i)
{
    json_array(j, "device_topology");
    for (unsigned int n = 0; n < i->nr_devices; n++) {
        const struct xl_pci *d = &i->devices[n];
        char name[24];

        if (!d->known)
            continue;
        snprintf(name, sizeof(name), "%04x:%02x:%02x.%01x", d->segment, d->bus, d->device,
                 d->function);
        json_object(j, NULL);
        json_string(j, "device", name);
        json_uint(j, "node", d->node);
        json_end(j);
    }
    json_end(j);
}

static void json_nodes(struct json *j, const struct xl_info *i)
{
    json_array(j, "numa_info");
    for (unsigned int n = 0; n < i->nr_listed_nodes; n++) {
        json_object(j, NULL);
        json_uint(j, "node", n);
        json_uint(j, "memsize", i->nodes[n].bytes >> 20);
        json_uint(j, "memfree", i->nodes[n].free_bytes >> 20);
        json_array(j, "distances");
        for (unsigned int k = 0; k < i->nr_listed_nodes; k++)
            json_uint(j, NULL, i->nodes[n].distances[k]);
        json_end(j);
        json_end(j);
    }
    json_end(j);
}

static void put_topology(const struct sink *s, const struct xl_info *i)
{
    if (i->cpus == NULL)
        return;
    if (s->text) {
        print_topology(s->text, i);
    } else {
        json_cpus(s->json, i);
        json_devices(s->json, i);
        json_nodes(s->json, i);
    }
}

/* ---- all of it ---- */

static void put_hypervisor(const struct sink *s, const struct xl_info *i)
{
    char text[64];

    put_number(s, "xen_major", i->xen_major);
    put_number(s, "xen_minor", i->xen_minor);
    put_text(s, "xen_extra", i->xen_extra);
    snprintf(text, sizeof(text), "%u.%u%.40s", i->xen_major, i->xen_minor, i->xen_extra);
    put_text(s, "xen_version", text);
    put_text(s, "xen_caps", i->xen_caps);
    put_text(s, "xen_scheduler", i->scheduler);
    put_number(s, "xen_pagesize", i->page_bytes);
    snprintf(text, sizeof(text), "virt_start=0x%" PRIx64, i->virt_start);
    put_text(s, "platform_params", text);
    put_text(s, "xen_changeset", i->changeset);
    put_text(s, "xen_commandline", i->command_line);
    put_text(s, "cc_compiler", i->compiler);
    put_text(s, "cc_compile_by", i->compile_by);
    put_text(s, "cc_compile_domain", i->compile_domain);
    put_text(s, "cc_compile_date", i->compile_date);
    put_text(s, "build_id", i->build_id);
    put_number(s, "xend_config_format", 4);
}

void print_info(struct text *t, const struct xl_info *i)
{
    struct sink s = { .text = t };

    put_machine(&s, i);
    put_topology(&s, i);
    put_hypervisor(&s, i);
}

void json_info(struct json *j, const struct xl_info *i)
{
    struct sink s = { .json = j };

    json_object(j, NULL);
    put_machine(&s, i);
    put_topology(&s, i);
    put_hypervisor(&s, i);
    json_end(j);
}
