# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of the test bed: its id, its folder and the names by which its parts are found again."""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from testbed.processes import RUN_VARIABLE
from testbed.reaper import Reaper

_TESTS = Path(__file__).resolve().parents[1]


class Run:
    """A context manager around everything that is made for one run.

    The folder is short, because it holds UNIX sockets (108 bytes), and may be entered by every user,
    because hosts with a user of their own live in it; what is secret in it has a mode of its own.
    """

    def __init__(self) -> None:
        # before the mark is set: the reaper is to outlive all that carries it
        self._reaper = Reaper.in_new_workdir("run")
        # the name of the work directory tells other runs whether this one still lives
        self.id = self._reaper.workdir.name.rpartition("-")[2]
        self.tag = f"mf{self.id}"
        self.directory = Path(tempfile.gettempdir(), self.tag)
        self._reaper.add_tree(self.directory)
        self.directory.mkdir()
        self.directory.chmod(0o711)
        self._numbers = itertools.count(1)
        self._outer = os.environ.get(RUN_VARIABLE)
        self.owe("testbed.processes", "kill_marked", RUN_VARIABLE, self.id)
        self.owe("testbed.processes", "kill_naming", f"{self.directory}{os.sep}")

    def __enter__(self) -> Run:
        os.environ[RUN_VARIABLE] = self.id  # inherited by every process that is started from here
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is left, remove the folder and take the mark back. May be called twice."""
        if os.environ.get(RUN_VARIABLE) == self.id:
            if self._outer is None:
                del os.environ[RUN_VARIABLE]
            else:
                os.environ[RUN_VARIABLE] = self._outer
        self._reaper.close()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def owe(self, module: str, function: str, *arguments: str) -> int:
        """Register a clean-up that is done even if this process is killed; return a token to discard it by.

        It is a call of a function of the test bed with text arguments, which must not fail when there is
        nothing left to do.
        """
        program = (
            "import importlib, sys; sys.path.insert(0, sys.argv[1]); "
            "getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(*sys.argv[4:])"
        )
        return self._reaper.add_command([sys.executable, "-c", program, str(_TESTS), module, function, *arguments])

    def done(self, token: int) -> None:
        """Discard a clean-up, because it has been done."""
        self._reaper.discard(token)

    @property
    def reaper_directory(self) -> Path:
        """The folder that the run's reaper works in."""
        return self._reaper.workdir

    def number(self) -> int:
        """Return a number that is new in this run."""
        return next(self._numbers)

    def new_directory(self, name: str) -> Path:
        """Make a folder that every user may enter; its name is short and new."""
        path = self.directory / f"{name[:12]}{self.number()}"
        path.mkdir()
        path.chmod(0o711)
        return path
