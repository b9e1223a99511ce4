#!/bin/bash
# What `make bench-guests` says of its two runs.
#   usage: guests.sh DIR TSV FIGURES
# TSV      workload, unit, ours, xen, ratio: instructions per unit of the whole machine, which halts when
#          it is idle; and those of the hypervisors alone
# FIGURES  folder for guests.md
# Fails unless each workload takes fewer instructions on ours than on Xen.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/markdown.sh"
dir=$1 tsv=$2 figures=$3
mkdir -p "$figures"

for run in ours xen; do
    sed -n 's/^\[[ 0-9.]*\] WORKLOAD\t/WORKLOAD\t/p' "$dir/$run.log" | awk -F '\t' -v OFS='\t' -v run=$run '{ print run, $0 }'
    awk -F '\t' -v OFS='\t' -v run=$run '$1 > 0 && $3 == "-" { print run, "REASON", $1, $2, $4, $5 }' "$dir/$run.tsv"
done >"$dir/all"
awk -F '\t' -v OFS='\t' '
    $2 == "WORKLOAD" { name[$3] = $4; units[$3] = $5; unit[$3] = $6; seen[$1]++; last = $3 > last ? $3 : last; next }
    { all[$1, $3] += $6 }
    $4 !~ /^guest/ { hv[$1, $3] += $6 }
    END {
        print "workload", "unit", "ours", "xen", "ratio", "ours_hypervisor", "xen_hypervisor"
        if (last == 0 || seen["ours"] != last || seen["xen"] != last)
            exit 1
        for (n = 1; n <= last; n++) {
            if (!all["ours", n] || !all["xen", n])
                exit 1
            printf "%s\t%s\t%.0f\t%.0f\t%.3f\t%.0f\t%.0f\n", name[n], unit[n], all["ours", n] / units[n],
                all["xen", n] / units[n], all["ours", n] / all["xen", n], hv["ours", n] / units[n], hv["xen", n] / units[n]
        }
    }' "$dir/all" >"$tsv" || { echo "bench-guests: not all workloads were seen in both runs, see $dir" >&2; exit 1; }

tail -n +2 "$tsv" >"$dir/rows"
show $'workload\tunit\tours\tXen\tours/Xen\tin ours\tin Xen' "$dir/rows" >"$dir/rows.md"
echo
echo "A Debian guest with tsc_mode=native, instructions per unit; the last columns are those of the hypervisor alone:"
cat "$dir/rows.md"
cat >"$figures/guests.md" <<MARKDOWN
# A Debian guest on ours and on Debian's Xen

Written by \`make bench-guests\`: Debian's Xen host (kernel, \`xl\`, \`xenstored\`, block and network backends) with
our hypervisor (without asserts) and with its own; one CPU, a PV guest with one vCPU, 128 MiB and
\`tsc_mode="native"\`, whose disk is a RAM disk of the control domain. Instructions per unit, counted by
\`tests/bench/plugin\`: all that the machine executes, those of both domains' Linux too; an idle CPU halts. The
last two columns are the hypervisor's alone.

$(cat "$dir/rows.md")
MARKDOWN

awk -F '\t' 'NR > 1 && $3 >= $4 { print "bench-guests: " $1 " is not cheaper on ours"; failed = 1 }
    END { exit failed }' "$tsv"
