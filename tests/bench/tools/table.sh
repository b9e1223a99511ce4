#!/bin/bash
# What `make bench-tools` says of its three runs.
#   usage: table.sh DIR TSV FIGURES
# DIR      has ours, ours-again and xen: .tsv of parts.so, .log with the names of its windows
# TSV      operation, ours, Debian's, ratio, target; then what of ours executes it: the parts
# FIGURES  a folder, for tools.md
# Fails if a target is missed, a row is not cheaper on ours, or ours does not repeat within 0.5 %.
set -euo pipefail
export LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/markdown.sh"
dir=$1 tsv=$2 figures=$3
verdict=0

for run in ours ours-again xen; do
    tr -d '\r' <"$dir/$run.log" | sed -n 's/^\(\[[ 0-9.]*\] \)\?WORKLOAD\t\([0-9]*\)\t\([^\t]*\).*/'$run'\tNAME\t\2\t\3/p'
    sed "s/^/$run\tPART\t/" "$dir/$run.tsv"
done | awk -F '\t' -v OFS='\t' -v OFMT=%.0f -v CONVFMT=%.0f '
    function part(where, f) {
        if (split(where, f, ":") < 3)
            return where == "hypervisor" ? "hypervisor" : "guest"
        if (f[1] == "hypervisor")
            return f[3] == "idle_loop" ? "idle" : "hypervisor"
        if (f[2] ~ /^xenstore\//)
            return "store"
        if (f[2] ~ /^consoled\//)
            return "console daemon"
        return f[2] ~ /^(lib|control|dom0-tools|domain)\// ? "toolstack" : "runtime"
    }
    $2 == "NAME" { name[$1, $3] = $4; next }
    $3 > 0 && part($4) != "idle" { all[$1, $3] += $5; of[$1, $3, part($4)] += $5 }
    END {
        for (key in name) {
            split(key, k, SUBSEP)
            print k[1], name[key], all[key], of[key, "hypervisor"] + 0, of[key, "store"] + 0, of[key, "toolstack"] + 0,
                of[key, "console daemon"] + 0, of[key, "runtime"] + 0, of[key, "guest"] + 0
        }
    }' >"$dir/all"

awk -F '\t' -v OFS='\t' -v CONVFMT=%.0f '
    function complain(what) { print "bench-tools: " what >"/dev/stderr"; failed = 1 }
    function row(what, ours, xen, target) {
        if (!ours || !xen)
            complain(what ": not measured")
        else if (target && ours > target)
            complain(what ": " ours " instructions, the target is " target)
        else if (ours >= xen)
            complain(what ": not cheaper on ours")
        printf "%s\t%.0f\t%.0f\t%.1f\t%s\n", what, ours, xen, ours ? xen / ours : 0, target ? sprintf("%.0f", target) : "-"
    }
    { cost[$1, $2] = $3 }
    END {
        nothing = cost["xen", "nothing"]
        first = cost["ours", "create -p, 1st"]
        print "operation", "ours", "Debian", "ratio", "target"
        row("create -p, 1st since the machine started", first, cost["xen", "first: create -p"] - nothing,
            (cost["xen", "first: create -p"] - nothing) / 50)
        row("create -p, the 500th; of Debian: again", cost["ours", "create -p, 500th"], cost["xen", "create -p"] - nothing,
            1.5 * first)
        row("a shell for it, made some seconds before", cost["ours", "a shell made"], cost["xen", "first: create -p"] - nothing)
        row("create -p, 1st, without a shell", cost["ours", "create -p, 1st, no shell"], cost["xen", "first: create -p"] - nothing)
        row("create -p, the 500th, without a shell", cost["ours", "create -p, 500th, no shell"],
            cost["xen", "create -p"] - nothing)
        row("list, 1 guest", cost["ours", "list, 1 guest"], cost["xen", "list"] - nothing)
        row("destroy, 1 guest", cost["ours", "destroy, 1 guest"], cost["xen", "destroy"] - nothing)
        row("destroy, 500 guests; of Debian: 1", cost["ours", "destroy, 500 guests"], cost["xen", "destroy"] - nothing,
            1.5 * cost["ours", "destroy, 1 guest"])
        row("Debian guest, create to its init", cost["ours", "Debian to init"], cost["xen", "Debian to init"])
        for (key in cost) {
            split(key, k, SUBSEP)
            if (k[1] == "ours" && (cost[key] - cost["ours-again", k[2]]) ^ 2 > (cost[key] / 200) ^ 2)
                complain(k[2] ": does not repeat: " cost[key] ", " cost["ours-again", k[2]])
        }
        exit failed
    }' "$dir/all" >"$tsv" || verdict=1

awk -F '\t' -v OFS='\t' '$1 == "ours" { $1 = ""; print substr($0, 2) }' "$dir/all" | sort -t $'\t' -k 2n >"$dir/parts"
awk -F '\t' -v OFS='\t' '$1 == "xen" { print $2, $3, $4, $9 }' "$dir/all" | sort -t $'\t' -k 2n >"$dir/xen-parts"
tail -n +2 "$tsv" >"$dir/rows"
show $'operation\tours\tDebian\ttimes\ttarget' "$dir/rows" >"$dir/rows.md"
show $'ours\tall\thypervisor\tstore\ttoolstack\tconsole daemon\truntime\tguest' "$dir/parts" >"$dir/parts.md"
show $'Debian\tall\thypervisor\tkernels and programs' "$dir/xen-parts" >"$dir/xen-parts.md"
echo
cat "$dir/rows.md" "$dir/parts.md" "$dir/xen-parts.md"
cat >"$figures/tools.md" <<MARKDOWN
# The toolstack beside Debian's

Written by \`make bench-tools\`: instructions of the whole machine (\`tests/bench/plugin/parts.c\`) but idle loops. Ours:
the embedded control domain on our hypervisor (without asserts), 8 GiB, commands at its prompt with store and console daemon
in use. Debian's: \`xl\`, \`xenstored\` and \`xenconsoled\` in Debian's kernel on Debian's Xen. The guest is the same file of
our runtime (\`rt_hello.elf\`) with 8 MiB, one vCPU and no devices. Debian's figures are without what its host executes by itself
in the three seconds that a window lasts ("nothing"). A repeated string instruction counts as often as it repeats: the
zeroing of a guest's 8 MiB is 1,048,576.

Ours has been told to keep one shell of 8 MiB ready (\`shells 1 8\`). The first two rows take it: what they count is what passes from the
command to its end, and 20 ms more. What the shell costs is not in them, but in the third row: it is made in the
background, at once when shells are asked for, and again when for five to ten seconds nobody has taken one. A create that
finds no shell, as when several follow each other, costs what the fourth and fifth row say.

$(cat "$dir/rows.md")

Where it goes:

$(cat "$dir/parts.md")

$(cat "$dir/xen-parts.md")
MARKDOWN
exit $verdict
