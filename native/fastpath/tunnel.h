/* SPDX-License-Identifier: Apache-2.0 */

/* Tunnels that end at this vNIC: what their outer headers say, and which of
 * the packets that arrive are theirs. */

#ifndef FASTPATH_TUNNEL_H
#define FASTPATH_TUNNEL_H 1

#include <stdbool.h>
#include <stdint.h>

#include "layers.h"
#include "packet.h"

/* Protocols and ports. */
#define PROTO_GRE 47
#define VXLAN_PORT 4789                 /* RFC 7348. */
#define GENEVE_PORT 6081                /* RFC 8926. */
#define UDP_TUNNEL_HEADER_SIZE 8        /* Of VXLAN, and Geneve without
                                         * options. */
#define NVGRE_HEADER_SIZE 8             /* RFC 7637: GRE with a key. */

/* What a set action adds to a packet. */
struct tunnel_outer {
    uint8_t type;                       /* enum tunnel_type. */
    bool may_offload;                   /* SCLP: the peer takes the offload
                                         * state of inner frames. */
    bool is_udp;                        /* SCLP over UDP. */
    uint8_t tos;
    uint16_t vlan_tci;                  /* With has_vlan. */
    bool has_vlan;
    uint16_t mtu;                       /* If not 0, beside the vNIC's. */
    uint16_t src_port;                  /* 0: by the inner flow. */
    uint16_t dst_port;                  /* 0: the tunnel type's. */
    uint8_t dl_dst[6];
    uint8_t dl_src[6];
    uint32_t nw_dst;
    uint32_t nw_src;
    uint64_t id;
};

/* Finds out whether 'packet', received from the underlay, with 'layers', is
 * one of a tunnel to 'underlay', this vNIC's address.  Returns its tunnel
 * type; the headers behind the outer ones are not looked at. */
enum tunnel_type tunnel_of(const struct packet *, const struct layers *,
                           uint32_t underlay);

/* Why a packet of VXLAN, NVGRE or Geneve is dropped. */
enum tunnel_fault {
    TUNNEL_FINE,
    TUNNEL_MALFORMED,           /* Its header, or the inner frame is cut. */
    TUNNEL_CHECKSUM,            /* Outer IPv4's or UDP's. */
    TUNNEL_CRITICAL             /* Geneve: a critical option, or a control
                                 * packet. */
};

/* Parses the VXLAN, NVGRE or Geneve header of 'packet', for which tunnel_of()
 * gave 'type', into its 'tunnel'. */
enum tunnel_fault tunnel_parse(struct packet *, const struct layers *,
                               enum tunnel_type type);

#endif /* tunnel.h */
