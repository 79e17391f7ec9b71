"""A switch as a hypervisor of the overlay."""

from tests.manager.conftest import Manager
from tests.pipeline.switch import Switch


def overlay_on(switch: Switch, manager: Manager) -> int:
    """Register the switch as hypervisor hv1, and wait until it has its flows; return br-int's datapath id."""
    switch.run("ovs-vsctl", "del-br", "br-int", "--", "set", "open_vswitch", ".", "external_ids:nvo3-vtep-ip=192.0.2.1")
    remote = f"unix:{switch.directory}/db.sock"
    hypervisor = manager.client.post("/v1/hypervisors", json={"name": "hv1", "remote": remote}, wait="realized", timeout=20)
    assert hypervisor["status"]["state"] == "connected"
    return int(hypervisor["status"]["dpid"], 16)
