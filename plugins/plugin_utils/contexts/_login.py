# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the credentials of a context, as kubectl would: ``kubectl config view`` reads and merges the kubeconfigs.

kubectl knows the rules of its own files (several of them, relative paths, which of two wins), it is there anyway, and
it answers in a fraction of the time that the Python client takes to be imported. That client would also write
certificates and keys to temporary files, which a process that is killed leaves behind.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._linux import nameless_file
from ._base import ContextError
from ._credentials import Login, Source
from ._kubeconfig import read_document, read_file
from ._login_plugin import run_plugin

SECONDS = 60.0
"""How long kubectl, or a program that it asks for credentials, may take."""

_SHORT = {"-n": "namespace", "-s": "server"}
_SWITCHES = ("insecure-skip-tls-verify", "disable-compression", "match-server-version", "warnings-as-errors")
_FOR_VIEW = ("context", "kubeconfig")
_ALL_OF_IT = ("user", "cluster")
_KNOWN = {
    *("namespace", "context", "cluster", "user", "kubeconfig", "server", "tls-server-name", "username"),
    *("client-certificate", "client-key", "certificate-authority", "insecure-skip-tls-verify"),
    *("as", "as-uid", "as-group"),
}
_NO_CREDENTIALS = ("namespace", "context", "cluster", "as", "as-uid", "as-group")
"""What of the options is said to a server even where nobody keeps what is said secret."""
_IMPERSONATED = {"as": "Impersonate-User", "as-uid": "Impersonate-Uid", "as-group": "Impersonate-Group"}
_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TRUE = ("true", "1", "t", "yes", "on")


@dataclass
class _Flags:
    """The global options of a kubectl command line."""

    values: dict[str, str] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)

    def take(self, name: str, value: str) -> None:
        if name == "as-group":
            self.groups.append(value)
        self.values[name] = value


def log_in(source: Source, context: str, seconds: float = SECONDS) -> Login:
    """Return how the API server of a context is reached. Raises ContextError in the name of ``context``."""
    try:
        flags = _flags(source.argv[1:])
        view = _view(source, flags, seconds)
        return _login(view, source, flags, seconds)
    except _Failed as exc:
        raise ContextError(context, "reading its credentials", exc.cause, exc.remedy) from exc
    except (LookupError, TypeError, AttributeError, ValueError) as exc:
        cause = "something in its kubeconfig is not what it should be"
        raise ContextError(context, "reading its credentials", cause, "See 'kubectl config view'.") from exc


def understands(source: Source) -> bool:
    """Return whether nothing in a kubectl command line is unknown here."""
    named = _flags(source.argv[1:]).values.keys()
    return named <= _KNOWN and not ("kubeconfig" in named and (source.files or source.document))


class _Failed(Exception):
    def __init__(self, cause: str, remedy: str | None = None) -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy


def _flags(words: Sequence[str]) -> _Flags:
    flags = _Flags()
    queue = list(words)
    while queue:
        word = queue.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, value = word.partition("=")
        name = _SHORT.get(name, name.lstrip("-"))
        if not equals:
            value = "true" if name in _SWITCHES or not queue or queue[0].startswith("-") else queue.pop(0)
        flags.take(name, value)
    return flags


# -- what kubectl reads ------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _environment(source: Source) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Yield the environment in which kubectl finds the kubeconfigs, and the descriptors that it has to inherit."""
    environ = dict(os.environ if source.env is None else source.env)
    paths = list(source.files)
    if source.required is not None and not Path(source.required).exists():
        raise _Failed(f"the kubeconfig {source.required} does not exist", "Check ansible_kubectl_kubeconfig.")
    if source.document is None:
        yield {**environ, **({"KUBECONFIG": os.pathsep.join(paths)} if paths else {})}, ()
        return
    fd = nameless_file("kubeconfig", source.document.encode())
    try:
        yield {**environ, "KUBECONFIG": os.pathsep.join([f"/dev/fd/{fd}", *paths])}, (fd,)
    finally:
        os.close(fd)


def _view(source: Source, flags: _Flags, seconds: float) -> dict[str, Any]:
    """Return the kubeconfig that holds, with the contents of the files that it names."""
    plain = _plain_view(source, flags)
    if plain is not None:
        return plain
    # --minify knows the context only: whoever names another user or cluster needs all of it
    small = () if any(name in flags.values and not _is_ours(source, flags, name) for name in _ALL_OF_IT) else _MINIFY
    chosen = [word for name in _FOR_VIEW if name in flags.values for word in (f"--{name}", flags.values[name])]
    argv = [source.argv[0], *chosen, "config", "view", "--raw", "--flatten", "-o", "json", *small]
    with _environment(source) as (environ, fds):
        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=environ,
                pass_fds=fds,
                timeout=seconds,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            cause = f"{argv[0]}: {exc.strerror if isinstance(exc, OSError) else 'it did not answer'}"
            raise _Failed(cause, "Install kubectl, or say where it is.") from exc
    said = done.stderr.decode(errors="replace").strip().removeprefix("error: ")
    if done.returncode and "current-context must exist" in said and source.required is None:
        return {}  # a server that is named outright, or the cluster around this, needs no kubeconfig
    if done.returncode:
        raise _Failed(said or f"kubectl ended with status {done.returncode}", "Check its kubeconfig and context.")
    try:
        view: dict[str, Any] = json.loads(done.stdout)
    except ValueError as exc:
        raise _Failed("kubectl printed no JSON") from exc
    return view


_MINIFY = ("--minify",)


def _plain_view(source: Source, flags: _Flags) -> dict[str, Any] | None:
    """Return what the kubeconfig says if there is only one; None to ask kubectl."""
    if source.document is not None and not source.files:
        return read_document(source.document)
    environ = os.environ if source.env is None else source.env
    listed = [each for each in environ.get("KUBECONFIG", "").split(os.pathsep) if each]
    if not listed and environ.get("HOME"):
        listed = [str(Path(environ["HOME"]) / ".kube" / "config")]
    # a document that comes with files holds no more than a user
    paths = [flags.values["kubeconfig"]] if "kubeconfig" in flags.values else source.files or listed
    return read_file(Path(paths[0])) if len(paths) == 1 else None


def _is_ours(source: Source, flags: _Flags, name: str) -> bool:
    """Return whether a user is the one that our own document holds."""
    return name == "user" and flags.values[name] in _users(source.document)


def _users(document: str | None) -> dict[str, Mapping[str, Any]]:
    if document is None:
        return {}
    return {each["name"]: each.get("user") or {} for each in json.loads(document).get("users") or ()}


# -- what it means -----------------------------------------------------------------------------------------------------


def _login(view: Mapping[str, Any], source: Source, flags: _Flags, seconds: float) -> Login:
    given = flags.values
    context = _named(view, "context", given.get("context") or view.get("current-context"))
    cluster = _named(view, "cluster", given.get("cluster") or context.get("cluster"))
    user = _users(source.document).get(given.get("user", ""))
    if user is None:
        user = _named(view, "user", given.get("user") or context.get("user"))
    server = given.get("server") or cluster.get("server")
    environ = os.environ if source.env is None else source.env
    if not server and given.keys() <= {"namespace"} and (inside := _in_cluster(environ)):
        return replace(inside, namespace=given.get("namespace") or inside.namespace)
    if not server:
        raise _Failed("its kubeconfig names no API server", "Check ansible_kubectl_kubeconfig and _context.")
    if given.get("proxy-url") or cluster.get("proxy-url"):
        cause = "the API server is behind a proxy (proxy-url), and only kubectl goes through one"
        raise _Failed(cause, "Use a context that reaches the API server directly.")
    if server.lower().startswith("http://"):  # who listens on the way would have them; kubectl sends none either
        user = {name: value for name, value in user.items() if name.startswith("as")}
        given = {name: value for name, value in given.items() if name in _NO_CREDENTIALS}
    certificate, key, headers = _credentials(user, cluster, server, source, given, seconds)
    ca, skip = _trust(cluster, given)
    return Login(
        server=server.rstrip("/"),
        namespace=given.get("namespace") or context.get("namespace") or _own_namespace(environ) or "default",
        verify=not skip,
        ca=ca,
        server_name=given.get("tls-server-name") or cluster.get("tls-server-name"),
        certificate=_text_of(given.get("client-certificate")) or certificate,
        key=_text_of(given.get("client-key")) or key,
        headers=(*headers, *_impersonation(user, flags)),
    )


def _trust(cluster: Mapping[str, Any], given: Mapping[str, str]) -> tuple[str | None, bool]:
    """Return who vouches for the server, and whether that is not to be checked; an option unsets both of the file."""
    insecure, path = given.get("insecure-skip-tls-verify"), given.get("certificate-authority")
    if insecure is not None and insecure.lower() in _TRUE:
        return _text_of(path), True
    if path:
        return _text_of(path), False
    skip = bool(cluster.get("insecure-skip-tls-verify")) and insecure is None
    return _decoded(cluster.get("certificate-authority-data")), skip


def _is_inside(environ: Mapping[str, str]) -> bool:
    """Return whether this runs in a pod that has an account, in the way in which kubectl sees it."""
    named = environ.get("KUBERNETES_SERVICE_HOST") and environ.get("KUBERNETES_SERVICE_PORT")
    return bool(named) and (_ACCOUNT / "token").is_file()


def _own_namespace(environ: Mapping[str, str]) -> str | None:
    """Return the namespace of the pod that this runs in: it holds where a context names none."""
    if not _is_inside(environ):
        return None
    path = _ACCOUNT / "namespace"
    return environ.get("POD_NAMESPACE") or ((_text_of(path) or "").strip() if path.exists() else "") or None


def _in_cluster(environ: Mapping[str, str]) -> Login | None:
    """Return the login of the pod that this runs in, if it does, as kubectl takes it where no kubeconfig is."""
    if not _is_inside(environ):
        return None
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
    token = (_text_of(_ACCOUNT / "token") or "").strip()
    return Login(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=_own_namespace(environ) or "default",
        ca=_text_of(_ACCOUNT / "ca.crt"),
        headers=(("Authorization", f"Bearer {token}"),),
    )


def _named(view: Mapping[str, Any], what: str, name: Any) -> Mapping[str, Any]:
    if not name:
        return {}
    for each in view.get(f"{what}s") or ():
        if each["name"] == name:
            found: Mapping[str, Any] = each.get(what) or {}
            return found
    raise _Failed(f"its kubeconfig has no {what} '{name}'", "Check ansible_kubectl_kubeconfig and _context.")


def _credentials(
    user: Mapping[str, Any],
    cluster: Mapping[str, Any],
    server: str,
    source: Source,
    given: Mapping[str, str],
    seconds: float,
) -> tuple[str | None, str | None, list[tuple[str, str]]]:
    """Return the certificate, its key and the Authorization of a user."""
    certificate, key = _decoded(user.get("client-certificate-data")), _decoded(user.get("client-key-data"))
    token = user.get("token")
    environ = os.environ if source.env is None else source.env
    named = (given["kubeconfig"],) if "kubeconfig" in given else ()
    places = named or source.files or environ.get("KUBECONFIG", "~/.kube/config").split(os.pathsep)
    if user.get("tokenFile"):  # it wins, for whoever writes it renews it
        token = (_text_of(_beside(user["tokenFile"], places)) or "").strip()
    name, password = given.get("username") or user.get("username"), user.get("password")
    if not token and user.get("exec"):
        got = run_plugin(user["exec"], {**cluster, "server": server}, environ, places, seconds)
        if isinstance(got, str):
            raise _Failed(got, "Run 'kubectl get pods' with the same context: it asks the same program.")
        certificate, key, token = got.certificate or certificate, got.key or key, got.token
    elif not token and user.get("auth-provider"):
        kind = user["auth-provider"].get("name")
        cause = f"its user logs in by the auth-provider '{kind}', which only kubectl knows"
        raise _Failed(cause, "Use an exec plugin (for OIDC: kubelogin), a token or a certificate.")
    if token:
        return certificate, key, [("Authorization", f"Bearer {token}")]
    if name and password:
        packed = base64.b64encode(f"{name}:{password}".encode()).decode()
        return certificate, key, [("Authorization", f"Basic {packed}")]
    return certificate, key, []


def _beside(path: str, kubeconfigs: Sequence[str]) -> Path:
    """Return where a file is that kubectl gives as it stands in one of the kubeconfigs: relative to that."""
    candidates = [Path(each).expanduser().parent / path for each in kubeconfigs]
    return next((each for each in candidates if each.exists()), Path(path))


def _impersonation(user: Mapping[str, Any], flags: _Flags) -> list[tuple[str, str]]:
    """Return the headers of who is acted for: without them we would have rights that kubectl had not."""
    found = {
        "as": flags.values.get("as") or user.get("as"),
        "as-uid": flags.values.get("as-uid") or user.get("as-uid"),
    }
    headers = [(_IMPERSONATED[what], str(value)) for what, value in found.items() if value]
    groups = flags.groups or user.get("as-groups") or ()
    headers += [(_IMPERSONATED["as-group"], str(group)) for group in groups]
    for extra, values in (user.get("as-user-extra") or {}).items():
        headers += [(f"Impersonate-Extra-{quote(str(extra), safe='')}", str(value)) for value in values]
    return headers


def _decoded(data: Any) -> str | None:
    return base64.b64decode(data).decode() if data else None


def _text_of(path: Any) -> str | None:
    if not path:
        return None
    try:
        return Path(str(path)).expanduser().read_text()
    except OSError as exc:
        raise _Failed(f"{path}: {exc.strerror}") from exc
