# Helpers for init and jobs of the control domain. Each step is a line on the console:
#   DROP-IN begin NAME
#   DROP-IN step NAME ok|FAILED|unsupported MILLISECONDS ms
# with what the command printed between. The job's end is "DROP-IN end failed=N".
failed=0
guest_log=/var/log/xen/console/guest-u1.log

verdict() { # NAME BEGIN VERDICT
    echo "DROP-IN step $1 $3 $((($(date +%s%N) - $2) / 1000000)) ms"
    [ "$3" != FAILED ] || failed=$((failed + 1))
}

# step NAME COMMAND...: count it as failed if the command fails
step() {
    local name=$1 begin verdict=ok
    shift
    echo "DROP-IN begin $name"
    begin=$(date +%s%N)
    "$@" || verdict=FAILED
    verdict "$name" "$begin" $verdict
}

# may_fail NAME WHY COMMAND...: a step that the hypervisor need not support; then it has to say WHY
may_fail() {
    local name=$1 why=$2 begin verdict=ok
    shift 2
    echo "DROP-IN begin $name"
    begin=$(date +%s%N)
    if ! "$@" >/tmp/said 2>&1; then
        if grep -aq "$why" /tmp/said; then verdict=unsupported; else verdict=FAILED; fi
    fi
    cat /tmp/said
    verdict "$name" "$begin" $verdict
}

# until_true SECONDS COMMAND...: wait until it succeeds
until_true() {
    local n=$1
    shift
    until "$@" >/dev/null 2>&1; do
        n=$((n - 1))
        [ $n -gt 0 ] || return 1
        sleep 1
    done
}

# times PATTERN: how many lines of the guest's console are like that
times() {
    if [ -e $guest_log ]; then grep -acE "$1" $guest_log; else echo 0; fi
}

# guest_says PATTERN TIMES: at least that many
guest_says() { [ "$(times "$1")" -ge "$2" ]; }

# guest_runs, guest_stands: the guest counts seconds on its console; one may still be on its way
guest_runs() {
    local before
    before=$(times GUEST-TICK)
    until_true 20 guest_says GUEST-TICK $((before + 2))
}

guest_stands() {
    local before
    guest_says GUEST-TICK 1 || return 1
    before=$(times GUEST-TICK)
    sleep 3
    [ $(($(times GUEST-TICK) - before)) -le 1 ]
}

# guest_reaches PATTERN TIMES: wait for guest_says, for two minutes or until there is no guest for
# some seconds (for a moment there is none while it reboots). It asks seldom: libxl gives its hotplug
# scripts 40 s, and on a slow machine a fork ten times a second takes them most of a CPU.
guest_reaches() {
    local n gone=0
    for ((n = 0; n < 120; n++)); do
        guest_says "$@" && return 0
        if [ $((n % 4)) -eq 3 ]; then
            if guest_gone; then gone=$((gone + 1)); else gone=0; fi
            [ $gone -lt 3 ] || return 1
        fi
        sleep 1
    done
    return 1
}

guest_gone() { ! xl domid u1 >/dev/null 2>&1; }

# The daemons.
start_store() {
    export XENSTORED_ROOTDIR=/run/xenstored
    case $store in
    ocaml) oxenstored --pid-file /run/xenstored.pid ;;
    ours) xen-like-stored --size 64 --pid-file /run/xenstored.pid ;;
    *) xenstored --pid-file /run/xenstored.pid ;;
    esac
    until_true 20 xenstore-read -s /
}
start_console() {
    if [ "$consoled" = ours ]; then
        xen-like-consoled --pid-file /run/xenconsoled.pid
    else
        xenconsoled --log=guest --log-dir=/var/log/xen/console --pid-file=/run/xenconsoled.pid
    fi
}

# kill_daemon NAME: at once; and it has been there
kill_daemon() {
    local pid
    pid=$(cat "/run/$1.pid") && kill -9 "$pid" && until_true 20 [ ! -e "/proc/$pid" ]
}
again_console() { kill_daemon xenconsoled; start_console; }

# our_tools: from now on xl is ours where it serves the command
our_tools() {
    mkdir -p /run/tools && ln -s /drop-in/xl /run/tools/xl && PATH=/run/tools:$PATH && xl domid Domain-0
}

# can COMMAND: whether the guest's toolstack serves it
can() { [ "$tools" = debian ] || grep -qx "$1" /drop-in/served; }

# store_has_guest: what the tools, the backends and the guest itself have written
store_has_guest() {
    local id
    id=$(xl domid u1) && xenstore-ls -f "/local/domain/$id" >/tmp/nodes && wc -l /tmp/nodes &&
        grep "/name = \"u1\"" /tmp/nodes || return 1
    grep '/device/vif/0/state = "4"' /tmp/nodes &&
        xenstore-ls -f /local/domain/0/backend | grep "/vbd/$id/51712/state = \"4\""
}

# backend_is KIND DEVID STATE: of the guest's device.  backend_gone KIND DEVID
backend_is() { [ "$(xenstore-read "/local/domain/0/backend/$1/$(xl domid u1)/$2/state")" = "$3" ]; }
backend_gone() { ! xenstore-read "/local/domain/0/backend/$1/$(xl domid u1)/$2/state"; }

# spare_disks LOOP FILE: a block device and a file, of 4 MiB
spare_disks() {
    dd if=/dev/zero of=/tmp/spare.img bs=1M count=4 2>/dev/null &&
        dd if=/dev/zero of="$2" bs=1M count=4 2>/dev/null && losetup "$1" /tmp/spare.img
}
no_loop_of() { ! losetup -a | grep "$1"; }

# field NAME: of xl info
field() { xl info "$1"; }

# heap_free: KiB, as debug key m says it
heap_free() {
    xl debug-keys m && xl dmesg | sed -n 's/.*Dom heap: \([0-9]*\)kB free.*/\1/p' | tail -n 1
}

# guest_memory LEAST MOST: MiB; guest_online VCPUS
guest_memory() {
    local mib
    mib=$(xl list u1 | awk '$1 == "u1" { print $3 }')
    [ "$mib" -ge "$1" ] && [ "$mib" -le "$2" ]
}
guest_online() { [ "$(xl vcpu-list u1 | awk '$1 == "u1" && $5 != "--p"' | wc -l)" -eq "$1" ]; }

# console_shows PATTERN [GUEST]: xl console does, in 30 s
console_shows() { timeout 30 xl console "${2:-u1}" < <(sleep 30) | grep -aEm 1 "$1"; }

# What the hypervisor has logged, and its end.
dmesg_tail() { xl dmesg >/tmp/dmesg && grep -q . /tmp/dmesg && tail -n 3 /tmp/dmesg; }

guest_weighs() { [ "$(xl sched-credit2 -d u1 | awk '$1 == "u1" { print $3 }')" = "$1" ]; }
nothing_incoming() { ! xl list | grep -- --incoming; }

# make_disk LOOP: an ext4 file system for the guest
make_disk() {
    mkdir -p /tmp/files && echo drop-in-disk >/tmp/files/hello &&
        dd if=/dev/zero of=/tmp/disk.img bs=1M count=24 2>/dev/null &&
        mke2fs -q -t ext4 -d /tmp/files /tmp/disk.img && losetup "$1" /tmp/disk.img
}

# ramdisk_with INIT PROGRAM: /tmp/guest.gz, the guest's ramdisk with another init and a program more
ramdisk_with() {
    mkdir -p /tmp/more/bin && cp "$1" /tmp/more/init && chmod 755 /tmp/more/init && cp "$2" /tmp/more/bin/ &&
        { cat /drop-in/guest-ramdisk.gz && (cd /tmp/more && find . | busybox cpio -o -H newc) | gzip -1; } >/tmp/guest.gz
}

# configure CONFIG: vcpus=N, kernel=FILE ... : change lines of the guest's configuration
configure() {
    local word
    for word in "$@"; do
        sed -i "s|^${word%%=*} = .*|${word%%=*} = ${word#*=}|" /drop-in/u1.cfg
    done
}

# What a guest that has come up has reported, N starts after the log began.
guest_disk_works() { guest_says '^GUEST-DISK ok drop-in-disk' "$1"; }
guest_network_works() { guest_says '^GUEST-NET .* 0% packet loss' "$1"; }

# devices_work STEP-SUFFIX N: two steps
devices_work() {
    step "disk-works$1" guest_disk_works "$2"
    step "network-works$1" guest_network_works "$2"
}
