/* SPDX-License-Identifier: Apache-2.0 */

#include "flow-key.h"

#include <string.h>

#include "be.h"
#include "ip.h"

static void
extract_ipv4(struct flow_key *key, const struct layers *l, const uint8_t *eth)
{
    const uint8_t *ip = eth + l->l3;
    const uint8_t *l4 = eth + l->l4;
    size_t l4_size = layers_l4_size(l);

    key->nw_src = be32_load(ip + IPV4_SRC);
    key->nw_dst = be32_load(ip + IPV4_DST);
    key->nw_tos = ip[IPV4_TOS] & FLOW_DSCP_MASK;
    key->nw_proto = l->protocol;
    if ((l->protocol == PROTO_TCP && l4_size >= TCP_HEADER_SIZE)
        || (l->protocol == PROTO_UDP && l4_size >= UDP_HEADER_SIZE)) {
        key->tp_src = be16_load(l4);
        key->tp_dst = be16_load(l4 + 2);
    } else if (l->protocol == PROTO_ICMP && l4_size >= 2) {
        key->tp_src = l4[0];
        key->tp_dst = l4[1];
    }
}

static void
extract_arp(struct flow_key *key, const uint8_t *arp)
{
    key->nw_src = be32_load(arp + ARP_SPA);
    key->nw_dst = be32_load(arp + ARP_TPA);
    key->nw_proto = arp[ARP_OPERATION + 1];
}

void
flow_key_extract(struct flow_key *key, struct layers *l,
                 const struct packet *p)
{
    const uint8_t *eth = p->data;

    layers_find(l, eth, p->size);
    memset(key, 0, sizeof *key);
    key->in_port = p->in_port;
    memcpy(key->dl_dst, eth, sizeof key->dl_dst);
    memcpy(key->dl_src, eth + 6, sizeof key->dl_src);
    key->dl_type = l->type;
    key->dl_vlan = FLOW_VLAN_NONE;
    if (l->has_vlan) {
        key->dl_vlan = l->vlan_tci & 0xfff;
        key->dl_vlan_pcp = (uint8_t) (FLOW_TAGGED | l->vlan_tci >> 13);
    }
    if (l->l3 && l->type == ETH_IPV4) {
        extract_ipv4(key, l, eth);
    } else if (l->l3 && l->type == ETH_ARP) {
        extract_arp(key, eth + l->l3);
    }
    if (p->tunnel.type) {
        key->tun_type = p->tunnel.type;
        key->tun_id = (uint32_t) p->tunnel.id;
    }
}
