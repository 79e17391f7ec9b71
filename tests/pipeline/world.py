"""A small overlay for the pipeline's tests: hypervisor `here` with ports, hypervisor `there` behind a tunnel.

Tenants red and blue have one network each with the same addresses.  `lan` is a pure L2 network.  In `vms`, the vNICs of e1 and e9
encapsulate, those of e2 and e8 do not; `phy` is the patch to the underlay.
"""

import uuid
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network

from nvo3.controller import Controller
from nvo3.model.event import HypervisorChanged, NorthboundChanged
from nvo3.model.ids import Mac, Vni, dpid_of
from nvo3.model.logical import CVSW, Network, Port, Tenant
from nvo3.model.physical import Hypervisor, HypervisorView, Vport
from nvo3.pipeline.flow import FlowSpec

POOLS = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))


def identifier(name: str) -> uuid.UUID:
    """A uuid that is always the same for a name."""
    return uuid.uuid5(uuid.NAMESPACE_OID, name)


def mac(n: int) -> Mac:
    """A unicast MAC address."""
    return Mac(f"02:00:00:00:00:{n:02x}")


class World:
    """ofports: name of an OVS port -> its OpenFlow port.  A guest's OVS port has the name of its logical port."""

    ofports = {"r1": 1, "r2": 2, "b1": 3, "l1": 4, "l2": 5, "free": 6, "e1": 8, "e2": 9, "phy": 65000, "vxlan": 65001, "geneve": 65002}

    def __init__(self) -> None:
        self.core = Controller()
        self.here = Hypervisor(identifier("here"), "here", "tcp:192.0.2.1:6640")
        self.there = Hypervisor(identifier("there"), "there", "tcp:192.0.2.2:6640")
        tenants = [Tenant(identifier(name), name) for name in ("red", "blue")]
        self.red = Network(identifier("red/web"), tenants[0].uuid, "web", Vni(5001), pools=POOLS)
        self.blue = Network(identifier("blue/web"), tenants[1].uuid, "web", Vni(5002), "geneve", pools=POOLS)
        self.lan = Network(identifier("red/lan"), tenants[0].uuid, "lan", Vni(5003))
        self.vms = Network(identifier("red/vms"), tenants[0].uuid, "vms", Vni(5004), pools=POOLS)
        self.ports = {
            "r1": self._port("r1", self.red, 1),
            "r2": self._port("r2", self.red, 2),
            "r9": self._port("r9", self.red, 9),
            "b1": self._port("b1", self.blue, 1),
            "b9": self._port("b9", self.blue, 9),
            "l1": Port(identifier("l1"), self.lan.uuid, "l1", mac(0x31)),
            "l2": Port(identifier("l2"), self.lan.uuid, "l2", mac(0x32)),
            "free": self._port("free", self.red, 6, port_security=False),
            "e1": self._vnic("e1", 0x41, "192.0.2.101"),
            "e2": self._port("e2", self.vms, 0x42),
            "e8": self._port("e8", self.vms, 0x48),
            "e9": self._vnic("e9", 0x49, "192.0.2.109"),
        }
        rows = (self.here, self.there, *tenants, self.red, self.blue, self.lan, self.vms, *self.ports.values())
        self.core.handle(NorthboundChanged(rows), 0.0)
        local = tuple(Vport(identifier(n), n, o) for n, o in self.ofports.items() if n in self.ports)
        remote = (
            Vport(identifier("r9"), "r9", 1),
            Vport(identifier("b9"), "b9", 2),
            Vport(identifier("e8"), "e8", 3),
            Vport(identifier("e9"), "e9", 4),
        )
        tunnels = (("vxlan", 65001), ("geneve", 65002))
        self.report(self.here, HypervisorView(IPv4Address("192.0.2.1"), tunnels, 65000, local, 1500, mac(0x81)))
        self.report(self.there, HypervisorView(IPv4Address("192.0.2.2"), tunnels, 65000, remote, 1500, mac(0x82)))

    @staticmethod
    def _port(name: str, network: Network, n: int, port_security: bool = True) -> Port:
        addresses = (ip_address(f"10.0.0.{n}"), ip_address(f"fd00::{n}"))
        return Port(identifier(name), network.uuid, name, mac(n), addresses, port_security)

    def _vnic(self, name: str, n: int, underlay_ip: str) -> Port:
        return replace(self._port(name, self.vms, n), offload=CVSW, underlay_ip=IPv4Address(underlay_ip))

    def report(self, hypervisor: Hypervisor, view: HypervisorView) -> None:
        """The hypervisor's database says this."""
        self.core.handle(HypervisorChanged(hypervisor.uuid, True, view), 0.0)

    def flows(self) -> list[FlowSpec]:
        """The flows of `here`."""
        return list(self.core.desired_flows(dpid_of(self.here.uuid))[0])
