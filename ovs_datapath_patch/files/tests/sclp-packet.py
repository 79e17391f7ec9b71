#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""Writes and reads packets for tunnel-sclp.at, in hex, one a line.

sclp-packet.py inner [NAME=VALUE]...         prints an Ethernet frame with TCP
sclp-packet.py build [NAME=VALUE]... FRAME   prints it as SCLP segments
sclp-packet.py show < PACKETS                prints what SCLP segments carry

It is written from the format and shares no code with what it tests.  The
functions of the same names tell what NAME may be.
"""

import struct
import sys

LOCAL_MAC = "aa55aa550000"
REMOTE_MAC = "f8bc124434b6"
SCLP = 234
UDP = 17
TCP = 6


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


def ipv4(proto, payload, src, dst, tos=0):
    header = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(payload), 1, 0x4000, 64, proto, 0) + src + dst
    return header[:10] + struct.pack("!H", fold(header) ^ 0xFFFF) + header[12:] + payload


def pseudo(src, dst, proto, size):
    return fold(src + dst + struct.pack("!LL", proto, size))


def inner(payload="10", seq="1", flags="0x18", csum="full", ip_id="1", tos="0"):
    """csum: full, or partial (the folded pseudo header)."""
    src, dst = address("10.0.0.1"), address("10.0.0.2")
    body = bytes((number(seq) - 1 + i) & 0xFF for i in range(number(payload)))
    tcp = struct.pack("!HHLLBBHHH", 1000, 2000, number(seq), 1, 0x50, number(flags), 0xFFFF, 0, 0) + body
    start = pseudo(src, dst, TCP, len(tcp))
    value = fold(tcp, start) ^ 0xFFFF if csum == "full" else start
    packet = ipv4(TCP, tcp[:16] + struct.pack("!H", value) + tcp[18:], src, dst, number(tos))
    packet = packet[:4] + struct.pack("!H", number(ip_id)) + b"\x40\0" + packet[8:10] + b"\0\0" + packet[12:]
    packet = packet[:10] + struct.pack("!H", fold(packet[:20]) ^ 0xFFFF) + packet[12:]
    yield bytes.fromhex("50540000000a505400000009") + b"\x08\0" + packet


def build(
    frame, id="1", vni="0", udp="0", port="4789", vxlan="0x08000000", low="0", cut="", order="", tos="0", bad="", remaining="", geneve=None
):
    """udp: its destination port, or 0; port: SCLP's; vxlan: the first 32 bits,
    low: the last 8; cut: where segments begin in the SCLP frame, but the
    first; order: of the segments that are wanted; tos: of each, the last
    one's for the rest; bad: segments with a wrong checksum; remaining: what
    the last one claims; geneve: its options, in hex, instead of VXLAN."""
    whole = struct.pack("!LL", number(vxlan), number(vni) << 8 | number(low)) + bytes.fromhex(frame)
    if geneve is not None:
        options = bytes.fromhex(geneve)
        whole = struct.pack("!BBHL", len(options) // 4, 0, 0x6558, number(vni) << 8) + options + bytes.fromhex(frame)
    cuts = [0] + numbers(cut) + [len(whole)]
    each_tos = numbers(tos)
    source, destination = address("1.1.2.92"), address("1.1.2.88")
    packets = []
    for i, (start, end) in enumerate(zip(cuts, cuts[1:], strict=False)):
        left = len(whole) - end or number(remaining or "0")
        record = struct.pack("!HHLHH", 40000, number(port), number(id) << 1 | (not i), left, 0) + whole[start:end]
        flip = i in numbers(bad)
        if number(udp):
            size = 8 + len(record)
            packet = struct.pack("!HHHH", 40000, number(udp), size, 0) + record
            csum = fold(packet, pseudo(source, destination, UDP, size)) ^ 0xFFFF ^ flip
            packet = packet[:6] + struct.pack("!H", csum or 0xFFFF) + packet[8:]
        else:
            packet = record[:10] + struct.pack("!H", fold(record) ^ 0xFFFF ^ flip) + record[12:]
        ip = ipv4(UDP if number(udp) else SCLP, packet, source, destination, each_tos[min(i, len(each_tos) - 1)])
        packets.append(bytes.fromhex(LOCAL_MAC + REMOTE_MAC) + b"\x08\0" + ip)
    return [packets[i] for i in numbers(order) or range(len(packets))]


def checked(ip):
    """Returns the SCLP record of 'ip', after saying what is wrong with it."""
    if fold(ip[:20]) != 0xFFFF:
        print("IP checksum wrong")
    if ip[9] == SCLP:
        if fold(ip[20:]) != 0xFFFF:
            print("SCLP checksum wrong")
        return ip[20:]
    if fold(ip[20:], pseudo(ip[12:16], ip[16:20], UDP, len(ip) - 20)) != 0xFFFF:
        print("UDP checksum wrong")
    if struct.unpack("!H", ip[24:26])[0] != len(ip) - 20:
        print("UDP length wrong")
    return ip[28:]


def describe(packets):
    """Returns what the packets of one frame say, from the first on."""
    ip, frame, sizes = packets[0], b"", []
    records = [packet[28:] if packet[9] == UDP else packet[20:] for packet in packets]
    left = sum(len(record) - 12 for record in records)
    for i, record in enumerate(records):
        left -= len(record) - 12
        if struct.unpack("!H", record[8:10])[0] != left or record[7] & 1 != (not i):
            return "segments do not fit"
        if record[:4] != records[0][:4] or packets[i][:2] != ip[:2] or packets[i][8] != ip[8]:
            return "segments differ"
        frame += record[12:]
        sizes.append(str(len(packets[i])))
    port = struct.unpack("!H", records[0][2:4])[0]
    size = 8 + 4 * (frame[0] & 0x3F) if port == 6081 else 8
    header = f"geneve={frame[:8].hex()},{frame[8:size].hex()}"
    if port != 6081:
        flags, vni = struct.unpack("!LL", frame[:8])
        header = f"vxlan={flags:#010x},{vni >> 8:#x},{vni & 0xFF}"
    words = ["udp={}".format(*struct.unpack("!H", ip[22:24])) if ip[9] == UDP else "ip"]
    words += [f"dst={'.'.join(map(str, ip[16:20]))}", f"port={port}", header]
    words += [f"tos={ip[1]:#x}"] if ip[1] else []
    words += [f"ttl={ip[8]}"] if ip[8] != 64 else []
    words += ["df"] if ip[6] & 0x40 else []
    return " ".join(words) + " sizes=" + ",".join(sizes) + "\n" + frame[size:].hex()


def show(lines):
    """Prints the SCLP frames in 'lines', whose segments are in order: a line
    about the headers, then the inner frame."""
    frame, id_ = [], None
    for line in lines:
        ip = bytes.fromhex(line)[14:]
        if ip[0] != 0x45 or ip[9] not in (SCLP, UDP):
            print("other " + line.strip())
            continue
        ip = ip[: struct.unpack("!H", ip[2:4])[0]]
        record = checked(ip)
        if frame and record[4:7] != id_:
            print("ids differ")
        frame.append(ip)
        id_ = record[4:7]
        if not struct.unpack("!H", record[8:10])[0]:
            print(describe(frame))
            frame = []
    if frame:
        print(f"unfinished: {len(frame)} segments")


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    named = dict(a.split("=", 1) for a in arguments if "=" in a)
    if command == "show":
        show(sys.stdin)
        return
    others = [a for a in arguments if "=" not in a]
    for packet in {"inner": inner, "build": build}[command](*others, **named):
        print(packet.hex())


main()
