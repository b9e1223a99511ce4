#!/bin/bash
# Debian's Xen host as a virtual machine: its kernel, xl, the two stores, the console daemon and the
# block and network backends, of Debian's packages and nothing else. The hypervisor is GRUB's matter.
#   usage: mkhost.sh [-p PACKAGE,...] SOURCE STRESS-NG-TREE OUT [PROGRAM]...
# SOURCE: the folder host/ beside this script.  PROGRAM: in the host's /usr/bin.  -p: packages more.
# Leaves in OUT:
#   vmlinux       the control domain's kernel, unpacked to ELF
#   ramdisk.gz    its ramdisk, which mounts the disk
#   guest-ramdisk.gz  a guest's
#   root.img      its root file system (ext4, to be a virtio-blk disk), with the guest's kernel in it
#   stamp         written last
# Needs root (or sudo): files have owners. Nothing is installed or mounted here but what mmdebstrap
# does in its own folder; maintainer scripts do not run.
set -euo pipefail

usage="usage: mkhost.sh [-p PACKAGE,...] SOURCE STRESS-NG-TREE OUT [PROGRAM]..."
more=''
if [ "${1:-}" = -p ]; then
    more=,$2
    shift 2
fi
source=${1:?$usage} stress_ng=${2:?$usage} out=${3:?$usage}
system=$(cd "$(dirname "$0")/../system" && pwd)
packages=xen-utils-4.17,linux-image-amd64,busybox-static,bash,dash,coreutils,util-linux,mount,sed
packages+=,grep,mawk,findutils,iproute2,bridge-utils,kmod,procps,libc-bin,e2fsprogs,sysvinit-utils$more
PATH=$PATH:/usr/sbin:/sbin # depmod, modprobe, mke2fs, ldconfig

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "mkhost: not root and no sudo" >&2; exit 1; }
    exec sudo "$0" ${more:+-p "${more#,}"} "$@"
fi
shift 3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$out"
rm -f "$out/stamp"
"$system/apt-config.sh" "$work"
all=$work/all root=$work/root

if ! mmdebstrap --variant=extract --arch=amd64 --aptopt="$work/apt.conf" --include="$packages" \
    "$(cat "$work/suite")" "$all" "$work/sources.list" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
version=$(cd "$all/lib/modules" && echo *)
depmod -b "$all" "$version"

# with_dependencies MODULE...: their files in the order of loading
with_dependencies() {
    local module
    for module in "$@"; do
        modprobe -d "$all" -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

# Modules that the disk of either kind of domain needs, and all that dom0 has.
disk=(virtio_pci virtio_blk ext4 crc32c_generic)
frontends=(xen-blkfront xen-netfront ext4 crc32c_generic)
dom0=("${disk[@]}" xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xen-blkback xen-netback loop
    bridge tun brd xen-acpi-processor xen-pciback virtio_net)

# mkramdisk OUT INIT TREE MODULE...: BusyBox, INIT, what is in TREE (if any) and modules numbered in the
# order of loading
mkramdisk() {
    local ramdisk=$1 init=$2 with=$3 tree=$work/ramdisk file n=10
    shift 3
    rm -rf "$tree"
    [ -z "$with" ] || cp -r "$with" "$tree"
    mkdir -p "$tree"/{bin,sbin,dev,proc,sys,mod,mnt}
    cp "$all/bin/busybox" "$tree/bin/"
    install -m 755 "$init" "$tree/init"
    for file in $(with_dependencies "$@"); do
        cp "$file" "$tree/mod/$n-$(basename "$file")"
        n=$((n + 1))
    done
    # What the kernel calls when the toolstack asks for it.
    for file in poweroff reboot; do
        sed "s/@ACTION@/$file/" "$source/guest-poweroff" >"$tree/sbin/$file"
        chmod 755 "$tree/sbin/$file"
    done
    (cd "$tree" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -6n) >"$ramdisk"
}
mkramdisk "$out/ramdisk.gz" "$source/ramdisk-init" '' "${disk[@]}"

# The root file system: what is never run in the host stays out.
mkdir -p "$root"
tar -C "$all" -cf - --exclude=./usr/share/{doc,man,locale,info,zoneinfo} --exclude='./usr/share/perl*' \
    --exclude=./lib/modules --exclude=./boot --exclude=./usr/lib/debug \
    --exclude=./var/cache --exclude=./var/lib/apt --exclude='./dev/*' . | tar -C "$root" -xf -
mkdir -p "$root"/{dev,proc,sys,run,tmp,boot,root,drop-in,etc/xen,var/lib/xen,var/log/xen/console} \
    "$root/lib/modules/$version"
for file in $(with_dependencies "${dom0[@]}"); do
    install -D -m 644 "$file" "$root${file#"$all"}"
done
cp "$all/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$root/lib/modules/$version/"
depmod -b "$root" "$version"

# What runs there: host/ as /drop-in, and the guest's kernel in both forms.
cp -r "$source/." "$root/drop-in/"
chmod 755 "$root/drop-in/init"
[ $# -eq 0 ] || install -m 755 "$@" "$root/usr/bin/"
mkramdisk "$root/drop-in/guest-ramdisk.gz" "$source/guest-init" '' "${frontends[@]}"
mkramdisk "$root/drop-in/load-ramdisk.gz" "$source/load-init" "$stress_ng" "${frontends[@]}"
cp "$all/boot/vmlinuz-$version" "$root/drop-in/vmlinuz"
"$system/extract-vmlinux.sh" "$root/drop-in/vmlinuz" >"$root/drop-in/vmlinux"
cp "$root/drop-in/vmlinux" "$out/vmlinux"
cp "$root/drop-in/guest-ramdisk.gz" "$out/guest-ramdisk.gz"

# Without maintainer scripts there are no alternatives (awk, which); BusyBox fills the gaps.
for name in $("$all/bin/busybox" --list); do
    for folder in bin sbin usr/bin usr/sbin; do
        if [ -e "$root/$folder/$name" ] || [ -L "$root/$folder/$name" ]; then
            continue 2
        fi
    done
    ln -s /bin/busybox "$root/usr/bin/$name"
done
rm -rf "$root/var/run" "$root/var/lock"
ln -s ../run "$root/var/run"
ln -s ../run/lock "$root/var/lock"
echo root:x:0:0:root:/root:/bin/bash >"$root/etc/passwd"
echo root:x:0: >"$root/etc/group"
ldconfig -r "$root" 2>/dev/null || true

rm -f "$out/root.img.tmp"
truncate -s 500M "$out/root.img.tmp"
mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -E root_owner=0:0,lazy_itable_init=1 -d "$root" \
    "$out/root.img.tmp"
mv "$out/root.img.tmp" "$out/root.img"
echo "$version" >"$out/stamp"
