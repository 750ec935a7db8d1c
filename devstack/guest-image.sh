#!/bin/bash
# Makes Debian guests from Debian's packages: whole-disk images as distributions publish theirs.
#
#   devstack/guest-image.sh OUTPUT_DIR [VARIANT...]     leaves these there, and vmlinuz and initrd of all of them:
#
#   cloud      disk.qcow2: with cloud-init; what is made when no variant is named
#   plain      plain.qcow2: without cloud-init or any other agent that sets a guest up; ifupdown makes its network
#   selinux    selinux.qcow2: the plain one with a SELinux policy on it, every file labelled; "security=selinux" on the
#              kernel's command line turns that on
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
# Installed once; each variant is a copy with its own packages added.
packages=(
    systemd systemd-sysv udev dbus libpam-systemd init iproute2 iputils-ping openssh-server qemu-guest-agent
    locales python3 ca-certificates less
    linux-image-cloud-amd64 initramfs-tools zstd grub2-common grub-pc-bin grub-efi-amd64-bin e2fsprogs
)
declare -A variant_packages=(
    [cloud]='systemd-resolved netplan.io cloud-init cloud-guest-utils sudo'
    [plain]='ifupdown'
    [selinux]='ifupdown selinux-policy-default'
)
declare -A files_of=([cloud]=cloud [plain]=plain [selinux]=plain)
declare -A disk_name=([cloud]=disk.qcow2 [plain]=plain.qcow2 [selinux]=selinux.qcow2)
declare -A command_line=([cloud]='' [plain]='' [selinux]=' security=selinux')
# What a partition table says of the root: cloud images of old say "Linux", newer ones "root of this architecture".
declare -A root_type=([cloud]=8300 [plain]=8304 [selinux]=8304)

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

make_base() {
    local sources root=$work/base
    mapfile -t sources < <(apt_sources)
    [ "${#sources[@]}" -gt 0 ] || fail "this host's apt has no sources"
    apt_options >"$work/apt.conf"
    run mmdebstrap --variant=minbase --format=directory --skip=cleanup/apt \
        --include="$(IFS=,; echo "${packages[*]}")" --aptopt="$work/apt.conf" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook="cp -R ${here@Q}/debian-guest/base/. \"\$1\"" \
        --customize-hook="rm -rf \"\$1\"/var/cache/apt/archives/*.deb" \
        "$suite" "$root" "${sources[@]}"
    root_uuid=$(cat /proc/sys/kernel/random/uuid)
    cp -L "$root/vmlinuz" "$work/vmlinuz"
    cp -L "$root/initrd.img" "$work/initrd"
    make_boot_loaders "$root"
}

# install_into ROOT PACKAGE...   With the lists that are in ROOT, and none of its services started.
install_into() {
    local root=$1
    shift
    { apt_options; printf 'Dir "%s";\nDir::State::status "%s";\nDPkg::Chroot-Directory "%s";\n' \
        "$root" "$root/var/lib/dpkg/status" "$root"; } >"$work/apt.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 0755 "$root/usr/sbin/policy-rc.d"
    # shellcheck disable=SC2016
    run env APT_CONFIG="$work/apt.conf" DEBIAN_FRONTEND=noninteractive unshare --mount sh -ec '
        mount -t proc proc "$1/proc"
        shift
        exec apt-get -q -y --no-install-recommends install "$@"' sh "$root" "$@"
    rm "$root/usr/sbin/policy-rc.d"
}

# make_root VARIANT   in $work/root, out of the base
make_root() {
    local variant=$1 root=$work/root files=$here/debian-guest/${files_of[$1]} wanted
    rm -rf --one-file-system "$root"
    cp -a --reflink=auto "$work/base" "$root"
    cp -R "$files/." "$root"
    read -ra wanted <<<"${variant_packages[$variant]}"
    install_into "$root" "${wanted[@]}"
    echo "UUID=$root_uuid / ext4 rw,discard,errors=remount-ro 0 1" >"$root/etc/fstab"
    cat >"$root/boot/grub/grub.cfg" <<END
# The first one; update-grub in the guest writes its own.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
search --no-floppy --fs-uuid --set=root $root_uuid
set default=0
set timeout=0
menuentry 'Debian GNU/Linux' {
    linux /vmlinuz root=UUID=$root_uuid ro console=tty0 console=ttyS0,115200${command_line[$variant]}
    initrd /initrd.img
}
END
    run "$here/debian-guest/customize.sh" "$root"
    run "$here/debian-guest/customize-$variant.sh" "$root"
}

# What grub-install would do, without asking the running system which disk that is: the loaders are made by the
# guest's own GRUB and find their files by partition number (BIOS) and file system id (EFI).
make_boot_loaders() {
    local root=$1
    mkdir -p "$root/boot/grub"
    cp -r "$root/usr/lib/grub/i386-pc" "$root/boot/grub/"
    echo "search.fs_uuid $root_uuid root
set prefix=(\$root)/boot/grub" >"$root/boot/grub/efi-start.cfg"
    run chroot "$root" grub-mkimage -O i386-pc -p '(,gpt1)/boot/grub' -o /boot/grub/core.img \
        biosdisk part_gpt ext2 search search_fs_uuid
    run chroot "$root" grub-mkimage -O x86_64-efi -p /boot/grub -c /boot/grub/efi-start.cfg -o /boot/grub/bootx64.efi \
        part_gpt ext2 fat search search_fs_uuid normal configfile linux serial terminal echo test boot
    mv "$root/boot/grub/core.img" "$root/boot/grub/bootx64.efi" "$work/"
    cp "$root/usr/lib/grub/i386-pc/boot.img" "$work/boot.img"
    rm "$root/boot/grub/efi-start.cfg"
    # boot.img has to know the sector where core.img starts, and core.img's first sector where the rest of it is
    # (offsets from GRUB's boot.h and diskboot.h).
    little_endian "${bios_boot[0]}" 8 | patch "$work/boot.img" 92
    little_endian $((bios_boot[0] + 1)) 8 | patch "$work/core.img" 500
    run truncate -s $(((efi_system[1] - efi_system[0] + 1) * 512)) "$work/esp"
    run mkfs.vfat -n ESP "$work/esp"
    run mmd -i "$work/esp" ::EFI ::EFI/BOOT
    run mcopy -i "$work/esp" "$work/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
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

# make_disk VARIANT   out of $work/root
make_disk() {
    local variant=$1 disk=$work/disk.raw
    rm -f "$disk"
    truncate -s $((disk_end * 512)) "$disk"
    run sgdisk --clear \
        --new=14:"${bios_boot[0]}:${bios_boot[1]}" --typecode=14:ef02 \
        --new=15:"${efi_system[0]}:${efi_system[1]}" --typecode=15:ef00 \
        --new=1:"$root_start:$root_end" --typecode=1:"${root_type[$variant]}" "$disk"
    run mke2fs -q -t ext4 -L root -U "$root_uuid" -m 1 -O ^metadata_csum_seed,^orphan_file \
        -d "$work/root" -E "offset=$((root_start * 512))" "$disk" "$(((root_end - root_start + 1) / 2))k"
    write_at "$disk" "${efi_system[0]}" <"$work/esp"
    # The partition table in sector 0 begins at byte 440.
    head -c 440 "$work/boot.img" | write_at "$disk" 0
    write_at "$disk" "${bios_boot[0]}" <"$work/core.img"
    run qemu-img convert -f raw -O qcow2 -c -o compression_type=zstd "$disk" "$work/${disk_name[$variant]}"
}

[ $# -ge 1 ] || { echo "usage: guest-image.sh OUTPUT_DIR [VARIANT...]" >&2; exit 2; }
root_only guest-image.sh
mkdir -p "$1"
output=$(readlink -f "$1")
shift
[ $# -gt 0 ] || set -- cloud
products=(vmlinuz initrd)
for variant; do
    [ -n "${disk_name[$variant]:-}" ] || { echo "guest-image.sh: no variant is called $variant" >&2; exit 2; }
    products+=("${disk_name[$variant]}")
done
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
make_base
for variant; do
    step "Debian guest: make the disk of the $variant one" 'see that there are 4 GB of room on the disk, and read the log'
    make_root "$variant"
    make_disk "$variant"
done
# Those that were not asked for now are of an older kernel.
(cd "$output" && rm -f -- "${disk_name[@]}")
guest_publish "$work" "$output" "$digest" "${products[@]}"
say "Debian guest: in $output"
steps_times
