#!/bin/sh
# The last touches to the root file system of every Debian guest, before it becomes an image: customize.sh ROOT
set -eu
root=$1

# A clean first boot is one that was never booted: the machine makes its own identity.
: >"$root/etc/machine-id"
rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" "$root/var/lib/systemd/random-seed"
ln -s /etc/machine-id "$root/var/lib/dbus/machine-id"

echo debian >"$root/etc/hostname"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
echo 'LANG=C.UTF-8' >"$root/etc/default/locale"

chroot "$root" systemctl --quiet enable serial-getty@ttyS0.service ssh
# Work for a machine that lives for months: in a guest that was just born it only slows the boot.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer man-db.timer dpkg-db-backup.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-pstore.service \
    systemd-binfmt.service proc-sys-fs-binfmt_misc.automount sys-kernel-debug.mount sys-kernel-tracing.mount \
    dev-hugepages.mount

# Nothing of the host that made the image stays in it: neither its apt's options nor its caches.
rm -f "$root/etc/apt/apt.conf.d/99mmdebstrap"
rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
    "$root"/var/log/apt "$root"/var/log/dpkg.log "$root"/var/log/alternatives.log "$root"/var/log/bootstrap.log
mkdir -p "$root/var/lib/apt/lists/partial"
