/* Machines with the embedded control domain, in which stock guests reach each other through our netback and switch. */
#include "network_tests.h"

#define CONTROL \
    .hypervisor_cmdline = "dom0_mem=256M", .kernel = "control.elf", .ramdisk = "ramdisk.cpio"

#define SHELL "XL-SHELL-READY\n(.*\n)*.*/ # "

#define GUEST(name, last, more)                                     \
    "create guest.cfg 'name=\"" name "\"' 'ramdisk=\"/guest.gz\"' " \
    "'vif=[\"mac=00:16:3e:00:00:" last more "\"]' memory=224\r"
#define UP(address)                                                                               \
    ">modprobe xen-netfront; until [ -e /sys/class/net/eth0 ]; do sleep 1; done; ip address add " \
    "10.0.2." address "/24 dev eth0; ip link set eth0 up; cd /tmp; echo up=" address "\n",        \
        "^up=" address "\n"

/* What one sends, and its sum, the other has got. (Its input is the console: at the end of it BusyBox's nc would end the connection.) */
#define GET                                                                                     \
    ">nc -l -p 9000 >got; nc -l -p 9001 >sum; [ -s got ] && "                                   \
    "[ \"$(sha256sum <got)\" = \"$(cat sum)\" ] && echo carried=$(ls -l got | awk '{ print $5 " \
    "}')\n"
#define GIVE(address)                                                               \
    ">head -c 8000001 /dev/urandom >some; sha256sum <some >sum; nc 10.0.2." address \
    " 9000 <some; sleep 1; nc 10.0.2." address " 9001 <sum; echo given=$?\n",       \
        "^given=0\n"

const struct scenario network_scenarios[] = {
    /* Two guests, and what is behind the machine's card. */
    {
        .group = "split-drivers",
        .name = "network-two",
        .memory_mib = 1024,
        .smp = 2,
        CONTROL,
        .nic = "virtio-net",
        .steps = { "eth0 is the uplink of xenbr0",
                   "^control> ",
                   ">" GUEST("one", "01", "")
                       GUEST("two", "02", ",ip=10.0.2.16") "create "
                                                           "answers.cfg\rconsole one\r",
                   SHELL,
                   UP("15"),
                   ">ping -c 3 -W 9 10.0.2.30\n",
                   "^3 packets transmitted, 3 packets received",
                   ">ping -c 3 -W 9 fe80::216:3eff:fe00:30%eth0\n",
                   "^3 packets transmitted, 3 packets received",
                   ">\035console two\r",
                   SHELL,
                   UP("16"),
                   ">ping -c 3 -W 5 10.0.2.15\n",
                   "^3 packets transmitted, 3 packets received",
                   ">ip address add 10.0.2.77/24 dev eth0; ping -I 10.0.2.77 -c 2 -W 1 10.0.2.15\n",
                   "^2 packets transmitted, 0 packets received",
                   ">\035console one\r\n",
                   GET,
                   ">\035console two\r\n",
                   GIVE("15"),
                   ">ping -c 3 -W 5 10.0.2.2\n",
                   "^3 packets transmitted, 3 packets received",
                   ">nc 10.0.2.100 80 </dev/null >big; "
                   "sha256sum -c /etc/served.sha256 2>&1 | grep big\n",
                   "^big: OK",
                   ">nc 10.0.2.100 81 <big >sum; [ \"$(sha256sum <big)\" = \"$(cat sum)\" ] && echo "
                   "back=yes\n",
                   "^back=yes\n",
                   ">\035console one\r",
                   "^carried=8000001\n",
                   ">\035store-ls /local/domain/0/backend/vif\rdestroy one\rdestroy two\rdestroy answers\rlist\r",
                   "^Domain-0 .*\ncontrol> $",
                   ">poweroff\r" },
        .forbidden = "FAIL",
        .timeout_s = 300,
    },
};
const size_t nr_network_scenarios = sizeof(network_scenarios) / sizeof(network_scenarios[0]);
