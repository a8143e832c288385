# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.utils.display import Display
from ansible_collections.manifold.core.plugins.plugin_utils import _display
from ansible_collections.manifold.core.plugins.plugin_utils._display import make_meter
from ansible_collections.manifold.core.plugins.plugin_utils._linux import writes_to_terminal
from ansible_collections.manifold.core.plugins.plugin_utils.operations._progress import Flow

Shown = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What Ansible was asked to display; no setting and no terminal."""
    texts: Shown = []
    monkeypatch.setattr(Display, "display", lambda _self, text, **options: texts.append((text, options)))
    monkeypatch.setattr(_display, "writes_to_terminal", lambda _pid: False)
    for name in ("MANIFOLD_PROGRESS", "MANIFOLD_PROGRESS_INTERVAL"):
        monkeypatch.delenv(name, raising=False)
    return texts


def _action(*, no_log: bool = False) -> Any:
    return SimpleNamespace(
        _task=SimpleNamespace(no_log=no_log), _templar=SimpleNamespace(template=lambda text: text.strip("{} "))
    )


def _look(*, action: Any = None, **task_vars: Any) -> None:
    """Look at a stream until something is shown, and end."""
    variables = {"inventory_hostname": "web1", "manifold_progress_interval": "{{ 0.001 }}", **task_vars}
    meter = make_meter(action or _action(), variables)
    if meter is not None:
        meter._next = 0.0
        meter.look(lambda: [Flow(3 << 20, None)])
        meter.finish()


def test_without_a_terminal_lines_name_their_host(shown: Shown) -> None:
    _look()
    ((text, options),) = shown
    assert text.startswith("web1: 3.00 MB  ")
    assert options == {}


def test_on_a_terminal_one_line_is_written_over_and_taken_away(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_display, "writes_to_terminal", lambda _pid: True)
    _look()
    (text, options), (last, _options) = shown
    assert text.startswith("\r3.00 MB") and text.endswith("\x1b[K")
    assert last == "\r\x1b[K"
    assert options == {"screen_only": True, "newline": False}, "a log file gets whole lines only"


def test_several_hosts_share_a_terminal_by_whole_lines(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_display, "writes_to_terminal", lambda _pid: True)
    _look(ansible_play_batch=["web1", "web2"])
    ((text, _options),) = shown
    assert text.startswith("web1: ")


def test_a_line_never_wraps(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Display(), "columns", 10)
    _look(manifold_progress="terminal")
    assert len(shown[0][0].strip("\r").removesuffix("\x1b[K")) <= 20


@pytest.mark.parametrize("how", ["variable", "environment", "no_log"])
def test_it_is_silent_when_asked(shown: Shown, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "environment":
        monkeypatch.setenv("MANIFOLD_PROGRESS", "none")
    _look(action=_action(no_log=how == "no_log"), **({"manifold_progress": "{{ none }}"} if how == "variable" else {}))
    assert shown == []


def test_a_variable_beats_the_environment(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANIFOLD_PROGRESS", "none")
    _look(manifold_progress="lines")
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("manifold_progress", "loud", "'loud' is none of auto, terminal, lines, none"),
        ("manifold_progress_interval", "soon", "'soon' is not a number of seconds above 0"),
        ("manifold_progress_interval", "0", "'0' is not a number"),
        ("manifold_progress_interval", "nan", "'nan' is not a number"),
    ],
)
def test_a_setting_that_is_none_is_an_error(name: str, value: str, says: str) -> None:
    with pytest.raises(AnsibleError, match=says):
        make_meter(_action(), {name: value})


def test_a_process_with_a_terminal_is_told_from_others(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        with (tmp_path / "out").open("w") as file:
            for stdout, expected in ((theirs, True), (file, False), (subprocess.PIPE, False)):
                with subprocess.Popen(["sleep", "1000"], stdout=stdout) as process:
                    assert writes_to_terminal(process.pid) == expected
                    process.kill()
        assert not writes_to_terminal(2**22 + 1)
    finally:
        os.close(ours)
        os.close(theirs)
