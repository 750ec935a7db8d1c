# shellcheck shell=bash
# Debian packages: only what is missing is installed, and apt's lists are renewed only then. Needs lib/steps.sh.

# install_packages NAME...  A dependency may be written "this|that": either one serves.
install_packages() {
    local wanted missing=()
    for wanted in "$@"; do
        _has_package "$wanted" || missing+=("${wanted%%|*}")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" -eq 0 ] || fail "these Debian packages are missing and only root can install them: ${missing[*]}"
    say "    installing ${missing[*]}"
    run apt-get -q update
    run env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}"
}

# install_servers NAME...  The same, for programs that Debian would start at once and that are started here in another
# way: none of its services is started, nor those that run disturbed.
install_servers() {
    local policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then
        install_packages "$@"
    else
        at_exit "rm -f $policy"
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 0755 "$policy"
        install_packages "$@"
        rm -f "$policy"
    fi
}

_has_package() {
    local name
    for name in ${1//|/ }; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] && return 0
    done
    return 1
}
