/* SPDX-License-Identifier: Apache-2.0 */

#include "segment.h"

#include <errno.h>
#include <string.h>

#include "be.h"
#include "checksum.h"
#include "ip.h"

size_t
segment_count(size_t total, size_t payload_max)
{
    return total / payload_max + (total % payload_max != 0);
}

struct segment_slice
segment_at(size_t total, size_t payload_max, size_t index)
{
    size_t offset = index * payload_max;
    size_t left = total - offset;

    return (struct segment_slice) {
        .offset = (uint32_t) offset,
        .length = (uint32_t) (left < payload_max ? left : payload_max),
    };
}

void
segment_put_ipv4(void *ip_, const struct segment_outer *outer,
                 uint8_t protocol, size_t index, size_t length)
{
    uint8_t *ip = ip_;

    memset(ip, 0, STT_IPV4_HEADER_SIZE);
    ip[IPV4_VERSION_IHL] = 4 << 4 | STT_IPV4_HEADER_SIZE / 4;
    ip[IPV4_TOS] = outer->tos;
    be16_store(ip + IPV4_LENGTH, (uint16_t) (STT_IPV4_HEADER_SIZE + length));
    be16_store(ip + IPV4_ID, (uint16_t) (outer->ip_id + index));
    be16_store(ip + IPV4_FRAGMENT, outer->df ? IPV4_DF : 0);
    ip[IPV4_TTL] = outer->ttl;
    ip[IPV4_PROTOCOL] = protocol;
    be32_store(ip + IPV4_SRC, outer->src);
    be32_store(ip + IPV4_DST, outer->dst);
    be16_store(ip + IPV4_CSUM, checksum_finish(checksum_add(
        0, ip, STT_IPV4_HEADER_SIZE)));
}

static uint16_t
tcp_checksum(const struct segment_outer *outer, const uint8_t *tcp,
             const uint8_t *payload, size_t size, bool is_partial)
{
    uint32_t sum = checksum_pseudo_ipv4(
        outer->src, outer->dst, PROTO_TCP,
        (uint32_t) (STT_TCP_HEADER_SIZE + size));

    if (is_partial) {
        return checksum_fold(sum);
    }
    sum = checksum_add(sum, tcp, STT_TCP_HEADER_SIZE);
    return checksum_finish(checksum_add(sum, payload, size));
}

int
segment_put(void *header_, struct segment_slice *slice,
            const struct segment_outer *outer, const void *frame_,
            size_t total, size_t payload_max, size_t index, bool is_partial)
{
    const uint8_t *frame = frame_;
    uint8_t *ip = header_;
    uint8_t *tcp = ip + STT_IPV4_HEADER_SIZE;
    struct segment_slice s;

    if (total < STT_TOTAL_MIN || total > UINT16_MAX) {
        return EMSGSIZE;
    }
    if (!payload_max || index >= segment_count(total, payload_max)) {
        return EINVAL;
    }
    s = segment_at(total, payload_max, index);
    if (s.length > UINT16_MAX - SEGMENT_HEADER_SIZE) {
        return EMSGSIZE;
    }
    segment_put_ipv4(ip, outer, PROTO_TCP, index,
                     STT_TCP_HEADER_SIZE + s.length);
    stt_segment_put(tcp, &(struct stt_segment) {
        .src_port = outer->src_port,
        .dst_port = outer->dst_port,
        .id = outer->id,
        .total = (uint16_t) total,
        .offset = (uint16_t) s.offset,
        .length = (uint16_t) s.length,
    });
    be16_store(tcp + TCP_CSUM, tcp_checksum(
        outer, tcp, frame + s.offset, s.length, is_partial));
    *slice = s;
    return 0;
}
