"""How a lab is made: what can be done at the same time is, and everything waits for a condition.

place ─┬─ controller ─── API answers ─── tenants, networks, ports ──┐
       └─ namespaces, links ─┬─ hv1: ovsdb-server, ovs-vswitchd ────┼─ hypervisors connected ─ guests plugged ─ ports up
                             └─ hv2: …                              ┘
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from nvo3.api.client import Client, item_path
from nvo3.lab import agent, controller, node, ovs, vnic
from nvo3.lab.errors import LabError
from nvo3.lab.journal import Entry, Journal
from nvo3.lab.names import MANAGEMENT, UNDERLAY, Names, guest_interface
from nvo3.lab.ovs import Binaries, Switch
from nvo3.lab.parallel import Task, each, results
from nvo3.lab.place import OVSDB_PORT, Place
from nvo3.lab.process import Process, spawn
from nvo3.lab.progress import Say
from nvo3.lab.record import Guest, Record
from nvo3.lab.topology import GuestSpec, NetworkSpec, Topology
from nvo3.model.logical import CVSW
from nvo3.prepare.fastpath import ensure_fastpath

_REALIZED_S = 20


@dataclass(frozen=True, slots=True)
class Site:
    """Where a lab is made: its names, its journal, its Open vSwitch's programs."""

    names: Names
    journal: Journal
    binaries: Binaries

    def switch(self, hypervisor: str) -> Switch:
        """Return the switch of a hypervisor."""
        return Switch(hypervisor, self.names.run_dir / hypervisor, self.binaries)

    def start(self, role: str, argv: Sequence[str], *, pidfile: Path | None = None, **options: Any) -> Process:
        """Start a daemon that the journal knows by its role; `pidfile`: for one that does not write its own."""

        def record(process: Process) -> None:
            self.journal.record(Entry("process", role, process.pid, process.start_ticks))
            if pidfile:
                pidfile.write_text(f"{process.pid}\n")

        return spawn(argv, record, **options)


def build(site: Site, record: Record, say: Say) -> Record:
    """Make the lab that `record` says; return the record with its guests.

    Raises LabError or ApiError; what stands stays.
    """
    topology, place = record.topology, record.place
    say("starting the controller, making the namespaces")
    api = Task(start_controller, site, place)
    _connect(site, record)
    say("starting Open vSwitch")
    each(partial(start_hypervisor, site, record), range(len(topology.hypervisors)))
    say("waiting for the controller")
    api.result()
    say("creating tenants, networks and ports")
    registered = [Task(_register, place, index, name) for index, name in enumerate(topology.hypervisors)]
    guests = create_objects(place, topology)
    say("waiting for the hypervisors")
    results(registered)
    say("plugging the guests")
    each(partial(vnic.create_guest, site.names), guests)
    each(lambda name: plug(site.switch(name), [g for g in guests if g.hypervisor == name]), topology.hypervisors)
    start_agents(site, guests)
    each(partial(await_up, place), guests)
    for guest in guests:
        record = record.with_guest(guest)
    return record


def _connect(site: Site, record: Record) -> None:
    """Make all namespaces and the networks between them."""
    names, topology = site.names, record.topology
    nodes = [MANAGEMENT, *topology.hypervisors, *(guest.name for guest in topology.guests)]
    if len(topology.hypervisors) != 2:
        nodes.append(UNDERLAY)
    spaces = [names.netns(one) for one in nodes]
    site.journal.record(Entry("link", names.management_link), *(Entry("netns", space) for space in spaces))
    node.create_namespaces(spaces)
    node.connect_management(names, record.place, topology.hypervisors)
    node.connect_underlay(names, topology.hypervisors, record.wire)


def start_controller(site: Site, place: Place) -> Process:
    """Start the controller and wait until its API answers."""
    directory = site.names.run_dir / controller.ROLE
    directory.mkdir(exist_ok=True)
    started = site.start(
        controller.ROLE,
        controller.argv(place, directory),
        pidfile=directory / "controller.pid",
        log=controller.output_file(directory),
        env=controller.environment(site.binaries),
        cwd=directory,
    )
    controller.await_api(place, started, directory)
    return started


def start_hypervisor(site: Site, record: Record, index: int) -> None:
    """Start a hypervisor's Open vSwitch: br-phy stands with the VTEP address when this returns."""
    name = record.topology.hypervisors[index]
    space, switch = site.names.netns(name), site.switch(name)
    switch.directory.mkdir(exist_ok=True)
    node.prepare_hypervisor(space, record.place, index)
    switch.create_database()
    start_ovsdb_server(site, record, index)
    switch.configure(name, node.vtep_ip(index), node.UNDERLAY_BRIDGE, node.NIC)
    start_vswitchd(site, record, index)


def start_ovsdb_server(site: Site, record: Record, index: int) -> None:
    """Start a hypervisor's ovsdb-server on the database that exists."""
    switch = site.switch(record.topology.hypervisors[index])
    remote = f"ptcp:{OVSDB_PORT}:{record.place.management_address(index)}"
    switch.await_ovsdb(_start_daemon(site, switch, ovs.OVSDB_SERVER, switch.ovsdb_server_argv(remote)))


def start_vswitchd(site: Site, record: Record, index: int) -> None:
    """Start a hypervisor's ovs-vswitchd and wait until the underlay bridge stands and has its address."""
    switch = site.switch(record.topology.hypervisors[index])
    space = site.names.netns(switch.name)
    node.set_wire(space, "tso")
    started = _start_daemon(site, switch, ovs.VSWITCHD, switch.vswitchd_argv())
    switch.await_vswitchd(started, (node.UNDERLAY_BRIDGE, node.NIC))
    node.set_wire(space, record.wire)
    if switch.offers("sclp"):
        node.merge_datagrams(space)
    node.address_underlay(space, index)


def start_agents(site: Site, guests: Sequence[Guest]) -> None:
    """Start the agents of guests whose vNICs encapsulate, and wait until they have taken these over."""
    offloaded = [guest for guest in guests if guest.offload == CVSW]
    if offloaded:
        ensure_fastpath()
        each(partial(_start_agent, site), offloaded)


def _start_agent(site: Site, guest: Guest) -> None:
    names = site.names
    agent.directory(names, guest.name).mkdir(exist_ok=True)
    started = site.start(
        agent.role(guest.name),
        agent.argv(names, guest.name),
        log=agent.log_file(names, guest.name),
        env=controller.environment(site.binaries),
        netns=names.netns(guest.name),
    )
    agent.await_ready(names, guest.name, started)


def _start_daemon(site: Site, switch: Switch, daemon: str, argv: list[str]) -> Process:
    return site.start(
        switch.role(daemon),
        argv,
        log=switch.output(daemon),
        env=switch.environment,
        netns=site.names.netns(switch.name),
    )


def _register(place: Place, index: int, name: str) -> None:
    """Make a hypervisor known to the controller and wait until it is connected."""
    remote = f"tcp:{place.management_address(index)}:{OVSDB_PORT}"
    with Client(place.api_url) as client:
        client.post("/v1/hypervisors", {"name": name, "remote": remote}, wait="realized", timeout=_REALIZED_S)


def create_objects(place: Place, topology: Topology) -> list[Guest]:
    """Create tenants, networks and ports; return the guests as they are to be."""
    networks: dict[tuple[str, str], dict[str, Any]] = {}
    with Client(place.api_url) as client:
        if any(guest.offload == CVSW for guest in topology.guests):
            give_agents_a_pool(client)
        for tenant, spec in topology.tenants.items():
            client.post("/v1/tenants", {"name": tenant})
            for name, network in spec.networks.items():
                body = {"name": name} | _given(network)
                networks[tenant, name] = client.post(item_path("tenants", tenant, "networks"), body)
        return [create_port(client, guest, networks[guest.tenant, guest.network]) for guest in topology.guests]


def give_agents_a_pool(client: Client) -> None:
    """Let ports encapsulate: tunnel endpoints of their vNICs come from here."""
    client.patch("/v1/settings", {"agent_pools": [str(node.AGENT_POOL)]})


def _given(spec: NetworkSpec | GuestSpec) -> dict[str, Any]:
    """Return what the topology says; the rest is the API's to choose."""
    return spec.model_dump(mode="json", exclude_unset=True, exclude_none=True)


def create_port(client: Client, spec: GuestSpec, network: dict[str, Any]) -> Guest:
    """Create a guest's port; return the guest, not yet plugged in.  network: as the API gives it."""
    body = {key: value for key, value in _given(spec).items() if key not in ("tenant", "network", "hypervisor")}
    port = client.post(item_path("tenants", spec.tenant, "networks", spec.network, "ports"), body)
    return Guest(
        name=spec.name,
        tenant=spec.tenant,
        network=spec.network,
        hypervisor=spec.hypervisor,
        port=port["uuid"],
        mac=port["mac"],
        mtu=network["mtu"],
        addresses=tuple(_with_prefix(address, network["pools"]) for address in port["addresses"]),
        offload=port["offload"],
    )


def _with_prefix(address: str, pools: Sequence[str]) -> str:
    for pool in map(ip_network, pools):
        if ip_address(address) in pool:
            return f"{address}/{pool.prefixlen}"
    raise LabError(f"the API gave {address}, which is in none of the network's pools ({', '.join(pools)})")


def port_path(guest: Guest) -> str:
    """Return the path of a guest's port in the API."""
    return item_path("tenants", guest.tenant, "networks", guest.network, "ports", guest.name)


def plug(switch: Switch, guests: Sequence[Guest]) -> None:
    """Put guests' vNICs on br-int, named by their interface-id: from then on the controller knows where they are."""
    words: list[str] = []
    for guest in guests:
        interface = guest_interface(guest.name)
        words += ["--", "--may-exist", "add-port", node.INTEGRATION_BRIDGE, interface]
        words += ["--", "set", "Interface", interface, f"external_ids:iface-id={guest.port}"]
    if words:
        switch.vsctl(*words[1:])


def unplug(switch: Switch, guest: Guest) -> None:
    """Take a guest's vNIC off br-int."""
    switch.vsctl("--if-exists", "del-port", node.INTEGRATION_BRIDGE, guest_interface(guest.name))


def await_up(place: Place, guest: Guest) -> None:
    """Wait until all flows of a guest's port are in force.  Raises ApiError if that takes too long."""
    with Client(place.api_url) as client:
        client.get(port_path(guest), wait="up", timeout=_REALIZED_S)
