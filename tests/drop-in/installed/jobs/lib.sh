# Helpers of the jobs. Any command that fails ends the job.
set -eE
trap 'echo "failed: line $LINENO of the job: $BASH_COMMAND"' ERR

# say WHAT COMMAND...
check() {
    echo "check: $1"
    shift
    "$@"
}

# hosts_files: what the host has, with sums of what boots it and configures it. What any boot of any
# system leaves is not looked at.
hosts_files() {
    find / -xdev \( -path /run -o -path /tmp -o -path /proc -o -path /sys -o -path /dev \
        -o -path '/var/lib/dpkg' -o -path /var/log -o -path /var/cache -o -path /var/lib/systemd \
        -o -path /var/tmp -o -path /var/lib/dbus/machine-id -o -path /var/lib/files-before \) \
        -prune -o -print | LC_ALL=C sort
    find /boot /etc -xdev -type f ! -name grubenv ! -name machine-id ! -name '*ld.so.cache' \
        -exec md5sum {} + | LC_ALL=C sort
}

# entry ID: that menu entry of grub.cfg
entry() {
    awk -v id="'$1'" 'index($0, "menuentry ") && index($0, " " id " {") { on = 1 }
        on { print } on && /^\t*}/ { exit }' /boot/grub/grub.cfg
}

# kernel_is_unpacked VERSION: an ELF that says it is that kernel
kernel_is_unpacked() {
    [ "$(head -c 4 "/boot/xen-like/vmlinux-$1" | tail -c 3)" = ELF ] &&
        grep -qaF "Linux version $1 " "/boot/xen-like/vmlinux-$1"
}

# runs_on_ours VERSION: this machine is that kernel on our hypervisor
runs_on_ours() {
    [ "$(uname -r)" = "$1" ] && [ "$(cat /sys/hypervisor/type)" = xen ] &&
        grep -q xen-like /sys/hypervisor/version/extra
}
