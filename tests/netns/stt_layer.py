"""STT for scapy, written from draft-davie-stt-08 alone: what others would send us and make of what we send.

A frame is STT / Ether / ...; on the wire it is cut into segments that look like TCP (section 3.1): the upper half of the sequence number is
the size of the frame, the lower half the segment's place in it; the acknowledgement number names the frame.
"""

from collections.abc import Iterable

from scapy.fields import BitField, ByteField, FlagsField, ShortField, XLongField, XShortField
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw, bind_layers

PORT = 7471


class STT(Packet):
    """The header of a frame (section 3.2); flags from the least significant bit, as implementations count them."""

    name = "STT"
    fields_desc = [
        ByteField("version", 0),
        FlagsField("flags", 0, 8, ["checksum_verified", "checksum_partial", "ipv4", "tcp", "r4", "r5", "r6", "r7"]),
        ByteField("l4_offset", 0),
        ByteField("reserved", 0),
        ShortField("mss", 0),
        BitField("pcp", 0, 3),
        BitField("v", 0, 1),
        BitField("vid", 0, 12),
        XLongField("context_id", 0),
        XShortField("padding", 0),
    ]


bind_layers(STT, Ether)


def segments(frame: Packet, outer: Packet, id_: int, mtu: int = 1500) -> list[Packet]:
    """Return the packets that carry an STT frame; outer: Ethernet and IPv4 header."""
    data = bytes(frame)
    room = mtu - 40
    return [
        outer
        / TCP(
            sport=40001,
            dport=PORT,
            seq=len(data) << 16 | offset,
            ack=id_,
            flags="PA" if offset + room >= len(data) else "A",
            window=0,  # as the draft has it
        )
        / Raw(data[offset : offset + room])
        for offset in range(0, len(data), room)
    ]


def frames(packets: Iterable[Packet]) -> list[Packet]:
    """Put together the frames of captured packets, in the order in which they became whole.

    Fails for a packet that is not as the draft, and our own document, want it.
    """
    parts: dict[tuple[str, str, int, int], dict[int, bytes]] = {}
    found = []
    for packet in packets:
        ip, tcp = packet[IP], packet[TCP]
        payload = bytes(tcp.payload)[: ip.len - 4 * ip.ihl - 4 * tcp.dataofs]
        total, offset = tcp.seq >> 16, tcp.seq & 0xFFFF
        checked = ip.copy()
        del checked.chksum, checked[TCP].chksum
        rebuilt = IP(bytes(checked))
        assert (ip.chksum, tcp.chksum) == (rebuilt.chksum, rebuilt[TCP].chksum)
        assert ip.len <= 1500 and ip.flags == "DF" and ip.frag == 0
        assert (tcp.dataofs, tcp.urgptr, tcp.reserved) == (5, 0, 0)
        assert tcp.flags == ("PA" if offset + len(payload) == total else "A")
        assert 0 < len(payload) <= total - offset
        pieces = parts.setdefault((ip.src, ip.dst, tcp.ack, total), {})
        assert offset not in pieces
        pieces[offset] = payload
        if sum(map(len, pieces.values())) == total:
            found.append(STT(b"".join(pieces[place] for place in sorted(pieces))))
            del parts[ip.src, ip.dst, tcp.ack, total]
    assert not parts, "frames that are not whole"
    return found
