# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller with no disk to write to: what a run needs it to store shows as a failure, not as a number to trust.

The run gets mount and PID namespaces of its own. In them every file system is read-only, but for its own folder and
``/dev/shm``, which are a few MiB of memory. Servers and pods are outside, and write as ever.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.inventory import Inventory

MEGABYTES = 8
_SCRIPT = r"""set -e
size=$1 folder=$2
shift 2
mount -t tmpfs -o size="$size"m tmpfs /mnt
cp -a "$folder/." /mnt
mount --bind /mnt "$folder"
mount -t tmpfs -o size=1m tmpfs /dev/shm
mount -t proc proc /proc
cut -d' ' -f5,6 /proc/self/mountinfo | while read -r point options; do
  case "$point" in "$folder" | /dev/shm | /mnt | /proc*) continue ;; esac
  case "$options" in ro | ro,*) continue ;; esac
  mount -o remount,bind,ro "$(printf %b "$point")"
done
if (: >/root/probe || : >/var/tmp/probe || : >/tmp/probe) 2>/dev/null; then echo "a disk can be written" >&2; exit 1; fi
cd "$folder"
"$@" || exit
echo "kibibytes used: $(df -k --output=used "$folder" | tail -n 1)"
"""


def run_without_disk(inventory: Inventory, argv: Sequence[str]) -> str:
    """Run a command of an inventory so and return what it printed; raise CalledProcessError if it failed."""
    folder: Path = inventory.directory
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private"]
    words = ["sh", "-c", _SCRIPT, "sh", str(MEGABYTES), str(folder), *argv]
    environment = inventory.environment() | {"TMPDIR": str(folder), "XDG_CACHE_HOME": str(folder)}
    done = subprocess.run([*namespaces, *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, argv, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout
