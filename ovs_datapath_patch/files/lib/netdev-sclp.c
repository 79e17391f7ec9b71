/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-sclp.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "coverage.h"
#include "csum.h"
#include "dp-packet.h"
#include "dp-packet-gso.h"
#include "dpif-netdev.h"
#include "netdev-native-tnl.h"
#include "netdev-provider.h"
#include "netdev-reassembly.h"
#include "odp-netlink.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "packets.h"
#include "random.h"
#include "sclp.h"
#include "sclp-payload.h"
#include "sclp-segment.h"
#include "stt.h"
#include "tun-metadata.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_sclp);

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5     /* Linux 6.2. */
#endif

COVERAGE_DEFINE(sclp_push);
COVERAGE_DEFINE(sclp_push_drop);
COVERAGE_DEFINE(sclp_segment);
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
static atomic_uint64_t n_pushed;
static atomic_uint64_t n_push_dropped;
static atomic_uint32_t next_id;
static atomic_uint32_t next_ip_id;

/* How many tunnels there are and want what, by their UDP port, 0 without
 * UDP. */
static struct {
    atomic_uint32_t n;
    atomic_uint32_t n_offload;      /* Take offload state. */
    atomic_uint32_t n_nve_only;     /* Without level 1 of reassembly. */
    atomic_uint32_t n_gro_only;     /* Without level 2. */
} tunnels[UINT16_MAX + 1];


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

static void
sclp_count_tunnel(const struct netdev_tunnel_config *cfg, bool is_added)
{
    /* Of unsigned numbers, so that adding 'one' may be subtracting it. */
    uint32_t one = is_added ? 1 : UINT32_MAX;
    uint16_t port = cfg->sclp_udp ? ntohs(cfg->dst_port) : 0;
    uint32_t orig;

    atomic_add(&tunnels[port].n, one, &orig);
    if (cfg->sclp_offload) {
        atomic_add(&tunnels[port].n_offload, one, &orig);
    }
    if (cfg->sclp_reassembly == NETDEV_SCLP_NVE) {
        atomic_add(&tunnels[port].n_nve_only, one, &orig);
    } else if (cfg->sclp_reassembly == NETDEV_SCLP_GRO) {
        atomic_add(&tunnels[port].n_gro_only, one, &orig);
    }
}

void
netdev_sclp_configured(const struct netdev_tunnel_config *old,
                       const struct netdev_tunnel_config *new)
{
    if (new && new->sclp) {
        sclp_count_tunnel(new, true);
    }
    if (old && old->sclp) {
        sclp_count_tunnel(old, false);
    }
}

static void
sclp_count_repeated(void)
{
    uint64_t orig;

    atomic_add_relaxed(&n_repeated, 1, &orig);
}

static bool
sclp_any(const atomic_uint32_t *n)
{
    uint32_t value;

    atomic_read_relaxed(CONST_CAST(atomic_uint32_t *, n), &value);
    return value > 0;
}

/* Returns the UDP port, 0 without UDP, by which 'tunnels' knows 'outer'. */
static uint16_t
sclp_port(const struct sclp_packet *outer)
{
    return outer->is_udp ? outer->udp_dst_port : 0;
}

/* Transmission.
 *
 * The template, and what stands before a frame that is still to be cut, is
 *
 *     Ethernet | IPv4 | UDP, or nothing | SCLP | VXLAN, or Geneve with options
 *
 * where SCLP's 'remaining' is the most that a segment carries, and in the
 * template its checksum says whether the tunnel may send offload state. */

/* What the headers before a frame say. */
struct sclp_whole {
    struct sclp_outer outer;    /* But for what tells frames apart. */
    size_t l3_ofs;
    size_t frame_ofs;           /* From Ethernet to VXLAN or Geneve. */
    size_t payload_max;         /* Of a segment. */
    bool may_offload;
};

static void
sclp_headers_read(struct sclp_whole *whole, const void *eth, size_t l3_ofs)
{
    const struct ip_header *ip
        = ALIGNED_CAST(const struct ip_header *,
                       (const uint8_t *) eth + l3_ofs);
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
        .l3_ofs = l3_ofs,
        .frame_ofs = (const uint8_t *) sclp + SCLP_HEADER_SIZE
                     - (const uint8_t *) eth,
        .payload_max = ntohs(sclp[4]),
        .may_offload = sclp[5] != 0,
    };
}

static bool
sclp_is_geneve(const struct sclp_whole *whole)
{
    return whole->outer.outer.dst_port == SCLP_GENEVE_PORT;
}

/* Returns the size of the VXLAN or Geneve header at 'payload'. */
static size_t
sclp_payload_header_size(const struct sclp_whole *whole, const void *payload)
{
    const struct genevehdr *gnh = payload;

    return (sclp_is_geneve(whole)
            ? SCLP_GENEVE_HEADER_SIZE + gnh->opt_len * 4
            : SCLP_VXLAN_HEADER_SIZE);
}

static void
sclp_whole_read(struct sclp_whole *whole, const struct dp_packet *packet)
{
    sclp_headers_read(whole, dp_packet_data(packet), packet->l3_ofs);
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
sclp_set_layers(struct dp_packet *packet, size_t l3_ofs)
{
    packet->packet_type = htonl(PT_ETH);
    packet->csum_start = packet->csum_offset = 0;
    dp_packet_reset_offsets(packet);
    packet->l3_ofs = l3_ofs;
    packet->l4_ofs = l3_ofs + IP_HEADER_LEN;
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

        memcpy(header, eth, whole->l3_ofs);
        error = sclp_packet_put(header + whole->l3_ofs, &slice, &whole->outer,
                                frame, total, whole->payload_max, i, 1, false);
        ovs_assert(!error);
        dp_packet_put(segment, frame + slice.offset, slice.length);
        sclp_set_layers(segment, whole->l3_ofs);
        sclp_add(segment, batches);
    }
    COVERAGE_ADD(sclp_segment, n);
}

/* Sending by scatter-gather: headers are made here, the frame's bytes stay
 * where they are. */

/* More than any header up to IPv4 that a packet would have here. */
#define SCLP_L2_MAX 64
#define SCLP_TX_MESSAGES 64

/* Messages for sendmmsg(), each headers and a slice of a frame. */
struct sclp_tx {
    int sock;
    struct sockaddr_ll *sll;
    size_t vnet_size;           /* Of the virtio-net header, or 0. */
    size_t n;
    struct mmsghdr messages[SCLP_TX_MESSAGES];
    struct iovec iovs[SCLP_TX_MESSAGES][2];
    uint8_t headers[SCLP_TX_MESSAGES][sizeof(struct virtio_net_hdr)
                                      + SCLP_L2_MAX + SCLP_UDP_SIZE];
};

/* Set once the kernel has refused to cut UDP packets. */
static atomic_bool lacks_uso;

/* Writes the headers before the segment 'index' of the frame in 'packet', and
 * as many more as make 'n_records', to 'header'.  Returns their size. */
static size_t
sclp_tx_put(const struct sclp_tx *tx, uint8_t *header,
            struct segment_slice *slice, const struct dp_packet *packet,
            const struct sclp_whole *whole, size_t index, size_t n_records)
{
    const uint8_t *eth = dp_packet_data(packet);
    bool is_udp = whole->outer.is_udp;
    int error;

    if (tx->vnet_size) {
        size_t l4_ofs = whole->l3_ofs + IP_HEADER_LEN;
        struct virtio_net_hdr vnet = {
            .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
            .csum_start = (OVS_FORCE __virtio16) l4_ofs,
            .csum_offset = (OVS_FORCE __virtio16)
                           (is_udp ? offsetof(struct udp_header, udp_csum)
                            : SCLP_CSUM_OFS),
        };

        if (n_records > 1) {
            vnet.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
            vnet.gso_size = (OVS_FORCE __virtio16) (SCLP_HEADER_SIZE
                                                    + whole->payload_max);
            vnet.hdr_len = (OVS_FORCE __virtio16) (l4_ofs + UDP_HEADER_LEN);
        }
        memcpy(header, &vnet, sizeof vnet);
    }
    memcpy(header + tx->vnet_size, eth, whole->l3_ofs);
    error = sclp_packet_put(header + tx->vnet_size + whole->l3_ofs, slice,
                            &whole->outer, eth + whole->frame_ofs,
                            dp_packet_size(packet) - whole->frame_ofs,
                            whole->payload_max, index, n_records,
                            tx->vnet_size > 0);
    ovs_assert(!error);
    return (tx->vnet_size + whole->l3_ofs
            + (is_udp ? SCLP_UDP_SIZE : SCLP_NATIVE_SIZE));
}

static struct iovec
sclp_tx_slice(const struct dp_packet *packet, const struct sclp_whole *whole,
              const struct segment_slice *slice)
{
    return (struct iovec) {
        .iov_base = (uint8_t *) dp_packet_data(packet) + whole->frame_ofs
                    + slice->offset,
        .iov_len = slice->length,
    };
}

static int
sclp_tx_flush(struct sclp_tx *tx)
{
    size_t sent = 0;
    int error = 0;

    while (sent < tx->n && !error) {
        int retval = sendmmsg(tx->sock, &tx->messages[sent], tx->n - sent, 0);

        if (retval >= 0) {
            sent += retval;
        } else if (errno != EINTR) {
            error = errno;
        }
    }
    tx->n = 0;
    return error;
}

/* Adds the segment 'index' of the frame in 'packet' as a message. */
static int
sclp_tx_add(struct sclp_tx *tx, const struct dp_packet *packet,
            const struct sclp_whole *whole, size_t index)
{
    int error = tx->n < SCLP_TX_MESSAGES ? 0 : sclp_tx_flush(tx);
    struct iovec *iov = tx->iovs[tx->n];
    struct segment_slice slice;

    iov[0].iov_base = tx->headers[tx->n];
    iov[0].iov_len = sclp_tx_put(tx, iov[0].iov_base, &slice, packet, whole,
                                 index, 1);
    iov[1] = sclp_tx_slice(packet, whole, &slice);
    tx->messages[tx->n++].msg_hdr = (struct msghdr) {
        .msg_name = tx->sll,
        .msg_namelen = sizeof *tx->sll,
        .msg_iov = iov,
        .msg_iovlen = 2,
    };
    return error;
}

/* Sends 'n' > 1 segments of the frame in 'packet', from 'index' on, as one
 * packet that the kernel or the network card cuts into datagrams.  Returns
 * EINVAL if the kernel does not do that. */
static int
sclp_tx_super(struct sclp_tx *tx, const struct dp_packet *packet,
              const struct sclp_whole *whole, size_t index, size_t n)
{
    uint8_t records[SCLP_UDP_SEGMENTS_MAX][SCLP_HEADER_SIZE];
    struct iovec iovs[2 * SCLP_UDP_SEGMENTS_MAX];
    size_t total = dp_packet_size(packet) - whole->frame_ofs;
    struct segment_slice slice;
    ssize_t retval;
    int error;

    error = sclp_tx_flush(tx);
    if (error) {
        return error;
    }
    iovs[0].iov_base = tx->headers[0];
    iovs[0].iov_len = sclp_tx_put(tx, iovs[0].iov_base, &slice, packet, whole,
                                  index, n);
    iovs[1] = sclp_tx_slice(packet, whole, &slice);
    for (size_t i = 1; i < n; i++) {
        error = sclp_record_put(records[i], &slice, &whole->outer, total,
                                whole->payload_max, index + i);
        ovs_assert(!error);
        iovs[2 * i].iov_base = records[i];
        iovs[2 * i].iov_len = SCLP_HEADER_SIZE;
        iovs[2 * i + 1] = sclp_tx_slice(packet, whole, &slice);
    }

    struct msghdr message = {
        .msg_name = tx->sll,
        .msg_namelen = sizeof *tx->sll,
        .msg_iov = iovs,
        .msg_iovlen = 2 * n,
    };
    do {
        retval = sendmsg(tx->sock, &message, 0);
    } while (retval < 0 && errno == EINTR);
    return retval < 0 ? errno : 0;
}

/* Sends the frame in 'packet'. */
static int
sclp_tx_frame(struct sclp_tx *tx, const struct dp_packet *packet)
{
    size_t n, n_records = 1;
    struct sclp_whole whole;
    bool no_uso;

    sclp_whole_read(&whole, packet);
    if (whole.l3_ofs > SCLP_L2_MAX) {
        return EMSGSIZE;
    }
    n = segment_count(dp_packet_size(packet) - whole.frame_ofs,
                      whole.payload_max);
    sclp_next_frame(&whole.outer, n);
    COVERAGE_ADD(sclp_segment, n);

    atomic_read_relaxed(&lacks_uso, &no_uso);
    if (whole.outer.is_udp && tx->vnet_size && !no_uso) {
        n_records = sclp_super_records(whole.payload_max);
    }
    for (size_t i = 0; i < n; ) {
        size_t n_here = MIN(n_records, n - i);
        int error = (n_here > 1
                     ? sclp_tx_super(tx, packet, &whole, i, n_here)
                     : sclp_tx_add(tx, packet, &whole, i));

        if (n_here > 1 && error == EINVAL) {
            VLOG_INFO("kernel without UDP segmentation offload, which Linux "
                      "has from 6.2 on: SCLP over UDP is segmented here");
            atomic_store_relaxed(&lacks_uso, true);
            n_records = 1;
            continue;
        }
        if (error) {
            return error;
        }
        i += n_here;
    }
    return 0;
}

int
netdev_sclp_send(const struct dp_packet_batch *batch, int sock,
                 struct sockaddr_ll *sll, bool has_vnet)
{
    struct dp_packet *packet;
    struct sclp_tx tx;
    int error = 0;

    tx.sock = sock;
    tx.sll = sll;
    tx.vnet_size = has_vnet ? sizeof(struct virtio_net_hdr) : 0;
    tx.n = 0;
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        error = sclp_tx_frame(&tx, packet);
        if (error) {
            return error;
        }
    }
    return sclp_tx_flush(&tx);
}

static ovs_be32
sclp_vni(const struct flow_tnl *tnl)
{
    return htonl(ntohll(tnl->tun_id) << 8);
}

/* Write the header for 'tnl' to 'payload' and return its size. */
static size_t
sclp_vxlan_put(void *payload, const struct flow_tnl *tnl)
{
    struct vxlanhdr *vxh = payload;

    put_16aligned_be32(&vxh->vx_flags, htonl(VXLAN_FLAGS));
    put_16aligned_be32(&vxh->vx_vni, sclp_vni(tnl));
    return sizeof *vxh;
}

static size_t
sclp_geneve_put(void *payload, const struct flow_tnl *tnl)
{
    struct genevehdr *gnh = payload;
    bool is_critical;
    size_t size;

    memset(gnh, 0, sizeof *gnh);
    size = tun_metadata_to_geneve_header(tnl, gnh->options, &is_critical);
    gnh->opt_len = size / 4;
    gnh->oam = !!(tnl->flags & FLOW_TNL_F_OAM);
    gnh->critical = is_critical;
    gnh->proto_type = htons(ETH_TYPE_TEB);
    put_16aligned_be32(&gnh->vni, sclp_vni(tnl));
    return sizeof *gnh + size;
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
        .dst_port = (tnl_cfg->sclp_geneve ? SCLP_GENEVE_PORT
                     : SCLP_VXLAN_PORT),
        .remaining = MIN(params->mtu, UINT16_MAX) - outer_size,
    });
    ALIGNED_CAST(ovs_be16 *, l4)[5] = htons(tnl_cfg->sclp_offload);
    l4 += SCLP_HEADER_SIZE;
    data->header_len = ETH_HEADER_LEN + outer_size;
    data->header_len += (tnl_cfg->sclp_geneve
                         ? sclp_geneve_put(l4, &params->flow->tunnel)
                         : sclp_vxlan_put(l4, &params->flow->tunnel));
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
    size_t room_size = 0, before_size;
    struct ip_header *ip;
    uint8_t *eth, *payload;
    bool is_cut_later = false;

    sclp_headers_read(&whole, data->header, ETH_HEADER_LEN);
    if (dp_packet_size(packet) < ETH_HEADER_LEN
        || dp_packet_size(packet) > (UINT16_MAX - data->header_len
                                     - SCLP_OPTION_SIZE)
        || dp_packet_hwol_is_sclp(packet)) {
        return false;
    }
    if (!whole.may_offload
        || !sclp_take_offload(packet, &offload)) {
        is_cut_later = dp_packet_hwol_is_tso(packet);
        if (is_cut_later && !sclp_is_tso_possible(packet)) {
            return false;
        }
        if (!is_cut_later) {
            dp_packet_ol_send_prepare(packet, 0);
        }
    }

    /* Offload state is the first of Geneve's options, or VXLAN's own bits. */
    if (offload.flags && sclp_is_geneve(&whole)) {
        room_size = SCLP_OPTION_SIZE;
    }
    before_size = whole.frame_ofs + SCLP_GENEVE_HEADER_SIZE;
    eth = dp_packet_push_uninit(packet, data->header_len + room_size);
    memcpy(eth, data->header, before_size);
    memcpy(eth + before_size + room_size,
           (const uint8_t *) data->header + before_size,
           data->header_len - before_size);
    payload = eth + whole.frame_ofs;
    if (offload.flags
        && (sclp_is_geneve(&whole)
            ? sclp_geneve_put_offload(payload, &offload)
            : sclp_vxlan_put_offload(payload, &offload))) {
        return false;
    }

    memcpy(payload - SCLP_HEADER_SIZE, &src_port, sizeof src_port);
    ip = ALIGNED_CAST(struct ip_header *, eth + ETH_HEADER_LEN);
    ip->ip_tot_len = htons(dp_packet_size(packet) - ETH_HEADER_LEN);
    if (!is_cut_later) {
        dp_packet_reset_offload(packet);
        dp_packet_set_tso_segsz(packet, 0);
        dp_packet_hwol_set_tcp_seg(packet);
    }
    dp_packet_hwol_set_sclp(packet);
    sclp_set_layers(packet, ETH_HEADER_LEN);
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
    uint8_t *eth = dp_packet_data(packet);
    size_t inner_ofs
        = (whole->frame_ofs
           + sclp_payload_header_size(whole, eth + whole->frame_ofs));
    enum stt_verdict verdict;

    verdict = stt_inner_find(inner, eth + inner_ofs,
                             dp_packet_size(packet) - inner_ofs);
    ovs_assert(!verdict);
}

int
netdev_sclp_n_segments(const struct dp_packet *packet)
{
    uint16_t mss = dp_packet_get_tso_segsz(packet);
    struct sclp_whole whole;
    struct stt_inner inner;

    sclp_whole_read(&whole, packet);
    if (!mss) {
        return segment_count(dp_packet_size(packet) - whole.frame_ofs,
                             whole.payload_max);
    }
    sclp_find_inner(packet, &whole, &inner);

    size_t header_size
        = (sclp_payload_header_size(&whole, (uint8_t *) dp_packet_data(packet)
                                            + whole.frame_ofs)
           + inner.payload_offset);
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
    size_t header_size
        = (whole->frame_ofs
           + sclp_payload_header_size(whole, (uint8_t *) dp_packet_data(packet)
                                             + whole->frame_ofs));
    uint8_t headers[SCLP_L2_MAX + SCLP_UDP_SIZE + SCLP_GENEVE_HEADER_SIZE
                    + SCLP_GENEVE_OPTIONS_MAX];
    struct dp_packet_batch *parts, *last;
    struct dp_packet *part;
    struct stt_inner inner;
    size_t n_batches;

    sclp_find_inner(packet, whole, &inner);
    if (header_size > sizeof headers) {
        return;
    }
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
            sclp_cut(part, whole, batches);
            dp_packet_delete(part);
        }
    }
    free(parts);
}

bool
netdev_sclp_segment(struct dp_packet *packet, struct dp_packet_batch **batches)
{
    struct sclp_whole whole;

    sclp_whole_read(&whole, packet);
    if (dp_packet_get_tso_segsz(packet)) {
        sclp_segment_inner(packet, &whole, batches);
    } else {
        sclp_cut(packet, &whole, batches);
    }
    return true;
}

/* Reception.
 *
 * Level 1 of reassembly puts segments together that arrive behind one another:
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
    const struct virtio_net_hdr *vnet = data;
    const uint8_t *eth = (const uint8_t *) data + (has_vnet ? sizeof *vnet
                                                   : 0);
    const size_t header_size = ETH_HEADER_LEN + SCLP_NATIVE_SIZE;
    const struct eth_header *eth_header
        = ALIGNED_CAST(const struct eth_header *, eth);
    unsigned int trust = 0;
    struct sclp_segment segment;
    struct sclp_packet outer;
    enum sclp_verdict verdict;
    uint32_t offset;

    size -= eth - (const uint8_t *) data;
    if (size <= header_size || eth_header->eth_type != htons(ETH_TYPE_IP)
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
        || verdict) {
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
        size_t room = MIN(segment.length + segment.remaining,
                          UINT16_MAX - DP_NETDEV_HEADROOM - header_size);

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
    return (sclp_any(&tunnels[0].n) && !sclp_any(&tunnels[0].n_nve_only));
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

/* Goes to the next segment in 'packet', of which 'outer' is not done, with those
 * that follow it in the same packet put behind it: level 1 of reassembly. */
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
    if (sclp_any(&tunnels[sclp_port(outer)].n_nve_only)) {
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

/* Returns the payload of 'segment', at 'offset' in the IPv4 packet of 'packet',
 * as a packet: a new one with room for the rest of its frame, or 'packet'
 * itself if 'is_last'. */
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

/* Takes 'packet', the payload of 'segment'.  Returns an inner frame or NULL; in
 * that case '*queued' tells whether the segment was kept, else it was
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

        if (sclp_any(&tunnels[sclp_port(outer)].n_gro_only)) {
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
        packet, segment->dst_port, sclp_any(&tunnels[sclp_port(outer)].n_offload));
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

/* Takes 'packet' and adds the inner frames that it completes to 'batch'.  Where
 * that is full, what is left of 'packet' is returned, else NULL. */
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
    atomic_read_relaxed(&n_merged, &value);
    ds_put_format(&ds, "merged on receipt: segments:%"PRIu64, value);
    atomic_read_relaxed(&n_repeated, &value);
    ds_put_format(&ds, " repeated:%"PRIu64"\n", value);
    ds_put_cstr(&ds, "dropped:");
    for (size_t i = SCLP_OK + 1; i < SCLP_N_VERDICTS; i++) {
        atomic_read_relaxed(&verdicts[i], &value);
        ds_put_format(&ds, " %s:%"PRIu64, sclp_verdict_name(i), value);
    }
    atomic_read_relaxed(&n_other_payload, &value);
    ds_put_format(&ds, " other_payload:%"PRIu64, value);
    atomic_read_relaxed(&n_incomplete, &value);
    ds_put_format(&ds, " incomplete:%"PRIu64, value);
    netdev_reassembly_show_drops(reassembly, &ds);
    ds_put_char(&ds, '\n');
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}
