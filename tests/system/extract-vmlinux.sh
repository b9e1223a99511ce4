#!/bin/bash
# Print the ELF inside a bzImage whose payload is xz (Debian's choice).
#   usage: extract-vmlinux.sh VMLINUZ
# The offsets come from the boot header (Linux, Documentation/x86/boot.rst): setup_sects at 0x1f1,
# payload_offset at 0x248, payload_length at 0x24c.
set -euo pipefail

file=${1:?usage: extract-vmlinux.sh VMLINUZ}

field() { # OFFSET BYTES
    od -An -t"u$2" -j "$1" -N "$2" "$file" | tr -d ' '
}

setup_sects=$(field 0x1f1 1)
[ "$setup_sects" -ne 0 ] || setup_sects=4
offset=$(((setup_sects + 1) * 512 + $(field 0x248 4)))
length=$(field 0x24c 4)

magic=$(od -An -tx1 -j "$offset" -N 6 "$file" | tr -d ' ')
if [ "$magic" != fd377a585a00 ]; then
    echo "extract-vmlinux: $file: payload is not xz (starts with $magic)" >&2
    exit 1
fi
# The last 4 bytes are the unpacked size, which is no part of the xz stream. The end is cut off first:
# whoever wrote more than is read would be killed for it.
head -c "$((offset + length - 4))" "$file" | tail -c "+$((offset + 1))" | xz -dc --single-stream
