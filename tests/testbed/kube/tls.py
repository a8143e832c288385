# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""TLS in front of the API: clients send their credentials over nothing else."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import selectors
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_READ_SIZE = 256 * 1024


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that vouches for itself, and its key; return their paths."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "testbed")])
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    certificate_path, key_path = directory / "ca.crt", directory / "tls.key"
    certificate_path.write_bytes(certificate.public_bytes(encoding))
    key_path.touch(mode=0o600)
    key_path.write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_path, key_path


class TlsFront:
    """Listens on a free port of 127.0.0.1, and passes what it decrypts on to another port there."""

    def __init__(self, target_port: int, directory: Path, *, asks: bool = False) -> None:
        """Start; the certificate is written below ``directory``.

        :param asks: whether a client has to show the same certificate, with ``key``.
        """
        self.certificate, self.key = make_certificate(directory)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, self.key)
        if asks:
            self._context.verify_mode = ssl.CERT_REQUIRED
            self._context.load_verify_locations(self.certificate)
        self._target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept, name="tls-front")
        self._thread.start()

    @property
    def url(self) -> str:
        """The URL of the API by way of TLS."""
        return f"https://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return  # closed
            thread = threading.Thread(target=self._serve, args=(client,), name="tls-connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        self._sockets.add(client)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(client.close)
            inner = stack.enter_context(self._context.wrap_socket(client, server_side=True))
            self._sockets.add(inner)
            outer = stack.enter_context(socket.create_connection(("127.0.0.1", self._target_port)))
            _relay(inner, outer)

    def close(self) -> None:
        """End every connection."""
        # a thread in accept() does not notice that its socket is closed
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


def _relay(inner: ssl.SSLSocket, outer: socket.socket) -> None:
    """Pass data both ways until one side ends; a TLS connection has no half that could stay open."""
    with selectors.DefaultSelector() as selector:
        selector.register(inner, selectors.EVENT_READ, (inner, outer))
        selector.register(outer, selectors.EVENT_READ, (outer, inner))
        while True:
            for key, _events in selector.select():
                source, target = key.data
                data = source.recv(_READ_SIZE)
                if not data:
                    return
                target.sendall(data)
                while source is inner and inner.pending():  # decrypted already: no socket is readable for it
                    target.sendall(inner.recv(_READ_SIZE))
