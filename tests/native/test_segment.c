/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "be.h"
#include "check.h"
#include "checksum.h"
#include "segment.h"

static uint8_t frame[65536];
static uint8_t packet[65536];

static const struct segment_outer outer = {
    .src = 0xc0000201, .dst = 0xc0000202, .src_port = 40000,
    .dst_port = STT_DST_PORT, .id = 0xcafe0001, .ip_id = 0xfffe,
    .tos = 0xb9, .ttl = 64, .df = true,
};

/* Cuts a frame and checks each segment by parsing it. */
static void
check_cut(size_t total, size_t payload_max)
{
    size_t n = segment_count(total, payload_max);
    size_t offset = 0;

    for (size_t i = 0; i < sizeof frame; i++) {
        frame[i] = (uint8_t) (i * 37 >> 3);
    }
    for (size_t i = 0; i < n; i++) {
        struct segment_slice slice;
        struct stt_packet p;
        bool is_last = i == n - 1;

        memset(packet, 0xa5, SEGMENT_HEADER_SIZE);
        CHECK_EQ(segment_put(packet, &slice, &outer, frame, total,
                             payload_max, i, false), 0);
        memcpy(packet + SEGMENT_HEADER_SIZE, frame + slice.offset,
               slice.length);
        CHECK_EQ(stt_packet_parse(&p, packet,
                                  SEGMENT_HEADER_SIZE + slice.length, 0),
                 STT_OK);
        CHECK_EQ(slice.offset, offset);
        CHECK_EQ(p.segment.offset, offset);
        CHECK_EQ(p.segment.total, total);
        CHECK_EQ(p.segment.length, slice.length);
        CHECK_EQ(p.segment.id, 0xcafe0001);
        CHECK_EQ(p.src, 0xc0000201);
        CHECK_EQ(p.dst, 0xc0000202);
        CHECK_EQ(p.tos, 0xb9);
        CHECK_EQ(p.ttl, 64);
        CHECK_EQ(be16_load(packet + 4), (uint16_t) (0xfffe + i));
        CHECK_EQ(be16_load(packet + 6), 0x4000);
        CHECK_EQ(packet[20 + 13], is_last ? 0x18 : 0x10);
        CHECK_EQ(be16_load(packet + 20 + 14), 0xffff);
        CHECK_EQ(slice.length, is_last ? total - offset : payload_max);
        offset += slice.length;
    }
    CHECK_EQ(offset, total);
}

TEST(segment_exact_multiple) { check_cut(14400, 1440); }
TEST(segment_one_byte_more) { check_cut(14401, 1460); }
TEST(segment_fits_in_one) { check_cut(1440, 1440); }
TEST(segment_smallest_frame) { check_cut(STT_TOTAL_MIN, 1440); }
TEST(segment_largest_frame) { check_cut(65535, 1460); }
TEST(segment_odd_payload) { check_cut(10000, 333); }
TEST(segment_one_byte_each) { check_cut(100, 1); }
TEST(segment_super_packet) { check_cut(65495, 65495); }

TEST(segment_refuses_nonsense)
{
    struct segment_slice slice;

#define PUT(TOTAL, PAYLOAD, INDEX)                                           \
    segment_put(packet, &slice, &outer, frame, TOTAL, PAYLOAD, INDEX, false)
    CHECK_EQ(PUT(31, 1440, 0), EMSGSIZE);
    CHECK_EQ(PUT(65536, 1440, 0), EMSGSIZE);
    CHECK_EQ(PUT(65535, 65535, 0), EMSGSIZE);
    CHECK_EQ(PUT(1440, 0, 0), EINVAL);
    CHECK_EQ(PUT(1440, 1440, 1), EINVAL);
    CHECK_EQ(PUT(1441, 1440, 1), 0);
}

TEST(segment_partial_checksum_is_the_pseudo_header)
{
    struct segment_slice slice;

    CHECK_EQ(segment_put(packet, &slice, &outer, frame, 3000, 1440, 2, true),
             0);
    CHECK_EQ(slice.length, 120);
    CHECK_EQ(be16_load(packet + 20 + 16), checksum_fold(
        checksum_pseudo_ipv4(outer.src, outer.dst, 6, 140)));
}
