/* SPDX-License-Identifier: Apache-2.0 */

/* The Internet checksum (RFC 1071), by partial sums.
 *
 * A partial sum is the one's complement sum of big-endian 16-bit words, not
 * folded to 16 bits and not complemented.  Partial sums of parts of a message
 * may be taken in any order and are put together by checksum_combine().
 *
 * To check a message, sum all of it with its checksum field: it is right if
 * checksum_finish() gives 0. */

#ifndef NVO3_CHECKSUM_H
#define NVO3_CHECKSUM_H 1

#include <stddef.h>
#include <stdint.h>

/* Returns the partial sum 'sum' plus that of the 'size' bytes at 'data', which
 * begin at an even offset of the message.  An odd last byte is padded with
 * zero, so it must be the message's last, or the sum be combined. */
uint32_t checksum_add(uint32_t sum, const void *data, size_t size);

/* Returns 'sum' plus the partial sum 'part' of bytes that begin at 'offset' of
 * the message, even or odd. */
uint32_t checksum_combine(uint32_t sum, uint32_t part, size_t offset);

/* Returns the partial sum of the pseudo header of RFC 9293 for IPv4: 'src' and
 * 'dst' in host byte order, the upper layer's 'length' in bytes. */
uint32_t checksum_pseudo_ipv4(uint32_t src, uint32_t dst, uint8_t protocol,
                              uint32_t length);

/* The same for IPv6 (RFC 8200, section 8.1); 'src_dst' are the 32 bytes of the
 * two addresses as they stand in the header. */
uint32_t checksum_pseudo_ipv6(const void *src_dst, uint8_t protocol,
                              uint32_t length);

/* Returns 'sum' folded to 16 bits, not complemented: what a checksum field
 * holds that waits for its completion by a NIC. */
uint16_t checksum_fold(uint32_t sum);

/* Returns the checksum: 'sum' folded and complemented, in host byte order. */
uint16_t checksum_finish(uint32_t sum);

#endif /* checksum.h */
