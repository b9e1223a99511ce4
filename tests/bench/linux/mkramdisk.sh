#!/bin/bash
# Build the ramdisk of `make bench-linux`.
#   usage: mkramdisk.sh WORKLOADS STRESS-NG-TREE OUT SOURCE...
# WORKLOADS is its /init. tcc and what it reads come from this machine: what it says itself when it
# builds the SOURCEs here.
set -euo pipefail

workloads=$1 stress_ng=$2 out=$3
shift 3
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

cp -r "$stress_ng" "$tree/root"
mkdir -p "$tree"/root/{dev,proc,sys,tmp,src}
install -m 755 "$workloads" "$tree/root/init"
cp "$@" "$tree/root/src/"
cp "$(dirname "$1")"/*.h "$tree/root/src/"

take() { # FILE...: with the names it has here, links followed
    local file
    for file; do
        [ -e "$tree/root$file" ] || install -D -m 755 "$(readlink -f "$file")" "$tree/root$file"
    done
}

objects=()
for source in "$tree"/root/src/*.c; do
    objects+=("$tree/${source##*/}.o")
    tcc -vv -c -o "${objects[-1]}" "$source"
done >"$tree/read"
for object in "${objects[@]}"; do # of which one has a main() and needs no other
    tcc -vv -o "$tree/built" "$object" 2>/dev/null || true
done >>"$tree/read"
mapfile -t files < <(sed -n 's/^-> *\(\/\(usr\|lib\).*\)/\1/p' "$tree/read" | sort -u)
take /usr/bin/tcc "${files[@]}"
mapfile -t files < <(ldd /usr/bin/tcc | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p')
take "${files[@]}"

find "$tree/root" -exec touch -h -d @0 {} +
(cd "$tree/root" && find . -mindepth 1 | LC_ALL=C sort |
    cpio --quiet --reproducible -o -H newc -R 0:0) | gzip -6n >"$out.tmp"
mv "$out.tmp" "$out"
