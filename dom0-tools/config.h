/*
 * A domain's configuration: what an xl.cfg(5) file says, checked, as plain data.
 *
 * A struct domain_config has no pointers: it is copied by assignment and never freed. It has some 29 KiB,
 * too much for a thread's stack. Whoever wrote the file is not trusted: no text is longer and no number is
 * larger than what stands here.
 */
#pragma once
#include <platform.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONFIG_NAME = 64, /* lengths of texts, with the zero */
    CONFIG_PATH = 256,
    CONFIG_CMDLINE = 1024, /* what start_info has room for */
    CONFIG_VCPUS = 64,     /* of a domain */
    CONFIG_CPUS = 256,     /* of a machine */
    CONFIG_DEVICES = 16,   /* disks, vifs, channels */
    CONFIG_SOCKET_PATH = 100,
};

/** What is done with a domain that has ended, each in the way of xl.cfg(5). */
enum config_action {
    CONFIG_DESTROY,
    CONFIG_RESTART,
    CONFIG_RENAME_RESTART,
    CONFIG_PRESERVE,
    CONFIG_COREDUMP_DESTROY,
    CONFIG_COREDUMP_RESTART,
    CONFIG_NR_ACTIONS, /* soft-reset is not for PV domains: refused */
};

/** "rename-restart" */
const char *config_action_name(enum config_action action);

/** A set of physical CPUs. */
struct config_cpus {
    uint64_t word[CONFIG_CPUS / 64]; /* CPU n is bit n % 64 of word n / 64 */
};

/** On which CPUs a domain's vCPUs run, or run best. Those from nr_vcpus on: on any. */
struct config_affinity {
    unsigned int nr_vcpus; /* 0: nothing was said */
    struct config_cpus vcpu[CONFIG_VCPUS];
};

enum config_format {
    CONFIG_RAW,
    CONFIG_QCOW,
    CONFIG_QCOW2,
    CONFIG_VHD,
    CONFIG_QED,
    CONFIG_NR_FORMATS
};

enum config_backend_type {
    CONFIG_BACKEND_ANY, /* the toolstack chooses */
    CONFIG_BACKEND_PHY,
    CONFIG_BACKEND_QDISK,
    CONFIG_NR_BACKENDS,
};

/** xl-disk-configuration(5). */
struct config_disk {
    char target[CONFIG_PATH];  /* absolute, or what the script takes; "": an empty CD drive */
    char vdev[16];             /* "xvda1" */
    char backend[CONFIG_NAME]; /* domain; "": domain 0 */
    char script[CONFIG_PATH];  /* "": none */
    enum config_format format;
    enum config_backend_type backend_type;
    bool read_only;
    bool cdrom;
    bool direct_io_safe;
    bool discard; /* these two are true unless it says otherwise */
    bool trusted;
};

/** xl-network-configuration(5). */
struct config_vif {
    bool has_mac; /* else one is to be made up */
    uint8_t mac[6];
    bool trusted;              /* unless it says otherwise */
    uint16_t mtu;              /* 0: what the backend thinks */
    uint32_t devid;            /* the index in the list, unless it says otherwise */
    char bridge[32];           /* "": the default */
    char gateway[32];          /* device; "": none */
    char vifname[32];          /* "": vifDOMID.DEVID */
    char ip[128];              /* as it stands there; "": none */
    char script[CONFIG_PATH];  /* "": the default */
    char backend[CONFIG_NAME]; /* domain; "": domain 0 */
    uint64_t rate_bytes;       /* in a second; 0: no limit */
    uint32_t rate_interval_us; /* granted in portions, so often */
};

/** What a vif may transfer in one of its intervals. */
uint64_t config_rate_per_interval(const struct config_vif *vif);

enum config_connection { CONFIG_PTY, CONFIG_SOCKET, CONFIG_NR_CONNECTIONS };

/** A console beside the first: of the channel at index i of the list it is the one of number i + 1. */
struct config_channel {
    enum config_connection connection; /* what the other end is, on a Linux control domain */
    char name[CONFIG_NAME];            /* by which the guest's programs find it; not "" */
    char path[CONFIG_SOCKET_PATH];     /* of a socket, absolute; else "" */
    char backend[CONFIG_NAME];         /* domain; "": domain 0 */
};

/** Who answers a guest's RDTSC; the numbers are the hypervisor's. DEFAULT: the CPU, if its TSC can be relied on. */
enum config_tsc {
    CONFIG_TSC_DEFAULT,
    CONFIG_TSC_ALWAYS_EMULATE,
    CONFIG_TSC_NATIVE,
    CONFIG_NR_TSC,
};

/** As xl.cfg has it. */
const char *config_tsc_name(enum config_tsc mode);

struct domain_config {
    char name[CONFIG_NAME];           /* not "", printable, without '/' */
    bool has_uuid;                    /* else one is to be made up */
    uint8_t uuid[16];                 /* in the order in which it is written */
    char kernel[CONFIG_PATH];         /* not "" */
    char ramdisk[CONFIG_PATH];        /* "": none */
    char cmdline[CONFIG_CMDLINE];     /* of cmdline=, or of root= and extra= */
    uint64_t memory_kib;              /* at the start; 1 MiB at least */
    uint64_t max_memory_kib;          /* not below */
    unsigned int nr_vcpus;            /* at the start, 1 or more: vCPUs 0.. are online */
    unsigned int max_vcpus;           /* not below, CONFIG_VCPUS at most */
    struct config_affinity cpus;      /* cpus=: hard affinity */
    struct config_affinity cpus_soft; /* cpus_soft= */
    unsigned int weight;              /* 1..65535; 0: the scheduler's default */
    unsigned int cap_percent;         /* of one CPU: 250 are two and a half; 0: none */
    char pool[CONFIG_NAME];           /* cpupool, by name or number; "": the first */
    enum config_tsc tsc_mode;
    unsigned int nr_disks, nr_vifs, nr_channels;
    struct config_disk disk[CONFIG_DEVICES];
    struct config_vif vif[CONFIG_DEVICES];
    struct config_channel channel[CONFIG_DEVICES];
    enum config_action on_poweroff, on_reboot, on_crash, on_watchdog;
};

/** What of the machine a configuration can speak of. */
struct config_host {
    unsigned int nr_cpus;      /* CONFIG_CPUS at most: "all" */
    uint8_t node[CONFIG_CPUS]; /* of each CPU: "node:1" */
};

/** What can be served; a configuration that wants more of this is refused by the key's name. */
enum { CONFIG_SERVE_DISK = 1, CONFIG_SERVE_VIF = 2 };

/** A configuration as it comes. */
struct config_source {
    const char *file; /* its name, for messages */
    const char *text;
    size_t len_bytes;
    char *const *overrides; /* further "key=value": they win over the file */
    unsigned int nr_overrides;
    const struct config_host *host; /* NULL: CONFIG_CPUS CPUs of node 0 */
    unsigned int served;            /* CONFIG_SERVE_* */
    /*
     * What is wrong with it, one call for each thing. PLAT_ERROR: there will be no domain; PLAT_WARNING.
     * line  1.., 0: of the whole; of an override, whose file is "command line": which one
     * text  without a newline, printable
     */
    void (*report)(void *arg, enum plat_level level, const char *file, unsigned int line,
                   const char *text);
    void *arg;
};

/**
 * @c  all of it is written, of use only on success
 * Returns 0, or -EINVAL: report() has had an error; -ENOMEM: no error was reported.
 */
int config_parse(struct domain_config *c, const struct config_source *source);

/**
 * The configuration as the text of an xl.cfg file: config_parse() makes the same of it again.
 * @size  of buf; as with snprintf() what has no room is left out
 * Returns the length of all of it, without the zero.
 */
size_t config_print(const struct domain_config *c, char *buf, size_t size);

/**
 * One device by the syntax of disk= and vif=. source has host, report and arg, and what stands in file is reported about;
 * nothing else of it is looked at.
 * Returns 0; -EINVAL: reported.
 * @vif  its devid is UINT32_MAX unless the text has one
 */
int config_parse_disk(struct config_disk *disk, const char *text,
                      const struct config_source *source);
int config_parse_vif(struct config_vif *vif, const char *text, const struct config_source *source);

struct json;

/** One of them, as an element of its list. @key  as in json.h */
void config_json_disk(struct json *j, const char *key, const struct config_disk *disk);
void config_json_vif(struct json *j, const char *key, const struct config_vif *vif);

/** The same as an object of the shape that `xl list -l` and `xl create -n` print. @key  as in json.h */
void config_json(struct json *j, const char *key, const struct domain_config *c);

/**
 * The configuration out of that again, or out of what Debian's xl keeps with a domain. What it says beside is not
 * looked at; devices that are no disks and no vifs are refused.
 * @c      all of it is written, of use only on success
 * @wrong  receives on failure what is wrong
 * Returns 0; -EINVAL.
 */
int config_from_json(struct domain_config *c, const char *text, size_t len, char *wrong,
                     size_t wrong_bytes);

/** "0-3,6", as xl prints it: "all" if these are all CPUs of the machine, "none". Cut at the end. */
void config_print_cpus(const struct config_cpus *cpus, unsigned int nr_cpus, char *buf,
                       size_t size);

/**
 * A list of CPUs as cpus= and `xl vcpu-pin` take it: "all", "none", "0-3,^1", "node:0".
 * Returns 0; -EINVAL: it is no such list, or has no CPU though it is not "none".
 */
int config_parse_cpus(struct config_cpus *cpus, const char *text, const struct config_host *host);

/** A MAC address: six times two digits, with colons between them. False: it is none. */
bool config_parse_mac(const char *text, uint8_t mac[6]);

/** Digits, or "0x" and digits (or 0 and octal ones), all of it, up to max. */
bool config_parse_number(const char *text, uint64_t max, uint64_t *value);

/** A UUID, with dashes where they belong or without. 0; -EINVAL. */
int config_parse_uuid(uint8_t uuid[16], const char *text);

/** @buf receives 36 characters and a zero. */
void config_print_uuid(const uint8_t uuid[16], char buf[37]);
