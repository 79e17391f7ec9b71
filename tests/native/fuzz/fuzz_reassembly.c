/* SPDX-License-Identifier: Apache-2.0 */

/* Fuzz target of the reassembly engine: its input is a list of segments, of
 * calls to expire and of steps of the clock.
 *
 * A slow model stands beside it: a frame is an array with a byte for each of
 * its bytes.  Both must agree on each segment for as long as nothing is
 * evicted; always, a packet has one owner, no packet is lost, gauges match
 * what was counted one by one, and memory stays within its limits.  Packets
 * are blocks of memory, so AddressSanitizer sees one that is freed twice or
 * forgotten. */

#include <assert.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "reassembly.h"

#define N_KEYS 8
#define MAX_TOTAL 64
#define MAX_PIECES 24
#define TIMEOUT_MS 100

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct packet {
    uint32_t key;
    uint32_t low;
    uint32_t length;
};

/* What the engine should know of the frame of a key. */
struct model {
    bool exists;
    long long int created_ms;
    uint32_t total;
    uint32_t n_pieces;
    uint32_t received;          /* Bytes, which 'has' tells. */
    bool ce;
    bool has[MAX_TOTAL];        /* By distance from the end. */
};

struct world {
    struct reassembly *engine;
    struct model models[N_KEYS];
    long long int now_ms;
};

static void
release(void *packet_, enum reassembly_release why, void *world_)
{
    struct packet *packet = packet_;
    struct world *world = world_;
    struct model *model = &world->models[packet->key];

    assert(why != REASSEMBLY_EXPIRED
           || world->now_ms - model->created_ms >= TIMEOUT_MS);
    assert(model->exists && model->n_pieces);
    for (uint32_t i = 0; i < packet->length; i++) {
        assert(model->has[packet->low + i]);
        model->has[packet->low + i] = false;
    }
    model->received -= packet->length;
    if (!--model->n_pieces) {
        memset(model, 0, sizeof *model);
    }
    free(packet);
}

static uint32_t
n_covered(const struct model *model, uint32_t low, uint32_t high)
{
    uint32_t n = 0;

    for (uint32_t i = low; i < high; i++) {
        n += model->has[i];
    }
    return n;
}

/* Returns what should become of the segment, apart from limits. */
static enum reassembly_result
predict(const struct model *model, const struct reassembly_segment *s)
{
    uint32_t high = s->remaining + s->length;
    uint32_t total = model->total ? model->total : s->total;
    uint32_t n;

    if (!s->length) {
        return REASSEMBLY_EMPTY;
    }
    if (high > MAX_TOTAL || s->total > MAX_TOTAL) {
        return REASSEMBLY_TOO_LONG;
    }
    if (s->total && high > s->total) {
        return REASSEMBLY_CONFLICT;
    }
    if (s->length == s->total) {
        return REASSEMBLY_COMPLETE;
    }
    if ((s->total && s->total != total) || (total && high > total)
        || (total && n_covered(model, total, MAX_TOTAL))) {
        return REASSEMBLY_CONFLICT;
    }
    n = n_covered(model, s->remaining, high);
    if (n) {
        return n == s->length ? REASSEMBLY_DUPLICATE : REASSEMBLY_OVERLAP;
    }
    return (total && model->received + s->length == total
            ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
}

static void
deliver(struct model *model, const struct reassembly_segment *s,
        const struct reassembly_frame *frame)
{
    uint32_t offset = 0;
    bool is_single = s->length == s->total;

    assert(frame->n_pieces == (is_single ? 1 : model->n_pieces + 1));
    assert(frame->ce == (is_single ? s->ce : (model->ce || s->ce)));
    for (uint32_t i = 0; i < frame->n_pieces; i++) {
        const struct reassembly_piece *piece = &frame->pieces[i];
        struct packet *packet = piece->packet;

        assert(piece->offset == offset && piece->length);
        assert(piece->length == packet->length);
        assert(frame->total - offset - packet->length == packet->low);
        offset += piece->length;
        free(packet);
    }
    assert(offset == frame->total);
    if (!is_single) {
        memset(model, 0, sizeof *model);
    }
}

static void
keep(struct world *world, const struct reassembly_segment *s,
     const struct packet *packet)
{
    struct model *model = &world->models[packet->key];

    if (!model->exists) {
        model->exists = true;
        model->created_ms = world->now_ms;
    }
    model->total = s->total ? s->total : model->total;
    model->n_pieces++;
    model->received += packet->length;
    model->ce |= s->ce;
    memset(model->has + packet->low, true, packet->length);
}

static void
add(struct world *world, const uint8_t op[6])
{
    struct reassembly_piece pieces[MAX_PIECES];
    struct reassembly_frame frame = { .pieces = pieces };
    struct packet *packet = malloc(sizeof *packet);
    struct reassembly_segment s = {
        .packet = packet,
        .length = op[1] % 32,
        .remaining = op[2] % (MAX_TOTAL + 4),
        .total = op[3] % (MAX_TOTAL + 4),
        .charge_bytes = op[4],
        .ce = op[5] & 1,
    };
    uint32_t key = op[0] % N_KEYS;
    struct model *model = &world->models[key];
    enum reassembly_result expected, result;

    assert(packet);
    *packet = (struct packet) {
        .key = key,
        .low = s.remaining,
        .length = s.length,
    };

    /* Old frames go first, so that the model need not guess which. */
    reassembly_expire(world->engine, world->now_ms, UINT32_MAX);
    expected = predict(model, &s);
    result = reassembly_add(world->engine, &key, &s, world->now_ms, &frame);
    switch (result) {
    case REASSEMBLY_QUEUED:
        assert(expected == result);
        keep(world, &s, packet);
        break;
    case REASSEMBLY_COMPLETE:
        assert(expected == result);
        deliver(model, &s, &frame);
        break;
    case REASSEMBLY_TOO_MANY:
        assert(expected == REASSEMBLY_QUEUED
               || expected == REASSEMBLY_COMPLETE);
        free(packet);
        break;
    case REASSEMBLY_NO_ROOM:
        assert(expected == REASSEMBLY_QUEUED);
        free(packet);
        break;
    default:
        assert(expected == result);
        free(packet);
    }
}

static void
check_gauges(const struct world *world,
             const struct reassembly_config *config)
{
    const struct reassembly_stats *stats = reassembly_stats(world->engine);
    uint64_t n_frames = 0, n_segments = 0, n_bytes = 0;

    for (uint32_t i = 0; i < N_KEYS; i++) {
        n_frames += world->models[i].exists;
        n_segments += world->models[i].n_pieces;
        n_bytes += world->models[i].received;
    }
    assert(stats->frames == n_frames && n_frames <= config->max_frames);
    assert(stats->segments == n_segments
           && n_segments <= config->max_segments);
    assert(stats->payload_bytes == n_bytes);
    assert(stats->charge_bytes <= config->max_charge_bytes);
    assert((reassembly_next_expiry_ms(world->engine) == LLONG_MAX)
           == !n_frames);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = { 0 };
    struct reassembly_config config = {
        .max_frames = 5, .max_segments = 40, .max_pieces = MAX_PIECES,
        .max_runs = 12, .max_total = MAX_TOTAL, .max_charge_bytes = 3000,
        .timeout_ms = TIMEOUT_MS, .key_size = sizeof(uint32_t),
        .seed = { 3, 4 }, .release = release, .aux = &world,
    };
    void *memory;

    if (size && data[0] % 2) {
        /* Without a limit in reach, agreement is strict. */
        config.max_frames = N_KEYS;
        config.max_segments = N_KEYS * MAX_TOTAL;
        config.max_charge_bytes = 1 << 20;
    }
    memory = malloc(reassembly_size(&config));
    assert(memory);
    memset(memory, 0xa5, reassembly_size(&config));
    world.engine = reassembly_init(memory, &config);
    for (size_t i = 1; i + 6 <= size; i += 6) {
        world.now_ms += data[i] >> 5;
        add(&world, data + i);
        check_gauges(&world, &config);
    }
    reassembly_flush(world.engine);
    check_gauges(&world, &config);
    assert(!reassembly_stats(world.engine)->frames);
    free(memory);
    return 0;
}
