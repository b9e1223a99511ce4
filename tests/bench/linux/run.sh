#!/bin/bash
# Run the workloads once, counted by tests/bench/plugin.
#   usage: run.sh DIR NAME PLUGIN SYMBOLS QEMU-ARGUMENT...
# Leaves in DIR: NAME.log  the console     NAME.tsv  what the plugin says
# The machine ends itself. Time, date and random seed are the machine's own, but when the blocks of
# GRUB's CD arrive is not, so the kernel starts at another time: figures repeat
# within 0.5 % but for stress-ng futex (3 %).
set -euo pipefail

dir=$1 name=$2 plugin=$3 symbols=$4
shift 4
rm -f "$dir/$name.log" "$dir/$name.tsv"
timeout "${BENCH_LINUX_SECONDS:-1800}" "${QEMU:-qemu-system-x86_64}" -accel tcg -machine pc -cpu qemu64,+smep -smp 1 \
    -icount shift=0,sleep=off -rtc base=2023-06-10T12:00:00,clock=vm -seed 1 \
    -nodefaults -display none -no-reboot -serial "file:$dir/$name.log" \
    -plugin "$plugin,out=$dir/$name.tsv${symbols:+,syms=$symbols}" "$@" ||
    { echo "bench-linux: $name: QEMU's status is $?" >&2; exit 1; }
if grep -q WORKLOAD-FAILURE "$dir/$name.log" || ! grep -q WORKLOADS-DONE "$dir/$name.log"; then
    echo "bench-linux: $name did not come to its end, see $dir/$name.log" >&2
    grep WORKLOAD-FAILURE "$dir/$name.log" >&2
    exit 1
fi
