#!/bin/sh
# What makes the plain Debian guest one with SELinux: customize-selinux.sh ROOT
set -eu
root=$1

"$(dirname "$0")/customize-plain.sh" "$root"
cat >"$root/etc/selinux/config" <<END
SELINUX=enforcing
SELINUXTYPE=default
END
# Last: whatever is made from here on has no label. setfiles goes through /proc/self/fd.
# shellcheck disable=SC2016
unshare --mount sh -ec '
    mount -t proc proc "$1/proc"
    exec chroot "$1" setfiles -F -e /proc /etc/selinux/default/contexts/files/file_contexts /' sh "$root"
