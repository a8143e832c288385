# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A source whose last part is a pattern: ``/var/log/nginx/*.gz``.

It is expanded where it is, by ``find``, and only if nothing has that very name. What matches is then a tree without its
root: entries of one directory that go into another.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from dataclasses import replace

from ..streams._shell import path_word, quote
from ._endpoint import Endpoint
from ._errors import TransferError
from ._listing import Listing, PathKind
from ._spec import Request

_MAGIC = re.compile(r"[*?[]")

# find looks at what is in the directory, goes on below what matches only, and prints neither "." nor anything else. As
# in a shell, a name that begins with a dot has to be matched by a dot.
_CHOOSE = r"""if [ ! -e "$p" ] && [ ! -L "$p" ] && [ -d {folder} ]; then
  p={folder} i=2 n='! -name .'
  set -- ! -name . ! -path './*/*' ! \( -name {pattern}{no_dots} \) -prune -o ! -name .
fi
"""


def is_pattern(end: Endpoint) -> bool:
    """Return whether a path may be a pattern."""
    return end.glob and bool(_MAGIC.search(end.path))


def choose_commands(end: Endpoint) -> str:
    """Return the commands of a list script (_shell.py) that expand the pattern unless something has that very name."""
    if not is_pattern(end) or end.follows or not _MAGIC.search(end.name):
        return ""
    no_dots = "" if end.name.startswith((".", "[.", "\\.")) else " ! -name '.*'"
    return _CHOOSE.format(folder=path_word(_folder(end)), pattern=quote(end.name), no_dots=no_dots)


def _folder(end: Endpoint) -> str:
    return posixpath.dirname(end.path) or "."


def expanded(request: Request, src: Listing) -> Request:
    """Return the request for the directory whose entries were chosen; raise TransferError if that makes no sense."""
    end = request.src
    if not src.matched:
        if src.kind is PathKind.ABSENT and is_pattern(end):
            raise TransferError(_why_none(end))
        return request
    if next(src.manifest.lines(), None) is None and not src.excluded:
        raise TransferError(f"src: nothing in {_place(end)} matches '{end.name}'")
    if request.delete:
        raise TransferError(
            f"src: 'delete' does not go with the pattern {end}: what it does not match would be removed. Name the "
            "directory, with a slash at its end, and choose with 'exclude' and 'include'."
        )
    if lands_in_itself(request):
        raise TransferError(f"dest: {request.dest} is the directory of {end}, or in what that matches")
    folder = _folder(end)
    return replace(request, src=replace(end, path=folder if folder.endswith("/") else folder + "/"))


def _place(end: Endpoint) -> Endpoint:
    return replace(end, path=_folder(end))


def _why_none(end: Endpoint) -> str:
    if _MAGIC.search(_folder(end)) or end.follows:
        return (
            f"src: {end} does not exist, and a pattern can only be the last part of a path. Name the directory above, "
            "and choose with 'exclude' and 'include'."
        )
    return f"src: {_place(end)}, where {end.name} is looked for, is no directory, or cannot be seen by this user"


def lands_in_itself(request: Request) -> bool:
    """Return whether what a pattern matches would be copied into itself."""
    src, dest = request.src, request.dest
    if (src.context, src.pod, src.container) != (dest.context, dest.pod, dest.container):
        return False
    folder, to = posixpath.normpath(_folder(src)), posixpath.normpath(dest.path)
    below = posixpath.relpath(to, folder) if posixpath.isabs(to) is posixpath.isabs(folder) else ".."
    first = below.partition("/")[0]
    return first == "." or (first != ".." and fnmatch.fnmatchcase(first, src.name))
