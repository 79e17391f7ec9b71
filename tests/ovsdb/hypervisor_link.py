"""The link to a hypervisor's database, by itself.

    hypervisor_link.py REMOTE

Prints what it reports, a line of JSON each, and configures what it reads from standard input, until that ends: the payload of SCLP and the
ports whose vNICs encapsulate; `withdraw` lets go.
"""

# ruff: noqa: E402
import warnings

warnings.simplefilter("ignore", DeprecationWarning)
import eventlet

eventlet.monkey_patch()

import json
import sys
from uuid import UUID

from eventlet.green import os

from nvo3.model.event import HypervisorChanged
from nvo3.model.ids import Dpid
from nvo3.model.physical import Hypervisor
from nvo3.ovsdb.hypervisor import HypervisorLink


def _report(event: HypervisorChanged) -> None:
    print(json.dumps({"connected": event.connected, "configured": event.configured, "detail": event.detail}), flush=True)


def main() -> None:
    row = Hypervisor(UUID(int=1), "hv", sys.argv[1])
    ports: list[str] = []
    link = HypervisorLink(row, Dpid(0x4E56_0000_0000_0001), lambda local_ip: "tcp:127.0.0.1:6653", _report, lambda port: str(port) in ports)
    while lines := os.read(0, 4096).decode().splitlines():
        payload, *ports = lines[-1].split()
        if payload == "withdraw":
            link.stop(withdraw=True)
        else:
            link.configure(False, payload)


if __name__ == "__main__":
    main()
