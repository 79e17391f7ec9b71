/* SPDX-License-Identifier: Apache-2.0 */

#include "tunnel.h"

#include "be.h"
#include "checksum.h"
#include "ip.h"
#include "sclp.h"
#include "sclp-payload.h"

/* VXLAN header: flags 8, reserved 24, VNI 24, reserved 8; what is reserved is
 * ignored (RFC 7348, section 5). */
#define VXLAN_F_VNI 0x08

/* GRE header of NVGRE: flags and version 16, protocol 16, VSID 24, FlowID
 * 8. */
#define NVGRE_FLAGS 0x2000              /* A key and nothing else. */
#define GRE_ETHERNET 0x6558

/* Second byte of a Geneve header: O, control, and C, critical options. */
#define GENEVE_F_OAM_CRITICAL 0xc0

static enum tunnel_type
type_of_udp(uint16_t port)
{
    return (port == VXLAN_PORT ? TUNNEL_VXLAN
            : port == GENEVE_PORT ? TUNNEL_GENEVE
            : port == SCLP_UDP_PORT ? TUNNEL_SCLP
            : TUNNEL_NONE);
}

enum tunnel_type
tunnel_of(const struct packet *p, const struct layers *l, uint32_t underlay)
{
    const uint8_t *ip = p->data + l->l3;
    size_t l4_size = layers_l4_size(l);

    if (!underlay || l->type != ETH_IPV4 || !l->l4
        || be32_load(ip + IPV4_DST) != underlay
        || be16_load(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK) {
        return TUNNEL_NONE;
    }
    switch (l->protocol) {
    case PROTO_TCP:
        return (l4_size >= TCP_HEADER_SIZE
                && be16_load(p->data + l->l4 + TCP_DST_PORT) == STT_DST_PORT
                ? TUNNEL_STT : TUNNEL_NONE);
    case PROTO_UDP:
        return (l4_size >= UDP_HEADER_SIZE
                ? type_of_udp(be16_load(p->data + l->l4 + UDP_DST_PORT))
                : TUNNEL_NONE);
    case PROTO_GRE:
        return TUNNEL_NVGRE;
    case SCLP_PROTOCOL:
        return TUNNEL_SCLP;
    default:
        return TUNNEL_NONE;
    }
}

static bool
is_ip_checksum_right(const struct packet *p, const struct layers *l)
{
    const uint8_t *ip = p->data + l->l3;

    return !checksum_finish(checksum_add(0, ip,
                                         4 * (ip[IPV4_VERSION_IHL] & 0xfu)));
}

/* Returns true if the UDP checksum is right, absent, or somebody else sees to
 * it: where a checksum is still to be completed, be it an inner one, which the
 * outer one then already takes for completed, the packet never was on a
 * wire. */
static bool
is_udp_checksum_right(const struct packet *p, const struct layers *l)
{
    const uint8_t *ip = p->data + l->l3;
    const uint8_t *udp = p->data + l->l4;
    uint32_t length = be16_load(udp + UDP_LENGTH);

    if (!be16_load(udp + UDP_CSUM)
        || p->vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID
        || (packet_is_partial(p) && p->vnet.csum_start >= l->l4)) {
        return true;
    }
    return !checksum_finish(checksum_add(
        checksum_pseudo_ipv4(be32_load(ip + IPV4_SRC),
                             be32_load(ip + IPV4_DST), PROTO_UDP, length),
        udp, length));
}

/* Parse the header of which 'size' bytes stand at 'header'.  Return its own
 * size, or 0 if it is malformed. */

static uint32_t
parse_vxlan(struct tunnel_info *t, const uint8_t *header, size_t size)
{
    if (size < UDP_TUNNEL_HEADER_SIZE || !(header[0] & VXLAN_F_VNI)) {
        return 0;
    }
    t->id = be32_load(header + 4) >> 8;
    return UDP_TUNNEL_HEADER_SIZE;
}

static uint32_t
parse_nvgre(struct tunnel_info *t, const uint8_t *header, size_t size)
{
    if (size < NVGRE_HEADER_SIZE || be16_load(header) != NVGRE_FLAGS
        || be16_load(header + 2) != GRE_ETHERNET) {
        return 0;
    }
    t->id = be32_load(header + 4) >> 8;
    return NVGRE_HEADER_SIZE;
}

static uint32_t
parse_geneve(struct tunnel_info *t, const uint8_t *header, size_t size)
{
    struct sclp_payload payload;

    if (sclp_geneve_parse(&payload, header, size, false)) {
        return 0;
    }
    t->id = payload.vni;
    return payload.inner_offset;
}

enum tunnel_fault
tunnel_parse(struct packet *p, const struct layers *l, enum tunnel_type type)
{
    bool is_udp = type != TUNNEL_NVGRE;
    size_t offset = l->l4 + (is_udp ? UDP_HEADER_SIZE : 0u);
    const uint8_t *header = p->data + offset;
    size_t end = l->end;
    uint32_t size;

    if (is_udp) {
        size_t length = be16_load(p->data + l->l4 + UDP_LENGTH);

        if (length < UDP_HEADER_SIZE || length > layers_l4_size(l)) {
            return TUNNEL_MALFORMED;
        }
        end = l->l4 + length;
    }
    if (!is_ip_checksum_right(p, l)
        || (is_udp && !is_udp_checksum_right(p, l))) {
        return TUNNEL_CHECKSUM;
    }
    size = (type == TUNNEL_VXLAN
            ? parse_vxlan(&p->tunnel, header, end - offset)
            : type == TUNNEL_NVGRE
            ? parse_nvgre(&p->tunnel, header, end - offset)
            : parse_geneve(&p->tunnel, header, end - offset));
    if (!size || end - offset - size < ETH_HEADER_SIZE) {
        return TUNNEL_MALFORMED;
    }
    if (type == TUNNEL_GENEVE && header[1] & GENEVE_F_OAM_CRITICAL) {
        return TUNNEL_CRITICAL;
    }
    p->tunnel.type = (uint8_t) type;
    p->tunnel.inner_offset = (uint16_t) (offset + size);
    p->tunnel.ce = (p->data[l->l3 + IPV4_TOS] & 3) == 3;
    p->size = (uint32_t) end;           /* Without Ethernet padding. */
    return TUNNEL_FINE;
}
