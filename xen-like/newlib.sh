#!/bin/bash
# Build newlib from Debian's source.   usage: newlib.sh TAR FOLDER CFLAGS CONFIGURE-ARGUMENTS
# FOLDER gets include/ and lib/; what is made on the way is in FOLDER/work, removed at the end.
set -euo pipefail
unset MAKEFLAGS MFLAGS MAKELEVEL # its own make, one job

tar=$1 folder=$2 cflags=$3 arguments=$4
[ -r "$tar" ] || { echo "newlib: $tar is missing (package newlib-source): make deps" >&2; exit 1; }
gcc_include=$(gcc -print-file-name=include)

rm -rf "$folder"
mkdir -p "$folder/work/build"
folder=$(cd "$folder" && pwd)
tar -C "$folder/work" --strip-components=1 -xf "$tar"
cd "$folder/work/build"
# The compiler is always gcc: newlib is what our code is linked to, not a part of it.
run() {
    "$@" >>../log 2>&1 || { tail -n 30 ../log >&2; exit 1; }
}
flags="$cflags -nostdinc -isystem $gcc_include -w"
# shellcheck disable=SC2086
run ../newlib/configure --prefix="$folder/installed" $arguments \
    CC=gcc AR=ar RANLIB=ranlib AS=as CFLAGS="$flags" CCASFLAGS="$flags"
run make
run make install
mv "$folder/installed/x86_64-elf/include" "$folder/installed/x86_64-elf/lib" "$folder"
mv "$folder/work/COPYING.NEWLIB" "$folder"
rm -rf "$folder/work" "$folder/installed"
