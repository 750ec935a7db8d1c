# shellcheck shell=bash
# The checkout's virtual environment, renewed only when what is shipped or where it lies has changed. Needs lib/steps.sh.

# make_venv CHECKOUT   leaves CHECKOUT/.venv with the project (editable) and what its tests need
make_venv() {
    local checkout=$1 venv=$1/.venv wanted
    wanted=$({ echo "$checkout"; /usr/bin/python3 --version; cat "$checkout/setup.cfg" "$checkout/pyproject.toml"; } |
        sha256sum | cut -d' ' -f1)
    [ "$(cat "$venv/.made-from" 2>/dev/null)" != "$wanted" ] || return 0
    # Debian's own Python, with its site packages: its libvirt binding needs no compiler, PyPI has the source only.
    [ -x "$venv/bin/python" ] || run /usr/bin/python3 -m venv --system-site-packages "$venv"
    run "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --editable "${checkout}[test]"
    echo "$wanted" >"$venv/.made-from"
}
