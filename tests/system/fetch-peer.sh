#!/bin/bash
# Fetch Debian's Xen, from Debian and without installing it: the test kernels run on it, too.
#   usage: fetch-peer.sh DIR
# Leaves in DIR:  xen-4.17.gz     the hypervisor as Debian ships it
#                 xen-4.17.map    where its functions are, by its debug package
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
    apt-get -qq "${apt_option[@]}" download "$package" "$package-dbg"
}

if ! compgen -G "${package}_*.deb" >/dev/null || ! compgen -G "$package-dbg_*.deb" >/dev/null; then
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
deb=$package-dbg_${deb#"${package}_"} # of the same version
dpkg-deb --fsys-tarfile "$deb" | tar -xO ./usr/lib/debug/boot/xen-syms-4.17-amd64.map >xen-4.17.map.tmp
mv xen-4.17.map.tmp xen-4.17.map
touch stamp
