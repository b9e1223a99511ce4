/* xl info. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "lib/hyp.h"
#include "print.h"
#include "xl.h"

/* All that it is asked of. */
struct answers {
    struct xen_sysctl_physinfo machine;
    struct hyp_version version;
    xen_sysctl_cputopo_t topology[HYP_CPUS];
    xen_sysctl_meminfo_t memory[HYP_NODES];
    uint32_t distances[HYP_NODES * HYP_NODES];
    struct xl_cpu cpus[HYP_CPUS];
    struct xl_node nodes[HYP_NODES];
    char virt_caps[128];
};

static const char *scheduler_name(uint32_t id)
{
    static const char *const names[] = {
        [XEN_SCHEDULER_CREDIT] = "credit",     [XEN_SCHEDULER_CREDIT2] = "credit2",
        [XEN_SCHEDULER_ARINC653] = "arinc653", [XEN_SCHEDULER_RTDS] = "rtds",
        [XEN_SCHEDULER_NULL] = "null",
    };

    return id < sizeof(names) / sizeof(names[0]) && names[id] ? names[id] : "unknown";
}

/* Each with a space before it but the first. */
static void describe_caps(uint32_t caps, char *text, size_t size)
{
    enum {
        HVM_DIRECT = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_directio,
        PV_DIRECT = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_directio
    };
    static const struct {
        uint32_t all; /* of them are there */
        const char *name;
    } known[] = {
        { XEN_SYSCTL_PHYSCAP_pv, "pv" },
        { XEN_SYSCTL_PHYSCAP_hvm, "hvm" },
        { HVM_DIRECT, "hvm_directio" },
        { PV_DIRECT, "pv_directio" },
        { XEN_SYSCTL_PHYSCAP_hap, "hap" },
        { XEN_SYSCTL_PHYSCAP_shadow, "shadow" },
        { XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share, "iommu_hap_pt_share" },
        { XEN_SYSCTL_PHYSCAP_vmtrace, "vmtrace" },
        { XEN_SYSCTL_PHYSCAP_vpmu, "vpmu" },
        { XEN_SYSCTL_PHYSCAP_gnttab_v1, "gnttab-v1" },
        { XEN_SYSCTL_PHYSCAP_gnttab_v2, "gnttab-v2" },
    };
    struct text t = { .bytes = text, .size = size, .fixed = true };

    text[0] = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if ((caps & known[i].all) == known[i].all)
            text_printf(&t, "%s%s", t.len_bytes ? " " : "", known[i].name);
}

/* Which devices there are the kernel knows. */
static int ask_devices(struct xl *x, struct xl_info *i)
{
    physdev_pci_device_t devices[HYP_PCI];
    uint32_t nodes[HYP_PCI];

    for (unsigned int n = 0; n < i->nr_devices; n++)
        devices[n] = (physdev_pci_device_t){ .seg = (uint16_t)i->devices[n].segment,
                                             .bus = (uint8_t)i->devices[n].bus,
                                             .devfn = (uint8_t)(i->devices[n].device << 3 |
                                                                i->devices[n].function) };
    if (hyp_pci_nodes(x->tools.hyp, devices, nodes, i->nr_devices))
        return -1;
    for (unsigned int n = 0; n < i->nr_devices; n++) {
        i->devices[n].known = nodes[n] != XEN_INVALID_NODE_ID && nodes[n] != XEN_INVALID_DEV;
        i->devices[n].node = nodes[n];
    }
    return 0;
}

static int ask_topology(struct xl *x, struct answers *a, struct xl_info *i)
{
    int nr_cpus = hyp_topology(x->tools.hyp, a->topology);
    int nr_nodes = nr_cpus < 0 ? -1 : hyp_nodes(x->tools.hyp, a->memory, a->distances);

    if (nr_nodes < 0 || ask_devices(x, i))
        return -1;
    for (int n = 0; n < nr_cpus; n++)
        a->cpus[n] = (struct xl_cpu){ .there = a->topology[n].core != XEN_INVALID_CORE_ID,
                                      .core = a->topology[n].core,
                                      .socket = a->topology[n].socket,
                                      .node = a->topology[n].node };
    for (int n = 0; n < nr_nodes; n++)
        a->nodes[n] = (struct xl_node){ .bytes = a->memory[n].memsize,
                                        .free_bytes = a->memory[n].memfree,
                                        .distances = a->distances + n * nr_nodes };
    i->cpus = a->cpus;
    i->nodes = a->nodes;
    i->nr_listed_cpus = (unsigned int)nr_cpus;
    i->nr_listed_nodes = (unsigned int)nr_nodes;
    return 0;
}

static int ask(struct xl *x, struct answers *a, struct xl_info *i)
{
    const struct xen_sysctl_physinfo *m = &a->machine;
    const struct hyp_version *v = &a->version;
    uint32_t scheduler;

    if (hyp_machine(x->tools.hyp, &a->machine) || hyp_version(x->tools.hyp, &a->version) ||
        hyp_scheduler(x->tools.hyp, &scheduler))
        return -1;
    describe_caps(m->capabilities, a->virt_caps, sizeof(a->virt_caps));
    *i = (struct xl_info){ .host = "",
                           .release = "",
                           .version = "",
                           .machine = "",
                           .nr_cpus = m->nr_cpus,
                           .max_cpu_id = m->max_cpu_id,
                           .nr_nodes = m->nr_nodes,
                           .cores_per_socket = m->cores_per_socket,
                           .threads_per_core = m->threads_per_core,
                           .cpu_khz = m->cpu_khz,
                           .virt_caps = a->virt_caps,
                           .total_mib = m->total_pages >> 8,
                           .free_mib = (m->free_pages - m->outstanding_pages) >> 8,
                           .outstanding_claims_mib = m->outstanding_pages >> 8,
                           .free_cpus = 0, /* all are Pool-0's */
                           .xen_major = v->major,
                           .xen_minor = v->minor,
                           .xen_extra = v->extra,
                           .xen_caps = v->capabilities,
                           .scheduler = scheduler_name(scheduler),
                           .page_bytes = v->page_bytes,
                           .virt_start = v->virt_start,
                           .changeset = v->changeset,
                           .command_line = v->command_line,
                           .compiler = v->compile.compiler,
                           .compile_by = v->compile.compile_by,
                           .compile_domain = v->compile.compile_domain,
                           .compile_date = v->compile.compile_date,
                           .build_id = v->build_id };
    memcpy(i->hw_caps, m->hw_cap, sizeof(i->hw_caps));
    if (x->home && x->home->kernel)
        x->home->kernel(i);
    return 0;
}

/* Of the table the values of those whose names begin so, as xl has it. */
static void print_field(struct text *t, const char *field, const struct xl_info *info)
{
    struct text all = { 0 };
    const char *line, *end, *value;

    print_info(&all, info);
    t->failed |= all.failed;
    for (line = all.bytes; line && *line; line = end + 1) {
        end = strchr(line, '\n');
        value = strstr(line, ": ");
        if (strncmp(line, field, strlen(field)) == 0 && value && value < end)
            text_put(t, value + 2, (size_t)(end + 1 - (value + 2)));
    }
    text_free(&all);
}

int xl_info(struct xl *x, const struct options *o)
{
    struct answers *a = calloc(1, sizeof(*a));
    struct json j = { .out = &x->out };
    struct xl_info info;
    int rc = EXIT_OK;

    if (a == NULL)
        return xl_fail(x, "xl: no memory");
    if (ask(x, a, &info) || (option_value(o, "n") && ask_topology(x, a, &info))) {
        rc = xl_fail(x, "xl: the machine: %s", strerror(errno));
    } else {
        if (option_value(o, "json"))
            json_info(&j, &info);
        else if (o->nr_args && option_value(o, "n") == NULL)
            print_field(&x->out, o->args[0], &info);
        else
            print_info(&x->out, &info);
    }
    free(a);
    return rc;
}
