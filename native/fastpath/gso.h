/* SPDX-License-Identifier: Apache-2.0 */

/* Software segmentation of a guest's large frame, TCP over IPv4 and IPv6 or
 * UDP, where what comes next cannot do it.
 *
 * The payload is not copied: each segment is headers made here and a slice of
 * the frame. */

#ifndef FASTPATH_GSO_H
#define FASTPATH_GSO_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "packet.h"
#include "segment.h"
#include "stt.h"

/* The longest headers of a frame, Ethernet to L4, that are cut: to L4 they have
 * at most what STT can point to. */
#define GSO_HEADER_MAX (UINT8_MAX + 60)

struct gso {
    const uint8_t *eth;
    struct stt_inner inner;
    size_t n;                   /* Segments. */
    uint16_t mss;
};

/* Fills '*gso' for 'packet', for which packet_is_gso() is true.  Returns 0 or
 * EINVAL if it is nothing that can be cut. */
int gso_begin(struct gso *, const struct packet *);

/* Returns the size of the headers of each segment. */
static inline size_t
gso_header_size(const struct gso *gso)
{
    return gso->inner.payload_offset;
}

/* Writes the headers of segment 'index' < n to 'header', gso_header_size()
 * bytes, with a whole checksum, and where its payload is in the frame to
 * '*slice'. */
void gso_put(const struct gso *, size_t index, uint8_t *header,
             struct segment_slice *slice);

/* For who does the reverse.
 *
 * Makes the IP header of the frame at 'eth' with 'inner' say that the packet
 * has 'length' bytes. */
void gso_set_ip_length(const struct stt_inner *, uint8_t *eth, size_t length);

/* Returns the partial sum of the pseudo header of the frame at 'eth' with
 * 'inner', as if it had 'l4_length' bytes from the L4 header on. */
uint32_t gso_pseudo_header(const struct stt_inner *, const uint8_t *eth,
                           size_t l4_length);

#endif /* gso.h */
