"""Table configuration: what a guest asks about its own addresses, to the controller at a limited rate: DHCP, router solicitations.

`port_security` sends here what the port may ask.  The answer comes by PACKET_OUT to the port, and to no other.
"""

from nvo3.model.logical import Network, Port
from nvo3.pipeline.flow import CONTROLLER, Cond, Field, FlowSpec, Meter, Output, Table, build_flow

_METERS = 1 << 16  # below are those of `vnic_control`, by the port's number: 65,279 at most (OFPP_MAX in Open vSwitch)
_PACKETS_PER_S = 10  # a guest that boots sends two or three


def from_port(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """What the port asks."""
    if not (network.configures(4) or network.configures(6)):
        return []
    match = [Cond(Field.IN_PORT, ofport)]
    meter = Meter(_METERS + ofport, _PACKETS_PER_S)
    return [build_flow(Table.CONFIGURATION, 100, match, owner=port.uuid, actions=[Output(CONTROLLER)], meter=meter)]
