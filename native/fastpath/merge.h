/* SPDX-License-Identifier: Apache-2.0 */

/* Joining neighbours among what goes to the guest's stack: segments of a TCP
 * connection that came in one batch, each in a packet of VXLAN, NVGRE or
 * Geneve, become one large frame, as a NIC's LRO or the kernel's GRO would make
 * it.  The stack gets back what its peer's handed over. */

#ifndef FASTPATH_MERGE_H
#define FASTPATH_MERGE_H 1

#include <stddef.h>
#include <stdint.h>

#include "transmit.h"

struct merge {
    struct transmit *tx;
    struct packet *held;        /* Waits for its neighbour, or NULL. */
    struct stt_inner inner;     /* Its headers. */
    uint16_t segment_size;      /* Payload of its first segment. */
    uint32_t n;                 /* Segments in it. */
};

/* Sends 'packet', which it takes, to the TAP, now or with others: a frame that
 * came out of a tunnel, on its way to HOST. */
void merge_add(struct merge *, struct packet *);

/* Sends what is held: before anything else goes to HOST, and at the end of a
 * batch. */
void merge_flush(struct merge *);

#endif /* merge.h */
