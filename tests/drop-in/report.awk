# Verdict of a log of exercise.sh: a line for each step; what a failed one printed is below it.
{
    sub(/^\[ *[0-9.]+\] /, "")
}
/DROP-IN begin / {
    sub(/.*DROP-IN begin /, "")
    name = $1
    lines = 0
    next
}
# What a guest or the hypervisor printed may stand before it in the line.
/DROP-IN step / {
    sub(/.*DROP-IN step /, "")
    steps++
    if ($2 != "ok")
        printf "  %-11s %s\n", $2, $1
    if ($2 == "FAILED") {
        failed++
        for (i = lines > 12 ? lines - 12 : 0; i < lines; i++)
            print "      " said[i]
    } else if ($2 == "ok") {
        printf "  %-11s %-20s %9.1f s\n", "ok", $1, $3 / 1000
    }
    name = ""
    lines = 0
    next
}
/DROP-IN end failed=[0-9]+/ {
    ended = 1
    sub(/.*failed=/, "")
    said_failed = $1 + 0
    name = ""
    if (said_failed) { # logs that the host shows then
        for (i = 0; i < lines; i++)
            print "      " said[i]
    }
}
/\(XEN\).*(Panic|FATAL|BUG|ASSERT|Assertion)/ {
    print "  hypervisor: " $0
    broke = 1
}
{
    said[lines++] = $0
}
END {
    if (!ended) {
        print "  no end" (name == "" ? "" : ", in step " name) "; the last lines:"
        for (i = lines > 12 ? lines - 12 : 0; i < lines; i++)
            print "      " said[i]
    }
    printf "%d steps, %d failed%s\n", steps, failed, ended ? "" : ", not ended"
    exit !(ended && steps > 0 && failed == 0 && said_failed == 0 && !broke)
}
