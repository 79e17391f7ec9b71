/* SPDX-License-Identifier: Apache-2.0 */

/* Reassembly of frames from segments that arrive in any order.
 *
 * It knows no protocol: the caller says by a key which frame a segment belongs
 * to, how long it is and how much of the frame comes after it.  Counting from
 * the end serves STT, where each segment tells the total, and SCLP, where only
 * the first one does.
 *
 * Ownership.  The engine stores opaque pointers to the caller's packets, never
 * looks into a packet and copies no payload.  A packet belongs to the engine
 * from the moment reassembly_add() returns REASSEMBLY_QUEUED, until it is part
 * of a completed frame or is given to the 'release' callback.  With any other
 * return value the packet just added stays the caller's.
 *
 * Memory.  One block from the caller, sized by reassembly_size() and never
 * grown, holds all tables.  What the packets themselves take is the sum of the
 * charges that the caller names, and stays at or below 'max_charge_bytes'.
 * Where something is full, the frame whose first segment is oldest goes.
 *
 * Cost.  Adding a segment takes constant time: one keyed hash, or none if it
 * belongs to the same frame as the one before, and a walk over the holes of
 * its frame, of which 'max_runs' is the limit.  Expiry is constant per frame.
 *
 * Threads.  No globals; an engine is one shard and its lock is the caller's.
 */

#ifndef NVO3_REASSEMBLY_H
#define NVO3_REASSEMBLY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for two IPv6 addresses, two ports and a 64-bit id. */
#define REASSEMBLY_KEY_MAX 44

/* What happened to a segment.
 *
 * REASSEMBLY_RESULT(NAME, "name for counters", "explanation") */
#define REASSEMBLY_RESULTS                                                   \
    REASSEMBLY_RESULT(QUEUED, "queued", "kept until the rest arrives")       \
    REASSEMBLY_RESULT(COMPLETE, "complete", "the frame is complete")         \
    REASSEMBLY_RESULT(EMPTY, "empty", "segment without payload")             \
    REASSEMBLY_RESULT(TOO_LONG, "too_long",                                  \
                      "frame longer than the engine's limit")                \
    REASSEMBLY_RESULT(CONFLICT, "conflict",                                  \
                      "total, or place, contradicts earlier segments")       \
    REASSEMBLY_RESULT(DUPLICATE, "duplicate", "all of it is here already")   \
    REASSEMBLY_RESULT(OVERLAP, "overlap", "part of it is here already")      \
    REASSEMBLY_RESULT(TOO_MANY, "too_many",                                  \
                      "frame in more segments, or with more holes, than "    \
                      "the engine's limit")                                  \
    REASSEMBLY_RESULT(NO_ROOM, "no_room",                                    \
                      "frame was the oldest where memory ran out, or "       \
                      "the segment is larger than all memory")

enum reassembly_result {
#define REASSEMBLY_RESULT(NAME, SHORT, TEXT) REASSEMBLY_##NAME,
    REASSEMBLY_RESULTS
#undef REASSEMBLY_RESULT
    REASSEMBLY_N_RESULTS
};

/* Return the name that counters use, and what it means.  'result' may be any
 * value below REASSEMBLY_N_RESULTS. */
const char *reassembly_result_name(enum reassembly_result result);
const char *reassembly_result_text(enum reassembly_result result);

/* Why a packet that the engine owned comes back. */
enum reassembly_release {
    REASSEMBLY_EXPIRED,         /* The rest did not arrive in time. */
    REASSEMBLY_EVICTED,         /* Oldest when memory ran out. */
    REASSEMBLY_FLUSHED          /* reassembly_flush(). */
};

struct reassembly_config {
    uint32_t max_frames;        /* Unfinished frames, 1...2**22. */
    uint32_t max_segments;      /* Their segments, 1...2**22. */
    uint32_t max_pieces;        /* Segments of one frame, 2...65535. */
    uint32_t max_runs;          /* Groups of adjacent segments in one frame,
                                 * with holes between, 2...65535. */
    uint32_t max_total;         /* Bytes of one frame, 1...2**24. */
    uint64_t max_charge_bytes;  /* Sum of charges. */
    uint32_t timeout_ms;        /* From a frame's first segment, > 0. */
    uint32_t key_size;          /* 1...REASSEMBLY_KEY_MAX. */
    uint64_t seed[2];           /* Random, so that nobody can aim at one hash
                                 * bucket. */

    /* Takes back a packet.  It may not call into the same engine. */
    void (*release)(void *packet, enum reassembly_release why, void *aux);
    void *aux;
};

/* Counters count from reassembly_init() on; the last four are what is in
 * flight now. */
struct reassembly_stats {
    uint64_t results[REASSEMBLY_N_RESULTS]; /* Segments, by what became of
                                             * them. */
    uint64_t single_frames;     /* Completed by one segment, with no table. */
    uint64_t expired_frames;
    uint64_t expired_segments;
    uint64_t evicted_frames;
    uint64_t evicted_segments;
    uint64_t flushed_frames;
    uint64_t flushed_segments;

    uint64_t frames;
    uint64_t segments;
    uint64_t payload_bytes;
    uint64_t charge_bytes;
};

/* A segment on its way in. */
struct reassembly_segment {
    void *packet;               /* Opaque. */
    uint32_t length;            /* Bytes of the frame that it carries. */
    uint32_t remaining;         /* Bytes of the frame behind them. */
    uint32_t total;             /* Size of the frame, 0 where unknown. */
    uint32_t charge_bytes;      /* Memory that keeping 'packet' costs. */
    bool ce;                    /* Congestion experienced. */
};

/* A segment on its way out: 'length' bytes of the frame, at 'offset'. */
struct reassembly_piece {
    void *packet;
    uint32_t offset;
    uint32_t length;
};

/* A completed frame: pieces by offset, without a hole. */
struct reassembly_frame {
    struct reassembly_piece *pieces;    /* From the caller, with room for
                                         * 'max_pieces'. */
    uint32_t n_pieces;
    uint32_t total;
    bool ce;                            /* Of any piece (RFC 3168, 5.3). */
};

/* Opaque; lies in the caller's memory. */
struct reassembly;

/* Returns the bytes of memory that an engine with 'config' takes, or 0 if
 * 'config' is out of range. */
size_t reassembly_size(const struct reassembly_config *config);

/* Makes an engine in 'memory', aligned as malloc() aligns and of at least
 * reassembly_size() bytes, which it uses until the caller stops using it;
 * there is nothing to destroy after reassembly_flush().  Returns NULL if
 * 'config' is out of range. */
struct reassembly *reassembly_init(void *memory,
                                   const struct reassembly_config *config);

/* Adds 'segment' of the frame that the 'key_size' bytes at 'key' name.
 * 'now_ms' is from a clock that does not jump; where it goes back nothing
 * expires early.
 *
 * Returns REASSEMBLY_COMPLETE and fills '*frame', whose packets, the one just
 * added included, are the caller's; REASSEMBLY_QUEUED and owns the packet; or
 * why it does not take it.  Packets of other frames may be released. */
enum reassembly_result reassembly_add(struct reassembly *, const void *key,
                                      const struct reassembly_segment *segment,
                                      long long int now_ms,
                                      struct reassembly_frame *frame);

/* Releases frames older than the timeout, at most 'max_frames' of them.
 * Returns how many.  reassembly_add() does a little of it, too, so that a busy
 * engine keeps up by itself. */
uint32_t reassembly_expire(struct reassembly *, long long int now_ms,
                           uint32_t max_frames);

/* Returns when the next frame expires, or LLONG_MAX if there is none. */
long long int reassembly_next_expiry_ms(const struct reassembly *);

/* Releases everything. */
void reassembly_flush(struct reassembly *);

/* Valid as long as the engine's memory. */
const struct reassembly_stats *reassembly_stats(const struct reassembly *);

#endif /* reassembly.h */
