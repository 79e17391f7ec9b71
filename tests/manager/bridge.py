"""A user's own bridge beside the overlay's, on one switch, under the same controller."""

from scapy.all import Ether, rdpcap

from tests.pipeline.switch import Switch, wait_for


class Bridge:
    """ports: dummies that record what they transmit, from OpenFlow port 1.  protocol: the one it speaks."""

    def __init__(self, switch: Switch, name: str, dpid: int, ports: list[str], openflow_port: int, protocol: str = "OpenFlow13") -> None:
        self._switch, self.name, self.dpid, self.ports, self._protocol = switch, name, dpid, ports, protocol
        options = ["datapath_type=dummy", f"other_config:datapath-id={dpid:016x}", f"protocols={protocol}"]
        switch.run("ovs-vsctl", "add-br", name, "--", "set", "bridge", name, *options)
        for n, port in enumerate(ports, 1):
            interface = ["type=dummy", f"ofport_request={n}", f"options:tx_pcap={switch.directory}/{port}.pcap"]
            switch.run("ovs-vsctl", "add-port", name, port, "--", "set", "interface", port, *interface)
        switch.run("ovs-vsctl", "set-controller", name, f"tcp:127.0.0.1:{openflow_port}")

    def flows(self) -> str:
        """Return the flows as ovs-ofctl prints them."""
        return self._switch.run("ovs-ofctl", "-O", self._protocol, "dump-flows", self.name)

    def deliver(self, port: str, *frames: Ether) -> set[str]:
        """Let frames arrive one after the other; return the ports that the last leaves by, and those before it do not.

        The controller has its say first.
        """
        before = self._transmitted()
        for frame in frames:
            self._switch.run("ovs-appctl", "netdev-dummy/receive", port, bytes(frame).hex())
        wait_for(lambda: any(bytes(frames[-1]) in packets[len(before[port]) :] for port, packets in self._transmitted().items()))
        grown = {port: packets[len(before[port]) :] for port, packets in self._transmitted().items()}
        assert all(packets in ([], [bytes(frames[-1])]) for packets in grown.values()), grown
        return {port for port, packets in grown.items() if packets}

    def _transmitted(self) -> dict[str, list[bytes]]:
        files = {port: self._switch.directory / f"{port}.pcap" for port in self.ports}
        return {port: [bytes(p) for p in rdpcap(str(file))] if file.stat().st_size > 24 else [] for port, file in files.items()}
