/* SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "check.h"
#include "checksum.h"
#include "siphash.h"

static uint8_t data[70000];

static void
fill(uint32_t seed)
{
    for (size_t i = 0; i < sizeof data; i++) {
        seed = seed * 1664525 + 1013904223;
        data[i] = (uint8_t) (seed >> 24);
    }
}

/* The checksum as RFC 1071, section 4.1 has it. */
static uint16_t
plain(const uint8_t *p, size_t size)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum += i % 2 ? p[i] : (uint64_t) p[i] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t) ~sum;
}

TEST(checksum_example_of_rfc_1071)
{
    CHECK_EQ(checksum_fold(checksum_add(
        0, "\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8)), 0xddf2);
}

TEST(checksum_any_size_and_alignment)
{
    fill(1);
    for (size_t size = 0; size < 200; size++) {
        for (size_t at = 0; at < 9; at++) {
            CHECK_EQ(checksum_finish(checksum_add(0, data + at, size)),
                     plain(data + at, size));
        }
    }
    CHECK_EQ(checksum_finish(checksum_add(0, data, 65535)),
             plain(data, 65535));
}

TEST(checksum_all_ones)
{
    memset(data, 0xff, sizeof data);
    for (size_t size = 1; size < sizeof data; size += 997) {
        CHECK_EQ(checksum_finish(checksum_add(0, data, size)),
                 plain(data, size));
    }
    CHECK_EQ(checksum_fold(checksum_add(UINT32_MAX, data, 65536)), 0xffff);
}

TEST(checksum_of_parts_in_any_order)
{
    fill(2);
    for (size_t cut = 0; cut <= 101; cut++) {
        uint32_t head = checksum_add(0, data, cut);
        uint32_t tail = checksum_add(0, data + cut, 101 - cut);

        CHECK_EQ(checksum_finish(checksum_combine(head, tail, cut)),
                 plain(data, 101));
        CHECK_EQ(checksum_finish(checksum_combine(
            checksum_combine(0, tail, cut), head, 0)), plain(data, 101));
    }
}

TEST(checksum_pseudo_headers)
{
    static const uint8_t ipv4[] = { 192, 0, 2, 1, 198, 51, 100, 7,
                                    0, 6, 0xff, 0xeb };
    uint8_t ipv6[40];

    CHECK_EQ(checksum_finish(checksum_pseudo_ipv4(0xc0000201, 0xc6336407, 6,
                                                  65515)),
             plain(ipv4, sizeof ipv4));
    fill(3);
    memcpy(ipv6, data, 32);
    memcpy(ipv6 + 32, "\x00\x01\x11\x70\x00\x00\x00\x11", 8);
    CHECK_EQ(checksum_finish(checksum_pseudo_ipv6(data, 17, 70000)),
             plain(ipv6, sizeof ipv6));
}

TEST(siphash_depends_on_seed_size_and_each_byte)
{
    uint64_t seed[2] = { 1, 2 }, other[2] = { 1, 3 };
    uint8_t key[17] = { 0 };
    uint64_t hash = siphash13(seed, key, 16);

    CHECK(hash != siphash13(other, key, 16));
    CHECK(hash != siphash13(seed, key, 17));
    for (size_t i = 0; i < 16; i++) {
        key[i] = 1;
        CHECK(hash != siphash13(seed, key, 16));
        key[i] = 0;
    }
    CHECK(hash == siphash13(seed, key, 16));
}

TEST(siphash_vectors)
{
    /* From CPython 3.11 with PYTHONHASHSEED=0: hash() of bytes counting up
     * from 0 is SipHash-1-3 under a seed of zeros. */
    static const uint64_t seed[2];
    uint8_t key[23];

    for (size_t i = 0; i < sizeof key; i++) {
        key[i] = (uint8_t) i;
    }
    CHECK(siphash13(seed, "a", 1) == UINT64_C(0x407448d2b89b1813));
    CHECK(siphash13(seed, key, 16) == UINT64_C(0x8972188433a5c5b7));
    CHECK(siphash13(seed, key, 23) == UINT64_C(0x37332b1389daa4ff));
}
