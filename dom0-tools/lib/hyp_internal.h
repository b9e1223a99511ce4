/* Private to hyp.c, hyp_info.c and hyp_state.c. */
#pragma once
#include "hyp.h"

#include <xencall.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hypfs.h>

_Static_assert(XEN_DOMCTL_INTERFACE_VERSION == 0x15 && XEN_SYSCTL_INTERFACE_VERSION == 0x15,
               "ABI: another libxen-dev");

enum {
    NR_EXTENTS = 2048, /* of one call */
    NR_INFOS = 128,
    CPU_WORDS = 4, /* of a set of CPUs */
    HYPFS_BYTES = 4096,
    ORDER_LARGE = 9, /* 2 MiB: what fills memory fast, and is to be had */
    E820_RAM = 1,
};

struct e820 {
    uint64_t start, bytes;
    uint32_t type;
} __attribute__((packed));

/* An argument of a hypercall, and what that refers to. */
struct buffer {
    union {
        struct xen_domctl domctl;
        struct xen_sysctl sysctl;
        struct xen_memory_reservation reservation;
        struct xen_foreign_memory_map map;
        struct mmuext_op mmuext;
        struct evtchn_alloc_unbound unbound;
        struct evtchn_status status;
        struct gnttab_query_size grants;
        struct gnttab_get_version grant_version;
        struct {
            struct xen_hypfs_direntry entry;
            char contents[HYPFS_BYTES];
        } hypfs;
    };
    union {
        xen_pfn_t extents[NR_EXTENTS];
        xen_domctl_getdomaininfo_t infos[NR_INFOS];
        struct vcpu_guest_context context;
        struct e820 e820;
        uint64_t cpus[2][CPU_WORDS];
        xen_sysctl_cputopo_t topology[HYP_CPUS];
        struct {
            xen_sysctl_meminfo_t memory[HYP_NODES];
            uint32_t distances[HYP_NODES * HYP_NODES];
        } nodes;
        struct {
            physdev_pci_device_t devices[HYP_PCI];
            uint32_t nodes[HYP_PCI];
        } pci;
        char text[HYP_STATE_MAX];
        struct {
            xen_cpuid_leaf_t leaves[HYP_LEAVES];
            xen_msr_entry_t msrs[HYP_MSRS];
        } policy;
    };
};

struct hyp {
    xencall_handle *call;
    xenforeignmemory_handle *memory;
    struct buffer *buffer;
};

/* A cleared domctl, to be filled; then it is called: the caller has set what it says beside its name. */
struct xen_domctl *hyp_fresh(struct hyp *h);
int hyp_domctl(struct hyp *h, uint32_t cmd, domid_t id);

/* That sysctl, filled by the caller likewise. */
int hyp_sysctl(struct hyp *h, uint32_t cmd);
