#!/bin/bash
# Build the Debian package that installs the hypervisor on a host.
#   usage: mkdeb.sh -v VERSION -x IMAGE -a ADOPT OUT.deb
# IMAGE: build/xen-like.gz.  ADOPT: the program xen-like-adopt.  The same input gives the same package, byte for byte.
set -euo pipefail

version='' image='' adopt=''
while getopts v:x:a: option; do
    case $option in
    v) version=$OPTARG ;;
    x) image=$OPTARG ;;
    a) adopt=$OPTARG ;;
    *) sed -n 3p "$0" >&2; exit 2 ;;
    esac
done
shift $((OPTIND - 1))
if [ $# -ne 1 ] || [ -z "$version" ] || [ -z "$image" ] || [ -z "$adopt" ]; then
    sed -n 3p "$0" >&2
    exit 2
fi
out=$1 here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
umask 022

put() { # MODE SOURCE TARGET
    install -D -m "$1" "$2" "$root/$3"
}

put 644 "$image" boot/xen-like.gz
put 755 "$here/update-xen-like" usr/sbin/update-xen-like
put 755 "$adopt" usr/sbin/xen-like-adopt
strip "$root/usr/sbin/xen-like-adopt"
units=lib/systemd/system
put 644 "$here/../adopt/xen-like-adopt.service" $units/xen-like-adopt.service
mkdir -p "$root/$units/multi-user.target.wants"
ln -s ../xen-like-adopt.service "$root/$units/multi-user.target.wants/"
put 755 "$here/kernel-hook" etc/kernel/postinst.d/xen-like
put 755 "$here/kernel-hook" etc/kernel/postrm.d/xen-like
put 755 "$here/grub-entries" etc/grub.d/21_xen-like
put 644 "$here/xen-like.cfg" etc/default/grub.d/xen-like.cfg
put 644 "$here/grub-mkconfig_lib" usr/share/xen-like/grub-mkconfig_lib
put 755 "$here/postinst" DEBIAN/postinst
put 755 "$here/postrm" DEBIAN/postrm

doc=$root/usr/share/doc/xen-like
mkdir -p "$doc" "$root/usr/share/man/man8"
{ # ours, and what of others is in the image
    sed '/^------/,$d' "$here/../../LICENSE"
    echo "The hypervisor and xen-like-adopt are built with Xen's public headers (Debian's package libxen-dev): their licence"
    echo "is the same, their holders are named in /usr/include/xen."
} >"$doc/copyright"
sed "s/@VERSION@/$version/" "$here/changelog.in" | gzip -9n >"$doc/changelog.gz"
for page in "$here/update-xen-like.8" "$here/../adopt/xen-like-adopt.8"; do
    gzip -9n <"$page" >"$root/usr/share/man/man8/${page##*/}.gz"
done
chmod 644 "$doc"/* "$root"/usr/share/man/man8/*

(cd "$root" && find etc -type f | LC_ALL=C sort | sed 's,^,/,') >"$root/DEBIAN/conffiles"
(cd "$root" && find boot lib usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) \
    >"$root/DEBIAN/md5sums"
sed -e "s/@VERSION@/$version/" \
    -e "s/@SIZE@/$(du -sk --apparent-size "$root" --exclude=DEBIAN | cut -f1)/" \
    "$here/control.in" >"$root/DEBIAN/control"

# Files are dated alike, so that only their content counts.
find "$root" -exec touch -h -d '2026-11-01 00:00:00 UTC' {} +
SOURCE_DATE_EPOCH=$(date -d '2026-11-01 00:00:00 UTC' +%s) \
    dpkg-deb --root-owner-group --build "$root" "$out.tmp" >/dev/null
mv "$out.tmp" "$out"
