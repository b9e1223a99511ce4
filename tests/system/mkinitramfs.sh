#!/bin/bash
# Build the ramdisks of the machine under test.
#   usage: mkinitramfs.sh SOURCE STRESS OUT.small OUT.full
# SOURCE: the folder with init and jobs/.  STRESS: a tree with stress-ng and its libraries.
# OUT.small holds BusyBox, init and the jobs; OUT.full is the same followed by stress-ng.
set -euo pipefail

[ $# -eq 4 ] || { echo "usage: mkinitramfs.sh SOURCE STRESS OUT.small OUT.full" >&2; exit 2; }
source=$1 stress=$2 small=$3 full=$4
busybox=$(command -v busybox || echo /bin/busybox)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

pack() { # DIR: a gzipped newc archive on standard output; the same input gives the same bytes
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . -mindepth 1 | LC_ALL=C sort |
        cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -6n
}

mkdir -p "$tree"/small/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,tmp,root,etc} "$tree"/full
install -m 755 "$busybox" "$tree/small/bin/busybox"
for name in $("$busybox" --list); do
    [ "$name" = busybox ] || ln -s busybox "$tree/small/bin/$name"
done
ln -s ../bin/busybox "$tree/small/sbin/init"
install -m 755 "$source/init" "$tree/small/init"
cp -r "$source/jobs" "$tree/small/jobs"
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/tmp:/bin/sh \
    >"$tree/small/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: >"$tree/small/etc/group"
cp -r "$stress"/. "$tree/full"

pack "$tree/small" >"$small.tmp"
{ cat "$small.tmp"; pack "$tree/full"; } >"$full.tmp"
mv "$small.tmp" "$small"
mv "$full.tmp" "$full"
