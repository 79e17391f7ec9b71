"""What tunnels carried, from the statistics of a bridge's flows."""

from dataclasses import replace
from ipaddress import IPv4Address, ip_network
from uuid import uuid4

from nvo3.model.ids import Mac, Vni
from nvo3.model.logical import Network, Port
from nvo3.openflow import encoder
from nvo3.openflow.decoder import InstalledFlow, WireKey
from nvo3.pipeline import admit, flood, l2
from nvo3.pipeline.flow import FlowSpec
from nvo3.pipeline.path import patch_path, tunnel_path
from nvo3.tunnels import Traffic, traffic

_NETWORK = Network(uuid4(), uuid4(), "web", Vni(5001))
_HV2, _HV3 = IPv4Address("192.0.2.2"), IPv4Address("192.0.2.3")
_STT, _VXLAN = 65001, 65002
_TUNNELS = {_STT: "stt", _VXLAN: "vxlan"}


def _counted(flow: FlowSpec, n: int) -> InstalledFlow:
    key = WireKey(flow.key.table, flow.key.priority, encoder.serialize_match(flow))
    return InstalledFlow(key, encoder.cookie_of(flow), encoder.serialize_instructions(flow), n, 100 * n, True)


def _port(n: int) -> Port:
    return Port(uuid4(), _NETWORK.uuid, f"p{n}", Mac(f"02:00:00:00:00:{n:02x}"))


def test_each_destination_has_its_unicast_and_its_copies_of_broadcast() -> None:
    to_2, to_3 = tunnel_path("stt", _STT, _NETWORK, _HV2), tunnel_path("vxlan", _VXLAN, _NETWORK, _HV3)
    unicast = [*l2.to_remote(_NETWORK, _port(1), to_2), *l2.to_remote(_NETWORK, _port(2), to_2), *l2.to_remote(_NETWORK, _port(3), to_3)]
    local = l2.to_local(_NETWORK, _port(4), 7)
    broadcast = flood.to_all(_NETWORK, [7], [to_2, to_3])[0]
    installed = [_counted(flow, n) for flow, n in zip([*unicast, *local, broadcast], (1, 2, 4, 800, 16), strict=True)]
    found = traffic(installed, _TUNNELS)
    assert found.sent == {(_HV2, "stt"): Traffic(19, 1900), (_HV3, "vxlan"): Traffic(20, 2000)}
    assert found.received == {}


def test_what_was_admitted_counts_by_its_network_and_source() -> None:
    other = Network(uuid4(), uuid4(), "db", Vni(5002))
    flows = [*admit.from_peer(_NETWORK, _HV2), *admit.from_peer(other, _HV2), *admit.from_peer(_NETWORK, _HV3)]
    found = traffic([_counted(flow, n) for flow, n in zip(flows, (1, 2, 0), strict=True)], _TUNNELS)
    assert found.received == {(5001, _HV2): Traffic(1, 100), (5002, _HV2): Traffic(2, 200)}


def test_what_a_vnic_may_not_say_is_not_admitted() -> None:
    network = replace(_NETWORK, pools=(ip_network("10.0.0.0/24"), ip_network("fd00::/64")))
    flows = admit.from_vnic(network, replace(_port(1), underlay_ip=_HV2))
    assert len(flows) == 3
    assert traffic([_counted(flow, 1) for flow in flows], _TUNNELS).received == {(5001, _HV2): Traffic(1, 100)}


def test_what_goes_without_a_tunnel_or_through_a_port_that_is_none_does_not_count() -> None:
    flat = l2.to_remote(_NETWORK, _port(1), patch_path(9))
    other = l2.to_remote(_NETWORK, _port(2), tunnel_path("stt", 65099, _NETWORK, _HV2))
    assert traffic([_counted(*flat, 5), _counted(*other, 7)], _TUNNELS).sent == {}
