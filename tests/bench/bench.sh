#!/bin/bash
# The benchmark's part that a small kernel measures (bench.c): ours and Debian's Xen side by side.
#   usage: bench.sh DIR BOOT TSV FIGURES OUR-IMAGE XEN-IMAGE
# DIR      has the images to boot, HYPERVISOR[-WORD].iso; logs and figures go there, too
# BOOT     has plugin.so, which counts boot's instructions, and the images unpacked: ours.elf, xen.elf
# TSV      is written: operation, unit, ours, xen, ratio, target
# FIGURES  a folder: its README.md is written, and the pictures
# Everything is run twice and has to repeat to the instruction. Exit status: 0 if it did, ours is
# better in each row, and meets its target.
set -euo pipefail
export LC_ALL=C

[ $# -eq 6 ] || { sed -n '3,9s/^# \?//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 boot=$2 tsv=$3 pictures=$4 our_image=$5 xen_image=$6
failed=0

complain() {
    echo "bench: $*" >&2
    failed=1
}

# What is run: NAME IMAGE CPU MIB. NAME is a hypervisor, "-" and what is measured. Of "boot" a plugin
# counts the instructions from the hypervisor's entry on and ends QEMU at domain 0's first.
flaws=Haswell-noTSX,-smap
runs=(
    "ours-512 ours qemu64,+smep 512"
    "xen-512 xen qemu64,+smep 512"
    "ours-boot-512 ours-machine qemu64,+smep 512"
    "xen-boot-512 xen-machine qemu64,+smep 512"
    "ours-boot-8192 ours-machine qemu64,+smep 8192"
    "xen-boot-8192 xen-machine qemu64,+smep 8192"
    "xen-8192 xen-machine qemu64,+smep 8192"
    "ours-flaws ours $flaws 512"
    "xen-flaws xen $flaws 512"
    "ours-counts ours-counts qemu64,+smep 512"
)

# boot NAME IMAGE CPU MIB: both times at once, on a CPU each. Leaves DIR/NAME.tsv, name and figure.
boot() {
    local pids=() n plugin
    for n in 1 2; do
        plugin=()
        [[ $1 != *-boot-* ]] ||
            plugin=(-plugin "$boot/plugin.so,out=$dir/$1.$n.sites,image=$boot/${1%%-*}.elf")
        "$here/boot.sh" -c "$3" -m "$4" ${plugin:+-e} "$dir/$2.iso" "$dir/$1.$n.log" "${plugin[@]}" &
        pids+=($!)
    done
    for n in 1 2; do
        wait "${pids[n - 1]}" || { complain "$1: not measured"; return; }
        figures "$1" "$4" "$dir/$1.$n.log" >"$dir/$1.$n.tsv"
    done
    repeats "$1" "$dir/$1.1.tsv" "$dir/$1.2.tsv" || complain "$1: these figures do not repeat"
    cp "$dir/$1.1.tsv" "$dir/$1.tsv"
}

# repeats NAME FIRST SECOND: prints the lines that differ. When Xen boots, its waits for timers begin at
# other moments of the host's disk each time, and a few turns of their loops are taken for work: 1 in
# 10,000. As much for a domain's creation and destruction, into which timers' interrupts fall.
repeats() {
    awk -F '\t' -v name="$1" '
        FNR == NR { first[$1] = $0; figure[$1] = $2; nr++; next }
        { nr--; d = $2 - figure[$1] }
        $0 == first[$1] { next }
        (name ~ /^xen-boot/ || $1 == "domain of 16 MiB") && $1 in first && d * d <= (figure[$1] / 10000) ^ 2 { next }
        { print "< " first[$1] "\n> " $0; bad = 1 }
        END { exit bad || nr }' "$2" "$3" >&2
}

# figures NAME MIB LOG: what the console said, as lines "name<tab>figure"
figures() {
    tr -d '\r' <"$3" | case $1 in
    *-counts) awk -f "$here/counts.awk" ;;
    *) awk -v mib="$2" -v total="$(grep '^total' "${3%.log}.sites" 2>/dev/null || true)" -f "$here/figures.awk" ;;
    esac
}

mkdir -p "$dir" "$pictures"
rm -f "$dir"/*.tsv "$dir"/*.log "$dir"/*.sites
for run in "${runs[@]}"; do
    # shellcheck disable=SC2086  # a list of words by intent
    boot $run
done
for hypervisor in ours xen; do
    image=$our_image
    [ $hypervisor = ours ] || image=$xen_image
    printf 'image\t%s\n' "$(stat -L -c %s "$image")" >"$dir/$hypervisor-image.tsv"
    for part in 512 8192 boot-512 boot-8192 image; do
        [ ! -e "$dir/$hypervisor-$part.tsv" ] || cat "$dir/$hypervisor-$part.tsv"
    done >"$dir/$hypervisor.tsv"
done

# compare TARGETS TSV MARKDOWN OURS XEN
compare() {
    awk -v targets="$1" -v tsv="$2" -v markdown="$3" -f "$here/table.awk" "$here/targets.tsv" "$4" "$5"
}

# picture NAME TITLE CONDITION TSV: of the rows of a table like bench.tsv that fulfil the condition, which
# may know $1 to $6 and instr, whether the unit is instructions; percent=1: in per cent of Xen's
picture() {
    local percent=0 targets=1
    [ "$1" != machine ] || percent=1
    awk -F '\t' -v OFS='\t' -v percent=$percent '
        function bar(x) { return x == "" ? "?" : percent ? x / $4 * 100 : x }
        { instr = $2 == "instructions" }
        NR > 1 && $3 != "" && $4 > 0 && ('"$3"') { print $1, bar($3), bar($4), bar($6) }' "$4" >"$dir/$1.bars"
    [ -s "$dir/$1.bars" ] || { complain "nothing to draw for $1"; return; }
    grep -qv '?$' "$dir/$1.bars" || targets=0
    gnuplot -c "$here/bars.gp" "$dir/$1.bars" "$pictures/$1.svg" "$2" $targets ||
        complain "no picture $1"
}

version=$(cat "${xen_image%/*}/version")
{
    echo
    echo "Ours and Xen $version, no mitigations on entry (-cpu qemu64,+smep):"
    compare 1 "$tsv" "$dir/main.md" "$dir/ours.tsv" "$dir/xen.tsv" || failed=1
    echo
    echo "Ours, per operation: page-table loads, TLB flushes, those of a page, IPIs:"
    awk -v markdown="$dir/counts.md" -f "$here/counts_table.awk" "$here/targets.tsv" "$dir/ours-counts.tsv"
    echo
    echo "With the mitigations that each has by default (-cpu $flaws):"
    compare 0 "$dir/flaws.bench" "$dir/flaws.md" "$dir/ours-flaws.tsv" "$dir/xen-flaws.tsv"
}

# shellcheck disable=SC2016  # conditions are awk's
{
    picture operations 'Instructions, no mitigations on entry' 'instr && $4 < 2500' "$tsv"
    picture tables 'Instructions, no mitigations on entry' 'instr && $4 >= 2500 && $4 < 1000000' "$tsv"
    picture machine 'Per cent of what Xen takes' '!instr || $4 >= 1000000' "$tsv"
    picture mitigations "Instructions, with the mitigations that each has (-cpu $flaws)" \
        'instr && $4 < 2500' "$dir/flaws.bench"
}
cat >"$pictures/README.md" <<MARKDOWN
# Ours beside Debian's Xen

Written by \`make bench\`: our hypervisor without asserts and Xen $version, one kernel as initial
domain of both, on the machine of one CPU where a tick of the TSC is an instruction. The least of 60
samples, less an empty measurement. Boot is counted from the hypervisor's entry to domain 0's first
instruction, timed waits apart: ours are those that its log tells, Xen's what the plugin takes for
waits, loops of 1,000 reads of a clock and more. Memory kept is the machine's RAM that no domain has
or can have. The image of ours is the one with asserts.

$(cat "$dir/main.md")

![operations](operations.svg)
![page tables and console](tables.svg)
![boot, memory, image](machine.svg)

## What instructions do not show

Of ours, for one operation; a full flush is a page-table load, too, and counted as both. There are no
IPIs on one CPU.

$(cat "$dir/counts.md")

## With the mitigations that each has

\`-cpu $flaws\`, each with what it does there by default for its initial domain: Xen has, by its log, a second root (XPTI),
retpolines and a short sequence against branch history, ours guests on roots of their own, retpolines and
VERW at each exit (the [README](../README.md#cpu-flaws)'s table). Loads of page tables on the way in and
out count as one instruction here, as all do.

$(cat "$dir/flaws.md")

![with mitigations](mitigations.svg)

## Linux

[linux.md](linux.md) has it, by \`make bench-linux\`.

## Store and toolstack

[store.md](store.md), by \`make bench-store\`; [tools.md](tools.md), by \`make bench-tools\`.

## How cost grows

By \`make bench-growth\`, which has the figures in \`build/bench-growth.tsv\`.

![over event channels](growth-event-channel.svg)
![over timers](growth-timer.svg)
![over entries](growth-entries.svg)
![over domains](growth-domain.svg)
![over memory](growth-boot.svg)
MARKDOWN
exit $failed
