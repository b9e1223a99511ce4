#!/bin/bash
# Minimize a failure of the fuzzing kernel on one vCPU: which calls of a seed are enough for it?
#
#   tests/guests/fuzz-minimize.sh SEED LAST [FAILURE]     e.g. 17 45999 'audit: [1-9]|Panic'
#
# LAST: the index of the last call that matters, from the log ("vCPU 0 at"). FAILURE: what the log
# then shows. The kernel is booted again and again with fewer calls (ddmin: first halves, then
# smaller parts are left out as long as it fails all the same); at the end the calls are printed.
# HV_ARGS, CPU, BUILD from the environment. The images must be there (make build/system/guests.iso).
set -u
seed=$1 last=$2 failure=${3:-'audit: [1-9]|Panic:|BUG at|crashed|VERDICT fuzz FAILURE'}
build=${BUILD:-build} work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests=$build/system/system_tests iso=$build/system/guests.iso
runs=0

# The numbers on standard input, in order, as ranges: 1-5,9
ranges()
{
    awk 'NR > 1 && $1 == b + 1 { b = $1; next }
         NR > 1 { printf "%s%s", s, a == b ? a : a "-" b; s = "," }
         { a = b = $1 }
         END { printf "%s%s", s, a == b ? a : a "-" b }'
}

boot() # ranges, further arguments: the log is in $work/log
{
    printf 'fuzz\t%s\t60\t256\t%s\t1\tseed=%s calls=%s audit=1000000 only=%s %s\n' \
        "${HV_ARGS:-dom0_max_vcpus=4 dom0_mem=32M}" "${CPU:-qemu64}" "$seed" $((last + 1)) "$1" \
        "${2:-}" >"$work/table"
    rm -f "$work"/*.log
    "$tests" -j 1 -l "$work" "$iso" guests "$work/table" >"$work/out" 2>&1 &
    local pid=$!
    while kill -0 $pid 2>/dev/null; do
        sleep 0.2
        # a crash is known before the runner has waited for a verdict
        if grep -qE "noreboot' set|Panic:" "$work"/*.log 2>/dev/null; then
            sleep 0.5
            kill $pid 2>/dev/null
        fi
    done
    wait $pid 2>/dev/null
    mv "$work"/*.log "$work/log" 2>/dev/null
    runs=$((runs + 1))
}

fails() # file of numbers
{
    local r
    r=$(ranges <"$1")
    [ ${#r} -le 300 ] || return 1 # more than the command line takes
    boot "$r"
    grep -qE "$failure" "$work/log"
}

seq 0 "$last" >"$work/now"
if ! fails "$work/now"; then
    echo "fuzz-minimize: calls 0-$last of seed $seed do not fail" >&2
    exit 1
fi
parts=2
while :; do
    count=$(wc -l <"$work/now")
    [ "$count" -gt 1 ] || break
    [ "$parts" -le "$count" ] || parts=$count
    smaller=
    for ((k = 0; k < parts; k++)); do
        awk -v k="$k" -v parts="$parts" -v n="$count" \
            '{ if (int((NR - 1) * parts / n) != k) print }' "$work/now" >"$work/less"
        if fails "$work/less"; then
            mv "$work/less" "$work/now"
            smaller=1
            echo "fuzz-minimize: $(wc -l <"$work/now") calls, $runs boots" >&2
            break
        fi
    done
    if [ -n "$smaller" ]; then
        [ "$parts" -le 2 ] || parts=$((parts - 1))
    elif [ "$parts" -ge "$count" ]; then
        break
    else
        parts=$((parts * 2))
    fi
done
boot "$(ranges <"$work/now")" show=1
echo "seed=$seed calls=$((last + 1)) only=$(ranges <"$work/now")"
sed -E 's/^\[ *[0-9.]+\] //' "$work/log" | grep -aE "^FUZZ|$failure"
