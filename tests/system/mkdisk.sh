#!/bin/bash
# What the machine under test finds on its disk and at its network's other end.
#   usage: mkdisk.sh DEBIAN OUT
# DEBIAN: what fetch.sh left.  Leaves in OUT:
#   disk.img  an ext4 file system of files with their SHA-256 sums in it
#   served/   two files, big and small
#   served.sha256
set -euo pipefail

debian=${1:?usage: mkdisk.sh DEBIAN OUT} out=${2:?usage: mkdisk.sh DEBIAN OUT}
PATH=$PATH:/usr/sbin:/sbin # mke2fs
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# Whatever is there: many files in deep folders, a big one, an empty one.
cp -r "$debian/devices/lib" "$tree/lib"
cp "$debian/vmlinuz" "$tree/vmlinuz"
: >"$tree/empty"
(cd "$tree" && find . -type f ! -name SHA256SUMS -exec sha256sum {} + | sort -k 2 >SHA256SUMS)
rm -f "$out/disk.img" "$out/disk.img.tmp"
truncate -s 64M "$out/disk.img.tmp"
mke2fs -q -t ext4 -E root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0 -d "$tree" \
    "$out/disk.img.tmp"
mv "$out/disk.img.tmp" "$out/disk.img"

mkdir -p "$out/served"
cp "$debian/vmlinuz" "$out/served/big"
head -c 1M "$debian/vmlinuz" >"$out/served/small"
(cd "$out/served" && sha256sum big small) >"$out/served.sha256"
