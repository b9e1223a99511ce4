#!/bin/bash
# Build a bootable image: GRUB, a hypervisor for its "multiboot2", modules for its "module2".
#   usage: mkiso.sh -o ISO -x HYPERVISOR [-c COMMANDLINE] [-m "FILE [ARGUMENTS]"]... [-f FILE]...
#                   [-p PLATFORM]... [-t]
# -m: a module, passed byte for byte; the first is the initial domain's kernel, the second its ramdisk.
# -f: a further file; as /boot/NAME it is at the disposal of -t.
# -p: a GRUB platform, a folder of /usr/lib/grub (default: i386-pc).
# -t: for tests: QEMU may choose what is booted by "-smbios type=2,..." (see below).
set -euo pipefail

usage() {
    sed -n '2,8s/^# \?//p' "$0" >&2
    exit 2
}

iso='' hypervisor='' cmdline='' tests=''
modules=() files=() platforms=()
while getopts o:x:c:m:f:p:t option; do
    case $option in
    o) iso=$OPTARG ;;
    x) hypervisor=$OPTARG ;;
    c) cmdline=$OPTARG ;;
    m) modules+=("$OPTARG") ;;
    f) files+=("$OPTARG") ;;
    p) platforms+=("$OPTARG") ;;
    t) tests=1 ;;
    *) usage ;;
    esac
done
[ -n "$iso" ] && [ -n "$hypervisor" ] || usage
[ ${#platforms[@]} -gt 0 ] || platforms=(i386-pc)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
declare -A grafted=()
grafts=()

# add FILE: puts it into the image as /boot/NAME, once
add() {
    local name=${1##*/}
    [ -r "$1" ] || { echo "mkiso: cannot read $1" >&2; exit 1; }
    [ -n "${grafted[$name]:-}" ] || grafts+=("boot/$name=$1")
    grafted[$name]=$1
}

add "$hypervisor"
for module in "${modules[@]}"; do add "${module%% *}"; done
for file in "${files[@]}"; do add "$file"; done

test_choice() {
    cat <<'G'
# QEMU's -smbios type=2,manufacturer=xen-like-test chooses what is booted:
# product: first module, version: the hypervisor's command line, serial: the first module's,
# asset: second module, location: a replacement for an ACPI table, signature first. And of -smbios type=3:
# manufacturer: a third module, version: its text; serial, asset: a fourth.
smbios --type 2 --get-string 4 --set choice
if [ "$choice" = xen-like-test ]; then
    smbios --type 2 --get-string 5 --set kernel
    smbios --type 2 --get-string 6 --set hypervisor_cmdline
    smbios --type 2 --get-string 7 --set kernel_cmdline
    smbios --type 2 --get-string 8 --set ramdisk
    smbios --type 2 --get-string 10 --set table
    smbios --type 3 --get-string 4 --set third
    smbios --type 3 --get-string 6 --set third_text
    smbios --type 3 --get-string 7 --set fourth
    smbios --type 3 --get-string 8 --set fourth_text
    if [ "$table" != none ]; then
        insmod regexp
        regexp --set 1:signature --set 2:file '^(....)/(.*)$' "$table"
        acpi --exclude=$signature "/boot/$file"
    fi
    multiboot2 "/boot/$hypervisor" $hypervisor_cmdline
    if [ "$kernel" != none ]; then
        module2 --nounzip "/boot/$kernel" $kernel_cmdline
    fi
    if [ "$ramdisk" != none ]; then
        module2 --nounzip "/boot/$ramdisk"
    fi
    if [ "$third" != none ]; then
        module2 --nounzip "/boot/$third" $third_text
    fi
    if [ "$fourth" != none ]; then
        module2 --nounzip "/boot/$fourth" $fourth_text
    fi
    boot
fi
G
}

{
    echo 'serial --unit=0 --speed=115200'
    echo 'terminal_output serial'
    # Under UEFI a screen that the hypervisor asks for needs its driver.
    echo 'if [ "$grub_platform" = efi ]; then insmod all_video; fi'
    if [ -n "$tests" ]; then
        echo "hypervisor=${hypervisor##*/}"
        test_choice
    fi
    echo "multiboot2 /boot/${hypervisor##*/} $cmdline"
    for module in "${modules[@]}"; do
        file=${module%% *}
        echo "module2 --nounzip /boot/${file##*/}${module#"$file"}"
    done
    echo boot
} >"$work/grub.cfg"

for platform in "${platforms[@]}"; do
    [ -d "/usr/lib/grub/$platform" ] || {
        echo "mkiso: GRUB's platform $platform is not installed" >&2
        exit 1
    }
done
# grub-mkrescue takes every installed platform, or the one folder it is told.
directory=()
[ ${#platforms[@]} -gt 1 ] || directory=(-d "/usr/lib/grub/${platforms[0]}")
if ! grub-mkrescue "${directory[@]}" --locales= --fonts= --themes= -o "$iso.tmp" \
    "${grafts[@]}" "boot/grub/grub.cfg=$work/grub.cfg" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
mv "$iso.tmp" "$iso"
