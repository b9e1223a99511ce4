# From the console of a run: lines "name<tab>figure". mib: the machine's memory; total: see below.

function tell(name, figure) { printf "%s\t%s\n", name, figure }

/^BENCH / {
    name = $0
    sub(/^BENCH /, "", name)
    sub(/ [0-9.]+$/, "", name)
    tell(name, $NF)
}

# Memory kept: the machine's RAM less what domains have or could have. Ours says so; for Xen the
# kernel asks for the free pages and those of domain 0, the log has the RAM.
/^\(XEN\) Memory kept by the hypervisor: / { tell("kept " mib, $7) }
/^\(XEN\) System RAM: / {
    ram = $NF
    gsub(/[^0-9]/, "", ram)
}
ram && /^MEMORY / { tell("kept " mib, ram - 4 * ($2 + $5)) }

# Boot in ticks of the TSC, which are instructions, timed waits apart. total: the plugin's line of a run
# that ended at domain 0's first instruction; its own idea of waits counts only where there is no other.
/^\(XEN\) Boot: / {
    log_waits = $7
    tell("boot as logged " mib, $3 - $7)
}
END {
    if (split(total, t, /[ \t]+/) == 3)
        tell("boot " mib, t[2] - (log_waits != "" ? log_waits : t[3]))
}
