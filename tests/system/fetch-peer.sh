#!/bin/bash
# Fetch Debian's Xen, from Debian and without installing it: the test kernels run on it, too.
#   usage: fetch-peer.sh DIR
# Leaves in DIR:  xen-4.17.gz     the hypervisor as Debian ships it
#                 version         of the package
#                 stamp           written last
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: fetch-peer.sh DIR}
package=xen-hypervisor-4.17-amd64

mkdir -p "$dir"
cd "$dir"
rm -f stamp

apt_option=()
[ "$(id -u)" -ne 0 ] || apt_option=(-o APT::Sandbox::User=root)

download() {
    apt-get -qq "${apt_option[@]}" download "$package"
}

if ! compgen -G "${package}_*.deb" >/dev/null; then
    echo "fetch: $package"
    if ! download; then
        echo "fetch: apt's package lists may be missing or old, refreshing them" >&2
        "$here/deps.sh" --update
        download
    fi
fi
deb=$(compgen -G "${package}_*.deb" | tail -n 1)
dpkg-deb --fsys-tarfile "$deb" | tar -xO ./boot/xen-4.17-amd64.gz >xen-4.17.gz.tmp
mv xen-4.17.gz.tmp xen-4.17.gz
dpkg-deb -f "$deb" Version >version
touch stamp
