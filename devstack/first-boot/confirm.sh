#!/bin/sh
# Runs in the guest as its user-data: tells on the serial console what the guest itself has received.
# first-boot.sh puts nonce=, api_port= and files= in front of it.
# shellcheck disable=SC2154
say() { printf '\nfirst-boot: %s\n' "$*" >/dev/ttyS0; }

status_without_token() {
    python3 - "http://10.0.2.2:$api_port/v2.1/servers" <<'END'
import sys, urllib.error, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=20).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print("no answer:", error)
END
}

metadata_of_drive() {
    mkdir -p /run/first-boot
    mount -o ro LABEL=config-2 /run/first-boot
    python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin)["meta"], sort_keys=True))' \
        </run/first-boot/openstack/latest/meta_data.json
    umount /run/first-boot
}

say "hostname: $(hostname)"
for file in $files; do
    say "file $file: $(sha256sum <"$file" | cut -d' ' -f1)"
done
say "key of debian: $(cat /home/debian/.ssh/authorized_keys)"
say "metadata on the drive: $(metadata_of_drive)"
say "API without a token: $(status_without_token)"
say "user-data ran: $nonce"
