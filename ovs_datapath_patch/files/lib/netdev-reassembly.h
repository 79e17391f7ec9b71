/* SPDX-License-Identifier: Apache-2.0 */

#ifndef NETDEV_REASSEMBLY_H
#define NETDEV_REASSEMBLY_H 1

/* Reassembly of dp_packets for tunnels that cut frames into segments: the
 * engine of reassembly.h in shards, each under its own mutex, because segments
 * of one frame may arrive in different threads.
 *
 * Thread-safety: any thread may call any function. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_packet;
struct ds;
struct netdev_reassembly;

/* A segment: 'packet' is exactly its 'length' bytes, with the outer addresses
 * in its tunnel metadata. */
struct netdev_reassembly_segment {
    struct dp_packet *packet;
    uint32_t length;
    uint32_t remaining;         /* Bytes of the frame behind them. */
    uint32_t total;             /* Size of the frame, 0 where unknown. */
};

/* Returns an engine whose keys have 'key_size' bytes.  It is never freed. */
struct netdev_reassembly *netdev_reassembly_create(size_t key_size);

/* Free frames whose rest does not arrive. */
void netdev_reassembly_run(struct netdev_reassembly *);
void netdev_reassembly_wait(struct netdev_reassembly *);

/* Takes 'segment' of the frame that 'key' names, and its packet.  Returns the
 * frame that it completes, with the mark of congestion of any of its segments,
 * or NULL; then '*queued' tells whether the packet was kept, else it was
 * dropped. */
struct dp_packet *netdev_reassembly_add(
    struct netdev_reassembly *, const void *key,
    const struct netdev_reassembly_segment *segment, bool *queued);

/* Appends to 'ds' what was received, 'n_frames' of it, is in flight, expired
 * and was evicted, a line each; netdev_reassembly_show_drops() appends
 * " NAME:COUNT" for each reason for a drop. */
void netdev_reassembly_show(struct netdev_reassembly *, uint64_t n_frames,
                            struct ds *);
void netdev_reassembly_show_drops(struct netdev_reassembly *, struct ds *);

#endif /* netdev-reassembly.h */
