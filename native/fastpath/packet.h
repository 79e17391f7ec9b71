/* SPDX-License-Identifier: Apache-2.0 */

/* A packet in a buffer with room before and behind it, and the pools that
 * such buffers come from.
 *
 * All buffers are made once, in one block each pool; a packet that cannot have
 * one is dropped.  Memory that is never used is never touched, so a pool may
 * be generous.  The most recently used buffer is the next one used, while it is
 * in the CPU's caches. */

#ifndef FASTPATH_PACKET_H
#define FASTPATH_PACKET_H 1

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_net.h>

#include "stt.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5     /* Linux 6.2. */
#endif

#define VNET_SIZE sizeof(struct virtio_net_hdr)

/* Outer headers, a VLAN tag and the virtio-net header fit before a frame. */
#define PACKET_HEADROOM 256

/* The largest frame: what a tunnel's frame of 65535 bytes is with all headers
 * before it. */
#define PACKET_SIZE_MAX (UINT16_MAX + 257)

/* The largest frame that gets a small buffer where it has to be kept. */
#define PACKET_SMALL_MAX 2048

/* Tunnel types, as the pads of a match have them; 0 is none. */
enum tunnel_type {
    TUNNEL_NONE,
    TUNNEL_VXLAN,
    TUNNEL_NVGRE,
    TUNNEL_STT,
    TUNNEL_GENEVE,
    TUNNEL_SCLP,                /* VXLAN over SCLP. */
    TUNNEL_N_TYPES
};

/* What a packet that arrived in a tunnel to this vNIC carries. */
struct tunnel_info {
    uint8_t type;               /* enum tunnel_type. */
    bool ce;                    /* Congestion experienced outside. */
    uint16_t inner_offset;      /* Inner Ethernet header in the packet. */
    uint64_t id;
    struct stt_header state;    /* Offload state and VLAN tag that came in the
                                 * tunnel's header; else all zero. */
};

struct packet {
    struct packet *next;        /* In a pool or a list. */
    uint8_t *data;              /* Ethernet header. */
    uint32_t size;              /* Bytes from there. */
    uint32_t room;              /* Bytes of 'buffer'. */
    struct virtio_net_hdr vnet; /* In the host's byte order. */
    uint16_t in_port;
    bool is_alone;              /* It came in a packet of its own, out of a
                                 * tunnel; see merge.h. */
    struct tunnel_info tunnel;
    uint8_t buffer[];
};

/* Buffers of one size. */
struct pool {
    struct packet *free;
    uint8_t *memory;
    size_t memory_size;
    uint32_t room;
    uint32_t n_fresh;           /* Never used. */
    atomic_uint n_used;         /* Somebody's now; any thread may read. */
};

/* Makes 'n' buffers for frames of 'size_max' bytes.  Returns 0 or ENOMEM. */
int pool_init(struct pool *, uint32_t size_max, uint32_t n);
void pool_destroy(struct pool *);

/* Returns an empty packet, or NULL if there is none left. */
struct packet *pool_get(struct pool *);
void pool_put(struct pool *, struct packet *);

/* Returns the memory that one buffer of 'pool' takes. */
uint32_t pool_charge(const struct pool *);

/* Two pools, for frames of any size and for small ones. */
struct buffers {
    struct pool large;
    struct pool small;
};

int buffers_init(struct buffers *, uint32_t n_large, uint32_t n_small);
void buffers_destroy(struct buffers *);
void packet_free(struct buffers *, struct packet *);

/* Returns a copy of 'packet' that may be kept for long, or NULL: in a small
 * buffer if it fits one. */
struct packet *packet_copy(struct buffers *, const struct packet *);

static inline bool
packet_is_small(const struct packet *p)
{
    return p->room == PACKET_HEADROOM + PACKET_SMALL_MAX;
}

static inline uint32_t
packet_headroom(const struct packet *p)
{
    return (uint32_t) (p->data - p->buffer);
}

static inline uint32_t
packet_tailroom(const struct packet *p)
{
    return p->room - packet_headroom(p) - p->size;
}

/* Puts 'n' bytes before 'packet', which has room for them. */
static inline uint8_t *
packet_push(struct packet *p, uint32_t n)
{
    p->data -= n;
    p->size += n;
    return p->data;
}

/* Offload state: what of 'packet' is still to be done. */

static inline bool
packet_is_partial(const struct packet *p)
{
    return p->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
}

static inline uint8_t
packet_gso_type(const struct packet *p)
{
    return p->vnet.gso_type & (uint8_t) ~VIRTIO_NET_HDR_GSO_ECN;
}

static inline bool
packet_is_gso(const struct packet *p)
{
    return p->vnet.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

/* Returns true if the virtio-net header of 'packet' makes sense. */
bool packet_is_offload_sane(const struct packet *);

/* Makes the virtio-net header say that nothing is left to be done. */
void packet_clear_offload(struct packet *);

/* Moves the offsets in the virtio-net header by the 'n' bytes that have come
 * in front of what they point to, or have gone if 'n' is negative. */
void packet_shift_offload(struct packet *, int n);

/* Completes the checksum that the virtio-net header asks for. */
void packet_complete_checksum(struct packet *);

/* Takes 'n' bytes from the front of 'packet'.  The virtio-net header follows:
 * what it asks for in the bytes that are gone is forgotten. */
void packet_pull(struct packet *, uint32_t n);

#endif /* packet.h */
