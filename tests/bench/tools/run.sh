#!/bin/bash
# Boot a control domain with the commands of commands.c, 8 GiB, and wait until it has done what its ramdisk says.
#   usage: run.sh ISO LOG [QEMU-ARGUMENT]...
# Exit status: 0 if it came to the end, no line failed, and by its figures there were 500 guests at once, of which
# nothing stayed (8 frames may: what the runtime keeps).
set -euo pipefail

iso=${1:?usage: run.sh ISO LOG [QEMU-ARGUMENT]...} log=${2:?}
shift 2
mkdir -p "$(dirname "$log")"
rm -f "$log"
timeout "${BENCH_TOOLS_SECONDS:-2400}" "${QEMU:-qemu-system-x86_64}" -accel tcg -machine pc -cpu qemu64,+smep -smp 1 \
    -m 8192 -icount shift=0,sleep=off -rtc base=2023-06-10T12:00:00,clock=vm -seed 1 \
    -nodefaults -display none -no-reboot -serial "file:$log" -device virtio-scsi-pci -device scsi-cd,drive=cd \
    -drive "if=none,id=cd,media=cdrom,format=raw,readonly=on,file=$iso" "$@" ||
    { echo "bench-tools: QEMU's status is $?, see $log" >&2; exit 1; }
if grep -aqE '^(/autostart:|repeat: )' "$log" || ! grep -aq '^DONE' "$log"; then
    grep -aE -B 2 '^(/autostart:|repeat: )' "$log" >&2 || true
    echo "bench-tools: it has not come to its end, see $log" >&2
    exit 1
fi
tr -d '\r' <"$log" | awk '
    /^FIGURES/ { n++; frames[n] = $2; domains[n] = $5; line = line "\n" $0 }
    END {
        if (n == 3 && domains[1] == 1 && domains[2] == 501 && domains[3] == 1 && frames[1] - frames[3] <= 8)
            exit 0
        print "bench-tools: before, with and after 500 guests:" line
        exit 1
    }' >&2
