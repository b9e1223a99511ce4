#!/bin/bash
# How cost grows, on ours and on Debian's Xen (growth.mk has made the images).
#   usage: growth.sh [-p] DIR TSV FIGURES
# -p       only the table and the pictures, of the last run
# DIR      {cost,boot,linux}-{ours,xen}.iso, {ours,xen}.elf, plugin.so; logs go there, too
# TSV      operation, n, ours, xen: written
# FIGURES  a folder: growth-*.svg are written
# Fails if an operation of ours grows faster than linear (growth.awk).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
only_pictures=
[ "${1:-}" != -p ] || { only_pictures=1; shift; }
dir=${1:?usage: growth.sh [-p] DIR TSV FIGURES} tsv=${2:?} figures=${3:?}
limit=1200 # seconds for a machine

machine() { # MIB IMAGE LOG [OPTION]...
    exec nice qemu-system-x86_64 -accel tcg -machine pc -cpu qemu64,+smep -smp 1 -m "$1" \
        -icount shift=0,sleep=off -display none -no-reboot -cdrom "$2" -serial "file:$3" "${@:4}"
}

# cost HV: until the kernel's verdict
cost() {
    local log=$dir/cost-$1.log

    rm -f "$log"
    machine 512 "$dir/cost-$1.iso" "$log" &
    local qemu=$! i
    for ((i = 0; i < limit * 2; i++)); do
        sleep 0.5
        ! grep -aq '^VERDICT\|Panic' "$log" 2>/dev/null || break
        kill -0 $qemu 2>/dev/null || break
    done
    kill $qemu 2>/dev/null || true
    wait $qemu 2>/dev/null || true
    grep -aq '^VERDICT rt_growth SUCCESS' "$log" || { echo "growth: no success in $log" >&2; return 1; }
    tr -d '\r' <"$log" | sed -n 's/^GROWTH \([0-9]*\) \([0-9]*\) \(.*\)$/\3\t\1\t\2/p' >"$dir/cost-$1.tsv"
}

# boot HV KIND NAME MIB...: to the initial domain's first instruction, where the plugin ends QEMU
boot() {
    local mib out

    for mib in "${@:4}"; do
        out=$dir/$2-$1-$mib.sites
        rm -f "$out"
        (machine "$mib" "$dir/$2-$1.iso" "$dir/$2-$1-$mib.log" -plugin "$dir/plugin.so,out=$out,image=$dir/$1.elf") &
        local qemu=$! i
        for ((i = 0; i < limit * 2; i++)); do
            kill -0 $qemu 2>/dev/null || break
            sleep 0.5
        done
        kill $qemu 2>/dev/null || true
        wait $qemu 2>/dev/null || true
        [ -s "$out" ] || { echo "growth: $2-$1 did not boot with $mib MiB" >&2; return 1; }
        awk -v name="$3" -v n="$mib" '$1 == "total" { print name "\t" n "\t" $2 - $3; exit }' "$out" \
            >>"$dir/boot-$1.tsv"
    done
}

all() {
    : >"$dir/boot-$1.tsv"
    cost "$1"
    boot "$1" boot "boot: a small kernel" 512 1024 2048 4096 8192
    boot "$1" linux "boot: Debian's kernel and ramdisk" 512 2048 8192
}

if [ -z "$only_pictures" ]; then
    all ours &
    ours=$!
    all xen &
    xen=$!
    failed=
    wait $ours || failed=1
    wait $xen || failed=1
    [ -z "$failed" ] || exit 1
fi

{
    printf 'operation\tn\tours\txen\n'
    awk -F'\t' 'FNR == NR { xen[$1, $2] = $3; next } { print $0 "\t" xen[$1, $2] }' \
        <(cat "$dir/cost-xen.tsv" "$dir/boot-xen.tsv") <(cat "$dir/cost-ours.tsv" "$dir/boot-ours.tsv") | LC_ALL=C sort -s -t$'\t' -k1,1 -k2,2n
} >"$tsv"

# A picture for each word in front of a colon: a block of data for each of its operations.
mkdir -p "$figures"
picture() { # WORD TITLE AXIS
    awk -F'\t' -v word="$1: " 'index($1, word) == 1 {
        if ($1 != last) { printf "%s\"%s\"\n", last ? "\n\n" : "", substr($1, length(word) + 1); last = $1 }
        print $2, $3, $4 }' "$tsv" >"$dir/$1.dat"
    gnuplot -c "$here/growth.gp" "$dir/$1.dat" "$figures/growth-${1// /-}.svg" "$2" "$3"
}
picture 'event channel' 'Cost over open event channels' 'event channels'
picture timer 'Cost over timers that run' 'timers of other vCPUs'
picture entries 'Cost over the number of entries' 'entries'
picture boot "From entry to domain 0's first instruction, timed waits apart" 'memory, MiB'

awk -f "$here/growth.awk" "$tsv"
