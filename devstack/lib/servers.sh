# shellcheck shell=bash
# RabbitMQ, PostgreSQL and MariaDB out of Debian's packages, as servers of our own: each has its own directory, ports on
# 127.0.0.1, account "injector" and random password; an installed service of the same program is left alone. They run
# as a user of their own, without systemd. Needs lib/steps.sh and lib/daemons.sh.
#
#   rabbit_up DIR PORT        AMQP on PORT, its management on PORT+1; PORT+2 and PORT+3 are between Erlang's nodes
#   postgresql_up DIR PORT
#   mariadb_up DIR PORT
#   KIND_down DIR             a clean end; the data stay, and KIND_up goes on with them
#   KIND_kill DIR             kill -9; KIND_up goes on with what had been written
#   KIND_runs DIR
#   KIND_url DIR PORT         for oslo.messaging or SQLAlchemy, with the password, without virtual host or database
#   rabbit_management_url DIR PORT
#
# What has been committed survives KIND_kill, not a crash of the machine: nothing here waits for the disk.

servers_user=injector-servers

make_servers_user() {
    getent passwd "$servers_user" >/dev/null ||
        run useradd --system --user-group --no-create-home --home-dir /nonexistent "$servers_user"
}

rabbit_up() {
    local dir=$1 port=$2 conf=$1/rabbitmq.conf
    ! rabbit_runs "$dir" || return 0
    _server_directory "$dir" "$((port + 1))"
    _server_file "$conf" <<END
listeners.tcp.1 = 127.0.0.1:$port
management.tcp.ip = 127.0.0.1
management.tcp.port = $((port + 1))
default_user = injector
default_pass = $(_server_password "$dir")
default_user_tags.administrator = true
disk_free_limit.absolute = 100MB
log.file.level = info
END
    _server_file "$dir/advanced.config" <<<'[{ra, [{wal_sync_method, none}]}].'
    _server_file "$dir/plugins" <<<'[rabbitmq_management].'
    # Two of these at once must not meet, nor an installed one: each has its own epmd, and its name has its port.
    if ! runs "$dir/epmd.pid" epmd; then
        _server_start "$dir" epmd.pid epmd -port "$((port + 3))" -address 127.0.0.1
    fi
    # RUNNING_UNDER_SYSTEMD: the script becomes the server, whose pid is then known; "-injector" is for rabbit_runs, as
    # the script alone would not name DIR. Erlang's schedulers wait for work by spinning unless told otherwise.
    _server_start "$dir" pid env \
        RUNNING_UNDER_SYSTEMD=yes RABBITMQ_NODENAME="injector-$port@localhost" RABBITMQ_CONF_ENV_FILE="$dir/no-such-file" \
        RABBITMQ_CONFIG_FILE="$conf" \
        RABBITMQ_ADVANCED_CONFIG_FILE="$dir/advanced.config" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" \
        RABBITMQ_MNESIA_BASE="$dir/data" RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_PID_FILE="$dir/data/pid" \
        RABBITMQ_DIST_PORT="$((port + 2))" ERL_EPMD_PORT="$((port + 3))" ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS='+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}' \
        /usr/lib/rabbitmq/bin/rabbitmq-server -injector "$dir"
    # Management listens last.
    _server_wait rabbit "$dir" _listens "$((port + 1))"
}

rabbit_runs() { runs "$1/pid" "$1"; }
rabbit_down() {
    stop_by_pid_file "$1/pid" "$1" 30
    stop_by_pid_file "$1/epmd.pid" epmd 5
}
rabbit_kill() { stop_by_pid_file "$1/pid" "$1" 5 KILL; }
rabbit_url() { echo "rabbit://injector:$(cat "$1/password")@127.0.0.1:$2/"; }
rabbit_management_url() { echo "http://injector:$(cat "$1/password")@127.0.0.1:$(($2 + 1))/"; }

postgresql_up() {
    local dir=$1 port=$2 programs
    ! postgresql_runs "$dir" || return 0
    _server_directory "$dir" "$port"
    programs=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    if [ ! -e "$dir/data/PG_VERSION" ]; then
        _server_password "$dir" | _server_file "$dir/initial-password"
        run _as_server "$dir" "$programs/initdb" --no-sync --encoding=UTF8 --locale=C.UTF-8 --auth=scram-sha-256 \
            --username=injector --pwfile="$dir/initial-password" --pgdata="$dir/data"
        rm "$dir/initial-password"
    fi
    # Of one that was killed; its pid may be another's by now, and then this one would not start.
    rm -f "$dir/data/postmaster.pid"
    _server_start "$dir" pid "$programs/postgres" -D "$dir/data" -c listen_addresses=127.0.0.1 -c port="$port" \
        -c unix_socket_directories= -c max_connections=300 -c fsync=off -c full_page_writes=off
    _server_wait postgresql "$dir" "$programs/pg_isready" --host=127.0.0.1 --port="$port"
}

postgresql_runs() { runs "$1/pid" "$1"; }
# INT ends the sessions there are; TERM would wait for them.
postgresql_down() { stop_by_pid_file "$1/pid" "$1" 30 INT; }
postgresql_kill() { stop_by_pid_file "$1/pid" "$1" 5 KILL; }
postgresql_url() { echo "postgresql+psycopg://injector:$(cat "$1/password")@127.0.0.1:$2/"; }

mariadb_up() {
    local dir=$1 port=$2 password
    ! mariadb_runs "$dir" || return 0
    _server_directory "$dir" "$port"
    if [ ! -e "$dir/data/.made" ]; then
        rm -rf "$dir/data"
        # The user of the server is root there, by its socket; no other account of that name.
        run _as_server "$dir" mariadb-install-db --no-defaults --datadir="$dir/data" --skip-test-db \
            --auth-root-authentication-method=socket --auth-root-socket-user="$servers_user"
        run _as_server "$dir" touch "$dir/data/.made"
    fi
    password=$(_server_password "$dir")
    _server_file "$dir/accounts.sql" <<END
CREATE USER IF NOT EXISTS injector@'127.0.0.1' IDENTIFIED BY '$password';
GRANT ALL PRIVILEGES ON *.* TO injector@'127.0.0.1' WITH GRANT OPTION;
END
    _server_start "$dir" pid /usr/sbin/mariadbd --no-defaults --datadir="$dir/data" --tmpdir="$dir" \
        --socket="$dir/socket" --pid-file="$dir/data/pid" --bind-address=127.0.0.1 --port="$port" --skip-name-resolve \
        --init-file="$dir/accounts.sql" --character-set-server=utf8mb4 --max-connections=300 \
        --innodb-flush-log-at-trx-commit=2 --innodb-flush-method=nosync
    # It listens only after its accounts are made.
    _server_wait mariadb "$dir" _listens "$port"
}

mariadb_runs() { runs "$1/pid" "$1"; }
mariadb_down() { stop_by_pid_file "$1/pid" "$1" 30; }
mariadb_kill() { stop_by_pid_file "$1/pid" "$1" 5 KILL; }
mariadb_url() { echo "mysql+pymysql://injector:$(cat "$1/password")@127.0.0.1:$2/"; }

# _server_directory DIR PORT   with its password, which is made once; the server that is to come must find PORT free
_server_directory() {
    ! _listens "$2" || fail "port $2 is in use by another program"
    make_servers_user
    mkdir -p "$(dirname "$1")"
    install -d -m 0700 -o "$servers_user" -g "$servers_user" "$1"
    [ -s "$1/password" ] || od -An -tx1 -N16 /dev/urandom | tr -d ' \n' | _server_file "$1/password"
}

_server_password() { cat "$1/password"; }

# _server_file FILE   out of standard input; for the server's eyes only, at every moment
_server_file() {
    rm -f "$1"
    install -m 0600 -o "$servers_user" -g "$servers_user" /dev/null "$1"
    cat >"$1"
}

# _as_server DIR COMMAND...   as the servers' user, knowing nothing of this shell's environment
_as_server() {
    _servers_environment "$1"
    shift
    "${_as_servers_user[@]}" "$@"
}

# What a program of DIR is started with, in _as_servers_user.
_servers_environment() {
    _as_servers_user=(
        setpriv --reuid "$servers_user" --regid "$servers_user" --clear-groups
        env -i -C "$1" HOME="$1" LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin
    )
}

# _server_start DIR PID_FILE COMMAND...   its words go to DIR/output
_server_start() {
    local dir=$1 pid_file=$1/$2
    shift 2
    printf '+ %s\n' "$*" >>"$DEVSTACK_LOG"
    _servers_environment "$dir"
    setsid "${_as_servers_user[@]}" "$@" </dev/null >>"$dir/output" 2>&1 &
    echo $! >"$pid_file"
    # The shell is not to remark on its end.
    disown $!
    # Until then it is a copy of this shell, which no KIND_runs would know.
    wait_for 5 runs "$pid_file" "$dir" || true
}

# _server_wait KIND DIR COMMAND...   until the command succeeds; fails at once when the server has ended
_server_wait() {
    local kind=$1 dir=$2
    shift 2
    wait_for 180 _answers_or_ended "$kind" "$dir" "$@" || true
    if ! "${kind}_runs" "$dir" || ! "$@" >/dev/null 2>&1; then
        tail -n 15 "$dir/output" >>"$DEVSTACK_LOG"
        fail "$kind does not answer; its own words are in $dir/output"
    fi
}

_answers_or_ended() {
    local kind=$1 dir=$2
    shift 2
    ! "${kind}_runs" "$dir" || "$@"
}

_listens() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
