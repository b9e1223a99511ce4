#!/bin/bash
# What parts.so has to know of programs of ours.
#   usage: map.sh PREFIX ELF... >FILE        (PREFIX ELF, as often as wanted)
# Each function is "PREFIX:FOLDER/FILE.c:FUNCTION", the file as debug information has it; "?" where there is none.
# What lies behind all of a program is behind-PREFIX.
set -euo pipefail

while [ $# -ge 2 ]; do
    nm -n -l "$2" | awk -v prefix="$1" '
        { end = $1 }
        $2 !~ /^[tTwW]$/ || $1 == last { next }
        { last = $1
          file = NF > 3 ? $4 : "?"
          sub(/:[0-9]+$/, "", file)
          n = split(file, folder, "/")
          file = n > 1 ? folder[n - 1] "/" folder[n] : file
          print $1, prefix ":" file ":" $3 }
        END { print end, "behind-" prefix }'
    shift 2
done
