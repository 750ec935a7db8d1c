#!/bin/bash
# The servers that tests talk to: RabbitMQ, PostgreSQL and MariaDB of their own, on 127.0.0.1.
#
#   devstack/test-servers.sh up          those that run already are taken as they are
#   devstack/test-servers.sh down        ends them; what they hold stays
#   devstack/test-servers.sh env         prints how tests find them: eval "$(devstack/test-servers.sh env)"
#
# All of theirs is below ${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}/servers; ports from
# ${INJECTOR_DEVSTACK_SERVERS_PORT:-18700} on.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
base=${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}
# shellcheck source=devstack/lib/steps.sh
. "$here/lib/steps.sh"
# shellcheck source=devstack/lib/packages.sh
. "$here/lib/packages.sh"
# shellcheck source=devstack/lib/host-packages.sh
. "$here/lib/host-packages.sh"
# shellcheck source=devstack/lib/daemons.sh
. "$here/lib/daemons.sh"
# shellcheck source=devstack/lib/servers.sh
. "$here/lib/servers.sh"
# shellcheck source=devstack/lib/test-servers.sh
. "$here/lib/test-servers.sh"

root_only test-servers.sh
case ${1:-} in
up)
    install -d -m 0711 "$base"
    steps_begin test-servers.sh "$base/log/test-servers.log"
    step 'Debian packages' 'see that "apt-get update" works and that the sources have Debian 12'
    install_servers "${server_packages[@]}"
    step 'servers' "read what the servers say: $base/servers/*/output"
    test_servers_up "$base"
    steps_times
    ;;
down)
    steps_begin test-servers.sh "$base/log/test-servers.log"
    test_servers_down "$base"
    ;;
env) test_servers_env "$base" ;;
*)
    echo "usage: test-servers.sh up|down|env" >&2
    exit 2
    ;;
esac
