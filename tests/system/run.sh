#!/bin/bash
# Boot an image in QEMU to the shell of its initial domain.
#   usage: run.sh DRIVE ISO [DISK]        DISK: for the machine's virtio-blk, which keeps what is written
# With a terminal as standard input the machine's console is the terminal; otherwise the input is
# fed to the shell line by line, and at its end the machine is switched off.
# Environment: RUN_MEMORY (MiB), RUN_CPU, RUN_SMP, RUN_SECONDS (limit for a script), RUN_QEMU (more
# arguments for QEMU), RUN_LOG (log of a script's run).
set -euo pipefail

[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: run.sh DRIVE ISO [DISK]" >&2; exit 2; }
drive=$1 iso=$2 disk=${3:-}

# A CD on virtio-scsi: read by GRUB several times faster than one on IDE.
machine=(
    -accel tcg -machine pc -cpu "${RUN_CPU:-qemu64}" -smp "${RUN_SMP:-1}"
    -m "${RUN_MEMORY:-1024}" -nodefaults -display none
    -device virtio-scsi-pci -device scsi-cd,drive=cd,bootindex=0
    -drive "if=none,id=cd,media=cdrom,format=raw,readonly=on,file=$iso"
)
[ -z "$disk" ] || machine+=(-drive "if=none,id=disk,format=raw,file=$disk" -device virtio-blk-pci,drive=disk
    -netdev user,id=net -device virtio-net-pci,netdev=net)
# shellcheck disable=SC2206  # a list of words by intent
machine+=(${RUN_QEMU:-})

if [ -t 0 ]; then
    echo "Ctrl-\\ x kills the machine, poweroff (of Linux: poweroff -f) ends it;" \
        "Ctrl-A three times switches between it and the hypervisor's keys."
    exec "${QEMU:-qemu-system-x86_64}" "${machine[@]}" -serial mon:stdio -echr 0x1c
fi
log=()
[ -z "${RUN_LOG:-}" ] || log=(-l "$RUN_LOG")
exec "$drive" -t "${RUN_SECONDS:-600}" "${log[@]}" -- "${machine[@]}" -no-reboot
