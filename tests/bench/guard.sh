#!/bin/bash
# Does an operation cost more than recorded? A short form of the benchmark: ours only, one boot.
#   usage: guard.sh [-w] ISO LOG RECORD        -w: write the record instead
# Fails, and says which, when one costs over 5 % more than its line of RECORD, or has none.
set -euo pipefail
export LC_ALL=C

write=''
[ "${1:-}" != -w ] || { write=1; shift; }
[ $# -eq 3 ] || { sed -n '2,4s/^# \?//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
log=$2 record=$3

"$here/boot.sh" "$1" "$log"
tr -d '\r' <"$log" | awk -v mib=512 -f "$here/figures.awk" >"$log.tsv"
if [ -n "$write" ]; then
    {
        sed '/^#/!d' "$record"
        cat "$log.tsv"
    } >"$record.tmp"
    mv "$record.tmp" "$record"
    echo "bench-record: $record is written; say in the commit why it changes"
    exit
fi
awk -F '\t' '
    /^#/ { next }
    FNR == NR { recorded[$1] = $2; next }
    !($1 in recorded) { print "bench-guard: " $1 ": not recorded"; failed = 1; next }
    {
        seen[$1] = 1
        nr++
        percent = recorded[$1] ? ($2 / recorded[$1] - 1) * 100 : 0
        if (percent > 5) {
            printf "bench-guard: %s: %s, %.1f %% more than the %s recorded\n", $1, $2, percent, recorded[$1]
            failed = 1
        } else if (percent < -5)
            printf "bench-guard: note: %s: %s, %.1f %% less than the %s recorded (make bench-record)\n", \
                   $1, $2, -percent, recorded[$1]
    }
    END {
        for (name in recorded)
            if (!(name in seen)) {
                print "bench-guard: " name ": recorded, but not measured"
                failed = 1
            }
        print "bench-guard: " nr " figures, " (failed ? "FAILED" : "none over 5 % above its record")
        exit failed
    }' "$record" "$log.tsv"
