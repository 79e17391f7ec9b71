/* SPDX-License-Identifier: Apache-2.0 */

/* From segments of STT and SCLP to the frames of tunnels.
 *
 * Level 1 joins segments that follow one another in a received batch, or in a
 * super-packet; level 2 is the engine of reassembly.h, which keeps what is not
 * complete then.  What is kept is bounded: bytes, frames, segments, time. */

#ifndef FASTPATH_ASSEMBLY_H
#define FASTPATH_ASSEMBLY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "packet.h"
#include "reassembly.h"
#include "sclp.h"

#define ASSEMBLY_FRAMES 1024
#define ASSEMBLY_SEGMENTS 8192
#define ASSEMBLY_PIECES 512             /* Of a frame: 64 KB at an MTU of 180. */
#define ASSEMBLY_BYTES (16 << 20)
#define ASSEMBLY_TIMEOUT_MS 500

/* A segment, of whatever protocol. */
struct assembly_segment {
    uint8_t key[SCLP_KEY_SIZE];
    uint32_t length;
    uint32_t remaining;
    uint32_t total;             /* 0: it does not say. */
    bool ce;
};

struct assembly {
    struct buffers *buffers;
    struct counters *counters;
    struct reassembly *engine;
    struct reassembly_piece pieces[ASSEMBLY_PIECES];

    /* Level 1: 'run_segment' is what 'run', NULL if nothing, has grown to. */
    struct packet *run;
    struct assembly_segment run_segment;

    /* Complete frames. */
    struct packet *ready;
    struct packet **ready_end;
};

/* Makes an engine with a random 'seed'.  Returns 0 or ENOMEM. */
int assembly_init(struct assembly *, struct buffers *, struct counters *,
                  const uint64_t seed[2]);
void assembly_destroy(struct assembly *);

/* Takes 'packet', for which tunnel_of() gave STT or SCLP and whose IPv4 header
 * is at 'l3'. */
void assembly_add(struct assembly *, struct packet *, size_t l3,
                  unsigned int type, int64_t now_ms);

/* Ends the batch: level 1 has no more neighbours to wait for. */
void assembly_finish(struct assembly *, int64_t now_ms);

/* Returns a complete frame behind the outer headers of its first segment, with
 * 'tunnel' filled in, or NULL if there is none. */
struct packet *assembly_next(struct assembly *);

#endif /* assembly.h */
