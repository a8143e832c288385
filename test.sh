#!/usr/bin/env bash
# Runs the tests with all the set-up they need: ./test.sh --help
set -eu
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$root/tests/tools/find_python.sh"
find_python ./test.sh
cd "$root"
PYTHONPATH=$root/tests exec "$PYTHON" -m tools "$@"
