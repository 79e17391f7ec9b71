/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-sclp.h"

#include <errno.h>

#include "coverage.h"
#include "dp-packet-gso.h"
#include "netdev-inner.h"
#include "netdev-native-tnl.h"
#include "netdev-provider.h"
#include "netdev-sclp-private.h"
#include "odp-netlink.h"
#include "openvswitch/dynamic-string.h"
#include "ovs-thread.h"
#include "stt.h"
#include "tun-metadata.h"
#include "unixctl.h"

COVERAGE_DEFINE(sclp_push);
COVERAGE_DEFINE(sclp_push_drop);

struct sclp_tunnels sclp_tunnels[UINT16_MAX + 1];
static atomic_uint64_t n_pushed;
static atomic_uint64_t n_push_dropped;

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
    sclp_receive_show(&ds);
    unixctl_command_reply(conn, ds_cstr(&ds));
    ds_destroy(&ds);
}

void
sclp_init(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;

    if (ovsthread_once_start(&once)) {
        sclp_send_init();
        sclp_receive_init();
        unixctl_command_register("sclp/show", "", 0, 0, sclp_show, NULL);
        ovsthread_once_done(&once);
    }
}

static void
sclp_count_tunnel(const struct netdev_tunnel_config *cfg, bool is_added)
{
    /* Of unsigned numbers, so that adding 'one' may be subtracting it. */
    uint32_t one = is_added ? 1 : UINT32_MAX;
    uint16_t port = cfg->sclp_udp ? ntohs(cfg->dst_port) : 0;
    uint32_t orig;

    atomic_add(&sclp_tunnels[port].n, one, &orig);
    if (cfg->sclp_offload) {
        atomic_add(&sclp_tunnels[port].n_offload, one, &orig);
    }
    if (cfg->sclp_reassembly == NETDEV_SCLP_NVE) {
        atomic_add(&sclp_tunnels[port].n_nve_only, one, &orig);
    } else if (cfg->sclp_reassembly == NETDEV_SCLP_GRO) {
        atomic_add(&sclp_tunnels[port].n_gro_only, one, &orig);
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

    sclp_whole_read(&whole, data->header, ETH_HEADER_LEN);
    if (dp_packet_size(packet) < ETH_HEADER_LEN
        || dp_packet_size(packet) > (UINT16_MAX - data->header_len
                                     - SCLP_OPTION_SIZE)
        || dp_packet_hwol_is_sclp(packet)) {
        return false;
    }
    if (!whole.may_offload
        || !netdev_inner_take_offload(packet, &offload)) {
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
