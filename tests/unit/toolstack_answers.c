/* See toolstack_answers.h. */
#include "toolstack_answers.h"

#include <CUnit/CUnit.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hypfs.h>
#include <xen/version.h>

#include "toolstack_machine.h"

const struct xen_sysctl_physinfo machine_physinfo = {
    .threads_per_core = 1,
    .cores_per_socket = 2,
    .nr_cpus = 4,
    .max_cpu_id = 7,
    .nr_nodes = 2,
    .cpu_khz = 2400123,
    .capabilities = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1,
    .total_pages = 16384,
    .hw_cap = { 1, 2, 3, 4, 5, 6, 7, 0xffffffff },
};

static int no(int error)
{
    errno = error;
    return -1;
}

int machine_version(unsigned int cmd, void *arg)
{
    static const xen_compile_info_t compile = { "cc 1", "me", "here", "today" };
    xen_build_id_t *id = arg;

    CU_ASSERT_EQUAL(arg == NULL, cmd == XENVER_version || cmd == XENVER_pagesize);
    switch (cmd) {
    case XENVER_version: return 4 << 16 | 17;
    case XENVER_extraversion: strcpy(arg, ".5-fake"); return 0;
    case XENVER_compile_info: memcpy(arg, &compile, sizeof(compile)); return 0;
    case XENVER_capabilities: strcpy(arg, "xen-3.0-x86_64"); return 0;
    case XENVER_changeset: return 0;
    case XENVER_platform_parameters:
        ((xen_platform_parameters_t *)arg)->virt_start = 0xffff800000000000;
        return 0;
    case XENVER_pagesize: return 4096;
    case XENVER_commandline: memset(arg, 'x', sizeof(xen_commandline_t)); return 0; /* no end */
    case XENVER_build_id:
        CU_ASSERT_EQUAL(id->len, 64);
        memcpy(id->buf, "\xab\x01", 2);
        return 2;
    default: CU_FAIL("a version that nobody has"); return no(ENOSYS);
    }
}

int machine_says(struct xen_sysctl *s)
{
    static const uint32_t distances[] = { 10, 20, 21, 11 };

    switch (s->cmd) {
    case XEN_SYSCTL_sched_id: s->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2; return 0;
    case XEN_SYSCTL_cputopoinfo:
        for (uint32_t i = 0; i < 5; i++) /* the last is not there */
            s->u.cputopoinfo.cputopo.p[i] =
                (xen_sysctl_cputopo_t){ i == 4 ? XEN_INVALID_CORE_ID : i % 2, i / 2,
                                        i == 4 ? XEN_INVALID_NODE_ID : i / 2 };
        s->u.cputopoinfo.num_cpus = 5;
        return 0;
    case XEN_SYSCTL_pcitopoinfo: /* one at a time; that of bus 2 it does not know */
        s->u.pcitopoinfo.nodes.p[0] = s->u.pcitopoinfo.devs.p[0].bus == 2
                                          ? XEN_INVALID_DEV
                                          : s->u.pcitopoinfo.devs.p[0].devfn & 7;
        s->u.pcitopoinfo.num_devs = 1;
        return 0;
    case XEN_SYSCTL_numainfo:
        s->u.numainfo.meminfo.p[0] = (xen_sysctl_meminfo_t){ 40ul << 20, 30ul << 20 };
        s->u.numainfo.meminfo.p[1] = (xen_sysctl_meminfo_t){ 24ul << 20, 9ul << 20 };
        memcpy(s->u.numainfo.distance.p, distances, sizeof(distances));
        s->u.numainfo.num_nodes = 2;
        return 0;
    default: CU_FAIL("a sysctl that nobody has"); return no(ENOSYS);
    }
}

int machine_port(struct evtchn_status *s)
{
    const struct machine_domain *d = &machine[s->dom];

    if (!d->there)
        return no(ESRCH);
    if (s->port > MACHINE_PORTS)
        return no(EINVAL);
    s->vcpu = 0;
    if (s->port <= d->nr_ports) {
        s->status = s->port == 1 ? EVTCHNSTAT_interdomain : EVTCHNSTAT_unbound;
        s->u.interdomain.dom = d->port_of[s->port];
        s->u.interdomain.port = 77;
        return 0;
    }
    switch (s->port) {
    case 4:
        s->status = EVTCHNSTAT_virq;
        s->u.virq = VIRQ_TIMER;
        break;
    case 5:
        s->status = EVTCHNSTAT_ipi;
        s->vcpu = 1;
        break;
    case 6:
        s->status = EVTCHNSTAT_pirq;
        s->u.pirq = 9;
        break;
    case 7:
        s->status = EVTCHNSTAT_virq;
        s->u.virq = 23;
        break;
    default: s->status = EVTCHNSTAT_closed;
    }
    return 0;
}

int machine_grants(unsigned int cmd, void *arg)
{
    struct gnttab_query_size *size = arg;
    struct gnttab_get_version *version = arg;

    if (cmd == GNTTABOP_get_version) {
        version->version = 1;
        return machine[version->dom].there ? 0 : no(ESRCH);
    }
    CU_ASSERT_EQUAL_FATAL(cmd, GNTTABOP_query_size);
    size->nr_frames = machine[size->dom].grants_mfn ? 1 : 0;
    size->max_nr_frames = 32;
    size->status = GNTST_okay;
    return 0;
}

bool machine_has_hypfs = true;

static int say_text(struct xen_hypfs_direntry *e, size_t size, const char *text)
{
    CU_ASSERT_TRUE_FATAL(sizeof(*e) + strlen(text) + 1 <= size);
    *e = (struct xen_hypfs_direntry){ .type = XEN_HYPFS_TYPE_STRING,
                                      .encoding = XEN_HYPFS_ENC_PLAIN,
                                      .content_len = (uint32_t)strlen(text) + 1 };
    strcpy((char *)(e + 1), text);
    return 0;
}

static int say_number(struct xen_hypfs_direntry *e, size_t size, uint32_t number)
{
    CU_ASSERT_TRUE_FATAL(sizeof(*e) + sizeof(number) <= size);
    *e = (struct xen_hypfs_direntry){ .type = XEN_HYPFS_TYPE_UINT,
                                      .encoding = XEN_HYPFS_ENC_PLAIN,
                                      .content_len = sizeof(number) };
    memcpy(e + 1, &number, sizeof(number));
    return 0;
}

/* Of those that are dying what holds them, of those that were started at boot name and rings. */
int machine_hypfs(const char *path, struct xen_hypfs_direntry *e, size_t size)
{
    static const struct {
        const char *name;
        uint32_t number;
    } held[] = { { "held/frames", 3 }, { "held/ports", 1 }, { "held/references", 2 } };
    const struct machine_domain *d;
    unsigned int id;
    char leaf[32];

    if (!machine_has_hypfs)
        return no(ENOSYS);
    if (sscanf(path, "/domain/%u/%31s", &id, leaf) != 2 || id >= NR_DOMAINS)
        return no(ENOENT);
    d = &machine[id];
    if (strcmp(leaf, "name") == 0)
        return d->boot_name ? say_text(e, size, d->boot_name) : no(ENOENT);
    if (strcmp(leaf, "rings") == 0)
        return d->boot_rings ? say_text(e, size, d->boot_rings) : no(ENOENT);
    if (!(d->flags & XEN_DOMINF_dying))
        return no(ENOENT);
    for (size_t i = 0; i < sizeof(held) / sizeof(held[0]); i++)
        if (strcmp(leaf, held[i].name) == 0)
            return say_number(e, size, held[i].number);
    return strcmp(leaf, "held/mapped-by") == 0 ? say_text(e, size, "d0: 3") : no(ENOENT);
}
