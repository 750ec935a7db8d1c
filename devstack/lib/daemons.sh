# shellcheck shell=bash
# Servers started here are known by their pid files, and only by these are they stopped again. Needs lib/steps.sh.

# runs PID_FILE NAME   Is the process of that file alive, and NAME in its command line? (Pids are used again.)
runs() {
    local pid words=''
    pid=$(cat "$1" 2>/dev/null) || return 1
    [ -n "$pid" ] || return 1
    for _ in {1..25}; do
        words=$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") || return 1
        # For a moment there is none: when a process becomes another program, and when it ends.
        if [ -n "$words" ] || _ended "$pid"; then break; fi
        sleep 0.02
    done 2>/dev/null
    [[ $words == *"$2"* ]]
}

# _ended PID   A process that was killed loses its command line first and what it listens on last.
_ended() {
    local state
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null) || return 0
    # A main thread may have ended before the others.
    [ "$state" = Z ] && [ "$(find "/proc/$1/task" -mindepth 1 -maxdepth 1 2>/dev/null | wc -l)" -le 1 ]
}

# stop_by_pid_file PID_FILE NAME SECONDS [SIGNAL]   asks it to end, and kills it after that time
stop_by_pid_file() {
    local pid_file=$1 name=$2 tries=$(($3 * 10)) signal=${4:-TERM} pid
    if runs "$pid_file" "$name"; then
        say "    stopping $(basename "$name" .conf)"
        pid=$(cat "$pid_file")
        kill -s "$signal" "$pid"
        while ! _ended "$pid" && [ "$tries" -gt 0 ]; do
            sleep 0.1
            tries=$((tries - 1))
        done
        if ! _ended "$pid"; then
            kill -9 "$pid"
            wait_for 10 _ended "$pid" || fail "$(basename "$name" .conf) (process $pid) does not end"
        fi
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
