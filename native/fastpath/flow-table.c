/* SPDX-License-Identifier: Apache-2.0 */

#include "flow-table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "match.h"

int
flow_table_init(struct flow_table *t, uint32_t max_entries)
{
    memset(t, 0, sizeof *t);
    classifier_init(&t->classifier);
    flow_cache_init(&t->cache);
    t->max_entries = max_entries;
    t->entries = calloc(max_entries, sizeof *t->entries);
    return t->entries ? 0 : ENOMEM;
}

void
flow_table_destroy(struct flow_table *t)
{
    flow_table_clear(t);
    classifier_destroy(&t->classifier);
    free(t->entries);
}

/* An id is a serial number and the place of the entry. */
struct flow_entry *
flow_table_get(const struct flow_table *t, uint64_t id)
{
    struct flow_entry *e = &t->entries[id % t->max_entries];

    return id && e->id == id ? e : NULL;
}

/* Returns an entry that is nobody's, or NULL. */
static struct flow_entry *
entry_create(struct flow_table *t)
{
    struct flow_entry *e = t->free;

    if (e) {
        t->free = e->next_free;
    } else if (t->n_used < t->max_entries) {
        e = &t->entries[t->n_used++];
    }
    return e;
}

static void
entry_free(struct flow_table *t, struct flow_entry *e)
{
    free(e->actions);
    e->actions = NULL;
    e->id = 0;
    e->next_free = t->free;
    t->free = e;
}

static void
entry_delete(struct flow_table *t, struct flow_entry *e)
{
    classifier_remove(&t->classifier, &e->rule);
    flow_cache_invalidate(&t->cache);
    entry_free(t, e);
}

int
flow_table_add(struct flow_table *t, const uint8_t *match, uint16_t priority_,
               const uint8_t *actions, size_t actions_size, int64_t now_ms,
               uint64_t *id)
{
    uint32_t priority = priority_;
    struct action_list *list;
    struct flow_key key, mask;
    struct flow_entry *e, *old;
    int error;

    if (match_parse(&key, &mask, &priority, match)) {
        return FASTPATH_BAD_MATCH;
    }
    error = action_parse(&list, actions, actions_size);
    if (error) {
        return error;
    }
    old = (struct flow_entry *) classifier_find(&t->classifier, &key, &mask,
                                                priority);
    if (old) {
        entry_delete(t, old);
    }
    e = entry_create(t);
    if (!e) {
        free(list);
        return FASTPATH_TABLE_FULL;
    }
    e->actions = list;
    if (classifier_insert(&t->classifier, &e->rule, &key, &mask, priority)) {
        entry_free(t, e);
        return FASTPATH_NO_MEMORY;
    }
    e->id = ++t->serial * t->max_entries + (uint64_t) (e - t->entries);
    e->stats = (struct fastpath_flow_stats) { .used_ms = now_ms };
    flow_cache_invalidate(&t->cache);
    *id = e->id;
    return 0;
}

int
flow_table_modify(struct flow_table *t, uint64_t id, const uint8_t *actions,
                  size_t actions_size)
{
    struct flow_entry *e = flow_table_get(t, id);
    struct action_list *list;
    int error;

    if (!e) {
        return FASTPATH_NO_ENTRY;
    }
    error = action_parse(&list, actions, actions_size);
    if (!error) {
        free(e->actions);
        e->actions = list;
    }
    return error;
}

int
flow_table_delete(struct flow_table *t, uint64_t id,
                  struct fastpath_flow_stats *stats)
{
    struct flow_entry *e = flow_table_get(t, id);

    if (!e) {
        return FASTPATH_NO_ENTRY;
    }
    if (stats) {
        *stats = e->stats;
    }
    entry_delete(t, e);
    return 0;
}

void
flow_table_clear(struct flow_table *t)
{
    for (uint32_t i = 0; i < t->n_used; i++) {
        if (t->entries[i].id) {
            entry_delete(t, &t->entries[i]);
        }
    }
}
