/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-sclp.h"

#include <linux/virtio_net.h>

#include "coverage.h"
#include "csum.h"
#include "dpif-netdev.h"
#include "hash.h"
#include "netdev-inner.h"
#include "netdev-provider.h"
#include "netdev-reassembly.h"
#include "netdev-sclp-private.h"
#include "openvswitch/dynamic-string.h"
#include "stt.h"
#include "timeval.h"
#include "util.h"

COVERAGE_DEFINE(sclp_pop_single);
COVERAGE_DEFINE(sclp_pop_reassembled);
COVERAGE_DEFINE(sclp_pop_queued);
COVERAGE_DEFINE(sclp_pop_drop);

static struct netdev_reassembly *reassembly;
static atomic_uint64_t verdicts[SCLP_N_VERDICTS];
static atomic_uint64_t n_other_payload;
static atomic_uint64_t n_incomplete;
static atomic_uint64_t n_merged;
static atomic_uint64_t n_repeated;

/* Destinations whose packets tunnels have popped of late, by a few bits of
 * their IPv4 addresses.  Packets to others are in transit, and must not be
 * merged: nobody would cut them again. */
#define LOCAL_BITS 6
#define LOCAL_MS 1000
static atomic_uint32_t local[1 << LOCAL_BITS];
static long long int local_until;       /* Of the main thread. */

void
sclp_receive_init(void)
{
    reassembly = netdev_reassembly_create(SCLP_KEY_SIZE);
}

void
netdev_sclp_run(void)
{
    sclp_init();
    netdev_reassembly_run(reassembly);
    if (time_msec() >= local_until) {
        for (size_t i = 0; i < ARRAY_SIZE(local); i++) {
            atomic_store_relaxed(&local[i], 0);
        }
        local_until = time_msec() + LOCAL_MS;
    }
}

void
netdev_sclp_wait(void)
{
    sclp_init();
    netdev_reassembly_wait(reassembly);
}

static atomic_uint32_t *
sclp_local(uint32_t dst)
{
    return &local[hash_int(dst, 0) >> (32 - LOCAL_BITS)];
}

static bool
sclp_is_local(uint32_t dst)
{
    uint32_t known;

    atomic_read_relaxed(sclp_local(dst), &known);
    return known == dst;
}

static void
sclp_count_repeated(void)
{
    uint64_t orig;

    atomic_add_relaxed(&n_repeated, 1, &orig);
}

/* Returns the UDP port, 0 without UDP, by which 'tunnels' knows 'outer'. */
static uint16_t
sclp_port(const struct sclp_packet *outer)
{
    return outer->is_udp ? outer->udp_dst_port : 0;
}

/* Level 1 of reassembly puts segments together that arrive behind one another:
 * those of SCLP's own protocol where they are received, before anything looks
 * at them, those that came in one UDP packet when they are popped.  Level 2
 * keeps what is not complete then. */

/* Gives the packet of 'run' the headers of what it has become. */
static void
sclp_run_finish(struct netdev_sclp_run *run)
{
    struct dp_packet *packet = run->packet;
    struct ip_header *ip;
    uint64_t orig;

    if (run->n > 1) {
        atomic_add_relaxed(&n_merged, run->n, &orig);
        ip = ALIGNED_CAST(struct ip_header *, (uint8_t *)
                          dp_packet_data(packet) + ETH_HEADER_LEN);
        ip->ip_tot_len = htons(dp_packet_size(packet) - ETH_HEADER_LEN);
        ip->ip_csum = 0;
        ip->ip_csum = csum(ip, IP_HEADER_LEN);
        sclp_segment_put(ip + 1, &run->segment);
        /* Each segment's checksum was right. */
        packet->csum_start = ETH_HEADER_LEN + IP_HEADER_LEN;
        packet->csum_offset = SCLP_CSUM_OFS;
    }
    run->packet = NULL;
}

/* Returns true if 'outer' and 'segment', behind the Ethernet header at 'eth',
 * go on where 'run' ends. */
static bool
sclp_run_continues(const struct netdev_sclp_run *run, const uint8_t *eth,
                   const struct sclp_packet *outer,
                   const struct sclp_segment *segment)
{
    return (run->packet
            && sclp_is_next(&run->outer, &run->segment, outer, segment)
            && run->outer.tos == outer->tos
            && segment->length <= dp_packet_tailroom(run->packet)
            && dp_packet_size(run->packet) - ETH_HEADER_LEN + segment->length
               <= UINT16_MAX
            && !memcmp(dp_packet_data(run->packet), eth, ETH_HEADER_LEN));
}

bool
netdev_sclp_receive(struct netdev_sclp_run *run, const void *data, size_t size,
                    bool has_vnet, struct dp_packet_batch *batch)
{
    const size_t header_size = ETH_HEADER_LEN + SCLP_NATIVE_SIZE;
    const size_t room_max = UINT16_MAX - DP_NETDEV_HEADROOM - header_size;
    const struct virtio_net_hdr *vnet = data;
    const size_t vnet_size = has_vnet ? sizeof *vnet : 0;
    const uint8_t *eth = (const uint8_t *) data + vnet_size;
    const struct eth_header *eth_header
        = ALIGNED_CAST(const struct eth_header *, eth);
    unsigned int trust = 0;
    struct sclp_segment segment;
    struct sclp_packet outer;
    enum sclp_verdict verdict;
    uint32_t offset;

    if (size <= vnet_size + header_size) {
        return false;
    }
    size -= vnet_size;
    if (eth_header->eth_type != htons(ETH_TYPE_IP)
        || eth[ETH_HEADER_LEN] != IP_IHL_VER(5, 4)
        || eth[ETH_HEADER_LEN + offsetof(struct ip_header, ip_proto)]
           != SCLP_PROTOCOL
        || (has_vnet && vnet->gso_type != VIRTIO_NET_HDR_GSO_NONE)) {
        return false;
    }
    if (has_vnet && vnet->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM
        && (OVS_FORCE uint16_t) vnet->csum_start
           == ETH_HEADER_LEN + IP_HEADER_LEN
        && (OVS_FORCE uint16_t) vnet->csum_offset == SCLP_CSUM_OFS) {
        trust |= SCLP_TRUST_CSUM;
    }
    if (sclp_packet_parse(&outer, eth + ETH_HEADER_LEN, size - ETH_HEADER_LEN,
                          0, trust)
        || !sclp_packet_next(&outer, &segment, &offset, &verdict)
        || verdict || segment.length > room_max
        || !sclp_is_local(outer.dst)) {
        return false;
    }

    if (sclp_run_continues(run, eth, &outer, &segment)) {
        dp_packet_put(run->packet, eth + ETH_HEADER_LEN + offset,
                      segment.length);
        sclp_merge(&run->segment, &segment);
        run->n++;
    } else if (run->packet && sclp_is_repeated(&run->outer, &run->segment,
                                               &outer, &segment)) {
        sclp_count_repeated();
    } else {
        size_t room = MIN(segment.length + segment.remaining, room_max);

        if (run->packet) {
            sclp_run_finish(run);
        }
        run->packet = dp_packet_new_with_headroom(header_size + room,
                                                  DP_NETDEV_HEADROOM);
        dp_packet_put(run->packet, eth, header_size + segment.length);
        if (trust) {
            run->packet->csum_start = ETH_HEADER_LEN + IP_HEADER_LEN;
            run->packet->csum_offset = SCLP_CSUM_OFS;
        }
        run->outer = outer;
        run->segment = segment;
        run->n = 1;
        dp_packet_batch_add(batch, run->packet);
    }
    return true;
}

void
netdev_sclp_receive_end(struct netdev_sclp_run *run)
{
    if (run->packet) {
        sclp_run_finish(run);
    }
}

bool
netdev_sclp_merges(void)
{
    return (sclp_any(&sclp_tunnels[0].n)
            && !sclp_any(&sclp_tunnels[0].n_nve_only));
}

bool
netdev_sclp_is_partial(const struct dp_packet *packet)
{
    const struct ip_header *ip = dp_packet_l3(packet);

    return (ip && packet->csum_start && packet->csum_start == packet->l4_ofs
            && packet->csum_offset == SCLP_CSUM_OFS
            && IP_VER(ip->ip_ihl_ver) == 4 && ip->ip_proto == SCLP_PROTOCOL);
}

/* Puts the outer addresses of 'segment' into the tunnel metadata of
 * 'packet'. */
static void
sclp_set_tunnel(struct dp_packet *packet, const struct sclp_packet *outer,
                const struct sclp_segment *segment)
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
}

static void
sclp_count(enum sclp_verdict verdict)
{
    uint64_t orig;

    atomic_add_relaxed(&verdicts[verdict], 1, &orig);
}

/* Turns 'packet', an SCLP frame, into the inner frame with its tunnel metadata
 * and offloads.  Returns SCLP_OK or why it must be dropped. */
static enum sclp_verdict
sclp_decapsulate(struct dp_packet *packet, uint16_t dst_port,
                 bool takes_offload)
{
    struct flow_tnl *tnl = &packet->md.tunnel;
    struct sclp_payload payload;
    enum sclp_verdict verdict;
    struct stt_inner inner;

    verdict = (dst_port == SCLP_GENEVE_PORT ? sclp_geneve_parse
               : sclp_vxlan_parse)(&payload, dp_packet_data(packet),
                                   dp_packet_size(packet), takes_offload);
    if (verdict) {
        return verdict;
    }
    if (dst_port == SCLP_GENEVE_PORT) {
        tnl->flags |= FLOW_TNL_F_UDPIF | (payload.is_oam ? FLOW_TNL_F_OAM : 0);
        memcpy(tnl->metadata.opts.gnv, (const uint8_t *)
               dp_packet_data(packet) + payload.options_offset,
               payload.options_size);
        tnl->metadata.present.len = payload.options_size;
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

    netdev_inner_put_offload(packet, &inner, &payload.offload);
    pkt_metadata_init_conn(&packet->md);
    return SCLP_OK;
}

/* Parses the outer headers of 'packet'. */
static enum sclp_verdict
sclp_parse(const struct dp_packet *packet, struct sclp_packet *outer)
{
    const uint8_t *ip = dp_packet_l3(packet);
    unsigned int trust = 0;

    if (dp_packet_hwol_l3_csum_ipv4_ol(packet)
        || dp_packet_ip_checksum_good(packet)) {
        trust |= SCLP_TRUST_IP_CSUM;
    }
    if (dp_packet_ol_l4_csum_partial(packet)
        || dp_packet_l4_checksum_good(packet)) {
        trust |= SCLP_TRUST_UDP_CSUM;
    }
    if (packet->csum_start && packet->csum_start == packet->l4_ofs
        && packet->csum_offset == SCLP_CSUM_OFS) {
        trust |= SCLP_TRUST_CSUM;
    }
    if (!ip) {
        return SCLP_IP_HEADER;
    }
    return sclp_packet_parse(outer, ip, dp_packet_l3_size(packet),
                             dp_packet_hwol_is_udp_seg(packet)
                             ? dp_packet_get_tso_segsz(packet) : 0, trust);
}

/* Goes to the next segment in 'packet', of which 'outer' is not done, with
 * those that follow it in the same packet put behind it: level 1 of
 * reassembly. */
static void
sclp_next(struct dp_packet *packet, struct sclp_packet *outer,
          struct sclp_segment *segment, uint32_t *offset,
          enum sclp_verdict *verdict)
{
    uint8_t *ip = dp_packet_l3(packet);
    struct sclp_packet ahead;
    struct sclp_segment next;
    uint32_t next_offset;

    sclp_packet_next(outer, segment, offset, verdict);
    if (sclp_any(&sclp_tunnels[sclp_port(outer)].n_nve_only)) {
        return;
    }
    while (!*verdict) {
        enum sclp_verdict next_verdict;

        ahead = *outer;
        if (!sclp_packet_next(&ahead, &next, &next_offset, &next_verdict)
            || next_verdict) {
            break;
        }
        if (sclp_is_next(outer, segment, &ahead, &next)) {
            memmove(ip + *offset + segment->length, ip + next_offset,
                    next.length);
            sclp_merge(segment, &next);
        } else if (sclp_is_repeated(outer, segment, &ahead, &next)) {
            sclp_count_repeated();
        } else {
            break;
        }
        *outer = ahead;
    }
}

/* Returns the payload of 'segment', at 'offset' in the IPv4 packet of
 * 'packet', as a packet: a new one with room for the rest of its frame, or
 * 'packet' itself if 'is_last'. */
static struct dp_packet *
sclp_take(struct dp_packet *packet, const struct sclp_segment *segment,
          uint32_t offset, bool is_last)
{
    size_t ofs = packet->l3_ofs + offset;
    struct dp_packet *taken = packet;

    if (is_last) {
        dp_packet_pull(packet, ofs);
        dp_packet_set_size(packet, segment->length);
        /* Nothing holds any more that was known of the layers. */
        dp_packet_reset_offsets(packet);
    } else {
        size_t size = (segment->is_first ? sclp_segment_total(segment)
                       : segment->length);

        taken = dp_packet_new_with_headroom(size, MIN(DP_NETDEV_HEADROOM,
                                                      UINT16_MAX - size));
        dp_packet_put(taken, (const uint8_t *) dp_packet_data(packet) + ofs,
                      segment->length);
        memcpy(&taken->md, &packet->md, sizeof taken->md);
    }
    return taken;
}

/* Returns 'packet', of which 'outer' has gone through the first segments,
 * without these. */
static struct dp_packet *
sclp_leave(struct dp_packet *packet, const struct sclp_packet *outer)
{
    size_t header_size = packet->l4_ofs + UDP_HEADER_LEN;
    size_t done = packet->l3_ofs + outer->next - header_size;
    struct udp_header *udp;
    struct ip_header *ip;
    uint8_t *eth;

    if (done) {
        eth = dp_packet_data(packet);
        memmove(eth + done, eth, header_size);
        dp_packet_pull(packet, done);
        ip = dp_packet_l3(packet);
        udp = dp_packet_l4(packet);
        ip->ip_tot_len = htons(ntohs(ip->ip_tot_len) - done);
        ip->ip_csum = 0;
        ip->ip_csum = csum(ip, IP_IHL(ip->ip_ihl_ver) * 4);
        udp->udp_len = htons(ntohs(udp->udp_len) - done);
    }
    return packet;
}

/* Takes 'packet', the payload of 'segment'.  Returns an inner frame or NULL;
 * in that case '*queued' tells whether the segment was kept, else it was
 * dropped. */
static struct dp_packet *
sclp_pop_segment(struct dp_packet *packet, const struct sclp_packet *outer,
                 const struct sclp_segment *segment, bool *queued)
{
    enum sclp_verdict verdict;
    uint64_t orig;

    *queued = false;
    if (segment->dst_port != SCLP_VXLAN_PORT
        && segment->dst_port != SCLP_GENEVE_PORT) {
        atomic_add_relaxed(&n_other_payload, 1, &orig);
        dp_packet_delete(packet);
        return NULL;
    }
    sclp_set_tunnel(packet, outer, segment);
    if (sclp_segment_total(segment) != segment->length) {
        uint8_t key[SCLP_KEY_SIZE];

        if (sclp_any(&sclp_tunnels[sclp_port(outer)].n_gro_only)) {
            atomic_add_relaxed(&n_incomplete, 1, &orig);
            dp_packet_delete(packet);
            return NULL;
        }

        sclp_key(key, outer, segment);
        packet = netdev_reassembly_add(
            reassembly, key, &(struct netdev_reassembly_segment) {
                .packet = packet,
                .length = segment->length,
                .remaining = segment->remaining,
                .total = sclp_segment_total(segment),
            }, queued);
        if (!packet) {
            return NULL;
        }
        COVERAGE_INC(sclp_pop_reassembled);
    } else {
        COVERAGE_INC(sclp_pop_single);
    }
    verdict = sclp_decapsulate(
        packet, segment->dst_port,
        sclp_any(&sclp_tunnels[sclp_port(outer)].n_offload));
    sclp_count(verdict);
    if (verdict) {
        dp_packet_delete(packet);
        return NULL;
    }
    return packet;
}

/* What became of the segments that were received. */
struct sclp_popped {
    size_t n_dropped;
    size_t n_queued;
};

/* Takes 'packet' and adds the inner frames that it completes to 'batch'.
 * Where that is full, what is left of 'packet' is returned, else NULL. */
static struct dp_packet *
sclp_pop(struct dp_packet *packet, struct dp_packet_batch *batch,
         struct sclp_popped *popped)
{
    struct sclp_segment segment;
    struct sclp_packet outer;
    enum sclp_verdict verdict;
    uint32_t offset;

    verdict = sclp_parse(packet, &outer);
    if (verdict) {
        sclp_count(verdict);
        popped->n_dropped++;
        dp_packet_delete(packet);
        return NULL;
    }
    if (!sclp_is_local(outer.dst)) {
        atomic_store_relaxed(sclp_local(outer.dst), outer.dst);
    }
    while (!sclp_packet_is_done(&outer)) {
        struct dp_packet *frame = NULL;
        bool queued = false;

        if (dp_packet_batch_is_full(batch)) {
            return sclp_leave(packet, &outer);
        }
        sclp_next(packet, &outer, &segment, &offset, &verdict);
        if (!verdict) {
            bool is_last = sclp_packet_is_done(&outer);

            frame = sclp_take(packet, &segment, offset, is_last);
            packet = is_last ? NULL : packet;
            frame = sclp_pop_segment(frame, &outer, &segment, &queued);
        } else {
            sclp_count(verdict);
        }
        if (frame) {
            dp_packet_batch_add(batch, frame);
        } else if (queued) {
            popped->n_queued++;
        } else {
            popped->n_dropped++;
        }
    }
    dp_packet_delete(packet);
    return NULL;
}

size_t
netdev_sclp_pop_headers(struct netdev *netdev OVS_UNUSED,
                        struct dp_packet_batch *batch,
                        struct dp_packet_batch *rest)
{
    struct sclp_popped popped = { .n_dropped = 0 };
    struct dp_packet_batch in = *batch;
    struct dp_packet *packet;

    sclp_init();
    dp_packet_batch_init(batch);
    batch->trunc = in.trunc;
    DP_PACKET_BATCH_FOR_EACH (i, packet, &in) {
        if (!dp_packet_batch_is_full(batch)) {
            packet = sclp_pop(packet, batch, &popped);
        }
        if (packet) {
            dp_packet_batch_add(rest, packet);
        }
    }
    COVERAGE_ADD(sclp_pop_queued, popped.n_queued);
    COVERAGE_ADD(sclp_pop_drop, popped.n_dropped);
    return popped.n_dropped;
}

void
sclp_receive_show(struct ds *ds)
{
    uint64_t value;

    atomic_read_relaxed(&verdicts[SCLP_OK], &value);
    netdev_reassembly_show(reassembly, value, ds);
    atomic_read_relaxed(&n_merged, &value);
    ds_put_format(ds, "merged on receipt: segments:%"PRIu64, value);
    atomic_read_relaxed(&n_repeated, &value);
    ds_put_format(ds, " repeated:%"PRIu64"\n", value);
    ds_put_cstr(ds, "dropped:");
    for (size_t i = SCLP_OK + 1; i < SCLP_N_VERDICTS; i++) {
        atomic_read_relaxed(&verdicts[i], &value);
        ds_put_format(ds, " %s:%"PRIu64, sclp_verdict_name(i), value);
    }
    atomic_read_relaxed(&n_other_payload, &value);
    ds_put_format(ds, " other_payload:%"PRIu64, value);
    atomic_read_relaxed(&n_incomplete, &value);
    ds_put_format(ds, " incomplete:%"PRIu64, value);
    netdev_reassembly_show_drops(reassembly, ds);
    ds_put_char(ds, '\n');
}
