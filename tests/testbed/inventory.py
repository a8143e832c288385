# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory file of test hosts, and playbooks run against it in an Ansible environment of its own."""

from __future__ import annotations

import configparser
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml

from testbed.playbook import CALLBACKS, PlaybookResult, PlaybookRun
from testbed.run import Run
from testbed.ssh.masters import close_masters
from testbed.warm import WarmAnsible

REPOSITORY = Path(__file__).resolve().parents[2]
COLLECTIONS_VARIABLE = "MANIFOLD_COLLECTIONS_PATH"
"""Where ``ansible_collections/manifold/core`` and the collections it depends on are installed."""

Playbook = str | Path | list[dict[str, Any]]
"""A playbook as YAML text, as a file or as plays."""


class LeftBehindError(AssertionError):
    """A play ended and left processes on this machine."""


class Host(Protocol):
    """Whatever can be a host of an inventory."""

    @property
    def name(self) -> str:
        """The name in the inventory."""

    def inventory_vars(self) -> dict[str, Any]:
        """Return the host variables that let Ansible reach it."""


class Inventory:
    """A YAML inventory in a folder of its own, with a private HOME, configuration and control paths.

    :param variables: more host variables by host name; they win over the host's own.
    :param groups: host names by group name.
    :param text: the whole file instead, for an inventory plugin; ``filename`` then matters to the plugin.
    :param warm: forks the runs whose end is awaited at once; what is watched or signalled is the command itself.
    """

    def __init__(
        self,
        run: Run,
        hosts: Iterable[Host] = (),
        *,
        variables: Mapping[str, Mapping[str, Any]] | None = None,
        groups: Mapping[str, Iterable[str]] | None = None,
        text: str | None = None,
        filename: str = "hosts.yml",
        warm: WarmAnsible | None = None,
    ) -> None:
        self._run = run
        self._warm = warm
        self._plays: list[PlaybookRun] = []
        self.directory = run.new_directory("inv")
        self.home = self.directory / "home"
        self.home.mkdir(mode=0o700)
        self.control_path_directory = self.directory / "cp"
        self.path = self.directory / filename
        self.path.write_text(text if text is not None else render(hosts, variables or {}, groups or {}))
        self.config_path = self.directory / "ansible.cfg"
        self._write_config()

    def run_playbook(
        self,
        playbook: Playbook,
        *args: str,
        env: Mapping[str, str] | None = None,
        extra_vars: Mapping[str, Any] | None = None,
        timeout: float = 300,
    ) -> PlaybookResult:
        """Run a playbook to its end; ``args`` are further arguments of ansible-playbook."""
        return self.play_async(playbook, *args, env=env, extra_vars=extra_vars, forked=True).wait(timeout)

    def play_async(
        self,
        playbook: Playbook,
        *args: str,
        env: Mapping[str, str] | None = None,
        extra_vars: Mapping[str, Any] | None = None,
        forked: bool = False,
    ) -> PlaybookRun:
        """Start a playbook and return the running process; ``forked`` allows that of :mod:`testbed.warm`."""
        number = self._run.number()
        argv = ["-i", str(self.path), *args]
        if extra_vars is not None:
            variables = self.directory / f"extra-{number}.json"
            variables.write_text(json.dumps(dict(extra_vars)))
            argv += ["-e", f"@{variables}"]
        argv.append(str(self._playbook_path(playbook, number)))
        play = PlaybookRun(
            argv,
            environment=self.environment() | dict(env or {}),
            cwd=self.directory,
            results=self.directory / f"results-{number}.jsonl",
            warm=self._warm if forked else None,
        )
        self._plays.append(play)
        return play

    def environment(self) -> dict[str, str]:
        """Return the environment that Ansible runs in: nothing of the caller's own Ansible or home reaches it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "SSH_"))}
        programs = str(Path(sys.executable).parent)
        return kept | {
            "PATH": f"{programs}:{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_CONFIG": str(self.config_path),
            "ANSIBLE_HOME": str(self.directory / "ansible"),
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "ansible" / "tmp"),
            "ANSIBLE_COLLECTIONS_PATH": collections_path(self._run),
        }

    def close(self) -> None:
        """End what runs, close ssh masters; raise LeftBehindError if an ended play left processes."""
        close_masters(self.directory)
        left = [line for play in self._plays for line in play.close()]
        self._plays.clear()
        if left:
            raise LeftBehindError("left behind by a play:\n" + "\n".join(left))

    def _playbook_path(self, playbook: Playbook, number: int) -> Path:
        if isinstance(playbook, Path):
            return playbook.resolve()
        path = self.directory / f"playbook-{number}.yml"
        path.write_text(textwrap.dedent(playbook) if isinstance(playbook, str) else yaml.safe_dump(playbook))
        return path

    def _write_config(self) -> None:
        config = configparser.ConfigParser(interpolation=None)
        config["defaults"] = {
            "callback_plugins": str(CALLBACKS),
            "callbacks_enabled": "testbed_results",
            "nocows": "true",
        }
        # without it an inventory that cannot be read ends green (2.19)
        config["inventory"] = {"any_unparsed_is_failed": "true"}
        config["ssh_connection"] = {"control_path_dir": str(self.control_path_directory)}
        with self.config_path.open("w") as stream:
            config.write(stream)


def render(
    hosts: Iterable[Host],
    variables: Mapping[str, Mapping[str, Any]],
    groups: Mapping[str, Iterable[str]],
) -> str:
    """Return a YAML inventory of hosts and groups."""
    tree: dict[str, Any] = {
        "all": {
            "hosts": {host.name: host.inventory_vars() | dict(variables.get(host.name, {})) for host in hosts},
            "children": {group: {"hosts": dict.fromkeys(names)} for group, names in groups.items()},
        }
    }
    return yaml.safe_dump(tree, sort_keys=False)


def collections_path(run: Run) -> str:
    """Return where Ansible is to look for collections: the variable's value, else this checkout by a link."""
    given = os.environ.get(COLLECTIONS_VARIABLE)
    if given:
        return given
    link = run.directory / "collections" / "ansible_collections" / "manifold" / "core"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(REPOSITORY)
    return str(link.parents[2])
