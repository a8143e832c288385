# Copyright (c) 2026, manifold.core contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``manifold.core.multinic_source`` with a real MariaDB, a Kubernetes API and files."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.manifold.core.plugins.module_utils.multinic._errors import SourceError

from integration.nics import CRD, NODE, ask, custom_resource, login, mac_of
from integration.support import Inventories, assert_no_traceback, one_line, play, tail_of
from testbed.inventory import REPOSITORY
from testbed.kube import Kube
from testbed.mariadb import MariaDb, Schema
from testbed.mariadb.schema import GRANTS, MODIFIED
from testbed.pods import Kubes
from testbed.run import Run
from testbed.tier import Tier

SECRET = "correct-horse-battery"


@pytest.fixture
def filled(schema: Schema) -> Schema:
    """Three interfaces of the node, of which the second has been configured, and one of another node."""
    schema.subnet("net-a", "192.0.2.0/24")
    for number, success in ((1, 0), (2, 1), (3, None)):
        address = f"192.0.2.{number}"
        columns = {"subnet_id": "net-a", "address": address, "mtu": 1450, "netplan_success": success}
        schema.interface(number, NODE, mac_of(number), deleted_at=MODIFIED if number == 3 else None, **columns)
    schema.interface(9, "worker-2", mac_of(9), subnet_id="net-a", address="192.0.2.9", netplan_success=0)
    return schema


def results(**states: str) -> list[dict[str, Any]]:
    """Return what multinic_config says, by id as in ``i1="configured"``."""
    return [
        {"id": int(name[1:]), "mac": mac_of(int(name[1:])), "name": None, "state": state, "changed": True, "reason": ""}
        for name, state in states.items()
    ]


def refusal(**options: Any) -> str:
    """Return why the task fails."""
    with pytest.raises(SourceError) as caught:
        ask(**options)
    assert SECRET not in str(caught.value)
    return str(caught.value)


# -- db: reading ---------------------------------------------------------------------------------------------------


@pytest.mark.node
def test_the_rows_of_the_node_are_read_with_their_subnets(schema: Schema) -> None:
    schema.subnet("v4", "192.0.2.0/24")
    schema.subnet("v4", "192.0.2.0/24")  # nobody promises that it is unique
    schema.subnet("v6", "2001:db8::/64")
    schema.interface(2, NODE, "FA-16-3E-00-00-02", subnet_id="v4", address=" 192.0.2.2 ", mtu=1450)
    schema.interface(1, NODE, "fa163e000001", subnet_id="v6", address="2001:db8::1", mtu=None)
    schema.interface(3, NODE, "FA:16:3E:00:00:03", subnet_id="gone", address="192.0.2.3", mtu=0)
    schema.interface(4, NODE, None, subnet_id="v4", address="", deleted_at=MODIFIED)
    schema.interface(5, "worker-10", mac_of(5), subnet_id="v4")
    schema.interface(6, "", mac_of(6), subnet_id="v4")
    result = ask(db=login(schema, schema.account()))
    rows = [
        tuple(each[key] for key in ("id", "mac_address", "address", "cidr", "mtu")) for each in result["interfaces"]
    ]
    assert rows == [
        (1, mac_of(1), "2001:db8::1", "2001:db8::/64", None),
        (2, mac_of(2), "192.0.2.2", "192.0.2.0/24", 1450),
        (3, mac_of(3), "192.0.2.3", None, 0),
        (4, None, None, None, None),
    ]
    assert (result["changed"], result["source"], result["warnings"]) == (False, "db", [])


@pytest.mark.node
def test_of_two_subnets_with_one_id_none_is_believed(schema: Schema) -> None:
    for cidr in ("192.0.2.0/24", "198.51.100.0/24"):
        schema.subnet("net", cidr)
    schema.interface(1, NODE, mac_of(1), subnet_id="net", address="192.0.2.2")
    schema.interface(2, NODE, mac_of(2))
    result = ask(db=login(schema, schema.account()))
    assert [(each["id"], each["cidr"]) for each in result["interfaces"]] == [(1, None), (2, None)]
    assert result["warnings"] == ["id 1: its subnet is there more than once with a different CIDR; none is taken"]


@pytest.mark.node
def test_tables_and_columns_may_have_other_names(filled: Schema) -> None:
    filled.sql(
        "RENAME TABLE {database}.multi_interface TO {database}.nics, {database}.multi_subnet TO {database}.`select`",
        "ALTER TABLE {database}.nics CHANGE macaddress `order` VARCHAR(32), CHANGE id port$nr INT, "
        "CHANGE netplan_success done TINYINT",
        "ALTER TABLE {database}.`select` CHANGE cidr `range` VARCHAR(64)",
    )
    account = filled.account(
        "GRANT SELECT, UPDATE (done, modified_at) ON {database}.nics TO {user}",
        "GRANT SELECT ON {database}.`select` TO {user}",
    )
    tables = {"interface": "nics", "subnet": "select"}
    columns = {"macaddress": "order", "id": "port$nr", "cidr": "range", "netplan_success": "done"}
    db = login(filled, account, tables=tables, columns=columns)
    found = ask(db=db)["interfaces"]
    assert [(each["id"], each["mac_address"], each["cidr"]) for each in found] == [
        (number, mac_of(number), "192.0.2.0/24") for number in (1, 2, 3)
    ]
    assert ask(db=db, state="reported", interfaces=results(i1="configured"))["changed"] is True
    assert filled.sql("SELECT port$nr, done FROM {database}.nics WHERE done = 1") == ((1, 1), (2, 1))


@pytest.mark.node
def test_a_wrong_name_is_met_with_one_that_is_like_it(filled: Schema) -> None:
    db = login(filled, filled.account())
    said = refusal(db=db, node="worker-3")
    assert "no row of 'multi_interface' is for node 'worker-3', some are for other nodes: was it 'worker-" in said
    assert said.endswith("To remove every interface that multinic_config manages there, say allow_empty: true")
    stranger = refusal(db=db, node="gateway")
    assert "worker" not in stranger and "some are for other nodes. To remove" in stranger
    allowed = ask(db=db, node="gateway", allow_empty=True)
    assert allowed["interfaces"] == []
    assert "no row of 'multi_interface' is for node 'gateway'" in allowed["warnings"][0]
    filled.sql("DELETE FROM {database}.multi_interface")
    assert "none is for any node. To remove" in refusal(db=db)


# -- db: writing back ----------------------------------------------------------------------------------------------


@pytest.mark.node
def test_only_what_differs_is_written_back_and_only_to_this_node(filled: Schema) -> None:
    db = login(filled, filled.account())
    before = filled.rows()
    said = results(i1="configured", i2="configured", i3="refused", i8="removed")
    would = ask(db=db, state="reported", interfaces=said, check=True)
    assert (would["changed"], filled.rows()) == (True, before)
    assert would["message"] == "2 of 3 rows of node 'worker-1' would be changed"
    assert would["diff"]["before"].splitlines()[2] == "id 3: netplan_success None"
    done = ask(db=db, state="reported", interfaces=said)
    assert done["message"] == "2 of 3 rows of node 'worker-1' were changed"
    assert [tuple(row.values()) for row in done["rows"]] == [(1, 1, True), (2, 1, False), (3, 0, True)]
    assert (done["diff"], done["warnings"]) == (would["diff"], [])
    after = filled.rows()
    assert filled.outcomes() == {1: 1, 2: 1, 3: 0, 9: 0}
    assert [number for number in after if after[number]["modified_at"] != before[number]["modified_at"]] == [1, 3]
    for number, row in after.items():
        assert {**row, "netplan_success": 0, "modified_at": 0} == {
            **before[number],
            "netplan_success": 0,
            "modified_at": 0,
        }
    again = ask(db=db, state="reported", interfaces=said)
    assert (again["changed"], filled.rows()) == (False, after)
    assert ask(db=db, state="reported", interfaces=results(i1="failed"))["changed"] is True
    assert filled.outcomes()[1] == 0


@pytest.mark.node
def test_nothing_is_recorded_of_what_is_not_there_any_more(filled: Schema) -> None:
    filled.sql("UPDATE {database}.multi_interface SET macaddress = 'FA:16:3E:00:00:77' WHERE id = 1")
    said = results(i1="configured", i3="configured", i9="configured", i4="failed")
    result = ask(db=login(filled, filled.account()), state="reported", interfaces=said)
    assert result["warnings"] == [
        f"id 1: nothing is recorded: the row is for MAC fa:16:3e:00:00:77 now, and {mac_of(1)} was configured",
        "id 9: nothing is recorded: the node has no such row any more",
        "id 4: nothing is recorded: the node has no such row any more",
    ]
    assert filled.outcomes() == {1: 0, 2: 1, 3: 1, 9: 0}


@pytest.mark.node
def test_all_or_nothing_is_written_back(filled: Schema) -> None:
    filled.sql(
        "CREATE TRIGGER {database}.no BEFORE UPDATE ON {database}.multi_interface FOR EACH ROW "
        "BEGIN IF NEW.id = 3 THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one'; END IF; END"
    )
    before = filled.rows()
    db = login(filled, filled.account())
    said = refusal(db=db, state="reported", interfaces=results(i1="configured", i3="configured"))
    assert "reporting the interfaces of node 'worker-1': not this one (1644)" in said
    assert filled.rows() == before


@pytest.mark.node
def test_somebody_who_holds_a_row_is_not_waited_for_forever(filled: Schema, mariadb: MariaDb) -> None:
    import pymysql

    with pymysql.connect(unix_socket=str(mariadb.socket), user="root", database=filled.name) as other:
        other.cursor().execute("SELECT * FROM multi_interface WHERE id = 1 FOR UPDATE")
        db = login(filled, filled.account(), timeout=1)
        said = refusal(db=db, state="reported", interfaces=results(i1="configured"))
    assert (
        "reporting the interfaces of node 'worker-1': " in said and "(2013)" in said and "nothing was written" in said
    )
    assert filled.outcomes()[1] == 0


# -- db: privileges, TLS, errors -----------------------------------------------------------------------------------


@pytest.mark.node
@pytest.mark.parametrize("missing", range(len(GRANTS)))
def test_each_documented_privilege_is_needed(filled: Schema, missing: int) -> None:
    account = filled.account(*(grant for number, grant in enumerate(GRANTS) if number != missing))
    said = refusal(
        db=login(filled, account), state="present" if missing < 2 else "reported", interfaces=results(i1="configured")
    )
    assert re.search(r"denied .*\(114[23]\): it needs SELECT on both tables, and UPDATE of the columns", said)


@pytest.mark.node
def test_no_column_is_touched_beyond_those_that_are_documented(filled: Schema) -> None:
    read = "id, subnet_id, macaddress, attached_node_name, netplan_success, address, mtu"
    account = filled.account(
        f"GRANT SELECT ({read}), UPDATE (netplan_success, modified_at) ON {{database}}.multi_interface TO {{user}}",
        "GRANT SELECT (subnet_id, cidr) ON {database}.multi_subnet TO {user}",
    )
    db = login(filled, account)
    assert len(ask(db=db)["interfaces"]) == 3
    assert ask(db=db, state="reported", interfaces=results(i1="configured"))["changed"] is True
    assert filled.rows()[3]["deleted_at"] is not None


@pytest.mark.embedded
def test_the_documentation_grants_what_is_tested() -> None:
    text = (REPOSITORY / "docs" / "multinic.md").read_text()
    for grant in GRANTS:
        assert grant.format(database="multinic", user="'multinic'@'%'") + ";" in text


@pytest.mark.node
def test_tls_is_really_used_and_the_server_verified(filled: Schema, mariadb: MariaDb, tmp_path: Path) -> None:
    demanding = filled.account(require="REQUIRE SSL")
    ca = {"ca_cert": str(mariadb.certificate)}
    for tls in ({}, {"tls": "required"}, ca, {**ca, "tls": "verify_ca", "host": "localhost"}):
        assert len(ask(db=login(filled, demanding, **tls))["interfaces"]) == 3, tls
    assert "Access denied" in refusal(db=login(filled, demanding, tls="disabled"))
    assert "Hostname mismatch" in refusal(db=login(filled, demanding, host="localhost", **ca))
    assert "self-signed certificate" in refusal(db=login(filled, demanding, tls="verify_ca"))
    assert "No such file" in refusal(db=login(filled, demanding, ca_cert=str(tmp_path / "none")))


@pytest.mark.node
def test_a_server_without_tls_is_told_nothing_if_tls_is_required(testbed_run: Run) -> None:
    server = MariaDb(testbed_run.new_directory("db"), tls=False)
    try:
        plain = Schema(server)
        plain.interface(1, NODE, mac_of(1))
        account = plain.account()
        assert len(ask(db=login(plain, account))["interfaces"]) == 1
        assert "SSL is required" in refusal(db=login(plain, account, tls="required"))
        by_socket = login(plain, account, unix_socket=str(server.socket), tls="required", host=None)
        assert len(ask(db=by_socket)["interfaces"]) == 1
    finally:
        server.stop()


@pytest.mark.node
def test_a_password_may_be_any_text(filled: Schema) -> None:
    for password in ("zażółć %s", "'\"\\; --", ""):
        assert len(ask(db=login(filled, filled.account(password=password)))["interfaces"]) == 3


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port where connections are made and nothing is said."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.node
def test_what_is_wrong_with_a_database_is_said(filled: Schema, deaf: int) -> None:
    account = filled.account(password=SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    where = f"database '{filled.name}' at 127.0.0.1:{filled.server.port}: "
    reading = f"{where}reading the interfaces of node 'worker-1': "
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"port": closed}, f"at 127.0.0.1:{closed}: connecting: Can't connect to MySQL server on '127.0.0.1'"),
        ({"port": deaf, "timeout": 1}, f"at 127.0.0.1:{deaf}: connecting: "),
        ({"host": "no.such.host.invalid"}, "at no.such.host.invalid:"),
        ({"unix_socket": "/none/s"}, "at /none/s: connecting: Can't connect"),
        ({"password": SECRET + "x"}, f"{where}connecting: Access denied for user"),
        ({"user": "nobody"}, f"{where}connecting: Access denied for user 'nobody'"),
        ({"database": "none"}, "database 'none' at "),
        ({"tables": {"interface": "nics"}}, f"{reading}SELECT command denied"),
        ({"columns": {"mtu": "size"}}, f"{reading}"),
        ({"client_cert": "/none/cert"}, f"{where}connecting: "),
    ]
    for options, said in wrong:
        assert said in refusal(db={**login(filled, account), **options}), options
    filled.sql("DROP TABLE {database}.multi_subnet", "ALTER TABLE {database}.multi_interface DROP COLUMN mtu")
    owner = login(filled, filled.account("GRANT SELECT ON {database}.* TO {user}"))
    assert "multi_subnet' doesn't exist (1146): 'tables' says how" in refusal(db=owner)
    filled.sql("CREATE TABLE {database}.multi_subnet (subnet_id INT, cidr INT)")
    assert "Unknown column 'i.mtu' in 'SELECT' (1054): 'columns' says how" in refusal(db=owner).replace(
        "field list", "SELECT"
    )


# -- nodecr --------------------------------------------------------------------------------------------------------


class Cluster:
    """The test bed's API with the resource in it, and a database server that nobody may contact."""

    def __init__(self, kube: Kube, kubeconfig: Path, trap: socket.socket) -> None:
        self.kube, self.kubeconfig, self._trap = kube, kubeconfig, trap

    def options(self, **nodecr: Any) -> dict[str, Any]:
        db = {
            "host": "127.0.0.1",
            "port": self._trap.getsockname()[1],
            "user": "u",
            "password": SECRET,
            "database": "d",
        }
        return {"source": "nodecr", "db": db, "nodecr": {"kubeconfig": str(self.kubeconfig), "timeout": 10, **nodecr}}

    def was_asked_for_data(self) -> bool:
        """Return whether somebody connected to the database."""
        self._trap.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            self._trap.accept()[0].close()
            return True
        return False


@pytest.fixture
def cluster(kubes: Kubes, create: Callable[[Kube, dict[str, Any]], None]) -> Iterator[Cluster]:
    kube, kubeconfig = kubes.of(Tier.EMBEDDED)
    create(kube, CRD)
    for name in ("multinic-system", "nics"):
        with contextlib.suppress(Exception):  # it is there since another test
            kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    with socket.create_server(("127.0.0.1", 0)) as trap:
        made = Cluster(kube, kubeconfig, trap)
        yield made
        assert not made.was_asked_for_data()


INTERFACES = [
    {"id": 7, "macAddress": "FA:16:3E:00:00:07", "address": "192.0.2.7", "cidr": "192.0.2.0/24", "mtu": 1450},
    {"id": 8, "macAddress": mac_of(8), "name": "multinic3"},
]


@pytest.mark.embedded
def test_the_resource_of_the_node_is_read_and_never_written(cluster: Cluster) -> None:
    cluster.kube.create(custom_resource("worker-1", NODE, INTERFACES))
    cluster.kube.create(custom_resource("worker-2", "worker-2", []))
    cluster.kube.create(custom_resource("elsewhere", NODE, [], namespace="nics"))
    before = cluster.kube.get("MultiNicNodeConfig", "worker-1", "multinic-system")
    result = ask(environment={"DATA_SOURCE": "nodecr"}, **{**cluster.options(), "source": None})
    assert result["source"] == "nodecr"
    assert result["interfaces"] == [
        {
            "id": 7,
            "mac_address": mac_of(7),
            **{key: INTERFACES[0][key] for key in ("address", "cidr", "mtu")},
            "name": None,
        },
        {"id": 8, "mac_address": mac_of(8), "address": None, "cidr": None, "mtu": None, "name": "multinic3"},
    ]
    reported = ask(state="reported", interfaces=results(i7="configured"), **cluster.options())
    assert (reported["changed"], reported["rows"]) == (False, [])
    assert "the controller of the cluster writes the status" in reported["message"]
    assert cluster.kube.get("MultiNicNodeConfig", "worker-1", "multinic-system") == before
    empty = "'elsewhere': spec.interfaces is empty"
    assert empty in refusal(**cluster.options(namespace="nics"))
    assert empty in refusal(environment={"NODE_CR_NAMESPACE": "nics"}, **cluster.options())
    assert ask(allow_empty=True, **cluster.options(namespace="nics"))["interfaces"] == []


@pytest.mark.embedded
def test_what_is_wrong_with_a_resource_is_said(cluster: Cluster) -> None:
    kube, where = cluster.kube, "multinicnodeconfigs.multinic.io in namespace 'multinic-system': "
    assert refusal(**cluster.options()) == f"{where}none is for node 'worker-1'."
    kube.create(custom_resource("b", "worker-11", INTERFACES))
    assert refusal(**cluster.options()) == f"{where}none is for node 'worker-1'. Did you mean 'worker-11'?"
    kube.create(custom_resource("a", "worker-11", INTERFACES))
    assert (
        refusal(node="worker-11", **cluster.options())
        == f"{where}'a' and 'b' are for node 'worker-11', and only one may be"
    )
    kube.create(custom_resource("c", "c", {"id": 1}))
    assert refusal(node="c", **cluster.options()) == (
        f"{where}'c': spec.interfaces: a list of interfaces is expected, not a mapping"
    )
    kube.create(custom_resource("d", "d", [{"id": 1, "mtuu": 9}]))
    assert "'d': spec.interfaces[0]: the key 'mtuu' is not known. Did you mean 'mtu'?" in refusal(
        node="d", **cluster.options()
    )
    going = custom_resource("e", "e", INTERFACES)
    going["metadata"]["finalizers"] = ["multinic.io/clean-up"]
    kube.create(going)
    kube.delete("MultiNicNodeConfig", "e", "multinic-system")
    assert refusal(node="e", **cluster.options()) == f"{where}'e' of node 'e' is being deleted"


@pytest.mark.embedded
def test_what_is_wrong_with_a_cluster_is_said(cluster: Cluster, tmp_path: Path, deaf: int) -> None:
    broken = tmp_path / "broken"
    broken.write_text("{")
    text = cluster.kubeconfig.read_text()
    silent = tmp_path / "silent"
    silent.write_text(re.sub(r"server: .*", f"server: http://127.0.0.1:{deaf}", text))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = tmp_path / "closed"
        closed.write_text(re.sub(r"server: .*", f"server: http://127.0.0.1:{listener.getsockname()[1]}", text))
    for options, said in (
        ({"kubeconfig": str(tmp_path / "none")}, "finding the way to the cluster: Invalid kube-config file"),
        ({"kubeconfig": str(broken)}, "finding the way to the cluster: "),
        (
            {"context": "none"},
            "finding the way to the cluster: Invalid kube-config file. Expected object with name none",
        ),
        ({"kubeconfig": str(closed)}, "the API cannot be reached: "),
        ({"kubeconfig": str(silent), "timeout": 1}, "the API cannot be reached: "),
    ):
        assert said in refusal(**cluster.options(**options)), options
    cluster.kube.authorizations = frozenset({"Bearer nobody's"})
    assert "listing them: Unauthorized (401): check the credentials" in refusal(**cluster.options())
    cluster.kube.authorizations = None
    cluster.kube.delete("CustomResourceDefinition", CRD["metadata"]["name"])
    assert "(404): the cluster has no multinicnodeconfigs.multinic.io/v1alpha1" in refusal(**cluster.options())


# -- as a module ---------------------------------------------------------------------------------------------------


@pytest.mark.node
def test_the_module_tells_what_it_found_and_keeps_secrets(
    filled: Schema, inventory: Inventories, tmp_path: Path
) -> None:
    nics = tmp_path / "nics.yml"
    nics.write_text(json.dumps({"nodes": {"from-environment": []}}))
    db = login(filled, filled.account(password=SECRET))

    def source(name: str, task: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return {"name": name, "manifold.core.multinic_source": options, "ignore_errors": True, **(task or {})}

    said = [{"id": 1, "mac": mac_of(1), "state": "configured"}]
    on_node = {"NODE_NAME": "from-environment", "DATA_SOURCE": "file"}
    result = inventory().run_playbook(
        [
            play(
                source("db", source="db", node_name=NODE, db=db),
                source(
                    "check",
                    state="reported",
                    node_name=NODE,
                    db=db,
                    interfaces=said,
                    task={"check_mode": True, "diff": True},
                ),
                source("reported", state="reported", node_name=NODE, db=db, interfaces=said, task={"diff": True}),
                source("refused", node_name=NODE, db={**db, "database": "none"}),
                source("nothing to report", state="reported", node_name=NODE, db=db),
                source("typo", node_name=NODE, db={**db, "pasword": SECRET}),
                source("file", file=str(nics), allow_empty=True, task={"environment": on_node}),
            )
        ],
        "-vvv",
        env={"NODE_NAME": "of-the-controller"},
    )
    assert_no_traceback(result)
    assert SECRET not in result.stdout + result.stderr
    assert [each["id"] for each in tail_of(result, "db")["interfaces"]] == [1, 2, 3]
    assert [tail_of(result, name)["changed"] for name in ("check", "reported")] == [True, True]
    assert tail_of(result, "check")["diff"] == tail_of(result, "reported")["diff"]
    assert "connecting: Access denied" in tail_of(result, "refused")["msg"]
    assert "interfaces" in tail_of(result, "nothing to report")["msg"]
    assert "pasword" in tail_of(result, "typo")["msg"]
    assert tail_of(result, "file")["node_name"] == "from-environment"
    assert "nothing is wanted of node 'from-environment'" in one_line(result.stdout + result.stderr)
    assert filled.outcomes()[1] == 1
