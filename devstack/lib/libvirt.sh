# shellcheck shell=bash
# libvirtd and virtlogd: by systemd where it is in charge, by hand where it is not. Needs lib/steps.sh, lib/daemons.sh.

# Debian lets the group "libvirt" in by polkit, which asks for a system bus; a machine without systemd has none.
_libvirtd_conf='unix_sock_group = "libvirt"
unix_sock_ro_perms = "0777"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"'

# libvirt_up BASE   Those that run already are taken as they are.
libvirt_up() {
    local base=$1
    _give_kvm_to_its_group
    ! _libvirt_answers || return 0
    if [ -d /run/systemd/system ]; then
        run systemctl start virtlogd.socket libvirtd.socket libvirtd.service
    else
        mkdir -p "$base/etc" "$base/run" "$base/log" /run/libvirt
        printf '%s\nlog_outputs = "3:file:%s"\n' "$_libvirtd_conf" "$base/log/libvirtd.log" >"$base/etc/libvirtd.conf"
        runs /run/virtlogd.pid virtlogd || runs "$base/run/virtlogd.pid" virtlogd ||
            run virtlogd -d -p "$base/run/virtlogd.pid"
        run libvirtd -d -p "$base/run/libvirtd.pid" -f "$base/etc/libvirtd.conf"
    fi
    wait_for 30 _libvirt_answers || fail "libvirtd does not answer on its socket"
}

# libvirt_down BASE   Only what libvirt_up started.
libvirt_down() {
    stop_by_pid_file "$1/run/libvirtd.pid" libvirtd 10
    stop_by_pid_file "$1/run/virtlogd.pid" virtlogd 10
}

# What udev does where it runs. libvirtd tries QEMU as root, finds KVM, then sees that the user of its guests may not
# use it, and tries again: with a device of root's alone every define costs ten seconds.
_give_kvm_to_its_group() {
    [ ! -d /run/systemd/system ] && [ -c /dev/kvm ] && getent group kvm >/dev/null || return 0
    if [ "$(stat -c %G:%a /dev/kvm)" = root:600 ]; then
        run chgrp kvm /dev/kvm
        run chmod 0660 /dev/kvm
    fi
}

_libvirt_answers() { timeout 10 virsh --quiet --connect qemu:///system version >/dev/null 2>&1; }
