# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for built-in objects that clients of the test bed could break; far fewer than a real server has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.kube.errors import Cause, invalid_object
from testbed.kube.resources import Resource
from testbed.kube.store import Obj

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


def check_new(resource: Resource, obj: Obj) -> None:
    """Raise the 422 of a new object that breaks a rule."""
    _refuse(resource, obj, [*_names(resource, obj), *_labels(obj), *(_job(obj) if resource.kind == "Job" else ())])


def check_change(resource: Resource, old: Obj, new: Obj) -> None:
    """Raise the 422 of a change that breaks a rule."""
    causes = list(_labels(new)) if new["metadata"].get("labels") != old["metadata"].get("labels") else []
    if resource.kind == "Job":
        for field in ("template", "selector", "completions", "completionMode"):
            if new.get("spec", {}).get(field) != old["spec"].get(field):
                causes.append(Cause("FieldValueInvalid", "Invalid value: field is immutable", f"spec.{field}"))
    if resource.kind in ("RoleBinding", "ClusterRoleBinding") and new.get("roleRef") != old.get("roleRef"):
        causes.append(Cause("FieldValueInvalid", "Invalid value: cannot change roleRef", "roleRef"))
    _refuse(resource, new, causes)


def _refuse(resource: Resource, obj: Obj, causes: list[Cause]) -> None:
    if causes:
        raise invalid_object(resource.group, resource.kind, obj["metadata"]["name"], causes)


def _names(resource: Resource, obj: Obj) -> Iterator[Cause]:
    name = obj["metadata"]["name"]
    if resource.group == "rbac.authorization.k8s.io":
        return
    if resource.kind in ("Job", "Namespace", "Service"):  # a job's name becomes a label of its pods
        pattern, longest, what = _LABEL, 63, "a lowercase RFC 1123 label"
    else:
        pattern, longest, what = _SUBDOMAIN, 253, "a lowercase RFC 1123 subdomain"
    if len(name) > longest:
        text = f"Invalid value: {name!r}: must be no more than {longest} characters"
        yield Cause("FieldValueInvalid", text, "metadata.name")
    elif not pattern.fullmatch(name):
        text = f"{what} must consist of lower case alphanumeric characters or '-'"
        yield Cause("FieldValueInvalid", f'Invalid value: "{name}": {text}', "metadata.name")


def _labels(obj: Obj) -> Iterator[Cause]:
    for value in (obj["metadata"].get("labels") or {}).values():
        if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
            text = "a valid label is empty or consists of at most 63 alphanumeric characters, '-', '_' or '.'"
            yield Cause("FieldValueInvalid", f'Invalid value: "{value}": {text}', "metadata.labels")


def _job(obj: Obj) -> Iterator[Cause]:
    policy = obj["spec"]["template"]["spec"].get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        text = f'Unsupported value: "{policy}": supported values: "OnFailure", "Never"'
        yield Cause("FieldValueNotSupported", text, "spec.template.spec.restartPolicy")
    if not obj["spec"]["template"]["spec"].get("containers"):
        yield Cause("FieldValueRequired", "Required value", "spec.template.spec.containers")
