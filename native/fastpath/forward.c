/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "forward.h"

#include <string.h>

#include "be.h"
#include "decap.h"
#include "gso.h"
#include "ip.h"
#include "rewrite.h"

#define ARP_REQUEST 1
#define ARP_REPLY 2

/* A packet on its way through its entry's actions. */
struct walk {
    struct forward *f;
    struct packet *packet;
    struct layers layers;
    bool has_outer;             /* It goes in a tunnel, with 'outer'. */
    struct tunnel_outer outer;
    unsigned int n_sent;
};

static void
drop(struct forward *f, struct packet *p, enum counter why)
{
    count(f->counters, why);
    packet_free(f->buffers, p);
}

static void
send_to_host(struct forward *f, struct packet *p)
{
    if (p->is_alone) {
        merge_add(&f->merge, p);
    } else {
        merge_flush(&f->merge);
        transmit_to_host(f->tx, p);
    }
}

/* Sends 'packet', which it takes, to 'port' as 'walk' has it. */
static void
emit(struct walk *w, struct packet *p, uint32_t port)
{
    struct forward *f = w->f;

    if (w->has_outer ? port != FASTPATH_NET : p->tunnel.type) {
        drop(f, p, COUNTER_DROP_OUTER_TO_HOST);
    } else if (w->has_outer) {
        encap_send(&f->encap, f->tx, p, &w->outer);
    } else if (port == FASTPATH_NET) {
        transmit_to_net(f->tx, p);
    } else {
        send_to_host(f, p);
    }
}

static uint16_t
other_port(uint16_t port)
{
    return port == FASTPATH_HOST ? FASTPATH_NET : FASTPATH_HOST;
}

/* Returns HOST or NET, or NONE if 'port' is where 'packet' came from or
 * nowhere: back goes only what is sent to IN_PORT (OpenFlow 1.0, section
 * 5.2.1). */
static uint16_t
resolve(const struct packet *p, uint32_t port)
{
    switch (port) {
    case FASTPATH_IN_PORT:
        return p->in_port;
    case FASTPATH_ALL:
    case FASTPATH_FLOOD:
        return other_port(p->in_port);
    default:
        return port == p->in_port ? FASTPATH_NONE : (uint16_t) port;
    }
}

/* Sends a copy, or the packet itself where 'is_last'.  Returns true if that is
 * gone. */
static bool
output(struct walk *w, uint32_t port_, bool is_last)
{
    uint16_t port = resolve(w->packet, port_);
    struct packet *p = w->packet;

    if (port == FASTPATH_NONE) {
        return false;
    }
    w->n_sent++;
    if (!is_last) {
        p = packet_copy(w->f->buffers, p);
    }
    if (p) {
        emit(w, p, port);
    } else {
        count(w->f->counters, COUNTER_DROP_NO_BUFFER);
    }
    return is_last;
}

/* Changes the outer headers that the packet is to have. */
static void
change_outer(struct tunnel_outer *o, const struct action *a)
{
    switch (a->kind) {
    case ACTION_VLAN_VID:
        o->vlan_tci = (uint16_t) ((o->vlan_tci & 0xf000) | a->value);
        o->has_vlan = true;
        break;
    case ACTION_VLAN_PCP:
        o->vlan_tci = (uint16_t) ((o->vlan_tci & 0xfff) | a->value << 13);
        o->has_vlan = true;
        break;
    case ACTION_STRIP_VLAN:
        o->vlan_tci = 0;
        o->has_vlan = false;
        break;
    case ACTION_DL_SRC:
        memcpy(o->dl_src, a->mac, sizeof o->dl_src);
        break;
    case ACTION_DL_DST:
        memcpy(o->dl_dst, a->mac, sizeof o->dl_dst);
        break;
    case ACTION_NW_SRC:
        o->nw_src = a->value;
        break;
    case ACTION_NW_DST:
        o->nw_dst = a->value;
        break;
    case ACTION_NW_TOS:
        o->tos = (uint8_t) a->value;
        break;
    case ACTION_TP_SRC:
        o->src_port = (uint16_t) a->value;
        break;
    case ACTION_TP_DST:
        o->dst_port = (uint16_t) a->value;
        break;
    case ACTION_OUTPUT:
    case ACTION_SET_TUNNEL:
    case ACTION_STRIP_TUNNEL:
        break;
    }
}

static void
change_packet(struct walk *w, const struct action *a)
{
    struct packet *p = w->packet;
    struct layers *l = &w->layers;

    switch (a->kind) {
    case ACTION_VLAN_VID:
        rewrite_vlan_vid(p, l, (uint16_t) a->value);
        break;
    case ACTION_VLAN_PCP:
        rewrite_vlan_pcp(p, l, (uint8_t) a->value);
        break;
    case ACTION_STRIP_VLAN:
        rewrite_strip_vlan(p, l);
        break;
    case ACTION_DL_SRC:
        rewrite_dl_src(p, a->mac);
        break;
    case ACTION_DL_DST:
        rewrite_dl_dst(p, a->mac);
        break;
    case ACTION_NW_SRC:
        rewrite_nw_src(p, l, a->value);
        break;
    case ACTION_NW_DST:
        rewrite_nw_dst(p, l, a->value);
        break;
    case ACTION_NW_TOS:
        rewrite_nw_tos(p, l, (uint8_t) a->value);
        break;
    case ACTION_TP_SRC:
        rewrite_tp_src(p, l, (uint16_t) a->value);
        break;
    case ACTION_TP_DST:
        rewrite_tp_dst(p, l, (uint16_t) a->value);
        break;
    case ACTION_OUTPUT:
    case ACTION_SET_TUNNEL:
    case ACTION_STRIP_TUNNEL:
        break;
    }
}

/* Returns false if the packet is to be dropped, which is counted. */
static bool
strip(struct walk *w, unsigned int type)
{
    if (w->has_outer && w->outer.type == type) {
        w->has_outer = false;
        return true;
    }
    if (w->has_outer || !decap_strip(w->packet, type, w->f->counters)) {
        return false;
    }
    layers_find(&w->layers, w->packet->data, w->packet->size);
    return true;
}

/* Runs 'packet', which it takes, through 'list'. */
static void
execute(struct forward *f, struct packet *p, const struct layers *layers,
        const struct action_list *list)
{
    struct walk w = { .f = f, .packet = p, .layers = *layers };

    for (size_t i = 0; i < list->n_to_last_output; i++) {
        const struct action *a = &list->actions[i];

        switch (a->kind) {
        case ACTION_OUTPUT:
            if (output(&w, a->value, i + 1 == list->n_to_last_output)) {
                return;
            }
            break;
        case ACTION_SET_TUNNEL:
            w.outer = a->outer;
            w.has_outer = true;
            break;
        case ACTION_STRIP_TUNNEL:
            if (!strip(&w, a->value)) {
                packet_free(f->buffers, p);
                return;
            }
            break;
        default:
            if (w.has_outer) {
                change_outer(&w.outer, a);
            } else {
                change_packet(&w, a);
            }
        }
    }
    if (!w.n_sent) {
        count(f->counters, COUNTER_DROP_ACTION);
    }
    packet_free(f->buffers, p);
}

static void
miss(struct forward *f, struct packet *p, const struct flow_key *key)
{
    if (p->tunnel.type) {
        drop(f, p, COUNTER_DROP_NO_ENTRY);
    } else if (p->in_port == FASTPATH_NET && f->underlay
               && key->dl_type == ETH_IPV4 && key->nw_dst == f->underlay) {
        drop(f, p, COUNTER_DROP_UNDERLAY);
    } else if (f->miss_drops) {
        drop(f, p, COUNTER_DROP_MISS);
    } else if (p->in_port == FASTPATH_HOST) {
        transmit_to_net(f->tx, p);
    } else {
        send_to_host(f, p);
    }
}

static void
look_up(struct forward *f, struct packet *p, const struct flow_key *key,
        const struct layers *layers)
{
    struct flow_entry *e = flow_table_lookup(&f->table, key);

    if (e) {
        e->stats.n_packets++;
        e->stats.n_bytes += p->size;
        e->stats.used_ms = f->now_ms;
        execute(f, p, layers, e->actions);
    } else {
        miss(f, p, key);
    }
}

/* Returns false if 'packet' makes no sense; then it is gone. */
static bool
admit(struct forward *f, struct packet *p)
{
    if (p->size < ETH_HEADER_SIZE) {
        drop(f, p, COUNTER_DROP_SHORT);
    } else if (!packet_is_offload_sane(p)) {
        drop(f, p, COUNTER_DROP_OFFLOAD);
    } else {
        return true;
    }
    return false;
}

void
forward_from_host(struct forward *f, struct packet *p)
{
    struct flow_key key;
    struct layers layers;

    p->in_port = FASTPATH_HOST;
    if (!admit(f, p)) {
        return;
    }
    flow_key_extract(&key, &layers, p);
    if (layers.type == ETH_CONTROL) {
        drop(f, p, COUNTER_DROP_HOST_CONTROL);
    } else {
        look_up(f, p, &key, &layers);
    }
}

static void
take_control(struct forward *f, struct packet *p)
{
    ssize_t n = send(f->control_fd, p->data, p->size,
                     MSG_DONTWAIT | MSG_NOSIGNAL);

    count(f->counters, n < 0 ? COUNTER_DROP_CONTROL_FULL : COUNTER_CONTROL_RX);
    packet_free(f->buffers, p);
}

/* Answers an ARP request for this vNIC's address. */
static void
answer_arp(struct forward *f, struct packet *p, const struct layers *layers)
{
    uint8_t *arp = p->data + layers->l3;

    memcpy(p->data, p->data + 6, 6);
    memcpy(p->data + 6, f->mac, 6);
    be16_store(arp + ARP_OPERATION, ARP_REPLY);
    memcpy(arp + ARP_THA, arp + ARP_SHA, 10);       /* And TPA from SPA. */
    memcpy(arp + ARP_SHA, f->mac, 6);
    be32_store(arp + ARP_SPA, f->underlay);
    packet_clear_offload(p);
    count(f->counters, COUNTER_ARP_REPLIES);
    transmit_to_net(f->tx, p);
}

static bool
is_arp_request(const struct forward *f, const struct flow_key *key)
{
    return (f->underlay && key->dl_type == ETH_ARP
            && key->nw_proto == ARP_REQUEST && key->nw_dst == f->underlay);
}

/* Takes a packet of VXLAN, NVGRE or Geneve. */
static void
take_datagram(struct forward *f, struct packet *p, struct flow_key *key,
              const struct layers *layers, enum tunnel_type type)
{
    switch (tunnel_parse(p, layers, type)) {
    case TUNNEL_FINE:
        key->tun_type = p->tunnel.type;
        key->tun_id = (uint32_t) p->tunnel.id;
        look_up(f, p, key, layers);
        break;
    case TUNNEL_MALFORMED:
        drop(f, p, COUNTER_DROP_MALFORMED);
        break;
    case TUNNEL_CHECKSUM:
        drop(f, p, COUNTER_DROP_CHECKSUM);
        break;
    case TUNNEL_CRITICAL:
        drop(f, p, COUNTER_DROP_CRITICAL);
        break;
    }
}

/* Takes the datagrams that the kernel has joined in 'packet' one by one. */
static void
take_datagrams(struct forward *f, struct packet *p, enum tunnel_type type)
{
    struct segment_slice slice;
    struct layers layers;
    struct flow_key key;
    struct gso gso;

    if (gso_begin(&gso, p)) {
        drop(f, p, COUNTER_DROP_MALFORMED);
        return;
    }
    for (size_t i = 0; i < gso.n; i++) {
        size_t header_size = gso_header_size(&gso);
        struct packet *part = pool_get(&f->buffers->large);

        if (!part) {
            count(f->counters, COUNTER_DROP_NO_BUFFER);
            continue;
        }
        gso_put(&gso, i, part->data, &slice);
        memcpy(part->data + header_size, p->data + slice.offset, slice.length);
        part->size = (uint32_t) (header_size + slice.length);
        part->in_port = p->in_port;
        part->vnet.flags = VIRTIO_NET_HDR_F_DATA_VALID;
        flow_key_extract(&key, &layers, part);
        take_datagram(f, part, &key, &layers, type);
    }
    packet_free(f->buffers, p);
}

static void
drain_assembly(struct forward *f)
{
    struct packet *p;

    while ((p = assembly_next(&f->assembly))) {
        struct flow_key key;
        struct layers layers;

        flow_key_extract(&key, &layers, p);
        look_up(f, p, &key, &layers);
    }
}

void
forward_from_net(struct forward *f, struct packet *p)
{
    enum tunnel_type type;
    struct flow_key key;
    struct layers layers;

    p->in_port = FASTPATH_NET;
    if (!admit(f, p)) {
        return;
    }
    flow_key_extract(&key, &layers, p);
    if (layers.type == ETH_CONTROL && !layers.has_vlan) {
        take_control(f, p);
        return;
    }
    if (is_arp_request(f, &key)) {
        answer_arp(f, p, &layers);
        return;
    }
    type = tunnel_of(p, &layers, f->underlay);
    if (type == TUNNEL_STT || type == TUNNEL_SCLP) {
        assembly_add(&f->assembly, p, layers.l3, type, f->now_ms);
        drain_assembly(f);
    } else if (type && packet_gso_type(p) == VIRTIO_NET_HDR_GSO_UDP_L4
               && p->vnet.csum_start == layers.l4) {
        take_datagrams(f, p, type);
    } else if (type) {
        take_datagram(f, p, &key, &layers, type);
    } else {
        look_up(f, p, &key, &layers);
    }
}

void
forward_finish(struct forward *f)
{
    assembly_finish(&f->assembly, f->now_ms);
    drain_assembly(f);
    merge_flush(&f->merge);
}
