-- SPDX-License-Identifier: Apache-2.0

-- SCLP for Wireshark and tshark, as docs/protocols/sclp.md describes it: IP
-- protocol 234, and UDP port 7234.
--
--     tshark -X lua_script:docs/protocols/sclp.lua -r capture.pcap
--
-- Segments are put together in any order, and VXLAN or Geneve, by SCLP's
-- destination port, goes to Wireshark's own dissector.  Filters begin with
-- "sclp."; "sclp.checksum.bad" and "sclp.frame" are the most useful.

local HEADER_SIZE = 12
local PROTOCOL = 234
local UDP_PORT = 7234
local MAX_AGE_S = 1    -- Of an unfinished frame whose id is used again.
local VXLAN_PORT, GENEVE_PORT = 4789, 6081    -- Of SCLP; the same as of UDP.

local OPTION_CLASS = 0xffea
local OPTION_TYPE = 0x81
local PARTIAL, IPV4, TCP = 0x02, 0x04, 0x08

local sclp = Proto("sclp", "Segment-oriented Connection-Less Protocol")
local sclp_udp = Proto("sclp_udp", "SCLP over UDP")

local f = {
    src_port = ProtoField.uint16("sclp.srcport", "Source port"),
    dst_port = ProtoField.uint16("sclp.dstport", "Destination port"),
    id = ProtoField.uint32("sclp.id", "Frame id", base.HEX),
    first = ProtoField.bool("sclp.first", "First segment", 32, nil, 1),
    remaining = ProtoField.uint16("sclp.remaining", "Remaining bytes"),
    checksum = ProtoField.uint16("sclp.checksum", "Checksum", base.HEX),
    length = ProtoField.uint16("sclp.len", "Segment length"),
    payload = ProtoField.bytes("sclp.segment", "Segment"),
    frame = ProtoField.uint32("sclp.frame", "Length of the frame"),
    done_in = ProtoField.framenum("sclp.reassembled_in", "Frame is complete in", base.NONE, frametype.NONE),
    offload = ProtoField.none("sclp.offload", "Inner frame's offload state"),
    flags = ProtoField.uint8("sclp.offload.flags", "Flags", base.HEX),
    partial = ProtoField.bool("sclp.offload.partial", "Checksum is partial", 8, nil, PARTIAL),
    ipv4 = ProtoField.bool("sclp.offload.ipv4", "Inner frame is IPv4", 8, nil, IPV4),
    tcp = ProtoField.bool("sclp.offload.tcp", "Inner frame is TCP", 8, nil, TCP),
    l4_offset = ProtoField.uint8("sclp.offload.l4_offset", "L4 offset"),
    mss = ProtoField.uint16("sclp.offload.mss", "MSS"),
}
sclp.fields = f

local e = {
    truncated = ProtoExpert.new("sclp.truncated", "Fewer bytes than a header and one of payload", expert.group.MALFORMED,
                                expert.severity.ERROR),
    checksum = ProtoExpert.new("sclp.checksum.bad", "Bad checksum", expert.group.CHECKSUM, expert.severity.ERROR),
    total = ProtoExpert.new("sclp.total.bad", "Frame shorter than 22 or longer than 65535 bytes", expert.group.PROTOCOL,
                            expert.severity.ERROR),
    conflict = ProtoExpert.new("sclp.conflict", "Contradicts earlier segments of the frame", expert.group.REASSEMBLE,
                               expert.severity.WARN),
    overlap = ProtoExpert.new("sclp.overlap", "Some or all of it was there already", expert.group.REASSEMBLE, expert.severity.NOTE),
}
sclp.experts = e

sclp.prefs.check_checksum = Pref.bool("Check the checksum", true, "Off for captures from a host that leaves checksums to its NIC")

local udp_checksum = Field.new("udp.checksum")

-- Reassembly.  Wireshark may dissect a packet again, and in any order; what
-- became of each record is found out once, in the order of the capture.
local unfinished  -- By key.
local records     -- By packet's number and the record's place in it.

function sclp.init()
    unfinished = {}
    records = {}
end

local function checksum_is_right(bytes)
    local sum = 0
    for i = 1, #bytes, 2 do
        local high, low = bytes:byte(i, i + 1)
        sum = sum + high * 256 + (low or 0)
    end
    while sum > 0xffff do
        sum = sum % 0x10000 + math.floor(sum / 0x10000)
    end
    return sum == 0xffff
end

-- Takes the segment, which covers [low, high) from the end, into the frame.
-- Returns what is wrong with it, or nil.
local function add_segment(frame, segment)
    local total = frame.total or segment.total
    if (segment.total and segment.total ~= total) or (total and math.max(segment.high, frame.extent) > total) then
        return e.conflict
    end
    for _, other in ipairs(frame) do
        if segment.low < other.high and other.low < segment.high then
            return e.overlap
        end
    end
    table.insert(frame, segment)
    frame.total = total
    frame.extent = math.max(frame.extent, segment.high)
    frame.received = frame.received + segment.high - segment.low
end

-- Returns the whole frame's bytes as a ByteArray.
local function join(frame)
    table.sort(frame, function(a, b) return a.high > b.high end)
    local bytes = {}
    for i, segment in ipairs(frame) do
        bytes[i] = segment.bytes
    end
    return ByteArray.new(table.concat(bytes), true)
end

-- Returns what became of a record that is seen for the first time: 'frame',
-- and 'fault' or, if it completed the frame, 'done'.
local function reassemble(key, segment, pinfo)
    local frame = unfinished[key]
    if not frame or pinfo.abs_ts - frame.since > MAX_AGE_S then
        frame = { extent = 0, received = 0, since = pinfo.abs_ts }
        unfinished[key] = frame
    end
    local fault = add_segment(frame, segment)
    local done = not fault and frame.received == frame.total
    if done then
        frame.bytes = join(frame)
        frame.done_in = pinfo.number
        unfinished[key] = nil
    end
    return { frame = frame, fault = fault, done = done }
end

local function add_offload(tree, range, flags, l4_offset, mss)
    local offload = tree:add(f.offload, range)
    local flags_tree = offload:add(f.flags, flags)
    flags_tree:add(f.partial, flags)
    flags_tree:add(f.ipv4, flags)
    flags_tree:add(f.tcp, flags)
    offload:add(f.l4_offset, l4_offset)
    offload:add(f.mss, mss)
end

-- Shows the offload state that a VXLAN or Geneve header holds.
local function show_offload(dst_port, frame, tree)
    if dst_port == VXLAN_PORT and bit.band(frame(1, 1):uint(), PARTIAL) ~= 0 then
        add_offload(tree, frame(0, 8), frame(1, 1), frame(7, 1), frame(2, 2))
    elseif dst_port == GENEVE_PORT and bit.band(frame(0, 1):uint(), 0x3f) >= 2 and frame:len() >= 16
        and frame(8, 2):uint() == OPTION_CLASS and frame(10, 1):uint() == OPTION_TYPE then
        add_offload(tree, frame(8, 8), frame(12, 1), frame(13, 1), frame(14, 2))
    end
end

local function dissect_frame(dst_port, frame, pinfo, tree, root)
    show_offload(dst_port, frame, tree)
    if dst_port == VXLAN_PORT or dst_port == GENEVE_PORT then
        DissectorTable.get("udp.port"):try(dst_port, frame, pinfo, root)
    else
        Dissector.get("data"):call(frame, pinfo, root)
    end
end

local function is_first(record)
    return record(7, 1):uint() % 2 == 1
end

local function id_of(record)
    local word = record(4, 4):uint()
    return word - word % 2
end

-- Dissects the header of a record.  Returns the tree, or nil if there is not
-- all of it, and whether the record may be used.
local function dissect_header(record, is_covered, root)
    local tree = root:add(sclp, record())
    if record:len() <= HEADER_SIZE then
        tree:add_proto_expert_info(e.truncated)
        return nil
    end
    local length = record:len() - HEADER_SIZE
    local checksum = record(10, 2)
    local extent = record(8, 2):uint() + length
    local good = true
    tree:add(f.src_port, record(0, 2))
    tree:add(f.dst_port, record(2, 2))
    tree:add(f.id, record(4, 4), id_of(record))
    tree:add(f.first, record(4, 4))
    tree:add(f.remaining, record(8, 2))
    local item = tree:add(f.checksum, checksum)
    if is_covered and checksum:uint() == 0 then
        item:append_text(" (none, UDP has one)")
    elseif sclp.prefs.check_checksum and not checksum_is_right(record:raw()) then
        item:add_proto_expert_info(e.checksum)
        good = false
    end
    tree:add(f.length, length):set_generated()
    if extent > 65535 or (is_first(record) and extent < 22) then
        tree:add_proto_expert_info(e.total)
        good = false
    end
    return tree, good
end

-- Dissects a record, the 'place'th of its packet.
local function dissect_record(record, place, is_udp, is_covered, pinfo, root)
    local tree, good = dissect_header(record, is_covered, root)
    if not tree then
        return
    end
    local payload = record(HEADER_SIZE)
    local dst_port = record(2, 2):uint()
    local remaining = record(8, 2):uint()
    local summary = string.format("id 0x%08x, %d bytes, %d remaining", id_of(record), payload:len(), remaining)
    tree:append_text(", " .. summary)
    pinfo.cols.info:set(summary)
    if not good then
        return
    end

    local packet = records[pinfo.number] or {}
    records[pinfo.number] = packet
    if not packet[place] then
        local high = remaining + payload:len()
        local key = table.concat({ tostring(is_udp), tostring(pinfo.src), tostring(pinfo.dst), record(0, 4):uint(), id_of(record) }, " ")
        packet[place] = reassemble(key, {
            low = remaining,
            high = high,
            total = is_first(record) and high or nil,
            bytes = payload:tvb():raw(),
        }, pinfo)
    end

    local fate = packet[place]
    tree:add(f.payload, payload)
    if fate.fault then
        tree:add_proto_expert_info(fate.fault)
    elseif fate.done then
        local is_whole = fate.frame.bytes:len() == payload:len()
        local whole = is_whole and payload:tvb() or fate.frame.bytes:tvb("SCLP frame")
        tree:add(f.frame, whole(), whole:len()):set_generated()
        dissect_frame(dst_port, whole, pinfo, tree, root)
    elseif fate.frame.done_in then
        tree:add(f.done_in, fate.frame.done_in):set_generated()
    end
end

function sclp.dissector(buffer, pinfo, root)
    pinfo.cols.protocol = "SCLP"
    if buffer:len() > HEADER_SIZE then
        pinfo.src_port = buffer(0, 2):uint()
        pinfo.dst_port = buffer(2, 2):uint()
    end
    dissect_record(buffer, 1, false, false, pinfo, root)
end

-- Returns true if records one each 'pitch' bytes make sense together: each
-- continues the one before or begins a frame where that has ended its own.
local function is_pitch(buffer, pitch)
    local id, remaining
    for at = 0, buffer:len() - 1, pitch do
        local length = math.min(pitch, buffer:len() - at) - HEADER_SIZE
        if length < 1 or buffer(at, 4):uint() ~= buffer(0, 4):uint() then
            return false
        end
        local word = buffer(at + 4, 4):uint()
        local behind = buffer(at + 8, 2):uint()
        if remaining and remaining > 0 and (word ~= id or behind + length ~= remaining) then
            return false
        elseif remaining == 0 and word % 2 == 0 then
            return false
        end
        id, remaining = word - word % 2, behind
    end
    return true
end

-- Returns the size of the datagrams that a captured packet was made of.  One
-- is the rule; on a host, the kernel may have joined several (UDP GRO) or not
-- cut them yet, and a capture does not say the size, as the virtio-net header
-- does.  So it is looked for where the first record's ports are seen again.
local function find_pitch(buffer)
    local bytes = buffer:raw()
    local ports = bytes:sub(1, 4)
    local at = #bytes > 2 * HEADER_SIZE and bytes:find(ports, HEADER_SIZE + 2, true)
    while at do
        if is_pitch(buffer, at - 1) then
            return at - 1
        end
        at = bytes:find(ports, at + 1, true)
    end
    return math.max(#bytes, 1)
end

function sclp_udp.dissector(buffer, pinfo, root)
    pinfo.cols.protocol = "SCLP/UDP"
    local checksums = { udp_checksum() }
    local is_covered = #checksums > 0 and checksums[#checksums].value ~= 0
    local pitch = find_pitch(buffer)
    local place = 0
    for at = 0, math.max(buffer:len() - 1, 0), pitch do
        local size = math.min(pitch, buffer:len() - at)
        place = place + 1
        dissect_record(buffer(at, size):tvb(), place, true, is_covered, pinfo, root)
    end
end

DissectorTable.get("ip.proto"):add(PROTOCOL, sclp)
DissectorTable.get("udp.port"):add(UDP_PORT, sclp_udp)
