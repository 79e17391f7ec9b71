/* SPDX-License-Identifier: Apache-2.0 */

#include "assembly.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "be.h"
#include "ip.h"
#include "sclp-payload.h"

/* While a packet is a segment, 'tunnel.inner_offset' is where its part of the
 * frame begins. */

static void
release(void *packet, enum reassembly_release why, void *assembly_)
{
    struct assembly *a = assembly_;

    (void) why;                 /* The engine counts. */
    packet_free(a->buffers, packet);
}

int
assembly_init(struct assembly *a, struct buffers *buffers,
              struct counters *counters, const uint64_t seed[2])
{
    struct reassembly_config config = {
        .max_frames = ASSEMBLY_FRAMES,
        .max_segments = ASSEMBLY_SEGMENTS,
        .max_pieces = ASSEMBLY_PIECES,
        .max_runs = ASSEMBLY_PIECES,
        .max_total = UINT16_MAX,
        .max_charge_bytes = ASSEMBLY_BYTES,
        .timeout_ms = ASSEMBLY_TIMEOUT_MS,
        .key_size = SCLP_KEY_SIZE,
        .seed = { seed[0], seed[1] },
        .release = release,
        .aux = a,
    };
    void *memory = malloc(reassembly_size(&config));

    memset(a, 0, sizeof *a);
    a->buffers = buffers;
    a->counters = counters;
    a->ready_end = &a->ready;
    if (!memory) {
        return ENOMEM;
    }
    a->engine = reassembly_init(memory, &config);
    return 0;
}

void
assembly_destroy(struct assembly *a)
{
    free(a->engine);
}

static void
drop(struct assembly *a, struct packet *p, unsigned int why)
{
    count(a->counters, why);
    packet_free(a->buffers, p);
}

/* Fills in the 'tunnel' of 'packet', which begins a complete frame of 'total'
 * bytes of the protocol that 'key' is for.  Returns what is wrong, or 0. */
static unsigned int
parse_frame(struct packet *p, const uint8_t *key, uint32_t total)
{
    const uint8_t *frame = p->data + p->tunnel.inner_offset;
    struct tunnel_info *t = &p->tunnel;

    if (be16_load(key + 10) == STT_DST_PORT) {
        enum stt_verdict verdict = stt_header_parse(&t->state, frame, total);

        t->type = TUNNEL_STT;
        t->id = t->state.context_id;
        t->inner_offset += STT_HEADER_SIZE;
        return verdict ? COUNTER_STT + verdict : 0;
    } else {
        struct sclp_payload payload;
        enum sclp_verdict verdict = sclp_vxlan_parse(&payload, frame, total,
                                                     true);

        if (verdict) {
            return COUNTER_SCLP + verdict;
        }
        t->type = TUNNEL_SCLP;
        t->id = payload.vni;
        t->inner_offset = (uint16_t) (t->inner_offset + payload.inner_offset);
        t->state = payload.offload;
        return 0;
    }
}

/* Returns the packet that holds all of 'frame', or NULL if it had to be
 * dropped. */
static struct packet *
linearize(struct assembly *a, const struct reassembly_frame *frame)
{
    struct packet *first = frame->pieces[0].packet, *whole = first;
    uint32_t header_size = first->tunnel.inner_offset;

    if (frame->total + header_size > first->size + packet_tailroom(first)) {
        whole = pool_get(&a->buffers->large);
        if (whole) {
            whole->in_port = first->in_port;
            whole->tunnel = first->tunnel;
            memcpy(whole->data, first->data, first->size);
        }
    }
    if (whole) {
        whole->size = header_size + frame->pieces[0].length;
    }
    for (uint32_t i = whole == first; i < frame->n_pieces; i++) {
        const struct reassembly_piece *piece = &frame->pieces[i];
        struct packet *p = piece->packet;

        if (whole && i) {
            memcpy(whole->data + whole->size,
                   p->data + p->tunnel.inner_offset, piece->length);
            whole->size += piece->length;
        }
        packet_free(a->buffers, p);
    }
    if (!whole) {
        count(a->counters, COUNTER_DROP_NO_BUFFER);
    }
    return whole;
}

static void
complete(struct assembly *a, const uint8_t *key,
         const struct reassembly_frame *frame)
{
    struct packet *p = linearize(a, frame);
    unsigned int fault;

    if (!p) {
        return;
    }
    packet_clear_offload(p);
    p->tunnel.ce = frame->ce;
    fault = parse_frame(p, key, frame->total);
    if (fault) {
        drop(a, p, fault);
        return;
    }
    p->next = NULL;
    *a->ready_end = p;
    a->ready_end = &p->next;
}

/* Returns 'packet', which may be kept for long, in a buffer that is not much
 * larger than it is. */
static struct packet *
fitted(struct assembly *a, struct packet *p)
{
    struct packet *copy;

    if (packet_is_small(p) || p->size > PACKET_SMALL_MAX) {
        return p;
    }
    copy = packet_copy(a->buffers, p);
    if (!copy) {
        drop(a, p, COUNTER_DROP_NO_BUFFER);
        return NULL;
    }
    packet_free(a->buffers, p);
    return copy;
}

/* Level 2. */
static void
add(struct assembly *a, struct packet *p, const struct assembly_segment *s,
    int64_t now_ms)
{
    struct reassembly_frame frame = { .pieces = a->pieces };
    enum reassembly_result result;

    if (s->length != s->total) {
        p = fitted(a, p);
    }
    if (!p) {
        return;
    }
    result = reassembly_add(a->engine, s->key, &(struct reassembly_segment) {
        .packet = p,
        .length = s->length,
        .remaining = s->remaining,
        .total = s->total,
        .charge_bytes = pool_charge(packet_is_small(p) ? &a->buffers->small
                                    : &a->buffers->large),
        .ce = s->ce,
    }, now_ms, &frame);
    if (result == REASSEMBLY_COMPLETE) {
        complete(a, s->key, &frame);
    } else if (result != REASSEMBLY_QUEUED) {
        packet_free(a->buffers, p);
    }
}

/* Level 1. */

void
assembly_finish(struct assembly *a, int64_t now_ms)
{
    if (a->run) {
        add(a, a->run, &a->run_segment, now_ms);
        a->run = NULL;
    }
    reassembly_expire(a->engine, now_ms, ASSEMBLY_FRAMES);
}

static bool
is_same_frame(const struct assembly_segment *a,
              const struct assembly_segment *b)
{
    return (!memcmp(a->key, b->key, sizeof a->key)
            && (!b->total || b->total == a->total));
}

/* Returns true if 'next' goes on where 's' ends. */
static bool
is_next(const struct assembly_segment *s, const struct assembly_segment *next)
{
    return (next->length + next->remaining == s->remaining
            && is_same_frame(s, next));
}

/* Returns true if all of 'next' is in 's' already: what is joined is taken or
 * dropped as a whole. */
static bool
is_repeated(const struct assembly_segment *s,
            const struct assembly_segment *next)
{
    return (next->remaining >= s->remaining
            && next->remaining + next->length <= s->remaining + s->length
            && is_same_frame(s, next));
}

static void
join(struct assembly_segment *s, const struct assembly_segment *next)
{
    s->length += next->length;
    s->remaining = next->remaining;
    s->ce |= next->ce;
}

/* Joins the 's->length' bytes at 'payload' to the run.  Returns false if they
 * do not belong there. */
static bool
join_run(struct assembly *a, const struct assembly_segment *s,
         const uint8_t *payload)
{
    if (!a->run) {
        return false;
    }
    if (is_repeated(&a->run_segment, s)) {
        count(a->counters, COUNTER_DROP_REPEATED);
        return true;
    }
    if (!is_next(&a->run_segment, s) || packet_tailroom(a->run) < s->length) {
        return false;
    }
    memcpy(a->run->data + a->run->size, payload, s->length);
    a->run->size += s->length;
    join(&a->run_segment, s);
    count(a->counters, COUNTER_MERGED);
    return true;
}

/* Takes 'packet' with 's', whose payload ends it. */
static void
take(struct assembly *a, struct packet *p, const struct assembly_segment *s,
     int64_t now_ms)
{
    if (join_run(a, s, p->data + p->tunnel.inner_offset)) {
        packet_free(a->buffers, p);
        return;
    }
    if (a->run) {
        add(a, a->run, &a->run_segment, now_ms);
    }
    a->run = p;
    a->run_segment = *s;
}

/* STT. */

static bool
is_l4_trusted(const struct packet *p, size_t csum_start, size_t csum_offset)
{
    return (p->vnet.flags & VIRTIO_NET_HDR_F_DATA_VALID
            || (packet_is_partial(p) && p->vnet.csum_start == csum_start
                && p->vnet.csum_offset == csum_offset));
}

static void
add_stt(struct assembly *a, struct packet *p, size_t l3, int64_t now_ms)
{
    const uint8_t *ip = p->data + l3;
    size_t l4 = l3 + 4 * (ip[IPV4_VERSION_IHL] & 0xfu);
    struct assembly_segment s;
    struct stt_packet packet;
    enum stt_verdict verdict;

    verdict = stt_packet_parse(&packet, ip, p->size - l3,
                               is_l4_trusted(p, l4, TCP_CSUM)
                               ? STT_TRUST_TCP_CSUM : 0);
    count(a->counters, COUNTER_STT + verdict);
    if (verdict) {
        packet_free(a->buffers, p);
        return;
    }
    s = (struct assembly_segment) {
        .length = packet.segment.length,
        .remaining = (uint32_t) (packet.segment.total - packet.segment.offset
                                 - packet.segment.length),
        .total = packet.segment.total,
        .ce = (packet.tos & 3) == 3,
    };

    /* SCLP's ports are others, so the keys never meet. */
    be32_store(s.key, packet.src);
    be32_store(s.key + 4, packet.dst);
    be16_store(s.key + 10, STT_DST_PORT);
    be32_store(s.key + 12, packet.segment.id);
    p->tunnel.inner_offset = (uint16_t) (l3 + packet.payload_offset);
    p->size = p->tunnel.inner_offset + s.length;
    take(a, p, &s, now_ms);
}

/* SCLP. */

/* Fills '*s' from a record of 'outer'.  Returns false if it is dropped. */
static bool
read_record(struct assembly *a, const struct sclp_packet *outer,
            const struct sclp_segment *segment, enum sclp_verdict verdict,
            struct assembly_segment *s)
{
    count(a->counters, COUNTER_SCLP + verdict);
    if (!verdict && segment->dst_port != SCLP_VXLAN_PORT) {
        count(a->counters, COUNTER_DROP_OTHER_PAYLOAD);
        return false;
    }
    if (verdict) {
        return false;
    }
    *s = (struct assembly_segment) {
        .length = segment->length,
        .remaining = segment->remaining,
        .total = sclp_segment_total(segment),
        .ce = (outer->tos & 3) == 3,
    };
    sclp_key(s->key, outer, segment);
    return true;
}

/* Returns true if all records of 'outer' are one segment when they are joined,
 * so that they can stay where they are, or if there is but one. */
static bool
is_one_run(struct sclp_packet outer)
{
    struct sclp_segment run, s;
    enum sclp_verdict verdict;
    struct sclp_packet first = outer;
    uint32_t offset;

    if (outer.end - outer.next <= outer.pitch) {
        return true;
    }
    sclp_packet_next(&outer, &run, &offset, &verdict);
    if (verdict) {
        return false;
    }
    while (sclp_packet_next(&outer, &s, &offset, &verdict)) {
        if (verdict || !sclp_is_next(&first, &run, &first, &s)) {
            return false;
        }
        sclp_merge(&run, &s);
    }
    return true;
}

/* Makes the IPv4 header at 'l3' say no more bytes than 'packet' has: it is
 * matched. */
static void
set_length(struct packet *p, size_t l3)
{
    be16_store(p->data + l3 + IPV4_LENGTH, (uint16_t) (p->size - l3));
}

/* Takes the records of 'packet', which are one run, where they are. */
static void
add_run(struct assembly *a, struct packet *p, size_t l3,
        struct sclp_packet *outer, int64_t now_ms)
{
    struct sclp_segment segment;
    struct assembly_segment whole = { .length = 0 }, s;
    enum sclp_verdict verdict;
    uint8_t *end = NULL;
    uint32_t offset;

    while (sclp_packet_next(outer, &segment, &offset, &verdict)) {
        if (!read_record(a, outer, &segment, verdict, &s)) {
            packet_free(a->buffers, p);
            return;
        }
        if (!end) {
            whole = s;
            p->tunnel.inner_offset = (uint16_t) (l3 + offset);
            end = p->data + l3 + offset;
        } else {
            join(&whole, &s);
            memmove(end, p->data + l3 + offset, s.length);
            count(a->counters, COUNTER_MERGED);
        }
        end += s.length;
    }
    p->size = (uint32_t) (end - p->data);
    set_length(p, l3);
    take(a, p, &whole, now_ms);
}

/* Takes the records of 'packet' one by one, each in a packet of its own. */
static void
add_records(struct assembly *a, struct packet *p, size_t l3,
            struct sclp_packet *outer, int64_t now_ms)
{
    struct sclp_segment segment;
    struct assembly_segment s;
    enum sclp_verdict verdict;
    size_t header_size = l3 + outer->next + SCLP_HEADER_SIZE;
    uint32_t offset;

    while (sclp_packet_next(outer, &segment, &offset, &verdict)) {
        const uint8_t *payload = p->data + l3 + offset;
        struct packet *part;

        if (!read_record(a, outer, &segment, verdict, &s)
            || join_run(a, &s, payload)) {
            continue;
        }
        part = pool_get(&a->buffers->large);
        if (!part) {
            count(a->counters, COUNTER_DROP_NO_BUFFER);
            continue;
        }
        part->in_port = p->in_port;
        part->tunnel.inner_offset = (uint16_t) header_size;
        part->size = (uint32_t) header_size + s.length;
        memcpy(part->data, p->data, header_size);
        memcpy(part->data + header_size, payload, s.length);
        set_length(part, l3);
        take(a, part, &s, now_ms);
    }
    packet_free(a->buffers, p);
}

static void
add_sclp(struct assembly *a, struct packet *p, size_t l3, int64_t now_ms)
{
    const uint8_t *ip = p->data + l3;
    size_t l4 = l3 + 4 * (ip[IPV4_VERSION_IHL] & 0xfu);
    size_t gso_size = (packet_gso_type(p) == VIRTIO_NET_HDR_GSO_UDP_L4
                       ? p->vnet.gso_size : 0);
    struct sclp_packet outer;
    enum sclp_verdict verdict;
    unsigned int trust = 0;

    if (ip[IPV4_PROTOCOL] == PROTO_UDP) {
        trust = is_l4_trusted(p, l4, UDP_CSUM) ? SCLP_TRUST_UDP_CSUM : 0;
    } else if (packet_is_partial(p) && is_l4_trusted(p, l4, SCLP_CSUM_OFS)) {
        trust = SCLP_TRUST_CSUM;
    }
    verdict = sclp_packet_parse(&outer, ip, p->size - l3, gso_size, trust);
    if (verdict) {
        drop(a, p, COUNTER_SCLP + verdict);
    } else if (is_one_run(outer)) {
        add_run(a, p, l3, &outer, now_ms);
    } else {
        add_records(a, p, l3, &outer, now_ms);
    }
}

void
assembly_add(struct assembly *a, struct packet *p, size_t l3,
             unsigned int type, int64_t now_ms)
{
    if (type == TUNNEL_STT) {
        add_stt(a, p, l3, now_ms);
    } else {
        add_sclp(a, p, l3, now_ms);
    }
}

struct packet *
assembly_next(struct assembly *a)
{
    struct packet *p = a->ready;

    if (p) {
        a->ready = p->next;
        if (!a->ready) {
            a->ready_end = &a->ready;
        }
    }
    return p;
}
