"""Table vnic_control: CVSW's control frames from a guest whose vNIC has an agent, to the controller, at a limited rate.

Only what an agent may send (docs/protocols/cvsw.md): the message type stands in the first octet of what is the source MAC elsewhere.  Any
other guest's, and the controller's own messages from whomever, end in `classify`: the controller speaks to an agent by PACKET_OUT alone.
"""

from nvo3.model.logical import Port
from nvo3.pipeline.flow import CONTROLLER, Cond, Field, FlowSpec, Output, Table, build_flow
from nvo3.pipeline.packet import CVSW_FROM_AGENT, CVSW_VERSION

_TYPE_MASK = 0xFF << 40


def from_port(port: Port, ofport: int) -> list[FlowSpec]:
    """What the port's agent may say.  The port's number is its meter's."""
    flows = []
    for kind in CVSW_FROM_AGENT:
        octet = (CVSW_VERSION << 4 | kind) << 40
        match = (Cond(Field.IN_PORT, ofport), Cond(Field.ETH_SRC, octet, _TYPE_MASK))
        flows.append(build_flow(Table.VNIC_CONTROL, 100, match, owner=port.uuid, actions=[Output(CONTROLLER)], meter=ofport))
    return flows
