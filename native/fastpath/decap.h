/* SPDX-License-Identifier: Apache-2.0 */

/* Decapsulation: from a tunnel's packet to the inner frame, with the offload
 * state and the tag that the tunnel carried. */

#ifndef FASTPATH_DECAP_H
#define FASTPATH_DECAP_H 1

#include "counters.h"
#include "packet.h"

/* Strips the outer headers of 'packet', which must have come in a tunnel of
 * 'type'.  Returns false if it is to be dropped; that is counted. */
bool decap_strip(struct packet *, unsigned int type, struct counters *);

#endif /* decap.h */
