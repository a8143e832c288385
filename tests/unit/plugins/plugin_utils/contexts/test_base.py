# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Callable

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import (
    Context,
    ContextError,
    ContextKind,
    Diagnosis,
    Launch,
)


class _Minimal(Context):
    kind = ContextKind.SSH

    def launch(self, command: str) -> Launch:
        return Launch(argv=(b"sh", b"-c", command.encode()))


def test_an_error_names_context_operation_cause_and_remedy() -> None:
    error = ContextError("db", "connecting by SSH", "connection refused", "Check ansible_port.")
    assert str(error) == "context 'db': connecting by SSH: connection refused. Check ansible_port."
    assert (error.context, error.operation, error.cause) == ("db", "connecting by SSH", "connection refused")
    assert error.remedy == "Check ansible_port."


def test_an_error_without_a_remedy_ends_with_its_cause() -> None:
    assert str(ContextError("db", "looking it up", "no such host")) == "context 'db': looking it up: no such host"


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("", "the connection ended with status 255 and no message"),
        ("\n \n", "the connection ended with status 255 and no message"),
        ("motd\n  the reason \n\n", "the reason"),
    ],
)
def test_a_failure_is_told_by_the_last_line_that_was_printed(output: str, cause: str) -> None:
    assert _Minimal("db").diagnose(output, 255) == Diagnosis(cause)


def test_a_context_has_nothing_to_prepare_or_to_free_unless_it_says_so() -> None:
    context = _Minimal("db")
    context.open()
    context.open_once()
    assert context.command_stderr("as it is\n") == "as it is\n"
    assert (context.unnamed_pod, context.server, context.program) == (None, None, ())
    assert not context.outlives_connection
    context.suspect()
    context.close()


def test_a_single_launch_is_prepared_as_many_are_unless_there_is_a_lighter_way() -> None:
    class _Slow(_Minimal):
        def open(self, seconds: float = 60.0) -> None:
            raise ContextError(self.name, "connecting", f"not within {seconds:g} seconds")

    with pytest.raises(ContextError, match="not within 5 seconds"):
        _Slow("db").open_once(5.0)


def test_a_command_counts_its_input_unless_its_transport_cannot_lose_the_end() -> None:
    assert _Minimal("db").counts_input


def test_a_launch_needs_nothing_but_its_arguments() -> None:
    launch = _Minimal("db").launch("true")
    assert (launch.env, launch.pass_fds, launch.dialog) == (None, (), None)
    launch.started()


def test_a_context_that_has_a_shell_runs_nothing_without_one() -> None:
    with pytest.raises(ContextError) as refused:
        _Minimal("db").launch_argv(["tar", "c"])
    assert str(refused.value) == (
        "context 'db': running tar without a shell: a context of kind ssh always has a shell. "
        "Leave 'proof' out: the proof by marker is the stronger one."
    )


@pytest.mark.parametrize(
    ("refused", "text"),
    [
        (lambda context: context.in_pod("web", None), "choosing the pod web: a context of kind ssh has no pods"),
        (
            lambda context: context.in_pod(None, "side"),
            "choosing the container side: a context of kind ssh has",
        ),
        (lambda context: context.for_kubectl(), "running kubectl: a context of kind ssh has no cluster"),
    ],
)
def test_what_only_a_cluster_has_is_refused_elsewhere(refused: Callable[[Context], Context], text: str) -> None:
    with pytest.raises(ContextError, match=f"context 'db': {text}"):
        refused(_Minimal("db"))
