#!/bin/bash
# Makes the tiny guest: Debian's cloud kernel and a busybox that tells what is on its disks, up in seconds.
#
#   devstack/tiny-guest.sh OUTPUT_DIR      leaves vmlinuz, initrd, root.qcow2 and partition.qcow2 there
#
# The kernel comes out of its package; none is installed on this host. tiny-guest/init says what the guest prints.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=devstack/lib/steps.sh
. "$here/lib/steps.sh"
# shellcheck source=devstack/lib/packages.sh
. "$here/lib/packages.sh"
# shellcheck source=devstack/lib/guests.sh
. "$here/lib/guests.sh"

# There is no AHCI driver in this kernel; ext4 is built in. "button" and "evdev" are the power button's.
modules='virtio_pci virtio_blk virtio_scsi ata_piix sd_mod sr_mod cdrom isofs nls_utf8 nls_ascii nls_cp437 vfat
    virtio_net virtio_console virtio-rng button evdev'
products='vmlinuz initrd root.qcow2 partition.qcow2'

get_kernel() {
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
    if [ -z "$package" ]; then
        run apt-get -q update
        package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
    fi
    [ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64"
    cd "$work"
    # apt's own user may not write below a private directory; what is fetched here is checked all the same.
    run apt-get -q download -o APT::Sandbox::User=root "$package" ||
        { run apt-get -q update && run apt-get -q download -o APT::Sandbox::User=root "$package"; }
    run dpkg-deb -x "$package"_*.deb kernel
    version=${package#linux-image-}
    cp "kernel/boot/vmlinuz-$version" vmlinuz
}

# Prints "name path" for a module after all those it needs.
in_loading_order() {
    local path needed
    path=$(awk -F: -v m="/$1.ko" 'substr($1, length($1) - length(m) + 1) == m {print $1}' "$tree/modules.dep")
    if [ -z "$path" ]; then
        grep -q "/$1.ko$" "$tree/modules.builtin" && return 0
        fail "kernel $version has no module $1"
    fi
    # depmod lists what a module needs with the deepest last.
    for needed in $(awk -F': *' -v p="$path" '$1 == p {print $2}' "$tree/modules.dep" | tr ' ' '\n' | tac) "$path"; do
        echo "$needed"
    done
}

make_initrd() {
    local root=$work/initrd.d name applet
    tree=$work/kernel/lib/modules/$version
    mkdir -p "$root"/{bin,dev,etc/acpi/PWRF,media,mnt,modules,proc,sys,tmp}
    cp /bin/busybox "$root/bin/busybox"
    for applet in $(/bin/busybox --list); do
        [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"
    done
    install -m 0755 "$here/tiny-guest/init" "$root/init"
    install -m 0755 "$here/tiny-guest/lease" "$root/bin/lease"
    printf '#!/bin/busybox sh\nexec /bin/poweroff -f\n' >"$root/etc/acpi/PWRF/00000080"
    chmod 0755 "$root/etc/acpi/PWRF/00000080"
    run depmod -b "$work/kernel" "$version"
    for name in $modules; do
        in_loading_order "$name"
    done | awk '!seen[$0]++' >"$work/order"
    while read -r name; do
        cp "$tree/$name" "$root/modules/"
        name=$(basename "$name" .ko)
        if [ "$name" = scsi_mod ]; then echo "$name scan=sync"; else echo "$name"; fi
    done <"$work/order" >"$root/modules/order"
    (cd "$root" && find . | LC_ALL=C sort | /bin/busybox cpio -o -H newc -R 0:0) 2>>"$DEVSTACK_LOG" |
        gzip -n -6 >"$work/initrd"
}

# The guest lives in its ramdisk; an image record wants a disk to make overlays from all the same.
make_root_disk() {
    truncate -s 16M "$work/root.raw"
    run mke2fs -q -t ext4 -L tiny-root "$work/root.raw"
    run qemu-img convert -f raw -O qcow2 -c "$work/root.raw" "$work/root.qcow2"
}

# A root file system that has what a distribution's has, as far as an injection looks: for partition injection.
make_partition_disk() {
    local root=$work/root.d disk=$work/partition.raw name
    cp -R "$here/tiny-root" "$root"
    mkdir -p "$root"/{bin,dev,etc/network,home,lib,proc,root,run,sbin,sys,tmp,usr/bin,usr/lib,var}
    chmod 0700 "$root/root"
    chmod 1777 "$root/tmp"
    chmod 0640 "$root/etc/shadow"
    # What it starts and what it has for its network is told by these.
    cp /bin/busybox "$root/bin/busybox"
    for name in bin/sh sbin/init sbin/ifup; do
        ln -s /bin/busybox "$root/$name"
    done
    truncate -s 66M "$disk"
    # "Linux root (x86-64)" of the discoverable partitions.
    echo 'start=1MiB, size=64MiB, type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709' | run sfdisk -q --label gpt "$disk"
    run mke2fs -q -t ext4 -L tiny-root -d "$root" -E offset=1048576 "$disk" 64M
    # Whoever made it: all of it is root's.
    (cd "$root" && find . -printf 'sif "/%P" uid 0\nsif "/%P" gid 0\n'; echo 'sif /etc/shadow gid 42') |
        run debugfs -w -f - "$disk?offset=1048576"
    run qemu-img convert -f raw -O qcow2 -c "$disk" "$work/partition.qcow2"
}

[ $# -eq 1 ] || { echo "usage: tiny-guest.sh OUTPUT_DIR" >&2; exit 2; }
mkdir -p "$1"
output=$(readlink -f "$1")
guest_lock "$output"
mapfile -t inputs < <(find "$here/tiny-guest" "$here/tiny-root" -type f | LC_ALL=C sort)
digest=$(inputs_digest "$0" "$here/lib/guests.sh" "${inputs[@]}")
# shellcheck disable=SC2086
if guest_is_current "$output" "$digest" $products; then
    echo "tiny guest: already in $output"
    exit 0
fi
steps_begin tiny-guest.sh "$output/build.log"
work=$(mktemp -d "$output/.build.XXXXXX")
at_exit "rm -rf ${work@Q}"

step 'tiny guest: what is needed to make it' 'see that "apt-get update" works on this host, then run this again'
install_packages busybox-static kmod qemu-utils e2fsprogs fdisk
step 'tiny guest: fetch the cloud kernel' 'see that "apt-get download linux-image-cloud-amd64" works, then run this again'
get_kernel
step 'tiny guest: build its ramdisk and disks' 'see that there is room on the disk and read the log'
make_initrd
make_root_disk
make_partition_disk
# shellcheck disable=SC2086
guest_publish "$work" "$output" "$digest" $products
say "tiny guest: in $output"
