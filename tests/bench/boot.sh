#!/bin/bash
# Boot an image on the machine of the design's section 9, where a tick of the TSC is an instruction,
# and wait for its kernel's verdict.
#   usage: boot.sh [-c CPU] [-m MIB] [-t SECONDS] [-e] ISO LOG [QEMU-ARGUMENT]...
# Exit status: 0 if the verdict is SUCCESS. The machine is killed then: neither Xen nor we end QEMU
# when the initial domain powers off. With -e: 0 if QEMU ends by itself, as a plugin may make it do.
set -euo pipefail

cpu=qemu64,+smep memory=512 seconds=900 ends=''
while getopts c:m:t:e option; do
    case $option in
    c) cpu=$OPTARG ;;
    m) memory=$OPTARG ;;
    t) seconds=$OPTARG ;;
    e) ends=1 ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
iso=${1:?usage: boot.sh [-c CPU] [-m MIB] [-t SECONDS] [-e] ISO LOG [QEMU-ARGUMENT]...} log=${2:?}
shift 2

rm -f "$log"
"${QEMU:-qemu-system-x86_64}" -accel tcg -machine pc -cpu "$cpu" -smp 1 -m "$memory" \
    -icount shift=0,sleep=off -display none -no-reboot -serial "file:$log" -cdrom "$iso" "$@" \
    </dev/null >"$log.qemu" 2>&1 &
qemu=$!
trap 'kill -9 $qemu 2>/dev/null || true' EXIT
end=$((SECONDS + seconds))
until grep -qa '^VERDICT ' "$log" 2>/dev/null; do
    kill -0 $qemu 2>/dev/null || break
    if [ $SECONDS -ge $end ]; then
        echo "bench: $log: no verdict after $seconds s" >&2
        exit 1
    fi
    sleep 0.2
done
if [ -n "$ends" ]; then
    wait $qemu && exit
    cat "$log.qemu" >&2
    exit 1
fi
grep -qaE '^VERDICT .* SUCCESS' "$log" || {
    echo "bench: $log: no success" >&2
    exit 1
}
