/* SPDX-License-Identifier: Apache-2.0 */

#include "rewrite.h"

#include <string.h>

#include "be.h"
#include "checksum.h"
#include "ip.h"

#define MACS_SIZE 12
#define ECN_MASK 3

/* Updates the checksum at 'field' for words whose sum was 'old_sum' and is
 * 'new_sum' now; it is complemented, unless it is partial (RFC 1624,
 * equation 3). */
static void
update(uint8_t *field, uint32_t old_sum, uint32_t new_sum, bool is_partial)
{
    uint32_t sum = be16_load(field);

    if (is_partial) {
        sum += (uint16_t) ~checksum_fold(old_sum);
        sum += checksum_fold(new_sum);
        be16_store(field, checksum_fold(sum));
    } else {
        sum = (uint16_t) ~sum;
        sum += (uint16_t) ~checksum_fold(old_sum);
        sum += checksum_fold(new_sum);
        be16_store(field, checksum_finish(sum));
    }
}

/* Returns the L4 checksum that covers the pseudo header, or NULL.  '*is_udp'
 * says whether 0 means that there is none. */
static uint8_t *
l4_checksum(const struct packet *p, const struct layers *l, bool *is_udp)
{
    size_t size = layers_l4_size(l);

    *is_udp = l->protocol == PROTO_UDP;
    if (l->protocol == PROTO_TCP && size >= TCP_HEADER_SIZE) {
        return p->data + l->l4 + TCP_CSUM;
    }
    return (*is_udp && size >= UDP_HEADER_SIZE ? p->data + l->l4 + UDP_CSUM
            : NULL);
}

/* Updates the L4 checksum for what update() says.  'is_pseudo': the words are
 * the pseudo header's, of which a partial checksum is. */
static void
update_l4(struct packet *p, const struct layers *l, uint32_t old_sum,
          uint32_t new_sum, bool is_pseudo)
{
    bool is_udp;
    uint8_t *field = l4_checksum(p, l, &is_udp);
    bool is_partial;

    if (!field) {
        return;
    }
    is_partial = (packet_is_partial(p) && p->vnet.csum_start == l->l4
                  && p->data + l->l4 + p->vnet.csum_offset == field);
    if (is_partial) {
        if (is_pseudo) {
            update(field, old_sum, new_sum, true);
        }
        return;
    }
    if (is_udp && !be16_load(field)) {
        return;
    }
    update(field, old_sum, new_sum, false);
    if (is_udp && !be16_load(field)) {
        be16_store(field, UINT16_MAX);
    }
}

static bool
is_ipv4(const struct layers *l)
{
    return l->l3 && l->type == ETH_IPV4;
}

void
rewrite_push_vlan(struct packet *p, uint16_t tci)
{
    uint8_t *eth = packet_push(p, VLAN_TAG_SIZE);

    memmove(eth, eth + VLAN_TAG_SIZE, MACS_SIZE);
    be16_store(eth + ETH_TYPE_OFS, ETH_VLAN);
    be16_store(eth + ETH_TYPE_OFS + 2, tci);
    packet_shift_offload(p, VLAN_TAG_SIZE);
}

static void
set_tci(struct packet *p, struct layers *l, uint16_t tci, uint16_t mask)
{
    if (l->has_vlan) {
        uint8_t *field = p->data + ETH_TYPE_OFS + 2;

        be16_store(field, (uint16_t) ((be16_load(field) & ~mask) | tci));
    } else if (packet_headroom(p) >= VLAN_TAG_SIZE + VNET_SIZE) {
        rewrite_push_vlan(p, tci);
    }
    layers_find(l, p->data, p->size);
}

void
rewrite_vlan_vid(struct packet *p, struct layers *l, uint16_t vid)
{
    set_tci(p, l, vid, 0xfff);
}

void
rewrite_vlan_pcp(struct packet *p, struct layers *l, uint8_t pcp)
{
    set_tci(p, l, (uint16_t) (pcp << 13), 0xe000);
}

void
rewrite_strip_vlan(struct packet *p, struct layers *l)
{
    if (l->has_vlan) {
        memmove(p->data + VLAN_TAG_SIZE, p->data, MACS_SIZE);
        p->data += VLAN_TAG_SIZE;
        p->size -= VLAN_TAG_SIZE;
        packet_shift_offload(p, -VLAN_TAG_SIZE);
        layers_find(l, p->data, p->size);
    }
}

void
rewrite_dl_src(struct packet *p, const uint8_t mac[6])
{
    memcpy(p->data + 6, mac, 6);
}

void
rewrite_dl_dst(struct packet *p, const uint8_t mac[6])
{
    memcpy(p->data, mac, 6);
}

static uint32_t
sum_of(uint32_t address)
{
    return (address >> 16) + (address & UINT16_MAX);
}

static void
set_address(struct packet *p, const struct layers *l, size_t ofs,
            uint32_t address)
{
    uint8_t *ip = p->data + l->l3;
    uint32_t old;

    if (!is_ipv4(l)) {
        return;
    }
    old = be32_load(ip + ofs);
    be32_store(ip + ofs, address);
    update(ip + IPV4_CSUM, sum_of(old), sum_of(address), false);
    update_l4(p, l, sum_of(old), sum_of(address), true);
}

void
rewrite_nw_src(struct packet *p, const struct layers *l, uint32_t address)
{
    set_address(p, l, IPV4_SRC, address);
}

void
rewrite_nw_dst(struct packet *p, const struct layers *l, uint32_t address)
{
    set_address(p, l, IPV4_DST, address);
}

/* Sets the TOS byte of the IPv4 header at 'ip', which shares its word with
 * version and IHL. */
static void
set_tos(uint8_t *ip, uint8_t tos)
{
    uint16_t old = be16_load(ip);

    ip[IPV4_TOS] = tos;
    update(ip + IPV4_CSUM, old, be16_load(ip), false);
}

void
rewrite_nw_tos(struct packet *p, const struct layers *l, uint8_t tos)
{
    uint8_t *ip = p->data + l->l3;

    if (is_ipv4(l)) {
        set_tos(ip, (uint8_t) ((tos & ~ECN_MASK)
                               | (ip[IPV4_TOS] & ECN_MASK)));
    }
}

static void
set_port(struct packet *p, const struct layers *l, size_t ofs, uint16_t port)
{
    bool is_udp;
    uint8_t *field = p->data + l->l4 + ofs;
    uint16_t old;

    if (!is_ipv4(l) || !l4_checksum(p, l, &is_udp)) {
        return;
    }
    old = be16_load(field);
    be16_store(field, port);
    update_l4(p, l, old, port, false);
}

void
rewrite_tp_src(struct packet *p, const struct layers *l, uint16_t port)
{
    set_port(p, l, TCP_SRC_PORT, port);
}

void
rewrite_tp_dst(struct packet *p, const struct layers *l, uint16_t port)
{
    set_port(p, l, TCP_DST_PORT, port);
}

uint8_t
rewrite_get_ecn(const struct packet *p, const struct layers *l)
{
    const uint8_t *ip = p->data + l->l3;

    if (!l->l3 || l->type == ETH_ARP) {
        return 0;
    }
    return (l->type == ETH_IPV4 ? ip[IPV4_TOS] : ip[1] >> 4) & ECN_MASK;
}

void
rewrite_set_ce(struct packet *p, const struct layers *l)
{
    uint8_t *ip = p->data + l->l3;

    if (is_ipv4(l)) {
        set_tos(ip, ip[IPV4_TOS] | ECN_MASK);
    } else if (l->l3 && l->type == ETH_IPV6) {
        ip[1] |= ECN_MASK << 4;
    }
}
