#!/bin/bash
# A disk image with a GPT, of images of file systems.
#   usage: mkgpt.sh OUT LABEL=IMAGE...      a partition of that label for each
set -euo pipefail

out=${1:?usage: mkgpt.sh OUT LABEL=IMAGE...}
shift
PATH=$PATH:/usr/sbin:/sbin # sfdisk
mib=1048576 at=1
table='label: gpt'
for part in "$@"; do
    size=$((($(stat -c %s "${part#*=}") + mib - 1) / mib))
    table+=$'\n'"start=$((at * 2048)), size=$((size * 2048)), type=linux, name=\"${part%%=*}\""
    at=$((at + size))
done

rm -f "$out.tmp"
truncate -s $(((at + 1) * mib)) "$out.tmp"
sfdisk -q "$out.tmp" <<<"$table"
at=1
for part in "$@"; do
    dd if="${part#*=}" of="$out.tmp" bs=1M seek=$at conv=notrunc,sparse status=none
    at=$((at + ($(stat -c %s "${part#*=}") + mib - 1) / mib))
done
mv "$out.tmp" "$out"
