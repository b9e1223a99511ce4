/*
 * Machines in which a guest is a hostile kernel of ours (tests/guests/runtime/enemy_front.c), and one beside it is
 * honest and verifies what it is served meanwhile. The enemy's verdict is whether its backend lives, and has let go of
 * all that is its.
 */
#include "enemy_tests.h"

#define CONTROL                                                     \
    .hypervisor_cmdline = "dom0_mem=320M", .kernel = "control.elf", \
    .kernel_cmdline = "ram0=16M ram1=4M", .ramdisk = "ramdisk.cpio"

#define KERNEL(guest, file, arguments)                          \
    "create guest.cfg 'name=\"" guest "\"' 'kernel=\"/rt_" file \
    ".elf\"' 'ramdisk=\"\"' memory=32 "                         \
    "'on_poweroff=\"preserve\"' 'cmdline=\"" arguments "\"' "

/* Nothing of a guest is left. */
#define END(guests)                                                                   \
    ">\035" guests "store-ls /local/domain/0/backend\rlist\r",                        \
        "^console = \"\"\n(v.. = \"\"\n)*control> list\n.*\nDomain-0 .*\ncontrol> $", \
        ">poweroff\r"

/* @seconds  for how long the honest one goes on */
#define BLOCK(in_group, what, rounds, seconds, seed, limit)                                                           \
    {                                                                                                                 \
        .group = in_group, .name = what, .memory_mib = 768, .smp = 2, CONTROL,                                        \
        .steps = { "^control> ",                                                                                      \
                   ">" KERNEL("honest", "blkfront", "seconds=" seconds) "'disk=[\"phy:/dev/ram1,xvda,w\"]'\r" KERNEL( \
                       "enemy", "enemy_front",                                                                        \
                       "enemy=vbd device=51712 rounds=" rounds                                                        \
                       " seed=" seed) "'disk=[\"phy:/dev/ram0,xvda,w\"]'\rconsole enemy\r",                           \
                   "^VERDICT rt_enemy_front SUCCESS",                                                                 \
                   ">\035console honest\r",                                                                           \
                   "^VERDICT rt_blkfront SUCCESS",                                                                    \
                   END("destroy honest\rdestroy enemy\r") },                                                          \
        .forbidden = "FAIL|ERROR", .timeout_s = limit,                                                                \
    }

/* One that answers, one that asks it, and the enemy between them. */
#define NETWORK(in_group, what, rounds, seconds, seed, limit)                                                                                                    \
    {                                                                                                                                                            \
        .group = in_group, .name = what, .memory_mib = 768, .smp = 2, CONTROL,                                                                                   \
        .steps = { "^control> ",                                                                                                                                 \
                   ">create answers.cfg\r" KERNEL("honest", "pings", "ip=10.0.2.40 to=10.0.2.30 seconds=" seconds) "'vif=[\"mac=00:16:3e:00:00:40\"]'\r" KERNEL( \
                       "enemy", "enemy_front",                                                                                                                   \
                       "enemy=vif rounds=" rounds                                                                                                                \
                       " seed=" seed) "'vif=[\"mac=00:16:3e:00:00:66\"]'\rconsole enemy\r",                                                                      \
                   "^VERDICT rt_enemy_front SUCCESS",                                                                                                            \
                   ">\035console honest\r",                                                                                                                      \
                   "^VERDICT rt_pings SUCCESS",                                                                                                                  \
                   END("destroy honest\rdestroy enemy\rdestroy answers\r") },                                                                                    \
        .forbidden = "FAIL|ERROR", .timeout_s = limit,                                                                                                           \
    }

const struct scenario enemy_scenarios[] = {
    BLOCK("split-drivers", "enemy-block", "25", "8", "1", 120),
    NETWORK("split-drivers", "enemy-network", "25", "12", "1", 120),
    BLOCK("soak", "enemy-block-soak", "400", "90", "2", 900),
    NETWORK("soak", "enemy-network-soak", "400", "90", "2", 900),
};
const size_t nr_enemy_scenarios = sizeof(enemy_scenarios) / sizeof(enemy_scenarios[0]);
