#!/bin/sh
# What makes the Debian guest with cloud-init, after customize.sh: customize-cloud.sh ROOT
set -eu
root=$1

ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
chroot "$root" systemctl --quiet enable systemd-networkd systemd-resolved
# A guest without a card, or whose network gives no address, goes on all the same, and soon.
mkdir -p "$root/etc/systemd/system/systemd-networkd-wait-online.service.d"
cat >"$root/etc/systemd/system/systemd-networkd-wait-online.service.d/image.conf" <<END
[Service]
ExecStart=
ExecStart=-/lib/systemd/systemd-networkd-wait-online --any --timeout=20
END
