"""Table vnic_control: CVSW's control frames from guests to the controller, at a limited rate.

Only what an agent may send (docs/protocols/cvsw.md): the message type stands in the first octet of what is the source MAC elsewhere.  Of a
guest whose vNIC is not to encapsulate that is REGISTER alone, by which an agent that does so all the same is found; all such guests of a
hypervisor share a rate.  The controller's own messages go no further, from whomever: it speaks to an agent by PACKET_OUT alone.
"""

from nvo3.model.logical import Port
from nvo3.pipeline.flow import CONTROLLER, Cond, Field, FlowSpec, Meter, Output, Table, build_flow
from nvo3.pipeline.packet import CVSW_FROM_AGENT, CVSW_VERSION

_STRANGERS = Meter(0xFF00, 20)  # OFPP_MAX: above all ports' numbers
_PACKETS_PER_S = 200  # many times what an agent needs
_REGISTER = 2
_TYPE_MASK = 0xFF << 40


def base() -> list[FlowSpec]:
    """What any guest may say."""
    return [build_flow(Table.VNIC_CONTROL, 50, (_of_type(_REGISTER),), actions=[Output(CONTROLLER)], meter=_STRANGERS)]


def from_port(port: Port, ofport: int) -> list[FlowSpec]:
    """What the port's agent may say.  The port's number is its meter's."""
    flows, meter = [], Meter(ofport, _PACKETS_PER_S)
    for kind in CVSW_FROM_AGENT:
        match = (Cond(Field.IN_PORT, ofport), _of_type(kind))
        flows.append(build_flow(Table.VNIC_CONTROL, 100, match, owner=port.uuid, actions=[Output(CONTROLLER)], meter=meter))
    return flows


def _of_type(kind: int) -> Cond:
    return Cond(Field.ETH_SRC, (CVSW_VERSION << 4 | kind) << 40, _TYPE_MASK)
