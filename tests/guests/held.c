/*
 * A domain that cannot die yet shows what holds it, by hypfs_op: it is destroyed while this domain has
 * some of its frames mapped. And what sysctl lists and counts meanwhile.
 */
#define __XEN_TOOLS__ 1 /* for domctl.h and sysctl.h */
#include "guest.h"

#include <xen/domctl.h>
#include <xen/hypfs.h>
#include <xen/sysctl.h>

#define AT 0x20000000000UL /* where its frames are mapped: a top-level slot of its own */
#define NR 8u

static struct xen_domctl op;
static struct xen_sysctl sys;
static uint64_t *l1; /* of AT */
static xen_pfn_t mfns[NR];
static domid_t id;

static long domctl(uint32_t cmd)
{
    op.cmd = cmd;
    op.interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = id;
    return hc(domctl, &op);
}

static void sysctl(uint32_t cmd)
{
    sys.cmd = cmd;
    sys.interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    CHECK_EQ(hc(sysctl, &sys), 0);
}

static uint64_t free_pages(void)
{
    sysctl(XEN_SYSCTL_physinfo);
    return sys.u.physinfo.free_pages;
}

/* How many domains there are but this one; of the last, what there is to know. */
static uint32_t others(struct xen_domctl_getdomaininfo *info)
{
    sys.u.getdomaininfolist.first_domain = 1;
    sys.u.getdomaininfolist.max_domains = 1;
    set_xen_guest_handle(sys.u.getdomaininfolist.buffer, info);
    sysctl(XEN_SYSCTL_getdomaininfolist);
    return sys.u.getdomaininfolist.num_domains;
}

/* ---- hypfs ---- */

static struct {
    struct xen_hypfs_direntry e;
    union {
        char text[256];
        uint32_t number;
    };
} entry;

static char path[64];
static long read_entry(const char *name) /* of /domain/ID */
{
    static const char dir[] = "/domain/";
    unsigned int n = sizeof(dir) - 1;

    memset(&entry, 0, sizeof(entry));
    memcpy(path, dir, n);
    if (id >= 10)
        path[n++] = (char)('0' + id / 10);
    path[n++] = (char)('0' + id % 10);
    for (; *name; name++)
        path[n++] = *name;
    path[n++] = '\0';
    return hc(hypfs_op, XEN_HYPFS_OP_read, path, n, &entry, sizeof(entry));
}

static uint32_t number(const char *name)
{
    CHECK_EQ(read_entry(name), 0);
    CHECK_EQ(entry.e.type, XEN_HYPFS_TYPE_UINT);
    return entry.number;
}

static void expect_text(const char *name, const char *want)
{
    uint32_t len = 0;

    while (want[len])
        len++;
    CHECK_EQ(read_entry(name), 0);
    CHECK_EQ(entry.e.type, XEN_HYPFS_TYPE_STRING);
    CHECK_EQ(entry.e.content_len, len + 1);
    CHECK_EQ(memcmp(entry.text, want, len + 1), 0);
}

/* ---- the domain ---- */

static void create(void)
{
    struct xen_memory_reservation r = { .nr_extents = NR };

    op.u.createdomain.handle[0] = 1;
    op.u.createdomain.max_vcpus = 1;
    op.u.createdomain.max_evtchn_port = 1023;
    op.u.createdomain.max_grant_frames = 8;
    op.u.createdomain.max_maptrack_frames = 8;
    op.u.createdomain.grant_opts = 1;
    CHECK_EQ(domctl(XEN_DOMCTL_createdomain), 0);
    id = op.domain;
    CHECK(id > 0 && id < 100);
    memset(&op, 0, sizeof(op));
    op.u.max_mem.max_memkb = 4 * NR;
    CHECK_EQ(domctl(XEN_DOMCTL_max_mem), 0);
    for (unsigned int i = 0; i < NR; i++)
        mfns[i] = i;
    r.domid = id;
    set_xen_guest_handle(r.extent_start, mfns);
    CHECK_EQ(hc(memory_op, XENMEM_populate_physmap, &r), NR);
}

static void scratch_tree(void)
{
    uint64_t *l2 = page_alloc(), *l3 = page_alloc();

    l1 = page_alloc();
    l3[0] = virt_to_maddr(l2) | PTE_FLAGS;
    l2[0] = virt_to_maddr(l1) | PTE_FLAGS;
    page_set_ro(l3);
    page_set_ro(l2);
    page_set_ro(l1);
    CHECK_EQ(pte_write(&kernel_root[AT >> 39], virt_to_maddr(l3) | PTE_FLAGS), 0);
}

static void map(unsigned int i, uint64_t mfn)
{
    struct mmu_update u = { .ptr = virt_to_maddr(&l1[i]) | MMU_PT_UPDATE_NO_TRANSLATE,
                            .val = mfn << 12 | PTE_FLAGS };

    CHECK_EQ(hc(mmu_update, &u, 1, 0, id), 0);
}

static void unmap(unsigned int i)
{
    CHECK_EQ(update_va((void *)(AT + i * PAGE_SIZE), 0, UVMF_INVLPG | UVMF_ALL), 0);
}

void test_main(void)
{
    struct xen_domctl_getdomaininfo info;
    uint64_t before;

    scratch_tree();
    before = free_pages();
    CHECK_EQ(others(&info), 0);
    create();
    CHECK_EQ(others(&info), 1);
    CHECK_EQ(info.domain, id);
    CHECK_EQ(info.tot_pages, NR);
    CHECK_EQ(info.max_pages, NR);
    CHECK(free_pages() <= before - NR);
    expect_text("/role", "guest");
    expect_text("/name", "");
    CHECK_EQ(read_entry("/held"), -ENOENT);
    map(0, mfns[0]);
    map(1, mfns[1]);
    map(2, mfns[1]);
    memset(&op, 0, sizeof(op));
    CHECK_EQ(domctl(XEN_DOMCTL_destroydomain), 0);
    CHECK_EQ(others(&info), 1);
    CHECK(info.flags & XEN_DOMINF_dying);
    CHECK_EQ(number("/held/frames"), 2);
    CHECK_EQ(number("/held/ports"), 0);
    CHECK_EQ(number("/held/references"), 1);
    expect_text("/held/mapped-by", "d0: 3");
    unmap(1);
    CHECK_EQ(number("/held/frames"), 2);
    expect_text("/held/mapped-by", "d0: 2");
    unmap(2);
    CHECK_EQ(number("/held/frames"), 1);
    expect_text("/held/mapped-by", "d0: 1");
    unmap(0);
    for (unsigned int i = 0; i < 1000 && others(&info); i++)
        hc(sched_op, SCHEDOP_yield, 0);
    CHECK_EQ(others(&info), 0);
    CHECK_EQ(read_entry(""), -ENOENT);
    CHECK_EQ(free_pages(), before);
}
