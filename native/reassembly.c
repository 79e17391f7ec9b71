/* SPDX-License-Identifier: Apache-2.0 */

#include "reassembly.h"

#include <limits.h>
#include <string.h>

#include "reassembly-runs.h"
#include "siphash.h"

#define MAX_TABLE (1u << 22)
#define MAX_TOTAL (1u << 24)

/* Frames that adding a segment may expire.  Each segment begins at most one
 * frame, so two keep up with any rate. */
#define EXPIRE_PER_ADD 2

/* An unfinished frame.  Tables are arrays in the caller's memory, links are
 * indexes into them. */
struct entry {
    long long int created_ms;
    uint64_t hash;
    uint64_t charge_bytes;
    uint32_t hash_next;         /* Chain in the bucket, or free list. */
    uint32_t age_prev;          /* List by age; 'prev' is older. */
    uint32_t age_next;

    struct runs runs;
    uint32_t n_nodes;
    uint32_t received;          /* Bytes. */
    uint32_t extent;            /* Highest position seen. */
    uint32_t total;             /* 0 until known. */
    bool ce;
    uint8_t key[REASSEMBLY_KEY_MAX];
};

struct reassembly {
    struct reassembly_config config;
    struct reassembly_stats stats;
    struct entry *entries;
    struct run_node *nodes;
    uint32_t *buckets;
    uint32_t bucket_mask;
    uint32_t free_entry;
    uint32_t free_node;
    uint32_t oldest;
    uint32_t youngest;
    uint32_t recent;            /* Entry of the last segment, or NIL. */
};

static const struct {
    const char *name;
    const char *text;
} results[] = {
#define REASSEMBLY_RESULT(NAME, SHORT, TEXT) { SHORT, TEXT },
    REASSEMBLY_RESULTS
#undef REASSEMBLY_RESULT
};

const char *
reassembly_result_name(enum reassembly_result result)
{
    return results[result].name;
}

const char *
reassembly_result_text(enum reassembly_result result)
{
    return results[result].text;
}

/* Setting up. */

static bool
is_in_range(uint32_t value, uint32_t min, uint32_t max)
{
    return value >= min && value <= max;
}

static bool
is_config_valid(const struct reassembly_config *config)
{
    return (is_in_range(config->max_frames, 1, MAX_TABLE)
            && is_in_range(config->max_segments, 1, MAX_TABLE)
            && is_in_range(config->max_pieces, 2, UINT16_MAX)
            && is_in_range(config->max_runs, 2, UINT16_MAX)
            && is_in_range(config->max_total, 1, MAX_TOTAL)
            && is_in_range(config->key_size, 1, REASSEMBLY_KEY_MAX)
            && config->timeout_ms && config->release);
}

/* Returns a power of two, at least as many as there are frames. */
static uint32_t
n_buckets(const struct reassembly_config *config)
{
    uint32_t n = 1;

    while (n < config->max_frames) {
        n *= 2;
    }
    return n;
}

/* Returns 'size' rounded up so that any type may follow. */
static size_t
aligned(size_t size)
{
    size_t alignment = _Alignof(max_align_t);

    return (size + alignment - 1) / alignment * alignment;
}

size_t
reassembly_size(const struct reassembly_config *config)
{
    if (!is_config_valid(config)) {
        return 0;
    }
    return (aligned(sizeof(struct reassembly))
            + aligned(config->max_frames * sizeof(struct entry))
            + aligned(config->max_segments * sizeof(struct run_node))
            + n_buckets(config) * sizeof(uint32_t));
}

struct reassembly *
reassembly_init(void *memory, const struct reassembly_config *config)
{
    struct reassembly *r = memory;
    uint8_t *p = memory;

    if (!is_config_valid(config)) {
        return NULL;
    }
    memset(r, 0, sizeof *r);
    r->config = *config;
    p += aligned(sizeof *r);
    r->entries = (void *) p;
    p += aligned(config->max_frames * sizeof *r->entries);
    r->nodes = (void *) p;
    p += aligned(config->max_segments * sizeof *r->nodes);
    r->buckets = (void *) p;
    r->bucket_mask = n_buckets(config) - 1;
    memset(r->buckets, 0xff, (r->bucket_mask + 1) * sizeof *r->buckets);

    for (uint32_t i = 0; i < config->max_frames; i++) {
        r->entries[i].hash_next = i + 1 < config->max_frames ? i + 1 : NIL;
    }
    for (uint32_t i = 0; i < config->max_segments; i++) {
        r->nodes[i].next = i + 1 < config->max_segments ? i + 1 : NIL;
    }
    r->oldest = r->youngest = r->recent = NIL;
    return r;
}

/* Entries: by key, and by age. */

static uint64_t
hash_key(const struct reassembly *r, const void *key)
{
    return siphash13(r->config.seed, key, r->config.key_size);
}

static bool
has_key(const struct reassembly *r, const struct entry *e, const void *key)
{
    return !memcmp(e->key, key, r->config.key_size);
}

/* Returns the entry of 'key', whose hash is 'hash', or NIL. */
static uint32_t
find_entry(const struct reassembly *r, const void *key, uint64_t hash)
{
    uint32_t i = r->buckets[hash & r->bucket_mask];

    while (i != NIL) {
        const struct entry *e = &r->entries[i];

        if (e->hash == hash && has_key(r, e, key)) {
            break;
        }
        i = e->hash_next;
    }
    return i;
}

/* Makes an entry; there must be a free one. */
static uint32_t
add_entry(struct reassembly *r, const void *key, uint64_t hash,
          long long int now_ms)
{
    uint32_t i = r->free_entry;
    struct entry *e = &r->entries[i];
    uint32_t *bucket = &r->buckets[hash & r->bucket_mask];

    r->free_entry = e->hash_next;
    memset(e, 0, offsetof(struct entry, key));
    memcpy(e->key, key, r->config.key_size);
    e->created_ms = now_ms;
    e->hash = hash;
    e->hash_next = *bucket;
    *bucket = i;
    e->runs = RUNS_NONE;

    e->age_prev = r->youngest;
    e->age_next = NIL;
    *(r->youngest == NIL ? &r->oldest
      : &r->entries[r->youngest].age_next) = i;
    r->youngest = i;
    r->stats.frames++;
    return i;
}

/* Forgets entry 'i', whose nodes are free already. */
static void
remove_entry(struct reassembly *r, uint32_t i)
{
    struct entry *e = &r->entries[i];
    uint32_t *link = &r->buckets[e->hash & r->bucket_mask];

    while (*link != i) {
        struct entry *other = &r->entries[*link];

        link = &other->hash_next;
    }
    *link = e->hash_next;
    *(e->age_prev == NIL ? &r->oldest
      : &r->entries[e->age_prev].age_next) = e->age_next;
    *(e->age_next == NIL ? &r->youngest
      : &r->entries[e->age_next].age_prev) = e->age_prev;
    if (r->recent == i) {
        r->recent = NIL;
    }
    e->hash_next = r->free_entry;
    r->free_entry = i;

    r->stats.frames--;
    r->stats.segments -= e->n_nodes;
    r->stats.payload_bytes -= e->received;
    r->stats.charge_bytes -= e->charge_bytes;
}

static void
free_node(struct reassembly *r, uint32_t i)
{
    r->nodes[i].next = r->free_node;
    r->free_node = i;
}

/* Drops entry 'i' and gives its packets back. */
static void
release_entry(struct reassembly *r, uint32_t i, enum reassembly_release why)
{
    uint32_t run = r->entries[i].runs.first;

    while (run != NIL) {
        uint32_t next_run = r->nodes[run].run_next;

        for (uint32_t n = run, next; n != NIL; n = next) {
            next = r->nodes[n].next;
            r->config.release(r->nodes[n].packet, why, r->config.aux);
            free_node(r, n);
        }
        run = next_run;
    }
    remove_entry(r, i);
}

static void
evict_oldest(struct reassembly *r)
{
    r->stats.evicted_frames++;
    r->stats.evicted_segments += r->entries[r->oldest].n_nodes;
    release_entry(r, r->oldest, REASSEMBLY_EVICTED);
}

static bool
is_expired(const struct reassembly *r, const struct entry *e,
           long long int now_ms)
{
    return now_ms - e->created_ms >= r->config.timeout_ms;
}

static void
expire_entry(struct reassembly *r, uint32_t i)
{
    r->stats.expired_frames++;
    r->stats.expired_segments += r->entries[i].n_nodes;
    release_entry(r, i, REASSEMBLY_EXPIRED);
}

uint32_t
reassembly_expire(struct reassembly *r, long long int now_ms,
                  uint32_t max_frames)
{
    uint32_t n = 0;

    while (n < max_frames && r->oldest != NIL
           && is_expired(r, &r->entries[r->oldest], now_ms)) {
        expire_entry(r, r->oldest);
        n++;
    }
    return n;
}

long long int
reassembly_next_expiry_ms(const struct reassembly *r)
{
    return (r->oldest == NIL ? LLONG_MAX
            : r->entries[r->oldest].created_ms + r->config.timeout_ms);
}

void
reassembly_flush(struct reassembly *r)
{
    while (r->oldest != NIL) {
        r->stats.flushed_frames++;
        r->stats.flushed_segments += r->entries[r->oldest].n_nodes;
        release_entry(r, r->oldest, REASSEMBLY_FLUSHED);
    }
}

const struct reassembly_stats *
reassembly_stats(const struct reassembly *r)
{
    return &r->stats;
}

/* Adding a segment. */

/* Puts the segment, which fits in 'place', in a free node of 'e'. */
static void
insert_node(struct reassembly *r, struct entry *e,
            const struct reassembly_segment *s, const struct run_place *place)
{
    uint32_t i = r->free_node;
    struct run_node *node = &r->nodes[i];

    r->free_node = node->next;
    node->packet = s->packet;
    node->low = s->remaining;
    node->high = s->remaining + s->length;
    runs_insert(&e->runs, r->nodes, i, place);
}

static void
account(struct reassembly *r, struct entry *e,
        const struct reassembly_segment *s)
{
    e->n_nodes++;
    e->received += s->length;
    e->charge_bytes += s->charge_bytes;
    r->stats.segments++;
    r->stats.payload_bytes += s->length;
    r->stats.charge_bytes += s->charge_bytes;
}

/* Returns REASSEMBLY_QUEUED if 'e' takes [remaining, remaining + length), at
 * '*place'. */
static enum reassembly_result
check(const struct reassembly *r, const struct entry *e,
      const struct reassembly_segment *s, struct run_place *place)
{
    uint32_t high = s->remaining + s->length;
    uint32_t total = e->total ? e->total : s->total;

    if ((s->total && s->total != total)
        || (total && (high > total || e->extent > total))) {
        return REASSEMBLY_CONFLICT;
    }
    switch (runs_find(&e->runs, r->nodes, s->remaining, high, place)) {
    case RUNS_COVERED:
        return REASSEMBLY_DUPLICATE;
    case RUNS_OVERLAP:
        return REASSEMBLY_OVERLAP;
    case RUNS_FREE:
        break;
    }
    if (e->n_nodes >= r->config.max_pieces
        || (e->runs.n >= r->config.max_runs
            && !runs_touch(r->nodes, place, s->remaining, high))) {
        return REASSEMBLY_TOO_MANY;
    }
    return REASSEMBLY_QUEUED;
}

/* Writes the pieces of 'e' that lie in run 'run' to 'piece' and frees their
 * nodes.  Returns behind the last one written. */
static struct reassembly_piece *
take_run(struct reassembly *r, const struct entry *e, uint32_t run,
         struct reassembly_piece *piece)
{
    for (uint32_t n = run, next; n != NIL; n = next) {
        const struct run_node *node = &r->nodes[n];

        piece->packet = node->packet;
        piece->offset = e->total - node->high;
        piece->length = node->high - node->low;
        piece++;
        next = node->next;
        free_node(r, n);
    }
    return piece;
}

/* Fills '*frame' with the runs of entry 'i' and, at 'place' between them,
 * segment 's', which is not stored: the last one needs no memory.  The entry
 * is gone afterwards. */
static void
complete(struct reassembly *r, uint32_t i, const struct reassembly_segment *s,
         const struct run_place *place, struct reassembly_frame *frame)
{
    struct entry *e = &r->entries[i];
    struct reassembly_piece *piece = frame->pieces;

    if (place->before != NIL) {
        piece = take_run(r, e, place->before, piece);
    }
    *piece++ = (struct reassembly_piece) {
        .packet = s->packet,
        .offset = e->total - s->remaining - s->length,
        .length = s->length,
    };
    if (place->after != NIL) {
        piece = take_run(r, e, place->after, piece);
    }
    frame->n_pieces = (uint32_t) (piece - frame->pieces);
    frame->total = e->total;
    frame->ce = e->ce;
    remove_entry(r, i);
}

/* Evicts until a segment that costs 'charge_bytes' fits.  Returns false if
 * entry 'self' went, too. */
static bool
make_room(struct reassembly *r, uint32_t charge_bytes, uint32_t self)
{
    uint64_t limit = r->config.max_charge_bytes - charge_bytes;

    while (r->stats.charge_bytes > limit || r->free_node == NIL) {
        bool is_self = r->oldest == self;

        evict_oldest(r);
        if (is_self) {
            return false;
        }
    }
    return true;
}

/* Adds 's' to entry 'i'. */
static enum reassembly_result
add_to_entry(struct reassembly *r, uint32_t i,
             const struct reassembly_segment *s,
             struct reassembly_frame *frame)
{
    struct entry *e = &r->entries[i];
    struct run_place place;
    enum reassembly_result result = check(r, e, s, &place);

    if (result != REASSEMBLY_QUEUED) {
        return result;
    }
    e->ce |= s->ce;
    if (s->total) {
        e->total = s->total;
    }
    if (e->total && e->received + s->length == e->total) {
        complete(r, i, s, &place, frame);
        return REASSEMBLY_COMPLETE;
    }
    if (!make_room(r, s->charge_bytes, i)) {
        return REASSEMBLY_NO_ROOM;
    }
    if (e->extent < s->remaining + s->length) {
        e->extent = s->remaining + s->length;
    }
    insert_node(r, e, s, &place);
    account(r, e, s);
    return REASSEMBLY_QUEUED;
}

/* Returns the entry of 'key', made where none is young enough. */
static uint32_t
obtain_entry(struct reassembly *r, const void *key, long long int now_ms)
{
    uint32_t i = r->recent;
    uint64_t hash;

    if (i != NIL && has_key(r, &r->entries[i], key)
        && !is_expired(r, &r->entries[i], now_ms)) {
        return i;
    }
    hash = hash_key(r, key);
    i = find_entry(r, key, hash);
    if (i != NIL && is_expired(r, &r->entries[i], now_ms)) {
        expire_entry(r, i);
        i = NIL;
    }
    if (i == NIL) {
        if (r->free_entry == NIL) {
            evict_oldest(r);
        }
        i = add_entry(r, key, hash, now_ms);
    }
    r->recent = i;
    return i;
}

/* Returns REASSEMBLY_QUEUED if 's' makes sense by itself. */
static enum reassembly_result
check_alone(const struct reassembly *r, const struct reassembly_segment *s)
{
    uint64_t high = (uint64_t) s->remaining + s->length;

    if (!s->length) {
        return REASSEMBLY_EMPTY;
    }
    if (high > r->config.max_total || s->total > r->config.max_total) {
        return REASSEMBLY_TOO_LONG;
    }
    if (s->total && high > s->total) {
        return REASSEMBLY_CONFLICT;
    }
    return REASSEMBLY_QUEUED;
}

static enum reassembly_result
add(struct reassembly *r, const void *key, const struct reassembly_segment *s,
    long long int now_ms, struct reassembly_frame *frame)
{
    enum reassembly_result result = check_alone(r, s);

    if (result != REASSEMBLY_QUEUED) {
        return result;
    }
    if (s->length == s->total) {
        frame->pieces[0] = (struct reassembly_piece) {
            .packet = s->packet,
            .offset = 0,
            .length = s->length,
        };
        frame->n_pieces = 1;
        frame->total = s->total;
        frame->ce = s->ce;
        r->stats.single_frames++;
        return REASSEMBLY_COMPLETE;
    }
    if (s->charge_bytes > r->config.max_charge_bytes) {
        return REASSEMBLY_NO_ROOM;
    }
    return add_to_entry(r, obtain_entry(r, key, now_ms), s, frame);
}

enum reassembly_result
reassembly_add(struct reassembly *r, const void *key,
               const struct reassembly_segment *segment, long long int now_ms,
               struct reassembly_frame *frame)
{
    enum reassembly_result result;

    reassembly_expire(r, now_ms, EXPIRE_PER_ADD);
    result = add(r, key, segment, now_ms, frame);
    r->stats.results[result]++;
    return result;
}
