#!/bin/bash
# Compare the answers (lines "ANSWER what got") of the test kernels on our hypervisor and on Xen.
#   usage: compare.sh [--new | --all] [-n NAME-PART] LOGS-OF-OURS LOGS-OF-XEN
# Each difference is to be listed in differences.tsv, and each line there is to be seen if its kernels
# have run; else the status is 1. An answer that one side did not give is "none" there.
# --new: print only what is not listed, as lines for differences.tsv, to be judged by a person.
# --all: print all differences, with the listed judgement.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
mode=check name=''
while [ $# -gt 2 ]; do
    case $1 in
    --new) mode=new ;;
    --all) mode=all ;;
    -n) name=$2 && shift ;;
    *) break ;;
    esac
    shift
done
[ $# -eq 2 ] && [ -d "$1" ] && [ -d "$2" ] || { sed -n '3s/^# *//p' "$0" >&2; exit 2; }

# The machines that both have run.
logs=()
for log in "$2"/*"$name"*.log; do
    [ -e "$log" ] && [ -e "$1/${log##*/}" ] && logs+=("$1/${log##*/}" "$log")
done
[ ${#logs[@]} -gt 0 ] || { echo "compare: no machine was run on both" >&2; exit 2; }

awk -F '\t' -v mode="$mode" -v ours_dir="$1" '
function glob(s) { # as a regular expression
    gsub(/[][\\.^$+(){}|]/, "\\\\&", s)
    gsub(/\*/, ".*", s)
    gsub(/\?/, ".", s)
    return "^(" s ")$"
}

function complain(s) {
    print "compare: " s > "/dev/stderr"
    failed = 1
}

FNR == 1 { file++ }
{ sub(/\r$/, "") }
file <= 3 && (/^#/ || /^[ \t]*$/) { next }

file == 1 { # peer.tsv
    if ($2 == "skip")
        skipped[$1] = 1
    next
}
file == 2 { # guests.tsv: the names of logs are made as system_tests.c makes them
    sub(/^[+]/, "", $1) # only in make soak
    cpu = $5
    sub(/,.*/, "", cpu)
    row = $1 "-" cpu ($6 > 1 ? "-x" $6 : "")
    if (!($1 in skipped))
        kernel_of[row] = $1
    next
}
file == 3 { # differences.tsv
    if (NF != 6 || $5 !~ /^(ours|xen|both)$/ || $6 == "") {
        complain("differences.tsv:" FNR ": want kernel, what, ours, xen, ours|xen|both, why")
        next
    }
    n++
    for (i = 1; i <= 4; i++)
        pattern[n, i] = glob($i)
    who[n] = $5
    why[n] = $6
    text[n] = $0
    next
}
FNR == 1 {
    side = index(FILENAME, ours_dir "/") == 1 ? "ours" : "xen"
    row = FILENAME
    sub(/.*\//, "", row)
    sub(/\.log$/, "", row)
    known = row in kernel_of
    if (known)
        compared[row] = 1
}
known && /ANSWER / {
    got = $0
    sub(/.*ANSWER /, "", got)
    what = got
    sub(/ .*/, "", what)
    sub(/^[^ ]* */, "", got)
    if ((side, row, what) in answer)
        complain(row ": two answers to " what " on " side)
    answer[side, row, what] = got
    if (!((row, what) in seen)) {
        seen[row, what] = 1
        order[++nr_answers] = row SUBSEP what
    }
}

function value(s, r, w) { return (s, r, w) in answer ? answer[s, r, w] : "none" }

END {
    for (i = 1; i <= nr_answers; i++) {
        split(order[i], key, SUBSEP)
        kernel = kernel_of[key[1]]
        f[1] = kernel
        f[2] = key[2]
        f[3] = value("ours", key[1], key[2])
        f[4] = value("xen", key[1], key[2])
        if (f[3] == f[4])
            continue
        nr_differ++
        line = f[1] "\t" f[2] "\t" f[3] "\t" f[4]
        listed = 0
        for (d = 1; d <= n && !listed; d++) {
            for (c = 1; c <= 4 && f[c] ~ pattern[d, c]; c++)
                ;
            if (c > 4)
                listed = d
        }
        if (listed) {
            hits[listed]++
            right[who[listed]]++
        }
        if (line in printed)
            continue
        printed[line] = 1
        if (mode == "all")
            print line "\t" (listed ? who[listed] "\t" why[listed] : "\t")
        else if (mode == "new" && !listed)
            print line "\t\t"
        else if (mode == "check" && !listed)
            complain("not in differences.tsv: " key[1] ": " f[2] " is " f[3] " on ours, " f[4] " on Xen")
    }
    if (mode != "check")
        exit 0
    for (d = 1; d <= n; d++) {
        all_ran = 1
        some = 0
        for (row in kernel_of) {
            if (kernel_of[row] ~ pattern[d, 1]) {
                some = 1
                all_ran = all_ran && row in compared
            }
        }
        if (!some)
            complain("no such kernel: " text[d])
        else if (all_ran && !hits[d])
            complain("listed, but not seen: " text[d])
    }
    for (row in compared)
        nr_rows++
    printf "compare: %d answers of %d machines on both, %d differ: %d times ours is right, %d times Xen, %d times both may be\n",
        nr_answers, nr_rows, nr_differ, right["ours"], right["xen"], right["both"]
    exit failed
}' "$here/peer.tsv" "$here/guests.tsv" "$here/differences.tsv" "${logs[@]}"
