# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starts commands in containers by our own client of the API server (_exec_client.py), wherever kubectl has no say.

kubectl takes 50 ms to start, asks for the pod, and hands every piece of a stream on twice. What it alone knows is left
to it: proxies, options and ways to log in that are not known here, servers without WebSocket.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

from .._linux import nameless_file
from ._base import ContextError, Launch
from ._credentials import Login, source_of
from ._handshake import expected_answer, new_key
from ._kubectl import Access
from ._login import log_in, understands
from ._server import ServerAddress, address_of

_PROTOCOL = "v5.channel.k8s.io"
_PROXIES = ("http_proxy", "https_proxy")
_OFF = ("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
"""What keeps kubectl from using WebSocket, and us."""
_ELF = b"\x7fELF"
_CONNECT_SECONDS = 10.0
"""How long the API server may take to answer before kubectl gets its turn."""
_FOLDER = str(Path(__file__).parent)
_PROGRAM = "import sys; sys.path.append(sys.argv.pop(1)); import _exec_client; _exec_client.main()"

_Client: TypeAlias = tuple[subprocess.Popen[bytes], socket.socket]


class DirectExec:
    """Starts commands in the containers of one cluster. Thread-safe."""

    def __init__(self, context: str, access: Access) -> None:
        self._context = context
        self._access = access
        self._lock = threading.Lock()
        self._asked = False
        self._login: Login | None = None
        self._spare: _Client | None = None
        self._told = False
        """Whether somebody says when the next client will be needed."""

    def log_in(self) -> Login | None:
        """Return how the API server is reached, None if only kubectl can say; it is found out once.

        May run the program that gives credentials, if the kubeconfig names one.
        """
        with self._lock:
            if not self._asked:
                self._asked = True
                self._login = self._found()
            return self._login

    def _found(self) -> Login | None:
        source = source_of(self._access)
        environ = os.environ if source.env is None else source.env
        if not sys.executable or not _is_plain(source.argv[0], environ) or not understands(source):
            return None
        if environ.get(_OFF[0], "").lower() == _OFF[1] or any(name.lower() in _PROXIES for name in environ):
            return None
        try:
            login = log_in(source, self._context)
            address_of(self._context, login.server)
        except ContextError:
            return None  # kubectl says why in its own words
        if any(not text.isprintable() for pair in login.headers for text in pair):
            return None
        return None if login.ca and not login.verify else login  # kubectl refuses that

    def launch(self, pod: str, container: str | None, argv: Sequence[str], kubectl: Launch) -> Launch:
        """Return the process that runs a program in a container; ``kubectl`` is what does it otherwise."""
        login = self.log_in()
        if login is None:
            return kubectl
        address = address_of(self._context, login.server)
        key = new_key()
        question = {
            "request": _request(login, address, _path(login.namespace, pod, container, argv), key),
            "accept": expected_answer(key).encode(),
            "protocol": _PROTOCOL.encode(),
            "kubectl": kubectl.argv,
        }

        def spawn(*descriptors: int) -> subprocess.Popen[bytes]:
            try:
                process, line = self._take(login, address, kubectl)
            except OSError:
                return kubectl.start(*descriptors)
            with line:
                if _hand_over(line, descriptors, question):
                    return process
            process.kill()  # it has ended already, or was never going to begin
            process.wait()
            return kubectl.start(*descriptors)

        return replace(kubectl, spawn=spawn)

    def prepare(self, kubectl: Launch) -> None:
        """Let a client start that the next command may have; ``kubectl`` is any kubectl command line.

        From then on none is started but for this: it takes the processor for about as long as a short command.
        """
        self._told = True
        login = self.log_in()
        if login is None:
            return
        with self._lock, contextlib.suppress(OSError):
            if self._spare is None:
                self._spare = _start(login, address_of(self._context, login.server), kubectl)

    def _take(self, login: Login, address: ServerAddress, kubectl: Launch) -> _Client:
        """Return a client that has been started, and start the next one: there is hardly ever just one command."""
        with self._lock:
            taken, self._spare = self._spare or _start(login, address, kubectl), None
            with contextlib.suppress(OSError):
                self._spare = None if self._told else _start(login, address, kubectl)
        return taken

    def close(self) -> None:
        """End the client that nobody needed."""
        with self._lock:
            spare, self._spare = self._spare, None
        if spare is not None:
            process, line = spare
            line.close()
            process.kill()
            process.wait()


def _is_plain(program: str, environ: Mapping[str, str]) -> bool:
    """Return whether a program is kubectl itself: a script of its name may do anything, and k3s reads other files."""
    found = shutil.which(program, path=environ.get("PATH", os.defpath))
    if found is None or not Path(found).resolve().name.startswith("kubectl"):
        return False
    try:
        with Path(found).open("rb") as content:
            return content.read(len(_ELF)) == _ELF
    except OSError:
        return False


def _hand_over(line: socket.socket, descriptors: Sequence[int], question: dict[str, Any]) -> bool:
    """Tell a client what to do, and return whether it was there to be told."""
    try:
        asked = nameless_file("exec", marshal.dumps(question))
        try:
            socket.send_fds(line, [b"x"], [*descriptors, asked])
        finally:
            os.close(asked)
    except OSError:
        return False
    return True


def _start(login: Login, address: ServerAddress, kubectl: Launch) -> _Client:
    """Start a client, which makes ready what takes time, and return it with what it waits at."""
    secrets = []
    tls = None
    if address.tls:
        if login.certificate:
            secrets.append(nameless_file("certificate", f"{login.certificate}\n{login.key or ''}".encode()))
        tls = {"ca": login.ca, "verify": login.verify, "certificate": secrets[0] if secrets else None}
    place = {
        "host": address.host,
        "port": address.port,
        "name": login.server_name or address.host,
        "tls": tls,
        "seconds": _CONNECT_SECONDS,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    secrets.append(nameless_file("server", marshal.dumps(place)))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, _FOLDER, str(secrets[-1]), str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=kubectl.env,
            pass_fds=(*kubectl.pass_fds, *secrets, theirs.fileno()),
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
        for fd in secrets:
            os.close(fd)
    return process, ours


def _path(namespace: str, pod: str, container: str | None, argv: Sequence[str]) -> str:
    query = [("command", word.encode(errors="surrogateescape")) for word in argv]
    names = {"container": container} if container else {}
    options: Mapping[str, str] = {**names, "stdin": "true", "stdout": "true", "stderr": "true"}
    place = f"/api/v1/namespaces/{quote(namespace, safe='')}/pods/{quote(pod, safe='')}/exec"
    return f"{place}?{urlencode([*query, *options.items()])}"


def _request(login: Login, address: ServerAddress, path: str, key: str) -> bytes:
    headers = {
        "Host": address.authority,
        "User-Agent": "manifold.core",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Protocol": _PROTOCOL,
    }
    lines = [f"GET {address.path}{path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (*headers.items(), *login.headers)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1", errors="replace")
