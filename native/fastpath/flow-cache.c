/* SPDX-License-Identifier: Apache-2.0 */

#include "flow-cache.h"

#include <string.h>

#include "hash.h"

void
flow_cache_init(struct flow_cache *cache)
{
    memset(cache, 0, sizeof *cache);
    cache->generation = 1;
}

void
flow_cache_invalidate(struct flow_cache *cache)
{
    cache->generation++;
}

struct rule *
flow_cache_lookup(struct flow_cache *cache, struct classifier *c,
                  const struct flow_key *key)
{
    uint64_t hash = HASH_BASIS;
    struct flow_cache_slot *slot;

    for (size_t i = 0; i < FLOW_KEY_WORDS; i++) {
        hash = hash_add(hash, key->words[i]);
    }
    slot = &cache->slots[hash_finish(hash) % FLOW_CACHE_SLOTS];
    if (slot->generation != cache->generation
        || memcmp(slot->key.words, key->words, sizeof key->words)) {
        slot->key = *key;
        slot->generation = cache->generation;
        slot->rule = classifier_lookup(c, key);
    }
    return slot->rule;
}
