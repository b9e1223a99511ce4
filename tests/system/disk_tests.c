/* Machines of `make soak-disks`: stock guests whose disks our block backend serves, for long. Their jobs are in disks/jobs/. */
#include "disk_tests.h"

#define CONTROL                                                             \
    .group = "disks", .memory_mib = 1280, .smp = 2, .root = "gpt-disk.img", \
    .hypervisor_cmdline = "dom0_mem=400M", .kernel = "control.elf",         \
    .kernel_cmdline = "ram0=32M ram1=4M", .ramdisk = "disks.cpio"

#define HEAP "!same Dom heap: [0-9]+kB"

/* The memory of who has ended is cleared before it is free. */
#define WHILE "top -b -i 2 -d 1\r"

/* What is free, and that no device has a folder left. */
#define NOTHING_LEFT                                                    \
    WHILE "store-ls /local/domain/0/backend/vbd\rlist\rdebug-keys m\r", \
        "store-ls /local/domain/0/backend/vbd\n.*list\n.*\n.*Domain-0 .*\n", HEAP

#define DETACH ">\035block-detach comes xvdb\rconsole comes\r", "^gone [0-9]+"
#define ATTACH \
    ">\035block-attach comes phy:/dev/ram1,xvdb,w\rconsole comes\r", "^(idle|busy|quiet) [0-9]+"

/* What is free once a guest was there: the hypervisor's tables for the control domain grow with the first, and stay. */
#define BEFORE(guest, line)                                           \
    "^control> ", ">create " guest ".cfg\rconsole " guest "\r", line, \
        ">\035destroy " guest "\r" WHILE "debug-keys m\r", HEAP
#define WRITER BEFORE("writer", "^ENOUGH [0-9]+")

/* When the guest is quiet: what it, the control domain and the store have. */
#define FIGURES                                                                 \
    ">\035debug-keys m\r", "!same Dom heap: [0-9]+kB free", ">why comes\r",     \
        "!same ^port 1:(.*\n)+grants: domain 0 uses [0-9]+", ">why Domain-0\r", \
        "!same ^port 1:(.*\n)+memory: .*\n", ">store-ls /local\r",              \
        "!same ^domain = (.*\n)+control> $"

const struct scenario disk_scenarios[] = {
    {
        CONTROL,
        .name = "disks-fio",
        .disk = "virtio-blk+nvme+nvme4k",
        /* The writer would leave the file system that fio looks at as it is in the middle. */
        .steps = { BEFORE("comes", "^XL-JOB-START comes"), ">create fio.cfg\rconsole fio\r",
                   "^XL-JOB-RC 0", "domain [0-9]+ \\(fio\\) is destroyed", ">\r" NOTHING_LEFT,
                   ">poweroff\r" },
        .forbidden = "FAIL|^xl: ",
        .timeout_s = 1200,
    },
    {
        CONTROL,
        .name = "disks-destroyed",
        .steps = { WRITER, "!repeat 8 7", ">create writer.cfg\rconsole writer\r",
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
        .steps = { WRITER, ">create comes.cfg\r", "!repeat 4 4", ATTACH, DETACH, FIGURES,
                   "!repeat 100 4", ATTACH, DETACH, "^COMES failed 0", FIGURES,
                   ">destroy comes\r" NOTHING_LEFT, ">poweroff\r" },
        .forbidden = "FAIL|^xl: ",
        .timeout_s = 120,
    },
};
const size_t nr_disk_scenarios = sizeof(disk_scenarios) / sizeof(disk_scenarios[0]);
