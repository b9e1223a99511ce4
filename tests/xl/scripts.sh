#!/bin/bash
# What Debian's scripts read in xl's output, they read in ours: Debian's helpers for its xendomains, the functions of
# Xen's own, and the shell's completion are taken out of the packages and run on tests/xl/show.c; then what
# Pacemaker's agent asks for.
#   usage: scripts.sh SHOW DIR PACKAGE...
set -euo pipefail

show=$(realpath "${1:?usage: scripts.sh SHOW DIR PACKAGE...}")
dir=$2
shift 2
failed=0

rm -rf "$dir"
mkdir -p "$dir/bin" "$dir/auto"
for package; do
    dpkg-deb -x "$package" "$dir/root"
done
ln -s "$show" "$dir/bin/xl"
ln -s "$show" "$dir/bin/xen"
PATH=$(realpath "$dir/bin"):$PATH

# expect WHAT WANTED SEEN
expect() {
    [ "$2" = "$3" ] && return
    echo "scripts: $1: wanted '$2', seen '$3'" >&2
    failed=1
}

# function NAME FILE: its text
function_of() {
    sed -n "/^$1()/,/^}/p" "$2"
}

printf 'name = "%s"\nkernel = "/boot/vmlinuz"\nmemory = 64\n' web >"$dir/auto/web.cfg"
printf 'name = "%s"\nkernel = "/boot/vmlinuz"\nbogus = 1\n' other >"$dir/auto/other.cfg"

# ---- xendomains, Debian's ----
helpers=$dir/root/usr/lib/xen-common/bin
expect "list of domains" "3 web 12 mail.example" "$("$helpers/xen-init-list" | paste -sd' ')"
expect "name in a file" web "$("$helpers/xen-init-name" "$dir/auto/web.cfg")"
expect "name in a file with an unknown key" other "$("$helpers/xen-init-name" "$dir/auto/other.cfg" 2>/dev/null)"

# ---- xendomains, Xen's ----
xendomains=$(find "$dir/root" -name xendomains -path '*/bin/*')
for f in contains_something rdname rdnames get_xsdomid parseln is_running check_domain_up all_zombies; do
    text=$(function_of $f "$xendomains")
    expect "xendomains has $f" yes "${text:+yes}"
    eval "$text"
done
eval "$(grep '^LIST_GREP=' "$xendomains")"
# The functions use these; there is no xenstore-read.
# shellcheck disable=SC2034
CMD=xl bindir=/nonexistent XENDOMAINS_AUTO=$dir/auto

set +eu # they are not made for these
id= # of the domain that was read last
rdname "$dir/auto/web.cfg"
expect "name in a file" web "$NM"
NAMES=
rdnames 2>/dev/null
expect "names in files" "other|web" "$NAMES"
is_running "$dir/auto/web.cfg"
expect "web is running" 0 $?
is_running "$dir/auto/other.cfg" 2>/dev/null
expect "other is running" 1 $?
check_domain_up mail.example
expect "mail.example is up" "0 12" "$? $id"
check_domain_up Domain-0
expect "domain 0 counts as up" 1 $?
state="" all_zombies
expect "all are zombies" 1 $?
state=-----d all_zombies
expect "of zombies, all are" 0 $?

# ---- completion ----
# shellcheck disable=SC1090
source "$(find "$dir/root" -path '*completions/xl')"
complete_of() {
    COMP_WORDS=(xl "$1")
    COMP_CWORD=1
    _xl
    expect "completions of '$1'" "$2" "${COMPREPLY[*]}"
}
complete_of li "list "
complete_of dom "domid  domname "
complete_of xl ""
COMP_WORDS=(xl "")
_xl
expect "completions" "$(xl help | grep -c '^ ')" ${#COMPREPLY[@]}

# ---- Pacemaker's agent ----
expect "domains of the list" "web mail.example" \
    "$(xl list | grep -v -e Name -e Domain-0 | awk '{print $1}' | paste -sd' ')"
expect "vCPUs and memory" "4 256" "$(xl list web | awk 'NR==2 {print $4, $3}')"
expect "total memory" 2048 "$(xl info | grep '^total_memory' | awk '{print $3}')"
xl list nobody >/dev/null 2>&1
expect "status of nobody" 1 $?
xl list web >/dev/null 2>&1
expect "status of web" 0 $?

[ $failed -eq 0 ] && echo "scripts: ok"
exit $failed
