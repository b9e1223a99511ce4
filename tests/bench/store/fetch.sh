#!/bin/bash
# Fetch Debian's two stores, from Debian and without installing them.
#   usage: fetch.sh DIR
# Leaves in DIR:  xenstored oxenstored, of the package xen-utils-4.17; stamp, written last
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: fetch.sh DIR}
package=xen-utils-4.17

mkdir -p "$dir"
cd "$dir"
rm -f stamp ./*.deb
apt_option=()
[ "$(id -u)" -ne 0 ] || apt_option=(-o APT::Sandbox::User=root)
echo "fetch: $package"
if ! apt-get -qq "${apt_option[@]}" download $package; then
    "$here/../../system/deps.sh" --update
    apt-get -qq "${apt_option[@]}" download $package
fi
for program in xenstored oxenstored; do
    dpkg-deb --fsys-tarfile ./*.deb | tar -xO ./usr/lib/xen-4.17/bin/$program >$program
    chmod 755 $program
done
touch stamp
