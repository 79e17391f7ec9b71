/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "be.h"
#include "check.h"
#include "checksum.h"
#include "stt.h"

/* Pseudo-TCP header, by hand. */

#define TCP_SIZE 20

static uint8_t packet[65536];
static uint8_t *const tcp = packet;

/* Makes a good pseudo-TCP header: 45 segments' worth, at 'offset'. */
static void
make_tcp(uint16_t total, uint16_t offset)
{
    static const uint8_t header[TCP_SIZE] = {
        0x80, 0x01, 0x1d, 0x2f,             /* Ports 32769, 7471. */
        0x00, 0x00, 0x00, 0x00,
        0xde, 0xad, 0xbe, 0xef,             /* Id. */
        0x50, 0x10, 0xff, 0xff,             /* No options, ACK, window. */
        0x00, 0x00, 0x00, 0x00,
    };

    memcpy(tcp, header, sizeof header);
    be16_store(tcp + 4, total);
    be16_store(tcp + 6, offset);
}

static struct stt_segment seg;

static enum stt_verdict
parse_tcp(size_t payload)
{
    return stt_segment_parse(&seg, tcp, TCP_SIZE + payload);
}

TEST(stt_segment_fields)
{
    make_tcp(65000, 1440);
    CHECK_EQ(parse_tcp(1440), STT_OK);
    CHECK_EQ(seg.src_port, 32769);
    CHECK_EQ(seg.dst_port, STT_DST_PORT);
    CHECK_EQ(seg.id, 0xdeadbeef);
    CHECK_EQ(seg.total, 65000);
    CHECK_EQ(seg.offset, 1440);
    CHECK_EQ(seg.length, 1440);
}

TEST(stt_segment_truncated)
{
    make_tcp(1000, 0);
    for (size_t size = 0; size < TCP_SIZE; size++) {
        CHECK_EQ(stt_segment_parse(&seg, tcp, size), STT_TCP_TRUNCATED);
    }
}

TEST(stt_segment_data_offset_not_5)
{
    for (unsigned int doff = 0; doff < 16; doff++) {
        make_tcp(1000, 0);
        tcp[12] = (uint8_t) (doff << 4);
        CHECK_EQ(parse_tcp(100), doff == 5 ? STT_OK : STT_TCP_OFFSET);
    }
}

TEST(stt_segment_flags)
{
    for (unsigned int flags = 0; flags < 256; flags++) {
        bool is_bad = flags & 0x27;         /* FIN, SYN, RST, URG. */

        make_tcp(1000, 0);
        tcp[13] = (uint8_t) flags;
        CHECK_EQ(parse_tcp(100), is_bad ? STT_TCP_FLAGS : STT_OK);
    }
}

TEST(stt_segment_zero_length)
{
    make_tcp(1000, 0);
    CHECK_EQ(parse_tcp(0), STT_EMPTY);
}

TEST(stt_segment_total_below_both_headers)
{
    make_tcp(18 + 14 - 1, 0);
    CHECK_EQ(parse_tcp(1), STT_TOTAL);
    make_tcp(18 + 14, 0);
    CHECK_EQ(parse_tcp(1), STT_OK);
    make_tcp(0, 0);
    CHECK_EQ(parse_tcp(1), STT_TOTAL);
}

TEST(stt_segment_total_65535)
{
    make_tcp(65535, 65534);
    CHECK_EQ(parse_tcp(1), STT_OK);
    make_tcp(65535, 65535);
    CHECK_EQ(parse_tcp(1), STT_PAST_END);
    make_tcp(65535, 0);
    CHECK_EQ(parse_tcp(65515), STT_OK);
    CHECK_EQ(parse_tcp(65536), STT_PAST_END);
}

TEST(stt_segment_offset_and_length_past_the_total)
{
    make_tcp(1000, 900);
    CHECK_EQ(parse_tcp(100), STT_OK);
    CHECK_EQ(parse_tcp(101), STT_PAST_END);
    make_tcp(1000, 1000);
    CHECK_EQ(parse_tcp(1), STT_PAST_END);
    make_tcp(1000, 65535);
    CHECK_EQ(parse_tcp(1), STT_PAST_END);
}

TEST(stt_segment_sequence_does_not_carry)
{
    /* The last segment of the largest frame: the offset stays in its half. */
    struct stt_segment last = {
        .src_port = 1, .dst_port = 2, .id = 3,
        .total = 65535, .offset = 64800, .length = 735,
    };

    stt_segment_put(tcp, &last);
    CHECK_EQ(be32_load(tcp + 4), 0xffff0000u + 64800);
    CHECK_EQ(parse_tcp(735), STT_OK);
    CHECK_EQ(parse_tcp(736), STT_PAST_END);
}

TEST(stt_segment_put_writes_every_byte)
{
    static const uint8_t expected[2][TCP_SIZE] = {
        { 0x80, 0x01, 0x1d, 0x2f, 0x03, 0xe8, 0x00, 0x00, 0xde, 0xad, 0xbe,
          0xef, 0x50, 0x10, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00 },
        { 0x80, 0x01, 0x1d, 0x2f, 0x03, 0xe8, 0x01, 0xf4, 0xde, 0xad, 0xbe,
          0xef, 0x50, 0x18, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00 },
    };

    for (int i = 0; i < 2; i++) {
        struct stt_segment s = {
            .src_port = 32769, .dst_port = 7471, .id = 0xdeadbeef,
            .total = 1000, .offset = (uint16_t) (i * 500), .length = 500,
        };

        memset(tcp, 0xa5, TCP_SIZE + 1);
        stt_segment_put(tcp, &s);
        CHECK(!memcmp(tcp, expected[i], TCP_SIZE));
        CHECK_EQ(tcp[TCP_SIZE], 0xa5);
    }
}

/* The packet around it. */

/* Makes an IPv4 packet with IP options of 'options' bytes and 100 bytes of
 * payload, and right checksums. */
static size_t
make_packet(size_t options)
{
    uint8_t *ip = packet;
    size_t header = 20 + options;
    size_t size = header + TCP_SIZE + 100;

    make_tcp(1000, 0);
    memmove(packet + header, tcp, TCP_SIZE);
    memset(packet, 0, header);
    memset(packet + header + TCP_SIZE, 0x5a, 200);
    memset(packet + 20, 1, options);        /* No operation. */
    ip[0] = (uint8_t) (0x40 | header / 4);
    ip[1] = 0x03;                           /* CE. */
    be16_store(ip + 2, (uint16_t) size);
    be16_store(ip + 6, 0x4000);
    ip[8] = 63;
    ip[9] = 6;
    be32_store(ip + 12, 0xc0000201);
    be32_store(ip + 16, 0xc0000202);
    be16_store(ip + 10, checksum_finish(checksum_add(0, ip, header)));
    be16_store(ip + header + 16, checksum_finish(checksum_add(
        checksum_pseudo_ipv4(0xc0000201, 0xc0000202, 6, TCP_SIZE + 100),
        ip + header, TCP_SIZE + 100)));
    return size;
}

static struct stt_packet parsed;

static enum stt_verdict
parse_packet(size_t size)
{
    return stt_packet_parse(&parsed, packet, size, 0);
}

/* Makes the IP header's checksum right again. */
static void
repair_ip(void)
{
    be16_store(packet + 10, 0);
    be16_store(packet + 10, checksum_finish(checksum_add(
        0, packet, 4 * (packet[0] & 15u))));
}

TEST(stt_packet_fields)
{
    size_t size = make_packet(0);

    CHECK_EQ(parse_packet(size), STT_OK);
    CHECK_EQ(parsed.src, 0xc0000201);
    CHECK_EQ(parsed.dst, 0xc0000202);
    CHECK_EQ(parsed.tos, 3);
    CHECK_EQ(parsed.ttl, 63);
    CHECK_EQ(parsed.payload_offset, 40);
    CHECK_EQ(parsed.segment.length, 100);
}

TEST(stt_packet_ip_options)
{
    for (size_t options = 4; options <= 40; options += 4) {
        size_t size = make_packet(options);

        CHECK_EQ(parse_packet(size), STT_OK);
        CHECK_EQ(parsed.payload_offset, 40 + options);
        CHECK_EQ(parsed.segment.length, 100);
    }
}

TEST(stt_packet_ethernet_padding_is_trimmed)
{
    size_t size = make_packet(0);

    CHECK_EQ(parse_packet(size + 46), STT_OK);
    CHECK_EQ(parsed.segment.length, 100);
}

TEST(stt_packet_truncated)
{
    size_t size = make_packet(8);

    for (size_t i = 0; i < size; i++) {
        CHECK_EQ(parse_packet(i), STT_IP_TRUNCATED);
    }
}

TEST(stt_packet_header_lengths)
{
    size_t size = make_packet(0);

    packet[0] = 0x65;
    CHECK_EQ(parse_packet(size), STT_IP_HEADER);
    packet[0] = 0x44;
    CHECK_EQ(parse_packet(size), STT_IP_HEADER);
    packet[0] = 0x46;
    be16_store(packet + 2, 23);
    CHECK_EQ(parse_packet(size), STT_IP_HEADER);
}

TEST(stt_packet_ip_fragment)
{
    static const uint16_t bad[] = { 0x2000, 0x0001, 0x1fff, 0x6000 };
    size_t size = make_packet(0);

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        be16_store(packet + 6, bad[i]);
        repair_ip();
        CHECK_EQ(parse_packet(size), STT_IP_FRAGMENT);
    }
    be16_store(packet + 6, 0);
    repair_ip();
    CHECK_EQ(parse_packet(size), STT_OK);
}

TEST(stt_packet_other_protocol)
{
    size_t size = make_packet(0);

    packet[9] = 17;
    repair_ip();
    CHECK_EQ(parse_packet(size), STT_IP_PROTOCOL);
}

TEST(stt_packet_each_bit_is_under_a_checksum)
{
    size_t size = make_packet(4);

    for (size_t i = 0; i < 8 * size; i++) {
        packet[i / 8] ^= (uint8_t) (1 << i % 8);
        CHECK(parse_packet(size) != STT_OK);
        packet[i / 8] ^= (uint8_t) (1 << i % 8);
    }
    CHECK_EQ(parse_packet(size), STT_OK);
}

TEST(stt_packet_checksum_of_each_segment_counts)
{
    size_t size = make_packet(0);

    packet[size - 1] ^= 1;
    CHECK_EQ(parse_packet(size), STT_TCP_CHECKSUM);
    CHECK_EQ(stt_packet_parse(&parsed, packet, size, STT_TRUST_TCP_CSUM),
             STT_OK);
    CHECK_EQ(stt_packet_parse(&parsed, packet, size, STT_TRUST_IP_CSUM),
             STT_TCP_CHECKSUM);
    packet[size - 1] ^= 1;
    packet[8]--;
    CHECK_EQ(parse_packet(size), STT_IP_CHECKSUM);
    CHECK_EQ(stt_packet_parse(&parsed, packet, size, STT_TRUST_IP_CSUM),
             STT_OK);
}

/* STT header. */

static uint8_t wire[65536];
static struct stt_header hdr;

static enum stt_verdict
parse_header(uint8_t flags, uint8_t l4_offset, uint16_t mss)
{
    wire[1] = flags;
    wire[2] = l4_offset;
    be16_store(wire + 4, mss);
    return stt_header_parse(&hdr, wire, STT_TOTAL_MIN);
}

TEST(stt_header_version_is_not_0)
{
    for (unsigned int version = 1; version < 256; version++) {
        wire[0] = (uint8_t) version;
        CHECK_EQ(parse_header(0, 0, 0), STT_VERSION);
    }
    wire[0] = 0;
    CHECK_EQ(parse_header(0, 0, 0), STT_OK);
}

TEST(stt_header_truncated)
{
    for (size_t size = 0; size < STT_TOTAL_MIN; size++) {
        CHECK_EQ(stt_header_parse(&hdr, wire, size), STT_FRAME_TRUNCATED);
    }
}

TEST(stt_header_c_and_p_exclude_each_other)
{
    CHECK_EQ(parse_header(0x01, 0, 0), STT_OK);
    CHECK_EQ(hdr.flags, STT_F_CSUM_VERIFIED);
    CHECK_EQ(parse_header(0x02, 34, 0), STT_OK);
    CHECK_EQ(hdr.flags, STT_F_CSUM_PARTIAL);
    CHECK_EQ(parse_header(0x03, 34, 0), STT_FLAGS);
    CHECK_EQ(parse_header(0x0f, 34, 1400), STT_FLAGS);
}

TEST(stt_header_mss_needs_p_and_t)
{
    CHECK_EQ(parse_header(0x0e, 34, 1400), STT_OK);
    CHECK_EQ(hdr.mss, 1400);
    CHECK_EQ(hdr.flags, 0x0e);
    CHECK_EQ(parse_header(0x0c, 34, 1400), STT_MSS);
    CHECK_EQ(parse_header(0x0d, 34, 1400), STT_MSS);
    CHECK_EQ(parse_header(0x06, 34, 1400), STT_MSS);
    CHECK_EQ(parse_header(0x00, 0, 1400), STT_MSS);
}

TEST(stt_header_mss_0_1_huge)
{
    CHECK_EQ(parse_header(0x0e, 34, 0), STT_OK);
    CHECK_EQ(parse_header(0x0e, 34, 1), STT_MSS);
    CHECK_EQ(parse_header(0x0e, 34, STT_MSS_MIN - 1), STT_MSS);
    CHECK_EQ(parse_header(0x0e, 34, STT_MSS_MIN), STT_OK);
    CHECK_EQ(parse_header(0x0e, 34, 65535), STT_OK);
}

TEST(stt_header_ignores_what_has_no_meaning)
{
    wire[3] = 0xff;                         /* Reserved. */
    wire[16] = wire[17] = 0xff;             /* Padding. */
    CHECK_EQ(parse_header(0xfc, 77, 0), STT_OK);
    CHECK_EQ(hdr.flags, 0);
    CHECK_EQ(hdr.l4_offset, 0);
    CHECK_EQ(parse_header(0xfd, 77, 0), STT_OK);
    CHECK_EQ(hdr.flags, STT_F_CSUM_VERIFIED);
}

static void
check_vlan(uint16_t value, bool has_vlan, uint16_t tci)
{
    be16_store(wire + 6, value);
    CHECK_EQ(parse_header(0, 0, 0), STT_OK);
    CHECK_EQ(hdr.has_vlan, has_vlan);
    CHECK_EQ(hdr.vlan_tci, tci);
}

TEST(stt_header_vlan_none) { check_vlan(0x0000, false, 0); }
TEST(stt_header_vlan_0) { check_vlan(0x1000, true, 0); }
TEST(stt_header_vlan_1) { check_vlan(0x1001, true, 1); }
TEST(stt_header_vlan_4095) { check_vlan(0x1fff, true, 4095); }
TEST(stt_header_vlan_pcp_only) { check_vlan(0xf000, true, 0xe000); }
TEST(stt_header_vlan_without_v) { check_vlan(0xa005, true, 0xa005); }

TEST(stt_header_full_64_bit_key)
{
    struct stt_header h = { .context_id = 0xfedcba9876543210 };

    CHECK_EQ(stt_header_put(wire, &h), 0);
    CHECK_EQ(stt_header_parse(&hdr, wire, STT_TOTAL_MIN), STT_OK);
    CHECK_EQ(hdr.context_id, h.context_id);
}

TEST(stt_header_put_writes_every_byte)
{
    static const uint8_t expected[STT_HEADER_SIZE] = {
        0x00, 0x0e, 0x22, 0x00, 0x05, 0x78, 0xb0, 0x64,
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x00, 0x00,
    };
    struct stt_header h = {
        .flags = 0x0e, .l4_offset = 34, .mss = 1400,
        .has_vlan = true, .vlan_tci = 0xa064,
        .context_id = 0x0102030405060708,
    };

    memset(wire, 0xa5, STT_HEADER_SIZE + 1);
    CHECK_EQ(stt_header_put(wire, &h), 0);
    CHECK(!memcmp(wire, expected, sizeof expected));
    CHECK_EQ(wire[STT_HEADER_SIZE], 0xa5);
}

static void
check_unwritable(struct stt_header h)
{
    memset(wire, 0xa5, STT_HEADER_SIZE);
    CHECK_EQ(stt_header_put(wire, &h), EINVAL);
    CHECK_EQ(wire[0], 0xa5);
}

TEST(stt_header_put_refuses_what_a_peer_would_drop)
{
    check_unwritable((struct stt_header) { .flags = 0x03 });
    check_unwritable((struct stt_header) { .flags = 0x10 });
    check_unwritable((struct stt_header) { .flags = 0x04 });
    check_unwritable((struct stt_header) { .l4_offset = 34 });
    check_unwritable((struct stt_header) { .mss = 1400 });
    check_unwritable((struct stt_header) { .flags = 0x0e, .mss = 1 });
    check_unwritable((struct stt_header) { .flags = 0x06, .mss = 1400 });
    check_unwritable((struct stt_header) { .vlan_tci = 5 });
    check_unwritable((struct stt_header) { .has_vlan = true,
                                           .vlan_tci = 0x1005 });
}

TEST(stt_verdicts_have_names)
{
    for (int i = 0; i < STT_N_VERDICTS; i++) {
        CHECK(*stt_verdict_name((enum stt_verdict) i));
        CHECK(*stt_verdict_text((enum stt_verdict) i));
    }
}
