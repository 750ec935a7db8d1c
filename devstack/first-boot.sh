#!/bin/bash
# Takes a fresh Debian 12 to a running VM that proves what it received.
#
#   devstack/first-boot.sh             exit status 0 only if the guest itself confirmed everything that was asked
#   devstack/first-boot.sh --compare   besides, the time of the same guest started by hand, with virsh
#   devstack/first-boot.sh --down      takes down what was started: VM, daemon, and libvirtd if it was started here
#
# Everything it makes lies below ${INJECTOR_DEVSTACK:-/var/lib/injector-devstack} and in .venv of the checkout.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
checkout=$(dirname "$here")
base=${INJECTOR_DEVSTACK:-/var/lib/injector-devstack}
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
# shellcheck source=devstack/lib/cloud-init.sh
. "$here/lib/cloud-init.sh"
# shellcheck source=devstack/lib/injector.sh
. "$here/lib/injector.sh"

name=first-boot
key=$base/keys/$name
work=$base/$name
text_path=/etc/first-boot/greeting.txt
binary_path=/etc/first-boot/blob.bin

make_room() {
    # QEMU has to pass through to its files, so the directories above them may not be closed to it.
    install -d -m 0711 "$base" "$base/state"
    install -d -m 0755 "$base/etc" "$base/run" "$base/log" "$base/guests" "$work"
    install -d -m 0700 "$base/keys"
}

register() {
    # The name has the digest of what the image was made from: another image is another record.
    image=debian-12-$(head -c 8 "$base/guests/debian/.inputs")
    [ -f "$key" ] || run ssh-keygen -q -t ed25519 -N '' -C "$name" -f "$key"
    has image "$image" || run injector image create --file "$base/guests/debian/disk.qcow2" --disk-format qcow2 "$image"
    has keypair "$name" || run injector keypair add --public-key "$key.pub" "$name"
    has flavor "$name" || run injector flavor create --vcpus 2 --ram 768 --disk 4 "$name"
    has network "$name" || run injector network create --kind user --subnet 10.0.2.0/24,dhcp --forward 22 "$name"
}

remove_earlier() {
    if injector list -f value -c Name | grep -xF "$name" >/dev/null; then
        say "    the VM of an earlier run is deleted"
        run injector delete --wait "$name"
    fi
}

# What is asked for, and beside it what the guest will have to say.
prepare_payload() {
    nonce=$(head -c 8 /dev/urandom | od -An -tx1 | tr -d ' \n')
    cat >"$work/greeting.txt" <<END
Grüße from run $nonce: "quotes", 'more of them', \$dollars, a \\ backslash and a	tab
END
    head -c 3000 /dev/urandom >"$work/blob.bin"
    {
        printf '#!/bin/sh\nnonce=%s\napi_port=%s\nfiles="%s %s"\n' "$nonce" "$api_port" "$text_path" "$binary_path"
        tail -n +2 "$here/first-boot/confirm.sh"
    } >"$work/user-data"
    cat >"$work/expected" <<END
hostname: $name
file $text_path: $(sha256sum <"$work/greeting.txt" | cut -d' ' -f1)
file $binary_path: $(sha256sum <"$work/blob.bin" | cut -d' ' -f1)
key of debian: $(cat "$key.pub")
metadata on the drive: {"role": "first boot", "run": "$nonce"}
API without a token: 401
user-data ran: $nonce
END
}

boot() {
    ms_until_line "$base/state/instances" "first-boot: user-data ran: $nonce" >"$work/ms-to-marker" &
    watcher=$!
    at_exit "kill $watcher 2>/dev/null"
    { injector boot --image "$image" --flavor "$name" --key-name "$name" --nic "net-name=$name" \
        --file "$text_path=$work/greeting.txt" --file "$binary_path=$work/blob.bin" \
        --meta "role=first boot" --meta "run=$nonce" --user-data "$work/user-data" \
        --wait guest -f yaml "$name" 2>&1 >"$work/boot.out"; } | tee -a "$DEVSTACK_LOG" | sed 's/^/    /'
    server=$(injector show -f value -c id "$name")
    wait "$watcher"
}

# The guest's own words against what was asked, line by line.
confirm() {
    local line wrong=0
    injector console-log "$server" | tr -d '\r' | sed -n 's/^first-boot: //p' >"$work/confirmed"
    while IFS= read -r line; do
        if grep -qxF -- "$line" "$work/confirmed"; then
            say "    guest: $line"
        else
            say "    MISSING: $line"
            say "    guest:   $(grep -F -- "${line%%: *}:" "$work/confirmed" || echo 'says nothing about it')"
            wrong=$((wrong + 1))
        fi
    done <"$work/expected"
    [ "$wrong" -eq 0 ] || fail "the guest did not confirm $wrong of $(wc -l <"$work/expected") things"
}

log_in() {
    local port answer
    port=$(injector show -f json -c forwards "$name" |
        /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["forwards"][0]["host_port"])')
    ssh_command="ssh -p $port -i $key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null debian@127.0.0.1"
    # shellcheck disable=SC2086
    answer=$($ssh_command -o BatchMode=yes -o LogLevel=ERROR -o ConnectTimeout=30 \
        'id -un; hostname; cloud-init status' | tr '\n' ' ')
    say "    $answer"
    [ "$answer" = "debian $name status: done " ] || fail "the guest should have said: debian $name status: done"
}

# Milliseconds from now until a console below a directory has a line; fails after ten minutes.
ms_until_line() {
    local began tries=6000
    began=$(_now_ms)
    until grep -rqF --include=console.log -- "$2" "$1" 2>/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "the guest did not say '$2'"
        sleep 0.1
    done
    echo $(($(_now_ms) - began))
}

# The same guest without injector: the same base image, drive and machine, until the same line on its console.
compare() {
    local hand=$work/by-hand base_image instance=$base/state/instances/$server ours bare
    base_image=$(qemu-img info -U --output=json "$instance/disk" |
        /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["full-backing-filename"])')
    ours=$(<"$work/ms-to-marker")
    install -d -m 0755 "$hand"
    install -m 0644 "$instance/disk.config" "$hand/disk.config"
    virsh -q dumpxml --inactive "$server" | /usr/bin/python3 "$here/first-boot/by_hand.py" "$hand" "$name-by-hand" \
        >"$hand/domain.xml"
    # One guest at a time, or each would slow the other; and both would want the same port of 127.0.0.1.
    run injector stop "$server" --wait
    at_exit "virsh -q destroy $name-by-hand >/dev/null 2>&1; rm -rf ${hand@Q}"
    rm -f "$hand/disk" "$hand/console.log"
    local began
    began=$(_now_ms)
    run qemu-img create -q -f qcow2 -F "$(format_of "$base_image")" -b "$base_image" "$hand/disk" 4G
    run virsh -q create "$hand/domain.xml"
    ms_until_line "$hand" "first-boot: user-data ran: $nonce" >/dev/null
    bare=$(($(_now_ms) - began))
    run virsh -q destroy "$name-by-hand"
    run injector start "$server" --wait
    say "    until the guest's last word:  injector $(_seconds "$ours"),  by hand $(_seconds "$bare")"
}

format_of() { qemu-img info -U --output=json "$1" | /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["format"])'; }

up() {
    step 'Debian packages' 'see that "apt-get update" works and that the sources have Debian 12'
    make_room
    install_packages "${host_packages[@]}"
    step 'virtual environment' 'see that pip reaches its package index; "rm -rf .venv" starts anew'
    make_venv "$checkout"
    step 'Debian guest image' "read $base/guests/debian/build.log"
    "$here/guest-image.sh" "$base/guests/debian" | sed 's/^/    /'
    step 'libvirt' "read $base/log/libvirtd.log"
    libvirt_up "$base"
    step "cloud-init's schema" 'see that "apt-get update" works and that the sources have Debian 12'
    # Where injector looks for it, if it is not told otherwise.
    cloud_config_schema "$base/state/schema-cloud-config-v1.json"
    step 'injector serve' "read $base/log/injector.log; if port $api_port is taken, set INJECTOR_DEVSTACK_PORT"
    injector_up
    step 'register image, key pair, flavor and network' "read $base/log/injector.log"
    register
    remove_earlier
    step 'boot, until the guest says that it is done' "read $base/log/injector.log, and the guest's console: injector console-log $name"
    prepare_payload
    boot
    step 'what the guest itself confirms' "look at the guest's console: injector console-log $name"
    confirm
    step 'log in by ssh with the injected key' "look at the guest's console: injector console-log $name"
    log_in
    if [ "$1" = --compare ]; then
        step 'the same guest by hand' "read $base/log/libvirtd.log"
        compare
    fi
    report
}

report() {
    say ''
    say 'Everything asked for has arrived: the guest said so itself. Time of each phase:'
    steps_times
    say ''
    say "The VM is running. Log in:   $ssh_command"
    say "The command:                 export INJECTOR_ENDPOINT=unix:$base/api.sock; $checkout/.venv/bin/injector list"
    say "Take everything down again:  $0 --down"
}

down() {
    step 'VM' "read $base/log/injector.log; libvirt's own way: virsh destroy, virsh undefine"
    # A daemon that was killed has left its guests running: only one like it can take them down in order.
    if ! injector_runs && pgrep -f "$base/state/instances/" >/dev/null; then
        libvirt_up "$base"
        injector_up
    fi
    if injector_runs; then
        remove_earlier
        others=$(injector list -f value -c Name | tr '\n' ' ')
        [ -z "$others" ] || fail "there are servers that first-boot.sh did not make; delete them first: $others"
    fi
    step 'injector serve' "read $base/log/injector.log"
    injector_down
    step 'libvirtd and virtlogd' "read $base/log/libvirtd.log"
    libvirt_down "$base"
    say 'Everything that was started here is down.'
}

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

case ${1:-} in
'' | --compare | --down) ;;
-h | --help)
    usage
    exit 0
    ;;
*)
    usage >&2
    exit 2
    ;;
esac
root_only first-boot.sh
mkdir -p "$base"
steps_begin first-boot.sh "$base/log/first-boot${1:+${1#-}}.log"
if [ "${1:-}" = --down ]; then down; else up "${1:-}"; fi
