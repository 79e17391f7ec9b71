/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <string.h>

#include "be.h"
#include "check.h"
#include "checksum.h"
#include "stt.h"

/* An inner frame that grows by layers. */

static uint8_t eth[65536];
static size_t size;
static struct stt_inner inner;

static void
append(const void *data, size_t n)
{
    memcpy(eth + size, data, n);
    size += n;
}

static void
begin(void)
{
    memset(eth, 0, sizeof eth);
    size = 12;
}

static void
put_type(uint16_t type)
{
    be16_store(eth + size, type);
    size += 2;
}

static void
put_vlan(uint16_t type, uint16_t tci)
{
    put_type(type);
    put_type(tci);
}

/* Puts an IPv4 header with 'options' bytes of options before 'length' bytes of
 * payload. */
static void
put_ipv4(uint8_t protocol, size_t options, size_t length)
{
    uint8_t *ip = eth + size + 2;

    put_type(0x0800);
    ip[0] = (uint8_t) (0x45 + options / 4);
    be16_store(ip + 2, (uint16_t) (20 + options + length));
    ip[9] = protocol;
    be32_store(ip + 12, 0x0a000001);
    be32_store(ip + 16, 0x0a000002);
    size += 20 + options;
}

static void
put_ipv6(uint8_t next, size_t length)
{
    uint8_t *ip = eth + size + 2;

    put_type(0x86dd);
    ip[0] = 0x60;
    be16_store(ip + 4, (uint16_t) length);
    ip[6] = next;
    ip[8] = ip[24] = 0xfd;
    ip[23] = 1;
    ip[39] = 2;
    size += 40;
}

static void
put_tcp(size_t payload)
{
    eth[size + 12] = 0x50;
    memset(eth + size + 20, 0x5a, payload);
    size += 20 + payload;
}

static void
put_udp(size_t payload)
{
    be16_store(eth + size + 4, (uint16_t) (8 + payload));
    memset(eth + size + 8, 0x5a, payload);
    size += 8 + payload;
}

static enum stt_verdict
check_with(uint8_t flags, uint8_t l4_offset)
{
    struct stt_header header = { .flags = flags, .l4_offset = l4_offset };

    return stt_inner_check(&inner, &header, eth, size);
}

#define P STT_F_CSUM_PARTIAL
#define V STT_F_IPV4
#define T STT_F_TCP

static void
make_tcp4(size_t payload)
{
    begin();
    put_ipv4(6, 0, 20 + payload);
    put_tcp(payload);
}

TEST(stt_inner_tcp_over_ipv4)
{
    make_tcp4(100);
    CHECK_EQ(check_with(P | V | T, 34), STT_OK);
    CHECK_EQ(inner.l3_offset, 14);
    CHECK_EQ(inner.l4_offset, 34);
    CHECK_EQ(inner.payload_offset, 54);
    CHECK_EQ(inner.end, 154);
    CHECK(inner.is_ipv4 && inner.is_tcp);
}

TEST(stt_inner_udp_over_ipv6)
{
    begin();
    put_ipv6(17, 8);
    put_udp(0);
    CHECK_EQ(check_with(P, 54), STT_OK);
    CHECK_EQ(inner.payload_offset, 62);
    CHECK(!inner.is_ipv4 && !inner.is_tcp);
}

TEST(stt_inner_l4_offset_before_l3_ends)
{
    make_tcp4(100);
    CHECK_EQ(check_with(P | V | T, 0), STT_L4_OFFSET);
    CHECK_EQ(check_with(P | V | T, 13), STT_L4_OFFSET);
    CHECK_EQ(check_with(P | V | T, 33), STT_L4_OFFSET);
}

TEST(stt_inner_l4_offset_past_the_end)
{
    make_tcp4(100);
    CHECK_EQ(check_with(P | V | T, 155), STT_L4_OFFSET);
    CHECK_EQ(check_with(P | V | T, 255), STT_L4_OFFSET);
}

TEST(stt_inner_l4_offset_at_a_non_l4_header)
{
    /* ICMP is neither; behind IP options the header is elsewhere. */
    begin();
    put_ipv4(1, 0, 28);
    put_tcp(8);
    CHECK_EQ(check_with(P | V, 34), STT_INNER_L4);

    begin();
    put_ipv4(6, 12, 20);
    put_tcp(0);
    CHECK_EQ(check_with(P | V | T, 34), STT_L4_OFFSET);
    CHECK_EQ(check_with(P | V | T, 46), STT_OK);
}

TEST(stt_inner_not_ip)
{
    static const uint16_t types[] = { 0x0806, 0x88cc, 0x8847, 60 };

    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        begin();
        put_type(types[i]);
        size += 60;
        CHECK_EQ(check_with(P, 14), STT_INNER_L3);
    }
}

TEST(stt_inner_v_and_t_must_match)
{
    make_tcp4(0);
    CHECK_EQ(check_with(P | T, 34), STT_INNER_L3);
    CHECK_EQ(check_with(P | V, 34), STT_INNER_L4);
    begin();
    put_ipv6(17, 8);
    put_udp(0);
    CHECK_EQ(check_with(P | V, 54), STT_INNER_L3);
    CHECK_EQ(check_with(P | T, 54), STT_INNER_L4);
}

TEST(stt_inner_cut_off)
{
    size_t whole;

    make_tcp4(100);
    for (whole = size; size-- > 0; ) {
        CHECK_EQ(check_with(P | V | T, 34), STT_INNER_L3);
    }
    begin();
    put_ipv6(6, 120);
    put_tcp(100);
    for (whole = size; size-- > 0; ) {
        CHECK_EQ(check_with(P | T, 54), STT_INNER_L3);
    }
    CHECK_EQ(whole, 14 + 40 + 120);
}

TEST(stt_inner_l4_header_past_the_ip_packet)
{
    /* The bytes are in the frame, but not in the IP packet. */
    begin();
    put_ipv4(6, 0, 19);
    put_tcp(100);
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_L4);
    begin();
    put_ipv4(17, 0, 7);
    put_udp(100);
    CHECK_EQ(check_with(P | V, 34), STT_INNER_L4);
}

TEST(stt_inner_tcp_data_offset)
{
    make_tcp4(20);
    eth[34 + 12] = 0x40;
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_L4);
    eth[34 + 12] = 0xa0;
    CHECK_EQ(check_with(P | V | T, 34), STT_OK);
    CHECK_EQ(inner.payload_offset, 34 + 40);
    eth[34 + 12] = 0xf0;
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_L4);
}

TEST(stt_inner_fragment)
{
    make_tcp4(100);
    be16_store(eth + 14 + 6, 0x2000);
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_FRAGMENT);
    be16_store(eth + 14 + 6, 0x00b9);
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_FRAGMENT);
    be16_store(eth + 14 + 6, 0x4000);
    CHECK_EQ(check_with(P | V | T, 34), STT_OK);
    begin();
    put_ipv6(44, 28);
    append("\x06\0\0\1\0\0\0\0", 8);
    put_tcp(0);
    CHECK_EQ(check_with(P | T, 62), STT_INNER_FRAGMENT);
}

TEST(stt_inner_ipv6_extension_headers)
{
    begin();
    put_ipv6(0, 8 + 16 + 24 + 8 + 20);
    append("\x3c\0\1\4\0\0\0\0", 8);        /* Hop-by-hop, then options. */
    append("\x33\1\1\14\0\0\0\0\0\0\0\0\0\0\0\0", 16);  /* Then AH. */
    append("\x2b\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
    append("\x06\0\2\0\0\0\0\0", 8);        /* Routing, arrived. */
    put_tcp(0);
    CHECK_EQ(check_with(P | T, 54 + 56), STT_OK);
    CHECK_EQ(inner.l4_offset, 110);
}

TEST(stt_inner_ipv6_extension_header_past_the_end)
{
    begin();
    put_ipv6(0, 28);
    append("\x06\x10\1\4\0\0\0\0", 8);
    put_tcp(0);
    CHECK_EQ(check_with(P | T, 62), STT_INNER_L3);
    begin();
    put_ipv6(60, 4);
    append("\x06\0\1\4", 4);
    CHECK_EQ(check_with(P | T, 62), STT_INNER_L3);
}

TEST(stt_inner_ipv6_routing_on_its_way)
{
    begin();
    put_ipv6(43, 28);
    append("\x06\0\2\1\0\0\0\0", 8);
    put_tcp(0);
    CHECK_EQ(check_with(P | T, 62), STT_INNER_L4);
}

TEST(stt_inner_ipv6_headers_beyond_the_offset)
{
    /* A chain of many headers ends where the offset cannot point. */
    begin();
    put_ipv6(60, 8 * 1000 + 20);
    for (int i = 0; i < 1000; i++) {
        append(i < 999 ? "\x3c\0\1\4\0\0\0\0" : "\x06\0\1\4\0\0\0\0", 8);
    }
    put_tcp(0);
    CHECK_EQ(check_with(P | T, 62), STT_INNER_L4);
}

TEST(stt_inner_qinq)
{
    begin();
    put_vlan(0x88a8, 100);
    put_vlan(0x8100, 200);
    put_ipv4(6, 0, 20);
    put_tcp(0);
    CHECK_EQ(check_with(P | V | T, 42), STT_OK);
    CHECK_EQ(inner.l3_offset, 22);
    size = 17;
    CHECK_EQ(check_with(P | V | T, 42), STT_INNER_L3);
}

TEST(stt_inner_padding_is_not_part_of_it)
{
    make_tcp4(1);
    size += 5;
    CHECK_EQ(check_with(P | V | T, 34), STT_OK);
    CHECK_EQ(inner.end, 55);
}

TEST(stt_inner_runt)
{
    begin();
    put_type(0x0800);
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_L3);
    size = 0;
    CHECK_EQ(check_with(P | V | T, 34), STT_INNER_L3);
}

TEST(stt_inner_jumbo)
{
    make_tcp4(STT_INNER_MAX - 54);
    CHECK_EQ(size, 65477);
    CHECK_EQ(check_with(P | V | T, 34), STT_OK);
    CHECK_EQ(inner.end, 65477);
}

TEST(stt_inner_mss_of_one_segment_is_0)
{
    struct stt_header header = { .flags = P | V | T, .l4_offset = 34,
                                 .mss = 1400 };

    make_tcp4(1400);
    CHECK_EQ(stt_inner_find(&inner, eth, size), STT_OK);
    CHECK_EQ(stt_inner_mss(&inner, &header), 0);
    make_tcp4(1401);
    CHECK_EQ(stt_inner_find(&inner, eth, size), STT_OK);
    CHECK_EQ(stt_inner_mss(&inner, &header), 1400);
    header.mss = 65535;
    CHECK_EQ(stt_inner_mss(&inner, &header), 0);
    header.mss = 0;
    CHECK_EQ(stt_inner_mss(&inner, &header), 0);
}

TEST(stt_inner_set_partial)
{
    struct stt_header header = { .context_id = 5 };

    make_tcp4(5000);
    CHECK_EQ(stt_inner_find(&inner, eth, size), STT_OK);
    CHECK_EQ(stt_header_set_partial(&header, &inner, 1400), 0);
    CHECK_EQ(header.flags, P | V | T);
    CHECK_EQ(header.l4_offset, 34);
    CHECK_EQ(header.mss, 1400);
    CHECK_EQ(stt_header_set_partial(&header, &inner, 7), EINVAL);
    inner.is_tcp = false;
    CHECK_EQ(stt_header_set_partial(&header, &inner, 1400), EINVAL);
    CHECK_EQ(stt_header_set_partial(&header, &inner, 0), 0);
    inner.l4_offset = 256;
    CHECK_EQ(stt_header_set_partial(&header, &inner, 0), EINVAL);
}

/* Checks the L4 checksum at 'field' of the frame, by hand. */
static void
check_completed(size_t l3, size_t l4, size_t field, uint8_t protocol)
{
    uint8_t pseudo[40] = { 0 };
    bool is_ipv4 = eth[l3] >> 4 == 4;
    uint32_t sum;

    memcpy(pseudo, eth + l3 + (is_ipv4 ? 12 : 8), is_ipv4 ? 8 : 32);
    be32_store(pseudo + (is_ipv4 ? 8 : 32), (uint32_t) (size - l4));
    pseudo[is_ipv4 ? 13 : 39] = protocol;
    sum = checksum_add(0, pseudo, 40);

    CHECK_EQ(stt_inner_find(&inner, eth, size), STT_OK);
    memset(eth + field, 0xa5, 2);
    stt_inner_put_partial(eth, &inner);
    CHECK_EQ(be16_load(eth + field), checksum_fold(sum));
    stt_inner_complete(eth, &inner);
    CHECK_EQ(checksum_finish(checksum_add(sum, eth + l4, size - l4)), 0);
}

TEST(stt_inner_partial_checksum)
{
    make_tcp4(1001);
    check_completed(14, 34, 50, 6);
    begin();
    put_ipv4(17, 0, 8 + 33);
    put_udp(33);
    check_completed(14, 34, 40, 17);
    begin();
    put_ipv6(6, 20 + 60000);
    put_tcp(60000);
    check_completed(14, 54, 70, 6);
}

TEST(stt_inner_udp_checksum_is_never_0)
{
    begin();
    put_ipv4(17, 0, 10);
    put_udp(2);
    CHECK_EQ(stt_inner_find(&inner, eth, size), STT_OK);

    /* Payload chosen so that the sum is 0xffff and the checksum 0. */
    be16_store(eth + 42, 0);
    be16_store(eth + 42, (uint16_t) ~checksum_fold(checksum_add(
        checksum_pseudo_ipv4(0x0a000001, 0x0a000002, 17, 10), eth + 34, 10)));
    stt_inner_complete(eth, &inner);
    CHECK_EQ(be16_load(eth + 40), 0xffff);
}
