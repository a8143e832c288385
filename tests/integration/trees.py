# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of everything that a careless copy loses: made at random, changed at random, and told apart."""

from __future__ import annotations

import hashlib
import os
import random
import stat
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st

_BYTES = bytes(range(1, 47)) + bytes(range(48, 256))
_SPECIAL = [b" ", b" sp ", b"-rf", b"--", b"new\nline", b"ends\n", b"\n", b"\r", b"\t", b"\x01", b"\\", b"\\n", b"a\\",
            b"'quo\"te", b"$HOME", b"`id`", b"*", b"[a]", b"~", b"#", b"\xff\xfe", b"\xc3\xa9", b"e\xcc\x81", b"=x",
            b"a -> b", b"...", b".hidden", b"x.keep", b"L" * 99, b"M" * 100, b"N" * 101, b"O" * 255]  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(_SPECIAL),
    st.lists(st.sampled_from(list(_BYTES)), min_size=1, max_size=6)
    .map(bytes)
    .filter(lambda name: name not in (b".", b"..") and not name.startswith(b".manifold-")),
)
FILE_MODES = st.sampled_from([0o644, 0o755, 0o600, 0o400, 0o000, 0o4755, 0o2711, 0o6711, 0o1644])
FOLDER_MODES = st.sampled_from([0o755, 0o700, 0o555, 0o000, 0o1777, 0o2775])
TIMES = st.sampled_from([0, 1, 1_700_000_000, -1, -86_400 * 365 * 40, 2**31 + 5, 4_102_444_800])
OWNERS = st.sampled_from([(0, 0), (0, 0), (1234, 5678), (65534, 65534), (3_000_000, 3_000_001)])
TARGETS = st.sampled_from(
    [
        b"..",
        b".",
        b"/",
        b"/etc/passwd",
        b"gone",
        b"it's -> 'gone'",
        b"a\nb",
        b"\xff",
        b"../../x",
        b"T" * 100,
        b"U" * 700,
    ]
)


@dataclass(frozen=True)
class Node:
    """Something to make; ``kind`` is one of file, sparse, folder, link, join, deep."""

    kind: str
    name: bytes
    mode: int = 0o755
    time: int = 0
    owner: tuple[int, int] = (0, 0)
    content: bytes = b""
    target: bytes = b""
    inner: tuple[Node, ...] = ()


_FILES = st.builds(Node, st.just("file"), NAMES, FILE_MODES, TIMES, OWNERS, st.binary(max_size=40))
_BIG = st.builds(Node, st.just("big"), NAMES, FILE_MODES, TIMES, OWNERS, st.binary(min_size=1, max_size=8))
_SPARSE = st.builds(Node, st.just("sparse"), NAMES, FILE_MODES, TIMES, OWNERS, st.binary(max_size=4))
_LINKS = st.builds(Node, st.just("link"), NAMES, target=TARGETS)
_JOINS = st.builds(Node, st.just("join"), NAMES)
_DEEP = st.builds(Node, st.just("deep"), NAMES, FOLDER_MODES, TIMES, content=st.binary(max_size=4))
LEAVES = st.one_of(_FILES, _FILES, _FILES, _LINKS, _JOINS, _SPARSE, _BIG, _DEEP)


def _folders(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    many = st.lists(inner, max_size=6, unique_by=lambda node: node.name).map(tuple)
    return st.builds(Node, st.just("folder"), NAMES, FOLDER_MODES, TIMES, OWNERS, inner=many)


NODES = st.recursive(LEAVES, _folders, max_leaves=12)
TREES = st.lists(NODES, min_size=6, max_size=14, unique_by=lambda node: node.name)


def make(root: bytes, nodes: list[Node]) -> None:
    """Make a tree, its directories' attributes last."""
    os.makedirs(root, exist_ok=True)
    files: list[bytes] = []
    for node in nodes:
        _make(root, node, files)
    os.chmod(root, 0o755)
    os.utime(root, (0, 1_600_000_000))


def _make(parent: bytes, node: Node, files: list[bytes]) -> None:
    path = os.path.join(parent, node.name)
    if node.kind == "link":
        os.symlink(node.target, path)
        return
    if node.kind == "join" and files:
        os.link(files[-1], path)
        return
    if node.kind == "folder":
        os.mkdir(path)
        for inner in node.inner:
            _make(path, inner, files)
    elif node.kind == "deep":
        _make_deep(path, node.content)
    else:
        _write(path, node)
        files.append(path)
    os.chown(path, *node.owner)
    os.chmod(path, node.mode)
    os.utime(path, (0, node.time))


def _make_deep(path: bytes, content: bytes) -> None:
    """Make directories of which the paths are longer than what the fields of an archive hold."""
    os.mkdir(path)
    for length in (90, 120, 255, 255):
        path = os.path.join(path, b"D" * length)
        os.mkdir(path)
        with open(os.path.join(path, b"file"), "wb") as stream:
            stream.write(content)
        os.symlink(b"x" * length, os.path.join(path, b"link"))


def _write(path: bytes, node: Node) -> None:
    with open(path, "wb") as stream:
        if node.kind == "sparse":
            stream.truncate(1 << 20)
            stream.seek(1 << 19)
        stream.write(node.content * (30_000 if node.kind == "big" else 1))


def described(root: bytes, *, since_1970: bool = False) -> dict[bytes, tuple[object, ...]]:
    """Return what a tree is: everything that is promised to be kept, by path.

    ``since_1970``: earlier times count as 1970, which is what busybox packs.
    """
    found: dict[bytes, tuple[object, ...]] = {}
    firsts: dict[int, bytes] = {}
    for path in sorted(paths_in(root)):
        status = os.lstat(os.path.join(root, path))
        kind = stat.S_IFMT(status.st_mode)
        owner = (status.st_uid, status.st_gid)
        if kind == stat.S_IFLNK:
            found[path] = ("link", os.readlink(os.path.join(root, path)), owner)
            continue
        time = int(status.st_mtime // 1)
        attributes = (oct(stat.S_IMODE(status.st_mode)), owner, max(0, time) if since_1970 else time)
        if kind == stat.S_IFDIR:
            found[path] = ("directory", *attributes)
        elif kind == stat.S_IFREG:
            with open(os.path.join(root, path), "rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
            first = firsts.setdefault(status.st_ino, path)
            found[path] = ("file", *attributes, status.st_size, digest, status.st_nlink, first)
        else:
            found[path] = ("special", kind)
    return found


def paths_in(root: bytes) -> list[bytes]:
    """Return the paths of all that is in a tree, and of the tree itself."""
    found = [b"."]
    for folder, directories, files in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in (*directories, *files)]
    return found


def differences(root: bytes, copy: bytes, *, since_1970: bool = False, limit: int = 5) -> list[str]:
    """Return in what two trees differ; nothing if they are the same."""
    one, other = described(root, since_1970=since_1970), described(copy, since_1970=since_1970)
    lines = [
        f"{path!r}: {one.get(path, 'nothing')} became {other.get(path, 'nothing')}"
        for path in sorted({*one, *other})
        if one.get(path) != other.get(path)
    ]
    return [*lines[:limit], *([f"and {len(lines) - limit} more"] if len(lines) > limit else [])]


# -- changes -----------------------------------------------------------------------------------------------------------


@dataclass
class Changer:
    """Changes a tree at random, and in a way that a comparison by size and time has to find."""

    chance: random.Random
    clock: int = 1_700_000_100
    done: list[str] = field(default_factory=list)

    def change(self, root: bytes, count: int) -> None:
        """Make so many changes."""
        for _each in range(count):
            action = self.chance.choice(_ACTIONS)
            self.done.append(action.__name__)
            action(self, root)

    def retime(self, root: bytes) -> None:
        """Give each file a time of its own, so that one is never taken for another."""
        for path in sorted(paths_in(root)):
            full = os.path.join(root, path)
            if stat.S_ISREG(os.lstat(full).st_mode):
                os.utime(full, (0, self.time()))

    def time(self) -> int:
        """Return a time that no file has yet."""
        self.clock += 1
        return self.clock

    def pick(self, root: bytes, kind: int | None = None) -> bytes | None:
        """Return one of the paths below the root, of a kind if that is given."""
        found = []
        for path in paths_in(root)[1:]:
            full = os.path.join(root, path)
            if kind is None or stat.S_IFMT(os.lstat(full).st_mode) == kind:
                found.append(full)
        return self.chance.choice(sorted(found)) if found else None

    def folder(self, root: bytes) -> bytes:
        """Return one of the directories, the root among them."""
        return self.chance.choice([root, self.pick(root, stat.S_IFDIR) or root])

    def name(self, root: bytes) -> bytes:
        """Return a path at which nothing is."""
        while True:
            name = self.chance.choice([*_SPECIAL, bytes([self.chance.choice(_BYTES)])])
            path = os.path.join(self.folder(root), name)
            if name not in (b".", b"..") and not os.path.lexists(path):
                return path


def _add_file(changer: Changer, root: bytes) -> None:
    path = changer.name(root)
    _make(os.path.dirname(path), Node("file", os.path.basename(path), 0o640, changer.time(), content=b"new"), [])


def _add_folder(changer: Changer, root: bytes) -> None:
    path = changer.name(root)
    inner = (Node("file", b"x", 0o4711, changer.time()), Node("link", b"y", target=b"x"))
    _make(os.path.dirname(path), Node("folder", os.path.basename(path), 0o700, changer.time(), inner=inner), [])


def _rewrite(changer: Changer, root: bytes) -> None:
    path = changer.pick(root, stat.S_IFREG)
    if path:
        with open(path, "r+b") as stream:
            stream.write(bytes([changer.chance.randrange(256)]))
        os.utime(path, (0, changer.time()))


def _set_attributes(changer: Changer, root: bytes) -> None:
    path = changer.pick(root)
    if path and not os.path.islink(path):
        os.chmod(path, changer.chance.choice([0o600, 0o711, 0o2755]))
        os.chown(path, changer.chance.choice([0, 1234]), 0)


def _remove(changer: Changer, root: bytes) -> None:
    path = changer.pick(root)
    if path is None:
        return
    if os.path.isdir(path) and not os.path.islink(path):
        _remove_tree(path)
    else:
        os.unlink(path)


def _remove_tree(path: bytes) -> None:
    for folder, directories, files in os.walk(path, topdown=False):
        for name in files:
            os.unlink(os.path.join(folder, name))
        for name in directories:
            full = os.path.join(folder, name)
            (os.unlink if os.path.islink(full) else os.rmdir)(full)
    os.rmdir(path)


def _replace(changer: Changer, root: bytes) -> None:
    """Put something of another kind where something is."""
    path = changer.pick(root)
    if path is None:
        return
    was_folder = os.path.isdir(path) and not os.path.islink(path)
    if was_folder:
        _remove_tree(path)
    else:
        os.unlink(path)
    kind = changer.chance.choice(["link", "file"] if was_folder else ["link", "folder", "file"])
    node = Node(kind, os.path.basename(path), 0o755, changer.time(), content=b"other", target=b"../else")
    _make(os.path.dirname(path), node, [])


def _join(changer: Changer, root: bytes) -> None:
    path = changer.pick(root, stat.S_IFREG)
    if path:
        os.link(path, changer.name(root))


def _move(changer: Changer, root: bytes) -> None:
    path, to = changer.pick(root), changer.name(root)
    if path and not to.startswith(path + b"/"):
        os.rename(path, to)


def _pull(changer: Changer, root: bytes) -> None:
    """Change a link's target."""
    path = changer.pick(root, stat.S_IFLNK)
    if path:
        os.unlink(path)
        os.symlink(b"target-%d" % changer.time(), path)


_ACTIONS: list[Callable[[Changer, bytes], None]] = [
    _add_file,
    _add_folder,
    _rewrite,
    _set_attributes,
    _remove,
    _replace,
    _join,
    _move,
    _pull,
]
