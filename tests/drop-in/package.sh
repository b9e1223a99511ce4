#!/bin/bash
# The hypervisor's package on an installed Debian host: it boots from the entry that update-grub wrote,
# by BIOS and by UEFI.
#   usage: package.sh [-u] -d DEB -h HOST -l LOGDIR
# HOST: what mkinstalled.sh left.
# -u: the long form: removal leaves nothing; a kernel is installed and booted, one is removed, and
# Debian's Xen comes beside it.
set -euo pipefail

upgrade='' deb='' host='' logs=''
while getopts ud:h:l: option; do
    case $option in
    u) upgrade=1 ;;
    d) deb=$OPTARG ;;
    h) host=$OPTARG ;;
    l) logs=$OPTARG ;;
    *) exit 2 ;;
    esac
done
if [ -z "$deb" ] || [ -z "$host" ] || [ -z "$logs" ]; then
    sed -n 4p "$0" >&2
    exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
jobs=$here/installed/jobs
read -r old new <"$host/stamp"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp --sparse=always "$host/disk.img" "$work/disk.img"

# machine NAME WHAT DISK ARGUMENTS...: a boot with its verdict; its last lines are shown if it failed.
# Seconds: of the clock, and of the host's CPU.
machine() {
    local name=$1 what=$2 disk=$3 begin=$EPOCHSECONDS log=$logs/package-$1.log verdict=ok TIMEFORMAT=%U
    shift 3
    sed "s/@OLD@/$old/g; s/@NEW@/$new/g" "$jobs/$name" >"$work/$name"
    { time "$here/machine.sh" -j "$work/$name" -f "$jobs/lib.sh" -l "$log" "$@" "$disk" || verdict=FAILED; } \
        2>"$work/$name.time"
    printf '  %-6s %-60s %4d s %6.1f s\n' $verdict "$what" $((EPOCHSECONDS - begin)) \
        "$(tail -n 1 "$work/$name.time")"
    if [ $verdict != ok ]; then
        echo "      $log:"
        tail -n 20 "$log" | cut -c 1-150 | sed 's/^/      /'
        echo "$name" >>"$work/failed"
    fi
}

disk=$work/disk.img
machine install "installed on $old, update-grub" "$disk" -b "$host" -f "$deb"
if [ -z "$upgrade" ]; then # two machines at a time
    machine uefi "booted by UEFI" "$disk" -e -s &
    machine bios "booted by BIOS" "$disk" -s
    wait
else
    machine uefi "booted by UEFI" "$disk" -e -s
    cp --sparse=always "$disk" "$work/other.img"
    machine purge "booted by BIOS, and there removed: nothing is left" "$work/other.img"
    machine upgrade "kernel $new installed" "$disk" -b "$host" -f "$host/new-kernel.deb"
    machine upgraded "booted with it" "$disk"
    machine other-xen "booted, Debian's Xen comes beside it, kernel $old removed" "$disk" \
        -f "$host/xen-hypervisor-4.17.deb" -f "$host/xen-hypervisor-common.deb"
    machine upgraded "booted beside Debian's Xen" "$disk"
    machine remove-only "booted, and there removed" "$disk"
fi
[ ! -e "$work/failed" ]
