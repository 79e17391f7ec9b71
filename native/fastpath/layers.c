/* SPDX-License-Identifier: Apache-2.0 */

#include "layers.h"

#include <string.h>

#include "be.h"
#include "hash.h"
#include "ip.h"

/* A type below this is the length of an 802.2 frame. */
#define ETH_TYPE_MIN 0x600

/* 802.2 header and SNAP with an EtherType. */
#define SNAP_SIZE 8
static const uint8_t snap_ethertype[6] = { 0xaa, 0xaa, 3, 0, 0, 0 };

static void
find_ipv4(struct layers *l, const uint8_t *eth, size_t size, size_t l3)
{
    const uint8_t *ip = eth + l3;
    size_t length, header_size;

    if (ipv4_sizes(ip, size - l3, &length, &header_size)) {
        return;
    }
    l->l3 = (uint16_t) l3;
    l->end = (uint16_t) (l3 + length);
    l->protocol = ip[IPV4_PROTOCOL];
    if (!(be16_load(ip + IPV4_FRAGMENT) & IPV4_OFFSET_MASK)) {
        l->l4 = (uint16_t) (l3 + header_size);
    }
}

static void
find_ipv6(struct layers *l, const uint8_t *eth, size_t size, size_t l3)
{
    const uint8_t *ip = eth + l3;
    size_t length;

    if (size - l3 < IPV6_HEADER_SIZE || ip[0] >> 4 != 6) {
        return;
    }
    length = IPV6_HEADER_SIZE + be16_load(ip + IPV6_LENGTH);
    if (length > size - l3) {
        return;
    }
    l->l3 = (uint16_t) l3;
    l->end = (uint16_t) (l3 + length);
    l->protocol = ip[IPV6_NEXT];
    l->l4 = (uint16_t) (l3 + IPV6_HEADER_SIZE);
}

static void
find_arp(struct layers *l, const uint8_t *eth, size_t size, size_t l3)
{
    const uint8_t *arp = eth + l3;

    if (size - l3 >= ARP_SIZE && be16_load(arp + ARP_HTYPE) == 1
        && be16_load(arp + ARP_PTYPE) == ETH_IPV4
        && be16_load(arp + ARP_LENGTHS) == 0x0604) {
        l->l3 = (uint16_t) l3;
    }
}

void
layers_find(struct layers *l, const uint8_t *eth, size_t size)
{
    size_t ofs = ETH_TYPE_OFS;

    memset(l, 0, sizeof *l);
    if (size > UINT16_MAX + ETH_HEADER_SIZE) {
        size = UINT16_MAX;
    }
    l->type = be16_load(eth + ofs);
    if (l->type == ETH_VLAN && size >= ETH_HEADER_SIZE + VLAN_TAG_SIZE) {
        l->has_vlan = true;
        l->vlan_tci = be16_load(eth + ofs + 2);
        ofs += VLAN_TAG_SIZE;
        l->type = be16_load(eth + ofs);
    }
    ofs += 2;
    if (l->type < ETH_TYPE_MIN) {
        l->type = ETH_NOT_ETHERNET_II;
        if (size - ofs >= SNAP_SIZE
            && !memcmp(eth + ofs, snap_ethertype, sizeof snap_ethertype)) {
            l->type = be16_load(eth + ofs + sizeof snap_ethertype);
            ofs += SNAP_SIZE;
        }
    }
    if (l->type == ETH_IPV4) {
        find_ipv4(l, eth, size, ofs);
    } else if (l->type == ETH_IPV6) {
        find_ipv6(l, eth, size, ofs);
    } else if (l->type == ETH_ARP) {
        find_arp(l, eth, size, ofs);
    }
}

uint32_t
layers_hash(const struct layers *l, const uint8_t *eth)
{
    uint64_t hash = HASH_BASIS;

    if (l->l3 && l->type == ETH_IPV4) {
        hash = hash_add(hash, be64_load(eth + l->l3 + IPV4_SRC));
    } else if (l->l3 && l->type == ETH_IPV6) {
        for (size_t i = 0; i < 32; i += 8) {
            hash = hash_add(hash, be64_load(eth + l->l3 + IPV6_SRC + i));
        }
    } else {
        hash = hash_add(hash, be64_load(eth));
        hash = hash_add(hash, be32_load(eth + 8));
    }
    hash = hash_add(hash, l->protocol);
    if ((l->protocol == PROTO_TCP || l->protocol == PROTO_UDP)
        && layers_l4_size(l) >= 4) {
        hash = hash_add(hash, be32_load(eth + l->l4));
    }
    return hash_finish(hash);
}
