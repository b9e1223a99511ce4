#!/bin/bash
# Boot Debian's Xen host in QEMU, let it run a job, say step by step how it went.
#   usage: exercise.sh [-b] [-c CPUS] [-s c|ocaml|ours] [-o debian|ours] [-x debian|ours] [-j JOB] [-t SECONDS] -l LOG ISO ROOT
# ISO: of mkiso.sh -t.  ROOT: the control domain's disk, which is not changed.
# -b: the hypervisor starts a second domain, b1.  -o: whose console daemon.  -x: whose xl, for what ours serves.
# -j: a name of host/jobs, or the path of a script to be sourced by host/init (host/lib.sh has its helpers).
# Environment: DROP_IN_CPU (QEMU's model), DROP_IN_MEMORY and DROP_IN_DOM0 (MiB, of all and of the control
# domain), DROP_IN_XEN and DROP_IN_LINUX (more for the command lines), DROP_IN_QEMU (more arguments).
# Exit status: 0 if the job came to its end without a failed step.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
. "$here/stamp.sh"
cpus=1 store=c consoled=debian tools=debian job=full seconds=1200 log='' kernel=none ramdisk=none # of b1
while getopts bc:s:o:x:j:t:l: option; do
    case $option in
    b) kernel=vmlinux ramdisk=guest-ramdisk.gz ;;
    c) cpus=$OPTARG ;;
    s) store=$OPTARG ;;
    o) consoled=$OPTARG ;;
    x) tools=$OPTARG ;;
    j) job=$OPTARG ;;
    t) seconds=$OPTARG ;;
    l) log=$OPTARG ;;
    *) sed -n '3,4p' "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -ne 2 ] || [ -z "$log" ]; then
    sed -n '3,4p' "$0" >&2
    exit 2
fi
mkdir -p "$(dirname "$log")"
work=$(mktemp -d)
trap 'kill "$qemu" 2>/dev/null || true; rm -rf "$work"' EXIT
qemu=''

dom0=${DROP_IN_DOM0:-512}
xen="com1=115200,8n1 console=com1 dom0_mem=${dom0}M,max:${dom0}M loglvl=info guest_loglvl=info noreboot"
xen+=" ${DROP_IN_XEN:-}"
linux="console=hvc0 loglevel=4 net.ifnames=0 drop-in.store=$store drop-in.consoled=$consoled drop-in.tools=$tools"
machine=(
    -accel tcg -machine pc -cpu "${DROP_IN_CPU:-qemu64}" -smp "$cpus" -m "${DROP_IN_MEMORY:-1024}"
    -nodefaults -display none -no-reboot -serial stdio
    -device "virtio-scsi-pci,id=scsi" -device "scsi-cd,bus=scsi.0,drive=cd,bootindex=0"
    -drive "if=none,id=cd,media=cdrom,format=raw,readonly=on,file=$1"
    -device "virtio-blk-pci,drive=root"
    -drive "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=$2"
)
if [ -f "$job" ]; then
    cp "$job" "$work/job"
    truncate -s %512 "$work/job"
    machine+=(-device "virtio-blk-pci,drive=job"
        -drive "if=none,id=job,format=raw,readonly=on,file=$work/job")
    job=disk
fi
linux+=" drop-in.job=$job ${DROP_IN_LINUX:-}"
choice="type=2,manufacturer=xen-like-test,product=vmlinux,version=${xen//,/,,}"
machine+=(-smbios "$choice,serial=${linux//,/,,},asset=ramdisk.gz,location=none")
module="domain=b1 memory=128M vcpus=2 -- console=hvc0 loglevel=4"
machine+=(-smbios "type=3,manufacturer=$kernel,version=$module,serial=$ramdisk,asset=ramdisk-of=b1")
# shellcheck disable=SC2206  # a list of words by intent
machine+=(${DROP_IN_QEMU:-})

timeout "$seconds" "${QEMU:-qemu-system-x86_64}" "${machine[@]}" </dev/null 2>&1 > >(stamp >"$log") &
qemu=$!
status=0
wait "$qemu" || status=$?
qemu=''
wait # for stamp's last lines
[ $status -eq 0 ] || echo "QEMU ended with status $status (124: no end after $seconds s)"
awk -f "$here/report.awk" "$log"
