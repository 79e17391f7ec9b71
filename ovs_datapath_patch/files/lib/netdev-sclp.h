/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_SCLP_H
#define NETDEV_SCLP_H 1

/* VXLAN and Geneve over SCLP, the Segment-oriented Connection-Less Protocol,
 * for the userspace datapath: build, push, cut, pop.
 *
 * An inner frame becomes one packet, flagged DP_PACKET_OL_TX_SCLP, that is cut
 * into segments where it is sent: netdev_sclp_send() writes headers and leaves
 * the frame where it is, dp_packet_gso() makes new packets for devices of
 * other kinds.  An inner packet that needs segmentation crosses as it is where
 * the tunnel has 'offload'; else it is cut by dp_packet_gso(), too, and each
 * part is a frame of its own.  The receiver puts segments together before it
 * looks at what is inside.
 *
 * Thread-safety: any thread may push, cut and pop; a frame's segments may
 * arrive in different threads. */

#include <stdbool.h>
#include <stddef.h>

#include "sclp.h"

struct dp_packet;
struct dp_packet_batch;
struct netdev;
struct netdev_tnl_build_header_params;
struct netdev_tunnel_config;
struct ovs_action_push_tnl;
struct sockaddr_ll;

int netdev_sclp_build_header(const struct netdev *,
                             struct ovs_action_push_tnl *,
                             const struct netdev_tnl_build_header_params *);
void netdev_sclp_push_headers(const struct netdev *, struct dp_packet_batch *,
                              const struct ovs_action_push_tnl *);
size_t netdev_sclp_pop_headers(struct netdev *, struct dp_packet_batch *,
                               struct dp_packet_batch *rest);

/* For packets with DP_PACKET_OL_TX_SCLP: how many packets it becomes, and to
 * add them to 'batches' as dp_packet_gso() does. */
int netdev_sclp_n_segments(const struct dp_packet *);
bool netdev_sclp_segment(struct dp_packet *, struct dp_packet_batch **batches);

/* Sends 'batch', of packets with DP_PACKET_OL_TX_SCLP that have no segment
 * size, on the AF_PACKET socket 'sock' to '*sll'; 'has_vnet' tells whether the
 * socket takes a virtio-net header, so that the kernel or the network card
 * computes checksums and cuts UDP packets.  It may change what is in the
 * packets.  Returns 0 or a positive errno. */
int netdev_sclp_send(struct dp_packet_batch *batch, int sock,
                     struct sockaddr_ll *sll, bool has_vnet);

/* Returns true if 'packet', as it was received, is of SCLP's own protocol and
 * leaves its checksum to the network card. */
bool netdev_sclp_is_partial(const struct dp_packet *packet);

/* Segments of SCLP's own protocol that arrive behind one another. */
struct netdev_sclp_run {
    struct dp_packet *packet;   /* NULL if there are none. */
    struct sclp_packet outer;
    struct sclp_segment segment;
    size_t n;
};

/* Returns true if received segments are to be merged. */
bool netdev_sclp_merges(void);

/* Takes the Ethernet frame without a VLAN tag, behind a virtio-net header if
 * 'has_vnet', of together 'size' bytes at 'data' if it is a good SCLP segment:
 * adds it to the last packet of 'run', which is in 'batch', or as a new one to
 * 'batch', and returns true.  The packets are complete after
 * netdev_sclp_receive_end(), which must also be called before another packet
 * is added to 'batch'. */
bool netdev_sclp_receive(struct netdev_sclp_run *run, const void *data,
                         size_t size, bool has_vnet,
                         struct dp_packet_batch *batch);
void netdev_sclp_receive_end(struct netdev_sclp_run *run);

/* Takes note of a change of configuration, of which both may be NULL. */
void netdev_sclp_configured(const struct netdev_tunnel_config *old,
                            const struct netdev_tunnel_config *new);

void netdev_sclp_run(void);
void netdev_sclp_wait(void);

#endif /* netdev-sclp.h */
