#!/bin/bash
# update-xen-like on kernels made here: every form of payload, and what is none.
#   usage: unpack.sh
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
boot=$(mktemp -d)
trap 'rm -rf "$boot"' EXIT
elves=$boot/xen-like
failed=0

le32() { # VALUE: as four bytes
    local n
    for n in 0 8 16 24; do printf %b "\\x$(printf %02x $(($1 >> n & 255)))"; done
}

# bzimage VERSION PAYLOAD-FILE SIZE: with SIZE behind the payload if it is given
bzimage() {
    local length
    set -- "$1" "$2" "${3:-}"
    length=$(($(stat -c %s "$2") + (${#3} > 0 ? 4 : 0)))
    {
        head -c 497 /dev/zero
        printf '\2' # two sectors of setup code behind the first
        head -c 16 /dev/zero
        printf HdrS
        head -c $((584 - 518)) /dev/zero
        le32 100
        le32 $length
        head -c $((3 * 512 + 100 - 592)) /dev/zero
        cat "$2"
        [ -z "$3" ] || le32 "$3"
        echo signature
    } >"$boot/vmlinuz-$1"
    echo CONFIG_XEN_PV_DOM0=y >"$boot/config-$1"
}

run() { XEN_LIKE_BOOT=$boot sh "$here/../../dom0-tools/debian-host/update-xen-like" >"$boot/out" 2>&1; }

expect() { # WHAT COMMAND...
    local what=$1
    shift
    if ! "$@"; then
        echo "unpack: FAILED: $what"
        sed 's/^/    /' "$boot/out"
        failed=1
    fi
}
not() { ! "$@"; }

{ printf '\177ELF' && seq 100000; } >"$boot/elf"
size=$(stat -c %s "$boot/elf")
kinds=(plain)
bzimage plain "$boot/elf" "$size"
for kind in xz gzip zstd lz4; do
    command -v $kind >/dev/null || continue
    case $kind in
    gzip) gzip -c "$boot/elf" >"$boot/packed" && bzimage gzip "$boot/packed" ;;
    lz4) lz4 -lc "$boot/elf" >"$boot/packed" && bzimage lz4 "$boot/packed" "$size" ;;
    *) $kind -c "$boot/elf" >"$boot/packed" && bzimage $kind "$boot/packed" "$size" ;;
    esac
    kinds+=("$kind")
done
bzimage no-dom0 "$boot/elf" "$size"
echo '# CONFIG_XEN_PV_DOM0 is not set' >"$boot/config-no-dom0"
echo CONFIG_XEN_PV_DOM0=y >"$boot/config-garbage"
seq 1000 >"$boot/vmlinuz-garbage"
expect "all are unpacked" run
for kind in "${kinds[@]}"; do
    expect "$kind is unpacked" cmp -s "$boot/elf" "$elves/vmlinux-$kind"
done
expect "no other file" [ "$(find "$elves" -type f | wc -l)" -eq ${#kinds[@]} ]

expect "again" run
expect "nothing is unpacked twice" [ ! -s "$boot/out" -o "$(grep -c unpacking "$boot/out")" -eq 0 ]
truncate -s 1000 "$elves/vmlinux-xz"
touch -r "$boot/vmlinuz-xz" "$elves/vmlinux-xz"
expect "a truncated ELF" run
expect "is made anew" cmp -s "$boot/elf" "$elves/vmlinux-xz"
touch -d '1 hour ago' "$boot/vmlinuz-xz"
expect "a kernel of another time" run
expect "is unpacked" grep -q 'unpacking.*vmlinuz-xz' "$boot/out"

dd if=/dev/zero of="$boot/vmlinuz-xz" bs=1 seek=3000 count=500 conv=notrunc status=none
rm "$boot/vmlinuz-gzip"
touch "$elves/vmlinux-plain.new"
expect "a broken kernel is an error" not run
expect "a removed kernel's ELF has gone" [ ! -e "$elves/vmlinux-gzip" ]
expect "an interrupted run's, too" [ ! -e "$elves/vmlinux-plain.new" ]
expect "the others stay" cmp -s "$boot/elf" "$elves/vmlinux-plain"
rm "$boot"/vmlinuz-*
expect "no kernels" run
expect "no folder" [ ! -e "$elves" ]
[ $failed -eq 0 ] && echo "unpack: ${kinds[*]}: ok"
