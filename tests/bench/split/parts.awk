# Of parts.so's lines and the consoles' (table.sh): what a unit of each workload takes.
#   input:  RUN NAME NUMBER NAME UNITS UNIT, and RUN PART NUMBER FUNCTION INSTRUCTIONS MOVES
#   output: RUN NUMBER NAME UNIT ALL COPIES GRANTS EVENTS HYPERVISOR BACKEND GUESTS OWN
#           OWN: those of the copies that the guests make

# Of Xen by the files of its symbols, of ours by its folders.
function is_grants(file, fn)
{
    return file ~ /^grant\/|^paging\/grant_map|grant_table\.c$|domain_page\.c$/ ||
           fn ~ /grant|^(check_)?get_page|^put_page|^map_domain_page|^hvmap_/
}
function is_events(file, fn) { return file ~ /^event\/|event_(channel|2l|fifo)\.c$/ || fn ~ /evtchn/ }
function is_copy(fn) { return fn ~ /^(memcpy|memmove|byte_copy|quadword_(aligned|copy)|loop|words)$/ }
function part(run, where, f)
{
    if (split(where, f, ":") < 3) {
        if (where == "hypervisor")
            return "hypervisor"
        return where == "kernel-1" && run !~ /^ours/ ? "backend" : "guests" # domain 0's kernel is the first
    }
    if (f[3] ~ /^(idle_loop|default_idle|acpi_idle_do_entry)$/)
        return "idle"
    if (f[1] == "control")
        return is_copy(f[3]) ? "copies" : "backend"
    return is_grants(f[2], f[3]) ? "grants" : is_events(f[2], f[3]) ? "events" : "hypervisor"
}
$2 == "NAME" { name[$1, $3] = $4; units[$1, $3] = $5; unit[$1, $3] = $6; next }
$3 > 0 {
    p = part($1, $4)
    if (p == "idle")
        next
    all[$1, $3] += $5
    if (p != "copies") {
        of[$1, $3, "copies"] += $6
        if (p == "guests")
            of[$1, $3, "own"] += $6
        $5 -= $6
    }
    of[$1, $3, p] += $5
}
END {
    for (key in name) {
        split(key, k, SUBSEP)
        u = units[key]
        printf "%s\t%s\t%s\t%s\t%.0f", k[1], k[2], name[key], unit[key], all[key] / u
        n = split("copies grants events hypervisor backend guests own", parts, " ")
        for (i = 1; i <= n; i++)
            printf "\t%.0f", of[k[1], k[2], parts[i]] / u
        print ""
    }
}
