# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the API for objects: identity, generation, conflicts, subresources, finalizers, garbage collection.

The HTTP side, the workload controllers and the pod runner all change objects through this class, so the
rules hold for all of them.
"""

from __future__ import annotations

import secrets
import threading
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from testbed.kube.defaults import apply_defaults
from testbed.kube.errors import already_exists, bad_request, conflict, forbidden, invalid, not_found
from testbed.kube.resources import Registry, Resource, resources_of_crd
from testbed.kube.rules import check_change, check_new
from testbed.kube.store import Obj, Ref, Store, clone

Change = Callable[[Obj], None]

_SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
# These are removed by whoever looks after them (the pod runner, the namespace controller) once they are empty.
_REMOVED_BY_OWNER = frozenset({("", "pods"), ("", "namespaces")})
_FOREGROUND = "foregroundDeletion"


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

    def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Obj,
        *,
        dry_run: bool = False,
        validate: bool = True,
    ) -> Obj:
        """Store a new object (not in a dry run) and return it; raise 404, 409 or 422."""
        obj = clone(body)
        metadata = obj.setdefault("metadata", {})
        self._name(resource, namespace, metadata)
        ref = ref_of(resource, metadata.get("namespace"), metadata["name"])
        for field in (*_SERVER_FIELDS, "resourceVersion"):
            metadata.pop(field, None)
        obj["apiVersion"], obj["kind"] = resource.api_version, resource.kind
        metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        if "status" in resource.subresources and resource.kind != "Node":  # a kubelet brings its status along
            obj.pop("status", None)
        self._prepare(resource, obj)
        apply_defaults(resource, obj)
        if validate:
            self._validate(resource, obj, None)
        with self.store.transaction:
            self._require_namespace(resource, ref)
            if self.store.read(ref) is not None:
                raise already_exists(resource.qualified_name, ref.name)
            if dry_run:
                return obj
            created = self.store.write(ref, obj)
            self._serve_crd(resource, created)
            self._collect_if_orphaned(ref, created)
        return created

    def _require_namespace(self, resource: Resource, ref: Ref) -> None:
        if not ref.namespace:
            return
        namespace = self.store.read(Ref("", "namespaces", "", ref.namespace))
        if namespace is None:
            raise not_found("namespaces", ref.namespace)
        if "deletionTimestamp" in namespace["metadata"]:
            why = f"unable to create new content in namespace {ref.namespace} because it is being terminated"
            raise forbidden(resource.qualified_name, ref.name, why)

    def _prepare(self, resource: Resource, obj: Obj) -> None:
        if resource.definition is not None:
            resource.definition.prepare(obj)

    def _validate(self, resource: Resource, obj: Obj, old: Obj | None) -> None:
        if resource.definition is not None:
            resource.definition.validate(obj, old)
        elif resource.kind == "CustomResourceDefinition":
            from testbed.kube.crd import check_definition  # late: only who defines resources needs its libraries

            check_definition(obj)
        elif old is None:
            check_new(resource, obj)
        else:
            check_change(resource, old, obj)

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

    def replace(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Obj,
        part: str = "",
        *,
        dry_run: bool = False,
    ) -> Obj:
        """Store a client's whole new form of an object (PUT); ``part`` is ``status`` for that subresource."""
        wanted = body.get("metadata", {}).get("resourceVersion")

        def change(obj: Obj) -> None:
            if wanted not in (None, "", obj["metadata"]["resourceVersion"]):
                raise conflict(resource.qualified_name, name)
            obj.clear()
            obj.update(clone(body))

        return self.change(resource, namespace, name, change, part, dry_run=dry_run)

    def change(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        change: Change,
        part: str = "",
        *,
        dry_run: bool = False,
    ) -> Obj:
        """Let ``change`` edit a copy of the object in place, then store it if it differs; return the result.

        What the API protects is put back: identity always, the status unless ``part`` is ``status``, and
        everything but the status if it is.
        """
        ref = ref_of(resource, namespace, name)
        with self.store.transaction:
            old = self.store.read(ref)
            if old is None:
                raise not_found(resource.qualified_name, name)
            new = clone(old)
            change(new)
            new = self._protect(resource, old, new, part)
            if new == old:
                return self.in_version(resource, old)
            self._validate(resource, new, old)
            if dry_run:
                return self.in_version(resource, new)
            written = self.store.write(ref, new)
            self._serve_crd(resource, written)
            self._finish_deletion(ref, written)
        return self.in_version(resource, written)

    def _protect(self, resource: Resource, old: Obj, new: Obj, part: str) -> Obj:
        if part == "status":
            new = {**{key: value for key, value in old.items() if key != "status"}, "status": new.get("status")}
            if new["status"] is None:
                del new["status"]
            new["metadata"] = dict(old["metadata"])
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
        added = set(metadata.get("finalizers") or ()) - set(was.get("finalizers") or ())
        if added and "deletionTimestamp" in was:
            raise invalid(
                "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted"
            )
        self._prepare(resource, new)
        if _specification(resource, new) != _specification(resource, old):
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
        foreground: bool = False,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Obj:
        """Delete an object, or mark it for deletion if somebody still has to finish it; return its last form.

        What it owns goes with it afterwards, unless ``orphan``; with ``foreground`` it goes before.
        """
        ref = ref_of(resource, namespace, name)
        with self.store.transaction:
            old = self.store.read(ref)
            if old is None:
                raise not_found(resource.qualified_name, name)
            wanted = (uid or old["metadata"]["uid"], resource_version or old["metadata"]["resourceVersion"])
            if wanted != (old["metadata"]["uid"], old["metadata"]["resourceVersion"]):
                raise conflict(resource.qualified_name, name)
            if orphan:
                self._orphan(old["metadata"]["uid"])
            if foreground and self.store.owned_by(old["metadata"]["uid"]):
                old = clone(old)
                old["metadata"]["finalizers"] = [*(old["metadata"].get("finalizers") or ()), _FOREGROUND]
            marked = self._mark(ref, old, grace_seconds)
            self._finish_deletion(ref, marked)
            if foreground:
                self._delete_owned(marked["metadata"]["uid"])
            return marked

    def _mark(self, ref: Ref, old: Obj, grace_seconds: int | None) -> Obj:
        if "deletionTimestamp" in old["metadata"]:
            return self._hurry(ref, old, grace_seconds)
        marked = clone(old)
        if grace_seconds is None:
            grace_seconds = old.get("spec", {}).get("terminationGracePeriodSeconds", 0)
        marked["metadata"] |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace_seconds}
        # So does a real server, for an object that counts generations.
        marked["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
        if (ref.group, ref.plural) == ("", "namespaces"):
            marked["status"] = {"phase": "Terminating"}
        if (ref.group, ref.plural) in _REMOVED_BY_OWNER or old["metadata"].get("finalizers"):
            return self.store.write(ref, marked)
        return marked

    def _hurry(self, ref: Ref, old: Obj, grace_seconds: int | None) -> Obj:
        """Shorten the grace of what is being deleted already."""
        if grace_seconds is None or grace_seconds >= old["metadata"].get("deletionGracePeriodSeconds", 0):
            return old
        hurried = {**old, "metadata": {**old["metadata"], "deletionGracePeriodSeconds": grace_seconds}}
        return self.store.write(ref, hurried)

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
        for reference in removed["metadata"].get("ownerReferences") or ():
            self._release_owner(reference["uid"])

    def _release_owner(self, uid: str) -> None:
        """Let an owner go that waited in the foreground for the last of what it owns."""
        found = self.store.of_uid(uid)
        if found is None or _FOREGROUND not in (found[1]["metadata"].get("finalizers") or ()):
            return
        if any(_blocks(obj, uid) for _ref, obj in self.store.owned_by(uid)):
            return
        ref, owner = found
        left = [name for name in owner["metadata"]["finalizers"] if name != _FOREGROUND]
        released = {**owner, "metadata": {**owner["metadata"], "finalizers": left}}
        self._finish_deletion(ref, self.store.write(ref, released))

    def _delete_owned(self, uid: str) -> None:
        for ref, obj in self.store.owned_by(uid):
            if all(owner["uid"] == uid for owner in obj["metadata"]["ownerReferences"]):
                self._finish_deletion(ref, self._mark(ref, obj, None))
        self._release_owner(uid)

    def _collect_if_orphaned(self, ref: Ref, obj: Obj) -> None:
        """Delete what was created for an owner that is gone already."""
        owners = obj["metadata"].get("ownerReferences")
        if owners and all(self.store.of_uid(owner.get("uid", "")) is None for owner in owners):
            self._finish_deletion(ref, self._mark(ref, obj, None))

    def _drop_crd(self, crd: Obj) -> None:
        group, plural = crd["spec"]["group"], crd["spec"]["names"]["plural"]
        for ref, _entry in self.store.entries(lambda ref, _entry: (ref.group, ref.plural) == (group, plural)):
            self.store.remove(ref)
        self.registry.discard(group, plural)

    def _collect_garbage(self, owner_uid: str) -> None:
        """Delete what the removed object owned (the garbage collector's background mode)."""
        for ref, obj in self.store.owned_by(owner_uid):
            others = [owner for owner in obj["metadata"]["ownerReferences"] if owner["uid"] != owner_uid]
            if others:
                self._set_owners(ref, obj, others)
            else:
                self._finish_deletion(ref, self._mark(ref, obj, None))

    def _orphan(self, owner_uid: str) -> None:
        for ref, obj in self.store.owned_by(owner_uid):
            self._set_owners(ref, obj, [o for o in obj["metadata"]["ownerReferences"] if o["uid"] != owner_uid])

    def _set_owners(self, ref: Ref, obj: Obj, owners: list[dict[str, Any]]) -> None:
        changed = clone(obj)
        changed["metadata"]["ownerReferences"] = owners
        self.store.write(ref, changed)


def _specification(resource: Resource, obj: Obj) -> dict[str, Any]:
    """Return what the generation counts: all but the metadata, and but the status where that is written apart."""
    apart = {"metadata", "status"}
    if resource.definition is not None and not resource.definition.has_status:
        apart = {"metadata"}
    return {key: value for key, value in obj.items() if key not in apart}


def _blocks(obj: Obj, uid: str) -> bool:
    references = obj["metadata"].get("ownerReferences") or ()
    return any(owner["uid"] == uid and owner.get("blockOwnerDeletion") for owner in references)
