/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "encap.h"

#include <string.h>

#include "be.h"
#include "flow-key.h"
#include "gso.h"
#include "ip.h"
#include "rewrite.h"
#include "sclp-payload.h"
#include "sclp-segment.h"

/* Source ports by the inner flow, as Linux gives to who does not ask. */
#define SRC_PORT_MIN 32768
#define N_SRC_PORTS (61000 - SRC_PORT_MIN)

#define OUTER_TTL 128
#define GRE_F_KEY 0x2000
#define ETHERNET_IN_IP 0x6558           /* Protocol in GRE and Geneve. */
#define VXLAN_F_VNI 0x08

/* A frame on its way. */
struct job {
    struct encap *encap;
    struct transmit *tx;
    const struct tunnel_outer *outer;
    uint32_t mtu;
    uint16_t src_port;
    uint8_t tos;
};

static void
drop(struct transmit *tx, struct packet *p, enum counter why)
{
    count(tx->counters, why);
    packet_free(tx->buffers, p);
}

static size_t
l2_size(const struct tunnel_outer *o)
{
    return ETH_HEADER_SIZE + (o->has_vlan ? VLAN_TAG_SIZE : 0u);
}

/* Writes the outer Ethernet header, l2_size() bytes, to 'eth'. */
static void
put_ethernet(uint8_t *eth, const struct tunnel_outer *o)
{
    memcpy(eth, o->dl_dst, sizeof o->dl_dst);
    memcpy(eth + 6, o->dl_src, sizeof o->dl_src);
    eth += ETH_TYPE_OFS;
    if (o->has_vlan) {
        be16_store(eth, ETH_VLAN);
        be16_store(eth + 2, o->vlan_tci);
        eth += VLAN_TAG_SIZE;
    }
    be16_store(eth, ETH_IPV4);
}

/* Returns what the outer IPv4 and L4 headers of a frame's 'n' packets say. */
static struct segment_outer
next_outer(const struct job *job, uint16_t dst_port, uint32_t id, size_t n)
{
    uint16_t ip_id = job->encap->ip_id;

    job->encap->ip_id = (uint16_t) (ip_id + n);
    return (struct segment_outer) {
        .src = job->outer->nw_src,
        .dst = job->outer->nw_dst,
        .src_port = job->src_port,
        .dst_port = job->outer->dst_port ? job->outer->dst_port : dst_port,
        .id = id,
        .ip_id = ip_id,
        .tos = job->tos,
        .ttl = OUTER_TTL,
        .df = true,
    };
}

/* Makes 'state' say what of 'packet' is still to be done, and the checksum
 * field what it has to.  Returns false if that cannot be said. */
static bool
take_offload(struct packet *p, struct stt_header *state)
{
    struct stt_inner inner;

    if (stt_inner_find(&inner, p->data, p->size)
        || inner.l4_offset != p->vnet.csum_start
        || stt_header_set_partial(state, &inner,
                                  packet_is_gso(p) ? p->vnet.gso_size : 0)) {
        return false;
    }
    stt_inner_put_partial(p->data, &inner);
    return true;
}

/* Returns true if an inner frame with the offload state of 'packet' must not
 * cross a tunnel: its receiver could not be told (UDP), or would mark every
 * segment of what it cuts (CWR). */
static bool
is_cut_here(const struct packet *p)
{
    return (packet_is_gso(p)
            && (p->vnet.gso_type & VIRTIO_NET_HDR_GSO_ECN
                || packet_gso_type(p) == VIRTIO_NET_HDR_GSO_UDP_L4));
}

static struct packet *
get_packet(struct transmit *tx, size_t size)
{
    struct pool *pool = (size <= PACKET_SMALL_MAX ? &tx->buffers->small
                         : &tx->buffers->large);
    struct packet *p = pool_get(pool);

    if (!p) {
        transmit_flush(tx);
        p = pool_get(pool);
    }
    return p;
}

/* Sends the segments of 'packet', each as a frame of its own. */
static void
send_cut(const struct job *job, struct packet *p,
         void (*send)(const struct job *, struct packet *))
{
    struct segment_slice slice;
    struct gso gso;

    if (gso_begin(&gso, p)) {
        drop(job->tx, p, COUNTER_DROP_SEGMENTATION);
        return;
    }
    for (size_t i = 0; i < gso.n; i++) {
        size_t header_size = gso_header_size(&gso);
        struct packet *part = get_packet(job->tx, header_size + gso.mss);

        if (!part) {
            count(job->tx->counters, COUNTER_DROP_NO_BUFFER);
            continue;
        }
        gso_put(&gso, i, part->data, &slice);
        memcpy(part->data + header_size, p->data + slice.offset, slice.length);
        part->size = (uint32_t) (header_size + slice.length);
        send(job, part);
    }
    packet_free(job->tx->buffers, p);
}

/* STT. */

static void
send_stt(const struct job *job, struct packet *p)
{
    size_t l2 = l2_size(job->outer), total, payload_max = job->mtu
                                                         - SEGMENT_HEADER_SIZE;
    struct stt_header header = { .context_id = job->outer->id };
    struct segment_outer outer;
    struct segment_slice slice;
    struct layers layers;
    uint8_t *eth;

    layers_find(&layers, p->data, p->size);
    if (is_cut_here(p)
        || (packet_is_gso(p) && p->size > STT_INNER_MAX)) {
        send_cut(job, p, send_stt);
        return;
    }
    if (layers.has_vlan) {
        header.has_vlan = true;
        header.vlan_tci = layers.vlan_tci & 0xefff;
        rewrite_strip_vlan(p, &layers);
    }
    if (packet_is_partial(p) && !take_offload(p, &header)) {
        if (packet_is_gso(p)) {
            drop(job->tx, p, COUNTER_DROP_SEGMENTATION);
            return;
        }
        packet_complete_checksum(p);
    }
    total = STT_HEADER_SIZE + p->size;
    if (p->size > STT_INNER_MAX || total < STT_TOTAL_MIN) {
        drop(job->tx, p, COUNTER_DROP_TOO_LARGE);
        return;
    }
    outer = next_outer(job, STT_DST_PORT, job->encap->frame_id++,
                       segment_count(total, payload_max));
    eth = packet_push(p, (uint32_t) (l2 + SEGMENT_HEADER_SIZE
                                     + STT_HEADER_SIZE));
    stt_header_put(eth + l2 + SEGMENT_HEADER_SIZE, &header);
    segment_put(eth + l2, &slice, &outer, eth + l2 + SEGMENT_HEADER_SIZE,
                total, total, 0, true);
    put_ethernet(eth, job->outer);
    p->vnet = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = (uint16_t) (l2 + IPV4_HEADER_SIZE),
        .csum_offset = TCP_CSUM,
    };
    if (total > payload_max) {
        p->vnet.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        p->vnet.gso_size = (uint16_t) payload_max;
        p->vnet.hdr_len = (uint16_t) (l2 + SEGMENT_HEADER_SIZE);
    }
    count(job->tx->counters, COUNTER_ENCAPSULATED);
    transmit_to_net(job->tx, p);
}

/* VXLAN, Geneve and NVGRE: one IP packet for each inner frame. */

/* Returns the bytes from the outer IPv4 header to the inner frame. */
static size_t
datagram_header_size(const struct tunnel_outer *o)
{
    return IPV4_HEADER_SIZE + (o->type == TUNNEL_NVGRE ? NVGRE_HEADER_SIZE
                               : UDP_HEADER_SIZE + UDP_TUNNEL_HEADER_SIZE);
}

static void
put_tunnel(uint8_t *header, const struct tunnel_outer *o)
{
    memset(header, 0, UDP_TUNNEL_HEADER_SIZE);
    if (o->type == TUNNEL_VXLAN) {
        header[0] = VXLAN_F_VNI;
    } else if (o->type == TUNNEL_GENEVE) {
        be16_store(header + 2, ETHERNET_IN_IP);
    } else {
        be16_store(header, GRE_F_KEY);
        be16_store(header + 2, ETHERNET_IN_IP);
    }
    be32_store(header + 4, (uint32_t) (o->id << 8));
}

/* Writes the outer headers before an inner frame of 'size' bytes to 'eth'. */
static void
put_datagram(const struct job *job, uint8_t *eth, size_t size)
{
    const struct tunnel_outer *o = job->outer;
    bool is_udp = o->type != TUNNEL_NVGRE;
    uint8_t *ip = eth + l2_size(o);
    uint8_t *l4 = ip + IPV4_HEADER_SIZE;
    size_t length = datagram_header_size(o) - IPV4_HEADER_SIZE + size;
    struct segment_outer outer = next_outer(
        job, o->type == TUNNEL_VXLAN ? VXLAN_PORT : GENEVE_PORT, 0, 1);

    put_ethernet(eth, o);
    segment_put_ipv4(ip, &outer, is_udp ? PROTO_UDP : PROTO_GRE, 0, length);
    if (is_udp) {
        be16_store(l4 + UDP_SRC_PORT, outer.src_port);
        be16_store(l4 + UDP_DST_PORT, outer.dst_port);
        be16_store(l4 + UDP_LENGTH, (uint16_t) length);
        be16_store(l4 + UDP_CSUM, 0);   /* None: RFC 7348, section 4.1. */
        l4 += UDP_HEADER_SIZE;
    }
    put_tunnel(l4, o);
}

/* Sends the segments of a large frame: headers, and a slice of it. */
static void
send_datagrams_cut(const struct job *job, struct packet *p)
{
    size_t outer_size = l2_size(job->outer) + datagram_header_size(job->outer);
    struct transmit *tx = job->tx;
    struct segment_slice slice;
    size_t header_size;
    struct gso gso;

    if (gso_begin(&gso, p)) {
        drop(tx, p, COUNTER_DROP_SEGMENTATION);
        return;
    }
    header_size = gso_header_size(&gso);
    if (datagram_header_size(job->outer) + header_size
        + (gso.n > 1 ? gso.mss : gso.inner.end - header_size) > job->mtu) {
        drop(tx, p, COUNTER_DROP_TOO_LARGE);
        return;
    }
    for (size_t i = 0; i < gso.n; i++) {
        uint8_t *header;

        transmit_begin(tx, VNET_SIZE + outer_size + header_size, 2);
        header = transmit_header(tx, VNET_SIZE + outer_size + header_size);
        memset(header, 0, VNET_SIZE);
        gso_put(&gso, i, header + VNET_SIZE + outer_size, &slice);
        put_datagram(job, header + VNET_SIZE, header_size + slice.length);
        transmit_slice(tx, p->data + slice.offset, slice.length);
        count(tx->counters, COUNTER_ENCAPSULATED);
    }
    transmit_hold(tx, p);
}

static void
send_datagram(const struct job *job, struct packet *p)
{
    size_t header_size = datagram_header_size(job->outer);
    size_t size = p->size;

    if (packet_is_gso(p)) {
        send_datagrams_cut(job, p);
        return;
    }
    if (header_size + size > job->mtu) {
        drop(job->tx, p, COUNTER_DROP_TOO_LARGE);
        return;
    }
    if (packet_is_partial(p)) {
        packet_complete_checksum(p);
    }
    packet_clear_offload(p);
    header_size += l2_size(job->outer);
    put_datagram(job, packet_push(p, (uint32_t) header_size), size);
    count(job->tx->counters, COUNTER_ENCAPSULATED);
    transmit_to_net(job->tx, p);
}

/* SCLP. */

/* Adds a message with 'n_records' segments of 'packet', an SCLP frame, from
 * 'index' on. */
static void
add_sclp(const struct job *job, const struct packet *p,
         const struct sclp_outer *outer, size_t payload_max, size_t index,
         size_t n_records)
{
    size_t l2 = l2_size(job->outer), l4 = l2 + IPV4_HEADER_SIZE;
    size_t header_size = VNET_SIZE + l2 + (outer->is_udp ? SCLP_UDP_SIZE
                                           : SCLP_NATIVE_SIZE);
    struct virtio_net_hdr vnet = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = (uint16_t) l4,
        .csum_offset = outer->is_udp ? UDP_CSUM : SCLP_CSUM_OFS,
    };
    struct transmit *tx = job->tx;
    struct segment_slice slice;
    uint8_t *header;

    if (n_records > 1) {
        vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        vnet.gso_size = (uint16_t) (SCLP_HEADER_SIZE + payload_max);
        vnet.hdr_len = (uint16_t) (l4 + UDP_HEADER_SIZE);
    }
    transmit_begin(tx, header_size + n_records * SCLP_HEADER_SIZE,
                   2 * n_records);
    header = transmit_header(tx, header_size);
    memcpy(header, &vnet, sizeof vnet);
    put_ethernet(header + VNET_SIZE, job->outer);
    sclp_packet_put(header + VNET_SIZE + l2, &slice, outer, p->data, p->size,
                    payload_max, index, n_records, true);
    transmit_slice(tx, p->data + slice.offset, slice.length);
    for (size_t i = 1; i < n_records; i++) {
        sclp_record_put(transmit_header(tx, SCLP_HEADER_SIZE), &slice, outer,
                        p->size, payload_max, index + i);
        transmit_slice(tx, p->data + slice.offset, slice.length);
    }
}

static void
send_sclp(const struct job *job, struct packet *p)
{
    bool is_udp = job->outer->is_udp;
    size_t payload_max = job->mtu - (is_udp ? SCLP_UDP_SIZE
                                     : SCLP_NATIVE_SIZE);
    size_t n, n_records = is_udp ? sclp_super_records(payload_max) : 1;
    struct stt_header state = { .flags = 0 };
    struct sclp_outer outer;
    uint8_t *vxlan;

    if (packet_is_gso(p)
        && (!job->outer->may_offload || is_cut_here(p)
            || p->size > SCLP_TOTAL_MAX - SCLP_VXLAN_HEADER_SIZE)) {
        send_cut(job, p, send_sclp);
        return;
    }
    if (packet_is_partial(p)
        && !(job->outer->may_offload && take_offload(p, &state))) {
        if (packet_is_gso(p)) {
            drop(job->tx, p, COUNTER_DROP_SEGMENTATION);
            return;
        }
        packet_complete_checksum(p);
    }
    if (p->size > SCLP_TOTAL_MAX - SCLP_VXLAN_HEADER_SIZE) {
        drop(job->tx, p, COUNTER_DROP_TOO_LARGE);
        return;
    }
    vxlan = packet_push(p, SCLP_VXLAN_HEADER_SIZE);
    memset(vxlan, 0, SCLP_VXLAN_HEADER_SIZE);
    vxlan[0] = VXLAN_F_VNI;
    be32_store(vxlan + 4, (uint32_t) (job->outer->id << 8));
    if (state.flags) {
        sclp_vxlan_put_offload(vxlan, &state);
    }
    n = segment_count(p->size, payload_max);
    outer = (struct sclp_outer) {
        .outer = next_outer(job, SCLP_VXLAN_PORT,
                            job->encap->frame_id++ << 1 & SCLP_ID_MASK, n),
        .is_udp = is_udp,
        .udp_src_port = job->src_port,
        .udp_dst_port = SCLP_UDP_PORT,
    };
    if (job->tx->lacks_uso) {
        n_records = 1;
    }
    for (size_t i = 0; i < n; i += n_records) {
        add_sclp(job, p, &outer, payload_max, i,
                 n - i < n_records ? n - i : n_records);
    }
    count(job->tx->counters, COUNTER_ENCAPSULATED);
    transmit_hold(job->tx, p);
}

void
encap_send(struct encap *encap, struct transmit *tx, struct packet *p,
           const struct tunnel_outer *outer)
{
    struct job job = {
        .encap = encap,
        .tx = tx,
        .outer = outer,
        .mtu = (outer->mtu && outer->mtu < encap->mtu ? outer->mtu
                : encap->mtu),
        .src_port = outer->src_port,
    };
    struct layers layers;

    layers_find(&layers, p->data, p->size);
    if (!job.src_port) {
        job.src_port = (uint16_t) (SRC_PORT_MIN + layers_hash(&layers, p->data)
                                   % N_SRC_PORTS);
    }
    job.tos = (uint8_t) ((outer->tos & FLOW_DSCP_MASK)
                         | rewrite_get_ecn(p, &layers));
    if (outer->type == TUNNEL_STT) {
        send_stt(&job, p);
    } else if (outer->type == TUNNEL_SCLP) {
        send_sclp(&job, p);
    } else {
        send_datagram(&job, p);
    }
}
