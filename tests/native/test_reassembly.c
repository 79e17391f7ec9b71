/* SPDX-License-Identifier: Apache-2.0 */

#include <limits.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "reassembly.h"

#define MAX_PIECES 128
#define MAX_PACKETS 300000
#define TIMEOUT_MS 1000

/* A packet of the tests is its number; this is where it is now. */
enum owner { CALLER, ENGINE, EXPIRED, EVICTED, FLUSHED, DELIVERED };

static uint8_t owners[MAX_PACKETS];
static uint32_t n_packets;
static struct reassembly *engine;
static void *memory;
static struct reassembly_piece pieces[MAX_PIECES];
static struct reassembly_frame frame = { .pieces = pieces };
static char aux;

static uint32_t
number_of(const void *packet)
{
    return (uint32_t) ((uintptr_t) packet - 1);
}

static void
release(void *packet, enum reassembly_release why, void *aux_)
{
    CHECK(aux_ == &aux);
    CHECK_EQ(owners[number_of(packet)], ENGINE);
    owners[number_of(packet)] = (uint8_t) (EXPIRED + why);
}

static struct reassembly_config
default_config(void)
{
    return (struct reassembly_config) {
        .max_frames = 64,
        .max_segments = 1024,
        .max_pieces = MAX_PIECES,
        .max_runs = 64,
        .max_total = 65535,
        .max_charge_bytes = 1 << 20,
        .timeout_ms = TIMEOUT_MS,
        .key_size = 12,
        .seed = { 0x0123456789abcdef, 0xfedcba9876543210 },
        .release = release,
        .aux = &aux,
    };
}

static void
start_with(struct reassembly_config config)
{
    size_t size = reassembly_size(&config);

    CHECK(size);
    memory = malloc(size);
    CHECK(memory);
    memset(memory, 0xa5, size);
    engine = reassembly_init(memory, &config);
    CHECK(engine);
    n_packets = 0;
}

static void
start(void)
{
    start_with(default_config());
}

static const struct reassembly_stats *
stats(void)
{
    return reassembly_stats(engine);
}

/* Ends a test: nothing may be left in the engine, or be lost. */
static void
stop(void)
{
    reassembly_flush(engine);
    CHECK_EQ(stats()->frames, 0);
    CHECK_EQ(stats()->segments, 0);
    CHECK_EQ(stats()->payload_bytes, 0);
    CHECK_EQ(stats()->charge_bytes, 0);
    CHECK_EQ(reassembly_next_expiry_ms(engine), LLONG_MAX);
    for (uint32_t i = 0; i < n_packets; i++) {
        CHECK(owners[i] != ENGINE);
    }
    free(memory);
}

/* Checks a completed frame of 'total' bytes: in order, without a hole. */
static void
check_frame(uint32_t total)
{
    uint32_t offset = 0;

    for (uint32_t i = 0; i < frame.n_pieces; i++) {
        uint32_t n = number_of(frame.pieces[i].packet);

        CHECK_EQ(frame.pieces[i].offset, offset);
        offset += frame.pieces[i].length;
        CHECK(owners[n] == ENGINE || owners[n] == CALLER);
        owners[n] = DELIVERED;
    }
    CHECK_EQ(offset, total);
    CHECK_EQ(frame.total, total);
}

static enum reassembly_result
add_segment(uint32_t id, uint32_t source, struct reassembly_segment s,
            long long int now_ms)
{
    uint32_t key[3] = { source, 0x0a000002, id };
    enum reassembly_result result;

    CHECK(n_packets < MAX_PACKETS);
    owners[n_packets] = CALLER;
    s.packet = (void *) (uintptr_t) ++n_packets;
    result = reassembly_add(engine, key, &s, now_ms, &frame);
    if (result == REASSEMBLY_QUEUED) {
        CHECK_EQ(owners[n_packets - 1], CALLER);
        owners[n_packets - 1] = ENGINE;
    } else if (result == REASSEMBLY_COMPLETE) {
        check_frame(frame.total);
    }
    return result;
}

/* Adds [offset, offset + length) of 'total' bytes of frame 'id' from one
 * source, as STT would. */
static enum reassembly_result
add_at(uint32_t id, uint32_t offset, uint32_t length, uint32_t total,
       long long int now_ms)
{
    return add_segment(id, 0x0a000001, (struct reassembly_segment) {
        .length = length,
        .remaining = total - offset - length,
        .total = total,
        .charge_bytes = length,
    }, now_ms);
}

static enum reassembly_result
add(uint32_t offset, uint32_t length, uint32_t total)
{
    return add_at(1, offset, length, total, 0);
}

/* Permutations. */

/* Adds the 'n' segments, of 100 bytes and a last one of 7, in each order that
 * begins with the 'depth' in 'order'. */
static void
permute(uint32_t order[], uint32_t n, uint32_t depth, bool total_in_first)
{
    uint32_t total = (n - 1) * 100 + 7;

    for (uint32_t i = 0; depth < n && i < n; i++) {
        bool is_used = false;

        for (uint32_t j = 0; j < depth; j++) {
            is_used |= order[j] == i;
        }
        if (!is_used) {
            order[depth] = i;
            permute(order, n, depth + 1, total_in_first);
        }
    }
    for (uint32_t j = 0; depth == n && j < n; j++) {
        uint32_t offset = order[j] * 100;
        uint32_t length = order[j] == n - 1 ? 7 : 100;
        bool tells = !total_in_first || !offset;
        enum reassembly_result result = add_segment(
            1, 1, (struct reassembly_segment) {
                .length = length,
                .remaining = total - offset - length,
                .total = tells ? total : 0,
                .charge_bytes = 1,
            }, 0);

        CHECK_EQ(result, (j == n - 1 ? REASSEMBLY_COMPLETE
                          : REASSEMBLY_QUEUED));
    }
}

TEST(reassembly_every_permutation_up_to_six)
{
    uint32_t order[6];

    start();
    for (uint32_t n = 1; n <= 6; n++) {
        permute(order, n, 0, false);
    }
    CHECK_EQ(stats()->results[REASSEMBLY_COMPLETE],
             1 + 2 + 6 + 24 + 120 + 720);
    CHECK_EQ(stats()->frames, 0);
    stop();
}

TEST(reassembly_every_permutation_total_known_late)
{
    uint32_t order[6];

    start();
    for (uint32_t n = 1; n <= 6; n++) {
        permute(order, n, 0, true);
    }
    CHECK_EQ(stats()->frames, 0);
    stop();
}

static void
add_in_order(uint32_t n, uint32_t first, uint32_t step)
{
    uint32_t total = n * 1440;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (first + i * step) % n;

        CHECK_EQ(add(at * 1440, 1440, total),
                 i == n - 1 ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
    }
    CHECK_EQ(frame.n_pieces, n);
}

TEST(reassembly_in_order)
{
    start();
    add_in_order(45, 0, 1);
    stop();
}

TEST(reassembly_reversed)
{
    start();
    add_in_order(45, 44, 44);
    stop();
}

TEST(reassembly_tail_first)
{
    start();
    add_in_order(45, 44, 1);
    stop();
}

TEST(reassembly_every_second_first)
{
    start();
    add_in_order(45, 0, 2);
    add_in_order(45, 44, 43);
    stop();
}

TEST(reassembly_random_orders)
{
    uint32_t seed = 1;

    start();
    for (int round = 0; round < 2000; round++) {
        uint32_t order[45];

        for (uint32_t i = 0; i < 45; i++) {
            uint32_t j;

            seed = seed * 1664525 + 1013904223;
            j = (seed >> 16) % (i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        for (uint32_t i = 0; i < 45; i++) {
            CHECK_EQ(add(order[i] * 1440, 1440, 45 * 1440),
                     i == 44 ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
        }
    }
    stop();
}

TEST(reassembly_single_segment_needs_no_table)
{
    start();
    CHECK_EQ(add(0, 32, 32), REASSEMBLY_COMPLETE);
    CHECK_EQ(frame.n_pieces, 1);
    CHECK_EQ(stats()->single_frames, 1);
    CHECK_EQ(reassembly_next_expiry_ms(engine), LLONG_MAX);
    stop();
}

TEST(reassembly_total_65535)
{
    start();
    CHECK_EQ(add(65534, 1, 65535), REASSEMBLY_QUEUED);
    CHECK_EQ(add(0, 65534, 65535), REASSEMBLY_COMPLETE);
    CHECK_EQ(add(0, 65535, 65535), REASSEMBLY_COMPLETE);
    stop();
}

/* What is refused. */

static void
check_duplicate(uint32_t index)
{
    start();
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(add(i * 100, 100, 400), REASSEMBLY_QUEUED);
    }
    CHECK_EQ(add(index * 100, 100, 400), REASSEMBLY_DUPLICATE);
    CHECK_EQ(stats()->results[REASSEMBLY_DUPLICATE], 1);
    CHECK_EQ(stats()->segments, 3);
    CHECK_EQ(add(300, 100, 400), REASSEMBLY_COMPLETE);
    CHECK_EQ(frame.n_pieces, 4);
    stop();
}

TEST(reassembly_duplicate_of_first) { check_duplicate(0); }
TEST(reassembly_duplicate_of_middle) { check_duplicate(1); }
TEST(reassembly_duplicate_of_last) { check_duplicate(2); }

TEST(reassembly_duplicate_after_completion)
{
    start();
    CHECK_EQ(add(0, 100, 200), REASSEMBLY_QUEUED);
    CHECK_EQ(add(100, 100, 200), REASSEMBLY_COMPLETE);
    CHECK_EQ(add(0, 100, 200), REASSEMBLY_QUEUED);
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS, 10), 1);
    CHECK_EQ(owners[2], EXPIRED);
    CHECK_EQ(stats()->results[REASSEMBLY_COMPLETE], 1);
    stop();
}

TEST(reassembly_partial_overlap)
{
    start();
    CHECK_EQ(add(100, 100, 400), REASSEMBLY_QUEUED);
    CHECK_EQ(add(50, 51, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(199, 100, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(99, 102, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(0, 399, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(120, 10, 400), REASSEMBLY_DUPLICATE);
    CHECK_EQ(add(0, 100, 400), REASSEMBLY_QUEUED);
    CHECK_EQ(add(50, 100, 400), REASSEMBLY_DUPLICATE);
    CHECK_EQ(add(200, 200, 400), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_overlap_over_a_hole)
{
    start();
    CHECK_EQ(add(0, 100, 400), REASSEMBLY_QUEUED);
    CHECK_EQ(add(200, 100, 400), REASSEMBLY_QUEUED);
    CHECK_EQ(add(100, 101, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(99, 101, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(0, 300, 400), REASSEMBLY_OVERLAP);
    CHECK_EQ(add(100, 100, 400), REASSEMBLY_QUEUED);
    CHECK_EQ(add(300, 100, 400), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_conflicting_totals)
{
    start();
    CHECK_EQ(add(0, 100, 400), REASSEMBLY_QUEUED);
    CHECK_EQ(add(100, 100, 401), REASSEMBLY_CONFLICT);
    CHECK_EQ(add(100, 100, 399), REASSEMBLY_CONFLICT);
    CHECK_EQ(add(100, 300, 400), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_conflict_with_late_total)
{
    struct reassembly_segment far = { .length = 100, .remaining = 800 };
    struct reassembly_segment first = { .length = 100, .remaining = 500,
                                        .total = 600 };
    struct reassembly_segment inside = { .length = 500, .remaining = 0 };

    start();
    CHECK_EQ(add_segment(1, 1, far, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_segment(1, 1, first, 0), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_segment(2, 1, first, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_segment(2, 1, far, 0), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_segment(2, 1, inside, 0), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_past_the_total)
{
    start();
    CHECK_EQ(add_segment(1, 1, (struct reassembly_segment) {
        .length = 100, .remaining = 1, .total = 100 }, 0),
        REASSEMBLY_CONFLICT);
    CHECK_EQ(add_segment(1, 1, (struct reassembly_segment) {
        .length = 100, .remaining = UINT32_MAX, .total = 100 }, 0),
        REASSEMBLY_TOO_LONG);
    CHECK_EQ(stats()->frames, 0);
    stop();
}

TEST(reassembly_zero_length)
{
    start();
    CHECK_EQ(add(0, 0, 400), REASSEMBLY_EMPTY);
    CHECK_EQ(add(0, 0, 0), REASSEMBLY_EMPTY);
    CHECK_EQ(stats()->frames, 0);
    stop();
}

TEST(reassembly_too_long)
{
    start();
    CHECK_EQ(add(0, 100, 65536), REASSEMBLY_TOO_LONG);
    CHECK_EQ(add(0, 65536, 65536), REASSEMBLY_TOO_LONG);
    stop();
}

TEST(reassembly_too_many_pieces)
{
    start();
    for (uint32_t i = 0; i < MAX_PIECES; i++) {
        CHECK_EQ(add(i, 1, 1000), REASSEMBLY_QUEUED);
    }
    CHECK_EQ(add(MAX_PIECES, 1, 1000), REASSEMBLY_TOO_MANY);
    for (uint32_t i = 0; i < MAX_PIECES; i++) {
        CHECK_EQ(add_at(2, i, 1, MAX_PIECES, 0),
                 (i == MAX_PIECES - 1 ? REASSEMBLY_COMPLETE
                  : REASSEMBLY_QUEUED));
    }
    CHECK_EQ(frame.n_pieces, MAX_PIECES);
    stop();
}

TEST(reassembly_too_many_holes)
{
    start();
    for (uint32_t i = 0; i < 64; i++) {
        CHECK_EQ(add(2 * i, 1, 1000), REASSEMBLY_QUEUED);
    }
    CHECK_EQ(add(500, 1, 1000), REASSEMBLY_TOO_MANY);
    CHECK_EQ(add(1, 1, 1000), REASSEMBLY_QUEUED);
    CHECK_EQ(add(500, 1, 1000), REASSEMBLY_QUEUED);
    CHECK_EQ(add(501, 1, 1000), REASSEMBLY_QUEUED);
    CHECK_EQ(add(499, 1, 1000), REASSEMBLY_QUEUED);
    CHECK_EQ(add(700, 1, 1000), REASSEMBLY_TOO_MANY);
    stop();
}

/* Keys. */

TEST(reassembly_same_id_from_two_sources)
{
    struct reassembly_segment head = { .length = 60, .remaining = 40,
                                       .total = 100 };
    struct reassembly_segment tail = { .length = 40, .total = 100 };

    start();
    CHECK_EQ(add_segment(7, 1, head, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_segment(7, 2, tail, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(stats()->frames, 2);
    CHECK_EQ(add_segment(7, 1, tail, 0), REASSEMBLY_COMPLETE);
    CHECK_EQ(number_of(pieces[0].packet), 0);
    CHECK_EQ(number_of(pieces[1].packet), 2);
    CHECK_EQ(add_segment(7, 2, head, 0), REASSEMBLY_COMPLETE);
    CHECK_EQ(number_of(pieces[0].packet), 3);
    CHECK_EQ(number_of(pieces[1].packet), 1);
    stop();
}

TEST(reassembly_id_reuse_within_the_timeout)
{
    start();
    CHECK_EQ(add_at(1, 0, 100, 300, 0), REASSEMBLY_QUEUED);

    /* Another frame with the same id does not mix with the rest of the old
     * one where they can be told apart ... */
    CHECK_EQ(add_at(1, 0, 100, 200, 10), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_at(1, 100, 100, 200, 10), REASSEMBLY_CONFLICT);
    CHECK_EQ(stats()->frames, 1);

    /* ... and has its way once the old one is too old. */
    CHECK_EQ(add_at(1, 0, 100, 200, TIMEOUT_MS), REASSEMBLY_QUEUED);
    CHECK_EQ(stats()->expired_frames, 1);
    CHECK_EQ(add_at(1, 100, 100, 200, TIMEOUT_MS), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_expired_frame_is_not_continued)
{
    start();
    for (uint32_t id = 0; id < 10; id++) {
        CHECK_EQ(add_at(id, 0, 100, 200, 0), REASSEMBLY_QUEUED);
    }

    /* More have expired than one call clears away; the youngest of them is the
     * one asked for. */
    CHECK_EQ(add_at(9, 100, 100, 200, TIMEOUT_MS), REASSEMBLY_QUEUED);
    CHECK_EQ(owners[9], EXPIRED);
    CHECK_EQ(stats()->expired_frames, 3);
    stop();
}

TEST(reassembly_interleaved_frames)
{
    start();
    for (uint32_t i = 0; i < 45; i++) {
        for (uint32_t id = 0; id < 14; id++) {
            CHECK_EQ(add_at(id, i * 1440, 1440, 45 * 1440, 0),
                     i == 44 ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
        }
    }
    CHECK_EQ(stats()->results[REASSEMBLY_COMPLETE], 14);
    CHECK_EQ(stats()->results[REASSEMBLY_QUEUED], 14 * 44);
    stop();
}

/* Time. */

static void
check_missing(uint32_t missing)
{
    start();
    for (uint32_t i = 0; i < 3; i++) {
        if (i != missing) {
            CHECK_EQ(add_at(1, i * 100, 100, 300, 50), REASSEMBLY_QUEUED);
        }
    }
    CHECK_EQ(reassembly_next_expiry_ms(engine), 50 + TIMEOUT_MS);
    CHECK_EQ(reassembly_expire(engine, 49 + TIMEOUT_MS, 10), 0);
    CHECK_EQ(reassembly_expire(engine, 50 + TIMEOUT_MS, 10), 1);
    CHECK_EQ(owners[0], EXPIRED);
    CHECK_EQ(owners[1], EXPIRED);
    CHECK_EQ(stats()->expired_frames, 1);
    CHECK_EQ(stats()->expired_segments, 2);
    CHECK_EQ(stats()->charge_bytes, 0);
    stop();
}

TEST(reassembly_missing_first_expires) { check_missing(0); }
TEST(reassembly_missing_middle_expires) { check_missing(1); }
TEST(reassembly_missing_last_expires) { check_missing(2); }

TEST(reassembly_expiry_is_bounded_per_call)
{
    start();
    for (uint32_t id = 0; id < 10; id++) {
        CHECK_EQ(add_at(id, 0, 100, 200, id), REASSEMBLY_QUEUED);
    }
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS + 5, 4), 4);
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS + 5, 4), 2);
    CHECK_EQ(reassembly_next_expiry_ms(engine), TIMEOUT_MS + 6);
    stop();
}

TEST(reassembly_clock_that_goes_back_expires_nothing)
{
    start();
    CHECK_EQ(add_at(1, 0, 100, 200, 1000000), REASSEMBLY_QUEUED);
    CHECK_EQ(reassembly_expire(engine, 0, 10), 0);
    CHECK_EQ(add_at(1, 100, 100, 200, 0), REASSEMBLY_COMPLETE);
    stop();
}

/* Memory. */

TEST(reassembly_full_table_evicts_the_oldest)
{
    start();
    for (uint32_t id = 0; id < 65; id++) {
        CHECK_EQ(add_at(id, 0, 100, 200, 0), REASSEMBLY_QUEUED);
    }
    CHECK_EQ(owners[0], EVICTED);
    CHECK_EQ(owners[1], ENGINE);
    CHECK_EQ(stats()->frames, 64);
    CHECK_EQ(stats()->evicted_frames, 1);
    CHECK_EQ(stats()->evicted_segments, 1);
    CHECK_EQ(add_at(64, 100, 100, 200, 0), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_charge_stays_under_the_cap)
{
    struct reassembly_segment s = { .length = 6, .remaining = 60000,
                                    .charge_bytes = 300000 };

    start();
    for (uint32_t id = 0; id < 4; id++) {
        CHECK_EQ(add_segment(id, 1, s, 0), REASSEMBLY_QUEUED);
        CHECK(stats()->charge_bytes <= 1 << 20);
    }
    CHECK_EQ(owners[0], EVICTED);
    CHECK_EQ(stats()->charge_bytes, 900000);
    s.charge_bytes = (1 << 20) + 1;
    CHECK_EQ(add_segment(9, 1, s, 0), REASSEMBLY_NO_ROOM);
    CHECK_EQ(stats()->frames, 3);
    stop();
}

TEST(reassembly_oldest_frame_that_needs_room_goes_itself)
{
    struct reassembly_segment s = { .length = 6, .remaining = 60000,
                                    .charge_bytes = 600000 };

    start();
    CHECK_EQ(add_segment(1, 1, s, 0), REASSEMBLY_QUEUED);
    s.remaining = 50000;
    CHECK_EQ(add_segment(1, 1, s, 0), REASSEMBLY_NO_ROOM);
    CHECK_EQ(owners[0], EVICTED);
    CHECK_EQ(owners[1], CALLER);
    CHECK_EQ(stats()->frames, 0);
    stop();
}

TEST(reassembly_last_segment_needs_no_room)
{
    struct reassembly_config config = default_config();

    config.max_frames = 1;
    config.max_segments = 1;
    config.max_charge_bytes = 100;
    start_with(config);
    CHECK_EQ(add(100, 100, 200), REASSEMBLY_QUEUED);
    CHECK_EQ(add(0, 100, 200), REASSEMBLY_COMPLETE);
    stop();
}

TEST(reassembly_segment_pool_runs_out)
{
    struct reassembly_config config = default_config();

    config.max_segments = 4;
    start_with(config);
    CHECK_EQ(add_at(1, 0, 1, 100, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(2, 0, 1, 100, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(2, 1, 1, 100, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(2, 2, 1, 100, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(2, 3, 1, 100, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(owners[0], EVICTED);
    CHECK_EQ(add_at(2, 4, 1, 100, 0), REASSEMBLY_NO_ROOM);
    CHECK_EQ(stats()->frames, 0);
    CHECK_EQ(add_at(2, 4, 1, 100, 0), REASSEMBLY_QUEUED);
    stop();
}

TEST(reassembly_100000_unfinished_frames)
{
    struct reassembly_config config = default_config();
    uint64_t n_done = 0;

    config.max_frames = 1024;
    start_with(config);
    for (uint32_t i = 0; i < 100000; i++) {
        CHECK_EQ(add_segment(i, 666, (struct reassembly_segment) {
            .length = 6, .remaining = 60000, .total = 60006,
            .charge_bytes = 256 }, i / 100), REASSEMBLY_QUEUED);
        CHECK(stats()->charge_bytes <= 1 << 20);
        CHECK(stats()->frames <= 1024);

        /* Legitimate traffic goes on beside it. */
        if (i % 10 == 0) {
            CHECK_EQ(add_at(i, 100, 100, 200, i / 100), REASSEMBLY_QUEUED);
            CHECK_EQ(add_at(i, 0, 100, 200, i / 100), REASSEMBLY_COMPLETE);
            n_done++;
        }
    }
    CHECK_EQ(stats()->results[REASSEMBLY_COMPLETE], n_done);
    CHECK_EQ(stats()->evicted_frames + stats()->expired_frames
             + stats()->frames, 100000);
    reassembly_expire(engine, 1000000, UINT32_MAX);
    CHECK_EQ(stats()->frames, 0);
    CHECK_EQ(stats()->charge_bytes, 0);
    stop();
}

TEST(reassembly_flush_returns_everything)
{
    start();
    for (uint32_t id = 0; id < 50; id++) {
        CHECK_EQ(add_at(id, 100, 100, 400, 0), REASSEMBLY_QUEUED);
        CHECK_EQ(add_at(id, 300, 100, 400, 0), REASSEMBLY_QUEUED);
    }
    reassembly_flush(engine);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK_EQ(owners[i], FLUSHED);
    }
    CHECK_EQ(stats()->flushed_frames, 50);
    CHECK_EQ(stats()->flushed_segments, 100);
    CHECK_EQ(add(0, 100, 200), REASSEMBLY_QUEUED);
    stop();
}

/* Congestion. */

static void
check_ce(uint32_t marked, bool expected)
{
    start();
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQ(add_segment(1, 1, (struct reassembly_segment) {
            .length = 100, .remaining = i * 100, .total = 300,
            .ce = i == marked }, 0),
            i == 2 ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
    }
    CHECK_EQ(frame.ce, expected);
    stop();
}

TEST(reassembly_ce_on_the_first_to_arrive_only) { check_ce(0, true); }
TEST(reassembly_ce_on_the_middle_only) { check_ce(1, true); }
TEST(reassembly_ce_on_the_last_to_arrive_only) { check_ce(2, true); }
TEST(reassembly_ce_on_none) { check_ce(3, false); }

TEST(reassembly_ce_of_a_refused_segment_does_not_count)
{
    start();
    CHECK_EQ(add(0, 100, 200), REASSEMBLY_QUEUED);
    CHECK_EQ(add_segment(1, 0x0a000001, (struct reassembly_segment) {
        .length = 100, .remaining = 100, .total = 200, .ce = true }, 0),
        REASSEMBLY_DUPLICATE);
    CHECK_EQ(add(100, 100, 200), REASSEMBLY_COMPLETE);
    CHECK(!frame.ce);
    CHECK_EQ(add_segment(1, 1, (struct reassembly_segment) {
        .length = 100, .total = 100, .ce = true }, 0), REASSEMBLY_COMPLETE);
    CHECK(frame.ce);
    stop();
}

/* Configuration. */

TEST(reassembly_config_out_of_range)
{
    struct reassembly_config config = default_config();

    CHECK(reassembly_size(&config));
#define REFUSES(MEMBER, VALUE)                                               \
    config.MEMBER = VALUE;                                                   \
    CHECK_EQ(reassembly_size(&config), 0);                                   \
    CHECK(!reassembly_init(NULL, &config));                                  \
    config = default_config();
    REFUSES(max_frames, 0);
    REFUSES(max_frames, (1 << 22) + 1);
    REFUSES(max_segments, 0);
    REFUSES(max_pieces, 1);
    REFUSES(max_pieces, 65536);
    REFUSES(max_runs, 1);
    REFUSES(max_total, 0);
    REFUSES(timeout_ms, 0);
    REFUSES(key_size, 0);
    REFUSES(key_size, REASSEMBLY_KEY_MAX + 1);
    REFUSES(release, NULL);
}

TEST(reassembly_results_have_names)
{
    for (int i = 0; i < REASSEMBLY_N_RESULTS; i++) {
        CHECK(*reassembly_result_name((enum reassembly_result) i));
        CHECK(*reassembly_result_text((enum reassembly_result) i));
    }
}
