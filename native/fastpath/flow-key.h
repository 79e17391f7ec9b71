/* SPDX-License-Identifier: Apache-2.0 */

/* What a flow table matches: the 12 fields of OpenFlow 1.0, in the host's byte
 * order, and the tunnel that a packet came by. */

#ifndef FASTPATH_FLOW_KEY_H
#define FASTPATH_FLOW_KEY_H 1

#include <stdint.h>

#include "layers.h"
#include "packet.h"

#define FLOW_KEY_WORDS 5

#define FLOW_VLAN_NONE 0xffff           /* OFP_VLAN_NONE. */
#define FLOW_TAGGED 0x10                /* In 'dl_vlan_pcp'. */
#define FLOW_DSCP_MASK 0xfc

/* Fields that a packet does not have are 0. */
struct flow_key {
    union {
        struct {
            uint16_t in_port;
            uint16_t dl_vlan;       /* VID, or FLOW_VLAN_NONE. */
            uint16_t dl_type;       /* ETH_NOT_ETHERNET_II for 802.2. */
            uint16_t tp_src;        /* TCP, UDP; type of ICMP. */
            uint8_t dl_src[6];
            uint16_t tp_dst;        /* TCP, UDP; code of ICMP. */
            uint8_t dl_dst[6];
            uint8_t dl_vlan_pcp;    /* With FLOW_TAGGED; 0 without a tag. */
            uint8_t nw_tos;         /* Within FLOW_DSCP_MASK. */
            uint32_t nw_src;        /* IPv4, ARP. */
            uint32_t nw_dst;
            uint32_t tun_id;        /* Low 32 bits. */
            uint8_t tun_type;       /* enum tunnel_type. */
            uint8_t nw_proto;       /* Low byte of ARP's operation. */
            uint8_t zero[2];
        };
        uint64_t words[FLOW_KEY_WORDS];
    };
};

/* Fills '*key' and '*layers' from 'packet', of at least ETH_HEADER_SIZE
 * bytes. */
void flow_key_extract(struct flow_key *, struct layers *,
                      const struct packet *);

#endif /* flow-key.h */
