# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may get wrong with a transfer: each is refused before anything is written, and told so that it helps.

All cases are tasks of one playbook. What only an unprivileged user meets is in the unit tests (test_tree.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from integration.support import assert_no_traceback, one_line, play
from integration.test_pipeline_bad_input import closed_port, pending_pod, places
from testbed.bed import Bed
from testbed.fixtures import ON_BOTH_TIERS
from testbed.playbook import PlaybookResult
from testbed.pods import Kubes
from testbed.run import Run
from testbed.tier import Tier

pytestmark = pytest.mark.any_core


@dataclass(frozen=True)
class Case:
    """A transfer that is refused, and what the message must say. HERE is a folder of this machine."""

    name: str
    says: str
    src: Any = "local:HERE/tree/"
    dest: Any = "alpha:~/new"
    options: dict[str, Any] = field(default_factory=dict)


PLACES = [
    ("unknown", "there is no context 'unknown'. Contexts are the hosts of the inventory, and 'local'."),
    ("no-pod", "pod/nowhere does not exist. There are: pending, web."),
    ("pending-pod", "is not ready"),
    ("no-container", "has no container 'missing'. It has: main."),
    ("no-kubeconfig", "Check ansible_kubectl_kubeconfig"),
    ("closed-api", "Check that the API server in the kubeconfig can be reached from here"),
    ("stranger", "the SSH server refused the login"),
    ("closed-port", "Connection refused. Check that an SSH server listens there"),
    ("no-address", "Could not resolve hostname"),
    ("changed-key", "the host key is unknown or has changed. Compare the key"),
]
CASES = [
    *(Case(f"{place} as src", says, src=f"{place}:/x") for place, says in PLACES),
    *(Case(f"{place} as dest", says, dest=f"{place}:/x") for place, says in PLACES),
    Case("no src", "src: local:HERE/none does not exist, or cannot be seen by this user", src="local:HERE/none"),
    Case("no src there", "src: alpha:/no/such does not exist", src="alpha:/no/such", dest="local:HERE/x"),
    Case("src in a file", "src: local:HERE/file/x does not exist", src="local:HERE/file/x"),
    Case(
        "file with a slash",
        "src: local:HERE/file/ is no directory that this user can see; leave out the slash",
        src="local:HERE/file/",
    ),
    Case("special src", "src: local:HERE/pipe is neither a file nor a directory", src="local:HERE/pipe"),
    Case("dangling src", "src: local:HERE/dangling is neither a file nor a directory", src="local:HERE/dangling"),
    Case("no parent", "does not exist; make it first, or set 'create_parents'", dest="alpha:~/no/such"),
    Case("no parent of a file", "set 'create_parents'", src="local:HERE/file", dest="alpha:~/no/such"),
    Case(
        "parent is a file",
        "dest: alpha:~/old/x cannot be written to by this user, or is in no directory",
        dest="alpha:~/old/x",
        options={"create_parents": True},
    ),
    Case("parent of a file is a file", "~/old", src="local:HERE/file", dest="alpha:~/old/x"),
    Case("file to tree", "dest: alpha:~/dir/file is a directory, and src is a file", "local:HERE/file", "alpha:~/dir"),
    Case("tree to file", "dest: alpha:~/old is a file, and src is a directory", dest="alpha:~/old"),
    Case("special dest", "dest: local:/dev/null is neither a file nor a directory", dest="local:/dev/null"),
    Case("itself", "dest: local:HERE/tree is local:HERE/tree/ itself, or in it", dest="local:HERE/tree"),
    Case("in itself", "itself, or in it", dest="local:HERE/x/../tree/sub/new"),
    Case(
        "dots as name",
        "has no name that it could have at dest; end it with a slash",
        "local:HERE/tree/..",
        "alpha:~/dir",
    ),
    Case("no colon", "names no context; write 'context:path', for this machine 'local:/etc/hosts'", "/etc/hosts"),
    Case("empty src", "src: write 'context:path' or a mapping", src=""),
    Case("no path", "dest: the path is empty; 'alpha:.' is where commands start there", dest="alpha:"),
    Case("line break", "src: the path holds a NUL or a line break", src="local:/a\nb"),
    Case("long path", "dest: the path is longer than 4096 bytes", dest="alpha:/" + 5000 * "x"),
    Case("a list", "src: write 'context:path' or a mapping with 'context' and 'path', not ['a']", src=["a"]),
    Case("unknown key", "src: unknown key 'pth'. Did you mean 'path'?", src={"context": "alpha", "pth": "/x"}),
    Case("no context", "dest: 'context' is missing", dest={"path": "/x"}),
    Case("become what", "src: 'become' is true or false", src={"context": "alpha", "path": "/x", "become": "may be"}),
    Case("glob what", "src: 'glob' is true or false", src={"context": "alpha", "path": "/x", "glob": [1]}),
    Case("pod of local", "'local' has no pods", src={"context": "local", "pod": "web", "path": "/x"}),
    Case("misspelt", "dest: there is no context 'alhpa'. Did you mean 'alpha'?", dest="alhpa:/x"),
    Case("unknown option", "Unsupported parameters", options={"recursive": True}),
    Case("bwlimit", "bwlimit: ", options={"bwlimit": "fast"}),
    Case("negative retries", "retries: ", options={"retries": -1}),
    Case("no time", "timeout: ", options={"timeout": 0}),
    Case("checksum what", "checksum", options={"checksum": "md5"}),
    Case("bad pattern", "exclude: '/' is no pattern", options={"exclude": ["/"]}),
    Case("no match", "src: nothing in local:HERE/tree matches '*.gz'", src="local:HERE/tree/*.gz"),
    Case("pattern above", "a pattern can only be the last part of a path", src="local:HERE/t*/sub"),
    Case("pattern and delete", "'delete' does not go with the pattern", "local:HERE/tree/*", options={"delete": True}),
]


@dataclass(frozen=True)
class Scene:
    """A playbook that ran every case, and the folders that nothing may have come to."""

    result: PlaybookResult
    here: Path
    alpha: Path


@pytest.fixture(scope="module", params=ON_BOTH_TIERS)
def scene(
    request: pytest.FixtureRequest, testbed_run: Run, kubes: Kubes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    """Run every case in one playbook."""
    scratch, here = tmp_path_factory.mktemp("bad"), tmp_path_factory.mktemp("here")
    tier: Tier = request.param
    with Bed(testbed_run, tier, kubes) as bed, closed_port() as port:
        alpha, beta, web = bed.ssh_host("alpha"), bed.ssh_host("beta"), bed.pod("web")
        pending_pod(web)
        (here / "tree" / "sub").mkdir(parents=True)
        (here / "tree" / "note").write_text("x")
        (here / "file").write_text("x")
        os.mkfifo(here / "pipe")
        (here / "dangling").symlink_to("nowhere")
        (alpha.data / "dir" / "file").mkdir(parents=True)
        (alpha.data / "old").write_text("old")
        hosts = places(alpha, beta, web, port, scratch)
        contexts = bed.inventory(text=str({"all": {"hosts": hosts}}))
        tasks = [task_of(case, here) for case in CASES]
        result = contexts.run_playbook([play(*tasks)])
        web.kube.delete("Pod", "pending", grace_seconds=0)
        yield Scene(result, here, alpha.data)


def task_of(case: Case, here: Path) -> dict[str, Any]:
    """Return the task of a case; it may fail without ending the play."""

    def placed(end: Any) -> Any:
        return end.replace("HERE", str(here)) if isinstance(end, str) else end

    arguments = {"src": placed(case.src), "dest": placed(case.dest), **case.options}
    return {"name": case.name, "manifold.core.transfer": arguments, "ignore_errors": True}


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_it_is_refused_with_a_message_that_helps(scene: Scene, case: Case) -> None:
    done = scene.result.task(case.name)
    message = one_line(str(done.result["msg"]))
    assert done.status == "failed", done.result
    assert case.says.replace("HERE", str(scene.here)).lower() in message.lower(), message
    assert not done.result.get("changed")


def test_nothing_was_written_and_nobody_saw_a_traceback(scene: Scene) -> None:
    assert_no_traceback(scene.result)
    assert {path.name for path in scene.here.iterdir()} == {"tree", "file", "pipe", "dangling"}
    assert sorted(str(path.relative_to(scene.here)) for path in (scene.here / "tree").rglob("*")) == [
        "tree/note",
        "tree/sub",
    ]
    held = {str(path.relative_to(scene.alpha)) for path in scene.alpha.rglob("*") if ".ansible" not in path.parts}
    assert held == {"dir", "dir/file", "old"}
    assert (scene.alpha / "old").read_text() == "old"
