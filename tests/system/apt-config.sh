#!/bin/bash
# What mmdebstrap is to fetch Debian's packages with: as this machine's apt does.
#   usage: apt-config.sh DIR
# Leaves in DIR:  sources.list    this machine's sources, of its suite and that one's updates
#                 apt.conf        its proxy, and what the builders of images have in common
#                 suite
set -euo pipefail

dir=${1:?usage: apt-config.sh DIR}
# shellcheck disable=SC1091
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

sources() { # in apt's one-line form
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
        awk -v s="$suite" 'index($2, s) == 1 && $3 == "main" { print "deb " $0 }' | sort -u
}

sources >"$dir/sources.list"
if [ ! -s "$dir/sources.list" ]; then
    "$(dirname "$0")/deps.sh" --update
    sources >"$dir/sources.list"
fi
[ -s "$dir/sources.list" ] || { echo "apt-config: apt has no sources of $suite" >&2; exit 1; }
{
    echo 'APT::Install-Recommends "false";'
    echo 'APT::Sandbox::User "root";'
    apt-config dump | grep -iE '^Acquire::https?::Proxy' || true
} >"$dir/apt.conf"
echo "$suite" >"$dir/suite"
