# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: kubectl
short_description: Run tasks in pods by kubectl, proven and without secrets in argument lists
version_added: 0.1.0
author: manifold.core contributors (@manifold-core)
description:
  - The connection plugin P(kubernetes.core.kubectl#connection), with its options and variables, made safe.
  - A command succeeds only if its end was seen. C(kubectl exec) is known to end with status 0 on a stream that was cut;
    here such a command, and one that was not given all its input, makes the host unreachable.
  - A file that is put or fetched is compared by size and SHA-256 and appears whole or not at all. In a pod without
    C(sha256sum) and C(openssl) the size alone is compared, and a warning says so.
  - Commands in the container are asked of the API server directly, and by C(kubectl) wherever that cannot be.
    C(KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false), in O(kubectl_local_env_vars) or in the environment, leaves all of them
    to C(kubectl).
  - Tokens and passwords stand in no argument list and in no file. They are read from memory by a descriptor that
    C(kubectl) and what stands in for it inherit.
  - A pod may be named by its workload or by a selector. It is looked up when it is first used, and kept for as long
    as the task uses the connection, so all of one task runs in one pod. The next task looks it up again.
notes:
  - The pod needs C(sh) with coreutils or busybox; modules other than M(ansible.builtin.raw) need Python there too.
  - When a command's connection is lost, its processes in the pod are ended. They carry C(MANIFOLD_STAGE) in their
    environment.
requirements:
  - C(kubectl) on the controller.
  - The collection C(kubernetes.core).
options:
  kubectl_pod:
    description:
      - The pod, by its name, or V(deployment/NAME), V(statefulset/NAME), V(daemonset/NAME) or V(service/NAME) for a
        ready pod of that. Without it and without O(kubectl_selector) it is the host's name.
      - Of a deployment the newest revision that has a ready pod is taken, and only pods that it owns. Of a stateful set
        it is the ready pod with the lowest number, otherwise the one that has been ready for longest. A pod that is
        being deleted is never taken.
      - A pod that is given by its own name is taken as it is, ready or not.
    default: ''
    vars:
      - name: ansible_kubectl_pod
    env:
      - name: K8S_AUTH_POD
  kubectl_selector:
    description: A label selector for the pod, such as V(app=web), instead of O(kubectl_pod).
    default: ''
    vars:
      - name: ansible_kubectl_selector
  kubectl_container:
    description:
      - The container. Without it kubectl's own choice is taken, the container that the annotation
        C(kubectl.kubernetes.io/default-container) names, else the first.
    default: ''
    vars:
      - name: ansible_kubectl_container
    env:
      - name: K8S_AUTH_CONTAINER
  kubectl_namespace:
    description: The namespace of the pod. Without it the kubeconfig decides.
    default: ''
    vars:
      - name: ansible_kubectl_namespace
    env:
      - name: K8S_AUTH_NAMESPACE
  kubectl_extra_args:
    description:
      - Further options for kubectl, separated by blanks. C(--token) and C(--password) are taken out and handed over
        like O(kubectl_token) and O(kubectl_password).
    default: ''
    vars:
      - name: ansible_kubectl_extra_args
    env:
      - name: K8S_AUTH_EXTRA_ARGS
  kubectl_local_env_vars:
    description: Environment variables for kubectl on the controller.
    default: {}
    type: dict
    vars:
      - name: ansible_kubectl_local_env_vars
  kubectl_kubeconfig:
    description:
      - The path of a kubeconfig, or its content as a dictionary. Without it kubectl's own choice is taken, which is
        C(KUBECONFIG) or C(~/.kube/config).
    default: ''
    vars:
      - name: ansible_kubectl_kubeconfig
      - name: ansible_kubectl_config
    env:
      - name: K8S_AUTH_KUBECONFIG
  kubectl_context:
    description: The name of a context of the kubeconfig.
    default: ''
    vars:
      - name: ansible_kubectl_context
    env:
      - name: K8S_AUTH_CONTEXT
  kubectl_host:
    description: The URL of the API.
    default: ''
    vars:
      - name: ansible_kubectl_host
      - name: ansible_kubectl_server
    env:
      - name: K8S_AUTH_HOST
      - name: K8S_AUTH_SERVER
  kubectl_username:
    description: The user name for O(kubectl_password).
    default: ''
    vars:
      - name: ansible_kubectl_username
      - name: ansible_kubectl_user
    env:
      - name: K8S_AUTH_USERNAME
  kubectl_password:
    description:
      - A password for the API. It takes the place of the kubeconfig's user.
    default: ''
    vars:
      - name: ansible_kubectl_password
    env:
      - name: K8S_AUTH_PASSWORD
  kubectl_token:
    description:
      - A bearer token for the API. It takes the place of the kubeconfig's user.
    vars:
      - name: ansible_kubectl_token
      - name: ansible_kubectl_api_key
    env:
      - name: K8S_AUTH_TOKEN
      - name: K8S_AUTH_API_KEY
  client_cert:
    description: The path of a certificate to authenticate with.
    default: ''
    vars:
      - name: ansible_kubectl_cert_file
      - name: ansible_kubectl_client_cert
    env:
      - name: K8S_AUTH_CERT_FILE
    aliases: [kubectl_cert_file]
  client_key:
    description: The path of the key of O(client_cert).
    default: ''
    vars:
      - name: ansible_kubectl_key_file
      - name: ansible_kubectl_client_key
    env:
      - name: K8S_AUTH_KEY_FILE
    aliases: [kubectl_key_file]
  ca_cert:
    description: The path of the CA certificate that the API's own is checked with.
    default: ''
    vars:
      - name: ansible_kubectl_ssl_ca_cert
      - name: ansible_kubectl_ca_cert
    env:
      - name: K8S_AUTH_SSL_CA_CERT
    aliases: [kubectl_ssl_ca_cert]
  validate_certs:
    description: Whether to check the certificate of the API. Without it the kubeconfig decides.
    default: ''
    vars:
      - name: ansible_kubectl_verify_ssl
      - name: ansible_kubectl_validate_certs
    env:
      - name: K8S_AUTH_VERIFY_SSL
    aliases: [kubectl_verify_ssl]
"""

EXAMPLES = r"""
- name: Look into a pod of a deployment
  hosts: localhost
  gather_facts: false
  vars:
    ansible_connection: manifold.core.kubectl
    ansible_kubectl_context: production
    ansible_kubectl_namespace: shop
    ansible_kubectl_pod: deployment/web
  tasks:
    - name: Read its release, which needs no Python there
      ansible.builtin.raw: cat /etc/os-release
      changed_when: false

- name: Use a pod as a host of the inventory
  # shop:
  #   ansible_connection: manifold.core.kubectl
  #   ansible_kubectl_host: https://k8s.example.com:6443
  #   ansible_kubectl_token: "{{ vaulted_token }}"
  #   ansible_kubectl_namespace: shop
  #   ansible_kubectl_selector: app=web,tier=front
  hosts: shop
  gather_facts: false
  tasks:
    - name: Put a file there
      ansible.builtin.copy:
        src: settings.json
        dest: /srv/settings.json
        mode: "0644"
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase
from ansible.utils.display import Display

from ..plugin_utils._signals import raising
from ..plugin_utils.contexts._ansible import kubernetes_context
from ..plugin_utils.contexts._base import ContextError
from ..plugin_utils.contexts._kubernetes import KubernetesContext
from ..plugin_utils.streams._exchange import ExchangeFailed, run_command
from ..plugin_utils.streams._files import Copied, CopyFailed, fetch, put

try:
    from ansible_collections.kubernetes.core.plugins.connection.kubectl import Connection as ExistingConnection

    HAS_KUBERNETES_CORE = True
except ImportError:
    ExistingConnection = ConnectionBase
    HAS_KUBERNETES_CORE = False

display = Display()


class Connection(ExistingConnection):
    """The existing kubectl connection, with transports that are proven."""

    transport = "kubectl"
    has_pipelining = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not HAS_KUBERNETES_CORE:
            raise AnsibleError(
                "manifold.core.kubectl needs the collection kubernetes.core; "
                "install it: ansible-galaxy collection install kubernetes.core"
            )
        super().__init__(*args, **kwargs)
        self._context: KubernetesContext | None = None

    def _connect(self) -> Connection:
        """Read what names the pod; nothing is opened."""
        self._in_pod()
        return self

    def _in_pod(self) -> KubernetesContext:
        if self._context is None:
            host = str(self._play_context.remote_addr)
            try:
                self._context = kubernetes_context(host, self)
            except ContextError as exc:
                raise AnsibleConnectionFailure(str(exc)) from None
            self._connected = True
            display.vvv("ESTABLISH kubectl CONNECTION", host=host)
        return self._context

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:
        """Run a command in the container; raise AnsibleConnectionFailure if its end was not seen."""
        del sudoable  # the become plugin has wrapped the command already
        context = self._in_pod()
        display.vvv(f"EXEC {cmd}", host=context.name)
        with _translated(f"running a command in the pod of {context.name}"):
            return run_command(context, (self._play_context.executable, "-c", cmd), in_data)

    def put_file(self, in_path: str, out_path: str) -> None:
        """Copy a file into the container; raise AnsibleError unless all of it is proven to be there."""
        out_path = _absolute(out_path)
        display.vvv(f"PUT {in_path} TO {out_path}", host=self._in_pod().name)
        if not Path(in_path).exists():
            raise AnsibleFileNotFound(f"file or module does not exist: {in_path}")
        with _translated(f"putting {in_path} to {out_path}"):
            self._warn(out_path, put(Path(in_path), self._in_pod(), out_path))

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Copy a file of the container to this machine; raise AnsibleError unless all of it is proven to be here."""
        in_path = _absolute(in_path)
        display.vvv(f"FETCH {in_path} TO {out_path}", host=self._in_pod().name)
        with _translated(f"fetching {in_path} to {out_path}"):
            self._warn(in_path, fetch(self._in_pod(), in_path, Path(out_path)))

    def _warn(self, path: str, copied: Copied) -> None:
        if not copied.hashed:
            display.warning(
                f"{self._in_pod().name}: {path} was verified by its size alone; "
                "the pod has neither sha256sum nor openssl"
            )

    def reset(self) -> None:
        """Look for the pod again when it is used next."""
        self.close()

    def close(self) -> None:
        """Forget the pod and the credentials."""
        if self._context is not None:
            self._context.close()
            self._context = None
        self._connected = False


def _absolute(path: str) -> str:
    """Return a path in the container; a relative one starts at its root, as with the existing plugin."""
    return os.path.normpath(path if path.startswith("/") else f"/{path}")


@contextlib.contextmanager
def _translated(operation: str) -> Iterator[None]:
    """Say what went wrong as Ansible expects it, and end what runs there when this process is to end.

    The causes are left out: Ansible would say the text of each of them again.
    """
    try:
        with raising():
            yield
    except (ExchangeFailed, ContextError) as exc:
        raise AnsibleConnectionFailure(f"{operation}: {exc}") from None
    except CopyFailed as exc:
        raise AnsibleError(f"{operation}: {exc}") from None
