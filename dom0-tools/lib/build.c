/*
 * See build.h. All frames come from the hypervisor zeroed, so that of what is zero nothing is written. The domain's
 * memory is mapped by batches, and no mapping is left when its tables are pinned: a table is nowhere
 * writable.
 */
#include "build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <xen/grant_table.h>

#include "hyp.h"
#include "image.h"
#include "layout.h"
#include "shell.h"
#include "toolstack.h"

#include "domain/elf.h" /* the hypervisor's; last, as it has macros of its own */

enum {
    MAP_BATCH = 256,     /* pages mapped at once */
    HIGHEST_PORT = 1023, /* of a guest's event channels, as libxl has it */
    KERNEL_CS = 0xe033,  /* FLAT_KERNEL_CS, _SS of the ABI */
    KERNEL_SS = 0xe02b,
    RFLAGS_IF = 0x202,
};

struct builder {
    struct toolstack *t;
    struct hyp *hyp;
    const struct build_plan *plan;
    struct built *out;
    struct elf_kernel *k;
    struct layout l;
    uint64_t *p2m; /* the frame of each pfn */
};

static int failed(struct toolstack *t, const char *what)
{
    return toolstack_fail(t, errno, "%s: %s", what, strerror(errno));
}

static int fail(struct builder *b, const char *what) { return failed(b->t, what); }

/* ---- memory ---- */

/* Map n pages, the first of which has the frame *mfns. */
static void *map_frames(struct builder *b, const uint64_t *mfns, size_t n)
{
    xen_pfn_t frames[MAP_BATCH];

    memcpy(frames, mfns, n * sizeof(frames[0]));
    return xenforeignmemory_map(hyp_memory(b->hyp), b->out->id, PROT_READ | PROT_WRITE, n, frames,
                                NULL);
}

static void unmap(struct builder *b, void *at, size_t n)
{
    xenforeignmemory_unmap(hyp_memory(b->hyp), at, n);
}

/* Write bytes at a pseudo-physical address. */
static int write_at(struct builder *b, uint64_t paddr, const void *bytes, uint64_t len)
{
    const char *from = bytes;

    while (len) {
        uint64_t pfn = paddr / HYP_PAGE, offset = paddr % HYP_PAGE;
        uint64_t pages = (offset + len + HYP_PAGE - 1) / HYP_PAGE, n;
        char *at;

        pages = pages < MAP_BATCH ? pages : MAP_BATCH;
        n = pages * HYP_PAGE - offset;
        n = n < len ? n : len;
        at = map_frames(b, b->p2m + pfn, pages);
        if (at == NULL)
            return fail(b, "its memory cannot be mapped");
        memcpy(at + offset, from, n);
        unmap(b, at, pages);
        paddr += n;
        from += n;
        len -= n;
    }
    return 0;
}

static int no_memory(struct builder *b, uint64_t nr_free)
{
    return toolstack_fail(b->t, ENOMEM, "no memory for it: of %llu MiB %llu are free",
                          (unsigned long long)b->plan->nr_pages >> 8,
                          (unsigned long long)nr_free >> 8);
}

int build_make_room(struct toolstack *t, uint64_t nr_pages, uint64_t more_pages, uint64_t *nr_free)
{
    struct xen_sysctl_physinfo machine;

    if (hyp_machine(t->hyp, &machine))
        return failed(t, "how much memory is free");
    *nr_free = machine.free_pages + machine.scrub_pages + more_pages;
    if (*nr_free < nr_pages)
        *nr_free += shells_give_up(t, nr_pages - *nr_free);
    return 0;
}

/* Before anything is done, and memory for lists taken: the runtime's comes from the same heap. */
static int check_memory(struct builder *b, uint64_t more)
{
    uint64_t nr_free;

    if (build_make_room(b->t, b->plan->nr_pages, more, &nr_free))
        return -1;
    return nr_free < b->plan->nr_pages ? no_memory(b, nr_free) : 0;
}

static int populate(struct builder *b)
{
    uint64_t nr = b->plan->nr_pages, got = hyp_populate(b->hyp, b->out->id, 0, nr, b->p2m);

    return got == nr ? 0 : no_memory(b, got);
}

static int load_kernel(struct builder *b)
{
    uint64_t page = b->k->hypercall_page;

    for (uint32_t i = 0; i < b->k->nr_segments; i++) {
        const struct elf_segment *s = &b->k->segments[i];

        if (write_at(b, s->paddr, b->k->image + s->file_offset, s->file_bytes))
            return -1;
    }
    if (page == ELF_NONE)
        return 0;
    page = (page - b->k->virt_base) / HYP_PAGE;
    if (hyp_hypercall_page(b->hyp, b->out->id, b->p2m[page]))
        return fail(b, "its hypercall page");
    return 0;
}

static int write_tables(struct builder *b)
{
    const struct layout *l = &b->l;
    uint64_t(*tables)[512] = calloc(l->nr_tables + l->nr_p2m_tables, HYP_PAGE);
    int rc;

    if (tables == NULL)
        return fail(b, "its page tables");
    layout_fill_tables(l, b->p2m, tables);
    rc = write_at(b, l->tables_pfn * HYP_PAGE, tables, l->nr_tables * HYP_PAGE);
    if (rc == 0 && l->nr_p2m_tables)
        rc = write_at(b, (l->p2m_pfn + l->nr_p2m) * HYP_PAGE, tables + l->nr_tables,
                      l->nr_p2m_tables * HYP_PAGE);
    free(tables);
    return rc;
}

/* ---- what the kernel is told ---- */

static int write_start_info(struct builder *b, uint64_t shared_info_mfn)
{
    const struct build_plan *plan = b->plan;
    const struct layout *l = &b->l;
    start_info_t si = { .nr_pages = plan->nr_pages,
                        .shared_info = shared_info_mfn * HYP_PAGE,
                        .store_mfn = b->out->store_mfn,
                        .store_evtchn = b->out->store_port,
                        .pt_base = layout_va(l, l->tables_pfn),
                        .nr_pt_frames = l->nr_tables,
                        .mfn_list = l->p2m_va };

    strcpy(si.magic, "xen-3.0-x86_64");
    si.console.domU.mfn = b->out->console_mfn;
    si.console.domU.evtchn = b->out->console_port;
    if (l->nr_p2m_tables) {
        si.first_p2m_pfn = l->p2m_pfn;
        si.nr_p2m_frames = l->nr_p2m + l->nr_p2m_tables;
    }
    if (plan->ramdisk_bytes) {
        bool by_pfn = b->k->mod_start_pfn != 0;

        si.mod_start = by_pfn ? l->ramdisk_pfn : layout_va(l, l->ramdisk_pfn);
        si.mod_len = plan->ramdisk_bytes;
        si.flags = by_pfn ? SIF_MOD_START_PFN : 0;
    }
    snprintf((char *)si.cmd_line, sizeof(si.cmd_line), "%s", plan->cmdline);
    return write_at(b, l->info_pfn * HYP_PAGE, &si, sizeof(si));
}

/* Ours does so itself, Xen leaves it to the builder. */
int build_mask_upcalls(struct toolstack *t, domid_t id, uint64_t shared_info_mfn)
{
    xen_pfn_t mfn = shared_info_mfn;
    struct shared_info *s =
        xenforeignmemory_map(hyp_memory(t->hyp), id, PROT_READ | PROT_WRITE, 1, &mfn, NULL);

    if (s == NULL)
        return failed(t, "its shared_info cannot be mapped");
    for (unsigned int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        s->vcpu_info[i].evtchn_upcall_mask = 1;
    xenforeignmemory_unmap(hyp_memory(t->hyp), s, 1);
    return 0;
}

static void grant(volatile grant_entry_v1_t *table, unsigned int ref, domid_t to, uint64_t mfn)
{
    table[ref].domid = to;
    table[ref].frame = (uint32_t)mfn;
    __atomic_thread_fence(__ATOMIC_RELEASE); /* the flags make it valid */
    table[ref].flags = GTF_permit_access;
}

int build_grant_rings(struct toolstack *t, domid_t id, xen_pfn_t store_mfn, xen_pfn_t console_mfn)
{
    xenforeignmemory_handle *memory = hyp_memory(t->hyp);
    void *table = NULL;
    xenforeignmemory_resource_handle *h =
        xenforeignmemory_map_resource(memory, id, XENMEM_resource_grant_table,
                                      XENMEM_resource_grant_table_id_shared, 0, 1, &table,
                                      PROT_READ | PROT_WRITE, 0);

    if (h == NULL)
        return failed(t, "its grant table cannot be mapped");
    if (store_mfn > UINT32_MAX || console_mfn > UINT32_MAX) {
        xenforeignmemory_unmap_resource(memory, h);
        return toolstack_fail(t, EINVAL, "its rings lie above 16 TiB, where none can be granted");
    }
    grant(table, GNTTAB_RESERVED_CONSOLE, t->self, console_mfn);
    grant(table, GNTTAB_RESERVED_XENSTORE, t->self, store_mfn);
    if (xenforeignmemory_unmap_resource(memory, h))
        return failed(t, "its grant table cannot be unmapped");
    return 0;
}

int build_ports(struct toolstack *t, struct built *built)
{
    int store = hyp_alloc_port(t->hyp, built->id, t->self);
    int console = store < 0 ? -1 : hyp_alloc_port(t->hyp, built->id, t->self);

    if (console < 0)
        return failed(t, "its event channels");
    built->store_port = (uint32_t)store;
    built->console_port = (uint32_t)console;
    return 0;
}

static int set_registers(struct builder *b)
{
    const struct layout *l = &b->l;
    uint64_t root = b->p2m[l->tables_pfn];
    struct vcpu_guest_context c = {
        .flags = VGCF_in_kernel | VGCF_online,
        .user_regs = { .cs = KERNEL_CS, .ss = KERNEL_SS, .rflags = RFLAGS_IF },
        .kernel_ss = KERNEL_SS
    };

    c.user_regs.rip = b->k->entry;
    c.user_regs.rsp = c.kernel_sp = layout_va(l, l->stack_pfn + 1);
    c.user_regs.rsi = layout_va(l, l->info_pfn);
    c.ctrlreg[3] = xen_pfn_to_cr3(root);
    if (hyp_pin(b->hyp, b->out->id, 4, root))
        return fail(b, "its page tables are refused");
    if (hyp_set_state(b->hyp, b->out->id, 0, HYP_BASIC, &c, sizeof(c)))
        return fail(b, "its registers are refused");
    return 0;
}

/* ---- all together ---- */

static int set_memory(struct toolstack *t, const struct build_plan *plan, domid_t id)
{
    if (hyp_max_memory(t->hyp, id, plan->max_pages * (HYP_PAGE / 1024)) ||
        hyp_set_memory_map(t->hyp, id, plan->max_pages * HYP_PAGE))
        return failed(t, "how much memory it may have");
    return 0;
}

static int set_limits(struct toolstack *t, const struct build_plan *plan, domid_t id)
{
    if (hyp_max_vcpus(t->hyp, id, plan->nr_vcpus))
        return failed(t, "its vCPUs");
    return set_memory(t, plan, id);
}

int build_empty(struct toolstack *t, const struct build_plan *plan, domid_t *id)
{
    struct xen_domctl_createdomain c = {
        .ssidref = plan->ssidref,
        .max_vcpus = plan->nr_vcpus,
        .max_evtchn_port = HIGHEST_PORT,
        .max_grant_frames = -1, /* the hypervisor's defaults */
        .max_maptrack_frames = -1,
        .grant_opts = XEN_DOMCTL_GRANT_version(1),
    };
    int error;

    memcpy(c.handle, plan->uuid, sizeof(c.handle));
    if (hyp_create(t->hyp, &c, id))
        return failed(t, "it cannot be created");
    if (set_limits(t, plan, *id) == 0)
        return 0;
    error = errno;
    hyp_destroy(t->hyp, *id);
    errno = error;
    return -1;
}

/* What a domain has before its kernel: made now, or a shell's. */
static int begin(struct builder *b)
{
    const struct shell *shell = b->plan->shell;

    if (shell == NULL)
        return populate(b) || build_ports(b->t, b->out) ? -1 : 0;
    b->out->store_port = shell->store_port;
    b->out->console_port = shell->console_port;
    if (b->plan->max_pages != shell->nr_pages && set_memory(b->t, b->plan, shell->id))
        return -1;
    return build_shell_frames(b->t, shell, b->p2m);
}

static int fill(struct builder *b)
{
    const struct layout *l = &b->l;
    xen_domctl_getdomaininfo_t info;

    if (begin(b) || load_kernel(b))
        return -1;
    b->out->store_mfn = b->p2m[l->store_pfn];
    b->out->console_mfn = b->p2m[l->console_pfn];
    if (hyp_info(b->hyp, b->out->id, &info))
        return fail(b, "it cannot be looked at");
    if (write_at(b, l->ramdisk_pfn * HYP_PAGE, b->plan->ramdisk, b->plan->ramdisk_bytes) ||
        write_at(b, l->p2m_pfn * HYP_PAGE, b->p2m, b->plan->nr_pages * sizeof(*b->p2m)) ||
        write_tables(b) || write_start_info(b, info.shared_info_frame) ||
        (b->plan->shell == NULL && build_mask_upcalls(b->t, b->out->id, info.shared_info_frame)) ||
        build_grant_rings(b->t, b->out->id, b->out->store_mfn, b->out->console_mfn))
        return -1;
    return set_registers(b);
}

static int lay_out(struct builder *b, uint64_t more)
{
    const struct build_plan *plan = b->plan;
    uint64_t nr_ramdisk = (plan->ramdisk_bytes + HYP_PAGE - 1) / HYP_PAGE;

    if (plan->max_pages < plan->nr_pages)
        return toolstack_fail(b->t, EINVAL, "it has more memory than it may have");
    if (!layout_compute(&b->l, b->k, plan->nr_pages, nr_ramdisk))
        return toolstack_fail(b->t, EINVAL, "%s", b->k->error);
    return check_memory(b, more);
}

int build_check(struct toolstack *t, const struct build_plan *plan, uint64_t more_pages)
{
    struct builder b = { .t = t, .hyp = t->hyp, .plan = plan, .k = plan->image->elf };

    return lay_out(&b, more_pages);
}

int build_domain(struct toolstack *t, const struct build_plan *plan, struct built *out)
{
    struct builder b = { .t = t, .hyp = t->hyp, .plan = plan, .out = out, .k = plan->image->elf };
    int rc = 0, error;

    if (lay_out(&b, plan->shell ? plan->nr_pages : 0))
        return -1;
    b.p2m = malloc(plan->nr_pages * sizeof(*b.p2m));
    if (b.p2m == NULL)
        return fail(&b, "its list of frames");
    if (plan->shell)
        out->id = plan->shell->id;
    else
        rc = build_empty(t, plan, &out->id);
    if (rc == 0 && (rc = fill(&b)) != 0 && plan->shell == NULL) {
        error = errno;
        hyp_destroy(t->hyp, out->id);
        errno = error;
    }
    free(b.p2m);
    return rc;
}
