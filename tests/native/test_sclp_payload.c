/* SPDX-License-Identifier: Apache-2.0 */

/* Single headers are in tests/vectors/sclp/payload.json. */

#include <errno.h>
#include <string.h>

#include "be.h"
#include "check.h"
#include "checksum.h"
#include "sclp-payload.h"

static const struct stt_header tso = {
    .flags = STT_F_CSUM_PARTIAL | STT_F_IPV4 | STT_F_TCP, .l4_offset = 34,
    .mss = 1400,
};

static struct sclp_payload payload;

TEST(sclp_payload_truncated)
{
    uint8_t frame[64] = { 0x08 };

    for (size_t size = 0; size < 22; size++) {
        CHECK_EQ(sclp_vxlan_parse(&payload, frame, size, false),
                 SCLP_FRAME_TRUNCATED);
    }
    CHECK_EQ(sclp_vxlan_parse(&payload, frame, 22, false), SCLP_OK);

    /* Eight bytes of options. */
    memcpy(frame, "\2\0\x65\x58\0\0\1\0\0\0\0\1\0\0\0\0", 16);
    for (size_t size = 0; size < 30; size++) {
        CHECK_EQ(sclp_geneve_parse(&payload, frame, size, false),
                 SCLP_FRAME_TRUNCATED);
    }
    CHECK_EQ(sclp_geneve_parse(&payload, frame, 30, false), SCLP_OK);
    CHECK_EQ(payload.options_offset, 8);
    CHECK_EQ(payload.options_size, 8);
    CHECK_EQ(payload.inner_offset, 16);
}

TEST(sclp_payload_vxlan_state_refused_is_not_written)
{
    uint8_t vxlan[8] = { 0x08, 0, 0, 0, 0x12, 0x34, 0x56, 0 };
    uint8_t before[8];
    struct stt_header offload = { .flags = 0 };

    memcpy(before, vxlan, sizeof vxlan);
    CHECK_EQ(sclp_vxlan_put_offload(vxlan, &offload), EINVAL);
    offload.flags = STT_F_CSUM_VERIFIED;
    CHECK_EQ(sclp_vxlan_put_offload(vxlan, &offload), EINVAL);
    offload = tso;
    offload.mss = STT_MSS_MIN - 1;
    CHECK_EQ(sclp_vxlan_put_offload(vxlan, &offload), EINVAL);
    offload = tso;
    offload.flags &= (uint8_t) ~STT_F_TCP;
    CHECK_EQ(sclp_vxlan_put_offload(vxlan, &offload), EINVAL);
    CHECK(!memcmp(before, vxlan, sizeof vxlan));
    CHECK_EQ(sclp_vxlan_put_offload(vxlan, &tso), 0);
    CHECK(!memcmp("\x08\x0e\x05\x78\x12\x34\x56\x22", vxlan, sizeof vxlan));
}

TEST(sclp_payload_geneve_state_needs_room)
{
    uint8_t geneve[8 + 252 + 8] = { 0 };

    geneve[0] = 62;
    CHECK_EQ(sclp_geneve_put_offload(geneve, &tso), EINVAL);
    CHECK_EQ(geneve[0], 62);
    CHECK_EQ(geneve[1], 0);
    CHECK_EQ(geneve[8], 0);
    geneve[0] = 61;
    CHECK_EQ(sclp_geneve_put_offload(geneve, &tso), 0);
    CHECK_EQ(geneve[0], 63);
    CHECK_EQ(geneve[1], 0x40);
    CHECK(!memcmp("\xff\xea\x81\x01\x0e\x22\x05\x78", geneve + 8, 8));
}

/* The inner frame of TCP over IPv4, with a partial checksum. */
static size_t
make_frame(uint8_t *eth, size_t size)
{
    static const uint8_t headers[54] = {
        2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
        0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
        0, 80, 0, 81, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0,
    };

    memset(eth, 0x5a, size);
    memcpy(eth, headers, sizeof headers);
    be16_store(eth + 16, (uint16_t) (size - 14));
    return size;
}

TEST(sclp_payload_inner_frame_is_checked)
{
    uint8_t eth[3000];
    size_t size = make_frame(eth, sizeof eth);
    struct stt_header offload = tso;
    struct stt_inner inner;

    CHECK_EQ(sclp_inner_check(&inner, &offload, eth, size), SCLP_OK);
    CHECK_EQ(inner.l4_offset, 34);
    CHECK_EQ(stt_inner_mss(&inner, &offload), 1400);
    offload.l4_offset = 35;
    CHECK_EQ(sclp_inner_check(&inner, &offload, eth, size), SCLP_L4_OFFSET);
    offload = tso;
    offload.flags &= (uint8_t) ~STT_F_IPV4;
    CHECK_EQ(sclp_inner_check(&inner, &offload, eth, size), SCLP_INNER_L3);
    offload.flags = STT_F_CSUM_PARTIAL | STT_F_IPV4;
    offload.mss = 0;
    CHECK_EQ(sclp_inner_check(&inner, &offload, eth, size), SCLP_INNER_L4);
    eth[20] = 0x20;
    CHECK_EQ(sclp_inner_check(&inner, &tso, eth, size), SCLP_INNER_FRAGMENT);
    eth[20] = 0;
    be16_store(eth + 16, 2987);
    CHECK_EQ(sclp_inner_check(&inner, &tso, eth, size), SCLP_INNER_L3);
}

/* What a sender makes of a TSO frame is what a receiver finds. */
TEST(sclp_payload_state_crosses)
{
    uint8_t frame[8 + 8 + 3000];
    struct stt_header offload = { .flags = 0 };
    struct stt_inner inner;
    size_t size = make_frame(frame + 16, 3000);

    CHECK_EQ(stt_inner_find(&inner, frame + 16, size), STT_OK);
    CHECK_EQ(stt_header_set_partial(&offload, &inner, 1400), 0);
    stt_inner_put_partial(frame + 16, &inner);
    memcpy(frame, "\0\0\x65\x58\0\x13\x89\0", 8);
    CHECK_EQ(sclp_geneve_put_offload(frame, &offload), 0);
    CHECK_EQ(sclp_geneve_parse(&payload, frame, sizeof frame, false),
             SCLP_OFFLOAD_OFF);
    CHECK_EQ(sclp_geneve_parse(&payload, frame, sizeof frame, true), SCLP_OK);
    CHECK_EQ(payload.vni, 5001);
    CHECK_EQ(payload.options_size, 0);
    CHECK_EQ(payload.inner_offset, 16);
    CHECK_EQ(sclp_inner_check(&inner, &payload.offload, frame + 16, size),
             SCLP_OK);
    CHECK_EQ(stt_inner_mss(&inner, &payload.offload), 1400);
    CHECK_EQ(be16_load(frame + 16 + 50), checksum_fold(checksum_pseudo_ipv4(
        0x0a000001, 0x0a000002, 6, 3000 - 34)));
}
