#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""Writes and reads packets for tunnel-stt.at, in hex, one a line.

stt-packet.py inner [NAME=VALUE]...         prints an Ethernet frame
stt-packet.py build [NAME=VALUE]... FRAME   prints it as STT segments
stt-packet.py show < PACKETS                prints what STT segments carry
stt-packet.py flood N SOCKET                sends N unfinished frames

It is written from the draft (draft-davie-stt-08) and shares no code with what
it tests.  The functions of the same names tell what NAME may be.
"""

import socket
import struct
import sys

LOCAL_MAC = "aa55aa550000"
REMOTE_MAC = "f8bc124434b6"
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}


def fold(data, start=0):
    """Returns the one's complement sum of 'data'."""
    data += b"\0" * (len(data) % 2)
    total = start + sum(word for (word,) in struct.iter_unpack("!H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def address(text):
    return bytes(int(byte) for byte in text.split("."))


def number(text):
    return int(text, 0)


def numbers(text):
    return [number(item) for item in text.split(",") if item]


def ipv4(proto, payload, src, dst, tos=0, ttl=64, frag=0x4000, options=b"", ipid=1):
    size = 20 + len(options) + len(payload)
    header = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, tos, size, ipid, frag, ttl, proto, 0) + src + dst + options
    csum = fold(header) ^ 0xFFFF
    return header[:10] + struct.pack("!H", csum) + header[12:] + payload


def pseudo(src, dst, proto, size):
    return fold(src + dst + struct.pack("!LL", proto, size))


def l4(proto, payload, csum, src, dst, start, more):
    ports = (1000, 2000)
    body = bytes((start + i) & 0xFF for i in range(payload))
    if proto == "tcp":
        offset = 16
        flags = 0x10 if more else 0x18
        packet = struct.pack("!HHLLBBHHH", *ports, 1 + start, 1, 0x50, flags, 0xFFFF, 0, 0) + body
    elif proto == "udp":
        offset = 6
        packet = struct.pack("!HHHH", *ports, 8 + payload, 0) + body
    elif proto == "sctp":
        return struct.pack("!HHLL", *ports, 1, 0x01020304) + body
    else:
        offset = 2
        packet = struct.pack("!BBHHH", 8, 0, 0, 1, 1) + body
    sum_before = 0 if proto == "icmp" else pseudo(src, dst, PROTOCOLS[proto], len(packet))
    value = {"full": fold(packet, sum_before) ^ 0xFFFF, "partial": sum_before, "zero": 0}[csum]
    return packet[:offset] + struct.pack("!H", value) + packet[offset + 2 :]


def inner(
    proto="tcp",
    payload="10",
    csum="full",
    start="0",
    more="0",
    ipid="1",
    vlans="",
    ipv6="0",
    ext="",
    tos="0",
    ttl="64",
    frag="0x4000",
    mac="50540000000a505400000009",
    pad="0",
):
    """payload: its size; csum: full, partial (the folded pseudo header) or
    zero; start: of the payload in a stream, more: there is more of it; vlans:
    TPID,TCI,... from the outermost; ext: IPv6 extension headers in hex, before
    them the first one's type; pad: size of what follows the IP packet."""
    six = ipv6 != "0"
    if six:
        src, dst = (bytes([0xFD] + 14 * [0] + [i]) for i in (1, 2))
    else:
        src, dst = address("10.0.0.1"), address("10.0.0.2")
    packet = l4(proto, number(payload), csum, src, dst, number(start), more != "0")
    if six:
        extensions = bytes.fromhex(ext) or bytes([PROTOCOLS[proto]])
        packet = extensions[1:] + packet
        header = struct.pack("!LHBB", 6 << 28 | number(tos) << 20, len(packet), extensions[0], number(ttl))
        packet = header + src + dst + packet
    else:
        packet = ipv4(PROTOCOLS[proto], packet, src, dst, number(tos), number(ttl), number(frag), ipid=number(ipid))
    tags = b"".join(struct.pack("!H", tag) for tag in numbers(vlans))
    return [bytes.fromhex(mac) + tags + (b"\x86\xdd" if six else b"\x08\0") + packet + b"\0" * number(pad)]


def build(
    frame,
    src="1.1.2.92",
    dst="1.1.2.88",
    sport="40000",
    dport="7471",
    id="1",
    key="0",
    version="0",
    flags="0",
    l4="0",
    mss="0",
    vlan="0",
    cut="",
    order="",
    tos="0",
    ttl="64",
    frag="0x4000",
    options="",
    tcp_flags="0x10",
    doff="5",
    total="",
    offset="",
    pad="0",
    bad="",
    tag="",
):
    """cut: where segments begin in the STT frame, but the first; order: of
    the segments that are wanted; tos: of each, the last one's for the rest;
    bad: segments with a wrong checksum; tag: an outer TCI."""
    whole = struct.pack(
        "!BBBBHHQH", number(version), number(flags), number(l4), 0, number(mss), number(vlan), number(key), 0
    ) + bytes.fromhex(frame)
    cuts = [0] + numbers(cut) + [len(whole)]
    claimed = number(total) if total else len(whole)
    each_tos = numbers(tos)
    source, destination = address(src), address(dst)
    packets = []
    for i, (start, end) in enumerate(zip(cuts, cuts[1:], strict=False)):
        last = 8 if end == len(whole) else 0
        at = number(offset) if offset else start
        tcp = struct.pack(
            "!HHLLBBHHH",
            number(sport),
            number(dport),
            claimed << 16 | at,
            number(id),
            number(doff) << 4,
            number(tcp_flags) | last,
            0xFFFF,
            0,
            0,
        )
        tcp += whole[start:end]
        csum = fold(tcp, pseudo(source, destination, 6, len(tcp))) ^ 0xFFFF
        csum ^= i in numbers(bad)
        tcp = tcp[:16] + struct.pack("!H", csum) + tcp[18:]
        ip = ipv4(6, tcp, source, destination, each_tos[min(i, len(each_tos) - 1)], number(ttl), number(frag), bytes.fromhex(options))
        outer = struct.pack("!HH", 0x8100, number(tag)) if tag else b""
        packets.append(bytes.fromhex(LOCAL_MAC + REMOTE_MAC) + outer + b"\x08\0" + ip + b"\0" * number(pad))
    return [packets[i] for i in numbers(order) or range(len(packets))]


def inner_csum(frame, at, tcp, ipv4_inside):
    """Returns whether the checksum of 'frame' is as a header with P says."""
    l3 = 12
    while frame[l3 : l3 + 2] in (b"\x81\0", b"\x88\xa8"):
        l3 += 4
    l3 += 2
    if ipv4_inside:
        end = l3 + struct.unpack("!H", frame[l3 + 2 : l3 + 4])[0]
        addresses = frame[l3 + 12 : l3 + 20]
    else:
        end = l3 + 40 + struct.unpack("!H", frame[l3 + 4 : l3 + 6])[0]
        addresses = frame[l3 + 8 : l3 + 40]
    csum = at + (16 if tcp else 6)
    return frame[csum : csum + 2] == struct.pack("!H", fold(addresses + struct.pack("!LL", 6 if tcp else 17, end - at)))


def describe(segments):
    """Returns what the segments of one frame say, from the first on."""
    ip, tcp, frame, sizes = segments[0], segments[0][20:40], b"", []
    for segment in sorted(segments, key=lambda s: s[26:28]):
        total, offset = struct.unpack("!HH", segment[24:28])
        if offset != len(frame) or segment[28:32] != tcp[8:12]:
            return "segments do not fit"
        if segment[20:22] != tcp[:2] or segment[:2] != ip[:2]:
            return "segments differ"
        if bool(segment[33] & 8) != (offset + len(segment) - 40 == total):
            return "PSH is not at the end"
        frame += segment[40:]
        sizes.append(str(len(segment)))
    (version, flags, at, _, mss, vlan, key, padding) = struct.unpack("!BBBBHHQH", frame[:18])
    words = [f"dst={'.'.join(map(str, ip[16:20]))}", f"dport={struct.unpack('!H', tcp[2:4])[0]}"]
    words += [
        f"{name}={value:#x}"
        for name, value in (("tos", ip[1]), ("version", version), ("vlan", vlan), ("key", key), ("padding", padding))
        if value
    ]
    if ip[8] != 64:
        words.append(f"ttl={ip[8]}")
    words += ["df"] if ip[6] & 0x40 else []
    if flags:
        words.append(f"flags={flags:#x},l4={at},mss={mss}")
    if flags & 2 and not inner_csum(frame[18:], at, flags & 8, flags & 4):
        words.append("inner checksum wrong")
    words.append("sizes=" + ",".join(sizes))
    return " ".join(words) + "\n" + frame[18:].hex()


def show(lines):
    """Prints the STT frames in 'lines', in the order in which they become
    complete: a line of what is not the usual, then the inner frame."""
    waiting = {}
    for line in lines:
        packet = bytes.fromhex(line)
        ip = packet[14:]
        if packet[12:14] == b"\x81\0":
            print(f"tag={struct.unpack('!H', packet[14:16])[0]:#x}")
            ip = packet[18:]
        if ip[0] != 0x45 or ip[9] != 6:
            print("other " + line.strip())
            continue
        ip = ip[: struct.unpack("!H", ip[2:4])[0]]
        if fold(ip[:20]) != 0xFFFF:
            print("IP checksum wrong")
        if fold(ip[20:], pseudo(ip[12:16], ip[16:20], 6, len(ip) - 20)) != 0xFFFF:
            print("TCP checksum wrong")
        key = ip[12:20] + ip[28:32]
        segments = waiting.setdefault(key, [])
        segments.append(ip)
        if sum(len(segment) - 40 for segment in segments) == struct.unpack("!H", ip[24:26])[0]:
            print(describe(waiting.pop(key)))
    for segments in waiting.values():
        print(f"unfinished: {len(segments)} segments")


def flood(n, path):
    """Sends the first segments of 'n' frames to the dummy netdev that listens
    at 'path'; it takes them as fast as it can."""
    frame = bytes(100).hex()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        for i in range(int(n)):
            packet = build(frame, id=str(i), cut="100")[0]
            connection.sendall(struct.pack("!H", len(packet)) + packet)


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == "show":
        show(sys.stdin)
    elif command == "flood":
        flood(*arguments)
    else:
        named = dict(a.split("=", 1) for a in arguments if "=" in a)
        others = [a for a in arguments if "=" not in a]
        function = {"inner": inner, "build": build}[command]
        for packet in function(*others, **named):
            print(packet.hex())


main()
