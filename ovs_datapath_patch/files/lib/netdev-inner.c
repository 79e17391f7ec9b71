/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-inner.h"

#include "dp-packet.h"
#include "packets.h"
#include "stt.h"

bool
netdev_inner_take_offload(struct dp_packet *packet, struct stt_header *offload)
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

void
netdev_inner_put_offload(struct dp_packet *packet,
                         const struct stt_inner *inner,
                         const struct stt_header *offload)
{
    uint16_t mss;

    packet->packet_type = htonl(PT_ETH);
    dp_packet_reset_offload(packet);
    packet->csum_start = packet->csum_offset = 0;
    dp_packet_set_tso_segsz(packet, 0);
    if (!(offload->flags & STT_F_CSUM_PARTIAL)) {
        return;
    }

    /* Flow extraction takes it from here. */
    packet->csum_start = inner->l4_offset;
    packet->csum_offset = (inner->is_tcp
                           ? offsetof(struct tcp_header, tcp_csum)
                           : offsetof(struct udp_header, udp_csum));
    if (!inner->is_tcp) {
        dp_packet_hwol_set_csum_udp(packet);
    }
    mss = stt_inner_mss(inner, offload);
    if (mss) {
        dp_packet_hwol_set_tcp_seg(packet);
        dp_packet_set_tso_segsz(packet, mss);
    }
}
