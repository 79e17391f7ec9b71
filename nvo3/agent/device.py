"""The two devices of an agent: a packet socket on the vNIC, and a TAP towards the guest's stack.

Frames of up to 64 KB cross both, each behind a virtio-net header (packet(7), `Documentation/networking/tuntap.rst` of Linux).
"""

import fcntl
import os
import socket
import struct

TUN_PATH = "/dev/net/tun"
BUFFER_BYTES = 8 << 20  # of the packet socket, each way: the default holds three frames

# <linux/if_packet.h>, <linux/if_ether.h>, <asm-generic/socket.h>
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_MR_PROMISC = 1
_PACKET_AUXDATA = 8
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_ETH_P_ALL = 3
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33

# <linux/if_tun.h>
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000
TUN_F_CSUM = 0x01
TUN_F_TSO4 = 0x02
TUN_F_TSO6 = 0x04
# Without TUN_F_TSO_ECN the kernel itself cuts what carries CWR.
TUN_F_ALL = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6


def open_link(interface: str) -> socket.socket:
    """Return a socket that sends and receives all frames of an interface.  Raises OSError."""
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    try:
        link.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        link.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        link.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        for option in (_SO_RCVBUFFORCE, _SO_SNDBUFFORCE):
            link.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        link.bind((interface, _ETH_P_ALL))
        # A NIC that filters knows neither the MAC of the tunnels' end, nor the groups that the guest's stack joins on the TAP.
        promiscuous = struct.pack("=iHH8x", socket.if_nametoindex(interface), _PACKET_MR_PROMISC, 0)
        link.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, promiscuous)
    except BaseException:
        link.close()
        raise
    return link


def open_tap(name: str) -> int:
    """Make a TAP, which goes with its descriptor, and return that.  Raises OSError."""
    tap = os.open(TUN_PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))
        set_offload(tap, TUN_F_ALL)
    except BaseException:
        os.close(tap)
        raise
    return tap


def set_offload(tap: int, features: int) -> None:
    """Say what the guest's stack may leave undone, a set of TUN_F_*.  Raises OSError."""
    fcntl.ioctl(tap, _TUNSETOFFLOAD, features)
