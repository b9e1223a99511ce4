#!/bin/bash
# What `make bench-linux` says of its three runs (run.sh).
#   usage: table.sh DIR TSV PROFILE FIGURES
# TSV      workload, unit, bare, ours, xen, ratio: instructions per unit; and those of the hypervisors
# PROFILE  workload, reason, entries, instructions: of our hypervisor
# FIGURES  folder for linux.md, linux.svg, linux-profile.svg
# Fails unless each workload takes fewer instructions on ours than on Xen.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/markdown.sh"
dir=$1 tsv=$2 profile=$3 figures=$4
mkdir -p "$figures"

# number, name, units and unit of the workloads, then the reasons of the windows: of all three runs
for run in bare ours xen; do
    tr -d '\r' <"$dir/$run.log" | awk -F '\t' -v OFS='\t' -v run=$run '/^WORKLOAD\t/ { print run, $0 }'
    awk -F '\t' -v OFS='\t' -v run=$run '$1 > 0 && $3 == "-" { print run, "REASON", $1, $2, $4, $5 }' "$dir/$run.tsv"
done >"$dir/all"

awk -F '\t' -v OFS='\t' '
    $2 == "WORKLOAD" { name[$3] = $4; units[$3] = $5; unit[$3] = $6; last = $3; next }
    { all[$1, $3] += $6 }
    $4 !~ /^guest/ { hv[$1, $3] += $6 }
    END {
        print "workload", "unit", "bare", "ours", "xen", "ratio", "ours_hypervisor", "xen_hypervisor"
        if (last == 0)
            exit 1
        for (n = 1; n <= last; n++) {
            if (!(("bare", n) in all) || !(("ours", n) in all) || !(("xen", n) in all))
                exit 1
            printf "%s\t%s\t%.0f\t%.0f\t%.0f\t%.3f\t%.0f\t%.0f\n", name[n], unit[n], all["bare", n] / units[n],
                all["ours", n] / units[n], all["xen", n] / units[n], all["ours", n] / all["xen", n],
                hv["ours", n] / units[n], hv["xen", n] / units[n]
        }
    }' "$dir/all" >"$tsv" || { echo "bench-linux: not all workloads were seen in all three runs, see $dir" >&2; exit 1; }

# Reasons as the ABI calls them, the costliest of a workload first.
awk -F '\t' -v OFS='\t' '
    $2 == "WORKLOAD" { name[$3] = $4; next }
    $1 != "ours" || $4 ~ /^guest/ { next }
    {
        sub(/^entry_syscall\/syscall_from_user$/, "system call to the kernel", $4)
        sub(/^entry_syscall\/multicall\/hc_/, "multicall entry ", $4)
        sub(/^entry_syscall\/hc_/, "hypercall ", $4)
        sub(/^entry_syscall\/idle_loop$/, "idle", $4)
        sub(/\/arch_inject_(page_fault|exception)$/, ", for the kernel", $4)
        sub(/\/paging_emulated_write$/, ", PTE write", $4)
        print $3, name[$3], $4, $5, $6
    }' "$dir/all" | sort -t $'\t' -k1,1n -k5,5nr -k3,3 | cut -f 2- |
    sed $'1i workload\treason\tentries\tinstructions' >"$profile"

# The reasons over all workloads.
tail -n +2 "$profile" | awk -F '\t' -v OFS='\t' '
    { entries[$2] += $3; instructions[$2] += $4; sum += $4 }
    END {
        for (reason in instructions)
            if (instructions[reason] >= sum / 200)
                printf "%s\t%d\t%.1f\t%.1f\n", reason, entries[reason], instructions[reason] / sum * 100,
                    entries[reason] ? instructions[reason] / entries[reason] : 0
    }' | sort -t $'\t' -k3,3nr -k1,1 >"$dir/reasons"

tail -n +2 "$tsv" >"$dir/rows"
show $'workload\tunit\tbare\tours\tXen\tours/Xen\tin ours\tin Xen' "$dir/rows" >"$dir/rows.md"
show $'reason\tentries\tper cent\tinstructions each' "$dir/reasons" >"$dir/reasons.md"
echo
echo "Debian's kernel, instructions per unit; the last columns are those of the hypervisor alone:"
cat "$dir/rows.md"
echo
echo "Why our hypervisor was entered, over all workloads:"
cat "$dir/reasons.md"

# The profile's picture: per cent by reason, the costliest reasons by themselves.
awk -F '\t' -v OFS='\t' '
    FILENAME == ARGV[1] { if (FNR <= 9) { nr++; reason[nr] = $1 } next }
    FNR == 1 { next }
    !($1 in sum) { workload[++rows] = $1 }
    { sum[$1] += $4; share[$1, $2] += $4 }
    END {
        printf "workload"
        for (i = 1; i <= nr; i++) printf "\t%s", reason[i]
        print "\tother"
        for (r = 1; r <= rows; r++) {
            w = workload[r]; rest = 100
            printf "%s", w
            for (i = 1; i <= nr; i++) {
                x = share[w, reason[i]] / sum[w] * 100; rest -= x
                printf "\t%.2f", x
            }
            printf "\t%.2f\n", rest < 0 ? 0 : rest
        }
    }' "$dir/reasons" "$profile" >"$dir/shares"
gnuplot -c "$here/pictures.gp" "$dir/rows" "$dir/shares" "$figures"
cat >"$figures/linux.md" <<MARKDOWN
# Linux on ours, on Debian's Xen and on the bare machine

Written by \`make bench-linux\`: Debian's kernel as initial domain of our hypervisor (without asserts)
and of Xen, and without either, one CPU, 512 MiB, the same ramdisk. Instructions per unit, counted by
\`tests/bench/plugin\`; those of the user's program and of Linux are in it. The last two columns are
the hypervisor's alone.

$(cat "$dir/rows.md")

![in per cent of the bare machine](linux.svg)

## Why our hypervisor was entered

$(cat "$dir/reasons.md")

![by workload](linux-profile.svg)
MARKDOWN

awk -F '\t' 'NR > 1 && $4 >= $5 { print "bench-linux: " $1 " is not faster on ours"; failed = 1 }
    END { exit failed }' "$tsv"
