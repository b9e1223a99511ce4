#!/bin/bash
# The hypervisor's package on an installed Debian host: it boots from the entry that update-grub wrote,
# by BIOS and by UEFI, and removal leaves nothing.
#   usage: package.sh [-u] -d DEB -h HOST -l LOGDIR
# HOST: what mkinstalled.sh left.
# -u: the long form: a kernel is installed and booted, one is removed, and Debian's Xen comes beside it.
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
failed=0

# machine NAME WHAT ARGUMENTS...: a boot with its verdict; the job's lines are shown if it failed
machine() {
    local name=$1 what=$2 begin=$EPOCHSECONDS log=$logs/package-$1.log
    shift 2
    sed "s/@OLD@/$old/; s/@NEW@/$new/" "$jobs/$name" >"$work/job"
    if "$here/machine.sh" -j "$work/job" -f "$jobs/lib.sh" -l "$log" "$@" "$work/disk.img"; then
        printf '  ok     %-58s %4d s\n' "$what" $((EPOCHSECONDS - begin))
    else
        printf '  FAILED %-58s %4d s  (%s)\n' "$what" $((EPOCHSECONDS - begin)) "$log"
        tail -n 20 "$log" | sed 's/^/      /'
        failed=$((failed + 1))
    fi
}

machine install "installed on $old, update-grub" -b "$host" -f "$deb"
machine uefi "booted by UEFI" -e -s
if [ -n "$upgrade" ]; then
    machine bios "booted by BIOS" -s
    machine upgrade "kernel $new installed" -b "$host" -t 900 -f "$host/new-kernel.deb"
    machine upgraded "booted with it" -s
    machine other-xen "booted, Debian's Xen installed beside it, kernel $old removed" -t 900 \
        -f "$host/xen-hypervisor-4.17.deb" -f "$host/xen-hypervisor-common.deb"
    machine upgraded "booted beside Debian's Xen" -s
    machine remove-only "removed"
else
    machine purge "booted by BIOS, and there removed: nothing is left"
fi
[ $failed -eq 0 ]
