/* SPDX-License-Identifier: Apache-2.0 */

/* Where the headers of an Ethernet frame stand, for any bytes: what is not
 * there, cut off or contradicts itself is not found. */

#ifndef FASTPATH_LAYERS_H
#define FASTPATH_LAYERS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ETH_HEADER_SIZE 14
#define ETH_ARP 0x0806
#define ETH_CONTROL 0xabba              /* Frames of the control protocol. */
#define ETH_NOT_ETHERNET_II 0x05ff      /* OFP_DL_TYPE_NOT_ETH_TYPE. */
#define ARP_SIZE 28                     /* Of IPv4 over Ethernet. */
#define PROTO_ICMP 1
#define PROTO_ICMPV6 58
#define IPV4_OFFSET_MASK 0x1fff         /* Of the fragment's place. */

/* ARP for IPv4 over Ethernet (RFC 826). */
enum {
    ARP_HTYPE = 0,
    ARP_PTYPE = 2,
    ARP_LENGTHS = 4,
    ARP_OPERATION = 6,
    ARP_SHA = 8,
    ARP_SPA = 14,
    ARP_THA = 18,
    ARP_TPA = 24
};

/* 'eth' is a frame of at least ETH_HEADER_SIZE bytes. */
struct layers {
    bool has_vlan;              /* One 802.1Q tag; what is behind it is */
    uint16_t vlan_tci;          /* taken for what it is, a tag or not. */
    uint16_t type;              /* EtherType behind the tag. */
    uint16_t l3;                /* Offset of IPv4, IPv6 or ARP, or 0. */
    uint16_t l4;                /* Offset of what IP carries, or 0: also in a
                                 * fragment but the first. */
    uint16_t end;               /* Of the IP packet; padding may follow. */
    uint8_t protocol;           /* Of IP; in a later fragment, too. */
};

/* Fills '*layers' from the 'size' bytes at 'eth'.  IPv6 extension headers are
 * not stepped over. */
void layers_find(struct layers *, const uint8_t *eth, size_t size);

/* Returns the bytes of L4 header and payload that there are. */
static inline size_t
layers_l4_size(const struct layers *l)
{
    return l->l4 ? (size_t) (l->end - l->l4) : 0;
}

/* Returns a hash of addresses, protocol and ports of the frame at 'eth', the
 * same for all packets of a connection in one direction. */
uint32_t layers_hash(const struct layers *, const uint8_t *eth);

#endif /* layers.h */
