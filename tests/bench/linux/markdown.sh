# shellcheck shell=bash
# Sourced: tables for people.

show() { # HEADING FILE: as a table in Markdown, which is readable as it is; the first column is text
    awk -F '\t' -v heading="$1" '
        NR == 1 { n = split(heading, h, "\t"); width_of(h) }
        { row[NR] = $0; split($0, c, "\t"); width_of(c) }
        function width_of(c, i) { for (i = 1; i <= n; i++) if (length(c[i]) > width[i]) width[i] = length(c[i]) }
        function cells(c, i) {
            for (i = 1; i <= n; i++)
                printf "| %" (text(i) ? "-" : "") width[i] "s ", c[i]
            print "|"
        }
        function text(i) { return i == 1 || h[i] == "unit" }
        END {
            cells(h)
            for (i = 1; i <= n; i++) {
                line = sprintf("%" width[i] "s", "")
                gsub(/ /, "-", line)
                printf "|%s", text(i) ? ":" line "-" : line "-:"
            }
            print "|"
            for (r = 1; r <= NR; r++) { split(row[r], c, "\t"); cells(c) }
        }' "$2"
}
