/* SPDX-License-Identifier: Apache-2.0 */

/* What the fast path counts.  One thread counts, any may read. */

#ifndef FASTPATH_COUNTERS_H
#define FASTPATH_COUNTERS_H 1

#include <stdatomic.h>
#include <stdint.h>

#include "reassembly.h"
#include "sclp.h"
#include "stt.h"

/* COUNTER(NAME, "name") */
#define FASTPATH_COUNTERS                                                    \
    /* Ports: frames as they cross the descriptor. */                        \
    COUNTER(HOST_RX_PACKETS, "host_rx_packets")                              \
    COUNTER(HOST_RX_BYTES, "host_rx_bytes")                                  \
    COUNTER(HOST_TX_PACKETS, "host_tx_packets")                              \
    COUNTER(HOST_TX_BYTES, "host_tx_bytes")                                  \
    COUNTER(NET_RX_PACKETS, "net_rx_packets")                                \
    COUNTER(NET_RX_BYTES, "net_rx_bytes")                                    \
    COUNTER(NET_TX_PACKETS, "net_tx_packets")                                \
    COUNTER(NET_TX_BYTES, "net_tx_bytes")                                    \
    /* Taken out of the way of data. */                                      \
    COUNTER(CONTROL_RX, "control_rx")                                        \
    COUNTER(CONTROL_TX, "control_tx")                                        \
    COUNTER(ARP_REPLIES, "arp_replies")                                      \
    /* Frames in tunnels. */                                                 \
    COUNTER(ENCAPSULATED, "encapsulated")                                    \
    COUNTER(DECAPSULATED, "decapsulated")                                    \
    COUNTER(MERGED, "merged")   /* Joined to their neighbour. */    \
    /* Drops. */                                                             \
    COUNTER(DROP_ACTION, "drop_action")     /* What the entry says. */       \
    COUNTER(DROP_MISS, "drop_miss")         /* No entry, if told to. */      \
    COUNTER(DROP_NO_ENTRY, "drop_no_entry") /* For a tunnel's packet. */     \
    COUNTER(DROP_UNDERLAY, "drop_underlay") /* Else to this address. */      \
    COUNTER(DROP_HOST_CONTROL, "drop_host_control")                          \
    COUNTER(DROP_CONTROL_FULL, "drop_control_full")                          \
    COUNTER(DROP_SHORT, "drop_short")       /* No Ethernet header. */        \
    COUNTER(DROP_LONG, "drop_long")         /* Larger than any buffer. */    \
    COUNTER(DROP_OFFLOAD, "drop_offload")   /* Bad virtio-net header. */     \
    COUNTER(DROP_NO_BUFFER, "drop_no_buffer")                                \
    COUNTER(DROP_TOO_LARGE, "drop_too_large")   /* For the underlay. */      \
    COUNTER(DROP_SEGMENTATION, "drop_segmentation") /* Not possible. */      \
    COUNTER(DROP_NO_TUNNEL, "drop_no_tunnel")   /* To strip. */              \
    COUNTER(DROP_OUTER_TO_HOST, "drop_outer_to_host")                        \
    COUNTER(DROP_ECN, "drop_ecn")           /* CE on Not-ECT. */             \
    COUNTER(DROP_MALFORMED, "drop_malformed")   /* Tunnel's header. */       \
    COUNTER(DROP_CHECKSUM, "drop_checksum") /* Of outer headers. */          \
    COUNTER(DROP_CRITICAL, "drop_critical") /* Geneve. */                    \
    COUNTER(DROP_OTHER_PAYLOAD, "drop_other_payload")   /* In SCLP. */       \
    COUNTER(DROP_INNER, "drop_inner")       /* Contradicts its state. */     \
    COUNTER(DROP_REPEATED, "drop_repeated") /* Segment came twice. */        \
    COUNTER(DROP_NET_SEND, "drop_net_send")                                  \
    COUNTER(DROP_HOST_SEND, "drop_host_send")

enum counter {
#define COUNTER(NAME, TEXT) COUNTER_##NAME,
    FASTPATH_COUNTERS
#undef COUNTER

    /* What parsers say, by their own enums. */
    COUNTER_STT,
    COUNTER_SCLP = COUNTER_STT + STT_N_VERDICTS,
    COUNTER_N = COUNTER_SCLP + SCLP_N_VERDICTS
};

struct counters {
    _Atomic uint64_t values[COUNTER_N];
};

static inline void
count_n(struct counters *c, unsigned int which, uint64_t n)
{
    _Atomic uint64_t *value = &c->values[which];

    /* Nobody else writes, so it need not be one step. */
    atomic_store_explicit(
        value, atomic_load_explicit(value, memory_order_relaxed) + n,
        memory_order_relaxed);
}

static inline void
count(struct counters *c, unsigned int which)
{
    count_n(c, which, 1);
}

#endif /* counters.h */
