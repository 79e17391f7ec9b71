"""Commands: what they store, what they refuse, and that nothing half-done stays."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Any

import pytest

from nvo3.model import check
from nvo3.model.errors import ConfigError, Conflict, NotFound, Nvo3Error
from nvo3.model.ids import Mac
from nvo3.model.logical import Settings
from nvo3.model.physical import ENCAPSULATIONS, HypervisorView, Vport
from nvo3.ovsdb import command, seen

pytestmark = pytest.mark.ovsdb


@pytest.fixture
def red(northbound: Any) -> Any:
    """A tenant with a network of both families, vni 5000, and two ports."""
    command.create_tenant(northbound, "red")
    command.create_network(northbound, "red", "web", pools=["10.0.0.0/24", "fd00::/64"])
    command.create_port(northbound, "red", "web", "a1", mac="02:00:00:00:00:01")
    command.create_port(northbound, "red", "web", "a2", mac="02:00:00:00:00:02")
    return northbound


def _refused(kind: type[Nvo3Error], northbound: Any, function: Callable[..., Any], *names: str, **fields: Any) -> str:
    """Return the message; nothing changed."""
    before = len(northbound.events)
    with pytest.raises(kind) as caught:
        function(northbound, *names, **fields)
    assert "\n" not in str(caught.value)
    assert len(northbound.events) == before
    return str(caught.value)


def test_network_defaults(northbound: Any) -> None:
    command.create_tenant(northbound, "red")
    network = command.create_network(northbound, "red", "web")
    assert (network.vni, network.encapsulation, network.mtu, network.pools) == (5000, "auto", 1400, ())
    port = command.create_port(northbound, "red", "web", "a1")
    assert port.addresses == ()
    assert int(port.mac[:2], 16) & 3 == 2
    assert port.port_security


def test_network_as_asked_for(northbound: Any) -> None:
    command.create_tenant(northbound, "red")
    network = command.create_network(
        northbound, "red", "web", vni=16777215, encapsulation="gre", mtu=9000, pools=["fd00::/64", "10.0.0.0/8"]
    )
    assert (network.vni, network.encapsulation, network.mtu) == (16777215, "gre", 9000)
    assert network.pools == (IPv4Network("10.0.0.0/8"), IPv6Network("fd00::/64"))
    assert northbound.view.network("red", "web") == network


def test_lowest_free_vni(red: Any) -> None:
    command.create_network(red, "red", "n1", vni=5001)
    assert command.create_network(red, "red", "n2").vni == 5002
    command.delete_network(red, "red", "n1")
    assert command.create_network(red, "red", "n3").vni == 5001


def test_set_network(red: Any) -> None:
    network = command.set_network(red, "red", "web", name="www", vni=77, encapsulation="vxlan", mtu=1280)
    assert red.view.network("red", "www") == network
    assert (network.vni, network.encapsulation, network.mtu) == (77, "vxlan", 1280)
    assert len(red.view.ports_of(network.uuid)) == 2
    assert command.create_network(red, "red", "n2").vni == 5000


def test_pools_grow_and_shrink_around_the_ports(red: Any) -> None:
    command.set_network(red, "red", "web", pools=["10.0.0.0/16", "fd00::/48"])
    command.set_network(red, "red", "web", pools=["10.0.0.0/29", "fd00::/63"])
    message = _refused(Conflict, red, command.set_network, "red", "web", pools=["10.0.0.0/30", "fd00::/64"])
    assert message == "pools: port red/web/a2: 10.0.0.3 is the broadcast address of 10.0.0.0/30"
    message = _refused(Conflict, red, command.set_network, "red", "web", pools=[])
    assert message == "pools: port red/web/a1: 10.0.0.2: the network has no IPv4 pool"
    for name in ("a1", "a2"):
        command.set_port(red, "red", "web", name, addresses=[])
    assert command.set_network(red, "red", "web", pools=[]).pools == ()


def test_set_port(red: Any) -> None:
    port = command.set_port(red, "red", "web", "a1", name="b1", mac="02-00-00-00-00-0A", port_security=False)
    assert (port.name, port.mac, port.port_security) == ("b1", "02:00:00:00:00:0a", False)
    assert port.addresses[0] == IPv4Address("10.0.0.2")
    assert command.set_port(red, "red", "web", "b1", addresses=["10.0.0.9"]).addresses == (IPv4Address("10.0.0.9"),)
    assert command.create_port(red, "red", "web", "c1").addresses[0] == IPv4Address("10.0.0.2")


def test_same_address_and_mac_in_another_network(red: Any) -> None:
    command.create_tenant(red, "blue")
    command.create_network(red, "blue", "web", pools=["10.0.0.0/24"])
    port = command.create_port(red, "blue", "web", "a1", mac="02:00:00:00:00:01", addresses=["10.0.0.2"])
    assert red.view.port("blue", "web", "a1") == port


def test_change_of_nothing_is_no_change(red: Any) -> None:
    before = len(red.events)
    command.set_tenant(red, "red")
    command.set_tenant(red, "red", name="red")
    command.set_network(red, "red", "web", vni=5000, pools=["fd00::/64", "10.0.0.0/24"])
    command.set_port(red, "red", "web", "a1", addresses=["fd00::ff:fe00:1", "10.0.0.2"])
    command.set_settings(red)
    assert len(red.events) == before


def test_rename(red: Any) -> None:
    tenant = red.view.tenant("red")
    command.set_tenant(red, "red", name="green")
    assert red.view.port("green", "web", "a1").network == red.view.network("green", "web").uuid
    assert red.view.tenant("green").uuid == tenant.uuid


def test_hypervisor(northbound: Any) -> None:
    created = command.create_hypervisor(northbound, "hv1", "tcp:192.0.2.1:6640")
    changed = command.set_hypervisor(northbound, "hv1", remote="tcp:192.0.2.2:6640", name="hv2")
    assert changed.uuid == created.uuid
    assert northbound.view.hypervisor("hv2").remote == "tcp:192.0.2.2:6640"
    command.delete_hypervisor(northbound, "hv2")
    assert northbound.view.hypervisors == {}


def test_settings(northbound: Any) -> None:
    assert command.set_settings(northbound, encapsulation_order=["gre", "vxlan"]).encapsulation_order == (
        "gre",
        "vxlan",
    )
    command.set_settings(northbound, encapsulation_order=["vxlan"])
    assert northbound.view.settings.encapsulation_order == ("vxlan",)
    command.set_settings(northbound, sclp_payload="geneve")
    assert northbound.view.settings == Settings(("vxlan",), "geneve")
    command.set_settings(northbound, encapsulation_order=["gre"])
    assert northbound.view.settings == command.set_settings(northbound) == Settings(("gre",), "geneve")


def test_settings_with_only_a_payload_leave_the_order_as_it_is_by_default(northbound: Any) -> None:
    command.set_settings(northbound, sclp_payload="geneve")
    assert northbound.view.settings == Settings(tuple(ENCAPSULATIONS), "geneve")


@pytest.fixture
def agents(red: Any) -> Any:
    """Red's, with room for six endpoints of vNICs."""
    command.set_settings(red, agent_pools=["192.0.2.128/29"])
    return red


def _offload(northbound: Any, name: str, offload: str) -> tuple[str, str]:
    port = command.set_port(northbound, "red", "web", name, offload=offload)
    assert northbound.view.port("red", "web", name) == port
    return port.offload, str(port.underlay_ip)


def test_a_port_that_encapsulates_has_an_endpoint_of_its_own(agents: Any) -> None:
    assert agents.view.settings.agent_pools == (IPv4Network("192.0.2.128/29"),)
    assert _offload(agents, "a1", "cvsw") == ("cvsw", "192.0.2.129")
    created = command.create_port(agents, "red", "web", "a3", offload="cvsw")
    assert (created.underlay_ip, created.underlay_mac) == (IPv4Address("192.0.2.130"), "06:6e:c0:00:02:82")
    assert _offload(agents, "a1", "cvsw") == ("cvsw", "192.0.2.129")
    assert _offload(agents, "a1", "none") == ("none", "None")
    assert _offload(agents, "a2", "cvsw") == ("cvsw", "192.0.2.129")
    command.delete_port(agents, "red", "web", "a3")
    assert _offload(agents, "a1", "cvsw") == ("cvsw", "192.0.2.130")
    command.set_settings(agents, agent_pools=[])
    assert str(agents.view.port("red", "web", "a1").underlay_ip) == "192.0.2.130"  # what is given out stays


def test_what_a_hypervisor_told_is_read_back_whole(red: Any) -> None:
    hypervisor = command.create_hypervisor(red, "hv1", "tcp:192.0.2.1:6640")
    vport = Vport(red.view.port("red", "web", "a1").uuid, "tap0", 7)
    told = HypervisorView(IPv4Address("192.0.2.11"), (("stt", 65004),), 65000, (vport,), 1500, Mac("02:00:00:00:00:81"))
    red.transact(seen.remember(hypervisor.uuid, told))
    assert red.view.hypervisor("hv1").seen == told
    red.transact(seen.remember(hypervisor.uuid, HypervisorView(None, (), None, ())))
    assert red.view.hypervisor("hv1").seen == HypervisorView(None, (), None, ())


def test_endpoints_keep_off_hypervisors_and_run_out(agents: Any) -> None:
    hypervisor = command.create_hypervisor(agents, "hv1", "tcp:192.0.2.1:6640")
    agents.transact(seen.remember(hypervisor.uuid, HypervisorView(IPv4Address("192.0.2.129"), (), None, ())))
    for n in range(130, 135):
        assert command.create_port(agents, "red", "web", f"e{n}", offload="cvsw").underlay_ip == IPv4Address(f"192.0.2.{n}")
    message = _refused(Conflict, agents, command.set_port, "red", "web", "a1", offload="cvsw")
    assert message == "offload: no address of agent_pools 192.0.2.128/29 is free"


def test_rows_that_no_controller_wrote_are_left_out_until_mended(agents: Any) -> None:
    uuid = command.set_port(agents, "red", "web", "a1", offload="cvsw").uuid
    other = agents.view.port("red", "web", "a2").uuid
    row = next(iter(agents._idl.tables["Port"].rows[uuid].underlay_address)).uuid
    agents.transact(lambda change: change.update("Port", other, offload=["cvsw"], underlay_address=[row]))
    assert other not in agents.view.ports and uuid in agents.view.ports
    agents.transact(lambda change: change.update("Port", other, underlay_address=[]))
    assert other not in agents.view.ports
    agents.transact(lambda change: change.update("Port", other, offload=["none"]))
    assert agents.view.ports[other].offload == "none"


@pytest.mark.parametrize("encapsulation", ["auto", "none", *ENCAPSULATIONS])
def test_the_database_takes_every_encapsulation(red: Any, encapsulation: str) -> None:
    command.set_network(red, "red", "web", encapsulation=encapsulation)
    assert red.view.network("red", "web").encapsulation == encapsulation


@pytest.mark.parametrize("name", ["", "a/b", "-a", "a b", "ä", "a" * 64, "a\n", "."])
def test_names(red: Any, name: str) -> None:
    for function, path in (
        (command.create_tenant, (name,)),
        (command.create_network, ("red", name)),
        (command.create_port, ("red", "web", name)),
        (command.create_hypervisor, (name, "tcp:h:1")),
    ):
        assert _refused(ConfigError, red, function, *path).endswith("beginning with a letter or digit")
    assert "name: " in _refused(ConfigError, red, command.set_port, "red", "web", "a1", name=name)


def test_values_out_of_range(red: Any) -> None:
    create, port = command.create_network, command.create_port
    for message, function, path, fields in (
        ("vni: 16777216 is not within 1..16777215", create, ("red", "n"), {"vni": 16777216}),
        ("mtu: 100 is not within 1280..65000 bytes", create, ("red", "n"), {"mtu": 100}),
        ("encapsulation: 'x' is not one of", create, ("red", "n"), {"encapsulation": "x"}),
        ("pools[1]: 10.0.0.0/24 overlaps 10.0.0.0/8", create, ("red", "n"), {"pools": ["10.0.0.0/8", "10.0.0.0/24"]}),
        ("mac: 'x' is not a MAC address", port, ("red", "web", "n"), {"mac": "x"}),
        ("mac: ff:ff:ff:ff:ff:ff is a group address", port, ("red", "web", "n"), {"mac": "ff:ff:ff:ff:ff:ff"}),
        ("addresses[0]: 10.0.1.1 is in no pool", port, ("red", "web", "n"), {"addresses": ["10.0.1.1"]}),
        ("remote: 'x' is not tcp:HOST:PORT", command.create_hypervisor, ("hv1", "x"), {}),
        ("is not one of", command.set_settings, (), {"encapsulation_order": ["x"]}),
        ("sclp_payload: 'gre' is not one of vxlan, geneve", command.set_settings, (), {"sclp_payload": "gre"}),
        ("agent_pools[0]: fd00::/64 is not of IPv4", command.set_settings, (), {"agent_pools": ["fd00::/64"]}),
        ("offload: 'x' is not one of none, cvsw", port, ("red", "web", "n"), {"offload": "x"}),
    ):
        assert message in _refused(ConfigError, red, function, *path, **fields)


def test_conflicts_name_the_other(red: Any) -> None:
    command.create_hypervisor(red, "hv1", "tcp:192.0.2.1:6640")
    create, port = command.create_network, command.create_port
    for message, function, path, fields in (
        ("name: red: a tenant of that name exists", command.create_tenant, ("red",), {}),
        ("name: web: tenant red has a network of that name", create, ("red", "web"), {}),
        ("vni: 5000: taken by network red/web", create, ("red", "n"), {"vni": 5000}),
        ("name: a1: network red/web has a port of that name", port, ("red", "web", "a1"), {}),
        ("mac: 02:00:00:00:00:01: taken by port red/web/a1", port, ("red", "web", "n"), {"mac": "02:00:00:00:00:01"}),
        ("addresses: 10.0.0.3: taken by port red/web/a2", port, ("red", "web", "n"), {"addresses": ["10.0.0.3"]}),
        ("name: a2: network", command.set_port, ("red", "web", "a1"), {"name": "a2"}),
        (
            "mac: 02:00:00:00:00:02: taken by port red/web/a2",
            command.set_port,
            ("red", "web", "a1"),
            {"mac": "02:00:00:00:00:02"},
        ),
        ("name: hv1: a hypervisor", command.create_hypervisor, ("hv1", "tcp:h:1"), {}),
        (
            "remote: tcp:192.0.2.1:6640: taken by hypervisor hv1",
            command.create_hypervisor,
            ("hv2", "tcp:192.0.2.1:6640"),
            {},
        ),
        ("tenant red is in use by network red/web", command.delete_tenant, ("red",), {}),
        ("network red/web is in use by 2 ports red/web/a1, red/web/a2", command.delete_network, ("red", "web"), {}),
    ):
        assert message in _refused(Conflict, red, function, *path, **fields)


def test_names_that_do_not_exist(red: Any) -> None:
    for message, function, path in (
        ("tenant 'x' does not exist", command.delete_tenant, ("x",)),
        ("tenant 'x' does not exist", command.create_network, ("x", "n")),
        ("network 'red/x' does not exist", command.create_port, ("red", "x", "p")),
        ("port 'red/web/x' does not exist", command.set_port, ("red", "web", "x")),
        ("port 'red/web/x' does not exist", command.delete_port, ("red", "web", "x")),
        ("hypervisor 'x' does not exist", command.delete_hypervisor, ("x",)),
    ):
        assert message == _refused(NotFound, red, function, *path)


def test_pool_that_is_full(northbound: Any) -> None:
    command.create_tenant(northbound, "red")
    command.create_network(northbound, "red", "web", pools=["10.0.0.0/30"])
    assert command.create_port(northbound, "red", "web", "a1").addresses == (IPv4Address("10.0.0.2"),)
    message = _refused(Conflict, northbound, command.create_port, "red", "web", "a2")
    assert message == "addresses: no address of 10.0.0.0/30 is free in network web"
    # The gateway's is not given out, but may be asked for.
    assert command.create_port(northbound, "red", "web", "a3", addresses=["10.0.0.1"]).addresses


def test_address_that_a_guest_makes_of_its_mac_is_the_ports_where_it_is_free(red: Any) -> None:
    """RFC 4862 in a /64; in another pool, or where it is taken, the lowest free one."""
    assert [str(red.view.port("red", "web", name).addresses[1]) for name in ("a1", "a2")] == ["fd00::ff:fe00:1", "fd00::ff:fe00:2"]
    command.create_port(red, "red", "web", "b1", mac="02:00:00:00:00:04", addresses=["fd00::ff:fe00:3"])
    assert str(command.create_port(red, "red", "web", "b2", mac="02:00:00:00:00:03").addresses[1]) == "fd00::2"
    command.create_network(red, "red", "small", pools=["fd01::/120"])
    assert str(command.create_port(red, "red", "small", "c1", mac="02:00:00:00:00:01").addresses[0]) == "fd01::2"


def test_what_guests_are_told_is_stored_and_read_back(red: Any) -> None:
    told: dict[str, Any] = {
        "gateways": ["fd00::1", "10.0.0.1"],
        "dns_servers": ["9.9.9.9", "fd00::53", "1.1.1.1"],
        "routes": [("192.168.0.0/16", "10.0.0.9"), ("172.16.0.0/12", "10.0.0.8")],
        "domain": "web.example",
        "lease_s": 60,
        "dhcp": False,
    }
    network = command.create_network(red, "red", "told", pools=["10.0.0.0/24", "fd00::/64"], **told)
    assert red.view.network("red", "told") == network
    assert [str(gateway) for gateway in network.gateways] == ["10.0.0.1", "fd00::1"]
    assert [str(server) for server in network.dns_servers] == told["dns_servers"]
    assert [str(route.destination) for route in network.routes] == ["172.16.0.0/12", "192.168.0.0/16"]
    web = red.view.network("red", "web")
    assert (web.dhcp, web.gateways, web.dns_servers, web.routes, web.domain, web.lease_s) == (True, (), (), (), "", 3600)
    assert command.set_network(red, "red", "web", **told).dns_servers == network.dns_servers
    before = len(red.events)
    command.set_network(red, "red", "web", **told)
    assert len(red.events) == before
    assert _refused(ConfigError, red, command.set_network, "red", "web", pools=["10.0.0.0/24", "fd00:0:0:1::/64"]).startswith("gateways[1]")
    changed = command.set_network(red, "red", "web", gateways=[], dns_servers=[], routes=[], domain="", dhcp=True)
    assert (changed.gateways, changed.dns_servers, changed.routes, changed.domain, changed.dhcp, changed.lease_s) == (
        (),
        (),
        (),
        "",
        True,
        60,
    )
    assert red.view.network("red", "web") == changed


def test_delete_gives_addresses_back(red: Any) -> None:
    command.delete_port(red, "red", "web", "a1")
    assert command.create_port(red, "red", "web", "b1").addresses[0] == IPv4Address("10.0.0.2")
    for name in ("a2", "b1"):
        command.delete_port(red, "red", "web", name)
    command.delete_network(red, "red", "web")
    command.delete_tenant(red, "red")
    assert red.view.tenants == {}


def test_refused_transaction_gives_its_claims_back(red: Any) -> None:
    """An address or a VNI that was chosen for what was then refused is chosen again."""
    _refused(Conflict, red, command.create_port, "red", "web", "a1")
    assert command.create_port(red, "red", "web", "a3").addresses[0] == IPv4Address("10.0.0.4")
    _refused(Conflict, red, command.create_network, "red", "web")
    assert command.create_network(red, "red", "n").vni == 5001


def test_sets_may_change_by_more_values_than_they_hold(red: Any) -> None:
    """The database tells the difference between two sets, which is larger than either."""
    command.create_network(red, "red", "db")
    for first in (0, 100):
        pools = [f"10.{first + n}.0.0/24" for n in range(check.POOLS_MAX)]
        command.set_network(red, "red", "db", pools=pools)
        assert [str(pool) for pool in red.view.network("red", "db").pools] == pools
        command.set_settings(red, agent_pools=pools)
        assert [str(pool) for pool in red.view.settings.agent_pools] == pools
    command.create_port(red, "red", "db", "many", addresses=[])
    for first in (2, 102):
        addresses = [f"10.100.0.{first + n}" for n in range(check.ADDRESSES_MAX)]
        command.set_port(red, "red", "db", "many", addresses=addresses)
        assert [str(address) for address in red.view.port("red", "db", "many").addresses] == addresses
