#!/bin/bash
# The services as a cloud runs them, on one machine: RabbitMQ, PostgreSQL, an api, two dispatchers and some computes.
#
#   devstack/rig.sh up [--computes N]  starts what does not run yet (3 computes, unless told otherwise); boots nothing
#   devstack/rig.sh status             what runs, and which hosts and servers the api knows
#   devstack/rig.sh down               deletes the servers, ends everything and removes all but the logs
#
# Everything it makes lies below ${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}/rig; ports are on 127.0.0.1, from
# ${INJECTOR_DEVSTACK_RIG_PORT:-18800} on.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
devstack=${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}
base=$devstack/rig
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
# shellcheck source=devstack/lib/injector.sh
. "$here/lib/injector.sh"
# shellcheck source=devstack/lib/rig.sh
. "$here/lib/rig.sh"

up() {
    local computes=$1
    step 'Debian packages' 'see that "apt-get update" works and that the sources have Debian 12'
    rig_make_room
    install_packages "${host_packages[@]}"
    install_servers "${server_packages[@]}"
    step 'virtual environment' 'see that pip reaches its package index; "rm -rf .venv" starts anew'
    make_venv "$checkout"
    step 'tiny guest' "read $devstack/guests/tiny/build.log"
    "$here/tiny-guest.sh" "$devstack/guests/tiny" | sed 's/^/    /'
    step 'libvirt' "read $base/log/libvirtd.log"
    libvirt_up "$base"
    step 'RabbitMQ and PostgreSQL' "read $base/rabbit/output and $base/postgresql/output"
    rig_servers_up
    step 'services' "read $base/log/*.log; if a port is taken, set INJECTOR_DEVSTACK_RIG_PORT"
    rig_services_up "$computes"
    step 'register image, key pair, flavor and network' "read $base/log/api.log"
    rig_register
    say ''
    steps_times
    say ''
    say 'Boot a server, and see where it runs and what it says:'
    say "    export INJECTOR_ENDPOINT=unix:$base/api.sock PATH=$checkout/.venv/bin:\$PATH"
    say '    injector boot --image tiny --flavor tiny --key-name rig --nic net-name=rig --wait guest first'
    say '    injector list --long; injector console-log first; injector host list'
    say "Logs: $base/log.  Take everything down again: $0 down"
}

down() {
    step 'servers' "read $base/log/*.log"
    rig_delete_guests
    step 'services' "read $base/log/*.log"
    rig_services_down
    step 'what guests have left' 'virsh list --all; virsh destroy, virsh undefine'
    rig_remove_guests
    step 'RabbitMQ, PostgreSQL, libvirtd' "read $base/log/rig.log"
    rabbit_down "$base/rabbit"
    postgresql_down "$base/postgresql"
    libvirt_down "$base"
    rig_remove_all
    say "Everything of the rig is gone; its logs are in $base/log."
}

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; }

command=${1:-}
computes=3
case "$#:$command:${2:-}:${3:-}" in
1:up:: | 1:down:: | 1:status::) ;;
3:up:--computes:[1-9] | 3:up:--computes:[1-9][0-9]) computes=$3 ;;
1:-h:: | 1:--help::)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
root_only rig.sh
if [ "$command" = status ]; then
    rig_status
    exit
fi
mkdir -p "$base"
steps_begin rig.sh "$base/log/rig.log"
if [ "$command" = up ]; then up "$computes"; else down; fi
