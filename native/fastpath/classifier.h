/* SPDX-License-Identifier: Apache-2.0 */

/* Tuple space search: rules with equal masks share a hash table, so a lookup
 * costs one probe for each mask, however many rules there are.  Tables are
 * tried by the highest priority in them, and none that cannot win. */

#ifndef FASTPATH_CLASSIFIER_H
#define FASTPATH_CLASSIFIER_H 1

#include <stddef.h>
#include <stdint.h>

#include "flow-key.h"

struct tuple;

/* Part of a flow entry; all of it is the classifier's. */
struct rule {
    struct flow_key key;
    struct tuple *tuple;
    struct rule *next;          /* In a bucket, by falling priority. */
    uint32_t priority;
    uint32_t hash;
};

struct classifier {
    struct tuple **tuples;      /* By falling highest priority. */
    size_t n_tuples;
    size_t n_allocated;

    /* What lookups have cost. */
    uint64_t n_lookups;
    uint64_t n_compared;        /* Rules that were looked at. */
};

void classifier_init(struct classifier *);

/* Frees what the classifier has made; rules are the caller's. */
void classifier_destroy(struct classifier *);

/* Adds 'rule' with 'key', within 'mask'.  Rules may be the same but for their
 * identity; which of two with equal priority is found is not said.  Returns 0
 * or ENOMEM. */
int classifier_insert(struct classifier *, struct rule *,
                      const struct flow_key *key, const struct flow_key *mask,
                      uint32_t priority);
void classifier_remove(struct classifier *, struct rule *);

/* Returns the rule with just this key, mask and priority, or NULL. */
struct rule *classifier_find(const struct classifier *,
                             const struct flow_key *key,
                             const struct flow_key *mask, uint32_t priority);

/* Returns the rule of highest priority that matches 'key', or NULL. */
struct rule *classifier_lookup(struct classifier *,
                               const struct flow_key *key);

#endif /* classifier.h */
