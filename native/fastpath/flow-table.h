/* SPDX-License-Identifier: Apache-2.0 */

/* The flow table: entries, found by packet, by match or by id.  Its lock is the
 * caller's. */

#ifndef FASTPATH_FLOW_TABLE_H
#define FASTPATH_FLOW_TABLE_H 1

#include <stdint.h>

#include "action.h"
#include "classifier.h"
#include "fastpath.h"
#include "flow-cache.h"

struct flow_entry {
    struct rule rule;                   /* First: a rule is its entry. */
    uint64_t id;                        /* 0: free. */
    struct action_list *actions;
    struct fastpath_flow_stats stats;
    struct flow_entry *next_free;
};

struct flow_table {
    struct classifier classifier;
    struct flow_cache cache;
    struct flow_entry *entries;
    struct flow_entry *free;
    uint32_t max_entries;
    uint32_t n_used;                    /* Entries that ever had an id. */
    uint64_t serial;                    /* Of the last entry made. */
};

/* Makes an empty table.  Returns 0 or ENOMEM. */
int flow_table_init(struct flow_table *, uint32_t max_entries);
void flow_table_destroy(struct flow_table *);

/* See fastpath_add() and the others in fastpath.h. */
int flow_table_add(struct flow_table *, const uint8_t *match,
                   uint16_t priority, const uint8_t *actions,
                   size_t actions_size, int64_t now_ms, uint64_t *id);
int flow_table_modify(struct flow_table *, uint64_t id,
                      const uint8_t *actions, size_t actions_size);
int flow_table_delete(struct flow_table *, uint64_t id,
                      struct fastpath_flow_stats *stats);
void flow_table_clear(struct flow_table *);

/* Returns the entry 'id', or NULL. */
struct flow_entry *flow_table_get(const struct flow_table *, uint64_t id);

/* Returns the entry for a packet with 'key', or NULL. */
static inline struct flow_entry *
flow_table_lookup(struct flow_table *t, const struct flow_key *key)
{
    return (struct flow_entry *) flow_cache_lookup(&t->cache, &t->classifier,
                                                   key);
}

#endif /* flow-table.h */
