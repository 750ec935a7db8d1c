# shellcheck shell=bash disable=SC2034  # read by the scripts that source this
# The Debian packages that running injector takes, those that its tests take besides, and the
# servers that many hosts share.

# What libvirt only recommends is named where a guest needs it: dnsmasq for libvirt's networks, iptables for their rules.
host_packages=(
    libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils python3-libvirt python3-venv
    dnsmasq-base iproute2 iptables openssh-client procps util-linux e2fsprogs python3-libnbd
)

# The readers that judge drives and file systems; firmware for the guests that boot by UEFI; a wrong clock; what makes
# guests' disks; libguestfs, and a kernel for its appliance.
test_packages=(
    genisoimage libxml2-utils mtools dosfstools ovmf shellcheck python3-selinux faketime
    fdisk xfsprogs btrfs-progs squashfs-tools
    python3-guestfs libguestfs-xfs linux-image-cloud-amd64
)

# MariaDB's "core" is the whole server without the service; what makes its first database needs the clients' as well.
server_packages=(rabbitmq-server postgresql mariadb-server-core mariadb-client-core)
