/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-sclp.h"

#include <errno.h>
#include <net/if.h>

#include "coverage.h"
#include "dp-packet.h"
#include "dp-packet-gso.h"
#include "dpif-netdev.h"
#include "netdev-native-tnl.h"
#include "netdev-provider.h"
#include "netdev-reassembly.h"
#include "odp-netlink.h"
#include "openvswitch/dynamic-string.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "packets.h"
#include "random.h"
#include "sclp.h"
#include "sclp-payload.h"
#include "sclp-segment.h"
#include "stt.h"
#include "unixctl.h"
#include "util.h"

COVERAGE_DEFINE(sclp_push);
COVERAGE_DEFINE(sclp_push_drop);
COVERAGE_DEFINE(sclp_cut);
COVERAGE_DEFINE(sclp_pop_single);
COVERAGE_DEFINE(sclp_pop_reassembled);
COVERAGE_DEFINE(sclp_pop_queued);
COVERAGE_DEFINE(sclp_pop_drop);

static struct netdev_reassembly *reassembly;
static atomic_uint64_t verdicts[SCLP_N_VERDICTS];
static atomic_uint64_t n_other_payload;
static atomic_uint64_t n_pushed;
static atomic_uint64_t n_push_dropped;
static atomic_uint32_t next_id;
static atomic_uint32_t next_ip_id;

/* How many tunnels take offload state, by their UDP port, 0 without UDP. */
static atomic_uint32_t n_takers[UINT16_MAX + 1];

static void sclp_show(struct unixctl_conn *, int argc, const char *argv[],
                      void *aux);

static void
sclp_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        atomic_init(&next_id, random_uint32());
        atomic_init(&next_ip_id, random_uint32());
        reassembly = netdev_reassembly_create(SCLP_KEY_SIZE);
        unixctl_command_register("sclp/show", "", 0, 0, sclp_show, NULL);
        ovsthread_once_done(&once);
    }
}

void
netdev_sclp_run(void)
{
    sclp_init();
    netdev_reassembly_run(reassembly);
}

void
netdev_sclp_wait(void)
{
    sclp_init();
    netdev_reassembly_wait(reassembly);
}

void
netdev_sclp_configured(const struct netdev_tunnel_config *old,
                       const struct netdev_tunnel_config *new)
{
    uint32_t orig;

    if (new && new->sclp_offload) {
        atomic_add(&n_takers[ntohs(new->dst_port)], 1, &orig);
    }
    if (old && old->sclp_offload) {
        atomic_sub(&n_takers[ntohs(old->dst_port)], 1, &orig);
    }
}

/* Transmission.
 *
 * The template, and what stands before a frame that is still to be cut, is
 *
 *     Ethernet | IPv4 | UDP, or nothing | SCLP | VXLAN
 *
 * where SCLP's 'remaining' is the most that a segment carries, and VXLAN's bit
 * for offload state says that the tunnel may send it. */

/* What the headers before a frame say. */
struct sclp_whole {
    struct sclp_outer outer;    /* But for what tells frames apart. */
    size_t frame_ofs;           /* From Ethernet to VXLAN. */
    size_t payload_max;         /* Of a segment. */
};

static void
sclp_whole_read(struct sclp_whole *whole, const void *eth)
{
    const struct ip_header *ip
        = ALIGNED_CAST(const struct ip_header *,
                       (const uint8_t *) eth + ETH_HEADER_LEN);
    const struct udp_header *udp = (const struct udp_header *) (ip + 1);
    bool is_udp = ip->ip_proto == IPPROTO_UDP;
    const ovs_be16 *sclp = (const ovs_be16 *) (is_udp ? udp + 1 : udp);

    *whole = (struct sclp_whole) {
        .outer = {
            .outer = {
                .src = ntohl(get_16aligned_be32(&ip->ip_src)),
                .dst = ntohl(get_16aligned_be32(&ip->ip_dst)),
                .src_port = ntohs(sclp[0]),
                .dst_port = ntohs(sclp[1]),
                .tos = ip->ip_tos,
                .ttl = ip->ip_ttl,
                .df = (ip->ip_frag_off & htons(IP_DONT_FRAGMENT)) != 0,
            },
            .is_udp = is_udp,
            .udp_src_port = ntohs(sclp[0]),
            .udp_dst_port = is_udp ? ntohs(udp->udp_dst) : 0,
        },
        .frame_ofs = (const uint8_t *) sclp + SCLP_HEADER_SIZE
                     - (const uint8_t *) eth,
        .payload_max = ntohs(sclp[4]),
    };
}

/* Gives the next frame of 'n' segments what tells it apart. */
static void
sclp_next_frame(struct sclp_outer *outer, size_t n)
{
    uint32_t id, ip_id;

    atomic_add_relaxed(&next_id, 1, &id);
    atomic_add_relaxed(&next_ip_id, n, &ip_id);
    outer->outer.id = (id << 1) & SCLP_ID_MASK;
    outer->outer.ip_id = ip_id;
}

static void
sclp_set_layers(struct dp_packet *packet)
{
    packet->packet_type = htonl(PT_ETH);
    packet->csum_start = packet->csum_offset = 0;
    dp_packet_reset_offsets(packet);
    packet->l3_ofs = ETH_HEADER_LEN;
    packet->l4_ofs = ETH_HEADER_LEN + IP_HEADER_LEN;
}

/* Completes the headers of 'packet', a frame that goes in one segment. */
static void
sclp_finish(struct dp_packet *packet, struct sclp_whole *whole)
{
    uint8_t *eth = dp_packet_data(packet);
    struct segment_slice slice;
    int error;

    sclp_next_frame(&whole->outer, 1);
    error = sclp_packet_put(eth + ETH_HEADER_LEN, &slice, &whole->outer,
                            eth + whole->frame_ofs,
                            dp_packet_size(packet) - whole->frame_ofs,
                            whole->payload_max, 0, 1, false);
    ovs_assert(!error);
    dp_packet_reset_offload(packet);
    dp_packet_set_tso_segsz(packet, 0);
    sclp_set_layers(packet);
}

static void
sclp_add(struct dp_packet *packet, struct dp_packet_batch **batches)
{
    if (dp_packet_batch_is_full(*batches)) {
        (*batches)++;
    }
    dp_packet_batch_add(*batches, packet);
}

/* Adds the segments of the frame in 'packet' to 'batches'. */
static void
sclp_cut(const struct dp_packet *packet, struct sclp_whole *whole,
         struct dp_packet_batch **batches)
{
    const uint8_t *eth = dp_packet_data(packet);
    const uint8_t *frame = eth + whole->frame_ofs;
    size_t total = dp_packet_size(packet) - whole->frame_ofs;
    size_t n = segment_count(total, whole->payload_max);

    sclp_next_frame(&whole->outer, n);
    for (size_t i = 0; i < n; i++) {
        struct segment_slice slice = segment_at(total, whole->payload_max, i);
        struct dp_packet *segment
            = dp_packet_new_with_headroom(whole->frame_ofs + slice.length,
                                          DP_NETDEV_HEADROOM);
        uint8_t *header = dp_packet_put_uninit(segment, whole->frame_ofs);
        int error;

        memcpy(header, eth, ETH_HEADER_LEN);
        error = sclp_packet_put(header + ETH_HEADER_LEN, &slice, &whole->outer,
                                frame, total, whole->payload_max, i, 1, false);
        ovs_assert(!error);
        dp_packet_put(segment, frame + slice.offset, slice.length);
        sclp_set_layers(segment);
        sclp_add(segment, batches);
    }
    COVERAGE_ADD(sclp_cut, n);
}

int
netdev_sclp_build_header(const struct netdev *netdev,
                         struct ovs_action_push_tnl *data,
                         const struct netdev_tnl_build_header_params *params)
{
    const struct netdev_tunnel_config *tnl_cfg;
    size_t outer_size = SCLP_NATIVE_SIZE;
    uint8_t *l4;

    tnl_cfg = netdev_get_tunnel_config(netdev);
    if (params->is_ipv6) {
        return EOPNOTSUPP;
    }

    l4 = netdev_tnl_ip_build_header(data, params, tnl_cfg->sclp_udp
                                    ? IPPROTO_UDP : SCLP_PROTOCOL, 0);
    if (tnl_cfg->sclp_udp) {
        struct udp_header *udp = ALIGNED_CAST(struct udp_header *, l4);

        udp->udp_dst = tnl_cfg->dst_port;
        outer_size = SCLP_UDP_SIZE;
        l4 += UDP_HEADER_LEN;
    }
    if (params->mtu < IP_HEADER_LEN + UDP_HEADER_LEN + SCLP_HEADER_SIZE
                      + SCLP_TOTAL_MIN) {
        return EMSGSIZE;
    }
    sclp_segment_put(l4, &(struct sclp_segment) {
        .dst_port = SCLP_VXLAN_PORT,
        .remaining = MIN(params->mtu, UINT16_MAX) - outer_size,
    });

    struct vxlanhdr *vxlan
        = ALIGNED_CAST(struct vxlanhdr *, l4 + SCLP_HEADER_SIZE);
    put_16aligned_be32(&vxlan->vx_flags,
                       htonl(VXLAN_FLAGS | (tnl_cfg->sclp_offload
                                            ? STT_F_CSUM_PARTIAL << 16 : 0)));
    put_16aligned_be32(&vxlan->vx_vni,
                       htonl(ntohll(params->flow->tunnel.tun_id) << 8));

    data->header_len = ETH_HEADER_LEN + outer_size + SCLP_VXLAN_HEADER_SIZE;
    data->tnl_type = OVS_VPORT_TYPE_SCLP;
    return 0;
}

/* Takes what of the inner frame's checksum and segmentation is still to be
 * done into 'offload'.  Returns false if that cannot be said. */
static bool
sclp_take_offload(struct dp_packet *packet, struct stt_header *offload)
{
    bool is_tso = dp_packet_hwol_is_tso(packet);
    uint16_t mss = is_tso ? dp_packet_get_tso_segsz(packet) : 0;
    uint8_t *eth = dp_packet_data(packet);
    struct stt_inner inner;

    if (dp_packet_hwol_is_tunnel(packet)
        || (!is_tso && (!dp_packet_hwol_tx_l4_checksum(packet)
                        || dp_packet_l4_checksum_good(packet)))
        || stt_inner_find(&inner, eth, dp_packet_size(packet))
        || stt_header_set_partial(offload, &inner, mss)) {
        return false;
    }
    stt_inner_put_partial(eth, &inner);
    if (dp_packet_hwol_tx_ip_csum(packet)
        && !dp_packet_ip_checksum_good(packet)) {
        dp_packet_ip_set_header_csum(packet, false);
    }
    return true;
}

/* Returns true if 'packet', an inner frame, can be cut at 'segsz' later. */
static bool
sclp_is_tso_possible(struct dp_packet *packet)
{
    struct stt_inner inner;

    return (!dp_packet_hwol_is_tunnel(packet)
            && dp_packet_gso_is_possible(packet)
            && !stt_inner_find(&inner, dp_packet_data(packet),
                               dp_packet_size(packet))
            && inner.is_tcp);
}

/* Encapsulates 'packet'.  Returns false if it cannot be. */
static bool
sclp_push(struct dp_packet *packet, const struct ovs_action_push_tnl *data)
{
    ovs_be16 src_port = netdev_tnl_get_src_port(packet);
    uint32_t rss_hash = dp_packet_get_rss_hash(packet);
    struct stt_header offload = { .flags = 0 };
    struct sclp_whole whole;
    struct ip_header *ip;
    uint8_t *eth, *vxlan;
    bool is_cut_later = false;

    sclp_whole_read(&whole, data->header);
    vxlan = (uint8_t *) data->header + whole.frame_ofs;
    if (dp_packet_size(packet) < ETH_HEADER_LEN
        || dp_packet_size(packet) > UINT16_MAX - data->header_len
        || dp_packet_hwol_is_sclp(packet)) {
        return false;
    }
    if (!(vxlan[1] & STT_F_CSUM_PARTIAL)
        || !sclp_take_offload(packet, &offload)) {
        is_cut_later = dp_packet_hwol_is_tso(packet);
        if (is_cut_later && !sclp_is_tso_possible(packet)) {
            return false;
        }
        if (!is_cut_later) {
            dp_packet_ol_send_prepare(packet, 0);
        }
    }

    eth = dp_packet_push_uninit(packet, data->header_len);
    memcpy(eth, data->header, data->header_len);
    vxlan = eth + whole.frame_ofs;
    vxlan[1] = 0;
    if (offload.flags && sclp_vxlan_put_offload(vxlan, &offload)) {
        return false;
    }

    if (!is_cut_later
        && dp_packet_size(packet) - whole.frame_ofs <= whole.payload_max) {
        whole.outer.outer.src_port = ntohs(src_port);
        whole.outer.udp_src_port = ntohs(src_port);
        sclp_finish(packet, &whole);
    } else {
        memcpy(vxlan - SCLP_HEADER_SIZE, &src_port, sizeof src_port);
        ip = ALIGNED_CAST(struct ip_header *, eth + ETH_HEADER_LEN);
        ip->ip_tot_len = htons(dp_packet_size(packet) - ETH_HEADER_LEN);
        if (!is_cut_later) {
            dp_packet_reset_offload(packet);
            dp_packet_set_tso_segsz(packet, 0);
            dp_packet_hwol_set_tcp_seg(packet);
        }
        dp_packet_hwol_set_sclp(packet);
        sclp_set_layers(packet);
    }
    dp_packet_set_rss_hash(packet, rss_hash);
    return true;
}

void
netdev_sclp_push_headers(const struct netdev *netdev OVS_UNUSED,
                         struct dp_packet_batch *batch,
                         const struct ovs_action_push_tnl *data)
{
    size_t size = dp_packet_batch_size(batch);
    struct dp_packet *packet;
    uint64_t orig;
    size_t i;

    sclp_init();
    DP_PACKET_BATCH_REFILL_FOR_EACH (i, size, packet, batch) {
        if (sclp_push(packet, data)) {
            pkt_metadata_init(&packet->md, data->out_port);
            dp_packet_batch_refill(batch, packet, i);
        } else {
            dp_packet_delete(packet);
        }
    }

    size_t n_left = dp_packet_batch_size(batch);
    COVERAGE_ADD(sclp_push, n_left);
    COVERAGE_ADD(sclp_push_drop, size - n_left);
    atomic_add_relaxed(&n_pushed, n_left, &orig);
    if (size != n_left) {
        atomic_add_relaxed(&n_push_dropped, size - n_left, &orig);
    }
}

/* Finds the inner TCP packet, which sclp_is_tso_possible() has seen, of
 * 'packet', whose frame 'whole' describes. */
static void
sclp_find_inner(const struct dp_packet *packet, const struct sclp_whole *whole,
                struct stt_inner *inner)
{
    size_t inner_ofs = whole->frame_ofs + SCLP_VXLAN_HEADER_SIZE;
    enum stt_verdict verdict;

    verdict = stt_inner_find(inner,
                             (uint8_t *) dp_packet_data(packet) + inner_ofs,
                             dp_packet_size(packet) - inner_ofs);
    ovs_assert(!verdict);
}

int
netdev_sclp_n_segments(const struct dp_packet *packet)
{
    uint16_t mss = dp_packet_get_tso_segsz(packet);
    struct sclp_whole whole;
    struct stt_inner inner;

    sclp_whole_read(&whole, dp_packet_data(packet));
    if (!mss) {
        return segment_count(dp_packet_size(packet) - whole.frame_ofs,
                             whole.payload_max);
    }
    sclp_find_inner(packet, &whole, &inner);

    size_t header_size = SCLP_VXLAN_HEADER_SIZE + inner.payload_offset;
    size_t payload = dp_packet_size(packet) - whole.frame_ofs - header_size;
    size_t n = DIV_ROUND_UP(payload, mss);

    return ((n - 1) * segment_count(header_size + mss, whole.payload_max)
            + segment_count(header_size + payload - (n - 1) * mss,
                            whole.payload_max));
}

/* Adds the frames of the parts of 'packet', an inner TCP packet behind
 * headers, to 'batches'. */
static void
sclp_segment_inner(struct dp_packet *packet, struct sclp_whole *whole,
                   struct dp_packet_batch **batches)
{
    size_t header_size = whole->frame_ofs + SCLP_VXLAN_HEADER_SIZE;
    uint8_t headers[ETH_HEADER_LEN + SCLP_UDP_SIZE + SCLP_VXLAN_HEADER_SIZE];
    struct dp_packet_batch *parts, *last;
    struct dp_packet *part;
    struct stt_inner inner;
    size_t n_batches;

    sclp_find_inner(packet, whole, &inner);
    ovs_assert(header_size <= sizeof headers);
    memcpy(headers, dp_packet_data(packet), header_size);
    dp_packet_pull(packet, header_size);
    dp_packet_hwol_reset_sclp(packet);
    packet->l3_ofs = inner.l3_offset;
    packet->l4_ofs = inner.l4_offset;

    n_batches = DIV_ROUND_UP(dp_packet_gso_nr_segs(packet), NETDEV_MAX_BURST);
    parts = xmalloc(n_batches * sizeof *parts);
    for (size_t i = 0; i < n_batches; i++) {
        dp_packet_batch_init(&parts[i]);
    }
    last = parts;
    dp_packet_gso(packet, &last);
    for (size_t i = 0; i < n_batches; i++) {
        DP_PACKET_BATCH_FOR_EACH (j, part, &parts[i]) {
            dp_packet_ol_send_prepare(part, 0);
            dp_packet_push(part, headers, header_size);
            if (dp_packet_size(part) - whole->frame_ofs
                <= whole->payload_max) {
                sclp_finish(part, whole);
                sclp_add(part, batches);
            } else {
                sclp_cut(part, whole, batches);
                dp_packet_delete(part);
            }
        }
    }
    free(parts);
}

bool
netdev_sclp_segment(struct dp_packet *packet, struct dp_packet_batch **batches)
{
    struct sclp_whole whole;

    sclp_whole_read(&whole, dp_packet_data(packet));
    if (dp_packet_get_tso_segsz(packet)) {
        sclp_segment_inner(packet, &whole, batches);
    } else {
        sclp_cut(packet, &whole, batches);
    }
    return true;
}

/* Reception. */

/* Makes 'packet' begin at the segment's payload, at 'offset' in the IPv4
 * packet, and end with it, with the outer addresses in its tunnel metadata. */
static void
sclp_strip_outer(struct dp_packet *packet, const struct sclp_packet *outer,
                 const struct sclp_segment *segment, uint32_t offset)
{
    struct flow_tnl *tnl = &packet->md.tunnel;

    pkt_metadata_init_tnl(&packet->md);
    tnl->ip_src = htonl(outer->src);
    tnl->ip_dst = htonl(outer->dst);
    tnl->ip_tos = outer->tos;
    tnl->ip_ttl = outer->ttl;
    tnl->tp_src = htons(outer->is_udp ? outer->udp_src_port
                        : segment->src_port);
    tnl->tp_dst = htons(outer->is_udp ? outer->udp_dst_port
                        : segment->dst_port);
    dp_packet_pull(packet, packet->l3_ofs + offset);
    dp_packet_set_size(packet, segment->length);
    /* Nothing holds any more that was known of the layers and the padding. */
    dp_packet_reset_offsets(packet);
}

/* Turns 'packet', an SCLP frame, into the inner frame with its tunnel metadata
 * and offloads.  Returns SCLP_OK or why it must be dropped. */
static enum sclp_verdict
sclp_decapsulate(struct dp_packet *packet, bool takes_offload)
{
    struct flow_tnl *tnl = &packet->md.tunnel;
    struct sclp_payload payload;
    enum sclp_verdict verdict;
    struct stt_inner inner;

    verdict = sclp_vxlan_parse(&payload, dp_packet_data(packet),
                               dp_packet_size(packet), takes_offload);
    if (verdict) {
        return verdict;
    }
    dp_packet_pull(packet, payload.inner_offset);
    if (payload.offload.flags) {
        verdict = sclp_inner_check(&inner, &payload.offload,
                                   dp_packet_data(packet),
                                   dp_packet_size(packet));
        if (verdict) {
            return verdict;
        }
    }

    tnl->tun_id = htonll(payload.vni);
    tnl->flags |= FLOW_TNL_F_KEY;

    packet->packet_type = htonl(PT_ETH);
    dp_packet_reset_offload(packet);
    packet->csum_start = packet->csum_offset = 0;
    dp_packet_set_tso_segsz(packet, 0);
    if (payload.offload.flags) {
        uint16_t mss = stt_inner_mss(&inner, &payload.offload);

        /* As netdev-linux would have received it; flow extraction takes it
         * from here. */
        packet->csum_start = inner.l4_offset;
        packet->csum_offset = inner.is_tcp
                              ? offsetof(struct tcp_header, tcp_csum)
                              : offsetof(struct udp_header, udp_csum);
        if (!inner.is_tcp) {
            dp_packet_hwol_set_csum_udp(packet);
        }
        if (mss) {
            dp_packet_hwol_set_tcp_seg(packet);
            dp_packet_set_tso_segsz(packet, mss);
        }
    }
    pkt_metadata_init_conn(&packet->md);
    return SCLP_OK;
}

/* Parses what 'packet' has before its one segment's payload. */
static enum sclp_verdict
sclp_parse(const struct dp_packet *packet, struct sclp_packet *outer,
           struct sclp_segment *segment, uint32_t *offset)
{
    const uint8_t *ip = dp_packet_l3(packet);
    enum sclp_verdict verdict;
    unsigned int trust = 0;

    if (dp_packet_hwol_l3_csum_ipv4_ol(packet)
        || dp_packet_ip_checksum_good(packet)) {
        trust |= SCLP_TRUST_IP_CSUM;
    }
    if (dp_packet_ol_l4_csum_partial(packet)
        || dp_packet_l4_checksum_good(packet)) {
        trust |= SCLP_TRUST_UDP_CSUM;
    }
    if (!ip) {
        return SCLP_IP_HEADER;
    }
    verdict = sclp_packet_parse(outer, ip, dp_packet_l3_size(packet), 0,
                                trust);
    if (!verdict && !sclp_packet_next(outer, segment, offset, &verdict)) {
        verdict = SCLP_SCLP_TRUNCATED;
    }
    return verdict;
}

/* Takes one received packet.  Returns an inner frame or NULL; in that case
 * '*queued' tells whether the packet was kept, else it was dropped. */
static struct dp_packet *
sclp_pop(struct dp_packet *packet, bool *queued)
{
    struct sclp_segment segment;
    struct sclp_packet outer;
    enum sclp_verdict verdict;
    uint32_t offset, n;
    uint64_t orig;

    *queued = false;
    verdict = sclp_parse(packet, &outer, &segment, &offset);
    if (!verdict && segment.dst_port != SCLP_VXLAN_PORT) {
        atomic_add_relaxed(&n_other_payload, 1, &orig);
        dp_packet_delete(packet);
        return NULL;
    }
    if (!verdict) {
        sclp_strip_outer(packet, &outer, &segment, offset);
        if (sclp_segment_total(&segment) != segment.length) {
            uint8_t key[SCLP_KEY_SIZE];

            sclp_key(key, &outer, &segment);
            packet = netdev_reassembly_add(
                reassembly, key, &(struct netdev_reassembly_segment) {
                    .packet = packet,
                    .length = segment.length,
                    .remaining = segment.remaining,
                    .total = sclp_segment_total(&segment),
                }, queued);
            if (!packet) {
                return NULL;
            }
            COVERAGE_INC(sclp_pop_reassembled);
        } else {
            COVERAGE_INC(sclp_pop_single);
        }
        atomic_read_relaxed(&n_takers[outer.is_udp ? outer.udp_dst_port : 0],
                            &n);
        verdict = sclp_decapsulate(packet, n > 0);
    }
    atomic_add_relaxed(&verdicts[verdict], 1, &orig);
    if (verdict) {
        dp_packet_delete(packet);
        return NULL;
    }
    return packet;
}

size_t
netdev_sclp_pop_headers(struct netdev *netdev OVS_UNUSED,
                        struct dp_packet_batch *batch)
{
    size_t size = dp_packet_batch_size(batch);
    size_t n_dropped = 0, n_queued = 0;
    struct dp_packet *packet;
    size_t i;

    sclp_init();
    DP_PACKET_BATCH_REFILL_FOR_EACH (i, size, packet, batch) {
        bool queued;

        packet = sclp_pop(packet, &queued);
        if (packet) {
            dp_packet_batch_refill(batch, packet, i);
        } else if (queued) {
            n_queued++;
        } else {
            n_dropped++;
        }
    }
    COVERAGE_ADD(sclp_pop_queued, n_queued);
    COVERAGE_ADD(sclp_pop_drop, n_dropped);
    return n_dropped;
}

static void
sclp_show(struct unixctl_conn *conn, int argc OVS_UNUSED,
          const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    uint64_t value;

    atomic_read_relaxed(&n_pushed, &value);
    ds_put_format(&ds, "sent: frames:%"PRIu64, value);
    atomic_read_relaxed(&n_push_dropped, &value);
    ds_put_format(&ds, " dropped:%"PRIu64"\n", value);
    atomic_read_relaxed(&verdicts[SCLP_OK], &value);
    netdev_reassembly_show(reassembly, value, &ds);
    ds_put_cstr(&ds, "dropped:");
    for (size_t i = SCLP_OK + 1; i < SCLP_N_VERDICTS; i++) {
        atomic_read_relaxed(&verdicts[i], &value);
        ds_put_format(&ds, " %s:%"PRIu64, sclp_verdict_name(i), value);
    }
    atomic_read_relaxed(&n_other_payload, &value);
    ds_put_format(&ds, " other_payload:%"PRIu64, value);
    netdev_reassembly_show_drops(reassembly, &ds);
    ds_put_char(&ds, '\n');
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}
