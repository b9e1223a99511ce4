/* A machine with the embedded control domain, whose xl gives a stock guest a disk and an interface and takes them away. */
#include "device_tests.h"

#define SHELL "XL-SHELL-READY\n(.*\n)*.*/ # "

const struct scenario device_scenarios[] = {
    {
        .group = "split-drivers",
        .name = "xl-devices",
        .memory_mib = 1024,
        .smp = 1,
        .hypervisor_cmdline = "dom0_mem=560M",
        .kernel = "control.elf",
        .kernel_cmdline = "ram0=32M ram1=16M",
        .ramdisk = "ramdisk.cpio",
        .steps = { "^control> ",
                   /* what is not to be had leaves nothing */
                   ">create guest.cfg 'disk=[\"/dev/none,,xvda\"]'\r",
                   "^xl: domain 1: vbd 51712 \\(xvda\\): ",
                   ">create guest.cfg 'ramdisk=\"/guest.gz\"' memory=192 'disk=[\"/dev/ram0,,xvda\"]' "
                   "'vif=[\"\"]'\rconsole debian\r",
                   SHELL,
                   ">modprobe xen-blkfront; modprobe xen-netfront; until [ -b /dev/xvda ]; do sleep 1; "
                   "done; head -c 1048576 /dev/urandom >/tmp/x; dd if=/tmp/x of=/dev/xvda bs=64k "
                   "conv=fsync; mac=$(cat /sys/class/net/eth0/address); echo filled=$?\n",
                   "^filled=0\n",
                   /* it is another domain then, and finds what it had */
                   ">\035save debian /saved\rstore-ls /local/domain/0/backend/vbd\rrestore /saved\r"
                   "console debian\r\n",
                   ">until head -c 1048576 /dev/xvda | cmp - /tmp/x && [ $(cat "
                   "/sys/class/net/eth0/address) = $mac ]; do sleep 1; done; echo same=$?\n",
                   "^same=0\n", ">\035network-list debian\r", "^0 +0 +00:16:3e:[0-9a-f:]+ +0 +4 ",
                   ">block-attach debian /dev/ram1,,xvdb,r\rnetwork-attach debian "
                   "mac=00:16:3e:00:00:09\rconsole debian\r\n",
                   ">until [ -b /dev/xvdb ] && [ -e /sys/class/net/eth1 ]; do sleep 1; done; echo "
                   "more=$(cat /sys/block/xvdb/ro)\n",
                   "^more=1\n",
                   ">\035block-detach debian xvdb\rnetwork-detach debian 00:16:3e:00:00:09\rconsole debian\r\n",
                   ">until [ ! -b /dev/xvdb ] && [ ! -e /sys/class/net/eth1 ]; do sleep 1; done; echo "
                   "less=$?\n",
                   "^less=0\n", ">\035destroy debian\rstore-ls /local/domain/0/backend\rlist\r",
                   "^console = \"\"\nvbd = \"\"\nvif = \"\"\n(.*\n)*Domain-0 .*\ncontrol> $",
                   ">poweroff\r" },
        .forbidden = "FAIL|I/O error",
        .timeout_s = 200,
    },
    /* Debian with systemd from a partition of the machine's disk, with an address of the network behind its card. */
    {
        .group = "split-drivers",
        .name = "guest-systemd",
        .memory_mib = 1024,
        .smp = 2,
        .hypervisor_cmdline = "dom0_mem=256M",
        .kernel = "control.elf",
        .ramdisk = "ramdisk.cpio",
        .root = "guest-disk.img",
        .nic = "virtio-net",
        .steps = { "^control> ", ">create -c system.cfg\r", "xen-like login: ", ">root\n",
                   "root@xen-like:.*# ",
                   ">systemctl is-system-running --wait; systemctl --failed --no-legend | wc -l\n",
                   "^running\n0\n",
                   ">until ip -4 -o address | grep -q ' 10[.]0[.]2[.]'; do sleep 1; done; ping -c 2 10.0.2.2 | "
                   "tail -n 2; sync; echo address=$?\n",
                   "^2 packets transmitted, 2 received(.*\n)*address=0\n", ">poweroff\n",
                   "domain 1 \\(system\\) is destroyed",
                   ">\rstore-ls /local/domain/0/backend\rlist\r",
                   "^console = \"\"\nvbd = \"\"\nvif = \"\"\n(.*\n)*Domain-0 .*\ncontrol> $",
                   ">poweroff\r" },
        .forbidden = "Failed to (start|mount)|\\[FAILED\\]|^degraded|I/O error",
        .timeout_s = 300,
    },
};
const size_t nr_device_scenarios = sizeof(device_scenarios) / sizeof(device_scenarios[0]);
