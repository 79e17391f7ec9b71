/* SPDX-License-Identifier: Apache-2.0 */

#include "decap.h"

#include "ip.h"
#include "rewrite.h"

/* Makes the virtio-net header of the inner frame in 'packet' say what 'state'
 * does.  Returns false if the frame contradicts it. */
static bool
apply_state(struct packet *p, const struct stt_header *state)
{
    struct stt_inner inner;
    uint16_t mss;

    if (stt_inner_check(&inner, state, p->data, p->size)) {
        return false;
    }
    mss = stt_inner_mss(&inner, state);
    p->vnet = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = inner.l4_offset,
        .csum_offset = inner.is_tcp ? TCP_CSUM : UDP_CSUM,
    };
    if (mss) {
        p->vnet.gso_type = (inner.is_ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4
                            : VIRTIO_NET_HDR_GSO_TCPV6);
        p->vnet.gso_size = mss;
        p->vnet.hdr_len = inner.payload_offset;
    }
    return true;
}

/* Takes congestion over to the inner frame (RFC 6040, section 4.2).  Returns
 * false if that could not be told to anybody. */
static bool
apply_ce(struct packet *p)
{
    struct layers layers;

    layers_find(&layers, p->data, p->size);
    if (!rewrite_get_ecn(p, &layers)) {
        return false;
    }
    rewrite_set_ce(p, &layers);
    return true;
}

bool
decap_strip(struct packet *p, unsigned int type, struct counters *counters)
{
    struct tunnel_info t = p->tunnel;

    if (!t.type || t.type != type) {
        count(counters, COUNTER_DROP_NO_TUNNEL);
        return false;
    }
    p->tunnel = (struct tunnel_info) { .type = TUNNEL_NONE };
    p->is_alone = t.type != TUNNEL_STT && t.type != TUNNEL_SCLP;
    packet_pull(p, t.inner_offset);
    if (t.state.flags & STT_F_CSUM_PARTIAL && !apply_state(p, &t.state)) {
        count(counters, COUNTER_DROP_INNER);
        return false;
    }
    if (t.ce && !apply_ce(p)) {
        count(counters, COUNTER_DROP_ECN);
        return false;
    }
    if (t.state.has_vlan) {
        rewrite_push_vlan(p, t.state.vlan_tci);
    }
    count(counters, COUNTER_DECAPSULATED);
    return true;
}
