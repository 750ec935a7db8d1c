# shellcheck shell=bash
# The tests' own servers: one of each kind below BASE/servers. Needs lib/servers.sh.

_test_port=${INJECTOR_DEVSTACK_SERVERS_PORT:-18700}

test_servers_up() {
    rabbit_up "$1/servers/rabbit" "$_test_port"
    postgresql_up "$1/servers/postgresql" "$((_test_port + 10))"
    mariadb_up "$1/servers/mariadb" "$((_test_port + 20))"
}

test_servers_run() {
    rabbit_runs "$1/servers/rabbit" && postgresql_runs "$1/servers/postgresql" && mariadb_runs "$1/servers/mariadb"
}

test_servers_down() {
    rabbit_down "$1/servers/rabbit"
    postgresql_down "$1/servers/postgresql"
    mariadb_down "$1/servers/mariadb"
}

# test_servers_env BASE   for a shell to evaluate; tests/servers.py reads it
test_servers_env() {
    echo "export INJECTOR_TEST_RABBIT=$(rabbit_url "$1/servers/rabbit" "$_test_port")"
    echo "export INJECTOR_TEST_RABBIT_MANAGEMENT=$(rabbit_management_url "$1/servers/rabbit" "$_test_port")"
    echo "export INJECTOR_TEST_POSTGRESQL=$(postgresql_url "$1/servers/postgresql" "$((_test_port + 10))")"
    echo "export INJECTOR_TEST_MARIADB=$(mariadb_url "$1/servers/mariadb" "$((_test_port + 20))")"
}
