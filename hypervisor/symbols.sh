#!/bin/sh
# usage: nm -n IMAGE | sh hypervisor/symbols.sh > symbols.S      (no input: an empty table)
#
# Input: the output of `nm -n`. Output: assembly for lib/symbols.c's table, code symbols only.
# Link twice: first with an empty table, then with the table of the first image. Code must not
# move in between: section .rodata.symbols belongs behind all code (a third nm can check that).
awk '
BEGIN {
    print ".section .rodata.symbols, \"a\""
    print ".globl symbol_table, symbol_table_end"
    print ".hidden symbol_table, symbol_table_end"
    print "symbol_table:"
    last = "0"
}
$3 == "init_start" { exit } # what boot alone uses lies behind that: there the console has addresses
$2 ~ /^[tTwW]$/ && $1 != last && $3 !~ /^__x86_/ && $3 !~ /["\\$]/ {
    printf ".uleb128 0x%s - 0x%s\n.asciz \"%s\"\n", $1, last, $3
    last = $1
}
END {
    print "symbol_table_end:"
    print ".section .note.GNU-stack, \"\", @progbits"
}'
