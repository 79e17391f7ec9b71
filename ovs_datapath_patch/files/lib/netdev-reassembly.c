/* SPDX-License-Identifier: Apache-2.0 */

#include <config.h>
#include "netdev-reassembly.h"

#include "coverage.h"
#include "dp-packet.h"
#include "dpif-netdev.h"
#include "hash.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/poll-loop.h"
#include "ovs-thread.h"
#include "packets.h"
#include "random.h"
#include "reassembly.h"
#include "timeval.h"
#include "util.h"

COVERAGE_DEFINE(tunnel_reassembly_copied);

#define N_SHARDS 8
#define TIMEOUT_MS 500
#define MAX_FRAMES 2048             /* Per shard. */
#define MAX_SEGMENTS 16384          /* Per shard. */
#define MAX_PIECES 256              /* Per frame: 64 kB at an MTU of 300. */
#define MAX_BYTES (8 << 20)         /* Per shard. */

struct shard {
    struct ovs_mutex mutex;
    struct reassembly *engine OVS_GUARDED;      /* NULL until first needed. */
    struct reassembly_piece *pieces OVS_GUARDED;
};

struct netdev_reassembly {
    struct shard shards[N_SHARDS];
    size_t key_size;
    uint32_t basis;             /* Of the hash that chooses a shard. */
};

static void
release(void *packet, enum reassembly_release why OVS_UNUSED,
        void *aux OVS_UNUSED)
{
    dp_packet_delete(packet);
}

struct netdev_reassembly *
netdev_reassembly_create(size_t key_size)
{
    struct netdev_reassembly *r = xzalloc(sizeof *r);

    r->key_size = key_size;
    r->basis = random_uint32();
    for (size_t i = 0; i < N_SHARDS; i++) {
        ovs_mutex_init(&r->shards[i].mutex);
    }
    return r;
}

/* Makes the engine of 'shard', which takes about 1 MB. */
static void
shard_init(struct shard *shard, size_t key_size)
    OVS_REQUIRES(shard->mutex)
{
    struct reassembly_config config = {
        .max_frames = MAX_FRAMES,
        .max_segments = MAX_SEGMENTS,
        .max_pieces = MAX_PIECES,
        .max_runs = MAX_PIECES,
        .max_total = UINT16_MAX,
        .max_charge_bytes = MAX_BYTES,
        .timeout_ms = TIMEOUT_MS,
        .key_size = key_size,
        .seed = { random_uint32() | (uint64_t) random_uint32() << 32,
                  random_uint32() | (uint64_t) random_uint32() << 32 },
        .release = release,
    };

    shard->engine = reassembly_init(xmalloc(reassembly_size(&config)),
                                    &config);
    shard->pieces = xmalloc(MAX_PIECES * sizeof *shard->pieces);
    ovs_assert(shard->engine);
}

void
netdev_reassembly_run(struct netdev_reassembly *r)
{
    for (size_t i = 0; i < N_SHARDS; i++) {
        struct shard *shard = &r->shards[i];

        ovs_mutex_lock(&shard->mutex);
        if (shard->engine) {
            reassembly_expire(shard->engine, time_msec(), MAX_FRAMES);
        }
        ovs_mutex_unlock(&shard->mutex);
    }
}

void
netdev_reassembly_wait(struct netdev_reassembly *r)
{
    for (size_t i = 0; i < N_SHARDS; i++) {
        struct shard *shard = &r->shards[i];
        long long int next = LLONG_MAX;

        ovs_mutex_lock(&shard->mutex);
        if (shard->engine) {
            next = reassembly_next_expiry_ms(shard->engine);
        }
        ovs_mutex_unlock(&shard->mutex);
        if (next != LLONG_MAX) {
            poll_timer_wait_until(next + 1);
        }
    }
}

/* Returns 'packet', or a copy that takes no more memory than it needs and that
 * may be kept: the buffer of a received packet may be far larger than what is
 * in it, or belong to a ring. */
static struct dp_packet *
to_keep(struct dp_packet *packet)
{
    struct dp_packet *copy;

    if (packet->source == DPBUF_MALLOC
        && dp_packet_get_allocated(packet) / 2 <= dp_packet_size(packet)) {
        return packet;
    }
    copy = dp_packet_clone_data(dp_packet_data(packet),
                                dp_packet_size(packet));
    memcpy(&copy->md, &packet->md, sizeof copy->md);
    dp_packet_delete(packet);
    return copy;
}

/* Returns the frame of 'pieces' as one packet, and frees the others. */
static struct dp_packet *
join(const struct reassembly_frame *frame)
{
    struct dp_packet *first = frame->pieces[0].packet;
    struct dp_packet *whole = first;
    uint32_t rest = frame->total - frame->pieces[0].length;

    if (dp_packet_tailroom(first) < rest) {
        /* Its buffer's size must fit 16 bits. */
        size_t headroom = MIN(DP_NETDEV_HEADROOM, UINT16_MAX - frame->total);

        COVERAGE_INC(tunnel_reassembly_copied);
        whole = dp_packet_new_with_headroom(frame->total, headroom);
        memcpy(&whole->md, &first->md, sizeof whole->md);
        dp_packet_put(whole, dp_packet_data(first), dp_packet_size(first));
        dp_packet_delete(first);
    }
    for (size_t i = 1; i < frame->n_pieces; i++) {
        struct dp_packet *piece = frame->pieces[i].packet;

        dp_packet_put(whole, dp_packet_data(piece), dp_packet_size(piece));
        dp_packet_delete(piece);
    }
    if (frame->ce) {
        whole->md.tunnel.ip_tos |= IP_ECN_CE;
    }
    return whole;
}

struct dp_packet *
netdev_reassembly_add(struct netdev_reassembly *r, const void *key,
                      const struct netdev_reassembly_segment *segment,
                      bool *queued)
{
    struct shard *shard = &r->shards[hash_bytes(key, r->key_size, r->basis)
                                     % N_SHARDS];
    struct dp_packet *packet = to_keep(segment->packet);
    uint8_t ecn = packet->md.tunnel.ip_tos & IP_ECN_MASK;
    enum reassembly_result result;
    struct reassembly_frame frame;

    ovs_mutex_lock(&shard->mutex);
    if (OVS_UNLIKELY(!shard->engine)) {
        shard_init(shard, r->key_size);
    }
    frame.pieces = shard->pieces;
    result = reassembly_add(shard->engine, key, &(struct reassembly_segment) {
        .packet = packet,
        .length = segment->length,
        .remaining = segment->remaining,
        .total = segment->total,
        .charge_bytes = dp_packet_get_allocated(packet) + sizeof *packet,
        .ce = ecn == IP_ECN_CE,
    }, time_msec(), &frame);
    if (result == REASSEMBLY_COMPLETE) {
        packet = join(&frame);
    }
    ovs_mutex_unlock(&shard->mutex);

    *queued = result == REASSEMBLY_QUEUED;
    if (result == REASSEMBLY_COMPLETE) {
        return packet;
    }
    if (!*queued) {
        dp_packet_delete(packet);
    }
    return NULL;
}

static void
add_stats(struct reassembly_stats *sum, const struct reassembly_stats *stats)
{
    for (size_t i = 0; i < REASSEMBLY_N_RESULTS; i++) {
        sum->results[i] += stats->results[i];
    }
    sum->expired_frames += stats->expired_frames;
    sum->expired_segments += stats->expired_segments;
    sum->evicted_frames += stats->evicted_frames;
    sum->evicted_segments += stats->evicted_segments;
    sum->frames += stats->frames;
    sum->segments += stats->segments;
    sum->charge_bytes += stats->charge_bytes;
}

/* Returns the sum of the shards' counters, of which those are 0 that nobody
 * shows. */
static struct reassembly_stats
sum_stats(struct netdev_reassembly *r)
{
    struct reassembly_stats sum;

    netdev_reassembly_run(r);
    memset(&sum, 0, sizeof sum);
    for (size_t i = 0; i < N_SHARDS; i++) {
        struct shard *shard = &r->shards[i];

        ovs_mutex_lock(&shard->mutex);
        if (shard->engine) {
            add_stats(&sum, reassembly_stats(shard->engine));
        }
        ovs_mutex_unlock(&shard->mutex);
    }
    return sum;
}

void
netdev_reassembly_show(struct netdev_reassembly *r, uint64_t n_frames,
                       struct ds *ds)
{
    struct reassembly_stats sum = sum_stats(r);

    ds_put_format(ds, "received: frames:%"PRIu64" reassembled:%"PRIu64
                  " segments queued:%"PRIu64"\n", n_frames,
                  sum.results[REASSEMBLY_COMPLETE],
                  sum.results[REASSEMBLY_QUEUED]);
    ds_put_format(ds, "in flight: frames:%"PRIu64" segments:%"PRIu64
                  " bytes:%"PRIu64"\n",
                  sum.frames, sum.segments, sum.charge_bytes);
    ds_put_format(ds, "expired: frames:%"PRIu64" segments:%"PRIu64"\n",
                  sum.expired_frames, sum.expired_segments);
    ds_put_format(ds, "evicted: frames:%"PRIu64" segments:%"PRIu64"\n",
                  sum.evicted_frames, sum.evicted_segments);
}

void
netdev_reassembly_show_drops(struct netdev_reassembly *r, struct ds *ds)
{
    struct reassembly_stats sum = sum_stats(r);

    /* What is wrong with one segment alone, its tunnel sees before. */
    for (size_t i = REASSEMBLY_CONFLICT; i < REASSEMBLY_N_RESULTS; i++) {
        ds_put_format(ds, " %s:%"PRIu64, reassembly_result_name(i),
                      sum.results[i]);
    }
}
