# shellcheck shell=bash
# Servers started here are known by their pid files, and only by these are they stopped again. Needs lib/steps.sh.

# runs PID_FILE NAME   Is the process of that file alive, and NAME in its command line? (Pids are used again.)
runs() {
    local pid
    pid=$(cat "$1" 2>/dev/null) || return 1
    [ -n "$pid" ] && grep -aqF -- "$2" "/proc/$pid/cmdline" 2>/dev/null
}

# stop_by_pid_file PID_FILE NAME SECONDS [SIGNAL]   asks it to end, and kills it after that time
stop_by_pid_file() {
    local pid_file=$1 name=$2 tries=$(($3 * 10)) signal=${4:-TERM}
    if runs "$pid_file" "$name"; then
        say "    stopping $(basename "$name" .conf)"
        kill -s "$signal" "$(cat "$pid_file")"
        while runs "$pid_file" "$name" && [ "$tries" -gt 0 ]; do
            sleep 0.1
            tries=$((tries - 1))
        done
        ! runs "$pid_file" "$name" || kill -9 "$(cat "$pid_file")"
    fi
    rm -f "$pid_file"
}

# wait_for SECONDS COMMAND...   until it succeeds
wait_for() {
    local tries=$(($1 * 5))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$tries" -gt 0 ] || return 1
        sleep 0.2
        tries=$((tries - 1))
    done
}
