/* SPDX-License-Identifier: Apache-2.0 */

#include "checksum.h"

#include <string.h>

#include "be.h"

static uint32_t
fold_to_32(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    return (uint32_t) sum;
}

/* Returns the one's complement sum of whole 32-byte blocks in the byte order
 * of the host, which RFC 1071, section 2(B), allows.  Four sums, so that an
 * addition need not wait for the one before. */
static uint64_t
sum_blocks(const uint8_t *p, size_t n_blocks)
{
    uint64_t sums[4] = { 0, 0, 0, 0 };

    for (; n_blocks; n_blocks--, p += 32) {
        for (size_t i = 0; i < 4; i++) {
            uint64_t word;

            memcpy(&word, p + 8 * i, sizeof word);
            sums[i] += (word & UINT32_MAX) + (word >> 32);
        }
    }
    return ((uint64_t) fold_to_32(sums[0]) + fold_to_32(sums[1])
            + fold_to_32(sums[2]) + fold_to_32(sums[3]));
}

/* Returns 'sum', made of 16-bit words in the host's byte order, as the sum of
 * big-endian words. */
static uint32_t
from_host_order(uint64_t sum)
{
    uint16_t folded = checksum_fold(fold_to_32(sum));
    uint8_t bytes[2];

    memcpy(bytes, &folded, sizeof bytes);
    return be16_load(bytes);
}

uint32_t
checksum_add(uint32_t sum, const void *data, size_t size)
{
    const uint8_t *p = data;
    size_t n_blocks = size / 32;
    uint64_t total = sum;

    if (n_blocks) {
        total += from_host_order(sum_blocks(p, n_blocks));
        p += 32 * n_blocks;
        size %= 32;
    }
    for (; size > 1; size -= 2, p += 2) {
        total += be16_load(p);
    }
    if (size) {
        total += (uint32_t) *p << 8;
    }
    return fold_to_32(total);
}

uint32_t
checksum_combine(uint32_t sum, uint32_t part, size_t offset)
{
    uint16_t folded = checksum_fold(part);

    if (offset % 2) {
        folded = (uint16_t) (folded << 8 | folded >> 8);
    }
    return fold_to_32((uint64_t) sum + folded);
}

uint32_t
checksum_pseudo_ipv4(uint32_t src, uint32_t dst, uint8_t protocol,
                     uint32_t length)
{
    return fold_to_32((uint64_t) src + dst + protocol + length);
}

uint32_t
checksum_pseudo_ipv6(const void *src_dst, uint8_t protocol, uint32_t length)
{
    uint64_t sum = checksum_add(0, src_dst, 32);

    return fold_to_32(sum + protocol + length);
}

uint16_t
checksum_fold(uint32_t sum)
{
    sum = (sum & UINT16_MAX) + (sum >> 16);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return (uint16_t) sum;
}

uint16_t
checksum_finish(uint32_t sum)
{
    return (uint16_t) ~checksum_fold(sum);
}
