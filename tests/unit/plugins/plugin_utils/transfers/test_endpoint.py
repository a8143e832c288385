# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._endpoint import Endpoint, parse_endpoint
from ansible_collections.manifold.core.plugins.plugin_utils.transfers._errors import SpecError

KNOWN = ["k8s", "server"]


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("server:/srv/a b", Endpoint("server", "/srv/a b")),
        ("server:logs", Endpoint("server", "logs")),
        ("local:./a:b", Endpoint("local", "./a:b")),
        ("server:/a:b", Endpoint("server", "/a:b")),
        ("server:~/a:b", Endpoint("server", "~/a:b")),
        ("k8s:web-0:/data/", Endpoint("k8s", "/data/", "web-0")),
        ("k8s:web-0/side:/a:b", Endpoint("k8s", "/a:b", "web-0", "side")),
        ("k8s:deployment/web:/data", Endpoint("k8s", "/data", "deployment/web")),
        ("k8s:deploy/web:/data", Endpoint("k8s", "/data", "deploy/web")),
        ("k8s:po/web-0/side:/data", Endpoint("k8s", "/data", "po/web-0", "side")),
        ({"context": "server", "path": "/[x]", "glob": "no"}, Endpoint("server", "/[x]", glob=False)),
        ("k8s:deployment/web/side:data", Endpoint("k8s", "data", "deployment/web", "side")),
        (
            {"context": "k8s", "path": "/x", "container": "side", "become": True, "become_user": "app"},
            Endpoint("k8s", "/x", None, "side", True, "app"),
        ),
    ],
)
def test_an_endpoint_is_read_as_it_is_documented(text: Any, endpoint: Endpoint) -> None:
    assert parse_endpoint(text, "src", KNOWN) == endpoint


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/srv/data", "src: '/srv/data' names no context; write 'context:path', for this machine 'local:/srv/data'"),
        ("sever:/x", "Did you mean 'server'?"),
        ("elsewhere:/x", "Contexts are the hosts of the inventory, and 'local'"),
        ("server:", "the path is empty"),
        ("local:pod:/x", "'local' has no pods"),
        ("server:/a\nb", "a NUL or a line break"),
        ("server:" + "x" * 5000, "longer than"),
        ({"context": "server"}, "'path' is missing"),
        ({"context": "server", "pth": "/x"}, "Did you mean 'path'?"),
        ({"context": "server", "path": "/x", "become": "maybe"}, "'become' is true or false"),
        (7, "write 'context:path' or a mapping"),
        ("", "write 'context:path' or a mapping"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_a_remedy(value: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_endpoint(value, "src", KNOWN)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("path", "follows", "name"),
    [
        ("/a/b", False, "b"),
        ("/a/b/", True, "b"),
        ("/a/.", True, ""),
        ("/", True, ""),
        ("~/", True, ""),
        ("x", False, "x"),
    ],
)
def test_a_slash_at_the_end_means_the_content(path: str, follows: bool, name: str) -> None:
    endpoint = Endpoint("server", path)
    assert (endpoint.follows, endpoint.name) == (follows, name)
