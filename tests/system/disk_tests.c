/* Machines of `make soak-disks`: stock guests whose disks our block backend serves, for long. Their jobs are in disks/jobs/. */
#include "disk_tests.h"

#define CONTROL                                                             \
    .group = "disks", .memory_mib = 1280, .smp = 2, .root = "gpt-disk.img", \
    .hypervisor_cmdline = "dom0_mem=400M", .kernel = "control.elf",         \
    .kernel_cmdline = "ram0=32M ram1=4M", .ramdisk = "disks.cpio"

/* What is free, and that no device has a folder left. */
#define NOTHING_LEFT                                                         \
    "store-ls /local/domain/0/backend/vbd\rlist\rdebug-keys m\r",            \
        "store-ls /local/domain/0/backend/vbd\n.*list\n.*\n.*Domain-0 .*\n", \
        "!same Dom heap: [0-9]+kB"

/* The next one takes the place of the one before. */
#define NEXT(word)                                                                            \
    ">\035block-detach comes xvdb\rblock-attach comes phy:/dev/ram1,xvdb,w\rconsole comes\r", \
        "^" word " [0-9]+"

/* When the guest is quiet: what it, the control domain and the store have. */
#define FIGURES                                                                                 \
    ">\035block-detach comes xvdb\rdebug-keys m\r", "!same Dom heap: [0-9]+kB", ">why comes\r", \
        "!same ^port 1:(.*\n)+grants: domain 0 uses [0-9]+", ">why Domain-0\r",                 \
        "!same ^port 1:(.*\n)+memory: .*\n", ">store-ls /local\r",                              \
        "!same ^domain = (.*\n)+control> $"

const struct scenario disk_scenarios[] = {
    {
        CONTROL,
        .name = "disks-fio",
        .disk = "virtio-blk+nvme+nvme4k",
        .steps = { "^control> ", ">create fio.cfg\rconsole fio\r", "^XL-JOB-RC 0",
                   "domain 1 \\(fio\\) is destroyed", ">\r" NOTHING_LEFT, ">poweroff\r" },
        .forbidden = "FAIL|^xl: ",
        .timeout_s = 1200,
    },
    {
        CONTROL,
        .name = "disks-destroyed",
        .steps = { "^control> ", "!repeat 8 7", ">create writer.cfg\rconsole writer\r",
                   "^VERIFIED [0-9]+ files, failed 0", "^ENOUGH [0-9]+",
                   ">\035destroy writer\r" NOTHING_LEFT, ">create writer.cfg\rconsole writer\r",
                   "^VERIFIED [1-9][0-9][0-9] files, failed 0",
                   ">\035destroy writer\r" NOTHING_LEFT, ">poweroff\r" },
        .forbidden = "FAIL|^xl: ",
        .timeout_s = 300,
    },
    {
        CONTROL,
        .name = "disks-come-and-go",
        .steps = { "^control> ",
                   ">create comes.cfg\rblock-attach comes phy:/dev/ram1,xvdb,w\rconsole comes\r",
                   "^busy 1", "!repeat 3 2", NEXT("(idle|busy|quiet)"), FIGURES,
                   ">block-attach comes phy:/dev/ram1,xvdb,w\rconsole comes\r", "^busy 5",
                   "!repeat 99 2", NEXT("(idle|busy|quiet)"), "^COMES failed 0", FIGURES,
                   ">destroy comes\r" NOTHING_LEFT, ">poweroff\r" },
        .forbidden = "FAIL|^xl: ",
        .timeout_s = 120,
    },
};
const size_t nr_disk_scenarios = sizeof(disk_scenarios) / sizeof(disk_scenarios[0]);
