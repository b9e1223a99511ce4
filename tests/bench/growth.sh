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

# cost HV: until the kernel's verdict
cost() {
    local log=$dir/cost-$1.log

    nice "$here/boot.sh" -t $limit "$dir/cost-$1.iso" "$log"
    tr -d '\r' <"$log" | sed -n 's/^GROWTH \([0-9]*\) \([0-9]*\) \(.*\)$/\3\t\1\t\2/p' >"$dir/cost-$1.tsv"
}

# boot HV KIND NAME MIB...: to the initial domain's first instruction, where the plugin ends QEMU
boot() {
    local mib out

    for mib in "${@:4}"; do
        out=$dir/$2-$1-$mib.sites
        rm -f "$out"
        nice "$here/boot.sh" -e -t $limit -m "$mib" "$dir/$2-$1.iso" "$dir/$2-$1-$mib.log" \
            -plugin "$dir/plugin.so,out=$out,image=$dir/$1.elf"
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
        <(cat "$dir/cost-xen.tsv" "$dir/boot-xen.tsv") <(cat "$dir/cost-ours.tsv" "$dir/boot-ours.tsv") |
        LC_ALL=C sort -s -t $'\t' -k1,1 -k2,2n
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
picture domain 'Cost beside other domains, which wait for events' 'domains'
picture entries 'Cost over the number of entries' 'entries'
picture boot "From entry to domain 0's first instruction, timed waits apart" 'memory, MiB'

awk -v test=1 -f "$here/growth.awk" /dev/null
awk -f "$here/growth.awk" "$tsv"
