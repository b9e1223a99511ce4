# From the console of a run with "counts": lines "name<tab>root loads<tab>flushes<tab>flushes of a
# page<tab>IPIs", each for one operation. The counters of all CPUs are added up; of several samples the
# least counts, less what the debug keys between them cost.

/^\(XEN\) 'p' pressed/ { nr++ }
/^\(XEN\) CPU [0-9]+: .* root loads/ {
    counter[nr, 1] += $4
    counter[nr, 2] += $7
    counter[nr, 3] += $10
    counter[nr, 4] += $14
}

/^COUNT / {
    name = $0
    sub(/^COUNT /, "", name)
    sub(/ [0-9]+$/, "", name)
    line = name
    for (k = 1; k <= 4; k++) {
        least = -1
        for (n = 1; n < nr; n += 2) {
            d = counter[n + 1, k] - counter[n, k]
            if (least < 0 || d < least)
                least = d
        }
        if (name == "nothing")
            nothing[k] = least
        figure = sprintf("%.2f", (least - nothing[k]) / $NF)
        sub(/\.?0+$/, "", figure)
        line = line "\t" (figure == "" ? 0 : figure)
    }
    if (name != "nothing")
        print line
    nr = 0
    delete counter
}
