"""Table output: to the guest.  One flow per port, whose counter is what the port received."""

from nvo3.model.logical import Network, Port
from nvo3.pipeline.flow import OUT_PORT, Cond, Field, FlowSpec, Output, Table, build_flow


def to_port(network: Network, port: Port, ofport: int) -> list[FlowSpec]:
    """Deliver to a local guest."""
    match = (Cond(Field.METADATA, network.vni), Cond(OUT_PORT, ofport))
    return [build_flow(Table.OUTPUT, 100, match, owner=port.uuid, actions=[Output(ofport)])]
