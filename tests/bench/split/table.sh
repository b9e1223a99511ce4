#!/bin/bash
# What `make bench-split` says of its runs.
#   usage: table.sh DIR TSV FIGURES
# DIR      has xen, xen-again, ours, ours-again and, if it was run, linux-on-ours: .tsv of parts.so, .log with the names
#          of its windows
# TSV      workload, unit, ours, Xen with Linux's backends, ratio, ours with Linux's backends
# FIGURES  a folder, for split.md
# Fails unless each of ours is at most two thirds of the peer's (but where by its name more of the guests' kernels is in
# it: libaio, UDP), and each of both repeats within 5 %.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/markdown.sh"
dir=$1 tsv=$2 figures=$3
verdict=0

# Instructions a unit: RUN WORKLOAD ALL, then the parts, of which copies are no other.
for run in ours ours-again xen xen-again linux-on-ours; do
    [ -e "$dir/$run.tsv" ] || continue
    tr -d '\r' <"$dir/$run.log" | sed -n 's/^\(\[[ 0-9.]*\] \)\?WORKLOAD\t/'$run'\tNAME\t/p'
    sed "s/^/$run\tPART\t/" "$dir/$run.tsv"
done | awk -F '\t' -v OFS='\t' -f "$here/parts.awk" | sort -t $'\t' -k 1,1 -k 2,2n >"$dir/all"

awk -F '\t' -v OFS='\t' '
    function complain(what) { print "bench-split: " what >"/dev/stderr"; failed = 1 }
    function repeats(run, n) {
        if (!cost[run "-again", n])
            complain(name[n] ": " run " was run once")
        else if ((cost[run, n] - cost[run "-again", n]) ^ 2 > (cost[run, n] / 20) ^ 2)
            complain(name[n] ": " run " does not repeat: " cost[run, n] ", " cost[run "-again", n])
    }
    $10 == 0 { complain($3 ": " $1 " has no backend domain: kernels were not told apart") }
    { cost[$1, $2] = $5; name[$2] = $3; unit[$2] = $4; last = $2 > last ? $2 : last }
    END {
        print "workload", "unit", "ours", "xen", "ratio", "linux_on_ours"
        for (n = 1; n <= last; n++) {
            if (!cost["ours", n] || !cost["xen", n])
                complain(name[n] ": not measured")
            else if (name[n] !~ /libaio|UDP/ && cost["ours", n] * 3 > cost["xen", n] * 2)
                complain(name[n] ": " cost["ours", n] " instructions, two thirds of Xen are " cost["xen", n] * 2 / 3)
            repeats("ours", n)
            repeats("xen", n)
            printf "%s\t%s\t%.0f\t%.0f\t%.3f\t%s\n", name[n], unit[n], cost["ours", n], cost["xen", n],
                cost["xen", n] ? cost["ours", n] / cost["xen", n] : 0, cost["linux-on-ours", n] ? cost["linux-on-ours", n] : "-"
        }
        exit failed || last != 15
    }' "$dir/all" >"$tsv" || verdict=1

parts_of() { awk -F '\t' -v OFS='\t' -v run="$1" '$1 == run { print $3, $5, $6, $7, $8, $9, $10, $11 }' "$dir/all" >"$dir/$1.parts"; }
heading=$'\tall\tcopies\tgrants\tevent channels\thypervisor else\tbackend domain\tguests'
for run in ours xen linux-on-ours; do
    parts_of $run
    if [ -s "$dir/$run.parts" ]; then
        show "$heading" "$dir/$run.parts" >"$dir/$run.md"
    else
        echo "Not run." >"$dir/$run.md"
    fi
done
# What can be reached: WORKLOAD WANTED GUESTS LEAST HYPERVISOR OURS VERDICT. The guests are those of the side where they take
# less, with their own copies. Beside them somebody copies the data once, at 8 bytes an instruction.
awk -F '\t' -v OFS='\t' '
    $1 == "ours" || $1 == "xen" {
        all[$1, $2] = $5
        guests = $11 + $12
        if (!least[$2] || guests < least[$2])
            least[$2] = guests
        name[$2] = $3
    }
    $1 == "ours" { hypervisor[$2] = $7 + $8 + $9 }
    function data_bytes(what) {
        return what ~ /^random/ ? 4096 : what ~ /64 bytes/ ? 64 : what ~ /1,500/ ? 1500 : 1048576
    }
    function judge(ours, wanted, bound, with_hypervisor) {
        if (ours <= wanted)
            return "met"
        if (bound > wanted)
            return "not with these guests, whoever serves them"
        return with_hypervisor > wanted ? "not with this hypervisor, whatever the backend takes" : "not reached"
    }
    END {
        for (n = 1; n in name; n++) {
            if (name[n] ~ /libaio|UDP/)
                continue
            wanted = all["xen", n] * 2 / 3
            bound = least[n] + data_bytes(name[n]) / 8
            verdict = judge(all["ours", n], wanted, bound, bound + hypervisor[n])
            printf "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\n", name[n], wanted, least[n], bound, bound + hypervisor[n],
                all["ours", n], verdict
        }
    }' "$dir/all" >"$dir/bounds"
show $'\ttwo thirds\tguests\tand one copy\tand the hypervisor\tours\t' "$dir/bounds" >"$dir/bounds.md"

row_heading=$'workload\tunit\tours\tXen\tours/Xen\tLinux\'s on ours'
tail -n +2 "$tsv" | grep -vE 'libaio|UDP' >"$dir/rows" || true
tail -n +2 "$tsv" | grep -E 'libaio|UDP' >"$dir/more" || true
show "$row_heading" "$dir/rows" >"$dir/rows.md"
show "$row_heading" "$dir/more" >"$dir/more.md"
echo
cat "$dir/rows.md"
echo
cat "$dir/more.md"
echo
cat "$dir/bounds.md"
for run in ours xen linux-on-ours; do
    echo "$run:"
    cat "$dir/$run.md"
done
cat >"$figures/split.md" <<MARKDOWN
# Disks and networks of guests beside Linux's backends

Written by \`make bench-split\`: instructions of the whole machine (\`tests/bench/plugin/parts.c\`) but idle loops, per unit.
One CPU, two guests of one vCPU and 128 MiB with the same Debian kernel and ramdisk on all sides, \`tsc_mode="native"\`. Ours:
the backends in the embedded control domain on our hypervisor (without asserts); Xen: Linux's \`blkback\` and \`netback\` with a
bridge in domain 0 of Debian's host on Debian's Xen 4.17; the last column has that domain 0 on our hypervisor.

The disk is a RAM disk of 64 MiB of the backend's domain. Requests go past the guest's page cache: 32 at a time, or one;
sequential are four of 1 MiB at a time. A program gives them to its kernel by a ring (io_uring) with buffers that the kernel
has been told of before; the queue has no scheduler and no statistics. Packets, counted by their IP length, are forwarded by
each guest to the other, 64 at a time, until their time to live is over (255 hops). TCP is one stream of two programs.
A repeated string instruction counts as often as it repeats (512 for 4 KiB).

$(cat "$dir/rows.md")

The same with more of the guests' kernels in it, which is equal on both sides and no target: by the older asynchronous calls
(libaio), with which the kernel looks up each page of the buffer for each request, and packets from program to program by UDP,
one \`send\` and one \`recv\` each, 64 on their way at most and one answer for 32.

$(cat "$dir/more.md")

What can be reached: two thirds of the peer's; what the guests take by themselves, with their own copies, on the side where
they take less; the same with one copy of the data, at 8 bytes an instruction, which somebody has to make; the same with our
hypervisor's part (grants, event channels, ways in and out, which system calls of a PV guest are, too). What is left of the
two thirds then is the backend's.

$(cat "$dir/bounds.md")

Where it goes. Copies are repeated moves (\`REP MOVS\`), wherever they are, and no part of the other columns; on ours the
runtime's \`memcpy\`, too. Grants are the hypervisor's grant operations with what they map and count, event channels its
delivery of them; the rest of the hypervisor is ways in and out, scheduling, time.

Ours:

$(cat "$dir/ours.md")

Linux's backends on Xen:

$(cat "$dir/xen.md")

Linux's backends on our hypervisor:

$(cat "$dir/linux-on-ours.md")
MARKDOWN
exit $verdict
