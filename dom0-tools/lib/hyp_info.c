/* What the hypervisor says of itself, of its machine, and of ports and grants of domains; see hyp.h. */
#include "hyp_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- the machine ---- */

int hyp_topology(struct hyp *h, xen_sysctl_cputopo_t cpus[HYP_CPUS])
{
    struct xen_sysctl *op = &h->buffer->sysctl;
    uint32_t nr;

    memset(op, 0, sizeof(*op));
    op->u.cputopoinfo.num_cpus = HYP_CPUS;
    set_xen_guest_handle(op->u.cputopoinfo.cputopo, h->buffer->topology);
    if (hyp_sysctl(h, XEN_SYSCTL_cputopoinfo))
        return -1;
    nr = op->u.cputopoinfo.num_cpus < HYP_CPUS ? op->u.cputopoinfo.num_cpus : HYP_CPUS;
    memcpy(cpus, h->buffer->topology, nr * sizeof(*cpus));
    return (int)nr;
}

int hyp_nodes(struct hyp *h, xen_sysctl_meminfo_t nodes[HYP_NODES],
              uint32_t distances[HYP_NODES * HYP_NODES])
{
    struct xen_sysctl *op = &h->buffer->sysctl;
    uint32_t nr;

    memset(op, 0, sizeof(*op));
    op->u.numainfo.num_nodes = HYP_NODES;
    set_xen_guest_handle(op->u.numainfo.meminfo, h->buffer->nodes.memory);
    set_xen_guest_handle(op->u.numainfo.distance, h->buffer->nodes.distances);
    if (hyp_sysctl(h, XEN_SYSCTL_numainfo))
        return -1;
    nr = op->u.numainfo.num_nodes < HYP_NODES ? op->u.numainfo.num_nodes : HYP_NODES;
    memcpy(nodes, h->buffer->nodes.memory, nr * sizeof(*nodes));
    memcpy(distances, h->buffer->nodes.distances, nr * nr * sizeof(*distances));
    return (int)nr;
}

/* It may stop on its way. */
int hyp_pci_nodes(struct hyp *h, const struct physdev_pci_device *devices, uint32_t *nodes,
                  uint32_t nr)
{
    struct xen_sysctl *op = &h->buffer->sysctl;

    for (uint32_t done = 0, n; done < nr; done += n) {
        memset(op, 0, sizeof(*op));
        memcpy(h->buffer->pci.devices, devices + done, (nr - done) * sizeof(*devices));
        op->u.pcitopoinfo.num_devs = nr - done;
        set_xen_guest_handle(op->u.pcitopoinfo.devs, h->buffer->pci.devices);
        set_xen_guest_handle(op->u.pcitopoinfo.nodes, h->buffer->pci.nodes);
        if (hyp_sysctl(h, XEN_SYSCTL_pcitopoinfo))
            return -1;
        n = op->u.pcitopoinfo.num_devs;
        if (n == 0 || n > nr - done) {
            errno = EIO;
            return -1;
        }
        memcpy(nodes + done, h->buffer->pci.nodes, n * sizeof(*nodes));
    }
    return 0;
}

int hyp_scheduler(struct hyp *h, uint32_t *id)
{
    memset(&h->buffer->sysctl, 0, sizeof(h->buffer->sysctl));
    if (hyp_sysctl(h, XEN_SYSCTL_sched_id))
        return -1;
    *id = h->buffer->sysctl.u.sched_id.sched_id;
    return 0;
}

/* ---- domains ---- */

int hyp_port(struct hyp *h, domid_t id, uint32_t port, struct evtchn_status *status)
{
    h->buffer->status = (struct evtchn_status){ .dom = id, .port = port };
    if (xencall2(h->call, __HYPERVISOR_event_channel_op, EVTCHNOP_status,
                 (uintptr_t)&h->buffer->status) < 0)
        return -1;
    *status = h->buffer->status;
    return 0;
}

int hyp_grants(struct hyp *h, domid_t id, uint32_t *nr_frames, uint32_t *max_frames,
               uint32_t *version)
{
    h->buffer->grant_version = (struct gnttab_get_version){ .dom = id };
    if (xencall3(h->call, __HYPERVISOR_grant_table_op, GNTTABOP_get_version,
                 (uintptr_t)&h->buffer->grant_version, 1) < 0)
        return -1;
    *version = h->buffer->grant_version.version;
    h->buffer->grants = (struct gnttab_query_size){ .dom = id };
    if (xencall3(h->call, __HYPERVISOR_grant_table_op, GNTTABOP_query_size,
                 (uintptr_t)&h->buffer->grants, 1) < 0)
        return -1;
    *nr_frames = h->buffer->grants.nr_frames;
    *max_frames = h->buffer->grants.max_nr_frames;
    errno = EIO;
    return h->buffer->grants.status == GNTST_okay ? 0 : -1;
}

/* ---- the hypervisor itself ---- */

int hyp_hypfs(struct hyp *h, const char *path, char *text, size_t size)
{
    struct xen_hypfs_direntry *e = &h->buffer->hypfs.entry;
    size_t len = strlen(path) + 1;
    uint32_t number;

    if (len > sizeof(h->buffer->text)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(h->buffer->text, path, len);
    if (xencall5(h->call, __HYPERVISOR_hypfs_op, XEN_HYPFS_OP_read, (uintptr_t)h->buffer->text, len,
                 (uintptr_t)&h->buffer->hypfs, sizeof(h->buffer->hypfs) - 1) < 0)
        return -1;
    if (e->type == XEN_HYPFS_TYPE_DIR) {
        errno = EISDIR;
        return -1;
    }
    if (e->encoding != XEN_HYPFS_ENC_PLAIN || e->content_len >= HYPFS_BYTES) {
        errno = e->encoding != XEN_HYPFS_ENC_PLAIN ? EINVAL : EFBIG;
        return -1;
    }
    memcpy(&number, h->buffer->hypfs.contents, sizeof(number));
    h->buffer->hypfs.contents[e->content_len] = '\0';
    if (e->type == XEN_HYPFS_TYPE_UINT)
        snprintf(text, size, "%u", number);
    else
        snprintf(text, size, "%s", h->buffer->hypfs.contents);
    return 0;
}

/* What fills the buffer's text. */
static int version(struct hyp *h, unsigned int cmd)
{
    return xencall2(h->call, __HYPERVISOR_xen_version, cmd, (uintptr_t)h->buffer->text);
}

/* What is an answer by itself. */
static int version_number(struct hyp *h, unsigned int cmd)
{
    return xencall2(h->call, __HYPERVISOR_xen_version, cmd, 0);
}

/* A text of size bytes, which it may fill to the last. */
static int version_text(struct hyp *h, unsigned int cmd, char *text, size_t size)
{
    memset(h->buffer->text, 0, size);
    if (version(h, cmd) < 0)
        return -1;
    memcpy(text, h->buffer->text, size);
    text[size - 1] = '\0';
    return 0;
}

/* A hypervisor need not have one. */
static void read_build_id(struct hyp *h, char *digits, size_t size)
{
    xen_build_id_t *id = (xen_build_id_t *)h->buffer->text;
    int len;

    id->len = (uint32_t)(size / 2);
    len = version(h, XENVER_build_id);
    digits[0] = '\0';
    for (int i = 0; i < len && 2 * (size_t)i + 2 < size; i++)
        snprintf(digits + 2 * i, 3, "%02x", id->buf[i]);
}

int hyp_version(struct hyp *h, struct hyp_version *v)
{
    int number = version_number(h, XENVER_version);
    int page = number < 0 ? -1 : version_number(h, XENVER_pagesize);

    if (page < 0 || version_text(h, XENVER_extraversion, v->extra, sizeof(v->extra)) ||
        version_text(h, XENVER_capabilities, v->capabilities, sizeof(v->capabilities)) ||
        version_text(h, XENVER_changeset, v->changeset, sizeof(v->changeset)) ||
        version_text(h, XENVER_commandline, v->command_line, sizeof(v->command_line)) ||
        version_text(h, XENVER_compile_info, (char *)&v->compile, sizeof(v->compile)) ||
        version(h, XENVER_platform_parameters) < 0)
        return -1;
    v->virt_start = ((xen_platform_parameters_t *)h->buffer->text)->virt_start;
    v->major = (unsigned int)number >> 16;
    v->minor = number & 0xffff;
    v->page_bytes = (unsigned int)page;
    v->compile.compiler[sizeof(v->compile.compiler) - 1] = '\0';
    v->compile.compile_by[sizeof(v->compile.compile_by) - 1] = '\0';
    v->compile.compile_domain[sizeof(v->compile.compile_domain) - 1] = '\0';
    read_build_id(h, v->build_id, sizeof(v->build_id));
    return 0;
}
