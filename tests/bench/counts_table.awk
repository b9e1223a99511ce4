# The table of what one operation of ours does besides its instructions: targets.tsv, then counts.awk's
# lines. The TLB's full flushes are page-table loads, too, and are counted as both.
BEGIN {
    FS = "\t"
    row("operation", "loads", "flushes", "of a page", "IPIs")
    print "| Operation | Page-table loads | TLB flushes | of a page | IPIs |" >markdown
    print "|---|--:|--:|--:|--:|" >markdown
}

/^#/ || NF == 0 { next }
FNR == NR { operation[$1] = $2; next }
{
    name = $1 in operation ? operation[$1] : $1 # those without targets
    row(name, $2, $3, $4, $5)
    print "| " name " | " $2 " | " $3 " | " $4 " | " $5 " |" >markdown
}

function row(a, b, c, d, e) { printf "%-44s %9s %9s %9s %9s\n", a, b, c, d, e }
