/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target of SCLP from records to frames: its input is a list of segments,
 * each of six bytes, that are written as records into a UDP super-packet,
 * parsed, merged with their neighbours or not, and added to the engine.
 *
 * Each byte of a frame is a function of its id and of its distance from the
 * end, so that a frame that completes tells whether every byte of it is in its
 * place: only a first segment may have told its size.  What the engine makes
 * of each segment is fuzz_reassembly.c's. */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "be.h"
#include "ip.h"
#include "reassembly.h"
#include "sclp.h"

#define PITCH (SCLP_HEADER_SIZE + MAX_LENGTH)
#define MAX_LENGTH 32
#define MAX_RECORDS 24
#define MAX_PIECES 24
#define N_IDS 4

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct packet {
    uint32_t length;
    uint32_t id;
    uint8_t payload[];
};

struct world {
    struct reassembly *engine;
    long long int now_ms;
    bool has_total[N_IDS][UINT8_MAX + 1];   /* First segments told it. */
};

static void
release(void *packet, enum reassembly_release why, void *aux)
{
    (void) why;
    (void) aux;
    free(packet);
}

/* The byte of frame 'id' with 'behind' bytes behind it. */
static uint8_t
byte_of(uint32_t id, uint32_t behind)
{
    return (uint8_t) (id * 61 + behind * 7 + (behind >> 5));
}

static void
check_frame(const struct world *world, uint32_t id,
            const struct reassembly_frame *frame)
{
    uint32_t offset = 0;

    assert(frame->total <= UINT8_MAX
           && world->has_total[id / 2][frame->total]);
    for (uint32_t i = 0; i < frame->n_pieces; i++) {
        const struct reassembly_piece *piece = &frame->pieces[i];
        struct packet *packet = piece->packet;

        assert(packet->id == id && packet->length == piece->length);
        assert(piece->offset == offset);
        for (uint32_t j = 0; j < piece->length; j++) {
            assert(packet->payload[j]
                   == byte_of(id, frame->total - offset - j - 1));
        }
        offset += piece->length;
        free(packet);
    }
    assert(offset == frame->total);
}

/* Adds 'segment' with its payload, in a block of its own. */
static void
add(struct world *world, const struct sclp_packet *outer,
    const struct sclp_segment *segment, const uint8_t *payload)
{
    struct reassembly_piece pieces[MAX_PIECES];
    struct reassembly_frame frame = { .pieces = pieces };
    struct packet *packet = malloc(sizeof *packet + segment->length);
    uint8_t key[SCLP_KEY_SIZE];
    enum reassembly_result result;

    assert(packet);
    packet->length = segment->length;
    packet->id = segment->id;
    memcpy(packet->payload, payload, segment->length);
    sclp_key(key, outer, segment);
    result = reassembly_add(world->engine, key, &(struct reassembly_segment) {
        .packet = packet,
        .length = segment->length,
        .remaining = segment->remaining,
        .total = sclp_segment_total(segment),
        .charge_bytes = segment->length,
    }, world->now_ms, &frame);
    if (result == REASSEMBLY_COMPLETE) {
        check_frame(world, segment->id, &frame);
    } else if (result != REASSEMBLY_QUEUED) {
        free(packet);
    }
}

/* Writes up to MAX_RECORDS records from the 'n' ops at 'ops' to 'packet'; one
 * shorter than the pitch is the last.  Returns how many. */
static size_t
put_records(struct world *world, uint8_t *packet, const uint8_t *ops, size_t n,
            size_t *size)
{
    uint8_t *record = packet + IPV4_HEADER_SIZE + UDP_HEADER_SIZE;
    size_t i = 0;
    size_t length = MAX_LENGTH;

    for (; i < n && i < MAX_RECORDS && length == MAX_LENGTH; i++) {
        const uint8_t *op = ops + 6 * i;
        struct sclp_segment s = {
            .src_port = op[4] & 1, .dst_port = SCLP_VXLAN_PORT,
            .id = 2u * (op[0] % N_IDS), .is_first = op[1] & 1,
            .remaining = op[2] % (UINT8_MAX - MAX_LENGTH),
        };

        length = op[3] & 0x80 ? MAX_LENGTH : op[3] % (MAX_LENGTH + 1);
        sclp_segment_put(record, &s);
        for (uint32_t j = 0; j < length; j++) {
            record[SCLP_HEADER_SIZE + j] = byte_of(
                s.id, s.remaining + (uint32_t) length - j - 1);
        }
        if (s.is_first) {
            world->has_total[s.id / 2][s.remaining + length] = true;
        }
        record += SCLP_HEADER_SIZE + length;
    }
    *size = (size_t) (record - packet);
    memset(packet, 0, IPV4_HEADER_SIZE + UDP_HEADER_SIZE);
    packet[IPV4_VERSION_IHL] = 0x45;
    packet[IPV4_PROTOCOL] = PROTO_UDP;
    be16_store(packet + IPV4_LENGTH, (uint16_t) *size);
    be16_store(packet + IPV4_HEADER_SIZE + UDP_LENGTH,
               (uint16_t) (*size - IPV4_HEADER_SIZE));
    return i;
}

/* Adds the records of the super-packet, merged where 'merge' has a bit for
 * it.  Payloads are moved together in the packet. */
static void
add_records(struct world *world, uint8_t *packet, size_t size, uint32_t merge)
{
    struct sclp_packet outer;
    struct sclp_segment held = { .length = 0 }, s;
    enum sclp_verdict verdict;
    uint32_t held_at = 0, offset;

    verdict = sclp_packet_parse(&outer, packet, size, PITCH,
                                SCLP_TRUST_IP_CSUM | SCLP_TRUST_UDP_CSUM);
    assert(!verdict);
    while (sclp_packet_next(&outer, &s, &offset, &verdict)) {
        if (verdict) {
            continue;
        }
        if (held.length && merge & 1
            && sclp_is_next(&outer, &held, &outer, &s)) {
            memmove(packet + held_at + held.length, packet + offset, s.length);
            sclp_merge(&held, &s);
        } else {
            if (held.length) {
                add(world, &outer, &held, packet + held_at);
            }
            held = s;
            held_at = offset;
        }
        merge >>= 1;
    }
    if (held.length) {
        add(world, &outer, &held, packet + held_at);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t packet[IPV4_HEADER_SIZE + UDP_HEADER_SIZE + MAX_RECORDS * PITCH];
    struct world world = { .now_ms = 0 };
    struct reassembly_config config = {
        .max_frames = 3, .max_segments = 60, .max_pieces = MAX_PIECES,
        .max_runs = 12, .max_total = SCLP_TOTAL_MAX, .max_charge_bytes = 800,
        .timeout_ms = 100, .key_size = SCLP_KEY_SIZE, .seed = { 3, 4 },
        .release = release,
    };
    void *memory = malloc(reassembly_size(&config));

    assert(memory);
    memset(memory, 0xa5, reassembly_size(&config));
    world.engine = reassembly_init(memory, &config);
    for (size_t i = 0; i + 6 <= size;) {
        uint32_t merge = be32_load(data + i) ^ data[i + 5];
        size_t packet_size;

        i += 6 * put_records(&world, packet, data + i, (size - i) / 6,
                             &packet_size);
        add_records(&world, packet, packet_size, merge);
        world.now_ms += data[i - 1] & 15;
        assert(reassembly_stats(world.engine)->charge_bytes <= 800);
        assert(reassembly_stats(world.engine)->frames <= 3);
    }
    reassembly_flush(world.engine);
    assert(!reassembly_stats(world.engine)->frames);
    free(memory);
    return 0;
}
