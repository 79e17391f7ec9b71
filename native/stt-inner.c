/* SPDX-License-Identifier: Apache-2.0 */

/* The inner frame's headers, as far as checksum and TSO offload need them. */

#include "stt.h"

#include <errno.h>

#include "be.h"
#include "checksum.h"
#include "ip.h"

/* Finds the L4 protocol of the IPv4 packet in 'inner', and its end. */
static enum stt_verdict
find_ipv4(struct stt_inner *inner, const uint8_t *eth, size_t size,
          uint8_t *protocol)
{
    const uint8_t *ip = eth + inner->l3_offset;
    size_t header_size, length;

    if (ipv4_sizes(ip, size - inner->l3_offset, &length, &header_size)) {
        return STT_INNER_L3;
    }
    if (be16_load(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK) {
        return STT_INNER_FRAGMENT;
    }
    *protocol = ip[IPV4_PROTOCOL];
    inner->l4_offset = (uint16_t) (inner->l3_offset + header_size);
    inner->end = (uint16_t) (inner->l3_offset + length);
    return STT_OK;
}

/* Steps over the extension headers before the L4 header of an IPv6 packet,
 * from '*protocol' at 'inner->l4_offset' on, no further than the STT header
 * can point. */
static enum stt_verdict
skip_extensions(struct stt_inner *inner, const uint8_t *eth,
                uint8_t *protocol)
{
    for (;;) {
        const uint8_t *header = eth + inner->l4_offset;
        size_t left = inner->end - inner->l4_offset;
        size_t header_size;

        switch (*protocol) {
        case PROTO_HOP_BY_HOP:
        case PROTO_ROUTING:
        case PROTO_DESTINATION:
            header_size = left < 8 ? 8 : 8 * (header[1] + 1u);
            break;
        case PROTO_AH:
            header_size = left < 8 ? 8 : 4 * (header[1] + 2u);
            break;
        case PROTO_FRAGMENT:
            return STT_INNER_FRAGMENT;
        default:
            return STT_OK;
        }
        if (header_size > left) {
            return STT_INNER_L3;
        }
        if (*protocol == PROTO_ROUTING && header[3]) {
            return STT_INNER_L4;
        }
        *protocol = header[0];
        inner->l4_offset = (uint16_t) (inner->l4_offset + header_size);
        if (inner->l4_offset > UINT8_MAX) {
            return STT_INNER_L4;
        }
    }
}

static enum stt_verdict
find_ipv6(struct stt_inner *inner, const uint8_t *eth, size_t size,
          uint8_t *protocol)
{
    const uint8_t *ip = eth + inner->l3_offset;
    size_t left = size - inner->l3_offset;
    size_t length;

    if (left < IPV6_HEADER_SIZE || ip[0] >> 4 != 6) {
        return STT_INNER_L3;
    }
    length = IPV6_HEADER_SIZE + be16_load(ip + IPV6_LENGTH);
    if (length > left) {
        return STT_INNER_L3;
    }
    *protocol = ip[IPV6_NEXT];
    inner->l4_offset = (uint16_t) (inner->l3_offset + IPV6_HEADER_SIZE);
    inner->end = (uint16_t) (inner->l3_offset + length);
    return skip_extensions(inner, eth, protocol);
}

/* Finds the end of the L4 header of 'protocol' in 'inner'. */
static enum stt_verdict
find_l4(struct stt_inner *inner, const uint8_t *eth, uint8_t protocol)
{
    const uint8_t *l4 = eth + inner->l4_offset;
    size_t left = inner->end - inner->l4_offset;
    size_t header_size;

    inner->is_tcp = protocol == PROTO_TCP;
    if (inner->is_tcp && left >= TCP_HEADER_SIZE) {
        header_size = 4 * (size_t) (l4[TCP_DOFF] >> 4);
        if (header_size < TCP_HEADER_SIZE) {
            return STT_INNER_L4;
        }
    } else if (protocol == PROTO_UDP) {
        header_size = UDP_HEADER_SIZE;
    } else {
        return STT_INNER_L4;
    }
    if (header_size > left) {
        return STT_INNER_L4;
    }
    inner->payload_offset = (uint16_t) (inner->l4_offset + header_size);
    return STT_OK;
}

/* Returns the EtherType behind the VLAN tags of 'eth' and stores the offset
 * of what follows in '*l3_offset', at most 'size'. */
static uint16_t
skip_vlans(const uint8_t *eth, size_t size, size_t *l3_offset)
{
    size_t ofs = ETH_TYPE_OFS;
    uint16_t type = be16_load(eth + ofs);

    while ((type == ETH_VLAN || type == ETH_QINQ)
           && ofs + VLAN_TAG_SIZE + 2 <= size && ofs <= UINT8_MAX) {
        ofs += VLAN_TAG_SIZE;
        type = be16_load(eth + ofs);
    }
    *l3_offset = ofs + 2;
    return type;
}

enum stt_verdict
stt_inner_find(struct stt_inner *inner, const void *eth_, size_t size)
{
    const uint8_t *eth = eth_;
    struct stt_inner found;
    enum stt_verdict verdict;
    uint8_t protocol = 0;
    size_t l3_offset;
    uint16_t type;

    if (size < STT_ETH_HEADER_SIZE || size > UINT16_MAX) {
        return STT_INNER_L3;
    }
    type = skip_vlans(eth, size, &l3_offset);
    found.l3_offset = (uint16_t) l3_offset;
    found.is_ipv4 = type == ETH_IPV4;
    if (found.is_ipv4) {
        verdict = find_ipv4(&found, eth, size, &protocol);
    } else if (type == ETH_IPV6) {
        verdict = find_ipv6(&found, eth, size, &protocol);
    } else {
        return STT_INNER_L3;
    }
    if (!verdict) {
        verdict = find_l4(&found, eth, protocol);
    }
    if (!verdict) {
        *inner = found;
    }
    return verdict;
}

enum stt_verdict
stt_inner_check(struct stt_inner *inner, const struct stt_header *header,
                const void *eth, size_t size)
{
    struct stt_inner found;
    enum stt_verdict verdict = stt_inner_find(&found, eth, size);

    if (verdict) {
        return verdict;
    }
    if (found.is_ipv4 != !!(header->flags & STT_F_IPV4)) {
        return STT_INNER_L3;
    }
    if (found.is_tcp != !!(header->flags & STT_F_TCP)) {
        return STT_INNER_L4;
    }
    if (found.l4_offset != header->l4_offset) {
        return STT_L4_OFFSET;
    }
    *inner = found;
    return STT_OK;
}

uint16_t
stt_inner_mss(const struct stt_inner *inner, const struct stt_header *header)
{
    bool is_larger = inner->end - inner->payload_offset > header->mss;

    return inner->is_tcp && is_larger ? header->mss : 0;
}

int
stt_header_set_partial(struct stt_header *header,
                       const struct stt_inner *inner, uint16_t mss)
{
    if (inner->l4_offset > UINT8_MAX
        || (mss && (!inner->is_tcp || mss < STT_MSS_MIN))) {
        return EINVAL;
    }
    header->flags = (uint8_t) (STT_F_CSUM_PARTIAL
                               | (inner->is_ipv4 ? STT_F_IPV4 : 0)
                               | (inner->is_tcp ? STT_F_TCP : 0));
    header->l4_offset = (uint8_t) inner->l4_offset;
    header->mss = mss;
    return 0;
}

static uint8_t *
inner_checksum_field(uint8_t *eth, const struct stt_inner *inner)
{
    return eth + inner->l4_offset + (inner->is_tcp ? TCP_CSUM : UDP_CSUM);
}

static uint32_t
inner_pseudo_header(const uint8_t *eth, const struct stt_inner *inner)
{
    const uint8_t *ip = eth + inner->l3_offset;
    uint8_t protocol = inner->is_tcp ? PROTO_TCP : PROTO_UDP;
    uint32_t length = (uint32_t) (inner->end - inner->l4_offset);

    return (inner->is_ipv4
            ? checksum_pseudo_ipv4(be32_load(ip + IPV4_SRC),
                                   be32_load(ip + IPV4_DST), protocol, length)
            : checksum_pseudo_ipv6(ip + IPV6_SRC, protocol, length));
}

void
stt_inner_put_partial(void *eth_, const struct stt_inner *inner)
{
    uint8_t *eth = eth_;

    be16_store(inner_checksum_field(eth, inner),
               checksum_fold(inner_pseudo_header(eth, inner)));
}

void
stt_inner_complete(void *eth_, const struct stt_inner *inner)
{
    uint8_t *eth = eth_;
    uint8_t *field = inner_checksum_field(eth, inner);
    uint16_t checksum;

    be16_store(field, 0);
    checksum = checksum_finish(checksum_add(
        inner_pseudo_header(eth, inner), eth + inner->l4_offset,
        (size_t) (inner->end - inner->l4_offset)));

    /* In UDP a zero would say that there is no checksum (RFC 768). */
    be16_store(field, checksum || inner->is_tcp ? checksum : UINT16_MAX);
}
