#!/bin/bash
# What `make bench-sched` says of its two runs.
#   usage: sched.sh DIR TSV FIGURES
# TSV      figure, unit, ours, xen, least, most: the last two are what ours has to be within
# FIGURES  folder for sched.md
# Fails unless each figure of ours is within them.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/markdown.sh"
dir=$1 tsv=$2 figures=$3
mkdir -p "$figures"

for run in ours xen; do
    sed -n 's/^\[[ 0-9.]*\] SCHED\t//p' "$dir/$run.log" | awk -F '\t' -v OFS='\t' -v run=$run '{ print run, $0 }'
done >"$dir/all"
# Shares: what the weights say, less what domain 0 and the sleeper take, two slices of ten seconds
# and xl's tenths of a second. Lateness: the bound of sched.h for one of five equal shares, and 0.1 ms for the
# sleeper's own timer and kernel.
awk -F '\t' -v OFS='\t' '
    BEGIN {
        share("alone: a", 950, 1000)
        for (i = split("a b c", name, " "); i; i--)
            share("weights 256, 256, 256: " name[i], 310, 345)
        share("weights 256, 256, 512: a", 232, 262)
        share("weights 256, 256, 512: b", 232, 262)
        share("weights 256, 256, 512: c", 470, 512)
        share("the first capped at 10 %: a", 85, 110)
        share("the first capped at 10 %: b", 275, 315)
        share("the first capped at 10 %: c", 555, 615)
        n = split("mean most", kind, " ")
        for (i = 1; i <= n; i++) {
            within("late by, " kind[i] ", nobody computes", 0, 6350)
            within("late by, " kind[i] ", three compute", 0, 6350)
        }
        print "figure", "unit", "ours", "xen", "least", "most"
    }
    function share(what, least, most) { within("share, " what, least, most) }
    function within(what, least, most) { low[what] = least; high[what] = most; nr++ }
    { value[$1, $2] = $3; unit[$2] = $4; if ($1 == "ours") order[++rows] = $2 }
    END {
        if (rows != nr)
            exit 1
        for (i = 1; i <= rows; i++) {
            w = order[i]
            if (!(w in low) || !(("xen", w) in value))
                exit 1
            print w, unit[w], value["ours", w], value["xen", w], low[w], high[w]
        }
    }' "$dir/all" >"$tsv" || { echo "bench-sched: not all figures were seen in both runs, see $dir" >&2; exit 1; }

tail -n +2 "$tsv" >"$dir/rows"
show $'figure\tunit\tours\tXen\tleast\tmost' "$dir/rows" >"$dir/rows.md"
echo
echo "Four Debian guests on one CPU; ours has to be within the last two columns:"
cat "$dir/rows.md"
cat >"$figures/sched.md" <<MARKDOWN
# Debian guests on one CPU, ours and Debian's Xen (credit2)

Written by \`make bench-sched\`: Debian's Xen host with our hypervisor and with its own, one CPU whose clock
counts instructions (4 ns each), guests with one vCPU: three that compute, and one that sleeps 10 ms
300 times and says how much later than that it ran on. Shares are over ten seconds, as \`xl list\` has them
in tenths of a second; domain 0 and the sleeper take some per cent. Ours has to be within the last two columns:
what weights and caps say, and the bound for a wake-up (\`hypervisor/sched/sched.h\`).

$(cat "$dir/rows.md")
MARKDOWN

awk -F '\t' 'NR > 1 && ($3 < $5 || $3 > $6) { print "bench-sched: " $1 ": " $3 " is not within " $5 " and " $6; failed = 1 }
    END { exit failed }' "$tsv"
