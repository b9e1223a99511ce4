/* Machines that boot, from GRUB to the end of Linux as domain 0, good ones and bad ones. */
#include "boot_tests.h"

#define SMALL "dom0_mem=256M"

/* Debian's kernel under load (issue 2): every size of memory on every kind of CPU. */
#define STRESS(group_name, size, mib, cpu_name, cpu_type, arguments)                              \
    {                                                                                             \
        .group = group_name, .name = "stress-" size "-" cpu_name, .memory_mib = mib,              \
        .cpu = cpu_type, .hypervisor_cmdline = arguments, .kernel_cmdline = "xl_job=stress",      \
        .ramdisk = "full.gz", .steps = { "XL-JOB-START stress", "XL-JOB-RC 0" }, .timeout_s = 180 \
    }

/* Ten seconds by the guest's clocks, and by ours. */
#define CLOCK(group_name, what, machine_type, ...)                                       \
    {                                                                                    \
        .group = group_name, .name = "clock-" what, .machine = machine_type,             \
        .kernel_cmdline = "xl_job=clock xl_clock=10", .ramdisk = "devices.gz",           \
        .steps = { "clock: 1 threads, 10 seconds", "!duration clock: ", "XL-JOB-RC 0" }, \
        __VA_ARGS__                                                                      \
    }

#define SYSTEMD(group_name, what, ...)                                                              \
    {                                                                                               \
        .group = group_name, .name = what, .memory_mib = 1024, .root = "root.img",                  \
        .kernel_cmdline = "xl_root=vda", .ramdisk = "devices.gz",                                   \
        .steps = { "xen-like login: ",                                                              \
                   ">root\n",                                                                       \
                   "root@xen-like:.*# ",                                                            \
                   ">systemctl is-system-running --wait; systemctl --failed --no-legend | wc -l\n", \
                   "^running\n0\n",                                                                 \
                   "root@xen-like:.*# ",                                                            \
                   ">poweroff\n" },                                                                 \
        .forbidden = "Failed to (start|mount)|\\[FAILED\\]|^degraded", .timeout_s = 300,            \
        __VA_ARGS__                                                                                 \
    }

/* Text mode's font has another f. */
#define SCREEN(group_name, what, machine_type, firmware_type)                                  \
    {                                                                                          \
        .group = group_name, .name = "screen-" what, .machine = machine_type,                  \
        .firmware = firmware_type, .qemu = "-vga std",                                         \
        .kernel_cmdline = "console=tty0 console=hvc0 fbcon=font:VGA8x16 xl_job=screen",        \
        .ramdisk = "devices.gz",                                                               \
        .steps = { "XL-JOB-RC 0",                                                              \
                   "!screen ^XL-SCREEN-LINE 7: the quick brown .ox jumps over the lazy dog" }, \
    }

/* The longest first, so that the processors are busy to the end. */
const struct scenario boot_scenarios[] = {
    /* One domain that is given all of 8 GiB; the others start sooner with less. */
    STRESS("soak", "8G", 8192, "haswell", "Haswell-noTSX,-smap", ""),
    STRESS("test", "8G", 8192, "qemu64", "qemu64", "dom0_mem=1024M"),
    STRESS("soak", "8G", 8192, "max", "max,-smap", "dom0_mem=1024M"),
    STRESS("soak", "2G", 2048, "haswell", "Haswell-noTSX,-smap", "dom0_mem=1024M"),
    STRESS("soak", "2G", 2048, "qemu64", "qemu64", ""),
    STRESS("test", "2G", 2048, "max", "max,-smap", "dom0_mem=1024M"),
    STRESS("test", "512M", 512, "haswell", "Haswell-noTSX,-smap", "dom0_mem=400M"),
    STRESS("soak", "512M", 512, "qemu64", "qemu64", "dom0_mem=400M"),
    STRESS("soak", "512M", 512, "max", "max,-smap", "dom0_mem=400M"),
    { .group = "soak",
      .name = "soak-512M-qemu64",
      .memory_mib = 512,
      .cpu = "qemu64",
      .hypervisor_cmdline = "dom0_mem=400M",
      .kernel_cmdline = "xl_job=soak",
      .ramdisk = "full.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 900 },
    { .group = "soak",
      .name = "soak-2G-max",
      .memory_mib = 2048,
      .cpu = "max,-smap",
      .kernel_cmdline = "xl_job=soak",
      .ramdisk = "full.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 900 },
    { .group = "soak",
      .name = "soak-8G-haswell",
      .memory_mib = 8192,
      .cpu = "Haswell-noTSX,-smap",
      .kernel_cmdline = "xl_job=soak",
      .ramdisk = "full.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 900 },

    /* Devices without message-signalled interrupts: lines of the I/O APIC. */
    { .group = "test",
      .name = "intx-ahci-e1000e",
      .disk = "ahci",
      .nic = "e1000e",
      .kernel_cmdline = "pci=nomsi xl_job=disk,net xl_irq=intx",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 180 },
    { .group = "soak",
      .name = "intx-nvme-virtio-net",
      .machine = "q35",
      .disk = "nvme",
      .nic = "virtio-net",
      .kernel_cmdline = "pci=nomsi xl_job=disk,net xl_irq=intx",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 180 },

    /* More virtual CPUs than real ones, and fewer. */
    { .group = "test", /* more CPUs */
      .name = "stress-4-vcpus-of-2",
      .smp = 2,
      .hypervisor_cmdline = "dom0_max_vcpus=4",
      .kernel_cmdline = "xl_job=stress,clock xl_cpus=4 xl_load=5 xl_clock=5",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 300 },
    { .group = "soak",
      .name = "soak-4-vcpus-of-2",
      .memory_mib = 1024,
      .smp = 2,
      .hypervisor_cmdline = "dom0_max_vcpus=4",
      .kernel_cmdline = "xl_job=soak,clock xl_cpus=4 xl_load=100 xl_clock=60",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 1800 },
    { .group = "soak",
      .name = "soak-2-vcpus-of-4",
      .memory_mib = 1024,
      .smp = 4,
      .hypervisor_cmdline = "dom0_max_vcpus=2",
      .kernel_cmdline = "xl_job=soak,clock xl_cpus=2 xl_load=100 xl_clock=60",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 1800 },
    { .group = "soak",
      .name = "soak-hotplug-4",
      .smp = 4,
      .kernel_cmdline = "xl_job=hotplug,clock xl_cpus=4 xl_rounds=40 xl_clock=60",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 1800 },
    { .group = "soak",
      .name = "hotplug-4-vcpus-of-1",
      .hypervisor_cmdline = "dom0_max_vcpus=4",
      .kernel_cmdline = "xl_job=hotplug,clock xl_cpus=4 xl_clock=4",
      .ramdisk = "devices.gz",
      .steps = { "XL-JOB-RC 0" },
      .timeout_s = 180 },

    /* The clocks, whatever there is to calibrate them with: ten seconds are ten seconds. */
    CLOCK("soak", "no-hpet", "pc,hpet=off", ),
    CLOCK("soak", "no-pit", "pc,pit=off", ),
    CLOCK("test", "no-pit-no-hpet", "q35,pit=off,hpet=off", ),
    CLOCK("soak", "uefi-no-pit-no-hpet", "q35,pit=off,hpet=off",
          .firmware = FIRMWARE_UEFI), /* UEFI */

    /* Debian with systemd, from a disk, to a login. */
    SYSTEMD("test", "systemd", ),
    SYSTEMD("soak", "soak-systemd-uefi-q35-4", .firmware = FIRMWARE_UEFI, .machine = "q35",
            .smp = 4),

    /* The local screen, read as text. */
    SCREEN("test", "bios", "pc", FIRMWARE_BIOS),
    SCREEN("test", "uefi", "q35", FIRMWARE_UEFI), /* UEFI, the framebuffer */

    { .group = "test",
      .name = "smoke",
      .kernel_cmdline = "xl_job=smoke",
      .steps = { "XL-JOB-START smoke", "XL-JOB-RC 0" } },
    { .group = "soak",
      .name = "info",
      .kernel_cmdline = "xl_job=info",
      .steps = { "==== cat /proc/cpuinfo", "==== dmesg", "XL-JOB-RC 0" } },

    /* Xen's tools about the machine and domain 0. */
    { .group = "test",
      .name = "tools",
      .memory_mib = 1024,
      .smp = 2,
      .hypervisor_cmdline = "dom0_mem=512M",
      .kernel_cmdline = "xl_job=tools xl_cpus=2 xl_pcpus=2",
      .ramdisk = "tools.gz",
      .steps = { "XL-JOB-START tools", "XL-JOB-RC 0" },
      .timeout_s = 300 },

    /* Our xl and store on Linux, beside Debian's xl. */
    { .group = "test",
      .name = "our-xl",
      .memory_mib = 1024,
      .smp = 2,
      .hypervisor_cmdline = "dom0_mem=512M",
      .kernel_cmdline = "xl_job=xl",
      .ramdisk = "ours.gz",
      .steps = { "XL-JOB-START xl", "XL-JOB-RC 0" },
      .timeout_s = 600 },

    /* Four virtual CPUs share the one there is. */
    { .group = "soak",
      .name = "four-vcpus",
      .hypervisor_cmdline = "dom0_max_vcpus=4",
      .kernel_cmdline = "xl_job=smoke",
      .steps = { "smp: Brought up 1 node, 4 CPUs|XL-JOB-START smoke", "XL-JOB-RC 0" } },

    /* NMIs at any instruction, those of the entry code among them. */
    { .group = "test",
      .name = "nmi",
      .kernel_cmdline = "xl_job=smoke",
      .steps = { "XL-JOB-START smoke", "!nmi", "!mce",
                 "Machine check: bank 2, status bd00000000000000, address 1234000",
                 "XL-JOB-RC 0" } },

    /* The ends of a machine. */
    { .group = "soak",
      .name = "shell-poweroff",
      .steps = { "XL-SHELL-READY", "/ # ", ">echo $((6 * 7))\n", "^42\n", "/ # ", ">poweroff\n" } },
    { .group = "test",
      .name = "reboot",
      .kernel_cmdline = "xl_job=reboot",
      .no_audit = true,
      .steps = { "XL-JOB-START reboot" },
      .end = END_RESET },
    { .group = "test",
      .name = "crash",
      .kernel_cmdline = "xl_job=crash",
      .no_audit = true,
      .kernel_crash = true,
      .steps = { "XL-JOB-START crash", "Kernel panic", "crashed" },
      .end = END_RESET },
    { .group = "soak",
      .name = "crash-noreboot",
      .kernel_cmdline = "xl_job=crash",
      .no_audit = true,
      .kernel_crash = true,
      .hypervisor_cmdline = "noreboot",
      .steps = { "XL-JOB-START crash", "Kernel panic", "crashed", "noreboot" },
      .end = END_RUNNING },

    /* A CPU of the hypervisor that does not get on. */
    { .group = "test",
      .name = "watchdog",
      .smp = 2,
      .hypervisor_cmdline = "watchdog noreboot",
      .no_audit = true,
      .steps = { "watchdog: a CPU that is stuck", "!only debug=y", "XL-SHELL-READY", "/ # ",
                 ">\1\1\1W", "Panic: fatal trap 2 in the hypervisor .the watchdog found" },
      .timeout_s = 60,
      .end = END_STOPPED },

    /* Domains beside domain 0. Linux waits for the daemons of domain 0, which does not have any here. */
    { .group = "test",
      .name = "beside-linux",
      .memory_mib = 768,
      .hypervisor_cmdline = "dom0_mem=300M",
      .kernel_cmdline = "xl_job=smoke",
      .modules = { "vmlinux domain=linux memory=256M vcpus=2 console -- earlyprintk=xen,keep",
                   "small.gz ramdisk-of=linux" },
      .steps = { "d1 .linux.: 256 MiB, 2 vCPUs", "\\(d1\\) .*Linux version",
                 "\\(d1\\) .*Memory: [0-9]+K/26[0-9]+K available", "XL-JOB-RC 0" } },
    { .group = "test",
      .name = "beside-refused",
      .memory_mib = 768,
      .hypervisor_cmdline = "dom0_mem=300M",
      .modules = { "vmlinux-truncated domain=bad memory=64M",
                   "good domain=good memory=16M role=root" },
      .steps = { "module 3: bad value in .role=root.: not used",
                 "domain bad is not started: kernel is truncated", "/ # ", ">poweroff\n" } },

    /* The command line. */
    { .group = "test",
      .name = "cmdline-malformed",
      .hypervisor_cmdline = "dom0_max_vcpus=many loglvl=loud nonsense=1 noreboot=perhaps =",
      .steps = { "ommand line: .*dom0_max_vcpus.*many", "ommand line: .*loglvl.*loud",
                 "ommand line: .*nonsense", "ommand line: .*noreboot.*perhaps", "/ # ",
                 ">poweroff\n" } },

#define REFUSED(file, text)                                                                      \
    {                                                                                            \
        .group = "test", .name = "refused-" file, .kernel = file, .ramdisk = "none",             \
        .hypervisor_cmdline = "noreboot " SMALL, .steps = { "Panic: .*" text }, .timeout_s = 60, \
        .end = END_STOPPED                                                                       \
    }

    /* Kernels to be refused. */
    { .group = "test",
      .name = "refused-no-module",
      .kernel = "none",
      .ramdisk = "none",
      .hypervisor_cmdline = "noreboot",
      .steps = { "Panic: .*(module|kernel)" },
      .timeout_s = 60,
      .end = END_STOPPED },
    REFUSED("vmlinux-truncated", "kernel"),
    REFUSED("vmlinuz", "bzImage"),
    REFUSED("no-notes", "note"),
    REFUSED("32-bit", "(32|64)-bit"),
    REFUSED("other-machine", "(machine|x86-64)"),
    REFUSED("short", "kernel"),
    REFUSED("headers-beyond-file", "kernel"),
    REFUSED("notes-beyond-file", "note"),
    REFUSED("note-too-long", "note"),
    REFUSED("entry-out-of-range", "(entry|ENTRY)"),
    REFUSED("base-out-of-range", "0xffff800001000000.*not in a guest's part"),
    REFUSED("p2m-out-of-range", "(p2m|P2M)"),
    REFUSED("other-version", "xen-9.9"),
    REFUSED("segment-beyond-file", "segment"),
    REFUSED("segment-wraps", "segment"),
    REFUSED("too-large", "0x10000000000 bytes: not in a guest's part"),
    { .group = "test",
      .name = "refused-vmlinux-too-large",
      .hypervisor_cmdline = "noreboot dom0_mem=48M",
      .steps = { "Panic: dom0: 48 MiB for it, but .* need [0-9]+ MiB" },
      .timeout_s = 60,
      .end = END_STOPPED },
    /* Nothing else is wrong with the kernels above. */
    { .group = "test",
      .name = "accepted-good",
      .kernel = "good",
      .ramdisk = "none",
      .hypervisor_cmdline = SMALL,
      .steps = { "dom0: .*start_info 0x" },
      .end = END_RUNNING },

    /* Machines to be refused. */
    { .group = "test",
      .name = "refused-24M",
      .memory_mib = 24,
      .kernel = "good",
      .ramdisk = "none",
      .hypervisor_cmdline = "noreboot",
      .steps = { "Panic: dom0: 1[56] MiB for it, but .* need" },
      .timeout_s = 60,
      .end = END_STOPPED },
    { .group = "test",
      .name = "refused-no-long-mode",
      .cpu = "qemu32",
      .kernel = "good",
      .ramdisk = "none",
      .hypervisor_cmdline = "noreboot",
      .steps = { "Panic: .*long mode" },
      .timeout_s = 60,
      .end = END_STOPPED },
    { .group = "test",
      .name = "refused-no-nx",
      .cpu = "qemu64,-nx",
      .kernel = "good",
      .ramdisk = "none",
      .hypervisor_cmdline = "noreboot",
      .steps = { "Panic: .*NX" },
      .timeout_s = 60,
      .end = END_STOPPED },

#define BAD_TABLE(file, text)                                                                  \
    {                                                                                          \
        .group = "test", .name = "acpi-" file, .kernel = "good", .ramdisk = "none",            \
        .acpi_table = "APIC/" file, .hypervisor_cmdline = "noreboot " SMALL,                   \
        .steps = { "ACPI: APIC: .*" text }, .forbidden = "fatal trap|BUG at", .timeout_s = 60, \
        .end = END_STOPPED                                                                     \
    }

    BAD_TABLE("apic-checksum", "checksum"),
    BAD_TABLE("apic-short", "length"),
    BAD_TABLE("apic-entry", "length"),
};
const size_t nr_boot_scenarios = sizeof(boot_scenarios) / sizeof(boot_scenarios[0]);
