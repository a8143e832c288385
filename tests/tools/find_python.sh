# shellcheck shell=bash
# Sourced by ./test.sh and ./quickstart.sh: sets PYTHON to a Python that can make virtual environments.

find_python() {
    local candidate found="" wanted='import sys; sys.exit(sys.version_info < (3, 11))'
    for candidate in "${MANIFOLD_PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3 \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[1-9]*/bin/python; do
        { [ -n "$candidate" ] && "$candidate" -c "$wanted"; } >/dev/null 2>&1 || continue
        found=$candidate
        "$candidate" -c 'import ensurepip, ssl, venv' >/dev/null 2>&1 || continue
        export PYTHON=$candidate
        return 0
    done
    if [ -n "$found" ]; then
        echo "$1: $found has no venv module (on Debian: apt-get install python3-venv)" >&2
    else
        echo "$1: needs Python 3.11 or newer, and found none" >&2
    fi
    return 1
}
