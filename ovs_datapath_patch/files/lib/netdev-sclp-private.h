/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_SCLP_PRIVATE_H
#define NETDEV_SCLP_PRIVATE_H 1

/* What the files of SCLP tunnels share: netdev-sclp.c, of the tunnels and what
 * is pushed, netdev-sclp-send.c, and netdev-sclp-receive.c. */

#include "dp-packet.h"
#include "ovs-atomic.h"
#include "packets.h"
#include "sclp.h"
#include "sclp-payload.h"
#include "sclp-segment.h"

struct ds;

/* How many tunnels there are and want what, by their UDP port, 0 without
 * UDP. */
struct sclp_tunnels {
    atomic_uint32_t n;
    atomic_uint32_t n_offload;      /* Take offload state. */
    atomic_uint32_t n_nve_only;     /* Without level 1 of reassembly. */
    atomic_uint32_t n_gro_only;     /* Without level 2. */
};

extern struct sclp_tunnels sclp_tunnels[UINT16_MAX + 1];

static inline bool
sclp_any(const atomic_uint32_t *n)
{
    uint32_t value;

    atomic_read_relaxed(CONST_CAST(atomic_uint32_t *, n), &value);
    return value > 0;
}

void sclp_init(void);
void sclp_send_init(void);
void sclp_receive_init(void);

/* Appends to 'ds' what was received and what became of it. */
void sclp_receive_show(struct ds *ds);

/* Headers before a frame that is still to be cut, and the template of those in
 * struct ovs_action_push_tnl:
 *
 *     Ethernet | IPv4 | UDP, or nothing | SCLP | VXLAN, or Geneve with options
 *
 * where SCLP's 'remaining' is the most that a segment carries, and in the
 * template its checksum says whether the tunnel may send offload state. */
struct sclp_whole {
    struct sclp_outer outer;    /* But for what tells frames apart. */
    size_t l3_ofs;
    size_t frame_ofs;           /* From Ethernet to VXLAN or Geneve. */
    size_t payload_max;         /* Of a segment. */
    bool may_offload;
};

/* Reads the headers at 'eth', with IPv4 'l3_ofs' bytes behind it. */
void sclp_whole_read(struct sclp_whole *, const void *eth, size_t l3_ofs);

static inline bool
sclp_is_geneve(const struct sclp_whole *whole)
{
    return whole->outer.outer.dst_port == SCLP_GENEVE_PORT;
}

/* Makes 'packet' one of IPv4 behind 'l3_ofs' bytes of Ethernet. */
static inline void
sclp_set_layers(struct dp_packet *packet, size_t l3_ofs)
{
    packet->packet_type = htonl(PT_ETH);
    packet->csum_start = packet->csum_offset = 0;
    dp_packet_reset_offsets(packet);
    packet->l3_ofs = l3_ofs;
    packet->l4_ofs = l3_ofs + IP_HEADER_LEN;
}

#endif /* netdev-sclp-private.h */
