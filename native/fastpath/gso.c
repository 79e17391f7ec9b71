/* SPDX-License-Identifier: Apache-2.0 */

#include "gso.h"

#include <errno.h>
#include <string.h>

#include "be.h"
#include "checksum.h"
#include "ip.h"

#define TCP_CWR 0x80

int
gso_begin(struct gso *gso, const struct packet *p)
{
    uint8_t type = packet_gso_type(p);
    struct stt_inner *inner = &gso->inner;

    if (stt_inner_find(inner, p->data, p->size)
        || inner->payload_offset > GSO_HEADER_MAX
        || inner->payload_offset >= inner->end || !p->vnet.gso_size
        || inner->is_tcp != (type == VIRTIO_NET_HDR_GSO_TCPV4
                             || type == VIRTIO_NET_HDR_GSO_TCPV6)
        || (!inner->is_tcp && type != VIRTIO_NET_HDR_GSO_UDP_L4)) {
        return EINVAL;
    }
    gso->eth = p->data;
    gso->mss = p->vnet.gso_size;
    gso->n = segment_count((size_t) (inner->end - inner->payload_offset),
                           gso->mss);
    return 0;
}

void
gso_set_ip_length(const struct stt_inner *inner, uint8_t *eth, size_t length)
{
    uint8_t *ip = eth + inner->l3_offset;

    if (inner->is_ipv4) {
        be16_store(ip + IPV4_LENGTH, (uint16_t) length);
        be16_store(ip + IPV4_CSUM, 0);
        be16_store(ip + IPV4_CSUM, checksum_finish(checksum_add(
            0, ip, (size_t) (inner->l4_offset - inner->l3_offset))));
    } else {
        be16_store(ip + IPV6_LENGTH, (uint16_t) (length - IPV6_HEADER_SIZE));
    }
}

uint32_t
gso_pseudo_header(const struct stt_inner *inner, const uint8_t *eth,
                  size_t l4_length)
{
    const uint8_t *ip = eth + inner->l3_offset;
    uint8_t protocol = inner->is_tcp ? PROTO_TCP : PROTO_UDP;

    return (inner->is_ipv4
            ? checksum_pseudo_ipv4(be32_load(ip + IPV4_SRC),
                                   be32_load(ip + IPV4_DST), protocol,
                                   (uint32_t) l4_length)
            : checksum_pseudo_ipv6(ip + IPV6_SRC, protocol,
                                   (uint32_t) l4_length));
}

void
gso_put(const struct gso *gso, size_t index, uint8_t *header,
        struct segment_slice *slice)
{
    const struct stt_inner *inner = &gso->inner;
    size_t l4_size = (size_t) (inner->payload_offset - inner->l4_offset);
    size_t total = (size_t) (inner->end - inner->payload_offset);
    uint8_t *id = header + inner->l3_offset + IPV4_ID;
    uint8_t *l4 = header + inner->l4_offset;
    uint8_t *checksum = l4 + (inner->is_tcp ? TCP_CSUM : UDP_CSUM);
    struct segment_slice s = segment_at(total, gso->mss, index);
    uint16_t value;
    uint32_t sum;

    memcpy(header, gso->eth, inner->payload_offset);
    if (inner->is_ipv4) {
        be16_store(id, (uint16_t) (be16_load(id) + index));
    }
    gso_set_ip_length(inner, header, (size_t) (inner->payload_offset
                                               - inner->l3_offset) + s.length);
    if (inner->is_tcp) {
        be32_store(l4 + TCP_SEQUENCE,
                   be32_load(l4 + TCP_SEQUENCE) + s.offset);
        if (index) {
            l4[TCP_FLAGS] &= (uint8_t) ~TCP_CWR;
        }
        if (index + 1 < gso->n) {
            l4[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        }
    } else {
        be16_store(l4 + UDP_LENGTH, (uint16_t) (l4_size + s.length));
    }
    s.offset += inner->payload_offset;
    be16_store(checksum, 0);
    sum = gso_pseudo_header(inner, header, l4_size + s.length);
    sum = checksum_add(sum, l4, l4_size);
    value = checksum_finish(checksum_add(sum, gso->eth + s.offset, s.length));
    be16_store(checksum, value || inner->is_tcp ? value : UINT16_MAX);
    *slice = s;
}
