/* SPDX-License-Identifier: Apache-2.0 */

/* From packets on the wire to frames: the parser, level 1 where a case wants
 * it, and the engine of reassembly.h. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "reassembly.h"
#include "sclp-segment.h"
#include "sclp.h"

#define TIMEOUT_MS 500
#define MAX_PIECES 64
#define MAX_TOTAL 65535

static struct reassembly *engine;
static void *memory;
static struct reassembly_piece pieces[MAX_PIECES];
static struct reassembly_frame done = { .pieces = pieces };
static uint8_t frame[MAX_TOTAL];
static uint8_t other[MAX_TOTAL];
static uint32_t n_released;

/* A segment that the engine may keep. */
struct packet {
    uint32_t length;
    uint8_t payload[];
};

static void
release(void *packet, enum reassembly_release why, void *aux)
{
    (void) why;
    (void) aux;
    n_released++;
    free(packet);
}

static void
start(void)
{
    struct reassembly_config config = {
        .max_frames = 64, .max_segments = 1024, .max_pieces = MAX_PIECES,
        .max_runs = MAX_PIECES, .max_total = SCLP_TOTAL_MAX,
        .max_charge_bytes = 8 << 20, .timeout_ms = TIMEOUT_MS,
        .key_size = SCLP_KEY_SIZE, .seed = { 5, 6 }, .release = release,
    };

    memory = malloc(reassembly_size(&config));
    CHECK(memory);
    engine = reassembly_init(memory, &config);
    CHECK(engine);
    n_released = 0;
    for (uint32_t i = 0; i < MAX_TOTAL; i++) {
        frame[i] = (uint8_t) (i * 131 >> 4);
        other[i] = (uint8_t) ~frame[i];
    }
}

static void
stop(void)
{
    reassembly_flush(engine);
    CHECK_EQ(reassembly_stats(engine)->frames, 0);
    CHECK_EQ(reassembly_stats(engine)->charge_bytes, 0);
    free(memory);
}

static const struct sclp_packet from = { .src = 1, .dst = 2 };

/* Checks that the completed frame is that of 'total' bytes at 'expected', and
 * frees it. */
static void
check_done(const uint8_t *expected, uint32_t total)
{
    CHECK_EQ(done.total, total);
    for (uint32_t i = 0; i < done.n_pieces; i++) {
        const struct packet *packet = pieces[i].packet;

        CHECK_EQ(packet->length, pieces[i].length);
        CHECK(!memcmp(packet->payload, expected + pieces[i].offset,
                      pieces[i].length));
        free(pieces[i].packet);
    }
}

/* Adds 'segment', whose payload is at 'payload'. */
static enum reassembly_result
add(const struct sclp_segment *segment, const uint8_t *payload,
    long long int now_ms)
{
    struct packet *packet = malloc(sizeof *packet + segment->length);
    uint8_t key[SCLP_KEY_SIZE];
    enum reassembly_result result;

    CHECK(packet);
    packet->length = segment->length;
    memcpy(packet->payload, payload, segment->length);
    sclp_key(key, &from, segment);
    result = reassembly_add(engine, key, &(struct reassembly_segment) {
        .packet = packet,
        .length = segment->length,
        .remaining = segment->remaining,
        .total = sclp_segment_total(segment),
        .charge_bytes = segment->length,
    }, now_ms, &done);
    if (result != REASSEMBLY_QUEUED && result != REASSEMBLY_COMPLETE) {
        free(packet);
    }
    return result;
}

/* Adds [offset, offset + length) of the frame of 'total' bytes at 'bytes'. */
static enum reassembly_result
add_from(const uint8_t *bytes, uint32_t id, uint32_t offset, uint32_t length,
         uint32_t total, long long int now_ms)
{
    return add(&(struct sclp_segment) {
        .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = id,
        .is_first = !offset, .length = (uint16_t) length,
        .remaining = (uint16_t) (total - offset - length),
    }, bytes + offset, now_ms);
}

static enum reassembly_result
add_at(uint32_t offset, uint32_t length, uint32_t total)
{
    return add_from(frame, 2, offset, length, total, 0);
}

/* Adds the segments of 100 bytes, the last one of 7, in each order that begins
 * with the 'depth' in 'order'. */
static void
permute(uint32_t order[], uint32_t n, uint32_t depth, uint32_t *n_done)
{
    uint32_t total = (n - 1) * 100 + 7;

    if (n == 1) {
        total = 30;
    }
    for (uint32_t i = 0; depth < n && i < n; i++) {
        bool is_used = false;

        for (uint32_t j = 0; j < depth; j++) {
            is_used |= order[j] == i;
        }
        if (!is_used) {
            order[depth] = i;
            permute(order, n, depth + 1, n_done);
        }
    }
    for (uint32_t j = 0; depth == n && j < n; j++) {
        uint32_t offset = order[j] * 100;
        uint32_t left = total - offset;

        CHECK_EQ(add_at(offset, left < 100 ? left : 100, total),
                 j == n - 1 ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
        if (j == n - 1) {
            check_done(frame, total);
            CHECK_EQ(done.n_pieces, n);
            ++*n_done;
        }
    }
}

/* Those with the first segment last are among them. */
TEST(sclp_reassembly_every_order_up_to_five)
{
    uint32_t n_done = 0;
    uint32_t order[5];

    start();
    for (uint32_t n = 1; n <= 5; n++) {
        permute(order, n, 0, &n_done);
    }
    CHECK_EQ(n_done, 1 + 2 + 6 + 24 + 120);
    stop();
}

TEST(sclp_reassembly_of_the_slides)
{
    start();
    CHECK_EQ(add_at(0, 1468, 3000), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(1468, 1468, 3000), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(2936, 64, 3000), REASSEMBLY_COMPLETE);
    check_done(frame, 3000);
    stop();
}

/* All but the first are here: nobody knows how long the frame is. */
TEST(sclp_reassembly_nothing_without_the_first)
{
    start();
    for (uint32_t i = 1; i < 45; i++) {
        CHECK_EQ(add_at(i * 1456, 1456, 45 * 1456), REASSEMBLY_QUEUED);
    }
    CHECK_EQ(reassembly_stats(engine)->segments, 44);
    CHECK_EQ(add_at(0, 1456, 45 * 1456), REASSEMBLY_COMPLETE);
    check_done(frame, 45 * 1456);
    stop();
}

TEST(sclp_reassembly_first_lost)
{
    start();
    CHECK_EQ(add_at(100, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(200, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS - 1, 10), 0);
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS, 10), 1);
    CHECK_EQ(n_released, 2);
    stop();
}

TEST(sclp_reassembly_last_lost)
{
    start();
    CHECK_EQ(add_at(0, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(100, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS, 10), 1);
    CHECK_EQ(n_released, 2);
    stop();
}

/* 'remaining' counts on 200 bytes less than there are. */
TEST(sclp_reassembly_first_below_what_is_here)
{
    start();
    CHECK_EQ(add_at(100, 100, 1000), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(0, 100, 800), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_at(0, 100, 1000), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(200, 800, 1000), REASSEMBLY_COMPLETE);
    check_done(frame, 1000);
    stop();
}

TEST(sclp_reassembly_later_one_above_the_first)
{
    start();
    CHECK_EQ(add_at(0, 100, 800), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(100, 100, 1000), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_at(100, 700, 800), REASSEMBLY_COMPLETE);
    check_done(frame, 800);
    stop();
}

TEST(sclp_reassembly_remaining_off_by_some)
{
    start();
    CHECK_EQ(add_at(0, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(100, 100, 301), REASSEMBLY_OVERLAP);
    CHECK_EQ(add_at(100, 100, 299), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(200, 100, 300), REASSEMBLY_OVERLAP);
    CHECK_EQ(add_at(201, 99, 300), REASSEMBLY_QUEUED);

    /* A byte between the first two is missing; it never was sent. */
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS, 10), 1);
    CHECK_EQ(n_released, 3);
    stop();
}

TEST(sclp_reassembly_two_firsts)
{
    start();
    CHECK_EQ(add_at(0, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(0, 100, 300), REASSEMBLY_DUPLICATE);
    CHECK_EQ(add_at(0, 100, 400), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_at(0, 100, 200), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_at(0, 200, 300), REASSEMBLY_OVERLAP);
    CHECK_EQ(add_at(100, 200, 300), REASSEMBLY_COMPLETE);
    check_done(frame, 300);
    stop();
}

/* The segment in the first place lacks the flag: the frame has no first. */
TEST(sclp_reassembly_first_without_the_flag)
{
    static const struct sclp_segment unflagged = {
        .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = 2,
        .length = 100, .remaining = 200,
    };

    start();
    CHECK_EQ(add(&unflagged, frame, 0), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(100, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(200, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(reassembly_expire(engine, TIMEOUT_MS, 10), 1);
    stop();
}

/* The flag on a later segment: it claims a frame that ends where it begins. */
TEST(sclp_reassembly_flag_on_a_later_one)
{
    static const struct sclp_segment flagged = {
        .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = 2,
        .is_first = true, .length = 100, .remaining = 100,
    };

    start();
    CHECK_EQ(add_at(0, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add(&flagged, frame + 100, 0), REASSEMBLY_CONFLICT);
    CHECK_EQ(add_at(100, 100, 300), REASSEMBLY_QUEUED);
    CHECK_EQ(add_at(200, 100, 300), REASSEMBLY_COMPLETE);
    check_done(frame, 300);
    stop();
}

/* Ids. */

TEST(sclp_reassembly_id_reused_after_completion)
{
    start();
    for (int i = 0; i < 3; i++) {
        const uint8_t *bytes = i % 2 ? other : frame;

        CHECK_EQ(add_from(bytes, 2, 100, 100, 200, 0), REASSEMBLY_QUEUED);
        CHECK_EQ(add_from(bytes, 2, 0, 100, 200, 0), REASSEMBLY_COMPLETE);
        check_done(bytes, 200);
    }
    stop();
}

TEST(sclp_reassembly_id_reused_while_the_old_frame_waits)
{
    start();
    CHECK_EQ(add_from(frame, 2, 0, 100, 300, 0), REASSEMBLY_QUEUED);

    /* A frame of another size is told apart by its first segment ... */
    CHECK_EQ(add_from(other, 2, 0, 100, 200, 10), REASSEMBLY_CONFLICT);

    /* ... one that is complete by itself needs no table ... */
    CHECK_EQ(add_from(other, 2, 0, 100, 100, 10), REASSEMBLY_COMPLETE);
    check_done(other, 100);

    /* ... and once the old one is too old, the id is free. */
    CHECK_EQ(add_from(other, 2, 100, 100, 200, TIMEOUT_MS),
             REASSEMBLY_QUEUED);
    CHECK_EQ(n_released, 1);
    CHECK_EQ(add_from(other, 2, 0, 100, 200, TIMEOUT_MS),
             REASSEMBLY_COMPLETE);
    check_done(other, 200);
    stop();
}

TEST(sclp_reassembly_frames_interleaved)
{
    start();
    for (uint32_t i = 0; i < 30; i++) {
        for (uint32_t id = 0; id < 32; id++) {
            uint32_t at = (i + id) % 30 * 1000;

            CHECK_EQ(add_from(id % 2 ? other : frame, 2 * id, at, 1000, 30000,
                              0),
                     i == 29 ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
            if (i == 29) {
                check_done(id % 2 ? other : frame, 30000);
            }
        }
    }
    stop();
}

/* Level 1 before level 2. */

/* Merges the 'n' segments of 1000 bytes from segment 'from_index' on and adds
 * what that makes. */
static enum reassembly_result
add_merged(uint32_t from_index, uint32_t n, uint32_t total)
{
    struct sclp_segment merged;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t offset = (from_index + i) * 1000;
        struct sclp_segment s = {
            .src_port = 40000, .dst_port = SCLP_VXLAN_PORT, .id = 2,
            .is_first = !offset, .length = 1000,
            .remaining = (uint16_t) (total - offset - 1000),
        };

        if (!i) {
            merged = s;
        } else {
            CHECK(sclp_is_next(&from, &merged, &from, &s));
            sclp_merge(&merged, &s);
        }
    }
    return add(&merged, frame + from_index * 1000, 0);
}

TEST(sclp_reassembly_both_levels)
{
    start();
    for (uint32_t first = 1; first < 10; first++) {
        CHECK_EQ(add_merged(first, 10 - first, 10000), REASSEMBLY_QUEUED);
        CHECK_EQ(add_merged(0, first, 10000), REASSEMBLY_COMPLETE);
        CHECK_EQ(done.n_pieces, 2);
        check_done(frame, 10000);
    }
    CHECK_EQ(add_merged(0, 10, 10000), REASSEMBLY_COMPLETE);
    CHECK_EQ(reassembly_stats(engine)->single_frames, 1);
    check_done(frame, 10000);
    stop();
}

/* The largest frame in records of UDP super-packets of 44 and 1. */
TEST(sclp_reassembly_two_super_packets)
{
    static uint8_t packet[65535];
    struct sclp_outer outer = {
        .outer = { .src = 1, .dst = 2, .src_port = 40000,
                   .dst_port = SCLP_VXLAN_PORT, .id = 2, .ttl = 64 },
        .is_udp = true, .udp_src_port = 1, .udp_dst_port = SCLP_UDP_PORT,
    };
    size_t n = segment_count(65535, 1460);
    size_t n_added = 0;

    start();
    CHECK_EQ(n, 45);
    for (size_t i = 0; i < n; i += 44) {
        size_t n_here = n - i < 44 ? n - i : 44;
        uint8_t *end = packet + SCLP_UDP_SIZE;
        struct segment_slice slice;
        struct sclp_packet p;
        struct sclp_segment s;
        enum sclp_verdict verdict;
        uint32_t offset;

        CHECK_EQ(sclp_packet_put(packet, &slice, &outer, frame, 65535, 1460, i,
                                 n_here, true), 0);
        memcpy(end, frame + slice.offset, slice.length);
        end += slice.length;
        for (size_t j = 1; j < n_here; j++) {
            CHECK_EQ(sclp_record_put(end, &slice, &outer, 65535, 1460, i + j),
                     0);
            end += SCLP_HEADER_SIZE;
            memcpy(end, frame + slice.offset, slice.length);
            end += slice.length;
        }
        CHECK_EQ(sclp_packet_parse(&p, packet, (size_t) (end - packet),
                                   12 + 1460, SCLP_TRUST_UDP_CSUM), SCLP_OK);
        while (sclp_packet_next(&p, &s, &offset, &verdict)) {
            CHECK_EQ(verdict, SCLP_OK);
            n_added++;
            CHECK_EQ(add(&s, packet + offset, 0),
                     n_added == n ? REASSEMBLY_COMPLETE : REASSEMBLY_QUEUED);
        }
    }
    CHECK_EQ(n_added, n);
    check_done(frame, 65535);
    stop();
}
