# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks, and what they may: bearer tokens of service accounts, and RBAC's roles and bindings.

A request without a token is the tests' own and may do everything, also act as somebody else by ``Impersonate-User``.
Everybody else may do what a Role or ClusterRole bound to them says, and nothing more. Not there: aggregated
ClusterRoles, the check that nobody grants more than they hold, and the roles that a real cluster is born with.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from testbed.kube.errors import ApiError, forbidden, not_found
from testbed.kube.resources import RBAC
from testbed.kube.store import Obj, Ref, Store


@dataclass(frozen=True)
class Identity:
    """Somebody who sends requests."""

    name: str
    groups: tuple[str, ...] = ()

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return "system:masters" in self.groups


ADMIN = Identity("system:admin", ("system:masters", "system:authenticated"))


@dataclass(frozen=True)
class Request:
    """What somebody wants, in the words of RBAC; ``resource`` holds the subresource, as in ``pods/status``."""

    verb: str
    group: str
    resource: str
    namespace: str = ""
    name: str = ""


def service_account(name: str, namespace: str) -> Identity:
    """Return who a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return Identity(f"system:serviceaccount:{namespace}:{name}", groups)


class Access:
    """Tokens, and the roles that the store holds. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._tokens: dict[str, tuple[Ref, str]] = {}
        self.authorizations: frozenset[str] | None = None
        """The Authorization headers that let a request in as the tests' own; None lets in those without one."""

    def issue(self, name: str, namespace: str) -> str:
        """Return a new token of a service account; raise 404 if there is none of this name."""
        ref = Ref("", "serviceaccounts", namespace, name)
        account = self._store.read(ref)
        if account is None:
            raise not_found("serviceaccounts", name)
        token = f"testbed-{secrets.token_urlsafe(24)}"
        with self._lock:
            self._tokens[token] = (ref, account["metadata"]["uid"])
        return token

    def identify(self, header: str | None, impersonated: str | None) -> Identity:
        """Return who sends a request with these headers; raise 401."""
        who = self._identify(header)
        if impersonated and who.is_admin:
            parts = impersonated.split(":")
            if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
                return service_account(parts[3], parts[2])
            return Identity(impersonated, ("system:authenticated",))
        return who

    def _identify(self, header: str | None) -> Identity:
        if self.authorizations is not None and header in self.authorizations:
            return ADMIN
        if header is None and self.authorizations is None:
            return ADMIN
        # as of a server, whatever its case: the Python client writes it small for a pod's own account
        scheme, _space, token = (header or "").partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError(401, "Unauthorized", "Unauthorized")
        with self._lock:
            known = self._tokens.get(token)
        account = None if known is None else self._store.read(known[0])
        if known is None or account is None or account["metadata"]["uid"] != known[1]:
            raise ApiError(401, "Unauthorized", "Unauthorized")
        return service_account(known[0].name, known[0].namespace)

    def require(self, who: Identity, request: Request) -> None:
        """Raise 403 unless somebody may do what they want."""
        if self.allows(who, request):
            return
        where = f'in the namespace "{request.namespace}"' if request.namespace else "at the cluster scope"
        why = f'User "{who.name}" cannot {request.verb} resource "{request.resource}" in API group "{request.group}" '
        plural = request.resource.partition("/")[0]
        raise forbidden(f"{plural}.{request.group}" if request.group else plural, request.name, why + where)

    def allows(self, who: Identity, request: Request) -> bool:
        """Return whether a rule allows a request."""
        return who.is_admin or any(_fits(rule, request) for rule in self._rules(who, request.namespace))

    def _rules(self, who: Identity, namespace: str) -> Iterator[dict[str, Any]]:
        bindings = self._store.items(RBAC, "clusterrolebindings")[0]
        if namespace:
            bindings += self._store.items(RBAC, "rolebindings", namespace)[0]
        for binding in bindings:
            if any(_is(subject, who) for subject in binding.get("subjects") or ()):
                role = self._role(binding)
                yield from (role or {}).get("rules") or ()

    def _role(self, binding: Obj) -> Obj | None:
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            return self._store.read(Ref(RBAC, "clusterroles", "", reference["name"]))
        return self._store.read(Ref(RBAC, "roles", binding["metadata"].get("namespace", ""), reference["name"]))


def _is(subject: dict[str, Any], who: Identity) -> bool:
    if subject["kind"] == "ServiceAccount":
        return who.name == f"system:serviceaccount:{subject.get('namespace', '')}:{subject['name']}"
    if subject["kind"] == "Group":
        return subject["name"] in who.groups
    return bool(subject["kind"] == "User" and subject["name"] == who.name)


def _fits(rule: dict[str, Any], request: Request) -> bool:
    _plural, _slash, part = request.resource.partition("/")
    resources = {"*", request.resource, *([f"*/{part}"] if part else ())}
    names = rule.get("resourceNames")
    return (
        bool({"*", request.verb} & set(rule.get("verbs") or ()))
        and bool({"*", request.group} & set(rule.get("apiGroups") or ()))
        and bool(resources & set(rule.get("resources") or ()))
        and (not names or request.name in names)
    )
