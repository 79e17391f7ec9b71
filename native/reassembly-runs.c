/* SPDX-License-Identifier: Apache-2.0 */

#include "reassembly-runs.h"

/* Segments come mostly in one order or the reverse, so the search starts where
 * the last one went. */
enum runs_room
runs_find(const struct runs *runs, const struct run_node *nodes, uint32_t low,
          uint32_t high, struct run_place *place)
{
    uint32_t after = runs->recent;
    uint32_t before = after == NIL ? NIL : nodes[after].run_prev;

    while (after != NIL && nodes[after].run_low >= high) {
        before = after;
        after = nodes[after].run_next;
    }
    while (before != NIL && nodes[before].run_low < high) {
        after = before;
        before = nodes[before].run_prev;
    }
    if (after != NIL && nodes[after].high > low) {
        return (nodes[after].run_low <= low && nodes[after].high >= high
                ? RUNS_COVERED : RUNS_OVERLAP);
    }
    *place = (struct run_place) { .before = before, .after = after };
    return RUNS_FREE;
}

static bool
touches_before(const struct run_node *nodes, const struct run_place *place,
               uint32_t high)
{
    return place->before != NIL && nodes[place->before].run_low == high;
}

static bool
touches_after(const struct run_node *nodes, const struct run_place *place,
              uint32_t low)
{
    return place->after != NIL && nodes[place->after].high == low;
}

bool
runs_touch(const struct run_node *nodes, const struct run_place *place,
           uint32_t low, uint32_t high)
{
    return (touches_before(nodes, place, high)
            || touches_after(nodes, place, low));
}

/* Lets the neighbours of run 'i' point to it. */
static void
link_run(struct runs *runs, struct run_node *nodes, uint32_t i)
{
    uint32_t prev = nodes[i].run_prev;
    uint32_t next = nodes[i].run_next;

    *(prev == NIL ? &runs->first : &nodes[prev].run_next) = i;
    if (next != NIL) {
        nodes[next].run_prev = i;
    }
}

/* Appends the run after run 'i' to run 'i', which it touches. */
static void
join_next(struct runs *runs, struct run_node *nodes, uint32_t i)
{
    struct run_node *run = &nodes[i];
    const struct run_node *next = &nodes[run->run_next];

    nodes[run->run_last].next = run->run_next;
    run->run_low = next->run_low;
    run->run_last = next->run_last;
    run->run_next = next->run_next;
    link_run(runs, nodes, i);
    runs->n--;
}

void
runs_insert(struct runs *runs, struct run_node *nodes, uint32_t i,
            const struct run_place *place)
{
    struct run_node *node = &nodes[i];

    node->next = NIL;
    node->run_low = node->low;
    node->run_last = i;
    node->run_prev = place->before;
    node->run_next = place->after;
    link_run(runs, nodes, i);
    runs->n++;
    runs->recent = i;
    if (touches_after(nodes, place, node->low)) {
        join_next(runs, nodes, i);
    }
    if (touches_before(nodes, place, node->high)) {
        join_next(runs, nodes, place->before);
        runs->recent = place->before;
    }
}
