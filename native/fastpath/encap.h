/* SPDX-License-Identifier: Apache-2.0 */

/* Encapsulation, onto the link.
 *
 * STT: the frame as it is, one TCP super-packet for the kernel or the NIC to
 * cut.  SCLP: slices of the frame; over UDP super-packets.  VXLAN, NVGRE and
 * Geneve: a guest's large frame is cut here, each segment with headers of its
 * own. */

#ifndef FASTPATH_ENCAP_H
#define FASTPATH_ENCAP_H 1

#include <stdint.h>

#include "transmit.h"
#include "tunnel.h"

/* What tells one frame and packet from another; begins at random. */
struct encap {
    uint32_t frame_id;
    uint16_t ip_id;
    uint32_t mtu;               /* Of the vNIC. */
};

/* Sends 'packet', which it takes, in the tunnel that 'outer' describes. */
void encap_send(struct encap *, struct transmit *, struct packet *,
                const struct tunnel_outer *outer);

#endif /* encap.h */
