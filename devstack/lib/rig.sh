# shellcheck shell=bash disable=SC2154  # checkout, devstack and base
# The services of a rig: one process each, known by its configuration etc/NAME.conf, its pid file run/NAME.pid and its
# log log/NAME.log below BASE. Needs lib/steps.sh, lib/daemons.sh, lib/servers.sh and lib/injector.sh; `checkout`, `base`
# and `devstack` are set by the script that sources this.

_rig_port=${INJECTOR_DEVSTACK_RIG_PORT:-18800}
_rabbit_port=$((_rig_port + 10))
_postgresql_port=$((_rig_port + 20))
_dispatchers=(dispatcher-1 dispatcher-2)

rig_make_room() {
    # QEMU has to pass through to its files, so the directories above them may not be closed to it.
    install -d -m 0711 "$devstack" "$base"
    install -d -m 0755 "$base/run" "$base/log" "$devstack/guests"
    install -d -m 0700 "$base/etc" "$base/keys"
    # What all services of an installation share.
    [ -s "$base/keys/secrets.key" ] || _secret 32 >"$base/keys/secrets.key"
    [ -s "$base/keys/admin-token" ] || _secret 32 | base64 | tr -d '\n=+/' >"$base/keys/admin-token"
    chmod 0600 "$base"/keys/*
}

_secret() { head -c "$1" /dev/urandom; }

rig_servers_up() {
    rabbit_up "$base/rabbit" "$_rabbit_port"
    postgresql_up "$base/postgresql" "$_postgresql_port"
    [ -n "$(_sql postgres -tAc "SELECT 1 FROM pg_database WHERE datname = 'injector'")" ] ||
        _sql postgres -qc 'CREATE DATABASE injector'
}

_sql() {
    PGPASSWORD=$(cat "$base/postgresql/password") psql -h 127.0.0.1 -p "$_postgresql_port" -U injector -d "$@"
}

rig_services_up() {
    local name names=("${_dispatchers[@]}") number
    for ((number = 1; number <= $1; number++)); do
        names+=("rig-$number")
    done
    names+=(api)
    for name in "${names[@]}"; do
        [ -f "$base/etc/$name.conf" ] || _config "$name"
    done
    run "$checkout/.venv/bin/injector-manage" --config-file "$base/etc/${_dispatchers[0]}.conf" db sync
    for name in "${names[@]}"; do
        rig_runs "$name" || _start "$name"
    done
    for name in "${names[@]}"; do
        wait_for 90 _settled "$name" || true
        if ! rig_runs "$name" || ! _serves "$name"; then
            tail -n 10 "$base/log/$name.log" >>"$DEVSTACK_LOG"
            fail "$name does not serve"
        fi
    done
    wait_for 60 _hosts_are_known "$1" || fail "the api does not know all $1 hosts"
}

# What a service is, by its name.
_kind() {
    case $1 in
    rig-*) echo compute ;;
    dispatcher-*) echo dispatcher ;;
    *) echo "$1" ;;
    esac
}

_config() {
    local name=$1
    {
        cat <<END
# Written by devstack.
[DEFAULT]
host = $name
state_path = $base/$name
transport_url = $(rabbit_url "$base/rabbit" "$_rabbit_port")

[oslo_messaging_rabbit]
rabbit_quorum_queue = true
amqp_durable_queues = true

[secrets]
key_files = $base/keys/secrets.key
END
        "_config_of_$(_kind "$name")"
    } >"$base/etc/$name.conf"
}

_config_of_api() {
    install -d -m 0711 "$base/api"
    install -m 0600 "$base/keys/admin-token" "$base/api/admin-token"
    _config_of_database
    cat <<END

[api]
socket = $base/api.sock
host = 127.0.0.1
port = $_rig_port
END
}

_config_of_dispatcher() {
    _config_of_database
    cat <<END

[dispatcher]
forward_first_port = 26000
forward_last_port = 29999
END
}

_config_of_database() {
    cat <<END

[database]
connection = $(postgresql_url "$base/postgresql" "$_postgresql_port")injector
END
}

_config_of_compute() {
    cat <<END

[images]
source = http
api_endpoint = http://127.0.0.1:$_rig_port
token_file = $base/keys/admin-token
END
}

_start() {
    local name=$1 program
    program=$checkout/.venv/bin/injector-$(_kind "$name")
    [ ! -f "$base/log/$name.log" ] || mv -f "$base/log/$name.log" "$base/log/$name.log.1"
    printf '+ %s --config-file %s\n' "$program" "$base/etc/$name.conf" >>"$DEVSTACK_LOG"
    setsid "$program" --config-file "$base/etc/$name.conf" </dev/null >"$base/log/$name.log" 2>&1 &
    echo $! >"$base/run/$name.pid"
    disown $!
}

rig_runs() { runs "$base/run/$1.pid" "$base/etc/$1.conf"; }
_serves() { grep -q "injector-$(_kind "$1") .* serves" "$base/log/$1.log"; }
# It serves, or it has ended: either way there is nothing more to wait for.
_settled() { ! rig_runs "$1" || _serves "$1"; }
_hosts_are_known() { [ "$(injector host list -f value -c Name | grep -c '^rig-')" -ge "$1" ]; }

rig_register() {
    local tiny=$devstack/guests/tiny key=$base/keys/rig
    [ -f "$key" ] || run ssh-keygen -q -t ed25519 -N '' -C rig -f "$key"
    if ! has image tiny; then
        run injector image create --file "$tiny/vmlinuz" --disk-format aki tiny-kernel
        run injector image create --file "$tiny/initrd" --disk-format ari tiny-ramdisk
        # Where many guests share few processors, an emulated timer may be too late for Linux, which then panics at once.
        run injector image create --file "$tiny/root.qcow2" --property "kernel_id=$(_image_id tiny-kernel)" \
            --property "ramdisk_id=$(_image_id tiny-ramdisk)" \
            --property 'os_command_line=console=ttyS0 quiet no_timer_check' tiny
    fi
    has keypair rig || run injector keypair add --public-key "$key.pub" rig
    has flavor tiny || run injector flavor create --vcpus 1 --ram 128 tiny
    has network rig || run injector network create --kind user --subnet 10.0.2.0/24,dhcp --forward 80 rig
}

_image_id() { injector image list -f value -c ID -c Name | sed -n "s/ $1\$//p"; }

# The names of all services that were ever started, the api first: so they end.
_names() {
    local file name kind
    for kind in api rig- dispatcher-; do
        for file in "$base/etc/$kind"*.conf; do
            [ ! -f "$file" ] || basename "$file" .conf
        done
    done
}

# Through the api, where it can: then hosts and records agree. What is left is removed without it.
rig_delete_guests() {
    local servers
    rig_runs api || return 0
    mapfile -t servers < <(injector list -f value -c ID 2>>"$DEVSTACK_LOG")
    [ "${#servers[@]}" -eq 0 ] || run injector delete --wait "${servers[@]}" || say '    not all could be deleted'
}

rig_services_down() {
    local name
    for name in $(_names); do
        # One that was stopped by a signal would not hear of its end.
        ! rig_runs "$name" || kill -CONT "$(cat "$base/run/$name.pid")"
        stop_by_pid_file "$base/run/$name.pid" "$base/etc/$name.conf" 90
    done
}

# Domains, mounts and loop devices that name a state directory of the rig.
rig_remove_guests() {
    local uuid mount device
    for uuid in $(virsh -q list --all --uuid 2>/dev/null); do
        if virsh dumpxml "$uuid" 2>/dev/null | grep -F "$base/rig-" >/dev/null; then
            say "    domain $uuid was left"
            virsh -q destroy "$uuid" >/dev/null 2>&1 || true
            run virsh -q undefine --nvram --managed-save "$uuid"
        fi
    done
    awk -v base="$base/rig-" 'index($2, base) == 1 { print $2 }' /proc/self/mounts | tac | while read -r mount; do
        run umount -l "$mount"
    done
    for device in $(losetup -nO NAME,BACK-FILE | awk -v base="$base/rig-" 'index($2, base) == 1 { print $1 }'); do
        run losetup -d "$device"
    done
}

rig_remove_all() {
    rm -rf "${base:?}"/{rig-*,api,rabbit,postgresql,etc,keys,run}
    rm -f "$base/api.sock"
}

rig_status() {
    local name
    printf '%-14s %s\n' rabbit "$(_word rabbit_runs "$base/rabbit")" postgresql "$(_word postgresql_runs "$base/postgresql")"
    for name in $(_names); do
        printf '%-14s %s\n' "$name" "$(_word rig_runs "$name")"
    done
    ! rig_runs api || { injector host list && injector list --long; }
}

_word() { if "$@"; then echo runs; else echo -; fi; }
