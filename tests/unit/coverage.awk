# What gcov -t -b -c prints, of all objects: lines and branches per folder, and functions that no
# test calls. What several objects compile, as headers, counts once, and as run if one of them ran it.
#   usage: awk -v min=PERCENT -f coverage.awk      fails if fewer lines than that are covered

function percent(n, of) { return of ? sprintf("%6.1f %%", 100 * n / of) : "     - " }
function row(name) {
    return sprintf("%-12s %6d %s %8d %s", name, lines[name], percent(run[name], lines[name]),
           branches[name], percent(taken[name], branches[name]))
}
function count(key, is_run, all, covered) {
    if (!(key in seen)) {
        seen[key] = 0
        all[folder]++
        all["total"]++
    }
    if (is_run && !seen[key]) {
        seen[key] = 1
        covered[folder]++
        covered["total"]++
    }
}

match($0, /^ *-: *0:Source:/) {
    file = substr($0, RLENGTH + 1)
    counts = file ~ /^hypervisor\// && file !~ /^hypervisor\/x86\//
    split(file, parts, "/")
    folder = parts[2]
    branch = 0
    next
}
!counts { next }
/^function / {
    fn = $2
    called = $4
    next
}
match($0, /^ *[^:]+: *[0-9]+:/) {
    split($0, parts, ":")
    sub(/^ */, "", parts[1])
    line = parts[2] + 0
    branch = 0
    if (fn != "" && file ~ /\.c$/) {
        functions[file ":" line ": " fn] += called
        fn = ""
    }
    if (parts[1] != "-")
        count(file ":" line, parts[1] !~ /^[#=]/, lines, run)
    next
}
/^branch / { count(file ":" line ":" branch++, $3 == "taken" && $4 > 0, branches, taken) }

END {
    if (!lines["total"])
        exit 1
    by_line = "sort -t: -k1,1 -k2,2n"
    for (f in functions)
        if (!functions[f])
            print "not called: " f | by_line
    close(by_line)
    printf "%-12s %6s %8s %8s %8s\n", "hypervisor/", "lines", "run", "branches", "taken"
    for (f in lines)
        if (f != "total")
            print row(f) | "sort"
    close("sort")
    print row("total")
    if (100 * run["total"] < min * lines["total"]) {
        print "coverage: fewer than " min " % of the lines"
        exit 1
    }
}
