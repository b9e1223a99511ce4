/*
 * What xl's reading commands print, from plain structs: as text exactly as xl 4.17 has it, which scripts
 * parse, and as JSON for --json, whose members are named here and stay.
 *
 * For the tables: first the head, then a row for each.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "json.h"
#include "text.h"

enum {
    XL_RUNNING = 1, /* in the order of the letters rbpscd */
    XL_BLOCKED = 2,
    XL_PAUSED = 4,
    XL_SHUTDOWN = 8,
    XL_CRASHED = 16, /* and XL_SHUTDOWN */
    XL_DYING = 32,
};

struct xl_domain {
    uint32_t id;
    const char *name; /* "" if there is none */
    uint8_t uuid[16];
    const char *pool;
    uint64_t memory_kib; /* what it has, and what is claimed for it */
    uint64_t max_memory_kib;
    unsigned int nr_vcpus; /* online */
    unsigned int max_vcpus;
    unsigned int state;           /* XL_* */
    unsigned int shutdown_reason; /* SHUTDOWN_* of <xen/sched.h>; if XL_SHUTDOWN */
    uint64_t cpu_time_ns;
    uint64_t uptime_s;
    unsigned int weight, cap_percent; /* of credit2 */
};

/* ---- xl list ---- */

enum { LIST_VERBOSE = 1, LIST_CONTEXT = 2, LIST_POOL = 4, LIST_NODES = 8 }; /* -v -Z -c -n */

void print_list_head(struct text *t, unsigned int options);

/** There is one NUMA node, and there are no security labels. */
void print_list(struct text *t, unsigned int options, const struct xl_domain *d);

/**
 * An element of --json's array:
 *   name, id, uuid, pool, memory_kib, max_memory_kib, vcpus, max_vcpus,
 *   state: an array of "running", "blocked", "paused", "shutdown", "crashed", "dying",
 *   shutdown_reason: null, or "poweroff", "reboot", "suspend", "crash", "watchdog", "soft_reset", or a number
 *   cpu_seconds, uptime_seconds, weight, cap_percent
 */
void json_list(struct json *j, const struct xl_domain *d);

/** An element of xl list -l's array: domid, config. */
void json_long(struct json *j, uint32_t id, const struct domain_config *c);

/* ---- xl vcpu-list ---- */

struct xl_vcpu {
    unsigned int id;
    unsigned int cpu; /* on which it runs or ran */
    bool online, running, blocked;
    uint64_t cpu_time_ns;
    struct config_cpus hard, soft; /* affinity */
};

void print_vcpus_head(struct text *t);

/** @nr_cpus  of the machine */
void print_vcpu(struct text *t, const struct xl_domain *d, const struct xl_vcpu *v,
                unsigned int nr_cpus);

/** An element: name, id, vcpu, cpu (null: offline), state: "running", "blocked", "runnable", "offline", cpu_seconds, hard, soft: "0-3" or "all". */
void json_vcpu(struct json *j, const struct xl_domain *d, const struct xl_vcpu *v,
               unsigned int nr_cpus);

/* ---- xl channel-list ---- */

/** One console beside the first, of number index + 1. */
struct xl_channel {
    unsigned int index;      /* in the domain's list; */
    unsigned int backend_id; /* domain */
    unsigned int state;      /* XenbusState of the frontend; */
    int64_t port, ring_ref;  /* -1: it has not said so */
    const char *name;        /* "" if there is none, as of the other texts */
    const char *connection;  /* "pty", "socket" */
    const char *path;        /* of a pty its terminal, of a socket its path */
};

void print_channels_head(struct text *t);

/** As xl's, of a pty with its terminal. */
void print_channel(struct text *t, const struct xl_channel *c);

/** An element: domain (its id), index, console (the number for xl console -n), name, connection, path (null: not
 *  known), backend_domain, state, port, ring_ref (null: the frontend has not said so). */
void json_channel(struct json *j, uint32_t domain, const struct xl_channel *c);

/* ---- xl sched-credit2, xl uptime ---- */

void print_credit2_pool(struct text *t, const char *pool, unsigned int ratelimit_us);
void print_credit2_head(struct text *t);
void print_credit2(struct text *t, const struct xl_domain *d);

void print_uptime_head(struct text *t);
void print_uptime(struct text *t, const struct xl_domain *d);

/** -s. @now_s  of the day, UTC */
void print_uptime_short(struct text *t, const struct xl_domain *d, unsigned int now_s);

/* ---- xl top, as xentop -b prints it ---- */

struct xl_usage {
    struct xl_domain domain;
    unsigned int cpu_tenths; /* of a per cent of one CPU, since the last look */
    bool unlimited;          /* its memory is */
    unsigned int nr_vifs, nr_vbds;
    uint32_t label; /* of security: its number */
};

enum { TOP_NAME = 10 };

/** @name_width  TOP_NAME, or more: names are cut there */
void print_top_head(struct text *t, unsigned int name_width);

/**
 * What devices have transferred nobody counts: it is 0 of a domain without them, else "n/a".
 * @machine_kib  its memory
 */
void print_top(struct text *t, unsigned int name_width, const struct xl_usage *u,
               uint64_t machine_kib);

/** What stands above the table at a terminal. */
struct xl_summary {
    const char *version;       /* "4.17.5" */
    unsigned int now_s;        /* of the day, UTC */
    unsigned int nr, nr_in[6]; /* domains; those in each state, in the order of XL_* */
    uint64_t total_kib, free_kib;
    unsigned int nr_cpus;
    uint64_t cpu_khz;
};
void print_top_summary(struct text *t, const struct xl_summary *s);

/* ---- xl info ---- */

struct xl_info {
    const char *host, *release, *version, *machine; /* of the control domain's kernel */
    unsigned int nr_cpus, max_cpu_id, nr_nodes, cores_per_socket, threads_per_core;
    uint64_t cpu_khz;
    uint32_t hw_caps[8];
    const char *virt_caps; /* "pv hvm" */
    uint64_t total_mib, free_mib, outstanding_claims_mib;
    unsigned int free_cpus; /* of no cpupool */
    unsigned int xen_major, xen_minor;
    const char *xen_extra, *xen_caps, *scheduler;
    unsigned int page_bytes;
    uint64_t virt_start;
    const char *changeset, *command_line, *compiler, *compile_by, *compile_domain, *compile_date,
        *build_id;

    /* -n: NULL: not wanted */
    const struct xl_cpu *cpus;
    const struct xl_node *nodes;
    struct xl_pci *devices; /* PCI's */
    unsigned int nr_listed_cpus, nr_listed_nodes, nr_devices;
};

struct xl_pci {
    unsigned int segment, bus, device, function;
    bool known; /* its node is */
    unsigned int node;
};

struct xl_cpu {
    bool there;
    unsigned int core, socket, node;
};

struct xl_node {
    uint64_t bytes, free_bytes;
    const uint32_t *distances; /* from each */
};

void print_info(struct text *t, const struct xl_info *i);

/**
 * The same, with the same names; what are numbers there are numbers, platform_params has virt_start as a text. With -n
 *   cpu_topology: an array of cpu, core, socket, node
 *   device_topology: an array of device ("0000:00:01.0"), node
 *   numa_info: an array of node, memsize, memfree (MiB), distances (an array)
 */
void json_info(struct json *j, const struct xl_info *i);

/* ---- xl why: ours, there is none of Xen's ---- */

struct why; /* lib/why.h */

/** Name and state, a line for each reason that can be told, then what is known: vCPUs, ports, memory and so on. */
void print_why(struct text *t, const struct why *w);

/**
 * An object:
 *   name, id, state: "dying", "shutdown", "paused", "running", "blocked" or "runnable"
 *   reasons: an array of code, text; the code is one of "held", "shutdown", "paused", "asked", "offline", "blocked",
 *     "cpu", "balloon", "store", "console", "quota", "device"
 *   vcpus: an array of vcpu, state, cpu (null: offline), cpu_seconds
 *   ports: an array of port, kind: "unbound", "interdomain", "pirq", "virq" or "ipi", vcpu, and where they mean
 *     something domain, remote_port, pirq, virq, use: "store", "console" or the VIRQ's name
 *   memory: kib, max_kib, claimed_kib, target_kib (0: not known)
 *   grants: null, or frames, max_frames, used_by: an array of domain, grants
 *   held: null, or frames, ports, references, mapped_by: "d1: 5"
 *   store: serves_it, ring, quotas: an array of name, used, limit, refused
 *   console: tty, ring; a ring is null, or bytes_from_domain, bytes_to_domain, broken
 *   devices: an array of device, state, backend_state (the names of XenbusState, or null), backend_domain (or null)
 */
void json_why(struct json *j, const struct why *w);
