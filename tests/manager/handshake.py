"""A switch as far as its handshake."""

import socket
import struct

from tests.manager.conftest import Manager


def openflow_handshake(manager: Manager, dpid: int) -> socket.socket:
    """Connect as a switch would, to the end of os-ken's handshake."""
    sock = socket.create_connection(("127.0.0.1", manager.openflow_port), timeout=5)
    sock.sendall(struct.pack("!BBHI", 4, 0, 8, 1))
    pending = b""
    while True:
        pending += sock.recv(4096)
        while len(pending) >= 8 and len(pending) >= (size := int.from_bytes(pending[2:4], "big")):
            message, pending = pending[:size], pending[size:]
            xid = message[4:8]
            if message[1] == 5:  # features request
                body = struct.pack("!QIBB2xII", dpid, 0, 254, 0, 0x4F, 0)
                sock.sendall(struct.pack("!BBH", 4, 6, 8 + len(body)) + xid + body)
            elif message[1] == 18:  # port description request
                sock.sendall(struct.pack("!BBH", 4, 19, 16) + xid + struct.pack("!HHI", 13, 0, 0))
                return sock
