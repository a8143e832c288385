# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the transfers of a benchmark begin and end, what lies there, and whether a copy of it is complete."""

from __future__ import annotations

import random
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.site import Site

_PER_DIRECTORY = 100
_PIECE = 1 << 20

# the names are sorted, so that equal trees give equal sums whatever order their directories have
_DIGEST = """cd {parent} || exit 1
if [ -d {name} ]; then
  cd {name} && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum
else
  sha256sum <{name}
fi
"""


@dataclass(frozen=True)
class Place:
    """A folder in a context."""

    context: str
    folder: str
    argv: Callable[[str], list[str]]
    """Gives the command that runs a shell script there."""

    def path(self, name: str) -> str:
        """Return where a file or tree of that name is."""
        return f"{self.folder}/{name}"

    def end(self, name: str) -> str:
        """Return the same as an end of a transfer."""
        return f"{self.context}:{self.path(name)}"

    def run(self, script: str) -> str:
        """Run a script there and return what it printed; raise CalledProcessError."""
        return subprocess.run(self.argv(script), capture_output=True, text=True, check=True).stdout

    def remove(self, pattern: str) -> None:
        """Remove what is called so; a tree goes aside until the end.

        ext4 gives an inode away again only after minutes, and looks for others: to make many files right after many
        were removed takes many times as long, whoever does it.
        """
        self.run(
            f"cd {shlex.quote(self.folder)} && for each in {pattern}; do\n"
            'if [ -d "$each" ]; then mv "$each" "$(mktemp -d old-XXXXXX)"; else rm -f "$each"; fi\ndone'
        )

    def digest(self, name: str) -> str:
        """Return the checksum of all content, with the names in a tree."""
        return self.run(_DIGEST.format(parent=shlex.quote(self.folder), name=shlex.quote(name))).split()[0]

    def count(self, name: str) -> int:
        """Return how many files there are below a directory."""
        return int(self.run(f"find {shlex.quote(self.path(name))} -type f | wc -l"))


def here(context: str, folder: Path) -> Place:
    """Return a folder of this machine, or of an SSH host, which shares its file system."""
    folder.mkdir(parents=True, exist_ok=True)
    return Place(context, str(folder), lambda script: ["sh", "-c", script])


def in_pod(site: Site) -> Place:
    """Return the folder in the site's pod."""
    return Place("pod", "/data", lambda script: site.kubectl("exec", "pod", "--", "sh", "-c", script))


def make_file(path: Path, size: int) -> None:
    """Write a file, half random and half compressible."""
    chance = random.Random(1)
    with path.open("wb") as stream:
        for start in range(0, size, _PIECE):
            length = min(_PIECE, size - start)
            stream.write(mixed(chance, length))


def mixed(chance: random.Random, size: int) -> bytes:
    """Return bytes of which half are random."""
    half = size // 2
    row = b"row %d of a table that repeats itself, as databases do\n" % chance.randrange(1000)
    return chance.randbytes(half) + (row * ((size - half) // len(row) + 1))[: size - half]


def make_tree(folder: Path, files: int, size: int) -> None:
    """Make a tree of so many files of one size."""
    chance = random.Random(2)
    for number in range(files):
        directory = folder / f"d{number // _PER_DIRECTORY:04d}"
        if number % _PER_DIRECTORY == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number:06d}").write_bytes(mixed(chance, size))


def change_script(folder: str, files: int, size: int, turn: int) -> str:
    """Return the script that gives new content to each hundredth file of a tree."""
    return (
        f"cd {shlex.quote(folder)} || exit 1\n"
        f"i={turn % 100}\n"
        f"while [ $i -lt {files} ]; do\n"
        f"  head -c {size} /dev/urandom >$(printf d%04d/file-%06d $((i / {_PER_DIRECTORY})) $i) || exit 1\n"
        "  i=$((i + 100))\n"
        "done\n"
    )
