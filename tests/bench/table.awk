# The table of ours beside Xen's: targets.tsv, then the figures of ours, then those of Xen.
#   tsv       is written with what is compared (or "")
#   markdown  is written with the table as the README's folder of figures has it
#   targets   0: only the rows that both have, without targets and verdicts
# Exit status: 0 if all rows are there, ours is better and meets its target.
BEGIN {
    FS = "\t"
    if (tsv)
        print "operation\tunit\tours\txen\tratio\ttarget" >tsv
    row("operation", "unit", "ours", "xen", "ratio", targets ? "target" : "", targets ? "verdict" : "")
    line = "| Operation | Unit | Ours | Xen | Ratio |"
    rule = "|---|---|--:|--:|--:|"
    print (targets ? line " Target | |" : line) >markdown
    print (targets ? rule "--:|---|" : rule) >markdown
}

FNR == 1 { nr_files++ }
/^#/ || NF == 0 { next }
nr_files == 1 { name[++nr] = $1; operation[nr] = $2; unit[nr] = $3; target[nr] = $4 }
nr_files == 2 { ours[$1] = $2 }
nr_files == 3 { xen[$1] = $2 }

function row(a, b, c, d, e, f, g) {
    printf "%-44s %-12s %11s %11s %6s %9s  %s\n", a, b, c, d, e, f, g
}

function thousands(x,    n) {
    n = x
    sub(/\..*/, "", n)
    while (n ~ /[0-9][0-9][0-9][0-9]/)
        sub(/[0-9][0-9][0-9](,|$)/, ",&", n)
    sub(/^,/, "", n)
    sub(/^[0-9]+/, n, x)
    return x
}

END {
    for (i = 1; i <= nr; i++) {
        have = (name[i] in ours) && (name[i] in xen)
        if (!have && !targets)
            continue
        o = ours[name[i]]
        x = xen[name[i]]
        limit = targets ? target[i] : ""
        if (sub(/x$/, "", limit))
            limit = int(limit * x)
        ratio = have && x > 0 ? sprintf("%.3f", o / x) : ""
        verdict = !have ? "NOT MEASURED" : o + 0 >= x + 0 ? "NOT BETTER" : o + 0 > limit + 0 ? "ABOVE TARGET" : "ok"
        if (targets && verdict != "ok")
            missed++
        if (tsv)
            print operation[i] "\t" unit[i] "\t" o "\t" x "\t" ratio "\t" limit >tsv
        row(operation[i], unit[i], thousands(o), thousands(x), ratio, thousands(limit),
            targets ? verdict : "")
        line = "| " operation[i] " | " unit[i] " | " thousands(o) " | " thousands(x) " | " ratio " |"
        print (targets ? line " " thousands(limit) " | " (verdict == "ok" ? "" : verdict) " |" : line) >markdown
    }
    if (missed)
        printf "bench: %d of %d rows miss their targets\n", missed, nr
    exit missed > 0
}
