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

/* Long ones (networks.mk): two guests of their ramdisk, in which `traffic` is. */
#define TRAFFIC_GUEST(name, memory, last, bridge)                                               \
    "create guest.cfg 'name=\"" name "\"' 'ramdisk=\"/traffic.gz\"' memory=" memory " vcpus=2 " \
    "'vif=[\"mac=00:16:3e:00:00:" last ",bridge=" bridge "\"]' 'on_crash=\"preserve\"'\r"
#define CONSOLE(name) ">\035console " name "\r\n"
#define ADDRESS(number) SHELL, ">traffic address " number "\n", "^address=" number "\n"
#define CLEAN ">traffic clean\n", "^clean=[1-9]"
#define END_BOTH ">\035destroy one\rdestroy two\rlist\r", "^Domain-0 .*\ncontrol> $", ">poweroff\r"

/* The two cards of the machine are at one cable. */
#define CABLE                                                           \
    "-netdev hubport,id=left,hubid=0 -netdev hubport,id=right,hubid=0 " \
    "-device virtio-net-pci,netdev=left,romfile= -device e1000e,netdev=right,romfile="

#define IPERF3(bridge_of_two)                                                            \
    ">" TRAFFIC_GUEST("one", "256", "01", "xenbr0")                                      \
        TRAFFIC_GUEST("two", "256", "02", bridge_of_two) "console one\r",                \
        ADDRESS("15"), ">traffic serve\n", "^served=yes", CONSOLE("two"), ADDRESS("16"), \
        ">ping -c 3 10.0.2.15; ping -c 3 fd00::15; traffic to 10.0.2.15 fd00::15\n",     \
        "^traffic=ended", CLEAN, CONSOLE("one"), CLEAN, END_BOTH

/*
 * A second interface of the first guest comes, is connected, and goes, beside what the guests send each other. Linux does not see
 * that it has gone where it comes back before its driver has ended. Each time it loses two queues' buffers, whatever the backend
 * is ("lost" in networks/traffic): for 106 times a guest of 256 MiB is too small.
 */
#define TIMES(times, connected)                                                  \
    ">repeat 1 " times                                                           \
    " network-attach one mac=00:16:3e:00:01:01 bridge=xenbr0 ; await " connected \
    " 4 ; network-detach one 1 ; left ports\r",                                  \
        "^repeated"
#define HOTPLUG(connected)                                                                         \
    "^control> ",                                                                                  \
        ">" TRAFFIC_GUEST("one", "512", "01", "xenbr0")                                            \
            TRAFFIC_GUEST("two", "256", "02", "xenbr0") "console one\r",                           \
        ADDRESS("15"), ">traffic serve; traffic second &\n", "^served=yes", CONSOLE("two"),        \
        ADDRESS("16"), ">traffic carry 10.0.2.15 &\n", ">\035left begin\r", "^left before",        \
        TIMES("6", connected), CONSOLE("one") "traffic memory\n", "^memory=[1-9]",                 \
        ">\035left begin\r", "^left before", TIMES("100", connected), ">left\r", "^left: nothing", \
        CONSOLE("one") "traffic lost 100\n", "^lost=", CONSOLE("two") "touch /tmp/end\n",          \
        "carried=[1-9]", CLEAN, CONSOLE("one") "touch /tmp/end\n", "second=ended", CLEAN, END_BOTH
#define HOTPLUG_FORBIDDEN "FAIL|bad=|left: SOMETHING|repeat: failed|await: "
#define BACKEND "/local/domain/0/backend/vif/1/1/state"
#define FRONTEND "/local/domain/1/device/vif/1/state"

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
    {
        .group = "networks",
        .name = "networks-two",
        .memory_mib = 1024,
        .smp = 2,
        CONTROL,
        .steps = { "^control> ", IPERF3("xenbr0") },
        .forbidden = "FAIL|bad=",
        .timeout_s = 900,
    },
    {
        /* Out through one card, in through the other. */
        .group = "networks",
        .name = "networks-cards",
        .memory_mib = 1024,
        .smp = 2,
        CONTROL,
        .qemu = CABLE,
        .steps = { "eth0 is the uplink of xenbr0", "eth1 is the uplink of xenbr1", "^control> ",
                   IPERF3("xenbr1") },
        .forbidden = "FAIL|bad=",
        .timeout_s = 900,
    },
    {
        .group = "networks",
        .name = "networks-hotplug",
        .memory_mib = 1280,
        .smp = 2,
        CONTROL,
        .steps = { HOTPLUG(BACKEND) },
        .forbidden = HOTPLUG_FORBIDDEN,
        .timeout_s = 900,
    },
    {
        /* Taken away as soon as its frontend is connected, the backend perhaps not. */
        .group = "networks-early",
        .name = "networks-early",
        .memory_mib = 1280,
        .smp = 2,
        CONTROL,
        .steps = { HOTPLUG(FRONTEND) },
        .forbidden = HOTPLUG_FORBIDDEN,
        .timeout_s = 900,
    },
};
const size_t nr_network_scenarios = sizeof(network_scenarios) / sizeof(network_scenarios[0]);
