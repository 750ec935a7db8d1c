#!/bin/bash
# Makes the Debian guest from Debian's packages: a whole-disk image as distributions publish theirs, cloud-init and all.
#
#   devstack/guest-image.sh OUTPUT_DIR     leaves disk.qcow2, and vmlinuz and initrd of the same guest, there
#
# GPT with Debian's own numbering: 1 root (ext4), 14 BIOS boot, 15 EFI system. No loop device is used, no program of
# the host's kernel sees the file systems, and apt is used as this host has it set up.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
# shellcheck source=devstack/lib/steps.sh
. "$here/lib/steps.sh"
# shellcheck source=devstack/lib/packages.sh
. "$here/lib/packages.sh"
# shellcheck source=devstack/lib/guests.sh
. "$here/lib/guests.sh"

suite=bookworm
packages=(
    systemd systemd-sysv udev dbus libpam-systemd init systemd-resolved netplan.io iproute2 iputils-ping
    cloud-init cloud-guest-utils openssh-server qemu-guest-agent locales sudo python3 ca-certificates less
    linux-image-cloud-amd64 initramfs-tools zstd grub2-common grub-pc-bin grub-efi-amd64-bin e2fsprogs
)
products=(disk.qcow2 vmlinuz initrd)

# In sectors of 512 bytes.
disk_end=$((2 * 1024 * 1024 * 2))
bios_boot=(2048 8191)
efi_system=(8192 40959)
root_start=40960
root_end=$((disk_end - 2048 - 1))

# The files of this host's apt that name sources; comments alone make none.
apt_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if [ -e "$file" ] && grep -qE '^(deb |Types:)' "$file"; then echo "$file"; fi
    done
}

# mmdebstrap gives apt a configuration of its own; proxies, certificates and credentials have to be handed on.
apt_options() {
    apt-config dump | grep '^Acquire::'
    echo 'Dir::Etc::netrc "/etc/apt/auth.conf";'
    echo 'Dir::Etc::netrcparts "/etc/apt/auth.conf.d/";'
    # apt's own user may not write below a private directory.
    echo 'APT::Sandbox::User "root";'
}

make_root() {
    local sources
    mapfile -t sources < <(apt_sources)
    [ "${#sources[@]}" -gt 0 ] || fail "this host's apt has no sources"
    apt_options >"$work/apt.conf"
    run mmdebstrap --variant=minbase --format=directory \
        --include="$(IFS=,; echo "${packages[*]}")" --aptopt="$work/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook="cp -a ${here@Q}/debian-guest/tree/. \"\$1\"" \
        --essential-hook="chown -R 0:0 \"\$1/etc/cloud\" \"\$1/etc/default\" \"\$1/etc/initramfs-tools\"" \
        --customize-hook="${here@Q}/debian-guest/customize.sh \"\$1\"" \
        "$suite" "$work/root" "${sources[@]}"
    root_uuid=$(cat /proc/sys/kernel/random/uuid)
    cat >"$work/root/etc/fstab" <<END
UUID=$root_uuid / ext4 rw,discard,errors=remount-ro 0 1
END
    cp -L "$work/root/vmlinuz" "$work/vmlinuz"
    cp -L "$work/root/initrd.img" "$work/initrd"
}

# What grub-install would do, without asking the running system which disk that is: the loaders are made by the
# guest's own GRUB and find their files by partition number (BIOS) and file system id (EFI).
make_boot_loaders() {
    local root=$work/root
    mkdir -p "$root/boot/grub"
    cp -r "$root/usr/lib/grub/i386-pc" "$root/boot/grub/"
    cat >"$root/boot/grub/grub.cfg" <<END
# The first one; update-grub in the guest writes its own.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
search --no-floppy --fs-uuid --set=root $root_uuid
set default=0
set timeout=0
menuentry 'Debian GNU/Linux' {
    linux /vmlinuz root=UUID=$root_uuid ro console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
END
    echo "search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub" >"$root/boot/grub/efi-start.cfg"
    run chroot "$root" grub-mkimage -O i386-pc -p '(,gpt1)/boot/grub' -o /boot/grub/core.img \
        biosdisk part_gpt ext2 search search_fs_uuid
    run chroot "$root" grub-mkimage -O x86_64-efi -p /boot/grub -c /boot/grub/efi-start.cfg -o /boot/grub/bootx64.efi \
        part_gpt ext2 fat search search_fs_uuid normal configfile linux serial terminal echo test boot
    mv "$root/boot/grub/core.img" "$root/boot/grub/bootx64.efi" "$work/"
    cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/boot.img"
    rm "$root/boot/grub/efi-start.cfg"
}

# little_endian VALUE BYTES
little_endian() {
    local value=$1 i
    for ((i = 0; i < $2; i++)); do
        # shellcheck disable=SC2059
        printf "\\x$(printf %02x $((value >> (8 * i) & 255)))"
    done
}

# write_at FILE SECTOR < BYTES  into the disk, which keeps its length
write_at() { dd of="$1" bs=512 seek="$2" conv=notrunc status=none; }

# patch FILE OFFSET < BYTES
patch() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

make_disk() {
    local disk=$work/disk.raw
    truncate -s $((disk_end * 512)) "$disk"
    run sgdisk --clear \
        --new=14:"${bios_boot[0]}:${bios_boot[1]}" --typecode=14:ef02 \
        --new=15:"${efi_system[0]}:${efi_system[1]}" --typecode=15:ef00 \
        --new=1:"$root_start:$root_end" --typecode=1:8300 "$disk"
    run mke2fs -q -t ext4 -L root -U "$root_uuid" -m 1 -O ^metadata_csum_seed,^orphan_file \
        -d "$work/root" -E "offset=$((root_start * 512))" "$disk" "$(((root_end - root_start + 1) / 2))k"
    run truncate -s $(((efi_system[1] - efi_system[0] + 1) * 512)) "$work/esp"
    run mkfs.vfat -n ESP "$work/esp"
    run mmd -i "$work/esp" ::EFI ::EFI/BOOT
    run mcopy -i "$work/esp" "$work/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
    write_at "$disk" "${efi_system[0]}" <"$work/esp"
    # boot.img has to know the sector where core.img starts, and core.img's first sector where the rest of it is
    # (offsets from GRUB's boot.h and diskboot.h). The partition table in sector 0 begins at byte 440.
    little_endian "${bios_boot[0]}" 8 | patch "$work/boot.img" 92
    little_endian $((bios_boot[0] + 1)) 8 | patch "$work/core.img" 500
    head -c 440 "$work/boot.img" | write_at "$disk" 0
    write_at "$disk" "${bios_boot[0]}" <"$work/core.img"
    run qemu-img convert -f raw -O qcow2 -c "$disk" "$work/disk.qcow2"
}

[ $# -eq 1 ] || { echo "usage: guest-image.sh OUTPUT_DIR" >&2; exit 2; }
root_only guest-image.sh
mkdir -p "$1"
output=$(readlink -f "$1")
guest_lock "$output"
mapfile -t inputs < <(find "$here/debian-guest" -type f | LC_ALL=C sort)
digest=$(inputs_digest "$0" "$here/lib/guests.sh" "${inputs[@]}")
if guest_is_current "$output" "$digest" "${products[@]}"; then
    echo "Debian guest: already in $output"
    exit 0
fi
steps_begin guest-image.sh "$output/build.log"
work=$(mktemp -d "$output/.build.XXXXXX")
chmod 0755 "$work"
at_exit "rm -rf --one-file-system ${work@Q}"

step 'Debian guest: what is needed to make it' 'see that "apt-get update" works on this host, then run this again'
install_packages mmdebstrap gdisk e2fsprogs dosfstools mtools qemu-utils
step 'Debian guest: install Debian into a directory' \
    "see that this host's apt has sources with Debian's $suite, and that they can be reached"
make_root
step 'Debian guest: make its disk' 'see that there are 4 GB of room on the disk, and read the log'
make_boot_loaders
make_disk
guest_publish "$work" "$output" "$digest" "${products[@]}"
say "Debian guest: in $output"
