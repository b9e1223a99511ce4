#!/bin/bash
# A Debian host as the installer leaves it: a GPT disk with GRUB for BIOS and UEFI, Debian's previous
# kernel, systemd. The package of the hypervisor is not on it yet.
#   usage: mkinstalled.sh SOURCE OUT
# SOURCE: the folder installed/ beside this script.  Leaves in OUT:
#   disk.img                the disk
#   vmlinuz, initrd.img     of the kernel on it, for booting it without GRUB
#   new-kernel.deb          the package of the next kernel
#   xen-hypervisor-{4.17,common}.deb     Debian's Xen
#   stamp                   the kernel's version and the next one's; written last
# Needs root (or sudo): files have owners. Nothing is mounted here but what mmdebstrap does in its own
# folder; GRUB is installed by a machine in QEMU that has the disk.
set -euo pipefail

source=${1:?usage: mkinstalled.sh SOURCE OUT} out=${2:?usage: mkinstalled.sh SOURCE OUT}
here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin # mke2fs, sfdisk

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "mkinstalled: not root and no sudo" >&2; exit 1; }
    exec sudo "$0" "$@"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$out"
rm -f "$out/stamp" "$out"/*.deb
"$here/../system/apt-config.sh" "$work"
source=$(cd "$source" && pwd) out=$(cd "$out" && pwd) root=$work/root

mapfile -t kernels < <(apt-cache pkgnames linux-image- |
    grep -E '^linux-image-[0-9.]+-[0-9]+-amd64$' | sort -V | tail -n 2)
[ ${#kernels[@]} -eq 2 ] || { echo "mkinstalled: apt has no two kernels" >&2; exit 1; }
old=${kernels[0]#linux-image-} new=${kernels[1]#linux-image-}
(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "${kernels[1]}" \
    xen-hypervisor-4.17-amd64 xen-hypervisor-common)
mv "$work/${kernels[1]}"_*.deb "$out/new-kernel.deb"
mv "$work"/xen-hypervisor-4.17-*.deb "$out/xen-hypervisor-4.17.deb"
mv "$work"/xen-hypervisor-common_*.deb "$out/xen-hypervisor-common.deb"

packages=${kernels[0]},systemd-sysv,udev,dbus,kmod,initramfs-tools,zstd,xz-utils,e2fsprogs,procps
packages+=,grub-pc,grub-efi-amd64-bin
# The disks of the test's machines and nothing else in the ramdisk; no question to the operator.
# shellcheck disable=SC2016
if ! mmdebstrap --variant=minbase --arch=amd64 --aptopt="$work/apt.conf" --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --essential-hook='mkdir -p "$1/usr/share/initramfs-tools"' \
    --essential-hook="copy-in $source/initramfs-tools /etc" \
    --essential-hook="copy-in $source/modules.d /usr/share/initramfs-tools" \
    --essential-hook='echo grub-pc grub-pc/install_devices_empty boolean true |
        chroot "$1" debconf-set-selections' \
    "$(cat "$work/suite")" "$root" "$work/sources.list" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi
cp "$root/boot/vmlinuz-$old" "$out/vmlinuz"
cp "$root/boot/initrd.img-$old" "$out/initrd.img"

# What runs there: see installed/run.
install -D -m 755 "$source/run" "$root/usr/local/sbin/test-run"
install -D -m 644 "$source/test-run.service" "$root/etc/systemd/system/test-run.service"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants" "$root/boot/efi"
ln -s ../test-run.service "$root/etc/systemd/system/multi-user.target.wants/test-run.service"
install -D -m 644 "$source/grub.cfg" "$root/etc/default/grub.d/site.cfg"
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
echo host >"$root/etc/hostname"
uuid=$(cat /proc/sys/kernel/random/uuid)
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*

# BIOS boot partition, EFI system partition, root; in MiB.
disk=$out/disk.img.tmp
rm -f "$disk"
truncate -s 2600M "$disk"
sfdisk -q "$disk" <<G
label: gpt
start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649
start=2MiB, size=32MiB, type=U
start=34MiB, size=2560MiB, type=L
G
mformat -i "$disk@@2M" -T $((32 * 2048)) -h 64 -s 32 ::
# Its boot sector without the partition table that mformat puts there for disks.
dd if=/dev/zero of="$disk" bs=1 seek=$((2 * 1048576 + 446)) count=64 conv=notrunc status=none
mke2fs -q -t ext4 -U "$uuid" -E "offset=$((34 * 1048576)),lazy_itable_init=1" -d "$root" "$disk" 2560M

cat >"$work/job" <<'G'
set -e
modprobe vfat
mount -t vfat /dev/vda2 /boot/efi
grub-install --target=i386-pc /dev/vda
grub-install --target=x86_64-efi --efi-directory=/boot/efi --removable --no-nvram
umount /boot/efi
update-grub
G
"$here/machine.sh" -b "$out" -j "$work/job" -l "$out/first-boot.log" "$disk" || {
    tail -n 30 "$out/first-boot.log" >&2
    exit 1
}
mv "$disk" "$out/disk.img"
echo "$old $new" >"$out/stamp"
