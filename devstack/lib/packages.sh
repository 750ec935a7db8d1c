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

_has_package() {
    local name
    for name in ${1//|/ }; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" = installed ] && return 0
    done
    return 1
}
