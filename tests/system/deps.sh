#!/bin/bash
# Install the Debian packages that building, running, testing and linting need: only those missing.
#   usage: deps.sh [--update]       --update: refresh apt's lists even if nothing is missing
set -euo pipefail

packages=(
    gcc libc6-dev binutils make         # build
    libxen-dev                          # Xen's public headers
    zlib1g-dev liblzma-dev libzstd-dev  # packed kernels, for the tools on Linux
    xenstore-utils python3-pyxs         # clients of the store
    newlib-source                       # the C library of our PV kernels
    clang clang-format clang-tidy cppcheck      # second compiler, lint
    libcunit1-dev                       # unit and system tests
    libclang-rt-14-dev                  # sanitizers and libFuzzer for tests/fuzz
    qemu-system-x86 ovmf                # the machine everything runs in; UEFI for it
    qemu-user                           # the stores as processes whose instructions are counted
    grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools   # grub-mkrescue
    busybox-static cpio gzip xz-utils kmod      # ramdisk; unpacking Debian's kernel
    mmdebstrap e2fsprogs fdisk          # a root file system of Debian's packages; disks
    tcc                                 # what Linux builds in tests/bench/linux
    gdb                                 # debugging by QEMU's stub
    zopfli                              # a smaller gzip of the image
    gnuplot-nox                         # pictures of the benchmark
)

die() {
    echo "deps: $*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root and no sudo. As root, run: apt-get update && apt-get install ${missing[*]}"
    fi
}

command -v dpkg-query >/dev/null || die "dpkg-query not found: this needs Debian 12"

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for p in "${packages[@]}"; do
    grep -qxF "installed $p" <<<"$installed" || missing+=("$p")
done

if [ "${1:-}" = --update ]; then
    as_root apt-get -q update || die "apt-get update failed"
fi
[ ${#missing[@]} -gt 0 ] || exit 0

echo "deps: installing ${missing[*]}"
[ "${1:-}" = --update ] || as_root apt-get -q update || die "apt-get update failed"
as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends "${missing[@]}" ||
    die "apt-get could not install: ${missing[*]}"
