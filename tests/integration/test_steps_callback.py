# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user of the callback ``steps`` sees: the lines of real runs, on a terminal and elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from integration.support import Inventories, assert_no_traceback
from testbed.inventory import REPOSITORY, Inventory
from testbed.playbook import PlaybookResult

pytestmark = pytest.mark.embedded

EXAMPLE = REPOSITORY / "examples" / "deploy.yml"
CALLBACK = {"ANSIBLE_STDOUT_CALLBACK": "manifold.core.steps", "COLUMNS": "100"}
SECRET = "hunter2"


def hosts(*names: str) -> str:
    """Return an inventory of hosts that are this machine, and of one that nobody answers for."""
    local = f"ansible_connection=local ansible_python_interpreter={sys.executable}"
    dead = "dead ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 ansible_ssh_retries=0"
    return "\n".join([*(f"{name} {local}" for name in names), dead]) + "\n"


@pytest.fixture
def contexts(inventory: Inventories) -> Inventory:
    return inventory(text=hosts("local", "web1", "web2", "web3"), filename="hosts.ini")


def run(contexts: Inventory, playbook: str | Path, *args: str, env: Mapping[str, str] | None = None) -> PlaybookResult:
    result = contexts.run_playbook(playbook, *args, env=CALLBACK | dict(env or {}))
    assert_no_traceback(result)
    assert "Callback dispatch" not in result.stderr, result.describe()
    return result


def timeless(text: str) -> str:
    """Return a text with every time in brackets as T."""
    return re.sub(r"\((?:\d+h )?(?:\d+m )?[\d.]+[sm](?=[,)])", "(T", text)


def seen_of(host: str, text: str) -> list[str]:
    """Return the steps of a host, in their order, each with what stands below it."""
    kept: list[str] = []
    mine = False
    for line in timeless(text).splitlines():
        if line.startswith("["):
            where = re.search(r": \((\w+)", line)
            assert where, f"this step names no host: {line}"
            mine = where[1] == host
        elif not line.startswith(" "):
            mine = False
        if mine:
            kept.append(line)
    return kept


def write_files(contexts: Inventory, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = contexts.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


FILES = {
    "roles/web/tasks/main.yml": """
        - name: install
          ansible.builtin.raw: echo install
          notify: reload
        - name: Try it
          block:
            - name: probe
              ansible.builtin.command: sh -c 'echo no answer >&2; exit 4'
            - name: never
              ansible.builtin.raw: echo never
          rescue:
            - name: undo
              ansible.builtin.raw: echo undo
          always:
            - name: report
              ansible.builtin.debug:
                msg: "probed {{ inventory_hostname }}\\nas asked"
    """,
    "roles/web/handlers/main.yml": """
        - name: reload
          ansible.builtin.raw: echo reload
    """,
    "imported.yml": """
        - name: imported
          ansible.builtin.raw: echo imported
          changed_when: false
    """,
    "more.yml": """
        - name: first
          ansible.builtin.raw: echo first
        - name: second
          ansible.builtin.raw: echo second
          when: turn is not defined or turn == 2
    """,
}

WIDE = """
- name: Everything at once
  hosts: web1,web2
  gather_facts: false
  vars: {password: hunter2}
  roles: [web]
  tasks:
    - ansible.builtin.import_tasks: imported.yml
    - name: more
      ansible.builtin.include_tasks: more.yml
    - name: more of it
      ansible.builtin.include_tasks: more.yml
      loop: [1, 2]
      loop_control: {loop_var: turn}
    - name: log in
      ansible.builtin.raw: echo -u admin -p{{ password }}
    - name: hidden
      ansible.builtin.raw: echo hunter2
      no_log: true
    - name: hidden loop
      ansible.builtin.command: sh -c 'echo hunter2 >&2; exit {{ item.code }}'
      loop: [{code: 0, password: hunter2}, {code: 3, password: hunter2}]
      no_log: true
      ignore_errors: true
    - name: loop
      ansible.builtin.command: sh -c 'seq 12 >&2; exit {{ item.code }}'
      loop: [{name: one, code: 0, password: hunter2}, {name: two, code: 3, password: hunter2}]
      ignore_errors: true
    - name: again
      ansible.builtin.shell: mkdir {{ folder }}/$NAME && exit 1 || exit 0
      environment: {NAME: "{{ inventory_hostname }}"}
      register: again
      until: again is success
      retries: 3
      delay: 0
    - name: elsewhere
      ansible.builtin.ping:
      delegate_to: web3
    - name: once
      ansible.builtin.ping:
      delegate_to: web3
      run_once: true
    - name: undefined
      ansible.builtin.debug: {msg: "{{ nothing }}"}
      ignore_errors: true
    - name: copy it
      ansible.builtin.copy:
        content: "new {{ inventory_hostname }}\\n"
        dest: "{{ folder }}/{{ inventory_hostname }}.txt"
      diff: true
    - ansible.builtin.meta: flush_handlers
    - name: missing
      ansible.builtin.include_tasks: nowhere.yml
      when: inventory_hostname == 'web2'
    - name: last
      ansible.builtin.raw: echo last
"""


SEEN_OF_WEB1 = """
[1/17] web : install: (web1) echo install ✓ (T)
[2/17] web : probe: (web1) sh -c 'echo no answer >&2; exit 4' ✗ (T) exit status 4, rescue follows
      | no answer
[4/18] web : undo: (web1) echo undo ✓ (T)
[5/19] web : report: (web1) debug ✓ (T)
      probed web1
      as asked
[6/19] imported: (web1) echo imported ✓ (T)
[7/19] more: (web1) include_tasks more.yml ✓ (T)
[8/21] first: (web1) echo first ✓ (T)
[9/21] second: (web1) echo second ✓ (T)
[10/21] more of it: (web1) include_tasks more.yml ✓ (T, 2 items)
[11/23] first: (web1) echo first ✓ (T)
[12/23] second: (web1) echo second - skipped
[13/25] first: (web1) echo first ✓ (T)
[14/25] second: (web1) echo second ✓ (T)
[15/25] log in: (web1) echo -u admin -p{{ password }} ✓ (T)
[16/25] hidden: (web1) raw ✓ (T)
[17/25] hidden loop: (web1) command ✗ ignored (T, 1 of 2 items failed)
      item 2: failed
        no_log hides the reason
[18/25] loop: (web1) sh -c 'seq 12 >&2; exit {{ item.code }}' ✗ ignored (T, 1 of 2 items failed)
      item two: exit status 3
        (10 more lines of stderr above)
        | 11
        | 12
[19/25] again: (web1) mkdir {{ folder }}/$NAME && exit 1 || exit 0 ✓ (T, 2 attempts)
[20/25] elsewhere: (web1 → web3) ping ✓ (T)
[22/25] undefined: (web1) debug ✗ ignored (T)
      Task failed: Finalization of task args for 'ansible.builtin.debug' failed: Error while resolving value for \
'msg': 'nothing' is undefined
[23/25] copy it: (web1) copy ✓ (T)
      --- before
      +++ after: FOLDER/web1.txt
      @@ -0,0 +1 @@
      +new web1
[24/26] handler web : reload: (web1) echo reload ✓ (T)
[25/26] missing: (web1) include_tasks nowhere.yml - skipped
[26/26] last: (web1) echo last ✓ (T)
""".replace("\\\n", "")


def test_a_play_with_all_that_plays_can_hold(contexts: Inventory) -> None:
    write_files(contexts, FILES)
    folder = contexts.directory / "work"
    folder.mkdir()
    result = run(contexts, WIDE, "-e", f"folder={folder}", env={"ANSIBLE_CALLBACK_STEPS_OUTPUT_LINES": "2"})
    expected = SEEN_OF_WEB1.replace("FOLDER", str(folder)).strip().splitlines()
    assert seen_of("web1", result.stdout) == expected, result.describe()

    seen = seen_of("web2", result.stdout)
    same = expected.index("[25/26] missing: (web1) include_tasks nowhere.yml - skipped")
    assert seen[:same] == [line.replace("web1", "web2") for line in expected[:same]]
    assert seen[same] == "[25/26] missing: (web2) include_tasks nowhere.yml ✗ (T)"
    assert "nowhere.yml" in seen[same + 1]

    lines = timeless(result.stdout).splitlines()
    assert lines[0] == "Everything at once"
    assert [line for line in lines if line.startswith("[21/")] == ["[21/25] once: (web3) ping ✓ (T)"]
    assert lines[-4:] == [
        "",
        "Recap (T)",
        "✓ web1: 23 ok, 15 changed, 2 skipped, 1 rescued, 3 ignored",
        "✗ web2: 21 ok, 14 changed, 1 skipped, 1 rescued, 3 ignored, 1 failed: missing",
    ]
    assert SECRET not in result.stdout + result.stderr
    assert result.rc == 2


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_deployment_in_five_steps(encoding: str, contexts: Inventory) -> None:
    result = run(contexts, EXAMPLE, "-e", "context=local", env={"PYTHONIOENCODING": encoding})
    arrow, ok = ("→", "✓") if encoding == "utf-8" else ("->", "ok")
    *steps, empty, recap, summary = timeless(result.stdout).splitlines()
    folder = re.search(r"\S+/shop-\S+(?=/1\.4\.2)", result.stdout)
    assert folder is not None, result.describe()
    assert steps == [
        "Deploy the shop",
        f"[1/5] Prepare: (local) tempfile {ok} (T)",
        f"[2/5] Build: (local) echo shop {{{{ version }}}} > {{{{ site.path }}}}/shop.txt {ok} (T)",
        f"[3/5] Push: (local) cat | gzip | {arrow} {folder.group()}/1.4.2.gz {ok} (T)",
        f"[4/5] Verify: (local) gzip -dc {{{{ site.path }}}}/{{{{ version }}}}.gz {ok} (T)",
        f"[5/5] Clean up: (local) file {ok} (T)",
    ]
    assert (empty, recap, summary) == ("", "Recap (T)", f"{ok} local: 5 ok, 4 changed")
    assert not Path(folder.group()).exists()


def test_hosts_that_do_not_wait_for_each_other_have_the_same_steps(contexts: Inventory) -> None:
    write_files(contexts, FILES)
    playbook = """
    - name: Each on its own
      hosts: web1,web2,web3
      gather_facts: false
      strategy: free
      tasks:
        - block:
            - name: try
              ansible.builtin.command: sh -c '[ {{ inventory_hostname }} != web3 ]'
          rescue:
            - name: saved
              ansible.builtin.ping:
        - name: more
          ansible.builtin.include_tasks: more.yml
        - name: end
          ansible.builtin.raw: echo end
    """
    result = run(contexts, playbook).check()
    shown = re.findall(r"^\[(\d+)/(\d+)\] ([\w ]+): \((web\d)\)", result.stdout, re.MULTILINE)
    for host in ("web1", "web2", "web3"):
        mine = [(int(number), int(total), name) for number, total, name, where in shown if where == host]
        names = ["try", *(["saved"] if host == "web3" else []), "more", "first", "second", "end"]
        assert [name for _number, _total, name in mine] == names, result.describe()
        assert [total for _number, total, _name in mine] == sorted(total for _number, total, _name in mine)
        assert mine[-1][0] == mine[-1][1], result.describe()
    assert max(int(total) for _number, total, _name, _host in shown) == 6, result.describe()


CHECKED = """
- name: Look first
  hosts: web1
  gather_facts: false
  tasks:
    - name: copy it
      ansible.builtin.copy: {content: "new\\n", dest: "{{ folder }}/it.txt"}
    - name: really
      ansible.builtin.command: sh -c 'printf "\\033[1mbold\\033[0m\\n"; exit 7'
      check_mode: false
      ignore_errors: true
    - name: hidden
      ansible.builtin.command: sh -c 'echo hunter2 {{ password }}; exit 7'
      check_mode: false
      no_log: true
      ignore_errors: true
    - name: hidden message
      ansible.builtin.fail: {msg: "{{ password }}"}
      no_log: true
      ignore_errors: true
    - name: hidden stream
      manifold.core.pipeline:
        steps: [{command: cat, context: local}, {dest: "{{ folder }}/hunter2", context: local}]
      no_log: "{{ true }}"
"""


def test_check_mode_diff_colours_and_results(contexts: Inventory) -> None:
    options = ["--check", "--diff", "-v", "-e", f"folder={contexts.directory}", "-e", f"password={SECRET}"]
    wanted = {
        "ANSIBLE_FORCE_COLOR": "1",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml",
        "ANSIBLE_SHOW_PER_HOST_START": "1",
    }
    result = run(contexts, CHECKED, *options, env=wanted)
    lines = timeless(result.stdout).splitlines()
    green, yellow, purple = "\x1b[0;32m", "\x1b[0;33m", "\x1b[1;35m"
    assert "\x1b[1;37mLook first (check mode)\x1b[0m" in lines
    copied = lines.index(f"{yellow}[1/5] copy it: (web1) copy ✓ (T)\x1b[0m")
    assert lines[copied + 1].strip() == "changed: true"
    assert any(line.endswith(f"{green}+new\x1b[0m") for line in lines[copied:]), result.describe()
    failed = next(line for line in lines if "really" in line and "[2/5]" in line and "started" not in line)
    assert failed.startswith(purple)
    assert failed.endswith("✗ ignored (T, not in check mode) exit status 7\x1b[0m")
    below = [line.removeprefix(purple).removesuffix("\x1b[0m").strip() for line in lines]
    assert "| bold" in below
    assert "rc: 7" in below
    assert "Origin: " in result.stdout + result.stderr
    blue = "\x1b[0;34m"
    hidden = [line for line in lines if "hidden" in line and "no_log" not in line]
    assert hidden == [
        f"{blue}[3/5] hidden: (web1) command started\x1b[0m",
        f"{purple}[3/5] hidden: (web1) command ✗ ignored (T, not in check mode)\x1b[0m",
        f"{blue}[4/5] hidden message: (web1) fail started\x1b[0m",
        f"{purple}[4/5] hidden message: (web1) fail ✗ ignored (T)\x1b[0m",
        f"{blue}[5/5] hidden stream: (web1) manifold.core.pipeline started\x1b[0m",
        f"{yellow}[5/5] hidden stream: (web1) manifold.core.pipeline ✓ (T)\x1b[0m",
    ], result.describe()
    assert SECRET not in result.stdout + result.stderr
    assert lines[-2:] == [
        "\x1b[1;37mRecap (T, check mode)\x1b[0m",
        f"{yellow}✓ web1: 5 ok, 4 changed, 3 ignored\x1b[0m",
    ]


BROKEN = """
- name: Some are away
  hosts: dead,web1
  gather_facts: false
  tasks:
    - name: greet
      ansible.builtin.raw: echo {{ inventory_hostname }}
      tags: [hello]
    - name: not today
      ansible.builtin.raw: echo
    - name: part
      ansible.builtin.raw: echo
      tags: [hello]
- name: Nobody
  hosts: nosuch
"""


def test_hosts_that_cannot_be_reached_and_tags(contexts: Inventory) -> None:
    wanted = {"ANSIBLE_CALLBACK_STEPS_SYMBOLS": "ascii", "ANSIBLE_DISPLAY_FAILED_STDERR": "1"}
    result = run(contexts, BROKEN, "--tags", "hello", env=wanted)
    assert result.rc == 4
    assert timeless(result.stdout).splitlines() == [
        "Some are away",
        "[1/2] greet: (web1) echo {{ inventory_hostname }} ok (T)",
        "[2/2] part: (web1) echo ok (T)",
        "",
        "Nobody",
        "skipped: no hosts matched",
        "",
        "Recap (T)",
        "FAILED dead: 1 unreachable: greet",
        "ok web1: 2 ok, 2 changed",
    ]
    away = timeless(result.stderr).splitlines()
    first = away.index("[1/2] greet: (dead) echo {{ inventory_hostname }} FAILED unreachable (T)")
    assert "Connection refused" in away[first + 1]


DRAWING = """
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        Display().display("\\r78% of it, and more than the line\\x1b[K", screen_only=True, newline=False)
        return {"changed": False, "warnings": ["mind the gap"]}
"""
DRAWN = """
- name: In place
  hosts: web1
  gather_facts: false
  tasks:
    - name: draw
      drawing:
    - name: one
      ansible.builtin.command: echo one
"""


def on_terminal(contexts: Inventory, playbook: str, **env: str) -> str:
    """Run a playbook on a terminal and return what it wrote there."""
    path = contexts.directory / "on-terminal.yml"
    path.write_text(playbook)
    ours, theirs = pty.openpty()
    program = Path(sys.executable).with_name("ansible-playbook")
    environment = contexts.environment() | CALLBACK | {"TERM": "xterm"} | env
    process = subprocess.Popen(
        [str(program), "-i", str(contexts.path), str(path)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        cwd=contexts.directory,
        env=environment,
    )
    os.close(theirs)
    written = bytearray()
    try:
        while data := os.read(ours, 1 << 16):
            written += data
    except OSError:  # how Linux says that nobody has the terminal open any more
        pass
    finally:
        os.close(ours)
        process.wait(60)
    return written.decode()


def screen(written: str) -> list[str]:
    """Return the lines that a terminal shows."""
    lines, column = [""], 0
    for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if token == "\n":
            lines.append("")
        elif token == "\r":
            column = 0
        elif token == "\x1b[K":
            lines[-1] = lines[-1][:column]
        elif not token.startswith("\x1b"):
            lines[-1] = lines[-1][:column] + token + lines[-1][column + len(token) :]
            column += len(token)
    return [line.rstrip() for line in lines]


def test_lines_begin_clean_on_a_terminal(contexts: Inventory) -> None:
    write_files(contexts, {"action_plugins/drawing.py": DRAWING})
    written = on_terminal(contexts, DRAWN)
    assert "\r78% of it" in written
    assert "\r[1/2] draw: (web1) drawing\x1b[K" in written  # what runs now
    assert "\r[2/2] one: (web1) echo one\x1b[K" in written
    lines = [timeless(line) for line in screen(written)]
    assert [line for line in lines if line] == [
        "In place",
        "[WARNING]: mind the gap",
        "[1/2] draw: (web1) drawing ✓ (T)",
        "[2/2] one: (web1) echo one ✓ (T)",
        "Recap (T)",
        "✓ web1: 2 ok, 1 changed",
    ]


def test_a_terminal_gets_only_whole_lines_if_that_is_asked_for(contexts: Inventory) -> None:
    written = on_terminal(
        contexts, DRAWN.replace("drawing:", "ansible.builtin.debug:"), ANSIBLE_CALLBACK_STEPS_SHOW_RUNNING="0"
    )
    assert "[2/2] one: (web1) echo one\x1b[K" not in written
    assert "[2/2] one: (web1) echo one ✓ (T)" in [timeless(line) for line in screen(written)]
