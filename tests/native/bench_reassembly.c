/* SPDX-License-Identifier: Apache-2.0 */

/* How fast the reassembly engine is, in segments and frames a second: frames
 * of 45 segments, as 64 KB over an MTU of 1500 are cut.
 *
 *     cc -O2 -I native -o bench tests/native/bench_reassembly.c native/?*.c */

#define _POSIX_C_SOURCE 200809L

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "reassembly.h"

#define N_SEGMENTS 45
#define SEGMENT_BYTES 1440
#define TOTAL (N_SEGMENTS * SEGMENT_BYTES)
#define N_ROUNDS 7
#define ROUND_SEGMENTS (45 * 1000 * 60)

static struct reassembly *engine;
static uint64_t n_released;

static void
release(void *packet, enum reassembly_release why, void *aux)
{
    (void) packet;
    (void) why;
    (void) aux;
    n_released++;
}

static void
make_engine(void)
{
    struct reassembly_config config = {
        .max_frames = 4096, .max_segments = 65536, .max_pieces = 512,
        .max_runs = 64, .max_total = 65535,
        .max_charge_bytes = UINT64_C(1) << 30, .timeout_ms = 1000,
        .key_size = 12, .seed = { 5, 6 }, .release = release,
    };
    void *memory = malloc(reassembly_size(&config));

    engine = memory ? reassembly_init(memory, &config) : NULL;
    if (!engine) {
        exit(EXIT_FAILURE);
    }
}

static double
now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int
compare(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;

    return (*a > *b) - (*a < *b);
}

/* Segment 'index' of a frame in the order of the arm. */
typedef uint32_t order(uint32_t index);

static uint32_t
in_order(uint32_t index)
{
    return index;
}

static uint32_t
reversed(uint32_t index)
{
    return N_SEGMENTS - 1 - index;
}

static uint32_t
scattered(uint32_t index)
{
    return index * 23 % N_SEGMENTS;
}

/* Adds the first segment of a frame that nobody completes, as a hostile sender
 * does to fill the table. */
static void
attack(struct reassembly_frame *frame)
{
    static uint32_t id;
    uint32_t key[3] = { 666, 1, id++ };
    struct reassembly_segment s = {
        .packet = frame,
        .length = 6,
        .remaining = 60000,
        .total = 60006,
        .charge_bytes = 256,
    };

    reassembly_add(engine, key, &s, 0, frame);
}

/* Runs frames of 'n_flows' flows, a segment of each in turn, for one round;
 * with 'hostile' each is followed by one of an attack.  Returns segments per
 * second, without those of the attack. */
static double
run(order *place, uint32_t n_flows, bool hostile)
{
    static struct reassembly_piece pieces[512];
    struct reassembly_frame frame = { .pieces = pieces };
    uint64_t n_complete = 0;
    double begin = now_s();

    for (uint32_t n = 0, id = 0; n < ROUND_SEGMENTS;
         n += N_SEGMENTS * n_flows, id++) {
        for (uint32_t i = 0; i < N_SEGMENTS; i++) {
            uint32_t at = place(i);
            struct reassembly_segment s = {
                .packet = &frame,
                .length = SEGMENT_BYTES,
                .remaining = (N_SEGMENTS - 1 - at) * SEGMENT_BYTES,
                .total = TOTAL,
                .charge_bytes = SEGMENT_BYTES,
            };

            for (uint32_t flow = 0; flow < n_flows; flow++) {
                uint32_t key[3] = { flow, 1, id };

                n_complete += (reassembly_add(engine, key, &s, 0, &frame)
                               == REASSEMBLY_COMPLETE);
                if (hostile) {
                    attack(&frame);
                }
            }
        }
    }
    if (n_complete != ROUND_SEGMENTS / N_SEGMENTS
        || (n_released && !hostile)) {
        exit(EXIT_FAILURE);
    }
    return ROUND_SEGMENTS / (now_s() - begin);
}

static void
bench(const char *name, order *place, uint32_t n_flows, bool hostile)
{
    double rates[N_ROUNDS];
    double median;

    for (int i = 0; i < N_ROUNDS; i++) {
        rates[i] = run(place, n_flows, hostile);
    }
    qsort(rates, N_ROUNDS, sizeof *rates, compare);
    median = rates[N_ROUNDS / 2];
    printf("%-24s %6.1f ns/segment %8.2f M segments/s %7.0f k frames/s\n",
           name, 1e9 / median, median / 1e6, median / N_SEGMENTS / 1e3);
}

int
main(void)
{
    make_engine();
    bench("in order", in_order, 1, false);
    bench("reversed", reversed, 1, false);
    bench("scattered", scattered, 1, false);
    bench("1000 flows, in order", in_order, 1000, false);
    bench("1000 flows, scattered", scattered, 1000, false);
    bench("in order, under attack", in_order, 1, true);
    return EXIT_SUCCESS;
}
