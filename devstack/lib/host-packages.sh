# shellcheck shell=bash disable=SC2034  # read by the scripts that source this
# The Debian packages that running injector takes, and those that its tests take besides.

# What libvirt only recommends is named where a guest needs it: dnsmasq for libvirt's networks, iptables for their rules.
host_packages=(
    libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils python3-libvirt python3-venv
    dnsmasq-base iproute2 iptables openssh-client procps util-linux
)

# The readers that judge drives and file systems, and firmware for the guests that boot by UEFI.
test_packages=(genisoimage libxml2-utils e2fsprogs mtools dosfstools ovmf shellcheck)
