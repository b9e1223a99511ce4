#!/bin/bash
# The benchmark's part that a small kernel measures (bench.c): ours and Debian's Xen side by side.
#   usage: bench.sh DIR TSV FIGURES OUR-IMAGE XEN-IMAGE
# DIR      has the images to boot, HYPERVISOR[-WORD].iso; logs and figures go there, too
# TSV      is written: operation, unit, ours, xen, ratio, target
# FIGURES  a folder: its README.md is written, and the pictures
# Everything is run twice and has to repeat to the instruction. Exit status: 0 if it did, ours is
# better in each row, and meets its target.
set -euo pipefail
export LC_ALL=C

[ $# -eq 5 ] || { sed -n '3,8s/^# \?//p' "$0" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
dir=$1 tsv=$2 pictures=$3 our_image=$4 xen_image=$5
failed=0

complain() {
    echo "bench: $*" >&2
    failed=1
}

# What is run: NAME IMAGE CPU MIB. NAME is a hypervisor, "-" and what is measured.
flaws=Haswell-noTSX,-smap
runs=(
    "ours-512 ours qemu64,+smep 512"
    "xen-512 xen qemu64,+smep 512"
    "ours-8192 ours-machine qemu64,+smep 8192"
    "xen-8192 xen-machine qemu64,+smep 8192"
    "ours-flaws ours $flaws 512"
    "xen-flaws xen $flaws 512"
    "ours-counts ours-counts qemu64,+smep 512"
)

# boot NAME IMAGE CPU MIB: both times at once, on a CPU each. Leaves DIR/NAME.tsv, name and figure.
boot() {
    local pids=() n
    for n in 1 2; do
        "$here/boot.sh" -c "$3" -m "$4" "$dir/$2.iso" "$dir/$1.$n.log" &
        pids+=($!)
    done
    for n in 1 2; do
        wait "${pids[n - 1]}" || { complain "$1: not measured"; return; }
        figures "$1" "$4" "$dir/$1.$n.log" >"$dir/$1.$n.tsv"
    done
    if ! cmp -s "$dir/$1.1.tsv" "$dir/$1.2.tsv"; then
        complain "$1: figures do not repeat:"
        diff "$dir/$1.1.tsv" "$dir/$1.2.tsv" | grep '^[<>]' >&2 || true
    fi
    cp "$dir/$1.1.tsv" "$dir/$1.tsv"
}

# figures NAME MIB LOG: what the console said, as lines "name<tab>figure"
figures() {
    tr -d '\r' <"$3" | case $1 in
    *-counts) awk -f "$here/counts.awk" ;;
    *) awk -v mib="$2" -f "$here/figures.awk" ;;
    esac
}

mkdir -p "$dir" "$pictures"
rm -f "$dir"/*.tsv "$dir"/*.log
for run in "${runs[@]}"; do
    # shellcheck disable=SC2086  # a list of words by intent
    boot $run
done
for hypervisor in ours xen; do
    image=$our_image
    [ $hypervisor = ours ] || image=$xen_image
    printf 'image\t%s\n' "$(stat -L -c %s "$image")" >"$dir/$hypervisor-image.tsv"
    cat "$dir/$hypervisor-512.tsv" "$dir/$hypervisor-8192.tsv" "$dir/$hypervisor-image.tsv" \
        >"$dir/$hypervisor.tsv"
done

# compare TARGETS TSV MARKDOWN OURS XEN
compare() {
    awk -v targets="$1" -v tsv="$2" -v markdown="$3" -f "$here/table.awk" "$here/targets.tsv" "$4" "$5"
}

echo
echo "Ours and Xen $(cat "${xen_image%/*}/version" 2>/dev/null || true), no mitigations on entry (-cpu qemu64,+smep):"
compare 1 "$tsv" "$dir/main.md" "$dir/ours.tsv" "$dir/xen.tsv" || failed=1
echo
echo "Ours, per operation: page-table loads, TLB flushes, those of a page, IPIs:"
awk -v markdown="$dir/counts.md" -f "$here/counts_table.awk" "$here/targets.tsv" "$dir/ours-counts.tsv"
echo
echo "With all mitigations that each has by default (-cpu $flaws):"
compare 0 "" "$dir/flaws.md" "$dir/ours-flaws.tsv" "$dir/xen-flaws.tsv"

exit $failed
