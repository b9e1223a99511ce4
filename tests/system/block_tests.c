/* Machines with the embedded control domain, in which a stock guest has disks of our block backend. */
#include "block_tests.h"

#define CONTROL                                                     \
    .hypervisor_cmdline = "dom0_mem=320M", .kernel = "control.elf", \
    .kernel_cmdline = "ram0=32M ram1=16M", .ramdisk = "ramdisk.cpio"

#define SHELL "XL-SHELL-READY\n(.*\n)*.*/ # "

/* 4 MB that are never the same; whether a disk begins with them, as the disk has them. */
#define DEFINE                                                                                        \
    ">modprobe xen-blkfront; until [ -b /dev/xvda ]; do sleep 1; done; head -c 4000000 /dev/urandom " \
    ">/tmp/x; fill() { dd if=/tmp/x of=/dev/$1 bs=64k conv=fsync 2>/dev/null; }; same() { echo 3 "    \
    ">/proc/sys/vm/drop_caches; head -c 4000000 /dev/$1 | cmp - /tmp/x; }\n"

/* Killed where it is, and started again. */
#define RESTART \
    ">service restart blockd\r", "backend/vbd/1/51712: connected, .*, from where they were"

const struct scenario block_scenarios[] = {
    {
        .group = "split-drivers",
        .name = "block-ram",
        .memory_mib = 1024,
        .smp = 2,
        CONTROL,
        .steps = { "^control> ",
                   ">create guest.cfg 'ramdisk=\"/guest.gz\"' memory=256 vcpus=2 "
                   "'disk=[\"phy:/dev/ram0,xvda,w\"]'\rconsole debian\r",
                   SHELL, DEFINE, ">fill xvda && same xvda && echo first=$?\n", "^first=0\n",
                   /* all that it writes is read again, while its backend is killed */
                   ">(while [ ! -e /tmp/end ]; do fill xvda && same xvda || echo ba''d=disk; done; "
                   "echo load=ended) &\necho load=begun\n",
                   "^load=begun\n", ">\035", RESTART, RESTART, RESTART,
                   ">console debian\rtouch /tmp/end\n", "load=ended\n",
                   ">\035block-attach debian phy:/dev/ram1,xvdb,w\rconsole debian\r\n",
                   ">until [ -b /dev/xvdb ]; do sleep 1; done; fill xvdb && same xvdb && same xvda && "
                   "echo second=$?\n",
                   "^second=0\n", ">\035block-list debian\r", "^51728 +0 ",
                   ">block-detach debian xvdb\rblock-list debian\rconsole debian\r\n",
                   ">until [ ! -b /dev/xvdb ]; do sleep 1; done; same xvda && echo third=$?\n",
                   "^third=0\n",
                   /* which the backend is given a second for */
                   ">\035store-write /local/domain/0/backend/vbd/1/51712/statistics ?\rtop -b -i 2 -d 1\r"
                   "store-read /local/domain/0/backend/vbd/1/51712/statistics\r",
                   "^reads=[1-9][0-9]* .* refused=0 failed=0 running=0\n",
                   ">destroy debian\rstore-ls /local/domain/0/backend/vbd\rlist\r",
                   "store-ls /local/domain/0/backend/vbd\n.*list\n.*\n.*Domain-0 .*\n.*control> $",
                   ">poweroff\r" },
        .forbidden = "FAIL|bad=disk|I/O error",
        .timeout_s = 200,
    },
    {
        /* A guest on our runtime with our frontend, whose verdict is at its console. */
        .group = "split-drivers",
        .name = "block-runtime",
        .memory_mib = 768,
        .smp = 1,
        CONTROL,
        .steps = { "^control> ",
                   ">create guest.cfg 'name=\"ours\"' 'kernel=\"/rt_blkfront.elf\"' 'ramdisk=\"\"' memory=64 "
                   "'on_poweroff=\"preserve\"' 'disk=[\"phy:/dev/ram1,xvda,w\"]'\rconsole ours\r",
                   "^VERDICT rt_blkfront SUCCESS",
                   ">\035destroy ours\rstore-ls /local/domain/0/backend/vbd\rlist\r",
                   "store-ls /local/domain/0/backend/vbd\n.*list\n.*\n.*Domain-0 .*\n.*control> $",
                   ">poweroff\r" },
        .forbidden = "FAIL|ERROR",
        .timeout_s = 120,
    },
};
const size_t nr_block_scenarios = sizeof(block_scenarios) / sizeof(block_scenarios[0]);
