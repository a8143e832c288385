# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kubectl command lines of one cluster, from the options of a connection plugin; no secret is ever an argument.

A token or a password goes into a kubeconfig of its own that has no name in any folder: kubectl reads it by a descriptor
that it inherits (``/dev/fd/N``), so there is nothing to remove, whatever ends this process. It stands before the
user's own files in KUBECONFIG, which kubectl reads as ever, relative paths and all.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._linux import nameless_file
from ._base import ContextError, Launch

OUR_USER = "manifold"
"""The name of the kubeconfig user that carries a token or a password."""

_FLAGS = {
    "kubectl_namespace": "--namespace",
    "kubectl_context": "--context",
    "kubectl_host": "--server",
    "client_cert": "--client-certificate",
    "client_key": "--client-key",
    "ca_cert": "--certificate-authority",
}
"""Options of the connection plugin that are options of kubectl."""

_SECRET_FLAGS = {"--token": "token", "--password": "password"}
"""Options of kubectl that hold a secret, and what a kubeconfig calls it."""

_FALSE = ("false", "no", "off", "0", "n", "f")


@dataclass(frozen=True)
class Access:
    """How kubectl reaches a cluster: plain values, nothing opened."""

    argv: tuple[str, ...]
    """The program and its global options."""
    kubeconfigs: tuple[str | bytes, ...] = ()
    """Paths and whole documents, the first one wins; none means kubectl's own choice."""
    required: str | None = None
    """The path that the user named and that must be there."""
    env: Mapping[str, str] | None = None
    """The whole environment; None for that of this process."""


def access(context: str, option: Callable[[str], Any], program: str, environ: Mapping[str, str]) -> Access:
    """Return what the options of a kubectl connection plugin mean; ``option`` gives the value of one.

    Raises ContextError in the name of ``context`` for values that cannot be used.
    """
    flags = [word for key, flag in _FLAGS.items() if (value := _text(option(key))) for word in (flag, value)]
    verify = option("validate_certs")
    if verify not in (None, ""):
        flags.append(f"--insecure-skip-tls-verify={str(str(verify).lower() in _FALSE).lower()}")
    extra, user = _without_secrets(context, _text(option("kubectl_extra_args")).split())
    user |= {key: value for key in ("token", "password") if (value := _text(option(f"kubectl_{key}")))}
    name = _text(option("kubectl_username"))
    if "password" in user and name:
        user["username"] = name
    elif name:
        flags += ["--username", name]
    if user:
        flags += ["--user", OUR_USER]
    variables = _variables(context, option("kubectl_local_env_vars"))
    return Access(
        (program, *flags, *extra),
        *_kubeconfigs(context, option("kubectl_kubeconfig"), user, {**environ, **variables}),
        env={**environ, **variables} if variables else None,
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _without_secrets(context: str, words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return words for kubectl without tokens and passwords, and these by what a kubeconfig calls them."""
    rest: list[str] = []
    user: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        flag, equals, value = word.partition("=")
        if flag not in _SECRET_FLAGS:
            rest.append(word)
        elif equals or queue:
            user[_SECRET_FLAGS[flag]] = value if equals else queue.pop(0)
        else:
            raise ContextError(context, "reading ansible_kubectl_extra_args", f"{flag} has no value")
    return rest, user


def _variables(context: str, value: Any) -> dict[str, str]:
    """Return kubectl's own environment variables, from a mapping or from JSON."""
    try:
        variables = json.loads(value) if isinstance(value, str) and value.strip() else value or {}
        return {str(name): str(each) for name, each in variables.items()}
    except (ValueError, AttributeError) as exc:
        cause = "it is no mapping of names to values"
        raise ContextError(context, "reading ansible_kubectl_local_env_vars", cause) from exc


def _kubeconfigs(
    context: str, given: Any, user: Mapping[str, str], environ: Mapping[str, str]
) -> tuple[tuple[str | bytes, ...], str | None]:
    """Return the kubeconfig files, and the one that must be there."""
    files: tuple[str | bytes, ...] = ()
    required = None
    if isinstance(given, Mapping):
        files = (json.dumps(given).encode(),)
    elif given:
        required = str(Path(str(given)).expanduser())
        files = (required,)
    if not user:
        return files, required
    if required is not None and os.pathsep in required:
        cause = (
            f"the path {required} holds a '{os.pathsep}', and kubectl cannot add a token or a password to such a file"
        )
        raise ContextError(context, "reading ansible_kubectl_kubeconfig", cause, "Give the file another name.")
    if not files:
        listed = [path for path in environ.get("KUBECONFIG", "").split(os.pathsep) if path]
        files = tuple(listed) or (str(Path(environ.get("HOME", "~")) / ".kube" / "config"),)
    own = {"apiVersion": "v1", "kind": "Config", "users": [{"name": OUR_USER, "user": dict(user)}]}
    return (json.dumps(own).encode(), *files), required


class Kubectl:
    """Makes launches of kubectl for one cluster, and holds the descriptors that they inherit until it is closed."""

    def __init__(self, context: str, access: Access) -> None:
        self.context = context
        self._access = access
        self._lock = threading.Lock()
        self._fds: dict[bytes, int] = {}

    @property
    def access(self) -> Access:
        """How the cluster is reached; documents in it may hold secrets."""
        return self._access

    def launch(self, arguments: Sequence[str]) -> Launch:
        """Return the process that runs a kubectl command line; raise ContextError if its kubeconfig is missing."""
        argv, env, fds = self.command()
        words = (*argv, *arguments)
        # kubectl hands every piece of a stream from one goroutine to the next; between threads that costs a third more
        single = {"GOMAXPROCS": "1", **(os.environ if env is None else env)}
        return Launch(
            argv=tuple(word.encode(errors="surrogateescape") for word in words), env=single, pass_fds=tuple(fds)
        )

    def command(self) -> tuple[tuple[str, ...], Mapping[str, str] | None, Sequence[int]]:
        """Return program and global options, the environment (None: that of this process) and the descriptors."""
        access = self._access
        if access.required is not None and not Path(access.required).exists():
            cause = f"the kubeconfig {access.required} does not exist"
            raise ContextError(self.context, "reading its kubeconfig", cause, "Check ansible_kubectl_kubeconfig.")
        with self._lock:
            paths = [self._path(each) for each in access.kubeconfigs]
            fds = tuple(self._fds.values())
        if not paths:
            return access.argv, access.env, fds
        if len(paths) == 1:
            return (*access.argv, "--kubeconfig", paths[0]), access.env, fds
        environ = os.environ if access.env is None else access.env
        return access.argv, {**environ, "KUBECONFIG": os.pathsep.join(paths)}, fds

    def _path(self, kubeconfig: str | bytes) -> str:
        if isinstance(kubeconfig, str):
            return kubeconfig
        if kubeconfig not in self._fds:
            self._fds[kubeconfig] = nameless_file("kubeconfig", kubeconfig)
        return f"/dev/fd/{self._fds[kubeconfig]}"

    def close(self) -> None:
        """Forget the secrets; a later launch would hand them over anew."""
        with self._lock:
            while self._fds:
                os.close(self._fds.popitem()[1])
