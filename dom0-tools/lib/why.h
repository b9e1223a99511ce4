/*
 * What a domain waits for and what holds it, as far as the hypervisor's interface and the store say it. Nothing
 * is changed, and the domain is not stopped meanwhile: what belongs together may not fit together.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/domctl.h>

struct toolstack;

enum {
    WHY_VCPUS = 512,
    WHY_PORTS = 4096, /* those with a higher number are not looked at */
    WHY_DEVICES = 64,
    WHY_PEERS = 32,
    WHY_QUOTAS = 16,
};

struct why_vcpu {
    bool online, running, blocked;
    uint32_t cpu;
    uint64_t cpu_time_ns;
};

struct why_port {
    uint32_t port, vcpu;
    uint32_t status; /* EVTCHNSTAT_* */
    domid_t domain;  /* of one that is unbound or interdomain */
    uint32_t number; /* the remote port, pirq or virq */
};

/** The two directions of a ring, in bytes that nobody has taken yet. */
struct why_ring {
    bool known;  /* the rest is */
    bool broken; /* its indices are impossible */
    uint32_t from_domain, to_domain;
};

struct why_device {
    char name[40];            /* "vif/0" */
    int state, backend_state; /* XenbusState of <xen/io/xenbus.h>; -1: not known */
    int backend_domain;       /* -1: not known */
};

struct why_peer {
    domid_t domain;
    uint32_t nr_grants; /* of the domain's, that it uses */
};

struct why_quota {
    char name[24];
    unsigned long long used, limit, hits; /* how often it was refused something */
};

struct why {
    xen_domctl_getdomaininfo_t info;
    char name[64]; /* "": it has none */

    uint32_t nr_vcpus, nr_ports;
    struct why_vcpu vcpus[WHY_VCPUS];
    struct why_port ports[WHY_PORTS]; /* those in use, by number */

    /* Grants. */
    bool grants_known;
    uint32_t grant_frames, max_grant_frames, nr_peers;
    struct why_peer peers[WHY_PEERS]; /* with more of them: the first */

    /* A dying one: what is left, by the hypervisor's /domain/ID/held; Xen has no such thing. */
    bool held_known;
    unsigned long held_frames, held_ports, held_references;
    char mapped_by[256]; /* "d1: 5, d2: 7": page table entries with frames of it */

    /* The store. */
    bool introduced;
    uint32_t store_port, console_port; /* 0: none */
    struct why_ring store, console;
    char tty[64], request[16]; /* its console; what it was asked for and has not done: "poweroff" */
    uint64_t target_kib;       /* that its balloon is to reach; 0: not known */
    uint32_t nr_quotas, nr_devices;
    struct why_quota quotas[WHY_QUOTAS];
    struct why_device devices[WHY_DEVICES];
};

/** ESRCH: there is no such domain. What else cannot be had is not known: w says so. */
int why_ask(struct toolstack *t, domid_t id, struct why *w);
