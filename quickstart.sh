#!/usr/bin/env bash
# Shows the main job on this machine alone: a backup streams from a pod to an SSH host, both on loopback.
set -eu
case "${1-}" in
"") ;;
-h | --help)
    echo "usage: ./quickstart.sh    backs up a pod to an SSH host, both on loopback, and takes them down again"
    exit 0
    ;;
*)
    echo "./quickstart.sh: takes no arguments, and was given: $*" >&2
    exit 2
    ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$root/tests/tools/find_python.sh"
find_python ./quickstart.sh
command -v ssh >/dev/null || { echo "./quickstart.sh: needs an ssh client (on Debian: apt-get install openssh-client)" >&2; exit 1; }
cd "$root"
PYTHONPATH=$root/tests exec "$PYTHON" -m tools.quickstart "$@"
