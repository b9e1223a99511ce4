#!/bin/bash
# Boot the control domain with the two guests and wait until the machine has ended itself.
#   usage: run.sh ISO LOG [QEMU-ARGUMENT]...
# Exit status: 0 if the guests have done all.
set -euo pipefail

iso=${1:?usage: run.sh ISO LOG [QEMU-ARGUMENT]...} log=${2:?}
shift 2
mkdir -p "$(dirname "$log")"
rm -f "$log"
timeout "${BENCH_SPLIT_SECONDS:-1800}" "${QEMU:-qemu-system-x86_64}" -accel tcg -machine pc -cpu qemu64,+smep -smp 1 \
    -m 1024 -rtc base=2023-06-10T12:00:00,clock=vm -seed 1 \
    -nodefaults -display none -no-reboot -serial "file:$log" -device virtio-scsi-pci -device scsi-cd,drive=cd \
    -drive "if=none,id=cd,media=cdrom,format=raw,readonly=on,file=$iso" "$@" ||
    { echo "bench-split: QEMU's status is $?, see $log" >&2; exit 1; }
if grep -aqE '^/autostart:|WORKLOAD-FAILURE' "$log" || ! grep -aq '^WORKLOADS-DONE' "$log"; then
    grep -aE -B 2 '^/autostart:|WORKLOAD-FAILURE' "$log" >&2 || true
    echo "bench-split: it has not come to its end, see $log" >&2
    exit 1
fi
