# shellcheck shell=bash
# cloud-init's own schema of cloud-configs, out of Debian's package, which is unpacked and never installed: installed,
# cloud-init could rewrite this host at its next boot. Needs lib/steps.sh.

# cloud_config_schema FILE  Leaves the schema there, unless it is there already.
cloud_config_schema() {
    local file=$1 work
    [ ! -s "$file" ] || return 0
    work=$(mktemp -d)
    # apt's own user has to be able to write there.
    chmod 0755 "$work"
    (cd "$work" && run apt-get -q -o APT::Sandbox::User=root download cloud-init && run dpkg-deb -x cloud-init_*.deb root)
    install -m 0644 "$work/root/usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json" \
        "$file"
    rm -rf "$work"
}
