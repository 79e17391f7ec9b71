"""A lab on this machine, as an object: what the `lab` commands, the benchmarks and the tests of real traffic use."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from nvo3.api.client import ApiError, Client, item_path
from nvo3.lab import agent, build, controller, journal, node, ovs, place, probe, process, system, vnic
from nvo3.lab.errors import CommandFailed, LabError
from nvo3.lab.journal import Entry, Journal
from nvo3.lab.names import RESERVED, RUN_ROOT, Names, check_instance, instance_of
from nvo3.lab.progress import Say, quiet
from nvo3.lab.record import Guest, Record
from nvo3.lab.report import HypervisorReport, Report
from nvo3.lab.topology import GuestSpec, Topology, Wire
from nvo3.model.errors import ConfigError
from nvo3.model.ids import check_name
from nvo3.model.logical import CVSW, NONE

_CHECKOUT = Path(__file__).resolve().parents[2]
_LOCK_WAIT_S = 120.0
_MOVE_S = 5.0
_RECONNECT_S = 10.0
TUN = Path("/dev/net/tun")


class Lab:
    """A lab, up or not.

    instance: its name on this machine, the checkout's by default.  say: told what is being done.  ovs_prefix: of an Open
    vSwitch other than the one that the launcher prepared.
    Methods raise LabError, ConfigError and ApiError, each a line for the user.
    """

    def __init__(self, instance: str | None = None, *, say: Say = quiet, run_root: Path = RUN_ROOT, ovs_prefix: str = "") -> None:
        name = check_instance(instance) if instance else instance_of(_CHECKOUT)
        self.names = Names(name, run_root)
        self.journal = Journal(self.names.journal_file)
        self._say = say
        self._ovs_prefix = ovs_prefix

    # Up and down.

    def up(self, topology: Topology, wire: Wire = "tso") -> Report:
        """Bring the lab up, unless it is; return what it is then.

        A lab of another topology or wire, or one left half-made, is taken down first.  If this fails, what was made
        stays to be looked at, until `down` or the next `up`.
        """
        require_machine()
        with self._locked():
            record = self._readable_record()
            if record and record.complete and (record.topology, record.wire) == (topology, wire):
                self._repair(record)
            else:
                self._clear(record, topology, wire)
                self._build(topology, wire)
            self._say("measuring the matrix")
            return self.status()

    def _clear(self, record: Record | None, topology: Topology, wire: Wire) -> None:
        """Take down what is in the way."""
        if record and record.complete:
            what = "another topology" if record.topology != topology else f"wire {record.wire}, not {wire}"
            self._say(f"a lab with {what} is up: taking it down")
        elif self._anything():
            self._say("a half-made lab is there: taking it down")
        self._undo()

    def _build(self, topology: Topology, wire: Wire) -> None:
        site = self._site()
        with place.chosen(self.names.run_root) as chosen:
            self.names.run_dir.mkdir(parents=True)
            record = Record(chosen, wire, topology)
            record.save(self.names.record_file)
        record = build.build(site, record, self._say)
        replace(record, complete=True).save(self.names.record_file)

    def _repair(self, record: Record) -> None:
        """Start what is not running of a lab that was up."""
        self._say("the lab is up: checking it")
        site = self._site()
        for index, name in enumerate(record.topology.hypervisors):
            if not self._runs(site.switch(name).role(ovs.OVSDB_SERVER)):
                self._say(f"{name}: {ovs.OVSDB_SERVER} is not running: starting it")
                build.start_ovsdb_server(site, record, index)
            if not self._runs(site.switch(name).role(ovs.VSWITCHD)):
                self._say(f"{name}: {ovs.VSWITCHD} is not running: starting it")
                build.start_vswitchd(site, record, index)
        gone = [guest for guest in record.guests.values() if guest.offload == CVSW and not self._runs(agent.role(guest.name))]
        for guest in gone:
            self._say(f"{guest.name}: its agent is not running: starting it")
        build.start_agents(site, gone)
        if not self._runs(controller.ROLE):
            self._say("the controller is not running: starting it")
            build.start_controller(site, record.place)
        with Client(record.place.api_url) as client:
            system.wait_until(lambda: all(_hypervisor(client, name).connected for name in record.topology.hypervisors), _RECONNECT_S)

    def down(self) -> bool:
        """Remove all that the lab made; return False if there was nothing.

        May be called again, and after a crash at any point.
        """
        require_root()
        if not self._anything():
            return False
        with self._locked():
            found = self._anything()
            self._undo()
            return found

    def _anything(self) -> bool:
        link = Path("/sys/class/net", self.names.management_link)
        return self.names.run_dir.exists() or link.exists() or bool(system.netns_names(self.names.prefix))

    def _undo(self) -> None:
        entries = [
            Entry("directory", str(self.names.run_dir)),
            Entry("link", self.names.management_link),
            *self.journal.entries(),
        ]
        # Beside what the journal says, whatever carries our name: the directory with the journal may have been
        # removed by hand.
        entries += [Entry("netns", name) for name in system.netns_names(self.names.prefix)]
        # The controller first and by itself, so that it ends its own ovsdb-server; then what it could not end, if it
        # was killed.
        if running := self.journal.last_process(controller.ROLE):
            process.stop(running)
        journal.stop_all(process.with_pidfile_under(self.names.run_dir))
        journal.undo(entries)

    # What it is.

    @property
    def record(self) -> Record:
        """Raises LabError if the lab is not up."""
        record = Record.load(self.names.record_file)
        if record is None:
            raise LabError(f"no lab is up (instance {self.names.instance}); `nvo3 lab up` brings one up")
        if not record.complete:
            raise LabError(f"the lab (instance {self.names.instance}) is half-made; `nvo3 lab up` starts over, `nvo3 lab down` removes it")
        return record

    def _readable_record(self) -> Record | None:
        """Return the record, None if there is none or it cannot be read: then it is no reason to refuse."""
        with suppress(LabError):
            return Record.load(self.names.record_file)
        return None

    def status(self) -> Report:
        """Return what the lab is now, its matrix measured now."""
        require_root()
        record = self.record
        problems = [f"{role} is not running" for role in self._roles(record) if not self._runs(role)]
        hypervisors = tuple(HypervisorReport(name, (), False) for name in record.topology.hypervisors)
        try:
            with Client(record.place.api_url) as client:
                hypervisors = tuple(_hypervisor(client, name) for name in record.topology.hypervisors)
        except ApiError as error:
            problems.append(str(error))
        guests = tuple(record.guests.values())
        cells = tuple(probe.measure(self.names, guests))
        return Report(record.place.api_url, hypervisors, guests, cells, tuple(problems))

    def _roles(self, record: Record) -> list[str]:
        switches = [f"{name} {daemon}" for name in record.topology.hypervisors for daemon in (ovs.OVSDB_SERVER, ovs.VSWITCHD)]
        agents = [agent.role(guest.name) for guest in record.guests.values() if guest.offload == CVSW]
        return [controller.ROLE, *switches, *agents]

    def _runs(self, role: str) -> bool:
        last = self.journal.last_process(role)
        return last is not None and process.is_alive(last)

    @property
    def api_url(self) -> str:
        return self.record.place.api_url

    def client(self) -> Client:
        """Return a client of the lab's API; close it."""
        return Client(self.api_url)

    def pid(self, role: str) -> int:
        """Return the pid of a daemon: `controller`, `hv1 ovs-vswitchd`, `hv1 ovsdb-server`, `r1 nvo3-agent`, ….

        Raises LabError if it does not run.
        """
        last = self.journal.last_process(role)
        if last is None or not process.is_alive(last):
            raise LabError(f"{role} is not running")
        return last.pid

    def cpu_seconds(self, role: str) -> float:
        """Return the CPU time that a daemon used so far, all threads, user and system."""
        last = self.journal.last_process(role)
        return process.cpu_seconds(last) if last else 0.0

    def log(self, role: str) -> Path:
        """Return the log of a daemon."""
        if role == controller.ROLE:
            return controller.log_file(self.names.run_dir / controller.ROLE)
        hypervisor, _, daemon = role.partition(" ")
        if role == agent.role(hypervisor):
            return agent.log_file(self.names, hypervisor)
        return self.switch(hypervisor).log(daemon)

    def switch(self, hypervisor: str) -> ovs.Switch:
        """Return a hypervisor's Open vSwitch, for `vsctl` and `run`."""
        return self._site().switch(hypervisor)

    def _site(self) -> build.Site:
        return build.Site(self.names, self.journal, ovs.Binaries.find(self._ovs_prefix))

    # Inside its namespaces.

    def ns(self, name: str) -> str:
        """Return the network namespace of a guest or of a hypervisor.

        Raises ConfigError if there is none of that name.
        """
        record = self.record
        known = [*record.guests, *record.topology.hypervisors]
        if name not in known:
            raise ConfigError("", f"{name!r} is neither a guest nor a hypervisor; there are {', '.join(known)}", name)
        return self.names.netns(name)

    def command(self, name: str, argv: Sequence[str]) -> tuple[list[str], dict[str, str]]:
        """Return what runs `argv` in the namespace of a guest or a hypervisor, and its environment.

        On a hypervisor OVS's own tools talk to that hypervisor's switch.
        """
        require_root()
        wrapped = ["ip", "netns", "exec", self.ns(name), *argv]
        if name in self.record.topology.hypervisors:
            return wrapped, self.switch(name).environment
        return wrapped, dict(os.environ)

    def run(self, name: str, argv: Sequence[str], *, timeout_s: float = 60, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """Run a command in the namespace of a guest or a hypervisor.

        check: raise CommandFailed if its status is not 0.  Raises subprocess.TimeoutExpired.
        """
        wrapped, environment = self.command(name, argv)
        done = subprocess.run(wrapped, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False)
        if check and done.returncode:
            raise CommandFailed(argv, done.returncode, done.stderr or done.stdout)
        return done

    def popen(self, name: str, argv: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
        """Start a command in the namespace of a guest or a hypervisor; `down` ends it if the caller does not."""
        wrapped, environment = self.command(name, argv)
        return subprocess.Popen(wrapped, env=environment, text=True, **options)

    # Guests.

    def guest_add(self, name: str, tenant: str, network: str, hypervisor: str, addresses: Sequence[str] = (), offload: str = NONE) -> Guest:
        """Create a port and a guest on it; return it once it is up.  Nothing stays if this fails."""
        with self._locked():
            record = self.record
            self._check_new(record, name, hypervisor)
            given: dict[str, Any] = {"name": name, "tenant": tenant, "network": network, "hypervisor": hypervisor}
            with Client(record.place.api_url) as client:
                found = client.get(item_path("tenants", tenant, "networks", network))
                body: dict[str, Any] = {"name": name} | ({"addresses": list(addresses)} if addresses else {})
                if offload != NONE:
                    build.give_agents_a_pool(client)
                    body["offload"] = offload
                guest = build.create_port(client, GuestSpec.model_construct(**given | body), found)
                try:
                    self._plug_new(record, guest)
                except BaseException:
                    self._remove_guest(guest)
                    with suppress(ApiError):
                        client.delete(build.port_path(guest))
                    raise
            record.with_guest(guest).save(self.names.record_file)
            return guest

    def _check_new(self, record: Record, name: str, hypervisor: str) -> None:
        check_name(name, "name")
        if name in record.guests or name in record.topology.hypervisors or name in RESERVED:
            raise ConfigError("name", f"{name!r} is already the name of a guest, of a hypervisor or of a part of the lab", name)
        self._check_hypervisor(record, hypervisor)

    def _check_hypervisor(self, record: Record, hypervisor: str) -> None:
        if hypervisor not in record.topology.hypervisors:
            known = ", ".join(record.topology.hypervisors)
            raise ConfigError("hypervisor", f"{hypervisor!r} is not one of {known}", hypervisor, known)

    def _plug_new(self, record: Record, guest: Guest) -> None:
        space = self.names.netns(guest.name)
        self.journal.record(Entry("netns", space))
        node.create_namespaces([space])
        vnic.create_guest(self.names, guest)
        build.plug(self.switch(guest.hypervisor), [guest])
        build.start_agents(self._site(), [guest])
        build.await_up(record.place, guest)

    def _remove_guest(self, guest: Guest) -> None:
        """Take a guest off its switch and remove its namespace."""
        with suppress(LabError):  # the switch may be down; with the namespace its vNIC goes anyway
            build.unplug(self.switch(guest.hypervisor), guest)
        journal.undo([Entry("netns", self.names.netns(guest.name))])

    def guest_delete(self, name: str) -> None:
        """Remove a guest and its port."""
        with self._locked():
            record = self.record
            guest = self._guest(record, name)
            with Client(record.place.api_url) as client:
                client.get("/v1/hypervisors")  # nothing is half-removed because the API does not answer
                self._remove_guest(guest)
                self._delete_port(client, guest)
            record.without_guest(name).save(self.names.record_file)

    def _delete_port(self, client: Client, guest: Guest) -> None:
        try:
            client.delete(build.port_path(guest), wait="realized")
        except ApiError as error:
            if error.status != 404:  # deleted by somebody else: as wished
                raise

    def _guest(self, record: Record, name: str) -> Guest:
        if name not in record.guests:
            raise ConfigError("guest", f"{name!r} is not one of {', '.join(record.guests) or '(no guest)'}", name)
        return record.guests[name]

    def guest_move(self, name: str, hypervisor: str) -> Guest:
        """Move a guest, running, to another hypervisor.

        It is plugged in there first, by a second vNIC; when the controller has moved the port, the new vNIC takes the
        place of the old.
        """
        with self._locked():
            record = self.record
            guest = self._guest(record, name)
            self._check_hypervisor(record, hypervisor)
            if guest.hypervisor == hypervisor:
                return guest
            moved = replace(guest, hypervisor=hypervisor)
            self._plug_second(record, guest, moved)
            if moved.offload == CVSW:
                self.stop_agent(name)  # which gives the vNIC back
            vnic.swap(self.names, moved)
            build.start_agents(self._site(), [moved])
            self._drop_first(guest)
            record.with_guest(moved).save(self.names.record_file)
            build.await_up(record.place, moved)
            return moved

    def _plug_second(self, record: Record, guest: Guest, moved: Guest) -> None:
        vnic.attach_new(self.names, moved, moved.hypervisor)
        try:
            build.plug(self.switch(moved.hypervisor), [moved])
            with Client(record.place.api_url) as client:
                if not system.wait_until(lambda: _is_up_at(client, moved), _MOVE_S):
                    raise LabError(
                        f"{guest.name}: its port was not up on {moved.hypervisor} within {_MOVE_S:g} s; it stays on {guest.hypervisor}"
                    )
        except BaseException:
            self._drop_first(moved)
            raise

    def _drop_first(self, guest: Guest) -> None:
        """Remove a guest's vNIC to `guest.hypervisor`."""
        build.unplug(self.switch(guest.hypervisor), guest)
        vnic.drop_old(self.names, guest, guest.hypervisor)

    # Crashes and restarts.

    def stop_controller(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> None:
        """Signal the controller and wait until it is gone.  Raises LabError if it is not in time."""
        self._stop(controller.ROLE, number, timeout_s)

    def start_controller(self) -> None:
        """Start the controller and wait until its API answers."""
        build.start_controller(self._site(), self.record.place)

    def stop_agent(self, guest: str, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> None:
        """Signal the agent of a guest's vNIC and wait until it is gone."""
        self._stop(agent.role(guest), number, timeout_s)

    def start_agent(self, guest: str) -> None:
        """Start the agent of a guest's vNIC; it has taken this over when this returns."""
        build.start_agents(self._site(), [self._guest(self.record, guest)])

    def stop_vswitchd(self, hypervisor: str, number: signal.Signals = signal.SIGTERM, timeout_s: float = 10.0) -> None:
        """Signal a hypervisor's ovs-vswitchd and wait until it is gone."""
        self._stop(self.switch(hypervisor).role(ovs.VSWITCHD), number, timeout_s)

    def start_vswitchd(self, hypervisor: str) -> None:
        """Start a hypervisor's ovs-vswitchd; its underlay stands when this returns."""
        record = self.record
        build.start_vswitchd(self._site(), record, record.topology.hypervisors.index(hypervisor))

    def restart_vswitchd(self, hypervisor: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Stop and start a hypervisor's ovs-vswitchd."""
        self.stop_vswitchd(hypervisor, number)
        self.start_vswitchd(hypervisor)

    def _stop(self, role: str, number: signal.Signals, timeout_s: float) -> None:
        last = self.journal.last_process(role)
        if last and process.send(last, number) and not process.wait_gone(last, timeout_s):
            raise LabError(f"{role} still runs {timeout_s:g} s after {number.name}; log: {self.log(role)}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        def waiting() -> None:
            self._say("another command works on this lab: waiting for it")

        require_root()
        with place.locked(self.names.lock_file, wait_s=_LOCK_WAIT_S, waiting=waiting):
            yield


def _hypervisor(client: Client, name: str) -> HypervisorReport:
    status = client.get(item_path("hypervisors", name))["status"]
    return HypervisorReport(name, tuple(status["encapsulations"]), bool(status["connected"]))


def _is_up_at(client: Client, guest: Guest) -> bool:
    status = client.get(build.port_path(guest))["status"]
    return bool(status["state"] == "up" and status["hypervisor"] == guest.hypervisor)


def require_root() -> None:
    """Raises LabError unless we may make network namespaces."""
    if os.geteuid() != 0:
        raise LabError("the lab makes network namespaces and needs root: use sudo")


def require_machine() -> None:
    """Raises LabError, with the remedy, if this machine lacks what a lab needs."""
    require_root()
    for program in ("ip", "nft", "ethtool"):
        if not shutil.which(program):
            raise LabError(f"the command {program} is not installed; `bin/nvo3 lab up` installs what the lab needs")
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise LabError(f"{TUN}: {error.strerror}; Open vSwitch needs it: load the module tun, or give the container that device") from None
