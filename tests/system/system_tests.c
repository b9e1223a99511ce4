/*
 * The system tests: each boots a machine in QEMU through GRUB and watches its console.
 *   usage: system_tests [-j N] [-l LOG-DIR] [-n NAME-PART] [-d FILES-DIR] [-k KERNEL] ISO GROUP...
 *          system_tests [-j N] [-l LOG-DIR] [-n NAME-PART] [-x PEER.tsv] [-q] [-s] [-a] [-b BESIDE.tsv] ISO guests
 *              TABLE.tsv KERNEL.elf...   -x: on Xen, but for what PEER.tsv skips; -q: the quick ones; -s: QEMU has one
 *              thread; -a: also lines that begin with +; -b: a table of those that run in a domain beside domain 0
 * CUnit asks for the results in order while a pool of processes runs the machines ahead of it.
 */
#define _GNU_SOURCE
#include <CUnit/Basic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "block_tests.h"
#include "control_tests.h"
#include "device_tests.h"
#include "disk_tests.h"
#include "enemy_tests.h"
#include "network_tests.h"
#include "pool.h"
#include "scenario.h"

enum { MAX_TESTS = 512, LOG_TAIL_LINES = 300, XEN_BOOT_S = 60 };

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

/* A Debian guest out of the embedded control domain's ramdisk: used, destroyed; started again, it ends by itself. */
#define CONTROL_GUEST(group_name, what, cpus)                                                          \
    {                                                                                                  \
        .group = group_name, .name = what, .memory_mib = 1024, .smp = cpus,                            \
        .hypervisor_cmdline = "dom0_mem=256M", .kernel = "control.elf", .ramdisk = "ramdisk.cpio",     \
        .steps = { "^control> ",                                                                       \
                   ">xl create guest.cfg\rlist\rxl console debian\r",                                  \
                   "^debian +1 +256 +1 +[-rb]{6} +[0-9.]+\n(.*\n)*.*/ # ",                             \
                   ">echo $((6*7))\n",                                                                 \
                   "^42\n",                                                                            \
                   ">\035why debian\rxl destroy debian\rlist\r",                                       \
                   "^debian \\(1\\): (blocked|runn.*)\n(.*\n)*port 1: interdomain, domain 0 .*store\n" \
                   "(.*\n)*Domain-0 .*\ncontrol> $",                                                   \
                   ">create -c guest.cfg\r",                                                           \
                   "XL-SHELL-READY\n(.*\n)*.*/ # ",                                                    \
                   ">poweroff -f\n",                                                                   \
                   DEBIAN_IS_GONE("2"),                                                                \
                   ">domid debian\r",                                                                  \
                   "^Can't get domid of domain name 'debian'",                                         \
                   ">poweroff\r" },                                                                    \
        .timeout_s = 300                                                                               \
    }

/*
 * A Debian guest saved to a file of the embedded control domain's memory and restored, with what its shell
 * remembers; once more while it goes on. A file that is cut off leaves nothing.
 */
#define CONTROL_SAVE(group_name, what, cpus, vcpus)                                                \
    {                                                                                              \
        .group = group_name, .name = what, .memory_mib = 1024, .smp = cpus,                        \
        .hypervisor_cmdline = "dom0_mem=192M", .kernel = "control.elf", .ramdisk = "ramdisk.cpio", \
        .steps = { "^control> ",                                                                   \
                   ">create guest.cfg memory=128 vcpus=" vcpus "\rconsole debian\r",               \
                   "XL-SHELL-READY\n(.*\n)*.*/ # ",                                                \
                   ">x=kept$((6*7)); dmesg >/d; md5sum /d /bin/busybox >/s; echo up$x\n",          \
                   "^upkept42\n(.*\n)*.*/ # ",                                                     \
                   ">\035save debian /saved\rlist\r",                                              \
                   "^Domain-0 .*\ncontrol> $",                                                     \
                   ">restore -p /saved\rlist\runpause debian\rconsole debian\r",                   \
                   "^debian +2 +128 +" vcpus " +--p--- +[0-9.]+\n",                                \
                   ">\n",                                                                          \
                   "/ # ",                                                                         \
                   ">echo $x; md5sum -c /s; grep -c ^processor /proc/cpuinfo\n",                   \
                   "^kept42\n/d: OK\n/bin/busybox: OK\n" vcpus "\n",                               \
                   ">\035save -c debian /again\rconsole debian\r",                                 \
                   "control> console debian\n",                                                    \
                   ">sleep 1; echo $x again\n",                                                    \
                   "^kept42 again\n",                                                              \
                   ">poweroff -f\n",                                                               \
                   DEBIAN_IS_GONE("2"),                                                            \
                   ">restore /again\rdomid debian\r",                                              \
                   "^3\n",                                                                         \
                   ">destroy debian\rlist\r",                                                      \
                   "^Domain-0 .*\ncontrol> $",                                                     \
                   ">rm /saved /again\rlist\r", /* it has grown for them */                        \
                   "^Domain-0 +0 +192 .*\ncontrol> $",                                             \
                   ">poweroff\r" },                                                                \
        .timeout_s = 300                                                                           \
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
static const struct scenario scenarios[] = {
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

    /* The embedded control domain: within a second at its prompt, which works. */
    { .group = "test",
      .name = "control",
      .memory_mib = 512,
      .cpu = "qemu64",
      .qemu = "-icount shift=0,sleep=off",
      .hypervisor_cmdline = "dom0_mem=64M",
      .kernel = "control.elf",
      .ramdisk = "none",
      .steps = { "control domain, ready at [0-9]{1,3} ms\\..*\ncontrol> ",
                 ">store-write /tool/greeting \"hello there\"\rstore-ls\r",
                 "^tool = \"\"\n greeting = \"hello there\"$",
                 ">store-read /tool/greeting /tool/none\rconsole 7\rconsole\177\177\r",
                 "^hello there\nstore-read: /tool/none: No such file or directory\n\\(1\\)$",
                 "^xl: there is no such domain with a console\n\\(1\\)$",
                 "^conso: there is no such command",
                 ">store-control quota set memory-share 123456 5\rstore-control quota 5\rstore-control no\r",
                 "^OK\n(.*\n)*memory-share: 0 of 123456, hit 0 times\n(.*\n)*"
                 "store-control: no: Invalid argument\n\\(1\\)$",
                 ">help\rpoweroff\r" } },
    { .group = "test",
      .name = "control-console",
      .memory_mib = 512,
      .hypervisor_cmdline = "dom0_mem=64M",
      .kernel = "control.elf",
      .ramdisk = "none",
      .modules = { "rt_hello.elf domain=greeter memory=32M -- echo" },
      .steps = { "^control> ", ">adopt\rconsole greeter\r",
                 "^domain 1: greeter\n(.*\n)*hello: a guest domain, 1 arguments \\[echo\\]$",
                 ">hello\n", "^heard: hello$",
                 /* it does not do what it is asked for: Ctrl-C ends the waiting */
                 ">\035shutdown -w greeter\r", "^Shutting down domain 1$", ">\003",
                 "interrupted\n(.*\n)*control> $", ">rename greeter Domain-0\rlist greeter\r",
                 "Domain-0(.*\n)*greeter +1 ", ">console 1\rquit\n", "^bye$",
                 ">\035files /var/log/xen/console/\rcat /var/log/xen/console/guest-greeter.log\r",
                 "[1-9][0-9]* /var/log/xen/console/guest-greeter\\.log\n(.*\n)*heard: hello\n",
                 ">rm /var/log/xen/console/guest-greeter.log\rcat /var/log/xen/console/guest-greeter.log\r",
                 "^cat: /var/log/xen/console/guest-greeter.log: No such file or directory\n",
                 ">why greeter\rinfo\rtop -b -i 2 -d 1\r",
                 "^greeter \\(1\\): shutdown\n  It has ended by poweroff \\(0\\), and nobody has destroyed it\\.\n"
                 "(.*\n)*host +: control\n(.*\n)*xen_version +: 4\\.17.*\n(.*\n)* +greeter -s---- .*\n(.*\n)* +greeter -s---- ",
                 ">poweroff\r" } },
    /* Its daemons are killed and started again: the store has what it had, others and a guest go on with it. */
    { .group = "test",
      .name = "control-services",
      .memory_mib = 512,
      .hypervisor_cmdline = "dom0_mem=64M",
      .kernel = "control.elf",
      .ramdisk = "none",
      .modules = { "rt_hello.elf domain=greeter memory=32M -- echo" },
      .steps = { "^control> ", ">adopt\rstore-write /kept yes\rservice restart store\r",
                 "store has ended; it is started again\n(.*\n)*.*the store listens",
                 ">store-read /kept\rservice restart consoled\r",
                 "^yes\n(.*\n)*.*consoled has ended; it is started again\n(.*\n)*.*consoles are served",
                 ">service restart attend\rconsole greeter\r",
                 "attend has ended; it is started again", ">hello\n", "^heard: hello$",
                 ">\035list\r", "^greeter +1 ", ">service\rservice restart none\r",
                 "^store +serves +started 2 times\n(.*\n)*service: there is no none\n",
                 ">poweroff\r" } },
    { .group = "test", /* UEFI */
      .name = "control-uefi",
      .memory_mib = 512,
      .machine = "q35",
      .firmware = FIRMWARE_UEFI,
      .hypervisor_cmdline = "dom0_mem=64M",
      .kernel = "control.elf",
      .ramdisk = "none",
      .steps = { "^control> ", ">poweroff\r" } },

    CONTROL_GUEST("test", "control-guest", 1),
    CONTROL_GUEST("soak", "control-guest-2", 2),
    CONTROL_SAVE("test", "control-save", 1, "1"),
    CONTROL_SAVE("soak", "control-save-4", 2, "4"),

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

/*
 * The whole machine (issue 3): any two properties' values meet in one of these rows.
 */
struct combination {
    const char *group;
    unsigned int smp;
    enum firmware firmware;
    const char *machine, *disk, *nic;
    enum scenario_end end;
};

/* clang-format off */
static const struct combination combinations[] = {
    { "test",  4, FIRMWARE_UEFI, "q35", "virtio-blk", "virtio-net", END_POWEROFF },
    { "soak",  4, FIRMWARE_UEFI, "pc",  "nvme",       "e1000e",     END_POWEROFF },
    { "test",  4, FIRMWARE_BIOS, "q35", "ahci",       "virtio-net", END_RESET },
    { "soak",  2, FIRMWARE_UEFI, "q35", "virtio-blk", "e1000e",     END_RESET },
    { "test",  2, FIRMWARE_BIOS, "pc",  "ahci",       "e1000e",     END_RESET },
    { "soak",  2, FIRMWARE_BIOS, "q35", "nvme",       "virtio-net", END_POWEROFF },
    { "soak",  1, FIRMWARE_UEFI, "q35", "ahci",       "e1000e",     END_POWEROFF },
    { "test",  1, FIRMWARE_UEFI, "q35", "nvme",       "virtio-net", END_RESET },
    { "test",  1, FIRMWARE_BIOS, "pc",  "virtio-blk", "virtio-net", END_POWEROFF },
};
/* clang-format on */

struct test {
    struct scenario scenario;
    char name[128], kernel[80], cpu[64], ramdisk[64], hypervisor_cmdline[320], kernel_cmdline[400],
        module[900], second[900], qemu[512];
    void (*run)(const struct scenario *s, const struct scenario_options *o, struct result *result);
};

static struct test tests[MAX_TESTS];
static size_t nr_tests;
static struct scenario_options options = { .log_dir = "build/logs", .files_dir = "." };
static const char *peer; /* PEER.tsv: the image has Debian's Xen, not ours */
static bool quick;       /* only what PEER.tsv calls so */
static bool all_lines;   /* of the table of kernels, also those of make soak */
static struct pool *pool;
static unsigned int nr_outcomes[3];

static struct test *add_test(const struct scenario *s, const char *name)
{
    struct test *t = &tests[nr_tests];

    if (nr_tests == MAX_TESTS) {
        fprintf(stderr, "system_tests: more than %d tests\n", MAX_TESTS);
        exit(2);
    }
    nr_tests++;
    t->run = scenario_run;
    t->scenario = *s;
    snprintf(t->name, sizeof(t->name), "%s", name);
    t->scenario.name = t->name;
    return t;
}

/* One boot: disk and network, CPUs that come and go, clocks, and the end. */
static void add_combination(const struct combination *c, const char *prefix, const char *name_part)
{
    struct scenario s = {
        .smp = c->smp,
        .firmware = c->firmware,
        .machine = c->machine,
        .disk = c->disk,
        .nic = c->nic,
        .ramdisk = "devices.gz",
        .steps = { "XL-JOB-RC 0" },
        .end = c->end,
        .timeout_s = 600, /* four CPUs on a busy machine take their time */
    };
    char name[128];
    struct test *t;

    snprintf(name, sizeof(name), "%s-%u-%s-%s-%s-%s-%s", prefix, c->smp,
             c->firmware == FIRMWARE_UEFI ? "uefi" : "bios", c->machine, c->disk, c->nic,
             c->end == END_RESET ? "reboot" : "poweroff");
    if (strstr(name, name_part) == NULL)
        return;
    t = add_test(&s, name);
    snprintf(t->kernel_cmdline, sizeof(t->kernel_cmdline),
             "xl_job=disk,net,%sclock xl_cpus=%u xl_irq=msi xl_clock=4 xl_rounds=1%s",
             c->smp > 1 ? "hotplug," : "", c->smp, c->end == END_RESET ? " xl_end=reboot" : "");
    t->scenario.kernel_cmdline = t->kernel_cmdline;
}

static void add_combinations(const char *group, const char *name_part)
{
    for (size_t i = 0; i < sizeof(combinations) / sizeof(combinations[0]); i++) {
        if (strcmp(combinations[i].group, group) == 0)
            add_combination(&combinations[i], "machine", name_part);
    }
}

/* Every combination of CPUs, firmware and chipset, with all the disks and cards in each. */
static void add_matrix(const char *name_part)
{
    static const unsigned int smps[] = { 4, 2, 1 };
    static const char *const machines[] = { "pc", "q35" };

    for (unsigned int i = 0; i < 3 * 2 * 2; i++) {
        struct combination c = {
            .smp = smps[i / 4],
            .firmware = i / 2 % 2 != 0 ? FIRMWARE_UEFI : FIRMWARE_BIOS,
            .machine = machines[i % 2],
            .disk = "ahci+virtio-blk+nvme",
            .nic = "e1000e+virtio-net",
            .end = (i / 2 + i) % 2 != 0 ? END_RESET : END_POWEROFF,
        };

        add_combination(&c, "matrix", name_part);
    }
}

static void add_scenarios(const struct scenario *all, size_t nr, const char *group,
                          const char *name_part)
{
    for (size_t i = 0; i < nr; i++) {
        if (strcmp(all[i].group, group) == 0 && strstr(all[i].name, name_part) != NULL)
            add_test(&all[i], all[i].name);
    }
}

static void add_group(const char *group, const char *name_part)
{
    size_t before = nr_tests;

    add_combinations(group, name_part);
    if (strcmp(group, "soak") == 0)
        add_matrix(name_part);
    add_scenarios(scenarios, sizeof(scenarios) / sizeof(scenarios[0]), group, name_part);
    add_scenarios(control_scenarios, nr_control_scenarios, group, name_part);
    add_scenarios(block_scenarios, nr_block_scenarios, group, name_part);
    add_scenarios(enemy_scenarios, nr_enemy_scenarios, group, name_part);
    add_scenarios(device_scenarios, nr_device_scenarios, group, name_part);
    add_scenarios(disk_scenarios, nr_disk_scenarios, group, name_part);
    add_scenarios(network_scenarios, nr_network_scenarios, group, name_part);
    if (before == nr_tests)
        fprintf(stderr, "system_tests: no test in group %s with '%s'\n", group, name_part);
}

/* One line of the table of PV test kernels: name, hypervisor's arguments, seconds, MiB, CPU, and
 * perhaps the number of those, a ramdisk, the kernel's arguments, and a word for the test's name with further
 * arguments of QEMU. */
struct guest_line {
    char name[64], arguments[256], cpu[64], ramdisk[64], kernel_arguments[400], word[32], qemu[512];
    unsigned int timeout_s, memory_mib, smp;
};

/* False: the line is empty or a comment. A wrong one ends the program. */
static bool parse_guest_line(const char *line, struct guest_line *g)
{
    if (line[0] == '#' || line[strspn(line, " \t\n")] == '\0')
        return false;
    if (line[0] == '+' && !all_lines)
        return false;
    line += line[0] == '+';
    g->smp = 0;
    strcpy(g->ramdisk, "none");
    g->kernel_arguments[0] = g->word[0] = g->qemu[0] = '\0';
    if (sscanf(line, "%63[^\t]\t%255[^\t]\t%u\t%u\t%63s\t%u\t%63s\t%399[^\t\n]\t%31s %511[^\n]",
               g->name, g->arguments, &g->timeout_s, &g->memory_mib, g->cpu, &g->smp, g->ramdisk,
               g->kernel_arguments, g->word, g->qemu) < 5) {
        fprintf(stderr, "system_tests: not five to nine columns: %s", line);
        exit(2);
    }
    return true;
}

/* What PEER.tsv says of a kernel that is to run on Xen: name, "skip" or "quick", reason. */
static bool peer_says(const char *name, const char *word)
{
    char line[512], file_name[64], file_word[16];
    bool found = false;
    FILE *f = fopen(peer, "re");

    if (f == NULL) {
        perror(peer);
        exit(2);
    }
    while (!found && fgets(line, sizeof(line), f) != NULL) {
        found = line[0] != '#' && sscanf(line, "%63s %15s", file_name, file_word) == 2 &&
                strcmp(file_name, name) == 0 && strcmp(file_word, word) == 0;
    }
    fclose(f);
    return found;
}

/* The test's name is the kernel's, its line's word, if it has one, and the CPU's, and their number if there are several. */
static void add_guest(const struct guest_line *g, const char *name_part)
{
    struct scenario s = { .memory_mib = g->memory_mib,
                          .timeout_s = g->timeout_s + (peer != NULL ? XEN_BOOT_S : 0),
                          .smp = g->smp };
    char name[128], count[16] = "";
    struct test *t;

    if (g->smp > 1)
        snprintf(count, sizeof(count), "-x%u", g->smp);
    snprintf(name, sizeof(name), "%s%s%s-%.*s%s", g->name, g->word[0] != '\0' ? "-" : "", g->word,
             (int)strcspn(g->cpu, ","), g->cpu, count);
    if (strstr(name, name_part) == NULL)
        return;
    if (peer != NULL && (peer_says(g->name, "skip") || (quick && !peer_says(g->name, "quick"))))
        return;
    t = add_test(&s, name);
    t->run = scenario_run_guest;
    snprintf(t->kernel, sizeof(t->kernel), "%s.elf", g->name);
    snprintf(t->cpu, sizeof(t->cpu), "%s", g->cpu);
    /* Xen drops what its buffer for the serial line has no room for: answers, too. Its warnings of
     * each refusal would be most of the time. */
    snprintf(t->hypervisor_cmdline, sizeof(t->hypervisor_cmdline), "noreboot %s%s",
             peer != NULL ? "serial_tx_buffer=1m guest_loglvl=error " : "",
             strcmp(g->arguments, "-") != 0 ? g->arguments : "");
    t->scenario.kernel = t->kernel;
    t->scenario.cpu = t->cpu;
    t->scenario.hypervisor_cmdline = t->hypervisor_cmdline;
    snprintf(t->ramdisk, sizeof(t->ramdisk), "%s", g->ramdisk);
    t->scenario.ramdisk = t->ramdisk;
    snprintf(t->kernel_cmdline, sizeof(t->kernel_cmdline), "%s", g->kernel_arguments);
    t->scenario.kernel_cmdline = t->kernel_cmdline;
    snprintf(t->qemu, sizeof(t->qemu), "%s", g->qemu);
    t->scenario.qemu = t->qemu;
    t->scenario.kernel_crash = true; /* see EXPECT name CRASH */
    t->scenario.forbidden = "audit: [1-9]";
}

/* A word that is ours, not the hypervisor's, goes. */
static bool take_word(char *text, const char *word)
{
    char *p = strstr(text, word);

    if (p != NULL)
        memset(p, ' ', strlen(word));
    return p != NULL;
}

/*
 * The same table for a domain beside domain 0: in place of the hypervisor's arguments are the words of the
 * domain's module, and perhaps words for us. twice: two such domains; icount: an instruction is a nanosecond, so
 * that what the witness sees of time is the hypervisor's doing. Domain 0 is the witness, with two vCPUs; to a
 * domain with role=driver it gives a device.
 */
static void add_beside(const struct guest_line *g, const char *name_part)
{
    struct guest_line here = *g;
    size_t before = nr_tests;
    struct test *t;

    bool driver = strstr(g->arguments, "role=driver") != NULL;

    snprintf(here.name, sizeof(here.name), "beside-%.30s%s%s", g->name,
             strstr(g->arguments, "icount") != NULL ? "-icount" : "", driver ? "-driver" : "");
    strcpy(here.arguments, "dom0_max_vcpus=2 dom0_mem=64M");
    add_guest(&here, name_part);
    if (nr_tests == before)
        return;
    t = &tests[before];
    t->run = scenario_run_beside;
    strcpy(t->kernel, "witness.elf");
    snprintf(t->kernel_cmdline, sizeof(t->kernel_cmdline), "beside=%s", g->name);
    snprintf(t->module, sizeof(t->module), "%s.elf domain=%s console %s -- %s", g->name, g->name,
             g->arguments, g->kernel_arguments);
    t->scenario.modules[0] = t->module;
    if (driver) {
        strcat(t->kernel_cmdline, " driver");
        strcat(t->module, " driver");
    }
    if (take_word(t->module, "icount")) {
        t->scenario.qemu = "-icount shift=0,sleep=off";
        strcat(t->kernel_cmdline, " icount");
    }
    if (strstr(g->kernel_arguments, "grants=1") != NULL)
        strcat(t->kernel_cmdline, " granted");
    if (!take_word(t->module, "twice"))
        return;
    snprintf(t->second, sizeof(t->second), "%s.elf domain=second%s", g->name,
             strchr(strstr(t->module, "domain="), ' '));
    t->scenario.modules[1] = t->second;
    strcat(t->kernel_cmdline, " twice");
}

static void add_guests(const char *table, const char *name_part,
                       void (*add)(const struct guest_line *g, const char *name_part))
{
    FILE *f = fopen(table, "re");
    struct guest_line g;
    char line[1024];

    if (f == NULL) {
        perror(table);
        exit(2);
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        if (parse_guest_line(line, &g))
            add(&g, name_part);
    }
    fclose(f);
}

/* A kernel without a line in the table would never run. */
static void check_listed(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < nr_tests; i++) {
        if (strcmp(tests[i].kernel, file) == 0 ||
            strncmp(tests[i].module, file, strlen(file)) == 0) /* beside domain 0 */
            return;
    }
    fprintf(stderr, "system_tests: %s has no line in the table\n", file);
    exit(2);
}

static void run_job(size_t index, struct result *result)
{
    const struct test *t = &tests[index];

    t->run(&t->scenario, &options, result);
}

static void print_log_tail(const char *name)
{
    char path[512], line[1000];
    long lines = 0, skip;
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s.log", options.log_dir, name);
    f = fopen(path, "re");
    if (f == NULL)
        return;
    while (fgets(line, sizeof(line), f) != NULL)
        lines++;
    rewind(f);
    skip = lines - LOG_TAIL_LINES;
    printf("---- the end of %s\n", path);
    while (fgets(line, sizeof(line), f) != NULL) {
        if (--skip < 0)
            printf("%s", line);
    }
    printf("\n----\n");
    fclose(f);
}

/* The body of every test: which one it is, CUnit knows. */
static void test_machine(void)
{
    static const char *const words[] = { "ok  ", "skip", "FAIL" };
    const char *name = CU_get_current_test()->pName;
    const struct result *r;
    size_t index = 0;

    while (strcmp(tests[index].name, name) != 0)
        index++;
    r = pool_wait(pool, index);
    nr_outcomes[r->outcome]++;
    printf("%s %-28s %5.1f s  %s\n", words[r->outcome], name, r->seconds, r->message);
    if (r->outcome == OUTCOME_FAIL)
        print_log_tail(name);
    CU_assertImplementation(r->outcome != OUTCOME_FAIL, __LINE__, r->message, name, "", CU_FALSE);
}

static int run_tests(unsigned int nr_parallel)
{
    CU_pSuite suite;

    if (CU_initialize_registry() != CUE_SUCCESS ||
        (suite = CU_add_suite("system", NULL, NULL)) == NULL) {
        fprintf(stderr, "system_tests: CUnit: %s\n", CU_get_error_msg());
        return 2;
    }
    for (size_t i = 0; i < nr_tests; i++)
        CU_add_test(suite, tests[i].name, test_machine);
    pool = pool_start(run_job, nr_tests, nr_parallel);
    CU_basic_set_mode(CU_BRM_SILENT);
    CU_basic_run_tests();
    pool_destroy(pool);
    CU_cleanup_registry();
    if (nr_outcomes[OUTCOME_SKIP] != 0)
        printf("%u skipped\n", nr_outcomes[OUTCOME_SKIP]);
    printf("%u passed, %u failed\n", nr_outcomes[OUTCOME_PASS], nr_outcomes[OUTCOME_FAIL]);
    return nr_outcomes[OUTCOME_FAIL] != 0 || nr_outcomes[OUTCOME_PASS] == 0;
}

int main(int argc, char *argv[])
{
    const char *name_part = "", *beside = NULL;
    unsigned int nr_parallel = 2;
    int option;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((option = getopt(argc, argv, "aj:l:n:d:k:x:b:qs")) != -1) {
        switch (option) {
        case 'a': all_lines = true; break;
        case 'j': nr_parallel = (unsigned int)strtoul(optarg, NULL, 10); break;
        case 'l': options.log_dir = optarg; break;
        case 'n': name_part = optarg; break;
        case 'd': options.files_dir = optarg; break;
        case 'k': options.kernel = optarg; break;
        case 'x': peer = optarg; break;
        case 'b': beside = optarg; break;
        case 'q': quick = true; break;
        case 's': options.one_thread = true; break;
        default: return 2;
        }
    }
    if (argc - optind < 2 || nr_parallel == 0) {
        fprintf(stderr, "usage: system_tests [-j N] [-l LOG-DIR] [-n NAME-PART] ISO GROUP...\n");
        return 2;
    }
    options.iso = argv[optind++];
    mkdir(options.log_dir, 0777);
    if (strcmp(argv[optind], "guests") == 0) {
        if (optind + 1 < argc)
            add_guests(argv[optind + 1], name_part, add_guest);
        if (beside != NULL)
            add_guests(beside, name_part, add_beside);
        for (int i = optind + 2; i < argc && name_part[0] == '\0' && peer == NULL; i++)
            check_listed(argv[i]);
    } else {
        for (int i = optind; i < argc; i++)
            add_group(argv[i], name_part);
    }
    return run_tests(nr_parallel);
}
