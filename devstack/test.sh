#!/bin/bash
# Sets up what the tests need on a fresh Debian 12, and runs them all; what CI runs.
#
#   devstack/test.sh [PYTEST-ARGUMENT...]      the last line is pytest's own, and so is the exit status
#
# The guests are kept below ${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}/guests.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
base=${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}
# shellcheck source=devstack/lib/steps.sh
. "$here/lib/steps.sh"
# shellcheck source=devstack/lib/packages.sh
. "$here/lib/packages.sh"
# shellcheck source=devstack/lib/host-packages.sh
. "$here/lib/host-packages.sh"
# shellcheck source=devstack/lib/venv.sh
. "$here/lib/venv.sh"
# shellcheck source=devstack/lib/daemons.sh
. "$here/lib/daemons.sh"
# shellcheck source=devstack/lib/libvirt.sh
. "$here/lib/libvirt.sh"
# shellcheck source=devstack/lib/servers.sh
. "$here/lib/servers.sh"
# shellcheck source=devstack/lib/test-servers.sh
. "$here/lib/test-servers.sh"

# The daemon has to work for a user of its own too; its tests run it as these.
make_users() {
    getent group injector >/dev/null || run groupadd --system injector
    getent passwd injector >/dev/null ||
        run useradd --system --gid injector --groups libvirt --no-create-home --home-dir /nonexistent injector
    getent passwd injector-test >/dev/null ||
        run useradd --system --user-group --groups injector,libvirt --no-create-home --home-dir /nonexistent injector-test
}

make_guests() {
    "$here/tiny-guest.sh" "$base/guests/tiny" | sed 's/^/    /'
    "$here/guest-image.sh" "$base/guests/debian" cloud plain selinux | sed 's/^/    /'
}

# Each tool's own report is what a reader needs, so it goes to the screen; and all of them speak before the step fails.
check() {
    say "    $1"
    "$@" || complaints="$complaints $1"
}

check_code() {
    cd "$checkout"
    PATH=$checkout/.venv/bin:$PATH
    complaints=
    check ruff check --quiet injector tests devstack
    check ruff format --check --quiet injector tests devstack
    check mypy
    check lint-imports --no-cache
    check shellcheck -x devstack/*.sh devstack/*/*.sh devstack/tiny-guest/* .ci/run
    [ -z "$complaints" ] || fail "these have something to say:$complaints"
}

root_only test.sh
mkdir -p "$base"
steps_begin test.sh "$base/log/test.log"
step 'Debian packages' 'see that "apt-get update" works and that the sources have Debian 12'
install -d -m 0711 "$base"
install -d -m 0755 "$base/etc" "$base/run" "$base/guests"
install_packages "${host_packages[@]}" "${test_packages[@]}"
install_servers "${server_packages[@]}"
make_users
step 'virtual environment' 'see that pip reaches its package index; "rm -rf .venv" starts anew'
make_venv "$checkout"
step 'style, types and imports' 'mend what is named above'
check_code
step 'faults in the decisions' 'a test is missing for each survivor named above, or an exclusion in tests/mutants/table.py is stale'
(cd "$checkout" && .venv/bin/python -m tests.mutants)
step 'guests' "read $base/guests/tiny/build.log and $base/guests/debian/build.log"
make_guests
step 'libvirt' "read $base/log/libvirtd.log"
# What this script starts it takes down again; an earlier first-boot.sh may need what it has started.
runs "$base/run/libvirtd.pid" libvirtd || at_exit "libvirt_down ${base@Q} >/dev/null"
libvirt_up "$base"
step 'servers' "read what the servers say: $base/servers/*/output"
test_servers_run "$base" || at_exit "test_servers_down ${base@Q} >/dev/null"
test_servers_up "$base"
step 'tests' 'the failures are named above'
export INJECTOR_TEST_GUESTS=$base/guests
eval "$(test_servers_env "$base")"
export INJECTOR_TEST_WORLDS=${INJECTOR_TEST_WORLDS-local postgresql}
cd "$checkout"
steps_say_no_more
# Two limits, so that a run ends with pytest's summary whatever hangs: no test begins after the first one, and at the
# second one pytest is interrupted. A worker that died is not replaced: xdist would give the next one the same test.
timeout -s INT -k 60 4300 env --default-signal=INT .venv/bin/python -m pytest -n 2 --dist loadfile \
    --no-loadscope-reorder --max-worker-restart=0 --session-timeout=4000 "$@"
