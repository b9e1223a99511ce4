/* Machines with the embedded control domain, in which Debian's stock kernel is a guest. */
#include "control_tests.h"

#define CONTROL \
    .hypervisor_cmdline = "dom0_mem=256M", .kernel = "control.elf", .ramdisk = "ramdisk.cpio"

#define SHELL "XL-SHELL-READY\n(.*\n)*.*/ # "
#define ONLINE "for c in /sys/devices/system/cpu/cpu*/online; do echo 1 >$c; done 2>/dev/null"

/* What a guest is told by its nodes in the store it does, and it ends in every way that there is. */
#define LIFE(group_name, what, cpus, vcpus)                                                                  \
    {                                                                                                        \
        .group = group_name, .name = what, .memory_mib = 1024, .smp = cpus, CONTROL,                         \
        .steps = { "^control> ",                                                                             \
                   ">create guest.cfg memory=192 maxmem=256 vcpus=1 maxvcpus=" vcpus "\r"                    \
                   "console debian\r",                                                                       \
                   SHELL,                                                                                    \
                   ">echo cpus=$(nproc)\n",                                                                  \
                   "^cpus=1\n",                                                                              \
                   ">\035vcpu-set -i debian " vcpus "\rconsole debian\r",                                    \
                   ">\nuntil [ $(nproc) = " vcpus " ]; do sleep 1; " ONLINE "; done; "                       \
                   "echo cpus=$(nproc)\n",                                                                   \
                   "^cpus=" vcpus "\n",                                                                      \
                   ">xl_rounds=1 xl_mib=1 sh /jobs/sums && echo carried=$?\n",                               \
                   "^carried=0\n",                                                                           \
                   ">\035vcpu-set debian 1\rmem-set debian 128\rconsole debian\r",                           \
                   ">\nuntil [ $(nproc) = 1 ]; do sleep 1; done; sleep 2; "                                  \
                   "total() { sed -n 's/MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo; }; small=$(total); " \
                   "echo cpus=$(nproc)\n",                                                                   \
                   "^cpus=1\n",                                                                              \
                   ">\035list debian\r",                                                                     \
                   "^debian +1 +12[78] +1 +[-rb]{6} ",                                                       \
                   ">mem-set debian 256\rconsole debian\r",                                                  \
                   ">\nuntil [ $(total) -gt $((small + 120000)) ]; do sleep 1; done; echo grown=yes\n",      \
                   "^grown=yes\n",                                                                           \
                   ">\035list debian\rpause debian\rlist debian\r",                                          \
                   "^debian +1 +25[56] +1 +[-rb]{6} (.*\n)*debian +1 +25[56] +1 +..p... ",                   \
                   ">unpause debian\rreboot debian\r",                                                       \
                   "^.*domain debian: started again as 2",                                                   \
                   ">\rconsole debian\r",                                                                    \
                   SHELL,                                                                                    \
                   ">echo c >/proc/sysrq-trigger\n",                                                         \
                   DEBIAN_IS_GONE("2"),                                                                      \
                   ">\rcreate guest.cfg vcpus=" vcpus "\rconsole debian\r",                                  \
                   SHELL,                                                                                    \
                   ">echo cpus=$(nproc)\n",                                                                  \
                   "^cpus=" vcpus "\n",                                                                      \
                   ">\035shutdown -w debian\r",                                                              \
                   DEBIAN_IS_GONE("3"),                                                                      \
                   ">\rlist\r",                                                                              \
                   "^Domain-0 .*\ncontrol> $",                                                               \
                   ">poweroff\r" },                                                                          \
        .forbidden = "FAIL", .kernel_crash = true, .timeout_s = 300                                          \
    }

/* Two that carry bytes about, of which each CPU has more to do than it can, while both are watched and ballooned. */
#define TWO(group_name, what, cpus, vcpus, rounds, mib)                                            \
    {                                                                                              \
        .group = group_name, .name = what, .memory_mib = 1024, .smp = cpus, CONTROL,               \
        .steps = { "^control> ",                                                                   \
                   ">create guest.cfg 'name=\"first\"' memory=224 vcpus=" vcpus                    \
                   " 'cmdline=\"console=hvc0 xl_job=sums xl_hold xl_rounds=" rounds " xl_mib=" mib \
                   "\"'\r"                                                                         \
                   "create guest.cfg 'name=\"second\"' memory=224 vcpus=" vcpus                    \
                   " 'cmdline=\"console=hvc0 xl_job=sums xl_hold xl_rounds=" rounds " xl_mib=" mib \
                   "\"'\r"                                                                         \
                   "console first\r",                                                              \
                   "^XL-JOB-START sums",                                                           \
                   ">\035mem-set first 208\rmem-set second 208\rvcpu-list\rconsole second\r",      \
                   "^XL-JOB-END sums 0 ",                                                          \
                   ">\035mem-set second 224\rmem-set first 224\rconsole first\r",                  \
                   "^XL-JOB-END sums 0 (.*\n)*XL-JOB-RC 0\n",                                      \
                   ">\035list\r",                                                                  \
                   "^first +1 .*\nsecond +2 ",                                                     \
                   ">destroy first\rdestroy second\rlist\r",                                       \
                   "^Domain-0 .*\ncontrol> $",                                                     \
                   ">poweroff\r" },                                                                \
        .forbidden = "FAIL", .timeout_s = 300                                                      \
    }

/* No other domain is there any more, at once or when who has its memory has let it go. */
#define GONE ">list\rlist\rlist\rlist\r", "^Domain-0 .*\n.*control> ",

/* What a guest does at its second console while another one is watched. */
#define AT_HVC1(commands) ">(stty raw -echo; " commands ") <>/dev/hvc1 >&0 &\n"

/* Bytes by consoles beside the first, both ways, also when the daemon has been killed in between. */
#define CHANNELS(group_name, what, cpus)                                                            \
    {                                                                                               \
        .group = group_name, .name = what, .memory_mib = 1024, .smp = cpus, CONTROL,                \
        .steps = { "^control> ",                                                                    \
                   ">create -c guest.cfg 'channel=[\"connection=pty,name=org.one\","                \
                   "\"connection=socket,path=/two,name=two\"]'\r",                                  \
                   SHELL,                                                                           \
                   AT_HVC1("echo hello; read -r line; echo heard-$line >/dev/hvc0"),                \
                   ">\035console -n 1 debian\r",                                                    \
                   "^hello\n",                                                                      \
                   ">typed words\n",                                                                \
                   ">\035channel-list debian\rconsole debian\r",                                    \
                   "^Idx BE state evt-ch ring-ref connection +\n0   0  4     [0-9]+ +[0-9]+ +pty +" \
                   "\n1   0  4     [0-9]+ +[0-9]+ +socket +\n(.*\n)*.*heard-typed words",           \
                   ">\035service restart consoled\r",                                               \
                   "consoled has ended; it is started again\n(.*\n)*.*consoles are served",         \
                   ">console debian\r\n",                                                           \
                   "/ # ",                                                                          \
                   AT_HVC1("echo again; read -r line; dd bs=1 count=20000 if=/dev/zero | "          \
                           "tr '\\000' x; echo; echo back-$line"),                                  \
                   ">\035console -n 1 debian\r",                                                    \
                   "^again\n",                                                                      \
                   ">more\n",                                                                       \
                   "xx\nback-more\n",                                                               \
                   ">\035console -n 3 debian\r",                                                    \
                   "there is no such domain with a console",                                        \
                   ">destroy debian\rstore-ls /local/domain/0/backend/console\r",                   \
                   "store-ls /local/domain/0/backend/console\n.*control> $",                        \
                   GONE ">poweroff\r" },                                                            \
        .forbidden = "FAIL", .timeout_s = 240                                                       \
    }

/* Who attends to guests is killed while it starts one again, which the next one does then. */
#define KILLED(group_name, what, cpus)                                                                 \
    {                                                                                                  \
        .group = group_name, .name = what, .memory_mib = 1024, .smp = cpus, CONTROL,                   \
        .steps = { "^control> ",                                                                       \
                   ">create guest.cfg memory=192\rconsole debian\r",                                   \
                   SHELL,                                                                              \
                   ">\035reboot debian\r",                                                             \
                   "domain 1 \\(debian\\) has ended by 1: restart",                                    \
                   ">\rservice restart attend\r",                                                      \
                   "attend has ended; it is started again\n(.*\n)*.*domain debian: started again as ", \
                   ">\rconsole debian\r",                                                              \
                   SHELL,                                                                              \
                   ">\035destroy debian\rlist\r",                                                      \
                   "^Domain-0 .*\ncontrol> $",                                                         \
                   ">poweroff\r" },                                                                    \
        .forbidden = "FAIL", .timeout_s = 300                                                          \
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

const struct scenario control_scenarios[] = {
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

    LIFE("test", "control-life", 2, "4"),
    LIFE("soak", "control-life-1", 1, "2"),
    LIFE("soak", "control-life-4", 4, "3"),
    CHANNELS("split-drivers", "control-channels", 1),
    { /* A guest on our runtime with our frontend. */
      .group = "split-drivers",
      .name = "runtime-channels",
      .memory_mib = 768,
      .smp = 1,
      CONTROL,
      .steps = { "^control> ",
                 ">create guest.cfg 'name=\"ours\"' 'kernel=\"/rt_consfront.elf\"' 'ramdisk=\"\"' memory=64 "
                 "'on_poweroff=\"preserve\"' 'channel=[\"connection=pty,name=org.one\","
                 "\"connection=pty,name=org.two\"]'\rconsole -n 2 ours\r",
                 "^channel 2 is org.two\n", ">some words\n", "^SOME WORDS\n",
                 ">\035console -n 1 ours\r", "^channel 1 is org.one\n",
                 ">\035service restart consoled\r",
                 "consoled has ended; it is started again\n(.*\n)*.*consoles are served",
                 ">console -n 2 ours\rmore\n", "^MORE\n", ">end\n\035console ours\r",
                 "^VERDICT rt_consfront SUCCESS", ">\035channel-list --json ours\r",
                 "\"name\": \"org.two\"(.*\n)*.*control> $",
                 ">destroy ours\rstore-ls /local/domain/0/backend/console\r",
                 "store-ls /local/domain/0/backend/console\n.*control> $", GONE ">poweroff\r" },
      .forbidden = "FAIL|ERROR",
      .timeout_s = 240 },
    CHANNELS("soak", "control-channels-2", 2),
    TWO("test", "control-two", 2, "2", "2", "2"),
    TWO("soak", "control-two-4", 4, "4", "8",
        "6"), /* MiB: five at once have room in half of its memory */
    KILLED("soak", "control-killed", 1),
    KILLED("soak", "control-killed-2", 2),
};
const size_t nr_control_scenarios = sizeof(control_scenarios) / sizeof(control_scenarios[0]);
