#!/bin/bash
# The ramdisk of the control domain that `make bench-tools` measures: a cpio archive.
#   usage: mkramdisk.sh OUT FOLDER VMLINUX GUEST-RAMDISK INIT PROGRAM KERNEL
# It has what is in FOLDER, VMLINUX, KERNEL, and guest.gz: GUEST-RAMDISK, but its init is INIT, with PROGRAM in /bin.
set -euo pipefail

out=$(realpath -m "${1:?usage: mkramdisk.sh OUT FOLDER VMLINUX GUEST-RAMDISK INIT PROGRAM KERNEL}")
tree=$out.tree
trap 'rm -rf "$tree" "$tree.more"' EXIT
rm -rf "$tree" "$tree.more"
cp -r "$2" "$tree"
cp "$3" "$tree/vmlinux"
cp "$7" "$tree/"
mkdir -p "$tree.more/bin"
install -m 755 "$5" "$tree.more/init"
install -m 755 "$6" "$tree.more/bin/"
archive() { LC_ALL=C sort | cpio --quiet --reproducible -o -H newc -R 0:0; }
{ cat "$4" && (cd "$tree.more" && find . | archive) | gzip -1n; } >"$tree/guest.gz"
(cd "$tree" && find . -mindepth 1 | archive) >"$out.new"
mv "$out.new" "$out"
