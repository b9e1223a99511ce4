# Helpers for init and jobs of the control domain. Each step is a line on the console:
#   DROP-IN begin NAME
#   DROP-IN step NAME ok|FAILED|unsupported MILLISECONDS ms
# with what the command printed between. The job's end is "DROP-IN end failed=N".
failed=0
guest_log=/var/log/xen/console/guest-u1.log

run_step() { # VERDICT-OF-FAILURE NAME COMMAND...
    local bad=$1 name=$2 begin status=0
    shift 2
    echo "DROP-IN begin $name"
    begin=$(date +%s%N)
    "$@" || status=$?
    echo "DROP-IN step $name $([ $status -eq 0 ] && echo ok || echo "$bad")" \
        "$((($(date +%s%N) - begin) / 1000000)) ms"
    return $status
}

# step NAME COMMAND...: count it as failed if the command fails
step() {
    run_step FAILED "$@" || failed=$((failed + 1))
}

# may_fail NAME COMMAND...: a step whose failure is the system's right
may_fail() {
    run_step unsupported "$@" || true
}

# until_true TENTHS COMMAND...: wait until it succeeds
until_true() {
    local n=$1
    shift
    until "$@" >/dev/null 2>&1; do
        n=$((n - 1))
        [ $n -gt 0 ] || return 1
        sleep 0.1
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
    until_true 100 guest_says GUEST-TICK $((before + 2))
}

guest_stands() {
    local before
    guest_says GUEST-TICK 1 || return 1
    before=$(times GUEST-TICK)
    sleep 3
    [ $(($(times GUEST-TICK) - before)) -le 1 ]
}

# guest_reaches PATTERN TIMES: wait for guest_says, for two minutes or until there is no guest for
# some seconds (for a moment there is none while it reboots)
guest_reaches() {
    local n gone=0
    for ((n = 0; n < 1200; n++)); do
        guest_says "$@" && return 0
        if [ $((n % 20)) -eq 19 ]; then
            if guest_gone; then gone=$((gone + 1)); else gone=0; fi
            [ $gone -lt 3 ] || return 1
        fi
        sleep 0.1
    done
    return 1
}

guest_gone() { ! xl domid u1 >/dev/null 2>&1; }

# field NAME: of xl info
field() { xl info "$1"; }

# make_disk LOOP: an ext4 file system for the guest
make_disk() {
    mkdir -p /tmp/files && echo drop-in-disk >/tmp/files/hello &&
        dd if=/dev/zero of=/tmp/disk.img bs=1M count=24 2>/dev/null &&
        mke2fs -q -t ext4 -d /tmp/files /tmp/disk.img && losetup "$1" /tmp/disk.img
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
