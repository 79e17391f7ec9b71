/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-stt.h"

#include <errno.h>
#include <net/if.h>

#include "coverage.h"
#include "csum.h"
#include "dp-packet.h"
#include "dpif-netdev.h"
#include "flow.h"
#include "netdev-inner.h"
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
#include "smap.h"
#include "stt.h"
#include "unixctl.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_stt);

COVERAGE_DEFINE(stt_push);
COVERAGE_DEFINE(stt_push_drop);
COVERAGE_DEFINE(stt_pop_single);
COVERAGE_DEFINE(stt_pop_reassembled);
COVERAGE_DEFINE(stt_pop_queued);
COVERAGE_DEFINE(stt_pop_drop);
COVERAGE_DEFINE(stt_reset);

/* Of a template in struct ovs_action_push_tnl: Ethernet, IPv4, pseudo-TCP and
 * STT headers. */
#define STT_HLEN (ETH_HEADER_LEN + IP_HEADER_LEN + STT_TCP_HEADER_SIZE \
                  + STT_HEADER_SIZE)

/* Headers that each segment has between Ethernet and its payload. */
#define STT_SEGMENT_HLEN (IP_HEADER_LEN + STT_TCP_HEADER_SIZE)

/* Identifies a frame.  No padding, it is compared as bytes. */
struct stt_key {
    ovs_be32 src;
    ovs_be32 dst;
    uint32_t id;
    uint16_t dst_port;
    uint16_t pad;
};
BUILD_ASSERT_DECL(sizeof(struct stt_key) == 16);

static struct netdev_reassembly *reassembly;
static atomic_uint64_t verdicts[STT_N_VERDICTS];
static atomic_uint64_t n_pushed;
static atomic_uint64_t n_push_dropped;
static atomic_uint32_t next_id;

/* Ports that STT was sent to, once the first of them is known. */
static atomic_bool sends_to[UINT16_MAX + 1];
static atomic_bool has_sent;

static void stt_show(struct unixctl_conn *, int argc, const char *argv[],
                     void *aux);

static void
stt_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        atomic_init(&next_id, random_uint32());
        reassembly = netdev_reassembly_create(sizeof(struct stt_key));
        unixctl_command_register("stt/show", "", 0, 0, stt_show, NULL);
        ovsthread_once_done(&once);
    }
}

void
netdev_stt_run(void)
{
    stt_init();
    netdev_reassembly_run(reassembly);
}

void
netdev_stt_wait(void)
{
    stt_init();
    netdev_reassembly_wait(reassembly);
}

/* Configuration. */

/* Appends what is wrong with the 'options' of interface 'name', a tunnel whose
 * addresses are of IPv6 if 'is_ipv6', to 'errors'.  Returns true if nothing
 * is. */
bool
netdev_stt_check_options(const char *name, const struct smap *options,
                         bool is_ipv6, struct ds *errors)
{
    static const char *const keys[] = { "key", "in_key", "out_key" };
    const char *dst_port = smap_get(options, "dst_port");
    size_t length = errors->length;
    unsigned long long int number;
    unsigned int port;

    if (is_ipv6) {
        ds_put_format(errors, "%s: stt type requires an IPv4 underlay\n",
                      name);
    }
    if (dst_port && (!str_to_uint(dst_port, 10, &port)
                     || !port || port > UINT16_MAX)) {
        ds_put_format(errors, "%s: stt type requires a 'dst_port' from 1 to "
                      "65535\n", name);
    }
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const char *key = smap_get(options, keys[i]);

        if (key && strcmp(key, "flow")
            && (key[0] == '-' || !str_to_ullong(key, 0, &number))) {
            ds_put_format(errors, "%s: stt type requires '%s' to be a number "
                          "of up to 64 bits or \"flow\"\n", name, keys[i]);
        }
    }
    return errors->length == length;
}

/* Transmission. */

int
netdev_stt_build_header(const struct netdev *netdev,
                        struct ovs_action_push_tnl *data,
                        const struct netdev_tnl_build_header_params *params)
{
    const struct netdev_tunnel_config *tnl_cfg;
    struct stt_header header = {
        .context_id = ntohll(params->flow->tunnel.tun_id),
    };
    struct tcp_header *tcp;

    if (params->is_ipv6
        || params->flow->packet_type != htonl(PT_ETH)) {
        return EOPNOTSUPP;
    }
    if (params->mtu <= STT_SEGMENT_HLEN) {
        return EMSGSIZE;
    }

    tnl_cfg = netdev_get_tunnel_config(netdev);
    atomic_store_relaxed(&sends_to[ntohs(tnl_cfg->dst_port)], true);
    atomic_store_relaxed(&has_sent, true);
    tcp = netdev_tnl_ip_build_header(data, params, IPPROTO_TCP, 0);
    tcp->tcp_dst = tnl_cfg->dst_port;
    tcp->tcp_ctl = TCP_CTL(0, 5);
    /* The size of segments travels in a field that goes out as 0. */
    tcp->tcp_urg = htons(MIN(params->mtu, UINT16_MAX) - STT_SEGMENT_HLEN);
    if (stt_header_put(tcp + 1, &header)) {
        return EINVAL;
    }

    data->header_len += STT_TCP_HEADER_SIZE + STT_HEADER_SIZE;
    data->tnl_type = OVS_VPORT_TYPE_STT;
    return 0;
}

/* Takes the inner frame's 802.1Q tag, if it has one, into 'header'. */
static void
stt_take_vlan(struct dp_packet *packet, struct stt_header *header)
{
    const struct vlan_eth_header *veh = dp_packet_eth(packet);

    if (dp_packet_size(packet) >= sizeof *veh
        && veh->veth_type == htons(ETH_TYPE_VLAN_8021Q)) {
        header->has_vlan = true;
        header->vlan_tci = ntohs(veh->veth_tci) & ~VLAN_CFI;
        eth_pop_vlan(packet);
    }
}

/* Takes what of the inner frame's checksums and segmentation is still to be
 * done into 'header', and does the rest.  Returns false if it cannot be. */
static bool
stt_take_offloads(struct dp_packet *packet, struct stt_header *header)
{
    if (netdev_inner_take_offload(packet, header)) {
        return true;
    }
    if (dp_packet_hwol_is_tso(packet)) {
        return false;
    }
    dp_packet_ol_send_prepare(packet, 0);
    return true;
}

/* Encapsulates 'packet'.  Returns false if it cannot be. */
static bool
stt_push(struct dp_packet *packet, const struct ovs_action_push_tnl *data)
{
    ovs_be16 src_port = netdev_tnl_get_src_port(packet);
    uint32_t rss_hash = dp_packet_get_rss_hash(packet);
    const struct tcp_header *template_tcp;
    struct stt_header header;
    struct stt_segment segment;
    struct ip_header *ip;
    uint8_t *eth;
    uint32_t id;

    template_tcp = ALIGNED_CAST(const struct tcp_header *,
                                (const uint8_t *) data->header + ETH_HEADER_LEN
                                + IP_HEADER_LEN);
    if (stt_header_parse(&header, template_tcp + 1, STT_TOTAL_MIN)) {
        return false;
    }
    stt_take_vlan(packet, &header);
    if (dp_packet_size(packet) > STT_INNER_MAX
        || dp_packet_size(packet) < ETH_HEADER_LEN
        || !stt_take_offloads(packet, &header)) {
        return false;
    }

    atomic_add_relaxed(&next_id, 1, &id);
    segment.src_port = ntohs(src_port);
    segment.dst_port = ntohs(template_tcp->tcp_dst);
    segment.id = id;
    segment.total = STT_HEADER_SIZE + dp_packet_size(packet);
    segment.offset = 0;
    segment.length = segment.total;

    eth = dp_packet_push_uninit(packet, STT_HLEN);
    memcpy(eth, data->header, ETH_HEADER_LEN + IP_HEADER_LEN);
    ip = ALIGNED_CAST(struct ip_header *, eth + ETH_HEADER_LEN);
    ip->ip_tot_len = htons(STT_SEGMENT_HLEN + segment.total);
    ip->ip_id = htons(id);
    stt_segment_put(ip + 1, &segment);
    stt_header_put((uint8_t *) (ip + 1) + STT_TCP_HEADER_SIZE, &header);

    /* From here on it is a TCP packet like any other. */
    packet->packet_type = htonl(PT_ETH);
    packet->csum_start = packet->csum_offset = 0;
    dp_packet_reset_offload(packet);
    dp_packet_set_rss_hash(packet, rss_hash);
    dp_packet_reset_offsets(packet);
    packet->l3_ofs = ETH_HEADER_LEN;
    packet->l4_ofs = ETH_HEADER_LEN + IP_HEADER_LEN;
    dp_packet_hwol_set_tx_ipv4(packet);
    dp_packet_hwol_set_tx_ip_csum(packet);
    dp_packet_hwol_set_csum_tcp(packet);
    if (segment.total > ntohs(template_tcp->tcp_urg)) {
        dp_packet_hwol_set_tcp_seg(packet);
        dp_packet_set_tso_segsz(packet, ntohs(template_tcp->tcp_urg));
    }
    return true;
}

void
netdev_stt_push_headers(const struct netdev *netdev OVS_UNUSED,
                        struct dp_packet_batch *batch,
                        const struct ovs_action_push_tnl *data)
{
    size_t size = dp_packet_batch_size(batch);
    struct dp_packet *packet;
    uint64_t orig;
    size_t i;

    stt_init();
    DP_PACKET_BATCH_REFILL_FOR_EACH (i, size, packet, batch) {
        if (stt_push(packet, data)) {
            pkt_metadata_init(&packet->md, data->out_port);
            dp_packet_batch_refill(batch, packet, i);
        } else {
            dp_packet_delete(packet);
        }
    }

    size_t n_left = dp_packet_batch_size(batch);
    COVERAGE_ADD(stt_push, n_left);
    COVERAGE_ADD(stt_push_drop, size - n_left);
    atomic_add_relaxed(&n_pushed, n_left, &orig);
    if (size != n_left) {
        atomic_add_relaxed(&n_push_dropped, size - n_left, &orig);
    }
}

/* Reception. */

static void
stt_count(enum stt_verdict verdict)
{
    uint64_t orig;

    atomic_add_relaxed(&verdicts[verdict], 1, &orig);
}

/* Makes 'packet' begin at the segment's payload and end with it, with the
 * outer addresses in its tunnel metadata. */
static void
stt_strip_outer(struct dp_packet *packet, const struct stt_packet *outer)
{
    const struct ip_header *ip = dp_packet_l3(packet);
    struct flow_tnl *tnl = &packet->md.tunnel;
    size_t offset = packet->l3_ofs + outer->payload_offset;

    pkt_metadata_init_tnl(&packet->md);
    tnl->ip_src = get_16aligned_be32(&ip->ip_src);
    tnl->ip_dst = get_16aligned_be32(&ip->ip_dst);
    tnl->ip_tos = outer->tos;
    tnl->ip_ttl = outer->ttl;
    tnl->tp_src = htons(outer->segment.src_port);
    tnl->tp_dst = htons(outer->segment.dst_port);
    dp_packet_pull(packet, offset);
    dp_packet_set_size(packet, outer->segment.length);
    /* Nothing holds any more that was known of the layers and the padding. */
    dp_packet_reset_offsets(packet);
}

/* Takes a segment that is not a whole frame.  Returns the frame that it
 * completes, or NULL; then '*queued' tells whether it was kept. */
static struct dp_packet *
stt_reassemble(struct dp_packet *packet, const struct stt_packet *outer,
               bool *queued)
{
    const struct stt_segment *segment = &outer->segment;
    struct stt_key key = {
        .src = htonl(outer->src),
        .dst = htonl(outer->dst),
        .id = segment->id,
        .dst_port = segment->dst_port,
    };

    return netdev_reassembly_add(
        reassembly, &key, &(struct netdev_reassembly_segment) {
            .packet = packet,
            .length = segment->length,
            .remaining = segment->total - segment->offset - segment->length,
            .total = segment->total,
        }, queued);
}

/* Turns 'packet', an STT frame, into the inner frame with its tunnel metadata
 * and offloads.  Returns STT_OK or why it must be dropped. */
static enum stt_verdict
stt_decapsulate(struct dp_packet *packet)
{
    struct flow_tnl *tnl = &packet->md.tunnel;
    struct stt_header header;
    struct stt_inner inner;
    enum stt_verdict verdict;

    verdict = stt_header_parse(&header, dp_packet_data(packet),
                               dp_packet_size(packet));
    if (verdict) {
        return verdict;
    }
    dp_packet_pull(packet, STT_HEADER_SIZE);
    if (header.flags & STT_F_CSUM_PARTIAL) {
        verdict = stt_inner_check(&inner, &header, dp_packet_data(packet),
                                  dp_packet_size(packet));
        if (verdict) {
            return verdict;
        }
    }

    tnl->tun_id = htonll(header.context_id);
    tnl->flags |= FLOW_TNL_F_KEY;

    netdev_inner_put_offload(packet, &inner, &header);
    if (header.has_vlan) {
        eth_push_vlan(packet, htons(ETH_TYPE_VLAN_8021Q),
                      htons(header.vlan_tci));
        if (packet->csum_offset) {
            packet->csum_start += VLAN_HEADER_LEN;
        }
    }
    pkt_metadata_init_conn(&packet->md);
    return STT_OK;
}

/* Takes one received packet.  Returns an inner frame or NULL; in that case
 * '*queued' tells whether the packet was kept, else it was dropped. */
static struct dp_packet *
stt_pop(struct dp_packet *packet, bool *queued)
{
    const uint8_t *ip = dp_packet_l3(packet);
    struct stt_packet outer;
    enum stt_verdict verdict;
    unsigned int trust = 0;

    *queued = false;
    if (dp_packet_hwol_l3_csum_ipv4_ol(packet)
        || dp_packet_ip_checksum_good(packet)) {
        trust |= STT_TRUST_IP_CSUM;
    }
    if (dp_packet_ol_l4_csum_partial(packet)
        || dp_packet_l4_checksum_good(packet)) {
        trust |= STT_TRUST_TCP_CSUM;
    }
    verdict = ip ? stt_packet_parse(&outer, ip, dp_packet_l3_size(packet),
                                    trust)
                 : STT_IP_HEADER;
    if (!verdict) {
        stt_strip_outer(packet, &outer);
        if (outer.segment.length != outer.segment.total) {
            packet = stt_reassemble(packet, &outer, queued);
            if (!packet) {
                return NULL;
            }
            COVERAGE_INC(stt_pop_reassembled);
        } else {
            COVERAGE_INC(stt_pop_single);
        }
        verdict = stt_decapsulate(packet);
    }
    stt_count(verdict);
    if (verdict) {
        dp_packet_delete(packet);
        return NULL;
    }
    return packet;
}

size_t
netdev_stt_pop_headers(struct netdev *netdev OVS_UNUSED,
                       struct dp_packet_batch *batch,
                       struct dp_packet_batch *rest OVS_UNUSED)
{
    size_t size = dp_packet_batch_size(batch);
    size_t n_dropped = 0, n_queued = 0;
    struct dp_packet *packet;
    size_t i;

    stt_init();
    DP_PACKET_BATCH_REFILL_FOR_EACH (i, size, packet, batch) {
        bool queued;

        packet = stt_pop(packet, &queued);
        if (packet) {
            dp_packet_batch_refill(batch, packet, i);
        } else if (queued) {
            n_queued++;
        } else {
            n_dropped++;
        }
    }
    COVERAGE_ADD(stt_pop_queued, n_queued);
    COVERAGE_ADD(stt_pop_drop, n_dropped);
    return n_dropped;
}

/* Looks for a host that answers STT with TCP resets, since nothing keeps the
 * segments from its TCP.  'flow' is of a packet on its way to this host's
 * stack.  A reset needs a flow in the datapath of its own, so that the first
 * one is seen here; other TCP packets cost one bit in 'wc'. */
void
netdev_stt_snoop_reset(const struct flow *flow, struct flow_wildcards *wc,
                       bool may_log)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);
    uint16_t port = ntohs(flow->tp_src);
    bool is_in_use, is_answer;

    atomic_read_relaxed(&has_sent, &is_in_use);
    if (!is_in_use || flow->dl_type != htons(ETH_TYPE_IP)) {
        return;
    }
    WC_MASK_FIELD(wc, nw_proto);
    if (flow->nw_proto != IPPROTO_TCP
        || flow->nw_frag & FLOW_NW_FRAG_LATER) {
        return;
    }
    WC_MASK_FIELD_MASK(wc, tcp_flags, htons(TCP_RST));
    if (!(flow->tcp_flags & htons(TCP_RST))) {
        return;
    }
    WC_MASK_FIELD(wc, tp_src);
    atomic_read_relaxed(&sends_to[port], &is_answer);
    if (is_answer && may_log) {
        COVERAGE_INC(stt_reset);
        VLOG_WARN_RL(&rl, "host "IP_FMT" answers STT with TCP resets: there, "
                     "drop what arrives for TCP port %"PRIu16" before TCP "
                     "sees it, see type \"stt\" in ovs-vswitchd.conf.db(5)",
                     IP_ARGS(flow->nw_src), port);
    }
}

static void
stt_show(struct unixctl_conn *conn, int argc OVS_UNUSED,
         const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    uint64_t value;

    atomic_read_relaxed(&n_pushed, &value);
    ds_put_format(&ds, "sent: frames:%"PRIu64, value);
    atomic_read_relaxed(&n_push_dropped, &value);
    ds_put_format(&ds, " dropped:%"PRIu64"\n", value);
    atomic_read_relaxed(&verdicts[STT_OK], &value);
    netdev_reassembly_show(reassembly, value, &ds);
    ds_put_cstr(&ds, "dropped:");
    for (size_t i = STT_OK + 1; i < STT_N_VERDICTS; i++) {
        atomic_read_relaxed(&verdicts[i], &value);
        ds_put_format(&ds, " %s:%"PRIu64, stt_verdict_name(i), value);
    }
    netdev_reassembly_show_drops(reassembly, &ds);
    ds_put_char(&ds, '\n');
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}
