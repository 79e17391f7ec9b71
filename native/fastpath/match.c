/* SPDX-License-Identifier: Apache-2.0 */

#include "match.h"

#include <errno.h>
#include <string.h>

#include "be.h"
#include "ip.h"

/* struct ofp_match (OpenFlow 1.0, section 5.2.3). */
enum {
    OFM_WILDCARDS = 0,
    OFM_IN_PORT = 4,
    OFM_DL_SRC = 6,
    OFM_DL_DST = 12,
    OFM_DL_VLAN = 18,
    OFM_DL_VLAN_PCP = 20,
    OFM_PAD1 = 21,
    OFM_DL_TYPE = 22,
    OFM_NW_TOS = 24,
    OFM_NW_PROTO = 25,
    OFM_PAD2 = 26,
    OFM_NW_SRC = 28,
    OFM_NW_DST = 32,
    OFM_TP_SRC = 36,
    OFM_TP_DST = 38
};

/* enum ofp_flow_wildcards. */
enum {
    OFW_IN_PORT = 1 << 0,
    OFW_DL_VLAN = 1 << 1,
    OFW_DL_SRC = 1 << 2,
    OFW_DL_DST = 1 << 3,
    OFW_DL_TYPE = 1 << 4,
    OFW_NW_PROTO = 1 << 5,
    OFW_TP_SRC = 1 << 6,
    OFW_TP_DST = 1 << 7,
    OFW_NW_SRC_SHIFT = 8,
    OFW_NW_DST_SHIFT = 14,
    OFW_DL_VLAN_PCP = 1 << 20,
    OFW_NW_TOS = 1 << 21,
    OFW_ALL = (1 << 22) - 1
};

/* Returns the mask of an address of which 'wildcards' bits do not matter. */
static uint32_t
address_mask(uint32_t wildcards)
{
    wildcards &= 0x3f;
    return wildcards < 32 ? UINT32_MAX << wildcards : 0;
}

static void
parse_ethernet(struct flow_key *key, struct flow_key *mask, const uint8_t *m,
               uint32_t wildcards)
{
    if (!(wildcards & OFW_IN_PORT)) {
        key->in_port = be16_load(m + OFM_IN_PORT);
        mask->in_port = UINT16_MAX;
    }
    if (!(wildcards & OFW_DL_SRC)) {
        memcpy(key->dl_src, m + OFM_DL_SRC, sizeof key->dl_src);
        memset(mask->dl_src, 0xff, sizeof mask->dl_src);
    }
    if (!(wildcards & OFW_DL_DST)) {
        memcpy(key->dl_dst, m + OFM_DL_DST, sizeof key->dl_dst);
        memset(mask->dl_dst, 0xff, sizeof mask->dl_dst);
    }
    if (!(wildcards & OFW_DL_TYPE)) {
        key->dl_type = be16_load(m + OFM_DL_TYPE);
        mask->dl_type = UINT16_MAX;
    }
}

/* A priority without a VLAN is that of any tagged packet. */
static void
parse_vlan(struct flow_key *key, struct flow_key *mask, const uint8_t *m,
           uint32_t wildcards)
{
    if (!(wildcards & OFW_DL_VLAN)) {
        key->dl_vlan = be16_load(m + OFM_DL_VLAN);
        mask->dl_vlan = UINT16_MAX;
    }
    if (!(wildcards & OFW_DL_VLAN_PCP)
        && !(mask->dl_vlan && key->dl_vlan == FLOW_VLAN_NONE)) {
        key->dl_vlan_pcp = (m[OFM_DL_VLAN_PCP] & 7) | FLOW_TAGGED;
        mask->dl_vlan_pcp = 7 | FLOW_TAGGED;
    }
}

/* Returns true if transport ports mean something in 'key'. */
static bool
has_ports(const struct flow_key *key, const struct flow_key *mask)
{
    return (key->dl_type == ETH_IPV4 && mask->nw_proto
            && (key->nw_proto == PROTO_TCP || key->nw_proto == PROTO_UDP
                || key->nw_proto == PROTO_ICMP));
}

/* The EtherType is IPv4 or ARP. */
static void
parse_network(struct flow_key *key, struct flow_key *mask, const uint8_t *m,
              uint32_t wildcards)
{
    mask->nw_src = address_mask(wildcards >> OFW_NW_SRC_SHIFT);
    mask->nw_dst = address_mask(wildcards >> OFW_NW_DST_SHIFT);
    key->nw_src = be32_load(m + OFM_NW_SRC) & mask->nw_src;
    key->nw_dst = be32_load(m + OFM_NW_DST) & mask->nw_dst;
    if (!(wildcards & OFW_NW_PROTO)) {
        key->nw_proto = m[OFM_NW_PROTO];
        mask->nw_proto = UINT8_MAX;
    }
    if (!(wildcards & OFW_NW_TOS) && key->dl_type == ETH_IPV4) {
        key->nw_tos = m[OFM_NW_TOS] & FLOW_DSCP_MASK;
        mask->nw_tos = FLOW_DSCP_MASK;
    }
}

static void
parse_ports(struct flow_key *key, struct flow_key *mask, const uint8_t *m,
            uint32_t wildcards)
{
    if (!(wildcards & OFW_TP_SRC)) {
        key->tp_src = be16_load(m + OFM_TP_SRC);
        mask->tp_src = UINT16_MAX;
    }
    if (!(wildcards & OFW_TP_DST)) {
        key->tp_dst = be16_load(m + OFM_TP_DST);
        mask->tp_dst = UINT16_MAX;
    }
}

static int
parse_tunnel(struct flow_key *key, struct flow_key *mask, const uint8_t *m)
{
    unsigned int n_bits = m[OFM_PAD2];

    if (m[OFM_PAD1] >= TUNNEL_N_TYPES || n_bits > 32) {
        return EINVAL;
    }
    key->tun_type = m[OFM_PAD1];
    mask->tun_type = UINT8_MAX;
    mask->tun_id = n_bits ? UINT32_MAX >> (32 - n_bits) : 0;
    key->tun_id = be32_load(m + OFM_TP_SRC) & mask->tun_id;
    return 0;
}

int
match_parse(struct flow_key *key, struct flow_key *mask, uint32_t *priority,
            const void *match)
{
    const uint8_t *m = match;
    uint32_t wildcards = be32_load(m + OFM_WILDCARDS) & OFW_ALL;

    memset(key, 0, sizeof *key);
    memset(mask, 0, sizeof *mask);
    parse_ethernet(key, mask, m, wildcards);
    parse_vlan(key, mask, m, wildcards);
    if (mask->dl_type
        && (key->dl_type == ETH_IPV4 || key->dl_type == ETH_ARP)) {
        parse_network(key, mask, m, wildcards);
    }
    *priority = wildcards ? *priority : MATCH_EXACT_PRIORITY;
    if (m[OFM_PAD1]) {
        return parse_tunnel(key, mask, m);
    }
    if (has_ports(key, mask)) {
        parse_ports(key, mask, m, wildcards);
    }
    return 0;
}
