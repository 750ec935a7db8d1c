#!/bin/sh
# What makes the Debian guest that nothing sets up at its first boot, after customize.sh: customize-plain.sh ROOT
set -eu
root=$1

# Nobody resolves names for it but the servers that it is told; and nobody can log in.
rm -f "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"
chroot "$root" passwd --quiet --lock root
chroot "$root" systemctl --quiet enable networking ssh-host-key.service
chroot "$root" systemctl --quiet disable systemd-networkd systemd-networkd-wait-online systemd-timesyncd 2>/dev/null || true
