/* SPDX-License-Identifier: Apache-2.0 */

/* The vNIC agent's fast path: an OpenFlow 1.0 flow table between a guest's
 * vNIC and its network stack, which encapsulates and decapsulates.
 *
 *     the guest's stack -- TAP -- port HOST | table | port NET -- link -- OVS
 *
 * Both sides carry frames of up to 64 KB behind a virtio-net header.  One
 * thread runs fastpath_run() and touches every packet; any thread may call
 * anything else at any time, but for fastpath_destroy().
 *
 * What is not a preprocessor line in this file is also read by cffi. */

#ifndef FASTPATH_H
#define FASTPATH_H 1

#include <stddef.h>
#include <stdint.h>

/* Ports (OpenFlow 1.0, enum ofp_port). */
enum {
    FASTPATH_HOST = 1,
    FASTPATH_NET = 2,
    FASTPATH_IN_PORT = 0xfff8,
    FASTPATH_FLOOD = 0xfffb,
    FASTPATH_ALL = 0xfffc,
    FASTPATH_NONE = 0xffff
};

/* The least MTU of an underlay (RFC 791). */
enum { FASTPATH_MTU_MIN = 68 };

/* Why a change is refused, with the error of OpenFlow 1.0 that says it. */
enum fastpath_error {
    FASTPATH_NO_MEMORY = 1,
    FASTPATH_NO_ENTRY,              /* No entry has this id. */
    FASTPATH_BAD_MATCH,             /* The tunnel's pads. */
    FASTPATH_TABLE_FULL,            /* OFPFMFC_ALL_TABLES_FULL. */
    FASTPATH_BAD_ACTION_TYPE,       /* OFPBAC_BAD_TYPE. */
    FASTPATH_BAD_ACTION_LENGTH,     /* OFPBAC_BAD_LEN. */
    FASTPATH_BAD_OUT_PORT,          /* OFPBAC_BAD_OUT_PORT. */
    FASTPATH_BAD_ARGUMENT           /* OFPBAC_BAD_ARGUMENT. */
};

struct fastpath_config {
    int link_fd;            /* Of the vNIC: a packet socket with
                             * PACKET_VNET_HDR and PACKET_AUXDATA.  It blocks
                             * when its buffer is full, for a while. */
    int tap_fd;             /* IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, not
                             * blocking. */
    uint32_t max_entries;   /* Of the flow table. */
};

/* What one flow entry has done. */
struct fastpath_flow_stats {
    uint64_t n_packets;
    uint64_t n_bytes;       /* Of frames as they came in. */
    int64_t used_ms;        /* By CLOCK_MONOTONIC; when it was added if it was
                             * never used. */
};

struct fastpath;

/* Makes a fast path with an empty table.  The descriptors stay the caller's
 * and must live longer.  Returns 0 or an errno. */
int fastpath_create(struct fastpath **, const struct fastpath_config *);

/* Frees everything; fastpath_run() must have returned. */
void fastpath_destroy(struct fastpath *);

/* Forwards packets until fastpath_stop() is called, or was called before.
 * Returns 0, or the errno of a device that has failed for good: the vNIC or the
 * TAP is gone. */
int fastpath_run(struct fastpath *);
void fastpath_stop(struct fastpath *);

/* Forwards what has arrived, after waiting for it for at most 'timeout_ms', -1
 * without limit.  fastpath_run() does only this.  Returns as it does. */
int fastpath_step(struct fastpath *, int timeout_ms);

/* Says where this vNIC is in the underlay: its IPv4 address in the host's byte
 * order, 0 for none, its MAC address and its MTU.  Tunnels end at that address,
 * and ARP requests for it are answered. */
void fastpath_set_underlay(struct fastpath *, uint32_t address,
                           const uint8_t *mac, uint32_t mtu);

/* Says what becomes of packets that no entry matches: if 'drops' is 0, which it
 * is at first, they pass untouched from HOST to NET and back. */
void fastpath_set_miss(struct fastpath *, int drops);

/* Adds an entry, from the 40 bytes of the match of a FLOW_MOD at 'match', its
 * priority and its 'actions_size' bytes of actions.  One with the same match
 * and priority is replaced: its id is gone, its counters are lost.  Stores in
 * '*id' what names the entry; ids are not used again.  Returns 0 or an enum
 * fastpath_error; then nothing has changed. */
int fastpath_add(struct fastpath *, const uint8_t *match, uint16_t priority,
                 const uint8_t *actions, size_t actions_size, uint64_t *id);

/* Gives the entry 'id' other actions; its counters stay.  Returns 0 or an enum
 * fastpath_error; then nothing has changed. */
int fastpath_modify(struct fastpath *, uint64_t id, const uint8_t *actions,
                    size_t actions_size);

/* Deletes an entry and stores its last counters in '*stats' unless that is
 * NULL.  Returns 0 or FASTPATH_NO_ENTRY. */
int fastpath_delete(struct fastpath *, uint64_t id,
                    struct fastpath_flow_stats *stats);

/* Deletes all entries. */
void fastpath_clear(struct fastpath *);

/* Stores the counters of the 'n' entries 'ids' in 'stats', all as of one
 * moment; 'used_ms' is -1 for an entry that there is not. */
void fastpath_read(struct fastpath *, const uint64_t *ids, size_t n,
                   struct fastpath_flow_stats *stats);

/* Counters of ports and of what was dropped, by name.  fastpath_counter_name()
 * returns NULL from fastpath_n_counters() on. */
size_t fastpath_n_counters(void);
const char *fastpath_counter_name(size_t i);
void fastpath_read_counters(struct fastpath *, uint64_t *values);

/* Returns the descriptor, which stays the fast path's, from which control
 * frames that arrived from NET can be read, one each time, whole and with their
 * Ethernet header.  Its queue is bounded; what does not fit is counted. */
int fastpath_control_fd(const struct fastpath *);

/* Sends the frame of 'size' bytes out of NET.  Returns 0 or an errno. */
int fastpath_send(struct fastpath *, const uint8_t *frame, size_t size);

#endif /* fastpath.h */
