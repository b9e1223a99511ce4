#!/bin/bash
# The benchmark's part of the store: ours and Debian's two, by instructions of their processes (../plugin/count.c).
#   usage: run.sh DIR OURS TSV FIGURES
# DIR      has work, count.so, no_xen.so and, in debian/, Debian's xenstored and oxenstored
# OURS     our daemon
# TSV      is written: operation, then for each number of domains ours, C's, OCaml's
# FIGURES  a folder, for store.md
# Ours is run twice and has to repeat within 2 % or 1,000 instructions, as a client that is fast enough saves it a turn
# of its loop. Fails also if an operation of ours grows faster than the
# logarithm of the number of domains, from 100 to 10,000 of them, or is not the cheapest of the three at 10,000.
set -euo pipefail
export LC_ALL=C

[ $# -eq 4 ] || { sed -n '3,7s/^# \?//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../linux/markdown.sh"
dir=$(cd "$1" && pwd) ours=$(realpath "$2") tsv=$3 figures=$4
daemon=''
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true' EXIT

# serve STORE: start it, wait for its socket
serve() {
    local words n
    export XENSTORED_RUNDIR=$dir/$1 XENSTORED_PATH=$dir/$1/socket XEN_LIKE_STATE=$dir/$1
    rm -rf "$XENSTORED_RUNDIR"
    mkdir -p "$XENSTORED_RUNDIR"
    case $1 in
    ours*) words=("$ours" --socket "$XENSTORED_PATH") ;;
    c) words=(-E "LD_PRELOAD=$dir/no_xen.so" "$dir/debian/xenstored" -N) ;;
    ocaml)
        printf '%s\n' 'xenstored-kva = /proc/xen/xsd_kva' 'xenstored-port = /proc/xen/xsd_port' 'quota-activate = false' \
            "xenstored-log-file = $XENSTORED_RUNDIR/log" "pid-file = $XENSTORED_RUNDIR/pid" >"$XENSTORED_RUNDIR/conf"
        words=(-E "LD_PRELOAD=$dir/no_xen.so" "$dir/debian/oxenstored" --no-fork --no-access-log
            --config-file "$XENSTORED_RUNDIR/conf")
        ;;
    esac
    "${QEMU_USER:-qemu-x86_64}" -plugin "$dir/count.so,out=$XENSTORED_RUNDIR/count" "${words[@]}" \
        >"$dir/$1.log" 2>&1 &
    daemon=$!
    for ((n = 0; n < 100; n++)); do
        ! xenstore-read -s / >/dev/null 2>&1 || return 0
        sleep 0.1
    done
    echo "bench-store: $1 does not serve, see $dir/$1.log" >&2
    return 1
}

# measure STORE DOMAINS: lines of work, with the store's name before them
measure() {
    serve "$1"
    "$dir/work" "$XENSTORED_RUNDIR/count" "$2" | sed "s/^/$1\t/"
    kill -9 "$daemon" # oxenstored stays a long time for another signal
    wait "$daemon" 2>/dev/null || true
    daemon=''
    rm -rf "$XENSTORED_RUNDIR"
}

for domains in 1 100 1000 10000; do
    for store in ours ours-again c ocaml; do
        measure $store $domains
    done
done >"$dir/all"

awk -F '\t' -v OFS='\t' '
    { if (!($3 in seen)) { seen[$3] = 1; name[++nr] = $3 }
      if (!($2 in known)) { known[$2] = 1; domains[++sizes] = $2 }
      cost[$1, $2, $3] = $4 }
    END {
        for (d = 1; d <= sizes; d++)
            head = head OFS "ours " domains[d] OFS "C " domains[d] OFS "OCaml " domains[d]
        print "operation" head
        for (n = 1; n <= nr; n++) {
            line = name[n]
            for (d = 1; d <= sizes; d++)
                line = line OFS cost["ours", domains[d], name[n]] OFS cost["c", domains[d], name[n]] OFS cost["ocaml", domains[d], name[n]]
            print line
        }
    }' "$dir/all" >"$tsv"

verdict=0
awk -F '\t' '
    function complain(what) { print "bench-store: " $3 ": " what; failed = 1 }
    { cost[$1, $2, $3] = $4 }
    $1 == "ours-again" && ($4 - cost["ours", $2, $3]) ^ 2 > ($4 < 50000 ? 1000 : $4 / 50) ^ 2 {
        complain("with " $2 " domains does not repeat: " $4 ", " cost["ours", $2, $3])
    }
    $1 == "ocaml" && $2 == 10000 {
        now = cost["ours", 10000, $3]
        if (now > 2 * cost["ours", 100, $3])
            complain("grows faster than a logarithm")
        if (now >= $4 || now >= cost["c", 10000, $3])
            complain("is not cheaper on ours")
    }
    END { exit failed || !now }' "$dir/all" >&2 || verdict=1

tail -n +2 "$tsv" | cut -f 1,2,5,8,11,12,13 >"$dir/rows"
show $'operation\tours, 1\t100\t1,000\t10,000\tC, 10,000\tOCaml, 10,000' "$dir/rows" >"$dir/rows.md"
echo
echo "Instructions of the store's process for one operation, with the nodes and watches of so many domains:"
cat "$dir/rows.md"
cat >"$figures/store.md" <<MARKDOWN
# The store beside Debian's

Written by \`make bench-store\`: our daemon and, of Debian's xen-utils-4.17, \`xenstored\` (C) and \`oxenstored\` (OCaml), each
as a Linux process in QEMU's user mode with libraries in place of Xen's, driven through its Unix socket. A domain has 14 nodes
here and a watch. Instructions of the process for one operation, the mean of 200 in domains here and there; a
system call counts as one. Rings and introductions are not in it.

$(cat "$dir/rows.md")
MARKDOWN
exit $verdict
