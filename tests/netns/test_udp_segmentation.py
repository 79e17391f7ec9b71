"""What a guest sends with UDP_SEGMENT, as QUIC does: the vNIC is handed many datagrams as one packet."""

import json
import subprocess

import pytest

from nvo3.lab import Lab
from tests.netns.underlay import IPV4, IPV6

pytestmark = pytest.mark.netns

_PORT = 4433
_SIZE = 1000
_N = 40
_REST = 123
_SEND = """
import socket, struct, sys
UDP_SEGMENT = 103  # linux/udp.h
address, port, size, n, rest = sys.argv[1], *map(int, sys.argv[2:])
sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, size)
sock.connect((address, port))
sock.send(b"".join(struct.pack("!H", i) * (size // 2) for i in range(n)) + b"r" * rest)
"""
_RECEIVE = """
import json, socket, struct, sys
address, port, n = sys.argv[1], *map(int, sys.argv[2:])
sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
sock.settimeout(5)
sock.bind((address, port))
print("ready", flush=True)
got = []
try:
    while len(got) < n:
        data = sock.recv(65536)
        got.append([len(data), struct.unpack("!H", data[:2])[0] if len(set(data[::2])) == len(set(data[1::2])) == 1 else -1])
except TimeoutError:
    pass
print(json.dumps(got))
"""


@pytest.mark.parametrize("encapsulation", ["stt", "sclp-udp", "sclp", "geneve", "vxlan", "gre"])
def test_each_datagram_arrives(underlay_lab: Lab, encapsulation: str) -> None:
    lab = underlay_lab
    path = "/v1/tenants/t/networks/small"
    with lab.client() as client:
        try:
            client.patch(path, json={"encapsulation": encapsulation}, wait="realized")
            for address in (IPV4[1], IPV6[1]):
                argv = ["python3", "-c", _RECEIVE, address, str(_PORT), str(_N + 1)]
                receiver = lab.popen("small2", argv, stdout=subprocess.PIPE)
                try:
                    assert receiver.stdout is not None and receiver.stdout.readline() == "ready\n"
                    lab.run("small1", ["python3", "-c", _SEND, address, *map(str, (_PORT, _SIZE, _N, _REST))])
                    got = json.loads(receiver.communicate(timeout=20)[0])
                finally:
                    receiver.kill()
                    receiver.wait()
                assert got == [[_SIZE, i] for i in range(_N)] + [[_REST, 0x7272]]
        finally:
            client.patch(path, json={"encapsulation": "auto"}, wait="realized")
