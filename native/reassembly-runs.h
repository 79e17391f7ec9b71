/* SPDX-License-Identifier: Apache-2.0 */

/* The segments of one unfinished frame, in order, for reassembly.c.
 *
 * Positions count from the end of the frame: a node covers [low, high), and
 * the first byte of the frame has the highest position.  Adjacent nodes form a
 * run, a list from high to low; a frame has a list of runs, also from high to
 * low, with holes between.  Links are indexes into the engine's table of
 * nodes, the parameter 'nodes' below. */

#ifndef NVO3_REASSEMBLY_RUNS_H
#define NVO3_REASSEMBLY_RUNS_H 1

#include <stdbool.h>
#include <stdint.h>

/* No index. */
#define NIL UINT32_MAX

/* A segment.  What describes the run stands in its first node. */
struct run_node {
    void *packet;
    uint32_t low;
    uint32_t high;
    uint32_t next;              /* Following one in the run, or free list. */

    uint32_t run_low;           /* The run covers [run_low, high). */
    uint32_t run_last;          /* Its last node. */
    uint32_t run_prev;          /* Neighbouring runs; 'prev' is higher. */
    uint32_t run_next;
};

struct runs {
    uint32_t first;             /* Highest run, by its first node. */
    uint32_t recent;            /* Run that the last segment went to. */
    uint32_t n;
};

/* No runs yet. */
#define RUNS_NONE ((struct runs) { .first = NIL, .recent = NIL, .n = 0 })

/* Whether there is room for a segment. */
enum runs_room {
    RUNS_FREE,                  /* None of its bytes is here. */
    RUNS_COVERED,               /* All of them are. */
    RUNS_OVERLAP                /* Some are. */
};

/* The runs on both sides of a place that is free, or NIL. */
struct run_place {
    uint32_t before;            /* Its bytes come earlier in the frame. */
    uint32_t after;
};

/* Looks for [low, high) and stores where it goes in '*place', if it is
 * RUNS_FREE. */
enum runs_room runs_find(const struct runs *, const struct run_node *nodes,
                         uint32_t low, uint32_t high,
                         struct run_place *place);

/* Returns true if [low, high) at 'place' is adjacent to a run. */
bool runs_touch(const struct run_node *nodes, const struct run_place *place,
                uint32_t low, uint32_t high);

/* Puts node 'i', of which 'packet', 'low' and 'high' are set, at 'place',
 * which runs_find() gave for it. */
void runs_insert(struct runs *, struct run_node *nodes, uint32_t i,
                 const struct run_place *place);

#endif /* reassembly-runs.h */
