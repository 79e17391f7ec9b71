/* SPDX-License-Identifier: Apache-2.0 */

/* Changing a packet's headers: the actions of OpenFlow 1.0 that modify.
 *
 * Checksums are updated by the difference (RFC 1624), so that one that was
 * wrong stays wrong, and one that waits for its completion, as in a TSO frame,
 * keeps the sum of its pseudo header.  A packet that has not the header in
 * question is left as it is. */

#ifndef FASTPATH_REWRITE_H
#define FASTPATH_REWRITE_H 1

#include <stdint.h>

#include "layers.h"
#include "packet.h"

/* Set or remove the 802.1Q tag; where there is none, setting adds one.
 * '*layers' is brought up to date. */
void rewrite_vlan_vid(struct packet *, struct layers *, uint16_t vid);
void rewrite_vlan_pcp(struct packet *, struct layers *, uint8_t pcp);
void rewrite_strip_vlan(struct packet *, struct layers *);

/* Adds a tag as the outermost one. */
void rewrite_push_vlan(struct packet *, uint16_t tci);

void rewrite_dl_src(struct packet *, const uint8_t mac[6]);
void rewrite_dl_dst(struct packet *, const uint8_t mac[6]);

/* IPv4 only. */
void rewrite_nw_src(struct packet *, const struct layers *, uint32_t address);
void rewrite_nw_dst(struct packet *, const struct layers *, uint32_t address);

/* Sets DSCP and leaves ECN. */
void rewrite_nw_tos(struct packet *, const struct layers *, uint8_t tos);

/* TCP and UDP in IPv4, but for later fragments. */
void rewrite_tp_src(struct packet *, const struct layers *, uint16_t port);
void rewrite_tp_dst(struct packet *, const struct layers *, uint16_t port);

/* ECN of IPv4 or IPv6: 0 for a packet of neither, as for Not-ECT. */
uint8_t rewrite_get_ecn(const struct packet *, const struct layers *);
void rewrite_set_ce(struct packet *, const struct layers *);

#endif /* rewrite.h */
