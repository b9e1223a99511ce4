#!/bin/bash
# Write ACPI tables that a hypervisor must refuse. GRUB's "acpi" puts them in place of the machine's.
#   usage: bad-acpi.sh DIR
set -euo pipefail

dir=${1:?usage: bad-acpi.sh DIR}

le32() {
    printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24))
}

# table SIGNATURE LENGTH BODY CHECKSUM-ERROR: LENGTH is what the header says; BODY is in printf's form
table() {
    local header body sum=0 byte
    header="$1$(le32 "$2")\\x01\\x00XLTEST" # revision, checksum (0 for now), OEM
    header+="BADTABLE$(le32 1)XLXL$(le32 1)"
    body=$3
    for byte in $(printf "$header$body" | od -An -v -tu1); do
        sum=$(((sum + byte) & 255))
    done
    header="$1$(le32 "$2")\\x01$(printf '\\x%02x' $(((256 - sum + $4) & 255)))XLTEST"
    header+="BADTABLE$(le32 1)XLXL$(le32 1)"
    printf "$header$body"
}

lapic=$(le32 0xfee00000)$(le32 1)'\x00\x08\x00\x00\x01\x00\x00\x00'     # address, flags, CPU 0
ioapic='\x01\x0c\x00\x00'$(le32 0xfec00000)$(le32 0)
table APIC 64 "$lapic$ioapic" 0 >"$dir/apic-good"
table APIC 64 "$lapic$ioapic" 1 >"$dir/apic-checksum"
table APIC 12 "$lapic$ioapic" 0 >"$dir/apic-short"          # shorter than a header
table APIC 64 "$lapic"'\x01\x00\x00\x00'"$(le32 0xfec00000)$(le32 0)" 0 >"$dir/apic-entry"  # length 0
