/* SPDX-License-Identifier: Apache-2.0 */

#include "sclp-segment.h"

#include <errno.h>

#include "be.h"
#include "checksum.h"
#include "ip.h"

#define UDP_RECORDS_MAX (UINT16_MAX - IPV4_HEADER_SIZE - UDP_HEADER_SIZE)

size_t
sclp_super_records(size_t payload_max)
{
    size_t n = UDP_RECORDS_MAX / (SCLP_HEADER_SIZE + payload_max);

    return n < SCLP_UDP_SEGMENTS_MAX ? n : SCLP_UDP_SEGMENTS_MAX;
}

int
sclp_record_put(void *sclp, struct segment_slice *slice,
                const struct sclp_outer *outer, size_t total,
                size_t payload_max, size_t index)
{
    if (total < SCLP_TOTAL_MIN || total > SCLP_TOTAL_MAX) {
        return EMSGSIZE;
    }
    if (!payload_max || index >= segment_count(total, payload_max)) {
        return EINVAL;
    }
    *slice = segment_at(total, payload_max, index);
    sclp_segment_put(sclp, &(struct sclp_segment) {
        .src_port = outer->outer.src_port,
        .dst_port = outer->outer.dst_port,
        .id = outer->outer.id,
        .is_first = !index,
        .remaining = (uint16_t) (total - slice->offset - slice->length),
    });
    return 0;
}

/* Writes the UDP header of 'length' bytes with header, of which the first
 * record has its header at 'udp' already and its payload at 'payload'. */
static void
put_udp(uint8_t *udp, const struct sclp_outer *outer, size_t length,
        const uint8_t *payload, bool is_partial)
{
    uint32_t sum = checksum_pseudo_ipv4(outer->outer.src, outer->outer.dst,
                                        PROTO_UDP, (uint32_t) length);
    uint16_t checksum = checksum_fold(sum);

    be16_store(udp + UDP_SRC_PORT, outer->udp_src_port);
    be16_store(udp + UDP_DST_PORT, outer->udp_dst_port);
    be16_store(udp + UDP_LENGTH, (uint16_t) length);
    be16_store(udp + UDP_CSUM, 0);
    if (!is_partial) {
        size_t header_size = UDP_HEADER_SIZE + SCLP_HEADER_SIZE;

        sum = checksum_add(sum, udp, header_size);
        sum = checksum_add(sum, payload, length - header_size);
        checksum = checksum_finish(sum);

        /* Zero would say that there is no checksum (RFC 768). */
        checksum = checksum ? checksum : UINT16_MAX;
    }
    be16_store(udp + UDP_CSUM, checksum);
}

/* Returns the bytes of 'n' slices from 'first' on. */
static size_t
slices_size(const struct segment_slice *first, size_t total,
            size_t payload_max, size_t n)
{
    size_t left = total - first->offset;

    return n * payload_max < left ? n * payload_max : left;
}

int
sclp_packet_put(void *header_, struct segment_slice *slice,
                const struct sclp_outer *outer, const void *frame_,
                size_t total, size_t payload_max, size_t index,
                size_t n_records, bool is_partial)
{
    const uint8_t *frame = frame_;
    uint8_t *ip = header_;
    uint8_t *l4 = ip + IPV4_HEADER_SIZE;
    uint8_t *sclp = outer->is_udp ? l4 + UDP_HEADER_SIZE : l4;
    struct segment_slice s;
    size_t length;
    int error = sclp_record_put(sclp, &s, outer, total, payload_max, index);

    if (error) {
        return error;
    }
    if (!n_records || n_records > segment_count(total, payload_max) - index
        || (n_records > 1 && (!outer->is_udp || !is_partial))) {
        return EINVAL;
    }
    length = (size_t) (sclp - l4) + n_records * SCLP_HEADER_SIZE
             + slices_size(&s, total, payload_max, n_records);
    if (length > UINT16_MAX - IPV4_HEADER_SIZE) {
        return EMSGSIZE;
    }
    segment_put_ipv4(ip, &outer->outer,
                     outer->is_udp ? PROTO_UDP : SCLP_PROTOCOL, index, length);
    if (outer->is_udp) {
        put_udp(l4, outer, length, frame + s.offset, is_partial);
    } else if (!is_partial) {
        be16_store(sclp + SCLP_CSUM_OFS,
                   sclp_checksum(sclp, frame + s.offset, s.length));
    }
    *slice = s;
    return 0;
}
