/* SPDX-License-Identifier: Apache-2.0 */

/* Cutting an SCLP frame into packets, native or over UDP.
 *
 * The frame is not copied: headers are made here, and each goes before a slice
 * of the caller's frame by scatter-gather.
 *
 *     native:          IPv4 | SCLP | slice
 *     UDP:             IPv4 | UDP | SCLP | slice
 *     super-packet:    IPv4 | UDP | SCLP | slice | SCLP | slice ...
 *
 * Slices but the last of a frame are 'payload_max' bytes.  In a super-packet
 * the kernel or the NIC cuts each SCLP_HEADER_SIZE + 'payload_max' bytes. */

#ifndef NVO3_SCLP_SEGMENT_H
#define NVO3_SCLP_SEGMENT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sclp.h"
#include "segment.h"

/* Headers of a packet up to its first slice; IPv4 without options. */
#define SCLP_NATIVE_SIZE (20 + SCLP_HEADER_SIZE)
#define SCLP_UDP_SIZE (20 + 8 + SCLP_HEADER_SIZE)

/* Datagrams that Linux takes as one super-packet (UDP_MAX_SEGMENTS, 6.9 and
 * before; later ones take 128). */
#define SCLP_UDP_SEGMENTS_MAX 64

/* Returns how many records of at most 'payload_max' > 0 bytes go in one UDP
 * super-packet: what the kernel takes and the length field of IP can say. */
size_t sclp_super_records(size_t payload_max);

/* What the headers of a frame's packets say.  'outer.id' is the frame's within
 * SCLP_ID_MASK, 'outer.src_port' and 'outer.dst_port' are SCLP's. */
struct sclp_outer {
    struct segment_outer outer;
    bool is_udp;
    uint16_t udp_src_port;      /* Unused without UDP. */
    uint16_t udp_dst_port;
};

/* Writes the SCLP header of segment 'index' of the frame of 'total' bytes as
 * SCLP_HEADER_SIZE bytes to 'sclp', with a checksum of 0, and the segment's
 * place to '*slice'.  Returns 0, EINVAL if there is no such segment or
 * 'payload_max' is 0, or EMSGSIZE if 'total' is not in SCLP_TOTAL_MIN to
 * SCLP_TOTAL_MAX. */
int sclp_record_put(void *sclp, struct segment_slice *slice,
                    const struct sclp_outer *outer, size_t total,
                    size_t payload_max, size_t index);

/* Writes the headers of the packet with segment 'index' of the SCLP frame of
 * 'total' bytes at 'frame' to 'header', SCLP_NATIVE_SIZE or SCLP_UDP_SIZE
 * bytes, and the segment's place to '*slice'.
 *
 * The checksum, SCLP's natively and UDP's over UDP, is whole, or with
 * 'is_partial' what a NIC completes: 0, or the folded sum of the pseudo
 * header.  With 'n_records' > 1 it is a super-packet over UDP, which needs
 * 'is_partial'; the caller adds the other records by sclp_record_put().
 *
 * Returns 0, or an error as sclp_record_put() does; also EINVAL for records
 * that there are not, or not in one packet, and EMSGSIZE if the packet would
 * be longer than an IPv4 packet can be. */
int sclp_packet_put(void *header, struct segment_slice *slice,
                    const struct sclp_outer *outer, const void *frame,
                    size_t total, size_t payload_max, size_t index,
                    size_t n_records, bool is_partial);

#endif /* sclp-segment.h */
