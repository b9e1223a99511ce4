#pragma once

#include <stdbool.h>
#include "pool.h"

/* How a test's machine is to end. */
enum scenario_end {
    END_POWEROFF, /* switched off by the guest, QEMU's status is 0 */
    END_RESET,
    END_STOPPED, /* the hypervisor stopped: one panic line, no reset, QEMU runs on */
    END_RUNNING, /* it runs on, and was not reset */
};

enum firmware { FIRMWARE_BIOS, FIRMWARE_UEFI };

enum { SCENARIO_STEPS = 40 };

/* One boot of a machine. What is not given has a default (see scenario.c). */
struct scenario {
    const char *group, *name;
    unsigned int memory_mib, smp;
    const char *machine; /* QEMU's: pc, q35, and after a comma its properties */
    enum firmware firmware;
    const char *cpu;
    const char *disk; /* the disk for job disk: ahci, virtio-blk, nvme, nvme4k (blocks of 4096) */
    const char *root; /* a disk of files_dir, as the first virtio-blk */
    const char *nic;  /* the network for job net: e1000e, virtio-net */
    const char *qemu; /* further arguments for QEMU, separated by spaces */
    const char *hypervisor_cmdline; /* after the console's */
    const char *kernel;             /* a file of the image; "none" */
    const char *kernel_cmdline;
    const char *ramdisk;
    const char
        *modules[2]; /* further ones: a file of the image, a space and its text; NULL: none */
    const char *acpi_table; /* SIGNATURE/file: put in place of the firmware's */
    /* In order: an extended regular expression to be seen on the console; with '>' as the first
     * character, text to be sent; "!nmi" injects 500 NMIs, five milliseconds apart,
     * "!mce" a machine check that the CPU survives; "!screen REGEX" is to be seen on the local
     * screen; "!duration PREFIX" expects PREFIX and a number of milliseconds, those since the step
     * before; "!only TEXT": where the console has not said this, the rest is skipped;
     * "!same REGEX": what it matches is, to the character, what the step with the same text has matched when it was played
     * before; "!repeat TIMES STEPS": those that follow, as often. */
    const char *steps[SCENARIO_STEPS];
    const char *forbidden; /* further lines that must not be seen */
    enum scenario_end end;
    bool kernel_crash;      /* a crash of the kernel is expected */
    bool no_audit;          /* the machine cannot be asked for an audit at the end */
    unsigned int timeout_s; /* for each step */
};

struct scenario_options {
    const char *iso, *log_dir;
    const char *files_dir; /* disks, and what is served on the network */
    const char *kernel;    /* whose font the local screen is read with */
    bool one_thread; /* QEMU's CPUs take turns: what they wait for from each other is soon there */
};

/* The whole life of the machine, into result. */
void scenario_run(const struct scenario *s, const struct scenario_options *o,
                  struct result *result);

/* A PV test kernel: the console says VERDICT name SUCCESS|SKIP|ERROR|FAILURE, or EXPECT name CRASH
 * before the domain is crashed by intention. Silence is a failure. */
void scenario_run_guest(const struct scenario *s, const struct scenario_options *o,
                        struct result *result);

/* The same in a domain beside domain 0, whose kernel has a verdict, too, when the domain has ended:
 * neither may be bad. The test kernel is that of the first further module, and perhaps of the second. */
void scenario_run_beside(const struct scenario *s, const struct scenario_options *o,
                         struct result *result);
