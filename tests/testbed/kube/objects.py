# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the API for objects: identity, generation, conflicts, subresources, finalizers, garbage collection.

The HTTP side, the workload controllers and the pod runner all change objects through this class, so the
rules hold for all of them.
"""

from __future__ import annotations

import copy
import secrets
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from testbed.kube.defaults import apply_defaults
from testbed.kube.errors import already_exists, bad_request, conflict, invalid, not_found
from testbed.kube.resources import Registry, Resource, resources_of_crd
from testbed.kube.store import Obj, Ref, Store

Change = Callable[[Obj], None]

_SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
# These are removed by whoever looks after them (the pod runner, the namespace controller) once they are empty.
_REMOVED_BY_OWNER = frozenset({("", "pods"), ("", "namespaces")})


def now() -> str:
    """Return the time as ``metav1.Time`` writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def name_suffix() -> str:
    """Return five characters for a generated name."""
    return "".join(secrets.choice("bcdfghjklmnpqrstvwxz2456789") for _letter in range(5))


def ref_of(resource: Resource, namespace: str | None, name: str) -> Ref:
    """Return where an object of this resource lives."""
    return Ref(resource.group, resource.plural, (namespace or "default") if resource.namespaced else "", name)


def owner_reference(owner: Obj) -> dict[str, Any]:
    """Return the controller reference that an owned object carries."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


class Objects:
    """Create, read, change and delete objects as the API would. Thread-safe."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self.store = store
        self.registry = registry
        self.closing = threading.Event()

    def get(self, resource: Resource, namespace: str | None, name: str) -> Obj:
        """Return an object in the wanted version; raise 404."""
        found = self.store.read(ref_of(resource, namespace, name))
        if found is None:
            raise not_found(resource.qualified_name, name)
        return self.in_version(resource, found)

    def in_version(self, resource: Resource, obj: Obj) -> Obj:
        """Return the object as this API version shows it (the test bed converts nothing but ``apiVersion``)."""
        if obj.get("apiVersion") == resource.api_version:
            return obj
        return {**obj, "apiVersion": resource.api_version, "kind": resource.kind}

    def create(self, resource: Resource, namespace: str | None, body: Obj) -> Obj:
        """Store a new object and return it; raise 404, 409 or 422."""
        obj = copy.deepcopy(body)
        metadata = obj.setdefault("metadata", {})
        self._name(resource, namespace, metadata)
        ref = ref_of(resource, metadata.get("namespace"), metadata["name"])
        for field in (*_SERVER_FIELDS, "resourceVersion"):
            metadata.pop(field, None)
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        if "status" in resource.subresources:
            obj.pop("status", None)
        apply_defaults(resource, obj)
        with self.store.transaction:
            if ref.namespace and self.store.read(Ref("", "namespaces", "", ref.namespace)) is None:
                raise not_found("namespaces", ref.namespace)
            if self.store.read(ref) is not None:
                raise already_exists(resource.qualified_name, ref.name)
            created = self.store.write(ref, obj)
        self._serve_crd(resource, created)
        return created

    def _name(self, resource: Resource, namespace: str | None, metadata: dict[str, Any]) -> None:
        if "name" not in metadata:
            if not metadata.get("generateName"):
                raise invalid("name or generateName is required")
            metadata["name"] = metadata["generateName"] + name_suffix()
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if namespace and metadata.get("namespace", namespace) != namespace:
            raise bad_request("the namespace of the object does not match the namespace of the request")
        metadata.setdefault("namespace", namespace or "default")

    def _serve_crd(self, resource: Resource, obj: Obj) -> None:
        if resource.kind == "CustomResourceDefinition":
            for served in resources_of_crd(obj):
                self.registry.add(served)

    def replace(self, resource: Resource, namespace: str | None, name: str, body: Obj, part: str = "") -> Obj:
        """Store a client's whole new form of an object (PUT); ``part`` is ``status`` for that subresource."""
        wanted = body.get("metadata", {}).get("resourceVersion")

        def change(obj: Obj) -> None:
            if wanted not in (None, "", obj["metadata"]["resourceVersion"]):
                raise conflict(resource.qualified_name, name)
            obj.clear()
            obj.update(copy.deepcopy(body))

        return self.change(resource, namespace, name, change, part)

    def change(self, resource: Resource, namespace: str | None, name: str, change: Change, part: str = "") -> Obj:
        """Let ``change`` edit a copy of the object in place, then store it if it differs; return the result.

        What the API protects is put back: identity always, the status unless ``part`` is ``status``, and
        everything but the status if it is.
        """
        ref = ref_of(resource, namespace, name)
        with self.store.transaction:
            old = self.store.read(ref)
            if old is None:
                raise not_found(resource.qualified_name, name)
            new = copy.deepcopy(old)
            change(new)
            new = self._protect(resource, old, new, part)
            if new == old:
                return self.in_version(resource, old)
            written = self.store.write(ref, new)
            self._finish_deletion(ref, written)
        self._serve_crd(resource, written)
        return self.in_version(resource, written)

    def _protect(self, resource: Resource, old: Obj, new: Obj, part: str) -> Obj:
        if part == "status":
            new = {**copy.deepcopy(old), **({"status": new["status"]} if "status" in new else {})}
        elif "status" in resource.subresources:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        metadata, was = new.setdefault("metadata", {}), old["metadata"]
        if metadata.get("name", was["name"]) != was["name"]:
            raise invalid("metadata.name: field is immutable")
        for field in (*_SERVER_FIELDS, "name", "namespace", "resourceVersion"):
            metadata.pop(field, None)
            if field in was:
                metadata[field] = was[field]
        new["apiVersion"], new["kind"] = old["apiVersion"], old["kind"]
        if _specification(new) != _specification(old):
            metadata["generation"] = was.get("generation", 1) + 1
        return new

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        grace_seconds: int | None = None,
        orphan: bool = False,
        uid: str | None = None,
    ) -> Obj:
        """Delete an object, or mark it for deletion if somebody still has to finish it; return its last form."""
        ref = ref_of(resource, namespace, name)
        with self.store.transaction:
            old = self.store.read(ref)
            if old is None:
                raise not_found(resource.qualified_name, name)
            if uid is not None and uid != old["metadata"]["uid"]:
                raise conflict(resource.qualified_name, name)
            if orphan:
                self._orphan(old["metadata"]["uid"])
            marked = self._mark(ref, old, grace_seconds)
            self._finish_deletion(ref, marked)
            return marked

    def _mark(self, ref: Ref, old: Obj, grace_seconds: int | None) -> Obj:
        marked = copy.deepcopy(old)
        if "deletionTimestamp" in old["metadata"]:
            return old
        if grace_seconds is None:
            grace_seconds = old.get("spec", {}).get("terminationGracePeriodSeconds", 0)
        marked["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace_seconds}
        if (ref.group, ref.plural) == ("", "namespaces"):
            marked["status"] = {"phase": "Terminating"}
        if (ref.group, ref.plural) in _REMOVED_BY_OWNER or old["metadata"].get("finalizers"):
            return self.store.write(ref, marked)
        return marked

    def _finish_deletion(self, ref: Ref, obj: Obj) -> None:
        metadata = obj["metadata"]
        if "deletionTimestamp" not in metadata or metadata.get("finalizers"):
            return
        if (ref.group, ref.plural) not in _REMOVED_BY_OWNER:
            self._remove(ref)

    def finalize(self, ref: Ref, uid: str) -> None:
        """Remove a pod or namespace whose deletion its owner has carried out; keep it while it has finalizers."""
        with self.store.transaction:
            obj = self.store.read(ref)
            if obj is not None and obj["metadata"]["uid"] == uid and not obj["metadata"].get("finalizers"):
                self._remove(ref)

    def _remove(self, ref: Ref) -> None:
        removed = self.store.remove(ref)
        if removed is None:
            return
        if removed["kind"] == "CustomResourceDefinition":
            self._drop_crd(removed)
        self._collect_garbage(removed["metadata"]["uid"])

    def _drop_crd(self, crd: Obj) -> None:
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        for ref, _entry in self.store.entries(lambda ref, _entry: (ref.group, ref.plural) == (group, plural)):
            self.store.remove(ref)
        self.registry.discard(group, plural)

    def _collect_garbage(self, owner_uid: str) -> None:
        """Delete what the removed object owned (the garbage collector's background mode)."""
        for ref, obj in self.store.entries(lambda _, obj: _owned_by(obj, owner_uid)):
            others = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != owner_uid]
            if others:
                self._set_owners(ref, obj, others)
            else:
                self._finish_deletion(ref, self._mark(ref, obj, None))

    def _orphan(self, owner_uid: str) -> None:
        for ref, obj in self.store.entries(lambda _, obj: _owned_by(obj, owner_uid)):
            self._set_owners(ref, obj, [o for o in obj["metadata"]["ownerReferences"] if o["uid"] != owner_uid])

    def _set_owners(self, ref: Ref, obj: Obj, owners: list[dict[str, Any]]) -> None:
        changed = copy.deepcopy(obj)
        changed["metadata"]["ownerReferences"] = owners
        self.store.write(ref, changed)


def _specification(obj: Obj) -> dict[str, Any]:
    return {key: value for key, value in obj.items() if key not in ("metadata", "status")}


def _owned_by(obj: Obj, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in obj["metadata"].get("ownerReferences") or ())
