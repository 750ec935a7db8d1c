# shellcheck shell=bash
# Named steps: a failure says which step it was, why, what to do about it, and where the whole log is.
#
#   root_only NAME                  ends a script at once that only root can run
#   steps_begin NAME LOG_FILE       once, first; from here on a failing command ends the script with a report
#   step TITLE ADVICE               what follows belongs to this step; ADVICE is printed if it fails
#   run COMMAND...                  runs a command with its output in the log
#   say TEXT...                     a line for the reader, and for the log
#   fail WHY...                     ends the step with a reason in words
#   steps_times                     prints what each finished step took
#   steps_say_no_more               a failure from here on has been told by the program that failed
#
# A script that traps EXIT itself would lose the report: give what must be undone to `at_exit` instead.

_steps_names=()
_steps_millis=()
_steps_undo=()
_step_title=''
_step_advice=''
_step_started=0
_step_log_start=0
_step_why=''
_steps_silent=no

_now_ms() { date +%s%3N; }

_seconds() { printf '%d.%01d s' "$(($1 / 1000))" "$(($1 % 1000 / 100))"; }

root_only() {
    [ "$(id -u)" -eq 0 ] || {
        echo "$1: only root can install packages, start servers and build guests" >&2
        exit 1
    }
}

steps_begin() {
    _steps_script=$1
    DEVSTACK_LOG=$2
    mkdir -p "$(dirname "$DEVSTACK_LOG")"
    : >"$DEVSTACK_LOG"
    _steps_started=$(_now_ms)
    trap _steps_end EXIT
    # The first one that fails is the reason; what it takes down with it is not.
    set -o errtrace
    trap '[ -n "$_step_why" ] || _step_why="this failed: $BASH_COMMAND"' ERR
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

say() {
    printf '%s\n' "$*"
    printf '%s\n' "$*" >>"$DEVSTACK_LOG"
}

step() {
    _step_close
    _step_title=$1
    _step_advice=$2
    _step_started=$(_now_ms)
    _step_log_start=$(wc -l <"$DEVSTACK_LOG")
    say "==> $1"
}

_step_close() {
    [ -n "$_step_title" ] || return 0
    _steps_names+=("$_step_title")
    _steps_millis+=("$(($(_now_ms) - _step_started))")
    _step_title=''
}

run() {
    printf '+ %s\n' "$*" >>"$DEVSTACK_LOG"
    "$@" >>"$DEVSTACK_LOG" 2>&1
}

fail() {
    _step_why=$*
    # Where nobody reports it, it is said here.
    [ -n "$(trap -p EXIT)" ] || echo "$*" >&2
    exit 1
}

steps_say_no_more() { _steps_silent=yes; }

at_exit() { _steps_undo+=("$1"); }

steps_total_ms() { echo "$(($(_now_ms) - _steps_started))"; }

steps_times() {
    local i
    _step_close
    for i in "${!_steps_names[@]}"; do
        say "$(printf '    %-58s %10s' "${_steps_names[i]}" "$(_seconds "${_steps_millis[i]}")")"
    done
    say "$(printf '    %-58s %10s' 'all together' "$(_seconds "$(steps_total_ms)")")"
}

_steps_end() {
    local status=$? command
    trap - EXIT ERR INT TERM
    set +e
    for command in "${_steps_undo[@]}"; do
        eval "$command"
    done
    [ "$status" -eq 0 ] || [ "$_steps_silent" = yes ] || _steps_report "$status" >&2
    exit "$status"
}

_steps_report() {
    echo
    echo "$_steps_script FAILED (exit status $1)"
    echo "  step: ${_step_title:-before the first step}"
    if [ -n "$_step_why" ]; then
        echo "  why:  $_step_why"
    fi
    if [ "$(wc -l <"$DEVSTACK_LOG")" -gt "$((_step_log_start + 1))" ]; then
        echo "  last words:"
        tail -n "+$((_step_log_start + 2))" "$DEVSTACK_LOG" | tail -n 15 | sed 's/^/    | /'
    fi
    echo "  do:   ${_step_advice:-read the log}"
    echo "  log:  $DEVSTACK_LOG"
}
