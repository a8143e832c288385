# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.action.port_forward import ARGUMENTS
from ansible_collections.manifold.core.plugins.plugin_utils.contexts._base import ContextKind
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._errors import ForwardError
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._job import Job, identity
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._parse import (
    MOST_PORTS,
    check_name,
    parse_ports,
    parse_spec,
    parse_target,
)
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._spec import (
    Direction,
    ForwardSpec,
    Lifetime,
    PortPair,
)
from ansible_collections.manifold.core.plugins.plugin_utils.forwards._transport import Way
from hypothesis import given
from hypothesis import strategies as st

KUBERNETES, SSH = ContextKind.KUBERNETES, ContextKind.SSH


def asked(kind: ContextKind = KUBERNETES, **options: Any) -> ForwardSpec:
    """Return the forward of a task with these options, and the others as they are documented."""
    defaults = {name: option.get("default") for name, option in ARGUMENTS.items()}
    target = {"target": "service/minio"} if kind is KUBERNETES else {}
    return parse_spec({**defaults, "name": "fw", "ports": ["9000"], **target, **options}, kind, "ctx")


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("9000:9001", PortPair(9000, 9001)),
        (" 9000 ", PortPair(9000, 9000)),
        (9000, PortPair(9000, 9000)),
        (":9000", PortPair(0, 9000)),
        ("0:9000", PortPair(0, 9000)),
        ("8080:http", PortPair(8080, "http")),
        (":web-ui", PortPair(0, "web-ui")),
        ("65535:1", PortPair(65535, 1)),
    ],
)
def test_ports_are_read(text: Any, pair: PortPair) -> None:
    assert parse_ports([text], names=True) == (pair,)


@pytest.mark.parametrize(
    ("ports", "says"),
    [
        ([], "there are none"),
        (["http"], 'does not say where to listen. Write ":http" for a free port'),
        (["9000:"], "does not say which port of the target"),
        ([""], "does not say which port of the target"),
        ([":0"], "0 in ':0' is no port"),
        (["0"], "0 in '0' is no port"),
        (["65536"], "no port. Write a number from 1 to 65535"),
        ([481342], "If 8022:22 was meant, put it in quotes"),
        (["9" * 5000], "is no port"),
        (["127.0.0.1:9000:9000"], "addresses go to 'bind' and 'target'"),
        (["http:9000"], "'http' in 'http:9000' is no number"),
        (["9000:Http"], "'Http' in '9000:Http' is no port"),
        (["9000:a--b"], "is no port"),
        (["9000:-1"], "is no port"),
        (["٣:9000"], "is no number"),
        (["9000.0"], "is no port"),
        (["9000", "9000:1"], "two would listen at 9000"),
        ([f"{port}" for port in range(1, MOST_PORTS + 2)], "65 are too many"),
    ],
)
def test_what_are_no_ports_is_said_with_a_remedy(ports: list[Any], says: str) -> None:
    with pytest.raises(ForwardError) as caught:
        parse_ports(ports, names=True)
    assert str(caught.value).startswith("ports: ") and says in str(caught.value)
    assert len(str(caught.value)) < 300


def test_several_may_be_free_ones() -> None:
    assert parse_ports([":1", ":1"], names=False) == (PortPair(0, 1), PortPair(0, 1))


def test_names_of_ports_exist_on_kubernetes_only() -> None:
    with pytest.raises(ForwardError, match="only ports on Kubernetes have names"):
        asked(SSH, ports=["80:http"])


@given(st.text(max_size=30))
def test_any_text_is_ports_or_an_error(text: str) -> None:
    try:
        (pair,) = parse_ports([text], names=True)
    except ForwardError:
        return
    assert 0 <= pair.listen <= 65535
    assert isinstance(pair.target, str) or 1 <= pair.target <= 65535


@pytest.mark.parametrize(
    ("kind", "text", "target"),
    [
        (KUBERNETES, "service/minio", "service/minio"),
        (KUBERNETES, "svc/minio", "service/minio"),
        (KUBERNETES, "deploy/a.b", "deployment/a.b"),
        (KUBERNETES, "pod/web-0", "pod/web-0"),
        (SSH, None, "localhost"),
        (SSH, "db.internal", "db.internal"),
        (SSH, "10.0.0.1", "10.0.0.1"),
        (SSH, "::1", "::1"),
        (SSH, "[fe80::1]", "fe80::1"),
    ],
)
def test_targets_are_read(kind: ContextKind, text: str | None, target: str) -> None:
    assert parse_target(text, kind) == target


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (KUBERNETES, None, "target: it is missing"),
        (KUBERNETES, "minio", "Write service/minio, or pod/minio"),
        (KUBERNETES, "servise/minio", "Did you mean 'service'?"),
        (KUBERNETES, "node/a", "Known are service, deployment, statefulset, pod"),
        (KUBERNETES, "service/", "cannot be the name of a service"),
        (KUBERNETES, "service/a/b", "cannot be the name"),
        (SSH, "db.internal:5432", 'Write target: db.internal and ports: [":5432"]'),
        (SSH, "-oProxyCommand=x", "cannot be a host"),
        (SSH, "a b", "cannot be a host"),
        (SSH, "service/minio", "cannot be a host"),
    ],
)
def test_what_is_no_target_is_said_with_a_remedy(kind: ContextKind, text: str | None, says: str) -> None:
    with pytest.raises(ForwardError) as caught:
        parse_target(text, kind)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        (KUBERNETES, {"direction": "remote"}, "direction: in context 'ctx' nothing can listen"),
        (SSH, {"ttl": 10.0}, "ttl: a forward that ends with its play needs none"),
        (SSH, {"ttl": -1.0, "lifetime": "persistent"}, "ttl: it must be more than 0 seconds"),
        (SSH, {"wait_timeout": 0.0}, "wait_timeout: it must be more than 0"),
        (SSH, {"connect_timeout": float("nan")}, "connect_timeout: it must be more than 0"),
        (SSH, {"connect_timeout": float("inf")}, "connect_timeout: it must be more than 0"),
        (SSH, {"bind": "eth0"}, "bind: 'eth0' is no address of this machine"),
        (SSH, {"name": "../x"}, "name: '../x' cannot be the name of a forward"),
        (SSH, {"name": "x" * 64}, "Use up to 63 letters"),
    ],
)
def test_options_that_cannot_be_are_named(kind: ContextKind, options: dict[str, Any], says: str) -> None:
    with pytest.raises(ForwardError) as caught:
        asked(kind, **options)
    assert says in str(caught.value)


def test_loopback_is_listened_at_unless_another_address_is_asked_for() -> None:
    assert asked(SSH).bind == asked(SSH, bind="localhost").bind == "127.0.0.1"
    assert asked(SSH, bind="0.0.0.0").bind == "0.0.0.0"
    assert asked(SSH, bind="*", direction="remote").bind == "*"


@given(st.text(max_size=70))
def test_a_name_is_a_file_of_the_folder_or_an_error(name: str) -> None:
    try:
        assert check_name(name) == name
    except ForwardError:
        return
    assert "/" not in name and "\0" not in name and not name.startswith(".")


# -- what a supervisor is given ----------------------------------------------------------------------------------------


def test_a_job_arrives_as_it_was_sent() -> None:
    spec = asked(SSH, ports=["1:2", ":3"], lifetime="persistent", ttl=3.5, direction="remote", bind="*")
    job = Job(spec, "ssh", Way("m:f", {"argv": ["ssh"], "password": "x"}, "place"), "/d", (4, 5))
    assert Job.decode(job.encode()) == job
    assert job.spec.direction is Direction.REMOTE and job.spec.lifetime is Lifetime.PERSISTENT


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, True),
        ({"lifetime": "persistent", "ttl": 1.0, "wait_timeout": 1.0, "connect_timeout": 1.0}, True),
        ({"ports": ["9000:9001"]}, False),
        ({"bind": "127.0.0.2"}, False),
        ({"target": "service/other"}, False),
    ],
)
def test_how_long_it_lives_and_waits_is_no_part_of_what_it_is(options: dict[str, Any], same: bool) -> None:
    way = Way("m:f", {"token": "new"}, "place")
    first = identity(asked(), "kubernetes", Way("m:f", {"token": "old"}, "place"))
    assert (identity(asked(**options), "kubernetes", way) == first) is same
    assert identity(asked(), "kubernetes", Way("m:f", {}, "another place")) != first
