# shellcheck shell=bash
# What the makers of guests share: when a product is still good, and how a new one takes its place. Needs lib/steps.sh.

# inputs_digest FILE...  One digest over everything a product is made from.
inputs_digest() { cat "$@" | sha256sum | cut -d' ' -f1; }

# guest_lock OUTPUT_DIR  Held until the script ends: two builders of one guest would spoil each other's work.
guest_lock() {
    mkdir -p "$1"
    exec {_guest_lock_fd}>"$1/.lock"
    flock "$_guest_lock_fd"
}

# guest_is_current OUTPUT_DIR DIGEST FILE...
guest_is_current() {
    local directory=$1 digest=$2 file
    shift 2
    [ "$(cat "$directory/.inputs" 2>/dev/null)" = "$digest" ] || return 1
    for file in "$@"; do
        [ -s "$directory/$file" ] || return 1
    done
}

# guest_publish WORK_DIR OUTPUT_DIR DIGEST FILE...
# Each file is whole when it appears; the digest comes last, so that a build cut short is not taken for a good one.
guest_publish() {
    local work=$1 directory=$2 digest=$3 file
    shift 3
    rm -f "$directory/.inputs"
    for file in "$@"; do
        chmod 0644 "$work/$file"
        mv -f "$work/$file" "$directory/$file"
    done
    echo "$digest" >"$work/.inputs"
    mv -f "$work/.inputs" "$directory/.inputs"
}
