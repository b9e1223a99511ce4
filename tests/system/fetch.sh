#!/bin/bash
# Fetch what the machine under test runs, from Debian and without installing it: the stock kernel of
# linux-image-amd64 with some of its modules, e2fsck, and stress-ng and Xen's tools with the libraries
# they need.
#   usage: fetch.sh DIR
#          fetch.sh DIR TREE PACKAGE FILE...   only those files of one package, with their libraries, into DIR/TREE
# Leaves in DIR:  vmlinuz     the kernel as Debian ships it (a bzImage)
#                 vmlinux     the ELF inside it, unmodified
#                 stress-ng/, xen-tools/  trees to be copied into the ramdisk
#                 devices/    the same: modules for disks, networks and ext4, and e2fsck
#                 stamp       written last (TREE/stamp)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=${1:?usage: fetch.sh DIR [TREE PACKAGE FILE...]}
shift
mkdir -p "$dir/pkg"
dir=$(cd "$dir" && pwd)
libdir=lib/x86_64-linux-gnu
root=$dir/root${1:+-$1} # packages are unpacked there, and it is removed

PATH=$PATH:/usr/sbin:/sbin # depmod, modprobe

die() {
    echo "fetch: $*" >&2
    exit 1
}

# What the machines of the tests have, and a checksum that ext4 asks for by name.
modules=(ahci sd_mod virtio_pci virtio_blk virtio_net nvme e1000e ext4 crc32c_generic
    xenfs xen-privcmd xen-evtchn xen-gntdev
    xen-blkfront xen-netfront)

apt_option=()
[ "$(id -u)" -ne 0 ] || apt_option=(-o APT::Sandbox::User=root)

# download PACKAGE...: into $dir/pkg, those that are not there yet
download() {
    local p want=()
    for p in "$@"; do
        compgen -G "$dir/pkg/${p}_*.deb" >/dev/null || want+=("$p")
    done
    [ ${#want[@]} -eq 0 ] && return
    echo "fetch: ${want[*]}"
    (cd "$dir/pkg" && apt-get -qq "${apt_option[@]}" download "${want[@]}")
}

# depends PACKAGE...: names of the packages they depend on directly
depends() {
    apt-cache depends --important "$@" | sed -n 's/^ *|\?Depends: \([^<]*\)$/\1/p' | sort -u
}

# unpack PACKAGE ROOT
unpack() {
    dpkg-deb -x "$(compgen -G "$dir/pkg/${1}_*.deb" | tail -n 1)" "$2"
}

needed() {
    objdump -p "$1" | sed -n 's/^ *NEEDED *//p'
}

find_library() {
    find "$root/lib" "$root/lib64" "$root/usr/lib" -name "$1" 2>/dev/null | head -n 1
}

# take_modules VERSION: those above with all that they depend on, from the unpacked kernel
take_modules() {
    local file files
    rm -rf "$dir/devices"
    depmod -b "$dir/kernel" "$1"
    files=$(for file in "${modules[@]}"; do
        modprobe -d "$dir/kernel" -S "$1" --show-depends "$file" || exit 1
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u)
    for file in $files; do
        install -D -m 644 "$file" "$dir/devices${file#"$dir/kernel"}"
    done
    cp "$dir/kernel/lib/modules/$1"/modules.{builtin,builtin.modinfo,order} \
        "$dir/devices/lib/modules/$1/"
    depmod -b "$dir/devices" "$1"
}

fetch_kernel() {
    local package
    package=$(depends linux-image-amd64 | grep '^linux-image-' | head -n 1) || true
    [ -n "$package" ] || die "apt knows no kernel package behind linux-image-amd64"
    download "$package"
    rm -rf "$dir/kernel"
    unpack "$package" "$dir/kernel"
    cp "$dir"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
    take_modules "${package#linux-image-}"
    rm -rf "$dir/kernel"
    "$here/extract-vmlinux.sh" "$dir/vmlinuz" >"$dir/vmlinux.tmp"
    mv "$dir/vmlinux.tmp" "$dir/vmlinux"
    echo "${package#linux-image-}" >"$dir/kernel-version"
}

# fetch_programs TREE PACKAGE,PACKAGE... FILE...: programs of the packages, into TREE's usr/bin.
# A library's package is one of the direct dependencies of the package whose object needs it.
# Follow only those, so that what is merely loaded at run time (graphics drivers) stays away.
fetch_programs() {
    local file lib tree=$dir/$1 package packages todo=() found missing
    IFS=, read -ra packages <<<"$2"
    shift 2
    rm -rf "$root" "$tree"
    mkdir -p "$tree/usr/bin" "$tree/$libdir" "$tree/lib64"
    download "${packages[@]}"
    for package in "${packages[@]}"; do
        unpack "$package" "$root"
    done
    for file in "$@"; do
        install -m 755 "$root/$file" "$tree/usr/bin/"
        todo+=("$tree/usr/bin/${file##*/}")
    done
    while [ ${#todo[@]} -gt 0 ]; do
        missing=()
        found=()
        for file in "${todo[@]}"; do
            for lib in $(needed "$file"); do
                [ ! -e "$tree/$libdir/$lib" ] || continue
                if [ -n "$(find_library "$lib")" ]; then
                    install -m 755 "$(find_library "$lib")" "$tree/$libdir/$lib"
                    found+=("$tree/$libdir/$lib")
                else
                    missing+=("$lib")
                fi
            done
        done
        if [ ${#missing[@]} -eq 0 ]; then
            todo=("${found[@]}")
            continue
        fi
        todo+=("${found[@]}")
        mapfile -t packages < <(depends "${packages[@]}" | grep -E '^(lib|zlib)')
        [ ${#packages[@]} -gt 0 ] || die "no package found for ${missing[*]}"
        download "${packages[@]}"
        for package in "${packages[@]}"; do
            unpack "$package" "$root"
        done
    done
    mv "$tree/$libdir/ld-linux-x86-64.so.2" "$tree/lib64/"
    rm -rf "$root"
}

fetch_xen_tools() {
    local bin=usr/lib/xen-4.17/bin
    fetch_programs xen-tools xen-utils-4.17,xen-utils-common \
        $bin/{xl,xentop,xenstored,xenconsoled,xen-init-dom0,xenpm,xenperf,xenlockprof} usr/sbin/xenhypfs
}

fetch_e2fsck() {
    download e2fsck-static
    unpack e2fsck-static "$root"
    install -D -m 755 "$root/sbin/e2fsck.static" "$dir/devices/sbin/e2fsck"
    rm -rf "$root"
}

fetch_all() {
    fetch_kernel && fetch_e2fsck && fetch_programs stress-ng stress-ng usr/bin/stress-ng &&
        fetch_xen_tools
}

stamp=$dir/${1:+$1/}stamp
rm -f "$stamp"
# Run in a child with -e of its own: in a condition the shell would ignore it.
if [ "${FETCH_ONCE:-}" = "" ] && ! FETCH_ONCE=1 "$0" "$dir" "$@"; then
    echo "fetch: apt's package lists may be missing or old, refreshing them" >&2
    "$here/deps.sh" --update
    FETCH_ONCE=1 "$0" "$dir" "$@"
elif [ "${FETCH_ONCE:-}" = 1 ]; then
    if [ $# -gt 0 ]; then fetch_programs "$@"; else fetch_all; fi
    touch "$stamp"
fi
