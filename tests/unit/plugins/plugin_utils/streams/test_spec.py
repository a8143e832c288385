# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.streams._spec import SpecError, StepKind, parse_steps

SOURCE = {"command": "cat /etc/hosts"}


def test_a_chain_is_read_as_it_was_written() -> None:
    dump, pack, keep = parse_steps(
        [
            {"name": "dump", "context": "db", "command": "pg_dump shop", "become": True, "become_user": "postgres"},
            {
                "argv": ["zstd", "-3", 19],
                "environment": {"LEVEL": 3},
                "chdir": "/srv",
                "ok_codes": ["0", 4],
                "dest": None,
            },
            {"name": "keep", "dest": "/backup/shop.zst", "context": "store"},
        ]
    )
    assert (dump.name, dump.kind, dump.context, dump.command) == ("dump", StepKind.COMMAND, "db", "pg_dump shop")
    assert (dump.become, dump.become_user, dump.ok_codes) == (True, "postgres", (0,))
    assert (pack.name, pack.context, pack.argv) == ("step 2", None, ("zstd", "-3", "19"))
    assert (pack.environment, pack.chdir, pack.ok_codes) == ({"LEVEL": "3"}, "/srv", (0, 4))
    assert (keep.kind, keep.dest, keep.context) == (StepKind.SINK, "/backup/shop.zst", "store")


def test_steps_make_a_tree_by_their_inputs() -> None:
    steps = parse_steps(
        [
            {"name": "dump", "src": "/data"},
            {"name": "near", "dest": "/near", "mode": "0640", "owner": "me", "create_parents": "yes"},
            {"name": "pack", "command": "zstd", "input": "dump"},
            {"name": "far", "dest": "/far"},
        ]
    )
    assert [(step.name, step.input) for step in steps] == [
        ("dump", None),
        ("near", "dump"),
        ("pack", "dump"),
        ("far", "pack"),
    ]
    assert (steps[0].kind, steps[0].src) == (StepKind.SOURCE, "/data")
    assert (steps[1].mode, steps[1].owner, steps[1].create_parents) == ("0640", "me", True)


@pytest.mark.parametrize(
    ("step", "program"),
    [
        ({"argv": ["/opt/it's", "x"]}, "/opt/it's"),
        ({"command": "tar c /srv"}, "tar"),
        ({"command": "  ./run.sh | cat"}, "./run.sh"),
        ({"command": "if true; then echo x; fi"}, None),
        ({"command": "LEVEL=3 zstd"}, None),
        ({"command": "$TOOL x"}, None),
        ({"command": "(cd /srv; ls)"}, None),
        ({"command": "'my tool' x"}, None),
    ],
)
def test_the_program_is_told_from_the_command_where_that_is_sure(step: dict[str, Any], program: str | None) -> None:
    assert parse_steps([step])[0].program == program


def test_a_sink_needs_no_program() -> None:
    assert parse_steps([SOURCE, {"dest": "/x"}])[1].program is None


@pytest.mark.parametrize("word", ["yes", "True", "on", "1", 1, True])
def test_become_is_read_as_ansible_reads_it(word: object) -> None:
    assert parse_steps([{**SOURCE, "become": word}])[0].become is True


@pytest.mark.parametrize("word", ["no", "False", "off", "0", 0, False])
def test_become_can_be_turned_off(word: object) -> None:
    assert parse_steps([{**SOURCE, "become": word}])[0].become is False


NAMED = {"name": "dump"}
KINDS = "'command', 'argv', 'kubectl', 'src' and 'dest'"


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "steps is empty; name at least one step, with one of 'command', 'argv', 'kubectl', 'src' and 'dest'"),
        ([{}], f"step 'step 1': exactly one of {KINDS} is needed, it has none of them"),
        (
            [{**NAMED, "command": "a", "argv": ["b"]}],
            f"step 'dump': exactly one of {KINDS} is needed, it has 'command' and 'argv'",
        ),
        (
            [SOURCE, {"command": "a", "dest": "/x"}],
            f"step 'step 2': exactly one of {KINDS} is needed, it has 'command' and 'dest'",
        ),
        ([{**NAMED, "dest": "/x"}], "step 'dump': a sink ('dest') needs a step before it to read from"),
        (
            [SOURCE, {**NAMED, "dest": "/x"}, {"name": "after", "command": "cat"}],
            "step 'dump': a sink ('dest') in the middle ends the stream before step 'after'; "
            "make it the last step, or say with 'input' what 'after' reads from",
        ),
        (
            [{**SOURCE, **NAMED}, {**NAMED, "dest": "/x"}],
            "step 'dump': the name is used twice; give each step a name of its own",
        ),
        (
            [{**SOURCE, "name": "step 2"}, {"command": "cat"}],
            "step 'step 2': the name is used twice; give each step a name of its own",
        ),
        (
            [SOURCE, {**NAMED, "dest": "/x", "chdir": "/"}],
            "step 'dump': 'chdir' does not go with 'dest'",
        ),
        (
            [SOURCE, {**NAMED, "dest": "/x", "environment": {"A": "b"}}],
            "step 'dump': 'environment' does not go with 'dest'",
        ),
        (
            [SOURCE, {**NAMED, "dest": "/x", "ok_codes": [1]}],
            "step 'dump': 'ok_codes' does not go with 'dest'",
        ),
        (
            [SOURCE, {**NAMED, "command": "cat", "input": "nobody"}],
            "step 'dump': its input 'nobody' is no step before it",
        ),
        ([{**SOURCE, **NAMED, "input": "x"}], "step 'dump': the first step reads nothing, so 'input' makes no sense"),
        (
            [SOURCE, {"name": "keep", "dest": "/x"}, {**NAMED, "command": "cat", "input": "keep"}],
            "step 'dump': its input 'keep' is a sink ('dest') and prints nothing",
        ),
        (
            [SOURCE, {**NAMED, "src": "/x"}],
            "step 'dump': a file to read ('src') has no input; make it the first step",
        ),
        ([{**NAMED, "src": "/x", "mode": "0600"}], "step 'dump': 'mode' does not go with 'src'"),
        (
            [SOURCE, {**NAMED, "dest": "/x", "mode": 416}],
            "step 'dump': put 'mode' in quotes, as in '0640'; YAML reads the bare number as 416",
        ),
        (
            [SOURCE, {**NAMED, "dest": "/x", "mode": "rw"}],
            "step 'dump': 'mode' is like '0640' or 'u=rw,g=r', not 'rw'",
        ),
        ([{**NAMED, "command": " \n"}], "step 'dump': 'command' is empty"),
        ([SOURCE, {**NAMED, "dest": ""}], "step 'dump': 'dest' is empty"),
        ([{**SOURCE, **NAMED, "context": ""}], "step 'dump': 'context' is empty"),
        ([{**NAMED, "command": "a\0b"}], "step 'dump': 'command' holds a NUL character"),
        ([SOURCE, {**NAMED, "dest": "/a\0b"}], "step 'dump': 'dest' holds a NUL character"),
        ([{**NAMED, "argv": []}], "step 'dump': 'argv' is empty; its first word is the program to run"),
        ([{**NAMED, "argv": ["", "x"]}], "step 'dump': 'argv' is empty; its first word is the program to run"),
        ([{**NAMED, "argv": "tar c"}], "step 'dump': 'argv' is a list of words; for a line use 'command'"),
        ([{**NAMED, "argv": {"tar": 1}}], "step 'dump': 'argv' is a list of words; for a line use 'command'"),
        (
            [{**SOURCE, **NAMED, "environment": ["A=b"]}],
            "step 'dump': 'environment' is a mapping of names to values",
        ),
        (
            [{**SOURCE, **NAMED, "environment": {"A-B": "c"}}],
            "step 'dump': 'A-B' cannot be the name of an environment variable",
        ),
        (
            [{**SOURCE, **NAMED, "environment": {"A\n": "c"}}],
            "step 'dump': 'A\n' cannot be the name of an environment variable",
        ),
        ([{**SOURCE, **NAMED, "ok_codes": "a"}], "step 'dump': 'ok_codes' is a list of exit statuses"),
        ([{**SOURCE, **NAMED, "ok_codes": 3}], "step 'dump': 'ok_codes' is a list of exit statuses"),
        ([{**SOURCE, **NAMED, "ok_codes": []}], "step 'dump': 'ok_codes' is a list of exit statuses from 0 to 255"),
        ([{**SOURCE, **NAMED, "ok_codes": [256]}], "step 'dump': 'ok_codes' is a list of exit statuses from 0 to 255"),
        (
            [{**NAMED, "command": "a", "kubectl": "get pods"}],
            f"step 'dump': exactly one of {KINDS} is needed, it has 'command' and 'kubectl'",
        ),
        (
            [{**NAMED, "kubectl": "kubectl get pods"}],
            "step 'dump': leave the first word out; 'kubectl' stands for it already",
        ),
        (
            [{**NAMED, "kubectl": "get 'pods"}],
            "step 'dump': 'kubectl' cannot be read as a command line: No closing quotation",
        ),
        (
            [{**NAMED, "kubectl": 3}],
            "step 'dump': 'kubectl' cannot be read as a command line: 'int' object is not iterable",
        ),
        (
            [{**NAMED, "kubectl": []}],
            "step 'dump': 'kubectl' is empty; write a command line such as 'get pods -o name'",
        ),
        (
            [{**NAMED, "kubectl": "get pods --token=x"}],
            "step 'dump': '--token' does not go with 'kubectl'; the context says cluster and user",
        ),
        (
            [{**NAMED, "kubectl": "get pods", "pod": "web"}],
            "step 'dump': 'pod' does not go with 'kubectl', which runs on the controller as you",
        ),
        (
            [{**NAMED, "kubectl": "get pods", "become": True}],
            "step 'dump': 'become' does not go with 'kubectl', which runs on the controller as you",
        ),
        ([{**SOURCE, **NAMED, "pod": " "}], "step 'dump': 'pod' is empty"),
        ([{**SOURCE, **NAMED, "become": "maybe"}], "step 'dump': 'become' is true or false, not 'maybe'"),
    ],
)
def test_a_wrong_description_is_refused_with_what_to_do(steps: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(SpecError) as refused:
        parse_steps(steps)
    assert str(refused.value) == message


def test_a_misspelt_key_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(SpecError, match=r"step 'dump'.*'comand'.*command"):
        parse_steps([{**NAMED, "comand": "tar c"}])
    with pytest.raises(SpecError, match=r"step 'dump'.*'zzz'"):
        parse_steps([{**NAMED, **SOURCE, "zzz": 1}])


@pytest.mark.parametrize("line", ["get pods -l 'a in (b, c)'", ["get", "pods", "-l", "a in (b, c)"]])
def test_a_kubectl_line_is_read_as_words(line: object) -> None:
    (step,) = parse_steps([{"kubectl": line}])
    assert step.kubectl == ("get", "pods", "-l", "a in (b, c)")
    assert step.kind is StepKind.COMMAND


def test_what_stands_behind_two_dashes_is_not_kubectls() -> None:
    assert parse_steps([{"kubectl": "exec web -- psql --user=shop"}])[0].kubectl is not None


def test_one_file_in_two_pods_is_two_destinations() -> None:
    sinks = [{"context": "k8s", "pod": pod, "dest": "/x", "input": "dump"} for pod in ("a", "b")]
    assert [step.pod for step in parse_steps([{**SOURCE, **NAMED}, *sinks])] == [None, "a", "b"]
