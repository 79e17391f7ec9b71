/* SPDX-License-Identifier: Apache-2.0 */

/* Single headers and packets are in the vectors of tests/vectors/sclp/; here
 * is what needs more than one, or a range of values. */

#include <string.h>

#include "be.h"
#include "check.h"
#include "checksum.h"
#include "ip.h"
#include "sclp.h"

static uint8_t packet[65536];
static struct sclp_packet outer;
static struct sclp_segment seg;
static uint32_t offset;

/* Writes the record of a segment of 'length' bytes to 'sclp'; returns behind
 * it. */
static uint8_t *
put_record(uint8_t *sclp, uint32_t id, bool is_first, uint16_t remaining,
           uint16_t length)
{
    struct sclp_segment s = {
        .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = id,
        .is_first = is_first, .remaining = remaining,
    };

    sclp_segment_put(sclp, &s);
    memset(sclp + SCLP_HEADER_SIZE, 0x5a, length);
    return sclp + SCLP_HEADER_SIZE + length;
}

/* Writes the outer headers of a packet whose records end at 'end'. */
static size_t
put_outer(const uint8_t *end, bool is_udp)
{
    size_t size = (size_t) (end - packet);

    memset(packet, 0, IPV4_HEADER_SIZE);
    packet[IPV4_VERSION_IHL] = 0x45;
    be16_store(packet + IPV4_LENGTH, (uint16_t) size);
    packet[IPV4_TTL] = 64;
    packet[IPV4_PROTOCOL] = is_udp ? PROTO_UDP : SCLP_PROTOCOL;
    be32_store(packet + IPV4_SRC, 0xc0000201);
    be32_store(packet + IPV4_DST, 0xc0000202);
    be16_store(packet + IPV4_CSUM, checksum_finish(checksum_add(
        0, packet, IPV4_HEADER_SIZE)));
    if (is_udp) {
        uint8_t *udp = packet + IPV4_HEADER_SIZE;

        be16_store(udp + UDP_SRC_PORT, 40000);
        be16_store(udp + UDP_DST_PORT, SCLP_UDP_PORT);
        be16_store(udp + UDP_LENGTH, (uint16_t) (size - IPV4_HEADER_SIZE));
        be16_store(udp + UDP_CSUM, 0xbad);
    }
    return size;
}

static uint8_t *const in_ip = packet + IPV4_HEADER_SIZE;
static uint8_t *const in_udp = packet + IPV4_HEADER_SIZE + UDP_HEADER_SIZE;

/* Parses the packet as the host's kernel has left it, its checksum partial. */
static enum sclp_verdict
parse_super(size_t size, size_t gso_size)
{
    return sclp_packet_parse(&outer, packet, size, gso_size,
                             SCLP_TRUST_UDP_CSUM);
}

static enum sclp_verdict
next(void)
{
    enum sclp_verdict verdict;

    CHECK(sclp_packet_next(&outer, &seg, &offset, &verdict));
    return verdict;
}

static void
check_end(void)
{
    enum sclp_verdict verdict;

    CHECK(!sclp_packet_next(&outer, &seg, &offset, &verdict));
}

TEST(sclp_verdicts_have_names)
{
    for (int i = 0; i < SCLP_N_VERDICTS; i++) {
        CHECK(*sclp_verdict_name((enum sclp_verdict) i));
        CHECK(*sclp_verdict_text((enum sclp_verdict) i));
    }
}

TEST(sclp_segment_put_writes_every_byte)
{
    static const uint8_t expected[SCLP_HEADER_SIZE + 1] = {
        0x9c, 0x40, 0x12, 0xb5, 0x12, 0x34, 0x56, 0x79, 0x05, 0xfc, 0x00, 0x00,
        0xa5
    };
    uint8_t sclp[SCLP_HEADER_SIZE + 1];

    memset(sclp, 0xa5, sizeof sclp);
    put_record(sclp, 0x12345678, true, 1532, 0);
    CHECK(!memcmp(sclp, expected, sizeof sclp));

    /* The flag never comes from the id. */
    put_record(sclp, 0x12345679, false, 1532, 0);
    CHECK_EQ(be32_load(sclp + 4), 0x12345678);
}

TEST(sclp_total_is_told_by_the_first_segment_only)
{
    seg = (struct sclp_segment) { .is_first = true, .remaining = 1532,
                                  .length = 1468 };
    CHECK_EQ(sclp_segment_total(&seg), 3000);
    seg.is_first = false;
    CHECK_EQ(sclp_segment_total(&seg), 0);
}

/* With a checksum that something else has checked, its field is not looked
 * at: it holds what a NIC is to complete. */
TEST(sclp_trusted_checksums_are_not_looked_at)
{
    size_t size = put_outer(put_record(in_ip, 2, true, 0, 100), false);

    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, 0), SCLP_OK);
    CHECK_EQ(next(), SCLP_SCLP_CHECKSUM);
    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, SCLP_TRUST_CSUM),
             SCLP_OK);
    CHECK_EQ(next(), SCLP_OK);
    check_end();
    packet[IPV4_CSUM]++;
    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, SCLP_TRUST_CSUM),
             SCLP_IP_CHECKSUM);
    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0,
                               SCLP_TRUST_CSUM | SCLP_TRUST_IP_CSUM), SCLP_OK);

    size = put_outer(put_record(in_udp, 2, true, 0, 100), true);
    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, 0),
             SCLP_UDP_CHECKSUM);
    CHECK_EQ(parse_super(size, 0), SCLP_OK);
    CHECK_EQ(next(), SCLP_OK);
    CHECK_EQ(offset, IPV4_HEADER_SIZE + UDP_HEADER_SIZE + SCLP_HEADER_SIZE);
}

/* UDP's checksum trusted says nothing of a native packet, nor SCLP's of one
 * over UDP. */
TEST(sclp_trust_is_of_one_checksum)
{
    size_t size = put_outer(put_record(in_ip, 2, true, 0, 100), false);

    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, SCLP_TRUST_UDP_CSUM),
             SCLP_OK);
    CHECK_EQ(next(), SCLP_SCLP_CHECKSUM);
    size = put_outer(put_record(in_udp, 2, true, 0, 100), true);
    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, SCLP_TRUST_CSUM),
             SCLP_UDP_CHECKSUM);
    be16_store(packet + IPV4_HEADER_SIZE + UDP_CSUM, 0);
    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 0, SCLP_TRUST_CSUM),
             SCLP_OK);
    CHECK_EQ(next(), SCLP_SCLP_CHECKSUM);
}

TEST(sclp_super_packet_of_44_records)
{
    uint8_t *end = in_udp;
    size_t size;

    for (uint32_t i = 0; i < 44; i++) {
        end = put_record(end, 0xcafe, !i, (uint16_t) ((43 - i) * 1460), 1460);
    }
    size = put_outer(end, true);
    CHECK_EQ(parse_super(size, 1472), SCLP_OK);
    for (uint32_t i = 0; i < 44; i++) {
        CHECK_EQ(next(), SCLP_OK);
        CHECK_EQ(seg.is_first, !i);
        CHECK_EQ(seg.remaining, (43 - i) * 1460);
        CHECK_EQ(seg.length, 1460);
        CHECK_EQ(offset, 28 + i * 1472 + 12);
    }
    check_end();
}

/* A pitch below a header gives records that are too short, and an end. */
TEST(sclp_super_packet_with_a_senseless_pitch)
{
    size_t size = put_outer(put_record(in_udp, 2, true, 0, 100), true);

    for (size_t gso_size = 1; gso_size <= SCLP_HEADER_SIZE; gso_size++) {
        size_t n = (SCLP_HEADER_SIZE + 100 + gso_size - 1) / gso_size;

        CHECK_EQ(parse_super(size, gso_size), SCLP_OK);
        for (size_t i = 0; i < n; i++) {
            CHECK(next() != SCLP_OK);
        }
        check_end();
    }
    CHECK_EQ(parse_super(size, SIZE_MAX), SCLP_OK);
    CHECK_EQ(next(), SCLP_OK);
    CHECK_EQ(seg.length, 100);
    check_end();
}

TEST(sclp_gso_size_does_not_cut_native_packets)
{
    size_t size = put_outer(put_record(in_ip, 2, true, 0, 100), false);

    CHECK_EQ(sclp_packet_parse(&outer, packet, size, 50, SCLP_TRUST_CSUM),
             SCLP_OK);
    CHECK_EQ(next(), SCLP_OK);
    CHECK_EQ(seg.length, 100);
    check_end();
}

/* Level 1. */

static const struct sclp_packet from = { .src = 1, .dst = 2 };
static const struct sclp_segment head = {
    .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = 0xcafe,
    .is_first = true, .remaining = 1532, .length = 1468,
};
static const struct sclp_segment middle = {
    .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = 0xcafe,
    .remaining = 64, .length = 1468,
};
static const struct sclp_segment tail = {
    .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = 0xcafe,
    .remaining = 0, .length = 64,
};

TEST(sclp_merge_of_the_slides)
{
    seg = head;
    CHECK(sclp_is_next(&from, &seg, &from, &middle));
    sclp_merge(&seg, &middle);
    CHECK(seg.is_first);
    CHECK_EQ(seg.length, 2936);
    CHECK_EQ(seg.remaining, 64);
    CHECK(sclp_is_next(&from, &seg, &from, &tail));
    sclp_merge(&seg, &tail);
    CHECK_EQ(seg.length, 3000);
    CHECK_EQ(seg.remaining, 0);
    CHECK_EQ(sclp_segment_total(&seg), 3000);
}

TEST(sclp_merge_without_the_first)
{
    seg = middle;
    CHECK(sclp_is_next(&from, &seg, &from, &tail));
    sclp_merge(&seg, &tail);
    CHECK(!seg.is_first);
    CHECK_EQ(seg.length, 1532);
    CHECK_EQ(sclp_segment_total(&seg), 0);
}

TEST(sclp_merge_of_neighbours_only)
{
    CHECK(!sclp_is_next(&from, &head, &from, &tail));
    CHECK(!sclp_is_next(&from, &middle, &from, &head));
    CHECK(!sclp_is_next(&from, &middle, &from, &middle));
    CHECK(!sclp_is_next(&from, &tail, &from, &middle));
}

TEST(sclp_merge_of_one_frame_only)
{
    struct sclp_packet p;
    struct sclp_segment s;

    s = middle;
    s.id += 2;
    CHECK(!sclp_is_next(&from, &head, &from, &s));
    s = middle;
    s.src_port++;
    CHECK(!sclp_is_next(&from, &head, &from, &s));
    s = middle;
    s.dst_port = SCLP_GENEVE_PORT;
    CHECK(!sclp_is_next(&from, &head, &from, &s));
    s = middle;
    s.is_first = true;
    CHECK(!sclp_is_next(&from, &head, &from, &s));
    p = from;
    p.src++;
    CHECK(!sclp_is_next(&from, &head, &p, &middle));
    p = from;
    p.dst++;
    CHECK(!sclp_is_next(&from, &head, &p, &middle));
    p = from;
    p.is_udp = true;
    CHECK(!sclp_is_next(&from, &head, &p, &middle));
}

TEST(sclp_repeated)
{
    struct sclp_segment s = middle;

    seg = head;
    CHECK(sclp_is_repeated(&from, &seg, &from, &head));
    CHECK(!sclp_is_repeated(&from, &seg, &from, &middle));
    sclp_merge(&seg, &middle);
    CHECK(sclp_is_repeated(&from, &seg, &from, &head));
    CHECK(sclp_is_repeated(&from, &seg, &from, &middle));
    CHECK(!sclp_is_repeated(&from, &seg, &from, &tail));
    CHECK(!sclp_is_repeated(&from, &head, &from, &seg));

    s.remaining--;              /* A byte of it is new. */
    CHECK(!sclp_is_repeated(&from, &seg, &from, &s));
    s = head;
    s.remaining--;              /* Of another size than the frame's. */
    CHECK(!sclp_is_repeated(&from, &seg, &from, &s));
    s = middle;
    s.id += 2;
    CHECK(!sclp_is_repeated(&from, &seg, &from, &s));
}

/* Keys. */

TEST(sclp_keys_differ_where_frames_do)
{
    uint8_t keys[8][SCLP_KEY_SIZE];
    struct sclp_packet p[8];
    struct sclp_segment s[8];

    for (int i = 0; i < 8; i++) {
        p[i] = from;
        s[i] = middle;
    }
    p[1].src++;
    p[2].dst++;
    p[3].is_udp = true;
    s[4].src_port++;
    s[5].dst_port++;
    s[6].id += 2;
    for (int i = 0; i < 8; i++) {
        sclp_key(keys[i], &p[i], &s[i]);
    }
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < i; j++) {
            CHECK(memcmp(keys[i], keys[j], SCLP_KEY_SIZE));
        }
    }
    CHECK(!memcmp(keys[7], keys[0], SCLP_KEY_SIZE));

    /* Place and size of the segment do not count. */
    sclp_key(keys[1], &from, &head);
    CHECK(!memcmp(keys[1], keys[0], SCLP_KEY_SIZE));
}
