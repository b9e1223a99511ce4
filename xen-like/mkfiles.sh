#!/bin/bash
# An object that brings files: the folder's as a cpio archive (newc), or nothing if there is none.
#   usage: mkfiles.sh FOLDER OBJECT
set -euo pipefail

folder=$1 object=$2
archive=$object.cpio
: >"$archive"
if [ -d "$folder" ]; then
    (cd "$folder" && find . -type f | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc) >"$archive"
fi
"${CC:-gcc}" -x assembler -c -o "$object" - <<A
        .section .files, "a"
        .globl linked_files, linked_files_end
        .p2align 2
linked_files:
        .incbin "$archive"
linked_files_end:
        .section .note.GNU-stack, "", @progbits
A
