/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "be.h"
#include "check.h"
#include "checksum.h"
#include "sclp-segment.h"

static uint8_t frame[65536];
static uint8_t packet[65536];

static struct sclp_outer
outer_of(bool is_udp)
{
    return (struct sclp_outer) {
        .outer = {
            .src = 0xc0000201, .dst = 0xc0000202, .src_port = 40000,
            .dst_port = SCLP_VXLAN_PORT, .id = 0xcafe0002, .ip_id = 0xfffe,
            .tos = 0xb9, .ttl = 64, .df = true,
        },
        .is_udp = is_udp, .udp_src_port = 41000,
        .udp_dst_port = SCLP_UDP_PORT,
    };
}

/* Cuts a frame and checks each segment by parsing it. */
static void
check_cut(bool is_udp, size_t total, size_t payload_max)
{
    size_t header_size = is_udp ? SCLP_UDP_SIZE : SCLP_NATIVE_SIZE;
    size_t n = segment_count(total, payload_max);
    struct sclp_outer outer = outer_of(is_udp);
    size_t offset = 0;

    for (size_t i = 0; i < sizeof frame; i++) {
        frame[i] = (uint8_t) (i * 37 >> 3);
    }
    for (size_t i = 0; i < n; i++) {
        struct segment_slice slice;
        struct sclp_packet p;
        struct sclp_segment s;
        enum sclp_verdict verdict;
        uint32_t at;

        memset(packet, 0xa5, SCLP_UDP_SIZE);
        CHECK_EQ(sclp_packet_put(packet, &slice, &outer, frame, total,
                                 payload_max, i, 1, false), 0);
        memcpy(packet + header_size, frame + slice.offset, slice.length);
        CHECK_EQ(sclp_packet_parse(&p, packet, header_size + slice.length, 0,
                                   0), SCLP_OK);
        CHECK(sclp_packet_next(&p, &s, &at, &verdict));
        CHECK_EQ(verdict, SCLP_OK);
        CHECK_EQ(at, header_size);
        CHECK_EQ(slice.offset, offset);
        CHECK_EQ(s.is_first, !i);
        CHECK_EQ(s.remaining, total - offset - slice.length);
        CHECK_EQ(s.length, slice.length);
        CHECK_EQ(s.id, 0xcafe0002);
        CHECK_EQ(s.src_port, 40000);
        CHECK_EQ(s.dst_port, SCLP_VXLAN_PORT);
        CHECK_EQ(p.src, 0xc0000201);
        CHECK_EQ(p.dst, 0xc0000202);
        CHECK_EQ(p.tos, 0xb9);
        CHECK_EQ(p.ttl, 64);
        CHECK_EQ(p.is_udp, is_udp);
        CHECK_EQ(p.udp_src_port, is_udp ? 41000 : 0);
        CHECK_EQ(p.udp_dst_port, is_udp ? SCLP_UDP_PORT : 0);
        CHECK_EQ(be16_load(packet + 4), (uint16_t) (0xfffe + i));
        CHECK_EQ(be16_load(packet + 6), 0x4000);
        CHECK_EQ(slice.length, i == n - 1 ? total - offset : payload_max);
        offset += slice.length;
    }
    CHECK_EQ(offset, total);
}

TEST(sclp_segment_of_the_slides) { check_cut(false, 3000, 1468); }
TEST(sclp_segment_exact_multiple) { check_cut(false, 14680, 1468); }
TEST(sclp_segment_one_byte_more) { check_cut(false, 14681, 1468); }
TEST(sclp_segment_fits_in_one) { check_cut(false, 1468, 1468); }
TEST(sclp_segment_smallest_frame) { check_cut(false, SCLP_TOTAL_MIN, 1468); }
TEST(sclp_segment_largest_frame) { check_cut(false, 65535, 1468); }
TEST(sclp_segment_odd_payload) { check_cut(false, 10000, 333); }
TEST(sclp_segment_one_byte_each) { check_cut(false, 100, 1); }
TEST(sclp_segment_one_packet) { check_cut(false, 65503, 65503); }
TEST(sclp_segment_udp_exact_multiple) { check_cut(true, 14600, 1460); }
TEST(sclp_segment_udp_one_byte_more) { check_cut(true, 14601, 1460); }
TEST(sclp_segment_udp_smallest) { check_cut(true, SCLP_TOTAL_MIN, 1460); }
TEST(sclp_segment_udp_largest_frame) { check_cut(true, 65535, 1460); }
TEST(sclp_segment_udp_odd_payload) { check_cut(true, 10000, 333); }
TEST(sclp_segment_udp_one_packet) { check_cut(true, 65495, 65495); }

TEST(sclp_segment_refuses_nonsense)
{
    struct sclp_outer native = outer_of(false), udp = outer_of(true);
    struct segment_slice slice;

#define PUT(OUTER, TOTAL, PAYLOAD, INDEX, N, PARTIAL)                        \
    sclp_packet_put(packet, &slice, &OUTER, frame, TOTAL, PAYLOAD, INDEX, N, \
                    PARTIAL)
    CHECK_EQ(PUT(native, 21, 1468, 0, 1, false), EMSGSIZE);
    CHECK_EQ(PUT(native, 65536, 1468, 0, 1, false), EMSGSIZE);
    CHECK_EQ(PUT(native, 65504, 65504, 0, 1, false), EMSGSIZE);
    CHECK_EQ(PUT(udp, 65496, 65496, 0, 1, false), EMSGSIZE);
    CHECK_EQ(PUT(native, 1468, 0, 0, 1, false), EINVAL);
    CHECK_EQ(PUT(native, 1468, 1468, 1, 1, false), EINVAL);
    CHECK_EQ(PUT(native, 1469, 1468, 1, 1, false), 0);
    CHECK_EQ(PUT(native, 1468, 1468, 0, 0, false), EINVAL);
    CHECK_EQ(PUT(native, 3000, 1000, 0, 2, true), EINVAL);
    CHECK_EQ(PUT(udp, 3000, 1000, 0, 2, false), EINVAL);
    CHECK_EQ(PUT(udp, 3000, 1000, 0, 3, true), 0);
    CHECK_EQ(PUT(udp, 3000, 1000, 0, 4, true), EINVAL);
    CHECK_EQ(PUT(udp, 3000, 1000, 2, 1, true), 0);
    CHECK_EQ(PUT(udp, 3000, 1000, 2, 2, true), EINVAL);
    CHECK_EQ(PUT(udp, 65535, 1460, 0, 44, true), 0);
    CHECK_EQ(PUT(udp, 65535, 1460, 0, 45, true), EMSGSIZE);
    CHECK_EQ(PUT(udp, 65535, 1460, 44, 1, true), 0);
}

TEST(sclp_segment_partial_checksum_native_is_zero)
{
    struct sclp_outer outer = outer_of(false);
    struct segment_slice slice;

    CHECK_EQ(sclp_packet_put(packet, &slice, &outer, frame, 3000, 1468, 2, 1,
                             true), 0);
    CHECK_EQ(be16_load(packet + 20 + 10), 0);
}

TEST(sclp_segment_partial_checksum_udp_is_the_pseudo_header)
{
    struct sclp_outer outer = outer_of(true);
    struct segment_slice slice;

    CHECK_EQ(sclp_packet_put(packet, &slice, &outer, frame, 3000, 1460, 0, 3,
                             true), 0);
    CHECK_EQ(slice.length, 1460);
    CHECK_EQ(be16_load(packet + 2), 28 + 3 * 12 + 3000);
    CHECK_EQ(be16_load(packet + 20 + 4), 8 + 3 * 12 + 3000);
    CHECK_EQ(be16_load(packet + 20 + 6), checksum_fold(checksum_pseudo_ipv4(
        outer.outer.src, outer.outer.dst, 17, 8 + 3 * 12 + 3000)));
    CHECK_EQ(be16_load(packet + 28 + 10), 0);
}

/* 0xffff, since 0 would say that there is no checksum. */
TEST(sclp_segment_udp_checksum_is_never_zero)
{
    struct sclp_outer outer = outer_of(true);
    uint16_t checksum;
    struct segment_slice slice;

    memset(frame, 0, 100);
    CHECK_EQ(sclp_packet_put(packet, &slice, &outer, frame, 100, 1460, 0, 1,
                             false), 0);
    checksum = be16_load(packet + 20 + 6);
    be16_store(frame, checksum);
    CHECK_EQ(sclp_packet_put(packet, &slice, &outer, frame, 100, 1460, 0, 1,
                             false), 0);
    CHECK_EQ(be16_load(packet + 20 + 6), 0xffff);
}

TEST(sclp_segment_super_records)
{
    CHECK_EQ(sclp_super_records(1460), 44);
    CHECK_EQ(sclp_super_records(8960), 7);
    CHECK_EQ(sclp_super_records(100), SCLP_UDP_SEGMENTS_MAX);
    CHECK_EQ(sclp_super_records(1), SCLP_UDP_SEGMENTS_MAX);
    CHECK_EQ(sclp_super_records(65495), 1);
    CHECK_EQ(sclp_super_records(65496), 0);
}
