#!/bin/bash
# What parts.so has to know of Debian's Xen, as map.sh says it of ours.
#   usage: xen-map.sh MAP >FILE          (MAP: xen-syms-*.map of its debug package)
# Only names that are one file's own come with it there: another is of the file before it, as the linker has put them.
set -euo pipefail

awk '
    $2 !~ /^[tTwW]$/ || $1 == last { next }
    {
        last = $1
        name = $3
        if (split($3, f, "#") > 1) {
            name = f[2]
            n = split(f[1], folder, "/")
            file = (n > 1 ? folder[n - 1] "/" : "") folder[n]
        }
        sub(/^0x/, "", $1)
        print $1, "hypervisor:" (file ? file : "?") ":" name
    }' "${1:?usage: xen-map.sh MAP >FILE}"
