/* Machines with the embedded control domain, in which stock guests reach each other through our netback and switch. */
#include "network_tests.h"

#define CONTROL \
    .hypervisor_cmdline = "dom0_mem=256M", .kernel = "control.elf", .ramdisk = "ramdisk.cpio"

#define SHELL "XL-SHELL-READY\n(.*\n)*.*/ # "

/* The nodes of an interface, as libxl writes them. */
#define VIF(domain, last)                                                                                                                                                                   \
    ">store-write " FRONT(                                                                                                                                                                  \
        domain) " \"\"\r"                                                                                                                                                                   \
                "store-chmod " FRONT(                                                                                                                                                       \
                    domain) " n" domain " r0\r"                                                                                                                                             \
                            "store-write " FRONT(domain) "/backend " BACK(                                                                                                                  \
                                domain) "\r"                                                                                                                                                \
                                        "store-write " FRONT(                                                                                                                               \
                                            domain) "/backend-id 0\r"                                                                                                                       \
                                                    "store-write " FRONT(                                                                                                                   \
                                                        domain) "/handle 0\r"                                                                                                               \
                                                                "store-write " FRONT(                                                                                                       \
                                                                    domain) "/mac 00:16:3e:00:00:" last                                                                                     \
                                                                            "\r"                                                                                                            \
                                                                            "store-write " FRONT(                                                                                           \
                                                                                domain) "/state 1\r"                                                                                        \
                                                                                        "store-write " BACK(                                                                                \
                                                                                            domain) " \"\"\r"                                                                               \
                                                                                                    "store-chmod " BACK(                                                                    \
                                                                                                        domain) " n0 r" domain                                                              \
                                                                                                                "\r"                                                                        \
                                                                                                                "store-write " BACK(                                                        \
                                                                                                                    domain) "/frontend-id " domain                                          \
                                                                                                                            "\r"                                                            \
                                                                                                                            "store-write " BACK(domain) "/frontend " FRONT(                 \
                                                                                                                                domain) "\r"                                                \
                                                                                                                                        "store-write " BACK(                                \
                                                                                                                                            domain) "/online 1\r"                           \
                                                                                                                                                    "store-write " BACK(                    \
                                                                                                                                                        domain) "/mac 00:16:3e:00:00:" last \
                                                                                                                                                                "\r"                        \
                                                                                                                                                                "store-write " BACK(        \
                                                                                                                                                                    domain) "/state 1\r"
#define FRONT(domain) "/local/domain/" domain "/device/vif/0"
#define BACK(domain) "/local/domain/0/backend/vif/" domain "/0"

#define GUEST(name, more) \
    "create -p guest.cfg 'name=\"" name "\"' 'ramdisk=\"/guest.gz\"' memory=224" more "\r"
#define UP(address)                                                                               \
    ">modprobe xen-netfront; until [ -e /sys/class/net/eth0 ]; do sleep 1; done; ip address add " \
    "10.0.0." address "/24 dev eth0; ip link set eth0 up; echo up=" address "\n",                 \
        "^up=" address "\n"

const struct scenario network_scenarios[] = {
    {
        .group = "split-drivers",
        .name = "network-two",
        .memory_mib = 1024,
        .smp = 2,
        CONTROL,
        .steps = { "^control> ", ">" GUEST("one", "") GUEST("two", "") "list\r", "^two +2 ",
                   VIF("1", "01"), VIF("2", "02"), ">unpause one\runpause two\rconsole one\r",
                   SHELL, UP("1"), ">\035console two\r", SHELL, UP("2"),
                   ">ping -c 3 -W 5 10.0.0.1\n", "^3 packets transmitted, 3 packets received",
                   ">\035destroy one\rdestroy two\rlist\r", "^Domain-0 .*\ncontrol> $",
                   ">poweroff\r" },
        .forbidden = "FAIL",
        .timeout_s = 200,
    },
};
const size_t nr_network_scenarios = sizeof(network_scenarios) / sizeof(network_scenarios[0]);
