# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an inventory host to a context, by way of the connection plugin that Ansible would use for it.

The one place that knows Ansible's plugin loaders and the private parts of the connection plugins; it is tested
on every ansible-core that the collection supports.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ansible import constants as C
from ansible.errors import AnsibleError, AnsibleValueOmittedError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import trust_as_template
from ansible.utils.path import unfrackpath

from ._base import Context, ContextError
from ._become import BecomePlugin
from ._definition import Surroundings, parse_contexts
from ._kubectl import Kubectl, access
from ._kubernetes import KubernetesContext
from ._local import LocalContext
from ._pods import PodFinder, read_by
from ._ssh import SshCommand, SshContext
from ._status import LOCAL, unknown_context
from ._workload import NoPod, parse_target

_Command = TypeVar("_Command")

_LOCAL_PLUGINS = ("local", "ansible.builtin.local", "ansible.legacy.local")
_SSH_PLUGINS = ("ssh", "smart", "ansible.builtin.ssh", "ansible.legacy.ssh")
_KUBECTL_PLUGINS = ("manifold.core.kubectl", "kubernetes.core.kubectl")

_NOT_FOR_PEERS = frozenset(
    ("retries", "remote_user", "port", "become", "become_user", "become_method", "become_flags", "become_exe")
) | {"environment"}
"""Task keywords that speak of the task's own host and must not reach another one."""


class ContextResolver:
    """Makes contexts for one task from its inventory.

    ``action`` is the running action plugin: its task, play context, templar and connection are read, never changed.
    """

    def __init__(self, action: Any, task_vars: Mapping[str, Any]) -> None:
        self._task = action._task
        self._play_context = action._play_context
        self._templar = action._templar
        self._connection = action._connection
        self._vars = task_vars

    def resolve(self, name: str | None, become: bool | None = None, become_user: str | None = None) -> Context:
        """Return the context ``name``, the task's own host if it is None; raise ContextError if it cannot be used."""
        try:
            if name is None:
                return self._own_host(become, become_user)
            if name == LOCAL:
                return self._controller(become, become_user)
            return self._peer(name, become, become_user)
        except AnsibleError as exc:
            raise ContextError(name or "the task's host", "reading its connection variables", str(exc)) from exc

    def resolve_or_define(self, given: Any, name: str) -> Context:
        """Return the context of a name, or one that stands in a task itself, as it would stand in a contexts file.

        The latter is called ``name``. Raises ContextError.
        """
        if not isinstance(given, Mapping):
            return self.resolve(str(given))
        (definition,) = parse_contexts({"contexts": {name: given}}, Surroundings("the task"))
        try:
            variables = dict(definition.variables)
            if "forward" in given:  # these are templates of ours
                ours = {key: variables[key] for key in ("ansible_host", "ansible_port")}
                variables |= {key: trust_as_template(value) for key, value in ours.items()}
            return self._load(name, variables, None, None)
        except AnsibleError as exc:
            raise ContextError(name, "reading its connection variables", str(exc)) from exc

    def _own_host(self, become: bool | None, become_user: str | None) -> Context:
        name = self._task.delegate_to or self._vars.get("inventory_hostname", "localhost")
        connection = self._connection
        plugin = connection.become
        if become is False:
            plugin = None
        elif become or (plugin is not None and become_user):
            variables = self._vars.get("ansible_delegated_vars", {}).get(name, self._vars)
            plugin = self._become_plugin(variables, self._templar, become_user, self._task.become_method)
        return _context_for(name, connection, plugin, _kind_of(connection))

    def _controller(self, become: bool | None, become_user: str | None) -> Context:
        hostvars = self._vars["hostvars"]
        variables: dict[str, Any] = dict(hostvars.raw_get(LOCAL)) if LOCAL in hostvars else {}
        return self._load(LOCAL, {**variables, "ansible_connection": "ansible.builtin.local"}, become, become_user)

    def _peer(self, name: str, become: bool | None, become_user: str | None) -> Context:
        hostvars = self._vars["hostvars"]
        known = list(hostvars)
        if name not in known:
            raise unknown_context(name, "the inventory has no such host", known)
        return self._load(name, dict(hostvars.raw_get(name)), become, become_user)

    def _load(self, name: str, variables: dict[str, Any], become: bool | None, become_user: str | None) -> Context:
        """Make the context of a host from its own variables only: those of play and task belong to the task's host."""
        variables["hostvars"], variables["groups"] = self._vars["hostvars"], self._vars.get("groups", {})
        templar = self._templar.copy_with_new_env(available_variables=variables)
        kind = str(templar.template(variables.get("ansible_connection", "ansible.builtin.ssh")))
        connection = self._load_connection(name, kind, variables, templar)
        if become is None:
            become = boolean(templar.template(variables.get("ansible_become", False)))
        plugin = self._become_plugin(variables, templar, become_user, None) if become else None
        return _context_for(name, connection, plugin, kind)

    def _load_connection(self, name: str, kind: str, variables: dict[str, Any], templar: Any) -> Any:
        if kind not in (*_LOCAL_PLUGINS, *_SSH_PLUGINS, *_KUBECTL_PLUGINS):
            raise _unsupported(name, kind)
        play_context = self._play_context.copy()
        play_context.connection = kind
        play_context.remote_addr = str(templar.template(variables.get("ansible_host", name)))
        play_context.remote_user = play_context.port = play_context.password = None
        connection = connection_loader.get(
            "ssh" if kind == "smart" else kind,
            play_context,
            new_stdin=None,
            task_uuid=self._task._uuid,
            ansible_playbook_pid=str(os.getppid()),
        )
        if connection is None:
            raise ContextError(
                name,
                f"loading the connection plugin '{kind}'",
                "it was not found",
                f"Install its collection: ansible-galaxy collection install {kind.rpartition('.')[0]}",
            )
        keys = {key: value for key, value in self._task.dump_attrs().items() if key not in _NOT_FOR_PEERS}
        keys["timeout"] = play_context.timeout
        connection.set_options(
            task_keys=keys,
            var_options={
                **connection._resolve_option_variables(variables, templar),
                **({"inventory_hostname": name} if kind in _SSH_PLUGINS else {}),
            },
        )
        shell = connection._shell
        shell.set_options(var_options=_options_of("shell", shell._load_name, variables, templar))
        return connection

    def _become_plugin(
        self, variables: Mapping[str, Any], templar: Any, user: str | None, method: str | None
    ) -> BecomePlugin:
        chosen = templar.template(variables.get("ansible_become_method")) or method or C.DEFAULT_BECOME_METHOD
        plugin = become_loader.get(chosen)
        if plugin is None:
            raise AnsibleError(f"the become method '{chosen}' was not found")
        plugin.set_options(
            var_options=_options_of("become", plugin._load_name, variables, templar),
            direct={"become_user": user} if user else None,
        )
        result: BecomePlugin = plugin
        return result


def _options_of(plugin_type: str, plugin: str, variables: Mapping[str, Any], templar: Any) -> dict[str, Any]:
    """Return the templated variables that the options of a plugin are read from."""
    options = {}
    for key in C.config.get_plugin_vars(plugin_type, plugin):
        if key in variables:
            with contextlib.suppress(AnsibleValueOmittedError):
                options[key] = templar.template(variables[key])
    return options


def _kind_of(connection: Any) -> str:
    return str(getattr(connection, "ansible_name", None) or connection._load_name)


def _unsupported(name: str, kind: str) -> ContextError:
    return ContextError(
        name,
        "choosing a transport",
        f"streams do not support the connection plugin '{kind}'",
        "Supported are ansible.builtin.local, ansible.builtin.ssh, manifold.core.kubectl and kubernetes.core.kubectl.",
    )


def _context_for(name: str, connection: Any, become: BecomePlugin | None, kind: str) -> Context:
    if become is not None and getattr(become, "require_tty", False):
        raise ContextError(
            name,
            "becoming another user",
            f"the become method '{become.name}' needs a terminal, and a stream has none",
            "Use sudo or doas.",
        )
    shell = connection._shell
    if kind in _LOCAL_PLUGINS:
        return LocalContext(name, shell, become)
    if kind in _SSH_PLUGINS:
        return SshContext(name, lambda: _translated(name, _ssh_command, connection), shell, become)
    if kind in _KUBECTL_PLUGINS:
        return kubernetes_context(name, connection, become)
    raise _unsupported(name, kind)


def _translated(name: str, read: Callable[[Any], _Command], connection: Any) -> _Command:
    """Read a command line off a connection plugin; what the plugin complains about becomes a ContextError."""
    try:
        return read(connection)
    except AnsibleError as exc:
        raise ContextError(name, "building its command line", str(exc)) from exc


def _ssh_command(connection: Any) -> SshCommand:
    """Read the ssh command line of a host off Ansible's plugin, with what its password needs."""
    executable = str(connection.get_option("ssh_executable"))
    destination = str(connection.get_option("host") or connection._play_context.remote_addr)
    connection.host = destination
    connection.sshpass_pipe = None
    argv = tuple(connection._build_command(executable, "ssh"))
    if hasattr(connection, "_sshpass_cmd"):  # newer cores put sshpass in front elsewhere
        argv = (*connection._sshpass_cmd(), *argv)
    password = str(connection.get_option("password") or connection._play_context.password or "")
    prompt = str(connection.get_option("sshpass_prompt") or "")
    directory = str(unfrackpath(connection.get_option("control_path_dir")))
    digest = hashlib.sha256(password.encode()).hexdigest() if password else ""
    if connection.sshpass_pipe:
        read_end, write_end = connection.sshpass_pipe
        connection.sshpass_pipe = None
        os.write(write_end, password.encode() + b"\n")
        os.close(write_end)
        return SshCommand(
            executable,
            argv,
            destination,
            directory,
            pass_fds=(read_end,),
            started=_close_once(read_end),
            secret_digest=digest,
            password=password,
            prompt=prompt,
        )
    environment = connection._init_shm().get("env")
    memory = connection.shm

    def free_memory() -> None:
        if memory is not None:
            memory.close()
            with contextlib.suppress(FileNotFoundError):
                memory.unlink()

    return SshCommand(
        executable,
        argv,
        destination,
        directory,
        env=environment,
        close=free_memory,
        secret_digest=digest,
        password=password,
        prompt=prompt,
    )


def _close_once(fd: int) -> Any:
    open_fds = [fd]

    def close() -> None:
        while open_fds:
            os.close(open_fds.pop())

    return close


def kubernetes_context(name: str, connection: Any, become: BecomePlugin | None = None) -> KubernetesContext:
    """Read the options of a kubectl plugin, ours or the existing one, whose options and names are the same.

    Raises ContextError if they cannot be used.
    """
    option = connection.get_option
    kubectl = Kubectl(name, access(name, option, connection.transport_cmd, os.environ))
    selector = _selector_of(connection)
    pods = _pods_of(name, connection, kubectl, selector)
    names_pod = bool(option("kubectl_pod") or selector)
    return KubernetesContext(name, kubectl, pods, connection._shell, become, names_pod)


def _selector_of(connection: Any) -> str | None:
    """Return the selector of a kubectl plugin; the existing one has none."""
    return connection.get_option("kubectl_selector") if connection.has_option("kubectl_selector") else None


def _pods_of(name: str, connection: Any, kubectl: Kubectl, selector: str | None) -> PodFinder:
    """Return what finds the pod that the options of a kubectl plugin name; raise ContextError if they name none."""
    option = connection.get_option
    try:
        target = parse_target(option("kubectl_pod"), selector, str(connection._play_context.remote_addr))
    except NoPod as exc:
        raise ContextError(name, "reading ansible_kubectl_pod", exc.cause, exc.remedy) from exc
    return PodFinder(name, read_by(kubectl), target, option("kubectl_container") or None)
