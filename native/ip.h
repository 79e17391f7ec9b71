/* SPDX-License-Identifier: Apache-2.0 */

/* Where things stand in the headers that tunnels use, carry or pretend to
 * be. */

#ifndef NVO3_IP_H
#define NVO3_IP_H 1

#include <stddef.h>
#include <stdint.h>

#include "be.h"

/* Ethernet, and the VLAN tags in it (IEEE 802.1Q). */
enum {
    ETH_TYPE_OFS = 12,
    ETH_IPV4 = 0x0800,
    ETH_IPV6 = 0x86dd,
    ETH_VLAN = 0x8100,
    ETH_QINQ = 0x88a8,
    VLAN_TAG_SIZE = 4
};

/* IPv4 header (RFC 791). */
enum {
    IPV4_VERSION_IHL = 0,
    IPV4_TOS = 1,
    IPV4_LENGTH = 2,
    IPV4_ID = 4,
    IPV4_FRAGMENT = 6,          /* 0:1 DF:1 MF:1 offset:13. */
    IPV4_TTL = 8,
    IPV4_PROTOCOL = 9,
    IPV4_CSUM = 10,
    IPV4_SRC = 12,
    IPV4_DST = 16,
    IPV4_HEADER_SIZE = 20
};
#define IPV4_DF 0x4000
#define IPV4_FRAGMENT_MASK 0x3fff   /* MF and the offset. */

/* IPv6 header (RFC 8200). */
enum {
    IPV6_LENGTH = 4,
    IPV6_NEXT = 6,
    IPV6_SRC = 8,
    IPV6_HEADER_SIZE = 40
};

/* IP protocols. */
enum {
    PROTO_HOP_BY_HOP = 0,
    PROTO_TCP = 6,
    PROTO_UDP = 17,
    PROTO_ROUTING = 43,
    PROTO_FRAGMENT = 44,
    PROTO_AH = 51,
    PROTO_DESTINATION = 60
};

/* TCP header (RFC 9293). */
enum {
    TCP_SRC_PORT = 0,
    TCP_DST_PORT = 2,
    TCP_SEQUENCE = 4,
    TCP_ACKNOWLEDGEMENT = 8,
    TCP_DOFF = 12,              /* doff:4 reserved:4. */
    TCP_FLAGS = 13,
    TCP_WINDOW = 14,
    TCP_CSUM = 16,
    TCP_HEADER_SIZE = 20
};
enum {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20
};

/* UDP header (RFC 768). */
enum {
    UDP_SRC_PORT = 0,
    UDP_DST_PORT = 2,
    UDP_LENGTH = 4,
    UDP_CSUM = 6,
    UDP_HEADER_SIZE = 8
};

/* What ipv4_sizes() returns. */
enum ipv4_fault {
    IPV4_FINE,
    IPV4_CUT_OFF,               /* Fewer bytes than the header claims. */
    IPV4_MALFORMED              /* Not IPv4, or lengths that contradict. */
};

/* Stores in '*length' and '*header_size' what the IPv4 header at 'ip' says,
 * checked against each other and the 'size' bytes that there are. */
static inline enum ipv4_fault
ipv4_sizes(const uint8_t *ip, size_t size, size_t *length,
           size_t *header_size)
{
    if (size < IPV4_HEADER_SIZE) {
        return IPV4_CUT_OFF;
    }
    *length = be16_load(ip + IPV4_LENGTH);
    *header_size = 4 * (ip[IPV4_VERSION_IHL] & 0xfu);
    if (ip[IPV4_VERSION_IHL] >> 4 != 4 || *header_size < IPV4_HEADER_SIZE
        || *length < *header_size) {
        return IPV4_MALFORMED;
    }
    return *length > size ? IPV4_CUT_OFF : IPV4_FINE;
}

#endif /* ip.h */
