# shellcheck shell=bash disable=SC2154  # checkout and base
# One `injector serve` out of this checkout, with everything of its own below BASE: it disturbs no installed one.
# Needs lib/steps.sh and lib/daemons.sh; `checkout` and `base` are set by the script that sources this.

api_port=${INJECTOR_DEVSTACK_PORT:-18774}

# The command, speaking to that daemon.
injector() { INJECTOR_ENDPOINT="unix:$base/api.sock" "$checkout/.venv/bin/injector" "$@"; }

# has KIND NAME   Is there an image, keypair, flavor or network of that name? (grep -q would end at the first match, and
# the command, which may still write, with a failure.)
has() { injector "$1" list -f value -c Name | grep -xF -- "$2" >/dev/null; }

injector_config() {
    cat >"$base/etc/injector.conf" <<END
# Written by devstack; changes are lost at the next run.
[DEFAULT]
state_path = $base/state
host = devstack

[api]
socket = $base/api.sock
host = 127.0.0.1
port = $api_port

[dispatcher]
forward_first_port = $((api_port + 100))
forward_last_port = $((api_port + 199))
END
}

_serve="serve --config-file $base/etc/injector.conf"

injector_up() {
    # An earlier one may be of older code.
    injector_down
    injector_config
    [ ! -f "$base/log/injector.log" ] || mv -f "$base/log/injector.log" "$base/log/injector.log.1"
    printf '+ injector %s\n' "$_serve" >>"$DEVSTACK_LOG"
    # shellcheck disable=SC2086
    setsid "$checkout/.venv/bin/injector" $_serve </dev/null >>"$base/log/injector.log" 2>&1 &
    echo $! >"$base/run/injector.pid"
    wait_for 60 _injector_settled || true
    injector_runs || {
        tail -n 10 "$base/log/injector.log" >>"$DEVSTACK_LOG"
        fail "injector serve ended at once"
    }
    injector flavor list >>"$DEVSTACK_LOG" 2>&1 || fail "injector serve does not answer on $base/api.sock"
}

injector_runs() { runs "$base/run/injector.pid" "$base/etc/injector.conf"; }

# It answers, or it has ended: either way there is nothing more to wait for.
_injector_settled() { ! injector_runs || { [ -S "$base/api.sock" ] && injector flavor list; }; }

injector_down() { stop_by_pid_file "$base/run/injector.pid" "$base/etc/injector.conf" 90; }
