"""The NB database as the application sees it: events, the view, several writers, failures."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import eventlet
import pytest

from nvo3.model.errors import ConfigError, Conflict, NotFound, Unavailable
from nvo3.model.event import NorthboundChanged
from nvo3.model.logical import Network, Port, Settings, Tenant
from nvo3.model.physical import ENCAPSULATIONS, Hypervisor
from nvo3.ovsdb import command, server
from nvo3.ovsdb.northbound import Northbound
from tests.ovsdb.conftest import binary

pytestmark = pytest.mark.ovsdb

Connect = Callable[..., Any]
Foreign = Callable[..., list[Any]]
Eventually = Callable[..., None]


def _replay(events: list[NorthboundChanged]) -> dict[UUID, Any]:
    """Return what an application knows that has heard these events."""
    known: dict[UUID, Any] = {}
    for event in events:
        for item in event.upserted:
            if not isinstance(item, Settings):
                known[item.uuid] = item
        for _, uuid in event.deleted:
            del known[uuid]
    return known


def _contents(northbound: Northbound) -> dict[UUID, Any]:
    view = northbound.view
    return {**view.tenants, **view.networks, **view.ports, **view.hypervisors}


def _fill(northbound: Northbound) -> tuple[Tenant, Network, Port]:
    tenant = command.create_tenant(northbound, "red")
    network = command.create_network(northbound, "red", "web", pools=["10.0.0.0/24"])
    return tenant, network, command.create_port(northbound, "red", "web", "a1", mac="02:00:00:00:00:01")


def _set(rows: list[Any]) -> list[Any]:
    return ["set", rows]


def _uuid(uuid: UUID) -> list[str]:
    return ["uuid", str(uuid)]


# Events.


def test_first_event_is_all_contents(northbound: Any, connect: Connect) -> None:
    objects = _fill(northbound)
    first = connect().events[0]
    assert first.upserted == (Settings(tuple(ENCAPSULATIONS)), *objects)
    assert first.deleted == ()


def test_event_comes_before_the_transaction_returns(northbound: Any) -> None:
    tenant = command.create_tenant(northbound, "red")
    assert northbound.events[-1] == NorthboundChanged((tenant,))
    assert northbound.view.tenant("red") == tenant
    command.delete_tenant(northbound, "red")
    assert northbound.events[-1] == NorthboundChanged((), (("tenant", tenant.uuid),))
    assert northbound.view.tenants == {}


def test_changed_address_is_the_ports_change(northbound: Any) -> None:
    *_, port = _fill(northbound)
    changed = command.set_port(northbound, "red", "web", "a1", addresses=["10.0.0.77"])
    assert northbound.events[-1] == NorthboundChanged((changed,))
    assert changed.uuid == port.uuid
    assert changed.addresses == (IPv4Address("10.0.0.77"),)


def test_parents_come_first_and_go_last(northbound: Any, connect: Connect, foreign: Foreign) -> None:
    tenant, network, port = _fill(northbound)
    other = connect()
    foreign(
        {"op": "delete", "table": "Port", "where": []},
        {"op": "delete", "table": "Address", "where": []},
        {"op": "delete", "table": "Network", "where": []},
        {"op": "delete", "table": "Tenant", "where": []},
    )
    other.transact(lambda change: None)
    eventlet.sleep(0.1)
    assert other.events[-1].deleted == (("port", port.uuid), ("network", network.uuid), ("tenant", tenant.uuid))


def test_failure_of_the_application_does_not_stop_the_database(database: server.Server) -> None:
    def fail(changed: NorthboundChanged) -> None:
        raise RuntimeError("application")

    northbound = Northbound(database.remote, fail)
    northbound.start()
    try:
        command.create_tenant(northbound, "red")
        command.create_tenant(northbound, "blue")
        assert sorted(northbound.view.tenant_names) == ["blue", "red"]
    finally:
        northbound.stop()


def test_settings_of_another_client(northbound: Any, foreign: Foreign, eventually: Eventually) -> None:
    row = {"encapsulation_order": "wireguard,vxlan,vxlan,gre"}
    foreign({"op": "insert", "table": "Settings", "row": row})
    eventually(lambda: northbound.view.settings.encapsulation_order == ("vxlan", "gre"))
    command.set_settings(northbound, encapsulation_order=["gre"])
    foreign({"op": "delete", "table": "Settings", "where": []})
    eventually(lambda: northbound.view.settings.encapsulation_order == tuple(ENCAPSULATIONS))
    assert northbound.events[-1].upserted == (Settings(tuple(ENCAPSULATIONS)),)


# Several writers.


def test_concurrent_ports_get_different_addresses(northbound: Any, connect: Connect, eventually: Eventually) -> None:
    """Eight greenthreads on each of two controllers, on one database."""
    command.create_tenant(northbound, "red")
    command.create_network(northbound, "red", "web", pools=["10.0.0.0/24", "fd00::/64"])
    controllers = [northbound, connect()]

    def create(number: int) -> Port:
        return command.create_port(controllers[number % 2], "red", "web", f"p{number}")

    eventually(lambda: controllers[1].view.network_names)
    ports = list(eventlet.GreenPool(16).imap(create, range(160)))
    assert {int(port.addresses[0]) & 0xFF for port in ports} == set(range(2, 162))
    assert len({port.addresses[1] for port in ports}) == 160
    assert len({port.mac for port in ports}) == 160
    for controller in controllers:
        eventually(lambda controller=controller: len(controller.view.ports) == 160)
        assert _replay(controller.events) == _contents(controller)


def test_concurrent_networks_get_different_vnis(northbound: Any) -> None:
    command.create_tenant(northbound, "red")
    create = lambda number: command.create_network(northbound, "red", f"n{number}")  # noqa: E731
    networks = list(eventlet.GreenPool(8).imap(create, range(40)))
    assert sorted(network.vni for network in networks) == list(range(5000, 5040))


def test_same_name_created_twice_at_once(northbound: Any, connect: Connect) -> None:
    results: list[Any] = []

    def create(controller: Any) -> None:
        try:
            results.append(command.create_tenant(controller, "red"))
        except Conflict as error:
            results.append(str(error))

    for controller in (northbound, connect()):
        eventlet.spawn(create, controller)
    while len(results) < 2:
        eventlet.sleep(0.01)
    assert [type(result) for result in sorted(results, key=str)] == [Tenant, str]
    assert "name: red: a tenant of that name exists" in results


def test_one_flat_network_among_controllers(northbound: Any, connect: Connect) -> None:
    command.create_tenant(northbound, "red")
    other = connect()
    results: list[Any] = []

    def create(controller: Any, name: str) -> None:
        try:
            results.append(command.create_network(controller, "red", name, encapsulation="none"))
        except Conflict as error:
            results.append(str(error))

    eventlet.spawn(create, northbound, "a")
    eventlet.spawn(create, other, "b")
    while len(results) < 2:
        eventlet.sleep(0.01)
    assert sorted(isinstance(result, Network) for result in results) == [False, True]
    refusal = next(result for result in results if isinstance(result, str))
    assert "only one network can have none, and network red/" in refusal


@pytest.mark.parametrize("repeat", range(3))
def test_pools_shrink_while_ports_come(northbound: Any, connect: Connect, repeat: int) -> None:
    """Neither the check of the pools nor that of the port may be overtaken: no port ends outside."""
    command.create_tenant(northbound, "red")
    command.create_network(northbound, "red", "web", pools=["10.0.0.0/24"])
    other = connect()
    done: list[object] = []

    def shrink() -> None:
        try:
            done.append(command.set_network(northbound, "red", "web", pools=["10.0.0.0/28"]))
        except Conflict as error:
            done.append(error)

    def create(number: int) -> None:
        try:
            done.append(command.create_port(other, "red", "web", f"p{number}", addresses=[f"10.0.0.{100 + number}"]))
        except ConfigError as error:
            done.append(error)

    for number in range(5):
        eventlet.spawn(create, number)
        if number == repeat:
            eventlet.spawn(shrink)
    while len(done) < 6:
        eventlet.sleep(0.01)
    eventlet.sleep(0.05)
    network = northbound.view.network("red", "web")
    for port in northbound.view.ports_of(network.uuid):
        assert any(port.addresses[0] in pool for pool in network.pools)
    assert len(northbound.view.ports) == sum(isinstance(result, Port) for result in done)


def test_names_and_addresses_that_pass_from_one_to_another(northbound: Any, foreign: Foreign) -> None:
    """Two changes that the database commits as one: the indexes follow."""
    *_, a1 = _fill(northbound)
    b1 = command.create_port(northbound, "red", "web", "b1", mac="02:00:00:00:00:02")
    foreign(
        *(
            {"op": "update", "table": "Port", "where": [["_uuid", "==", _uuid(uuid)]], "row": row}
            for uuid, row in ((a1.uuid, {"name": "b1", "mac": b1.mac}), (b1.uuid, {"name": "a1", "mac": a1.mac}))
        )
    )
    eventlet.sleep(0.1)
    assert northbound.view.port("red", "web", "a1").uuid == b1.uuid
    assert northbound.view.port("red", "web", "b1").uuid == a1.uuid
    with pytest.raises(Conflict, match="taken by port red/web/a1"):
        command.create_port(northbound, "red", "web", "c1", mac="02:00:00:00:00:01")
    assert _replay(northbound.events) == _contents(northbound)


def test_address_freed_and_taken_in_one_update(northbound: Any, foreign: Foreign) -> None:
    _, network, port = _fill(northbound)
    row = {"network": _uuid(network.uuid), "ip": "10.0.0.2"}
    foreign(
        {"op": "delete", "table": "Port", "where": [["_uuid", "==", _uuid(port.uuid)]]},
        {"op": "insert", "table": "Address", "row": row, "uuid-name": "a"},
        {
            "op": "insert",
            "table": "Port",
            "row": {**_port_row(network, "b1", "02:00:00:00:00:02"), "addresses": ["named-uuid", "a"]},
        },
    )
    eventlet.sleep(0.1)
    assert northbound.view.port("red", "web", "b1").addresses == (IPv4Address("10.0.0.2"),)
    assert command.create_port(northbound, "red", "web", "c1").addresses == (IPv4Address("10.0.0.3"),)


# Rows that other clients put in wrong.


def _port_row(network: Network, name: str, mac: str) -> dict[str, Any]:
    return {"network": _uuid(network.uuid), "name": name, "mac": mac, "port_security": True}


def _network_row(tenant: Tenant, name: str, vni: int, **columns: Any) -> dict[str, Any]:
    return {"tenant": _uuid(tenant.uuid), "name": name, "vni": vni, "encapsulation": "auto", "mtu": 1400, **columns}


def test_wrong_rows_are_left_out_and_named_once(
    northbound: Any, foreign: Foreign, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    tenant, network, port = _fill(northbound)
    before = _contents(northbound)
    wrong = [
        ("Tenant", {"name": "a/b"}),
        ("Network", _network_row(tenant, "host bits", 1)),
        ("Network", _network_row(tenant, "bits", 2, pools=_set(["10.0.0.1/24"]))),
        ("Network", _network_row(tenant, "overlap", 3, pools=_set(["10.0.0.0/24", "10.0.0.0/16"]))),
        ("Network", _network_row(tenant, "spelling", 4, pools=_set(["FD00::/64"]))),
        ("Port", _port_row(network, "bad-mac", "zz:zz:zz:zz:zz:zz")),
        ("Port", _port_row(network, "group", "01:00:5e:00:00:01")),
        ("Port", _port_row(network, "spelling", "02:00:00:00:00:0A")),
        ("Hypervisor", {"name": "hv1", "remote": "ptcp:6640"}),
    ]
    foreign(*({"op": "insert", "table": table, "row": row} for table, row in wrong))
    foreign(
        {
            "op": "insert",
            "table": "Address",
            "row": {"network": _uuid(network.uuid), "ip": "192.0.2.1"},
            "uuid-name": "x",
        },
        {
            "op": "insert",
            "table": "Port",
            "row": {**_port_row(network, "outside", "02:00:00:00:00:03"), "addresses": ["named-uuid", "x"]},
        },
    )
    eventually(lambda: "192.0.2.1 is in no pool" in caplog.text)
    lines = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(lines) == len(wrong) + 1
    assert all("\n" not in line for line in lines)
    assert _contents(northbound) == before
    command.set_tenant(northbound, "red", name="green")
    assert northbound.view.ports_of(network.uuid) == [port]
    assert len([r for r in caplog.records if "left out" in r.getMessage()]) == len(lines)


def test_row_appears_when_it_is_mended(northbound: Any, foreign: Foreign, eventually: Eventually) -> None:
    """And so do the rows below it."""
    _fill(northbound)
    foreign({"op": "update", "table": "Tenant", "where": [], "row": {"name": "a b"}})
    eventually(lambda: _contents(northbound) == {})
    assert _replay(northbound.events) == {}
    foreign({"op": "update", "table": "Tenant", "where": [], "row": {"name": "ab"}})
    eventually(lambda: len(_contents(northbound)) == 3)
    assert northbound.view.port("ab", "web", "a1").mac == "02:00:00:00:00:01"
    assert _replay(northbound.events) == _contents(northbound)


def test_port_goes_when_its_pool_goes(northbound: Any, foreign: Foreign, eventually: Eventually) -> None:
    _, _, port = _fill(northbound)
    foreign({"op": "update", "table": "Network", "where": [], "row": {"pools": "192.168.0.0/16"}})
    eventually(lambda: not northbound.view.ports)
    assert northbound.events[-1].deleted == (("port", port.uuid),)
    foreign({"op": "update", "table": "Network", "where": [], "row": {"pools": "10.0.0.0/16"}})
    eventually(lambda: northbound.view.ports == {port.uuid: port})


def test_address_row_shared_by_ports(northbound: Any, foreign: Foreign, eventually: Eventually) -> None:
    _, network, port = _fill(northbound)
    b1 = command.create_port(northbound, "red", "web", "b1", addresses=[])
    rows = foreign({"op": "select", "table": "Address", "where": [], "columns": ["_uuid"]})[0]["rows"]
    where = [["_uuid", "==", _uuid(b1.uuid)]]
    foreign({"op": "update", "table": "Port", "where": where, "row": {"addresses": rows[0]["_uuid"]}})
    eventually(lambda: not northbound.view.ports)
    foreign({"op": "delete", "table": "Port", "where": where})
    eventually(lambda: northbound.view.ports == {port.uuid: port})


def test_second_flat_network_of_another_client(northbound: Any, foreign: Foreign, eventually: Eventually) -> None:
    """The one with the lower VNI counts; it is the other's turn when it goes."""
    tenant = command.create_tenant(northbound, "red")
    command.create_network(northbound, "red", "a", vni=100, encapsulation="none")
    foreign({"op": "insert", "table": "Network", "row": _network_row(tenant, "b", 50, encapsulation="none")})
    eventually(lambda: [network.name for network in northbound.view.networks.values()] == ["b"])
    foreign({"op": "delete", "table": "Network", "where": [["vni", "==", 50]]})
    eventually(lambda: [network.name for network in northbound.view.networks.values()] == ["a"])


def test_conflict_with_a_row_that_is_not_shown(northbound: Any, foreign: Foreign, eventually: Eventually) -> None:
    tenant, network, _ = _fill(northbound)
    foreign(
        {"op": "insert", "table": "Port", "row": _port_row(network, "hidden", "zz:zz:zz:zz:zz:zz")},
        {"op": "insert", "table": "Network", "row": _network_row(tenant, "odd", 5001, pools=_set(["1.2.3.4/8"]))},
    )
    eventually(lambda: 5001 in northbound.view.vnis)
    with pytest.raises(Conflict, match="^name: taken by a port of the NB database that is not valid and not shown$"):
        command.create_port(northbound, "red", "web", "hidden")
    with pytest.raises(Conflict, match="^vni: 5001: taken by network .*, which is not valid$"):
        command.create_network(northbound, "red", "new", vni=5001)
    assert command.create_network(northbound, "red", "new").vni == 5002
    command.delete_port(northbound, "red", "web", "a1")
    with pytest.raises(Conflict, match="in use by a row of the NB database that is not valid"):
        command.delete_network(northbound, "red", "web")


# Failures.


def test_view_before_the_database_was_read(tmp_path: Any) -> None:
    northbound = Northbound(f"unix:{tmp_path}/nobody.sock", timeout_s=0.2)
    northbound.start()
    try:
        with pytest.raises(Unavailable, match="not reachable"):
            _ = northbound.view
        started = time.monotonic()
        with pytest.raises(Unavailable, match=r"NB database at unix:.*nobody.sock is not reachable"):
            command.create_tenant(northbound, "red")
        assert time.monotonic() - started < 1
    finally:
        northbound.stop()


def test_server_without_our_database(database: server.Server, tmp_path: Path) -> None:
    """It has another schema, or lacks a table."""
    for number, tables in enumerate(({}, {"Tenant": {"columns": {"name": {"type": "string"}}}})):
        schema, file = tmp_path / f"{number}.ovsschema", tmp_path / f"{number}.db"
        schema.write_text(json.dumps({"name": "nvo3" if tables else "other", "version": "1.0.0", "tables": tables}))
        subprocess.run([binary("ovsdb-tool"), "create", str(file), str(schema)], check=True)
        options = [f"--remote=punix:{tmp_path}/{number}.sock", f"--unixctl={tmp_path}/{number}.ctl", "-vconsole:off"]
        process = subprocess.Popen([binary("ovsdb-server"), *options, str(file)])
        northbound = Northbound(f"unix:{tmp_path}/{number}.sock", timeout_s=1.5)
        try:
            northbound.start()
            with pytest.raises(Unavailable, match="answers, but has no NB database of this version to serve"):
                command.create_tenant(northbound, "red")
        finally:
            northbound.stop()
            process.kill()
            process.wait()


def test_database_away_and_back(connect: Connect, database: server.Server, eventually: Eventually) -> None:
    northbound = connect(timeout_s=0.5)
    command.create_tenant(northbound, "red")
    os.kill(database.pid, signal.SIGSTOP)  # silent, not gone
    try:
        started = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer in time; the change may have been stored"):
            command.create_tenant(northbound, "blue")
        assert time.monotonic() - started < 1.5
        assert list(northbound.view.tenant_names) == ["red"]  # reads go on
    finally:
        os.kill(database.pid, signal.SIGCONT)
    eventually(lambda: "blue" in northbound.view.tenant_names)
    assert _replay(northbound.events) == _contents(northbound)


def test_database_killed_and_restarted(northbound: Any, database: server.Server, connect: Connect, eventually: Eventually) -> None:
    """What happened while one client was away comes as a difference, and transactions ride over it."""
    tenant, network, port = _fill(northbound)
    n_events = len(northbound.events)
    for _ in range(3):
        pid = database.pid
        os.kill(pid, signal.SIGKILL)
        name = f"p{pid}"
        created = command.create_port(northbound, "red", "web", name)  # waits for the new server
        assert northbound.view.port("red", "web", name) == created
        assert database.pid != pid
    assert len(northbound.events) == n_events + 3
    assert _replay(northbound.events) == _contents(northbound)
    fresh = connect()
    assert _contents(fresh) == _contents(northbound)


def test_database_changed_while_away(northbound: Any, database: server.Server, tmp_path: Any, eventually: Eventually) -> None:
    """A database restored from an older copy: rows went without a notice."""
    command.create_tenant(northbound, "red")
    copy = (tmp_path / "state" / "nvo3.db").read_bytes()
    tenant = command.create_tenant(northbound, "blue")
    (tmp_path / "state" / "nvo3.db").write_bytes(copy)
    os.kill(database.pid, signal.SIGKILL)
    eventually(lambda: list(northbound.view.tenant_names) == ["red"])
    assert northbound.events[-1].deleted == (("tenant", tenant.uuid),)
    assert command.create_tenant(northbound, "blue").uuid != tenant.uuid


def test_kills_under_load(northbound: Any, database: server.Server, eventually: Eventually) -> None:
    """Every port that was reported created exists, once, although the server is killed again and again."""
    command.create_tenant(northbound, "red")
    command.create_network(northbound, "red", "web", pools=["10.0.0.0/16"])
    created: list[Port] = []

    def create(number: int) -> None:
        created.append(command.create_port(northbound, "red", "web", f"p{number}"))

    threads = [eventlet.spawn(lambda k=k: [create(100 * k + i) for i in range(30)]) for k in range(4)]
    for _ in range(2):
        eventlet.sleep(0.05)
        os.kill(database.pid, signal.SIGKILL)
        eventually(lambda: not northbound.is_up)
        eventually(lambda: northbound.is_up)
    for thread in threads:
        thread.wait()
    assert len(created) == len({port.addresses for port in created}) == 120
    assert {port.uuid: port for port in created} == northbound.view.ports
    assert _replay(northbound.events) == _contents(northbound)


def test_stop_ends_waiting_callers(connect: Connect, database: server.Server) -> None:
    northbound = connect(timeout_s=30)
    os.kill(database.pid, signal.SIGSTOP)
    try:
        waiting = eventlet.spawn(command.create_tenant, northbound, "red")
        eventlet.sleep(0.05)
        northbound.stop()
        with pytest.raises(Unavailable):
            waiting.wait()
    finally:
        os.kill(database.pid, signal.SIGCONT)


@pytest.mark.parametrize("remotes", ["", "tcp:host", "tcp:a:6641,", "http://x", "tcp:a:99999", "ptcp:6641"])
def test_remotes_that_are_none(remotes: str) -> None:
    with pytest.raises(ConfigError, match="nvo3-db"):
        Northbound(remotes)


def test_several_remotes(database: server.Server) -> None:
    """The first does not answer; the next one does."""
    northbound = Northbound(f"tcp:127.0.0.1:1,{database.remote}")
    northbound.start()
    try:
        northbound.wait_up(10)
    finally:
        northbound.stop()


def test_lookups(northbound: Any) -> None:
    tenant, network, port = _fill(northbound)
    hypervisor = command.create_hypervisor(northbound, "hv1", "tcp:192.0.2.1:6640")
    view = northbound.view
    assert view.tenant("red") == tenant
    assert view.network("red", "web") == network
    assert network.pools == (IPv4Network("10.0.0.0/24"),)
    assert view.port("red", "web", "a1") == port
    assert view.hypervisor("hv1") == hypervisor == Hypervisor(hypervisor.uuid, "hv1", "tcp:192.0.2.1:6640")
    assert view.networks_of(tenant.uuid) == [network]
    assert view.ports_of(network.uuid) == [port]
    assert view.ports_of(uuid4()) == []
    for lookup in (
        lambda: view.tenant("x"),
        lambda: view.network("red", "x"),
        lambda: view.network("x", "web"),
        lambda: view.port("red", "web", "x"),
        lambda: view.hypervisor("x"),
    ):
        with pytest.raises(NotFound):
            lookup()
