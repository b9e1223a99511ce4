#!/bin/bash
# Boot the installed host and let it run a job, as root.
#   usage: machine.sh [-b DIR | -e] [-j JOB] [-f FILE]... [-s] [-t SECONDS] -l LOG DISK
# -b: boot DIR's vmlinuz and initrd.img with the job as only process, not the disk's GRUB.
# -e: with UEFI. Else the disk's GRUB is booted by BIOS.
# -f: files that the job finds beside itself.  -s: the disk is not to be changed.
# Exit status: 0 if the job ended well.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/stamp.sh"

bare='' efi='' job='' snapshot=off seconds=900 log='' files=()
while getopts b:ej:f:st:l: option; do
    case $option in
    b) bare=$OPTARG ;;
    e) efi=1 ;;
    j) job=$OPTARG ;;
    f) files+=("$OPTARG") ;;
    s) snapshot=on ;;
    t) seconds=$OPTARG ;;
    l) log=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -ne 1 ] || [ -z "$log" ]; then
    sed -n 3p "$0" >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$log")" "$work/job"

# The job and its files are a tar archive, the second disk.
[ -z "$job" ] || cp "$job" "$work/job/job"
for file in "${files[@]}"; do cp "$file" "$work/job/"; done
tar -C "$work/job" -cf "$work/job.tar" .
machine=(
    -accel tcg -machine pc -cpu "${DROP_IN_CPU:-qemu64}" -m 1024 -nodefaults -display none -no-reboot
    -serial stdio -device "virtio-blk-pci,drive=disk"
    -drive "if=none,id=disk,format=raw,snapshot=$snapshot,cache=unsafe,file=$1"
    -device "virtio-blk-pci,drive=job"
    -drive "if=none,id=job,format=raw,readonly=on,file=$work/job.tar"
)
if [ -n "$bare" ]; then
    machine+=(-kernel "$bare/vmlinuz" -initrd "$bare/initrd.img"
        -append "root=/dev/vda3 rw console=ttyS0 quiet init=/usr/local/sbin/test-run")
elif [ -n "$efi" ]; then
    machine+=(-bios /usr/share/ovmf/OVMF.fd)
fi
timeout "$seconds" "${QEMU:-qemu-system-x86_64}" "${machine[@]}" </dev/null 2>&1 | stamp >"$log" || true
# Behind the prompt for a login, if that has come before.
grep -qaE '\] (.* login: )?TEST-RUN end 0$' "$log"
