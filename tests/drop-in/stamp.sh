# shellcheck shell=bash
# Sourced: what is common to logs of machines.

# Each line of a console with the seconds since now.
stamp() {
    local line start=${EPOCHREALTIME/./} n
    while IFS= read -r line || [ -n "$line" ]; do
        n=$(((${EPOCHREALTIME/./} - start) / 10000))
        printf '[%4d.%02d] %s\n' $((n / 100)) $((n % 100)) "${line%$'\r'}"
    done
}
