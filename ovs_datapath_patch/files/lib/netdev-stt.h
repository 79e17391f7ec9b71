/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_STT_H
#define NETDEV_STT_H 1

/* Stateless Transport Tunneling (draft-davie-stt-08) for the userspace
 * datapath: build, push, pop.
 *
 * An inner frame of any size, with its TSO and checksum state, becomes one
 * large packet that looks like TCP, which a NIC with TSO (or dp_packet_gso())
 * cuts into segments.  The receiver puts segments together before it looks at
 * what is inside.
 *
 * Thread-safety: any thread may push and pop; a frame's segments may arrive in
 * different threads. */

#include <stdbool.h>
#include <stddef.h>

struct dp_packet_batch;
struct ds;
struct flow;
struct flow_wildcards;
struct netdev;
struct netdev_class;
struct netdev_tnl_build_header_params;
struct ovs_action_push_tnl;
struct smap;

bool netdev_stt_check_options(const char *name, const struct smap *options,
                              bool is_ipv6, struct ds *errors);

int netdev_stt_build_header(const struct netdev *,
                            struct ovs_action_push_tnl *,
                            const struct netdev_tnl_build_header_params *);
void netdev_stt_push_headers(const struct netdev *, struct dp_packet_batch *,
                             const struct ovs_action_push_tnl *);
size_t netdev_stt_pop_headers(struct netdev *, struct dp_packet_batch *,
                              struct dp_packet_batch *rest);

void netdev_stt_snoop_reset(const struct flow *, struct flow_wildcards *,
                            bool may_log);

void netdev_stt_run(void);
void netdev_stt_wait(void);

#endif /* netdev-stt.h */
