/* SPDX-License-Identifier: Apache-2.0 */

#include "classifier.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define BUCKETS_MIN 16

/* How many rules of a tuple have a priority. */
struct level {
    uint32_t priority;
    uint32_t n;
};

/* The rules with one mask. */
struct tuple {
    struct flow_key mask;
    struct rule **buckets;
    uint32_t bucket_mask;
    uint32_t n_rules;
    struct level *levels;       /* By falling priority; none has n = 0. */
    size_t n_levels;
    size_t n_levels_allocated;
};

static uint32_t
hash_masked(const struct flow_key *key, const struct flow_key *mask)
{
    uint64_t hash = HASH_BASIS;

    for (size_t i = 0; i < FLOW_KEY_WORDS; i++) {
        if (mask->words[i]) {
            hash = hash_add(hash, key->words[i] & mask->words[i]);
        }
    }
    return hash_finish(hash);
}

static bool
is_equal(const struct flow_key *a, const struct flow_key *b)
{
    return !memcmp(a->words, b->words, sizeof a->words);
}

/* Returns true if 'key' within 'mask' is 'masked'. */
static bool
is_match(const struct flow_key *masked, const struct flow_key *key,
         const struct flow_key *mask)
{
    uint64_t difference = 0;

    for (size_t i = 0; i < FLOW_KEY_WORDS; i++) {
        difference |= (key->words[i] & mask->words[i]) ^ masked->words[i];
    }
    return !difference;
}

/* Makes room for one more element of 'size' bytes in '*array' of 'n'. */
static int
reserve(void **array, size_t n, size_t *n_allocated, size_t size)
{
    size_t n_new = *n_allocated ? 2 * *n_allocated : 4;
    void *grown;

    if (n < *n_allocated) {
        return 0;
    }
    grown = realloc(*array, n_new * size);
    if (!grown) {
        return ENOMEM;
    }
    *array = grown;
    *n_allocated = n_new;
    return 0;
}

/* Levels: what tells a tuple's highest priority. */

/* Returns where in the levels of 'tuple' 'priority' is or belongs. */
static size_t
level_at(const struct tuple *t, uint32_t priority)
{
    size_t low = 0, high = t->n_levels;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (t->levels[middle].priority > priority) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool
is_level(const struct tuple *t, size_t i, uint32_t priority)
{
    return i < t->n_levels && t->levels[i].priority == priority;
}

static int
level_add(struct tuple *t, uint32_t priority)
{
    size_t i = level_at(t, priority);
    void *levels = t->levels;

    if (is_level(t, i, priority)) {
        t->levels[i].n++;
        return 0;
    }
    if (reserve(&levels, t->n_levels, &t->n_levels_allocated,
                sizeof *t->levels)) {
        return ENOMEM;
    }
    t->levels = levels;
    memmove(&t->levels[i + 1], &t->levels[i],
            (t->n_levels - i) * sizeof *t->levels);
    t->levels[i] = (struct level) { .priority = priority, .n = 1 };
    t->n_levels++;
    return 0;
}

static void
level_remove(struct tuple *t, uint32_t priority)
{
    size_t i = level_at(t, priority);

    if (!--t->levels[i].n) {
        t->n_levels--;
        memmove(&t->levels[i], &t->levels[i + 1],
                (t->n_levels - i) * sizeof *t->levels);
    }
}

static uint32_t
highest(const struct tuple *t)
{
    return t->n_levels ? t->levels[0].priority : 0;
}

/* Tuples. */

static struct tuple *
tuple_find(const struct classifier *c, const struct flow_key *mask)
{
    for (size_t i = 0; i < c->n_tuples; i++) {
        if (is_equal(&c->tuples[i]->mask, mask)) {
            return c->tuples[i];
        }
    }
    return NULL;
}

static struct tuple *
tuple_create(const struct flow_key *mask)
{
    struct tuple *t = calloc(1, sizeof *t);

    if (t) {
        t->mask = *mask;
        t->buckets = calloc(BUCKETS_MIN, sizeof *t->buckets);
        t->bucket_mask = BUCKETS_MIN - 1;
        if (!t->buckets) {
            free(t);
            t = NULL;
        }
    }
    return t;
}

static void
tuple_destroy(struct tuple *t)
{
    free(t->buckets);
    free(t->levels);
    free(t);
}

static struct tuple *
tuple_obtain(struct classifier *c, const struct flow_key *mask)
{
    struct tuple *t = tuple_find(c, mask);
    void *tuples = c->tuples;

    if (t) {
        return t;
    }
    if (reserve(&tuples, c->n_tuples, &c->n_allocated, sizeof *c->tuples)) {
        return NULL;
    }
    c->tuples = tuples;
    t = tuple_create(mask);
    if (t) {
        c->tuples[c->n_tuples++] = t;
    }
    return t;
}

/* Frees 'tuple' if nothing is in it any more. */
static void
tuple_release(struct classifier *c, struct tuple *t)
{
    size_t i = 0;

    if (t->n_rules) {
        return;
    }
    while (c->tuples[i] != t) {
        i++;
    }
    c->n_tuples--;
    memmove(&c->tuples[i], &c->tuples[i + 1],
            (c->n_tuples - i) * sizeof *c->tuples);
    tuple_destroy(t);
}

/* Puts the tuples in order after one has changed its place. */
static void
tuples_sort(struct classifier *c)
{
    for (size_t i = 1; i < c->n_tuples; i++) {
        struct tuple *t = c->tuples[i];
        size_t j = i;

        for (; j && highest(c->tuples[j - 1]) < highest(t); j--) {
            c->tuples[j] = c->tuples[j - 1];
        }
        c->tuples[j] = t;
    }
}

static void
bucket_insert(struct tuple *t, struct rule *rule)
{
    struct rule **link = &t->buckets[rule->hash & t->bucket_mask];

    while (*link && (*link)->priority > rule->priority) {
        link = &(*link)->next;
    }
    rule->next = *link;
    *link = rule;
}

/* Doubles the buckets of 'tuple'.  Where there is no memory chains grow. */
static void
tuple_grow(struct tuple *t)
{
    uint32_t n = t->bucket_mask + 1;
    struct rule **old = t->buckets;
    struct rule **buckets = calloc(2 * n, sizeof *buckets);

    if (!buckets) {
        return;
    }
    t->buckets = buckets;
    t->bucket_mask = 2 * n - 1;
    for (uint32_t i = 0; i < n; i++) {
        for (struct rule *rule = old[i], *next; rule; rule = next) {
            next = rule->next;
            bucket_insert(t, rule);
        }
    }
    free(old);
}

void
classifier_init(struct classifier *c)
{
    memset(c, 0, sizeof *c);
}

void
classifier_destroy(struct classifier *c)
{
    for (size_t i = 0; i < c->n_tuples; i++) {
        tuple_destroy(c->tuples[i]);
    }
    free(c->tuples);
}

int
classifier_insert(struct classifier *c, struct rule *rule,
                  const struct flow_key *key, const struct flow_key *mask,
                  uint32_t priority)
{
    struct tuple *t = tuple_obtain(c, mask);

    if (!t) {
        return ENOMEM;
    }
    if (level_add(t, priority)) {
        tuple_release(c, t);
        return ENOMEM;
    }
    rule->key = *key;
    rule->tuple = t;
    rule->priority = priority;
    rule->hash = hash_masked(key, mask);
    bucket_insert(t, rule);
    if (++t->n_rules > t->bucket_mask) {
        tuple_grow(t);
    }
    tuples_sort(c);
    return 0;
}

void
classifier_remove(struct classifier *c, struct rule *rule)
{
    struct tuple *t = rule->tuple;
    struct rule **link = &t->buckets[rule->hash & t->bucket_mask];

    while (*link != rule) {
        link = &(*link)->next;
    }
    *link = rule->next;
    level_remove(t, rule->priority);
    t->n_rules--;
    tuple_release(c, t);
    tuples_sort(c);
}

struct rule *
classifier_find(const struct classifier *c, const struct flow_key *key,
                const struct flow_key *mask, uint32_t priority)
{
    struct tuple *t = tuple_find(c, mask);
    uint32_t hash = hash_masked(key, mask);
    struct rule *rule = t ? t->buckets[hash & t->bucket_mask] : NULL;

    while (rule && (rule->hash != hash || rule->priority != priority
                    || !is_equal(&rule->key, key))) {
        rule = rule->next;
    }
    return rule;
}

struct rule *
classifier_lookup(struct classifier *c, const struct flow_key *key)
{
    struct rule *best = NULL;

    c->n_lookups++;
    for (size_t i = 0; i < c->n_tuples; i++) {
        const struct tuple *t = c->tuples[i];
        struct rule *rule;
        uint32_t hash;

        if (best && best->priority >= highest(t)) {
            break;
        }
        hash = hash_masked(key, &t->mask);
        rule = t->buckets[hash & t->bucket_mask];
        for (; rule; rule = rule->next) {
            c->n_compared++;
            if (rule->hash == hash && is_match(&rule->key, key, &t->mask)) {
                break;
            }
        }
        if (rule && (!best || rule->priority > best->priority)) {
            best = rule;
        }
    }
    return best;
}
