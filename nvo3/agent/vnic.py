"""Takes a vNIC over from the guest's stack, and gives it back.

The device keeps its name and is the wire's side; a TAP with the guest's MAC, MTU, addresses and routes takes its place in the stack.
"""

import errno
import logging
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from nvo3.agent import device
from nvo3.agent.errors import AgentError
from nvo3.agent.offload import Features
from nvo3.agent.record import Record, boot_id
from nvo3.agent.rtnetlink import ADDR_GEN_NONE, ARPHRD_ETHER, IFF_NOARP, IFF_UP, Link, Rtnetlink, moved_address, moved_route
from nvo3.wire.cvsw import Offload

# So that the super-packets of STT and SCLP, after all headers, can say their length in 16 bits.
_GSO_MAX_SIZE = 64000
_CONF = Path("/proc/sys/net")

log = logging.getLogger(__name__)


class Vnic:
    """A vNIC that is taken over inside the context: `take_over` moves what the guest has, leaving the context moves it back.

    socket, tap: descriptors of both sides.  Raises AgentError.
    """

    def __init__(self, name: str, tap_name: str, record_path: Path) -> None:
        self.name = name
        self.tap_name = tap_name
        self._record_path = record_path
        if not shutil.which("nft"):
            raise AgentError("there is no nft: install the package nftables")
        self._kernel = Rtnetlink()
        try:
            self._index = self._find()
            self._give_back_former()
            self.link = self._kernel.link(self._index)
            self._features = _features_of(name)
            self.socket, self.tap = self._open()
        except BaseException:
            self._kernel.__exit__()
            raise
        self._tap_link: Link | None = None
        self._record: Record | None = None
        self._has_moved = False

    def _find(self) -> int:
        try:
            index = socket.if_nametoindex(self.name)
            link = self._kernel.link(index)
        except OSError:
            known = ", ".join(name for _, name in socket.if_nameindex())
            raise AgentError(f"there is no device {self.name}: give one of {known} by --vnic") from None
        if link.kind != ARPHRD_ETHER:
            raise AgentError(f"{self.name} is no Ethernet device: give another one by --vnic")
        if link.master:
            master = self._kernel.link(link.master).name
            raise AgentError(f"{self.name} belongs to {master}: take it out by 'ip link set {self.name} nomaster'")
        return index

    def _give_back_former(self) -> None:
        """Undo what an agent did that was killed."""
        record = Record.read(self._record_path)
        if record is None:
            return
        link = self._kernel.link(self._index)
        if (record.index, record.mac) != (link.index, link.mac.hex()):
            log.info("%s is another device than before: forgetting what that had", self.name)
            self._record_path.unlink()
            return
        log.info("giving back to %s what an agent left that was killed", self.name)
        self._restore(record, [bytes.fromhex(one) for one in record.addresses], [bytes.fromhex(one) for one in record.routes])

    def _open(self) -> tuple[socket.socket, int]:
        try:
            link = device.open_link(self.name)
        except PermissionError:
            raise AgentError("no permission: run it as root, or with the capabilities NET_ADMIN and NET_RAW") from None
        try:
            return link, self._open_tap()
        except BaseException:
            link.close()
            raise

    def _open_tap(self) -> int:
        with suppress(OSError):
            socket.if_nametoindex(self.tap_name)
            raise AgentError(f"there is a device {self.tap_name} already: give another name by --tap")
        try:
            return device.open_tap(self.tap_name)
        except PermissionError:
            raise AgentError("no permission to make a TAP: run it as root, or with the capability NET_ADMIN") from None
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
                raise AgentError(f"there is no {device.TUN_PATH}: run 'modprobe tun', or give the container that device") from None
            raise AgentError(f"the TAP {self.tap_name} cannot be made: {error.strerror}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            if self._record:
                self._give_back(self._record)
        finally:
            os.close(self.tap)
            self.socket.close()
            self._kernel.__exit__()

    # Taking over

    def take_over(self) -> None:
        """Move the guest's addresses and routes to the TAP.  Raises AgentError."""
        kernel, link = self._kernel, self.link
        self._tap_link = tap = self._prepare_tap()
        addresses, routes = kernel.addresses(link.index), kernel.routes(link.index)
        hexed = [[one.hex() for one in several] for several in (addresses, routes)]
        record = Record(boot_id(), link.index, link.mac.hex(), link.mtu, link.flags, link.addr_gen_mode, self._features.ours(), *hexed)
        record.write(self._record_path)
        self._record = record
        self._silence()
        kernel.set_flag(link.index, IFF_UP, on=True)
        self._strip()
        kernel.set_flag(tap.index, IFF_UP, on=True)
        for address in addresses:
            kernel.add_address(moved_address(address, link, tap))
        for route in routes:
            kernel.add_route(moved_route(route, link, tap))
        if link.addr_gen_mode is not None:
            with suppress(OSError):  # one by a secret that is not set
                kernel.set_addr_gen_mode(tap.index, link.addr_gen_mode)
        self._has_moved = True

    def _prepare_tap(self) -> Link:
        index = socket.if_nametoindex(self.tap_name)
        self._kernel.set_mac(index, self.link.mac)
        self._kernel.set_mtu(index, self.link.mtu)
        self._kernel.set_gso_max_size(index, _GSO_MAX_SIZE)
        for family in ("ipv4", "ipv6"):
            for setting in (_CONF / family / "conf" / self.name).glob("*"):
                # Some can be read only when they are set, some never be written; a container may write none.
                with suppress(OSError):
                    (_CONF / family / "conf" / self.tap_name / setting.name).write_text(setting.read_text())
        if self.link.addr_gen_mode is not None:
            # Or the kernel makes one, and has it wait until it knows that nobody else has it.
            self._kernel.set_addr_gen_mode(index, ADDR_GEN_NONE)
        return self._kernel.link(index)

    def _silence(self) -> None:
        """Keep the stack from what arrives on the link: the packet socket sees it before."""
        table = _table_of(self.link.index)
        chain = f'{{ type filter hook ingress device "{self.name}" priority -500; policy drop; }}'
        _nft(
            f"add table netdev {table}", f"delete table netdev {table}", f"add table netdev {table}", f"add chain netdev {table} in {chain}"
        )

    def _strip(self) -> None:
        """Leave the link nothing that the stack could use."""
        kernel, index = self._kernel, self.link.index
        for route in kernel.routes(index):
            kernel.remove_route(route)
        for address in kernel.addresses(index):
            kernel.remove_address(address)
        if kernel.link(index).addr_gen_mode is not None:
            kernel.set_addr_gen_mode(index, ADDR_GEN_NONE)
        kernel.set_flag(index, IFF_NOARP, on=True)

    # Giving back

    def _give_back(self, record: Record) -> None:
        """Give the link what the guest has now, which may be more than it had."""
        addresses, routes = ([bytes.fromhex(one) for one in several] for several in (record.addresses, record.routes))
        tap = self._tap_link
        try:
            if tap and self._has_moved:
                self._kernel.link(tap.index)  # or it is gone, and with it what the guest had there
                addresses = [moved_address(one, tap, self.link) for one in self._kernel.addresses(tap.index)]
                routes = [moved_route(one, tap, self.link) for one in self._kernel.routes(tap.index)]
            if tap:
                self._kernel.set_flag(tap.index, IFF_UP, on=False)
        except OSError as error:
            log.warning("%s: %s", self.tap_name, error.strerror)
        try:
            self._restore(record, addresses, routes)
        except (OSError, AgentError) as error:
            log.error("%s could not be given back, the next start of an agent will try again: %s", self.name, error)

    def _restore(self, record: Record, addresses: list[bytes], routes: list[bytes]) -> None:
        """Make the link what it was, as far as it can be: what fails is logged, and the rest is done."""
        kernel, index = self._kernel, record.index
        link = kernel.link(index)
        table = _table_of(index)
        _nft(f"add table netdev {table}", f"delete table netdev {table}")
        self._give("MTU", lambda: kernel.set_mtu(index, record.mtu))
        self._give("offloads", lambda: Features(self.name).set(record.features))
        self._give("ARP", lambda: kernel.set_flag(index, IFF_NOARP, on=bool(record.flags & IFF_NOARP)))
        if record.addr_gen_mode is not None:
            self._give("link-local addresses", partial(kernel.set_addr_gen_mode, index, record.addr_gen_mode))
        self._give("state", lambda: kernel.set_flag(index, IFF_UP, on=bool(record.flags & IFF_UP)))
        for address in addresses:
            self._give("address", partial(kernel.add_address, moved_address(address, link, link)))
        for route in routes:
            self._give("route", partial(kernel.add_route, moved_route(route, link, link)))
        self._record_path.unlink(missing_ok=True)

    def _give(self, what: str, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError as error:
            log.warning("%s does not get back its %s: %s", self.name, what, error.strerror)

    # Settings of the real device

    @property
    def mtu(self) -> int:
        """Return the MTU of the link."""
        return self._kernel.link(self._index).mtu

    @property
    def offload(self) -> Offload:
        """Return the offloads of the link."""
        return _features_of(self.name).offload

    def set_mtu(self, mtu: int) -> None:
        """Set the MTU of the link; the TAP keeps its own.  Raises OSError."""
        self._kernel.set_mtu(self._index, mtu)
        # Below 1280 the link has no IPv6, and from there on a new one that knows nothing of what was told to the old.
        self._strip()

    def set_offload(self, offload: Offload) -> None:
        """Set the offloads of the link.  Raises OSError."""
        Features(self.name).set_offload(offload)


def _features_of(name: str) -> Features:
    try:
        return Features(name)
    except OSError as error:
        raise AgentError(f"{name}: its offloads cannot be read: {error.strerror}") from None


def _table_of(index: int) -> str:
    return f"nvo3_agent_{index}"


def _nft(*commands: str) -> None:
    """Run commands of nft(8), all or none.  Raises AgentError."""
    done = subprocess.run(["nft", "-f", "-"], input="\n".join(commands) + "\n", capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [str(done.returncode)])[0]
        raise AgentError(f"nft failed ({reason}): is it run as root, and does the kernel have nf_tables' netdev hook?")
