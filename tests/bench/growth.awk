# Is every cost of ours constant or linear? Reads growth.sh's TSV, prints a line for each operation, and
# fails if one is worse. With n at one end the least and at the other the most: what the upper half adds,
# per n, may be 15 % more than what all adds (n log n: 6 % more; n^1.5: 20 %). What grows by
# less than 5 % is constant, which what is done beside other domains has to be. A figure that falls is not looked into.
#   awk -f growth.awk TSV        awk -v test=1 -f growth.awk /dev/null: does it find what it should?
BEGIN {
    FS = "\t"
    SLACK = 1.15
    if (test) {
        for (n = 100; n <= 1000; n += 100) {
            row("constant", n, 300 + n % 200 / 100)
            row("domain: linear", n, 500 + 24 * n)
            row("linear", n, 500 + 24 * n)
            row("n log n", n, 500 + n * log(n))
            row("n^2", n, 500 + n * n / 10)
            row("n^1.5", n, 500 + n ^ 1.5)
            row("a step at the end", n, 500 + (n > 900 ? 3000 : n))
        }
        if (judge("constant") != "constant" || judge("linear") != "linear" || judge("n log n") != "linear")
            bad = "takes a good one for bad"
        if (judge("domain: linear") != "WORSE" || judge("n^2") != "WORSE" || judge("n^1.5") != "WORSE" || judge("a step at the end") != "WORSE")
            bad = bad " takes a bad one for good"
        print bad ? "growth.awk: " bad : "growth.awk finds what it should"
        exit bad != ""
    }
}
function row(name, n, figure, theirs) {
    if (!(name in nr))
        names[++nr_names] = name
    x[name, ++nr[name]] = n
    y[name, nr[name]] = figure
    xen[name, nr[name]] = theirs
}
function judge(name,    last, mid, all, upper) {
    last = nr[name]
    if (y[name, last] <= 1.05 * y[name, 1])
        return "constant"
    if (name ~ /^domain:/)
        return "WORSE"
    for (mid = last - 1; mid > 1 && x[name, mid] * 2 > x[name, last] + x[name, 1]; mid--)
        ;
    all = (y[name, last] - y[name, 1]) / (x[name, last] - x[name, 1])
    upper = (y[name, last] - y[name, mid]) / (x[name, last] - x[name, mid])
    return upper > SLACK * all ? "WORSE" : "linear"
}
FNR > 1 && !test { row($1, $2, $3, $4) }
END {
    if (test)
        exit bad != ""
    printf "%-36s %14s %22s %24s  %s\n", "operation", "n", "ours", "xen", "ours is"
    for (i = 1; i <= nr_names; i++) {
        name = names[i]
        last = nr[name]
        verdict = judge(name)
        failed += verdict == "WORSE"
        printf "%-36s %5d .. %5d %9d .. %9d %10d .. %10d  %s\n", name, x[name, 1], x[name, last],
            y[name, 1], y[name, last], xen[name, 1], xen[name, last], verdict
    }
    if (failed || nr_names == 0)
        print "growth: " (failed ? failed " grow faster than linear, or with other domains" : "no figures")
    exit failed || nr_names == 0
}
