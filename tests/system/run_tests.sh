#!/bin/bash
# What `make run` gives, tried as a user has it: a script on its standard input, and a terminal.
#   usage: run_tests.sh DIR LOGS         DIR has drive, terminal, run.iso
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: run_tests.sh DIR LOGS} logs=${2:?}
mkdir -p "$logs"

# A script: its lines are executed, at its end the machine ends.
log=$logs/run-script.log
fail() {
    echo "FAILED run: $1; the end of $log:" >&2
    tail -n 15 "$log" >&2
    exit 1
}
printf 'list\ninfo\nnonsense\n' | RUN_SECONDS=120 "$here/run.sh" "$dir/drive" "$dir/run.iso" >"$log" 2>&1 ||
    fail "status $? of a script"
for shown in '^Domain-0 ' '^xen_major ' '^nonsense: '; do
    grep -aqE "$shown" "$log" || fail "nothing like $shown"
done

# A terminal: a guest's console is left by Ctrl-], typed once.
"$dir/terminal" 120 "$logs/run-terminal.log" "$here/run.sh" "$dir/drive" "$dir/run.iso" -- '?control> ' \
    $'create answers.cfg\rconsole answers\r' '?^answers: 10.0.2.30 is ready' $'\035list\r' '?^answers +[0-9]+ +16 ' \
    $'poweroff\r'
echo "run: a script and a terminal: ok"
