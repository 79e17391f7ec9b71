/* SPDX-License-Identifier: Apache-2.0 */

/* Software segmentation: what a NIC with TSO makes of an STT super-packet.
 * sclp-segment.h does it for SCLP.
 *
 * The frame is not copied: each segment is a header made here and a slice of
 * the caller's frame, to be sent by scatter-gather. */

#ifndef NVO3_SEGMENT_H
#define NVO3_SEGMENT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stt.h"

/* An IPv4 header without options and a pseudo-TCP header. */
#define SEGMENT_HEADER_SIZE (STT_IPV4_HEADER_SIZE + STT_TCP_HEADER_SIZE)

/* Part of a frame: 'length' bytes at 'offset'. */
struct segment_slice {
    uint32_t offset;
    uint32_t length;
};

/* Returns how many segments of at most 'payload_max' > 0 bytes carry a frame
 * of 'total' bytes. */
size_t segment_count(size_t total, size_t payload_max);

/* Returns the slice of segment 'index' < segment_count(total, payload_max). */
struct segment_slice segment_at(size_t total, size_t payload_max,
                                size_t index);

/* What the headers of all segments of a frame say. */
struct segment_outer {
    uint32_t src;               /* Addresses and ports in host byte order. */
    uint32_t dst;
    uint16_t src_port;
    uint16_t dst_port;
    uint32_t id;                /* Of the frame. */
    uint16_t ip_id;             /* Of the first segment; counts up. */
    uint8_t tos;
    uint8_t ttl;
    bool df;                    /* Set Don't Fragment. */
};

/* Writes the IPv4 header of the packet with segment 'index', IP 'protocol' and
 * 'length' bytes of IP payload, as STT_IPV4_HEADER_SIZE bytes to 'ip'. */
void segment_put_ipv4(void *ip, const struct segment_outer *outer,
                      uint8_t protocol, size_t index, size_t length);

/* Writes the headers of segment 'index' of the STT frame of 'total' bytes at
 * 'frame', as SEGMENT_HEADER_SIZE bytes to 'header', and its place to
 * '*slice'.  The TCP checksum is whole, or with 'is_partial' the folded sum of
 * the pseudo header, for a NIC to complete.
 *
 * Returns 0, EINVAL if there is no such segment or 'payload_max' is 0, or
 * EMSGSIZE if 'total' is below STT_TOTAL_MIN or above 65535, or a segment
 * would be longer than an IPv4 packet can be. */
int segment_put(void *header, struct segment_slice *slice,
                const struct segment_outer *outer, const void *frame,
                size_t total, size_t payload_max, size_t index,
                bool is_partial);

#endif /* segment.h */
