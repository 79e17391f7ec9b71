/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-sclp.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "coverage.h"
#include "dp-packet-gso.h"
#include "dpif-netdev.h"
#include "netdev-sclp-private.h"
#include "openvswitch/vlog.h"
#include "random.h"
#include "stt.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_sclp_send);

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5     /* Linux 6.2. */
#endif

COVERAGE_DEFINE(sclp_segment);

static atomic_uint32_t next_id;
static atomic_uint32_t next_ip_id;

void
sclp_send_init(void)
{
    atomic_init(&next_id, random_uint32());
    atomic_init(&next_ip_id, random_uint32());
}

void
sclp_whole_read(struct sclp_whole *whole, const void *eth, size_t l3_ofs)
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

/* Returns the size of the VXLAN or Geneve header at 'payload'. */
static size_t
sclp_payload_header_size(const struct sclp_whole *whole, const void *payload)
{
    const struct genevehdr *gnh = payload;

    return (sclp_is_geneve(whole)
            ? SCLP_GENEVE_HEADER_SIZE + gnh->opt_len * 4
            : SCLP_VXLAN_HEADER_SIZE);
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

/* Whether the kernel cuts UDP packets, as the first one showed. */
enum sclp_uso { SCLP_USO_UNKNOWN, SCLP_USO_PRESENT, SCLP_USO_ABSENT };
static atomic_uint32_t uso = SCLP_USO_UNKNOWN;

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

/* Adds a message of the two pieces in 'iov'. */
static void
sclp_tx_message(struct sclp_tx *tx, struct iovec *iov)
{
    tx->messages[tx->n++].msg_hdr = (struct msghdr) {
        .msg_name = tx->sll,
        .msg_namelen = sizeof *tx->sll,
        .msg_iov = iov,
        .msg_iovlen = 2,
    };
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
    sclp_tx_message(tx, iov);
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

/* Adds the frame in 'packet', of 'n' > 1 segments, as one message.  Their
 * headers are put between them in the packet: that takes one copy within the
 * cache, the kernel's from as many pieces takes longer. */
static int
sclp_tx_add_super(struct sclp_tx *tx, struct dp_packet *packet,
                  const struct sclp_whole *whole, size_t n)
{
    int error = tx->n < SCLP_TX_MESSAGES ? 0 : sclp_tx_flush(tx);
    uint8_t *frame = (uint8_t *) dp_packet_data(packet) + whole->frame_ofs;
    size_t total = dp_packet_size(packet) - whole->frame_ofs;
    struct iovec *iov = tx->iovs[tx->n];
    struct segment_slice slice;
    uint8_t *header = tx->headers[tx->n];
    size_t size = sclp_tx_put(tx, header, &slice, packet, whole, 0, n);

    for (size_t i = n - 1; i > 0; i--) {
        uint8_t record[SCLP_HEADER_SIZE], *to;
        int retval = sclp_record_put(record, &slice, &whole->outer, total,
                                     whole->payload_max, i);

        ovs_assert(!retval);
        to = frame + slice.offset + i * SCLP_HEADER_SIZE;
        memmove(to, frame + slice.offset, slice.length);
        memcpy(to - SCLP_HEADER_SIZE, record, SCLP_HEADER_SIZE);
    }
    dp_packet_set_size(packet, dp_packet_size(packet)
                               + (n - 1) * SCLP_HEADER_SIZE);
    iov[0] = (struct iovec) { .iov_base = header, .iov_len = size };
    iov[1] = (struct iovec) {
        .iov_base = frame,
        .iov_len = dp_packet_size(packet) - whole->frame_ofs,
    };
    sclp_tx_message(tx, iov);
    return error;
}

/* Sends the frame in 'packet', which may change what is in there. */
static int
sclp_tx_frame(struct sclp_tx *tx, struct dp_packet *packet)
{
    size_t n, n_records = 1;
    struct sclp_whole whole;
    uint32_t has_uso;

    sclp_whole_read(&whole, dp_packet_data(packet), packet->l3_ofs);
    if (whole.l3_ofs > SCLP_L2_MAX) {
        return EMSGSIZE;
    }
    n = segment_count(dp_packet_size(packet) - whole.frame_ofs,
                      whole.payload_max);
    sclp_next_frame(&whole.outer, n);
    COVERAGE_ADD(sclp_segment, n);

    atomic_read_relaxed(&uso, &has_uso);
    if (whole.outer.is_udp && tx->vnet_size && has_uso != SCLP_USO_ABSENT) {
        n_records = sclp_super_records(whole.payload_max);
    }
    if (has_uso == SCLP_USO_PRESENT && n > 1 && n <= n_records
        && dp_packet_tailroom(packet) >= (n - 1) * SCLP_HEADER_SIZE) {
        return sclp_tx_add_super(tx, packet, &whole, n);
    }
    for (size_t i = 0; i < n; ) {
        size_t n_here = MIN(n_records, n - i);
        int error = (n_here > 1
                     ? sclp_tx_super(tx, packet, &whole, i, n_here)
                     : sclp_tx_add(tx, packet, &whole, i));

        if (n_here > 1 && error == EINVAL && has_uso == SCLP_USO_UNKNOWN) {
            VLOG_INFO("kernel without UDP segmentation offload, which Linux "
                      "has from 6.2 on: SCLP over UDP is segmented here");
            atomic_store_relaxed(&uso, SCLP_USO_ABSENT);
            n_records = 1;
            continue;
        }
        if (error) {
            return error;
        }
        if (n_here > 1 && has_uso == SCLP_USO_UNKNOWN) {
            atomic_store_relaxed(&uso, SCLP_USO_PRESENT);
        }
        i += n_here;
    }
    return 0;
}

int
netdev_sclp_send(struct dp_packet_batch *batch, int sock,
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

    sclp_whole_read(&whole, dp_packet_data(packet), packet->l3_ofs);
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

    sclp_whole_read(&whole, dp_packet_data(packet), packet->l3_ofs);
    if (dp_packet_get_tso_segsz(packet)) {
        sclp_segment_inner(packet, &whole, batches);
    } else {
        sclp_cut(packet, &whole, batches);
    }
    return true;
}
