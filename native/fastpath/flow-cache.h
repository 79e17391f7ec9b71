/* SPDX-License-Identifier: Apache-2.0 */

/* What the classifier has found for exact flows lately.  It is bounded: a flow
 * takes the place of another one with the same hash.  A change of the table
 * makes all of it worthless at once, by its generation. */

#ifndef FASTPATH_FLOW_CACHE_H
#define FASTPATH_FLOW_CACHE_H 1

#include "classifier.h"

#define FLOW_CACHE_SLOTS 8192           /* A power of two. */

struct flow_cache_slot {
    struct flow_key key;
    uint64_t generation;
    struct rule *rule;                  /* NULL: nothing matches. */
};

struct flow_cache {
    uint64_t generation;                /* Slots of others are empty. */
    struct flow_cache_slot slots[FLOW_CACHE_SLOTS];
};

/* Makes an empty cache. */
void flow_cache_init(struct flow_cache *);

/* Forgets everything. */
void flow_cache_invalidate(struct flow_cache *);

/* Returns what classifier_lookup() does. */
struct rule *flow_cache_lookup(struct flow_cache *, struct classifier *,
                               const struct flow_key *);

#endif /* flow-cache.h */
