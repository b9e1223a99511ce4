#!/bin/bash
# A root file system with systemd, of Debian's packages, as an ext4 image.
#   usage: mkroot.sh DEBIAN OUT.img
# DEBIAN: what fetch.sh left (the modules are from there). The packages come from where this machine's
# apt gets its own. Needs root (or sudo): files have owners. Nothing is installed or mounted here but
# what mmdebstrap does in its own folder.
set -euo pipefail

debian=${1:?usage: mkroot.sh DEBIAN OUT.img} out=${2:?usage: mkroot.sh DEBIAN OUT.img}
packages=systemd,systemd-sysv,udev,dbus,login,util-linux,kmod,e2fsprogs,procps,iproute2,iputils-ping,iperf3
PATH=$PATH:/usr/sbin:/sbin # mke2fs

if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "mkroot: not root and no sudo" >&2; exit 1; }
    exec sudo "$0" "$@"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
"$(dirname "$0")/apt-config.sh" "$work"
suite=$(cat "$work/suite")

if ! mmdebstrap --variant=minbase --arch=amd64 --aptopt="$work/apt.conf" --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    "$suite" "$work/root" "$work/sources.list" >"$work/log" 2>&1; then
    cat "$work/log" >&2
    exit 1
fi

# root has no password; the disk is found by its label; journal and logs are in memory; addresses come by DHCP.
root=$work/root
sed -i 's/^root:[^:]*:/root::/' "$root/etc/shadow"
echo 'LABEL=root / ext4 errors=remount-ro 0 1' >"$root/etc/fstab"
printf '[Match]\nName=e*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/ethernet.network"
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s /lib/systemd/system/systemd-networkd.service "$root/etc/systemd/system/multi-user.target.wants/"
echo xen-like >"$root/etc/hostname"
echo 127.0.0.1 localhost xen-like >"$root/etc/hosts"
cp -r "$debian/devices/lib/modules" "$root/lib/"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/dev/*

rm -f "$out.tmp"
truncate -s 400M "$out.tmp"
mke2fs -q -t ext4 -L root -E lazy_itable_init=0,lazy_journal_init=0 -d "$root" "$out.tmp"
mv "$out.tmp" "$out"
