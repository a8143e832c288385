# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the options of ``multinic_source`` to its result."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Mapping

from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError
from ansible_collections.manifold.core.plugins.module_utils.multinic._source import Report, Source, outcomes_of
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_db import Columns, DatabaseSource, Tables
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_file import FileSource
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_mysql import VERIFYING, Login
from ansible_collections.manifold.core.plugins.module_utils.multinic._source_nodecr import (
    NAMESPACE,
    Cluster,
    NodeCrSource,
)

KINDS = ("db", "file", "nodecr")
_EMPTY = "To remove every interface that multinic_config manages there, say allow_empty: true"


@dataclass(frozen=True)
class Surroundings:
    """Where the task runs.

    :param environment: its environment variables.
    :param hostname: what the machine is called.
    """

    environment: Mapping[str, str]
    hostname: str


def run(options: Mapping[str, Any], here: Surroundings, check: bool) -> dict[str, Any]:
    """Read, or write back, and return the result of the task. :raises SourceError: it cannot be done."""
    node = options["node_name"] or here.environment.get("NODE_NAME") or here.hostname.partition(".")[0]
    if not node:
        raise SourceError("the node has no name: set node_name")
    source = _source(options, here)
    result = {"node_name": node, "source": source.kind}
    if options["state"] == "reported":
        return {**result, **_reported(source.report(node, outcomes_of(options["interfaces"] or []), check))}
    wanted = source.read(node)
    warnings = list(wanted.warnings)
    if not wanted.entries:
        if not options["allow_empty"]:
            raise SourceError(f"{wanted.nothing}. {_EMPTY}")
        warnings.append(f"{wanted.nothing}: nothing is wanted of node '{node}'")
    interfaces = [entry.as_option() for entry in wanted.entries]
    return {**result, "changed": False, "interfaces": interfaces, "warnings": warnings}


def _reported(report: Report) -> dict[str, Any]:
    rows = [{"id": row.id, "netplan_success": row.after, "changed": row.changed} for row in report.rows]
    lines = {
        "before": "".join(f"id {row.id}: netplan_success {row.before}\n" for row in report.rows),
        "after": "".join(f"id {row.id}: netplan_success {row.after}\n" for row in report.rows),
    }
    changed = any(row.changed for row in report.rows)
    return {
        "changed": changed,
        "rows": rows,
        "message": report.message,
        "warnings": list(report.warnings),
        "diff": lines,
    }


def _source(options: Mapping[str, Any], here: Surroundings) -> Source:
    said = here.environment.get("DATA_SOURCE") or "db"
    kind = options["source"] or said
    if kind == "file":
        if not options["file"]:
            raise SourceError("source 'file': the option file is missing: the path of the file")
        return FileSource(options["file"])
    if kind == "nodecr":
        return _node_cr(options["nodecr"] or {}, here)
    if kind == "db":
        return _database(options["db"] or {})
    raise SourceError(f"DATA_SOURCE is '{said}'; it has to be one of {', '.join(KINDS)}")


def _node_cr(given: Mapping[str, Any], here: Surroundings) -> Source:
    namespace = given.get("namespace") or here.environment.get("NODE_CR_NAMESPACE") or NAMESPACE
    return NodeCrSource(_filled(Cluster, {**given, "namespace": namespace}))


def _database(given: Mapping[str, Any]) -> Source:
    missing = [name for name in ("database", "user") if not given.get(name)]
    if missing:
        raise SourceError(f"source 'db': {' and '.join(f'db.{name}' for name in missing)} must be given")
    tls = given.get("tls") or ("verify_identity" if given.get("ca_cert") else "preferred")
    if given.get("ca_cert") and tls not in VERIFYING:
        raise SourceError(f"db.ca_cert verifies the server, which db.tls={tls} does not: use {' or '.join(VERIFYING)}")
    login = _filled(Login, {**given, "tls": tls})
    return DatabaseSource(login, _filled(Tables, given.get("tables")), _filled(Columns, given.get("columns")))


def _filled(kind: Any, given: Mapping[str, Any] | None) -> Any:
    """Return a dataclass with the options that were given; what was not has its default there."""
    known = {each.name for each in fields(kind)}
    return kind(**{name: value for name, value in (given or {}).items() if name in known and value is not None})
