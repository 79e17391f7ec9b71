/* SPDX-License-Identifier: Apache-2.0 */

#define _GNU_SOURCE 1
#include "merge.h"

#include <string.h>

#include "be.h"
#include "checksum.h"
#include "gso.h"
#include "ip.h"

/* Sequence number and checksum, which differ from segment to segment, lie apart
 * from what must not: ports; acknowledgement to window but for PSH; urgent
 * pointer and options. */

static const uint8_t *
l4_of(const struct packet *p, const struct stt_inner *inner)
{
    return p->data + inner->l4_offset;
}

static uint32_t
payload_size(const struct stt_inner *inner)
{
    return (uint32_t) (inner->end - inner->payload_offset);
}

static bool
is_ip_right(const uint8_t *ip, const struct stt_inner *inner)
{
    size_t size = (size_t) (inner->l4_offset - inner->l3_offset);

    return (!inner->is_ipv4
            ? size == IPV6_HEADER_SIZE
            : (size == IPV4_HEADER_SIZE
               && be16_load(ip + IPV4_FRAGMENT) == IPV4_DF
               && !checksum_finish(checksum_add(0, ip, size))));
}

static bool
is_tcp_right(const struct packet *p, const struct stt_inner *inner)
{
    size_t length = (size_t) (inner->end - inner->l4_offset);

    return !checksum_finish(checksum_add(
        gso_pseudo_header(inner, p->data, length), l4_of(p, inner), length));
}

/* Returns true if 'packet' is a complete segment with nothing special about
 * it, and fills '*inner'. */
static bool
is_mergeable(const struct packet *p, struct stt_inner *inner)
{
    const uint8_t *tcp;

    if (packet_is_partial(p) || packet_is_gso(p) || packet_is_small(p)
        || stt_inner_find(inner, p->data, p->size) || !inner->is_tcp
        || inner->l3_offset != STT_ETH_HEADER_SIZE || inner->end != p->size
        || !payload_size(inner)) {
        return false;
    }
    tcp = l4_of(p, inner);
    return ((tcp[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK && !(tcp[TCP_DOFF] & 0xf)
            && is_ip_right(p->data + inner->l3_offset, inner)
            && is_tcp_right(p, inner));
}

/* Returns true if the IP headers agree in all but length, id and checksum. */
static bool
is_same_ip(const uint8_t *a, const uint8_t *b, bool is_ipv4)
{
    return (is_ipv4
            ? (!memcmp(a, b, IPV4_LENGTH)
               && !memcmp(a + IPV4_TTL, b + IPV4_TTL, 2)
               && !memcmp(a + IPV4_SRC, b + IPV4_SRC, 8))
            : (!memcmp(a, b, IPV6_LENGTH)
               && !memcmp(a + IPV6_NEXT, b + IPV6_NEXT,
                          IPV6_HEADER_SIZE - IPV6_NEXT)));
}

static bool
is_same_tcp(const uint8_t *a, const uint8_t *b, size_t size)
{
    return (!memcmp(a, b, TCP_SEQUENCE)
            && !memcmp(a + TCP_ACKNOWLEDGEMENT, b + TCP_ACKNOWLEDGEMENT,
                       TCP_FLAGS - TCP_ACKNOWLEDGEMENT)
            && !memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2)
            && !memcmp(a + TCP_CSUM + 2, b + TCP_CSUM + 2,
                       size - TCP_CSUM - 2));
}

/* Returns true if 'next', with 'inner', goes on where what is held ends. */
static bool
is_next(const struct merge *m, const struct packet *next,
        const struct stt_inner *inner)
{
    const struct packet *p = m->held;
    const struct stt_inner *held = &m->inner;
    const uint8_t *a, *b;

    if (!p || held->is_ipv4 != inner->is_ipv4
        || held->payload_offset != inner->payload_offset
        || payload_size(inner) > m->segment_size
        || payload_size(held) != m->n * m->segment_size
        || p->size + payload_size(inner) > UINT16_MAX
        || memcmp(p->data, next->data, STT_ETH_HEADER_SIZE)) {
        return false;
    }
    a = l4_of(p, held);
    b = l4_of(next, inner);
    return (is_same_ip(p->data + held->l3_offset,
                       next->data + inner->l3_offset, held->is_ipv4)
            && is_same_tcp(a, b, (size_t) (held->payload_offset
                                           - held->l4_offset))
            && be32_load(b + TCP_SEQUENCE)
               == be32_load(a + TCP_SEQUENCE) + payload_size(held));
}

/* Makes the headers of what is held those of a large frame. */
static void
finish(struct merge *m)
{
    struct packet *p = m->held;
    const struct stt_inner *inner = &m->inner;

    gso_set_ip_length(inner, p->data,
                      (size_t) (inner->end - inner->l3_offset));
    stt_inner_put_partial(p->data, inner);
    p->vnet = (struct virtio_net_hdr) {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = (inner->is_ipv4 ? VIRTIO_NET_HDR_GSO_TCPV4
                     : VIRTIO_NET_HDR_GSO_TCPV6),
        .hdr_len = inner->payload_offset,
        .gso_size = m->segment_size,
        .csum_start = inner->l4_offset,
        .csum_offset = TCP_CSUM,
    };
}

void
merge_flush(struct merge *m)
{
    if (m->held) {
        if (m->n > 1) {
            finish(m);
        }
        transmit_to_host(m->tx, m->held);
        m->held = NULL;
    }
}

/* Joins 'next', with 'inner', to what is held. */
static void
join(struct merge *m, struct packet *next, const struct stt_inner *inner)
{
    struct packet *p = m->held;

    memcpy(p->data + p->size, next->data + inner->payload_offset,
           payload_size(inner));
    p->data[m->inner.l4_offset + TCP_FLAGS] |= l4_of(next, inner)[TCP_FLAGS];
    p->size += payload_size(inner);
    m->inner.end = (uint16_t) p->size;
    m->n++;
    count(m->tx->counters, COUNTER_MERGED);
    packet_free(m->tx->buffers, next);
}

void
merge_add(struct merge *m, struct packet *p)
{
    struct stt_inner inner;
    bool is_pushed;

    if (!is_mergeable(p, &inner)) {
        merge_flush(m);
        transmit_to_host(m->tx, p);
        return;
    }
    is_pushed = l4_of(p, &inner)[TCP_FLAGS] & TCP_PSH;
    if (is_next(m, p, &inner)) {
        join(m, p, &inner);
    } else {
        merge_flush(m);
        m->held = p;
        m->inner = inner;
        m->segment_size = (uint16_t) payload_size(&inner);
        m->n = 1;
    }
    if (is_pushed) {
        merge_flush(m);
    }
}
