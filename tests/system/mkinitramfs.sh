#!/bin/bash
# Build the ramdisks of the machine under test.
#   usage: mkinitramfs.sh SOURCE OUT [TREE OUT]...
# SOURCE: the folder with init and jobs/. The first OUT holds BusyBox, init and the jobs; each
# further one is the one before it followed by TREE.
set -euo pipefail

[ $# -ge 2 ] && [ $(($# % 2)) -eq 0 ] || {
    echo "usage: mkinitramfs.sh SOURCE OUT [TREE OUT]..." >&2
    exit 2
}
source=$1 out=$2
shift 2
busybox=$(command -v busybox || echo /bin/busybox)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

pack() { # DIR: a gzipped newc archive on standard output; the same input gives the same bytes
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . -mindepth 1 | LC_ALL=C sort |
        cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -6n
}

mkdir -p "$tree"/small/{bin,sbin,usr/bin,usr/sbin,dev,proc,sys,tmp,root,etc,mnt}
install -m 755 "$busybox" "$tree/small/bin/busybox"
for name in $("$busybox" --list); do
    [ "$name" = busybox ] || ln -s busybox "$tree/small/bin/$name"
done
for name in init poweroff; do # what the kernel runs, also when it is asked to end
    ln -s ../bin/busybox "$tree/small/sbin/$name"
done
install -m 755 "$source/init" "$tree/small/init"
cp -r "$source/jobs" "$tree/small/jobs"
printf '%s\n' root:x:0:0:root:/root:/bin/sh nobody:x:65534:65534:nobody:/tmp:/bin/sh \
    >"$tree/small/etc/passwd"
printf '%s\n' root:x:0: nogroup:x:65534: >"$tree/small/etc/group"

pack "$tree/small" >"$out.tmp"
mv "$out.tmp" "$out"
while [ $# -gt 0 ]; do
    rm -rf "$tree/next"
    cp -r "$1" "$tree/next"
    { cat "$out"; pack "$tree/next"; } >"$2.tmp"
    mv "$2.tmp" "$2"
    out=$2
    shift 2
done
