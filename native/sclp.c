/* SPDX-License-Identifier: Apache-2.0 */

#include "sclp.h"

#include "be.h"
#include "checksum.h"
#include "ip.h"

/* SCLP header; the least significant bit of the id is the flag. */
enum {
    SCLP_SRC_PORT_OFS = 0,
    SCLP_DST_PORT_OFS = 2,
    SCLP_ID_OFS = 4,
    SCLP_REMAINING_OFS = 8
};

static const struct {
    const char *name;
    const char *text;
} verdicts[] = {
#define SCLP_VERDICT(NAME, SHORT, TEXT) { SHORT, TEXT },
    SCLP_VERDICTS
#undef SCLP_VERDICT
};

const char *
sclp_verdict_name(enum sclp_verdict verdict)
{
    return verdicts[verdict].name;
}

const char *
sclp_verdict_text(enum sclp_verdict verdict)
{
    return verdicts[verdict].text;
}

enum sclp_verdict
sclp_segment_parse(struct sclp_segment *segment, const void *sclp_,
                   size_t size)
{
    const uint8_t *sclp = sclp_;
    struct sclp_segment s;
    size_t extent;
    uint32_t id;

    if (size < SCLP_HEADER_SIZE) {
        return SCLP_SCLP_TRUNCATED;
    }
    if (size == SCLP_HEADER_SIZE) {
        return SCLP_EMPTY;
    }
    size -= SCLP_HEADER_SIZE;
    id = be32_load(sclp + SCLP_ID_OFS);
    s.src_port = be16_load(sclp + SCLP_SRC_PORT_OFS);
    s.dst_port = be16_load(sclp + SCLP_DST_PORT_OFS);
    s.id = id & SCLP_ID_MASK;
    s.is_first = id & ~SCLP_ID_MASK;
    s.remaining = be16_load(sclp + SCLP_REMAINING_OFS);
    extent = s.remaining + size;
    if (extent > SCLP_TOTAL_MAX
        || (s.is_first && extent < SCLP_TOTAL_MIN)) {
        return SCLP_TOTAL;
    }
    s.length = (uint16_t) size;
    *segment = s;
    return SCLP_OK;
}

void
sclp_segment_put(void *sclp_, const struct sclp_segment *segment)
{
    uint8_t *sclp = sclp_;

    be16_store(sclp + SCLP_SRC_PORT_OFS, segment->src_port);
    be16_store(sclp + SCLP_DST_PORT_OFS, segment->dst_port);
    be32_store(sclp + SCLP_ID_OFS,
               (segment->id & SCLP_ID_MASK) | segment->is_first);
    be16_store(sclp + SCLP_REMAINING_OFS, segment->remaining);
    be16_store(sclp + SCLP_CSUM_OFS, 0);
}

uint16_t
sclp_checksum(const void *sclp, const void *payload, size_t size)
{
    uint32_t sum = checksum_add(0, sclp, SCLP_HEADER_SIZE);

    return checksum_finish(checksum_add(sum, payload, size));
}

/* Parses the UDP header behind 'packet->next', where the IP payload ends at
 * 'end'.  '*packet' has the records afterwards. */
static enum sclp_verdict
parse_udp(struct sclp_packet *packet, size_t end, size_t gso_size,
          unsigned int trust)
{
    const uint8_t *udp = packet->ip + packet->next;
    size_t size = end - packet->next;
    size_t length;

    if (size < UDP_HEADER_SIZE) {
        return SCLP_UDP_TRUNCATED;
    }
    length = be16_load(udp + UDP_LENGTH);
    if (length < UDP_HEADER_SIZE || length > size) {
        return SCLP_UDP_LENGTH;
    }
    packet->is_checked = true;
    if (!(trust & SCLP_TRUST_UDP_CSUM)) {
        uint32_t sum = checksum_pseudo_ipv4(packet->src, packet->dst,
                                            PROTO_UDP, (uint32_t) length);

        packet->is_checked = be16_load(udp + UDP_CSUM);
        if (packet->is_checked
            && checksum_finish(checksum_add(sum, udp, length))) {
            return SCLP_UDP_CHECKSUM;
        }
    }
    packet->udp_src_port = be16_load(udp + UDP_SRC_PORT);
    packet->udp_dst_port = be16_load(udp + UDP_DST_PORT);
    packet->end = (uint32_t) (packet->next + length);
    packet->next += UDP_HEADER_SIZE;
    packet->pitch = (uint32_t) (gso_size && gso_size < UINT16_MAX ? gso_size
                                : UINT16_MAX);
    return SCLP_OK;
}

enum sclp_verdict
sclp_packet_parse(struct sclp_packet *packet, const void *ip_, size_t size,
                  size_t gso_size, unsigned int trust)
{
    const uint8_t *ip = ip_;
    size_t header_size, length;
    enum ipv4_fault fault = ipv4_sizes(ip, size, &length, &header_size);

    if (fault) {
        return fault == IPV4_CUT_OFF ? SCLP_IP_TRUNCATED : SCLP_IP_HEADER;
    }
    if (!(trust & SCLP_TRUST_IP_CSUM)
        && checksum_finish(checksum_add(0, ip, header_size))) {
        return SCLP_IP_CHECKSUM;
    }
    if (be16_load(ip + IPV4_FRAGMENT) & IPV4_FRAGMENT_MASK) {
        return SCLP_IP_FRAGMENT;
    }

    struct sclp_packet p = {
        .src = be32_load(ip + IPV4_SRC),
        .dst = be32_load(ip + IPV4_DST),
        .tos = ip[IPV4_TOS],
        .ttl = ip[IPV4_TTL],
        .is_udp = ip[IPV4_PROTOCOL] == PROTO_UDP,
        .ip = ip,
        .next = (uint32_t) header_size,
        .end = (uint32_t) length,
        .pitch = UINT16_MAX,
        .is_checked = trust & SCLP_TRUST_CSUM,
    };

    if (p.is_udp) {
        enum sclp_verdict verdict = parse_udp(&p, length, gso_size, trust);

        if (verdict) {
            return verdict;
        }
    } else if (ip[IPV4_PROTOCOL] != SCLP_PROTOCOL) {
        return SCLP_IP_PROTOCOL;
    }
    *packet = p;
    return SCLP_OK;
}

/* Returns true if the checksum of the record of 'size' bytes at 'sclp' is
 * right, or need not be: over UDP, whose checksum covers the record, 0 means
 * that there is none.  By itself 0 is a checksum like any other. */
static bool
is_checksum_right(const struct sclp_packet *packet, const uint8_t *sclp,
                  size_t size)
{
    if (packet->is_checked
        && (!packet->is_udp || !be16_load(sclp + SCLP_CSUM_OFS))) {
        return true;
    }
    return !checksum_finish(checksum_add(0, sclp, size));
}

bool
sclp_packet_next(struct sclp_packet *packet, struct sclp_segment *segment,
                 uint32_t *offset, enum sclp_verdict *verdict)
{
    uint32_t left = packet->end - packet->next;
    uint32_t size = left < packet->pitch ? left : packet->pitch;
    const uint8_t *sclp = packet->ip + packet->next;

    if (!packet->pitch) {
        return false;
    }
    *offset = packet->next + SCLP_HEADER_SIZE;
    *verdict = sclp_segment_parse(segment, sclp, size);
    if (!*verdict && !is_checksum_right(packet, sclp, size)) {
        *verdict = SCLP_SCLP_CHECKSUM;
    }
    packet->next += size;
    if (packet->next == packet->end) {
        packet->pitch = 0;
    }
    return true;
}

static bool
is_same_frame(const struct sclp_packet *packet,
              const struct sclp_segment *segment,
              const struct sclp_packet *other_packet,
              const struct sclp_segment *other)
{
    return (other->id == segment->id
            && other->src_port == segment->src_port
            && other->dst_port == segment->dst_port
            && other_packet->src == packet->src
            && other_packet->dst == packet->dst
            && other_packet->is_udp == packet->is_udp);
}

/* Returns the bytes from where 'segment' begins to the end of its frame. */
static uint32_t
extent(const struct sclp_segment *segment)
{
    return (uint32_t) segment->remaining + segment->length;
}

bool
sclp_is_next(const struct sclp_packet *packet,
             const struct sclp_segment *segment,
             const struct sclp_packet *next_packet,
             const struct sclp_segment *next)
{
    return (!next->is_first && extent(next) == segment->remaining
            && is_same_frame(packet, segment, next_packet, next));
}

bool
sclp_is_repeated(const struct sclp_packet *packet,
                 const struct sclp_segment *segment,
                 const struct sclp_packet *next_packet,
                 const struct sclp_segment *next)
{
    return (next->remaining >= segment->remaining
            && extent(next) <= extent(segment)
            && (!next->is_first
                || sclp_segment_total(next) == sclp_segment_total(segment))
            && is_same_frame(packet, segment, next_packet, next));
}

void
sclp_merge(struct sclp_segment *segment, const struct sclp_segment *next)
{
    segment->length = (uint16_t) (segment->length + next->length);
    segment->remaining = next->remaining;
}

void
sclp_key(uint8_t key[SCLP_KEY_SIZE], const struct sclp_packet *packet,
         const struct sclp_segment *segment)
{
    be32_store(key, packet->src);
    be32_store(key + 4, packet->dst);
    be16_store(key + 8, segment->src_port);
    be16_store(key + 10, segment->dst_port);
    be32_store(key + 12, segment->id | packet->is_udp);
}
