/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "packet.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "be.h"
#include "checksum.h"

static size_t
stride(const struct pool *pool)
{
    return (sizeof(struct packet) + pool->room + 63) / 64 * 64;
}

int
pool_init(struct pool *pool, uint32_t size_max, uint32_t n)
{
    memset(pool, 0, sizeof *pool);
    pool->room = PACKET_HEADROOM + size_max;
    pool->memory_size = n * stride(pool);
    pool->memory = mmap(NULL, pool->memory_size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pool->memory == MAP_FAILED) {
        pool->memory = NULL;
        return ENOMEM;
    }

    /* Not linked here, which would touch them all: see pool_get(). */
    pool->n_fresh = n;
    return 0;
}

void
pool_destroy(struct pool *pool)
{
    if (pool->memory) {
        munmap(pool->memory, pool->memory_size);
    }
}

/* Nobody else writes it. */
static void
add_used(struct pool *pool, unsigned int n)
{
    atomic_store_explicit(
        &pool->n_used,
        atomic_load_explicit(&pool->n_used, memory_order_relaxed) + n,
        memory_order_relaxed);
}

struct packet *
pool_get(struct pool *pool)
{
    struct packet *p = pool->free;

    if (p) {
        pool->free = p->next;
    } else if (pool->n_fresh) {
        p = (void *) (pool->memory + --pool->n_fresh * stride(pool));
        p->room = pool->room;
    } else {
        return NULL;
    }
    add_used(pool, 1);
    p->next = NULL;
    p->data = p->buffer + PACKET_HEADROOM;
    p->size = 0;
    p->is_alone = false;
    memset(&p->vnet, 0, sizeof p->vnet);
    memset(&p->tunnel, 0, sizeof p->tunnel);
    return p;
}

void
pool_put(struct pool *pool, struct packet *p)
{
    p->next = pool->free;
    pool->free = p;
    add_used(pool, -1u);
}

uint32_t
pool_charge(const struct pool *pool)
{
    return (uint32_t) stride(pool);
}

int
buffers_init(struct buffers *b, uint32_t n_large, uint32_t n_small)
{
    int error = pool_init(&b->large, PACKET_SIZE_MAX, n_large);

    memset(&b->small, 0, sizeof b->small);
    return error ? error : pool_init(&b->small, PACKET_SMALL_MAX, n_small);
}

void
buffers_destroy(struct buffers *b)
{
    pool_destroy(&b->large);
    pool_destroy(&b->small);
}

void
packet_free(struct buffers *b, struct packet *p)
{
    pool_put(packet_is_small(p) ? &b->small : &b->large, p);
}

struct packet *
packet_copy(struct buffers *b, const struct packet *p)
{
    struct packet *copy = pool_get(p->size <= PACKET_SMALL_MAX ? &b->small
                                   : &b->large);

    if (copy) {
        copy->size = p->size;
        copy->vnet = p->vnet;
        copy->in_port = p->in_port;
        copy->tunnel = p->tunnel;
        memcpy(copy->data, p->data, p->size);
    }
    return copy;
}

bool
packet_is_offload_sane(const struct packet *p)
{
    const struct virtio_net_hdr *v = &p->vnet;

    if (packet_is_partial(p)
        && (v->csum_start < STT_ETH_HEADER_SIZE
            || (uint32_t) v->csum_start + v->csum_offset + 2 > p->size)) {
        return false;
    }
    switch (packet_gso_type(p)) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return !packet_is_gso(p);
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV6:
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return v->gso_size && packet_is_partial(p);
    default:
        return v->gso_size;
    }
}

void
packet_clear_offload(struct packet *p)
{
    memset(&p->vnet, 0, sizeof p->vnet);
}

void
packet_shift_offload(struct packet *p, int n)
{
    if (packet_is_partial(p)) {
        p->vnet.csum_start = (uint16_t) (p->vnet.csum_start + n);
    }
    if (packet_is_gso(p)) {
        int hdr_len = p->vnet.hdr_len + n;

        /* It is but a hint. */
        p->vnet.hdr_len = (uint16_t) (hdr_len > 0 ? hdr_len : 0);
    }
}

void
packet_complete_checksum(struct packet *p)
{
    uint8_t *start = p->data + p->vnet.csum_start;
    uint16_t checksum;

    /* The field has the sum of the pseudo header. */
    checksum = checksum_finish(checksum_add(
        0, start, p->size - p->vnet.csum_start));
    be16_store(start + p->vnet.csum_offset, checksum ? checksum : UINT16_MAX);
    packet_clear_offload(p);
}

void
packet_pull(struct packet *p, uint32_t n)
{
    p->data += n;
    p->size -= n;
    if (packet_is_partial(p) && p->vnet.csum_start >= n
        && packet_gso_type(p) != VIRTIO_NET_HDR_GSO_UDP_L4) {
        packet_shift_offload(p, -(int) n);
    } else {
        packet_clear_offload(p);
    }
}
