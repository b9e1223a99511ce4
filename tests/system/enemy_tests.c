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

/* Nothing of a guest is left, soon. */
#define END(guests)                                                                     \
    ">\035" guests "store-ls /local/domain/0/backend\rlist\rlist\rlist\r",              \
        "^console = \"\"\n(v.. = \"\"\n)*control> list\n(.*\n)*Domain-0 .*\ncontrol> ", \
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
        .forbidden = "FAIL|ERROR|kernel (crash|panic)", .timeout_s = limit,                                           \
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
        .forbidden = "FAIL|ERROR|kernel (crash|panic)", .timeout_s = limit,                                                                                      \
    }

/* The enemy serves one of the devices of the honest one, whose disk is served as before. */
#define ENEMY(name, class, rounds, seed) \
    KERNEL(name, "enemy_back", "enemy=" class " rounds=" rounds " seed=" seed) "\r"
#define VICTIM(name, class, disk, more) \
    KERNEL(name, "victim", "enemy=" class) "'disk=[\"phy:/dev/" disk ",xvda,w\"" more "\r"
#define ENDED(enemy, victim)                                                          \
    "console " victim "\r", "^VERDICT rt_victim SUCCESS", ">\035console " enemy "\r", \
        "^VERDICT rt_enemy_back SUCCESS"
#define BACKENDS(in_group, what, rounds, seed, limit)                                           \
    {                                                                                           \
        .group = in_group, .name = what, .memory_mib = 768, .smp = 2, CONTROL,                  \
        .steps = { "^control> ",                                                                \
                   ">" ENEMY("enemy", "vbd", rounds, seed) ENEMY("other", "vif", rounds, seed)  \
                       VICTIM("honest", "vbd", "ram0", ",\"/none,raw,xvdb,w,backend=enemy\"]'") \
                           VICTIM("guest", "vif", "ram1",                                       \
                                  "]' 'vif=[\"mac=00:16:3e:00:00:67,backend=other\"]'")         \
                               ENDED("enemy", "honest"),                                        \
                   ">\035" ENDED("other", "guest"),                                             \
                   END("destroy enemy\rdestroy other\rdestroy honest\rdestroy guest\r") },      \
        .forbidden = "FAIL|ERROR|kernel (crash|panic)|Failed to", .timeout_s = limit,           \
    }

/* The toolstack has no channels of other backends: what it has made for one of its own is changed before that guest runs. */
#define FRONT "/local/domain/2/device/console/1"
#define BACK "/local/domain/1/backend/console/2/1"
#define CHANNELS_VICTIM                                                            \
    VICTIM("honest", "console", "ram1", "]' 'channel=[" CHANNEL("one") "]' -p")    \
    "store-rm /local/domain/0/backend/console/2/1\r"                               \
    "store-write " BACK " ''\rstore-chmod " BACK " n1 r2\r"                        \
    "store-write " BACK "/frontend " FRONT "\r"                                    \
    "store-write " BACK "/frontend-id 2\rstore-write " BACK "/state 1\r"           \
    "store-chmod " FRONT " n2 r1 r0\rstore-chmod " FRONT "/state n2 r1 r0\r"       \
    "store-write " FRONT "/backend " BACK "\rstore-write " FRONT "/backend-id 1\r" \
    "unpause honest\r"

/* And a guest's own are flooded and broken, one after the other, but for the last one. Another guest's are served. */
#define CHANNEL(name) "\"connection=pty,name=" name "\""
#define CHANNELS                                                                     \
    CHANNEL("a")                                                                     \
    "," CHANNEL("b") "," CHANNEL("c") "," CHANNEL("d") "," CHANNEL("e") "," CHANNEL( \
        "f") "," CHANNEL("g") "," CHANNEL("h")
#define CONSOLES(in_group, what, rounds, seed, limit)                                              \
    {                                                                                              \
        .group = in_group, .name = what, .memory_mib = 768, .smp = 2, CONTROL,                     \
        .steps = { "^control> ",                                                                   \
                   ">" ENEMY("enemy", "console", rounds, seed) CHANNELS_VICTIM,                    \
                   "unpause honest",                                                               \
                   ">" KERNEL("guest", "consfront",                                                \
                              "") "'channel=[" CHANNEL("one") "]'\rconsole -n 1 guest\r",          \
                   "^channel 1 is one",                                                            \
                   ">\035" KERNEL("flood", "enemy_front",                                          \
                                  "enemy=console device=1 devices=8 rounds=" rounds                \
                                  " seed=" seed) "'channel=[" CHANNELS "]'\rconsole -n 1 guest\r", \
                   "console -n 1 guest\n",                                                         \
                   ">some words\n",                                                                \
                   "^SOME WORDS\n",                                                                \
                   ">\035console flood\r",                                                         \
                   "^VERDICT rt_enemy_front SUCCESS",                                              \
                   ">\035console -n 1 guest\r",                                                    \
                   ">more words\n",                                                                \
                   "^MORE WORDS\n",                                                                \
                   ">end\n\035console guest\r",                                                    \
                   "^VERDICT rt_consfront SUCCESS",                                                \
                   ">\035" ENDED("enemy", "honest"),                                               \
                   END("destroy flood\rdestroy enemy\rdestroy honest\rdestroy guest\r") },         \
        .forbidden = "FAIL|ERROR|kernel (crash|panic)|Failed to", .timeout_s = limit,              \
    }

const struct scenario enemy_scenarios[] = {
    BLOCK("split-drivers", "enemy-block", "25", "8", "1", 120),
    NETWORK("split-drivers", "enemy-network", "25", "12", "1", 120),
    BACKENDS("split-drivers", "enemy-backends", "25", "1", 120),
    CONSOLES("split-drivers", "enemy-consoles", "25", "1", 120),
    BLOCK("soak", "enemy-block-soak", "400", "90", "2", 900),
    NETWORK("soak", "enemy-network-soak", "400", "90", "2", 900),
    BACKENDS("soak", "enemy-backends-soak", "400", "2", 900),
    CONSOLES("soak", "enemy-consoles-soak", "150", "2", 900),
};
const size_t nr_enemy_scenarios = sizeof(enemy_scenarios) / sizeof(enemy_scenarios[0]);
